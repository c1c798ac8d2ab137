"""What a reader checks on a radiograph: measured where the truth is known, and moved by what should move it."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from panodiff.evaluation.looks.plausibility import (
    MEASUREMENTS,
    Measured,
    equalised,
    find_bite,
    joined,
    measure_image,
    measure_images,
    measure_places,
    plausibility,
    symmetry,
)
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import Grey, write_grey
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.sources.phantom.devices import DEVICES
from panodiff.sources.phantom.drawing import draw_phantom

HEIGHT, WIDTH = 128, 256
Break = Callable[[Grey], Grey]
# Read by eye in radiographs with bridges, lost teeth or a closed bite: fractions of the height, in the middle.
BITES = {"abdi_001": 0.36, "brahmi_007": 0.57, "brahmi_042": 0.52, "brahmi_103": 0.555, "tsxk_2": 0.57}


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Grey, dict]]:
    """Phantoms of all devices, and the truth about them."""
    return [draw_phantom(7, patient, HEIGHT, WIDTH, device) for device in DEVICES.values() for patient in range(6)]


def measured(images: list[Grey]) -> Measured:
    return joined([measure_image(image) for image in images])


def numbers(image: Grey) -> dict[str, float]:
    return {name: float(values[0]) for name, values in measure_image(image).columns.items()}


def bite_rows(image: Grey) -> np.ndarray:
    """The row of the bite in each column (W,), pixels."""
    return find_bite(equalised(image)).rows(np.arange(WIDTH))


def rounded(values: np.ndarray) -> Grey:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def without_teeth(image: Grey) -> Grey:
    """Both rows of crowns smeared along the rows."""
    smeared = cv2.GaussianBlur(image.astype(np.float32), (61, 1), 8)
    beside = np.abs(np.arange(HEIGHT)[:, None] - bite_rows(image))
    mask = ((beside < 20) & (np.abs(np.arange(WIDTH) - WIDTH / 2) < 0.36 * WIDTH)).astype(np.float32)
    return rounded(image + mask * (smeared - image))


def without_gap(image: Grey) -> Grey:
    """Between the rows of crowns as bright as the crowns."""
    filled = image.astype(np.float32)
    for column, row in enumerate(np.rint(bite_rows(image)).astype(int)):
        above, below = image[row - 9 : row - 5, column].mean(), image[row + 6 : row + 10, column].mean()
        filled[row - 6 : row + 7, column] = np.linspace(above, below, 13)
    return rounded(filled)


def other_half_wider(image: Grey) -> Grey:
    half = image[:, WIDTH // 2 :]
    wide = cv2.resize(half, (round(1.35 * WIDTH / 2), HEIGHT), interpolation=cv2.INTER_AREA)
    return np.hstack([image[:, : WIDTH // 2], wide[:, : WIDTH // 2]])


def brighter(image: Grey) -> Grey:
    return rounded(255 * (image / 255) ** 0.5)


def softer(image: Grey) -> Grey:
    return cv2.GaussianBlur(image, (0, 0), 1.0)


SPECTRUM = {"spectral_slope", "fine_detail"}
GREYS = {"grey_mean", "grey_sd", "grey_p05", "grey_p95", "histogram_distance"}


@pytest.mark.parametrize(
    ("break_it", "must", "may"),
    [
        (without_teeth, {"tooth_periodicity"}, SPECTRUM),
        (without_gap, {"occlusal_gap"}, SPECTRUM | {"occlusal_height"}),
        (other_half_wider, {"symmetry"}, set()),
        (brighter, {"grey_mean", "grey_p95", "histogram_distance"}, GREYS),
        (softer, SPECTRUM, set()),
    ],
)
def test_what_is_broken_moves_its_own_measurement(
    drawn: list[tuple[Grey, dict]], break_it: Break, must: set[str], may: set[str]
):
    whole = [image for image, _ in drawn]
    real = measured(whole)
    _, summary = plausibility(measured([break_it(image) for image in whole]), real, real)
    moved = {name: found["distance"]["synthetic"] for name, found in summary["measurements"].items()}
    least = min(moved[name] for name in must)
    assert least > 1, moved
    assert all(value < least / 2 for name, value in moved.items() if name not in must | may), moved


def test_the_bite_lies_where_the_phantoms_have_it(drawn: list[tuple[Grey, dict]]):
    for image, truth in drawn:
        teeth = [tooth for tooth in truth["teeth"] if tooth["state"] == "sound" and tooth["fdi"] % 10 < 8]
        rows = bite_rows(image)
        upper, lower = (
            np.median([tooth["box"][end] - rows[round(tooth["x"])] for tooth in teeth if tooth["fdi"] // 10 in jaw])
            for end, jaw in ((3, (1, 2, 5, 6)), (1, (3, 4, 7, 8)))
        )
        assert abs(upper + lower) / 2 < 0.015 * HEIGHT, (truth["device"], truth["age"], upper, lower)


def test_larger_images_give_the_same_symmetry_teeth_and_bite():
    device = DEVICES["tsxk"]
    small, large = (numbers(draw_phantom(7, 1, size, 2 * size, device)[0]) for size in (128, 512))
    for name, tolerance in (("symmetry", 0.1), ("tooth_periodicity", 0.1), ("occlusal_gap", 0.05)):
        assert small[name] == pytest.approx(large[name], abs=tolerance), name
    assert small["occlusal_height"] == pytest.approx(large["occlusal_height"], abs=0.011)


def test_an_image_and_its_mirror_image_are_symmetric_about_any_near_midline(drawn: list[tuple[Grey, dict]]):
    half = drawn[0][0][:, WIDTH // 2 :].astype(np.float32) / 255
    whole = np.hstack([half[:, ::-1], half])
    assert symmetry(whole) == pytest.approx(1)
    assert symmetry(whole[:, 14:]) > 0.97  # the midline lies 7 pixels off the middle
    assert symmetry(whole[:, 60:]) < 0.8


def test_that_the_middle_is_brighter_than_the_sides_makes_no_symmetry():
    noise = np.random.default_rng(0).normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    dome = np.cos(np.linspace(-np.pi / 2, np.pi / 2, WIDTH, dtype=np.float32))
    assert symmetry(3 * cv2.GaussianBlur(noise, (0, 0), 4) + dome) < 0.35


def test_exposure_moves_neither_symmetry_nor_teeth_nor_bite(drawn: list[tuple[Grey, dict]]):
    for image, _ in drawn[::3]:
        before, after = numbers(image), numbers(brighter(image))
        for name in ("symmetry", "tooth_periodicity", "occlusal_gap", "occlusal_height"):
            assert after[name] == pytest.approx(before[name], abs=0.015), name


def test_white_noise_has_no_slope_and_its_share_of_fine_detail():
    noise = np.random.default_rng(0).normal(128, 20, (256, 512))
    found = numbers(rounded(noise))
    assert found["spectral_slope"] == pytest.approx(0, abs=0.05)
    assert found["fine_detail"] == pytest.approx(10 * np.log10(0.75), abs=0.05)  # 1 - (1/4)² / (1/2)²
    assert (found["grey_mean"], found["grey_sd"]) == (pytest.approx(128, abs=0.3), pytest.approx(20, abs=0.3))
    assert found["grey_p05"] == pytest.approx(128 - 1.645 * 20, abs=1)


@pytest.mark.parametrize("size", [(64, 128), (128, 256), (100, 300)])
def test_an_image_without_content_has_numbers_too(size: tuple[int, int]):
    for grey in (0, 77, 255):
        found = numbers(np.full(size, grey, np.uint8))
        assert np.isfinite(list(found.values())).all()
        assert (found["symmetry"], found["tooth_periodicity"]) == (0, pytest.approx(0, abs=1e-9))
        assert found["grey_mean"] == found["grey_p05"] == found["grey_p95"] == grey


def test_files_are_measured_in_their_order(drawn: list[tuple[Grey, dict]], tmp_path: Path):
    images = [image for image, _ in drawn[:5]]
    for number, image in enumerate(images):
        write_grey(tmp_path / f"{number}.png", image)
    found = measure_images([tmp_path / f"{number}.png" for number in (3, 0, 4)], "measuring")
    expected = measured([images[number] for number in (3, 0, 4)])
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], values, err_msg=name)
    np.testing.assert_array_equal(found.histograms, expected.histograms)
    np.testing.assert_array_equal(found.places, expected.places)


def test_places_have_their_grey_and_detail():
    image = np.full((128, 256), 40, np.uint8)
    image[16:32, 48:64] = 90
    image[64:80, 160:176] = rounded(40 + np.random.default_rng(0).normal(0, 10, (16, 16)))
    grey, finest, fine = measure_places(image)
    assert (grey[0, 0], grey[1, 3], finest[0, 0]) == (40, 90, pytest.approx(np.log(1 / 12)))
    assert finest.argmax() == 4 * 16 + 10 and finest[4, 10] == pytest.approx(np.log(100 * 0.85), abs=0.3)
    assert fine[4, 10] < finest[4, 10]


def made_up(count: int, seed: int, shift: float = 0.0, grey: int = 100) -> Measured:
    """Normal numbers, and images of one grey each: `grey` to `grey` + 9."""
    generator = np.random.default_rng(seed)
    names = [name for name in MEASUREMENTS if name != "histogram_distance"]
    return Measured(
        columns={name: generator.normal(shift, 1, count) for name in names},
        histograms=np.eye(256)[grey + np.arange(count) % 10],
        spectra=np.ones((count, 64)),
        places=np.zeros((count, 3, 8, 16)),
    )


def test_two_of_a_hundred_images_like_the_real_ones_fall_outside_their_range():
    shares = []
    for seed in range(0, 40, 2):
        _, summary = plausibility(made_up(200, seed), made_up(120, 1000 + seed), made_up(200, seed + 1))
        found = [summary["measurements"][name] for name in ("symmetry", "grey_mean", "fine_detail")]
        shares.append([[each["outside"][which] for which in ("synthetic", "test")] for each in found])
    np.testing.assert_allclose(np.mean(shares, axis=(0, 1)), 0.02, atol=0.006)


def test_the_summary_tells_shifted_images_from_real_ones():
    columns, summary = plausibility(made_up(64, 0, shift=3), made_up(400, 1), made_up(40, 2))
    json.dumps(summary, allow_nan=False)
    found = summary["measurements"]["symmetry"]
    assert summary["counts"] == {"synthetic": 64, "train": 400, "test": 40}
    assert found["distance"]["synthetic"] == pytest.approx(3, abs=0.5) and found["distance"]["test"] < 0.4
    assert found["outside"]["synthetic"] > 0.5 and found["outside"]["test"] < 0.1
    assert found["real_p01"] < -1.9 < found["real_median"] < 1.9 < found["real_p99"]
    assert summary["outside_any"]["synthetic"] > 0.99
    assert list(columns["synthetic"]) == list(summary["measurements"]) == list(MEASUREMENTS)


def test_the_distance_between_histograms_is_the_shift_of_the_greys():
    columns, _ = plausibility(made_up(10, 0, grey=150), made_up(400, 1, grey=100), made_up(10, 2, grey=100))
    np.testing.assert_allclose(columns["synthetic"]["histogram_distance"], 45.5 + np.arange(10), atol=1e-9)
    own = np.abs(np.arange(10)[:, None] - np.arange(10)).mean(1)
    np.testing.assert_allclose(columns["test"]["histogram_distance"], own, atol=1e-9)
    assert columns["train"]["histogram_distance"][0] == pytest.approx(4.5 * 400 / 399)  # the image itself left out


def real_radiograph(path: Path) -> Grey:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    target = HarmonizeParams(high_size=(HEIGHT, WIDTH), low_size=(32, 64), aspect="keep")
    return harmonize_image(image.astype(np.uint8), SourceParams(), target).high.copy()


@pytest.mark.real
@pytest.mark.parametrize(("name", "height"), BITES.items())
def test_the_bite_of_difficult_real_radiographs_lies_where_it_was_read_by_eye(
    test_data: Path, name: str, height: float
):
    image = real_radiograph(next((test_data / "radiographs").glob(f"*/{name}.*")))
    assert numbers(image)["occlusal_height"] == pytest.approx(height, abs=0.04)


@pytest.mark.real
def test_halves_of_two_patients_are_seen_among_real_radiographs(test_data: Path):
    paths = sorted((test_data / "radiographs").glob("*/*.png"))[::4]
    images = [real_radiograph(path) for path in paths]
    mixed = [
        np.hstack([a[:, : WIDTH // 2], b[:, WIDTH // 2 :]])
        for a, b in zip(images, images[7:] + images[:7], strict=True)
    ]
    real = measured(images)
    _, summary = plausibility(measured(mixed), real, real)
    moved = {name: found["distance"]["synthetic"] for name, found in summary["measurements"].items()}
    assert moved.pop("symmetry") > 2
    assert max(moved.values()) < 1, moved  # that of the bite: two halves of it do not meet
