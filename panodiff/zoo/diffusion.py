"""Published diffusion models: a foreign checkpoint of the U-Net becomes a model folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from panodiff.diffusion.card import write_model_card
from panodiff.diffusion.unet import UNet
from panodiff.params import ScheduleParams, UNetParams
from panodiff.zoo.importing import Architecture, Family, Weights, imported_model

# What the checkpoints of PanoDiff-SR do not say of themselves (arXiv 2507.09227).
PUBLISHED = UNetParams(widths=(64, 128, 256, 512), attention=(False, True, True), patch_size=1)
SCHEDULE = ScheduleParams(kind="cosine", num_train_timesteps=1000, beta_max=0.02, zero_terminal_snr=False)
SIZE = (128, 256)

ASSUMED = (
    "The file tells nothing of the noise schedule, of what the network predicts, of its loss and of the image size: "
    "those of PanoDiff-SR (arXiv 2507.09227) were assumed."
)


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
    parts = "|".join(name for name, _ in _empty(PUBLISHED, 1).named_children())
    family = Family(own_names=rf"(?:{parts})\.", example="init_conv.weight", candidates=_candidates)
    with imported_model(file, out, family, weights=weights) as (folder, origin):
        write_model_card(folder, origin=f"{origin} {ASSUMED}")


def _candidates(tensors: Mapping[str, Tensor]) -> Sequence[Architecture]:
    """What their shapes make them, and the published network, in case they lack less for that."""
    channels = tensors["init_conv.weight"].shape[1:2] if "init_conv.weight" in tensors else ()
    in_chans = 1 if tuple(channels) == (1,) else 3  # images are grey or RGB
    return [_architecture(params, in_chans) for params in (_inferred(tensors), PUBLISHED)]


def _architecture(params: UNetParams, in_chans: int) -> Architecture:
    return Architecture(
        name=f"the U-Net with widths {params.widths}, attention {params.attention} and {in_chans} channels",
        network=_empty(params, in_chans),
        config={
            "network": params.model_dump(mode="json"),
            "in_chans": in_chans,
            "schedule": SCHEDULE.model_dump(mode="json"),
            "prediction": "epsilon",
            "loss": "l1",
            "size": list(SIZE),
        },
    )


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
