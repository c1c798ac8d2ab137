"""Files that appear whole or not at all, and the hashes by which they are known."""

import csv
import errno
import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IGNORED_NAMES = ("__pycache__", ".DS_Store", ".*.partial")  # as in .dvcignore


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What a file or a folder holds: SHA-256 (of a folder: of the sorted list of names and hashes), files, bytes."""

    sha256: str
    num_files: int
    num_bytes: int


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to; on leaving, its content is on disk and has replaced `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, keys in the given order; NaN and infinity are refused."""
    with written_whole(path) as aside:
        aside.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[Any, Any]]) -> None:
    """Write `rows` under a header of `columns`; a row with another key is refused."""
    with written_whole(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def move_whole(source: Path, target: Path) -> None:
    """Move a file or folder to `target`: nobody sees a part of it there, nor a part of what it replaces."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside, outdated = (target.with_name(f".{target.name}.{os.getpid()}{kind}.partial") for kind in ("", ".old"))
    _remove(aside)  # of a process that had this number before and was killed
    _remove(outdated)
    try:
        source.replace(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:  # another file system: copy beside the target first
            raise
        shutil.copytree(source, aside) if source.is_dir() else shutil.copyfile(source, aside)
        _remove(source)
    if target.is_dir() and not target.is_symlink():
        target.replace(outdated)  # a rename cannot replace a folder
    aside.replace(target)
    _remove(outdated)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def list_files(folder: Path) -> list[Path]:
    """All files below `folder` in the order of their relative paths, without those that dvc ignores too."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in found if not any(map(is_ignored, path.relative_to(folder).parts))]
    return sorted(kept, key=lambda path: path.relative_to(folder).as_posix())


def is_ignored(name: str) -> bool:
    """Whether dvc takes no notice of a file or folder of that name, so that nothing may depend on it."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORED_NAMES)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> Fingerprint:
    """What `path` holds, read in full.

    Raises:
        FileNotFoundError: Nothing is there.
    """
    if path.is_file():
        return Fingerprint(sha256=hash_file(path), num_files=1, num_bytes=path.stat().st_size)
    if not path.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(path))
    files = list_files(path)
    return Fingerprint(
        sha256=listing_sha256((file.relative_to(path).as_posix(), hash_or_reason(file)) for file in files),
        num_files=len(files),
        num_bytes=sum(file.stat().st_size for file in files),
    )


def listing_sha256(hashes: Iterable[tuple[str, str]]) -> str:
    """The SHA-256 of a folder, from the names of its files, sorted, and their hashes."""
    listing = hashlib.sha256()
    for name, sha256 in hashes:
        listing.update(f"{sha256}  {name}\n".encode(errors="surrogateescape"))
    return listing.hexdigest()


def hash_or_reason(path: Path) -> str:
    """The SHA-256 of a file, or why it cannot be read (raw folders may hold unreadable files)."""
    try:
        return hash_file(path)
    except OSError as error:
        return f"unreadable ({errno.errorcode.get(error.errno or 0, 'unknown')})"


def stat_signature(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, size, inode and modification time of each file at `path`: cheap, changes with every honest edit."""
    files = [path] if path.is_file() else list_files(path)
    stats = ((file, file.stat()) for file in files)
    return tuple((str(file), stat.st_size, stat.st_ino, stat.st_mtime_ns) for file, stat in stats)
