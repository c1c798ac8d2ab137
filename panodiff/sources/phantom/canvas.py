"""An attenuation image in millimetres: everything on a phantom is painted onto it, additively."""

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
        waves = [a * np.sin(2 * np.pi * (x if i < 2 else y) / w + p) for i, (a, w, p) in enumerate(self.ripple)]
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
        self.attenuation = np.zeros((height, width), np.float32)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in mm as pixel coordinates (N, 2); pixel centres lie at whole numbers."""
        return self.view.to_fraction(points) * self.size - 0.5

    def mask(self, shapes: list[np.ndarray], margin_mm: float) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Coverage of closed shapes (uint8, 0..255) in the window around them, and that window's rows and columns."""
        outlines = [self.to_pixels(shape) for shape in shapes]
        corners = np.concatenate(outlines)
        margin = margin_mm * self.px_per_mm + 2
        low = np.clip(np.floor(corners.min(0) - margin).astype(int), 0, self.size)
        high = np.clip(np.ceil(corners.max(0) + margin).astype(int) + 1, 0, self.size)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        covered = np.zeros(np.maximum(high - low, 0)[::-1], np.uint8)
        if covered.size:
            for outline in outlines:
                fixed = np.round((outline - low) * 2**SUBPIXEL_BITS).astype(np.int32)
                cv2.fillPoly(covered, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        return covered, window

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


def smooth(knots: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """The Catmull-Rom curve through knots (N, 2): (8 N, 2) where closed, else (8 (N - 1) + 1, 2)."""
    knots = np.asarray(knots, float)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    padded = np.concatenate([ends[0], knots, ends[1]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)  # (segments, 4, 2)
    curve = (SPLINE @ windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def ribbon(curve: np.ndarray, width_mm: float) -> np.ndarray:
    """The outline of a band along a curve (N, 2), full width in its middle, a third of it at both ends."""
    tangent = np.gradient(curve, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    taper = np.clip(4 * np.sin(np.linspace(0, np.pi, len(curve))), 0.33, 1)[:, None]
    side = normal * taper * width_mm / 2
    return np.concatenate([curve + side, (curve - side)[::-1]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """An ellipse's outline, (32, 2) in mm."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)
