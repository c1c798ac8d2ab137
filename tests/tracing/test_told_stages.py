"""What is told of a stage's record, in which parameters, and how it is laid out."""

from pathlib import Path
from typing import Any

import pytest

from panodiff.params_file import load_params
from panodiff.pipeline import load_pipeline, lookup
from panodiff.tracing.lines import as_lines
from panodiff.tracing.stages import TELLING, about_stage, in_short

PROJECT = Path(__file__).parents[2]


def record(**environment: Any) -> dict[str, Any]:
    """Of a stage sample; `environment` is laid over that of a machine without GPU."""
    plain = {
        "git": {"commit": "c" * 40, "dirty": False},
        "python": "3.11.7",
        "platform": "Linux",
        "packages_sha256": "e" * 64,
        "torch": {"version": "2.14.1", "gpus": [], "threads": 3},
    }
    return {
        "stage": "sample",
        "fingerprint": "f" * 64,
        "resolved_params": {"seed": 7, "sample": {"sampler": "ddim", "eta": 0.5}, "sampled": 1, "report": {"pairs": 2}},
        "started": "2026-01-31T09:07:09+00:00",
        "finished": "2026-01-31T09:08:10+00:00",
        "resumes": 2,
        "environment": plain | environment,
    }


def test_a_stage_tells_code_telling_parameters_environment_and_time():
    facts = dict(about_stage(record()))
    assert facts["code"] == f"commit {'c' * 40}, nothing uncommitted"
    assert facts["parameters"].startswith("seed 7, sample.sampler ddim, sample.eta 0.5; all of them in metrics/prov")
    assert facts["fingerprint"] == "f" * 64
    assert facts["environment"] == f"Python 3.11.7; torch 2.14.1, CPU, 3 threads; Linux; packages {'e' * 16}"
    assert facts["ran"] == "2026-01-31 09:07:09 to 2026-01-31 09:08:10 UTC, 2 resumes"


def test_uncommitted_changes_and_a_missing_checkout_are_told():
    dirty = record(git={"commit": "c" * 40, "dirty": True})
    assert "with UNCOMMITTED changes" in dict(about_stage(dirty))["code"]
    assert in_short(dirty).startswith(f"commit {'c' * 12}, with UNCOMMITTED changes; fingerprint {'f' * 16};")
    assert dict(about_stage(record(git=None)))["code"] == "outside a git checkout"


def test_gpus_are_named_and_a_stage_without_pytorch_tells_none():
    torch = {"version": "2.14.1", "gpus": ["One", "Two"], "threads": 1}
    assert "torch 2.14.1, One, Two, 1 threads" in dict(about_stage(record(torch=torch)))["environment"]
    assert "torch" not in dict(about_stage(record(torch=None)))["environment"]


@pytest.mark.parametrize("stage", sorted(TELLING))
def test_telling_parameters_are_among_those_that_the_stage_tracks(stage: str):
    definitions = [each for each in load_pipeline(PROJECT).values() if each.name.partition("@")[0] == stage]
    resolved = load_params(PROJECT / "params.yaml").model_dump(mode="json")
    for definition in definitions:
        for name in TELLING[stage]:
            lookup(resolved, name)
            assert any(
                f"{tracked}.".startswith(f"{name}.") or f"{name}.".startswith(f"{tracked}.")
                for tracked in definition.params
            ), name
    assert definitions


def test_facts_stand_in_one_column_and_long_ones_go_on_below():
    lines = as_lines([("One", [("a", "word " * 40), ("long name", "x")]), ("Two", [("b", "y")])])
    assert lines[0] == "One" and lines[1].startswith("  a          word")
    assert lines[2].startswith(" " * 13 + "word") and all(len(line) <= 118 for line in lines)
    assert lines[3:] == ["  long name  x", "", "Two", "  b  y"]


def test_a_hash_is_never_broken():
    path = f"data/{'x' * 130}"
    assert any(path in line for line in as_lines([("One", [("file", f"is {path}")])]))
