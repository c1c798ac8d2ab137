"""A corpus of phantoms in the five sources' real layouts, with the repeats and broken files that real sets have."""

import dataclasses
import json
import pathlib

import cv2
import numpy as np

from panodiff import launch
from panodiff.progress import track
from panodiff.randomness import numpy_generator
from panodiff.sources.phantom.devices import DEVICES
from panodiff.sources.phantom.drawing import draw_phantom

TSXK_JSON, TSXK_PNG = "Teeth Segmentation JSON/d2", "Teeth Segmentation PNG/d2"
DENTEX_TREES = ("quadrant", "quadrant_enumeration", "quadrant-enumeration-disease", "unlabelled")
# Where a radiograph that is in the set by mistake lies, by its number.
FLAT_NAMES = {
    "adld": "image_{}.png",
    "dentex": "training_data/unlabelled/xrays/train_{}.png",
    "tsxk": TSXK_JSON + "/img/{}.jpg",
    "tufts": "Radiographs/{}.JPG",
    "uspforp": "{}.jpg",
}
# What is planted into each source, once for every 24 patients.
PLANTED = {
    "adld": ("resized", "brightness", "empty"),
    "dentex": ("recompressed", "cropped", "truncated", "text"),
    "tsxk": ("mirrored", "exact", "empty"),
    "tufts": ("brightness", "resized", "truncated"),
    "uspforp": ("exact", "exact", "recompressed", "cropped", "mirrored", "wrong extension"),
}
BROKEN = ("empty", "truncated", "text", "wrong extension")


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """One file made from a patient's radiograph.

    Attributes:
        path: relative to the source's folder.
        kind: original, a kind of copy, a kind of breakage, mask (a picture that is no radiograph) or label (its text).
    """

    path: str
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """All files of one patient of one source; `files` starts with the original."""

    folder: pathlib.Path
    source: str
    seed: int
    patient: int
    height: int
    width: int
    files: tuple[File, ...]


def write_phantoms(out: pathlib.Path, *, seed: int, num_patients: int, scale: float) -> None:
    """Writes `out/<source>/…` for the five sources, and what is true about every radiograph into `out/truth.json`.

    The same arguments give the same bytes in every file, whatever the number of processes. `truth.json` holds, by
    source and path (relative to the source's folder): `patient`, `copy_of` (a path of that source or null),
    `copy_kind` (exact, recompressed, resized, brightness, cropped, mirrored or null), `broken` (empty, truncated,
    text, wrong extension or null) and, for originals, `truth` as `draw_phantom` gives it. Files that it does not
    name are masks and labels.

    Args:
        out: an empty or new folder.
        seed: of everything drawn.
        num_patients: distinct patients in each source.
        scale: of the written pictures, relative to the machines' native sizes.
    """
    tasks = [task for source in DEVICES for task in plan(out / source, source, seed, num_patients, scale)]
    truth: dict[str, dict[str, dict]] = {source: {} for source in DEVICES}
    results = track(launch.spread(write_patient, tasks), len(tasks), "drawing phantoms", unit="patient")
    for task, records in zip(tasks, results, strict=True):
        truth[task.source].update(records)
    write_collection_labels(out, truth)
    write_json(out / "truth.json", truth)


def plan(folder: pathlib.Path, source: str, seed: int, num_patients: int, scale: float) -> list[Task]:
    """What to draw and write for one source, a task a patient."""
    files = [
        layout(source, patient, numpy_generator(seed, f"{source} layout", patient)) for patient in range(num_patients)
    ]
    number = num_patients
    for repeat in range(max(1, num_patients // 24)):
        for kind in PLANTED[source]:
            number += 1
            patient = (7 * number + 5 * repeat) % num_patients
            path = FLAT_NAMES[source].format(3 * number if source == "dentex" else number)
            files[patient].append(File(path=path, kind=kind))
    sizes = DEVICES[source].sizes
    tasks = []
    for patient in range(num_patients):
        odds = [odd for _, _, odd in sizes]
        height, width, _ = sizes[numpy_generator(seed, f"{source} size", patient).choice(len(sizes), p=odds)]
        tasks.append(
            Task(
                folder=folder,
                source=source,
                seed=seed,
                patient=patient,
                height=max(8, round(height * scale)),
                width=max(16, round(width * scale)),
                files=tuple(files[patient]),
            )
        )
    return tasks


def layout(source: str, patient: int, rng: np.random.Generator) -> list[File]:
    """The files that the real set has for one radiograph, the original first."""
    n = patient + 1
    if source == "dentex":
        return dentex_layout(n, rng)
    original = File(path=FLAT_NAMES[source].format(n), kind="original")
    if source == "tsxk":
        suffix = "png" if n % 4 == 0 else "jpg"
        return [
            original,
            File(path=f"{TSXK_PNG}/img/{n}.{suffix}", kind="exact"),
            File(path=f"{TSXK_PNG}/masks_machine/{n}.png", kind="mask"),
            File(path=f"{TSXK_PNG}/masks_human/{n}.png", kind="mask"),
            File(path=f"{TSXK_JSON}/ann/{n}.jpg.json", kind="label"),
        ]
    if source == "tufts":
        folders = ("teeth_mask", "maxillomandibular")
        return [original, *(File(path=f"Segmentation/{folder}/{n}.jpg", kind="mask") for folder in folders)]
    return [original, File(path=f"image_{n}.json" if source == "adld" else f"{n}.txt", kind="label")]


def dentex_layout(n: int, rng: np.random.Generator) -> list[File]:
    """DENTEX: validation and test apart; a training radiograph sits in one to three trees under other numbers."""
    part = n % 10
    if part == 0:
        return [File(path=f"validation_data/quadrant_enumeration_disease/xrays/val_{n}.png", kind="original")]
    if part == 5:
        return [File(path=f"test_data/disease/input/test_{n}.png", kind="original")]
    trees = rng.permutation(DENTEX_TREES)[: rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])]
    # Numbers of different trees do not agree in the real set either.
    paths = [f"training_data/{tree}/xrays/train_{3 * n + i}.png" for i, tree in enumerate(trees)]
    return [File(path=path, kind="exact" if i else "original") for i, path in enumerate(paths)]


def write_patient(task: Task) -> dict[str, dict]:
    """Draws one patient, writes all its files, and returns their part of `truth.json`."""
    cv2.setNumThreads(1)
    drawn, truth = draw_phantom(task.seed, task.patient, task.height, task.width, DEVICES[task.source])
    original = task.files[0]
    encoded = encode(drawn, original.path)
    picture = decode(encoded)
    records = {}
    for file in task.files:
        path = task.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            contents(file, picture, encoded, truth, same_type=path.suffix == pathlib.Path(original.path).suffix)
        )
        if file.kind not in ("mask", "label"):
            broken = file.kind if file.kind in BROKEN else None
            copied = file is not original and broken in (None, "wrong extension")
            records[file.path] = {
                "patient": task.patient,
                "copy_of": original.path if copied else None,
                "copy_kind": ("exact" if broken else file.kind) if copied else None,
                "broken": broken,
                "truth": truth if file is original else None,
            }
    return records


def contents(file: File, picture: np.ndarray, encoded: bytes, truth: dict, *, same_type: bool) -> bytes:
    """The bytes of one file, from the decoded original (height, width) and its encoded form."""
    if file.kind == "label":
        return label(truth, picture.shape, file.path).encode()
    if file.kind == "mask":
        return encode(tooth_mask(truth, picture.shape, file.path), file.path)
    if file.kind == "original" or (file.kind == "exact" and same_type):
        return encoded
    if file.kind == "wrong extension":
        return encode(picture, "picture.png")
    if file.kind in BROKEN:
        return {"empty": b"", "truncated": encoded[: len(encoded) * 2 // 5], "text": b"404: Not Found\n"}[file.kind]
    return encode(changed(picture, file.kind), file.path)


def changed(picture: np.ndarray, kind: str) -> np.ndarray:
    """A copy of a picture (height, width) of the given kind; brightness, resizing and crops are slight."""
    height, width = picture.shape
    if kind == "mirrored":
        return np.ascontiguousarray(picture[:, ::-1])
    if kind == "resized":
        return cv2.resize(picture, (round(0.75 * width), round(0.75 * height)), interpolation=cv2.INTER_AREA)
    if kind == "brightness":
        return np.clip(1.12 * picture.astype(np.float32) + 9, 0, 255).astype(np.uint8)
    if kind == "cropped":
        return picture[round(0.02 * height) : round(0.97 * height), round(0.02 * width) : round(0.985 * width)]
    if kind == "recompressed":
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        return decode(data.tobytes())
    return picture


def decode(data: bytes) -> np.ndarray:
    """The grey picture, uint8 (height, width), that encoded bytes hold."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def encode(picture: np.ndarray, path: str) -> bytes:
    """The picture in the format of the path's extension: png, or jpg of quality 95."""
    if path.lower().endswith(".png"):
        return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def tooth_mask(truth: dict, shape: tuple[int, ...], path: str) -> np.ndarray:
    """A picture of the teeth's places, uint8: numbers of teeth, colours for people, or white; jaws for TUFTS."""
    mask = np.zeros((*shape[:2], 3) if "masks_human" in path else shape[:2], np.uint8)
    for tooth in truth["teeth"]:
        x0, y0, x1, y1 = tooth["box"]
        centre, axes = (round((x0 + x1) / 2), round((y0 + y1) / 2)), (round((x1 - x0) / 2), round((y1 - y0) / 2))
        quadrant, place = divmod(tooth["fdi"], 10)
        value: tuple[int, ...] = (255,)
        if "masks_human" in path:
            value = (60 * quadrant, 30 * place, 255 - 25 * place)
        elif "masks_machine" in path:
            value = (8 * (quadrant - 1) + place,)
        elif "maxillomandibular" in path:
            value, axes = (255 if quadrant > 2 else 128,), (2 * axes[0], axes[1])
        cv2.ellipse(mask, centre, axes, 0, 0, 360, value, -1)
    return mask


def label(truth: dict, shape: tuple[int, ...], path: str) -> str:
    """A radiograph's own label file: teeth and their boxes, as JSON or as lines of text."""
    if path.endswith(".json"):
        boxes = [{"label": str(tooth["fdi"]), "box": tooth["box"]} for tooth in truth["teeth"]]
        return json.dumps({"imageHeight": shape[0], "imageWidth": shape[1], "shapes": boxes}, indent=1) + "\n"
    return "".join(f"{tooth['fdi']} {' '.join(str(v) for v in tooth['box'])}\n" for tooth in truth["teeth"])


def write_collection_labels(out: pathlib.Path, truth: dict[str, dict[str, dict]]) -> None:
    """Writes the label files that speak of many radiographs: DENTEX's trees, TSXK's meta data, TUFTS's reading."""
    trees: dict[str, dict[str, list]] = {}
    originals = {path: record["truth"] for path, record in truth["dentex"].items() if record["truth"]}
    for path, record in sorted(truth["dentex"].items()):
        folder = pathlib.Path(path).parts[:2]
        if record["broken"] or folder[1] == "unlabelled" or record["copy_kind"] not in (None, "exact"):
            continue
        part = {"training_data": "train", "validation_data": "validation", "test_data": "test"}[folder[0]]
        name = f"dentex/{'/'.join(folder)}/{part}_{folder[1].replace('-', '_')}.json"
        tree = trees.setdefault(name, {"images": [], "annotations": []})
        tree["images"].append({"id": len(tree["images"]) + 1, "file_name": pathlib.Path(path).name})
        for tooth in originals[record["copy_of"] or path]["teeth"]:
            x0, y0, x1, y1 = tooth["box"]
            annotation = {"image_id": len(tree["images"]), "bbox": [x0, y0, round(x1 - x0, 1), round(y1 - y0, 1)]}
            tree["annotations"].append(
                {"id": len(tree["annotations"]) + 1, **annotation, "category_id_2": tooth["fdi"] % 10}
            )
    for name, tree in trees.items():
        write_json(out / name, tree)
    classes = [{"title": str(number), "shape": "polygon"} for number in range(1, 33)]
    for dataset in ("Teeth Segmentation JSON", "Teeth Segmentation PNG"):
        write_json(out / "tsxk" / dataset / "meta.json", {"classes": classes})
    readings = [
        {"External ID": pathlib.Path(path).name, "Description": f"Missing teeth: {record['truth']['missing']}"}
        for path, record in truth["tufts"].items()
        if record["truth"]
    ]
    write_json(out / "tufts" / "Expert" / "expert.json", readings)


def write_json(path: pathlib.Path, value: object) -> None:
    """Writes a value as JSON, in an order that does not depend on anything but the value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
