"""`panodiff redraw`: one synthetic image made again from its row, and compared with the one that is there."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panodiff.audit.run import Run
from panodiff.checkpoint import model_sha256
from panodiff.files import hash_file
from panodiff.images import read_grey, read_text_chunks
from panodiff.params import SampleParams, UpscaleParams

LOW, HIGH = "data/synthetic/low", "data/synthetic/high"
_MODELS = {"diffusion_model_sha256": "data/models/diffusion", "superres_model_sha256": "data/models/superres"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An image that was made again beside the one that is there."""

    path: str
    same_bytes: bool
    num_pixels: int  # that differ
    num_greys: int  # by which a pixel differs at most


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


def redraw(name: str, run: Run) -> Redrawn:
    """Make the synthetic image `name` again, with the parameters of its records; nothing of the run is written to.

    The last bits of a network's output depend on which images share a batch and on the number of threads, so the
    batch is the one that the stage drew it in. On another kind of processor a grey may differ here and there.

    Raises:
        ValueError: There is no such image, or the models are not those that it names.
    """
    row = _row(run.root / LOW / "rows.csv", name)
    paths = {folder: run.root / folder / f"{name}.png" for folder in (LOW, HIGH)}
    _check_models(run.root, paths[HIGH])
    index, num_images = int(row["index"]), len(pd.read_csv(run.root / LOW / "rows.csv"))
    _set_threads(run)
    with tempfile.TemporaryDirectory(prefix="panodiff-redraw-") as folder:
        low, high = Path(folder) / "low", Path(folder) / "high"
        _draw(run, index, num_images, low)
        _enlarge(run, index, low, high)
        return Redrawn(
            name=name,
            low=_compare(paths[LOW], low / f"{name}.png", f"{LOW}/{name}.png"),
            high=_compare(paths[HIGH], high / f"{name}.png", f"{HIGH}/{name}.png"),
        )


def as_lines(redrawn: Redrawn) -> list[str]:
    """For a terminal."""
    return [
        f"{found.path}: "
        + (
            "the same bytes"
            if found.same_bytes
            else f"differing pixels: {found.num_pixels}, by {found.num_greys} greys at most"
            if found.num_pixels
            else "the same pixels, other bytes (text chunks or encoding)"
        )
        for found in (redrawn.low, redrawn.high)
    ]


def _row(path: Path, name: str) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is missing: `dvc repro sample`, or `dvc checkout`, puts the synthetic images there")
    rows = pd.read_csv(path)
    found = rows[rows["id"] == name].to_dict("records")
    if not found:
        raise ValueError(
            f"the name of a synthetic image must be one of {path}, from {rows['id'].iloc[0]} to {rows['id'].iloc[-1]}, "
            f"got {name}"
        )
    return {str(key): value for key, value in found[0].items()}


def _check_models(root: Path, picture: Path) -> None:
    """The models in data/models are those that the picture names."""
    if not picture.is_file():
        raise ValueError(f"{picture} is missing: `dvc checkout` restores it")
    said = read_text_chunks(picture)
    for key, folder in _MODELS.items():
        found = model_sha256(root / folder)
        if said.get(f"panodiff:{key}") != found:
            raise ValueError(
                f"{folder} must hold the model that drew {picture.name}, {said.get(f'panodiff:{key}')} as it says, "
                f"but holds {found}: check out the commit of that run, then `dvc checkout`"
            )


def _set_threads(run: Run) -> None:
    import torch  # noqa: PLC0415

    from panodiff.launch import start_torch  # noqa: PLC0415

    start_torch()
    torch.set_num_threads(run.records["sample"]["environment"]["torch"]["threads"])


def _draw(run: Run, index: int, num_images: int, out: Path) -> None:
    from panodiff.sampling.sample import Painter  # noqa: PLC0415
    from panodiff.sampling.shards import batch_of  # noqa: PLC0415

    resolved = run.records["sample"]["resolved_params"]
    params = SampleParams.model_validate(resolved["sample"], strict=False)
    batch = batch_of(index, num_images=num_images, shard_size=params.shard_size, batch_size=params.batch_size)
    Painter(params, resolved["seed"], run.root / "data/models/diffusion").draw(batch, out)


def _enlarge(run: Run, index: int, drawn: Path, out: Path) -> None:
    """The image beside those that shared its batch, which are taken as they lie in the run."""
    from panodiff.sampling.shards import batch_of  # noqa: PLC0415
    from panodiff.sampling.upscale import Enlarger  # noqa: PLC0415

    params = UpscaleParams.model_validate(run.records["upscale"]["resolved_params"]["upscale"], strict=False)
    ids = list(pd.read_csv(run.root / LOW / "rows.csv")["id"])
    batch = batch_of(index, num_images=len(ids), shard_size=params.shard_size, batch_size=params.batch_size)
    folders = {other: drawn if other == index else run.root / LOW for other in batch}
    paths = [folder / f"{ids[other]}.png" for other, folder in folders.items()]
    Enlarger(params, run.root / "data/models/superres").enlarge(paths, out)


def _compare(there: Path, again: Path, path: str) -> Comparison:
    differences = np.abs(read_grey(there).astype(int) - read_grey(again).astype(int))
    return Comparison(
        path=path,
        same_bytes=hash_file(there) == hash_file(again),
        num_pixels=int((differences > 0).sum()),
        num_greys=int(differences.max()),
    )
