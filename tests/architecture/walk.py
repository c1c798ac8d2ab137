"""Which modules a module imports, read from the source text: imports inside functions included."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What surrounds the work and decides no output (see dvc.yaml).
FRAME = {
    f"panodiff.{name}" for name in ("params", "params_data", "params_file", "pipeline", "stage", "launch", "record")
} | {f"panodiff.{name}" for name in ("progress", "cli", "doctor", "summary")}


def all_modules(root: Path = ROOT) -> dict[str, Path]:
    """The modules of panodiff and stages, by dotted name; a package is its `__init__`."""
    files = [path for package in ("panodiff", "stages") for path in sorted((root / package).rglob("*.py"))]
    return {_dotted(path.relative_to(root)): path for path in files}


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(name: str, modules: dict[str, Path]) -> set[str]:
    """The modules that module `name` imports; a package on the way only where its `__init__` imports on."""
    found = set()
    for target in _targets(ast.parse(modules[name].read_text(encoding="utf-8")), modules):
        found.add(target)
        packages = [target.rsplit(".", depth)[0] for depth in range(1, target.count(".") + 1)]
        found.update(package for package in packages if package in modules and _has_imports(modules[package]))
    return found - {name}


def _targets(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not understood here"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in modules or node.module in modules:
                    yield submodule if submodule in modules else str(node.module)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            yield from _running(node)


def _has_imports(path: Path) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


def used_by(name: str, modules: dict[str, Path]) -> set[str]:
    """All modules that the work of module `name` runs: what it imports, what those import, but not the frame."""
    found, left = {name}, [name]
    while left:
        new = imported_by(left.pop(), modules) - FRAME - found
        found |= new
        left += new
    return found
