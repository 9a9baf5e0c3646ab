"""A region graph as a still picture, for pages without a front end."""

from __future__ import annotations

from math import hypot
from xml.sax.saxutils import escape, quoteattr

from shapekeeper.regions import Pathway, Region, RegionGraph
from shapekeeper.regions.arranging import CANVAS, radius

__all__ = ["arrow_head", "path_text", "picture", "toward"]

WIDTH, HEIGHT = (int(side) for side in CANVAS)
BOW = 0.1
Point = tuple[float, float]


def picture(graph: RegionGraph) -> str:
    """An SVG image of the graph; with more than 8 regions, without what was never tested.

    Example:
        >>> from shapekeeper.regions import with_memory
        >>> picture(with_memory()).count("<circle")
        5
    """
    placed = graph.arranged()
    place = {region.name: region for region in placed.regions}
    drawn = [p for p in graph.pathways if p.known or len(place) <= 8]
    lines = [_pathway(p, place[p.source], place[p.target], len(place)) for p in drawn]
    circles = [_region(region, len(place)) for region in placed.regions]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" role="img" aria-label={quoteattr(f"Region graph: {graph}")}'
        ' font-family="sans-serif" font-size="12" text-anchor="middle" color="#666">'
        f"<title>{escape(f'Region graph: {graph}')}</title>{''.join(lines + circles)}</svg>"
    )


def _at(region: Region) -> Point:
    return region.position or (0.0, 0.0)


def _region(region: Region, count: int) -> str:
    (x, y), r = _at(region), radius(region.size, count)
    ends = [word for word, on in (("input", region.input), ("output", region.output)) if on]
    lower = f"{region.size} units" if count <= 8 else ""
    label = [(region.name, 0, "bold"), (lower, 14, "normal"), (", ".join(ends), r + 14, "normal")]
    texts = [
        f'<text x="{x:g}" y="{y + down:g}" font-weight="{weight}" fill="currentColor">'
        f"{escape(text)}</text>"
        for text, down, weight in label
        if text
    ]
    circle = f'<circle cx="{x:g}" cy="{y:g}" r="{r:.1f}" fill="#fff" stroke="currentColor"/>'
    return circle + "".join(texts)


def _pathway(pathway: Pathway, source: Region, target: Region, count: int) -> str:
    """A bowed line with a head, or a crossbar where the source inhibits; dashed if untested."""
    (x0, y0), (x1, y1) = _at(source), _at(target)
    middle = ((x0 + x1) / 2 - (y1 - y0) * BOW, (y0 + y1) / 2 + (x1 - x0) * BOW)
    start = toward((x0, y0), middle, radius(source.size, count) + 2)
    tip = toward((x1, y1), middle, radius(target.size, count) + 4)
    back = toward(tip, middle, 8)
    width = 1 + 3 * pathway.density if count <= 8 and pathway.known else 1
    dash = "" if pathway.known else ' stroke-dasharray="6 4"'
    faint = "" if count <= 8 else ' opacity="0.5"'
    line = f"M{path_text(start)}Q{path_text(middle)} {path_text(back)}"
    return (
        f'<g stroke="currentColor" fill="none"{faint}>'
        f'<path d="{line}" stroke-width="{width:.1f}"{dash}/>'
        f'<path d="{arrow_head(tip, back, source.sign)}" fill="currentColor" stroke-width="1"/></g>'
    )


def arrow_head(tip: Point, back: Point, sign: int | None = None) -> str:
    """An arrowhead as a path; a crossbar for what inhibits."""
    across = ((back[1] - tip[1]) / 2, (tip[0] - back[0]) / 2)
    foot = tip if sign == -1 else back
    left = (foot[0] + across[0], foot[1] + across[1])
    right = (foot[0] - across[0], foot[1] - across[1])
    return f"M{path_text(left)}L{path_text(tip)}L{path_text(right)}Z"


def toward(start: Point, end: Point, length: float) -> Point:
    """The point so far from one point in the direction of another."""
    share = length / (hypot(end[0] - start[0], end[1] - start[1]) or 1)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def path_text(point: Point) -> str:
    """A point as paths have it."""
    return f"{point[0]:.1f} {point[1]:.1f}"
