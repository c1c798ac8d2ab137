"""What the record of a stage tells of how it ran, in few lines."""

from collections.abc import Iterator
from typing import Any

from panodiff.audit.run import Record, Run

Facts = list[tuple[str, str]]
_NUM_SHOWN = 12  # parameters of a stage


def about_training(run: Run, stage: str) -> Facts:
    """How long a model was trained, on what terms, when; or that there is no record of it."""
    record = run.records.get(stage)
    if record is None:
        return [("training", f"no record of {stage}: the model came from elsewhere, or metrics/provenance is missing")]
    sections = [section for section in record["resolved_params"].values() if isinstance(section, dict)]
    training: dict[str, Any] = next((section["training"] for section in sections if "training" in section), {})
    told = ", ".join(
        f"{key} {training[key]}" for key in ("num_steps", "batch_size", "learning_rate") if key in training
    )
    return [("training", f"{told}; {record['started'][:16]} to {record['finished'][:16]} UTC")]


def about_stage(record: Record) -> Facts:
    """Code, parameters, environment and time of a stage."""
    environment, torch = record["environment"], record["environment"]["torch"]
    git = environment["git"]
    commit = f"{git['commit']}{', with uncommitted changes' if git['dirty'] else ''}" if git else "outside git"
    device = f"; torch {torch['version']}, {', '.join(torch['gpus']) or 'CPU'}" if torch else ""
    leaves = [*_leaves(record["resolved_params"])]
    return [
        ("code", f"commit {commit}"),
        (
            "parameters",
            ", ".join(f"{key} {value}" for key, value in leaves[:_NUM_SHOWN])
            + (", …" if len(leaves) > _NUM_SHOWN else ""),
        ),
        ("fingerprint", record["fingerprint"]),
        ("environment", f"Python {environment['python']}{device}; packages {environment['packages_sha256'][:16]}"),
        ("ran", f"{record['started'][:19]} to {record['finished'][:19]} UTC, {record['resumes']} resumes"),
    ]


def _leaves(mapping: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
