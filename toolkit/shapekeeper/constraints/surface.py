"""Sets without edges, along which training can move: what constrained Langevin dynamics asks."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Cut", "Flat", "Surface", "onward"]

Time = float | Tensor  # a tensor of shape (runs, 1, ...) where the runs differ


class Surface:
    """All of space, where nothing binds; a constraint that has no edges overrides what differs.

    A position is `q = lift(x)`, in coordinates of the same shape as the value `x`; most sets need
    none of their own. A velocity `v` has the shape of `q` and the units of `x` per unit of time:
    lengths along the set are lengths in the space of its values, so that noise of one variance in
    all directions is spread evenly over the set. A time is a number, or one number for each run in
    a shape that broadcasts.

    Methods whose names end in `_` write to the tensors that they move. They do what the others say
    in fewer passes over memory, and new memory is what costs most on a CPU; `room` is a tensor of
    the right shape that they may use up.

    Example:
        >>> everywhere, x = Surface(), torch.tensor([1.0, 2.0])
        >>> everywhere.glide(x, torch.tensor([0.5, 0.0]))
        (tensor([1.5000, 2.0000]), tensor([0.5000, 0.0000]))
    """

    def lift(self, x: Tensor) -> Tensor:
        """The position of an allowed value."""
        return x

    def drop(self, q: Tensor, out: Tensor | None = None) -> Tensor:
        """The allowed value at a position, perhaps written to `out`."""
        return q if out is None or out is q else out.copy_(q)

    def pull(self, q: Tensor, grad: Tensor) -> Tensor:
        """A gradient with respect to the value at `q`, as one with respect to the position."""
        return grad

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part of `v` along the set at `q`."""
        return v

    def glide(self, q: Tensor, v: Tensor, time: Time = 1.0) -> tuple[Tensor, Tensor]:
        """Position and velocity after some time of free motion along the set."""
        return onward(q, v, time), v

    def step(self, q: Tensor, v: Tensor, time: Time = 1.0) -> Tensor:
        """Where the point `q + time v`, `v` along the set, comes back to the set."""
        return self.glide(q, v, time)[0]

    def tidy_(self, q: Tensor) -> None:
        """Write the same position in other numbers, where some are better than others."""

    def kick_(self, p: Tensor, q: Tensor, grad: Tensor, by: Time, room: Tensor) -> None:
        """Add `by` times the gradient along the set to velocities `p` at `q`."""
        onward(p, self.tangent(q, self.pull(q, grad)), by, out=p)

    def descend_(self, q: Tensor, grad: Tensor, by: Time, x: Tensor) -> None:
        """Step down the gradient along the set for a time `by`; the value goes to `x`."""
        q.copy_(self.step(q, self.tangent(q, self.pull(q, grad)), -by))
        self.drop(q, out=x)

    def shiver_(
        self, q: Tensor, grad: Tensor, by: Time, noise: Tensor, spread: Time, x: Tensor
    ) -> None:
        """`descend_` with noise along the set of that spread."""
        push = onward(-by * self.pull(q, grad), noise, spread)
        q.copy_(self.step(q, self.tangent(q, push)))
        self.tidy_(q)
        self.drop(q, out=x)

    def glide_(self, q: Tensor, v: Tensor, time: Time) -> None:
        """`glide`, in place."""
        there, along = self.glide(q, v, time)
        q.copy_(there)
        if along is not v:
            v.copy_(along)


def onward(q: Tensor, v: Tensor, time: Time, out: Tensor | None = None) -> Tensor:
    """`q + time v`, in one pass where there is one time."""
    if isinstance(time, Tensor):
        return torch.addcmul(q, v, time, out=out)
    return torch.add(q, v, alpha=time, out=out)


class Flat(Surface):
    """All of space, in one pass for each move."""

    def descend_(self, q: Tensor, grad: Tensor, by: Time, x: Tensor) -> None:
        """Ordinary gradient descent."""
        self.drop(onward(q, grad, -by, out=q), out=x)

    def shiver_(
        self, q: Tensor, grad: Tensor, by: Time, noise: Tensor, spread: Time, x: Tensor
    ) -> None:
        """Ordinary gradient descent, and noise."""
        onward(q, grad, -by, out=q)
        self.drop(onward(q, noise, spread, out=q), out=x)

    def glide_(self, q: Tensor, v: Tensor, time: Time) -> None:
        """Straight on."""
        onward(q, v, time, out=q)


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

    def drop(self, q: Tensor, out: Tensor | None = None) -> Tensor:
        """As the inner surface has it."""
        return self.inner.drop(q, out)

    def pull(self, q: Tensor, grad: Tensor) -> Tensor:
        """As the inner surface has it."""
        return self.inner.pull(q, grad)

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """The part along the inner surface of what is along all planes."""
        for plane in self.planes:
            v = plane.tangent(q, v)
        return self.inner.tangent(q, v)

    def glide(self, q: Tensor, v: Tensor, time: Time = 1.0) -> tuple[Tensor, Tensor]:
        """A way that begins along the planes stays in them."""
        return self.inner.glide(q, v, time)

    def tidy_(self, q: Tensor) -> None:
        """As the inner surface has it."""
        self.inner.tidy_(q)
