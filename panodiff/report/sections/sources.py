"""What the page shows of the sources: three maps of the same radiographs, and how well each source can be told."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes

from panodiff.report.charts import INK, SERIES, Chart, draw_chart
from panodiff.report.numbers import percent

SYNTHETIC = "synthetic"  # the source of the drawn images in tsne.csv
_SPACE = "\N{NO-BREAK SPACE}"
_MARKERS = "os^DPv*"  # more than there are colours: the two together tell thirty-five sources
_TITLES = {
    "before": ("Before harmonization", "The files as they were found, squashed to one size."),
    "after": ("After harmonization", "The same radiographs upright, cut and resized."),
    "with_synthetic": ("With the synthetic images", "The same again, and the synthetic ones as crosses."),
}


def show_sources(folder: Path) -> dict[str, Any]:
    """The t-SNE maps of metrics/sources, and a table of the numbers that say what they show."""
    points = pd.read_csv(folder / "tsne.csv", keep_default_na=False)  # a source may be called `null`
    measured = json.loads((folder / "separability.json").read_text(encoding="utf-8"))
    maps = measured["maps"]
    charts = [
        _draw_map(
            points[points["map"] == name], f"tsne-{name.replace('_', '-')}", title, f"{about} {_headline(maps[name])}"
        )
        for name, (title, about) in _TITLES.items()
    ]
    rows = [_told(f"Source told, {title[0].lower()}{title[1:]}", maps[name]) for name, (title, _) in _TITLES.items()]
    rows.append(_mixed("Neighbours of synthetic images that are synthetic", maps["with_synthetic"]))
    return {"maps": charts, "rows": rows, "num_neighbours": measured["num_neighbours"]}


def _draw_map(points: pd.DataFrame, name: str, title: str, caption: str) -> Chart:
    area = min(max(3500 / len(points), 3), 14)  # of a mark: all of them cover about the same share of the map

    def draw(axes: Axes) -> None:
        for index, source in enumerate(sorted(set(points["source"]) - {SYNTHETIC})):
            x, y = points.loc[points["source"] == source, ["x", "y"]].to_numpy().T
            colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
            axes.scatter(x, y, area, color=colour, marker=marker, alpha=0.8, linewidths=0, label=source)
        if len(drawn := points[points["source"] == SYNTHETIC]):
            axes.scatter(drawn["x"], drawn["y"], area, color=INK, marker="x", linewidths=0.7, label=SYNTHETIC)
        axes.set(xticks=[], yticks=[])
        axes.spines[["top", "right"]].set_visible(True)
        rcParams["legend.markerscale"] = (18 / area) ** 0.5  # as large in each legend; draw_chart puts it back

    label = f"{title}: t-SNE of encoder features, by source"
    return draw_chart(name, title, caption, draw, points[["source", "x", "y"]], label=label)


def _headline(found: dict[str, Any]) -> str:
    accuracy = found["encoder"]["knn_accuracy"]
    told = f"The encoder tells the source of {_percent(accuracy)}, {percent(found['chance'])} by chance."
    if mixing := found["encoder"].get("mixing"):
        expected = percent(mixing["chance_within_sources"])
        told += f" Of the neighbours of a synthetic image, {_percent(mixing)} are synthetic, {expected} by chance."
    return told


def _told(what: str, found: dict[str, Any]) -> list[str]:
    """A row of the table: images, chance, then accuracy and silhouette by the encoder, and the same by pixels."""
    kinds = [found["encoder"], found["pixels"]]
    told = [cell for kind in kinds for cell in (_percent(kind["knn_accuracy"]), _signed(kind["silhouette"]))]
    return [what, str(found["num_images"]), percent(found["chance"]), *told]


def _mixed(what: str, found: dict[str, Any]) -> list[str]:
    encoder, pixels = found["encoder"]["mixing"], found["pixels"]["mixing"]
    count = str(found["num_images_of"][SYNTHETIC])
    return [what, count, percent(encoder["chance_within_sources"]), _percent(encoder), "", _percent(pixels), ""]


def _percent(found: dict[str, float]) -> str:
    value, low, high = (f"{100 * found[name]:.0f}" for name in ("value", "low", "high"))
    return f"{value}{_SPACE}% [{low}, {high}]"


def _signed(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}".replace("-", "−")
