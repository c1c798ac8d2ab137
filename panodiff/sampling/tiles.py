"""Enlarging in tiles: memory follows the tile, not the image.

Tiles start at multiples of the network's window, so that a tile is cut into the very windows of the whole image. What a
tile cannot know is what lies beyond its border: neighbours overlap, and one goes over into the other away from there.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def enlarge_in_tiles(
    enlarge: Callable[[Tensor], Tensor], low_res: Tensor, *, scale: int, tile_size: int, overlap: int, window_size: int
) -> Tensor:
    """(B, C, scale · H, scale · W) of `low_res` (B, C, H, W): `enlarge` of overlapping tiles, blended.

    Args:
        enlarge: (B, C, h, w) → (B, C, scale · h, scale · w).
        low_res: Of any size; a side shorter than a tile is taken whole.
        scale: Of `enlarge`.
        tile_size: Side of the tiles, a multiple of `window_size`.
        overlap: How many rows or columns neighbours share, at least.
        window_size: The grid on which tiles start.

    Raises:
        ValueError: The sizes do not fit each other.
    """
    stride = (tile_size - overlap) // window_size * window_size
    if tile_size % window_size or stride < 1:
        raise ValueError(
            f"tile_size must be a multiple of the network's window ({window_size}), and larger by one than "
            f"tile_overlap ({overlap}), got {tile_size}"
        )
    height, width = (length * scale for length in low_res.shape[-2:])
    total = low_res.new_zeros(*low_res.shape[:-2], height, width)
    weights = low_res.new_zeros(height, width)
    shared = (tile_size - stride) * scale
    for top in _starts(low_res.shape[-2], tile_size, stride, window_size):
        for left in _starts(low_res.shape[-1], tile_size, stride, window_size):
            tile = enlarge(low_res[..., top : top + tile_size, left : left + tile_size]).to(total)
            rows, columns = (
                slice(start * scale, start * scale + side)
                for start, side in zip((top, left), tile.shape[-2:], strict=True)
            )
            weight = _weights(rows, height, shared, tile)[:, None] * _weights(columns, width, shared, tile)
            total[..., rows, columns] += weight * tile
            weights[rows, columns] += weight
    return total / weights


def _starts(length: int, tile_size: int, stride: int, window_size: int) -> list[int]:
    """Where tiles begin along a side; the last one may end beyond it."""
    last = -(-max(length - tile_size, 0) // window_size) * window_size
    return [*range(0, last, stride), last]


def _weights(place: slice, length: int, shared: int, like: Tensor) -> Tensor:
    """Of the pixels along a tile's side, which lies at `place` of the image's `length`.

    They fade over the middle half of the pixels that neighbours share: the quarter next to the border, where a tile is
    at its worst, does not count at all.
    """
    pixels = torch.arange(place.stop - place.start, dtype=like.dtype, device=like.device) + 0.5
    depth = torch.full_like(pixels, math.inf)
    if place.start > 0:
        depth = torch.minimum(depth, pixels)
    if place.stop < length:
        depth = torch.minimum(depth, len(pixels) - pixels)
    return ((depth - shared / 4) / max(shared / 2, 1)).clamp(0, 1)
