"""The losses of the super-resolution model besides L1's one line."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.features.encoder import Encoder, load_encoder
from panodiff.features.vgg import VGGFeatures, load_vgg
from panodiff.weights import WEIGHTS

PerceptualLoss = Callable[[Tensor, Tensor], Tensor]  # restored, real (B, 1, H, W) in [0, 1] → (B,), 0 for equal images
_VGG_WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)  # of the five maps, as published


def load_perceptual_loss(
    backbone: str, *, encoder: Path, device: torch.device, weights: Path = WEIGHTS
) -> PerceptualLoss:
    """The perceptual loss in feature maps of `backbone`: encoder (in the folder `encoder`), vgg16 or vgg19.

    Raises:
        WeightsError: The VGG's weights are missing in `weights`, or not the catalogued ones.
    """
    if backbone == "encoder":
        return encoder_loss(load_encoder(encoder, device))
    return vgg_loss(load_vgg(backbone, device, weights))


def encoder_loss(encoder: Encoder) -> PerceptualLoss:
    """Mean relative L1 distance of the encoder's feature maps, over its levels.

    After Johnson et al. 2016 (arXiv 1603.08155), equation 2, with the encoder of radiographs for VGG. Each level's
    distance is divided by the mean size of the same image's real features, so that no level outweighs the others and
    an image counts the same in any batch.
    """

    def loss(restored: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            targets = encoder.feature_maps(real)
        found = encoder.feature_maps(restored)
        distances = [_distance(*pair) / _mean_size(pair[1]) for pair in zip(found, targets, strict=True)]
        return torch.stack(distances).mean(0)  # of (levels, B)

    return loss


def vgg_loss(network: VGGFeatures) -> PerceptualLoss:
    """Weighted sum of the L1 distances of VGG's maps, as Real-ESRGAN takes it (Wang et al. 2021, section 3.4)."""

    def loss(restored: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            targets = network(real)
        distances = [_distance(found, target) for found, target in zip(network(restored), targets, strict=True)]
        return torch.stack([weight * distance for weight, distance in zip(_VGG_WEIGHTS, distances, strict=True)]).sum(0)

    return loss


def _distance(found: Tensor, target: Tensor) -> Tensor:
    return (found.float() - target.float()).abs().mean((1, 2, 3))


def _mean_size(features: Tensor) -> Tensor:
    return features.float().abs().mean((1, 2, 3))


def generator_loss(fake_logits: Tensor) -> Tensor:
    """What the restored images lose by being told from real ones (Goodfellow et al. 2014, non-saturating)."""
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The cross entropy of telling real pixels' surroundings from restored ones (log 4 for a guess)."""
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()
