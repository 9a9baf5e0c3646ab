"""Births and deaths of nodes, one bar for each life."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..growth import Growth
from .growth import run_look
from .ink import SMALL, Ink, axes, caption, plain, title_axes
from .turns import mark_turns, turns_of

__all__ = ["lifetimes"]


HALF = 0.38  # height of a bar


class Life(NamedTuple):
    """Of one node, in steps; without a death it lives at the end.

    Attributes:
        node: Its number.
        area: Where it lies.
        birth: When it was born, 0 for those of the start.
        death: When it was deleted.
    """

    node: int
    area: str
    birth: int
    death: int | None = None


def lifetimes(found: Growth, seed: int | None = None, ax: Axes | None = None) -> Axes:
    """A bar for each node of one run, from its birth to its death or the end; the first lowest.

    So a network that grows is a staircase. Nodes that were deleted are pale and end in a stroke;
    each area has its color.

    Args:
        found: What `grow` returned.
        seed: Which run; by default the first.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes; node k lies at height k.

    Raises:
        ValueError: If there is no run of that seed.

    Example:
        >>> import shapekeeper as sk
        >>> task = sk.tasks.sequences(2, units=4, windows=5)
        >>> ax = lifetimes(sk.growth.grow(task, seeds=1, steps=2, start=3))
        >>> [float(bar.get_width()) for bar in ax.patches]
        [2.0, 2.0, 2.0]
    """
    seed = found.seeds[0] if seed is None else seed
    if seed not in found.seeds:
        raise ValueError(f"Wanted the seed of a run, one of {[*found.seeds]}, got {seed!r}.")
    lives, end = _lives(found, seed), len(found.counts) - 1
    ax = axes(ax, 7.4, float(np.clip(0.11 * len(lives) + 1.4, 2.4, 5.6)))
    ink = plain(ax)
    ax.grid(False, axis="y")
    ax.set(xlim=(0, end), ylim=(-0.7, max(len(lives), 4) - 0.3))
    areas = list(dict.fromkeys(life.area for life in lives))
    for k, area in enumerate(areas):
        _bars(ax, [life for life in lives if life.area == area], end, run_look(ax, k)["color"])
    if len(areas) > 1:
        names = {"labelcolor": ink.ink, "fontsize": SMALL, "handlelength": 1.2}
        ax.legend(loc="upper left", frameon=False, **names)
    turns = turns_of(found.frame)
    mark_turns(ax, turns if len(turns) > 1 else [])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    title_axes(ax, "step", "node, in order of birth")
    born, died = (
        sum(life.birth > 0 for life in lives),
        sum(life.death is not None for life in lives),
    )
    caption(
        ax,
        f"Seed {seed}: {len(lives) - born} at the start, {born} born, {died} deleted, "
        f"{len(lives) - died} at the end.{' Pale: deleted.' * bool(died)}",
    )
    return ax


def _lives(found: Growth, seed: int) -> list[Life]:
    """Of all nodes of a run, in the order of their numbers."""
    first = found.ids(0)[found.seeds.index(seed)]
    lives = {node: Life(node, area, 0) for area, nodes in first.items() for node in nodes}
    events = found.events.loc[found.events["seed"] == seed]
    for node, event, area, step in zip(
        *(events[column].to_list() for column in ("node", "event", "area", "step")), strict=True
    ):
        if event == "birth":
            lives[node] = Life(node, area, step)
        else:
            lives[node] = lives[node]._replace(death=step)
    return [lives[node] for node in sorted(lives)]


def _bars(ax: Axes, lives: list[Life], end: int, color: str) -> None:
    """Those of one area."""
    ink, places = Ink.of(ax), np.array([life.node for life in lives])
    dead = np.array([life.death is not None for life in lives])
    births = np.array([life.birth for life in lives])
    deaths = np.array([end if life.death is None else life.death for life in lives])
    shades = [ink.mix(0.33 if gone else 0.8, color) for gone in dead]
    style = {"color": shades, "linewidth": 0, "zorder": 2, "label": lives[0].area}
    ax.barh(places, deaths - births, left=births, height=2 * HALF, **style)
    strokes = places[dead] - HALF, places[dead] + HALF
    ax.vlines(deaths[dead], *strokes, color=color, linewidth=1.6, zorder=3)
