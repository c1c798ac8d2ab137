"""The training engine: the same weights whatever happened on the way, and the updates that it promises."""

import math
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import ROOT, SmallStage, objective_of, pictures, run_training, small_params
from torch import Tensor, nn

from panodiff.checkpoint import load_newest_state
from panodiff.diffusion.denoising import Denoising
from panodiff.files import list_files
from panodiff.params import Params, TrainingParams
from panodiff.stage import Stopped
from panodiff.training import Training, train
from panodiff.training.engine import ImageOrder, learning_rate_factor

KINDS = ["diffusion", "superres", "encoder"]


def training_params(**changes: Any) -> TrainingParams:
    values = {
        "num_steps": 20,
        "batch_size": 4,
        "accumulation": 1,
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "adam_betas": (0.9, 0.99),
        "warmup_steps": 4,
        "clip_norm": 1.0,
        "ema_decay": 0.7,
        "precision": "float32",
        "log_every": 6,
    }
    return TrainingParams.model_validate(values | changes)


def flat(state: Any, path: str = "") -> dict[str, Any]:
    """Every value in a nested state, by its path."""
    if isinstance(state, dict | list):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        return {key: leaf for name, value in items for key, leaf in flat(value, f"{path}/{name}").items()}
    return {path: state}


def assert_same_bits(one: Training, other: Training) -> None:
    first, second = flat(one.state()), flat(other.state())
    assert first.keys() == second.keys()
    for path, value in first.items():
        same = torch.equal(value, second[path]) if isinstance(value, Tensor) else value == second[path]
        assert same, path


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_stopped_at_random_steps_ends_bit_for_bit_like_an_undisturbed_one(tmp_path: Path, kind: str):
    params = small_params(tmp_path)
    expected = run_training(kind, SmallStage(params=params, scratch=tmp_path / "undisturbed"))
    draw, stops = random.Random(kind), 0
    while True:
        stage = SmallStage(params=params, scratch=tmp_path / "stopped", stop_after=draw.randint(1, 6))
        try:
            found = run_training(kind, stage)
            break
        except Stopped:
            stops += 1
    assert stops >= 2
    assert expected.step == 12
    assert_same_bits(expected, found)
    assert expected.milestones[0]["step"] == 0
    assert expected.milestones[-1]["step"] == 12
    assert [row["step"] for row in found.history] == [5, 10, 12]
    names = {run: [path.name for path in list_files(tmp_path / run / "previews")] for run in ("undisturbed", "stopped")}
    assert names["undisturbed"] == names["stopped"]


def test_a_torn_newest_checkpoint_falls_back_to_the_one_before_and_ends_the_same(tmp_path: Path):
    params = small_params(tmp_path)
    expected = run_training("diffusion", SmallStage(params=params, scratch=tmp_path / "undisturbed"))
    for stop in (4, 3):
        with pytest.raises(Stopped):
            run_training("diffusion", SmallStage(params=params, scratch=tmp_path / "run", stop_after=stop))
    states = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [path.name for path in states] == ["step-000000004.state", "step-000000007.state"]
    states[-1].write_bytes(states[-1].read_bytes()[:1000])
    stage = SmallStage(params=params, scratch=tmp_path / "run")
    found = run_training("diffusion", stage)
    assert stage.questions == 8  # steps 5 to 12
    assert_same_bits(expected, found)


def test_training_reads_and_moves_no_global_generator(tmp_path: Path):
    params = small_params(tmp_path)
    torch.manual_seed(1)
    first = run_training("encoder", SmallStage(params=params, scratch=tmp_path / "a"))
    before = torch.random.get_rng_state()
    torch.manual_seed(2)
    middle = torch.random.get_rng_state()
    second = run_training("encoder", SmallStage(params=params, scratch=tmp_path / "b"))
    assert torch.equal(middle, torch.random.get_rng_state())
    assert not torch.equal(before, middle)
    assert_same_bits(first, second)


def test_another_seed_gives_other_weights_and_other_draws(tmp_path: Path):
    objectives = [objective_of("encoder", small_params(tmp_path, {"seed": seed}), tmp_path) for seed in (1, 2)]
    weights = [next(objective.networks["encoder"].parameters()) for objective in objectives]
    assert not torch.equal(*weights)
    batches = [objective.batch([0, 1], [0, 1], 0) for objective in objectives]
    assert not torch.equal(*batches)


def test_two_processes_train_like_one(tmp_path: Path):
    """Each with half of every batch, stopped within a window of the history, gone on: the same losses."""
    params = small_params(tmp_path)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    code = f"from pathlib import Path; import small; small.train_as_one_of_two(Path({str(tmp_path)!r}), {KINDS}, 7)"
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    common |= {"PYTHONPATH": str(ROOT / "tests"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=common | {"RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    for kind in KINDS:
        run_training(kind, SmallStage(params=params, scratch=tmp_path / f"{kind} alone"))
    assert [process.wait(300) for process in processes] == [0, 0]
    for kind in KINDS:
        alone = run_training(kind, SmallStage(params=params, scratch=tmp_path / f"{kind} alone"))  # already finished
        both = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        assert [row["step"] for row in both["history"]] == [5, 10, 12]
        for rows in ("history", "milestones"):
            for one, two in zip(getattr(alone, rows), both[rows], strict=True):
                assert one.keys() == two.keys()
                for name, value in one.items():
                    # An effective rank is the exponential of an entropy, and no loss.
                    within = 1e-4 if name.startswith("val_rank") else 1e-5 if kind != "superres" else 2e-5
                    assert value == pytest.approx(two[name], rel=0, abs=within), (kind, name)
        for name, value in flat(alone.averaged.state_dict()).items():
            torch.testing.assert_close(value, flat(both["averaged"])[name], atol=2e-4, rtol=0, msg=f"{kind}: {name}")


class Line:
    """An objective by hand: one weight that follows the image's number, so that all updates can be written down."""

    def __init__(self, *, scale: float = 1.0, poison: int = -1, gradient: float = 0.0) -> None:
        self.networks: dict[str, nn.Module] = {"line": nn.Linear(1, 1, bias=False)}
        nn.init.constant_(self.networks["line"].weight, 0.5)
        self.scale, self.poison, self.gradient = scale, poison, gradient
        self.weights: list[float] = []
        self.losses: list[float] = []

    def turns(self, step: int) -> tuple[str, ...]:
        return ("line",)

    def batch(self, indices: list[int], draws: list[int], step: int) -> Tensor:
        del self.weights[step:]  # of the rehearsal
        self.weights.append(self.networks["line"].weight.item())
        return torch.tensor(indices, dtype=torch.float32)[:, None]

    def loss(self, turn: str, batch: Tensor, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        output = self.networks[turn](batch)
        loss = self.scale * (output - 3).square().mean()
        if step == self.poison:
            loss = loss * float("nan") if not self.gradient else loss + (output * 0).abs().sum().sqrt()
        del self.losses[step:]
        self.losses.append(loss.item())
        shown = {"loss": loss} | ({"late": loss} if step >= 8 else {})
        return loss, shown

    def milestone(self, step: int, averaged: nn.Module) -> dict[str, float]:
        return {"weight": averaged.weight.item()}


def run_line(folder: Path, line: Line, params: TrainingParams) -> Training:
    return train(line, params, 5, SmallStage(params=small_params(folder), scratch=folder / "line"), "line")  # type: ignore[arg-type]


def test_the_average_follows_its_closed_form(tmp_path: Path):
    line = Line()
    training = run_line(tmp_path, line, training_params())
    weights = [*line.weights[1:], training.networks["line"].weight.item()]  # after steps 1, 2, …
    average, averages = weights[0], {0: 0.5, 1: weights[0]}
    for k, weight in enumerate(weights[1:], start=1):
        decay = min(0.7, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * weight
        averages[k + 1] = average
    assert len(weights) == 20
    found = {row["step"]: row["weight"] for row in training.milestones}
    assert sorted(found) == list(range(0, 21, 2))
    assert found == pytest.approx({step: averages[step] for step in found}, abs=2e-6)


def test_the_updates_are_those_of_adamw_at_the_learning_rate_of_each_step(tmp_path: Path):
    params = training_params(weight_decay=0.3, clip_norm=1e9)
    line = Line()
    training = run_line(tmp_path, line, params)
    order = ImageOrder(5, 4, training_seed(tmp_path), "line")
    weight, m, v = 0.5, 0.0, 0.0
    for step in range(20):
        assert line.weights[step] == pytest.approx(weight, rel=1e-4), step
        images = order.share(step, 0, 1)[0]
        gradient = sum(2 * (weight * x - 3) * x for x in images) / 4
        rate = 0.1 * learning_rate_factor(step, params)
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        weight -= rate * 0.3 * weight
        weight -= rate * (m / (1 - 0.9 ** (step + 1))) / (math.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8)
    assert training.networks["line"].weight.item() == pytest.approx(weight, rel=1e-4)


def training_seed(folder: Path) -> int:
    return small_params(folder).seed


def test_the_gradient_is_clipped_before_the_step(tmp_path: Path):
    """Adam's first moment is a tenth of the gradient that the step took: of norm 1, not of thousands."""
    line = Line(scale=1000)
    training = run_line(tmp_path, line, training_params(num_steps=1, warmup_steps=0, clip_norm=1.0))
    ((state,),) = [list(optimizer.state.values()) for optimizer in training.optimizers.values()]
    assert abs(state["exp_avg"].item()) == pytest.approx(0.1, rel=1e-3)
    assert abs(training.networks["line"].weight.grad.item()) == pytest.approx(1, rel=1e-3)  # type: ignore[union-attr]


def test_history_holds_the_mean_of_each_loss_over_the_steps_that_have_it(tmp_path: Path):
    line = Line()
    history = run_line(tmp_path, line, training_params()).history
    assert [row["step"] for row in history] == [6, 12, 18, 20]
    for row, start in zip(history, (0, 6, 12, 18), strict=True):
        losses = line.losses[start : int(row["step"])]
        assert row["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-6)
    late = line.losses[8:12]
    assert "late" not in history[0]
    assert history[1]["late"] == pytest.approx(sum(late) / 4, abs=1e-6)


@pytest.mark.parametrize(("gradient", "what"), [(0.0, "the loss of line is nan"), (1.0, "the gradient of line")])
def test_what_is_not_finite_stops_the_training_before_the_update_and_names_the_step(
    tmp_path: Path, gradient: float, what: str
):
    line = Line(poison=7, gradient=gradient)
    with pytest.raises(ValueError, match=f"{what}.* at step 7, before the update"):
        run_line(tmp_path, line, training_params())
    assert line.networks["line"].weight.item() == line.weights[7]


def test_the_learning_rate_warms_up_linearly_and_falls_along_half_a_cosine():
    params = training_params(num_steps=24, warmup_steps=4)
    factors = [learning_rate_factor(step, params) for step in range(25)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert factors[4] == 1
    assert factors[14] == pytest.approx(0.5)
    assert factors[9] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factors[24] == pytest.approx(0, abs=1e-12)
    assert learning_rate_factor(0, training_params(warmup_steps=0)) == 1


@given(st.integers(1, 40), st.integers(1, 4), st.sampled_from([1, 2, 3, 4]), st.integers(0, 10**6))
def test_each_epoch_is_a_permutation_and_processes_only_share_it_out(images: int, share: int, world: int, seed: int):
    batch = share * world
    steps = -(-3 * images // batch)
    alone = ImageOrder(images, batch, seed, "x")
    stream = [index for step in range(steps) for index in alone.share(step, 0, 1)[0]]
    for start in range(0, 3 * images, images):
        assert sorted(stream[start : start + images]) == list(range(images))
    several = [ImageOrder(images, batch, seed, "x") for _ in range(world)]
    for step in range(steps):
        together: dict[int, int] = {}
        for rank, order in enumerate(several):
            indices, draws = order.share(step, rank, world)
            assert len(indices) == share
            together |= dict(zip(draws, indices, strict=True))
        expected, draws = alone.share(step, 0, 1)
        assert together == dict(zip(draws, expected, strict=True))


def test_the_order_differs_from_epoch_to_epoch_and_with_the_seed():
    epochs = [ImageOrder(50, 50, 1, "x").share(step, 0, 1)[0] for step in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert ImageOrder(50, 50, 2, "x").share(0, 0, 1)[0] != epochs[0]
    assert ImageOrder(50, 50, 1, "y").share(0, 0, 1)[0] != epochs[0]


def test_a_batch_that_processes_cannot_share_evenly_is_refused():
    with pytest.raises(ValueError, match="batch_size 6 must be a multiple of the 4 processes"):
        ImageOrder(10, 6, 1, "x").share(0, 0, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(tmp_path: Path, kind: str):
    params = small_params(tmp_path, {"superres": {"l1_phase": 0.0}})
    training = run_training(kind, SmallStage(params=params, scratch=tmp_path / "run"))
    for turn, network in training.networks.items():
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, f"{turn}.{name}"
            assert parameter.grad.abs().max() > 0, f"{turn}.{name}"


def test_the_discriminator_rests_in_the_l1_phase_and_the_generator_is_trained_in_both(tmp_path: Path):
    params = small_params(tmp_path, {"superres": {"l1_phase": 0.5}})
    with pytest.raises(Stopped):
        run_training("superres", SmallStage(params=params, scratch=tmp_path / "run", stop_after=6))
    fresh = objective_of("superres", params, tmp_path)
    state = load_newest_state(tmp_path / "run" / "checkpoints", torch.device("cpu"))
    assert state is not None
    assert state["step"] == 6
    same = {
        turn: all(torch.equal(value, state["networks"][turn][name]) for name, value in network.state_dict().items())
        for turn, network in fresh.networks.items()
    }
    assert same == {"generator": False, "discriminator": True}
    history = run_training("superres", SmallStage(params=params, scratch=tmp_path / "run")).history
    assert [set(row) - {"step", "learning_rate"} for row in history] == [{"l1"}] + 2 * [
        {"l1", "perceptual", "adversarial", "discriminator"}
    ]


def overfitting(folder: Path) -> Params:
    training = {"num_steps": 240, "batch_size": 16, "learning_rate": 0.004, "warmup_steps": 10, "log_every": 20}
    network = {"widths": [24, 32, 32, 32], "attention": [False, False, True], "patch_size": 2}
    schedule = {"num_train_timesteps": 1000}
    return small_params(folder, {"diffusion": {"network": network, "schedule": schedule, "training": training}})


def test_the_denoiser_learns_four_pictures_by_heart(tmp_path: Path):
    params = overfitting(tmp_path)
    images = pictures(4, 16, 32)
    objective = Denoising(params.diffusion, images, images, params.seed, tmp_path / "previews")
    stage = SmallStage(params=params, scratch=tmp_path / "run")
    training = train(objective, params.diffusion.training, 4, stage, "diffusion")  # type: ignore[arg-type]
    losses = [row["loss"] for row in training.history]
    assert losses[-1] < losses[0] / 2.5
    assert training.milestones[-1]["val_loss"] < training.milestones[0]["val_loss"] / 3, training.milestones


def test_throughput_is_noted_for_the_record(tmp_path: Path):
    stage = SmallStage(params=small_params(tmp_path), scratch=tmp_path / "run")
    run_training("encoder", stage)
    assert stage.notes["steps_of_last_run"] == 12
    assert stage.notes["images_a_second"] > 0


def test_a_batch_taken_in_parts_gives_the_weights_of_the_whole_one(tmp_path: Path):
    changes = {"diffusion": {"training": {"accumulation": 2, "batch_size": 4}}}
    whole = small_params(tmp_path, {"diffusion": {"training": {"batch_size": 4}}})
    parts = small_params(tmp_path, changes)
    one = run_training("diffusion", SmallStage(params=whole, scratch=tmp_path / "whole"))
    other = run_training("diffusion", SmallStage(params=parts, scratch=tmp_path / "parts"))
    assert [row["loss"] for row in other.history] == pytest.approx([row["loss"] for row in one.history], abs=1e-5)
    torch.testing.assert_close(
        other.networks["denoiser"].state_dict(), one.networks["denoiser"].state_dict(), atol=1e-4, rtol=0
    )


def test_a_batch_that_cannot_be_taken_in_equal_parts_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="accumulation must divide batch_size: 3 against 4"):
        training_params(accumulation=3)
    with pytest.raises(ValueError, match=r"multiple of the 2 processes times accumulation \(4\)"):
        ImageOrder(5, 4, 1, "x", accumulation=4).share(0, 0, 2)
    with pytest.raises(ValueError, match="an image is told from the others of its whole batch"):
        small_params(tmp_path, {"encoder": {"training": {"accumulation": 2}}})


@pytest.mark.parametrize("parts", [1, 2])
def test_the_operations_of_a_step_and_their_share_of_the_machine_are_noted(tmp_path: Path, parts: int):
    stage = SmallStage(params=small_params(tmp_path), scratch=tmp_path / "line")
    train(Line(), training_params(accumulation=parts), 5, stage, "line")  # type: ignore[arg-type]
    assert stage.notes["operations_a_step"] == 2 * 4 * 2  # (4, 1) × (1, 1), forward and for the weight's gradient
    seconds = stage.notes["steps_of_last_run"] * 4 / stage.notes["images_a_second"]
    rate = stage.notes["operations_a_step"] * 20 / seconds / stage.notes["matrix_operations_a_second"]
    assert stage.notes["share_of_matrix_rate"] == pytest.approx(rate, abs=1e-4)
    assert stage.notes["matrix_operations_a_second"] > 1e9


@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling needs a C++ compiler")
def test_compiled_networks_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("plain", "compiled"):
        (tmp_path / name).mkdir()
    plain = run_line(tmp_path / "plain", Line(), training_params(num_steps=6))
    monkeypatch.setenv("PANODIFF_COMPILE", "1")
    compiled = run_line(tmp_path / "compiled", Line(), training_params(num_steps=6))
    network = compiled.networks["line"]
    assert network._compiled_call_impl is not None
    assert network.weight.item() == pytest.approx(plain.networks["line"].weight.item(), abs=1e-6)
    assert list(network.state_dict()) == ["weight"]
