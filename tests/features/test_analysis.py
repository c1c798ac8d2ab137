"""Which images the maps of the sources show, in which state, and what is written of them."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from clouds import a_corpus, features_by_source
from torch import nn

from panodiff.features.analysis import (
    Map,
    Thumbnail,
    draw_images,
    draw_synthetic,
    embed_images,
    make_maps,
    project,
    read_as_found,
    write_analysis,
)
from panodiff.features.separability import SYNTHETIC
from panodiff.files import write_csv
from panodiff.images import lanczos, write_grey
from panodiff.params import AnalyseSourcesParams
from panodiff.params_data import SourceParams
from panodiff.params_file import load_params
from panodiff.sources import UnusableError

SECTION = AnalyseSourcesParams(images_per_source=500, pca_dims=50, perplexity=30, num_neighbours=5)
CPU = torch.device("cpu")


class Halves(nn.Module):
    """In place of the encoder: greys of the left and of the right half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(x, (1, 2)).flatten(1)


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


def test_a_source_that_would_pass_for_the_drawn_images_is_refused():
    with pytest.raises(ValueError, match="must not hold synthetic"):
        draw_images(a_corpus({"adld": 9, SYNTHETIC: 9}), 10, seed=1)


def test_the_draw_of_synthetic_images_is_capped_and_each_is_a_group_of_its_own(tmp_path: Path):
    write_csv(tmp_path / "rows.csv", ["id", "seed"], [{"id": f"synthetic-{n:06d}", "seed": 1} for n in range(30)])
    drawn = draw_synthetic(tmp_path, 12, seed=1)
    assert len(drawn) == drawn["group"].nunique() == 12 and drawn["id"].is_monotonic_increasing
    assert set(drawn["source"]) == {SYNTHETIC}
    assert drawn["high_path"].iloc[0] == str(tmp_path / f"{drawn['id'].iloc[0]}.png")
    assert len(draw_synthetic(tmp_path, 100, seed=1)) == 30
    assert list(draw_synthetic(tmp_path, 12, seed=2)["id"]) != list(drawn["id"])


def a_radiograph(seed: int, size: tuple[int, int] = (90, 210), dtype: type = np.uint8) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (6, 12)).astype(dtype)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two sources: a zip with twenty plain files, and a 16-bit file of another shape."""
    root = tmp_path / "raw"
    (root / "adld").mkdir(parents=True)
    (root / "tufts").mkdir()
    with zipfile.ZipFile(root / "adld" / "images.zip", "w") as archive:
        for index in range(20):
            archive.writestr(f"{index}.png", cv2.imencode(".png", a_radiograph(index))[1].tobytes())
    cv2.imwrite(str(root / "tufts" / "deep.png"), a_radiograph(99, (120, 150), np.uint16))
    return root


def raw_rows() -> pd.DataFrame:
    rows = a_corpus({"adld": 20, "tufts": 1})
    rows["path"] = [*(f"images.zip/{index}.png" for index in range(20)), "deep.png"]
    return rows


def test_files_are_shown_as_found_whole_in_the_order_of_the_rows(raw: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PANODIFF_WORKERS", "3")
    sources = {"adld": SourceParams(quarter_turns=2, polarity="invert"), "tufts": SourceParams(window=(0, 100))}
    images = list(read_as_found(raw_rows(), raw, sources, (32, 64)))
    assert len(images) == 21
    for index in range(20):
        assert np.array_equal(images[index], lanczos(a_radiograph(index), (32, 64)))  # neither turned nor inverted
    deep = a_radiograph(99, (120, 150), np.uint16).astype(float)
    stretched = np.round((deep - deep.min()) * 255 / np.ptp(deep)).astype(np.uint8)
    assert np.abs(images[20].astype(int) - lanczos(stretched, (32, 64))).max() <= 1


def test_only_a_few_files_are_read_ahead_of_the_one_that_is_taken(raw: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PANODIFF_WORKERS", "1")
    rows = raw_rows().head(20)
    rows.loc[9, "path"] = "images.zip/gone.png"
    images = read_as_found(rows, raw, {"adld": SourceParams()}, (32, 64))
    for _ in range(4):
        next(images)
    with pytest.raises(UnusableError, match="not in the archive"):
        list(images)


def test_features_of_images_do_not_depend_on_the_batch():
    images, networks = (
        [a_radiograph(seed, (32, 64)) for seed in range(70)],
        {"encoder": Halves(), "pixels": Thumbnail()},
    )
    found = embed_images(images, networks, CPU)
    assert {name: features.shape for name, features in found.items()} == {"encoder": (70, 2), "pixels": (70, 512)}
    for name, features in embed_images(images[40:41], networks, CPU).items():
        assert found[name].dtype == np.float32 and np.allclose(found[name][40:41], features)


def test_a_thumbnail_holds_the_means_of_equal_parts_row_by_row():
    image = torch.arange(64 * 128).reshape(1, 1, 64, 128).float()
    found = Thumbnail()(image)
    assert found.shape == (1, 512)
    assert found[0, 33] == image[0, 0, 4:8, 4:8].mean()


def test_before_and_after_show_the_same_images_in_one_order(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    real = raw_rows().head(20)
    real["high_path"] = [f"harmonized/{name}.png" for name in real["id"]]
    for index, path in enumerate(real["high_path"]):
        write_grey(Path(path), 255 - lanczos(a_radiograph(index), (32, 64)))
    write_csv(tmp_path / "synthetic" / "rows.csv", ["id"], [{"id": f"s{n}"} for n in range(3)])
    for n in range(3):
        write_grey(tmp_path / "synthetic" / f"s{n}.png", a_radiograph(200 + n, (32, 64)))
    drawn = draw_synthetic(tmp_path / "synthetic", 9, seed=1)
    maps = make_maps(real, drawn, Halves(), raw=raw, sources={"adld": SourceParams()}, device=CPU)
    assert list(maps) == ["before", "after", "with_synthetic"]
    assert list(maps["before"].rows["id"]) == list(maps["after"].rows["id"]) == list(real["id"])
    for kind in ("encoder", "pixels"):
        before, after = (np.asarray(maps[name].features[kind]) for name in ("before", "after"))
        assert np.allclose(before, 1 - after, atol=1e-5)  # image by image
    both, images = maps["with_synthetic"], [a_radiograph(200 + n, (32, 64)) for n in range(3)]
    assert list(both.rows["source"]) == ["adld"] * 20 + [SYNTHETIC] * 3
    assert np.array_equal(both.features["encoder"][:20], maps["after"].features["encoder"])
    expected = embed_images(images, {"pixels": Thumbnail()}, CPU)["pixels"]
    assert np.allclose(both.features["pixels"][20:], expected)


def test_perplexity_and_components_shrink_with_a_small_set_and_say_so():
    points, used = project(np.random.default_rng(0).normal(size=(16, 8)), SECTION, seed=1)
    assert points.shape == (16, 2) and np.isfinite(points).all()
    assert used == {"pca_dims": 8, "perplexity": 5.0, "asked": {"pca_dims": 50, "perplexity": 30}}


def test_the_map_keeps_distant_sources_apart():
    rows = a_corpus({"adld": 40, "dentex": 40})
    points, _ = project(features_by_source(rows, 30.0), SECTION, seed=1)
    middles = [points[rows["source"] == source].mean(0) for source in ("adld", "dentex")]
    spread = max(points[rows["source"] == source].std(0).max() for source in ("adld", "dentex"))
    assert np.linalg.norm(middles[0] - middles[1]) > 4 * spread


def a_map(rows: pd.DataFrame, distance: float) -> Map:
    return Map(
        features={"encoder": features_by_source(rows, distance), "pixels": features_by_source(rows, 9.0)}, rows=rows
    )


def three_maps() -> tuple[dict[str, Map], pd.DataFrame]:
    corpus = a_corpus({"adld": 20, "dentex": 20})
    both = a_corpus({"adld": 20, "dentex": 20, SYNTHETIC: 8})
    both.loc[both["source"] == SYNTHETIC, "split"] = ""
    return {"before": a_map(corpus, 9.0), "after": a_map(corpus, 0.0), "with_synthetic": a_map(both, 0.0)}, corpus


def test_tables_are_the_same_bytes_each_time_and_name_map_and_profile(tmp_path: Path):
    (maps, corpus), params = three_maps(), load_params()
    for folder in ("once", "again"):
        write_analysis(maps, corpus, params, tmp_path / folder)
    for name in ("tsne.csv", "separability.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    table = pd.read_csv(tmp_path / "once" / "tsne.csv")
    assert list(table.columns) == ["map", "id", "source", "split", "x", "y"]
    assert table.groupby("map", sort=False)["id"].apply(list).to_dict() == {
        name: list(shown.rows["id"]) for name, shown in maps.items()
    }
    assert table[table["source"] == SYNTHETIC]["split"].isna().all()
    found = json.loads((tmp_path / "once" / "separability.json").read_text())
    assert (found["profile"], found["num_neighbours"]) == (params.profile, params.analyse_sources.num_neighbours)
    assert {name: of["num_images"] for name, of in found["maps"].items()} == {
        "before": 40,
        "after": 40,
        "with_synthetic": 48,
    }
    before, after, last = found["maps"].values()
    assert before["encoder"]["knn_accuracy"]["low"] > after["encoder"]["knn_accuracy"]["high"]
    assert before["pixels"] == after["pixels"]
    assert "mixing" not in after["encoder"] and last["encoder"]["mixing"]["chance"] == pytest.approx(7 / 47, rel=1e-5)


def test_each_number_of_the_section_changes_what_is_written(tmp_path: Path):
    (maps, corpus), params = three_maps(), load_params()

    def written(**changes: int) -> tuple[str, str]:
        section = params.analyse_sources.model_copy(update=changes)
        write_analysis(maps, corpus, params.model_copy(update={"analyse_sources": section}), tmp_path)
        return (tmp_path / "tsne.csv").read_text(), (tmp_path / "separability.json").read_text()

    points, numbers = written()
    assert written(perplexity=4)[0] != points and written(pca_dims=3)[0] != points
    same_points, other_numbers = written(num_neighbours=9)
    assert same_points == points and other_numbers != numbers
