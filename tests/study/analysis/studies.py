"""Reader studies to analyse: the published tallies, and simulated ones with random readers and cases."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from panodiff.study.levels import LEVELS

# Counts of LEVELS on the 100 synthetic and on the 100 real images; the accuracy and the AUC that they give.
TALLIES = {
    "EC1": ((3, 7, 16, 34, 40), (13, 20, 32, 25, 10), 0.6275, 0.740),
    "EC2": ((4, 22, 3, 25, 46), (26, 46, 3, 19, 6), 0.6925, 0.792),
    "EC3": ((0, 4, 11, 45, 40), (0, 38, 33, 28, 1), 0.66125, 0.848),
    "EP1": ((0, 6, 7, 83, 4), (1, 54, 33, 12, 0), 0.66125, 0.887),
    "EP2": ((2, 12, 0, 33, 53), (40, 44, 0, 16, 0), 0.78875, 0.912),
    "EP3": ((3, 14, 5, 35, 43), (17, 39, 14, 26, 4), 0.6750, 0.797),
}


def tallied() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readings with the published tallies; which image got which answer is made up, since tallies do not say."""
    rows = [
        {"reader": reader, "group": reader[:2], "case": f"{label}-{index}", "answer": answer}
        for reader, (synthetic, real, *_) in TALLIES.items()
        for label, counts in (("synthetic", synthetic), ("real", real))
        for index, answer in enumerate(np.repeat(LEVELS, counts))
    ]
    labels = [(f"{label}-{index}", label) for label in ("synthetic", "real") for index in range(100)]
    return pd.DataFrame(rows), pd.DataFrame(labels, columns=["case", "label"])


class Model(NamedTuple):
    """How synthetic an image looks to a reader: shift of synthetic ones, and spread by what."""

    shift: float = 1.0
    reader: float = 0.15  # standard deviation of a reader's own shift and bias
    case: float = 0.8  # of what all readers see in a case
    noise: float = 0.6  # of what one reader sees in it

    def impressions(self, rng: np.random.Generator, num_readers: int, num_cases: int) -> tuple:
        """X, Y (readers, cases): impressions of synthetic and of real images."""
        return tuple(
            shift
            + self.reader * rng.standard_normal((num_readers, 1))
            + self.case * rng.standard_normal(num_cases)
            + self.noise * rng.standard_normal((num_readers, num_cases))
            for shift in (self.shift, 0.0)
        )


def levels_of(impressions: np.ndarray, shift: float) -> np.ndarray:
    """Impressions as level 0 to 4, cut around the middle between real and synthetic ones."""
    return np.digitize(impressions, shift / 2 + np.array([-0.9, -0.2, 0.2, 0.9]))


def simulated(
    *, num_readers: int = 6, num_cases: int = 20, model: Model | None = None, seed: int = 0, learning: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readings with all columns of a study of `num_cases` real and as many synthetic images, and their labels."""
    model = model or Model()
    rng = np.random.default_rng(seed)
    X, Y = model.impressions(rng, num_readers, num_cases)
    labels = [(f"case-{index:03d}", "synthetic" if index < num_cases else "real") for index in range(2 * num_cases)]
    rows = []
    for reader in range(num_readers):
        for position, index in enumerate(rng.permutation(2 * num_cases)):
            synthetic = index < num_cases
            impression = X[reader, index] if synthetic else Y[reader, index - num_cases]
            impression += (1 if synthetic else -1) * learning * position / (2 * num_cases)
            level = int(levels_of(np.array(impression), model.shift))
            rows.append(
                {
                    "reader": f"R{reader}",
                    "group": "experienced" if reader % 2 else "novice",
                    "case": labels[index][0],
                    "answer": LEVELS[level],
                    "position": float(position + 1),
                    "repeat": 0,
                    "viewing_s": 8.0,
                    "response_s": float(rng.gamma(4, 1.5) + 2 * (level == 2)),
                    "answered": "2026-01-01T00:00:00Z",
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(labels, columns=["case", "label"])
