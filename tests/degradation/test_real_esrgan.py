"""The damage of photographs, on drawn radiographs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import pictures

from panodiff.degradation.area import area_average
from panodiff.degradation.pairs import make_pairs
from panodiff.degradation.real_esrgan import damage_photograph, sharpen
from panodiff.images import to_unit
from panodiff.params import DegradationParams
from panodiff.randomness import torch_generator

PARAMS = DegradationParams(kind="real_esrgan", noise=0, grain=0, blur=0)


def generators(*indices: int) -> list[torch.Generator]:
    return [torch_generator(1, "test", index) for index in indices]


def picture(height: int = 64, width: int = 96) -> np.ndarray:
    return to_unit(pictures(1, height, width))[0, 0].numpy()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4]), st.integers(4, 20), st.integers(4, 20))
def test_what_comes_out_has_the_size_and_range_that_it_should(seed: int, scale: int, rows: int, columns: int):
    image = np.random.default_rng(seed).random((rows * scale, columns * scale), np.float32)
    damaged = damage_photograph(image, scale, np.random.default_rng(seed))
    assert damaged.shape == (rows, columns)
    assert damaged.dtype == np.float32
    assert 0 <= damaged.min() <= damaged.max() <= 1


def test_pairs_are_8_bit_and_each_image_has_its_own_damage():
    high_res = to_unit(pictures(3, 32, 64))
    low_res, wanted = make_pairs(high_res, 2, PARAMS, generators(0, 1, 2))
    assert low_res.shape == (3, 1, 16, 32)
    torch.testing.assert_close(low_res * 255, (low_res * 255).round(), atol=1e-4, rtol=0)
    alone, alone_wanted = make_pairs(high_res[1:2], 2, PARAMS, generators(1))
    assert torch.equal(low_res[1:2], alone)
    assert torch.equal(wanted[1:2], alone_wanted)
    assert not torch.equal(alone, make_pairs(high_res[1:2], 2, PARAMS, generators(4))[0])


def test_it_destroys_far_more_than_the_area_average_does():
    image = picture(128, 192)
    averaged = area_average(torch.from_numpy(image)[None, None], 4)[0, 0].numpy()
    errors = [
        np.sqrt(np.mean((damage_photograph(image, 4, np.random.default_rng(seed)) - averaged) ** 2))
        for seed in range(40)
    ]
    assert np.median(errors) > 5 / 255
    assert max(errors) > 15 / 255


def test_the_mean_grey_stays_about_where_it_was():
    image = picture()
    means = [damage_photograph(image, 2, np.random.default_rng(seed)).mean() for seed in range(60)]
    assert np.mean(means) == pytest.approx(image.mean(), abs=0.01)


def test_sharpening_lifts_edges_and_leaves_faint_texture_alone():
    step = np.full((80, 160), 0.3, np.float32)
    step[:, 80:] = 0.7
    sharpened = sharpen(step)
    assert sharpened[40, 80:84].min() > 0.74
    assert sharpened[40, 76:80].max() < 0.26
    faint = 0.5 + 0.02 * np.random.default_rng(0).random((80, 160), np.float32)  # 5 greys from end to end
    np.testing.assert_array_equal(sharpen(faint), faint)
