"""A finished run, as its files tell it: the pipeline's definition, its parameters, dvc.lock, the records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panodiff.audit.contents import Contents
from panodiff.lock import LockedStage, read_lock
from panodiff.params import Params
from panodiff.params_file import load_params
from panodiff.pipeline import StageDefinition, load_pipeline

Record = dict[str, Any]  # metrics/provenance/<stage>.json
_RECORD_KEYS = {"stage", "profile", "fingerprint", "cmd", "params", "inputs", "outputs", "finished", "environment"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the checks look at."""

    root: Path
    params: Params
    pipeline: dict[str, StageDefinition]
    lock: dict[str, LockedStage]
    records: dict[str, Record]  # of the stages that have one that can be read
    contents: Contents

    @property
    def stages(self) -> list[StageDefinition]:
        """Those that have run, by dvc.lock."""
        return [stage for name, stage in self.pipeline.items() if name in self.lock]


def record_path(stage: str) -> str:
    """Where a stage leaves its record."""
    return f"metrics/provenance/{stage}.json"


def is_code(path: str) -> bool:
    """Whether a dependency is part of the program, and so of a git commit."""
    return path.startswith(("stages/", "panodiff/")) or path == "data/weights/catalogue.yaml"


def load_run(root: Path = Path()) -> Run:
    """The run below `root`, of the profile that is active there.

    Raises:
        ValueError: Nothing has run, or params.yaml or dvc.lock cannot be read; the message says what to do.
    """
    lock = read_lock(root)
    if not lock:
        raise ValueError(f"{root / 'dvc.lock'} is missing: there is no run to look at. `dvc repro` makes one")
    return _load(root, lock, list(load_pipeline(root)))


def load_records(stages: Sequence[str], root: Path = Path()) -> Run:
    """What the records of some stages tell, without dvc.lock: while a stage runs, that is not finished."""
    return _load(root, {}, stages)


def _load(root: Path, lock: dict[str, LockedStage], stages: Sequence[str]) -> Run:
    records = {name: record for name in stages if (record := _read(root / record_path(name))) is not None}
    return Run(
        root=root,
        params=load_params(root / "params.yaml"),
        pipeline=load_pipeline(root),
        lock=lock,
        records=records,
        contents=Contents(root),
    )


def _read(path: Path) -> Record | None:
    """A record, or None where there is none; what cannot be read as one the check of contents will name."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.keys() >= _RECORD_KEYS else None
