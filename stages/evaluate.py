"""Measure the synthetic radiographs against the test split, and the super-resolution on it."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/synthetic, the test split and the models → metrics/evaluation.json, metrics/evaluation."""
    from panodiff.evaluation.evaluate import Models, evaluate  # noqa: PLC0415
    from panodiff.features.encoder import load_encoder  # noqa: PLC0415
    from panodiff.features.perceptual import load_lpips  # noqa: PLC0415
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.manifest import read_manifest  # noqa: PLC0415
    from panodiff.superres.model import load_superres  # noqa: PLC0415

    device = start_torch()
    models = Models(
        lpips=load_lpips(stage.params.evaluate.lpips_backbone, device),  # first: stops where its weights are missing
        encoder=load_encoder(stage.dep("data/models/encoder"), device),
        upscale=load_superres(stage.dep("data/models/superres"), device),
        device=device,
    )
    evaluate(
        stage.params,
        models,
        corpus=read_manifest(stage.dep("data/manifest") / "corpus.csv"),
        synthetic=stage.dep("data/synthetic"),
        tables=stage.out("metrics/evaluation"),
        summary=stage.out("metrics/evaluation.json"),
        check_stop=stage.check_stop,
    )


if __name__ == "__main__":
    run_stage(run, "evaluate")
