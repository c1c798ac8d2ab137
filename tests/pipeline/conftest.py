"""One run of the whole pipeline, shared by the tests of this folder."""

from collections.abc import Iterator

import pytest
from working_copy import WorkingCopy


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> WorkingCopy:
    """A copy of the project in which `dvc repro` has run once."""
    copy = WorkingCopy(tmp_path_factory.mktemp("pipeline") / "copy")
    done = copy.dvc("repro")
    assert done.returncode == 0, done.stdout[-4000:]
    return copy


@pytest.fixture
def params_put_back(copy: WorkingCopy) -> Iterator[None]:
    """Afterwards params.yaml is as before."""
    path = copy.root / "params.yaml"
    before = path.read_text(encoding="utf-8")
    yield
    path.write_text(before, encoding="utf-8")
