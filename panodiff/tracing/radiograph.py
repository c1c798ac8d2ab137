"""What leads to and from a radiograph: its raw file, what was done to it, the models that learnt from it, its terms."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from panodiff.audit.data import read_terms
from panodiff.audit.run import Run
from panodiff.files import hash_file
from panodiff.manifest import read_manifest
from panodiff.sources.catalogue import read_catalogue
from panodiff.tracing.lines import Facts, Section
from panodiff.tracing.stages import MODELS, about_stage, has_read, is_made_here

_KINDS = {"high_path": "harmonized, high resolution", "low_path": "harmonized, low resolution", "path": "raw"}
_CHOSEN_BY = "chose between states of the trainings, no more"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file of the run, and its row of corpus.csv."""

    row: dict[str, Any]
    column: str  # of corpus.csv, that names the file
    corpus: pd.DataFrame

    @property
    def is_radiograph(self) -> bool:
        """Whether it is one by its place and name: labels and masks lie beside them."""
        return bool(self.row["status"] != "beside")


def find(image: Path, run: Run) -> Found | None:
    """The row of a harmonized or a raw file; None where neither its place nor its bytes are in the run.

    Raises:
        ValueError: The run has no corpus.csv.
    """
    path = run.root / "data/manifest/corpus.csv"
    if not path.is_file():
        raise ValueError(f"{path} is missing: `dvc repro split`, or `dvc checkout`, puts it there")
    corpus = read_manifest(path)
    found = _at_its_place(image, corpus, run) or _same_bytes(image, corpus, run)
    return found and Found(row={str(key): value for key, value in found[0].items()}, column=found[1], corpus=corpus)


def _at_its_place(image: Path, corpus: pd.DataFrame, run: Run) -> tuple[pd.Series, str] | None:
    """By where the file lies in the run's folders; whether it is still what the run made or read is told besides."""
    place = image.parent.resolve() / image.name  # itself it may be a link into dvc's cache
    for source, rows in corpus.groupby("source"):
        folders = {"path": run.root / f"data/raw/{run.params.profile}/{source}"}
        for column in ("high_path", "low_path"):
            if rows[column].notna().any():
                folders[column] = (run.root / str(rows[column].dropna().iloc[0])).parent
        for column, folder in folders.items():
            if place.is_relative_to(folder.resolve()):
                name = place.relative_to(folder.resolve()).as_posix()
                names = rows[column] if column == "path" else rows[column].str.rpartition("/")[2]
                return next(((row, column) for _, row in rows[(names == name).fillna(value=False)].iterrows()), None)
    return None


def _same_bytes(image: Path, corpus: pd.DataFrame, run: Run) -> tuple[pd.Series, str] | None:
    sha256, size = hash_file(image), image.stat().st_size
    for _, row in corpus[corpus["sha256"] == sha256].iterrows():
        return row, "path"
    for column in ("high_path", "low_path"):
        for _, row in corpus.dropna(subset=[column]).iterrows():
            path = run.root / str(row[column])
            if path.is_file() and path.stat().st_size == size and hash_file(path) == sha256:
                return row, column
    return None


def of_radiograph(image: Path, found: Found, run: Run) -> Iterator[Section]:
    """All that is known of a harmonized or a raw file."""
    row, source = found.row, str(found.row["source"])
    yield str(image), [*_about_itself(image, found, run)]
    if not pd.isna(row["high_path"]) and row["status"] != "rejected":
        yield "From the raw file to the harmonized images", [*_transformation(row, run)]
    if found.is_radiograph:
        yield "What became of it", [*_forward(found, run)]
    yield "Source", [*_about_source(run, source)]
    for stage in (f"ingest@{source}", f"harmonize@{source}", "split"):
        if stage in run.records:
            yield f"Stage {stage}", about_stage(run.records[stage])


def _about_itself(image: Path, found: Found, run: Run) -> Iterator[tuple[str, str]]:
    row = found.row
    raw = f"data/raw/{run.params.profile}/{row['source']}/{row['path']}"
    what = "a radiograph" if found.is_radiograph else f"a file beside the radiographs ({_text(row['reason'])})"
    changed = found.column == "path" and hash_file(image) != row["sha256"]
    kind = f"{what} of {row['source']} ({_KINDS[found.column]})"
    yield "is", f"{kind}, {row['id']}{'; CHANGED since it was read' if changed else ''}"
    if found.column != "path":
        yield "bytes", _about_harmonized(run, str(row["source"]), str(row[found.column]))
    yield "raw file", f"{raw}, {_about_raw(run, raw, str(row['sha256']))}"
    if found.is_radiograph:
        yield "group", f"{_text(row['group'])}; patient {_text(row['patient'])}"
        yield "copies", _copies(found)
        yield "flags", _text(row["flags"])


def _text(value: Any) -> str:
    return "none" if pd.isna(value) else str(value)


def _about_raw(run: Run, raw: str, sha256: str) -> str:
    path = run.root / raw
    if not path.is_file():
        return f"SHA-256 {sha256} when it was read (in an archive, or not here any more)"
    same = hash_file(path) == sha256
    return f"SHA-256 {sha256}, and still is" if same else f"CHANGED since it was read (SHA-256 then {sha256})"


def _about_harmonized(run: Run, source: str, path: str) -> str:
    """Whether the file is what the stage wrote: dvc.lock has the hash of its folder, dvc's cache those of the files."""
    stage, folder = f"harmonize@{source}", f"data/harmonized/{run.params.profile}/{source}"
    content, locked = run.contents.at(folder), run.lock.get(stage)
    md5 = locked.outs.get(folder) if locked else None
    if content is None or md5 is None:
        return f"of {path}; dvc.lock does not say what {stage} wrote"
    if content.md5 == md5:
        return f"those that {stage} wrote to {path}, by dvc.lock"
    differing = run.contents.differing(folder, md5)
    if not differing:
        return f"of {path}; {folder} is not what dvc.lock has, and dvc's cache does not know its files one by one"
    changed = [text for text in differing if text.startswith(f"{path} ")]
    return f"CHANGED since {stage} wrote {path}: `dvc checkout`" if changed else f"those that {stage} wrote to {path}"


def _copies(found: Found) -> str:
    row, corpus = found.row, found.corpus
    others = list(corpus.loc[(corpus["copy_of"] == row["id"]).fillna(value=False), "id"])
    told = [] if pd.isna(row["copy_of"]) else [f"it is one of {row['copy_of']}"]
    return "; ".join([*told, *([f"of it: {', '.join(others)}"] if others else [])]) or "none"


def _transformation(row: dict[str, Any], run: Run) -> Iterator[tuple[str, str]]:
    yield "file", f"{row['format']} {row['mode']}, {row['bits']} bits, {row['height']}×{row['width']} upright"
    yield "turned", f"EXIF orientation {row['orientation']}, then {row['rotation_deg']}° counter-clockwise"
    deep = not pd.isna(row["window_low"])
    yield "greys", f"{row['window_low']} became black, {row['window_high']} white" if deep else "as in the file"
    yield "inverted", "yes: black and white were exchanged" if int(row["inverted"]) else "no"
    height, width = (int(row[f"crop_{end}"]) - int(row[f"crop_{start}"]) for end, start in _SIDES)
    yield (
        "crop",
        f"rows {row['crop_top']} to {row['crop_bottom']}, columns {row['crop_left']} to {row['crop_right']} "
        f"({height}×{width}; what lies beyond the file is black)",
    )
    sizes = run.records.get(f"harmonize@{row['source']}", {}).get("resolved_params", {}).get("harmonize", {})
    for name in ("high", "low"):
        size = sizes.get(f"{name}_size")
        yield f"{name} resolution", f"{row[f'{name}_path']}{f', {size[0]}×{size[1]}' if size else ''}"


_SIDES = (("bottom", "top"), ("right", "left"))


def _forward(found: Found, run: Run) -> Facts:
    """Status and split, and which models learnt from it, or from the image that stands for it."""
    row, corpus = found.row, found.corpus
    if row["status"] == "kept":
        return [("status", f"kept, in the split {row['split']}"), ("models", _models(str(row["split"]), run))]
    facts = [("status", f"{row['status']}: {_text(row['reason'])}")]
    stands_for = corpus[(corpus["id"] == row["copy_of"]).fillna(value=False)] if row["status"] == "duplicate" else None
    if stands_for is None or stands_for.empty:
        return [*facts, ("models", "none was trained on it: it is in no split")]
    split = str(stands_for["split"].iloc[0])
    return [
        *facts,
        ("stands for it", f"{row['copy_of']}, in the split {split}"),
        ("models", f"through that one: {_models(split, run)}"),
    ]


def _models(split: str, run: Run) -> str:
    if split == "test":
        return "no model was trained on it"
    read = [stage for stage in MODELS if is_made_here(run, stage) and has_read(run, stage, "data/manifest")]
    told = ", ".join(f"{MODELS[stage]} (by {stage})" for stage in read) or "none that is there now, by the records"
    return f"trained on it: {told}" if split == "train" else f"{_CHOSEN_BY}: {told}"


def _about_source(run: Run, source: str) -> Iterator[tuple[str, str]]:
    entry = read_catalogue().get(source) if run.params.profile != "smoke" else None
    if entry:
        yield "title", f"{entry.title} ({entry.country} {entry.year})"
        yield "citation", entry.citation
    try:
        terms = read_terms(run, source)
    except ValueError as error:
        yield "licence, DOI", f"NOT written down: {error}"
        return
    yield "licence", terms.licence
    yield "DOI", terms.doi
    yield "accessed", terms.accessed
    yield "terms", terms.terms
    yield "pictures", "may be passed on" if terms.redistribution else "must NOT be passed on"
