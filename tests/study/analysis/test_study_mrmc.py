"""DeLong and Obuchowski–Rockette against hand, closed forms, published values, the bootstrap and simulations."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from studies import Model, levels_of

from panodiff.study.analysis.mrmc import auc, balanced, case_covariance, delong, obuchowski_rockette, placements

RUNS, READERS, CASES = 2000, 6, 50
MODEL = Model()


def kernel(x: float, y: float) -> Fraction:
    return Fraction(int(x > y) - int(x < y) + 1, 2)


def test_delong_is_the_double_sum_of_its_paper():
    X, Y = [3, 1, 2, 3], [0, 2, 1]
    V10 = [sum(kernel(x, y) for y in Y) / len(Y) for x in X]
    V01 = [sum(kernel(x, y) for x in X) / len(X) for y in Y]
    area = sum(V10) / len(X)
    assert area == Fraction(5, 6)  # 3 + 1½ + 2½ + 3 of 12 pairs
    S10 = sum((value - area) ** 2 for value in V10) / (len(X) - 1)
    S01 = sum((value - area) ** 2 for value in V01) / (len(Y) - 1)
    found = placements(np.array([X], float), np.array([Y], float))
    for part, expected in zip(found, (V10, V01), strict=True):
        assert part[0] == pytest.approx([float(value) for value in expected])
    values, covariance = delong(np.array([X], float), np.array([Y], float))
    assert values[0] == pytest.approx(float(area), abs=1e-12)
    assert covariance[0, 0] == pytest.approx(float(S10 / len(X) + S01 / len(Y)), abs=1e-12)


def test_delong_of_two_levels_is_the_variance_of_two_shares():
    # The area is (sensitivity + specificity) / 2, and V10, V01 take two values each, half apart.
    X, Y = np.repeat([[1.0, 0.0]], [14, 6], axis=1), np.repeat([[1.0, 0.0]], [9, 21], axis=1)
    values, covariance = delong(X, Y)
    assert values[0] == pytest.approx((0.7 + 0.7) / 2)
    assert covariance[0, 0] == pytest.approx((0.7 * 0.3 / 19 + 0.7 * 0.3 / 29) / 4)


def test_the_area_is_that_of_scikit_learn():
    X, Y = (levels_of(part, MODEL.shift) for part in MODEL.impressions(np.random.default_rng(1), 5, 30))
    truth = np.repeat([1, 0], 30)
    for x, y, value in zip(X, Y, delong(X, Y)[0], strict=True):
        assert value == pytest.approx(roc_auc_score(truth, np.concatenate([x, y])))


def test_delong_covariances_agree_with_a_bootstrap_over_cases():
    rng = np.random.default_rng(2)
    X, Y = (levels_of(part, MODEL.shift) for part in MODEL.impressions(rng, 3, 80))
    _, covariance = delong(X, Y)
    draws = rng.integers(80, size=(4000, 2, 80))
    areas = np.array([placements(X[:, of_x], Y[:, of_y])[0].mean(axis=1) for of_x, of_y in draws])
    bootstrap = np.cov(areas.T)
    assert covariance == pytest.approx(bootstrap, rel=0.15)
    assert covariance[0, 1] > 0.2 * covariance[0, 0]  # the readers share their cases: the covariances are not noise


def test_covariances_of_a_mean_are_those_of_the_sample_over_its_size():
    part = np.array([[1.0, 2.0, 3.0], [1.0, 0.0, 2.0]])
    assert case_covariance([part]) == pytest.approx(np.array([[1, 0.5], [0.5, 1]]) / 3)


def test_the_balanced_accuracy_of_one_answer_for_all_is_a_half():
    X, Y = np.full((2, 30), 0.75), np.full((2, 10), 0.75)
    for rule in ("certainty_weighted", "unsure_half"):
        values, covariance = balanced(X, Y, rule)
        assert values == pytest.approx([0.5, 0.5])
        assert covariance == pytest.approx(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("areas", "cov2", "df", "low", "high"),
    [
        ((0.9196, 0.8588, 0.9039, 0.9731, 0.8298), 0.00048396180, 12.744648, 0.82522360, 0.96885048),
        ((0.9478, 0.9053, 0.9217, 0.9994, 0.9300), 0.00020418785, 12.710190, 0.89413783, 0.98753689),
    ],
)
def test_the_interval_is_that_of_rjafroc_on_the_data_of_van_dyke(areas, cov2: float, df: float, low: float, high):
    # Areas to four digits, covariance and interval of either modality as the book of RJafroc prints them.
    found = obuchowski_rockette(np.array(areas), np.full((5, 5), cov2) + 0.0005 * np.eye(5))  # variances do not matter
    assert found["df"] == pytest.approx(df, rel=2e-3)
    margin = stats.t.ppf(0.975, found["df"]) * found["standard_error"]  # RJafroc's interval is not on the logit
    assert (found["mean"] - margin, found["mean"] + margin) == pytest.approx((low, high), abs=1e-4)


def test_without_covariances_its_error_is_that_of_the_t_test_over_readers():
    values = np.array([0.61, 0.72, 0.55, 0.68])
    for cov2 in (0.0, -0.01):  # an estimate below 0 counts as 0
        found = obuchowski_rockette(values, np.full((4, 4), cov2))
        expected = stats.ttest_1samp(values, 0.5)
        assert (values.mean() - 0.5) / found["standard_error"] == pytest.approx(expected.statistic)
        assert found["df"] == pytest.approx(3)


def test_interval_and_p_are_of_one_test_on_the_logit():
    values, covariance = np.array([0.61, 0.72, 0.55, 0.68]), 0.001 * (np.eye(4) + 1)
    found = obuchowski_rockette(values, covariance)
    logit = np.log(found["mean"] / (1 - found["mean"]))
    error = found["standard_error"] / (found["mean"] * (1 - found["mean"]))
    assert found["t"] == pytest.approx(logit / error)
    assert found["p"] == pytest.approx(2 * stats.t.sf(logit / error, found["df"]))
    low, high = (np.log(found[end] / (1 - found[end])) for end in ("low", "high"))
    assert (low, high) == pytest.approx(tuple(logit + error * stats.t.ppf([0.025, 0.975], found["df"])))
    at_the_edge = obuchowski_rockette(values, covariance, chance=found["low"])
    assert at_the_edge["p"] == pytest.approx(0.05)


def test_few_readers_or_readers_without_spread_get_no_test():
    same = 0.7 + np.array([0, 1e-16, -1e-16, 2e-16])  # but for rounding
    for values in (np.array([0.7]), np.array([0.7, 0.8]), np.full(3, 0.7), same):
        found = obuchowski_rockette(values, np.eye(len(values)))
        assert set(found) == {"mean", "absent"}


def test_perfect_order_and_one_answer_for_all_have_no_delong_interval():
    synthetic = np.array([False, False, True, True])
    for scores, value, reason in (([0.0, 0.25, 0.75, 1.0], 1, "perfect order"), ([0.5] * 4, 0.5, "one answer")):
        found = auc(np.array(scores), synthetic)
        assert found["value"] == value
        assert set(found) == {"value", "absent"} and reason in found["absent"]


def test_the_interval_of_one_area_is_normal_on_the_logit():
    rng = np.random.default_rng(4)
    synthetic = np.repeat([True, False], 40)
    scores = rng.integers(5, size=80) / 4 + 0.4 * synthetic
    area, covariance = delong(scores[None, synthetic], scores[None, ~synthetic])
    error = covariance[0, 0] ** 0.5 / (area[0] * (1 - area[0]))
    found = auc(scores, synthetic)
    logits = [np.log(found[end] / (1 - found[end])) for end in ("low", "value", "high")]
    assert np.diff(logits) == pytest.approx([1.959964 * error] * 2, rel=1e-5)


@pytest.mark.parametrize(("shift", "num"), [(0.9, 20), (1.9, 100), (1.9, 20)])
def test_intervals_of_one_area_hold_the_truth_in_95_percent_from_five_levels(shift: float, num: int):
    rng, synthetic = np.random.default_rng(5), np.repeat([True, False], num)
    shares = [
        np.diff(stats.norm.cdf([-np.inf, *shift / 2 + np.array([-0.9, -0.2, 0.2, 0.9]), np.inf], at))
        for at in (shift, 0)
    ]
    below = np.cumsum(shares[1]) - shares[1] / 2  # ties are halves
    truth, found = shares[0] @ below, []
    for _ in range(800):
        scores = levels_of(rng.standard_normal(2 * num) + shift * synthetic, shift) / 4
        found.append(auc(scores, synthetic))
    assert 0.92 <= share_holding([(each.get("low", 1), each.get("high", 1)) for each in found], truth) <= 0.98


def simulate(model: Model, figure) -> tuple[np.ndarray, list[dict]]:
    """Values (RUNS, READERS) and results of `figure` of that many studies with other readers and other cases."""
    rng = np.random.default_rng(3)
    found = [figure(*model.impressions(rng, READERS, CASES)) for _ in range(RUNS)]
    return np.array([values for values, _ in found]), [obuchowski_rockette(*pair) for pair in found]


def share_holding(intervals, truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def over_readers_only(values: np.ndarray) -> np.ndarray:
    margin = stats.t.ppf(0.975, READERS - 1) * values.std(axis=1, ddof=1) / READERS**0.5
    return np.stack([values.mean(axis=1) - margin, values.mean(axis=1) + margin], axis=1)


def test_intervals_of_the_area_hold_the_truth_in_95_percent_where_those_over_readers_do_not():
    # Of the difference of two impressions: what readers, cases and noise contribute, twice each.
    spread = (2 * (MODEL.reader**2 + MODEL.case**2 + MODEL.noise**2)) ** 0.5
    truth = stats.norm.cdf(MODEL.shift / spread)
    values, results = simulate(MODEL, delong)
    assert values.mean() == pytest.approx(truth, abs=0.005)
    assert 0.93 <= share_holding([(found["low"], found["high"]) for found in results], truth) <= 0.97
    assert share_holding(over_readers_only(values), truth) < 0.92


def test_intervals_of_the_accuracy_hold_the_truth_in_95_percent_where_those_over_readers_do_not():
    spread = (MODEL.reader**2 + MODEL.case**2 + MODEL.noise**2) ** 0.5
    cuts = MODEL.shift / 2 + np.array([-0.9, -0.2, 0.2, 0.9])
    scores = [0.25 * stats.norm.sf(cuts, shift, spread).sum() for shift in (MODEL.shift, 0)]  # expected, of X and Y
    truth = (scores[0] + 1 - scores[1]) / 2
    values, results = simulate(
        MODEL, lambda X, Y: balanced(levels_of(X, 1) / 4, levels_of(Y, 1) / 4, "certainty_weighted")
    )
    assert values.mean() == pytest.approx(truth, abs=0.005)
    assert 0.93 <= share_holding([(found["low"], found["high"]) for found in results], truth) <= 0.97
    assert share_holding(over_readers_only(values), truth) < 0.92


def test_readers_who_cannot_tell_are_found_better_or_worse_than_chance_in_5_percent():
    _, results = simulate(MODEL._replace(shift=0.0), delong)
    assert 0.03 <= np.mean([found["p"] < 0.05 for found in results]) <= 0.07
