"""Show the sources by t-SNE and measure how well they can be told apart."""

from panodiff.stage import Stage, run_stage

BATCH_SIZE = 32  # images at once; features do not depend on it


def run(stage: Stage) -> None:
    """data/manifest, data/harmonized, data/models/encoder → metrics/sources."""
    from pathlib import Path  # noqa: PLC0415

    from panodiff.features.analysis import draw_images, write_analysis  # noqa: PLC0415
    from panodiff.features.embed import embed  # noqa: PLC0415
    from panodiff.features.encoder import load_encoder  # noqa: PLC0415
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.manifest import read_manifest  # noqa: PLC0415

    device = start_torch()
    params = stage.params
    corpus = read_manifest(stage.dep("data/manifest") / "corpus.csv")
    rows = draw_images(corpus, params.analyse_sources.images_per_source, params.seed)
    encoder = load_encoder(stage.dep("data/models/encoder"), device)
    features = embed([Path(path) for path in rows["high_path"]], encoder, batch_size=BATCH_SIZE, device=device)
    stage.check_stop()
    write_analysis(features, rows, params, stage.out("metrics/sources"))


if __name__ == "__main__":
    run_stage(run, "analyse_sources")
