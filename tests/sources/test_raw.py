"""Folders and archives, whole and hostile, read file by file."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panodiff.sources import ARCHIVE_SUFFIXES, HiddenError, UnusableError, archives
from panodiff.sources.raw import RawFolder, opened

FILES = {"1.png": b"first", "a/2.png": b"second" * 999, "a/b/Ünïcode 图.png": b"", "-.txt": b"x"}
TARS = {".tar": lambda data: data, ".tar.gz": gzip.compress, ".tar.xz": lzma.compress, ".tar.bz2": bz2.compress}
OUTSIDE = "its path leads out of the archive"


def zipped(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return data.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes | str]:
    """What each path of a folder gives: its bytes, or the reason why not."""
    with opened(folder) as raw:
        found: dict[str, bytes | str] = {}
        for path in raw.paths():
            try:
                found[path.as_posix()] = raw.read(path)
            except UnusableError as error:
                found[path.as_posix()] = str(error)
        return found


def test_every_archive_suffix_has_its_reader(tmp_path: Path):
    packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "tbz": bz2.compress}
    packers |= {"tgz": gzip.compress, "txz": lzma.compress, "tbz2": bz2.compress, "tar": bytes}
    for suffix in ARCHIVE_SUFFIXES:
        pack = packers.get(suffix.rpartition(".")[2])
        (tmp_path / f"a{suffix}").write_bytes(pack(tarred({"1.png": b"x"})) if pack else zipped({"1.png": b"x"}))
    assert contents(tmp_path) == {f"a{suffix}/1.png": b"x" for suffix in ARCHIVE_SUFFIXES}


def test_a_folder_and_every_archive_of_it_hold_the_same(tmp_path: Path):
    raw = put(tmp_path / "raw", FILES)
    for suffix, pack in TARS.items():
        (raw / f"packed{suffix}").write_bytes(pack(tarred(FILES)))
    (raw / "deeper").mkdir()
    (raw / "deeper/PACKED.ZIP").write_bytes(zipped(FILES))
    above = ["", *(f"packed{suffix}/" for suffix in TARS), "deeper/PACKED.ZIP/"]
    expected = {f"{folder}{name}": data for folder in above for name, data in FILES.items()}
    assert contents(raw) == expected
    assert [path.as_posix() for path in RawFolder(raw).paths()] == sorted(expected)
    assert {path: RawFolder(raw).read(path) for path in expected} == expected  # without `opened`, too


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_of_zip_is_read(tmp_path: Path, kind: int):
    assert contents(put(tmp_path, {"a.zip": zipped({"1.png": b"first"}, kind)})) == {"a.zip/1.png": b"first"}


def test_no_member_is_ever_written_and_paths_that_lead_out_are_reasons(tmp_path: Path):
    names = ["../up.png", "/etc/abs.png", "a/../../up.png", "C:/win.png", "..\\up2.png", "\\\\host\\x.png", "a\\b.png"]
    evil = dict.fromkeys(names, b"evil") | {"good.png": b"good"}
    raw = put(
        tmp_path / "deep/raw", {"a.zip": zipped(evil), "b.tar": tarred(evil), "c.tgz": gzip.compress(tarred(evil))}
    )
    before = sorted(tmp_path.rglob("*"))
    found = contents(raw)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(found) == 3 * len(evil)
    for archive in ("a.zip", "b.tar", "c.tgz"):
        good = {path: data for path, data in found.items() if path.startswith(archive) and data != OUTSIDE}
        assert good == {f"{archive}/good.png": b"good", f"{archive}/a/b.png": b"evil"}
    assert not any(".." in PurePosixPath(path).parts for path in found)


def test_a_path_that_was_not_listed_reads_nothing(tmp_path: Path):
    raw = put(tmp_path / "raw", {"a.zip": zipped({"1.png": b"x"})})
    (tmp_path / "secret").write_bytes(b"secret")
    for path in ("a.zip/2.png", "a.zip/../../secret", "a.zip/1.png/more"):
        with pytest.raises(UnusableError):
            RawFolder(raw).read(path)


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_and_devices_in_archives_are_reasons(tmp_path: Path):
    more = [
        member("soft.png", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard.png", tarfile.LNKTYPE, "1.png"),
        member("device.png", tarfile.CHRTYPE),
        member("pipe.png", tarfile.FIFOTYPE),
        member("folder", tarfile.DIRTYPE),
    ]
    data = io.BytesIO(zipped({"1.png": b"x", "folder/": b""}))
    with zipfile.ZipFile(data, "a") as archive:
        link = zipfile.ZipInfo("soft.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    link = "a link in an archive, not followed"
    assert contents(put(tmp_path, {"a.tar": tarred({"1.png": b"x"}, *more), "b.zip": data.getvalue()})) == {
        "a.tar/1.png": b"x",
        "a.tar/device.png": "no regular file",
        "a.tar/hard.png": link,
        "a.tar/pipe.png": "no regular file",
        "a.tar/soft.png": link,
        "b.zip/1.png": b"x",
        "b.zip/soft.png": link,
    }


def test_bombs_are_reasons_and_are_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 2**24)
    zeros = bytes(2**23)
    raw = put(
        tmp_path / "raw", {"a.zip": zipped({"zeros.png": zeros, "1.png": b"x"}), "b.tgz": gzip.compress(zeros * 3)}
    )
    large = tarfile.TarInfo("large.png")
    large.size = 2**25
    with tarfile.open(raw / "c.tar", "w") as archive, (tmp_path / "empty").open("wb+") as file:
        file.truncate(large.size)
        archive.addfile(large, file)
    (raw / "d.png").touch()
    os.truncate(raw / "d.png", 2**30 + 1)  # takes no room on the disk
    assert contents(raw) == {
        "a.zip/1.png": b"x",
        "a.zip/zeros.png": archives.BOMB,
        "b.tgz": archives.BOMB,
        "c.tar/large.png": archives.TOO_LARGE,
        "d.png": archives.TOO_LARGE,
    }


def test_a_zip_whose_member_is_larger_than_it_says_is_damaged(tmp_path: Path):
    data = zipped({"1.png": b"x" * 5000})
    lying = data.replace(struct.pack("<I", 5000), struct.pack("<I", 50))
    assert contents(put(tmp_path, {"a.zip": lying})) == {"a.zip/1.png": "damaged in its archive"}


def test_too_many_members_are_one_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    many = {f"{number}.png": b"" for number in range(6)}
    found = contents(put(tmp_path, {"a.zip": zipped(many), "b.tar": tarred(many)}))
    assert found == dict.fromkeys(["a.zip", "b.tar"], "an archive of more than 5 files: a bomb, not read")


def test_an_encrypted_member_is_a_reason(tmp_path: Path):
    data = bytearray(zipped({"1.png": b"x", "2.png": b"y"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    data[data.index(b"PK\3\4") + 6] |= 1
    assert contents(put(tmp_path, {"a.zip": bytes(data)})) == {
        "a.zip/1.png": "encrypted in its archive",
        "a.zip/2.png": b"y",
    }


def test_a_damaged_archive_is_one_reason_wherever_it_ends(tmp_path: Path):
    files = {f"{number}.png": os.urandom(700) for number in range(4)}
    whole = {"a.zip": zipped(files), "b.tar": tarred(files), "c.tgz": gzip.compress(tarred(files))}
    for tenth in range(10):
        raw = put(tmp_path / str(tenth), {name: data[: len(data) * tenth // 10] for name, data in whole.items()})
        if tenth >= 4:  # 10,240 bytes, of which the last ones are filling
            (raw / "b.tar").write_bytes(whole["b.tar"][: 512 * tenth])
        assert contents(raw) == dict.fromkeys(whole, archives.DAMAGED)


def test_a_broken_header_does_not_hide_the_members_after_it(tmp_path: Path):
    data = bytearray(tarred({"1.png": b"x", "2.png": b"y", "3.png": b"z"}))
    data[1024] ^= 255
    assert contents(put(tmp_path, {"a.tar": bytes(data)})) == {"a.tar": archives.DAMAGED}


def test_a_damaged_member_is_a_reason_and_the_others_are_read(tmp_path: Path):
    data = bytearray(zipped({"1.png": b"x" * 99, "2.png": b"y" * 99}, zipfile.ZIP_STORED))
    data[data.index(b"xxx")] = 0
    assert contents(put(tmp_path, {"a.zip": bytes(data)})) == {
        "a.zip/1.png": "damaged in its archive",
        "a.zip/2.png": b"y" * 99,
    }


def test_archives_in_archives_and_of_other_kinds_hide_what_they_hold(tmp_path: Path):
    inner = {"in.zip": zipped({"1.png": b"x"}), "in.tar.gz": b"", "1.png": b"x"}
    raw = put(
        tmp_path, {"a.zip": zipped(inner), "b.tar": tarred(inner), "c.rar": b"Rar!", "d.7z": b"", "e.zip": zipped({})}
    )
    assert contents(raw) == {
        **{f"{archive}/{name}": archives.NESTED for archive in ("a.zip", "b.tar") for name in ("in.zip", "in.tar.gz")},
        **{f"{archive}/1.png": b"x" for archive in ("a.zip", "b.tar")},
        **dict.fromkeys(["c.rar", "d.7z"], archives.UNREAD_KIND),
        "e.zip": "an archive without files",
    }
    for path in ("a.zip/in.zip", "b.tar/in.tar.gz", "c.rar", "e.zip"):
        with pytest.raises(HiddenError):
            RawFolder(raw).read(path)


def test_a_path_that_stands_in_an_archive_twice_has_two_rows(tmp_path: Path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", b"first")
        archive.writestr("1.png", b"second")
    (tmp_path / "b.tar").write_bytes(tarred({"1.png": b"first", "./1.png": b"second"}))
    for archive_name in ("a.zip", "b.tar"):
        found = {path: data for path, data in contents(tmp_path).items() if path.startswith(archive_name)}
        assert found == {
            f"{archive_name}/1.png": b"first",
            f"{archive_name}/1.png (member 2)": "its path stands in the archive twice",
        }


def test_what_dvc_ignores_is_left_out_of_archives_too(tmp_path: Path):
    files = {"1.png": b"x", ".DS_Store": b"", "__pycache__/2.png": b""}
    raw = put(tmp_path, files | {"a.zip": zipped(files), "b.tar": tarred(files)})
    assert sorted(contents(raw)) == ["1.png", "a.zip/1.png", "b.tar/1.png"]


def test_a_folder_with_the_name_of_an_archive_is_a_folder_and_a_hidden_archive_a_file(tmp_path: Path):
    raw = put(tmp_path, {"a.zip/1.png": b"x", "._b.zip": b"resource fork"})
    assert contents(raw) == {"a.zip/1.png": b"x", "._b.zip": b"resource fork"}


def test_links_and_pipes_with_the_name_of_an_archive_hide_what_they_hold(tmp_path: Path):
    (tmp_path / "nothing.zip").symlink_to("nowhere.zip")
    (tmp_path / "itself.tar").symlink_to("itself.tar")
    (tmp_path / "loop.zip").symlink_to(".")
    os.mkfifo(tmp_path / "pipe.tgz")
    assert contents(tmp_path) == {
        "nothing.zip": "a link to nothing",
        "itself.tar": "a link to nothing",
        "loop.zip": "a link to a folder, not entered",
        "pipe.tgz": "no regular file",
    }
    for path in contents(tmp_path):
        with pytest.raises(HiddenError):
            RawFolder(tmp_path).read(path)


def test_a_changed_archive_is_opened_anew(tmp_path: Path):
    put(tmp_path, {"a.zip": zipped({"1.png": b"old"})})
    assert contents(tmp_path) == {"a.zip/1.png": b"old"}
    put(tmp_path, {"a.zip": zipped({"1.png": b"newer"})})
    assert contents(tmp_path) == {"a.zip/1.png": b"newer"}


def test_decompressed_copies_are_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    raw = put(tmp_path / "raw", {"a.tgz": gzip.compress(tarred(FILES))})
    with opened(raw) as files:
        assert files.read("a.tgz/1.png") == b"first"
        assert len(list((tmp_path / "tmp").rglob("*.tar"))) == 1
        assert pickle.loads(pickle.dumps(files)).read("a.tgz/1.png") == b"first"
        assert len(pickle.dumps(files)) < 1000
    assert not list((tmp_path / "tmp").iterdir())
    code = "import sys; from panodiff.sources.raw import *; RawFolder(Path(sys.argv[1])).read('a.tgz/1.png')"
    subprocess.run([sys.executable, "-c", code, raw], check=True, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")})
    assert not list((tmp_path / "tmp").iterdir())


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from([".zip", ".tar", ".tar.gz"]),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6),
    end=st.integers(1, 11000),
)
def test_no_damage_makes_reading_fail_otherwise_than_with_a_reason(kind: str, edits: list[tuple[int, int]], end: int):
    files = {"1.png": b"first" * 20, "a/2.png": b"second" * 20}
    pack = {
        ".zip": lambda: zipped(files),
        ".tar": lambda: tarred(files),
        ".tar.gz": lambda: gzip.compress(tarred(files)),
    }
    data = bytearray(pack[kind]()[:end])
    for place, value in edits:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"a{kind}").write_bytes(data)
        assert contents(Path(folder))
