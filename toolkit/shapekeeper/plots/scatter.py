"""One number of each run against another, seeds in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..strategies import Strategy
from .ink import Ink, axes, caption, look, nth_look, plain, title_axes
from .labels import Labels

__all__ = ["scatter"]

AREA = 900.0  # of a bubble of size 1, in square points


def scatter(
    groups: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    x: str = "",
    y: str = "",
    sizes: Mapping[str, float] | None = None,
    size: str = "",
    guess: Mapping[str, float | None] | None = None,
    strategies: Mapping[str, Strategy] | None = None,
    joined: Sequence[str] = (),
) -> Axes:
    """Dots for seeds, a mark with its name for their mean; or a bubble that shows a third number.

    Args:
        groups: Name -> points `(seeds, 2)`.
        ax: Where to draw; None makes a figure.
        x: What lies across, with its unit.
        y: What goes up, with its unit.
        sizes: Name -> a share from 0 to 1, the area of the bubble around its mean; the thin ring
            around it is 1.
        size: What that share is of.
        guess: Name -> the reader's prediction of the height, a hollow diamond over the mean; None
            is left out.
        strategies: Name -> the strategy whose color and mark it has; others get one of their own.
        joined: Names whose means a thin line joins, in order.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no group, one is not `(seeds, 2)`, or a guess is for none of them.

    Example:
        >>> ax = scatter({"tight": [(0, 0.2), (0, 0.3)], "loose": [(5, 0.8)]}, x="bits", y="right")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('bits', 'right')
    """
    found = {name: np.asarray(points, float) for name, points in groups.items()}
    guesses = {name: value for name, value in (guess or {}).items() if value is not None}
    _check(found, guesses)
    ax = axes(ax, 7.0, 4.4)
    ink, labels, known = plain(ax), Labels(ax), strategies or {}
    means = {name: points.mean(0) for name, points in found.items()}
    if len(joined) > 1:
        path = np.array([means[name] for name in joined])
        ax.plot(*path.T, color=ink.mix(0.45), linewidth=1.0, zorder=1.5)
        labels.paths.append(path)
    for k, (name, points) in enumerate(found.items()):
        style = look(known[name], ax) if name in known else nth_look(ax, k)
        color, mean, (across, up) = style["color"], means[name], means[name].tolist()
        if len(points) > 1:
            dots = {"color": color, "markersize": 3.6, "mew": 0, "alpha": 0.55, "zorder": 3}
            labels.dots += ax.plot(*points.T, "o", **dots)
        clear = 6.0
        if sizes is not None:
            clear += _bubble(ax, mean, sizes[name], color)
        labels.marks += ax.plot(
            across, up, linestyle="none", markersize=8 if sizes is None else 5, zorder=5, **style
        )
        labels.add(name, across, up, ax.transData, clear=clear, color=color)
        if name in guesses:
            hollow = {"mfc": "none", "mec": color, "mew": 1.1, "markersize": 12, "zorder": 4}
            labels.marks += ax.plot(across, guesses[name], "D", **hollow)
    ax.margins(0.12)
    title_axes(ax, x, y)
    most = max(len(points) for points in found.values())
    caption(
        ax,
        f"Dots: seeds, up to {most}. Marks: their means." if most > 1 else "One seed.",
        f"Area of a bubble: {size}; the ring would be all." if sizes is not None else "",
        "Hollow diamond: your guess." if guesses else "",
    )
    return ax


def _check(found: Mapping[str, np.ndarray], guesses: Mapping[str, float]) -> None:
    if not found:
        raise ValueError("Wanted at least one group of points, got none.")
    for name, points in found.items():
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ValueError(f"Wanted points (seeds, 2) for {name!r}, got shape {points.shape}.")
    for name in guesses:
        if name not in found:
            close = get_close_matches(str(name), found, n=1)
            way_out = f"did you mean {close[0]!r}?" if close else f"there are {[*found]}."
            raise ValueError(f"Wanted a guess for one of the groups, got {name!r}; {way_out}")


def _bubble(ax: Axes, mean: np.ndarray, share: float, color: str) -> float:
    """A filled disk inside a ring; returns how far the ring reaches, in points."""
    ring = {"facecolor": "none", "edgecolor": Ink.of(ax).mix(0.35), "linewidth": 0.8}
    ax.scatter(*mean, s=AREA, zorder=2, **ring)
    ax.scatter(*mean, s=AREA * share, color=color, alpha=0.35, linewidth=0, zorder=2)
    return (AREA**0.5) / 2
