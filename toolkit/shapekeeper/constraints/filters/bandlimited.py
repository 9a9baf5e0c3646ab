"""Kernels that keep out of stop bands: a linear subspace, in one dimension and in two."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from scipy.special import j1

from .drawing import Piece
from .responses import waves

__all__ = ["Subspace"]

PER_TAP = 16  # grid points for each tap: between two of them a response rises by 0.01 dB at most


@dataclass(frozen=True)
class Subspace:
    """The kernels of one size with the least energy in the stop bands, best first.

    D. Slepian 1978, Prolate spheroidal wave functions, Fourier analysis, and uncertainty V: the
    discrete case, section 2: the eigenvectors of the energy matrix
    `Q[m, n] = integral of cos(pi f (m - n)) over the stop bands`. For one band they are his
    sequences; any union of bands, and rings in two dimensions, has a Q in closed form as well.

    Attributes:
        basis: Orthonormal columns, `(entries of the kernel, dimensions)`.
        attenuation_db: What each number of dimensions guarantees, `(entries,)`: every kernel in
            the span of the first m columns stays at least so far below its own root mean square
            response outside the stop bands, all over them.
        dimensions: How many of them meet the drawing.

    Example:
        >>> stop = Piece(0.5, 1.0, (0, 0), (0.01, 0.01), (0.0, 0.0))
        >>> Subspace.of([stop], (15,)).dimensions
        3
    """

    basis: np.ndarray
    attenuation_db: np.ndarray
    dimensions: int

    @classmethod
    def of(cls, stops: Sequence[Piece], sizes: tuple[int, ...]) -> "Subspace":
        """The subspace of kernels of one or two sizes."""
        vectors = _eigenvectors(_energy(stops, sizes))
        # So long, a kernel has a root mean square response of 1 outside the stop bands.
        outside = np.einsum("im,ij,jm->m", vectors, outside_energy(stops, sizes), vectors)
        outside = np.maximum(outside, 1e-12)
        gain = np.zeros(vectors.shape[1])
        meets = np.ones(vectors.shape[1], bool)
        for stop in stops:
            worst = _worst_gain(stop, vectors / np.sqrt(outside), sizes)
            gain = np.maximum(gain, worst)
            meets &= worst <= stop.radius[0]
        guaranteed = -20 * np.log10(np.maximum(gain, 1e-12))
        # The guarantee only falls as dimensions join.
        dimensions = int(meets.argmin()) if not meets.all() else len(meets)
        return cls(vectors[:, :dimensions], guaranteed, dimensions)


def _eigenvectors(energy: np.ndarray) -> np.ndarray:
    """Columns, the least energy first.

    Even and odd kernels do not mix. Apart, their tiny energies differ enough to be told apart in
    double precision.
    """
    same, turned = np.eye(len(energy)), np.eye(len(energy))[::-1]
    shares, vectors = [], []
    for mixed in (same + turned, same - turned):
        left, sizes, _ = np.linalg.svd(mixed)
        basis = left[:, sizes > 0.5]
        share, columns = np.linalg.eigh(basis.T @ energy @ basis)
        shares.append(share)
        vectors.append(basis @ columns)
    return np.concatenate(vectors, 1)[:, np.argsort(np.concatenate(shares), kind="stable")]


def _energy(stops: Sequence[Piece], sizes: tuple[int, ...]) -> np.ndarray:
    """Q, `(entries, entries)`: the share of a kernel's energy in the stop bands is w'Qw."""
    axes = np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")
    places = np.stack([axis.ravel() for axis in axes], -1)
    apart = places[:, None] - places[None]
    line = len(sizes) == 1
    ring = _interval_energy(apart[..., 0]) if line else _disc_energy(np.linalg.norm(apart, axis=-1))
    edges = _union((stop.low, stop.high) for stop in stops)
    return sum((ring(high) - ring(low) for low, high in edges), np.zeros(apart.shape[:2]))


def _union(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches that do not overlap: those of a folded drawing may."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(stretches):
        if joined and low <= joined[-1][1]:
            low, high = joined[-1][0], max(joined[-1][1], high)
            joined.pop()
        joined.append((low, high))
    return joined


def outside_energy(stops: Sequence[Piece], sizes: tuple[int, ...]) -> np.ndarray:
    """M, `(entries, entries)`: the mean of |H|^2 outside the stop bands is w'Mw."""
    share = _energy(stops, (1,) * len(sizes))[0, 0]  # of all frequencies, in the stop bands
    inside = _energy(stops, sizes)
    return (np.eye(len(inside)) - inside) / (1 - share)


def _interval_energy(apart: np.ndarray) -> Callable[[float], np.ndarray]:
    return lambda edge: edge * np.sinc(edge * apart)


def _disc_energy(apart: np.ndarray) -> Callable[[float], np.ndarray]:
    """Of the disc of a radius in the square of side 2; radius 1 stands for the whole square."""

    def energy(edge: float) -> np.ndarray:
        if edge >= 1:
            return (apart == 0).astype(float)
        # The Fourier transform of a disc; its limit in the middle is the area.
        round_trip = np.where(apart == 0, 1, pi * edge * apart)
        ring = np.where(apart == 0, 0.5, j1(round_trip) / round_trip)
        return pi / 2 * edge**2 * ring

    return energy


def _worst_gain(stop: Piece, vectors: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The largest |H| in a stop band of any sum of the first m columns, for each m.

    The squares of its coefficients sum to 1.

    At one frequency |H|^2 is a form of rank 2 in the kernel, of the cosine and the sine part; its
    largest value on a subspace is the top eigenvalue of their 2 x 2 Gram matrix there.
    """
    cosines, sines = stop_waves(stop, sizes)
    even, odd = cosines @ vectors, sines @ vectors
    a, b, both = ((p * q).cumsum(1) for p, q in ((even, even), (odd, odd), (even, odd)))
    top = (a + b) / 2 + np.sqrt(((a - b) / 2) ** 2 + both**2)
    return np.sqrt(top.max(0))


def stop_waves(stop: Piece, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines `(F, entries)` on a dense grid of a stop band."""
    if len(sizes) == 1:
        count = max(64, round(2 * PER_TAP * sizes[0] * (stop.high - stop.low)))
        return waves(np.linspace(stop.low, stop.high, count), sizes[0])
    return plane_waves(*ring_grid(stop.low, stop.high, max(sizes)), sizes)


def ring_grid(low: float, high: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of one half of a ring around 0, its edges included; 1 reaches the corners."""
    across = np.linspace(-1, 1, 8 * size + 1)
    x, y = (axis.ravel() for axis in np.meshgrid(across, across[across >= 0]))
    reach = np.hypot(x, y)
    inside = (reach >= low) & ((reach <= high) | (high >= 1))
    turns = np.linspace(0, pi, 8 * size + 1)
    rims = [(edge * np.cos(turns), edge * np.sin(turns)) for edge in (low, high) if 0 < edge < 1]
    xs, ys = zip((x[inside], y[inside]), *rims, strict=True)
    return np.concatenate(xs), np.concatenate(ys)


def plane_waves(
    x: np.ndarray, y: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines `(F, rows * columns)` of plane waves, counted from the middle."""
    places = [np.arange(size) - (size - 1) / 2 for size in sizes]
    rows, columns = (axis.ravel() for axis in np.meshgrid(*places, indexing="ij"))
    angles = pi * (np.outer(y, rows) + np.outer(x, columns))
    return np.cos(angles), np.sin(angles)
