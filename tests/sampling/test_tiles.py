"""Enlarging in tiles against enlarging whole."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from panodiff.images import from_unit
from panodiff.params import HATParams
from panodiff.randomness import seeded_init
from panodiff.sampling.tiles import enlarge_in_tiles
from panodiff.superres.model import Restorer


def nearest(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="nearest")


@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 16, 24]), st.integers(0, 20), st.sampled_from([4, 8])
)
def test_every_pixel_is_reached_whatever_the_sizes(height: int, width: int, tile: int, overlap: int, window: int):
    """Where a pixel depends on itself alone, tiles change nothing."""
    image = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    if tile - overlap < window:
        with pytest.raises(ValueError, match=f"tile_size must be .* got {tile}"):
            enlarge_in_tiles(nearest, image, scale=2, tile_size=tile, overlap=overlap, window_size=window)
        return
    found = enlarge_in_tiles(nearest, image, scale=2, tile_size=tile, overlap=overlap, window_size=window)
    torch.testing.assert_close(found, nearest(image), rtol=0, atol=1e-6)


def test_tiles_lie_on_the_grid_of_windows_and_are_no_larger_than_asked():
    seen = []
    image = torch.arange(40 * 52).reshape(1, 1, 40, 52).float()

    def enlarge(tile: Tensor) -> Tensor:
        top, left = divmod(int(tile[0, 0, 0, 0]), 52)
        seen.append((top, left, *tile.shape[-2:]))
        return nearest(tile)

    enlarge_in_tiles(enlarge, image, scale=2, tile_size=24, overlap=5, window_size=8)
    assert {(top, left) for top, left, _, _ in seen} == {(t, le) for t in (0, 16) for le in (0, 16, 32)}
    assert {shape[2:] for shape in seen} == {(24, 24), (24, 20)}


def test_a_tile_fades_out_towards_its_border():
    """Two tiles that disagree by 1: the step between them is spread over the middle half of what they share."""
    numbers = iter([0.0, 1.0])
    found = enlarge_in_tiles(
        lambda tile: torch.full((1, 1, 2 * tile.shape[-2], 2 * tile.shape[-1]), next(numbers)),
        torch.zeros(1, 1, 8, 24),
        scale=2,
        tile_size=16,
        overlap=8,
        window_size=8,
    )[0, 0, 3]
    assert torch.equal(found[:20], torch.zeros(20))
    assert torch.equal(found[28:], torch.ones(20))
    steps = found.diff()
    assert steps.min() >= 0
    assert steps.max() <= 1 / 8 + 1e-6


def textures(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Blots with sharp edges, (N, 1, H, W) in [0, 1]: bicubic enlargement cannot restore them."""
    coarse = torch.rand(count, 1, height // 6, width // 6, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")
    return ((smooth > 0.5) * 0.6 + 0.2 * smooth + 0.1).clamp(0, 1)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    """Of the smoke profile's size, trained for some steps, so that it makes use of what it sees."""
    params = HATParams(embed_dim=36, depths=(2, 2), num_heads=(3, 3), window_size=8, num_feat=24, bicubic_skip=True)
    with seeded_init(0, "test tiles"):
        network = Restorer(params, 4)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        high_res = textures(4, 64, 64, generator)
        optimizer.zero_grad()
        F.l1_loss(network(F.avg_pool2d(high_res, 4)), high_res).backward()
        optimizer.step()
    return network.eval()


@torch.inference_mode()
def test_tiles_and_the_whole_differ_by_a_grey_value_at_most_and_no_seam_shows(restorer: Restorer):
    low_res = F.avg_pool2d(textures(1, 320, 512, torch.Generator().manual_seed(2)), 4)
    whole, bicubic = restorer(low_res), F.interpolate(low_res, scale_factor=4, mode="bicubic")
    tiled = enlarge_in_tiles(restorer, low_res, scale=4, tile_size=64, overlap=16, window_size=8)
    assert (whole - bicubic).abs().max() > 30 / 255  # the network does something
    assert (tiled - whole).abs().max() <= 1 / 255
    assert abs(from_unit(tiled).astype(int) - from_unit(whole)).max() <= 1
    steps = (tiled - whole).diff(dim=-1).abs().mean((0, 1, 2)) * 255  # (W - 1,): greys from column to column
    assert steps.max() < 0.05  # the eye sees one grey of 255 at best
