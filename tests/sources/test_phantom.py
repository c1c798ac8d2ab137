import cv2
import numpy as np
import pytest

from panodiff.sources.phantom import DEVICES, draw_phantom


def brightness(picture: np.ndarray, point: list[float]) -> float:
    """The grey value at (x, y), or NaN outside the picture."""
    x, y = round(point[0]), round(point[1])
    inside = 0 <= x < picture.shape[1] and 0 <= y < picture.shape[0]
    return float(picture[y, x]) if inside else float("nan")


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_the_same_seed_draws_the_same_picture_and_the_same_truth(name: str) -> None:
    first, first_truth = draw_phantom(3, 1, 160, 320, DEVICES[name])
    again, again_truth = draw_phantom(3, 1, 160, 320, DEVICES[name])
    assert np.array_equal(first, again)
    assert first_truth == again_truth


def test_seed_patient_and_device_each_change_the_patient() -> None:
    truths = [
        draw_phantom(seed, patient, 64, 128, DEVICES[name])[1]["teeth"]
        for seed, patient, name in ((0, 0, "adld"), (1, 0, "adld"), (0, 1, "adld"), (0, 0, "tufts"))
    ]
    assert all(truths[i] != truths[j] for i in range(4) for j in range(i))


def test_drawing_leaves_the_global_generator_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw_phantom(0, 0, 64, 128, DEVICES["adld"])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_different_patients_look_clearly_different() -> None:
    pictures = np.stack([draw_phantom(0, patient, 128, 256, DEVICES["dentex"])[0] for patient in range(12)])
    correlation = np.corrcoef(pictures.reshape(12, -1))
    others = correlation[np.triu_indices(12, 1)]
    assert others.max() < 0.95
    assert others.mean() > 0.3, "they are all heads in the same machine"


@pytest.mark.parametrize("size", [(64, 128), (128, 256), (333, 700), (1316, 2950)])
def test_every_size_works_and_shows_the_same_patient_at_the_same_place(size: tuple[int, int]) -> None:
    picture, truth = draw_phantom(2, 4, *size, DEVICES["dentex"])
    reference, reference_truth = draw_phantom(2, 4, 200, 420, DEVICES["dentex"])
    assert picture.shape == size
    assert picture.dtype == np.uint8
    for tooth, other in zip(truth["teeth"], reference_truth["teeth"], strict=True):
        assert tooth["fdi"] == other["fdi"]
        assert tooth["fraction"] == pytest.approx(other["fraction"], abs=1e-4)
        assert tooth["crown_width"] / size[1] == pytest.approx(other["crown_width"] / 420, rel=0.15)
    small = [cv2.resize(image, (64, 32), interpolation=cv2.INTER_AREA).ravel() for image in (picture, reference)]
    assert np.corrcoef(small)[0, 1] > 0.9


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_grey_values_spread_as_in_real_radiographs(name: str) -> None:
    pictures = np.stack([draw_phantom(1, patient, 128, 256, DEVICES[name])[0] for patient in range(8)]) / 255
    assert 0.3 < pictures.mean() < 0.5
    assert 0.14 < pictures.std(axis=(1, 2)).mean() < 0.26
    assert np.percentile(pictures, 1) < 0.12
    assert np.percentile(pictures, 99) > 0.75


def test_enamel_is_brighter_than_dentin_and_dentin_than_pulp() -> None:
    values = []
    for patient in range(6):
        picture, truth = draw_phantom(4, patient, 480, 960, DEVICES["dentex"])
        sound = [tooth for tooth in truth["teeth"] if tooth["state"] == "sound"]
        values += [[brightness(picture, tooth[part]) for part in ("enamel", "dentin", "pulp")] for tooth in sound]
    enamel, dentin, pulp = np.nanmean(values, axis=0)
    assert enamel > dentin + 4
    assert dentin > pulp + 4


def test_metal_is_the_brightest_thing_in_the_mouth() -> None:
    crowned, sound = [], []
    for patient in range(12):
        picture, truth = draw_phantom(4, patient, 240, 480, DEVICES["adld"])
        for tooth in truth["teeth"]:
            values = crowned if tooth["state"] == "crowned" else sound if tooth["state"] == "sound" else []
            values.append(brightness(picture, [tooth["x"], tooth["y"]]))
    assert len(crowned) >= 5
    assert np.nanmean(crowned) > np.nanmean(sound) + 50


def test_truth_names_all_32_places_and_puts_the_rows_in_order() -> None:
    places = {quadrant * 10 + place for quadrant in (1, 2, 3, 4) for place in range(1, 9)}
    for patient in range(6):
        _, truth = draw_phantom(0, patient, 210, 420, DEVICES["adld"])
        teeth = {tooth["fdi"]: tooth for tooth in truth["teeth"]}
        assert set(teeth) | set(truth["missing"]) == places
        assert not set(teeth) & set(truth["missing"])
        assert {entry["fdi"] for entry in truth["restorations"]} <= places
        for quadrant, side in ((1, -1), (2, 1), (3, 1), (4, -1)):
            row = [teeth[f]["x"] * side for f in sorted(teeth) if f // 10 == quadrant]
            assert row == sorted(row)
            assert all(x > truth["midline_x"] * side - 6 for x in row)


def test_devices_write_their_own_marks_and_frames() -> None:
    framed, _ = draw_phantom(0, 0, 300, 600, DEVICES["uspforp"])
    assert (framed[0] > 200).all()
    assert (framed[:, -1] > 200).all()
    marked, _ = draw_phantom(0, 0, 300, 600, DEVICES["tsxk"])
    strip = marked[285:299, 20:200]
    assert strip.max() > 180
    assert strip.min() < 20
