"""States of a training and models on disk."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from panodiff.checkpoint import (
    load_newest_state,
    load_weights,
    model_sha256,
    read_config,
    save_model,
    save_state,
)
from panodiff.files import hash_file

CPU = torch.device("cpu")


def steps(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.glob("*"))


def spoil(path: Path, damage: str = "torn") -> None:
    content = path.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    path.write_bytes({"torn": content[:-1], "flipped": flipped, "empty": b""}[damage])


def test_the_newest_two_states_are_kept_and_the_newest_is_loaded(tmp_path: Path):
    for step in (1, 5, 30, 200):
        save_state(tmp_path, step, {"step": step, "x": torch.arange(3.0), "rows": [{"loss": 0.5}]})
    assert steps(tmp_path) == [30, 200]
    state = load_newest_state(tmp_path, CPU)
    assert state is not None
    assert state["step"] == 200
    assert state["rows"] == [{"loss": 0.5}]
    assert torch.equal(state["x"], torch.arange(3.0))


def test_without_a_state_there_is_none(tmp_path: Path):
    assert load_newest_state(tmp_path / "nothing", CPU) is None


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]):
    for step in (10, 20):
        save_state(tmp_path, step, {"step": step})
    spoil(tmp_path / "step-000000020.state", damage)
    state = load_newest_state(tmp_path, CPU)
    assert state == {"step": 10}
    assert "step-000000020.state is damaged" in capsys.readouterr().out


def test_torn_states_of_later_steps_never_push_out_whole_ones(tmp_path: Path):
    """After two torn states a training starts anew: its first states must survive beside the torn ones."""
    for step in (90, 100):
        save_state(tmp_path, step, {"step": step})
        spoil(tmp_path / f"step-{step:09d}.state")
    assert load_newest_state(tmp_path, CPU) is None
    save_state(tmp_path, 10, {"step": 10})
    assert load_newest_state(tmp_path, CPU) == {"step": 10}
    save_state(tmp_path, 20, {"step": 20})
    spoil(tmp_path / "step-000000020.state")
    assert load_newest_state(tmp_path, CPU) == {"step": 10}
    assert steps(tmp_path) == [10, 20]


def test_a_state_that_is_written_leaves_the_others_alone_until_it_is_whole(tmp_path: Path):
    save_state(tmp_path, 10, {"step": 10})
    with pytest.raises(AttributeError):
        save_state(tmp_path, 20, {"step": lambda: 1})  # cannot be written
    assert steps(tmp_path) == [10]


def test_a_model_comes_back_with_its_weights_frozen_and_in_evaluation_mode(tmp_path: Path):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    network(torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    save_model(tmp_path / "model", network, {"widths": [3]})
    assert read_config(tmp_path / "model") == {"widths": [3]}
    other = load_weights(tmp_path / "model", nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)), CPU)
    assert not other.training
    assert not any(parameter.requires_grad for parameter in other.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_weights_for_another_network_are_refused(tmp_path: Path):
    save_model(tmp_path, nn.Linear(2, 3), {})
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(tmp_path, nn.Linear(3, 3), CPU)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_weights(tmp_path, nn.Sequential(nn.Linear(2, 3)), CPU)


def test_equal_weights_make_equal_files_whatever_their_memory_format(tmp_path: Path):
    network = nn.Conv2d(4, 4, 3)
    save_model(tmp_path / "a", network, {})
    save_model(tmp_path / "b", network.to(memory_format=torch.channels_last), {})
    assert model_sha256(tmp_path / "a") == model_sha256(tmp_path / "b") == hash_file(tmp_path / "a/model.safetensors")
    assert json.loads((tmp_path / "a" / "config.json").read_text()) == {}
