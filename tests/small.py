"""Small parameters, networks, images and stages, for runs of seconds."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from torchvision.models import alexnet, squeezenet1_1

from panodiff.diffusion.denoising import Denoising
from panodiff.features.contrastive import Contrast
from panodiff.features.encoder import Encoder
from panodiff.files import hash_file
from panodiff.params import Params
from panodiff.params_file import load_params, merge
from panodiff.randomness import numpy_generator, seeded_init
from panodiff.superres.losses import encoder_loss
from panodiff.superres.restoring import Restoring
from panodiff.training import ImageStore, Training, train

ROOT = Path(__file__).parents[1]
BACKBONES = {"alexnet": (alexnet, "alex"), "squeezenet": (squeezenet1_1, "squeeze")}  # of LPIPS
TRAINING = {"num_steps": 12, "batch_size": 4, "warmup_steps": 2, "ema_decay": 0.8, "log_every": 5}
SMALL = {
    "harmonize": {"high_size": [64, 128], "low_size": [32, 64]},
    "encoder": {"widths": [8, 16], "embed_dim": 8, "training": TRAINING},
    "diffusion": {
        "network": {"widths": [16, 16, 16], "attention": [False, True], "patch_size": 2},
        "schedule": {"num_train_timesteps": 8},
        "training": TRAINING,
    },
    "superres": {
        "network": {"embed_dim": 60, "depths": [2], "num_heads": [3], "window_size": 4, "num_feat": 8},
        "discriminator_num_feat": 4,
        "crop_size": 32,
        "training": TRAINING,
    },
    "sample": {"num_images": 10, "num_inference_steps": 4, "batch_size": 2, "shard_size": 3},
    "upscale": {"batch_size": 2, "shard_size": 4},
}


def write_small_params(path: Path, changes: dict[str, Any] | None = None) -> None:
    """A params.yaml whose smoke profile is small; `changes` to the base win over it."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    base = merge(merge(merge(raw, raw["profiles"]["smoke"]), SMALL), changes or {})
    base["profiles"]["smoke"] = {section: {} for section in base["profiles"]["smoke"]}
    path.write_text(yaml.safe_dump(base, sort_keys=False), encoding="utf-8")


def small_params(folder: Path, changes: dict[str, Any] | None = None) -> Params:
    """The parameters of `write_small_params`."""
    write_small_params(folder / "small.yaml", changes)
    return load_params(folder / "small.yaml")


@dataclass(kw_only=True)
class SmallStage:
    """What the engine and the samplers use of a stage; it is asked to stop after `stop_after` questions."""

    params: Params
    scratch: Path
    stop_after: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    questions: int = 0

    def stop_requested(self) -> bool:
        self.questions += 1
        return self.stop_after is not None and self.questions >= self.stop_after


def pictures(count: int, height: int, width: int, seed: int = 0) -> ImageStore:
    """Smooth random grey images, uint8 (N, H, W)."""
    coarse = numpy_generator(seed, "test pictures").random((count, 1, 8, 16)).astype(np.float32)
    smooth = nn.functional.interpolate(torch.from_numpy(coarse), (height, width), mode="bicubic").clamp(0, 1)
    return (smooth[:, 0] * 255).byte().numpy()


def small_encoder() -> Encoder:
    with seeded_init(0, "test encoder"):
        return Encoder((8, 16)).eval().requires_grad_(False)


def install_random_weights(folder: Path, backbone: str) -> dict[str, torch.Tensor]:
    """A catalogue with one backbone of random weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = BACKBONES[backbone][0](weights=None).features.state_dict()
    weights = {f"features.{k}": torch.randn(v.shape, generator=generator) / 10 for k, v in shapes.items()}
    save_file(weights, folder / "random.safetensors")
    size, sha256 = (folder / "random.safetensors").stat().st_size, hash_file(folder / "random.safetensors")
    entry = {"file": "random.safetensors", "sha256": sha256, "bytes": size}
    entry |= {"licence": "none", "source": "drawn", "used_for": "a test"}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump({backbone: entry}))
    return weights


def objective_of(kind: str, params: Params, scratch: Path) -> Denoising | Restoring | Contrast:
    size = params.harmonize.low_size if kind == "diffusion" else params.harmonize.high_size
    images, held_out = pictures(10, *size), pictures(3, *size, seed=1)
    if kind == "diffusion":
        return Denoising(params.diffusion, images, held_out, params.seed, scratch / "previews")
    if kind == "encoder":
        return Contrast(params.encoder, images, held_out, params.seed)
    return Restoring(
        params.superres,
        scale=params.harmonize.scale,
        perceptual=encoder_loss(small_encoder()),
        lpips=None,
        images=images,
        held_out=held_out,
        seed=params.seed,
        scratch=scratch,
    )


def run_training(kind: str, stage: SmallStage) -> Training:
    """Train `kind` (diffusion, superres or encoder) on ten pictures."""
    objective = objective_of(kind, stage.params, stage.scratch)
    return train(objective, getattr(stage.params, kind).training, 10, stage, kind)  # type: ignore[arg-type]


def train_as_one_of_two(folder: Path, kinds: list[str], stop_after: int) -> None:
    """The work of one process of two: train, be stopped, go on, and save what came out. Ends up in `folder`."""
    from panodiff import launch  # noqa: PLC0415
    from panodiff.stage import Stopped  # noqa: PLC0415

    torch.set_num_threads(1)
    launch.start_torch()
    for kind in kinds:
        params = load_params(folder / "small.yaml")
        try:
            run_training(kind, SmallStage(params=params, scratch=folder / kind, stop_after=stop_after + launch.rank()))
        except Stopped:
            training = run_training(kind, SmallStage(params=params, scratch=folder / kind))
            if launch.rank() == 0:
                torch.save(training.state(), folder / f"{kind}.pt")
    launch.barrier()
    assert os.environ["WORLD_SIZE"] == "2"
