"""Samples beside the law that they should follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import SMALL, Ink, axes, caption, nth_look, plain, title_axes
from .labels import EndLabels, Labels

__all__ = ["histogram", "running_mean"]


def histogram(
    values: Any,
    ax: Axes | None = None,
    *,
    law: Callable[[np.ndarray], np.ndarray],
    limits: tuple[float, float],
    bins: int = 40,
    x: str = "",
    guesses: Sequence[tuple[float, float]] = (),
) -> Axes:
    """How often values fall into each bin, and how often they should.

    Args:
        values: Independent samples, any shape.
        ax: Where to draw; None makes a figure.
        law: The cumulative distribution: an array of places -> the share that lies below each.
        limits: Where the bins begin and end.
        bins: How many of them, all of one width.
        x: What the values are, with their unit.
        guesses: What the reader predicted, as hollow diamonds: places and heights.

    Returns:
        The axes. The dark line is the law, averaged over each bin; the band around it is two
        standard deviations of counting as many samples.

    Raises:
        ValueError: If there are no values, or some are not finite.

    Example:
        >>> ax = histogram([0.1, 0.6], law=lambda place: place, limits=(0, 1), bins=2)
        >>> [float(bar.get_height()) for bar in ax.containers[0]]
        [1.0, 1.0]
    """
    samples = np.asarray(values, dtype=float).ravel()
    if not samples.size or not np.isfinite(samples).all():
        raise ValueError("Wanted finite samples, at least one.")
    edges = np.linspace(*limits, bins + 1)
    width, share = np.diff(edges), np.diff(np.asarray(law(edges), dtype=float))
    counted = np.histogram(samples, edges)[0] / samples.size
    error = 2 * np.sqrt(share * (1 - share) / samples.size)
    ax = axes(ax, 6.4, 3.8)
    ink = plain(ax)
    ax.grid(False, axis="x")
    ax.bar(edges[:-1], counted / width, width, align="edge", color=ink.mix(0.22), zorder=2)
    line = {"color": ink.source, "step": "post", "zorder": 3}
    low, high = (np.append(b, b[-1]) for b in ((share - error) / width, (share + error) / width))
    ax.fill_between(edges, low, high, alpha=0.35, linewidth=0, **line)
    ax.stairs(share / width, edges, color=ink.source, linewidth=1.6, zorder=4, baseline=None)
    ax.set(xlim=limits, ylim=(0, None))
    diamonds(ax, guesses)
    title_axes(ax, x, "how often, per unit")
    told = f"Gray: {samples.size:,} samples. Line: the law; band: twice the error of counting."
    caption(ax, told.replace(",", "\N{NARROW NO-BREAK SPACE}"))
    return ax


def diamonds(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Guesses, hollow, above all else; the axes grow upwards as far as they need."""
    if not len(points):
        return
    ink, labels = Ink.of(ax), Labels(ax)
    look = {"mfc": "none", "markersize": 11, "zorder": 7, "linestyle": "none"}
    for wide, color in ((4.5, ink.paper), (2.0, ink.ink)):  # a rim keeps it apart from dark bars
        x, y = zip(*points, strict=True)
        labels.marks += ax.plot(x, y, "D", mec=color, mew=wide, **look)
    low, high = ax.get_ylim()
    # Half of the mark would stick out.
    ax.set_ylim(low, max(high, max(y) * 1.08 if ax.get_yscale() == "linear" else 2 * max(y)))
    labels.add("your guess", *points[-1], ax.transData, clear=9, style="italic")


def running_mean(
    chains: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    truth: float,
    times: Mapping[str, Any] | None = None,
    x: str = "step",
    y: str = "",
) -> Axes:
    """Means of chains over all they have seen so far, and the line where they should end.

    Args:
        chains: Name -> values (chains, steps); chains are independent of each other.
        ax: Where to draw; None makes a figure.
        truth: What the mean is by the law.
        times: Name -> place of each step on the horizontal axis (steps,); None counts from 1.
        x: What the horizontal axis shows.
        y: What is averaged.

    Returns:
        The axes. The band around each line is two standard errors, told from how chains differ.

    Raises:
        ValueError: If there are fewer than two chains of a name.

    Example:
        >>> ax = running_mean({"coin": [[0.0, 1.0], [1.0, 1.0]]}, truth=0.5)
        >>> ax.lines[1].get_ydata().tolist()
        [0.5, 0.75]
    """
    ax = axes(ax, 7.4, 4.0)
    ink, ends, last = plain(ax), EndLabels(ax), 0.0
    ax.axhline(truth, color=ink.ink, linestyle=":", linewidth=1.4, zorder=4)
    heights = [truth]
    for k, (name, values) in enumerate(chains.items()):
        found = np.asarray(values, dtype=float)
        if found.ndim != 2 or len(found) < 2:
            raise ValueError(f"Wanted (chains, steps) for {name!r}, got shape {found.shape}.")
        at = np.asarray((times or {}).get(name, np.arange(1, found.shape[1] + 1)), dtype=float)
        means = found.cumsum(1) / np.arange(1, found.shape[1] + 1)
        middle, error = means.mean(0), 2 * means.std(0, ddof=1) / len(means) ** 0.5
        style = nth_look(ax, k + 1)
        ax.plot(at, middle, color=style["color"], linewidth=1.6, zorder=3)
        band = {"color": style["color"], "alpha": 0.18, "linewidth": 0, "zorder": 2}
        ax.fill_between(at, middle - error, middle + error, **band)
        ends.add(name, at[-1], middle[-1], ax.transData, style)
        heights += [*middle[len(middle) // 20 :]]
        last = max(last, float(at[-1]))
    _frame(ax, heights, last, truth)
    title_axes(ax, x, y)
    caption(ax, "Dotted: the truth. Band: two standard errors, from independent chains.")
    return ax


def _frame(ax: Axes, heights: list[float], last: float, truth: float) -> None:
    """Room for all but the first steps, whose means are of almost nothing."""
    room = 0.15 * (max(heights) - min(heights)) or 0.1
    ax.set(xlim=(0, last), ylim=(min(heights) - room, max(heights) + room))
    style = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": SMALL}
    ax.annotate(f"{truth:.3f}", (0, truth), color=Ink.of(ax).ink, **style)
