"""Greys: from the depth of the file to 8 bits, and which end of them is air."""

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.images import Grey

# (jaws - corners below them) / standard deviation of all: 0.6 to 2.5 on 153 real radiographs and 60 phantoms, and the
# negative of that when black and white are exchanged.
SURE_POLARITY = 0.3
_SAMPLE = 200_000  # pixels that percentiles are taken of


def to_8_bits(
    image: NDArray[np.uint8] | NDArray[np.uint16], percentiles: tuple[float, float]
) -> tuple[Grey, tuple[int, int] | None]:
    """`image` (H, W) with the greys at two percentiles made black and white, and those two greys of the file.

    An image of 8 bits stays as it is, and there are no such greys.
    """
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False), None
    step = max(1, int(np.sqrt(image.size / _SAMPLE)))
    low, high = (int(grey) for grey in np.percentile(image[::step, ::step], percentiles, method="nearest"))
    scale = 255 / max(high - low, 1)
    table = np.clip((np.arange(65536) - low) * scale + 0.5, 0, 255).astype(np.uint8)
    return table[image], (low, high)


def polarity(thumb: Grey) -> float:
    """How much brighter the jaws are than the air and neck below them on both sides, in standard deviations."""
    height, width = thumb.shape
    jaws = thumb[int(0.3 * height) : int(0.75 * height), int(0.2 * width) : int(0.8 * width)]
    below = thumb[int(0.8 * height) :]
    corners = (cv2.mean(below[:, : int(0.2 * width)])[0] + cv2.mean(below[:, int(0.8 * width) :])[0]) / 2
    deviation = float(cv2.meanStdDev(thumb)[1].item())
    return (cv2.mean(jaws)[0] - corners) / max(deviation, 1.0)
