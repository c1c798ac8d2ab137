"""Copies, looks and places, as the page tells of them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from test_page import Page

from panodiff.images import write_grey
from panodiff.report.sections.looks import where_shot


def changed_inputs(project: SimpleNamespace, folder: Path, copies: pd.DataFrame, evaluation: dict) -> dict[str, Path]:
    for path in Path("metrics/evaluation").iterdir():
        (folder / "evaluation").mkdir(exist_ok=True)
        (folder / "evaluation" / path.name).write_bytes(path.read_bytes())
    copies.to_csv(folder / "evaluation" / "copies.csv", index=False)
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return {"metrics/evaluation": folder / "evaluation", "metrics/evaluation.json": folder / "evaluation.json"}


def test_copies_come_first_beside_their_patient_and_are_called_that(
    project: SimpleNamespace, evaluation: dict, tmp_path: Path
):
    copies = pd.read_csv("metrics/evaluation/copies.csv")
    copies.loc[3, ["correlation", "is_copy", "mirrored"]] = 0.99, 1, 1
    evaluation["copies"]["synthetic"]["flagged"] = evaluation["copies"]["dropped"] = 1
    page = Page(project.report(tmp_path, changed_inputs(project, tmp_path, copies, evaluation)))
    assert "1 of 9 are copies; they are left out of every other number" in page.text
    assert f"A COPY: {copies['id'][3]}, correlation 0.99" in page.text
    assert f"{copies['nearest_train_id'][3]}, mirrored" in page.text
    assert page.text.index("A COPY") < page.text.index("have no closer stranger")


def test_without_copies_the_page_says_so_and_shows_the_closest(project: SimpleNamespace, tmp_path: Path):
    page = Page(project.report(tmp_path))
    assert "None of 9 comes above the threshold." in page.text
    assert page.text.count("have no closer stranger") == 4 and "A COPY" not in page.text


def test_what_gives_images_away_is_measured_and_shown(project: SimpleNamespace, tmp_path: Path):
    page = Page(project.report(tmp_path))
    for expected in ("Symmetry, left and right", "Regular rows of teeth", "Features of the encoder", "Fine detail, dB"):
        assert expected in page.text
    assert "Where synthetic images can be told from real ones" in [
        values.get("alt") for tag, values, _ in page.elements if tag == "img"
    ]


def test_the_picture_is_warm_where_images_look_synthetic_and_cold_where_real(tmp_path: Path):
    write_grey(tmp_path / "image.png", np.full((40, 80), 128, np.uint8))
    places = pd.DataFrame([(r, c) for r in range(2) for c in range(4)], columns=["row", "column"])
    places["synthetic"], places["real"] = [0, 0, 0, 5, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0]
    places.to_csv(tmp_path / "where.csv", index=False)
    found = where_shot(tmp_path / "where.csv", [tmp_path / "image.png"])
    assert found.image.shape == (40, 80, 3)
    image = found.image.astype(int)
    blue, _, red = image[5, 75]
    assert red > 150 > blue
    blue, _, red = image[5, 5]
    assert blue > 150 > red
    assert abs(image[35, 40] - 128).max() < 12
