"""How sure a metric between two sets is, and what it would be if both were large: the delete-a-group jackknife.

Either set is dealt into groups, and the metric is taken anew without each (Efron & Stein 1981; Kott 2001). What that
scatters is the metric's variance; what it shifts on average is the part of its bias that falls with one over the sample
size. Unlike the bootstrap it never shows the metric an image twice, which distances between sets take for agreement.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from panodiff.randomness import numpy_generator

NUM_GROUPS = 20
_CONFIDENCE = 0.95

Estimate = dict[str, float]


def deal(count: int, seed: int, which: str) -> list[NDArray[np.int64]]:
    """The numbers from 0 to `count` in random groups, whose sizes differ by one at most."""
    order = numpy_generator(seed, f"evaluate/jackknife/{which}").permutation(count)
    return np.array_split(order, min(NUM_GROUPS, count))


def interval(value: float, without: Sequence[Sequence[float]]) -> Estimate:
    """`value` with its 95 % interval.

    Args:
        value: The metric of the whole sets.
        without: For either set, the metric without each of its groups.
    """
    half = _half_width(without)
    return {"value": value, "low": value - half, "high": value + half}


def unbiased_interval(value: float, without: Sequence[Sequence[float]]) -> Estimate:
    """`value`, what it would be for large sets (`unbiased`), and the 95 % interval of that; arguments as above."""
    unbiased = value - sum((len(side) - 1) * (float(np.mean(side)) - value) for side in without)
    half = _half_width(without)
    return {"value": value, "unbiased": unbiased, "low": unbiased - half, "high": unbiased + half}


def _half_width(without: Sequence[Sequence[float]]) -> float:
    """Student's t with the degrees of freedom of Welch and Satterthwaite, times the standard error."""
    variances = [(len(side) - 1) * float(np.var(side)) for side in without]
    variance = sum(variances)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / (len(side) - 1) for part, side in zip(variances, without, strict=True))
    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom)) * variance**0.5
