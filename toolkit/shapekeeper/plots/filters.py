"""What the filters of a layer do to each frequency, against what was drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from shapekeeper.constraints.filters import FilterShape

from .ground import hatch, heights, lay_out
from .ink import DASHES, SMALL, TINY, Ink, axes, caption, nth_look, number, plain, points
from .labels import Labels
from .magnitudes import Magnitudes, own_bins

__all__ = ["response"]

CROWD = 128  # So many filters are drawn; more would be a wall.
NARROW = 0.17  # Least width of the enlarged pass band, in shares of the axes.


def response(
    weight: Any,
    shape: FilterShape,
    ax: Axes | None = None,
    *,
    bins: bool = False,
    looks: Mapping[str, dict[str, Any]] | None = None,
) -> Axes:
    """The gain of all filters of a layer over frequency, against the drawing.

    Forbidden ground is hatched. Each filter is measured by its own reference gain, so a loud and a
    quiet one are drawn alike. The filter that misses most (or has least to spare) is drawn in full,
    with its miss in red and a mark where that is worst; the others are thin. Dead filters, whose
    norm is below 1e-4 of the largest, are counted and not drawn. A pass band is enlarged below
    itself. A target, which is drawn in plain gains, is shown in plain gains.

    Kernels of two dimensions are shown over the distance from frequency 0, with the largest gain
    in any direction; a band reaches down to the smallest one.

    Args:
        weight: Kernels, `(taps,)` or `(out, in, taps)`, or `(out, in, rows, columns)` for a shape
            of two dimensions; or several of them, name -> kernels.
        shape: What was drawn.
        ax: Where to draw; None makes a figure.
        bins: Whether to put a star on each frequency that the Fourier transform of the kernel
            drawn in full looks at.
        looks: Name -> color and mark, such as `look` gives for a strategy.

    Returns:
        The axes.

    Raises:
        ValueError: If weights have too few axes, no entries, or some that are not finite; if there
            are none; or if stars are wanted for kernels of two dimensions.

    Example:
        >>> from shapekeeper import FilterShape
        >>> ax = response([1.0, 2.0, 1.0], FilterShape.lowpass(0.1, 0.9, attenuation_db=20))
        >>> ax.get_xlabel()
        'frequency (1 = Nyquist)'
    """
    named = weight if isinstance(weight, Mapping) else {"": weight}
    if not named:
        raise ValueError("Wanted the weight of at least one layer, got none.")
    if bins and shape.dimensions == 2:
        raise ValueError("Wanted kernels of one dimension for bins=True, got a shape of two.")
    found = {name: Magnitudes.of(value, shape) for name, value in named.items()}
    ax = axes(ax, 7.4, 4.6)
    plain(ax)
    lay_out(ax, shape, max(float(m.highest.max(initial=0)) for m in found.values()))
    labels, zooms, alone = Labels(ax), _zooms(ax, shape), len(found) == 1
    styles = {name: _style(ax, (looks or {}).get(name), k) for k, name in enumerate(found)}
    for name, magnitudes in found.items():
        if not len(magnitudes.kernels):
            continue
        for pane in (ax, *zooms):
            _curves(pane, magnitudes, shape, styles[name], 1 / len(found))
        if alone:
            _redden(ax, magnitudes, shape)
        _miss(ax, magnitudes, shape, styles[name], labels, alone)
        if bins:
            _stars(ax, magnitudes, shape, styles[name])
    if not alone:
        _legend(ax, styles)
    caption(ax, *_words(found, shape, bins))
    return ax


def _style(ax: Axes, look: dict[str, Any] | None, k: int) -> dict[str, Any]:
    """Color, mark and dash of the k-th weight."""
    paper, dash = Ink.of(ax).paper, DASHES[(1, 0, 3, 2)[k % len(DASHES)]]
    return {"linestyle": dash, "markerfacecolor": paper, **(look or nth_look(ax, k))}


def _curves(
    ax: Axes, magnitudes: Magnitudes, shape: FilterShape, style: dict[str, Any], share: float
) -> None:
    """The worst filter in full, the others thin."""
    bottom, across = ax.get_ylim()[0], magnitudes.frequencies
    high = heights(shape, magnitudes.highest).clip(bottom - 1)
    worst, *others = magnitudes.by_miss
    if others:
        few = np.array(others)[np.unique(np.linspace(0, len(others) - 1, CROWD).astype(int))]
        lines = np.stack([np.broadcast_to(across, high[few].shape), high[few]], -1)
        alpha = float(np.clip(2.5 * np.sqrt(share / len(few)), 0.22, 0.6))
        thin = {"colors": style["color"], "linewidths": 0.7, "alpha": alpha, "zorder": 2.5}
        ax.add_collection(LineCollection(list(lines), **thin), autolim=False)
    color = style["color"]
    if shape.dimensions == 2:
        low = heights(shape, magnitudes.lowest[worst]).clip(bottom - 1)
        ax.fill_between(across, low, high[worst], color=color, alpha=0.15, lw=0, zorder=2)
    ax.plot(across, high[worst], color=color, linewidth=1.7, ls=style["linestyle"], zorder=3)


def _redden(ax: Axes, magnitudes: Magnitudes, shape: FilterShape) -> None:
    """Where the worst filter leaves the drawing."""
    worst = magnitudes.by_miss[0]
    out = magnitudes.excess[worst] > magnitudes.tolerance
    high = np.where(out, heights(shape, magnitudes.highest[worst]), np.nan)
    bad = {"color": Ink.of(ax).bad, "linewidth": 5.0, "alpha": 0.45, "solid_capstyle": "round"}
    ax.plot(magnitudes.frequencies, high, zorder=2.8, **bad)


def _miss(
    ax: Axes,
    magnitudes: Magnitudes,
    shape: FilterShape,
    style: dict[str, Any],
    labels: Labels,
    alone: bool,
) -> None:
    """A mark where the worst filter misses most, with how far that is."""
    worst = magnitudes.by_miss[0]
    at = int(magnitudes.excess[worst].argmax())
    high = heights(shape, magnitudes.highest[worst])
    below = magnitudes.highest[worst, at] < shape.limits(magnitudes.frequencies[[at]])[0][0]
    spots = np.stack([magnitudes.frequencies, high.clip(ax.get_ylim()[0])], -1)
    labels.paths.append(spots[::4])
    miss = float(magnitudes.living(magnitudes.report.excess_db)[worst])
    if not miss > magnitudes.tolerance:
        return
    look = {**style, "linestyle": "none", "markersize": 7.5, "zorder": 5, "clip_on": False}
    x, y = magnitudes.frequencies[at], float(np.clip(high[at], *ax.get_ylim()))
    labels.marks += ax.plot(x, y, **look)
    where = f" {'below' if below else 'above'} the drawing" if alone else ""
    labels.add(f"{number(miss, 1)} dB{where}", x, y, ax.transData)


def _stars(ax: Axes, magnitudes: Magnitudes, shape: FilterShape, style: dict[str, Any]) -> None:
    """What the worst filter's own Fourier transform looks at: as many frequencies as taps."""
    worst, taps = magnitudes.by_miss[0], magnitudes.kernels.shape[-1]
    bins = own_bins(shape, taps)
    gain = abs(np.fft.fft(magnitudes.kernels[worst]))[np.arange(len(bins)) % taps]
    gain = gain / magnitudes.references[worst]
    y = heights(shape, gain).clip(*ax.get_ylim())
    ink = Ink.of(ax)
    star = {"marker": "*", "markersize": 12, "markeredgewidth": 0.8, "markeredgecolor": ink.paper}
    color = ink.source if style["color"] == ink.ink else style["color"]
    ax.plot(bins, y, color=color, ls="none", zorder=6, clip_on=False, **star)


def _zooms(ax: Axes, shape: FilterShape) -> list[Axes]:
    """Every pass band enlarged, in the forbidden ground below itself, if there is room."""
    passes = [band for band in shape.bands if band.kind == "pass" and not shape.points]
    return [_zoom(ax, shape, band) for band in passes if points(ax)[0] * NARROW > 40]


def _zoom(ax: Axes, shape: FilterShape, band: Any) -> Axes:
    ink, reach = Ink.of(ax), ax.get_xlim()[1]
    low, high = band.low / reach, min(band.high / reach, 1.0)
    width = max(high - low - 0.03, NARROW)
    left = float(np.clip((low + high - width) / 2, 0.015, 0.985 - width))
    pane = ax.inset_axes((left, 0.1, width, 0.34), zorder=4, facecolor=ink.paper)
    view = 2 * band.decibels
    pane.set(xlim=(band.low, band.high), ylim=(-view, 1.45 * view), xticks=[], yticks=[])
    pane.spines[:].set(color=ink.mix(0.35), linewidth=0.8)
    hatch(pane, shape)
    word = {"color": ink.soft, "fontsize": TINY, "ha": "left", "va": "top", "zorder": 6}
    paper = {"facecolor": ink.paper, "edgecolor": "none", "pad": 1.5}
    pane.text(0.04, 0.95, f"pass, ± {view:g} dB", transform=pane.transAxes, bbox=paper, **word)
    return pane


def _legend(ax: Axes, styles: Mapping[str, dict[str, Any]]) -> None:
    handles = [Line2D([], [], label=k, linewidth=1.7, **style) for k, style in styles.items()]
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": min(len(handles), 4)}
    color = {"labelcolor": Ink.around(ax).ink, "fontsize": SMALL}
    ax.legend(handles=handles, frameon=False, handlelength=3.2, **place, **color)


def _words(found: Mapping[str, Magnitudes], shape: FilterShape, bins: bool) -> list[str]:
    """What to see, and for each weight what was measured."""
    several = any(len(magnitudes.kernels) > 1 for magnitudes in found.values())
    misses = not all(m.living(m.report.met).all() for m in found.values())
    strong = f"Strong line: the filter that {'misses most' if misses else 'has least to spare'}. "
    red = "Red: where it leaves the drawing." if len(found) == 1 else "Mark: its worst miss."
    rings = "The largest gain in any direction; band: down to the smallest."
    stars = (
        "Stars: the only frequencies that the kernel's own Fourier transform looks at; "
        "those on the floor lie below it."
    )
    measured = [f"{name}: {_measured(m, shape)}" for name, m in found.items() if name]
    return [
        f"Hatched: forbidden. {strong * several}{red * misses}".strip(),
        rings * (shape.dimensions == 2),
        stars * bins,
        *(measured or [_measured(m, shape, "W") for m in found.values()]),
    ]


def _measured(magnitudes: Magnitudes, shape: FilterShape, letter: str = "w") -> str:
    """Worst, median and the share that meets the drawing, in words."""
    count, report = len(magnitudes.kernels), magnitudes.report
    left_out = f"{magnitudes.dead} dead filter{'s' * (magnitudes.dead > 1)} left out"
    if not count:
        return f"{left_out}, none alive."
    name, values = "miss", magnitudes.living(report.excess_db)
    if any(band.kind == "stop" for band in shape.bands):
        name, values = "stop", magnitudes.living(report.stop_db)
    elif shape.bands:
        name, values = "ripple", magnitudes.living(report.ripple_db)
    met = round(report.share_met * count)
    parts = [f"{letter}orst {name} {number(values.max(), 1)} dB"]
    if count > 1:
        parts.append(f"median {number(float(np.median(values)), 1)} dB")
        parts.append(f"{met} of {count} filters meet the drawing ({100 * met / count:.0f} %)")
    else:
        parts.append("meets the drawing" if met else "misses the drawing")
    parts += [left_out] * bool(magnitudes.dead)
    parts += [f"{CROWD} of the others drawn"] * (count > CROWD + 1)
    return ", ".join(parts) + "."
