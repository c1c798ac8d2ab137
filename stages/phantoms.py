"""Draw phantom radiographs in the layouts of the five sources."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """→ data/raw/smoke."""
    from panodiff.sources.phantom import write_phantoms  # noqa: PLC0415

    phantoms = stage.params.phantoms
    write_phantoms(
        stage.out("data/raw/smoke"),
        seed=stage.params.seed,
        num_patients=phantoms.num_patients,
        scale=phantoms.scale,
    )


if __name__ == "__main__":
    run_stage(run, "phantoms")
