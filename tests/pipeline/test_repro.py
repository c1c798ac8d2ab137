"""One real `dvc repro` of the whole pipeline, and what must hold of it."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from working_copy import WorkingCopy

from panodiff.images import read_text_chunks
from panodiff.pipeline import StageDefinition, load_pipeline

DATA = {"split", "train_encoder", "analyse_sources", "train_diffusion", "train_superres", "sample", "upscale"}
TAIL = {"evaluate", "study", "analyse_study", "report"}


def downstream(name: str, stages: dict[str, StageDefinition]) -> set[str]:
    """The stages that read an output of stage `name`, or of one that does."""
    outs = {Path(out) for out in stages[name].outs}
    readers = {
        reader.name
        for reader in stages.values()
        if any(out.is_relative_to(dep) or Path(dep).is_relative_to(out) for dep in reader.deps for out in outs)
    }
    return readers.union(*(downstream(reader, stages) for reader in readers))


def test_every_stage_leaves_its_outputs_and_a_record_of_them(copy: WorkingCopy) -> None:
    for stage in load_pipeline(copy.root).values():
        record = json.loads((copy.root / f"metrics/provenance/{stage.name}.json").read_text(encoding="utf-8"))
        assert set(record["inputs"]) == set(stage.deps)
        assert set(record["outputs"]) == {out for out in stage.outs if not out.startswith("metrics/provenance/")}
        assert record["profile"] == "smoke"
        assert all((copy.root / out).exists() for out in stage.outs)


def test_a_record_links_producer_and_consumer_by_hash(copy: WorkingCopy) -> None:
    made = json.loads((copy.root / "metrics/provenance/train_diffusion.json").read_text(encoding="utf-8"))
    used = json.loads((copy.root / "metrics/provenance/sample.json").read_text(encoding="utf-8"))
    assert made["outputs"]["data/models/diffusion"] == used["inputs"]["data/models/diffusion"]


def test_only_the_last_stages_leave_their_state_in_scratch(copy: WorkingCopy) -> None:
    left = [path for path in (copy.root / ".scratch").glob("*/*") if path.is_dir()]
    assert [(path.parent.name, path.suffix) for path in left] == [("report", ".finished")]


def test_a_second_run_runs_nothing(copy: WorkingCopy) -> None:
    assert copy.would_run() == set()
    assert "Data and pipelines are up to date" in copy.dvc("repro").stdout


def test_git_sees_nothing_of_what_dvc_keeps(copy: WorkingCopy) -> None:
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    seen = subprocess.run(status, cwd=copy.root, capture_output=True, text=True, check=True).stdout.splitlines()
    allowed = {"dvc.lock", "metrics/summary.json"}
    assert {line[3:] for line in seen} <= allowed


def test_every_synthetic_image_says_that_it_is_and_how_it_was_made(copy: WorkingCopy) -> None:
    rows = pd.read_csv(copy.root / "data/synthetic/high/rows.csv")
    for row in rows.itertuples():
        text = read_text_chunks(copy.root / f"data/synthetic/high/{row.id}.png")
        assert "Synthetic" in text["Title"]
        assert text["panodiff:index"] == str(int(row.id.removeprefix("synthetic-")))
        assert {"panodiff:seed", "panodiff:diffusion_model_sha256", "panodiff:superres_model_sha256"} <= set(text)


@pytest.mark.usefixtures("params_put_back")
def test_one_source_s_crop_reruns_that_source_and_what_depends_on_it(copy: WorkingCopy) -> None:
    margins = {"unit": "fraction", "top": 0.11, "left": 0.05, "bottom": 0.05, "right": 0.05}
    copy.edit_params({"source": {"tufts": {"crop": margins}}})
    assert copy.would_run() == {
        "harmonize@tufts",
        "analyse_sources",  # reads the raw files, too
        "report",
    }  # a dry run looks one step ahead; the page shows all params
    assert downstream("harmonize@tufts", load_pipeline(copy.root)) == DATA | TAIL


@pytest.mark.usefixtures("params_put_back")
def test_a_change_of_the_evaluation_retrains_nothing(copy: WorkingCopy) -> None:
    copy.edit_params({"evaluate": {"num_neighbours": 4}})
    assert copy.would_run() == {"evaluate", "report"}


@pytest.mark.usefixtures("params_put_back")
def test_an_inactive_profile_runs_nothing(copy: WorkingCopy) -> None:
    copy.edit_params({"profiles": {"paper": {"diffusion": {"training": {"num_steps": 7_000}}}}})
    assert copy.would_run() == set()


@pytest.mark.usefixtures("params_put_back")
def test_the_two_models_train_independently(copy: WorkingCopy) -> None:
    copy.edit_params({"diffusion": {"loss": "l2"}})
    assert "train_superres" not in copy.would_run()
    copy.edit_params({"diffusion": {"loss": "l1"}, "superres": {"loss": {"l1": 0.9}}})
    assert not {"train_diffusion", "sample"} & copy.would_run()


def test_without_dvc_lock_all_comes_back_from_the_run_cache(copy: WorkingCopy) -> None:
    before = copy.lock()
    (copy.root / "dvc.lock").unlink()
    done = copy.dvc("repro")
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Running stage" not in done.stdout
    assert copy.lock() == before


def test_another_copy_makes_the_same_bytes(copy: WorkingCopy, tmp_path: Path) -> None:
    other = WorkingCopy(tmp_path / "other")
    done = other.dvc("repro")
    assert done.returncode == 0, done.stdout[-4000:]
    ours, theirs = copy.lock(), other.lock()
    differing = {path for path in ours if ours[path] != theirs[path]}
    assert {path for path in differing if not path.startswith("metrics/provenance/")} <= {"metrics/report.html"}
