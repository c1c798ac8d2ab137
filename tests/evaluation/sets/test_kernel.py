"""The kernel distance against peers and its own interval."""

import numpy as np
import pytest
import torch
from gaussians import some_features
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import poly_mmd

from panodiff.evaluation.sets.kernel import kernel_distance


def test_it_equals_torchmetrics_and_torch_fidelity_on_the_same_images():
    fake, real = some_features(40), some_features(40, seed=1, shift=0.5)
    found = kernel_distance(fake, real, seed=1)["value"]
    assert found == pytest.approx(poly_mmd(torch.tensor(fake), torch.tensor(real)).item(), rel=1e-9)
    whole = kid_features_to_metric(
        torch.tensor(fake),
        torch.tensor(real),
        kid_subsets=1,
        kid_subset_size=40,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        rng_seed=1,
        verbose=False,
    )
    assert found == pytest.approx(whole["kernel_inception_distance_mean"], rel=1e-6)


def test_sets_of_different_sizes_follow_the_formula():
    fake, real = some_features(7, 3), some_features(12, 3, seed=1)
    kernels = [(a @ b.T / 3 + 1) ** 3 for a, b in ((fake, fake), (real, real), (fake, real))]
    within = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels[:2]]
    assert kernel_distance(fake, real, seed=1)["value"] == pytest.approx(sum(within) - 2 * kernels[2].mean(), rel=1e-9)


def test_two_images_have_a_distance_but_no_interval():
    fake, real = some_features(2), some_features(30, seed=1)
    assert set(kernel_distance(fake, real, seed=1)) == {"value"}
    assert set(kernel_distance(some_features(3), real, seed=1)) == {"value", "low", "high"}


def true_distance(shift: float, dim: int) -> float:
    """Between normal distributions of variance 1 whose means are `shift` apart in each of `dim` features."""

    def kernel(a: float, b: float) -> float:
        """E (xᵀy / D + 1)³ for x about a and y about b: by y first, xᵀy being normal of mean b Σx, variance |x|²."""
        total, total2, total3 = dim * a, dim + (dim * a) ** 2, (dim * a) ** 3 + 3 * dim * a * dim  # E (Σx)^1…3
        square = dim * (1 + a**2)  # E |x|²
        both = dim * (a**3 + 3 * a) + dim * (dim - 1) * a * (1 + a**2)  # E Σx |x|²
        products = b * total, b**2 * total2 + square, b**3 * total3 + 3 * b * both  # E (xᵀy)^1…3
        return products[2] / dim**3 + 3 * products[1] / dim**2 + 3 * products[0] / dim + 1

    return kernel(shift, shift) + kernel(0, 0) - 2 * kernel(shift, 0)


@pytest.mark.parametrize(("shift", "fakes", "reals"), [(0.0, 150, 120), (0.3, 150, 120), (0.6, 60, 40)])
def test_the_interval_holds_the_true_distance_about_as_often_as_it_says(shift: float, fakes: int, reals: int):
    true, generator = true_distance(shift, 4), np.random.default_rng(0)
    found = [
        kernel_distance(generator.normal(shift, 1, (fakes, 4)), generator.normal(size=(reals, 4)), seed=repeat)
        for repeat in range(200)
    ]
    assert 0.9 <= np.mean([estimate["low"] <= true <= estimate["high"] for estimate in found]) <= 0.99
    values = np.array([estimate["value"] for estimate in found])
    assert abs(values.mean() - true) < 3 * values.std() / 200**0.5  # unbiased
