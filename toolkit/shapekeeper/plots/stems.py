"""Kernels tap by tap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from .ink import SMALL, Ink, axes, blank, caption, nth_look, plain, points, title_axes
from .magnitudes import kernels

__all__ = ["taps"]

DOTTED, LINED = 32, 96  # Up to so many taps stems have dots; up to so many there are stems.
SHOWN = 64  # So many kernels of one name are drawn,
SIDE_BY_SIDE = 8  # and so many if there are several names.
GAP = 0.3  # Between kernels, in widths or heights of one.


def taps(
    weight: Any,
    ax: Axes | None = None,
    *,
    looks: Mapping[str, dict[str, Any]] | None = None,
) -> Axes:
    """The taps of kernels, counted from their middle.

    Stems with dots up to 32 taps, without from 33 on; a filled outline from 97 on. Several kernels
    stand side by side on one scale (64 of them, spread evenly, if there are more); those of several
    names one below the other (8 of each).

    Args:
        weight: Kernels, `(taps,)`, `(filters, taps)` or `(out, in, taps)`; or several of them,
            name -> kernels.
        ax: Where to draw; None makes a figure.
        looks: Name -> color, such as `look` gives for a strategy.

    Returns:
        The axes.

    Raises:
        ValueError: If weights have more than three axes, no entry, or one that is not finite; or
            if there are none.

    Example:
        >>> ax = taps([1.0, 2.0, 1.0])
        >>> [stem[1].tolist() for stem in ax.collections[0].get_segments()]
        [[-1.0, 1.0], [0.0, 2.0], [1.0, 1.0]]
    """
    named = weight if isinstance(weight, Mapping) else {"": weight}
    if not named:
        raise ValueError("Wanted at least one kernel, got none.")
    found = {name: _checked(value) for name, value in named.items()}
    if len(found) == 1 and all(len(rows) == 1 for rows in found.values()):
        return _one(*next(iter(found.items())), ax, looks or {})
    return _many(found, ax, looks or {})


def _checked(value: Any) -> np.ndarray:
    if np.ndim(value) > 3:
        raise ValueError(
            f"Wanted kernels (taps,), (filters, taps) or (out, in, taps), got {np.ndim(value)} "
            "axes; plots.matrix shows a kernel of rows and columns."
        )
    return kernels(value).numpy()


def _one(name: str, rows: np.ndarray, ax: Axes | None, looks: Mapping[str, Any]) -> Axes:
    """A single kernel, on axes that can be read off."""
    (values,) = rows
    ax = axes(ax, 7.4, 2.4)
    plain(ax)
    ax.grid(False, axis="x")
    places = np.arange(len(values)) - (len(values) - 1) / 2
    _stems(ax, places, values, 0.0, (looks.get(name) or nth_look(ax, 0))["color"], 400.0)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    room = 0.08 * (high - low) or 1.0
    ax.set(xlim=(places[0] - 0.7, places[-1] + 0.7), ylim=(low - room, high + room))
    ax.xaxis.set_major_locator(MaxNLocator(9, integer=len(values) % 2 == 1))
    title_axes(ax, "tap, counted from the middle", f"weight of {name}" if name else "weight")
    return ax


def _many(found: Mapping[str, np.ndarray], ax: Axes | None, looks: Mapping[str, Any]) -> Axes:
    """Kernels side by side; each name begins a new row."""
    shown = SHOWN if len(found) == 1 else SIDE_BY_SIDE
    parts = {name: _spread(rows, shown) for name, rows in found.items()}
    most = max(map(len, parts.values()))
    columns = most if len(parts) > 1 else min(most, int(np.ceil(np.sqrt(1.6 * most))))
    deep = -(-most // columns)  # Rows of one name.
    values = np.concatenate([rows.ravel() for rows in parts.values()])
    limit = float(abs(values).max()) or 1.0
    low, high = min(values.min() / limit, 0.0), max(values.max() / limit, 0.0)
    step = (1 + GAP) * (high - low or 1.0)
    ax = axes(ax, 7.4, min(1.2 + 0.75 * deep * len(parts), 7.0))
    blank(ax)
    width = points(ax)[0] / (columns * (1 + GAP))
    for n, (name, rows) in enumerate(parts.items()):
        color = (looks.get(name) or nth_look(ax, n))["color"]
        for k, row in enumerate(rows):
            base = -step * (n * deep + k // columns)
            places = k % columns * (1 + GAP) + (np.arange(len(row)) + 0.5) / len(row)
            _stems(ax, places, base + row / limit, base, color, width)
    end, side = columns * (1 + GAP) - GAP, 0.04 * columns
    last = -step * (deep * len(parts) - 1)
    ax.set(xlim=(-side, end + side), ylim=(low + last - 0.1, high + 0.1))
    if len(parts) > 1:
        ax.set_yticks([-step * deep * n for n in range(len(parts))], list(parts))
        ax.tick_params(length=0, labelsize=SMALL, labelcolor=Ink.around(ax).ink)
    caption(ax, *_words(found, parts, limit))
    return ax


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, first and last among them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]


def _stems(
    ax: Axes, places: np.ndarray, tops: np.ndarray, base: float, color: str, width: float
) -> None:
    """One kernel on its base line, so many points wide: stems with dots, stems, or an outline."""
    ink, half = Ink.of(ax), np.ptp(places) / (2 * len(places)) or 0.5
    room = width / len(places)  # Of one tap.
    ends = [places[0] - half, places[-1] + half]
    ax.plot(ends, [base, base], color=ink.mix(0.35), linewidth=0.8, zorder=2)
    if len(places) > LINED or room < 0.8:
        line = min(1.2, width / 90)
        ax.fill_between(places, base, tops, color=color, alpha=0.25, linewidth=0, zorder=2.5)
        ax.plot(places, tops, color=color, linewidth=line, zorder=3)
        return
    stems = [[(x, base), (x, top)] for x, top in zip(places, tops, strict=True)]
    line = {"colors": color, "linewidths": min(1.8, 0.45 * room), "zorder": 3}
    ax.add_collection(LineCollection(stems, **line), autolim=False)
    if len(places) <= DOTTED and room > 2.5:
        ax.plot(places, tops, "o", color=color, markersize=min(5.0, 0.7 * room), zorder=3.5)


def _words(
    found: Mapping[str, np.ndarray], parts: Mapping[str, np.ndarray], limit: float
) -> list[str]:
    lengths = sorted({rows.shape[1] for rows in found.values()})
    left_out = [
        f"{len(parts[name])} of {len(rows)} kernels" + (f" of {name}" if name else "")
        for name, rows in found.items()
        if len(parts[name]) < len(rows)
    ]
    return [
        f"All on one scale: the largest |weight| is {limit:.3g}. "
        f"Kernels of {' or '.join(map(str, lengths))} taps.",
        f"Drawn: {', '.join(left_out)}." if left_out else "",
    ]
