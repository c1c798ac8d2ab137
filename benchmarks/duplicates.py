"""Finds the copies among many radiographs: how long it takes, how much memory, how many it finds.

    python benchmarks/duplicates.py --num 100000

The radiographs are random mixtures of phantoms, device by device: they have the phantoms' common shape (weakened until
two of a device are as alike as real ones) and covariance. One of twenty is a changed copy of another one. Beside it,
in the same run, what a plain comparison of perceptual hashes does (64 bits of the cosine transform, all pairs by
XOR and bit counts in NumPy): its time, and the share of the copies that it finds where it errs as rarely. Results go to
benchmarks/results/duplicates.json.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from panodiff.corpus.candidates import CANDIDATE_CORRELATION, WINDOWS, find_candidates, signatures
from panodiff.corpus.fields import Fields
from panodiff.corpus.registration import COPY_CORRELATION, correlations
from panodiff.manifest import FIELD_SIZE, FIELDS
from panodiff.sources.phantom.devices import DEVICES
from panodiff.sources.phantom.drawing import draw_phantom

NUM_PHANTOMS = 150  # a device: as many directions has the covariance
REAL = {"mean": 0.44, "deviation": 0.14}  # correlation of two real radiographs of one device
COPY_EVERY = 20
HASH_SIZE = 8


def main() -> None:
    """Print what was measured and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "duplicates.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FIELDS
        device, copied = write_fields(path, arguments.num)
        fields = Fields(((path, arguments.num),))
        results = strangers(fields, device) | measure(fields, copied)
        results |= baseline(fields, copied)
    results["times_the_baseline"] = results["seconds"] / results["baseline_seconds"]
    for name, value in results.items():
        print(f"{name:<42}{value:.4g}" if isinstance(value, float) else f"{name:<42}{value}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def write_fields(path: Path, num: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write `num` fields; the device of each, and for the last ones, which are copies, the number of the original."""
    rng = np.random.default_rng(1)
    shapes, parts = zip(*(_device(name) for name in DEVICES), strict=True)
    num_copies = num // COPY_EVERY
    device, copied = rng.integers(0, len(DEVICES), num), rng.choice(num - num_copies, num_copies, replace=False)
    device[num - num_copies :] = device[copied]
    with path.open("wb+") as file:
        for start in range(0, num - num_copies, 1000):
            for which in device[start : min(start + 1000, num - num_copies)]:
                weights = rng.normal(size=NUM_PHANTOMS).astype(np.float32) / np.sqrt(NUM_PHANTOMS)
                field = shapes[which] + np.tensordot(weights, parts[which], 1)
                file.write(np.clip(field + 110, 0, 255).astype(np.uint8).tobytes())
        held = np.memmap(path, np.uint8, "r", shape=(num - num_copies, *FIELD_SIZE))
        file.seek(0, 2)
        for original in copied:
            file.write(_changed(np.asarray(held[original]), rng).tobytes())
    return device, copied


def _device(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The common shape of a device's phantoms, and how each of them departs from it."""
    machine = DEVICES[name]
    height, width, _ = machine.sizes[0]
    drawn = [draw_phantom(5, n, height * 256 // width, 256, machine)[0] for n in range(NUM_PHANTOMS)]
    fields = np.stack([cv2.resize(image, FIELD_SIZE[::-1], interpolation=cv2.INTER_AREA) for image in drawn])
    mean = fields.mean(axis=0, dtype=np.float32)
    return 0.92 * (mean - mean.mean()), fields - mean


def _changed(field: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A copy, cropped by up to 5 % of each side, of other contrast, JPEG."""
    height, width = FIELD_SIZE
    top, bottom, left, right = rng.uniform(0, 0.05, 4)
    matrix = np.array([[1 - left - right, 0, left * width], [0, 1 - top - bottom, top * height]], np.float32)
    matrix[:, 2] += (matrix[:, :2].diagonal() - 1) / 2
    seen = cv2.warpAffine(field, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    toned = np.clip(rng.uniform(0.85, 1.15) * seen + rng.uniform(-10, 10), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", toned, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)).astype(np.uint8)


def strangers(fields: Fields, device: NDArray[np.int64]) -> dict[str, Any]:
    """How alike two radiographs of one device are, against what real ones are."""
    which = np.flatnonzero(device[: len(device) // 2] == 0)[:1500]
    whole, *others = (signatures(fields.take(which), window) for window in WINDOWS)
    found = np.max([whole @ other.T for other in (whole, *others)], axis=0)[np.triu_indices(len(which), 1)]
    return {
        "strangers_mean": float(found.mean()),
        "strangers_deviation": float(found.std()),
        "strangers_that_are_candidates": float((found >= CANDIDATE_CORRELATION).mean()),
        "real_strangers_mean": REAL["mean"],
        "real_strangers_deviation": REAL["deviation"],
    }


def measure(fields: Fields, copied: NDArray[np.int64]) -> dict[str, Any]:
    """Time, memory, and what was found."""
    started = time.perf_counter()
    numbers = np.arange(len(fields))
    pairs = find_candidates(fields, numbers)
    compared = time.perf_counter()
    near = pairs.take(correlations(pairs, fields, numbers) >= COPY_CORRELATION)
    done = time.perf_counter()
    peaks = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found = set(zip(np.minimum(near.one, near.other).tolist(), np.maximum(near.one, near.other).tolist(), strict=True))
    planted = set(zip(copied.tolist(), range(len(fields) - len(copied), len(fields)), strict=True))
    return {
        "num": len(fields),
        "seconds": done - started,
        "seconds_of_candidates": compared - started,
        "seconds_of_registration": done - compared,
        "candidates": len(pairs),
        "peak_gb": peaks[0],
        "peak_gb_of_a_worker": peaks[1],
        "recall": len(found & planted) / len(planted),
        "false_pairs": len(found - planted),
    }


def baseline(fields: Fields, copied: NDArray[np.int64]) -> dict[str, Any]:
    """The same by perceptual hashes: the largest distance at which pairs that are no copies stay below one in 10⁷."""
    started = time.perf_counter()
    hashes = np.concatenate([_hashes(fields.take(part)) for part in np.array_split(np.arange(len(fields)), 100)])
    counts = np.zeros(65, np.int64)
    for start in range(0, len(hashes), 64):
        distances = np.bitwise_count(hashes[start : start + 64, None] ^ hashes[None, start:])
        counts += np.bincount(distances.ravel(), minlength=65)[:65]
    done = time.perf_counter()
    planted = np.bitwise_count(hashes[copied] ^ hashes[len(fields) - len(copied) :])
    false = np.cumsum(counts - np.bincount(planted, minlength=65)) - len(hashes)
    within = max(int(np.searchsorted(false, len(hashes) ** 2 / 2 * 1e-7, side="right")) - 1, 0)
    return {
        "baseline_seconds": done - started,
        "baseline_recall": float((planted <= within).mean()),
        "baseline_distance": within,
    }


def _hashes(fields: NDArray[np.uint8]) -> NDArray[np.uint64]:
    low = np.stack([cv2.dct(field.astype(np.float32))[:HASH_SIZE, :HASH_SIZE] for field in fields])
    flat = low.reshape(len(low), -1)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


if __name__ == "__main__":
    sys.exit(main())
