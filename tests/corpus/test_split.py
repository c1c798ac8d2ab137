"""One corpus of all sources: what was kept, and in which split."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corpora import data_params, picture, run_source, run_split
from hypothesis import given, settings
from hypothesis import strategies as st
from made import Corpus
from PIL import Image, ImageOps
from test_candidates import stored

from panodiff.corpus.split import account, choose_splits, split_corpus, split_of
from panodiff.images import read_grey
from panodiff.manifest import write_manifest
from panodiff.params import SplitParams
from stages.split import drop_unlisted_sources

pytestmark = pytest.mark.usefixtures("one_worker")


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
    sizes = Counter(corpus.rows.loc[corpus.rows["status"] == "kept", "group"])
    assert metrics["groups"] == {
        "found": len(sizes),
        "with_several_images": sum(size > 1 for size in sizes.values()),
        "largest": max(sizes.values()),
    }
    assert metrics["groups"]["with_several_images"] > 0


def test_kept_images_have_a_group_and_a_split_duplicates_a_group_and_others_neither(corpus: Corpus):
    rows = corpus.rows
    for column in ("group", "split", "high_path"):
        assert rows.loc[rows["status"] == "kept", column].notna().all()
    assert rows.loc[rows["status"] != "kept", "split"].isna().all()
    assert rows.loc[rows["status"] == "duplicate", ["group", "copy_of", "reason"]].notna().all(axis=None)
    assert rows.loc[rows["status"].isin(["rejected", "beside"]), ["group", "copy_of"]].isna().all(axis=None)
    assert rows["id"].is_unique


def test_copies_and_flags_are_counted_by_kind(corpus: Corpus):
    metrics = json.loads((corpus.work / "data.json").read_text(encoding="utf-8"))
    copies = pd.read_csv(corpus.work / "manifest" / "copies.csv")
    assert metrics["copies"] == {kind.replace(" ", "_"): n for kind, n in Counter(copies["kind"]).items()}
    assert metrics["copies"]["same_pixels"] + metrics["copies"]["near_copy"] == metrics["total"]["duplicate"]
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    assert metrics["flags"] == Counter(" ".join(kept["flags"].dropna()).split())
    assert metrics["flags"]["mirrored_copy"] == metrics["copies"]["mirrored_copy"] > 0


def test_the_splits_of_the_sources_add_up(corpus: Corpus):
    metrics = json.loads((corpus.work / "data.json").read_text(encoding="utf-8"))
    for split, total in metrics["splits"].items():
        assert total == sum(counts[split] for counts in metrics["splits_by_source"].values())
    for source, counts in metrics["splits_by_source"].items():
        assert sum(counts.values()) == metrics["sources"][source]["kept"]


def test_published_counts_stand_beside_those_of_catalogued_sources_in_the_paper_profile_only(
    corpus: Corpus, capsys: pytest.CaptureFixture
):
    smoke, paper = (account(corpus.rows, data_params(profile=profile)) for profile in ("smoke", "paper"))
    assert not any("published" in counts for counts in smoke["sources"].values())
    assert paper["sources"]["dentex"]["published"].keys() == {"files", "distinct", "note"}
    assert paper["sources"]["dentex"]["published"]["files"] > 3000
    assert "dentex:" in capsys.readouterr().out  # what differs is told


def test_no_group_is_in_two_splits(corpus: Corpus):
    kept = corpus.rows[corpus.rows["status"] == "kept"]
    assert kept.groupby("group")["split"].nunique().eq(1).all()


PATIENTS = [picture(number) for number in range(7)]
OTHERS = [picture(number) for number in range(100, 110)]  # so that no split is empty


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=2, max_size=24),
    st.integers(0, 999),
)
def test_copies_of_any_radiographs_are_never_parted(
    tmp_path_factory: pytest.TempPathFactory, copies: list[tuple[int, int, bool]], seed: int
):
    folder = tmp_path_factory.mktemp("any")
    images = [np.round(PATIENTS[patient] * (1 - darker / 20)).astype(np.uint8) for patient, darker, _ in copies]
    images = [image[:, ::-1] if mirrored else image for image, (_, _, mirrored) in zip(images, copies, strict=True)]
    (folder / "mine").mkdir()
    stored(folder / "mine", images + OTHERS)
    patients = pd.Series([patient for patient, _, _ in copies] + list(range(100, 110)))
    rows = pd.DataFrame({"id": [f"mine-{number}" for number in range(len(patients))], "source": "mine"})
    rows = rows.assign(status="kept", path=rows["id"], format="PNG", height=64, width=128)
    rows["pixel_sha256"] = [str(copy) for copy in copies] + [f"other {number}" for number in range(len(OTHERS))]
    write_manifest(folder / "mine" / "rows.csv", rows)
    split_corpus(data_params(sources=("mine",), seed=seed), folder, folder / "manifest", folder / "data.json")
    corpus = pd.read_csv(folder / "manifest" / "corpus.csv")
    kept = corpus[corpus["status"] == "kept"]
    assert kept.groupby(patients)["split"].nunique().eq(1).all()
    assert corpus.groupby(patients)["group"].nunique().eq(1).all()
    assert corpus["group"].nunique() == patients.nunique()
    assert kept.groupby(patients).size().max() <= 2  # with its mirror image


UNCHANGED = ["source", "path", "status", "reason", "flags", "copy_of", "group", "split"]


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


def test_a_source_with_copies_of_the_others_moves_none_of_them_and_its_copies_are_the_duplicates(
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
            ImageOps.mirror(image).save(raw / f"{path.stem} mirrored.png")
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
        for kind, reason in (("exact", "same pixels as"), ("resized", "near copy of")):
            copy = new.loc[f"{path.stem} {kind}.png"]
            assert (copy["status"], copy["reason"]) == ("duplicate", f"{reason} {original.name}")
            assert copy["group"] == original["group"]
        mirrored = new.loc[f"{path.stem} mirrored.png"]
        assert (mirrored["status"], mirrored["flags"], mirrored["copy_of"]) == ("kept", "mirrored_copy", original.name)
        assert (mirrored["group"], mirrored["split"]) == (original["group"], original["split"])


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


def groups_of(**sources: int) -> pd.DataFrame:
    """Images each of a group of its own, so many of each source."""
    ids = [f"{source}-{number:012x}" for source, num in sources.items() for number in range(num)]
    return pd.DataFrame({"id": ids, "source": [name.split("-")[0] for name in ids], "group": ids})


def test_splits_depend_on_the_seed_and_not_on_the_order_of_the_rows():
    table = groups_of(one=200)
    splits = choose_splits(table, data_params(seed=1))
    assert choose_splits(table[::-1], data_params(seed=1)) == splits
    assert choose_splits(table, data_params(seed=2)) != splits


@given(st.integers(1, 300), st.floats(0.01, 0.49), st.floats(0.01, 0.49), st.integers(0, 999))
def test_in_each_source_the_shares_come_within_one_group_of_the_parameters(
    num: int, val: float, test: float, seed: int
):
    splits = choose_splits(groups_of(one=num), data_params(split=SplitParams(val=val, test=test), seed=seed))
    counts = Counter(splits.values())
    assert abs(counts["test"] - num * test) < 1
    assert abs(counts["val"] - num * val) < 1


def test_over_many_small_sources_the_shares_are_those_of_the_parameters_too():
    sources = {f"s{number}": 3 for number in range(1000)}
    counts = Counter(choose_splits(groups_of(**sources), data_params(split=SplitParams(val=0.1, test=0.15))).values())
    for split, share in {"val": 0.1, "test": 0.15, "train": 0.75}.items():
        assert abs(counts[split] - 3000 * share) < 4 * np.sqrt(3000 * share * (1 - share))


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.lists(st.integers(0, 59), max_size=9))
def test_a_source_added_at_the_end_moves_no_group_even_if_some_of_its_images_join_older_groups(
    before: int, more: int, joined: list[int]
):
    params = data_params()
    table = groups_of(old=before, new=more)
    for number, old in enumerate(joined[:more]):
        table.loc[before + number, "group"] = f"old-{old % before:012x}"
    alone, both = choose_splits(table[:before], params), choose_splits(table, params)
    assert both.items() >= alone.items()


def test_more_images_in_a_source_move_few_of_its_own_groups():
    before, after = (choose_splits(groups_of(one=num), data_params()) for num in (1000, 1050))
    assert sum(after[group] != split for group, split in before.items()) < 50


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
