"""Ingestion: every file of a source found, verified by decoding it, hashed, and put on a row of its own."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from panodiff import launch
from panodiff.manifest import write_manifest
from panodiff.params import IngestParams
from panodiff.progress import track
from panodiff.sources import HiddenError, UnusableError
from panodiff.sources.catalogue import (
    CountComparison,
    Layout,
    compare_counts,
    is_radiograph,
    layout,
    read_catalogue,
    why_beside,
)
from panodiff.sources.decoding import Deep, decode
from panodiff.sources.dicom import is_dicom
from panodiff.sources.raw import RawFolder, opened


def ingest(
    source: str, folder: Path, params: IngestParams, out: Path, check_stop: Callable[[], None]
) -> CountComparison | None:
    """Write the manifest of all files below `folder` to `out`, ordered by path.

    Returns:
        How many radiographs were found, against the catalogue; None for a source that is not in it.

    Raises:
        ValueError: No file in it could be a radiograph, or `ingest.patient` is no pattern with a group.
    """
    patient = _patient_pattern(source, params)
    with opened(folder) as raw:
        paths = raw.paths()
        entry = layout(source, paths, params.images.get(source, ()))
        examine = partial(_examine, raw=raw, entry=entry, params=params, patient=patient)
        rows = []
        for row in track(launch.spread(examine, paths), len(paths), f"reading {source}", unit="file"):
            check_stop()
            rows.append(row)
    table = pd.DataFrame(rows)
    if table.empty or (table["status"] == "beside").all():
        raise ValueError(
            f"{folder} holds no file that could be a radiograph of {source}: it must hold "
            f"{', '.join(entry.images) if entry else 'PNG, JPEG, TIFF, BMP, WebP or DICOM files'}, unpacked or in zip "
            "or tar archives; README says where from"
        )
    table["source"] = source
    table["id"] = _name(source, table)
    table["patient"] = _numbered(source, table["patient"])
    write_manifest(out, table)
    return compare_counts(
        source,
        found_files=int((table["status"] != "beside").sum()),
        found_distinct=int(table.loc[table["status"] == "kept", "pixel_sha256"].nunique()),
    )


def _patient_pattern(source: str, params: IngestParams) -> re.Pattern[str] | None:
    """How a path of `source` tells the patient, by the parameters or the catalogue."""
    known = read_catalogue().get(source)
    text = params.patient.get(source) or (known.patient if known else None)
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"ingest.patient.{source} must be a regular expression, got {text!r}: {error}") from None
    if not pattern.groups:
        raise ValueError(f"ingest.patient.{source} must have the patient in its first group ( … ), got {text!r}")
    return pattern


def _examine(
    path: PurePosixPath, *, raw: RawFolder, entry: Layout | None, params: IngestParams, patient: re.Pattern[str] | None
) -> dict[str, Any]:
    """The row of one file; whatever is wrong with the file becomes the row's reason.

    Its `patient` is still who it is; nobody but `_numbered` may see it.
    """
    row: dict[str, Any] = {"path": path.as_posix(), "status": "rejected", "sha256": "", "bytes": 0}
    row |= {"pixel_sha256": "", "patient": None}
    try:
        data = raw.read(path)
    except UnusableError as error:
        if isinstance(error, HiddenError) or is_radiograph(path, entry):
            return row | {"reason": str(error)}
        return row | {"status": "beside", "reason": f"{why_beside(path, entry)}; {error}"}
    row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if not is_radiograph(path, entry, is_dicom=is_dicom(data)):
        return row | {"status": "beside", "reason": why_beside(path, entry)}
    told = patient and patient.search(path.as_posix())
    row["patient"] = told and told[1] and ("path", told[1])
    try:
        decoded = decode(data, params.max_pixels)
    except UnusableError as error:
        return row | error.facts | {"reason": str(error)}
    height, width = decoded.image.shape
    row["patient"] = row["patient"] or (decoded.patient and ("file", decoded.patient))
    row |= {"format": decoded.format, "mode": decoded.mode, "bits": decoded.bits, "frames": decoded.frames}
    row |= {"orientation": decoded.orientation, "height": height, "width": width}
    row["pixel_sha256"] = _pixel_hash(decoded.image)
    if height < params.min_size[0] or width < params.min_size[1]:
        return row | {"reason": f"smaller than ingest.min_size ({params.min_size[0]}×{params.min_size[1]})"}
    return row | {"status": "kept"}


def _pixel_hash(image: Deep) -> str:
    """The SHA-256 of a picture's shape, depth and greys."""
    height, width = image.shape
    digest = hashlib.sha256(f"{height}×{width} {image.dtype.name} ".encode())
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def _numbered(source: str, patients: "pd.Series[Any]") -> list[str | None]:
    """Patients by numbers in the order in which they appear: nothing in them says who it is."""
    numbers: dict[Any, int] = {}
    return [
        f"{source}-p{numbers.setdefault(patient, len(numbers) + 1)}" if isinstance(patient, tuple) else None
        for patient in patients
    ]


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
