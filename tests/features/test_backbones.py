"""Each backbone against the library that it comes from, with random weights; the published convention end to end."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from small import pictures
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from panodiff.checkpoint import save_model
from panodiff.evaluation.sets.inception import NUM_SPLITS, inception_score, split_score
from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.features.backbones import features_and_logits, load_backbones
from panodiff.features.embed import embed
from panodiff.features.encoder import Encoder
from panodiff.files import hash_file
from panodiff.images import to_unit, write_grey
from panodiff.randomness import numpy_generator, seeded_init
from panodiff.weights import WeightsError

CPU = torch.device("cpu")


class Unloaded(FeatureExtractorInceptionV3):
    """torch-fidelity's network with the weights that it was built with."""

    def load_state_dict(self, state_dict):
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """data/weights with random Inception and ResNet-50 weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "empty.pth")
    with seeded_init(0, "test"):
        inception = Unloaded("inception-v3-compat", ["2048"], feature_extractor_weights_path=folder / "empty.pth")
        resnet = torchvision.models.resnet50(weights=None)
        for module in inception.modules():  # as built, its outputs vanish
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    catalogue = {}
    for name, network in (("inception", inception), ("resnet50", resnet)):
        path = folder / f"{name}.pth"
        torch.save(network.state_dict(), path)
        catalogue[name] = {"file": path.name, "sha256": hash_file(path), "bytes": path.stat().st_size}
        catalogue[name] |= {"licence": "none", "source": "drawn", "used_for": "a test"}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    return folder


@pytest.fixture(scope="module")
def inception(weights):
    return load_backbones(["inception"], Path("none"), CPU, weights)["inception"]


def test_inception_equals_torchmetrics_from_files_to_fid(weights, inception, tmp_path):
    """The published convention: 8-bit PNGs at native size, `normalize=True`."""
    sets = {"fake": pictures(6, 64, 128), "real": 255 - pictures(5, 64, 128)}
    metric = FrechetInceptionDistance(normalize=True, feature_extractor_weights_path=weights / "inception.pth")
    found = {}
    for name, images in sets.items():
        for number, image in enumerate(images):
            write_grey(tmp_path / f"{name}{number}.png", image)
        paths = [tmp_path / f"{name}{number}.png" for number in range(len(images))]
        embedded = embed(paths, {"inception": inception}, batch_size=4, device=CPU, cache=tmp_path / "cache")
        found[name], logits = features_and_logits(embedded)
        assert logits.shape == (len(images), 1008)
        metric.update(to_unit(images).expand(-1, 3, -1, -1), real=name == "real")
    assert found["fake"]["inception"].shape == (6, 2048)
    for name, features in found.items():
        embedded = features["inception"].astype(np.float64)
        np.testing.assert_allclose(embedded.sum(0), getattr(metric, f"{name}_features_sum"), rtol=1e-4, atol=1e-6)
        squares = getattr(metric, f"{name}_features_cov_sum")
        np.testing.assert_allclose(embedded.T @ embedded, squares, rtol=1e-4, atol=1e-6)
    # of covariances as singular as these, torchmetrics' eigenvalues have few digits
    fid = frechet_distance(found["fake"]["inception"], found["real"]["inception"])
    assert fid == pytest.approx(metric.compute().item(), rel=0.01)


def test_inception_score_equals_torchmetrics_on_the_same_logits():
    logits = np.random.default_rng(0).normal(0, 2, (200, 1008)).astype(np.float32)
    order = numpy_generator(1, "evaluate/inception_score").permutation(200)
    peer = InceptionScore(feature=torch.nn.Identity(), splits=NUM_SPLITS)
    peer.inception, peer.used_custom_model = torch.nn.Identity(), True
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shuffled = torch.randperm(200)  # as compute() will draw it
        given = torch.empty(200, 1008)
        given[shuffled] = torch.tensor(logits[order])
        peer.update(given)
        torch.manual_seed(0)
        mean, _ = peer.compute()
    found = inception_score(logits, seed=1)
    assert found["value"] == pytest.approx(mean.item(), rel=1e-6)
    assert found["low"] < found["value"] < found["high"]


def test_inception_score_has_its_closed_forms():
    alike = np.zeros((5, 1008))
    assert split_score(alike) == pytest.approx(1)
    apart = np.full((4, 1008), -1e3)
    apart[np.arange(4), np.arange(4)] = 0
    assert split_score(apart) == pytest.approx(4)  # four images, each surely of a class of its own


def test_few_images_have_no_inception_score():
    with pytest.raises(ValueError, match="at least 20 images, got 19"):
        inception_score(np.zeros((19, 1008)), seed=1)


def test_resnet50_gives_what_torchvisions_pools_last(weights):
    network = load_backbones(["resnet50"], Path("none"), CPU, weights)["resnet50"]
    peer = torchvision.models.resnet50(weights=None).eval()
    peer.load_state_dict(torch.load(weights / "resnet50.pth"))
    pooled = []
    peer.avgpool.register_forward_hook(lambda module, given, found: pooled.append(found.flatten(1)))
    x = to_unit(pictures(2, 224, 224))
    transform = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()
    with torch.inference_mode():
        peer(torchvision.transforms.functional.normalize(x.expand(-1, 3, -1, -1), transform.mean, transform.std))
        torch.testing.assert_close(network(x), pooled[0])
        assert network(to_unit(pictures(2, 64, 128))).shape == (2, 2048)


def test_the_encoder_needs_no_weights_folder(tmp_path):
    with seeded_init(0, "test"):
        encoder = Encoder((8, 16)).eval()
    save_model(tmp_path / "encoder", encoder, {"widths": [8, 16]})
    found = load_backbones(["encoder"], tmp_path / "encoder", CPU, tmp_path)["encoder"]
    x = to_unit(pictures(2, 32, 64))
    with torch.inference_mode():
        assert torch.equal(found(x), encoder(x))


@pytest.mark.parametrize("name", ["inception", "resnet50", "vgg16", "alexnet", "squeezenet"])
def test_missing_weights_name_the_command(name, tmp_path):
    (tmp_path / "catalogue.yaml").write_bytes(Path("data/weights/catalogue.yaml").read_bytes())
    with pytest.raises(WeightsError, match=f"panodiff weights fetch {name}"):
        load_backbones([name], tmp_path, CPU, tmp_path)
