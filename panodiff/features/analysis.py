"""The stage analyse_sources: maps of the sources as found, as harmonized, and with the synthetic images among them.

Sources that can be told apart teach the diffusion model their devices, not only anatomy: the paper shows it by t-SNE
(figure 1); panodiff.features.separability says how much, before and after harmonization. The encoder has learnt to
overlook framing and brightness; the pixels of a thumbnail, the second kind of features, show what it overlooks.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn

from panodiff import launch
from panodiff.features.embed import Features, embed
from panodiff.features.separability import SYNTHETIC, count_images, separability
from panodiff.files import write_csv, write_json
from panodiff.harmonize.exposure import to_8_bits
from panodiff.images import Grey, lanczos, read_grey, to_unit
from panodiff.manifest import kept
from panodiff.params import AnalyseSourcesParams, Params
from panodiff.params_data import SourceParams
from panodiff.progress import track
from panodiff.randomness import derived_seed, numpy_generator
from panodiff.sources.decoding import decode
from panodiff.sources.raw import opened

BATCH_SIZE = 32  # images at once; features do not depend on it
NO_LIMIT = sys.maxsize  # ingestion has held the image against ingest.max_pixels
THUMBNAIL = (16, 32)
COLUMNS = ["map", "id", "source", "split", "x", "y"]


@dataclass(frozen=True, kw_only=True)
class Map:
    """Images to be shown together: their features (N, D) by kind, and id, source, group and split of each."""

    features: Mapping[str, Features]
    rows: pd.DataFrame


class Thumbnail(nn.Module):
    """The image itself, so small that frames, bars, markers and exposure are what is left of it."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, 512) of grey images `x` (B, 1, H, W): area averages, row by row."""
        return F.adaptive_avg_pool2d(x, THUMBNAIL).flatten(1)


def draw_images(corpus: pd.DataFrame, images_per_source: int, seed: int) -> pd.DataFrame:
    """At most `images_per_source` kept rows a source, of any split, ordered by source and id.

    Raises:
        ValueError: Fewer than four images are left: too few for a map. Or a source is called as what was drawn is.
    """
    drawn = []
    for source, rows in corpus[corpus["status"] == "kept"].sort_values("id").groupby("source"):
        drawn.append(_draw(rows, images_per_source, seed, str(source)))
    if sum(map(len, drawn)) < 4:
        raise ValueError(f"a map of the sources needs at least 4 images, got {sum(map(len, drawn))}")
    found = pd.concat(drawn, ignore_index=True)
    if SYNTHETIC in set(found["source"]):
        raise ValueError(f"sources must not hold {SYNTHETIC}, the name of the images drawn here: rename that folder")
    return found


def draw_synthetic(folder: Path, count: int, seed: int) -> pd.DataFrame:
    """At most `count` of the images of `folder`/rows.csv, ordered by id, each a group of its own."""
    ids = pd.read_csv(folder / "rows.csv", usecols=["id"], dtype="string").sort_values("id")
    rows = _draw(ids, count, seed, SYNTHETIC)
    paths = [str(folder / f"{name}.png") for name in rows["id"]]
    return rows.assign(source=SYNTHETIC, group=rows["id"], split="", high_path=paths)


def _draw(rows: pd.DataFrame, count: int, seed: int, source: str) -> pd.DataFrame:
    chosen = numpy_generator(seed, f"analyse_sources/{source}").choice(len(rows), min(count, len(rows)), replace=False)
    return rows.iloc[np.sort(chosen)]


def make_maps(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    encoder: nn.Module,
    *,
    raw: Path,
    sources: Mapping[str, SourceParams],
    device: torch.device,
) -> dict[str, Map]:
    """The same `real` images before and after harmonization, and the latter with the synthetic ones.

    Args:
        real: Rows of the manifest.
        synthetic: Rows of `draw_synthetic`.
        encoder: Maps (B, 1, H, W) in [0, 1] to (B, D); it has learnt from harmonized images.
        raw: The folder that holds those of the sources.
        sources: How each is brought to 8 bits.
        device: Where the encoder is.
    """
    networks = {"encoder": encoder, "pixels": Thumbnail()}
    after, drawn = (
        embed(
            [Path(path) for path in paths], networks, batch_size=BATCH_SIZE, device=device, what=f"features of {what}"
        )
        for paths, what in ((real["high_path"], "harmonized images"), (synthetic["high_path"], "synthetic images"))
    )
    height, width = read_grey(Path(real["high_path"].iloc[0])).shape
    images = track(read_as_found(real, raw, sources, (height, width)), len(real), "features of files as found")
    both = {name: np.concatenate([after[name], drawn[name]]) for name in networks}
    return {
        "before": Map(features=embed_images(images, networks, device), rows=real),
        "after": Map(features=after, rows=real),
        "with_synthetic": Map(features=both, rows=pd.concat([real, synthetic], join="inner", ignore_index=True)),
    }


def read_as_found(
    rows: pd.DataFrame, raw: Path, sources: Mapping[str, SourceParams], size: tuple[int, int]
) -> Iterator[Grey]:
    """The files of `rows`, in which those of a source stand together, in their order, squashed whole to `size` (H, W).

    Not turned, cut or inverted; files of more than 8 bits by the window of their source, since they must be shown
    somehow. Threads decode a few images ahead of the one that is taken.
    """
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        for source, of_source in rows.groupby("source", sort=False):
            with opened(raw / str(source)) as files:
                waiting: deque[Future[Grey]] = deque()
                for path in of_source["path"]:
                    waiting.append(pool.submit(_squash, files.read(path), sources[str(source)], size))
                    if len(waiting) > 2 * launch.num_workers():
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()


def _squash(data: bytes, source: SourceParams, size: tuple[int, int]) -> Grey:
    grey, _ = to_8_bits(decode(data, NO_LIMIT).image, source.window)
    return lanczos(grey, size)


def embed_images(
    images: Iterable[Grey], networks: Mapping[str, nn.Module], device: torch.device
) -> dict[str, Features]:
    """Features (N, D), float32, by network, of images of one size; a batch of them in memory at a time."""
    found: dict[str, list[Features]] = {name: [] for name in networks}
    left = iter(images)
    with torch.inference_mode():
        while batch := list(islice(left, BATCH_SIZE)):
            x = to_unit(np.stack(batch)).to(device)
            for name, network in networks.items():
                found[name].append(network(x).float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def project(features: Features, params: AnalyseSourcesParams, seed: int) -> tuple[Features, dict[str, Any]]:
    """t-SNE (van der Maaten & Hinton 2008) of the leading principal components: points (N, 2), and what was used.

    The perplexity is at most (N - 1) / 3: more neighbours than that are no neighbourhood. One thread only: the order
    of sums, and with it the map, would change with the number of cores.
    """
    count, dim = features.shape
    pca_dims = min(params.pca_dims, dim, count - 1)
    perplexity = min(params.perplexity, (count - 1) / 3)
    with threadpool_limits(limits=1):
        components = PCA(n_components=pca_dims, svd_solver="full").fit_transform(features)
        random_state = derived_seed(seed, "analyse_sources/tsne") % 2**32
        points = TSNE(perplexity=perplexity, init="pca", random_state=random_state).fit_transform(components)
    asked = {"pca_dims": params.pca_dims, "perplexity": params.perplexity}
    return points.astype(np.float64), {"pca_dims": pca_dims, "perplexity": perplexity, "asked": asked}


def write_analysis(maps: Mapping[str, Map], corpus: pd.DataFrame, params: Params, out: Path) -> None:
    """Write `out`/tsne.csv and separability.json; the synthetic images were learnt from the train split of `corpus`."""
    section = params.analyse_sources
    learnt_from = kept(corpus, "train")["source"].value_counts(normalize=True)
    shares = {str(source): float(share) for source, share in learnt_from.items()}
    table: list[dict[str, Any]] = []
    measured: dict[str, Any] = {}
    for name, shown in maps.items():
        points, tsne = project(shown.features["encoder"], section, params.seed)
        table += [
            {"map": name, "id": row.id, "source": row.source, "split": row.split, "x": f"{x:.6g}", "y": f"{y:.6g}"}
            for row, (x, y) in zip(shown.rows.itertuples(), points, strict=True)
        ]
        told = {
            kind: separability(features, shown.rows, section.num_neighbours, shares)
            for kind, features in shown.features.items()
        }
        measured[name] = count_images(shown.rows) | told | {"tsne": tsne}
    write_csv(out / "tsne.csv", COLUMNS, table)
    content = {"profile": params.profile, "num_neighbours": section.num_neighbours, "maps": measured}
    write_json(out / "separability.json", content)
