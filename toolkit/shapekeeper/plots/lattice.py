"""The words of a grammar as ways through layers of states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ..constraints import Grammar
from .ink import SMALL, TINY, Ink, axes, blank, caption

__all__ = ["lattice"]

Step = tuple[int, int, int, int]  # slot, state, symbol, next state

WIDEST = 40  # states of a layer that can still be told apart
NAMED = 3  # symbols of one arrow that are written out
ALONG = 0.36  # where on its arrow a symbol stands: before most arrows cross


def lattice(grammar: Grammar, scores: Any = None, ax: Axes | None = None) -> Axes:
    """The lattice of a grammar: each way from left to right is a word; the best one is thick.

    Args:
        grammar: The language; with at most 40 states in each layer.
        scores: One number for each slot and symbol, `(length, symbols)`. The way with the highest
            sum is drawn thick, each symbol has its number, and above each slot stands its largest
            entry, struck out where the best word has another one.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes; slots lie between whole numbers of x.

    Raises:
        ValueError: If the lattice is too wide, or the scores have another shape.

    Example:
        >>> import shapekeeper as sk
        >>> ax = lattice(sk.Grammar("ab|ba", length=2), [[1.0, 0.0], [2.0, 0.0]])
        >>> [text.get_text() for text in ax.texts][:2]
        ['a  1.0', 'b  0.0']
    """
    layers = grammar.lattice.layers
    sizes = [len(layer.symbols) for layer in layers] + [layers[-1].states]
    if max(sizes) > WIDEST:
        raise ValueError(
            f"Wanted a lattice of at most {WIDEST} states a layer, got {max(sizes)}. Draw a "
            "smaller grammar."
        )
    table = None if scores is None else _table(grammar, scores)
    best = [] if table is None else _best(grammar, table)
    ax = axes(ax, 1.7 * len(layers) + 0.6, 0.8 + 0.75 * max(sizes))
    ink, top = blank(ax), (max(sizes) - 1) / 2
    places = [np.arange(n)[::-1] - (n - 1) / 2 for n in sizes]
    joined: dict[tuple[int, int, int], list[int]] = {}
    for slot, state, symbol, target in _steps(grammar):
        joined.setdefault((slot, state, target), []).append(symbol)
    for (slot, state, target), symbols in joined.items():
        thick = [s for s in symbols if (slot, state, s, target) in best]
        ends = np.array([[slot, places[slot][state]], [slot + 1, places[slot + 1][target]]])
        _arrow(ax, ends, _named(grammar, table, slot, thick or symbols, len(symbols)), bool(thick))
    for slot, ys in enumerate(places):
        ax.plot(np.full(len(ys), slot), ys, "o", mfc=ink.paper, mec=ink.ink, ms=9, zorder=4)
    if table is not None:
        _largest(ax, grammar, table, best, top)
    ax.set(xlim=(-0.25, len(layers) + 0.25), ylim=(-top - 0.6, top + (1.1 if best else 0.6)))
    for slot in range(len(layers)):
        style = {"ha": "center", "va": "top", "fontsize": TINY, "color": ink.soft}
        ax.text(slot + 0.5, -top - 0.3, f"slot {slot + 1}", **style)
    many = f"{grammar.count:,} word{'' if grammar.count == 1 else 's'}"
    thick = "Thick: the one with the highest sum. Above: the largest entry of each slot alone."
    caption(ax, f"Each way from left to right is a word; {many}.", thick if best else "")
    return ax


def _table(grammar: Grammar, scores: Any) -> torch.Tensor:
    table = torch.as_tensor(scores).detach().to("cpu", torch.float64)
    if table.shape != grammar.shape:
        raise ValueError(
            f"Wanted scores of shape (length, symbols) = {grammar.shape}, got {tuple(table.shape)}."
        )
    return table


def _steps(grammar: Grammar) -> list[Step]:
    found = []
    for slot, layer in enumerate(grammar.lattice.layers):
        for state, place in np.argwhere(layer.open).tolist():
            symbol, target = layer.symbols[state, place], layer.targets[state, place]
            found.append((slot, state, int(symbol), int(target)))
    return found


def _best(grammar: Grammar, table: torch.Tensor) -> list[Step]:
    """The steps of the best word."""
    word = grammar.project(table).argmax(-1).tolist()
    steps, state, found = {s[:3]: s for s in _steps(grammar)}, 0, []
    for slot, symbol in enumerate(word):
        found.append(steps[slot, state, symbol])
        state = found[-1][3]
    return found


def _named(
    grammar: Grammar, table: torch.Tensor | None, slot: int, symbols: Sequence[int], of: int
) -> str:
    """What is written at an arrow that carries some symbols."""
    if table is not None:
        symbols = sorted(symbols, key=lambda s: -table[slot, s].item())
    names = [
        grammar.symbols[s] + ("" if table is None else f"  {table[slot, s]:.1f}".replace("-", "−"))
        for s in symbols
    ]
    more = of - min(len(names), NAMED)
    return "\n".join([*names[:NAMED], *([f"+ {more}"] if more else [])])


def _arrow(ax: Axes, ends: np.ndarray, name: str, thick: bool) -> None:
    ink = Ink.of(ax)
    color, width = (ink.sink, 3.6) if thick else (ink.mix(0.35), 1.0)
    ax.plot(*ends.T, color=color, linewidth=width, zorder=3 if thick else 2)
    x, y = ends[0] + ALONG * (ends[1] - ends[0])
    halo = [withStroke(linewidth=3, foreground=ink.paper)]
    style = {"fontsize": SMALL, "weight": "bold" if thick else "normal", "path_effects": halo}
    ax.text(x, y + 0.05, name, ha="center", va="bottom", color=ink.ink, zorder=5, **style)


def _largest(ax: Axes, grammar: Grammar, table: torch.Tensor, best: list[Step], top: float) -> None:
    """Above each slot its largest entry, struck out where the word has another."""
    ink = Ink.of(ax)
    for slot, symbol in enumerate(table.argmax(-1).tolist()):
        kept = best[slot][2] == symbol
        name, color = grammar.symbols[symbol], ink.ink if kept else ink.bad
        label = f"largest: {name}" if kept else f"largest: {name}, not taken"
        ax.text(slot + 0.5, top + 0.8, label, ha="center", fontsize=TINY, color=color)
