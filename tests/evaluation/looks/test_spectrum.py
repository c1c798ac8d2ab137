"""Power by spatial frequency."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from panodiff.evaluation.looks.spectrum import NUM_FREQUENCIES, radial_power, ring_frequencies


def noise(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(count, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_white_noise_has_its_variance_everywhere():
    power = radial_power(0.5 + 0.1 * noise(40, 128, 256)).mean(0)
    torch.testing.assert_close(power[2:], torch.full_like(power[2:], 0.01), rtol=0.1, atol=0)


@pytest.mark.parametrize(("frequency", "horizontal"), [(0.1, True), (0.1, False), (0.3, True), (0.45, False)])
def test_a_wave_stands_at_its_frequency_in_either_direction(frequency: float, horizontal: bool):
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(160.0), indexing="ij")
    wave = torch.sin(2 * torch.pi * frequency * (columns if horizontal else rows))
    power = radial_power(wave[None, None])[0].nan_to_num()
    assert ring_frequencies()[int(power.argmax())] == pytest.approx(frequency, abs=1 / NUM_FREQUENCIES)
    assert power[torch.tensor(ring_frequencies()).sub(frequency).abs() > 0.05].sum() < 1e-3 * power.sum()


def test_blur_takes_away_what_its_transfer_function_says():
    images = noise(60, 128, 128)
    blurred = torch.from_numpy(gaussian_filter(images.double().numpy(), (0, 0, 1.5, 1.5), mode="wrap"))
    ratio = (radial_power(blurred).mean(0) / radial_power(images).mean(0)).numpy()
    expected = np.exp(-((2 * np.pi * 1.5 * np.array(ring_frequencies())) ** 2))
    np.testing.assert_allclose(ratio[2:30], expected[2:30], rtol=0.15)


def test_small_images_leave_rings_empty_and_grey_level_does_not_count():
    power = radial_power(0.5 + noise(2, 16, 32))
    assert power.shape == (2, NUM_FREQUENCIES)
    assert power.isnan().any()
    torch.testing.assert_close(power, radial_power(0.1 + noise(2, 16, 32)), equal_nan=True, rtol=1e-4, atol=1e-6)
