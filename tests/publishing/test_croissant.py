"""The Croissant description of a deposit: the official reader takes it, loads the pictures, and finds facts in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import numpy as np
import pytest
import yaml

from panodiff.audit.contents import Contents
from panodiff.audit.run import Run
from panodiff.files import hash_file
from panodiff.params_file import load_params
from panodiff.publishing.croissant import write_croissant

Json = dict[str, Any]


@pytest.fixture
def described(run: Run, folder: Path) -> Json:
    write_croissant(run, folder)
    return read(folder)


def read(folder: Path) -> Json:
    return json.loads((folder / "croissant.json").read_text(encoding="utf-8"))


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    """By the official command, without a network."""
    command = [
        str(Path(sys.executable).with_name("mlcroissant")),
        "validate",
        "--jsonld",
        str(folder / "croissant.json"),
    ]
    nowhere = {f"{scheme}_PROXY": "http://127.0.0.1:9" for scheme in ("HTTP", "HTTPS", "ALL")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | nowhere)


def test_the_official_validator_accepts_it_without_a_network_or_a_warning(described: Json, folder: Path):
    done = validate(folder)
    assert done.returncode == 0, done.stderr
    assert "Done." in done.stderr
    assert "warning" not in done.stderr.lower()


def test_the_official_validator_refuses_it_when_a_field_has_no_source(described: Json, folder: Path):
    described["recordSet"][0]["field"][0]["source"]["fileObject"] = {"@id": "other.csv"}
    (folder / "croissant.json").write_text(json.dumps(described), encoding="utf-8")
    assert validate(folder).returncode != 0


@pytest.mark.parametrize(
    ("records", "resolution", "size"), [("images", "high", (16, 8)), ("low_images", "low", (8, 4))]
)
def test_records_hold_each_picture_with_its_row(
    described: Json, folder: Path, records: str, resolution: str, size: tuple[int, int]
):
    loaded = list(mlc.Dataset(folder / "croissant.json").records(records))
    assert len(loaded) == 2
    for index, record in enumerate(loaded):
        name = f"synthetic-{index:06}"
        assert record[f"{records}/id"] == name.encode()
        assert (record[f"{records}/seed"], record[f"{records}/index"]) == (1, index)
        assert record[f"{records}/file_name"] == f"{name}.png".encode()
        png = folder / f"images/{resolution}/{name}.png"
        assert record[f"{records}/{resolution}_sha256"] == hash_file(png).encode()
        picture = record[f"{records}/{resolution}"]
        assert picture.size == size
        assert (np.asarray(picture) == 10 * index + size[0]).all()


def test_records_of_high_pictures_name_their_models_and_size(described: Json, folder: Path):
    record = next(iter(mlc.Dataset(folder / "croissant.json").records("images")))
    assert (record["images/height"], record["images/width"]) == (8, 16)
    assert record["images/diffusion_model_sha256"] == b"d1" * 32
    assert record["images/superres_model_sha256"] == b"5e" * 32


def test_a_table_that_was_changed_is_refused_by_the_reader(described: Json, folder: Path):
    with (folder / "images.csv").open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(mlc.GenerationError, match=r"images\.csv") as refusal:
        next(iter(mlc.Dataset(folder / "croissant.json").records("images")))
    assert "is not identical with the reference" in str(refusal.value.__cause__)


def test_it_declares_croissant_and_its_vocabulary_of_responsible_ai(described: Json):
    assert described["conformsTo"] == ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
    assert described["@context"]["rai"] == "http://mlcommons.org/croissant/RAI/"


def test_name_day_version_and_licence_are_the_runs(described: Json):
    assert described["name"] == "Synthetic panoramic radiographs after drawn phantoms (profile smoke, seed 1)"
    assert described["datePublished"] == "2026-01-31"
    assert described["version"] == "0.1.0"
    assert described["license"]["name"] == "Not decided by this program"
    assert "README.md" in described["license"]["description"]


def test_it_says_how_to_cite_the_program_and_the_paper(described: Json):
    assert described["creator"] == {"@type": "sc:Organization", "name": "The panodiff developers"}
    assert described["citeAs"].startswith("The panodiff developers, panodiff: a reproducible pipeline")
    assert "Sanyam Jain; Bruna Neves de Freitas" in described["citeAs"]
    assert "https://arxiv.org/abs/2507.09227" in described["citeAs"]
    assert "url" not in described  # not known before the deposit; that of the program is another


def test_the_address_of_the_program_is_not_that_of_the_dataset(run: Run, folder: Path):
    with (folder / "CITATION.cff").open("a", encoding="utf-8") as file:
        file.write("url: https://example.org/program\n")
    write_croissant(run, folder)
    assert "url" not in read(folder)


def test_the_address_of_a_dataset_that_has_one_is_told(run: Run, folder: Path):
    cited = {"title": "Pictures", "type": "dataset", "doi": "10.5281/zenodo.1", "authors": [{"family-names": "Lee"}]}
    (folder / "CITATION.cff").write_text(yaml.safe_dump(cited), encoding="utf-8")
    write_croissant(run, folder)
    described = read(folder)
    assert described["url"] == "https://doi.org/10.5281/zenodo.1"
    assert described["creator"] == {"@type": "sc:Person", "name": "Lee"}
    assert described["citeAs"] == "Lee, Pictures, https://doi.org/10.5281/zenodo.1."


ANSWERS = {
    "dataCollection": "2 synthetic panoramic radiographs of 128×256 pixels",
    "dataCollectionType": "drawn by models",
    "dataCollectionTimeFrame": "2026-01-31T10:1",
    "dataCollectionRawData": "adld: 54 radiographs found, 48 kept, 36 to learn from; licence: none needed",
    "dataPreprocessingProtocol": "Of 270 radiographs 240 were kept; 20 repeat another one, 10 were rejected",
    "dataAnnotationProtocol": "no labels",
    "dataBiases": "adld 36 (20%), dentex 36 (20%)",
    "dataLimitations": "nothing about patients",
    "dataUseCases": "Not for diagnosis",
    "dataSocialImpact": "Not assessed",
    "personalSensitiveInformation": "found 118 of 120 planted copies",
    "dataReleaseMaintenancePlan": "Not decided by this program",
}


@pytest.mark.parametrize("key", ANSWERS)
def test_questions_of_responsible_ai_are_answered_from_the_run(described: Json, key: str):
    assert ANSWERS[key] in json.dumps(described[f"rai:{key}"], ensure_ascii=False)


def test_no_other_question_is_answered(described: Json):
    assert {key.removeprefix("rai:") for key in described if key.startswith("rai:")} == ANSWERS.keys()


def test_numbers_and_what_was_not_measured_are_told(described: Json):
    limits, biases = " ".join(described["rai:dataLimitations"]), " ".join(described["rai:dataBiases"])
    assert "fd_encoder 0.179688" in limits
    assert "lpips: evaluate.lpips_backbone is null" in limits
    assert "under the ROC curve of 0.75858" in biases
    assert "3 were drawn" in described["rai:dataCollection"]
    assert "1 found to copy one, 1 left out" in described["rai:dataCollection"]


def test_terms_of_real_sources_are_told(run: Run, folder: Path):
    terms = {"licence": "CC BY 4.0", "doi": "10.1/2", "accessed": "2026-01-31", "terms": "name the authors"}
    root = run.root
    raw = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")) | {"profile": "pilot"}
    (root / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    (root / "data/raw/pilot").mkdir(parents=True)
    for source in raw["sources"]:
        (root / f"data/raw/pilot/{source}.dvc").write_text(yaml.safe_dump({"meta": terms}), encoding="utf-8")
    params = load_params(root / "params.yaml")
    pilot = Run(root=root, params=params, pipeline=run.pipeline, lock={}, records=run.records, contents=Contents(root))
    write_croissant(pilot, folder)
    described = read(folder)
    told = "licence: CC BY 4.0; from: 10.1/2; had: 2026-01-31; terms: name the authors."
    assert described["rai:dataCollectionRawData"].count(told) == len(raw["sources"])
    assert "phantoms" not in json.dumps(described)


def test_terms_that_are_not_written_down_are_asked_for(run: Run, folder: Path):
    raw = yaml.safe_load((run.root / "params.yaml").read_text(encoding="utf-8")) | {"profile": "pilot"}
    (run.root / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    params = load_params(run.root / "params.yaml")
    pilot = Run(root=run.root, params=params, pipeline={}, lock={}, records=run.records, contents=Contents(run.root))
    with pytest.raises(ValueError, match=r"data/raw/pilot/adld\.dvc is missing"):
        write_croissant(pilot, folder)


def test_the_same_run_gives_the_same_bytes(run: Run, folder: Path, tmp_path: Path):
    write_croissant(run, folder)
    first = (folder / "croissant.json").read_bytes()
    write_croissant(run, folder)
    assert (folder / "croissant.json").read_bytes() == first
    shutil.copytree(folder, tmp_path / "elsewhere")
    write_croissant(run, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/croissant.json").read_bytes() == first
