"""Gather figures, numbers and provenance in one page."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """What the other stages left → metrics/report.html, metrics/summary.json, metrics/figures."""
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.report.page import make_report  # noqa: PLC0415

    start_torch()
    make_report(
        stage.params,
        stage.tracked,
        [dep for dep in stage.definition.deps if dep.startswith("metrics/provenance/")],
        find=stage.dep,
        page=stage.out("metrics/report.html"),
        summary=stage.out("metrics/summary.json"),
        figures=stage.out("metrics/figures"),
    )


if __name__ == "__main__":
    run_stage(run, "report")
