"""Functions of a matrix that act on its singular values, with derivatives that are always finite.

For `x = U diag(s) V^T` such a function is `U diag(f(s)) V^T`. Automatic differentiation goes
through U and V, which jump where singular values meet: at an orthogonal matrix all are 1, and its
answer is NaN. The derivative of the whole is as smooth as f is (Y. L. Daleckii and S. G. Krein
1965, Integration and differentiation of functions of Hermitian operators; for singular values
V. Noferini 2017, A formula for the Fréchet derivative of a generalized matrix function).
With `m = U^T dx V` it is

    U (difference * (m + m^T)/2 + sum * (m - m^T)/2) V^T + (dx - U U^T dx) V diag(f(s)/s) V^T

where `difference = (f(s_i) - f(s_j)) / (s_i - s_j)` and `sum = (f(s_i) + f(s_j)) / (s_i + s_j)`.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .polar import asks_numbers, nearest, nearest_by_sweeps

__all__ = ["Clip", "Polar", "SpectralFunction", "Squash", "apply"]


class SpectralFunction:
    """What is done to singular values."""

    def values(self, s: Tensor) -> Tensor:
        """The new singular values `(..., count)`."""
        raise NotImplementedError

    def differences(self, s: Tensor) -> Tensor:
        """Slopes of the chords between any two, `(..., count, count)`; of the tangent for one."""
        raise NotImplementedError

    def of(self, x: Tensor) -> Tensor:
        """The function of tall matrices `(count, rows, columns)`; NaN where one is not finite."""
        u, s, v, lost = decompose(x)
        return ((u * self.values(s).unsqueeze(-2)) @ v).masked_fill(lost, torch.nan)


class Polar(SpectralFunction):
    """All singular values become 1."""

    def values(self, s: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(s)

    def differences(self, s: Tensor) -> Tensor:
        """Zeros."""
        return s.new_zeros((*s.shape, s.shape[-1]))

    def of(self, x: Tensor) -> Tensor:
        """The polar factor, which needs no singular values."""
        return nearest(x)


@dataclass(frozen=True)
class Clip(SpectralFunction):
    """None is above the bound."""

    bound: float

    def values(self, s: Tensor) -> Tensor:
        """The smaller of both."""
        return s.clamp(max=self.bound)

    def of(self, x: Tensor) -> Tensor:
        """The nearest matrix below the bound; of what is a little above it, in half of the time.

        The eigenvectors of `x^T x` tell what is too long, and it is taken off. Squares lose digits:
        next to a singular value far above the bound, one at the bound would have too few.
        """
        if not asks_numbers(x):
            return super().of(x)
        inner = torch.bmm(x.mT, x)
        lost = ~torch.isfinite(inner).all(-1, keepdim=True).all(-2, keepdim=True)
        squares, v = torch.linalg.eigh(inner.masked_fill(lost, 0))
        s = squares.clamp(min=torch.finfo(x.dtype).tiny).sqrt()
        longest = s.amax(-1).masked_fill(lost[:, 0, 0], torch.inf)
        if (longest <= self.bound).all():
            return x
        excess = (1 - self.bound / s).clamp(min=0)
        found = torch.baddbmm(x, torch.bmm(x, v) * excess.unsqueeze(-2), v.mT, alpha=-1)
        if (far := longest > 2 * self.bound).any():
            found[far] = super().of(x[far])
        return found

    def differences(self, s: Tensor) -> Tensor:
        """1 below the bound, 0 above; at the bound 1, as the derivative from inside."""
        one, other = s.unsqueeze(-1), s.unsqueeze(-2)
        apart = one != other
        chord = (self.values(one) - self.values(other)) / torch.where(apart, one - other, 1)
        return torch.where(apart, chord, (one <= self.bound).to(s.dtype))


@dataclass(frozen=True)
class Squash(SpectralFunction):
    """All numbers go smoothly below the bound; or back, if `inverse`."""

    bound: float
    inverse: bool = False

    def _shrink(self, s: Tensor) -> Tensor:
        square = (s / self.bound).square()
        return (1 - square if self.inverse else 1 + square).rsqrt()

    def values(self, s: Tensor) -> Tensor:
        """`s / sqrt(1 + (s / bound)^2)`, its inverse with a minus."""
        return s * self._shrink(s)

    def differences(self, s: Tensor) -> Tensor:
        """From `f(s)^2 - f(t)^2 = (s^2 - t^2) (f(s)/s f(t)/t)^2`, without a small difference."""
        shrink = self._shrink(s)
        both = (shrink.unsqueeze(-1) * shrink.unsqueeze(-2)).square()
        return both / _sums(self, s)


def apply(function: SpectralFunction, x: Tensor) -> Tensor:
    """A function of the singular values of tall matrices `(*batch, rows, columns)`."""
    flat = x.reshape(-1, *x.shape[-2:])
    if torch.compiler.is_compiling() and isinstance(function, Polar):
        return nearest_by_sweeps(flat).view(x.shape)
    # Autocast would round the products, and with them the answer.
    rounds = torch.is_autocast_enabled(kind := x.device.type)
    with torch.autocast(kind, enabled=False) if rounds else nullcontext():
        found = _Spectral.apply(flat, function)
    assert isinstance(found, Tensor)
    return found.view(x.shape)


def decompose(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`U`, `s` and `V^T` of each matrix; and where they mean nothing, `(count, 1, 1)`."""
    # One matrix with a NaN would make torch.linalg.svd raise for all.
    lost = ~torch.isfinite(x).all(-1, keepdim=True).all(-2, keepdim=True)
    u, s, v = torch.linalg.svd(x.masked_fill(lost, 0), full_matrices=False)
    return u, s, v, lost


class _Spectral(torch.autograd.Function):
    """A function of the singular values of `(count, rows, columns)`."""

    @staticmethod
    def forward(x: Tensor, function: SpectralFunction) -> Tensor:
        found = function.of(x)
        return found.clone() if found is x else found  # what is saved may not be the answer too

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.function = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _derivative(ctx.function, x, grad), None  # which is its own adjoint

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple, x: Tensor, function: SpectralFunction
    ) -> tuple[Tensor, int]:
        x = x.movedim(in_dims[0], 0)
        return apply(function, x), 0


def _derivative(function: SpectralFunction, x: Tensor, dx: Tensor) -> Tensor:
    u, s, v, lost = decompose(x)
    m = u.mT @ dx @ v.mT
    even, odd = (m + m.mT) / 2, (m - m.mT) / 2
    sums = _sums(function, s)
    inner = function.differences(s) * even + sums * odd
    across = dx @ v.mT - u @ m
    ratio = sums.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    return ((u @ inner + across * ratio) @ v).masked_fill(lost, torch.nan)


def _sums(function: SpectralFunction, s: Tensor) -> Tensor:
    """`(f(s_i) + f(s_j)) / (s_i + s_j)`; finite where both are 0, and there as if f were s."""
    largest = s.amax(-1, keepdim=True)
    least = torch.finfo(s.dtype).eps * torch.where(largest > 0, largest, 1)
    new, old = ((part + least).unsqueeze(-1) for part in (function.values(s), s))
    return (new + new.mT) / (old + old.mT)
