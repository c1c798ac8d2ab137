"""The losses of super-resolution against closed forms."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small import ROOT, pictures, small_encoder
from torch import nn

from panodiff.checkpoint import save_model
from panodiff.features.encoder import Encoder
from panodiff.features.vgg import VGGFeatures
from panodiff.images import to_unit
from panodiff.randomness import seeded_init
from panodiff.superres.losses import (
    PerceptualLoss,
    discriminator_loss,
    encoder_loss,
    generator_loss,
    load_perceptual_loss,
    vgg_loss,
)
from panodiff.weights import WeightsError

REAL = to_unit(pictures(3, 32, 64))
OTHER = to_unit(pictures(3, 32, 64, seed=1))


class Maps(Encoder):
    """Feature maps whose distance is known: the image, times each factor."""

    def __init__(self, *factors: float) -> None:
        nn.Module.__init__(self)
        self.factors = factors

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:  # type: ignore[override]
        return [factor * x for factor in self.factors]

    feature_maps = forward


def small_vgg() -> VGGFeatures:
    with seeded_init(0, "test vgg"):
        return VGGFeatures("vgg16").eval().requires_grad_(False)


LOSSES = pytest.mark.parametrize("loss", [encoder_loss(small_encoder()), vgg_loss(small_vgg())], ids=["encoder", "vgg"])


@LOSSES
def test_the_perceptual_loss_is_zero_for_equal_images_and_grows_with_the_distance(loss: PerceptualLoss):
    assert torch.equal(loss(REAL, REAL), torch.zeros(3))
    near, middle, far = (loss(REAL.lerp(OTHER, part), REAL) for part in (0.1, 0.3, 1.0))
    assert (near > 0).all()
    assert (near < middle).all()
    assert (middle < far).all()


def test_each_level_of_the_encoder_counts_by_its_distance_relative_to_the_real_features():
    real, restored = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), 0.6)
    torch.testing.assert_close(encoder_loss(Maps(1, 10))(restored, real), torch.full((2,), 0.2))


def test_vggs_levels_have_the_published_weights():
    real, restored = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), 0.6)
    for level, weight in enumerate((0.1, 0.1, 1.0, 1.0, 1.0)):
        network = Maps(*(float(index == level) for index in range(5)))
        torch.testing.assert_close(vgg_loss(network)(restored, real), torch.full((2,), 0.1 * weight))  # type: ignore[arg-type]


@LOSSES
def test_an_image_counts_the_same_in_any_batch(loss: PerceptualLoss):
    """So that a batch shared among processes has the loss of the whole."""
    dark = torch.cat([REAL[:1] * 0.02, REAL[1:]])
    alone = torch.cat([loss(OTHER[i : i + 1], dark[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(loss(OTHER, dark), alone)


@LOSSES
def test_the_gradient_flows_to_the_restored_image(loss: PerceptualLoss):
    restored = OTHER.clone().requires_grad_()
    loss(restored, REAL).sum().backward()
    assert restored.grad is not None
    assert restored.grad.abs().amax((1, 2, 3)).min() > 0


def test_the_backbone_is_loaded_by_its_name(tmp_path: Path):
    save_model(tmp_path / "encoder", small_encoder(), {"widths": [8, 16]})
    cpu = torch.device("cpu")
    found = load_perceptual_loss("encoder", encoder=tmp_path / "encoder", device=cpu)(OTHER, REAL)
    torch.testing.assert_close(found, encoder_loss(small_encoder())(OTHER, REAL))
    (tmp_path / "catalogue.yaml").write_bytes((ROOT / "data" / "weights" / "catalogue.yaml").read_bytes())
    with pytest.raises(WeightsError, match="panodiff weights fetch vgg19"):
        load_perceptual_loss("vgg19", encoder=tmp_path / "encoder", device=cpu, weights=tmp_path)


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
