import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.superres.windows import (
    WindowAttention,
    from_windows,
    overlapping_windows,
    project,
    relative_position_indices,
    to_windows,
    wide_inputs,
    wide_output,
)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_windows_put_together_again_are_the_image(batch, rows, columns, window_size):
    x = torch.arange(batch * rows * columns * window_size**2 * 2.0)
    x = x.reshape(batch, rows * window_size, columns * window_size, 2)
    windows = to_windows(x, window_size)
    assert windows.shape == (batch, rows * columns, window_size**2, 2)
    assert torch.equal(from_windows(windows, window_size, rows * window_size), x)


def test_overlapping_windows_are_those_of_unfold_with_zeros_outside():
    x = torch.randn(2, 8, 12, 3, generator=torch.Generator().manual_seed(0))
    windows = overlapping_windows(x, window_size=4, overlap_size=6)
    unfolded = F.unfold(x.permute(0, 3, 1, 2), 6, stride=4, padding=1)  # (B, C · 36, n)
    assert torch.equal(windows, unfolded.reshape(2, 3, 36, 6).permute(0, 3, 2, 1))
    assert not windows[0, 0, :6].any()  # the first row lies above the image


def test_every_offset_between_query_and_key_has_its_own_bias():
    own, overlapping = relative_position_indices(4, 6)
    assert own.unique().numel() == (2 * 4 - 1) ** 2
    # Negative indices count from the table's end, and still no two offsets share an entry.
    assert (overlapping % (4 + 6 - 1) ** 2).unique().numel() == (4 + 6 - 1) ** 2
    assert overlapping.min() < 0


def test_rolled_in_borders_do_not_reach_each_other():
    torch.manual_seed(0)
    attention = WindowAttention(dim=4, window_size=4, num_heads=2)
    index, _ = relative_position_indices(4, 6)
    x = torch.randn(1, 8, 12, 4)
    plain = attention(x, index, shifted=True)
    for rows, columns in ((slice(2), slice(None)), (slice(None), slice(2))):  # what the roll brings to the other border
        changed = x.clone()
        changed[:, rows, columns] += torch.randn(4)
        difference = (attention(changed, index, shifted=True) - plain).abs()
        assert (difference[:, rows, columns].amax(dim=(0, 3)) > 1e-4).all()
        difference[:, rows, columns] = 0
        assert not difference.any()


@pytest.mark.parametrize("size", [(4, 4), (4, 12), (8, 4), (8, 12)])
def test_shifted_windows_are_those_of_a_mask_on_every_window(size):
    """One attention under one mask for all windows, as published."""
    torch.manual_seed(0)
    attention = WindowAttention(dim=12, window_size=4, num_heads=2).double()
    index, _ = relative_position_indices(4, 6)
    x = torch.randn(2, *size, 12, dtype=torch.float64)
    regions = [torch.arange(side) // 4 * 2 + (torch.arange(side) % 4 >= 2) for side in size]
    regions = [
        torch.where(torch.arange(side) >= side - 4, places, 0) for side, places in zip(size, regions, strict=True)
    ]
    labels = to_windows((100 * regions[0][:, None] + regions[1])[None, :, :, None], 4)[0, ..., 0]  # (n, Q)
    mask = torch.where(labels[:, :, None] != labels[:, None, :], -100.0, 0.0)
    windows = to_windows(x.roll((-2, -2), dims=(1, 2)), 4)
    q, k, v = (part.unflatten(-1, (2, 6)).movedim(-2, -3) for part in attention.qkv(windows).chunk(3, dim=-1))
    bias = attention.relative_position_bias_table[index].permute(2, 0, 1)
    scores = q @ k.mT / 6**0.5 + bias + mask[:, None]
    attended = attention.proj((scores.softmax(dim=-1) @ v).movedim(-3, -2).flatten(-2))
    expected = from_windows(attended, 4, size[0]).roll((2, 2), dims=(1, 2))
    torch.testing.assert_close(attention(x, index, shifted=True), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projection_is_a_linear_layer_whatever_the_shape(dtype):
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 10).to(dtype)
    for shape in ((3, 6), (2, 3, 4, 6)):
        x = torch.randn(shape, dtype=dtype)
        found = project(x, layer.weight, layer.bias)
        torch.testing.assert_close(found, layer(x), rtol=0, atol=1e-6)
        assert found.is_contiguous()  # or attention cannot use its fused kernel


@pytest.mark.parametrize("head_dim", [5, 8, 30])
def test_filled_up_heads_give_what_plain_ones_give(head_dim):
    torch.manual_seed(0)
    dim = 3 * head_dim
    qkv, proj = torch.nn.Linear(dim, 3 * dim).double(), torch.nn.Linear(dim, dim).double()
    x = torch.randn(2, 7, dim, dtype=torch.float64)
    weight, bias = wide_inputs(qkv, 3)
    wide = torch.nn.functional.linear(x, weight, bias)
    assert weight.shape[0] == 3 * 3 * (head_dim + -head_dim % 8)
    plain = qkv(x).unflatten(-1, (3, 3, head_dim))
    torch.testing.assert_close(wide.unflatten(-1, (3, 3, -1))[..., :head_dim], plain, rtol=0, atol=1e-12)
    assert not wide.unflatten(-1, (3, 3, -1))[..., head_dim:].any()
    gathered = wide.chunk(3, dim=-1)[2]
    found = torch.nn.functional.linear(gathered, wide_output(proj, 3), proj.bias)
    torch.testing.assert_close(found, proj(plain[..., 2, :, :].flatten(-2)), rtol=0, atol=1e-12)
