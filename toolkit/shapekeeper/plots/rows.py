"""The result of a comparison as a table one can read from the back of a room."""

from __future__ import annotations

from difflib import get_close_matches
from textwrap import fill, shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..compare import Comparison
from .ink import SMALL, TINY, Ink, axes, blank, caption, decimals, number
from .runs import Run, runs_of

__all__ = ["table"]

# Where the columns stand, from left to right in shares of the width; whiskers have a span.
COLUMNS = {"strategy": 0.065, "holds": 0.32, "metric": 0.48, "held": 0.58, "gap": 0.86,
           "violation": 0.945, "time": 1.0}  # fmt: skip
WHISKERS = (0.605, 0.725)


def table(comparison: Comparison, ax: Axes | None = None, reference: str | None = None) -> Axes:
    """The summary of a comparison as a table, a row for each strategy.

    Strategy with its line and mark; from when on the shape holds; metric; metric held (after the
    constraint was enforced exactly); how that differs from the reference, paired over the seeds,
    with a 95 % interval as whisker (to the right is better; off the scale: an arrow) and number,
    pale where the interval includes zero or there is none; violation; seconds. A strategy with a
    diverged seed has a row without numbers. Nobody wins.

    Args:
        comparison: What `compare` returned.
        ax: Where to draw; None makes a figure of fitting height.
        reference: Label of the strategy that the others are set against; None: the first.

    Returns:
        The axes.

    Raises:
        ValueError: If no strategy has the reference's label.

    Example:
        >>> import shapekeeper as sk
        >>> found = sk.compare(
        ...     sk.tasks.pencil(), [sk.Unconstrained(), sk.Projection()], seeds=2, steps=20
        ... )
        >>> "Projection" in [text.get_text() for text in table(found).texts]
        True
    """
    labels = list(comparison.strategies)
    reference = labels[0] if reference is None else reference
    if reference not in labels:
        close = get_close_matches(str(reference), labels, n=1)
        way_out = f"did you mean {close[0]!r}?" if close else f"there are {labels}."
        raise ValueError(f"Wanted the label of a strategy, got {reference!r}; {way_out}")
    ax = axes(ax, 9.6, 0.75 + 0.32 * len(labels))
    ink = blank(ax)
    ax.set(xlim=(0, 1), ylim=(len(labels) - 0.5, -1.5))
    summary, runs = comparison.summary(reference=reference), runs_of(comparison, ax)
    _head(ax, comparison, reference)
    ranked = [run.label for run in runs if not run.diverged and run.label != reference]
    reach = _reach(summary.loc[ranked])
    sign = -1 if comparison.better == "lower" else 1
    digits = decimals(summary[["metric", "metric_held"]].to_numpy())
    for y, run in enumerate(runs):
        row: dict[str, Any] = summary.loc[run.label].to_dict()
        ax.axhline(y - 0.5, color=ink.hair, linewidth=0.7)
        _name(ax, y, run, row)
        if run.diverged:
            _write(ax, "metric", y, f"{run.apology}; not ranked", color=ink.bad, ha="left", x=0.42)
            continue
        ax.vlines(np.mean(WHISKERS), y - 0.35, y + 0.35, color=ink.mix(0.35), linewidth=0.8)
        _numbers(ax, y, row, digits)
        if run.label == reference:
            _write(ax, "gap", y, "reference", color=ink.soft, fontsize=TINY)
        elif np.isfinite(row["difference"]):
            ends = [sign * row[name] / reach for name in ("low", "difference", "high")]
            _whisker(ax, y, run, *ends)
            told = row["low"] > 0 or row["high"] < 0
            _write(ax, "gap", y, _paired(row, digits), color=ink.ink if told else ink.soft)
    seeds = len(comparison.seeds)
    means = f"Means of {seeds} seeds." if seeds > 1 else "One seed: no interval."
    held = "Held: the same networks after the constraint was enforced exactly, not retrained."
    unit = f" Unit of the violation: {comparison.unit}." if comparison.unit else ""
    right = "To the right of the line is better; an arrow is off the scale; pale: cannot tell."
    caption(ax, f"{means} {held}", f"{right}{unit}")
    return ax


def _write(ax: Axes, column: str, y: float, text: str, **style: Any) -> None:
    ink = Ink.of(ax)
    style = {"color": ink.ink, "fontsize": SMALL, "ha": "right", "va": "center", **style}
    ax.text(style.pop("x", COLUMNS[column]), y, text, **style)


def _head(ax: Axes, comparison: Comparison, reference: str) -> None:
    soft = {"color": Ink.of(ax).soft, "fontsize": TINY}
    left, name = {"ha": "left", **soft}, fill(comparison.metric_name, 13)
    _write(ax, "strategy", -1, "strategy", x=0, **left)
    _write(ax, "holds", -1, "shape holds", **left)
    _write(ax, "metric", -1, name, **soft)
    _write(ax, "held", -1, fill(f"{name} held", 14), fontsize=TINY, weight="bold")
    against = shorten(reference, 24, placeholder="…")
    _write(ax, "gap", -1, f"held, against {against} (95 %)", **soft)
    _write(ax, "violation", -1, "worst\nviolation", **soft)
    _write(ax, "time", -1, "time", **soft)


def _name(ax: Axes, y: int, run: Run, row: dict[str, Any]) -> None:
    ink = Ink.of(ax)
    line = {"linestyle": run.dash, "linewidth": 1.7, "markersize": 7.5, "clip_on": False}
    ax.plot([0.004, 0.027, 0.05], [y] * 3, markevery=[1], **line, **run.look)
    _write(ax, "strategy", y, shorten(run.label, 34, placeholder=" …"), ha="left")
    color = ink.good if row["holds"] == "always" else ink.soft
    _write(ax, "holds", y, str(row["holds"]), ha="left", color=color)
    _write(ax, "time", y, _seconds(row["seconds"]), color=ink.soft)


def _numbers(ax: Axes, y: int, row: dict[str, Any], digits: int) -> None:
    _write(ax, "metric", y, number(row["metric"], digits))
    _write(ax, "held", y, number(row["metric_held"], digits), weight="bold")
    violation = row["violation"]
    _write(ax, "violation", y, "0" if violation == 0 else f"{violation:.3g}")


def _whisker(ax: Axes, y: int, run: Run, low: float, mean: float, high: float) -> None:
    """Interval and mean in units of the scale's half width; an arrow if the mean is beyond."""
    middle, half = np.mean(WHISKERS), (WHISKERS[1] - WHISKERS[0]) / 2
    color = run.look["color"]
    if abs(mean) > 1:
        ends = middle + np.sign(mean) * half * np.array([0.65, 1.0])
        arrow = {"arrowstyle": "->", "linewidth": 1.6, "color": color, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", xy=(ends[1], y), xytext=(ends[0], y), arrowprops=arrow)
        return
    ends = middle + half * np.clip([low, high], -1, 1)
    ax.plot(ends, [y, y], linewidth=1.6, color=color)
    ax.plot(middle + half * mean, y, markersize=6, linestyle="none", **run.look)


def _paired(row: dict[str, Any], digits: int) -> str:
    width = (row["high"] - row["low"]) / 2
    interval = f" ± {number(width, digits)}" if np.isfinite(width) else ""
    return f"{number(row['difference'], digits, '+')}{interval}"


def _reach(rows: pd.DataFrame) -> float:
    """Half the width of the whisker's scale: at most four times a middling row's own reach."""
    reach = rows[["low", "difference", "high"]].abs().max(axis=1).dropna().sort_values().to_numpy()
    reach = reach[reach > 0]
    return float(min(reach[-1], 4 * reach[(len(reach) - 1) // 2])) if len(reach) else 1.0


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
