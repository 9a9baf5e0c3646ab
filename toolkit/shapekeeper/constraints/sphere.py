"""Vectors of one length."""

from dataclasses import dataclass
from math import isfinite, pi
from typing import ClassVar

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .constraint import Constraint, ConstraintError
from .surface import Surface, Time

__all__ = ["Sphere"]


@dataclass(frozen=True)
class Sphere(Surface, Constraint):
    """Vectors along the last axis, each of the same Euclidean length.

    On weights `W[target, source]` that is one length for what arrives at each target. The nearest
    vector keeps its direction; a vector of zeros has none, and goes to the first axis.

    Args:
        radius: The length, more than 0.

    Raises:
        ConstraintError: If the radius is not a finite number above 0.

    Example:
        >>> sphere = Sphere(10.0)
        >>> sphere.project(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[ 6.,  8.],
                [10.,  0.]])
        >>> sphere.violation(torch.tensor([3.0, 4.0]))
        tensor(5.)
    """

    radius: float = 1.0

    event_dims: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "length"

    def __post_init__(self) -> None:
        """Refuse a length that can't be."""
        if not (isfinite(self.radius) and self.radius > 0):
            raise ConstraintError(f"Wanted a finite radius above 0, got {self.radius}.")

    @property
    def scale(self) -> float:  # type: ignore[override]  # depends on the setting
        """The radius."""
        return float(self.radius)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless there is a last axis with at least one entry."""
        if not shape or shape[-1] < 1:
            raise ConstraintError(
                f"Wanted a tensor whose last axis holds the vectors, got shape {tuple(shape)}. "
                "A single number on a sphere has nowhere to go; reshape it to (1,) if it is meant."
            )

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Length minus radius; no `at_most`."""
        equal = vector_norm(x, dim=-1, keepdim=True) - self.radius
        return equal, equal[..., :0]

    def project(self, x: Tensor) -> Tensor:
        """The vector of the right length in the direction of `x`; of zeros, the first axis."""
        # The size is a constant to the gradient: a direction does not depend on it. Dividing by it
        # keeps squares from overflowing.
        size = x.detach().abs().amax(-1, keepdim=True)
        zero = (size == 0).to(x.dtype)
        way = (x / (size + zero)).scatter_add(-1, torch.zeros_like(size, dtype=torch.long), zero)
        return way * (self.radius / vector_norm(way, dim=-1, keepdim=True))

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part of `v` along the sphere at an allowed `q`: `v` minus its part along `q`.

        Example:
            >>> Sphere().tangent(torch.tensor([1.0, 0.0]), torch.tensor([5.0, 2.0]))
            tensor([0., 2.])
        """
        normal = q / self.radius
        return v - (v * normal).sum(-1, keepdim=True) * normal

    def glide(self, q: Tensor, v: Tensor, time: Time = 1.0) -> tuple[Tensor, Tensor]:
        """Along a great circle at constant speed, exactly.

        Example:
            >>> Sphere().glide(torch.tensor([1.0, 0.0]), torch.tensor([0.0, pi / 3]))
            (tensor([0.5000, 0.8660]), tensor([-0.9069,  0.5236]))
        """
        pace = vector_norm(v, dim=-1, keepdim=True) / self.radius
        angle = pace * time
        cosine, share = angle.cos(), torch.sinc(angle / pi) * time  # sin(angle) / pace
        there = self.project(q * cosine + v * share)
        return there, self.tangent(there, v * cosine - q * (pace.square() * share))

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The tangent vector at `at` that leads to `x` along a great circle; `x` itself without.

        Any vector has one but the opposite of `at`, which all ways lead to.
        """
        if at is None:
            return x
        way = self.tangent(at, x)
        sine = vector_norm(way, dim=-1, keepdim=True)
        angle = torch.atan2(sine, (x * at).sum(-1, keepdim=True) / self.radius)
        return way * (self.radius * angle / sine.clamp(min=torch.finfo(x.dtype).tiny))

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Where the great circle from `at` along `u` ends after the length of `u`.

        The exponential map at a fixed point (M. Lezcano-Casado 2019, Trivializations for
        gradient-based optimization on manifolds). The part of `u` along `at` is not read; weight
        decay, which shortens `u`, pulls back to `at`. Without `at`, the projection of `u`.
        """
        if at is None:
            return self.project(u)
        way = self.tangent(at, u)
        angle = vector_norm(way, dim=-1, keepdim=True) / self.radius
        # Projecting takes off what rounding leaves of the part along `at`.
        return self.project(at * angle.cos() + way * torch.sinc(angle / pi))

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform on the sphere."""
        self.check(shape)
        device = None if generator is None else generator.device
        return self.project(torch.randn(shape, generator=generator, device=device))
