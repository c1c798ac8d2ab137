"""The audit's verdict, as the page shows it: what was checked, what failed, and that nothing else was read."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_page import Page

from panodiff.pipeline import load_pipeline
from panodiff.report.sections.verdict import MOST_SHOWN, show_verdict

_read: list[Path] | None = None  # files that are opened while a test listens


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if _read is not None and event == "open" and isinstance(arguments[0], str):
        _read.append(Path(arguments[0]).resolve())


sys.addaudithook(_listen)


def records() -> list[str]:
    return [dep for dep in load_pipeline()["report"].deps if dep.startswith("metrics/provenance/")]


def test_the_page_says_what_was_checked_on_which_stages_and_that_there_is_more(
    project: SimpleNamespace, tmp_path: Path
):
    text = Page(project.report(tmp_path)).text
    assert "1 of 7 checks fail, with 1 problem." in text
    assert "FAILS The code of the recorded commit is what ran" in text  # the project is no git checkout
    assert "ran outside a git checkout" in text
    assert "holds Every synthetic picture says what it is, as its row does" in text
    assert "the records of 10 stages: split, train_encoder" in text
    assert "panodiff audit makes all 13" in text


def test_a_record_that_does_not_follow_from_the_one_before_is_a_problem(project: SimpleNamespace):
    path = Path("metrics/provenance/sample.json")
    kept = path.read_text(encoding="utf-8")
    record = json.loads(kept)
    record["inputs"]["data/models/diffusion"]["sha256"] = "0" * 64
    path.write_text(json.dumps(record), encoding="utf-8")
    try:
        (chain,) = [f for f in show_verdict(records())["findings"] if f.title.startswith("Hashes chain")]
    finally:
        path.write_text(kept, encoding="utf-8")
    assert chain.problems == ("sample read another data/models/diffusion than train_diffusion made, by their records",)


def test_many_problems_are_counted_and_not_all_shown(project: SimpleNamespace, tmp_path: Path):
    table = Path("metrics/evaluation/published.csv")
    kept = table.read_bytes()
    table.write_text("id\n" + "".join(f"stranger-{number}\n" for number in range(20)), encoding="utf-8")
    try:
        found = show_verdict(records())
        published = Path("metrics/evaluation/published.csv").read_text(encoding="utf-8")
    finally:
        table.write_bytes(kept)
    (copies,) = [finding for finding in found["findings"] if finding.title.startswith("No copy of a patient")]
    assert "stranger-19" in published and len(copies.problems) == 40 > MOST_SHOWN


def test_the_stage_reads_nothing_that_dvc_yaml_does_not_list(
    project: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[Path] = []
    monkeypatch.setattr(sys.modules[__name__], "_read", opened)
    project.report(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "_read", None)
    root = project.root.resolve()
    # Imports try to open entries of sys.path that are no files, as an editable install leaves one.
    found = {path.relative_to(root) for path in opened if path.is_relative_to(root) and path.exists()}
    deps = load_pipeline()["report"].deps
    frame = {Path("dvc.yaml"), Path("params.yaml")}
    assert len(found) > 40
    assert sorted(path for path in found - frame if not any(path.is_relative_to(dep) for dep in deps)) == []
