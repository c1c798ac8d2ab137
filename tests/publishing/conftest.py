"""A run of the pipeline as its records tell it, made up, and a deposit of its two pictures."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import ROOT

from panodiff.audit.run import Run, load_records, record_path
from panodiff.files import fingerprint, write_csv, write_json
from panodiff.images import write_grey
from panodiff.params_file import load_params
from panodiff.pipeline import StageDefinition, load_pipeline

IDS = ("synthetic-000000", "synthetic-000001")
SIZES = {"high": (8, 16), "low": (4, 8)}
COUNTS = {"found": 54, "kept": 48, "duplicate": 4, "rejected": 2, "beside": 48}
ENVIRONMENT = {
    "panodiff": "0.1.0",
    "git": {"commit": "f18cba9611d1f99ccb8ea56a6f29550cf99c84b6", "dirty": False},
    "python": "3.11.7",
    "platform": "Linux",
    "cpu_count": 2,
    "packages_sha256": "fe82" * 16,
    "torch": None,
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """All stages of dvc.yaml but the study's analysis have run, one a minute."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    _write_metrics(root)
    _write_pictures(root / "data/synthetic")
    params = load_params(root / "params.yaml").model_dump(mode="json")
    stages = {name: stage for name, stage in load_pipeline(root).items() if name != "analyse_study"}
    for minute, stage in enumerate(stages.values()):
        write_json(root / record_path(stage.name), _record(root, stage, params, minute))
    return load_records(list(stages), root)


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The deposit of that run, without what describes it for machines."""
    folder = tmp_path / "deposit"
    for name in ("README.md", "CLAIM.md", "model-cards/diffusion.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")
    shutil.copyfile(ROOT / "CITATION.cff", folder / "CITATION.cff")
    (folder / "pipeline").mkdir()
    for name in ("params.yaml", "dvc.yaml", "requirements.lock"):
        shutil.copyfile(ROOT / name, folder / "pipeline" / name)
    (folder / "pipeline/dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    shutil.copytree(run.root / "metrics", folder / "metrics")
    _write_pictures(folder / "images", rows=False)
    _write_rows(folder)
    return folder


def _write_metrics(root: Path) -> None:
    sources = load_params(root / "params.yaml").sources
    splits = {"train": 36, "val": 5, "test": 7}
    total = {key: number * len(sources) for key, number in COUNTS.items()}
    account = {
        "profile": "smoke",
        "sources": dict.fromkeys(sources, COUNTS),
        "total": total,
        "splits_by_source": dict.fromkeys(sources, splits),
    }
    write_json(root / "metrics/data.json", account)
    write_json(root / "metrics/summary.json", {"profile": "smoke", "fd_encoder": 0.179688, "copies": 0.0})
    detected = {"encoder": {"auc": {"value": 0.75858, "low": 0.611213, "high": 0.8583}}}
    found = {"threshold": 0.7, "planted": {"num": 120, "flagged": 118}, "synthetic": {"num": 3, "flagged": 1}}
    evaluation = {
        "profile": "smoke",
        "absent": {"lpips": "evaluate.lpips_backbone is null in this profile"},
        "counts": {"synthetic": 2, "train": 180, "test": 35},
        "copies": found | {"dropped": 1},
        "detectability": detected,
    }
    write_json(root / "metrics/evaluation.json", evaluation)
    write_csv(root / "metrics/evaluation/published.csv", ["id"], [{"id": name} for name in IDS])


def _write_pictures(folder: Path, *, rows: bool = True) -> None:
    for resolution, (height, width) in SIZES.items():
        for index, name in enumerate(IDS):
            write_grey(folder / resolution / f"{name}.png", np.full((height, width), 10 * index + width, np.uint8))
        if rows:
            write_csv(folder / resolution / "rows.csv", ["id"], [{"id": name} for name in IDS])


def _write_rows(folder: Path) -> None:
    rows = []
    for index, name in enumerate(IDS):
        paths = {resolution: f"images/{resolution}/{name}.png" for resolution in ("high", "low")}
        hashes = {f"{key}_sha256": fingerprint(folder / path).sha256 for key, path in paths.items()}
        drawn = {"seed": 1, "index": index, "height": SIZES["high"][0], "width": SIZES["high"][1]}
        models = {"diffusion_model_sha256": "d1" * 32, "superres_model_sha256": "5e" * 32}
        rows.append({"id": name} | paths | hashes | drawn | models)
    write_csv(folder / "images.csv", rows[0], rows)


def _record(root: Path, stage: StageDefinition, params: dict[str, Any], minute: int) -> dict[str, Any]:
    """What `panodiff.stage` writes; what is not there is hashed by its path."""
    return {
        "stage": stage.name,
        "profile": "smoke",
        "fingerprint": hashlib.sha256(stage.name.encode()).hexdigest(),
        "cmd": stage.cmd,
        "params": {},
        "resolved_params": {key: params[key] for key in stage.params if key in params},
        "inputs": {path: _known(root, path) for path in stage.deps},
        "outputs": {path: _known(root, path) for path in stage.outs if path != record_path(stage.name)},
        "started": f"2026-01-31T10:{minute:02}:00+00:00",
        "finished": f"2026-01-31T10:{minute:02}:59+00:00",
        "seconds_of_last_run": 59.0,
        "resumes": 0,
        "world_size": 1,
        "notes": {},
        "environment": ENVIRONMENT,
    }


def _known(root: Path, path: str) -> dict[str, Any]:
    if (root / path).exists():
        found = fingerprint(root / path)
        return {"sha256": found.sha256, "num_files": found.num_files, "num_bytes": found.num_bytes}
    return {"sha256": hashlib.sha256(path.encode()).hexdigest(), "num_files": 1, "num_bytes": 7}
