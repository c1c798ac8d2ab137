"""How near a restored radiograph comes to the real one."""

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from panodiff.features.perceptual import perceptual_distance
from panodiff.images import from_unit, to_unit

MAX_PSNR_DB = 100.0  # stands for infinity, of equal images


def measure(found: Tensor, true: Tensor, lpips: nn.Module | None) -> dict[str, Tensor]:
    """PSNR in dB, SSIM (Wang et al. 2004) and, given a network, LPIPS, (B,) each, of (B, 1, H, W) in [0, 1]."""
    psnr = peak_signal_noise_ratio(found, true, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(found, true, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)  # a pair only where the contrast map is asked for too
    measured = {"psnr": psnr.clamp(max=MAX_PSNR_DB), "ssim": ssim.flatten()}
    return measured if lpips is None else measured | {"lpips": perceptual_distance(lpips, found, true)}


def as_published(images: Tensor) -> Tensor:
    """Images (B, 1, H, W), about [0, 1], rounded to the 8 bits that are written."""
    return to_unit(torch.from_numpy(from_unit(images))).to(images.device)
