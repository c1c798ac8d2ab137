"""`panodiff trace`: where a picture comes from, told from its own bytes, the tables of the run and the records.

A picture is known by its bytes, wherever it lies: a synthetic one by its text chunks and its SHA-256, a harmonized or
a raw one by its SHA-256 or its place.
"""

from pathlib import Path

from panodiff.audit.run import Run
from panodiff.images import read_text_chunks
from panodiff.tracing.lines import as_lines
from panodiff.tracing.radiograph import find, of_radiograph
from panodiff.tracing.synthetic import PREFIX, of_synthetic, place_of


def trace(image: Path, run: Run) -> list[str]:
    """Lines for a terminal, in sections: what the picture is, and all that it comes from.

    Raises:
        ValueError: There is no such file, the run neither made nor read it, or params.yaml is of another run.
    """
    if not image.is_file():
        raise ValueError(f"the image to trace must be a file, got {image}: give the path of a PNG or of a raw file")
    _check_profile(run)
    chunks = read_chunks(image)
    if place_of(image, run) or any(key.startswith(PREFIX) for key in chunks):
        return as_lines(of_synthetic(image, chunks, run))
    found = find(image, run)
    if found is None:
        raise ValueError(
            f"{image} must be a synthetic PNG that this pipeline wrote (with its text chunks), or a harmonized or raw "
            f"image of this run: it has no such chunks, and neither its bytes nor its place are in the run below "
            f"{run.root.resolve()}. Was it drawn, or harmonized, by another commit? Check that out, then `dvc checkout`"
        )
    return as_lines(of_radiograph(image, found, run))


def read_chunks(image: Path) -> dict[str, str]:
    """The text chunks of a PNG; none of a file that is no image: a raw file may still be known by its hash."""
    try:
        return read_text_chunks(image)
    except (OSError, SyntaxError, ValueError):
        return {}


def _check_profile(run: Run) -> None:
    """Terms and places of raw files go by the profile: with another one, patients would pass for drawn phantoms."""
    ran = run.records["split"]["profile"] if "split" in run.records else run.params.profile
    if ran != run.params.profile:
        raise ValueError(
            f"params.yaml must have the profile of the run that is there ({ran}, as metrics/provenance/split.json "
            f"says), got {run.params.profile}: set `profile: {ran}`, or run `dvc repro`"
        )
