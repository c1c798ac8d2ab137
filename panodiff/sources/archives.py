"""Files in the archives in which datasets are downloaded, read one by one: nothing is ever unpacked under its name.

So no member can be written anywhere, whatever path it claims. A member that is read as a file is its place in the
archive; every other one is the reason why not.
"""

import bz2
import gzip
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from panodiff.files import is_ignored
from panodiff.sources import ARCHIVE_SUFFIXES, HiddenError, UnusableError

ZIP = ".zip"
_OPENERS: dict[str, Any] = {
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.xz", ".txz"), lzma.open),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), bz2.open),
}
COMPRESSED_TARS = tuple(_OPENERS)
OTHERS = (".7z", ".rar", ".tar.zst", ".z01")  # not read
MAX_FILE_BYTES = 2**30
MAX_MEMBERS = 1_000_000
MAX_TAR_BYTES = 2**38  # of a compressed tar, decompressed
MAX_RATIO, RATIO_FROM_BYTES = 200, 2**20  # pictures of one grey reach it, too, but those are small
_MAX_HEADER_BYTES = 2**20  # of a tar's long names and attributes; tarfile would read any number into memory
_BLOCK = tarfile.BLOCKSIZE
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)

TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 20} MiB, not read"
BOMB = f"compressed more than {MAX_RATIO} times: a bomb, not read"
DAMAGED = "a damaged archive: download it again"
UNREAD_KIND = "an archive of a kind that is not read: unpack it"
NESTED = "an archive within an archive: unpack it"

Place = tuple[int, int] | int | str  # offset and bytes in a tar | number in a zip | why it is not read
Index = dict[PurePosixPath, Place]


def is_archive(path: PurePosixPath) -> bool:
    """Whether a file of that name is opened as a folder of others."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and not path.name.startswith(".")


def is_other_archive(path: PurePosixPath) -> bool:
    """Whether a file of that name is an archive that cannot be opened here."""
    return path.name.lower().endswith(OTHERS) and not path.name.startswith(".")


class Archive:
    """An open zip or uncompressed tar, with the places of its members by their paths within it.

    Raises:
        UnusableError: It is damaged, or has too many members.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, *, is_zip: bool) -> None:
        self._file = path.open("rb")
        try:
            self._zip = zipfile.ZipFile(self._file) if is_zip else None
            members = _zip_members(self._zip) if self._zip else _tar_members(self._file)
            self.index = _indexed(members)
        except (*_DAMAGED, NotImplementedError, RecursionError, OverflowError):
            self._file.close()
            raise UnusableError(DAMAGED) from None
        except BaseException:
            self._file.close()
            raise

    def read(self, member: PurePosixPath) -> bytes:
        """The bytes of a member.

        Raises:
            UnusableError: There is none of that path, it is no plain file, or it is damaged.
        """
        place = self.index.get(member, "not in the archive any more")
        if isinstance(place, str):
            raise HiddenError(place) if place == NESTED else UnusableError(place)
        if self._zip:
            assert isinstance(place, int)
            return _read_zip_member(self._zip, self._zip.infolist()[place])
        assert isinstance(place, tuple)
        data = os.pread(self._file.fileno(), place[1], place[0])
        if len(data) < place[1]:
            raise UnusableError("damaged in its archive")
        return data


def decompress_tar(path: Path, out: Path) -> None:
    """Write the tar that the compressed one at `path` holds to `out`.

    Raises:
        UnusableError: It is damaged, or unreasonably large.
        OSError: It cannot be opened.
        ValueError: There is no room for it.
    """
    opener = next(opener for suffix, opener in _OPENERS.items() if path.name.lower().endswith(suffix))
    limit = min(MAX_TAR_BYTES, max(RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size))
    with opener(path) as packed, out.open("wb") as plain:
        while part := _part(packed):
            plain.write(part)
            if plain.tell() > limit:
                raise UnusableError(BOMB)
            if shutil.disk_usage(out.parent).free < 2**30:
                raise ValueError(f"no room in {out.parent} to decompress {path.name}: set TMPDIR to a larger folder")


def _part(packed: IO[bytes]) -> bytes:
    try:
        return packed.read(2**20)
    except _DAMAGED:
        raise UnusableError(DAMAGED) from None


def _indexed(members: Iterator[tuple[str, Place]]) -> Index:
    """Places by path; paths that lead out of the archive are bent back, repeated ones numbered, with the reason."""
    index: Index = {}
    for number, (name, place) in enumerate(members, start=1):
        if number > MAX_MEMBERS:
            raise UnusableError(f"an archive of more than {MAX_MEMBERS} files: a bomb, not read")
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if any(map(is_ignored, parts)):
            continue
        path = PurePosixPath("/".join("__" if part == ".." else part for part in parts) or f"member {number}")
        if ".." in parts or name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
            found: Place = "its path leads out of the archive"
        elif path in index:
            found = "its path stands in the archive twice"
        elif not isinstance(place, str) and (is_archive(path) or is_other_archive(path)):
            found = NESTED
        else:
            found = place
        index[path.with_name(f"{path.name} (member {number})") if path in index else path] = found
    return index


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Place]]:
    for number, info in enumerate(archive.infolist()):
        kind = info.external_attr >> 28  # of Unix's file modes: 4 folder, 8 file, 10 symbolic link; 0 from Windows
        if info.is_dir():
            continue
        if info.flag_bits & 0x1:
            yield info.filename, "encrypted in its archive"
        elif info.create_system == 3 and kind not in (0, 8):
            yield info.filename, "a link in an archive, not followed" if kind == 10 else "no regular file"
        elif info.file_size > MAX_FILE_BYTES:
            yield info.filename, TOO_LARGE
        elif info.file_size > max(RATIO_FROM_BYTES, MAX_RATIO * info.compress_size):
            yield info.filename, BOMB
        else:
            yield info.filename, number


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as member:
            data = member.read(info.file_size)  # zipfile gives no more than that, whatever is packed there
            member.read(1)  # at the end it compares the checksum
    except NotImplementedError:
        raise UnusableError("compressed in its archive in a way that is not read: unpack it") from None
    except (*_DAMAGED, RuntimeError):
        raise UnusableError("damaged in its archive") from None
    if len(data) < info.file_size:
        raise UnusableError("damaged in its archive")
    return data


class _ShortReads:
    """A file of which tarfile reads headers only: a header that claims to be huge is a damaged one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError("too long a header")
        return self._file.read(size)


def _tar_members(file: IO[bytes]) -> Iterator[tuple[str, Place]]:
    with tarfile.open(fileobj=_ShortReads(file), mode="r:") as archive:  # type: ignore[call-overload]
        for info in archive:
            if info.size < 0:  # the next one would be this one again
                raise tarfile.ReadError("a negative size")
            if info.isdir():
                continue
            if info.islnk() or info.issym():
                yield info.name, "a link in an archive, not followed"
            elif not info.isreg() or info.issparse():
                yield info.name, "no regular file"
            elif info.size > MAX_FILE_BYTES:
                yield info.name, TOO_LARGE
            else:
                yield info.name, (info.offset_data, info.size)
        file.seek(archive.offset)  # tarfile takes a broken header for the end
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise tarfile.ReadError("no end mark")
