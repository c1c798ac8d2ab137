"""What the low-resolution input of super-resolution suffers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from small import pictures

from panodiff import images
from panodiff.degradation.area import area_average, blur
from panodiff.degradation.pairs import make_pairs
from panodiff.images import from_unit, to_unit
from panodiff.params import DegradationParams
from panodiff.randomness import torch_generator

NONE = DegradationParams(kind="area", noise=0, grain=0, blur=0)


def degrade(
    high_res: torch.Tensor, scale: int, params: DegradationParams, draws: list[torch.Generator]
) -> torch.Tensor:
    low_res, wanted = make_pairs(high_res, scale, params, draws)
    assert wanted is high_res
    return low_res


def generators(*indices: int) -> list[torch.Generator]:
    return [torch_generator(1, "test", index) for index in indices]


@given(st.sampled_from([2, 3, 4]), st.integers(0, 2**31))
def test_without_damage_it_is_bit_for_bit_the_area_average_of_the_harmonized_images(scale: int, seed: int):
    image = np.random.default_rng(seed).integers(0, 256, (8 * scale, 12 * scale), dtype=np.uint8)
    expected = images.area_average(image, scale)
    assert np.array_equal(from_unit(area_average(to_unit(image[None]), scale))[0], expected)
    assert np.array_equal(from_unit(degrade(to_unit(image[None]), scale, NONE, generators(0)))[0], expected)


@settings(deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 5), st.integers(0, 10**6))
def test_what_comes_out_is_8_bit_and_in_range(noise: float, grain: float, sigma: float, index: int):
    high_res = to_unit(pictures(2, 32, 64))
    params = DegradationParams(kind="area", noise=noise, grain=grain, blur=sigma)
    low_res = degrade(high_res, 2, params, generators(index, index + 1))
    assert low_res.shape == (2, 1, 16, 32)
    assert 0 <= low_res.min() <= low_res.max() <= 1
    torch.testing.assert_close(low_res * 255, (low_res * 255).round(), atol=1e-4, rtol=0)


def test_an_images_damage_is_its_own():
    high_res = to_unit(pictures(3, 32, 64))
    params = DegradationParams(kind="area", noise=0.05, grain=0.05, blur=1)
    together = degrade(high_res, 2, params, generators(0, 1, 2))
    assert torch.equal(together[1:2], degrade(high_res[1:2], 2, params, generators(1)))
    assert not torch.equal(together[1:2], degrade(high_res[1:2], 2, params, generators(4)))


@pytest.mark.parametrize(("noise", "grain"), [(0.1, 0), (0, 0.1)])
def test_noise_has_a_deviation_from_zero_to_the_largest(noise: float, grain: float):
    grey = torch.full((400, 1, 32, 32), 0.5)
    params = DegradationParams(kind="area", noise=noise, grain=grain, blur=0)
    deviations = degrade(grey, 2, params, generators(*range(400))).std((1, 2, 3))
    assert deviations.max() < 0.11
    assert deviations.max() > 0.09
    assert deviations.min() < 0.01
    assert deviations.mean() == pytest.approx(0.05, abs=0.005)


def neighbours_alike(images: torch.Tensor) -> float:
    """The correlation of pixels side by side."""
    rest = images - images.mean()
    return float((rest[..., 1:] * rest[..., :-1]).mean() / rest.square().mean())


def test_grain_is_smooth_and_noise_is_not():
    grey = torch.full((200, 1, 32, 32), 0.5)
    white = degrade(grey, 2, DegradationParams(kind="area", noise=0.1, grain=0, blur=0), generators(*range(200)))
    grain = degrade(grey, 2, DegradationParams(kind="area", noise=0, grain=0.1, blur=0), generators(*range(200)))
    assert neighbours_alike(white) == pytest.approx(0, abs=0.02)
    assert neighbours_alike(grain) > 0.5


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0])
def test_blur_is_a_gaussian_of_five_pixels_with_repeated_edges(sigma: float):
    image = to_unit(pictures(1, 16, 24))
    rows = gaussian_filter1d(image[0, 0].numpy(), sigma, axis=0, mode="nearest", radius=2)
    expected = gaussian_filter1d(rows, sigma, axis=1, mode="nearest", radius=2)
    np.testing.assert_allclose(blur(image, sigma)[0, 0], expected, atol=1e-6)
    assert torch.equal(blur(image, 0), image)
    torch.testing.assert_close(blur(image, 1e-30), image)
