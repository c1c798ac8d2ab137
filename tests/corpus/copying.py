"""Copies of radiographs as collections hold them, made at random, and a folder of them."""

from pathlib import Path

import cv2
import numpy as np

from panodiff.images import Grey

DROPPED = ("recompressed", "resized", "toned", "cropped", "all of these")
KINDS = (*DROPPED, "mirrored")


def recompressed(image: Grey, rng: np.random.Generator) -> Grey:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)).astype(np.uint8)


def resized(image: Grey, rng: np.random.Generator) -> Grey:
    factor = rng.uniform(0.5, 1.5)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)).astype(np.uint8)


def toned(image: Grey, rng: np.random.Generator) -> Grey:
    bent = (image / 255) ** rng.uniform(0.75, 1.33)
    return np.round(255 * np.clip(rng.uniform(0.8, 1.2) * bent + rng.uniform(-0.06, 0.06), 0, 1)).astype(np.uint8)


def cropped(image: Grey, rng: np.random.Generator, most: float = 0.05) -> Grey:
    height, width = image.shape
    top, bottom = np.round(rng.uniform(0, most, 2) * height).astype(int)
    left, right = np.round(rng.uniform(0, most, 2) * width).astype(int)
    return image[top : height - bottom, left : width - right]


def turned(image: Grey, degrees: float) -> Grey:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height))).astype(np.uint8)


def changed(image: Grey, kind: str, rng: np.random.Generator) -> Grey:
    """A copy of one of KINDS."""
    if kind == "mirrored":
        return recompressed(np.ascontiguousarray(image[:, ::-1]), rng)
    if kind == "all of these":
        return recompressed(resized(toned(cropped(image, rng), rng), rng), rng)
    return {"recompressed": recompressed, "resized": resized, "toned": toned, "cropped": cropped}[kind](image, rng)


def write_copies(images: dict[str, Grey], folder: Path, num_pairs: int, kinds: tuple[str, ...]) -> None:
    """`num_pairs` files `<name>~<kind>~<number>.png` or .jpg, kinds and images by turns."""
    rng, names = np.random.default_rng(7), list(images)
    folder.mkdir(parents=True)
    for number in range(num_pairs):
        name, kind = names[number * len(names) // num_pairs], kinds[number % len(kinds)]
        suffix = ("png", "jpg")[number % 2]
        cv2.imwrite(str(folder / f"{name}~{kind}~{number}.{suffix}"), changed(images[name], kind, rng))
