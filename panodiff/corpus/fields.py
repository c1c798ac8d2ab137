"""The exposed fields that harmonization left beside its images, read from disk as they are needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from panodiff.manifest import FIELD_SIZE

Field = NDArray[np.uint8]  # FIELD_SIZE, the whole exposed field of a radiograph, squashed by area
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fields:
    """The fields of several sources, numbered through; only those asked for are ever in memory."""

    files: tuple[tuple[Path, int], ...]  # (file, how many fields it holds)

    def __post_init__(self) -> None:
        """Hold each file's size against the number of its fields.

        Raises:
            ValueError: They do not fit.
        """
        for path, count in self.files:
            found, wanted = path.stat().st_size, count * FIELD_SIZE[0] * FIELD_SIZE[1]
            if found != wanted:
                raise ValueError(
                    f"{path} must hold {count} fields of 64×128 bytes, one a kept row of rows.csv ({wanted} bytes), "
                    f"got {found} bytes: run `dvc repro` to harmonize that source again"
                )

    def __len__(self) -> int:
        """How many fields there are."""
        return sum(count for _, count in self.files)

    def take(self, numbers: Indices) -> NDArray[np.uint8]:
        """The fields of these numbers, (N, *FIELD_SIZE)."""
        taken = np.empty((len(numbers), *FIELD_SIZE), np.uint8)
        start = 0
        for path, count in self.files:
            inside = (numbers >= start) & (numbers < start + count)
            if inside.any():
                held = np.memmap(path, np.uint8, "r", shape=(count, *FIELD_SIZE))
                taken[inside] = held[numbers[inside] - start]
            start += count
        return taken
