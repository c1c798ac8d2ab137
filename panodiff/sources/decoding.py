"""Reading a radiograph from whatever file holds it: grey, 8 bits, upright by its EXIF orientation."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from panodiff.images import Grey

Image.MAX_IMAGE_PIXELS = None  # the limit is ingest.max_pixels, checked before decoding


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
        content = path.read_bytes()
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None
    if not content:
        raise UnusableError("empty file")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > max_pixels:
                size = f"{image.height}×{image.width}"
                raise UnusableError(f"larger than ingest.max_pixels ({max_pixels}): {size}")
            kind, mode = image.format or "unknown", image.mode
            return Decoded(image=_to_grey(ImageOps.exif_transpose(image)), format=kind, mode=mode)
    except UnidentifiedImageError:
        raise UnusableError("not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise UnusableError(f"damaged: {error}") from None


def _to_grey(image: Image.Image) -> Grey:
    if image.mode.startswith(("I", "F")):  # 16 bits or more, or floats: scaled by the full range
        values = np.asarray(image, np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return np.clip(values * (255 / top) + 0.5, 0, 255).astype(np.uint8)
    if "A" in image.getbands() or "transparency" in image.info:  # what is transparent is air: black
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.asarray(image.convert("L"))
