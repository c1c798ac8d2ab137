"""Pictures of a whole run traced to where they come from, and drawn again."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from working_copy import WorkingCopy

from panodiff.audit.run import load_run
from panodiff.checkpoint import model_sha256
from panodiff.images import read_grey, read_text_chunks, write_grey
from panodiff.manifest import read_manifest
from panodiff.tracing.redraw import redraw
from panodiff.tracing.trace import trace

LOW, HIGH = "data/synthetic/low", "data/synthetic/high"


def told(root: Path, image: Path) -> str:
    """The lines as one, with single blanks."""
    return " ".join(" ".join(trace(image, load_run(root))).split())


def test_a_synthetic_picture_leads_to_seed_models_patients_code_and_machine(copy: WorkingCopy) -> None:
    found = told(copy.root, copy.root / HIGH / "synthetic-000003.png")
    assert "a synthetic radiograph, synthetic-000003, at high resolution" in found
    assert "seed, index 1, 3" in found
    assert f"those of its row in {HIGH}/rows.csv" in found
    for model in ("diffusion", "superres"):
        assert f"SHA-256 {model_sha256(copy.root / 'data/models' / model)}, those in data/models/{model}" in found
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    used = corpus[(corpus["status"] == "kept") & (corpus["split"] == "train")]
    behind = corpus[corpus["id"].isin(used["id"]) | corpus["copy_of"].isin(used["id"])]
    assert len(behind) > len(used)
    assert f"all {len(used)} images of {len(behind)} raw files" in found
    for source, rows in used.groupby("source"):
        assert f"{source} {len(rows)} images of {sum(behind['source'] == source)} raw files; drawn phantoms" in found
    assert "DISAGREES" not in found and "NOT" not in found
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=copy.root, capture_output=True, text=True, check=True)
    assert found.count(f"commit {commit.stdout.strip()}, nothing uncommitted") >= 5
    assert "sample.num_inference_steps 5" in found


@contextmanager
def put_back(path: Path) -> Iterator[None]:
    """Afterwards the file is as before; dvc's cache, which it may be a link into, is never written to."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def test_a_low_resolution_picture_has_no_part_in_super_resolution(copy: WorkingCopy) -> None:
    found = told(copy.root, copy.root / LOW / "synthetic-000000.png")
    assert "at low resolution" in found and "Its super-resolution model" not in found


def test_a_copy_elsewhere_is_known_by_its_bytes(copy: WorkingCopy, tmp_path: Path) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row = corpus[corpus["split"] == "train"].iloc[0]
    for name, there in (("synthetic", f"{HIGH}/synthetic-000001.png"), ("harmonized", str(row["high_path"]))):
        shutil.copy(copy.root / there, tmp_path / f"{name}.png")
    assert "synthetic-000001" in told(copy.root, tmp_path / "synthetic.png")
    assert f"(harmonized, high resolution), {row['id']}" in told(copy.root, tmp_path / "harmonized.png")


def test_a_harmonized_picture_leads_to_its_raw_file_and_what_was_done_to_it(copy: WorkingCopy) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row = corpus[corpus["split"] == "test"].iloc[0]
    found = told(copy.root, copy.root / str(row["low_path"]))
    assert f"data/raw/smoke/{row['source']}/{row['path']}, SHA-256 {row['sha256']}" in found
    assert f"rows {row['crop_top']} to {row['crop_bottom']}" in found
    assert "no model was trained on it" in found
    assert f"Stage harmonize@{row['source']}" in found


def test_a_raw_file_leads_forward_and_a_changed_one_is_told(copy: WorkingCopy, tmp_path: Path) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row = corpus[corpus["status"] == "duplicate"].iloc[0]
    raw = copy.root / "data/raw/smoke" / str(row["source"]) / str(row["path"])
    found = told(copy.root, raw)
    assert f"(raw), {row['id']}" in found and f"duplicate: {row['reason']}" in found and "CHANGED" not in found
    twin = corpus[corpus["id"] == row["copy_of"]].iloc[0]
    assert f"stands for it {twin['id']}, in the split {twin['split']}" in found
    with put_back(raw):
        raw.write_bytes(raw.read_bytes() + b" ")
        assert "CHANGED since it was read" in told(copy.root, raw)


def test_a_raw_file_of_the_train_split_leads_to_the_models_that_learnt_from_it(copy: WorkingCopy) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row = corpus[corpus["split"] == "train"].iloc[0]
    raw = copy.root / "data/raw/smoke" / str(row["source"]) / str(row["path"])
    learnt = "trained on it: data/models/encoder (by train_encoder), data/models/diffusion (by train_diffusion)"
    assert learnt in told(copy.root, raw)
    card = copy.root / "data/models/diffusion/config.json"
    with put_back(card):
        card.write_text(card.read_text(encoding="utf-8") + " ", encoding="utf-8")
        assert "data/models/diffusion" not in told(copy.root, raw)


def test_a_file_beside_the_radiographs_is_not_called_one(copy: WorkingCopy) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row = corpus[corpus["status"] == "beside"].iloc[0]
    found = told(copy.root, copy.root / "data/raw/smoke" / str(row["source"]) / str(row["path"]))
    assert f"a file beside the radiographs ({row['reason']})" in found and "trained on it" not in found


def test_a_harmonized_picture_that_was_changed_in_its_place_is_told(copy: WorkingCopy) -> None:
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    row, other = (corpus[corpus["split"] == "train"].iloc[number] for number in (0, 1))
    picture = copy.root / str(row["high_path"])
    assert "CHANGED" not in told(copy.root, picture)
    with put_back(picture):
        write_grey(picture, 255 - read_grey(picture))
        assert f"CHANGED since harmonize@{row['source']} wrote {row['high_path']}" in told(copy.root, picture)
        assert "CHANGED" not in told(copy.root, copy.root / str(other["high_path"]))


def test_parameters_of_another_profile_are_refused(copy: WorkingCopy, params_put_back: None) -> None:
    copy.edit_params({"profile": "paper"})
    with pytest.raises(ValueError, match=r"must have the profile of the run that is there \(smoke,.* got paper"):
        trace(copy.root / HIGH / "synthetic-000000.png", load_run(copy.root))


def rewritten(picture: Path, out: Path, **changes: str) -> Path:
    text = read_text_chunks(picture) | {f"panodiff:{key}": value for key, value in changes.items()}
    write_grey(out, read_grey(picture), text)
    return out


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"index": "2"}, "NOT those of its row"),
        ({"index": "7777"}, "has no such index"),
        ({"diffusion_model_sha256": "0" * 64}, "NOT those in data/models/diffusion"),
    ],
)
def test_changed_text_chunks_are_told(
    copy: WorkingCopy, tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    picture = rewritten(copy.root / HIGH / "synthetic-000003.png", tmp_path / "changed.png", **changes)
    found = told(copy.root, picture)
    assert expected in found
    assert "NOT a picture that this run made" in found
    assert "nearest patient" not in found and "published" not in found and "Stage sample" not in found


def test_a_picture_of_another_run_is_not_put_down_to_the_patients_of_this_one(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    models = {"diffusion_model_sha256": "0" * 64, "superres_model_sha256": "1" * 64}
    picture = rewritten(copy.root / HIGH / "synthetic-000003.png", tmp_path / "other.png", seed="99", **models)
    found = told(copy.root, picture)
    assert found.count("not known here: check out the commit of its run") == 2
    assert "DISAGREES its text says seed 99, the row of synthetic-000003 1" in found
    assert "learnt from" not in found and "Stage" not in found


def test_a_picture_in_the_place_of_another_is_told(copy: WorkingCopy) -> None:
    place = copy.root / HIGH / "synthetic-000003.png"
    misplaced = f"it lies at {HIGH}/synthetic-000003.png, and is not the picture that belongs there"
    with put_back(place):
        shutil.copyfile(copy.root / HIGH / "synthetic-000004.png", place)
        found = told(copy.root, place)
        assert "a synthetic radiograph, synthetic-000004, at high resolution" in found and misplaced in found
        place.write_text("no picture", encoding="utf-8")
        found = told(copy.root, place)
        assert "it does not say what it is" in found and misplaced in found


def test_a_model_that_its_stage_did_not_make_is_told(copy: WorkingCopy) -> None:
    card = copy.root / "data/models/superres/config.json"
    with put_back(card):
        card.write_text(card.read_text(encoding="utf-8") + " ", encoding="utf-8")
        found = told(copy.root, copy.root / HIGH / "synthetic-000003.png")
    assert "NOT by train_superres of this run, by its record" in found
    assert "What the diffusion model learnt from" in found and "Stage train_superres" not in found


def foreign_png(path: Path) -> None:
    chunks = PngInfo()
    chunks.add_itxt("Title", "Another picture")
    Image.fromarray(np.zeros((16, 32), np.uint8)).save(path, pnginfo=chunks)


@pytest.mark.parametrize("make", [foreign_png, lambda path: path.write_text("no picture")])
def test_a_foreign_file_is_refused(copy: WorkingCopy, tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "foreign.png")
    with pytest.raises(ValueError, match="must be a synthetic PNG that this pipeline wrote"):
        trace(tmp_path / "foreign.png", load_run(copy.root))
    with pytest.raises(ValueError, match="must be a file"):
        trace(tmp_path / "missing.png", load_run(copy.root))


def panodiff(copy: WorkingCopy, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "panodiff.cli", *arguments]
    return subprocess.run(command, cwd=copy.root, env=copy.environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("index", [0, 6, 11])
def test_a_synthetic_picture_is_drawn_again_to_the_last_byte(copy: WorkingCopy, index: int) -> None:
    done = panodiff(copy, "redraw", f"synthetic-{index:06d}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same bytes") == 2


def test_a_changed_picture_is_found_by_drawing_it_again(copy: WorkingCopy) -> None:
    picture = copy.root / HIGH / "synthetic-000002.png"
    with put_back(picture):
        pixels, text = read_grey(picture), read_text_chunks(picture)
        changed = pixels.copy()
        changed[3, 4] ^= 8
        write_grey(picture, changed, text)
        done = panodiff(copy, "redraw", "synthetic-000002")
        assert done.returncode == 1
        assert "differing pixels: 1, by 8 greys at most" in done.stdout
        write_grey(picture, pixels[:1, :1], text)
        assert f"{HIGH}/synthetic-000002.png: another size" in panodiff(copy, "redraw", "synthetic-000002").stdout


def refused(copy: WorkingCopy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redraw("synthetic-000002", load_run(copy.root))


@pytest.mark.parametrize("folder", [LOW, HIGH])
def test_pictures_of_other_models_are_not_drawn_again(copy: WorkingCopy, folder: str) -> None:
    picture = copy.root / folder / "synthetic-000002.png"
    with put_back(picture):
        rewritten(picture, picture, diffusion_model_sha256="0" * 64)
        refused(copy, f"data/models/diffusion must hold the model that drew {folder}/synthetic-000002.png, 0000")
        picture.write_bytes(b"no picture")
        refused(copy, "must be a PNG")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("metrics/provenance/upscale.json", "metrics/provenance/upscale.json must be there"),
        ("data/models/superres/model.safetensors", "data/models/superres must hold .* but is missing"),
        (f"{LOW}/rows.csv", "rows.csv is missing"),
    ],
)
def test_what_a_redraw_needs_is_named_where_it_is_missing(copy: WorkingCopy, path: str, message: str) -> None:
    with put_back(copy.root / path):
        (copy.root / path).unlink()
        refused(copy, message)


def test_redrawn_pictures_are_kept_where_asked_and_never_in_the_data_of_the_run(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    name = "synthetic-000005"
    with pytest.raises(ValueError, match="must not be written into the run's own data"):
        redraw(name, load_run(copy.root), copy.root / "data/again")
    script = (
        "import sys; from pathlib import Path; from panodiff.audit.run import load_run\n"
        "from panodiff.tracing.redraw import redraw\n"
        "print(redraw(sys.argv[1], load_run(), Path(sys.argv[2])).same)"
    )
    command = [sys.executable, "-c", script, name, str(tmp_path)]
    done = subprocess.run(command, cwd=copy.root, env=copy.environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("True")
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert written == [f"high/{name}.png", f"low/{name}.png"]
    assert (tmp_path / f"high/{name}.png").read_bytes() == (copy.root / HIGH / f"{name}.png").read_bytes()


def test_a_name_that_is_not_among_the_images_is_refused(copy: WorkingCopy) -> None:
    done = panodiff(copy, "redraw", "synthetic-999999")
    assert done.returncode == 2
    assert "from synthetic-000000 to synthetic-000011, got synthetic-999999" in done.stderr
    assert len(pd.read_csv(copy.root / LOW / "rows.csv")) == 12
