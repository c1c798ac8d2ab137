"""What dvc.yaml says of a stage: its command, dependencies, parameters and outputs, templates filled in.

A stage asks dvc.yaml for its own lists, so that what dvc tracks, what the guard watches and what the provenance
record names are one and the same. Only what this project's dvc.yaml uses is understood: `${key.path}` from
params.yaml, and `matrix` over one list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class StageDefinition:
    """One stage of dvc.yaml with its templates filled in; `name` is `stage` or `stage@item`."""

    name: str
    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]  # dotted keys of params.yaml


def load_pipeline(root: Path = Path()) -> dict[str, StageDefinition]:
    """All stages of dvc.yaml, matrix stages spread out, in the file's order."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {stage.name: stage for name, body in stages.items() for stage in _spread(name, body, params)}


def _spread(name: str, body: dict[str, Any], params: dict[str, Any]) -> Iterator[StageDefinition]:
    if "matrix" not in body:
        yield _define(name, body, params)
        return
    ((variable, values),) = body["matrix"].items()
    for value in _fill(values, params):
        yield _define(f"{name}@{value}", body, params | {"item": {variable: value}})


def _define(name: str, body: dict[str, Any], context: dict[str, Any]) -> StageDefinition:
    outs = [entry for kind in ("outs", "metrics", "plots") for entry in body.get(kind, [])]
    return StageDefinition(
        name=name,
        cmd=_fill(body["cmd"], context),
        deps=tuple(_fill(dep, context) for dep in body.get("deps", [])),
        outs=tuple(_fill(next(iter(out)) if isinstance(out, dict) else out, context) for out in outs),
        params=tuple(_fill(key, context) for key in body.get("params", [])),
    )


def _fill(text: str, context: dict[str, Any]) -> Any:
    if whole := re.fullmatch(r"\$\{([\w.]+)\}", text):
        return lookup(context, whole[1])
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(lookup(context, match[1])), text)


def leaves(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a nested mapping by their dotted paths; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        is_section = isinstance(value, dict) and value
        found |= leaves(value, f"{prefix}{key}.") if is_section else {f"{prefix}{key}": value}
    return found


def lookup(mapping: dict[str, Any], dotted: str) -> Any:
    """The value at a dotted path such as `profiles.smoke.diffusion`.

    Raises:
        KeyError: There is none; the error names the whole path.
    """
    node: Any = mapping
    for key in dotted.split("."):
        if not isinstance(node, dict) or key not in node:
            raise KeyError(dotted)
        node = node[key]
    return node
