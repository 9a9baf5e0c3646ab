"""Learning curves: how loss, metric and violation went, with all seeds in sight."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Transform

from ..compare import Comparison
from .ink import Ink, axes, caption, nudged, plain, title_axes
from .labels import EndLabels
from .runs import Run, runs_of
from .zero import zero_log

__all__ = ["training"]

COLUMNS = (slice(0, 1), slice(1, 4))  # Of a summary: steps, values.
LANE = 5.0  # Between curves that are 0 throughout, in points.


def training(comparison: Comparison, y: str = "metric", ax: Axes | None = None) -> Axes:
    """Learning curves of a comparison: a line for the mean of the seeds, a band for their range.

    A violation has a log axis with a shaded shelf for exactly 0, where curves that stay there lie
    side by side. A strategy with a diverged seed ends in a cross at the step where that was seen.

    Args:
        comparison: What `compare` returned.
        y: `"loss"`, `"metric"`, `"metric_held"`, `"violation"`, or any other column of numbers in
            the comparison's frame.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the frame has no such column.

    Example:
        >>> import shapekeeper as sk
        >>> found = sk.compare(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=20)
        >>> training(found, y="violation").get_xlabel()
        'step'
    """
    _check(comparison, y)
    ax = axes(ax, 7.4, 4.2)
    plain(ax)
    runs, ends = runs_of(comparison, ax), EndLabels(ax)
    curves = [_summary(run, y) for run in runs]
    _scale(ax, y, curves)
    lanes = np.cumsum([y.startswith("violation") and _is_flat(curve) for curve in curves])
    for run, curve, lane in zip(runs, curves, lanes, strict=True):
        side = -LANE * lane if y.startswith("violation") and _is_flat(curve) else 0.0
        _draw(ax, run, curve, nudged(ax, 0, side), ends)
    title_axes(ax, "step", _title(comparison, y))
    seeds = len(comparison.seeds)
    caption(ax, f"Line: mean of {seeds} seeds; band: their range." if seeds > 1 else "One seed.")
    return ax


def _check(comparison: Comparison, y: str) -> None:
    frame = comparison.frame.drop(columns=["strategy", "seed", "step", "diverged"])
    columns = [c for c in frame if pd.api.types.is_numeric_dtype(frame[c])]
    if y not in columns:
        close = get_close_matches(str(y), columns, n=1)
        way_out = f"did you mean {close[0]!r}?" if close else f"there are {columns}."
        raise ValueError(f"Wanted a column of the comparison's frame, got y={y!r}; {way_out}")


def _summary(run: Run, y: str) -> np.ndarray:
    """Step, mean, low and high over the seeds, (steps, 4), up to where a seed diverged."""
    rows = run.rows[["step", y]].astype(float)
    if run.diverged:
        rows = rows[rows["step"] < run.rows.loc[run.rows["diverged"], "step"].min()]
    found = pd.DataFrame(rows).dropna().groupby("step")[y].agg(["mean", "min", "max"])
    return found.reset_index().to_numpy(dtype=float)


def _is_flat(curve: np.ndarray) -> bool:
    return bool(len(curve)) and not curve[:, 1:].any()


def _scale(ax: Axes, y: str, curves: list[np.ndarray]) -> None:
    """Both axes, so that all curves have their place."""
    steps, values = (np.concatenate([c[:, part].ravel() for c in curves]) for part in COLUMNS)
    ax.set_xlim(0, max(steps, default=1))
    if y.startswith("violation"):
        zero_log(ax.yaxis, values, lanes=LANE * sum(map(_is_flat, curves)))
    elif len(values):
        if y == "loss" and values.min() > 0 and values.max() > 5 * values.min():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
        scale = ax.yaxis.get_transform()
        low, high = scale.transform([values.min(), values.max()])
        pad = 0.05 * (high - low) or 0.05
        ax.set_ylim(*scale.inverted().transform([low - pad, high + pad]))


def _draw(ax: Axes, run: Run, curve: np.ndarray, place: Transform, ends: EndLabels) -> None:
    if not len(curve):
        return
    steps, mean, low, high = curve.T
    style = {"color": run.look["color"], "transform": place}
    ax.plot(steps, mean, linestyle=run.dash, linewidth=1.7, zorder=3, **style)
    if run.seeds > 1:
        ax.fill_between(steps, low, high, alpha=0.15, linewidth=0, zorder=2, **style)
    if run.diverged:
        bad = {"color": Ink.of(ax).bad, "markersize": 9, "markeredgewidth": 2.4}
        ax.plot(steps[-1], mean[-1], "x", transform=place, zorder=5, **bad)
    name = f"{run.label}, diverged" if run.diverged else run.label
    ends.add(name, steps[-1], mean[-1], place, run.look, lead=not run.diverged)


def _title(comparison: Comparison, y: str) -> str:
    name = comparison.metric_name
    known = {
        "loss": "loss on training batches",
        "metric": f"{name} on test data",
        "metric_held": f"{name} on test data, leak cut off",
        "seconds": "time (s)",
        "allowed": "share that meets the constraint",
    }
    if y.startswith("violation"):
        unit = f" (unit: {comparison.unit})" if comparison.unit else ""
        return f"{y.replace('_', ' ').replace(':', ' of ')}{unit}"
    return known.get(y, y.replace("metric:", f"{name}, ").replace("_", " "))
