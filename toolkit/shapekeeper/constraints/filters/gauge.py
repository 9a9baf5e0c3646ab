"""How far a kernel is off its drawing, in dB, on a dense grid of frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..tensor_value import TensorValue
from .bandlimited import PER_TAP, outside_energy, plane_waves, ring_grid
from .drawing import Piece
from .responses import waves

__all__ = ["Gauge"]

FLOOR = 1e-16  # of a power: -160 dB, so that the logarithm of silence is a number
SILENT = 1e-36  # of a squared gain: a kernel of zeros


@dataclass(frozen=True)
class Gauge:
    """Reads kernels of one size against the pieces of a drawing.

    All levels are relative to a kernel's own gain: the mean of |H| over the pass bands, weighted by
    the target where there is one; without any, the root mean square of |H| outside the stop bands,
    which is smooth where a largest value is not; or 1.

    Attributes:
        frequencies: `(F,)`, 1 = Nyquist; in two dimensions the distance from 0.
        stops: Which of them lie in a stop band, `(F,)`.
        cosines: `(entries, F)`, as a value.
        sines: As `cosines`.
        high: Largest level in dB, `(F,)`.
        low: Smallest level in dB, `(F,)`, minus infinity where there is none.
        weights: `(F,)`: the gain is the sum of |H| under these weights; empty if it is not.
        energy: M, `(entries, entries)`: the squared gain is w'Mw; empty if it is not.
    """

    frequencies: np.ndarray
    stops: np.ndarray
    cosines: TensorValue
    sines: TensorValue
    high: TensorValue
    low: TensorValue
    weights: TensorValue
    energy: TensorValue

    @classmethod
    def of(cls, pieces: Sequence[Piece], sizes: tuple[int, ...], unit_gain: bool) -> "Gauge":
        """The gauge of kernels of one or two sizes."""
        parts = [_sampled(piece, sizes) for piece in pieces]
        frequencies, cosines, sines = (np.concatenate(p) for p in zip(*parts, strict=True))
        counts = [len(part[0]) for part in parts]
        sides = [piece.at(part[0]) for piece, part in zip(pieces, parts, strict=True)]
        middle, radius = (np.concatenate(side) for side in zip(*sides, strict=True))
        stops = np.repeat([piece.stops for piece in pieces], counts)
        silent = [piece for piece in pieces if piece.stops]
        weights, energy = np.zeros(0), np.zeros((0, 0))
        if len(silent) == len(pieces):
            energy = outside_energy(silent, sizes)
        elif not unit_gain:
            weights = _gain_weights(pieces, parts)
        with np.errstate(divide="ignore", invalid="ignore"):
            low = 20 * np.log10(np.maximum(middle - radius, 0))
        values = (cosines.T, sines.T, 20 * np.log10(middle + radius), low, weights, energy)
        return cls(frequencies, stops, *map(TensorValue.of, values))

    def magnitude(self, x: Tensor) -> Tensor:
        """|H| at the frequencies, `(..., F)`, of flattened kernels `(..., entries)`."""
        cosines, sines = (part.on(x.device, x.dtype) for part in (self.cosines, self.sines))
        # The root of nothing has no derivative.
        return ((x @ cosines).square() + (x @ sines).square() + SILENT).sqrt()

    def gain(self, x: Tensor, magnitude: Tensor) -> Tensor:
        """The reference of each kernel, `(...)`."""
        if self.energy.shape[0]:
            energy = self.energy.on(x.device, x.dtype)
            return ((x @ energy * x).sum(-1).clamp(min=0) + SILENT).sqrt()
        if self.weights.shape[0]:
            return (magnitude * self.weights.on(x.device, x.dtype)).sum(-1)
        return torch.ones_like(x[..., 0])

    def level(self, x: Tensor) -> Tensor:
        """|H| relative to the gain in dB, `(..., F)`; not below -160."""
        magnitude = self.magnitude(x)
        ratio = magnitude / self.gain(x, magnitude)[..., None]
        return 10 * torch.log10(ratio.square() + FLOOR)

    def excess(self, x: Tensor) -> Tensor:
        """By how many dB each frequency is off, `(..., F)`; below 0 where there is room.

        A kernel of zeros passes nothing, and is off nowhere unless the gain is 1.
        """
        level = self.level(x)
        high, low = (part.on(x.device, x.dtype) for part in (self.high, self.low))
        off = torch.maximum(level - high, low - level)
        if self.energy.shape[0] or self.weights.shape[0]:
            return torch.where((x == 0).all(-1, keepdim=True), torch.zeros_like(off), off)
        return off


def _sampled(piece: Piece, sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Frequencies of a piece with its ends, and the waves there."""
    if len(sizes) == 2:
        x, y = ring_grid(piece.low, piece.high, max(sizes))
        # The corners of the square lie beyond Nyquist and belong to its ring.
        return np.hypot(x, y).clip(piece.low, piece.high), *plane_waves(x, y, sizes)
    width = max(piece.high - piece.low, 0.25)  # within a narrow band a response turns as fast
    count = max(2 * PER_TAP, round(PER_TAP * sizes[0] * width) + 1)
    frequencies = np.linspace(piece.low, piece.high, count)
    return frequencies, *waves(frequencies, sizes[0])


def _gain_weights(pieces: Sequence[Piece], parts: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """The integral of the aim over that of its square, by the trapezoidal rule."""
    weights, size = [], 0.0
    for piece, (frequencies, *_) in zip(pieces, parts, strict=True):
        width = np.full(len(frequencies), frequencies[1] - frequencies[0])
        width[[0, -1]] /= 2
        aim = piece.aim_at(frequencies)
        weights.append(aim * width)
        size += float(aim**2 @ width)
    return np.concatenate(weights) / size
