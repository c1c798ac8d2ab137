"""Restored halves against real halves."""

import numpy as np
import pytest

from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.evaluation.superres.ceiling import restored_distances


def test_worse_restoration_lies_further_and_perfect_restoration_at_the_floor():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(60, 3))
    found = restored_distances({"same": real, "shifted": real + 1, "far": real + 3, "real": real}, seed=1)
    assert found["same"] == found["real"] > 0
    assert found["real"] < found["shifted"] < found["far"]
    assert found["shifted"] - found["real"] == pytest.approx(3, abs=0.5)  # |shift|², and a mean-zero cross term


def test_it_is_half_against_half_and_never_an_image_against_itself():
    generator = np.random.default_rng(1)
    real, other = generator.normal(size=(2, 40, 2))
    assert restored_distances({"real": real}, seed=1) == restored_distances({"real": real}, seed=1)
    assert restored_distances({"real": real}, seed=1) != restored_distances({"real": real}, seed=2)
    assert restored_distances({"real": real}, seed=1)["real"] > frechet_distance(real, real) + 1e-3
    assert restored_distances({"other": other, "real": real}, seed=1)["other"] > 0
