"""Super-resolution of real radiographs that it never saw: ours against bicubic and the published degradation.

    panodiff weights fetch alexnet
    python benchmarks/superres_quality.py FOLDER --minutes 15      # FOLDER: radiographs in subfolders, one a source

Every radiograph comes to 256×512 and 64×128 as the pipeline brings it there; three of ten are held out (one image is
one patient here). Two small networks are trained for the same wall-clock time: ours, and one that differs in the
published degradation (photographs' damage) only. Both restore held-out radiographs from their area averages, as they
stood after the L1 phase and at the end.

The Fréchet distance asks what super-resolution alone costs a synthetic set: one half of the held-out radiographs,
restored, against the other half as it is, beside the first half as it is; the mean of some divisions. Its features are
those of an encoder trained on the training images, and the means of AlexNet's last convolution.
"""

import argparse
import json
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from parts.measuring import machine
from parts.training import train_encoder, train_for, warmed_cosine
from torch import Tensor, nn

from panodiff import launch
from panodiff.evaluation.superres.ceiling import restored_distances
from panodiff.evaluation.superres.restoration import mean_interval
from panodiff.features.perceptual import PhotographFeatures, load_lpips
from panodiff.files import write_json
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import area_average, from_unit, tile, to_unit, write_grey
from panodiff.params import SuperresParams
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.params_file import load_params, merge
from panodiff.randomness import derived_seed
from panodiff.superres.losses import encoder_loss
from panodiff.superres.metrics import as_published, measure
from panodiff.superres.model import bicubic
from panodiff.superres.restoring import Restoring

ROOT = Path(__file__).parents[1]
TARGET = HarmonizeParams(high_size=(256, 512), low_size=(64, 128), aspect="keep")
HELD_OUT = 0.3
Images = NDArray[np.uint8]  # (N, H, W)
Restore = Callable[[Tensor], Tensor]  # (B, 1, h, w) → (B, 1, H, W)


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0, help="training time of each network")
    parser.add_argument("--pictures", type=Path, help="a folder for crops: low, bicubic, each network, real")
    options = parser.parse_args()
    train, held_out = divided(options.folder)
    params = load_params(ROOT / "params.yaml")
    encoder = train_encoder(params.encoder, train, held_out)
    restorers: dict[str, Restore] = {"bicubic": partial(bicubic, scale=TARGET.scale)}
    steps = {}
    for kind in ("area", "real_esrgan"):
        recipe = SuperresParams.model_validate(
            merge(params.superres.model_dump(), {"degradation": {"kind": kind}, "crop_size": 128})
        )
        objective = Restoring(
            recipe,
            scale=TARGET.scale,
            perceptual=encoder_loss(encoder),
            lpips=None,
            images=train,
            held_out=held_out,
            seed=0,
            scratch=Path(),
        )
        networks, steps[kind] = trained(objective, recipe, 60 * options.minutes, len(train))
        restorers |= {f"{kind}, {phase}": network for phase, network in networks.items()}
    lpips = load_lpips("alexnet", launch.device())
    assert lpips is not None
    restored = {name: all_restored(restore, held_out) for name, restore in restorers.items()}
    results = {
        "held_out": {name: measured(name, images, held_out, lpips) for name, images in restored.items()},
        "frechet_distance": {
            features: distances(extract, restored, held_out)
            for features, extract in (("encoder", encoder), ("alexnet", PhotographFeatures(lpips)))
        },
        "steps": steps,
        "minutes": options.minutes,
        "images": {"train": len(train), "held out": len(held_out)},
        "machine": machine(launch.device().type),
        "torch": torch.__version__,
    }
    print(json.dumps(results, indent=1))
    write_json(ROOT / "benchmarks" / "results" / "superres_quality.json", results)
    if options.pictures:
        show(options.pictures, restored, held_out)


def divided(folder: Path) -> tuple[Images, Images]:
    """The radiographs under `folder` at high resolution: to train with, and held out."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    images = [image.high for image in launch.spread(harmonized, paths)]
    held_out = [derived_seed(0, path.name) / 2**63 < HELD_OUT for path in paths]
    train, rest = (
        np.stack([image for image, out in zip(images, held_out, strict=True) if out == wanted])
        for wanted in (False, True)
    )
    print(f"{len(train)} radiographs to train with, {len(rest)} held out", flush=True)
    return train, rest


def harmonized(path: Path) -> Any:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    return harmonize_image(image.astype(np.uint8), SourceParams(), TARGET)


def trained(
    objective: Restoring, params: SuperresParams, seconds: float, num_images: int
) -> tuple[dict[str, nn.Module], int]:
    """The averaged network after the L1 phase and at the end, and the number of steps."""
    early: list[nn.Module] = []
    training = params.training

    def look(share: float, averaged: nn.Module) -> None:
        if share >= params.l1_phase and not early:
            early.append(deepcopy(averaged).eval())

    rate = partial(warmed_cosine, training=training)
    late, steps = train_for(seconds, objective, training, num_images=num_images, seed=0, rate=rate, look=look)
    print(f"{params.degradation.kind}: {steps} steps", flush=True)
    return {"after L1": early[0], "at the end": late}, steps


@torch.inference_mode()
def all_restored(restore: Restore, held_out: Images) -> Images:
    """The held-out radiographs, made small and restored."""
    low_res = (to_unit(area_average(image, TARGET.scale)[None]) for image in held_out)
    return np.concatenate([from_unit(as_published(restore(image.to(launch.device())))) for image in low_res])


@torch.inference_mode()
def measured(name: str, images: Images, held_out: Images, lpips: nn.Module) -> dict[str, dict[str, float]]:
    """PSNR, SSIM and LPIPS (AlexNet) with 95 % intervals over the images."""
    rows = [measure(*(to_unit(x[None]) for x in pair), lpips) for pair in zip(images, held_out, strict=True)]
    return {
        metric: mean_interval(np.array([row[metric].item() for row in rows], np.float64), 0, f"{name}/{metric}")
        for metric in rows[0]
    }


def distances(extract: Callable[[Tensor], Tensor], restored: dict[str, Images], held_out: Images) -> dict[str, float]:
    """From one half, restored or (last) as it is, to the other half as it is."""
    images = restored | {"real": held_out}
    return restored_distances({name: features_of(extract, found) for name, found in images.items()}, seed=0)


@torch.inference_mode()
def features_of(extract: Callable[[Tensor], Tensor], images: Images) -> NDArray[np.float64]:
    parts = [extract(to_unit(images[start : start + 16])) for start in range(0, len(images), 16)]
    return torch.cat(parts).double().numpy()


def show(folder: Path, restored: dict[str, Images], held_out: Images) -> None:
    """The middle of some held-out radiographs: small, restored in every way, and as it is."""
    for number in range(0, len(held_out), max(1, len(held_out) // 6)):
        low = cv2.resize(area_average(held_out[number], TARGET.scale), (512, 256), interpolation=cv2.INTER_NEAREST)
        row = [low, *(images[number] for images in restored.values()), held_out[number]]
        write_grey(folder / f"{number:03d}.png", tile([image[64:192, 160:352] for image in row], len(row)))


if __name__ == "__main__":
    main()
