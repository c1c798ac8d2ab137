"""CLAIM.md: the items of two reporting checklists, each with the file and key of the deposit that answers it.

CLAIM 2024 update: Tejani et al., Radiology: Artificial Intelligence 2024, doi:10.1148/ryai.240300. MI-CLAIM-GEN: Miao
et al. 2024, arXiv 2403.02558. The items stand in checklists.yaml.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from panodiff.audit.run import Run
from panodiff.model_card import code
from panodiff.publishing.cards import cell, render
from panodiff.report.numbers import Absent, number, shown

_CHECKLISTS = Path(__file__).with_name("checklists.yaml")
_LONGEST = 48  # letters of a value that the table shows


class Item(BaseModel):
    """One item of a checklist; what its fields mean stands in checklists.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: str
    name: str
    where: dict[str, tuple[str, ...]] = {}
    perhaps: dict[str, tuple[str, ...]] = {}
    said: str = ""
    author: str = ""


def read_checklists() -> dict[str, list[Item]]:
    """The items of each checklist, by its name."""
    lists = yaml.safe_load(_CHECKLISTS.read_text(encoding="utf-8"))
    return {name: [Item.model_validate(entry) for entry in entries] for name, entries in lists.items()}


def write_claim(run: Run, folder: Path) -> None:
    """Write CLAIM.md of the deposit in `folder`, which holds all that it points to already."""
    source = run.params.sources[0]
    tables = {
        name: [line for item in items for line in _lines(item, folder, source)]
        for name, items in read_checklists().items()
    }
    (folder / "CLAIM.md").write_text(render("claim.md.j2", tables=tables), encoding="utf-8")


def _lines(item: Item, folder: Path, source: str) -> Iterator[tuple[str, str, str, str]]:
    """The lines of the table for one item: number and name (on the first alone), where it is answered, the value."""
    answers = [(_pointer(*place), cell(short(value))) for place, value in _found(item, folder, source)]
    answers += [(cell(item.said), "")] if item.said else []
    answers += [(f"**for the author:** {cell(item.author)}", "")] if item.author else []
    for index, answer in enumerate(answers):
        yield (item.number, cell(item.name), *answer) if index == 0 else ("", "", *answer)


def _found(item: Item, folder: Path, source: str) -> Iterator[tuple[tuple[str, str], Any]]:
    for place in _places(item.where, source):
        yield place, look_up(folder, *place)
    for place in _places(item.perhaps, source):
        try:
            yield place, look_up(folder, *place)
        except ValueError:
            continue


def _pointer(name: str, key: str) -> str:
    return code(f"{name}: {key}" if key else name)


def _places(where: Mapping[str, tuple[str, ...]], source: str) -> Iterator[tuple[str, str]]:
    for name, keys in where.items():
        for key in keys or ("",):
            yield name.format(source=source), key


def look_up(folder: Path, name: str, key: str) -> Any:
    """What stands in a file of the deposit at `key`: a value of JSON or YAML; None where there is no value to show.

    Raises:
        ValueError: The folder has no such file, or the file no such key.
    """
    path = folder / name
    if not path.is_file():
        raise ValueError(f"the deposit has no {name}, to which CLAIM.md points")
    if not key:
        return None
    text = path.read_text(encoding="utf-8")
    value: Any = None
    if path.suffix == ".csv":
        is_there = key in next(csv.reader(text.splitlines()))
    elif path.suffix == ".md":
        is_there = re.search(rf"^#+ {re.escape(key)}$", text, re.MULTILINE) is not None
    else:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        is_there, value = _at(content, key)
        if is_there and name == "metrics/evaluation.json":
            value = _measured(content, key, value)
    if not is_there:
        raise ValueError(f"{name} of the deposit has no {key}, to which CLAIM.md points")
    return value


def _at(content: Any, key: str) -> tuple[bool, Any]:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return False, None
        content = content[part]
    return True, content


def _measured(evaluation: Mapping[str, Any], key: str, value: Any) -> Any:
    """A measured number with its interval, as the report prints it; what is no number as it is."""
    if isinstance(value, Mapping) and not {"value", "unbiased", "mean", "share"} & value.keys():
        return value
    printed = shown(evaluation, key)
    return value if isinstance(printed, Absent) else printed


def short(value: Any) -> str:
    """A value that fits into a cell, else nothing."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int | float):
        text = number(value)
    elif isinstance(value, list | tuple) and not any(isinstance(part, list | dict) for part in value):
        text = ", ".join(map(str, value))
    elif isinstance(value, Mapping) and not any(isinstance(part, list | dict) for part in value.values()):
        text = ", ".join(f"{name} {part}" for name, part in value.items())
    else:
        text = ""
    return text if len(text) <= _LONGEST else ""
