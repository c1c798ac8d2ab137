"""The tables of the page: what became of every input file, what each stage cost, with what it ran, what it made."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from panodiff.manifest import SPLITS, STATUSES
from panodiff.params_file import merge
from panodiff.pipeline import leaves
from panodiff.report.numbers import number

Record = dict[str, Any]  # metrics/provenance/<stage>.json


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What became of one source's files."""

    source: str
    found: int  # radiographs, the sum of by_status
    by_status: list[int]  # in the order of STATUSES
    by_split: list[int]  # kept ones, in the order of SPLITS
    beside: int  # files that are no radiographs by their place and name


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why files of a source were not kept."""

    source: str
    status: str
    reason: str
    count: int


def source_counts(account: Mapping[str, Any], corpus: pd.DataFrame) -> list[SourceCounts]:
    """One row a source and one for all: the account of metrics/data.json, and the splits of the manifest's rows."""
    groups = [(source, counts, corpus[corpus["source"] == source]) for source, counts in account["sources"].items()]
    return [_counts(*group) for group in [*groups, ("all", account["total"], corpus)]]


def _counts(source: str, counts: Mapping[str, int], rows: pd.DataFrame) -> SourceCounts:
    kept = rows[rows["status"] == "kept"]
    return SourceCounts(
        source=source,
        found=counts["found"],
        by_status=[counts[status] for status in STATUSES],
        by_split=[int((kept["split"] == split).sum()) for split in SPLITS],
        beside=counts["beside"],
    )


def reasons(corpus: pd.DataFrame) -> list[Reason]:
    """Why files were not kept, most frequent first; the images that a reason names are left out of it."""
    dropped = corpus[corpus["status"].isin(["duplicate", "rejected"])].fillna({"reason": "no reason given"})
    sources = "|".join(re.escape(str(source)) for source in sorted(set(corpus["source"])))
    image = re.compile(rf"\b(?:{sources})-[0-9a-f]{{12}}(?:-\d+)?\b")
    counts = Counter(
        (str(row["source"]), str(row["status"]), image.sub("another image", str(row["reason"])))
        for row in dropped.to_dict("records")
    )
    return [
        Reason(source=source, status=status, reason=reason, count=count)
        for (source, status, reason), count in counts.most_common()
    ]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One stage in the table of costs."""

    stage: str
    does: str
    seconds: str
    resumes: int
    processes: int
    device: str
    finished: str
    throughput: str
    energy: str  # empty where it could not be read
    fingerprint: str
    outputs: list[str]


def costs(records: list[Record], descriptions: Mapping[str, str]) -> list[Cost]:
    """What each stage took, and on what."""
    return [
        Cost(
            stage=record["stage"],
            does=descriptions.get(record["stage"], ""),
            seconds=duration(record["seconds_of_last_run"]),
            resumes=record["resumes"],
            processes=record["world_size"],
            device=_device(record["environment"]),
            finished=record["finished"],
            throughput=_throughput(record["notes"]),
            energy=energy([record]),
            fingerprint=record["fingerprint"],
            outputs=[
                f"{path}: {known['num_files']} file{'s' if known['num_files'] != 1 else ''}, "
                f"{size(known['num_bytes'])}, SHA-256 {known['sha256'][:16]}…"
                for path, known in record["outputs"].items()
            ],
        )
        for record in records
    ]


def _device(environment: Mapping[str, Any]) -> str:
    gpus = (environment["torch"] or {}).get("gpus", [])
    if gpus:
        return ", ".join(f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus))
    return f"CPU, {environment['cpu_count']} cores"


def _throughput(notes: Mapping[str, Any]) -> str:
    return f"{number(notes['images_a_second'])} images/s" if "images_a_second" in notes else ""


_COUNTERS = {"gpu": "GPU", "cpu": "CPU"}


def energy(records: list[Record]) -> str:
    """What the stages took together, by kind of counter; empty where none was read."""
    read = {name: [r["energy_j"][name] for r in records if name in r.get("energy_j", {})] for name in _COUNTERS}
    return ", ".join(f"{_COUNTERS[name]} {_watt_hours(sum(found))}" for name, found in read.items() if found)


def _watt_hours(joules: float) -> str:
    wh = joules / 3600
    return f"{number(wh / 1000)} kWh" if wh >= 1000 else f"{number(wh)} Wh"


def energy_reasons(records: list[Record]) -> list[str]:
    """Why energy is missing: each reason once, with the counter that it is about."""
    found = [
        f"{_COUNTERS[name]}: {reason}"
        for record in records
        for name, reason in record.get("energy_j", {}).get("absent", {}).items()
    ]
    silent = [record["stage"] for record in records if "energy_j" not in record]
    told = [f"The records of {', '.join(silent)} do not tell it"] if silent else []
    return [*dict.fromkeys(found), *told]


def duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(num_bytes: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def stage_descriptions(path: Path = Path("dvc.yaml")) -> dict[str, str]:
    """What dvc.yaml says that each stage does."""
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    return {name: str(body.get("desc", "")) for name, body in stages.items()}


def environment_rows(records: list[Record]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """One row a fact: its values, each with the stages that ran with it (none where all ran with the same)."""
    facts: dict[str, dict[str, list[str]]] = {}
    for record in records:
        for name, value in _facts(record["environment"]).items():
            facts.setdefault(name, {}).setdefault(value, []).append(record["stage"])
    return [
        (name, [(value, stages if len(values) > 1 else []) for value, stages in values.items()])
        for name, values in facts.items()
    ]


def _facts(environment: Mapping[str, Any]) -> dict[str, str]:
    git, torch = environment["git"], environment["torch"]
    facts = {
        "panodiff": environment["panodiff"],
        "git commit": commit_text(git),
        "Python": environment["python"],
        "platform": environment["platform"],
        "CPU cores": str(environment["cpu_count"]),
        "installed packages, SHA-256": environment["packages_sha256"],
    }
    if torch:
        facts |= {
            "PyTorch": torch["version"],
            "GPUs": ", ".join(torch["gpus"]) or "none",
            "CUDA and driver": f"{torch['cuda']}, {torch['driver']}" if torch["gpus"] else "not used",
        }
    return facts


def commit_text(git: Mapping[str, Any] | None) -> str:
    """The commit as a reader needs it."""
    if git is None:
        return "not a git checkout"
    return f"{git['commit'][:12]}{', with uncommitted changes' if git['dirty'] else ''}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One leaf of params.yaml; `from_profile`: the active profile's overlay sets it."""

    key: str
    value: str
    from_profile: bool


def settings(tracked: Mapping[str, Any], profile: str) -> dict[str, list[Setting]]:
    """The values that the run had, section by section, the profile's overlay laid over the base."""
    overlay = tracked[f"profiles.{profile}"]
    base = {key: value for key, value in tracked.items() if not key.startswith("profiles.")}
    from_profile = leaves(overlay)
    found: dict[str, list[Setting]] = {}
    for key, value in leaves(merge(base, overlay)).items():
        section = key.partition(".")[0] if "." in key else "general"
        setting = Setting(key=key, value=json.dumps(value, ensure_ascii=False), from_profile=key in from_profile)
        found.setdefault(section, []).append(setting)
    return found
