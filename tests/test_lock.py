"""What dvc has written down."""

from pathlib import Path

import pytest

from panodiff.lock import cache_folder, read_lock

LOCK = """schema: '2.0'
stages:
  sample:
    cmd: exec python -m stages.sample
    deps:
    - {path: stages/sample.py, hash: md5, md5: aa, size: 1}
    params:
      params.yaml:
        seed: 1
    outs:
    - {path: data/synthetic/low, hash: md5, md5: bb.dir, size: 1, nfiles: 1}
"""


def test_a_lock_tells_command_hashes_and_parameters(tmp_path: Path):
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    stage = read_lock(tmp_path)["sample"]
    assert stage.deps == {"stages/sample.py": "aa"}
    assert stage.outs == {"data/synthetic/low": "bb.dir"}
    assert stage.params == {"seed": 1}


def test_where_nothing_has_run_there_is_no_stage(tmp_path: Path):
    assert read_lock(tmp_path) == {}


@pytest.mark.parametrize("text", ["stages: [", "other: 1", "<<<<<<< HEAD\n", "stages: {sample: {}}"])
def test_a_lock_that_dvc_did_not_write_is_refused(tmp_path: Path, text: str):
    (tmp_path / "dvc.lock").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not what dvc writes"):
        read_lock(tmp_path)


def test_the_cache_is_where_dvc_s_own_configuration_says(tmp_path: Path):
    (tmp_path / ".dvc").mkdir()
    assert cache_folder(tmp_path) == tmp_path / ".dvc/cache"
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    dir = ../shared\n")
    assert cache_folder(tmp_path).resolve() == (tmp_path / "shared").resolve()
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = /large/disk\n")
    assert cache_folder(tmp_path) == Path("/large/disk")
