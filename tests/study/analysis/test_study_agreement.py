import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from panodiff.study.analysis.agreement import agreement, agreement_with_oneself, mean_quadratic_kappa, quadratic_kappas

# Fleiss' example as Wikipedia gives it: how often 14 raters chose each of five categories, for ten subjects.
COUNTS = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def frame(levels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(levels) / 4, index=[f"R{index}" for index in range(len(levels))])


def test_fleiss_kappa_of_a_known_example():
    levels = np.array([np.repeat(range(5), counts) for counts in COUNTS]).T  # (14 raters, 10 subjects)
    found = agreement(frame(levels), seed=1)["fleiss_five"]
    assert found["value"] == pytest.approx(0.210, abs=5e-4)
    assert found["low"] < found["value"] < found["high"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_quadratic_kappas_are_those_of_scikit_learn(pairs):
    one, other = np.array(pairs).T
    found = quadratic_kappas(np.array([one, other]) / 4)[0, 1]
    if len({*one, *other}) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(cohen_kappa_score(one, other, weights="quadratic", labels=range(5)), abs=1e-9)


def test_readers_who_answer_alike_agree_fully_and_independent_ones_not_at_all():
    rng = np.random.default_rng(0)
    levels = rng.integers(5, size=400)
    alike = agreement(frame(np.tile(levels, (3, 1))), seed=1)
    apart = agreement(frame(rng.integers(5, size=(3, 400))), seed=1)
    for name in ("fleiss_five", "fleiss_two", "cohen_quadratic_mean"):
        assert alike[name]["value"] == pytest.approx(1)
        assert apart[name]["low"] < 0 < apart[name]["high"]
        assert apart[name]["high"] < 0.15


def test_unsure_counts_with_real_where_there_are_two_categories():
    one = agreement(frame([[0, 1, 2, 3, 4], [2, 2, 0, 4, 3]]), seed=1)
    assert one["fleiss_two"]["value"] == pytest.approx(1)
    assert one["fleiss_five"]["value"] < 0


def test_the_interval_of_the_mean_kappa_is_as_wide_as_other_cases_make_it():
    def drawn(rng):
        return np.digitize(rng.standard_normal(100) + 0.8 * rng.standard_normal((4, 100)), [-1, -0.3, 0.3, 1])

    rng = np.random.default_rng(0)
    spread = np.std([mean_quadratic_kappa(drawn(rng)) for _ in range(1000)])
    found = agreement(frame(drawn(rng)), seed=1)["cohen_quadratic_mean"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * spread, rel=0.25)


def test_a_seed_gives_the_same_intervals_and_another_seed_others():
    table = frame(np.random.default_rng(0).integers(5, size=(3, 30)))
    assert agreement(table, seed=1) == agreement(table, seed=1)
    assert agreement(table, seed=1)["fleiss_five"] != agreement(table, seed=2)["fleiss_five"]


def test_what_has_no_agreement_says_why():
    assert set(agreement(frame([[0, 1, 2]]), seed=1)) == {"absent"}
    constant = agreement(frame([[2, 2, 2], [2, 2, 2]]), seed=1)
    assert [set(constant[name]) for name in ("fleiss_five", "fleiss_two", "cohen_quadratic_mean")] == [{"absent"}] * 3


def test_a_reader_agrees_with_himself_as_often_as_his_repeats_do():
    first = pd.DataFrame({"reader": "Ada", "case": list("abcd"), "score": [0.0, 0.25, 0.75, 1.0]})
    again = pd.DataFrame({"reader": "Ada", "case": list("dcb"), "score": [1.0, 1.0, 0.5]})
    found = agreement_with_oneself(first, again)
    assert found["num_pairs"] == 3
    assert found["same_answer"]["value"] == pytest.approx(1 / 3)
    assert found["readers"]["Ada"]["same_call"]["value"] == 1
    kappa = cohen_kappa_score([1, 3, 4], [2, 4, 4], weights="quadratic", labels=range(5))
    assert found["readers"]["Ada"]["cohen_quadratic"]["value"] == pytest.approx(kappa)
    assert set(agreement_with_oneself(first, again[:0])) == {"absent"}
