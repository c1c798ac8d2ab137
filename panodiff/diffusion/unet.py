"""The noise-prediction U-Net of PanoDiff-SR (arXiv 2507.09227), a descendant of DDPM's (Ho et al. 2020, appendix B).

Shape letters: B batch, C channels, H and W rows and columns of the grid, E width of the time embedding,
h attention heads, d channels of a head.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

NUM_GROUPS = 8
NUM_HEADS = 4
HEAD_DIM = 32


def sinusoidal_embedding(t: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of `t` (B,) at `dim / 2` frequencies from 1 down to 1/10000: (B, dim), in [-1, 1].

    Vaswani et al. 2017, section 3.5, with the last frequency at exactly 1/10000. Always float32, and in this order
    of operations: at t ≈ 1000 another rounding of the frequencies moves the embedding by 1e-4.
    """
    exponents = -math.log(10000) * torch.arange(dim // 2, dtype=torch.float32, device=t.device)
    angles = t[:, None].float() * torch.exp(exponents / (dim // 2 - 1))  # (B, dim / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (B, dim)


class RMSNorm(nn.Module):
    """Scales each position's channel vector to a root mean square of 1, then by a learned gain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, C, H, W), scaled."""
        return F.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5


class Attention(nn.Module):
    """Self-attention between all positions of a grid, with its residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(dim, 3 * NUM_HEADS * HEAD_DIM, 1, bias=False)
        self.to_out = nn.Conv2d(NUM_HEADS * HEAD_DIM, dim, 1)
        self.norm = RMSNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, C, H, W) and what its positions gather from each other, of the same shape."""
        qkv = self.to_qkv(self.norm(x))  # (B, 3 h d, H, W)
        # Contiguous: the fused kernels want a head's channels side by side, else every score is kept in memory.
        qkv = rearrange(qkv, "B (three h d) H W -> three B h (H W) d", three=3, h=NUM_HEADS).contiguous()
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])  # (B, h, H W, d)
        return x + self.to_out(rearrange(attended, "B h (H W) d -> B (h d) H W", H=x.shape[-2]))


def norm_silu(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """`x` (B, C, H, W) normalised, then activated. Backward keeps `x` alone and normalises it again.

    What the activation would keep is a fifth of a training step's memory; making it anew takes 1 % of its time.
    """
    if not torch.is_grad_enabled():
        return F.silu(norm(x))
    result: Tensor = checkpoint(lambda x: F.silu(norm(x)), x, use_reentrant=False, preserve_rng_state=False)
    return result


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, each normalised and activated, with the time added between them.

    Unlike DDPM's block it normalises after each convolution, and the embedding passes two SiLU in a row.
    """

    def __init__(self, in_dim: int, out_dim: int, time_dim: int) -> None:
        super().__init__()
        self.time_emb_proj = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, out_dim))
        self.residual_conv = nn.Conv2d(in_dim, out_dim, 1) if in_dim != out_dim else nn.Identity()
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, padding=1)
        self.norm1 = nn.GroupNorm(NUM_GROUPS, out_dim)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, out_dim)

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:
        """(B, out_dim, H, W) for `x` (B, in_dim, H, W) and the embedded time `t_emb` (B, E)."""
        shift = rearrange(self.time_emb_proj(F.silu(t_emb)), "B C -> B C 1 1")
        residual = self.residual_conv(x)
        x = norm_silu(self.norm1, self.conv1(x)) + shift
        x = norm_silu(self.norm2, self.conv2(x))
        return x + residual


class DownLevel(nn.ModuleList):
    """Two residual blocks and attention on one grid, then the way to the next coarser one.

    A list, since the published names of its four parts are their positions.
    """

    def __init__(self, dim: int, next_dim: int, time_dim: int, *, attention: bool, coarsest: bool) -> None:
        unshuffle = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * dim, next_dim, 1))
        super().__init__(
            [
                ResidualBlock(dim, dim, time_dim),
                ResidualBlock(dim, dim, time_dim),
                Attention(dim) if attention else nn.Identity(),
                nn.Conv2d(dim, next_dim, 3, padding=1) if coarsest else unshuffle,
            ]
        )

    def forward(self, x: Tensor, t_emb: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The next grid's features and this grid's two skips, in the order they were made."""
        block1, block2, attention, downsample = self
        first = block1(x, t_emb)
        second = attention(block2(first, t_emb))
        return downsample(second), [first, second]  # (B, next_dim, H / 2, W / 2), the same grid at the coarsest


class UpLevel(nn.ModuleList):
    """Two residual blocks, each with a skip, and attention on one grid, then the way to the next finer one."""

    def __init__(self, dim: int, next_dim: int, time_dim: int, *, attention: bool, finest: bool) -> None:
        smooth = nn.Conv2d(dim, next_dim, 3, padding=1)
        super().__init__(
            [
                ResidualBlock(dim + next_dim, dim, time_dim),
                ResidualBlock(dim + next_dim, dim, time_dim),
                Attention(dim) if attention else nn.Identity(),
                smooth if finest else nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), smooth),
            ]
        )

    def forward(self, x: Tensor, skips: list[Tensor], t_emb: Tensor) -> Tensor:
        """The next finer grid's features for `x` (B, dim, H, W) and the two skips of the same grid."""
        block1, block2, attention, upsample = self
        first, second = skips
        x = block1(torch.cat([x, second], dim=1), t_emb)  # (B, dim + next_dim, H, W) -> (B, dim, H, W)
        x = attention(block2(torch.cat([x, first], dim=1), t_emb))
        return upsample(x)  # (B, next_dim, 2 H, 2 W), the same grid at the finest


class UNet(nn.Module):
    """Predicts what was added to `x_t` (the noise ε, or the velocity v, as it was trained).

    The defaults at `in_chans=3` are the published network: 204 tensors, 33,995,395 parameters, under the names of
    its released weights. One difference: the last convolution starts at zero, so that training starts from a
    prediction of zero.

    Args:
        in_chans: Channels of the image.
        widths: Channels of each grid from fine to coarse, then of the middle, which works on the coarsest grid:
            n widths make n - 1 grids and n - 2 halvings. On its way up a grid has the width of the next one down.
        attention: Whether each of the n - 1 grids has attention, from fine to coarse; the middle always has.
        patch_size: Side of the image patches that the finest grid's positions stand for.

    Raises:
        ValueError: a width is not a multiple of the 8 groups, or the numbers of widths and flags do not fit.
    """

    def __init__(
        self,
        *,
        in_chans: int = 1,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        attention: tuple[bool, ...] = (False, True, True),
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        _check_widths(widths, attention)
        self.patch_size = patch_size
        self.size_multiple = patch_size * 2 ** (len(widths) - 2)
        patch_dim, width, time_dim = in_chans * patch_size**2, widths[0], 4 * widths[0]
        self.time_embedding = nn.Sequential(nn.Linear(width, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))
        self.init_conv = nn.Conv2d(patch_dim, width, 3, padding=1)
        steps = list(zip(widths[:-1], widths[1:], attention, strict=True))
        self.down_blocks = nn.ModuleList(
            DownLevel(fine, coarse, time_dim, attention=attend, coarsest=level == len(steps) - 1)
            for level, (fine, coarse, attend) in enumerate(steps)
        )
        self.mid_block1 = ResidualBlock(widths[-1], widths[-1], time_dim)
        self.mid_attn = Attention(widths[-1])
        self.mid_block2 = ResidualBlock(widths[-1], widths[-1], time_dim)
        self.up_blocks = nn.ModuleList(
            UpLevel(coarse, fine, time_dim, attention=attend, finest=level == 0)
            for level, (fine, coarse, attend) in reversed(list(enumerate(steps)))
        )
        self.out_block = ResidualBlock(2 * width, width, time_dim)
        self.conv_out = nn.Conv2d(width, patch_dim, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The prediction (B, C, H, W) for images `x_t` (B, C, H, W), about [-1, 1], at integer timesteps `t` (B,).

        Raises:
            ValueError: H or W is not a multiple of `size_multiple`.
        """
        height, width = x_t.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"image height and width must be multiples of {self.size_multiple} for this U-Net's widths and "
                f"patch_size, got {height}×{width}: change the image size, or take fewer widths or a smaller patch"
            )
        t_emb = sinusoidal_embedding(t, self.init_conv.out_channels)
        t_emb = self.time_embedding(t_emb.to(self.init_conv.weight.dtype))  # (B, E)
        stem = self.init_conv(F.pixel_unshuffle(x_t, self.patch_size))  # (B, widths[0], H / patch, W / patch)
        x, skips = stem, []
        for level in self.down_blocks:
            x, level_skips = level(x, t_emb)
            skips.append(level_skips)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, t_emb)), t_emb)
        for level in self.up_blocks:
            x = level(x, skips.pop(), t_emb)
        x = self.out_block(torch.cat([x, stem], dim=1), t_emb)
        return F.pixel_shuffle(self.conv_out(x), self.patch_size)  # (B, C, H, W)


def _check_widths(widths: tuple[int, ...], attention: tuple[bool, ...]) -> None:
    if len(widths) < 2 or any(width < NUM_GROUPS or width % NUM_GROUPS for width in widths):
        raise ValueError(f"widths must be two or more positive multiples of {NUM_GROUPS}, got {widths}")
    if len(attention) != len(widths) - 1:
        raise ValueError(
            f"attention must have one flag for each of the {len(widths) - 1} grids that {len(widths)} widths make, "
            f"got {len(attention)}"
        )
