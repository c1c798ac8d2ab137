"""The code that dvc.yaml lists for a stage is the code that the stage runs, no less and no more."""

from pathlib import Path

import pytest
import yaml
from walk import ROOT, all_modules, used_by

from panodiff.pipeline import load_pipeline

STAGES = {name.split("@")[0]: stage for name, stage in load_pipeline(ROOT).items()}
CODE = ("panodiff/", "stages/")


def listed(deps: tuple[str, ...], modules: dict[str, Path], root: Path) -> dict[str, set[str]]:
    """Each code path among `deps`, and the modules at it."""
    paths = {name: path.relative_to(root).as_posix() for name, path in modules.items()}
    return {
        dep: {name for name, path in paths.items() if path == dep or path.startswith(f"{dep}/")}
        for dep in deps
        if dep.startswith(CODE) and Path(dep).suffix in ("", ".py")  # data and templates beside the code are no modules
    }


def missing(script: str, deps: tuple[str, ...], root: Path = ROOT) -> set[str]:
    """Modules that the stage's script uses and no path of `deps` holds."""
    modules = all_modules(root)
    return used_by(script, modules) - set().union(*listed(deps, modules, root).values())


def unused(script: str, deps: tuple[str, ...], root: Path = ROOT) -> set[str]:
    """Modules listed by themselves that the script does not use, and folders of which it uses none."""
    modules = all_modules(root)
    used = used_by(script, modules)
    return {dep for dep, names in listed(deps, modules, root).items() if not names & used}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_all_code_that_it_runs(name: str):
    assert missing(f"stages.{name}", STAGES[name].deps) == set()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_no_code_that_it_does_not_run(name: str):
    assert unused(f"stages.{name}", STAGES[name].deps) == set()


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_lists_exists_and_its_command_runs_its_own_script(name: str):
    body = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    command = body["cmd"].removesuffix(" ${item.source}")
    assert command == f"exec python -m stages.{name}"  # exec: stopping dvc stops the work
    assert f"stages/{name}.py" in STAGES[name].deps
    assert not [dep for dep in STAGES[name].deps if dep.startswith(CODE) and not (ROOT / dep).exists()]


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_leaves_its_record_and_keeps_nothing_between_runs(name: str):
    body = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    suffix = "@${item.source}" if "matrix" in body else ""
    assert f"metrics/provenance/{name}{suffix}.json" in body["outs"]
    options = [option for out in body["outs"] if isinstance(out, dict) for value in out.values() for option in value]
    assert "persist" not in options


def test_an_edit_of_the_evaluation_never_retrains_a_model():
    modules = all_modules()
    for name in ("train_encoder", "train_diffusion", "train_superres"):
        later = ("panodiff.sampling", "panodiff.evaluation", "panodiff.study", "panodiff.report")
        names = set().union(*listed(STAGES[name].deps, modules, ROOT).values())
        assert not [module for module in names if module.startswith(later)]


def test_the_two_models_are_trained_apart():
    assert not set(STAGES["train_diffusion"].deps) & {"data/models/superres", "data/models/encoder"}
    assert "data/models/diffusion" not in STAGES["train_superres"].deps


def test_a_module_left_out_and_one_too_many_are_found(tmp_path: Path):
    for path, text in {
        "panodiff/files.py": "",
        "panodiff/images.py": "from panodiff.files import written_whole",
        "panodiff/manifest.py": "",
        "stages/work.py": "def run():\n    from panodiff.images import read_grey",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    deps = ("stages/work.py", "panodiff/images.py", "panodiff/manifest.py", "data/manifest")
    assert missing("stages.work", deps, tmp_path) == {"panodiff.files"}
    assert unused("stages.work", deps, tmp_path) == {"panodiff/manifest.py"}
