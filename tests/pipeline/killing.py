"""Runs of a stage that are killed with signal 9 at random moments, and gone on with."""

import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from working_copy import WorkingCopy

from panodiff.files import fingerprint
from panodiff.pipeline import load_pipeline

KINDS = ("dvc", "stage")
BUDGET = {  # seconds of work each, so that a moment can be drawn
    "encoder": {"training": {"num_steps": 200}},
    "diffusion": {"training": {"num_steps": 150}},
    "superres": {"training": {"num_steps": 80}},
    "sample": {"num_images": 120, "shard_size": 4},
}


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What was killed, how long after the stage's process began, and what the next run said that it had."""

    kind: str
    moment_s: float
    went_on_at: str


class Trials:
    """A copy of the project in which everything before `stage` is done, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path, stage: str, *, patients: int = 4) -> None:
        self.stage, self.copy = stage, WorkingCopy(folder / "copy", patients=patients)
        self.copy.edit_params({"profiles": {"smoke": BUDGET}})
        self.copy.environment["PANODIFF_CHECKPOINT_S"] = "1"
        self.outs = [out for out in load_pipeline(self.copy.root)[stage].outs if "provenance" not in out]
        self._run_to_end()
        lock = yaml.safe_load((self.copy.root / "dvc.lock").read_text(encoding="utf-8"))
        del lock["stages"][stage]
        self._lock_before = yaml.safe_dump(lock)
        self.expected = self.hashes()
        self.reset()
        self.seconds = self._time_stage()
        assert self.hashes() == self.expected, "two undisturbed runs differ"

    def hashes(self) -> dict[str, str]:
        """Of the stage's outputs, but for its record, which names the times."""
        return {out: fingerprint(self.copy.root / out).sha256 for out in self.outs}

    def reset(self) -> None:
        """As if the stage had never run."""
        (self.copy.root / "dvc.lock").write_text(self._lock_before, encoding="utf-8")
        for path in (*self.outs, ".dvc/cache/runs", f".scratch/{self.stage}"):
            shutil.rmtree(self.copy.root / path, ignore_errors=True)

    def run(self, kinds: tuple[str, ...], draw: random.Random) -> list[Kill]:
        """The stage from the start, killed once for each of `kinds`, then run to its end."""
        self.reset()
        killed = []
        for kind in kinds:
            moment = draw.uniform(0.3, self.seconds)
            output = self._kill(kind, moment)
            killed.append((kind, moment, output))
        outputs = [output for _, _, output in killed[1:]] + [self._run_to_end()]
        return [
            Kill(kind=kind, moment_s=moment, went_on_at=_went_on_at(output))
            for (kind, moment, _), output in zip(killed, outputs, strict=True)
        ]

    def _run_to_end(self) -> str:
        done = self.copy.dvc("repro", self.stage)
        if done.returncode:
            raise RuntimeError(f"dvc repro {self.stage} failed:\n{done.stdout[-4000:]}")
        return done.stdout

    def _time_stage(self) -> float:
        process = self.copy.start_dvc("repro", self.stage)
        self._find(process.pid)
        started = time.monotonic()
        process.communicate()
        return time.monotonic() - started

    def _kill(self, kind: str, moment: float) -> str:
        """Start dvc, kill it or the stage `moment` seconds after the stage began; what was printed until all ended."""
        process = self.copy.start_dvc("repro", self.stage)
        stage = self._find(process.pid)
        time.sleep(moment)
        if kind == "dvc":
            process.kill()
        elif stage.is_running():
            stage.kill()
        output, _ = process.communicate()  # ends when the stage has ended too
        return output

    def _find(self, dvc: int) -> psutil.Process:
        """The process of the stage, as soon as dvc has started it."""
        while True:
            for child in psutil.Process(dvc).children(recursive=True):
                try:
                    if f"stages.{self.stage}" in child.cmdline():
                        return child
                except psutil.Error:
                    continue
            time.sleep(0.02)


def _went_on_at(output: str) -> str:
    found = re.search(r"going on at (\d+/\d+ \w+)", output)
    if found:
        return found[1]
    return "the end" if "Running stage" not in output else "the start"
