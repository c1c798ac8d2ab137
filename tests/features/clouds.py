"""Rows of a made-up manifest, and features for them."""

import numpy as np
import pandas as pd


def a_corpus(sources: dict[str, int]) -> pd.DataFrame:
    rows = [
        {"id": f"{source}-{index:03d}", "source": source, "status": "kept", "group": f"{source}-{index}"}
        | {"split": ("train", "val", "test")[index % 3]}
        for source, count in sources.items()
        for index in range(count)
    ]
    return pd.DataFrame(rows)


def features_by_source(rows: pd.DataFrame, distance: float, seed: int = 0) -> np.ndarray:
    """Gaussian clouds, one a source, `distance` apart along each source's own axis."""
    noise = np.random.default_rng(seed).normal(size=(len(rows), 12))
    codes = rows["source"].astype("category").cat.codes.to_numpy()
    noise[np.arange(len(rows)), codes] += distance
    return noise
