"""Matrices with orthonormal rows or columns."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from . import cayley
from .constraint import Constraint, ConstraintError
from .matrices import (
    as_tall,
    as_were,
    check_event_dims,
    check_kernel,
    check_matrices,
    haar_frame,
)
from .polar import along, excess, inner_sum, nearest
from .rattle import glide_
from .spectral import Polar, apply
from .surface import Surface, onward

__all__ = ["Orthogonal"]

FULL = (torch.float32, torch.float64)
KEEPS = (
    "and Reparametrization, ConstrainedLangevin and the small steps of Projection never change "
    "it: where the best matrix has"
)
WAY_OUT = (
    "negate one row of the weight before hold(...), or begin with Staged(Stage(0.3, "
    "Penalty(0.1)), Stage(0.7, Projection())), whose first part can cross."
)


@dataclass(frozen=True)
class Orthogonal(Surface, Constraint):
    """Matrices whose columns are orthonormal, or whose rows are where there are more columns.

    `W^T W = 1` on the smaller side: a square W keeps every length, a tall one that of whatever
    arrives, a wide one that of gradients. A convolution's kernel is read as the matrix of its
    targets by all that one of them sees, `(out, in * height * width)`.

    The determinant of a square W is 1 or -1, and no way along the set leads from one half to the
    other: Reparametrization, ConstrainedLangevin and Projection end in the half they began in.

    Args:
        event_dims: Number of axes of one weight: 2 for matrices, 3, 4 or 5 for the kernels of
            convolutions over 1, 2 or 3 axes.

    Raises:
        ConstraintError: If the number of axes is none of these.

    Example:
        >>> orthogonal = Orthogonal()
        >>> orthogonal.project(torch.tensor([[3.0, 0.0], [0.0, -0.5]]))
        tensor([[ 1.,  0.],
                [ 0., -1.]])
        >>> orthogonal.violation(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor(3.)
    """

    event_dims: int = 2

    unit: ClassVar[str] = "inner product"

    def __post_init__(self) -> None:
        """Refuse axes that make no matrix."""
        check_event_dims(self.event_dims, "Orthogonal")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless there are that many axes, with an entry at least."""
        check_matrices(shape, self.event_dims, "Orthogonal")

    def check_layer(self, layer: nn.Module) -> None:
        """Raise ConstraintError if the weight is a kernel with more axes than one event."""
        check_kernel(layer, self.event_dims, "Orthogonal")

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All inner products of columns (or rows) minus those of the identity; no `at_most`."""
        equal = excess(as_tall(x, self.event_dims)).flatten(-2).to(x.dtype)
        return equal, equal[..., :0]

    def project(self, x: Tensor) -> Tensor:
        """The polar factor, which is nearest in the Frobenius norm.

        N. J. Higham 1986, Computing the polar decomposition, with applications; section 2. Where
        rows or columns depend on each other there are many, and one of them is taken.
        """
        return as_were(apply(Polar(), self._flat(x)), x, self.event_dims)

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place and without gradient; after a small step, three to five products."""
        leaf = x.detach()
        flat = self._flat(leaf)
        if (found := nearest(flat)) is not flat:
            leaf.copy_(as_were(found, leaf, self.event_dims))
        return x

    def _flat(self, x: Tensor) -> Tensor:
        """Tall matrices `(count, rows, columns)`."""
        if self.event_dims == 2 and x.dim() == 3 and x.shape[1] >= x.shape[2] and x.dtype in FULL:
            return x  # as most are; asked several times a step
        tall = as_tall(x, self.event_dims)
        return tall if tall.dim() == 3 else tall.reshape(-1, *tall.shape[-2:])

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part of `v` along the set at an allowed `q`: `v - q (q^T v + v^T q) / 2`.

        Example:
            >>> Orthogonal().tangent(torch.eye(2), torch.tensor([[5.0, 1.0], [0.0, 7.0]]))
            tensor([[ 0.0000,  0.5000],
                    [-0.5000,  0.0000]])
        """
        at, way = self._flat(q), self._flat(v)
        return as_were(along(at, way), v, self.event_dims)

    def glide(self, q: Tensor, v: Tensor, time: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
        """Position and velocity after free motion, less the third power of the way; no gradient.

        One step of Rattle (H. C. Andersen 1983, Rattle: a "velocity" version of the Shake algorithm
        for molecular dynamics calculations), which keeps the speed and can be run backwards; of a
        way too long for it, about 1 in any direction, the end is the nearest point.
        """
        there, way = self._flat(q.detach()).clone(), self._flat((time * v).detach())
        glide_(there, way)
        moved, ahead = (as_were(part, q, self.event_dims) for part in (there, way))
        return moved, ahead / time

    def step(self, q: Tensor, v: Tensor, time: float | Tensor = 1.0) -> Tensor:
        """The allowed value nearest to `q + time v`, without gradient."""
        return self.project_(onward(q.detach(), v.detach(), time))

    def glide_(self, q: Tensor, v: Tensor, time: float | Tensor) -> None:
        """`glide`, in place."""
        at, way = self._flat(q), self._flat(v)
        if not (_same_memory(at, q) and _same_memory(way, v)):
            return super().glide_(q, v, time)
        v.mul_(time)
        glide_(at, way)
        v.div_(time)

    def kick_(self, p: Tensor, q: Tensor, grad: Tensor, by: float | Tensor, room: Tensor) -> None:
        """Add `by` times the gradient along the set to velocities `p` at `q`."""
        if isinstance(by, Tensor) or not _same_memory(self._flat(p), p):
            return super().kick_(p, q, grad, by, room)
        velocity = self._flat(p)
        _add_along(velocity, self._flat(q), self._flat(grad), by, out=velocity)

    def descend_(self, q: Tensor, grad: Tensor, by: float | Tensor, x: Tensor) -> None:
        """Step down the gradient along the set: to what is nearest to `q - by tangent`."""
        if isinstance(by, Tensor):
            return super().descend_(q, grad, by, x)
        at = self._flat(q)
        ahead = _add_along(at, at, self._flat(grad), -by, out=torch.empty_like(at))
        found = nearest(ahead, out=at if _same_memory(at, q) else None)
        if found is not at:
            q.copy_(as_were(found, q, self.event_dims))
        self.drop(q, out=x)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The tangent vector at `at` that stands for `x`; `x` itself without.

        Raises:
            ConstraintError: If none does: determinants of the other sign, and turns by exactly
                half a circle, are out of the chart's reach.
        """
        if at is None:
            return x
        tall, center = (as_tall(part, self.event_dims) for part in (x, at))
        if (other := _determinants(tall) * _determinants(center) < 0).any():
            raise ConstraintError(
                "Wanted values whose determinants have the sign of those at the chart's center, "
                f"got {_share(other)} with the other sign: no way along the set leads there. "
                "Begin the chart at the value itself (at=x), or negate one row of the value."
            )
        free = cayley.free_numbers(tall, center)
        sizes = vector_norm(free, dim=(-2, -1))
        known = torch.isfinite(tall).flatten(-2).all(-1)
        if (lost := known & ~(sizes < cayley.longest(tall.dtype))).any():
            raise ConstraintError(
                f"Wanted values less than half a turn from the chart's center, got {_share(lost)} "
                "at half a turn, which every direction leads to. Begin the chart at the value "
                "itself (at=x)."
            )
        return as_were(free, x, self.event_dims)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Where the Cayley transform leads from `at` along `u`.

        Z. Wen and W. Yin 2013, A feasible method for optimization with orthogonality constraints,
        section 2. The part of `u` that is not tangent at `at` is not read; weight decay, which
        shortens `u`, pulls back to `at`. Without `at`, the projection of `u`.

        Example:
            >>> quarter = torch.tensor([[0.0, -2.0], [2.0, 0.0]])  # 2 tan(angle / 2) times a turn
            >>> Orthogonal().from_free(quarter, at=torch.eye(2))
            tensor([[ 0., -1.],
                    [ 1.,  0.]])
        """
        if at is None:
            return self.project(u)
        tall, center = (as_tall(part, self.event_dims) for part in (u, at))
        return as_were(cayley.value(tall, center), u, self.event_dims)

    def notes(self, x: Tensor, layer: nn.Module) -> list[str]:
        """The sign of the determinant, which training along the set keeps."""
        tall = as_tall(x, self.event_dims)
        if tall.shape[-2] != tall.shape[-1]:
            return []
        if not (flipped := _determinants(tall) < 0).any():
            return [f"its determinant is 1, {KEEPS} -1, {WAY_OUT}"]
        which = f"{_share(flipped)} have" if flipped.dim() else "it has"
        return [f"{which} the determinant -1, {KEEPS} 1, {WAY_OUT}"]

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform: turned by any rotation, the law is the same (Haar's measure)."""
        self.check(shape)
        device = None if generator is None else generator.device
        x = torch.empty(shape, device=device)
        frame = haar_frame(as_tall(x, self.event_dims).shape, generator)
        return self.project_(as_were(frame, x, self.event_dims))


def _add_along(p: Tensor, q: Tensor, slope: Tensor, by: float, out: Tensor) -> Tensor:
    """Write p plus `by` times the part of the slope along the set at q."""
    if q.shape[-2] > q.shape[-1]:
        inner, share = inner_sum(q, slope), by
    else:  # where q q^T = 1, half of that sum gives back half of the slope
        inner, share = torch.bmm(slope.mT, q), by / 2
    return torch.add(p, slope, alpha=share, out=out).baddbmm_(q, inner, alpha=-by / 2)


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr()


def _determinants(x: Tensor) -> Tensor:
    """Of each square matrix, 1 or -1 where it is orthogonal; 1 for any other."""
    square = x.shape[-2] == x.shape[-1]
    return torch.linalg.det(x) if square else torch.ones_like(x[..., 0, 0])


def _share(which: Tensor) -> str:
    return f"{int(which.sum())} of {which.numel()} matrices"
