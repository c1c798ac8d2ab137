"""Quality for equal training time, and quality against sampling steps, of diffusion recipes on drawn radiographs.

    python benchmarks/diffusion_quality.py --minutes 3 --seeds 1 2 3

Every recipe trains the same network on the same phantoms of 32×64 pixels for the same wall-clock time, and draws as
many images. The Fréchet distance to phantoms of other patients is taken in an encoder that has learnt, as the
pipeline's does, on these phantoms at this size; one that has learnt on images four times as large only took grain of
32×64 for a radiograph.

The published recipe: ε-prediction, betas clipped to 0.02, a rate that swings between 1e-4 and 0 (its horizon is a
thousandth of the training), DDIM of 250 steps with η = 1. Its exponential average starts with a warm-up here, as ours
does: over so few steps it would hold the first, random weights otherwise.
"""

import argparse
import json
import math
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts.training import Rate, train_encoder, train_for, warmed_cosine
from torch import nn

from panodiff import launch
from panodiff.diffusion.denoising import Denoising
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import make_scheduler
from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.files import write_json
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import from_signed, tile, to_unit, write_grey
from panodiff.params import DiffusionParams, SampleParams
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.params_file import load_params, merge
from panodiff.sources.phantom import draw_phantom
from panodiff.sources.phantom.devices import DEVICES

ROOT = Path(__file__).parents[1]
TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")
NUM_TRAIN, NUM_HELD_OUT, NUM_REFERENCE = 240, 32, 480
SCALE = 0.25  # of the native sizes
SWING_STEPS = 50  # of the published rate, from 1e-4 to 0
STEPS = (10, 20, 25, 50, 100, 250, 1000)
PUBLISHED_DIFFUSION = {
    "schedule": {"kind": "cosine", "num_train_timesteps": 1000, "beta_max": 0.02, "zero_terminal_snr": False},
    "prediction": "epsilon",
    "loss": "l1",
}
PUBLISHED_SAMPLER = {"sampler": "ddim", "num_inference_steps": 250, "eta": 1.0, "clamping": "static"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained, how its rate runs with the share of the time that has passed, and how it draws."""

    params: DiffusionParams
    rate: Rate
    sample: SampleParams


def main() -> None:
    """Draw, train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each recipe and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="of the samplers' table; DDPM takes 1000")
    parser.add_argument("--images", type=int, default=128, help="drawn by each trained model")
    parser.add_argument("--pictures", type=Path, help="a folder for sheets of the drawn images")
    parser.add_argument("--variants", action="store_true", help="train ours with one thing changed, too")
    options = parser.parse_args()
    print("drawing phantoms", flush=True)
    radiographs = np.stack(list(launch.spread(draw_low, range(NUM_TRAIN + NUM_HELD_OUT + NUM_REFERENCE))))
    train, held_out, reference = np.split(radiographs, [NUM_TRAIN, NUM_TRAIN + NUM_HELD_OUT])
    encoder = train_encoder(load_params(ROOT / "params.yaml").encoder, train, held_out)
    distance = partial(distance_to, encoder=encoder, reference=reference)
    rows: dict[str, list[dict[str, float]]] = {}
    table: dict[str, dict[str, float]] = {}
    trained: list[nn.Module] = []
    for seed in options.seeds:
        for name, recipe in (recipes() | (variants() if options.variants else {})).items():
            with tempfile.TemporaryDirectory() as previews:
                objective = Denoising(recipe.params, train, held_out, seed, Path(previews))
            training = recipe.params.training
            network, steps = train_for(
                60 * options.minutes, objective, training, num_images=len(train), seed=seed, rate=recipe.rate
            )
            started = time.perf_counter()
            images = draw(network, recipe, recipe.sample, options.images, seed)
            seconds = time.perf_counter() - started
            row = {"fd": distance(images), "steps": steps, "sampling_s_an_image": seconds / options.images}
            rows.setdefault(name, []).append(row)
            print(f"seed {seed}  {name:<20}{json.dumps(row)}", flush=True)
            if options.pictures:
                write_grey(options.pictures / f"{name}-{seed}.png", tile(images[:24], 6))
            if name == "ours":
                trained.append(network)
    network, recipe = trained[0], recipes()["ours"]
    for label, steps, sample in samplers(recipe.sample, options.steps):
        images = draw(network, recipe, sample, options.images, options.seeds[0])
        table.setdefault(label, {})[str(steps)] = distance(images)
        print(f"{label:<16}{steps:>5} steps: {table[label][str(steps)]:.3f}", flush=True)
    floor = distance(train[: options.images])
    means = {name: float(np.mean([row["fd"] for row in found])) for name, found in rows.items()}
    results = {
        "recipes": rows,
        "mean_fd": means,
        "ours_by_published": means["ours"] / means["published"],
        "real_phantoms_in_their_place": floor,
        "samplers": table,
        "minutes": options.minutes,
        "images": options.images,
        "machine": f"{platform.machine()}, {launch.device()}, {torch.get_num_threads()} threads",
    }
    print(
        json.dumps({name: results[name] for name in ("mean_fd", "ours_by_published", "real_phantoms_in_their_place")})
    )
    write_json(ROOT / "benchmarks" / "results" / "diffusion_quality.json", results)


def recipes() -> dict[str, Recipe]:
    """The published recipe and ours, on the network of the smoke profile."""
    params = load_params(ROOT / "params.yaml")
    ours, training = params.diffusion, params.diffusion.training
    published = DiffusionParams.model_validate(ours.model_dump() | PUBLISHED_DIFFUSION)
    return {
        "published": Recipe(
            params=published,
            rate=lambda step, _: 1e-4 * 0.5 * (1 + math.cos(math.pi * step / SWING_STEPS)),
            sample=params.sample.model_copy(update=PUBLISHED_SAMPLER),
        ),
        "ours": Recipe(params=ours, rate=partial(warmed_cosine, training=training), sample=params.sample),
    }


def variants() -> dict[str, Recipe]:
    """Ours with one thing changed."""
    ours = recipes()["ours"]
    training = ours.params.training
    changes: dict[str, dict[str, Any]] = {
        "ε instead of v": {"prediction": "epsilon", "schedule": {"zero_terminal_snr": False}},
        "signal left at T": {"schedule": {"zero_terminal_snr": False}},
        "linear betas": {"schedule": {"kind": "linear"}},
        "L2": {"loss": "l2"},
        "no patches": {"network": {"patch_size": 1}},
        "patches of 4×4": {
            "network": {"patch_size": 4, "widths": (96, 128, 128, 128), "attention": (False, True, True)}
        },
        "half the batch": {"training": {"batch_size": training.batch_size // 2}},
        "twice the batch": {"training": {"batch_size": training.batch_size * 2}},
        "half the rate": {"training": {"learning_rate": training.learning_rate / 2}},
        "twice the rate": {"training": {"learning_rate": training.learning_rate * 2}},
    }
    found = {}
    for name, change in changes.items():
        params = DiffusionParams.model_validate(merge(ours.params.model_dump(), change))
        found[name] = replace(ours, params=params, rate=partial(warmed_cosine, training=params.training))
    return found


def draw_low(patient: int) -> np.ndarray:
    device = DEVICES[sorted(DEVICES)[patient % len(DEVICES)]]
    height, width, _ = device.sizes[0]
    image, _ = draw_phantom(5, patient, round(height * SCALE), round(width * SCALE), device)
    return harmonize_image(image, SourceParams(), TARGET).low


def draw(network: nn.Module, recipe: Recipe, sample: SampleParams, count: int, seed: int) -> np.ndarray:
    """Images drawn by this sampler, uint8 (N, H, W)."""
    scheduler = make_scheduler(recipe.params.schedule, recipe.params.prediction, sample.sampler, sample.clamping)
    drawn = [
        from_signed(
            draw_images(
                network,
                scheduler,
                image_generators(seed, "quality", list(range(start, min(start + 32, count)))),
                TARGET.low_size,
                num_inference_steps=sample.num_inference_steps,
                eta=sample.eta,
            )
        )
        for start in range(0, count, 32)
    ]
    return np.concatenate(drawn)


def samplers(sample: SampleParams, counts: Sequence[int]) -> Iterator[tuple[str, int, SampleParams]]:
    """Each sampler at each number of steps; DDPM with all timesteps, as it is defined, and no other with so many."""
    for name, eta in (("ddim", 0.0), ("ddim", 1.0), ("dpm_solver++", 0.0), ("unipc", 0.0), ("ddpm", 0.0)):
        for steps in counts:
            if (name == "ddpm") == (steps == STEPS[-1]):
                label = f"{name} η={eta:g}" if name == "ddim" else name
                update = {"sampler": name, "num_inference_steps": steps, "eta": eta}
                yield label, steps, sample.model_copy(update=update)


def distance_to(images: np.ndarray, *, encoder: nn.Module, reference: np.ndarray) -> float:
    """The Fréchet distance of uint8 images (N, H, W) to the reference set."""
    return frechet_distance(features_of(images, encoder), features_of(reference, encoder))


def features_of(images: np.ndarray, encoder: nn.Module) -> np.ndarray:
    with torch.inference_mode():
        parts = [encoder(to_unit(images[start : start + 64])) for start in range(0, len(images), 64)]
    return torch.cat(parts).double().numpy()


if __name__ == "__main__":
    main()
