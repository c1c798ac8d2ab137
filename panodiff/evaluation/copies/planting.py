"""Copies planted among the images asked about: that none was found tells something only where these are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.copies.likeness import read_small
from panodiff.images import Grey, write_grey
from panodiff.randomness import numpy_generator


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is done to a copy, in this order."""

    blend: float = 0.0  # share of another image that is mixed in
    shift: float = 0.0  # at most, down and across, as a fraction of the width
    mirrored: bool = False
    noise: float = 0.0  # standard deviation in greys


CHANGES = {
    "exact": Change(),
    "noisy": Change(noise=10),
    "shifted": Change(shift=0.03),
    "blended": Change(blend=0.3),
    "mirrored": Change(mirrored=True),
    "all": Change(blend=0.3, shift=0.03, mirrored=True, noise=10),
}


def changed(image: Grey, other: Grey, change: Change, rng: np.random.Generator) -> Grey:
    """A changed copy of `image` (H, W); `other`, of that size, is what may be mixed in."""
    copy = ((1 - change.blend) * image + change.blend * other).astype(np.float32)
    down, across = rng.uniform(-change.shift, change.shift, 2) * image.shape[1]
    matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
    copy = np.asarray(cv2.warpAffine(copy, matrix, copy.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)
    turned = copy[:, ::-1] if change.mirrored else copy
    noise = rng.normal(0, change.noise, copy.shape)
    return np.clip(np.rint(turned + noise), 0, 255).astype(np.uint8)


def plant(
    folder: Path, paths: Sequence[Path], groups: NDArray[np.int64], count: int, seed: int
) -> tuple[list[Path], NDArray[np.int64]]:
    """Write `count` changed copies of the images at `paths`, at the size at which images are compared.

    Args:
        folder: Where to.
        paths: The originals; each is mixed with one of another group.
        groups: Number of the duplicate group of each (N,); there are several.
        count: How many copies; CHANGES take turns.
        seed: Of the choice of originals and of the changes.

    Returns:
        Where the copies are, and the position of the original of each.
    """
    planted, originals = [], np.empty(count, np.int64)
    for number in range(count):
        rng = numpy_generator(seed, "evaluate/planted", number)
        original = originals[number] = int(rng.integers(len(paths)))
        other = int(rng.choice(np.flatnonzero(groups != groups[original])))
        change = list(CHANGES.values())[number % len(CHANGES)]
        planted.append(folder / f"planted-{number:04d}.png")
        write_grey(planted[-1], changed(read_small(paths[original]), read_small(paths[other]), change, rng))
    return planted, originals
