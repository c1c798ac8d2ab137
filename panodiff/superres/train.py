"""The stage train_superres: train, keep the best averaged generator, show how it learnt."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from panodiff import launch
from panodiff.files import write_csv
from panodiff.images import read_grey, tile, write_grey
from panodiff.model_card import PHANTOMS, TrainingImages
from panodiff.stage import Stage
from panodiff.superres.card import write_superres_card
from panodiff.superres.losses import PerceptualLoss
from panodiff.superres.restoring import Restoring
from panodiff.training import ImageStore, train

MOST_PSNR_LOST_DB = 1.5  # for texture


def train_superres(
    stage: Stage,
    *,
    images: ImageStore,
    held_out: ImageStore,
    scale: int,
    perceptual: PerceptualLoss,
    lpips: nn.Module | None,
    counts: Sequence[TrainingImages],
    model: Path,
    metrics: Path,
) -> None:
    """Train on `images`, watch `held_out` (both uint8 (N, H, W), high resolution); write model, history, figure.

    `perceptual` is the second loss; `lpips` measures on held-out images, where it is there; `counts` says on the card
    how many of the images come from which source.
    """
    params = stage.params.superres
    objective = Restoring(
        params,
        scale=scale,
        perceptual=perceptual,
        lpips=lpips,
        images=images,
        held_out=held_out,
        seed=stage.params.seed,
        scratch=stage.scratch,
    )
    training = train(objective, params.training, len(images), stage, "superres")
    if launch.rank() != 0:
        return
    chosen = best_milestone(training.milestones, params.l1_phase * params.training.num_steps)
    stage.notes["kept_step"] = chosen
    shutil.copytree(objective.candidates / f"step-{chosen:09d}", model, dirs_exist_ok=True)
    write_superres_card(
        model,
        origin=f"It was trained by panodiff, profile {stage.params.profile}, seed {stage.params.seed}; its weights are "
        f"averaged over the training (EMA), as they stood after step {chosen}.",
        settings=params.training.model_dump(),
        images=counts,
        limits=[PHANTOMS] if stage.params.profile == "smoke" else [],
    )
    metrics.mkdir(parents=True, exist_ok=True)
    columns = {name: None for row in training.history for name in row}  # the second phase has more losses
    write_csv(metrics / "history.csv", columns, training.history)
    rows = [row | {"kept": int(row["step"] == chosen)} for row in training.milestones]
    write_csv(metrics / "milestones.csv", rows[0], rows)
    previews = [read_grey(path) for path in sorted(objective.previews.glob("step-*.png"))]
    write_grey(metrics / "progress.png", tile(previews, 1))


def best_milestone(milestones: Sequence[dict[str, float]], l1_steps: float) -> int:
    """The step whose weights become the model.

    Of the milestones after the L1 phase, the one nearest to the real images in LPIPS (in the perceptual loss, where
    LPIPS is not measured), among those whose PSNR is at most 1.5 dB below that of the best milestone of all; the last
    one, if none is. Where the L1 phase is the whole training, the one of the highest PSNR.
    """
    highest = max(milestones, key=lambda row: row["val_psnr"])
    later = [row for row in milestones if row["step"] > l1_steps]
    if not later:
        return int(highest["step"])
    faithful = [row for row in later if row["val_psnr"] >= highest["val_psnr"] - MOST_PSNR_LOST_DB]
    distance = "val_lpips" if "val_lpips" in highest else "val_perceptual"
    return int(min(faithful, key=lambda row: row[distance], default=later[-1])["step"])
