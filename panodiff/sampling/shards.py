"""Work on many images in shards: finished ones survive a stop, and processes share them out."""

import shutil
from collections.abc import Callable
from pathlib import Path

from panodiff import launch
from panodiff.files import move_whole
from panodiff.progress import Progress
from panodiff.stage import Stage


def work_in_shards(
    stage: Stage, work: Callable[[list[int], Path], None], *, num_images: int, shard_size: int, out: Path, what: str
) -> None:
    """Have images 0 … num_images - 1 made by `work(indices, folder)`, and gather all its files in `out`.

    A shard is always worked on whole: an image's batch, and with it the last bit of its floats, does not depend on
    where a run was stopped, nor on the number of processes.
    """
    shards = [range(num_images)[start : start + shard_size] for start in range(0, num_images, shard_size)]
    finished = stage.scratch / "shards"
    mine = [number for number in range(len(shards)) if number % launch.world_size() == launch.rank()]
    left = [number for number in mine if not (finished / f"{number:06d}").is_dir()]
    total = sum(len(shards[number]) for number in mine)
    progress = Progress(total, what, initial=total - sum(len(shards[number]) for number in left))
    for number in left:
        stage.check_stop()
        aside = stage.scratch / f"shard-in-work-{launch.rank()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        work(list(shards[number]), aside)
        move_whole(aside, finished / f"{number:06d}")
        progress.advance(len(shards[number]))
    progress.close()
    launch.barrier()
    if launch.rank() == 0:
        _gather([finished / f"{number:06d}" for number in range(len(shards))], out)


def batch_of(index: int, *, num_images: int, shard_size: int, batch_size: int) -> list[int]:
    """The images that share a batch with image `index`: batches fill a shard from its start, and do not leave it."""
    shard = index // shard_size * shard_size
    start = shard + (index - shard) // batch_size * batch_size
    return list(range(start, min(start + batch_size, shard + shard_size, num_images)))


def _gather(folders: list[Path], out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            _link_or_copy(path, out / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
