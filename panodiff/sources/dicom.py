"""Reading a radiograph from a DICOM file: its pixels, how they are to be shown, and nothing else.

Only the elements of `_READ` are taken out of a file. What pydicom says of a broken one may hold values of the file,
so none of it is passed on: every reason is one of this module's own.
"""

import io
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.sources import UnusableError

if TYPE_CHECKING:
    from pydicom import Dataset

_READ = [  # keywords of PS3.6
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PatientID",
]
_MODES = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # pydicom would inflate such a file without any limit
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_NO_DECODER = "DICOM compressed in a way that cannot be read here: convert it to an uncompressed transfer syntax"


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """A radiograph in the values of its file, brighter for denser tissue.

    Attributes:
        values: (H, W). With a window or LUT for display: uint16 over the full range, uint8 from files of up to 8 bits.
            Else what was measured, as integers or floats of any range.
        mode: The photometric interpretation.
        bits: Stored of each grey value.
        patient: PatientID. Never written anywhere.
    """

    values: NDArray[Any]
    mode: str
    bits: int
    patient: str | None


def is_dicom(data: bytes) -> bool:
    """Whether these are the bytes (the first 132 suffice) of a DICOM file, by its magic number."""
    return data[128:132] == b"DICM"


def decode_dicom(data: bytes, max_pixels: int) -> DicomImage:
    """The radiograph in the DICOM file of these bytes.

    Raises:
        UnusableError: It holds none, several, one of more than `max_pixels`, or one that cannot be read.
    """
    if _DEFLATED in data:
        raise UnusableError(_NO_DECODER, format="DICOM")
    facts: dict[str, Any] = {"format": "DICOM"}
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = _read(data)
            facts |= _facts(dataset)
            _refuse_others(dataset, max_pixels)
            return _decoded(dataset)
    except UnusableError as error:
        raise UnusableError(str(error), **facts) from None
    except ImportError:
        raise UnusableError("DICOM: to read it, `pip install panodiff[dicom]`", **facts) from None
    except Exception:  # of any kind, with values of the file in its text
        raise UnusableError("damaged: DICOM that cannot be read", **facts) from None


def _read(data: bytes) -> "Dataset":
    from pydicom import dcmread  # noqa: PLC0415 - only who has DICOM files needs it

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it logs values that break the standard's rules
    try:
        import gdcm  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError:
        pass
    else:
        gdcm.Trace.WarningOff()
        gdcm.Trace.ErrorOff()
    return dcmread(io.BytesIO(data), specific_tags=[*_READ])


def _facts(dataset: "Dataset") -> dict[str, Any]:
    """What the header says, by the manifest's columns; nothing that is free text."""
    named = {"height": "Rows", "width": "Columns", "bits": "BitsStored"}
    facts: dict[str, Any] = {column: int(dataset[name].value) for column, name in named.items() if name in dataset}
    facts["frames"] = int(dataset.get("NumberOfFrames") or 1)
    mode = dataset.get("PhotometricInterpretation")
    return facts | ({"mode": str(mode)} if mode in _MODES else {})


def _refuse_others(dataset: "Dataset", max_pixels: int) -> None:
    from pydicom.pixels import get_decoder  # noqa: PLC0415

    if "PixelData" not in dataset or "Rows" not in dataset:
        raise UnusableError("DICOM without a picture")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) != 1:
        raise UnusableError(f"a volume of {frames} frames")
    if dataset.Rows * dataset.Columns > max_pixels:
        raise UnusableError(f"larger than ingest.max_pixels ({max_pixels})")
    if dataset.PhotometricInterpretation not in _MODES:
        raise UnusableError("DICOM that is neither grey nor RGB")
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        readable = not syntax.is_compressed or get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable or (syntax == _JPEG_EXTENDED and dataset.BitsStored > 8):
        raise UnusableError(_NO_DECODER)


def _decoded(dataset: "Dataset") -> DicomImage:
    bits, mode = int(dataset.BitsStored), str(dataset.PhotometricInterpretation)
    pixels = _pixels(dataset)
    if pixels.ndim == 3:
        values: NDArray[Any] = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    else:
        values = _displayed(dataset, _rescaled(dataset, pixels), bits)
    if mode == "MONOCHROME1":  # its smallest value is white
        values = np.iinfo(values.dtype).max - values if values.dtype.kind == "u" else -values
    return DicomImage(values=values, mode=mode, bits=bits, patient=str(dataset.get("PatientID") or "").strip() or None)


def _pixels(dataset: "Dataset") -> NDArray[Any]:
    """(H, W) or, made RGB where it was YBR, (H, W, 3).

    pydicom clears what lies above the stored bits, but not what lies below them.
    """
    junk = int(dataset.get("HighBit") or 0) + 1 - int(dataset.BitsStored)
    if dataset.file_meta.TransferSyntaxUID.is_compressed or junk <= 0:
        return dataset.pixel_array
    dataset.BitsStored += junk
    return dataset.pixel_array >> junk


def _rescaled(dataset: "Dataset", pixels: NDArray[Any]) -> NDArray[Any]:
    """What the device measured (PS3.3, C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(pixels, dataset.ModalityLUTSequence[0])[0]
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    return pixels if (slope, intercept) == (1, 0) else pixels * slope + intercept


def _displayed(dataset: "Dataset", values: NDArray[Any], bits: int) -> NDArray[Any]:
    """`values` through the first LUT or window for display that the file has (PS3.3, C.11.2), over the full range."""
    brightest, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    if dataset.get("VOILUTSequence"):
        entries, depth = _looked_up(values, dataset.VOILUTSequence[0])
        return np.round(entries * (brightest / (2**depth - 1))).clip(0, brightest).astype(kind)
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or not width > 0:
        return values * np.uint8(255 // (2**bits - 1)) if bits < 8 and values.dtype == np.uint8 else values
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        share = 1 / (1 + np.exp((np.float64(-4) * (values - center) / width).clip(-700, 700)))
    elif function == "LINEAR" and width > 1:
        share = (values - (center - 0.5)) / (width - 1) + 0.5
    else:
        share = (values - center) / width + 0.5
    if not np.isfinite(share).all():
        raise UnusableError("greys must be finite numbers")
    return np.round(share.clip(0, 1) * brightest).astype(kind)


def _first(value: Any) -> float | None:
    """The first of one or several numbers, None where there is none."""
    values = [value] if isinstance(value, int | float) else list(value or [])
    return float(values[0]) if values else None


def _looked_up(values: NDArray[Any], table: "Dataset") -> tuple[NDArray[np.uint16], int]:
    """The entries of a LUT for `values`, and their bits; the first and last serve what lies outside."""
    length, first, depth = (int(number) for number in table.LUTDescriptor)
    data = table.LUTData
    packed = np.uint8 if isinstance(data, bytes) and len(data) < 2 * (length or 65536) else np.dtype("<u2")
    entries = np.frombuffer(data, packed) if isinstance(data, bytes) else np.asarray(data)
    places = np.clip(np.round(values).astype(np.int64) - first, 0, min(len(entries), length or 65536) - 1)
    return entries.astype(np.uint16)[places], min(16, max(1, depth))
