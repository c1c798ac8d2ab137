"""Analyse the answers of a reader study."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/readings, data/study → metrics/study.json, metrics/study."""
    from panodiff.study.readings import analyse_readings  # noqa: PLC0415

    analyse_readings(
        stage.dep("data/readings"),
        stage.dep("data/study"),
        seed=stage.params.seed,
        out=stage.out("metrics/study.json"),
        figures=stage.out("metrics/study"),
    )


if __name__ == "__main__":
    run_stage(run, "analyse_study")
