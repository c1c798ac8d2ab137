"""How the evaluation writes numbers: six significant digits, since more are noise and differ between machines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panodiff.files import write_csv


def rounded(content: Any) -> Any:
    """`content` with every float in it at six significant digits."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write equally long columns as CSV."""
    table = pd.DataFrame({name: _formatted(values) for name, values in columns.items()})
    write_csv(path, table.columns, table.to_dict("records"))


def _formatted(values: Any) -> list[Any]:
    is_float = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    return [f"{value:.6g}" for value in values] if is_float else list(values)
