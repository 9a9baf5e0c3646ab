"""A convolution of windowed sincs: each filter passes one band, between two learned edges."""

from collections.abc import Callable
from itertools import count
from math import ceil, inf, log10, pi
from typing import TypeAlias

import numpy as np
import torch
from scipy.signal import kaiser_beta
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import ConstraintError, FilterShape
from shapekeeper.constraints.filters.drawing import Piece
from shapekeeper.constraints.filters.responses import waves

__all__ = ["SincConv1d", "SincKernels", "widest_sinc"]

Edges: TypeAlias = tuple[float, float]

RECTANGLE = 21.0  # dB that a sinc reaches with no window at all


class SincKernels(nn.Module):
    """Kernels that pass what lies between two edges: differences of two sincs, under a window.

    M. Ravanelli and Y. Bengio 2018, Speaker recognition from raw waveform with SincNet, eq. 4, with
    two things changed. The window is Kaiser's, for the drawing's attenuation, and the edges stay
    away from the stop bands by 0.55 of its transition (J. F. Kaiser 1974, Nonrecursive digital
    filter design using the I0-sinh window function); that estimate is deepened in steps of half a
    dB until no pair of edges misses. Edges are `low = a + (b - a) sigmoid(u)` and
    `high = low + (b - low) sigmoid(v)`: in order and between a and b, whatever the two free numbers
    of a filter are.

    The attenuation is promised relative to a gain of 1. A filter much narrower than the transition
    never gets there, and may miss the drawing relative to its own gain.

    Args:
        out_channels: Filters of each input channel.
        in_channels: Input channels.
        taps: Length of a kernel; of an even one the response at Nyquist is 0.
        shape: The drawing, stop bands alone, that leave one stretch of frequencies.

    Attributes:
        edges: The smallest low and the largest high edge, a and b, 1 = Nyquist.

    Raises:
        ConstraintError: If the drawing is another, or the kernels are too short for it.

    Example:
        >>> kernels = SincKernels(8, 1, 31, FilterShape.bandlimited(0.5))
        >>> kernels().shape, kernels.edges[0], round(kernels.edges[1], 3)
        (torch.Size([8, 1, 31]), 0.0, 0.407)
    """

    window: Tensor
    places: Tensor

    def __init__(self, out_channels: int, in_channels: int, taps: int, shape: FilterShape) -> None:
        super().__init__()

        free, _ = _stretches(shape)
        if len(free) != 1:
            raise ConstraintError(
                "A windowed sinc passes one band: wanted stop bands that leave one stretch of "
                f"frequencies free, got {len(free)} in {shape!r}."
            )

        def meets(window: Tensor, edges: list[Edges]) -> bool:
            return all(_loudest(stop, window, edges[0]) <= stop.radius[0] for stop in shape.pieces)

        window, (self.edges,) = _design(shape, taps, meets)
        for name, numbers in (("window", window), ("places", _places(taps))):
            self.register_buffer(name, numbers.to(torch.get_default_dtype()), persistent=False)
        self.low = nn.Parameter(torch.empty(out_channels, in_channels))
        self.high = nn.Parameter(torch.empty(out_channels, in_channels))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw two edges for each filter, uniformly between the outermost ones."""
        drawn = torch.rand(2, *self.low.shape).clamp(1e-3, 1 - 1e-3).sort(0).values
        self.low.copy_(torch.logit(drawn[0]))
        self.high.copy_(torch.logit((drawn[1] - drawn[0]) / (1 - drawn[0]), eps=1e-3))

    def bands(self) -> tuple[Tensor, Tensor]:
        """Low and high edges of the filters, each `(out, in)`, 1 = Nyquist.

        Example:
            >>> low, high = SincKernels(8, 1, 31, FilterShape.bandlimited(0.5)).bands()
            >>> bool((low <= high).all())
            True
        """
        first, last = self.edges
        low = first + (last - first) * self.low.sigmoid()
        return low, low + (last - low) * self.high.sigmoid()

    def forward(self) -> Tensor:
        """The kernels, `(out, in, taps)`."""
        low, high = (edge[..., None] for edge in self.bands())
        return _band(low, high, self.places) * self.window


class SincConv1d(nn.Module):
    """A convolution with two learned numbers a filter, the edges of the band that it passes.

    See `SincKernels`. Bind the name of its submodule `kernels` to measure or to hold the drawing:
    the value of that submodule is what the convolution sees as its weight.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        taps: Length of the kernels.
        shape: The drawing, stop bands alone, that leave one stretch of frequencies; its dilation is
            the convolution's.
        stride: As in `nn.Conv1d`, as the rest.
        padding: Samples added on both sides.
        padding_mode: How.
        bias: Whether there is one.

    Raises:
        ConstraintError: If the drawing is another, or the kernels are too short for it.

    Example:
        >>> layer = SincConv1d(1, 8, 31, FilterShape.bandlimited(0.5), padding=15)
        >>> layer(torch.rand(2, 1, 100)).shape, layer.weight.shape
        (torch.Size([2, 8, 100]), torch.Size([8, 1, 31]))
        >>> [name for name, _ in layer.named_parameters()]
        ['bias', 'kernels.low', 'kernels.high']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: int,
        shape: FilterShape,
        *,
        stride: int = 1,
        padding: int = 0,
        padding_mode: str = "zeros",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.shape, self.stride, self.padding = shape, stride, padding
        self.padding_mode = "constant" if padding_mode == "zeros" else padding_mode
        self.kernels = SincKernels(out_channels, in_channels, taps, shape)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw edges, and a bias as `nn.Conv1d` does."""
        self.kernels.reset_parameters()
        if self.bias is not None:
            reach = self.weight[0].numel() ** -0.5
            self.bias.uniform_(-reach, reach)

    @property
    def weight(self) -> Tensor:
        """The kernels as they are now, `(out, in, taps)`; gradients flow to the edges."""
        return self.kernels()

    def forward(self, x: Tensor) -> Tensor:
        """The convolution.

        Args:
            x: `(batch, in, samples)`.

        Returns:
            `(batch, out, samples)`, or fewer or more by padding and stride.
        """
        x = F.pad(x, (self.padding, self.padding), self.padding_mode) if self.padding else x
        return F.conv1d(x, self.weight, self.bias, self.stride, dilation=self.shape.dilation)

    def extra_repr(self) -> str:
        """What the module's printed form says about it."""
        out, inputs = self.kernels.low.shape
        return f"{inputs}, {out}, taps={len(self.kernels.window)}, {self.shape}"


def widest_sinc(shape: FilterShape, taps: int) -> Tensor:
    """The fixed filter an engineer would take: all that a drawing leaves free, windowed.

    The sum of the widest windowed sincs (see `SincKernels`) of all stretches between stop bands.

    Args:
        shape: A drawing of stop bands alone.
        taps: Length of the kernel.

    Returns:
        One kernel `(taps,)` in double precision, with a gain of about 1.

    Raises:
        ConstraintError: If the drawing is another, or the kernel is too short for it.

    Example:
        >>> shape = FilterShape.bandlimited(0.5)
        >>> shape.violation(widest_sinc(shape, 31)).item()
        0.0
    """

    def meets(window: Tensor, edges: list[Edges]) -> bool:
        return shape.violation(_sum(window, edges)).item() == 0

    return _sum(*_design(shape, taps, meets))


def _sum(window: Tensor, edges: list[Edges]) -> Tensor:
    places = _places(len(window))
    ends = torch.tensor(edges, dtype=torch.float64)
    parts = [_band(low, high, places) for low, high in ends]
    return torch.stack(parts).sum(0) * window


def _band(low: Tensor, high: Tensor, places: Tensor) -> Tensor:
    """Kernels of endless length, cut, that pass what is between two edges."""
    # torch.sinc: sin(x) / x has no gradient in the middle tap.
    return high * torch.sinc(high * places) - low * torch.sinc(low * places)


def _places(taps: int) -> Tensor:
    return torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2


def _design(
    shape: FilterShape, taps: int, meets: Callable[[Tensor, list[Edges]], bool]
) -> tuple[Tensor, list[Edges]]:
    """The first window, and how far edges may go under it, that are good enough."""
    stretches, wanted = _stretches(shape)
    for extra in count(step=0.5):  # ends: the edges meet each other, and that is an error
        decibels = max(wanted + extra, RECTANGLE)
        edges = [_edges(low, high, decibels, wanted, taps) for low, high in stretches]
        beta = float(kaiser_beta(decibels))
        window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
        if meets(window, edges):
            return window, edges
    raise AssertionError


def _stretches(shape: FilterShape) -> tuple[list[Edges], float]:
    """Where a drawing leaves the kernel free, and the largest attenuation it wants elsewhere."""
    if shape.kind != "band-limited" or shape.dimensions != 1:
        raise ConstraintError(
            "A windowed sinc keeps to stop bands alone, in one dimension: wanted "
            f"FilterShape.bandlimited(...), got {shape!r}."
        )
    free, reached = [], 0.0
    for low, high in [*sorted((piece.low, piece.high) for piece in shape.pieces), (1.0, 1.0)]:
        free += [(reached, low)] if low > reached else []
        reached = max(reached, high)
    return free, max(-20 * log10(piece.radius[0]) for piece in shape.pieces)


def _edges(low: float, high: float, decibels: float, wanted: float, taps: int) -> Edges:
    """How far the edges of a filter may go, so that it is down where stop bands begin."""
    # Kaiser's estimate of how far the way from 1 down to the attenuation is, times taps - 1.
    way = 0.55 * (decibels - 7.95) / (2.285 * pi)
    away = way / (taps - 1) if taps > 1 else inf
    first = low + away if low > 0 else 0.0
    last = high - away if high < 1 else 1.0
    if first < last:
        return first, last
    sides = (low > 0) + (high < 1)
    raise ConstraintError(
        f"{taps} taps are too short for a windowed sinc that is {wanted:g} dB down outside "
        f"{low:g} to {high:g}: wanted at least {ceil(sides * way / (high - low)) + 1}."
    )


def _loudest(stop: Piece, window: Tensor, edges: Edges) -> float:
    """The largest response in a stop band of any kernel with two edges between the outermost.

    The response is the difference of those of two lowpass filters, one for each edge.
    """
    taps = len(window)
    cosines, _ = waves(np.linspace(stop.low, stop.high, 16 * taps), taps)
    edge = torch.linspace(*edges, 16 * taps, dtype=torch.float64)[:, None]
    lowpass = _band(torch.zeros_like(edge), edge, _places(taps)) * window
    responses = lowpass @ torch.as_tensor(cosines).T
    return (responses.amax(0) - responses.amin(0)).max().item()
