"""Metrics between two sets of images, on features taken before: Fréchet and kernel distance, precision and recall.

Letters: N images, D features. "fake" is the set under test, "real" the one it is held against. All in float64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.sets.kernel import kernel_distance
from panodiff.evaluation.sets.moments import frechet_distance, frechet_estimate
from panodiff.evaluation.sets.neighbours import METRICS, neighbour_estimates
from panodiff.features.embed import FeatureRows, Features, Rows
from panodiff.randomness import numpy_generator

NUM_DRAWS = 4  # disjoint parts of the synthetic set, each drawn from seeds of its own


def distance_name(backbone: str) -> str:
    """What the Fréchet distance is called: FID is only that of Inception."""
    return f"fid_{backbone}" if backbone == "inception" else f"fd_{backbone}"


def compare(fake: FeatureRows, real: FeatureRows, backbone: str, num_neighbours: int, seed: int) -> dict[str, Any]:
    """All set metrics of `fake` (N, D) against `real` (M, D), with the sample sizes that they depend on.

    Each is named `<metric>_<backbone>` and has a `value` and, where they can be had, `low` and `high`, the 95 %
    interval; the Fréchet distance also `unbiased`, which is what the interval is of. `absent` says what is not there,
    and why.
    """
    found: dict[str, Any] = {"num_fake": len(fake), "num_real": len(real)}
    absent: dict[str, str] = {}
    try:
        found[distance_name(backbone)] = frechet_estimate(fake, real, seed)
    except ValueError as error:
        found[distance_name(backbone)] = {"value": frechet_distance(fake, real)}
        absent[f"{distance_name(backbone)}.unbiased"] = str(error)
    found[f"kid_{backbone}"] = kernel_distance(fake, real, seed)
    try:
        estimates = neighbour_estimates(fake, real, num_neighbours, seed)
        found |= {f"{name}_{backbone}": estimate for name, estimate in estimates.items()}
    except ValueError as error:
        absent |= {f"{name}_{backbone}": str(error) for name in METRICS}
    return found | ({"absent": absent} if absent else {})


def compare_all(
    *, synthetic: FeatureRows, train: Features, test: Features, backbone: str, num_neighbours: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The synthetic set against test and train, and the same between real sets as yardsticks.

    - `real_matched_vs_test`: as many train images as there are synthetic ones, or all. The distance that perfect
      synthetic images would have at this sample size.
    - `test_halves`, `train_parts`: disjoint random parts of one split. The floor: what the sample size alone costs.
      The parts of train are as large as the synthetic and the test set, or in that ratio where train is too small.
    """
    some_train, some_test = (
        _order(len(part), seed, f"evaluate/{name}") for name, part in (("train", train), ("test", test))
    )
    half = len(test) // 2
    first, second = part_sizes(len(train), len(synthetic), len(test))
    pairs: dict[str, tuple[FeatureRows, FeatureRows]] = {
        "synthetic_vs_test": (synthetic, test),
        "synthetic_vs_train": (synthetic, train),
        "train_vs_test": (train, test),
        "real_matched_vs_test": (Rows(train, some_train[: len(synthetic)]), test),
        "test_halves": (Rows(test, some_test[:half]), Rows(test, some_test[half:])),
        "train_parts": (Rows(train, some_train[:first]), Rows(train, some_train[first : first + second])),
    }
    return {name: compare(fake, real, backbone, num_neighbours, seed) for name, (fake, real) in pairs.items()}


def draws(synthetic: FeatureRows, test: Features, backbone: str, seed: int) -> dict[str, Any]:
    """Fréchet and kernel distance to `test` of each quarter of the synthetic set: how much the sampling seeds matter.

    Each image has a seed of its own, so that disjoint parts are what sampling again with other seeds would give, at a
    quarter of the size: compare the parts with each other only. Nothing where a part would have less than two images.
    """
    parts = [Rows(synthetic, part) for part in np.array_split(np.arange(len(synthetic)), NUM_DRAWS)]
    if min(map(len, parts)) < 2:
        return {}
    return {
        "num_fake": [len(part) for part in parts],
        distance_name(backbone): [frechet_distance(part, test) for part in parts],
        f"kid_{backbone}": [kernel_distance(part, test, seed)["value"] for part in parts],
    }


def part_sizes(total: int, first: int, second: int) -> tuple[int, int]:
    """Sizes of two disjoint parts of `total` images: as asked if they fit, else in that ratio, at least two each."""
    if first + second <= total:
        return first, second
    share = min(max(round(total * first / (first + second)), 2), total - 2)
    return share, total - share


def _order(count: int, seed: int, purpose: str) -> NDArray[np.int64]:
    return numpy_generator(seed, purpose).permutation(count)
