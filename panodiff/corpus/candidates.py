"""Pairs of radiographs that might be copies of one, found by comparing small signatures of all with all.

A signature is the band of the field's cosine transform that tells two patients apart and that a small misplacement
does not disturb. A crop misplaces more than that, so each field is compared with six windows of every other: the
whole, and five that are cropped by 5 % in all, about the centre and towards the corners. Mirroring a field negates
the odd columns of its transform: products of the even and of the odd columns give the correlation with a field and
with its mirror image at once.

Measured on 152 distinct real radiographs and 400 phantoms: the copies of any kind (re-encoded, resized 0.5 to 1.5
times, other brightness, contrast and gamma, cropped by up to 5 % of each side, turned by 1°) reach 0.83 and more; two
patients on one device reach 0.77 at most where real (mean 0.42, standard deviation 0.13), 0.83 where drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from panodiff import launch
from panodiff.corpus.fields import Fields, Indices
from panodiff.manifest import FIELD_SIZE
from panodiff.progress import track

CANDIDATE_CORRELATION = 0.8
TILE = 8192  # fields a side of a piece of work: about 100 MB
_BLOCK = 1024  # of a tile: what the processor's cache holds
_FREQUENCIES = (12, 24)  # of the cosine transform that are kept, within the ellipse of these half axes
_GRAIN, _SHAPE = 1.5, 3.0  # standard deviations of the filters that bound the band, in rows


class Window(NamedTuple):
    """A part of a field: what is cut off each side, as fractions."""

    top: float
    left: float
    bottom: float
    right: float

    def mirrored(self) -> "Window":
        """The same part of the mirrored field."""
        return self._replace(left=self.right, right=self.left)


WINDOWS = (
    Window(0, 0, 0, 0),
    Window(0.025, 0.025, 0.025, 0.025),
    *(Window(top, left, 0.05 - top, 0.05 - left) for top in (0.01, 0.04) for left in (0.01, 0.04)),
)

Signatures = NDArray[np.float32]  # (N, D), each row of length 1, the even columns of the transform before the odd


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs (M,) of fields: `one` as a whole looks like the `window` of `other`, mirrored or not."""

    one: Indices
    other: Indices
    window: NDArray[np.int8]  # number in WINDOWS, of `other` before it is mirrored
    mirrored: NDArray[np.bool_]
    correlation: NDArray[np.float32]

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.one)

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Pairs":
        """Some of the pairs."""
        return Pairs(**{name: values[which] for name, values in vars(self).items()})


def find_candidates(fields: Fields, numbers: Indices) -> Pairs:
    """All pairs among the fields of these numbers that may be copies of one radiograph; each pair once, twice where
    both the field and its mirror image come close.

    `one` and `other` are positions in `numbers`. Time grows with the square of the number of fields (two products of
    its 240 columns a window and pair), memory does not: it holds two tiles, and the pairs found.
    """
    starts = range(0, len(numbers), TILE)
    tiles = [(one, other) for one in starts for other in starts]
    work = partial(_compare_tiles, fields=fields, numbers=numbers)
    found = list(track(launch.spread(work, tiles), len(tiles), "comparing", unit="tile"))
    return _once(_joined(found)) if found else _joined([])


def signatures(fields: NDArray[np.uint8], window: Window) -> Signatures:
    """The signature of a window of each field, (N, *FIELD_SIZE) → (N, 240); of a flat field it is 0.

    Before it is normalised, its length is 500 and more for radiographs, 3.5 for noise of a single grey.
    """
    down = _cosines(FIELD_SIZE[0], _FREQUENCIES[0], window.top, window.bottom)
    across = _cosines(FIELD_SIZE[1], _FREQUENCIES[1], window.left, window.right)
    weight, kept = _band()
    transform = np.empty((len(fields), *_FREQUENCIES), np.float32)
    for start in range(0, len(fields), _BLOCK):  # as float32 a field takes four times its memory
        part = slice(start, start + _BLOCK)
        transform[part] = weight * (down @ (fields[part].astype(np.float32) @ across.T))
    columns = np.concatenate([transform[:, :, start::2][:, kept[:, start::2]] for start in (0, 1)], axis=1)
    length = np.linalg.norm(columns, axis=1, keepdims=True)
    return np.divide(columns, length, out=np.zeros_like(columns), where=length > 8)


def num_even() -> int:
    """How many columns of a signature belong to even columns of the transform."""
    return int(_band()[1][:, ::2].sum())


def _cosines(size: int, num: int, before: float, after: float) -> NDArray[np.float32]:
    """The first `num` rows of the cosine transform, (num, size), of what a window leaves of `size` samples.

    The window leaves out the fractions `before` and `after`; cosines of its own length give the transform that it
    would have if it were resized to the whole.
    """
    inside = size * (1 - before - after)
    samples = np.arange(size) + 0.5 - size * before  # from the window's edge
    share = np.clip(np.minimum(samples + 0.5, inside - samples + 0.5), 0, 1)  # of each sample that lies inside
    angles = np.pi * np.arange(num)[:, None] * samples / inside
    return (np.sqrt(2 / inside) * share * np.cos(angles)).astype(np.float32)


@cache
def _band() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The weight of each frequency, (12, 24), and which are kept.

    The weights are those of two Gaussian filters with mirrored borders: one takes away the grain, the difference to
    the other what all radiographs have in common.
    """
    rows, columns = _FREQUENCIES
    y, x = np.mgrid[:rows, :columns]
    square = (np.pi * y / FIELD_SIZE[0]) ** 2 + (2 * np.pi * x / FIELD_SIZE[1]) ** 2  # a field is 2:1, so are filters
    weight = np.exp(-square * _GRAIN**2 / 2) * (1 - np.exp(-square * _SHAPE**2 / 2))
    return weight.astype(np.float32), (y / rows) ** 2 + (x / columns) ** 2 < 1


def _compare_tiles(starts: tuple[int, int], *, fields: Fields, numbers: Indices) -> Pairs:
    """The pairs of `one` in a tile with `other` in another one, from the positions where the tiles start."""
    ones, others = (fields.take(numbers[start : start + TILE]) for start in starts)
    with threadpool_limits(1):  # the tiles are spread over the processes
        whole = signatures(ones, WINDOWS[0])
        found = [
            pairs
            for number, window in enumerate(WINDOWS)
            if number or starts[0] <= starts[1]  # the whole of one is to the whole of other as other to one
            for pairs in _near(whole, signatures(others, window), number)
        ]
    joined = _joined(found)
    shifted = replace(joined, one=joined.one + starts[0], other=joined.other + starts[1])
    return _once(shifted.take(shifted.one != shifted.other))


def _near(ones: Signatures, others: Signatures, window: int) -> Iterator[Pairs]:
    """Block by block, the pairs whose correlation reaches the threshold."""
    even = num_even()
    for row in range(0, len(ones), _BLOCK):
        block = ones[row : row + _BLOCK]
        for column in range(0, len(others), _BLOCK):
            against = others[column : column + _BLOCK]
            same = block[:, :even] @ against[:, :even].T
            turning = block[:, even:] @ against[:, even:].T  # changes its sign with the mirror image
            near = np.flatnonzero(same + np.abs(turning) >= CANDIDATE_CORRELATION)
            one, other = np.divmod(near, len(against))
            for mirrored, sign in ((False, 1), (True, -1)):
                correlation = same.ravel()[near] + sign * turning.ravel()[near]
                which = correlation >= CANDIDATE_CORRELATION
                yield Pairs(
                    one=row + one[which],
                    other=column + other[which],
                    window=np.full(which.sum(), window, np.int8),
                    mirrored=np.full(which.sum(), mirrored),
                    correlation=correlation[which],
                )


def _joined(parts: Sequence[Pairs]) -> Pairs:
    empty = np.empty(0, np.int64)
    none = Pairs(
        one=empty,
        other=empty,
        window=empty.astype(np.int8),
        mirrored=empty.astype(np.bool_),
        correlation=empty.astype(np.float32),
    )
    return Pairs(**{name: np.concatenate([getattr(part, name) for part in (none, *parts)]) for name in vars(none)})


def _once(pairs: Pairs) -> Pairs:
    """Of several matches between two fields (windows, either way round) the closest one."""
    low, high = np.minimum(pairs.one, pairs.other), np.maximum(pairs.one, pairs.other)
    order = np.lexsort((-pairs.correlation, pairs.mirrored, high, low))
    keys = np.stack([low, high, pairs.mirrored])[:, order]
    first = np.ones(len(pairs), np.bool_)
    first[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return pairs.take(order[first])
