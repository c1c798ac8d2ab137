"""Curves that take the page's colours and leave out what was not measured."""

import re
from pathlib import Path

from panodiff.files import write_csv
from panodiff.report.charts import Curve, Plan, draw_curves

PLAN = Plan(
    folder="metrics/superres",
    title="Losses & more",
    curves=(
        Curve(file="history.csv", column="l1", label="first phase"),
        Curve(file="history.csv", column="adversarial", label="second phase"),
    ),
    caption="",
)


def draw(folder: Path, rows: list[dict[str, float]]) -> str:
    write_csv(folder / "history.csv", {name: None for row in rows for name in row}, rows)
    return draw_curves(PLAN, folder, "chart-7")


def test_colours_come_from_the_page_s_theme(tmp_path: Path):
    svg = draw(tmp_path, [{"step": 1, "l1": 0.5, "adversarial": 2}, {"step": 2, "l1": 0.4, "adversarial": 1}])
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not re.findall(r"#0[1-5]0[1-5]0[1-5]", svg)


def test_a_loss_that_was_never_measured_has_no_line(tmp_path: Path):
    svg = draw(tmp_path, [{"step": 1, "l1": 0.5}, {"step": 2, "l1": 0.4}])
    assert "first phase" in svg
    assert "second phase" not in svg


def test_a_training_without_any_of_the_losses_says_so(tmp_path: Path):
    assert "not measured in this run" in draw(tmp_path, [{"step": 1, "other": 0.5}])


def test_the_same_numbers_give_the_same_drawing_and_its_ids_are_its_own(tmp_path: Path):
    rows = [{"step": step, "l1": 1 / step} for step in range(1, 9)]
    assert draw(tmp_path, rows) == draw(tmp_path, rows)
    ids = re.findall(r'\bid="([^"]+)"', draw(tmp_path, rows))
    assert ids
    assert all(name.startswith("chart-7-") for name in ids)


def test_a_title_is_escaped(tmp_path: Path):
    assert 'aria-label="Losses &amp; more"' in draw(tmp_path, [{"step": 1, "l1": 0.5}])
