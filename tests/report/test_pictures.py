"""Pictures: which are chosen, how they are cut, what encoding costs them."""

import base64

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import pictures

from panodiff.images import tile
from panodiff.report.numbers import Absent
from panodiff.report.pictures import LOSSLESS_PIXELS, Shot, fit, gallery, spread
from panodiff.report.sections.shots import _cells


def decoded(uri: str, kind: int = cv2.IMREAD_GRAYSCALE) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), kind)


def test_small_pictures_are_embedded_without_loss():
    (image,) = pictures(1, 64, 128)
    ((picture,), factor) = fit([Shot(image, "small")], 100_000)
    assert np.array_equal(decoded(picture.src), image)
    assert (picture.width, picture.height, factor) == (128, 64, 1)


def test_large_pictures_are_small_files_that_look_the_same():
    (image,) = pictures(1, 512, 1024)
    assert image.size > LOSSLESS_PIXELS
    ((picture,), _) = fit([Shot(image, "large")], 10**6)
    assert len(picture.src) < image.size / 4
    assert np.abs(decoded(picture.src).astype(float) - image).mean() < 2


def test_a_picture_in_colour_keeps_its_colours():
    image = np.full((64, 128, 3), (20, 120, 220), np.uint8)
    ((picture,), _) = fit([Shot(image, "orange")], 10**6)
    assert np.abs(decoded(picture.src, cv2.IMREAD_COLOR).astype(float) - image).max() < 8


@settings(max_examples=10, deadline=None)
@given(st.integers(20_000, 400_000))
def test_pictures_lose_just_enough_to_fit(num_bytes: int):
    shots = [Shot(image, "noise") for image in np.random.default_rng(0).integers(0, 256, (3, 128, 256), np.uint8)]
    found, factor = fit(shots, num_bytes)
    assert sum(len(base64.b64decode(picture.src.split(",")[1])) for picture in found) <= num_bytes
    assert found[0].width == 256 // factor
    assert factor == 1 or num_bytes < 3 * 128 * 256 / (factor - 1) ** 2


def test_more_pictures_than_the_page_can_hold_are_refused_with_what_to_change():
    shots = [Shot(image, "noise") for image in np.random.default_rng(0).integers(0, 256, (9, 64, 128), np.uint8)]
    with pytest.raises(ValueError, match=r"set report\.num_samples or report\.num_pairs lower"):
        fit(shots, 100)


def test_a_figure_keeps_its_rows_and_one_that_is_left_out_its_reason():
    first, second, third = (Shot(image, str(number)) for number, image in enumerate(pictures(3, 8, 16)))
    found = gallery([[first, second], [third]], 10**5)
    assert not isinstance(found, Absent)
    assert [[picture.alt for picture in row] for row in found.rows] == [["0", "1"], ["2"]]
    assert gallery(Absent("why"), 10**5) == Absent("why")


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
