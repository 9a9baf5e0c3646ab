"""The wiring of a region graph, as the editor draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from ..regions import Pathway, Region, RegionGraph
from .ink import SMALL, TINY, Arranger, Ink, axes, blank, caption, points
from .labels import Labels
from .sketch import Line, Sketch

__all__ = ["wiring"]

DASHED, DOTTED = (0, (6, 4)), (0, (1, 2))
INPUT_SIDES, OUTPUT_SIDES = (180, 225, 135, 90, 270, 0), (0, 315, 45, 270, 90, 180)


def wiring(graph: RegionGraph, weights: Any = None, ax: Axes | None = None) -> Axes:
    """The regions of a graph as circles and its pathways as arrows.

    The area of a circle is in proportion to the region's units; the width of an arrow follows the
    density of the pathway, or its evidence where the graph has any. Dashed: never tested. A region
    that inhibits sends crossbars instead of arrowheads; a ring inside means thin inside. From nine
    regions on, a pair of pathways is one line with two heads; in a crowd of more than 120 lines,
    only the two strongest of each region are drawn in full.

    Args:
        graph: The regions and pathways; regions without a position get one.
        weights: A trained matrix over all units, (target, source): regions and arrows get the gray
            of their mean |weight|, and pairs that are not joined but carry weight are dotted.
        ax: Where to draw; None makes a figure.

    Returns:
        The axes; data coordinates are the pixels of the editor's canvas.

    Raises:
        ValueError: If the weights don't have a row and a column for every unit.

    Example:
        >>> import shapekeeper as sk
        >>> ax = wiring(sk.regions.sense_and_act())
        >>> [circle.get_gid() for circle in ax.patches if isinstance(circle, Circle)]
        ['eye', 'middle', 'hand']
    """
    means = None if weights is None else _means(graph, weights)
    sketch = Sketch.of(graph, means)
    ax = axes(ax, *_inches(sketch))
    ink = blank(ax)
    left, right, bottom, top = sketch.box
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    width, height = points(ax)
    pen = _Pen(ax, ink, min(width / (right - left), height / (bottom - top)), means)
    _levels(pen, sketch)
    for line, curve in sketch.hairs.items():
        _hair(pen, line, curve)
    for line, curve in sketch.curves.items():
        _line(pen, sketch, line, curve)
    for region, center, radius in zip(graph.regions, sketch.centers, sketch.radii, strict=True):
        _circle(pen, region, center, radius)
    for word, region, line in _docks(sketch):
        _dock_arrow(pen, word, region, line)
    _names(pen, sketch)
    _explain(pen, sketch)
    return ax


def _means(graph: RegionGraph, weights: Any) -> dict[tuple[str, str], float]:
    """(source, target) -> mean |weight|."""
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu()
    size = abs(np.asarray(weights, dtype=float))
    if size.shape != (graph.units, graph.units):
        raise ValueError(
            f"Wanted weights over the {graph.units} units of the graph, "
            f"({graph.units}, {graph.units}), got {size.shape}; "
            f"a compiled network has them in net.weight_matrix()."
        )
    return {
        (source, target): float(size[rows, columns].mean())
        for target, rows in graph.slices.items()
        for source, columns in graph.slices.items()
    }


def _inches(sketch: Sketch) -> tuple[float, float]:
    """Size of a figure of its own."""
    left, right, bottom, top = sketch.box
    width = float(np.clip((right - left) / 72, 4.5, 7.8))
    return width, float(np.clip(width * (bottom - top) / (right - left), 1.5, 6.4)) + 0.4


@dataclass(frozen=True)
class _Pen:
    """The axes, its colors, points per pixel of the canvas, and the mean |weight| of blocks."""

    ax: Axes
    ink: Ink
    scale: float
    means: Mapping[tuple[str, str], float] | None

    @property
    def grays(self) -> ScalarMappable:
        """From 0 to the largest mean."""
        largest = max((self.means or {}).values(), default=0.0) or 1.0
        return ScalarMappable(Normalize(0.0, largest), self.ink.ramp(0.28))

    def color(self, source: str, target: str, otherwise: str) -> Any:
        """The gray of a block, if there are weights."""
        if not self.means:
            return otherwise
        return self.grays.to_rgba(np.array([self.means[source, target]]))[0]

    def size(self, pixels: float, least: float = 6.0) -> float:
        """A font size."""
        return float(np.clip(pixels * self.scale, least, 11.0))


def _levels(pen: _Pen, sketch: Sketch) -> None:
    """Hair lines that name the levels."""
    top, bottom = sketch.box[3], sketch.box[2]
    for level, x in sketch.columns.items():
        pen.ax.plot([x, x], [top + 20, bottom], color=pen.ink.hair, linewidth=0.7, zorder=0)
        style = {"color": pen.ink.soft, "fontsize": pen.size(11, 6.5)}
        pen.ax.text(x, top + 4, f"{level:g}", ha="center", va="top", **style)


def _hair(pen: _Pen, line: Line, curve: np.ndarray) -> None:
    color = pen.color(line.source, line.target, pen.ink.mix(0.13))
    style = "-" if line.pathway else DOTTED
    pen.ax.plot(*curve.T, zorder=1, color=color, linewidth=0.6, linestyle=style)


def _line(pen: _Pen, sketch: Sketch, line: Line, curve: np.ndarray) -> None:
    """Shaft, heads and chip."""
    width, color = _stroke(pen, sketch, line)
    whole = float(np.linalg.norm(curve[-1] - curve[0]))
    head = (3.5 if sketch.many == 2 else 5.5) + 2.2 * width
    head = min(head, (0.35 if line.both else 0.6) * whole)
    gid, style = f"{line.source}→{line.target}", {"color": color, "zorder": 2 + line.strength / 2}
    shaft = _head(pen, curve, sketch.graph.region(line.source), head, gid=gid, **style)
    if line.both:
        back, gid_back = sketch.graph.region(line.target), f"{line.target}→{line.source}"
        shaft = _head(pen, shaft[::-1], back, head, gid=gid_back, **style)[::-1]
    dash = DOTTED if line.pathway is None else "-" if line.known else DASHED
    patch = PathPatch(Path(shaft), fill=False, lw=width * pen.scale, linestyle=dash, **style)
    patch.set(capstyle="butt", gid=gid)
    pen.ax.add_patch(patch)
    if not sketch.many and line.pathway:
        _chip(pen, line.pathway, curve)


def _stroke(pen: _Pen, sketch: Sketch, line: Line) -> tuple[float, Any]:
    """Width in pixels, and color."""
    slim, wide = ((1.5, 4.0), (1.0, 1.7), (0.7, 0.9))[sketch.many]
    width = slim + wide * line.strength if line.known else 0.8 * slim
    if line.known:
        color = pen.ink.mix(0.36 + 0.44 * line.strength) if sketch.many else pen.ink.ink
    else:
        color = pen.ink.mix(0.42) if sketch.many else pen.ink.soft
    return width, pen.color(line.source, line.target, color)


def _head(pen: _Pen, curve: np.ndarray, sender: Region, length: float, **style: Any) -> np.ndarray:
    """An arrowhead, or the crossbar of an inhibiting region; returns the shaft before it."""
    tip, away = curve[-1], np.linalg.norm(curve - curve[-1], axis=1)
    before = curve[away >= 0.72 * length] if (away >= length).any() else curve[:1]
    along = (tip - before[-1]) / max(np.linalg.norm(tip - before[-1]), 1e-9)
    side = 0.42 * length * np.array([-along[1], along[0]])
    if sender.sign == -1:
        corners = [tip + side, tip - side, tip - side - 3 * along, tip + side - 3 * along]
        shaft = curve
    else:
        notch, wings = tip - 0.72 * length * along, tip - length * along
        corners = [tip, wings + side, notch, wings - side]
        shaft = np.vstack([before, notch])
    pen.ax.add_patch(Polygon(corners, linewidth=0, **style))
    return shaft


def _chip(pen: _Pen, pathway: Pathway, curve: np.ndarray) -> None:
    """The density in the middle of a line, if the line is longer than the word."""
    density = f"{pathway.density:.2f}" if pathway.density >= 0.01 else f"{pathway.density:.1g}"
    word = (density if pathway.density < 1 else "1") if pathway.known else "never tested"
    size = pen.size(11, least=6.5)
    if np.linalg.norm(curve[-1] - curve[0]) * pen.scale < 0.62 * size * len(word) + 14:
        return
    box = {"boxstyle": "square,pad=0.18", "facecolor": pen.ink.paper, "edgecolor": "none"}
    style = {"ha": "center", "va": "center", "fontsize": size, "zorder": 3.5, "bbox": box}
    color = pen.ink.ink if pathway.known else pen.ink.soft
    x, y = curve[len(curve) // 2]
    pen.ax.text(x, y, word, color=color, **style)


def _circle(pen: _Pen, region: Region, place: np.ndarray, radius: float) -> None:
    center = float(place[0]), float(place[1])
    fill = pen.color(region.name, region.name, pen.ink.wash)
    rim = {"edgecolor": pen.ink.soft, "linewidth": 1.5 * pen.scale, "zorder": 4}
    circle = Circle(center, radius, facecolor=fill, gid=region.name, **rim)
    pen.ax.add_patch(circle)
    if region.density < 1:
        pen.ax.add_patch(Circle(center, 0.88 * radius, fill=False, **rim))


def _docks(sketch: Sketch) -> Iterator[tuple[str, Region, np.ndarray]]:
    """Word, region and line of each arrow that comes in from outside or goes out."""
    for region in sketch.graph.regions:
        if region.input:
            far, near = _dock(sketch, region, INPUT_SIDES)
            yield "input", region, np.linspace(far, near, 12)
        if region.output:
            far, near = _dock(sketch, region, OUTPUT_SIDES)
            yield "output", region, np.linspace(near, far, 12)


def _dock(sketch: Sketch, region: Region, sides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Far and near end of a docking arrow, on the side where least else is."""
    i = sketch.index(region.name)
    center, radius = sketch.centers[i], sketch.radii[i]
    out = np.stack([np.cos(np.radians(sides)), np.sin(np.radians(sides))], 1)
    near, far = center + (radius + 5) * out, center + (radius + 38) * out
    crowd = np.concatenate([*sketch.curves.values(), np.empty((0, 2))])
    others = np.delete(np.arange(len(sketch.radii)), i)
    lines = (np.linalg.norm(crowd - (near + far)[:, None] / 2, axis=-1) < 15).sum(1)
    gaps = np.linalg.norm(sketch.centers[others] - far[:, None], axis=-1) - sketch.radii[others]
    best = np.argmin(0.8 * np.arange(len(sides)) + 0.25 * lines + 20 * (gaps < 10).sum(1))
    return far[best], near[best]


def _dock_arrow(pen: _Pen, word: str, region: Region, line: np.ndarray) -> None:
    inward = word == "input"
    color = pen.ink.source if inward else pen.ink.sink
    gid = f"{word} {region.name}"
    shaft = _head(pen, line, Region("", 1), 9.0, color=color, zorder=3, gid=gid)
    pen.ax.plot(*shaft.T, color=color, linewidth=2 * pen.scale, zorder=3)
    far, near = (line[0], line[-1]) if inward else (line[-1], line[0])
    way = np.where(abs(far - near) > 1, np.sign(far - near), 0)
    flat = way[1] == 0
    place = near + np.array([2 * way[0], -6]) if flat else far
    across = {1: "left", -1: "right", 0: "center"}[int(way[0])]
    up = "bottom" if flat or way[1] < 0 else "top"
    style = {"color": color, "fontsize": pen.size(11, 6.5), "zorder": 5}
    pen.ax.text(place[0], place[1], word, ha=across, va=up, **style)


class _Names(Arranger):
    """Names in their circles, or beside where a circle is too small for the words."""

    def __init__(self, pen: _Pen, sketch: Sketch):
        super().__init__(pen.ax)
        self.ink = pen.ink
        self.names: list[tuple[Circle, Text, Text]] = []
        self.crowd = np.concatenate([*sketch.curves.values(), np.empty((0, 2))])

    def arrange(self, renderer: Any) -> None:
        """Measure each word and find its place."""
        pixel = abs(self.ax.transData.transform([(0, 1), (0, 0)])[:, 1] @ [1, -1])
        for circle, name, units in self.names:
            box = name.get_window_extent(renderer)
            wide = max(box.width, units.get_window_extent(renderer).width) / pixel
            line, two = box.height / pixel, bool(units.get_text())
            size = np.array([wide, (1 + two) * line])
            inside = np.hypot(*size) <= 2 * circle.radius
            place = np.array(circle.center) if inside else self._beside(circle, size)
            color = self.ink.on(circle.get_facecolor()) if inside else self.ink.ink
            halo = [] if inside else [withStroke(linewidth=2.5, foreground=self.ink.paper)]
            for row, text in enumerate((name, units)):
                y = place[1] + (row - 0.5 * two) * line
                text.set(position=(place[0], y), color=color, path_effects=halo)

    def _beside(self, circle: Circle, size: np.ndarray) -> np.ndarray:
        """Below, above, right or left of the circle, wherever the fewest lines run."""
        ways = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])
        places = circle.center + ways * (circle.radius + 3 + size / 2)
        covered = (abs(self.crowd - places[:, None]) < size / 2 + 1).all(-1).sum(1)
        return places[np.argmin(covered + 2 * np.arange(4))]


def _names(pen: _Pen, sketch: Sketch) -> None:
    if sketch.many == 2:
        return _names_in_a_crowd(pen, sketch)
    names = _Names(pen, sketch)
    circles = {p.get_gid(): p for p in pen.ax.patches if isinstance(p, Circle) and p.get_gid()}
    style = {"ha": "center", "va": "center", "zorder": 6}
    for region, (x, y) in zip(sketch.graph.regions, sketch.centers, strict=True):
        size = pen.size(12 if sketch.many else 13, 6.5)
        name = pen.ax.text(x, y, region.name, fontsize=size, weight="bold", **style)
        word = "" if sketch.many else f"{region.size} unit{'s' * (region.size != 1)}"
        units = pen.ax.text(x, y, word, fontsize=pen.size(11), **style)
        names.names.append((circles[region.name], name, units))
    return None


def _names_in_a_crowd(pen: _Pen, sketch: Sketch) -> None:
    """Short names in the circles, longer ones wherever there is room."""
    paths = [curve[::16] for curve in sketch.curves.values()]
    paths += [line[[0, -1]] for _, _, line in _docks(sketch)]
    beside, size = Labels(pen.ax, paths=paths), pen.size(11)
    for region, (x, y), radius in zip(
        sketch.graph.regions, sketch.centers, sketch.radii, strict=True
    ):
        reach = radius * pen.scale
        beside.marks += pen.ax.plot(x, y, "o", alpha=0, markersize=2 * reach)
        if 0.62 * size * len(region.name) < 1.7 * reach:
            style = {"ha": "center", "va": "center", "fontsize": size, "zorder": 6}
            fill = pen.color(region.name, region.name, pen.ink.wash)
            pen.ax.text(x, y, region.name, color=pen.ink.on(fill), **style)
        else:
            beside.add(region.name, x, y, pen.ax.transData, clear=reach + 1, fontsize=size)


def _explain(pen: _Pen, sketch: Sketch) -> None:
    """What can't be guessed from the drawing, in a line below."""
    counts = any(p.evidence for p in sketch.graph.pathways)
    facts = {
        "columns: level": bool(sketch.columns),
        "two heads: a pair of pathways": any(line.both for line in sketch.lines),
        f"thicker: {'more entries' if counts else 'denser'}": sketch.many == 1,
        "dashed: never tested or not settled": bool(sketch.many)
        and any(line.pathway and not line.known for line in sketch.lines),
        "dotted: not drawn, yet not 0": bool(sketch.leaks),
        "in full: the two strongest of each region": any(line.pathway for line in sketch.hairs),
    }
    words = "; ".join(fact for fact, holds in facts.items() if holds)
    caption(pen.ax, words[:1].upper() + words[1:] + "." * bool(words), sketch.graph.note)
    if not sketch.graph.regions:
        pen.ax.text(294, 240, "no regions yet", color=pen.ink.soft, ha="center", fontsize=SMALL)
    if pen.means:
        bar = pen.ax.figure.colorbar(pen.grays, ax=pen.ax, shrink=0.7, pad=0.02, aspect=24)
        bar.set_label("mean |weight|", color=Ink.around(pen.ax).ink, fontsize=SMALL)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=TINY, labelcolor=Ink.around(pen.ax).soft)
