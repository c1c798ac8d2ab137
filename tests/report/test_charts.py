"""Curves that take the page's colours, stand on white in a paper, and leave out what was not measured."""

import io
import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from panodiff.files import write_csv
from panodiff.report import charts
from panodiff.report.charts import PLANS, SERIES, VARIABLES, Chart, Curve, Plan, draw_chart, draw_curves

PLAN = Plan(
    folder="metrics/superres",
    name="losses",
    title="Losses & more",
    quantity="loss",
    curves=(
        Curve(file="history.csv", column="l1", label="first phase"),
        Curve(file="history.csv", column="adversarial", label="second phase"),
    ),
    caption="",
)
BOTH = [{"step": 1, "l1": 0.5, "adversarial": 2}, {"step": 2, "l1": 0.4, "adversarial": 1}]


def draw(folder: Path, rows: list[dict[str, float]]) -> Chart:
    write_csv(folder / "history.csv", {name: None for row in rows for name in row}, rows)
    return draw_curves(PLAN, folder)


def pixels(chart: Chart) -> np.ndarray:
    with Image.open(io.BytesIO(chart.png)) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        return np.asarray(image.convert("RGB"))  # (H, W, 3)


def has_colour(image: np.ndarray, colour: str) -> bool:
    return bool((image == np.round(np.multiply(to_rgb(colour), 255)).astype(np.uint8)).all(axis=2).any())


def test_colours_come_from_the_page_s_theme(tmp_path: Path):
    svg = draw(tmp_path, BOTH).svg
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not [colour for colour in VARIABLES if colour in svg]


def test_the_page_has_the_colours_of_the_charts_in_light_and_others_in_dark_and_in_print():
    style = Path(charts.__file__).with_name("style.css").read_text(encoding="utf-8")
    (light, *_), (dark, *_), (printed, *_) = (
        style.partition(start)[2].split("}") for start in (":root", "prefers-color-scheme: dark", "@media print")
    )
    for colour, name in VARIABLES.items():
        assert f"{name}: {colour};" in light
        assert f"{name}:" in dark
        assert f"{name}:" in printed


def test_in_a_paper_a_chart_is_as_wide_as_a_column_and_stands_on_white_in_light_colours(tmp_path: Path):
    image = pixels(draw(tmp_path, BOTH))
    height, width, _ = image.shape
    assert width == pytest.approx(85 / 25.4 * 300, abs=2)  # mm, dots an inch
    assert height < width
    assert (image[[0, -1]] == 255).all() and (image[:, [0, -1]] == 255).all()  # nothing is cut at the edge
    assert has_colour(image, SERIES[0]) and has_colour(image, SERIES[1])
    assert not has_colour(image, SERIES[2])


def test_a_loss_that_was_never_measured_has_no_line(tmp_path: Path):
    chart = draw(tmp_path, [{"step": 1, "l1": 0.5}, {"step": 2, "l1": 0.4}])
    assert "first phase" in chart.svg
    assert "second phase" not in chart.svg
    assert not has_colour(pixels(chart), SERIES[1])
    assert set(chart.numbers["curve"]) == {"first phase"}


def test_a_training_without_any_of_the_losses_says_so(tmp_path: Path):
    chart = draw(tmp_path, [{"step": 1, "other": 0.5}])
    assert "not measured in this run" in chart.svg
    assert list(chart.numbers.columns) == ["curve", "step", "value"]
    assert len(chart.numbers) == 0


def test_the_numbers_are_those_that_are_drawn(tmp_path: Path):
    expected = [("first phase", 1, 0.5), ("first phase", 2, 0.4), ("second phase", 1, 2.0), ("second phase", 2, 1.0)]
    assert list(draw(tmp_path, BOTH).numbers.itertuples(index=False, name=None)) == expected


def test_the_same_numbers_give_the_same_drawing_and_its_ids_are_its_own(tmp_path: Path):
    rows = [{"step": step, "l1": 1 / step} for step in range(1, 9)]
    one, other = draw(tmp_path, rows), draw(tmp_path, rows)
    assert (one.svg, one.png) == (other.svg, other.png)
    ids = re.findall(r'\bid="([^"]+)"', one.svg)
    assert ids
    assert all(name.startswith("chart-losses-") for name in ids)


def test_a_title_is_escaped_and_a_label_says_more_than_the_title(tmp_path: Path):
    assert 'aria-label="Losses &amp; more"' in draw(tmp_path, [{"step": 1, "l1": 0.5}]).svg
    chart = draw_chart("x", "Title", "", lambda axes: None, pd.DataFrame(), label="What is on it")
    assert 'aria-label="What is on it"' in chart.svg


def test_a_drawing_leaves_the_settings_of_matplotlib_as_they_were(tmp_path: Path):
    before = dict(matplotlib.rcParams)
    draw(tmp_path, BOTH)
    assert dict(matplotlib.rcParams) == before


def test_each_chart_of_a_training_has_a_name_of_its_own_that_is_good_for_a_file():
    names = [plan.name for plan in PLANS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
