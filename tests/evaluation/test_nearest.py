import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_distances

from panodiff.evaluation.nearest import find_nearest, measure_memorisation


def some_features(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6))


def test_the_nearest_reference_equals_that_of_scikit_learn():
    queries, references = some_features(700, 0), some_features(40, 1)  # more queries than one block holds
    distances = cosine_distances(queries, references)
    found = find_nearest(queries, references)
    assert (found.index == distances.argmin(1)).all()
    np.testing.assert_allclose(found.distance, distances.min(1), atol=1e-12)


def test_an_image_is_not_its_own_neighbour_nor_is_its_copy():
    features = some_features(600, 0)
    features[1::2] = 2 * features[::2]  # the same direction: cosine distance 0
    alone = find_nearest(features, features, np.arange(600).astype(object))
    grouped = find_nearest(features, features, (np.arange(600) // 2).astype(object))
    assert alone.distance.max() < 1e-12 and (alone.index == np.arange(600) ^ 1).all()
    assert grouped.distance.min() > 1e-6 and (grouped.index // 2 != np.arange(600) // 2).all()


def test_copies_of_training_images_are_noticed_and_named():
    train = some_features(80, 0)
    nearest, rank, summary = measure_memorisation(
        synthetic=train[[5, 9, 70]], train=train, test=some_features(30, 1), train_groups=np.arange(80).astype(object)
    )
    assert list(nearest.index) == [5, 9, 70] and nearest.distance.max() < 1e-12
    assert rank.max() == 0 and summary["share_below_real_p05"]["synthetic"] == 1


def test_images_like_real_ones_lie_among_the_real_distances():
    train = some_features(300, 0)
    _, rank, summary = measure_memorisation(
        synthetic=some_features(200, 1),
        train=train,
        test=some_features(200, 2),
        train_groups=np.arange(300).astype(object),
    )
    assert rank.mean() == pytest.approx(0.5, abs=0.1)
    assert max(summary["share_below_real_p05"].values()) < 0.12
    distances = summary["distances"]
    assert distances["synthetic_to_train"]["median"] == pytest.approx(distances["train_to_train"]["median"], rel=0.2)
    assert all(entry["min"] <= entry["p05"] <= entry["median"] for entry in distances.values())


def test_a_single_duplicate_group_leaves_no_yardstick():
    train = some_features(5, 0)
    with pytest.raises(ValueError, match="one duplicate group"):
        measure_memorisation(synthetic=train, train=train, test=train, train_groups=np.array(["g"] * 5, object))
