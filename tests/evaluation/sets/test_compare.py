"""What is compared with what."""

import numpy as np
import pytest
from gaussians import some_features

from panodiff.evaluation.sets.compare import compare, compare_all, part_sizes


def test_sets_too_small_for_neighbours_have_no_precision_and_say_so():
    found = compare(some_features(3), some_features(9, seed=1), "encoder", 3, seed=1)
    assert "precision_encoder" not in found
    assert "num_neighbours = 3" in found["absent"]["recall_encoder"]
    assert found["num_fake"] == 3
    assert found["num_real"] == 9
    assert set(found["fd_encoder"]) == {"value"}
    assert "needs 32 images in either set" in found["absent"]["fd_encoder.unbiased"]


def test_large_sets_have_every_metric_with_its_interval():
    found = compare(some_features(60), some_features(50, seed=1), "alexnet", 3, seed=1)
    metrics = {name: estimate for name, estimate in found.items() if not name.startswith("num_")}
    assert set(metrics) == {f"{name}_alexnet" for name in ("fd", "kid", "precision", "recall", "density", "coverage")}
    assert all(estimate["low"] < estimate["high"] for estimate in metrics.values())
    assert set(found["fd_alexnet"]) == {"value", "unbiased", "low", "high"}


def test_real_yardsticks_have_the_stated_sizes_and_distances_below_a_poor_set():
    found = compare_all(
        synthetic=some_features(64, shift=0.8),
        train=some_features(180, seed=1),
        test=some_features(35, seed=2),
        backbone="encoder",
        num_neighbours=3,
        seed=1,
    )
    sizes = {name: (entry["num_fake"], entry["num_real"]) for name, entry in found.items()}
    assert sizes == {
        "synthetic_vs_test": (64, 35),
        "synthetic_vs_train": (64, 180),
        "train_vs_test": (180, 35),
        "real_matched_vs_test": (64, 35),
        "test_halves": (17, 18),
        "train_parts": (64, 35),
    }
    for metric in ("fd_encoder", "kid_encoder"):
        far = found["synthetic_vs_test"][metric]["value"]
        assert found["real_matched_vs_test"][metric]["value"] < 0.5 * far
        assert found["train_parts"][metric]["value"] < 0.5 * far
    assert (
        found["train_vs_test"]["precision_encoder"]["value"] > found["synthetic_vs_test"]["precision_encoder"]["value"]
    )


def test_halves_share_no_image_and_leave_none_out():
    """Of ten zeros and ten ones, k ones in one half leave 10 - k to the other: equal variances, means 1 - k/5 apart."""
    features = np.zeros((20, 2))
    features[:10, 0] = 1
    for seed in range(10):
        sets = {"synthetic": features, "train": features, "test": features}
        distance = compare_all(**sets, backbone="encoder", num_neighbours=3, seed=seed)["test_halves"]["fd_encoder"][
            "value"
        ]
        assert min(abs(np.sqrt(distance) - gap) for gap in (0, 0.2, 0.4, 0.6, 0.8, 1)) < 1e-6


@pytest.mark.parametrize(
    "asked, expected", [((180, 64, 35), (64, 35)), ((50, 64, 36), (32, 18)), ((4, 7000, 2), (2, 2))]
)
def test_parts_of_a_small_split_keep_the_ratio_that_was_asked_for(asked, expected):
    assert part_sizes(*asked) == expected


def test_values_do_not_depend_on_the_order_of_the_images():
    fake, real = some_features(60), some_features(50, seed=1, scale=1.2)
    found, again = (
        compare(features, others, "encoder", 3, seed=1)
        for features, others in ((fake, real), (fake[::-1].copy(), np.roll(real, 7, axis=0)))
    )
    for name in ("fd_encoder", "kid_encoder", "precision_encoder", "recall_encoder", "density_encoder"):
        assert found[name]["value"] == pytest.approx(again[name]["value"], rel=1e-9), name
