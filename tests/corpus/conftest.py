"""The phantoms' corpus, made once."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from corpora import data_params, run_source, run_split


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The folder with `harmonized/`, and the rows of its manifest."""

    work: Path
    rows: pd.DataFrame


@pytest.fixture(scope="session")
def corpus(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """All five sources of phantoms, split."""
    work = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANODIFF_WORKERS", "1")
        for source in data_params().sources:
            run_source(source, phantoms / source, work, data_params())
        return Corpus(work=work, rows=run_split(data_params(), work))
