import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from small import install_random_weights

from panodiff.evaluation.evaluate import Models, evaluate, rounded
from panodiff.features.encoder import Encoder
from panodiff.features.perceptual import load_lpips
from panodiff.images import area_average, write_grey
from panodiff.params import Params
from panodiff.params_file import load_params
from panodiff.randomness import seeded_init

SIZES = {"train": 14, "val": 3, "test": 9}


def write_pair(folder: Path, name: str, generator: np.random.Generator) -> dict[str, str]:
    """A smooth random image at 32×64 and its area average at 8×16."""
    coarse = torch.from_numpy(generator.random((1, 1, 4, 8), np.float32))
    image = F.interpolate(coarse, (32, 64), mode="bicubic").clamp(0, 1).mul(255).byte().numpy()[0, 0]
    images = {"high": image, "low": area_average(image, 4)}
    for resolution, pixels in images.items():
        write_grey(folder / resolution / f"{name}.png", pixels)
    return {f"{resolution}_path": str(folder / resolution / f"{name}.png") for resolution in images}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A corpus of three splits and a synthetic set of twelve."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    rows = [
        {"id": f"real-{split}-{index:02d}", "status": "kept", "split": split, "group": f"{split}-{index}"}
        | write_pair(folder / "real", f"{split}-{index}", generator)
        for split, count in SIZES.items()
        for index in range(count)
    ]
    ids = [f"synthetic-{index:06d}" for index in range(12)]
    for name in ids:
        write_pair(folder / "synthetic", name, generator)
    for resolution in ("high", "low"):
        pd.DataFrame({"id": ids}).to_csv(folder / "synthetic" / resolution / "rows.csv", index=False)
    return pd.DataFrame(rows), folder / "synthetic"


@pytest.fixture(scope="module")
def models():
    with seeded_init(0, "test"):
        encoder = Encoder((8, 16)).eval()

    def upscale(low):
        return F.interpolate(low, scale_factor=4, mode="nearest")

    return Models(encoder=encoder, upscale=upscale, lpips=None, device=torch.device("cpu"))


def run(data, models, out: Path, check_stop=lambda: None, params: Params | None = None) -> dict:
    evaluate(
        params or load_params(),
        models,
        corpus=data[0],
        synthetic=data[1],
        tables=out / "evaluation",
        summary=out / "evaluation.json",
        check_stop=check_stop,
    )
    return json.loads((out / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def result(data, models, tmp_path_factory):
    out = tmp_path_factory.mktemp("metrics")
    return run(data, models, out), out


def test_the_summary_names_profile_counts_and_at_most_ten_headline_numbers(result):
    content, _ = result
    assert content["profile"] == load_params().profile
    assert content["counts"] == {"synthetic": 12, "train": 14, "test": 9}
    assert len(content["headline"]) <= 10 and all(type(value) is float for value in content["headline"].values())
    assert content["headline"]["fd_encoder"] == content["sets"]["high"]["synthetic_vs_test"]["fd_encoder"]
    assert content["headline"]["psnr"] == content["restoration"]["psnr"]["superres"]["mean"]


def test_without_a_backbone_lpips_is_absent_and_the_summary_says_why(result):
    content, _ = result
    assert content["absent"] == {"lpips": "evaluate.lpips_backbone is null in this profile"}
    assert "lpips" not in content["headline"] and "lpips" not in content["restoration"]


def test_both_resolutions_are_compared_and_no_set_leaks_into_another(result):
    content, _ = result
    for comparisons in content["sets"].values():
        assert (comparisons["train_vs_test"]["num_fake"], comparisons["train_vs_test"]["num_real"]) == (14, 9)
    assert (
        content["sets"]["high"]["train_vs_test"]["fd_encoder"] != content["sets"]["low"]["train_vs_test"]["fd_encoder"]
    )


def test_the_tables_have_a_row_an_image_with_the_values_behind_the_means(result, data):
    content, out = result
    synthetic = pd.read_csv(out / "evaluation" / "synthetic.csv")
    restoration = pd.read_csv(out / "evaluation" / "restoration.csv")
    assert list(synthetic["id"]) == [f"synthetic-{index:06d}" for index in range(12)]
    assert set(synthetic["nearest_train_id"]) <= set(data[0].query("split == 'train'")["id"])
    assert list(restoration["id"]) == sorted(data[0].query("split == 'test'")["id"])
    assert restoration["psnr_bicubic"].mean() == pytest.approx(
        content["restoration"]["psnr"]["bicubic"]["mean"], rel=1e-5
    )
    distances = content["nearest_train"]["distances"]["synthetic_to_train"]
    assert synthetic["nearest_train_distance"].min() == pytest.approx(distances["min"], rel=1e-5)


def test_restored_halves_are_compared_with_real_halves_in_features_that_are_named(result, data, models, tmp_path):
    content, out = result
    found = content["restored_vs_real"]
    assert (found["num_fake"], found["num_real"]) == (4, 5)
    assert set(found) == {"num_fake", "num_real", "fd_encoder"}
    assert set(found["fd_encoder"]) == {"real", "superres", "bicubic"}
    spectrum = pd.read_csv(out / "evaluation" / "spectrum.csv")
    assert list(spectrum) == ["cycles_a_pixel", "superres", "bicubic", "real"]
    install_random_weights(tmp_path, "squeezenet")
    with_lpips = replace(models, lpips=load_lpips("squeezenet", torch.device("cpu"), tmp_path))
    params = load_params()
    measuring = params.evaluate.model_copy(update={"lpips_backbone": "squeezenet"})
    content = run(data, with_lpips, tmp_path, params=params.model_copy(update={"evaluate": measuring}))
    assert set(content["restored_vs_real"]) == {"num_fake", "num_real", "fd_encoder", "fd_squeezenet"}
    assert content["restored_vs_real"]["fd_encoder"] == found["fd_encoder"]


def test_the_same_images_give_the_same_bytes(result, data, models, tmp_path):
    _, out = result
    run(data, models, tmp_path)
    for name in (
        "evaluation.json",
        "evaluation/synthetic.csv",
        "evaluation/restoration.csv",
        "evaluation/spectrum.csv",
    ):
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


def test_numbers_are_rounded_to_six_digits_wherever_they_stand():
    assert rounded({"a": {"b": 1.23456789, "n": 7}, "c": "text"}) == {"a": {"b": 1.23457, "n": 7}, "c": "text"}
