import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from panodiff.evaluation.sets import (
    compare,
    compare_all,
    frechet_distance,
    kernel_distance,
    part_sizes,
    precision_recall,
)
from panodiff.params import EvaluateParams

PARAMS = EvaluateParams(batch_size=4, num_neighbours=3, kid_subsets=5, kid_subset_size=1000, lpips_backbone=None)


def some_features(count: int, dim: int = 16, *, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, dim))


def whitened(count: int, dim: int) -> np.ndarray:
    """Features with mean 0 and covariance 1, exactly."""
    features = some_features(count, dim)
    features -= features.mean(0)
    return features @ np.linalg.inv(np.linalg.cholesky(np.cov(features, rowvar=False))).T


def test_frechet_distance_of_shifted_sets_is_the_square_of_the_shift():
    features, shift = some_features(50), np.linspace(0, 1, 16)
    assert frechet_distance(features, features + shift) == pytest.approx(np.sum(shift**2), rel=1e-9)


def test_frechet_distance_of_scaled_sets_has_its_closed_form():
    features = whitened(60, 16)
    # tr(I + 9 I - 2 · 3 I) = (3 - 1)² D
    assert frechet_distance(features, 3 * features) == pytest.approx(4 * 16, rel=1e-9)


@pytest.mark.parametrize("count", [200, 10])  # 10 images of 16 features: singular covariances
def test_frechet_distance_equals_torchmetrics(count):
    fake, real = some_features(count), some_features(count + 3, seed=1, scale=1.7, shift=0.3)
    moments = [m for f in (fake, real) for m in (torch.tensor(f.mean(0)), torch.tensor(np.cov(f, rowvar=False)))]
    assert frechet_distance(fake, real) == pytest.approx(_compute_fid(*moments).item(), rel=1e-6)


def test_frechet_distance_equals_the_formula_with_a_matrix_root():
    fake, real = some_features(200), some_features(150, seed=1, scale=1.7, shift=0.3)
    covariances = [np.cov(features, rowvar=False) for features in (fake, real)]
    cross = sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((fake.mean(0) - real.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * cross)
    assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_where_its_covariance_is_singular():
    assert 0 <= frechet_distance(some_features(6), some_features(6)) < 1e-4


def test_frechet_distance_falls_with_the_sample_size_of_sets_from_one_distribution():
    small, large = (frechet_distance(some_features(n), some_features(n, seed=1)) for n in (20, 500))
    assert small > 5 * large


def test_kid_on_whole_sets_equals_torchmetrics():
    fake, real = some_features(40), some_features(40, seed=1, shift=0.5)
    found = kernel_distance(fake, real, subsets=3, subset_size=40, seed=1)
    assert found["mean"] == pytest.approx(poly_mmd(torch.tensor(fake), torch.tensor(real)).item(), rel=1e-9)
    assert found["sd"] == pytest.approx(0, abs=1e-12)


def test_kid_over_subsets_is_seeded_and_agrees_with_the_whole_within_its_spread():
    fake, real = some_features(300), some_features(300, seed=1, shift=0.5)
    whole = poly_mmd(torch.tensor(fake), torch.tensor(real)).item()
    found, again, other = (kernel_distance(fake, real, subsets=60, subset_size=100, seed=seed) for seed in (1, 1, 2))
    assert found == again != other
    assert found["sd"] > 0 and abs(found["mean"] - whole) < 4 * found["sd"] / np.sqrt(60)


def plain_precision_recall(fake: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    def covered(points, centres):
        radii = [sorted(np.linalg.norm(centres - centre, axis=1))[k] for centre in centres]
        inside = [
            any(np.linalg.norm(point - centre) <= radius for centre, radius in zip(centres, radii, strict=True))
            for point in points
        ]
        return sum(inside) / len(inside)

    return covered(fake, real), covered(real, fake)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_a_plain_reading_of_the_paper(k):
    fake, real = some_features(40, 4, scale=0.6), some_features(55, 4, seed=1)
    precision, recall = precision_recall(fake, real, k)
    assert (precision, recall) == pytest.approx(plain_precision_recall(fake, real, k))
    assert precision > recall  # a narrow fake set: true to the real ones, but not all of them


def test_sets_too_small_for_neighbours_have_no_precision_and_say_so():
    found = compare(some_features(3), some_features(9, seed=1), PARAMS, seed=1)
    assert "precision_encoder" not in found and "num_neighbours = 3" in found["absent"]["recall_encoder"]
    assert found["kid_subset_size"] == 3 and found["num_fake"] == 3 and found["num_real"] == 9


def test_real_yardsticks_have_the_stated_sizes_and_distances_below_a_poor_set():
    found = compare_all(
        synthetic=some_features(64, shift=0.8),
        train=some_features(180, seed=1),
        test=some_features(35, seed=2),
        params=PARAMS,
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
        assert found["real_matched_vs_test"][metric] < 0.5 * found["synthetic_vs_test"][metric]
        assert found["train_parts"][metric] < 0.5 * found["synthetic_vs_test"][metric]
    assert found["train_vs_test"]["precision_encoder"] > found["synthetic_vs_test"]["precision_encoder"]


def test_halves_share_no_image_and_leave_none_out():
    """Of ten zeros and ten ones, k ones in one half leave 10 - k to the other: equal variances, means 1 - k/5 apart."""
    features = np.zeros((20, 2))
    features[:10, 0] = 1
    for seed in range(10):
        sets = {"synthetic": features, "train": features, "test": features}
        distance = compare_all(**sets, params=PARAMS, seed=seed)["test_halves"]["fd_encoder"]
        assert min(abs(np.sqrt(distance) - gap) for gap in (0, 0.2, 0.4, 0.6, 0.8, 1)) < 1e-6


@pytest.mark.parametrize(
    "asked, expected", [((180, 64, 35), (64, 35)), ((50, 64, 36), (32, 18)), ((4, 7000, 2), (2, 2))]
)
def test_parts_of_a_small_split_keep_the_ratio_that_was_asked_for(asked, expected):
    assert part_sizes(*asked) == expected
