"""Remove duplicates and split the corpus by duplicate group."""

import shutil
from pathlib import Path

from panodiff.params import Params
from panodiff.stage import Stage, run_stage


def run(stage: Stage) -> None:
    """data/harmonized/<profile> → data/manifest, metrics/data.json, metrics/corpus."""
    from panodiff.corpus.look import write_look  # noqa: PLC0415
    from panodiff.corpus.split import split_corpus  # noqa: PLC0415

    manifest = stage.out("data/manifest")
    split_corpus(
        stage.params,
        harmonized=stage.dep(f"data/harmonized/{stage.params.profile}"),
        manifest=manifest,
        metrics=stage.out("metrics/data.json"),
    )
    write_look(manifest, stage.out("metrics/corpus"))


def drop_unlisted_sources(params: Params) -> None:
    """Take folders of sources that params.yaml no longer lists out of the way; they stay in dvc's cache."""
    for folder in Path(f"data/harmonized/{params.profile}").glob("*"):
        if folder.is_dir() and folder.name not in params.sources:
            print(f"{folder} belongs to no source in params.yaml; removed (dvc has it in its cache)", flush=True)
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)


if __name__ == "__main__":
    run_stage(run, "split", before=drop_unlisted_sources)
