"""Make docs/smoke.png, the README's picture, from the finished smoke run in this folder: python docs/picture.py."""

from pathlib import Path

from panodiff.images import read_grey, tile, write_grey
from panodiff.manifest import read_manifest, split_paths

COLUMNS = 5


def main() -> None:
    """Above two rows of the test split, spread over the sources; below the first synthetic images by number."""
    real = split_paths(read_manifest(Path("data/manifest/corpus.csv")), "test", "high_path")
    spread = [real[index * len(real) // (2 * COLUMNS)] for index in range(2 * COLUMNS)]
    synthetic = sorted(Path("data/synthetic/high").glob("*.png"))[: 2 * COLUMNS]
    write_grey(Path("docs/smoke.png"), tile([read_grey(path) for path in [*spread, *synthetic]], COLUMNS, gap=4))


if __name__ == "__main__":
    main()
