"""A drawn automaton as a still picture, for pages without a front end."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from math import dist
from xml.sax.saxutils import escape, quoteattr

from shapekeeper.widgets.drawn_automaton import DrawnAutomaton, DrawnState, chip_texts
from shapekeeper.widgets.drawn_places import CANVAS
from shapekeeper.widgets.region_picture import arrow_head, path_text, toward

__all__ = ["picture"]

RADIUS = 24.0
MARGIN = 64.0
Point = tuple[float, float]


def picture(drawn: DrawnAutomaton) -> str:
    """An SVG image of the drawing: a double rim where words may end, an arrow where they begin.

    Example:
        >>> from shapekeeper.constraints import Automaton
        >>> machine = Automaton({(0, "a"): 1}, start=0, ends=1)
        >>> picture(DrawnAutomaton.of(machine, 1, False)).count("<circle")
        3
    """
    place = {state.name: state.position for state in drawn.states}
    texts = chip_texts(drawn.steps)
    parts = [_arrow_between(ends, text, place, texts) for ends, text in texts.items()]
    looped = (drawn.start, drawn.start) in texts
    parts += [_state(state, state.name == drawn.start, looped) for state in drawn.states]
    xs, ys = zip(*(state.position for state in drawn.states), strict=True)
    left, top = min(0.0, *(x - MARGIN for x in xs)), min(0.0, *(y - MARGIN - 24 for y in ys))
    width = max(CANVAS[0], *(x + MARGIN for x in xs)) - left
    height = max(CANVAS[1], *(y + MARGIN for y in ys)) - top
    title = f"Grammar: {len(drawn.states)} states, symbols {', '.join(drawn.symbols)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img" aria-label={quoteattr(title)}'
        ' font-family="sans-serif" font-size="13" text-anchor="middle" color="#666">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _state(state: DrawnState, is_start: bool, looped: bool) -> str:
    x, y = state.position
    rims = [RADIUS, RADIUS - 4] if state.end else [RADIUS]
    circles = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="#fff" stroke="currentColor"/>' for r in rims
    )
    name = (
        f'<text x="{x:g}" y="{y + 4:g}" font-weight="bold" fill="currentColor">'
        f"{escape(state.name)}</text>"
    )
    across, down = (-1, 0) if looped else (0, -1)  # the start's arrow comes where no loop is
    tail, back, tip = (
        (x + far * across, y + far * down) for far in (RADIUS + 42, RADIUS + 12, RADIUS + 3)
    )
    start = _arrow(f"M{path_text(tail)}L{path_text(back)}", tip, back)
    return circles + name + (start if is_start else "")


def _arrow_between(
    ends: tuple[str, str],
    text: str,
    place: Mapping[str, Point],
    others: Container[tuple[str, str]],
) -> str:
    """A bowed arrow, or a loop above its state, with the symbols at its middle."""
    source, target = ends
    (x0, y0), (x1, y1) = place[source], place[target]
    if source == target:
        tip, back = (x0 + 10, y0 - RADIUS - 1), (x0 + 13, y0 - RADIUS - 9)
        line = (
            f"M{x0 - 10:g} {y0 - RADIUS + 1:g}C{x0 - 34:g} {y0 - 70:g} {x0 + 34:g} {y0 - 70:g} "
            f"{path_text(back)}"
        )
        middle = (x0, y0 - 56)
    else:
        foreign = [point for name, point in place.items() if name not in ends]
        foreign += [(x, y - 50) for name, (x, y) in place.items() if (name, name) in others]
        bend = _bend((x0, y0), (x1, y1), foreign, is_pair=(target, source) in others)
        start = toward((x0, y0), bend, RADIUS + 2)
        tip = toward((x1, y1), bend, RADIUS + 3)
        back = toward(tip, bend, 8)
        line = f"M{path_text(start)}Q{path_text(bend)} {path_text(back)}"
        middle = _on((x0, y0), bend, (x1, y1), 0.5)
    half = 4.0 * len(text) + 7
    chip = (
        f'<rect x="{middle[0] - half:g}" y="{middle[1] - 12:g}" width="{2 * half:g}" height="24"'
        ' rx="3" fill="#fff" stroke="currentColor"/>'
        f'<text x="{middle[0]:g}" y="{middle[1] + 4:g}" font-family="monospace"'
        f' fill="currentColor">{escape(text)}</text>'
    )
    return _arrow(line, tip, back) + chip


def _bend(a: Point, b: Point, foreign: Sequence[Point], is_pair: bool) -> Point:
    """The control point of the least bow that keeps clear of other states."""
    length = dist(a, b) or 1.0
    bows = [max(0.16, 32 / length), 0.3, 0.45, 0.6]
    choices = bows if is_pair else [0.0, *(sign * bow for bow in bows for sign in (1, -1))]
    bends = [
        ((a[0] + b[0]) / 2 - (b[1] - a[1]) * bow, (a[1] + b[1]) / 2 + (b[0] - a[0]) * bow)
        for bow in choices
    ]

    def nearest(bend: Point) -> float:
        course = [_on(a, bend, b, t / 16) for t in range(1, 16)]
        return min((dist(p, q) for p in course for q in foreign), default=2 * RADIUS)

    return next((bend for bend in bends if nearest(bend) > RADIUS + 12), max(bends, key=nearest))


def _on(a: Point, bend: Point, b: Point, t: float) -> Point:
    """A point of a quadratic curve."""
    s = 1 - t
    x, y = (s * s * a[i] + 2 * s * t * bend[i] + t * t * b[i] for i in (0, 1))
    return x, y


def _arrow(line: str, tip: Point, back: Point) -> str:
    return (
        f'<g stroke="currentColor" fill="none"><path d="{line}" stroke-width="1.5"/>'
        f'<path d="{arrow_head(tip, back)}" fill="currentColor" stroke-width="1"/></g>'
    )
