"""Features of files: one pass, whatever the batch, kept by content."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from panodiff.checkpoint import save_model
from panodiff.features.embed import Rows, embed
from panodiff.features.encoder import Encoder
from panodiff.images import read_grey, to_unit, write_grey
from panodiff.randomness import seeded_init

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Counts the images that it has seen; its feature is their mean grey."""

    def __init__(self, gain: float = 1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.num_seen = 0

    def forward(self, x):
        self.num_seen += len(x)
        return x.mean((2, 3)) * self.gain


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


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


def features(paths, network, cache, batch_size=3):
    return embed(paths, {"network": network}, batch_size=batch_size, device=CPU, cache=cache)["network"]


def test_features_equal_those_of_the_network_itself_whatever_the_batch(paths, encoder, tmp_path):
    with torch.inference_mode():
        expected = encoder(to_unit(np.stack([read_grey(path) for path in paths])))
    for batch_size in (1, 3, 7, 100):
        found = features(paths, encoder, tmp_path / str(batch_size), batch_size)
        assert found.shape == (7, 16)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_features_follow_the_order_of_the_paths(paths, encoder, cache):
    there, back = (features(order, encoder, cache) for order in (paths, paths[::-1]))
    np.testing.assert_allclose(there, back[::-1], atol=1e-6)
    assert len(np.unique(there.round(5), axis=0)) == 7


def test_the_network_sees_grey_in_the_unit_range(tmp_path, cache):
    write_grey(tmp_path / "ramp.png", np.array([[0, 51, 255]], np.uint8))
    assert features([tmp_path / "ramp.png"], nn.Flatten(), cache).tolist() == [pytest.approx([0, 0.2, 1])]


def test_what_was_computed_is_not_computed_again(paths, cache):
    network = Counting()
    first, again = (features(paths, network, cache) for _ in range(2))
    assert network.num_seen == 7
    assert np.array_equal(first, again)


def test_several_networks_share_one_pass_and_only_the_new_one_runs(paths, cache):
    old, new = Counting(), Counting(gain=2.0)
    features(paths, old, cache)
    found = embed(paths, {"old": old, "new": new}, batch_size=4, device=CPU, cache=cache)
    assert (old.num_seen, new.num_seen) == (7, 7)
    np.testing.assert_allclose(found["new"], 2 * found["old"], rtol=1e-6)


def test_another_image_or_other_weights_are_other_features(paths, cache):
    network = Counting()
    before = features(paths, network, cache)
    write_grey(paths[2], np.zeros((32, 64), np.uint8))
    after = features(paths, network, cache)
    assert after[2] == 0 and before[2] > 0.1
    with torch.no_grad():
        network.gain.fill_(3.0)
    np.testing.assert_allclose(features(paths, network, cache), 3 * after, rtol=1e-6)


def test_other_code_that_reads_images_gives_features_anew(paths, cache, monkeypatch):
    network, read_bytes = Counting(), Path.read_bytes
    features(paths, network, cache)
    monkeypatch.setattr(Path, "read_bytes", lambda path: read_bytes(path) + b" " * (path.name == "images.py"))
    features(paths, network, cache)
    assert network.num_seen == 2 * len(paths)


def test_what_was_not_used_for_a_month_is_forgotten(paths, cache):
    features(paths, Counting(), cache)
    (old,) = cache.iterdir()
    month_ago = time.time() - 31 * 86400
    os.utime(old, (month_ago, month_ago))
    features(paths, Counting(gain=2.0), cache)
    assert old not in cache.iterdir()


def test_rows_are_those_that_numpy_would_copy(paths, encoder, cache):
    whole, order = features(paths, encoder, cache), np.array([5, 0, 3])
    rows = Rows(whole, order)
    assert (len(rows), rows.shape) == (3, (3, 16))
    assert np.array_equal(rows[1:], whole[order][1:])
    assert np.array_equal(rows[np.array([2, 0])], whole[order][[2, 0]])


def test_an_image_of_another_size_is_named(paths, encoder, tmp_path, cache):
    write_grey(tmp_path / "wide.png", np.zeros((32, 80), np.uint8))
    with pytest.raises(ValueError, match=r"wide\.png is \(32, 80\), not \(32, 64\)"):
        features([*paths, tmp_path / "wide.png"], encoder, cache)
    assert not list(cache.glob("*.npy"))


def test_no_images_are_refused(encoder, cache):
    with pytest.raises(ValueError, match="no images"):
        features([], encoder, cache)


def test_two_processes_share_the_images_and_get_the_same_features(paths, encoder, tmp_path):
    alone = features(paths, encoder, tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    save_model(tmp_path / "encoder", encoder, {"widths": [8, 16]})
    code = f"""
import sys; from pathlib import Path; import numpy as np
from panodiff import launch
from panodiff.features import embed
from panodiff.features.encoder import load_encoder
device = launch.start_torch()
network, paths = load_encoder(Path({str(tmp_path / "encoder")!r}), device), [Path(path) for path in sys.argv[1:]]
found = embed.embed(paths, {{"n": network}}, batch_size=2, device=device, cache=Path({str(tmp_path / "both")!r}))["n"]
np.save({str(tmp_path)!r} + f"/{{launch.rank()}}.npy", found)
"""
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", code, *map(str, paths)]
    ranks = ("0", "1")
    processes = [
        subprocess.Popen(command, env=common | {"CUDA_VISIBLE_DEVICES": "", "RANK": rank, "LOCAL_RANK": rank})
        for rank in ranks
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    for rank in ranks:
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), alone, atol=1e-6)
    assert [file.suffix for file in (tmp_path / "both").iterdir()] == [".npy"]
