"""Published super-resolution models: a foreign checkpoint of HAT becomes a model folder.

The published files hold `params_ema` and `params`; those of the first release lack the position indices, which follow
from the window's size, and later ones have them. None holds the mean colour or the weight of channel attention.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mode
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from panodiff.params import HATParams
from panodiff.superres.card import write_superres_card
from panodiff.superres.model import PUBLISHED_RATIOS, BlockRatios, Restorer
from panodiff.superres.windows import relative_position_indices
from panodiff.zoo.importing import Architecture, Family, Weights, imported_model

OWN_NAMES = r"(?:conv_first|conv_after_body|conv_before_upsample|conv_last|layers\.\d+\.residual_group)\."
BLOCK = r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\."

# Of PanoDiff-SR (arXiv 2507.09227), and of the published HAT and Real_HAT_GAN.
PUBLISHED = HATParams(
    embed_dim=180, depths=(6,) * 6, num_heads=(6,) * 6, window_size=16, num_feat=64, bicubic_skip=False
)
SCALE = 4

ASSUMED = (
    "The file tells nothing of the weight of channel attention and of the mean colour that is subtracted: those of the "
    "published networks were assumed, 0.01 and, where there are three channels, the mean of DIV2K."
)
LIMIT = (
    "It knows photographs only, unless it was trained on radiographs, as that of PanoDiff-SR (arXiv 2507.09227) was."
)


def import_published(file: Path, out: Path, *, weights: Weights) -> None:
    """Write the HAT in the checkpoint `file`, and its model card, to the new folder `out`, whole or not at all.

    All sizes of the published networks are taken from the tensors: HAT-S, HAT, HAT-L, Real_HAT_GAN, PanoDiff-SR.

    Args:
        file: safetensors where it is named so, else of `torch.save`.
        out: Must not exist.
        weights: "ema": the averaged ones; "raw": the others.

    Raises:
        ValueError: `out` exists; `file` cannot be read without running code from it, or does not hold these weights of
            a HAT of sizes that can be had here, in full, without others and finite. `out` is not made.
    """
    family = Family(own_names=OWN_NAMES, example="conv_first.weight", candidates=_candidates)
    with imported_model(file, out, family, weights=weights) as (folder, origin):
        write_superres_card(folder, origin=f"{origin} {ASSUMED}", limits=[LIMIT])


def _candidates(tensors: Mapping[str, Tensor]) -> Sequence[Architecture]:
    """What their shapes make them, or the published network where they do not tell.

    Raises:
        ValueError: It is a HAT of sizes that `load_superres` cannot make.
    """
    channels = tensors["conv_first.weight"].shape[1:2] if "conv_first.weight" in tensors else ()
    in_chans = 1 if tuple(channels) == (1,) else 3  # images are grey or RGB
    try:
        network, scale = _network_sizes(tensors), _scale(tensors)
        ratios = _ratios(tensors, network["embed_dim"], network["window_size"])
    except (ValueError, IndexError, ZeroDivisionError):  # no tensor of such a name, or not of such a shape
        return [_architecture(PUBLISHED, SCALE, in_chans, PUBLISHED_RATIOS)]
    try:
        params = HATParams.model_validate(network | {"bicubic_skip": False})
        return [_architecture(params, scale, in_chans, ratios)]
    except ValueError as error:
        sizes = _words(network | {"scale": scale} | asdict(ratios))
        raise ValueError(f"a HAT with {sizes} cannot be had here: {_reasons(error)}") from None


def _reasons(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        ": ".join([*map(str, detail["loc"]), detail["msg"].removeprefix("Value error, ")]) for detail in error.errors()
    )


def _architecture(params: HATParams, scale: int, in_chans: int, ratios: BlockRatios) -> Architecture:
    with torch.device("meta"):  # no memory for the weights, no draw for them
        network = Restorer(params, scale, in_chans=in_chans, ratios=ratios).hat
    overlap_size = params.window_size + int(params.window_size * ratios.overlap_ratio)
    own, overlapping = relative_position_indices(params.window_size, overlap_size)
    sizes = params.model_dump(exclude={"bicubic_skip"}) | asdict(ratios)
    return Architecture(
        name=f"the HAT ×{scale} of {in_chans} channels with {_words(sizes)}",
        network=network,
        config={
            "network": params.model_dump(mode="json"),
            "scale": scale,
            "in_chans": in_chans,
            "ratios": asdict(ratios),
        },
        derived={"relative_position_index_SA": own, "relative_position_index_OCA": overlapping},
    )


def _words(sizes: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _most(tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The length along `axis` of most of the tensors whose names match: one of a wrong shape changes nothing."""
    return mode(tensor.shape[axis] for own, tensor in tensors.items() if re.fullmatch(name, own))


def _network_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `HATParams`."""
    blocks = {tuple(map(int, found.groups())) for name in tensors if (found := re.match(BLOCK, name))}
    layers = sorted({layer for layer, _ in blocks})
    table = r"\.residual_group\.blocks\.\d+\.attn\.relative_position_bias_table"  # one row an offset, one column a head
    return {
        "embed_dim": _most(tensors, rf"{BLOCK}norm1\.weight", 0),
        "depths": tuple(sum(layer == other for other, _ in blocks) for layer in layers),
        "num_heads": tuple(_most(tensors, rf"layers\.{layer}{table}", 1) for layer in layers),
        "window_size": (math.isqrt(_most(tensors, rf"layers\.\d+{table}", 0)) + 1) // 2,
        "num_feat": _most(tensors, r"conv_last\.weight", 1),
    }


def _ratios(tensors: Mapping[str, Tensor], embed_dim: int, window_size: int) -> BlockRatios:
    table = r"layers\.\d+\.residual_group\.overlap_attn\.relative_position_bias_table"
    overlap_size = math.isqrt(_most(tensors, table, 0)) + 1 - window_size
    compressed = _most(tensors, rf"{BLOCK}conv_block\.cab\.0\.weight", 0)
    squeezed = _most(tensors, rf"{BLOCK}conv_block\.cab\.3\.attention\.1\.weight", 0)
    return BlockRatios(
        overlap_ratio=_ratio(max(overlap_size - window_size, 0), window_size),
        mlp_ratio=_ratio(_most(tensors, rf"{BLOCK}mlp\.fc1\.weight", 0), embed_dim),
        compress_ratio=max(embed_dim // compressed, 1),
        squeeze_factor=max(embed_dim // squeezed, 1),
    )


def _ratio(part: int, whole: int) -> float:
    """The smallest number that gives `part` when `whole` is multiplied by it and the fraction cut off."""
    ratio = part / whole
    return ratio if int(whole * ratio) == part else math.nextafter(ratio, math.inf)


def _scale(tensors: Mapping[str, Tensor]) -> int:
    """The product of what the convolutions before each pixel shuffle multiply the channels by, on a side."""
    shapes = [tensor.shape for name, tensor in tensors.items() if re.fullmatch(r"upsample\.\d+\.weight", name)]
    return math.prod(math.isqrt(shape[0] // shape[1]) for shape in shapes)
