"""What the page shows of the corpus: how images were cut, which repeat each other, their sizes and greys."""

import base64
from pathlib import Path

import cv2
import pandas as pd
from matplotlib.axes import Axes

from panodiff.report.charts import SERIES, Chart, draw_svg
from panodiff.report.pictures import Picture

_DASHES = ("-", "--", "-.", ":")


def sheet(path: Path, alt: str, label: str) -> Picture | None:
    """A sheet that a data stage has drawn, as it is; None where that stage had nothing to draw."""
    if not path.is_file():
        return None
    encoded = path.read_bytes()
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} must be a picture that this pipeline wrote; run `dvc repro` to make it again")
    height, width = image.shape[:2]
    src = f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
    return Picture(src=src, alt=alt, label=label, width=width, height=height)


def contact_sheets(harmonized: Path, sources: tuple[str, ...]) -> list[Picture]:
    """Raw images of each source with what was cut out of them."""
    found = (
        sheet(harmonized / source / "contact.jpg", f"Radiographs of {source}, with the crop drawn on each", source)
        for source in sources
    )
    return [picture for picture in found if picture]


def draw_corpus(folder: Path) -> list[Chart]:
    """Sizes of the files and greys of the harmonized images, by source."""
    sizes, greys = pd.read_csv(folder / "sizes.csv"), pd.read_csv(folder / "greys.csv")
    return [
        Chart(
            svg=draw_svg(lambda axes: _draw_sizes(axes, sizes), "chart-sizes", "Sizes of the files"),
            title="Sizes of the files (pixels)",
            caption="Width against height of every kept radiograph as published; a larger dot stands for more of them.",
        ),
        Chart(
            svg=draw_svg(lambda axes: _draw_greys(axes, greys), "chart-greys", "Greys of the harmonized images"),
            title="Greys of the harmonized images",
            caption="Share of pixels at each grey, 0 black. Peaks at either end are clipped; curves apart are devices "
            "whose greys differ.",
        ),
    ]


def _draw_sizes(axes: Axes, table: pd.DataFrame) -> None:
    for number, (source, rows) in enumerate(table.groupby("source", sort=False)):
        counts = rows.groupby(["width", "height"]).size().rename("count").reset_index()
        area = 12 + 120 * counts["count"] / len(rows)
        colour, marker = SERIES[number % len(SERIES)], "os^Dv"[number % 5]
        axes.scatter(
            counts["width"], counts["height"], area, color=colour, marker=marker, alpha=0.75, label=str(source)
        )
    axes.set_xlabel("width")
    axes.set_ylabel("height")


def _draw_greys(axes: Axes, table: pd.DataFrame) -> None:
    for number, (source, rows) in enumerate(table.groupby("source", sort=False)):
        colour, dashes = SERIES[number % len(SERIES)], _DASHES[number % len(_DASHES)]
        axes.plot(rows["grey"], 100 * rows["fraction"], dashes, color=colour, linewidth=1.4, label=str(source))
    axes.set_xlabel("grey")
    axes.set_ylabel("% of pixels")
    axes.set_ylim(bottom=0)
