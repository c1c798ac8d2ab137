"""Whether the code that ran is that of the recorded commits, whether git is clean, and on what it ran."""

import hashlib
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from panodiff.audit.findings import Finding
from panodiff.audit.run import Run, is_code
from panodiff.files import is_ignored, listing_sha256
from panodiff.weights import read_catalogue

_ONE_ENVIRONMENT = ("python", "packages_sha256", "platform")


def check_commits(run: Run) -> Finding:
    """Every piece of code that a stage read is, byte for byte, that of the commit in its record."""
    read = [(name, path) for name, record in run.records.items() for path in record["inputs"] if is_code(path)]
    problems = [problem for name, path in read for problem in _about_code(run, name, path)]
    without = [name for name, record in run.records.items() if not record["environment"]["git"]]
    if without:
        problems.append(f"{_named(without)} ran outside a git checkout: commit the code and run them again")
    commits = {
        record["environment"]["git"]["commit"] for record in run.records.values() if record["environment"]["git"]
    }
    dirty = [name for name, record in run.records.items() if (record["environment"]["git"] or {}).get("dirty")]
    notes = [f"when {_named(dirty)} ran, files that they do not read were not committed"] if dirty else []
    if len(commits) > 1:
        notes.append(f"the stages ran at {len(commits)} commits; what each of them read is the same in its own")
    return Finding(
        title="The code of the recorded commit is what ran",
        examined=f"{len(read)} inputs, commit{'s' if len(commits) > 1 else ''} "
        f"{', '.join(sorted(commit[:12] for commit in commits)) or 'none'}",
        problems=tuple(dict.fromkeys(problems)),
        notes=() if problems else tuple(notes),
    )


def _about_code(run: Run, stage: str, path: str) -> Iterator[str]:
    record = run.records[stage]
    if not record["environment"]["git"]:
        return
    commit = record["environment"]["git"]["commit"]
    sha256 = committed_sha256(run.root, commit, path)
    if sha256 is None:
        yield f"{path}, which {stage} read, is not in commit {commit[:12]} of this repository"
    elif sha256 != record["inputs"][path]["sha256"]:
        yield f"{path}, which {stage} read, is not that of commit {commit[:12]}: commit it, then run {stage} again"


@lru_cache(maxsize=4096)
def committed_sha256(root: Path, commit: str, path: str) -> str | None:
    """The hash, as `panodiff.files.fingerprint` makes it, of a file or folder of a commit; None if it is not there."""
    try:
        listed = _git(root, "ls-tree", "-r", "-z", commit, "--", path).decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = [line.partition("\t") for line in listed if line]
    entries = {name: about for about, _, name in lines}  # about: mode, type and hash
    if path in entries:
        return hashlib.sha256(_blob(root, entries[path])).hexdigest()
    inside = {PurePosixPath(name).relative_to(path): about for name, about in entries.items()}
    kept = {str(name): about for name, about in inside.items() if not any(map(is_ignored, name.parts))}
    if not kept:
        return None
    return listing_sha256((name, hashlib.sha256(_blob(root, kept[name])).hexdigest()) for name in sorted(kept))


def _blob(root: Path, about: str) -> bytes:
    return _blob_of(root, about.split()[2])


@lru_cache(maxsize=4096)
def _blob_of(root: Path, name: str) -> bytes:
    return _git(root, "cat-file", "blob", name)


def check_clean(run: Run) -> Finding:
    """No tracked file differs from git's last commit, the pipeline's own products aside."""
    products = ["dvc.lock", "metrics"]
    try:
        status = _git(
            run.root, "status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{p}" for p in products)
        )
        commit = _git(run.root, "rev-parse", "HEAD").decode().strip()
        lock = _git(run.root, "status", "--porcelain", "--", "dvc.lock")
    except (OSError, subprocess.CalledProcessError):
        problem = "this folder is no git checkout with a commit: `git init && git add -A && git commit`"
        return Finding(title="git is clean", examined="no commit", problems=(problem,))
    changed = [line[3:] for line in status.decode(errors="replace").splitlines()]
    return Finding(
        title="git is clean",
        examined=f"commit {commit[:12]}",
        problems=tuple(f"{path} is not as committed: commit it, or put it back" for path in changed),
        notes=("dvc.lock is not committed: once it is, git vouches for every hash in it",) if lock else (),
    )


def check_environment(run: Run) -> Finding:
    """What ran on which machine with which packages: one environment, or the differences."""
    notes = []
    for key in _ONE_ENVIRONMENT:
        stages: dict[str, list[str]] = {}
        for name, record in run.records.items():
            stages.setdefault(str(record["environment"][key]), []).append(name)
        if len(stages) > 1:
            told = "; ".join(f"{value[:48]} ({_named(names)})" for value, names in stages.items())
            notes.append(f"{key} differs: {told}")
    gpus: dict[str, list[str]] = {}
    for name, record in run.records.items():
        if torch := record["environment"]["torch"]:
            gpus.setdefault(f"torch {torch['version']}, {', '.join(torch['gpus']) or 'CPU'}", []).append(name)
    if len(gpus) > 1:
        notes.append("devices: " + "; ".join(f"{value} ({_named(names)})" for value, names in gpus.items()))
    return Finding(
        title="One environment ran everything, or its differences are known",
        examined=f"{len(run.records)} records, {'one environment' if not notes else 'several environments'}",
        notes=tuple(notes),
    )


def check_weights(run: Run) -> Finding:
    """The pretrained weights that are installed are the catalogued ones."""
    folder = run.root / "data/weights"
    installed = [entry for entry in read_catalogue(folder).values() if (folder / entry.file).is_file()]
    wrong = [
        f"data/weights/{entry.file} is not the catalogued file (SHA-256 {found} instead of {entry.sha256}): "
        f"delete it and run `panodiff weights fetch {entry.name}`"
        for entry in installed
        if (found := run.contents.sha256(f"data/weights/{entry.file}")) != entry.sha256
    ]
    return Finding(
        title="Pretrained weights are those of the catalogue",
        examined=f"{len(installed)} installed",
        problems=tuple(wrong),
    )


def _named(stages: list[str]) -> str:
    return ", ".join(stages[:3]) + (f" and {len(stages) - 3} more" if len(stages) > 3 else "")


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout
