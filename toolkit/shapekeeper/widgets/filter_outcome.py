"""What a drawing and a kernel length come to: a kernel, its curve, and where it misses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import FilterShape
from shapekeeper.constraints.filters import Feasibility, FilterReport, response

__all__ = ["Curve", "FilterOutcome", "worst_filter"]

ACROSS = 1057  # two frequencies for each pixel of the plot
ACROSS_PASS = 161  # and in an enlarged pass band
SEEN = 0.05  # dB off the drawing that count as a miss: as much as a line is thick
DEEPEST = -180.0  # dB; a zero of a response is not drawn below


@dataclass(frozen=True)
class Curve:
    """Levels at evenly spaced frequencies, in dB, or linear under a target.

    Attributes:
        low: First frequency.
        high: Last frequency.
        levels: Of the kernel, relative to its own gain.
        layer: Of the kernel that is in the layer now, empty without one.
        runs: First and last index of each stretch where the kernel leaves the drawing.
    """

    low: float
    high: float
    levels: np.ndarray
    layer: np.ndarray
    runs: list[tuple[int, int]]


@dataclass(frozen=True)
class FilterOutcome:
    """The kernel that stands for a drawing.

    Attributes:
        shape: What is drawn.
        taps: Length of the kernel.
        layer: The kernel that is in a layer now, `(any number of taps,)`, or None.
    """

    shape: FilterShape
    taps: int
    layer: Tensor | None = None

    @property
    def feasibility(self) -> Feasibility:
        """Whether the drawing can be met."""
        return self.shape.feasibility(self.taps)

    @property
    def feasible(self) -> bool:
        """Whether some kernel of this length meets the drawing."""
        return self.feasibility.feasible

    @property
    def nearest(self) -> bool:
        """Whether the kernel is the nearest one to that of the layer."""
        return self.feasible and self.layer is not None and len(self.layer) == self.taps

    @cached_property
    def kernel(self) -> Tensor:
        """The allowed kernel nearest to the layer's; without one the most interior one.

        Where the drawing can't be met, the one that misses it least.
        """
        if self.nearest and self.layer is not None:
            return self.shape.project(self.layer)
        return torch.tensor(np.asarray(self.feasibility.kernel), dtype=torch.float64)

    @cached_property
    def report(self) -> FilterReport:
        """The kernel against the drawing."""
        return self.shape.measure(self.kernel[None])

    @property
    def moved(self) -> float | None:
        """How far the nearest kernel is from the layer's, in shares of that one's norm."""
        if not self.nearest or self.layer is None:
            return None
        return float((self.kernel - self.layer).norm() / self.layer.norm())

    @cached_property
    def error(self) -> float | None:
        """How far the kernel's gain is from a target's, at the most; None without a target."""
        if not self.shape.points:
            return None
        places, gains, _ = (np.array(column) for column in zip(*self.shape.points, strict=True))
        frequencies = np.linspace(places[0], places[-1], ACROSS)
        wanted = np.interp(frequencies, places, gains)
        return float(np.abs(self._gains(self.kernel, frequencies) - wanted).max())

    @cached_property
    def curve(self) -> Curve:
        """From frequency 0 to Nyquist."""
        return self._curve(0.0, self.shape.nyquist, ACROSS)

    @cached_property
    def enlarged(self) -> dict[int, Curve]:
        """Each pass band by itself, by its number among the bands."""
        if self.shape.points:
            return {}
        return {
            i: self._curve(band.low, band.high, ACROSS_PASS)
            for i, band in enumerate(self.shape.bands)
            if band.kind == "pass"
        }

    def _curve(self, low: float, high: float, count: int) -> Curve:
        frequencies = np.linspace(low, high, count)
        gains = self._gains(self.kernel, frequencies)
        layer = np.zeros(0) if self.layer is None else self._gains(self.layer, frequencies)
        show = np.asarray if self.shape.points else _decibels
        runs = [] if self.feasible else _runs(self._misses(frequencies, gains))
        return Curve(low, high, show(gains), show(layer), runs)

    def _gains(self, kernel: Tensor, frequencies: np.ndarray) -> np.ndarray:
        """|H| at frequencies of the input, relative to the kernel's own gain."""
        own = frequencies / self.shape.nyquist * self.shape.dilation
        gain = float(self.shape.reference(kernel))
        return response(kernel, own).abs().numpy() / (abs(gain) or 1.0)

    def _misses(self, frequencies: np.ndarray, gains: np.ndarray) -> np.ndarray:
        low, high = self.shape.limits(frequencies)
        step = 10 ** (SEEN / 20)
        return (gains > high * step) | (gains * step < low)


def _decibels(gains: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(gains, 10 ** (DEEPEST / 20)))


def _runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of marks."""
    steps = np.diff(np.concatenate([[False], marked, [False]]).astype(int))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def worst_filter(shape: FilterShape, filters: Tensor) -> int:
    """Which of some filters `(filters, taps)` misses the drawing most; the first if none does.

    Example:
        >>> kernels = torch.tensor([[0.2, 1, 0.2], [0, 1, 0]], dtype=torch.float64)
        >>> worst_filter(FilterShape.lowpass(0.1, 0.9, attenuation_db=3), kernels)
        1
    """
    report = shape.measure(filters)
    return int(np.where(report.dead, -1.0, report.excess_db).argmax())
