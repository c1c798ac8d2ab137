"""Models at rest (safetensors and a JSON beside it) and the state of a training that can go on.

A training state is one file: the SHA-256 of what follows, then PyTorch's own format, read back as plain tensors and
numbers only. It is written aside, synced and renamed; a torn or flipped file is noticed and the one before is taken.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from panodiff.files import hash_file, write_json, written_whole

_DIGEST_BYTES = 64
_NUM_KEPT = 2


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the training state after `step` steps; of the older ones the newest stays, and none of later steps.

    A state of a later step was damaged, or the training would have gone on from there.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with written_whole(folder / f"step-{step:09d}.state") as aside, aside.open("wb") as file:
        file.write(hashlib.sha256(content).hexdigest().encode())
        file.write(content)
    states = sorted(folder.glob("step-*.state"))
    newest = states.index(folder / f"step-{step:09d}.state") + 1
    for other in states[: max(newest - _NUM_KEPT, 0)] + states[newest:]:
        other.unlink()


def load_newest_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest whole training state in `folder`; None where there is none."""
    for path in sorted(folder.glob("step-*.state"), reverse=True):
        digest, content = (data := path.read_bytes())[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).hexdigest().encode() == digest:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            return state
        print(f"{path} is damaged; the state before it is taken", flush=True)
    return None


def save_model(folder: Path, network: nn.Module, config: dict[str, Any]) -> None:
    """Write `folder`/model.safetensors and `folder`/config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with written_whole(folder / "model.safetensors") as aside:
        save_file(weights, aside)
    write_json(folder / "config.json", config)


def read_config(folder: Path) -> dict[str, Any]:
    """What `save_model` was given as `config`."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def load_weights(folder: Path, network: nn.Module, device: torch.device) -> nn.Module:
    """`network` with the weights of `folder`, on `device`, in evaluation mode; every name and shape must fit."""
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.to(device).eval().requires_grad_(False)


def model_sha256(folder: Path) -> str:
    """The SHA-256 of the model's weights file: the name under which records and images know it."""
    return hash_file(folder / "model.safetensors")
