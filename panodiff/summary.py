"""The few lines that end `make repro`: what ran, what came out, where to read on."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import panodiff
from panodiff.params import Params
from panodiff.pipeline import load_pipeline
from panodiff.report.numbers import number
from panodiff.report.tables import commit_text, duration

_NUM_NAMED = 3  # stages that the summary names, the longest first
_LINES = (  # label, what it shows of metrics/summary.json, what stands beside it
    ("Fréchet distance", "fd_encoder", "real images in their place: {fd_encoder_real}; lower is better"),
    ("Precision", "precision_encoder", "share of synthetic images that look real; higher is better"),
    ("Recall", "recall_encoder", "share of real variety that is covered; higher is better"),
    ("Copies of patients", "copies", "share of synthetic images that repeat a training image"),
    ("Told from real, AUC", "auc_encoder", "by a linear classifier; 0.5 is chance; lower is better"),
    ("Super-resolution, dB", "psnr_db", "PSNR on held-out images; higher is better"),
)


class SummaryError(ValueError):
    """There is no result to summarise; the message says what to run."""


def summary_lines(params: Params, since: float | None = None, root: Path = Path()) -> list[str]:
    """The lines, for the results below `root`.

    Args:
        params: Of the active profile.
        since: POSIX time; stages that finished before it count as taken from the cache. None: that is not told.
        root: The project's top folder.

    Raises:
        SummaryError: The pipeline has not run to its end.
    """
    numbers = _read(root / "metrics/summary.json")
    report = _read(root / "metrics/provenance/report.json")
    commit = commit_text(report["environment"]["git"])
    lines = [f"panodiff {panodiff.__version__}, profile {numbers['profile']}, seed {params.seed}, commit {commit}"]
    if numbers["profile"] != params.profile:
        lines.append(f"params.yaml says profile {params.profile} by now: `dvc repro` makes its results")
    if since is not None:
        lines.append(_stages_line(root, since))
    lines.append(_data_line(root, numbers))
    lines += [
        f"  {label:<22}{number(numbers[name]):>9}   {beside.format(**_as_text(numbers))}"
        for label, name, beside in _LINES
        if name in numbers
    ]
    if numbers["profile"] == "smoke":
        lines.append("Drawn phantoms and small networks: these numbers say nothing of patients.")
    return [*lines, f"Report: {(root / 'metrics/report.html').resolve()}"]


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SummaryError(f"{path} is missing: run `make repro`, or `dvc repro`, to its end") from None
    return content


def _as_text(numbers: Mapping[str, Any]) -> dict[str, str]:
    return {name: number(value) for name, value in numbers.items() if not isinstance(value, str)}


def _stages_line(root: Path, since: float) -> str:
    paths = [root / f"metrics/provenance/{name}.json" for name in load_pipeline(root)]
    records = [_read(path) for path in paths if path.is_file()]
    ran = [record for record in records if datetime.fromisoformat(record["finished"]).timestamp() >= int(since)]
    longest = sorted(ran, key=lambda record: -record["seconds_of_last_run"])[:_NUM_NAMED]
    named = ", ".join(f"{record['stage']} {duration(record['seconds_of_last_run'])}" for record in longest)
    among = f" (longest: {named})" if named else ""
    return f"Stages: {len(ran)} ran{among}, {len(records) - len(ran)} unchanged or from the cache"


def _data_line(root: Path, numbers: Mapping[str, Any]) -> str:
    total = _read(root / "metrics/data.json")["total"]
    return (
        f"Data: {total['found']} radiographs found ({total['kept']} kept, {total['duplicate']} duplicate, "
        f"{total['rejected']} rejected)"
    )
