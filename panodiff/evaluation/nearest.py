"""Memorisation: how near each synthetic radiograph comes to a training image, beside how near real ones come.

Cosine distance of encoder features, in [0, 2]. A synthetic image much nearer to a training image than real images
are to each other may be a copy of a patient.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panodiff.features.embed import Features

_ROWS = 512  # of the distance matrix in memory at once


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest reference of each of Q queries."""

    index: NDArray[np.int64]  # (Q,), into the references
    distance: NDArray[np.float64]  # (Q,); infinite where every reference was left out


def find_nearest(queries: Features, references: Features, groups: NDArray[np.object_] | None = None) -> Nearest:
    """The nearest of `references` (R, D) to each of `queries` (Q, D).

    Args:
        queries: Features of the images asked about.
        references: Features of the images to find; the queries themselves where `groups` is given.
        groups: Duplicate group of each reference (R,): an image's own group, itself included, is left out.
    """
    targets = _unit(references).T  # (D, R)
    index, distance = [], []
    for start in range(0, len(queries), _ROWS):
        block = 1 - _unit(queries[start : start + _ROWS]) @ targets  # (B, R)
        if groups is not None:
            block[groups[start : start + _ROWS, None] == groups[None, :]] = np.inf
        index.append(block.argmin(axis=1))
        distance.append(block.min(axis=1).clip(min=0))
    return Nearest(index=np.concatenate(index), distance=np.concatenate(distance))


def _unit(features: Features) -> Features:
    return features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)


def measure_memorisation(
    *, synthetic: Features, train: Features, test: Features, train_groups: NDArray[np.object_]
) -> tuple[Nearest, NDArray[np.float64], dict[str, Any]]:
    """The nearest training image of each synthetic one, the rank of its distance among real ones, and a summary.

    The yardstick is train against train, an image's own duplicate group left out. The rank, in [0, 1], is the share
    of those distances that are not larger. Test against train shows where new, real radiographs lie.

    Raises:
        ValueError: All training images are of one duplicate group: there is no yardstick.
    """
    found, held_out = find_nearest(synthetic, train), find_nearest(test, train).distance
    among_real = find_nearest(train, train, train_groups).distance
    if not np.isfinite(among_real).all():
        raise ValueError("all training images are of one duplicate group: there is no distance between real ones")
    real = np.sort(among_real)
    rank = np.searchsorted(real, found.distance, side="right") / len(real)
    limit = np.quantile(real, 0.05)
    summary = {
        "distances": {
            "synthetic_to_train": _describe(found.distance),
            "test_to_train": _describe(held_out),
            "train_to_train": _describe(real),
        },
        "share_below_real_p05": {
            "synthetic": float((found.distance < limit).mean()),
            "test": float((held_out < limit).mean()),
        },
    }
    return found, rank, summary


def _describe(distances: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(distances.min()),
        "p05": float(np.quantile(distances, 0.05)),
        "median": float(np.median(distances)),
    }
