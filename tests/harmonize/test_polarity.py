"""Greys and polarity: what test_exposure.py leaves open."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panodiff.harmonize.exposure import SURE_POLARITY, polarity, to_8_bits
from panodiff.harmonize.field import thumbnail
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.sources.phantom import DEVICES, draw_phantom

TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")


def phantom(name: str, patient: int, width: int = 700) -> Grey:
    height, native, _ = DEVICES[name].sizes[0]
    return draw_phantom(7, patient, round(width * height / native), width, DEVICES[name])[0]


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
