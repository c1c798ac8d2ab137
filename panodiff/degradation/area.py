"""Damage of the kind that this pipeline's low-resolution images have: the area average, and what the sampler adds."""

import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.params import DegradationParams

_GRAIN_SIGMA = (0.5, 1.5)  # low-resolution pixels over which the sampler's errors are smooth


def area_average(high_res: Tensor, scale: int) -> Tensor:
    """8-bit images (B, 1, H, W) in [0, 1] reduced by `scale`, to the last bit as `images.area_average` does it."""
    grey = high_res.mul(255).round()  # whole numbers: sums and halves are exact
    return F.avg_pool2d(grey, scale).add(0.5).floor().div(255)


def damaged_average(high_res: Tensor, scale: int, params: DegradationParams, generator: torch.Generator) -> Tensor:
    """The area average (1, h, w) of `high_res` (1, H, W), both in [0, 1]: blurred, with white noise and with grain.

    The strengths are drawn from zero up to those of `params`. They keep what the diffusion model draws, which is never
    quite as clean as an average, inside of what was trained on.
    """
    image = area_average(high_res[None], scale)
    strengths = torch.tensor([params.blur, params.noise, params.grain, _GRAIN_SIGMA[1] - _GRAIN_SIGMA[0]])
    sigma_blur, noise, grain, wider = (torch.rand(4, generator=generator) * strengths).tolist()
    white, rough = torch.randn((2, 1, *image.shape[1:]), generator=generator)
    smooth = blur(rough, _GRAIN_SIGMA[0] + wider)
    damaged: Tensor = blur(image, sigma_blur) + noise * white + grain * smooth / smooth.square().mean().sqrt()
    return damaged[0]


def blur(images: Tensor, sigma: float) -> Tensor:
    """`images` (B, 1, H, W) under a Gaussian of `sigma` pixels, 5 × 5, edges repeated; sigma 0 leaves them alone."""
    if sigma == 0:
        return images
    kernel = torch.exp(-0.5 * (torch.arange(-2, 3) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
