"""The three losses of the super-resolution model besides L1's one line."""

import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.features.encoder import Encoder


def perceptual_loss(encoder: Encoder, restored: Tensor, real: Tensor) -> Tensor:
    """Mean relative L1 distance of the encoder's feature maps, over its levels; 0 for equal images.

    After Johnson et al. 2016 (arXiv 1603.08155), equation 2, with the encoder of radiographs for VGG. Each level's
    distance is divided by the mean size of the same image's real features, so that no level outweighs the others and
    an image counts the same in any batch.

    Args:
        encoder: Frozen.
        restored: (B, 1, H, W), about [0, 1]; the gradient flows to it.
        real: (B, 1, H, W) in [0, 1].
    """
    with torch.no_grad():
        targets = encoder.feature_maps(real)
    distances = [
        (found.float() - target.float()).abs().mean((1, 2, 3)) / target.float().abs().mean((1, 2, 3))
        for found, target in zip(encoder.feature_maps(restored), targets, strict=True)
    ]
    return torch.stack(distances).mean()  # of (levels, B)


def generator_loss(fake_logits: Tensor) -> Tensor:
    """What the restored images lose by being told from real ones (Goodfellow et al. 2014, non-saturating)."""
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The cross entropy of telling real pixels' surroundings from restored ones (log 4 for a guess)."""
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()
