"""What the page shows of single synthetic images: copies of patients, what a reader would notice, and where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panodiff.images import Grey, read_grey
from panodiff.manifest import kept
from panodiff.report.numbers import interval, number, percent
from panodiff.report.pictures import Rows, Shot

NUM_CLOSEST = 4  # synthetic images shown beside the training image that they come closest to, flagged ones besides
MOST_FLAGGED = 24
NUM_AVERAGED = 64  # images behind the picture of where synthetic ones can be told
_WARM, _COLD = (0, 120, 255), (255, 140, 30)  # blue, green, red
_NAMES = {
    "symmetry": "Symmetry, left and right",
    "tooth_periodicity": "Regular rows of teeth",
    "occlusal_gap": "Gap between the rows",
    "occlusal_height": "Height of the bite",
    "grey_mean": "Mean grey",
    "grey_sd": "Contrast",
    "grey_p05": "Dark greys (5th percentile)",
    "grey_p95": "Bright greys (95th percentile)",
    "histogram_distance": "Histogram, distance to the usual",
    "spectral_slope": "Slope of the power spectrum",
    "fine_detail": "Fine detail, dB",
}
_KINDS = {
    "encoder": "Features of the encoder",
    "artefacts": "Power spectrum and histogram",
    "places": "Grey and detail of each place",
}


def flagged_copies(table: Path) -> set[str]:
    """The synthetic images that copy a training image; `table`: copies.csv."""
    rows = pd.read_csv(table)
    return set(rows.loc[rows["is_copy"].astype(bool), "id"].astype(str))


def closest_pairs(table: Path, corpus: pd.DataFrame, synthetic_high: Path, *, real_images: bool) -> Rows:
    """All synthetic images that copy a training image, and those that come closest, each beside that image.

    Without `real_images` neither training images nor copies of them are shown: only the others that come closest.
    """
    rows = pd.read_csv(table).sort_values("correlation", ascending=False, kind="stable")
    shown = rows if real_images else rows[~rows["is_copy"].astype(bool)]
    count = NUM_CLOSEST + min(int(shown["is_copy"].sum()), MOST_FLAGGED)
    real_paths = {str(row["id"]): Path(row["high_path"]) for row in kept(corpus, "train").to_dict("records")}
    pairs = []
    for row in shown.head(count).to_dict("records"):
        drawn = _synthetic_half(row, synthetic_high)
        pairs.append([drawn, _real_half(row, real_paths[row["nearest_train_id"]])] if real_images else [drawn])
    return pairs


def _synthetic_half(row: Mapping[Any, Any], synthetic_high: Path) -> Shot:
    name = row["id"]
    told = (
        f"{'A COPY: ' if row['is_copy'] else ''}{name}, correlation {number(row['correlation'])}; "
        f"{percent(row['rank_among_real'])} of real images have no closer stranger"
    )
    return Shot(read_grey(synthetic_high / f"{name}.png"), f"Synthetic image {name}", told)


def _real_half(row: Mapping[Any, Any], path: Path) -> Shot:
    nearest, mirrored = row["nearest_train_id"], bool(row["mirrored"])
    real = read_grey(path)
    return Shot(
        np.ascontiguousarray(real[:, ::-1]) if mirrored else real,
        f"Training image {nearest}, nearest to {row['id']}",
        f"{nearest}{', mirrored' if mirrored else ''}",
    )


def copies_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """A row a set of images: how many, their largest correlations with a training image, how many are copies."""
    found = evaluation["copies"]
    rows = [
        ("synthetic images", found["synthetic"]),
        ("real images of the test split", found["test"]),
        ("training images, with those of others", found["yardstick"]),
    ]
    return [
        [
            what,
            str(values["num"]),
            *(number(values[name]) for name in ("p50", "p99", "max")),
            _flagged(values) if "flagged" in values else "—",
        ]
        for what, values in rows
    ]


def _flagged(values: Mapping[str, Any]) -> str:
    return f"{values['flagged']} [{percent(values['low'])}, {percent(values['high'])}]"


def looks_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """A row a measurement: real p1 to p99, medians of real, test and synthetic images, and how many lie outside."""
    return [
        [
            _NAMES.get(name, name),
            f"{number(found['real_p01'])} … {number(found['real_p99'])}",
            number(found["real_median"]),
            number(found["median"]["synthetic"]),
            number(found["distance"]["synthetic"]),
            number(found["distance"]["test"]),
            percent(found["outside"]["synthetic"]),
            percent(found["outside"]["test"]),
        ]
        for name, found in evaluation["plausibility"]["measurements"].items()
    ]


def detection_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """A row a classifier: images of either class, AUC with its interval, accuracy."""
    return [
        [
            _KINDS[kind],
            str(found["num_synthetic"]),
            f"{number(found['auc']['value'])} {interval(found['auc'])}",
            percent(found["accuracy"]),
        ]
        for kind, found in evaluation["detectability"].items()
    ]


def where_shot(table: Path, synthetic: Sequence[Path]) -> Shot:
    """The mean of synthetic images, orange where the classifiers find them synthetic, blue where they find them real.

    What is shown is the mean map of synthetic images less that of real ones, by greys and detail of each place.
    """
    places = pd.read_csv(table)
    grid = (places["row"].max() + 1, places["column"].max() + 1)
    apart = (places["synthetic"] - places["real"]).to_numpy().reshape(grid)
    mean = np.mean([read_grey(path) for path in synthetic[:NUM_AVERAGED]], axis=0)
    return Shot(_overlaid(mean.astype(np.uint8), apart), "Where synthetic images can be told from real ones")


def _overlaid(image: Grey, apart: NDArray[np.float64]) -> NDArray[np.uint8]:
    height, width = image.shape
    strength = cv2.resize(apart / (np.abs(apart).max() or 1.0), (width, height), interpolation=cv2.INTER_CUBIC)
    weight = np.abs(strength).clip(max=1)[..., None] * 0.7
    colour = np.where(strength[..., None] > 0, _WARM, _COLD)
    return (image[..., None] * (1 - weight) + colour * weight).round().clip(0, 255).astype(np.uint8)
