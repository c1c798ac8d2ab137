"""The stages sample and upscale with small models: the same files whatever the stops, shards and processes."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small import ROOT, small_params, write_small_params
from torch import nn

from panodiff.checkpoint import model_sha256, read_config, save_model
from panodiff.diffusion.denoising import build_unet
from panodiff.files import hash_file
from panodiff.images import read_grey, read_text_chunks
from panodiff.params import Params
from panodiff.params_file import load_params
from panodiff.randomness import seeded_init
from panodiff.sampling.sample import sample
from panodiff.sampling.upscale import upscale
from panodiff.stage import Stopped
from panodiff.superres.model import Restorer


@dataclass
class SmallRun:
    """What sampling uses of a stage; stopped before shard number `left`."""

    params: Params
    scratch: Path
    left: int = 10**9
    notes: dict[str, Any] = field(default_factory=dict)

    def check_stop(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with random weights, whose outputs depend on the input."""
    folder = tmp_path_factory.mktemp("models")
    params = small_params(folder)
    with seeded_init(1, "test models"):
        denoiser, restorer = build_unet(params.diffusion.network), Restorer(params.superres.network, 2)
        nn.init.normal_(denoiser.conv_out.weight, std=0.1)
        nn.init.normal_(restorer.hat.conv_last.weight, std=0.01)
    config = params.diffusion.model_dump(mode="json", include={"network", "schedule", "prediction", "loss"})
    save_model(folder / "diffusion", denoiser, config | {"size": [32, 64]})
    hat_config = {"network": params.superres.network.model_dump(mode="json"), "scale": 2}
    save_model(folder / "superres", restorer.hat, hat_config)
    return folder


def run_sample(models: Path, folder: Path, *, left: int = 10**9, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    stage = SmallRun(small_params(folder, {"sample": changes}), folder, left)
    sample(stage, models / "diffusion", folder / "low")  # type: ignore[arg-type]
    return folder / "low"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(folder.iterdir())}


def largest_difference(one: Path, other: Path) -> int:
    """Between images of the same name, in grey values."""
    names = sorted(path.name for path in one.glob("*.png"))
    assert names == sorted(path.name for path in other.glob("*.png"))
    assert names
    return max(int(np.abs(read_grey(one / name).astype(int) - read_grey(other / name)).max()) for name in names)


def test_each_image_has_a_row_with_its_seed_and_hash_and_says_what_it_is(models: Path, tmp_path: Path):
    low = run_sample(models, tmp_path)
    rows = pd.read_csv(low / "rows.csv")
    assert list(rows["id"]) == [f"synthetic-{index:06d}" for index in range(10)]
    assert list(rows["index"]) == list(range(10))
    for row in rows.itertuples():
        path = low / f"{row.id}.png"
        assert row.sha256 == hash_file(path)
        assert read_grey(path).shape == (32, 64)
        text = read_text_chunks(path)
        assert "ynthetic" in text["Title"]
        assert text["panodiff:seed"] == str(row.seed)
        assert text["panodiff:index"] == str(row.index)
        assert text["panodiff:diffusion_model_sha256"] == model_sha256(models / "diffusion")
    assert len(set(rows["sha256"])) == 10


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_stop_between_shards_changes_no_file(models: Path, tmp_path: Path, left: int):
    expected = hashes(run_sample(models, tmp_path / "undisturbed"))
    with pytest.raises(Stopped):
        run_sample(models, tmp_path / "stopped", left=left)
    assert len(list((tmp_path / "stopped" / "shards").iterdir() if left else [])) == left
    assert hashes(run_sample(models, tmp_path / "stopped")) == expected


def test_shards_and_batches_change_nothing_but_the_last_bits(models: Path, tmp_path: Path):
    """One grey value at most, where a float lies on the edge between two."""
    expected = run_sample(models, tmp_path / "a")
    for name, changes in {"b": {"shard_size": 10, "batch_size": 10}, "c": {"shard_size": 1, "batch_size": 7}}.items():
        assert largest_difference(expected, run_sample(models, tmp_path / name, **changes)) <= 1


def test_more_images_begin_with_the_same_ones(models: Path, tmp_path: Path):
    few = run_sample(models, tmp_path / "few", num_images=4)
    many = run_sample(models, tmp_path / "many", num_images=10)
    for path in sorted(few.glob("*.png"))[:3]:
        assert np.abs(read_grey(path).astype(int) - read_grey(many / path.name)).max() <= 1


def test_the_other_parameters_do_what_their_names_say(models: Path, tmp_path: Path):
    first = run_sample(models, tmp_path / "first")
    plain = run_sample(models, tmp_path / "ddim", sampler="ddim")
    assert largest_difference(first, plain) > 1
    assert largest_difference(plain, run_sample(models, tmp_path / "eta", sampler="ddim", eta=1.0)) > 1
    assert largest_difference(first, run_sample(models, tmp_path / "steps", num_inference_steps=8)) > 1
    assert largest_difference(first, run_sample(models, tmp_path / "dynamic", clamping="dynamic")) > 1


def test_a_model_of_three_channels_draws_grey_images(models: Path, tmp_path: Path):
    params = small_params(tmp_path)
    with seeded_init(1, "test models"):
        network = build_unet(params.diffusion.network, in_chans=3)
        nn.init.normal_(network.conv_out.weight, std=0.1)
    config = read_config(models / "diffusion")
    save_model(tmp_path / "diffusion", network, config | {"in_chans": 3})
    drawn = run_sample(tmp_path, tmp_path / "three")
    assert read_grey(next(drawn.glob("*.png"))).shape == (32, 64)  # it refuses colours


def test_an_image_is_the_same_alone_in_a_batch_of_seven_in_two_shards_and_from_two_processes(
    models: Path, tmp_path: Path
):
    """To one grey value: floats summed in another order differ by less than 1e-4 of [-1, 1], and may be rounded up."""
    ways = {
        "alone": run_sample(models, tmp_path / "alone", num_images=7, shard_size=7, batch_size=1),
        "in a batch": run_sample(models, tmp_path / "batch", num_images=7, shard_size=7, batch_size=7),
        "in two shards": run_sample(models, tmp_path / "shards", num_images=7, shard_size=4, batch_size=4),
        "from two processes": sample_in_two_processes(models, tmp_path / "processes", num_images=7),
    }
    for way, low in ways.items():
        assert len(list(low.glob("*.png"))) == 7, way
        assert largest_difference(ways["alone"], low) <= 1, way
        seeds = pd.read_csv(low / "rows.csv").set_index("id")["seed"]
        pd.testing.assert_series_equal(seeds, pd.read_csv(ways["alone"] / "rows.csv").set_index("id")["seed"])


def test_two_processes_write_the_very_files_of_one(models: Path, tmp_path: Path):
    expected = hashes(run_sample(models, tmp_path / "alone"))
    assert hashes(sample_in_two_processes(models, tmp_path / "both")) == expected


def sample_in_two_processes(models: Path, folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    write_small_params(folder / "small.yaml", {"sample": changes})
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    code = f"from test_sampling import as_one_of_two; as_one_of_two({str(models)!r}, {str(folder)!r})"
    path = os.pathsep.join([str(ROOT / "tests"), str(Path(__file__).parent)])
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    environment |= {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment | {"RANK": rank}) for rank in ("0", "1")]
    assert [process.wait(200) for process in processes] == [0, 0]
    return folder / "low"


def as_one_of_two(models: str, folder: str) -> None:
    """One process of two, each with some of the shards."""
    from panodiff import launch  # noqa: PLC0415

    torch.set_num_threads(1)
    launch.start_torch()
    stage = SmallRun(load_params(Path(folder) / "small.yaml"), Path(folder))
    sample(stage, Path(models) / "diffusion", Path(folder) / "low")  # type: ignore[arg-type]
    launch.barrier()
    assert stage.left < 10**9, "no shard was this process's"


def run_upscale(models: Path, low: Path, folder: Path, *, left: int = 10**9, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    stage = SmallRun(small_params(folder, {"upscale": changes}), folder, left)
    upscale(stage, models / "superres", low, folder / "high")  # type: ignore[arg-type]
    return folder / "high"


def test_each_image_is_enlarged_and_keeps_its_text_and_row(models: Path, tmp_path: Path):
    low = run_sample(models, tmp_path / "sample")
    high = run_upscale(models, low, tmp_path / "upscale")
    rows, low_rows = pd.read_csv(high / "rows.csv"), pd.read_csv(low / "rows.csv")
    assert list(rows["id"]) == list(low_rows["id"])
    assert list(rows["low_sha256"]) == list(low_rows["sha256"])
    for row in rows.itertuples():
        path = high / f"{row.id}.png"
        assert row.sha256 == hash_file(path)
        assert read_grey(path).shape == (64, 128)
        added = {"panodiff:superres_model_sha256": model_sha256(models / "superres")}
        assert read_text_chunks(path) == read_text_chunks(low / path.name) | added


def test_stops_shards_and_batches_do_not_show_in_enlarged_images(models: Path, tmp_path: Path):
    low = run_sample(models, tmp_path)
    expected = run_upscale(models, low, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        run_upscale(models, low, tmp_path / "stopped", left=2)
    assert hashes(run_upscale(models, low, tmp_path / "stopped")) == hashes(expected)
    other = run_upscale(models, low, tmp_path / "other", shard_size=10, batch_size=5)
    assert largest_difference(expected, other) <= 1


def test_tiles_change_a_grey_value_at_most(models: Path, tmp_path: Path):
    low = run_sample(models, tmp_path)
    whole = run_upscale(models, low, tmp_path / "whole")
    assert largest_difference(whole, run_upscale(models, low, tmp_path / "tiles", tile_size=24, tile_overlap=8)) <= 1


def test_tiles_that_do_not_fit_the_windows_are_refused(models: Path, tmp_path: Path):
    low = run_sample(models, tmp_path)
    with pytest.raises(ValueError, match=r"tile_size must be a multiple of the network's window \(4\).* got 18"):
        run_upscale(models, low, tmp_path / "tiles", tile_size=18, tile_overlap=8)
