"""The stage upscale: the synthetic radiographs at high resolution."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from panodiff import launch
from panodiff.checkpoint import model_sha256
from panodiff.files import hash_file, write_csv
from panodiff.images import from_unit, read_grey, read_text_chunks, to_unit, write_grey
from panodiff.params import UpscaleParams
from panodiff.sampling.shards import work_in_shards
from panodiff.sampling.tiles import enlarge_in_tiles
from panodiff.stage import Stage
from panodiff.superres.model import load_superres


def upscale(stage: Stage, model: Path, low: Path, out: Path) -> None:
    """Bring every image of `low` (PNGs and rows.csv) to high resolution with the model in `model`; write to `out`."""
    params = stage.params.upscale
    enlarger = Enlarger(params, model)
    rows = pd.read_csv(low / "rows.csv")
    ids = list(rows["id"])

    def enlarge(indices: list[int], folder: Path) -> None:
        for start in range(0, len(indices), params.batch_size):
            batch = indices[start : start + params.batch_size]
            enlarger.enlarge([low / f"{ids[index]}.png" for index in batch], folder)

    work_in_shards(stage, enlarge, num_images=len(ids), shard_size=params.shard_size, out=out, what="enlarging")
    if launch.rank() == 0:
        rows["low_sha256"] = rows["sha256"]
        rows["sha256"] = [hash_file(out / f"{name}.png") for name in ids]
        write_csv(out / "rows.csv", rows.columns, rows.to_dict("records"))


class Enlarger:
    """Brings batches of images to high resolution, and writes them with their text chunks."""

    def __init__(self, params: UpscaleParams, model: Path) -> None:
        self.params = params
        self.network = load_superres(model, launch.device())
        self.text = {"panodiff:superres_model_sha256": model_sha256(model)}

    @torch.inference_mode()
    def enlarge(self, paths: list[Path], folder: Path) -> None:
        """The images at `paths`, as one batch, to `folder` under the same names."""
        low_res = to_unit(np.stack([read_grey(path) for path in paths])).to(launch.device())
        for path, image in zip(paths, from_unit(self._enlarged(low_res)), strict=True):
            write_grey(folder / path.name, image, read_text_chunks(path) | self.text)

    def _enlarged(self, low_res: Tensor) -> Tensor:
        """(B, 1, H, W), about [0, 1], of `low_res` (B, 1, h, w) in [0, 1]."""
        if self.params.tile_size is None:
            whole: Tensor = self.network(low_res)
            return whole
        return enlarge_in_tiles(
            self.network,
            low_res,
            scale=self.network.scale,
            tile_size=self.params.tile_size,
            overlap=self.params.tile_overlap,
            window_size=self.network.hat.window_size,
        )
