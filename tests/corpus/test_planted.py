"""Copies planted among distinct radiographs, taken through ingestion, harmonization and split: which are found."""

from pathlib import Path

import cv2
import pandas as pd
import pytest
from copying import KINDS, write_copies
from corpora import data_params, run_source, run_split

from panodiff.images import Grey
from panodiff.sources.phantom.devices import DEVICES
from panodiff.sources.phantom.drawing import draw_phantom

pytestmark = pytest.mark.usefixtures("one_worker")

NUM_PAIRS = 204  # 34 of each kind


def corpus_of(images: dict[str, Grey], work: Path) -> pd.DataFrame:
    """The corpus of the images and NUM_PAIRS copies: half of the copies in the source of the images, half in a later
    one. Column `original` names the radiograph, `kind` how it was copied."""
    write_copies(images, work / "raw" / "mixed", NUM_PAIRS, KINDS)
    (work / "raw" / "later").mkdir()
    for number, path in enumerate(sorted((work / "raw" / "mixed").iterdir())):
        if number % 2:
            path.rename(work / "raw" / "later" / path.name)
    for name, image in images.items():
        cv2.imwrite(str(work / "raw" / "mixed" / f"{name}.png"), image)
    params = data_params(sources=("mixed", "later"))
    for source in params.sources:
        run_source(source, work / "raw" / source, work, params)
    rows = run_split(params, work)
    parts = rows["path"].str.extract(r"^([^~]+?)(?:~([^~]+)~\d+)?\.\w+$")
    return rows.assign(original=parts[0], kind=parts[1])


def check(rows: pd.DataFrame) -> None:
    """Recall of the kinds to be dropped ≥ 99 %, all mirrored ones flagged, false groups ≤ 0.1 %, no leak."""
    by_id = rows.set_index("id")
    assert set(rows["status"]) == {"kept", "duplicate"}
    families = rows[rows["kind"].fillna("") != "mirrored"].groupby("original")
    left = families["status"].agg(lambda status: (status == "kept").sum())  # of each radiograph one should be kept
    dropped = rows[rows["kind"].notna() & (rows["kind"] != "mirrored")]
    assert len(dropped) == NUM_PAIRS * 5 // 6
    assert (left - 1).sum() <= 0.01 * len(dropped), rows[rows["original"].isin(left.index[left != 1])]
    assert (left >= 1).all()
    mirrored = rows[rows["kind"] == "mirrored"]
    assert len(mirrored) == NUM_PAIRS // 6
    flagged = rows[rows["flags"].fillna("").str.contains("mirrored_copy")]
    assert set(flagged["original"]) == set(mirrored["original"])
    assert (flagged["status"] == "kept").all()
    named = rows[rows["copy_of"].notna()]
    assert (by_id.loc[named["copy_of"], "status"] == "kept").all()
    assert (by_id.loc[named["copy_of"], "original"].to_numpy() == named["original"].to_numpy()).all()
    assert (by_id.loc[named["copy_of"], "group"].to_numpy() == named["group"].to_numpy()).all()
    false_groups = (rows.groupby("group")["original"].nunique() > 1).sum()
    assert false_groups <= 0.001 * rows["original"].nunique()
    kept = rows[rows["status"] == "kept"]
    assert kept.groupby("original")["split"].nunique().eq(1).all()
    assert kept.groupby("group")["split"].nunique().eq(1).all()


def test_planted_copies_of_phantoms_are_found_and_no_strangers(tmp_path: Path):
    images = {}
    for number in range(200):
        device = list(DEVICES.values())[number % len(DEVICES)]
        height, width, _ = device.sizes[0]
        images[f"p{number}"] = draw_phantom(3, number, height * 288 // width, 288, device)[0]
    check(corpus_of(images, tmp_path))


@pytest.mark.real
def test_planted_copies_of_real_radiographs_are_found_and_no_strangers(test_data: Path, tmp_path: Path):
    paths = sorted((test_data / "radiographs").glob("*/*.png"))
    images = {path.stem: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths}
    del images["abdi_032"]  # has the pixels of abdi_002
    check(corpus_of(images, tmp_path))
