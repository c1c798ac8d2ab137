"""How alike two radiographs are, one laid over the other: signatures find likely copies, a correlation decides.

Both look at bands of the image only. What is coarser than the band all radiographs share (jaws, rows of teeth), what
is finer a noisy or smoothed copy does not keep. Each detail counts by its contrast to its surroundings, so that metal
and burned-in letters do not outweigh the rest. All lengths are in pixels of an image 256 wide.

Measured on 153 real radiographs and 400 phantoms: of 1500 pairs of strangers the largest aligned correlation is 0.41
(real) and 0.54 (drawn) in the band from 1.5 to 4, of 40 copies blended, shifted and noisy at once the smallest is 0.74
and 0.77. From 2 to 8 it is 0.63 and 0.71 against 0.83 and 0.84 where details do not count by their contrast.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.images import Grey, read_grey

WIDTH = 256  # of the images compared; smaller ones stay as they are
MAX_SHIFT = 10  # by which a copy may be displaced: 4 % of the width
OFFSETS = tuple((down, across) for down in (-6, 0, 6) for across in (-6, 0, 6))  # at which signatures are taken
CENTRE = OFFSETS.index((0, 0))
GRID = (16, 32)  # of a signature
SIGNATURES = (len(OFFSETS), GRID[0] * GRID[1])  # of an image
_LEAST_CONTRAST = 2.0  # greys: noise of 10 greys leaves 1.9 of them in the fine band
_GREYS = 40  # of a detail that stands out as much as those around it; of 8 bits three times as much are left


class Band(NamedTuple):
    """Standard deviations of the two Gaussian filters that bound a band, and of the surroundings of a detail."""

    grain: float
    shape: float
    around: float


DECIDING = Band(1.5, 4, 8)
FINDING = Band(2.5, 6, 12)  # coarser: a few offsets must stand for all shifts

Signatures = NDArray[np.float32]  # (..., 512), each of length 1, or 0 if the image is flat


def read_small(path: Path) -> Grey:
    """The image at `path` brought to a width of 256 by area; left as it is if it is not wider."""
    image = read_grey(path)
    height, width = image.shape
    if width <= WIDTH:
        return image
    size = (WIDTH, round(height * WIDTH / width))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def details(image: Grey, band: Band = DECIDING) -> Grey:
    """The band of `image` (H, W) as an image of that size: 128 where nothing stands out from its surroundings."""
    unit = image.shape[1] / WIDTH
    whole = image.astype(np.float32)
    found = _blurred(whole, band.grain * unit) - _blurred(whole, band.shape * unit)
    contrast = np.sqrt(_blurred(found**2, band.around * unit) + _LEAST_CONTRAST**2)
    return np.clip(128.5 + _GREYS * found / contrast, 0, 255).astype(np.uint8)


def _blurred(image: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation))


def aligned_correlation(one: Grey, other: Grey) -> float:
    """The largest correlation, -1 to 1, of the inner part of `one` with `other` shifted by up to MAX_SHIFT.

    Both are `details`; at each shift the correlation is that of what lies over each other (Lewis 1995, "Fast
    normalized cross-correlation"). It is 0 where the inner part is flat.
    """
    inner = _inner(one)
    if inner.min() == inner.max():  # OpenCV would give 1
        return 0.0
    return float(cv2.matchTemplate(other, inner, cv2.TM_CCOEFF_NORMED).max())


def signatures(image: Grey) -> Signatures:
    """The signatures of `image` (H, W) at all OFFSETS, (9, 512): its coarser details, averaged on a grid of 16×32.

    Their products with the one at CENTRE of another image tell how alike both are at nearly any small shift.
    """
    found = details(image, FINDING)
    parts = (cv2.resize(_inner(found, *offset), GRID[::-1], interpolation=cv2.INTER_AREA) for offset in OFFSETS)
    rows = np.stack([part.ravel() for part in parts]).astype(np.float32) - 128
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def mirrored(found: Signatures) -> Signatures:
    """The signatures of the mirrored image, those of opposite offsets in each other's place."""
    grids = found.reshape(*found.shape[:-1], *GRID)
    return grids[..., ::-1].reshape(found.shape)


def _inner(image: Grey, down: int = 0, across: int = 0) -> Grey:
    """What of `image` is MAX_SHIFT from its edges, or lies so many rows and columns from there."""
    height, width = image.shape
    margin, top, left = (round(length * width / WIDTH) for length in (MAX_SHIFT, MAX_SHIFT + down, MAX_SHIFT + across))
    return np.ascontiguousarray(image[top : top + height - 2 * margin, left : left + width - 2 * margin])
