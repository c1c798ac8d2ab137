"""From a point of a harmonized image back to the pixel of the file: files, rows and images of the whole stage."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from corpora import data_params, run_source
from PIL import Image

from panodiff.harmonize.mapping import raw_from_harmonized
from panodiff.images import Grey, read_grey
from panodiff.params_data import Margins, SourceParams

STORING = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANODIFF_WORKERS", "1")


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
