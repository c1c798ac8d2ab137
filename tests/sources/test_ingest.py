"""Every file below a source's folder on a row of its own, with the reason why it is not used."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from corpora import INGEST, data_params, never_stop, picture, run_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_decoding import encoded, png_header
from test_dicom import IDENTIFIERS, dicom

from panodiff import launch
from panodiff.images import read_text_chunks
from panodiff.manifest import read_manifest
from panodiff.sources.ingest import ingest
from panodiff.sources.raw import RawFolder
from panodiff.stage import Stopped

pytestmark = pytest.mark.usefixtures("one_worker")

GREY = picture(1, 40, 80)
PNG = encoded(GREY, "PNG")
UNDECODABLE = os.fsdecode(b"caf\xe9.png")


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ingested(folder: Path, source: str = "mine", **changes: Any) -> pd.DataFrame:
    """The rows by path; `changes` are parameters of ingestion."""
    out = folder.parent / f"{folder.name}.csv"
    ingest(source, folder, INGEST.model_copy(update=changes), out, never_stop)
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
BESIDE = {
    "labels.json": "no image",
    "no suffix": "no image",
    ".hidden.png": "hidden",
    ".hidden folder/1.png": "hidden",
}


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
    assert set(rows.index[rows["status"] == "beside"]) == set(BESIDE)
    assert rows.loc[sorted(BESIDE), "reason"].to_dict() == BESIDE
    kept = rows[rows["status"] == "kept"]
    assert len(kept) == len(rows) - len(rejected) - len(BESIDE)
    assert kept["reason"].isna().all()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_in_an_archive_every_file_has_the_row_that_it_has_in_a_folder(hostile: Path, tmp_path: Path, kind: str):
    """But for links, which are not followed in archives, and names that zip cannot hold."""
    plain = ingested(hostile)
    (tmp_path / "packed").mkdir()
    archive = tmp_path / "packed" / f"all.{kind}"
    if kind == "zip":
        plain = plain.drop([UNDECODABLE, *(path for path in plain.index if (hostile / path).is_symlink()), "pipe.png"])
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in plain.index:
                file.write(hostile / path, path)
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(hostile, "")
    packed = ingested(tmp_path / "packed")
    packed.index = packed.index.str.removeprefix(f"all.{kind}/")
    for path in ("dangling.png", "itself.png", "link.png", "loop"):
        if path in packed.index:
            link = {"dangling.png", "itself.png", "link.png"} & {path}
            expected = ["rejected", "a link in an archive, not followed"] if link else ["beside", "no image; "]
            assert packed.at[path, "status"] == expected[0]
            assert packed.at[path, "reason"].startswith(expected[1])
    same = [path for path in plain.index if path not in ("dangling.png", "itself.png", "link.png", "loop")]
    columns = ["sha256", "bytes", "format", "mode", "bits", "frames", "height", "width", "status", "reason"]
    assert sorted(packed.index) == sorted(plain.index)
    pd.testing.assert_frame_equal(packed.loc[same, columns], plain.loc[same, columns])


def test_every_row_is_kept_or_rejected_or_beside_and_what_is_not_kept_says_why(hostile: Path):
    rows = ingested(hostile)
    assert rows["status"].isin(["kept", "rejected", "beside"]).all()
    assert rows.loc[rows["status"] != "kept", "reason"].notna().all()


def test_rows_say_what_was_in_the_file(hostile: Path):
    rows = ingested(hostile)
    assert rows.loc[["jpeg in a.png", "gif in a.png", "deep.png", "cmyk.jpg"], "format"].tolist() == [
        "JPEG",
        "GIF",
        "PNG",
        "JPEG",
    ]
    assert rows.at["deep.png", "mode"] == "I;16"
    assert rows.loc[["deep.png", "palette.png"], "bits"].tolist() == [16, 8]
    assert rows.loc[["animated.png", "gif in a.png", "cmyk.jpg"], "frames"].tolist() == [2, 2, 1]
    assert rows.loc[["bomb.png", "truncated.png"], ["format", "height", "width"]].to_numpy().tolist() == [
        ["PNG", 40000, 40000],
        ["PNG", 40, 80],
    ]
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
        "palette.png",
        "animated.png",
        "gif in a.png",
        "NA.png",
    ]
    assert hashes[same].nunique() == 1
    assert hashes[["one/same.png", "two/same.png", "cmyk.jpg", "clear palette.png", "deep.png"]].nunique() == 5


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
    with tarfile.open(hostile / "all.tgz", "w:gz") as file:  # of which the workers share one decompressed copy
        file.add(hostile / "one", "one")
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
    assert RawFolder(tmp_path / "raw").paths() == [PurePosixPath("1.png")]


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


@contextmanager
def plain_user() -> Iterator[Path]:
    """A folder for one who may not read everything, as root may."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    ingested(put(folder / "first", {"1.png": PNG}))  # so that nothing is left to import from root's folders
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
        shutil.rmtree(folder)


def test_what_may_not_be_read_is_rejected_with_the_reason():
    files = {"1.png": PNG, "2.png": PNG, "3.zip": b"", "4.txt": b"", "closed/3.png": PNG, "names only/4.png": PNG}
    with plain_user() as folder:
        raw = put(folder / "raw", files)
        for name, mode in {"2.png": 0, "3.zip": 0, "4.txt": 0, "closed": 0, "names only": 0o444}.items():
            (raw / name).chmod(mode)
        rows = ingested(raw)
    denied = "cannot be read: Permission denied"
    assert rows["reason"].dropna().to_dict() == {
        "2.png": denied,
        "3.zip": denied,
        "4.txt": f"no image; {denied}",
        "closed": "a folder, unreadable",
        "names only/4.png": denied,
    }
    assert rows["status"].value_counts().to_dict() == {"kept": 1, "rejected": 4, "beside": 1}
    assert rows["id"].is_unique


def test_a_damaged_archive_is_one_rejected_row_in_every_source(tmp_path: Path):
    raw = put(tmp_path / "raw", {"Radiographs/1.jpg": PNG, "rest.zip": b"PK broken", "rest.rar": b"Rar!"})
    rows = ingested(raw, "tufts")
    assert rows["status"].to_dict() == {"Radiographs/1.jpg": "kept", "rest.rar": "rejected", "rest.zip": "rejected"}
    assert rows.at["rest.zip", "reason"] == "a damaged archive: download it again"


def test_own_globs_say_where_the_radiographs_of_a_source_lie(tmp_path: Path):
    raw = put(tmp_path / "raw", {"scans/1.png": PNG, "masks/1.png": PNG, "scans/1.txt": b"x"})
    rows = ingested(raw, "mine", images={"mine": ("scans/*",), "other": ("*",)})
    assert rows["reason"].fillna("").to_dict() == {
        "masks/1.png": "an image outside the places of this source's radiographs",
        "scans/1.png": "",
        "scans/1.txt": "no image",
    }


def test_dicom_files_with_and_without_a_suffix_are_radiographs(tmp_path: Path):
    data = dicom(GREY, 8)
    raw = put(tmp_path / "raw", {"1.dcm": data, "IM0001": data, "1.2.840.7": data, "DICOMDIR": data, "notes": b"x"})
    rows = ingested(raw)
    assert rows["status"].to_dict() == {
        "1.2.840.7": "kept",
        "1.dcm": "kept",
        "DICOMDIR": "beside",
        "IM0001": "kept",
        "notes": "beside",
    }
    assert rows.loc["1.dcm", ["format", "mode", "bits", "frames"]].tolist() == ["DICOM", "MONOCHROME2", 8, 1]


def test_patients_are_numbered_by_the_group_of_a_pattern_in_the_order_of_the_paths(tmp_path: Path):
    names = ["jane_1.png", "adam_1.png", "jane_2.png", "nobody.png", "zoe_1.txt"]
    rows = ingested(put(tmp_path / "raw", dict.fromkeys(names, PNG)), patient={"mine": r"(\w+)_\d"})
    assert rows["patient"].dropna().to_dict() == {
        "adam_1.png": "mine-p1",
        "jane_1.png": "mine-p2",
        "jane_2.png": "mine-p2",
    }


def test_patients_of_dicom_files_are_numbered_by_their_id(tmp_path: Path):
    files = {f"{name}.dcm": dicom(GREY, 8, PatientID=name[0]) for name in ("b1", "a1", "b2")} | {"plain.png": PNG}
    rows = ingested(put(tmp_path / "raw", files))
    assert rows["patient"].dropna().to_dict() == {"a1.dcm": "mine-p1", "b1.dcm": "mine-p2", "b2.dcm": "mine-p2"}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(\d+", r"ingest.patient.mine must be a regular expression, got '\(\\\\d\+': missing \)"),
        (r"\d+", r"ingest.patient.mine must have the patient in its first group \( … \), got"),
    ],
)
def test_a_pattern_that_tells_no_patient_is_refused_at_the_start(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(ValueError, match=message):
        ingested(tmp_path / "nowhere", patient={"mine": pattern})


def test_what_was_found_is_compared_with_the_catalogue(tmp_path: Path):
    raw = put(tmp_path / "raw", {"Radiographs/1.JPG": PNG, "Radiographs/2.jpg": PNG, "Radiographs/3.jpg": b""})
    counts = ingest("tufts", raw, INGEST, tmp_path / "tufts.csv", never_stop)
    assert counts is not None
    assert (counts.found_files, counts.found_distinct) == (3, 1)
    assert ingest("mine", raw, INGEST, tmp_path / "mine.csv", never_stop) is None


def test_nothing_that_files_say_of_persons_reaches_an_output_or_a_log(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
):
    caplog.set_level("DEBUG")
    exif, text, whole = Image.Exif(), PngInfo(), dicom(GREY.astype(np.uint16), 12, WindowCenter=99, WindowWidth=99)
    exif[0x010E], exif[0x013B], exif[0x010F] = IDENTIFIERS["PatientName"], "Doe^Ann", "SN-123456"
    for number, value in enumerate(IDENTIFIERS.values()):
        text.add_text(f"Comment{number}", value, zip=number % 2 == 0)
        text.add_itxt(f"Remark{number}", value)
    files = {f"{kind}.img.{kind.lower()}": encoded(GREY, kind, exif=exif) for kind in ("JPEG", "TIFF", "WEBP")}
    files |= {"text.png": encoded(GREY, "PNG", pnginfo=text, exif=exif), "8.dcm": dicom(GREY, 8), "12.dcm": whole}
    files |= {"cut.dcm": whole[: len(whole) // 2], "cut.png": files["text.png"][:-500], "cut.jpg": whole[:900]}
    files |= {"name.dcm": whole.replace(b"MONOCHROME2", b"Jane Roe 47"), "window.dcm": whole.replace(b"99", b"SN")}
    assert all(any(value.encode() in data for value in IDENTIFIERS.values()) for data in files.values())
    rows = run_source("mine", put(tmp_path / "raw", files), tmp_path / "work", data_params())
    assert (rows["status"] == "kept").sum() >= 4
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert len(written) > 8
    said = (caplog.text + "".join(capfd.readouterr()) + "".join(str(each.message) for each in recwarn)).encode()
    for value in (*IDENTIFIERS.values(), "Jane", "Roe"):
        assert value.encode() not in said
        assert not [path.name for path in written if value.encode() in path.read_bytes()]
    assert not any(read_text_chunks(path) for path in written if path.suffix == ".png")
