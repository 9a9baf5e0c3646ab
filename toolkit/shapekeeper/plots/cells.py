"""Masks and weights as a matrix: rows receive, columns send."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import FancyBboxPatch, Patch

from ..regions import RegionGraph
from .ink import SMALL, TINY, Ink, axes, blank, caption, points
from .sketch import strength

__all__ = ["matrix"]

FULL = 1.25  # What would be full ink in a mask; 1 stays below, or large blocks were black walls.


def matrix(
    value: Any,
    graph: RegionGraph | None = None,
    ax: Axes | None = None,
    *,
    mask: Any = None,
    limit: float | None = None,
    log: bool = False,
    legend: bool = True,
) -> Axes:
    """A mask, weights, or a region graph as a matrix; rows receive, columns send.

    Weights are shown by size, |w|, from a faint gray for 0 to full ink. A closed weight that is
    exactly 0 is left blank; one that is not 0 is a leak, and shown like any other.

    Args:
        value: A mask of bools or weights, (target, source); or a region graph, drawn with one
            cell for each pair of regions.
        graph: Regions whose borders and names are drawn; its units are the rows and columns.
        ax: Where to draw; None makes a figure.
        mask: Which weights are open, (target, source). None: those that are not exactly 0.
        limit: The |weight| that gets full ink; None: the largest. Pictures that are to be compared
            need the same limit.
        log: Three decades up to the limit instead of a linear scale.
        legend: Whether to explain the grays beside the matrix.

    Returns:
        The axes.

    Raises:
        ValueError: If the value is no matrix, or does not fit the graph or the mask.

    Example:
        >>> import shapekeeper as sk
        >>> graph = sk.regions.sense_and_act()
        >>> matrix(graph.mask(), graph).get_ylabel()
        'to'
    """
    ax = axes(ax, 5.4 if legend else 4.4, 4.6)
    blank(ax)
    _sides(ax)
    if isinstance(value, RegionGraph):
        _pairs(value, ax, legend)
    else:
        cells = _array(value)
        open_cells = cells != 0 if mask is None else _array(mask).astype(bool)
        _check(cells, open_cells, graph)
        image = _image(ax, cells, open_cells, limit, log)
        _borders(ax, cells.shape, graph)
        if legend:
            _legend(ax, image, cells, open_cells)
    return ax


def _array(value: Any) -> np.ndarray:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    return value if value.dtype == bool else np.abs(value.astype(float))


def _check(cells: np.ndarray, open_cells: np.ndarray, graph: RegionGraph | None) -> None:
    if cells.ndim != 2 or not cells.size:
        raise ValueError(
            f"Wanted a matrix (target, source), got shape {cells.shape}; "
            f"a layer with further axes needs a choice, e.g. weight[0] or weight.norm(dim=-1)."
        )
    if open_cells.shape != cells.shape:
        raise ValueError(f"Wanted a mask of shape {cells.shape}, got {open_cells.shape}.")
    if graph is not None and cells.shape != (graph.units, graph.units):
        raise ValueError(
            f"Wanted a matrix over the {graph.units} units of the graph, "
            f"({graph.units}, {graph.units}), got {cells.shape}."
        )


def _image(
    ax: Axes, cells: np.ndarray, open_cells: np.ndarray, limit: float | None, log: bool
) -> AxesImage:
    """Blank where a closed weight is exactly 0, else gray by size."""
    ink = Ink.of(ax)
    if cells.dtype == bool:
        limit, log = FULL, False
    limit = limit or float(np.nanmax(cells)) or 1.0
    norm = LogNorm(limit * 1e-3, limit, clip=True) if log else Normalize(0.0, limit, clip=True)
    shown = np.ma.masked_where(~open_cells & (cells == 0), cells.astype(float))
    # A log scale has no place for 0; an open weight that is 0 gets the faintest gray.
    shown = np.ma.maximum(shown, limit * 1e-3) if log else shown
    return ax.imshow(shown, cmap=ink.ramp(), norm=norm, aspect="equal", interpolation_stage="rgba")


def _borders(ax: Axes, shape: tuple[int, int], graph: RegionGraph | None) -> None:
    ink = Ink.of(ax)
    ax.spines[:].set(visible=True, color=ink.mix(0.35), linewidth=0.8)
    if graph is None:
        if max(shape) <= 32:  # Small enough to tell the cells apart.
            ax.hlines(np.arange(1, shape[0]) - 0.5, -0.5, shape[1] - 0.5, ink.hair, linewidth=0.8)
            ax.vlines(np.arange(1, shape[1]) - 0.5, -0.5, shape[0] - 0.5, ink.hair, linewidth=0.8)
        return
    ends = np.array([part.stop for part in graph.slices.values()]) - 0.5
    for line in (ax.axhline, ax.axvline):
        for end in ends[:-1]:
            line(end, color=ink.mix(0.35 if len(ends) <= 15 else 0.16), linewidth=0.7)
    middles = ends - np.array([region.size for region in graph.regions]) / 2
    _names(ax, middles, graph.names)


def _names(ax: Axes, middles: np.ndarray, names: tuple[str, ...]) -> None:
    """Names of the regions at both sides, as many as there is room for."""
    width, height = points(ax)
    room = min(width, height) / (abs(ax.get_ylim()[0] - ax.get_ylim()[1]) or 1.0)
    size = float(np.clip(0.8 * room * np.median(np.diff(middles, prepend=-middles[0])), 6, SMALL))
    kept, last = [], -np.inf
    for i, middle in enumerate(middles):
        if (middle - last) * room >= size:
            kept.append(i)
            last = middle
    words = [names[i] for i in kept]
    wide = max(map(len, words)) * 0.6 * size > np.diff(middles[kept], prepend=0.0).min() * room
    ax.set_xticks(middles[kept], words, rotation=90 if wide else 0)
    ax.set_yticks(middles[kept], words)
    ax.tick_params(length=0, labelsize=size, labelcolor=Ink.around(ax).ink)


def _sides(ax: Axes) -> None:
    """Rows receive, columns send: `W[target, source]`."""
    ax.xaxis.set(label_position="top", ticks_position="top")
    ax.tick_params(length=0)
    style = {"color": Ink.around(ax).soft, "fontsize": TINY}
    ax.set_xlabel("from", loc="left", **style)
    ax.set_ylabel("to", loc="top", rotation=0, **style)


def _legend(ax: Axes, image: AxesImage, cells: np.ndarray, open_cells: np.ndarray) -> None:
    ink, around = Ink.of(ax), Ink.around(ax)
    closed = Patch(facecolor=ink.paper, edgecolor=ink.mix(0.35), linewidth=0.8)
    if cells.dtype == bool:
        opened = Patch(facecolor=ink.ramp()(1 / FULL))
        count = f"open: {cells.sum():,} of {cells.size:,} ({100 * cells.mean():.0f} %)"
        share = count.replace(",", "\N{THIN SPACE}")
        _swatches(ax, {share: opened, "closed": closed})
        return
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.03, aspect=24)
    bar.set_label("|weight|", color=around.ink, fontsize=SMALL)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=TINY, labelcolor=around.soft)
    if (~open_cells & (cells == 0)).any():
        _swatches(ax, {"closed, exactly 0": closed})


def _swatches(ax: Axes, entries: dict[str, Any]) -> None:
    legend = ax.legend(
        list(entries.values()),
        list(entries),
        loc="upper left",
        bbox_to_anchor=(0, -0.01),
        ncols=len(entries),
        frameon=False,
        fontsize=TINY,
        borderpad=0,
        borderaxespad=0.4,
        handlelength=1.2,
        handleheight=1.2,
        columnspacing=1.5,
    )
    for text in legend.get_texts():
        text.set_color(Ink.around(ax).soft)


def _pairs(graph: RegionGraph, ax: Axes, legend: bool) -> None:
    """One cell for each pair of regions, as the editor draws it."""
    ink, n = Ink.of(ax), len(graph.regions)
    ax.set(xlim=(-0.6, n - 0.4), ylim=(n - 0.4, -0.6), aspect="equal")
    at = {name: i for i, name in enumerate(graph.names)}
    for i, region in enumerate(graph.regions):
        _cell(ax, i, i, facecolor=ink.mix(0.25 + 0.6 * region.density), linewidth=0)
    for p in graph.pathways:
        if p.known:
            color = ink.mix(0.2 + 0.5 * strength(p, graph))
            _cell(ax, at[p.source], at[p.target], facecolor=color, linewidth=0)
        else:
            dashed = {"edgecolor": ink.soft, "linestyle": (0, (3, 2)), "linewidth": 0.8}
            _cell(ax, at[p.source], at[p.target], size=0.66, facecolor="none", **dashed)
    absent = [(at[source], at[target]) for source, target in graph.tested_absent]
    if absent:
        ax.plot(*zip(*absent, strict=True), ".", color=ink.soft, markersize=4)
    _names(ax, np.arange(n, dtype=float), graph.names)
    if legend:
        counts = any(p.evidence for p in graph.pathways)
        solid = f"Solid: pathway, darker with {'more entries' if counts else 'density'}"
        dashed = "; dashed: never tested or not settled" * any(not p.known for p in graph.pathways)
        dots = "; dot: tested, none found" * bool(absent)
        caption(ax, f"{solid}{dashed}{dots}.", graph.note)


def _cell(ax: Axes, x: float, y: float, size: float = 0.86, **style: Any) -> None:
    corner = (x - size / 2, y - size / 2)
    box = f"round,pad=0,rounding_size={0.06 * size}"
    ax.add_patch(FancyBboxPatch(corner, size, size, boxstyle=box, mutation_aspect=1, **style))
