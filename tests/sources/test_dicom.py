"""DICOM files of every kind that devices write, and what of them is taken."""

import builtins
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from corpora import picture
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from panodiff.sources import UnusableError
from panodiff.sources.decoding import decode

GREY = picture(1, 40, 80)
DEEP = np.round(GREY / 255 * 4095).astype(np.uint16)  # 12 bits
IDENTIFIERS = {
    "PatientName": "Roe^Jane",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19610203",
    "PatientAddress": "7 Elm Street",
    "InstitutionName": "Saint Nowhere",
    "ReferringPhysicianName": "Doe^Ann",
    "StudyDescription": "OPG of Jane Roe",
    "AccessionNumber": "ACC-0815",
    "StudyInstanceUID": "1.2.826.0.1.77.4711",
    "DeviceSerialNumber": "SN-123456",
}


def dicom(pixels: np.ndarray, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **values: Any) -> bytes:
    """The bytes of a DICOM file of native pixels, (H, W), (H, W, 3) or (frames, H, W) with NumberOfFrames."""
    dataset = described(pixels, bits, values)
    dataset.PixelData = pixels.tobytes()
    return written(dataset, syntax)


def compressed(pixels: np.ndarray, bits: int, syntax: str, frame: bytes, **values: Any) -> bytes:
    dataset = described(pixels, bits, values)
    dataset.PixelData = encapsulate([frame])
    return written(dataset, syntax)


def described(pixels: np.ndarray, bits: int, values: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for name, value in IDENTIFIERS.items():
        setattr(dataset, name, value)
    rows, columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[:2]
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel = 3 if pixels.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.shape[-1] == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def written(dataset: Dataset, syntax: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4711"
    meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data = io.BytesIO()
    FileDataset(data, dataset, file_meta=meta, preamble=bytes(128)).save_as(data, enforce_file_format=True)
    return data.getvalue()


def image(data: bytes) -> np.ndarray:
    return decode(data, 10**6).image


def reason(data: bytes) -> str:
    with pytest.raises(UnusableError) as caught:
        decode(data, 10**6)
    return str(caught.value)


def lut(first: int, depth: int, entries: np.ndarray, packed: bool = True) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, depth]
    item.add_new("LUTData", "OW" if packed else "US", entries.astype("<u2").tobytes() if packed else entries.tolist())
    return [item]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (12, np.uint16), (16, np.uint16), (12, np.int16)])
def test_greys_stay_as_they_are(syntax: str, bits: int, kind: type):
    pixels = (np.round(GREY / 255 * (2**bits - 1)) / (2 if kind == np.int16 else 1)).astype(kind)
    decoded = decode(dicom(pixels, bits, syntax), 10**6)
    assert np.array_equal(decoded.image, pixels)
    assert decoded.image.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert (decoded.format, decoded.mode, decoded.bits, decoded.frames) == ("DICOM", "MONOCHROME2", bits, 1)


def test_the_other_byte_order_is_read():
    dataset = described(DEEP, 12, {})
    dataset.PixelData = DEEP.astype(">u2").tobytes()
    data = io.BytesIO()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRBigEndian
    file = FileDataset(data, dataset, file_meta=meta, preamble=bytes(128))
    pydicom.dcmwrite(data, file, little_endian=False, implicit_vr=False)
    assert np.array_equal(image(data.getvalue()), DEEP)


def test_negative_greys_begin_at_0():
    assert np.array_equal(image(dicom(DEEP.astype(np.int16) - 2048, 16)), DEEP)


def test_of_monochrome1_air_becomes_dark():
    for pixels, bits in ((GREY, 8), (DEEP, 12), (DEEP.astype(np.int16) - 2048, 12)):
        upside = image(dicom(pixels.max() - (pixels - pixels.min()), bits, PhotometricInterpretation="MONOCHROME1"))
        assert np.corrcoef(upside.ravel(), GREY.ravel())[0, 1] > 0.999
        assert np.array_equal(np.diff(upside.astype(int)), np.diff(pixels.astype(int)))
    windowed = dicom(4095 - DEEP, PhotometricInterpretation="MONOCHROME1", WindowCenter=2048, WindowWidth=4096)
    assert np.abs(image(windowed) - DEEP * (65535 / 4095)).max() <= 1


def test_graphics_above_the_stored_bits_and_junk_below_them_are_no_greys():
    assert np.array_equal(image(dicom(DEEP | 0x8000)), DEEP)
    assert np.array_equal(image(dicom((DEEP << 4) | 5, HighBit=15)), DEEP)
    signed = DEEP.astype(np.int16) - 2048
    assert np.array_equal(image(dicom(signed & 0x0FFF)), DEEP)  # bits above the sign are not set


def test_the_rescaling_is_applied():
    assert np.array_equal(image(dicom(DEEP, RescaleSlope=2, RescaleIntercept=100)), 2 * DEEP + 100)
    assert np.array_equal(image(dicom(DEEP, RescaleSlope=1, RescaleIntercept=-1000)), DEEP - DEEP.min())
    table = np.arange(4096)[::-1] * 3
    for packed in (True, False):
        assert np.array_equal(image(dicom(DEEP, ModalityLUTSequence=lut(0, 16, table, packed))), table[DEEP])


def test_a_window_is_clipped_to_and_scaled_over_16_bits():
    shown = image(dicom(DEEP, WindowCenter=[2048, 9], WindowWidth=[1001, 9])).astype(float)
    expected = ((DEEP.astype(float) - 2047.5) / 1000 + 0.5).clip(0, 1) * 65535  # PS3.3, C.11.2.1.2.1
    assert np.abs(shown - expected).max() <= 0.5
    assert shown.min() == 0
    assert shown.max() == 65535


def test_a_window_means_rescaled_greys():
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    assert np.array_equal(
        image(dicom(DEEP, WindowCenter=3072, WindowWidth=2000, **rescaled)),
        image(dicom((2 * DEEP).astype(np.uint16), 13, WindowCenter=4096, WindowWidth=2000)),
    )


def test_the_other_functions_of_a_window_are_those_of_the_standard():
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    exact = ((DEEP - 2000.0) / 1000 + 0.5).clip(0, 1) * 65535
    assert np.abs(image(dicom(DEEP, VOILUTFunction="LINEAR_EXACT", **window)) - exact).max() <= 0.5
    sigmoid = 65535 / (1 + np.exp(-4 * (DEEP - 2000.0) / 1000))
    assert np.abs(image(dicom(DEEP, VOILUTFunction="SIGMOID", **window)) - sigmoid).max() <= 0.5


def test_a_lut_for_display_goes_before_a_window_and_its_ends_serve_what_lies_outside():
    table = np.arange(1000) ** 2 // 1000
    shown = image(dicom(DEEP, VOILUTSequence=lut(1000, 10, table), WindowCenter=1, WindowWidth=1))
    expected = table[np.clip(DEEP.astype(int) - 1000, 0, 999)] * (65535 / 1023)
    assert np.abs(shown - expected).max() <= 0.5


def test_a_window_of_no_width_is_none():
    assert np.array_equal(image(dicom(DEEP, WindowCenter=5, WindowWidth=0)), DEEP)


def test_files_of_8_bits_stay_8_bits_with_a_window():
    shown = image(dicom(GREY, 8, WindowCenter=128, WindowWidth=256))
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, GREY)


def test_pixels_of_one_bit_are_black_and_white():
    bits = GREY > 99
    dataset = described(GREY, 1, {"BitsAllocated": 1})
    dataset.PixelData = np.packbits(bits, bitorder="little").tobytes()
    assert np.array_equal(image(written(dataset, ExplicitVRLittleEndian)), bits * np.uint8(255))


def test_colours_become_the_grey_that_they_become_elsewhere():
    colours = np.random.default_rng(3).integers(0, 256, (40, 80, 3), np.uint8)
    png = io.BytesIO()
    Image.fromarray(colours).save(png, "PNG")
    decoded = decode(dicom(colours, 8), 10**6)
    assert np.array_equal(decoded.image, image(png.getvalue()))
    assert decoded.mode == "RGB"


def jpeg(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def by_gdcm(data: bytes, syntax: int) -> bytes:
    """The file's pixels in another transfer syntax of GDCM's numbers, as a DICOM file."""
    gdcm = pytest.importorskip("gdcm")
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(file.name)
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(file.name)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return Path(file.name).read_bytes()


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_lossless_compression_gives_the_same_pixels(name: str, kind: type):
    gdcm = pytest.importorskip("gdcm")
    pixels = {np.uint8: GREY, np.uint16: DEEP, np.int16: DEEP.astype(np.int16) - 2048}[kind]
    plain = dicom(pixels, 8 if kind == np.uint8 else 12)
    packed = by_gdcm(plain, getattr(gdcm.TransferSyntax, name))
    syntaxes = {JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless}
    assert pydicom.dcmread(io.BytesIO(packed)).file_meta.TransferSyntaxUID in syntaxes
    assert np.array_equal(image(packed), GREY if kind == np.uint8 else DEEP)


def test_jpeg_baseline_is_read():
    data = compressed(GREY, 8, JPEGBaseline8Bit, jpeg(GREY, "JPEG", quality=95))
    assert np.abs(image(data).astype(int) - GREY).max() <= 12


def test_what_no_decoder_reads_says_so():
    message = "DICOM compressed in a way that cannot be read here: convert it to an uncompressed transfer syntax"
    assert reason(compressed(DEEP, 12, JPEGExtended12Bit, b"\xff\xd8")) == message
    assert reason(compressed(DEEP, 12, "1.2.840.10008.1.2.4.100", b"none")) == message  # MPEG-2
    assert reason(dicom(DEEP, syntax=DeflatedExplicitVRLittleEndian)) == message


def test_what_is_no_single_radiograph_has_its_reason():
    volume = np.stack([DEEP, DEEP, DEEP, DEEP])
    assert reason(dicom(volume, NumberOfFrames=4)) == "a volume of 4 frames"
    assert reason(written(Dataset(), ExplicitVRLittleEndian)) == "DICOM without a picture"
    assert reason(dicom(GREY, 8, PhotometricInterpretation="PALETTE COLOR")) == "DICOM that is neither grey nor RGB"
    with pytest.raises(UnusableError, match=r"larger than ingest.max_pixels \(99\)") as caught:
        decode(dicom(DEEP), 99)
    facts = {"format": "DICOM", "mode": "MONOCHROME2", "bits": 12, "frames": 1, "height": 40, "width": 80}
    assert caught.value.facts == facts


def test_a_truncated_file_is_damaged_wherever_it_ends():
    data = dicom(DEEP)
    for tenth in range(1, 10):
        said = reason(data[: 200 + (len(data) - 200) * tenth // 10])
        assert said in ("damaged: DICOM that cannot be read", "DICOM without a picture")


def test_nothing_that_pydicom_says_of_broken_values_is_passed_on(caplog, capfd, recwarn):
    caplog.set_level("DEBUG")
    whole = dicom(DEEP, WindowCenter="2048", WindowWidth="1000")
    for old, new in ((b"2048", b"Jane"), (b"1000", b"Roe "), (b"MONOCHROME2", b"Jane Roe 47")):
        assert old in whole
        assert "Jane" not in reason(whole.replace(old, new))
    assert decode(whole, 10**6).patient == "MRN-4711"
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(warning.message) for warning in recwarn)
    assert not [value for value in ("Jane", "Roe", *IDENTIFIERS.values()) if value in said]


def test_without_pydicom_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    installed = builtins.__import__

    def not_installed(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pydicom":
            raise ImportError(name)
        return installed(name, *rest)

    data = dicom(DEEP)
    monkeypatch.setattr(builtins, "__import__", not_installed)
    assert reason(data) == "DICOM: to read it, `pip install panodiff[dicom]`"
