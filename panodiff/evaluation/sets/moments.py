"""The Fréchet distance, from sums over images; no more than a block of them is in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.sets.intervals import Estimate, deal, unbiased_interval
from panodiff.features.embed import FeatureRows

_ROWS = 512  # images in memory at once


@dataclass(frozen=True)
class Moments:
    """Sums over N feature vectors: those of a set without a group of it are the difference."""

    count: int
    total: NDArray[np.float64]  # (D,)
    squares: NDArray[np.float64]  # (D, D): of x xᵀ

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.count - other.count, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,)."""
        return self.total / self.count

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D), unbiased; of two images at least."""
        found: NDArray[np.float64] = (self.squares - np.outer(self.total, self.mean)) / (self.count - 1)
        return found


def moments(features: FeatureRows, centre: NDArray[np.float64], rows: NDArray[np.int64] | None = None) -> Moments:
    """Of features (N, D), or of the `rows` among them, less `centre` (D,), which keeps the digits of the squares."""
    order = np.arange(len(features)) if rows is None else rows
    total, squares = np.zeros_like(centre), np.zeros((len(centre), len(centre)))
    for start in range(0, len(order), _ROWS):
        x = np.asarray(features[order[start : start + _ROWS]], np.float64) - centre
        total += x.sum(0)
        squares += x.T @ x
    return Moments(len(order), total, squares)


def frechet_distance(fake: FeatureRows, real: FeatureRows) -> float:
    """The Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017, equation 6), from 0.

    Falls with the number of images even between sets of one distribution: compare only values of equal sample sizes,
    or use `frechet_estimate`.
    """
    centre = _centre(real)
    of_real = moments(real, centre)
    return _distance(moments(fake, centre), of_real, _root(of_real))


def frechet_estimate(fake: FeatureRows, real: FeatureRows, seed: int) -> Estimate:
    """The Fréchet distance of fake (N, D) and real (M, D) as it is; without its bias; the 95 % interval of the latter.

    Raises:
        ValueError: A set has less than twice as many images as features: near a singular covariance the jackknife
            takes too much or too little for the bias, and the interval misses the distance more often than it says.
    """
    if min(len(fake), len(real)) < 2 * (dim := fake.shape[1]):
        raise ValueError(f"needs {2 * dim} images in either set, twice its features, got {len(fake)} and {len(real)}")
    centre = _centre(real)
    whole_fake, whole_real = moments(fake, centre), moments(real, centre)
    root_fake, root_real = _root(whole_fake), _root(whole_real)
    without = [
        [
            _distance(whole_fake - moments(fake, centre, group), whole_real, root_real)
            for group in deal(len(fake), seed, "fake")
        ],
        [
            _distance(whole_real - moments(real, centre, group), whole_fake, root_fake)
            for group in deal(len(real), seed, "real")
        ],
    ]
    return unbiased_interval(_distance(whole_fake, whole_real, root_real), without)


def _centre(features: FeatureRows) -> NDArray[np.float64]:
    return np.asarray(features[: 8 * _ROWS], np.float64).mean(0)


def _root(of: Moments) -> NDArray[np.float64]:
    """R with R Rᵀ = Σ."""
    values, vectors = np.linalg.eigh(of.covariance)
    found: NDArray[np.float64] = vectors * np.sqrt(values.clip(min=0))
    return found


def _distance(one: Moments, other: Moments, root_other: NDArray[np.float64]) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (R₂ᵀ Σ₁ R₂)^½).

    That root has the trace of (Σ₁ Σ₂)^½, and its argument is symmetric: a faster and more exact decomposition.
    """
    cross = np.linalg.eigvalsh(root_other.T @ one.covariance @ root_other)
    traces = np.trace(one.covariance) + np.trace(other.covariance) - 2 * np.sqrt(cross.clip(min=0)).sum()
    found = float(np.square(one.mean - other.mean).sum() + traces)
    return max(found, 0.0)  # rounding may leave a little below zero between equal sets
