"""An attenuation image in millimetres, onto which a phantom is painted additively, and the textures that it takes."""

import dataclasses

import cv2
import numpy as np

SUBPIXEL_BITS = 5  # cv2.fillPoly takes fixed-point coordinates
STEPS = np.linspace(0, 1, 8, endpoint=False)
# Catmull-Rom basis: 8 points on each segment, from the four knots around it.
SPLINE = 0.5 * np.stack(
    [
        -STEPS + 2 * STEPS**2 - STEPS**3,
        2 - 5 * STEPS**2 + 3 * STEPS**3,
        STEPS + 4 * STEPS**2 - 3 * STEPS**3,
        -(STEPS**2) + STEPS**3,
    ],
    axis=1,
)  # (8, 4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """Where a patient's millimetres fall on the picture.

    x runs from the midline to the picture's right, y downwards from the biting edge of the front teeth.

    Attributes:
        width_mm, height_mm: what the picture shows.
        top_mm: y of the picture's top edge (negative).
        midline_mm: shift of the patient's midline.
        tilt_deg: rotation of the head in the picture, clockwise.
        smile_mm: how far the back teeth rise above the front ones (negative: the row bends down).
        asymmetry: relative widening of the picture's right half and narrowing of the left one.
        ripple: (4, 3) amplitude in mm, wavelength in mm and phase of four slow waves that bend the whole head.
    """

    width_mm: float
    height_mm: float
    top_mm: float
    midline_mm: float
    tilt_deg: float
    smile_mm: float
    asymmetry: float
    ripple: np.ndarray

    def to_fraction(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in mm as fractions of the picture's width and height, (N, 2) float64."""
        x, y = points[:, 0], points[:, 1]
        amplitude, wavelength, phase = self.ripple.T[:, :, None]
        along = np.stack([x, x, y, y])
        waves = amplitude * np.sin(2 * np.pi / wavelength * along + phase)  # (4, N)
        bend = self.smile_mm * (np.sqrt(1 + (x / 55) ** 2) - 1)
        y = y - bend + waves[0] + waves[1]
        x = x * (1 + self.asymmetry * np.tanh(x / 40)) + waves[2] + waves[3] * np.tanh(x / 20)
        c, s = np.cos(np.deg2rad(self.tilt_deg)), np.sin(np.deg2rad(self.tilt_deg))
        x, y = c * x - s * y + self.midline_mm, s * x + c * y
        return np.stack([x / self.width_mm + 0.5, (y - self.top_mm) / self.height_mm], axis=1)


class Canvas:
    """An attenuation picture (height, width), float32, that shapes in millimetres are painted onto."""

    def __init__(self, view: View, height: int, width: int):
        self.view = view
        self.size = np.array([width, height])
        self.px_per_mm = float(np.sqrt((width / view.width_mm) * (height / view.height_mm)))
        self.attenuation: np.ndarray = np.zeros((height, width), np.float32)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in mm as pixel coordinates (N, 2); pixel centres lie at whole numbers."""
        return self.view.to_fraction(points) * self.size - 0.5

    def mask(self, shapes: list[np.ndarray], margin_mm: float) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Coverage of closed shapes (uint8, 0..255) in the window around them, and that window's rows and columns."""
        outlines = self.outlines(shapes)
        corners = np.concatenate(outlines)
        margin = margin_mm * self.px_per_mm + 2
        low = np.clip(np.floor(corners.min(0) - margin).astype(int), 0, self.size)
        high = np.clip(np.ceil(corners.max(0) + margin).astype(int) + 1, 0, self.size)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        covered = np.zeros(np.maximum(high - low, 0)[::-1], np.uint8)
        if covered.size:
            fill(covered, outlines, low)
        return covered, window

    def cover(self, shapes: list[np.ndarray], window: tuple[slice, slice]) -> np.ndarray:
        """Coverage of closed shapes in a given window, float32 in [0, 1]."""
        covered = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
        fill(covered, self.outlines(shapes), np.array([window[1].start, window[0].start]))
        return covered.astype(np.float32) / 255

    def outlines(self, shapes: list[np.ndarray]) -> list[np.ndarray]:
        """Each shape (N, 2) in mm as pixel coordinates."""
        return np.split(self.to_pixels(np.concatenate(shapes)), np.cumsum([len(shape) for shape in shapes])[:-1])

    def paint(self, shapes: list[np.ndarray], value: float, blur_mm: float = 0.3) -> None:
        """Adds `value` inside closed shapes, each (N, 2) in mm; the edge is as soft as `blur_mm`."""
        covered, window = self.mask(shapes, 3 * blur_mm)
        if covered.size:
            layer = self.blur(covered.astype(np.float32), blur_mm)
            self.attenuation[window] += layer * np.float32(value / 255)

    def line(self, knots: np.ndarray, width_mm: float, value: float, blur_mm: float = 0.3) -> None:
        """Adds `value` along a smooth line of knots (N, 2) in mm that thins out at both ends."""
        self.paint([ribbon(smooth(knots), width_mm)], value, blur_mm)

    def blur(self, image: np.ndarray, sigma_mm: float) -> np.ndarray:
        """The image after a Gaussian blur of `sigma_mm`; less than a quarter of a pixel leaves it alone."""
        sigma = sigma_mm * self.px_per_mm
        return image if sigma < 0.25 else cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def fill(covered: np.ndarray, outlines: list[np.ndarray], corner: np.ndarray) -> None:
    """Sets what closed outlines cover to 255 in a uint8 picture whose first pixel is the canvas's (x, y) `corner`."""
    for outline in outlines:
        fixed = np.round((outline - corner) * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(covered, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)


def smooth(knots: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """The Catmull-Rom curve through knots (N, 2): (8 N, 2) where closed, else (8 (N - 1) + 1, 2)."""
    knots = np.asarray(knots, float)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    padded = np.concatenate([ends[0], knots, ends[1]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)  # (segments, 4, 2)
    curve = (SPLINE @ windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def ribbon(curve: np.ndarray, width_mm: float) -> np.ndarray:
    """The outline of a band along a curve (N, 2), full width in its middle, a tenth of it at both ends."""
    tangent = np.gradient(curve, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    taper = np.clip(2.5 * np.sin(np.linspace(0, np.pi, len(curve))), 0.1, 1)[:, None]
    side = normal * taper * width_mm / 2
    return np.concatenate([curve + side, (curve - side)[::-1]])


def ellipse(centre: np.ndarray | tuple[float, float], radius_x: float, radius_y: float) -> np.ndarray:
    """An ellipse's outline, (32, 2) in mm."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([centre[0] + radius_x * np.cos(angle), centre[1] + radius_y * np.sin(angle)], axis=1)


def focus(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """How well each place is in focus, (height, width) float32 in [0.4, 1.5]: nobody fits the focal layer."""
    coarse = cv2.resize(rng.standard_normal((6, 12)).astype(np.float32), (96, 48), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(np.clip(1 + 0.3 * coarse, 0.4, 1.5), (width, height), interpolation=cv2.INTER_LINEAR)


def spongy_texture(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """The fine net of bone trabeculae on the whole canvas (height, width), float32, mean 0 and deviation 1."""
    height, width = canvas.attenuation.shape
    view = canvas.view
    grid = (round(view.height_mm * 3), round(view.width_mm * 3))  # 3 cells a mm: the same net at every size
    noise = rng.standard_normal(grid, np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * np.float32(sigma) for sigma in (0.9, 1.5, 2.6, 5.0)]
    net = 3 * (layers[1] - 0.6 * layers[2])
    threads = np.exp(-22 * net**2) + layers[0] + layers[3]  # bright where the net passes through zero
    patches = cv2.resize(rng.standard_normal((8, 16)).astype(np.float32), grid[::-1], interpolation=cv2.INTER_CUBIC)
    mixed = threads * (1 + 0.2 * patches) + 0.4 * patches
    mixed = (mixed - mixed.mean()) / mixed.std()
    method = cv2.INTER_AREA if width < grid[1] else cv2.INTER_CUBIC
    return cv2.resize(mixed, (width, height), interpolation=method)
