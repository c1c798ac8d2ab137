"""Pictures in and out, and the ranges of their values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce
from small import pictures

from panodiff.images import (
    area_average,
    from_signed,
    from_unit,
    lanczos,
    read_grey,
    read_text_chunks,
    tile,
    to_signed,
    to_unit,
    write_grey,
)

ALL_GREYS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


def test_every_grey_value_survives_both_ranges():
    assert np.array_equal(from_unit(to_unit(ALL_GREYS)), ALL_GREYS)
    assert np.array_equal(from_signed(to_signed(ALL_GREYS)), ALL_GREYS)
    assert np.array_equal(from_signed(to_signed(torch.from_numpy(ALL_GREYS))), ALL_GREYS)
    assert to_unit(ALL_GREYS).shape == (1, 1, 16, 16)
    assert (to_unit(ALL_GREYS).min(), to_unit(ALL_GREYS).max()) == (0, 1)
    assert (to_signed(ALL_GREYS).min(), to_signed(ALL_GREYS).max()) == (-1, 1)


def test_values_beyond_the_range_are_cut_and_others_rounded_to_the_nearest():
    values = torch.tensor([-3.0, 0.49 / 255, 0.51 / 255, 254.49 / 255, 254.51 / 255, 7.0]).reshape(1, 1, 1, 6)
    assert from_unit(values).tolist() == [[[0, 0, 1, 254, 255, 255]]]
    assert from_signed(values * 2 - 1).tolist() == [[[0, 0, 1, 254, 255, 255]]]


def test_a_picture_comes_back_from_disk_with_its_text(tmp_path: Path):
    image = pictures(1, 12, 20)[0]
    write_grey(tmp_path / "a.png", image, {"Title": "Synthetisch – künstlich", "panodiff:index": "3"})
    assert np.array_equal(read_grey(tmp_path / "a.png"), image)
    assert read_text_chunks(tmp_path / "a.png") == {"Title": "Synthetisch – künstlich", "panodiff:index": "3"}
    with Image.open(tmp_path / "a.png") as other_reader:
        assert other_reader.mode == "L"
        assert np.array_equal(np.asarray(other_reader), image)
    write_grey(tmp_path / "b.png", image)
    assert read_text_chunks(tmp_path / "b.png") == {}


@pytest.mark.parametrize("kind", ["colour", "16 bit", "text", "missing"])
def test_what_this_pipeline_did_not_write_is_refused_by_name(tmp_path: Path, kind: str):
    path = tmp_path / "a.png"
    if kind == "colour":
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    elif kind == "16 bit":
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(path)
    elif kind == "text":
        path.write_text("no picture")
    with pytest.raises(ValueError, match=r"a\.png must be an 8-bit grey PNG"):
        read_grey(path)


@given(st.sampled_from([2, 3, 4]), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_the_area_average_is_the_mean_rounded_half_up(factor: int, rows: int, columns: int, seed: int):
    image = np.random.default_rng(seed).integers(0, 256, (rows * factor, columns * factor), dtype=np.uint8)
    found = area_average(image, factor)
    assert found.shape == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            block = image[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            total, count = int(block.sum()), factor**2
            assert found[row, column] == total // count + (2 * (total % count) >= count)


def test_a_tiled_sheet_has_each_picture_in_its_place_and_white_between():
    images = [np.full((3, 4), value, np.uint8) for value in (10, 20, 30)]
    sheet = tile(images, columns=2, gap=1)
    assert sheet.shape == (7, 9)
    assert (sheet[:3, :4] == 10).all()
    assert (sheet[:3, 5:] == 20).all()
    assert (sheet[4:, :4] == 30).all()
    assert (sheet[3] == 255).all()
    assert (sheet[:, 4] == 255).all()
    assert (sheet[4:, 5:] == 255).all()


@pytest.mark.parametrize("factor", [2, 3, 4, 16])
def test_an_area_average_is_the_mean_of_each_block_rounded_half_up(factor: int):
    image = np.random.default_rng(factor).integers(0, 256, (5 * factor, 7 * factor), np.uint8)
    image[:factor, :factor] = 255
    means = block_reduce(image.astype(float), (factor, factor), np.mean)
    assert np.array_equal(area_average(image, factor), np.floor(means + 0.5))


@pytest.mark.parametrize("size", [(64, 128), (100, 333), (37, 50)])
def test_lanczos_is_that_filter_in_floating_point_but_for_rounding(size: tuple[int, int]):
    image = smooth(np.random.default_rng(1), (256, 512))
    in_float = Image.fromarray(image.astype(np.float32)).resize(size[::-1], Image.Resampling.LANCZOS)
    assert np.abs(lanczos(image, size) - np.asarray(in_float)).max() < 1.1
    assert np.abs(lanczos(image, size).astype(int) - image.mean()).max() > 50  # there is something to compare


def smooth(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A picture without the sharp edges at which a filter overshoots black and white."""
    return (128 + 250 * gaussian_filter(rng.normal(size=size), 2)).clip(20, 235).astype(np.uint8)


def test_lanczos_to_the_same_size_changes_nothing():
    image = np.random.default_rng(2).integers(0, 256, (40, 60), np.uint8)
    assert np.array_equal(lanczos(image, (40, 60)), image)
