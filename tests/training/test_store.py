"""The images of a training, decoded once into a file that is mapped, not read."""

from pathlib import Path

import numpy as np
import pytest
from small import pictures

from panodiff.images import write_grey
from panodiff.training.store import open_store, take


def write_all(folder: Path, images: np.ndarray) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        write_grey(path, image)
    return paths


def test_the_store_holds_every_image_in_the_order_of_the_paths(tmp_path: Path):
    images = pictures(70, 16, 24)  # more than one batch of the decoder
    paths = write_all(tmp_path / "png", images)
    order = list(range(0, 70, 2)) + list(range(1, 70, 2))
    store = open_store([paths[index] for index in order], tmp_path / "cache.npy")
    assert isinstance(store, np.memmap)
    assert np.array_equal(store, images[order])
    assert np.array_equal(take(store, [3, 3, 0]).numpy(), images[order][[3, 3, 0]])


def test_a_finished_store_is_not_decoded_again(tmp_path: Path):
    images = pictures(3, 16, 24)
    paths = write_all(tmp_path, images)
    open_store(paths, tmp_path / "cache.npy")
    for path in paths:
        path.unlink()
    assert np.array_equal(open_store(paths, tmp_path / "cache.npy"), images)


def test_an_image_of_another_size_is_named_and_leaves_no_store(tmp_path: Path):
    paths = write_all(tmp_path, pictures(3, 16, 24))
    write_grey(paths[1], pictures(1, 16, 25)[0])
    with pytest.raises(ValueError, match=r"must be \(16, 24\), but .*1\.png is \(16, 25\)"):
        open_store(paths, tmp_path / "cache.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_what_is_no_image_of_the_pipeline_is_named(tmp_path: Path):
    paths = write_all(tmp_path, pictures(2, 16, 24))
    paths[1].write_bytes(b"not a png")
    with pytest.raises(ValueError, match=r"1\.png must be an 8-bit grey PNG"):
        open_store(paths, tmp_path / "cache.npy")
