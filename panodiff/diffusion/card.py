"""The model card of a diffusion model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panodiff.checkpoint import read_config
from panodiff.diffusion.schedule import inference_steps
from panodiff.model_card import Example, Kind, TrainingImages, counted, listed, write_card

MOST_STEPS = 50  # of the sampling that is shown

KIND = Kind(
    pipeline_tag="unconditional-image-generation",
    tags=("diffusion", "medical-imaging", "dental", "panoramic-radiograph", "synthetic-data"),
    direct_use="To draw synthetic panoramic radiographs for research and teaching.",
    out_of_scope="It is not for diagnosis, nor for any other decision about a patient. Its images must not be passed "
    "off as radiographs of persons.",
    limits=(
        "An image may show teeth, roots or findings that no jaw could have.",
        "It draws what its training images show: their patients, devices and crops, and none that they lack.",
        "A diffusion model can repeat images that it was trained on. Compare what you publish with them.",
    ),
)

EXAMPLE = """\
from pathlib import Path

import torch

from panodiff.checkpoint import load_weights, read_config
from panodiff.diffusion.sampler import draw_images
from panodiff.diffusion.schedule import make_scheduler
from panodiff.diffusion.unet import UNet
from panodiff.images import from_signed, write_grey
from panodiff.params import ScheduleParams
from panodiff.sampling.sample import synthetic_text

config = read_config(Path())
network = load_weights(Path(), UNet(in_chans=@CHANNELS@, **config["network"]), torch.device("cpu"))
scheduler = make_scheduler(ScheduleParams(**config["schedule"]), config["prediction"], "ddim")
generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]  # one an image
drawn = draw_images(
    network, scheduler, generators, tuple(config["size"]), num_inference_steps=@STEPS@, in_chans=@CHANNELS@
)
for index, image in enumerate(from_signed(drawn)):
    write_grey(Path(f"synthetic-{index}.png"), image, synthetic_text({}))
"""


def write_model_card(
    folder: Path,
    *,
    origin: str,
    settings: Mapping[str, object] | None = None,
    images: Sequence[TrainingImages] = (),
    limits: Sequence[str] = (),
) -> None:
    """Write README.md beside the model.safetensors and config.json in `folder`.

    Args:
        folder: What `save_model` wrote; `config` has network, schedule, prediction, loss, size, and in_chans where the
            images are not grey.
        origin: Whole sentences in Markdown: how the model was trained, or whence it comes.
        settings: Of its training, by name; a row of a table each. None: not known.
        images: That it was trained on, by source. Empty: not known.
        limits: Whole sentences in Markdown, beside those that hold for every such model.
    """
    config = read_config(folder)
    height, width = config["size"]
    write_card(
        folder,
        KIND,
        title=f"Diffusion model of panoramic radiographs, {height}×{width}",
        summary=f"It draws dental panoramic radiographs of {height}×{width} pixels (height × width) from noise. They "
        f"are synthetic. It is not for diagnosis.",
        details=_details(folder, config),
        example=_example(config),
        origin=origin,
        settings=settings,
        images=images,
        limits=limits,
    )


def _details(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    network, schedule = config["network"], config["schedule"]
    largest = f", β at most {schedule['beta_max']}" if schedule["kind"] == "cosine" else ""
    ending = ", the last timestep all noise" if schedule["zero_terminal_snr"] else ""
    target = "the noise ε" if config["prediction"] == "epsilon" else "the velocity v"
    return {
        "Model type": f"denoising diffusion model, a U-Net: {counted(folder)}",
        "Network": f"widths {listed(network['widths'])}; attention on the grids, fine to coarse: "
        f"{listed(['yes' if flag else 'no' for flag in network['attention']])}; patch size {network['patch_size']}",
        "Noise schedule": f"{schedule['kind']}, {schedule['num_train_timesteps']} timesteps{largest}{ending}",
        "Predicts": f"{target}, trained with the {'L1' if config['loss'] == 'l1' else 'L2'} loss",
        "Images": f"{_channels(config)} channel{'s' if _channels(config) > 1 else ''}, from -1 (black) to 1 (white)",
    }


def _channels(config: Mapping[str, Any]) -> int:
    return int(config.get("in_chans", 1))


def _example(config: Mapping[str, Any]) -> Example:
    steps = inference_steps(config["schedule"]["num_train_timesteps"], MOST_STEPS)
    return Example(
        code=EXAMPLE.replace("@CHANNELS@", str(_channels(config))).replace("@STEPS@", str(steps)),
        sentence=f"It draws two grey images in {steps} steps of DDIM.",
    )
