"""Precision, recall, density and coverage: who lies among whom, by the distance to the k-th neighbour.

Letters: N images, B of them in memory, G groups of the jackknife. Distances are squared throughout: they only compare.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.sets.intervals import Estimate, deal, interval
from panodiff.features.embed import FeatureRows

METRICS = ("precision", "recall", "density", "coverage")
_PAIRS = 1 << 22  # distances in memory at once
_ROWS = 512  # features in memory at once
_LISTED = 64  # neighbours kept of an image, so that k are left when a group of the jackknife goes

Groups = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class _Balls:
    """Squared distances of N images to their k-th neighbour: (1 + G, N), whole and without each group.

    An image that itself is gone has -∞: nothing lies in its ball.
    """

    radii: NDArray[np.float64]
    groups: Groups

    def keep(self, turn: int) -> NDArray[np.bool_]:
        """Which images are there, (N,): all, or in turn g those outside group g - 1."""
        return self.radii[turn] > -np.inf


def neighbour_metrics(fake: FeatureRows, real: FeatureRows, num_neighbours: int) -> dict[str, float]:
    """Of fake (N, D) against real (M, D).

    - `precision`: share of fakes within the k-th neighbour distance of some real image, in [0, 1] (Kynkäänniemi et al.
      2019, equation 1);
    - `recall`: the reverse (equation 2);
    - `density`: how many such real images a fake has, over k, from 0 (Naeem et al. 2020, equation 3);
    - `coverage`: share of real images with a fake within their k-th neighbour distance, in [0, 1] (equation 4).

    Raises:
        ValueError: A set has not more than `num_neighbours` images.
    """
    whole, _ = _measure(fake, real, num_neighbours, [], [])
    return whole


def neighbour_estimates(fake: FeatureRows, real: FeatureRows, num_neighbours: int, seed: int) -> dict[str, Estimate]:
    """The same, each with its 95 % interval; all depend on the sizes of the sets, and no interval tells of that.

    Raises:
        ValueError: A set without one of its groups has not more than `num_neighbours` images.
    """
    groups = [deal(len(features), seed, name) for name, features in (("fake", fake), ("real", real))]
    whole, without = _measure(fake, real, num_neighbours, *groups)
    found = {}
    for name, value in whole.items():
        estimate = interval(value, [[part[name] for part in side] for side in without])
        most = math.inf if name == "density" else 1.0
        found[name] = estimate | {"low": max(estimate["low"], 0.0), "high": min(estimate["high"], most)}
    return found


def _measure(
    fake: FeatureRows, real: FeatureRows, num_neighbours: int, fake_groups: Groups, real_groups: Groups
) -> tuple[dict[str, float], list[list[dict[str, float]]]]:
    """The metrics of the whole sets, and without each group of either: in one pass over the distances."""
    centre = np.asarray(real[: 8 * _ROWS], np.float64).mean(0)  # near zero, squares lose no digits
    of_fake = _balls(fake, centre, num_neighbours, fake_groups)
    of_real = _balls(real, centre, num_neighbours, real_groups)
    among = np.zeros((len(of_real.radii), len(fake)), np.int64)  # in how many real balls each fake lies, by turn
    covered = np.zeros((len(of_real.radii), len(real)), bool)
    covered_by = np.zeros((1 + len(fake_groups), len(real)), bool)  # row g: by a fake of group g - 1
    recalled = np.zeros((len(of_fake.radii), len(real)), bool)
    turn_of_fake = _turns(len(fake), fake_groups)
    for rows, distances in _blocks(fake, real, centre):  # (B, M)
        for turn, radii in enumerate(of_real.radii):
            inside = distances <= radii
            among[turn, rows] = inside.sum(1)
            covered[turn] |= inside.any(0)
            if turn == 0:
                members = turn_of_fake[rows]
                for group in np.unique(members):
                    covered_by[group] |= inside[np.flatnonzero(members == group)].any(0)
        for turn, radii in enumerate(of_fake.radii):
            recalled[turn] |= (distances <= radii[rows, None]).any(0)

    def found(fake_turn: int, real_turn: int) -> dict[str, float]:
        counts, kept = among[real_turn, of_fake.keep(fake_turn)], of_real.keep(real_turn)
        others = np.any(np.delete(covered_by, fake_turn, 0), axis=0) if fake_turn else covered[real_turn]
        return {
            "precision": float((counts > 0).mean()),
            "recall": float(recalled[fake_turn, kept].mean()),
            "density": float(counts.mean() / num_neighbours),
            "coverage": float(others[kept].mean()),
        }

    without = [
        [found(turn + 1, 0) for turn in range(len(fake_groups))],
        [found(0, turn + 1) for turn in range(len(real_groups))],
    ]
    return found(0, 0), without


def _balls(features: FeatureRows, centre: NDArray[np.float64], num_neighbours: int, groups: Groups) -> _Balls:
    largest = max(map(len, groups), default=0)
    if len(features) - largest <= num_neighbours:
        raise ValueError(
            f"needs more than num_neighbours = {num_neighbours} images in either set"
            + (f", and {largest} more for the interval" if groups else "")
        )
    turns = _turns(len(features), groups)
    listed = min(len(features) - 1, max(_LISTED, 8 * num_neighbours))
    radii = np.empty((1 + len(groups), len(features)))
    for rows, distances in _blocks(features, features, centre):  # (B, N)
        distances[np.arange(len(distances)), rows] = np.inf  # an image is no neighbour of itself
        near = np.argpartition(distances, listed - 1, axis=1)[:, :listed]  # (B, L)
        order = np.take_along_axis(near, np.take_along_axis(distances, near, 1).argsort(1), 1)
        lengths = np.take_along_axis(distances, order, 1)
        for turn in range(1 + len(groups)):
            counted = np.cumsum((turns[order] != turn) | (turn == 0), axis=1)
            assert (counted[:, -1] >= num_neighbours).all()  # of 64 in 20 random groups, 61 would have to be in one
            place = (counted >= num_neighbours).argmax(1)
            radii[turn, rows] = lengths[np.arange(len(lengths)), place]
    for turn, group in enumerate(groups, start=1):
        radii[turn, group] = -np.inf
    return _Balls(radii, groups)


def _turns(count: int, groups: Groups) -> NDArray[np.int64]:
    """The number of each image's group, from 1, (N,); 0 without groups."""
    found = np.zeros(count, np.int64)
    for turn, group in enumerate(groups, start=1):
        found[group] = turn
    return found


def _blocks(
    some: FeatureRows, others: FeatureRows, centre: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Row numbers (B,) of `some` and their squared distances (B, M) to `others`."""
    height = max(1, min(_ROWS, _PAIRS // len(others)))
    for start in range(0, len(some), height):
        x = np.asarray(some[start : start + height], np.float64) - centre
        distances = np.empty((len(x), len(others)))
        for column in range(0, len(others), _ROWS):
            y = np.asarray(others[column : column + _ROWS], np.float64) - centre
            squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
            distances[:, column : column + _ROWS] = squares.clip(min=0)
        yield np.arange(start, start + len(x)), distances
