"""What must be written down of a source before a run on it can pass an audit."""

from pathlib import Path

import pytest
import yaml
from small import ROOT

from panodiff.audit.contents import Contents
from panodiff.audit.data import check_terms, read_terms
from panodiff.audit.run import Run
from panodiff.params_file import load_params

META = {"licence": "CC BY 4.0", "doi": "10.1/2", "accessed": "2026-01-31", "terms": "name the authors"}


def pilot(root: Path, sources: list[str]) -> Run:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw |= {"profile": "pilot", "sources": sources, "source": {name: {} for name in sources}}
    (root / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    params = load_params(root / "params.yaml")
    return Run(root=root, params=params, pipeline={}, lock={}, records={}, contents=Contents(root))


def write_terms(root: Path, source: str, meta: dict[str, object], md5: str | None = None) -> None:
    folder = root / "data/raw/pilot" / source
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.png").write_bytes(b"a picture")
    body = {"outs": [{"path": source, "md5": md5 or Contents(root).at(f"data/raw/pilot/{source}").md5}], "meta": meta}
    (root / f"data/raw/pilot/{source}.dvc").write_text(yaml.safe_dump(body), encoding="utf-8")


def test_terms_come_from_the_dvc_file(tmp_path: Path):
    run = pilot(tmp_path, ["mine"])
    write_terms(tmp_path, "mine", META | {"redistribution": True})
    assert not check_terms(run).problems
    terms = read_terms(run, "mine")
    assert (terms.licence, terms.doi, terms.accessed, terms.redistribution) == (
        "CC BY 4.0",
        "10.1/2",
        "2026-01-31",
        True,
    )


def test_pictures_may_not_be_passed_on_unless_the_file_says_so(tmp_path: Path):
    run = pilot(tmp_path, ["mine"])
    write_terms(tmp_path, "mine", META)
    assert read_terms(run, "mine").redistribution is False


def test_a_source_without_a_dvc_file_is_named(tmp_path: Path):
    (problem,) = check_terms(pilot(tmp_path, ["mine"])).problems
    assert "data/raw/pilot/mine.dvc is missing" in problem
    assert "dvc add data/raw/pilot/mine" in problem


@pytest.mark.parametrize("key", META)
def test_each_missing_fact_is_named(tmp_path: Path, key: str):
    run = pilot(tmp_path, ["mine"])
    write_terms(tmp_path, "mine", META | {key: ""})
    (problem,) = check_terms(run).problems
    assert f"mine.dvc does not say {key}:" in problem


def test_raw_files_that_changed_since_they_were_added_are_named(tmp_path: Path):
    run = pilot(tmp_path, ["mine"])
    write_terms(tmp_path, "mine", META, md5="0" * 32 + ".dir")
    (problem,) = check_terms(run).problems
    assert "data/raw/pilot/mine is not what `dvc add` took" in problem


def test_redistribution_must_be_yes_or_no(tmp_path: Path):
    run = pilot(tmp_path, ["mine"])
    write_terms(tmp_path, "mine", META | {"redistribution": "perhaps"})
    (problem,) = check_terms(run).problems
    assert "meta.redistribution must be true or false, got 'perhaps'" in problem
