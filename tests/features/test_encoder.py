"""The encoder of radiographs: shapes at any size, and its way to disk and back."""

from pathlib import Path

import pytest
import torch

from panodiff.checkpoint import save_model
from panodiff.features.encoder import Encoder, load_encoder
from panodiff.randomness import seeded_init


def make(widths: tuple[int, ...]) -> Encoder:
    with seeded_init(1, "test"):
        return Encoder(widths).eval()


def test_each_level_halves_the_resolution_and_the_last_gives_the_features():
    encoder, x = make((8, 16, 24)), torch.rand(2, 1, 64, 128, generator=torch.Generator().manual_seed(1))
    maps = encoder.feature_maps(x)
    assert [tuple(level.shape) for level in maps] == [(2, 8, 32, 64), (2, 16, 16, 32), (2, 24, 8, 16)]
    torch.testing.assert_close(encoder(x), maps[-1].mean((2, 3)))


@pytest.mark.parametrize("size", [(17, 33), (32, 64), (50, 99)])
def test_images_of_any_size_have_features(size: tuple[int, int]):
    features = make((8, 16))(torch.zeros(3, 1, *size))
    assert features.shape == (3, 16)
    assert features.isfinite().all()


def test_the_features_of_an_image_do_not_depend_on_its_batch():
    encoder, x = make((8, 16)), torch.rand(5, 1, 32, 64, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([encoder(image[None]) for image in x])
    torch.testing.assert_close(encoder(x), alone, atol=1e-5, rtol=0)


def test_the_encoder_comes_back_from_disk(tmp_path: Path):
    encoder, x = make((8, 16, 24)), torch.rand(2, 1, 32, 64, generator=torch.Generator().manual_seed(1))
    save_model(tmp_path, encoder, {"widths": [8, 16, 24]})
    loaded = load_encoder(tmp_path, torch.device("cpu"))
    assert torch.equal(loaded(x), encoder(x))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
