"""Precision, recall, density and coverage against plain readings of the papers, and peers."""

import numpy as np
import pytest
import torch
from gaussians import some_features
from torch_fidelity.metric_prc import prc_features_to_metric

from panodiff.evaluation.sets.neighbours import METRICS, neighbour_estimates, neighbour_metrics


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
    found = neighbour_metrics(fake, real, k)
    assert (found["precision"], found["recall"]) == pytest.approx(plain_precision_recall(fake, real, k))
    assert found["precision"] > found["recall"]  # a narrow fake set: true to the real ones, but not all of them


def test_precision_and_recall_equal_torch_fidelity():
    fake, real = some_features(700, 8, scale=0.8), some_features(560, 8, seed=1)  # more rows than one block holds
    peer = prc_features_to_metric(
        torch.tensor(fake),
        torch.tensor(real),
        prc_neighborhood=3,
        prc_batch_size=1000,
        save_cpu_ram=True,
        verbose=False,
    )
    found = neighbour_metrics(fake, real, 3)
    assert (found["precision"], found["recall"]) == pytest.approx((peer["precision"], peer["recall"]), rel=1e-6)


def test_density_and_coverage_follow_their_formulas():
    fake, real, k = some_features(30, 4, scale=0.8), some_features(25, 4, seed=1), 3
    radii = np.array([np.sort(np.linalg.norm(real - centre, axis=1))[k] for centre in real])
    inside = np.linalg.norm(fake[:, None] - real, axis=2) <= radii
    found = neighbour_metrics(fake, real, k)
    assert found["density"] == pytest.approx(inside.sum() / (k * 30))
    assert found["coverage"] == pytest.approx(inside.any(0).mean())


def test_sets_of_one_distribution_have_density_and_coverage_near_one():
    found = neighbour_metrics(some_features(600, 4), some_features(600, 4, seed=1), 5)
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] == pytest.approx(1 - 0.5**5, abs=0.03)  # Naeem et al. 2020, equation 9, for large sets


def test_intervals_narrow_with_the_number_of_images():
    def widths(count: int) -> np.ndarray:
        found = neighbour_estimates(some_features(count, 4), some_features(count, 4, seed=1, scale=1.5), 3, seed=1)
        assert tuple(found) == METRICS
        assert all(estimate["low"] <= estimate["value"] <= estimate["high"] for estimate in found.values())
        return np.array([estimate["high"] - estimate["low"] for estimate in found.values()])

    assert widths(800).sum() < 0.7 * widths(100).sum()
