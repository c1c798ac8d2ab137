"""Super-resolution on held-out radiographs: real low-resolution images restored, against their real high resolution."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from panodiff.evaluation.perceptual import perceptual_distance
from panodiff.images import from_unit, read_grey, to_unit
from panodiff.progress import Progress
from panodiff.randomness import numpy_generator
from panodiff.superres.model import bicubic

Upscaler = Callable[[Tensor], Tensor]  # (B, 1, h, w) in [0, 1] → (B, 1, H, W) in [0, 1]
METHODS = ("superres", "bicubic")
MAX_PSNR_DB = 100.0  # stands for infinity, of equal images
_BATCH = 4  # images restored at once: the published network takes about 2 GiB for each
_RESAMPLES = 2000


def measure(found: Tensor, true: Tensor, lpips: nn.Module | None) -> dict[str, Tensor]:
    """PSNR in dB, SSIM (Wang et al. 2004) and, given a network, LPIPS, (B,) each, of (B, 1, H, W) in [0, 1]."""
    psnr = peak_signal_noise_ratio(found, true, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(found, true, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)  # a pair only where the contrast map is asked for too
    measured = {"psnr": psnr.clamp(max=MAX_PSNR_DB), "ssim": ssim.flatten()}
    return measured if lpips is None else measured | {"lpips": perceptual_distance(lpips, found, true)}


@torch.inference_mode()
def restore_all(
    paths: Mapping[str, list[Path]],
    upscale: Upscaler,
    *,
    lpips: nn.Module | None,
    device: torch.device,
) -> dict[str, NDArray[np.float64]]:
    """Each image's metrics, (N,) by `<metric>_<method>`: the network and bicubic against the real high resolution.

    Restored images are rounded to 8 bits first, as they are published.

    Args:
        paths: The real images under "low" and "high", in one order.
        upscale: The super-resolution network.
        lpips: From `load_lpips`; None leaves the metric out.
        device: Where the networks are.
    """
    columns: dict[str, list[NDArray[np.float64]]] = {}
    progress = Progress(len(paths["low"]), "restoring")
    for start in range(0, len(paths["low"]), _BATCH):
        low, true = (_load(paths[size][start : start + _BATCH], device) for size in ("low", "high"))
        scale = true.shape[-1] // low.shape[-1]
        for method, restored in zip(METHODS, (upscale(low), bicubic(low, scale)), strict=True):
            for metric, values in measure(_published(restored), true, lpips).items():
                columns.setdefault(f"{metric}_{method}", []).append(values.double().cpu().numpy())
        progress.advance(len(low))
    progress.close()
    return {name: np.concatenate(values) for name, values in columns.items()}


def _load(paths: Sequence[Path], device: torch.device) -> Tensor:
    return to_unit(np.stack([read_grey(path) for path in paths])).to(device)


def _published(images: Tensor) -> Tensor:
    return to_unit(from_unit(images)).to(images.device)


def summarize(columns: dict[str, NDArray[np.float64]], seed: int) -> dict[str, dict[str, Any]]:
    """Means over the images with 95 % intervals, a metric: of each method, and of the network's gain over bicubic."""
    metrics = dict.fromkeys(name.removesuffix("_bicubic") for name in columns if name.endswith("_bicubic"))
    summary: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        values = {method: columns[f"{metric}_{method}"] for method in METHODS}
        values["superres_minus_bicubic"] = values["superres"] - values["bicubic"]
        summary[metric] = {
            name: mean_interval(sample, seed, f"evaluate/{metric}/{name}") for name, sample in values.items()
        }
    return summary


def mean_interval(values: NDArray[np.float64], seed: int, purpose: str) -> dict[str, float]:
    """The mean and its 95 % percentile bootstrap interval (Efron 1979) over at least two images."""
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=100,
        confidence_level=0.95,
        method="percentile",
        rng=numpy_generator(seed, purpose),
    ).confidence_interval
    return {"mean": float(values.mean()), "low": float(found.low), "high": float(found.high)}
