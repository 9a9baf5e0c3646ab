"""How the response of a layer moved while it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba
from matplotlib.patheffects import withStroke

from shapekeeper.constraints.filters import FilterShape

from .ground import frequency_title, gain_title, heights, span
from .ink import SMALL, TINY, Ink, axes, caption, number, plain, title_axes
from .magnitudes import Magnitudes, edges

__all__ = ["response_over_time"]

ROWS = 400  # Frequencies in the picture.


def response_over_time(
    weights: Sequence[Any], steps: Sequence[float], shape: FilterShape, ax: Axes | None = None
) -> Axes:
    """The response of a layer while it was trained, as a picture: step to the right, frequency up.

    Darker is louder (on dark ground: lighter). At each step it is the filter that misses the
    drawing most, by its own reference gain; hatched where that filter leaves the drawing. A
    vertical line marks the first step at which one does.

    Args:
        weights: The layer's weight at each step, `(time, out, in, taps)`; to see one filter, that
            filter's, `(time, taps)`.
        steps: When that was, rising, `(time,)`.
        shape: What was drawn.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there are fewer than two weights, not as many steps as weights, steps that do
            not rise, or a weight that cannot be shown.

    Example:
        >>> from shapekeeper import FilterShape
        >>> weights = [[1.0, 2.0, 1.0], [1.0, 0.0, 1.0]]
        >>> ax = response_over_time(weights, [0, 100], FilterShape.bandlimited(0.9))
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('step', 'frequency (1 = Nyquist)')
    """
    at, sizes = np.asarray(steps, dtype=float), {np.shape(weight) for weight in weights}
    if len(weights) < 2 or at.shape != (len(weights),) or not (np.diff(at) > 0).all():
        raise ValueError(
            f"Wanted at least two weights and a rising step for each, got {len(weights)} weights "
            f"and the steps {at.tolist()}."
        )
    if len(sizes) > 1:
        raise ValueError(f"Wanted weights of one shape, got {sorted(sizes)}.")
    found = [Magnitudes.of(weight, shape) for weight in weights]
    ax = axes(ax, 7.4, 4.2)
    plain(ax)
    ax.grid(False)
    ax.set(xlim=(at[0], at[-1]))
    _picture(ax, found, at, shape)
    _bands(ax, shape)
    left = [step for step, m in zip(at, found, strict=True) if not m.living(m.report.met).all()]
    if left:
        _mark(ax, left[0], at)
    title_axes(ax, "step", frequency_title(shape))
    leaves = f"Upright line: step {left[0]:g}, the first with a filter outside." if left else ""
    hatched = "Hatched: where the filter that misses most leaves the drawing."
    dead = max(m.dead for m in found)
    gone = f"Up to {dead} dead filter{'s' * (dead > 1)} left out." if dead else ""
    never = "" if left else "No filter ever leaves the drawing."
    caption(ax, hatched if left else never, f"{leaves} {gone}".strip())
    return ax


def _picture(ax: Axes, found: Sequence[Magnitudes], at: np.ndarray, shape: FilterShape) -> None:
    """Loudness as a shade of gray, hatched where it is not allowed; and the bar of grays."""
    ink, grid = Ink.of(ax), found[0].frequencies
    rows = np.unique(np.linspace(0, len(grid) - 1, ROWS).astype(int))
    level, excess = np.full((2, len(rows), len(at)), np.nan)
    for k, magnitudes in enumerate(found):
        if len(magnitudes.kernels):
            worst = magnitudes.by_miss[0]
            level[:, k] = heights(shape, magnitudes.highest[worst, rows])
            excess[:, k] = magnitudes.excess[worst, rows].clip(-200)
    loudest = max(float(magnitudes.highest.max(initial=0)) for magnitudes in found)
    low, high = span(shape, loudest)
    style = {"cmap": _shades(ink), "vmin": low, "vmax": high, "shading": "gouraud"}
    image = ax.pcolormesh(at, grid[rows], np.ma.masked_invalid(level), rasterized=True, **style)
    ax.set_ylim(0, grid[-1])
    slack = found[0].tolerance
    if (excess > slack).any():
        levels, where = [slack, np.inf], (at, grid[rows], np.nan_to_num(excess, nan=-200.0))
        hatched = ax.contourf(*where, levels=levels, colors="none", hatches=["///"], zorder=2)
        hatched.set(edgecolor=to_rgba(ink.paper, 0.6), linewidth=0)
        rim = ax.contour(*where, levels=[slack], colors=[ink.ink], linewidths=1.2, zorder=3)
        rim.set_path_effects([withStroke(linewidth=3, foreground=ink.paper)])
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, aspect=30)
    bar.set_label(gain_title(shape), color=Ink.around(ax).ink, fontsize=TINY)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=TINY, labelcolor=Ink.around(ax).soft)
    bar.ax.yaxis.set_major_formatter(lambda value, _: number(value, 1 if shape.points else 0))


def _shades(ink: Ink) -> Colormap:
    """From the paper's side, which is silence, to loud; lightness runs one way throughout."""
    name, end = ink.choose("YlGnBu", "YlGnBu_r"), 0.77 if ink.dark else 0.97
    part = mpl.colormaps[name](np.linspace(0, end, 64))
    return LinearSegmentedColormap.from_list("loudness", part).with_extremes(bad=ink.paper)


def _bands(ax: Axes, shape: FilterShape) -> None:
    """The edges of the drawing, and a word in each band."""
    ink = Ink.of(ax)
    for edge in edges(shape):
        outline = [withStroke(linewidth=3, foreground=ink.paper)]
        ax.axhline(edge, color=ink.source, linewidth=1.6, zorder=4, path_effects=outline)
    for band in shape.bands:
        sign = "± " if band.kind == "pass" else "\N{MINUS SIGN}"
        word = f"{band.kind}, {sign}{band.decibels:g} dB"
        place = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        card = {"facecolor": ink.paper, "edgecolor": "none", "boxstyle": "round,pad=0.35"}
        style = {"fontsize": TINY, "color": ink.ink, "bbox": card, "zorder": 6}
        ax.annotate(word, (ax.get_xlim()[1], (band.low + band.high) / 2), **place, **style)


def _mark(ax: Axes, step: float, at: np.ndarray) -> None:
    """The first step at which a filter is outside."""
    ink, late = Ink.of(ax), step > (at[0] + at[-1]) / 2
    outline = [withStroke(linewidth=4, foreground=ink.paper)]
    ax.axvline(step, color=ink.bad, linewidth=2, zorder=5, clip_on=False, path_effects=outline)
    words = "outside from the start" if step == at[0] else f"leaves the drawing at step {step:g}"
    place = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right" if late else "left"}
    style = {"fontsize": SMALL, "color": Ink.around(ax).ink, "annotation_clip": False}
    ax.annotate(words, (step, 1), xycoords=("data", "axes fraction"), **place, **style)
