"""Where the parts of a wiring picture go, in pixels of the editor's canvas; y points down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..regions import Pathway, RegionGraph
from .routes import bowed, routed, trimmed

__all__ = ["Line", "Sketch", "strength"]

CROWD = 120  # More lines than that are not all drawn in full.
# Up to so many regions: smallest and largest radius, and radius for the root of one unit.
RADII = ((8, 28, 52, 4.8), (15, 20, 24, 2.75), (25, 16, 16, 4.0), (10**6, 10, 10, 2.5))


def strength(pathway: Pathway, graph: RegionGraph) -> float:
    """How strong to draw a pathway, 0 to 1: by its evidence if the graph has any, else density.

    Example:
        >>> strength(Pathway("a", "b", density=0.25), RegionGraph())
        0.25
    """
    entries = [p.evidence[0] for p in graph.pathways if p.evidence and p.known]
    if not entries:
        return pathway.density
    confirmed = pathway.evidence[0] if pathway.evidence else 0
    return float(np.log1p(confirmed) / max(np.log1p(max(entries)), 1e-9))


@dataclass(frozen=True)
class Line:
    """One line of the picture: a pathway, a pair of them, or weight where nothing was drawn.

    Attributes:
        source: Name of the region where it begins.
        target: Name of the region where it ends.
        pathway: What was drawn there, if anything.
        both: Whether it also stands for the pathway back.
        strength: How strong to draw it, 0 to 1.
    """

    source: str
    target: str
    pathway: Pathway | None
    both: bool = False
    strength: float = 0.0

    @property
    def known(self) -> bool:
        """Whether it is a pathway that was tested."""
        return self.pathway is not None and self.pathway.known


@dataclass(frozen=True)
class Sketch:
    """A graph with a position for every region, and the leaks to be drawn with it."""

    graph: RegionGraph
    leaks: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, graph: RegionGraph, means: Mapping[tuple[str, str], float] | None) -> Sketch:
        """A sketch of a graph; leaks are pairs that carry weight and have no pathway."""
        drawn = {(p.source, p.target) for p in graph.pathways}
        leaks = [pair for pair, mean in (means or {}).items() if mean > 0 and pair not in drawn]
        return cls(graph.arranged(), tuple(pair for pair in leaks if pair[0] != pair[1]))

    @property
    def many(self) -> int:
        """0 up to 8 regions, 1 up to 15, 2 beyond."""
        return int(np.searchsorted([8, 15], len(self.graph.regions)))

    @cached_property
    def centers(self) -> np.ndarray:
        """Of all regions, (regions, 2)."""
        return np.array([r.position for r in self.graph.regions], float).reshape(-1, 2)

    @cached_property
    def radii(self) -> np.ndarray:
        """Of all regions: the editor's sizes, but with areas in strict proportion to the units."""
        roots = np.sqrt([region.size for region in self.graph.regions])
        if not len(roots):
            return roots
        _, least, most, usual = next(row for row in RADII if len(roots) <= row[0])
        between = np.linalg.norm(self.centers[:, None] - self.centers, axis=-1)
        np.fill_diagonal(between, np.inf)
        room = 0.72 * (between / (roots[:, None] + roots)).min()  # The rest is for arrows.
        return roots * min(max(usual, least / roots.min()), most / roots.max(), room)

    def index(self, name: str) -> int:
        """Which region has that name."""
        return self.graph.names.index(name)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every line of the picture; beyond eight regions a pair of pathways is one line."""
        return (*self._pathways(), *(Line(*pair, None) for pair in self.leaks))

    def _pathways(self) -> Iterator[Line]:
        by_ends = {(p.source, p.target): p for p in self.graph.pathways}
        done = set()
        for (source, target), pathway in by_ends.items():
            back = by_ends.get((target, source))
            both = bool(self.many and back and back.known == pathway.known)
            if (source, target) not in done:
                members = [pathway, back] if both and back else [pathway]
                done.update((p.source, p.target) for p in members)
                best = max(strength(p, self.graph) for p in members)
                yield Line(source, target, pathway, both, best)

    @cached_property
    def curves(self) -> dict[Line, np.ndarray]:
        """The lines drawn in full, weakest first, with their points from rim to rim."""
        kept = self._in_full()
        ends = [(self.index(line.source), self.index(line.target)) for line in kept]
        apart = [(b, a) in ends for a, b in ends]
        bows = routed(ends, self.centers, self.radii, apart)
        found = {}
        for line, (a, b), bow in zip(kept, ends, bows, strict=True):
            whole = bowed(self.centers[a], self.centers[b], bow, 160)
            found[line] = trimmed(whole, self.radii[a] + 3, self.radii[b] + 3)
        return dict(sorted(found.items(), key=lambda pair: pair[0].strength))

    def _in_full(self) -> list[Line]:
        """All lines; in a crowd the two strongest of each region; leaks only if there is room."""
        drawn = [line for line in self.lines if line.pathway or not self.many]
        if len(drawn) <= CROWD:
            return drawn
        kept = set()
        for name in self.graph.names:
            own = [line for line in drawn if name in (line.source, line.target)]
            kept.update(sorted(own, key=lambda line: -line.strength)[:2])
        return [line for line in drawn if line in kept]

    @cached_property
    def hairs(self) -> dict[Line, np.ndarray]:
        """The other lines, with their points."""
        return {
            line: bowed(
                self.centers[self.index(line.source)], self.centers[self.index(line.target)], 0.08
            )
            for line in self.lines
            if line not in self.curves
        }

    @cached_property
    def columns(self) -> dict[float, float]:
        """Level -> x, if all regions have a level and every level is a column."""
        levels = self.graph.levels
        if len(levels) < len(self.radii):
            return {}
        x = {
            level: [self.centers[self.index(n)][0] for n in levels if levels[n] == level]
            for level in sorted(set(levels.values()))
        }
        straight = all(np.ptp(column) <= 12 for column in x.values())
        return {level: float(np.mean(column)) for level, column in x.items()} if straight else {}

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of all that is drawn."""
        if not len(self.radii):
            return 0.0, 588.0, 480.0, 0.0
        reach = self.radii[:, None] + (14, 20)
        spots = [self.centers - reach, self.centers + reach, *self.curves.values()]
        for region, center, radius in zip(
            self.graph.regions, self.centers, self.radii, strict=True
        ):
            dock = radius + 46
            ends = [[-dock * bool(region.input), 0], [dock * region.output, 0]]
            spots.append(center + np.array(ends))
        low, high = np.concatenate(spots).min(0) - 6, np.concatenate(spots).max(0) + 6
        return low[0], high[0], high[1], low[1] - 24 * bool(self.columns)
