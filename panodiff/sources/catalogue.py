"""What is known of the five public sources; elsewhere every image in a source's folder counts."""

import fnmatch
import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from pydantic import BaseModel, ConfigDict

from panodiff.sources import ARCHIVE_SUFFIXES

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".dcm", ".dicom"})
_FILE = Path(__file__).with_name("catalogue.yaml")


class SourceEntry(BaseModel):
    """One public source: who published it, under which terms, where its radiographs lie, how many there should be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    country: str
    year: int
    url: str
    access: str
    licence: str
    citation: str
    images: tuple[str, ...]
    beside: dict[str, tuple[str, ...]]
    expected_files: int
    distinct: int
    note: str
    patient: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Globs of a source's radiographs, and of other files by their kind, which win."""

    images: tuple[str, ...]
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class CountComparison:
    """Radiographs found in a public source against those that it should have, and why they may differ."""

    source: str
    expected_files: int
    found_files: int
    expected_distinct: int
    found_distinct: int
    note: str

    @property
    def differs(self) -> bool:
        """Whether any count is another one than expected."""
        return (self.found_files, self.found_distinct) != (self.expected_files, self.expected_distinct)

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.found_files} radiographs found, {self.found_distinct} of them distinct; expected "
            f"{self.expected_files} and {self.expected_distinct}. {self.note}"
        )


def read_catalogue() -> dict[str, SourceEntry]:
    """The catalogue, by the name of the source."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: SourceEntry.model_validate(entry) for name, entry in entries.items()}


def compare_counts(source: str, *, found_files: int, found_distinct: int) -> CountComparison | None:
    """What was found in `source`, rejected files included, against the catalogue; None for a source not in it."""
    entry = read_catalogue().get(source)
    if entry is None:
        return None
    return CountComparison(
        source=source,
        expected_files=entry.expected_files,
        found_files=found_files,
        expected_distinct=entry.distinct,
        found_distinct=found_distinct,
        note=entry.note,
    )


def is_radiograph(path: PurePosixPath, entry: Layout | None, *, is_dicom: bool = False) -> bool:
    """Whether the file at `path`, below the source's folder, should be a radiograph, by its place and name.

    Where there are globs they decide, in any case of letters; elsewhere the suffix of an image file, or of none in a
    DICOM file. A hidden file, or one in a hidden folder, never is one: `._1.png` is what macOS leaves beside `1.png`.
    """
    if _is_hidden(path) or not (path.suffix.lower() in IMAGE_SUFFIXES or (is_dicom and _has_dicom_name(path))):
        return False
    return entry is None or (kind_beside(path, entry) is None and any(_matches(path, each) for each in entry.images))


def kind_beside(path: PurePosixPath, entry: Layout) -> str | None:
    """The kind of a file that is known to be no radiograph by its place and name; None for others."""
    below = [PurePosixPath(*path.parts[start:]) for start in range(len(path.parts))]
    return next((kind for pattern, kind in entry.beside if any(_matches(part, pattern) for part in below)), None)


def why_beside(path: PurePosixPath, entry: Layout | None) -> str:
    """What a file that is no radiograph is."""
    if _is_hidden(path):
        return "hidden"
    if entry and (kind := kind_beside(path, entry)):
        return kind
    is_image = path.suffix.lower() in IMAGE_SUFFIXES
    return "an image outside the places of this source's radiographs" if is_image else "no image"


def layout(source: str, paths: Iterable[PurePosixPath], own: Sequence[str] = ()) -> Layout | None:
    """The globs that tell the radiographs of `source` from what lies beside them: `own` ones, or the catalogue's.

    Unpacking often leaves everything in one more folder: then the catalogue's globs begin with that. None for a source
    that is not in the catalogue, and for one of which somebody has put the images alone into one flat folder: every
    image counts then.
    """
    if own:
        return Layout(images=tuple(own))
    entry = read_catalogue().get(source)
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if entry is None:
        return None
    beside = tuple((pattern, kind) for kind, patterns in entry.beside.items() for pattern in patterns)
    plain = Layout(images=entry.images, beside=beside)
    above = {path.parts[:start] for path in images for start in range(len(path.parts)) if _lies_at(path, start, plain)}
    if not above:
        return None if all(len(path.parts) == 1 for path in images) else plain
    if any("/" not in pattern for pattern in entry.images):
        least = min(map(len, above))  # deeper ones are other folders of the same set: drawings beside flat images
        above = {parts for parts in above if len(parts) == least}
    folders = ["/".join([*map(glob.escape, parts), ""]) for parts in sorted(above)]
    return Layout(images=tuple(folder + pattern for folder in folders for pattern in entry.images), beside=beside)


def _lies_at(path: PurePosixPath, start: int, entry: Layout) -> bool:
    below = PurePosixPath(*path.parts[start:])
    return kind_beside(path, entry) is None and is_radiograph(below, entry)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _has_dicom_name(path: PurePosixPath) -> bool:
    """Whether a name without an image's suffix is one that DICOM exports have: `IM0001`, or a number with dots."""
    return (not path.suffix or path.suffix[1:].isdigit()) and path.name.upper() != "DICOMDIR"


def _matches(path: PurePosixPath, pattern: str) -> bool:
    parts = [part.lower() for part in path.parts]
    above = [_without_archive_suffix(part) for part in parts[:-1]]
    wanted = pattern.lower().split("/")
    return _fits(parts, wanted) or ([*above, parts[-1]] != parts and _fits([*above, parts[-1]], wanted))


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Part by part, so that `*` never reaches into a deeper folder; `**` takes any number of parts."""
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_fits(parts[start:], wanted[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], wanted[0]) and _fits(parts[1:], wanted[1:])


def _without_archive_suffix(part: str) -> str:
    return next((part.removesuffix(suffix) for suffix in ARCHIVE_SUFFIXES if part.endswith(suffix)), part)
