"""Work in shards: nothing is done twice, and nothing depends on where a run was stopped."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from panodiff.sampling.shards import batch_of, work_in_shards
from panodiff.stage import Stopped


@dataclass
class StopAfter:
    """What the shards use of a stage: asked to stop before shard number `left`."""

    scratch: Path
    left: int = 10**9

    def check_stop(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped


class Writer:
    """Writes each image's index and the indices of its shard; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, indices: list[int], folder: Path) -> None:
        self.asked.append(indices)
        for index in indices:
            (folder / f"{index:03d}.txt").write_text(f"{index} of {indices}")


def shards(stage: StopAfter, work: Writer, num_images: int = 10, shard_size: int = 3) -> dict[str, str]:
    out = stage.scratch / "outs" / "out"
    work_in_shards(stage, work, num_images=num_images, shard_size=shard_size, out=out, what="drawing")  # type: ignore[arg-type]
    return {path.name: path.read_text() for path in sorted(out.iterdir())}


def test_every_image_is_made_once_and_gathered(tmp_path: Path):
    work = Writer()
    found = shards(StopAfter(tmp_path), work)
    assert work.asked == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert list(found) == [f"{index:03d}.txt" for index in range(10)]


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_a_stopped_run_goes_on_with_the_shards_that_are_left(tmp_path: Path, done: int):
    work = Writer()
    if done < 4:
        with pytest.raises(Stopped):
            shards(StopAfter(tmp_path, left=done), work)
        assert not (tmp_path / "outs").exists()
    else:
        shards(StopAfter(tmp_path), work)
    again = Writer()
    found = shards(StopAfter(tmp_path), again)
    assert work.asked + again.asked == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    (tmp_path / "undisturbed").mkdir()
    assert found == shards(StopAfter(tmp_path / "undisturbed"), Writer())


def test_a_shard_that_was_killed_half_way_is_made_anew_whole(tmp_path: Path):
    (tmp_path / "shard-in-work-0").mkdir()
    (tmp_path / "shard-in-work-0" / "000.txt").write_text("half")
    (tmp_path / "shard-in-work-0" / "stranger.txt").write_text("left")
    found = shards(StopAfter(tmp_path), Writer())
    assert found["000.txt"] == "0 of [0, 1, 2]"
    assert "stranger.txt" not in found


def test_a_shard_that_was_killed_while_it_moved_is_in_nobodys_way(tmp_path: Path):
    """Its folder lies beside the finished ones under the name that a move uses."""
    aside = tmp_path / "shards" / f".000001.{os.getpid() + 1}.partial"
    aside.mkdir(parents=True)
    (aside / "003.txt").write_text("moved half way")
    assert shards(StopAfter(tmp_path), Writer())["003.txt"] == "3 of [3, 4, 5]"


def test_outputs_left_by_a_killed_run_are_replaced(tmp_path: Path):
    (tmp_path / "outs" / "out").mkdir(parents=True)
    (tmp_path / "outs" / "out" / "stranger.txt").write_text("left")
    assert "stranger.txt" not in shards(StopAfter(tmp_path), Writer())


def test_a_batch_is_that_of_the_stage():
    """Every image is in one batch; batches are what work on whole shards in steps of the batch size makes."""
    for num_images, shard_size, batch_size in ((10, 4, 3), (7, 7, 2), (5, 8, 8), (12, 4, 4)):
        batches = []
        for first in range(0, num_images, shard_size):
            shard = list(range(first, min(first + shard_size, num_images)))
            batches += [shard[start : start + batch_size] for start in range(0, len(shard), batch_size)]
        for batch in batches:
            for index in batch:
                found = batch_of(index, num_images=num_images, shard_size=shard_size, batch_size=batch_size)
                assert found == batch
