"""Drawing images: each from a seed of its own, whatever else is drawn beside it."""

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from panodiff.diffusion.schedule import Scheduler
from panodiff.randomness import torch_generator


@torch.inference_mode()
def draw_images(
    network: nn.Module,
    scheduler: Scheduler,
    generators: list[torch.Generator],
    size: tuple[int, int],
    *,
    num_inference_steps: int,
    eta: float = 0.0,
    in_chans: int = 1,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Images (B, 1, H, W) in [-1, 1], one a generator, by the sampler that `scheduler` is.

    Args:
        network: Predicts ε or v, as the scheduler is told, from (B, in_chans, H, W) and timesteps (B,). The images
            have the precision of its weights.
        scheduler: Its `prediction_type` and betas are those of the training.
        generators: One an image, on the CPU: an image depends on its own alone.
        size: (H, W).
        num_inference_steps: Steps from noise to image; for DDPM and DDIM it must divide the training's timesteps.
        eta: Of DDIM (Song et al. 2021, equation 12): 0 draws no noise after the first; 1 as much as DDPM.
        in_chans: Of the network's images; the mean of several, which are all but equal, is the image.
        watch: Called with the timestep and x_t before each step, and with -1 and the result.

    Raises:
        ValueError: Steps of equal length do not lead through the timesteps. DDPM and DDIM would take them for shorter
            than they are and leave noise in the image. Or eta is asked of another sampler than DDIM.
    """
    if eta and not isinstance(scheduler, DDIMScheduler):
        raise ValueError(f"eta must be 0 for samplers other than ddim, got {eta}")
    one_step = isinstance(scheduler, DDIMScheduler | DDPMScheduler)
    if one_step and scheduler.config.num_train_timesteps % num_inference_steps:
        raise ValueError(
            f"num_inference_steps must divide num_train_timesteps ({scheduler.config.num_train_timesteps}), "
            f"got {num_inference_steps}"
        )
    parameter = next(network.parameters())
    x_t = _noise(generators, (in_chans, *size), parameter)
    scheduler.set_timesteps(num_inference_steps, device=parameter.device)
    step = _stepping(scheduler, generators, eta)
    for t in scheduler.timesteps:
        if watch:
            watch(int(t), x_t)
        prediction = network(x_t, t.expand(len(x_t))).to(x_t.dtype)
        x_t = step(prediction, t, x_t)
    x_0 = x_t.clamp(-1, 1).mean(dim=1, keepdim=True)
    if watch:
        watch(-1, x_0)
    return x_0


def _stepping(
    scheduler: Scheduler, generators: list[torch.Generator], eta: float
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A step of the scheduler: from the prediction, t and x_t to x at the timestep before.

    Whatever noise that takes is drawn by each image's own generator.
    """

    def step(prediction: Tensor, t: Tensor, x_t: Tensor) -> Tensor:
        if isinstance(scheduler, DDIMScheduler):
            noise = _noise(generators, tuple(x_t.shape[1:]), x_t) if eta > 0 else None
            found = scheduler.step(prediction, t, x_t, eta=eta, use_clipped_model_output=True, variance_noise=noise)
        elif isinstance(scheduler, DDPMScheduler):
            found = scheduler.step(prediction, t, x_t, generator=generators)
        else:
            found = scheduler.step(prediction, t, x_t)
        before: Tensor = found.prev_sample
        return before

    return step


def image_generators(seed: int, purpose: str, indices: list[int]) -> list[torch.Generator]:
    """The generators of images `indices`."""
    return [torch_generator(seed, purpose, index) for index in indices]


def _noise(generators: list[torch.Generator], shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal noise, drawn in float32 on the CPU whatever it is `like`."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(like)
