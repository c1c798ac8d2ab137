"""Turn, crop and resize the radiographs of a source to both resolutions."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/ingested, data/raw → data/harmonized/<profile>/<source>."""
    from panodiff.harmonize.source import Task, harmonize_source  # noqa: PLC0415

    profile, source = stage.params.profile, stage.item
    final = f"data/harmonized/{profile}/{source}"
    task = Task(
        raw=stage.dep(f"data/raw/{profile}/{source}"),
        out=stage.out(final),
        source=stage.params.source[source],
        target=stage.params.harmonize,
    )
    manifest = stage.dep(f"data/ingested/{profile}/{source}.csv")
    harmonize_source(task, manifest, final, stage.check_stop)


if __name__ == "__main__":
    run_stage(run, "harmonize")
