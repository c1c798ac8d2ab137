"""How well a linear classifier tells synthetic from real images that it has not seen, and where it sees it.

0.5: no better than chance; 1: every pair of a synthetic and a real image is told apart. How sure such an AUC is depends
on the number of images: the interval of 64 of either class that cannot be told apart goes from 0.36 to 0.64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from panodiff.evaluation.looks.plausibility import GRID, ROUNDING, Measured
from panodiff.features.embed import FeatureRows, Features
from panodiff.randomness import derived_seed, numpy_generator

NUM_FOLDS = 5
MOST = 2000  # images of either class: their interval is ± 0.03 already
_NORMAL_975 = 1.959964  # quantile of the normal distribution for 95 % intervals
_HISTOGRAM_BINS = 32


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of one class."""

    ids: Sequence[str]  # (N,), unique in both classes together
    groups: Sequence[str]  # (N,), of duplicates; of synthetic images the ids
    features: FeatureRows  # (N, D)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A classifier in the features' own units: logit = weights · features + bias, above 0 for synthetic."""

    weights: Features  # (D,)
    bias: float


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The classifiers of NUM_FOLDS folds, and what they say of the images that they were not fitted to."""

    ids: list[str]  # (2 M,) of the images drawn, M of either class, in the order of their ids
    is_synthetic: NDArray[np.bool_]  # (2 M,)
    logits: NDArray[np.float64]  # (2 M,) each by the classifier of the fold that held the image out
    folds: NDArray[np.int64]  # (2 M,)
    classifiers: list[Linear]  # by fold
    summary: dict[str, Any]

    def classifier(self, name: str) -> Linear:
        """The one that has not seen the image `name`, which must be among `ids`."""
        return self.classifiers[int(self.folds[self.ids.index(name)])]


def detect(synthetic: Images, real: Images, seed: int, purpose: str) -> Detection:
    """Fit logistic regressions (standardised features, L2) in grouped cross-validation; the same for any image order.

    As many images of either class are drawn, no more than MOST. Folds hold about as many of either class, and never
    part a group. The AUC is the mean of those within the folds: scores of different classifiers are not compared. In
    the summary, beside it: `low` and `high` (see `auc_interval`), the `accuracy` at even odds, and `chance` of both.

    Args:
        synthetic: Each image a group of its own.
        real: Images that `synthetic` shall resemble.
        seed: Of the draw and the folds.
        purpose: Of the draws, one of its own for each kind of features.

    Raises:
        ValueError: There are fewer than two groups of real or of synthetic images.
    """
    count = min(len(synthetic.ids), len(real.ids), MOST)
    classes = [
        _drawn(images, count, seed, f"evaluate/detectability/{purpose}/{name}")
        for name, images in (("synthetic", synthetic), ("real", real))
    ]
    ids = [name for images in classes for name in images.ids]
    order = np.argsort(np.array(ids))
    groups = np.array([group for images in classes for group in images.groups])[order]
    x = np.concatenate([images.features[:] for images in classes])[order].astype(np.float64)  # (2 M, D)
    y = (np.arange(2 * count) < count)[order]
    num_groups = [len(set(groups[y == label])) for label in (True, False)]
    num_folds = min(NUM_FOLDS, *num_groups)
    if num_folds < 2:
        raise ValueError(f"telling synthetic from real images needs at least 2 groups of each, got {num_groups}")
    folds = _folds(y, groups, num_folds, derived_seed(seed, f"evaluate/detectability/{purpose}/folds") % 2**32)
    with threadpool_limits(limits=1):  # the order of sums must not depend on the number of cores
        classifiers = [_fit(x[folds != fold], y[folds != fold]) for fold in range(num_folds)]
    logits = np.array([classifiers[f].weights @ row + classifiers[f].bias for f, row in zip(folds, x, strict=True)])
    found = _summary(y, logits, folds, num_groups)
    drawn = [ids[i] for i in order]
    return Detection(ids=drawn, is_synthetic=y, logits=logits, folds=folds, classifiers=classifiers, summary=found)


def _drawn(images: Images, count: int, seed: int, purpose: str) -> Images:
    order = np.argsort(np.array(images.ids))
    chosen = np.sort(order[numpy_generator(seed, purpose).choice(len(order), count, replace=False)])
    return Images(
        ids=[images.ids[i] for i in chosen],
        groups=[images.groups[i] for i in chosen],
        features=images.features[chosen],
    )


def _folds(y: NDArray[np.bool_], groups: NDArray[Any], num_folds: int, state: int) -> NDArray[np.int64]:
    folds = np.zeros(len(y), np.int64)
    dealt = StratifiedGroupKFold(num_folds, shuffle=True, random_state=state).split(y, y, groups)
    for fold, (_, held_out) in enumerate(dealt):
        folds[held_out] = fold
    return folds


def _fit(x: Features, y: NDArray[np.bool_]) -> Linear:
    scaler = StandardScaler().fit(x)
    # The prior of the weights gets narrower with their number, or many features would be fitted by heart.
    model = LogisticRegression(C=10 / x.shape[1], max_iter=1000).fit(scaler.transform(x), y)
    weights = model.coef_[0] / scaler.scale_
    return Linear(weights=weights, bias=float(model.intercept_[0] - weights @ scaler.mean_))


def _summary(
    y: NDArray[np.bool_], logits: NDArray[np.float64], folds: NDArray[np.int64], num_groups: list[int]
) -> dict[str, Any]:
    parts = [folds == fold for fold in range(int(folds.max()) + 1)]
    aucs = [float(roc_auc_score(y[part], logits[part])) for part in parts if 0 < y[part].sum() < part.sum()]
    auc = float(np.mean(aucs))
    low, high = auc_interval(auc, num_groups[0], num_groups[1], len(parts))
    return {
        "num_synthetic": int(y.sum()),
        "num_real": int((~y).sum()),
        "num_real_groups": num_groups[1],
        "num_folds": len(parts),
        "auc": {"value": auc, "low": low, "high": high},
        "accuracy": float(((logits > 0) == y).mean()),
        "chance": 0.5,
    }


def auc_interval(auc: float, num_synthetic: int, num_real: int, num_folds: int) -> tuple[float, float]:
    """95 % interval of a cross-validated AUC, of numbers of independent groups.

    A score interval (Newcombe 2006, method 5): the AUCs that are no further from the one found than 1.96 times the
    standard error that Hanley & McNeil (1982) give for them. Unlike DeLong's and the bootstrap's it is no
    point where all pairs are told apart. Folds are not independent: each image is judged by a classifier that was
    fitted to the others. The variance is therefore larger by 1 + K / (K - 1) for K folds (Nadeau & Bengio 2003).
    """
    shrunk = 1 / (1 + num_folds / (num_folds - 1))
    m, n = num_synthetic * shrunk, num_real * shrunk
    found = min(max(auc, 1e-9), 1 - 1e-9)  # at 0 and 1 the equation has a second root

    def beyond(true: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        return (true - found) ** 2 - _NORMAL_975**2 * true * (1 - true) * spread / (m * n)

    return float(brentq(beyond, 0, found)), float(brentq(beyond, found, 1))


def artefact_features(measured: Measured) -> Features:
    """Power by frequency, in log, and the histogram in 32 bins, in roots: (N, D), for artefacts all over the image."""
    known = np.isfinite(measured.spectra).all(0)
    histograms = measured.histograms.reshape(len(measured.histograms), _HISTOGRAM_BINS, -1).sum(2)
    return np.concatenate([np.log(measured.spectra[:, known] + ROUNDING), np.sqrt(histograms)], axis=1)


def local_features(measured: Measured) -> Features:
    """Grey and power of the finest detail in each cell of GRID: (N, D), for artefacts that have their place."""
    return measured.places.reshape(len(measured.places), -1)


def local_maps(features: Features, names: Sequence[str], detection: Detection) -> Features:
    """What each place adds to the logit by its `local_features` (B, D), (B, *GRID): the mean of the map is the logit.

    Each image is judged by the classifier that has not seen it; `names` are their ids, of those in `detection`. Maps of
    synthetic and of real images share what the classifiers see in any radiograph: where the synthetic differ is the
    difference of their means. The encoder has no such map: its normalisation lets each place see the whole image.
    """
    judges = [detection.classifier(name) for name in names]
    parts = np.stack([judge.weights * row for judge, row in zip(judges, features, strict=True)])
    biases = np.array([judge.bias for judge in judges])[:, None, None]
    found: Features = parts.reshape(len(names), -1, *GRID).sum(1) * (GRID[0] * GRID[1]) + biases
    return found
