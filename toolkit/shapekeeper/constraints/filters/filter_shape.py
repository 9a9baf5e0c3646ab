"""Convolution kernels that keep to a drawn magnitude response."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..constraint import Constraint, ConstraintError
from ..surface import Surface, Time, onward
from ..tensor_value import TensorValue
from .bandlimited import Subspace
from .drawing import Band, Piece, Point, amplitude, drawing_problems, folded, pieces_of
from .feasibility import Feasibility, feasibility
from .gauge import Gauge
from .report import FilterReport
from .symmetric import SymmetricKernels
from .writing import written

__all__ = ["FilterShape"]

# Level of what padding lets through to the output of 40 samples, of tones in the stop band.
LEAKS = {"zeros": -27, "reflect": -27, "replicate": -18}

SETTINGS = ("gain", "sampling_rate", "dilation", "dimensions")
MARGIN = 0.5  # dB

Gain = Literal["free", "unit"]
Pair = tuple[float, float]


@dataclass(frozen=True, init=False, repr=False)
class FilterShape(Surface, Constraint):
    """Kernels of a convolution that keep to a drawn magnitude response, each filter by itself.

    The weight of `nn.Conv1d` is `(out, in, taps)`; each of its `out * in` filters is one event.
    There are two kinds, by what is drawn:

    - *band-limited*, stop bands alone: what lies outside them has any shape. The kernels are held
      to a linear subspace in which every one, and every sum of them, meets the drawing
      (`Subspace`), in one dimension or two.
    - *template*, pass bands or a target as well: symmetric kernels, held to a polytope, or to a
      cone where the gain is free (T. W. Parks and J. H. McClellan 1972, Chebyshev approximation
      for nonrecursive digital filters with linear phase). Filters of one template differ little.

    `violation` asks the drawing alone: by how many dB |H| is off it, relative to the kernel's own
    gain. Kernels outside the subspace, or not symmetric, may meet it too; `project` gives the
    nearest of those that are held. What is promised is the response of the kernel. Padding adds
    other frequencies at the borders of its output (zeros: -27 dB on 40 samples), and so does a
    nonlinearity behind it.

    Args:
        bands: `Band`s, or tuples `(kind, low, high, decibels)` with kind "pass" or "stop".
        gain: Whether levels are relative to each kernel's own gain ("free": what a later layer or
            normalization can undo anyway), or to 1 ("unit").
        sampling_rate: Frequencies are in Hz of a signal with this many samples per second; None:
            in units of Nyquist.
        dilation: Of the convolution; the drawing is about its input, whatever the dilation.
        dimensions: 2 for the kernels of `nn.Conv2d`, where frequencies are distances from 0 and
            only stop bands can be held.

    Raises:
        ConstraintError: If the drawing can't be one; all problems at once.

    Example:
        >>> lowpass = FilterShape.lowpass(0.2, 0.35)
        >>> lowpass
        FilterShape.lowpass(0.2, 0.35)
        >>> kernel = torch.zeros(31)
        >>> kernel[15] = 1.0  # lets everything through: 40 dB too much in the stop band
        >>> lowpass.violation(kernel).round(decimals=3), lowpass.violation(lowpass.project(kernel))
        (tensor(40., dtype=torch.float64), tensor(0., dtype=torch.float64))
    """

    bands: tuple[Band, ...]
    points: tuple[Point, ...]
    gain: Gain
    sampling_rate: float | None
    dilation: int
    dimensions: int

    unit: ClassVar[str] = "dB"

    def __init__(
        self,
        bands: Iterable[Any] = (),
        *,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
        dimensions: int = 1,
        points: Iterable[Any] = (),
    ) -> None:
        """See the class; `points` are those of `target`."""
        given = tuple(_entry(Band, band) for band in bands)
        corners = tuple(_entry(Point, point) for point in points)
        settings = (gain, sampling_rate, dilation, dimensions)
        if problems := drawing_problems(given, corners, *settings):
            raise ConstraintError(" ".join(problems))
        rising = tuple(sorted(given, key=lambda band: band.low))
        names = ("bands", "points", *SETTINGS)
        self.__setstate__(dict(zip(names, (rising, corners, *settings), strict=True)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The fields, and nothing worked out from them yet."""
        for name, value in {**state, "_made": {}}.items():
            object.__setattr__(self, name, value)

    # -- what can be drawn -------------------------------------------------------------------

    @classmethod
    def lowpass(
        cls,
        passband: float,
        stopband: float,
        *,
        ripple_db: float = 1.0,
        attenuation_db: float = 40.0,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
    ) -> "FilterShape":
        """Pass up to one edge, stop from a higher one on.

        Args:
            passband: Last frequency that passes; 1 = Nyquist, or Hz with a sampling rate.
            stopband: First frequency that is stopped.
            ripple_db: How far the gain may be off in the pass band, up or down.
            attenuation_db: How far it must be down in the stop band.
            gain: See the class, as the rest.
            sampling_rate: Samples per second.
            dilation: Of the convolution.

        Raises:
            ConstraintError: If the drawing can't be one.

        Example:
            >>> FilterShape.lowpass(300, 500, attenuation_db=60, sampling_rate=8000).bands[1]
            Band(kind='stop', low=500.0, high=4000.0, decibels=60.0)
        """
        nyquist = _nyquist(sampling_rate)
        bands = [("pass", 0, passband, ripple_db), ("stop", stopband, nyquist, attenuation_db)]
        return cls(bands, gain=gain, sampling_rate=sampling_rate, dilation=dilation)

    @classmethod
    def highpass(
        cls,
        passband: float,
        stopband: float,
        *,
        ripple_db: float = 1.0,
        attenuation_db: float = 40.0,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
    ) -> "FilterShape":
        """Stop up to one edge, pass from a higher one on; arguments as for `lowpass`.

        Example:
            >>> FilterShape.highpass(0.6, 0.4).bands[0]
            Band(kind='stop', low=0.0, high=0.4, decibels=40.0)
        """
        nyquist = _nyquist(sampling_rate)
        bands = [("stop", 0, stopband, attenuation_db), ("pass", passband, nyquist, ripple_db)]
        return cls(bands, gain=gain, sampling_rate=sampling_rate, dilation=dilation)

    @classmethod
    def bandpass(
        cls,
        passband: Pair,
        stopbands: Pair,
        *,
        ripple_db: float = 1.0,
        attenuation_db: float = 40.0,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
    ) -> "FilterShape":
        """Pass between two edges, stop below a lower and above a higher one.

        Args:
            passband: First and last frequency that passes.
            stopbands: Stop up to the first and from the second on.
            ripple_db: As for `lowpass`, as the rest.
            attenuation_db: In both stop bands.
            gain: See the class.
            sampling_rate: Samples per second.
            dilation: Of the convolution.

        Example:
            >>> [band.kind for band in FilterShape.bandpass((0.4, 0.6), (0.3, 0.7)).bands]
            ['stop', 'pass', 'stop']
        """
        nyquist = _nyquist(sampling_rate)
        bands = [
            ("stop", 0, stopbands[0], attenuation_db),
            ("pass", *passband, ripple_db),
            ("stop", stopbands[1], nyquist, attenuation_db),
        ]
        return cls(bands, gain=gain, sampling_rate=sampling_rate, dilation=dilation)

    @classmethod
    def bandstop(
        cls,
        passbands: Pair,
        stopband: Pair,
        *,
        ripple_db: float = 1.0,
        attenuation_db: float = 40.0,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
    ) -> "FilterShape":
        """Stop between two edges, pass below a lower and above a higher one: a notch.

        Args:
            passbands: Pass up to the first and from the second on.
            stopband: First and last frequency that is stopped.
            ripple_db: As for `lowpass`, as the rest; in both pass bands.
            attenuation_db: In the stop band.
            gain: See the class.
            sampling_rate: Samples per second.
            dilation: Of the convolution.

        Example:
            >>> [band.kind for band in FilterShape.bandstop((0.3, 0.7), (0.4, 0.6)).bands]
            ['pass', 'stop', 'pass']
        """
        nyquist = _nyquist(sampling_rate)
        bands = [
            ("pass", 0, passbands[0], ripple_db),
            ("stop", *stopband, attenuation_db),
            ("pass", passbands[1], nyquist, ripple_db),
        ]
        return cls(bands, gain=gain, sampling_rate=sampling_rate, dilation=dilation)

    @classmethod
    def bandlimited(
        cls,
        stopband: float | Pair | Sequence[Pair],
        *,
        attenuation_db: float = 40.0,
        sampling_rate: float | None = None,
        dilation: int = 1,
        dimensions: int = 1,
    ) -> "FilterShape":
        """Nothing in the stop bands, anything outside them.

        Args:
            stopband: An edge, from which on everything is stopped; a pair of edges; or several
                pairs.
            attenuation_db: How far the response must be down, relative to its root mean square
                outside the stop bands.
            sampling_rate: Samples per second; None: frequencies are in units of Nyquist.
            dilation: Of the convolution.
            dimensions: 2 for `nn.Conv2d`: rings of frequencies, the outermost with the corners.

        Example:
            >>> FilterShape.bandlimited(0.5, attenuation_db=30).kind
            'band-limited'
        """
        given: Any = stopband
        if isinstance(given, (int, float)):
            given = [(given, _nyquist(sampling_rate))]
        elif given and isinstance(given[0], (int, float)):
            given = [given]
        bands = [("stop", *edges, attenuation_db) for edges in given]
        return cls(bands, sampling_rate=sampling_rate, dilation=dilation, dimensions=dimensions)

    @classmethod
    def target(
        cls,
        frequencies: Iterable[float],
        gains: Iterable[float],
        tolerance: float | Iterable[float],
        *,
        gain: Gain = "free",
        sampling_rate: float | None = None,
        dilation: int = 1,
    ) -> "FilterShape":
        """A free-hand response, straight lines between given points.

        Args:
            frequencies: Rising; what lies below the first and above the last is free.
            gains: Wanted gain at each, linear, from 0 up.
            tolerance: How far the gain may be off, linear: one for all, or one for each.
            gain: See the class, as the rest; a free gain is measured by the target itself.
            sampling_rate: Samples per second.
            dilation: Of the convolution.

        Example:
            >>> tilted = FilterShape.target([0, 0.5, 1], [1, 0.5, 0.1], 0.05)
            >>> tilted.limits([0.25])
            (array([0.7]), array([0.8]))
        """
        places, heights = list(frequencies), list(gains)
        same = isinstance(tolerance, (int, float))
        widths = [tolerance] * len(places) if same else list(tolerance)  # type: ignore[arg-type]
        if not len(places) == len(heights) == len(widths):
            raise ConstraintError(
                f"Wanted as many gains and tolerances as frequencies, got {len(places)} "
                f"frequencies, {len(heights)} gains and {len(widths)} tolerances."
            )
        points = zip(places, heights, widths, strict=True)
        return cls(points=points, gain=gain, sampling_rate=sampling_rate, dilation=dilation)

    # -- what is drawn -----------------------------------------------------------------------

    @property
    def event_dims(self) -> int:  # type: ignore[override]  # depends on the setting
        """1 for the taps of a line, 2 for those of a plane."""
        return self.dimensions

    @property
    def kind(self) -> Literal["band-limited", "template"]:
        """Which kind of set the kernels are held to."""
        silent = not self.points and all(band.kind == "stop" for band in self.bands)
        return "band-limited" if silent else "template"

    @property
    def nyquist(self) -> float:
        """The highest frequency of the drawing: 1, or half the sampling rate."""
        return _nyquist(self.sampling_rate)

    def limits(self, frequencies: Any) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest level that the drawing allows, linear.

        Args:
            frequencies: `(F,)` of the input, in the drawing's unit.

        Returns:
            Two arrays `(F,)`; 0 and infinity where nothing is drawn.

        Example:
            >>> FilterShape.lowpass(0.2, 0.35).limits([0.3, 0.5])
            (array([0., 0.]), array([ inf, 0.01]))
        """
        places = np.asarray(frequencies, float) / self.nyquist
        low, high = np.zeros(places.shape), np.full(places.shape, np.inf)
        for piece in self._drawn:
            inside = (places >= piece.low) & (places <= piece.high)
            middle, radius = piece.at(places)
            low = np.where(inside, np.maximum(low, middle - radius), low)
            high = np.where(inside, np.minimum(high, middle + radius), high)
        return low, high

    @property
    def _drawn(self) -> tuple[Piece, ...]:
        """The drawing over the input's frequencies, 1 = Nyquist."""
        return pieces_of(self.bands, self.points, self.nyquist)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The drawing over the kernel's own frequencies, 1 = Nyquist."""
        return folded(self._drawn, self.dilation)

    def __repr__(self) -> str:
        """The call that makes it."""
        return written(self)

    # -- the constraint ----------------------------------------------------------------------

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless kernels of this size can do it, and say what could."""
        sizes = tuple(shape)[-self.dimensions :]
        if len(sizes) < self.dimensions or 0 in sizes:
            taps = "taps" if self.dimensions == 1 else "(rows, columns) of taps"
            raise ConstraintError(
                f"Wanted a weight whose last axes are the {taps}, got shape {tuple(shape)}."
            )
        if not (found := self.feasibility(*sizes)).feasible:
            raise ConstraintError(found.message)

    def check_layer(self, layer: nn.Module) -> None:
        """Raise ConstraintError where a layer would make something else of the drawing.

        A dilation other than the drawing's moves all frequencies; a stride folds what is above
        `1 / stride` back into what is kept, unless the drawing stops it.
        """
        dilation = set(_settings(layer, "dilation"))
        if dilation and dilation != {self.dilation}:
            raise ConstraintError(
                f"The layer has dilation {max(dilation)}, the drawing is for {self.dilation}: its "
                "frequencies would be others. Wanted FilterShape(..., "
                f"dilation={max(dilation)}) or a layer with dilation={self.dilation}."
            )
        stride = max(_settings(layer, "stride"), default=1)
        if stride > 1 and not getattr(layer, "transposed", False):
            self._refuse_aliases(stride)

    def _refuse_aliases(self, stride: int) -> None:
        edge = 1 / stride
        stopped = sorted((p.low, p.high) for p in self._drawn if p.stops and p.high > edge)
        for low, high in stopped:
            if low > edge + 1e-9:
                break
            edge = max(edge, high)
        if edge < 1 - 1e-9:
            raise ConstraintError(
                f"With stride {stride}, frequencies above {self.nyquist / stride:g} fold back into "
                f"those that are kept, and the drawing does not stop them from "
                f"{edge * self.nyquist:g} on. Wanted stop bands from {self.nyquist / stride:g} to "
                f"{self.nyquist:g}, or stride 1 and a subsampling of your own, y[..., ::{stride}]."
            )

    def notes(self, x: Tensor, layer: nn.Module) -> list[str]:
        """How the filters stand to the drawing, and what the layer adds to them."""
        said = [f"{self.measure(x)}."]
        mode = getattr(layer, "padding_mode", "zeros")
        padded = getattr(layer, "padding", 0) == "same" or any(_settings(layer, "padding"))
        if mode != "circular" and padded:
            said.append(
                f"padding with {mode} leaks at the borders whatever the kernel, about "
                f"{LEAKS[mode]} dB on 40 samples; 'circular', or none, does not."
            )
        return said

    def feasibility(self, *sizes: int) -> Feasibility:
        """Whether kernels of a size can meet the drawing, by how much, and what would.

        Args:
            *sizes: Number of taps; rows and columns in two dimensions.

        Example:
            >>> FilterShape.lowpass(0.2, 0.35).feasibility(31).feasible
            True
        """
        return self._once("feasibility", sizes, lambda: feasibility(self, *sizes))

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """By how many dB each frequency of a dense grid is off; no `equal`.

        In double precision: what 60 dB down is off by is not to be seen otherwise.
        """
        at_most = self._gauge(x).excess(self._flat(_exact(x)))
        return at_most[..., :0], at_most

    def tolerance(self, dtype: torch.dtype) -> float:
        """0.02 dB, and what rounding the taps adds to the deepest stop band."""
        depth = min((p.radius[0] for p in self.pieces if p.stops), default=1.0)
        rounding = 4 * torch.finfo(dtype).eps  # half of it, for each of 64 taps of equal size
        return 0.02 + float(20 * np.log10(1 + rounding / depth))

    def penalty(self, x: Tensor) -> Tensor:
        """Mean over frequencies of the squared miss in units of 10 dB, `(*batch)`.

        In dB it keeps its pull all the way; in amplitudes it would fade far from the drawing's
        floor, and the energy in a stop band promises no level.
        """
        off = self._gauge(x).excess(self._flat(_floating(x)))
        return (off.clamp(min=0) / 10).square().mean(-1).to(x.dtype)

    def inside(self) -> "FilterShape":
        """The drawing with half a dB to spare: stop bands deeper, pass bands half as wide at most.

        Example:
            >>> FilterShape.lowpass(0.2, 0.35).inside()
            FilterShape.lowpass(0.2, 0.35, ripple_db=0.5, attenuation_db=40.5)
        """
        return self._once("inside", (), self._narrowed)

    def _narrowed(self) -> "FilterShape":
        bands = [
            band._replace(decibels=band.decibels + MARGIN)
            if band.kind == "stop"
            else band._replace(decibels=max(band.decibels - MARGIN, band.decibels / 2))
            for band in self.bands
        ]
        points = [p._replace(tolerance=p.tolerance / amplitude(MARGIN)) for p in self.points]
        settings = {name: getattr(self, name) for name in SETTINGS}
        return FilterShape(bands, points=points, **settings)

    def project(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """The nearest kernels that are held; see the class.

        Args:
            x: Kernels `(*batch, *event)`.
            warm: A memory, for templates alone. With one, the search goes on for a fixed number of
                steps from where it ended before, and ends at kernels that are allowed but perhaps
                not yet the nearest; on weights that come to rest it gets there. It is written to.

        Returns:
            Kernels of the same shape.
        """
        sizes = self._sizes(x)
        if self.kind == "band-limited":
            flat = self._flat(_floating(x))
            return (
                (flat @ self._projector(sizes).on(flat.device, flat.dtype)).view_as(x).to(x.dtype)
            )
        kernels = self._kernels(sizes)
        if warm is not None:
            return kernels.follow(_floating(x), warm).to(x.dtype)
        return kernels.nearest(_exact(x)).to(x)

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place and without gradient; templates go on from `warm`."""
        with torch.no_grad():
            return x.copy_(self.project(x, warm))

    def start(self, x: Tensor) -> Tensor:
        """Projected, and where the gain is free with the norm from before.

        A kernel that has nothing of the drawing becomes the one in its middle.
        """
        nearest = self.project(x)
        if self.gain == "unit":
            return nearest
        axes = tuple(range(-self.dimensions, 0))
        before, after = (
            torch.linalg.vector_norm(part, dim=axes, keepdim=True) for part in (x, nearest)
        )
        lost = after <= 1e-6 * before
        nearest = torch.where(lost, self._central(x), nearest)
        after = torch.where(lost, torch.ones_like(after), after)
        return nearest * (before / after.clamp(min=torch.finfo(x.dtype).tiny))

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Allowed kernels stand for themselves; templates move those on the boundary inside.

        By 1e-3 of the way to the middle: on the boundary itself rounding would decide which way
        the first gradient takes.
        """
        if self.kind == "band-limited":
            return x
        return self._kernels(self._sizes(x)).ray(_floating(x), share=1 - 1e-3).to(x.dtype)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Band-limited: the nearest kernels. Template: where the way in from `u` meets the set.

        That way leads from u, made symmetric, straight to the kernel in the middle of the drawing
        that has the gain of u (J. Tordesillas, J. P. How and M. Hutter 2023, RAYEN: imposition of
        hard convex constraints on neural networks, section 4). Where the best kernel lies in a
        corner of the set, training by this chart takes long to get there, many times the steps that
        Projection takes; where it lies inside, it may be missed, since no gradient leads free
        numbers back that have left the set.
        """
        if self.kind == "band-limited":
            return self.project(u)
        return self._kernels(self._sizes(u)).ray(_floating(u)).to(u.dtype)

    @property
    def surface(self) -> Surface | None:
        """The subspace of a band-limited drawing; a template has edges."""
        return self if self.kind == "band-limited" else None

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """What lies in the subspace."""
        return self.project(v)

    def glide(self, q: Tensor, v: Tensor, time: Time = 1.0) -> tuple[Tensor, Tensor]:
        """Straight on; projected, so that roundings don't add up."""
        return self.project(onward(q, v, time)), v

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Normal kernels, projected, each brought to norm 1 where the gain is free."""
        self.check(shape)
        device = None if generator is None else generator.device
        drawn = torch.randn(shape, generator=generator, device=device)
        axes = tuple(range(-self.dimensions, 0))
        return self.start(drawn / torch.linalg.vector_norm(drawn, dim=axes, keepdim=True))

    def reference(self, x: Tensor) -> Tensor:
        """The gain that the levels of each kernel are relative to, `(*batch)`.

        The mean of |H| over the pass bands, or under the target; with stop bands alone the root
        mean square of |H| outside them; 1 where the gain is "unit".

        Example:
            >>> FilterShape.lowpass(0.2, 0.35).reference(torch.tensor([0.0, 2.0, 0.0]))
            tensor(2., dtype=torch.float64)
        """
        gauge, flat = self._gauge(x), self._flat(_exact(x))
        return gauge.gain(flat, gauge.magnitude(flat))

    def measure(self, weight: Tensor) -> FilterReport:
        """Every filter of a layer against the drawing.

        Args:
            weight: `(out, in, taps)`, or one or more kernels `(..., taps)`; `(out, in, rows,
                columns)` in two dimensions.

        Example:
            >>> shape = FilterShape.bandlimited(0.5, attenuation_db=30)
            >>> shape.measure(shape.sample((4, 2, 15))).share_met
            1.0
        """
        return FilterReport.of(self, self._gauge(weight), weight)

    # -- made once for each size -------------------------------------------------------------

    def _once(self, what: str, sizes: tuple[int, ...], make: Any) -> Any:
        made: dict[Any, Any] = self.__dict__["_made"]
        if (what, sizes) not in made:
            made[what, sizes] = make()
        return made[what, sizes]

    def _sizes(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[-self.dimensions :])

    def _flat(self, x: Tensor) -> Tensor:
        return x.flatten(-self.dimensions) if self.dimensions > 1 else x

    def _gauge(self, x: Tensor) -> Gauge:
        sizes = self._sizes(x)
        make = lambda: Gauge.of(self.pieces, sizes, self.gain == "unit")  # noqa: E731
        return self._once("gauge", sizes, make)

    def _projector(self, sizes: tuple[int, ...]) -> TensorValue:
        """Onto the subspace, `(entries, entries)`; symmetric."""

        def make() -> TensorValue:
            self.check(sizes)
            basis = Subspace.of(self.pieces, sizes).basis
            return TensorValue.of(basis @ basis.T)

        return self._once("projector", sizes, make)

    def _kernels(self, sizes: tuple[int, ...]) -> SymmetricKernels:
        def make() -> SymmetricKernels:
            self.check(sizes)
            return SymmetricKernels.of(self.pieces, sizes[0], self.gain)

        return self._once("kernels", sizes, make)

    def _central(self, x: Tensor) -> Tensor:
        """The kernel in the middle of the drawing, of norm 1, shaped as one event of `x`."""
        sizes = self._sizes(x)

        def make() -> TensorValue:
            if self.kind == "template":
                kernel = self._kernels(sizes).center
            else:
                kernel = Subspace.of(self.pieces, sizes).basis[:, 0]
            return TensorValue.of((kernel / np.linalg.norm(kernel)).reshape(sizes))

        return self._once("central", sizes, make).on(x.device, x.dtype)

    # -- as data -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Bands and points as lists, settings that are not the usual ones."""
        saved: dict[str, Any] = {"constraint": "FilterShape"}
        saved["bands"] = [list(band) for band in self.bands]
        saved["points"] = [list(point) for point in self.points]
        return saved | {name: getattr(self, name) for name in SETTINGS}

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> "FilterShape":
        return cls(**settings)


def _entry(kind: Any, given: Any) -> Any:
    """A band or a point, numbers as floats; what can't be one is left for the list of problems."""
    try:
        return kind(*(float(v) if isinstance(v, (int, float)) else v for v in given))
    except TypeError as error:
        wanted = ", ".join(kind._fields)
        raise ConstraintError(
            f"Wanted a {kind.__name__.lower()} ({wanted}), got {given!r}."
        ) from error


def _nyquist(sampling_rate: Any) -> float:
    usable = isinstance(sampling_rate, (int, float)) and sampling_rate > 0
    return sampling_rate / 2 if usable else 1.0


def _settings(layer: nn.Module, name: str) -> tuple[int, ...]:
    """A setting of a convolution along each axis; nothing for other layers."""
    value = getattr(layer, name, ())
    return (value,) if isinstance(value, int) else tuple(value) if isinstance(value, tuple) else ()


def _floating(x: Tensor) -> Tensor:
    """In single or double precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _exact(x: Tensor) -> Tensor:
    """In double precision, where there is any."""
    return x.cpu().double() if x.device.type == "mps" else x.double()
