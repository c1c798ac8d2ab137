"""The model card of a diffusion model: README.md in its folder, in the layout of the Hugging Face Hub.

It says what the model's own files and its maker's arguments say, and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open

from panodiff.checkpoint import model_sha256, read_config
from panodiff.diffusion.schedule import inference_steps
from panodiff.files import written_whole

METADATA = {
    "license": "other",
    "library_name": "panodiff",
    "pipeline_tag": "unconditional-image-generation",
    "tags": ["diffusion", "medical-imaging", "dental", "panoramic-radiograph", "synthetic-data"],
}
MOST_STEPS = 50  # of the sampling that is shown

USES = """## Uses

### Direct Use

To draw synthetic panoramic radiographs for research and teaching.

### Out-of-Scope Use

It is not for diagnosis, nor for any other decision about a patient. Its images must not be passed off as radiographs
of persons."""

LIMITS = (
    "An image may show teeth, roots or findings that no jaw could have.",
    "It draws what its training images show: their patients, devices and crops, and none that they lack.",
    "A diffusion model can repeat images that it was trained on. Compare what you publish with them.",
)

LICENSE = """## License

`other`: this card grants no licence. Who passes the model on must know the terms of the weights and of the images that
they were trained on."""

SAMPLING = """## How to Get Started with the Model

In this folder, where panodiff is installed:

```python
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
```

It draws two grey images in @STEPS@ steps of DDIM."""


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The images of one source that a model was trained on."""

    source: str
    number: int
    licence: str | None = None  # None: not known


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
    sections = [
        f"---\n{yaml.safe_dump(METADATA, sort_keys=False)}---",
        _summary(config),
        _details(folder, config),
        USES,
        "## Bias, Risks, and Limitations\n\n" + "\n".join(f"- {limit}" for limit in (*LIMITS, *limits)),
        _sampling(config),
        f"## Training Details\n\n### Training Data\n\n{_data(images)}",
        f"### Training Procedure\n\n{origin}" + (f"\n\n{_table(('setting', 'value'), settings)}" if settings else ""),
        LICENSE,
    ]
    with written_whole(folder / "README.md") as aside:
        aside.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def code(text: str) -> str:
    """`text` on one line, as Markdown shows code; marks that would end that are replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _summary(config: Mapping[str, Any]) -> str:
    height, width = config["size"]
    return (
        f"# Diffusion model of panoramic radiographs, {height}×{width}\n\n"
        f"It draws dental panoramic radiographs of {height}×{width} pixels (height × width) from noise. They are "
        f"synthetic. It is not for diagnosis."
    )


def _details(folder: Path, config: Mapping[str, Any]) -> str:
    network, schedule = config["network"], config["schedule"]
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        sizes = [prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 - it is no mapping
    largest = f", β at most {schedule['beta_max']}" if schedule["kind"] == "cosine" else ""
    ending = ", the last timestep all noise" if schedule["zero_terminal_snr"] else ""
    target = "the noise ε" if config["prediction"] == "epsilon" else "the velocity v"
    rows = {
        "Model type": f"denoising diffusion model, a U-Net: {sum(sizes):,} parameters in {len(sizes)} tensors",
        "Network": f"widths {_listed(network['widths'])}; attention on the grids, fine to coarse: "
        f"{_listed('yes' if flag else 'no' for flag in network['attention'])}; patch size {network['patch_size']}",
        "Noise schedule": f"{schedule['kind']}, {schedule['num_train_timesteps']} timesteps{largest}{ending}",
        "Predicts": f"{target}, trained with the {'L1' if config['loss'] == 'l1' else 'L2'} loss",
        "Images": f"{_channels(config)} channel{'s' if _channels(config) > 1 else ''}, from -1 (black) to 1 (white)",
        "Weights": f"`model.safetensors`, SHA-256 `{model_sha256(folder)}`",
    }
    return "## Model Details\n\n" + "\n".join(f"- **{name}:** {text}" for name, text in rows.items())


def _channels(config: Mapping[str, Any]) -> int:
    return int(config.get("in_chans", 1))


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))


def _sampling(config: Mapping[str, Any]) -> str:
    steps = inference_steps(config["schedule"]["num_train_timesteps"], MOST_STEPS)
    return SAMPLING.replace("@CHANNELS@", str(_channels(config))).replace("@STEPS@", str(steps))


def _data(images: Sequence[TrainingImages]) -> str:
    if not images:
        return "Which images it was trained on is not known here."
    total = sum(part.number for part in images)
    lines = [f"| {_cell(part.source)} | {part.number} | {_cell(part.licence or 'not known')} |" for part in images]
    return "\n".join([f"{total} images.\n", "| source | images | licence |", "|---|---|---|", *lines])


def _table(header: tuple[str, str], rows: Mapping[str, object]) -> str:
    lines = [f"| {_cell(name)} | {_cell(str(value))} |" for name, value in rows.items()]
    return "\n".join([f"| {' | '.join(header)} |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
