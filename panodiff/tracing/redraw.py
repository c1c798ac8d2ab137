"""`panodiff redraw`: one synthetic image made again from its row, and compared with the one that is there."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panodiff.audit.run import Record, Run, record_path
from panodiff.checkpoint import model_sha256
from panodiff.files import hash_file
from panodiff.images import read_grey, read_text_chunks
from panodiff.params import SampleParams, UpscaleParams

LOW, HIGH = "data/synthetic/low", "data/synthetic/high"
_DIFFUSION, _SUPERRES = (
    ("panodiff:diffusion_model_sha256", "data/models/diffusion"),
    ("panodiff:superres_model_sha256", "data/models/superres"),
)
_NAMED = {LOW: (_DIFFUSION,), HIGH: (_DIFFUSION, _SUPERRES)}  # models that a picture of each folder names


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An image that was made again beside the one that is there."""

    path: str
    same_bytes: bool
    num_pixels: int | None  # that differ; None where the two are not of one size
    num_greys: int | None  # by which a pixel differs at most


@dataclass(frozen=True, kw_only=True)
class Redrawn:
    """Both resolutions of one synthetic image."""

    name: str
    low: Comparison
    high: Comparison

    @property
    def same(self) -> bool:
        """Whether all bytes are equal."""
        return self.low.same_bytes and self.high.same_bytes


def redraw(name: str, run: Run, out: Path | None = None) -> Redrawn:
    """Make the synthetic image `name` again, with the parameters of its records; nothing of the run is written to.

    The last bits of a network's output depend on which images share a batch and on the number of threads, so the
    batch is the one that the stage drew it in. On another kind of processor a grey may differ here and there.

    Args:
        name: Its id, such as synthetic-000000.
        run: The run that drew it.
        out: Where to put the two images that were made, in the folders low and high; None: nowhere.

    Raises:
        ValueError: There is no such image or no record of its stages, or the models are not those that it names.
    """
    if out and out.resolve().is_relative_to((run.root / "data").resolve()):
        raise ValueError(f"the images must not be written into the run's own data, got {out}: give another folder")
    rows = _rows(run.root / LOW / "rows.csv")
    row = _row(rows, name)
    records = {stage: _record(run, stage) for stage in ("sample", "upscale")}
    _check_models(run.root, LOW, name)
    _check_models(run.root, HIGH, name)
    with tempfile.TemporaryDirectory(prefix="panodiff-redraw-") as aside:
        low, high = Path(aside) / "low", Path(aside) / "high"
        _draw(run, records["sample"], row, len(rows), low)
        _enlarge(run, records["upscale"], name, drawn=low, out=high)
        if out:
            _keep(low / f"{name}.png", out / "low")
            _keep(high / f"{name}.png", out / "high")
        return Redrawn(name=name, low=_compare(run, LOW, low, name), high=_compare(run, HIGH, high, name))


def as_lines(redrawn: Redrawn) -> list[str]:
    """For a terminal."""
    return [f"{found.path}: {_told(found)}" for found in (redrawn.low, redrawn.high)]


def _told(found: Comparison) -> str:
    if found.same_bytes:
        return "the same bytes"
    if found.num_pixels is None:
        return "another size"
    if found.num_pixels == 0:
        return "the same pixels, other bytes (text chunks or encoding)"
    return f"differing pixels: {found.num_pixels}, by {found.num_greys} greys at most"


def _rows(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"{path} is missing: `dvc repro sample`, or `dvc checkout`, puts the synthetic images there")
    return pd.read_csv(path)


def _row(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    found = rows[rows["id"] == name].to_dict("records")
    if not found:
        raise ValueError(
            f"the name of a synthetic image must be one of {LOW}/rows.csv, from {rows['id'].iloc[0]} to "
            f"{rows['id'].iloc[-1]}, got {name}"
        )
    return {str(key): value for key, value in found[0].items()}


def _record(run: Run, stage: str) -> Record:
    if stage not in run.records:
        raise ValueError(
            f"{record_path(stage)} must be there, for the parameters that the image was made with: `dvc checkout`, "
            f"or `dvc repro {stage}`"
        )
    return run.records[stage]


def _check_models(root: Path, folder: str, name: str) -> None:
    """The models in data/models are those that the picture names."""
    picture = root / folder / f"{name}.png"
    try:
        said = read_text_chunks(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{picture} must be a PNG, but {error}: `dvc checkout` restores it") from None
    for key, model in _NAMED[folder]:
        if not (root / model / "model.safetensors").is_file():
            raise ValueError(f"{model} must hold the model that drew {picture.name}, but is missing: `dvc checkout`")
        found = model_sha256(root / model)
        if said.get(key) != found:
            raise ValueError(
                f"{model} must hold the model that drew {folder}/{picture.name}, {said.get(key)} as it says, "
                f"but holds {found}: check out the commit of that run, then `dvc checkout`"
            )


def _set_threads(record: Record) -> None:
    import torch  # noqa: PLC0415

    from panodiff.launch import start_torch  # noqa: PLC0415

    start_torch()
    torch.set_num_threads(record["environment"]["torch"]["threads"])


def _draw(run: Run, record: Record, row: dict[str, Any], num_images: int, out: Path) -> None:
    from panodiff.sampling.sample import Painter  # noqa: PLC0415
    from panodiff.sampling.shards import batch_of  # noqa: PLC0415

    _set_threads(record)
    params = SampleParams.model_validate(record["resolved_params"]["sample"], strict=False)
    batch = batch_of(
        int(row["index"]), num_images=num_images, shard_size=params.shard_size, batch_size=params.batch_size
    )
    Painter(params, int(row["seed"]), run.root / _DIFFUSION[1]).draw(batch, out)


def _enlarge(run: Run, record: Record, name: str, *, drawn: Path, out: Path) -> None:
    """The image beside those that shared its batch, which are taken as they lie in the run."""
    from panodiff.sampling.shards import batch_of  # noqa: PLC0415
    from panodiff.sampling.upscale import Enlarger  # noqa: PLC0415

    _set_threads(record)
    params = UpscaleParams.model_validate(record["resolved_params"]["upscale"], strict=False)
    ids = list(_rows(run.root / LOW / "rows.csv")["id"])
    at = ids.index(name)
    batch = batch_of(at, num_images=len(ids), shard_size=params.shard_size, batch_size=params.batch_size)
    folders = {other: drawn if other == at else run.root / LOW for other in batch}
    paths = [folder / f"{ids[other]}.png" for other, folder in folders.items()]
    Enlarger(params, run.root / _SUPERRES[1]).enlarge(paths, out)


def _keep(image: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image, folder / image.name)


def _compare(run: Run, folder: str, made: Path, name: str) -> Comparison:
    there, again = run.root / folder / f"{name}.png", made / f"{name}.png"
    pixels, anew = read_grey(there).astype(int), read_grey(again).astype(int)
    same_size = pixels.shape == anew.shape
    differences = np.abs(pixels - anew) if same_size else None
    return Comparison(
        path=f"{folder}/{name}.png",
        same_bytes=hash_file(there) == hash_file(again),
        num_pixels=None if differences is None else int((differences > 0).sum()),
        num_greys=None if differences is None else int(differences.max()),
    )
