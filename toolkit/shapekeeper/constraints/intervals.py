"""A lower and an upper end for every entry: what is nearest, what is free, what is drawn.

Every set that is a product of intervals is one of these: `Box`, `NonNegative`, `Signs`,
`Connections`, and what they have in common. Ends are kept in double precision and rounded to the
dtype of the tensor before they are compared with it, so that a projected value is always allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .constraint import Constraint
from .tensor_value import TensorValue

__all__ = ["Intervals", "intervals"]

KEPT = "_intervals"  # no field: neither compared nor pickled
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Forms = dict[str, Callable[[], Tensor]]


@dataclass(frozen=True)
class Intervals:
    """Ends of every entry, and the arithmetic that follows from them.

    Attributes:
        low: Lower ends in double precision, `-inf` for none; shape of the event, or less.
        high: Upper ends of the same shape, `inf` for none.
        bottom: `low` with 0 in place of infinity, so that no branch that is not taken makes a NaN.
        top: `high` likewise.
        kinds: Which entries have no end ("free"), one ("above" low, "below" high), two ("between")
            or two that are equal ("point"); only the kinds that occur, yes/no of the same shape.

    Example:
        >>> ends = Intervals.of([0.0, -1.0], [float("inf"), 1.0])
        >>> ends.clamp(torch.tensor([-2.0, -2.0]))
        tensor([ 0., -1.])
        >>> list(ends.kinds)
        ['above', 'between']
    """

    low: TensorValue
    high: TensorValue
    bottom: TensorValue
    top: TensorValue
    kinds: dict[str, TensorValue]

    @classmethod
    def of(cls, low: Any, high: Any) -> Intervals:
        """The intervals between two arrays of ends, or two numbers."""
        low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
        has_low, has_high, point = np.isfinite(low), np.isfinite(high), low == high
        kinds = {
            "free": ~has_low & ~has_high,
            "above": has_low & ~has_high,
            "below": ~has_low & has_high,
            "between": has_low & has_high & ~point,
            "point": point,
        }
        found = {name: TensorValue.of(where) for name, where in kinds.items() if where.any()}
        bottom, top = np.where(has_low, low, 0), np.where(has_high, high, 0)
        low, high, bottom, top = map(TensorValue.of, (low, high, bottom, top))
        return cls(low, high, bottom, top, found)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest numbers, with the one-sided derivative: a gradient leads in, never out.

        Outside an interval a gradient passes only if descending along it leads back in; the
        clamp's own derivative is zero there, and a number that starts outside would never learn
        again. A point passes none.
        """
        return _OneSidedClamp.apply(x, *self._ends(x))

    def clamp_(self, x: Tensor) -> Tensor:
        """The nearest numbers, in place and without gradient."""
        with torch.no_grad():
            return x.clamp_(*self._ends(x))

    def distance(self, x: Tensor) -> Tensor:
        """How far each number is from its interval."""
        return (x - x.clamp(*self._ends(x))).abs()

    def residual(self, x: Tensor) -> Tensor:
        """How far each number is below its lower and above its upper end, stacked last.

        A side that no entry has is left out; an entry without the other side gets 0 there.
        """
        low, high = self._finite_ends(x)
        sides = []
        if self.kinds.keys() - {"free", "below"}:
            sides.append(self._with_end(low - x, {"free", "below"}))
        if self.kinds.keys() - {"free", "above"}:
            sides.append(self._with_end(x - high, {"free", "above"}))
        return torch.stack(sides, -1)

    def to_free(self, x: Tensor) -> Tensor:
        """Free numbers: logit between two ends, the inverse of softplus from one, `x` itself.

        The chart reaches its ends only at infinity, so a number within 1e-3 of the width of an end
        is moved inside to there first (with one end: within 1e-3).
        """
        low, high = self._finite_ends(x)
        margin = max(1e-3, 2 * torch.finfo(x.dtype).eps)
        forms: Forms = {
            "free": lambda: x,
            "above": lambda: _inverse_softplus((x - low).clamp(min=margin)),
            "below": lambda: _inverse_softplus((high - x).clamp(min=margin)),
            "between": lambda: torch.logit(((x - low) / self._width(x)).clamp(margin, 1 - margin)),
            "point": lambda: x,
        }
        return self._by_kind(forms, x)

    def from_free(self, u: Tensor) -> Tensor:
        """Sigmoid between two ends, softplus from one, `u` itself; a point reads nothing."""
        low, high = self._finite_ends(u)
        forms: Forms = {
            "free": lambda: u,
            "above": lambda: low + F.softplus(u),
            "below": lambda: high - F.softplus(u),
            "between": lambda: low + self._width(u) * torch.sigmoid(u),
            "point": lambda: low.expand_as(u),
        }
        # low + width * 1 may land one rounding step past high.
        return self._by_kind(forms, u).clamp(*self._ends(u))

    def fold(self, x: Tensor) -> Tensor:
        """Numbers on the wrong side of zero mirrored; for ends that are 0 or infinite."""
        low, high = self._ends(x)
        return torch.where((x < low) | (x > high), -x, x)

    def is_open(self, x: Tensor) -> Tensor:
        """1 where an entry has room to move, 0 at points, in the dtype of `x`."""
        if "point" not in self.kinds:
            return x.new_ones(())
        return 1 - self.kinds["point"].on(x.device, x.dtype)

    def least_bad_axis(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of all unit vectors along one axis that a cone allows, the one nearest to `x`.

        Returns:
            Its axis, the last axis kept with size 1, and its only entry, 1 or -1.
        """
        inward, closed = self._inward
        sign = inward.on(x.device, x.dtype)
        score = torch.addcmul(closed.on(x.device, x.dtype), x.detach(), sign)
        axis = score.argmax(-1, keepdim=True)
        return axis, sign.expand(x.shape).gather(-1, axis)

    @cached_property
    def _inward(self) -> tuple[TensorValue, TensorValue]:
        """Which way from zero is allowed, 0 at points; and what keeps points from being chosen."""
        sign = np.where(self.high.numpy() > 0, 1.0, np.where(self.low.numpy() < 0, -1.0, 0.0))
        return TensorValue.of(sign), TensorValue.of(np.where(sign == 0, -np.inf, 0.0))

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Uniform between two ends, exponential from one, standard normal without any."""
        device = None if generator is None else generator.device
        draw = torch.rand(shape, generator=generator, device=device)
        low, high = self._finite_ends(draw)
        forms: Forms = {
            "free": lambda: torch.randn(shape, generator=generator, device=device),
            "above": lambda: low - torch.log1p(-draw),
            "below": lambda: high + torch.log1p(-draw),
            "between": lambda: low + self._width(draw) * draw,
            "point": lambda: low.expand_as(draw),
        }
        return self._by_kind(forms, draw).clamp(*self._ends(draw))

    @property
    def is_cone(self) -> bool:
        """Whether every end is 0 or infinite: then any multiple of an allowed value is allowed."""
        ends = np.concatenate([self.low.numpy().ravel(), self.high.numpy().ravel()])
        return bool((np.isinf(ends) | (ends == 0)).all())

    def _ends(self, like: Tensor) -> tuple[Any, Any]:
        """Tensors; or numbers, which clamp in a quarter of the time, if all entries are alike."""
        if self.low.shape == ():
            return self._numbers[like.dtype]
        return self.low.on(like.device, like.dtype), self.high.on(like.device, like.dtype)

    @cached_property
    def _numbers(self) -> dict[torch.dtype, tuple[float, float]]:
        ends = torch.from_numpy(np.stack([self.low.numpy(), self.high.numpy()]))
        return {dtype: tuple(ends.to(dtype).tolist()) for dtype in FLOATS}

    def _finite_ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return self.bottom.on(like.device, like.dtype), self.top.on(like.device, like.dtype)

    def _width(self, like: Tensor) -> Tensor:
        low, high = self._finite_ends(like)
        return torch.where(high > low, high - low, 1)  # two ends may round to one

    def _with_end(self, side: Tensor, without: set[str]) -> Tensor:
        for kind in self.kinds.keys() & without:
            side = side * (1 - self.kinds[kind].on(side.device, side.dtype))
        return side

    def _by_kind(self, forms: Forms, x: Tensor) -> Tensor:
        """Each entry by the form of its kind."""
        first, *others = self.kinds
        result = forms[first]()
        for kind in others:
            result = torch.where(self.kinds[kind].on(x.device), forms[kind](), result)
        return result


def intervals(c: Constraint) -> Intervals:
    """The intervals of a separable constraint, made once and kept with it."""
    # Not in a global table by value, which torch.compile can't read.
    found = c.__dict__.get(KEPT)
    if found is None:
        found = Intervals.of(*c.ends())
        object.__setattr__(c, KEPT, found)
    return found


def _inverse_softplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x))


class _OneSidedClamp(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: Any, high: Any) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.numbers = [None if isinstance(value, Tensor) else value for value in inputs]
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        saved = iter(ctx.saved_tensors)
        x, low, high = (next(saved) if number is None else number for number in ctx.numbers)
        stuck = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0)) | (low == high)
        return torch.where(stuck, 0.0, grad), None, None
