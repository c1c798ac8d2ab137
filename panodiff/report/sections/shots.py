"""All pictures of the page, figure by figure: which images are shown, and how they are cut."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from panodiff.images import Grey, read_grey, tile
from panodiff.manifest import kept, read_manifest
from panodiff.params import Params
from panodiff.report.numbers import Absent
from panodiff.report.pictures import Rows, Shot, spread
from panodiff.report.sections.looks import closest_pairs, flagged_copies, where_shot
from panodiff.report.sections.restored import restored_crops
from panodiff.report.sections.sheets import contact_sheets, sheet
from panodiff.report.sections.study import fooled_panel, study_figures

Find = Callable[[str], Path]  # from a path below the project's top folder to where it lies
LEFT_OUT = Absent("pictures of real radiographs are left out (report.real_images: false)")
BYTES = {  # of the pictures of each figure; as text in the page they are a third larger, and all together below 14 MB
    "synthetic": 2_400_000,
    "low": 500_000,
    "pairs": 700_000,
    "closest": 1_000_000,
    "where": 100_000,
    "diffusion": 400_000,
    "reverse": 200_000,
    "real": 700_000,
    "crops": 1_200_000,
    "sheets": 1_500_000,
    "duplicates": 300_000,
    "superres": 400_000,
    "forward": 200_000,
    "study": 300_000,
    "fooled": 200_000,
}
NUM_REAL = 8  # real radiographs shown under the synthetic ones
NUM_SUPERRES_MILESTONES = 5  # of a training, shown in pictures
SUPERRES_COLUMNS = ["bicubic", "this model", "real"]
_OF_REAL = ("real", "crops", "sheets", "duplicates", "superres", "forward", "fooled")
_GAP = 2  # of panodiff.images.tile


def gather(params: Params, find: Find) -> dict[str, Rows | Absent]:
    """The pictures of each figure, in rows; where the parameters forbid pictures of real radiographs, none of them."""
    left_out = dict.fromkeys(_OF_REAL, LEFT_OUT)
    return {**_synthetic(params, find), **(_real(params, find) if params.report.real_images else left_out)}


def _synthetic(params: Params, find: Find) -> dict[str, Rows]:
    corpus, synthetic = read_manifest(find("data/manifest") / "corpus.csv"), find("data/synthetic")
    measured, high, diffusion = find("metrics/evaluation"), synthetic / "high", find("metrics/diffusion")
    chosen = _names(params, find)
    published = [high / f"{name}.png" for name in pd.read_csv(measured / "published.csv")["id"]]
    copies, real_images = measured / "copies.csv", params.report.real_images
    return {
        "synthetic": [synthetic_grid(high, chosen)],
        "low": [synthetic_grid(synthetic / "low", chosen)],
        "pairs": low_high_pairs(synthetic, chosen[: params.report.num_pairs]),
        "closest": closest_pairs(copies, corpus, high, real_images=real_images),
        "where": [[where_shot(measured / "where.csv", published)]],
        "diffusion": [[Shot(read_grey(diffusion / "progress.png"), "Samples at fixed noise through the training")]],
        "reverse": [[Shot(read_grey(diffusion / "reverse.png"), "Noise that becomes a radiograph, in nine pictures")]],
        "study": study_figures(find("metrics/study")),
    }


def _real(params: Params, find: Find) -> dict[str, Rows]:
    corpus, report = read_manifest(find("data/manifest") / "corpus.csv"), params.report
    copies = sheet(find("metrics/corpus") / "duplicates.jpg", "Groups of radiographs that repeat each other", "")
    forward = read_grey(find("metrics/diffusion") / "forward.png")
    return {
        "real": [real_grid(corpus, min(NUM_REAL, report.num_samples))],
        "crops": restored_crops(corpus, find("data/models/superres"), report.num_pairs),
        "sheets": [[shot] for shot in contact_sheets(find(f"data/harmonized/{params.profile}"), params.sources)],
        "duplicates": [[copies]] if copies else [],
        "superres": [[superres_progress(find("metrics/superres"))]],
        "forward": [[Shot(forward, "A radiograph at nine noise levels")]],
        "fooled": fooled_panel(find("metrics/study")),
    }


def _names(params: Params, find: Find) -> list[str]:
    """The synthetic images that are shown: the first by number; copies of radiographs only where those may be shown."""
    drawn = [str(name) for name in pd.read_csv(find("data/synthetic") / "high" / "rows.csv")["id"]]
    hidden = set() if params.report.real_images else flagged_copies(find("metrics/evaluation") / "copies.csv")
    return [name for name in drawn if name not in hidden][: params.report.num_samples]


def synthetic_grid(folder: Path, names: Sequence[str]) -> list[Shot]:
    """The synthetic images of those names in `folder`."""
    return [
        Shot(read_grey(folder / f"{name}.png"), f"Synthetic radiograph {name}, {folder.name} resolution", name)
        for name in names
    ]


def real_grid(corpus: pd.DataFrame, count: int) -> list[Shot]:
    """Real radiographs of the test split, spread over the sources."""
    rows = spread(kept(corpus, "test"), count).to_dict("records")
    return [
        Shot(read_grey(Path(row["high_path"])), f"Real radiograph of the test split {row['id']}", str(row["id"]))
        for row in rows
    ]


def low_high_pairs(synthetic: Path, names: Sequence[str]) -> Rows:
    """Synthetic images as the diffusion model drew them, and as super-resolution finished them."""
    pairs = []
    for name in names:
        low, high = (read_grey(synthetic / resolution / f"{name}.png") for resolution in ("low", "high"))
        sizes = ["×".join(map(str, image.shape)) for image in (low, high)]
        pairs.append(
            [
                Shot(low, f"{name} at low resolution", f"{name}, {sizes[0]}"),
                Shot(high, f"{name} at high resolution", sizes[1]),
            ]
        )
    return pairs


def milestones(folder: Path, count: int | None = None) -> list[str]:
    """The steps at the left of a training's pictures, all of them or `count` spread over them."""
    steps = pd.read_csv(folder / "milestones.csv")
    return [f"{step}" for step in spread(steps, count or len(steps))["step"]]


def superres_progress(folder: Path) -> Shot:
    """One held-out radiograph through the training of super-resolution: the middle of each preview."""
    table = pd.read_csv(folder / "milestones.csv")
    cells = _cells(read_grey(folder / "progress.png"), len(table), 3)
    shown = spread(table, NUM_SUPERRES_MILESTONES).index
    middles = tile([_middle(cells[3 * row + column]) for row in shown for column in range(3)], 3, _GAP)
    return Shot(middles, "A held-out radiograph restored through the training")


def _cells(sheet: Grey, rows: int, columns: int) -> list[Grey]:
    """What `panodiff.images.tile` put together."""
    height, width = ((sheet.shape[axis] + _GAP) // count for axis, count in enumerate((rows, columns)))
    corners = [(row * height, column * width) for row in range(rows) for column in range(columns)]
    return [sheet[top : top + height - _GAP, left : left + width - _GAP] for top, left in corners]


def _middle(image: Grey) -> Grey:
    height, width = image.shape
    return image[height // 4 : height - height // 4, width // 4 : width - width // 4]
