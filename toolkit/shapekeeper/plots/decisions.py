"""What a network says everywhere in the plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from .ink import Ink, axes, blank

__all__ = ["decisions"]

GRID = 200  # Points a side at which the network is asked.


def decisions(
    network: Callable[[torch.Tensor], torch.Tensor],
    data: tuple[Any, Any],
    ax: Axes | None = None,
    *,
    reach: float | None = None,
) -> Axes:
    """What a network with one logit says of each point of the plane, and the points it learned.

    The stronger a color, the surer; the line is where it cannot tell.

    Args:
        network: Points (n, 2) -> logits (n,) or (n, 1), above 0 for class 1.
        data: Points (n, 2) and classes (n,), 0 (dots) or 1 (triangles).
        ax: Where to draw; None makes a figure.
        reach: Half the width of the picture; None: a little more than the points need.

    Returns:
        The axes.

    Raises:
        ValueError: If the points are not (n, 2).

    Example:
        >>> ax = decisions(lambda x: x[:, 0], ([(-1.0, 0.0), (1.0, 0.0)], [0, 1]))
        >>> ax.get_xlim() == (-1.15, 1.15)
        True
    """
    points, classes = (np.asarray(part, dtype=float) for part in data)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"Wanted points (n, 2), got shape {points.shape}.")
    half = float(reach or 1.15 * abs(points).max())
    ax = axes(ax, 3.8, 3.8)
    ink = blank(ax)
    at = np.linspace(-half, half, GRID)
    grid = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    with torch.no_grad():
        logit = network(torch.tensor(grid, dtype=torch.float32)).reshape(GRID, GRID).numpy()
    sure = np.tanh(logit / 2)  # twice the probability of class 1, minus 1
    # A contour that is asked for where nothing crosses 0 would warn.
    if sure.min() < 0 < sure.max():
        ax.contour(at, at, sure, levels=[0.0], colors=[ink.ink], linewidths=1.0, zorder=2)
    style = {"cmap": _shades(ink), "vmin": -1, "vmax": 1, "interpolation": "bilinear"}
    ax.imshow(sure, extent=(-half, half, -half, half), origin="lower", zorder=1, **style)
    for group, mark, color in ((classes < 0.5, "o", ink.sink), (classes > 0.5, "^", ink.source)):
        rim = {"markeredgecolor": ink.paper, "markeredgewidth": 0.6}
        ax.plot(*points[group].T, mark, color=color, markersize=5, zorder=3, **rim)
    ax.set(xlim=(-half, half), ylim=(-half, half))
    return ax


def _shades(ink: Ink) -> LinearSegmentedColormap:
    """From the color of class 0 over the paper to that of class 1."""
    ends = [ink.mix(0.6, ink.sink), ink.paper, ink.mix(0.6, ink.source)]
    return LinearSegmentedColormap.from_list("decisions", ends)
