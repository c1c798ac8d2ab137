"""Reading params.yaml: the active profile laid over the base, errors that name the key's path.

An error says where (the key's path in params.yaml), what must hold, and what came.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from panodiff.params import Params, Scale, SourceParams
from panodiff.pipeline import lookup

PROFILES = ("smoke", "pilot", "paper")


class ParamsError(ValueError):
    """params.yaml holds something that it must not hold."""


def load_params(path: Path = Path("params.yaml")) -> Params:
    """The parameters of the active profile, all profiles checked.

    Raises:
        ParamsError: The file is not YAML, or a key or value in it is wrong; the message has one line an error.
    """
    raw = _read(path)
    if raw.get("profile") not in PROFILES:
        raise ParamsError(f"{path}: profile must be one of {', '.join(PROFILES)}, got {raw.get('profile')!r}")
    overlays = raw.get("profiles")
    if not isinstance(overlays, dict) or set(overlays) != set(PROFILES):
        raise ParamsError(f"{path}: profiles must have the sections {', '.join(PROFILES)} and no others")
    base = {key: value for key, value in raw.items() if key != "profiles"}
    by_profile = {name: _checked(path, base, name, overlays[name]) for name in PROFILES}
    return by_profile[raw["profile"]]


def read_tracked(keys: Iterable[str], path: Path = Path("params.yaml")) -> dict[str, Any]:
    """The values, as they stand in the file, of the dotted keys that dvc tracks for a stage."""
    raw = _read(path)
    try:
        return {key: lookup(raw, key) for key in keys}
    except KeyError as error:
        raise ParamsError(f"{path}: the key {error.args[0]} is missing; dvc.yaml tracks it") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run from the project's top folder") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} must be a mapping of sections, got {type(raw).__name__}")
    return raw


def _checked(path: Path, base: dict[str, Any], profile: str, overlay: Any) -> Params:
    allowed = scale_fields(Params)
    if problems := list(_overlay_problems(overlay, allowed, f"profiles.{profile}")):
        raise ParamsError(_lines(path, problems))
    merged = merge(base | {"profile": profile}, overlay)
    try:
        return Params.model_validate_json(json.dumps(merged, default=str), strict=True)
    except ValidationError as error:
        innermost = _innermost(error.errors())
        raise ParamsError(_lines(path, [_explain(detail, overlay, profile) for detail in innermost])) from None


def merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `overlay` in place of its own; mappings are merged, lists replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both_mappings else value
    return merged


def scale_fields(section: type[BaseModel]) -> dict[str, Any]:
    """The fields of `section` that a profile may set: name → True, or a mapping for a nested section."""
    allowed: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            if inner := scale_fields(field.annotation):
                allowed[name] = inner
        elif Scale in field.metadata:
            allowed[name] = True
    return allowed


def _overlay_problems(overlay: Any, allowed: dict[str, Any], where: str) -> list[str]:
    if not isinstance(overlay, dict):
        return [f"{where}: must be a mapping (write {{}} for an empty one), got {overlay!r}"]
    problems = []
    for key, value in overlay.items():
        if key not in allowed:
            problems.append(f"{where}.{key}: a profile may set only {', '.join(sorted(allowed))} here")
        elif isinstance(allowed[key], dict):
            problems += _overlay_problems(value, allowed[key], f"{where}.{key}")
    return problems


def _innermost(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from an error inside: a list is not too short because its one item is wrong."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if not any(place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _explain(detail: ErrorDetails, overlay: dict[str, Any], profile: str) -> str:
    keys = [part for part in detail["loc"] if not str(part).startswith("[")]  # what pydantic adds to the path
    node: Any = overlay
    for key in keys:  # the value stands in the overlay if the whole path does
        node = node.get(key) if isinstance(node, dict) and not isinstance(key, int) else node
    from_overlay = bool(keys) and node is not None and node is not overlay
    where = ".".join(map(str, ([f"profiles.{profile}", *keys] if from_overlay else keys))) or f"profile {profile}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown key; " + _known_keys(keys[:-1])
    elif detail["type"] == "missing":
        message = "this key is missing"
    elif detail["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {detail['input']!r}"
    return f"{where}: {message}"


def _known_keys(path: list[Any]) -> str:
    section: Any = Params
    for key in path:
        field = section.model_fields.get(key) if hasattr(section, "model_fields") else None
        choices = [field.annotation, *_choices(field.annotation)] if field else [SourceParams]
        section = next((choice for choice in choices if hasattr(choice, "model_fields")), section)
    return f"known here: {', '.join(sorted(section.model_fields))}"


def _choices(annotation: Any) -> list[Any]:
    """The types of a union, without what is annotated to them."""
    return [getattr(choice, "__origin__", choice) for choice in get_args(annotation)]


def _lines(path: Path, problems: list[str]) -> str:
    return "\n".join(f"{path}: {problem}" for problem in problems)
