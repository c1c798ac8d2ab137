"""Telling synthetic from real: chance where there is nothing to see, the artefact and its place where there is."""

import json
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from panodiff.evaluation.looks.detectability import (
    Detection,
    Images,
    artefact_features,
    auc_interval,
    detect,
    local_features,
    local_maps,
)
from panodiff.evaluation.looks.plausibility import Measured, joined, measure_image
from panodiff.features.encoder import Encoder
from panodiff.images import to_unit
from panodiff.randomness import seeded_init

HEIGHT, WIDTH = 64, 128
Plant = Callable[[np.ndarray], np.ndarray]
TOP, LEFT, SIDE = 32, 80, 16  # of the planted patch


def named(letter: str, features: np.ndarray, copies: int = 1) -> Images:
    """Rows of features under ids like `r0007`; `copies` rows each are a group."""
    numbers = range(len(features))
    groups = [f"{letter}{number // copies}" for number in numbers]
    return Images(ids=[f"{letter}{number:04d}" for number in numbers], groups=groups, features=features)


def textures(count: int, seed: int) -> np.ndarray:
    """Smooth noise, uint8 (count, HEIGHT, WIDTH)."""
    noise = np.random.default_rng(seed).normal(0, 1, (count, HEIGHT, WIDTH)).astype(np.float32)
    smooth = np.stack([5 * cv2.GaussianBlur(image, (0, 0), 3) + 0.2 * image for image in noise])
    return np.clip(110 + 40 * smooth, 0, 255).astype(np.uint8)


def with_bright_patch(images: np.ndarray) -> np.ndarray:
    planted = images.copy()
    planted[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] //= 2
    planted[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] += 127
    return planted


def with_smooth_patch(images: np.ndarray) -> np.ndarray:
    planted = images.copy()
    for image in planted:
        patch = image[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        patch[:] = cv2.GaussianBlur(patch, (0, 0), 2)
    return planted


def with_grid(images: np.ndarray) -> np.ndarray:
    """Every fourth row and column five greys brighter, among noise of eight."""
    grid = (np.arange(HEIGHT)[:, None] % 4 == 0) | (np.arange(WIDTH) % 4 == 0)
    return np.clip(images + 5.0 * grid, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    with seeded_init(0, "test"):
        return Encoder((8, 16, 24)).eval()


def encoded(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return encoder(to_unit(images)).numpy()


def measured(images: np.ndarray) -> Measured:
    return joined([measure_image(image) for image in images])


def two_alike(count: int, dim: int, seed: int, copies: int = 1) -> tuple[Images, Images]:
    generator = np.random.default_rng(seed)
    real = np.repeat(generator.normal(size=(count // copies, dim)), copies, axis=0)
    return named("s", generator.normal(size=(count, dim))), named("r", real, copies)


@pytest.mark.parametrize("copies", [1, 2])
def test_the_interval_of_two_samples_alike_holds_chance_in_nine_of_ten_repeats_or_more(copies: int):
    found = [detect(*two_alike(40, 3, seed, copies), seed, "test").summary for seed in range(80)]
    held = [each["auc"]["low"] <= 0.5 <= each["auc"]["high"] for each in found]
    assert np.mean(held) >= 0.9
    # Nor are they so wide that they hold anything: 0.19 a side at most for 40 images.
    assert max(each["auc"]["high"] - each["auc"]["low"] for each in found) < (0.38 if copies == 1 else 0.48)
    assert np.mean([each["auc"]["value"] for each in found]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([each["accuracy"] for each in found]) == pytest.approx(0.5, abs=0.04)


def test_the_interval_follows_how_much_the_auc_scatters():
    generator = np.random.default_rng(0)
    found = []
    for seed in range(60):
        fake = generator.normal(size=(60, 4)) + np.array([1.0, 0, 0, 0])
        found.append(detect(named("s", fake), named("r", generator.normal(size=(60, 4))), seed, "test").summary["auc"])
    truth = np.mean([each["value"] for each in found])
    assert truth == pytest.approx(0.75, abs=0.03)  # Φ(1 / √2) for the best classifier
    assert np.mean([each["low"] <= truth <= each["high"] for each in found]) >= 0.9


def brightest(found: np.ndarray) -> tuple[int, int]:
    """The row and column of an image where its map (h, w) is brightest."""
    whole = cv2.resize(found, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    row, column = np.unravel_index(whole.argmax(), whole.shape)
    return int(row), int(column)


def is_in_patch(place: tuple[int, int]) -> bool:
    return TOP <= place[0] < TOP + SIDE and LEFT <= place[1] < LEFT + SIDE


@pytest.mark.parametrize("plant", [with_bright_patch, with_smooth_patch])
def test_a_planted_patch_is_found_and_the_map_is_brightest_there(plant: Plant):
    images = {"s": plant(textures(48, 0)), "r": textures(48, 1)}
    features = {letter: local_features(measured(group)) for letter, group in images.items()}
    found = detect(*(named(letter, rows) for letter, rows in features.items()), 0, "test")
    assert found.summary["auc"]["value"] > 0.97
    maps = {}
    for letter, is_synthetic in (("s", True), ("r", False)):
        names = named(letter, features[letter]).ids
        maps[letter] = local_maps(features[letter], names, found)
        np.testing.assert_allclose(maps[letter].mean((1, 2)), found.logits[found.is_synthetic == is_synthetic])
    assert is_in_patch(brightest(maps["s"].mean(0) - maps["r"].mean(0)))


def test_each_image_is_judged_by_the_one_classifier_that_has_not_seen_it():
    features = np.random.default_rng(0).normal(size=(24, 5))
    found = detect(named("s", features[:12]), named("r", features[12:]), 0, "test")
    changed = features.copy()
    changed[0] += 5
    other = detect(named("s", changed[:12]), named("r", features[12:]), 0, "test")
    for fold, (before, after) in enumerate(zip(found.classifiers, other.classifiers, strict=True)):
        same = np.array_equal(before.weights, after.weights)
        assert same == (fold == found.folds[found.ids.index("s0000")])


def test_a_faint_grid_is_found_without_a_network():
    real = artefact_features(measured(textures(40, 1)))
    clean, planted = (artefact_features(measured(images)) for images in (textures(40, 0), with_grid(textures(40, 0))))
    assert detect(named("s", planted), named("r", real), 0, "test").summary["auc"]["value"] > 0.97
    untouched = detect(named("s", clean), named("r", real), 0, "test").summary["auc"]
    assert untouched["low"] < 0.5 < untouched["high"]


def test_copies_of_a_real_image_never_straddle_folds_and_classes_are_equally_large():
    synthetic, real = two_alike(60, 4, 0, copies=3)
    real = Images(ids=real.ids[:51], groups=real.groups[:51], features=real.features[:51])
    found = detect(synthetic, real, 0, "test")
    folds = dict(zip(found.ids, found.folds, strict=True))
    by_group: dict[str, set[int]] = {}
    for name, group in zip(real.ids, real.groups, strict=True):
        by_group.setdefault(group, set()).add(int(folds[name]))
    assert set(map(len, by_group.values())) == {1}
    assert (found.summary["num_synthetic"], found.summary["num_real"], found.summary["num_real_groups"]) == (51, 51, 17)
    assert {int(found.is_synthetic[found.folds == fold].any()) for fold in range(5)} == {1}


def shuffled(images: Images, seed: int) -> Images:
    order = np.random.default_rng(seed).permutation(len(images.ids))
    return Images(
        ids=[images.ids[i] for i in order], groups=[images.groups[i] for i in order], features=images.features[order]
    )


def same(one: Detection, other: Detection) -> bool:
    return one.ids == other.ids and np.array_equal(one.logits, other.logits) and one.summary == other.summary


def test_the_order_of_the_images_does_not_count_but_the_seed_does():
    synthetic, real = two_alike(50, 4, 0, copies=2)
    few = Images(ids=synthetic.ids[:30], groups=synthetic.groups[:30], features=synthetic.features[:30])
    found = detect(few, real, 0, "test")
    assert same(found, detect(shuffled(few, 1), shuffled(real, 2), 0, "test"))
    assert found.ids != detect(few, real, 1, "test").ids
    json.dumps(found.summary, allow_nan=False)


def test_intervals_narrow_with_the_images_and_are_no_points_at_the_ends():
    for auc in (0.0, 0.3, 0.5, 0.9, 1.0):
        widths = []
        for count in (20, 64, 256):
            low, high = auc_interval(auc, count, count, 5)
            assert 0 <= low <= auc + 1e-6 and auc - 1e-6 <= high <= 1
            widths.append(high - low)
        assert widths[0] > widths[1] > widths[2] > 0.01
    # Of the Mann-Whitney statistic, (m + n + 1) / (12 m n), where it is large: 9 / 4 of that for five folds.
    low, high = auc_interval(0.5, 4000, 4000, 5)
    assert (high - low) / 2 == pytest.approx(1.96 * (9 / 4 * 8001 / (12 * 4000**2)) ** 0.5, rel=0.01)
    assert auc_interval(0.5, 64, 64, 5) == (pytest.approx(0.356, abs=0.001), pytest.approx(0.644, abs=0.001))


def test_one_group_of_real_images_is_too_few():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 2 groups"):
        detect(
            named("s", generator.normal(size=(9, 3))), named("r", generator.normal(size=(9, 3)), copies=9), 0, "test"
        )
