"""Noise schedules, and the scheduler of `diffusers` that steps along them.

Symbols of the papers: β_t (`betas`), ᾱ_t (`alphas_cumprod`), t = 0 … T - 1.
"""

import math

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from panodiff.params import ScheduleParams


def cosine_betas(num_train_timesteps: int, beta_max: float) -> Tensor:
    """Slow start, fast finish: β of the squared-cosine ᾱ (Nichol & Dhariwal 2021, equation 17), (T,), float64.

    Args:
        num_train_timesteps: T.
        beta_max: Cap of β. The paper's 0.999 leaves ᾱ_T = 2.4e-9 at T = 1000, noise to the eye and to the sampler.
            0.02 is what the published PanoDiff-SR does; its ᾱ_T is 3.2e-3, though it samples from pure noise.
    """
    offset = 0.008
    grid = torch.arange(num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
    alphas_cumprod = torch.cos((grid + offset) / (1 + offset) * math.pi / 2) ** 2
    betas = 1 - alphas_cumprod[1:] / alphas_cumprod[:-1]
    lowest = 1e-4 if beta_max <= 0.02 else 0.0  # the published clipping is to [1e-4, 0.02]
    return betas.clamp(lowest, beta_max)


def linear_betas(num_train_timesteps: int) -> Tensor:
    """β from 1e-4 to 0.02 at T = 1000, scaled for other T (Ho et al. 2020, section 4), (T,), float64."""
    scale = 1000 / num_train_timesteps
    return torch.linspace(1e-4 * scale, min(0.02 * scale, 0.999), num_train_timesteps, dtype=torch.float64)


def make_scheduler(schedule: ScheduleParams, prediction: str) -> DDIMScheduler:
    """The DDIM scheduler of `diffusers` over this schedule: x_0 clamped to [-1, 1], last timestep always visited."""
    count = schedule.num_train_timesteps
    betas = cosine_betas(count, schedule.beta_max) if schedule.kind == "cosine" else linear_betas(count)
    scheduler = DDIMScheduler(
        num_train_timesteps=count,
        trained_betas=betas.tolist(),
        prediction_type=prediction,
        clip_sample=True,
        timestep_spacing="trailing",
    )
    # In float32 rounding makes the variance left for x_t negative at large steps with eta 1, and the image NaN.
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    return scheduler


def inference_steps(num_train_timesteps: int, most: int) -> int:
    """The largest number of sampling steps, up to `most`, that divides the training's timesteps."""
    return max(steps for steps in range(1, most + 1) if num_train_timesteps % steps == 0)
