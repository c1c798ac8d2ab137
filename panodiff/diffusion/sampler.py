"""Drawing images with DDIM: each from a seed of its own, whatever else is drawn beside it."""

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from panodiff.randomness import torch_generator


@torch.inference_mode()
def draw_images(
    network: nn.Module,
    scheduler: DDIMScheduler,
    generators: list[torch.Generator],
    size: tuple[int, int],
    *,
    num_inference_steps: int,
    eta: float,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Images (B, 1, H, W) in [-1, 1], one a generator (DDIM, Song et al. 2021, equation 12).

    Args:
        network: Predicts ε or v, as the scheduler is told, from (B, 1, H, W) and timesteps (B,).
        scheduler: Its `prediction_type` and betas are those of the training.
        generators: One an image, on the CPU: an image depends on its own alone.
        size: (H, W).
        num_inference_steps: Steps from noise to image; must divide the training's timesteps.
        eta: 0 draws no noise after the first; 1 as much as DDPM.
        watch: Called with the timestep and x_t before each step, and with -1 and the result.

    Raises:
        ValueError: Steps of equal length do not lead through the timesteps. The scheduler would take them for shorter
            than they are and leave noise in the image.
    """
    if scheduler.config.num_train_timesteps % num_inference_steps:
        raise ValueError(
            f"num_inference_steps must divide num_train_timesteps ({scheduler.config.num_train_timesteps}), "
            f"got {num_inference_steps}"
        )
    device = next(network.parameters()).device
    x_t = _noise(generators, size, device)
    scheduler.set_timesteps(num_inference_steps, device=device)
    for t in scheduler.timesteps:
        if watch:
            watch(int(t), x_t)
        prediction = network(x_t, t.expand(len(x_t))).float()
        noise = _noise(generators, size, device) if eta > 0 else None
        x_t = scheduler.step(
            prediction, t, x_t, eta=eta, use_clipped_model_output=True, variance_noise=noise
        ).prev_sample
    x_0 = x_t.clamp(-1, 1)
    if watch:
        watch(-1, x_0)
    return x_0


def image_generators(seed: int, purpose: str, indices: list[int]) -> list[torch.Generator]:
    """The generators of images `indices`."""
    return [torch_generator(seed, purpose, index) for index in indices]


def _noise(generators: list[torch.Generator], size: tuple[int, int], device: torch.device) -> Tensor:
    return torch.stack([torch.randn(1, *size, generator=generator) for generator in generators]).to(device)
