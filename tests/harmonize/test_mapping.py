"""From a point of a harmonized image back to the pixel of the file."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from corpora import data_params, run_source
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from panodiff.harmonize.mapping import raw_from_harmonized
from panodiff.harmonize.transform import Harmonized, harmonize_image
from panodiff.images import Grey, read_grey
from panodiff.params_data import HarmonizeParams, Margins, SourceParams
from panodiff.sources.decoding import decode

pytestmark = pytest.mark.usefixtures("one_worker")

# What brings a picture as it is to be seen to how a file of each EXIF orientation stores it.
STORING = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATIONS = st.integers(1, 8)
TURNS = st.integers(0, 3)


def stored_file(seen: np.ndarray, orientation: int) -> tuple[np.ndarray, bytes]:
    """The pixels that a file of this orientation stores, and its bytes."""
    image = Image.fromarray(np.ascontiguousarray(seen))
    if orientation > 1:
        image = image.transpose(STORING[orientation])
    tags, file = Image.Exif(), io.BytesIO()
    tags[0x0112] = orientation
    image.save(file, "PNG", exif=tags)
    return np.asarray(image), file.getvalue()


def row_of(seen: np.ndarray, orientation: int, result: Harmonized) -> dict[str, Any]:
    sides = {f"crop_{side}": getattr(result.crop, side) for side in ("top", "left", "bottom", "right")}
    size = {"height": seen.shape[0], "width": seen.shape[1]}
    return size | sides | {"orientation": orientation, "rotation_deg": result.rotation_deg}


@settings(max_examples=60, deadline=None)
@given(orientation=ORIENTATIONS, turns=TURNS, seed=st.integers(0, 99))
def test_without_resizing_each_pixel_is_found_in_the_file(orientation: int, turns: int, seed: int):
    upright = np.random.default_rng(seed).integers(0, 256, (44, 80), np.uint8)
    seen = np.rot90(upright, -turns)
    stored, data = stored_file(seen, orientation)
    source = SourceParams(
        quarter_turns=turns, polarity="keep", crop=Margins(unit="pixels", top=5, left=7, bottom=7, right=9)
    )
    target = HarmonizeParams(high_size=(32, 64), low_size=(16, 32), aspect="keep")
    result = harmonize_image(decode(data, 10**6).image, source, target)
    matrix = raw_from_harmonized(row_of(seen, orientation, result), (32, 64))
    y, x = np.mgrid[0:32, 0:64]
    raw_x, raw_y = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    assert np.abs(raw_x - raw_x.round()).max() < 1e-9
    assert np.array_equal(stored[raw_y.round().astype(int), raw_x.round().astype(int)], result.high.ravel())


def spot_centre(image: np.ndarray) -> np.ndarray:
    """The centre (x, y) of the only bright spot."""
    weight = np.clip(image.astype(float) - 130, 0, None)
    y, x = np.nonzero(weight)
    return np.array([x @ weight[y, x], y @ weight[y, x]]) / weight.sum()


@settings(max_examples=60, deadline=None)
@given(
    orientation=ORIENTATIONS,
    turns=TURNS,
    skew=st.sampled_from([0.0, 4.5, 1.3, -0.8, -3.2]),
    framing=st.tuples(
        st.sampled_from(["keep", "squash"]),
        st.sampled_from(["auto", Margins(unit="fraction", top=0.12, left=0.1, bottom=0.1, right=0.13)]),
    ),
    place=st.tuples(st.integers(110, 200), st.integers(150, 450)),
)
def test_a_spot_of_the_harmonized_image_lies_where_the_file_has_it(
    orientation: int, turns: int, skew: float, framing: tuple[Any, Any], place: tuple[int, int]
):
    aspect, crop = framing
    upright = np.zeros((300, 620), np.float32)
    cv2.rectangle(upright, (60, 40), (570, 265), 100, -1)
    y, x = np.mgrid[0:300, 0:620]
    upright += 150 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 32).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((309.5, 149.5), -skew, 1)
    askew = cv2.warpAffine(upright, matrix, (620, 300), flags=cv2.INTER_LINEAR)
    seen = np.rot90(np.clip(askew + 0.5, 0, 255).astype(np.uint8), -turns)
    stored, data = stored_file(seen, orientation)
    source = SourceParams(quarter_turns=turns, polarity="keep", crop=crop)
    target = HarmonizeParams(high_size=(256, 512), low_size=(128, 256), aspect=aspect)
    result = harmonize_image(decode(data, 10**6).image, source, target)
    assert result.rotation_deg - 90 * turns == pytest.approx(skew, abs=0.1)
    for image in (result.high, result.low):
        found = raw_from_harmonized(row_of(seen, orientation, result), image.shape) @ [*spot_centre(image), 1]
        assert np.abs(found - spot_centre(stored)).max() < 0.3


def scene(size: tuple[int, int], spot: tuple[float, float], skew: float) -> Grey:
    """A grey film in black, its only bright spot at (x, y); all turned counter-clockwise by `skew`."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    image = np.zeros(size, np.float32)
    image[height // 8 : -height // 8, width // 9 : -width // 9] = 90
    sigma = 3 * width / 620
    image += 150 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * sigma**2)).astype(np.float32)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), skew, 1)
    return np.clip(cv2.warpAffine(image, matrix, (width, height)) + 0.5, 0, 255).astype(np.uint8)


def centre_of_mass(image: np.ndarray) -> np.ndarray:
    weight = np.clip(image.astype(float) - 140, 0, None)
    y, x = np.nonzero(weight)
    return np.array([x @ weight[y, x], y @ weight[y, x]]) / weight.sum()


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "framing",
    [
        (0, 0.0, Margins(unit="fraction", top=0.11, left=0.06, bottom=0.17, right=0.14), "keep"),
        (1, 0.0, Margins(unit="pixels", top=31, left=17, bottom=8, right=42), "squash"),
        (2, 2.5, "auto", "keep"),
        (3, -3.0, "auto", "squash"),
    ],
)
def test_rows_of_the_manifest_lead_back_to_the_pixels_that_the_file_stores(
    tmp_path: Path, kind: str, orientation: int, framing: tuple[int, float, Any, str]
):
    turns, skew, crop, aspect = framing
    (tmp_path / "raw").mkdir()
    # Wider than two thumbnails, and no multiple: crops of the auto mode come from a smaller copy
    upright = scene((707, 1463), (520.0, 400.0), -skew)
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, -turns)))
    if orientation > 1:
        stored = stored.transpose(STORING[orientation])
    tags = Image.Exif()
    tags[0x0112] = orientation
    stored.save(tmp_path / "raw" / f"1.{kind}", exif=tags, **({"quality": 97} if kind == "jpg" else {}))
    params = data_params(source={"mine": SourceParams(quarter_turns=turns, polarity="keep", crop=crop)})
    sizes = {"high_size": (256, 512), "low_size": (128, 256), "aspect": aspect}
    quality = params.quality.model_copy(update={"reject": ()})
    changes = {"harmonize": params.harmonize.model_copy(update=sizes), "quality": quality}
    row = run_source("mine", tmp_path / "raw", tmp_path / "work", params.model_copy(update=changes)).iloc[0]
    assert row["orientation"] == orientation
    assert row["rotation_deg"] - 90 * turns == pytest.approx(skew, abs=0.15)
    for name in ("high", "low"):
        image = read_grey(Path(row[f"{name}_path"]))
        found = raw_from_harmonized(row, image.shape) @ [*centre_of_mass(image), 1]
        assert np.abs(found - centre_of_mass(np.asarray(stored))).max() < 1
