"""The Inception Score: whether images look like classes of photographs, and like many; for the published comparison."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import t

from panodiff.evaluation.sets.intervals import Estimate
from panodiff.features.embed import FeatureRows
from panodiff.randomness import numpy_generator

NUM_SPLITS = 10  # as published
_CONFIDENCE = 0.95


def inception_score(logits: FeatureRows, seed: int) -> Estimate:
    """IS from 1: the mean over ten random splits (Salimans et al. 2016), with the 95 % interval of that mean.

    Rises with the number of images; it says how many ImageNet classes radiographs resemble, so only its distance from
    that of real radiographs means something.

    Args:
        logits: (N, 1008) of torch-fidelity's Inception, without bias.
        seed: Of the splits.

    Raises:
        ValueError: There are less than two images a split.
    """
    if len(logits) < 2 * NUM_SPLITS:
        raise ValueError(f"the Inception Score needs at least {2 * NUM_SPLITS} images, got {len(logits)}")
    order = numpy_generator(seed, "evaluate/inception_score").permutation(len(logits))
    scores = np.array([split_score(logits[rows]) for rows in np.array_split(order, NUM_SPLITS)])
    value = float(scores.mean())
    half = float(t.ppf((1 + _CONFIDENCE) / 2, NUM_SPLITS - 1) * scores.std(ddof=1)) / NUM_SPLITS**0.5
    return {"value": value, "low": value - half, "high": value + half}


def split_score(logits: FeatureRows) -> float:
    """The exponential of the mean Kullback-Leibler divergence between each image's classes and those of all."""
    logs: NDArray[np.float64] = log_softmax(np.asarray(logits, np.float64), axis=1)  # (B, 1008)
    classes = np.exp(logs)
    of_all = np.log(classes.mean(0, keepdims=True).clip(min=np.finfo(np.float64).tiny))
    return float(np.exp((classes * (logs - of_all)).sum(1).mean()))
