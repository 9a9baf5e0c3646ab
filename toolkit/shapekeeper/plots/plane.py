"""The trade-off plane: what a strategy gains by violating, and what is left once that is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Transform

from ..compare import Comparison
from .ink import Ink, axes, caption, nudged, plain, points, title_axes
from .labels import Labels
from .runs import Run, runs_of, sweeps
from .zero import zero_log

__all__ = ["tradeoff"]

KEY = (
    "Dots: seeds. Mark: their mean, filled if the shape holds at every step. "
    "Arrow: the leak cut off."
)
FAIR = (
    "Cut, not retrained. Retraining after the cut is another strategy (Staged) and has its own dot."
)
LANE = 13.0  # Width of one mark's lane in the gutter, in points.


def tradeoff(
    comparison: Comparison,
    guess: Mapping[str, Any] | Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The trade-off plane: violation against performance, and the arrow of the leak cut off.

    Across: the violation after training, on a log axis with a shaded gutter where it is exactly 0
    (in data coordinates x = 0). Up: the metric, turned over if lower is better, so that up is
    always better. Dots are seeds, marks their mean; a filled mark holds its shape at every step.
    The arrow ends in the gutter at (0, metric_held): the same networks after the constraint was
    enforced exactly, without retraining. Settings of one strategy are joined by a thin line. A
    strategy with a diverged seed is named below and not drawn.

    Args:
        comparison: What `compare` returned.
        guess: The reader's prediction, as hollow diamonds: a point (violation, metric), or
            {label: point or list of points} with the labels of the comparison; None values are
            left out.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: If a guess is not a point, or is for a strategy that was not compared.

    Example:
        >>> import shapekeeper as sk
        >>> found = sk.compare(
        ...     sk.tasks.pencil(), [sk.Penalty(1.0), sk.Projection()], seeds=2, steps=20
        ... )
        >>> ax = tradeoff(found, guess={"Penalty 1": (0.1, 2.0)})
        >>> ax.get_xscale()
        'symlog'
    """
    ax = axes(ax, 7.4, 5.2)
    plain(ax)
    guesses = _guesses(guess, list(comparison.strategies))
    runs = runs_of(comparison, ax)
    drawn = [run for run in runs if len(run.final)]
    _scale(ax, comparison, drawn, [point for _, point in guesses])
    labels = Labels(ax)
    for sweep in sweeps(comparison.strategies):
        _join(ax, [run for label in sweep for run in drawn if run.label == label])
    names, lanes = _names(comparison, drawn), _lanes(ax, drawn)
    for run in drawn:
        place = nudged(ax, -LANE * lanes.get(run.label, 0), 0)
        _draw(ax, run, names[run.label], labels, place)
    for label, point in guesses:
        _diamond(ax, point, next((run for run in drawn if run.label == label), None), labels)
    if guesses:
        labels.add("your guess", *guesses[0][1], ax.transData, clear=9, style="italic")
    _words(ax, comparison, [run for run in runs if not len(run.final)], bool(guesses))
    return ax


def _mean(run: Run) -> tuple[float, float]:
    return run.mean("violation"), run.mean("metric")


def _held(run: Run) -> tuple[float, float]:
    """Where the arrow ends."""
    return 0.0, run.mean("metric_held")


def _guesses(guess: Any, labels: list[str]) -> list[tuple[str, tuple[float, float]]]:
    """The guesses as (label, point); no label for a single point."""
    if guess is None:
        return []
    if not isinstance(guess, Mapping):
        return [("", point) for point in _points(guess)]
    for name in guess:
        if name not in labels:
            close = get_close_matches(str(name), labels, n=1)
            way_out = f"did you mean {close[0]!r}?" if close else f"there are {labels}."
            raise ValueError(
                f"Wanted a guess for a strategy of this comparison, got {name!r}; {way_out}"
            )
    given = {name: value for name, value in guess.items() if value is not None}
    return [(name, point) for name, value in given.items() for point in _points(value)]


def _points(value: Any) -> list[tuple[float, float]]:
    try:
        found = np.atleast_2d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        found = np.zeros((0, 0))
    if found.shape[-1] != 2 or not np.isfinite(found).all() or (found[:, 0] < 0).any():
        raise ValueError(
            f"Wanted a guess as (violation, metric), finite and with a violation from 0 up, "
            f"got {value!r}; for example (0.1, 0.9)."
        )
    return [(float(x), float(y)) for x, y in found]


def _scale(ax: Axes, comparison: Comparison, drawn: list[Run], extra: list[Any]) -> None:
    """Both axes, so that everything drawn has its place."""
    rows = [run.final[["violation", "metric", "metric_held"]].to_numpy() for run in drawn]
    x, y, held = np.concatenate([*rows, np.empty((0, 3))]).T
    more = np.reshape(np.array(extra, dtype=float), (-1, 2)).T
    heights = np.concatenate([y, held, more[1], [] if drawn else [0.0, 1.0]])
    worst, best = heights.min(), heights.max()
    if comparison.better == "lower":
        worst, best = best, worst
    room = (best - worst) or (0.5 if comparison.better == "higher" else -0.5)
    ax.set_ylim(worst - 0.06 * room, best + 0.13 * room)  # Above the best marks stand their names.
    lanes = max(_lanes(ax, drawn).values(), default=0)
    zero_log(ax.xaxis, np.concatenate([x, more[0]]), lanes=max(LANE * lanes + 2, 36))


def _lanes(ax: Axes, drawn: list[Run]) -> dict[str, int]:
    """Runs whose violation is 0 -> lane in the gutter, from 1; marks that would collide differ."""
    low, high = sorted(ax.get_ylim())
    close = 16 * (high - low) / points(ax)[1]
    lanes: dict[str, int] = {}
    heights: dict[int, list[float]] = {}
    for run in drawn:
        x, y = _mean(run)
        if x == 0:
            taken = [k for k, ys in heights.items() if any(abs(y - other) < close for other in ys)]
            lanes[run.label] = next(k for k in range(1, len(drawn) + 1) if k not in taken)
            heights.setdefault(lanes[run.label], []).append(y)
    return lanes


def _names(comparison: Comparison, drawn: list[Run]) -> dict[str, str]:
    """What to write at each mark: in a sweep the first has its name, the others their setting."""
    names = {run.label: fill(run.label, 22) for run in drawn}
    for sweep in sweeps(comparison.strategies):
        for label, value in [pair for pair in sweep.items() if pair[0] in names][1:]:
            if label.endswith(f" {value:g}"):
                names[label] = f"{value:g}"
    return names


def _join(ax: Axes, members: list[Run]) -> None:
    if len(members) > 1:
        x, y = zip(*map(_mean, members), strict=True)
        ax.plot(x, y, color=members[0].look["color"], linewidth=0.9, alpha=0.7, zorder=2)


def _draw(ax: Axes, run: Run, name: str, labels: Labels, place: Transform) -> None:
    """Seeds, mean and arrow of one run."""
    (x, y), final = _mean(run), run.final
    dots = {"color": run.look["color"], "markersize": 3.6, "markeredgewidth": 0, "zorder": 3}
    if run.seeds > 1:
        seeds = final["violation"], final["metric"]
        labels.dots += ax.plot(*seeds, "o", alpha=0.5, transform=place, **dots)
    if x > 0:
        _arrow(ax, run, labels)
    if x > 0 and run.seeds > 1:
        labels.dots += ax.plot(0 * final["violation"], final["metric_held"], "o", alpha=0.4, **dots)
    look = {"linestyle": "none", "markersize": 9, "zorder": 5, "transform": place}
    labels.marks += ax.plot(x, y, **look, **run.look)
    labels.add(name, x, y, place)


def _arrow(ax: Axes, run: Run, labels: Labels) -> None:
    start, end = _mean(run), _held(run)
    style = {"color": run.look["color"], "linewidth": 1.3, "linestyle": run.dash}
    ends = {"arrowstyle": "-|>,head_length=0.5,head_width=0.22", "shrinkA": 6, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops={**style, **ends}, zorder=4)
    labels.paths.append((start, end))


def _diamond(ax: Axes, point: tuple[float, float], run: Run | None, labels: Labels) -> None:
    """A guess, hollow, in the color of its strategy, and tied to what came of it."""
    color = run.look["color"] if run else Ink.of(ax).ink
    if run:
        # A guess in the gutter is about what is left after the cut.
        outcome = _held(run) if point[0] == 0 else _mean(run)
        x, y = zip(point, outcome, strict=True)
        ax.plot(x, y, linestyle=":", color=color, linewidth=1, zorder=2)
    look = {"markerfacecolor": "none", "markeredgecolor": color, "markeredgewidth": 1.1}
    labels.marks += ax.plot(*point, "D", markersize=12, zorder=4, **look)


def _words(ax: Axes, comparison: Comparison, left_out: list[Run], guessed: bool) -> None:
    turned = "axis turned: up is better" if comparison.better == "lower" else "up is better"
    unit = f"unit: {comparison.unit}; " if comparison.unit else ""
    x = f"violation after training ({unit}log axis)"
    title_axes(ax, x, f"{comparison.metric_name} on test data ({turned})")
    missing = [f"Not drawn: {run.label}, {run.apology}." for run in left_out]
    caption(ax, KEY, "Hollow diamond: your guess." * guessed, FAIR, *missing)
