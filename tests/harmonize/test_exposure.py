"""From deep greys to 8 bits, and which end of them is air."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.harmonize.exposure import SURE_POLARITY, polarity, to_8_bits
from panodiff.harmonize.field import thumbnail
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.sources.phantom import DEVICES, draw_phantom

TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")


def phantom(name: str, patient: int) -> Grey:
    device = DEVICES[name]
    height, width, _ = device.sizes[0]
    return draw_phantom(3, patient, height // 4, width // 4, device)[0]


@given(st.integers(0, 99), st.sampled_from([(0, 100), (1, 99), (10, 60)]))
def test_the_percentiles_of_a_deep_image_become_black_and_white(seed: int, percentiles: tuple[float, float]):
    image = np.random.default_rng(seed).integers(500, 3000, (40, 60)).astype(np.uint16)
    grey, window = to_8_bits(image, percentiles)
    assert window == tuple(np.percentile(image, percentiles, method="nearest"))
    low, high = window or (0, 0)
    assert set(grey[image <= low]) == {0}
    assert set(grey[image >= high]) == {255}
    expected = np.clip((image.astype(float) - low) * 255 / (high - low), 0, 255)
    assert np.abs(grey - expected).max() <= 0.5 + 1e-9


def test_a_deep_image_of_one_grey_is_no_division_by_zero():
    grey, window = to_8_bits(np.full((20, 30), 700, np.uint16), (0.1, 99.9))
    assert window == (700, 700)
    assert set(grey.ravel()) == {0}


def test_an_image_of_8_bits_stays_as_it_is():
    image = np.random.default_rng(1).integers(50, 100, (20, 30), np.uint8)
    grey, window = to_8_bits(image, (10, 90))
    assert np.array_equal(grey, image)
    assert window is None


def test_a_deep_radiograph_is_harmonized_as_its_8_bits_are():
    image = phantom("dentex", 0)
    deep = image.astype(np.uint16) * 257
    own, target = SourceParams(window=(0, 100)), TARGET.model_copy(update={"aspect": "squash"})
    shown, result = harmonize_image(image, own, target), harmonize_image(deep, own, target)
    assert result.window == (257 * int(image.min()), 257 * int(image.max()))
    assert result.crop == shown.crop
    stretched = (shown.high.astype(float) - image.min()) * 255 / (int(image.max()) - int(image.min()))
    assert np.abs(result.high - stretched).max() < 2


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=4, deadline=None)
@given(patient=st.integers(0, 50))
def test_white_air_is_found_and_made_black(name: str, patient: int):
    image = phantom(name, patient)
    upright, inverted = (harmonize_image(seen, SourceParams(), TARGET) for seen in (image, 255 - image))
    assert (upright.inverted, inverted.inverted) == (False, True)
    assert inverted.crop == upright.crop
    assert np.array_equal(inverted.high, upright.high)


def test_polarity_that_cannot_be_told_changes_nothing():
    flat = np.full((128, 256), 100, np.uint8)
    result = harmonize_image(flat, SourceParams(), TARGET)
    assert result.polarity is not None
    assert abs(result.polarity) < SURE_POLARITY
    assert not result.inverted
    assert harmonize_image(flat, SourceParams(polarity="keep"), TARGET).polarity is None


@given(st.integers(0, 99), st.floats(0, 40), st.floats(60, 100))
def test_a_brighter_grey_never_becomes_a_darker_one(seed: int, lower: float, upper: float):
    image = (np.random.default_rng(seed).random((50, 70)) ** 3 * 65535).astype(np.uint16)
    grey, window = to_8_bits(image, (lower, upper))
    order = np.argsort(image, axis=None)
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()
    assert (grey.min(), grey.max()) == (0, 255)
    assert window is not None
    assert set(grey[image == window[0]]) == {0}  # greys that the image has: neither set is empty
    assert set(grey[image == window[1]]) == {255}


@pytest.mark.parametrize("name", DEVICES)
def test_polarity_is_positive_and_the_negative_of_itself_when_inverted(name: str):
    for patient in range(6):
        thumb = thumbnail(phantom(name, patient))[0]
        assert polarity(thumb) > SURE_POLARITY
        assert polarity(255 - thumb) == pytest.approx(-polarity(thumb), abs=1e-6)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("share", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("grey", [0.0, 255.0])
def test_a_border_does_not_decide_which_end_of_the_greys_is_air(name: str, share: float, grey: float):
    image = phantom(name, 0)
    width = round(share * len(image))
    bordered = cv2.copyMakeBorder(image, *[width] * 4, cv2.BORDER_CONSTANT, value=(grey,))
    result = harmonize_image(np.asarray(bordered, np.uint8), SourceParams(), TARGET)
    assert not result.inverted
    assert harmonize_image(np.asarray(255 - bordered, np.uint8), SourceParams(), TARGET).inverted


@pytest.mark.real
def test_the_polarity_of_real_radiographs_is_told_right(test_data: Path):
    for path in sorted((test_data / "radiographs").rglob("*.png")):
        thumb = thumbnail(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8))[0]
        assert polarity(thumb) > SURE_POLARITY
        assert polarity(255 - thumb) < -SURE_POLARITY
