"""What lies on disk, hashed anew: each file once, for dvc's MD5 and for the records' SHA-256.

Nothing is taken from dvc's own database of known files, which trusts sizes and times.
"""

import errno
import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from panodiff.files import list_files, listing_sha256
from panodiff.lock import cache_folder

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Content:
    """A file or a folder: its hash for dvc.lock and its hash for the records (see `panodiff.files.fingerprint`)."""

    md5: str  # of a folder with dvc's suffix ".dir"
    sha256: str
    num_files: int
    num_bytes: int


class Contents:
    """The files below `root`, each read at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[Path, tuple[str, str, int]] = {}  # MD5, SHA-256 and size

    def at(self, path: str) -> Content | None:
        """What is at `path`, below the root; None where nothing is."""
        place = self.root / path
        if place.is_file():
            md5, sha256, size = self._of_files([place])[0]
            return Content(md5=md5, sha256=sha256, num_files=1, num_bytes=size)
        if not place.is_dir():
            return None
        files = list_files(place)
        names = [file.relative_to(place).as_posix() for file in files]
        hashes = self._of_files(files)
        listing = sorted(
            ({"md5": md5, "relpath": name} for name, (md5, _, _) in zip(names, hashes, strict=True)),
            key=lambda entry: entry["relpath"],
        )
        return Content(
            md5=hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir",
            sha256=listing_sha256((name, sha256) for name, (_, sha256, _) in zip(names, hashes, strict=True)),
            num_files=len(files),
            num_bytes=sum(size for _, _, size in hashes),
        )

    def sha256(self, path: str) -> str:
        """Of the file at `path`, below the root."""
        return self._of_files([self.root / path])[0][1]

    def differing(self, path: str, md5: str) -> list[str]:
        """The files by which the folder at `path` differs from the one that dvc knows by `md5`, each with how.

        Empty where dvc's cache has no list of that folder's files.
        """
        listing = cache_folder(self.root) / "files/md5" / md5[:2] / md5[2:]
        if not md5.endswith(".dir") or not listing.is_file():
            return []
        known = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        place = self.root / path
        files = list_files(place)
        names = [file.relative_to(place).as_posix() for file in files]
        found = {name: md5 for name, (md5, _, _) in zip(names, self._of_files(files), strict=True)}
        changed = [f"{path}/{name} changed" for name in known if name in found and found[name] != known[name]]
        missing = [f"{path}/{name} is missing" for name in known if name not in found]
        return changed + missing + [f"{path}/{name} was added" for name in found if name not in known]

    def _of_files(self, files: Iterable[Path]) -> list[tuple[str, str, int]]:
        files = list(files)
        unknown = [file for file in files if file not in self._files]
        with ThreadPoolExecutor() as pool:  # hashlib lets other threads work
            self._files.update(zip(unknown, pool.map(_hash_both, unknown), strict=True))
        return [self._files[file] for file in files]


def _hash_both(path: Path) -> tuple[str, str, int]:
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                md5.update(chunk)
                sha256.update(chunk)
                size += len(chunk)
    except OSError as error:
        reason = f"unreadable ({errno.errorcode.get(error.errno or 0, 'unknown')})"
        return reason, reason, size
    return md5.hexdigest(), sha256.hexdigest(), size
