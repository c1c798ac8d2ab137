"""Each parameter is read by a stage that tracks it, and each stage tracks what it reads."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from walk import ROOT, all_modules, used_by

from panodiff.params import Params
from panodiff.pipeline import load_pipeline

STAGES = load_pipeline(ROOT)
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
BASE = {key: value for key, value in PARAMS.items() if key != "profiles"}


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(node, dict):
        yield path
        return
    for key, value in node.items():
        yield from leaves(value, (*path, key))


def attributes(tree: ast.AST) -> set[str]:
    """The names that are read as attributes."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def read_by(script: str) -> set[str]:
    """The attributes that the code of a stage reads, and those behind the properties of the parameters among them."""
    modules = all_modules()
    names = set().union(*(attributes(ast.parse(modules[name].read_text("utf-8"))) for name in used_by(script, modules)))
    functions = [
        node
        for node in ast.walk(ast.parse((ROOT / "panodiff/params.py").read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any(getattr(mark, "id", "") == "property" for mark in node.decorator_list)
    ]
    return names.union(*(attributes(function) for function in functions if function.name in names))


def script_of(stage: str) -> str:
    return "stages." + stage.partition("@")[0]


def tracks(stage_params: tuple[str, ...], leaf: tuple[str, ...]) -> bool:
    return any(".".join(leaf[: key.count(".") + 1]) == key for key in stage_params)


def unread(leaf_paths: list[tuple[str, ...]]) -> list[str]:
    """The leaves whose name no stage reads that tracks them."""
    reads = {name: read_by(script_of(name)) for name in STAGES}
    templates = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    return [
        ".".join(leaf)
        for leaf in leaf_paths
        if not any(tracks(stage.params, leaf) and leaf[-1] in reads[name] for name, stage in STAGES.items())
        and f"${{{'.'.join(leaf)}}}" not in templates
    ]


def test_every_parameter_is_read_by_a_stage_that_tracks_it():
    assert unread(list(leaves(BASE))) == []


@pytest.mark.parametrize("planted", ["superres.degradation.jpeg", "source.tufts.contrast", "split.folds", "epochs"])
def test_a_planted_parameter_that_nobody_reads_is_found(planted: str):
    assert unread([tuple(planted.split("."))]) == [planted]


def sections_read(script: str) -> set[str]:
    """The sections that the code of a stage reads through `stage.params`, or through another name given to it."""
    modules = all_modules()
    trees = [ast.parse(modules[name].read_text("utf-8")) for name in used_by(script, modules)]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found = set().union(*(read_through(function, {"stage.params"} | aliases(function)) for function in functions))
    return found & set(Params.model_fields)


def aliases(function: ast.FunctionDef) -> set[str]:
    """The names that all the parameters have by an assignment, or as an argument."""
    assigns = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    assigned = {ast.unparse(node.targets[0]) for node in assigns if ast.unparse(node.value) == "stage.params"}
    arguments = [*function.args.args, *function.args.kwonlyargs]
    return assigned | {arg.arg for arg in arguments if arg.annotation and ast.unparse(arg.annotation) == "Params"}


def read_through(function: ast.FunctionDef, names: set[str]) -> set[str]:
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if ast.unparse(node.value) in names}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_tracks_every_section_that_it_reads(name: str):
    tracked = {key.split(".")[0] for key in STAGES[name].params}
    assert sections_read(script_of(name)) - tracked - {"profile"} == set()


def test_the_sections_that_a_stage_reads_are_seen():
    assert sections_read("stages.train_superres") == {"superres", "harmonize", "seed", "profile"}
    renamed = ast.parse("def run(stage):\n    params = stage.params\n    return params.split, stage.params.seed").body[
        0
    ]
    assert isinstance(renamed, ast.FunctionDef)
    assert read_through(renamed, {"stage.params"} | aliases(renamed)) == {"split", "seed"}


@pytest.mark.parametrize("name", STAGES)
def test_a_section_is_tracked_with_the_overlay_that_may_change_it(name: str):
    keys = set(STAGES[name].params)
    for key in keys & set(PARAMS["profiles"][PARAMS["profile"]]):
        assert f"profiles.{PARAMS['profile']}.{key}" in keys or f"profiles.{PARAMS['profile']}" in keys, key
