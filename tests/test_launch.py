"""Placement: what is taken from the environment, and what is refused."""

import os
import subprocess
import sys
import time

import pytest

from panodiff import launch

VARIABLES = ("PANODIFF_NPROC", "PANODIFF_WORKERS", "PANODIFF_CHECKPOINT_S", "RANK", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_without_variables_there_is_one_process_and_a_worker_for_each_core():
    assert (launch.rank(), launch.world_size()) == (0, 1)
    assert launch.num_workers() == len(os.sched_getaffinity(0))
    assert launch.checkpoint_interval_s() == 60


def test_variables_are_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PANODIFF_WORKERS", "7")
    monkeypatch.setenv("PANODIFF_CHECKPOINT_S", "3")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launch.num_workers() == 7
    assert launch.checkpoint_interval_s() == 3
    assert (launch.rank(), launch.world_size()) == (2, 4)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²", " 3", "1e3"])
@pytest.mark.parametrize("variable", VARIABLES[:3])
def test_what_is_no_whole_number_is_refused_with_the_variable_and_the_text(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
):
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=f"variable {variable} must be a whole number from 1, got '{text}'"):
        launch.check_environment()


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PANODIFF_CHECKPOINT_S", "")
    launch.check_environment()
    assert launch.checkpoint_interval_s() == 60


def test_only_one_process_that_shall_be_several_becomes_torchrun(monkeypatch: pytest.MonkeyPatch):
    became = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: became.append(arguments))
    launch.become_torchrun("stages.sample", ["item"])
    monkeypatch.setenv("PANODIFF_NPROC", "2")
    launch.become_torchrun("stages.sample", ["item"])
    monkeypatch.setenv("RANK", "0")
    launch.become_torchrun("stages.sample", ["item"])
    (arguments,) = became
    assert "--nproc-per-node=2" in arguments and arguments[-3:] == ["-m", "stages.sample", "item"]


def worker_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_few_long_pieces_of_work_are_shared_by_all_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "ALONE_S", 0)
    monkeypatch.setenv("PANODIFF_WORKERS", "2")
    workers = list(launch.spread(worker_after, [1.0] * 6))
    assert len(set(workers)) == 2 and os.getpid() not in workers


def test_torch_works_repeatably_and_without_a_gpu_on_the_cpu():
    code = (
        "from panodiff import launch; import torch\n"
        "assert launch.start_torch() == torch.device('cpu'); launch.barrier()\n"
        "assert torch.are_deterministic_algorithms_enabled()"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, check=True)
