"""The corpus manifest: one row a file found under data/raw, carried from ingestion to the split."""

from pathlib import Path

import pandas as pd

from panodiff.files import written_whole

COLUMNS = (
    "id",  # <source>-<first 12 digits of sha256>[-<2, 3… of byte-identical files, in path order>]
    "source",
    "path",  # below data/raw/<profile>/<source>
    "sha256",  # of the file
    "bytes",
    "format",
    "mode",
    "height",  # of the decoded file, pixels
    "width",
    "status",  # kept | duplicate | rejected; beside: no radiograph by its place and name (labels, masks)
    "reason",  # of a duplicate (which image it repeats) or a rejection
    "group",  # images of one group never part in the split
    "split",  # train | val | test, of kept images
    "high_path",  # harmonized images, from the project's top folder
    "low_path",
    "crop_top",  # crop in the upright image, pixels: rows crop_top:crop_bottom, columns crop_left:crop_right
    "crop_left",
    "crop_bottom",
    "crop_right",
    "rotation_deg",  # counter-clockwise, applied before the crop
    "pixel_sha256",  # of the decoded upright pixels: equal for copies in other files
)
_INTEGERS = ("bytes", "height", "width", "crop_top", "crop_left", "crop_bottom", "crop_right", "rotation_deg")


def write_manifest(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows with all of COLUMNS, in order; columns still unknown are empty."""
    if unknown := set(rows.columns) - set(COLUMNS):
        raise ValueError(f"a manifest has no columns {sorted(unknown)}")
    table = rows.reindex(columns=list(COLUMNS))
    for name in _INTEGERS:
        table[name] = table[name].astype("Int64")
    with written_whole(path) as aside:
        table.to_csv(aside, index=False, lineterminator="\n", errors="surrogateescape")


def read_manifest(path: Path) -> pd.DataFrame:
    """The rows of a manifest; whole numbers as Int64, all else as text, empty cells as missing.

    Whatever a file is called (`NA`, a name with a line break, one that is no UTF-8), its row comes back as written.
    """
    types = {name: "Int64" if name in _INTEGERS else "string" for name in COLUMNS}
    return pd.read_csv(
        path, dtype=types, keep_default_na=False, na_values=[""], lineterminator="\n", encoding_errors="surrogateescape"
    )


def kept(corpus: pd.DataFrame, split: str) -> pd.DataFrame:
    """The kept rows of one split, ordered by id.

    Raises:
        ValueError: There are none.
    """
    rows = corpus[(corpus["status"] == "kept") & (corpus["split"] == split)].sort_values("id").reset_index(drop=True)
    if rows.empty:
        share = "lower split.val and split.test" if split == "train" else f"raise split.{split}"
        raise ValueError(f"the {split} split holds no image: add radiographs under data/raw or {share} in params.yaml")
    return rows


def split_paths(corpus: pd.DataFrame, split: str, column: str) -> list[Path]:
    """The harmonized images of one split, ordered by id; `column` is `high_path` or `low_path`."""
    return [Path(path) for path in kept(corpus, split)[column]]
