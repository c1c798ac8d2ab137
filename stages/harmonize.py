"""Turn, crop and resize the radiographs of a source to both resolutions; flag odd ones."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/ingested, data/raw → data/harmonized/<profile>/<source>."""
    from panodiff.harmonize.source import harmonize_source  # noqa: PLC0415

    profile, source = stage.params.profile, stage.item
    final = f"data/harmonized/{profile}/{source}"
    harmonize_source(
        stage.dep(f"data/raw/{profile}/{source}"),
        stage.dep(f"data/ingested/{profile}/{source}.csv"),
        stage.out(final),
        source=stage.params.source[source],
        target=stage.params.harmonize,
        quality=stage.params.quality,
        final=final,
        check_stop=stage.check_stop,
    )


if __name__ == "__main__":
    run_stage(run, "harmonize")
