"""The stage evaluate: everything that is measured on the finished synthetic set, in one JSON and tables an image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from panodiff import launch
from panodiff.evaluation.copies.find import Copies, find_copies
from panodiff.evaluation.images import MIN_IMAGES, ImageSet, gather_sets
from panodiff.evaluation.looks.detectability import (
    Detection,
    Images,
    artefact_features,
    detect,
    local_features,
    local_maps,
)
from panodiff.evaluation.looks.diversity import pairwise
from panodiff.evaluation.looks.plausibility import Columns, measure_images, plausibility
from panodiff.evaluation.looks.spectrum import ring_frequencies
from panodiff.evaluation.sets.compare import distance_name
from panodiff.evaluation.sets.comparisons import compare_sets, embed_sets
from panodiff.evaluation.superres.ceiling import restored_distances
from panodiff.evaluation.superres.restoration import Upscaler, restore_all, summarize
from panodiff.evaluation.written import rounded, write_columns
from panodiff.features.backbones import features_and_logits
from panodiff.features.embed import Features
from panodiff.files import write_json
from panodiff.manifest import kept
from panodiff.params import Params

NO_LPIPS = "evaluate.lpips_backbone is null in this profile"
NO_INCEPTION = "inception is not among evaluate.backbones in this profile"


@dataclass(frozen=True, kw_only=True)
class Models:
    """The networks that measure or are measured, all on `device`."""

    backbones: Mapping[str, nn.Module]  # (B, 1, H, W) in [0, 1] → features (B, D); the encoder among them
    upscale: Upscaler
    lpips: nn.Module | None
    device: torch.device


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all measurements of one run share."""

    params: Params
    models: Models
    corpus: pd.DataFrame
    tables: Path  # where CSVs go
    check_stop: Callable[[], None]


def evaluate(run: Run, synthetic: Path, summary: Path) -> None:
    """Measure the images under `synthetic` and the super-resolution; write `summary` and the CSVs.

    Under torchrun the processes share the features; the first one does the rest.

    Raises:
        ValueError: A set is too small to be measured, or a model does not fit the images.
    """
    params, models = run.params, run.models
    sets = gather_sets(run.corpus, synthetic)
    embedded = embed_sets(
        sets, models.backbones, batch_size=params.evaluate.batch_size, device=models.device, check_stop=run.check_stop
    )
    if launch.rank() > 0:
        return
    copies, published = search_copies(run, sets)
    measured_sets = sets | {"synthetic": sets["synthetic"].take(published)}
    content: dict[str, Any] = {
        "profile": params.profile,
        "absent": absent(params),
        "counts": {name: len(images.ids) for name, images in measured_sets.items()},
        **compare_sets(embedded, published, params.evaluate, params.seed, run.check_stop),
        "copies": copies.summary | {"dropped": len(copies.is_copy) - len(published)},
    }
    encoded = embedded["high"]["encoder"]
    features = {name: encoded[name] for name in ("train", "test")} | {"synthetic": encoded["synthetic"][published]}
    columns, looks = look(run, measured_sets, features)
    content |= looks
    content["diversity"] = diversity(run, measured_sets)
    content |= restore(run, sets["test"])
    write_tables(run.tables, sets, copies, published, columns)
    write_json(summary, rounded(content))


def absent(params: Params) -> dict[str, str]:
    """What this profile does not ask for."""
    reasons = {} if params.evaluate.lpips_backbone else {"lpips": NO_LPIPS}
    if "inception" not in params.evaluate.backbones:
        reasons |= dict.fromkeys(("fid_inception", "kid_inception", "inception_score"), NO_INCEPTION)
    return reasons


def search_copies(run: Run, sets: Mapping[str, ImageSet]) -> tuple[Copies, NDArray[np.int64]]:
    """Which synthetic images copy a training image, and the numbers of those that are published.

    Raises:
        ValueError: Less than MIN_IMAGES are left.
    """
    groups = kept(run.corpus, "train")["group"].to_numpy(dtype=object)
    paths = {name: images.paths["high"] for name, images in sets.items()}
    copies = find_copies(**paths, train_groups=groups, seed=run.params.seed)
    run.check_stop()
    published = np.flatnonzero(~copies.is_copy | (not run.params.evaluate.drop_copies))
    if len(published) < MIN_IMAGES:
        raise ValueError(
            f"{copies.is_copy.sum()} of {len(copies.is_copy)} synthetic images copy a training image, so that too few "
            "are left to be measured: train the diffusion model on more images or for fewer steps, or set "
            "evaluate.drop_copies to false to see the rest of the evaluation"
        )
    return copies, published


def look(
    run: Run, sets: Mapping[str, ImageSet], features: Mapping[str, Features]
) -> tuple[dict[str, Columns], dict[str, Any]]:
    """What a reader would notice: measurements of every image, and whether a classifier tells synthetic from real."""
    measured = {name: measure_images(images.paths["high"], f"looking at {name}") for name, images in sets.items()}
    run.check_stop()
    columns, plausible = plausibility(**measured)
    kinds = {
        "encoder": features,
        "artefacts": {name: artefact_features(found) for name, found in measured.items()},
        "places": {name: local_features(found) for name, found in measured.items()},
    }
    detected = {kind: _detect(run, sets, by_set, kind) for kind, by_set in kinds.items()}
    run.check_stop()
    write_where(run.tables / "where.csv", sets, kinds["places"], detected["places"])
    return columns, {
        "plausibility": plausible,
        "detectability": {kind: detection.summary for kind, detection in detected.items()},
    }


def _detect(run: Run, sets: Mapping[str, ImageSet], features: Mapping[str, Features], kind: str) -> Detection:
    synthetic, *real = [
        Images(
            ids=sets[name].ids,
            groups=sets[name].ids if name == "synthetic" else list(kept(run.corpus, name)["group"]),
            features=features[name],
        )
        for name in ("synthetic", "train", "test")
    ]
    return detect(synthetic, _together(real), run.params.seed, kind)


def _together(parts: Sequence[Images]) -> Images:
    return Images(
        ids=[name for part in parts for name in part.ids],
        groups=[group for part in parts for group in part.groups],
        features=np.concatenate([part.features[:] for part in parts]),
    )


def diversity(run: Run, sets: Mapping[str, ImageSet]) -> dict[str, Any]:
    """How much the synthetic images differ from each other, and how much real ones do."""
    models, found = run.models, {}
    for name in ("synthetic", "test"):
        run.check_stop()
        paths = sets[name].paths["high"]
        found[name] = pairwise(paths, models.lpips, seed=run.params.seed, device=models.device, what=f"pairs of {name}")
    return found


def restore(run: Run, test: ImageSet) -> dict[str, Any]:
    """The super-resolution on real images of the test split, in pixels and as a set."""
    models, params = run.models, run.params
    restored = restore_all(
        test.paths, models.upscale, lpips=models.lpips, extractors=models.backbones, device=models.device
    )
    run.check_stop()
    write_columns(run.tables / "restoration.csv", {"id": test.ids} | restored.metrics)
    spectra = {"cycles_a_pixel": np.array(ring_frequencies())} | restored.spectra
    write_columns(run.tables / "spectrum.csv", spectra)
    distances = {}
    for backbone, by_method in restored.features.items():
        alone = {method: features_and_logits({backbone: taken})[0][backbone] for method, taken in by_method.items()}
        distances[distance_name(backbone)] = restored_distances(alone, params.seed)
    half = len(test.ids) // 2
    return {
        "restoration": summarize(restored.metrics, params.seed),
        "restored_vs_real": {"num_fake": half, "num_real": len(test.ids) - half, **distances},
    }


def write_where(
    path: Path, sets: Mapping[str, ImageSet], features: Mapping[str, Features], detection: Detection
) -> None:
    """One row a cell of the grid: what the classifiers find there in synthetic and in real images, on average."""
    rows = {name: row for which, images in sets.items() for name, row in zip(images.ids, features[which], strict=True)}
    maps = {}
    for which, wanted in (("synthetic", detection.is_synthetic), ("real", ~detection.is_synthetic)):
        names = [detection.ids[number] for number in np.flatnonzero(wanted)]
        maps[which] = local_maps(np.stack([rows[name] for name in names]), names, detection).mean(0)
    height, width = maps["real"].shape
    row, column = np.divmod(np.arange(height * width), width)
    write_columns(path, {"row": row, "column": column} | {which: found.ravel() for which, found in maps.items()})


def write_tables(
    folder: Path,
    sets: Mapping[str, ImageSet],
    copies: Copies,
    published: NDArray[np.int64],
    columns: Mapping[str, Columns],
) -> None:
    """One row an image: what was measured; of synthetic ones the training image they come nearest to; the published."""
    ids = sets["synthetic"].ids
    nearest = {
        "nearest_train_id": [sets["train"].ids[index] for index in copies.found.nearest],
        "mirrored": copies.found.mirrored.astype(int),
        "correlation": copies.found.correlation,
        "rank_among_real": copies.rank,
        "is_copy": copies.is_copy.astype(int),
    }
    write_columns(folder / "copies.csv", {"id": ids} | nearest)
    write_columns(folder / "published.csv", {"id": [ids[index] for index in published]})
    names = {"synthetic": [ids[index] for index in published]} | {name: sets[name].ids for name in ("train", "test")}
    write_columns(
        folder / "looks.csv",
        {
            "set": [name for name, members in names.items() for _ in members],
            "id": [member for members in names.values() for member in members],
            **{
                measurement: np.concatenate([columns[name][measurement] for name in names])
                for measurement in columns["synthetic"]
            },
        },
    )
