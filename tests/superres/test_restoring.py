"""The objective of super-resolution: crops, phases, milestones, and what its stage leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from small import SmallStage, objective_of, pictures, small_encoder, small_params

from panodiff.checkpoint import save_model
from panodiff.images import area_average, from_unit, read_grey, to_unit
from panodiff.superres.model import bicubic, load_superres
from panodiff.superres.restoring import Restoring, random_crop
from panodiff.superres.train import train_superres


def restoring(folder: Path, **changes: object) -> Restoring:
    objective = objective_of("superres", small_params(folder, {"superres": changes}), folder / "previews")
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
    objective = restoring(tmp_path, degradation={"noise": 0.0, "blur": 0.0})
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
        restored = objective.networks["generator"](low_res).clamp(0, 1)
    real = to_unit(held_out)
    for name, images in (("val_psnr_db", restored), ("val_psnr_bicubic_db", bicubic(low_res, 2))):
        values = [
            peak_signal_noise_ratio(real[i].numpy(), images[i].numpy(), data_range=1) for i in range(len(held_out))
        ]
        assert found[name] == pytest.approx(np.mean(values), abs=1e-3)
    names = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert names == ["step-000000004-0.png", "step-000000004-1.png"]
    row = read_grey(tmp_path / "previews" / names[1])
    assert row.shape == (64, 3 * 128 + 2 * 2)
    assert np.array_equal(row[:, -128:], held_out[1])


def test_the_stage_leaves_a_model_that_loads_and_its_history(tmp_path: Path):
    params = small_params(tmp_path, {"superres": {"l1_phase": 0.5}})
    stage = SmallStage(params=params, scratch=tmp_path / "scratch")
    save_model(tmp_path / "encoder", small_encoder(), {"widths": [8, 16]})
    images = pictures(6, 64, 128)
    train_superres(
        stage,  # type: ignore[arg-type]
        images=images,
        held_out=images[:2],
        scale=2,
        encoder=tmp_path / "encoder",
        model=tmp_path / "model",
        metrics=tmp_path / "metrics",
    )
    network = load_superres(tmp_path / "model", torch.device("cpu"))
    low_res = to_unit(np.stack([area_average(image, 2) for image in images]))
    with torch.inference_mode():
        found = from_unit(network(low_res))
    assert found.shape == (6, 64, 128)
    assert np.abs(found.astype(int) - images).mean() < 20
    header = (tmp_path / "metrics" / "history.csv").read_text().splitlines()[0]
    assert header == "step,l1,learning_rate,perceptual,adversarial,discriminator"
    assert read_grey(tmp_path / "metrics" / "progress.png").shape[0] == 11 * 64 + 10 * 2
