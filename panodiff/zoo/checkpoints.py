"""Checkpoints from elsewhere: read without running code from them, and searched for a network.

A checkpoint may hold the network several times, averaged (EMA) and not, in entries of any name and under prefixes of
any name (`module.`, `ema_model.`). A copy of the network is what carries the network's own names behind one prefix.
"""

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

AVERAGED = {"ema", "averaged", "average", "avg", "shadow", "swa"}  # words in the name of an entry or a prefix
NOT_AVERAGED = {"online", "raw", "non", "no", "without"}
DEEPEST = 4  # dicts within dicts


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The network once, as a checkpoint holds it, under the network's own names."""

    entry: str  # where in the file: "params_ema", "ema/ema_model.*", "the whole file"
    averaged: bool
    tensors: dict[str, Tensor]


def read_checkpoint(file: Path) -> Any:
    """What the checkpoint holds: safetensors where it is named so, else of `torch.save`.

    Raises:
        ValueError: There is no such file, it is damaged, or it cannot be read without running code from it.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file ({error}): get it again") from None
    except Exception as error:  # of many types, from a parser that meets bytes not meant for it
        needs = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and needs:
            raise ValueError(
                f"{file} holds more than tensors and plain values: it needs {needs[1]}, pickled code, which can do "
                f"anything on this machine once it is loaded. It is refused: get the weights as .safetensors, or have "
                f'its author save them alone: torch.save({{"ema": averaged.state_dict()}}, "weights.pth")'
            ) from None
        raise ValueError(
            f"{file} is not a checkpoint that torch.load can read, or not a whole one "
            f"({type(error).__name__}): get it again, or compare its size and hash with its publisher's"
        ) from error


def find_copies(content: Any, own_names: str, entries: tuple[str, ...] = ()) -> Iterator[Copy]:
    """The copies of a network in a dict and in the dicts within it, but for what belongs to an optimizer.

    Args:
        content: Of a checkpoint.
        own_names: A regular expression that finds the network in it: how names of its tensors begin, of no other's.
        entries: Where in the checkpoint `content` is.
    """
    if not isinstance(content, Mapping):
        return
    yield from _copies_at(content, own_names, entries)
    for name, value in content.items():
        if isinstance(value, Mapping) and len(entries) < DEEPEST and not str(name).startswith("opt"):
            yield from find_copies(value, own_names, (*entries, str(name)))


def _copies_at(content: Mapping[Any, Any], own_names: str, entries: tuple[str, ...]) -> Iterator[Copy]:
    """The copies in one dict, by prefix: empty, or with a dot at its end."""
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    own = {name: found[1] for name in tensors if (found := re.match(rf"((?!opt)(?:.*?\.)??)(?:{own_names})", name))}
    held: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in sorted(set(own.values()))}
    for name, tensor in tensors.items():
        longest = max((prefix for prefix in held if name.startswith(prefix)), key=len, default=None)
        prefix = own.get(name, longest)
        # A single number of another name is a counter, such as `step`.
        if prefix is not None and (name in own or tensor.numel() > 1):
            held[prefix][name.removeprefix(prefix)] = tensor
    for prefix, copy in held.items():
        yield Copy(
            entry="/".join([*entries, *([f"{prefix}*"] if prefix else [])]) or "the whole file",
            averaged=_is_averaged((*entries, *prefix.split(".")), "n_averaged" in content),
            tensors=copy,
        )


def _is_averaged(parts: tuple[str, ...], counted: bool) -> bool:
    """What the innermost part says whose name says anything; else, whether `counted` averages stand beside."""
    for part in reversed(parts):
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)}
        if words & (AVERAGED | NOT_AVERAGED):
            return not words & NOT_AVERAGED
    return counted
