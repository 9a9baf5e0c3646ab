"""What a person draws of a filter: bands or a free-hand target, as pieces over frequency."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import floor, isfinite
from typing import Any, Literal, NamedTuple

import numpy as np

__all__ = ["Band", "Piece", "Point", "drawing_problems", "folded", "pieces_of"]


DEEPEST = 200  # dB; double precision ends at 300


class Band(NamedTuple):
    """A stretch of frequencies and what a filter does there.

    Attributes:
        kind: `"pass"` or `"stop"`.
        low: First frequency; 1 = Nyquist, or Hz.
        high: Last frequency.
        decibels: Of a pass band the ripple, how far the gain may be off up or down; of a stop band
            the attenuation, how far it must be down.

    Example:
        >>> Band("stop", 0.35, 1.0, 40.0).kind
        'stop'
    """

    kind: Literal["pass", "stop"]
    low: float
    high: float
    decibels: float


class Point(NamedTuple):
    """A corner of a free-hand target.

    Attributes:
        frequency: 1 = Nyquist, or Hz.
        gain: Wanted gain there, linear.
        tolerance: How far the gain may be off, linear.
    """

    frequency: float
    gain: float
    tolerance: float


@dataclass(frozen=True)
class Piece:
    """A stretch of frequencies over which the wanted gain and its tolerance are straight lines.

    Attributes:
        low: First frequency, 1 = Nyquist.
        high: Last frequency.
        middle: Wanted gain at both ends.
        radius: Tolerance at both ends.
        aim: What the gain is measured by at both ends: 1 in a pass band, 0 in a stop band.
    """

    low: float
    high: float
    middle: tuple[float, float]
    radius: tuple[float, float]
    aim: tuple[float, float]

    @property
    def stops(self) -> bool:
        """Whether nothing is to pass."""
        return self.aim == (0.0, 0.0)

    def at(self, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Middle and radius at frequencies within."""
        share = (frequencies - self.low) / (self.high - self.low)
        middle, radius = (a + (b - a) * share for a, b in (self.middle, self.radius))
        return middle, radius

    def aim_at(self, frequencies: np.ndarray) -> np.ndarray:
        """The aim at frequencies within."""
        share = (frequencies - self.low) / (self.high - self.low)
        return self.aim[0] + (self.aim[1] - self.aim[0]) * share


def amplitude(decibels: float) -> float:
    """The factor that so many dB stand for: 20 dB are a factor of 10.

    Example:
        >>> amplitude(20.0)
        10.0
    """
    return 10 ** (decibels / 20)


def pieces_of(
    bands: Iterable[Band], points: tuple[Point, ...], nyquist: float
) -> tuple[Piece, ...]:
    """The drawing as pieces over frequency in units of Nyquist, in rising order."""
    drawn = [_piece_of_band(band, nyquist) for band in bands]
    for a, b in pairwise(points):
        drawn.append(
            Piece(
                a.frequency / nyquist, b.frequency / nyquist,
                (a.gain, b.gain), (a.tolerance, b.tolerance), (a.gain, b.gain),
            )
        )  # fmt: skip
    return tuple(sorted(drawn, key=lambda piece: piece.low))


def _piece_of_band(band: Band, nyquist: float) -> Piece:
    low, high = band.low / nyquist, band.high / nyquist
    factor = amplitude(band.decibels)
    if band.kind == "stop":
        return Piece(low, high, (0.0, 0.0), (1 / factor, 1 / factor), (0.0, 0.0))
    middle, radius = (factor + 1 / factor) / 2, (factor - 1 / factor) / 2
    return Piece(low, high, (middle, middle), (radius, radius), (1.0, 1.0))


def folded(pieces: Iterable[Piece], dilation: int) -> tuple[Piece, ...]:
    """What a dilated kernel must do at its own frequencies.

    Through a dilation d, an input frequency f meets the kernel's response at d f, which repeats
    beyond Nyquist and runs back and forth.

    Example:
        >>> stop = Piece(0.25, 1.0, (0, 0), (0.1, 0.1), (0.0, 0.0))
        >>> [(p.low, p.high) for p in folded([stop], 2)]
        [(0.5, 1.0), (0.0, 1.0)]
    """
    return tuple(part for piece in pieces for part in _folds(piece, dilation))


def _folds(piece: Piece, dilation: int) -> list[Piece]:
    parts = []
    low, high = piece.low * dilation, piece.high * dilation
    for whole in range(floor(low), dilation):
        ends = np.array([max(low, whole), min(high, whole + 1)])
        if ends[0] >= ends[1]:
            continue
        (middle, radius), aim = piece.at(ends / dilation), piece.aim_at(ends / dilation)
        first, last = ends - whole
        turn = 1
        if whole % 2:  # an odd fold runs backward
            first, last, turn = 1 - last, 1 - first, -1
        sides = [_pair(line[::turn]) for line in (middle, radius, aim)]
        parts.append(Piece(float(first), float(last), *sides))
    return parts


def _pair(line: np.ndarray) -> tuple[float, float]:
    return float(line[0]), float(line[1])


def drawing_problems(
    bands: tuple[Band, ...],
    points: tuple[Point, ...],
    gain: Any,
    sampling_rate: Any,
    dilation: Any,
    dimensions: Any,
) -> list[str]:
    """What is wrong with a drawing, one sentence each."""
    problems = []
    if not (sampling_rate is None or (_is_number(sampling_rate) and sampling_rate > 0)):
        problems.append(f"Wanted a sampling_rate above 0 in Hz, or None, got {sampling_rate!r}.")
        sampling_rate = None
    unit, nyquist = ("Nyquist", 1.0) if sampling_rate is None else ("Hz", sampling_rate / 2)
    if gain not in ("free", "unit"):
        problems.append(f"Wanted gain='free' or gain='unit', got {gain!r}.")
    if not (isinstance(dilation, int) and dilation >= 1):
        problems.append(f"Wanted a dilation that is a whole number from 1 up, got {dilation!r}.")
        dilation = 1
    if dimensions not in (1, 2):
        problems.append(f"Wanted dimensions=1 or dimensions=2, got {dimensions!r}.")
    if not bands and not points:
        problems.append("Wanted at least one band, got none.")
    found = [p for band in bands for p in _band_problems(band, nyquist, unit)]
    found += _point_problems(points, nyquist, unit) if points else []
    problems += found or _clashes(bands, unit)
    if found:
        return problems
    if not points and bands and all(band.kind == "stop" for band in bands):
        problems += _silent_problems(bands, gain, nyquist)
    elif dimensions == 2:
        problems.append(
            "In two dimensions only stop bands can be held: FilterShape.bandlimited(..., "
            "dimensions=2). For a shape with a pass band, hold the two factors of a separable "
            "kernel, each by its own FilterShape."
        )
    return problems + _image_problems(bands, nyquist, dilation)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def _band_problems(band: Band, nyquist: float, unit: str) -> list[str]:
    name = f"the {band.kind} band {tuple(band[1:3])}"
    if band.kind not in ("pass", "stop"):
        return [f"Wanted kind 'pass' or 'stop' of a band, got {band.kind!r}."]
    if not all(map(_is_number, band[1:])):
        return [f"Wanted three finite numbers for {name}, got {tuple(band[1:])}."]
    problems = []
    if not 0 <= band.low < band.high <= nyquist:
        problems.append(
            f"Wanted 0 <= low < high <= {nyquist:g} ({unit}) for {name}, got {band.low:g} and "
            f"{band.high:g}."
        )
    if not 0 < band.decibels <= DEEPEST:
        word = "ripple" if band.kind == "pass" else "attenuation"
        problems.append(
            f"Wanted {word} above 0 dB and up to {DEEPEST} for {name}, got {band.decibels:g}."
        )
    return problems


def _clashes(bands: tuple[Band, ...], unit: str) -> list[str]:
    """Bands that share frequencies."""
    rising = sorted(bands, key=lambda band: band.low)
    return [
        f"A {a.kind} band ends at {a.high:g} and a {b.kind} band begins at {b.low:g} {unit}: "
        "wanted bands that do not overlap."
        for a, b in pairwise(rising)
        if b.low < a.high or (b.low == a.high and b.kind != a.kind)
    ]


def _point_problems(points: tuple[Point, ...], nyquist: float, unit: str) -> list[str]:
    if not all(_is_number(value) for point in points for value in point):
        return [f"Wanted finite frequencies, gains and tolerances, got {points}."]
    problems = []
    frequencies = [point.frequency for point in points]
    rising = all(a < b for a, b in pairwise(frequencies))
    if len(points) < 2 or not rising or frequencies[0] < 0 or frequencies[-1] > nyquist:
        problems.append(
            f"Wanted at least two rising frequencies from 0 to {nyquist:g} ({unit}), got "
            f"{frequencies}."
        )
    if min(p.gain for p in points) < 0 or max(p.gain for p in points) <= 0:
        gains = [point.gain for point in points]
        problems.append(f"Wanted gains from 0 up, at least one of them above 0, got {gains}.")
    if min(p.tolerance for p in points) <= 0:
        tolerances = [point.tolerance for point in points]
        problems.append(f"Wanted tolerances above 0, got {tolerances}.")
    return problems


def _silent_problems(bands: tuple[Band, ...], gain: str, nyquist: float) -> list[str]:
    """Drawings of stop bands only that make no sense."""
    problems = []
    if gain == "unit":
        problems.append("A drawing without a pass band has no gain to hold: wanted gain='free'.")
    if sum(band.high - band.low for band in bands) >= nyquist * (1 - 1e-9):
        problems.append("Stop bands everywhere leave only silence: wanted some free ground.")
    return problems


def _image_problems(bands: tuple[Band, ...], nyquist: float, dilation: int) -> list[str]:
    """Pass bands whose images a dilated kernel would have to stop."""
    if dilation == 1:
        return []
    parts = [
        (band, part) for band in bands for part in folded([_piece_of_band(band, nyquist)], dilation)
    ]
    for (a, p), (b, q) in combinations(parts, 2):
        if a.kind != b.kind and min(p.high, q.high) - max(p.low, q.low) > -1e-12:
            passes, stops = (a, b) if a.kind == "pass" else (b, a)
            return [
                f"A kernel with dilation {dilation} repeats its response every "
                f"{2 * nyquist / dilation:g}: what passes from {passes.low:g} to {passes.high:g} "
                f"passes again where the drawing stops it, between {stops.low:g} and "
                f"{stops.high:g}. Draw stop bands that leave the images out, or use dilation 1."
            ]
    return []
