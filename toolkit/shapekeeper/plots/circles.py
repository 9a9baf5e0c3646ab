"""What moves on a circle: paths, clouds, and arrows at a point of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .ink import Ink, axes, blank, caption, nth_look
from .labels import Labels

__all__ = ["circle"]

LANE = 0.035  # Between paths that would hide each other, in radii.
FAR, SHOWN = 2.2, 1.7  # A goal beyond so many radii is shown at so many.


def circle(
    paths: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    *,
    radius: float = 1.0,
    goal: Any = None,
    cloud: Any = None,
    arrows: Mapping[str, tuple[Any, Any]] | None = None,
    ray: Any = None,
    looks: Mapping[str, dict[str, Any]] | None = None,
) -> Axes:
    """A circle about 0 with what moves on it: a dot for each step, a mark at the end.

    Several paths are drawn side by side, the first one on the circle and each of the others a
    little farther out.

    Args:
        paths: Name -> points (steps, 2) on the circle.
        ax: Where to draw; None makes a figure.
        radius: Of the circle.
        goal: A point (2,) that the paths are to come near to; a star, and a line to the nearest
            point of the circle. One that is far away is shown as a direction; one in the middle
            has no nearest point.
        cloud: Points (n, 2), pale dots.
        arrows: Name -> (foot, vector), each (2,).
        ray: A point (2,); a dashed line from the middle through it shows what is straight out.
        looks: Name -> color and mark of a path, such as `look` gives for a strategy.

    Returns:
        The axes.

    Raises:
        ValueError: If a path or the cloud is not (steps, 2).

    Example:
        >>> ax = circle({"there": [(1, 0), (0.8, 0.6)]}, goal=(3, 4))
        >>> ax.get_aspect()
        1.0
    """
    found = {name: _points(path, name) for name, path in (paths or {}).items()}
    ax = axes(ax, 5.2, 5.2)
    ink, labels = blank(ax), Labels(ax)
    around = np.linspace(0, 2 * np.pi, 361)
    ax.plot(*_at(around, radius), color=ink.mix(0.45), linewidth=1.2, zorder=1)
    ax.plot(0, 0, "+", color=ink.soft, markersize=6, zorder=1)
    ax.set_aspect("equal")
    if cloud is not None:
        dots = _points(cloud, "the cloud")
        ax.plot(*dots.T, "o", color=ink.sink, markersize=4, alpha=0.3, mew=0, zorder=2)
    if goal is not None:
        _goal(ax, np.asarray(goal, float), radius, labels)
    for k, (name, path) in enumerate(found.items()):
        style = (looks or {}).get(name) or nth_look(ax, k)
        _path(ax, name, path * (1 + LANE * k), style, labels)
    if ray is not None:
        _ray(ax, np.asarray(ray, float), labels)
    for k, (name, (foot, vector)) in enumerate((arrows or {}).items()):
        ends = np.asarray(foot, float) + np.outer([0, 1], np.asarray(vector, float))
        _arrow(ax, name, ends, k, labels)
    ax.margins(0.12)
    caption(ax, "Paths lie on the circle; drawn side by side." if len(found) > 1 else "")
    return ax


def _points(values: Any, name: str) -> np.ndarray:
    points = np.asarray(values, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"Wanted points (steps, 2) for {name!r}, got shape {points.shape}.")
    return points


def _at(angle: Any, radius: float) -> tuple[Any, Any]:
    return radius * np.cos(angle), radius * np.sin(angle)


def _goal(ax: Axes, goal: np.ndarray, radius: float, labels: Labels) -> None:
    ink = Ink.of(ax)
    star = {"marker": "*", "color": ink.source, "markersize": 13, "zorder": 5}
    distance = float(np.linalg.norm(goal))
    if distance < 1e-9 * radius:
        labels.marks += ax.plot(goal[0], goal[1], **star)
        labels.add("goal, as far from all", float(goal[0]), float(goal[1]), ax.transData)
        return
    nearest, far = radius * goal / distance, distance > FAR * radius
    shown = SHOWN * nearest if far else goal
    ax.plot(*zip(nearest, shown, strict=True), ":", color=ink.soft, linewidth=1.2, zorder=1.5)
    labels.paths.append(np.stack([nearest, shown]))
    labels.marks += ax.plot(*shown, **star)
    where = f"goal ({goal[0]:g}, {goal[1]:g}), farther this way" if far else "goal"
    labels.add(where, float(shown[0]), float(shown[1]), ax.transData)
    labels.marks += ax.plot(*nearest, "o", mfc="none", mec=ink.source, markersize=13, zorder=5)
    labels.add("nearest", float(nearest[0]), float(nearest[1]), ax.transData, clear=8)


def _path(ax: Axes, name: str, path: np.ndarray, look: dict[str, Any], labels: Labels) -> None:
    color = look["color"]
    ax.plot(*path.T, color=color, linewidth=1.0, alpha=0.7, zorder=2)
    labels.dots += ax.plot(*path.T, "o", color=color, markersize=2.6, zorder=3)
    labels.marks += ax.plot(*path[-1], linestyle="none", markersize=9, zorder=4, **look)
    labels.add(name, float(path[-1, 0]), float(path[-1, 1]), ax.transData, color=color)


def _ray(ax: Axes, through: np.ndarray, labels: Labels) -> None:
    ends = np.outer([0, SHOWN], through)
    ax.plot(*ends.T, "--", color=Ink.of(ax).soft, linewidth=1.0, zorder=1.5)
    labels.paths.append(ends)


def _arrow(ax: Axes, name: str, ends: np.ndarray, k: int, labels: Labels) -> None:
    (foot_x, foot_y), (x, y) = ends.tolist()
    color = nth_look(ax, k)["color"]
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x, y), (foot_x, foot_y), arrowprops=style, zorder=4)
    # An annotation takes no part in the limits of the axes; an invisible mark does.
    labels.marks += ax.plot(x, y, ",", alpha=0)
    labels.paths.append(ends)
    labels.add(name, x, y, ax.transData, color=color)
