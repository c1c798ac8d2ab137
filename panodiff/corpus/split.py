"""The stage split: one corpus of all sources, without repeats, split so that no group is in two splits."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panodiff import launch
from panodiff.files import write_json
from panodiff.corpus.duplicates import group_near, mark_duplicates, signature
from panodiff.images import read_grey
from panodiff.manifest import read_manifest, write_manifest
from panodiff.params import Params, SplitParams
from panodiff.progress import track
from panodiff.randomness import derived_seed

STATUSES = ("kept", "duplicate", "rejected")


def split_corpus(params: Params, harmonized: Path, manifest: Path, metrics: Path) -> None:
    """Write corpus.csv into the folder `manifest` and the account of all files to `metrics`."""
    tables = [read_manifest(harmonized / source / "rows.csv") for source in params.sources]
    corpus = mark_duplicates(pd.concat(tables, ignore_index=True))
    kept = corpus["status"] == "kept"
    if not kept.any():
        raise ValueError("no radiograph is left: the column reason of data/harmonized/*/*/rows.csv says why")
    paths = [Path(path) for path in corpus.loc[kept, "low_path"]]
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        taken = pool.map(lambda path: signature(read_grey(path)), paths)
        signatures = np.stack(list(track(taken, len(paths), "comparing")))
    groups = group_near(list(corpus.loc[kept, "id"]), signatures)
    corpus["group"] = corpus["id"].map(groups)
    corpus["split"] = corpus["group"].map(lambda group: choose_split(group, params), na_action="ignore")
    if empty := {"train", "val", "test"} - set(corpus["split"].dropna()):
        raise ValueError(
            f"no radiograph fell to {', '.join(sorted(empty))} among {kept.sum()}: add radiographs, or raise "
            f"split.val and split.test in params.yaml, or change the seed"
        )
    manifest.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest / "corpus.csv", corpus)
    write_json(metrics, account(corpus, params))


def choose_split(group: str, params: Params) -> str:
    """train, val or test, by the seed and the group's name alone: more data move no image, unless groups join."""
    return split_of(derived_seed(params.seed, f"split/{group}") / 2**63, params.split)


def split_of(number: float, split: SplitParams) -> str:
    """The split of a number from [0, 1)."""
    return "test" if number < split.test else "val" if number < split.test + split.val else "train"


def account(corpus: pd.DataFrame, params: Params) -> dict[str, Any]:
    """Where every file went: by source, by reason, by split."""
    sources = {source: _count(corpus[corpus["source"] == source]) for source in params.sources}
    rejected = corpus.loc[corpus["status"] == "rejected", "reason"]
    kept = corpus[corpus["status"] == "kept"]
    sizes = kept["group"].value_counts()
    return {
        "profile": params.profile,
        "sources": sources,
        "total": _count(corpus),
        "rejected_because": {str(reason): int(count) for reason, count in rejected.value_counts().sort_index().items()},
        "splits": {split: int((kept["split"] == split).sum()) for split in ("train", "val", "test")},
        "groups": {"found": len(sizes), "with_several_images": int((sizes > 1).sum()), "largest": int(sizes.max())},
    }


def _count(rows: pd.DataFrame) -> dict[str, int]:
    counts = {status: int((rows["status"] == status).sum()) for status in STATUSES}
    beside = int((rows["status"] == "beside").sum())
    found = len(rows) - beside
    if found != sum(counts.values()):
        raise AssertionError(f"{found} radiographs were found, but {counts} are accounted for")
    return {"found": found, **counts, "beside": beside}
