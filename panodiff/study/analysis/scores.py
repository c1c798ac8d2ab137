"""What single readings are worth under each rule, and what that makes of a reader: shares, counts and times."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from panodiff.study.levels import LABELS, LEVELS

SCORES = dict(zip(LEVELS, (0.0, 0.25, 0.5, 0.75, 1.0), strict=True))  # how synthetic the reader finds the image
RULES = ("certainty_weighted", "unsure_half", "unsure_wrong", "unsure_dropped")
NUM_FOOLED = 10  # images of either label that are named
CERTAINTIES = ("definitely", "probably", "unsure")
Z_975 = float(stats.norm.ppf(0.975))  # for 95 % intervals
SAME = 1e-9  # values of readers that differ by less are one value, computed in another order

Floats = NDArray[np.float64]


def credits_of(scores: Floats, synthetic: NDArray[np.bool_]) -> dict[str, Floats]:
    """The credit of each reading under each of RULES, in [0, 1]; not a number where the rule leaves a reading out."""
    weighted = np.where(synthetic, scores, 1 - scores)
    half = (1 + np.sign(weighted - 0.5)) / 2  # 1 right, 0 wrong, ½ unsure
    return {
        "certainty_weighted": weighted,
        "unsure_half": half,
        "unsure_wrong": np.where(half == 1, 1.0, 0.0),
        "unsure_dropped": np.where(half == 0.5, np.nan, half),
    }


def accuracies(readings: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Accuracy of one reader under each of RULES, with a 95 % interval over cases.

    Wilson's where a reading is right or wrong; where there is something between, the normal interval from the variance
    within each label, since how many cases bear which label is fixed by the design.
    """
    synthetic = readings["synthetic"].to_numpy()
    found: dict[str, dict[str, Any]] = {}
    for rule, credit in credits_of(readings["score"].to_numpy(), synthetic).items():
        counted = credit[~np.isnan(credit)]
        if rule in ("unsure_wrong", "unsure_dropped"):
            found[rule] = proportion(int(counted.sum()), len(counted))
        else:
            found[rule] = {"value": float(credit.mean())} | _stratified(credit, synthetic)
    return found


def _stratified(values: Floats, synthetic: NDArray[np.bool_]) -> dict[str, Any]:
    """The normal 95 % interval of the mean of values that were drawn in two strata of fixed size."""
    parts = [part for part in (values[synthetic], values[~synthetic]) if len(part)]
    if min(map(len, parts)) < 2:
        return {"absent": "an interval needs at least two cases of each label"}
    error = np.sqrt(sum(len(part) * part.var(ddof=1) for part in parts)) / len(values)
    if error < SAME:
        return {"absent": "all answers to a label are worth the same, so that their spread is not known"}
    return {
        "low": float(max(values.mean() - Z_975 * error, 0)),
        "high": float(min(values.mean() + Z_975 * error, 1)),
    }


def proportion(num_right: int, num: int) -> dict[str, Any]:
    """A share with Wilson's (1927) 95 % interval."""
    if num == 0:
        return {"absent": "no such readings"}
    interval = stats.binomtest(num_right, num).proportion_ci(0.95, method="wilson")
    return {
        "value": num_right / num,
        "low": float(interval.low),
        "high": float(interval.high),
        "num_right": num_right,
        "num": num,
    }


def sensitivity(readings: pd.DataFrame) -> dict[str, Any]:
    """Share of the readings of synthetic images that call them fake; unsure does not."""
    scores = readings["score"][readings["synthetic"]]
    return proportion(int((scores > 0.5).sum()), len(scores))


def specificity(readings: pd.DataFrame) -> dict[str, Any]:
    """Share of the readings of real images that call them real; unsure does not."""
    scores = readings["score"][~readings["synthetic"]]
    return proportion(int((scores < 0.5).sum()), len(scores))


def over_readers(values: list[float], least: float = 0.0) -> dict[str, Any]:
    """Mean over readers with the 95 % t-interval within [least, 1]: readers are random, cases are these."""
    found: dict[str, Any] = {"mean": float(np.mean(values)), "num_readers": len(values)}
    if len(values) < 2:
        return found | {"absent": "an interval over readers needs at least two of them"}
    if np.ptp(values) < SAME:
        return found | {"absent": "all readers have the same value, so that their spread is not known"}
    deviation = float(np.std(values, ddof=1))
    margin = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    low, high = max(found["mean"] - margin, least), min(found["mean"] + margin, 1.0)
    return found | {"low": low, "high": high, "sd": deviation}


def confusion(readings: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How often each answer was given to the images of each label."""
    counts = readings.groupby(["label", "answer"]).size()
    return {label: {level: int(counts.get((label, level), 0)) for level in LEVELS} for label in LABELS}


def by_certainty(readings: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """How many answers were definite, probable and unsure, and what share of the first two was right."""
    credit = credits_of(readings["score"].to_numpy(), readings["synthetic"].to_numpy())["unsure_half"]
    found: dict[str, dict[str, Any]] = {}
    for certainty in CERTAINTIES[:2]:
        chosen = credit[(readings["certainty"] == certainty).to_numpy()]
        found[certainty] = proportion(int(chosen.sum()), len(chosen))
    return found | {"unsure": {"num": int((readings["certainty"] == "unsure").sum())}}


def response_times(readings: pd.DataFrame) -> dict[str, Any]:
    """Quartiles of the seconds until the answer: of all readings, by label and by certainty."""
    if "response_s" not in readings or readings["response_s"].isna().all():
        return {"absent": "these readings hold no response_s"}
    timed = readings.dropna(subset=["response_s"])
    return _quartiles(timed["response_s"]) | {
        "by_label": {label: _quartiles(timed["response_s"][timed["label"] == label]) for label in LABELS},
        "by_certainty": {name: _quartiles(timed["response_s"][timed["certainty"] == name]) for name in CERTAINTIES},
    }


def _quartiles(seconds: "pd.Series[float]") -> dict[str, Any]:
    if seconds.empty:
        return {"absent": "no such readings with a time"}
    low, median, high = (float(value) for value in np.quantile(seconds, [0.25, 0.5, 0.75]))
    return {"num": len(seconds), "lower_quartile_s": low, "median_s": median, "upper_quartile_s": high}


def case_table(readings: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """One row a case: label, id where known, readers, mean score, five counts; those that fooled most come first."""
    by_case = readings.groupby(["case", "label"])
    table = by_case.agg(num_readers=("score", "size"), mean_score=("score", "mean"))
    counts = by_case["answer"].value_counts().unstack(fill_value=0).reindex(columns=list(LEVELS), fill_value=0)
    table = table.join(counts).reset_index()
    if "id" in labels:
        table.insert(2, "id", table["case"].map(labels.set_index("case")["id"]))
    misleading = np.where(table["label"] == "synthetic", 1 - table["mean_score"], table["mean_score"])
    return table.iloc[np.lexsort((table["case"], -misleading))].reset_index(drop=True)


def fooled(readings: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """The images whose mean score lies on the wrong side of ½: how many, and those that fooled most."""
    if readings.empty:
        return {"absent": "no reader counts"}
    table = case_table(readings, labels)
    synthetic = table["label"] == "synthetic"
    chosen = {
        "synthetic_taken_for_real": table[synthetic & (table["mean_score"] < 0.5)],
        "real_taken_for_synthetic": table[~synthetic & (table["mean_score"] > 0.5)],
    }
    return {
        name: {"num": len(rows), "most": [_case(row) for row in rows.head(NUM_FOOLED).to_dict("records")]}
        for name, rows in chosen.items()
    }


def _case(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("case", "id") if name in row},
        "mean_score": float(row["mean_score"]),
        "num_readers": int(row["num_readers"]),
        "answers": {level: int(row[level]) for level in LEVELS},
    }
