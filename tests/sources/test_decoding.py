"""Files of every kind, whole and broken, as grey pictures or as a reason."""

import io
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from corpora import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from panodiff.sources.decoding import Decoded, UnusableError, decode

GREY = picture(1, 40, 80)
LIMIT = 10_000_000
ORIENTATION = 0x0112  # EXIF


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def read(data: bytes) -> Decoded:
    return decode(data, LIMIT)


def reason(data: bytes) -> str:
    with pytest.raises(UnusableError) as caught:
        read(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "largest_error"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("GIF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
    ],
)
def test_the_content_decides_whatever_the_name_says(kind: str, options: dict, largest_error: int):
    decoded = read(encoded(GREY, kind, **options))
    assert decoded.format == kind
    assert decoded.image.dtype == np.uint8
    assert np.abs(decoded.image.astype(int) - GREY).max() <= largest_error


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_pictures_in_colour_files_keep_their_greys(mode: str):
    decoded = read(encoded(Image.fromarray(GREY).convert(mode), "PNG"))
    assert decoded.mode == mode
    assert np.array_equal(decoded.image, GREY)


def test_black_and_white_files_are_0_and_255():
    decoded = read(encoded(Image.fromarray(GREY > 99), "PNG"))
    assert decoded.mode == "1"
    assert np.array_equal(decoded.image, (GREY > 99) * np.uint8(255))


def test_a_cmyk_jpeg_is_not_inverted():
    decoded = read(encoded(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "JPEG", quality=95))
    assert decoded.mode == "CMYK"
    assert np.corrcoef(decoded.image.ravel(), GREY.ravel())[0, 1] > 0.99


def test_what_is_transparent_is_air():
    alpha = np.zeros_like(GREY)
    alpha[:, :30] = 255
    expected = np.where(alpha == 255, GREY, 0)
    assert np.array_equal(read(encoded(np.dstack([GREY, alpha]), "PNG")).image, expected)
    palette = Image.fromarray(np.where(alpha == 255, GREY, 7)).convert("P")
    opaque, transparent = encoded(palette, "PNG"), encoded(palette, "PNG", transparency=7)
    assert np.array_equal(read(opaque).image, np.where(alpha == 255, GREY, 7))
    assert np.array_equal(read(transparent).image, np.where(np.array(palette) == 7, 0, np.array(palette)))


@pytest.mark.parametrize("top", [255, 4095, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_greys_of_16_bit_files_stay_as_they_are(kind: str, top: int):
    deep = np.round(GREY / 255 * top).astype(np.uint16)
    decoded = read(encoded(deep, kind))
    assert (decoded.mode, decoded.bits, decoded.image.dtype) == ("I;16", 16, np.uint16)
    assert np.array_equal(decoded.image, deep)


def test_16_bits_a_colour_are_not_cut_to_8():
    deep = np.round(GREY / 255 * 65535).astype(np.uint16)
    colours = np.dstack([deep, deep // 2, deep // 3])
    data = cv2.imencode(".png", colours[..., ::-1])[1].tobytes()
    decoded = read(data)
    assert decoded.bits == 16
    luma = colours @ [0.299, 0.587, 0.114]
    assert np.abs(decoded.image - luma).max() < 8


def test_greys_of_a_wider_range_are_stretched_over_16_bits():
    for values in ((GREY / np.float32(255)).astype(np.float32), GREY.astype(np.float32) * 1000.5 - 70000):
        decoded = read(encoded(values, "TIFF"))
        assert (decoded.mode, decoded.bits) == ("F", 16)
        assert np.array_equal(decoded.image, np.round(GREY.astype(float) * 257))


def test_whole_numbers_that_fit_into_16_bits_stay_or_begin_at_0():
    assert np.array_equal(read(encoded(GREY.astype(np.float32), "TIFF")).image, GREY)
    assert np.array_equal(read(encoded(GREY.astype(np.int32) * 200, "TIFF")).image, GREY.astype(int) * 200)
    assert np.array_equal(read(encoded(GREY.astype(np.int32) - 1000, "TIFF")).image, GREY)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_greys_that_are_no_numbers_are_refused(wrong: float):
    values = GREY.astype(np.float32)
    values[3, 4] = wrong
    assert reason(encoded(values, "TIFF")) == "greys must be finite numbers"


def test_a_picture_of_one_grey_is_one_in_every_depth():
    for kind in (np.uint8, np.uint16, np.int32, np.float32):
        assert np.ptp(read(encoded(np.full((4, 8), 7, kind), "TIFF")).image) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("colours", [False, True])
def test_the_quick_way_gives_the_same_pixels_as_pillow(kind: str, colours: bool):
    rng = np.random.default_rng(4)
    shape = (41, 83, 3) if colours else (41, 83)
    data = encoded(rng.integers(0, 256, shape, np.uint8), kind)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image)
    if colours:
        expected = cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(read(data).image, expected)


def test_colours_become_the_same_grey_in_every_format():
    colours = np.random.default_rng(5).integers(0, 256, (30, 70, 3), np.uint8)
    greys = [
        read(encoded(colours, kind, **options)).image
        for kind, options in [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
    ]
    greys.append(read(encoded(Image.fromarray(colours).convert("RGBA"), "PNG")).image)
    assert all(np.array_equal(grey, greys[0]) for grey in greys)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(kind: str):
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY[::-1].copy())]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(GREY, kind, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    decoded = read(data)
    assert np.array_equal(decoded.image, GREY)
    assert decoded.frames == 3


def test_a_camera_file_of_two_pictures_gives_the_first():
    data = encoded(GREY, "MPO", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    decoded = read(data)
    assert np.abs(decoded.image.astype(int) - GREY).max() < 40
    assert decoded.frames == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_honoured(kind: str):
    as_stored = {  # EXIF 2.32, table 6: where row 0 and column 0 of the stored picture are
        1: lambda upright: upright,
        2: lambda upright: upright[:, ::-1],
        3: lambda upright: upright[::-1, ::-1],
        4: lambda upright: upright[::-1],
        5: lambda upright: upright.T,
        6: np.rot90,
        7: lambda upright: upright[::-1, ::-1].T,
        8: lambda upright: np.rot90(upright, -1),
    }
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    for orientation, store in as_stored.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        data = encoded(np.ascontiguousarray(store(GREY)), kind, exif=exif, **options)
        decoded = read(data)
        image = decoded.image
        assert decoded.orientation == orientation
        assert image.shape == GREY.shape
        assert np.abs(image.astype(int) - GREY).max() <= (12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_a_truncated_file_is_damaged_wherever_it_ends(kind: str):
    data = encoded(GREY, kind)
    for tenth in range(1, 10):
        assert reason(data[: len(data) * tenth // 10]).startswith(("damaged: ", "not an image"))


def test_files_damaged_in_the_same_way_have_the_same_reason():
    data = encoded(GREY, "JPEG")
    assert reason(data[: len(data) // 2]) == reason(data[: len(data) // 2 + 9])


def test_an_empty_file_and_one_of_text_have_their_own_reasons():
    assert reason(b"") == "empty file"
    assert reason(b"404: Not Found\n") == "not an image that can be read"
    assert reason(b"\0" * 1000) == "not an image that can be read"


def test_a_picture_of_one_pixel_is_one():
    assert read(encoded(np.full((1, 1), 77, np.uint8), "PNG")).image.tolist() == [[77]]


def test_no_program_is_started_for_a_file():
    """Pillow hands PostScript to Ghostscript."""
    data = encoded(GREY, "EPS")
    assert reason(data) == "not an image that can be read"


def test_an_orientation_after_the_pixels_and_one_in_xmp_are_honoured():
    turned = encoded(np.ascontiguousarray(np.rot90(GREY)), "PNG")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert np.array_equal(read(with_chunk(turned, b"eXIf", exif.tobytes()[6:])).image, GREY)
    xmp = b"XML:com.adobe.xmp" + bytes(5) + b'<x tiff:Orientation="6"/>'
    assert np.array_equal(read(with_chunk(turned, b"iTXt", xmp)).image, GREY)


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its end."""
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return data[:-12] + struct.pack(">I", len(body)) + kind + body + crc + data[-12:]


def test_a_png_whose_rows_end_too_early_is_damaged():
    """Pillow makes the missing rows black."""
    rows = b"".join(b"\0" + row.tobytes() for row in GREY[:20])
    data = png_header(*GREY.shape, zlib.compress(rows))
    assert reason(data) == "damaged: image data end too early"
    assert read(png_header(20, GREY.shape[1], zlib.compress(rows))).image.shape == (20, 80)


def test_metadata_that_pillow_stumbles_over_cost_no_picture():
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = 6, "abc"
    data = encoded(GREY, "JPEG", exif=exif).replace(b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02")  # the width is a word
    assert read(data).image.size == GREY.size


def png_header(height: int, width: int, pixels: bytes = zlib.compress(b"\0" * 1000)) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@contextmanager
def little_memory() -> Iterator[None]:
    """At most 300 MB more than now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300_000_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_too_many_pixels_are_refused_before_decoding_and_memory_stays_small():
    with little_memory(), pytest.raises(UnusableError) as caught:
        read(png_header(40000, 40000))
    assert str(caught.value) == f"larger than ingest.max_pixels ({LIMIT})"
    assert caught.value.facts == {"format": "PNG", "mode": "L", "height": 40000, "width": 40000}


def test_the_limit_is_the_last_size_that_passes():
    assert decode(encoded(GREY, "PNG"), max_pixels=GREY.size).image.shape == GREY.shape
    with pytest.raises(UnusableError, match=r"larger than ingest.max_pixels \(3199\)"):
        decode(encoded(GREY, "PNG"), max_pixels=GREY.size - 1)


def test_what_tags_say_is_never_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    exif = Image.Exif()
    exif[0x010E] = "Jane Roe"
    for kind in ("TIFF", "PNG", "JPEG", "WEBP"):
        read(encoded(GREY, kind, exif=exif))
    assert "Roe" not in caplog.text


def whole_files() -> list[bytes]:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = 6, "maker"
    small = GREY[:16, :32].copy()
    kinds = [("PNG", {"exif": exif}), ("JPEG", {"exif": exif}), ("WEBP", {"exif": exif}), ("BMP", {}), ("GIF", {})]
    deep, palette = small.astype(np.uint16) * 257, Image.fromarray(small).convert("P")
    return [
        *(encoded(small, kind, **options) for kind, options in kinds),
        encoded(deep, "PNG"),
        encoded(palette, "PNG", transparency=3),
    ]


@settings(max_examples=300, deadline=None)
@given(
    which=st.sampled_from(whole_files()),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5),
    end=st.integers(1, 2000),
)
def test_no_damage_makes_decoding_fail_otherwise_than_with_a_reason(
    which: bytes, edits: list[tuple[int, int]], end: int
):
    data = bytearray(which[:end])
    for place, value in edits:
        data[place % len(data)] = value
    try:
        image = read(bytes(data)).image
    except UnusableError as error:
        assert str(error)
    else:
        assert image.ndim == 2
        assert image.dtype in (np.uint8, np.uint16)
