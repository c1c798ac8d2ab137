"""What stages read and made, and the files of the deposit, as entities of an RO-Crate.

What is not in the folder, such as radiographs and models, is a CreativeWork told by its hash: a File or a Dataset of
RO-Crate 1.1 must be there to be fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from panodiff.audit.data import read_terms
from panodiff.audit.run import Run, is_code
from panodiff.files import Fingerprint, fingerprint

PICTURES = {"images/high/": "data/synthetic/high", "images/low/": "data/synthetic/low"}  # copied from there
_FILLED_IN = ("README.md", "CLAIM.md")  # later, by the depositor: SHA256SUMS has their hashes, made anew then
_FORMATS = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    "LICENSE": "text/plain",
    "NOTICE": "text/plain",
    "croissant.json": "application/ld+json",
    "dvc.lock": "application/yaml",
    "requirements.lock": "text/plain",
}
_HASHED = "The SHA-256 of a folder is that of the sorted lines of its files: hash, two spaces, name."

Entity = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Crate:
    """The graph while it grows."""

    run: Run
    folder: Path
    files: dict[str, Fingerprint]  # of the folder, the pictures aside
    entities: dict[str, Entity] = field(default_factory=dict)

    def add(self, entity: Entity) -> Entity:
        """Take in an entity, unless one of that name is there; a reference to it."""
        self.entities.setdefault(entity["@id"], entity)
        return {"@id": entity["@id"]}


def identifier(path: str) -> str:
    """A path as the name of an entity."""
    return quote(path, safe="/@")


def file_entity(crate: Crate, name: str) -> Entity:
    """One file of the folder."""
    known, path = crate.files[name], Path(name)
    about: Entity = {
        "@id": identifier(name),
        "@type": "File",
        "name": name,
        "encodingFormat": _FORMATS.get(path.name) or _FORMATS.get(path.suffix, "application/octet-stream"),
    }
    return about if name in _FILLED_IN else about | {"contentSize": str(known.num_bytes), "sha256": known.sha256}


def folder_entity(crate: Crate, name: str) -> Entity:
    """A folder in the folder, of which `name` ends with a slash; with its files, those pictures are not."""
    known = fingerprint(crate.folder / name)
    parts = [{"@id": identifier(path)} for path in crate.files if path.startswith(name)]
    return {
        "@id": identifier(name),
        "@type": "Dataset",
        "name": name,
        "description": f"Files: {known.num_files}, bytes: {known.num_bytes}. {_HASHED}",
        "sha256": known.sha256,
    } | ({"hasPart": parts} if parts else {})


def copied_from(crate: Crate, path: str) -> list[Entity]:
    """The folders of pictures that were copied from an output."""
    return [{"@id": name} for name, origin in PICTURES.items() if path == origin and (crate.folder / name).is_dir()]


def material(crate: Crate, path: str, known: Mapping[str, Any]) -> Entity:
    """What a stage read or made: that in the folder if it is the very same, else a description with its hash."""
    here = crate.folder / path
    if path in crate.files and crate.files[path].sha256 == known["sha256"]:
        return {"@id": quote(path, safe="/@")}
    if here.is_dir() and fingerprint(here).sha256 == known["sha256"]:
        return crate.add(folder_entity(crate, f"{path}/"))
    copied = copied_from(crate, path)
    return crate.add(
        {
            "@id": f"#{identifier(path)}/{known['sha256'][:16]}",
            "@type": "SoftwareSourceCode" if is_code(path) else "CreativeWork",
            "name": path,
            "description": _told(crate.run, path, known),
            "sha256": known["sha256"],
        }
        | ({"hasPart": copied} if copied else {})
    )


def _told(run: Run, path: str, known: Mapping[str, Any]) -> str:
    told = f"Not in this folder. Files: {known['num_files']}, bytes: {known['num_bytes']}. {_HASHED}"
    for source in run.params.sources:
        if path == f"data/raw/{run.params.profile}/{source}":
            terms = read_terms(run, source)
            return f"{told} Licence: {terms.licence}. From: {terms.doi}. Had: {terms.accessed}. Terms: {terms.terms}."
    return told
