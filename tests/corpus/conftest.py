"""The phantoms' corpus, made once."""

from pathlib import Path

import pytest
from corpora import data_params, run_source, run_split
from made import Corpus


@pytest.fixture(scope="session")
def corpus(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """All five sources of phantoms, split."""
    work = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANODIFF_WORKERS", "1")
        for source in data_params().sources:
            run_source(source, phantoms / source, work, data_params())
        return Corpus(work=work, rows=run_split(data_params(), work))
