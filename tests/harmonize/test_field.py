"""The exposed field and the window with the jaws."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.harmonize.field import Box, find_field, find_skewed_field, find_window, thumbnail, turned, turning
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.sources.phantom import DEVICES, draw_phantom

TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")


@cache
def phantom(name: str, patient: int = 0, scale: float = 0.3) -> tuple[Grey, dict]:
    device = DEVICES[name]
    height, width, _ = device.sizes[patient % len(device.sizes)]
    return draw_phantom(5, patient, round(height * scale), round(width * scale), device)


def field_of(image: Grey) -> Box:
    """The field in pixels of the image."""
    thumb, factor = thumbnail(image)
    return find_field(thumb).enlarged(factor, (image.shape[0], image.shape[1]))


@pytest.mark.parametrize("scale", [0.3, 1])
@settings(max_examples=30, deadline=None)
@given(border=st.tuples(*[st.integers(0, 40)] * 4), grey=st.sampled_from([0, 90, 255]))
def test_a_uniform_border_is_cut_off_and_hardly_more(scale: float, border: tuple[int, int, int, int], grey: int):
    image = phantom("adld", scale=scale)[0]
    framed = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=(float(grey),))
    field, factor = field_of(framed), thumbnail(framed)[1]
    cut = (field.top, framed.shape[0] - field.bottom, field.left, framed.shape[1] - field.right)
    for found, wanted in zip(cut, border, strict=True):
        # Pixels of the thumbnail beside the border mix both; a border thinner than two of them may stay.
        assert (wanted if wanted >= 2 * factor else 0) <= found <= (wanted + 2 * factor if wanted else 0)


def test_the_letter_of_a_side_moves_no_edge_of_the_field():
    image = phantom("adld")[0]
    assert image[int(0.77 * len(image)) : int(0.83 * len(image)), :60].max() > 235  # the letter is there
    field = field_of(image)
    assert (field.top, field.left, field.bottom, field.right) == (0, 0, *image.shape)


@pytest.mark.parametrize("scale", [0.34, 1])
@pytest.mark.parametrize("patient", [0, 1, 2])
def test_lines_of_exposure_data_are_cut_off(patient: int, scale: float):
    image = phantom("tsxk", patient, scale)[0]
    field = field_of(image)
    height = len(image)
    assert 0.024 * height <= field.top <= 0.06 * height  # the label's letters end at 0.024
    assert 0.94 * height <= field.bottom <= 0.966 * height  # and those of the data begin at 0.966


@pytest.mark.parametrize("name", DEVICES)
def test_all_teeth_and_no_frame_are_in_the_crop(name: str):
    for patient in range(8):
        image, truth = phantom(name, patient)
        result = harmonize_image(image, SourceParams(), TARGET)
        crop = result.crop
        boxes = np.array([tooth["box"] for tooth in truth["teeth"]]).clip(0, np.array(image.shape * 2)[[1, 0, 1, 0]])
        assert (boxes[:, :2] >= (crop.left - 0.5, crop.top - 0.5)).all()
        assert (boxes[:, 2:] <= (crop.right + 0.5, crop.bottom + 0.5)).all()
        edges = [result.high[0], result.high[-1], result.high[:, 0], result.high[:, -1]]
        if (border := DEVICES[name].border) and border[0] > 0.5:  # a bright frame; a dark one looks like air
            assert max(np.median(edge) for edge in edges) < 255 * border[0] - 40


def scan(image: Grey, degrees: float, grey: float) -> Grey:
    """The image as a scanner gives a film that lies askew, turned counter-clockwise by `degrees`."""
    wide = cv2.copyMakeBorder(image, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(grey,))
    matrix, size = turning((wide.shape[0], wide.shape[1]), degrees), wide.shape[::-1]
    return np.asarray(cv2.warpAffine(wide, matrix, size, flags=cv2.INTER_CUBIC, borderValue=(grey,)), np.uint8)


@pytest.mark.parametrize("grey", [0.0, 255.0])
@pytest.mark.parametrize("degrees", [-4.5, -0.5, 0.5, 2.0, 4.5])
def test_a_film_that_was_scanned_askew_is_turned_back(degrees: float, grey: float):
    image = phantom("dentex", scale=0.3)[0]
    found = find_skewed_field(scan(image, degrees, grey))
    assert found is not None
    assert found[0] == pytest.approx(-degrees, abs=0.1)
    straight = turned(scan(image, degrees, grey), found[0])[
        found[1].top : found[1].bottom, found[1].left : found[1].right
    ]
    assert np.abs(np.array(straight.shape) - image.shape).max() <= 4
    top, left = found[1].top - 60, found[1].left - 60
    original = image[top : top + straight.shape[0], left : left + straight.shape[1]]
    assert np.abs(original.astype(int) - straight).mean() < 4


@pytest.mark.parametrize("degrees", [0, 0.2, 6, -8])
def test_an_angle_that_is_too_small_or_too_large_is_left(degrees: float):
    assert find_skewed_field(scan(phantom("dentex")[0], degrees, 0)) is None


@pytest.mark.parametrize("name", DEVICES)
def test_no_image_without_a_border_is_turned(name: str):
    assert not any(
        harmonize_image(phantom(name, patient)[0], SourceParams(), TARGET).rotation_deg for patient in range(8)
    )


def test_deskew_turns_only_where_it_is_asked_for():
    askew = scan(phantom("dentex")[0], 2, 255)
    assert harmonize_image(askew, SourceParams(), TARGET).rotation_deg == pytest.approx(-2, abs=0.1)
    assert harmonize_image(askew, SourceParams(deskew=False), TARGET).rotation_deg == 0


def test_an_image_that_cannot_be_written_to_is_harmonized_too():
    askew = scan(phantom("dentex")[0], 2, 0)
    askew.flags.writeable = False  # as decoding gives PNG and TIFF files
    assert harmonize_image(askew, SourceParams(), TARGET).rotation_deg == pytest.approx(-2, abs=0.1)


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(50, 3000), st.integers(50, 6000)), at=st.tuples(st.integers(0, 90), st.integers(0, 90))
)
def test_a_window_has_the_aspect_and_keeps_most_of_the_field(size: tuple[int, int], at: tuple[int, int]):
    (height, width), (top, left) = size, at
    field = Box(top=top, left=left, bottom=top + height, right=left + width)
    window = find_window(field, 2)
    assert abs(window.width - 2 * window.height) <= 2
    assert window.top >= top  # what is added lies below, or on both sides
    kept_rows = min(window.bottom, field.bottom) - max(window.top, field.top)
    kept_columns = min(window.right, field.right) - max(window.left, field.left)
    assert kept_rows >= 0.86 * height - 1
    assert kept_columns >= 0.86 * width - 1


@pytest.mark.parametrize(("height", "width"), [(400, 860), (400, 760)])
def test_a_field_near_the_aspect_is_placed_without_favour_to_a_side(height: int, width: int):
    window = find_window(Box(top=0, left=0, bottom=height, right=width), 2)
    assert abs(window.left - (width - window.right)) <= 1


@pytest.mark.real
def test_burned_in_strips_of_real_radiographs_are_gone(test_data: Path):
    paths = sorted((test_data / "radiographs" / "tsxk").iterdir())
    assert paths
    for path in paths:
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        field = field_of(image)
        assert 0.025 < field.top / len(image) < 0.06
        assert 0.93 < field.bottom / len(image) < 0.975


@pytest.mark.real
def test_a_copy_of_other_size_or_exposure_has_nearly_the_same_field(test_data: Path):
    paths = sorted((test_data / "radiographs" / "abdi").iterdir())[::3]
    for path in paths:
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        field = harmonize_image(image, SourceParams(), TARGET).field
        copies = (
            cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
            np.clip(1.12 * image.astype(float) + 9, 0, 255).astype(np.uint8),
            cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE),
        )
        for copy in copies:
            other = harmonize_image(np.asarray(copy, np.uint8), SourceParams(), TARGET).field
            assert np.corrcoef(field.ravel().astype(float), other.ravel().astype(float))[0, 1] > 0.97
