"""The environment of a run, as it stands in its provenance record."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

import panodiff


def describe_environment() -> dict[str, Any]:
    """Versions, machine and code of this process."""
    return {
        "panodiff": panodiff.__version__,
        "git": _git(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages_sha256": _hash_packages(),
        "torch": _torch() if "torch" in sys.modules else None,
    }


def _git() -> dict[str, Any] | None:
    """Commit, and whether tracked files other than the pipeline's own products differ from it."""
    status = ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!metrics"]
    try:
        commit = _run_git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run_git(*status))}
    except (OSError, subprocess.CalledProcessError):
        return None  # not a git checkout, or no git here


def _run_git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _hash_packages() -> str:
    """SHA-256 of the sorted `name==version` lines of all installed packages."""
    names = sorted({f"{dist.metadata['Name']}=={dist.version}".lower() for dist in metadata.distributions()})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _torch() -> dict[str, Any]:
    import torch  # noqa: PLC0415 - only where the stage has imported it already

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda if gpus else None,
        "driver": _driver() if gpus else None,
        "gpus": gpus,
        "threads": torch.get_num_threads(),
    }


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None
