"""What a reader checks first on a radiograph, measured: symmetry, rows of teeth, bite, greys, grain; fakes beside real.

Symmetry, teeth and bite are measured on a copy of 128×256 pixels with equalised histogram, so that exposure does not
count: any monotone change of the greys leaves them as they are, but for ties.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from panodiff import launch
from panodiff.evaluation.looks.spectrum import radial_power, ring_frequencies
from panodiff.images import Grey, read_grey, to_unit
from panodiff.progress import Progress

Floats = NDArray[np.floating]
Columns = dict[str, NDArray[np.float64]]  # (N,) by name of MEASUREMENTS

MEASUREMENTS = {
    "symmetry": "correlation of the image with its mirror image, details of 1.5 to 6 % of the width, -1 to 1",
    "tooth_periodicity": "share of the variance along both rows of crowns at the width of a tooth, 0 to 1",
    "occlusal_gap": "how far below the crowns the bite between them ranks among the image's greys, -0.2 to 0.4",
    "occlusal_height": "where the bite is in the middle of the image, fraction of the height from the top",
    "grey_mean": "mean grey, 0 to 255",
    "grey_sd": "standard deviation of the greys, 0 to 128",
    "grey_p05": "5th percentile of the greys, 0 to 255",
    "grey_p95": "95th percentile of the greys, 0 to 255",
    "histogram_distance": "Wasserstein distance of the greys to those of all training images together, 0 to 255",
    "spectral_slope": "exponent of the power by frequency, from 0.03 to 0.4 cycles a pixel",
    "fine_detail": "share of the power beyond 0.25 cycles a pixel, dB",
}

GRID = (8, 16)  # cells, (H, W), in which places of the image are measured
_SIZE = (128, 256)  # H, W of the copy
_SMOOTHING, _BACKGROUND = 4, 16  # pixels of it: deviations of the Gaussians between which symmetry is looked for
_MIDLINES = np.arange(-20, 21)  # twice the shift of the midline: up to 4 % of the width
_TOOTH_WIDTH = (5, 14)  # pixels of the copy: lower incisors to molars
_LONGEST = 72  # longer periods along a row are the arch, not its teeth
_ARCH = np.arange(52, 204)  # columns of the copy where teeth are looked for
_CROWNS = (np.arange(-14, -3), np.arange(4, 15))  # rows of the copy from the bite
ROUNDING = 1 / (12 * 255**2)  # power of the noise that rounding to 8 bits adds: of flat images all that there is


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured on N images, in their order."""

    columns: Columns  # all but histogram_distance, which needs a second set
    histograms: Floats  # (N, 256), the share of each grey
    spectra: Floats  # (N, NUM_FREQUENCIES), radial_power; NaN where so small images have no such frequency
    places: Floats  # (N, 3, *GRID), see `measure_places`


@dataclass(frozen=True, kw_only=True)
class Bite:
    """The line between the rows of teeth: height(u) = middle + tilt·u + bend·u², u = ±1 at 20 and 80 % of the width."""

    middle: float  # fractions of the height, from the top
    tilt: float
    bend: float
    depth: float  # MEASUREMENTS["occlusal_gap"]

    def rows(self, columns: NDArray[Any]) -> NDArray[np.float64]:
        """Its rows at columns of the copy, both in pixels."""
        return np.asarray(_row(self.middle, self.tilt, self.bend, columns))


def measure_images(paths: Sequence[Path], what: str) -> Measured:
    """What is measured on 8-bit grey radiographs, upright, dark air, one a thread at once.

    `what` is what the progress calls the work.
    """
    progress, found = Progress(len(paths), what), []
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        for measured in pool.map(lambda path: measure_image(read_grey(path)), paths):
            found.append(measured)
            progress.advance()
    progress.close()
    return joined(found)


def joined(parts: Sequence[Measured]) -> Measured:
    """The images of all parts, in their order."""
    return Measured(
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        histograms=np.concatenate([part.histograms for part in parts]),
        spectra=np.concatenate([part.spectra for part in parts]),
        places=np.concatenate([part.places for part in parts]),
    )


def measure_image(image: Grey) -> Measured:
    """What is measured on one image (H, W): arrays with N = 1."""
    copy = equalised(image)
    bite = find_bite(copy)
    histogram = np.bincount(image.ravel(), minlength=256) / image.size
    power = radial_power(to_unit(image[None]))[0].numpy()
    greys = np.arange(256)
    mean = float(histogram @ greys)
    found = {
        "symmetry": symmetry(copy),
        "tooth_periodicity": tooth_periodicity(copy, bite),
        "occlusal_gap": bite.depth,
        "occlusal_height": bite.middle,
        "grey_mean": mean,
        "grey_sd": float(histogram @ (greys - mean) ** 2) ** 0.5,
        "grey_p05": float(np.searchsorted(histogram.cumsum(), 0.05)),
        "grey_p95": float(np.searchsorted(histogram.cumsum(), 0.95)),
        **_spectral(power),
    }
    return Measured(
        columns={name: np.array([value]) for name, value in found.items()},
        histograms=histogram[None].astype(np.float32),
        spectra=power[None].astype(np.float32),
        places=measure_places(image)[None],
    )


def measure_places(image: Grey) -> Floats:
    """Mean grey, and in log the power of the finest and of the next finest detail, in each cell of GRID: (3, *GRID)."""
    whole = image.astype(np.float32)
    layers = [whole, *(cv2.GaussianBlur(whole, (0, 0), sigma) for sigma in (1, 2))]
    powers = [(finer - coarser) ** 2 for finer, coarser in pairwise(layers)]
    cells = [cv2.resize(layer, GRID[::-1], interpolation=cv2.INTER_AREA) for layer in (whole, *powers)]
    return np.stack([cells[0], *(np.log(cell + 255**2 * ROUNDING) for cell in cells[1:])])


def equalised(image: Grey) -> NDArray[np.float32]:
    """The copy that symmetry, teeth and bite are measured on: 128×256, in [0, 1], all greys about equally frequent."""
    small = cv2.resize(image, _SIZE[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.equalizeHist(small), np.float32) / np.float32(255)


def symmetry(copy: NDArray[np.float32]) -> float:
    """The correlation of the copy with its mirror image about the midline that makes it highest; 0 of a flat image."""
    band = cv2.GaussianBlur(copy, (0, 0), _SMOOTHING) - cv2.GaussianBlur(copy, (0, 0), _BACKGROUND)
    width, best = band.shape[1], -1.0
    for shift in _MIDLINES:
        part = band[:, max(0, shift) : width + min(0, shift)]  # what both images cover
        part = part - part.mean()
        variance = float((part * part).sum())
        best = max(best, float((part * part[:, ::-1]).sum()) / variance if variance > 1e-6 else 0.0)
    return best


def find_bite(copy: NDArray[np.float32]) -> Bite:
    """The parabola along which the copy is darker than above and below, between two rows of many upright edges."""
    middle, tilt, bend, places = _parabolas()
    crown, line = cv2.blur(copy, (5, 9)), cv2.blur(copy, (5, 3))
    gap = np.minimum(np.roll(crown, 8, 0), np.roll(crown, -8, 0)) - line
    edges = cv2.blur(np.abs(cv2.Sobel(copy, cv2.CV_32F, 1, 0)), (9, 11))
    edges = np.minimum(np.roll(edges, 9, 0), np.roll(edges, -9, 0)) / (edges.mean() + 1e-6)
    # Clipped: one crown of metal must not draw the line to itself.
    depths = np.clip(gap, -0.2, 0.4).ravel()[places].mean(1)
    best = int(np.argmax(depths + 0.04 * np.clip(edges, 0, 3).ravel()[places].mean(1)))
    return Bite(middle=float(middle[best]), tilt=float(tilt[best]), bend=float(bend[best]), depth=float(depths[best]))


@cache
def _parabolas() -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Middle, tilt and bend (K,) of all lines that are tried, and the pixels of the copy that each visits (K, P)."""
    height, width = _SIZE
    grid = np.meshgrid(
        np.arange(0.28, 0.72, 0.01), np.linspace(-0.08, 0.08, 9), np.arange(-0.36, 0.09, 0.02), indexing="ij"
    )
    middle, tilt, bend = (values.reshape(-1, 1) for values in grid)  # (K, 1)
    columns = np.arange(width // 4, 3 * width // 4 + 1, 3)
    rows = _row(middle, tilt, bend, columns)  # (K, P)
    inside = (rows.min(1) > 12) & (rows.max(1) < height - 12)
    places = np.rint(rows[inside]).astype(np.int64) * width + columns
    return middle[inside, 0], tilt[inside, 0], bend[inside, 0], places


def _row(middle: Any, tilt: Any, bend: Any, columns: NDArray[Any]) -> Any:
    u = ((columns + 0.5) / _SIZE[1] * 2 - 1) / 0.6
    return (middle + tilt * u + bend * u**2) * _SIZE[0]


def tooth_periodicity(copy: NDArray[np.float32], bite: Bite) -> float:
    """Of the variance of the grey along the rows of crowns, the share at a tooth's width; the mean of both rows."""
    length = len(_ARCH)
    period = length / np.maximum(np.arange(length // 2 + 1), 1e-9)
    shares = []
    for offsets in _CROWNS:
        rows = (bite.rows(_ARCH) + offsets[:, None]).astype(np.float32)
        columns = np.broadcast_to(_ARCH, rows.shape).astype(np.float32)
        row = cv2.remap(copy, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).mean(0)
        place = np.linspace(-1, 1, length)
        rest = row - np.polyval(np.polyfit(place, row, 2), place)  # without the arch itself: dark, bright, dark
        power = np.abs(np.fft.rfft(rest * np.hanning(length))) ** 2
        teeth = power[(period >= _TOOTH_WIDTH[0]) & (period <= _TOOTH_WIDTH[1])].sum()
        shares.append(teeth / (power[period <= _LONGEST].sum() + 1e-6))
    return float(np.mean(shares))


def _spectral(power: Floats) -> dict[str, float]:
    known = np.isfinite(power)
    frequencies, power = np.array(ring_frequencies())[known], power[known] + ROUNDING
    fitted = (frequencies > 0.03) & (frequencies < 0.4)
    slope = np.polyfit(np.log(frequencies[fitted]), np.log(power[fitted]), 1)[0]
    whole = power * frequencies  # of a ring: its area grows with its frequency
    share = whole[frequencies > 0.25].sum() / whole.sum()
    return {"spectral_slope": float(slope), "fine_detail": float(10 * np.log10(share))}


def plausibility(synthetic: Measured, train: Measured, test: Measured) -> tuple[dict[str, Columns], dict[str, Any]]:
    """All of MEASUREMENTS by set, and how those of synthetic and of held-out real images stand to the training images.

    The summary gives, for each measurement, the range in which 98 % of real images are expected (`real_p01` to
    `real_p99`, of the training images; with fewer than 99 of these, the widest that they allow), and beside its median
    (`real_median`) for both sets their own (`median`), the share of images out of the range (`outside`; 2 % are
    expected of real images) and the Wasserstein distance to the training images in their standard deviations
    (`distance`; sampling alone gives about 0.8 / √N of N images). `outside_any` is the share of images out of at least
    one range.
    """
    reference = train.histograms.mean(0)
    others = (len(train.histograms) * reference - train.histograms) / max(len(train.histograms) - 1, 1)
    columns = {
        "synthetic": synthetic.columns | {"histogram_distance": _apart(synthetic.histograms, reference)},
        "train": train.columns | {"histogram_distance": _apart(train.histograms, others)},
        "test": test.columns | {"histogram_distance": _apart(test.histograms, reference)},
    }
    columns = {which: {name: found[name] for name in MEASUREMENTS} for which, found in columns.items()}
    ranges = {name: _range(values) for name, values in columns["train"].items()}
    outside = {which: _outside(columns[which], ranges) for which in ("synthetic", "test")}
    summary = {
        "counts": {which: len(found["symmetry"]) for which, found in columns.items()},
        "outside_any": {which: float(np.any(list(found.values()), axis=0).mean()) for which, found in outside.items()},
        "measurements": {
            name: {
                "real_p01": low,
                "real_median": float(np.median(columns["train"][name])),
                "real_p99": high,
                "median": {which: float(np.median(columns[which][name])) for which in outside},
                "outside": {which: float(outside[which][name].mean()) for which in outside},
                "distance": {which: _distance(columns[which][name], columns["train"][name]) for which in outside},
            }
            for name, (low, high) in ranges.items()
        },
    }
    return columns, summary


def _apart(histograms: Floats, reference: Floats) -> NDArray[np.float64]:
    """In one dimension: the area between the distribution functions."""
    return np.abs(np.cumsum(histograms - reference, axis=1, dtype=np.float64)).sum(1)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    # Weibull's places r / (N + 1): another image of the kind falls outside with a chance of 2 %, whatever N ≥ 99.
    low, high = np.quantile(values, (0.01, 0.99), method="weibull")
    return float(low), float(high)


def _outside(columns: Columns, ranges: Mapping[str, tuple[float, float]]) -> dict[str, NDArray[np.bool_]]:
    return {name: (columns[name] < low) | (columns[name] > high) for name, (low, high) in ranges.items()}


def _distance(values: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    return float(wasserstein_distance(values, real) / (real.std() or 1.0))
