"""The stage analyse_sources: a map of the five sources, and how well a source can be told from the features alone.

Sources that can be told apart teach the diffusion model their devices, not only anatomy: the paper shows it by t-SNE
(figure 1); a classifier that needs no training, beside chance, says how much.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances, silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from panodiff.features.embed import Features
from panodiff.files import write_csv, write_json, written_whole
from panodiff.params import AnalyseSourcesParams, Params
from panodiff.randomness import derived_seed, numpy_generator

# Okabe & Ito's palette, told apart by colour-blind readers; markers differ as well.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw_images(corpus: pd.DataFrame, images_per_source: int, seed: int) -> pd.DataFrame:
    """At most `images_per_source` kept rows a source, of any split, ordered by source and id.

    Raises:
        ValueError: Fewer than four images are left: too few for a map.
    """
    drawn = []
    for source, rows in corpus[corpus["status"] == "kept"].sort_values("id").groupby("source"):
        generator = numpy_generator(seed, f"analyse_sources/{source}")
        chosen = generator.choice(len(rows), size=min(images_per_source, len(rows)), replace=False)
        drawn.append(rows.iloc[np.sort(chosen)])
    if sum(map(len, drawn)) < 4:
        raise ValueError(f"a map of the sources needs at least 4 images, got {sum(map(len, drawn))}")
    return pd.concat(drawn, ignore_index=True)


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


def guess_sources(
    features: Features, sources: NDArray[np.object_], groups: NDArray[np.object_], num_neighbours: int
) -> NDArray[np.object_]:
    """The source of each image (N,), by vote of its nearest neighbours outside its own duplicate group.

    Euclidean distance; where votes are equal, the source of the nearest of the tied neighbours. None where an image
    has no neighbour outside its group.
    """
    distances = pairwise_distances(features)  # (N, N)
    distances[groups[:, None] == groups[None, :]] = np.inf  # the image itself included
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbours]
    reachable = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
    guesses = np.full(len(features), None, dtype=object)
    for row in np.flatnonzero(reachable.any(axis=1)):
        # Counter keeps the order in which it met the sources, nearest first, among equal counts.
        guesses[row] = Counter(sources[nearest[row, reachable[row]]]).most_common(1)[0][0]
    return guesses


def separability(features: Features, rows: pd.DataFrame, num_neighbours: int) -> dict[str, Any]:
    """How well the source of an image can be told: kNN accuracy beside chance, and the silhouette of the sources.

    Chance is the share of the largest source: what a guess that ignores the image gets. The silhouette (Rousseeuw
    1987), in [-1, 1], needs two sources and is None otherwise.
    """
    sources, groups = rows["source"].to_numpy(dtype=object), rows["group"].to_numpy(dtype=object)
    right = guess_sources(features, sources, groups, num_neighbours) == sources
    counts = rows["source"].value_counts().sort_index()
    apart = 1 < len(counts) < len(rows)
    return {
        "num_images": len(rows),
        "num_neighbours": num_neighbours,
        "knn_accuracy": _rounded(right.mean()),
        "chance": _rounded(counts.max() / len(rows)),
        "silhouette": _rounded(silhouette_score(features, sources)) if apart else None,
        "sources": {
            source: {"num_images": int(count), "knn_accuracy": _rounded(right[sources == source].mean())}
            for source, count in counts.items()
        },
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def draw_figure(points: Features, sources: NDArray[np.object_], path: Path) -> None:
    """A PNG 1000 pixels wide: one dot an image, colour and marker by source; the same bytes for the same points."""
    figure = Figure(figsize=(10, 7.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for index, source in enumerate(sorted(set(sources))):
        x, y = points[sources == source].T
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
        axes.scatter(x, y, s=34, c=colour, marker=marker, alpha=0.75, linewidths=0, label=f"{source} ({len(x)})")
    axes.set(xticks=[], yticks=[], title="Radiographs by source: t-SNE of encoder features")
    axes.title.set_fontsize(16)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=14, markerscale=1.6)
    FigureCanvasAgg(figure)
    with written_whole(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})


def write_analysis(features: Features, rows: pd.DataFrame, params: Params, out: Path) -> None:
    """Write `out`/tsne.csv, tsne.png and separability.json for the `features` (N, D) of the manifest's `rows`."""
    section = params.analyse_sources
    points, tsne = project(features, section, params.seed)
    table = [
        {"id": row.id, "source": row.source, "split": row.split, "x": f"{x:.6g}", "y": f"{y:.6g}"}
        for row, (x, y) in zip(rows.itertuples(), points, strict=True)
    ]
    write_csv(out / "tsne.csv", ["id", "source", "split", "x", "y"], table)
    draw_figure(points, rows["source"].to_numpy(dtype=object), out / "tsne.png")
    found = separability(features, rows, section.num_neighbours)
    write_json(out / "separability.json", {"profile": params.profile, **found, "tsne": tsne})
