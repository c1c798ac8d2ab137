"""The audit of a whole run: an untouched one passes, and whatever is tampered with is named."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from working_copy import AUTHOR, WorkingCopy

from panodiff.audit.agreement import check_outputs
from panodiff.audit.audit import CHECKS, audit
from panodiff.audit.findings import fails
from panodiff.audit.run import load_run
from panodiff.files import hash_file
from panodiff.images import read_text_chunks
from panodiff.pipeline import load_pipeline
from panodiff.weights import read_catalogue

LOW, HIGH = "data/synthetic/low", "data/synthetic/high"


@pytest.fixture(scope="module")
def finished(copy: WorkingCopy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the session in a folder of its own, its dvc.lock committed."""
    root = tmp_path_factory.mktemp("audited") / "run"
    shutil.copytree(copy.root, root, ignore=shutil.ignore_patterns(".scratch", ".cache", "__pycache__"))
    git(root, "add", "dvc.lock", "metrics/summary.json")
    git(root, *AUTHOR, "commit", "-qm", "a run")
    return root


@pytest.fixture
def run(finished: Path) -> Iterator[Path]:
    """The same; whatever a test has done to its files is undone."""
    kept = finished.parent / "kept"
    if not kept.exists():
        shutil.copytree(finished, kept)
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(kept, finished)


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def problems(root: Path) -> str:
    return "\n".join(problem for finding in audit(load_run(root)) for problem in finding.problems)


def flip(path: Path, position: int = -1) -> None:
    """One bit of one byte, with size and time of change as before."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[position] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def edit_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def edit_yaml(path: Path, change: Callable[[dict], None]) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def edit_csv(path: Path, change: Callable[[pd.DataFrame], None]) -> None:
    table = pd.read_csv(path)
    change(table)
    table.to_csv(path, index=False, lineterminator="\n")


def first(root: Path, folder: str, pattern: str) -> Path:
    return sorted((root / folder).rglob(pattern))[0]


def test_an_untouched_run_passes(finished: Path) -> None:
    findings = audit(load_run(finished))
    assert len(findings) == len(CHECKS)
    assert not fails(findings), problems(finished)
    assert all(finding.examined for finding in findings)


def test_one_flipped_byte_in_any_output_is_named(finished: Path) -> None:
    for stage in load_pipeline(finished).values():
        for out in stage.outs:
            path = finished / out
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            if not files:  # no reader study has been held: its folder of figures is empty
                assert out == "metrics/study"
                continue
            file = max(files, key=lambda file: file.stat().st_size)
            position = file.stat().st_size // 2
            flip(file, position)
            named = check_outputs(load_run(finished)).problems
            assert any(str(file.relative_to(finished)) in problem for problem in named), file
            flip(file, position)
    assert not check_outputs(load_run(finished)).problems


def test_a_missing_and_an_added_file_are_named(run: Path) -> None:
    removed, added = first(run, HIGH, "*.png"), run / LOW / "synthetic-999999.png"
    shutil.copy(first(run, LOW, "*.png"), added)
    removed.unlink()
    named = problems(run)
    assert f"{removed.relative_to(run)} is missing" in named
    assert f"{added.relative_to(run)} was added" in named
    assert f"{LOW}/{added.name} has no row" in named


def test_a_missing_output_is_named(run: Path) -> None:
    shutil.rmtree(run / "data/models/superres")
    assert "data/models/superres, of train_superres, is missing" in problems(run)


@pytest.mark.parametrize(("kind", "number"), [("outs", 0), ("deps", 0), ("deps", -1)])
def test_a_changed_hash_in_the_lock_is_named(run: Path, kind: str, number: int) -> None:
    entry = {}

    def change(lock: dict) -> None:
        entry.update(lock["stages"]["sample"][kind][number])
        lock["stages"]["sample"][kind][number]["md5"] = "0" * 32 + (".dir" if entry["md5"].endswith(".dir") else "")

    edit_yaml(run / "dvc.lock", change)
    assert any(entry["path"] in line and "dvc.lock" in line for line in problems(run).splitlines())


@pytest.mark.parametrize("key", ["seed", "sample"])
def test_a_changed_parameter_in_the_lock_is_named(run: Path, key: str) -> None:
    edit_yaml(run / "dvc.lock", lambda lock: lock["stages"]["sample"]["params"]["params.yaml"].update({key: 7}))
    assert f"sample: params.yaml has another {key} than dvc.lock" in problems(run)


def test_a_changed_command_is_named(run: Path) -> None:
    edit_yaml(run / "dvc.lock", lambda lock: lock["stages"]["sample"].update(cmd="python other.py"))
    assert "sample: dvc.lock has the command `python other.py`" in problems(run)


def relock(root: Path, stage: str, path: str) -> None:
    """Make dvc.lock agree with what lies at `path`, as a forger would."""
    content = load_run(root).contents.at(path)
    assert content

    def change(lock: dict) -> None:
        for body in lock["stages"].values():
            for entry in [*body["deps"], *body["outs"]]:
                if entry["path"] == path:
                    entry["md5"] = content.md5

    edit_yaml(root / "dvc.lock", change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["params"].update(seed=7), "its record has another seed than dvc.lock"),
        (lambda record: record["inputs"]["data/models/diffusion"].update(sha256="0" * 64), "data/models/diffusion"),
        (lambda record: record["outputs"]["data/synthetic/low"].update(sha256="0" * 64), "data/synthetic/low"),
        (lambda record: record.update(fingerprint="0" * 64), "fingerprint does not follow"),
        (lambda record: record.update(stage="upscale"), "is the record of upscale"),
        (lambda record: record.pop("environment"), "is not a provenance record"),
        (lambda record: record["environment"]["git"].update(commit="0" * 40), "is not in commit 000000000000"),
        (lambda record: record["environment"].update(git=None), "ran outside a git checkout"),
    ],
)
def test_a_changed_record_is_named_even_when_the_lock_was_made_to_agree(
    run: Path, change: Callable[[dict], None], told: str
) -> None:
    record = run / "metrics/provenance/sample.json"
    edit_json(record, change)
    assert "metrics/provenance/sample.json, of sample, is not what dvc.lock has" in problems(run)
    relock(run, "sample", "metrics/provenance/sample.json")
    assert told in problems(run)


def test_changed_parameters_are_named(run: Path) -> None:
    edit_yaml(run / "params.yaml", lambda params: params["sample"].update(clamping="dynamic"))
    named = problems(run)
    assert "sample: params.yaml has another sample than dvc.lock" in named
    assert "params.yaml is not as committed" in named


def test_a_changed_raw_file_is_named(run: Path) -> None:
    raw = first(run, "data/raw/smoke", "*.png")
    flip(raw)
    named = problems(run)
    assert f"{raw.relative_to(run)} changed" in named
    assert f"{raw.relative_to(run)} is not the file that was taken in" in named


def test_a_raw_file_without_a_row_is_named(run: Path) -> None:
    raw = first(run, "data/raw/smoke/adld", "*.png")
    shutil.copy(raw, raw.with_name("new.png"))
    assert "new.png has no row in corpus.csv" in problems(run)


def test_changed_weights_are_named(run: Path) -> None:
    entry = read_catalogue(run / "data/weights")["alexnet"]
    (run / "data/weights" / entry.file).write_bytes(b"other weights")
    assert f"data/weights/{entry.file} is not the catalogued file" in problems(run)


def rewrite(path: Path, **changes: str) -> None:
    """The same pixels with other text chunks."""
    text = read_text_chunks(path) | {f"panodiff:{key}": value for key, value in changes.items()}
    chunks = PngInfo()
    for key, value in text.items():
        chunks.add_itxt(key, value)
    with Image.open(path) as image:
        image.load()
        image.save(path, format="PNG", pnginfo=chunks)


@pytest.mark.parametrize("key", ["seed", "index", "diffusion_model_sha256", "superres_model_sha256"])
def test_a_changed_text_chunk_is_named_even_when_every_hash_was_made_to_agree(run: Path, key: str) -> None:
    picture = first(run, HIGH, "*.png")
    rewrite(picture, **{key: "12345"})
    assert f"{HIGH}/{picture.name} changed" in problems(run)

    def rehash(rows: pd.DataFrame) -> None:
        rows.loc[rows["id"] == picture.stem, "sha256"] = hash_file(picture)

    edit_csv(run / HIGH / "rows.csv", rehash)
    relock(run, "upscale", HIGH)
    assert f"{HIGH}/{picture.name} says panodiff:{key} = 12345" in problems(run)


def test_swapped_pictures_are_named(run: Path) -> None:
    one, other = sorted((run / LOW).glob("*.png"))[:2]
    aside = run / "aside"
    one.rename(aside), other.rename(one), aside.rename(other)
    named = problems(run)
    for picture in (one, other):
        assert f"{LOW}/{picture.name} changed" in named
        assert f"{LOW}/{picture.name} is not the picture of its row" in named
        assert f"{LOW}/{picture.name} says panodiff:index" in named


def test_an_edit_of_the_code_after_the_run_is_named(run: Path) -> None:
    code = run / "panodiff/sampling/sample.py"
    code.write_text(code.read_text(encoding="utf-8") + "# later\n", encoding="utf-8")
    named = problems(run)
    assert "panodiff/sampling/sample.py is not what sample read" in named
    assert "panodiff/sampling/sample.py is not as committed" in named
    git(run, *AUTHOR, "commit", "-qam", "an edit after the run")
    assert "panodiff/sampling/sample.py is not what sample read" in problems(run)


def test_code_that_was_never_committed_is_named(run: Path) -> None:
    """A record that names a commit with other code in it."""
    code = run / "panodiff/sampling/sample.py"
    before = code.read_text(encoding="utf-8")
    code.write_text(before + "# another version\n", encoding="utf-8")
    git(run, *AUTHOR, "commit", "-qam", "another version")
    commit = git(run, "rev-parse", "HEAD")
    code.write_text(before, encoding="utf-8")
    record = run / "metrics/provenance/sample.json"
    edit_json(record, lambda content: content["environment"]["git"].update(commit=commit))
    assert f"panodiff/sampling/sample.py, which sample read, is not that of commit {commit[:12]}" in problems(run)


def test_files_that_are_not_accounted_for_are_named(run: Path) -> None:
    edit_json(run / "metrics/data.json", lambda account: account["sources"]["adld"].update(kept=0))
    named = problems(run)
    assert "metrics/data.json has 0 kept files of adld" in named
    assert "of adld, kept + duplicate + rejected is not" in named


def test_a_group_in_two_splits_is_named(run: Path) -> None:
    def part(rows: pd.DataFrame) -> None:
        kept = rows.index[rows["status"] == "kept"]
        rows.loc[kept[:2], "group"] = "one"
        rows.loc[kept[0], "split"], rows.loc[kept[1], "split"] = "train", "test"

    edit_csv(run / "data/manifest/corpus.csv", part)
    assert "group one is in 2 splits" in problems(run)


def test_a_published_copy_is_named(run: Path) -> None:
    edit_csv(run / "metrics/evaluation/copies.csv", lambda rows: rows.__setitem__("is_copy", 1))
    assert "synthetic-000000 is published and is a copy" in problems(run)


def test_a_published_picture_that_was_never_drawn_is_named(run: Path) -> None:
    path = run / "metrics/evaluation/published.csv"
    path.write_text(path.read_text(encoding="utf-8") + "synthetic-777777\n", encoding="utf-8")
    assert "synthetic-777777 is published and was never drawn" in problems(run)


def test_a_run_that_was_not_finished_is_named(run: Path) -> None:
    edit_yaml(run / "dvc.lock", lambda lock: lock["stages"].pop("report"))
    assert "report has not run" in problems(run)
