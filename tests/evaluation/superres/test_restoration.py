import numpy as np
import pytest
import torch
import torch.nn.functional as F

from panodiff.evaluation.looks.spectrum import radial_power
from panodiff.evaluation.superres.restoration import mean_interval, restore_all, summarize
from panodiff.images import area_average, read_grey, to_unit, write_grey
from panodiff.superres.metrics import MAX_PSNR_DB


@pytest.fixture
def paths(tmp_path):
    """Six smooth images at 32×64 and their area averages at 8×16."""
    noise = torch.rand(6, 1, 5, 9, generator=torch.Generator().manual_seed(0))
    images = F.interpolate(noise, (32, 64), mode="bicubic").clamp(0, 1).mul(255).byte().numpy()[:, 0]
    for index, image in enumerate(images):
        write_grey(tmp_path / "high" / f"{index}.png", image)
        write_grey(tmp_path / "low" / f"{index}.png", area_average(image, 4))
    return {size: sorted((tmp_path / size).glob("*.png")) for size in ("high", "low")}


def means(images):
    return images.mean((2, 3))


def restore_and_look(paths, upscale):
    return restore_all(paths, upscale, lpips=None, extractors={"means": means}, device=torch.device("cpu"))


def restore(paths, upscale):
    return restore_and_look(paths, upscale).metrics


def test_a_network_that_only_interpolates_ties_with_bicubic(paths):
    columns = restore(paths, lambda low: F.interpolate(low, scale_factor=4, mode="bicubic"))
    assert list(columns) == [
        f"{metric}_{way}" for way in ("superres", "bicubic") for metric in ("psnr", "ssim", "ms_ssim")
    ]
    assert all(len(values) == 6 for values in columns.values())
    np.testing.assert_array_equal(columns["psnr_superres"], columns["psnr_bicubic"])
    assert summarize(columns, seed=1)["ssim"]["superres_minus_bicubic"] == {"mean": 0, "low": 0, "high": 0}


def test_a_worse_network_loses_with_an_interval_below_zero(paths):
    columns = restore(paths, lambda low: F.interpolate(low, scale_factor=4, mode="nearest"))
    for metric in ("psnr", "ssim"):
        gain = summarize(columns, seed=1)[metric]["superres_minus_bicubic"]
        assert gain["low"] < gain["mean"] < gain["high"] < 0


def test_perfect_images_have_a_finite_psnr_and_the_network_output_is_rounded_to_eight_bits(paths):
    true = to_unit(np.stack([read_grey(path) for path in paths["high"]]))
    rest = iter((true + 0.4 / 255).split(4))  # less than half a grey level off
    columns = restore(paths, lambda low: next(rest))
    assert set(columns["psnr_superres"]) == {MAX_PSNR_DB}
    np.testing.assert_allclose(columns["ssim_superres"], 1, atol=1e-6)


def test_features_and_spectra_are_those_of_the_images_in_their_order(paths):
    found = restore_and_look(paths, lambda low: F.interpolate(low, scale_factor=4, mode="nearest"))
    true = to_unit(np.stack([read_grey(path) for path in paths["high"]]))
    low = to_unit(np.stack([read_grey(path) for path in paths["low"]]))
    assert set(found.features) == {"means"}
    np.testing.assert_allclose(found.features["means"]["real"], true.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.features["means"]["superres"], low.mean((2, 3)), atol=1e-6)
    assert set(found.spectra) == {"real", "superres", "bicubic"}
    np.testing.assert_allclose(found.spectra["real"], radial_power(true).mean(0), rtol=1e-9)


def test_a_network_of_another_scale_is_refused_with_both_sizes(paths):
    with pytest.raises(ValueError, match=r"makes images of 16×32, where harmonize\.high_size is 32×64"):
        restore(paths, lambda low: F.interpolate(low, scale_factor=2, mode="nearest"))


def test_the_interval_is_seeded_and_covers_the_mean_of_a_normal_sample_as_the_t_interval_does():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found, again = (mean_interval(values, 1, "purpose") for _ in range(2))
    half = 1.966 * values.std(ddof=1) / np.sqrt(400)  # t quantile of 399 degrees of freedom
    assert found == again
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.03)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.03)
