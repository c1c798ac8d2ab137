"""Noise schedules, and the scheduler of `diffusers` that steps along them.

Symbols of the papers: β_t (`betas`), ᾱ_t (`alphas_cumprod`), t = 0 … T - 1.
"""

import math
from typing import TypeAlias

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from panodiff.params import Clamping, SamplerName, ScheduleParams

Scheduler: TypeAlias = DDPMScheduler | DDIMScheduler | DPMSolverMultistepScheduler | UniPCMultistepScheduler
DYNAMIC_RATIO = 0.995
LEAST_SIGNAL = 2.0**-30  # of ᾱ, where zero is asked for: 3e-5 of the amplitude


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


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Betas (T,) of the same course whose ᾱ ends at exactly 0 (Lin et al. 2024, algorithm 1), float64.

    √ᾱ is shifted so that its last value is 0 and scaled so that its first one stays.
    """
    signal = torch.cumprod(1 - betas, dim=0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    before = torch.cat([torch.ones(1, dtype=signal.dtype), signal[:-1]])
    return 1 - (signal / before) ** 2


def make_betas(schedule: ScheduleParams) -> Tensor:
    """β_t of this schedule, (T,), float64."""
    count = schedule.num_train_timesteps
    betas = cosine_betas(count, schedule.beta_max) if schedule.kind == "cosine" else linear_betas(count)
    return zero_terminal_snr(betas) if schedule.zero_terminal_snr else betas


def make_scheduler(
    schedule: ScheduleParams, prediction: str, sampler: SamplerName = "ddim", clamping: Clamping = "static"
) -> Scheduler:
    """The scheduler of `diffusers` that steps along this schedule; its last timestep is always visited.

    Args:
        schedule: The noise schedule of the training.
        prediction: "epsilon" or "v_prediction".
        sampler: ddpm (Ho et al. 2020), ddim (Song et al. 2021), dpm_solver++ (second order, multistep; Lu et al. 2022)
            or unipc (second order; Zhao et al. 2023).
        clamping: Of each step's estimate of x_0. static: to [-1, 1], as published. dynamic: an image of which more
            than 0.5 % lies beyond is divided by what 99.5 % keep to (Saharia et al. 2022, section 2.3).
    """
    betas = make_betas(schedule)
    common = {
        "num_train_timesteps": schedule.num_train_timesteps,
        "trained_betas": betas.tolist(),
        "prediction_type": prediction,
        "timestep_spacing": "trailing",
        "thresholding": True,
        "dynamic_thresholding_ratio": DYNAMIC_RATIO,
        "sample_max_value": 1.0 if clamping == "static" else math.inf,  # with 1 thresholding is clamping to [-1, 1]
    }
    scheduler: Scheduler
    if sampler in ("ddpm", "ddim"):
        one_step = DDPMScheduler if sampler == "ddpm" else DDIMScheduler
        common["thresholding"] = clamping == "dynamic"
        scheduler = one_step(**common, clip_sample=clamping == "static")
    else:
        multistep = DPMSolverMultistepScheduler if sampler == "dpm_solver++" else UniPCMultistepScheduler
        scheduler = multistep(**common, solver_order=2)
    # In float32 rounding makes the variance left for x_t negative at large steps with eta 1, and the image NaN; and so
    # it does from exactly no signal, by which other samplers divide.
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, dim=0).clamp(min=LEAST_SIGNAL)
    return scheduler


def inference_steps(num_train_timesteps: int, most: int) -> int:
    """The largest number of sampling steps, up to `most`, that divides the training's timesteps."""
    return max(steps for steps in range(1, most + 1) if num_train_timesteps % steps == 0)
