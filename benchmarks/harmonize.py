"""Harmonization against a plain Pillow loop, and against decoding and encoding alone, at native sizes.

    python benchmarks/harmonize.py                       # prints a table and writes benchmarks/results/harmonize.json
    python benchmarks/harmonize.py --images 500 5000     # how memory grows with the number of images

All take the same files (drawn radiographs, native size and format) to 512×1024 and 128×256, each in processes of its
own. The loop: Pillow opens, crops, resizes by Lanczos and by a box, saves; one process, as such scripts are. The bound:
OpenCV decodes the file and encodes the pictures that the stage makes of it, in as many processes as the stage; nothing
that reads and writes these formats with OpenCV can be faster.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from panodiff import launch
from panodiff.files import write_json
from panodiff.harmonize.source import harmonize_source
from panodiff.images import Grey, encode_grey, read_grey
from panodiff.manifest import read_manifest
from panodiff.params_file import load_params
from panodiff.sources.ingest import ingest
from panodiff.sources.phantom import draw_phantom
from panodiff.sources.phantom.devices import DEVICES

ROOT = Path(__file__).parents[1]
SUFFIX = {"adld": ".png", "dentex": ".png", "tsxk": ".jpg", "tufts": ".jpg", "uspforp": ".jpg"}
ROUNDS = 3
DISTINCT = 4  # radiographs drawn a source; the corpus repeats them under other names
HIGH, LOW = (512, 1024), (128, 256)


def main() -> None:
    """Draw, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, nargs="+", default=[1500], help="sizes of the corpus for our stage")
    parser.add_argument("--loop-images", type=int, default=100, help="images that the slow Pillow loop takes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure_all(Path(folder), arguments.images, arguments.loop_images)
    for name, row in results["rows"].items():
        print(f"{name:<28}{row['ms_an_image']:>8.1f} ms an image{row['peak_mib']:>8.0f} MiB at most in one process")
    print(f"against the Pillow loop: {results['times_the_loop']:.1f} times its speed on {results['workers']} processes")
    print(f"against the bound: {100 * results['share_of_the_bound']:.0f} % of its speed")
    write_json(ROOT / "benchmarks" / "results" / "harmonize.json", results)


def measure_all(folder: Path, sizes: list[int], loop_images: int) -> dict:
    """All rows, and the two ratios at the first of `sizes`."""
    drawn = draw(folder / "drawn")
    corpora = {size: multiply(drawn, folder / f"raw{size}", size) for size in {*sizes, loop_images}}
    first = sizes[0]
    rows: dict[str, dict[str, float]] = {}
    distinct = multiply(drawn, folder / "distinct", len(drawn))
    run_ingest(distinct, folder)
    run_harmonize(distinct, folder)
    encoded = partial(bound, pictures=folder / "out-distinct")
    for number in range(ROUNDS):  # in turn: what else the machine does hits all alike
        out = folder / f"round{number}"
        out.mkdir()
        keep_best(rows, f"Pillow loop, {loop_images}", partial(pillow_loop, corpora[loop_images], out), loop_images)
        keep_best(rows, f"decode + encode, {first}", partial(encoded, corpora[first], out), first)
        for size in sizes if number == 0 else sizes[:1]:
            keep_best(rows, f"ingest, {size}", partial(run_ingest, corpora[size], out), size)
            keep_best(rows, f"harmonize, {size}", partial(run_harmonize, corpora[size], out), size)
        shutil.rmtree(out)
    ours, loop, floor = (
        rows[name]["ms_an_image"]
        for name in (f"harmonize, {first}", f"Pillow loop, {loop_images}", f"decode + encode, {first}")
    )
    return {
        "rows": rows,
        "times_the_loop": loop / ours,
        "share_of_the_bound": floor / ours,
        "workers": launch.num_workers(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def keep_best(rows: dict[str, dict[str, float]], name: str, work: Callable[[], None], count: int) -> None:
    """Measure `work`, and keep its row if it is the fastest of that name so far."""
    row = measured(work, count)
    rows[name] = min(row, rows.get(name, row), key=lambda each: each["ms_an_image"])


def draw(folder: Path) -> list[Path]:
    """Radiographs of all devices at native sizes, in the formats of their sources."""
    tasks = []
    for source, device in DEVICES.items():
        sizes = [(height, width) for height, width, _ in device.sizes]
        tasks += [(folder, source, number, sizes[number % len(sizes)]) for number in range(DISTINCT)]
    return list(launch.spread(draw_one, tasks))


def draw_one(task: tuple[Path, str, int, tuple[int, int]]) -> Path:
    folder, source, number, (height, width) = task
    image, _ = draw_phantom(1, number, height, width, DEVICES[source])
    path = folder / f"{source}-{number}{SUFFIX[source]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


def multiply(drawn: list[Path], folder: Path, count: int) -> Path:
    """A folder of `count` files: the drawn ones in turn, by hard links."""
    folder.mkdir()
    for number in range(count):
        source = drawn[number % len(drawn)]
        (folder / f"{number:06d}{source.suffix}").hardlink_to(source)
    return folder


def measured(work: Callable[[], None], count: int) -> dict[str, float]:
    """Time an image and the largest memory of any process, of `work` in a process of its own."""
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=report, args=(work, sender))
    process.start()
    sender.close()  # so that a process that fails leaves nobody waiting
    seconds, peak = receiver.recv()
    process.join()
    return {"ms_an_image": 1000 * seconds / count, "peak_mib": peak / 2**10}


def report(work: Callable[[], None], sender: Connection) -> None:
    peaks: list[int] = [0]
    threading.Thread(target=watch, args=(peaks,), daemon=True).start()
    started = time.perf_counter()
    with Path(os.devnull).open("w") as silence, redirect_stdout(silence):  # progress
        work()
    sender.send((time.perf_counter() - started, max(peaks)))


def watch(peaks: list[int]) -> None:
    """Note the largest memory that this process or one of its own has held, KiB, until the end."""
    while True:
        children = Path("/proc/self/task").glob("*/children")
        numbers = ["self", *(number for path in children for number in path.read_text().split())]
        for number in numbers:
            with suppress(OSError, IndexError):  # it has just ended
                status = Path(f"/proc/{number}/status").read_text()
                peaks[0] = max(peaks[0], int(status.split("VmHWM:")[1].split()[0]))
        time.sleep(0.1)


def pillow_loop(raw: Path, folder: Path) -> None:
    """What a script for one dataset does: margins of the published recipe, Lanczos, save."""
    out = folder / "loop"
    out.mkdir()
    for path in sorted(raw.iterdir()):
        with Image.open(path) as image:
            grey = image.convert("L")
        cut = grey.crop((127, 64, grey.width - 127, grey.height - 90))
        high = cut.resize(HIGH[::-1], Image.Resampling.LANCZOS)
        high.save(out / f"{path.stem}.png")
        high.resize(LOW[::-1], Image.Resampling.BOX).save(out / f"{path.stem}-low.png")


def bound(raw: Path, folder: Path, *, pictures: Path) -> None:
    """Decode all files, and encode the pictures made of them, which are in memory from the first time on."""
    (folder / "bound").mkdir()
    files = sorted(raw.iterdir())
    work = partial(decode_and_encode, out=folder / "bound", pictures=pictures)
    for _ in launch.spread(work, [(path, number % (DISTINCT * len(DEVICES))) for number, path in enumerate(files)]):
        pass


def decode_and_encode(named: tuple[Path, int], *, out: Path, pictures: Path) -> None:
    path, number = named
    cv2.setNumThreads(1)
    grey = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey.ndim == 2
    for resolution in ("high", "low"):
        picture = harmonized(pictures / resolution, number)
        (out / f"{path.stem}-{resolution}.png").write_bytes(encode_grey(picture))


@cache
def harmonized(folder: Path, number: int) -> Grey:
    return read_grey(sorted(folder.iterdir())[number])


def run_ingest(raw: Path, folder: Path) -> None:
    ingest("mine", raw, load_params(ROOT / "params.yaml").ingest, folder / f"{raw.name}.csv", lambda: None)


def run_harmonize(raw: Path, folder: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    target = params.harmonize.model_copy(update={"high_size": HIGH, "low_size": LOW})
    out = folder / f"out-{raw.name}"
    harmonize_source(
        raw,
        folder / f"{raw.name}.csv",
        out,
        source=params.source["adld"],
        target=target,
        quality=params.quality,
        final="out",
        check_stop=lambda: None,
    )
    statuses = read_manifest(out / "rows.csv")["status"].value_counts().to_dict()
    if set(statuses) != {"kept"}:
        raise AssertionError(f"all images must pass, or the time says nothing: {json.dumps(statuses)}")


if __name__ == "__main__":
    main()
