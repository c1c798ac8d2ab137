"""For each image the training image that comes closest to it: likely ones by their signatures, then by correlation.

Signatures are compared of all with all, a block at a time; the correlation is taken of the likeliest only. What is
compared lies in files, so that memory does not grow with the number of images.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np
from einops import rearrange, reduce
from numpy.typing import NDArray

from panodiff import launch
from panodiff.evaluation.copies import likeness
from panodiff.images import Grey
from panodiff.progress import track

NUM_CANDIDATES = 8  # training images whose correlation is taken, of both orientations together
_ROWS, _COLUMNS = 128, 2048  # samples by training images whose signatures are compared at once: 20 MB

Indices = NDArray[np.int64]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What is compared of N images, in files."""

    details: NDArray[np.uint8]  # (N, H, W)
    signatures: NDArray[np.float16]  # (N, 9, 512)

    def __len__(self) -> int:
        return len(self.details)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The training image that each of N images comes closest to."""

    nearest: Indices  # (N,), into the training images
    mirrored: NDArray[np.bool_]  # (N,): the mirror image comes that close
    correlation: NDArray[np.float64]  # (N,), aligned, -1 to 1


def open_gallery(paths: Sequence[Path], what: str) -> Gallery:
    """What is compared of the images at `paths`, in temporary files that go with it; `what` they are, for the progress.

    Raises:
        ValueError: The images differ in size.
    """
    size = likeness.read_small(paths[0]).shape
    prepared = _spread(_prepare, (paths[start : start + _ROWS] for start in range(0, len(paths), _ROWS)))
    with TemporaryFile() as details, TemporaryFile() as signatures:
        for path, (found, signature) in zip(paths, track(prepared, len(paths), f"details of {what}"), strict=True):
            if found.shape != size:
                raise ValueError(f"images compared with each other must be of one size: {path} is {found.shape}")
            details.write(found.tobytes())  # a map that is written to would end the process where the disk is full
            signatures.write(signature.astype(np.float16).tobytes())
        return Gallery(
            details=np.memmap(details, np.uint8, "r", shape=(len(paths), *size)),
            signatures=np.memmap(signatures, np.float16, "r", shape=(len(paths), *likeness.SIGNATURES)),
        )


def _prepare(path: Path) -> tuple[Grey, likeness.Signatures]:
    image = likeness.read_small(path)
    return likeness.details(image), likeness.signatures(image)


def search(samples: Gallery, train: Gallery, *, asked: Indices | None = None, groups: Indices | None = None) -> Found:
    """The training image that each of `samples`, or of those `asked` for by number, comes closest to.

    With `groups` the samples are the training images themselves, and those of a sample's own group are left out.

    Raises:
        ValueError: The images of both differ in size.
    """
    sizes = samples.details.shape[1:], train.details.shape[1:]
    if sizes[0] != sizes[1]:
        raise ValueError(f"images compared with training images must be of their size, {sizes[1]}, got {sizes[0]}")
    rows = np.arange(len(samples)) if asked is None else asked
    blocks = (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
    likely = (_likely(block, samples, train, groups) for block in blocks)
    closest = _spread(partial(_closest, samples=samples, train=train), likely)
    numbers, correlation = zip(*track(closest, len(rows), "looking for copies"), strict=True)
    is_mirrored, nearest = np.divmod(np.array(numbers), len(train))
    return Found(nearest=nearest, mirrored=is_mirrored.astype(np.bool_), correlation=np.array(correlation))


def _likely(block: Indices, samples: Gallery, train: Gallery, groups: Indices | None) -> Iterator[tuple[int, Indices]]:
    """For each row of a block the numbers (≤ NUM_CANDIDATES,) of the training images most like it.

    What is like its mirror image is counted on from the number of training images.
    """
    plain = samples.signatures[block].astype(np.float32)
    both = rearrange([plain, likeness.mirrored(plain)], "m b o d -> (m b o) d")
    likeliest = np.full((len(block), 0), -np.inf, np.float32)
    numbers = np.zeros((len(block), 0), np.int64)
    for start in range(0, len(train), _COLUMNS):
        columns = np.arange(start, min(start + _COLUMNS, len(train)))
        centred = train.signatures[columns, likeness.CENTRE].astype(np.float32)  # (C, 512)
        like = reduce(both @ centred.T, "(m b o) c -> m b c", "max", m=2, b=len(block))
        if groups is not None:
            like[:, groups[block][:, None] == groups[columns]] = -np.inf
        likeliest = np.concatenate([likeliest, rearrange(like, "m b c -> b (m c)")], axis=1)
        found = np.broadcast_to(np.concatenate([columns, len(train) + columns]), (len(block), 2 * len(columns)))
        numbers = np.concatenate([numbers, found], axis=1)
        count = min(NUM_CANDIDATES, likeliest.shape[1])
        best = np.argpartition(likeliest, -count, axis=1)[:, -count:]
        likeliest, numbers = np.take_along_axis(likeliest, best, 1), np.take_along_axis(numbers, best, 1)
    yield from ((row, found[like > -np.inf]) for row, found, like in zip(block, numbers, likeliest, strict=True))


def _closest(likely: tuple[int, Indices], *, samples: Gallery, train: Gallery) -> tuple[int, float]:
    """The number of the likely training image whose aligned correlation is largest, and that correlation."""
    row, numbers = likely
    plain = samples.details[row]
    turns = (plain, plain[:, ::-1])
    found = [likeness.aligned_correlation(turns[n // len(train)], train.details[n % len(train)]) for n in numbers]
    best = int(np.argmax(found))
    return int(numbers[best]), found[best]


def _spread(work: Callable[[Item], Result], blocks: Iterable[Iterable[Item]]) -> Iterator[Result]:
    """The results of `work` on the items of all blocks, in their order; threads do, since OpenCV needs no lock."""
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        for block in blocks:
            yield from pool.map(work, block)
