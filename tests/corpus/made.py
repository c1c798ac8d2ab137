"""The corpus that the fixture `corpus` hands out."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The folder with `harmonized/`, and the rows of its manifest."""

    work: Path
    rows: pd.DataFrame
