"""Imports go down the table of the design only, or to what all share."""

from pathlib import Path

import pytest
from walk import all_modules, imported_by, used_by

ORDER = (
    "sources",
    "harmonize",
    "corpus",
    "features",
    "diffusion",
    "degradation",
    "superres",
    "sampling",
    "evaluation",
    "study",
    "audit",
    "report",
    "zoo",
    "tracing",
    "publishing",
)
EDGES = ("cli", "doctor", "summary")  # commands beside the pipeline: they may use any package, none uses them


def upward(modules: dict[str, Path]) -> list[str]:
    """Each import that goes from a package to a later one, or from a shared module to a package."""
    problems = []
    for name in modules:
        for target in imported_by(name, modules):
            at, to = (module.split(".")[1] if "." in module else module for module in (name, target))
            if to in ORDER and (at not in ORDER or ORDER.index(to) > ORDER.index(at)) and at not in EDGES:
                problems.append(f"{name} imports {target}")
            if to in EDGES and at not in EDGES:
                problems.append(f"{name} imports {target}")
    return problems


def test_imports_go_down_the_table_only():
    modules = {name: path for name, path in all_modules().items() if not name.startswith("stages")}
    assert upward(modules) == []


def test_each_package_has_its_place_in_the_table():
    packages = {name.split(".")[1] for name in all_modules() if name.startswith("panodiff.") and name.count(".") > 1}
    assert packages - {"training"} <= set(ORDER)


def test_stages_are_thin_and_import_no_other_stage():
    modules = all_modules()
    for name, path in modules.items():
        if name.startswith("stages."):
            assert not [target for target in imported_by(name, modules) if target.startswith("stages.")], name
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, name


def plant(root: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return all_modules(root)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("panodiff/features/encoder.py", "from panodiff.diffusion.unet import UNet"),
        ("panodiff/features/encoder.py", "def f():\n    from panodiff.diffusion import unet"),
        ("panodiff/images.py", "import panodiff.diffusion.unet"),
        ("panodiff/diffusion/train.py", "from panodiff.cli import main"),
    ],
)
def test_a_planted_upward_import_is_found(tmp_path: Path, file: str, text: str):
    modules = plant(tmp_path, {"panodiff/diffusion/unet.py": "", "panodiff/cli.py": "", file: text})
    assert len(upward(modules)) == 1


def test_imports_are_followed_through_packages_and_not_through_the_frame(tmp_path: Path):
    files = {
        "panodiff/__init__.py": "",
        "panodiff/training/__init__.py": "from panodiff.training.engine import train",
        "panodiff/training/engine.py": "from panodiff.stage import Stage",
        "panodiff/stage.py": "from panodiff.files import fingerprint",
        "panodiff/files.py": "",
        "stages/work.py": "def run():\n    from panodiff.training import train",
    }
    used = used_by("stages.work", plant(tmp_path, files))
    assert used == {"stages.work", "panodiff.training", "panodiff.training.engine"}
