import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from panodiff.images import read_grey, write_grey
from panodiff.params import Params
from panodiff.params_file import load_params
from panodiff.study.draw import FILE_TIME, draw_study, even_shares


@pytest.fixture
def data(tmp_path):
    """A test split of three uneven sources, some training images, and synthetic images with text chunks."""
    generator = np.random.default_rng(0)
    rows = []
    for source, split, count in (
        ("adld", "test", 9),
        ("dentex", "test", 6),
        ("tufts", "test", 2),
        ("adld", "train", 9),
        ("adld", "val", 5),
    ):
        for index in range(count):
            name = f"{source}-{split}-{index}"
            path = tmp_path / "real" / f"{name}.png"
            write_grey(path, generator.integers(0, 256, (16, 32), np.uint8))
            rows.append({"id": name, "source": source, "split": split, "status": "kept", "high_path": str(path)})
    ids = [f"synthetic-{index:06d}" for index in range(15)]
    for name in ids:
        pixels = generator.integers(0, 256, (16, 32), np.uint8)
        write_grey(tmp_path / "synthetic" / f"{name}.png", pixels, {"Title": "Synthetic panoramic radiograph"})
    pd.DataFrame({"id": ids}).to_csv(tmp_path / "published.csv", index=False)
    return pd.DataFrame(rows), tmp_path / "synthetic"


def asking_for(num_real: int, num_synthetic: int, seed: int = 1, num_warm_up: int = 0) -> Params:
    params = load_params()
    asked = {"num_real": num_real, "num_synthetic": num_synthetic, "num_warm_up": num_warm_up}
    study = params.study.model_copy(update=asked)
    return params.model_copy(update={"study": study, "seed": seed})


def draw(data, params: Params, out: Path) -> pd.DataFrame:
    draw_study(params, corpus=data[0], synthetic=data[1], published=data[1].parent / "published.csv", out=out)
    return pd.read_csv(out / "key.csv")


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Type and content of each chunk of a PNG, the pixels' content left out."""
    data, position, found = path.read_bytes(), 8, []
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        found.append((kind, b"" if kind == b"IDAT" else data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def test_files_of_both_classes_differ_in_pixels_only(data, tmp_path):
    key = draw(data, asking_for(6, 8), tmp_path / "study")
    headers = {label: set() for label in ("real", "synthetic")}
    for row in key.itertuples():
        path = tmp_path / "study/served/cases" / f"{row.case}.png"
        headers[row.label].add((tuple(chunks(path)), path.stat().st_mode))
    assert headers["real"] == headers["synthetic"] and len(headers["real"]) == 1
    ((found, _),) = headers["real"]
    assert [kind for kind, _ in found] == [b"IHDR", b"IDAT", b"IEND"]


def test_the_pixels_are_those_of_the_sources(data, tmp_path):
    key = draw(data, asking_for(6, 8), tmp_path / "study")
    paths = dict(zip(data[0]["id"], map(Path, data[0]["high_path"]), strict=True))
    paths |= {path.stem: path for path in data[1].glob("*.png")}
    for row in key.itertuples():
        case = read_grey(tmp_path / "study/served/cases" / f"{row.case}.png")
        np.testing.assert_array_equal(case, read_grey(paths[row.id]))
        assert (row.label == "synthetic") == row.id.startswith("synthetic")


def form_of(path: Path) -> dict[str, float]:
    """What a script may measure of a case without seeing what is in the picture."""
    decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    counts = np.bincount(decoded.ravel(), minlength=256)
    used = np.flatnonzero(counts)
    return {
        "bytes": path.stat().st_size,
        "channels": decoded.ndim,
        "depth": decoded.dtype.itemsize,
        "pixels": decoded.size,
        "darkest": used[0],
        "brightest": used[-1],
        "black": counts[0],
        "white": counts[255],
        "greys left out": used[-1] - used[0] + 1 - len(used),
    }


def test_of_pictures_alike_in_content_no_measure_of_form_tells_the_classes_apart(tmp_path):
    """Pictures of one kind on both sides: file length and the ends of the histogram then differ by chance only."""
    generator, num = np.random.default_rng(0), 60

    def picture() -> np.ndarray:  # some are short of black or white, some are cut off there, some leave greys out
        low, high = generator.integers(-60, 60), generator.integers(200, 320)
        grain = cv2.GaussianBlur(generator.random((32, 64)), (0, 0), generator.uniform(0.5, 3))
        greys = low + (high - low) * (grain - grain.min()) / np.ptp(grain)
        step = generator.choice([1, 2], p=[0.7, 0.3])
        return (np.clip(greys, 0, 255) // step * step).astype(np.uint8)

    rows, ids = [], [f"synthetic-{index:06d}" for index in range(num)]
    for index in range(num):
        path = tmp_path / f"real/{index}.png"
        write_grey(path, picture())
        rows.append({"id": f"r{index}", "source": "adld", "split": "test", "status": "kept", "high_path": str(path)})
        write_grey(tmp_path / f"synthetic/{ids[index]}.png", picture(), {"Title": "Synthetic panoramic radiograph"})
    pd.DataFrame({"id": ids}).to_csv(tmp_path / "published.csv", index=False)
    key = draw((pd.DataFrame(rows), tmp_path / "synthetic"), asking_for(num, num), tmp_path / "study")
    forms = pd.DataFrame([form_of(tmp_path / f"study/served/cases/{case}.png") for case in key["case"]])
    deviation = np.sqrt((2 * num + 1) / (12 * num * num))  # of the AUC of a measure that says nothing
    for name, values in forms.items():
        assert abs(roc_auc_score(key["label"] == "synthetic", values) - 0.5) < 3.5 * deviation, name
    for name in ("channels", "depth", "pixels"):
        assert forms[name].nunique() == 1, name
    assert all(forms[name].nunique() > 5 for name in ("bytes", "darkest", "brightest", "black", "white"))


def test_what_readers_may_see_holds_no_label(data, tmp_path):
    key = draw(data, asking_for(6, 8), tmp_path / "study")
    served = (tmp_path / "study/served/cases.csv").read_text()
    for word in ("real", "synthetic", "label", *key["id"]):
        assert word not in served
    assert sorted(path.name for path in (tmp_path / "study/served/cases").iterdir()) == sorted(key["case"] + ".png")
    table = pd.read_csv(tmp_path / "study/served/cases.csv")
    assert list(table["case"]) == list(key["case"]) and all(
        (tmp_path / "study/served" / path).is_file() for path in table["path"]
    )


def test_file_times_are_equal_and_names_opaque(data, tmp_path):
    key = draw(data, asking_for(6, 8), tmp_path / "study")
    times = {path.stat().st_mtime for path in (tmp_path / "study/served/cases").iterdir()}
    assert times == {FILE_TIME}
    assert key["case"].is_unique and key["case"].str.fullmatch(r"case-[0-9a-f]{16}").all()


def test_order_and_names_are_independent_of_the_class(data, tmp_path):
    """Over many seeds the classes' mean places, in the order and sorted by name, differ by chance only."""
    gaps = {"order": [], "name": []}
    for seed in range(30):
        key = draw(data, asking_for(6, 6, seed), tmp_path / str(seed))
        for how, table in (("order", key), ("name", key.sort_values("case"))):
            is_real = (table["label"] == "real").to_numpy()
            places = np.arange(len(table))
            gaps[how].append(places[is_real].mean() - places[~is_real].mean())
    for how, values in gaps.items():
        standard_error = np.sqrt(13 / 3 / 30)  # of the mean of 30 gaps, each of variance 13 (1/6 + 1/6)
        assert abs(np.mean(values)) < 4 * standard_error, how
        assert len(set(values)) > 5, how


def test_the_draw_is_seeded(data, tmp_path):
    keys = [draw(data, asking_for(6, 8, seed), tmp_path / name) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert keys[0].equals(keys[1])
    assert set(keys[0]["case"]).isdisjoint(keys[2]["case"]) and set(keys[0]["id"]) != set(keys[2]["id"])


def test_sources_are_drawn_evenly_and_from_the_test_split_only(data, tmp_path):
    key = draw(data, asking_for(9, 1), tmp_path / "study")
    real = data[0].set_index("id").loc[key.query("label == 'real'")["id"]]
    assert set(real["split"]) == {"test"} and key["id"].is_unique
    assert real["source"].value_counts().to_dict() == {"adld": 4, "dentex": 3, "tufts": 2}


def test_a_set_that_is_too_small_is_taken_whole_and_the_summary_says_so(data, tmp_path):
    key = draw(data, asking_for(100, 10), tmp_path / "study")
    found = json.loads((tmp_path / "study/served/study.json").read_text())
    assert found["num_real"] == {"asked": 100, "drawn": 17} and found["num_synthetic"] == {"asked": 10, "drawn": 10}
    assert found["num_cases"] == len(key) == 27 and found["size"] == [16, 32]
    assert found["time_limit_s"] == load_params().study.time_limit_s and found["profile"] == load_params().profile


def test_an_image_that_may_not_be_published_is_no_case(data, tmp_path):
    table = data[1].parent / "published.csv"
    pd.read_csv(table).query("id != 'synthetic-000003'").to_csv(table, index=False)
    key = draw(data, asking_for(2, 100), tmp_path / "study")
    assert len(key) == 16 and "synthetic-000003" not in set(key["id"])


def test_warm_up_cases_are_half_real_marked_and_no_case_that_counts(data, tmp_path):
    key = draw(data, asking_for(6, 8, num_warm_up=6), tmp_path / "study")
    warm, counted = key[key["warm_up"] == 1], key[key["warm_up"] == 0]
    assert warm["label"].value_counts().to_dict() == {"real": 3, "synthetic": 3}
    assert all("-val-" in name for name in warm.loc[warm["label"] == "real", "id"])
    assert all("-test-" in name for name in counted.loc[counted["label"] == "real", "id"])
    assert key["id"].is_unique and len(counted) == 14
    served = pd.read_csv(tmp_path / "study/served/cases.csv")
    assert dict(zip(served["case"], served["warm_up"], strict=True)) == dict(
        zip(key["case"], key["warm_up"], strict=True)
    )
    found = json.loads((tmp_path / "study/served/study.json").read_text())
    assert (found["num_cases"], found["num_warm_up"]) == (14, {"asked": 6, "drawn": 6})


@pytest.mark.parametrize(("num_synthetic", "drawn"), [(15, 0), (14, 2), (13, 4)])
def test_a_warm_up_takes_no_synthetic_image_from_the_cases_that_count_and_stays_half_real(
    data, tmp_path, num_synthetic, drawn
):
    key = draw(data, asking_for(6, num_synthetic, num_warm_up=4), tmp_path / "study")
    assert (key.query("warm_up == 0")["label"] == "synthetic").sum() == num_synthetic
    warm_up = key.query("warm_up == 1")["label"]
    assert (warm_up == "synthetic").sum() == (warm_up == "real").sum() == drawn / 2
    rules = json.loads((tmp_path / "study/served/study.json").read_text())
    assert rules["num_warm_up"] == {"asked": 4, "drawn": drawn}


def test_images_of_two_sizes_are_refused(data, tmp_path):
    write_grey(data[1] / "synthetic-000003.png", np.zeros((16, 40), np.uint8))
    with pytest.raises(ValueError, match="gives itself away"):
        draw(data, asking_for(6, 15), tmp_path / "study")


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 30), min_size=1), st.integers(0, 80))
def test_shares_are_as_even_as_the_sources_allow(available, wanted):
    shares = even_shares(available, wanted)
    assert sum(shares.values()) == min(wanted, sum(available.values()))
    assert all(shares[source] <= available[source] for source in available)
    open_ones = [shares[source] for source in available if shares[source] < available[source]]
    assert all(max(shares.values()) - share <= 1 for share in open_ones)
