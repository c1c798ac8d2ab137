"""How well sources can be told, against closed forms and clouds that lie as far apart as they are told to."""

import numpy as np
import pandas as pd
import pytest
from clouds import a_corpus, features_by_source
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from panodiff.features.separability import (
    SYNTHETIC,
    accuracy,
    count_images,
    find_neighbours,
    guess_sources,
    mixing,
    separability,
    wilson,
)

FIVE = {"adld": 60, "dentex": 60, "tsxk": 60, "tufts": 60, "uspforp": 60}


def measured(features: np.ndarray, rows: pd.DataFrame, num_neighbours: int, shares: dict | None = None) -> dict:
    return separability(features, rows, num_neighbours, shares or {})


def test_sources_that_lie_apart_are_always_told_and_others_as_often_as_by_chance():
    rows = a_corpus({"adld": 80, "dentex": 80, "tufts": 80})
    apart = measured(features_by_source(rows, 30.0), rows, 5)
    mixed = measured(features_by_source(rows, 0.0), rows, 5)
    assert apart["knn_accuracy"]["value"] == 1 and apart["silhouette"] > 0.8
    assert count_images(rows)["chance"] == pytest.approx(1 / 3, abs=1e-5)
    assert mixed["knn_accuracy"]["value"] == pytest.approx(1 / 3, abs=0.1)  # 3 standard errors of 240 guesses
    assert mixed["knn_accuracy"]["low"] < 1 / 3 < mixed["knn_accuracy"]["high"]
    assert abs(mixed["silhouette"]) < 0.02


def test_copies_of_an_image_do_not_help_to_guess_its_source():
    rows = a_corpus({"adld": 60, "dentex": 60})
    features = features_by_source(rows, 0.0)
    features[1::2] = features[::2]  # each image twice, in the same source
    alone = measured(features, rows, 1)
    rows["group"] = np.arange(len(rows)) // 2
    grouped = measured(features, rows, 1)
    assert alone["knn_accuracy"]["value"] == 1
    assert grouped["knn_accuracy"]["value"] < 0.65


def test_chance_is_the_share_of_the_largest_source():
    rows = a_corpus({"adld": 30, "dentex": 10})
    rows.loc[:1, "group"] = "one patient"
    assert count_images(rows) == {
        "num_images": 40,
        "num_groups": 39,
        "num_images_of": {"adld": 30, "dentex": 10},
        "chance": 0.75,
    }


def test_neighbours_come_nearest_first_and_never_from_the_own_group():
    features = np.array([[0.0], [0.1], [1.0], [-3.0]])
    neighbours = find_neighbours(features, np.array(["a", "a", "b", "c"], object), 3)
    assert neighbours.tolist() == [[2, 3, -1], [2, 3, -1], [1, 0, 3], [0, 1, 2]]


def test_a_tied_vote_goes_to_the_nearest_neighbour():
    sources = np.array(["x", "near", "far", "other"], dtype=object)
    assert guess_sources(np.array([[1, 2]]), sources)[0] == "near"
    assert guess_sources(np.array([[1, 2, 2]]), sources)[0] == "far"


def test_an_image_without_neighbours_outside_its_group_is_not_guessed():
    neighbours = find_neighbours(np.eye(3), np.array(["g"] * 3, object), 2)
    assert list(guess_sources(neighbours, np.array(["a"] * 3, object))) == [None, None, None]


def test_one_source_alone_has_no_silhouette():
    rows = a_corpus({"adld": 9})
    found = measured(features_by_source(rows, 0.0), rows, 3)
    assert found["silhouette"] is None and found["knn_accuracy"]["value"] == 1


@given(st.integers(1, 3000), st.data())
def test_the_interval_is_wilson_s(n: int, data: st.DataObject):
    count = data.draw(st.integers(0, n))
    peer = binomtest(count, n).proportion_ci(method="wilson")
    found = wilson(count / n, n)
    assert (found["low"], found["high"]) == pytest.approx((peer.low, peer.high), rel=1e-5, abs=1e-6)
    assert found["low"] <= found["value"] <= found["high"]


def test_the_interval_counts_groups_and_not_images():
    right = np.array([True, True, False, True] * 25)
    alone = accuracy(right, np.arange(100).astype(object))
    in_pairs = accuracy(right, (np.arange(100) // 2).astype(object))
    assert alone["value"] == in_pairs["value"] == 0.75
    assert in_pairs["high"] - in_pairs["low"] > 1.3 * (alone["high"] - alone["low"])


def test_the_interval_covers_the_truth_as_often_as_it_says_where_groups_are_told_right_together():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3).astype(object)  # 60 patients with three radiographs each
    covers = {"groups": 0, "images": 0}
    for _ in range(400):
        right = np.repeat(generator.random(60) < 0.9, 3)
        for what, of in (("groups", groups), ("images", np.arange(180).astype(object))):
            found = accuracy(right, of)
            covers[what] += found["low"] <= 0.9 <= found["high"]
    assert covers["groups"] > 0.92 * 400
    assert covers["images"] < 0.85 * 400


def with_synthetic(where: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Five sources far apart, and synthetic images of each of them, or on an island of their own."""
    rows = a_corpus(FIVE | {SYNTHETIC: 60})
    like = rows.copy()
    if where == "among":
        is_synthetic = rows["source"] == SYNTHETIC
        like.loc[is_synthetic, "source"] = np.resize(list(FIVE), is_synthetic.sum())
    return features_by_source(like, 40.0, seed=1), rows


@pytest.mark.parametrize("where", ["among", "apart"])
def test_synthetic_images_among_the_real_ones_have_as_many_synthetic_neighbours_as_by_chance(where: str):
    features, rows = with_synthetic(where)
    found = measured(features, rows, 5, dict.fromkeys(FIVE, 0.2))
    assert found["mixing"]["chance"] == pytest.approx(59 / 359, rel=1e-5)
    if where == "apart":
        assert found["mixing"]["value"] == found["knn_accuracy_of"][SYNTHETIC]["value"] == 1
    else:
        assert found["mixing"]["low"] < found["mixing"]["chance"] < found["mixing"]["high"]
        assert found["knn_accuracy_of"][SYNTHETIC]["value"] < 0.2


def test_a_map_of_real_images_alone_says_nothing_of_mixing():
    rows = a_corpus({"adld": 9, "tufts": 9})
    assert "mixing" not in measured(features_by_source(rows, 1.0), rows, 3)


def test_the_two_expectations_of_mixing_agree_where_the_map_has_the_shares_of_the_training_images():
    sources = np.array(["a"] * 30 + ["b"] * 10 + [SYNTHETIC] * 21, object)
    neighbours = np.zeros((61, 1), np.intp)
    alike = mixing(neighbours, sources, {"a": 0.75, "b": 0.25})
    assert alike["chance"] == alike["chance_within_sources"] == pytest.approx(20 / 60, rel=1e-5)
    apart = mixing(neighbours, sources, {"a": 0.25, "b": 0.75})  # 5 beside 30, 15 beside 10
    assert apart["chance_within_sources"] == pytest.approx(0.25 * 5 / 35 + 0.75 * 15 / 25, rel=1e-5)


def test_images_drawn_in_other_shares_than_the_map_s_reach_the_expectation_within_sources():
    shares = {"adld": 0.8, "dentex": 0.2}
    rows = a_corpus({"adld": 400, "dentex": 400, SYNTHETIC: 400})
    like = rows.copy()
    like.loc[rows["source"] == SYNTHETIC, "source"] = ["adld"] * 320 + ["dentex"] * 80
    found = measured(features_by_source(like, 40.0), rows, 5, shares)["mixing"]
    assert found["low"] < found["chance_within_sources"] < found["high"]
    assert found["chance"] < found["chance_within_sources"] - 0.03
