"""The exposed field and the window with the jaws: what test_field.py leaves open."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from corpora import data_params
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.harmonize.field import Box, find_field, find_window, thumbnail
from panodiff.harmonize.quality import find_flags, written_share
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey
from panodiff.params_data import HarmonizeParams, Margins, SourceParams
from panodiff.sources.phantom import DEVICES, draw_phantom

TARGET = HarmonizeParams(high_size=(512, 1024), low_size=(128, 256), aspect="keep")
BORDERLESS = ["adld", "dentex"]  # neither frame nor strip


@cache
def phantom(name: str, patient: int = 0, width: int = 900) -> Grey:
    device = DEVICES[name]
    height, native, _ = device.sizes[0]
    return draw_phantom(11, patient, round(width * height / native), width, device)[0]


def field_of(image: Grey) -> Box:
    thumb, factor = thumbnail(image)
    return find_field(thumb).enlarged(factor, (image.shape[0], image.shape[1]))


def framed(image: Grey, width: int, grey: float) -> Grey:
    return np.asarray(cv2.copyMakeBorder(image, *[width] * 4, cv2.BORDER_CONSTANT, value=(grey,)), np.uint8)


@pytest.mark.parametrize("name", BORDERLESS)
@pytest.mark.parametrize("patient", range(12))
def test_an_image_without_a_border_loses_at_most_a_hundredth(name: str, patient: int):
    for width in (600, 1400):
        image = phantom(name, patient, width)
        field, (height, wide) = field_of(image), image.shape
        assert max(field.top, height - field.bottom) <= 0.011 * height
        assert max(field.left, wide - field.right) <= 0.011 * wide


@pytest.mark.parametrize("name", ["adld", "dentex", "uspforp"])
@pytest.mark.parametrize("grey", [0.0, 90.0, 255.0])
@pytest.mark.parametrize("width", [6, 30, 90])
def test_a_border_that_was_saved_as_jpeg_is_found(name: str, grey: float, width: int):
    image = phantom(name)
    noisy = cv2.imdecode(cv2.imencode(".jpg", framed(image, width, grey))[1], cv2.IMREAD_GRAYSCALE)
    field, (height, wide) = field_of(np.asarray(noisy, np.uint8)), noisy.shape
    own = round(0.008 * len(image)) + 3 if name == "uspforp" else 0  # the device's own frame goes with it
    for cut in (field.top, field.left, height - field.bottom, wide - field.right):
        assert width <= cut <= width + own + 3


def white_lines(high: Grey) -> tuple[int, int]:
    """How many rows and columns are mostly white: no radiograph has any."""
    return int(((high > 250).mean(axis=1) > 0.5).sum()), int(((high > 250).mean(axis=0) > 0.5).sum())


def written(image: Grey, text: str, row: float, letters: float, *, left: float = 0.3) -> Grey:
    """The image with text whose capitals are `letters` of its height high, its base line at `row` of it."""
    height, width = image.shape
    scale, copy = letters * height / 22, image.copy()
    place = (round(left * width), round(row * height))
    cv2.putText(copy, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 0, max(3, round(5 * scale)), cv2.LINE_AA)
    cv2.putText(copy, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, round(1.5 * scale)), cv2.LINE_AA)
    return copy


@pytest.mark.parametrize("name", BORDERLESS)
@pytest.mark.parametrize("patient", range(4))
def test_a_line_of_small_letters_is_cut_off_where_it_stands(name: str, patient: int):
    image = phantom(name, patient)
    height = len(image)
    below = field_of(written(image, "12/03/2014 70kV 8mA 14.1s STANDARD", 0.99, 0.025))
    assert 0.94 * height <= below.bottom <= 0.966 * height
    assert below.top <= 0.011 * height
    above = field_of(written(image, "12/03/2014 70kV 8mA 14.1s STANDARD", 0.03, 0.022))
    assert 0.03 * height <= above.top <= 0.056 * height
    assert above.bottom >= 0.989 * height


@pytest.mark.parametrize(
    ("text", "row", "letters"), [("R", 0.9, 0.06), ("R", 0.12, 0.06), ("CLINIC 7 LEFT", 0.15, 0.09)]
)
def test_a_letter_or_a_large_label_in_the_picture_is_no_strip(text: str, row: float, letters: float):
    for patient in range(4):
        image = phantom("dentex", patient)
        assert field_of(written(image, text, row, letters, left=0.03)) == field_of(image)


@settings(max_examples=3000, deadline=None)
@given(st.integers(50, 3000), st.integers(50, 6000), st.sampled_from([1.5, 2.0, 2.5]))
def test_no_side_is_cut_beyond_its_limit_and_only_the_longer_one_at_all(height: int, width: int, ratio: float):
    field = Box(top=0, left=0, bottom=height, right=width)
    window = find_window(field, ratio)
    assert abs(window.width - ratio * window.height) <= ratio  # a row: its two ends are rounded apart
    assert window.top <= 0.1 * height + 0.5
    assert height - window.bottom <= 0.03 * height + 1
    assert max(window.left, width - window.right) <= 0.045 * width + 1
    cut_rows = window.top > 0 or window.bottom < height - 1
    cut_columns = window.left > 0 or window.right < width
    assert not (cut_rows and width > ratio * height)
    assert not (cut_columns and width < ratio * height)


@given(st.integers(8, 3000))
def test_of_a_field_of_the_wanted_aspect_nothing_is_cut(height: int):
    field = Box(top=3, left=4, bottom=3 + height, right=4 + 2 * height)
    assert find_window(field, 2) == field


@pytest.mark.parametrize("name", BORDERLESS)
@pytest.mark.parametrize("patient", range(4))
def test_a_white_border_does_not_come_back_beyond_the_field(name: str, patient: int):
    high = harmonize_image(framed(phantom(name, patient), 40, 255), SourceParams(polarity="keep"), TARGET).high
    assert white_lines(high) == (0, 0)


@pytest.mark.parametrize("aspect", ["keep", "squash"])
@pytest.mark.parametrize("ratio", [1.7, 2.6])
def test_a_white_border_of_a_field_far_from_the_aspect_does_not_come_back(aspect: str, ratio: float):
    image = np.asarray(cv2.resize(phantom("dentex"), (round(400 * ratio), 400), interpolation=cv2.INTER_AREA), np.uint8)
    own = TARGET.model_copy(update={"aspect": aspect})
    high = harmonize_image(framed(image, 60, 255), SourceParams(polarity="keep"), own).high
    assert white_lines(high) == (0, 0)


def test_a_strip_that_was_cut_off_does_not_come_back_beyond_the_field():
    for patient in range(6):
        image = phantom("dentex", patient, 1400)  # wider than 2:1, so that rows below are missing to the aspect
        text = written(image, "12/03/2014 70kV 8mA 14.1s STANDARD", 0.99, 0.025)
        assert written_share(harmonize_image(text, SourceParams(), TARGET).high) < 0.03


def grey(path: Path) -> Grey:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


@pytest.mark.real
def test_no_letters_are_left_near_the_edges_of_real_radiographs_with_strips(test_data: Path):
    paths = sorted((test_data / "radiographs" / "tsxk").iterdir())
    whole = TARGET.model_copy(update={"aspect": "squash"})
    uncut = SourceParams(crop=Margins(unit="pixels", top=0, left=0, bottom=0, right=0), deskew=False)
    before, after = (
        [written_share(harmonize_image(grey(path), own, target).high) for path in paths]
        for own, target in ((uncut, whole), (SourceParams(), TARGET))
    )
    assert len(paths) == 8
    assert sum(share > 0.03 for share in before) > 4
    assert max(after) < 0.03


@pytest.mark.real
def test_no_real_radiograph_loses_more_than_the_limits_or_is_taken_for_none(test_data: Path):
    paths, bad = sorted((test_data / "radiographs").glob("*/*.png")), []
    assert len(paths) == 153
    for path in paths:
        image = grey(path)
        result = harmonize_image(image, SourceParams(), TARGET)
        (height, width), crop, strip = image.shape, result.crop, 0.055 if path.parent.name == "tsxk" else 0.0
        flags = find_flags(result.measures, data_params().quality, enlarged=False, frames=1, polarity=result.polarity)
        sides = max(crop.left, width - crop.right) / width
        if sides > 0.046 or crop.top / height > 0.105 + strip or (height - crop.bottom) / height > 0.035 + strip:
            bad.append((path.parent.name, path.name, image.shape, crop))
        if result.inverted or set(flags) & {"blank", "not_panoramic"}:
            bad.append((path.parent.name, path.name, flags, result.inverted))
    assert not bad
