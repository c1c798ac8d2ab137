"""All files of a source's folder, unpacked or still in the archives as downloaded, by their paths."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

from panodiff.files import is_ignored
from panodiff.sources import HiddenError, UnusableError
from panodiff.sources.archives import (
    COMPRESSED_TARS,
    MAX_FILE_BYTES,
    TOO_LARGE,
    UNREAD_KIND,
    ZIP,
    Archive,
    decompress_tar,
    is_archive,
    is_other_archive,
)

_NUM_OPEN = 32  # archives that a process keeps open
_own_tars: tempfile.TemporaryDirectory[str] | None = None  # of this process, see _own_folder


@dataclass(frozen=True)
class RawFolder:
    """A source's files; small, so that each worker process may have it.

    A file within an archive has a path through it, `images.zip/first/1.png`: the archive is one more folder.

    Attributes:
        folder: The source's folder, only read.
        plain: Where decompressed copies of its compressed tars are put, see `opened`; by default each process makes
            its own.
    """

    folder: Path
    plain: Path | None = None

    def paths(self) -> list[PurePosixPath]:
        """All files, in order; also what hides files: linked or unreadable folders, damaged archives.

        What dvc ignores is left out: the manifest would change with it, and dvc would not notice.
        """
        found: list[PurePosixPath] = []
        for path in _walk(self.folder):
            members = self._members(path) if is_archive(path) else []
            found += members or [path]
        return sorted(found, key=lambda path: path.as_posix())

    def read(self, path: PurePosixPath | str) -> bytes:
        """The bytes of a file.

        Raises:
            UnusableError: It cannot be read, is too large, or is no file; a HiddenError where it is a folder or an
                archive that hides others.
        """
        path = PurePosixPath(path)
        for above in reversed(path.parents[:-1]):
            if is_archive(above) and _is_file(self.folder / above):
                return self._open(above).read(path.relative_to(above))
        if is_other_archive(path):
            raise HiddenError(UNREAD_KIND)
        if not is_archive(path):
            return _read_file(self.folder / path)
        self._open(path)
        raise HiddenError("an archive without files")

    def _members(self, path: PurePosixPath) -> list[PurePosixPath]:
        """Paths through an archive; none where it is damaged or holds nothing."""
        try:
            return [path / member for member in self._open(path).index]
        except UnusableError:
            return []

    def _open(self, path: PurePosixPath) -> Archive:
        full = self.folder / path
        try:
            about = _regular(full)
            return _opened(full, self.plain, (about.st_size, about.st_mtime_ns, about.st_ino))
        except OSError as error:
            raise HiddenError(f"cannot be read: {error.strerror}") from None
        except UnusableError as error:
            raise HiddenError(str(error)) from None


@contextmanager
def opened(folder: Path) -> Iterator[RawFolder]:
    """The files of `folder`; compressed tars, which cannot be read from the middle, are decompressed just once.

    The copies lie in a temporary folder (TMPDIR), for this process and those that it gives the RawFolder to.
    """
    with tempfile.TemporaryDirectory(prefix="panodiff-") as plain:
        try:
            yield RawFolder(folder, Path(plain))
        finally:
            _opened.cache_clear()  # copies still open would keep their room on the disk


@lru_cache(maxsize=_NUM_OPEN)
def _opened(path: Path, plain: Path | None, _state: tuple[int, ...]) -> Archive:
    name = path.name.lower()
    if name.endswith(COMPRESSED_TARS):
        path = _plain_tar(path, plain or _own_folder())
    return Archive(path, is_zip=name.endswith(ZIP))


def _plain_tar(path: Path, plain: Path) -> Path:
    """The decompressed copy of a tar; of several processes that come at once each makes it, and the last one stays."""
    out = plain / f"{sha256(os.fsencode(path.absolute())).hexdigest()[:16]}.tar"
    if not out.exists():
        aside = out.with_suffix(f".{os.getpid()}")
        try:
            decompress_tar(path, aside)
            aside.replace(out)
        finally:
            aside.unlink(missing_ok=True)
    return out


def _own_folder() -> Path:
    """A temporary folder that ends with this process."""
    global _own_tars  # noqa: PLW0603
    _own_tars = _own_tars or tempfile.TemporaryDirectory(prefix="panodiff-")
    return Path(_own_tars.name)


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    failed: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=failed.append):
        folders[:] = [name for name in folders if not is_ignored(name)]
        links = [name for name in folders if os.path.islink(f"{where}/{name}")]  # noqa: PTH114 - never raises
        for name in [*names, *links]:
            if not is_ignored(name):
                yield PurePosixPath(Path(where, name).relative_to(folder).as_posix())
    yield from (PurePosixPath(Path(error.filename).relative_to(folder).as_posix()) for error in failed)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - never raises


def _read_file(path: Path) -> bytes:
    try:
        if _regular(path).st_size > MAX_FILE_BYTES:
            raise UnusableError(TOO_LARGE)
        return path.read_bytes()
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None


def _regular(path: Path) -> os.stat_result:
    """What the system says of a plain file; reading a pipe would wait for ever."""
    try:
        about = path.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise UnusableError("a link to nothing" if path.is_symlink() else "not there any more") from None
        raise
    if stat.S_ISDIR(about.st_mode):
        raise HiddenError("a link to a folder, not entered" if path.is_symlink() else "a folder, unreadable")
    if not stat.S_ISREG(about.st_mode):
        raise UnusableError("no regular file")
    return about
