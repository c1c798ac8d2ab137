"""The figures of a reader study as PNG for a column of print, each beside the CSV of what it shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from panodiff.evaluation.written import write_columns
from panodiff.files import written_whole
from panodiff.study.analysis.answers import Study, prepare
from panodiff.study.analysis.mrmc import roc_points
from panodiff.study.analysis.scores import RULES, Floats, case_table
from panodiff.study.levels import LABELS, LEVELS

_WIDTH = 3.5  # inches: a column
_COLOURS = dict(zip(LEVELS, ("#20609b", "#92bfe3", "#cfcfcf", "#f3b680", "#c4560a"), strict=True))
_LABEL_COLOURS = {"real": "#20609b", "synthetic": "#c4560a"}
_LINES = ("#0b6fb8", "#c4560a", "#4a7d2c", "#8a4fa8", "#8c6d1f", "#b83a5e", "#2a8c8c", "#6b6b6b")
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
}
_MEAN = "mean over readers"  # stands in the column of readers
_NAMES = ("readers", "answers", "certainty", "cases", "roc", "times", "course", "fooled")
_NUM_TENTHS = 10
_NUM_SHOWN = 4  # images of either label on the panel


def draw_figures(
    readings: pd.DataFrame, labels: pd.DataFrame, result: dict[str, Any], folder: Path, images: Path | None
) -> list[Path]:
    """Write every figure that the study allows into `folder`, and its CSV; the files written.

    Args:
        readings: As given to `analyse`.
        labels: As given to `analyse`.
        result: What `analyse` gave.
        folder: Where to write.
        images: Folder with <case>.png, for the panel of the images that fooled most.
    """
    study = prepare(readings, labels)
    rows = study.of_counted
    if rows.empty:
        return []
    tables = _tables(study, labels, result)
    drawings = _drawings(tables, result, images)
    for name in _NAMES:  # of an earlier study, which had more to show
        (folder / f"{name}.csv").unlink(missing_ok=True)
        (folder / f"{name}.png").unlink(missing_ok=True)
    for name, table in tables.items():
        write_columns(folder / f"{name}.csv", {str(column): table[column].to_numpy() for column in table})
    for name, (height, draw) in drawings.items():
        _save(folder / f"{name}.png", height, draw)
    return [folder / f"{name}.csv" for name in tables] + [folder / f"{name}.png" for name in drawings]


def _tables(study: Study, labels: pd.DataFrame, result: dict[str, Any]) -> dict[str, pd.DataFrame]:
    rows = study.of_counted
    tables = {
        "readers": _reader_table(result),
        "answers": _answer_table(rows),
        "certainty": _certainty_table(study),
        "cases": case_table(rows, labels),
    }
    if "mean" in result["pooled"]["auc"]:
        tables["roc"] = _roc_table(rows)
    if "absent" not in result["pooled"]["response_times"]:
        tables["times"] = rows[["reader", "label", "answer", "response_s"]].dropna()
    if "absent" not in result["course"]:
        tables["course"] = _course_table(rows[rows["reader"].isin(result["course"]["readers"])])
    return tables


def _drawings(
    tables: dict[str, pd.DataFrame], result: dict[str, Any], images: Path | None
) -> dict[str, tuple[float, Callable[[Figure], None]]]:
    """The height in inches of each figure, and what draws it."""
    drawings: dict[str, tuple[float, Callable[[Figure], None]]] = {
        "answers": (2.1, lambda figure: _draw_answers(figure, tables["answers"])),
        "certainty": (1.4, lambda figure: _draw_certainty(figure, tables["answers"])),
        "roc": (_WIDTH, lambda figure: _draw_roc(figure.add_subplot(), tables["roc"], result)),
        "times": (2.4, lambda figure: _draw_times(figure.add_subplot(), tables["times"])),
        "course": (2.4, lambda figure: _draw_course(figure.add_subplot(), tables["course"])),
    }
    drawings = {name: drawing for name, drawing in drawings.items() if name in tables}
    num_shown = max(len(found["most"][:_NUM_SHOWN]) for found in result["fooled"].values())
    if images is not None and num_shown:
        drawings["fooled"] = (0.3 + 1.04 * num_shown, lambda figure: _draw_fooled(figure, result["fooled"], images))
    return drawings


def _save(path: Path, height: float, draw: Callable[[Figure], None]) -> None:
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        with written_whole(path) as aside:
            figure.savefig(aside, format="png", dpi=300, metadata={"Software": None})


def _reader_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row a reader: the headline numbers, empty where a reader has not got one."""
    rows = []
    for reader, found in result["readers"].items():
        values = {rule: found["accuracy"][rule].get("value", np.nan) for rule in RULES}
        values |= {name: found[name].get("value", np.nan) for name in ("sensitivity", "specificity", "auc")}
        values |= {f"auc_{side}": found["auc"].get(side, np.nan) for side in ("low", "high")}
        values["average_precision"] = found["average_precision"].get("value", np.nan)
        values["median_s"] = found["response_times"].get("median_s", np.nan)
        group = found["group"] if isinstance(found["group"], str) else ""
        rows.append({"reader": reader, "group": group, "counted": reader in result["counted_readers"]} | values)
    return pd.DataFrame(rows)


def _answer_table(rows: pd.DataFrame) -> pd.DataFrame:
    counts = rows.groupby(["label", "answer"]).size()
    grid = [(label, level, int(counts.get((label, level), 0))) for label in LABELS for level in LEVELS]
    table = pd.DataFrame(grid, columns=["label", "answer", "count"])
    return table.assign(share=table["count"] / table.groupby("label")["count"].transform("sum").clip(lower=1))


def _certainty_table(study: Study) -> pd.DataFrame:
    """Counts of each reader, those who do not count among all included."""
    parts = [_answer_table(rows).assign(reader=reader) for reader, rows in study.first.groupby("reader")]
    return pd.concat(parts, ignore_index=True)[["reader", "label", "answer", "count", "share"]]


def _draw_answers(figure: Figure, table: pd.DataFrame) -> None:
    for axes, label in zip(figure.subplots(1, 2), LABELS, strict=True):
        part = table[(table["label"] == label) & (table["count"] > 0)]
        if len(part):
            _, _, texts = axes.pie(
                part["count"],
                colors=[_COLOURS[level] for level in part["answer"]],
                startangle=90,
                counterclock=False,
                autopct=lambda percent: f"{percent:.0f} %" if percent >= 6 else "",
                pctdistance=0.72,
                radius=1.15,
                wedgeprops={"edgecolor": "white", "linewidth": 0.8},
            )
            for text, level in zip(texts, part["answer"], strict=True):
                text.set_color("white" if level.startswith("definitely") else "black")
        axes.axis("off")
        axes.set_title(f"{label} images, {part['count'].sum()} answers")
    handles = [figure.axes[0].bar(0, 0, color=_COLOURS[level], label=level) for level in LEVELS]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1, handleheight=1)


def _draw_certainty(figure: Figure, table: pd.DataFrame) -> None:
    shares, counts = (
        table.pivot(index="label", columns="answer", values=column).loc[list(LABELS), list(LEVELS)].to_numpy()
        for column in ("share", "count")
    )
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.5, shares.max()), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 * max(0.5, shares.max()) else "black"
        text = f"{counts[row, column]}\n{share:.0%}".replace("%", " %")
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(LEVELS)), [level.replace(" ", "\n") for level in LEVELS])
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set_ylabel("image")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _roc_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The curve of each reader, and their mean sensitivity at each false positive rate."""
    curves = {
        str(reader): roc_points(part["score"].to_numpy(), part["synthetic"].to_numpy())
        for reader, part in rows.groupby("reader")
        if part["synthetic"].nunique() == 2
    }
    parts = [
        pd.DataFrame({"reader": reader, "false_positive_rate": curve[0], "true_positive_rate": curve[1]})
        for reader, curve in (curves | {_MEAN: _mean_curve(list(curves.values()))}).items()
    ]
    return pd.concat(parts, ignore_index=True)


def _mean_curve(curves: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Vertical mean of ROC curves, exact: its area is the mean of theirs."""
    grid = np.unique(np.concatenate([false_positive for false_positive, _ in curves]))
    # Where a curve goes straight up, np.interp gives its last point there: the upper end, and backwards the lower.
    above = [np.interp(grid, *curve) for curve in curves]
    below = [np.interp(-grid, -false_positive[::-1], true_positive[::-1]) for false_positive, true_positive in curves]
    return np.repeat(grid, 2), np.stack([np.mean(below, axis=0), np.mean(above, axis=0)], axis=1).ravel()


def _draw_roc(axes: Axes, table: pd.DataFrame, result: dict[str, Any]) -> None:
    curves = {str(reader): part for reader, part in table.groupby("reader", sort=False)}
    mean = curves.pop(_MEAN)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.6, linestyle=":")
    named = len(curves) <= len(_LINES)
    for number, (reader, part) in enumerate(curves.items()):
        axes.plot(
            part["false_positive_rate"],
            part["true_positive_rate"],
            color=_LINES[number] if named else "#999999",
            linewidth=0.9,
            marker="o",
            markersize=2,
            label=_plain(f"{reader}: {result['readers'][reader]['auc']['value']:.3f}") if named else None,
        )
    label = f"mean: {result['pooled']['auc']['mean']:.3f}"
    axes.plot(mean["false_positive_rate"], mean["true_positive_rate"], color="black", linewidth=1.8, label=label)
    axes.set_xlabel("real images called fake (1 − specificity)")
    axes.set_ylabel("synthetic images called fake (sensitivity)")
    axes.set_aspect("equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(title="area under the curve", loc="lower right", handlelength=1.4)


def _plain(text: str) -> str:
    """`text` as it stands: matplotlib takes $ for a formula, and a legend leaves out what begins with _."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def _draw_times(axes: Axes, table: pd.DataFrame) -> None:
    for shift, label in ((-0.19, "real"), (0.19, "synthetic")):
        part = table[table["label"] == label]
        boxes = axes.boxplot(
            [part["response_s"][part["answer"] == level].to_numpy() for level in LEVELS],
            positions=[position + shift for position in range(len(LEVELS))],
            widths=0.32,
            patch_artist=True,
            medianprops={"color": "black", "linewidth": 1},
            boxprops={"facecolor": _LABEL_COLOURS[label], "alpha": 0.55, "linewidth": 0.6},
            whiskerprops={"linewidth": 0.6},
            capprops={"linewidth": 0.6},
            flierprops={"marker": ".", "markersize": 2, "markeredgewidth": 0, "markerfacecolor": "#666666"},
        )
        boxes["boxes"][0].set_label(f"{label} images")
    axes.set_xticks(range(len(LEVELS)), [level.replace(" ", "\n") for level in LEVELS])
    axes.set_ylabel("seconds until the answer")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _course_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean certainty-weighted credit in each tenth of each reader's course, and the mean over readers."""
    order = rows.groupby("reader")["position"].rank(method="first") - 1
    tenth = (order * _NUM_TENTHS // rows.groupby("reader")["position"].transform("size")).astype(int) + 1
    table = rows.assign(tenth=tenth).groupby(["reader", "tenth"])["weighted"].mean().rename("accuracy").reset_index()
    mean = table.groupby("tenth")["accuracy"].mean().reset_index().assign(reader=_MEAN)
    return pd.concat([table, mean[["reader", "tenth", "accuracy"]]], ignore_index=True)


def _draw_course(axes: Axes, table: pd.DataFrame) -> None:
    axes.axhline(0.5, color="#999999", linewidth=0.6, linestyle=":")
    for reader, part in table.groupby("reader", sort=False):
        mean = reader == _MEAN
        axes.plot(
            part["tenth"],
            part["accuracy"],
            color="black" if mean else "#8fb0cf",
            linewidth=1.8 if mean else 0.8,
            label=_MEAN if mean else None,
            zorder=3 if mean else 2,
        )
    axes.plot([], [], color="#8fb0cf", linewidth=0.8, label="one reader")
    axes.set(xlabel="tenth of the course", ylabel="certainty-weighted accuracy", xticks=range(1, _NUM_TENTHS + 1))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _draw_fooled(figure: Figure, fooled: dict[str, Any], images: Path) -> None:
    """Two columns of images, those that fooled most on top."""
    shown = {name: found["most"][:_NUM_SHOWN] for name, found in fooled.items() if found["most"]}
    grid = figure.subplots(max(map(len, shown.values())), len(shown), squeeze=False)
    for column, (name, cases) in enumerate(shown.items()):
        grid[0, column].set_title(name.replace("_", " "))
        for axes in grid[:, column]:
            axes.axis("off")
        for axes, case in zip(grid[:, column], cases, strict=False):
            path = images / f"{case['case']}.png"
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise ValueError(f"the folder of images must hold each case as PNG, it lacks {path}")
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            text = f"{_plain(case['case'])}: {num_fooled(case, name)} of {case['num_readers']} fooled"
            axes.text(0.5, -0.04, text, ha="center", va="top", fontsize=5.5, transform=axes.transAxes)


def num_fooled(case: dict[str, Any], side: str) -> int:
    """How many called a case of `fooled[side]` what it is not; unsure is neither."""
    wrong = LEVELS[:2] if side == "synthetic_taken_for_real" else LEVELS[3:]
    return sum(case["answers"][level] for level in wrong)
