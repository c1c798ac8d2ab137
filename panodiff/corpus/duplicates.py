"""Repeats of a radiograph: the same pixels, of which one copy stays, and close ones, which share a group."""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panodiff.images import Grey

# Of signatures. On 153 real radiographs of three devices two patients reach 0.79, mirrored or not; copies that were
# re-encoded, resized, brightened or mirrored stay above 0.99, turned by 1° above 0.97, cropped by 2 % on each side
# above 0.88 (by 3 %: every second one). Phantoms of two patients stay below 0.87, and at 0.86 chains begin to form.
NEAR_CORRELATION = 0.88
SIGNATURE_SIZE = (16, 32)
_BLOCK = 512

Signature = NDArray[np.float32]  # (16 · 32,), mean 0, length 1


def signature(low: Grey) -> Signature:
    """What stays of a harmonized image when exposure and detail are taken away: small, flattened, normalised."""
    small = cv2.resize(low.astype(np.float32), SIGNATURE_SIZE[::-1], interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), 4)  # the common shape of all radiographs says nothing
    centred = (detail - detail.mean()).ravel()
    length = float(np.linalg.norm(centred))
    return centred / length if length > 0 else centred


def mark_duplicates(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with every kept image whose pixels came before marked as a duplicate of the first.

    First is the order of the rows: the order of `sources`, then the path.
    """
    marked = rows.copy()
    kept = marked[marked["status"] == "kept"]
    first = kept.groupby("pixel_sha256", sort=False)["id"].transform("first")
    repeated = kept.index[first != kept["id"]]
    marked.loc[repeated, "status"] = "duplicate"
    marked.loc[repeated, "reason"] = "same pixels as " + first[repeated]
    return marked


def group_near(ids: list[str], signatures: NDArray[np.float32]) -> dict[str, str]:
    """For each image the group it belongs to, named after the group's first id: later sources rename no group.

    Two images share a group if their signatures (N, 16 · 32) correlate by NEAR_CORRELATION or more, one of them
    mirrored or not, or if a chain of such pairs joins them.
    """
    parent = list(range(len(ids)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in _near_pairs(signatures):
        parent[root(one)] = root(other)
    members: dict[int, list[str]] = {}
    for index, name in enumerate(ids):
        members.setdefault(root(index), []).append(name)
    return {name: group[0] for group in members.values() for name in group}


def _near_pairs(signatures: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Pairs of rows that correlate, block by block: memory stays that of one block against all."""
    mirrored = signatures.reshape(-1, *SIGNATURE_SIZE)[:, :, ::-1].reshape(signatures.shape)
    for start in range(0, len(signatures), _BLOCK):
        block = signatures[start : start + _BLOCK]
        correlation = np.maximum(block @ signatures[start:].T, block @ mirrored[start:].T)
        for one, other in np.argwhere(correlation >= NEAR_CORRELATION):
            if other > one:
                yield start + int(one), start + int(other)
