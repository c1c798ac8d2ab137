"""What is odd about an image: measured, held against the limits of the section `quality`, flagged or rejected."""

from collections.abc import Mapping
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.harmonize.exposure import SURE_POLARITY
from panodiff.images import Grey
from panodiff.params_data import QualityParams

_PATCH = 192  # side of the native pixels that are looked at for detail, pixels
_EDGE_OF_TEXT = 45  # greys between neighbours
_RIM = 0.15  # of the crop's height at the top and at the bottom: where devices write


def measure(*, native: Grey, field: Grey, crop: Grey) -> dict[str, float]:
    """The numbers that the limits are held against.

    Args:
        native: The upright image, (H, W), of the file's resolution.
        field: Its exposed field, small.
        crop: What was cut out of it, small.
    """
    darker = np.cumsum(cv2.calcHist([field], [0], None, [256], [0, 256])) / field.size
    low, middle, high = np.searchsorted(darker, (0.05, 0.5, 0.95)) / 255
    height, width = field.shape
    return {
        "contrast": float(high - low),
        "bright": float(high),
        "middle": float(middle),
        "aspect": width / height,
        "detail": fine_detail(native),
        "text": written_share(crop),
    }


def find_flags(
    measures: Mapping[str, float], params: QualityParams, *, enlarged: bool, frames: int, polarity: float | None
) -> list[str]:
    """The flags of an image, in the order of the section `quality`.

    Args:
        measures: Of `measure`.
        params: The limits.
        enlarged: Whether the crop has fewer pixels than the high-resolution image.
        frames: In the file.
        polarity: As measured where it decided, else None.
    """
    least, most = params.aspect
    found = {
        "blank": measures["contrast"] < params.blank,
        "under_exposed": measures["bright"] < params.under_exposed,
        "over_exposed": measures["middle"] > params.over_exposed,
        "not_panoramic": not least <= measures["aspect"] <= most,
        "burned_in_text": measures["text"] > params.burned_in_text,
        "upscaled": measures["detail"] < params.upscaled,
        "small": enlarged,
        "several_frames": frames > 1,
        "polarity_unsure": polarity is not None and abs(polarity) < SURE_POLARITY,
    }
    return [flag for flag, is_set in found.items() if is_set]


def fine_detail(native: Grey) -> float:
    """Standard deviation, in greys, of what is finer than 8/3 pixels in the middle of the image.

    Rounding to whole greys alone makes 0.29. Below 1.0 are 1 of 153 real radiographs as they were, and 88 to 100 % of
    them enlarged 1.5 to 3 times (bilinear, bicubic, Lanczos; saved as JPEG of quality 90 afterwards or not).
    """
    height, width = native.shape
    side = min(_PATCH, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    patch = native[top : top + side, left : left + side].astype(np.float32)
    taper, is_fine = _taper(side)
    spectrum = np.fft.rfft2((patch - patch.mean()) * taper)[is_fine]
    return float(np.sqrt((spectrum.real**2 + spectrum.imag**2).mean() / (taper**2).sum()))


@cache
def _taper(side: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Hann's window (side, side), and which frequencies of its real transform are finer than 8/3 pixels."""
    window = np.hanning(side).astype(np.float32)
    down, across = np.abs(np.fft.fftfreq(side))[:, None], np.fft.rfftfreq(side)
    return window[:, None] * window, np.maximum(down, across) > 3 / 8


def written_share(crop: Grey) -> float:
    """Share of the pixels at the edge of a letter, in the row near the upper or lower edge that has most of them."""
    rim = max(2, int(len(crop) * _RIM))
    rows = np.concatenate([crop[:rim], crop[-rim:]]).astype(np.int16)
    return float((np.abs(np.diff(rows, axis=1)) > _EDGE_OF_TEXT).mean(axis=1).max())
