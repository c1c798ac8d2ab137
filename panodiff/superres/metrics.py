"""How near a restored radiograph comes to the real one."""

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from panodiff.features.perceptual import perceptual_distance
from panodiff.images import from_unit, to_unit

_WINDOW = 11  # pixels, of SSIM's Gaussian
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM's scales, fine to coarse
MAX_PSNR_DB = 100.0  # stands for infinity, of equal images


def measure(found: Tensor, true: Tensor, lpips: nn.Module | None) -> dict[str, Tensor]:
    """PSNR in dB, SSIM (Wang et al. 2004) and, given a network, LPIPS, (B,) each, of (B, 1, H, W) in [0, 1]."""
    psnr = peak_signal_noise_ratio(found, true, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(found, true, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)  # a pair only where the contrast map is asked for too
    measured = {"psnr": psnr.clamp(max=MAX_PSNR_DB), "ssim": ssim.flatten()}
    return measured if lpips is None else measured | {"lpips": perceptual_distance(lpips, found, true)}


def multiscale_ssim(found: Tensor, true: Tensor) -> Tensor:
    """MS-SSIM (B,), up to 1 (Wang, Simoncelli & Bovik 2003), of images (B, 1, H, W) in [0, 1].

    The published five scales need sides of 176 pixels; of smaller images the finest that fit, their weights brought
    to a sum of 1.
    """
    weights = _WEIGHTS[: num_scales(min(true.shape[-2:]))]
    similarity: Tensor = multiscale_structural_similarity_index_measure(
        found, true, data_range=1.0, reduction="none", betas=tuple(weight / sum(weights) for weight in weights)
    )
    return similarity.flatten()


def num_scales(side: int) -> int:
    """How many scales of MS-SSIM an image has whose shorter side has so many pixels, 1 to 5."""
    return max(scales for scales in range(1, 6) if scales == 1 or side // (scales - 1) ** 2 >= _WINDOW)


def as_published(images: Tensor) -> Tensor:
    """Images (B, 1, H, W), about [0, 1], rounded to the 8 bits that are written."""
    return to_unit(torch.from_numpy(from_unit(images))).to(images.device)
