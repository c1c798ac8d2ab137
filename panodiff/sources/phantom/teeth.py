"""Teeth in attenuation: enamel cap, dentin, pulp, the gap and the bright socket around roots, and dentists' work."""

import cv2
import numpy as np

from panodiff.sources.phantom.anatomy import Patient, Tooth
from panodiff.sources.phantom.canvas import Canvas, smooth

METAL = 1.6
# Biting edges and back sides of the crowns, as (sideways in half widths, depth in crown heights), front to back.
CROWN_OUTLINES = {
    "incisor": [(-0.90, 0.05), (0.0, -0.01), (0.90, 0.05), (0.99, 0.26), (0.94, 0.5), (0.80, 0.85), (0.70, 1.08)],
    "canine": [(-0.66, 0.17), (-0.04, -0.02), (0.62, 0.2), (0.98, 0.4), (0.92, 0.62), (0.80, 0.88), (0.72, 1.08)],
    "premolar": [
        (-0.72, 0.12), (-0.30, 0.0), (0.05, 0.06), (0.4, 0.03), (0.8, 0.15), (0.98, 0.4), (0.90, 0.72), (0.76, 1.08),
    ],
    "molar": [
        (-0.90, 0.2), (-0.60, 0.0), (-0.28, 0.12), (-0.02, 0.04), (0.26, 0.15), (0.60, 0.03), (0.90, 0.22),
        (0.99, 0.42), (0.92, 0.74), (0.84, 1.08),
    ],
}  # fmt: skip


def crown_outline(tooth: Tooth) -> np.ndarray:
    """The whole crown, knots (N, 2) in the tooth's own mm; chewing has flattened what stood above `wear`."""
    half = np.array(CROWN_OUTLINES[tooth.kind])
    front = half[(half[:, 0] > 0) & (half[:, 1] > 0.25)][::-1] * (-1, 1)
    outline = np.concatenate([front, half]) * (tooth.width / 2, tooth.crown)
    outline[:, 1] = np.where(outline[:, 1] < tooth.wear, tooth.wear - 0.3 * (tooth.wear - outline[:, 1]), outline[:, 1])
    return smooth(outline, closed=True)


def roots(tooth: Tooth) -> list[tuple[float, float, float, float]]:
    """Roots as (start sideways, tip sideways, half width, length), in the tooth's own mm."""
    w, r, bend = tooth.width, tooth.root, tooth.bend
    if tooth.kind != "molar":
        return [(0.0, bend, (0.4 if tooth.kind == "premolar" else 0.36) * w, r)]
    spread = (0.31, 0.26, 0.16)[tooth.place - 6] * w
    pair = [(-0.22 * w, -spread + bend, 0.2 * w, r), (0.22 * w, spread + bend, 0.19 * w, 0.94 * r)]
    return pair if tooth.down > 0 else [*pair, (0.0, 0.4 * bend, 0.2 * w, 1.08 * r)]


def root_outline(tooth: Tooth, root: tuple[float, float, float, float], scale: float = 1.0) -> np.ndarray:
    """A root from just inside the crown to its rounded tip, (N, 2) in the tooth's own mm, its width times `scale`."""
    start, tip, half, length = root
    depth = np.array([0.0, 0.25, 0.5, 0.75, 0.92, 1.0])
    widths = half * scale * np.array([1.0, 0.95, 0.85, 0.67, 0.44, 0.1])
    middle = start + (tip - start) * depth**1.6
    y = 0.92 * tooth.crown + depth * length * (1 if scale == 1 else 0.97)
    sides = np.concatenate([np.stack([middle - widths, y], 1), np.stack([middle + widths, y], 1)[::-1]])
    return smooth(sides, closed=True)


def trunk_outline(tooth: Tooth) -> np.ndarray:
    """The undivided part of a molar's root, down to where the roots part, (N, 2) in the tooth's own mm."""
    w, top, fork = tooth.width, 0.9 * tooth.crown, 0.24 * tooth.root
    knots = [
        (-0.41, 0),
        (-0.40, 0.6),
        (-0.36, 1.25),
        (-0.1, 1.1),
        (0, 0.9),
        (0.1, 1.1),
        (0.36, 1.25),
        (0.40, 0.6),
        (0.41, 0),
    ]
    return smooth(np.array(knots) * (w, fork) + (0, top), closed=True)


def dentin_outline(tooth: Tooth) -> np.ndarray:
    """What the enamel covers, (N, 2) in the tooth's own mm: narrower than the crown, and meeting it at the neck."""
    outline = crown_outline(tooth)
    depth = outline[:, 1] / tooth.crown
    rim = np.interp(depth, [0.0, 0.5, 1.0], [1.9, 1.35, 0.0])
    sideways = np.sign(outline[:, 0]) * np.maximum(np.abs(outline[:, 0]) - rim, 0)
    cap = 1.9 if tooth.kind == "molar" else 2.2
    return np.stack([sideways, np.maximum(outline[:, 1], tooth.wear * 0.6 + cap + 0.35 * (outline[:, 1]))], axis=1)


def pulp_outlines(tooth: Tooth, age: int) -> list[np.ndarray]:
    """Pulp chamber and canals, closed curves in the tooth's own mm; they narrow with age."""
    young = float(np.clip(1.35 - 0.011 * age, 0.5, 1.25))
    w, c = tooth.width, tooth.crown
    canals = [root_outline(tooth, root, scale=0.2 * young) for root in roots(tooth)]
    if tooth.kind == "molar":
        horns = [(-0.24, 0.56), (-0.17, 0.66), (0, 0.7), (0.17, 0.66), (0.24, 0.56), (0.25, 0.9), (0.2, 1.1), (0, 0.98),
                 (-0.2, 1.1), (-0.25, 0.9)]  # fmt: skip
        knots = np.array(horns) * (w * (0.75 + 0.25 * young), c)
    else:
        horns = [(-0.05, 0.52), (0.05, 0.52), (0.13, 0.95), (0.1, 1.3), (-0.1, 1.3), (-0.13, 0.95)]
        knots = np.array(horns) * (w * young, c)
    return [smooth(knots, closed=True), *canals]


def draw_sockets(canvas: Canvas, patient: Patient) -> None:
    """Paints, before the teeth, the dark gap around every root and the bright wall of its socket."""
    for tooth in patient.teeth:
        if tooth.state in ("missing", "pontic", "implant"):
            continue
        shapes = [tooth.to_mm(root_outline(tooth, root)) for root in roots(tooth)[:2]]
        if tooth.state == "impacted":
            shapes.append(tooth.to_mm(crown_outline(tooth)))
        covered, window = canvas.mask(shapes, 4)
        if not covered.size:
            continue
        outside = cv2.distanceTransform(255 - covered, cv2.DIST_L2, 3) / canvas.px_per_mm
        reach = 1.8 if tooth.state == "impacted" else 1.0
        gap = np.exp(-(((outside - 0.3 * reach) / (0.45 * reach)) ** 2))
        wall = np.exp(-(((outside - 1.35 * reach) / 0.45) ** 2))
        # Away from the bone, at the neck, there is neither.
        above = tooth.crown + 1.5 + patient.bone_loss if tooth.state != "impacted" else -9.0
        neck = 1 / (1 + np.exp(above / 0.6 - depth_in(canvas, tooth, window) * np.float32(tooth.crown / 0.6)))
        canvas.attenuation[window] += (0.028 * wall - 0.03 * gap) * neck * patient.density


def depth_in(canvas: Canvas, tooth: Tooth, window: tuple[slice, slice]) -> np.ndarray:
    """How far each pixel of a window lies along the tooth, (rows, columns) float32: 0 biting edge, 1 neck."""
    start, end = canvas.to_pixels(tooth.to_mm(np.array([[0.0, 0.0], [0.0, tooth.crown]])))
    axis = (end - start) / max(float(np.sum((end - start) ** 2)), 1e-6)
    columns = np.arange(window[1].start, window[1].stop) - start[0]
    rows = np.arange(window[0].start, window[0].stop)[:, None] - start[1]
    return (columns * axis[0] + rows * axis[1]).astype(np.float32)


def draw_teeth(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paints all teeth, then the fillings, crowns, root fillings, implants and brackets."""
    for tooth in patient.teeth:
        if tooth.state == "implant":
            draw_implant(canvas, tooth)
        elif tooth.state == "pontic":
            canvas.paint([tooth.to_mm(crown_outline(tooth))], METAL * 0.8, 0.2)
        elif tooth.state != "missing":
            draw_tooth(canvas, tooth, patient, rng)
    if patient.braces:
        draw_braces(canvas, patient)


def draw_tooth(canvas: Canvas, tooth: Tooth, patient: Patient, rng: np.random.Generator) -> None:
    """Paints one tooth: rounded dentin, a palate-side root, the enamel cap, the pulp, and what was repaired."""
    crown = tooth.to_mm(crown_outline(tooth))
    legs = [tooth.to_mm(root_outline(tooth, root)) for root in roots(tooth)]
    body = [crown, *legs[:2]] + ([tooth.to_mm(trunk_outline(tooth))] if tooth.kind == "molar" else [])
    covered, window = canvas.mask(body, 3)
    if not covered.size:
        return
    shape = covered.astype(np.float32) / 255
    # A round body is thickest in its middle.
    rounded = shape * (0.25 + 0.75 * canvas.blur(shape, 1.6))
    depth = depth_in(canvas, tooth, window)
    fade = np.float32(1) - np.float32(0.35) * np.clip((depth - 1) * np.float32(tooth.crown / tooth.root), 0, 1)
    attenuation = 0.27 * canvas.blur(rounded, 0.2) * fade
    enamel = canvas.cover([crown], window)
    dentin = canvas.blur(canvas.cover([tooth.to_mm(dentin_outline(tooth))], window), 0.8)
    attenuation += canvas.blur(enamel * (0.08 + 0.14 * (1 - dentin)), 0.3) * np.clip(1.25 - depth, 0.1, 1)
    canvas.attenuation[window] += attenuation
    for leg in legs[2:]:
        canvas.paint([leg], 0.08, 0.6)
    draw_inside(canvas, tooth, patient, rng)


def draw_inside(canvas: Canvas, tooth: Tooth, patient: Patient, rng: np.random.Generator) -> None:
    """Paints the pulp, or what a dentist put in its place, and fillings and crowns."""
    pulp = [tooth.to_mm(outline) for outline in pulp_outlines(tooth, patient.age)]
    if tooth.state == "root-filled":
        canals = [tooth.to_mm(root_outline(tooth, root, scale=0.16)) for root in roots(tooth)[:2]]
        canvas.paint(canals, 0.6, 0.2)
        canvas.paint(pulp[:1], 0.55, 0.25)
    else:
        canvas.paint(pulp[:1], -0.08, 0.5)
        canvas.paint(pulp[1:3], -0.08, 0.4)
    if tooth.state == "crowned" or (tooth.state == "root-filled" and rng.random() < 0.6):
        shell = crown_outline(tooth) * (1.02, 0.98)
        canvas.paint([tooth.to_mm(shell)], METAL * rng.uniform(0.45, 1.0), 0.2)
    elif tooth.state in ("filled", "root-filled"):
        canvas.paint([tooth.to_mm(filling_outline(tooth, rng))], METAL * rng.uniform(0.35, 1.0), 0.2)


def filling_outline(tooth: Tooth, rng: np.random.Generator) -> np.ndarray:
    """A ragged filling from the biting surface, or from one side of the crown, (N, 2) in the tooth's own mm."""
    w, c = tooth.width, tooth.crown
    half = w * rng.uniform(0.18, 0.36)
    depth = c * rng.uniform(0.25, 0.5)
    shift = rng.uniform(-0.15, 0.15) * w
    top = tooth.wear + 0.08 * c
    knots = np.array([
        (-half, top), (0, top + 0.06 * c), (half, top), (half, top + 0.6 * depth), (0.5 * half, top + depth),
        (0, top + 0.7 * depth), (-0.5 * half, top + depth), (-half, top + 0.5 * depth),
    ])  # fmt: skip
    knots += rng.normal(0, 0.05 * w, knots.shape)
    return smooth(knots + (shift, 0), closed=True)


def draw_implant(canvas: Canvas, tooth: Tooth) -> None:
    """Paints a screw with its threads, and the crown it carries."""
    top, length, half = 0.95 * tooth.crown, 0.85 * tooth.root, min(2.6, 0.28 * tooth.width)
    turns = np.arange(0, length, 0.75)
    radius = half * np.where(np.arange(len(turns)) % 2, 1.0, 0.78) * (1 - 0.35 * (turns / length) ** 2)
    sides = np.concatenate([np.stack([-radius, turns], 1), np.stack([radius, turns], 1)[::-1]])
    canvas.paint([tooth.to_mm(sides + (0, top))], 0.75, 0.15)
    canvas.paint([tooth.to_mm(crown_outline(tooth))], METAL * 0.7, 0.2)
    post = np.array([(-0.5 * half, 0.6 * top), (0.5 * half, 0.6 * top), (0.5 * half, top), (-0.5 * half, top)])
    canvas.paint([tooth.to_mm(post)], 0.6, 0.2)


def draw_braces(canvas: Canvas, patient: Patient) -> None:
    """Paints a bracket on each standing tooth and the wire through them."""
    for down in (-1, 1):
        row = sorted(
            (t for t in patient.teeth if t.down == down and t.state != "missing" and t.place < 7), key=lambda t: t.x
        )
        row = [tooth for tooth in row if tooth.state != "impacted"]
        if len(row) < 2:
            continue
        centres = np.concatenate([tooth.to_mm(np.array([[0.0, 0.5 * tooth.crown]])) for tooth in row])
        canvas.line(centres, 0.7, 1.0, 0.15)
        for x, y in centres:
            bracket = np.array([(-1.5, -1.7), (1.5, -1.7), (1.5, 1.7), (-1.5, 1.7)]) + (x, y)
            canvas.paint([bracket], 1.0, 0.25)
