"""Axes that are logarithmic and still show exactly 0."""

from __future__ import annotations

import numpy as np
from matplotlib.axis import Axis, XAxis

from .ink import Ink, nudged, points

__all__ = ["zero_log"]

ROOM = 9.0  # Shaded on either side of 0, in points.
GAP = 26.0  # From the shaded part to the first decade, in points.
PAD = 12.0  # Beyond the last decade, in points.


def zero_log(axis: Axis, values: np.ndarray, lanes: float = 0.0) -> None:
    """Make an axis logarithmic, with a shaded part at its beginning for exactly 0.

    The axis is linear from 0 to the first decade (`symlog`), so every value from 0 up has its place
    and data coordinates stay what they are.

    Args:
        axis: The x or the y axis of some axes.
        values: What will be drawn, from 0 up; decides about the decades.
        lanes: Extra width of the shaded part, on the far side of 0, in points.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().add_subplot()
        >>> zero_log(ax.xaxis, np.array([0.0, 0.02, 3.0]))
        >>> [float(tick) for tick in ax.get_xticks()]
        [0.0, 0.01, 0.1, 1.0, 10.0]
    """
    ax, across = axis.axes, isinstance(axis, XAxis)
    length, positive = points(ax)[0 if across else 1], values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        lanes = max(lanes, 0.3 * length)  # Nothing else to show.
    low, high = _decades(positive)
    bottom = 10.0**low
    free = length - (lanes + 2 * ROOM + GAP + PAD)
    decade = max(free, 60.0) / (high - low)
    reach = (ROOM + GAP) / decade  # From 0 to the first decade, in widths of a decade.
    scale = {"linthresh": bottom, "linscale": 0.9 * reach}  # 0.9: its own factor at base 10.
    (ax.set_xscale if across else ax.set_yscale)("symlog", **scale)
    at = np.array([-lanes - ROOM, ROOM, ROOM + GAP + PAD]) / decade + [0, 0, high - low]
    start, end, stop = axis.get_transform().inverted().transform(at * bottom)
    (ax.set_xlim if across else ax.set_ylim)(start, stop)
    (ax.axvspan if across else ax.axhspan)(start, end, color=Ink.of(ax).shelf, lw=0, zorder=0)
    ticks = range(low, high + 1, max(1, round((high - low) / (6 if across else 4))))
    axis.set_ticks([0.0, *(10.0**power for power in ticks)], ["exactly 0", *map(_power, ticks)])
    middle = -lanes / 2  # The word stands under the middle of the shaded part.
    shift = (middle, 0) if across else (0, middle)
    word = axis.get_majorticklabels()[0]
    word.set_transform(nudged(ax, *shift, base=word.get_transform()))


def _decades(positive: np.ndarray) -> tuple[int, int]:
    """First and last power of ten that frame all values; two decades if there are none."""
    if not len(positive):
        return -2, 0
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    return int(low), int(max(high, low + 1))


def _power(power: int) -> str:
    return f"{10.0**power:g}" if -4 < power < 5 else f"$10^{{{power}}}$"
