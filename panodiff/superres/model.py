"""The super-resolution model as other stages use it, and what it has to beat."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panodiff.checkpoint import load_weights, read_config
from panodiff.params import HATParams
from panodiff.superres.hat import HAT


class Restorer(nn.Module):
    """HAT, with or without bicubic enlargement beside it.

    With `bicubic_skip` the last convolution starts at zero: the untrained model is bicubic enlargement, and all of
    the training goes into what that misses. The published model has no skip.
    """

    def __init__(self, params: HATParams, scale: int) -> None:
        super().__init__()
        self.scale, self.bicubic_skip = scale, params.bicubic_skip
        self.hat = HAT(
            in_chans=1,
            embed_dim=params.embed_dim,
            depths=params.depths,
            num_heads=params.num_heads,
            window_size=params.window_size,
            num_feat=params.num_feat,
            upscale=scale,
        )
        if self.bicubic_skip:
            for parameter in self.hat.conv_last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, 1, H, W), about [0, 1], of `low_res` (B, 1, h, w) in [0, 1]."""
        restored: Tensor = self.hat(low_res)
        return restored + _enlarge(low_res, self.scale) if self.bicubic_skip else restored


def load_superres(folder: Path, device: torch.device) -> Restorer:
    """The trained model that the stage train_superres left in `folder`, in evaluation mode."""
    config = read_config(folder)
    model = Restorer(HATParams.model_validate(config["network"]), config["scale"])
    load_weights(folder, model.hat, device)
    return model.to(device).eval()


def bicubic(low_res: Tensor, scale: int) -> Tensor:
    """`low_res` (B, 1, h, w) enlarged by bicubic interpolation (a = -0.75, as in OpenCV), cut to [0, 1]."""
    return _enlarge(low_res, scale).clamp(0, 1)


def _enlarge(low_res: Tensor, scale: int) -> Tensor:
    return F.interpolate(low_res, scale_factor=scale, mode="bicubic", align_corners=False)
