"""Odd images are measured, and flagged by the limits of the section `quality`."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from corpora import ROOT, data_params, run_source
from PIL import Image

from panodiff.harmonize.quality import find_flags, fine_detail
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey
from panodiff.params_data import HarmonizeParams, QualityParams, SourceParams
from panodiff.params_file import load_params
from panodiff.sources.phantom import DEVICES, draw_phantom

QUALITY = load_params(ROOT / "params.yaml").quality
TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")


def phantom(name: str = "dentex", patient: int = 0, scale: float = 0.34) -> Grey:
    device = DEVICES[name]
    height, width, _ = device.sizes[0]
    return draw_phantom(4, patient, round(height * scale), round(width * scale), device)[0]


def flags(image: Grey, quality: QualityParams = QUALITY, *, frames: int = 1, **own: Any) -> list[str]:
    result = harmonize_image(image, SourceParams(**own), TARGET)
    enlarged = result.crop.height < TARGET.high_size[0]
    return find_flags(result.measures, quality, enlarged=enlarged, frames=frames, polarity=result.polarity)


def with_greys(image: Grey, low: float, high: float) -> Grey:
    """The image with its greys squeezed between two of [0, 1]."""
    return np.round(255 * low + image * (high - low)).astype(np.uint8)


def with_text(image: Grey) -> Grey:
    """The image with a line of letters a tenth of its height above the lower edge."""
    written = image.copy()
    height, width = image.shape
    place, size = (0, int(0.9 * height)), height / 500
    cv2.putText(written, "W8M#" * 40, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1)
    assert width > 300
    return written


def enlarged(image: Grey, factor: float) -> Grey:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("name", DEVICES)
def test_nothing_is_odd_about_a_usual_phantom(name: str):
    assert [flags(phantom(name, patient)) for patient in range(4)] == [[]] * 4


ODD = {
    "blank": with_greys(phantom(), 0.5, 0.53),
    "under_exposed": with_greys(phantom(), 0, 0.2),
    "over_exposed": with_greys(phantom(), 0.72, 1),
    "not_panoramic": phantom()[:, 200:620],
    "burned_in_text": with_text(phantom()),
    "upscaled": enlarged(phantom(), 4),
    "small": phantom(scale=0.08),
}


@pytest.mark.parametrize("flag", ODD)
def test_an_odd_image_is_flagged_by_what_is_odd_about_it(flag: str):
    assert flag in flags(ODD[flag])
    others = set(ODD) - {flag, "upscaled"}  # squeezed greys lose their finest detail as well
    assert not others & set(flags(ODD[flag], polarity="keep")) - ({"under_exposed"} if flag == "blank" else set())


@pytest.mark.parametrize(
    ("flag", "lenient"),
    [
        ("blank", {"blank": 0.0}),
        ("under_exposed", {"under_exposed": 0.01}),
        ("over_exposed", {"over_exposed": 0.99}),
        ("not_panoramic", {"aspect": (0.5, 3.0)}),
        ("burned_in_text", {"burned_in_text": 0.9}),
        ("upscaled", {"upscaled": 0.0}),
    ],
)
def test_the_limit_of_its_name_decides_whether_an_image_is_flagged(flag: str, lenient: dict[str, Any]):
    assert flag in flags(ODD[flag])
    assert flag not in flags(ODD[flag], QUALITY.model_copy(update=lenient))


def test_a_file_of_several_frames_and_a_doubtful_polarity_are_flagged():
    assert flags(phantom(), frames=3) == ["several_frames"]
    flat = np.full((300, 600), 100, np.uint8)
    assert "polarity_unsure" in flags(flat)
    assert "polarity_unsure" not in flags(flat, polarity="keep")


def test_an_aspect_on_the_limit_is_panoramic():
    image = phantom()[:400, :800]
    assert "not_panoramic" not in flags(image, QUALITY.model_copy(update={"aspect": (2.0, 3.0)}))
    assert "not_panoramic" in flags(image, QUALITY.model_copy(update={"aspect": (2.01, 3.0)}))


def test_only_the_flags_that_shall_reject_reject(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    for name in ("blank", "under_exposed"):
        Image.fromarray(ODD[name]).save(tmp_path / "raw" / f"{name}.png")
    Image.fromarray(phantom()).save(tmp_path / "raw" / "usual.png")
    for reject, kept in ((("blank",), ["under_exposed", "usual"]), ((), ["blank", "under_exposed", "usual"])):
        params = data_params(quality=QUALITY.model_copy(update={"reject": reject}))
        rows = run_source("mine", tmp_path / "raw", tmp_path / str(len(kept)), params).set_index("path")
        assert rows.index[rows["status"] == "kept"].tolist() == [f"{name}.png" for name in kept]
        assert "blank" in rows.at["blank.png", "flags"].split()
        assert "under_exposed" in rows.at["under_exposed.png", "flags"].split()
        if reject:
            assert rows.at["blank.png", "reason"] == "blank (quality)"
            assert not list((tmp_path / str(len(kept))).rglob(f"{rows.at['blank.png', 'id']}.png"))


def test_rounding_alone_makes_the_detail_that_its_docstring_says():
    y, x = np.mgrid[0:300, 0:600]
    smooth = 120 + 60 * np.sin(x / 37 + 0.3) * np.cos(y / 29)
    assert fine_detail(np.round(smooth).astype(np.uint8)) == pytest.approx(0.29, abs=0.03)
    noise = np.random.default_rng(1).normal(0, 10, (300, 600))
    assert fine_detail(np.clip(smooth + noise, 0, 255).astype(np.uint8)) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_grain_is_fine_detail_and_a_radiograph_enlarged_twice_has_less_than_the_limit(seed: int):
    y, x = np.mgrid[0:400, 0:800]
    smooth = 120 + 60 * np.sin(x / 41 + seed) * np.cos(y / 33)
    grained = np.clip(smooth + np.random.default_rng(seed).normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    assert fine_detail(grained) > QUALITY.upscaled
    twice = cv2.resize(grained, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert fine_detail(np.asarray(twice, np.uint8)) < QUALITY.upscaled


@pytest.mark.real
def test_few_real_radiographs_are_flagged_and_none_rejected(test_data: Path):
    images = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((test_data / "radiographs").rglob("*.png"))
    ]
    found = [flags(np.asarray(image, np.uint8)) for image in images]
    assert not any(set(names) & set(QUALITY.reject) for names in found)
    assert sum(bool(set(names) - {"small", "burned_in_text"}) for names in found) <= 0.02 * len(found)
    assert sum("burned_in_text" in names for names in found) <= 0.1 * len(found)  # large letters of a side


@pytest.mark.real
def test_most_real_radiographs_that_were_enlarged_are_told(test_data: Path):
    images = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((test_data / "radiographs").rglob("*.png"))
    ]
    for factor in (1.5, 2, 3):
        told = [fine_detail(enlarged(np.asarray(image, np.uint8), factor)) < QUALITY.upscaled for image in images]
        assert np.mean(told) > 0.85
