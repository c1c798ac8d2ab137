import numpy as np
import pytest
import torch

from panodiff.features.embed import embed
from panodiff.features.encoder import Encoder
from panodiff.images import read_grey, to_unit, write_grey
from panodiff.randomness import seeded_init

CPU = torch.device("cpu")


@pytest.fixture
def paths(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 64), np.uint8)
    for index, image in enumerate(images):
        write_grey(tmp_path / f"{index}.png", image)
    return sorted(tmp_path.glob("*.png"))


@pytest.fixture
def encoder():
    with seeded_init(0, "test"):
        return Encoder((8, 16)).eval()


def test_features_do_not_depend_on_the_batch_size(paths, encoder):
    whole = embed(paths, encoder, batch_size=7, device=CPU)
    assert whole.shape == (7, 16) and whole.dtype == np.float64
    for batch_size in (1, 3, 100):
        np.testing.assert_allclose(embed(paths, encoder, batch_size=batch_size, device=CPU), whole, atol=1e-6)


def test_features_follow_the_order_of_the_paths(paths, encoder):
    there, back = (embed(order, encoder, batch_size=2, device=CPU) for order in (paths, paths[::-1]))
    np.testing.assert_allclose(there, back[::-1], atol=1e-6)
    assert len(np.unique(there.round(5), axis=0)) == 7


def test_the_network_sees_grey_in_the_unit_range(tmp_path):
    write_grey(tmp_path / "ramp.png", np.array([[0, 51, 255]], np.uint8))
    network = torch.nn.Flatten()
    assert embed([tmp_path / "ramp.png"], network, batch_size=1, device=CPU).tolist() == [pytest.approx([0, 0.2, 1])]


def test_features_equal_those_of_the_network_itself(paths, encoder):
    with torch.inference_mode():
        expected = encoder(to_unit(np.stack([read_grey(path) for path in paths])))
    np.testing.assert_allclose(embed(paths, encoder, batch_size=4, device=CPU), expected, atol=1e-6)


def test_an_image_of_another_size_is_named(paths, encoder, tmp_path):
    write_grey(tmp_path / "wide.png", np.zeros((32, 80), np.uint8))
    with pytest.raises(ValueError, match=r"wide\.png is \(32, 80\), not \(32, 64\)"):
        embed([*paths, tmp_path / "wide.png"], encoder, batch_size=3, device=CPU)


def test_no_images_are_refused(encoder):
    with pytest.raises(ValueError, match="no images"):
        embed([], encoder, batch_size=3, device=CPU)
