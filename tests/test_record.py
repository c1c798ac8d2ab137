"""The environment that a record names."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from panodiff.record import describe_environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def described_in(folder: Path) -> dict[str, object]:
    """As seen by a process in `folder`, with torch not imported."""
    code = "import json; from panodiff.record import describe_environment; print(json.dumps(describe_environment()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_versions_and_machine_are_those_of_this_process():
    found = describe_environment()
    assert found["python"] == platform.python_version()
    assert found["torch"]["version"] == torch.__version__
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert len(found["torch"]["gpus"]) == torch.cuda.device_count()
    assert found["cpu_count"] == os.cpu_count()
    assert len(found["packages_sha256"]) == 64
    assert describe_environment() == found


def test_the_commit_is_named_and_whether_tracked_files_differ_from_it(tmp_path: Path):
    assert described_in(tmp_path)["git"] is None
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "dvc.lock").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    clean = described_in(tmp_path)
    assert clean["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    assert clean["torch"] is None
    (tmp_path / "dvc.lock").write_text("2")  # the pipeline's own product
    (tmp_path / "new.txt").write_text("untracked")
    assert described_in(tmp_path)["git"] == clean["git"]
    (tmp_path / "code.py").write_text("2")
    assert described_in(tmp_path)["git"] == clean["git"] | {"dirty": True}  # type: ignore[operator]
