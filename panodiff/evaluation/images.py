"""The image sets that are compared: the synthetic one, and the splits of the corpus."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panodiff.manifest import kept

MIN_IMAGES = 4  # of a set: halves of two images have a covariance
RESOLUTIONS = ("high", "low")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One set of images at both resolutions, in one order."""

    ids: list[str]
    paths: Mapping[str, list[Path]]  # by resolution

    def take(self, numbers: NDArray[np.int64]) -> "ImageSet":
        """The images with these numbers."""
        return ImageSet(
            ids=[self.ids[number] for number in numbers],
            paths={size: [paths[number] for number in numbers] for size, paths in self.paths.items()},
        )


def real_set(corpus: pd.DataFrame, split: str) -> ImageSet:
    """The kept images of a split."""
    rows = kept(corpus, split)
    paths = {resolution: [Path(path) for path in rows[f"{resolution}_path"]] for resolution in RESOLUTIONS}
    return ImageSet(ids=list(rows["id"]), paths=paths)


def synthetic_set(folder: Path) -> ImageSet:
    """The synthetic images of `folder`/high/rows.csv, which lie in `folder`/high and `folder`/low."""
    ids = [str(name) for name in pd.read_csv(folder / "high" / "rows.csv")["id"]]
    paths = {resolution: [folder / resolution / f"{name}.png" for name in ids] for resolution in RESOLUTIONS}
    return ImageSet(ids=ids, paths=paths)


def gather_sets(corpus: pd.DataFrame, synthetic: Path) -> dict[str, ImageSet]:
    """The synthetic set, the train and the test split.

    Raises:
        ValueError: One of them is too small to be measured.
    """
    sets = {"synthetic": synthetic_set(synthetic)} | {split: real_set(corpus, split) for split in ("train", "test")}
    if small := [f"{name}: {len(images.ids)}" for name, images in sets.items() if len(images.ids) < MIN_IMAGES]:
        raise ValueError(f"the evaluation needs at least {MIN_IMAGES} images in each set, got {', '.join(small)}")
    return sets
