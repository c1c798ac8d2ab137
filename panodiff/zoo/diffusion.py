"""Published weights: a foreign checkpoint becomes a model folder; nothing in it but tensors and plain values is read.

A checkpoint may hold the network several times, averaged (EMA) and not, in entries of any name and under prefixes of
any name (`module.`, `ema_model.`). A copy of the network is what carries the network's own names behind one prefix.
"""

import pickle
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from panodiff.checkpoint import save_model
from panodiff.diffusion.card import code, write_model_card
from panodiff.diffusion.unet import UNet
from panodiff.files import hash_file, move_whole
from panodiff.params import ScheduleParams, UNetParams

Weights: TypeAlias = Literal["ema", "raw"]

# What the checkpoints of PanoDiff-SR do not say of themselves (arXiv 2507.09227).
PUBLISHED = UNetParams(widths=(64, 128, 256, 512), attention=(False, True, True), patch_size=1)
SCHEDULE = ScheduleParams(kind="cosine", num_train_timesteps=1000, beta_max=0.02, zero_terminal_snr=False)
SIZE = (128, 256)

AVERAGED = {"ema", "averaged", "average", "avg", "shadow", "swa"}  # words in the name of an entry or a prefix
NOT_AVERAGED = {"online", "raw", "non", "no", "without"}
DEEPEST = 4  # dicts within dicts
NUM_NAMED = 3  # of the names in a message


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The network once, as a checkpoint holds it, under the network's own names."""

    entry: str  # where in the file: "ema_model_state", "ema/ema_model.*", "the whole file"
    averaged: bool
    tensors: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The architecture that a copy comes nearest to, and what keeps it from being that one."""

    copy: Copy
    params: UNetParams
    in_chans: int
    misfits: dict[str, list[str]]  # by kind; empty: it fits

    @property
    def num_misfits(self) -> int:
        """Names that do not fit."""
        return sum(len(names) for names in self.misfits.values())


def import_published(file: Path, out: Path, *, weights: Weights) -> None:
    """Write the network in the checkpoint `file`, and its model card, to the new folder `out`, whole or not at all.

    Args:
        file: safetensors where it is named so, else of `torch.save`.
        out: Must not exist.
        weights: "ema": the averaged ones; "raw": the others.

    Raises:
        ValueError: `out` exists; `file` cannot be read without running code from it, or does not hold these weights of
            this network, in full, without others and finite. `out` is not made.
    """
    if out.exists() or out.is_symlink():
        raise ValueError(f"{out} exists: name a new folder, or move that one away")
    fit = _choose(_read(file), weights, file)
    network = _loaded(fit, file)
    source = {"file": file.name, "sha256": hash_file(file), "weights": weights, "entry": fit.copy.entry}
    config = {
        "network": fit.params.model_dump(mode="json"),
        "in_chans": fit.in_chans,
        "schedule": SCHEDULE.model_dump(mode="json"),
        "prediction": "epsilon",
        "loss": "l1",
        "size": list(SIZE),
        "imported_from": source,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".partial") as aside:
        folder = Path(aside) / "model"
        save_model(folder, network, config)
        write_model_card(folder, origin=_origin(source))
        move_whole(folder, out)


def _origin(source: Mapping[str, str]) -> str:
    which = "averaged (EMA)" if source["weights"] == "ema" else "not known to be averaged"
    return (
        f"It was not trained by panodiff but imported: from the file {code(source['file'])} (SHA-256 "
        f"`{source['sha256']}`), entry {code(source['entry'])}, weights that are {which}. The file tells nothing of "
        f"the noise schedule, of what the network predicts, of its loss and of the image size: those of PanoDiff-SR "
        f"(arXiv 2507.09227) were assumed."
    )


def _read(file: Path) -> Any:
    """What the checkpoint holds."""
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


def _copies(content: Mapping[Any, Any], entries: tuple[str, ...] = ()) -> Iterator[Copy]:
    """The copies of the network in a dict and in the dicts within it, but for what belongs to an optimizer."""
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    owners = {name: found[1] if (found := _own_name().match(name)) else None for name in tensors}
    for prefix in sorted({owner for owner in owners.values() if owner is not None}):
        parts = (*entries, *prefix.split("."))
        yield Copy(
            entry="/".join([*entries, *([f"{prefix}*"] if prefix else [])]) or "the whole file",
            averaged=_is_averaged(parts, "n_averaged" in content),
            tensors={
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                # A single number of another name is a counter, such as `step`.
                if owners[name] == prefix or (owners[name] is None and name.startswith(prefix) and tensor.numel() > 1)
            },
        )
    for name, value in content.items():
        if isinstance(value, Mapping) and len(entries) < DEEPEST and not str(name).startswith("opt"):
            yield from _copies(value, (*entries, str(name)))


@cache
def _own_name() -> re.Pattern[str]:
    """Matches a tensor's name: its prefix, empty or with a dot at its end, then one of the network's own parts."""
    parts = "|".join(name for name, _ in _empty(PUBLISHED, 1).named_children())
    return re.compile(rf"((?!opt)(?:.*?\.)??)(?:{parts})\.")


def _is_averaged(parts: tuple[str, ...], counted: bool) -> bool:
    """What the innermost part says whose name says anything; else, whether `counted` averages stand beside."""
    for part in reversed(parts):
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)}
        if words & (AVERAGED | NOT_AVERAGED):
            return not words & NOT_AVERAGED
    return counted


def _choose(content: Any, weights: Weights, file: Path) -> Fit:
    """The copy that is asked for and fits."""
    copies = list(_copies(content)) if isinstance(content, Mapping) else []
    if not copies:
        names = [str(name) for name in content] if isinstance(content, Mapping) else [type(content).__name__]
        raise ValueError(
            f"{file} does not hold the network: no tensor has a name such as init_conv.weight. It holds: "
            f"{_few(names) or 'nothing'}"
        )
    other = "raw" if weights == "ema" else "ema"
    fits = [_fit(copy) for copy in copies if copy.averaged == (weights == "ema")]
    if not fits:
        held = ", ".join(f"{copy.entry} ({len(copy.tensors)} tensors)" for copy in copies)
        wanted = "averaged (EMA) weights" if weights == "ema" else "other weights than averaged (EMA) ones"
        raise ValueError(f"{file} holds no {wanted}, by its names only: {held}. `--weights {other}` takes those")
    best, *rest = sorted(fits, key=lambda fit: fit.num_misfits)
    if best.misfits:
        raise ValueError(_refusal(best, file))
    for fit in rest:
        if not fit.misfits and not _same(fit.copy, best.copy):
            raise ValueError(
                f"{file} holds several networks that differ, {best.copy.entry} and {fit.copy.entry}: save the one that "
                f"you want in a file of its own"
            )
    return best


def _same(one: Copy, other: Copy) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items()
    )


def _fit(copy: Copy) -> Fit:
    """The copy as what its shapes make it, or as the published network if it lacks less for that."""
    channels = copy.tensors["init_conv.weight"].shape[1:2] if "init_conv.weight" in copy.tensors else ()
    in_chans = 1 if tuple(channels) == (1,) else 3  # images are grey or RGB
    fits = [
        Fit(copy=copy, params=params, in_chans=in_chans, misfits=_misfits(copy.tensors, _empty(params, in_chans)))
        for params in (_inferred(copy.tensors), PUBLISHED)
    ]
    return min(fits, key=lambda fit: fit.num_misfits)


def _inferred(tensors: Mapping[str, Tensor]) -> UNetParams:
    """The architecture that names and shapes tell; the published one where they tell none."""
    levels = {int(found[1]) for name in tensors if (found := re.match(r"down_blocks\.(\d{1,3})\.", name))}
    convolutions = [f"down_blocks.{level}.0.conv1.weight" for level in sorted(levels)] + ["mid_block1.conv1.weight"]
    try:
        return UNetParams(
            widths=tuple(tensors[name].shape[0] for name in convolutions),
            attention=tuple(f"down_blocks.{level}.2.to_qkv.weight" in tensors for level in sorted(levels)),
            patch_size=1,
        )
    except (KeyError, IndexError, ValueError):
        return PUBLISHED


def _empty(params: UNetParams, in_chans: int) -> UNet:
    """The network without memory for its weights, and without a draw for them."""
    with torch.device("meta"):
        return UNet(in_chans=in_chans, **params.model_dump())


def _misfits(tensors: Mapping[str, Tensor], network: UNet) -> dict[str, list[str]]:
    expected = network.state_dict()
    both = [name for name in expected if name in tensors]
    misfits = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of a wrong shape": [
            f"{name} {_shape(tensors[name])} instead of {_shape(expected[name])}"
            for name in both
            if tensors[name].shape != expected[name].shape
        ],
        "not plain floats": [f"{name} {tensors[name].dtype}" for name in both if not _is_plain(tensors[name])],
    }
    return {kind: names for kind, names in misfits.items() if names}


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_meta


def _refusal(fit: Fit, file: Path) -> str:
    expected = _empty(fit.params, fit.in_chans).state_dict()
    misfits = "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in fit.misfits.items())
    return (
        f"{file}, {fit.copy.entry}, must hold the {len(expected)} tensors "
        f"({sum(tensor.numel() for tensor in expected.values()):,} parameters) of the U-Net with widths "
        f"{fit.params.widths}, attention {fit.params.attention} and {fit.in_chans} channels, and no others: {misfits}"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:NUM_NAMED]) + (", …" if len(names) > NUM_NAMED else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _loaded(fit: Fit, file: Path) -> UNet:
    """The network with the copy's weights, float32."""
    network = _empty(fit.params, fit.in_chans).to_empty(device="cpu")
    network.load_state_dict(fit.copy.tensors)
    wrong = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if wrong:
        raise ValueError(
            f"{file}, {fit.copy.entry}: all weights must be finite float32 numbers, but {len(wrong)} tensors hold NaN "
            f"or infinity: {_few(wrong)}. Its training went wrong, or the file is damaged: take another checkpoint"
        )
    return network
