"""Files that appear whole, and their fingerprints."""

import hashlib
import os
from pathlib import Path

import pytest
from small import ROOT

from panodiff import files
from panodiff.files import (
    fingerprint,
    hash_file,
    list_files,
    move_whole,
    stat_signature,
    write_csv,
    write_json,
    written_whole,
)


def tree(folder: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_appears_when_all_of_it_is_written(tmp_path: Path):
    path = tmp_path / "deep" / "a.txt"
    with written_whole(path) as aside:
        aside.write_text("half")
        assert not path.exists()
        aside.write_text("whole")
    assert contents(tmp_path) == {"deep/a.txt": "whole"}


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    tree(tmp_path, {"a.txt": "old"})
    with pytest.raises(RuntimeError), written_whole(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise RuntimeError
    assert contents(tmp_path) == {"a.txt": "old"}


def test_what_json_cannot_say_is_refused_and_nothing_written(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"fid": float("nan")})
    write_json(tmp_path / "b.json", {"z": 1, "a": "ü"})
    assert contents(tmp_path) == {"b.json": '{\n  "z": 1,\n  "a": "ü"\n}\n'}


def test_a_row_with_an_unknown_column_is_refused_and_nothing_written(tmp_path: Path):
    with pytest.raises(ValueError, match="loss"):
        write_csv(tmp_path / "a.csv", ["step"], [{"step": 1}, {"step": 2, "loss": 3}])
    write_csv(tmp_path / "b.csv", ["step", "loss"], [{"step": 1}, {"loss": 3, "step": 2}])
    assert contents(tmp_path) == {"b.csv": "step,loss\n1,\n2,3\n"}


@pytest.mark.parametrize("present", [{}, {"out/old.txt": "old", "out/a.txt": "old"}])
def test_a_moved_folder_replaces_what_was_there_and_leaves_nothing_beside(tmp_path: Path, present: dict[str, str]):
    tree(tmp_path, present | {"work/a.txt": "new", "work/deep/b.txt": "new"})
    move_whole(tmp_path / "work", tmp_path / "out")
    assert contents(tmp_path) == {"out/a.txt": "new", "out/deep/b.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_moved_file_replaces_the_one_that_was_there(tmp_path: Path):
    tree(tmp_path, {"work.txt": "new", "far/out.txt": "old"})
    move_whole(tmp_path / "work.txt", tmp_path / "far" / "out.txt")
    assert contents(tmp_path) == {"far/out.txt": "new"}


def test_what_a_killed_process_of_the_same_number_left_aside_is_in_nobodys_way(tmp_path: Path):
    """In a container the same stage has the same process number every time."""
    left = {f".out.{os.getpid()}.partial/x.txt": "left", f".out.{os.getpid()}.old.partial/y.txt": "left"}
    tree(tmp_path, left | {"work/a.txt": "new", "out/b.txt": "old"})
    move_whole(tmp_path / "work", tmp_path / "out")
    assert contents(tmp_path) == {"out/a.txt": "new"}


@pytest.mark.parametrize("work", ["work", "work.txt"])
def test_moving_works_from_one_file_system_to_another(tmp_path: Path, work: str):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on a file system of its own")
    source = memory / f"panodiff-test-{os.getpid()}"
    tree(source, {"work/a.txt": "new", "work.txt": "new"})
    try:
        move_whole(source / work, tmp_path / "out")
        assert not (source / work).exists()
    finally:
        move_whole(source, tmp_path / "rest")
    assert (tmp_path / "out" / "a.txt" if work == "work" else tmp_path / "out").read_text() == "new"


def test_the_fingerprint_of_a_folder_is_that_of_its_names_and_contents(tmp_path: Path):
    one = fingerprint(tree(tmp_path / "one", {"b/x.txt": "1", "a.txt": "22"}))
    two = fingerprint(tree(tmp_path / "two", {"a.txt": "22", "b/x.txt": "1"}))
    assert one == two
    assert (one.num_files, one.num_bytes) == (2, 3)
    lines = [f"{hash_file(tmp_path / 'one' / name)}  {name}\n" for name in ("a.txt", "b/x.txt")]
    assert one.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("change", [{"a.txt": "23"}, {"c.txt": ""}, {"b/y.txt": "1"}])
def test_every_change_changes_the_fingerprint(tmp_path: Path, change: dict[str, str]):
    folder = tree(tmp_path / "one", {"b/x.txt": "1", "a.txt": "22"})
    before = fingerprint(folder)
    assert fingerprint(tree(folder, change)) != before


def test_names_that_change_places_change_the_fingerprint(tmp_path: Path):
    one = tree(tmp_path / "one", {"a.txt": "1", "b.txt": "2"})
    two = tree(tmp_path / "two", {"a.txt": "2", "b.txt": "1"})
    assert fingerprint(one).sha256 != fingerprint(two).sha256


def test_what_dvc_ignores_is_ignored(tmp_path: Path):
    """`.dvcignore` and the list here say the same."""
    patterns = (ROOT / ".dvcignore").read_text(encoding="utf-8").split()
    assert sorted(patterns) == sorted(files.IGNORED_NAMES)
    folder = tree(tmp_path / "one", {"a.txt": "22"})
    before = fingerprint(folder)
    tree(folder, {"__pycache__/a.pyc": "x", "deep/.DS_Store": "x", ".a.txt.77.partial": "x", ".b.7.partial/c.txt": "x"})
    assert fingerprint(folder) == before
    assert [path.name for path in list_files(folder)] == ["a.txt"]


def test_the_order_of_files_is_that_of_their_paths_as_text(tmp_path: Path):
    folder = tree(tmp_path, {"b.txt": "", "a/z.txt": "", "a.txt": "", "B.txt": "", "ä.txt": ""})
    names = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    assert names == ["B.txt", "a.txt", "a/z.txt", "b.txt", "ä.txt"]


def test_nothing_there_has_no_fingerprint(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        fingerprint(tmp_path / "nothing")


def test_a_name_that_is_no_unicode_has_a_fingerprint(tmp_path: Path):
    before = fingerprint(tmp_path)
    with Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).open("w") as file:
        file.write("x")
    assert fingerprint(tmp_path).num_files == 1
    assert fingerprint(tmp_path) != before


def test_an_edit_or_a_touch_changes_the_cheap_signature_and_reading_does_not(tmp_path: Path):
    folder = tree(tmp_path / "one", {"a.txt": "1"})
    first = stat_signature(folder)
    (folder / "a.txt").read_text()
    assert stat_signature(folder) == first
    os.utime(folder / "a.txt", (1, 1))
    touched = stat_signature(folder)
    assert touched != first
    tree(folder, {"a.txt": "22"})
    assert stat_signature(folder) != touched
    assert stat_signature(folder / "a.txt")[0][1] == 2
