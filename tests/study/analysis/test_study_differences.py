from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from studies import Model, simulated

from panodiff.study.analysis.answers import prepare
from panodiff.study.analysis.differences import compare_groups, course, slope


def groups_of(one: list[float], other: list[float]):
    values = {f"R{index}": value for index, value in enumerate([*one, *other])}
    return {reader: "ab"[int(reader[1:]) >= len(one)] for reader in values}, {"auc": values}


def test_a_slope_is_that_of_least_squares_beside_the_label():
    rng = np.random.default_rng(0)
    synthetic = rng.integers(2, size=50).astype(float)
    credit = 0.6 + 0.2 * synthetic + 0.1 * np.linspace(0, 1, 50) + rng.normal(0, 0.1, 50)
    fitted = sm.OLS(credit, sm.add_constant(np.stack([np.linspace(0, 1, 50), synthetic], axis=1))).fit()
    found = slope(credit, synthetic)
    assert found["value"] == pytest.approx(fitted.params[1])
    assert (found["low"], found["high"]) == pytest.approx(tuple(fitted.conf_int()[1]))


def test_more_synthetic_images_late_are_not_taken_for_learning():
    synthetic = np.repeat([0.0, 1.0], 20)
    assert slope(0.4 + 0.3 * synthetic, synthetic)["value"] == pytest.approx(0)


def test_planted_learning_is_found_and_its_absence_is_not_called_learning():
    found = course(prepare(*simulated(num_cases=60, learning=1.5)).first)
    assert found["slope"]["low"] > 0
    assert found["second_minus_first"]["low"] > 0
    halves = prepare(*simulated(num_cases=60, learning=1.5)).first.query("reader == 'R0'").sort_values("position")
    assert found["readers"]["R0"]["second_half"] == pytest.approx(halves["weighted"].iloc[60:].mean())
    assert found["readers"]["R0"]["first_half"] == pytest.approx(halves["weighted"].iloc[:60].mean())
    assert found["second_minus_first"]["mean"] == pytest.approx(
        found["second_half"]["mean"] - found["first_half"]["mean"]
    )
    held = [
        course(prepare(*simulated(num_readers=4, num_cases=12, model=Model(), seed=seed)).first)["slope"]
        for seed in range(40)
    ]
    assert np.mean([interval["low"] <= 0 <= interval["high"] for interval in held]) >= 0.85


def test_one_order_for_all_is_noted_and_readings_without_order_have_no_course():
    readings, labels = simulated(num_readers=3)
    assert course(prepare(readings, labels).first)["same_order"] is False
    fixed = readings.assign(position=readings["case"].str[-3:].astype(float))
    assert course(prepare(fixed, labels).first)["same_order"] is True
    assert set(course(prepare(readings.drop(columns="position"), labels).first)) == {"absent"}


def test_the_permutation_test_goes_through_all_divisions_of_the_readers():
    one, other = [0.9, 0.8, 0.7], [0.5, 0.72, 0.6, 0.55]
    found = compare_groups(*groups_of(one, other), seed=1)["auc"]
    pooled = np.array(one + other)
    effects = [
        pooled[list(chosen)].mean() - np.delete(pooled, list(chosen)).mean() for chosen in combinations(range(7), 3)
    ]
    more = np.mean(np.array(effects) >= found["effect"] - 1e-12)
    assert (found["exact"], found["num_permutations"]) == (True, 35)
    assert found["p"] == pytest.approx(2 * more)
    assert found["smallest_p"] == pytest.approx(2 / 35)
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((welch.low, welch.high))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([515, 621, 547], [524, 589, 547]),
        ([501, 502, 503, 504], [504, 503, 502, 501]),
        ([532, 533, 534], [533, 534, 532]),
    ],
)
def test_ties_of_the_permutation_test_are_ties(one: list[int], other: list[int]):
    """Counted in whole numbers, where nothing is lost to rounding."""
    found = compare_groups(*groups_of([value / 800 for value in one], [value / 800 for value in other]), seed=1)["auc"]
    pooled, num = one + other, len(one)
    sums = [sum(chosen) for chosen in combinations(pooled, num)]  # a division's difference grows with its first sum
    tail = min(sum(value >= sum(one) for value in sums), sum(value <= sum(one) for value in sums))
    assert found["p"] == pytest.approx(min(2 * tail / len(sums), 1))


def test_three_against_three_cannot_get_below_one_tenth():
    found = compare_groups(*groups_of([0.9, 0.91, 0.92], [0.1, 0.2, 0.3]), seed=1)["auc"]
    assert found["p"] == pytest.approx(0.1)
    assert found["smallest_p"] == pytest.approx(0.1)


def test_permutations_too_many_to_go_through_are_drawn():
    rng = np.random.default_rng(0)
    found = compare_groups(*groups_of(list(rng.normal(1, 1, 14)), list(rng.normal(0, 1, 14))), seed=1)["auc"]
    assert not found["exact"]
    assert found["smallest_p"] <= found["p"] < 0.2


@pytest.mark.parametrize("groups", [{"A": "x", "B": ""}, {"A": "x", "B": "x"}, {"A": "x", "B": "y", "C": "z"}])
def test_other_than_two_groups_are_not_compared(groups):
    assert set(compare_groups(groups, {}, seed=1)) == {"absent"}


def test_a_group_of_one_reader_is_not_compared():
    assert set(compare_groups(*groups_of([0.9], [0.5, 0.6]), seed=1)) == {"absent"}


def test_groups_without_any_spread_get_no_interval():
    found = compare_groups(*groups_of([0.9, 0.9], [0.5, 0.5]), seed=1)["auc"]
    assert "low" not in found
    assert found["p"] == pytest.approx(1 / 3)
