"""How much images of one set differ from each other: a collapsed model draws one radiograph again and again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from panodiff.evaluation.sets.intervals import NUM_GROUPS, Estimate, interval
from panodiff.features.perceptual import perceptual_distance
from panodiff.images import read_grey, to_unit
from panodiff.progress import Progress
from panodiff.randomness import numpy_generator
from panodiff.superres.metrics import multiscale_ssim

NUM_IMAGES = 200  # of a set that are compared, at most
_BATCH = 4  # pairs at once


@torch.inference_mode()
def pairwise(
    paths: Sequence[Path], lpips: nn.Module | None, *, seed: int, device: torch.device, what: str
) -> dict[str, Any]:
    """Mean MS-SSIM (1: all alike) and LPIPS (0: all alike) of random pairs of the images, with 95 % intervals.

    At most NUM_IMAGES images, in a random ring: each is compared with the next one. MS-SSIM between samples is the
    measure of Odena, Olah & Shlens (2017), LPIPS between them that of Zhu et al. (2017). Neither has a good value of
    its own: what counts is that of real images.

    Args:
        paths: 8-bit grey PNGs of one size, three at least.
        lpips: From `load_lpips`; None leaves the metric out.
        seed: Of the draw.
        device: Where the network is.
        what: What the progress calls the work.
    """
    ring = numpy_generator(seed, "evaluate/diversity").permutation(len(paths))[:NUM_IMAGES]
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ms_ssim": multiscale_ssim}
    if lpips is not None:
        measures["lpips"] = lambda some, others: perceptual_distance(lpips, some, others)
    values: dict[str, list[float]] = {name: [] for name in measures}
    progress = Progress(len(ring), what)
    for start in range(0, len(ring), _BATCH):
        order = ring[np.arange(start, min(start + _BATCH, len(ring)) + 1) % len(ring)]
        images = to_unit(np.stack([read_grey(paths[index]) for index in order])).to(device)  # (B + 1, 1, H, W)
        for name, measure in measures.items():
            values[name] += measure(images[:-1], images[1:]).tolist()
        progress.advance(len(order) - 1)
    progress.close()
    return {"num_pairs": len(ring)} | {name: _mean(np.array(found)) for name, found in values.items()}


def _mean(values: np.ndarray) -> Estimate:
    """With its interval by stretches of the ring: pairs beside each other share an image and are not independent."""
    stretches = np.array_split(np.arange(len(values)), min(NUM_GROUPS, len(values)))
    return interval(float(values.mean()), [[float(np.delete(values, stretch).mean()) for stretch in stretches]])
