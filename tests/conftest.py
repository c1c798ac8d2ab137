"""What holds for all tests: few threads, no calls home, where the real radiographs are."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # beside other work two that wait for each other are slower
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["DVC_SITE_CACHE_DIR"] = tempfile.mkdtemp(prefix="dvc-site-cache-")
atexit.register(shutil.rmtree, os.environ["DVC_SITE_CACHE_DIR"], ignore_errors=True)

ROOT = Path(__file__).parents[1]


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image files are read and written in this process."""
    monkeypatch.setenv("PANODIFF_WORKERS", "1")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes in one thread."""
    import torch  # noqa: PLC0415

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def test_data() -> Path:
    """The folder with `radiographs/` and `weights/`."""
    folder = Path(os.environ.get("PANODIFF_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / "radiographs").is_dir():
        pytest.skip(f"no real radiographs at {folder / 'radiographs'}: set PANODIFF_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five sources with four drawn patients each, and truth.json."""
    from panodiff.sources.phantom import write_phantoms  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, seed=1, num_patients=4, scale=0.1)
    return folder
