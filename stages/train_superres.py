"""Train the super-resolution model on the train split at high resolution."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/manifest, data/harmonized, data/models/encoder → data/models/superres, metrics/superres."""
    from panodiff import launch  # noqa: PLC0415
    from panodiff.features.perceptual import load_lpips  # noqa: PLC0415
    from panodiff.manifest import read_manifest, split_paths  # noqa: PLC0415
    from panodiff.model_card import count_by_source  # noqa: PLC0415
    from panodiff.superres.losses import load_perceptual_loss  # noqa: PLC0415
    from panodiff.superres.train import train_superres  # noqa: PLC0415
    from panodiff.training import open_store  # noqa: PLC0415

    launch.start_torch()
    params, device = stage.params.superres, launch.device()
    corpus = read_manifest(stage.dep("data/manifest") / "corpus.csv")
    train_superres(
        stage,
        images=open_store(split_paths(corpus, "train", "high_path"), stage.scratch / "train.npy"),
        held_out=open_store(split_paths(corpus, "val", "high_path"), stage.scratch / "val.npy"),
        scale=stage.params.harmonize.scale,
        perceptual=load_perceptual_loss(params.loss.backbone, encoder=stage.dep("data/models/encoder"), device=device),
        lpips=load_lpips(params.lpips_backbone, device),
        counts=count_by_source(corpus),
        model=stage.out("data/models/superres"),
        metrics=stage.out("metrics/superres"),
    )


if __name__ == "__main__":
    run_stage(run, "train_superres", distributed=True)
