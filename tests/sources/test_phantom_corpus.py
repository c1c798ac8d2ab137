import hashlib
import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from panodiff.sources.phantom import DEVICES, write_phantoms
from panodiff.sources.phantom.corpus import TSXK_JSON, plan

NUM_PATIENTS = 6
SCALE = 0.1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PANODIFF_WORKERS", "2")
        write_phantoms(out, seed=11, num_patients=NUM_PATIENTS, scale=SCALE)
    return out


@pytest.fixture(scope="module")
def truth(corpus: pathlib.Path) -> dict[str, dict[str, dict]]:
    return json.loads((corpus / "truth.json").read_text())


def hashes(folder: pathlib.Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def grey(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("L"))


def copies(truth: dict, kinds: set[str]) -> list[tuple[str, str, str, str]]:
    """(source, path, original's path, kind) of the planted copies of some kinds."""
    return [
        (source, path, record["copy_of"], record["copy_kind"])
        for source, records in truth.items()
        for path, record in records.items()
        if record["copy_kind"] in kinds
    ]


def test_the_tree_has_the_same_bytes_whatever_the_number_of_processes(
    corpus: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANODIFF_WORKERS", "1")
    write_phantoms(tmp_path, seed=11, num_patients=NUM_PATIENTS, scale=SCALE)
    assert hashes(tmp_path) == hashes(corpus)


def test_another_seed_changes_every_radiograph(corpus: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_phantoms(tmp_path, seed=12, num_patients=1, scale=SCALE)
    for path in ("adld/image_1.png", f"tsxk/{TSXK_JSON}/img/1.jpg", "tufts/Radiographs/1.JPG", "uspforp/1.jpg"):
        assert (tmp_path / path).read_bytes() != (corpus / path).read_bytes()


def test_every_source_has_its_patients_and_every_named_file_exists(corpus: pathlib.Path, truth: dict) -> None:
    assert set(truth) == set(DEVICES)
    for source, records in truth.items():
        originals = [record for record in records.values() if record["truth"]]
        assert sorted(record["patient"] for record in originals) == list(range(NUM_PATIENTS))
        assert all((corpus / source / path).is_file() for path in records)


def test_no_two_files_share_a_path(tmp_path: pathlib.Path) -> None:
    for source in DEVICES:
        paths = [file.path for task in plan(tmp_path, source, 0, 700, 1.0) for file in task.files]
        assert len(set(paths)) == len(paths) > 700


def test_the_layouts_are_those_of_the_real_sets(corpus: pathlib.Path, truth: dict) -> None:
    json_tree, png_tree = (corpus / "tsxk" / f"Teeth Segmentation {kind}" / "d2" for kind in ("JSON", "PNG"))
    for number in range(1, NUM_PATIENTS + 1):
        assert (corpus / "adld" / f"image_{number}.png").is_file()
        assert (corpus / "adld" / f"image_{number}.json").is_file()
        assert (corpus / "uspforp" / f"{number}.jpg").is_file()
        assert (corpus / "tufts" / "Radiographs" / f"{number}.JPG").is_file()
        assert (corpus / "tufts" / "Segmentation" / "teeth_mask" / f"{number}.jpg").is_file()
        assert (json_tree / "img" / f"{number}.jpg").is_file()
        assert list((png_tree / "img").glob(f"{number}.*"))
        assert (png_tree / "masks_machine" / f"{number}.png").is_file()
        assert (png_tree / "masks_human" / f"{number}.png").is_file()
    trees = {pathlib.Path(path).parts[:2] for path in truth["dentex"]}
    assert {tree[0] for tree in trees} <= {"training_data", "validation_data", "test_data"}
    assert all("/xrays/train_" in path for path in truth["dentex"] if path.startswith("training_data"))


def test_masks_and_labels_are_not_named_as_radiographs(corpus: pathlib.Path, truth: dict) -> None:
    named = [path for records in truth.values() for path in records]
    assert not [path for path in named if "mask" in path or "Segmentation/" in path or path.endswith((".json", ".txt"))]
    machine = grey(corpus / "tsxk" / "Teeth Segmentation PNG" / "d2" / "masks_machine" / "1.png")
    assert len(np.unique(machine)) <= 33


def test_formats_and_sizes_are_the_native_ones_scaled(corpus: pathlib.Path, truth: dict) -> None:
    formats = {"adld": "PNG", "dentex": "PNG", "tsxk": "JPEG", "tufts": "JPEG", "uspforp": "JPEG"}
    for source, records in truth.items():
        allowed = {(round(w * SCALE), round(h * SCALE)) for h, w, _ in DEVICES[source].sizes}
        for path, record in records.items():
            if record["truth"]:
                with Image.open(corpus / source / path) as image:
                    assert image.format == formats[source]
                    assert image.mode == "L"
                    assert image.size in allowed


def test_exact_copies_have_equal_pixels(corpus: pathlib.Path, truth: dict) -> None:
    pairs = copies(truth, {"exact"})
    assert {source for source, *_ in pairs} >= {"tsxk", "uspforp"}
    assert {pathlib.Path(path).suffix for source, path, *_ in pairs if source == "tsxk"} == {".jpg", ".png"}
    for source, path, original, _ in pairs:
        assert np.array_equal(grey(corpus / source / path), grey(corpus / source / original))


def test_mirrored_copies_are_flips(corpus: pathlib.Path, truth: dict) -> None:
    pairs = copies(truth, {"mirrored"})
    assert len(pairs) == 2
    for source, path, original, _ in pairs:
        mirrored, straight = grey(corpus / source / path).astype(float), grey(corpus / source / original).astype(float)
        assert np.corrcoef(mirrored.ravel(), straight[:, ::-1].ravel())[0, 1] > 0.99
        assert np.corrcoef(mirrored.ravel(), straight.ravel())[0, 1] < 0.97


@pytest.mark.parametrize("kind", ["recompressed", "resized", "brightness", "cropped"])
def test_near_copies_look_the_same_but_are_not(corpus: pathlib.Path, truth: dict, kind: str) -> None:
    pairs = copies(truth, {kind})
    assert len(pairs) == 2
    for source, path, original, _ in pairs:
        copy, first = (Image.open(corpus / source / name).convert("L") for name in (path, original))
        assert copy.size != first.size or not np.array_equal(np.array(copy), np.array(first))
        if kind == "cropped":
            box = [round(f * n) for f, n in zip((0.02, 0.02, 0.985, 0.97), first.size * 2, strict=True)]
            first = first.crop(tuple(box))
            assert copy.size == first.size
        small = [np.array(image.resize((32, 16), Image.Resampling.BOX)).ravel() for image in (copy, first)]
        assert np.corrcoef(small)[0, 1] > 0.98


def test_broken_files_cannot_be_decoded_or_are_not_what_their_name_says(corpus: pathlib.Path, truth: dict) -> None:
    reasons = set()
    for source, records in truth.items():
        for path, record in records.items():
            if record["broken"]:
                reasons.add(record["broken"])
                data = (corpus / source / path).read_bytes()
                if record["broken"] == "wrong extension":
                    assert path.endswith(".jpg")
                    assert Image.open(io.BytesIO(data)).format == "PNG"
                else:
                    with pytest.raises(OSError):
                        Image.open(io.BytesIO(data)).load()
    assert reasons == {"empty", "truncated", "text", "wrong extension"}
