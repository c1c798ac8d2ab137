"""Repeats of a radiograph: which one of its copies stays, which images must never part.

Copies are images with the same pixels, and near copies: re-encoded, resized, of other brightness, contrast or gamma,
cropped by up to 5 % of each side, turned by a degree, or several of these. One of them is kept, the others become
duplicates. Mirrored copies are kept and flagged: they are other pictures to a network, but the same patient.

Keep rule. Images are taken in this order: by the order of `sources`; within a source more pixels first, then lossless
formats, then the path. Each is kept unless it is a copy of one that is kept already, and then names the one it comes
closest to. So no two kept images are near copies; each duplicate is a copy of the very image that it names; in a chain
a~b~c of which a and c are not near, a and c stay and b goes; and what comes later, above all a source added at the
end, changes nothing before it.

Groups. Copies, mirrored copies and images of one patient share a group, and so does what a chain of such pairs joins.
A group is named after its first member in the order of `sources` and paths, so that later sources rename none. There
is one exception: a later image that shows two older groups to be one radiograph joins them, since keeping them apart
would leak.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from panodiff.corpus.candidates import find_candidates
from panodiff.corpus.fields import Fields, Indices
from panodiff.corpus.registration import COPY_CORRELATION, correlations

SAME_PIXELS, NEAR, MIRRORED = "same pixels", "near copy", "mirrored copy"
MIRRORED_FLAG = "mirrored_copy"
_REASONS = {SAME_PIXELS: "same pixels as ", NEAR: "near copy of "}
COPIES = ("id", "copy_of", "kind", "correlation")  # columns of copies.csv
_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "GIF"})


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Pairs (M,) of images that are copies, as positions; `first` comes before `second` in the keep order."""

    first: Indices
    second: Indices
    mirrored: NDArray[np.bool_]
    correlation: NDArray[np.float32]


def mark_copies(rows: pd.DataFrame, fields: Fields) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`rows` with status, reason, copy_of, flags and group filled in, and a table of all copies (COPIES).

    The rows are in the order of `sources`; `fields` belong to those whose status is `kept`, in their order.
    """
    marked, kept = rows.copy(), rows.index[rows["status"] == "kept"]
    taken = marked.loc[kept].reset_index(drop=True)
    order = keep_order(taken)
    first = first_of_equals(taken["pixel_sha256"], order)
    matches = find_matches(fields, order[first[order] == order])
    copies = choose_kept(order, first, matches)
    copied = copies.of >= 0
    marked.loc[kept[copied], "copy_of"] = taken["id"].to_numpy()[copies.of[copied]]
    for kind in (SAME_PIXELS, NEAR):
        dropped = kept[copies.kind == kind]
        marked.loc[dropped, "status"] = "duplicate"
        marked.loc[dropped, "reason"] = _REASONS[kind] + marked.loc[dropped, "copy_of"]
    flagged = kept[copies.kind == MIRRORED]
    marked.loc[flagged, "flags"] = (marked.loc[flagged, "flags"].fillna("") + f" {MIRRORED_FLAG}").str.strip()
    marked.loc[kept, "group"] = group_names(taken, first, matches)
    return marked, _table(taken["id"], order, copies)


def keep_order(rows: pd.DataFrame) -> Indices:
    """The positions of the rows in the order in which images are taken; see the keep rule above."""
    keys = pd.DataFrame(
        {
            "source": pd.factorize(rows["source"])[0],  # the rows are in the order of `sources`
            "pixels": -(rows["height"].fillna(0) * rows["width"].fillna(0)).astype(np.int64),
            "lossy": rows["format"].isin(_LOSSY).astype(bool),
            "path": rows["path"].astype(object),
        }
    )
    ordered = keys.reset_index(drop=True).sort_values(list(keys.columns), kind="stable")
    return ordered.index.to_numpy(np.int64)


def first_of_equals(hashes: "pd.Series[str]", order: Indices) -> Indices:
    """For each row the first one, in that order, whose pixels are the same: itself, or the one it repeats."""
    positions = pd.Series(order, index=order)
    firsts = positions.groupby(hashes.iloc[order].to_numpy(), sort=False).transform("first")
    return firsts.sort_index().to_numpy(np.int64)


def find_matches(fields: Fields, order: Indices) -> Matches:
    """All pairs of near copies and of mirrored copies among the fields of these numbers, given in the keep order."""
    pairs = find_candidates(fields, order)
    found = correlations(pairs, fields, order)
    near = found >= COPY_CORRELATION
    one, other = pairs.one[near], pairs.other[near]
    return Matches(
        first=order[np.minimum(one, other)],
        second=order[np.maximum(one, other)],
        mirrored=pairs.mirrored[near],
        correlation=found[near],
    )


@dataclass(frozen=True, kw_only=True)
class Copies:
    """For each image (N,) which kept one it copies, and how."""

    of: Indices  # position, -1: of none
    kind: NDArray[np.object_]  # SAME_PIXELS and NEAR are dropped; MIRRORED and "" are kept
    correlation: NDArray[np.float32]  # of the fields laid over each other; NaN without a copy


def choose_kept(order: Indices, first: Indices, matches: Matches) -> Copies:
    """What becomes of each image by the keep rule.

    A match counts for its second image only: what an image becomes depends on those before it. An image that matches
    another both ways counts as a near copy.
    """
    num = len(order)
    copies = Copies(of=np.full(num, -1), kind=np.full(num, "", object), correlation=np.full(num, np.nan, np.float32))
    rank = np.empty(num, np.int64)
    rank[order] = np.arange(num)
    closest_first = np.lexsort((-matches.correlation, rank[matches.second]))
    seconds, starts = np.unique(rank[matches.second[closest_first]], return_index=True)
    ends = np.append(starts, len(closest_first))[1:]
    for second, start, end in zip(order[seconds], starts, ends, strict=True):
        _choose(int(second), closest_first[start:end], matches, copies)
    for image in np.flatnonzero(first != np.arange(num)):
        one = first[image]
        dropped = copies.kind[one] == NEAR  # then the image that is kept has other pixels
        copies.of[image] = copies.of[one] if dropped else one
        copies.kind[image] = NEAR if dropped else SAME_PIXELS
        copies.correlation[image] = copies.correlation[one] if dropped else 1
    return copies


def _choose(image: int, found: Indices, matches: Matches, copies: Copies) -> None:
    """Fill in one image, of which `found` are the matches with those before it, closest first."""
    firsts = matches.first[found]
    is_kept = np.isin(copies.kind[firsts], ("", MIRRORED))
    near, turned = found[~matches.mirrored[found] & is_kept], found[matches.mirrored[found]]
    if len(near) or len(turned):
        best = near[0] if len(near) else turned[0]
        one = int(matches.first[best])
        # The other side of a mirrored pair may be a duplicate itself: then the image that it copies is named.
        copies.of[image] = copies.of[one] if copies.kind[one] == NEAR else one
        copies.kind[image] = NEAR if len(near) else MIRRORED
        copies.correlation[image] = matches.correlation[best]


def group_names(rows: pd.DataFrame, first: Indices, matches: Matches) -> list[str]:
    """For each row the name of its group: the id of the first member in the order of `sources` and paths."""
    num = len(rows)
    patients = rows["patient"]
    members = pd.Series(np.arange(num)).groupby(patients.to_numpy())  # rows without a patient are left out
    patient_first = members.transform("first").fillna(pd.Series(np.arange(num))).to_numpy(np.int64)
    one = np.concatenate([np.arange(num), np.arange(num), matches.first])
    other = np.concatenate([first, patient_first, matches.second])
    _, parts = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(num, num)), directed=False)
    keys = pd.DataFrame({"source": pd.factorize(rows["source"])[0], "path": rows["path"].astype(object)})
    by_path = keys.sort_values(["source", "path"], kind="stable").index.to_numpy()
    named = pd.Series(rows["id"].to_numpy()[by_path]).groupby(parts[by_path]).first()
    return named.loc[parts].tolist()


def _table(ids: "pd.Series[str]", order: Indices, copies: Copies) -> pd.DataFrame:
    """The rows of copies.csv, in the keep order."""
    which = order[copies.of[order] >= 0]
    correlation = np.round(copies.correlation[which].astype(float), 4)
    columns = (ids.to_numpy()[which], ids.to_numpy()[copies.of[which]], copies.kind[which], correlation)
    return pd.DataFrame(dict(zip(COPIES, columns, strict=True)))
