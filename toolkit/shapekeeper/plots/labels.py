"""Names that keep out of each other's way, placed when the picture is drawn.

Only then are the sizes of axes and words known; a picture that is resized arranges itself anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import IdentityTransform, Transform

from .ink import SMALL, Arranger, Ink

__all__ = ["EndLabels", "Labels", "spread"]

# Directions to try first are cheaper: right, left, above, below, then the diagonals.
ANGLES = np.radians([0, 180, 90, 270, *range(15, 90, 15), *range(105, 180, 15),
                     *range(195, 270, 15), *range(285, 360, 15)])
GAPS = np.array([0.0, 3, 7, 12, 19, 28, 40, 54, 70, 90])  # From mark to word, in points.


class Obstacles(NamedTuple):
    """Points that a word should not cover, in pixels.

    Attributes:
        at: (points, 2).
        reach: How near is too near, (points,).
        price: What covering each costs, (points,).
    """

    at: np.ndarray
    reach: np.ndarray
    price: np.ndarray


class Labels(Arranger):
    """Words beside marks: each takes the cheapest free place, with a leader if that is far.

    Args:
        ax: Where the marks are.
        marks: The lines whose points are not to be covered.
        dots: Likewise, where covering is a smaller sin.
        arrows: Ends of straight arrows in data coordinates, (n, 2, 2).
    """

    def __init__(
        self,
        ax: Axes,
        marks: Sequence[Line2D] = (),
        dots: Sequence[Line2D] = (),
        arrows: Sequence[Any] = (),
    ):
        super().__init__(ax)
        self.marks, self.dots, self.arrows = list(marks), list(dots), list(arrows)
        self.labels: list[Annotation] = []
        self.clear: list[float] = []

    def add(
        self,
        text: str,
        x: float,
        y: float,
        transform: Transform,
        *,
        clear: float = 6.0,
        **style: Any,
    ) -> None:
        """One more word for the mark at (x, y) of a transform, which reaches so many points."""
        label = self.axes.annotate(
            text,
            xy=(x, y),
            xycoords=transform,
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=style.pop("fontsize", SMALL),
            color=style.pop("color", Ink.of(self.axes).ink),
            arrowprops={
                "arrowstyle": "-",
                "color": Ink.of(self.axes).soft,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 5,
            },
            zorder=6,
            **style,
        )
        label.set_in_layout(False)
        self.labels.append(label)
        self.clear.append(clear)

    def arrange(self, renderer: Any) -> None:
        """Choose a place for each word, knowing the others'; three rounds."""
        if not self.labels:
            return
        scale = renderer.points_to_pixels(1.0)
        sizes = np.array([_size(label, renderer) for label in self.labels]) + 2 * scale
        anchors = np.array([label.xycoords.transform(label.xy) for label in self.labels])
        obstacles, places = self._obstacles(scale), anchors.copy()
        placed: set[int] = set()
        crowd = np.linalg.norm(anchors[:, None] - anchors, axis=-1)
        order = np.argsort(np.sort(crowd, axis=1)[:, 1:4].sum(1))
        for _ in range(3):
            for i in order.tolist():
                others = [j for j in placed if j != i]
                boxes = np.stack([places[others], sizes[others]], 1)
                choices, gaps = _candidates(anchors[i], sizes[i], self.clear[i], scale)
                cost = gaps / scale * 0.6 + 6.0 * (gaps > 13 * scale)
                cost += 0.1 * (np.arange(len(choices)) % len(ANGLES))
                cost += _covering(choices, sizes[i], obstacles)
                cost += _overlap(choices, sizes[i], boxes)
                cost += _leaders(choices, anchors[i], sizes[i], obstacles, boxes, scale)
                cost += _outside(choices, sizes[i], self.axes.bbox.extents)
                places[i] = choices[np.argmin(cost)]
                placed.add(i)
        for label, place, anchor, size in zip(self.labels, places, anchors, sizes, strict=True):
            label.set_position(tuple((place - anchor) / scale))
            free = np.maximum(abs(place - anchor) - size / 2, 0)
            label.arrow_patch.set_visible(bool(np.hypot(*free) > 13 * scale))

    def _obstacles(self, scale: float) -> Obstacles:
        rows = [(p, 5.5, 200.0) for line in self.marks for p in _pixels(line)]
        rows += [(p, 1.0, 4.0) for line in self.dots for p in _pixels(line)]
        for arrow in self.arrows:
            start, end = self.axes.transData.transform(arrow)
            steps = max(int(np.hypot(*(end - start)) / (5 * scale)), 2)
            rows += [(p, 1.5, 14.0) for p in np.linspace(start, end, steps)]
        at, reach, price = zip(*rows, strict=True) if rows else (np.zeros((0, 2)), [], [])
        return Obstacles(np.array(at), np.array(reach) * scale, np.array(price))


def _size(label: Annotation, renderer: Any) -> tuple[float, float]:
    box = Text.get_window_extent(label, renderer)  # The word alone, without its leader.
    return box.width, box.height


def _pixels(line: Line2D) -> np.ndarray:
    at = line.get_transform().transform(line.get_xydata())
    return at[np.isfinite(at).all(1)]


def _candidates(
    anchor: np.ndarray, size: np.ndarray, clear: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Centers of a word around its mark, (candidates, 2), and how far off each is."""
    ways = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
    gaps = np.repeat((GAPS + clear) * scale, len(ways))
    ways = np.tile(ways, (len(GAPS), 1))
    return anchor + ways * (gaps[:, None] + size / 2), gaps


def _covering(centers: np.ndarray, size: np.ndarray, obstacles: Obstacles) -> np.ndarray:
    if not len(obstacles.at):
        return np.zeros(len(centers))
    away = abs(centers[:, None] - obstacles.at) - size / 2
    return ((away < obstacles.reach[:, None]).all(-1) * obstacles.price).sum(1)


def _overlap(centers: np.ndarray, size: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    shared = (size + boxes[:, 1]) / 2 - abs(centers[:, None] - boxes[:, 0])
    return 300.0 * (shared > 0).all(-1).sum(1)


def _leaders(
    centers: np.ndarray,
    anchor: np.ndarray,
    size: np.ndarray,
    obstacles: Obstacles,
    boxes: np.ndarray,
    scale: float,
) -> np.ndarray:
    """Price of leading through other words and marks."""
    cost = np.zeros(len(centers))
    dear = obstacles.at[obstacles.price > 100]
    lines = obstacles.at[obstacles.price < 100]
    foreign = dear[np.linalg.norm(dear - anchor, axis=1) > 1.0] if len(dear) else dear
    for share in np.linspace(0.15, 0.85, 8):
        at = anchor + share * (centers - anchor)
        on_the_way = (abs(centers - at) > size / 2).any(1)  # Not yet inside its own box.
        if len(foreign):
            near = np.linalg.norm(at[:, None] - foreign, axis=-1) < 5 * scale
            cost += 80.0 * on_the_way * near.sum(1)
        inside = (abs(at[:, None] - boxes[:, 0]) < boxes[:, 1] / 2).all(-1)
        cost += 60.0 * on_the_way * inside.sum(1)
        if len(lines):
            crossed = np.linalg.norm(at[:, None] - lines, axis=-1) < 3 * scale
            cost += 5.0 * on_the_way * crossed.any(1)
    return cost


def _outside(centers: np.ndarray, size: np.ndarray, extents: np.ndarray) -> np.ndarray:
    low, high = extents[:2] - (centers - size / 2), centers + size / 2 - extents[2:]
    return 30.0 * np.maximum(np.maximum(low, high), 0).sum(1)


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Positions moved as little as possible so that neighbors are at least a gap apart.

    Args:
        positions: Where things want to be, in any order.
        gap: Smallest distance allowed.

    Returns:
        New positions in the given order; least squares, by pooling adjacent violators (Ayer and
        others 1955, An empirical distribution function for sampling with incomplete information).

    Example:
        >>> spread([0.0, 1.0, 10.0], gap=3).tolist()
        [-1.0, 2.0, 10.0]
    """
    positions = np.asarray(positions, dtype=float)
    order = np.argsort(positions, kind="stable")
    blocks: list[list[float]] = []
    for i, value in enumerate(positions[order] - gap * np.arange(len(order))):
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    pooled = np.concatenate([[np.mean(b)] * len(b) for b in blocks]) if blocks else positions
    result = np.empty(len(order))
    result[order] = pooled + gap * np.arange(len(order))
    return result


class EndLabels(Arranger):
    """Marks and names at the right ends of curves, pushed apart so that none hides another."""

    def __init__(self, ax: Axes):
        super().__init__(ax)
        self.ends: list[tuple[float, float, Transform]] = []
        self.names: list[Annotation] = []
        self.marks: list[Line2D] = []
        self.leaders: list[Line2D] = []

    def add(self, text: str, x: float, y: float, transform: Transform, look: dict) -> None:
        """One more curve, which ends at (x, y) of a transform."""
        name = self.axes.annotate(
            text,
            xy=(1, 0),
            xycoords="axes fraction",
            xytext=(24, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=Ink.around(self.axes).ink,
            annotation_clip=False,
        )
        self.leaders.append(self._line(color=look["color"], linewidth=0.8))
        self.marks.append(self._line(linestyle="none", markersize=7, **look))
        self.ends.append((x, y, transform))
        self.names.append(name)

    def _line(self, **style: Any) -> Line2D:
        line = Line2D([], [], transform=IdentityTransform(), clip_on=False, zorder=5, **style)
        self.axes.add_artist(line)
        line.set_in_layout(False)
        return line

    def arrange(self, renderer: Any) -> None:
        """Spread the marks; lead from each end to its mark, and write the name beside it."""
        if not self.ends:
            return
        scale, frame = renderer.points_to_pixels(1.0), self.axes.bbox
        ends = np.array([transform.transform((x, y)) for x, y, transform in self.ends])
        heights = [name.get_window_extent(renderer).height for name in self.names]
        wanted = spread(ends[:, 1], max(*heights, 11 * scale))
        # Back into the frame where that is possible.
        wanted -= max(wanted.max() - frame.y1, 0)
        wanted += max(frame.y0 - wanted.min(), 0)
        x = frame.x1 + 16 * scale
        for end, y, mark, leader, name in zip(
            ends, wanted, self.marks, self.leaders, self.names, strict=True
        ):
            mark.set_data([x], [y])
            leader.set_data([end[0], frame.x1 + 5 * scale, x], [end[1], y, y])
            name.set_position((24, (y - frame.y0) / scale))
