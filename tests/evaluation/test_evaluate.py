"""The whole evaluation of small sets."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from small import install_random_weights

from panodiff.evaluation.evaluate import Models, Run, evaluate
from panodiff.evaluation.looks.plausibility import MEASUREMENTS
from panodiff.features.backbones import load_backbones
from panodiff.features.encoder import Encoder
from panodiff.features.perceptual import load_lpips
from panodiff.images import area_average, write_grey
from panodiff.params import Params
from panodiff.params_file import load_params
from panodiff.randomness import seeded_init

CPU = torch.device("cpu")
SIZES = {"train": 14, "val": 3, "test": 9}


def write_pair(folder: Path, name: str, generator: np.random.Generator, height: int) -> dict[str, str]:
    """A smooth random image, twice as wide as high, and its area average at a quarter of that."""
    coarse = torch.from_numpy(generator.random((1, 1, 4, 8), np.float32))
    image = F.interpolate(coarse, (height, 2 * height), mode="bicubic").clamp(0, 1).mul(255).byte().numpy()[0, 0]
    images = {"high": image, "low": area_average(image, 4)}
    for resolution, pixels in images.items():
        write_grey(folder / resolution / f"{name}.png", pixels)
    return {f"{resolution}_path": str(folder / resolution / f"{name}.png") for resolution in images}


def make_data(folder: Path, height: int) -> tuple[pd.DataFrame, Path]:
    """A corpus of three splits and a synthetic set of twelve."""
    generator = np.random.default_rng(0)
    rows = [
        {"id": f"real-{split}-{index:02d}", "status": "kept", "split": split, "group": f"{split}-{index}"}
        | write_pair(folder / "real", f"{split}-{index}", generator, height)
        for split, count in SIZES.items()
        for index in range(count)
    ]
    ids = [f"synthetic-{index:06d}" for index in range(12)]
    for name in ids:
        write_pair(folder / "synthetic", name, generator, height)
    for resolution in ("high", "low"):
        pd.DataFrame({"id": ids}).to_csv(folder / "synthetic" / resolution / "rows.csv", index=False)
    return pd.DataFrame(rows), folder / "synthetic"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), 32)


@pytest.fixture(scope="module")
def models():
    with seeded_init(0, "test"):
        encoder = Encoder((8, 16)).eval()

    def upscale(low):
        return F.interpolate(low, scale_factor=4, mode="nearest")

    return Models(backbones={"encoder": encoder}, upscale=upscale, lpips=None, device=CPU)


@pytest.fixture(scope="module", autouse=True)
def away(tmp_path_factory):
    """Features are cached in the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield


def params_with(**changes) -> Params:
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    return params.model_copy(update={"evaluate": params.evaluate.model_copy(update=changes)})


def run(data, models, out: Path, check_stop=lambda: None, params: Params | None = None) -> dict:
    measuring = Run(
        params=params or params_with(),
        models=models,
        corpus=data[0],
        tables=out / "evaluation",
        check_stop=check_stop,
    )
    evaluate(measuring, data[1], out / "evaluation.json")
    return json.loads((out / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def result(data, models, tmp_path_factory):
    out = tmp_path_factory.mktemp("metrics")
    return run(data, models, out), out


def test_the_summary_names_profile_counts_and_what_was_measured(result):
    content, _ = result
    assert content["profile"] == "smoke"
    assert set(content["detectability"]) == {"encoder", "artefacts", "places"}
    assert content["counts"] == {"synthetic": 12, "train": 14, "test": 9}
    assert set(content) == {
        *("profile", "absent", "counts", "sets", "draws", "copies", "plausibility", "detectability", "diversity"),
        *("restoration", "restored_vs_real"),
    }


def test_what_the_profile_does_not_ask_for_is_absent_and_the_summary_says_why(result):
    content, _ = result
    assert content["absent"]["lpips"] == "evaluate.lpips_backbone is null in this profile"
    assert "evaluate.backbones" in content["absent"]["fid_inception"]
    assert "lpips" not in content["restoration"] and "lpips" not in content["diversity"]["test"]


def test_both_resolutions_are_compared_and_no_set_leaks_into_another(result):
    content, _ = result
    for comparisons in content["sets"].values():
        assert (comparisons["train_vs_test"]["num_fake"], comparisons["train_vs_test"]["num_real"]) == (14, 9)
    high, low = (content["sets"][size]["train_vs_test"]["fd_encoder"] for size in ("high", "low"))
    assert high != low


def test_quarters_of_the_synthetic_set_show_what_other_seeds_would_give(result):
    found = result[0]["draws"]["high"]
    assert found["num_fake"] == [3, 3, 3, 3]
    assert len(set(found["fd_encoder"])) == len(set(found["kid_encoder"])) == 4


def test_the_tables_have_a_row_an_image_with_the_values_behind_the_summary(result, data):
    content, out = result
    copies, looks, restoration, published = (
        pd.read_csv(out / "evaluation" / f"{name}.csv") for name in ("copies", "looks", "restoration", "published")
    )
    assert list(copies["id"]) == list(published["id"]) == [f"synthetic-{index:06d}" for index in range(12)]
    assert set(copies["nearest_train_id"]) <= set(data[0].query("split == 'train'")["id"])
    assert copies["correlation"].max() == pytest.approx(content["copies"]["synthetic"]["max"], rel=1e-5)
    assert list(looks["set"].value_counts()[["synthetic", "train", "test"]]) == [12, 14, 9]
    for name in MEASUREMENTS:
        median = content["plausibility"]["measurements"][name]["median"]["test"]
        assert looks.query("set == 'test'")[name].median() == pytest.approx(median, rel=1e-5)
    assert list(restoration["id"]) == sorted(data[0].query("split == 'test'")["id"])
    mean = content["restoration"]["ms_ssim"]["bicubic"]["mean"]
    assert restoration["ms_ssim_bicubic"].mean() == pytest.approx(mean, rel=1e-5)


def test_the_map_of_where_it_looks_has_a_row_a_cell(result):
    where = pd.read_csv(result[1] / "evaluation" / "where.csv")
    assert list(where) == ["row", "column", "synthetic", "real"]
    assert len(where) == 8 * 16 and where.notna().all(axis=None)


def test_a_copy_is_named_and_neither_measured_nor_published_unless_asked_for(data, models, tmp_path):
    corpus, synthetic = data[0], tmp_path / "synthetic"
    shutil.copytree(data[1], synthetic)
    victim = corpus.query("split == 'train'").iloc[3]
    for size in ("high", "low"):
        shutil.copy(victim[f"{size}_path"], synthetic / size / "synthetic-000005.png")
    dropped = run((corpus, synthetic), models, tmp_path / "dropped")
    assert (dropped["copies"]["synthetic"]["flagged"], dropped["copies"]["dropped"]) == (1, 1)
    assert dropped["counts"]["synthetic"] == 11
    copies = pd.read_csv(tmp_path / "dropped" / "evaluation" / "copies.csv").set_index("id")
    assert copies.loc["synthetic-000005", "nearest_train_id"] == victim["id"]
    assert list(copies.index[copies["is_copy"] == 1]) == ["synthetic-000005"]
    published = pd.read_csv(tmp_path / "dropped" / "evaluation" / "published.csv")["id"]
    assert set(copies.index) - set(published) == {"synthetic-000005"}
    kept = run((corpus, synthetic), models, tmp_path / "kept", params=params_with(drop_copies=False))
    assert (kept["copies"]["synthetic"]["flagged"], kept["copies"]["dropped"]) == (1, 0)
    assert kept["counts"]["synthetic"] == 12
    distances = [found["sets"]["high"]["synthetic_vs_test"]["fd_encoder"]["value"] for found in (dropped, kept)]
    assert distances[0] != distances[1]


def test_a_set_of_copies_cannot_be_measured(data, models, tmp_path):
    corpus, synthetic = data[0], tmp_path / "synthetic"
    shutil.copytree(data[1], synthetic)
    train = corpus.query("split == 'train'")
    for number in range(12):
        for size in ("high", "low"):
            shutil.copy(train.iloc[number][f"{size}_path"], synthetic / size / f"synthetic-{number:06d}.png")
    with pytest.raises(ValueError, match=r"12 of 12 synthetic images copy a training image.*evaluate\.drop_copies"):
        run((corpus, synthetic), models, tmp_path / "out")


def test_other_backbones_and_lpips_stand_beside_the_encoder(models, tmp_path):
    install_random_weights(tmp_path, "squeezenet")
    more = replace(
        models,
        lpips=load_lpips("squeezenet", CPU, tmp_path),
        backbones=dict(models.backbones) | load_backbones(["squeezenet"], tmp_path, CPU, tmp_path),
    )
    params = params_with(lpips_backbone="squeezenet", backbones=("encoder", "squeezenet"))
    data = make_data(tmp_path / "data", 128)  # those networks need 32 pixels
    content = run(data, more, tmp_path, params=params)
    pair = content["sets"]["low"]["synthetic_vs_test"]
    assert {"fd_encoder", "fd_squeezenet", "kid_squeezenet", "coverage_squeezenet"} <= set(pair)
    assert {"fd_encoder.unbiased", "fd_squeezenet.unbiased"} <= set(pair["absent"])
    alone = run(data, models, tmp_path / "alone")["sets"]["low"]["synthetic_vs_test"]
    assert pair["fd_encoder"] == alone["fd_encoder"]
    assert set(content["restored_vs_real"]) == {"num_fake", "num_real", "fd_encoder", "fd_squeezenet"}
    assert set(content["restored_vs_real"]["fd_squeezenet"]) == {"real", "superres", "bicubic"}
    assert set(content["diversity"]["synthetic"]) == {"num_pairs", "ms_ssim", "lpips"}
    assert "lpips" in content["restoration"] and "lpips" not in content["absent"]


def test_the_same_images_give_the_same_bytes(result, data, models, tmp_path):
    _, out = result
    run(data, models, tmp_path)
    written = sorted(path.relative_to(out) for path in out.rglob("*.*"))
    assert len(written) == 7
    for name in written:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_a_stop_is_heard_and_nothing_is_written(data, models, tmp_path):
    def check_stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(data, models, tmp_path, check_stop)
    assert not list(tmp_path.iterdir())


def test_a_set_too_small_to_measure_is_named(data, models, tmp_path):
    corpus = data[0][~data[0]["id"].str.match(r"real-test-0[3-9]")]
    with pytest.raises(ValueError, match="at least 4 images in each set, got test: 3"):
        run((corpus, data[1]), models, tmp_path)
