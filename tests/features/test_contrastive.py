"""The contrastive objective of the encoder."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SmallStage, objective_of, pictures, small_params

from panodiff.features.contrastive import Contrast, effective_rank, nt_xent, train_encoder, view, view_size
from panodiff.features.encoder import Encoder, load_encoder
from panodiff.images import to_unit
from panodiff.randomness import seeded_init, torch_generator
from panodiff.sources.phantom import draw_phantom
from panodiff.sources.phantom.devices import DEVICES


def unit_vectors(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def equation_1(z: np.ndarray, temperature: float) -> float:
    """SimCLR's loss as it is printed, pair after pair."""
    count = len(z) // 2
    losses = []
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = [math.exp(z[i] @ z[k] / temperature) for k in range(2 * count) if k != i]
        losses.append(-math.log(math.exp(z[i] @ z[j] / temperature) / sum(others)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_equation_1_of_its_paper(temperature: float):
    z = unit_vectors(10, 6)
    loss, _ = nt_xent(z, temperature)
    assert loss.item() == pytest.approx(equation_1(z.numpy(), temperature), rel=1e-9)


def test_equal_views_of_orthogonal_images_are_all_found_and_the_loss_has_a_closed_form():
    eye = torch.eye(4, dtype=torch.float64)
    loss, found = nt_xent(torch.cat([eye, eye]), 0.5)
    assert found == 1
    assert loss.item() == pytest.approx(-2 + math.log(math.exp(2) + 6))


def test_the_rank_counts_the_directions_in_which_features_differ():
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(12, 12, generator=generator))[0]
    signs = torch.tensor([[1.0 if number >> bit & 1 else -1.0 for bit in range(3)] for number in range(8)])
    assert effective_rank(3 + signs @ directions[:3]) == pytest.approx(3, rel=1e-4)  # equally strong, uncorrelated
    assert effective_rank(3 + signs[:, :1] * directions[:1]) == pytest.approx(1)  # all on a line
    assert effective_rank(torch.ones(8, 12)) == pytest.approx(1)  # all in a point


def test_views_that_belong_to_others_are_not_found():
    eye = torch.eye(4)
    assert nt_xent(torch.cat([eye, eye.roll(1, 0)]), 0.5)[1] == 0


def test_the_loss_is_as_exact_under_bfloat16_as_without():
    z = unit_vectors(40, 16).float()
    expected, found = nt_xent(z, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, also_found = nt_xent(z, 0.05)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert found == also_found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_view_keeps_the_range_and_has_the_size_asked_for(seed: int, one: float, other: float):
    image = to_unit(pictures(1, 40, 80))[0]
    crop = (min(one, other), max(one, other))
    found = view(image, crop, (16, 32), torch_generator(seed, "test"))
    assert found.shape == (1, 16, 32)
    assert 0 <= found.min() <= found.max() <= 1


def test_views_differ_and_follow_their_generator():
    image = to_unit(pictures(1, 40, 80))[0]
    first, second = (view(image, (0.5, 1), (16, 32), torch_generator(seed, "test")) for seed in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(first, view(image, (0.5, 1), (16, 32), torch_generator(1, "test")))


def test_views_of_all_scales_are_drawn_and_none_is_tiny():
    sizes = {view_size(torch.Size((128, 256)), torch_generator(1, "size", step)) for step in range(60)}
    assert len(sizes) >= 2
    assert all(wide == 2 * high for high, wide in sizes)
    assert view_size(torch.Size((16, 32)), torch_generator(1, "size", 0)) == (16, 32)


def test_an_images_views_do_not_depend_on_the_others_of_its_batch(tmp_path: Path):
    objective = objective_of("encoder", small_params(tmp_path), tmp_path)
    assert isinstance(objective, Contrast)
    together, alone = objective.batch([4, 5, 6], [30, 31, 32], 7), objective.batch([5], [31], 7)
    assert together.shape[0] == 6
    assert torch.equal(together[[1, 4]], alone)


def test_the_stage_leaves_an_encoder_that_tells_images_apart_better_than_at_first(tmp_path: Path):
    training = {"num_steps": 200, "batch_size": 8, "learning_rate": 0.01, "log_every": 20}
    params = small_params(tmp_path, {"encoder": {"training": training, "widths": [16, 32, 32], "crop": [0.8, 1.0]}})
    stage = SmallStage(params=params, scratch=tmp_path / "scratch")
    images = pictures(16, 32, 64)
    train_encoder(stage, images=images, held_out=images, model=tmp_path / "m", metrics=tmp_path / "metrics")  # type: ignore[arg-type]
    encoder = load_encoder(tmp_path / "m", torch.device("cpu"))
    assert encoder(to_unit(images)).shape == (16, 32)
    lines = (tmp_path / "metrics" / "milestones.csv").read_text().splitlines()
    assert lines[0] == "step,val_loss,val_found,val_rank,val_rank_low"
    (_, first, *_), (_, last, _, *ranks) = (map(float, line.split(",")) for line in (lines[1], lines[-1]))
    assert last < 0.7 * first
    assert min(ranks) > 2
    assert (tmp_path / "metrics" / "history.csv").read_text().startswith("step,loss,found,learning_rate\n20,")


def test_a_trained_encoder_finds_the_originals_of_changed_phantoms_where_random_weights_do_not(tmp_path: Path):
    devices = list(DEVICES.values())
    images = np.stack([draw_phantom(1, number, 64, 128, devices[number % 5])[0] for number in range(70)])
    training = {"num_steps": 120, "batch_size": 24, "learning_rate": 0.003, "log_every": 20}
    params = small_params(tmp_path, {"encoder": {"training": training, "widths": [16, 32, 64], "crop": [0.7, 1.0]}})
    stage = SmallStage(params=params, scratch=tmp_path / "scratch")
    train_encoder(stage, images=images[:40], held_out=images[:8], model=tmp_path / "m", metrics=tmp_path / "metrics")  # type: ignore[arg-type]
    with seeded_init(1, "test"):
        untrained = Encoder(params.encoder.widths).eval()
    held_out = to_unit(images[40:])
    noise = torch.randn(held_out.shape, generator=torch_generator(1, "test"))
    copies = (held_out.roll((2, 4), (2, 3)) ** 1.3 + 0.02 * noise).clamp(0, 1)

    @torch.inference_mode()
    def share_found(encoder: Encoder) -> float:
        ours, theirs = (F.normalize(encoder(x) - encoder(held_out).mean(0)) for x in (copies, held_out))
        return ((ours @ theirs.T).argmax(1) == torch.arange(30)).double().mean().item()

    assert share_found(load_encoder(tmp_path / "m", torch.device("cpu"))) > share_found(untrained) + 0.2
