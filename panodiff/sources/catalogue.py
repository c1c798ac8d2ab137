"""What is known of the five public sources; elsewhere every image in a source's folder counts."""

import fnmatch
import glob
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import yaml
from pydantic import BaseModel, ConfigDict

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_FILE = Path(__file__).with_name("catalogue.yaml")


class SourceEntry(BaseModel):
    """One public source: who published it, under which terms, and where its radiographs lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    country: str
    year: int
    url: str | None = None
    access: str
    licence: str
    citation: str
    images: tuple[str, ...]
    expected_files: int
    distinct: int


def read_catalogue() -> dict[str, SourceEntry]:
    """The catalogue, by the name of the source."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: SourceEntry.model_validate(entry) for name, entry in entries.items()}


def is_radiograph(path: PurePosixPath, entry: SourceEntry | None) -> bool:
    """Whether the file at `path`, below the source's folder, should be a radiograph, by its place and name.

    In a catalogued source its globs decide, in any case of letters; elsewhere the suffix of an image file. A hidden
    file, or one in a hidden folder, never is one: `._1.png` is what macOS leaves beside `1.png`.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES or any(part.startswith(".") for part in path.parts):
        return False
    return entry is None or any(_matches(path, pattern) for pattern in entry.images)


def layout(source: str, paths: Iterable[PurePosixPath]) -> SourceEntry | None:
    """The catalogue's entry for `source`, where its globs tell radiographs from what lies beside them.

    Unpacking often leaves everything in one more folder: then the entry's globs begin with that. None for a source
    that is not in the catalogue, and for one of which somebody has put the images alone into one flat folder: every
    image counts then.
    """
    entry = read_catalogue().get(source)
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if entry is None:
        return None
    above = {path.parts[:start] for path in images for start in range(len(path.parts)) if _lies_at(path, start, entry)}
    if not above:
        return None if all(len(path.parts) == 1 for path in images) else entry
    least = min(map(len, above))  # deeper ones are other folders of the same set: masks beside flat images
    folders = ["/".join([*map(glob.escape, parts), ""]) for parts in sorted(above) if len(parts) == least]
    globs = tuple(folder + pattern for folder in folders for pattern in entry.images)
    return entry.model_copy(update={"images": globs})


def _lies_at(path: PurePosixPath, start: int, entry: SourceEntry) -> bool:
    return is_radiograph(PurePosixPath(*path.parts[start:]), entry)


def _matches(path: PurePosixPath, pattern: str) -> bool:
    """Part by part, so that `*` never reaches into a deeper folder."""
    parts, wanted = path.as_posix().lower().split("/"), pattern.lower().split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
