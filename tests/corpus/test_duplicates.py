"""Which files repeat a radiograph, which of them stays, and which images must stay together."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corpora import data_params, picture, run_source, run_split
from hypothesis import given, settings
from hypothesis import strategies as st
from made import Corpus
from test_candidates import stored

from panodiff.corpus.duplicates import (
    MIRRORED,
    NEAR,
    SAME_PIXELS,
    Copies,
    Matches,
    choose_kept,
    first_of_equals,
    group_names,
    keep_order,
    mark_copies,
)
from panodiff.corpus.fields import Fields
from panodiff.images import Grey
from panodiff.manifest import COLUMNS

pytestmark = pytest.mark.usefixtures("one_worker")


def rows(num: int, **columns: list) -> pd.DataFrame:
    """Kept images of one size in one source, in the order of their paths; `columns` say what is different."""
    base = {
        "id": [f"id-{number}" for number in range(num)],
        "source": ["mine"] * num,
        "path": [f"{number:03}.png" for number in range(num)],
        "format": ["PNG"] * num,
        "height": [64] * num,
        "width": [128] * num,
        "status": ["kept"] * num,
        "pixel_sha256": [f"hash-{number}" for number in range(num)],
    }
    table = pd.DataFrame(base | columns).reindex(columns=list(COLUMNS))
    return table.astype({name: "string" for name in COLUMNS if name not in ("height", "width")})


def matches(*pairs: tuple[int, int, bool, float]) -> Matches:
    first, second, mirrored, correlation = zip(*pairs, strict=True) if pairs else ((), (), (), ())
    return Matches(
        first=np.array(first, np.int64),
        second=np.array(second, np.int64),
        mirrored=np.array(mirrored, np.bool_),
        correlation=np.array(correlation, np.float32),
    )


def kinds(copies: Copies) -> list[str]:
    return copies.kind.tolist()


def test_images_are_taken_by_source_then_pixels_then_lossless_format_then_path():
    table = rows(
        6,
        source=["z", "z", "z", "z", "z", "a"],
        path=["5", "4", "3", "2", "1", "0"],
        format=["PNG", "JPEG", "WEBP", "BMP", "PNG", "PNG"],
        height=[99, 100, 100, 100, 100, 500],
        width=[128] * 6,
    )
    assert keep_order(table).tolist() == [4, 3, 2, 1, 0, 5]


def test_of_equal_pixels_the_first_in_that_order_stays_and_the_others_name_it(tmp_path: Path):
    table = rows(4, pixel_sha256=["a", "b", "a", "a"], format=["JPEG", "PNG", "PNG", "JPEG"])
    images = [picture(1), picture(2), picture(1), picture(1)]
    marked, copies = mark_copies(table, stored(tmp_path, images))
    assert marked["status"].tolist() == ["duplicate", "kept", "kept", "duplicate"]
    assert marked["reason"].dropna().tolist() == ["same pixels as id-2"] * 2
    assert marked["copy_of"].tolist()[::3] == ["id-2"] * 2
    assert marked["group"].tolist() == ["id-0", "id-1", "id-0", "id-0"]  # named after the first path, kept or not
    assert copies.to_dict("records") == [
        {"id": name, "copy_of": "id-2", "kind": "same pixels", "correlation": 1} for name in ("id-0", "id-3")
    ]
    assert table["status"].tolist() == ["kept"] * 4  # the rows given are not changed


def test_a_rejected_file_is_no_first_copy(tmp_path: Path):
    table = rows(3, pixel_sha256=["a", "a", "a"], status=["rejected", "kept", "kept"])
    marked, _ = mark_copies(table, stored(tmp_path, [picture(1)] * 2))
    assert marked["status"].tolist() == ["rejected", "kept", "duplicate"]
    assert marked["reason"].tolist()[2] == "same pixels as id-1"
    assert marked["group"].isna().tolist() == [True, False, False]


def test_first_of_equals_goes_by_the_order_given():
    assert first_of_equals(pd.Series(["a", "b", "a", "b"]), np.array([2, 3, 1, 0])).tolist() == [2, 3, 2, 3]


def test_of_a_chain_whose_ends_are_not_near_both_ends_stay_and_the_middle_goes():
    copies = choose_kept(np.arange(3), np.arange(3), matches((0, 1, False, 0.9), (1, 2, False, 0.95)))
    assert kinds(copies) == ["", NEAR, ""]
    assert copies.of.tolist() == [-1, 0, -1]


def test_a_copy_names_the_kept_image_that_it_comes_closest_to():
    copies = choose_kept(np.arange(3), np.arange(3), matches((0, 2, False, 0.8), (1, 2, False, 0.9)))
    assert copies.of.tolist() == [-1, -1, 1]
    assert np.isclose(copies.correlation[2], 0.9)


def test_a_mirrored_copy_is_kept_and_its_own_copies_go():
    copies = choose_kept(
        np.arange(4),
        np.arange(4),
        matches((0, 1, True, 0.9), (1, 2, False, 0.95), (0, 2, True, 0.99), (2, 3, True, 0.9)),
    )
    assert kinds(copies) == ["", MIRRORED, NEAR, MIRRORED]
    assert copies.of.tolist() == [-1, 0, 1, 1]  # 3 mirrors the duplicate 2, so it names what that repeats


def test_the_pixels_of_a_near_copy_go_with_it_and_name_the_image_that_is_kept(tmp_path: Path):
    darker = np.round(picture(1) * 0.8).astype(np.uint8)
    table = rows(4, pixel_sha256=["a", "b", "b", "c"])
    marked, _ = mark_copies(table, stored(tmp_path, [picture(1), darker, darker, picture(1)[:, ::-1]]))
    assert marked["status"].tolist() == ["kept", "duplicate", "duplicate", "kept"]
    assert marked["reason"].dropna().tolist() == ["near copy of id-0"] * 2
    assert marked["copy_of"].dropna().tolist() == ["id-0"] * 3
    assert marked["flags"].tolist()[3] == "mirrored_copy"
    assert set(marked["group"]) == {"id-0"}


def test_the_flag_is_added_to_those_of_the_image(tmp_path: Path):
    table = rows(2, flags=[None, "dark text"])
    marked, _ = mark_copies(table, stored(tmp_path, [picture(1), picture(1)[:, ::-1]]))
    assert marked["flags"].tolist()[1] == "dark text mirrored_copy"


def test_groups_join_copies_mirrored_ones_and_patients_in_chains_and_are_named_by_source_and_path():
    table = rows(
        8,
        source=["z", "z", "z", "z", "z", "a", "a", "a"],
        path=["4", "3", "2", "1", "0", "7", "6", "5"],
        patient=["p1", None, "p1", None, None, None, None, None],
    )
    firsts = np.array([0, 1, 2, 3, 4, 5, 6, 3])
    names = group_names(table, firsts, matches((1, 2, True, 0.9), (4, 6, False, 0.9)))
    assert names == ["id-2", "id-2", "id-2", "id-3", "id-4", "id-5", "id-4", "id-3"]


PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19), st.booleans(), st.floats(0.75, 1)), max_size=40).map(
    lambda pairs: {(min(a, b), max(a, b), m): c for a, b, m, c in pairs if a != b}
)


@settings(max_examples=200, deadline=None)
@given(PAIRS, st.integers(1, 20), st.lists(st.integers(0, 19), min_size=20, max_size=20))
def test_no_two_kept_images_are_near_each_duplicate_is_near_what_it_names_and_later_ones_change_nothing(
    pairs: dict, few: int, equals: list[int]
):
    near = matches(*((a, b, m, c) for (a, b, m), c in pairs.items()))
    first = np.array([min(equals.index(hashed), number) for number, hashed in enumerate(equals)])
    whole = np.flatnonzero(first == np.arange(20))
    ok = np.isin(near.first, whole) & np.isin(near.second, whole)
    near = matches(*zip(*(getattr(near, name)[ok].tolist() for name in vars(near)), strict=True))
    copies = choose_kept(np.arange(20), first, near)
    kept = np.isin(copies.kind, ("", MIRRORED))
    for one, other, mirrored in zip(near.first, near.second, near.mirrored, strict=True):
        assert mirrored or not (kept[one] and kept[other])
    for image, (of, kind) in enumerate(zip(copies.of, copies.kind, strict=True)):
        if kind == NEAR and first[image] == image:
            assert (min(image, of), max(image, of), False) in pairs
        assert (of >= 0) == (kind != "")
        assert of < 0 or (kept[of] and of < image)
    before = near.second < few
    fewer = matches(*zip(*(getattr(near, name)[before].tolist() for name in vars(near)), strict=True))
    alone = choose_kept(np.arange(few), first[:few], fewer)
    assert alone.of.tolist() == copies.of[:few].tolist()
    assert kinds(alone) == kinds(copies)[:few]


def planted(phantoms: Path) -> dict[tuple[str, str], dict]:
    truth = json.loads((phantoms / "truth.json").read_text(encoding="utf-8"))
    return {(source, path): record for source, records in truth.items() for path, record in records.items()}


def by_path(corpus: Corpus) -> pd.DataFrame:
    return corpus.rows.set_index(["source", "path"]).sort_index()


def test_of_each_planted_radiograph_one_copy_stays_besides_mirrored_ones(corpus: Corpus, phantoms: Path):
    records = {
        key: record for key, record in planted(phantoms).items() if record["broken"] in (None, "wrong extension")
    }
    found = (
        by_path(corpus)
        .loc[list(records)]
        .assign(
            patient_path=[f"{source}/{record['copy_of'] or path}" for (source, path), record in records.items()],
            copied=[record["copy_kind"] for record in records.values()],
        )
    )
    assert {"exact", "recompressed", "resized", "brightness", "cropped", "mirrored"} <= set(found["copied"].dropna())
    upright = found[found["copied"].ne("mirrored")]
    assert upright.groupby("patient_path")["status"].agg(lambda status: (status == "kept").sum()).eq(1).all()
    mirrored = found[found["copied"].eq("mirrored")]
    assert mirrored["status"].eq("kept").all()
    assert mirrored["flags"].str.contains("mirrored_copy").all()
    assert found.groupby("patient_path")["group"].nunique().eq(1).all()
    assert found.groupby("group")["patient_path"].nunique().eq(1).all()
    kept = dict(zip(found["id"], found["patient_path"], strict=True))
    copies = found[found["copy_of"].notna()]
    assert [kept[name] for name in copies["copy_of"]] == copies["patient_path"].tolist()


def test_all_planted_broken_files_are_rejected_and_the_wrong_extension_is_not(corpus: Corpus, phantoms: Path):
    found = by_path(corpus)
    broken = {key: record["broken"] for key, record in planted(phantoms).items() if record["broken"]}
    assert set(broken.values()) == {"empty", "truncated", "text", "wrong extension"}
    for key, kind in broken.items():
        assert (found.at[key, "status"] == "rejected") == (kind != "wrong extension")
    assert (found["status"] == "rejected").sum() == sum(kind != "wrong extension" for kind in broken.values())


def test_the_table_of_copies_says_what_the_manifest_says(corpus: Corpus):
    copies = pd.read_csv(corpus.work / "manifest" / "copies.csv").set_index("id")
    found = corpus.rows[corpus.rows["copy_of"].notna()].set_index("id")
    assert set(copies.index) == set(found.index)
    assert copies["copy_of"].eq(found["copy_of"]).all()
    assert set(copies["kind"]) == {SAME_PIXELS, NEAR, MIRRORED}
    assert copies["kind"].eq(MIRRORED).eq(found["status"].eq("kept")).all()
    assert copies["correlation"].between(0.75, 1).all()


@pytest.mark.real
def test_of_the_real_radiographs_the_one_that_was_published_twice_is_dropped_and_no_other(
    test_data: Path, tmp_path: Path
):
    params = data_params(sources=("abdi", "brahmi", "tsxk"))
    for source in params.sources:
        run_source(source, test_data / "radiographs" / source, tmp_path, params)
    corpus = run_split(params, tmp_path)
    copies = corpus[corpus["copy_of"].notna() | corpus["status"].ne("kept")]
    assert copies["path"].tolist() == ["abdi_032.png"]
    assert copies["reason"].tolist() == ["same pixels as " + str(copies["copy_of"].item())]
    assert corpus["group"].value_counts().tolist() == [2] + [1] * 151


PATIENTS = [picture(patient) for patient in range(7)]


def images_of(draw: list[tuple[int, int, bool]]) -> list[Grey]:
    shades = [np.round(PATIENTS[patient] * (1 - darker / 20)).astype(np.uint8) for patient, darker, _ in draw]
    return [shade[:, ::-1] if mirrored else shade for shade, (_, _, mirrored) in zip(shades, draw, strict=True)]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
)
def test_a_source_added_at_the_end_changes_no_row_of_the_others(
    tmp_path_factory: pytest.TempPathFactory, one: list, more: list
):
    folder = tmp_path_factory.mktemp("added")
    (folder / "both").mkdir()
    table = rows(
        len(one) + len(more),
        source=["z"] * len(one) + ["a"] * len(more),
        pixel_sha256=[str(copy) for copy in one + more],
    )
    before, _ = mark_copies(table[: len(one)], stored(folder, images_of(one)))
    both = Fields(((folder / "fields.u8", len(one)), *stored(folder / "both", images_of(more)).files))
    after, _ = mark_copies(table, both)
    pd.testing.assert_frame_equal(before, after[: len(one)], check_dtype=False)
    patients = pd.Series([patient for patient, _, _ in one + more])
    kept = after["status"] == "kept"
    assert after["group"].groupby(patients).nunique().eq(1).all()
    assert patients.groupby(after["group"]).nunique().eq(1).all()
    assert kept.groupby(patients).sum().le(2).all()  # at most the radiograph and its mirror image
