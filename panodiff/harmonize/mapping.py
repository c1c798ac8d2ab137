"""From a point of a harmonized image back to the pixel of the file that it came from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panodiff.harmonize.field import turning

# EXIF 2.32, table 6: for each orientation whether rows and columns are exchanged, then the rows, the columns reversed.
_STORED = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def raw_from_harmonized(row: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """The matrix (2, 3) that takes a point (x, y, 1) of a harmonized image to (x, y) in the pixels stored in the file.

    x runs along columns, y along rows, and the middle of the first pixel is (0, 0), in both. Points of the image that
    lie beyond the file's pixels are those that were filled with black.

    Args:
        row: Of the manifest: height, width, orientation, rotation_deg and crop_*.
        size: (H, W) of the harmonized image, high or low.
    """
    height, width = int(row["height"]), int(row["width"])  # upright by EXIF
    turns = round(float(row["rotation_deg"]) / 90)
    upright = (height, width) if turns % 2 == 0 else (width, height)
    chain = (
        _into_crop(row, size),
        _square(_inverse(turning(upright, float(row["rotation_deg"]) - 90 * turns))),
        _quarter_turns_back(upright, turns),
        _stored((height, width), int(row["orientation"])),
    )
    matrix = np.eye(3)
    for step in chain:
        matrix = step @ matrix
    return np.asarray(matrix[:2])


def _into_crop(row: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.float64]:
    down = (int(row["crop_bottom"]) - int(row["crop_top"])) / size[0]
    across = (int(row["crop_right"]) - int(row["crop_left"])) / size[1]
    shift_x = int(row["crop_left"]) + across / 2 - 0.5  # middles of pixels: half of one there, half of one here
    shift_y = int(row["crop_top"]) + down / 2 - 0.5
    return np.array([[across, 0, shift_x], [0, down, shift_y], [0, 0, 1]])


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(_square(matrix))[:2])


def _square(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([matrix, [0, 0, 1]])


def _quarter_turns_back(upright: tuple[int, int], turns: int) -> NDArray[np.float64]:
    """Clockwise by as many quarters as the image was turned counter-clockwise."""
    matrix, (height, width) = np.eye(3), upright
    for _ in range(turns % 4):
        matrix = np.array([[0, -1, height - 1], [1, 0, 0], [0, 0, 1.0]]) @ matrix
        height, width = width, height
    return matrix


def _stored(upright: tuple[int, int], orientation: int) -> NDArray[np.float64]:
    """From the picture as it is to be seen to how its file stores it."""
    exchanged, rows_reversed, columns_reversed = _STORED[orientation]
    height, width = upright
    matrix = np.eye(3)
    if columns_reversed:
        matrix = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]]) @ matrix
    if rows_reversed:
        matrix = np.array([[1, 0, 0], [0, -1, height - 1], [0, 0, 1.0]]) @ matrix
    if exchanged:
        matrix = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]]) @ matrix
    return matrix
