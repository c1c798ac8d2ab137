"""Contact sheets: what reviewers look at."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from corpora import data_params, run_source
from PIL import Image

from panodiff.harmonize.contact import MAX_REJECTED, MAX_SHOWN, spread_over
from panodiff.sources.phantom import DEVICES, draw_phantom

pytestmark = pytest.mark.usefixtures("one_worker")


def is_orange(picture: np.ndarray) -> np.ndarray:
    """Where the outline of a crop is drawn; all else on a sheet is grey."""
    return picture[..., 0].astype(int) - picture[..., 2] > 60


def write_files(folder: Path, kept: int, blank: int) -> None:
    folder.mkdir()
    for number in range(blank):
        Image.fromarray(np.full((66, 140), 90 + number, np.uint8)).save(folder / f"a{number:03d}.png")
    for number in range(kept):
        image = draw_phantom(1, number, 66, 140, DEVICES["adld"])[0]
        Image.fromarray(image).save(folder / f"b{number:03d}.png")


def sheet(folder: Path, work: Path) -> tuple[np.ndarray, bytes]:
    run_source("mine", folder, work, data_params())
    path = work / "harmonized" / "mine" / "contact.jpg"
    with Image.open(path) as image:
        return np.asarray(image), path.read_bytes()


def cells(picture: np.ndarray) -> list[np.ndarray]:
    """The cells of the sheet, three beside each other, without empty ones."""
    rows = np.vsplit(picture, round(picture.shape[0] / 146))
    found = [cell for row in rows for cell in np.hsplit(row, 3)]
    return [cell for cell in found if cell.min() < 200]


def test_positions_are_spread_evenly_from_the_first_to_the_last():
    assert spread_over(5) == {0, 1, 2, 3, 4}
    assert spread_over(0) == set()
    chosen = sorted(spread_over(1000))
    assert (len(chosen), chosen[0], chosen[-1]) == (MAX_SHOWN, 0, 999)
    assert np.ptp(np.diff(chosen)) <= 1


def test_a_sheet_shows_file_crop_and_harmonized_image_side_by_side(tmp_path: Path):
    write_files(tmp_path / "raw", kept=4, blank=2)
    picture, data = sheet(tmp_path / "raw", tmp_path / "work")
    shown = cells(picture)
    assert len(shown) == 6
    assert len(data) < 1_000_000
    for cell in shown:
        assert is_orange(cell[:120, :240]).sum() > 200  # the outline of the crop
    beside = [cell[:120, 248:488] for cell in shown]
    assert [part.min() < 60 for part in beside] == [True] * 4 + [False] * 2  # rejected ones come last, with no image


def test_the_same_files_give_the_same_bytes(tmp_path: Path):
    write_files(tmp_path / "raw", kept=3, blank=1)
    assert sheet(tmp_path / "raw", tmp_path / "one")[1] == sheet(tmp_path / "raw", tmp_path / "two")[1]


def test_many_rejected_files_leave_room_for_the_kept_ones(tmp_path: Path):
    write_files(tmp_path / "raw", kept=20, blank=40)
    shown = cells(sheet(tmp_path / "raw", tmp_path / "work")[0])
    with_image = [cell[:120, 248:488].min() < 60 for cell in shown]
    assert sum(with_image) >= 6
    assert len(with_image) - sum(with_image) == MAX_REJECTED


def test_there_is_no_sheet_of_nothing(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "1.png").write_bytes(b"")
    run_source("mine", tmp_path / "raw", tmp_path / "work", data_params())
    assert not (tmp_path / "work" / "harmonized" / "mine" / "contact.jpg").exists()


def test_the_outline_is_turned_with_a_film_that_lies_askew(tmp_path: Path):
    image = cv2.copyMakeBorder(
        draw_phantom(1, 0, 263, 590, DEVICES["dentex"])[0], 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(255.0,)
    )
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 4, 1)
    (tmp_path / "raw").mkdir()
    askew = cv2.warpAffine(image, matrix, (width, height), borderValue=(255.0,))
    Image.fromarray(askew).save(tmp_path / "raw" / "askew.png")
    cell = cells(sheet(tmp_path / "raw", tmp_path / "work")[0])[0][:120, :240]
    rows, columns = np.nonzero(is_orange(cell))
    upper = {column: rows[columns == column].min() for column in (60, 180)}
    rise = np.degrees(np.arctan2(upper[60] - upper[180], 120))
    assert rise == pytest.approx(4, abs=1.2)


def test_a_sheet_grows_with_the_images_up_to_24_and_stays_small(tmp_path: Path):
    shown = []
    for count in (2, 5, 24, 40):
        raw = tmp_path / f"{count}-raw"
        write_files(raw, kept=count, blank=0)
        picture, file = sheet(raw, tmp_path / str(count))
        assert len(file) < 1_000_000
        cells = [cell for row in np.vsplit(picture, picture.shape[0] // 146) for cell in np.hsplit(row, 3)]
        shown.append(sum(bool(cell.min() < 200) for cell in cells))
    assert shown == [2, 5, 24, 24]
