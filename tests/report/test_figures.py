"""The folder of figures for a paper: whole, without loss, each with its caption."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from small import pictures

from panodiff.images import read_grey, tile
from panodiff.pipeline import load_pipeline
from panodiff.report.charts import draw_chart
from panodiff.report.figures import MOST_IMAGES, FigureFolder
from panodiff.report.numbers import Absent
from panodiff.report.pictures import Shot


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def captions(folder: Path) -> str:
    return (folder / "captions.md").read_text(encoding="utf-8")


def shots(count: int, height: int = 8, width: int = 16) -> list[Shot]:
    return [Shot(image, f"Picture {n}", f"n{n}") for n, image in enumerate(pictures(count, height, width))]


def test_a_chart_is_a_picture_and_the_numbers_in_it(tmp_path: Path):
    numbers = pd.DataFrame({"step": [1, 2], "value": [0.1234567890123, 2.0]})
    chart = draw_chart("a-loss", "A loss", "It falls.", lambda axes: axes.set(xlabel="step"), numbers)
    figures = FigureFolder(tmp_path, ["smoke"])
    figures.add_chart(chart)
    figures.close()
    assert written(tmp_path) == {"a-loss.png", "a-loss.csv", "captions.md"}
    assert (tmp_path / "a-loss.png").read_bytes() == chart.png
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a-loss.csv"), numbers, check_exact=True)
    assert "A loss. It falls." in captions(tmp_path)


def test_a_grid_has_every_grey_of_its_images_and_its_caption_their_names(tmp_path: Path):
    shown = shots(MOST_IMAGES + 2)
    figures = FigureFolder(tmp_path, [])
    figures.add_grid("samples", [shown], "Drawn.")
    figures.close()
    expected = tile([shot.image for shot in shown[:MOST_IMAGES]], 4)
    assert np.array_equal(read_grey(tmp_path / "samples.png"), expected)
    assert f"n{MOST_IMAGES - 1}." in captions(tmp_path)
    assert f"n{MOST_IMAGES}" not in captions(tmp_path)


def test_a_smaller_picture_of_a_row_is_enlarged_pixel_by_pixel(tmp_path: Path):
    (small,), (large,) = shots(1, 4, 8), shots(1, 8, 16)
    figures = FigureFolder(tmp_path, [])
    figures.add_rows("crops", [[small, large]], "Restored.")
    enlarged = np.kron(small.image, np.ones((2, 2), np.uint8))
    assert np.array_equal(read_grey(tmp_path / "crops.png"), tile([enlarged, large.image], 2))


def test_pictures_that_must_not_be_shown_are_no_file_but_a_reason(tmp_path: Path):
    figures = FigureFolder(tmp_path, [])
    figures.add_rows("crops", Absent("report.real_images is false"), "Restored.")
    figures.close()
    assert written(tmp_path) == {"captions.md"}
    assert "report.real_images is false" in captions(tmp_path)
    assert "Restored." not in captions(tmp_path)


def test_names_that_are_no_unicode_do_not_stop_the_captions(tmp_path: Path):
    figures = FigureFolder(tmp_path, [])
    figures.add_table("table", pd.DataFrame({"a": [1]}), "Of \udcff.")
    figures.close()
    assert "**table.csv.** Of" in captions(tmp_path)


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    return {}


@pytest.fixture
def made_with_page(
    project: SimpleNamespace, shared: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The figures of the project, made once, and the page that they were made with."""
    if not shared:
        out = tmp_path_factory.mktemp("figures")
        shared["html"] = project.report(out)
        shared["folder"] = out / "figures"
    return shared["folder"], shared["html"]


def test_the_captions_name_each_file_once_and_no_other(made_with_page: tuple[Path, str]):
    folder, _ = made_with_page
    named = [
        name for heading in re.findall(r"^\*\*(.+?)\.\*\* ", captions(folder), re.M) for name in heading.split(", ")
    ]
    assert sorted(named) == sorted(written(folder) - {"captions.md"})
    assert {"headline.csv", "samples-high.png", "samples-low.png", "superres-crops.png", "pipeline.svg"} <= set(named)
    assert {"diffusion-loss.png", "power-spectrum.csv", "tsne-with-synthetic.png", "greys.png"} <= set(named)


def test_a_chart_is_captioned_as_on_the_page(made_with_page: tuple[Path, str]):
    folder, html = made_with_page
    on_page = re.findall(r"<figure><div class=\"chart\">.*?<figcaption><b>(.*?)</b>(.*?)</figcaption>", html, re.S)
    assert len(on_page) == len(list(folder.glob("*.png"))) - 3  # two grids and the crops
    for title, caption in on_page:
        assert f"{title}{caption}" in captions(folder)


def test_the_headline_holds_the_measured_numbers(made_with_page: tuple[Path, str], evaluation: dict[str, Any]):
    folder, _ = made_with_page
    table = pd.read_csv(folder / "headline.csv").set_index("measure")
    precision = evaluation["sets"]["high"]["synthetic_vs_test"]["precision_encoder"]
    row = table.loc["Precision"]
    assert [row[name] for name in ("this_run", "this_run_low", "this_run_high")] == list(precision.values())
    assert (row["yardstick_is"], row["published"]) == ("real instead of synthetic", "0.562")
    assert np.isnan(table.loc["LPIPS of super-resolution", "this_run"])  # the profile does not ask for it


def test_the_grids_are_the_first_images_without_loss(made_with_page: tuple[Path, str]):
    folder, _ = made_with_page
    for resolution in ("high", "low"):
        first = [read_grey(Path(f"data/synthetic/{resolution}/synthetic-{n:06d}.png")) for n in range(5)]
        assert np.array_equal(read_grey(folder / f"samples-{resolution}.png"), tile(first, 4))


def test_the_pipeline_is_a_drawing_of_all_stages_in_colours_of_its_own(made_with_page: tuple[Path, str]):
    folder, _ = made_with_page
    svg = (folder / "pipeline.svg").read_text(encoding="utf-8")
    texts = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {name.partition("@")[0] for name in load_pipeline()} <= texts
    assert "var(" not in svg
    assert "fill: #ffffff" in svg


def test_without_real_images_the_crops_are_left_out_and_the_rest_is_there(
    project: SimpleNamespace, made_with_page: tuple[Path, str], tmp_path: Path
):
    folder, _ = made_with_page
    project.report(tmp_path, real_images=False)
    assert written(tmp_path / "figures") == written(folder) - {"superres-crops.png"}
    assert "report.real_images" in captions(tmp_path / "figures")


def test_the_same_inputs_give_the_same_figures(
    project: SimpleNamespace, made_with_page: tuple[Path, str], tmp_path: Path
):
    folder, _ = made_with_page
    project.report(tmp_path)
    assert written(tmp_path / "figures") == written(folder)
    for name in written(folder):
        assert (tmp_path / "figures" / name).read_bytes() == (folder / name).read_bytes(), name
