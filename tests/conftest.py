"""Shared by all tests."""

import os
from pathlib import Path

import pytest

# Before torch is imported: several threads per test fight over two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent
REQUIRED = os.environ.get("SHAPEKEEPER_BROWSER") == "required"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def not_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong answers are told, not raised, whatever `course.strict` was asked before."""
    monkeypatch.setattr("shapekeeper.course.verdicts._strict", False)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Browser tests last: Playwright keeps this thread's event loop, and notebooks need one.

    Where a browser is required and runs the students' notebooks, they don't run a second time
    without one.
    """
    in_browser = {item.path.name for item in items if item.get_closest_marker("browser")}
    if REQUIRED and "test_browser_notebooks.py" in in_browser:
        twice = [item for item in items if item.path.parent == ROOT / "notebooks"]
        config.hook.pytest_deselected(items=twice)
        items[:] = [item for item in items if item not in twice]
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
