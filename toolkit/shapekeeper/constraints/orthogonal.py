"""Matrices with orthonormal rows or columns."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .constraint import Constraint
from .matrices import (
    as_tall,
    as_were,
    check_event_dims,
    check_kernel,
    check_matrices,
    haar_frame,
)
from .polar import along, excess, nearest
from .rattle import glide
from .spectral import Polar, apply
from .surface import Surface

__all__ = ["Orthogonal"]


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
        return as_were(apply(Polar(), as_tall(x, self.event_dims)), x, self.event_dims)

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place and without gradient; after a small step, three products or four."""
        with torch.no_grad():
            tall = as_tall(x, self.event_dims)
            flat = tall.reshape(-1, *tall.shape[-2:])
            if (found := nearest(flat)) is not flat:
                x.copy_(as_were(found.view(tall.shape), x, self.event_dims))
            return x

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part of `v` along the set at an allowed `q`: `v - q (q^T v + v^T q) / 2`.

        Example:
            >>> Orthogonal().tangent(torch.eye(2), torch.tensor([[5.0, 1.0], [0.0, 7.0]]))
            tensor([[ 0.0000,  0.5000],
                    [-0.5000,  0.0000]])
        """
        at, way = (as_tall(part, self.event_dims) for part in (q, v))
        return as_were(along(at, way), v, self.event_dims)

    def glide(self, q: Tensor, v: Tensor, time: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
        """Position and velocity after free motion, up to the third power of the way.

        One step of Rattle (H. C. Andersen 1983, Rattle: a "velocity" version of the Shake algorithm
        for molecular dynamics calculations), which keeps the speed and can be run backwards; of a
        way too long for it, about 1 in any direction, the end is the nearest point.
        """
        tall = [as_tall(part, self.event_dims) for part in (q, time * v)]
        at, way = (part.reshape(-1, *part.shape[-2:]) for part in tall)
        moved, onward = (
            as_were(part.view(tall[0].shape), q, self.event_dims) for part in glide(at, way)
        )
        return moved, onward / time

    def step(self, q: Tensor, v: Tensor, time: float | Tensor = 1.0) -> Tensor:
        """The allowed value nearest to `q + time v`."""
        return self.project_(q + time * v)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform: turned by any rotation, the law is the same (Haar's measure)."""
        self.check(shape)
        device = None if generator is None else generator.device
        x = torch.empty(shape, device=device)
        frame = haar_frame(as_tall(x, self.event_dims).shape, generator)
        return self.project_(as_were(frame, x, self.event_dims))
