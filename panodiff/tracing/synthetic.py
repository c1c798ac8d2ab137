"""What leads to a synthetic picture: its row, its models, the radiographs they learnt from, the stages.

A picture whose bytes are those of a row of rows.csv is this run's. Of any other only what its text chunks say is told,
and this run's records only so far as they are about the very models that the chunks name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from panodiff.audit.data import DRAWN, read_terms
from panodiff.audit.run import Run
from panodiff.files import hash_file
from panodiff.manifest import read_manifest
from panodiff.tracing.lines import Facts, Section
from panodiff.tracing.stages import MODELS, about_stage, has_read, in_short, is_made_here

PREFIX = "panodiff:"
RESOLUTIONS = ("low", "high")
_CHUNKS = {  # the chunk that names a model, by the stage that trains it
    "train_diffusion": "diffusion_model_sha256",
    "train_superres": "superres_model_sha256",
}
_TITLES = {"train_diffusion": "diffusion model", "train_superres": "super-resolution model"}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Picture:
    image: Path
    chunks: dict[str, str]
    said: dict[str, str]  # by its text chunks, without their prefix
    resolution: str
    sha256: str
    row: Row | None  # with its bytes
    claimed: Row | None  # with the index that it says
    place: str | None  # the synthetic image in whose place it lies

    @property
    def trained_by(self) -> list[str]:
        """The stages that trained the models that it names."""
        return [stage for stage, key in _CHUNKS.items() if key in self.said]


def place_of(image: Path, run: Run) -> tuple[str, str] | None:
    """Resolution and name of the synthetic image in whose place the file lies."""
    for resolution in RESOLUTIONS:
        folder = run.root / f"data/synthetic/{resolution}"
        if image.suffix == ".png" and image.parent.resolve() == folder.resolve():
            return resolution, image.stem
    return None


def of_synthetic(image: Path, chunks: dict[str, str], run: Run) -> Iterator[Section]:
    """All that is known of a picture that says, or whose place says, that it is synthetic."""
    picture = _look_up(image, chunks, run)
    known = _about_copies(run, str(picture.row["id"])) if picture.row else []
    yield str(image), [*_about_itself(picture), *known]
    for stage in picture.trained_by:
        yield f"Its {_TITLES[stage]}", _about_model(run, picture.said[_CHUNKS[stage]], stage)
    learnt = [stage for stage in picture.trained_by if _trained_here(run, picture, stage)]
    if learnt:
        titles = " and ".join(_TITLES[stage] for stage in learnt)
        yield f"What the {titles} learnt from (train split)", [*_training_images(run, learnt)]
    drawn = ["sample", "upscale"][: 1 + RESOLUTIONS.index(picture.resolution)] if picture.row else []
    encoder = ["train_encoder"] if _learnt_by_encoder(run, learnt) else []
    for stage in (*drawn, *learnt, *encoder, *(["split"] if learnt else [])):
        if stage in run.records:
            yield f"Stage {stage}", about_stage(run.records[stage])
    earlier = [name for name in run.records if name.startswith(("ingest@", "harmonize@"))]
    if learnt and earlier:
        yield "Stages before these", [(name, in_short(run.records[name])) for name in earlier]


def _look_up(image: Path, chunks: dict[str, str], run: Run) -> _Picture:
    said = {key.removeprefix(PREFIX): value for key, value in chunks.items() if key.startswith(PREFIX)}
    place, sha256 = place_of(image, run), hash_file(image)
    rows = {resolution: _rows(run, resolution) for resolution in RESOLUTIONS}
    with_bytes = {resolution: _first(rows[resolution], "sha256", sha256) for resolution in RESOLUTIONS}
    told = "high" if _CHUNKS["train_superres"] in said else "low"
    resolution = next((name for name, row in with_bytes.items() if row), place[0] if place and not said else told)
    return _Picture(
        image=image,
        chunks=chunks,
        said=said,
        resolution=resolution,
        sha256=sha256,
        row=with_bytes[resolution],
        claimed=_first(rows[resolution], "index", said.get("index", "")),
        place=f"data/synthetic/{place[0]}/{place[1]}.png" if place else None,
    )


def _rows(run: Run, resolution: str) -> pd.DataFrame:
    path = run.root / f"data/synthetic/{resolution}/rows.csv"
    return pd.read_csv(path, dtype=str) if path.is_file() else pd.DataFrame(columns=["id", "index", "seed", "sha256"])


def _first(rows: pd.DataFrame, column: str, value: str) -> Row | None:
    found = rows[rows[column] == value].to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else None


def _about_itself(picture: _Picture) -> Facts:
    said, row, table = picture.said, picture.row, f"data/synthetic/{picture.resolution}/rows.csv"
    name = f", {row['id']}," if row else ""
    called = f"a synthetic radiograph{name} at {picture.resolution} resolution"
    calls = f"calls itself {called}" if said else "does not say what it is"
    facts = [
        ("is", called if row else f"NOT a picture that this run made; it {calls}"),
        ("says", f"{picture.chunks.get('Title', 'no title')}; {picture.chunks.get('Software', 'no software')}"),
        ("seed, index", f"{said.get('seed', 'not said')}, {said.get('index', 'not said')}"),
    ]
    if row:
        facts.append(("bytes", f"those of its row in {table}, SHA-256 {picture.sha256}"))
    elif picture.claimed:
        there = f"the row of {picture.claimed['id']} has {picture.claimed['sha256']}"
        facts.append(("bytes", f"NOT those of its row in {table}: SHA-256 {picture.sha256}; {there}"))
    else:
        facts.append(
            ("bytes", f"SHA-256 {picture.sha256}; {table} has no such index: it is of another run, or changed")
        )
    return [*facts, *(("DISAGREES", text) for text in _disagreements(picture))]


def _disagreements(picture: _Picture) -> Iterator[str]:
    row = picture.row or picture.claimed
    if row:
        for key in ("seed", "index"):
            if picture.said.get(key) != row[key]:
                yield f"its text says {key} {picture.said.get(key, 'nothing')}, the row of {row['id']} {row[key]}"
    if picture.place and not (picture.row and picture.place.endswith(f"/{picture.resolution}/{picture.row['id']}.png")):
        yield f"it lies at {picture.place}, and is not the picture that belongs there"


def _about_copies(run: Run, name: str) -> Facts:
    paths = [run.root / "metrics/evaluation" / file for file in ("copies.csv", "published.csv")]
    if not all(path.is_file() for path in paths):
        return [("nearest patient", "not searched: metrics/evaluation is missing")]
    copies, published = (pd.read_csv(path) for path in paths)
    found = copies[copies["id"] == name].to_dict("records")
    if not found:
        return [("nearest patient", "not searched in this run")]
    row = found[0]
    told = "called a COPY" if int(row["is_copy"]) else "called none"
    mirrored = ", mirrored" if int(row["mirrored"]) else ""
    return [
        ("nearest patient", f"{row['nearest_train_id']}{mirrored}, correlation {row['correlation']:.3f}: {told}"),
        ("published", "yes" if name in set(published["id"]) else "no"),
    ]


def _about_model(run: Run, said: str, stage: str) -> Facts:
    folder = MODELS[stage]
    if not (run.root / folder / "model.safetensors").is_file():
        return [("weights", f"SHA-256 {said}; {folder} is missing here: `dvc checkout`")]
    found = _weights(run, stage)
    if found != said:
        return [
            ("weights", f"SHA-256 {said}, NOT those in {folder}, which are {found}"),
            ("training", "not known here: check out the commit of its run, then `dvc checkout`"),
        ]
    training = f"by {stage} of this run" if is_made_here(run, stage) else f"NOT by {stage} of this run, by its record"
    return [("weights", f"SHA-256 {said}, those in {folder}"), ("training", training)]


def _trained_here(run: Run, picture: _Picture, stage: str) -> bool:
    return is_made_here(run, stage) and _weights(run, stage) == picture.said[_CHUNKS[stage]]


def _weights(run: Run, stage: str) -> str:
    """The SHA-256 of `panodiff.checkpoint.model_sha256`, without PyTorch, which takes seconds to import."""
    return run.contents.sha256(f"{MODELS[stage]}/model.safetensors")


def _learnt_by_encoder(run: Run, learnt: Sequence[str]) -> bool:
    return any(MODELS["train_encoder"] in run.records[stage]["inputs"] for stage in learnt)


def _training_images(run: Run, learnt: Sequence[str]) -> Facts:
    changed = [stage for stage in learnt if not has_read(run, stage, "data/manifest")]
    if changed:
        return [("corpus", f"data/manifest is NOT what {', '.join(changed)} read: `dvc checkout data/manifest`")]
    corpus = read_manifest(run.root / "data/manifest/corpus.csv")
    used = corpus[(corpus["status"] == "kept") & (corpus["split"] == "train")]
    behind = corpus[corpus["id"].isin(used["id"]) | corpus["copy_of"].isin(used["id"])]
    facts = [
        (str(source), f"{_counted(rows, behind[behind['source'] == source])}; {_told(run, str(source))}")
        for source, rows in used.groupby("source")
    ]
    whole = f"{_counted(used, behind)}, with copies; data/manifest/corpus.csv has all {len(corpus)} files found"
    return [*facts, ("all", whole)]


def _counted(images: pd.DataFrame, behind: pd.DataFrame) -> str:
    return f"{len(images)} images of {len(behind)} raw files"


def _told(run: Run, source: str) -> str:
    try:
        terms = read_terms(run, source)
    except ValueError as error:
        return f"licence and DOI are NOT written down ({error})"
    return terms.terms if terms is DRAWN else f"{terms.licence}; DOI {terms.doi}"
