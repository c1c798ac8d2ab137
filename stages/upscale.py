"""Bring the synthetic radiographs to high resolution."""

from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/models/superres, data/synthetic/low → data/synthetic/high."""
    from panodiff.launch import start_torch  # noqa: PLC0415
    from panodiff.sampling.upscale import upscale  # noqa: PLC0415

    start_torch()
    upscale(
        stage,
        model=stage.dep("data/models/superres"),
        low=stage.dep("data/synthetic/low"),
        out=stage.out("data/synthetic/high"),
    )


if __name__ == "__main__":
    run_stage(run, "upscale", distributed=True)
