"""One radiograph from its source's form to the corpus's: upright, dark air, no borders, both resolutions."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from panodiff.images import Grey, area_average
from panodiff.params import HarmonizeParams, SourceParams

FIELD_SIZE = (64, 128)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Rows top:bottom and columns left:right of the upright image, pixels."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Harmonized:
    """A radiograph at both resolutions, and where in the upright image it was cut."""

    high: Grey
    low: Grey
    field: Grey  # FIELD_SIZE: the whole exposed field, squashed; copies in other frames have nearly the same one
    crop: Crop


def harmonize_image(image: Grey, source: SourceParams, target: HarmonizeParams) -> Harmonized:
    """Turn, invert, crop and resize `image`, uint8 (H, W).

    The high-resolution image comes from the crop by Lanczos (with the filter widened where it shrinks), the
    low-resolution one is exactly its area average.

    Raises:
        ValueError: Nothing worth resizing is left within the margins.
    """
    upright = np.rot90(image, source.quarter_turns)
    if source.polarity == "invert":
        upright = 255 - upright
    crop = find_crop((upright.shape[0], upright.shape[1]), source, target)
    height, width = target.high_size
    cut = np.ascontiguousarray(upright[crop.top : crop.bottom, crop.left : crop.right])
    resized = Image.fromarray(cut).resize((width, height), Image.Resampling.LANCZOS)
    high = np.asarray(resized)
    field = cv2.resize(upright, FIELD_SIZE[::-1], interpolation=cv2.INTER_AREA)
    return Harmonized(high=high, low=area_average(high, target.scale), field=field, crop=crop)


def find_crop(size: tuple[int, int], source: SourceParams, target: HarmonizeParams) -> Crop:
    """What the margins leave of an upright image of `size` (H, W), cut about its centre to the target's aspect.

    Raises:
        ValueError: Less than 16 pixels are left on a side.
    """
    height, width = size
    top, left, bottom, right = 0, 0, height, width
    if source.crop != "auto":
        margins = source.crop
        down, across = (height, width) if margins.unit == "fraction" else (1, 1)
        top, bottom = round(down * margins.top), height - round(down * margins.bottom)
        left, right = round(across * margins.left), width - round(across * margins.right)
    if target.aspect == "keep":
        ratio = target.high_size[1] / target.high_size[0]
        spare_width = max((right - left) - round((bottom - top) * ratio), 0)
        spare_height = max((bottom - top) - round((right - left) / ratio), 0)
        left, right = left + spare_width // 2, right - (spare_width - spare_width // 2)
        top, bottom = top + spare_height // 2, bottom - (spare_height - spare_height // 2)
    if min(bottom - top, right - left) < 16:
        raise ValueError(f"only {bottom - top}×{right - left} pixels are left within source.<name>.crop")
    return Crop(top=top, left=left, bottom=bottom, right=right)
