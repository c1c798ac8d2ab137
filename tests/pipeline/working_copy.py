"""Copies of the project in which the tests run the real pipeline, at a budget that takes a minute."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
TINY: dict[str, Any] = {  # laid over profiles.smoke: everything is there, little of it
    "encoder": {
        "training": {"num_steps": 30, "batch_size": 16, "learning_rate": 4.0e-3, "warmup_steps": 5, "log_every": 5}
    },
    "diffusion": {
        "network": {"widths": [16, 32, 32, 32], "attention": [False, False, True], "patch_size": 2},
        "training": {
            "num_steps": 80,
            "batch_size": 8,
            "learning_rate": 4.0e-3,
            "warmup_steps": 5,
            "ema_decay": 0.9,
            "log_every": 5,
        },
    },
    "superres": {"training": {"num_steps": 60, "warmup_steps": 5, "log_every": 5}},
    "sample": {"num_images": 12, "num_inference_steps": 5, "batch_size": 4, "shard_size": 4},
    "upscale": {"batch_size": 2, "shard_size": 4},
    "study": {"num_real": 4, "num_synthetic": 4},
    "report": {"num_samples": 4, "num_pairs": 1},
}


class WorkingCopy:
    """A copy of the project's files, as they stand, in a git repository of its own with an empty dvc cache."""

    def __init__(self, root: Path, *, patients: int = 12) -> None:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in filter(None, names):
            if (PROJECT / name).is_file() and not name.startswith(("tests/", "docs/", "metrics/", "dvc.lock")):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, root / name)
        self.root = root
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(root.parent / f"{root.name}-site-cache"),
        }
        self.edit_params({"phantoms": {"num_patients": patients}, "profiles": {"smoke": TINY}})
        for command in (["init", "-q"], ["add", "-A"], [*AUTHOR, "commit", "-qm", "as it stands"]):
            subprocess.run(["git", *command], cwd=root, check=True)

    def edit_params(self, changes: dict[str, Any]) -> None:
        """Lay `changes` over params.yaml."""
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        _lay_over(params, changes)
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def dvc(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run dvc to its end; standard error is with standard output."""
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def start_dvc(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start dvc in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def would_run(self, *arguments: str) -> set[str]:
        """The stages that `dvc repro` would run now."""
        done = self.dvc("repro", "--dry", *arguments)
        assert done.returncode == 0, done.stdout[-4000:]  # else nothing to run could be an error
        return {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}

    def lock(self) -> dict[str, str]:
        """Output path → md5, of all stages in dvc.lock."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def _lay_over(base: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _lay_over(base[key], value)
        else:
            base[key] = value
