"""`panodiff trace`: where a picture comes from, told from its own bytes, the tables of the run and the records.

A picture is known by its bytes, wherever it lies: a synthetic one by its text chunks, a harmonized or a raw one by its
SHA-256 or its place.
"""

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd
from PIL import UnidentifiedImageError

from panodiff.audit.data import DRAWN, SourceTerms, read_terms
from panodiff.audit.run import Run
from panodiff.checkpoint import model_sha256
from panodiff.files import hash_file
from panodiff.images import read_text_chunks
from panodiff.manifest import read_manifest
from panodiff.sources.catalogue import read_catalogue
from panodiff.tracing.stages import Facts, about_stage, about_training

_PREFIX = "panodiff:"
_MODELS = (
    ("diffusion model", "diffusion_model_sha256", "data/models/diffusion", "train_diffusion"),
    ("super-resolution model", "superres_model_sha256", "data/models/superres", "train_superres"),
)
_KINDS = {"harmonized, high resolution": "high_path", "harmonized, low resolution": "low_path", "raw": "path"}
_WIDTH = 118  # of a line, where its words allow it
Section = tuple[str, Facts]


def trace(image: Path, run: Run) -> list[str]:
    """Lines for a terminal, in sections: what the picture is, and all that it comes from.

    Raises:
        ValueError: There is no such file, or the run neither made nor read it.
    """
    if not image.is_file():
        raise ValueError(f"the image to trace must be a file, got {image}")
    chunks = _chunks(image)
    if any(key.startswith(_PREFIX) for key in chunks):
        return _as_lines([*_of_synthetic(image, chunks, run)])
    corpus = read_manifest(run.root / "data/manifest/corpus.csv")
    row, kind = _find(image, corpus, run)
    return _as_lines([*_of_radiograph(image, row, kind, run)])


def _chunks(image: Path) -> dict[str, str]:
    try:
        return read_text_chunks(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return {}  # no PNG, or none that can be read: a raw file may still be known by its hash


def _as_lines(sections: list[Section]) -> list[str]:
    lines: list[str] = []
    for title, facts in sections:
        width = max(len(name) for name, _ in facts)
        lines += ["", title]
        for name, value in facts:
            first, rest = f"  {name:<{width}}  ", " " * (width + 4)
            lines += wrap(
                value,
                _WIDTH,
                initial_indent=first,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines[1:]


def _of_synthetic(image: Path, chunks: dict[str, str], run: Run) -> Iterator[Section]:
    said = {key.removeprefix(_PREFIX): value for key, value in chunks.items() if key.startswith(_PREFIX)}
    resolution = "high" if "superres_model_sha256" in said else "low"
    row = _synthetic_row(run, resolution, said.get("index", ""))
    name = str(row["id"]) if row else "no image of this run"
    yield (
        str(image),
        [
            ("is", f"a synthetic radiograph, {name}, at {resolution} resolution"),
            ("says", f"{chunks.get('Title', 'no title')}; {chunks.get('Software', 'no software')}"),
            ("seed, index", f"{said.get('seed')}, {said.get('index')}"),
            ("bytes", _about_bytes(image, row, resolution)),
            *_about_copies(run, name),
        ],
    )
    for title, key, folder, stage in _MODELS:
        if key in said:
            yield f"Its {title}", [*_about_model(run, said[key], folder), *about_training(run, stage)]
    yield "Trained on (train split)", list(_training_images(run))
    stages = ("sample", "upscale") if resolution == "high" else ("sample",)
    for stage in (*stages, "train_diffusion", *(("train_superres",) if resolution == "high" else ()), "split"):
        if stage in run.records:
            yield f"Stage {stage}", about_stage(run.records[stage])


def _synthetic_row(run: Run, resolution: str, index: str) -> dict[str, Any] | None:
    path = run.root / f"data/synthetic/{resolution}/rows.csv"
    if not path.is_file():
        return None
    rows = pd.read_csv(path)
    found = rows[rows["index"].astype(str) == index].to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else None


def _about_bytes(image: Path, row: dict[str, Any] | None, resolution: str) -> str:
    found = hash_file(image)
    if row is None:
        return f"SHA-256 {found}; data/synthetic/{resolution}/rows.csv has no such index: it is of another run"
    if found != row["sha256"]:
        return f"NOT those of its row in rows.csv: SHA-256 {found}, the row has {row['sha256']}"
    return f"those of its row in data/synthetic/{resolution}/rows.csv, SHA-256 {found}"


def _about_copies(run: Run, name: str) -> Facts:
    paths = [run.root / "metrics/evaluation" / file for file in ("copies.csv", "published.csv")]
    if not all(path.is_file() for path in paths):
        return [("copy of a patient", "not searched: metrics/evaluation is missing")]
    copies, published = (pd.read_csv(path) for path in paths)
    found = copies[copies["id"] == name].to_dict("records")
    if not found:
        return [("copy of a patient", "not searched in this run")]
    row = found[0]
    told = "called a copy" if int(row["is_copy"]) else "called none"
    nearest = (
        f"{row['nearest_train_id']}{', mirrored' if int(row['mirrored']) else ''}, correlation {row['correlation']:.3f}"
    )
    return [
        ("nearest patient", f"{nearest}: {told}"),
        ("published", "yes" if name in set(published["id"]) else "no"),
    ]


def _about_model(run: Run, said: str, folder: str) -> Facts:
    place = run.root / folder
    if not place.is_dir():
        return [("weights", f"SHA-256 {said}; {folder} is missing here")]
    found = model_sha256(place)
    told = f"those in {folder}" if found == said else f"NOT those in {folder}, which are {found}"
    return [("weights", f"SHA-256 {said}, {told}")]


def _training_images(run: Run) -> Iterator[tuple[str, str]]:
    corpus = read_manifest(run.root / "data/manifest/corpus.csv")
    used = corpus[(corpus["status"] == "kept") & (corpus["split"] == "train")]
    for source, rows in used.groupby("source"):
        yield str(source), f"{len(rows)} images; {_told(run, str(source))}"
    yield "all", f"{len(used)} images, of {len(corpus)} files found; data/manifest/corpus.csv has a row for each"


def _told(run: Run, source: str) -> str:
    try:
        terms = read_terms(run, source)
    except ValueError as error:
        return f"terms not written down ({error})"
    return terms.terms if terms is DRAWN else f"{terms.licence}; DOI {terms.doi}"


def _find(image: Path, corpus: pd.DataFrame, run: Run) -> tuple[dict[str, Any], str]:
    """The row of a harmonized or a raw image, and which of the two it is."""
    found = _at_its_place(image, corpus, run) or _same_bytes(image, corpus, run)
    if found is None:
        raise ValueError(
            f"{image} must be a synthetic PNG that this pipeline wrote (with its text chunks), or a harmonized or raw "
            f"image of this run: it has no such chunks, and neither its bytes nor its place are in the run below "
            f"{run.root.resolve()}. Was it drawn, or harmonized, by another commit? Check that out, then `dvc checkout`"
        )
    row, kind = found
    return {str(key): value for key, value in row.items()}, kind


def _at_its_place(image: Path, corpus: pd.DataFrame, run: Run) -> tuple[pd.Series, str] | None:
    """By where the file lies in the run's folders; whether it is still what the run made or read is told besides."""
    place = image.resolve()
    for kind, column in _KINDS.items():
        for _, row in corpus.dropna(subset=[column]).iterrows():
            if place == _path(row, column, run).resolve():
                return row, kind
    return None


def _same_bytes(image: Path, corpus: pd.DataFrame, run: Run) -> tuple[pd.Series, str] | None:
    sha256, size = hash_file(image), image.stat().st_size
    for kind, column in _KINDS.items():
        for _, row in corpus.dropna(subset=[column]).iterrows():
            path = _path(row, column, run)
            if column == "path" and row["sha256"] == sha256:
                return row, kind
            if column != "path" and path.is_file() and path.stat().st_size == size and hash_file(path) == sha256:
                return row, kind
    return None


def _path(row: pd.Series, column: str, run: Run) -> Path:
    if column == "path":
        return run.root / f"data/raw/{run.params.profile}/{row['source']}/{row['path']}"
    return run.root / str(row[column])


def _of_radiograph(image: Path, row: dict[str, Any], kind: str, run: Run) -> Iterator[Section]:
    raw = f"data/raw/{run.params.profile}/{row['source']}/{row['path']}"
    yield (
        str(image),
        [
            ("is", f"a radiograph of {row['source']} ({kind}), {row['id']}{_if_changed(image, row, kind)}"),
            ("raw file", f"{raw}, {_about_raw(run, raw, str(row['sha256']))}"),
            ("became", _became(row)),
            ("group", f"{_text(row['group'])}; patient {_text(row['patient'])}"),
            ("flags", _text(row["flags"])),
        ],
    )
    if row["status"] == "kept":
        yield "From the raw file to this picture", list(_transformation(row))
        used = [stage for stage in ("train_encoder", "train_diffusion", "train_superres") if stage in run.records]
        yield "Used", [(str(row["split"]), ", ".join(used) if row["split"] == "train" else _not_trained(row))]
    yield "Source", list(_about_source(run, str(row["source"])))
    for stage in (f"ingest@{row['source']}", f"harmonize@{row['source']}", "split"):
        if stage in run.records:
            yield f"Stage {stage}", about_stage(run.records[stage])


def _text(value: Any) -> str:
    return "none" if pd.isna(value) else str(value)


def _if_changed(image: Path, row: dict[str, Any], kind: str) -> str:
    changed = kind == "raw" and hash_file(image) != row["sha256"]
    return "; CHANGED since it was read" if changed else ""


def _about_raw(run: Run, raw: str, sha256: str) -> str:
    path = run.root / raw
    if not path.is_file():
        return f"SHA-256 {sha256} when it was read (in an archive, or not here any more)"
    same = hash_file(path) == sha256
    return f"SHA-256 {sha256}" if same else f"CHANGED since it was read (SHA-256 then {sha256})"


def _became(row: dict[str, Any]) -> str:
    if row["status"] == "kept":
        return f"kept, in the split {row['split']}"
    return f"{row['status']}: {_text(row['reason'])}"


def _not_trained(row: dict[str, Any]) -> str:
    return "no model was trained on it" if row["split"] == "test" else "chose between states of the trainings, no more"


def _transformation(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "file", f"{row['format']} {row['mode']}, {row['bits']} bits, {row['height']}×{row['width']} upright"
    yield "turned", f"EXIF orientation {row['orientation']}, then {row['rotation_deg']}° counter-clockwise"
    if not pd.isna(row["window_low"]):
        yield "greys", f"{row['window_low']} became black, {row['window_high']} white"
    if int(row["inverted"]):
        yield "inverted", "black and white exchanged"
    yield "crop", f"rows {row['crop_top']} to {row['crop_bottom']}, columns {row['crop_left']} to {row['crop_right']}"
    yield "written to", f"{row['high_path']}, {row['low_path']}"


def _about_source(run: Run, source: str) -> Iterator[tuple[str, str]]:
    entry = read_catalogue().get(source) if run.params.profile == "paper" else None
    if entry:
        yield "title", f"{entry.title} ({entry.country} {entry.year})"
        yield "citation", entry.citation
    try:
        terms: SourceTerms = read_terms(run, source)
    except ValueError as error:
        yield "terms", str(error)
        return
    yield "licence", terms.licence
    yield "DOI", terms.doi
    yield "accessed", terms.accessed
    yield "terms", terms.terms
