"""The published network written out plainly, as a peer to measure against: all attention scores in memory."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class NaiveAttention(nn.Module):
    """Four heads of 32 channels, every score in memory."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.ParameterDict({"g": torch.ones(1, dim, 1, 1)})
        self.to_qkv = nn.Conv2d(dim, 384, 1, bias=False)
        self.to_out = nn.Conv2d(128, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = F.normalize(x, dim=1) * self.norm["g"] * x.shape[1] ** 0.5
        q, k, v = (rearrange(part, "b (h c) x y -> b h c (x y)", h=4) for part in self.to_qkv(normed).chunk(3, dim=1))
        scores = torch.einsum("b h c i, b h c j -> b h i j", q * 32**-0.5, k)
        gathered = torch.einsum("b h i j, b h c j -> b h i c", scores.softmax(dim=-1), v)
        return self.to_out(rearrange(gathered, "b h (x y) c -> b (h c) x y", x=x.shape[2])) + x


class NaiveBlock(nn.Module):
    """Two convolutions with the time between them."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.time_emb_proj = nn.Sequential(nn.SiLU(), nn.Linear(256, out_dim))
        self.residual_conv = nn.Conv2d(in_dim, out_dim, 1) if in_dim != out_dim else nn.Identity()
        self.conv1, self.norm1 = nn.Conv2d(in_dim, out_dim, 3, padding=1), nn.GroupNorm(8, out_dim)
        self.conv2, self.norm2 = nn.Conv2d(out_dim, out_dim, 3, padding=1), nn.GroupNorm(8, out_dim)

    def forward(self, x: Tensor, time_emb: Tensor) -> Tensor:
        out = F.silu(self.norm1(self.conv1(x)))
        out = out + self.time_emb_proj(F.silu(time_emb))[:, :, None, None]
        return F.silu(self.norm2(self.conv2(out))) + self.residual_conv(x)


class NaiveUNet(nn.Module):
    """The published network, its names and defaults written out: grids of 64, 128, 256 channels, a middle of 512."""

    def __init__(self) -> None:
        super().__init__()
        self.time_embedding = nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 256))
        self.init_conv = nn.Conv2d(3, 64, 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        for dim, wider in ((64, 128), (128, 256), (256, 512)):
            down: nn.Module = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * dim, wider, 1))
            down = nn.Conv2d(dim, wider, 3, padding=1) if dim == 256 else down
            attention = (nn.Identity if dim == 64 else NaiveAttention)(dim)
            self.down_blocks.append(nn.ModuleList([NaiveBlock(dim, dim), NaiveBlock(dim, dim), attention, down]))
        self.mid_block1, self.mid_attn, self.mid_block2 = (
            NaiveBlock(512, 512),
            NaiveAttention(512),
            NaiveBlock(512, 512),
        )
        for dim, finer in ((512, 256), (256, 128), (128, 64)):
            up: nn.Module = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(dim, finer, 3, padding=1))
            up = nn.Conv2d(dim, finer, 3, padding=1) if dim == 128 else up
            attention = (nn.Identity if dim == 128 else NaiveAttention)(dim)
            blocks = [NaiveBlock(dim + finer, dim), NaiveBlock(dim + finer, dim)]
            self.up_blocks.append(nn.ModuleList([*blocks, attention, up]))
        self.out_block, self.conv_out = NaiveBlock(128, 64), nn.Conv2d(64, 3, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        frequencies = torch.exp(torch.arange(32, device=x.device) * -(math.log(10000) / 31))
        angles = t[:, None] * frequencies
        time_emb = self.time_embedding(torch.cat([angles.sin(), angles.cos()], dim=-1))
        x = stem = self.init_conv(x)
        skips = []
        for level in self.down_blocks:
            block1, block2, attention, down = level.children()
            x = block1(x, time_emb)
            skips.append(x)
            x = attention(block2(x, time_emb))
            skips.append(x)
            x = down(x)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, time_emb)), time_emb)
        for level in self.up_blocks:
            block1, block2, attention, up = level.children()
            x = block1(torch.cat([x, skips.pop()], dim=1), time_emb)
            x = up(attention(block2(torch.cat([x, skips.pop()], dim=1), time_emb)))
        return self.conv_out(self.out_block(torch.cat([x, stem], dim=1), time_emb))
