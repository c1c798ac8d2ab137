"""The objective of super-resolution: crops, phases, milestones, and what its stage leaves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from small import SmallStage, objective_of, pictures, small_encoder, small_params

from panodiff.degradation.pairs import make_pairs
from panodiff.images import area_average, from_unit, read_grey, to_unit
from panodiff.model_card import TrainingImages
from panodiff.randomness import torch_generator
from panodiff.superres.losses import encoder_loss
from panodiff.superres.model import bicubic, load_superres
from panodiff.superres.restoring import Restoring, random_crop
from panodiff.superres.train import best_milestone, train_superres

CPU = torch.device("cpu")


def restoring(folder: Path, **changes: object) -> Restoring:
    objective = objective_of("superres", small_params(folder, {"superres": changes}), folder)
    assert isinstance(objective, Restoring)
    return objective


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6))
def test_a_crop_lies_inside_the_image_on_the_grid_of_low_resolution_pixels(
    multiple: int, side: int, below: int, right: int, seed: int
):
    height, width = (side + below) * multiple, (side + right) * multiple
    image = torch.arange(height * width).reshape(1, height, width)
    crop = random_crop(image, side * multiple, multiple, torch.Generator().manual_seed(seed))
    assert crop.shape == (1, side * multiple, side * multiple)
    top, left = divmod(int(crop[0, 0, 0]), width)
    assert top % multiple == left % multiple == 0
    assert torch.equal(crop, image[:, top : top + crop.shape[1], left : left + crop.shape[2]])


def test_crops_reach_every_place():
    image = torch.arange(6 * 8).reshape(1, 6, 8)
    generator = torch.Generator().manual_seed(1)
    corners = {int(random_crop(image, 4, 2, generator)[0, 0, 0]) for _ in range(200)}
    assert corners == {0, 2, 4, 16, 18, 20}


def test_an_undamaged_crop_is_a_piece_of_the_harmonized_pair(tmp_path: Path):
    objective = restoring(tmp_path, degradation={"noise": 0.0, "grain": 0.0, "blur": 0.0})
    batch = objective.batch([3], [77], 0)
    image = pictures(10, 64, 128)[3]
    low = area_average(image, 2)
    high, found = from_unit(batch.high_res)[0], from_unit(batch.low_res)[0]
    places = [
        (top, left)
        for top in range(0, 33, 2)
        for left in range(0, 97, 2)
        if np.array_equal(image[top : top + 32, left : left + 32], high)
    ]
    assert places
    assert any(np.array_equal(low[t // 2 : t // 2 + 16, le // 2 : le // 2 + 16], found) for t, le in places)


def test_an_images_crop_and_damage_follow_its_own_number_alone(tmp_path: Path):
    objective = restoring(tmp_path)
    together, alone = objective.batch([1, 2, 3], [10, 11, 12], 0), objective.batch([2], [11], 9)
    assert torch.equal(together.high_res[1:2], alone.high_res)
    assert torch.equal(together.low_res[1:2], alone.low_res)


def test_the_published_damage_asks_for_sharpened_images(tmp_path: Path):
    objective = restoring(tmp_path, degradation={"kind": "real_esrgan"}, l1_phase=1.0)
    batch = objective.batch([0, 1], [5, 6], 0)
    generators = [torch_generator(objective.seed, "superres/crops", draw) for draw in (5, 6)]
    for generator in generators:  # the crop's row and column come first
        torch.randint(0, 17, (2,), generator=generator)
    params = objective.params.degradation
    _, wanted = make_pairs(batch.high_res, 2, params, generators)
    assert torch.equal(batch.wanted, wanted)
    assert not torch.equal(batch.wanted, batch.high_res)
    loss, _ = objective.loss("generator", batch, 0)
    assert batch.restored is not None
    torch.testing.assert_close(loss, F.l1_loss(batch.restored, wanted))


@pytest.mark.parametrize(("l1_phase", "first"), [(0.0, 0), (0.5, 6), (0.7, 9), (1.0, 12)])
def test_the_second_phase_begins_after_its_share_of_the_steps(tmp_path: Path, l1_phase: float, first: int):
    objective = restoring(tmp_path, l1_phase=l1_phase)
    turns = [objective.turns(step) for step in range(12)]
    assert turns == [("generator",)] * first + [("generator", "discriminator")] * (12 - first)


def test_the_generators_loss_is_the_weighted_sum_of_what_is_shown(tmp_path: Path):
    weights = {"l1": 2.0, "perceptual": 0.5, "adversarial": 0.25}
    objective = restoring(tmp_path, loss=weights, l1_phase=0.5)
    batch = objective.batch([0, 1], [0, 1], 0)
    loss, shown = objective.loss("generator", batch, 0)
    assert batch.restored is not None
    torch.testing.assert_close(loss, 2 * F.l1_loss(batch.restored, batch.high_res))
    loss, shown = objective.loss("generator", batch, 6)
    expected = sum(weights[name] * shown[name] for name in weights)
    torch.testing.assert_close(loss, expected)


def test_each_turn_gives_gradients_to_its_own_network_only(tmp_path: Path):
    objective = restoring(tmp_path, l1_phase=0.0)
    generator, discriminator = objective.networks["generator"], objective.networks["discriminator"]
    batch = objective.batch([0, 1], [0, 1], 0)
    objective.loss("generator", batch, 0)[0].backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in generator.parameters())
    generator.zero_grad(set_to_none=True)
    objective.loss("discriminator", batch, 0)[0].backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_a_milestone_is_the_mean_psnr_over_whole_held_out_images(tmp_path: Path):
    objective = restoring(tmp_path)
    with torch.inference_mode():
        found = objective.milestone(4, objective.networks["generator"])
    held_out = pictures(3, 64, 128, seed=1)
    low_res = to_unit(np.stack([area_average(image, 2) for image in held_out]))
    with torch.inference_mode():
        restored = to_unit(from_unit(objective.networks["generator"](low_res)))
    real = to_unit(held_out)
    for name, images in (("val_psnr", restored), ("val_psnr_bicubic", to_unit(from_unit(bicubic(low_res, 2))))):
        values = [
            peak_signal_noise_ratio(real[i].numpy(), images[i].numpy(), data_range=1) for i in range(len(held_out))
        ]
        assert found[name] == pytest.approx(np.mean(values), abs=1e-3)
    names = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert names == ["step-000000004.png"]
    row = read_grey(tmp_path / "previews" / names[0])
    assert row.shape == (64, 3 * 128 + 2 * 2)
    assert np.array_equal(row[:, -128:], held_out[0])


def test_the_stage_leaves_a_model_that_loads_and_its_history(tmp_path: Path):
    params = small_params(tmp_path, {"superres": {"l1_phase": 0.5}})
    stage = SmallStage(params=params, scratch=tmp_path / "scratch")
    images = pictures(6, 64, 128)
    train_superres(
        stage,  # type: ignore[arg-type]
        images=images,
        held_out=images[:2],
        scale=2,
        perceptual=encoder_loss(small_encoder()),
        lpips=None,
        counts=[TrainingImages(source="drawn", number=6)],
        model=tmp_path / "model",
        metrics=tmp_path / "metrics",
    )
    network = load_superres(tmp_path / "model", CPU)
    low_res = to_unit(np.stack([area_average(image, 2) for image in images]))
    with torch.inference_mode():
        found = from_unit(network(low_res))
    assert found.shape == (6, 64, 128)
    assert np.abs(found.astype(int) - images).mean() < 20
    header = (tmp_path / "metrics" / "history.csv").read_text().splitlines()[0]
    assert header == "step,l1,learning_rate,perceptual,adversarial,discriminator"
    assert read_grey(tmp_path / "metrics" / "progress.png").shape[0] == 11 * 64 + 10 * 2
    rows = pd.read_csv(tmp_path / "metrics" / "milestones.csv").set_index("step")
    assert rows["kept"].sum() == 1
    assert rows.index[rows["kept"] == 1] == [stage.notes["kept_step"]]
    kept = load_superres(
        objective_of("superres", params, stage.scratch).candidates / f"step-{stage.notes['kept_step']:09d}", CPU
    )
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), network.parameters(), strict=True))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| drawn | 6 |" in card
    assert f"after step {stage.notes['kept_step']}" in card


def row(step: int, psnr: float, **distance: float) -> dict[str, float]:
    return {"step": step, "val_psnr": psnr} | {f"val_{name}": value for name, value in distance.items()}


def test_the_kept_milestone_is_the_nearest_in_lpips_that_is_faithful():
    early = [row(0, 30, lpips=0.5, perceptual=1), row(10, 33, lpips=0.1, perceptual=1)]
    late = [
        row(20, 32, lpips=0.3, perceptual=0.1),
        row(30, 31.5, lpips=0.2, perceptual=0.2),  # 1.5 dB less than the best: just faithful
        row(40, 31.4, lpips=0.15, perceptual=0.2),
    ]
    assert best_milestone([*early, *late], l1_steps=10) == 30
    without = [{name: value for name, value in row.items() if name != "val_lpips"} for row in [*early, *late]]
    assert best_milestone(without, l1_steps=10) == 20


def test_without_a_faithful_or_a_second_phase_there_is_still_a_model():
    early, late = [row(0, 30, lpips=0.5), row(10, 33, lpips=0.1)], [row(20, 31, lpips=0.3), row(30, 30, lpips=0.4)]
    assert best_milestone([*early, *late], l1_steps=10) == 30
    assert best_milestone(early, l1_steps=10) == 10
