"""One phantom from its seed: patient, position in the machine, drawing, exposure, and the truth about it."""

import cv2
import numpy as np

from panodiff.randomness import numpy_generator
from panodiff.sources.phantom.anatomy import Patient, Tooth, sample_patient
from panodiff.sources.phantom.canvas import Canvas, View, focus, spongy_texture
from panodiff.sources.phantom.devices import Device, develop
from panodiff.sources.phantom.head import (
    draw_hyoid,
    draw_mandible,
    draw_maxilla,
    draw_soft_tissue,
)
from panodiff.sources.phantom.teeth import draw_sockets, draw_teeth

MIN_WIDTH = 480  # smaller pictures are drawn at a multiple of their size and averaged, or teeth would flicker
SOFT_PX_PER_MM = 1.2


def draw_phantom(seed: int, patient: int, height: int, width: int, device: Device) -> tuple[np.ndarray, dict]:
    """A drawn panoramic radiograph, uint8 (height, width), and the truth about it.

    `patient` numbers the patients of one device; the same number under another device is somebody else.

    Returns:
        The picture, and a dict of plain Python values: `device`, `age`, `midline_x`, `tilt_deg`, `teeth` (FDI number,
        state, centre of the crown `x`, `y`, `crown_width`, `box` and the points `enamel`, `dentin`, `pulp` in pixels;
        `fraction`, the centre in fractions of the picture), `missing` (FDI numbers) and `restorations` (FDI number and
        kind).
    """
    person = sample_patient(numpy_generator(seed, f"{device.name} patient", patient))
    rng = numpy_generator(seed, f"{device.name} exposure", patient)
    view = position(person, device, rng)
    times = max(1, -(-MIN_WIDTH // width))
    canvas = Canvas(view, height * times, width * times)
    draw_head(canvas, person, device, rng)
    if times > 1:
        canvas.attenuation = cv2.resize(canvas.attenuation, (width, height), interpolation=cv2.INTER_AREA)
    picture = develop(canvas.attenuation, width / view.width_mm, device, rng)
    return picture, describe(person, Canvas(view, height, width), device)


def position(patient: Patient, device: Device, rng: np.random.Generator) -> View:
    """How the patient stands in the machine: never quite straight, never quite in the middle."""
    zoom = rng.normal(1, 0.025)
    return View(
        width_mm=device.width_mm * zoom,
        height_mm=device.height_mm * zoom,
        top_mm=device.top_mm * zoom + rng.normal(0, 2.5),
        midline_mm=float(rng.normal(0, 2.5)),
        tilt_deg=float(np.clip(rng.normal(0, 1.2), -3.5, 3.5)),
        smile_mm=patient.smile_mm,
        asymmetry=patient.asymmetry,
        ripple=np.stack([rng.normal(0, 0.8, 4), rng.uniform(50, 140, 4), rng.uniform(0, 2 * np.pi, 4)], axis=1),
    )


def draw_head(canvas: Canvas, patient: Patient, device: Device, rng: np.random.Generator) -> None:
    """Paints the whole head onto the canvas, from what is blurred to what is sharp."""
    view = canvas.view
    height, width = canvas.attenuation.shape
    soft = Canvas(view, round(view.height_mm * SOFT_PX_PER_MM), round(view.width_mm * SOFT_PX_PER_MM))
    draw_soft_tissue(soft, patient, device.skull_glare, rng)
    canvas.attenuation += cv2.resize(soft.attenuation, (width, height), interpolation=cv2.INTER_CUBIC)
    texture = spongy_texture(canvas, rng)
    draw_hyoid(canvas, patient, rng)
    bones = Canvas(view, height, width)
    draw_maxilla(bones, patient, texture, rng)
    draw_mandible(bones, patient, texture, rng)
    canvas.attenuation += bones.attenuation * focus(height, width, rng)
    draw_sockets(canvas, patient)
    draw_teeth(canvas, patient, rng)
    if device.bite_block:
        for x in (-6.0, 0.0, 6.0):
            block = np.array([(x - 3, -1.5), (x + 3, -1.5), (x + 3, 1.5), (x - 3, 1.5)])
            canvas.paint([block], 0.12 * device.bite_block, 0.4)


def describe(patient: Patient, canvas: Canvas, device: Device) -> dict:
    """The truth about a picture of the canvas's size, in plain Python values."""
    midline = canvas.to_pixels(np.array([[0.0, 0.0]]))[0, 0]
    return {
        "device": device.name,
        "age": patient.age,
        "midline_x": round(float(midline), 2),
        "tilt_deg": round(canvas.view.tilt_deg, 3),
        "teeth": [describe_tooth(t, canvas) for t in patient.teeth if t.state not in ("missing", "pontic", "implant")],
        "missing": [t.fdi for t in patient.teeth if t.state in ("missing", "pontic", "implant")],
        "restorations": [
            {"fdi": t.fdi, "kind": t.state} for t in patient.teeth if t.state not in ("sound", "impacted", "missing")
        ],
    }


def describe_tooth(tooth: Tooth, canvas: Canvas) -> dict:
    """The truth about one tooth, in pixels of the canvas."""
    half, crown = tooth.width / 2, tooth.crown
    own = [
        (0.0, 0.5 * crown),  # centre
        (-half, 0.4 * crown), (half, 0.4 * crown),
        (0.86 * half, 0.4 * crown),  # enamel of the back side
        (0.0, 0.25 * tooth.root + crown) if tooth.kind != "molar" else (0.0, crown + 0.12 * tooth.root),
        (0.0, 0.85 * crown),
    ]  # fmt: skip
    points = canvas.to_pixels(tooth.to_mm(np.array(own)))
    centre, front, back = points[:3]
    corners = canvas.to_pixels(
        tooth.to_mm(np.array([(-half, 0), (half, 0), (half, crown + tooth.root), (-half, crown + tooth.root)]))
    )
    fraction = (centre + 0.5) / canvas.size
    return {
        "fdi": tooth.fdi,
        "state": tooth.state,
        "x": round(float(centre[0]), 2),
        "y": round(float(centre[1]), 2),
        "crown_width": round(float(np.linalg.norm(back - front)), 2),
        "box": [round(float(v), 1) for v in (*corners.min(0), *corners.max(0))],
        "fraction": [round(float(v), 5) for v in fraction],
        "enamel": [round(float(v), 2) for v in points[3]],
        "dentin": [round(float(v), 2) for v in points[4]],
        "pulp": [round(float(v), 2) for v in points[5]],
    }
