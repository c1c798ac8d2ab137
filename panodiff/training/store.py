"""The training images, decoded once into a memory-mapped file: memory does not grow with their number."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from panodiff import launch
from panodiff.files import written_whole
from panodiff.images import read_grey
from panodiff.progress import Progress

ImageStore = NDArray[np.uint8]  # (N, H, W), memory-mapped
_BATCH = 64


def open_store(paths: list[Path], cache: Path) -> ImageStore:
    """The images at `paths`, all of one size, as one uint8 array (N, H, W) mapped from the file `cache`.

    Raises:
        ValueError: The images differ in size.
    """
    if launch.rank() == 0 and not cache.exists():
        _decode(paths, cache)
    launch.barrier()
    images: ImageStore = np.load(cache, mmap_mode="r")
    return images


def _decode(paths: list[Path], cache: Path) -> None:
    shape = read_grey(paths[0]).shape
    with (
        written_whole(cache) as aside,
        aside.open("wb") as file,
        ThreadPoolExecutor(launch.num_workers()) as pool,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *shape)}
        np.lib.format.write_array_header_1_0(file, header)  # np.save's header, then image after image
        progress = Progress(len(paths), "decoding")
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            for path, image in zip(batch, pool.map(read_grey, batch), strict=True):
                if image.shape != shape:
                    raise ValueError(f"all images must be {shape}, but {path} is {image.shape}")
                file.write(image.tobytes())
            progress.advance(len(batch))
        progress.close()


def take(store: ImageStore, indices: list[int]) -> torch.Tensor:
    """The images at `indices`, uint8 (B, H, W)."""
    return torch.from_numpy(np.stack([store[index] for index in indices]))
