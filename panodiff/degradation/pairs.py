"""Training pairs: what super-resolution is shown, and what it is asked for."""

import numpy as np
import torch
from torch import Tensor

from panodiff.degradation.area import damaged_average
from panodiff.degradation.real_esrgan import damage_photograph, sharpen
from panodiff.params import DegradationParams


def make_pairs(
    high_res: Tensor, scale: int, params: DegradationParams, generators: list[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """The 8-bit low-resolution images (B, 1, h, w), and the wanted ones (B, 1, H, W); both in [0, 1].

    `area` wants the images as they are. `real_esrgan` wants, and damages, sharpened ones, as published.

    Args:
        high_res: (B, 1, H, W) in [0, 1], sides multiples of `scale`.
        scale: High-resolution pixels a low-resolution pixel, along one side.
        params: The kind of damage, and its strengths.
        generators: One an image, on the CPU: an image's damage is its own.
    """
    if params.kind == "area":
        pairs = zip(high_res, generators, strict=True)
        low_res = torch.stack([damaged_average(image, scale, params, generator) for image, generator in pairs])
        return _to_8_bit(low_res), high_res
    wanted = [sharpen(image[0].numpy()) for image in high_res]
    damaged = [
        damage_photograph(image, scale, _numpy_generator(generator))
        for image, generator in zip(wanted, generators, strict=True)
    ]
    return _to_8_bit(_to_tensor(damaged)), _to_tensor(wanted)


def _numpy_generator(generator: torch.Generator) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(int(torch.randint(2**62, (), generator=generator))))


def _to_tensor(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images))[:, None]


def _to_8_bit(images: Tensor) -> Tensor:
    return images.clamp(0, 1).mul(255).add(0.5).floor().div(255)
