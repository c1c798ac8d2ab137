"""Set metrics of one pass against torchmetrics' FID, KID and IS one after the other; and memory against set size.

    python benchmarks/evaluation.py                 # prints tables and writes benchmarks/results/evaluation.json
    python benchmarks/evaluation.py --images 40 --sizes 500 1000                     # two minutes, to try it
    python benchmarks/evaluation.py --weights weights-inception-2015-12-05-6726825d.pth             # the real ones

Time: two sets of PNGs of 128×256 on disk. torchmetrics decodes them and runs Inception anew for each of its metrics,
with the published settings (8 bits at native size; KID of 100 subsets, of half a set here; IS in 10 splits). This
project embeds each set once, from an empty cache, and takes FID with its interval where there are images enough, KID
with its interval from all pairs, IS, precision, recall, density and coverage with intervals. Both have the same
weights, random ones unless a file is given: they cost the same. Each in a process of its own, in turn, best of
--rounds.

The floor of the time is Inception itself: its operations at the rate of a product of matrices on this machine.

Memory: all set metrics of two sets of drawn features (N, 2048) in files, as `embed` leaves them; the most of anonymous
memory that the process gains, files that are mapped not counted.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from parts.measuring import in_own_process, machine, matrix_rates
from torch.utils.flop_counter import FlopCounterMode
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from panodiff.evaluation.sets.compare import compare
from panodiff.evaluation.sets.inception import inception_score
from panodiff.features.backbones import Inception, features_and_logits
from panodiff.features.embed import embed
from panodiff.files import write_json
from panodiff.images import read_grey, write_grey
from panodiff.randomness import seeded_init

ROOT = Path(__file__).parents[1]
SIZE, BATCH, DIM, NEIGHBOURS, SEED = (128, 256), 16, 2048, 3, 1
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=300, help="of either set")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--weights", type=Path, help="torch-fidelity's Inception")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        weights = arguments.weights or random_inception(Path(folder) / "inception.pth")
        draw_images(Path(folder), arguments.images)
        seconds, numbers = measure_times(Path(folder), weights, arguments.rounds)
        memory = measure_memory(Path(folder), arguments.sizes)
        floor = 2 * arguments.images * inception_gflop(weights) / matrix_rates("cpu")["float32"]
    result = {
        "machine": machine("cpu"),
        "torch": torch.__version__,
        "images_a_set": arguments.images,
        "seconds": seconds | {"floor": floor},
        "ratio": seconds["panodiff"] / seconds["torchmetrics"],
        "times_the_floor": seconds["panodiff"] / floor,
        "metrics": numbers,
        "memory": memory,
    }
    for line in (f"{name}: {value}" for name, value in result.items()):
        print(line)
    write_json(ROOT / "benchmarks/results/evaluation.json", result)


class Unloaded(FeatureExtractorInceptionV3):
    """torch-fidelity's network with the weights that it is built with."""

    def load_state_dict(self, state_dict: object) -> None:
        """Leave them."""


def random_inception(path: Path) -> Path:
    """A file of random weights of the right shapes."""
    torch.save({}, path)
    with seeded_init(SEED, "benchmark"):
        network = Unloaded("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
        for module in network.modules():  # as built, its outputs vanish
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path


def draw_images(folder: Path, count: int) -> None:
    """Two sets of noise, one a little brighter."""
    generator = np.random.default_rng(SEED)
    for name, offset in (("fake", 0), ("real", 20)):
        for number in range(count):
            image = generator.integers(0, 200, SIZE).astype(np.uint8) + np.uint8(offset)
            write_grey(folder / name / f"{number:05d}.png", image)


def paths_of(folder: Path, name: str) -> list[Path]:
    """The images of one set."""
    return sorted((folder / name).glob("*.png"))


def measure_times(folder: Path, weights: Path, rounds: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Seconds of the best round, and the numbers that either found."""
    works = {"torchmetrics": by_torchmetrics, "panodiff": by_panodiff}
    seconds: dict[str, float] = {}
    numbers = {}
    for number in range(rounds):
        for name, work in works.items():
            took, found = in_own_process(partial(work, folder, weights, folder / f"cache{number}"))[0]
            seconds[name] = min(took, seconds.get(name, took))
            numbers[name] = found
    return seconds, numbers


def by_torchmetrics(folder: Path, weights: Path, cache: Path) -> tuple[float, dict[str, float]]:
    """FID, KID and IS, one after the other."""
    fakes, reals = paths_of(folder, "fake"), paths_of(folder, "real")
    file = str(weights)
    started = time.perf_counter()
    fid = FrechetInceptionDistance(feature_extractor_weights_path=file)
    features, logits = (
        NoTrainInceptionV3("inception-v3-compat", [layer], file) for layer in ("2048", "logits_unbiased")
    )
    kid = KernelInceptionDistance(features, subsets=100, subset_size=len(fakes) // 2)
    score = InceptionScore(logits)
    with torch.inference_mode():
        for metric in (fid, kid):
            for paths, real in ((fakes, False), (reals, True)):
                for images in batches(paths):
                    metric.update(images, real=real)
        for images in batches(fakes):
            score.update(images)
        found = {"fid": fid.compute().item(), "kid": kid.compute()[0].item(), "is": score.compute()[0].item()}
    return time.perf_counter() - started, found


def batches(paths: list[Path]) -> Iterator[torch.Tensor]:
    """(B, 3, H, W), 8 bits: what `normalize=True` makes of images in [0, 1]."""
    for start in range(0, len(paths), BATCH):
        images = np.stack([read_grey(path) for path in paths[start : start + BATCH]])
        yield torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)


def by_panodiff(folder: Path, weights: Path, cache: Path) -> tuple[float, dict[str, float]]:
    """The same and more, from one pass."""
    started = time.perf_counter()
    networks = {"inception": Inception(weights).eval().requires_grad_(False)}
    taken = {
        name: features_and_logits(
            embed(paths_of(folder, name), networks, batch_size=BATCH, device=CPU, cache=cache, what=name)
        )
        for name in ("fake", "real")
    }
    (fake, logits), (real, _) = taken["fake"], taken["real"]
    assert logits is not None
    found = compare(fake["inception"], real["inception"], "inception", NEIGHBOURS, SEED)
    numbers = {"fid": "fid_inception", "kid": "kid_inception", "precision": "precision_inception"}
    values = {name: found[key]["value"] for name, key in numbers.items()}
    return time.perf_counter() - started, values | {"is": inception_score(logits, SEED)["value"]}


def inception_gflop(weights: Path) -> float:
    """Of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Inception(weights)(torch.zeros(1, 1, *SIZE))
    return float(counter.get_total_flops() / 1e9)


def measure_memory(folder: Path, sizes: list[int]) -> list[dict[str, float]]:
    """Time and memory of all set metrics by the number of images."""
    rows = []
    for count in sizes:
        for name, shift in (("fake", 0.1), ("real", 0.0)):
            draw_features(folder / f"{name}.npy", count, shift)
        took, gained = in_own_process(partial(compare_files, folder))[0]
        rows.append({"images": count, "seconds": took, "mib": gained})
        print(rows[-1], flush=True)
    return rows


def draw_features(path: Path, count: int, shift: float) -> None:
    """(N, 2048) float32, correlated."""
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, DIM))
    mix = np.random.default_rng(0).normal(0, DIM**-0.5, (DIM, DIM)).astype(np.float32)
    generator = np.random.default_rng([count, int(100 * shift)])
    for start in range(0, count, 1000):
        block = features[start : start + 1000]
        block[:] = generator.normal(shift, 1, block.shape).astype(np.float32) @ mix


def compare_files(folder: Path) -> tuple[float, float]:
    """Seconds, and MiB of anonymous memory gained at the most."""
    fake, real = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("fake", "real"))
    np.linalg.eigvalsh(np.eye(512))  # so that the buffers of the linear algebra are there
    before, most, done = anonymous_mib(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    compare(fake, real, "inception", NEIGHBOURS, SEED)
    took = time.perf_counter() - started
    done.set()
    watcher.join()
    return took, most[0] - before


def anonymous_mib() -> float:
    """What Linux says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


if __name__ == "__main__":
    main()
