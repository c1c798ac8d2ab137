import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panodiff.features.analysis import draw_images, guess_sources, project, separability, write_analysis
from panodiff.params import AnalyseSourcesParams
from panodiff.params_file import load_params

SECTION = AnalyseSourcesParams(images_per_source=500, pca_dims=50, perplexity=30, num_neighbours=5)


def a_corpus(sources: dict[str, int]) -> pd.DataFrame:
    rows = [
        {"id": f"{source}-{index:03d}", "source": source, "status": "kept", "group": f"{source}-{index}"}
        | {"split": ("train", "val", "test")[index % 3]}
        for source, count in sources.items()
        for index in range(count)
    ]
    return pd.DataFrame(rows)


def features_by_source(rows: pd.DataFrame, distance: float, seed: int = 0) -> np.ndarray:
    """Gaussian clouds, one a source, `distance` apart along each source's own axis."""
    noise = np.random.default_rng(seed).normal(size=(len(rows), 12))
    codes = rows["source"].astype("category").cat.codes.to_numpy()
    noise[np.arange(len(rows)), codes] += distance
    return noise


def test_sources_that_lie_apart_are_always_told_and_others_as_often_as_by_chance():
    rows = a_corpus({"adld": 80, "dentex": 80, "tufts": 80})
    apart = separability(features_by_source(rows, 30.0), rows, 5)
    mixed = separability(features_by_source(rows, 0.0), rows, 5)
    assert apart["knn_accuracy"] == 1 and apart["silhouette"] > 0.8
    assert apart["chance"] == mixed["chance"] == pytest.approx(1 / 3, abs=1e-5)
    assert mixed["knn_accuracy"] == pytest.approx(1 / 3, abs=0.1)  # 3 standard errors of 240 guesses
    assert abs(mixed["silhouette"]) < 0.02


def test_copies_of_an_image_do_not_help_to_guess_its_source():
    rows = a_corpus({"adld": 60, "dentex": 60})
    features = features_by_source(rows, 0.0)
    features[1::2] = features[::2]  # each image twice, in the same source
    alone = separability(features, rows, 1)
    rows["group"] = np.arange(len(rows)) // 2
    grouped = separability(features, rows, 1)
    assert alone["knn_accuracy"] == 1
    assert grouped["knn_accuracy"] < 0.65


def test_chance_is_the_share_of_the_largest_source():
    rows = a_corpus({"adld": 30, "dentex": 10})
    assert separability(features_by_source(rows, 1.0), rows, 3)["chance"] == 0.75


def test_a_tied_vote_goes_to_the_nearest_neighbour():
    features = np.array([[0.0], [1.0], [-2.0], [50.0]])
    sources = np.array(["x", "near", "far", "other"], dtype=object)
    groups = np.arange(4).astype(object)
    assert guess_sources(features, sources, groups, 2)[0] == "near"


def test_an_image_without_neighbours_outside_its_group_is_not_guessed():
    guesses = guess_sources(np.eye(3), np.array(["a"] * 3, object), np.array(["g"] * 3, object), 2)
    assert list(guesses) == [None, None, None]


def test_one_source_alone_has_no_silhouette():
    rows = a_corpus({"adld": 9})
    found = separability(features_by_source(rows, 0.0), rows, 3)
    assert found["silhouette"] is None and found["chance"] == found["knn_accuracy"] == 1


def test_the_draw_is_capped_seeded_and_blind_to_the_order_of_rows():
    corpus = a_corpus({"adld": 40, "dentex": 5})
    corpus.loc[0, "status"] = "duplicate"
    drawn = draw_images(corpus, 10, seed=1)
    assert drawn["source"].value_counts().to_dict() == {"adld": 10, "dentex": 5}
    assert "adld-000" not in set(draw_images(corpus, 100, seed=1)["id"])
    shuffled = corpus.sample(frac=1, random_state=3)
    assert list(draw_images(shuffled, 10, seed=1)["id"]) == list(drawn["id"])
    assert list(draw_images(corpus, 10, seed=2)["id"]) != list(drawn["id"])


def test_too_few_images_for_a_map_are_refused():
    with pytest.raises(ValueError, match="at least 4 images, got 3"):
        draw_images(a_corpus({"adld": 3}), 10, seed=1)


def test_perplexity_and_components_shrink_with_a_small_set_and_say_so():
    points, used = project(np.random.default_rng(0).normal(size=(16, 8)), SECTION, seed=1)
    assert points.shape == (16, 2) and np.isfinite(points).all()
    assert used == {"pca_dims": 8, "perplexity": 5.0, "asked": {"pca_dims": 50, "perplexity": 30}}


def test_the_map_keeps_distant_sources_apart():
    rows = a_corpus({"adld": 40, "dentex": 40})
    points, _ = project(features_by_source(rows, 30.0), SECTION, seed=1)
    assert separability(points, rows, 5)["knn_accuracy"] == 1


def test_table_and_figure_are_the_same_bytes_each_time(tmp_path):
    rows = a_corpus({"adld": 20, "dentex": 20})
    params = load_params()
    for folder in ("once", "again"):
        write_analysis(features_by_source(rows, 2.0), rows, params, tmp_path / folder)
    for name in ("tsne.csv", "tsne.png", "separability.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    table = pd.read_csv(tmp_path / "once" / "tsne.csv")
    assert list(table.columns) == ["id", "source", "split", "x", "y"] and list(table["id"]) == list(rows["id"])
    found = json.loads((tmp_path / "once" / "separability.json").read_text())
    assert found["profile"] == params.profile and found["num_images"] == 40
    with Image.open(tmp_path / "once" / "tsne.png") as figure:
        assert figure.size[0] == 1000 and "Software" not in figure.info
