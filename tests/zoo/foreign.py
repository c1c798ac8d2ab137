"""Checkpoints as others save them, and what must hold where one is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
Import = Callable[..., None]  # (file, out, *, weights)


def copied(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def without(state: State, *names: str) -> State:
    return {name: tensor for name, tensor in state.items() if name not in names}


def saved(path: Path, content: object, *, legacy: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def refuses(import_published: Import, file: Path, match: str, weights: str = "ema") -> None:
    """The import ends with this message and leaves all as it was."""
    out = file.parent / "models" / "imported"
    out.parent.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=match):
        import_published(file, out, weights=weights)
    assert list(out.parent.iterdir()) == []


class Trap:
    """Touches a file when it is loaded as pickles usually are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
