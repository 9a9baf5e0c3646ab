"""How many nodes networks that grow have at each step, and what else was logged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from ..growth import Growth
from .ink import DASHES, MARKS, TINY, Ink, axes, caption, nth_look, nudged, plain, title_axes
from .labels import EndLabels
from .turns import Turn, mark_turns, turns_of

__all__ = ["growth", "run_look"]

JUDGED = ("loss", "metric")  # by a task: not to be joined across the change to another
TITLES = {
    "useful": "useful nodes",
    "loss": "loss on training batches",
    "metric": "metric on test data",
    "node_steps": "nodes, summed over the steps so far",
    "waited": "births and deaths that had to wait",
}
SHARES = (0.25, 0.5, 0.75)
COLORS = 4  # that nth_look has; from there on, lines are dashed
SPAN = 4.0  # times the least: from there on, a loss has a log axis


class Curve(NamedTuple):
    """One line of the picture.

    Attributes:
        name: What stands at its end.
        row: The runs it is of.
        turns: Their tasks.
        parts: `(steps, 4)` each: step, lower quartile, median, upper quartile.
        seeds: How many runs.
    """

    name: str
    row: str
    turns: list[Turn]
    parts: list[np.ndarray]
    seeds: int


def growth(
    found: Growth | pd.DataFrame | Mapping[str, Growth | pd.DataFrame],
    y: str | Sequence[str] = "nodes",
    ax: Axes | None = None,
    *,
    tasks: Sequence[str] = (),
    floor: float | Mapping[str, float] | None = None,
    published: float | Mapping[str, float] | None = None,
) -> Axes:
    """Nodes, loss, or whatever else was logged of networks that grow, against the step.

    A line is the median of the seeds, its band reaches from quartile to quartile. Where the task
    changes there is a hairline, and a loss or metric begins anew. Loss and metric have a log axis
    if they fall far.

    Args:
        found: What `grow` returned, or a table like its `frame`: a row for each seed and step.
            Several to be compared: name -> that.
        y: A column: `"nodes"`, `"metric"`, `"nodes:<area>"`, ...; or several, a line for each.
        ax: Where to draw; None makes a figure.
        tasks: What to call the tasks in turn; by default as the table does.
        floor: The least that can be reached, dotted: one number, or name or task -> number.
        published: What was found elsewhere at the end, a hollow triangle at the edge: one number,
            or name -> number.

    Returns:
        The axes.

    Raises:
        ValueError: If there is nothing to draw, a column is missing, a seed has two rows for one
            step, or a floor, a published number or the tasks are for something else.

    Example:
        >>> runs = pd.DataFrame({"seed": [0, 1, 0, 1], "step": [0, 0, 9, 9], "nodes": [1, 1, 5, 7]})
        >>> growth({"hard": runs}).lines[0].get_ydata().tolist()
        [1.0, 6.0]
    """
    tables = _named(found)
    columns = [y] if isinstance(y, str) else list(y)
    if wrong := [*_wrong(tables, columns, tuple(tasks))]:
        raise ValueError(" ".join(wrong))
    curves = [*_curves(tables, columns, tuple(tasks))]
    floors, others = _by_name(floor), _by_name(published)
    rows, parts = [*tables], [turn.task for curve in curves for turn in curve.turns]
    wrong = [*_strange(floors, "floor", [*rows, *parts]), *_strange(others, "published", rows)]
    if wrong:
        raise ValueError(" ".join(wrong))
    ax = axes(ax, 7.4, 4.2)
    plain(ax)
    _scale(ax, columns, curves, [*floors.values(), *others.values()])
    colors, ends = {"": Ink.of(ax).ink}, EndLabels(ax)
    for k, curve in enumerate(curves):
        style = run_look(ax, k)
        colors.setdefault(curve.row, style["color"])
        _draw(ax, curve, style, DASHES[0] if k >= COLORS else "-", ends)
    for name, value in floors.items():
        _floor(ax, curves, name, value, colors.get(name, colors[""]))
    for name, value in others.items():
        mark = {"color": colors[name], "markerfacecolor": "none", "clip_on": False}
        place = nudged(ax, 5, 0, ax.get_yaxis_transform())
        ax.plot(1, value, "<", transform=place, markersize=9, zorder=6, **mark)
    if floors:
        below = {"xytext": (-3, -3), "textcoords": "offset points", "ha": "right", "va": "top"}
        style = {"fontsize": TINY, "color": Ink.of(ax).soft}
        ax.annotate("floor", (ax.get_xlim()[1], min(floors.values())), **below, **style)
    changed = [turn for curve in curves if len(curve.turns) > 1 for turn in curve.turns]
    mark_turns(ax, changed)
    title_axes(ax, "step", _title(columns))
    seeds = max(curve.seeds for curve in curves)
    bands = f"Line: median of {seeds} seeds; band: from quartile to quartile."
    caption(
        ax,
        bands if seeds > 1 else "One seed.",
        f"Dotted: the floor ({_said(floors)})." if floors else "",
        f"Triangle at the edge: published ({_said(others)})." if others else "",
    )
    return ax


def run_look(ax: Axes, k: int) -> dict[str, Any]:
    """Color and mark of the k-th of some runs, or of the k-th area: the most different ones first.

    Example:
        >>> from matplotlib.figure import Figure
        >>> run_look(Figure().subplots(), 0)["color"] == Ink("#ffffff").sink
        True
    """
    return nth_look(ax, (3, 1, 0, 2)[k % COLORS]) | {"marker": MARKS[k % len(MARKS)]}


def _named(found: Any) -> dict[str, Any]:
    """Tables by name; what stands alone is called ""."""
    several = found if isinstance(found, Mapping) else {"": found}
    return {k: one.frame if isinstance(one, Growth) else one for k, one in several.items()}


def _by_name(values: float | Mapping[str, float] | None) -> dict[str, float]:
    """One number for all is called ""."""
    if isinstance(values, Mapping):
        return dict(values)
    return {} if values is None else {"": values}


def _wrong(tables: Mapping[str, Any], columns: list[str], tasks: tuple[str, ...]) -> Iterator[str]:
    if not tables or not columns:
        yield f"Wanted runs and a column, got {len(tables)} tables and {len(columns)} columns."
    for name, table in tables.items():
        whose = f" for {name!r}" if name else ""
        if not isinstance(table, pd.DataFrame):
            yield f"Wanted a Growth or a table{whose}, got {type(table).__name__}."
            continue
        there = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
        for column in dict.fromkeys(["seed", "step", *columns]):
            if column not in there:
                close = get_close_matches(column, there, n=1)
                way_out = f"did you mean {close[0]!r}?" if close else f"there are {there}."
                yield f"Wanted a column of numbers{whose}, got {column!r}; {way_out}"
            elif not np.isfinite(table[column].to_numpy(float)).any():
                yield f"Wanted numbers in {column!r}{whose}, got none."
        if {"seed", "step"} <= {*there} and table.duplicated(["seed", "step"]).any():
            yield (
                f"Wanted one row for each seed and step{whose}, got several. Draw different runs "
                "as {name: table}, e.g. dict([*table.groupby('row')])."
            )
        turns = table["turn"].nunique() if "turn" in table else 1
        if tasks and len(tasks) != turns:
            yield f"Wanted a name for each of {turns} tasks{whose}, got {[*tasks]}."


def _strange(values: Mapping[str, float], what: str, known: list[str]) -> Iterator[str]:
    """Complaints about numbers for what is not drawn."""
    for name in values:
        if name and name not in known:
            close = get_close_matches(name, known, n=1)
            named = [*dict.fromkeys(k for k in known if k)]
            way_out = f"did you mean {close[0]!r}?" if close else f"there are {named}."
            yield f"Wanted a {what} number of what is drawn, got one for {name!r}; {way_out}"


def _curves(
    tables: Mapping[str, pd.DataFrame], columns: list[str], tasks: tuple[str, ...]
) -> Iterator[Curve]:
    for row, table in tables.items():
        turns = turns_of(table, tasks)
        for column in columns:
            what = _kind_and_area(column)[1] or column
            name = ", ".join([row] * bool(row) + [what] * (len(columns) > 1))
            steps, values = (table[c].to_numpy(float) for c in ("step", column))
            shown = [step for step in np.unique(steps) if np.isfinite(values[steps == step]).any()]
            quartiles = [np.nanquantile(values[steps == step], SHARES) for step in shown]
            whole = np.column_stack([shown, quartiles])
            ends = [turn.end for turn in turns[:-1]] if column in JUDGED else []
            parts = np.split(whole, np.searchsorted(shown, ends, side="right"))
            seeds = len({*table["seed"].to_list()})
            yield Curve(name, row, turns, [part for part in parts if len(part)], seeds)


def _scale(ax: Axes, columns: list[str], curves: list[Curve], more: list[float]) -> None:
    """Both axes, so that all has its place."""
    whole = np.concatenate([part for curve in curves for part in curve.parts])
    heights = np.array([*whole[:, 1:].ravel(), *more])
    begin = min(turn.start for c in curves for turn in c.turns)
    ax.set_xlim(begin, max(whole[:, 0].max(), begin + 1))  # at the start there is one step only
    low, high = heights.min(), heights.max()
    if {*columns} <= {*JUDGED}:
        if low > 0 and high > SPAN * low:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
        scale = ax.yaxis.get_transform()
        low, high = scale.transform([low, high])
        pad = 0.08 * (high - low) or 0.05
        ax.set_ylim(*scale.inverted().transform([low - pad, high + pad]))
    else:
        ax.set_ylim(min(low, 0), high + 0.06 * (high - min(low, 0)) or 1)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw(ax: Axes, curve: Curve, style: dict[str, Any], dash: Any, ends: EndLabels) -> None:
    color = style["color"]
    for steps, low, middle, high in (part.T for part in curve.parts):
        ax.plot(steps, middle, color=color, linestyle=dash, linewidth=1.7, zorder=3)
        if curve.seeds > 1:
            ax.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0, zorder=2)
    if curve.name:
        step, _, middle, _ = curve.parts[-1][-1]
        ends.add(curve.name, step, middle, ax.transData, style)


def _floor(ax: Axes, curves: list[Curve], name: str, value: float, color: str) -> None:
    """Over the whole width, along some runs, or under the task that it is the floor of."""
    own = [turn for curve in curves if name == curve.row for turn in curve.turns]
    parts = own or [turn for curve in curves for turn in curve.turns if turn.task == name]
    spans = {turn[:2] for turn in parts} if name else {ax.get_xlim()}
    for span in spans:
        ax.plot(span, [value, value], ":", color=color, linewidth=1.5, zorder=2.5)


def _said(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {value:.3g}".removeprefix(": ") for name, value in values.items())


def _kind_and_area(column: str) -> tuple[str, str]:
    """What a column counts, and the area it is about; tables on disk have a space for the colon."""
    kind = re.split("[: ]", column)[0]
    return kind, column[len(kind) + 1 :]


def _title(columns: list[str]) -> str:
    kinds = dict.fromkeys(_kind_and_area(column)[0] for column in columns)
    area = _kind_and_area(columns[0])[1] if len(columns) == 1 else ""
    words = ", ".join(TITLES.get(kind, kind.replace("_", " ")) for kind in kinds)
    return f"{words} of {area}" if area else words
