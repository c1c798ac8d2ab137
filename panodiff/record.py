"""The environment of a run and the energy that it took, as they stand in its provenance record."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from threading import Event, Thread
from typing import Any

import panodiff

_POWERCAP = Path("/sys/class/powercap")  # where Linux counts what CPU packages take (RAPL, Intel and AMD)
_SAMPLE_S = 60.0  # a counter of 2^18 J begins anew after six minutes at 700 W


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


class EnergyMeter:
    """Counts what this machine's CPU packages, and the GPUs that the process uses, take from its making on.

    The counters are the hardware's: whatever else runs on the same packages and GPUs is in them.
    """

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        """Read all counters for the first time."""
        self._cpu, self._gpu = _CpuCounter(powercap), _GpuCounter()

    def joules(self) -> dict[str, Any]:
        """End the count: joules by `cpu` and `gpu`, and in `absent` why one of them is not there."""
        found: dict[str, Any] = {}
        absent = {}
        for name, joules in (("cpu", self._cpu.joules), ("gpu", lambda: self._gpu.joules(_gpus_in_use()))):
            try:
                found[name] = round(joules(), 1)
            except _NotReadable as error:
                absent[name] = str(error)
        return found | ({"absent": absent} if absent else {})


class _NotReadable(Exception):  # noqa: N818 - no fault: many machines do not tell
    """A counter cannot be read; the message says why."""


class _CpuCounter:
    """The packages' counters, read every minute: they begin anew at `max_energy_range_uj`."""

    def __init__(self, powercap: Path) -> None:
        self._powercap, self._total_uj, self._reason = powercap, 0, ""
        self._last_uj = self._read()
        self._done = Event()
        self._sampler = Thread(target=self._sample, name="energy", daemon=True)
        self._sampler.start()

    def joules(self) -> float:
        self._done.set()
        self._sampler.join()
        self._advance()
        if self._reason:
            raise _NotReadable(self._reason)
        return self._total_uj / 1e6

    def _sample(self) -> None:
        while not self._reason and not self._done.wait(_SAMPLE_S):
            self._advance()

    def _advance(self) -> None:
        now_uj = self._read()
        if not self._reason and len(now_uj) != len(self._last_uj):
            self._reason = f"{self._powercap} has other counters than at the start"
        if not self._reason:
            self._total_uj += sum(
                (now - last) % size for (now, size), (last, _) in zip(now_uj, self._last_uj, strict=True)
            )
            self._last_uj = now_uj

    def _read(self) -> list[tuple[int, int]]:
        """Count and range of each package; parts of a package, and the whole platform, would count twice."""
        try:
            zones = [
                zone
                for zone in sorted(self._powercap.glob("intel-rapl:*"))
                if _text(zone, "name").startswith("package")
            ]
            found = [(int(_text(zone, "energy_uj")), int(_text(zone, "max_energy_range_uj"))) for zone in zones]
        except (OSError, ValueError) as error:
            self._reason, found = f"{self._powercap} cannot be read: {error}", []
        if not found and not self._reason:
            self._reason = f"{self._powercap} has no counter of a CPU package"
        return found


def _text(zone: Path, name: str) -> str:
    return (zone / name).read_text(encoding="ascii").strip()


class _GpuCounter:
    """NVIDIA's own counters (Volta and later), of the GPUs that PyTorch uses in this process."""

    def __init__(self) -> None:
        self._reason = ""
        self._start_mj = self._read()

    def joules(self, used: set[str]) -> float:
        if not used:
            raise _NotReadable("no GPU was used")
        now_mj = self._read()
        if not self._reason and not now_mj.keys() >= used:
            self._reason = f"NVML does not count {', '.join(sorted(used - now_mj.keys()))}"
        if self._reason:
            raise _NotReadable(self._reason)
        return sum(now_mj[name] - self._start_mj[name] for name in used) / 1e3

    def _read(self) -> dict[str, int]:
        """Millijoules since the driver was loaded, by the UUID of the GPU."""
        try:
            nvml = import_module("pynvml")
        except ImportError:
            self._reason = "the package nvidia-ml-py is not installed"
            return {}
        try:
            nvml.nvmlInit()
            gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
            return {nvml.nvmlDeviceGetUUID(gpu): nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in gpus}
        except nvml.NVMLError as error:
            self._reason = f"NVML: {error}"
            return {}


def _gpus_in_use() -> set[str]:
    """UUIDs of the GPUs that PyTorch sees, where a stage has imported it."""
    if "torch" not in sys.modules:
        return set()
    import torch  # noqa: PLC0415

    return {f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())}
