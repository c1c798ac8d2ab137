"""Pairs that may be copies: found whatever the blocks and tiles, mirrored or not, cropped or not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from copying import cropped
from corpora import picture

from panodiff.corpus import candidates
from panodiff.corpus.candidates import CANDIDATE_CORRELATION, WINDOWS, Window, find_candidates, num_even, signatures
from panodiff.corpus.fields import Fields
from panodiff.images import Grey
from panodiff.manifest import FIELD_SIZE, FIELDS

pytestmark = pytest.mark.usefixtures("one_worker")


def field(image: Grey) -> Grey:
    return np.asarray(cv2.resize(image, FIELD_SIZE[::-1], interpolation=cv2.INTER_AREA)).astype(np.uint8)


def stored(folder: Path, images: list[Grey]) -> Fields:
    path = folder / FIELDS
    path.write_bytes(b"".join(field(image).tobytes() for image in images))
    return Fields(((path, len(images)),))


def correlated(one: Grey, other: Grey, window: Window = WINDOWS[0]) -> float:
    return float((signatures(field(one)[None], WINDOWS[0]) @ signatures(field(other)[None], window).T).item())


def test_fields_of_several_files_are_numbered_through(tmp_path: Path):
    held = np.random.default_rng(0).integers(0, 256, (7, *FIELD_SIZE)).astype(np.uint8)
    files = []
    for name, part in (("a", held[:3]), ("empty", held[:0]), ("b", held[3:])):
        (tmp_path / name).write_bytes(part.tobytes())
        files.append((tmp_path / name, len(part)))
    together = Fields(tuple(files))
    assert len(together) == 7
    numbers = np.array([6, 0, 3, 3, 2])
    assert np.array_equal(together.take(numbers), held[numbers])


def test_a_file_of_fields_that_is_no_field_a_row_is_refused(tmp_path: Path):
    (tmp_path / "f").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"must hold 2 fields .* got 100 bytes: run `dvc repro`"):
        Fields(((tmp_path / "f", 2),))


def test_a_signature_has_length_1_and_that_of_a_flat_or_almost_flat_field_is_0():
    some = signatures(np.stack([picture(1), picture(2)]), WINDOWS[0])
    assert np.allclose(np.linalg.norm(some, axis=1), 1, atol=1e-5)
    noise = np.random.default_rng(0).integers(200, 202, FIELD_SIZE)
    assert not signatures(np.stack([np.full(FIELD_SIZE, 200), noise]).astype(np.uint8), WINDOWS[0]).any()


def test_signatures_do_not_depend_on_brightness_and_contrast_but_on_the_picture():
    assert correlated(picture(2), np.round(0.6 * picture(2) + 40).astype(np.uint8)) > 0.99
    assert correlated(picture(2), picture(3)) < 0.5


def test_mirroring_a_field_negates_the_odd_columns():
    same, turned = signatures(np.stack([picture(4), picture(4)[:, ::-1]]), WINDOWS[0])
    assert np.allclose(same[: num_even()], turned[: num_even()], atol=1e-5)
    assert np.allclose(same[num_even() :], -turned[num_even() :], atol=1e-5)


@pytest.mark.parametrize("window", WINDOWS[1:])
def test_the_signature_of_a_window_is_that_of_the_picture_cropped_and_resized(window: Window):
    image = picture(5, 640, 1280)
    top, left, bottom, right = (round(part * side) for part, side in zip(window, (640, 1280, 640, 1280), strict=True))
    crop = image[top : 640 - bottom, left : 1280 - right]
    assert correlated(crop, image, window) > 0.99
    assert correlated(crop[:, ::-1], image[:, ::-1], window.mirrored()) > 0.99
    assert correlated(crop, image, window) > correlated(crop, image)


@pytest.mark.parametrize(("block", "tile"), [(1024, 8192), (3, 8192), (1024, 5), (2, 4)])
def test_pairs_are_those_of_all_windows_with_all_whatever_the_blocks_and_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, tile: int
):
    rng = np.random.default_rng(3)
    images = [cropped(picture(number % 5, 128, 256), rng, 0.03 * (number // 5)) for number in range(20)]
    images = [image[:, ::-1] if number % 3 == 0 else image for number, image in enumerate(images)]
    monkeypatch.setattr(candidates, "_BLOCK", block)
    monkeypatch.setattr(candidates, "TILE", tile)
    numbers = rng.permutation(20)
    found = find_candidates(stored(tmp_path, images), numbers)
    held = np.stack([field(images[number]) for number in numbers])
    expected = {}
    for mirrored, others in ((False, held), (True, held[:, :, ::-1])):
        whole, other = signatures(held, WINDOWS[0]), [signatures(others, window) for window in WINDOWS]
        best = np.max([whole @ each.T for each in other], axis=0)  # a mirrored window is a window again
        best = np.maximum(best, best.T)
        for one, two in np.argwhere(np.triu(best, 1) >= CANDIDATE_CORRELATION):
            expected[int(one), int(two), mirrored] = best[one, two]
    keys = zip(np.minimum(found.one, found.other), np.maximum(found.one, found.other), found.mirrored, strict=True)
    got = {(int(a), int(b), bool(m)): c for (a, b, m), c in zip(keys, found.correlation, strict=True)}
    assert len(got) == len(found)  # each once
    assert got.keys() == expected.keys()
    assert {mirrored for _, _, mirrored in got} == {False, True}
    assert all(abs(got[key] - expected[key]) < 1e-5 for key in got)


def test_one_field_and_none_have_no_pairs(tmp_path: Path):
    one = stored(tmp_path, [picture(1)])
    assert len(find_candidates(one, np.array([0]))) == len(find_candidates(one, np.array([], int))) == 0
