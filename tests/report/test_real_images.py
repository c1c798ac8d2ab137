"""With `report.real_images: false` no picture of a radiograph is on the page or among the figures."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from test_page import Page

from panodiff.images import Grey, read_grey
from panodiff.manifest import read_manifest

OF_SYNTHETIC = r"Synthetic |synthetic-|Samples at fixed noise|Noise that becomes|Where synthetic"


@pytest.fixture(scope="module")
def shared() -> dict[bool, tuple[str, Path]]:
    return {}


@pytest.fixture
def pages(project: SimpleNamespace, shared: dict, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """By `report.real_images`: the page, and the folder with its figures; made once."""
    for real_images in (True, False):
        if real_images not in shared:
            folder = tmp_path_factory.mktemp("page")
            shared[real_images] = (project.report(folder, real_images=real_images), folder / "figures")
    return shared


def embedded(html: str) -> Iterator[tuple[str, Grey]]:
    for tag, values, _ in Page(html).elements:
        if tag == "img" and "image/gif" not in (values["src"] or ""):
            content = base64.b64decode((values["src"] or "").partition(",")[2])
            yield str(values["alt"]), cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def shown_in(pictures: list[Grey]) -> list[str]:
    """Real images of which a square of the middle is found in one of the pictures, as it is or mirrored."""
    corpus = read_manifest(Path("data/manifest/corpus.csv"))
    found = []
    for path in corpus.loc[corpus["status"] == "kept", "high_path"]:
        patch = np.ascontiguousarray(read_grey(Path(path))[20:44, 52:76])
        patches = [patch, np.ascontiguousarray(patch[:, ::-1])]
        large = [picture for picture in pictures if min(picture.shape) >= 24]
        if max(cv2.matchTemplate(picture, p, cv2.TM_CCOEFF_NORMED).max() for picture in large for p in patches) > 0.95:
            found.append(path)
    return found


def test_pictures_of_radiographs_are_on_the_page_only_where_they_may_be(pages: dict):
    with_them, without = ([picture for _, picture in embedded(pages[kind][0])] for kind in (True, False))
    assert len(shown_in(with_them)) >= 8
    assert shown_in(without) == []


def test_every_picture_that_is_left_is_of_synthetic_images(pages: dict):
    names = [alt for alt, _ in embedded(pages[False][0])]
    assert len(names) > 10
    assert [alt for alt in names if not re.match(OF_SYNTHETIC, alt)] == []
    assert [alt for alt, _ in embedded(pages[True][0]) if not re.match(OF_SYNTHETIC, alt)]


def test_each_figure_that_is_left_out_says_so(pages: dict):
    text = Page(pages[False][0]).text
    reason = "pictures of real radiographs are left out (report.real_images: false)"
    for title in (
        "Real radiographs of the test split",
        "Restored and real",
        "How the radiographs were cut",
        "Which radiographs repeat each other",
        "Super-resolution learns",
        "The forward process",
    ):
        assert f"{title}: {reason}." in text
    assert "the training images, and the copies of them, are not shown" in text
    assert reason not in Page(pages[True][0]).text


def test_the_figures_have_none_either(pages: dict):
    with_them, without = ({path.name for path in pages[kind][1].glob("*.png")} for kind in (True, False))
    assert with_them - without == {"superres-crops.png"}
    pictures = [read_grey(pages[False][1] / f"samples-{name}.png") for name in ("high", "low")]
    assert shown_in(pictures) == []


def test_a_synthetic_image_that_copies_a_radiograph_counts_as_one(project: SimpleNamespace, tmp_path: Path):
    tables = tmp_path / "evaluation"
    tables.mkdir()
    for path in Path("metrics/evaluation").iterdir():
        (tables / path.name).write_bytes(path.read_bytes())
    copies = pd.read_csv(tables / "copies.csv")
    name = "synthetic-000001"
    copies.loc[copies["id"] == name, "is_copy"] = 1
    copies.to_csv(tables / "copies.csv", index=False)
    changed = {"metrics/evaluation": tables}
    for real_images in (True, False):
        html = project.report(tmp_path, changed, real_images=real_images)
        assert any(name in alt for alt, _ in embedded(html)) == real_images
