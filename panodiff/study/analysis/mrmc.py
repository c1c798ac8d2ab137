"""Many readers, many cases: the area under the ROC curve, its covariances, and a test that respects both.

X: scores of synthetic images, Y: of real ones; R readers, m synthetic and n real cases.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special, stats
from sklearn.metrics import average_precision_score, roc_curve

from panodiff.study.analysis.scores import SAME, Z_975, Floats, credits_of

MIN_READERS = 3  # with two, a p below 0.05 comes up in 14 % of the studies with readers who cannot tell


def placements(X: Floats, Y: Floats) -> tuple[Floats, Floats]:
    """V10 (R, m) and V01 (R, n): the share of the other label's cases on the right side of each, ties as halves.

    DeLong, DeLong & Clarke-Pearson (1988), by the midranks of Sun & Xu (2014).
    """
    m, n = X.shape[1], Y.shape[1]
    ranks = stats.rankdata(np.concatenate([X, Y], axis=1), axis=1)  # (R, m + n)
    V10 = (ranks[:, :m] - stats.rankdata(X, axis=1)) / n
    V01 = 1 - (ranks[:, m:] - stats.rankdata(Y, axis=1)) / m
    return V10, V01


def case_covariance(parts: Sequence[Floats]) -> Floats:
    """Covariances (R, R) between readers of a sum of means, each taken over the cases of one part (R, num_cases)."""
    return np.sum([np.atleast_2d(np.cov(part)) / part.shape[1] for part in parts], axis=0)


def delong(X: Floats, Y: Floats) -> tuple[Floats, Floats]:
    """Areas (R,) under the ROC curves, and their covariances (R, R) for random cases, DeLong et al. (1988)."""
    parts = placements(X, Y)
    return parts[0].mean(axis=1), case_covariance(parts)


def balanced(X: Floats, Y: Floats, rule: str) -> tuple[Floats, Floats]:
    """Mean of the mean credits on either label (R,), and covariances (R, R) for random cases.

    Whoever answers without looking gets ½ by it, whatever the numbers of real and synthetic cases; where these are
    equal, it is the accuracy.
    """
    parts = [credits_of(scores, np.full(scores.shape, label))[rule] / 2 for scores, label in ((X, True), (Y, False))]
    return sum((part.mean(axis=1) for part in parts), np.zeros(len(X))), case_covariance(parts)


def auc(scores: Floats, synthetic: Any) -> dict[str, Any]:
    """Area under one reader's ROC curve with its 95 % interval: DeLong's variance, on the logit (Pepe 2003, 5.2.4).

    The plain interval reaches beyond 1 and is too short where readers are good.
    """
    X, Y = scores[None, synthetic], scores[None, ~synthetic]
    if not X.size or not Y.size:
        return {"absent": "a ROC curve needs readings of real and of synthetic images"}
    value = float(placements(X, Y)[0].mean())
    if min(X.size, Y.size) < 2:
        return {"value": value, "absent": "an interval needs at least two cases of each label"}
    error = float(delong(X, Y)[1][0, 0]) ** 0.5
    if error < SAME:
        reason = "all cases got one answer" if np.ptp(scores) == 0 else "all cases are in perfect order"
        return {"value": value, "absent": f"{reason}, of which DeLong's variance knows nothing"}
    return {"value": value} | _on_logit(value, Z_975 * error)


def _on_logit(value: float, margin: float) -> dict[str, float]:
    """Ends of the interval value ± margin, taken on the logit by the delta method."""
    centre, half = special.logit(value), margin / (value * (1 - value))
    return {"low": float(special.expit(centre - half)), "high": float(special.expit(centre + half))}


def average_precision(scores: Floats, synthetic: Any) -> dict[str, Any]:
    """Precision averaged over the recall of synthetic images, and what guessing gets."""
    if synthetic.all() or not synthetic.any():
        return {"absent": "it needs readings of real and of synthetic images"}
    return {"value": float(average_precision_score(synthetic, scores)), "chance": float(synthetic.mean())}


def roc_points(scores: Floats, synthetic: Any) -> tuple[Floats, Floats]:
    """False and true positive rates of one reader, from (0, 0) to (1, 1) through each level that was used."""
    false_positive, true_positive, _ = roc_curve(synthetic, scores, drop_intermediate=False)
    return np.asarray(false_positive), np.asarray(true_positive)


def obuchowski_rockette(values: Floats, covariance: Floats, chance: float = 0.5) -> dict[str, Any]:
    """Mean over readers, 95 % interval within [0, 1] and test against chance, readers and cases random.

    Obuchowski & Rockette (1995) for one modality, with the degrees of freedom of Hillis (2007):
    Var = [MS(R) + R max(Cov2, 0)] / R, df = [MS(R) + R max(Cov2, 0)]² / [MS(R)² / (R − 1)]. Interval and test are taken
    on the logit, where both are nearer to what they promise (docs/study-statistics.md).

    Args:
        values: One figure of merit a reader, (R,).
        covariance: Of these for random cases and fixed readers, (R, R).
        chance: What readers get who cannot tell the images apart.
    """
    R = len(values)
    mean = float(values.mean())
    if R < MIN_READERS:
        return {"mean": mean, "absent": f"it needs at least {MIN_READERS} readers: with fewer their spread is a guess"}
    if np.ptp(values) < SAME:
        return {"mean": mean, "absent": "all readers have the same value, so that their spread is not known"}
    ms_readers = float(values.var(ddof=1))
    cov2 = float(covariance[~np.eye(R, dtype=bool)].mean())
    error_term = ms_readers + R * max(cov2, 0)
    df = error_term**2 / (ms_readers**2 / (R - 1))
    standard_error = (error_term / R) ** 0.5
    t = float(special.logit(mean) - special.logit(chance)) * mean * (1 - mean) / standard_error
    return {
        "mean": mean,
        **_on_logit(mean, float(stats.t.ppf(0.975, df)) * standard_error),
        "chance": chance,
        "t": t,
        "df": df,
        "p": float(2 * stats.t.sf(abs(t), df)),
        "standard_error": standard_error,
        "ms_readers": ms_readers,
        "cov2": cov2,
    }
