import os
import warnings
from pathlib import Path

import pytest
import torch
from small import BACKBONES, install_random_weights
from torchmetrics.functional.image.lpips import _LPIPS

from panodiff.features.perceptual import load_lpips, perceptual_distance
from panodiff.weights import WeightsError, fetch

CPU = torch.device("cpu")
SHARED = Path(os.environ.get("PANODIFF_TEST_DATA", "../shared")) / "weights"


def image_pairs(size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    return torch.rand(2, 3, 1, *size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_lpips_equals_torchmetrics_with_the_same_backbone(tmp_path, backbone):
    weights = install_random_weights(tmp_path, backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = load_lpips(backbone, CPU, tmp_path)
    peer = _LPIPS(pretrained=True, net=BACKBONES[backbone][1], pnet_rand=True).eval()
    own = list(peer.net.state_dict())  # the same layers in the same order, under torchmetrics' own names
    peer.net.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    found, true = image_pairs()
    expected = peer(found.expand(-1, 3, -1, -1) * 2 - 1, true.expand(-1, 3, -1, -1) * 2 - 1).flatten()
    torch.testing.assert_close(perceptual_distance(network, found, true), expected)
    assert expected.min() > 0 and perceptual_distance(network, true, true).abs().max() == 0


def test_loading_leaves_the_global_generator_alone(tmp_path):
    install_random_weights(tmp_path, "alexnet")
    before = torch.get_rng_state()
    load_lpips("alexnet", CPU, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_network_do_not_pass(tmp_path):
    install_random_weights(tmp_path, "squeezenet")
    catalogue = (tmp_path / "catalogue.yaml").read_text()
    (tmp_path / "catalogue.yaml").write_text(catalogue.replace("squeezenet:", "alexnet:"))
    with pytest.raises(ValueError, match="do not fit LPIPS"):
        load_lpips("alexnet", CPU, tmp_path)


def test_missing_weights_name_the_command(tmp_path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    with pytest.raises(WeightsError, match="panodiff weights fetch alexnet"):
        load_lpips("alexnet", CPU, tmp_path)


def test_no_backbone_means_no_network():
    assert load_lpips(None, CPU) is None


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no pretrained weights in {SHARED} (PANODIFF_TEST_DATA)")
def test_lpips_with_squeezenet_gives_the_documented_value_of_torchmetrics(tmp_path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    fetch("squeezenet", tmp_path, SHARED)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        first, second = torch.rand(10, 3, 100, 100) * 2 - 1, torch.rand(10, 3, 100, 100) * 2 - 1
    assert load_lpips("squeezenet", CPU, tmp_path)(first, second).mean().item() == pytest.approx(0.1008, abs=5e-5)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no pretrained weights in {SHARED} (PANODIFF_TEST_DATA)")
def test_lpips_with_alexnet_grows_with_the_damage(tmp_path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    fetch("alexnet", tmp_path, SHARED)
    network = load_lpips("alexnet", CPU, tmp_path)
    true = torch.nn.functional.interpolate(image_pairs((8, 12))[0], scale_factor=8, mode="bicubic").clamp(0, 1)
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(1))
    distances = [perceptual_distance(network, true + s * noise, true).mean().item() for s in (0, 0.02, 0.1, 0.3)]
    assert distances[0] == 0 and distances == sorted(distances) and distances[-1] > 0.1
