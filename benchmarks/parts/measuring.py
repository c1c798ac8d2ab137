"""What all benchmarks measure with: a process of its own for each candidate, times, memory, the machine's own rate."""

import math
import os
import platform
import re
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SPENT_S = 1.0  # on a measurement, after one call that does not count; at least one call counts
SIDE, PRODUCTS = 2048, {"cpu": 1, "cuda": 20}  # of the matrices; one after the other, so that a GPU need not wait


def in_own_process(work: Callable[[], Any]) -> tuple[Any, int | None]:
    """What `work` returns in a process of its own, None if that process fails, and its exit code."""
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=report, args=(work, sender))
    process.start()
    sender.close()  # so that a process that fails leaves nobody waiting
    try:
        found = receiver.recv()
    except EOFError:
        found = None
    process.join()
    return found, process.exitcode


def report(work: Callable[[], Any], sender: Connection) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    sender.send(work())


def matrix_rates(device: str) -> dict[str, float]:
    """GFLOP/s of a product of two square matrices, by precision."""
    rates = {}
    for precision, dtype in PRECISIONS.items():
        one, other = torch.randn(2, SIDE, SIDE, device=device).to(dtype)

        def multiply(one: Tensor = one, other: Tensor = other) -> None:
            for _ in range(PRODUCTS[device]):
                torch.matmul(one, other)

        rates[precision] = 2 * SIDE**3 * PRODUCTS[device] / fastest(multiply, device) / 1e9
    return rates


def fastest(work: Callable[[], None], device: str) -> float:
    """Seconds of the fastest call."""
    work()
    wait(device)
    best, began = math.inf, time.perf_counter()
    while best == math.inf or time.perf_counter() - began < SPENT_S:
        started = time.perf_counter()
        work()
        wait(device)
        best = min(best, time.perf_counter() - started)
    return best


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: str) -> float:
    """The most that this process has held so far, GiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux


def processor(device: str) -> str:
    """The GPU's name, or the CPU's as /proc/cpuinfo tells it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else "CPU"


def machine(device: str) -> str:
    """For the results."""
    return f"{processor(device)}, {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
