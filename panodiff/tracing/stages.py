"""What the record of a stage tells of how it ran, in few lines."""

from typing import Any

from panodiff.audit.run import Record, Run, record_path
from panodiff.pipeline import leaves
from panodiff.tracing.lines import Facts

MODELS = {  # folder of each model, by the stage that trains it
    "train_encoder": "data/models/encoder",
    "train_diffusion": "data/models/diffusion",
    "train_superres": "data/models/superres",
}
_TRAINING = ("num_steps", "batch_size", "accumulation", "learning_rate", "ema_decay", "precision")
TELLING = {  # parameters, or sections of them, that tell most of what a stage made
    "ingest": ("ingest",),
    "harmonize": ("source", "quality.reject", "harmonize"),
    "split": ("seed", "sources", "split"),
    "train_encoder": ("seed", *(f"encoder.training.{name}" for name in _TRAINING)),
    "train_diffusion": (
        *("seed", "diffusion.network", "diffusion.schedule", "diffusion.prediction", "diffusion.loss"),
        *(f"diffusion.training.{name}" for name in _TRAINING),
    ),
    "train_superres": (
        *("seed", "superres.network", "superres.loss", "superres.l1_phase", "superres.degradation"),
        *(f"superres.training.{name}" for name in _TRAINING),
    ),
    "sample": ("seed", "sample"),
    "upscale": ("upscale",),
}


def is_made_here(run: Run, stage: str) -> bool:
    """Whether the model that lies in its folder is, byte for byte, what the record of `stage` says that it made."""
    content = run.contents.at(MODELS[stage])
    recorded = run.records.get(stage, {}).get("outputs", {}).get(MODELS[stage], {})
    return content is not None and content.sha256 == recorded.get("sha256")


def has_read(run: Run, stage: str, path: str) -> bool:
    """Whether `path` still is what `stage` read, by its record."""
    content = run.contents.at(path)
    recorded = run.records.get(stage, {}).get("inputs", {}).get(path, {})
    return content is not None and content.sha256 == recorded.get("sha256")


def about_stage(record: Record) -> Facts:
    """Code, parameters, environment and time of a stage."""
    environment, torch = record["environment"], record["environment"]["torch"]
    device = f"; torch {torch['version']}, {', '.join(torch['gpus']) or 'CPU'}" if torch else ""
    threads = f", {torch['threads']} threads" if torch else ""
    told = [f"{key} {value}" for key, value in _telling(record)]
    return [
        ("code", _commit(record)),
        ("parameters", f"{', '.join(told)}; all of them in {record_path(record['stage'])}"),
        ("fingerprint", record["fingerprint"]),
        (
            "environment",
            f"Python {environment['python']}{device}{threads}; {environment['platform']}; "
            f"packages {environment['packages_sha256'][:16]}",
        ),
        ("ran", f"{_time(record['started'])} to {_time(record['finished'])} UTC, {record['resumes']} resumes"),
    ]


def in_short(record: Record) -> str:
    """The same of a stage that is one of many, in a line."""
    return f"{_commit(record, 12)}; fingerprint {record['fingerprint'][:16]}; finished {_time(record['finished'])} UTC"


def _commit(record: Record, length: int | None = None) -> str:
    git = record["environment"]["git"]
    if not git:
        return "outside a git checkout"
    return f"commit {git['commit'][:length]}, {'with UNCOMMITTED changes' if git['dirty'] else 'nothing uncommitted'}"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _telling(record: Record) -> list[tuple[str, Any]]:
    chosen = TELLING[record["stage"].partition("@")[0]]
    known = leaves(record["resolved_params"])
    return [(key, value) for name in chosen for key, value in known.items() if f"{key}.".startswith(f"{name}.")]
