"""A contact sheet of a source: files as they are with what was cut out of them, and the harmonized images beside."""

from collections.abc import Mapping
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
from panodiff.images import Grey, read_grey
from panodiff.params_data import SourceParams

MAX_SHOWN, MAX_REJECTED = 24, 6
_CELL, _LABEL, _GAP, _PAIRS = (120, 240), 18, 8, 3  # pixels of a picture (H, W) and its label; pairs beside each other
_CROP, _PAPER, _INK = (255, 170, 0), (255, 255, 255), (0, 0, 0)
_QUALITY = 80

Colours = NDArray[np.uint8]  # (H, W, 3), RGB


def spread_over(count: int) -> set[int]:
    """The positions of the images to show among `count`, evenly spread."""
    return set(np.linspace(0, count - 1, min(MAX_SHOWN, count)).round().astype(int).tolist())


def as_it_is(image: NDArray[np.uint8] | NDArray[np.uint16], source: SourceParams) -> Grey:
    """The decoded file upright and small, for the sheet."""
    step = max(1, image.shape[1] // (4 * _CELL[1]))
    grey, _ = to_8_bits(image[::step, ::step], source.window)
    upright = np.ascontiguousarray(np.rot90(grey, source.quarter_turns))
    return np.asarray(cv2.resize(upright, _fitting(upright.shape), interpolation=cv2.INTER_AREA), np.uint8)


def write_contact_sheet(out: Path, rows: pd.DataFrame, shown: Mapping[Any, Grey]) -> None:
    """Write `out`/contact.jpg: kept images, then some that the quality limits rejected; nothing if there are none.

    Args:
        out: The folder with the harmonized images.
        rows: Of the manifest.
        shown: The files to show, by the index of their rows, as `as_it_is` gives them.
    """
    chosen = rows.loc[list(shown)].dropna(subset=["crop_top"])
    kept, rejected = (chosen[chosen["status"] == status] for status in ("kept", "rejected"))
    cells = [_cell(row, shown[index], out) for index, row in pd.concat([kept, rejected[:MAX_REJECTED]]).iterrows()]
    if not cells:
        return
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % _PAIRS)
    sheet = np.vstack([np.hstack(cells[start : start + _PAIRS]) for start in range(0, len(cells), _PAIRS)])
    with written_whole(out / "contact.jpg") as aside:
        Image.fromarray(sheet).save(aside, format="JPEG", quality=_QUALITY)


def _cell(row: "pd.Series[Any]", picture: Grey, out: Path) -> Colours:
    """One image: the file with its crop, the harmonized image if it was kept, and its id or why it was not."""
    cell = Image.new("RGB", (2 * (_CELL[1] + _GAP), _CELL[0] + _LABEL + _GAP), _PAPER)
    cell.paste(_with_crop(picture, row), (0, 0))
    kept = row["status"] == "kept"
    if kept:
        high = read_grey(out / "high" / f"{row['id']}.png")
        harmonized = cv2.resize(high, _fitting(high.shape), interpolation=cv2.INTER_AREA)
        cell.paste(Image.fromarray(harmonized).convert("RGB"), (_CELL[1] + _GAP, 0))
    notes = [] if pd.isna(row["flags"]) else [row["flags"]]
    notes += ["inverted"] if row["inverted"] else []
    notes += [f"turned by {row['rotation_deg']:g}°"] if row["rotation_deg"] else []
    text = f"{row['id']}  {row['height']} x {row['width']}  {', '.join(notes) if kept else row['reason']}"
    ImageDraw.Draw(cell).text((0, _CELL[0] + 1), text, fill=_INK, font=ImageFont.load_default(size=11))
    return np.asarray(cell)


def _fitting(size: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a picture of `size` (H, W) within a cell."""
    scale = min(_CELL[0] / size[0], _CELL[1] / size[1])
    return max(1, round(size[1] * scale)), max(1, round(size[0] * scale))


def _with_crop(picture: Grey, row: "pd.Series[Any]") -> Image.Image:
    """The file with the outline of the crop; what of the crop lies beyond the file is grey.

    The crop is a box in the image turned by the skew: here the outline is turned back.
    """
    turns = round(float(row["rotation_deg"]) / 90)
    size = (int(row["height"]), int(row["width"]))
    upright = size if turns % 2 == 0 else size[::-1]
    top, left, bottom, right = (float(row[f"crop_{side}"]) for side in ("top", "left", "bottom", "right"))
    corners = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]).T
    outline = turning(upright, 90 * turns - float(row["rotation_deg"])) @ corners  # (2, 4)
    outline *= np.array([[picture.shape[1] / upright[1]], [picture.shape[0] / upright[0]]])
    above, before = max(0, -int(outline[1].min())), max(0, -int(outline[0].min()))
    below, after = (max(0, int(outline[axis].max()) - picture.shape[1 - axis]) for axis in (1, 0))
    canvas = cv2.copyMakeBorder(picture, above, below, before, after, cv2.BORDER_CONSTANT, value=(96.0,))
    width, height = _fitting(canvas.shape)
    small = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    scale = width / canvas.shape[1]
    points = [((x + before) * scale, (y + above) * scale) for x, y in outline.T]
    inside = [(min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in points]
    shown = Image.fromarray(small).convert("RGB")
    ImageDraw.Draw(shown).line([*inside, inside[0]], fill=_CROP, width=2)
    return shown
