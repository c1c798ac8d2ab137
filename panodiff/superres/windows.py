"""Windows of the Hybrid Attention Transformer: how they are cut, what their positions know of each other, attention.

Shape letters: B images, H and W rows and columns, C channels, n windows, i and j rows and columns of a window,
Q and K positions of queries and of keys in a window (T either), h attention heads, d channels of a head.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def to_windows(x: Tensor, window_size: int) -> Tensor:
    """The windows of `x` (B, H, W, C), row after row, as (B, n, Q, C)."""
    return rearrange(x, "B (y i) (x j) C -> B (y x) (i j) C", i=window_size, j=window_size)


def from_windows(windows: Tensor, window_size: int, height: int) -> Tensor:
    """The image (B, H, W, C) of `windows` (B, n, Q, C): undoes `to_windows`."""
    rows = height // window_size
    return rearrange(windows, "B (y x) (i j) C -> B (y i) (x j) C", y=rows, i=window_size)


def overlapping_windows(x: Tensor, window_size: int, overlap_size: int) -> Tensor:
    """Windows of side `overlap_size` centred on those of `to_windows`, as (B, n, K, C): zeros beyond the border."""
    margin = (overlap_size - window_size) // 2
    x = F.pad(x, (0, 0, margin, margin, margin, margin))
    windows = x.unfold(1, overlap_size, window_size).unfold(2, overlap_size, window_size)
    return rearrange(windows, "B y x C i j -> B (y x) (i j) C")


def relative_position_indices(window_size: int, overlap_size: int) -> tuple[Tensor, Tensor]:
    """Where each pair of query and key looks up its bias: self-attention (Q, Q), overlapping attention (Q, K).

    As published the two count in opposite directions, and the second has negative entries, which wrap around the
    end of its table. Weights trained with these indices need exactly them.
    """

    def key_minus_query(key_side: int) -> tuple[Tensor, Tensor]:
        query, key = torch.arange(window_size), torch.arange(key_side)
        offset = key[None, :] - query[:, None]  # (window_size, key_side)
        shape = (window_size, window_size, key_side, key_side)
        rows, columns = offset[:, None, :, None].expand(shape), offset[None, :, None, :].expand(shape)
        return rows.reshape(window_size**2, -1), columns.reshape(window_size**2, -1)  # (Q, K) each

    rows, columns = key_minus_query(window_size)
    own = (window_size - 1 - rows) * (2 * window_size - 1) + (window_size - 1 - columns)
    rows, columns = key_minus_query(overlap_size)
    start = window_size - overlap_size + 1
    overlapping = (rows + start) * (window_size + overlap_size - 1) + (columns + start)
    return own, overlapping


def half_masks(window_size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """What to add to the scores where the right, or the lower, half of a window comes from the opposite border.

    Both (Q, Q): -100 (the published choice for -inf) between positions of different halves, else 0.
    """
    late = torch.arange(window_size, device=like.device) >= window_size // 2
    columns, rows = late.repeat(window_size), late.repeat_interleave(window_size)  # (Q,) each
    right, lower = (
        torch.zeros(len(half), len(half), dtype=like.dtype, device=like.device).masked_fill(
            half[:, None] != half, -100.0
        )
        for half in (columns, rows)
    )
    return right, lower


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer: (..., D) of `x` (..., C), `weight` (D, C) and `bias` (D,).

    On CPUs it is done as a 1×1 convolution. PyTorch gives those to oneDNN, but products of float32 matrices to MKL,
    which is up to three times slower on CPUs that are not Intel's.
    """
    if x.device.type != "cpu":
        return F.linear(x, weight, bias)
    pixels = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # (1, C, N, 1), channels last: so is what comes out
    return F.conv2d(pixels, weight[:, :, None, None], bias).permute(0, 2, 3, 1).view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """nn.Linear by way of `project`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) of `x` (..., C)."""
        return project(x, self.weight, self.bias)


def wide_inputs(qkv: nn.Linear, num_heads: int) -> tuple[Tensor, Tensor]:
    """The weight and the bias of `qkv` whose heads are filled up with zeros to a multiple of 8 channels.

    The fused kernels of CUDA take no others; zeros change no score and no sum.
    """
    weight, bias = (
        rearrange(part, "(three h d) ... -> three h d ...", three=3, h=num_heads) for part in (qkv.weight, qkv.bias)
    )
    missing = -weight.shape[2] % 8
    weight, bias = F.pad(weight, (0, 0, 0, missing)), F.pad(bias, (0, missing))
    return weight.flatten(0, 2), bias.flatten()


def wide_output(proj: nn.Linear, num_heads: int) -> Tensor:
    """The weight of `proj` for what heads of `wide_inputs` gather."""
    weight = rearrange(proj.weight, "D (h d) -> D h d", h=num_heads)
    return F.pad(weight, (0, -weight.shape[2] % 8)).flatten(1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, head_dim: int) -> Tensor:
    """Attention inside each window: (B, n, Q, h d) of `q` (B, n, Q, h d), `k` and `v` (B, n, K, h d), `bias` (h, Q, K).

    `head_dim` is the number of channels whose root divides the scores: d, less what was filled up.
    """
    num_windows, num_heads = q.shape[1], bias.shape[0]
    q, k, v = (rearrange(part, "B n T (h d) -> (B n) h T d", h=num_heads) for part in (q, k, v))
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=head_dim**-0.5)
    return rearrange(attended, "(B n) h T d -> B n T (h d)", n=num_windows)


def bias_table(num_offsets: int, num_heads: int) -> nn.Parameter:
    """One learned bias for each offset between a query and a key, and each head."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(num_offsets, num_heads), std=0.02))


class WindowAttention(nn.Module):
    """Self-attention inside each window of a grid, with a relative position bias."""

    def __init__(self, dim: int, window_size: int, num_heads: int) -> None:
        super().__init__()
        self.window_size, self.num_heads, self.head_dim = window_size, num_heads, dim // num_heads
        self.relative_position_bias_table = bias_table((2 * window_size - 1) ** 2, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, index: Tensor, *, shifted: bool) -> Tensor:
        """(B, H, W, C) of `x` (B, H, W, C); `shifted` by half a window, where opposite borders do not see each other.

        Rolling the image brings rows and columns from opposite borders into the windows of the last row and column
        (Liu et al. 2021, figure 4): these, and these only, are attended to under a mask.
        """
        bias = rearrange(self.relative_position_bias_table[index], "Q K h -> h Q K")
        if not shifted:
            return self._attend(x, bias)
        window, shift = self.window_size, self.window_size // 2
        right, lower = half_masks(window, like=bias)

        def across(rows: Tensor, bias: Tensor) -> Tensor:
            last = self._attend(rows[:, :, -window:], bias + right)
            others = rows[:, :, :-window]
            return torch.cat([self._attend(others, bias), last], dim=2) if others.shape[2] else last

        x = x.roll((-shift, -shift), dims=(1, 2))
        last, others = across(x[:, -window:], bias + lower), x[:, :-window]
        x = torch.cat([across(others, bias), last], dim=1) if others.shape[1] else last
        return x.roll((shift, shift), dims=(1, 2))

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        windows = to_windows(x, self.window_size)  # (B, n, Q, C)
        q, k, v = project(windows, *wide_inputs(self.qkv, self.num_heads)).chunk(3, dim=-1)
        attended = attend(q, k, v, bias, self.head_dim)
        projected = project(attended, wide_output(self.proj, self.num_heads), self.proj.bias)
        return from_windows(projected, self.window_size, x.shape[1])
