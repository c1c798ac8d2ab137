"""Copies of patients: does a synthetic radiograph repeat an image of the training split, as it is or mirrored?

Each image is held against those training images whose signatures are most like its own; the aligned correlation
decides. Encoder features are not asked: an encoder is made to forget what tells copies apart, and finds none that the
signatures miss (benchmarks/copies.py).

The yardstick is the same search from real image to real image: training images against the others, an image's own
duplicate group left out. Its correlations are each the largest of many, so that their Fisher's z should follow
Gumbel's law. The threshold is where that law, laid through the quartiles, leaves one of 200 above. Quartiles, because
copies that the duplicate search has missed must not raise it.

Of 153 real radiographs and 400 phantoms held out none is called a copy: the law leaves more above than there is. Of
500 copies of each kind in each corpus 499 or 500 are found: blended with 30 % of another image, shifted by 3 % of the
width, mirrored, under noise of 10 greys, all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, gumbel_r

from panodiff.evaluation.copies.closest import Found, Gallery, Indices, open_gallery, search
from panodiff.evaluation.copies.planting import CHANGES, plant

FALSE_ALARMS = 0.005  # of independent images, by the law fitted to the yardstick
MOST_ASKED = 2000  # training images that make up the yardstick, evenly spread over the split
NUM_PLANTED = 20 * len(CHANGES)
RULE = (
    f"exceeded with a probability of {FALSE_ALARMS:g} by Gumbel's law through the quartiles of Fisher's z of the "
    "yardstick: the largest aligned correlation of each training image with those outside its duplicate group"
)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What was found out about each of N synthetic images, and about all."""

    found: Found
    rank: NDArray[np.float64]  # (N,), 0 to 1: share of the yardstick that is not larger
    is_copy: NDArray[np.bool_]  # (N,)
    summary: dict[str, Any]


def find_copies(
    *,
    synthetic: Sequence[Path],
    train: Sequence[Path],
    test: Sequence[Path],
    train_groups: NDArray[np.object_],
    seed: int,
) -> Copies:
    """Which synthetic images copy a training image; how many test images and planted copies would be called copies.

    Takes 42 KB an image in the folder of temporary files; memory does not grow with the number of images.

    Args:
        synthetic: 8-bit grey PNGs.
        train: The same of the training split; all images are of one size.
        test: The same of independent real images: those called copies are false alarms.
        train_groups: Duplicate group of each training image (N,).
        seed: Of the planted copies, which are training images changed in known ways: those not found are misses.

    Raises:
        ValueError: The images differ in size, or all training images are of one duplicate group.
    """
    groups = np.unique(train_groups.astype(str), return_inverse=True)[1]
    originals = open_gallery(train, "train")
    yardstick = measure_yardstick(originals, groups)
    threshold = copy_threshold(yardstick)
    found = search(open_gallery(synthetic, "synthetic"), originals)
    held_out = search(open_gallery(test, "test"), originals)
    is_copy = found.correlation > threshold
    summary = {
        "threshold": threshold,
        "rule": RULE,
        "yardstick": _described(yardstick),
        "synthetic": _described(found.correlation) | flagged_share(is_copy),
        "test": _described(held_out.correlation) | flagged_share(held_out.correlation > threshold),
        "planted": planted_found(train, originals, groups, threshold, seed),
    }
    rank = np.searchsorted(yardstick, found.correlation, side="right") / len(yardstick)
    return Copies(found=found, rank=rank, is_copy=is_copy, summary=summary)


def planted_found(
    paths: Sequence[Path], train: Gallery, groups: Indices, threshold: float, seed: int
) -> dict[str, Any]:
    """How many of NUM_PLANTED copies are called one, of their original or of an image of its group; and by kind."""
    with TemporaryDirectory() as folder:
        planted, originals = plant(Path(folder), paths, groups, NUM_PLANTED, seed)
        found = search(open_gallery(planted, "planted copies"), train)
    hits = (found.correlation > threshold) & (groups[found.nearest] == groups[originals])
    shares = hits.reshape(-1, len(CHANGES)).mean(axis=0).tolist()
    return {"num": NUM_PLANTED} | flagged_share(hits) | {"share_by_kind": dict(zip(CHANGES, shares, strict=True))}


def measure_yardstick(train: Gallery, groups: Indices) -> NDArray[np.float64]:
    """The largest correlation of each training image, or of MOST_ASKED, with those of other groups; ascending.

    Raises:
        ValueError: All are of one group.
    """
    if (groups == groups[0]).all():
        raise ValueError("all training images are of one duplicate group: there is no correlation between real ones")
    asked = np.linspace(0, len(train) - 1, min(len(train), MOST_ASKED)).round().astype(np.int64)
    return np.sort(search(train, train, asked=asked, groups=groups).correlation)


def copy_threshold(yardstick: NDArray[np.float64]) -> float:
    """The aligned correlation above which an image is a copy, by the rule above."""
    first, median, third = np.quantile(np.arctanh(yardstick.clip(max=1 - 1e-6)), (0.25, 0.5, 0.75))
    law_first, law_median, law_third = gumbel_r.ppf((0.25, 0.5, 0.75))
    scale = (third - first) / (law_third - law_first)
    return float(np.tanh(median + scale * (gumbel_r.isf(FALSE_ALARMS) - law_median)))


def flagged_share(flags: NDArray[np.bool_]) -> dict[str, float]:
    """How many of the images are flagged, and their share with its 95 % interval (Wilson 1927)."""
    interval = binomtest(int(flags.sum()), len(flags)).proportion_ci(0.95, "wilson")
    return {
        "flagged": int(flags.sum()),
        "share": float(flags.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def _described(correlations: NDArray[np.float64]) -> dict[str, float]:
    quantiles = {f"p{percent}": float(np.quantile(correlations, percent / 100)) for percent in (50, 95, 99)}
    return {"num": len(correlations)} | quantiles | {"max": float(correlations.max())}
