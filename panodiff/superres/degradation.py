"""From a high-resolution crop to the low-resolution input that super-resolution has to undo."""

import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.params import DegradationParams


def degrade(high_res: Tensor, scale: int, params: DegradationParams, generators: list[torch.Generator]) -> Tensor:
    """The 8-bit low-resolution images (B, 1, H / scale, W / scale) in [0, 1], each damaged by its own generator.

    The area average is exactly that of the harmonized images. A little blur and noise on top of it, of strengths
    drawn from zero up, keep what the diffusion model draws, which is never quite as clean, inside of what was
    trained on.

    Args:
        high_res: (B, 1, H, W) in [0, 1], sides multiples of `scale`.
        scale: High-resolution pixels a low-resolution pixel, along one side.
        params: The largest strengths.
        generators: One an image, on the CPU.
    """
    low_res = area_average(high_res, scale)
    damaged = [_damage(image, params, generator) for image, generator in zip(low_res, generators, strict=True)]
    return _to_8_bit(torch.stack(damaged))


def area_average(high_res: Tensor, scale: int) -> Tensor:
    """8-bit images (B, 1, H, W) in [0, 1] reduced by `scale`, to the last bit as `images.area_average` does it."""
    grey = high_res.mul(255).round()  # whole numbers: sums and halves are exact
    return F.avg_pool2d(grey, scale).add(0.5).floor().div(255)


def _damage(image: Tensor, params: DegradationParams, generator: torch.Generator) -> Tensor:
    sigma_blur, sigma_noise = (torch.rand(2, generator=generator) * torch.tensor([params.blur, params.noise])).tolist()
    noise = torch.randn(image.shape, generator=generator)
    return blur(image[None], sigma_blur)[0] + sigma_noise * noise


def blur(images: Tensor, sigma: float) -> Tensor:
    """`images` (B, 1, H, W) under a Gaussian of `sigma` pixels, 5 × 5, edges repeated; sigma 0 leaves them alone."""
    if sigma == 0:
        return images
    kernel = torch.exp(-0.5 * (torch.arange(-2, 3) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))


def _to_8_bit(images: Tensor) -> Tensor:
    return images.clamp(0, 1).mul(255).add(0.5).floor().div(255)
