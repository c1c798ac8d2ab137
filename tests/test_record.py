"""The environment that a record names, and the energy."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from panodiff.record import EnergyMeter, _GpuCounter, describe_environment


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


def write_zone(powercap: Path, zone: str, name: str, energy_uj: int | str) -> None:
    """A counter as Linux shows it; it begins anew at 1000 J."""
    folder = powercap / zone
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": 1_000_000_000}.items():
        (folder / file).write_text(f"{content}\n")


def test_the_energy_of_the_packages_is_summed_and_no_part_is_counted_twice(tmp_path: Path):
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for zone, name in zones.items():
        write_zone(tmp_path, zone, name, 5_000_000)
    meter = EnergyMeter(tmp_path)
    for zone, name in zones.items():
        write_zone(tmp_path, zone, name, 12_500_000)
    assert meter.joules()["cpu"] == 15.0


def test_a_counter_that_began_anew_is_read_on(tmp_path: Path):
    write_zone(tmp_path, "intel-rapl:0", "package-0", 999_000_000)
    meter = EnergyMeter(tmp_path)
    write_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    assert meter.joules()["cpu"] == 2.0


def test_a_machine_that_does_not_tell_has_a_reason_and_no_zero(tmp_path: Path):
    found = EnergyMeter(tmp_path).joules()
    assert "cpu" not in found
    assert found["absent"]["cpu"] == f"{tmp_path} has no counter of a CPU package"
    write_zone(tmp_path, "intel-rapl:0", "package-0", "no number")
    assert "cannot be read" in EnergyMeter(tmp_path).joules()["absent"]["cpu"]


def test_a_counter_that_goes_away_takes_its_joules_with_it(tmp_path: Path):
    write_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert "cannot be read" in meter.joules()["absent"]["cpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_none_is_counted(tmp_path: Path):
    assert EnergyMeter(tmp_path).joules()["absent"]["gpu"] == "no GPU was used"


def test_the_counters_of_the_gpus_that_are_in_use_are_read_from_nvml(monkeypatch: pytest.MonkeyPatch):
    readings = iter([1000, 7000, 4000, 9000])  # of two GPUs, twice
    nvml = ModuleType("pynvml")
    nvml.NVMLError = OSError  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetCount = lambda: 2  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetUUID = lambda index: f"GPU-{index}"  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda index: next(readings)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert _GpuCounter().joules({"GPU-0"}) == 3.0
