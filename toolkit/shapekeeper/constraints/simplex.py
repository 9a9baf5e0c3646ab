"""Shares of a whole."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from .constraint import Constraint, ConstraintError

__all__ = ["Simplex"]

INSIDE = 1e-3  # share of the total that a start keeps off the faces, spread over the entries


@dataclass(frozen=True)
class Simplex(Constraint):
    """Vectors along the last axis with entries from 0 up that sum to a total.

    On weights `W[target, source]` each target takes a weighted mean of its sources; on a layer the
    value is a distribution. The nearest vector lowers all entries by the same amount, and cuts off
    at 0 what would fall below (M. Held, P. Wolfe and H. P. Crowder 1974, Validation of subgradient
    optimization; J. Duchi et al. 2008, Efficient projections onto the l1-ball for learning in high
    dimensions). As a layer it is the sparsemax, which has exact zeros (A. F. T. Martins and
    R. F. Astudillo 2016, From softmax to sparsemax: a sparse model of attention and multi-label
    classification).

    The derivative of `project` is its own: a gradient loses its mean over the entries above 0, and
    does not pass to those at 0. Where one entry takes all, nothing passes: scores that lie far
    apart no longer learn. The chart, a softmax, passes something to every entry.

    Args:
        total: What the entries sum to, more than 0.

    Raises:
        ConstraintError: If the total is not a finite number above 0.

    Example:
        >>> simplex = Simplex()
        >>> simplex.project(torch.tensor([0.75, 0.5, -1.0]))
        tensor([0.6250, 0.3750, 0.0000])
        >>> simplex.violation(torch.tensor([0.75, 0.5, -1.0]))
        tensor(1.)
    """

    total: float = 1.0

    event_dims: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "share"

    def __post_init__(self) -> None:
        """Refuse a total that can't be."""
        if not (isfinite(self.total) and self.total > 0):
            raise ConstraintError(f"Wanted a finite total above 0, got {self.total}.")

    @property
    def scale(self) -> float:  # type: ignore[override]  # depends on the setting
        """The total."""
        return float(self.total)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless there is a last axis with at least one entry."""
        if not shape or shape[-1] < 1:
            raise ConstraintError(
                f"Wanted a tensor whose last axis holds the shares, got shape {tuple(shape)}. "
                "A single number has nothing to share with; reshape it to (1,) if it is meant."
            )

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sum minus total, and how far entries are below 0."""
        return x.sum(-1, keepdim=True) - self.total, -x

    def project(self, x: Tensor) -> Tensor:
        """The nearest vector, exactly, with its true derivative.

        An entry of minus infinity gets nothing; other entries have to be finite.
        """
        nearest = self._nearest(x.detach())
        kept = nearest > 0
        # Zeros that carry the derivative: what all kept entries have in common is taken off again.
        way = torch.where(kept, x - x.detach(), 0)
        return nearest + torch.where(kept, way - way.sum(-1, keepdim=True) / _count(kept), 0)

    def _nearest(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        below = wide - wide.amax(-1, keepdim=True)  # only differences count
        falling = below.sort(-1, descending=True).values
        excess = falling.cumsum(-1) - self.total
        rank = torch.arange(1, x.shape[-1] + 1, device=x.device)
        kept = _count(falling * rank > excess)  # none if there is a NaN
        shares = (below - excess.gather(-1, kept - 1) / kept).clamp(min=0)
        # Rounding the level moves every share to the same side. Shares are small, and so exact;
        # twice, as entries may reach 0.
        for _ in range(2):
            kept = shares > 0
            missing = (self.total - shares.sum(-1, keepdim=True)) / _count(kept)
            shares = torch.where(kept, shares + missing, shares).clamp(min=0)
        return shares.to(x.dtype)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Logarithms of the entries; those near 0 are moved inside first.

        The chart reaches 0 only at infinity, so `x` goes to the nearest vector whose `n` entries
        are at least 1e-3 of `total / n`.
        """
        least = INSIDE * self.total / x.shape[-1]
        return torch.log(least + Simplex((1 - INSIDE) * self.total).project(x - least))

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The softmax times the total: entries above 0, up to rounding."""
        return (self.total * torch.softmax(u, -1)).to(u.dtype)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform on the simplex: exponential numbers over their sum, the flat Dirichlet law."""
        self.check(shape)
        device = None if generator is None else generator.device
        draw = torch.empty(shape, device=device).exponential_(generator=generator)
        return self.total * draw / draw.sum(-1, keepdim=True)


def _count(yes: Tensor) -> Tensor:
    """How many along the last axis, which is kept; at least one."""
    return yes.sum(-1, keepdim=True).clamp(min=1)
