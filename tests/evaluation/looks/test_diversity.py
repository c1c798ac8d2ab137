"""Differences between images of one set."""

import numpy as np
import pytest
import torch
from small import install_random_weights

from panodiff.evaluation.looks.diversity import NUM_IMAGES, pairwise
from panodiff.features.perceptual import load_lpips, perceptual_distance
from panodiff.images import read_grey, to_unit, write_grey
from panodiff.superres.metrics import multiscale_ssim, num_scales

CPU = torch.device("cpu")


def write(folder, images):
    for number, image in enumerate(images):
        write_grey(folder / f"{number:03d}.png", image)
    return sorted(folder.glob("*.png"))


def mixtures(count: int, share: float) -> np.ndarray:
    """Images that have `share` of their greys in common."""
    generator = np.random.default_rng(0)
    common, own = generator.random((1, 32, 64)), generator.random((count, 32, 64))
    return (255 * (share * common + (1 - share) * own)).astype(np.uint8)


def measure(paths, lpips=None, seed=1):
    return pairwise(paths, lpips, seed=seed, device=CPU, what="pairs")


def test_equal_images_have_a_similarity_of_one_and_no_distance(tmp_path):
    install_random_weights(tmp_path, "squeezenet")
    network = load_lpips("squeezenet", CPU, tmp_path)
    found = measure(write(tmp_path / "images", mixtures(5, 1.0)), network)
    assert found["ms_ssim"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert found["lpips"] == pytest.approx({"value": 0, "low": 0, "high": 0}, abs=1e-6)


def test_the_more_images_share_the_more_alike_they_are(tmp_path):
    found = [measure(write(tmp_path / f"{share}", mixtures(24, share)))["ms_ssim"] for share in (0.2, 0.5, 0.8)]
    assert found[0]["high"] < found[1]["low"] < found[1]["high"] < found[2]["low"]


def test_three_images_are_compared_each_with_each(tmp_path):
    install_random_weights(tmp_path, "squeezenet")
    network = load_lpips("squeezenet", CPU, tmp_path)
    paths = write(tmp_path / "images", mixtures(3, 0.3))
    images = to_unit(np.stack([read_grey(path) for path in paths]))
    others = images.roll(1, 0)
    found = measure(paths, network)
    assert found["num_pairs"] == 3
    assert found["ms_ssim"]["value"] == pytest.approx(multiscale_ssim(images, others).mean().item(), rel=1e-5)
    with torch.inference_mode():
        expected = perceptual_distance(network, images, others).mean().item()
    assert found["lpips"]["value"] == pytest.approx(expected, rel=1e-5)


def test_a_large_set_is_measured_on_a_part(tmp_path):
    paths = write(tmp_path, mixtures(3, 0.3)) * 100
    assert measure(paths)["num_pairs"] == NUM_IMAGES


@pytest.mark.parametrize(("side", "scales"), [(32, 2), (64, 3), (128, 4), (176, 5), (512, 5)])
def test_small_images_have_fewer_scales_and_weights_that_sum_to_one(side, scales):
    assert num_scales(side) == scales
    flat = torch.full((1, 1, side, side), 0.5)
    assert multiscale_ssim(flat, flat).item() == pytest.approx(1)
