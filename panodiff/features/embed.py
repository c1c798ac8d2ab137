"""Features of image files: one pass over the files for all networks, a batch in memory at a time, kept by content."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panodiff import launch
from panodiff.files import hash_file, written_whole
from panodiff.images import Grey, read_grey, to_unit
from panodiff.progress import Progress

Features = NDArray[np.floating]  # (N, D): N images, D features; those of `embed` are float32 and lie in a file


@dataclass(frozen=True)
class Rows:
    """Some rows of features, in the given order, read when they are asked for: as NumPy would copy them at once."""

    whole: "FeatureRows"
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, D)."""
        return len(self.rows), self.whole.shape[1]

    def __getitem__(self, key: "slice | NDArray[np.int64]") -> Features:
        return self.whole[self.rows[key]]


FeatureRows = Features | Rows

_PACKAGES = ("torchvision", "torchmetrics", "torch-fidelity")  # whose networks are used
CACHE = Path(".cache/features")  # git and dvc ignore it; may be deleted whenever no stage runs
_KEPT_DAYS = 30  # since the last use


def embed(
    paths: Sequence[Path],
    networks: Mapping[str, nn.Module],
    *,
    batch_size: int,
    device: torch.device,
    cache: Path = CACHE,
    what: str = "features",
) -> dict[str, Features]:
    """Features (N, D), float32, of the 8-bit grey PNGs at `paths`, in their order, by network.

    They are memory-mapped files in `cache`, named after the bytes of the images, the weights of the network and the
    code of this package: what was computed before is not computed again. Under torchrun each process takes a part of
    the images; all of them must call, and all get the whole.

    Args:
        paths: Images of one size.
        networks: Each maps (B, 1, H, W) in [0, 1] to (B, D); on `device`, in evaluation mode.
        batch_size: Images at once; features do not depend on it beyond rounding.
        device: Where the networks are.
        cache: The folder.
        what: What the progress calls the work.

    Raises:
        ValueError: There are no images, or they differ in size.
    """
    if not paths:
        raise ValueError(f"{what}: there are no images to take features of")
    cache.mkdir(parents=True, exist_ok=True)
    images = _hash_images(paths)
    files = {
        name: cache / f"{_hash(images, _key(network), str(device.type))}.npy" for name, network in networks.items()
    }
    launch.barrier()  # whether a file is there is asked before any process writes one
    if missing := {name: network for name, network in networks.items() if not files[name].is_file()}:
        launch.barrier()
        wanted = {files[name]: network for name, network in missing.items()}
        _compute(wanted, paths, _batches(_share(paths), read_grey(paths[0]).shape, batch_size, device), what)
        if launch.rank() == 0:
            _forget(cache)
    for file in files.values():
        file.touch()
    return {name: np.load(file, mmap_mode="r") for name, file in files.items()}


def _share(paths: Sequence[Path]) -> list[Path]:
    """The images of this process."""
    return [paths[index] for index in np.array_split(np.arange(len(paths)), launch.world_size())[launch.rank()]]


def _compute(wanted: Mapping[Path, nn.Module], paths: Sequence[Path], batches: Iterator[Tensor], what: str) -> None:
    """Write the features of each network into its file: every process those of its share, the first one the whole."""
    parts = {file: [file.with_suffix(f".{rank}.part") for rank in range(launch.world_size())] for file in wanted}
    progress = Progress(len(_share(paths)), what)
    with ExitStack() as stack, torch.inference_mode():
        handles = {file: stack.enter_context(parts[file][launch.rank()].open("wb")) for file in wanted}
        for batch in batches:
            for file, network in wanted.items():
                handles[file].write(network(batch).float().cpu().numpy().tobytes())
            progress.advance(len(batch))
    progress.close()
    launch.barrier()
    if launch.rank() == 0:
        for file in wanted:
            _join(parts[file], len(paths), file)
    launch.barrier()


def _join(parts: Sequence[Path], count: int, file: Path) -> None:
    """Rows of float32 in `parts` → one (N, D) array in `file`."""
    dim = sum(part.stat().st_size for part in parts) // (4 * count)
    with written_whole(file) as aside, aside.open("wb") as handle:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, dim)}
        np.lib.format.write_array_header_1_0(handle, header)
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(1 << 24):
                    handle.write(block)
            part.unlink()


def _batches(paths: Sequence[Path], size: tuple[int, ...], batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """(B, 1, H, W) in [0, 1] on `device`; the next batch is decoded while the networks have this one."""
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        waiting: list[list[Future[Grey]]] = []
        for start in range(0, len(paths), batch_size):
            waiting.append([pool.submit(_read, path, size) for path in paths[start : start + batch_size]])
            if len(waiting) == 2:
                yield _stacked(waiting.pop(0)).to(device)
        if waiting:
            yield _stacked(waiting.pop()).to(device)


def _stacked(images: Sequence["Future[Grey]"]) -> Tensor:
    return to_unit(np.stack([image.result() for image in images]))


def _read(path: Path, size: tuple[int, ...]) -> Grey:
    image = read_grey(path)
    if image.shape != size:
        raise ValueError(f"images compared with each other must be of one size: {path} is {image.shape}, not {size}")
    return image


def _hash_images(paths: Sequence[Path]) -> str:
    with ThreadPoolExecutor(launch.num_workers()) as pool:
        return _hash(*pool.map(hash_file, paths))


def _key(network: nn.Module) -> str:
    """What a network's features depend on besides the image: its weights, the code that runs them and reads images."""
    versions = " ".join(map(_version, _PACKAGES))
    found = hashlib.sha256(f"{type(network).__qualname__} {torch.__version__} {cv2.__version__} {versions}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    here = Path(__file__).parent
    for source in (here.parent / "images.py", *sorted(here.glob("*.py"))):
        found.update(source.read_bytes())
    return found.hexdigest()


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # the networks of others are not for everybody
        return package


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _forget(cache: Path) -> None:
    """Remove what was not used for long: features of models and images that are gone."""
    limit = time.time() - _KEPT_DAYS * 86400
    for file in cache.iterdir():
        if file.stat().st_mtime < limit:
            file.unlink(missing_ok=True)
