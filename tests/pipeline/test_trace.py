"""Pictures of a whole run traced to where they come from, and drawn again."""

import shutil
import subprocess
import sys
from collections.abc import Callable
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
    for source, rows in used.groupby("source"):
        assert f"{source} {len(rows)} images; drawn phantoms" in found
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=copy.root, capture_output=True, text=True, check=True)
    assert found.count(f"commit {commit.stdout.strip()}") >= 5
    assert "sample.num_inference_steps 5" in found


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
    kept = tmp_path / "kept"
    shutil.copy2(raw, kept)
    try:
        raw.unlink()
        raw.write_bytes(kept.read_bytes() + b" ")
        assert "CHANGED since it was read" in told(copy.root, raw)
    finally:
        shutil.copy2(kept, raw)


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
    assert expected in told(copy.root, picture)


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


def test_a_changed_picture_is_found_by_drawing_it_again(copy: WorkingCopy, tmp_path: Path) -> None:
    picture = copy.root / HIGH / "synthetic-000002.png"
    shutil.copy2(picture, tmp_path / "kept.png")
    try:
        pixels = read_grey(picture)
        pixels[3, 4] ^= 8
        write_grey(picture, pixels, read_text_chunks(picture))
        done = panodiff(copy, "redraw", "synthetic-000002")
        assert done.returncode == 1
        assert "differing pixels: 1, by 8 greys at most" in done.stdout
        rewritten(tmp_path / "kept.png", picture, superres_model_sha256="0" * 64)
        done = panodiff(copy, "redraw", "synthetic-000002")
        assert done.returncode == 2 and "data/models/superres must hold the model that drew" in done.stderr
    finally:
        shutil.copy2(tmp_path / "kept.png", picture)


def test_a_name_that_is_not_among_the_images_is_refused(copy: WorkingCopy) -> None:
    done = panodiff(copy, "redraw", "synthetic-999999")
    assert done.returncode == 2
    assert "from synthetic-000000 to synthetic-000011, got synthetic-999999" in done.stderr
    assert len(pd.read_csv(copy.root / LOW / "rows.csv")) == 12
