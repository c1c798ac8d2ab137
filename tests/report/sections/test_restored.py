"""Super-resolution on held-out radiographs, as the page shows it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
from small import pictures

from panodiff.evaluation.sets.compare import distance_name
from panodiff.files import write_csv
from panodiff.images import read_grey
from panodiff.manifest import kept, read_manifest
from panodiff.params import FeatureBackbone
from panodiff.report.sections.restored import busiest_square, ceiling_table, difference, restored_crops, spectrum_chart


def test_the_busiest_square_is_where_the_edges_are():
    image = np.full((64, 128), 100, np.uint8)
    image[32:64, 96:128] = (np.indices((32, 32)).sum(axis=0) % 2) * 255
    assert busiest_square(image, 4) == (32, 96, 32)


def test_a_difference_is_middle_grey_where_images_agree_and_does_not_wrap():
    (real,) = pictures(1, 16, 32)
    assert np.unique(difference(real, real)).tolist() == [128]
    found = np.array([[0, 100, 101, 97, 255]], np.uint8)
    assert difference(found, np.array([[255, 100, 100, 100, 0]], np.uint8)).tolist() == [[0, 128, 132, 116, 255]]


def test_each_held_out_radiograph_is_shown_in_five_pictures(project: SimpleNamespace):
    corpus = read_manifest(Path("data/manifest/corpus.csv"))
    rows = restored_crops(corpus, Path("data/models/superres"), 2)
    assert len(rows) == 2
    for row, name in zip(rows, kept(corpus, "test")["id"].iloc[[0, -1]], strict=True):
        assert [shot.image.shape for shot in row] == [(16, 16), *[(32, 32)] * 4]
        assert all(name in shot.alt for shot in row)
        labels = [shot.label.split(",")[0] for shot in row]
        assert labels == ["input", "bicubic", "this model", "real", "this model − real"]
    assert read_grey(Path(kept(corpus, "test")["high_path"].iloc[0])).shape == (64, 128)


def test_the_spectrum_has_a_line_a_method_and_leaves_out_empty_rings(tmp_path: Path):
    rows: list[dict[str, Any]] = [
        {"cycles_a_pixel": 0.1, "real": 1.0, "superres": 0.5, "bicubic": 0.1},
        {"cycles_a_pixel": 0.2, "real": "", "superres": "", "bicubic": ""},
        {"cycles_a_pixel": 0.3, "real": 0.1, "superres": 0.05, "bicubic": 0.01},
    ]
    write_csv(tmp_path / "spectrum.csv", rows[0], rows)
    svg = spectrum_chart(tmp_path / "spectrum.csv").svg
    assert all(label in svg for label in ("real", "this model", "bicubic"))
    assert "nan" not in svg


def test_the_ceiling_has_a_column_for_each_kind_of_features(evaluation: dict[str, Any]):
    features, rows = ceiling_table(evaluation)
    assert features == ["Encoder of this run"]
    assert [row[0] for row in rows] == ["real", "this model", "bicubic"]
    evaluation["restored_vs_real"]["fd_alexnet"] = {"real": 1.0, "superres": 2.0, "bicubic": 3.0}
    features, rows = ceiling_table(evaluation)
    assert features[1] == "AlexNet"
    assert [row[2] for row in rows] == ["1", "2", "3"]


def test_no_kind_of_features_that_was_measured_is_left_out_of_the_ceiling(evaluation: dict[str, Any]):
    kinds = get_args(FeatureBackbone)
    found = evaluation["restored_vs_real"]
    found |= {distance_name(kind): {"real": 1.0, "superres": 2.0, "bicubic": 3.0} for kind in kinds}
    features, rows = ceiling_table(evaluation)
    assert len(features) == len(set(features)) == len(kinds) == len(rows[0]) - 1
