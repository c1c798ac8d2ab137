"""Who the patient is: age, jaw, teeth and what dentists did to them, all drawn from one generator."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

# Magnified by a panoramic machine, in mm, from the central incisor (1) to the wisdom tooth (8).
WIDTHS = {"upper": (11.6, 9.0, 10.2, 9.6, 9.2, 13.4, 12.7, 11.4), "lower": (7.4, 8.1, 9.4, 9.7, 10.0, 14.8, 14.0, 13.0)}
CROWNS = {
    "upper": (13.8, 12.4, 13.2, 11.6, 11.0, 10.8, 10.4, 9.6),
    "lower": (11.4, 11.8, 13.4, 11.8, 11.2, 10.8, 10.4, 10.0),
}
ROOTS = {
    "upper": (17.5, 17.0, 22.0, 18.0, 18.0, 17.0, 16.0, 13.0),
    "lower": (17.0, 18.5, 22.0, 20.0, 20.0, 19.0, 17.5, 15),
}
LEANS_DEG = {"upper": (2, 4, 6, 4, 3, 0, -4, -8), "lower": (-1, 1, 3, 6, 9, 12, 16, 22)}  # apex to the back: positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tooth:
    """One place in the dental arch, in mm on the patient's canvas.

    Attributes:
        fdi: two-digit number; quadrants 1 and 4 are the patient's right, the picture's left.
        x, y: middle of the biting edge.
        lean_rad: how far the root points to the back of the mouth.
        width, crown, root: mesio-distal width, height of the crown, length of the root.
        state: sound, filled, crowned, root-filled, pontic (bridge over a gap), implant, impacted or missing.
        wear: height that chewing took off the crown.
        bend: sideways drift of the root's tip.
    """

    fdi: int
    x: float
    y: float
    lean_rad: float
    width: float
    crown: float
    root: float
    state: str
    wear: float
    bend: float

    @property
    def place(self) -> int:
        """1 for the central incisor … 8 for the wisdom tooth."""
        return self.fdi % 10

    @property
    def side(self) -> int:
        """-1 on the picture's left, +1 on its right."""
        return -1 if self.fdi // 10 in (1, 4) else 1

    @property
    def down(self) -> int:
        """Where the root points: -1 (up) in the upper jaw, +1 in the lower."""
        return -1 if self.fdi < 30 else 1

    @property
    def kind(self) -> str:
        """The class of tooth: incisor, canine, premolar or molar."""
        return ("incisor", "incisor", "canine", "premolar", "premolar", "molar", "molar", "molar")[self.place - 1]

    def to_mm(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the tooth's own axes (towards the back, towards the root) in the patient's mm."""
        c, s = math.cos(self.lean_rad), math.sin(self.lean_rad)
        back = np.array([self.side * c, -self.down * s])
        rootwards = np.array([self.side * s, self.down * c])
        return np.array([self.x, self.y]) + np.outer(points[:, 0], back) + np.outer(points[:, 1], rootwards)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patient:
    """Everything that a drawing of one patient depends on besides the device.

    Attributes:
        age: years.
        jaw_width, jaw_depth, face_height: proportions, 1 is the average.
        density: of the bone, 1 is the average.
        bone_loss: retreat of the bone from the crowns, mm.
        gap: distance between the two rows, mm.
        ghost, spine, airway, mouth_air: strength of what lies outside the focal layer, 1 is the average.
        sinus: (2, 3) per side: shift of the floor in mm, width and darkness relative to the average.
        braces: whether brackets and a wire sit on the teeth.
        teeth: 32 places, missing ones too.
    """

    age: int
    jaw_width: float
    jaw_depth: float
    face_height: float
    smile_mm: float
    asymmetry: float
    density: float
    bone_loss: float
    gap: float
    ghost: float
    spine: float
    airway: float
    mouth_air: float
    sinus: np.ndarray
    braces: bool
    teeth: tuple[Tooth, ...]

    def bone(self, knots: Sequence[tuple[float, float]], side: int = 1) -> np.ndarray:
        """Knots (N, 2) of the average right side of the picture in this patient's proportions, on the given side."""
        points = np.array(knots, float)
        points[:, 0] *= side * self.jaw_width
        points[:, 1] *= np.where(points[:, 1] > 0, self.jaw_depth, self.face_height)
        return points


def sample_patient(rng: np.random.Generator) -> Patient:
    """One patient; the same generator state gives the same patient."""
    age = int(np.clip(rng.gamma(5.5, 7.5), 13, 84))
    jaw_width = float(np.clip(rng.normal(1, 0.035), 0.92, 1.08))
    bone_loss = float(np.clip(rng.gamma(2.0, 0.5) + max(age - 35, 0) * 0.06, 0.3, 5.5))
    gap = float(np.clip(rng.normal(4, 2), 0.6, 9))
    return Patient(
        age=age,
        jaw_width=jaw_width,
        jaw_depth=float(np.clip(rng.normal(1, 0.07), 0.84, 1.16)),
        face_height=float(np.clip(rng.normal(1, 0.06), 0.88, 1.12)),
        smile_mm=float(np.clip(rng.normal(7, 7), -5, 24)),
        asymmetry=float(np.clip(rng.normal(0, 0.025), -0.06, 0.06)),
        density=float(np.clip(rng.normal(1.08 - 0.003 * max(age - 40, 0), 0.1), 0.75, 1.3)),
        bone_loss=bone_loss,
        gap=gap,
        ghost=float(rng.uniform(0.1, 1.3)),
        spine=float(rng.uniform(0.3, 1.6)),
        airway=float(rng.uniform(0.4, 1.5)),
        mouth_air=float(rng.uniform(0.2, 1.6)),
        sinus=np.stack([rng.normal(0, 4, 2), rng.uniform(0.8, 1.15, 2), rng.uniform(0.5, 1.3, 2)], axis=1),
        braces=bool(age < 24 and rng.random() < 0.2),
        teeth=sample_teeth(rng, age, jaw_width, gap),
    )


def sample_teeth(rng: np.random.Generator, age: int, jaw_width: float, gap: float) -> tuple[Tooth, ...]:
    """The 32 places of both rows, from the midline outwards in each quadrant."""
    worn = float(np.clip(rng.normal((age - 25) * 0.03, 0.4), 0, 2.2))
    crowding = rng.normal(0, 0.02) + 0.5 * (jaw_width - 1)
    # The upper row, the lower one or both are gone in some of the old.
    toothless = {jaw: bool(age > 55 and rng.random() < 0.1) for jaw in ("upper", "lower")}
    care = float(rng.beta(1.2, 2.5))  # how much of this patient's mouth a dentist has repaired
    size = 1.05 + 0.6 * (jaw_width - 1) + rng.normal(0, 0.03)
    teeth: list[Tooth] = []
    for quadrant in (1, 2, 3, 4):
        jaw = "upper" if quadrant < 3 else "lower"
        states = sample_states(rng, age, jaw, care, toothless=toothless[jaw])
        edge = rng.normal(0, 0.3)
        for place, state in enumerate(states, start=1):
            width = WIDTHS[jaw][place - 1] * size * float(np.clip(rng.normal(1, 0.035), 0.9, 1.1))
            x = edge + width / 2
            edge += width * (0.975 + crowding) - (0.25 * width if state == "missing" and rng.random() < 0.4 else 0)
            teeth.append(place_tooth(rng, quadrant * 10 + place, x=x, width=width, state=state, worn=worn, gap=gap))
    return tuple(teeth)


def place_tooth(
    rng: np.random.Generator, fdi: int, *, x: float, width: float, state: str, worn: float, gap: float
) -> Tooth:
    """One tooth with its biting edge `x` mm from the midline, a little out of line as real ones are."""
    upper, place = fdi < 30, fdi % 10
    jaw = "upper" if upper else "lower"
    lean = math.radians(LEANS_DEG[jaw][place - 1] + rng.normal(0, 2.2))
    y = (-1 if upper else 1) * (gap / 2 + rng.normal(0, 0.45) + (0.4 if place == 2 else 0))
    root = ROOTS[jaw][place - 1] * float(np.clip(rng.normal(1, 0.07), 0.8, 1.2))
    if state == "impacted":
        y += (-1 if upper else 1) * rng.uniform(5, 11)
        x -= 0.15 * width if upper else -0.1 * width
        lean += math.radians(rng.normal(-10, 12) if upper else rng.uniform(10, 75))
        root *= rng.uniform(0.4, 0.9)
    side = -1 if fdi // 10 in (1, 4) else 1
    return Tooth(
        fdi=fdi,
        x=side * x,
        y=float(y),
        lean_rad=float(lean),
        width=width,
        crown=CROWNS[jaw][place - 1] * float(rng.normal(1, 0.03)),
        root=float(root),
        state=state,
        wear=worn * float(rng.uniform(0.5, 1.2)),
        bend=float(rng.normal(0.8, 1.0)),
    )


def sample_states(rng: np.random.Generator, age: int, jaw: str, care: float, *, toothless: bool) -> list[str]:
    """The state of the eight teeth of a quadrant."""
    if toothless:
        return ["implant" if place in (2, 4, 6) and care > 0.55 else "missing" for place in range(1, 9)]
    decay = 0.02 + 0.35 * max(age - 20, 0) / 60
    states = []
    for place in range(1, 9):
        posterior = 1.0 if place >= 6 else 0.6 if place >= 4 else 0.25 if jaw == "upper" else 0.1
        if place == 8:
            states.append(str(rng.choice(["sound", "impacted", "missing"], p=wisdom_odds(age, jaw))))
        elif rng.random() < decay * posterior * 0.8:
            states.append("implant" if rng.random() < 0.3 * care else "missing")
        elif rng.random() < care * posterior * min(1.0, age / 40):
            states.append(str(rng.choice(["filled", "crowned", "root-filled"], p=[0.66, 0.18, 0.16])))
        else:
            states.append("sound")
    # A bridge spans a single gap between two teeth, which carry crowns then.
    for i in range(2, 6):
        if states[i] == "missing" and "missing" not in (states[i - 1], states[i + 1]) and rng.random() < 0.35 * care:
            states[i - 1 : i + 2] = ["crowned", "pontic", "crowned"]
    return states


def wisdom_odds(age: int, jaw: str) -> list[float]:
    """Chances that a wisdom tooth is sound, impacted or missing."""
    if age < 18:
        return [0.05, 0.75, 0.2]
    kept = max(0.15, 0.75 - 0.011 * (age - 18))
    impacted = kept * (0.45 if jaw == "lower" else 0.3) * (1.0 if age < 45 else 0.4)
    return [kept - impacted, impacted, 1 - kept]
