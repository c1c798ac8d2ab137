"""The command `panodiff`: its exit codes, its messages, and how soon it answers."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from small import ROOT, write_small_params

from panodiff.cli import main
from panodiff.files import hash_file, write_json
from panodiff.record import describe_environment

NUMBERS = {"profile": "smoke", "fd_encoder": 0.416, "fd_encoder_real": 0.0876, "psnr_db": 27.5}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as working directory: parameters and pipeline, no results."""
    write_small_params(tmp_path / "params.yaml")
    shutil.copy(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_results(project: Path, numbers: dict) -> None:
    """Results of a run whose stages ended one second after each other, from 2026-01-01 on."""
    write_json(project / "metrics/summary.json", numbers)
    total = {"found": 240, "kept": 200, "duplicate": 30, "rejected": 10, "beside": 5}
    write_json(project / "metrics/data.json", {"total": total})
    for second, name in enumerate(["split", "sample", "evaluate", "report"]):
        record = {
            "stage": name,
            "finished": f"2026-01-01T00:00:0{second}+00:00",
            "seconds_of_last_run": 10.0 * (second + 1),
            "environment": describe_environment(),
        }
        write_json(project / f"metrics/provenance/{name}.json", record)


def test_help_comes_without_loading_what_only_work_needs():
    code = """
import sys
from panodiff.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
assert not {"torch", "pandas", "numpy", "pydantic", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cure"],
        ["weights"],
        ["weights", "fetch"],
        ["weights", "fetch", "a", "--all"],
        ["import"],
        ["import", "encoder", "a.pth", "out"],
        ["import", "superres", "a.pth"],
        ["import", "superres", "a.pth", "out", "--weights", "best"],
    ],
)
def test_wrong_arguments_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: panodiff" in capsys.readouterr().err


def test_wrong_parameters_end_with_2_and_name_the_key(project: Path, capsys: pytest.CaptureFixture[str]):
    write_small_params(project / "params.yaml", {"split": {"test": 0.9}})
    assert main(["summary"]) == 2
    error = capsys.readouterr().err
    assert "split.test" in error
    assert "Traceback" not in error


def test_a_summary_before_any_run_says_what_to_run(project: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["summary"]) == 2
    assert "make repro" in capsys.readouterr().err


def test_a_summary_has_at_most_ten_lines_with_numbers_and_the_report_s_path(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    write_results(project, NUMBERS | {"precision_encoder": 0.5, "recall_encoder": 0.25, "copies": 0.0})
    assert main(["summary", "--since", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 10
    text = "\n".join(lines)
    for expected in ("profile smoke", "0.416", "0.0876", "27.50", "240 radiographs", "phantoms"):
        assert expected in text
    assert lines[-1] == f"Report: {project / 'metrics/report.html'}"


def test_a_summary_tells_stages_that_ran_from_those_that_did_not(project: Path, capsys: pytest.CaptureFixture[str]):
    write_results(project, NUMBERS)
    since = datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC).timestamp()
    assert main(["summary", "--since", str(since)]) == 0
    assert "2 ran (longest: report 40.0 s, evaluate 30.0 s), 2 unchanged" in capsys.readouterr().out


def test_a_number_that_was_not_measured_has_no_line(project: Path, capsys: pytest.CaptureFixture[str]):
    write_results(project, {"profile": "smoke"})
    assert main(["summary"]) == 0
    out = capsys.readouterr().out
    assert "Precision" not in out
    assert "Stages" not in out


def test_results_of_another_profile_are_called_that(project: Path, capsys: pytest.CaptureFixture[str]):
    write_results(project, NUMBERS | {"profile": "paper"})
    assert main(["summary"]) == 0
    out = capsys.readouterr().out
    assert "params.yaml says profile smoke by now" in out
    assert "phantoms" not in out


def catalogued(project: Path, content: bytes) -> Path:
    """A catalogue of one file, `small`, and a folder that holds it."""
    folder = project / "elsewhere"
    folder.mkdir()
    (folder / "small.safetensors").write_bytes(content)
    entry = {
        "file": "small.safetensors",
        "sha256": hash_file(folder / "small.safetensors"),
        "bytes": len(content),
        "licence": "CC0",
        "source": "a test",
        "used_for": "nothing",
    }
    (project / "data/weights").mkdir(parents=True)
    (project / "data/weights/catalogue.yaml").write_text(json.dumps({"small": entry}), encoding="utf-8")
    return folder


def test_weights_are_listed_fetched_and_then_listed_as_installed(project: Path, capsys: pytest.CaptureFixture[str]):
    folder = catalogued(project, b"weights")
    assert main(["weights", "list"]) == 0
    assert "missing" in capsys.readouterr().out
    assert main(["weights", "fetch", "small", "--from", str(folder)]) == 0
    assert main(["weights", "list"]) == 0
    assert "installed" in capsys.readouterr().out
    assert (project / "data/weights/small.safetensors").read_bytes() == b"weights"


def test_weights_that_cannot_be_had_end_with_2(project: Path, capsys: pytest.CaptureFixture[str]):
    catalogued(project, b"weights")
    assert main(["weights", "fetch", "large"]) == 2
    assert "knows no weights 'large'" in capsys.readouterr().err
    assert main(["weights", "fetch", "--all", "--from", str(project)]) == 2
    assert "small.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["diffusion", "superres"])
def test_an_import_that_is_refused_ends_with_2(kind: str, project: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["import", kind, "none.pth", "out"]) == 2
    error = capsys.readouterr().err
    assert "there is no file none.pth" in error
    assert "Traceback" not in error
    assert not (project / "out").exists()


def test_the_doctor_ends_with_1_where_something_is_missing(project: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 1  # dvc is not set up in this folder
    out = capsys.readouterr().out
    assert "problem dvc: not set up in this folder" in out
    assert "→ dvc init" in out
    (project / ".dvc").mkdir()
    (project / ".dvc/config").touch()
    assert main(["doctor"]) == 0
    assert "Nothing stands in the way." in capsys.readouterr().out


def test_the_brief_doctor_says_nothing_but_problems(project: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--brief"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith(" ")]
    assert lines
    assert all(line.startswith("problem") or line == "1 problem" for line in lines)
    (project / ".dvc").mkdir()
    (project / ".dvc/config").touch()
    assert main(["doctor", "--brief"]) == 0
    assert capsys.readouterr().out == ""


def test_a_reader_of_the_output_that_has_seen_enough_leaves_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "panodiff.cli", "weights", "list"]
    ended = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
