"""Figures that are drawn anew while something trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from matplotlib.figure import Figure

__all__ = ["live"]


def live(draw: Callable[[Any], Figure], every: int = 1) -> Callable[[Any], None]:
    """A callback that draws what it is given, each time in place of the picture before.

    Args:
        draw: What is known so far -> its figure.
        every: Draw the first time, and then each so many times, since a figure takes a while.

    Returns:
        A function that shows the figure under the running cell of a notebook; in a script, where
        there is no cell, it draws nothing.

    Example:
        >>> picture = live(lambda values: Figure())
        >>> picture([1, 2, 3])
    """
    times, shown = count(), []

    def show(known: Any) -> None:
        notebook = sys.modules.get("IPython")
        if next(times) % every or notebook is None or notebook.get_ipython() is None:
            return
        figure = draw(known)
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)  # or it would be shown once more at the end of the cell
        if shown:
            shown[0].update(figure)
        else:
            shown.append(notebook.display.display(figure, display_id=True))

    return show
