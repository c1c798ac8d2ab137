"""The contract of a stage, kept by a small one in a project of its own."""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small import ROOT

from panodiff.files import fingerprint, hash_file
from panodiff.params_file import load_params
from panodiff.pipeline import load_pipeline
from panodiff.stage import Stage, StageError, Stopped

DVC_YAML = """
stages:
  tiny:
    cmd: exec python -m stages.tiny
    params: [seed, split, encoder, "profiles.${profile}.encoder"]
    deps: [stages/tiny.py, data/in]
    outs: [data/out, metrics/provenance/tiny.json]
    metrics: [{metrics/tiny.json: {cache: false}}]
"""
# Counts, its state on disk after each count, until the file `finish` is there.
SCRIPT = """
import time
from pathlib import Path
from panodiff.files import write_json, written_whole
from panodiff.stage import run_stage

def run(stage):
    state = stage.scratch / "count"
    count = int(state.read_text()) if state.exists() else 0
    print("at", count, flush=True)
    while not Path("finish").exists():
        stage.check_stop()
        count += 1
        with written_whole(state) as aside:
            aside.write_text(str(count))
        if count % 5 == 0:
            print("at", count, flush=True)
        time.sleep(0.01)
    out = stage.out("data/out")
    out.mkdir(parents=True, exist_ok=True)
    (out / "seed.txt").write_text(str(stage.params.seed))
    (out / "copy.txt").write_text(stage.dep("data/in/a.txt").read_text())
    stage.notes["counted"] = True
    write_json(stage.out("metrics/tiny.json"), {"profile": stage.params.profile})

if __name__ == "__main__":
    run_stage(run, "tiny")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a pipeline of one stage."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").touch()
    (tmp_path / "stages" / "tiny.py").write_text(SCRIPT)
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "a.txt").write_text("a")
    return tmp_path


Process = subprocess.Popen[str]
COMMAND = [sys.executable, "-B", "-m", "stages.tiny"]


@contextmanager
def started(project: Path, **environment: str) -> Iterator[Process]:
    """The stage at work, in its second round of counting at least."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(COMMAND, cwd=project, env=os.environ | environment, **pipes)  # type: ignore[call-overload]
    try:
        until_counting(process)
        yield process
    finally:
        process.kill()
        process.communicate()


def until_counting(process: Process) -> int:
    """Wait for two lines; the first says where the stage began."""
    assert process.stdout
    first, second = process.stdout.readline(), process.stdout.readline()
    assert (first[:3], second[:3]) == ("at ", "at "), process.stderr and process.stderr.read()
    return int(first.split()[1])


def finish(project: Path, process: Process) -> tuple[int, str]:
    """Let the stage end; its exit code and what it complained."""
    (project / "finish").touch()
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def run_to_end(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (project / "finish").touch()
    return subprocess.run(
        COMMAND, cwd=project, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


def scratch(project: Path) -> Path:
    """The one folder of state."""
    (folder,) = [path for path in (project / ".scratch" / "tiny").iterdir() if path.is_dir()]
    return folder


def products(project: Path) -> list[str]:
    paths = [path for folder in ("data/out", "metrics") for path in (project / folder).rglob("*") if path.is_file()]
    return sorted(path.relative_to(project).as_posix() for path in paths)


ALL_PRODUCTS = ["data/out/copy.txt", "data/out/seed.txt", "metrics/provenance/tiny.json", "metrics/tiny.json"]


def test_outputs_appear_whole_at_the_end(project: Path):
    with started(project) as process:
        assert products(project) == []
        assert finish(project, process) == (0, "")
    assert products(project) == ALL_PRODUCTS
    assert scratch(project).suffix == ".finished"
    assert not list(project.rglob("*.partial"))


def test_a_finished_stage_that_dvc_could_not_record_ends_from_its_last_state(project: Path):
    with started(project) as process:
        assert process.stdout
        while "at 5" not in process.stdout.readline():
            pass
        assert finish(project, process) == (0, "")
    counted = int((scratch(project) / "count").read_text())
    again = run_to_end(project)
    assert again.stdout.startswith(f"at {counted}\n")
    assert products(project) == ALL_PRODUCTS


def test_the_state_of_a_finished_stage_goes_when_the_next_stage_starts(project: Path):
    other = project / ".scratch" / "other" / "0123456789abcdef.finished"
    other.mkdir(parents=True)
    assert run_to_end(project).returncode == 0
    assert not other.exists()


def test_outputs_replace_those_of_an_earlier_run_whole(project: Path):
    (project / "data" / "out").mkdir()
    (project / "data" / "out" / "old.txt").write_text("old")
    assert run_to_end(project).returncode == 0
    assert products(project) == ALL_PRODUCTS


def test_the_record_says_where_everything_came_from(project: Path):
    with started(project) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    assert run_to_end(project).returncode == 0
    record = json.loads((project / "metrics/provenance/tiny.json").read_text())
    assert record["stage"] == "tiny"
    assert record["profile"] == "smoke"
    assert record["cmd"] == "exec python -m stages.tiny"
    assert len(record["fingerprint"]) == 64
    params = load_params(project / "params.yaml")
    assert record["params"]["profiles.smoke.encoder"]["embed_dim"] == 64
    assert record["params"]["encoder"]["embed_dim"] == 128
    assert record["resolved_params"] == {
        "seed": params.seed,
        "split": params.split.model_dump(),
        "encoder": params.encoder.model_dump(mode="json"),
    }
    script = hash_file(project / "stages/tiny.py")
    assert record["inputs"]["stages/tiny.py"] == {"sha256": script, "num_files": 1, "num_bytes": len(SCRIPT)}
    assert record["inputs"]["data/in"]["sha256"] == fingerprint(project / "data/in").sha256
    assert record["outputs"]["data/out"]["sha256"] == fingerprint(project / "data/out").sha256
    assert record["outputs"]["data/out"]["num_files"] == 2
    assert record["outputs"]["metrics/tiny.json"]["sha256"] == hash_file(project / "metrics/tiny.json")
    assert set(record["outputs"]) == {"data/out", "metrics/tiny.json"}
    assert record["started"] <= record["finished"]
    assert record["resumes"] == 1
    assert record["world_size"] == 1
    assert record["notes"] == {"counted": True}
    assert {"git", "python", "packages_sha256", "torch", "platform", "panodiff"} <= set(record["environment"])


EDITS = {
    "stages/tiny.py": lambda project: (project / "stages/tiny.py").open("a").write("\n# edited"),
    "data/in": lambda project: (project / "data/in/a.txt").write_text("b"),
    "data/in, a new file": lambda project: (project / "data/in/b.txt").write_text("b"),
    "data/in, gone": lambda project: shutil.rmtree(project / "data/in"),
    "params.yaml": lambda project: replace(project / "params.yaml", "\nseed: 1 ", "\nseed: 2 "),
    "params.yaml, the overlay": lambda project: replace(project / "params.yaml", "embed_dim: 64", "embed_dim: 32"),
    "dvc.yaml": lambda project: replace(project / "dvc.yaml", "[stages/tiny.py, data/in]", "[data/in]"),
}


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_while_the_stage_runs_is_refused_at_the_end(project: Path, edit: str):
    with started(project) as process:
        EDITS[edit](project)
        code, errors = finish(project, process)
    assert code == (2 if edit != "data/in, gone" else process.returncode) != 0
    assert products(project) == []
    assert (scratch(project) / "count").exists()
    if edit != "data/in, gone":
        assert f"tiny: {edit.partition(',')[0]} changed while the stage ran" in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("touch", ["stages/tiny.py", "data/in/a.txt", "params.yaml", "another section"])
def test_a_touch_or_an_edit_elsewhere_is_no_change(project: Path, touch: str):
    with started(project) as process:
        if touch == "another section":
            replace(project / "params.yaml", "time_limit_s: 12", "time_limit_s: 13")
        else:
            os.utime(project / touch, (1, 1))
        assert finish(project, process) == (0, "")
    assert products(project) == ALL_PRODUCTS


def test_an_edit_between_hashing_and_the_first_line_of_work_is_refused_too(project: Path):
    """The code is hashed first, then a large dependency: an edit of the code meanwhile must not go unseen."""
    with (project / "data" / "in" / "large").open("wb") as file:
        file.truncate(1_500_000_000)
    (project / "finish").touch()
    process = subprocess.Popen(COMMAND, cwd=project, stderr=subprocess.PIPE, text=True)
    large = str(project / "data" / "in" / "large")
    while process.poll() is None and large not in opened_by(process.pid):
        time.sleep(0.005)
    EDITS["stages/tiny.py"](project)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "stages/tiny.py changed while the stage ran" in errors


def opened_by(pid: int) -> list[str]:
    try:
        return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def test_after_an_edit_is_undone_the_stage_finishes_what_it_had(project: Path):
    with started(project) as process:
        EDITS["data/in"](project)
        assert finish(project, process)[0] == 2
    counted = int((scratch(project) / "count").read_text())
    (project / "data" / "in" / "a.txt").write_text("a")
    done = run_to_end(project)
    assert (done.returncode, done.stdout) == (0, f"at {counted}\n")


def test_other_inputs_never_find_the_state_of_these(project: Path):
    with started(project) as process:
        EDITS["params.yaml"](project)
        assert finish(project, process)[0] == 2
    done = run_to_end(project)
    assert (done.returncode, done.stdout) == (0, "at 0\n")
    assert (project / "data" / "out" / "seed.txt").read_text() == "2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_with_75_and_its_state_kept(project: Path, number: signal.Signals):
    with started(project) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 75
    assert "run again to go on" in errors
    assert "Traceback" not in errors
    assert products(project) == []
    counted = int((scratch(project) / "count").read_text())
    assert counted >= 5
    assert run_to_end(project).stdout == f"at {counted}\n"


def test_the_same_signal_twice_in_a_row_is_one_request(project: Path):
    """A scheduler signals every process of a job, and torchrun its workers once more."""
    with started(project) as process:
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert process.wait(60) == 75


def test_the_same_signal_much_later_ends_a_stage_that_does_not_listen(project: Path):
    replace(project / "stages" / "tiny.py", "stage.check_stop()", "pass")
    with started(project) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(1.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT


def test_a_stage_left_by_kill_9_goes_on(project: Path):
    with started(project) as process:
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    counted = int((scratch(project) / "count").read_text())
    assert counted >= 5
    assert run_to_end(project).stdout == f"at {counted}\n"
    assert json.loads((project / "metrics/provenance/tiny.json").read_text())["resumes"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is told on Linux only")
def test_the_death_of_the_parent_ends_the_stage_with_75_and_its_state_kept(project: Path):
    set_child_subreaper = 36  # the orphan becomes this process's child, which can then ask for its exit code
    ctypes.CDLL(None).prctl(set_child_subreaper, 1)
    code = f"import subprocess, time; print(subprocess.Popen({COMMAND!r}).pid, flush=True); time.sleep(600)"
    pipes = {"stdout": subprocess.PIPE, "text": True}
    parent: Process = subprocess.Popen([sys.executable, "-c", code], cwd=project, **pipes)  # type: ignore[call-overload]
    assert parent.stdout
    lines = [parent.stdout.readline() for _ in range(3)]
    pid = next(int(line) for line in lines if line.strip().isdigit())
    parent.kill()
    parent.wait()
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    finally:
        ctypes.CDLL(None).prctl(set_child_subreaper, 0)
    counted = int((scratch(project) / "count").read_text())
    assert run_to_end(project).stdout == f"at {counted}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is told on Linux only")
def test_the_death_of_the_parent_reaches_the_processes_of_torchrun(project: Path):
    replace(project / "stages" / "tiny.py", 'run_stage(run, "tiny")', 'run_stage(run, "tiny", distributed=True)')
    start = "def run(stage):\n    import os; from panodiff.launch import start_torch\n    start_torch()\n"
    start += "    (stage.scratch / f\"pid{os.environ['RANK']}\").write_text(str(os.getpid()))"
    replace(project / "stages" / "tiny.py", "def run(stage):", start)
    replace(project / "stages" / "tiny.py", 'stage.scratch / "count"', "stage.scratch / f\"count{os.environ['RANK']}\"")
    code = f"import subprocess, time; print(subprocess.Popen({COMMAND!r}).pid, flush=True); time.sleep(600)"
    environment = os.environ | {"PANODIFF_NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}
    with (project / "log").open("w") as log:
        parent = subprocess.Popen([sys.executable, "-c", code], cwd=project, env=environment, stdout=log)
    assert within(120, lambda: all(number_in(project, f"count{rank}") >= 5 for rank in range(2)))
    pids = [int((project / "log").read_text().split()[0]), *(number_in(project, f"pid{rank}") for rank in range(2))]
    assert all(map(is_running, pids))
    parent.kill()
    parent.wait()
    assert within(60, lambda: not any(map(is_running, pids)))
    assert number_in(project, "count0") >= 5
    assert products(project) == []


def number_in(project: Path, name: str) -> int:
    """What a process wrote to this file of the scratch folder, -1 before it did."""
    found = [path.read_text() for path in (project / ".scratch").glob(f"tiny/*/{name}")]
    return int(found[0]) if found and found[0] else -1


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until it holds; False where it does not in this time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def is_running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_second_run_waits_for_the_first_and_goes_on_from_its_last_state(project: Path):
    with started(project) as first:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        second: Process = subprocess.Popen(COMMAND, cwd=project, **pipes)  # type: ignore[call-overload]
        assert second.stdout
        ready, _, _ = select.select([second.stdout], [], [], 1.5)
        assert not ready, second.stdout.readline()
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 75
        counted = int(second.stdout.readline().split()[1])
        assert counted >= int(first.stdout.read().split()[-1])  # type: ignore[union-attr]
        assert finish(project, second) == (0, "")
    assert products(project) == ALL_PRODUCTS


def test_a_run_killed_while_it_clears_up_leaves_no_half_of_its_state(project: Path):
    """Half a scratch folder would look like finished pieces to the next run with the same inputs."""
    replace(
        project / "stages" / "tiny.py",
        '    out = stage.out("data/out")\n',
        '    (stage.scratch / "pieces").mkdir()\n'
        "    for number in range(8000):\n"
        '        (stage.scratch / "pieces" / str(number)).touch()\n'
        '    out = stage.out("data/out")\n',
    )
    (project / "finish").touch()
    process = subprocess.Popen(COMMAND, cwd=project)
    while process.poll() is None and not (project / "metrics/provenance/tiny.json").exists():
        time.sleep(0.0005)
    time.sleep(0.005)
    process.kill()
    process.wait()
    for folder in (project / ".scratch" / "tiny").iterdir():
        if folder.is_dir() and not folder.suffix:
            assert len(list((folder / "pieces").iterdir())) == 8000
    replace(project / "stages" / "tiny.py", '"pieces").mkdir()', '"pieces").mkdir(exist_ok=True)')
    assert run_to_end(project).returncode == 0


@pytest.mark.parametrize(
    ("variable", "text"),
    [("PANODIFF_NPROC", "two"), ("PANODIFF_CHECKPOINT_S", "0"), ("PANODIFF_WORKERS", "-1")],
)
def test_nonsense_in_the_environment_is_refused_before_any_work(project: Path, variable: str, text: str):
    replace(project / "stages" / "tiny.py", 'run_stage(run, "tiny")', 'run_stage(run, "tiny", distributed=True)')
    done = run_to_end(project, **{variable: text})
    assert done.returncode == 2
    assert done.stderr.strip() == f"the environment variable {variable} must be a whole number from 1, got {text!r}"
    assert not (project / ".scratch").exists()
    assert products(project) == []


@pytest.mark.parametrize(("dep", "advice"), [("data/in", "run `dvc repro`"), ("data/raw/smoke/x", "README")])
def test_a_missing_dependency_says_what_to_do(project: Path, dep: str, advice: str):
    replace(project / "dvc.yaml", "data/in", dep)
    shutil.rmtree(project / "data" / "in")
    done = run_to_end(project)
    assert done.returncode == 2
    assert f"{dep} is missing" in done.stderr
    assert advice in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_that_dvc_yaml_does_not_have_is_told_so(project: Path):
    replace(project / "dvc.yaml", "  tiny:\n", "  other:\n")
    done = run_to_end(project)
    assert done.returncode == 2
    assert "dvc.yaml has no stage tiny" in done.stderr


def test_a_wrong_value_of_the_work_ends_with_its_message_and_a_bug_with_its_traceback(project: Path):
    replace(
        project / "stages" / "tiny.py",
        'print("at", count, flush=True)\n    while',
        'raise ValueError("no image")\n    while',
    )
    done = run_to_end(project)
    assert (done.returncode, done.stderr.strip()) == (2, "no image")
    replace(project / "stages" / "tiny.py", 'ValueError("no image")', "IndexError")
    done = run_to_end(project)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert products(project) == []


def test_an_output_that_was_not_written_is_an_error_and_nothing_is_put_in_place(project: Path):
    replace(project / "stages" / "tiny.py", "    write_json(stage.out", "    False and write_json(stage.out")
    done = run_to_end(project)
    assert done.returncode == 2
    assert "metrics/tiny.json is missing" in done.stderr
    assert products(project) == []


def test_paths_that_dvc_yaml_does_not_list_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    stage = Stage(load_pipeline()["tiny"], load_params())
    assert stage.dep("data/in/a.txt") == Path("data/in/a.txt")
    with pytest.raises(AssertionError, match="does not list data/other among the deps of tiny"):
        stage.dep("data/other")
    with pytest.raises(AssertionError, match="does not list data/ou among the outs of tiny"):
        stage.out("data/ou")
    stage.refuse_if_changed()
    EDITS["data/in"](project)
    with pytest.raises(StageError, match="data/in changed"):
        stage.refuse_if_changed()
    stage.check_stop()
    stage.request_stop(signal.SIGTERM)
    with pytest.raises(Stopped):
        stage.check_stop()


def test_the_fingerprint_follows_every_input_and_nothing_else(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)

    def current() -> str:
        return Stage(load_pipeline()["tiny"], load_params()).fingerprint

    first = current()
    replace(project / "params.yaml", "time_limit_s: 12", "time_limit_s: 13")
    os.utime(project / "data/in/a.txt", (1, 1))
    assert current() == first
    seen = {first}
    for edit in ("stages/tiny.py", "data/in", "params.yaml", "params.yaml, the overlay", "dvc.yaml"):
        EDITS[edit](project)
        assert current() not in seen, edit
        seen.add(current())
