"""All statistics of a reader study; docs/study-statistics.md says what each number means and where it comes from."""

from pathlib import Path
from typing import Any

import pandas as pd

from panodiff.evaluation.written import rounded
from panodiff.files import write_json
from panodiff.study.analysis import agreement, differences, mrmc, scores
from panodiff.study.analysis.answers import FULL_SHARE, Study, prepare, read_answers
from panodiff.study.analysis.figures import draw_figures
from panodiff.study.levels import LABELS


def analyse(readings: pd.DataFrame, labels: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """All statistics as plain JSON content; what cannot be computed says why under `absent`.

    Args:
        readings: READING_COLUMNS, of which reader, case and answer must be there.
        labels: case and label; with `id`, the images that fooled most are named by it too.
        seed: Of the bootstrap of agreement, and of permutations too many to go through.
    """
    study = prepare(readings, labels)
    readers = {str(reader): _one_reader(rows) for reader, rows in study.first.groupby("reader")}
    cases = study.first.drop_duplicates("case")
    content: dict[str, Any] = rounded(
        {
            "num_cases": {label: int((cases["label"] == label).sum()) for label in LABELS},
            "num_readings": len(study.of_counted),
            "num_repeats": len(study.repeats),
            "counted_readers": study.counted,
            "left_out_readers": study.left_out,
            "pooled": _pooled(study, readers),
            "readers_and_cases": readers_and_cases(study),
            "readers": readers,
            "agreement": agreement.agreement(study.crossed(), seed),
            "repeats": agreement.agreement_with_oneself(study.first, study.repeats),
            "course": differences.course(study.of_counted),
            "groups": _groups(study, readers, seed),
            "fooled": scores.fooled(study.of_counted, labels),
        }
    )
    return content


def _one_reader(rows: pd.DataFrame) -> dict[str, Any]:
    values, synthetic = rows["score"].to_numpy(), rows["synthetic"].to_numpy()
    return {
        "group": str(rows["group"].iloc[0]) if "group" in rows else {"absent": "the readings hold no group"},
        "num_readings": {label: int((rows["label"] == label).sum()) for label in LABELS},
        "accuracy": scores.accuracies(rows),
        "sensitivity": scores.sensitivity(rows),
        "specificity": scores.specificity(rows),
        "auc": mrmc.auc(values, synthetic),
        "average_precision": mrmc.average_precision(values, synthetic),
    } | _counts(rows)


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "confusion": scores.confusion(rows),
        "by_certainty": scores.by_certainty(rows),
        "response_times": scores.response_times(rows),
    }


def _pooled(study: Study, readers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over the counted readers with intervals over readers, and counts over all their readings."""
    if not study.counted:
        return {"absent": f"no reader read {FULL_SHARE:.0%} of the cases"}
    rows = study.of_counted
    return {
        "accuracy": {rule: _mean(study, readers, "accuracy", rule) for rule in scores.RULES},
        "sensitivity": _mean(study, readers, "sensitivity") | {"of_readings": scores.sensitivity(rows)},
        "specificity": _mean(study, readers, "specificity") | {"of_readings": scores.specificity(rows)},
        "auc": _mean(study, readers, "auc"),
        "average_precision": _mean(study, readers, "average_precision"),
    } | _counts(rows)


def _mean(study: Study, readers: dict[str, dict[str, Any]], *keys: str) -> dict[str, Any]:
    """Over the counted readers who have the quantity at `keys`."""
    values = list(_values(study, readers, *keys).values())
    return scores.over_readers(values) if values else {"absent": "no counted reader has it"}


def _values(study: Study, readers: dict[str, dict[str, Any]], *keys: str) -> dict[str, float]:
    found = {}
    for reader in study.counted:
        node = readers[reader]
        for key in keys:
            node = node[key]
        if "value" in node:
            found[reader] = node["value"]
    return found


def readers_and_cases(study: Study) -> dict[str, Any]:
    """Mean AUC and mean accuracies against chance, readers and cases random."""
    crossed = study.crossed()
    synthetic = study.first.drop_duplicates("case").set_index("case")["synthetic"][crossed.columns].to_numpy(dtype=bool)
    X, Y = crossed.to_numpy()[:, synthetic], crossed.to_numpy()[:, ~synthetic]
    if len(crossed) < 2 or min(X.shape[1], Y.shape[1]) < 2:
        cases = "two real and two synthetic cases that all of them read"
        return {"absent": f"it needs three readers (two for the mean), and {cases}"}
    return {
        "num_readers": len(crossed),
        "num_cases": {"real": Y.shape[1], "synthetic": X.shape[1]},
        "auc": mrmc.obuchowski_rockette(*mrmc.delong(X, Y)),
        "certainty_weighted": mrmc.obuchowski_rockette(*mrmc.balanced(X, Y, "certainty_weighted")),
        "unsure_half": mrmc.obuchowski_rockette(*mrmc.balanced(X, Y, "unsure_half")),
    }


def _groups(study: Study, readers: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    if "group" not in study.first:
        return {"absent": "the readings hold no group"}
    values = {
        "certainty_weighted": _values(study, readers, "accuracy", "certainty_weighted"),
        "auc": _values(study, readers, "auc"),
    }
    if any(len(of) < len(study.counted) for of in values.values()):
        return {"absent": "not every counted reader has an AUC"}
    return differences.compare_groups({reader: readers[reader]["group"] for reader in study.counted}, values, seed)


def analyse_files(
    answers: Path, labels: Path, out: Path, *, seed: int = 1, figures: Path | None = None, images: Path | None = None
) -> list[str]:
    """Write the statistics to `out`, the figures into the folder `figures` if given; lines for the terminal.

    Args:
        answers: CSV of READING_COLUMNS, or as published (see `read_answers`).
        labels: CSV of case and label, such as key.csv.
        out: JSON to write.
        seed: See `analyse`.
        figures: Folder for PNG and CSV files.
        images: Folder with <case>.png, for the panel of the images that fooled most.
    """
    readings, truth = read_answers(answers, labels)
    result = analyse(readings, truth, seed=seed)
    write_json(out, result)
    drawn = draw_figures(readings, truth, result, figures, images) if figures else []
    return [*as_lines(result), f"Written: {', '.join(str(path) for path in (out, *drawn))}"]


def as_lines(result: dict[str, Any]) -> list[str]:
    """The headline numbers, as sentences."""
    cases, left_out = result["num_cases"], result["left_out_readers"]
    lines = [
        f"{len(result['counted_readers'])} readers, {cases['real']} real and {cases['synthetic']} synthetic images, "
        f"{result['num_readings']} readings and {result['num_repeats']} repeats"
    ]
    if left_out:
        lines.append(f"Left out of all means, with less than {FULL_SHARE:.0%} of the cases: {', '.join(left_out)}")
    tests, pooled = result["readers_and_cases"], result["pooled"]
    if "num_cases" in tests and tests["num_cases"] != cases:
        shared = tests["num_cases"]
        lines.append(
            f"Only {shared['real']} real and {shared['synthetic']} synthetic images were read by all of them: of these "
            "are the means with readers and cases random, and agreement"
        )
    for name, title in (("auc", "AUC"), ("certainty_weighted", "certainty-weighted accuracy")):
        lines.append(f"Mean {title}, readers and cases random: {_as_text(tests.get(name, tests))}")
    for rule in scores.RULES:
        lines.append(f"Accuracy, {rule.replace('_', ' ')}: {_as_text(pooled.get('accuracy', {}).get(rule, pooled))}")
    for name in ("sensitivity", "specificity"):
        lines.append(f"{name.capitalize()}: {_as_text(pooled.get(name, pooled))}")
    return lines


def _as_text(found: dict[str, Any]) -> str:
    if "mean" not in found:
        return f"absent ({found['absent']})"
    interval = f" [{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else f" ({found['absent']})"
    test = f", p {found['p']:.2g} against {found['chance']:g}" if "p" in found else ""
    return f"{found['mean']:.3f}{interval}{test}"
