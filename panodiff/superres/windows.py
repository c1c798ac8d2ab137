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

    def positions(side: int) -> Tensor:
        starts = torch.arange(0, side, window_size, device=x.device)
        return (starts[:, None] + torch.arange(overlap_size, device=x.device)).flatten()

    rows, columns = positions(x.shape[1]), positions(x.shape[2])
    x = F.pad(x, (0, 0, margin, margin, margin, margin)).index_select(1, rows).index_select(2, columns)
    return to_windows(x, overlap_size)


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


def shifted_window_mask(height: int, width: int, window_size: int, like: Tensor) -> Tensor:
    """What to add to the scores of shifted windows, (n, Q, Q): -100 where two positions are no neighbours, else 0.

    Rolling the image by half a window puts rows and columns from opposite borders into one window (Liu et al. 2021,
    figure 4). -100 instead of -inf is the published choice.
    """

    def regions(side: int) -> Tensor:
        position = torch.arange(side, device=like.device)
        return (position >= side - window_size).int() + (position >= side - window_size // 2).int()

    labels = 3 * regions(height)[:, None] + regions(width)  # (H, W)
    labels = to_windows(labels[None, :, :, None], window_size)[0, ..., 0]  # (n, Q)
    apart = labels[:, :, None] != labels[:, None, :]
    return torch.zeros(apart.shape, dtype=like.dtype, device=like.device).masked_fill(apart, -100.0)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention inside each window: (B, n, Q, C) for `q` (B, n, Q, C), `k` and `v` (B, n, K, C), `bias` (h, Q, K).

    With a `mask` (n, Q, K) the windows join the heads' dimension, so that all images share one sum of bias and mask.
    """
    num_windows, num_heads = q.shape[1], bias.shape[0]
    head_dim = q.shape[-1] // num_heads
    layout = "(B n) h T d" if mask is None else "B (n h) T d"
    # The fused CUDA kernels take heads of a multiple of 8 channels only: zeros change no score and no sum.
    q, k, v = (
        F.pad(rearrange(part, f"B n T (h d) -> {layout}", h=num_heads), (0, -head_dim % 8)) for part in (q, k, v)
    )
    if mask is not None:
        bias = rearrange(bias + mask[:, None], "n h Q K -> (n h) Q K")
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=head_dim**-0.5)
    return rearrange(attended[..., :head_dim], f"{layout} -> B n T (h d)", h=num_heads, n=num_windows)


def bias_table(num_offsets: int, num_heads: int) -> nn.Parameter:
    """One learned bias for each offset between a query and a key, and each head."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(num_offsets, num_heads), std=0.02))


class WindowAttention(nn.Module):
    """Self-attention inside each window, with a relative position bias."""

    def __init__(self, dim: int, window_size: int, num_heads: int) -> None:
        super().__init__()
        self.relative_position_bias_table = bias_table((2 * window_size - 1) ** 2, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, windows: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:
        """(B, n, Q, C) for `windows` (B, n, Q, C)."""
        q, k, v = self.qkv(windows).chunk(3, dim=-1)
        bias = rearrange(self.relative_position_bias_table[index], "Q K h -> h Q K")
        return self.proj(attend(q, k, v, bias, mask))
