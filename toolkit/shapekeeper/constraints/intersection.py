"""What several constraints allow together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .connections import Connections
from .constraint import Constraint, ConstraintError
from .intervals import intervals
from .sphere import Sphere
from .surface import Cut, Surface

__all__ = ["Intersection"]

COMBINES = (
    "Products of intervals combine with each other (Connections, NonNegative, Signs, Box, Circle), "
    "and one Sphere with those of them that allow every multiple of what they allow (Connections "
    "without presets, NonNegative, Signs)."
)


@dataclass(frozen=True, init=False, repr=False)
class Intersection(Constraint):
    """The values that all parts allow; what `a & b` makes.

    Products of intervals: the nearest value of the product of what is left of each interval. A
    sphere and a cone: the nearest vector of the cone, brought to length; where that is zero, the
    ray of the cone that comes nearest, along a single axis. A part with fewer event axes than
    another holds for each of its rows.

    The derivative of `project` is the one-sided clamp of `Box`.

    Args:
        *parts: Two constraints or more; those of an intersection are taken one by one.

    Raises:
        ConstraintError: If the parts have no value in common, shapes that don't fit, or no
            nearest value that is known how to find.

    Example:
        >>> from shapekeeper import Connections, Signs
        >>> both = Connections([[1, 0, 1]]) & Signs([1, 1, -1])
        >>> both
        Connections([[1, 0, 1]]) & Signs([1, 1, -1])
        >>> both.project(torch.tensor([[2.0, 3.0, 4.0]]))
        tensor([[2., 0., 0.]])
    """

    parts: tuple[Constraint, ...]

    def __init__(self, *parts: Constraint) -> None:
        """See the class."""
        flat = tuple(
            part for c in parts for part in (c.parts if isinstance(c, Intersection) else (c,))
        )
        object.__setattr__(self, "parts", flat)
        for problems in (_misfits(flat), _empty(self)):
            if found := " ".join(problems):
                raise ConstraintError(found)

    def __repr__(self) -> str:
        """The call that makes it."""
        return " & ".join(map(repr, self.parts))

    @property
    def event_dims(self) -> int:  # type: ignore[override]  # depends on the parts
        """As many as the part with most has."""
        return max(part.event_dims for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # depends on the parts
        """That of the part with the most axes."""
        return max((part.shape for part in self.parts), key=len)

    @property
    def unit(self) -> str:  # type: ignore[override]  # depends on the parts
        """The units of the parts: a violation is the largest of theirs."""
        return " or ".join(dict.fromkeys(part.unit for part in self.parts))

    @property
    def scale(self) -> float:  # type: ignore[override]  # depends on the parts
        """The radius of a sphere, which is the size of all values; else the largest of all."""
        return self.sphere.scale if self.sphere else max(part.scale for part in self.parts)

    @property
    def separable(self) -> bool:  # type: ignore[override]  # depends on the parts
        """Whether all parts are."""
        return self.sphere is None

    @property
    def sphere(self) -> Sphere | None:
        """The part that holds a length, if there is one."""
        return next((part for part in self.parts if isinstance(part, Sphere)), None)

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of each entry, by all parts that are products of intervals."""
        each = [part.ends() for part in self.parts if part.separable]
        lows, highs = zip(*each, strict=True)
        low, high = np.broadcast_arrays(*lows), np.broadcast_arrays(*highs)
        return np.max(low, axis=0), np.min(high, axis=0)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError with the complaints of all parts."""
        complaints = []
        for part in self.parts:
            try:
                part.check(shape)
            except ConstraintError as error:
                complaints.append(f"{type(part).__name__}: {error}")
        if complaints:
            raise ConstraintError(" ".join(complaints))

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The residuals of all parts, one after the other."""
        sides = zip(*(self._residual_of(part, x) for part in self.parts), strict=True)
        equal, at_most = (torch.cat(side, -1) for side in sides)
        return equal, at_most

    def violation(self, x: Tensor) -> Tensor:
        """The largest residual of all parts, as the base class has it, in one pass of intervals."""
        distance = intervals(self).distance(x)
        worst = distance.flatten(-self.event_dims).amax(-1) if self.event_dims else distance
        if self.sphere is None:
            return worst
        off = self._by_event(self.sphere.violation(x), self.sphere.event_dims)
        return torch.maximum(worst, off.amax(-1))

    def tolerance(self, dtype: torch.dtype) -> float:
        """The largest of the parts'; `allows` holds each part to its own."""
        return max(part.tolerance(dtype) for part in self.parts)

    def allows(self, x: Tensor) -> Tensor:
        """Whether all parts allow an event, each within its own tolerance."""
        allowed = [self._by_event(part.allows(x), part.event_dims).all(-1) for part in self.parts]
        return torch.stack(allowed).all(0)

    def project(self, x: Tensor) -> Tensor:
        """The nearest value that all parts allow."""
        nearest = intervals(self).clamp(x)
        if self.sphere is None:
            return nearest
        # Where the cone's nearest vector is zero, no open entry of x points into the cone. Then
        # every inner product with a vector of the cone is a sum of terms that are 0 or less, and
        # of all vectors of one length those along a single axis have the smallest sum of entries.
        zero = nearest.detach().abs().amax(-1, keepdim=True) == 0
        axis, sign = intervals(self).least_bad_axis(x)
        return self.sphere.project(nearest.scatter_add(-1, axis, sign * zero))

    def start(self, x: Tensor) -> Tensor:
        """The starts of all parts in their order, then the nearest value that all allow."""
        for part in self.parts:
            x = part.start(x)
        return self.project(x)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The chart of the intervals that are left; with a sphere, the sphere's."""
        return self.sphere.to_free(x, at) if self.sphere else intervals(self).to_free(x)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The chart of the intervals that are left; with a sphere, a great circle.

        The great circle from `at` runs through open entries alone, and is mirrored where it meets
        a side that a sign forbids, so it ends at an allowed value wherever it ends. Without `at`,
        the projection of `u`.
        """
        ends = intervals(self)
        if self.sphere is None:
            return ends.from_free(u)
        if at is None:
            return self.project(u)
        return ends.fold(self.sphere.from_free(u * ends.is_open(u), at))

    @property
    def surface(self) -> Surface | None:
        """That of one part, cut by connections without presets; None for others."""
        cuts = [part for part in self.parts if isinstance(part, Connections)]
        rest = [part.surface for part in self.parts if not isinstance(part, Connections)]
        if len(rest) > 1 or any(cut.fixed is not None for cut in cuts):
            return None
        inner = rest[0] if rest else Surface()
        return inner and Cut(inner, cuts)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Draws from the intervals that are left, brought to length if there is a sphere."""
        self.check(shape)
        return self.project(intervals(self).sample(shape, generator))

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which `Constraint.from_json` makes an equal constraint."""
        return {"constraint": "Intersection", "parts": [part.to_json() for part in self.parts]}

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> "Intersection":
        return cls(*map(Constraint.from_json, settings["parts"]))

    def _residual_of(self, part: Constraint, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.event_dims - part.event_dims
        equal, at_most = (side.flatten(-1 - rows) for side in part.residual(x))
        return equal, at_most

    def _by_event(self, answers: Tensor, part_dims: int) -> Tensor:
        """Answers of one part, those of one event of all along the last axis."""
        rows = self.event_dims - part_dims
        return answers.flatten(-rows) if rows else answers.unsqueeze(-1)


def _misfits(parts: tuple[Constraint, ...]) -> Iterator[str]:
    """Why parts can't be held together, whatever their numbers."""
    for part in parts:
        if not isinstance(part, Constraint):
            yield f"Wanted constraints, got {part!r}."
        elif not (part.separable or isinstance(part, Sphere)):
            yield f"{type(part).__name__} can't be combined with &. {COMBINES}"
    spheres = sum(isinstance(part, Sphere) for part in parts)
    if len(parts) < 2 or spheres > 1:
        yield f"Wanted two constraints or more, at most one a Sphere, got {parts!r}. {COMBINES}"
    shapes = [part.shape for part in parts if isinstance(part, Constraint) and part.shape]
    widest = max(shapes, key=len, default=())
    for shape in shapes:
        if shape != widest[len(widest) - len(shape) :]:
            yield f"Wanted parts for one tensor, got shapes {widest} and {shape}."


def _empty(c: Intersection) -> Iterator[str]:
    """Why no value is in all parts."""
    low, high = c.ends()
    none = np.argwhere(low > high)
    if len(none):
        where = tuple(map(int, none[0]))
        more = f", and none at {len(none) - 1} more entries" if len(none) > 1 else ""
        yield (
            f"Wanted sets with a value in common, got none{f' at {list(where)}' if where else ''}: "
            f"{'; '.join(_claims(c, where))}{more}. Change one of them there."
        )
    elif c.sphere:
        yield from _off_the_sphere(c, low, high)


def _off_the_sphere(c: Intersection, low: np.ndarray, high: np.ndarray) -> Iterator[str]:
    if not intervals(c).is_cone:
        others = " & ".join(repr(part) for part in c.parts if not isinstance(part, Sphere))
        yield f"The nearest value of {c.sphere} & {others} is not known how to find. {COMBINES}"
        return
    closed = np.argwhere(~np.atleast_1d(low != high).any(-1))
    if len(closed):
        where = closed[0].tolist()
        more = f" and {len(closed) - 1} more rows" if len(closed) > 1 else ""
        yield (
            f"Wanted an entry that may be other than zero in every row, got none"
            f"{f' in row {where}' if where else ''}{more}: all zeros can't have length "
            f"{c.sphere.scale:g}. Open one."  # type: ignore[union-attr]
        )


def _claims(c: Intersection, where: tuple[int, ...]) -> Iterator[str]:
    """What each part allows at one entry."""
    for part in c.parts:
        if isinstance(part, Sphere):
            continue
        low, high = (
            float(end[where[len(where) - end.ndim :]] if end.ndim else end) for end in part.ends()
        )
        if np.isinf(low) and np.isinf(high):
            continue
        name = type(part).__name__
        if low == high:
            yield f"{name} allows {low:g} alone"
        elif np.isinf(low) or np.isinf(high):
            yield f"{name} allows {f'{high:g} or less' if np.isinf(low) else f'{low:g} or more'}"
        else:
            yield f"{name} allows {low:g} to {high:g}"
