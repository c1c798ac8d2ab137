"""Answers and labels as files bring them (our own export, or the published columns), and the study they make up."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from panodiff.study.analysis.scores import SCORES
from panodiff.study.levels import LABELS, LEVELS, READING_COLUMNS

_ANSWER_COLUMNS = {"reader": "User Name", "case": "File", "answer": "RealFakeValueSlider"}  # own: published
_LABEL_COLUMNS = {"case": "Filename", "label": "Label"}
_MORE_LABEL_COLUMNS = ("id", "warm_up")  # of key.csv
_LABEL_WORDS = {label: label for label in LABELS} | {"fake": "synthetic"}
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_NUMBERS = ("position", "viewing_s", "response_s")
FULL_SHARE = 0.9  # of the cases, that a reader must have read to count among all readers


class _Row(NamedTuple):
    at: str  # file and line, as a message names them
    cells: dict[str, str]


def read_answers(answers: Path, labels: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The readings, with those of READING_COLUMNS that the file has, and the labels: case, label and, if given, id.

    Raises:
        ValueError: What must hold in the files, with the file, the line and the value that breaks it.
    """
    truth, warm_up = _read_labels(labels)
    rows = _rows(answers, _ANSWER_COLUMNS, READING_COLUMNS)
    readings = [_reading(row) for row in rows]
    known = set(truth["case"])
    first_at: dict[tuple[Any, ...], str] = {}
    groups: dict[str, str] = {}
    for row, reading in zip(rows, readings, strict=True):
        reader, case = reading["reader"], reading["case"]
        if case in warm_up:
            raise ValueError(
                f"{row.at}: answers to warm-up cases do not count, {case!r} is one by {labels}: leave it out"
            )
        if case not in known:
            raise ValueError(f"{row.at}: each case must have a label in {labels}, {case!r} has none")
        key = (reader, case, reading.get("repeat", 0))
        if key in first_at:
            raise ValueError(
                f"{row.at}: a reader must answer a case once, or once more with repeat = 1; "
                f"{reader!r} answered {case!r} before, at {first_at[key]}"
            )
        first_at[key] = row.at
        group = reading.get("group", "")
        if groups.setdefault(reader, group) != group:
            raise ValueError(f"{row.at}: a reader must stay in one group, {reader!r} was in {groups[reader]!r} before")
    for (reader, case, repeat), at in first_at.items():
        if repeat and (reader, case, 0) not in first_at:
            raise ValueError(f"{at}: a repeat must have a first reading, {reader!r} has none of {case!r}")
    return pd.DataFrame(readings), truth


def case_name(text: str) -> str:
    """The name of a case from that of its file: without its folder and without the suffix of an image, in any case."""
    name = PurePosixPath(text.strip().replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in _IMAGE_SUFFIXES else name


def _read_labels(path: Path) -> tuple[pd.DataFrame, set[str]]:
    """The labels of the cases that count, and the names of those of the warm-up."""
    first_at: dict[str, str] = {}
    found, warm_up = [], set()
    for at, cells in _rows(path, _LABEL_COLUMNS, (*_LABEL_COLUMNS, *_MORE_LABEL_COLUMNS)):
        case, word = case_name(cells["case"]), cells["label"].lower()
        if not case:
            raise ValueError(f"{at}: each label must name its case, this one is empty")
        if word not in _LABEL_WORDS:
            raise ValueError(f"{at}: a label must be one of {', '.join(_LABEL_WORDS)}, got {cells['label']!r}")
        if case in first_at:
            raise ValueError(
                f"{at}: a case must have one label, {case!r} has one at {first_at[case]} (folder and suffix do not "
                f"tell cases apart)"
            )
        first_at[case] = at
        if cells.get("warm_up") == "1":
            warm_up.add(case)
        else:
            found.append({"case": case, "label": _LABEL_WORDS[word]} | ({"id": cells["id"]} if "id" in cells else {}))
    return pd.DataFrame(found, columns=list(found[0]) if found else list(_LABEL_COLUMNS)), warm_up


def _reading(row: _Row) -> dict[str, Any]:
    """A row of the answers with its values checked, in the order of READING_COLUMNS."""
    at, cells = row
    answer = " ".join(cells["answer"].lower().split())
    if answer not in LEVELS:
        raise ValueError(f"{at}: an answer must be one of {', '.join(LEVELS)}, got {cells['answer']!r}")
    if not cells["reader"]:
        raise ValueError(f"{at}: each answer must name its reader, this one is empty")
    values: dict[str, Any] = cells | {"case": case_name(cells["case"]), "answer": answer}
    values |= {name: _number(cells[name], name, at) for name in _NUMBERS if name in cells}
    if "repeat" in cells:
        if cells["repeat"] not in ("", "0", "1", "0.0", "1.0"):  # as a table with empty cells is written by pandas
            raise ValueError(f"{at}: repeat must be 0, 1 or empty, got {cells['repeat']!r}")
        values["repeat"] = int(cells["repeat"].startswith("1"))
    return {name: values[name] for name in READING_COLUMNS if name in values}


def _number(text: str, name: str, at: str) -> float:
    """The number in a cell; not a number where the cell is empty."""
    try:
        value = float(text or math.nan)
    except ValueError:
        value = math.inf
    if value < 0 or math.isinf(value):
        raise ValueError(f"{at}: {name} must be a number from 0 on, or empty, got {text!r}")
    return value


def _rows(path: Path, columns: dict[str, str], own: Sequence[str]) -> list[_Row]:
    """The rows of a CSV that has the columns `columns`, of which those in `own` are read, or the published ones.

    Those get the names of `columns`, and no other column of such a file is read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except OSError as error:
        raise ValueError(f"{path} must be a file that can be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a CSV in UTF-8: {error}") from error
    if not any(header):
        raise ValueError(f"{path} must hold a table, it is empty")
    if set(columns.values()) <= set(header):
        taken = {published: name for name, published in columns.items()}
    elif set(columns) <= set(header):
        taken = {name: name for name in own}
    else:
        raise ValueError(
            f"{path} must have the columns {', '.join(columns)}, or as published {', '.join(columns.values())}; it has "
            f"{', '.join(header)}"
        )
    if twice := [name for name in taken if header.count(name) > 1]:
        raise ValueError(f"{path} must have one column {twice[0]}, it has {header.count(twice[0])}")
    if not lines:
        raise ValueError(f"{path} must hold at least one row below its header, it has none")
    for number, cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"{path}, line {number}: a row must have {len(header)} cells, it has {len(cells)}")
    return [
        _Row(
            f"{path}, line {number}",
            {taken[name]: cell.strip() for name, cell in zip(header, cells, strict=True) if name in taken},
        )
        for number, cells in lines
    ]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Readings with what their answers are worth: score, certainty, weighted (credit), label, synthetic."""

    first: pd.DataFrame  # first readings of all readers
    repeats: pd.DataFrame
    counted: list[str]  # readers who read at least FULL_SHARE of the cases
    left_out: dict[str, int]  # the other readers, and how many cases each read

    @property
    def of_counted(self) -> pd.DataFrame:
        """The first readings of the readers who count."""
        return self.first[self.first["reader"].isin(self.counted)]

    def crossed(self) -> pd.DataFrame:
        """Scores (readers × cases) of the cases that all counted readers read."""
        wide = self.of_counted.pivot(index="reader", columns="case", values="score")
        return wide.dropna(axis="columns")


def prepare(readings: pd.DataFrame, labels: pd.DataFrame) -> Study:
    """The study behind a table of readings (reader, case, answer, …) and one of labels (case, label).

    Raises:
        ValueError: A case has no label, or a reader read a case twice without `repeat`.
    """
    table = readings.merge(labels[["case", "label"]], on="case", how="left", validate="many_to_one")
    if table["label"].isna().any():
        raise ValueError(f"each case must have a label, {table['case'][table['label'].isna()].iloc[0]!r} has none")
    table["score"] = table["answer"].map(SCORES).astype(float)
    if table["score"].isna().any():
        wrong = table["answer"][table["score"].isna()].iloc[0]
        raise ValueError(f"an answer must be one of {', '.join(LEVELS)}, got {wrong!r}")
    table["certainty"] = table["answer"].str.split().str[0]
    table["synthetic"] = table["label"] == "synthetic"
    table["weighted"] = np.where(table["synthetic"], table["score"], 1 - table["score"])
    repeated = (table["repeat"] if "repeat" in table else pd.Series(0, table.index)).fillna(0).astype(int) == 1
    first = table[~repeated].sort_values(["reader", "case"], ignore_index=True)
    if first.duplicated(["reader", "case"]).any():
        raise ValueError("a reader must answer a case once, or once more with repeat = 1")
    num_read = first.groupby("reader").size()
    full = num_read >= FULL_SHARE * first["case"].nunique()
    return Study(
        first=first,
        repeats=table[repeated],
        counted=[str(reader) for reader in num_read.index[full]],
        left_out={str(reader): int(num) for reader, num in num_read[~full].items()},
    )
