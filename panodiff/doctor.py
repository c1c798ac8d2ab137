"""`panodiff doctor`: what this machine and this folder lack for the active profile, and the command that mends it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from panodiff.files import list_files
from panodiff.lock import cache_folder
from panodiff.params import Params
from panodiff.params_file import ParamsError, load_params
from panodiff.report.tables import size
from panodiff.sources.archives import COMPRESSED_TARS
from panodiff.sources.catalogue import is_radiograph, layout, read_catalogue
from panodiff.sources.raw import RawFolder
from panodiff.weights import WeightsError, locate

Level = Literal["ok", "note", "problem"]
OLDEST_PYTHON = (3, 11)
NEEDED_BYTES = {"smoke": 10**9, "pilot": 10 * 10**9, "paper": 100 * 10**9}  # data, cache and scratch together
_NUM_NAMED = 4  # packages that a line names
_NO_GPU = {
    "smoke": ("ok", "enough for the profile smoke", ""),
    "pilot": ("note", "the profile pilot takes a night on it", "take a machine with a GPU for half an hour of work"),
    "paper": ("note", "the profile paper would take months on it", "take a machine with GPUs, or set profile: pilot"),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what was looked at, what was found, and what mends it."""

    level: Level
    subject: str
    found: str
    mend: str = ""


def printed(check: Check) -> str:
    """The check as a line, the remedy on a second one."""
    line = f"{check.level:<8}{check.subject}: {check.found}"
    return f"{line}\n        → {check.mend}" if check.mend else line


def examine(root: Path) -> Iterator[Check]:
    """All checks of the project in `root`, cheap ones first; those of the profile need a valid params.yaml."""
    yield check_python()
    yield check_packages(root / "requirements.lock")
    yield check_git(root)
    yield check_dvc(root)
    try:
        params = load_params(root / "params.yaml")
    except ParamsError as error:
        yield Check(level="problem", subject="params.yaml", found=str(error), mend="edit params.yaml")
        return
    yield Check(level="ok", subject="params.yaml", found=f"valid; profile {params.profile}, seed {params.seed}")
    yield from check_data(root, params)
    yield check_weights(root, params)
    yield check_disk(root, params)
    yield from check_scratch(root / ".scratch")
    yield from check_torch(params)


def check_python() -> Check:
    """Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Check(level="problem", subject="Python", found=found, mend="install Python 3.11 or newer; make setup")
    return Check(level="ok", subject="Python", found=found)


def check_packages(lock: Path) -> Check:
    """The installed versions are those of the lock file."""
    if not lock.is_file():
        return Check(
            level="note", subject="packages", found=f"{lock} is missing", mend="git checkout requirements.lock"
        )
    differing = []
    requirements = locked(lock.read_text(encoding="utf-8"))
    for name, version in requirements.items():
        if (found := _installed(name)) != version:
            differing.append(f"{name} {found or 'missing'} instead of {version}")
    if not differing:
        return Check(level="ok", subject="packages", found=f"{len(requirements)} as in {lock.name}")
    more = f" and {len(differing) - _NUM_NAMED} more" if len(differing) > _NUM_NAMED else ""
    found = f"{', '.join(differing[:_NUM_NAMED])}{more}: results may differ from those elsewhere"
    return Check(level="note", subject="packages", found=found, mend="make setup")


def locked(text: str) -> dict[str, str]:
    """Package → version, of those in a lock file that belong on this machine."""
    lines = [line.split(" \\")[0].strip() for line in text.splitlines() if "==" in line and not line.startswith(" ")]
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {
        entry.name: next(iter(entry.specifier)).version
        for entry in requirements
        if entry.marker is None or entry.marker.evaluate()
    }


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name).partition("+")[0]  # torch 2.14.1+cpu is torch 2.14.1
    except metadata.PackageNotFoundError:
        return None


def check_git(root: Path) -> Check:
    """The code is in git, and as committed."""
    try:
        commit, status = (
            _git(root, *arguments) for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        mend = "git init && git add -A && git commit -m start"
        return Check(level="note", subject="git", found="no commit here: records cannot name the code", mend=mend)
    if status:
        count = len(status.splitlines())
        found = f"{commit}, {count} file{'s differ' if count > 1 else ' differs'} from it: records will say so"
        return Check(level="note", subject="git", found=found, mend="git commit what a published result is made with")
    return Check(level="ok", subject="git", found=f"{commit}, nothing uncommitted")


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def check_dvc(root: Path) -> Check:
    """The package dvc is installed, and set up here."""
    version = _installed("dvc")
    if version is None:
        return Check(level="problem", subject="dvc", found="not installed", mend="make setup")
    if not (root / ".dvc/config").is_file():
        return Check(level="problem", subject="dvc", found="not set up in this folder", mend="dvc init (or --no-scm)")
    return Check(level="ok", subject="dvc", found=f"{version}, cache in {cache_folder(root)}")


def check_data(root: Path, params: Params) -> Iterator[Check]:
    """Each source of the active profile has its folder, with images in it."""
    for source in params.sources:
        folder = root / "data/raw" / params.profile / source
        subject, shown = f"data, {source}", folder.relative_to(root)
        packed = [path.name for path in folder.rglob("*") if path.name.lower().endswith(COMPRESSED_TARS)]
        count = 0 if packed else count_radiographs(folder, source, params.ingest.images.get(source, ()))
        if packed:
            found = f"{', '.join(sorted(packed))} in {shown}, which ingestion will look into"
            yield Check(level="ok", subject=subject, found=found)
        elif count:
            yield Check(level="ok", subject=subject, found=f"{count} radiographs in {shown}")
        elif params.profile == "smoke":
            yield Check(level="ok", subject=subject, found="not drawn yet; `dvc repro` draws it")
        else:
            found = f"no radiograph where {shown} should have them" if folder.is_dir() else f"{shown} is missing"
            entry = read_catalogue().get(source)
            origin = f"{entry.access}; {entry.url}. " if entry else ""
            mend = f"{origin}Put the dataset into {shown}, or take {source} out of `sources` in params.yaml"
            yield Check(level="problem", subject=subject, found=found, mend=mend)


def count_radiographs(folder: Path, source: str, images: Sequence[str] = ()) -> int:
    """Files below `folder` that ingestion will take for radiographs, by their place and name."""
    paths = RawFolder(folder).paths()
    entry = layout(source, paths, images)
    return sum(is_radiograph(path, entry) for path in paths)


def check_weights(root: Path, params: Params) -> Check:
    """The weights that the parameters ask for are there."""
    asked = (
        *params.evaluate.backbones,
        params.evaluate.lpips_backbone,
        params.superres.lpips_backbone,
        params.superres.loss.backbone,
    )
    names = sorted({name for name in asked if name is not None and name != "encoder"})
    if not names:
        return Check(level="ok", subject="weights", found=f"the profile {params.profile} needs none")
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name}, verified ({locate(name, root / 'data/weights').name})")
        except (WeightsError, FileNotFoundError) as error:
            missing.append((name, str(error)))
    if missing:
        mend = " && ".join(f"panodiff weights fetch {name}" for name, _ in missing)
        told = "; ".join(message for _, message in missing)
        return Check(level="problem", subject="weights", found=told, mend=mend)
    return Check(level="ok", subject="weights", found="; ".join(found))


def check_disk(root: Path, params: Params) -> Check:
    """There is room for data and cache."""
    folders = {"data": root / "data", "dvc's cache": cache_folder(root)}
    free = {name: shutil.disk_usage(_existing(folder)).free for name, folder in folders.items()}
    found = ", ".join(f"{size(count)} free for {name}" for name, count in free.items())
    needed = NEEDED_BYTES[params.profile]
    if min(free.values()) >= needed:
        return Check(level="ok", subject="disk", found=found)
    found = f"{found}; the profile {params.profile} fills about {size(needed)}"
    mend = "make room, or `dvc cache dir FOLDER --local` on a larger disk"
    return Check(
        level="problem" if min(free.values()) < needed / 10 else "note", subject="disk", found=found, mend=mend
    )


def _existing(folder: Path) -> Path:
    """The nearest folder at or above `folder` that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def check_scratch(scratch: Path) -> Iterator[Check]:
    """Unfinished work that lies about, and how to go on with it or drop it."""
    stages = sorted(path for path in scratch.glob("*") if path.is_dir())
    unfinished = {stage: [path for path in stage.iterdir() if path.is_dir() and not path.suffix] for stage in stages}
    for stage, runs in unfinished.items():
        if runs:
            used = size(sum(file.stat().st_size for run in runs for file in list_files(run)))
            found = f"{len(runs)} unfinished run{'s' if len(runs) > 1 else ''} of {stage.name}, {used}"
            mend = f"`dvc repro` goes on where inputs and parameters are the same; `rm -r {stage}` drops it"
            yield Check(level="note", subject="scratch", found=found, mend=mend)
    if not any(unfinished.values()):
        yield Check(level="ok", subject="scratch", found="no unfinished work")


def check_torch(params: Params) -> Iterator[Check]:
    """PyTorch works, on what, and with which precision."""
    try:
        import torch  # noqa: PLC0415 - takes seconds
        import torchvision  # noqa: F401, PLC0415 - refuses a torch of another version
    except (ImportError, RuntimeError) as error:
        yield Check(level="problem", subject="PyTorch", found=f"cannot be imported: {error}", mend="make setup")
        return
    yield Check(level="ok", subject="PyTorch", found=torch.__version__)
    if gpus := [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]:
        several = f"PANODIFF_NPROC={len(gpus)} dvc repro, to use all of them" if len(gpus) > 1 else ""
        yield Check(level="ok", subject="device", found=", ".join(gpus), mend=several)
    else:
        level, advice, mend = _NO_GPU[params.profile]
        found = f"CPU with {torch.get_num_threads()} threads: {advice}"
        yield Check(level="note" if level == "note" else "ok", subject="device", found=found, mend=mend)
    yield _check_bfloat16(params, torch.cuda.is_bf16_supported if gpus else torch.cpu._is_avx512_bf16_supported)


def _check_bfloat16(params: Params, supported: Callable[[], bool]) -> Check:
    trainings = {
        "encoder": params.encoder.training,
        "diffusion": params.diffusion.training,
        "superres": params.superres.training,
    }
    asking = [name for name, training in trainings.items() if training.precision == "bfloat16"]
    if not asking:
        return Check(level="ok", subject="bfloat16", found=f"not asked for by the profile {params.profile}")
    if supported():
        return Check(level="ok", subject="bfloat16", found="the device computes with it")
    mend = ", ".join(f"profiles.{params.profile}.{name}.training.precision: float32" for name in asking)
    return Check(level="note", subject="bfloat16", found="asked for, but slow on this device", mend=mend)
