"""Differences within a study: along its course, and between two groups of readers."""

import warnings
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS

from panodiff.randomness import numpy_generator
from panodiff.study.analysis.scores import SAME, Floats, over_readers

_MOST_PERMUTATIONS = 200_000  # up to 20 readers in two groups of ten all are gone through; of more, so many are drawn
_PERMUTATIONS_AT_ONCE = 10_000  # in memory
_FEWEST_READINGS = 8  # of a reader along whose course a slope is taken


def course(readings: pd.DataFrame) -> dict[str, Any]:
    """Change of the certainty-weighted accuracy along the course of the study.

    Each reader gives one slope (least squares on the fraction of the course, beside the label) and one difference of
    the second half to the first; the t-intervals are over readers (the summary measures of Matthews et al. 1990).
    """
    if "position" not in readings or readings["position"].isna().any():
        return {"absent": "the readings do not all hold their position in the reader's order"}
    by_reader = {
        str(reader): _change(rows.sort_values("position"))
        for reader, rows in readings.groupby("reader")
        if len(rows) >= _FEWEST_READINGS and rows["position"].nunique() == len(rows)
    }
    if not by_reader:
        return {"absent": f"no reader has {_FEWEST_READINGS} readings, each at a position of its own"}
    slopes = [found["slope"]["value"] for found in by_reader.values()]
    halves = [[found[half] for found in by_reader.values()] for half in ("first_half", "second_half")]
    return {
        "same_order": _same_order(readings),
        "slope": over_readers(slopes, least=-1.0),
        "first_half": over_readers(halves[0]),
        "second_half": over_readers(halves[1]),
        "second_minus_first": over_readers([late - early for early, late in zip(*halves, strict=True)], least=-1.0),
        "readers": by_reader,
    }


def _change(rows: pd.DataFrame) -> dict[str, Any]:
    """Of one reader, whose readings come in the order of reading."""
    credit = rows["weighted"].to_numpy()
    middle = len(credit) // 2
    return {
        "slope": slope(credit, rows["synthetic"].to_numpy(dtype=float)),
        "first_half": float(credit[:middle].mean()),
        "second_half": float(credit[middle:].mean()),
    }


def slope(credit: Floats, synthetic: Floats) -> dict[str, float]:
    """Change of `credit` from first to last reading, with its 95 % t-interval: readings are taken as independent.

    Least squares on the fraction of the course and, where both labels came, on the label, so that more synthetic images
    early than late are not taken for learning.
    """
    fraction = np.linspace(0, 1, len(credit))
    columns = [fraction, np.ones_like(credit)]
    fitted = OLS(credit, np.stack([*columns, synthetic] if np.ptp(synthetic) else columns, axis=1)).fit()
    low, high = fitted.conf_int(0.05)[0]
    return {"value": float(fitted.params[0]), "low": float(low), "high": float(high)}


def _same_order(readings: pd.DataFrame) -> bool:
    """Whether all readers had the cases in one order, in which case nothing tells learning from harder cases."""
    orders = [tuple(rows.sort_values("position")["case"]) for _, rows in readings.groupby("reader")]
    return len(orders) > 1 and len(set(orders)) == 1


def compare_groups(groups: dict[str, str], values: dict[str, dict[str, float]], seed: int) -> dict[str, Any]:
    """Two groups of readers compared by each of `values` (quantity → reader → value)."""
    names = sorted(set(groups.values()))
    if "" in names or len(names) != 2:
        listed = ", ".join(repr(name) for name in names) or "none"
        return {"absent": f"a comparison needs two groups and each reader in one of them; the groups are: {listed}"}
    members = {name: [reader for reader, group in groups.items() if group == name] for name in names}
    if min(map(len, members.values())) < 2:
        return {"absent": "a comparison needs at least two readers in each group"}
    found: dict[str, Any] = {
        "num_readers": {name: len(readers) for name, readers in members.items()},
        "difference": f"{names[0]} minus {names[1]}",
    }
    for quantity, of in values.items():
        one, other = (np.array([of[reader] for reader in members[name]]) for name in names)
        found[quantity] = _compare(one, other, seed)
    return found


def _compare(one: Floats, other: Floats, seed: int) -> dict[str, Any]:
    """Exact permutation test of the difference of means over readers, and Welch's 95 % interval of it.

    Two-sided: twice the smaller of both one-sided p. The readers are exchangeable if experience makes no difference.
    """
    num = comb(len(one) + len(other), len(one))
    exact = num <= _MOST_PERMUTATIONS
    test = stats.permutation_test(
        (one, other),
        # Rounded, since means of the same values in another order differ in the last digit, and ties would not be ties.
        lambda first, second, axis: np.round(first.mean(axis=axis) - second.mean(axis=axis), 12),
        vectorized=True,
        batch=_PERMUTATIONS_AT_ONCE,
        n_resamples=_MOST_PERMUTATIONS,
        rng=numpy_generator(seed, "study/groups"),
    )
    found = {
        "means": [float(one.mean()), float(other.mean())],
        "effect": float(one.mean() - other.mean()),
        "p": float(test.pvalue),
        "exact": exact,
        "num_permutations": num if exact else _MOST_PERMUTATIONS,
        "smallest_p": min(2 / num if exact else 2 / (_MOST_PERMUTATIONS + 1), 1.0),
    }
    if max(np.ptp(one), np.ptp(other)) < SAME:
        return found | {"absent": "an interval needs a spread among the readers of a group"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a group without a spread, which Welch's interval allows
        interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    return found | {"low": float(interval.low), "high": float(interval.high)}
