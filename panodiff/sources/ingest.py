"""Ingestion: every file of a source found, verified by decoding it, hashed, and put on a row of its own."""

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from panodiff import launch
from panodiff.files import hash_file, is_ignored
from panodiff.manifest import write_manifest
from panodiff.params import IngestParams
from panodiff.progress import track
from panodiff.sources.catalogue import SourceEntry, is_radiograph, layout
from panodiff.sources.decoding import UnusableError, decode


def ingest(source: str, folder: Path, params: IngestParams, out: Path, check_stop: Callable[[], None]) -> None:
    """Write the manifest of all files below `folder` to `out`, ordered by path.

    Raises:
        ValueError: No file in it could be a radiograph.
    """
    paths = find_files(folder)
    entry = layout(source, [PurePosixPath(path.as_posix()) for path in paths])
    examine = partial(_examine, folder=folder, entry=entry, params=params)
    found = launch.spread(examine, paths)
    rows = []
    for row in track(found, len(paths), f"reading {source}", unit="file"):
        check_stop()
        rows.append(row)
    table = pd.DataFrame(rows)
    if table.empty or (table["status"] == "beside").all():
        raise ValueError(
            f"{folder} holds no file that could be a radiograph of {source}: it must hold "
            f"{', '.join(entry.images) if entry else 'PNG, JPEG, TIFF, BMP or WebP files'}; README says where from"
        )
    table["source"] = source
    table["id"] = _name(source, table)
    write_manifest(out, table)


def find_files(folder: Path) -> list[Path]:
    """All files below `folder`, relative to it, by path; also what hides files: linked and unreadable folders.

    What dvc ignores is left out: the manifest would change with it, and dvc would not notice.
    """
    found: list[Path] = []

    def note(error: OSError) -> None:
        found.append(Path(error.filename))

    for where, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not is_ignored(name)]
        links = [name for name in folders if os.path.islink(f"{where}/{name}")]  # noqa: PTH114 - never raises
        found += [Path(where, name) for name in [*names, *links] if not is_ignored(name)]
    return sorted((path.relative_to(folder) for path in found), key=lambda path: path.as_posix())


def _examine(path: Path, *, folder: Path, entry: SourceEntry | None, params: IngestParams) -> dict[str, Any]:
    """The row of one file; whatever is wrong with the file becomes the row's reason."""
    full = folder / path
    row: dict[str, Any] = {"path": path.as_posix(), "status": "rejected", "sha256": "", "bytes": 0}
    try:
        row |= _hashed(full)
        if not is_radiograph(PurePosixPath(path.as_posix()), entry):
            return row | {"status": "beside", "reason": "not among the source's radiographs"}
        decoded = decode(full, params.max_pixels)
    except UnusableError as error:
        return row | {"reason": str(error)}
    height, width = decoded.image.shape
    row |= {"format": decoded.format, "mode": decoded.mode, "height": height, "width": width}
    row["pixel_sha256"] = hashlib.sha256(f"{height}×{width}".encode() + decoded.image.tobytes()).hexdigest()
    if height < params.min_size[0] or width < params.min_size[1]:
        return row | {"reason": f"smaller than ingest.min_size ({params.min_size[0]}×{params.min_size[1]})"}
    return row | {"status": "kept"}


def _hashed(path: Path) -> dict[str, Any]:
    """Size and hash of a file.

    Raises:
        UnusableError: It cannot be read, or is no file (reading a pipe would wait for ever).
    """
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise UnusableError("a link to a folder, not entered" if path.is_symlink() else "a folder, unreadable")
        if not stat.S_ISREG(about.st_mode):
            raise UnusableError("no regular file")
        return {"bytes": about.st_size, "sha256": hash_file(path)}
    except OSError as error:
        nowhere = error.errno in (errno.ENOENT, errno.ELOOP)
        raise UnusableError("a link to nothing" if nowhere else f"cannot be read: {error.strerror}") from None


def _name(source: str, rows: pd.DataFrame) -> list[str]:
    """One id a row: the source and the first 12 digits of the file's hash, numbered from the second such file on.

    What could not be read is named after the hash of its path.
    """
    seen: Counter[str] = Counter()
    names = []
    for digest, path in zip(rows["sha256"], rows["path"], strict=True):
        unread = f"unread-{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:8]}"
        stem = f"{source}-{digest[:12] or unread}"
        seen[stem] += 1
        names.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return names
