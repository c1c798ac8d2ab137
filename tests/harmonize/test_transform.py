"""One radiograph upright, cropped and at both resolutions."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from corpora import ROOT, margins, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.measure import block_reduce

from panodiff.harmonize.field import Box
from panodiff.harmonize.transform import find_crop, harmonize_image, resized
from panodiff.images import lanczos
from panodiff.params_data import HarmonizeParams, Margins, SourceParams
from panodiff.params_file import load_params, merge
from panodiff.sources.phantom import draw_phantom
from panodiff.sources.phantom.devices import DEVICES


def source(*, quarter_turns: int = 0, invert: bool = False, **cut: float) -> SourceParams:
    polarity = "invert" if invert else "keep"
    return SourceParams(crop=Margins(**margins(**cut)), quarter_turns=quarter_turns, polarity=polarity, deskew=False)


def target(height: int = 64, width: int = 128, scale: int = 4, aspect: Any = "keep") -> HarmonizeParams:
    return HarmonizeParams(high_size=(height, width), low_size=(height // scale, width // scale), aspect=aspect)


PLAIN = source()


def crop_of(size: tuple[int, int], own: SourceParams, wanted: HarmonizeParams) -> Box:
    """The crop of an image of `size` that is all exposed."""
    return find_crop(size, Box(top=0, left=0, bottom=size[0], right=size[1]), own, wanted)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_low_image_is_exactly_the_area_average_of_the_high_one(scale: int):
    result = harmonize_image(picture(1, 100, 230), PLAIN, target(48, 96, scale))
    means = block_reduce(result.high.astype(float), (scale, scale), np.mean)
    assert result.low.shape == (48 // scale, 96 // scale)
    assert np.array_equal(result.low, np.floor(means + 0.5))


@pytest.mark.parametrize("aspect", ["keep", "squash"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("invert", [False, True])
def test_the_crop_in_the_upright_picture_resized_is_the_high_image(aspect: str, turns: int, invert: bool):
    image = picture(2, 150, 310)
    settings = source(quarter_turns=turns, invert=invert, top=0.05, left=0.04, bottom=0.08, right=0.02)
    result = harmonize_image(image, settings, target(aspect=aspect))
    upright = Image.fromarray(image).rotate(90 * turns, expand=True)  # Pillow turns counter-clockwise too
    crop = result.crop
    cut = upright.crop((crop.left, crop.top, crop.right, crop.bottom))
    expected = np.asarray(cut.point(lambda grey: 255 - grey) if invert else cut)
    assert np.array_equal(result.high, lanczos(expected, (64, 128)))


def test_a_picture_of_the_target_size_stays_as_it_is():
    image = picture(3)
    result = harmonize_image(image, PLAIN, target())
    assert np.array_equal(result.high, image)
    assert (result.crop.top, result.crop.left, result.crop.bottom, result.crop.right) == (0, 0, 64, 128)


def test_quarter_turns_are_counter_clockwise():
    image = np.zeros((128, 64), np.uint8)
    image[:, 48:] = 255  # what is on the right comes to the top
    result = harmonize_image(image, source(quarter_turns=1), target())
    assert result.high[:16].min() == 255
    assert result.high[16:].max() == 0
    assert harmonize_image(image, source(quarter_turns=3), target()).high[48:].min() == 255


def test_inverting_makes_white_air_black():
    image = picture(4)
    assert np.array_equal(harmonize_image(image, source(invert=True), target()).high, 255 - image)


def test_the_picture_given_is_not_changed():
    image = picture(5)
    before = image.copy()
    harmonize_image(image, source(invert=True, quarter_turns=2, top=0.1), target())
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("side", "expected"),
    [("top", (10, 0, 100, 200)), ("left", (0, 20, 100, 200)), ("bottom", (0, 0, 90, 200)), ("right", (0, 0, 100, 180))],
)
def test_each_margin_cuts_its_own_side(side: str, expected: tuple[int, int, int, int]):
    crop = crop_of((100, 200), source(**{side: 0.1}), target(aspect="squash"))
    assert (crop.top, crop.left, crop.bottom, crop.right) == expected


def test_squash_uses_all_that_the_margins_leave_and_keep_cuts_the_longer_side_about_its_centre():
    squashed, kept = (crop_of((100, 260), PLAIN, target(aspect=aspect)) for aspect in ("squash", "keep"))
    assert (squashed.left, squashed.right) == (0, 260)
    assert (kept.top, kept.left, kept.bottom, kept.right) == (0, 30, 100, 230)
    high = crop_of((140, 200), PLAIN, target())
    assert (high.top, high.left, high.bottom, high.right) == (20, 0, 120, 200)


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(20, 3000), st.integers(20, 3000)),
    cut=st.tuples(*[st.floats(0, 0.45)] * 4),
    aspect=st.sampled_from(["keep", "squash"]),
)
def test_a_crop_stays_within_the_margins_and_has_the_aspect(size: tuple[int, int], cut: tuple, aspect: str):
    settings = source(**dict(zip(("top", "left", "bottom", "right"), cut, strict=True)))
    try:
        crop = crop_of(size, settings, target(aspect=aspect))
    except ValueError as error:
        assert "pixels are left" in str(error)
        return
    height, width = crop.bottom - crop.top, crop.right - crop.left
    assert height >= 16
    assert width >= 16
    assert crop.top >= round(size[0] * cut[0])
    assert crop.left >= round(size[1] * cut[1])
    assert crop.bottom <= size[0] - round(size[0] * cut[2])
    assert crop.right <= size[1] - round(size[1] * cut[3])
    if aspect == "keep":
        assert abs(width - 2 * height) <= 1


def test_margins_that_leave_too_little_are_refused_with_what_is_left():
    narrow = source(left=0.45, right=0.45)
    with pytest.raises(ValueError, match=r"only 10×20 pixels are left within source\.<name>\.crop"):
        crop_of((100, 200), narrow, target())
    assert crop_of((100, 200), source(left=0.42, right=0.42), target()).bottom == 58  # 16×32


def published_recipe() -> dict[str, Any]:
    """The sections of params.yaml that docs/data.md gives for the published recipe."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    block = text.split("## The published recipe")[1].split("```yaml\n")[1].split("```")[0]
    return yaml.safe_load(block)


def test_the_published_recipe_is_a_valid_set_of_parameters(tmp_path: Path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(merge(content, published_recipe())), encoding="utf-8")
    params = load_params(tmp_path / "params.yaml")
    assert set(published_recipe()["source"]) == set(params.sources)
    assert (params.harmonize.aspect, params.quality.reject) == ("squash", ())


@pytest.mark.parametrize("size", [(478, 987), (840, 1615)])
def test_the_published_recipe_cuts_and_stretches_as_a_plain_script_does(size: tuple[int, int]):
    recipe = published_recipe()
    own = SourceParams.model_validate_json(json.dumps(recipe["source"]["tufts"]), strict=True)
    wanted = HarmonizeParams(high_size=(512, 1024), low_size=(128, 256), aspect=recipe["harmonize"]["aspect"])
    image = draw_phantom(1, 2, *size, DEVICES["tufts"])[0]
    result = harmonize_image(image, own, wanted)
    cut = Image.fromarray(image).crop((127, 64, size[1] - 127, size[0] - 90))
    plain = np.asarray(cut.resize((1024, 512), Image.Resampling.LANCZOS)).astype(int)
    assert (np.abs(result.high.astype(int) - plain) <= 1).mean() > 0.999  # the rest: the edges of burned-in letters
    means = block_reduce(result.high.astype(float), (4, 4), np.mean)
    assert np.array_equal(result.low, np.floor(means + 0.5))
    other = cv2.resize(result.high, (256, 128), interpolation=cv2.INTER_AREA)
    assert np.array_equal(result.low[means % 1 != 0.5], other[means % 1 != 0.5])  # OpenCV rounds ties to even


@given(st.integers(60, 900))
def test_a_side_that_is_seen_whole_is_filled_to_its_last_pixel(width: int):
    image = np.full((60, width), 200, np.uint8)
    seen = Box(top=0, left=0, bottom=60, right=width)
    box = Box(top=0, left=0, bottom=max(61, width // 2), right=width)  # rows below are missing
    result = resized(image, box, seen, (64, 128))
    rows = 60 * 64 // box.height
    assert (result[:rows] == 200).all()
    assert not result[rows:].any()
