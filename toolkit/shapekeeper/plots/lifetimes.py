"""Births and deaths of nodes, one bar for each life."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..growth import Growth
from .ink import SMALL, Ink, axes, caption, plain, title_axes
from .growth import run_look
from .turns import mark_turns, turns_of

__all__ = ["lifetimes"]


def lifetimes(found: Growth, seed: int | None = None, ax: Axes | None = None) -> Axes:
    """A bar for each node of one run, from its birth to its death or the end; the first at the foot.

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
        >>> [bar.get_width() for bar in ax.patches]
        [2.0, 2.0, 2.0]
    """
    seed = found.seeds[0] if seed is None else seed
    if seed not in found.seeds:
        raise ValueError(f"Wanted the seed of a run, one of {[*found.seeds]}, got {seed!r}.")
    lives, end = _lives(found, seed), len(found.counts) - 1
    ax = axes(ax, 7.4, float(np.clip(0.11 * len(lives) + 1.4, 2.4, 5.6)))
    ink = plain(ax)
    ax.grid(False, axis="y")
    ax.set(xlim=(0, end), ylim=(-1, max(len(lives), 5)))
    thick = 0.72 if len(lives) <= 60 else 0.9
    for k, (area, rows) in enumerate(lives.groupby("area", sort=False)):
        color = run_look(ax, k)["color"]
        shades = [ink.mix(0.8 if lived else 0.33, color) for lived in rows["death"].isna()]
        until = rows["death"].fillna(end)
        bars = {"height": thick, "color": shades, "linewidth": 0, "zorder": 2}
        ax.barh(rows.index, until - rows["birth"], left=rows["birth"], label=area, **bars)
        dead = rows.dropna()
        strokes = dead.index - thick / 2, dead.index + thick / 2
        ax.vlines(dead["death"], *strokes, color=color, linewidth=1.6, zorder=3)
    if lives["area"].nunique() > 1:
        names = {"labelcolor": ink.ink, "fontsize": SMALL, "handlelength": 1.2}
        ax.legend(loc="upper left", frameon=False, **names)
    mark_turns(ax, turns if len(turns := turns_of(found.frame)) > 1 else [])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    title_axes(ax, "step", "node, in order of birth")
    born, died = int((lives["birth"] > 0).sum()), int(lives["death"].notna().sum())
    caption(
        ax,
        f"Seed {seed}: {len(lives) - born} at the start, {born} born, {died} deleted, "
        f"{len(lives) - died} at the end.{' Pale: deleted.' * bool(died)}",
    )
    return ax


def _lives(found: Growth, seed: int) -> pd.DataFrame:
    """Area, birth and death of each node of a run, by its number; no death: NaN."""
    first = found.ids(0)[found.seeds.index(seed)]
    lives = {node: {"area": area, "birth": 0} for area, nodes in first.items() for node in nodes}
    events = found.events.loc[found.events["seed"] == seed]
    for event in events.itertuples():
        if event.event == "birth":
            lives[event.node] = {"area": event.area, "birth": event.step}
        else:
            lives[event.node]["death"] = event.step
    rows = pd.DataFrame.from_dict(lives, orient="index", columns=["area", "birth", "death"])
    return rows.astype({"birth": int, "death": float}).sort_index()
