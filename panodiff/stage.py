"""The contract that every stage keeps: what it may read, how its outputs appear, how it stops and what it records.

    def run(stage: Stage) -> None:
        make(stage.params.sample, stage.dep("data/models/diffusion"), stage.out("data/synthetic/low"))

    if __name__ == "__main__":
        run_stage(run, "sample")

Around `run`: the parameters are checked before any work; dependencies are hashed at the start, and if one has
changed by the end the stage refuses to finish (dvc hashes them afterwards and would record the new ones for work
done with the old); outputs are written in a scratch folder and moved into place whole; a stop (SIGTERM, SIGINT, the
parent's death) raises `Stopped` at the next `stage.check_stop()`, and the process exits with 75 after the work has
saved its state in `stage.scratch`, where the next run with the same inputs goes on.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from panodiff import launch
from panodiff.files import Fingerprint, fingerprint, move_whole, stat_signature, write_json
from panodiff.params import Params
from panodiff.params_file import ParamsError, load_params, read_tracked
from panodiff.pipeline import StageDefinition, load_pipeline, lookup
from panodiff.record import EnergyMeter, describe_environment

EXIT_STOPPED = 75  # EX_TEMPFAIL: run again and it goes on
EXIT_REFUSED = 2
SCRATCH = Path(".scratch")


class Stopped(Exception):  # noqa: N818 - not an error: the run was asked to stop, and can go on
    """The stage was asked to stop and has saved its state."""


class StageError(Exception):
    """The stage cannot start or must not finish; the message says why and what to do."""


class Stage:
    """What a running stage may use: its parameters, its dependencies, places for its outputs, its scratch folder."""

    def __init__(self, definition: StageDefinition, params: Params) -> None:
        """Hash the dependencies and take the scratch folder of this stage with these inputs."""
        self.definition, self.params = definition, params
        self.tracked = read_tracked(definition.params)
        # Signatures first: an edit between the two, which takes minutes with large data, must show at the end.
        self._signatures = {dep: stat_signature(Path(dep)) for dep in definition.deps}
        self.inputs = {dep: _known(dep) for dep in definition.deps}
        sha256 = {dep: known.sha256 for dep, known in self.inputs.items()}
        self.fingerprint = combine(definition.name, self.tracked, sha256)
        self.scratch = SCRATCH / definition.name / self.fingerprint[:16]
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.notes: dict[str, Any] = {}  # what the record should say besides: times, throughput
        self._stop_signal: int | None = None
        self._stop_time = 0.0

    @property
    def item(self) -> str:
        """The item of a matrix stage."""
        return self.definition.name.partition("@")[2]

    def dep(self, path: str) -> Path:
        """The path of a declared dependency, or of something inside one."""
        if not any(Path(path).is_relative_to(dep) for dep in self.definition.deps):
            raise AssertionError(f"dvc.yaml does not list {path} among the deps of {self.definition.name}")
        return Path(path)

    def out(self, path: str) -> Path:
        """Where to write a declared output; it is moved to `path` when the stage has finished."""
        if path not in self.definition.outs:
            raise AssertionError(f"dvc.yaml does not list {path} among the outs of {self.definition.name}")
        aside = self.scratch / "outs" / path
        aside.parent.mkdir(parents=True, exist_ok=True)
        return aside

    def check_stop(self) -> None:
        """Call between pieces of work, when all finished ones are on disk.

        Raises:
            Stopped: The stage was asked to stop.
        """
        if self.stop_requested():
            raise Stopped

    def stop_requested(self) -> bool:
        """Whether the stage was asked to stop."""
        return self._stop_signal is not None

    def request_stop(self, number: int, _frame: FrameType | None = None) -> None:
        """Take a signal; the same one again, over a second later, ends the process at once.

        Torchrun and schedulers send the same signal to a process both, one right after the other.
        """
        if self._stop_signal == number and time.monotonic() - self._stop_time > 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self._stop_signal != number:
            self._stop_signal, self._stop_time = number, time.monotonic()

    def refuse_if_changed(self) -> None:
        """Compare the dependencies and parameters with those of the start.

        Raises:
            StageError: One of them is another now.
        """
        changed = [dep for dep in self.definition.deps if self._has_changed(dep)]
        if read_tracked(self.definition.params) != self.tracked:
            changed.append("params.yaml")
        if load_pipeline().get(self.definition.name) != self.definition:
            changed.append("dvc.yaml")
        if changed:
            raise StageError(
                f"{self.definition.name}: {', '.join(changed)} changed while the stage ran, so its outputs do not "
                f"belong to what dvc would record. Nothing was put in place; what was computed is kept in "
                f"{self.scratch}. Undo the edit to finish it, or run again with the edit to start anew."
            )

    def _has_changed(self, dep: str) -> bool:
        path = Path(dep)
        if not path.exists():
            return True
        return stat_signature(path) != self._signatures[dep] and fingerprint(path) != self.inputs[dep]


def run_stage(
    run: Callable[[Stage], None],
    name: str,
    *,
    distributed: bool = False,
    before: Callable[[Params], None] | None = None,
) -> None:
    """Run one stage of dvc.yaml from the command line, under the contract; ends the process.

    A matrix stage takes its item as the only argument.

    Args:
        run: The work.
        name: The stage's name in dvc.yaml, without an item.
        distributed: The stage's processes share the work when several are asked for.
        before: Called before the dependencies are hashed.
    """
    arguments = sys.argv[1:]
    _stop_with_parent()
    try:
        launch.check_environment()
        if distributed:
            launch.become_torchrun(f"stages.{name}", arguments)
        stage, lock = _start("@".join([name, *arguments]), before)
    except (StageError, ParamsError, ValueError) as error:
        _leave(error)
    started, energy = datetime.now(UTC), EnergyMeter()
    try:
        run(stage)
        launch.barrier()
        if launch.rank() == 0:
            _finish(stage, started, energy)
    except Stopped:
        print(f"{stage.definition.name}: stopped; run again to go on ({stage.scratch})", file=sys.stderr, flush=True)
        sys.exit(EXIT_STOPPED)
    except (StageError, ParamsError, ValueError) as error:
        _leave(error)
    finally:
        lock.close()


def _start(name: str, before: Callable[[Params], None] | None) -> tuple[Stage, IO[str]]:
    load_params()
    if name not in load_pipeline():
        raise StageError(f"dvc.yaml has no stage {name}; `dvc stage list` shows those that it has")
    lock = _lock(name)
    definition, params = load_pipeline()[name], load_params()  # after the wait: what holds now
    if before:
        before(params)
    stage = Stage(definition, params)
    if load_params() != params:
        raise StageError("params.yaml changed while the stage started: run again")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stage.request_stop)
    if launch.rank() == 0:
        _tidy(stage.scratch)
        shutil.rmtree(stage.scratch / "outs", ignore_errors=True)  # half-written ones of a run that was killed
        _count_start(stage)
    return stage, lock


def _finished(scratch: Path) -> Path:
    return scratch.with_suffix(".finished")


def _tidy(scratch: Path) -> None:
    """Remove what finished stages left, since dvc has recorded them by now, all but this one's own.

    If dvc was killed before it could record a stage, the same work is asked for again: its state is taken back, and
    the stage ends as soon as it has loaded it.
    """
    own = _finished(scratch)
    for finished in SCRATCH.glob("*/*.finished"):
        if finished != own:
            shutil.rmtree(finished.replace(finished.with_suffix(".removed")), ignore_errors=True)
    for removed in SCRATCH.glob("*/*.removed"):  # of a process that was killed while it removed them
        shutil.rmtree(removed, ignore_errors=True)
    if own.is_dir() and not any(scratch.iterdir()):
        scratch.rmdir()
        own.replace(scratch)
    shutil.rmtree(own, ignore_errors=True)


def _lock(name: str) -> IO[str]:
    """Hold the stage's lock, waiting for a run of the same stage that is still saving its state."""
    path = SCRATCH / name / f"lock-{launch.rank()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    for _ in range(600):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            time.sleep(0.1)
    raise StageError(f"another run of {name} is at work in this folder: wait for it, or stop it")


def _stop_with_parent() -> None:
    """Ask Linux to send SIGTERM when dvc dies (torchrun inherits this); elsewhere an orphan works to its end."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
        is_orphan = os.getppid() == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes()  # in a container dvc is 1
        if is_orphan and os.environ.get("DVC_STAGE"):  # dvc died before the line above
            os.kill(os.getpid(), signal.SIGTERM)


def _count_start(stage: Stage) -> None:
    """Note this start beside the checkpoints: the record counts the resumes."""
    with (stage.scratch / "starts").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n")


def _finish(stage: Stage, started: datetime, energy: EnergyMeter) -> None:
    record = f"metrics/provenance/{stage.definition.name}.json"
    outs = [out for out in stage.definition.outs if out != record]
    stage.check_stop()
    stage.refuse_if_changed()
    outputs = {out: _known(str(stage.out(out))) for out in outs}
    for out in outs:
        move_whole(stage.out(out), Path(out))
    starts = (stage.scratch / "starts").read_text(encoding="utf-8").split()
    content = _record(stage, started, starts, outputs) | {"energy_j": energy.joules()}
    write_json(Path(record), content)
    stage.scratch.replace(_finished(stage.scratch))


def _record(stage: Stage, started: datetime, starts: list[str], outputs: dict[str, Fingerprint]) -> dict[str, Any]:
    finished = datetime.now(UTC)
    return {
        "stage": stage.definition.name,
        "profile": stage.params.profile,
        "fingerprint": stage.fingerprint,
        "cmd": stage.definition.cmd,
        "params": stage.tracked,
        "resolved_params": _resolve(stage),
        "inputs": {path: asdict(known) for path, known in stage.inputs.items()},
        "outputs": {path: asdict(known) for path, known in outputs.items()},
        "started": starts[0],
        "finished": finished.isoformat(timespec="seconds"),
        "seconds_of_last_run": round((finished - started).total_seconds(), 1),
        "resumes": len(starts) - 1,
        "world_size": launch.world_size(),
        "notes": stage.notes,
        "environment": describe_environment(),
    }


def _resolve(stage: Stage) -> dict[str, Any]:
    """The tracked sections as the stage used them, the profile's overlay laid over the base."""
    resolved = stage.params.model_dump(mode="json")
    return {key: lookup(resolved, key) for key in stage.definition.params if not key.startswith("profiles.")}


def _known(path: str) -> Fingerprint:
    try:
        return fingerprint(Path(path))
    except FileNotFoundError:
        raise StageError(_missing(path)) from None


def _missing(path: str) -> str:
    if path.startswith("data/raw/"):
        return (
            f"{path} is missing: put the images of this source there (README, “Your data”), "
            f"or take its name out of `sources` in params.yaml"
        )
    return f"{path} is missing: run `dvc repro`, which makes it first"


def combine(name: str, tracked: dict[str, Any], inputs: dict[str, str]) -> str:
    """The fingerprint of a stage: of its name, its parameters by key and the SHA-256 of its inputs by path."""
    content = {"stage": name, "params": tracked, "inputs": inputs}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _leave(error: Exception) -> NoReturn:
    print(f"\n{error}\n", file=sys.stderr, flush=True)
    sys.exit(EXIT_REFUSED)
