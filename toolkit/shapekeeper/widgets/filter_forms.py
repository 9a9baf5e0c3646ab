"""A filter shape and a kernel length as the JSON that the editor draws; the forms of its bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shapekeeper.constraints import FilterShape

__all__ = ["FORMS", "Drawing", "empty", "formed", "to_drawing", "to_shape"]

# {"bands": [[kind, low, high, decibels]], "points": [[frequency, gain, tolerance]], "gain",
# "sampling_rate", "dilation", "dimensions", "taps"}
Drawing = dict[str, Any]

FORMS = {
    "lowpass": ("pass", "stop"),
    "highpass": ("stop", "pass"),
    "bandpass": ("stop", "pass", "stop"),
    "bandstop": ("pass", "stop", "pass"),
    "target": (),
}
INNER = {2: (0.2, 0.35), 3: (0.2, 0.35, 0.65, 0.8)}  # edges between so many bands, 1 = Nyquist
TOLERANCE = 0.1  # of a target that is begun from bands: wide enough for the slopes between them


def to_drawing(shape: FilterShape, taps: int) -> Drawing:
    """What the browser gets.

    Example:
        >>> to_drawing(FilterShape.lowpass(0.2, 0.35), 31)["bands"]
        [['pass', 0.0, 0.2, 1.0], ['stop', 0.35, 1.0, 40.0]]
    """
    saved = shape.to_json()
    return {name: saved[name] for name in saved if name != "constraint"} | {"taps": taps}


def to_shape(drawing: Mapping[str, Any]) -> FilterShape:
    """The shape of a drawing.

    Raises:
        ConstraintError: If the drawing is none.
    """
    return FilterShape(**{name: drawing[name] for name in drawing if name != "taps"})


def empty() -> FilterShape:
    """What the editor opens with."""
    return FilterShape.lowpass(*INNER[2])


def formed(form: str, drawing: Mapping[str, Any]) -> Drawing:
    """Another form of a drawing, with its levels, and with its edges where their number fits.

    Args:
        form: A key of `FORMS`.
        drawing: What is drawn now.

    Example:
        >>> formed("highpass", to_drawing(empty(), 31))["bands"]
        [['stop', 0.0, 0.2, 40.0], ['pass', 0.35, 1.0, 1.0]]
    """
    kinds, bands = FORMS[form], drawing["bands"]
    if not kinds:
        return {**drawing, "bands": [], "points": drawing["points"] or _target(bands)}
    rate = drawing["sampling_rate"]
    nyquist = 1.0 if rate is None else rate / 2
    inner = [edge for band in bands for edge in band[1:3] if 0 < edge < nyquist]
    if len(inner) != 2 * len(kinds) - 2:
        inner = [edge * nyquist for edge in INNER[len(kinds)]]
    edges = iter([0.0, *inner, nyquist])
    levels = {"pass": 1.0, "stop": 40.0} | {kind: level for kind, _, _, level in reversed(bands)}
    made = [[kind, next(edges), next(edges), levels[kind]] for kind in kinds]
    return {**drawing, "bands": made, "points": []}


def _target(bands: list[list[Any]]) -> list[list[float]]:
    """Straight lines from band to band: gain 1 where they pass, 0 where they stop."""
    gains = [(edge, float(band[0] == "pass")) for band in bands for edge in band[1:3]]
    if not any(gain for _, gain in gains):
        gains = [(0.0, 1.0), *gains] if gains[0][0] > 0 else [*gains, (gains[-1][0] * 2, 1.0)]
    return [[edge, gain, TOLERANCE] for edge, gain in gains]
