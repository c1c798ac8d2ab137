"""The stage harmonize: all kept radiographs of one source at both resolutions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from panodiff import launch
from panodiff.harmonize.transform import harmonize_image
from panodiff.images import write_grey
from panodiff.manifest import read_manifest, write_manifest
from panodiff.params import HarmonizeParams, SourceParams
from panodiff.progress import track
from panodiff.sources.decoding import UnusableError, decode
from panodiff.sources.raw import RawFolder

FIELDS = "fields.u8"  # exposed fields of the kept rows, in their order: uint8 (N, *FIELD_SIZE) without a header


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker needs besides the image's row."""

    raw: Path
    out: Path
    source: SourceParams
    target: HarmonizeParams


def harmonize_source(task: Task, manifest: Path, final: str, check_stop: Callable[[], None]) -> None:
    """Write `high/<id>.png`, `low/<id>.png` and rows.csv to `task.out`; `final` is where that folder will stand."""
    rows = read_manifest(manifest)
    kept = rows.index[rows["status"] == "kept"]
    names = rows["id"].to_dict()
    work = list(zip(rows.loc[kept, "id"], rows.loc[kept, "path"], strict=True))
    (task.out / "high").mkdir(parents=True)
    (task.out / "low").mkdir()
    done = launch.spread(partial(_harmonize_file, task=task), work)
    with (task.out / FIELDS).open("wb") as fields:
        for index, (facts, field) in zip(kept, track(done, len(work), f"harmonizing {final}"), strict=True):
            check_stop()
            for column, value in facts.items():
                rows.at[index, column] = value
            if rows.at[index, "status"] == "kept":
                rows.at[index, "high_path"] = f"{final}/high/{names[index]}.png"
                rows.at[index, "low_path"] = f"{final}/low/{names[index]}.png"
                fields.write(field)
    write_manifest(task.out / "rows.csv", rows)


def _harmonize_file(named: tuple[str, str], *, task: Task) -> tuple[dict[str, Any], bytes]:
    """Write both images of one file; the columns that this fills in its row, and the field for FIELDS."""
    name, path = named
    try:
        image = decode(RawFolder(task.raw).read(path), max_pixels=2**62).image  # ingest has held it against the limit
        result = harmonize_image(image, task.source, task.target)
    except (UnusableError, ValueError) as error:
        return {"status": "rejected", "reason": str(error)}, b""
    write_grey(task.out / "high" / f"{name}.png", result.high)
    write_grey(task.out / "low" / f"{name}.png", result.low)
    crop = {f"crop_{side}": value for side, value in asdict(result.crop).items()}
    return crop | {"rotation_deg": 90 * task.source.quarter_turns}, result.field.tobytes()
