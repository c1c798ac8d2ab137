"""Folders of radiographs taken through ingestion, harmonization and split, without dvc."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panodiff.corpus.split import split_corpus
from panodiff.harmonize.source import harmonize_source
from panodiff.images import Grey
from panodiff.manifest import read_manifest
from panodiff.params import IngestParams, Params, SplitParams
from panodiff.params_data import SourceParams
from panodiff.params_file import load_params
from panodiff.sources.ingest import ingest

ROOT = Path(__file__).parents[1]
INGEST = IngestParams(max_pixels=10_000_000, min_size=(16, 32), images={}, patient={})


def data_params(**changes: Any) -> Params:
    """The parameters of params.yaml for 64×128 and 32×64 pixels and small files; `changes` are sections."""
    params = _published()
    sizes = {"high_size": (64, 128), "low_size": (32, 64)}
    small = {
        "ingest": INGEST,
        "harmonize": params.harmonize.model_copy(update=sizes),
        "split": SplitParams(val=0.3, test=0.3),  # of few groups none must be empty
    }
    return params.model_copy(update=small | changes)


@cache
def _published() -> Params:
    return load_params(ROOT / "params.yaml")


def margins(top: float = 0, left: float = 0, bottom: float = 0, right: float = 0) -> dict[str, Any]:
    return {"unit": "fraction", "top": top, "left": left, "bottom": bottom, "right": right}


def never_stop() -> None:
    """For work that a stage would interrupt when it is asked to stop."""


def run_source(source: str, raw: Path, work: Path, params: Params) -> pd.DataFrame:
    """The rows of `raw` after ingestion and harmonization; the images are in `work/harmonized/<source>`."""
    found, out = work / "ingested" / f"{source}.csv", work / "harmonized" / source
    ingest(source, raw, params.ingest, found, never_stop)
    settings = params.source[source] if source in params.source else params.source["adld"]
    harmonize(raw, found, out, params, settings)
    return read_manifest(out / "rows.csv")


def harmonize(
    raw: Path, found: Path, out: Path, params: Params, source: SourceParams | None = None, *, final: str = ""
) -> None:
    """The rows and images of one source in `out`, as if the stage had made them there."""
    harmonize_source(
        raw,
        found,
        out,
        source=source or SourceParams(),
        target=params.harmonize,
        quality=params.quality,
        final=final or str(out),
        check_stop=never_stop,
    )


def run_split(params: Params, work: Path) -> pd.DataFrame:
    """The corpus of all of `params.sources` in `work/harmonized`."""
    split_corpus(params, work / "harmonized", work / "manifest", work / "data.json")
    return read_manifest(work / "manifest" / "corpus.csv")


def picture(seed: int, height: int = 64, width: int = 128) -> Grey:
    """A smooth random picture unlike that of any other seed, uint8 (H, W), with greys from 0 to 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    waves = rng.normal(size=(60, 2)) * 12
    total = sum(np.cos(a * y * 2 + b * x * 4 + phase) for (a, b), phase in zip(waves, rng.random(60) * 7, strict=True))
    total = total - np.min(total)
    return np.round(255 * total / total.max()).astype(np.uint8)
