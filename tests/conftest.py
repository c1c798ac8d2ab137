"""What holds for all tests: few threads, no calls home, where the real radiographs are."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # beside other work two that wait for each other are slower
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["DVC_SITE_CACHE_DIR"] = tempfile.mkdtemp(prefix="dvc-site-cache-")

ROOT = Path(__file__).parents[1]


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
