"""What the page shows of the corpus: how images were cut, which repeat each other, their sizes and greys."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from panodiff.report.charts import SERIES, Chart, draw_chart
from panodiff.report.pictures import Shot

_DASHES = ("-", "--", "-.", ":")


def sheet(path: Path, alt: str, label: str) -> Shot | None:
    """A sheet that a data stage has drawn; None where that stage had nothing to draw."""
    if not path.is_file():
        return None
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} must be a picture that this pipeline wrote; run `dvc repro` to make it again")
    return Shot(image.astype(np.uint8, copy=False), alt, label)


def contact_sheets(harmonized: Path, sources: tuple[str, ...]) -> list[Shot]:
    """Raw images of each source with what was cut out of them."""
    found = (
        sheet(harmonized / source / "contact.jpg", f"Radiographs of {source}, with the crop drawn on each", source)
        for source in sources
    )
    return [shot for shot in found if shot]


def draw_corpus(folder: Path) -> list[Chart]:
    """Sizes of the files and greys of the harmonized images, by source."""
    files, greys = (pd.read_csv(folder / name, keep_default_na=False) for name in ("sizes.csv", "greys.csv"))
    sizes = files.groupby(["source", "width", "height"], sort=False).size().rename("files").reset_index()
    return [
        draw_chart(
            "file-sizes",
            "Sizes of the files (pixels)",
            "Width against height of every kept radiograph as published; a larger dot stands for more of them.",
            lambda axes: _draw_sizes(axes, sizes),
            sizes,
            label="Sizes of the files",
        ),
        draw_chart(
            "greys",
            "Greys of the harmonized images",
            "Share of pixels at each grey, 0 black. Peaks at either end are clipped; curves apart are devices "
            "whose greys differ.",
            lambda axes: _draw_greys(axes, greys),
            greys,
        ),
    ]


def _draw_sizes(axes: Axes, table: pd.DataFrame) -> None:
    for number, (source, rows) in enumerate(table.groupby("source", sort=False)):
        area = 7 + 70 * rows["files"] / rows["files"].sum()
        colour, marker = SERIES[number % len(SERIES)], "os^Dv"[number % 5]
        axes.scatter(rows["width"], rows["height"], area, color=colour, marker=marker, alpha=0.75)
        axes.scatter([], [], 18, color=colour, marker=marker, alpha=0.75, label=str(source))  # in the legend
    axes.set(xlabel="width", ylabel="height")


def _draw_greys(axes: Axes, table: pd.DataFrame) -> None:
    for number, (source, rows) in enumerate(table.groupby("source", sort=False)):
        colour, dashes = SERIES[number % len(SERIES)], _DASHES[number % len(_DASHES)]
        axes.plot(rows["grey"], 100 * rows["fraction"], dashes, color=colour, linewidth=1.1, label=str(source))
    axes.set(xlabel="grey", ylabel="% of pixels")
    axes.set_ylim(bottom=0)
