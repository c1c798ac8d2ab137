import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.superres.windows import (
    attend,
    from_windows,
    overlapping_windows,
    relative_position_indices,
    shifted_window_mask,
    to_windows,
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
    height, width, window_size, shift = 8, 12, 4, 2
    generator = torch.Generator().manual_seed(0)
    mask = shifted_window_mask(height, width, window_size, like=torch.empty(()))
    bias = torch.zeros(2, window_size**2, window_size**2)

    def rolled_attention(x):
        windows = to_windows(x.roll((-shift, -shift), dims=(1, 2)), window_size)
        attended = from_windows(attend(windows, windows, windows, bias, mask), window_size, height)
        return attended.roll((shift, shift), dims=(1, 2))

    x = torch.randn(1, height, width, 4, generator=generator)
    changed = x.clone()
    changed[:, :shift] += 1  # the rows that the roll brings below the last ones
    difference = (rolled_attention(changed) - rolled_attention(x)).abs().amax(dim=(0, 2, 3))
    assert (difference[:shift] > 1e-3).all()
    assert (difference[shift:] == 0).all()
