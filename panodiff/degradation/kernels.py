"""Blur kernels of the second-order degradation (Wang et al. 2021, arXiv 2107.10833, section 3.1 and 3.3).

All are square, of odd side, float64, and sum to 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

Kernel = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Blurs:
    """What a kernel's shape is drawn from."""

    sinc: float  # chance of a sinc filter instead of a bell
    sigma: tuple[float, float]  # pixels
    generalised: tuple[float, float]  # exponents β of generalised Gaussians
    plateau: tuple[float, float]  # exponents β of plateaus


_SIDES = range(7, 22, 2)
_BELLS = (("gaussian", 0.7), ("generalised", 0.15), ("plateau", 0.15))
_ISOTROPIC = {"gaussian": 0.45 / 0.7, "generalised": 0.8, "plateau": 0.8}  # share of the kind's kernels that are round


def draw_kernel(blurs: Blurs, rng: np.random.Generator) -> Kernel:
    """A bell or, with the chance of `blurs.sinc`, a sinc filter; of side 7 to 21."""
    side = int(rng.choice(_SIDES))
    if rng.random() < blurs.sinc:
        return sinc_kernel(side, rng.uniform(np.pi / 3 if side < 13 else np.pi / 5, np.pi))
    kind = str(rng.choice([name for name, _ in _BELLS], p=[chance for _, chance in _BELLS]))
    sigma_x, sigma_y, angle = rng.uniform(*blurs.sigma), rng.uniform(*blurs.sigma), rng.uniform(-np.pi, np.pi)
    if rng.random() < _ISOTROPIC[kind]:
        sigma_y = sigma_x
    if kind == "gaussian":
        return bell(side, sigma_x, sigma_y, angle)
    low, high = blurs.generalised if kind == "generalised" else blurs.plateau
    beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    return bell(side, sigma_x, sigma_y, angle, beta=beta, plateau=kind == "plateau")


def bell(
    side: int, sigma_x: float, sigma_y: float, angle: float, *, beta: float = 1.0, plateau: bool = False
) -> Kernel:
    """exp(-d^β / 2) or, a plateau, 1 / (1 + d^β), where d = xᵀ Σ⁻¹ x and Σ has these axes, turned by `angle`."""
    x, y = _offsets(side)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    d = (along / sigma_x) ** 2 + (across / sigma_y) ** 2
    return _normalised(1 / (1 + d**beta) if plateau else np.exp(-0.5 * d**beta))


def sinc_kernel(side: int, cutoff: float) -> Kernel:
    """The circular low-pass filter ω J₁(ω r) / (2π r) of cutoff frequency ω (radians a pixel): it leaves ringing."""
    radius = np.hypot(*_offsets(side))
    middle = radius == 0
    safe = np.where(middle, 1, radius)
    return _normalised(np.where(middle, cutoff**2 / (4 * np.pi), cutoff * j1(cutoff * safe) / (2 * np.pi * safe)))


def _offsets(side: int) -> tuple[Kernel, Kernel]:
    along = np.arange(side, dtype=np.float64) - side // 2
    x, y = np.meshgrid(along, along)
    return x, y


def _normalised(kernel: Kernel) -> Kernel:
    return kernel / kernel.sum()
