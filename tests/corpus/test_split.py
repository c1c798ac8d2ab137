"""One corpus of all sources: what was kept, and in which split."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Corpus
from corpora import data_params, picture, run_source, run_split
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from panodiff.corpus.split import account, choose_split, split_corpus, split_of
from panodiff.images import read_grey, write_grey
from panodiff.manifest import write_manifest
from panodiff.params import SplitParams
from stages.split import drop_unlisted_sources


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANODIFF_WORKERS", "1")


def test_found_is_kept_and_duplicate_and_rejected_for_every_source(corpus: Corpus, phantoms: Path):
    metrics = json.loads((corpus.work / "data.json").read_text(encoding="utf-8"))
    truth = json.loads((phantoms / "truth.json").read_text(encoding="utf-8"))
    for source, counts in metrics["sources"].items():
        assert counts["found"] == counts["kept"] + counts["duplicate"] + counts["rejected"] == len(truth[source])
        on_disk = sum(path.is_file() for path in (phantoms / source).rglob("*"))
        assert counts["found"] + counts["beside"] == on_disk
    assert set(metrics["sources"]) == set(truth)
    total = Counter()
    for counts in metrics["sources"].values():
        total.update(counts)
    assert metrics["total"] == dict(total)
    assert sum(metrics["rejected_because"].values()) == total["rejected"] > 0
    assert sum(metrics["splits"].values()) == total["kept"]
    assert metrics["profile"] == "smoke"


def test_the_account_of_groups_is_that_of_the_rows(corpus: Corpus):
    metrics = json.loads((corpus.work / "data.json").read_text(encoding="utf-8"))
    sizes = Counter(corpus.rows["group"].dropna())
    assert metrics["groups"] == {
        "found": len(sizes),
        "with_several_images": sum(size > 1 for size in sizes.values()),
        "largest": max(sizes.values()),
    }
    assert metrics["groups"]["with_several_images"] > 0


def test_only_kept_images_have_a_group_and_a_split_and_all_of_them_do(corpus: Corpus):
    rows = corpus.rows
    for column in ("group", "split", "high_path"):
        assert rows.loc[rows["status"] == "kept", column].notna().all()
    for column in ("group", "split"):
        assert rows.loc[rows["status"] != "kept", column].isna().all()
    assert rows["id"].is_unique


def test_no_group_is_in_two_splits(corpus: Corpus):
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    assert kept.groupby("group")["split"].nunique().eq(1).all()


OTHERS = {number: picture(number, 32, 64) for number in range(100, 130)}  # so that no split is empty


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=2, max_size=24),
    st.integers(0, 999),
)
def test_copies_of_any_radiographs_are_never_parted(tmp_path: Path, copies: list[tuple[int, int, bool]], seed: int):
    folder = tmp_path / "any"
    for number, (patient, darker, mirrored) in enumerate(copies):
        image = (picture(patient, 32, 64) * (1 - darker / 20)).astype(np.uint8)
        write_grey(folder / f"{number}.png", image[:, ::-1].copy() if mirrored else image)
    copies = copies + [(patient, 0, False) for patient in OTHERS]
    for number, image in enumerate(OTHERS.values(), len(copies) - len(OTHERS)):
        write_grey(folder / f"{number}.png", image)
    rows = pd.DataFrame({"id": [f"mine-{number}" for number in range(len(copies))], "source": "mine", "status": "kept"})
    rows["pixel_sha256"] = [str(copy) for copy in copies]
    rows["low_path"] = [str(folder / f"{number}.png") for number in range(len(copies))]
    write_manifest(folder / "mine" / "rows.csv", rows)
    params = data_params(sources=("mine",), seed=seed)
    split_corpus(params, folder, tmp_path / "manifest", tmp_path / "data.json")
    corpus = pd.read_csv(tmp_path / "manifest" / "corpus.csv")
    patients = pd.Series([patient for patient, _, _ in copies])[corpus["status"] == "kept"]
    kept = corpus[corpus["status"] == "kept"]
    assert kept.groupby(patients)["split"].nunique().eq(1).all()
    assert kept.groupby(patients)["group"].nunique().eq(1).all()
    assert kept["group"].nunique() == patients.nunique()
    assert kept["split"].tolist() == [choose_split(group, params) for group in kept["group"]]


UNCHANGED = ["source", "path", "status", "reason", "group", "split"]


def test_one_more_source_moves_no_image_of_the_others(corpus: Corpus, tmp_path: Path):
    params = data_params()
    whole = corpus.rows.set_index("id")
    for count in (3, 4):
        few = params.model_copy(update={"sources": params.sources[:count]})
        split_corpus(few, corpus.work / "harmonized", tmp_path / "few", tmp_path / "few.json")
        before = pd.read_csv(tmp_path / "few" / "corpus.csv", index_col="id")
        assert set(before["source"]) == set(few.sources)
        after = whole.loc[before.index, UNCHANGED].astype(object)
        assert after.where(after.notna(), None).equals(before[UNCHANGED].astype(object).where(before.notna(), None))


def test_a_source_with_copies_of_the_others_moves_none_of_them_and_its_exact_copies_are_the_duplicates(
    corpus: Corpus, phantoms: Path, tmp_path: Path
):
    """`aaa` comes before the other names, and its ids before theirs."""
    raw, work = tmp_path / "raw", tmp_path / "work"
    raw.mkdir()
    images = sorted((phantoms / "tufts" / "Radiographs").glob("[1-4].JPG"))
    for path in images:
        with Image.open(path) as image:
            image.save(raw / f"{path.stem} exact.png")
            image.resize((image.width * 2, image.height * 2)).save(raw / f"{path.stem} resized.png")
    work.mkdir()
    (work / "harmonized").mkdir()
    for folder in (corpus.work / "harmonized").iterdir():
        (work / "harmonized" / folder.name).symlink_to(folder)
    params = data_params(sources=(*data_params().sources, "aaa"))
    run_source("aaa", raw, work, params)
    rows = run_split(params, work)
    before = corpus.rows.set_index("id")
    after = rows.set_index("id").loc[before.index]
    assert after[UNCHANGED].equals(before[UNCHANGED])
    new = rows[rows["source"] == "aaa"].set_index("path")
    for path in images:
        original = before[(before["source"] == "tufts") & (before["path"] == f"Radiographs/{path.name}")].iloc[0]
        exact, resized = new.loc[f"{path.stem} exact.png"], new.loc[f"{path.stem} resized.png"]
        assert exact["status"] == "duplicate"
        assert exact["reason"] == f"same pixels as {original.name}"
        assert (resized["group"], resized["split"]) == (original["group"], original["split"])


def test_the_order_of_sources_decides_which_copy_is_kept(tmp_path: Path):
    for source, own in (("one", 200), ("two", 300)):
        (tmp_path / source).mkdir()
        for number in (1, *range(own, own + 12)):
            Image.fromarray(picture(number)).save(tmp_path / source / f"{number}.png")
        run_source(source, tmp_path / source, tmp_path / "work", data_params())
    for sources in (("one", "two"), ("two", "one")):
        rows = run_split(data_params(sources=sources), tmp_path / "work")
        both = rows[rows["path"] == "1.png"]
        assert both["source"].tolist() == list(sources)
        assert both["status"].tolist() == ["kept", "duplicate"]
        assert (rows["status"] == "duplicate").sum() == 1


def test_a_split_that_got_no_radiograph_is_refused_with_what_to_change(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    Image.fromarray(picture(1)).save(tmp_path / "raw" / "1.png")
    run_source("mine", tmp_path / "raw", tmp_path / "work", data_params())
    with pytest.raises(ValueError, match=r"no radiograph fell to \w+, \w+ among 1: add .* or raise split.val"):
        run_split(data_params(sources=("mine",)), tmp_path / "work")
    assert not (tmp_path / "work" / "manifest").exists()


def test_the_split_depends_on_the_name_and_the_seed_alone(corpus: Corpus):
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    params = data_params()
    assert kept["split"].tolist() == [choose_split(group, params) for group in kept["group"]]
    names = [f"mine-{number}" for number in range(200)]
    one, two = ([choose_split(name, data_params(seed=seed)) for name in names] for seed in (1, 2))
    assert one != two


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.15), (0.02, 0.4)])
def test_over_ten_thousand_names_the_shares_are_those_of_the_parameters(val: float, test: float):
    params = data_params(split=SplitParams(val=val, test=test))
    counts = Counter(choose_split(f"dentex-{number:012x}", params) for number in range(10_000))
    for split, share in {"val": val, "test": test, "train": 1 - val - test}.items():
        deviation = np.sqrt(10_000 * share * (1 - share))
        assert abs(counts[split] - 10_000 * share) < 4 * deviation


def test_a_larger_test_share_takes_only_from_the_others():
    numbers = np.linspace(0, 1, 1000, endpoint=False)
    small, large = ([split_of(n, SplitParams(val=0.1, test=share)) for n in numbers] for share in (0.1, 0.2))
    assert all(after == "test" for before, after in zip(small, large, strict=True) if before == "test")


def test_no_radiograph_left_is_refused(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "1.png").write_bytes(b"")
    run_source("mine", tmp_path / "raw", tmp_path / "work", data_params())
    with pytest.raises(ValueError, match="no radiograph is left"):
        run_split(data_params(sources=("mine",)), tmp_path / "work")


def test_rows_that_are_not_accounted_for_stop_the_stage():
    rows = pd.DataFrame({"id": ["a"], "source": "mine", "status": "lost", "reason": "", "group": "", "split": ""})
    with pytest.raises(AssertionError, match="1 radiographs were found"):
        account(rows, data_params(sources=("mine",)))


def test_harmonized_images_are_8_bit_grey_of_the_two_sizes(corpus: Corpus):
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    assert {read_grey(Path(path)).shape for path in kept["high_path"]} == {(64, 128)}
    assert {read_grey(Path(path)).shape for path in kept["low_path"]} == {(32, 64)}


def test_folders_of_unlisted_sources_are_dropped_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    harmonized = tmp_path / "data" / "harmonized"
    for folder in ("smoke/adld", "smoke/old/high", "pilot/old", "elsewhere"):
        (harmonized / folder).mkdir(parents=True)
        (harmonized / folder / "1.png").write_bytes(b"")
    (harmonized / "smoke" / "linked").symlink_to(harmonized / "elsewhere")
    (harmonized / "smoke" / "tufts").symlink_to(harmonized / "elsewhere")
    (harmonized / "smoke" / "notes.txt").write_text("mine")
    drop_unlisted_sources(data_params())
    assert sorted(path.name for path in (harmonized / "smoke").iterdir()) == ["adld", "notes.txt", "tufts"]
    assert (harmonized / "pilot" / "old" / "1.png").is_file()
    assert (harmonized / "elsewhere" / "1.png").is_file()  # what a link pointed to
    drop_unlisted_sources(data_params(profile="paper"))  # nothing there
