"""The corpus manifest: one row a file found under data/raw, carried from ingestion to the split."""

from pathlib import Path

import pandas as pd

from panodiff.files import written_whole

STATUSES = ("kept", "duplicate", "rejected")  # of the radiographs found; `beside` counts other files
SPLITS = ("train", "val", "test")
COLUMNS = (
    "id",  # <source>-<first 12 digits of sha256>[-<2, 3… of byte-identical files, in path order>]
    "source",
    "path",  # below data/raw/<profile>/<source>
    "sha256",  # of the file
    "bytes",
    "format",
    "mode",
    "bits",  # of a grey value in the file: 8, or up to 16
    "frames",  # in the file; the first one is taken
    "orientation",  # EXIF's, 1 (upright) to 8
    "height",  # of the decoded file turned by its EXIF orientation, pixels
    "width",
    "patient",  # <source>-p<number>, where the source tells: numbered as they appear, says nothing of who it is
    "status",  # kept | duplicate | rejected; beside: no radiograph by its place and name (labels, masks)
    "reason",  # of a duplicate or a rejection
    "flags",  # what is odd about the image, of panodiff/harmonize/quality.py, separated by spaces
    "copy_of",  # id of the kept image that a duplicate repeats, or of which a kept one is a mirrored copy
    "group",  # images of one group never part in the split
    "split",  # train | val | test, of kept images
    "high_path",  # harmonized images, from the project's top folder
    "low_path",
    "rotation_deg",  # counter-clockwise: quarter turns, then less than 45° about the centre, before the crop
    "inverted",  # 1: black and white were exchanged
    "window_low",  # greys of the file that became black and white, of files deeper than 8 bits
    "window_high",
    "crop_top",  # crop in the upright image, pixels: rows crop_top:crop_bottom, columns crop_left:crop_right
    "crop_left",
    "crop_bottom",
    "crop_right",
    "pixel_sha256",  # of the decoded upright pixels: equal for copies in other files
)
FIELDS = "fields.u8"  # beside rows.csv: the exposed fields of its kept rows in order, uint8 (N, *FIELD_SIZE), no header
FIELD_SIZE = (64, 128)
_INTEGERS = frozenset(
    {"bytes", "bits", "frames", "orientation", "height", "width", "inverted"}
    | {"crop_top", "crop_left", "crop_bottom", "crop_right"}
)
_FLOATS = frozenset({"rotation_deg", "window_low", "window_high"})


def write_manifest(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows with all of COLUMNS, in order; columns still unknown are empty."""
    if unknown := set(rows.columns) - set(COLUMNS):
        raise ValueError(f"a manifest has no columns {sorted(unknown)}")
    table = rows.reindex(columns=list(COLUMNS))
    for name in COLUMNS:
        if name in _INTEGERS | _FLOATS:
            table[name] = table[name].astype("Int64" if name in _INTEGERS else "Float64")
    with written_whole(path) as aside:
        table.to_csv(aside, index=False, lineterminator="\n", errors="surrogateescape")


def read_manifest(path: Path) -> pd.DataFrame:
    """The rows of a manifest; numbers as Int64 and Float64, all else as text, empty cells as missing.

    Whatever a file is called (`NA`, a name with a line break, one that is no UTF-8), its row comes back as written.
    """
    types = {name: "Int64" if name in _INTEGERS else "Float64" if name in _FLOATS else "string" for name in COLUMNS}
    return pd.read_csv(
        path,
        dtype=types,
        keep_default_na=False,
        na_values=[""],
        lineterminator="\n",
        encoding_errors="surrogateescape",
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
