"""The model as other stages use it: grey images through networks of one channel and of three, and its folder."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from panodiff.checkpoint import read_config, save_model
from panodiff.params import HATParams
from panodiff.sampling.tiles import enlarge_in_tiles
from panodiff.superres.model import BlockRatios, Restorer, bicubic, load_superres

CPU = torch.device("cpu")


def some_params(**changes) -> HATParams:
    sizes = {"embed_dim": 36, "depths": (2,), "num_heads": (2,), "window_size": 4, "num_feat": 8, "bicubic_skip": False}
    return HATParams.model_validate(sizes | changes)


def a_restorer(params: HATParams, **arguments) -> Restorer:
    """Of random weights, in float64."""
    restorer = Restorer(params, 2, **arguments)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in restorer.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return restorer.double().eval().requires_grad_(False)


def low_res(batch: int = 2, height: int = 8, width: int = 12) -> Tensor:
    return torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_of_one_channel_the_model_is_the_network():
    restorer = a_restorer(some_params())
    assert torch.equal(restorer(low_res()), restorer.hat(low_res()))


def test_of_three_channels_each_gets_the_image_and_the_mean_comes_back():
    restorer = a_restorer(some_params(), in_chans=3)
    colours = restorer.hat(torch.cat([low_res()] * 3, dim=1))
    assert colours.std(dim=1).min() > 0  # they differ: one of them alone is another image
    torch.testing.assert_close(restorer(low_res()), colours.sum(dim=1, keepdim=True) / 3, rtol=0, atol=1e-12)


@pytest.mark.parametrize("in_chans", [1, 3])
def test_with_the_skip_an_untrained_model_is_bicubic_enlargement(in_chans: int):
    restorer = Restorer(some_params(bicubic_skip=True), 2, in_chans=in_chans).double()
    mean = restorer.hat.mean.mean()  # is subtracted from what the network sees, and added to what it returns
    expected = F.interpolate(low_res(), scale_factor=2, mode="bicubic") + mean
    torch.testing.assert_close(restorer(low_res()), expected, rtol=0, atol=1e-12)


def test_each_ratio_changes_what_its_name_says():
    def sizes(**changed: float) -> dict[str, torch.Size]:
        state = Restorer(some_params(), 2, ratios=BlockRatios(**changed)).hat.state_dict()
        return {name: tensor.shape for name, tensor in state.items()}

    expected = {
        "overlap_ratio": (1.0, "residual_group.overlap_attn.relative_position_bias_table", 0, (4 + 8 - 1) ** 2),
        "mlp_ratio": (3.0, "residual_group.blocks.0.mlp.fc1.weight", 0, 108),
        "compress_ratio": (4, "residual_group.blocks.0.conv_block.cab.0.weight", 0, 9),
        "squeeze_factor": (6, "residual_group.blocks.0.conv_block.cab.3.attention.1.weight", 0, 6),
    }
    for ratio, (value, name, axis, length) in expected.items():
        assert sizes()[f"layers.0.{name}"][axis] != length
        assert sizes(**{ratio: value})[f"layers.0.{name}"][axis] == length


def test_a_folder_gives_the_model_back_whatever_its_channels_and_ratios(tmp_path: Path):
    config = {"network": some_params().model_dump(mode="json"), "scale": 2}
    changed = {"overlap_ratio": 1.0, "mlp_ratio": 3.0, "compress_ratio": 4, "squeeze_factor": 6}
    for name, restorer, more in (
        ("trained", a_restorer(some_params()), {}),
        (
            "imported",
            a_restorer(some_params(), in_chans=3, ratios=BlockRatios(**changed)),
            {"in_chans": 3, "ratios": changed},
        ),
    ):
        save_model(tmp_path / name, restorer.float().hat, config | more)
        found = load_superres(tmp_path / name, CPU)
        assert not found.training
        assert torch.equal(found(low_res().float()), restorer(low_res().float()))
    assert "ratios" in read_config(tmp_path / "imported")


def test_a_ratio_that_is_not_known_is_refused(tmp_path: Path):
    config = {"network": some_params().model_dump(mode="json"), "scale": 2, "ratios": {"conv_ratio": 2}}
    save_model(tmp_path, a_restorer(some_params()).hat, config)
    with pytest.raises(TypeError, match="conv_ratio"):
        load_superres(tmp_path, CPU)


def test_a_network_of_three_channels_enlarges_in_tiles():
    restorer = a_restorer(some_params(), in_chans=3)
    whole = restorer(low_res(1, 8, 16))
    tiled = enlarge_in_tiles(restorer, low_res(1, 8, 16), scale=2, tile_size=16, overlap=8, window_size=4)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_bicubic_enlargement_stays_within_the_greys():
    edge = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64).expand(1, 1, 4, 4)
    found = bicubic(edge, 2)
    assert found.shape == (1, 1, 8, 8)
    assert (found.min(), found.max()) == (0, 1)
    assert F.interpolate(edge, scale_factor=2, mode="bicubic").max() > 1
