"""Every file below a source's folder on a row of its own, with the reason why it is not used."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corpora import INGEST, never_stop, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_decoding import encoded, png_header

from panodiff import launch
from panodiff.manifest import read_manifest
from panodiff.sources.ingest import find_files, ingest
from panodiff.stage import Stopped

GREY = picture(1, 40, 80)
PNG = encoded(GREY, "PNG")
UNDECODABLE = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANODIFF_WORKERS", "1")


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ingested(folder: Path, source: str = "mine") -> pd.DataFrame:
    """The rows by path."""
    out = folder.parent / f"{folder.name}.csv"
    ingest(source, folder, INGEST, out, never_stop)
    return read_manifest(out).set_index("path")


HOSTILE = {
    "truncated.png": PNG[: len(PNG) // 2],
    "truncated.jpg": encoded(GREY, "JPEG")[:400],
    "empty.png": b"",
    "text.png": b"404: Not Found\n",
    "jpeg in a.png": encoded(GREY, "JPEG"),
    "deep.png": encoded(GREY.astype(np.uint16) * 257, "PNG"),
    "palette.png": encoded(Image.fromarray(GREY).convert("P"), "PNG"),
    "clear palette.png": encoded(Image.fromarray(GREY).convert("P"), "PNG", transparency=int(GREY[0, 0])),
    "cmyk.jpg": encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"),
    "gif in a.png": encoded(GREY, "GIF", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
    "animated.png": encoded(GREY, "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
    "one pixel.png": encoded(GREY[:1, :1].copy(), "PNG"),
    "bomb.png": png_header(40000, 40000),
    "Ünïcode 图 \u202e.png": PNG,
    UNDECODABLE: PNG,
    "line\nbreak, comma.png": PNG,
    'quo"te\r.png': PNG,
    "NA.png": PNG,
    "-.PNG": PNG,
    "one/same.png": PNG,
    "two/same.png": encoded(GREY[::-1].copy(), "PNG"),
    "labels.json": b"{}",
    "no suffix": PNG,
    ".hidden.png": PNG,
    ".hidden folder/1.png": PNG,
}
REASONS = {
    "truncated.png": "damaged: ",
    "truncated.jpg": "damaged: ",
    "empty.png": "empty file",
    "text.png": "not an image that can be read",
    "one pixel.png": "smaller than ingest.min_size (16×32)",
    "bomb.png": "larger than ingest.max_pixels (10000000)",
    "dangling.png": "a link to nothing",
    "itself.png": "a link to nothing",
    "loop": "a link to a folder, not entered",
    "pipe.png": "no regular file",
}
BESIDE = {"labels.json", "no suffix", ".hidden.png", ".hidden folder/1.png"}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = put(tmp_path / "hostile", HOSTILE)
    (folder / "link.png").symlink_to("one/same.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_every_file_has_one_row_and_every_rejected_one_its_reason(hostile: Path):
    rows = ingested(hostile)
    assert sorted(rows.index) == sorted({*HOSTILE, "link.png", "dangling.png", "itself.png", "loop", "pipe.png"})
    rejected = rows[rows["status"] == "rejected"]
    assert set(rejected.index) == set(REASONS)
    for path, reason in REASONS.items():
        assert rejected.at[path, "reason"].startswith(reason)
    assert set(rows.index[rows["status"] == "beside"]) == BESIDE
    assert rows.loc[sorted(BESIDE), "reason"].unique().tolist() == ["not among the source's radiographs"]
    kept = rows[rows["status"] == "kept"]
    assert len(kept) == len(rows) - len(rejected) - len(BESIDE)
    assert kept["reason"].isna().all()


def test_rows_say_what_was_in_the_file(hostile: Path):
    rows = ingested(hostile)
    assert rows.loc[["jpeg in a.png", "gif in a.png", "deep.png", "cmyk.jpg"], "format"].tolist() == [
        "JPEG",
        "GIF",
        "PNG",
        "JPEG",
    ]
    assert rows.at["deep.png", "mode"] == "I;16"
    kept = rows[rows["status"] == "kept"]
    assert set(zip(kept["height"], kept["width"], strict=True)) == {(40, 80)}
    for path, data in HOSTILE.items():
        assert rows.at[path, "sha256"] == hashlib.sha256(data).hexdigest()
        assert rows.at[path, "bytes"] == len(data)


def test_files_of_the_same_pixels_have_the_same_pixel_hash_and_others_another(hostile: Path):
    hashes = ingested(hostile)["pixel_sha256"]
    same = [
        UNDECODABLE,
        "one/same.png",
        "link.png",
        "deep.png",
        "palette.png",
        "animated.png",
        "gif in a.png",
        "NA.png",
    ]
    assert hashes[same].nunique() == 1
    assert hashes[["one/same.png", "two/same.png", "cmyk.jpg", "clear palette.png"]].nunique() == 4


def test_the_shape_counts_too_for_the_pixel_hash(tmp_path: Path):
    flat = np.full((32, 64), 9, np.uint8)
    put(tmp_path / "raw", {"wide.png": encoded(flat, "PNG"), "tall.png": encoded(flat.reshape(64, 32), "PNG")})
    assert ingested(tmp_path / "raw")["pixel_sha256"].nunique() == 2


def test_ids_are_unique_and_fit_for_file_names(hostile: Path):
    ids = ingested(hostile)["id"]
    assert ids.is_unique
    assert ids.str.fullmatch(r"mine-(unread-)?[0-9a-f]{8,12}(-\d+)?").all()


def test_the_name_of_a_row_finds_its_file_again(hostile: Path):
    rows = ingested(hostile)
    for path in rows.index[rows["status"] == "kept"]:
        assert (hostile / path).is_file()


def test_two_names_that_look_alike_when_escaped_stay_two(tmp_path: Path):
    put(tmp_path / "raw", {os.fsdecode(b"\xff.png"): PNG, "\\udcff.png": PNG})
    assert sorted(ingested(tmp_path / "raw").index) == sorted([os.fsdecode(b"\xff.png"), "\\udcff.png"])


def test_raw_files_are_only_read(hostile: Path):
    files = {path: path.stat().st_mtime_ns for path in hostile.rglob("*") if path.is_file()}
    names = sorted(hostile.iterdir())
    ingested(hostile)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert sorted(hostile.iterdir()) == names
    assert all((hostile / name).read_bytes() == data for name, data in HOSTILE.items())


def test_the_number_of_workers_changes_nothing(hostile: Path, monkeypatch: pytest.MonkeyPatch):
    ingest("mine", hostile, INGEST, hostile.parent / "one.csv", never_stop)
    monkeypatch.setenv("PANODIFF_WORKERS", "2")
    monkeypatch.setattr(launch, "ALONE_S", 0)
    ingest("mine", hostile, INGEST, hostile.parent / "two.csv", never_stop)
    assert (hostile.parent / "two.csv").read_bytes() == (hostile.parent / "one.csv").read_bytes()


def test_rows_are_in_the_order_of_their_paths(tmp_path: Path):
    names = ["b.png", "a/2.png", "a.png", "a/10.png", "B.png", "a b.png"]
    put(tmp_path / "raw", dict.fromkeys(names, PNG))
    assert ingested(tmp_path / "raw").index.tolist() == sorted(names)


def test_the_folder_itself_may_be_a_link(tmp_path: Path):
    put(tmp_path / "raw", {"1.png": PNG})
    (tmp_path / "linked").symlink_to("raw")
    assert ingested(tmp_path / "linked").index.tolist() == ["1.png"]


def test_what_dvc_ignores_has_no_row(tmp_path: Path):
    ignored = dict.fromkeys([".DS_Store", "__pycache__/1.png", "a/.2.png.77.partial", ".b.partial/1.png"], PNG)
    put(tmp_path / "raw", {"1.png": PNG} | ignored)
    assert find_files(tmp_path / "raw") == [Path("1.png")]


def test_a_folder_without_any_possible_radiograph_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no file that could be a radiograph of mine: it must hold PNG"):
        ingested(put(tmp_path / "raw", {"1.txt": b"", "2.json": b"{}"}))
    with pytest.raises(ValueError, match=r"a radiograph of tufts: it must hold PNG"):
        ingested(put(tmp_path / "other", {"Expert/expert.json": b""}), "tufts")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        ingested(tmp_path / "bare")
    assert not list(tmp_path.glob("*.csv"))


def test_in_a_catalogued_source_only_its_radiographs_are_read(tmp_path: Path):
    raw = put(tmp_path / "raw", {"Radiographs/1.JPG": PNG, "Segmentation/1.jpg": PNG, "Radiographs/1.txt": b"x"})
    assert ingested(raw, "tufts")["status"].to_dict() == {
        "Radiographs/1.JPG": "kept",
        "Radiographs/1.txt": "beside",
        "Segmentation/1.jpg": "beside",
    }


def test_one_more_folder_around_a_catalogued_source_makes_no_mask_a_radiograph(tmp_path: Path):
    files = {"Radiographs/1.JPG": PNG, "Segmentation/teeth_mask/1.jpg": PNG}
    rows = ingested(put(tmp_path / "raw", {f"Tufts [2022]/{path}": data for path, data in files.items()}), "tufts")
    assert rows["status"].to_dict() == {
        "Tufts [2022]/Radiographs/1.JPG": "kept",
        "Tufts [2022]/Segmentation/teeth_mask/1.jpg": "beside",
    }


def test_folders_below_the_flat_folder_of_a_catalogued_source_hold_no_radiographs(tmp_path: Path):
    for number, above in enumerate(("", "ADLD/")):
        files = {f"{above}image_1.png": PNG, f"{above}masks/image_1.png": PNG}
        rows = ingested(put(tmp_path / str(number), files), "adld")
        assert rows["status"].tolist() == ["kept", "beside"]


def test_of_a_catalogued_source_in_one_flat_folder_every_image_counts(tmp_path: Path):
    rows = ingested(put(tmp_path / "raw", {"1.png": PNG, "2.jpg": PNG, "notes.txt": b"x"}), "tufts")
    assert rows["status"].to_dict() == {"1.png": "kept", "2.jpg": "kept", "notes.txt": "beside"}


def test_a_catalogued_source_in_folders_that_nobody_knows_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"of tufts: it must hold Radiographs/\*.jpg"):
        ingested(put(tmp_path / "raw", {"1.png": PNG, "more/2.jpg": PNG}), "tufts")


def test_the_work_ends_when_it_is_asked_to_stop(tmp_path: Path):
    put(tmp_path / "raw", {f"{number}.png": PNG for number in range(9)})
    asked = []

    def stop_at_the_third() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        ingest("mine", tmp_path / "raw", INGEST, tmp_path / "raw.csv", stop_at_the_third)
    assert len(asked) == 3
    assert not (tmp_path / "raw.csv").exists()


def test_sizes_at_the_limits_are_kept(tmp_path: Path):
    raw = {f"{h}x{w}.png": encoded(np.ones((h, w), np.uint8), "PNG") for h, w in [(16, 32), (15, 32), (16, 31)]}
    assert ingested(put(tmp_path / "raw", raw))["status"].to_dict() == {
        "15x32.png": "rejected",
        "16x31.png": "rejected",
        "16x32.png": "kept",
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    first=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), min_size=1),
    more=st.dictionaries(st.sampled_from("ghijkl"), st.integers(0, 5)),
)
def test_an_id_names_the_same_content_when_files_are_added(tmp_path: Path, first: dict, more: dict):
    shutil.rmtree(tmp_path / "raw", ignore_errors=True)
    contents = [PNG + bytes([number]) for number in range(6)]
    before = ingested(put(tmp_path / "raw", {f"{name}.png": contents[number] for name, number in first.items()}))
    after = ingested(put(tmp_path / "raw", {f"{name}.png": contents[number] for name, number in more.items()}))
    assert after["id"].is_unique
    assert after.loc[before.index, "id"].equals(before["id"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_rejected_with_the_reason(tmp_path: Path):
    raw = put(tmp_path / "raw", {"1.png": PNG, "2.png": PNG, "closed/3.png": PNG, "names only/4.png": PNG})
    modes = {"2.png": 0, "closed": 0, "names only": 0o444}
    for name, mode in modes.items():
        (raw / name).chmod(mode)
    try:
        rows = ingested(raw)
    finally:
        for name in modes:
            (raw / name).chmod(0o755)
    denied = "cannot be read: Permission denied"
    assert rows["reason"].dropna().to_dict() == {
        "2.png": denied,
        "closed": "a folder, unreadable",
        "names only/4.png": denied,
    }
    assert rows["id"].is_unique
