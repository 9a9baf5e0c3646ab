"""Matrices that make nothing longer than a given factor."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor, nn

from .constraint import Constraint, ConstraintError
from .matrices import (
    as_tall,
    as_were,
    check_event_dims,
    check_kernel,
    check_matrices,
    haar_frame,
)
from .spectral import Clip, Squash, apply

__all__ = ["SpectralNorm"]

INSIDE = 1e-3  # share of the bound by which a start keeps away from it


@dataclass(frozen=True)
class SpectralNorm(Constraint):
    """Matrices whose largest singular value is at most a bound.

    A layer with such a weight makes no difference between two inputs longer than by that factor: it
    is Lipschitz (H. Gouk, E. Frank, B. Pfahringer and M. J. Cree 2021, Regularisation of neural
    networks by enforcing Lipschitz continuity, section 3). A convolution's kernel is read as the
    matrix of its targets by all that one of them sees, `(out, in * height * width)`; its bound on
    the whole convolution is larger, by at most the root of the number of taps.

    Args:
        bound: The largest factor, more than 0.
        event_dims: Number of axes of one weight: 2 for matrices, 3, 4 or 5 for the kernels of
            convolutions over 1, 2 or 3 axes.

    Raises:
        ConstraintError: If the bound is not a finite number above 0, or the number of axes is none
            of these.

    Example:
        >>> contraction = SpectralNorm(1.0)
        >>> contraction.project(torch.tensor([[3.0, 0.0], [0.0, -0.5]]))
        tensor([[ 1.0000,  0.0000],
                [ 0.0000, -0.5000]])
        >>> contraction.violation(torch.tensor([[3.0, 0.0], [0.0, -0.5]]))
        tensor(2.)
    """

    bound: float = 1.0
    event_dims: int = 2

    unit: ClassVar[str] = "singular value"

    def __post_init__(self) -> None:
        """Refuse a bound that can't be, and axes that make no matrix."""
        if not (isfinite(self.bound) and self.bound > 0):
            raise ConstraintError(f"Wanted a finite bound above 0, got {self.bound}.")
        check_event_dims(self.event_dims, "SpectralNorm")

    @property
    def scale(self) -> float:  # type: ignore[override]  # depends on the setting
        """The bound."""
        return float(self.bound)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless there are that many axes, with an entry at least."""
        check_matrices(shape, self.event_dims, "SpectralNorm")

    def check_layer(self, layer: nn.Module) -> None:
        """Raise ConstraintError if the weight is a kernel with more axes than one event."""
        check_kernel(layer, self.event_dims, "SpectralNorm")

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Singular values minus the bound; no `equal`."""
        tall = as_tall(x, self.event_dims)
        # One matrix with a NaN would make the search fail for all.
        lost = ~torch.isfinite(tall).flatten(-2).all(-1, keepdim=True)
        values = torch.linalg.svdvals(tall.masked_fill(lost.unsqueeze(-1), 0))
        at_most = (values - self.bound).masked_fill(lost, torch.nan).to(x.dtype)
        return at_most[..., :0], at_most

    def project(self, x: Tensor) -> Tensor:
        """The same matrix with all singular values above the bound at it."""
        clipped = apply(Clip(float(self.bound)), as_tall(x, self.event_dims))
        return as_were(clipped, x, self.event_dims)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Singular values s become `s / sqrt(1 - (s / bound)^2)`; those at the bound move inside.

        They keep away from it by 1e-3 of it, where the slope of the chart would be 0.
        """
        bound = float(self.bound)
        inside = apply(Clip((1 - INSIDE) * bound), as_tall(x, self.event_dims))
        return as_were(apply(Squash(bound, inverse=True), inside), x, self.event_dims)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Singular values s become `s / sqrt(1 + (s / bound)^2)`, smoothly below the bound."""
        squashed = apply(Squash(float(self.bound)), as_tall(u, self.event_dims))
        return as_were(squashed, u, self.event_dims)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform over the set, with respect to the volume of matrices.

        The top m rows of a uniform frame of N rows and n columns have a density in proportion to
        `det(1 - x^T x)^((N - m - n - 1) / 2)` (M. L. Eaton 1989, Group invariance applications in
        statistics, proposition 7.3), which is constant for N = m + n + 1.
        """
        self.check(shape)
        x = torch.empty(shape, device=None if generator is None else generator.device)
        *batch, rows, columns = as_tall(x, self.event_dims).shape
        frame = haar_frame((*batch, rows + columns + 1, columns), generator)
        top = as_were(self.bound * frame[..., :rows, :], x, self.event_dims)
        return self.project(top)  # rounding may have left the set
