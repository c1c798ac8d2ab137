"""Pictures: which are chosen, how they are cut, what encoding costs them."""

import base64

import cv2
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from small import pictures

from panodiff.images import tile
from panodiff.report.pictures import LOSSLESS_PIXELS, _cells, data_uri, factor_for, spread


def decoded(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_GRAYSCALE)


def test_small_pictures_are_embedded_without_loss():
    (image,) = pictures(1, 64, 128)
    assert np.array_equal(decoded(data_uri(image)), image)


def test_large_pictures_are_small_files_that_look_the_same():
    (image,) = pictures(1, 512, 1024)
    assert image.size > LOSSLESS_PIXELS
    uri = data_uri(image)
    assert len(uri) < image.size / 4
    assert np.abs(decoded(uri).astype(float) - image).mean() < 2


@given(st.integers(1, 10**9), st.integers(1, 10**8))
def test_pictures_shrink_just_enough(pixels: int, budget: int):
    factor = factor_for(pixels, budget)
    assert pixels / factor**2 <= budget * (1 + 1e-9)
    assert factor == 1 or pixels / (factor - 1) ** 2 > budget * (1 - 1e-9)


@given(st.integers(1, 5), st.integers(1, 4))
def test_a_sheet_is_cut_into_the_images_that_it_was_tiled_from(rows: int, columns: int):
    images = pictures(rows * columns, 8, 16)
    assert np.array_equal(_cells(tile(images, columns), rows, columns), images)


@given(st.integers(1, 30), st.integers(1, 40))
def test_a_spread_choice_has_both_ends_and_no_row_twice(rows: int, count: int):
    chosen = list(spread(pd.DataFrame({"id": range(rows)}), count)["id"])
    assert len(chosen) == len(set(chosen)) == min(rows, count)
    assert chosen[0] == 0
    assert chosen[-1] == rows - 1 or count == 1
