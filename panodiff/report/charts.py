"""Charts as SVG that lies in the page and takes its colours from the page's light or dark theme."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Placeholders in the drawing → custom properties of style.css.
_INK, _MUTED = "#010101", "#020202"
SERIES = ("#030303", "#040404", "#050505", "#060606", "#070707")
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--rule)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "panodiff",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing, what it is called and what to see in it."""

    svg: str
    title: str
    caption: str


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
    title: str
    curves: tuple[Curve, ...]
    caption: str


PLANS = (
    Plan(
        folder="metrics/encoder",
        title="Encoder: contrastive loss",
        curves=(
            Curve(file="history.csv", column="loss", label="training"),
            Curve(file="milestones.csv", column="val_loss", label="held out, averaged network"),
        ),
        caption="Two views of a radiograph must resemble each other more than any other radiograph. The two curves "
        "have batches of different size, so compare their shape, not their height.",
    ),
    Plan(
        folder="metrics/encoder",
        title="Encoder: pairs found",
        curves=(
            Curve(file="history.csv", column="found", label="training"),
            Curve(file="milestones.csv", column="val_found", label="held out, averaged network"),
        ),
        caption="Share of views whose most similar view is their own partner. 1: all.",
    ),
    Plan(
        folder="metrics/encoder",
        title="Encoder: directions in use",
        curves=(
            Curve(file="milestones.csv", column="val_rank", label="high resolution"),
            Curve(file="milestones.csv", column="val_rank_low", label="a quarter of it"),
        ),
        caption="Effective rank of the features of held-out radiographs. Near 1 they would have collapsed, and every "
        "number that rests on them would say nothing.",
    ),
    Plan(
        folder="metrics/diffusion",
        title="Diffusion: loss",
        curves=(
            Curve(file="history.csv", column="loss", label="training"),
            Curve(file="milestones.csv", column="val_loss", label="held out, averaged network"),
        ),
        caption="Mean distance between predicted and true target over all noise levels. A held-out curve that "
        "rises while training falls would be overfitting.",
    ),
    Plan(
        folder="metrics/superres",
        title="Super-resolution: L1",
        curves=(Curve(file="history.csv", column="l1", label="training"),),
        caption="Mean absolute error of restored crops, in the range of grey from 0 to 1. It may rise when the other "
        "losses join: texture costs pixel fidelity.",
    ),
    Plan(
        folder="metrics/superres",
        title="Super-resolution: other losses",
        curves=(
            Curve(file="history.csv", column="perceptual", label="perceptual"),
            Curve(file="history.csv", column="adversarial", label="adversarial"),
            Curve(file="history.csv", column="discriminator", label="discriminator"),
        ),
        caption="They join after the L1 phase. A discriminator at 1.39 guesses; one near 0 has won.",
    ),
    Plan(
        folder="metrics/superres",
        title="Super-resolution: held-out PSNR (dB)",
        curves=(
            Curve(file="milestones.csv", column="val_psnr", label="this model"),
            Curve(file="milestones.csv", column="val_psnr_bicubic", label="bicubic"),
        ),
        caption="Whole held-out radiographs, averaged network. The flat line is plain interpolation.",
    ),
)


def draw_charts(folders: dict[str, Path]) -> list[Chart]:
    """All charts of PLANS; `folders` says where each training left its CSVs."""
    return [
        Chart(svg=draw_curves(plan, folders[plan.folder], f"chart-{number}"), title=plan.title, caption=plan.caption)
        for number, plan in enumerate(PLANS)
    ]


def draw_curves(plan: Plan, folder: Path, prefix: str) -> str:
    """The SVG of one chart; a column that a training does not have is left out. `prefix` keeps its ids its own."""

    def draw(axes: Axes) -> None:
        for number, curve in enumerate(plan.curves):
            table = pd.read_csv(folder / curve.file)
            if curve.column in table and table[curve.column].notna().any():
                _draw(axes, table.dropna(subset=[curve.column]), curve, number)
        axes.set_xlabel("step")
        axes.margins(x=0.02)

    return draw_svg(draw, prefix, plan.title)


def draw_svg(draw: Callable[[Axes], None], prefix: str, title: str) -> str:
    """What `draw` puts on a chart's axes, as an element of the page; whatever it gives a label stands in the legend."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        _finish(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return for_page(buffer.getvalue(), prefix, title)


def _draw(axes: Axes, table: pd.DataFrame, curve: Curve, number: int) -> None:
    points = curve.file == "milestones.csv"
    axes.plot(
        table["step"],
        table[curve.column],
        color=SERIES[number],
        label=curve.label,
        linewidth=1.8 if points else 1.4,
        linestyle=("-", "--", "-.")[number] if not points or number else "-",
        marker="os^"[number] if points or len(table) == 1 else None,
        markersize=4,
    )


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", linewidth=0.6, alpha=0.6)
    if axes.has_data():
        axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1), columnspacing=1.4)
    else:
        axes.text(0.5, 0.5, "not measured in this run", ha="center", transform=axes.transAxes)


def for_page(svg: str, prefix: str, title: str) -> str:
    """An SVG file as an element of a page: themed, named for screen readers, with ids that no other drawing has."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
