"""Where to draw the states of an automaton that has no positions yet.

Columns by the number of steps from the start; in a column, neighbors' mean height decides (the
barycenter rule of Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of hierarchical
system structures"). Nothing is drawn by chance, so an automaton always looks the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import dist

__all__ = ["CANVAS", "arranged", "free_place"]

CANVAS = (588.0, 264.0)
ROW, FEW_ROWS = 88.0, 136.0  # between states of a column: room for a loop above one
WIDEST = 176.0  # between two columns, unless a chip is wider
STATE, LINE = 48.0, 36.0  # a circle, and what is to be seen of a line beside its chip
SWEEPS = 6
Point = tuple[float, float]


def arranged(
    names: Sequence[str], chips: Mapping[tuple[str, str], float], start: str
) -> dict[str, Point]:
    """A place for every state, in pixels; a large drawing is larger than its canvas.

    Args:
        names: Of the states.
        chips: Pairs of states that a step joins -> the width of its chip, in pixels.
        start: The first state.

    Returns:
        State name -> (x, y).

    Example:
        >>> arranged(["0", "1"], {("0", "1"): 24.0}, "0")
        {'0': (206.0, 140.0), '1': (382.0, 140.0)}
    """
    pairs = [(source, target) for source, target in chips if source != target]
    columns = _columns(names, pairs, start)
    joined: dict[str, list[str]] = {name: [] for name in names}
    for source, target in pairs:
        joined[source].append(target)
        joined[target].append(source)
    best = columns
    for sweep in range(SWEEPS):
        for i in range(len(columns))[:: 1 if sweep % 2 == 0 else -1]:
            height, here = _heights(columns), set(columns[i])
            mean = {}
            for name in columns[i]:
                far = [height[other] for other in joined[name] if other not in here]
                mean[name] = sum(far) / len(far) if far else height[name]
            columns = [*columns[:i], sorted(columns[i], key=mean.__getitem__), *columns[i + 1 :]]
        best = min(best, columns, key=lambda c: _steepness(_heights(c), pairs))
    return _placed(best, chips)


def _columns(names: Sequence[str], pairs: Sequence[tuple[str, str]], start: str) -> list[list[str]]:
    onward: dict[str, list[str]] = {name: [] for name in names}
    for source, target in pairs:
        onward[source].append(target)
    place, waiting = {start: 0}, [start]
    for name in waiting:
        for target in onward[name]:
            if target not in place:
                place[target] = place[name] + 1
                waiting.append(target)
    last = max(place.values()) + 1
    place |= {name: last for name in names if name not in place}
    columns: dict[int, list[str]] = {column: [] for column in sorted({*place.values()})}
    for name in names:
        columns[place[name]].append(name)
    return list(columns.values())


def _heights(columns: list[list[str]]) -> dict[str, float]:
    """Rows from the middle of the canvas, downwards."""
    return {name: i - (len(c) - 1) / 2 for c in columns for i, name in enumerate(c)}


def _steepness(height: dict[str, float], pairs: Sequence[tuple[str, str]]) -> float:
    return sum(abs(height[source] - height[target]) for source, target in pairs)


def _placed(columns: list[list[str]], chips: Mapping[tuple[str, str], float]) -> dict[str, Point]:
    """Columns as far apart as their widest chip needs, and farther where there is room."""
    column = {name: i for i, names in enumerate(columns) for name in names}
    least = [STATE + LINE + 24.0] * (len(columns) - 1)
    for (source, target), wide in chips.items():
        near, far = sorted((column[source], column[target]))
        if far == near + 1:
            least[near] = max(least[near], STATE + LINE + wide)
    even = min(WIDEST, (CANVAS[0] - 144) / max(1, len(least)))
    spare = CANVAS[0] - 144 - sum(least)
    gaps = [max(gap, even) for gap in least] if spare > 0 else least
    if sum(gaps) > CANVAS[0] - 144:
        gaps = [gap + max(0.0, spare) / len(least) for gap in least]
    xs = [CANVAS[0] / 2 - sum(gaps) / 2 + sum(gaps[:i]) for i in range(len(columns))]
    middle = CANVAS[1] / 2 + 8  # the start's arrow and loops stand above
    row = FEW_ROWS if max(map(len, columns)) <= 2 else ROW
    return {
        name: (float(round(x)), float(round(middle + row * height)))
        for x, names in zip(xs, columns, strict=True)
        for name, height in _heights([names]).items()
    }


def free_place(taken: Iterable[Point]) -> Point:
    """The place nearest to the middle of the canvas that keeps its distance from all others."""
    taken = list(taken)
    middle = (CANVAS[0] / 2, CANVAS[1] / 2)
    across, down = (range(48, int(side) - 47, 8) for side in CANVAS)
    grid = sorted(
        ((float(x), float(y)) for x in across for y in down), key=lambda p: dist(p, middle)
    )
    return next((p for p in grid if all(dist(p, q) >= ROW for q in taken)), middle)
