"""The second-order degradation of photographs, on which the published model was trained.

Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833, sections 3 and 4.1, figure 2): blur, resizing, noise and JPEG, twice,
then a sinc filter and JPEG in either order. Images are grey; JPEG is OpenCV's own.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.degradation.kernels import Blurs, draw_kernel, sinc_kernel

Image = NDArray[np.float32]  # (H, W) in [0, 1]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One of the two rounds of damage."""

    blur: float  # chance
    blurs: Blurs
    enlarge: float  # chance
    shrink: float  # chance
    zoom: tuple[float, float]  # smallest and largest
    noise: tuple[float, float]  # standard deviation of Gaussian noise, in greys of 255
    poisson: tuple[float, float]  # factor of Poisson noise


FIRST = Round(
    blur=1.0,
    blurs=Blurs(sinc=0.1, sigma=(0.2, 3.0), generalised=(0.5, 4.0), plateau=(1.0, 2.0)),
    enlarge=0.2,
    shrink=0.7,
    zoom=(0.15, 1.5),
    noise=(1.0, 30.0),
    poisson=(0.05, 3.0),
)
SECOND = Round(
    blur=0.8,
    blurs=Blurs(sinc=0.1, sigma=(0.2, 1.5), generalised=(0.5, 4.0), plateau=(1.0, 2.0)),
    enlarge=0.3,
    shrink=0.4,
    zoom=(0.3, 1.2),
    noise=(1.0, 25.0),
    poisson=(0.05, 2.5),
)
_FINAL_SINC = 0.8  # chance
_JPEG_QUALITY = (30.0, 95.0)
_INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def damage_photograph(high_res: Image, scale: int, rng: np.random.Generator) -> Image:
    """The damaged image (H / scale, W / scale) in [0, 1] of `high_res` (H, W) in [0, 1]."""
    height, width = high_res.shape
    image = _jpeg(_round(high_res, FIRST, (height, width), rng), rng)
    image = _round(image, SECOND, (height // scale, width // scale), rng)
    last = sinc_kernel(int(rng.choice(range(7, 22, 2))), rng.uniform(np.pi / 3, np.pi))
    sinc, jpeg_first = rng.random() < _FINAL_SINC, rng.random() < 0.5
    image = _jpeg(image, rng) if jpeg_first else image
    image = _resize(image, (height // scale, width // scale), rng)
    image = cv2.filter2D(image, -1, last).astype(np.float32) if sinc else image
    return np.clip(image, 0, 1) if jpeg_first else _jpeg(image, rng)


def sharpen(image: Image) -> Image:
    """Unsharp masking where it shows: what the published model is asked for instead of `image` (H, W) in [0, 1].

    Half of the difference to a Gaussian blur of 51 pixels is added, where that difference is above 10 greys of 255.
    """
    missing = image - cv2.GaussianBlur(image, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(missing) * 255 > 10).astype(np.float32), (51, 51), 0)
    sharpened: Image = image + mask * (np.clip(image + 0.5 * missing, 0, 1) - image)
    return sharpened


def _round(image: Image, kind: Round, size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Blur, a zoom of `size`, and noise."""
    kernel = draw_kernel(kind.blurs, rng)
    if rng.random() < kind.blur:
        image = cv2.filter2D(image, -1, kernel).astype(np.float32)
    draw, low, high = rng.random(), *kind.zoom
    zoom = 1.0
    if draw < kind.enlarge:
        zoom = rng.uniform(1, high)
    elif draw < kind.enlarge + kind.shrink:
        zoom = rng.uniform(low, 1)
    image = _resize(image, (max(1, int(size[0] * zoom)), max(1, int(size[1] * zoom))), rng)
    return np.clip(_with_noise(image, kind, rng), 0, 1)


def _with_noise(image: Image, kind: Round, rng: np.random.Generator) -> Image:
    if rng.random() < 0.5:
        deviation = rng.uniform(*kind.noise) / 255
        return image + deviation * rng.standard_normal(image.shape, np.float32)
    grey = np.clip(image * 255, 0, 255).round().astype(np.uint8)
    levels = 2.0 ** np.ceil(np.log2(len(np.unique(grey))))  # photons of white
    exact = grey / 255
    noise = rng.poisson(exact * levels) / levels - exact
    return image + (rng.uniform(*kind.poisson) * noise).astype(np.float32)


def _resize(image: Image, size: tuple[int, int], rng: np.random.Generator) -> Image:
    resized = cv2.resize(image, size[::-1], interpolation=int(rng.choice(_INTERPOLATIONS)))
    return np.clip(resized, 0, 1).astype(np.float32)


def _jpeg(image: Image, rng: np.random.Generator) -> Image:
    grey = np.clip(image * 255, 0, 255).round().astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, round(rng.uniform(*_JPEG_QUALITY))])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None  # it was encoded just now
    return decoded.astype(np.float32) / np.float32(255)
