"""Finds planted copies of training images: how many of each kind, how many false alarms, how long it takes.

    python benchmarks/copies.py FOLDER --encoder data/models/encoder    # FOLDER: radiographs, a subfolder a source

Two corpora: the real radiographs of FOLDER and phantoms of all devices, each harmonized to 128×256. The images are
dealt into folds by duplicate group, those of the pipeline's own search. Each fold in turn is the test split, the rest
the training split: the threshold comes from the training images, and a false alarm is an image of the fold that is
called a copy. The synthetic images are copies of training images, changed in each way of CHANGES; one counts as found
if it is called a copy of its original, or of an image of the same group. `blurred strangers`, means of two to eight
images of the fold, show whether an image without details of its own is called a copy.

`among_nearest` is the share of the copies whose original is among the 8 nearest training images in the features of the
encoder given and of one with random weights, beside those by signatures: why encoders are not asked. They are given
mirrored copies the right way round. Results go to benchmarks/results/copies.json.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from parts.measuring import machine
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from panodiff import launch
from panodiff.corpus.duplicates import find_matches
from panodiff.corpus.fields import Fields, Indices
from panodiff.evaluation.copies import likeness
from panodiff.evaluation.copies.closest import NUM_CANDIDATES, Gallery, search
from panodiff.evaluation.copies.find import NUM_PLANTED, RULE, Copies, find_copies, flagged_share
from panodiff.evaluation.copies.planting import CHANGES, changed
from panodiff.features.encoder import Encoder, load_encoder
from panodiff.files import write_json
from panodiff.harmonize.transform import Harmonized, harmonize_image
from panodiff.images import Grey, to_unit, write_grey
from panodiff.params_data import HarmonizeParams, SourceParams
from panodiff.randomness import numpy_generator, seeded_init
from panodiff.sources.phantom import DEVICES, draw_phantom

ROOT = Path(__file__).parents[1]
TARGET = HarmonizeParams(high_size=(128, 256), low_size=(32, 64), aspect="keep")
KINDS = tuple(CHANGES)
STRANGERS = "blurred strangers"
NUM_TRAIN = 5000  # of the search that is timed
LEAST_PHANTOMS = 300
Images = NDArray[np.uint8]  # (N, H, W)


def main() -> None:
    """Print what was measured and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", type=Path, help="a folder that the stage train_encoder wrote")
    parser.add_argument("--num", type=int, default=400, help="phantoms")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--plant", type=int, default=100, help="copies of each kind a fold")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "copies.json")
    options = parser.parse_args()
    if options.num < LEAST_PHANTOMS:
        parser.error(f"--num must be at least {LEAST_PHANTOMS}: the search is timed with as many as a smoke run has")
    with seeded_init(0, "benchmark/encoder"):
        encoders = {"random encoder": Encoder((16, 32, 64, 96)).eval()}
    if options.encoder:
        encoders["trained encoder"] = load_encoder(options.encoder, torch.device("cpu"))
    results: dict[str, Any] = {"rule": RULE, "folds": options.folds}
    for name, found in (("real", radiographs(options.folder)), ("phantoms", phantoms(options.num))):
        images, groups = np.stack([image.high for image in found]), duplicate_groups(found)
        results[name] = measured(images, groups, options.folds, options.plant)
        results[name]["among_nearest"] = among_nearest(images, groups, encoders)
        if name == "phantoms":
            _, results["smoke_scale_seconds"] = searched(images[:64], images[64:254], images[254:294], groups[64:254])
            results["search"] = search_time(images)
    results |= {"machine": machine("cpu"), "workers": launch.num_workers()}
    print(json.dumps(results, indent=1))
    write_json(options.out, results)


def radiographs(folder: Path) -> list[Harmonized]:
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    return [harmonized(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths]


def phantoms(num: int) -> list[Harmonized]:
    """As many of each device, drawn a little larger than they are needed."""
    found = []
    for device in DEVICES.values():
        height, width, _ = device.sizes[0]
        for patient in range(num // len(DEVICES)):
            found.append(harmonized(draw_phantom(5, patient, height * 320 // width, 320, device)[0]))
    return found


def harmonized(image: Any) -> Harmonized:
    return harmonize_image(image, SourceParams(), TARGET)


def duplicate_groups(found: list[Harmonized]) -> NDArray[np.object_]:
    """As the pipeline groups them: the number of the first image of which each is a copy, mirrored or not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fields.u8"
        path.write_bytes(b"".join(image.field.tobytes() for image in found))
        matches = find_matches(Fields(((path, len(found)),)), np.arange(len(found)))
    graph = coo_array((np.ones(len(matches.first)), (matches.first, matches.second)), shape=(len(found), len(found)))
    return connected_components(graph, directed=False)[1].astype(object)


def measured(images: Images, groups: NDArray[np.object_], num_folds: int, num: int) -> dict[str, Any]:
    """Recall of each kind and false alarms over all folds, thresholds, correlations, and the time an image."""
    rng = numpy_generator(0, "benchmark/copies")
    names = rng.permutation(np.unique(groups))
    folds = np.array([np.flatnonzero(names == group)[0] % num_folds for group in groups])
    hits, alarms, blurred, thresholds, correlations, seconds, planted = [], [], [], [], [], [], []
    for fold in range(num_folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        originals = rng.permutation(train)[:num]
        synthetic = list(all_kinds(images, groups, originals, train, rng))
        strangers = [images[rng.choice(test, 2 + number % 7, replace=False)].mean(axis=0) for number in range(num)]
        copies, spent = searched(synthetic + strangers, images[train], images[test], groups[train])
        wanted = np.tile(groups[originals], len(KINDS))
        nearest = groups[train][copies.found.nearest[: len(wanted)]]
        hits.append((copies.is_copy[: len(wanted)] & (nearest == wanted)).reshape(len(KINDS), -1))
        correlations.append(copies.found.correlation[: len(wanted)].reshape(len(KINDS), -1))
        blurred.append(copies.is_copy[len(wanted) :])
        alarms.append(copies.summary["test"])
        thresholds.append(copies.summary["threshold"])
        seconds.append(spent / (len(synthetic) + len(strangers) + len(images) + NUM_PLANTED))
        planted.append(copies.summary["planted"]["share"])
    found, correlation = np.concatenate(hits, axis=1), np.concatenate(correlations, axis=1)
    false = np.arange(len(images)) < sum(part["flagged"] for part in alarms)
    return {
        "images": len(images),
        "duplicate_groups": len(names),
        "recall": {kind: flagged_share(row) | {"num": len(row)} for kind, row in zip(KINDS, found, strict=True)},
        "least_correlation": dict(zip(KINDS, correlation.min(axis=1).tolist(), strict=True)),
        "false_alarms": flagged_share(false) | {"num": len(false), "largest": max(part["max"] for part in alarms)},
        STRANGERS: flagged_share(np.concatenate(blurred)),
        "thresholds": thresholds,
        "planted_found": planted,
        "milliseconds_an_image": 1000 * float(np.mean(seconds)),
    }


def all_kinds(
    images: Images, groups: NDArray[np.object_], originals: Indices, train: Indices, rng: np.random.Generator
) -> Iterator[Grey]:
    """Copies of the originals in each of KINDS, kind by kind, blended with training images of other groups."""
    for kind in KINDS:
        for original in originals:
            other = rng.choice(train[groups[train] != groups[original]])
            yield changed(images[original], images[other], CHANGES[kind], rng)


def searched(
    synthetic: Sequence[NDArray[Any]], train: Images, test: Images, groups: NDArray[np.object_]
) -> tuple[Copies, float]:
    """What is found, and the seconds that it takes."""
    with tempfile.TemporaryDirectory() as folder:
        sets = {"synthetic": synthetic, "train": train, "test": test}
        paths = {name: written(Path(folder) / name, part) for name, part in sets.items()}
        started = time.perf_counter()
        copies = find_copies(**paths, train_groups=groups, seed=0)
        return copies, time.perf_counter() - started


def written(folder: Path, images: Sequence[NDArray[Any]] | Images) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:05d}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        write_grey(path, np.rint(image).astype(np.uint8))
    return paths


def among_nearest(
    images: Images, groups: NDArray[np.object_], encoders: Mapping[str, Encoder]
) -> dict[str, dict[str, float]]:
    """By kind, the share of the copies whose original is among the NUM_CANDIDATES nearest in each kind of features."""
    rng, everything = numpy_generator(0, "benchmark/nearest"), np.arange(len(images))
    originals = rng.permutation(everything)[:150]
    copies = np.stack(list(all_kinds(images, groups, originals, everything, rng)))
    is_mirrored = np.repeat([change.mirrored for change in CHANGES.values()], len(originals))
    copies[is_mirrored] = copies[is_mirrored][:, :, ::-1]
    found = {}
    for name, encoder in encoders.items():
        found[name] = embedded(encoder, copies) @ embedded(encoder, images).T
    centred = np.stack([likeness.signatures(image)[likeness.CENTRE] for image in images])
    found["signatures"] = np.stack([(likeness.signatures(copy) @ centred.T).max(axis=0) for copy in copies])
    wanted, shares = np.tile(originals, len(KINDS)), {}
    for name, like in found.items():
        place = (like > like[np.arange(len(wanted)), wanted][:, None]).sum(axis=1).reshape(len(KINDS), -1)
        shares[name] = dict(zip(KINDS, (place < NUM_CANDIDATES).mean(axis=1).tolist(), strict=True))
    return shares


@torch.inference_mode()
def embedded(encoder: Encoder, images: Images) -> NDArray[np.float32]:
    parts = [encoder(to_unit(images[start : start + 16])) for start in range(0, len(images), 16)]
    return np.asarray(torch.nn.functional.normalize(torch.cat(parts)).numpy())


def search_time(images: Images) -> dict[str, float]:
    """Milliseconds of the search an image, among so many training images (here repeated)."""
    details = np.stack([likeness.details(image) for image in images])
    signatures = np.stack([likeness.signatures(image) for image in images]).astype(np.float16)
    repeated = np.arange(NUM_TRAIN) % len(images)
    train = Gallery(details=details[repeated], signatures=signatures[repeated])
    samples = Gallery(details=details[:256], signatures=signatures[:256])
    started = time.perf_counter()
    search(samples, train)
    spent = 1000 * (time.perf_counter() - started) / len(samples)
    return {"train_images": NUM_TRAIN, "milliseconds_an_image": spent}


if __name__ == "__main__":
    main()
