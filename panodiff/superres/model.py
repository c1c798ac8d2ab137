"""The super-resolution model as other stages use it, and what it has to beat."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panodiff.checkpoint import load_weights, read_config
from panodiff.params import HATParams
from panodiff.superres.hat import HAT


@dataclass(frozen=True, kw_only=True)
class BlockRatios:
    """Sizes inside HAT's blocks that no parameter sets: as in the published network, but imported ones may differ."""

    overlap_ratio: float = 0.5
    mlp_ratio: float = 2.0
    compress_ratio: int = 3
    squeeze_factor: int = 30


PUBLISHED_RATIOS = BlockRatios()


class Restorer(nn.Module):
    """HAT, with or without bicubic enlargement beside it, for grey images.

    With `bicubic_skip` the last convolution starts at zero: the untrained model is bicubic enlargement, and all of
    the training goes into what that misses. The published model has no skip.

    A network of three channels, as all published ones are, gets the grey image in each; the mean of what it returns
    is the image: three estimates of one grey, which its training weighted alike. Luma would weight them as colours.
    """

    def __init__(
        self, params: HATParams, scale: int, *, in_chans: int = 1, ratios: BlockRatios = PUBLISHED_RATIOS
    ) -> None:
        super().__init__()
        self.scale, self.in_chans, self.bicubic_skip = scale, in_chans, params.bicubic_skip
        self.hat = HAT(
            in_chans=in_chans,
            embed_dim=params.embed_dim,
            depths=params.depths,
            num_heads=params.num_heads,
            window_size=params.window_size,
            num_feat=params.num_feat,
            upscale=scale,
            **asdict(ratios),
        )
        if self.bicubic_skip:
            for parameter in self.hat.conv_last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, 1, H, W), about [0, 1], of `low_res` (B, 1, h, w) in [0, 1]; in bfloat16 on a GPU but for the skip."""
        with self._precision(low_res):
            restored: Tensor = self.hat(low_res.expand(-1, self.in_chans, -1, -1))  # (B, in_chans, H, W)
        restored = restored.mean(dim=1, keepdim=True)
        return restored.to(low_res) + _enlarge(low_res, self.scale) if self.bicubic_skip else restored

    def _precision(self, low_res: Tensor) -> AbstractContextManager[object]:
        """In training the engine chooses."""
        if self.training or not low_res.is_cuda:
            return nullcontext()
        return torch.autocast("cuda", dtype=torch.bfloat16)


def load_superres(folder: Path, device: torch.device) -> Restorer:
    """The model in `folder`, trained by the stage train_superres or imported, in evaluation mode."""
    config = read_config(folder)
    model = Restorer(
        HATParams.model_validate(config["network"]),
        config["scale"],
        in_chans=config.get("in_chans", 1),
        ratios=BlockRatios(**config.get("ratios", {})),
    )
    load_weights(folder, model.hat, device)
    return model.to(device).eval()


def bicubic(low_res: Tensor, scale: int) -> Tensor:
    """`low_res` (B, 1, h, w) enlarged by bicubic interpolation (a = -0.75, as in OpenCV), cut to [0, 1]."""
    return _enlarge(low_res, scale).clamp(0, 1)


def _enlarge(low_res: Tensor, scale: int) -> Tensor:
    return F.interpolate(low_res, scale_factor=scale, mode="bicubic", align_corners=False)
