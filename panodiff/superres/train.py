"""The stage train_superres: train, keep the averaged generator, show how it learnt."""

from pathlib import Path

from panodiff import launch
from panodiff.checkpoint import save_model
from panodiff.features.encoder import load_encoder
from panodiff.files import write_csv
from panodiff.images import read_grey, tile, write_grey
from panodiff.stage import Stage
from panodiff.superres.model import Restorer
from panodiff.superres.restoring import Restoring
from panodiff.training import ImageStore, train


def train_superres(
    stage: Stage, *, images: ImageStore, held_out: ImageStore, scale: int, encoder: Path, model: Path, metrics: Path
) -> None:
    """Train on `images`, watch `held_out` (both uint8 (N, H, W), high resolution); write model, history, figure."""
    params = stage.params.superres
    previews = stage.scratch / "previews"
    network = load_encoder(encoder, launch.device())
    objective = Restoring(
        params,
        scale=scale,
        encoder=network,
        images=images,
        held_out=held_out,
        seed=stage.params.seed,
        previews=previews,
    )
    training = train(objective, params.training, len(images), stage, "superres")
    if launch.rank() != 0:
        return
    restorer = training.averaged.module
    assert isinstance(restorer, Restorer)
    save_model(model, restorer.hat, {"network": params.network.model_dump(mode="json"), "scale": scale})
    metrics.mkdir(parents=True, exist_ok=True)
    columns = {name: None for row in training.history for name in row}  # the second phase has more losses
    write_csv(metrics / "history.csv", columns, training.history)
    write_csv(metrics / "milestones.csv", training.milestones[0], training.milestones)
    rows = [read_grey(path) for path in sorted(previews.glob("step-*-0.png"))]
    write_grey(metrics / "progress.png", tile(rows, 1))
