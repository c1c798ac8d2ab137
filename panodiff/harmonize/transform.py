"""One radiograph from its source's form to the corpus's: upright, dark air, no borders, both resolutions."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.harmonize.exposure import SURE_POLARITY, polarity, to_8_bits
from panodiff.harmonize.field import (
    Box,
    find_field,
    find_skewed_field,
    find_window,
    halved,
    thumbnail,
    turned,
    without_strips,
)
from panodiff.harmonize.quality import measure
from panodiff.images import Grey, area_average, lanczos
from panodiff.manifest import FIELD_SIZE
from panodiff.params_data import HarmonizeParams, Margins, SourceParams

_LEAST = 16  # pixels of a side that are worth resizing


@dataclass(frozen=True, kw_only=True)
class Harmonized:
    """A radiograph at both resolutions, and all that was done to it."""

    high: Grey
    low: Grey
    field: Grey  # FIELD_SIZE: the whole exposed field, squashed; copies in other frames have nearly the same one
    crop: Box  # in the upright image, turned by rotation_deg; what lies beyond it is black
    rotation_deg: float  # counter-clockwise: the quarter turns, then the skew
    inverted: bool
    window: tuple[int, int] | None  # greys of the file that became black and white, of files deeper than 8 bits
    polarity: float | None  # as measured, where it decided
    measures: dict[str, float]  # of panodiff.harmonize.quality


def harmonize_image(
    image: NDArray[np.uint8] | NDArray[np.uint16], source: SourceParams, target: HarmonizeParams
) -> Harmonized:
    """Bring `image` (H, W) to 8 bits, turn, invert, crop and resize it.

    The high-resolution image comes from the crop by Lanczos (with the filter widened where it shrinks), the
    low-resolution one is exactly its area average.

    Raises:
        ValueError: Nothing worth resizing is left within the margins.
    """
    grey, window = to_8_bits(image, source.window)
    upright = np.rot90(grey, source.quarter_turns).astype(np.uint8, copy=False)
    thumb, factor = thumbnail(upright)
    skew, field = 0.0, find_field(thumb)  # the same whichever end of the greys is air
    measured = polarity(part(thumb, field)) if source.polarity == "auto" else None
    inverted = source.polarity == "invert" or (measured is not None and measured < -SURE_POLARITY)
    if inverted:
        upright, thumb = 255 - upright, 255 - thumb
    if source.deskew and (found := find_skewed_field(thumb.copy())):
        skew, field = found
        upright, thumb = turned(upright, skew), turned(thumb, skew)
        field = without_strips(thumb, field)
    size = (upright.shape[0], upright.shape[1])
    exposed = field.enlarged(factor, size)
    crop = find_crop(size, exposed, source, target)
    seen = exposed if source.crop == "auto" else Box(top=0, left=0, bottom=size[0], right=size[1])
    high = resized(upright, crop, seen, target.high_size)
    small = Box(top=0, left=0, bottom=thumb.shape[0], right=thumb.shape[1]) if seen is not exposed else field
    return Harmonized(
        high=high,
        low=area_average(high, target.scale),
        field=_small(part(thumb, field)),
        crop=crop,
        rotation_deg=90 * source.quarter_turns + skew,
        inverted=inverted,
        window=window,
        polarity=measured,
        measures=measure(
            native=upright, field=part(thumb, field), crop=part(thumb, _reduced(crop, factor).common(small))
        ),
    )


def find_crop(size: tuple[int, int], field: Box, source: SourceParams, target: HarmonizeParams) -> Box:
    """What to cut out of an upright image of `size` (H, W), by the source's margins or its exposed field.

    Raises:
        ValueError: Less than 16 pixels are left on a side.
    """
    ratio = target.high_size[1] / target.high_size[0]
    if isinstance(source.crop, Margins):
        box = _within_margins(size, source.crop)
        if target.aspect == "keep":
            box = _centred(box, ratio)
    else:
        box = find_window(field, ratio) if target.aspect == "keep" else field
    if min(box.height, box.width) < _LEAST:
        raise ValueError(f"only {box.height}×{box.width} pixels are left within source.<name>.crop")
    return box


def _within_margins(size: tuple[int, int], margins: Margins) -> Box:
    height, width = size
    down, across = size if margins.unit == "fraction" else (1, 1)
    return Box(
        top=round(down * margins.top),
        left=round(across * margins.left),
        bottom=height - round(down * margins.bottom),
        right=width - round(across * margins.right),
    )


def _centred(box: Box, ratio: float) -> Box:
    """The largest part about the centre that is `ratio` times as wide as high."""
    spare_width = max(box.width - round(box.height * ratio), 0)
    spare_height = max(box.height - round(box.width / ratio), 0)
    return Box(
        top=box.top + spare_height // 2,
        left=box.left + spare_width // 2,
        bottom=box.bottom - (spare_height - spare_height // 2),
        right=box.right - (spare_width - spare_width // 2),
    )


def part(image: Grey, box: Box) -> Grey:
    """What of the box lies within the image; a view."""
    return image[max(0, box.top) : box.bottom, max(0, box.left) : box.right]


def resized(image: Grey, box: Box, seen: Box, size: tuple[int, int]) -> Grey:
    """The box at `size` (H, W), black where it lies beyond what is `seen` of the image: no border must come back.

    What is seen fills whole pixels of the result; of one that it would fill in part it is cut off.
    """
    inner = box.common(seen)
    if inner == box:
        return lanczos(part(image, box), size)
    (top, bottom), down = _filled(inner.top - box.top, inner.bottom - box.top, box.height, size[0])
    (left, right), across = _filled(inner.left - box.left, inner.right - box.left, box.width, size[1])
    canvas = np.zeros(size, np.uint8)
    canvas[top:bottom, left:right] = lanczos(part(image, inner), (bottom - top, right - left), (*down, *across))
    return canvas


def _filled(start: int, end: int, length: int, target: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """The pixels that start:end of a side fills where `length` becomes `target`, and their ends, counted from `start`.

    In whole numbers: rounded, a side that is filled would lose its last pixel now and then.
    """
    first, last = -(-start * target // length), end * target // length
    return (first, last), (first * length / target - start, last * length / target - start)


def _reduced(box: Box, factor: int) -> Box:
    return Box(top=box.top // factor, left=box.left // factor, bottom=box.bottom // factor, right=box.right // factor)


def _small(field: Grey) -> Grey:
    near = halved(field, FIELD_SIZE[1])
    return np.asarray(cv2.resize(near, FIELD_SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
