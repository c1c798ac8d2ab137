"""What the trained networks of the pipeline's run can do, against what they could before."""

import numpy as np
import pandas as pd
from working_copy import WorkingCopy

from panodiff.checkpoint import read_config
from panodiff.diffusion.denoising import build_unet
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import make_scheduler
from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.images import area_average, from_signed, read_grey
from panodiff.manifest import read_manifest, split_paths
from panodiff.params import ScheduleParams, UNetParams
from panodiff.randomness import seeded_init


def test_samples_are_far_nearer_to_real_images_than_those_of_the_untrained_network(copy: WorkingCopy) -> None:
    config = read_config(copy.root / "data/models/diffusion")
    with seeded_init(1, "untrained"):
        untrained = build_unet(UNetParams.model_validate(config["network"])).eval()
    paths = sorted((copy.root / "data/synthetic/low").glob("*.png"))
    drawn = draw_images(
        untrained,
        make_scheduler(ScheduleParams.model_validate(config["schedule"]), config["prediction"]),
        image_generators(1, "sample", list(range(len(paths)))),
        (config["size"][0], config["size"][1]),
        num_inference_steps=5,
        eta=0,
    )
    corpus = read_manifest(copy.root / "data/manifest/corpus.csv")
    real = [copy.root / path for split in ("train", "test") for path in split_paths(corpus, split, "low_path")]
    sets = {
        "real": _thumbnails(np.stack([read_grey(path) for path in real])),
        "trained": _thumbnails(np.stack([read_grey(path) for path in paths])),
        "untrained": _thumbnails(from_signed(drawn)),
    }
    trained = frechet_distance(sets["trained"], sets["real"])
    assert trained <= frechet_distance(sets["untrained"], sets["real"]) / 3


def test_super_resolution_restores_held_out_images_better_than_bicubic(copy: WorkingCopy) -> None:
    milestones = pd.read_csv(copy.root / "metrics/superres/milestones.csv")
    last = milestones.iloc[-1]
    assert last["val_psnr"] > last["val_psnr_bicubic"]


def test_the_loss_on_held_out_images_falls(copy: WorkingCopy) -> None:
    milestones = pd.read_csv(copy.root / "metrics/diffusion/milestones.csv")
    assert milestones["val_loss"].iloc[-1] < 0.8 * milestones["val_loss"].iloc[0]


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Greys (N, 32) of 4×8 pixels: where jaws are bright, which so short a training can have learnt."""
    return np.stack([area_average(image, 8).ravel() / 255 for image in images])
