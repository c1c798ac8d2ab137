"""Radiographs of real sources, traced to their terms: no DVC run, but ingestion, harmonization and split are real."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from corpora import data_params, harmonize, picture, run_split
from PIL import Image

from panodiff.audit.contents import Contents
from panodiff.audit.run import Run
from panodiff.images import encode_grey
from panodiff.lock import LockedStage
from panodiff.manifest import read_manifest
from panodiff.sources.ingest import ingest
from panodiff.tracing.trace import trace

RAW, HARMONIZED = "data/raw/pilot/dentex", "data/harmonized/pilot/dentex"
TERMS = {"licence": "CC BY-NC-SA 4.0", "doi": "10.5281/zenodo.7812323", "accessed": "2026-01-31", "terms": "name them"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Ten radiographs of a public source, and one of them once more under another name."""
    folder = tmp_path / RAW / "training_data/unlabelled/xrays"
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"{number}.png").write_bytes(encode_grey(picture(number)))
    shutil.copy(folder / "0.png", folder / "again.png")
    params = data_params(profile="pilot", sources=("dentex",))
    ingest("dentex", tmp_path / RAW, params.ingest, tmp_path / "found.csv", lambda: None)
    harmonize(tmp_path / RAW, tmp_path / "found.csv", tmp_path / HARMONIZED, params, final=HARMONIZED)
    shutil.copytree(tmp_path / HARMONIZED, tmp_path / "harmonized/dentex")
    run_split(params, tmp_path)
    shutil.copytree(tmp_path / "manifest", tmp_path / "data/manifest")
    contents = Contents(tmp_path)
    wrote = LockedStage(cmd="", deps={}, outs={HARMONIZED: Contents(tmp_path).at(HARMONIZED).md5}, params={})
    return Run(
        root=tmp_path, params=params, pipeline={}, lock={"harmonize@dentex": wrote}, records={}, contents=contents
    )


def told(image: Path, run: Run) -> str:
    return " ".join(" ".join(trace(image, run)).split())


def raw_file(run: Run, name: str) -> Path:
    return run.root / RAW / f"training_data/unlabelled/xrays/{name}.png"


def test_terms_that_are_written_down_are_told_with_the_citation(run: Run):
    (run.root / f"{RAW}.dvc").write_text(yaml.safe_dump({"outs": [], "meta": TERMS}), encoding="utf-8")
    found = told(raw_file(run, "3"), run)
    assert "licence CC BY-NC-SA 4.0 DOI 10.5281/zenodo.7812323 accessed 2026-01-31 terms name them" in found
    assert "pictures must NOT be passed on" in found
    assert "citation Hamamci I.E. et al. DENTEX" in found and "phantom" not in found


def test_terms_that_are_not_written_down_are_told_to_be_missing(run: Run):
    found = told(raw_file(run, "3"), run)
    assert f"licence, DOI NOT written down: {RAW}.dvc is missing" in found


def test_each_of_two_files_with_the_same_bytes_is_traced_by_its_place(run: Run):
    corpus = read_manifest(run.root / "data/manifest/corpus.csv")
    again = corpus[corpus["path"].str.endswith("again.png")].iloc[0]
    first = corpus[corpus["path"].str.endswith("/0.png")].iloc[0]
    assert {again["status"], first["status"]} == {"kept", "duplicate"}
    for row in (again, first):
        assert f"(raw), {row['id']} " in told(run.root / RAW / str(row["path"]), run)
    kept, copy = (again, first) if again["status"] == "kept" else (first, again)
    assert f"copies of it: {copy['id']}" in told(run.root / RAW / str(kept["path"]), run)
    assert f"copies it is one of {kept['id']}" in told(run.root / RAW / str(copy["path"]), run)


def test_links_into_a_cache_are_traced_by_their_own_place(run: Run):
    """DVC can put links into its cache in place of files: files with the same bytes then are links to one."""
    cache = run.root / "cache"
    shutil.copy(raw_file(run, "0"), cache)
    for name in ("0", "again"):
        raw_file(run, name).unlink()
        raw_file(run, name).symlink_to(cache)
    rows = read_manifest(run.root / "data/manifest/corpus.csv").set_index("path")
    for name in ("0", "again"):
        path = raw_file(run, name)
        assert f"(raw), {rows.loc[path.relative_to(run.root / RAW).as_posix(), 'id']} " in told(path, run)


def test_a_project_reached_through_a_link_is_traced_all_the_same(run: Run, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "linked"
    elsewhere.symlink_to(run.root)
    row = read_manifest(run.root / "data/manifest/corpus.csv").dropna(subset=["split"]).iloc[0]
    assert f"(harmonized, low resolution), {row['id']} " in told(elsewhere / str(row["low_path"]), run)


def test_what_was_harmonized_and_then_changed_is_told_without_a_cache_too(run: Run):
    row = read_manifest(run.root / "data/manifest/corpus.csv").dropna(subset=["split"]).iloc[0]
    image = run.root / str(row["high_path"])
    assert f"those that harmonize@dentex wrote to {row['high_path']}, by dvc.lock" in told(image, run)
    changed = replace(run, contents=Contents(run.root))
    Image.new("L", (8, 8)).save(image)
    assert "dvc's cache does not know its files one by one" in told(image, changed)


def test_a_run_without_a_corpus_is_refused(run: Run):
    (run.root / "data/manifest/corpus.csv").unlink()
    with pytest.raises(ValueError, match=r"corpus\.csv is missing: `dvc repro split`"):
        trace(raw_file(run, "3"), run)
