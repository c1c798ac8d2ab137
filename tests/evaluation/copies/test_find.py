from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import gumbel_r
from statsmodels.stats.proportion import proportion_confint

from panodiff.evaluation.copies import closest, likeness
from panodiff.evaluation.copies.closest import open_gallery, search
from panodiff.evaluation.copies.find import FALSE_ALARMS, copy_threshold, find_copies, flagged_share, measure_yardstick
from panodiff.evaluation.copies.planting import CHANGES, Change, changed
from panodiff.images import Grey, write_grey
from panodiff.sources.phantom import DEVICES, draw_phantom

NUM_TRAIN, NUM_TEST = 36, 12


@pytest.fixture(scope="module")
def patients() -> list[Grey]:
    devices = list(DEVICES.values())
    return [draw_phantom(3, n, 128, 256, devices[n % len(devices)])[0] for n in range(NUM_TRAIN + NUM_TEST)]


@pytest.fixture(scope="module")
def train(patients: list[Grey], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(tmp_path_factory.mktemp("train"), patients[:NUM_TRAIN])


@pytest.fixture(scope="module")
def test(patients: list[Grey], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(tmp_path_factory.mktemp("test"), patients[NUM_TRAIN:])


def written(folder: Path, images: list[Grey]) -> list[Path]:
    paths = [folder / f"{number:03d}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        write_grey(path, image)
    return paths


def apart(count: int) -> np.ndarray:
    return np.arange(count).astype(object)


def test_copies_of_every_kind_are_found_and_named_and_no_stranger_is(
    patients: list[Grey], train: list[Path], test: list[Path], tmp_path: Path
):
    rng, originals = np.random.default_rng(0), np.arange(0, NUM_TRAIN, 3)
    images = [
        changed(patients[n], patients[(n + 1) % NUM_TRAIN], change, rng)
        for change in CHANGES.values()
        for n in originals
    ]
    copies = find_copies(
        synthetic=written(tmp_path, images), train=train, test=test, train_groups=apart(NUM_TRAIN), seed=0
    )
    assert copies.is_copy.all() and copies.rank.min() == 1
    assert (copies.found.nearest.reshape(len(CHANGES), -1) == originals).all()
    turned = np.array([change.mirrored for change in CHANGES.values()])
    assert (copies.found.mirrored.reshape(len(CHANGES), -1) == turned[:, None]).all()
    summary = copies.summary
    assert summary["synthetic"]["share"] == 1 and summary["test"]["flagged"] == 0 and summary["planted"]["share"] > 0.99
    assert summary["yardstick"]["num"] == NUM_TRAIN and summary["test"]["num"] == NUM_TEST


def test_changes_do_what_they_say(patients: list[Grey]):
    image, other = patients[:2]
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(changed(image, other, CHANGES["exact"], rng), image)
    np.testing.assert_array_equal(changed(image, other, CHANGES["mirrored"], rng), image[:, ::-1])
    np.testing.assert_allclose(changed(image, other, CHANGES["blended"], rng), 0.7 * image + 0.3 * other, atol=0.51)
    grey = np.full((128, 256), 100, np.uint8)
    assert changed(grey, grey, CHANGES["noisy"], rng).std() == pytest.approx(10, rel=0.05)
    places = [
        cv2.phaseCorrelate(*(np.float32(x) for x in (image, changed(image, other, CHANGES["shifted"], rng))))[0]
        for _ in range(8)
    ]
    assert 4 < np.abs(places).max() < 0.03 * 256 + 0.5


def test_strangers_and_means_of_strangers_rank_among_the_real_ones(
    patients: list[Grey], train: list[Path], test: list[Path], tmp_path: Path
):
    means = [np.mean(patients[NUM_TRAIN + n : NUM_TRAIN + n + 4], axis=0).astype(np.uint8) for n in range(8)]
    copies = find_copies(
        synthetic=test + written(tmp_path, means), train=train, test=test, train_groups=apart(NUM_TRAIN), seed=0
    )
    assert not copies.is_copy.any() and 0.1 < copies.rank[:NUM_TEST].mean() < 0.9
    summary = copies.summary
    assert {key: summary["synthetic"][key] for key in ("flagged", "share", "low")} == {
        "flagged": 0,
        "share": 0,
        "low": 0,
    }
    assert summary["yardstick"]["p50"] < summary["yardstick"]["max"] < summary["threshold"] < 1


def test_duplicates_in_train_do_not_enter_the_yardstick_and_missed_ones_hardly_move_the_threshold(
    patients: list[Grey], tmp_path: Path
):
    gallery = open_gallery(written(tmp_path, patients[:NUM_TRAIN] + patients[:3]), "train")
    known, missed = np.arange(NUM_TRAIN + 3), np.arange(NUM_TRAIN + 3)
    known[NUM_TRAIN:] = known[:3]
    without, with_them = measure_yardstick(gallery, known), measure_yardstick(gallery, missed)
    assert without.max() < 0.8 and (with_them > 0.99).sum() == 6
    assert copy_threshold(with_them) == pytest.approx(copy_threshold(without), abs=0.06)


def test_the_threshold_leaves_the_stated_share_of_gumbels_law_above():
    z = gumbel_r(0.4, 0.06).ppf((np.arange(10_000) + 0.5) / 10_000)
    assert (np.tanh(z) > copy_threshold(np.tanh(z))).mean() == pytest.approx(FALSE_ALARMS, abs=1e-4)


def test_the_search_finds_what_comparing_all_with_all_finds(patients: list[Grey], tmp_path: Path):
    few, others = patients[:4], patients[10:16]  # both orientations of four are eight candidates: nothing is left out
    samples, originals = (open_gallery(written(tmp_path, part), "some") for part in (others, few))
    found = search(samples, originals)
    turns = [likeness.details(turned) for image in few for turned in (image, image[:, ::-1].copy())]
    all_pairs = np.array(
        [[likeness.aligned_correlation(likeness.details(one), other) for other in turns] for one in others]
    )
    assert found.correlation == pytest.approx(all_pairs.max(axis=1), abs=0.01)  # a mirrored image is rounded elsewhere
    assert (found.nearest == all_pairs.argmax(axis=1) // 2).all()


def test_blocks_and_threads_change_nothing(train: list[Path], test: list[Path], monkeypatch: pytest.MonkeyPatch):
    def measured() -> np.ndarray:
        samples, originals = open_gallery(test, "test"), open_gallery(train, "train")
        found = search(samples, originals)
        own = search(originals, originals, asked=np.arange(0, NUM_TRAIN, 2), groups=np.arange(NUM_TRAIN) // 3)
        return np.concatenate([*vars(found).values(), *vars(own).values()])

    whole = measured()
    monkeypatch.setattr(closest, "_ROWS", 5)
    monkeypatch.setattr(closest, "_COLUMNS", 7)
    monkeypatch.setenv("PANODIFF_WORKERS", "3")
    np.testing.assert_array_equal(measured(), whole)


def test_the_aligned_correlation_is_that_of_the_parts_laid_over_each_other(patients: list[Grey]):
    one, other = likeness.details(patients[0]), likeness.details(patients[1])
    inner = one[10:-10, 10:-10].ravel()
    places = ((down, across) for down in range(21) for across in range(21))
    wanted = max(np.corrcoef(inner, other[y : y + 108, x : x + 236].ravel())[0, 1] for y, x in places)
    assert likeness.aligned_correlation(one, other) == pytest.approx(wanted, abs=1e-5)


def test_mirrored_signatures_are_those_of_the_mirrored_image(patients: list[Grey]):
    turned = likeness.signatures(patients[0][:, ::-1].copy())
    opposite = [likeness.OFFSETS.index((down, -across)) for down, across in likeness.OFFSETS]
    agreement = (likeness.mirrored(likeness.signatures(patients[0]))[opposite] * turned).sum(axis=1)
    assert agreement == pytest.approx(1, abs=1e-3)


def test_brightness_and_contrast_hardly_change_the_details(patients: list[Grey]):
    toned = (0.7 * patients[0] + 30).astype(np.uint8)
    assert likeness.aligned_correlation(likeness.details(toned), likeness.details(patients[0])) > 0.97


def test_wide_images_are_averaged_and_small_ones_stay(patients: list[Grey], tmp_path: Path):
    doubled = patients[0].repeat(2, axis=0).repeat(2, axis=1)
    large, small = written(tmp_path, [doubled, patients[0][:64, :128]])
    np.testing.assert_array_equal(likeness.read_small(large), patients[0])
    assert likeness.read_small(small).shape == (64, 128)


def test_copies_are_found_among_images_of_a_quarter_of_the_size(patients: list[Grey], tmp_path: Path):
    tiny = [np.asarray(cv2.resize(image, (64, 32), interpolation=cv2.INTER_AREA)) for image in patients]
    for name in ("train", "test", "synthetic"):
        (tmp_path / name).mkdir()
    copies = find_copies(
        synthetic=written(
            tmp_path / "synthetic",
            [tiny[4], changed(tiny[9], tiny[8], Change(shift=0.03, mirrored=True), np.random.default_rng(0))],
        ),
        train=written(tmp_path / "train", tiny[:NUM_TRAIN]),
        test=written(tmp_path / "test", tiny[NUM_TRAIN:]),
        train_groups=apart(NUM_TRAIN),
        seed=0,
    )
    assert copies.is_copy.all() and list(copies.found.nearest) == [4, 9]
    assert copies.summary["test"]["flagged"] == 0


def test_the_interval_of_a_share_is_wilsons():
    found = flagged_share(np.arange(40) < 3)
    assert (found["low"], found["high"]) == pytest.approx(proportion_confint(3, 40, method="wilson"))
    assert (found["flagged"], found["share"]) == (3, 0.075)


def test_a_flat_image_copies_nobody(train: list[Path], test: list[Path], tmp_path: Path):
    flat = written(tmp_path, [np.full((128, 256), 90, np.uint8)])
    copies = find_copies(synthetic=flat, train=train, test=test, train_groups=apart(NUM_TRAIN), seed=0)
    assert not copies.is_copy.any() and np.isfinite(copies.found.correlation).all()


def test_planted_copies_that_drown_in_noise_are_told(patients: list[Grey], tmp_path: Path):
    smooth = written(tmp_path, [np.asarray(cv2.GaussianBlur(image, (0, 0), 12)) for image in patients])
    copies = find_copies(synthetic=smooth[:2], train=smooth, test=smooth[-3:], train_groups=apart(len(smooth)), seed=0)
    planted = copies.summary["planted"]
    assert copies.is_copy.all() and planted["share"] < 0.8
    assert planted["share_by_kind"]["exact"] == 1 and planted["share_by_kind"]["noisy"] < 0.5


def test_a_single_duplicate_group_leaves_no_yardstick(train: list[Path], test: list[Path]):
    with pytest.raises(ValueError, match="one duplicate group"):
        find_copies(synthetic=test, train=train, test=test, train_groups=np.array(["g"] * NUM_TRAIN, object), seed=0)


def test_images_of_several_sizes_are_refused(patients: list[Grey], train: list[Path], tmp_path: Path):
    cut = written(tmp_path, [patients[1][:100], patients[0]])
    with pytest.raises(ValueError, match="one size"):
        open_gallery(cut, "some")
    with pytest.raises(ValueError, match="of their size"):
        search(open_gallery(cut[:1], "some"), open_gallery(train, "train"))
