"""Singular values of matrices, such as products of many layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import axes, caption, nth_look, plain, title_axes
from .labels import EndLabels, Labels
from .laws import diamonds

__all__ = ["singular_values"]


def singular_values(
    matrices: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    looks: Mapping[str, dict[str, Any]] | None = None,
    guesses: Sequence[tuple[float, float]] = (),
) -> Axes:
    """How much a matrix stretches each direction, the loudest first, on a log axis.

    Values that rounding alone decides, of a size below the largest one times the matrix's own
    precision, are left out.

    Args:
        matrices: Name -> matrix (out, in), or several (seeds, out, in): a line for their mean on
            the log axis, and a band for their range.
        ax: Where to draw; None makes a figure.
        looks: Name -> color and mark.
        guesses: What the reader predicted, as hollow diamonds: directions and singular values.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no matrix, or one has another number of axes or is not finite.

    Example:
        >>> ax = singular_values({"a turn": [[0.0, 1.0], [-1.0, 0.0]]})
        >>> ax.lines[0].get_ydata().round(3).tolist()
        [1.0, 1.0]
    """
    if not matrices:
        raise ValueError("Wanted at least one matrix, got none.")
    found = {name: _stretches(name, matrix) for name, matrix in matrices.items()}
    ax = axes(ax, 7.4, 4.2)
    plain(ax)
    ax.set_yscale("log")
    low, high = (f([f(rows) for rows in found.values()]) for f in (np.nanmin, np.nanmax))
    room = max((high / low) ** 0.05, 1.5)
    ax.set(xlim=(1, max(rows.shape[1] for rows in found.values())), ylim=(low / room, high * room))
    labels, ends = Labels(ax), EndLabels(ax)
    for k, (name, rows) in enumerate(found.items()):
        style = (looks or {}).get(name) or nth_look(ax, k)
        # Where one of the seeds has nothing left, the mean of the others would be of other seeds.
        known = rows[:, ~np.isnan(rows).any(0)]
        rank, mean = np.arange(1, known.shape[1] + 1), np.exp(np.log(known).mean(0))
        ax.plot(rank, mean, color=style["color"], linewidth=1.7, zorder=3)
        if len(known) > 1:
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0, "zorder": 2}
            ax.fill_between(rank, known.min(0), known.max(0), **band)
        if len(rank) == rows.shape[1]:
            ends.add(name, rank[-1], mean[-1], ax.transData, style)
            continue
        labels.marks += ax.plot(rank[-1], mean[-1], linestyle="none", markersize=8, **style)
        labels.add(name, float(rank[-1]), float(mean[-1]), ax.transData)
    ax.minorticks_off()
    diamonds(ax, guesses)
    title_axes(ax, "direction, the loudest first", "singular value")
    seeds = max(map(len, found.values()))
    cut = any(np.isnan(rows).any() for rows in found.values())
    caption(
        ax,
        f"Line: mean of {seeds} seeds; band: their range." if seeds > 1 else "",
        "A line that ends early goes on below what can be told from rounding." if cut else "",
    )
    return ax


def _stretches(name: str, matrix: Any) -> np.ndarray:
    """Singular values (seeds, rank), falling; NaN where rounding decides."""
    values = np.asarray(matrix)
    values = values if values.dtype.kind == "f" else values.astype(float)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"Wanted finite numbers (out, in) or (seeds, out, in) for {name!r}, got shape "
            f"{np.shape(matrix)}."
        )
    found = np.linalg.svd(values, compute_uv=False).astype(float)
    least = max(values.shape[1:]) * np.finfo(values.dtype).eps * found[:, :1]
    return np.where(found > least, found, np.nan)
