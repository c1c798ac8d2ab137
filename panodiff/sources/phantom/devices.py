"""The five machines: how attenuation becomes grey values, and what each burns into its pictures."""

import dataclasses
import datetime

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """A panoramic machine together with the export of the dataset it stands for.

    Attributes:
        name: the source it stands for.
        sizes: native (height, width) pairs and how often each occurs.
        width_mm, height_mm, top_mm: the average view; top_mm is y of the upper edge from the biting edge.
        black, mid: grey values in [0, 1] that the 1st percentile and the median of the attenuation get.
        gamma: exponent of the shoulder between median and white; more than 1 darkens.
        sharpening: weight of the unsharp mask of 2 mm.
        grain: standard deviation of the noise in grey values of [0, 1].
        vignette: loss of grey towards the corners.
        skull_glare: brightness of the skull's base in the upper corners, 1 is the average.
        border: grey value and width, as a fraction of the height, of a frame; None for no frame.
        marks: burned-in text as (text, x, y, height), fractions of width and height, anchored at its middle;
            `{date}` and `{exposure}` are filled in.
        outlined: whether letters are outlines rather than strokes.
        bite_block: strength of the bite block between the front teeth.
    """

    name: str
    sizes: tuple[tuple[int, int, float], ...]
    width_mm: float
    height_mm: float
    top_mm: float
    black: float
    mid: float
    gamma: float
    sharpening: float
    grain: float
    vignette: float
    skull_glare: float
    border: tuple[float, float] | None
    marks: tuple[tuple[str, float, float, float], ...]
    outlined: bool
    bite_block: float


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            name="adld", sizes=((1435, 2940, 0.7), (478, 987, 0.3)), width_mm=284, height_mm=139, top_mm=-71,
            black=0.03, mid=0.44, gamma=1.0, sharpening=0.35, grain=0.012, vignette=0.1, skull_glare=0.9,
            border=None, marks=(("R", 0.03, 0.8, 0.06),), outlined=True, bite_block=0.5,
        ),
        Device(
            name="dentex", sizes=((1316, 2950, 0.7), (976, 1976, 0.3)), width_mm=292, height_mm=132, top_mm=-66,
            black=0.06, mid=0.43, gamma=0.85, sharpening=0.15, grain=0.016, vignette=0.05, skull_glare=0.7,
            border=None, marks=(), outlined=False, bite_block=0.0,
        ),
        Device(
            name="tsxk", sizes=((1024, 2041, 1.0),), width_mm=298, height_mm=151, top_mm=-86,
            black=0.01, mid=0.36, gamma=1.05, sharpening=0.3, grain=0.01, vignette=0.25, skull_glare=1.6,
            border=None,
            marks=(
                ("PanoTouch 3D", 0.055, 0.015, 0.018), ("R", 0.02, 0.84, 0.055), ("L", 0.98, 0.84, 0.055),
                ("{date} - STD PANORAMIC - {exposure}", 0.31, 0.975, 0.018),
            ),
            outlined=False, bite_block=0.8,
        ),
        Device(
            name="tufts", sizes=((840, 1615, 1.0),), width_mm=294, height_mm=154, top_mm=-82,
            black=0.08, mid=0.4, gamma=0.95, sharpening=0.2, grain=0.02, vignette=0.12, skull_glare=1.1,
            border=(0.0, 0.012), marks=(("L", 0.955, 0.12, 0.07),), outlined=False, bite_block=0.2,
        ),
        Device(
            name="uspforp", sizes=((1536, 2903, 1.0),), width_mm=286, height_mm=152, top_mm=-79,
            black=0.04, mid=0.39, gamma=1.2, sharpening=0.45, grain=0.009, vignette=0.3, skull_glare=1.2,
            border=(0.92, 0.008), marks=(("D", 0.05, 0.1, 0.05), ("FORP", 0.93, 0.95, 0.02)),
            outlined=False, bite_block=0.6,
        ),
    )
}  # fmt: skip


def develop(attenuation: np.ndarray, px_per_mm: float, device: Device, rng: np.random.Generator) -> np.ndarray:
    """The 8-bit picture (height, width) that the device makes of an attenuation image of that size."""
    height, width = attenuation.shape
    exposed = expose(attenuation, device, rng)
    if device.sharpening:
        soft = cv2.GaussianBlur(exposed, (0, 0), max(2 * px_per_mm, 0.5))
        exposed += device.sharpening * (exposed - soft)
    exposed += grain(height, width, px_per_mm, rng) * np.float32(device.grain)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    exposed *= 1 - np.float32(device.vignette) * np.clip(0.75 * x**4 + 0.5 * y**6, 0, 1)
    picture = np.clip(exposed * 255 + 0.5, 0, 255).astype(np.uint8)
    burn_in(picture, device, rng)
    return picture


def expose(attenuation: np.ndarray, device: Device, rng: np.random.Generator) -> np.ndarray:
    """Grey values (height, width), float32 near [0, 1]: automatic exposure, then a curve with a soft shoulder."""
    sample = attenuation[::4, ::4]
    low, middle, high = np.percentile(sample, [1.0, 50.0, 99.3])
    black = device.black * rng.uniform(0.5, 1.5)
    mid = device.mid + rng.normal(0, 0.03)
    gamma = device.gamma * rng.uniform(0.88, 1.12)
    white = rng.uniform(0.84, 0.93)
    below = black + (mid - black) * np.clip((attenuation - low) / (middle - low), 0, 1)
    ratio = np.maximum((attenuation - middle) / (high - middle), 0)
    # Linear around the median, then it saturates: 1 at the 99.3rd percentile gives `white`, metal gives 1.
    above = (1 - mid) * (1 - np.exp(-np.log((1 - mid) / (1 - white)) * ratio**gamma))
    return (below + above).astype(np.float32)


def grain(height: int, width: int, px_per_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Film grain (height, width), float32 of about unit variance, with the faint columns that a scan leaves."""
    fine = rng.standard_normal((height, width), np.float32)
    if px_per_mm > 3:
        fine = cv2.GaussianBlur(fine, (0, 0), 0.12 * px_per_mm) * np.float32(0.3 * px_per_mm)
    columns = rng.standard_normal((1, width), np.float32) + rng.standard_normal((1, width), np.float32)
    return fine + 0.3 * cv2.GaussianBlur(columns, (0, 0), max(0.3 * px_per_mm, 0.5))


def burn_in(picture: np.ndarray, device: Device, rng: np.random.Generator) -> None:
    """Writes frame, letters and exposure data into the picture, in place."""
    height, width = picture.shape
    if device.border:
        grey, fraction = device.border
        edge = max(1, round(fraction * height))
        picture[:edge] = picture[-edge:] = picture[:, :edge] = picture[:, -edge:] = round(255 * grey)
    date = datetime.datetime(2012, 1, 3, 8) + datetime.timedelta(minutes=int(rng.integers(0, 4_000_000)))
    exposure = f"{rng.integers(64, 84)}kV {rng.uniform(6, 12):.1f}mA 14.4s - {rng.uniform(9, 14):.2f}uGym2"
    for text, x, y, size in device.marks:
        filled = text.format(date=f"{date:%d/%m/%Y %H:%M}", exposure=exposure)
        write_text(picture, filled, (x * width, y * height), size * height, outlined=device.outlined)


def write_text(
    picture: np.ndarray, text: str, centre: tuple[float, float], letter_height: float, *, outlined: bool
) -> None:
    """Writes white letters with a dark rim, or dark ones with a white rim, around a centre in pixels, in place."""
    scale, thickness = letter_height / 22, max(1, round(letter_height / 14))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    rim = max(1, round(letter_height / 12))
    left = int(np.clip(round(centre[0] - width / 2), rim, max(rim, picture.shape[1] - width - rim)))
    letters = np.zeros_like(picture)
    origin = (left, round(centre[1] + height / 2))
    cv2.putText(letters, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    around = cv2.dilate(letters, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    for mask, grey in ((around, 240 if outlined else 0), (letters, 10 if outlined else 245)):
        blended = picture + (grey - picture.astype(np.float32)) * (mask.astype(np.float32) / 255)
        np.copyto(picture, blended.astype(np.uint8))
