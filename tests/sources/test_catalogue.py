"""What is known of the public sources, and which of their files are radiographs."""

import json
from pathlib import Path, PurePosixPath

import pytest
from corpora import data_params

from panodiff.sources.catalogue import IMAGE_SUFFIXES, is_radiograph, read_catalogue
from panodiff.sources.ingest import find_files

CATALOGUE = read_catalogue()


def test_the_catalogue_holds_the_sources_of_params_with_the_published_counts():
    assert set(CATALOGUE) == set(data_params().sources)
    assert sum(entry.expected_files for entry in CATALOGUE.values()) == 500 + 3603 + 1196 + 1000 + 945
    assert sum(entry.distinct for entry in CATALOGUE.values()) == 500 + 2686 + 598 + 1000 + 873


def test_every_source_says_under_which_terms_and_whom_to_cite():
    for entry in CATALOGUE.values():
        assert entry.licence
        assert str(entry.year) in entry.citation
        assert entry.distinct <= entry.expected_files


@pytest.mark.parametrize("source", sorted(CATALOGUE))
def test_the_globs_pick_exactly_the_radiographs_of_the_real_layout(phantoms: Path, source: str):
    truth = json.loads((phantoms / "truth.json").read_text(encoding="utf-8"))
    files = [path.as_posix() for path in find_files(phantoms / source)]
    picked = {path for path in files if is_radiograph(PurePosixPath(path), CATALOGUE[source])}
    assert picked == set(truth[source])
    assert len(files) > len(picked) > 0  # there are labels and masks beside them


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("tufts", "Radiographs/7.JPG", True),
        ("tufts", "radiographs/7.jpg", True),
        ("tufts", "Radiographs/more/7.jpg", False),
        ("tufts", "7.jpg", False),
        ("tufts", "Segmentation/teeth_mask/7.jpg", False),
        ("adld", "image_7.PNG", True),
        ("adld", "masks/image_7.png", False),
        ("adld", "folder.png/image_7.png", False),
        ("adld", "._image_7.png", False),
        ("dentex", "training_data/quadrant/xrays/train_7.png", True),
        ("dentex", "training_data/quadrant/train_7.png", False),
        ("tsxk", "Teeth Segmentation PNG/d2/img/7.jpg", True),
        ("tsxk", "Teeth Segmentation PNG/d2/img/7.json", False),
        ("tsxk", "Teeth Segmentation PNG/d2/masks_human/7.png", False),
    ],
)
def test_place_and_name_decide_in_a_catalogued_source(source: str, path: str, expected: bool):
    assert is_radiograph(PurePosixPath(path), CATALOGUE[source]) is expected


def test_in_another_source_every_image_that_is_not_hidden_is_a_radiograph():
    for suffix in IMAGE_SUFFIXES:
        assert is_radiograph(PurePosixPath(f"a/b/1{suffix.upper()}"), None)
    for path in ("1.txt", "1", "png", "1.png.part", "a/._1.png", ".cache/1.png"):
        assert not is_radiograph(PurePosixPath(path), None)
