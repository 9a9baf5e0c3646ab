"""Learning curves: how loss, metric and violation went, with all seeds in sight."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Transform

from .ink import Ink, axes, caption, nudged, plain, title_axes
from .labels import EndLabels
from .runs import Run, runs_of
from .zero import zero_log

if TYPE_CHECKING:
    from shapekeeper.compare import Comparison

__all__ = ["training"]

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
    curves = {run.label: _summary(run, y) for run in runs}
    _scale(ax, y, curves)
    flat = [label for label in curves if y.startswith("violation") and _is_flat(curves[label])]
    for run in runs:
        lane = flat.index(run.label) + 1 if run.label in flat else 0
        _draw(ax, run, curves[run.label], nudged(ax, 0, -LANE * lane), ends)
    title_axes(ax, "step", _title(comparison, y))
    seeds = comparison.frame["seed"].nunique()
    caption(ax, f"Line: mean of {seeds} seeds; band: their range." if seeds > 1 else "One seed.")
    return ax


def _check(comparison: Comparison, y: str) -> None:
    frame = comparison.frame.drop(columns=["strategy", "seed", "step", "diverged"])
    columns = [c for c in frame if pd.api.types.is_numeric_dtype(frame[c])]
    if y not in columns:
        close = get_close_matches(str(y), columns, n=1)
        way_out = f"did you mean {close[0]!r}?" if close else f"there are {columns}."
        raise ValueError(f"Wanted a column of the comparison's frame, got y={y!r}; {way_out}")


def _summary(run: Run, y: str) -> pd.DataFrame:
    """Mean, low and high over the seeds for each step, up to where a seed diverged."""
    rows = run.rows
    if run.diverged:
        rows = rows[rows["step"] < rows.loc[rows["diverged"].astype(bool), "step"].min()]
    rows = rows[np.isfinite(rows[y].astype(float))]
    return rows.groupby("step")[y].agg(mean="mean", low="min", high="max")


def _is_flat(curve: pd.DataFrame) -> bool:
    return bool(len(curve)) and not curve["high"].any()


def _scale(ax: Axes, y: str, curves: dict[str, pd.DataFrame]) -> None:
    """Both axes, so that all curves have their place."""
    values = np.concatenate([curve.to_numpy().ravel() for curve in curves.values()])
    steps = np.concatenate([curve.index for curve in curves.values()] + [[0, 1]])
    ax.set_xlim(0, steps.max())
    if y.startswith("violation"):
        zero_log(ax.yaxis, values, lanes=LANE * sum(map(_is_flat, curves.values())))
    elif len(values):
        if y == "loss" and values.min() > 0 and values.max() > 5 * values.min():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
        low, high = ax.transScale.transform([(0, values.min()), (0, values.max())])[:, 1]
        pad = 0.05 * (high - low) or 0.05
        edges = ax.transScale.inverted().transform([(0, low - pad), (0, high + pad)])[:, 1]
        ax.set_ylim(*edges)


def _draw(ax: Axes, run: Run, curve: pd.DataFrame, place: Transform, ends: EndLabels) -> None:
    if not len(curve):
        return
    steps, color = curve.index.to_numpy(), run.look["color"]
    style = {"color": color, "transform": place}
    ax.plot(steps, curve["mean"], linestyle=run.dash, linewidth=1.7, zorder=3, **style)
    if run.rows["seed"].nunique() > 1:
        ax.fill_between(steps, curve["low"], curve["high"], alpha=0.15, lw=0, zorder=2, **style)
    last = float(steps[-1]), float(curve["mean"].iloc[-1])
    if run.diverged:
        bad = {"color": Ink.of(ax).bad, "markersize": 9, "markeredgewidth": 2.4}
        ax.plot(*last, "x", transform=place, zorder=5, **bad)
    name = f"{run.label}, diverged" if run.diverged else run.label
    ends.add(name, *last, place, run.look, lead=not run.diverged)


def _title(comparison: Comparison, y: str) -> str:
    name = comparison.metric_name
    known = {
        "loss": "loss on training batches",
        "metric": f"{name} on test data",
        "metric_held": f"{name} on test data, leak cut off",
        "seconds": "time (s)",
    }
    if y.startswith("violation"):
        return f"{y.replace('_', ' ').replace(':', ' of ')} (unit: {comparison.unit})"
    return known.get(y, y.replace("metric:", f"{name}, ").replace("_", " "))
