"""Agreement: between readers over the cases that all of them read, and of each reader with himself."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from panodiff.randomness import numpy_generator
from panodiff.study.analysis.scores import SAME, Floats, over_readers, proportion

_RESAMPLES = 2000


def agreement(scores: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Fleiss' kappas and quadratic-weighted Cohen's kappas of `scores` (readers × cases).

    The 95 % intervals are percentile bootstraps over cases: the readers are these. In two categories an image is called
    synthetic or it is not; unsure is not.
    """
    if len(scores) < 2 or scores.shape[1] < 2:
        return {"absent": "agreement needs two readers and two cases that both of them read"}
    values = scores.to_numpy()
    draws = numpy_generator(seed, "study/agreement").integers(values.shape[1], size=(_RESAMPLES, values.shape[1]))
    kappas = quadratic_kappas(values)
    pairs = list(combinations(range(len(values)), 2))
    return {
        "num_readers": len(values),
        "num_cases": values.shape[1],
        "fleiss_five": _fleiss(values, draws),
        "fleiss_two": _fleiss((values > 0.5).astype(float), draws),
        "cohen_quadratic_mean": _with_interval(
            mean_quadratic_kappa(values), [mean_quadratic_kappa(values[:, draw]) for draw in draws]
        ),
        "cohen_quadratic": [
            {"readers": [str(scores.index[one]), str(scores.index[other])]} | _kappa(kappas[one, other])
            for one, other in pairs
        ],
    }


def _fleiss(values: Floats, draws: Any) -> dict[str, Any]:
    """Fleiss' (1971) kappa of categories (readers, cases)."""
    table = aggregate_raters(values.T)[0]  # (cases, categories)
    if table.shape[1] < 2:
        return {"absent": "all answers are in one category, so that agreement by chance is full already"}
    with np.errstate(invalid="ignore"):  # a resample may hold one category only
        resampled = [float(fleiss_kappa(table[draw])) for draw in draws]
    return _with_interval(float(fleiss_kappa(table)), resampled)


def quadratic_kappas(values: Floats) -> Floats:
    """Cohen's kappa with quadratic weights for each pair of readers of `values` (R, cases), (R, R).

    On equally spaced levels it is 2 s₁₂ / (s₁² + s₂² + (mean₁ − mean₂)²) with moments over cases (Fleiss & Cohen 1973),
    not a number where both readers gave one and the same answer throughout.
    """
    covariance, means = np.cov(values, bias=True), values.mean(axis=1)
    variances = np.diag(covariance)
    spread = variances[:, None] + variances[None, :] + (means[:, None] - means[None, :]) ** 2
    return np.divide(2 * covariance, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def mean_quadratic_kappa(values: Floats) -> float:
    """Mean over all pairs of readers."""
    return float(quadratic_kappas(values)[np.triu_indices(len(values), 1)].mean())


def _with_interval(value: float, resampled: list[float]) -> dict[str, Any]:
    """A kappa and its percentile interval (Efron 1979), of the resamples in which it exists."""
    if np.isnan(value):
        return _kappa(value)
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    if high - low < SAME:
        return {"value": value, "absent": "all resamples of the cases give the same"}
    return {"value": value, "low": float(low), "high": float(high)}


def _kappa(value: float) -> dict[str, Any]:
    if np.isnan(value):
        return {"absent": "two readers gave one and the same answer throughout"}
    return {"value": float(value)}


def agreement_with_oneself(first: pd.DataFrame, repeats: pd.DataFrame) -> dict[str, Any]:
    """How often a reader's second reading of a case repeats the first: the answer, and the call (synthetic or not)."""
    pairs = first.merge(repeats[["reader", "case", "score"]], on=["reader", "case"], suffixes=("", "_again"))
    if pairs.empty:
        return {"absent": "no case was read twice by the same reader"}
    by_reader = {str(reader): _repeated(rows) for reader, rows in pairs.groupby("reader")}
    kappas = [found["cohen_quadratic"]["value"] for found in by_reader.values() if "value" in found["cohen_quadratic"]]
    return {
        "num_pairs": len(pairs),
        "same_answer": proportion(int((pairs["score"] == pairs["score_again"]).sum()), len(pairs)),
        "cohen_quadratic": over_readers(kappas, least=-1.0) if kappas else {"absent": "no reader has a kappa"},
        "readers": by_reader,
    }


def _repeated(pairs: pd.DataFrame) -> dict[str, Any]:
    scores = pairs[["score", "score_again"]].to_numpy().T  # (2, num_pairs)
    kappa = quadratic_kappas(scores)[0, 1] if len(pairs) > 1 else np.nan
    return {
        "same_answer": proportion(int((scores[0] == scores[1]).sum()), len(pairs)),
        "same_call": proportion(int(((scores[0] > 0.5) == (scores[1] > 0.5)).sum()), len(pairs)),
        "cohen_quadratic": _kappa(kappa)
        if len(pairs) > 1
        else {"absent": "a kappa needs at least two cases that were read twice"},
    }
