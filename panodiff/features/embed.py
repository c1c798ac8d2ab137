"""Features of image files: one pass over the files, a batch in memory at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from panodiff import launch
from panodiff.images import Grey, read_grey, to_unit
from panodiff.progress import Progress

Features = NDArray[np.float64]  # (N, D): N images, D features


def embed(
    paths: Sequence[Path], network: nn.Module, *, batch_size: int, device: torch.device, what: str = "features"
) -> Features:
    """Features (N, D) of the 8-bit grey PNGs at `paths`, in their order, computed in float32.

    Args:
        paths: Images of one size.
        network: Maps (B, 1, H, W) in [0, 1] to (B, D); on `device`, in evaluation mode.
        batch_size: Images at once; features do not depend on it beyond rounding.
        device: Where the network is.
        what: What the progress calls the work.

    Raises:
        ValueError: There are no images, or they differ in size.
    """
    if not paths:
        raise ValueError(f"{what}: there are no images to take features of")
    found = []
    progress = Progress(len(paths), what)
    with ThreadPoolExecutor(launch.num_workers()) as pool, torch.inference_mode():
        size = read_grey(paths[0]).shape
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            decoded = zip(pool.map(read_grey, batch), batch, strict=True)
            images = np.stack([_of_size(image, size, path) for image, path in decoded])  # (B, H, W)
            found.append(network(to_unit(images).to(device)).double().cpu().numpy())  # (B, D)
            progress.advance(len(batch))
    progress.close()
    return np.concatenate(found)


def _of_size(image: Grey, size: tuple[int, ...], path: Path) -> Grey:
    if image.shape != size:
        raise ValueError(f"images compared with each other must be of one size: {path} is {image.shape}, not {size}")
    return image
