"""From a foreign checkpoint to a model folder: the one network in it that is asked for, whole or not at all."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from panodiff.checkpoint import save_model
from panodiff.files import hash_file, move_whole
from panodiff.model_card import code
from panodiff.zoo.checkpoints import Copy, find_copies, read_checkpoint

Weights: TypeAlias = Literal["ema", "raw"]

NUM_NAMED = 3  # of the names in a message


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that tensors may be the weights of."""

    name: str  # with its sizes, in words: "the U-Net with widths …"
    network: nn.Module  # on the meta device
    config: Mapping[str, Any]  # of config.json: what makes it again
    derived: Mapping[str, Tensor] = field(default_factory=dict)  # tensors that follow from its sizes

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold, on the meta device."""
        return {name: tensor for name, tensor in self.network.state_dict().items() if name not in self.derived}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks that differ in their sizes."""

    own_names: str  # a regular expression: how names of their tensors begin, and of no others
    example: str  # one of these names
    candidates: Callable[[Mapping[str, Tensor]], Sequence[Architecture]]  # what tensors under their own names may be


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The architecture that a copy comes nearest to, and what keeps it from being that one."""

    copy: Copy
    architecture: Architecture
    misfits: dict[str, list[str]]  # by kind; empty: it fits

    @property
    def num_misfits(self) -> int:
        """Names that do not fit."""
        return sum(len(names) for names in self.misfits.values())


@contextmanager
def imported_model(file: Path, out: Path, family: Family, *, weights: Weights) -> Iterator[tuple[Path, str]]:
    """A folder with the network in the checkpoint `file` and its config.json, and whence it comes, for its card.

    On leaving, the folder and what was put beside has become `out`, which must not exist.

    Raises:
        ValueError: `out` exists; `file` cannot be read without running code from it, or does not hold these weights of
            a network of the family, in full, without others and finite. `out` is not made.
    """
    if out.exists() or out.is_symlink():
        raise ValueError(f"{out} exists: name a new folder, or move that one away")
    fit = _choose(read_checkpoint(file), family, weights, file)
    network = _filled(fit, file)
    source = {"file": file.name, "sha256": hash_file(file), "weights": weights, "entry": fit.copy.entry}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".partial") as aside:
        folder = Path(aside) / "model"
        save_model(folder, network, {**fit.architecture.config, "imported_from": source})
        yield folder, _origin(source)
        move_whole(folder, out)


def _origin(source: Mapping[str, str]) -> str:
    which = "averaged (EMA)" if source["weights"] == "ema" else "not known to be averaged"
    return (
        f"It was not trained by panodiff but imported: from the file {code(source['file'])} (SHA-256 "
        f"`{source['sha256']}`), entry {code(source['entry'])}, weights that are {which}."
    )


def _choose(content: Any, family: Family, weights: Weights, file: Path) -> Fit:
    """The copy that is asked for and fits."""
    copies = list(find_copies(content, family.own_names))
    if not copies:
        names = [str(name) for name in content] if isinstance(content, Mapping) else [type(content).__name__]
        raise ValueError(
            f"{file} does not hold the network: no tensor has a name such as {family.example}. It holds: "
            f"{_few(names) or 'nothing'}"
        )
    other = "raw" if weights == "ema" else "ema"
    fits = [_fit(copy, family, file) for copy in copies if copy.averaged == (weights == "ema")]
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


def _fit(copy: Copy, family: Family, file: Path) -> Fit:
    try:
        candidates = family.candidates(copy.tensors)
    except ValueError as error:
        raise ValueError(f"{file}, {copy.entry}: {error}") from None
    fits = [
        Fit(copy=copy, architecture=candidate, misfits=_misfits(copy.tensors, candidate)) for candidate in candidates
    ]
    return min(fits, key=lambda fit: fit.num_misfits)


def _misfits(tensors: Mapping[str, Tensor], architecture: Architecture) -> dict[str, list[str]]:
    expected, derived = architecture.weights, architecture.derived
    both = [name for name in expected if name in tensors]
    misfits = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected and name not in derived],
        "of a wrong shape": [
            f"{name} {_shape(tensors[name])} instead of {_shape(expected[name])}"
            for name in both
            if tensors[name].shape != expected[name].shape
        ],
        "not plain floats": [
            f"{name} {tensors[name].dtype}"
            for name in both
            if not (tensors[name].is_floating_point() and _is_plain(tensors[name]))
        ],
        "not what follows from the sizes": [
            name for name in derived if name in tensors and not _holds(tensors[name], derived[name])
        ],
    }
    return {kind: names for kind, names in misfits.items() if names}


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _holds(tensor: Tensor, values: Tensor) -> bool:
    """Whether it has these values, in whatever type."""
    return _is_plain(tensor) and tensor.shape == values.shape and bool((tensor == values).all())


def _refusal(fit: Fit, file: Path) -> str:
    expected = fit.architecture.weights
    misfits = "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in fit.misfits.items())
    return (
        f"{file}, {fit.copy.entry}, must hold the {len(expected)} tensors "
        f"({sum(tensor.numel() for tensor in expected.values()):,} parameters) of {fit.architecture.name}, and no "
        f"others: {misfits}"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:NUM_NAMED]) + (", …" if len(names) > NUM_NAMED else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _filled(fit: Fit, file: Path) -> nn.Module:
    """The network with the copy's weights, float32, to be saved: buffers that no checkpoint has are without value."""
    network = fit.architecture.network.to_empty(device="cpu")
    network.load_state_dict({**fit.copy.tensors, **fit.architecture.derived})
    wrong = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if wrong:
        raise ValueError(
            f"{file}, {fit.copy.entry}: all weights must be finite float32 numbers, but {len(wrong)} tensors hold NaN "
            f"or infinity: {_few(wrong)}. Its training went wrong, or the file is damaged: take another checkpoint"
        )
    return network
