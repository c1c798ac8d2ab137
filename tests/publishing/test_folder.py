"""What goes into a deposit, what never does, and when there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import telling

from panodiff.audit.findings import Finding
from panodiff.files import hash_file, list_files
from panodiff.publishing.folder import IMAGE_COLUMNS, PERSONAL, publish, refuse_real_pictures, write_folder

HOLDS = [Finding(title="It holds", examined="one thing")]


@pytest.fixture(scope="module")
def deposit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("telling")
    write_folder(telling.make_run(root / "project"), HOLDS, root / "deposit")
    return root / "deposit"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in list_files(folder)}


def test_the_published_images_are_there_byte_for_byte_and_no_other(deposit: Path):
    for resolution in ("high", "low"):
        found = {path.stem: path.read_bytes() for path in (deposit / "images" / resolution).iterdir()}
        made = deposit.parent / "project/data/synthetic" / resolution
        assert found == {name: (made / f"{name}.png").read_bytes() for name in telling.PUBLISHED}


def test_the_table_of_images_says_of_each_what_it_is(deposit: Path):
    table = pd.read_csv(deposit / "images.csv")
    assert tuple(table.columns) == IMAGE_COLUMNS
    assert tuple(table["id"]) == telling.PUBLISHED
    assert list(table["index"]) == [0, 2]
    assert list(table["height"]) == [8, 8]
    assert list(table["width"]) == [16, 16]
    for row in table.to_dict("records"):
        for resolution in ("high", "low"):
            assert hash_file(deposit / row[resolution]) == row[f"{resolution}_sha256"]
        assert [row[f"{model}_model_sha256"] for model in telling.HASHES] == list(telling.HASHES.values())


def test_nothing_names_a_file_or_a_patient(deposit: Path):
    told = [part for name in telling.NAMES for part in (name, *re.split(r"[_.]", name)[:3])]
    for path in list_files(deposit):
        content = path.read_bytes()
        for word in (*told, *telling.PATIENTS):
            assert word.encode() not in content, f"{path} names {word}"
            assert word not in str(path)


def test_the_corpus_accounts_for_each_file_without_its_name(deposit: Path):
    corpus = pd.read_csv(deposit / "metrics/corpus.csv")
    assert len(corpus) == len(telling.NAMES)
    assert not set(PERSONAL) & set(corpus.columns)
    assert {"id", "source", "sha256", "status", "group", "split"} <= set(corpus.columns)


def test_no_picture_of_a_radiograph_is_among_the_metrics(deposit: Path):
    pictures = {name for name in names(deposit / "metrics") if Path(name).suffix in (".png", ".jpg")}
    assert pictures == set()
    assert {"study/agreement.csv", "study.json", "report.html"} <= names(deposit / "metrics")


def test_the_panel_of_a_study_is_there_where_terms_allow_it(tmp_path: Path):
    run = telling.make_run(tmp_path / "project", real_images=True, redistribution=True)
    write_folder(run, HOLDS, tmp_path / "deposit")
    pictures = {name for name in names(tmp_path / "deposit/metrics") if Path(name).suffix in (".png", ".jpg")}
    assert pictures == {"study/fooled.png"}


def test_the_checksums_are_of_every_other_file(deposit: Path):
    lines = (deposit / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {line.split("  ", 1)[1] for line in lines} == names(deposit) - {"SHA256SUMS"}
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=deposit, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_same_run_gives_the_same_bytes(deposit: Path, tmp_path: Path):
    write_folder(telling.make_run(tmp_path / "project"), HOLDS, tmp_path / "deposit")
    assert (tmp_path / "deposit/SHA256SUMS").read_bytes() == (deposit / "SHA256SUMS").read_bytes()


def test_a_set_without_an_image_is_refused(tmp_path: Path):
    run = telling.make_run(tmp_path / "project")
    telling.write_text(run.root / "metrics/evaluation/published.csv", "id\n")
    with pytest.raises(ValueError, match="lists no image"):
        write_folder(run, HOLDS, tmp_path / "deposit")


@pytest.mark.parametrize(
    ("real_images", "redistribution", "refused"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_a_report_with_radiographs_needs_terms_that_allow_it(
    tmp_path: Path, real_images: bool, redistribution: bool, refused: bool
):
    run = telling.make_run(tmp_path / "project", real_images=real_images, redistribution=redistribution)
    if not refused:
        refuse_real_pictures(run)
        return
    with pytest.raises(ValueError, match="shows radiographs of clinic") as told:
        refuse_real_pictures(run)
    assert "`report.real_images: false`" in str(told.value)
    assert "`redistribution: true` below `meta:` in data/raw/pilot/clinic.dvc" in str(told.value)


def test_a_run_whose_audit_fails_is_refused_with_its_first_problems(tmp_path: Path):
    out = tmp_path / "deposit"
    with pytest.raises(ValueError, match="checks fail") as told:
        publish(telling.make_run(tmp_path / "project"), out)
    assert "- git is clean: this folder is no git checkout" in str(told.value)
    assert "`panodiff audit`" in str(told.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "project"]


def test_a_folder_that_is_not_empty_is_refused_and_stays(tmp_path: Path):
    kept = tmp_path / "deposit/mine.txt"
    telling.write_text(kept, "mine")
    for out in (kept.parent, kept):
        with pytest.raises(ValueError, match="must be a new or an empty folder"):
            publish(telling.make_run(tmp_path / f"project-{out.name}"), out)
    assert kept.read_text(encoding="utf-8") == "mine"


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    with pytest.raises(ValueError, match=r'publishing needs mlcroissant: pip install "panodiff\[audit\]"'):
        publish(telling.make_run(tmp_path / "project"), tmp_path / "deposit")
