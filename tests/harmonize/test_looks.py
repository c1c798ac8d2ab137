"""Fine detail and contact sheets: what test_quality.py and test_contact.py leave open."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from corpora import data_params, run_source
from PIL import Image

from panodiff.harmonize.quality import fine_detail
from panodiff.sources.phantom import DEVICES, draw_phantom


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANODIFF_WORKERS", "1")


@pytest.mark.parametrize("seed", range(5))
def test_grain_is_fine_detail_and_a_radiograph_enlarged_twice_has_less_than_the_limit(seed: int):
    limit = data_params().quality.upscaled
    y, x = np.mgrid[0:400, 0:800]
    smooth = 120 + 60 * np.sin(x / 41 + seed) * np.cos(y / 33)
    grained = np.clip(smooth + np.random.default_rng(seed).normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    assert fine_detail(grained) > limit
    twice = cv2.resize(grained, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert fine_detail(np.asarray(twice, np.uint8)) < limit


def sheet(work: Path, count: int) -> tuple[int, np.ndarray]:
    raw = work / "raw"
    raw.mkdir(parents=True)
    for number in range(count):
        image = draw_phantom(2, number, 140, 290, DEVICES["adld"])[0]
        Image.fromarray(image).save(raw / f"{number:03d}.png")
    run_source("mine", raw, work, data_params())
    path = work / "harmonized" / "mine" / "contact.jpg"
    with Image.open(path) as image:
        return path.stat().st_size, np.asarray(image)


def test_a_sheet_grows_with_the_images_up_to_24_and_stays_small(tmp_path: Path):
    shown = []
    for count in (2, 5, 24, 40):
        size, picture = sheet(tmp_path / str(count), count)
        assert size < 1_000_000
        cells = [cell for row in np.vsplit(picture, picture.shape[0] // 146) for cell in np.hsplit(row, 3)]
        shown.append(sum(bool(cell.min() < 200) for cell in cells))
    assert shown == [2, 5, 24, 24]
