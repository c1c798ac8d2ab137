"""Show the sources by t-SNE, before and after harmonization, and measure how well they can be told apart."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/raw, data/manifest, data/harmonized, data/models/encoder, data/synthetic/high → metrics/sources."""
    from panodiff.features.analysis import draw_images, draw_synthetic, make_maps, write_analysis  # noqa: PLC0415
    from panodiff.features.encoder import load_encoder  # noqa: PLC0415
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.manifest import read_manifest  # noqa: PLC0415

    device = start_torch()
    params = stage.params
    count = params.analyse_sources.images_per_source
    corpus = read_manifest(stage.dep("data/manifest") / "corpus.csv")
    maps = make_maps(
        draw_images(corpus, count, params.seed),
        draw_synthetic(stage.dep("data/synthetic/high"), count, params.seed),
        load_encoder(stage.dep("data/models/encoder"), device),
        raw=stage.dep(f"data/raw/{params.profile}"),
        sources=params.source,
        device=device,
    )
    stage.check_stop()
    write_analysis(maps, corpus, params, stage.out("metrics/sources"))


if __name__ == "__main__":
    run_stage(run, "analyse_sources")
