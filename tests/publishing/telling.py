"""A finished run, made by hand, on radiographs whose file names tell who the patients are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from small import ROOT

from panodiff.audit.run import Run, load_records, record_path
from panodiff.files import hash_file, write_csv, write_json
from panodiff.images import write_grey
from panodiff.manifest import write_manifest
from panodiff.params_file import load_params
from panodiff.pipeline import StageDefinition, load_pipeline
from panodiff.sampling.sample import synthetic_text

SOURCE = "clinic"
NAMES = ("Hansen_Grethe_19620413.png", "Møller_Ibsen_19710230.dcm", "Quist_Åse_19551224.png")
PATIENTS = ("clinic-p4711", "clinic-p4712", "clinic-p4713")
DRAWN, PUBLISHED = 3, ("synthetic-000000", "synthetic-000002")
META = {"licence": "by agreement | of 2026", "doi": "10.1/2", "accessed": "2026-01-31", "terms": "research only"}
HASHES = {"diffusion": "d1" * 32, "superres": "5e" * 32}
REAL = (  # pictures of real radiographs that stages leave among the metrics
    *("corpus/duplicates.jpg", "diffusion/forward.png", "diffusion/progress.png", "superres/progress.png"),
    "study/fooled.png",
)
_GIT = {"commit": "f18cba9611d1f99ccb8ea56a6f29550cf99c84b6", "dirty": False}
_TORCH = {"version": "2.14.1", "cuda": None, "driver": None, "gpus": [], "threads": 2}


def make_run(root: Path, *, real_images: bool = False, redistribution: bool = False) -> Run:
    """The run below `root`, of the profile pilot, as far as `panodiff publish` reads it."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw |= {"profile": "pilot", "sources": [SOURCE], "source": {SOURCE: {}}}
    raw["report"]["real_images"] = real_images
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    for name in ("dvc.yaml", "requirements.lock", "LICENSE", "NOTICE", "CITATION.cff", "data/weights/catalogue.yaml"):
        write_text(root / name, (ROOT / name).read_text(encoding="utf-8"))
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    write_terms(root, redistribution=redistribution)
    _write_corpus(root)
    _write_images(root / "data/synthetic")
    for model in HASHES:
        write_text(root / f"data/models/{model}/README.md", card(model))
        write_text(root / f"data/models/{model}/model.safetensors", "weights")
    _write_metrics(root / "metrics")
    params = load_params(root / "params.yaml").model_dump(mode="json")
    stages = load_pipeline(root)
    for stage in stages.values():
        write_json(root / record_path(stage.name), _record(stage, params))
    return load_records(list(stages), root)


def write_terms(root: Path, *, redistribution: bool) -> None:
    meta = META | {"redistribution": redistribution}
    write_text(root / f"data/raw/pilot/{SOURCE}.dvc", yaml.safe_dump({"outs": [{"path": SOURCE}], "meta": meta}))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def card(model: str) -> str:
    table = f"| source | images | licence |\n|---|---|---|\n| {SOURCE} | 1 | not known |\n"
    return f"# {model}\n\n## Model Details\n\n### Training Data\n\n{table}\n### Training Procedure\n"


def _write_corpus(root: Path) -> None:
    rows = [
        {
            "id": f"{SOURCE}-{index:012x}",
            "source": SOURCE,
            "path": f"2026/{name}",
            "patient": patient,
            "status": "kept",
            "split": split,
            "high_path": f"data/harmonized/pilot/{SOURCE}/high/{name}",
            "low_path": f"data/harmonized/pilot/{SOURCE}/low/{name}",
        }
        for index, (name, patient, split) in enumerate(zip(NAMES, PATIENTS, ("train", "val", "test"), strict=True))
    ]
    (root / "data/manifest").mkdir(parents=True)
    write_manifest(root / "data/manifest/corpus.csv", pd.DataFrame(rows))


def _write_images(folder: Path) -> None:
    rows = []
    for index in range(DRAWN):
        row: dict[str, Any] = {"id": f"synthetic-{index:06}", "index": index, "seed": 1}
        for key, resolution, side in (("low_sha256", "low", 4), ("sha256", "high", 8)):
            path = folder / resolution / f"{row['id']}.png"
            text = synthetic_text({f"{model}_model_sha256": sha256 for model, sha256 in HASHES.items()})
            write_grey(path, np.full((side, 2 * side), 20 * index, np.uint8), text)
            row[key] = hash_file(path)
        rows.append(row)
    write_csv(folder / "high/rows.csv", ["id", "index", "seed", "sha256", "low_sha256"], rows)


def _write_metrics(metrics: Path) -> None:
    splits = {"train": 1, "val": 1, "test": 1}
    counts = {"found": 3, "kept": 3, "duplicate": 0, "rejected": 0, "beside": 0}
    account = {
        "profile": "pilot",
        "sources": {SOURCE: counts},
        "total": counts,
        "rejected_because": {},
        "splits": splits,
        "splits_by_source": {SOURCE: splits},
        "groups": {"found": 3, "with_several_images": 0, "largest": 1},
    }
    write_json(metrics / "data.json", account)
    write_json(metrics / "evaluation.json", evaluation())
    write_json(metrics / "summary.json", {"profile": "pilot", "copies": 0.333333})
    write_json(metrics / "sources/separability.json", {"profile": "pilot", "maps": {}})
    write_json(metrics / "study.json", {"absent": "no reader study has been held yet"})
    write_text(metrics / "report.html", "<p>a page</p>\n")
    write_text(metrics / "evaluation/published.csv", "\n".join(["id", *PUBLISHED, ""]))
    for name, columns in {
        "evaluation/copies.csv": "id,is_copy",
        "evaluation/looks.csv": "id,symmetry",
        "evaluation/where.csv": "row,column,synthetic,real",
        "diffusion/history.csv": "step,loss",
        "superres/history.csv": "step,l1",
        "study/agreement.csv": "reader,kappa",
    }.items():
        write_text(metrics / name, f"{columns}\n")
    for name in REAL:
        write_text(metrics / name, "a picture of a patient")


def evaluation() -> dict[str, Any]:
    share = {"num": 3, "flagged": 1, "share": 1 / 3, "low": 0.01, "high": 0.9, "share_by_kind": {"exact": 1.0}}
    known = {"value": 0.25, "low": 0.125, "high": 0.5}
    compared = {f"{name}_encoder": known for name in ("fd", "kid", "precision", "recall", "coverage")}
    return {
        "profile": "pilot",
        "absent": {"lpips": "evaluate.lpips_backbone is null in this profile"},
        "counts": {"synthetic": 2, "train": 1, "test": 1},
        "sets": {"high": {"synthetic_vs_test": {"num_fake": 2} | compared, "real_matched_vs_test": compared}},
        "draws": {},
        "copies": {"threshold": 0.7, "dropped": 1} | dict.fromkeys(("synthetic", "test", "planted"), share),
        "plausibility": {"outside_any": {"synthetic": 0.5, "test": 0.0}, "measurements": {"symmetry": {}}},
        "detectability": {name: {"auc": known} for name in ("encoder", "artefacts", "places")},
        "diversity": {"synthetic": {"ms_ssim": known}},
        "restoration": {name: dict.fromkeys(("superres", "bicubic"), known) for name in ("psnr", "ssim")},
    }


def _record(stage: StageDefinition, params: dict[str, Any]) -> dict[str, Any]:
    """What a stage leaves; hashes are of nothing."""
    known = {"sha256": "ab" * 32, "num_files": 1, "num_bytes": 7}
    return {
        "stage": stage.name,
        "profile": "pilot",
        "fingerprint": "fe" * 32,
        "cmd": stage.cmd,
        "params": {},
        "resolved_params": {key: params[key] for key in stage.params if key in params},
        "inputs": dict.fromkeys(stage.deps, known),
        "outputs": dict.fromkeys(stage.outs, known),
        "started": "2026-01-31T10:00:00+00:00",
        "finished": "2026-01-31T10:01:00+00:00",
        "seconds_of_last_run": 60.0,
        "resumes": 0,
        "world_size": 1,
        "notes": {},
        "environment": {
            **{"panodiff": "0.1.0", "git": _GIT, "python": "3.11.7", "platform": "Linux", "cpu_count": 2},
            **{"packages_sha256": "fe82" * 16, "torch": _TORCH},
        },
    }
