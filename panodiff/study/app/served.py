"""What readers may see of a study: the folder `served` that the stage study wrote, and nothing that tells a label.

Readers get bare pixels, not files: every picture is as many bytes, and takes as long, as every other.
"""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panodiff.images import read_grey

CASE_COLUMNS = ["case", "path", "warm_up"]
NEEDED = ("num_cases", "num_repeats", "break_every", "time_limit_s", "size")  # of study.json


@dataclass(frozen=True, kw_only=True)
class Served:
    """A study as it may be shown."""

    digest: str  # of rules, names and pixels: answers belong to it
    counted: tuple[str, ...]  # names of the cases, sorted
    warm_up: tuple[str, ...]
    num_repeats: int
    break_every: int  # counted cases from one break to the next, 0: none
    time_limit_s: float
    height: int
    width: int
    pixels: dict[str, bytes]  # of each case, height × width, row by row


def load_served(folder: Path) -> Served:
    """The study in `folder`, all pictures in memory.

    Raises:
        ValueError: Something is missing, is of another kind, or may tell what is real.
    """
    rules, rows = _read_rules(folder / "study.json"), _read_cases(folder / "cases.csv")
    _refuse_what_may_tell(folder, rows)
    height, width = rules["size"]
    pixels: dict[str, bytes] = {}
    for row in rows:
        image = read_grey(folder / row["path"])
        if image.shape != (height, width):
            raise ValueError(f"all cases must be {height}×{width} as study.json says, {row['path']} is {image.shape}")
        pixels[row["case"]] = image.tobytes()
    names = {kind: tuple(sorted(row["case"] for row in rows if row["warm_up"] == kind)) for kind in ("0", "1")}
    counted = names["0"]
    if len(counted) != rules["num_cases"]:
        raise ValueError(f"{folder} must hold {rules['num_cases']} cases as study.json says, got {len(counted)}")
    if rules["num_repeats"] > len(counted) // 2:
        raise ValueError(
            f"num_repeats must be at most half of the {len(counted)} cases, so that none comes twice in a row; "
            f"got {rules['num_repeats']}: set study.num_repeats and draw again"
        )
    return Served(
        digest=_digest(rules, rows, pixels),
        counted=counted,
        warm_up=names["1"],
        num_repeats=rules["num_repeats"],
        break_every=rules["break_every"],
        time_limit_s=rules["time_limit_s"],
        height=height,
        width=width,
        pixels=pixels,
    )


def _read_rules(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no study at {path.parent}: {path.name} is missing; `dvc repro study` draws one")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if missing := [name for name in NEEDED if name not in content]:
        raise ValueError(f"{path} must have {', '.join(NEEDED)}; {', '.join(missing)} missing: draw the study again")
    return {name: content[name] for name in NEEDED}


def _read_cases(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; `dvc repro study` draws the study")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != CASE_COLUMNS:
            raise ValueError(f"{path} must have the columns {CASE_COLUMNS} and no other, got {reader.fieldnames}")
        rows = list(reader)
    for row in rows:
        if row["path"] != f"cases/{row['case']}.png" or "/" in row["case"] or row["warm_up"] not in ("0", "1"):
            raise ValueError(f"{path}: a row must be case, cases/<case>.png and 0 or 1, got {', '.join(row.values())}")
    if len({row["case"] for row in rows}) != len(rows):
        raise ValueError(f"{path}: a case stands there twice")
    return rows


def _refuse_what_may_tell(folder: Path, rows: list[dict[str, str]]) -> None:
    """Raise if there is any file but those that are known to tell nothing, such as the key."""
    expected = {"cases.csv", "study.json", *(row["path"] for row in rows)}
    entries = [path for path in folder.rglob("*") if path.name != ".DS_Store"]  # which macOS makes again and again
    found = {path.relative_to(folder).as_posix() for path in entries if path.is_symlink() or not path.is_dir()}
    if others := sorted(found - expected):
        raise ValueError(
            f"{folder} must hold nothing but cases.csv, study.json and the cases; {others[0]} may tell readers which "
            "are real: move it out of the folder"
        )
    if missing := sorted(expected - found):
        raise ValueError(f"{folder / missing[0]} is missing: draw the study again")


def _digest(rules: dict[str, Any], rows: list[dict[str, str]], pixels: dict[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
    for case, warm_up in sorted((row["case"], row["warm_up"]) for row in rows):
        digest.update(f"{case}/{warm_up}/{hashlib.sha256(pixels[case]).hexdigest()}\n".encode())
    return digest.hexdigest()
