"""One training loop for all networks: order of images, learning rate, gradients, averages, history, checkpoints.

Step k is a function of the state after step k - 1 and of k alone: which images, which noise and which learning rate
belong to it follow from the seed. A run that was stopped and went on is therefore the same, bit for bit on one CPU.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from panodiff import launch
from panodiff.checkpoint import load_newest_state, save_state
from panodiff.params import TrainingParams
from panodiff.progress import Progress
from panodiff.randomness import torch_generator
from panodiff.stage import Stage, Stopped
from panodiff.training.batches import Batches
from panodiff.training.processes import any_process, mean_gradients, sums_of_all
from panodiff.training.throughput import counted, note_throughput

BATCHES_AHEAD = 4  # made while a GPU works
NUM_MILESTONES = 10  # validations and previews through a training, besides the one before its first step

Metrics = dict[str, float]


class Objective(Protocol):
    """What is trained, on what, towards what. The engine knows nothing of images or losses.

    Threads may make batches while the networks train: `batch` reads what no step changes.
    """

    networks: dict[str, nn.Module]  # the first is the one that the stage is for; it is averaged

    def turns(self, step: int) -> tuple[str, ...]:
        """The networks that step `step` updates, in this order."""

    def batch(self, indices: list[int], draws: list[int], step: int) -> Any:
        """What the losses of one step need: images `indices`; image i draws its randomness from number draws[i]."""

    def loss(self, turn: str, batch: Any, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar that network `turn` has to lower, and what the history shows, all means over the batch."""

    def milestone(self, step: int, averaged: nn.Module) -> Metrics:
        """Metrics of the averaged network on held-out images; may leave previews on disk."""


@dataclass(kw_only=True)
class Training:
    """A training under way: all that a checkpoint holds, and the history so far."""

    networks: dict[str, nn.Module]
    averaged: AveragedModel
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # one row every log_every steps
    milestones: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)  # of each loss since the last row, and of how many: (2,)

    def state(self) -> dict[str, Any]:
        """All of it as plain tensors, numbers and strings."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "averaged": self.averaged.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "history": self.history,
            "milestones": self.milestones,
            "sums": self.sums,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state()`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.step, self.history, self.milestones = state["step"], state["history"], state["milestones"]
        first = launch.rank() == 0  # the state holds the sums over all processes
        self.sums = {name: total if first else torch.zeros_like(total) for name, total in state["sums"].items()}


def train(objective: Objective, params: TrainingParams, num_images: int, stage: Stage, purpose: str) -> Training:
    """Train to the end, from the newest checkpoint in the stage's scratch folder if there is one.

    Raises:
        Stopped: The stage was asked to stop; a checkpoint has been written.
        ValueError: A loss is not finite; nothing was updated with it.
    """
    device = launch.device()
    training = _prepare(objective, params)
    folder = stage.scratch / "checkpoints"
    if state := load_newest_state(folder, device):
        training.restore(state)
    order = ImageOrder(num_images, params.batch_size, stage.params.seed, purpose, params.accumulation)
    progress = Progress(params.num_steps, purpose, initial=training.step, unit="step")
    started, first, saved = time.monotonic(), training.step, time.monotonic()
    operations = _count_operations(objective, training, params, order) if first < params.num_steps else 0
    make = partial(_batch_parts, objective, params, order)
    ahead = BATCHES_AHEAD if device.type == "cuda" else 0
    with Batches(make, range(first, params.num_steps), ahead=ahead, workers=launch.num_workers()) as batches:
        while training.step < params.num_steps:
            _milestone_if_due(objective, training, params)
            _one_step(objective, training, params, batches.of(training.step))
            progress.advance(note=_note(training.history))
            stop, due = any_process(stage.stop_requested(), time.monotonic() - saved > launch.checkpoint_interval_s())
            if stop or due:
                _save(folder, training)
                saved = time.monotonic()
            if stop:
                raise Stopped
    _milestone_if_due(objective, training, params)
    _save(folder, training)
    progress.close()
    if training.step > first:
        note_throughput(stage, training.step - first, time.monotonic() - started, operations, params)
    return training


def _prepare(objective: Objective, params: TrainingParams) -> Training:
    if launch.device().type == "cuda":
        for network in objective.networks.values():
            network.to(memory_format=torch.channels_last)
    main = next(iter(objective.networks.values()))
    optimizers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.AdamW(
            network.parameters(), params.learning_rate, params.adam_betas, weight_decay=params.weight_decay, fused=True
        )
        for name, network in objective.networks.items()
    }
    averaged = AveragedModel(main, multi_avg_fn=ema_with_warm_up(params.ema_decay), use_buffers=False)
    if launch.compile_networks():
        for network in objective.networks.values():
            network.compile()
    return Training(networks=objective.networks, averaged=averaged, optimizers=optimizers)


def _count_operations(objective: Objective, training: Training, params: TrainingParams, order: "ImageOrder") -> int:
    """Operations of the coming step in this process, by a rehearsal of one part of its batch that leaves no trace."""
    indices, draws = order.share(training.step, launch.rank(), launch.world_size())
    buffers = [buffer for network in training.networks.values() for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]  # spectral norms move with every pass
    precision = torch.bfloat16 if params.precision == "bfloat16" else None
    with counted() as counter:
        batch = objective.batch(indices[:: params.accumulation], draws[:: params.accumulation], training.step)
        for turn in objective.turns(training.step):
            training.networks[turn].train()
            with torch.autocast(launch.device().type, dtype=precision, enabled=precision is not None):
                loss, _ = objective.loss(turn, batch, training.step)
            loss.backward()
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    for network in training.networks.values():
        network.zero_grad(set_to_none=True)
    return int(counter.get_total_flops()) * params.accumulation


def _batch_parts(objective: Objective, params: TrainingParams, order: "ImageOrder", step: int) -> list[Any]:
    indices, draws = order.share(step, launch.rank(), launch.world_size())
    parts = params.accumulation
    return [objective.batch(indices[part::parts], draws[part::parts], step) for part in range(parts)]


def _one_step(objective: Objective, training: Training, params: TrainingParams, batches: list[Any]) -> None:
    learning_rate = params.learning_rate * learning_rate_factor(training.step, params)
    precision = torch.bfloat16 if params.precision == "bfloat16" else None
    for turn in objective.turns(training.step):
        network, optimizer = training.networks[turn], training.optimizers[turn]
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            with torch.autocast(launch.device().type, dtype=precision, enabled=precision is not None):
                loss, shown = objective.loss(turn, batch, training.step)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the loss of {turn} is {loss.item()} at step {training.step}, before the update: lower "
                    f"learning_rate, or set precision: float32"
                )
            (loss / len(batches)).backward()
            for name, value in shown.items():
                one = torch.stack([value.detach().double(), torch.ones_like(value, dtype=torch.double)])
                training.sums[name] = training.sums.get(name, 0) + one
        mean_gradients(network)
        norm = nn.utils.clip_grad_norm_(network.parameters(), params.clip_norm)
        if not torch.isfinite(norm):
            raise ValueError(
                f"the gradient of {turn} has the norm {norm.item()} at step {training.step}, before the update: lower "
                f"learning_rate, or set precision: float32"
            )
        optimizer.step()
    training.averaged.update_parameters(next(iter(training.networks.values())))
    training.step += 1
    if training.step % params.log_every == 0 or training.step == params.num_steps:
        _log(training, learning_rate)


def _log(training: Training, learning_rate: float) -> None:
    row = {name: round((total / count).item(), 6) for name, (total, count) in sums_of_all(training.sums).items()}
    training.history.append({"step": training.step, **row, "learning_rate": float(f"{learning_rate:.4g}")})
    training.sums = {}


def _milestone_if_due(objective: Objective, training: Training, params: TrainingParams) -> None:
    due = sorted({round(part * params.num_steps / NUM_MILESTONES) for part in range(NUM_MILESTONES + 1)})
    if training.step not in due or any(row["step"] == training.step for row in training.milestones):
        return
    with torch.inference_mode():
        metrics = objective.milestone(training.step, training.averaged.module.eval())
    training.milestones.append({"step": training.step, **{name: round(value, 6) for name, value in metrics.items()}})


def _save(folder: Path, training: Training) -> None:
    """Write a checkpoint; no process leaves before it is on disk, as torchrun then ends the others."""
    sums = sums_of_all(training.sums)
    if launch.rank() == 0:
        save_state(folder, training.step, training.state() | {"sums": sums})
    launch.barrier()


def _note(history: list[dict[str, float]]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in history[-1].items() if name != "step") if history else ""


def learning_rate_factor(step: int, params: TrainingParams) -> float:
    """Linear warm-up from 1/warmup_steps to 1, then half a cosine that reaches 0 after the last step."""
    if step < params.warmup_steps:
        return (step + 1) / params.warmup_steps
    done = (step - params.warmup_steps) / (params.num_steps - params.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def ema_with_warm_up(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential moving average whose decay grows as (1 + k) / (10 + k) until it reaches `decay`."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], num_averaged: Tensor | int) -> None:
        k = int(num_averaged)
        torch._foreach_lerp_(averages, currents, 1 - min(decay, (1 + k) / (10 + k)))

    return update


class ImageOrder:
    """Which images a step sees: one endless stream of permutations, each from the seed and its number."""

    def __init__(self, num_images: int, batch_size: int, seed: int, purpose: str, accumulation: int = 1) -> None:
        self.num_images, self.batch_size, self.seed, self.purpose = num_images, batch_size, seed, purpose
        self.accumulation = accumulation

    def share(self, step: int, rank: int, world_size: int) -> tuple[list[int], list[int]]:
        """The images of step `step` that process `rank` works on, and the numbers that they draw from.

        Raises:
            ValueError: The batch cannot be shared out evenly.
        """
        if self.batch_size % (world_size * self.accumulation):
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of the {world_size} processes times accumulation "
                f"({self.accumulation})"
            )
        draws = range(step * self.batch_size, (step + 1) * self.batch_size)[rank::world_size]
        return [self._image(draw) for draw in draws], list(draws)

    def _image(self, draw: int) -> int:
        epoch, place = divmod(draw, self.num_images)
        return int(_permutation(self.num_images, self.seed, self.purpose, epoch)[place])


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, purpose: str, epoch: int) -> Tensor:
    return torch.randperm(count, generator=torch_generator(seed, f"{purpose}/order", epoch))
