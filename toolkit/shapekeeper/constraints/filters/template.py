"""Symmetric kernels that follow a drawing: the rows of a polytope, or of a cone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, pi
from typing import Literal

import numpy as np

from .drawing import Piece
from .responses import waves

__all__ = ["Template"]

OVER = 8  # grid points for each half tap, at the least
# The share of them that the narrowest band gets. Where much is free a response may be loud there,
# and turns as fast within a band as its degree allows; elsewhere the neighbors hold it.
NARROW, ALONE = 0.5, 1.0
COVERED = 0.75  # of all frequencies: then bands have neighbors
BENT = 2  # times as many where the target is not level


@dataclass(frozen=True)
class Template:
    """What a drawing asks of symmetric kernels of one length.

    A symmetric kernel has a real response `A(f)`, linear in its taps (T. W. Parks and J. H.
    McClellan 1972, Chebyshev approximation for nonrecursive digital filters with linear phase),
    and is its coordinates `a` in an orthonormal basis: the middle tap, and one for each pair.

    Attributes:
        basis: E, `(taps, m)`, orthonormal columns: a kernel is `E a`.
        grid: Frequencies at which the drawing is asked, `(F,)`, dense toward the edges of bands.
        middle: Wanted gain there, `(F,)`.
        radius: Its tolerance, `(F,)`, made smaller for what happens between the frequencies.
        gamma: `(m,)`: the gain of a kernel is `g = gamma @ a`, the mean of A over the pass bands;
            for a target, its share of the target.
        gain: Whether A is measured by this gain, or by 1.

    Example:
        >>> passes = Piece(0.0, 0.2, (1, 1), (0.1, 0.1), (1.0, 1.0))
        >>> template = Template.of([passes], taps=5, gain="free")
        >>> template.basis.shape, template.rows.shape[1]
        ((5, 3), 3)
    """

    basis: np.ndarray
    grid: np.ndarray
    middle: np.ndarray
    radius: np.ndarray
    gamma: np.ndarray
    gain: Literal["free", "unit"]

    @classmethod
    def of(
        cls, pieces: Sequence[Piece], taps: int, gain: Literal["free", "unit"], over: int = OVER
    ) -> "Template":
        """The template of pieces over frequency for kernels of one length.

        Between the nodes of its grid a response overshoots by 1 / cos(pi / (2 over)) at most (H.
        Ehlich and K. Zeller 1964, Schwankung von Polynomen zwischen Gitterpunkten); the tolerances
        are made smaller by as much.

        Args:
            pieces: Over the kernel's frequencies.
            taps: Length of the kernels.
            gain: Whether levels are relative to the kernel's own gain or to 1.
            over: Grid points for each half tap.
        """
        basis = symmetric_basis(taps)
        covered = sum(piece.high - piece.low for piece in pieces)
        least = NARROW if covered >= COVERED else ALONE
        grids = [_nodes(piece, over * taps / 2, least) for piece in pieces]
        sides = [piece.at(grid) for piece, grid in zip(pieces, grids, strict=True)]
        middle, radius = (np.concatenate(side) for side in zip(*sides, strict=True))
        gamma, tighter = _mean_gain(pieces, basis), np.cos(pi / (2 * over))
        return cls(basis, np.concatenate(grids), middle, tighter * radius, gamma, gain)

    def cosines(self, frequencies: np.ndarray) -> np.ndarray:
        """X, `(F, m)`: the response of a kernel is `A(f) = X a`."""
        return waves(frequencies, len(self.basis))[0] @ self.basis

    @property
    def rows(self) -> np.ndarray:
        """P, `(2 F, m)`, of norm 1: a kernel is allowed where `P a <= limits`."""
        return self._normalized()[0]

    @property
    def limits(self) -> np.ndarray:
        """q, `(2 F,)`; 0 where the gain is free."""
        return self._normalized()[1]

    def _normalized(self) -> tuple[np.ndarray, np.ndarray]:
        x = self.cosines(self.grid)
        above, below = self.middle + self.radius, self.middle - self.radius
        if self.gain == "free":
            rows = np.concatenate(
                [x - np.outer(above, self.gamma), np.outer(below, self.gamma) - x]
            )
            limits = np.zeros(len(rows))
        else:
            rows, limits = np.concatenate([x, -x]), np.concatenate([above, -below])
        length = np.linalg.norm(rows, axis=1)
        asks = length > 1e-12  # an even kernel is 0 at Nyquist whatever its taps
        return rows[asks] / length[asks, None], limits[asks] / length[asks]


def symmetric_basis(taps: int) -> np.ndarray:
    """Orthonormal columns that span the symmetric kernels, `(taps, ceil(taps / 2))`."""
    count = ceil(taps / 2)
    basis = np.zeros((taps, count))
    for column in range(count):
        left, right = (taps - 1) // 2 - column, taps // 2 + column
        basis[left, column] = basis[right, column] = 1.0 if left == right else np.sqrt(0.5)
    return basis


def _nodes(piece: Piece, density: float, least: float) -> np.ndarray:
    """Chebyshev nodes in cos(pi f), nowhere farther apart than so many between 0 and Nyquist.

    At least the share `least` of them, however narrow the piece is.
    """
    high, low = np.cos(pi * piece.low), np.cos(pi * piece.high)
    fine = np.linspace(0, pi, 257)[1:-1]
    places = (high + low) / 2 + (high - low) / 2 * np.cos(fine)
    widest = ((high - low) / 2 * np.sin(fine) / np.sqrt(1 - places**2)).max()  # d(pi f) / d theta
    # A line that is not level adds a bend of its own.
    share = max(widest, least) * (BENT if piece.middle[0] != piece.middle[1] else 1)
    count = ceil(density * share) + 1
    theta = np.linspace(0, pi, count + 1)
    nodes = np.arccos(np.clip((high + low) / 2 + (high - low) / 2 * np.cos(theta), -1, 1)) / pi
    nodes[[0, -1]] = piece.low, piece.high
    return nodes


def _mean_gain(pieces: Sequence[Piece], basis: np.ndarray) -> np.ndarray:
    """gamma: the integral of aim times response over that of the aim's square."""
    nodes, weights = np.polynomial.legendre.leggauss(len(basis) + 8)
    total, size = np.zeros(basis.shape[1]), 0.0
    for piece in pieces:
        half = (piece.high - piece.low) / 2
        frequencies = piece.low + half * (1 + nodes)
        aim = piece.aim_at(frequencies) * weights * half
        total += aim @ waves(frequencies, len(basis))[0] @ basis
        size += aim @ piece.aim_at(frequencies)
    return total / size
