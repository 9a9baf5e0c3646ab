"""What would make a drawing possible: a longer kernel, a later stop band, a humbler level."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor, inf, log10
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from .bandlimited import outside_energy, stop_waves
from .drawing import Band, Piece
from .exchange import free_phase, nearest_miss, reach

if TYPE_CHECKING:
    from .filter_shape import FilterShape

__all__ = [
    "ENOUGH", "LONGEST", "SILENCE", "Sizes", "Way", "humbler", "kaiser_taps", "later_stop",
    "meets", "neighbors", "passes_at_nyquist", "quietest", "reached_db", "reached_free_db",
    "sizes_needed", "wider_tolerance",
]  # fmt: skip

# A template asks a grid with tolerances that are 0.98 times as wide, for what happens in between.
ENOUGH = 1 / 1.02
SILENCE = 1e-12  # of a gain: -240 dB
LONGEST = {1: 255, 2: 15}  # up to where a length is searched, by dimensions
FREE = 99  # taps up to which other phases are asked: the program grows with the cube

Sizes = tuple[int, ...]
Way = tuple[str, "FilterShape", int | Sizes]


def meets(shape: "FilterShape", sizes: Sizes) -> bool:
    """Whether kernels of a size can be held to a drawing."""
    if shape.kind == "band-limited":
        return quietest(shape.pieces, sizes)[1] <= 1
    return nearest_miss(shape.pieces, sizes[0], shape.gain, enough=ENOUGH).scale <= ENOUGH


def quietest(pieces: tuple[Piece, ...], sizes: Sizes) -> tuple[np.ndarray, float, float]:
    """The kernel with the least energy in the stop bands, the first of `Subspace`.

    Returns:
        The kernel `sizes`, with a root mean square response of 1 outside the stop bands; its
        largest gain in them as a multiple of what is drawn; and as it is.
    """
    outside = outside_energy(pieces, sizes)
    last = len(outside) - 1
    share, vector = eigh(outside, subset_by_index=[last, last])
    kernel = vector[:, 0] / np.sqrt(share[0])
    gains = []
    for piece in pieces:
        cosines, sines = stop_waves(piece, sizes)
        gains.append(max(np.hypot(cosines @ kernel, sines @ kernel).max(), SILENCE))
    scale = max(gain / piece.radius[0] for gain, piece in zip(gains, pieces, strict=True))
    return kernel.reshape(sizes), float(scale), float(max(gains))


def passes_at_nyquist(pieces: tuple[Piece, ...]) -> bool:
    """Whether a kernel's response must not be 0 at its last frequency."""
    last = [piece for piece in pieces if piece.high >= 1 - 1e-9]
    return any(piece.middle[1] > piece.radius[1] for piece in last)


def kaiser_taps(pieces: tuple[Piece, ...]) -> int | None:
    """The length that a rule of thumb gives, None without a step from a pass to a stop band.

    J. F. Kaiser 1974, Nonrecursive digital filter design using the I0-sinh window function:
    `(-10 log10(d1 d2) - 13) / (14.6 step) + 1`, with the step in cycles per sample. It was fitted
    to long low-passes; here it is the longest over all steps.
    """
    lengths = []
    for passes in [piece for piece in pieces if piece.aim == (1.0, 1.0)]:
        for stops in [piece for piece in pieces if piece.stops]:
            step = max(stops.low - passes.high, passes.low - stops.high) / 2
            ripples = passes.radius[0] * stops.radius[0]
            lengths.append((-10 * log10(ripples) - 13) / (14.6 * step) + 1)
    return max(1, ceil(max(lengths))) if lengths else None


def sizes_needed(shape: "FilterShape", sizes: Sizes) -> Sizes | None:
    """The smallest sufficient size with as odd or even a number of taps; None if none is found.

    A kernel with a zero at either end is one of two taps more, so lengths of one parity need only
    be tried until one does. Those that are even are left for odd ones where they can't ever do.
    """
    odd = all(size % 2 for size in sizes)
    if shape.kind == "template" and not odd and passes_at_nyquist(shape.pieces):
        sizes = (sizes[0] - 1,)
    fits = meets(shape, sizes)
    estimate = kaiser_taps(shape.pieces) or (sizes[0] if fits else 2 * sizes[0])
    least = -((min(sizes) - 1) // 2) - 1
    most = 0 if fits else (LONGEST[len(sizes)] - max(sizes)) // 2

    def grown(pairs: int) -> Sizes:
        return tuple(size + 2 * pairs for size in sizes)

    pairs = _first(
        lambda pairs: meets(shape, grown(pairs)),
        least if fits else 0,
        most,
        (estimate - sizes[0] + 1) // 2,
    )
    return None if pairs is None else grown(pairs)


def neighbors(shape: "FilterShape", sizes: Sizes) -> list[Sizes]:
    """Which of the lengths next to an even one can do it."""
    near = [(size,) for size in (sizes[0] - 1, sizes[0] + 1)]
    return [odd for odd in near if meets(shape, odd)]


def later_stop(shape: "FilterShape", sizes: Sizes) -> tuple[str, "FilterShape"] | None:
    """The drawing with stop bands that begin later and end earlier, as little as will do.

    All edges that face open ground move, by the same number of steps of 0.01 Nyquist or, in Hz, of
    a round number near to that.
    """
    step, digits = _step(shape.nyquist)
    stops = [band for band in shape.bands if band.kind == "stop"]
    lows, highs = {band.low for band in stops}, {band.high for band in stops}
    moving = (lows ^ highs) - {0.0, shape.nyquist}  # where two stop bands meet is no edge

    def moved(steps: int) -> list[Band]:
        return [_shrunk(band, moving, steps, step, digits) for band in shape.bands]

    def works(steps: int) -> bool:
        return meets(replace(shape, bands=moved(steps)), sizes)

    fits = [all(band.low < band.high for band in moved(steps)) for steps in range(252)]
    most = fits.index(False) - 1 if moving else 0
    steps = _first(works, 0, most, most // 2)
    if steps is None:
        return None
    unit = "" if shape.sampling_rate is None else " Hz"
    told = [
        _told(band, moving & set(old[1:3]), old, digits, unit)
        for band, old in zip(moved(steps), shape.bands, strict=True)
        if band != old
    ]
    return f"Stop {' and '.join(told)}", replace(shape, bands=moved(steps))


def humbler(shape: "FilterShape", sizes: Sizes, scale: float) -> tuple[str, "FilterShape"] | None:
    """The drawing with a whole number of dB that the size reaches, None if that is none.

    Args:
        shape: What is drawn.
        sizes: Of the kernel.
        scale: By which factor its stop bands are too loud.
    """
    asked = [band.decibels for band in shape.bands if band.kind == "stop"]
    least, alike = min(asked), len(set(asked)) == 1
    reached = least - 20 * log10(scale)
    # A whole number that is reached, or a whole number less; the room that is kept for what
    # happens between the frequencies of a grid may cost one more.
    first = max(least - floor(reached) if alike else ceil(least - reached), least % 1 or 1)
    for drop in np.arange(first, min(first + 4, least - 0.999)):
        bands = [
            b._replace(decibels=b.decibels - drop) if b.kind == "stop" else b for b in shape.bands
        ]
        changed = replace(shape, bands=bands)
        if meets(changed, sizes):
            return f"Ask for {least - drop:g} dB" if alike else f"Ask for {drop:g} dB less", changed
    return None


def wider_tolerance(
    shape: "FilterShape", sizes: Sizes, scale: float
) -> tuple[str, "FilterShape"] | None:
    """The target with tolerances that are wide enough, in two digits."""
    widths = {point.tolerance for point in shape.points}
    alike = widths.pop() if len(widths) == 1 else None
    factor = _up(scale / ENOUGH * (alike or 1.0)) / (alike or 1.0)
    points = [p._replace(tolerance=p.tolerance * factor) for p in shape.points]
    if alike:
        points = [p._replace(tolerance=_up(alike * factor)) for p in points]
    changed = replace(shape, points=points)
    if not meets(changed, sizes):
        return None
    told = f"± {points[0].tolerance:g}" if alike else f"{factor:g} times the tolerance"
    return f"Allow {told}", changed


def reached_db(shape: "FilterShape", sizes: Sizes, scale: float) -> float | None:
    """By how many dB the stop bands miss what is drawn when the pass bands are kept; below 0: not.

    None where there is nothing to ask less of; infinite where the pass bands can't be kept at all.
    """
    if shape.kind == "band-limited":
        return 20 * log10(scale)
    if not any(piece.stops for piece in shape.pieces) or shape.points:
        return None
    louder = reach(shape.pieces, sizes[0], shape.gain, scale).scale
    return 20 * log10(louder) if np.isfinite(louder) else inf


def reached_free_db(shape: "FilterShape", sizes: Sizes, miss_db: float | None) -> float | None:
    """As `reached_db`, of kernels of any phase; None where that is not known."""
    if shape.kind == "band-limited" or miss_db in (None, inf) or sizes[0] > FREE:
        return None
    return 20 * log10(free_phase(shape.pieces, sizes[0], shape.gain, 10 ** (miss_db / 20)))


def _first(works: Callable[[int], bool], fails: int, most: int, guess: int) -> int | None:
    """The smallest number above `fails` that works, up to `most`, if all above it do as well."""
    if most <= fails:
        return None
    probe, jump = min(max(guess, fails + 1), most), 1
    while not works(probe):
        if probe == most:
            return None
        fails, probe, jump = probe, min(probe + jump, most), 2 * jump
    jump = 1
    while probe - fails > 1:
        lower = max(probe - jump, (probe + fails) // 2)
        if works(lower):
            probe, jump = lower, 2 * jump
        else:
            fails = lower
    return probe


def _step(nyquist: float) -> tuple[float, int]:
    """The largest 1, 2 or 5 times a power of ten up to 0.01 Nyquist, and its decimals."""
    power = floor(log10(nyquist / 100) + 1e-9)
    digit = max(d for d in (1, 2, 5) if d * 10**power <= nyquist / 100 * (1 + 1e-9))
    return digit * 10.0**power, max(0, -power)


def _shrunk(band: Band, moving: set[float], steps: int, step: float, digits: int) -> Band:
    """A stop band whose moving edges are so many steps farther in."""
    if band.kind == "pass":
        return band
    low, high = band.low, band.high
    if low in moving:
        low = round((ceil(low / step - 1e-6) + steps) * step, digits)
    if high in moving:
        high = round((floor(high / step + 1e-6) - steps) * step, digits)
    return band._replace(low=low, high=high)


def _told(band: Band, moved: set[float], old: Band, digits: int, unit: str) -> str:
    low, high = f"{band.low:.{digits}f}", f"{band.high:.{digits}f}"
    if len(moved) == 2:
        return f"from {low} to {high}{unit}"
    return f"from {low}{unit}" if old.low in moved else f"up to {high}{unit}"


def _up(number: float) -> float:
    """Rounded up to two digits."""
    unit = 10.0 ** (floor(log10(number)) - 1)
    return float(f"{ceil(number / unit - 1e-9) * unit:.6g}")
