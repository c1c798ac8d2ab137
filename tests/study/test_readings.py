"""The stage analyse_study: with answers, without, and with those to other cases."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from panodiff.images import write_grey
from panodiff.study.levels import LEVELS
from panodiff.study.readings import analyse_readings

CASES = [f"case-{number:02d}" for number in range(12)]


def study(folder: Path) -> Path:
    """Twelve cases, every second one synthetic."""
    generator = np.random.default_rng(0)
    for case in CASES:
        write_grey(folder / f"study/served/cases/{case}.png", generator.integers(0, 256, (16, 32), np.uint8))
    labels = ["synthetic" if number % 2 else "real" for number in range(len(CASES))]
    pd.DataFrame({"case": CASES, "label": labels, "id": CASES, "warm_up": 0}).to_csv(
        folder / "study/key.csv", index=False
    )
    (folder / "readings").mkdir()
    return folder / "study"


def write_readings(folder: Path, cases: list[str]) -> None:
    generator = np.random.default_rng(1)
    rows = [
        {"reader": reader, "case": case, "answer": LEVELS[generator.integers(5)]}
        for reader in ("A", "B", "C")
        for case in cases
    ]
    pd.DataFrame(rows).to_csv(folder / "readings/readings.csv", index=False)


def analysed(folder: Path) -> dict:
    analyse_readings(
        folder / "readings", folder / "study", seed=1, out=folder / "study.json", figures=folder / "figures"
    )
    return json.loads((folder / "study.json").read_text(encoding="utf-8"))


def test_answers_are_analysed_and_drawn(tmp_path: Path):
    study(tmp_path)
    write_readings(tmp_path, CASES)
    content = analysed(tmp_path)
    assert content["counted_readers"] == ["A", "B", "C"]
    assert content["num_cases"] == {"real": 6, "synthetic": 6}
    assert (tmp_path / "figures/roc.png").is_file() and (tmp_path / "figures/fooled.png").is_file()


def test_without_answers_the_statistics_are_absent_with_the_reason(tmp_path: Path):
    study(tmp_path)
    assert "no reader study has been held yet" in analysed(tmp_path)["absent"]
    assert list((tmp_path / "figures").iterdir()) == []


@pytest.mark.parametrize("text", ["reader,case,answer\n", "reader,case,answer", "\n", ""])
def test_an_export_before_the_first_answer_is_no_study_yet(tmp_path: Path, text: str):
    study(tmp_path)
    (tmp_path / "readings/readings.csv").write_text(text)
    assert "nobody has answered yet" in analysed(tmp_path)["absent"]


def test_answers_to_the_cases_of_another_draw_are_not_analysed(tmp_path: Path):
    study(tmp_path)
    write_readings(tmp_path, [*CASES[:10], "case-of-another-draw"])
    assert "1 of 11 cases are not in" in analysed(tmp_path)["absent"]
