"""The deposit of a whole run: whole and checkable, or not there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from working_copy import AUTHOR, WorkingCopy

from panodiff.audit.run import load_run
from panodiff.cli import EXIT_REFUSED, main
from panodiff.files import list_files
from panodiff.manifest import read_manifest
from panodiff.publishing.claim import look_up, read_checklists
from panodiff.publishing.folder import publish


@pytest.fixture(scope="module")
def finished(copy: WorkingCopy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the session in a folder of its own, its dvc.lock committed."""
    root = tmp_path_factory.mktemp("published") / "run"
    shutil.copytree(copy.root, root, ignore=shutil.ignore_patterns(".scratch", ".cache", "__pycache__"))
    for command in (["add", "dvc.lock", "metrics/summary.json"], [*AUTHOR, "commit", "-qm", "a run"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def deposit(finished: Path) -> Path:
    """What `panodiff publish` makes of it."""
    lines = publish(load_run(finished), finished.parent / "deposit")
    assert "checks hold" in lines[1]
    return finished.parent / "deposit"


@pytest.fixture
def flipped(finished: Path) -> Iterator[Path]:
    """A picture of the run with one bit of its last byte turned over, size and time as before."""
    path = finished / "data/synthetic/high/synthetic-000000.png"
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    yield path
    path.write_bytes(content)


def test_the_checksums_hold_and_name_every_file(deposit: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=deposit, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    lines = (deposit / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(list_files(deposit)) - 1


def test_the_images_are_those_that_may_be_published(finished: Path, deposit: Path) -> None:
    published = set(pd.read_csv(finished / "metrics/evaluation/published.csv")["id"])
    for resolution in ("high", "low"):
        folder = finished / "data/synthetic" / resolution
        found = {path.stem: path.read_bytes() for path in (deposit / "images" / resolution).iterdir()}
        assert found == {name: (folder / f"{name}.png").read_bytes() for name in published}


def test_every_pointer_of_the_checklists_leads_to_something(finished: Path, deposit: Path) -> None:
    text = (deposit / "CLAIM.md").read_text(encoding="utf-8")
    pointers = re.findall(r"^\|[^|]*\|[^|]*\| `([^`]+)` \|", text, flags=re.MULTILINE)
    asked = [item.where for items in read_checklists().values() for item in items]
    assert len(pointers) >= sum(len(keys) or 1 for where in asked for keys in where.values())
    for pointer in pointers:
        name, _, key = pointer.partition(": ")
        look_up(deposit, name, key)


def test_nothing_names_a_raw_file_or_a_patient(finished: Path, deposit: Path) -> None:
    corpus = read_manifest(finished / "data/manifest/corpus.csv")
    names = {Path(path).name for path in corpus["path"]} | set(corpus["patient"].dropna())
    told = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?!\w)" for name in names))
    assert told.search(f"kept is {min(names)}, the first one")
    for path in list_files(deposit):
        if path.suffix != ".png":
            found = told.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{path} names {found}"


def test_real_radiographs_stay_at_home(deposit: Path) -> None:
    pictures = {path.relative_to(deposit).as_posix() for path in list_files(deposit) if path.suffix in (".png", ".jpg")}
    outside = {name for name in pictures if not name.startswith(("images/", "metrics/figures/"))}
    assert outside == set()


def test_publishing_again_gives_the_same_bytes(finished: Path, deposit: Path, tmp_path: Path) -> None:
    publish(load_run(finished), tmp_path / "again")
    assert (tmp_path / "again/SHA256SUMS").read_bytes() == (deposit / "SHA256SUMS").read_bytes()


def test_a_run_whose_audit_fails_is_refused_and_nothing_is_written(
    finished: Path, flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    assert main(["publish", str(tmp_path / "deposit")]) == EXIT_REFUSED
    said = capsys.readouterr().err
    assert f"{flipped.relative_to(finished)} changed" in said
    assert "`panodiff audit`" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(finished: Path, deposit: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in list_files(deposit)}
    with pytest.raises(ValueError, match="must be a new or an empty folder"):
        publish(load_run(finished), deposit)
    assert {path: path.stat().st_mtime_ns for path in list_files(deposit)} == before
