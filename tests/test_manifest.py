"""The corpus manifest on disk."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panodiff.manifest import COLUMNS, kept, read_manifest, split_paths, write_manifest

ROWS = pd.DataFrame(
    [
        {
            "id": "b-2",
            "source": "b",
            "path": "x/2.png",
            "bytes": 10,
            "status": "kept",
            "split": "train",
            "high_path": "h/2",
        },
        {
            "id": "a-1",
            "source": "a",
            "path": "1.png",
            "bytes": 2**40,
            "status": "kept",
            "split": "train",
            "high_path": "h/1",
        },
        {"id": "a-3", "source": "a", "path": "3.png", "bytes": 0, "status": "rejected", "reason": "torn, at byte 3"},
        {"id": "a-4", "source": "a", "path": "4.png", "bytes": 7, "status": "duplicate", "split": "train"},
        {"id": "a-5", "source": "a", "path": "5.png", "bytes": 7, "status": "kept", "split": "val", "high_path": "h/5"},
    ]
)


def test_rows_come_back_with_all_columns_in_order(tmp_path: Path):
    write_manifest(tmp_path / "m.csv", ROWS)
    rows = read_manifest(tmp_path / "m.csv")
    assert tuple(rows.columns) == COLUMNS
    assert rows["bytes"].tolist() == [10, 2**40, 0, 7, 7]
    assert rows["height"].isna().all()
    assert rows["reason"].dropna().tolist() == ["torn, at byte 3"]
    write_manifest(tmp_path / "again.csv", rows)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "m.csv").read_bytes()


@pytest.mark.parametrize(
    "name", ["NA", "null", "None", "nan", "Icon\r", "a\r\nb", 'q"uote', "x,y", " ", "007", "\udcff"]
)
def test_whatever_a_file_is_called_its_row_comes_back_as_written(tmp_path: Path, name: str):
    write_manifest(
        tmp_path / "m.csv", pd.DataFrame([{"id": "a-1", "path": name, "bytes": 1}, {"id": "a-2", "path": "z"}])
    )
    assert read_manifest(tmp_path / "m.csv")["path"].tolist() == [name, "z"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5
    )
)
def test_any_text_comes_back_as_written(tmp_path: Path, texts: list[str]):
    write_manifest(tmp_path / "m.csv", pd.DataFrame({"id": range(len(texts)), "path": texts}))
    assert read_manifest(tmp_path / "m.csv")["path"].tolist() == texts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_any_number_comes_back_to_its_last_digit_and_none_as_none(tmp_path: Path, numbers: list[float]):
    rows = pd.DataFrame({"id": range(len(numbers) + 1), "rotation_deg": [*numbers, None]})
    write_manifest(tmp_path / "m.csv", rows)
    read = read_manifest(tmp_path / "m.csv")["rotation_deg"]
    assert read.dropna().tolist() == numbers
    assert read.isna().tolist() == [False] * len(numbers) + [True]


def test_a_column_that_no_manifest_has_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no columns \['size'\]"):
        write_manifest(tmp_path / "m.csv", pd.DataFrame([{"id": "a", "size": 3}]))
    assert not list(tmp_path.iterdir())


def test_only_kept_images_of_the_split_are_used_ordered_by_id():
    assert kept(ROWS, "train")["id"].tolist() == ["a-1", "b-2"]
    assert split_paths(ROWS, "train", "high_path") == [Path("h/1"), Path("h/2")]
    assert split_paths(ROWS.sample(frac=1, random_state=3), "train", "high_path") == [Path("h/1"), Path("h/2")]


@pytest.mark.parametrize(("split", "advice"), [("test", "raise split.test"), ("train", "lower split.val")])
def test_an_empty_split_says_which_parameter_to_change(split: str, advice: str):
    with pytest.raises(ValueError, match=f"the {split} split holds no image.*{advice}"):
        kept(ROWS[ROWS["split"] == "val"], split)
