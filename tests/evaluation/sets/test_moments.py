"""The Fréchet distance against closed forms, peers and its own interval."""

import numpy as np
import pytest
import torch
from gaussians import some_features
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from panodiff.evaluation.sets.moments import frechet_distance, frechet_estimate


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


def test_frechet_distance_equals_torch_fidelity():
    fake, real = some_features(300, 64), some_features(250, 64, seed=1, scale=1.3, shift=0.2)
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (fake, real)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-6)
    assert frechet_estimate(fake, real, seed=1)["value"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dim", "fakes", "reals"), [(8, 200, 200), (32, 200, 150), (64, 300, 130)])
def test_the_interval_holds_the_true_distance_about_as_often_as_it_says(dim: int, fakes: int, reals: int):
    generator = np.random.default_rng(0)
    scale = np.linspace(0.5, 1.5, dim)
    true = 0.5**2 + np.square(scale - 1).sum()
    estimates = []
    for repeat in range(200):
        fake = generator.normal(size=(fakes, dim)) * scale
        fake[:, 0] += 0.5
        estimates.append(frechet_estimate(fake, generator.normal(size=(reals, dim)), seed=repeat))
    held = np.mean([found["low"] <= true <= found["high"] for found in estimates])
    assert 0.9 <= held <= 0.99
    errors = {name: abs(np.mean([found[name] for found in estimates]) - true) for name in ("value", "unbiased")}
    assert errors["unbiased"] < 0.1 * errors["value"]


def test_sets_of_few_images_a_feature_have_no_interval_and_say_why():
    with pytest.raises(ValueError, match="needs 32 images in either set, twice its features, got 40 and 31"):
        frechet_estimate(some_features(40), some_features(31), seed=1)
