"""What the encoder's features are good for, against random weights and AlexNet, at both resolutions, on phantoms.

    python benchmarks/encoder.py --weights FOLDER     # prints tables and writes benchmarks/results/encoder.json
    python benchmarks/encoder.py --steps 20 --patients 60                # a minute, to try it

The encoder of the smoke profile is trained on phantoms as the pipeline does; everything is measured on phantoms of
other patients, whose truth is known, at 128×256 and at 32×64.

- found: share of changed copies whose nearest image, by cosine, is their original, of all held-out images.
- teeth, midline: R² of a linear probe (ridge, five folds) of the number of teeth and of the midline's place.
- exposure: how far the features of an image move when its gamma or gain does, over how far two patients lie apart.
- sets: Fréchet distance of held-out patients to others, over that of the same patients as they are, after a change to
  each image. What breaks anatomy should count for more than what hardly shows.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from parts.measuring import machine
from parts.training import train_encoder
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from panodiff import launch
from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.features.backbones import load_backbones
from panodiff.features.encoder import Encoder
from panodiff.files import write_json
from panodiff.images import Grey, area_average, to_unit
from panodiff.params_file import load_params
from panodiff.randomness import numpy_generator, seeded_init
from panodiff.sources.phantom import draw_phantom
from panodiff.sources.phantom.devices import DEVICES
from panodiff.weights import WEIGHTS, fetch

ROOT = Path(__file__).parents[1]
SIZES = {"high": 1, "low": 4}  # by which 128×256 is reduced
HEIGHT, WIDTH = 128, 256
NUM_TRAIN = 192
CPU = torch.device("cpu")

Images = NDArray[np.uint8]  # (N, H, W)
Change = Callable[[Grey, np.random.Generator], Grey]
Look = Callable[[Images], NDArray[np.float64]]  # features (N, D)


def main() -> None:
    """Draw, train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--weights", type=Path, help="a folder with AlexNet's weights; without it they must be installed"
    )
    parser.add_argument("--patients", type=int, default=480, help="held out")
    parser.add_argument("--steps", type=int, help="of the training, other than the smoke profile's")
    options = parser.parse_args()
    drawn = list(launch.spread(draw, range(NUM_TRAIN + options.patients)))
    images = np.stack([image for image, _ in drawn])
    truth = {name: np.array([found[name] for _, found in drawn[NUM_TRAIN:]]) for name in ("teeth", "midline")}
    held_out = images[NUM_TRAIN:]
    result = {
        "machine": machine("cpu"),
        "patients": options.patients,
        "networks": {
            name: {size: measure(network, held_out, factor, truth) for size, factor in SIZES.items()}
            for name, network in networks(images[:NUM_TRAIN], held_out, options.steps, options.weights)
        },
    }
    write_json(ROOT / "benchmarks/results/encoder.json", result)


def draw(number: int) -> tuple[Grey, dict[str, float]]:
    """A phantom, and how many teeth it has and where its midline is, as a fraction of the width."""
    device = list(DEVICES.values())[number % len(DEVICES)]
    image, truth = draw_phantom(7, number, HEIGHT, WIDTH, device)
    return image, {"teeth": len(truth["teeth"]), "midline": truth["midline_x"] / WIDTH}


def networks(
    train: Images, held_out: Images, steps: int | None, weights: Path | None
) -> Iterator[tuple[str, nn.Module]]:
    """What is compared."""
    params = load_params(ROOT / "params.yaml").encoder
    if steps:
        training = params.training.model_copy(update={"num_steps": steps, "warmup_steps": min(20, steps // 2)})
        params = params.model_copy(update={"training": training})
    yield "encoder", train_encoder(params, train, held_out)
    with seeded_init(1, "benchmark"):
        yield "random weights", Encoder(params.widths).eval().requires_grad_(False)
    fetch("alexnet", ROOT / WEIGHTS, weights)
    yield "AlexNet", load_backbones(["alexnet"], Path(), CPU, ROOT / WEIGHTS)["alexnet"]


def measure(network: nn.Module, images: Images, factor: int, truth: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """All of it at one resolution, printed."""
    look: Look = partial(features_of, network, factor)
    plain = look(images)
    found = {
        "found": {name: share_found(look, plain, images, change) for name, change in COPIES.items()},
        **{name: probe(plain, values) for name, values in truth.items()},
        "exposure": exposure(look, plain, images),
        "sets": set_distances(look, images),
    }
    print(f"{WIDTH // factor} wide:", found, flush=True)
    return found


@torch.inference_mode()
def features_of(network: nn.Module, factor: int, images: Images) -> NDArray[np.float64]:
    """Features (N, D) of images (N, 128, 256) reduced by the factor."""
    small = np.stack([area_average(image, factor) for image in images]) if factor > 1 else images
    return torch.cat([network(to_unit(part)) for part in np.array_split(small, -(-len(small) // 64))]).double().numpy()


def shifted(image: Grey, rng: np.random.Generator) -> Grey:
    return moved(image, shift=0.03 * rng.uniform(-1, 1, 2) * WIDTH)


def turned(image: Grey, rng: np.random.Generator) -> Grey:
    return moved(image, turn_deg=rng.uniform(-3, 3), zoom=rng.uniform(0.95, 1.05))


def exposed(image: Grey, rng: np.random.Generator) -> Grey:
    unit = (image / 255) ** rng.uniform(0.7, 1.4) * rng.uniform(0.85, 1.15)
    return (255 * unit).clip(0, 255).astype(np.uint8)


def noisy(image: Grey, rng: np.random.Generator) -> Grey:
    return (image + rng.normal(0, 10, image.shape)).clip(0, 255).astype(np.uint8)


def changed_at_once(image: Grey, rng: np.random.Generator) -> Grey:
    return noisy(exposed(turned(shifted(image, rng), rng), rng), rng)


COPIES: dict[str, Change] = {
    "shifted": shifted,
    "turned": turned,
    "exposed": exposed,
    "noisy": noisy,
    "all": changed_at_once,
}


def moved(image: Grey, *, shift: Any = (0, 0), turn_deg: float = 0, zoom: float = 1) -> Grey:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn_deg, zoom)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def share_found(look: Look, plain: NDArray[np.float64], images: Images, change: Change) -> float:
    copies = np.stack([change(image, numpy_generator(1, "copies", number)) for number, image in enumerate(images)])
    unit, asked = (found / np.linalg.norm(found, axis=1, keepdims=True) for found in (plain, look(copies)))
    return float(((asked @ unit.T).argmax(1) == np.arange(len(images))).mean())


def probe(features: NDArray[np.float64], values: NDArray[Any]) -> float:
    """R² of what ridge regression says of the patients that it was not fitted to."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return float(
        r2_score(values, cross_val_predict(model, features, values, cv=KFold(5, shuffle=True, random_state=0)))
    )


def exposure(look: Look, plain: NDArray[np.float64], images: Images) -> float:
    changed = np.stack([exposed(image, numpy_generator(1, "exposure", n)) for n, image in enumerate(images)])
    own = np.linalg.norm(look(changed) - plain, axis=1)
    others = np.linalg.norm(plain - np.roll(plain, len(DEVICES), axis=0), axis=1)  # another patient, the same device
    return float(np.median(own) / np.median(others))


def set_distances(look: Look, images: Images) -> dict[str, float]:
    """Of changed patients to others, over that of the same patients as they are."""
    half = len(images) // 2
    real, rest = look(images[:half]), images[half:]
    floor = frechet_distance(look(rest), real)
    return {name: frechet_distance(look(change(rest)), real) / floor for name, change in SETS.items()}


def each(change: Change, images: Images) -> Images:
    return np.stack([change(image, numpy_generator(2, "sets", number)) for number, image in enumerate(images)])


def faint_noise(image: Grey, rng: np.random.Generator) -> Grey:
    return (image + rng.normal(0, 2 * WIDTH / 64, image.shape)).clip(0, 255).astype(np.uint8)


def two_patients(images: Images) -> Images:
    """Left halves with the right halves of the next patient of that device."""
    others = np.roll(images, len(DEVICES), axis=0)
    return np.concatenate([images[:, :, : WIDTH // 2], others[:, :, WIDTH // 2 :]], axis=2)


def broken_jaw(images: Images) -> Images:
    """The right half lower by a tenth of the height."""
    found = images.copy()
    found[:, :, WIDTH // 2 :] = np.roll(images[:, :, WIDTH // 2 :], HEIGHT // 10, axis=1)
    return found


def no_teeth(images: Images) -> Images:
    """A wide blur where the teeth are."""
    found = images.copy()
    for image in found:
        blurred = cv2.GaussianBlur(image, (0, 0), 10)
        image[32:96, 48:208] = blurred[32:96, 48:208]
    return found


def upside_down(images: Images) -> Images:
    return np.ascontiguousarray(images[:, ::-1])


SETS: dict[str, Callable[[Images], Images]] = {
    "faint noise": partial(each, faint_noise),
    "exposure": partial(each, exposed),
    "two patients": two_patients,
    "broken jaw": broken_jaw,
    "no teeth": no_teeth,
    "upside down": upside_down,
}


if __name__ == "__main__":
    main()
