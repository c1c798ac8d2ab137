"""Images in and out: the only place where value ranges and layouts change.

Arrays: uint8, (H, W), 0 black (air) … 255 white. Tensors: float32, (B, 1, H, W), [-1, 1] ("signed") for networks that
draw, [0, 1] ("unit") for networks that compare or restore.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo

from panodiff.files import written_whole

if TYPE_CHECKING:
    import torch

Grey = NDArray[np.uint8]  # (H, W)


def read_grey(path: Path) -> Grey:
    """The 8-bit grey image that the pipeline wrote at `path`, (H, W).

    Raises:
        ValueError: The file is not a decodable 8-bit grey image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"{path} must be an 8-bit grey PNG that this pipeline wrote; run `dvc repro` to make it again")
    return image.astype(np.uint8, copy=False)


def write_grey(path: Path, image: Grey, text: Mapping[str, str] | None = None) -> None:
    """Write an 8-bit grey PNG, whole or not at all, with `text` as its text chunks."""
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    with written_whole(path) as aside:
        PILImage.fromarray(image).save(aside, format="PNG", compress_level=1, pnginfo=chunks)


def read_text_chunks(path: Path) -> dict[str, str]:
    """The text chunks of a PNG."""
    with PILImage.open(path) as image:
        image.load()
        return {key: str(value) for key, value in getattr(image, "text", {}).items()}


def area_average(image: Grey, factor: int) -> Grey:
    """`image` reduced by a whole `factor`: each pixel the mean of its factor × factor block, rounded half up."""
    height, width = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor)
    total = blocks.sum(axis=(1, 3), dtype=np.uint32)
    return ((2 * total + factor**2) // (2 * factor**2)).astype(np.uint8)


def to_signed(images: "NDArray[np.uint8] | torch.Tensor") -> "torch.Tensor":
    """uint8 (B, H, W) → float (B, 1, H, W) in [-1, 1]."""
    return to_unit(images) * 2 - 1


def to_unit(images: "NDArray[np.uint8] | torch.Tensor") -> "torch.Tensor":
    """uint8 (B, H, W) → float (B, 1, H, W) in [0, 1]."""
    import torch  # noqa: PLC0415

    return torch.as_tensor(images)[:, None].float() / 255


def from_unit(images: "torch.Tensor") -> NDArray[np.uint8]:
    """Float (B, 1, H, W), clamped to [0, 1] → uint8 (B, H, W), rounded."""
    scaled = images.detach().float().clamp(0, 1).mul(255).add(0.5).floor()
    return scaled[:, 0].byte().cpu().numpy()


def from_signed(images: "torch.Tensor") -> NDArray[np.uint8]:
    """Float (B, 1, H, W), clamped to [-1, 1] → uint8 (B, H, W), rounded."""
    return from_unit((images + 1) / 2)


def tile(images: Iterable[Grey], columns: int, gap: int = 2) -> Grey:
    """One picture of equally large images in rows of `columns`, `gap` white pixels between them."""
    cells = list(images)
    height, width = cells[0].shape
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = cell
    return sheet
