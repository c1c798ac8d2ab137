"""Every random number, drawn from the seed, the purpose of the draw and its index, and from nothing else.

The global generators of Python, NumPy and PyTorch are never read: what is drawn does not depend on what was drawn
before, on the batch, the process, or on whether a run was interrupted.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed of its own for each (seed, purpose, index)."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, purpose: str, index: int = 0, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A generator whose stream belongs to (seed, purpose, index)."""
    import torch  # noqa: PLC0415 - seconds that the stages without networks need not spend

    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, index))


def numpy_generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """The same for NumPy."""
    return np.random.Generator(np.random.Philox(derived_seed(seed, purpose, index)))


@contextmanager
def seeded_init(seed: int, purpose: str) -> Iterator[None]:
    """Networks built inside start from weights of (seed, purpose); the global generator is as before afterwards."""
    import torch  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, purpose))
        yield
