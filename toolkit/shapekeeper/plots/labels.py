"""Names that keep out of each other's way, placed when the picture is drawn.

Only then are the sizes of axes and words known; a picture that is resized arranges itself anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import IdentityTransform, Transform
from numpy.typing import ArrayLike

from .ink import SMALL, Arranger, Ink

__all__ = ["EndLabels", "Labels", "spread"]

# Directions to try first are cheaper: right, left, above, below, then the diagonals.
DIAGONALS = [quarter + turn for quarter in (0, 90, 180, 270) for turn in range(15, 90, 15)]
ANGLES = np.radians([0, 180, 90, 270, *DIAGONALS])
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
        paths: Arrows and curves that words had better keep off, each (points, 2) in data
            coordinates and straight between its points.
    """

    def __init__(
        self,
        ax: Axes,
        marks: Sequence[Line2D] = (),
        dots: Sequence[Line2D] = (),
        paths: Sequence[Any] = (),
    ):
        super().__init__(ax)
        self.marks, self.dots, self.paths = list(marks), list(dots), list(paths)
        self.labels: list[tuple[Annotation, Transform, float]] = []
        self._state: tuple[float, ...] = ()

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
        ink = Ink.of(self.ax)
        label = self.ax.annotate(
            text,
            xy=(x, y),
            xycoords=transform,
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=style.pop("fontsize", SMALL),
            color=style.pop("color", ink.ink),
            arrowprops={
                "arrowstyle": "-",
                "color": ink.soft,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 5,
            },
            path_effects=[withStroke(linewidth=2, foreground=ink.paper)],
            zorder=6,
            **style,
        )
        label.set_in_layout(False)
        self.labels.append((label, transform, clear))

    def arrange(self, renderer: Any) -> None:
        """Choose a place for each word, knowing the others'; three rounds."""
        scale = renderer.points_to_pixels(1.0)
        words = [
            _Word(
                np.array(transform.transform(label.xy)),
                np.array(_size(label, renderer)) + 2 * scale,
                clear * scale,
            )
            for label, transform, clear in self.labels
        ]
        state = (scale, *self.ax.bbox.extents, *(x for w in words for x in (*w.anchor, *w.size)))
        if words and state != self._state:
            self._state = state
            self._arrange(words, scale)

    def _arrange(self, words: list[_Word], scale: float) -> None:
        anchors, sizes = (np.array([w[k] for w in words]) for k in (0, 1))
        obstacles, frame = self._obstacles(scale), np.array(self.ax.bbox.extents)
        choices = [word.candidates(scale) for word in words]
        alone = [w.price(c, obstacles, frame, scale) for w, c in zip(words, choices, strict=True)]
        crowd = np.sort(np.linalg.norm(anchors[:, None] - anchors, axis=-1), axis=1)
        order = np.argsort(crowd[:, 1:4].sum(1), kind="stable").tolist()
        placed: dict[int, np.ndarray] = {}
        for _ in range(3):
            for i in order:
                others = [j for j in placed if j != i]
                boxes = np.array([(placed[j], sizes[j]) for j in others]).reshape(-1, 2, 2)
                cost = alone[i] + words[i].company(choices[i], boxes, scale)
                placed[i] = choices[i][np.argmin(cost)]
        for i, (label, _, _) in enumerate(self.labels):
            dx, dy = (placed[i] - anchors[i]) / scale
            label.set_position((dx, dy))
            if label.arrow_patch is not None:
                label.arrow_patch.set_visible(bool(words[i].is_far(placed[i][None], scale)[0]))

    def _obstacles(self, scale: float) -> Obstacles:
        rows = [
            (p, line.get_markersize() / 2 + 1, 200.0) for line in self.marks for p in _pixels(line)
        ]
        rows += [(p, 1.0, 4.0) for line in self.dots for p in _pixels(line)]
        for path in self.paths:
            at = self.ax.transData.transform(path)
            for start, end in pairwise(at):
                steps = max(int(np.hypot(*(end - start)) / (6 * scale)), 2)
                rows += [(p, 1.5, 14.0) for p in np.linspace(start, end, steps)]
        at = np.array([row[0] for row in rows]).reshape(-1, 2)
        reach, price = (np.array([row[k] for row in rows]) for k in (1, 2))
        return Obstacles(at, reach * scale, price)


class _Word(NamedTuple):
    """A word to be placed: its mark, its size and how far the mark reaches, in pixels."""

    anchor: np.ndarray
    size: np.ndarray
    clear: float

    def candidates(self, scale: float) -> np.ndarray:
        """Centers around the mark, (candidates, 2); the nearest and handiest first."""
        ways = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
        gaps = np.repeat(GAPS * scale + self.clear, len(ways))[:, None]
        return self.anchor + np.tile(ways, (len(GAPS), 1)) * (gaps + self.size / 2)

    def is_far(self, centers: np.ndarray, scale: float) -> np.ndarray:
        """Whether a word there needs a leader."""
        free = np.maximum(abs(centers - self.anchor) - self.size / 2, 0)
        return np.hypot(*free.T) > self.clear + 7 * scale

    def price(
        self, centers: np.ndarray, obstacles: Obstacles, frame: np.ndarray, scale: float
    ) -> np.ndarray:
        """What each place costs whatever the other words do."""
        within = abs(obstacles.at - self.anchor) < abs(centers - self.anchor).max(0) + self.size
        obstacles = Obstacles(*(part[within.all(1)] for part in obstacles))
        order = np.arange(len(centers))
        cost = 0.6 * GAPS[order // len(ANGLES)] + 0.1 * (order % len(ANGLES))
        away = abs(centers[:, None] - obstacles.at) - self.size / 2
        cost += ((away < obstacles.reach[:, None]).all(-1) * obstacles.price).sum(1)
        low, high = frame[:2] - (centers - self.size / 2), centers + self.size / 2 - frame[2:]
        cost += 30.0 * np.maximum(np.maximum(low, high), 0).sum(1)
        far = self.is_far(centers, scale)
        cost[far] += 6.0 + self._led_through(centers[far], obstacles, scale)
        return cost

    def _led_through(self, centers: np.ndarray, obstacles: Obstacles, scale: float) -> np.ndarray:
        """Price of leaders that pass through marks or cross lines."""
        foreign = np.linalg.norm(obstacles.at - self.anchor, axis=1) > 1.0
        price = np.where(obstacles.price > 100, 80.0, 1.5)
        cost = np.zeros(len(centers))
        for at, outside in self._leader(centers):
            near = np.linalg.norm(at[:, None] - obstacles.at[foreign], axis=-1) < 4 * scale
            cost += outside * (near * price[foreign]).sum(1)
        return cost

    def company(self, centers: np.ndarray, boxes: np.ndarray, scale: float) -> np.ndarray:
        """Price of covering the words placed so far, (words, 2, 2), or leading through them."""
        shared = (self.size + boxes[:, 1]) / 2 - abs(centers[:, None] - boxes[:, 0])
        cost = 300.0 * (shared > 0).all(-1).sum(1)
        far = self.is_far(centers, scale)
        for at, outside in self._leader(centers[far]):
            inside = (abs(at[:, None] - boxes[:, 0]) < boxes[:, 1] / 2).all(-1)
            cost[far] += 60.0 * outside * inside.sum(1)
        return cost

    def _leader(self, centers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Points on the way to the mark, and whether they are outside the word's own box."""
        for share in np.linspace(0.15, 0.85, 6):
            at = self.anchor + share * (centers - self.anchor)
            yield at, (abs(centers - at) > self.size / 2).any(1)


def _size(label: Annotation, renderer: Any) -> tuple[float, float]:
    box = Text.get_window_extent(label, renderer)  # The word alone, without its leader.
    return box.width, box.height


def _pixels(line: Line2D) -> np.ndarray:
    at = line.get_transform().transform(line.get_xydata())
    return at[np.isfinite(at).all(1)]


def spread(positions: ArrayLike, gap: float) -> np.ndarray:
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
    wanted = np.asarray(positions, dtype=float)
    order = np.argsort(wanted, kind="stable")
    blocks: list[list[float]] = []
    for value in wanted[order] - gap * np.arange(len(order)):
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    pooled = np.concatenate([[np.mean(b)] * len(b) for b in blocks]) if blocks else wanted
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

    def add(
        self, text: str, x: float, y: float, transform: Transform, look: dict, *, lead: bool = True
    ) -> None:
        """One more curve, which ends at (x, y) of a transform; a leader goes there if wanted."""
        name = self.ax.annotate(
            text,
            xy=(1, 0),
            xycoords="axes fraction",
            xytext=(24, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=Ink.around(self.ax).ink,
            annotation_clip=False,
        )
        self.leaders.append(self._line(color=look["color"], linewidth=0.8, visible=lead))
        self.marks.append(self._line(linestyle="none", markersize=7, **look))
        self.ends.append((x, y, transform))
        self.names.append(name)

    def _line(self, **style: Any) -> Line2D:
        line = Line2D([], [], transform=IdentityTransform(), clip_on=False, zorder=5, **style)
        self.ax.add_artist(line)
        line.set_in_layout(False)
        return line

    def arrange(self, renderer: Any) -> None:
        """Spread the marks; lead from each end to its mark, and write the name beside it."""
        if not self.ends:
            return
        scale, frame = renderer.points_to_pixels(1.0), self.ax.bbox
        ends = np.array([transform.transform((x, y)) for x, y, transform in self.ends])
        heights = [name.get_window_extent(renderer).height for name in self.names]
        wanted = spread(ends[:, 1], max(*heights, 11 * scale))
        # Back into the frame where that is possible.
        wanted -= max(wanted.max() - frame.y1 + 6 * scale, 0)
        wanted += max(frame.y0 - wanted.min() + 6 * scale, 0)
        x = frame.x1 + 16 * scale
        for end, y, mark, leader, name in zip(
            ends, wanted, self.marks, self.leaders, self.names, strict=True
        ):
            mark.set_data([x], [y])
            leader.set_data([end[0], frame.x1 + 5 * scale, x], [end[1], y, y])
            name.set_position((24, (y - frame.y0) / scale))
