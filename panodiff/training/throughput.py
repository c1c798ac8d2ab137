"""How much of the machine a training uses: the operations of its steps against what matrix products reach here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from panodiff import launch
from panodiff.params import TrainingParams
from panodiff.stage import Stage

_SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices multiplied
_ROUNDS = 5


def note_throughput(stage: Stage, steps: int, seconds: float, operations: int, params: TrainingParams) -> None:
    """Note and print how fast this run was, milestones and checkpoints included, and how much of the machine it used.

    Args:
        stage: Takes the notes.
        steps: Of this run.
        seconds: That they took.
        operations: Of one step, in this process, as PyTorch counts them.
        params: Of the training.
    """
    device = launch.device()
    rate = matrix_rate(device, torch.bfloat16 if params.precision == "bfloat16" else torch.float32)
    share = operations * steps / seconds / rate
    images = steps * params.batch_size / seconds
    stage.notes |= {
        "steps_of_last_run": steps,
        "images_a_second": round(images, 2),
        "operations_a_step": operations,
        "matrix_operations_a_second": round(rate),
        "share_of_matrix_rate": round(share, 4),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }
    if launch.rank() == 0:
        print(
            f"{images:.3g} images a second, {100 * share:.0f} % of the rate at which this machine multiplies "
            f"{params.precision} matrices ({rate / 1e9:.0f} GFLOP/s)",
            flush=True,
        )


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second, the best of some products of square matrices: a practical peak of this machine now."""
    side = _SIDE[device.type]
    one, other = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(_ROUNDS):
        _wait(device)
        started = time.perf_counter()
        torch.matmul(one, other)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(
    grad: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))


_ON_CPU = {  # PyTorch's counter knows attention's kernels on GPUs only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Counts the operations of matrix products, convolutions and attention within, eager whatever is compiled."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False, custom_mapping=_ON_CPU) as counter:
        yield counter


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
