"""Pictures inside the page: how they are encoded so that the one file stays small."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panodiff.report.numbers import Absent

LOSSLESS_PIXELS = 1 << 17  # larger pictures are WebP, the others PNG where that fits
_QUALITIES = (90, 75)  # of WebP
_FACTORS = (1, 2, 3, 4, 6, 8, 12, 16)  # by which pictures shrink that do not fit


@dataclass(frozen=True)
class Shot:
    """An image to be shown, grey or as blue, green, red, and what is said of it."""

    image: NDArray[np.uint8]  # (H, W) or (H, W, 3)
    alt: str
    label: str = ""


Rows = list[list[Shot]]  # of one figure


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as the template shows it."""

    src: str  # data URI
    alt: str
    label: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pictures of one figure, row by row, and the factor by which they had to shrink."""

    rows: list[list[Picture]]
    factor: int

    @property
    def first(self) -> Picture:
        """The picture of a figure that has one."""
        return self.rows[0][0]


def gallery(rows: Rows | Absent, num_bytes: int) -> Gallery | Absent:
    """A figure of at most `num_bytes`, or why there is none."""
    if isinstance(rows, Absent):
        return rows
    encoded, factor = fit([shot for row in rows for shot in row], num_bytes)
    pictures = iter(encoded)
    return Gallery(rows=[list(islice(pictures, len(row))) for row in rows], factor=factor)


def fit(shots: Sequence[Shot], num_bytes: int) -> tuple[list[Picture], int]:
    """All `shots`, encoded as well as `num_bytes` allow, and the factor by which they had to shrink.

    Small pictures are encoded without loss where all of them fit, then at falling quality, then smaller.

    Raises:
        ValueError: They do not fit at the smallest size either.
    """
    ways: list[tuple[int, int | None]] = [
        (1, None),
        *((factor, quality) for factor in _FACTORS for quality in _QUALITIES),
    ]
    for factor, quality in ways:
        encoded = _encode_all(shots, factor, quality, num_bytes)
        if encoded is not None:
            return encoded, factor
    raise ValueError(
        f"{len(shots)} pictures ({shots[0].alt}, …) must fit into {num_bytes / 1e6:g} MB of the report: "
        f"set report.num_samples or report.num_pairs lower"
    )


def _encode_all(shots: Sequence[Shot], factor: int, quality: int | None, num_bytes: int) -> list[Picture] | None:
    """The pictures, or None where they need more than `num_bytes`."""
    found: list[Picture] = []
    for shot in shots:
        image = reduced(shot.image, factor)
        kind, encoded = _encode(image, quality)
        num_bytes -= len(encoded)
        if num_bytes < 0:
            return None
        src = f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
        height, width = image.shape[:2]
        found.append(Picture(src=src, alt=shot.alt, label=shot.label, width=width, height=height))
    return found


def _encode(image: NDArray[np.uint8], quality: int | None) -> tuple[str, bytes]:
    """Kind and bytes: PNG if no quality is asked for and the image is small, else WebP."""
    if quality is None and image.size <= LOSSLESS_PIXELS:
        return "png", cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return "webp", cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality or _QUALITIES[0]])[1].tobytes()


def reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """`image` smaller by a whole factor, by area."""
    height, width = image.shape[:2]
    size = (max(width // factor, 1), max(height // factor, 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spread over the table: rows ordered by source show all sources."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return rows.iloc[chosen]
