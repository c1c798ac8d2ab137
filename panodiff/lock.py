"""What dvc has written down of a run: dvc.lock, and where its cache is."""

import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class LockedStage:
    """One stage as dvc.lock has it; MD5 by path, of a folder that of its list of files, ending with `.dir`."""

    cmd: str
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]  # values by dotted key of params.yaml


def read_lock(root: Path = Path()) -> dict[str, LockedStage]:
    """The stages of dvc.lock by name, none if nothing has run yet.

    Raises:
        ValueError: The file is not what dvc writes.
    """
    path = root / "dvc.lock"
    if not path.is_file():
        return {}
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        return {name: _stage(body) for name, body in stages.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not what dvc writes ({error!r}): put back the committed one, or delete it and run `dvc repro`, "
            f"which restores everything from the cache"
        ) from None


def _stage(body: dict[str, Any]) -> LockedStage:
    return LockedStage(
        cmd=body["cmd"],
        deps={dep["path"]: dep["md5"] for dep in body.get("deps", [])},
        outs={out["path"]: out["md5"] for out in body.get("outs", [])},
        params=body.get("params", {}).get("params.yaml", {}),
    )


def cache_folder(root: Path = Path()) -> Path:
    """Where dvc keeps the cache, as its configuration says."""
    folder = Path("cache")
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser()
        parser.read(root / ".dvc" / name, encoding="utf-8")
        folder = Path(parser.get("cache", "dir", fallback=str(folder)))
    return root / ".dvc" / folder
