"""The kernels of the second-order degradation."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import rotate
from scipy.signal.windows import gaussian

from panodiff.degradation.kernels import Blurs, Kernel, bell, draw_kernel, sinc_kernel
from panodiff.degradation.real_esrgan import FIRST


def variance_along_x(kernel: Kernel) -> float:
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel.sum(0) * offsets**2).sum())


@given(st.integers(0, 10**6))
def test_a_drawn_kernel_is_odd_centred_and_keeps_the_mean_grey(seed: int):
    kernel = draw_kernel(FIRST.blurs, np.random.default_rng(seed))
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] in range(7, 22, 2)
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    assert kernel.argmax() == kernel.size // 2


def test_the_plain_bell_is_a_gaussian():
    one = gaussian(21, 2.0)
    np.testing.assert_allclose(bell(21, 2.0, 2.0, 0.3), np.outer(one, one) / np.outer(one, one).sum(), atol=1e-12)


def test_the_axes_of_a_bell_are_sigmas_and_turn_with_the_angle():
    flat = bell(41, 4.0, 1.0, 0.0)
    assert variance_along_x(flat) == pytest.approx(16, rel=0.01)
    assert variance_along_x(flat.T) == pytest.approx(1, rel=0.01)
    np.testing.assert_allclose(bell(41, 4.0, 1.0, np.pi / 2), flat.T, atol=1e-12)
    np.testing.assert_allclose(bell(41, 4.0, 1.0, -np.pi / 4), rotate(flat, 45, reshape=False, order=3), atol=2e-3)


@pytest.mark.parametrize(
    ("plateau", "shape"), [(False, lambda d: np.exp(-(d**3) / 2)), (True, lambda d: 1 / (1 + d**3))]
)
def test_exponents_and_plateaus_follow_their_formulas(plateau: bool, shape: Callable[[Kernel], Kernel]):
    offsets = np.arange(-7, 8)
    expected = shape((offsets**2 + offsets[:, None] ** 2) / 1.5**2)
    kernel = bell(15, 1.5, 1.5, 0.0, beta=3, plateau=plateau)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-12)


def test_a_sinc_filter_passes_below_its_cutoff_and_not_above():
    kernel = np.zeros((256, 256))
    kernel[:21, :21] = sinc_kernel(21, np.pi / 2)
    gain = np.abs(np.fft.fft2(kernel))[0]  # by frequency along x
    assert gain[: 128 // 4].min() > 0.8
    assert gain[3 * 128 // 4 : 128].max() < 0.2
    assert kernel.min() < 0  # hence the ringing


def test_kinds_come_as_often_as_they_should():
    rng = np.random.default_rng(0)
    never = Blurs(sinc=0.0, sigma=(1.0, 2.0), generalised=(0.5, 4.0), plateau=(1.0, 2.0))
    kernels = [draw_kernel(never, rng) for _ in range(2000)]
    assert min(kernel.min() for kernel in kernels) >= 0  # only a sinc filter is negative anywhere
    round_ones = sum(np.allclose(kernel, kernel.T, atol=1e-9) for kernel in kernels)
    assert round_ones / 2000 == pytest.approx(0.45 + 0.12 + 0.12, abs=0.04)
    often = Blurs(sinc=0.1, sigma=(1.0, 2.0), generalised=(0.5, 4.0), plateau=(1.0, 2.0))
    ringing = sum(draw_kernel(often, rng).min() < 0 for _ in range(2000))
    assert ringing / 2000 == pytest.approx(0.1, abs=0.03)
