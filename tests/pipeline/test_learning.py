"""What the trained networks of the pipeline's run can do, against what they could before."""

import numpy as np
import pandas as pd
import torch
from working_copy import WorkingCopy

from panodiff.checkpoint import read_config
from panodiff.diffusion.denoising import build_unet
from panodiff.diffusion.sampler import draw_images, image_generators
from panodiff.diffusion.schedule import make_scheduler
from panodiff.evaluation.sets.moments import frechet_distance
from panodiff.features.encoder import load_encoder
from panodiff.images import from_signed, read_grey, to_unit
from panodiff.manifest import read_manifest, split_paths
from panodiff.params import ScheduleParams, UNetParams
from panodiff.randomness import seeded_init


def test_samples_are_far_nearer_to_real_images_than_those_of_the_untrained_network(copy: WorkingCopy) -> None:
    encoder = load_encoder(copy.root / "data/models/encoder", torch.device("cpu"))
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
    features = {
        "real": _features(encoder, np.stack([read_grey(path) for path in real])),
        "trained": _features(encoder, np.stack([read_grey(path) for path in paths])),
        "untrained": _features(encoder, from_signed(drawn)),
    }
    trained = frechet_distance(features["trained"], features["real"])
    assert trained <= frechet_distance(features["untrained"], features["real"]) / 4


def test_super_resolution_restores_held_out_images_better_than_bicubic(copy: WorkingCopy) -> None:
    milestones = pd.read_csv(copy.root / "metrics/superres/milestones.csv")
    last = milestones.iloc[-1]
    assert last["val_psnr"] > last["val_psnr_bicubic"]


def test_the_loss_on_held_out_images_falls(copy: WorkingCopy) -> None:
    milestones = pd.read_csv(copy.root / "metrics/diffusion/milestones.csv")
    assert milestones["val_loss"].iloc[-1] < 0.8 * milestones["val_loss"].iloc[0]


def _features(encoder: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return encoder(to_unit(images)).double().numpy()
