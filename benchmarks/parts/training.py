"""Training for a given time, where the pipeline's engine trains for a given number of steps."""

import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from panodiff import launch
from panodiff.features.contrastive import Contrast, ProjectedEncoder
from panodiff.features.encoder import Encoder
from panodiff.params import EncoderParams, TrainingParams
from panodiff.training import ImageStore
from panodiff.training.engine import ImageOrder, Objective, ema_with_warm_up, learning_rate_factor

Rate = Callable[[int, float], float]  # of the step and the share of the time that has passed


def train_for(
    seconds: float,
    objective: Objective,
    training: TrainingParams,
    *,
    num_images: int,
    seed: int,
    rate: Rate,
    look: Callable[[float, nn.Module], None] = lambda share, averaged: None,
) -> tuple[nn.Module, int]:
    """The averaged network after that time, and how many steps it took.

    Phases of the objective come by the share of the time, which is also what `look` is called with before each step.
    """
    networks = objective.networks
    optimizers = {
        name: torch.optim.AdamW(
            network.parameters(), 1.0, training.adam_betas, weight_decay=training.weight_decay, fused=True
        )
        for name, network in networks.items()
    }
    main = next(iter(networks.values()))
    averaged = AveragedModel(main, multi_avg_fn=ema_with_warm_up(training.ema_decay))
    order = ImageOrder(num_images, training.batch_size, seed, "benchmark")
    bfloat16 = training.precision == "bfloat16"
    step, started = 0, time.perf_counter()
    while (share := (time.perf_counter() - started) / seconds) < 1:
        look(share, averaged.module)
        place = int(share * training.num_steps)
        batch = objective.batch(*order.share(step, 0, 1), place)
        for turn in objective.turns(place):
            for group in optimizers[turn].param_groups:
                group["lr"] = rate(step, share)
            optimizers[turn].zero_grad(set_to_none=True)
            with torch.autocast(launch.device().type, dtype=torch.bfloat16, enabled=bfloat16):
                loss, _ = objective.loss(turn, batch, place)
            loss.backward()
            nn.utils.clip_grad_norm_(networks[turn].parameters(), training.clip_norm)
            optimizers[turn].step()
        averaged.update_parameters(main)
        step += 1
    return averaged.module.eval(), step


def warmed_cosine(step: int, share: float, *, training: TrainingParams) -> float:
    """The engine's rate where the end is known by time alone."""
    return training.learning_rate * min(1.0, (step + 1) / training.warmup_steps) * 0.5 * (1 + math.cos(math.pi * share))


def train_encoder(params: EncoderParams, images: ImageStore, held_out: ImageStore) -> Encoder:
    """The encoder of these parameters, trained on these images as the pipeline does."""
    objective, training = Contrast(params, images, held_out, seed=0), params.training
    network = objective.networks["encoder"]
    optimizer = torch.optim.AdamW(network.parameters(), 1.0, training.adam_betas, weight_decay=training.weight_decay)
    order = ImageOrder(len(images), training.batch_size, 0, "encoder")
    for step in range(training.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * learning_rate_factor(step, training)
        indices, draws = order.share(step, 0, 1)
        optimizer.zero_grad(set_to_none=True)
        loss, _ = objective.loss("encoder", objective.batch(indices, draws, step), step)
        loss.backward()
        optimizer.step()
    assert isinstance(network, ProjectedEncoder)
    return network.encoder.eval().requires_grad_(False)
