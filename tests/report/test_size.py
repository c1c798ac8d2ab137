"""The page stays below 15 MB whatever the pictures hold, at the size of the profile paper and beyond."""

import numpy as np
import pandas as pd

from panodiff.report.numbers import Absent
from panodiff.report.pictures import Rows, Shot, gallery
from panodiff.report.sections.shots import BYTES
from panodiff.report.sections.sources import _draw_map

MOST_BYTES = 15_000_000
LOW, HIGH = (128, 256), (512, 1024)
PIECES = {  # figure: rows of so many pictures, and their sizes
    "synthetic": (1, [HIGH] * 100),
    "low": (1, [LOW] * 100),
    "pairs": (8, [LOW, HIGH]),
    "closest": (28, [HIGH, HIGH]),
    "where": (1, [(*HIGH, 3)]),
    "diffusion": (1, [(11 * 130, 6 * 258)]),
    "reverse": (1, [(3 * 130, 3 * 258)]),
    "real": (1, [HIGH] * 8),
    "crops": (8, [(64, 64)] + [(256, 256)] * 4),
    "sheets": (5, [(1168, 1488, 3)]),
    "duplicates": (1, [(2688, 808, 3)]),
    "superres": (1, [(5 * 258, 3 * 514)]),
    "forward": (1, [(3 * 130, 3 * 258)]),
    "study": (5, [(1050, 1050, 3)]),
    "fooled": (1, [(1338, 1050, 3)]),
}


def figure(name: str) -> Rows:
    """Pictures that no encoder makes small: every pixel is drawn by itself."""
    generator = np.random.default_rng(0)
    rows, sizes = PIECES[name]
    return [[Shot(generator.integers(0, 256, size, np.uint8), "noise") for size in sizes] for _ in range(rows)]


def test_a_page_full_of_noise_at_paper_scale_is_below_15_mb():
    assert set(PIECES) == set(BYTES)
    total = 0
    for name, num_bytes in BYTES.items():
        found = gallery(figure(name), num_bytes)
        assert not isinstance(found, Absent)
        total += sum(len(picture.src) for row in found.rows for picture in row)
    maps = 3 * len(_draw_map(points(3000), "tsne", "Map", "").svg)
    assert 5_000_000 < total < MOST_BYTES - maps - 500_000  # for words, tables and the other charts


def points(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    places = generator.normal(size=(count, 2))
    sources = generator.choice(["adld", "dentex", "tsxk", "tufts", "uspforp", "synthetic"], count)
    return pd.DataFrame({"source": sources, "x": places[:, 0], "y": places[:, 1]})
