"""The kernel distance (KID), from sums of the kernel between groups of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.sets.intervals import Estimate, deal, interval
from panodiff.features.embed import FeatureRows

_ROWS = 512  # images of a block

Groups = Sequence[NDArray[np.int64]]


def kernel_distance(fake: FeatureRows, real: FeatureRows, seed: int) -> Estimate:
    """KID of whole sets (N, D) and (M, D): the unbiased MMD² under (xᵀy / D + 1)³, with its 95 % interval.

    Bińkowski et al. 2018, equation 4. The published convention, a mean over random subsets, estimates the same number
    with more scatter. May be below zero: its expectation between sets of one distribution is zero. Sets of two images,
    the least, have no interval.
    """
    fake_groups, real_groups = deal(len(fake), seed, "fake"), deal(len(real), seed, "real")
    sums = _Sums(
        fake=_sums(fake, fake, fake_groups, fake_groups) - np.diag(_own(fake, fake_groups)),
        real=_sums(real, real, real_groups, real_groups) - np.diag(_own(real, real_groups)),
        across=_sums(fake, real, fake_groups, real_groups),
        counts=[np.array([len(group) for group in groups]) for groups in (fake_groups, real_groups)],
    )
    every = [np.ones(len(groups), bool) for groups in (fake_groups, real_groups)]
    value = sums.distance(*every)
    if min(len(fake), len(real)) < 3:
        return {"value": value}
    without = [
        [sums.distance(_all_but(index, len(fake_groups)), every[1]) for index in range(len(fake_groups))],
        [sums.distance(every[0], _all_but(index, len(real_groups))) for index in range(len(real_groups))],
    ]
    return interval(value, without)


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """The kernel summed over the pairs of different images of two groups."""

    fake: NDArray[np.float64]  # (F, F) groups
    real: NDArray[np.float64]  # (R, R)
    across: NDArray[np.float64]  # (F, R)
    counts: Sequence[NDArray[np.int64]]  # images of each group, of fake and of real

    def distance(self, with_fake: NDArray[np.bool_], with_real: NDArray[np.bool_]) -> float:
        """MMD² of the groups that are in."""
        count_fake, count_real = self.counts[0][with_fake].sum(), self.counts[1][with_real].sum()
        return float(
            self.fake[np.ix_(with_fake, with_fake)].sum() / (count_fake * (count_fake - 1))
            + self.real[np.ix_(with_real, with_real)].sum() / (count_real * (count_real - 1))
            - 2 * self.across[np.ix_(with_fake, with_real)].sum() / (count_fake * count_real)
        )


def _all_but(index: int, count: int) -> NDArray[np.bool_]:
    return np.arange(count) != index


def _kernel(products: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (products / dim + 1) ** 3
    return found


def _sums(rows: FeatureRows, columns: FeatureRows, row_groups: Groups, column_groups: Groups) -> NDArray[np.float64]:
    """The kernel summed over every pair of a group of rows and a group of columns; one block of pairs in memory."""
    found = np.zeros((len(row_groups), len(column_groups)))
    for i, group in enumerate(row_groups):
        for x in _parts(rows, group):
            for j, others in enumerate(column_groups):
                if columns is not rows or j >= i:
                    found[i, j] += sum(float(_kernel(x @ y.T, x.shape[1]).sum()) for y in _parts(columns, others))
    return found if columns is not rows else np.triu(found) + np.triu(found, 1).T


def _own(features: FeatureRows, groups: Groups) -> NDArray[np.float64]:
    """The kernel of each image with itself, summed over each group."""
    dim = features.shape[1]
    return np.array(
        [sum(float(_kernel(np.square(x).sum(1), dim).sum()) for x in _parts(features, group)) for group in groups]
    )


def _parts(features: FeatureRows, group: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(group), _ROWS):
        yield np.asarray(features[group[start : start + _ROWS]], np.float64)
