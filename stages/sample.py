"""Draw synthetic radiographs at low resolution."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/models/diffusion → data/synthetic/low."""
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.sampling.sample import sample  # noqa: PLC0415

    start_torch()
    sample(stage, model=stage.dep("data/models/diffusion"), out=stage.out("data/synthetic/low"))


if __name__ == "__main__":
    run_stage(run, "sample", distributed=True)
