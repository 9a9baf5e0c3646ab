"""Paths over a landscape of two weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import Ink, axes, nth_look, plain, title_axes
from .labels import Labels

__all__ = ["landscape"]

GRID = 160  # Points a side at which the height is asked for.
LEVELS = 18


def landscape(
    height: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    x: str = "",
    y: str = "",
    looks: Mapping[str, dict[str, Any]] | None = None,
) -> Axes:
    """Lines of equal height, and paths over them: a dot for each step, a mark at the end.

    A path that leaves the picture has no mark; its name stands where it was seen last.

    Args:
        height: What the landscape shows, a loss for instance: two arrays -> one, elementwise.
        paths: Name -> points (steps, 2).
        ax: Where to draw; None makes a figure.
        xlim: What to show of the first weight.
        ylim: What to show of the second weight.
        x: Name of the first weight.
        y: Name of the second weight.
        looks: Name -> color and mark of a path, such as `look` gives for a strategy.

    Returns:
        The axes.

    Raises:
        ValueError: If a path is not (steps, 2).

    Example:
        >>> bowl = lambda a, b: a**2 + b**2
        >>> ax = landscape(bowl, {"down": [(1, 1), (0, 0)]}, xlim=(-1, 2), ylim=(-1, 2))
        >>> ax.get_xlim() == (-1, 2)
        True
    """
    found = {name: np.asarray(path, dtype=float) for name, path in paths.items()}
    for name, path in found.items():
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise ValueError(f"Wanted points (steps, 2) for {name!r}, got shape {path.shape}.")
    ax = axes(ax, 6.4, 4.8)
    plain(ax)
    ax.grid(False)
    ax.set(xlim=xlim, ylim=ylim)
    _contours(ax, height)
    labels = Labels(ax)
    for k, (name, path) in enumerate(found.items()):
        _path(ax, name, path, (looks or {}).get(name) or nth_look(ax, k), labels)
    title_axes(ax, x, y)
    return ax


def _contours(ax: Axes, height: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Lines that lie closer together near the lowest point than evenly spaced ones would."""
    a, b = np.meshgrid(np.linspace(*ax.get_xlim(), GRID), np.linspace(*ax.get_ylim(), GRID))
    values = np.asarray(height(a, b), dtype=float)
    low, high = values.min(), values.max()
    levels = low + (high - low) * np.linspace(0, 1, LEVELS)[1:-1] ** 2.5
    ax.contour(a, b, values, levels=levels, colors=Ink.of(ax).mix(0.22), linewidths=0.8, zorder=0)


def _path(ax: Axes, name: str, path: np.ndarray, look: dict[str, Any], labels: Labels) -> None:
    color = look["color"]
    ax.plot(*path.T, color=color, linewidth=1.1, alpha=0.8, zorder=2)
    labels.dots += ax.plot(*path.T, "o", color=color, markersize=2.2, zorder=2)
    labels.paths.append(path[np.isfinite(path).all(1)])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    across, up = path.T
    inside = np.flatnonzero((across >= left) & (across <= right) & (up >= bottom) & (up <= top))
    if not len(inside):
        return
    last = inside[-1]
    if last == len(path) - 1:
        labels.marks += ax.plot(*path[-1], linestyle="none", markersize=9, zorder=5, **look)
    labels.add(name, across[last], up[last], ax.transData)
