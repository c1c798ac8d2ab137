"""What the page shows of the reader study: how well readers told synthetic from real images, and how sure that is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panodiff.report.numbers import Absent, interval, number
from panodiff.report.pictures import Rows
from panodiff.report.sections.sheets import sheet

FIGURES = {  # of metrics/study, by name: what each is called, and what to see in it
    "roc": (
        "Readers' ROC curves",
        "The nearer a curve comes to the upper left corner, the better that reader tells synthetic from real images. "
        "On the dotted diagonal a reader is as good as a coin.",
    ),
    "answers": (
        "Answers",
        "What was answered to real and to synthetic images. Two circles alike: readers cannot tell them apart.",
    ),
    "certainty": (
        "Answers and certainty",
        "The same in counts. Dark cells at the outer ends of both rows: readers know, and know that they know.",
    ),
    "times": (
        "Time until the answer",
        "Boxes hold the middle half. Long times at unsure answers: hard images. Answers within a second: images that "
        "were hardly looked at.",
    ),
    "course": (
        "Along the study",
        "Accuracy in each tenth of the course, a few images each, so that lines jump by chance; the table says whether "
        "the rise is more than that.",
    ),
}
FOOLED = (
    "Images that fooled most",
    "The synthetic images most often taken for real, and the real ones most often taken for fake. Look for what the "
    "former do better than the other synthetic images.",
)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of the study; `path` is a dotted key of metrics/study.json."""

    title: str
    meaning: str
    path: str
    over: str  # what is random in its interval


MEASURES = (
    Measure(
        title="Area under the ROC curve (AUC)",
        meaning="Share of pairs of a synthetic and a real image that readers put in the right order. 0.5: no better "
        "than a coin.",
        path="readers_and_cases.auc",
        over="readers and cases",
    ),
    Measure(
        title="Accuracy, weighted by certainty",
        meaning="As in the published study: definite answers count 1 or 0, probable ones ¾ or ¼, unsure ½. It is no "
        "share of right answers.",
        path="pooled.accuracy.certainty_weighted",
        over="readers",
    ),
    Measure(
        title="The same, for other readers and other images",
        meaning="Each label counts half, however many images bear it. Wider: the images are a sample as well.",
        path="readers_and_cases.certainty_weighted",
        over="readers and cases",
    ),
    Measure(
        title="Accuracy, unsure as half right",
        meaning="Probable answers count like definite ones.",
        path="pooled.accuracy.unsure_half",
        over="readers",
    ),
    Measure(
        title="Accuracy, unsure as wrong",
        meaning="Below 0.5 for who guesses and is unsure at times.",
        path="pooled.accuracy.unsure_wrong",
        over="readers",
    ),
    Measure(
        title="Accuracy, without unsure answers",
        meaning="Of the answers that took a side; how many these are was the reader's choice.",
        path="pooled.accuracy.unsure_dropped",
        over="readers",
    ),
    Measure(
        title="Sensitivity",
        meaning="Share of synthetic images that were called fake.",
        path="pooled.sensitivity",
        over="readers",
    ),
    Measure(
        title="Specificity",
        meaning="Share of real images that were called real.",
        path="pooled.specificity",
        over="readers",
    ),
    Measure(
        title="Average precision",
        meaning="Precision averaged over the recall of synthetic images; by chance it is their share.",
        path="pooled.average_precision",
        over="readers",
    ),
    Measure(
        title="Agreement on fake or not (Fleiss' kappa)",
        meaning="0: as by chance, 1: complete. Low: what one reader takes for a sign says nothing to another.",
        path="agreement.fleiss_two",
        over="cases",
    ),
    Measure(
        title="Agreement on all five answers (Fleiss' kappa)",
        meaning="The same, where probably and definitely are as different as real and fake.",
        path="agreement.fleiss_five",
        over="cases",
    ),
    Measure(
        title="Agreement of pairs of readers (Cohen's kappa, quadratic)",
        meaning="The same, where neighbouring answers nearly agree; the mean of all pairs.",
        path="agreement.cohen_quadratic_mean",
        over="cases",
    ),
    Measure(
        title="Agreement of readers with themselves (Cohen's kappa, quadratic)",
        meaning="Of the first and the second answer to cases that a reader was shown twice.",
        path="repeats.cohen_quadratic",
        over="readers",
    ),
    Measure(
        title="Learning: from the first image to the last",
        meaning="Change of the accuracy weighted by certainty, at equal labels. Above 0: readers learnt.",
        path="course.slope",
        over="readers",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number as the template prints it."""

    title: str
    meaning: str
    value: str | Absent
    over: str  # empty where there is no interval


def show_study(path: Path) -> dict[str, Any] | Absent:
    """The numbers of metrics/study.json, or why there are none."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if "absent" in found:
        return Absent(found["absent"])
    return {
        "num_cases": found["num_cases"],
        "num_readings": found["num_readings"],
        "num_readers": len(found["counted_readers"]),
        "left_out": list(found["left_out_readers"]),
        "shared": _shared(found),
        "groups": _groups(found["groups"]),
        "test": _test(_at(found, "readers_and_cases.auc")),
        "rows": [_row(measure, _at(found, measure.path)) for measure in MEASURES],
        "readers": [_reader(name, values) for name, values in found["readers"].items()],
        "same_order": found["course"].get("same_order", False),
    }


def study_figures(folder: Path) -> Rows:
    """The figures that the study allowed, but for the panel of images; each label says what to see."""
    found = (sheet(folder / f"{name}.png", title, see) for name, (title, see) in FIGURES.items())
    return [[shot] for shot in found if shot]


def fooled_panel(folder: Path) -> Rows:
    """The panel of the images that fooled most, real ones among them; no row where the study has none."""
    shot = sheet(folder / "fooled.png", *FOOLED)
    return [[shot]] if shot else []


def _at(found: Mapping[str, Any], path: str) -> Mapping[str, Any] | Absent:
    """What stands at `path`, or what `absent` on the way there says."""
    node = found
    for key in path.split("."):
        if key not in node:
            return Absent(node["absent"])
        node = node[key]
    return node if {"mean", "value"} & node.keys() else Absent(node["absent"])


def _row(measure: Measure, found: Mapping[str, Any] | Absent) -> Row:
    has_interval = not isinstance(found, Absent) and "low" in found
    over = measure.over if has_interval else ""
    return Row(title=measure.title, meaning=measure.meaning, value=_value(found), over=over)


def _value(found: Mapping[str, Any] | Absent) -> str | Absent:
    if isinstance(found, Absent):
        return found
    middle = number(found["mean"] if "mean" in found else found["value"])
    return f"{middle} {interval(found)}" if "low" in found else f"{middle} (no interval: {found['absent']})"


def _test(found: Mapping[str, Any] | Absent) -> str:
    """The test of the mean AUC against chance as a sentence; empty where there is none."""
    if isinstance(found, Absent) or "p" not in found:
        return ""
    return (
        f"Mean AUC against {number(found['chance'])}: t = {number(found['t'])}, df = {number(found['df'])}, "
        f"p = {number(found['p'])}, readers and cases random."
    )


def _shared(found: Mapping[str, Any]) -> str:
    """A sentence on the images that all readers read, where these are not all; else empty."""
    shared = found["readers_and_cases"].get("num_cases", found["num_cases"])
    if shared == found["num_cases"]:
        return ""
    return (
        f"Only {shared['real']} real and {shared['synthetic']} synthetic ones were read by all: AUC and agreement are "
        "of these."
    )


def _groups(found: Mapping[str, Any]) -> list[list[str | Absent]] | Absent:
    """Rows of the comparison of two groups: quantity, both means, difference with interval, p."""
    if "absent" in found:
        return Absent(found["absent"])
    names = list(found["num_readers"])
    head = [
        "",
        *(f"{name} ({found['num_readers'][name]})" for name in names),
        "Difference",
        "p, permutation of readers",
    ]
    rows: list[list[str | Absent]] = [list(head)]
    for key, title in (("auc", "AUC"), ("certainty_weighted", "Accuracy, weighted by certainty")):
        of = found[key]
        difference = _value(
            {"value": of["effect"]} | {name: of[name] for name in ("low", "high", "absent") if name in of}
        )
        p = f"{number(of['p'])} (at least {number(of['smallest_p'])} with so few)"
        rows.append([title, *(number(mean) for mean in of["means"]), difference, p])
    return rows


def _reader(name: str, found: Mapping[str, Any]) -> list[str | Absent]:
    """Name, group, number of images, AUC, accuracy weighted by certainty, sensitivity, specificity, median seconds."""
    parts = (found["auc"], found["accuracy"]["certainty_weighted"], found["sensitivity"], found["specificity"])
    group = found["group"] if isinstance(found["group"], str) else "—"
    seconds = found["response_times"].get("median_s")
    return [
        name,
        group,
        str(sum(found["num_readings"].values())),
        *(_value(part if {"mean", "value"} & part.keys() else Absent(part["absent"])) for part in parts),
        "—" if seconds is None else number(seconds),
    ]
