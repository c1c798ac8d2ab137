"""Set metrics of a whole run: every pair of sets, at both resolutions, in the features of every backbone."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from panodiff.evaluation.images import RESOLUTIONS, ImageSet
from panodiff.evaluation.sets.compare import compare_all, draws
from panodiff.evaluation.sets.inception import inception_score
from panodiff.features.backbones import features_and_logits
from panodiff.features.embed import FeatureRows, Features, Rows, embed
from panodiff.params import EvaluateParams

LOGITS = "inception_logits"

Embedded = Mapping[str, Mapping[str, Mapping[str, Features]]]  # (N, D) by resolution, backbone (or LOGITS) and set


def embed_sets(
    sets: Mapping[str, ImageSet],
    networks: Mapping[str, nn.Module],
    *,
    batch_size: int,
    device: torch.device,
    check_stop: Callable[[], None],
) -> Embedded:
    """Features of every set at every resolution, from one pass over its images."""
    found: dict[str, dict[str, dict[str, Features]]] = {size: {} for size in RESOLUTIONS}
    for size, by_backbone in found.items():
        for name, images in sets.items():
            check_stop()
            what = f"features of {name}, {size} resolution"
            taken = embed(images.paths[size], networks, batch_size=batch_size, device=device, what=what)
            features, logits = features_and_logits(taken)
            for backbone, values in (features | ({} if logits is None else {LOGITS: logits})).items():
                by_backbone.setdefault(backbone, {})[name] = values
    return found


def compare_sets(
    embedded: Embedded,
    published: NDArray[np.int64],
    params: EvaluateParams,
    seed: int,
    check_stop: Callable[[], None],
) -> dict[str, dict[str, Any]]:
    """By resolution: all metrics of every pair of sets (`sets`), of parts of the synthetic set (`draws`), and IS.

    Args:
        embedded: From `embed_sets`.
        published: Numbers of the synthetic images that count.
        params: What to measure.
        seed: Of all draws.
        check_stop: Called between two measurements.
    """
    found: dict[str, dict[str, Any]] = {kind: {size: {} for size in embedded} for kind in ("sets", "draws")}
    for size, by_backbone in embedded.items():
        for backbone in params.backbones:
            real = {name: by_backbone[backbone][name] for name in ("train", "test")}
            synthetic = Rows(by_backbone[backbone]["synthetic"], published)
            compared = compare_all(
                synthetic=synthetic, **real, backbone=backbone, num_neighbours=params.num_neighbours, seed=seed
            )
            for pair, metrics in compared.items():
                _merge(found["sets"][size].setdefault(pair, {}), metrics)
            found["draws"][size] |= draws(synthetic, real["test"], backbone, seed)
            check_stop()
        if LOGITS in by_backbone:
            logits: dict[str, FeatureRows] = dict(by_backbone[LOGITS])
            logits["synthetic"] = Rows(logits["synthetic"], published)
            scores = found.setdefault("inception_score", {}).setdefault(size, {})
            _merge(scores, _scores(logits, seed))
    return found


def _merge(into: dict[str, Any], metrics: Mapping[str, Any]) -> None:
    """Add metrics of another backbone; the reasons for those that are absent come together."""
    absent = into.get("absent", {}) | metrics.get("absent", {})
    into.update({name: value for name, value in metrics.items() if name != "absent"})
    if absent:
        into["absent"] = absent


def _scores(logits: Mapping[str, FeatureRows], seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    absent = {}
    for name, values in logits.items():
        try:
            found[name] = inception_score(values, seed)
        except ValueError as error:
            absent[name] = str(error)
    return found | ({"absent": absent} if absent else {})
