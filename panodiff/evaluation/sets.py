"""Metrics between two sets of images, on features taken before: Fréchet distance, KID, precision and recall.

Letters: N images, D features. "fake" is the set under test, "real" the one it is held against. All in float64,
by torch-fidelity's code, which takes features as they are.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from panodiff.features.embed import Features
from panodiff.params import EvaluateParams
from panodiff.randomness import derived_seed, numpy_generator

MIN_IMAGES = 4  # of a set: halves of two images have a covariance
_DISTANCE_ROWS = 1000  # rows of a distance matrix in memory at once


def frechet_distance(fake: Features, real: Features) -> float:
    """The Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017, equation 6), from 0.

    |μ_f - μ_r|² + tr(Σ_f + Σ_r - 2 (Σ_f Σ_r)^½); the last trace is the sum of the roots of the eigenvalues of Σ_f Σ_r,
    which holds for singular Σ too (fewer images than features). Falls with the number of images even between sets of
    one distribution: compare only values of equal sample sizes.
    """
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (fake, real)]
    found: float = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    return max(found, 0.0)  # rounding may leave a little below zero between equal sets


def kernel_distance(fake: Features, real: Features, *, subsets: int, subset_size: int, seed: int) -> dict[str, float]:
    """KID (Bińkowski et al. 2018): mean and standard deviation of the unbiased MMD² over random subsets.

    Polynomial kernel (xᵀy / D + 1)³. A subset of a whole set is always the same: where `subset_size` is the size of
    the smaller set, the standard deviation leaves out the chance of that set.
    """
    found = kid_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        rng_seed=derived_seed(seed, "evaluate/kid") % 2**32,
        verbose=False,
    )
    return {"mean": found["kernel_inception_distance_mean"], "sd": found["kernel_inception_distance_std"]}


def precision_recall(fake: Features, real: Features, num_neighbours: int) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, equations 1 and 2), each in [0, 1].

    Precision: the share of fakes that lie within the k-th neighbour distance of some real image; recall: the reverse.
    """
    found = prc_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        prc_neighborhood=num_neighbours,
        prc_batch_size=_DISTANCE_ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    return found["precision"], found["recall"]


def compare(fake: Features, real: Features, params: EvaluateParams, seed: int) -> dict[str, Any]:
    """All set metrics of `fake` (N, D) against `real` (M, D), with the sample sizes that they depend on."""
    smaller = min(len(fake), len(real))
    subset_size = min(params.kid_subset_size, smaller)
    kid = kernel_distance(fake, real, subsets=params.kid_subsets, subset_size=subset_size, seed=seed)
    found: dict[str, Any] = {
        "num_fake": len(fake),
        "num_real": len(real),
        "fd_encoder": frechet_distance(fake, real),
        "kid_encoder": kid["mean"],
        "kid_encoder_sd": kid["sd"],
        "kid_subset_size": subset_size,
    }
    if smaller > params.num_neighbours:
        precision, recall = precision_recall(fake, real, params.num_neighbours)
        return found | {"precision_encoder": precision, "recall_encoder": recall}
    too_few = f"needs more than evaluate.num_neighbours = {params.num_neighbours} images on both sides"
    return found | {"absent": {"precision_encoder": too_few, "recall_encoder": too_few}}


def compare_all(
    *, synthetic: Features, train: Features, test: Features, params: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """The synthetic set against test and train, and the same between real sets as yardsticks.

    - `real_matched_vs_test`: as many train images as there are synthetic ones, or all. The distance that perfect
      synthetic images would have at this sample size.
    - `test_halves`, `train_parts`: disjoint random parts of one split. The floor: what the sample size alone costs.
      The parts of train are as large as the synthetic and the test set, or in that ratio where train is too small.
    """
    shuffled_train, shuffled_test = (
        features[_order(len(features), seed, f"evaluate/{name}")]
        for features, name in ((train, "train"), (test, "test"))
    )
    half = len(test) // 2
    first, second = part_sizes(len(train), len(synthetic), len(test))
    pairs = {
        "synthetic_vs_test": (synthetic, test),
        "synthetic_vs_train": (synthetic, train),
        "train_vs_test": (train, test),
        "real_matched_vs_test": (shuffled_train[: len(synthetic)], test),
        "test_halves": (shuffled_test[:half], shuffled_test[half:]),
        "train_parts": (shuffled_train[:first], shuffled_train[first : first + second]),
    }
    return {name: compare(fake, real, params, seed) for name, (fake, real) in pairs.items()}


def part_sizes(total: int, first: int, second: int) -> tuple[int, int]:
    """Sizes of two disjoint parts of `total` images: as asked if they fit, else in that ratio, at least two each."""
    if first + second <= total:
        return first, second
    share = min(max(round(total * first / (first + second)), 2), total - 2)
    return share, total - share


def _order(count: int, seed: int, purpose: str) -> NDArray[Any]:
    return numpy_generator(seed, purpose).permutation(count)
