"""Bars whose seeds stay in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import SMALL, TINY, Ink, axes, decimals, number, plain, title_axes

__all__ = ["bars"]

SHADES = (0.30, 0.60, 0.12, 0.45)


def bars(
    groups: Mapping[str, Sequence[float] | Mapping[str, Sequence[float]]],
    ax: Axes | None = None,
    *,
    y: str = "",
) -> Axes:
    """A bar for the mean of each group, with its number on top and a dot for each seed.

    Args:
        groups: Name -> values of the seeds; or name -> {series: values of the seeds} for several
            bars side by side, told apart by a legend.
        ax: Where to draw; None makes a figure.
        y: What the values are, with their unit.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no group, or one has no values.

    Example:
        >>> ax = bars({"intact": [0.94, 0.96], "cut": [0.1, 0.12]}, y="accuracy")
        >>> [round(float(bar.get_height()), 2) for bar in ax.patches]
        [0.95, 0.11]
    """
    nested = {n: v if isinstance(v, Mapping) else {"": v} for n, v in groups.items()}
    series = list(dict.fromkeys(name for group in nested.values() for name in group))
    empty = [f"{n} {s}".strip() for n, g in nested.items() for s in g if not np.size(g[s])]
    if empty or not series:
        raise ValueError(f"Wanted values for every bar, got none for {empty or 'any'}.")
    ax = axes(ax, 1.6 + 0.55 * len(series) * len(nested) + 0.5 * len(nested), 3.4)
    plain(ax)
    ax.grid(False, axis="x")
    width = 0.8 / len(series)
    for k, name in enumerate(series):
        places = [i for i, group in enumerate(nested.values()) if name in group]
        values = [np.ravel(group[name]).astype(float) for group in nested.values() if name in group]
        _series(ax, np.array(places) + (k + 0.5) * width - 0.4, width, values, k, name)
    ax.set_xticks(range(len(nested)), list(nested))
    ax.set_xlim(-0.6, len(nested) - 0.4)
    ax.tick_params(axis="x", labelcolor=Ink.around(ax).ink, labelsize=SMALL)
    title_axes(ax, "", y)
    if len(series) > 1:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": len(series)}
        ax.legend(frameon=False, fontsize=SMALL, labelcolor=Ink.around(ax).ink, **place)
    return ax


def _series(
    ax: Axes, places: np.ndarray, width: float, values: list[Any], k: int, name: str
) -> None:
    ink, means = Ink.of(ax), [float(np.mean(v)) for v in values]
    fill, digits = ink.mix(SHADES[k % len(SHADES)]), decimals(means)
    ax.bar(places, means, 0.86 * width, color=fill, label=name, zorder=2)
    for x, found, mean in zip(places, values, means, strict=True):
        spread = np.linspace(-0.2, 0.2, len(found)) * width if len(found) > 1 else [0.0]
        rim = {"markeredgecolor": ink.ink, "markerfacecolor": ink.paper, "markeredgewidth": 0.9}
        ax.plot(x + spread, found, "o", markersize=4, zorder=3, clip_on=False, **rim)
        # The number stands beyond the end of its bar, which for a negative mean is its foot.
        end, away, va = (found.max(), 5, "bottom") if mean >= 0 else (found.min(), -5, "top")
        style = {"color": ink.ink, "fontsize": TINY, "ha": "center", "va": va}
        text = {"xytext": (0, away), "textcoords": "offset points"}
        ax.annotate(number(mean, digits), (x, end), **text, **style)
    ax.margins(y=0.12)
