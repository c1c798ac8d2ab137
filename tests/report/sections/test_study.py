"""The reader study on the page: its numbers as they were measured, its figures, or the reason why there are none."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from small import pictures
from test_page import Page

from panodiff.images import write_grey
from panodiff.report.numbers import Absent, number
from panodiff.report.sections.study import MEASURES, show_study
from panodiff.study.analysis.analyse import analyse_files
from panodiff.study.levels import LEVELS

STRIPES = np.tile(np.repeat(np.uint8([30, 220]), 16), (64, 4))  # what only the real images of the study show


def held(folder: Path, num_readers: int = 3) -> dict[str, Path]:
    """A study of 12 real and 12 synthetic images, analysed: the inputs of the report that it changes."""
    generator = np.random.default_rng(0)
    labels = [(f"case-{n:02d}", ("real", "synthetic")[n % 2]) for n in range(24)]
    readings = [
        {
            "reader": f"R<{reader}>",
            "case": case,
            "answer": LEVELS[int(np.clip(round(generator.normal(1.7 if label == "real" else 2.3)), 0, 4))],
            "position": position,
            "response_s": float(generator.gamma(4)),
        }
        for reader in range(num_readers)
        for position, (case, label) in enumerate(labels[n] for n in generator.permutation(len(labels)))
    ]
    for (case, label), image in zip(labels, pictures(len(labels), 64, 128), strict=True):
        write_grey(folder / f"cases/{case}.png", STRIPES if label == "real" else image)
    pd.DataFrame(readings).to_csv(folder / "readings.csv", index=False)
    pd.DataFrame(labels, columns=["case", "label"]).to_csv(folder / "key.csv", index=False)
    figures, out = folder / "study", folder / "study.json"
    figures.mkdir()
    analyse_files(folder / "readings.csv", folder / "key.csv", out, figures=figures, images=folder / "cases")
    return {"metrics/study": figures, "metrics/study.json": out}


def study_pictures(html: str) -> dict[str, np.ndarray]:
    """The pictures of the section, in grey, by what they are called."""
    section = html[html.index('<section id="study">') : html.index('<section id="data">')]
    found = [values for tag, values, _ in Page(section).elements if tag == "img"]
    return {str(values["alt"]): _decoded(str(values["src"])) for values in found}


def _decoded(src: str) -> np.ndarray:
    content = np.frombuffer(base64.b64decode(src.partition(",")[2]), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def striped(picture: np.ndarray) -> bool:
    """Whether somewhere in the picture light and dark stand side by side as in STRIPES, at any size."""
    patches = [np.tile(np.repeat(np.uint8([30, 220]), width), (12, 2)) for width in range(16, 80, 2)]
    return max(float(cv2.matchTemplate(picture, patch, cv2.TM_CCOEFF_NORMED).max()) for patch in patches) > 0.9


def test_a_study_that_was_not_held_is_one_line_with_the_reason(project: SimpleNamespace, tmp_path: Path):
    html = project.report(tmp_path)
    text = Page(html).text
    assert "Not here: no reader study has been held yet: data/readings/readings.csv is missing." in text
    assert study_pictures(html) == {}


def test_every_number_of_a_study_is_on_the_page_as_it_was_measured(project: SimpleNamespace, tmp_path: Path):
    changed = held(tmp_path)
    found: dict[str, Any] = json.loads(changed["metrics/study.json"].read_text(encoding="utf-8"))
    text = Page(project.report(tmp_path, changed)).text
    auc, pooled = found["readers_and_cases"]["auc"], found["pooled"]
    assert "3 readers said of 12 real and 12 synthetic radiographs" in text
    assert f"p = {number(auc['p'])}, readers and cases random." in text
    shares = (*pooled["accuracy"].values(), pooled["sensitivity"], pooled["specificity"])
    for value in (auc, *shares, found["course"]["slope"]):
        assert f"{number(value['mean'])} [{number(value['low'])}, {number(value['high'])}]" in text
    for name in ("fleiss_two", "fleiss_five", "cohen_quadratic_mean"):
        assert number(found["agreement"][name]["value"]) in text
    assert found["repeats"]["absent"] in text
    assert "R<2>" in text


def test_groups_are_compared_and_images_that_not_all_read_are_named(tmp_path: Path):
    path = held(tmp_path, num_readers=6)["metrics/study.json"]
    readings = pd.read_csv(tmp_path / "readings.csv")
    assert isinstance(show_study(path)["groups"], Absent)
    readings["group"] = readings["reader"].map(lambda reader: "student" if reader < "R<3" else "specialist")
    readings[(readings["reader"] != "R<0>") | (readings["case"] != "case-04")].to_csv(
        tmp_path / "some.csv", index=False
    )
    analyse_files(tmp_path / "some.csv", tmp_path / "key.csv", path)
    found, shown = json.loads(path.read_text(encoding="utf-8")), show_study(path)
    assert shown["shared"].startswith("Only 11 real and 12 synthetic ones were read by all")
    head, *rows = shown["groups"]
    assert head[1:3] == ["specialist (3)", "student (3)"]
    for row, of in zip(rows, (found["groups"]["auc"], found["groups"]["certainty_weighted"]), strict=True):
        assert row[1:3] == [number(mean) for mean in of["means"]]
        assert str(row[3]).startswith(f"{number(of['effect'])} [{number(of['low'])}")
        assert row[4] == f"{number(of['p'])} (at least 0.1 with so few)"
    assert found["groups"]["auc"]["effect"] == pytest.approx(
        found["groups"]["auc"]["means"][0] - found["groups"]["auc"]["means"][1], abs=2e-6
    )


def test_the_figures_of_a_study_are_on_the_page_and_those_with_radiographs_only_where_they_may_be(
    project: SimpleNamespace, tmp_path: Path
):
    changed = held(tmp_path)
    with_them, without = (
        study_pictures(project.report(tmp_path, changed, real_images=real_images)) for real_images in (True, False)
    )
    assert [name for name, picture in with_them.items() if striped(picture)] == ["Images that fooled most"]
    assert with_them.keys() - without.keys() == {"Images that fooled most"}
    assert {"Readers' ROC curves", "Answers", "Answers and certainty"} < without.keys()
    assert not any(striped(picture) for picture in without.values())


def test_one_reader_has_numbers_without_an_interval_over_readers(tmp_path: Path):
    shown = show_study(held(tmp_path, num_readers=1)["metrics/study.json"])
    assert not isinstance(shown, Absent)
    rows = {row.title: row for row in shown["rows"]}
    auc, sensitivity = rows[MEASURES[0].title], rows["Sensitivity"]
    assert auc.value == Absent(
        "it needs three readers (two for the mean), and two real and two synthetic cases that all of them read"
    )
    assert isinstance(sensitivity.value, str)
    assert "no interval: an interval over readers needs at least two of them" in sensitivity.value
    assert (shown["test"], auc.over, sensitivity.over) == ("", "", "")
    assert "[" in shown["readers"][0][3]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_every_number_has_its_own_place(measure: Any, tmp_path: Path):
    path = held(tmp_path)["metrics/study.json"]
    found = json.loads(path.read_text(encoding="utf-8"))
    *way, last = measure.path.split(".")
    node = found
    for key in way:
        node = node[key]
    if way == ["repeats"]:
        found["repeats"] = node = {"readers": {}}
    node[last] = {"mean": 0.12345, "low": 0.11, "high": 0.13}
    path.write_text(json.dumps(found), encoding="utf-8")
    shown = show_study(path)
    assert not isinstance(shown, Absent)
    assert [row.title for row in shown["rows"] if row.value == "0.123 [0.11,\N{NO-BREAK SPACE}0.13]"] == [measure.title]
