"""The Hybrid Attention Transformer, "Activating More Pixels in Image Super-Resolution Transformer".

Chen et al. 2023, arXiv 2205.04437; published code Apache-2.0. Parameter names, shapes and results are those of the
published code. Features stay in the layout (B, H, W, C) of the linear layers; convolutions see them channels-last.

Shape letters: B images, H and W rows and columns, C channels (`embed_dim` inside), n windows, Q and K positions of
queries and of keys in a window, h attention heads.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from panodiff.superres.windows import (
    Linear,
    WindowAttention,
    attend,
    bias_table,
    from_windows,
    overlapping_windows,
    project,
    relative_position_indices,
    to_windows,
    wide_inputs,
    wide_output,
)

RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, as published


@dataclass(frozen=True, kw_only=True)
class BlockSizes:
    """What all blocks of one network share, as in the arguments of `HAT`."""

    embed_dim: int
    window_size: int
    overlap_ratio: float
    mlp_ratio: float
    compress_ratio: int
    squeeze_factor: int
    conv_scale: float

    def __post_init__(self) -> None:
        if min(self.embed_dim // self.compress_ratio, self.embed_dim // self.squeeze_factor) < 1:
            raise ValueError(
                f"compress_ratio and squeeze_factor must not exceed embed_dim ({self.embed_dim}), "
                f"got {self.compress_ratio} and {self.squeeze_factor}"
            )
        if (self.overlap_size - self.window_size) % 2:
            raise ValueError(f"window_size × overlap_ratio must be even, got {self.window_size} × {self.overlap_ratio}")

    @property
    def overlap_size(self) -> int:
        """Side of a window of cross-attention."""
        return self.window_size + int(self.window_size * self.overlap_ratio)


class ChannelAttention(nn.Module):
    """Weights each channel of `x` (B, C, H, W) by a gate in (0, 1) from its mean (Zhang et al. 2018, RCAN)."""

    def __init__(self, dim: int, squeeze_factor: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, dim // squeeze_factor, 1),
            nn.ReLU(),
            nn.Conv2d(dim // squeeze_factor, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x`, gated."""
        return x * self.attention(x)


class CAB(nn.Module):
    """Channel attention block: two 3×3 convolutions through a bottleneck, then channel attention."""

    def __init__(self, dim: int, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            nn.Conv2d(dim, dim // compress_ratio, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // compress_ratio, dim, 3, padding=1),
            ChannelAttention(dim, squeeze_factor),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) for `x` (B, H, W, C)."""
        return rearrange(self.cab(rearrange(x, "B H W C -> B C H W")), "B C H W -> B H W C")


def mlp(sizes: BlockSizes) -> nn.Sequential:
    """The two-layer perceptron of a transformer block."""
    hidden = int(sizes.embed_dim * sizes.mlp_ratio)
    expand, contract = Linear(sizes.embed_dim, hidden), Linear(hidden, sizes.embed_dim)
    return nn.Sequential(OrderedDict(fc1=expand, act=nn.GELU(), fc2=contract))


class HAB(nn.Module):
    """Hybrid attention block: (shifted) window attention beside channel attention (section 3.2)."""

    def __init__(self, sizes: BlockSizes, num_heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.shifted, self.conv_scale = shifted, sizes.conv_scale
        self.norm1 = nn.LayerNorm(sizes.embed_dim)
        self.attn = WindowAttention(sizes.embed_dim, sizes.window_size, num_heads)
        self.conv_block = CAB(sizes.embed_dim, sizes.compress_ratio, sizes.squeeze_factor)
        self.norm2 = nn.LayerNorm(sizes.embed_dim)
        self.mlp = mlp(sizes)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """(B, H, W, C) for `x` (B, H, W, C)."""
        normed = self.norm1(x)
        x = x + self.attn(normed, index, shifted=self.shifted)
        x = torch.add(x, self.conv_block(normed), alpha=self.conv_scale)
        return x + self.mlp(self.norm2(x))


class OCAB(nn.Module):
    """Overlapping cross-attention block: each window's queries see the keys of a larger window around it.

    Beyond the border the keys and values are zeros, unmasked, as published: they take a share of the attention.
    """

    def __init__(self, sizes: BlockSizes, num_heads: int) -> None:
        super().__init__()
        dim, self.num_heads = sizes.embed_dim, num_heads
        self.window_size, self.overlap_size = sizes.window_size, sizes.overlap_size
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.relative_position_bias_table = bias_table((self.window_size + self.overlap_size - 1) ** 2, num_heads)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(sizes)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """(B, H, W, C) for `x` (B, H, W, C)."""
        qkv = project(self.norm1(x), *wide_inputs(self.qkv, self.num_heads))
        width = qkv.shape[-1] // 3
        q = to_windows(qkv[..., :width], self.window_size)
        kv = overlapping_windows(qkv[..., width:], self.window_size, self.overlap_size)  # (B, n, K, 2 h d)
        bias = rearrange(self.relative_position_bias_table[index], "Q K h -> h Q K")
        k, v = kv.chunk(2, dim=-1)
        attended = attend(q, k, v, bias, x.shape[-1] // self.num_heads)
        attended = project(attended, wide_output(self.proj, self.num_heads), self.proj.bias)
        x = x + from_windows(attended, self.window_size, x.shape[1])
        return x + self.mlp(self.norm2(x))


class AttentionBlocks(nn.Module):
    """Hybrid attention blocks, every second one with shifted windows, then one with overlapping windows."""

    def __init__(self, sizes: BlockSizes, depth: int, num_heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(HAB(sizes, num_heads, shifted=block % 2 == 1) for block in range(depth))
        self.overlap_attn = OCAB(sizes, num_heads)

    def forward(self, x: Tensor, own_index: Tensor, overlap_index: Tensor) -> Tensor:
        """(B, H, W, C) for `x` (B, H, W, C)."""
        for block in self.blocks:
            x = block(x, own_index)
        return self.overlap_attn(x, overlap_index)


class RHAG(nn.Module):
    """Residual hybrid attention group: attention blocks and a convolution, around which the input is added."""

    def __init__(self, sizes: BlockSizes, depth: int, num_heads: int) -> None:
        super().__init__()
        self.residual_group = AttentionBlocks(sizes, depth, num_heads)
        self.conv = nn.Conv2d(sizes.embed_dim, sizes.embed_dim, 3, padding=1)

    def forward(self, x: Tensor, own_index: Tensor, overlap_index: Tensor) -> Tensor:
        """(B, H, W, C) for `x` (B, H, W, C)."""
        deep = self.residual_group(x, own_index, overlap_index)
        return x + rearrange(self.conv(rearrange(deep, "B H W C -> B C H W")), "B C H W -> B H W C")


def upsampler(upscale: int, num_feat: int) -> nn.Sequential:
    """Convolutions and pixel shuffles that enlarge (B, num_feat, H, W) `upscale` times, twice at a time or thrice."""
    factors = [3] if upscale == 3 else [2] * (upscale.bit_length() - 1)
    if math.prod(factors) != upscale or not factors:
        raise ValueError(f"upscale must be 3 or a power of 2 above 1, got {upscale}")
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(num_feat, factor**2 * num_feat, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


class HAT(nn.Module):
    """Enlarges images in [0, 1] `upscale` times; what it returns is about [0, 1], not clamped.

    The defaults at `in_chans=3` are the published network of PanoDiff-SR: 20,772,507 parameters in 862 tensors,
    and the two index buffers. Its training dropped residual branches at random (stochastic depth, up to 0.1);
    that needs no weights and changes no result, and is left out.

    Args:
        in_chans: Channels of the image; with 3, the mean colour of DIV2K is subtracted, as published.
        embed_dim: Channels of the transformer.
        depths: Hybrid attention blocks of each residual group.
        num_heads: Attention heads of each residual group.
        window_size: Side of a window of self-attention.
        overlap_ratio: By how much of its side a window of cross-attention is larger.
        mlp_ratio: Hidden width of the perceptrons over `embed_dim`.
        compress_ratio: `embed_dim` over the width between the two convolutions of channel attention.
        squeeze_factor: `embed_dim` over the width inside the gate of channel attention.
        conv_scale: Weight of channel attention beside window attention, α in the paper.
        upscale: 3 or a power of 2.
        num_feat: Channels of the upsampling convolutions.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    mean: Tensor
    relative_position_index_SA: Tensor  # noqa: N815
    relative_position_index_OCA: Tensor  # noqa: N815

    def __init__(
        self,
        *,
        in_chans: int = 1,
        embed_dim: int = 180,
        depths: tuple[int, ...] = (6,) * 6,
        num_heads: tuple[int, ...] = (6,) * 6,
        window_size: int = 16,
        overlap_ratio: float = 0.5,
        mlp_ratio: float = 2.0,
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = 0.01,
        upscale: int = 4,
        num_feat: int = 64,
    ) -> None:
        super().__init__()
        _check_heads(embed_dim, depths, num_heads)
        sizes = BlockSizes(
            embed_dim=embed_dim,
            window_size=window_size,
            overlap_ratio=overlap_ratio,
            mlp_ratio=mlp_ratio,
            compress_ratio=compress_ratio,
            squeeze_factor=squeeze_factor,
            conv_scale=conv_scale,
        )
        self.window_size, self.upscale = window_size, upscale
        own_index, overlap_index = relative_position_indices(window_size, sizes.overlap_size)
        self.register_buffer("relative_position_index_SA", own_index)
        self.register_buffer("relative_position_index_OCA", overlap_index)
        mean = torch.tensor(RGB_MEAN if in_chans == 3 else [0.0] * in_chans).reshape(-1, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(embed_dim)))
        self.layers = nn.ModuleList(RHAG(sizes, depth, heads) for depth, heads in zip(depths, num_heads, strict=True))
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(embed_dim, num_feat, 3, padding=1), nn.LeakyReLU())
        self.upsample = upsampler(upscale, num_feat)
        self.conv_last = nn.Conv2d(num_feat, in_chans, 3, padding=1)
        self.apply(_init_linear)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, upscale · H, upscale · W), about [0, 1], for `x` (B, C, H, W) in [0, 1].

        Sides that windows do not divide are reflected at the bottom and the right, and the result cut back.

        Raises:
            ValueError: a side is too short to be reflected up to a multiple of the window.
        """
        height, width = x.shape[-2:]
        below, right = -height % self.window_size, -width % self.window_size
        if below >= height or right >= width:
            raise ValueError(
                f"image height and width must be multiples of the window ({self.window_size}) or more than half of it, "
                f"got {height}×{width}: take larger images or a smaller window_size"
            )
        x = F.pad(x - self.mean, (0, right, 0, below), mode="reflect")
        shallow = self.conv_first(x)  # (B, embed_dim, H, W)
        deep = self.patch_embed(rearrange(shallow, "B C H W -> B H W C"))
        for layer in self.layers:
            deep = layer(deep, self.relative_position_index_SA, self.relative_position_index_OCA)
        x = self.conv_after_body(rearrange(self.norm(deep), "B H W C -> B C H W")) + shallow
        x = self.conv_last(self.upsample(self.conv_before_upsample(x)))  # (B, C, upscale H, upscale W)
        return x[..., : self.upscale * height, : self.upscale * width] + self.mean


def _check_heads(embed_dim: int, depths: tuple[int, ...], num_heads: tuple[int, ...]) -> None:
    if len(depths) != len(num_heads) or any(embed_dim % heads for heads in num_heads):
        raise ValueError(
            f"num_heads must hold a divisor of embed_dim ({embed_dim}) for each of depths {depths}, got {num_heads}"
        )


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
