"""The stage split: one corpus of all sources, without repeats, split so that no group is in two splits."""

from pathlib import Path
from typing import Any

import pandas as pd

from panodiff.corpus.duplicates import COPIES, MIRRORED, NEAR, SAME_PIXELS, mark_copies
from panodiff.corpus.fields import Fields
from panodiff.files import write_csv, write_json
from panodiff.manifest import FIELDS, SPLITS, STATUSES, read_manifest, write_manifest
from panodiff.params import Params, SplitParams
from panodiff.randomness import derived_seed
from panodiff.sources.catalogue import compare_counts


def split_corpus(params: Params, harmonized: Path, manifest: Path, metrics: Path) -> None:
    """Write corpus.csv and copies.csv into the folder `manifest`, and the account of all files to `metrics`."""
    tables = {source: read_manifest(harmonized / source / "rows.csv") for source in params.sources}
    counts = {source: int((rows["status"] == "kept").sum()) for source, rows in tables.items()}
    if not any(counts.values()):
        raise ValueError("no radiograph is left: the column reason of data/harmonized/*/*/rows.csv says why")
    fields = Fields(tuple((harmonized / source / FIELDS, count) for source, count in counts.items()))
    corpus, copies = mark_copies(pd.concat(list(tables.values()), ignore_index=True), fields)
    splits = choose_splits(corpus, params)
    kept = corpus["status"] == "kept"
    corpus["split"] = corpus["group"].map(splits).where(kept)
    if empty := set(SPLITS) - set(corpus["split"].dropna()):
        raise ValueError(
            f"no radiograph fell to {', '.join(sorted(empty))} among {kept.sum()}: add radiographs, or raise "
            f"split.val and split.test in params.yaml, or change the seed"
        )
    manifest.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest / "corpus.csv", corpus)
    write_csv(manifest / "copies.csv", COPIES, copies.to_dict("records"))
    write_json(metrics, account(corpus, params))


def choose_splits(corpus: pd.DataFrame, params: Params) -> dict[str, str]:
    """The split of each group: the groups of a source are ordered by a hash of their names and dealt out by rank.

    A group belongs to the source of the image that it is named after. So each source's shares come within one group
    of split.val and split.test, and a source added at the end moves no group of the others. The ranks start at a
    fraction drawn for each source: of many small sources together the shares hold as well.
    """
    names = corpus["group"].dropna().unique()
    homes = corpus.set_index("id")["source"].loc[names]
    splits = {}
    for source, groups in homes.groupby(homes, sort=False):
        ordered = sorted(groups.index, key=lambda group: derived_seed(params.seed, f"split/{group}"))
        start = derived_seed(params.seed, f"split of {source}") / 2**63
        for rank, group in enumerate(ordered):
            splits[group] = split_of((rank + start) / len(ordered), params.split)
    return splits


def split_of(number: float, split: SplitParams) -> str:
    """The split of a number from [0, 1)."""
    return "test" if number < split.test else "val" if number < split.test + split.val else "train"


def account(corpus: pd.DataFrame, params: Params) -> dict[str, Any]:
    """Where every file went: by source, by reason, by split; how many copies of each kind, how many flags."""
    sources = {source: _count(corpus[corpus["source"] == source]) for source in params.sources}
    if params.profile == "paper":  # phantoms and your own radiographs are no published datasets
        sources = {source: counts | _published(source, counts) for source, counts in sources.items()}
    rejected = corpus.loc[corpus["status"] == "rejected", "reason"]
    kept = corpus[corpus["status"] == "kept"]
    sizes = kept["group"].value_counts()
    flags = kept["flags"].dropna().str.split().explode() if "flags" in kept else pd.Series(dtype="string")
    return {
        "profile": params.profile,
        "sources": sources,
        "total": _count(corpus),
        "rejected_because": _sorted_counts(rejected),
        "copies": _copies(corpus),
        "flags": _sorted_counts(flags),
        "splits": _splits(kept),
        "splits_by_source": {source: _splits(kept[kept["source"] == source]) for source in params.sources},
        "groups": {"found": len(sizes), "with_several_images": int((sizes > 1).sum()), "largest": int(sizes.max())},
    }


def _count(rows: pd.DataFrame) -> dict[str, Any]:
    counts = {status: int((rows["status"] == status).sum()) for status in STATUSES}
    beside = int((rows["status"] == "beside").sum())
    found = len(rows) - beside
    if found != sum(counts.values()):
        raise AssertionError(f"{found} radiographs were found, but {counts} are accounted for")
    return {"found": found, **counts, "beside": beside}


def _published(source: str, counts: dict[str, Any]) -> dict[str, Any]:
    """What the catalogue says of a source's counts, and why they differ."""
    known = compare_counts(source, found_files=counts["found"], found_distinct=counts["kept"])
    if known is None:
        return {}
    if known.differs:
        print(known, flush=True)
    return {"published": {"files": known.expected_files, "distinct": known.expected_distinct, "note": known.note}}


def _copies(corpus: pd.DataFrame) -> dict[str, int]:
    """How many images are copies of another one; the first two kinds are dropped, mirrored ones are kept."""
    reasons = corpus.loc[corpus["status"] == "duplicate", "reason"].fillna("")
    mirrored = corpus["copy_of"].notna() & (corpus["status"] == "kept") if "copy_of" in corpus else pd.Series(False)
    kinds = {kind.replace(" ", "_"): int(reasons.str.startswith(kind).sum()) for kind in (SAME_PIXELS, NEAR)}
    return kinds | {MIRRORED.replace(" ", "_"): int(mirrored.sum())}


def _splits(kept: pd.DataFrame) -> dict[str, int]:
    return {split: int((kept["split"] == split).sum()) for split in SPLITS}


def _sorted_counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}
