"""Linear programs over all frequencies of a drawing, not only over those of a grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf, pi
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from .drawing import Piece
from .template import Template

__all__ = ["Fit", "free_phase", "nearest_miss", "reach", "read", "spread"]

ASKED = 1  # frequencies for each half tap that a first program asks, and in a band
READ = 16  # and those at which its answer is read
ROUNDS = 12
CLOSE = 3e-4  # the largest miss that is left, in shares of what is allowed; the scale errs less
LARGEST = 100.0  # times the gain: coordinates beyond it would be undone by rounding in a layer
PLENTY = 0.05  # a scale that is not improved on: there are many answers, none of them stable


class Demand(NamedTuple):
    """What is asked at frequencies: `low - scale * give <= value <= high + scale * give`.

    Attributes:
        low: `(F,)`, minus infinity where there is none.
        high: `(F,)`, infinity likewise.
        give: `(F,)`, 0 where the scale does not help.
        room: `(F,)`: the size that a miss is compared with where there is no give.
    """

    low: np.ndarray
    high: np.ndarray
    give: np.ndarray
    room: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """Frequencies from `low` to `high` and what is asked there."""

    low: float
    high: float
    demand: Callable[[np.ndarray], Demand]


class Search(NamedTuple):
    """When a search may end before it has the smallest scale, and where it looks.

    Attributes:
        enough: As soon as it is known whether the scale is at most this; None: never.
        least: A scale that is not improved on.
        almost: The largest miss that is left there; it is added to the scale.
        largest: A bound of the coordinates, in units of the largest wanted gain.
    """

    enough: float | None = None
    least: float = PLENTY
    almost: float = CLOSE
    largest: float = LARGEST


@dataclass(frozen=True)
class Fit:
    """The smallest scale with which a response does what is asked, and its coordinates.

    Attributes:
        scale: Infinite where no scale does.
        coordinates: `(m,)`.
    """

    scale: float
    coordinates: np.ndarray


def nearest_miss(pieces: Sequence[Piece], taps: int, gain: str, enough: float | None = None) -> Fit:
    """The symmetric kernel that follows a drawing with the smallest multiple of all tolerances.

    `min t, |A(f) - c(f)| <= t rho(f)` at a gain of 1: the weighted Chebyshev approximation of T. W.
    Parks and J. H. McClellan 1972 (Chebyshev approximation for nonrecursive digital filters with
    linear phase), as a linear program (L. R. Rabiner 1972, Linear program design of finite
    impulse response digital filters), which takes any middle, tolerance and free gain.

    Args:
        pieces: Over the kernel's frequencies.
        taps: Length of the kernel.
        gain: `"free"` or `"unit"`.
        enough: Stop as soon as it is known whether the scale is at most this.

    Example:
        >>> passes = Piece(0.0, 0.2, (1, 1), (0.1, 0.1), (1.0, 1.0))
        >>> stops = Piece(0.4, 1.0, (0, 0), (0.01, 0.01), (0.0, 0.0))
        >>> round(nearest_miss([passes, stops], 15, "unit").scale, 3)
        0.784
    """

    def demand(piece: Piece, frequencies: np.ndarray) -> Demand:
        middle, radius = piece.at(frequencies)
        return Demand(middle, middle, radius, 0 * radius)

    # A free gain is the mean of A, and bands are not centered on it: no scale is below `aside`.
    aside = max((p.middle[0] - p.aim[0]) / p.radius[0] for p in pieces) if gain == "free" else 0.0
    spare = PLENTY * (1 - aside)
    search = Search(enough, aside + spare, almost=spare / (aside + spare))
    return _symmetric(pieces, demand, taps, gain, search)


def reach(pieces: Sequence[Piece], taps: int, gain: str, level: float) -> Fit:
    """The symmetric kernel that keeps the pass bands and has the least gain in the stop bands.

    Args:
        pieces: As for `nearest_miss`.
        taps: As there.
        gain: As there.
        level: Roughly what is expected, for the sake of rounding.

    Returns:
        A scale in units of what is drawn in the stop bands.
    """

    def demand(piece: Piece, frequencies: np.ndarray) -> Demand:
        middle, radius = piece.at(frequencies)
        if piece.stops:
            return Demand(middle, middle, level * radius, 0 * radius)
        return Demand(middle - radius, middle + radius, 0 * radius, radius)

    fit = _symmetric(pieces, demand, taps, gain, Search())
    return Fit(level * fit.scale, fit.coordinates)


def free_phase(pieces: Sequence[Piece], taps: int, gain: str, level: float) -> float:
    """How far kernels of any phase keep below what is drawn in the stop bands.

    S.-P. Wu, S. Boyd and L. Vandenberghe 1996, FIR filter design via semidefinite programming and
    spectral factorization: `R(f) = |H(f)|^2` is linear in the autocorrelation, a symmetric kernel
    of `2 taps - 1` taps, and by the theorem of Fejer and Riesz every R >= 0 is some kernel's.

    Args:
        pieces: Over the kernel's frequencies.
        taps: Length of the kernel.
        gain: `"unit"`, or `"free"`: then the root mean square of |H| in the pass bands, since their
            mean is not linear in R; the two are closer than the ripple.
        level: The scale that symmetric kernels reach.

    Returns:
        The smallest scale of the stop bands' gain.
    """
    quiet = level**2 * min(piece.radius[0] for piece in pieces if piece.stops) ** 2

    def demand(piece: Piece | None, frequencies: np.ndarray) -> Demand:
        none = np.zeros_like(frequencies)
        if piece is None:
            return Demand(none, none + inf, none, none + quiet)
        middle, radius = piece.at(frequencies)
        low, high = np.maximum(middle - radius, 0) ** 2, (middle + radius) ** 2
        if piece.stops:
            return Demand(none - inf, none, level**2 * high, none)
        return Demand(low, high, none, high - low)

    everywhere = Stretch(0.0, 1.0, partial(demand, None))
    fit = _symmetric(pieces, demand, 2 * taps - 1, gain, Search(least=1e-3), everywhere)
    return level * min(1.0, float(np.sqrt(fit.scale)))  # those of phase 0 are among them


def read(
    pieces: Sequence[Piece], coordinates: np.ndarray, taps: int
) -> tuple[float | None, float | None]:
    """The largest |A| in the stop bands and the largest |dB| in the pass bands of a kernel.

    None where there are none.
    """
    places, weights = _symmetric_places(taps)

    def levels(piece: Piece) -> np.ndarray:
        frequencies = spread(piece.low, piece.high, 4 * READ * max(places[-1], 1))
        return np.abs(np.cos(pi * np.outer(frequencies, places)) @ (weights * coordinates))

    stops = [levels(piece).max() for piece in pieces if piece.stops]
    passes = [levels(piece) for piece in pieces if piece.aim == (1.0, 1.0)]
    off = [np.abs(20 * np.log10(np.maximum(level, 1e-12))).max() for level in passes]
    return max(map(float, stops), default=None), max(map(float, off), default=None)


def spread(low: float, high: float, count: float) -> np.ndarray:
    """Chebyshev nodes in cos(pi f) over an interval, both ends included, `(count + 1,)`.

    In the number of a node a response is a trigonometric polynomial of its own degree, however
    narrow the interval: with room beside it, it may turn as often within as all over.

    Args:
        low: First frequency, 1 = Nyquist.
        high: Last frequency.
        count: Of steps, rounded up; at least 4.
    """
    top, bottom = np.cos(pi * low), np.cos(pi * high)
    theta = np.linspace(0, pi, max(ceil(count), 4) + 1)
    nodes = (top + bottom) / 2 + (top - bottom) / 2 * np.cos(theta)
    return np.clip(np.arccos(np.clip(nodes, -1, 1)) / pi, low, high)


def _symmetric_places(taps: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the middle and weight of each coordinate of a symmetric kernel."""
    places = np.arange((taps + 1) // 2) + (0.0 if taps % 2 else 0.5)
    return places, np.where(places == 0, 1.0, np.sqrt(2.0))


def _symmetric(
    pieces: Sequence[Piece],
    demand: Callable[[Piece, np.ndarray], Demand],
    taps: int,
    gain: str,
    search: Search,
    *more: Stretch,
) -> Fit:
    stretches = [*(Stretch(p.low, p.high, partial(demand, p)) for p in pieces), *more]
    gamma = Template.of(pieces, taps, "free").gamma if gain == "free" else None
    loudest = max(max(piece.middle) for piece in pieces)
    search = search._replace(largest=search.largest * loudest)
    return _smallest(stretches, *_symmetric_places(taps), gamma, search)


def _smallest(
    stretches: list[Stretch],
    places: np.ndarray,
    weights: np.ndarray,
    gamma: np.ndarray | None,
    search: Search,
) -> Fit:
    """The smallest scale over all frequencies, by adding those at which a program missed most.

    An exchange as that of E. Y. Remez 1934, with the simplex method for each set of frequencies
    (E. W. Cheney and A. A. Goldstein 1959, Newton's method for convex programming and Tchebycheff
    approximation): the scale of a set is a lower bound, the largest miss outside an upper one.
    """

    def waves(frequencies: np.ndarray) -> np.ndarray:
        return np.cos(pi * np.outer(frequencies, places)) * weights

    degree = max(places[-1], 1.0)
    asked = [spread(s.low, s.high, ASKED * degree) for s in stretches]
    dense = [spread(s.low, s.high, READ * degree) for s in stretches]
    seen = [waves(frequencies) for frequencies in dense]
    known = Fit(inf, np.zeros(len(places)))  # a kernel and what it really does
    for _ in range(ROUNDS):
        rows = [_rows(s, f, waves(f)) for s, f in zip(stretches, asked, strict=True)]
        fit = _program(*map(np.concatenate, zip(*rows, strict=True)), gamma, search)
        if not np.isfinite(fit.scale):
            return known
        if search.enough is not None and fit.scale > search.enough:
            return fit
        found = [
            _peaks(s, f, x @ fit.coordinates, fit, waves)
            for s, f, x in zip(stretches, dense, seen, strict=True)
        ]
        worst = max(miss for _, miss in found)
        known = Fit(fit.scale * (1 + max(worst, 0.0)), fit.coordinates)
        if fit.scale <= search.least and worst <= search.almost:
            return known
        if worst <= CLOSE or (search.enough is not None and known.scale <= search.enough):
            break
        asked = [np.concatenate([f, peaks]) for f, (peaks, _) in zip(asked, found, strict=True)]
    return fit


def _rows(
    stretch: Stretch, frequencies: np.ndarray, waves: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The program's rows for coordinates and scale, and their right sides."""
    low, high, give, room = stretch.demand(frequencies)
    size = (give + room)[:, None]
    rows = np.concatenate([np.c_[waves, -give] / size, np.c_[-waves, -give] / size])
    sides = np.concatenate([high, -low]) / np.tile(size[:, 0], 2)
    asks = np.isfinite(sides)
    return rows[asks], sides[asks]


def _program(rows: np.ndarray, sides: np.ndarray, gamma: np.ndarray | None, search: Search) -> Fit:
    count = rows.shape[1] - 1
    for presolve in (False, True):  # it takes longer; either may fail where the other does not
        found = linprog(
            np.append(np.zeros(count), 1.0),
            A_ub=rows,
            b_ub=sides,
            A_eq=None if gamma is None else np.append(gamma, 0.0)[None],
            b_eq=None if gamma is None else [1.0],
            bounds=[(-search.largest, search.largest)] * count + [(search.least, None)],
            method="highs-ds",
            options={"presolve": presolve},
        )
        if found.x is not None:
            return Fit(float(found.x[-1]), found.x[:-1])
    return Fit(inf, np.zeros(count))


def _peaks(
    stretch: Stretch,
    frequencies: np.ndarray,
    values: np.ndarray,
    fit: Fit,
    waves: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, float]:
    """Where a response misses most between its neighbours, and by how much at worst."""
    miss = _miss(stretch.demand(frequencies), values, fit.scale)
    rim = np.concatenate([[-inf], miss, [-inf]])
    top = np.flatnonzero((miss >= rim[:-2]) & (miss >= rim[2:]) & (miss > -0.1))
    inner = np.clip(top, 1, len(miss) - 2)
    left, here, right = miss[inner - 1], miss[inner], miss[inner + 1]
    # The top of the parabola through three nodes.
    bend = np.minimum(left - 2 * here + right, -1e-300)
    shift = np.clip((left - right) / (2 * bend), -1, 1)
    fine = np.interp(inner + shift, np.arange(len(miss)), frequencies)
    tops = np.concatenate([frequencies[top], fine])
    misses = _miss(stretch.demand(tops), waves(tops) @ fit.coordinates, fit.scale)
    return tops[misses > 0], float(max(misses.max(initial=-inf), miss.max()))


def _miss(demand: Demand, values: np.ndarray, scale: float) -> np.ndarray:
    """By how much values are off, in shares of what they are allowed."""
    give = scale * demand.give
    off = np.maximum(values - demand.high - give, demand.low - give - values)
    return off / (give + demand.room)
