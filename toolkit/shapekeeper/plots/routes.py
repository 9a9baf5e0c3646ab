"""Which way each pathway bows, so that lines keep clear of regions and of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["bowed", "routed", "trimmed"]

BOWS = 0.09 * np.arange(-6, 7)
SAMPLES, COARSE = 45, 4  # Points of a curve, and every which of them other curves look at.
CLEAR = 7.0  # Pixels between a line and a region that it does not join.
STRANDS = 30.0  # Pixels between the middles of two lines that join the same regions.


def bowed(start: np.ndarray, end: np.ndarray, bow: float, samples: int = 60) -> np.ndarray:
    """A quadratic curve from start to end, (samples, 2).

    Args:
        start: Where it begins, (2,).
        end: Where it ends, (2,).
        bow: How far its control point lies to the side, in lengths of the line.
        samples: How many points.

    Example:
        >>> bowed(np.array([0.0, 0.0]), np.array([4.0, 0.0]), bow=0.5, samples=3).tolist()
        [[0.0, 0.0], [2.0, 1.0], [4.0, 0.0]]
    """
    along = end - start
    control = (start + end) / 2 + bow * np.array([-along[1], along[0]])
    t = np.linspace(0, 1, samples)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def trimmed(curve: np.ndarray, first: float, last: float) -> np.ndarray:
    """The part of a curve that is so far from its first and its last point.

    Example:
        >>> trimmed(np.array([[0.0, 0], [2, 0], [4, 0], [6, 0]]), 1.5, 1.0).tolist()
        [[1.5, 0.0], [2.0, 0.0], [4.0, 0.0], [5.0, 0.0]]
    """
    far = np.linalg.norm(curve - curve[0], axis=1)
    near = np.linalg.norm(curve - curve[-1], axis=1)
    kept = np.flatnonzero((far >= first) & (near >= last))
    if len(kept) < 2:
        return curve[[0, -1]]
    i, j = kept[0], kept[-1]
    ends = [curve[i], curve[j]]
    if i > 0:
        ends[0] = curve[i] + (curve[i - 1] - curve[i]) * (far[i] - first) / (far[i] - far[i - 1])
    if j < len(curve) - 1:
        ends[1] = curve[j] + (curve[j + 1] - curve[j]) * (near[j] - last) / (near[j] - near[j + 1])
    return np.vstack([ends[0], curve[i : j + 1], ends[1]])


def routed(
    ends: Sequence[tuple[int, int]],
    centers: np.ndarray,
    radii: np.ndarray,
    apart: Sequence[bool],
) -> list[float]:
    """A bow for each line; shortest lines first, then once more.

    A line pays for regions it touches, for lines it crosses or runs beside, and for bowing.

    Args:
        ends: Indices of the regions that each line joins.
        centers: Of all regions, (regions, 2), in pixels.
        radii: Of all regions, (regions,), in pixels.
        apart: For each line, whether another one joins the same two regions.

    Returns:
        The bows, in lengths of the line.

    Example:
        >>> at, size = np.array([[0.0, 0.0], [100.0, 0.0], [50.0, 4.0]]), np.array([9.0, 9.0, 9.0])
        >>> routed([(0, 1)], at, size, [False])[0] < 0  # Away from the region in the middle.
        True
    """
    lengths = [np.linalg.norm(centers[a] - centers[b]) for a, b in ends]
    order = np.argsort(lengths, kind="stable").tolist()
    choices = [_choices(centers[a], centers[b], apart[i]) for i, (a, b) in enumerate(ends)]
    own = [_own_cost(*choices[i], ends[i], centers, radii) for i in range(len(ends))]
    own = [
        cost + 25 * (bows < 0) if side else cost
        for cost, (bows, _), side in zip(own, choices, apart, strict=True)
    ]
    chosen: dict[int, int] = {}
    for _ in range(2):
        for i in order:
            others = [choices[j][1][k, ::COARSE] for j, k in chosen.items() if j != i]
            mine = choices[i][1][:, ::COARSE]
            cost = own[i] + (_company(mine, np.stack(others)) if others else 0)
            chosen[i] = int(np.argmin(cost))
    return [float(choices[i][0][chosen[i]]) for i in range(len(ends))]


def _choices(start: np.ndarray, end: np.ndarray, apart: bool) -> tuple[np.ndarray, np.ndarray]:
    bows = BOWS
    if apart:
        # Each of the two bows to its own right; if that is barred, to the left beyond the other.
        least = min(max(0.18, STRANDS / np.linalg.norm(end - start)), BOWS[-1])
        bows = BOWS[(BOWS >= least - 1e-9) | (BOWS <= -least - 0.17)]
    return bows, np.stack([bowed(start, end, bow, SAMPLES) for bow in bows])


def _own_cost(
    bows: np.ndarray,
    curves: np.ndarray,
    ends: tuple[int, int],
    centers: np.ndarray,
    radii: np.ndarray,
) -> np.ndarray:
    foreign = np.setdiff1d(np.arange(len(centers)), ends)
    cost = 14 * abs(bows)
    if len(foreign):
        away = np.linalg.norm(curves[:, :, None] - centers[foreign], axis=-1).min(1)
        inside = CLEAR - (away - radii[foreign])
        cost = cost + np.where(inside > 0, 60 + inside, 0).sum(1)
    return cost


def _company(curves: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Price of crossing others (1.6 each) and of running beside them (5 each)."""
    # All lines of one region meet in its circle; what happens there does not count.
    curves, others = curves[:, 1:-1], others[:, 1:-1]
    starts, ways = curves[:, :-1, None], np.diff(curves, axis=1)[:, :, None]
    theirs, their_ways = others[:, :-1].reshape(-1, 2), np.diff(others, axis=1).reshape(-1, 2)
    between, turn = theirs - starts, _cross(ways, their_ways)
    slanted = abs(turn) > 1e-6
    turn = np.where(slanted, turn, 1.0)
    here, there = _cross(between, their_ways) / turn, _cross(between, ways) / turn
    crossed = slanted & (here > 0) & (here < 1) & (there > 0) & (there < 1)
    near = np.linalg.norm(curves[:, 1:-1:2, None, None] - others[:, 1:-1], axis=-1) < 8
    beside = (near.any(-1).sum(1) >= 2).sum(-1)
    return 1.6 * crossed.sum((1, 2)) + 5.0 * beside


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
