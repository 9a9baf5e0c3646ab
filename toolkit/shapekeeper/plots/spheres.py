"""A walk on a sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d import Axes3D

from .ink import TINY, Ink

__all__ = ["sphere"]

ELEVATION, AZIMUTH = 18.0, -50.0  # Where the eye is, in degrees.
PALE = 0.16  # How strong what lies behind is drawn.
AGES = 5  # Shades from the first points to the last.


def sphere(path: Any, ax: Axes | None = None, *, radius: float = 1.0, up: str = "") -> Axes:
    """A sphere seen from the side, and the points of a walk on it; what lies behind is pale.

    Early points are faint, late ones are strong; the last has a mark.

    Args:
        path: Points (steps, 3).
        ax: Where to draw, axes made with `projection="3d"`; None makes a figure.
        radius: Of the sphere.
        up: Name of the third coordinate, written at the upper pole.

    Returns:
        The axes.

    Raises:
        ValueError: If the path is not (steps, 3), or the axes are flat.

    Example:
        >>> sphere([(1, 0, 0), (0, 0, 1)]).name
        '3d'
    """
    points = np.asarray(path, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"Wanted points (steps, 3), got shape {points.shape}.")
    if ax is None:
        space = {"projection": "3d"}
        ax = plt.subplots(figsize=(5.2, 5.2), layout="constrained", subplot_kw=space)[1]
    if not isinstance(ax, Axes3D):
        raise ValueError("Wanted axes in space: plt.subplots(subplot_kw={'projection': '3d'}).")
    ink = _empty(ax)
    _globe(ax, radius, ink)
    front, age = points @ _eye() > 0, np.linspace(0, 1, len(points), endpoint=False)
    for k in range(AGES):
        for near, share in ((True, 1.0), (False, PALE)):
            part = points[(front == near) & ((age * AGES).astype(int) == k)]
            strength = share * (0.3 + 0.6 * k / AGES)
            ax.plot(*part.T, "o", color=ink.sink, alpha=strength, markersize=3.5, mew=0)
    ax.plot(*points.T, color=ink.sink, linewidth=0.5, alpha=0.2)
    ax.plot(*points[-1:].T, "o", mfc=ink.paper, mec=ink.source, mew=2, markersize=9)
    if up:
        ax.text(0, 0, 1.12 * radius, up, ha="center", fontsize=TINY + 1, color=ink.ink)
    return ax


def _empty(ax: Axes3D) -> Ink:
    """No boxes and no ticks; one scale in all directions."""
    ax.set_axis_off()
    ax.set_box_aspect((1, 1, 1), zoom=1.3)  # type: ignore[arg-type]  # the stub says int
    ax.view_init(elev=ELEVATION, azim=AZIMUTH)
    return Ink.of(ax)


def _eye() -> np.ndarray:
    up, side = np.radians([ELEVATION, AZIMUTH])
    return np.array([np.cos(up) * np.cos(side), np.cos(up) * np.sin(side), np.sin(up)])


def _globe(ax: Axes3D, radius: float, ink: Ink) -> None:
    """Circles of latitude and longitude, cut where they pass behind; and the rim."""
    turn, half = np.linspace(0, 2 * np.pi, 121), np.linspace(-np.pi / 2, np.pi / 2, 61)
    rings = [
        np.stack([np.cos(b) * np.cos(turn), np.cos(b) * np.sin(turn), np.sin(b) + 0 * turn], 1)
        for b in np.radians([-60, -30, 0, 30, 60])
    ]
    rings += [
        np.stack([np.cos(half) * np.cos(a), np.cos(half) * np.sin(a), np.sin(half)], 1)
        for a in np.radians(np.arange(0, 360, 30))
    ]
    for ring in rings:
        front = (ring @ _eye() > 0)[:, None]
        for part, share in ((front, 0.22), (~front, 0.07)):
            ax.plot(*(radius * np.where(part, ring, np.nan)).T, color=ink.mix(share), linewidth=0.8)
    ax.set(xlim=(-radius, radius), ylim=(-radius, radius), zlim=(-radius, radius))
