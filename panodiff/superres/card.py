"""The model card of a super-resolution model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panodiff.checkpoint import read_config
from panodiff.model_card import Example, Kind, TrainingImages, counted, listed, write_card

KIND = Kind(
    pipeline_tag="image-to-image",
    tags=("super-resolution", "medical-imaging", "dental", "panoramic-radiograph"),
    direct_use="To bring synthetic panoramic radiographs of low resolution to a higher one, for research and teaching.",
    out_of_scope="It is not for diagnosis, nor for any other decision about a patient. A radiograph that it enlarged "
    "must not be passed off as one that was taken at that size.",
    limits=(
        "It draws detail that the small image does not hold. Teeth, roots, bone and findings may look sharp and be "
        "wrong.",
        "It knows how its training images were made small. Images that were made small, compressed or damaged in "
        "another way may come out worse than by bicubic enlargement.",
    ),
)

EXAMPLE = """\
from pathlib import Path

import torch

from panodiff.images import area_average, from_unit, to_unit, write_grey
from panodiff.sources.phantom import DEVICES, draw_phantom
from panodiff.superres.model import load_superres

network = load_superres(Path(), torch.device("cpu"))
high, _ = draw_phantom(1, 0, 64 * network.scale, 128 * network.scale, DEVICES["dentex"])  # uint8 (H, W)
low = area_average(high, network.scale)  # or an image of your own: read_grey(Path("low.png"))
with torch.inference_mode():
    enlarged = from_unit(network(to_unit(low[None])))[0]
write_grey(Path("enlarged.png"), enlarged, {"Description": "Enlarged by a network. Not for diagnosis."})
"""


def write_superres_card(
    folder: Path,
    *,
    origin: str,
    settings: Mapping[str, object] | None = None,
    images: Sequence[TrainingImages] = (),
    limits: Sequence[str] = (),
) -> None:
    """Write README.md beside the model.safetensors and config.json in `folder`.

    Args:
        folder: What `save_model` wrote; `config` as `load_superres` reads it.
        origin: Whole sentences in Markdown: how the model was trained, or whence it comes.
        settings: Of its training, by name; a row of a table each. None: not known.
        images: That it was trained on, by source. Empty: not known.
        limits: Whole sentences in Markdown, beside those that hold for every such model.
    """
    config = read_config(folder)
    write_card(
        folder,
        KIND,
        title=f"Super-resolution model of panoramic radiographs, ×{config['scale']}",
        summary=f"It enlarges dental panoramic radiographs {config['scale']} times in height and in width. What it "
        f"adds is its own drawing. It is not for diagnosis.",
        details=_details(folder, config),
        example=Example(code=EXAMPLE, sentence="It draws a phantom, makes it small and enlarges it again."),
        origin=origin,
        settings=settings,
        images=images,
        limits=limits,
    )


def _details(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    network = config["network"]
    rows = {
        "Model type": f"super-resolution, a Hybrid Attention Transformer (arXiv 2205.04437): {counted(folder)}",
        "Network": f"embed_dim {network['embed_dim']}; depths {listed(network['depths'])}; num_heads "
        f"{listed(network['num_heads'])}; window_size {network['window_size']}; num_feat {network['num_feat']}",
    }
    if "ratios" in config:
        rows["Inside its blocks"] = "; ".join(f"{name} {value}" for name, value in config["ratios"].items())
    skip = "it adds to bicubic enlargement what that misses" if network["bicubic_skip"] else "it draws all of the image"
    channels = config.get("in_chans", 1)
    alike = ", which all get the grey image; their mean is the result" if channels > 1 else ""
    return rows | {
        "Enlarges": f"{config['scale']} times; {skip}",
        "Images": f"{channels} channel{'s' if channels > 1 else ''}, from 0 (black) to 1 (white){alike}",
    }
