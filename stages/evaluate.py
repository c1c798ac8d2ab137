"""Measure the synthetic radiographs against the test split, and the super-resolution on it."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/synthetic, the corpus and the models → metrics/evaluation.json, metrics/evaluation."""
    from panodiff.evaluation.evaluate import Models, Run, evaluate  # noqa: PLC0415
    from panodiff.features.backbones import load_backbones  # noqa: PLC0415
    from panodiff.features.perceptual import load_lpips  # noqa: PLC0415
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.manifest import read_manifest  # noqa: PLC0415
    from panodiff.superres.model import load_superres  # noqa: PLC0415

    device = start_torch()
    params = stage.params.evaluate
    models = Models(  # first: stops where weights are missing
        lpips=load_lpips(params.lpips_backbone, device),
        backbones=load_backbones(params.backbones, stage.dep("data/models/encoder"), device),
        upscale=load_superres(stage.dep("data/models/superres"), device),
        device=device,
    )
    measuring = Run(
        params=stage.params,
        models=models,
        corpus=read_manifest(stage.dep("data/manifest") / "corpus.csv"),
        tables=stage.out("metrics/evaluation"),
        check_stop=stage.check_stop,
    )
    evaluate(measuring, stage.dep("data/synthetic"), stage.out("metrics/evaluation.json"))


if __name__ == "__main__":
    run_stage(run, "evaluate", distributed=True)
