"""What the plots read from a comparison: one entry for each strategy with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..compare import Comparison
from ..strategies import Strategy
from .ink import DASHES, look

__all__ = ["Run", "runs_of", "sweeps"]


@dataclass(frozen=True)
class Run:
    """One strategy with its settings, over all seeds.

    Attributes:
        label: What the comparison calls it.
        look: Color and mark, as keywords for `ax.plot`.
        dash: Line style; members of a sweep differ by it.
        rows: Its part of the comparison's frame.
        final: The last row of each seed; empty if a seed diverged.
        seeds: How many seeds there are.
        diverged: How many of them diverged.
    """

    label: str
    look: dict[str, Any]
    dash: Any
    rows: pd.DataFrame
    final: pd.DataFrame
    seeds: int
    diverged: int

    def mean(self, column: str) -> float:
        """Mean over the seeds, at the end."""
        return float(np.asarray(self.final[column], dtype=float).mean())

    @property
    def apology(self) -> str:
        """Why there are no numbers, or nothing."""
        if not self.diverged:
            return ""
        first = self.rows.loc[self.rows["diverged"], "step"].min()
        return f"diverged by step {first:g} in {self.diverged} of {self.seeds} seeds"


def runs_of(comparison: Comparison, ax: Axes) -> list[Run]:
    """The runs of a comparison in its own order, as they look on an axes."""
    kinds = [type(s).__name__ for s in comparison.strategies.values()]
    final = comparison.final()
    found, seen = [], dict.fromkeys(kinds, 0)
    for (label, strategy), kind in zip(comparison.strategies.items(), kinds, strict=True):
        rows = comparison.frame.loc[comparison.frame["strategy"] == label]
        last = final.loc[label]
        diverged = int(last["diverged"].sum())
        dash = DASHES[seen[kind] % len(DASHES)] if kinds.count(kind) > 1 else "-"
        style = look(strategy, ax, filled=comparison.holds(label) == "always")
        last = last.iloc[:0] if diverged else last
        found.append(Run(label, style, dash, rows, last, len(comparison.seeds), diverged))
        seen[kind] += 1
    return found


def sweeps(strategies: Mapping[str, Strategy]) -> list[dict[str, float]]:
    """Strategies of one kind that differ in one number: label -> that number, in its order.

    Example:
        >>> from shapekeeper import Penalty, Projection
        >>> sweeps({"strong": Penalty(10.0), "exact": Projection(), "mild": Penalty(0.1)})
        [{'mild': 0.1, 'strong': 10.0}]
    """
    kinds: dict[type, list[str]] = {}
    for label, strategy in strategies.items():
        kinds.setdefault(type(strategy), []).append(label)
    found = [_swept({label: strategies[label] for label in labels}) for labels in kinds.values()]
    return [sweep for sweep in found if sweep]


def _swept(members: Mapping[str, Strategy]) -> dict[str, float]:
    first = next(iter(members.values()))
    if len(members) < 2:
        return {}
    settings = [[getattr(s, f.name) for s in members.values()] for f in fields(first)]
    varied = [values for values in settings if any(v != values[0] for v in values)]
    if len(varied) != 1 or not all(isinstance(v, Real) for v in varied[0]):
        return {}
    values = np.array(varied[0], dtype=float)
    labels = list(members)
    return {labels[i]: float(values[i]) for i in np.argsort(values, kind="stable")}
