"""The corpus to look at: a sheet of radiographs that repeat each other, and the data of two charts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from panodiff import launch
from panodiff.corpus.duplicates import COPIES, SAME_PIXELS
from panodiff.files import write_csv, written_whole
from panodiff.images import Grey, read_grey
from panodiff.manifest import read_manifest
from panodiff.progress import track

GREY_BINS = 64
MAX_GROUPS, MAX_IMAGES = 20, 6  # of the sheet: rows, and columns
_CELL, _LABEL, _GAP = (96, 192), 30, 8  # pixels: of an image (height, width), of the two lines below it, between them
_QUALITY = 75  # of the sheet's JPEG: 0.5 MB where it is full


def write_look(manifest: Path, out: Path) -> None:
    """Write sizes.csv, greys.csv and, where radiographs repeat each other, duplicates.jpg into the folder `out`."""
    corpus = read_manifest(manifest / "corpus.csv")
    copies = pd.read_csv(manifest / "copies.csv", dtype=dict.fromkeys(COPIES[:3], "string")).set_index("id")
    kept = corpus[corpus["status"] == "kept"]
    sizes = ["id", "source", "height", "width"]
    write_csv(out / "sizes.csv", sizes, kept[sizes].to_dict("records"))
    write_csv(out / "greys.csv", ["source", "grey", "fraction"], _greys(kept))
    if groups := choose_groups(corpus, copies):
        with written_whole(out / "duplicates.jpg") as aside:
            draw_groups(groups).save(aside, format="JPEG", quality=_QUALITY)


def _greys(kept: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each source, for each of GREY_BINS greys (the middle of the bin, 0 to 255) the fraction of its pixels."""
    totals = {str(source): np.zeros(GREY_BINS, np.int64) for source in kept["source"].unique()}
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        counted = pool.map(lambda path: _histogram(read_grey(Path(path))), kept["low_path"])
        for source, counts in zip(kept["source"], track(counted, len(kept), "counting greys"), strict=True):
            totals[str(source)] += counts
    width = 256 / GREY_BINS
    for source, counts in totals.items():
        for number, fraction in enumerate(counts / counts.sum()):
            yield {"source": source, "grey": (number + 0.5) * width - 0.5, "fraction": round(float(fraction), 6)}


def _histogram(image: Grey) -> NDArray[np.int64]:
    return np.bincount(image.ravel(), minlength=256).reshape(GREY_BINS, -1).sum(axis=1)


def choose_groups(corpus: pd.DataFrame, copies: pd.DataFrame) -> list[pd.DataFrame]:
    """The groups to show, each its rows with the kept image first.

    Groups with more than repeated pixels come first, among them larger ones, then those whose copies are least alike:
    an error would stand there.
    """
    members = corpus[corpus["group"].notna()].join(copies[["kind", "correlation"]], on="id")
    members = members[members.groupby("group")["id"].transform("size") > 1]
    members["is_plain"] = members["kind"].eq(SAME_PIXELS).fillna(False) | members["kind"].isna()
    members["place"] = members["status"].ne("kept") * 2 + members["kind"].notna()  # kept, mirrored, dropped
    ranked = members.groupby("group", sort=False).agg(
        plain=("is_plain", "all"), size=("id", "size"), least=("correlation", "min")
    )
    ranked = ranked.sort_values(["plain", "size", "least"], ascending=[True, False, True], kind="stable")
    chosen = ranked.index[:MAX_GROUPS]
    by_group = {str(name): rows for name, rows in members[members["group"].isin(chosen)].groupby("group")}
    return [by_group[name].sort_values(["place", "is_plain", "correlation"], kind="stable") for name in chosen]


def draw_groups(groups: list[pd.DataFrame]) -> Image.Image:
    """One row of harmonized images a group, each with its id and how it repeats another one."""
    columns = min(MAX_IMAGES, max(map(len, groups)))
    across, down = _CELL[1] + _GAP, _CELL[0] + _LABEL + _GAP
    sheet = Image.new("L", (columns * across + _GAP, len(groups) * down + _GAP), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for row, group in enumerate(groups):
        for column, (_, image) in enumerate(group.head(MAX_IMAGES).iterrows()):
            x, y = _GAP + column * across, _GAP + row * down
            picture = cv2.resize(read_grey(Path(image["high_path"])), _CELL[::-1], interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(picture), (x, y))
            more = len(group) - MAX_IMAGES if column == MAX_IMAGES - 1 else 0
            text = f"{image['id']}\n{_says(image)}" + (f", and {more} more" if more > 0 else "")
            draw.multiline_text((x, y + _CELL[0] + 1), text, fill=0, font=font, spacing=1)
    return sheet


def _says(image: "pd.Series[Any]") -> str:
    """What an image is in its group."""
    if pd.isna(image["kind"]):
        return f"kept, {image['height']}x{image['width']} {image['format']}"
    if image["kind"] == SAME_PIXELS:
        return str(image["kind"])
    return f"{image['kind']}, {image['correlation']:.2f}"
