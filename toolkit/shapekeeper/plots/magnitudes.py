"""How much of each frequency filters let through, as numbers beside what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
import torch

from shapekeeper.constraints.filters import FilterReport, FilterShape

__all__ = ["Magnitudes", "decibels", "edges", "kernels", "own_bins", "stretches"]

TINY_GAIN = 1e-15  # -300 dB: below what rounding leaves of a kernel.
TURNS = 33  # Directions in a quarter of the plane of frequencies.


@dataclass(frozen=True)
class Magnitudes:
    """The gains of a layer's living filters over frequency, each by its own reference gain.

    Attributes:
        frequencies: `(F,)`, as in the drawing: 1 = Nyquist, or Hz.
        lowest: |H| / g, `(filters, F)`; of kernels of two dimensions the smallest in any direction.
        highest: Likewise the largest; of kernels of one dimension the same.
        excess: How far beyond the drawing that is in dB, `(filters, F)`; negative within it, and
            minus infinity where nothing is drawn.
        references: g, `(filters,)`.
        kernels: The living filters themselves, `(filters, *kernel)`.
        report: What the drawing measures of all filters.
        tolerance: The excess that is rounding alone, in dB.
    """

    frequencies: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    excess: np.ndarray
    references: np.ndarray
    kernels: np.ndarray
    report: FilterReport
    tolerance: float

    @classmethod
    def of(cls, weight: Any, shape: FilterShape) -> Magnitudes:
        """The magnitudes of a kernel or a layer.

        Args:
            weight: `(*filters, taps)`; `(*filters, rows, columns)` for a shape of two dimensions.
            shape: The drawing.

        Raises:
            ValueError: If the weight has too few axes, no entry, or one that is not finite.

        Example:
            >>> from shapekeeper import FilterShape
            >>> found = Magnitudes.of([1.0, 2.0, 1.0], FilterShape.lowpass(0.1, 0.9))
            >>> found.highest.shape == (1, len(found.frequencies))
            True
        """
        flat = kernels(weight, shape.dimensions)
        report = shape.measure(flat)
        living = flat[~torch.as_tensor(np.asarray(report.dead))]
        grid = _grid(shape, max(flat.shape[1:]))
        lowest, highest = _extremes(living.numpy(), grid * shape.dilation / shape.nyquist)
        gains = np.abs(np.asarray(shape.reference(living), float)).clip(TINY_GAIN)
        low, high = shape.limits(grid.clip(max=shape.nyquist))
        lowest, highest = lowest / gains[:, None], highest / gains[:, None]
        above = decibels(highest) - decibels(high)
        below = decibels(low) - decibels(lowest)
        excess = np.maximum(above, np.where(low > 0, below, -np.inf))
        slack = shape.tolerance(torch.float32)
        return cls(grid, lowest, highest, excess, gains, living.numpy(), report, slack)

    @property
    def by_miss(self) -> np.ndarray:
        """Numbers of the filters, the one first that misses most or has least to spare."""
        return np.lexsort([-self.excess.max(-1), -self.living(self.report.excess_db)])

    @property
    def dead(self) -> int:
        """How many filters are left out."""
        return int(np.asarray(self.report.dead).sum())

    def living(self, values: Any) -> np.ndarray:
        """Those of the living filters among the report's values for all."""
        return np.ravel(values)[~np.ravel(self.report.dead)]


def kernels(weight: Any, dimensions: int = 1) -> torch.Tensor:
    """All filters of a weight in one row, `(filters, *kernel)`, in double precision.

    Raises:
        ValueError: If it has too few axes, no entry, or one that is not finite.

    Example:
        >>> kernels(torch.zeros(4, 2, 5)).shape
        torch.Size([8, 5])
    """
    tensor = weight if isinstance(weight, torch.Tensor) else torch.tensor(np.asarray(weight))
    given = tensor.detach().to("cpu", torch.float64)
    if given.ndim < dimensions or not given.numel() or not given.isfinite().all():
        wanted = "(out, in, taps) or (taps,)" if dimensions == 1 else "(out, in, rows, columns)"
        kind = "with entries that are not finite" if given.numel() else "without entries"
        what = kind if given.ndim >= dimensions else "with too few axes"
        raise ValueError(
            f"Wanted finite weights of filters, {wanted}, got shape {tuple(given.shape)} {what}."
        )
    return given.reshape(-1, *given.shape[given.ndim - dimensions :])


def decibels(gains: Any) -> np.ndarray:
    """Gains in dB; 0 is as good as 1e-15.

    Example:
        >>> decibels([10.0, 0.01]).tolist()
        [20.0, -40.0]
    """
    return 20 * np.log10(np.maximum(gains, TINY_GAIN))


def stretches(shape: FilterShape) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What is drawn, piece by piece: frequencies, lowest and highest |H| / g allowed there.

    The limits of a band are level, so its two edges do; a target has many frequencies.

    Example:
        >>> from shapekeeper import FilterShape
        >>> [at.tolist() for at, _, _ in stretches(FilterShape.lowpass(0.2, 0.35))]
        [[0.0, 0.2], [0.35, 1.0]]
    """
    pieces = [np.array([band.low, band.high]) for band in shape.bands]
    if shape.points:
        corners = np.array([point[0] for point in shape.points])
        pieces.append(np.unique([*corners, *np.linspace(corners[0], corners[-1], 257)]))
    for at in pieces:
        inside = at.copy()
        # A neighbor may begin where this one ends: the limits a hair inside are its own.
        inside[[0, -1]] += 1e-9 * (at[-1] - at[0]) * np.array([1, -1])
        yield (at, *shape.limits(inside))


def edges(shape: FilterShape) -> np.ndarray:
    """Frequencies between 0 and Nyquist at which a piece of the drawing begins or ends."""
    ends = {float(end) for at, _, _ in stretches(shape) for end in at[[0, -1]]}
    return np.array(sorted(end for end in ends if 0 < end < shape.nyquist))


def _grid(shape: FilterShape, taps: int) -> np.ndarray:
    """Frequencies so dense that no lobe is cut; corners of the drawing and all bins are there."""
    line = shape.dimensions == 1
    count = max(1024 if line else 256, 8 * taps * shape.dilation)
    dense = np.linspace(0, shape.nyquist * (1 if line else np.sqrt(2)), count + 1)
    corners = [at for at, _, _ in stretches(shape)]
    return np.unique(np.concatenate([dense, own_bins(shape, taps), *corners]))


def own_bins(shape: FilterShape, taps: int) -> np.ndarray:
    """Frequencies up to Nyquist that the Fourier transform of so many taps looks at.

    Example:
        >>> from shapekeeper import FilterShape
        >>> own_bins(FilterShape.bandlimited(0.5), 5).tolist()
        [0.0, 0.4, 0.8]
    """
    length = taps * shape.dilation
    return np.arange(length // 2 + 1) * 2 / length * shape.nyquist


def _extremes(kernel: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest |H| at a distance from frequency 0, over all directions.

    Args:
        kernel: `(filters, taps)` or `(filters, rows, columns)`.
        radii: `(F,)`, 1 = Nyquist.

    Returns:
        Two arrays `(filters, F)`.
    """
    axes = [np.arange(size) - (size - 1) / 2 for size in kernel.shape[1:]]
    places = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], -1)
    flat = kernel.reshape(len(kernel), len(places))
    lowest, highest = np.full((2, len(flat), len(radii)), [[[np.inf]], [[0.0]]])
    for frequencies in [radii[None]] if len(axes) == 1 else _ways(radii):
        gain = abs(flat @ np.exp(-1j * pi * places @ frequencies))
        lowest, highest = np.minimum(lowest, gain), np.maximum(highest, gain)
    return lowest, highest


def _ways(radii: np.ndarray) -> Iterator[np.ndarray]:
    """Ways out from frequency 0 over the half of the plane that says all, each `(2, F)`.

    The plane is a square: beyond a distance of 1 the ways close in on its corners.
    """
    shut = np.arccos(1 / np.maximum(radii, 1))
    for quarter in (0, pi / 2):
        for share in np.linspace(0, 1, TURNS):
            turn = quarter + shut + share * (pi / 2 - 2 * shut)
            yield radii * np.stack([np.sin(turn), np.cos(turn)])
