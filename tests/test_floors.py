"""Imports point down, never up or sideways."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = {
    "optimizers": 1,
    "randomness": 1,
    "constraints": 1,
    "regions": 2,
    "strategies": 2,
    "holding": 3,
    "networks": 3,
    "tasks": 4,
    "compare": 5,
    "growth": 6,
    "plots": 7,
    "course": 7,
    "widgets": 7,
}
INNER = {"optimizers", "randomness"}  # not for users
PACKAGE = Path(__file__).parent.parent / "toolkit" / "shapekeeper"


def room(path: Path, package: Path) -> str:
    """The module, or the folder of modules, that a file belongs to."""
    return path.relative_to(package).with_suffix("").parts[0]


def imported(node: ast.AST, path: Path, package: Path) -> list[str]:
    """The rooms that one statement imports from."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        origin = path.relative_to(package.parent).with_suffix("").parts
        start = list(origin[: len(origin) - node.level]) if node.level else []
        module = ".".join(start + ([node.module] if node.module else []))
        names = [f"{module}.{alias.name}" for alias in node.names]
    else:
        return []
    parts = [name.split(".") for name in names]
    return [p[1] if len(p) > 1 else "" for p in parts if p[0] == package.name]


def misdirected(package: Path, floors: dict[str, int]) -> list[str]:
    """Every import that does not point down, and every import inside a function."""
    found = []
    for path in sorted(package.rglob("*.py")):
        here = room(path, package)
        if here == "__init__":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            for there in imported(node, path, package):
                if there != here and floors.get(there, 99) >= floors[here]:
                    found.append(f"{path.relative_to(package)} imports {there or package.name}")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [n for n in ast.walk(node) if imported(n, path, package)]
                found += [f"{path.relative_to(package)} imports inside {node.name}" for _ in inner]
    return found


def test_every_module_has_its_floor():
    rooms = {room(path, PACKAGE) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOORS)


def test_imports_point_down():
    assert misdirected(PACKAGE, FLOORS) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import shapekeeper.compare", "networks.py imports compare"),
        ("from shapekeeper import tasks", "networks.py imports tasks"),
        ("from shapekeeper import Task", "networks.py imports Task"),
        ("import shapekeeper", "networks.py imports shapekeeper"),
        ("from .compare import compare", "networks.py imports compare"),
        ("from . import widgets", "networks.py imports widgets"),
        ("from .regions import RegionGraph", None),
        ("from shapekeeper.constraints.connections import Connections", None),
        ("def f():\n    from .regions import Region", "networks.py imports inside f"),
        ("import torch", None),
    ],
)
def test_the_floors_test_sees_every_form_of_import(tmp_path, line, complaint):
    package = tmp_path / "shapekeeper"
    package.mkdir()
    (package / "networks.py").write_text(line)
    assert misdirected(package, FLOORS) == ([complaint] if complaint else [])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("from .training import Program", None),
        ("from ..tasks import Task", None),
        ("from ..plots import look", "compare/comparison.py imports plots"),
        ("from shapekeeper.compare.training import Program", None),
        ("from shapekeeper.course import check", "compare/comparison.py imports course"),
    ],
)
def test_a_folder_is_one_room(tmp_path, line, complaint):
    folder = tmp_path / "shapekeeper" / "compare"
    folder.mkdir(parents=True)
    (folder / "comparison.py").write_text(line)
    assert misdirected(folder.parent, FLOORS) == ([complaint] if complaint else [])


def test_the_library_needs_no_jupyter_and_no_drawing():
    code = "import sys, shapekeeper; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    roots = {name.split(".")[0] for name in loaded.stdout.split()}
    assert "torch" in roots
    assert not roots & {"matplotlib", "ipywidgets", "anywidget", "IPython", "ipykernel"}


def test_readme_shows_these_floors(root):
    rows = re.findall(r"^(\d) +((?: {0,9}[a-z]+)+)", (root / "README.md").read_text(), re.M)
    shown = {name: int(floor) for floor, names in rows for name in names.split() if name in FLOORS}
    assert shown == {name: floor for name, floor in FLOORS.items() if name not in INNER}
