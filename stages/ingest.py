"""Find, verify and hash every file of a source."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/raw/<profile>/<source> → data/ingested/<profile>/<source>.csv."""
    from panodiff.sources.ingest import ingest  # noqa: PLC0415

    profile, source = stage.params.profile, stage.item
    counts = ingest(
        source,
        folder=stage.dep(f"data/raw/{profile}/{source}"),
        params=stage.params.ingest,
        out=stage.out(f"data/ingested/{profile}/{source}.csv"),
        check_stop=stage.check_stop,
    )
    if profile == "paper" and counts and counts.differs:
        print(counts, flush=True)


if __name__ == "__main__":
    run_stage(run, "ingest")
