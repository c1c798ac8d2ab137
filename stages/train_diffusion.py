"""Train the diffusion model on the train split at low resolution."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/manifest, data/harmonized → data/models/diffusion, metrics/diffusion."""
    from panodiff.diffusion.train import train_diffusion  # noqa: PLC0415
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.manifest import read_manifest, split_paths  # noqa: PLC0415
    from panodiff.model_card import count_by_source  # noqa: PLC0415
    from panodiff.training import open_store  # noqa: PLC0415

    start_torch()
    corpus = read_manifest(stage.dep("data/manifest") / "corpus.csv")
    train_diffusion(
        stage,
        images=open_store(split_paths(corpus, "train", "low_path"), stage.scratch / "train.npy"),
        held_out=open_store(split_paths(corpus, "val", "low_path"), stage.scratch / "val.npy"),
        counts=count_by_source(corpus),
        model=stage.out("data/models/diffusion"),
        metrics=stage.out("metrics/diffusion"),
    )


if __name__ == "__main__":
    run_stage(run, "train_diffusion", distributed=True)
