"""The stage train_diffusion: train, keep the averaged network, show how it learnt."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from panodiff import launch
from panodiff.checkpoint import save_model
from panodiff.diffusion.card import write_model_card
from panodiff.diffusion.denoising import Denoising
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import Scheduler, inference_steps
from panodiff.files import write_csv
from panodiff.images import Grey, from_signed, read_grey, tile, to_signed, write_grey
from panodiff.model_card import PHANTOMS, TrainingImages
from panodiff.randomness import torch_generator
from panodiff.stage import Stage
from panodiff.training import ImageStore, train

NUM_SHOWN = 9  # pictures of the way from a radiograph to noise, and of the way back
REVERSE_STEPS = 50  # at most


def train_diffusion(
    stage: Stage,
    *,
    images: ImageStore,
    held_out: ImageStore,
    counts: Sequence[TrainingImages],
    model: Path,
    metrics: Path,
) -> None:
    """Train on `images`, watch `held_out` (both uint8 (N, H, W)); write the model, its card, history and figures.

    `counts` says on the card how many of the images come from which source.
    """
    params, seed = stage.params.diffusion, stage.params.seed
    previews = stage.scratch / "previews"
    objective = Denoising(params, images, held_out, seed, previews)
    training = train(objective, params.training, len(images), stage, "diffusion")
    if launch.rank() != 0:
        return
    config = params.model_dump(mode="json", include={"network", "schedule", "prediction", "loss"})
    size = (images.shape[1], images.shape[2])
    save_model(model, training.averaged.module, config | {"size": list(size)})
    write_model_card(
        model,
        origin=f"It was trained by panodiff, profile {stage.params.profile}, seed {seed}; its weights are averaged "
        "over the training (EMA).",
        settings=params.training.model_dump(),
        images=counts,
        limits=[PHANTOMS] if stage.params.profile == "smoke" else [],
    )
    metrics.mkdir(parents=True, exist_ok=True)
    write_csv(metrics / "history.csv", training.history[0], training.history)
    write_csv(metrics / "milestones.csv", training.milestones[0], training.milestones)
    rows = [read_grey(path) for path in sorted(previews.glob("step-*.png"))]
    write_grey(metrics / "progress.png", tile(rows, 1))
    write_grey(metrics / "reverse.png", reverse_process(training.averaged.module, objective.scheduler, size, seed))
    figure, table = forward_process(objective.scheduler, np.array(images[0]), seed)
    write_grey(metrics / "forward.png", figure)
    write_csv(metrics / "forward.csv", table[0], table)


def forward_process(scheduler: Scheduler, image: Grey, seed: int) -> tuple[Grey, list[dict[str, float]]]:
    """One radiograph on its way to noise, and the mean and spread of its pixels, as a picture shows them, on the way.

    `image` is uint8 (H, W). A pixel of the picture is (x_t + 1) / 2, so that pure noise has mean 0.5 and standard
    deviation 0.5 before it is cut to [0, 1].
    """
    x_0 = to_signed(image[None])
    noise = torch.randn(x_0.shape, generator=torch_generator(seed, "diffusion/forward"))
    last = len(scheduler.betas) - 1
    steps = torch.linspace(0, last, NUM_SHOWN).round().long()
    x_t = scheduler.add_noise(x_0.expand(NUM_SHOWN, -1, -1, -1), noise.expand(NUM_SHOWN, -1, -1, -1), steps)
    table = [
        {
            "t": int(t),
            "signal": round(float(scheduler.alphas_cumprod[t].sqrt()), 6),
            "mean": round(float(x.add(1).div(2).mean()), 6),
            "standard_deviation": round(float(x.div(2).std()), 6),
        }
        for t, x in zip(steps, x_t, strict=True)
    ]
    pictures = from_signed(x_t)
    return tile([np.asarray(picture) for picture in pictures], 3), table


def reverse_process(network: nn.Module, scheduler: Scheduler, size: tuple[int, int], seed: int) -> Grey:
    """One image of this size on its way from noise to a radiograph, row by row; the last picture is the result."""
    steps = inference_steps(len(scheduler.betas), REVERSE_STEPS)
    seen: list[Tensor] = []
    draw_images(
        network.eval(),
        scheduler,
        image_generators(seed, "diffusion/reverse", [0]),
        size,
        num_inference_steps=steps,
        watch=lambda _, x_t: seen.append(x_t.clone()),
    )
    shown = torch.linspace(0, steps, NUM_SHOWN).round().long().tolist()
    return tile([from_signed(seen[number])[0] for number in shown], 3)
