"""What the value of a layer may be."""

from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .constraint import Constraint, ConstraintError

__all__ = ["Box"]


@dataclass(frozen=True)
class Box(Constraint):
    """Numbers in a range, each entry by itself.

    The derivative of `project` is a surrogate, the one-sided clamp: outside the range a gradient
    passes only if descending along it leads back in. The clamp's own derivative is zero there, and
    a node that starts outside would never learn again.

    Args:
        low: Smallest allowed number; `-inf` for none.
        high: Largest allowed number; `inf` for none.

    Raises:
        ConstraintError: If the range is empty, a single number, unbounded on both sides, or NaN.

    Example:
        >>> Box(0.0, 1.0).project(torch.tensor([-1.0, 0.25, 3.0]))
        tensor([0.0000, 0.2500, 1.0000])
    """

    low: float
    high: float

    event_dims: ClassVar[int] = 0  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "value"
    separable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a range that holds nothing or everything."""
        given = f"got low={self.low}, high={self.high}"
        if isnan(self.low) or isnan(self.high) or not self.low < self.high:
            raise ConstraintError(f"Wanted low < high, {given}.")
        if not (isfinite(self.low) or isfinite(self.high)):
            raise ConstraintError(f"Wanted at least one finite end, {given}; that allows all.")

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape can hold a range."""

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How far `x` is below the lower and above the upper end; no `equal`."""
        ends = [end for end in (self._below(x), self._above(x)) if end is not None]
        at_most = torch.stack(ends, -1)
        return at_most[..., :0], at_most

    def tolerance(self, dtype: torch.dtype) -> float:
        """Zero: comparisons with the ends are exact."""
        return 0.0

    def project(self, x: Tensor) -> Tensor:
        """The nearest number in the range, with the one-sided derivative."""
        return _OneSidedClamp.apply(x, self.low, self.high)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Logit of the place in the range; with one end, the inverse of softplus.

        A number within 1e-3 of the width of an end is moved inside to there first (with one end:
        within 1e-3), since the chart reaches the ends only at infinity.
        """
        if isfinite(self.low) and isfinite(self.high):
            return torch.logit(((x - self.low) / (self.high - self.low)).clamp(1e-3, 1 - 1e-3))
        inside = (x - self.low if isfinite(self.low) else self.high - x).clamp(min=1e-3)
        return inside + torch.log(-torch.expm1(-inside))

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """A number strictly inside, up to rounding: sigmoid, or softplus with one end."""
        if isfinite(self.low) and isfinite(self.high):
            x = self.low + (self.high - self.low) * torch.sigmoid(u)
        else:
            x = self.low + F.softplus(u) if isfinite(self.low) else self.high - F.softplus(u)
        # low + width * 1 may land one rounding step past high.
        return x.clamp(self.low, self.high)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform between two ends; exponential from one."""
        device = None if generator is None else generator.device
        uniform = torch.rand(shape, generator=generator, device=device)
        if isfinite(self.low) and isfinite(self.high):
            return (self.low + (self.high - self.low) * uniform).clamp(self.low, self.high)
        step = -torch.log1p(-uniform)
        return self.low + step if isfinite(self.low) else self.high - step

    def _below(self, x: Tensor) -> Tensor | None:
        return None if self.low == -inf else self.low - x

    def _above(self, x: Tensor) -> Tensor | None:
        return None if self.high == inf else x - self.high


class _OneSidedClamp(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        stuck = ((x < ctx.low) & (grad > 0)) | ((x > ctx.high) & (grad < 0))
        return torch.where(stuck, 0.0, grad), None, None
