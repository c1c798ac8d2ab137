"""Features of known distributions."""

import numpy as np


def some_features(count: int, dim: int = 16, *, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, dim))
