"""The best that the pipeline could reach: real low-resolution radiographs, brought to high resolution by its model.

A diffusion model without any fault would draw such low-resolution images. What stands between them, restored, and real
radiographs is the work of super-resolution alone.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.features.embed import Features
from panodiff.randomness import numpy_generator

NUM_DIVISIONS = 8  # each costs three eigenvalue problems a method, of 2048² with Inception


def restored_distances(features: Mapping[str, Features], seed: int) -> dict[str, float]:
    """Fréchet distance of one half of the images, as each method restored it, to the other half as it is.

    Means over random divisions. That of "real", the floor, has the first half as it is, too.

    Args:
        features: (N, D) by method, of the same N images in one order, among them "real".
        seed: Of the divisions.
    """
    real = features["real"]
    divisions = list(_halves(len(real), seed))
    return {
        method: float(np.mean([frechet_distance(found[one], real[other]) for one, other in divisions]))
        for method, found in features.items()
    }


def _halves(count: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for number in range(NUM_DIVISIONS):
        order = numpy_generator(seed, "evaluate/ceiling", number).permutation(count)
        yield order[: count // 2], order[count // 2 :]
