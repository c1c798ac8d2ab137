"""Charts, each drawn once and saved twice: as SVG in the page's light or dark colours, and as PNG for a paper."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The colours of style.css in light; on the page each becomes the custom property of that name.
INK, _AXIS, _RULE = "#1c1f24", "#8a929c", "#d5d9df"
SERIES = ("#0b6fb8", "#c4560a", "#4a7d2c", "#8a4fa8", "#8c6d1f")
VARIABLES = {INK: "--ink", _AXIS: "--axis", _RULE: "--rule"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)
}
_COLUMN_MM, _HEIGHT_MM, _DPI = 85, 58, 300  # of a journal's column
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "panodiff",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": _AXIS,
    "xtick.color": _AXIS,
    "ytick.color": _AXIS,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": _RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing in both forms, the numbers in it, what it is called and what to see in it."""

    name: str  # of its files, and before its ids on the page
    title: str
    caption: str
    svg: str
    png: bytes
    numbers: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart: a column of history.csv, or of milestones.csv (drawn with points)."""

    file: str
    column: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A chart to draw from the CSVs of one training."""

    folder: str
    name: str
    title: str
    quantity: str  # of the upright axis
    curves: tuple[Curve, ...]
    caption: str


PLANS = (
    Plan(
        folder="metrics/encoder",
        name="encoder-loss",
        title="Encoder: contrastive loss",
        quantity="contrastive loss",
        curves=(
            Curve(file="history.csv", column="loss", label="training"),
            Curve(file="milestones.csv", column="val_loss", label="held out, averaged network"),
        ),
        caption="Two views of a radiograph must resemble each other more than any other radiograph. The two curves "
        "have batches of different size, so compare their shape, not their height.",
    ),
    Plan(
        folder="metrics/encoder",
        name="encoder-pairs",
        title="Encoder: pairs found",
        quantity="share found",
        curves=(
            Curve(file="history.csv", column="found", label="training"),
            Curve(file="milestones.csv", column="val_found", label="held out, averaged network"),
        ),
        caption="Share of views whose most similar view is their own partner. 1: all.",
    ),
    Plan(
        folder="metrics/encoder",
        name="encoder-rank",
        title="Encoder: directions in use",
        quantity="effective rank",
        curves=(
            Curve(file="milestones.csv", column="val_rank", label="high resolution"),
            Curve(file="milestones.csv", column="val_rank_low", label="a quarter of it"),
        ),
        caption="Effective rank of the features of held-out radiographs. Near 1 they would have collapsed, and every "
        "number that rests on them would say nothing.",
    ),
    Plan(
        folder="metrics/diffusion",
        name="diffusion-loss",
        title="Diffusion: loss",
        quantity="loss",
        curves=(
            Curve(file="history.csv", column="loss", label="training"),
            Curve(file="milestones.csv", column="val_loss", label="held out, averaged network"),
        ),
        caption="Mean distance between predicted and true target over all noise levels. A held-out curve that "
        "rises while training falls would be overfitting.",
    ),
    Plan(
        folder="metrics/superres",
        name="superres-l1",
        title="Super-resolution: L1",
        quantity="mean absolute error",
        curves=(Curve(file="history.csv", column="l1", label="training"),),
        caption="Mean absolute error of restored crops, in the range of grey from 0 to 1. It may rise when the other "
        "losses join: texture costs pixel fidelity.",
    ),
    Plan(
        folder="metrics/superres",
        name="superres-losses",
        title="Super-resolution: other losses",
        quantity="loss",
        curves=(
            Curve(file="history.csv", column="perceptual", label="perceptual"),
            Curve(file="history.csv", column="adversarial", label="adversarial"),
            Curve(file="history.csv", column="discriminator", label="discriminator"),
        ),
        caption="They join after the L1 phase. A discriminator at 1.39 guesses; one near 0 has won.",
    ),
    Plan(
        folder="metrics/superres",
        name="superres-psnr",
        title="Super-resolution: held-out PSNR",
        quantity="PSNR (dB)",
        curves=(
            Curve(file="milestones.csv", column="val_psnr", label="this model"),
            Curve(file="milestones.csv", column="val_psnr_bicubic", label="bicubic"),
        ),
        caption="Whole held-out radiographs, averaged network. The flat line is plain interpolation.",
    ),
)


def draw_charts(folders: dict[str, Path]) -> list[Chart]:
    """All charts of PLANS; `folders` says where each training left its CSVs."""
    return [draw_curves(plan, folders[plan.folder]) for plan in PLANS]


def draw_curves(plan: Plan, folder: Path) -> Chart:
    """One chart of PLANS; a column that a training does not have is left out."""
    measured = list(_measured(plan, folder))

    def draw(axes: Axes) -> None:
        for number, curve, rows in measured:
            _draw(axes, rows, curve, number)
        axes.set(xlabel="step", ylabel=plan.quantity)
        axes.margins(x=0.02)

    tables = [rows.assign(curve=curve.label)[["curve", "step", "value"]] for _, curve, rows in measured]
    numbers = pd.concat(tables) if tables else pd.DataFrame(columns=["curve", "step", "value"])
    return draw_chart(plan.name, plan.title, plan.caption, draw, numbers)


def _measured(plan: Plan, folder: Path) -> Iterator[tuple[int, Curve, pd.DataFrame]]:
    """Number, curve and its rows as `step` and `value`."""
    for number, curve in enumerate(plan.curves):
        table = pd.read_csv(folder / curve.file)
        if curve.column in table and table[curve.column].notna().any():
            yield number, curve, table.dropna(subset=[curve.column]).rename(columns={curve.column: "value"})


def draw_chart(
    name: str, title: str, caption: str, draw: Callable[[Axes], None], numbers: pd.DataFrame, *, label: str = ""
) -> Chart:
    """What `draw` puts on a chart's axes; whatever it gives a label stands in the legend.

    Args:
        name: Of its files, such as `diffusion-loss`.
        title: What it is called on the page.
        caption: What to see in it.
        draw: Draws what is in `numbers`, in the colours of SERIES and INK.
        numbers: For a CSV beside the picture.
        label: What a screen reader says, where that is more than the title.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(_COLUMN_MM / 25.4, _HEIGHT_MM / 25.4), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        _finish(axes)
        figure.draw_without_rendering()  # which lays it out, once for both
        figure.set_layout_engine("none")
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata=_NO_METADATA)
        figure.savefig(png, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    page = for_page(svg.getvalue(), f"chart-{name}", label or title)
    return Chart(name=name, title=title, caption=caption, svg=page, png=png.getvalue(), numbers=numbers)


def _draw(axes: Axes, rows: pd.DataFrame, curve: Curve, number: int) -> None:
    points = curve.file == "milestones.csv"
    axes.plot(
        rows["step"],
        rows["value"],
        color=SERIES[number],
        label=curve.label,
        linewidth=1.4 if points else 1.1,
        linestyle=("-", "--", "-.")[number] if not points or number else "-",
        marker="os^"[number] if points or len(rows) == 1 else None,
        markersize=3,
    )


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", linewidth=0.5)
    if axes.has_data():
        axes.legend(frameon=False, fontsize=7, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1), columnspacing=1.2)
    else:
        axes.text(0.5, 0.5, "not measured in this run", ha="center", transform=axes.transAxes)


def for_page(svg: str, prefix: str, title: str) -> str:
    """An SVG file as an element of a page: themed, named for screen readers, with ids that no other drawing has."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
