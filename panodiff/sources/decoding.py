"""Reading a radiograph from whatever file holds it: grey, 8 bits, upright by its EXIF orientation."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from panodiff.images import Grey

Image.MAX_IMAGE_PIXELS = None  # the limit is ingest.max_pixels, checked before decoding
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")  # by content; for others Pillow starts programs (Ghostscript)
FULL_RANGES = (255, 4095, 65535)  # of 8, 12 and 16 bits


class UnusableError(Exception):
    """The file is no usable radiograph; the message says why, for its row in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A radiograph and what its file said of itself."""

    image: Grey
    format: str
    mode: str


def decode(path: Path, max_pixels: int) -> Decoded:
    """The first frame of the image file at `path`, 8-bit grey (H, W).

    Raises:
        UnusableError: The file cannot be read, is no image, is damaged, or is larger than `max_pixels`.
    """
    try:
        if not path.stat().st_size:
            raise UnusableError("empty file")
        ignoring = warnings.catch_warnings(action="ignore")  # what is wrong with a file stands on its row
        with ignoring, path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UnusableError(f"larger than ingest.max_pixels ({max_pixels})")
            kind, mode = image.format or "unknown", image.mode
            return Decoded(image=_to_grey(ImageOps.exif_transpose(image)), format=kind, mode=mode)
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError("not an image that can be read") from None
    except Exception as error:  # whatever a broken file makes Pillow raise: struct.error, KeyError, MemoryError, ...
        if isinstance(error, OSError) and error.strerror:
            raise UnusableError(f"cannot be read: {error.strerror}") from None
        kind = re.sub(r"\d+", "n", str(error).partition(" (")[0])  # without the file's own numbers: reasons are counted
        raise UnusableError(f"damaged: {kind or type(error).__name__}") from None


def _to_grey(image: Image.Image) -> Grey:
    if image.mode.startswith(("I", "F")):
        return _scaled(np.asarray(image, np.float32), (1, *FULL_RANGES) if image.mode == "F" else FULL_RANGES)
    if "A" in image.getbands() or "transparency" in image.info:  # what is transparent is air: black
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.asarray(image.convert("L"))


def _scaled(values: NDArray[np.float32], ranges: tuple[int, ...]) -> Grey:
    """Greys of more than 8 bits, scaled by the smallest of `ranges` that holds them.

    Files of 16 bits often hold 12 that a detector gave: scaled by 65535, those would be black.
    """
    largest = float(values.max(initial=0))
    if not np.isfinite(values).all() or largest > ranges[-1]:
        raise UnusableError(f"greys must lie between 0 and {ranges[-1]}, got {largest:g}")
    top = next(full for full in ranges if largest <= full)
    return np.clip(values * (255 / top) + 0.5, 0, 255).astype(np.uint8)
