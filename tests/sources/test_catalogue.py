"""What is known of the public sources, and which of their files are radiographs."""

import json
from pathlib import Path, PurePosixPath

import pytest
from corpora import data_params

from panodiff.sources.catalogue import (
    IMAGE_SUFFIXES,
    Layout,
    compare_counts,
    is_radiograph,
    layout,
    read_catalogue,
    why_beside,
)
from panodiff.sources.raw import RawFolder

CATALOGUE = read_catalogue()
PLACES = {  # where a radiograph of each source lies as unpacked
    "adld": "image_1.png",
    "dentex": "training_data/quadrant/xrays/train_1.png",
    "tsxk": "Teeth Segmentation JSON/d2/img/1.jpg",
    "tufts": "Radiographs/1.JPG",
    "uspforp": "1.jpg",
}


def globs(source: str, *above: str) -> Layout:
    """The layout of a source in whose folder a radiograph lies at its place, below the folders `above`."""
    found = layout(source, [PurePosixPath(folder, PLACES[source]) for folder in above or [""]])
    assert found is not None
    return found


def test_the_catalogue_holds_the_sources_of_params_with_the_published_counts():
    assert set(CATALOGUE) == set(data_params().sources)
    assert sum(entry.expected_files for entry in CATALOGUE.values()) == 500 + 3603 + 1196 + 1000 + 945
    assert sum(entry.distinct for entry in CATALOGUE.values()) == 500 + 2686 + 598 + 1000 + 873


def test_every_source_says_under_which_terms_and_whom_to_cite():
    for entry in CATALOGUE.values():
        assert entry.licence
        assert str(entry.year) in entry.citation
        assert entry.distinct <= entry.expected_files
        assert entry.url.startswith("https://")
        assert entry.note


@pytest.mark.parametrize("source", sorted(CATALOGUE))
def test_the_globs_pick_exactly_the_radiographs_of_the_real_layout(phantoms: Path, source: str):
    truth = json.loads((phantoms / "truth.json").read_text(encoding="utf-8"))
    files = [path.as_posix() for path in RawFolder(phantoms / source).paths()]
    picked = {path for path in files if is_radiograph(PurePosixPath(path), globs(source))}
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
        ("adld", "images1/image_7.png", True),
        ("uspforp", "7.jpg", True),
        ("uspforp", "labels/7.jpg", False),
    ],
)
def test_place_and_name_decide_in_a_catalogued_source(source: str, path: str, expected: bool):
    assert is_radiograph(PurePosixPath(path), globs(source)) is expected


def test_in_another_source_every_image_that_is_not_hidden_is_a_radiograph():
    for suffix in IMAGE_SUFFIXES:
        assert is_radiograph(PurePosixPath(f"a/b/1{suffix.upper()}"), None)
    for path in ("1.txt", "1", "png", "1.png.part", "a/._1.png", ".cache/1.png"):
        assert not is_radiograph(PurePosixPath(path), None)


def test_dicom_files_without_a_suffix_are_radiographs_where_every_image_is():
    for path in ("IM0001", "a/1.2.840.113619.7", "1.dcm", "1.DICOM"):
        assert is_radiograph(PurePosixPath(path), None, is_dicom=True)
    assert not is_radiograph(PurePosixPath("IM0001"), None)
    for path in ("DICOMDIR", "notes.txt", ".IM0001"):
        assert not is_radiograph(PurePosixPath(path), None, is_dicom=True)
    own = layout("mine", [], own=["scans/*"])
    assert is_radiograph(PurePosixPath("scans/IM0001"), own, is_dicom=True)
    assert not is_radiograph(PurePosixPath("IM0001"), own, is_dicom=True)


@pytest.mark.parametrize("source", sorted(CATALOGUE))
def test_more_folders_around_a_source_change_nothing_and_an_archive_is_one(source: str):
    for above in ("unpacked/here", "all.zip", "all.tar.gz/one more", "[2024] *"):
        found = globs(source, above)
        assert is_radiograph(PurePosixPath(above, PLACES[source]), found)
        assert not is_radiograph(PurePosixPath(above, "other", PLACES[source]), found)


def test_an_archive_with_the_name_of_a_folder_stands_for_it():
    paths = [
        PurePosixPath(path)
        for path in (
            "training_data.zip/quadrant/xrays/train_1.png",
            "validation_data.zip/validation_data/quadrant_enumeration_disease/xrays/val_1.png",
            "test_data/disease/input/test_1.png",
        )
    ]
    found = layout("dentex", paths)
    assert all(is_radiograph(path, found) for path in paths)


def test_masks_in_one_more_folder_beside_flat_images_are_none():
    paths = [PurePosixPath("images.zip/images/1.png"), PurePosixPath("masks.zip/masks/1.png")]
    assert [is_radiograph(path, layout("adld", paths)) for path in paths] == [True, False]


@pytest.mark.parametrize(
    ("source", "path", "reason"),
    [
        ("tufts", "Segmentation/teeth_mask/7.jpg", "mask"),
        ("tufts", "Expert/expert.json", "label"),
        ("tufts", "Gaze_map/7.jpg", "gaze map"),
        ("tsxk", "Teeth Segmentation PNG/d2/masks_human/7.png", "mask"),
        ("tsxk", "README.md", "text"),
        ("adld", "preview/7.png", "preview"),
        ("adld", "other/7.png", "an image outside the places of this source's radiographs"),
        ("dentex", "test_data/disease/label/1.json", "label"),
        ("dentex", "notes.docx", "no image"),
        ("dentex", "training_data/quadrant/xrays/._train_1.png", "hidden"),
    ],
)
def test_what_lies_beside_is_called_by_its_kind(source: str, path: str, reason: str):
    assert why_beside(PurePosixPath(path), globs(source)) == reason


def test_own_globs_go_before_the_catalogue_and_may_reach_into_folders():
    found = layout("tufts", [PurePosixPath("Radiographs/1.jpg")], own=["new/**/*.png"])
    assert found == Layout(images=("new/**/*.png",))
    for path, expected in (("new/1.png", True), ("new/a/b/1.PNG", True), ("old/1.png", False), ("new/1.jpg", False)):
        assert is_radiograph(PurePosixPath(path), found) is expected


def test_counts_are_compared_with_a_line_that_says_why_they_may_differ():
    counts = compare_counts("dentex", found_files=3603, found_distinct=2686)
    assert counts is not None
    assert not counts.differs
    counts = compare_counts("dentex", found_files=3500, found_distinct=2686)
    assert counts is not None
    assert counts.differs
    assert str(counts).startswith("dentex: 3500 radiographs found, 2686 of them distinct; expected 3603 and 2686. ")
    assert "four trees" in str(counts)
    assert compare_counts("mine", found_files=1, found_distinct=1) is None
