"""A contact sheet of a source: files as they are with what was cut out of them, and the harmonized images beside."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from panodiff.files import written_whole
from panodiff.harmonize.exposure import to_8_bits
from panodiff.harmonize.field import turning
from panodiff.images import read_grey
from panodiff.params_data import SourceParams
from panodiff.sources import UnusableError
from panodiff.sources.decoding import decode
from panodiff.sources.raw import RawFolder

MAX_KEPT, MAX_REJECTED = 24, 6
_CELL, _LABEL, _GAP, _PAIRS = (120, 240), 18, 8, 3  # pixels of a picture (H, W) and its label; pairs beside each other
_CROP, _PAPER, _INK = (255, 170, 0), (255, 255, 255), (0, 0, 0)
_QUALITY = 80

Colours = NDArray[np.uint8]  # (H, W, 3), RGB


def write_contact_sheet(out: Path, files: RawFolder, rows: pd.DataFrame, source: SourceParams) -> None:
    """Write `out`/contact.jpg: images spread evenly over the kept ones, then some that the quality limits rejected.

    Nothing is written where there are none of either.
    """
    harmonized = rows[rows["crop_top"].notna()]
    shown = pd.concat(
        [
            _spread(harmonized[harmonized["status"] == "kept"], MAX_KEPT),
            _spread(harmonized[harmonized["status"] == "rejected"], MAX_REJECTED),
        ]
    )
    cells = [cell for row in shown.to_dict("records") if (cell := _cell(row, out, files, source)) is not None]
    if not cells:
        return
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % _PAIRS)
    sheet = np.vstack([np.hstack(cells[start : start + _PAIRS]) for start in range(0, len(cells), _PAIRS)])
    with written_whole(out / "contact.jpg") as aside:
        Image.fromarray(sheet).save(aside, format="JPEG", quality=_QUALITY)


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return rows.iloc[places]


def _cell(row: dict[Any, Any], out: Path, files: RawFolder, source: SourceParams) -> Colours | None:
    """One image: the file with its crop, the harmonized image if it was kept, and its id or why it was not."""
    try:
        image = decode(files.read(row["path"]), 2**62).image
    except UnusableError:  # gone since: its row says so the next time
        return None
    grey, _ = to_8_bits(image, source.window)
    cell = Image.new("RGB", (2 * (_CELL[1] + _GAP), _CELL[0] + _LABEL + _GAP), _PAPER)
    cell.paste(_with_crop(np.rot90(grey, source.quarter_turns).astype(np.uint8), row), (0, 0))
    kept = row["status"] == "kept"
    if kept:
        high = read_grey(out / "high" / f"{row['id']}.png")
        shown = cv2.resize(high, _fitting((high.shape[0], high.shape[1])), interpolation=cv2.INTER_AREA)
        cell.paste(Image.fromarray(shown).convert("RGB"), (_CELL[1] + _GAP, 0))
    notes = [] if pd.isna(row["flags"]) else [row["flags"]]
    notes += ["inverted"] if row["inverted"] else []
    notes += [f"turned by {row['rotation_deg']:g}°"] if row["rotation_deg"] else []
    text = f"{row['id']}  {row['height']} x {row['width']}  {', '.join(notes) if kept else row['reason']}"
    ImageDraw.Draw(cell).text((0, _CELL[0] + 1), text, fill=_INK, font=ImageFont.load_default(size=11))
    return np.asarray(cell)


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a picture of `size` (H, W) within a cell."""
    scale = min(_CELL[0] / size[0], _CELL[1] / size[1])
    return max(1, round(size[1] * scale)), max(1, round(size[0] * scale))


def _with_crop(upright: NDArray[np.uint8], row: dict[Any, Any]) -> Image.Image:
    """The file upright, small, with the outline of the crop; what lies beyond the file is grey.

    The crop is a box in the image turned by the skew: here the outline is turned back.
    """
    height, width = upright.shape
    sides = [float(row[f"crop_{side}"]) for side in ("top", "left", "bottom", "right")]
    top, left, bottom, right = sides
    skew = float(row["rotation_deg"]) - 90 * round(float(row["rotation_deg"]) / 90)
    corners = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]).T
    outline = turning((height, width), -skew) @ corners  # (2, 4)
    above, before = max(0, -int(outline[1].min())), max(0, -int(outline[0].min()))
    below, after = max(0, int(outline[1].max()) - height), max(0, int(outline[0].max()) - width)
    canvas = cv2.copyMakeBorder(upright, above, below, before, after, cv2.BORDER_CONSTANT, value=(96.0,))
    size = _fitting((canvas.shape[0], canvas.shape[1]))
    small = Image.fromarray(np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)).convert("RGB")
    scale = size[0] / canvas.shape[1]
    points = [((x + before) * scale, (y + above) * scale) for x, y in outline.T]
    inside = [(min(max(x, 0), size[0] - 1), min(max(y, 0), size[1] - 1)) for x, y in points]
    ImageDraw.Draw(small).line([*inside, inside[0]], fill=_CROP, width=2)
    return small
