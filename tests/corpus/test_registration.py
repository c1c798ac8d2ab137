"""How well two radiographs agree, laid over each other."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from copying import DROPPED, changed, turned
from corpora import picture
from test_candidates import field, stored

from panodiff.corpus.candidates import WINDOWS, Window, find_candidates
from panodiff.corpus.registration import COPY_CORRELATION, agreement, correlations
from panodiff.images import Grey
from panodiff.sources.phantom.devices import DEVICES
from panodiff.sources.phantom.drawing import draw_phantom


@pytest.fixture(scope="module")
def phantom_pictures() -> list[Grey]:
    return [draw_phantom(9, number, 256, 512, DEVICES["tufts"])[0] for number in range(6)]


def test_a_field_agrees_with_itself_and_with_no_flat_one():
    assert agreement(picture(1), picture(1)) > 0.999
    assert agreement(picture(1), np.full((64, 128), 9, np.uint8)) == 0
    assert agreement(np.zeros((64, 128), np.uint8), picture(1)) == 0


@pytest.mark.parametrize("kind", DROPPED)
def test_copies_agree_in_both_directions(phantom_pictures: list[Grey], kind: str):
    rng = np.random.default_rng(2)
    for image in phantom_pictures:
        copy = changed(image, kind, rng)
        assert agreement(field(image), field(copy)) > 0.85
        assert agreement(field(copy), field(image)) > 0.85


@pytest.mark.parametrize("window", WINDOWS[1:])
def test_the_largest_crops_are_found_from_any_start(phantom_pictures: list[Grey], window: Window):
    image = phantom_pictures[0]
    crop = image[13 : 256 - 13, 0 : 512 - 26]
    assert agreement(field(crop), field(image), window) > 0.9
    assert agreement(field(crop), field(image)) > 0.9


@pytest.mark.parametrize("degrees", [-1, 1])
def test_a_slight_turn_is_found(phantom_pictures: list[Grey], degrees: float):
    assert agreement(field(phantom_pictures[1]), field(turned(phantom_pictures[1], degrees))) > 0.85


def test_strangers_on_one_device_do_not_agree(phantom_pictures: list[Grey]):
    fields = [field(image) for image in phantom_pictures]
    found = [agreement(one, other) for n, one in enumerate(fields) for other in fields[n + 1 :]]
    assert max(found) < COPY_CORRELATION - 0.05


def test_halves_of_a_picture_overlap_too_little_to_be_copies(phantom_pictures: list[Grey]):
    image = phantom_pictures[2]
    half = np.ascontiguousarray(image[:, : image.shape[1] // 2])
    assert agreement(field(half), field(image), Window(0, 0, 0, 0.5)) == 0


def test_pairs_keep_their_order_and_mirrored_ones_are_laid_over_the_mirror_image(
    phantom_pictures: list[Grey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PANODIFF_WORKERS", "1")
    monkeypatch.setattr("panodiff.corpus.registration._PART", 2)
    images = phantom_pictures[:3]
    copies = [image[:, ::-1][:, 20:] for image in images] + [cv2.resize(images[0], (400, 200))]
    fields, numbers = stored(tmp_path, [*images, *copies]), np.arange(7)
    pairs = find_candidates(fields, numbers)
    near = pairs.take(correlations(pairs, fields, numbers) >= COPY_CORRELATION)
    got = {(*sorted((int(a), int(b))), bool(m)) for a, b, m in zip(near.one, near.other, near.mirrored, strict=True)}
    assert got == {(0, 3, True), (1, 4, True), (2, 5, True), (0, 6, False), (3, 6, True)}
