"""Where to draw the regions of a graph that has no positions yet.

Columns by level, or by distance from the inputs; in a column, neighbors' mean height decides
(the barycenter rule of Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of
hierarchical system structures"). Nothing is drawn by chance, so a graph always looks the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, dist, sqrt
from typing import TYPE_CHECKING, NamedTuple

import networkx as nx

from shapekeeper.regions.checking import arrows

if TYPE_CHECKING:
    from shapekeeper.regions.graph import RegionGraph

__all__ = ["CANVAS", "arrange", "radius"]

CANVAS = (588.0, 480.0)
SWEEPS = 8
Point = tuple[float, float]


def radius(size: int, count: int) -> float:
    """How large a region is drawn, in pixels.

    Args:
        size: Its units.
        count: How many regions the graph has; the more, the smaller.

    Example:
        >>> radius(64, 5), radius(64, 12), radius(64, 40)
        (38.4, 22.0, 10.0)
    """
    if count <= 8:
        return min(max(28.0, 4.8 * sqrt(size)), 52.0)
    if count <= 15:
        return min(max(20.0, 2.75 * sqrt(size)), 24.0)
    return 16.0 if count <= 25 else 10.0


def arrange(graph: RegionGraph, anew: bool) -> dict[str, Point]:
    """Region name -> (x, y). Regions that have a position keep it, unless `anew`."""
    if not graph.regions:
        return {}
    radii = [radius(region.size, len(graph.regions)) for region in graph.regions]
    room = _Room(max(radii), len(graph.regions))
    wished = _placed(_ordered(_columns(graph), graph), graph, room)
    kept = {r.name: r.position for r in graph.regions if r.position is not None and not anew}
    for name in graph.names if kept else ():
        if name not in kept:
            kept[name] = _nearest_free(wished[name], kept.values(), room.pitch)
    return kept or wished


class _Room(NamedTuple):
    largest: float
    count: int

    @property
    def pitch(self) -> float:
        """The least distance between two centers: room for a name and an arrowhead."""
        return 2 * self.largest + (40 if self.count <= 8 else 28 if self.count <= 25 else 12)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height; the margin leaves room for "input", "output" and levels."""
        across, down = self.largest + 40, self.largest + 28
        return across, down, CANVAS[0] - 2 * across, CANVAS[1] - 2 * down


def _columns(graph: RegionGraph) -> list[list[str]]:
    levels = graph.levels
    place = levels if len(levels) == len(graph.regions) else _distances(graph)
    return [[n for n in graph.names if place[n] == column] for column in sorted({*place.values()})]


def _distances(graph: RegionGraph) -> dict[str, float]:
    drawing = arrows(graph)
    inputs = [region.name for region in graph.regions if region.input]
    starts = inputs or [n for n in graph.names if not drawing.pred[n]] or [graph.names[0]]
    place = dict(nx.multi_source_dijkstra_path_length(drawing, set(starts)))
    while rest := [name for name in graph.names if name not in place]:
        name, column = next(
            ((n, min(near)) for n in rest if (near := _beside(n, graph, place))), (rest[0], 0)
        )
        unconnected_output = column == 0 and graph.region(name).output
        place[name] = max(1, *place.values()) if unconnected_output else max(0, column)
    return place


def _beside(name: str, graph: RegionGraph, place: dict[str, float]) -> list[float]:
    after = [place[p.source] + 1 for p in graph.pathways if p.target == name and p.source in place]
    before = [place[p.target] - 1 for p in graph.pathways if p.source == name and p.target in place]
    return after + before


def _ordered(columns: list[list[str]], graph: RegionGraph) -> list[list[str]]:
    """The columns, each sorted by its neighbors' mean height; the best of some sweeps."""
    joined: dict[str, list[str]] = {name: [] for name in graph.names}
    for p in graph.pathways:
        joined[p.source].append(p.target)
        joined[p.target].append(p.source)
    best = columns = [list(column) for column in columns]
    for sweep in range(SWEEPS):
        for i in range(len(columns))[:: 1 if sweep % 2 == 0 else -1]:
            height = _heights(columns)
            elsewhere = {
                n: [height[m] for m in joined[n] if m not in columns[i]] for n in columns[i]
            }
            mean = {n: sum(h) / len(h) if h else height[n] for n, h in elsewhere.items()}
            columns = [*columns[:i], sorted(columns[i], key=mean.__getitem__), *columns[i + 1 :]]
        best = min(best, columns, key=lambda c: _steepness(_heights(c), graph))
    return best


def _heights(columns: list[list[str]]) -> dict[str, float]:
    return {name: (i + 0.5) / len(c) for c in columns for i, name in enumerate(c)}


def _steepness(height: dict[str, float], graph: RegionGraph) -> float:
    return sum(abs(height[p.source] - height[p.target]) for p in graph.pathways)


def _placed(columns: list[list[str]], graph: RegionGraph, room: _Room) -> dict[str, Point]:
    """Positions for the columns, without overlaps.

    Where columns stand closer than regions are wide, neighboring columns use different rows
    ("lanes"); a column with more regions than its rows becomes several.
    """
    left, top, width, height = room.box
    rows, lanes, columns = _fitting(columns, width, height, room.pitch)
    step = width / max(1, len(columns) - 1)
    places: dict[str, Point] = {}
    for i, column in enumerate(columns):
        x = left + step * i if len(columns) > 1 else CANVAS[0] / 2
        if lanes == 1:
            ys = _spread(len(column), rows, height)
        else:
            ys = _lane(len(column), range(i % lanes, rows, lanes), height / (rows - 1))
        places |= {name: (x, top + y) for name, y in zip(column, ys, strict=True)}
    places = _centered(places)
    return _stepped_aside(places, columns, graph, room) if lanes == 1 else places


def _stepped_aside(
    places: dict[str, Point], columns: list[list[str]], graph: RegionGraph, room: _Room
) -> dict[str, Point]:
    """The positions after columns that stand in the way of a level pathway moved up or down."""
    blocking = [c for c in columns if any(_is_in_the_way(name, places, graph) for name in c)]
    for i, column in enumerate(blocking):
        ys = [places[name][1] for name in column]
        up, down = min(ys) - room.box[1], CANVAS[1] - room.box[1] - max(ys)
        aside = min(room.largest + 8, max(0.0, up if i % 2 == 0 else down))
        for name, y in zip(column, ys, strict=True):
            places[name] = (places[name][0], float(round(y - aside if i % 2 == 0 else y + aside)))
    return places


def _is_in_the_way(name: str, places: dict[str, Point], graph: RegionGraph) -> bool:
    x, y = places[name]
    ends = ((places[p.source], places[p.target]) for p in graph.pathways)
    return any(a[1] == b[1] == y and min(a[0], b[0]) < x < max(a[0], b[0]) for a, b in ends)


def _fitting(
    columns: list[list[str]], width: float, height: float, pitch: float
) -> tuple[int, int, list[list[str]]]:
    while True:
        rows = int(height // pitch) + 1
        for lanes in range(1, rows + 1):
            split = [part for column in columns for part in _parted(column, rows // lanes)]
            if (len(split) - 1) * pitch <= width * lanes:
                return rows, lanes, split
        pitch *= 0.9


def _parted(column: list[str], most: int) -> list[list[str]]:
    parts = ceil(len(column) / most)
    return [column[i::parts] for i in range(parts)]


def _spread(count: int, rows: int, height: float) -> list[float]:
    step = max(height / count, height / max(1, rows - 1) if rows > 1 else 0.0)
    return [height / 2 + step * (i - (count - 1) / 2) for i in range(count)]


def _lane(count: int, rows: Sequence[int], step: float) -> list[float]:
    return [step * rows[int((i + 0.5) * len(rows) / count)] for i in range(count)]


def _centered(places: dict[str, Point]) -> dict[str, Point]:
    ys = [y for _, y in places.values()]
    shift = CANVAS[1] / 2 - (min(ys) + max(ys)) / 2
    return {name: (float(round(x)), float(round(y + shift))) for name, (x, y) in places.items()}


def _nearest_free(wish: Point, taken: Iterable[Point], pitch: float) -> Point:
    """The point of an 8-pixel grid closest to the wish that keeps its distance from all others."""
    taken = list(taken)
    across, down = (range(40, int(side) - 39, 8) for side in CANVAS)
    grid = sorted(((float(x), float(y)) for x in across for y in down), key=lambda p: dist(p, wish))
    free = (point for point in grid if all(dist(point, other) >= pitch for other in taken))
    return next(free, wish)
