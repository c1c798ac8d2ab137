"""All radiographs of one source at both resolutions, with their rows."""

import os
from pathlib import Path

import numpy as np
import pytest
from corpora import INGEST, data_params, harmonize, margins, never_stop, picture, run_source
from PIL import Image

from panodiff import launch
from panodiff.images import area_average, lanczos, read_grey
from panodiff.manifest import read_manifest
from panodiff.params_data import Margins, SourceParams
from panodiff.sources.ingest import ingest

pytestmark = pytest.mark.usefixtures("one_worker")

ODD_NAMES = ["1.png", "line\nbreak, comma.png", "Ünïcode.png", os.fsdecode(b"caf\xe9.png"), "NA.png", 'quo"te\r.png']


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, name in enumerate(ODD_NAMES):
        Image.fromarray(picture(number, 90, 200 + 10 * number)).save(folder / name, format="PNG")
    Image.fromarray(picture(9, 20, 40)).save(folder / "small.png")
    (folder / "broken.png").write_bytes((folder / "1.png").read_bytes()[:300])
    (folder / "notes.txt").write_text("beside")
    return folder


def settings(*, quarter_turns: int = 0, invert: bool = False, **cut: float) -> SourceParams:
    polarity = "invert" if invert else "keep"
    return SourceParams(crop=Margins(**margins(**cut)), quarter_turns=quarter_turns, polarity=polarity, deskew=False)


def with_settings(own: SourceParams) -> dict:
    return {"source": {"mine": own}}


def test_every_kept_file_has_both_images_whatever_its_name(raw: Path, tmp_path: Path):
    params = data_params(**with_settings(settings()))
    rows = run_source("mine", raw, tmp_path / "work", params).set_index("path")
    assert rows["status"].to_dict() == dict.fromkeys([*ODD_NAMES, "small.png"], "kept") | {
        "broken.png": "rejected",
        "notes.txt": "beside",
    }
    kept = rows[rows["status"] == "kept"]
    for kind, size in (("high", (64, 128)), ("low", (32, 64))):
        files = sorted((tmp_path / "work" / "harmonized" / "mine" / kind).iterdir())
        assert [str(file) for file in files] == sorted(kept[f"{kind}_path"])
        assert {read_grey(file).shape for file in files} == {size}
    others = rows[rows["status"] != "kept"]
    assert others[["high_path", "low_path", "crop_top", "rotation_deg"]].isna().all(axis=None)


@pytest.mark.parametrize("own", [settings(), settings(quarter_turns=2, invert=True, top=0.1, right=0.07)])
def test_the_stored_crop_maps_the_stored_image_back_to_its_file(raw: Path, tmp_path: Path, own: SourceParams):
    params = data_params(**with_settings(own))
    rows = run_source("mine", raw, tmp_path / "work", params)
    kept = rows[rows["status"] == "kept"]
    assert len(kept) >= len(ODD_NAMES)
    for row in kept.itertuples():
        with Image.open(raw / row.path) as image:
            upright = image.rotate(row.rotation_deg, expand=True)
        cut = upright.crop((row.crop_left, row.crop_top, row.crop_right, row.crop_bottom))
        greys = np.asarray(cut)
        resized = lanczos(255 - greys if row.inverted else greys, (64, 128))
        assert bool(row.inverted) == (own.polarity == "invert")
        assert np.array_equal(read_grey(Path(row.high_path)), resized)
        assert np.array_equal(read_grey(Path(row.low_path)), area_average(resized, 2))


def test_margins_that_leave_nothing_reject_the_file_with_the_reason(raw: Path, tmp_path: Path):
    params = data_params(**with_settings(settings(left=0.4, right=0.4)))
    rows = run_source("mine", raw, tmp_path / "work", params).set_index("path")
    assert rows.at["small.png", "status"] == "rejected"
    assert rows.at["small.png", "reason"] == "only 4×8 pixels are left within source.<name>.crop"
    assert rows.at["1.png", "status"] == "kept"
    assert not list((tmp_path / "work").rglob(f"{rows.at['small.png', 'id']}*"))


def test_a_file_that_is_gone_since_ingestion_is_rejected_not_lost(raw: Path, tmp_path: Path):
    params = data_params()
    ingest("mine", raw, INGEST, tmp_path / "mine.csv", never_stop)
    (raw / "1.png").unlink()
    harmonize(raw, tmp_path / "mine.csv", tmp_path / "out", params, settings())
    row = read_manifest(tmp_path / "out" / "rows.csv").set_index("path").loc["1.png"]
    assert (row["status"], row["reason"]) == ("rejected", "not there any more")


def test_a_source_of_rejected_files_only_leaves_their_rows(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "1.png").write_bytes(b"")
    rows = run_source("mine", tmp_path / "raw", tmp_path / "work", data_params(**with_settings(settings())))
    assert rows["reason"].tolist() == ["empty file"]


def test_the_number_of_workers_changes_nothing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ingest("mine", raw, INGEST, tmp_path / "mine.csv", never_stop)
    contents = []
    for workers in ("1", "2"):
        monkeypatch.setenv("PANODIFF_WORKERS", workers)
        monkeypatch.setattr(launch, "ALONE_S", 0)
        out = tmp_path / workers
        harmonize(raw, tmp_path / "mine.csv", out, data_params(), settings(), final="final")
        contents.append({file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2 * len(ODD_NAMES) + 5  # small.png's two, rows, fields and contact sheet


@pytest.mark.real
def test_real_radiographs_pass_without_a_reject(test_data: Path, tmp_path: Path):
    for folder in ("abdi", "brahmi", "tsxk"):
        raw = test_data / "radiographs" / folder
        rows = run_source("mine", raw, tmp_path / folder, data_params())
        assert set(rows["status"]) == {"kept"}
        assert len(rows) == len(list(raw.iterdir()))
