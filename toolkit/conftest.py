"""For the examples in docstrings."""

import sys

import pytest


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """Matplotlib warns beyond twenty, and there are more plots than that."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
