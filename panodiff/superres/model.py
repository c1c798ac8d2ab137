"""The super-resolution model as other stages use it, and what it has to beat."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.checkpoint import load_weights, read_config
from panodiff.params import HATParams
from panodiff.superres.hat import HAT


def build_hat(params: HATParams, scale: int) -> HAT:
    """The network of these parameters for grey images, enlarging by `scale`."""
    return HAT(
        in_chans=1,
        embed_dim=params.embed_dim,
        depths=params.depths,
        num_heads=params.num_heads,
        window_size=params.window_size,
        num_feat=params.num_feat,
        upscale=scale,
    )


def load_superres(folder: Path, device: torch.device) -> HAT:
    """The trained network that the stage train_superres left in `folder`, in evaluation mode.

    It maps (B, 1, h, w) in [0, 1] to (B, 1, H, W), about [0, 1].
    """
    config = read_config(folder)
    network = build_hat(HATParams.model_validate(config["network"]), config["scale"])
    load_weights(folder, network, device)
    return network


def bicubic(low_res: Tensor, scale: int) -> Tensor:
    """`low_res` (B, 1, h, w) enlarged by bicubic interpolation (a = -0.75, as in OpenCV), cut to [0, 1]."""
    return F.interpolate(low_res, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)
