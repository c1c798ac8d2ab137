"""PSNR and SSIM against scikit-image; LPIPS has tests of its own."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from panodiff.superres.metrics import as_published, measure


def test_psnr_and_ssim_equal_scikit_image():
    """SSIM counts the border too, seen mirrored; scikit-image leaves it out unless it is added before."""
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(3, 1, 40, 60, generator=generator)
    found = (true + 0.1 * torch.randn(true.shape, generator=generator)).clamp(0, 1)
    measured = measure(found, true, None)
    for index in range(3):
        a, b = found[index, 0].double().numpy(), true[index, 0].double().numpy()
        assert measured["psnr"][index].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
        bordered = (np.pad(image, 5, mode="reflect") for image in (b, a))
        ssim = structural_similarity(
            *bordered, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert measured["ssim"][index].item() == pytest.approx(ssim, abs=1e-5)


def test_what_is_published_has_8_bits_and_stays_in_range():
    images = torch.tensor([-0.2, 0.0, 0.4999, 0.5, 1.7]).reshape(1, 1, 1, 5)
    expected = torch.tensor([0, 0, 127, 128, 255]) / 255
    torch.testing.assert_close(as_published(images).flatten(), expected)
