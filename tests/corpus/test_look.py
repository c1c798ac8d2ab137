"""What the corpus looks like: the sheet of repeated radiographs, sizes and greys."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made import Corpus
from PIL import Image

from panodiff.corpus.duplicates import COPIES
from panodiff.corpus.look import GREY_BINS, MAX_GROUPS, MAX_IMAGES, choose_groups, draw_groups, write_look
from panodiff.files import write_csv
from panodiff.images import read_grey, write_grey
from panodiff.manifest import COLUMNS, write_manifest


@pytest.fixture(scope="module")
def look(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("look") / "corpus"
    write_look(corpus.work / "manifest", out)
    return out


def test_sizes_are_those_of_the_kept_files(look: Path, corpus: Corpus):
    sizes = pd.read_csv(look / "sizes.csv").set_index("id")
    kept = corpus.rows[corpus.rows["status"] == "kept"].set_index("id")
    assert sizes.columns.tolist() == ["source", "height", "width"]
    assert sizes.eq(kept[sizes.columns]).all(axis=None)
    assert len(sizes) == len(kept)


def test_greys_are_the_shares_of_the_pixels_of_each_source(look: Path, corpus: Corpus):
    greys = pd.read_csv(look / "greys.csv")
    assert np.allclose(greys.groupby("source")["fraction"].sum(), 1, atol=1e-4)
    assert greys.groupby("source").size().eq(GREY_BINS).all()
    kept = corpus.rows[(corpus.rows["status"] == "kept") & (corpus.rows["source"] == "tufts")]
    pixels = np.stack([read_grey(Path(path)) for path in kept["low_path"]])
    of_tufts = greys[greys["source"] == "tufts"].set_index("grey")["fraction"]
    assert abs((of_tufts * of_tufts.index).sum() - pixels.mean()) < 1
    assert np.isclose(of_tufts.iloc[0], (pixels < 256 // GREY_BINS).mean(), atol=1e-5)


def test_the_sheet_shows_the_images_of_each_group_and_is_small(look: Path, corpus: Corpus):
    assert (look / "duplicates.jpg").stat().st_size < 1_000_000
    sheet = np.asarray(Image.open(look / "duplicates.jpg"))
    sizes = corpus.rows["group"].value_counts()
    assert sheet.shape[0] > 130 * min((sizes > 1).sum(), MAX_GROUPS)
    assert sheet.shape[1] > 200 * min(sizes.max(), MAX_IMAGES)


def copies_of(folder: Path, groups: list[list[tuple[str, float]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A corpus of groups, each an image that is kept and its copies (kind, correlation), and the table of copies."""
    write_grey(folder / "1.png", np.full((64, 128), 99, np.uint8))
    rows, copies = [], []
    for number, group in enumerate(groups):
        name = f"mine-{number}"
        for place, (kind, correlation) in enumerate([("", 0.0), *group]):
            own = f"{name}-{place}" if kind else name
            status = "kept" if kind in ("", "mirrored copy") else "duplicate"
            rows.append({"id": own, "source": "mine", "status": status, "group": name, "path": f"{own}.png"})
            if kind:
                copies.append({"id": own, "copy_of": name, "kind": kind, "correlation": correlation})
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    paths = {"high_path": str(folder / "1.png"), "low_path": str(folder / "1.png"), "format": "PNG"}
    return table.assign(**paths, height=64, width=128), pd.DataFrame(copies, columns=COPIES).set_index("id")


def test_groups_with_near_copies_come_first_then_large_ones_then_the_least_alike(tmp_path: Path):
    corpus, copies = copies_of(
        tmp_path,
        [
            [("same pixels", 1)] * 3,
            [],
            [("near copy", 0.99)],
            [("near copy", 0.8)],
            [("same pixels", 1), ("near copy", 0.9), ("mirrored copy", 0.95)],
        ],
    )
    groups = choose_groups(corpus, copies)
    assert [group["group"].iloc[0] for group in groups] == ["mine-4", "mine-3", "mine-2", "mine-0"]
    assert groups[0]["id"].tolist() == ["mine-4", "mine-4-3", "mine-4-2", "mine-4-1"]  # kept ones, the others


def test_the_sheet_is_cut_where_there_are_many_groups_and_many_copies_in_one(tmp_path: Path):
    corpus, copies = copies_of(tmp_path, [[("same pixels", 1)] * 9] * (MAX_GROUPS + 5))
    groups = choose_groups(corpus, copies)
    assert len(groups) == MAX_GROUPS
    width, height = draw_groups(groups).size
    assert (width, height) == (MAX_IMAGES * 200 + 8, MAX_GROUPS * 134 + 8)


def test_a_corpus_without_repeats_has_no_sheet(tmp_path: Path):
    corpus, _ = copies_of(tmp_path, [[], []])
    write_manifest(tmp_path / "manifest" / "corpus.csv", corpus)
    write_csv(tmp_path / "manifest" / "copies.csv", COPIES, [])
    write_look(tmp_path / "manifest", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["greys.csv", "sizes.csv"]
