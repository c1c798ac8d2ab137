"""Super-resolution on held-out radiographs: real low-resolution images restored, against their real high resolution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap
from torch import Tensor, nn

from panodiff.evaluation.looks.spectrum import radial_power
from panodiff.features.embed import Features
from panodiff.images import read_grey, to_unit
from panodiff.progress import Progress
from panodiff.randomness import numpy_generator
from panodiff.superres.metrics import as_published, measure, multiscale_ssim
from panodiff.superres.model import bicubic

Upscaler = Callable[[Tensor], Tensor]  # (B, 1, h, w) in [0, 1] → (B, 1, H, W) in [0, 1]
Extractor = Callable[[Tensor], Tensor]  # (B, 1, H, W) in [0, 1] → features (B, D)
METHODS = ("superres", "bicubic")
_BATCH = 4  # images restored at once: the published network takes about 2 GiB for each
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """What was measured on N images as each of METHODS restored them and, but for the metrics, as they are ("real")."""

    metrics: dict[str, NDArray[np.float64]]  # (N,) by <metric>_<method>
    features: dict[str, dict[str, Features]]  # (N, D) by the extractor's name, then by method
    spectra: dict[str, NDArray[np.float64]]  # mean of radial_power, by method


@torch.inference_mode()
def restore_all(
    paths: Mapping[str, list[Path]],
    upscale: Upscaler,
    *,
    lpips: nn.Module | None,
    extractors: Mapping[str, Extractor],
    device: torch.device,
) -> Restoration:
    """Restore the low-resolution images with the network and by bicubic enlargement, and measure.

    Restored images are rounded to 8 bits first, as they are published.

    Args:
        paths: The real images under "low" and "high", in one order.
        upscale: The super-resolution network.
        lpips: From `load_lpips`; None leaves the metric out.
        extractors: By the name that their features shall have.
        device: Where the networks are.

    Raises:
        ValueError: The network enlarges by another factor than that between the images.
    """
    metrics: dict[str, list[Tensor]] = {}
    features: dict[tuple[str, str], list[Tensor]] = {}
    spectra: dict[str, list[Tensor]] = {}
    progress = Progress(len(paths["low"]), "restoring")
    for start in range(0, len(paths["low"]), _BATCH):
        low, true = (_load(paths[size][start : start + _BATCH], device) for size in ("low", "high"))
        enlarged = {"superres": upscale(low), "bicubic": bicubic(low, true.shape[-1] // low.shape[-1])}
        _check_size(enlarged["superres"], true)
        restored = {method: as_published(images) for method, images in enlarged.items()}
        for method, images in restored.items():
            found = measure(images, true, lpips) | {"ms_ssim": multiscale_ssim(images, true)}
            for metric, values in found.items():
                metrics.setdefault(f"{metric}_{method}", []).append(values)
        for method, images in (restored | {"real": true}).items():
            spectra.setdefault(method, []).append(radial_power(images).sum(0, keepdim=True))
            for name, extract in extractors.items():
                features.setdefault((name, method), []).append(extract(images))
        progress.advance(len(low))
    progress.close()
    return Restoration(
        metrics={name: _joined(values) for name, values in metrics.items()},
        features={
            name: {method: _joined(values) for (owner, method), values in features.items() if owner == name}
            for name in extractors
        },
        spectra={method: _joined(sums).sum(0) / len(paths["low"]) for method, sums in spectra.items()},
    )


def _check_size(restored: Tensor, true: Tensor) -> None:
    if restored.shape != true.shape:
        found, wanted = ("×".join(map(str, images.shape[-2:])) for images in (restored, true))
        raise ValueError(
            f"the super-resolution model makes images of {found}, where harmonize.high_size is {wanted}: train or "
            f"import one of the scale between harmonize.low_size and harmonize.high_size"
        )


def _joined(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    return torch.cat(list(parts)).double().cpu().numpy()


def _load(paths: Sequence[Path], device: torch.device) -> Tensor:
    return to_unit(np.stack([read_grey(path) for path in paths])).to(device)


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
