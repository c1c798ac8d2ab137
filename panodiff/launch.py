"""Placement: which device, how many processes. Taken from the machine and the environment, never from params.yaml.

| variable | meaning |
|---|---|
| PANODIFF_NPROC | processes on this machine for stages that can share work (torchrun starts them) |
| PANODIFF_WORKERS | worker processes for image files (default: the CPU cores this process may use) |
| PANODIFF_CHECKPOINT_S | seconds between checkpoints (default 60) |
| PANODIFF_COMPILE | 1: trainings compile their networks first, which takes a minute or more and a C++ compiler |
| CUDA_VISIBLE_DEVICES | which GPUs; an empty value means the CPU |
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

ALONE_S = 1.0  # about what other processes take to start: work that ends sooner does not need them
MIB = 2**20
# What a worker has freed and keeps for its next image. Given back and asked for again, a page takes 2 µs and more to
# come: an eighth of the time of harmonizing (measured: 1650 pages an image).
KEPT_MEMORY = 512 * MIB
Item = TypeVar("Item")
Result = TypeVar("Result")

# GNU OpenMP lets threads that wait for each other spin for milliseconds, which brings a machine that is shared with
# other work to a crawl (measured: 30 times slower on 2 cores beside one other process); not to spin at all costs a
# third of the speed on an idle one. Microseconds of it cost little on either. Read when PyTorch is imported, later.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def whole_number(variable: str, default: int, least: int = 1) -> int:
    """The value of an environment variable that must be a whole number from `least`."""
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise ValueError(f"the environment variable {variable} must be a whole number from {least}, got {text!r}")
    return int(text)


def num_workers() -> int:
    """Worker processes for image files."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return whole_number("PANODIFF_WORKERS", cores)


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results of `work` on the items, in their order; worker processes join in once it has taken ALONE_S."""
    workers, started, done = num_workers(), time.monotonic(), 0
    while done < len(items) and (workers == 1 or time.monotonic() - started < ALONE_S):
        yield work(items[done])
        done += 1
    left = items[done:]
    if left:
        begin = partial(_start_worker, os.getpid())
        chunk = max(1, min(8, len(left) // (4 * workers)))  # of few long pieces of work each worker gets its share
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=begin) as pool:
            yield from pool.map(work, left, chunksize=chunk)


def _start_worker(parent: int) -> None:
    """Leave stopping to the stage, and end with it: workers of a killed process would wait for work for ever."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or scheduler sends them to the whole group
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        system = ctypes.CDLL(None)
        set_death_signal = 1
        system.prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if mallopt := getattr(system, "mallopt", None):  # of glibc, see its manual
            trim_threshold, mmap_threshold = -1, -3
            mallopt(mmap_threshold, 32 * MIB)
            mallopt(trim_threshold, KEPT_MEMORY)


def checkpoint_interval_s() -> int:
    """Seconds of training between checkpoints."""
    return whole_number("PANODIFF_CHECKPOINT_S", 60)


def compile_networks() -> bool:
    """Whether a training shall compile its networks."""
    return whole_number("PANODIFF_COMPILE", 0, least=0) > 0


def check_environment() -> None:
    """Read all the variables above, so that a wrong one is told before any work.

    Raises:
        ValueError: One is no whole number from 1.
    """
    whole_number("PANODIFF_NPROC", 1)
    num_workers()
    checkpoint_interval_s()
    compile_networks()


def rank() -> int:
    """Number of this process among those that share the stage's work."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Processes that share the stage's work."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def become_torchrun(module: str, arguments: list[str]) -> None:
    """Where PANODIFF_NPROC asks for several processes, replace this one by torchrun; else do nothing.

    A scheduler that started several processes itself (it sets WORLD_SIZE and RANK) is left alone.
    """
    processes = whole_number("PANODIFF_NPROC", 1)
    if processes > 1 and "RANK" not in os.environ:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", module]
        os.execv(sys.executable, [sys.executable, *torchrun, *arguments])


def device() -> "torch.device":
    """The device of this process: its own GPU where there is one, else the CPU."""
    import torch  # noqa: PLC0415 - takes seconds, and stages without networks do not need it

    if torch.cuda.is_available():
        number = int(os.environ.get("LOCAL_RANK", "0"))
        if number >= torch.cuda.device_count():
            raise ValueError(f"each process needs a GPU of its own, and this machine has {torch.cuda.device_count()}")
        return torch.device("cuda", number)
    return torch.device("cpu")


def start_torch() -> "torch.device":
    """Set PyTorch up for repeatable work and join the other processes, if any; the device of this process."""
    import torch  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415

    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    place = device()
    if place.type == "cuda":
        torch.cuda.set_device(place)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if world_size() > 1 and not distributed.is_initialized():
        # A process that finished its shards waits for the slowest one; torchrun notices one that died.
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=timedelta(days=7))
    return place


def barrier() -> None:
    """Wait for the other processes."""
    if world_size() > 1:
        from torch import distributed  # noqa: PLC0415

        distributed.barrier()
