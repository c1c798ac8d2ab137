"""Draw and blind the cases of a reader study."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/manifest, data/harmonized, data/synthetic/high, what may be published → data/study."""
    from panodiff.manifest import read_manifest  # noqa: PLC0415
    from panodiff.study.draw import draw_study  # noqa: PLC0415

    draw_study(
        stage.params,
        corpus=read_manifest(stage.dep("data/manifest") / "corpus.csv"),
        synthetic=stage.dep("data/synthetic/high"),
        published=stage.dep("metrics/evaluation/published.csv"),
        out=stage.out("data/study"),
    )


if __name__ == "__main__":
    run_stage(run, "study")
