"""How well the source of an image can be told from its features, and how synthetic images lie among real ones.

A classifier that needs no training: an image's nearest neighbours vote. Letters: N images, D features, K neighbours.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import pairwise_distances, silhouette_score

from panodiff.features.embed import Features

SYNTHETIC = "synthetic"  # stands for the source of images that were drawn
_CONFIDENCE = 0.95
_NOBODY = -1


def separability(
    features: Features, rows: pd.DataFrame, num_neighbours: int, shares: Mapping[str, float]
) -> dict[str, Any]:
    """How well the source of an image can be told: kNN accuracy, all in all and by source, and the silhouette.

    The silhouette of the sources (Rousseeuw 1987), in [-1, 1], needs two of them and is None otherwise. With synthetic
    images in, they are one more source, and `mixing` says how they lie among the real ones.

    Args:
        features: (N, D).
        rows: `source` and `group` of each image.
        num_neighbours: K.
        shares: Of each source in what the synthetic images were learnt from.
    """
    sources, groups = rows["source"].to_numpy(dtype=object), rows["group"].to_numpy(dtype=object)
    neighbours = find_neighbours(features, groups, num_neighbours)
    right = guess_sources(neighbours, sources) == sources
    names = sorted(set(sources))
    apart = 1 < len(names) < len(rows)
    found = {
        "knn_accuracy": accuracy(right, groups),
        "knn_accuracy_of": {name: accuracy(right[sources == name], groups[sources == name]) for name in names},
        "silhouette": rounded(silhouette_score(features, sources)) if apart else None,
    }
    return found | ({"mixing": mixing(neighbours, sources, shares)} if SYNTHETIC in names else {})


def count_images(rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers of images and groups, and the share of the largest source: the chance of a guess without looking."""
    counts = rows["source"].value_counts().sort_index()
    return {
        "num_images": len(rows),
        "num_groups": int(rows["group"].nunique()),
        "num_images_of": {str(source): int(count) for source, count in counts.items()},
        "chance": rounded(counts.max() / len(rows)),
    }


def find_neighbours(features: Features, groups: NDArray[np.object_], num_neighbours: int) -> NDArray[np.intp]:
    """The nearest images outside the image's own duplicate group, nearest first: (N, K), -1 where there are no more."""
    distances = pairwise_distances(features)  # (N, N), Euclidean
    codes = np.unique(groups, return_inverse=True)[1]
    distances[codes[:, None] == codes[None, :]] = np.inf  # the image itself included
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbours]
    return np.where(np.isfinite(np.take_along_axis(distances, nearest, axis=1)), nearest, _NOBODY)


def guess_sources(neighbours: NDArray[np.intp], sources: NDArray[np.object_]) -> NDArray[np.object_]:
    """The source of each image (N,), by vote of its neighbours (N, K); None where it has none.

    Where votes are equal, the source of the nearest of the tied neighbours.
    """
    guesses = np.full(len(neighbours), None, dtype=object)
    for row, nearest in enumerate(neighbours):
        # Counter keeps the order in which it met the sources, nearest first, among equal counts.
        votes = Counter(sources[nearest[nearest != _NOBODY]]).most_common(1)
        guesses[row] = votes[0][0] if votes else None
    return guesses


def accuracy(right: NDArray[np.bool_], groups: NDArray[np.object_]) -> dict[str, float]:
    """The share of images told right, with its 95 % interval.

    The interval counts duplicate groups, not images: those of one patient are told right or wrong together, and to
    take them for independent would make it too narrow. It is of new images from the same devices, the neighbours that
    vote being given.
    """
    return wilson(float(right.mean()), len(set(groups)))


def wilson(share: float, num_observations: int) -> dict[str, float]:
    """`share` with its 95 % score interval (Wilson 1927), which keeps its width where all are told right.

    The normal interval would have none there, and beyond 1 it would go where nearly all are.
    """
    z, n = float(norm.ppf((1 + _CONFIDENCE) / 2)), num_observations
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5 / (1 + z**2 / n)
    low, high = min(centre - half, share), max(centre + half, share)  # rounding errors would part them at 0 and 1
    return {"value": rounded(share), "low": rounded(max(low, 0)), "high": rounded(min(high, 1))}


def mixing(neighbours: NDArray[np.intp], sources: NDArray[np.object_], shares: Mapping[str, float]) -> dict[str, float]:
    """How often the neighbours of a synthetic image are synthetic, with its 95 % interval, beside two expectations.

    - `chance`: all images of the map lie mixed.
    - `chance_within_sources`: sources lie apart, and synthetic images lie mixed with the real ones of each source, of
      which there are as many as `shares` says. It is above chance where the map holds other shares, since it takes
      equally many images of large and small sources.

    An image is one observation of the interval, however many neighbours it has: too wide rather than too narrow.
    """
    is_synthetic = sources == SYNTHETIC
    others, num_real = int(is_synthetic.sum()) - 1, Counter(sources[~is_synthetic])
    nearest = neighbours[is_synthetic]  # all have some: each synthetic image is a group of its own
    found = wilson(float(is_synthetic[nearest][nearest != _NOBODY].mean()), len(nearest))
    drawn = {source: others * share for source, share in shares.items()}
    within = sum(share * drawn[source] / max(drawn[source] + num_real[source], 1) for source, share in shares.items())
    return found | {"chance": rounded(others / (len(sources) - 1)), "chance_within_sources": rounded(within)}


def rounded(value: float) -> float:
    """Six significant digits: more are noise, and differ between machines."""
    return float(f"{value:.6g}")
