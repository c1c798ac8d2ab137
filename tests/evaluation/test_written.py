import numpy as np
import pandas as pd

from panodiff.evaluation.written import rounded, write_columns


def test_numbers_are_rounded_to_six_digits_wherever_they_stand():
    content = {"a": {"b": 1.23456789, "n": 7}, "c": "text", "d": [0.00012345678, 2]}
    assert rounded(content) == {"a": {"b": 1.23457, "n": 7}, "c": "text", "d": [0.000123457, 2]}


def test_columns_come_back_as_they_were_written(tmp_path):
    write_columns(tmp_path / "t.csv", {"id": ["x", "y"], "value": np.array([1 / 3, 2e9]), "flag": np.array([0, 1])})
    table = pd.read_csv(tmp_path / "t.csv")
    assert list(table["id"]) == ["x", "y"] and list(table["flag"]) == [0, 1]
    assert list(table["value"]) == [0.333333, 2e9]
