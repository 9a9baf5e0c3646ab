"""A drawn automaton as a still picture, for pages without a front end."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from shapekeeper.widgets.drawn_automaton import DrawnAutomaton, DrawnState
from shapekeeper.widgets.drawn_places import CANVAS
from shapekeeper.widgets.region_picture import arrow_head, path_text, toward

__all__ = ["picture"]

RADIUS = 24.0
BOW = 0.14
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
    place = {state.name: state for state in drawn.states}
    carried: dict[tuple[str, str], list[str]] = {}
    for source, symbol, target in drawn.steps:
        carried.setdefault((source, target), []).append(symbol)
    parts = [
        _step(place[source], place[target], ", ".join(symbols), (target, source) in carried)
        for (source, target), symbols in carried.items()
    ]
    parts += [_state(state, state.name == drawn.start) for state in drawn.states]
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


def _state(state: DrawnState, is_start: bool) -> str:
    x, y = state.position
    rims = [RADIUS, RADIUS - 4] if state.end else [RADIUS]
    circles = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="#fff" stroke="currentColor"/>' for r in rims
    )
    name = (
        f'<text x="{x:g}" y="{y + 4:g}" font-weight="bold" fill="currentColor">'
        f"{escape(state.name)}</text>"
    )
    tip, back = (x, y - RADIUS - 3), (x, y - RADIUS - 12)
    start = _arrow(f"M{x:g} {y - RADIUS - 42:g}L{path_text(back)}", tip, back)
    return circles + name + (start if is_start else "")


def _step(source: DrawnState, target: DrawnState, symbols: str, is_pair: bool) -> str:
    """A bowed arrow, or a loop above its state, with the symbols at its middle."""
    (x0, y0), (x1, y1) = source.position, target.position
    if source.name == target.name:
        tip, back = (x0 + 10, y0 - RADIUS - 1), (x0 + 13, y0 - RADIUS - 9)
        line = (
            f"M{x0 - 10:g} {y0 - RADIUS + 1:g}C{x0 - 34:g} {y0 - 70:g} {x0 + 34:g} {y0 - 70:g} "
            f"{path_text(back)}"
        )
        middle = (x0, y0 - 58)
    else:
        bow = BOW if is_pair else 0.0
        bend = ((x0 + x1) / 2 - (y1 - y0) * bow, (y0 + y1) / 2 + (x1 - x0) * bow)
        start = toward((x0, y0), bend, RADIUS + 2)
        tip = toward((x1, y1), bend, RADIUS + 3)
        back = toward(tip, bend, 8)
        line = f"M{path_text(start)}Q{path_text(bend)} {path_text(back)}"
        middle = ((x0 + 2 * bend[0] + x1) / 4, (y0 + 2 * bend[1] + y1) / 4)
    half = 4.5 * len(symbols) + 7 if symbols else 0
    chip = (
        f'<rect x="{middle[0] - half:g}" y="{middle[1] - 12:g}" width="{2 * half:g}" height="24"'
        ' rx="3" fill="#fff" stroke="currentColor"/>'
        f'<text x="{middle[0]:g}" y="{middle[1] + 4:g}" font-family="monospace"'
        f' fill="currentColor">{escape(symbols)}</text>'
    )
    return _arrow(line, tip, back) + chip


def _arrow(line: str, tip: Point, back: Point) -> str:
    return (
        f'<g stroke="currentColor" fill="none"><path d="{line}" stroke-width="1.5"/>'
        f'<path d="{arrow_head(tip, back)}" fill="currentColor" stroke-width="1"/></g>'
    )
