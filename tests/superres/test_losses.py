"""The losses of super-resolution against closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from small import pictures, small_encoder
from torch import nn

from panodiff.features.encoder import Encoder
from panodiff.images import to_unit
from panodiff.superres.losses import discriminator_loss, generator_loss, perceptual_loss

REAL = to_unit(pictures(3, 32, 64))
OTHER = to_unit(pictures(3, 32, 64, seed=1))


def test_the_perceptual_loss_is_zero_for_equal_images_and_grows_with_the_distance():
    encoder = small_encoder()
    assert perceptual_loss(encoder, REAL, REAL) == 0
    distances = [perceptual_loss(encoder, REAL.lerp(OTHER, part), REAL).item() for part in (0.1, 0.3, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


class Doubling(Encoder):
    """Feature maps whose distance is known: the image, and ten times the image."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, 10 * x]


def test_each_level_counts_by_its_distance_relative_to_the_real_features():
    real, restored = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), 0.6)
    assert perceptual_loss(Doubling(), restored, real).item() == pytest.approx(0.2)


def test_the_perceptual_loss_of_a_batch_is_the_mean_of_its_images():
    """So that a batch shared among processes has the loss of the whole."""
    encoder = small_encoder()
    alone = [perceptual_loss(encoder, OTHER[i : i + 1], REAL[i : i + 1]).item() for i in range(3)]
    assert perceptual_loss(encoder, OTHER, REAL).item() == pytest.approx(sum(alone) / 3, rel=1e-5)
    dark = torch.cat([REAL[:1] * 0.02, REAL[1:]])
    alone = [perceptual_loss(encoder, OTHER[i : i + 1], dark[i : i + 1]).item() for i in range(3)]
    assert perceptual_loss(encoder, OTHER, dark).item() == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_the_gradient_flows_to_the_restored_image_and_to_no_weight():
    encoder, restored = small_encoder(), OTHER.clone().requires_grad_()
    perceptual_loss(encoder, restored, REAL).backward()
    assert restored.grad is not None
    assert restored.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_the_adversarial_losses_are_cross_entropies():
    real, fake = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.linspace(-3, 3, 32)
    fake = fake.reshape(2, 1, 4, 4)
    told = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    told = told + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    torch.testing.assert_close(discriminator_loss(real, fake), told)
    torch.testing.assert_close(generator_loss(fake), F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake)))
    zero = torch.zeros(1)
    assert discriminator_loss(zero, zero).item() == pytest.approx(math.log(4))
    assert generator_loss(torch.tensor([-200.0])).item() == pytest.approx(200)  # no overflow, no vanishing gradient
