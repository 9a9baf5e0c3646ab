"""Sets without edges, along which training can move: what constrained Langevin dynamics asks."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ["Cut", "Surface"]


class Surface:
    """All of space, where nothing binds; a constraint that has no edges overrides what differs.

    A position is `q = lift(x)`, in coordinates of the same shape as the value `x`; most sets need
    none of their own. A velocity `v` has the shape of `q` and the units of `x` per unit of time:
    lengths along the set are lengths in the space of its values, so that noise of one variance in
    all directions is spread evenly over the set.

    Example:
        >>> import torch
        >>> everywhere, x = Surface(), torch.tensor([1.0, 2.0])
        >>> everywhere.glide(x, torch.tensor([0.5, 0.0]))
        (tensor([1.5000, 2.0000]), tensor([0.5000, 0.0000]))
    """

    def lift(self, x: Tensor) -> Tensor:
        """The position of an allowed value."""
        return x

    def drop(self, q: Tensor) -> Tensor:
        """The allowed value at a position."""
        return q

    def pull(self, q: Tensor, grad: Tensor) -> Tensor:
        """A gradient with respect to the value at `q`, as a force on the position."""
        return grad

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part of `v` along the set at `q`."""
        return v

    def glide(self, q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Position and velocity after one unit of time of free motion along the set."""
        return q + v, v

    def step(self, q: Tensor, v: Tensor) -> Tensor:
        """Where the point `q + v`, `v` along the set, comes back to the set."""
        return self.glide(q, v)[0]


class Cut(Surface):
    """A surface cut by planes through its middle, such as closed connections are.

    Args:
        inner: A surface that is its own mirror image in each of the planes.
        planes: What takes the directions out of a velocity that the cuts forbid.
    """

    def __init__(self, inner: Surface, planes: Sequence[Surface]) -> None:
        self.inner, self.planes = inner, planes

    def lift(self, x: Tensor) -> Tensor:
        """As the inner surface has it."""
        return self.inner.lift(x)

    def drop(self, q: Tensor) -> Tensor:
        """As the inner surface has it."""
        return self.inner.drop(q)

    def pull(self, q: Tensor, grad: Tensor) -> Tensor:
        """As the inner surface has it."""
        return self.inner.pull(q, grad)

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part along the inner surface of what is along all planes."""
        for plane in self.planes:
            v = plane.tangent(q, v)
        return self.inner.tangent(q, v)

    def glide(self, q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A way that begins along the planes stays in them."""
        return self.inner.glide(q, v)
