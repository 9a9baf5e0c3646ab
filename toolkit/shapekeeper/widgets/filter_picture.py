"""A filter's drawing as a still picture, for pages without a front end."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr
from zlib import crc32

import numpy as np

from shapekeeper.constraints import FilterShape
from shapekeeper.widgets.filter_outcome import FilterOutcome

__all__ = ["picture"]

WIDTH, HEIGHT = 588, 400
LEFT, RIGHT, TOP, BOTTOM = 44, 572, 16, 266
TAPS = (312, 384)
HATCH = (
    '<pattern id="{}" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="7" height="7" fill="currentColor" '
    'fill-opacity="0.08"/><path d="M0 0V7" stroke="currentColor" stroke-opacity="0.5"/></pattern>'
)


def picture(outcome: FilterOutcome) -> str:
    """An SVG image: forbidden ground hatched, the kernel's response, and its taps.

    Example:
        >>> picture(FilterOutcome(FilterShape.lowpass(0.2, 0.35), 31)).count("<circle")
        31
    """
    shape, statement = outcome.shape, outcome.feasibility.statement
    bottom, top = _range(shape)
    curve = outcome.curve
    title = f"{shape!r}, {outcome.taps} taps: {statement}"
    places = np.linspace(LEFT, RIGHT, len(curve.levels))
    layer = _line(places, curve.layer, bottom, top) if len(curve.layer) else ""
    hatch = f"hatch-{crc32(title.encode()):x}"  # names are shared by the whole page
    parts = [
        HATCH.format(hatch),
        *(
            f'<path d="{area}" fill="url(#{hatch})" stroke="currentColor"/>'
            for area in _ground(shape, bottom, top)
        ),
        *_axes(shape, bottom, top),
        f'<path d="{layer}" stroke-dasharray="4 3" {_pen(1)}/>' if layer else "",
        f'<path d="{_line(places, curve.levels, bottom, top)}" {_pen(2)}/>',
        *_stems(outcome.kernel.numpy()),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" role="img" aria-label={quoteattr(title)} font-family="sans-serif"'
        f' font-size="11" text-anchor="middle" color="#666"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )


def _pen(width: float) -> str:
    return f'fill="none" stroke="currentColor" stroke-width="{width:g}"'


def _range(shape: FilterShape) -> tuple[float, float]:
    """Bottom and top of the axis: dB, or plain gains for a target."""
    if shape.points:
        return 0.0, 1.15 * max(gain + tolerance for _, gain, tolerance in shape.points)
    deepest = max([60.0, *(band.decibels for band in shape.bands if band.kind == "stop")])
    ripple = max([0.0, *(band.decibels for band in shape.bands if band.kind == "pass")])
    return -deepest - 12, max(6.0, ripple + 4)


def _height(levels: np.ndarray, bottom: float, top: float) -> np.ndarray:
    return BOTTOM - (BOTTOM - TOP) * (np.clip(levels, bottom, top) - bottom) / (top - bottom)


def _line(places: np.ndarray, levels: np.ndarray, bottom: float, top: float) -> str:
    heights = _height(levels, bottom, top)
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(places, heights, strict=True)]
    return f"M{'L'.join(points)}"


def _ground(shape: FilterShape, bottom: float, top: float) -> Iterator[str]:
    """The forbidden ground of each band, or the two sides of a target's tube."""
    wide = (RIGHT - LEFT) / shape.nyquist
    for kind, low, high, decibels in shape.bands:
        x = np.array([LEFT + wide * low, LEFT + wide * high])
        for level, end in ((decibels, TOP), (-decibels, BOTTOM)):
            if kind == "stop" and end == BOTTOM:
                continue
            rim = np.full(2, -decibels if kind == "stop" else level)
            yield _area(x, rim, end, bottom, top)
    if shape.points:
        frequencies, gains, tolerances = (np.array(c) for c in zip(*shape.points, strict=True))
        for sign, end in ((1, TOP), (-1, BOTTOM)):
            rim = gains + sign * tolerances
            yield _area(LEFT + wide * frequencies, rim, end, bottom, top)


def _area(x: np.ndarray, rim: np.ndarray, end: float, bottom: float, top: float) -> str:
    return f"{_line(x, rim, bottom, top)}L{x[-1]:.1f} {end}L{x[0]:.1f} {end}Z"


def _axes(shape: FilterShape, bottom: float, top: float) -> Iterator[str]:
    yield f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" {_pen(1)}/>'
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        yield _text(LEFT + share * (RIGHT - LEFT), BOTTOM + 16, f"{share * shape.nyquist:g}")
    levels = np.arange(0, top, 0.25) if shape.points else np.arange(0, bottom, -20)
    for level, y in zip(levels, _height(levels, bottom, top), strict=True):
        yield _text(LEFT - 8, y + 4, f"{level:g}".replace("-", "−"), "end")
    yield _text(LEFT - 8, TOP - 4, "gain" if shape.points else "dB", "end")
    unit = "1 = Nyquist" if shape.sampling_rate is None else "Hz"
    yield _text((LEFT + RIGHT) / 2, BOTTOM + 34, f"frequency, {unit}")


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{text}</text>'


def _stems(kernel: np.ndarray) -> Iterator[str]:
    low, high = min(0.0, kernel.min()), max(0.0, kernel.max())
    top, bottom = TAPS
    heights = top + (high - np.append(kernel, 0.0)) / ((high - low) or 1.0) * (bottom - top)
    zero, places = heights[-1], np.linspace(LEFT + 9, RIGHT - 9, len(kernel))
    yield f'<path d="M{LEFT} {zero:.1f}H{RIGHT}" {_pen(0.5)}/>'
    for x, y in zip(places, heights, strict=False):
        yield f'<path d="M{x:.1f} {zero:.1f}V{y:.1f}" {_pen(1.5)}/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="currentColor"/>'
