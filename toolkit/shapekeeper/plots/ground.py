"""What a filter was drawn to do: forbidden ground is hatched, the way through is blank."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from shapekeeper.constraints.filters import FilterShape

from .ink import Ink, number, title_axes
from .magnitudes import decibels, stretches

__all__ = ["frequency_title", "gain_title", "hatch", "heights", "lay_out", "span"]

ROOM_BELOW = 30.0  # From the deepest stop band to the bottom of the axes, in dB.
TALLEST = 40.0  # No axes goes higher, in dB.


def heights(shape: FilterShape, gains: np.ndarray) -> np.ndarray:
    """Where gains stand: in dB, or as they are for a target, which is drawn so.

    Example:
        >>> heights(FilterShape.lowpass(0.2, 0.35), np.array([1.0, 0.1])).tolist()
        [0.0, -20.0]
    """
    return np.asarray(gains, float) if shape.points else decibels(gains)


def lay_out(ax: Axes, shape: FilterShape, highest: float) -> None:
    """Limits, ticks and names of the axes, the forbidden ground, and its edges.

    Args:
        ax: Where to draw.
        shape: The drawing.
        highest: The largest gain that should be in sight.
    """
    ax.set_xlim(0, shape.nyquist * (1.0 if shape.dimensions == 1 else np.sqrt(2)))
    ax.set_ylim(*span(shape, highest))
    if not shape.points:
        ax.yaxis.set_major_locator(MultipleLocator(20))
        ax.yaxis.set_major_formatter(lambda value, _: number(value, 0))
    hatch(ax, shape)
    title_axes(ax, frequency_title(shape), gain_title(shape))


def span(shape: FilterShape, highest: float) -> tuple[float, float]:
    """The lowest and the highest place in sight if the largest gain should be, too."""
    if shape.points:
        tube = max(float(high[np.isfinite(high)].max()) for _, _, high in stretches(shape))
        return 0.0, 1.1 * float(np.clip(highest, tube, 4 * tube))
    deepest = max([30.0, *(band.decibels for band in shape.bands if band.kind == "stop")])
    return -deepest - ROOM_BELOW, float(np.clip(decibels(highest) + 2, 6, TALLEST))


def hatch(ax: Axes, shape: FilterShape) -> None:
    """Hatch the forbidden ground within the limits of the axes, and draw its edges."""
    ink, (bottom, top), right = Ink.of(ax), ax.get_ylim(), ax.get_xlim()[1]
    ground = {"facecolor": ink.mix(0.06), "edgecolor": ink.mix(0.24), "linewidth": 0}
    for at, low, high in stretches(shape):
        at = np.where(at >= shape.nyquist, max(right, shape.nyquist), at)
        for limit, beyond, drawn in ((high, top, np.isfinite(high)), (low, bottom, low > 0)):
            if not drawn.any():
                continue
            rim = np.clip(heights(shape, limit), bottom, top)
            ax.fill_between(at, rim, beyond, hatch="////", zorder=0.6, **ground)
            _edge(ax, at, rim, beyond)


def _edge(ax: Axes, at: np.ndarray, rim: np.ndarray, beyond: float) -> None:
    """The rim of one piece of ground, and its sides; the frame of the axes is no side."""
    left, right = ax.get_xlim()
    if at[0] > left:
        at, rim = np.r_[at[0], at], np.r_[beyond, rim]
    if at[-1] < right:
        at, rim = np.r_[at, at[-1]], np.r_[rim, beyond]
    ax.plot(at, rim, color=Ink.of(ax).mix(0.5), linewidth=1.2, zorder=2, solid_joinstyle="miter")


def frequency_title(shape: FilterShape) -> str:
    """What stands across, with its unit."""
    unit = "1 = Nyquist" if shape.sampling_rate is None else "Hz"
    where = "distance from frequency 0" if shape.dimensions == 2 else "frequency"
    return f"{where} ({unit})"


def gain_title(shape: FilterShape) -> str:
    """What stands up, with its unit and what it is measured by."""
    unit, one = ("gain", "1") if shape.points else ("gain in dB", "0")
    whole = "its own mean in the pass band"
    if shape.gain == "unit":
        whole = "a gain of 1"
    elif shape.points:
        whole = "its own share of the target"
    elif shape.kind == "band-limited":
        whole = "its own level outside the stop band"
    return f"{unit}\n({one} = {whole})"
