"""Lines that may fall to exactly 0, on a log axis, with their seeds in sight."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import DASHES, axes, caption, nth_look, nudged, plain, title_axes
from .labels import EndLabels
from .zero import zero_log

__all__ = ["lines"]

LANE = 5.0  # Between lines that are 0 throughout, in points.


def lines(
    curves: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    x: str = "step",
    y: str = "",
    looks: Mapping[str, dict[str, Any]] | None = None,
    guess: Mapping[str, float | None] | None = None,
) -> Axes:
    """Numbers from 0 up against the step, on a log axis with a shaded shelf for exactly 0.

    Lines that are 0 throughout lie side by side on the shelf.

    Args:
        curves: Name -> values after each step, `(steps,)` or, for a band from the lowest to the
            highest seed around the mean, `(seeds, steps)`. The first value is that of step 1.
        ax: Where to draw; None makes a figure.
        x: What is counted.
        y: What the values are, with their unit.
        looks: Name -> color and mark of a line, such as `look` gives for a strategy.
        guess: Name -> the reader's prediction of the last value, a hollow diamond in the color of
            its line; None is left out.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no curve, one has no values, negative ones or infinite ones, or a
            guess is for none of them.

    Example:
        >>> ax = lines({"asked": [0.2, 0.1, 0.05], "held": [0.0, 0.0, 0.0]}, y="leak")
        >>> ax.get_yscale(), ax.get_yticklabels()[0].get_text()
        ('symlog', 'exactly 0')
    """
    found = {name: np.atleast_2d(np.asarray(values, float)) for name, values in curves.items()}
    guesses = {name: value for name, value in (guess or {}).items() if value is not None}
    _check(found, guesses)
    ax = axes(ax, 7.4, 4.2)
    plain(ax)
    flat = np.cumsum([not values.any() for values in found.values()])
    heights = np.concatenate([*(v.ravel() for v in found.values()), [*guesses.values()]])
    zero_log(ax.yaxis, heights, LANE * flat[-1])
    ax.set_xlim(0, max(values.shape[1] for values in found.values()))
    ends = EndLabels(ax)
    for k, (name, values) in enumerate(found.items()):
        style = (looks or {}).get(name) or nth_look(ax, k)
        side = 0.0 if values.any() else -LANE * flat[k]
        _draw(ax, values, name, style, DASHES[(k + 1) % len(DASHES)], side, ends)
        if name in guesses:
            hollow = {"mfc": "none", "mec": style["color"], "mew": 1.1, "clip_on": False}
            ax.plot(values.shape[1], guesses[name], "D", markersize=12, zorder=4, **hollow)
    title_axes(ax, x, y)
    seeds = max(len(values) for values in found.values())
    bands = f"Line: mean of {seeds} seeds; band: their range." if seeds > 1 else ""
    caption(ax, bands, "Hollow diamond: your guess." if guesses else "")
    return ax


def _check(found: Mapping[str, np.ndarray], guesses: Mapping[str, float]) -> None:
    for name in guesses:
        if name not in found:
            close = get_close_matches(str(name), found, n=1)
            way_out = f"did you mean {close[0]!r}?" if close else f"there are {[*found]}."
            raise ValueError(f"Wanted a guess for one of the lines, got {name!r}; {way_out}")
    if not found:
        raise ValueError("Wanted at least one line, got none.")
    for name, values in found.items():
        if values.ndim != 2 or not values.size or not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(
                f"Wanted finite numbers from 0 up, (steps,) or (seeds, steps), for {name!r}; got "
                f"shape {values.shape}, smallest {values.min() if values.size else 'none'}."
            )


def _draw(
    ax: Axes,
    values: np.ndarray,
    name: str,
    style: dict[str, Any],
    dash: Any,
    side: float,
    ends: EndLabels,
) -> None:
    """One line with its band, moved to its lane if it is 0 throughout."""
    steps, mean, place = np.arange(1, values.shape[1] + 1), values.mean(0), nudged(ax, 0, side)
    color = {"color": style["color"], "transform": place}
    ax.plot(steps, mean, linestyle=dash, linewidth=1.7, zorder=3, **color)
    if len(values) > 1:
        low, high = values.min(0), values.max(0)
        ax.fill_between(steps, low, high, alpha=0.15, linewidth=0, zorder=2, **color)
    ends.add(name, steps[-1], mean[-1], place, style)
