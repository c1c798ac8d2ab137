"""The objective of the diffusion model, and the figures that its stage leaves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import SmallStage, objective_of, pictures, small_params
from torch import nn

from panodiff.checkpoint import load_weights, read_config
from panodiff.diffusion.denoising import Denoising, build_unet
from panodiff.diffusion.schedule import make_scheduler
from panodiff.diffusion.train import forward_process, train_diffusion
from panodiff.images import read_grey, to_signed
from panodiff.model_card import TrainingImages, count_by_source
from panodiff.params import ScheduleParams, UNetParams


def denoising(folder: Path, **changes: object) -> Denoising:
    objective = objective_of("diffusion", small_params(folder, {"diffusion": changes}), folder)
    assert isinstance(objective, Denoising)
    return objective


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_is_the_distance_to_what_the_prediction_is_named_after(tmp_path: Path, prediction: str, loss: str):
    schedule = {"zero_terminal_snr": prediction == "v_prediction"}
    objective = denoising(tmp_path, prediction=prediction, loss=loss, schedule=schedule)
    batch = objective.batch([2, 7], [20, 21], 5)
    signal = objective.scheduler.alphas_cumprod[batch.t].sqrt().float().reshape(-1, 1, 1, 1)
    spread = (1 - signal**2).sqrt()
    x_0 = to_signed(pictures(10, 32, 64)[[2, 7]])
    noise = (batch.x_t - signal * x_0) / spread
    expected = signal * noise - spread * x_0 if prediction == "v_prediction" else noise
    torch.testing.assert_close(batch.target, expected, atol=1e-4, rtol=0)
    found, shown = objective.loss("denoiser", batch, 5)  # the untrained network predicts zero
    distance = batch.target.abs().mean() if loss == "l1" else batch.target.square().mean()
    torch.testing.assert_close(found, distance)
    assert shown.keys() == {"loss"}


def test_an_images_noise_and_time_follow_its_own_number_alone(tmp_path: Path):
    objective = denoising(tmp_path)
    together = objective.batch([0, 1, 2], [10, 11, 12], 3)
    alone = objective.batch([1], [11], 99)
    assert torch.equal(together.x_t[1:2], alone.x_t)
    assert torch.equal(together.t[1:2], alone.t)
    assert not torch.equal(objective.batch([1], [13], 3).x_t, alone.x_t)


def test_times_are_drawn_from_all_timesteps_alike(tmp_path: Path):
    objective = denoising(tmp_path)  # of 8 timesteps
    counts = torch.bincount(objective.batch([0] * 1600, list(range(1600)), 0).t, minlength=8)
    assert len(counts) == 8
    assert counts.min() > 150
    assert counts.max() < 250


def test_a_milestone_measures_the_same_images_noise_and_times_every_time(tmp_path: Path):
    objective = denoising(tmp_path)
    with torch.inference_mode():
        first = objective.milestone(3, objective.networks["denoiser"])
        again = objective.milestone(3, objective.networks["denoiser"])
    assert first == again
    assert first["val_loss"] > 0
    by_bin = [first[f"val_loss_bin_{number}"] for number in range(4)]
    assert first["val_loss"] == pytest.approx(np.mean(by_bin))
    assert len(set(by_bin)) == 4
    strip = read_grey(tmp_path / "previews" / "step-000000003.png")
    assert strip.shape == (32, 6 * 64 + 5 * 2)
    assert len({strip[:, start : start + 64].tobytes() for start in range(0, 6 * 66, 66)}) == 6


def test_the_stage_leaves_a_model_that_loads_its_history_and_its_figures(tmp_path: Path):
    params = small_params(tmp_path)
    stage = SmallStage(params=params, scratch=tmp_path / "scratch")
    images = pictures(10, 32, 64)
    model, metrics = tmp_path / "model", tmp_path / "metrics"
    counts = [TrainingImages(source="tufts", number=7), TrainingImages(source="adld", number=3)]
    train_diffusion(stage, images=images, held_out=images[:2], counts=counts, model=model, metrics=metrics)  # type: ignore[arg-type]
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| tufts | 7 |" in card
    assert "drawn phantoms" in card
    assert f"seed {params.seed}" in card
    config = read_config(model)
    assert config["size"] == [32, 64]
    assert config["prediction"] == "v_prediction"
    assert ScheduleParams.model_validate(config["schedule"]) == params.diffusion.schedule
    network = build_unet(UNetParams.model_validate(config["network"]))
    before = network.conv_out.weight.clone()
    load_weights(model, network, torch.device("cpu"))
    assert not torch.equal(before, network.conv_out.weight)
    assert sorted(path.name for path in metrics.iterdir()) == [
        "forward.csv",
        "forward.png",
        "history.csv",
        "milestones.csv",
        "progress.png",
        "reverse.png",
    ]
    reverse = read_grey(metrics / "reverse.png")
    assert reverse.shape == (3 * 32 + 2 * 2, 3 * 64 + 2 * 2)
    assert np.abs(np.diff(reverse[:32, :64].astype(int))).mean() > 60  # it begins with noise
    assert (metrics / "history.csv").read_text().splitlines()[0] == "step,loss,learning_rate"
    assert len((metrics / "milestones.csv").read_text().splitlines()) == 1 + 11
    assert read_grey(metrics / "progress.png").shape[0] == 11 * 32 + 10 * 2


def test_the_forward_process_ends_in_noise_of_mean_and_deviation_one_half():
    scheduler = make_scheduler(
        ScheduleParams(kind="cosine", num_train_timesteps=1000, beta_max=0.999, zero_terminal_snr=False), "v_prediction"
    )
    image = pictures(1, 64, 128)[0]
    figure, table = forward_process(scheduler, image, seed=1)
    assert [row["t"] for row in table] == [0, 125, 250, 375, 500, 624, 749, 874, 999]
    assert table[0]["mean"] == pytest.approx(image.mean() / 255, abs=0.005)
    assert table[-1]["mean"] == pytest.approx(0.5, abs=0.02)
    assert table[-1]["standard_deviation"] == pytest.approx(0.5, abs=0.02)
    assert figure.shape == (3 * 64 + 2 * 2, 3 * 128 + 2 * 2)
    np.testing.assert_allclose(figure[:64, :128].astype(int), image.astype(int), atol=12)


def test_an_untrained_network_predicts_zero(tmp_path: Path):
    network: nn.Module = denoising(tmp_path).networks["denoiser"]
    assert (
        network(torch.randn(1, 1, 32, 64, generator=torch.Generator().manual_seed(1)), torch.tensor([3])).abs().max()
        == 0
    )


def test_the_images_of_the_card_are_those_of_the_train_split():
    rows = [("a", "train", "kept"), ("b", "train", "kept"), ("a", "train", "kept"), ("a", "test", "kept")]
    rows += [("b", "train", "duplicate"), ("c", "val", "kept")]
    corpus = pd.DataFrame(rows, columns=["source", "split", "status"])
    assert count_by_source(corpus) == [TrainingImages(source="a", number=2), TrainingImages(source="b", number=1)]
