"""What the page shows of super-resolution on held-out radiographs: crops, spectra, and the ceiling that it sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from panodiff import launch
from panodiff.images import Grey, from_unit, read_grey, to_unit
from panodiff.manifest import kept
from panodiff.report.charts import SERIES, Chart, draw_chart
from panodiff.report.numbers import number
from panodiff.report.pictures import Rows, Shot, spread
from panodiff.superres.model import bicubic, load_superres

_DIFFERENCE = 4  # by which the difference to the real image is amplified
_METHODS = {"real": "real", "superres": "this model", "bicubic": "bicubic"}
_DISTANCES = {
    "fd_encoder": "Encoder of this run",
    "fid_inception": "Inception",
    "fd_resnet50": "ResNet-50",
    "fd_vgg16": "VGG-16",
    "fd_alexnet": "AlexNet",
    "fd_squeezenet": "SqueezeNet",
}


def restored_crops(corpus: pd.DataFrame, model: Path, count: int) -> Rows:
    """Held-out radiographs reduced and restored, the busiest square of each; `_crop_row` says in which pictures."""
    network = load_superres(model, launch.device())
    found = []
    for row in spread(kept(corpus, "test"), count).to_dict("records"):
        low, real = read_grey(Path(row["low_path"])), read_grey(Path(row["high_path"]))
        low_res = to_unit(low[None]).to(launch.device())
        with torch.inference_mode():
            enlarged, restored = bicubic(low_res, real.shape[0] // low.shape[0]), network(low_res)
        found.append(_crop_row(str(row["id"]), low, from_unit(enlarged)[0], from_unit(restored)[0], real))
    return found


def _crop_row(name: str, low: Grey, enlarged: Grey, restored: Grey, real: Grey) -> list[Shot]:
    """Input, bicubic, restored, real, difference."""
    scale = real.shape[0] // low.shape[0]
    top, left, side = busiest_square(real, scale)
    cut = np.s_[top : top + side, left : left + side]
    small = low[top // scale : (top + side) // scale, left // scale : (left + side) // scale]
    enlarged, restored, real = enlarged[cut], restored[cut], real[cut]
    return [
        Shot(small, f"{name}, low-resolution input", f"input, {small.shape[0]}×{small.shape[1]}"),
        Shot(enlarged, f"{name}, enlarged by bicubic", f"bicubic, {_psnr(enlarged, real)}"),
        Shot(restored, f"{name}, enlarged by this model", f"this model, {_psnr(restored, real)}"),
        Shot(real, f"{name}, real radiograph", f"real, {side}×{side}"),
        Shot(
            difference(restored, real),
            f"{name}, difference of this model to the real radiograph",
            f"this model − real, × {_DIFFERENCE}",
        ),
    ]


def difference(found: Grey, real: Grey) -> Grey:
    """Middle grey where the images agree, brighter where `found` is, by four greys a grey."""
    apart = found.astype(np.int16) - real
    return np.clip(128 + _DIFFERENCE * apart, 0, 255).astype(np.uint8)


def _psnr(found: Grey, real: Grey) -> str:
    error = float(np.mean((found.astype(float) - real) ** 2))
    return f"{number(10 * float(np.log10(255**2 / error)))} dB" if error else "equal"


def busiest_square(image: Grey, multiple: int) -> tuple[int, int, int]:
    """Top, left and side of the square, half the image high, with the strongest edges; all are multiples."""
    height, width = image.shape
    side = height // 2 // multiple * multiple
    edges = np.abs(np.diff(image.astype(np.float32), axis=1, append=image[:, -1:].astype(np.float32)))
    sums = cv2.integral(edges)  # (H + 1, W + 1)
    step = max(multiple, side // 8 // multiple * multiple)
    corners = [(top, left) for top in range(0, height - side + 1, step) for left in range(0, width - side + 1, step)]
    top, left = max(
        corners,
        key=lambda at: (
            sums[at[0] + side, at[1] + side]
            - sums[at[0], at[1] + side]
            - sums[at[0] + side, at[1]]
            + sums[at[0], at[1]]
        ),
    )
    return top, left, side


def spectrum_chart(path: Path) -> Chart:
    """Power against spatial frequency of the images as they are and as they were restored; `path`: spectrum.csv."""
    table = pd.read_csv(path).dropna()

    def draw(axes: Axes) -> None:
        for (method, label), colour, line in zip(_METHODS.items(), SERIES, ("-", "--", ":"), strict=False):
            axes.plot(table["cycles_a_pixel"], table[method], color=colour, linestyle=line, label=label, linewidth=1.4)
        axes.set_yscale("log")
        axes.set(xlabel="cycles a pixel (0.5: the finest)", ylabel="power")

    caption = (
        "How strong detail of each size is, over all radiographs of the test split. Below the real curve: "
        "texture is missing. Above it: texture was made up."
    )
    label = "Power spectrum of real and restored radiographs"
    return draw_chart("power-spectrum", "Power spectrum", caption, draw, table, label=label)


def ceiling_table(evaluation: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The kinds of features, and a row a method with the Fréchet distance of what it restored in each."""
    found = evaluation["restored_vs_real"]
    features = {name: label for name, label in _DISTANCES.items() if name in found}
    rows = [[label, *(number(found[name][method]) for name in features)] for method, label in _METHODS.items()]
    return list(features.values()), rows
