"""Files of every kind, whole and broken, as 8-bit grey pictures or as a reason."""

import io
import os
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import picture
from hypothesis import HealthCheck, given, settings
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


def read(folder: Path, data: bytes, name: str = "file.png") -> Decoded:
    (folder / name).write_bytes(data)
    return decode(folder / name, LIMIT)


def reason(folder: Path, data: bytes) -> str:
    with pytest.raises(UnusableError) as caught:
        read(folder, data)
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
def test_the_content_decides_whatever_the_name_says(tmp_path: Path, kind: str, options: dict, largest_error: int):
    decoded = read(tmp_path, encoded(GREY, kind, **options), "file.png")
    assert decoded.format == kind
    assert decoded.image.dtype == np.uint8
    assert np.abs(decoded.image.astype(int) - GREY).max() <= largest_error


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_pictures_in_colour_files_keep_their_greys(tmp_path: Path, mode: str):
    decoded = read(tmp_path, encoded(Image.fromarray(GREY).convert(mode), "PNG"))
    assert decoded.mode == mode
    assert np.array_equal(decoded.image, GREY)


def test_black_and_white_files_are_0_and_255(tmp_path: Path):
    decoded = read(tmp_path, encoded(Image.fromarray(GREY > 99), "PNG"))
    assert decoded.mode == "1"
    assert np.array_equal(decoded.image, (GREY > 99) * np.uint8(255))


def test_a_cmyk_jpeg_is_not_inverted(tmp_path: Path):
    decoded = read(tmp_path, encoded(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "JPEG", quality=95))
    assert decoded.mode == "CMYK"
    assert np.corrcoef(decoded.image.ravel(), GREY.ravel())[0, 1] > 0.99


def test_what_is_transparent_is_air(tmp_path: Path):
    alpha = np.zeros_like(GREY)
    alpha[:, :30] = 255
    expected = np.where(alpha == 255, GREY, 0)
    assert np.array_equal(read(tmp_path, encoded(np.dstack([GREY, alpha]), "PNG")).image, expected)
    palette = Image.fromarray(np.where(alpha == 255, GREY, 7)).convert("P")
    opaque, transparent = encoded(palette, "PNG"), encoded(palette, "PNG", transparency=7)
    assert np.array_equal(read(tmp_path, opaque).image, np.where(alpha == 255, GREY, 7))
    assert np.array_equal(read(tmp_path, transparent).image, np.where(np.array(palette) == 7, 0, np.array(palette)))


@pytest.mark.parametrize("top", [4095, 65535])
def test_12_and_16_bits_in_16_bit_files_are_scaled_by_their_full_range(tmp_path: Path, top: int):
    deep = np.round(GREY / 255 * top).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        decoded = read(tmp_path, encoded(deep, kind))
        assert decoded.mode == "I;16"
        assert np.array_equal(decoded.image, GREY)


def test_8_bits_in_16_bit_files_stay_as_they_are(tmp_path: Path):
    assert np.array_equal(read(tmp_path, encoded(GREY.astype(np.uint16), "PNG")).image, GREY)


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_fractions_are_scaled_by_their_full_range(tmp_path: Path, top: int):
    values = (GREY / np.float32(255) * top).astype(np.float32)
    assert np.array_equal(read(tmp_path, encoded(values, "TIFF")).image, GREY)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 70000])
def test_greys_that_no_range_holds_are_refused(tmp_path: Path, wrong: float):
    values = GREY.astype(np.float32)
    values[3, 4] = wrong
    assert reason(tmp_path, encoded(values, "TIFF")).startswith("greys must lie between 0 and 65535")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, kind: str):
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY[::-1].copy())]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(GREY, kind, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert np.array_equal(read(tmp_path, data).image, GREY)


def test_a_camera_file_of_two_pictures_gives_the_first(tmp_path: Path):
    data = encoded(GREY, "MPO", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    assert np.abs(read(tmp_path, data).image.astype(int) - GREY).max() < 40


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_honoured(tmp_path: Path, kind: str):
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
        image = read(tmp_path, data).image
        assert image.shape == GREY.shape
        assert np.abs(image.astype(int) - GREY).max() <= (12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_a_truncated_file_is_damaged_wherever_it_ends(tmp_path: Path, kind: str):
    data = encoded(GREY, kind)
    for tenth in range(1, 10):
        assert reason(tmp_path, data[: len(data) * tenth // 10]).startswith(("damaged: ", "not an image"))


def test_files_damaged_in_the_same_way_have_the_same_reason(tmp_path: Path):
    data = encoded(GREY, "JPEG")
    assert reason(tmp_path, data[: len(data) // 2]) == reason(tmp_path, data[: len(data) // 2 + 9])


def test_an_empty_file_and_one_of_text_have_their_own_reasons(tmp_path: Path):
    assert reason(tmp_path, b"") == "empty file"
    assert reason(tmp_path, b"404: Not Found\n") == "not an image that can be read"
    assert reason(tmp_path, b"\0" * 1000) == "not an image that can be read"


def test_a_picture_of_one_pixel_is_one(tmp_path: Path):
    assert read(tmp_path, encoded(np.full((1, 1), 77, np.uint8), "PNG")).image.tolist() == [[77]]


def test_no_program_is_started_for_a_file(tmp_path: Path):
    """Pillow hands PostScript to Ghostscript."""
    data = encoded(GREY, "EPS")
    assert reason(tmp_path, data) == "not an image that can be read"


def test_metadata_that_pillow_stumbles_over_make_a_damaged_file_not_a_crash(tmp_path: Path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = 6, "abc"
    data = encoded(GREY, "JPEG", exif=exif).replace(b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02")  # the width is a word
    assert reason(tmp_path, data).startswith("damaged: ")


def png_header(height: int, width: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


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


def test_too_many_pixels_are_refused_before_decoding_and_memory_stays_small(tmp_path: Path):
    too_large = f"larger than ingest.max_pixels ({LIMIT})"
    with little_memory():
        assert reason(tmp_path, png_header(40000, 40000)) == too_large
        with (tmp_path / "file.png").open("r+b") as file:
            file.truncate(2**31)  # takes no room on the disk
        with pytest.raises(UnusableError) as caught:
            decode(tmp_path / "file.png", LIMIT)
        assert str(caught.value) == too_large


def test_the_limit_is_the_last_size_that_passes(tmp_path: Path):
    (tmp_path / "file.png").write_bytes(encoded(GREY, "PNG"))
    assert decode(tmp_path / "file.png", max_pixels=GREY.size).image.shape == GREY.shape
    with pytest.raises(UnusableError, match=r"larger than ingest.max_pixels \(3199\)"):
        decode(tmp_path / "file.png", max_pixels=GREY.size - 1)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path: Path):
    with pytest.raises(UnusableError, match="cannot be read: No such file"):
        decode(tmp_path / "none.png", LIMIT)
    with pytest.raises(UnusableError, match="cannot be read: Is a directory"):
        decode(tmp_path, LIMIT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_cannot_be_read(tmp_path: Path):
    (tmp_path / "file.png").write_bytes(encoded(GREY, "PNG"))
    (tmp_path / "file.png").chmod(0)
    with pytest.raises(UnusableError, match="cannot be read: Permission denied"):
        decode(tmp_path / "file.png", LIMIT)


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    which=st.sampled_from(whole_files()),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5),
    end=st.integers(1, 2000),
)
def test_no_damage_makes_decoding_fail_otherwise_than_with_a_reason(
    tmp_path: Path, which: bytes, edits: list[tuple[int, int]], end: int
):
    data = bytearray(which[:end])
    for place, value in edits:
        data[place % len(data)] = value
    try:
        image = read(tmp_path, bytes(data)).image
    except UnusableError as error:
        assert str(error)
    else:
        assert image.ndim == 2
        assert image.dtype == np.uint8
