"""Training of the diffusion model: predict what was added to a radiograph (DDPM, Ho et al. 2020, algorithm 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panodiff import launch
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import inference_steps, make_scheduler
from panodiff.diffusion.unet import UNet
from panodiff.images import from_signed, tile, to_signed, write_grey
from panodiff.params import DiffusionParams, UNetParams
from panodiff.randomness import seeded_init, torch_generator
from panodiff.training import ImageStore
from panodiff.training.store import take

NUM_VALIDATION = 64  # losses on held-out images that a milestone measures
NUM_BINS = 4  # of the timesteps, for which it tells them apart
NUM_PREVIEWS = 6
PREVIEW_STEPS = 20  # at most


@dataclass(frozen=True, kw_only=True)
class NoisyBatch:
    """x_t, the timesteps and what the network should predict."""

    x_t: Tensor  # (B, 1, H, W)
    t: Tensor  # (B,)
    target: Tensor  # (B, 1, H, W)


def build_unet(params: UNetParams, in_chans: int = 1) -> UNet:
    """The denoising network of these parameters, for grey images; published weights have three channels."""
    return UNet(in_chans=in_chans, widths=params.widths, attention=params.attention, patch_size=params.patch_size)


class Denoising:
    """The engine's objective: L1 (or L2) between the predicted and the true ε (or v)."""

    def __init__(
        self, params: DiffusionParams, images: ImageStore, held_out: ImageStore, seed: int, previews: Path
    ) -> None:
        device = launch.device()
        with seeded_init(seed, "diffusion/init"):
            network = build_unet(params.network)
        self.networks: dict[str, nn.Module] = {"denoiser": network.to(device)}
        self.scheduler = make_scheduler(params.schedule, params.prediction)
        self.params, self.images, self.held_out, self.seed = params, images, held_out, seed
        self.previews = previews

    def turns(self, step: int) -> tuple[str, ...]:
        """One network, every step."""
        return ("denoiser",)

    def batch(self, indices: list[int], draws: list[int], step: int) -> NoisyBatch:
        """The images at uniformly drawn timesteps, each with noise of its own."""
        x_0 = to_signed(take(self.images, indices))
        generators = [torch_generator(self.seed, "diffusion/noise", draw) for draw in draws]
        steps = self.params.schedule.num_train_timesteps
        t = torch.cat([torch.randint(0, steps, (1,), generator=generator) for generator in generators])
        return self._noisy(x_0, t, _noise(x_0, generators))

    def _noisy(self, x_0: Tensor, t: Tensor, noise: Tensor) -> NoisyBatch:
        device = launch.device()
        x_0, noise, t = x_0.to(device), noise.to(device), t.to(device)
        velocity = self.params.prediction == "v_prediction"
        target = self.scheduler.get_velocity(x_0, noise, t) if velocity else noise
        return NoisyBatch(x_t=self.scheduler.add_noise(x_0, noise, t), t=t, target=target)

    def loss(self, turn: str, batch: NoisyBatch, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean distance over all pixels."""
        loss = self._distance(self.networks["denoiser"], batch)
        return loss, {"loss": loss}

    def _distance(self, network: nn.Module, batch: NoisyBatch) -> Tensor:
        prediction = network(batch.x_t, batch.t).float()
        return F.l1_loss(prediction, batch.target) if self.params.loss == "l1" else F.mse_loss(prediction, batch.target)

    def milestone(self, step: int, averaged: nn.Module) -> dict[str, float]:
        """The loss on held-out images at fixed noise and timesteps, all in all and by quarters of the timesteps.

        Leaves a row of samples at fixed seeds.
        """
        by_bin = [self._held_out_loss(averaged, number) for number in range(NUM_BINS)]
        names = [f"val_loss_bin_{number}" for number in range(NUM_BINS)]  # 0: the least noise
        drawn = draw_images(
            averaged,
            self.scheduler,
            image_generators(self.seed, "diffusion/preview", list(range(NUM_PREVIEWS))),
            (self.images.shape[1], self.images.shape[2]),
            num_inference_steps=inference_steps(self.params.schedule.num_train_timesteps, PREVIEW_STEPS),
            eta=0,
        )
        if launch.rank() == 0:
            write_grey(self.previews / f"step-{step:09d}.png", tile(from_signed(drawn), NUM_PREVIEWS))
        return {"val_loss": float(np.mean(by_bin))} | dict(zip(names, by_bin, strict=True))

    def _held_out_loss(self, network: nn.Module, number: int) -> float:
        """The loss in bin `number` of the timesteps; over all bins they are evenly spread."""
        share = NUM_VALIDATION // NUM_BINS
        numbers = list(range(number * share, (number + 1) * share))
        images = to_signed(take(self.held_out, [index % len(self.held_out) for index in numbers]))
        steps = self.params.schedule.num_train_timesteps
        t = torch.tensor([(2 * index + 1) * steps // (2 * NUM_VALIDATION) for index in numbers])
        noise = _noise(images, [torch_generator(self.seed, "diffusion/held out", index) for index in numbers])
        return self._distance(network, self._noisy(images, t, noise)).item()


def _noise(x_0: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Noise for images `x_0` (B, 1, H, W), each from its own generator."""
    return torch.stack([torch.randn(x_0.shape[1:], generator=generator) for generator in generators])
