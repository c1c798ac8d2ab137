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
    copy_of, kind, correlation = choose_kept(len(taken), order, first, matches)
    table = _table(taken["id"], copy_of, kind, correlation, order)
    named = marked.loc[kept[copy_of >= 0]].index
    marked.loc[named, "copy_of"] = taken["id"][copy_of[copy_of >= 0]].to_numpy()
    dropped = kept[(kind == SAME_PIXELS) | (kind == NEAR)]
    marked.loc[dropped, "status"] = "duplicate"
    marked.loc[kept[kind == SAME_PIXELS], "reason"] = "same pixels as " + marked["copy_of"]
    marked.loc[kept[kind == NEAR], "reason"] = "near copy of " + marked["copy_of"]
    flagged = kept[kind == MIRRORED]
    marked.loc[flagged, "flags"] = [
        f"{flags} {MIRRORED_FLAG}".strip() for flags in marked.loc[flagged, "flags"].fillna("")
    ]
    marked.loc[kept, "group"] = group_names(taken, first, matches)
    return marked, table


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


def choose_kept(
    num: int, order: Indices, first: Indices, matches: Matches
) -> tuple[Indices, NDArray[np.object_], NDArray[np.float32]]:
    """For each of `num` images the kept one that it copies (-1: none), how, and the correlation with it (else NaN).

    An image whose kind is MIRRORED is kept as well; where an image matches both ways it counts as a near copy. A match
    counts for the later image only: what an image becomes depends on those before it.
    """
    copy_of = np.full(num, -1, np.int64)
    kind = np.full(num, "", object)
    correlation = np.full(num, np.nan, np.float32)
    before: dict[int, list[int]] = {}  # matches by their second image
    for match, second in enumerate(matches.second.tolist()):
        before.setdefault(second, []).append(match)
    for image in (int(image) for image in order if int(image) in before):
        found = sorted(before[image], key=lambda match: -float(matches.correlation[match]))
        near = [match for match in found if not matches.mirrored[match] and kind[matches.first[match]] in ("", MIRRORED)]
        turned = [match for match in found if matches.mirrored[match]]
        if best := (near or turned)[:1]:
            one = int(matches.first[best[0]])
            # The other side of a mirrored pair may be a duplicate itself: then the one it copies is named.
            copy_of[image] = one if kind[one] in ("", MIRRORED) else copy_of[one]
            kind[image] = NEAR if near else MIRRORED
            correlation[image] = matches.correlation[best[0]]
    for image in np.flatnonzero(first != np.arange(num)):
        one = first[image]
        dropped = kind[one] == NEAR  # then its own pixels are not those of the image that is kept
        copy_of[image] = copy_of[one] if dropped else one
        kind[image] = NEAR if dropped else SAME_PIXELS
        correlation[image] = correlation[one] if dropped else 1
    return copy_of, kind, correlation


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


def _table(
    ids: "pd.Series[str]",
    copy_of: Indices,
    kind: NDArray[np.object_],
    correlation: NDArray[np.float32],
    order: Indices,
) -> pd.DataFrame:
    """The rows of copies.csv, in the keep order."""
    copies = order[copy_of[order] >= 0]
    columns = (ids[copies], ids[copy_of[copies]], kind[copies], np.round(correlation[copies].astype(float), 4))
    return pd.DataFrame({name: np.asarray(values) for name, values in zip(COPIES, columns, strict=True)})
