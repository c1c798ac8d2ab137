"""Pretrained weights in data/weights: what the catalogue knows, fetched on request, verified at every use.

The only code of the project that touches the network. A file is known by the SHA-256 of its bytes, whichever way it
came: copied from a folder (`from_dir`), or downloaded in the publisher's own format and verified in full against the
publisher's hash. What is not kept as it came is converted here: safetensors writes the same tensors as the same bytes,
so a converted download must come out as the catalogued file too.
"""

import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from panodiff.files import hash_file, written_whole
from panodiff.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path("data/weights")
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60


class WeightsError(ValueError):
    """Weights are missing, unknown or not the catalogued ones; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A publisher's file that holds the weights under other wrapping."""

    url: str
    sha256: str
    bytes: int
    keep: str | None = None  # prefix of the tensors that are taken over; None: the file is installed as it is

    @property
    def file(self) -> str:
        """The name of the file at the address."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the catalogue."""

    name: str
    file: str  # in data/weights
    sha256: str
    bytes: int
    licence: str
    source: str
    used_for: str
    download: Download | None  # None: no public address is known; the file must be brought along


def read_catalogue(folder: Path = WEIGHTS) -> dict[str, Entry]:
    """The entries of `folder`/catalogue.yaml by name."""
    raw = yaml.safe_load((folder / "catalogue.yaml").read_text(encoding="utf-8"))
    return {
        name: Entry(name=name, **body | {"download": Download(**body["download"]) if "download" in body else None})
        for name, body in raw.items()
    }


def locate(name: str, folder: Path = WEIGHTS) -> Path:
    """The installed weights file `name`, its hash verified.

    Raises:
        WeightsError: It is not installed, or is another file than the catalogued one.
    """
    entry = _entry(name, folder)
    path = folder / entry.file
    if not path.is_file():
        raise WeightsError(f"the weights {name} ({path}) are missing: run `panodiff weights fetch {name}`")
    if (found := hash_file(path)) != entry.sha256:
        raise WeightsError(
            f"{path} is not the catalogued file: SHA-256 {found} instead of {entry.sha256}. "
            f"Delete it and run `panodiff weights fetch {name}`"
        )
    return path


def load_tensors(name: str, folder: Path = WEIGHTS) -> "dict[str, Tensor]":
    """The tensors of the installed weights `name`, by name, on the CPU; read as plain tensors only.

    Raises:
        WeightsError: See `locate`.
    """
    import torch  # noqa: PLC0415 - seconds that a look into the catalogue need not spend
    from safetensors.torch import load_file  # noqa: PLC0415

    path = locate(name, folder)
    if path.suffix == ".safetensors":
        return load_file(path)
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return tensors


def fetch(name: str, folder: Path = WEIGHTS, from_dir: Path | None = None) -> Path:
    """Install the weights `name` in `folder`, whole and verified, or find them installed.

    Args:
        name: An entry of the catalogue.
        folder: Where catalogue and weights are.
        from_dir: A folder with the catalogued file or the publisher's one; without it, the publisher's is downloaded.

    Raises:
        WeightsError: The weights are unknown, cannot be had, or are not the catalogued ones; nothing is installed.
    """
    entry = _entry(name, folder)
    if (folder / entry.file).is_file():
        return locate(name, folder)
    original = entry.download and from_dir and from_dir / entry.download.file
    if from_dir and (from_dir / entry.file).is_file():
        _install_copy(entry, from_dir / entry.file, folder)
    elif entry.download and original and original.is_file():
        _install_original(entry, entry.download, original, folder)
    elif from_dir:
        publishers = f", nor {entry.download.file}" if entry.download else ""
        raise WeightsError(f"{from_dir} does not hold {entry.file}{publishers}")
    elif entry.download is None:
        raise WeightsError(
            f"the weights {name} have no public address of their own: get {entry.file} ({entry.source}) and run "
            f"`panodiff weights fetch {name} --from FOLDER`"
        )
    else:
        _install_download(entry, entry.download, folder)
    return locate(name, folder)


def _entry(name: str, folder: Path) -> Entry:
    catalogue = read_catalogue(folder)
    if name not in catalogue:
        raise WeightsError(f"the catalogue knows no weights {name!r}, only {', '.join(sorted(catalogue))}")
    return catalogue[name]


def _install_copy(entry: Entry, source: Path, folder: Path) -> None:
    with written_whole(folder / entry.file) as aside:
        shutil.copyfile(source, aside)
        _verify(aside, entry.sha256, str(source))


def _install_download(entry: Entry, download: Download, folder: Path) -> None:
    original = folder / f".{download.file}.{entry.name}.partial"
    try:
        _download(download, original)
        _install_original(entry, download, original, folder)
    finally:
        original.unlink(missing_ok=True)


def _download(download: Download, target: Path) -> None:
    progress = Progress(download.bytes, download.file, unit="byte")
    try:
        with urllib.request.urlopen(download.url, timeout=_TIMEOUT_S) as answer, target.open("wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                progress.advance(len(chunk))
                if file.tell() > download.bytes:
                    raise WeightsError(f"{download.url} is larger than the {download.bytes} bytes it should have")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise WeightsError(
            f"{download.url} cannot be had ({error}): on a machine without network, download it elsewhere "
            f"and add `--from FOLDER`"
        ) from None
    finally:
        progress.close()


def _install_original(entry: Entry, download: Download, original: Path, folder: Path) -> None:
    """The publisher's file as it is, or the tensors that are kept out of its pickle, read as plain tensors only."""
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    _verify(original, download.sha256, download.url)
    if download.keep is None:
        _install_copy(entry, original, folder)
        return
    tensors = torch.load(original, map_location="cpu", weights_only=True)
    taken = {name: tensor.contiguous() for name, tensor in tensors.items() if name.startswith(download.keep)}
    with written_whole(folder / entry.file) as aside:
        save_file(taken, aside)
        _verify(aside, entry.sha256, f"what was converted from {download.url}")


def _verify(path: Path, expected: str, what: str) -> None:
    if (found := hash_file(path)) != expected:
        raise WeightsError(f"{what} is not the catalogued file: SHA-256 {found} instead of {expected}; not installed")
