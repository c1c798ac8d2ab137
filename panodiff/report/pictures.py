"""Pictures inside the page: which images are shown, cut and encoded so that the one file stays small."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panodiff.images import Grey, read_grey, tile
from panodiff.manifest import kept

NUM_REAL = 8  # real radiographs shown under the synthetic ones
NUM_SUPERRES_MILESTONES = 5  # of a training, shown in pictures
LOSSLESS_PIXELS = 1 << 17  # larger pictures are WebP of quality 90, the others PNG
_GRID_PIXELS = 18_000_000  # of all pictures of one grid together; more are shown smaller
SHEET_PIXELS = 3_000_000
_GAP = 2  # of panodiff.images.tile


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as the template shows it."""

    src: str  # data URI
    alt: str
    label: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A strip of equal rows, such as the previews of a training, with a label a row and a column."""

    picture: Picture
    rows: list[str]
    columns: list[str]


def data_uri(image: Grey) -> str:
    """The image as it stands in a page: small ones without loss."""
    lossless = image.size <= LOSSLESS_PIXELS
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9] if lossless else [cv2.IMWRITE_WEBP_QUALITY, 90]
    _, encoded = cv2.imencode(".png" if lossless else ".webp", image, options)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def picture(image: Grey, alt: str, label: str = "") -> Picture:
    """`image` for the template."""
    height, width = image.shape
    return Picture(src=data_uri(image), alt=alt, label=label, width=width, height=height)


def coloured(image: NDArray[np.uint8], alt: str) -> Picture:
    """A picture in colour, (H, W, 3) as blue, green, red."""
    height, width, _ = image.shape
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 90])
    src = f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
    return Picture(src=src, alt=alt, label="", width=width, height=height)


def reduced(image: Grey, factor: int) -> Grey:
    """`image` smaller by a whole factor, by area."""
    height, width = image.shape
    small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def factor_for(pixels: int, budget: int) -> int:
    """The smallest whole factor by which both sides must shrink to stay within the budget."""
    return max(1, int(np.ceil(np.sqrt(pixels / budget))))


def grid(paths: Sequence[Path], alt: str, labels: Sequence[str]) -> tuple[list[Picture], int]:
    """The images at `paths`, all of one size, and the factor by which they had to shrink."""
    height, width = read_grey(paths[0]).shape
    factor = factor_for(height * width * len(paths), _GRID_PIXELS)
    shown = [
        picture(reduced(read_grey(path), factor), f"{alt} {label}", label)
        for path, label in zip(paths, labels, strict=True)
    ]
    return shown, factor


def spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spread over the table: rows ordered by source show all sources."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return rows.iloc[chosen]


def synthetic_grid(folder: Path, count: int) -> tuple[list[Picture], int]:
    """The first `count` synthetic images at high resolution, by index: none is picked."""
    ids = [str(name) for name in pd.read_csv(folder / "rows.csv")["id"]][:count]
    return grid([folder / f"{name}.png" for name in ids], "Synthetic radiograph", ids)


def real_grid(corpus: pd.DataFrame, count: int) -> tuple[list[Picture], int]:
    """Real radiographs of the test split, spread over the sources."""
    rows = spread(kept(corpus, "test"), count)
    paths = [Path(path) for path in rows["high_path"].astype(str)]
    return grid(paths, "Real radiograph of the test split", [str(name) for name in rows["id"]])


def low_high_pairs(synthetic: Path, count: int) -> list[tuple[Picture, Picture]]:
    """The first synthetic images as the diffusion model drew them, and as super-resolution finished them."""
    names = [str(name) for name in pd.read_csv(synthetic / "high" / "rows.csv")["id"]][:count]
    pairs = []
    for name in names:
        low, high = (read_grey(synthetic / resolution / f"{name}.png") for resolution in ("low", "high"))
        sizes = ["×".join(map(str, image.shape)) for image in (low, high)]
        pairs.append(
            (
                picture(low, f"{name} at low resolution", f"{name}, {sizes[0]}"),
                picture(high, f"{name} at high resolution", f"{sizes[1]}"),
            )
        )
    return pairs


def diffusion_progress(folder: Path) -> Sheet:
    """The previews of the diffusion model's training, one row a milestone, one column a fixed noise."""
    steps = pd.read_csv(folder / "milestones.csv")["step"]
    image = read_grey(folder / "progress.png")
    image = reduced(image, factor_for(image.size, SHEET_PIXELS))
    rows = [f"{step}" for step in steps]
    return Sheet(picture=picture(image, "Samples at fixed noise through the training"), rows=rows, columns=[])


def superres_progress(folder: Path) -> Sheet:
    """One held-out radiograph through the training of super-resolution: the middle of each preview."""
    milestones = pd.read_csv(folder / "milestones.csv")
    cells = _cells(read_grey(folder / "progress.png"), len(milestones), 3)
    shown = spread(milestones, NUM_SUPERRES_MILESTONES)
    sheet = tile([_middle(cells[3 * row + column]) for row in shown.index for column in range(3)], 3, _GAP)
    sheet = reduced(sheet, factor_for(sheet.size, SHEET_PIXELS))
    return Sheet(
        picture=picture(sheet, "A held-out radiograph restored through the training"),
        rows=[f"{step}" for step in shown["step"]],
        columns=["bicubic", "this model", "real"],
    )


def _cells(sheet: Grey, rows: int, columns: int) -> list[Grey]:
    """What `panodiff.images.tile` put together."""
    height, width = ((sheet.shape[axis] + _GAP) // count for axis, count in enumerate((rows, columns)))
    corners = [(row * height, column * width) for row in range(rows) for column in range(columns)]
    return [sheet[top : top + height - _GAP, left : left + width - _GAP] for top, left in corners]


def _middle(image: Grey) -> Grey:
    height, width = image.shape
    return image[height // 4 : height - height // 4, width // 4 : width - width // 4]
