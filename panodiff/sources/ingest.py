"""Ingestion: every file of a source found, verified by decoding it, hashed, and put on a row of its own."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from panodiff import launch
from panodiff.files import hash_or_reason
from panodiff.manifest import write_manifest
from panodiff.params import IngestParams
from panodiff.progress import track
from panodiff.sources.catalogue import SourceEntry, is_radiograph, read_catalogue
from panodiff.sources.decoding import UnusableError, decode


def ingest(source: str, folder: Path, params: IngestParams, out: Path) -> None:
    """Write the manifest of all files below `folder` to `out`, ordered by path.

    Raises:
        ValueError: No file in it could be a radiograph.
    """
    paths = list(find_files(folder))
    entry = read_catalogue().get(source)
    examine = partial(_examine, folder=folder, entry=entry, params=params)
    with ProcessPoolExecutor(launch.num_workers(), mp_context=get_context("spawn")) as pool:
        found = pool.map(examine, paths, chunksize=8)
        rows = pd.DataFrame(list(track(found, len(paths), f"reading {source}", unit="file")))
    if rows.empty or (rows["status"] == "beside").all():
        raise ValueError(
            f"{folder} holds no file that could be a radiograph of {source}: it must hold "
            f"{', '.join(entry.images) if entry else 'PNG, JPEG, TIFF, BMP or WebP files'}; README says where from"
        )
    rows["source"] = source
    rows["id"] = _name(source, rows["sha256"])
    write_manifest(out, rows)


def find_files(folder: Path) -> Iterator[Path]:
    """All files below `folder`, relative to it, by path; linked folders are not entered, hidden files left out."""
    found = [
        Path(where, name).relative_to(folder)
        for where, folders, names in os.walk(folder, followlinks=False)
        for name in [*names, *(inner for inner in folders if Path(where, inner).is_symlink())]
        if not name.startswith(".")
    ]
    yield from sorted(found, key=lambda path: path.as_posix())


def _examine(path: Path, *, folder: Path, entry: SourceEntry | None, params: IngestParams) -> dict[str, Any]:
    """The row of one file; whatever is wrong with the file becomes the row's reason."""
    full = folder / path
    row: dict[str, Any] = {"path": _printable(path), "status": "rejected"}
    if full.is_symlink() and not full.is_file():
        kind = "a link to a folder, not entered" if full.is_dir() else "a link to nothing"
        return row | {"sha256": "", "bytes": 0, "reason": kind}
    row |= {"sha256": hash_or_reason(full), "bytes": full.stat().st_size}
    if not is_radiograph(PurePosixPath(path.as_posix()), entry):
        return row | {"status": "beside", "reason": "not among the source's radiographs"}
    try:
        decoded = decode(full, params.max_pixels)
    except UnusableError as error:
        return row | {"reason": str(error)}
    height, width = decoded.image.shape
    row |= {"format": decoded.format, "mode": decoded.mode, "height": height, "width": width}
    row["pixel_sha256"] = hashlib.sha256(f"{height}×{width}".encode() + decoded.image.tobytes()).hexdigest()
    if height < params.min_size[0] or width < params.min_size[1]:
        return row | {"reason": f"smaller than ingest.min_size ({params.min_size[0]}×{params.min_size[1]})"}
    return row | {"status": "kept"}


def _printable(path: Path) -> str:
    """The path as text that can be written; bytes of a name that are no text are escaped."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _name(source: str, hashes: pd.Series) -> list[str]:
    """One id a row: the source and the first 12 digits of the file's hash, numbered from the second such file on."""
    seen: Counter[str] = Counter()
    names = []
    for digest in hashes:
        stem = f"{source}-{digest[:12] if digest and ' ' not in digest else 'unread'}"
        seen[stem] += 1
        names.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return names
