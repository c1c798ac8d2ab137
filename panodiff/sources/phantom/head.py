"""The head around the teeth: soft tissue, air, ghost shadows, mandible and upper jaw, in attenuation."""

import cv2
import numpy as np

from panodiff.sources.phantom.anatomy import Patient
from panodiff.sources.phantom.canvas import Canvas, ellipse, smooth

# Average right side of the picture, in mm: from the chin's middle round the angle and the condyle to the front of
# the ramus. The outline closes along the crest of the bone between the teeth.
LOWER_BORDER = [(0, 62), (20, 61.8), (40, 59), (60, 54), (80, 46.5), (97, 39.5), (107, 37)]
ANGLE = [(116, 34), (123, 25), (127, 10), (128.5, -8), (129.5, -24), (131, -38)]
CONDYLE = [(133, -47), (136.5, -55), (136, -61), (131, -64.5), (125, -63.5), (121.5, -58.5), (121, -52)]
NOTCH = [(118, -44), (112, -37), (105, -36), (98, -42), (93, -51), (89, -54)]
RAMUS_FRONT = [(86, -49), (86, -36), (90, -20), (91, -6), (88, 6)]
CANAL = [(111, -14), (106, 2), (97, 20), (83, 33), (64, 40), (47, 40), (38, 35)]


def draw_soft_tissue(canvas: Canvas, patient: Patient, glare: float, rng: np.random.Generator) -> None:
    """Paints what has no sharp edge: the face, the spine's and the other side's ghosts, the air in mouth and throat.

    `glare` is the strength of the bright base of the skull in the upper corners.
    """
    field = [(-260, -260), (260, -260), (260, 300), (-260, 300)]
    canvas.paint([np.array(field, float)], 0.12, 0)
    face = patient.bone([(0, 72), (40, 69), (75, 57), (104, 46), (132, 34), (190, 22), (190, -140), (0, -140)])
    for side in (-1, 1):
        outline = face * (side, 1)
        canvas.paint([outline], 0.36, 4)
        draw_ghosts(canvas, patient, side, rng)
        draw_skull_base(canvas, patient, side, glare, rng)
        draw_air(canvas, patient, side, rng)
    draw_spine(canvas, patient, rng)
    draw_smears(canvas, rng)
    # Clouds: muscle and fat are never even.
    height, width = canvas.attenuation.shape
    for cells, strength in ((6, 0.05), (14, 0.03)):
        clouds = rng.standard_normal((cells, 2 * cells)).astype(np.float32)
        canvas.attenuation += strength * cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)


def draw_ghosts(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    """Paints the blurred shadow that the other side's ramus throws: a dome over the ramus with a level lower edge."""
    floor = 34 + rng.normal(0, 4)
    strength = 0.15 * patient.ghost * rng.uniform(0.8, 1.2)
    dome = [
        (48, floor),
        (95, floor + 1),
        (146, floor - 1),
        (150, -2),
        (139, -24),
        (118, -38),
        (92, -38),
        (70, -22),
        (55, 4),
    ]
    canvas.paint([patient.bone(dome, side)], strength, 1.6)
    canvas.paint([patient.bone(dome, side) * (1, 0.8)], 0.6 * strength, 7)
    canvas.paint([ellipse((side * 149, -4 + rng.normal(0, 4)), 11, 24)], 0.12, 1.5)  # ear lobe
    canvas.paint([np.array([(138, -150), (200, -150), (200, 150), (150, 150), (143, 20)]) * (side, 1)], -0.2, 5)
    canvas.paint([ellipse((side * 78, 8), 30, 34)], 0.1, 9)  # cheek and tongue's edge


def draw_skull_base(canvas: Canvas, patient: Patient, side: int, glare: float, rng: np.random.Generator) -> None:
    """Paints the temporal bone with the joint's socket, and the zygomatic arch that comes forward from it."""
    socket = [(160, -38), (150, -52), (144, -66), (134, -71), (124, -69), (114, -62), (104, -67), (92, -76), (70, -84)]
    roof = patient.bone([*socket, (60, -150), (200, -150), (200, -45)], side)
    canvas.paint([roof], 0.2 * glare, 1.8)
    canvas.paint([patient.bone([(120, -76), (200, -58), (200, -150), (95, -150)], side)], 0.34 * glare, 8)
    canvas.line(patient.bone(socket[2:], side), 2.2, 0.12 * glare, 0.8)
    orbit = [(28, -84), (40, -78), (56, -77), (72, -82), (82, -92)]
    canvas.line(patient.bone(orbit, side) + (0, rng.normal(0, 3)), 2.0, rng.uniform(0.05, 0.16), 0.8)
    for _ in range(24):  # air cells and ridges of the bone
        x, y = rng.uniform(96, 160), rng.uniform(-96, -62)
        cell = ellipse((side * x, y), rng.uniform(1, 7), rng.uniform(0.8, 2.5))
        canvas.paint([cell], rng.uniform(-0.1, 0.09) * glare, rng.uniform(0.8, 2))


def draw_air(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    """Takes away what the air in throat, nose, sinuses and between the lips lets through."""
    throat = [(96, -66), (110, -52), (117, -24), (112, 12), (100, 34), (91, 20), (98, -10), (90, -40)]
    canvas.paint([patient.bone(throat, side)], -0.1 * patient.airway, 4)
    shift, wide, dark = patient.sinus[(side + 1) // 2]
    sinus = sinus_outline(patient, side)
    canvas.paint([sinus], -0.13 * dark, 2.5)
    nose = [(3, -46), (16, -46), (25, -54), (25, -70), (17, -90), (5, -98), (3, -70)]
    canvas.paint([patient.bone(nose, side)], -0.24, 1.6)
    for y, radius in ((-55, 7), (-72, 6)):  # the conchae, and their smear outwards
        centre = (side * (15 + rng.normal(0, 1.5)), y + rng.normal(0, 3))
        canvas.paint([ellipse(centre, radius + rng.normal(0, 1), rng.uniform(3.5, 7))], rng.uniform(0.06, 0.16), 2)
        canvas.paint(
            [ellipse((centre[0] + side * 20, centre[1] - 2), 26, rng.uniform(3, 7))], rng.uniform(0, 0.09), 2.5
        )
    over_tongue = [(0, -37), (40, -37), (74, -33), (86, -26), (70, -26), (40, -24 - shift / 2), (0, -22)]
    canvas.paint([patient.bone(over_tongue, side)], -0.13 * patient.mouth_air, 3)
    lips = [(0, -26), (16 * wide, -24), (26, -8), (26, 10), (14, 18), (0, 18)]
    canvas.paint([patient.bone(lips, side)], -0.1 * patient.mouth_air, 2.5)
    slit = 0.5 * patient.gap + 1.2
    for reach, value in ((44, -0.1), (76, -0.07)):
        between = [(0, -slit), (0.7 * reach, -slit), (reach, 0), (0.7 * reach, slit), (0, slit)]
        canvas.paint([np.array(between) * (side, 1)], value, 1.6)


def draw_spine(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paints the neck's vertebrae, smeared into a bright column in the middle, and the head clamps' faint lines."""
    half = rng.uniform(17, 27)
    edge = rng.uniform(1.0, 4.5)
    for scale, top, value in ((1.0, 18, 0.15), (0.8, -4, 0.08), (0.5, -60, 0.07), (0.25, -150, 0.06)):
        x = half * scale
        band = np.array([(-x, top), (x, top), (x * 1.1, 130), (-x * 1.1, 130)], float)
        canvas.paint([band], value * patient.spine, edge + (5 if top > 0 else 0))
    for side in (-1, 1):
        dark = np.array([(half + 2, 0), (half + 13, 0), (half + 15, 130), (half + 3, 130)], float) * (side, 1)
        canvas.paint([dark], -0.06 * patient.spine, 3)
    for x in rng.uniform(-0.9, 0.9, 7) * half:  # stripes
        width = rng.uniform(0.8, 3)
        stripe = np.array([(x, -30), (x + width, -30), (x + width, 130), (x, 130)], float)
        canvas.paint([stripe], rng.normal(0, 0.05) * patient.spine, 0.8)


def draw_smears(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paints the level streaks of what lies far from the focal layer: the other side's palate, orbits, skull."""
    for _ in range(16):
        centre = rng.uniform(-110, 110), rng.uniform(-105, -34)
        streak = ellipse(centre, rng.uniform(15, 60), rng.uniform(1, 5))
        streak[:, 1] += rng.normal(0, 0.05) * (streak[:, 0] - centre[0])
        canvas.paint([streak], rng.normal(0, 0.05), 1.4)
    for _ in range(7):  # walls of orbits, sinuses and the skull's base, seen edge on
        x, y, side = rng.uniform(20, 100), rng.uniform(-95, -60), rng.choice((-1, 1))
        knots = np.array([(x, y)]) + np.cumsum(rng.normal((2, 4), (9, 7), (4, 2)), axis=0)
        canvas.line(knots * (side, 1), rng.uniform(1, 2.5), rng.uniform(0.03, 0.1), 0.7)


def sinus_outline(patient: Patient, side: int) -> np.ndarray:
    """The maxillary sinus, a closed curve (N, 2) in mm; its floor dips between the roots of the molars."""
    shift, wide, _ = patient.sinus[(side + 1) // 2]
    knots = [
        (28, -62),
        (31, -48),
        (38, -38),
        (52, -33),
        (64, -32),
        (75, -35),
        (81, -46),
        (82, -64),
        (74, -82),
        (40, -82),
    ]
    outline = patient.bone(knots, side)
    outline[1:7, 1] += shift
    outline[:, 0] = side * 56 + (outline[:, 0] - side * 56) * wide
    return smooth(outline, closed=True)


def crest(patient: Patient, down: int, lowered: float = 0.0) -> np.ndarray:
    """The bone's edge between the teeth of one jaw, `lowered` mm, knots (N, 2) in mm from left to right."""
    knots = []
    for tooth in patient.teeth:
        if tooth.down == down:
            gone = 5.0 if tooth.state in ("missing", "pontic") else 0.0
            depth = tooth.crown + lowered + patient.bone_loss + gone
            knots.append((tooth.x, down * (patient.gap / 2 + depth)))
    knots.sort()
    ends = [(-86, down * 10.0), (86, down * 10.0)]
    inner = [knot for knot in knots if abs(knot[0]) < 82]
    return np.array([ends[0], *inner, ends[1]])


def mandible_outline(patient: Patient, lowered: float) -> np.ndarray:
    """The lower jaw as one closed curve (N, 2) in mm, its edge between the teeth `lowered` mm."""
    right = patient.bone([*LOWER_BORDER, *ANGLE, *CONDYLE, *NOTCH, *RAMUS_FRONT])
    left = patient.bone([*LOWER_BORDER, *ANGLE, *CONDYLE, *NOTCH, *RAMUS_FRONT][1:], -1)
    return smooth(np.concatenate([right, crest(patient, 1, lowered)[::-1], left[::-1]]), closed=True)


def draw_mandible(canvas: Canvas, patient: Patient, texture: np.ndarray, rng: np.random.Generator) -> None:
    """Paints the lower jaw: spongy inside with `texture` (height, width), bright rims, the nerve's canal."""
    density = patient.density
    for lowered, blur_mm in ((0.0, 0.7), (4.5, 1.5)):  # thin at the edge between the teeth
        covered, window = canvas.mask([mandible_outline(patient, lowered)], 5)
        inside = canvas.blur(covered.astype(np.float32) / 255, blur_mm)
        canvas.attenuation[window] += inside * (0.06 * density + 0.010 * texture[window])
    for side in (-1, 1):
        alveolar = [(0, 58), (20, 52), (40, 40), (72, 32), (92, 22), (90, 6), (74, 12), (30, 14), (0, 14)]
        canvas.paint([patient.bone(alveolar, side)], 0.08 * density, 4)
        fossa = [(30, 48), (52, 42), (80, 34), (98, 24), (100, 34), (82, 43), (58, 51), (36, 55)]
        canvas.paint([patient.bone(fossa, side)], -0.07 * rng.uniform(0.3, 1.4), 3)
        canvas.line(patient.bone([*ANGLE[1:], *CONDYLE[:2]], side) - (side * 0.8, 0), 2.0, 0.07 * density, 0.6)
        canvas.line(patient.bone(CONDYLE, side), 1.8, 0.09 * density, 0.6)
        canvas.paint([ellipse(patient.bone([(129, -58)], side)[0], 6, 5)], 0.08 * density, 2)
        canvas.line(patient.bone([CONDYLE[-1], *NOTCH[:4]], side), 1.5, 0.05 * density, 0.6)
        canvas.line(patient.bone([*RAMUS_FRONT, (80, 18), (70, 26)], side), 1.8, 0.07 * density, 0.6)
        draw_canal(canvas, patient, side, rng)
    rim = [*LOWER_BORDER, *ANGLE[:2]]
    border = np.concatenate([patient.bone(rim[:0:-1], -1), patient.bone(rim)]) - (0, 1.6)
    canvas.line(border, 5.0, 0.11 * density, 0.9)
    canvas.line(border + (0, 0.5), 2.4, 0.09 * density, 0.5)
    chin = ellipse((0, 52 * patient.jaw_depth), 18, 8)
    canvas.paint([chin], 0.1 * density, 4)
    canvas.line(crest(patient, 1), 1.2, 0.03 * density, 0.6)


def draw_canal(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    """Paints the nerve's canal, dark between two fine walls, and the hole where it leaves the bone."""
    canal = patient.bone(CANAL, side) + (0, rng.normal(0, 1.2))
    strength = patient.density * rng.uniform(0.3, 1.2)
    canvas.line(canal, 3.4, -0.035 * strength, 0.7)
    for offset in (-2.2, 2.2):
        canvas.line(canal + (side * offset * 0.5, offset), 0.9, 0.04 * strength, 0.4)
    canvas.paint([ellipse(canal[-1] - (side * 2, 0), 2.4, 1.9)], -0.08 * strength, 0.6)


def draw_maxilla(canvas: Canvas, patient: Patient, texture: np.ndarray, rng: np.random.Generator) -> None:
    """Paints the upper jaw: bone around the roots, palate, walls of the sinuses and of the nose, cheekbones."""
    density = patient.density
    edge = crest(patient, -1)
    roof = patient.bone([(84, -36), (60, -44), (30, -47)])
    for lowered, blur_mm in ((0.0, 0.8), (4.5, 1.8)):
        outline = np.concatenate([crest(patient, -1, lowered), roof, (roof * (-1, 1))[::-1]])
        covered, window = canvas.mask([smooth(outline, closed=True)], 6)
        inside = canvas.blur(covered.astype(np.float32) / 255, blur_mm)
        canvas.attenuation[window] += inside * (0.06 * density + 0.008 * texture[window])
    canvas.line(edge, 1.2, 0.02 * density, 0.6)
    for side in (-1, 1):
        floor = sinus_outline(patient, side)
        canvas.line(floor[::8][[9, 0, 1, 2, 3, 4, 5, 6, 7]], 1.1, 0.11 * density, 0.45)
        canvas.line(floor[::8][1:7] + (0, 1.2), 3.0, 0.05 * density, 0.8)
        draw_cheekbone(canvas, patient, side, rng)
        nose = patient.bone([(2, -44), (14, -45), (24, -50), (27, -60), (25, -74), (19, -92)], side)
        canvas.line(nose, 1.7, rng.uniform(0.04, 0.13), 0.8)
    draw_palate(canvas, patient, rng)


def draw_cheekbone(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    """Paints the cheekbone: a J-shaped wall over the molars and the arch that runs back to the ear."""
    sway = rng.normal(0, 2)
    root = [(84 + sway, -104), (87 + sway, -80), (86 + sway, -60), (80, -46), (71, -40), (64, -43), (60, -52)]
    canvas.line(patient.bone(root, side), 1.8, rng.uniform(0.1, 0.2), 0.6)
    wall = [(66 + sway, -105), (72 + sway, -84), (73, -62), (68, -48), (62, -40)]
    canvas.line(patient.bone(wall, side), 1.5, rng.uniform(0.03, 0.16), 0.6)
    pad = [(74, -44), (84, -42), (94, -50), (104, -60), (96, -66), (84, -62), (76, -54)]
    canvas.paint([smooth(patient.bone(pad, side), closed=True)], 0.13, 1.8)
    arch = [(84, -50), (100, -58), (118, -68), (138, -73), (156, -72)]
    canvas.line(patient.bone(arch, side) + (0, rng.normal(0, 1.5)), 5.5, 0.11, 0.9)
    tuber = [(76, -20), (83, -22), (88, -32), (86, -42), (76, -42)]
    canvas.paint([smooth(patient.bone(tuber, side), closed=True)], 0.06, 1.2)


def draw_palate(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paints the hard palate's double line with its ghost, the septum and the bone's point below it."""
    arch = rng.normal(0, 2.5)
    split = rng.uniform(2, 7)
    for offset, width, value in (
        (0.0, 2.6, 0.16),
        (0.4, 1.2, 0.06),
        (-split, 2.4, 0.12),
        (-split / 2, split + 6, 0.12),
    ):
        right = [(0, -46 + offset), (28, -45 + offset), (56, -43 + offset + arch / 2), (80, -40 + 0.7 * offset + arch)]
        right.append((97, -34 + 0.3 * offset + arch))
        knots = np.concatenate([patient.bone(right[1:], -1)[::-1], patient.bone(right)])
        knots[:, 1] += rng.normal(0, 0.5, len(knots))
        canvas.line(knots, width, value, 0.6 if width < 3 else 1.8)
    lean = rng.normal(0, 2)
    canvas.line(
        patient.bone([(0, -44), (0.3 * lean, -60), (lean, -78), (lean, -100)]), 3.2, rng.uniform(0.08, 0.18), 1.2
    )
    canvas.line(patient.bone([(0, -48), (0, -36), (0, -26)]), 2.4, 0.1, 0.6)
    canvas.paint([ellipse((0, -43 * patient.face_height), 7, 4)], 0.13, 1.6)


def draw_hyoid(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paints the hyoid bone, thrown to both sides below the jaw."""
    height = 56 + rng.normal(0, 5)
    for side in (-1, 1):
        x = 100 + rng.normal(0, 7)
        strength = rng.uniform(0.02, 0.09)
        horn = np.array(
            [(x + 30, height + 3), (x + 12, height), (x, height - 3), (x - 8, height + 1), (x - 10, height + 8)]
        )
        canvas.line(horn * (side, 1), 4.5, strength, 1.0)
        canvas.line(horn[1:] * (side, 1) + (0, -1), 1.4, strength, 0.5)
