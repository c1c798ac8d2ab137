"""A small convolutional encoder of radiographs, for features that need no downloaded weights.

Letters: B images, C channels of a level, H × W pixels, D features (the width of the last level).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panodiff.checkpoint import load_weights, read_config


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the first may halve the resolution."""

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(8, out_dim)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(8, out_dim)
        self.shortcut = nn.Conv2d(in_dim, out_dim, 1, stride) if stride > 1 or in_dim != out_dim else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, out_dim, H / stride, W / stride) of `x` (B, in_dim, H, W)."""
        y = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """Levels of residual blocks, each at half the resolution of the one before."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 5, 2, padding=2)
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.levels = nn.ModuleList(
            Residual(before, width, 1 if index == 0 else 2) for index, (before, width) in enumerate(pairs)
        )

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """One map a level, (B, widths[i], H / 2^(i + 1), W / 2^(i + 1)), of grey images `x` (B, 1, H, W) in [0, 1]."""
        maps = []
        x = F.silu(self.stem(x * 2 - 1))
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D) of grey images `x` (B, 1, H, W) in [0, 1], of any size: means over the last level's grid."""
        return self.feature_maps(x)[-1].mean((2, 3))


def load_encoder(folder: Path, device: torch.device) -> Encoder:
    """The trained encoder that the stage train_encoder left in `folder`, in evaluation mode."""
    network = Encoder(tuple(read_config(folder)["widths"]))
    load_weights(folder, network, device)
    return network
