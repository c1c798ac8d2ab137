"""The stage sample: synthetic radiographs at low resolution, each from its own seed."""

from pathlib import Path

import panodiff
from panodiff import launch
from panodiff.checkpoint import load_weights, model_sha256, read_config
from panodiff.diffusion.denoising import build_unet
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import make_scheduler
from panodiff.files import hash_file, write_csv
from panodiff.images import from_signed, write_grey
from panodiff.params import SampleParams, ScheduleParams, UNetParams
from panodiff.sampling.shards import work_in_shards
from panodiff.stage import Stage

PURPOSE = "sample"  # of the draws: image i is drawn from (seed, "sample", i)


def image_id(index: int) -> str:
    """The name of synthetic image `index`, at both resolutions."""
    return f"synthetic-{index:06d}"


def sample(stage: Stage, model: Path, out: Path) -> None:
    """Draw `sample.num_images` images with the model in `model`; write PNGs and rows.csv to `out`."""
    params, seed = stage.params.sample, stage.params.seed
    painter = Painter(params, seed, model)

    def draw(indices: list[int], folder: Path) -> None:
        for start in range(0, len(indices), params.batch_size):
            painter.draw(indices[start : start + params.batch_size], folder)

    work_in_shards(stage, draw, num_images=params.num_images, shard_size=params.shard_size, out=out, what="drawing")
    if launch.rank() == 0:
        rows = [(index, out / f"{image_id(index)}.png") for index in range(params.num_images)]
        write_csv(
            out / "rows.csv",
            ["id", "index", "seed", "sha256"],
            [{"id": path.stem, "index": index, "seed": seed, "sha256": hash_file(path)} for index, path in rows],
        )


class Painter:
    """Draws batches of synthetic images, and writes them with their text chunks."""

    def __init__(self, params: SampleParams, seed: int, model: Path) -> None:
        config = read_config(model)
        self.params, self.seed, self.size = params, seed, tuple(config["size"])
        self.in_chans = config.get("in_chans", 1)
        self.network = build_unet(UNetParams.model_validate(config["network"]), self.in_chans)
        load_weights(model, self.network, launch.device())
        schedule = ScheduleParams.model_validate(config["schedule"])
        self.scheduler = make_scheduler(schedule, config["prediction"], params.sampler, params.clamping)
        self.text = synthetic_text({"diffusion_model_sha256": model_sha256(model), "seed": str(seed)})

    def draw(self, indices: list[int], folder: Path) -> None:
        """Images `indices`, as one batch, to `folder`."""
        drawn = draw_images(
            self.network,
            self.scheduler,
            image_generators(self.seed, PURPOSE, indices),
            (self.size[0], self.size[1]),
            num_inference_steps=self.params.num_inference_steps,
            eta=self.params.eta,
            in_chans=self.in_chans,
        )
        for index, image in zip(indices, from_signed(drawn), strict=True):
            write_grey(folder / f"{image_id(index)}.png", image, self.text | {"panodiff:index": str(index)})


def synthetic_text(facts: dict[str, str]) -> dict[str, str]:
    """The text chunks that every synthetic PNG carries."""
    return {
        "Title": "Synthetic panoramic radiograph",
        "Description": "Drawn by a generative model; shows no person. Not for diagnosis.",
        "Software": f"panodiff {panodiff.__version__}",
    } | {f"panodiff:{name}": value for name, value in facts.items()}
