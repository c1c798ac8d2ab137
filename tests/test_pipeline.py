"""What dvc.yaml says, read as dvc reads it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small import ROOT

from panodiff.pipeline import load_pipeline, lookup


def test_dvc_and_this_reader_see_the_same_stages():
    command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert listed == list(load_pipeline(ROOT))


def test_dvc_and_this_reader_fill_the_templates_alike():
    """Compared with dvc's own resolver."""
    code = """
import json
from dvc.repo import Repo
with Repo() as repo:
    found = {}
    for stage in repo.index.stages:
        params = sorted(key for dep in stage.deps for key in getattr(dep, "params", []))
        deps = sorted(dep.def_path for dep in stage.deps if not hasattr(dep, "params"))
        found[stage.addressing] = [stage.cmd, deps, sorted(out.def_path for out in stage.outs), params]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {
        name: [stage.cmd, sorted(stage.deps), sorted(stage.outs), sorted(stage.params)]
        for name, stage in load_pipeline(ROOT).items()
    }
    assert json.loads(done.stdout) == ours


def test_templates_and_matrix_are_filled_from_params(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("profile: smoke\nnames: [a, b]\nprofiles: {smoke: {x: 1}}\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  read:\n"
        '    matrix: {name: "${names}"}\n'
        "    cmd: run ${item.name}\n"
        '    params: ["profiles.${profile}.x"]\n'
        '    deps: ["data/${profile}/${item.name}"]\n'
        '    outs: [{"out/${item.name}": {cache: false}}]\n'
        '    metrics: ["metrics/${item.name}.json"]\n'
        "  last:\n"
        "    cmd: run\n"
    )
    stages = load_pipeline(tmp_path)
    assert list(stages) == ["read@a", "read@b", "last"]
    assert stages["read@b"].cmd == "run b"
    assert stages["read@b"].deps == ("data/smoke/b",)
    assert stages["read@b"].outs == ("out/b", "metrics/b.json")
    assert stages["read@b"].params == ("profiles.smoke.x",)
    assert stages["last"].deps == ()


def test_a_path_that_leads_nowhere_is_named_whole():
    with pytest.raises(KeyError, match=r"a\.b\.c"):
        lookup({"a": {"b": 1}}, "a.b.c")
    assert lookup({"a": {"b": 1}}, "a.b") == 1
