"""Reading a radiograph from the bytes of whatever file holds it: grey, as deep as the file, upright by its EXIF."""

import io
import logging
import re
import struct
import warnings
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from panodiff.sources import UnusableError
from panodiff.sources.dicom import decode_dicom, is_dicom

__all__ = ["Decoded", "UnusableError", "decode"]

Image.MAX_IMAGE_PIXELS = None  # the limit is ingest.max_pixels, checked before decoding
logging.getLogger("PIL").setLevel(logging.WARNING)  # below that it logs what tags hold: names, too
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file stands on its row
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")  # by content; for others Pillow starts programs (Ghostscript)
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258  # tags of EXIF and TIFF

Deep = NDArray[np.uint8] | NDArray[np.uint16]  # (H, W)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A radiograph and what its file said of itself.

    Attributes:
        image: Grey values, (H, W), upright: uint8 where the file has 8 bits or fewer, else uint16.
        format: PNG, JPEG, TIFF, BMP, WEBP, GIF, MPO or DICOM.
        mode: As the format's library names it: L, RGB, I;16, … or DICOM's photometric interpretation.
        bits: Of a grey value in the file, at most 16.
        frames: In the file; `image` is the first one.
        orientation: EXIF's, 1 (upright) to 8, already applied.
        patient: Who it is by the DICOM file, to group images by. Never written anywhere.
    """

    image: Deep
    format: str
    mode: str
    bits: int
    frames: int = 1
    orientation: int = 1
    patient: str | None = None


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The first frame of the image file of these bytes.

    Raises:
        UnusableError: They are no image, damaged, or an image of more than `max_pixels`.
    """
    if not data:
        raise UnusableError("empty file")
    if is_dicom(data):
        found = decode_dicom(data, max_pixels)
        grey = found.values if found.values.dtype == np.uint8 else _deep(found.values)
        return Decoded(image=grey, format="DICOM", mode=found.mode, bits=min(16, found.bits), patient=found.patient)
    facts = {}
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            facts = {"format": image.format, "mode": image.mode, "height": image.height, "width": image.width}
            if image.width * image.height > max_pixels:
                raise UnusableError(f"larger than ingest.max_pixels ({max_pixels})")
            return _decoded(data, image)
    except UnusableError as error:
        raise UnusableError(str(error), **facts) from None
    except UnidentifiedImageError:
        raise UnusableError("not an image that can be read") from None
    except Exception as error:  # whatever a broken file makes Pillow raise: struct.error, KeyError, MemoryError, ...
        text = re.split(r" \(|: |['\"]", str(error))[0]  # without what it may quote of the file
        kind = re.sub(r"\d+", "n", text)  # nor the file's own numbers: reasons are counted
        raise UnusableError(f"damaged: {kind or type(error).__name__}", **facts) from None


def _decoded(data: bytes, image: Image.Image) -> Decoded:
    mode, kind = image.mode, image.format or "unknown"
    plain = _plain(data, image)
    quick = None if plain is None else cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
    if quick is not None:
        orientation = _orientation(image) if kind == "JPEG" else 1
        grey = cast("Deep", quick if quick.ndim == 2 else cv2.cvtColor(quick, cv2.COLOR_BGR2GRAY))
        upright, bits = _upright(grey, orientation), 8 * grey.itemsize
        return Decoded(image=upright, format=kind, mode=mode, bits=bits, orientation=orientation)
    orientation = _orientation(image)
    image.load()
    if plain is not None and kind == "PNG":  # Pillow makes black of rows that are missing
        raise UnusableError("damaged: image data end too early")
    grey = _upright(_to_grey(image), 1 if kind == "TIFF" else orientation)  # Pillow turns TIFF files itself
    bits = 1 if mode == "1" else _depth(image) if grey.dtype == np.uint16 else 8
    frames = getattr(image, "n_frames", 1)  # last: it moves on to the other frames
    return Decoded(image=grey, format=kind, mode=mode, bits=bits, frames=frames, orientation=orientation)


def _plain(data: bytes, image: Image.Image) -> bytes | None:
    """What OpenCV decodes to the same pixels as Pillow, and faster: a grey or RGB JPEG, or a PNG without extras.

    None where more than the pixels decides (transparency, animation, orientation), and for broken PNG files. Of PNG
    files also the 16-bit ones, which Pillow reduces to 8 bits where they have colours.
    """
    if image.format == "JPEG":
        return data if image.mode in ("L", "RGB") and b"\xff\xd9" in data[-64:] else None
    if image.format != "PNG" or data[24] < 8 or data[25] not in (0, 2):  # bits; neither palette nor transparency
        return None
    chunks, start = [data[:8]], 8
    while start + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, start)
        end, kind = start + 12 + size, data[start + 4 : start + 8]
        text = data[start + 8 : start + 24] if kind in (b"tEXt", b"zTXt") else b""
        if end > len(data) or kind in (b"tRNS", b"acTL", b"eXIf", b"iTXt") or text.startswith(b"Raw profile"):
            return None
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            chunks.append(data[start:end])
        if kind == b"IEND":
            return b"".join(chunks)
        start = end
    return None


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or another number."""
    value = image.getexif().get(_ORIENTATION, 1)
    return int(value) if value in range(1, 9) else 1


def _upright(grey: Deep, orientation: int) -> Deep:
    """EXIF 2.32, table 6: where the stored picture's first row and column are; from 5 on it lies on its side."""
    if orientation >= 5:
        grey = grey.T
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return cast("Deep", np.ascontiguousarray(grey[::rows, ::columns]))


def _depth(image: Image.Image) -> int:
    """Bits of a grey value of an image deeper than 8."""
    depths = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return min(16, int(depths[0]))


def _to_grey(image: Image.Image) -> Deep:
    if image.mode.startswith(("I", "F")):
        return _deep(np.asarray(image))
    if "A" in image.getbands() or "transparency" in image.info:  # what is transparent is air: black
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return cast("Deep", cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2GRAY))


def _deep(values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Greys of more than 8 bits as they are, where uint16 holds them, or shifted to begin at 0.

    Fractions, and greys of a wider range, are stretched from the darkest to the brightest.
    """
    if values.dtype.kind == "u" and values.itemsize == 2:
        return values.astype(np.uint16)
    greys = values.astype(np.float64)
    low, high = float(greys.min()), float(greys.max())
    if not np.isfinite(high - low):
        raise UnusableError("greys must be finite numbers")
    offset = 0 if low >= 0 and high <= 65535 else low
    if high - offset <= 65535 and np.array_equal(greys, np.floor(greys)):
        return (greys - offset).astype(np.uint16)
    return np.round((greys - low) * (65535 / max(high - low, 1e-300))).astype(np.uint16)
