"""The stage harmonize: all kept radiographs of one source at both resolutions."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from panodiff import launch
from panodiff.harmonize.contact import MAX_REJECTED, as_it_is, spread_over, write_contact_sheet
from panodiff.harmonize.quality import find_flags
from panodiff.harmonize.transform import Harmonized, harmonize_image
from panodiff.images import Grey, encode_grey
from panodiff.manifest import FIELDS, read_manifest, write_manifest
from panodiff.params_data import HarmonizeParams, QualityParams, SourceParams
from panodiff.progress import track
from panodiff.sources import UnusableError
from panodiff.sources.decoding import decode
from panodiff.sources.raw import RawFolder, opened

NO_LIMIT = 2**62  # ingestion has held the image against ingest.max_pixels


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker needs besides the image's row."""

    raw: RawFolder
    out: Path
    source: SourceParams
    target: HarmonizeParams
    quality: QualityParams


def harmonize_source(
    raw: Path,
    manifest: Path,
    out: Path,
    *,
    source: SourceParams,
    target: HarmonizeParams,
    quality: QualityParams,
    final: str,
    check_stop: Callable[[], None],
) -> None:
    """Write `high/<id>.png`, `low/<id>.png`, rows.csv, FIELDS and contact.jpg to `out`.

    Args:
        raw: The source's folder.
        manifest: Its rows, from ingestion.
        out: A new folder.
        source: How its files become upright, dark-air, border-free radiographs.
        target: The two resolutions.
        quality: Limits beyond which an image is flagged or rejected.
        final: Where `out` will stand; the paths in rows.csv begin with it.
        check_stop: Raises where the stage has been asked to stop.
    """
    rows = read_manifest(manifest)
    kept = rows.index[rows["status"] == "kept"]
    (out / "high").mkdir(parents=True)
    (out / "low").mkdir()
    with opened(raw) as files, (out / FIELDS).open("wb") as fields:
        task = Task(raw=files, out=out, source=source, target=target, quality=quality)
        shown = spread_over(len(kept))
        columns = [rows.loc[kept, name] for name in ("id", "path", "frames")]
        work = [(*row, number in shown) for number, row in enumerate(zip(*columns, strict=True))]
        done = launch.spread(partial(_harmonize_file, task=task), work)
        filled: dict[Any, dict[str, Any]] = {}
        pictures: dict[Any, Grey] = {}
        num_rejected = 0
        for index, (facts, field, picture) in zip(kept, track(done, len(work), f"harmonizing {final}"), strict=True):
            check_stop()
            filled[index] = facts
            fields.write(field)
            num_rejected += picture is not None and "status" in facts
            if picture is not None and ("status" not in facts or num_rejected <= MAX_REJECTED):
                pictures[index] = picture
        for column in sorted({column for facts in filled.values() for column in facts}):
            values = {index: facts[column] for index, facts in filled.items() if column in facts}
            rows.loc[list(values), column] = list(values.values())
        harmonized = rows.loc[kept][rows.loc[kept, "status"] == "kept"]
        for resolution in ("high", "low"):
            paths = f"{final}/{resolution}/" + harmonized["id"] + ".png"
            rows.loc[harmonized.index, f"{resolution}_path"] = paths
    write_contact_sheet(out, rows, pictures)
    write_manifest(out / "rows.csv", rows)
    os.sync()  # once for all pictures: to wait for the disk at each one takes longer than to make it


def _harmonize_file(named: tuple[str, str, int, bool], *, task: Task) -> tuple[dict[str, Any], bytes, Grey | None]:
    """Write both images of one file.

    Returns:
        The columns that this fills in its row, the field for FIELDS, and the picture for the contact sheet.
    """
    name, path, frames, is_shown = named
    cv2.setNumThreads(1)  # the files are spread over the processes
    try:
        image = decode(task.raw.read(path), NO_LIMIT).image
        result = harmonize_image(image, task.source, task.target)
    except (UnusableError, ValueError) as error:
        return {"status": "rejected", "reason": str(error)}, b"", None
    flags = find_flags(
        result.measures,
        task.quality,
        enlarged=result.crop.height < task.target.high_size[0],
        frames=frames,
        polarity=result.polarity,
    )
    facts = _facts(result) | {"flags": " ".join(flags) or None}
    if against := [flag for flag in flags if flag in task.quality.reject]:
        picture = as_it_is(image, task.source)
        return facts | {"status": "rejected", "reason": f"{against[0]} (quality)"}, b"", picture
    (task.out / "high" / f"{name}.png").write_bytes(encode_grey(result.high))
    (task.out / "low" / f"{name}.png").write_bytes(encode_grey(result.low))
    return facts, result.field.tobytes(), as_it_is(image, task.source) if is_shown else None


def _facts(result: Harmonized) -> dict[str, Any]:
    """The columns that say what was done to an image."""
    facts: dict[str, Any] = {f"crop_{side}": value for side, value in asdict(result.crop).items()}
    if result.window:
        facts |= {"window_low": result.window[0], "window_high": result.window[1]}
    return facts | {"rotation_deg": round(result.rotation_deg, 3), "inverted": int(result.inverted)}
