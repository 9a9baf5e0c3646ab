"""Whether kernels of a size can meet a drawing, by how much, and what would help if not."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf, log10
from typing import TYPE_CHECKING

import numpy as np

from .bandlimited import Subspace
from .exchange import nearest_miss, read
from .telling import message, reason, size_told, statement
from .template import symmetric_basis
from .ways_out import (
    ENOUGH,
    SILENCE,
    Sizes,
    Way,
    humbler,
    kaiser_taps,
    later_stop,
    neighbors,
    passes_at_nyquist,
    quietest,
    reached_db,
    reached_free_db,
    sizes_needed,
    wider_tolerance,
)

if TYPE_CHECKING:
    from .filter_shape import FilterShape

__all__ = ["Feasibility", "feasibility"]


@dataclass(frozen=True)
class Feasibility:
    """What kernels of one size can do for a drawing.

    The fields come from one linear program. Everything else is searched for when it is first asked
    for, and kept.

    Attributes:
        shape: What is drawn.
        sizes: Of the kernel: its taps, or rows and columns.
        scale: The smallest multiple of all tolerances that some symmetric kernel meets, over all
            frequencies. Of stop bands alone, that of the quietest kernel. For a template it is not
            followed below 0.05, or about 0.1 with a free gain, the kernel being one of many there;
            and kernels louder than 100 times their gain do not count.
        freedom: How many numbers are free in a kernel: dimensions of the subspace, or half the
            taps of a symmetric kernel.
        kernel: The one that meets this multiple, of gain 1; in the shape of `sizes`.
        worst_stop_db: Its highest level in a stop band, None without one.
        worst_ripple_db: The farthest it is off in a pass band, None without one.

    Example:
        >>> from shapekeeper import FilterShape
        >>> found = FilterShape.lowpass(0.2, 0.3, ripple_db=0.5, gain="unit").feasibility(15)
        >>> found.feasible, found.statement
        (False, 'No symmetric kernel of 15 taps meets this drawing.')
        >>> [label for label, shape, taps in found.ways]
        ['Use 33 taps', 'Stop from 0.43', 'Ask for 12 dB']
    """

    shape: "FilterShape"
    sizes: Sizes
    scale: float
    freedom: int
    kernel: np.ndarray = field(compare=False, repr=False)
    worst_stop_db: float | None
    worst_ripple_db: float | None

    @property
    def taps(self) -> int:
        """How many taps a kernel has; in two dimensions, how many rows."""
        return self.sizes[0]

    @property
    def margin(self) -> float:
        """How many times tighter all tolerances could be; below 1 where the drawing is missed."""
        return 1 / self.scale

    @property
    def feasible(self) -> bool:
        """Whether a constraint can hold kernels of this size to the drawing.

        A template keeps 2 % of every tolerance for what happens between the frequencies it asks,
        so it needs a margin of 1.02.
        """
        limited = self.shape.kind == "band-limited"
        return self.freedom > 0 if limited else self.scale <= ENOUGH

    @property
    def silenced(self) -> bool:
        """Whether symmetric kernels of this even size can't pass what they are to pass."""
        line = self.shape.kind == "template" and self.taps % 2 == 0
        return line and passes_at_nyquist(self.shape.pieces)

    @property
    def statement(self) -> str:
        """The result in one sentence, without any search."""
        return statement(self)

    @cached_property
    def reason(self) -> str:
        """Why not, for a reader who has the drawing in view; empty where it is met."""
        return reason(self)

    @cached_property
    def message(self) -> str:
        """The whole answer: what was wanted, what the size can do, and the ways out."""
        return message(self)

    @cached_property
    def attenuation_db(self) -> float | None:
        """Attenuation that the size reaches with edges and ripple kept, of the strictest band.

        None for a drawing with nothing to ask less of, minus infinity where the pass bands alone
        can't be kept.
        """
        return None if self._miss_db is None else self._asked - self._miss_db

    @cached_property
    def free_phase_db(self) -> float | None:
        """What a kernel of any phase would reach, where the drawing is missed.

        None where it is met, without stop bands, and from 100 taps on.
        """
        missed = self._free_miss_db
        return None if missed is None else self._asked - missed

    @cached_property
    def kaiser_taps(self) -> int | None:
        """Kaiser's estimate of the number of taps; too low for short kernels."""
        return kaiser_taps(self.shape.pieces)

    @cached_property
    def sizes_needed(self) -> Sizes | None:
        """As `taps_needed`, of all axes."""
        return sizes_needed(self.shape, self.sizes)

    @property
    def taps_needed(self) -> int | None:
        """The smallest sufficient number of taps, as odd or even as the one that was asked for.

        Odd where no even number can do it; None if none is found up to 255, or 15 rows.
        """
        return None if self.sizes_needed is None else self.sizes_needed[0]

    @property
    def stop_edge(self) -> float | None:
        """Where the first moved stop edge has to be, None if moving does not help or is not due."""
        if self._later is None:
            return None
        pairs = zip(self.shape.bands, self._later[1].bands, strict=True)
        edges = [(a, b) for old, new in pairs for a, b in zip(old[1:3], new[1:3], strict=True)]
        return next(new for old, new in edges if old != new)

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """Changes that do it, each by itself: its words, the drawing and the number of taps.

        Rows and columns in place of the number in two dimensions. Empty where the drawing is met.
        """
        if self.feasible:
            return ()
        longer = neighbors(self.shape, self.sizes) if self.silenced else []
        if not longer and self.sizes_needed:
            longer = [self.sizes_needed]
        ways = [(f"Use {size_told(sizes)}", self.shape, _size(sizes)) for sizes in longer]
        if self.silenced:
            return tuple(ways)
        changed = [self._later, self._humbler, self._wider]
        return (*ways, *((*found, _size(self.sizes)) for found in changed if found))

    # -- searched for once -------------------------------------------------------------------

    @cached_property
    def _miss_db(self) -> float | None:
        return reached_db(self.shape, self.sizes, self.scale)

    @cached_property
    def _free_miss_db(self) -> float | None:
        if self.feasible or self.silenced:
            return None
        return reached_free_db(self.shape, self.sizes, self._miss_db)

    @cached_property
    def _later(self) -> "tuple[str, FilterShape] | None":
        due = not (self.feasible or self.silenced or self.shape.points)
        return later_stop(self.shape, self.sizes) if due else None

    @cached_property
    def _humbler(self) -> "tuple[str, FilterShape] | None":
        if self._miss_db in (None, inf):
            return None
        return humbler(self.shape, self.sizes, 10 ** (self._miss_db / 20))

    @cached_property
    def _wider(self) -> "tuple[str, FilterShape] | None":
        due = self.shape.points and not self.shape.bands
        return wider_tolerance(self.shape, self.sizes, self.scale) if due else None

    @property
    def _asked(self) -> float:
        return max(band.decibels for band in self.shape.bands if band.kind == "stop")


def feasibility(shape: "FilterShape", *sizes: int) -> Feasibility:
    """What kernels of one size can do for a drawing.

    Args:
        shape: What is drawn.
        *sizes: Number of taps; rows and columns in two dimensions.

    Example:
        >>> from shapekeeper import FilterShape
        >>> feasibility(FilterShape.lowpass(0.2, 0.35, gain="unit"), 31).message
        '31 taps meet this drawing, and would with tolerances 6 times tighter.'
        >>> feasibility(FilterShape.bandlimited(0.5), 31).message
        'band-limited: 10 free numbers of 31'
    """
    if shape.kind == "band-limited":
        return _of_subspace(shape, sizes)
    pieces, taps = shape.pieces, sizes[0]
    fit = nearest_miss(pieces, taps, shape.gain)
    stop, ripple = read(pieces, fit.coordinates, taps)
    return Feasibility(
        shape=shape,
        sizes=sizes,
        scale=fit.scale,
        freedom=len(fit.coordinates),
        kernel=_constant(symmetric_basis(taps) @ fit.coordinates),
        worst_stop_db=None if stop is None else 20 * log10(max(stop, SILENCE)),
        worst_ripple_db=ripple,
    )


def _of_subspace(shape: "FilterShape", sizes: Sizes) -> Feasibility:
    """The same for stop bands alone: the quietest kernel, and how many beside it are allowed."""
    kernel, scale, stop = quietest(shape.pieces, sizes)
    return Feasibility(
        shape=shape,
        sizes=sizes,
        scale=scale,
        freedom=Subspace.of(shape.pieces, sizes).dimensions,
        kernel=_constant(kernel),
        worst_stop_db=20 * log10(stop),
        worst_ripple_db=None,
    )


def _constant(kernel: np.ndarray) -> np.ndarray:
    kernel.flags.writeable = False
    return kernel


def _size(sizes: Sizes) -> int | Sizes:
    return sizes[0] if len(sizes) == 1 else sizes
