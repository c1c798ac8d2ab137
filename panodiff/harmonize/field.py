"""The exposed field of a radiograph, and the part of it that holds the jaws; found on a small copy of the image.

The exposed field is what the beam has drawn: without the uniform border of a scan, the frame of an export, and the
strips of text that a device burns in along the upper and lower edge. Where nothing of that kind is found the field is
the whole image: it is better to keep a border than to cut a jaw.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.images import Grey

THUMB_WIDTH = 640  # at least, of wide images: letters of a strip are still letters
MAX_SKEW_DEG, MIN_SKEW_DEG = 5.0, 0.3
_UNIFORM = 8  # greys between the 3rd and 97th percentile of a line of a border or frame
_MAX_BORDER = 0.25  # of a side, on each side
_MAX_STRIP = 0.05  # of the height, at the top and at the bottom: exposure data, not the letter of a side
_STRIP_START = 0.025  # of the height: a strip begins at least as near to the edge
_LETTER_EDGE = 45  # greys between neighbours: letters, wires, metal
_MIN_LETTER_EDGES = 8  # a row: three letters
_CLEAR_ROWS = 2  # below a line of text: the second one hardly has an edge
# What the window may cut off the field to reach its aspect, as fractions of the height. Nothing at the sides: in files
# that somebody has cropped before, the heads of the condyles lie 0.4 to 3 % of the width from the edge.
_MAX_CUT = {"top": 0.02, "bottom": 0.01}


@dataclass(frozen=True, kw_only=True)
class Box:
    """Rows top:bottom and columns left:right, pixels; parts of it may lie beyond the image."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def common(self, other: "Box") -> "Box":
        """What lies in both."""
        return Box(
            top=max(self.top, other.top),
            left=max(self.left, other.left),
            bottom=min(self.bottom, other.bottom),
            right=min(self.right, other.right),
        )

    def enlarged(self, factor: int, size: tuple[int, int]) -> "Box":
        """This part of a thumbnail in the image of `size` (H, W) that it was made of, `factor` times as large."""
        height, width = size
        bottom, right = self.bottom * factor, self.right * factor
        return Box(
            top=self.top * factor,
            left=self.left * factor,
            bottom=height if height - bottom < factor else bottom,  # the thumbnail lacks what did not divide
            right=width if width - right < factor else right,
        )


def thumbnail(image: Grey) -> tuple[Grey, int]:
    """`image` (H, W) made smaller by a power of two, by area, and that factor; rows and columns left over are cut."""
    small = halved(image, THUMB_WIDTH)
    return small, round(image.shape[1] / small.shape[1])


def halved(image: Grey, least_width: int) -> Grey:
    """`image` halved, by area, as often as its width stays at least `least_width`.

    To halve twice takes a third of the time of a quarter at once.
    """
    while image.shape[1] >= 2 * least_width:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def find_skewed_field(thumb: Grey) -> tuple[float, Box] | None:
    """The exposed field in a uniform surrounding in which it stands askew; None where there is none of that kind.

    The field must be a rectangle to within 2 % of its area: black corners of a radiograph are no surrounding.

    Returns:
        By how many degrees counter-clockwise the image must be turned about its centre, and the field in it then.
    """
    height, width = thumb.shape
    corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    greys = [int(thumb[y, x]) for x, y in corners]
    if max(greys) - min(greys) > _UNIFORM:
        return None
    outside = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    for x, y in corners:
        if not outside[y + 1, x + 1]:
            cv2.floodFill(thumb, outside, (x, y), 0, _UNIFORM, _UNIFORM, flags)
    field = cv2.morphologyEx(1 - outside[1:-1, 1:-1], cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(field, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    largest = max(contours, key=cv2.contourArea)
    centre, sides, angle = cv2.minAreaRect(largest)
    area, skew = sides[0] * sides[1], (angle + 45) % 90 - 45
    if not 0.3 * thumb.size < area < 0.99 * thumb.size or cv2.contourArea(largest) < 0.98 * area:
        return None
    if not MIN_SKEW_DEG <= abs(skew) <= MAX_SKEW_DEG:
        return None
    x, y = turning((height, width), skew) @ (*centre, 1)
    across, down = sides if abs(angle - skew) < 45 else sides[::-1]
    box = Box(  # a pixel inside: those at the rim are mixed with the surrounding
        top=max(0, round(y - down / 2) + 1),
        left=max(0, round(x - across / 2) + 1),
        bottom=min(height, round(y + down / 2)),
        right=min(width, round(x + across / 2)),
    )
    return skew, box


def turning(size: tuple[int, int], degrees: float) -> NDArray[np.float64]:
    """The matrix (2, 3) that turns points (x, y, 1) of an image of `size` (H, W) counter-clockwise about its centre."""
    return np.asarray(cv2.getRotationMatrix2D(((size[1] - 1) / 2, (size[0] - 1) / 2), degrees, 1))


def turned(image: Grey, degrees: float) -> Grey:
    """`image` turned counter-clockwise about its centre, on the same canvas; black where nothing was."""
    height, width = image.shape
    return np.asarray(
        cv2.warpAffine(image, turning((height, width), degrees), (width, height), flags=cv2.INTER_CUBIC), np.uint8
    )


def find_field(thumb: Grey) -> Box:
    """The exposed field of an upright image that does not stand askew, in pixels of `thumb` (H, W)."""
    height, width = thumb.shape
    top, bottom = _without_border(thumb)
    left, right = _without_border(thumb[top:bottom].T)
    upper, lower = _without_border(thumb[top:bottom, left:right])  # a frame's rows are uniform between its columns
    top, bottom = top + upper, top + lower
    if bottom - top < height / 2 or right - left < width / 2:
        return Box(top=0, left=0, bottom=height, right=width)
    return without_strips(thumb, Box(top=top, left=left, bottom=bottom, right=right))


def without_strips(thumb: Grey, field: Box) -> Box:
    """The field without lines of text burned in along its upper and lower edge."""
    rows = thumb[field.top : field.bottom, field.left : field.right]
    return replace(field, top=field.top + _strip(rows), bottom=field.bottom - _strip(rows[::-1]))


def _without_border(lines: Grey) -> tuple[int, int]:
    """First and one past the last row that is no part of a uniform border."""
    return _border(lines), len(lines) - _border(lines[::-1])


def _border(lines: Grey) -> int:
    """How many of the first rows are a uniform border, or a frame thinner than a row.

    The row beside a border is a mixture of both, and counts as well.
    """
    limit = int(len(lines) * _MAX_BORDER)
    count = next((number for number in range(limit) if not _is_uniform(lines[number])), limit)
    return min(count + 1, limit) if count else _thin_frame(lines)


def _is_uniform(line: Grey) -> bool:
    ordered = np.sort(line)  # sorting bytes is faster than to ask for percentiles
    margin = len(line) * 3 // 100
    return int(ordered[-1 - margin]) - int(ordered[margin]) <= _UNIFORM


def _thin_frame(lines: Grey) -> int:
    """1 where the outermost row is a thin frame: nearly all along darker, or brighter, than the third one."""
    difference = lines[0].astype(np.int16) - lines[2]
    one_way = max(np.count_nonzero(difference > 0), np.count_nonzero(difference < 0))
    return int(one_way > 0.9 * len(difference) and abs(float(np.median(difference))) > 25)


def _strip(rows: Grey) -> int:
    """How many of the first rows hold a line of small burned-in text, which ends within _MAX_STRIP of all."""
    near = rows[: int(len(rows) * _MAX_STRIP) + _CLEAR_ROWS].astype(np.int16)
    edges = (np.abs(np.diff(near, axis=1)) > _LETTER_EDGE).sum(axis=1)
    written = np.flatnonzero(edges >= _MIN_LETTER_EDGES)
    if not len(written) or written[0] > _STRIP_START * len(rows):
        return 0
    after = edges[written[-1] + 1 :][:_CLEAR_ROWS]
    if len(after) < _CLEAR_ROWS or after[-1] > edges.max() / 8:  # bone at the edge goes on
        return 0
    return int(written[-1]) + 1 + max(1, len(rows) // 200)


def find_window(field: Box, ratio: float) -> Box:
    """The part of the field with the jaws, `ratio` times as wide as high.

    Of a field that is too high, a little is cut off at the top and bottom, within _MAX_CUT: arch, chin, rami and
    condyles stay. What is missing to the ratio then is added beyond the field: rows below, where air is black in any
    case, or columns on both sides.
    """
    height, width = field.height, field.width
    surplus = height - width / ratio  # too high: positive
    if surplus <= 0:
        return replace(field, bottom=field.top + round(width / ratio))
    most = {side: height * share for side, share in _MAX_CUT.items()}
    share = min(1.0, surplus / sum(most.values()))
    top = field.top + round(share * most["top"])
    bottom = field.bottom - round(share * most["bottom"])
    missing = max(0, round((bottom - top) * ratio) - width)
    left = field.left - missing // 2
    return Box(top=top, left=left, bottom=bottom, right=left + width + missing)
