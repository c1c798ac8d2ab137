"""VGG's feature maps against torchvision's networks."""

import os
from pathlib import Path

import pytest
import torch
import torchvision
import yaml
from safetensors.torch import load_file
from small import pictures
from torch import Tensor, nn

from panodiff.features.vgg import load_vgg
from panodiff.files import hash_file
from panodiff.images import to_unit
from panodiff.weights import WeightsError, fetch

CPU = torch.device("cpu")
SHARED = Path(os.environ.get("PANODIFF_TEST_DATA", "../shared")) / "weights"
LAST = {
    "vgg16": (2, 7, 14, 21, 28),
    "vgg19": (2, 7, 16, 25, 34),
}  # last convolutions before the poolings, torchvision's
IMAGES = to_unit(pictures(2, 32, 48))


def peers(backbone: str, features: nn.Sequential, normalised: Tensor) -> list[Tensor]:
    return [features[: index + 1](normalised) for index in LAST[backbone]]


def random_weights(path: Path, backbone: str) -> None:
    """A publisher's file, with a classifier that nobody needs."""
    generator = torch.Generator().manual_seed(0)
    shapes = getattr(torchvision.models, backbone)(weights=None).features.state_dict()
    tensors = {f"features.{k}": torch.randn(v.shape, generator=generator) / 20 for k, v in shapes.items()}
    torch.save(tensors | {"classifier.0.bias": torch.zeros(4)}, path)
    entry = {"file": path.name, "sha256": hash_file(path), "bytes": path.stat().st_size}
    entry |= {"licence": "none", "source": "drawn", "used_for": "a test"}
    (path.parent / "catalogue.yaml").write_text(yaml.safe_dump({backbone: entry}))


def test_vgg19_equals_torchvisions(tmp_path: Path):
    random_weights(tmp_path / "vgg19.pth", "vgg19")
    network = load_vgg("vgg19", CPU, tmp_path)
    peer = torchvision.models.vgg19(weights=None).features
    weights = torch.load(tmp_path / "vgg19.pth")
    peer.load_state_dict({name.removeprefix("features."): weights[name] for name in weights if "features" in name})
    transform = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()
    rgb = IMAGES.expand(-1, 3, -1, -1)
    normalised = torchvision.transforms.functional.normalize(rgb, transform.mean, transform.std)
    for found, expected in zip(network(IMAGES), peers("vgg19", peer, normalised), strict=True):
        torch.testing.assert_close(found, expected)


def test_maps_halve_and_the_network_is_frozen(tmp_path: Path):
    random_weights(tmp_path / "vgg16.pth", "vgg16")
    network = load_vgg("vgg16", CPU, tmp_path)
    assert [tuple(found.shape[1:]) for found in network(IMAGES)] == [
        (64, 32, 48),
        (128, 16, 24),
        (256, 8, 12),
        (512, 4, 6),
        (512, 2, 3),
    ]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_weights_name_the_command(tmp_path: Path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    with pytest.raises(WeightsError, match="panodiff weights fetch vgg19"):
        load_vgg("vgg19", CPU, tmp_path)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no pretrained weights in {SHARED} (PANODIFF_TEST_DATA)")
def test_vgg16_gives_what_oxfords_network_gives_for_oxfords_input(tmp_path: Path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    weights = load_file(fetch("vgg16", tmp_path, SHARED))
    peer = torchvision.models.vgg16(weights=None).features
    peer.load_state_dict({name.removeprefix("features."): tensor.float() for name, tensor in weights.items()})
    greys = IMAGES.expand(-1, 3, -1, -1) * 255 - torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
    maps = load_vgg("vgg16", CPU, tmp_path)(IMAGES)
    ratios = [(expected / found).median() for found, expected in zip(maps, peers("vgg16", peer, greys), strict=True)]
    torch.testing.assert_close(torch.stack(ratios), torch.full((5,), 57.63), atol=0.01, rtol=0)
    for found, expected in zip(maps, peers("vgg16", peer, greys), strict=True):
        torch.testing.assert_close(found * ratios[0], expected, rtol=1e-3, atol=1e-2)
