"""The stage evaluate: everything that is measured on the finished synthetic set, in one table and one JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from panodiff.evaluation.ceiling import restored_distances
from panodiff.evaluation.nearest import Nearest, measure_memorisation
from panodiff.evaluation.restoration import Extractor, Upscaler, restore_all, summarize
from panodiff.evaluation.sets import MIN_IMAGES, compare_all
from panodiff.evaluation.spectrum import ring_frequencies
from panodiff.features.embed import Features, embed
from panodiff.features.perceptual import photograph_features
from panodiff.files import write_csv, write_json
from panodiff.manifest import kept
from panodiff.params import Params

RESOLUTIONS = ("high", "low")
NO_LPIPS = "evaluate.lpips_backbone is null in this profile"


@dataclass(frozen=True, kw_only=True)
class Models:
    """The networks that measure or are measured, all on `device`."""

    encoder: nn.Module  # (B, 1, H, W) in [0, 1] → features (B, D)
    upscale: Upscaler
    lpips: nn.Module | None
    device: torch.device


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One set of images at both resolutions, in one order."""

    ids: list[str]
    paths: Mapping[str, list[Path]]  # by resolution


def real_set(corpus: pd.DataFrame, split: str) -> ImageSet:
    """The kept images of a split."""
    rows = kept(corpus, split)
    paths = {resolution: [Path(path) for path in rows[f"{resolution}_path"]] for resolution in RESOLUTIONS}
    return ImageSet(ids=list(rows["id"]), paths=paths)


def synthetic_set(folder: Path) -> ImageSet:
    """The synthetic images of `folder`/high/rows.csv, which lie in `folder`/high and `folder`/low."""
    ids = [str(name) for name in pd.read_csv(folder / "high" / "rows.csv")["id"]]
    paths = {resolution: [folder / resolution / f"{name}.png" for name in ids] for resolution in RESOLUTIONS}
    return ImageSet(ids=ids, paths=paths)


def gather_sets(corpus: pd.DataFrame, synthetic: Path) -> dict[str, ImageSet]:
    """The synthetic set, the train and the test split.

    Raises:
        ValueError: One of them is too small to be measured.
    """
    sets = {"synthetic": synthetic_set(synthetic)} | {split: real_set(corpus, split) for split in ("train", "test")}
    if small := [f"{name}: {len(images.ids)}" for name, images in sets.items() if len(images.ids) < MIN_IMAGES]:
        raise ValueError(f"the evaluation needs at least {MIN_IMAGES} images in each set, got {', '.join(small)}")
    return sets


def evaluate(
    params: Params,
    models: Models,
    *,
    corpus: pd.DataFrame,
    synthetic: Path,
    tables: Path,
    summary: Path,
    check_stop: Callable[[], None],
) -> None:
    """Measure the images under `synthetic` and the super-resolution; write `summary` and the CSVs under `tables`."""
    sets = gather_sets(corpus, synthetic)
    restored = restore_all(
        sets["test"].paths,
        models.upscale,
        lpips=models.lpips,
        extractors=extractors(models, params.evaluate.lpips_backbone),
        device=models.device,
    )
    check_stop()
    features = embed_all(sets, models, params.evaluate.batch_size, check_stop)
    comparisons = {
        size: compare_all(**found, params=params.evaluate, seed=params.seed) for size, found in features.items()
    }
    check_stop()
    train_groups = kept(corpus, "train")["group"].to_numpy(dtype=object)
    nearest, rank, memorisation = measure_memorisation(**features["high"], train_groups=train_groups)
    restoration = summarize(restored.metrics, params.seed)
    write_nearest(tables / "synthetic.csv", sets["synthetic"].ids, sets["train"].ids, nearest, rank)
    write_columns(tables / "restoration.csv", {"id": sets["test"].ids} | restored.metrics)
    write_columns(tables / "spectrum.csv", {"cycles_a_pixel": np.array(ring_frequencies())} | restored.spectra)
    content = {
        "profile": params.profile,
        "headline": headline(comparisons, restoration, memorisation),
        "absent": {} if models.lpips else {"lpips": NO_LPIPS},
        "counts": {name: len(images.ids) for name, images in sets.items()},
        "sets": comparisons,
        "nearest_train": memorisation,
        "restoration": restoration,
        "restored_vs_real": {
            "num_fake": len(sets["test"].ids) // 2,
            "num_real": len(sets["test"].ids) - len(sets["test"].ids) // 2,
            **{f"fd_{name}": restored_distances(found, params.seed) for name, found in restored.features.items()},
        },
    }
    write_json(summary, rounded(content))


def extractors(models: Models, lpips_backbone: str | None) -> dict[str, Extractor]:
    """What takes features of restored images: the encoder and, where LPIPS is measured, its backbone."""
    found: dict[str, Extractor] = {"encoder": models.encoder}
    if models.lpips is not None and lpips_backbone is not None:
        found[lpips_backbone] = partial(photograph_features, models.lpips)
    return found


def embed_all(
    sets: Mapping[str, ImageSet], models: Models, batch_size: int, check_stop: Callable[[], None]
) -> dict[str, dict[str, Features]]:
    """Encoder features, by resolution and set."""
    features: dict[str, dict[str, Features]] = {resolution: {} for resolution in RESOLUTIONS}
    for resolution, found in features.items():
        for name, images in sets.items():
            check_stop()
            what = f"features of {name}, {resolution} resolution"
            paths = images.paths[resolution]
            found[name] = embed(paths, models.encoder, batch_size=batch_size, device=models.device, what=what)
    return features


def write_nearest(
    path: Path, ids: list[str], train_ids: list[str], nearest: Nearest, rank: NDArray[np.float64]
) -> None:
    """One row a synthetic image: the training image it comes nearest to, and where that distance ranks."""
    columns = {
        "id": ids,
        "nearest_train_id": [train_ids[index] for index in nearest.index],
        "nearest_train_distance": nearest.distance,
        "rank_among_real": rank,
    }
    write_columns(path, columns)


def headline(
    comparisons: dict[str, dict[str, dict[str, Any]]], restoration: dict[str, Any], memorisation: dict[str, Any]
) -> dict[str, float]:
    """The few numbers to look at first: synthetic against test at high resolution, and what stands beside them."""
    high, low = comparisons["high"], comparisons["low"]
    found = {
        "fd_encoder": high["synthetic_vs_test"]["fd_encoder"],
        "fd_encoder_real_matched": high["real_matched_vs_test"]["fd_encoder"],
        "fd_encoder_low": low["synthetic_vs_test"]["fd_encoder"],
        "kid_encoder": high["synthetic_vs_test"]["kid_encoder"],
        "precision_encoder": high["synthetic_vs_test"].get("precision_encoder"),
        "recall_encoder": high["synthetic_vs_test"].get("recall_encoder"),
        "share_below_real_p05": memorisation["share_below_real_p05"]["synthetic"],
    }
    found |= {metric: methods["superres"]["mean"] for metric, methods in restoration.items()}
    return {name: value for name, value in found.items() if value is not None}


def rounded(content: Any) -> Any:
    """`content` with every float in it at six significant digits: more are noise, and differ between machines."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return float(f"{content:.6g}") if isinstance(content, float) else content


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write equally long columns as CSV, floats at six significant digits."""
    table = pd.DataFrame({name: _formatted(values) for name, values in columns.items()})
    write_csv(path, table.columns, table.to_dict("records"))


def _formatted(values: Any) -> list[Any]:
    is_float = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    return [f"{value:.6g}" for value in values] if is_float else list(values)
