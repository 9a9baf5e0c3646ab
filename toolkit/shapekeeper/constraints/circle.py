"""Numbers that are the shadow of a point on a circle, each with a slack of its own."""

from dataclasses import dataclass
from math import isfinite, pi
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .constraint import ConstraintError
from .entrywise import Entrywise
from .surface import Surface, Time, onward

__all__ = ["Circle"]

PART = 2**17  # numbers
MANY = 50.0  # radians that cost a float32 two of its seven digits
INSIDE = 1e-3  # share of the width by which a start keeps away from an end


@dataclass(frozen=True)
class Circle(Surface, Entrywise):
    """Numbers from -r to r, each the first coordinate of a point on a circle of radius r.

    B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, Better training using
    weight-constrained stochastic dynamics: each weight w gets a slack s with `w^2 + s^2 = r^2`.
    Here the point is its angle a, `w = r sin(a)` and `s = r cos(a)`, which keeps it exactly. For
    `ConstrainedLangevin` the circle is the set; every other strategy sees the range of w, and
    Reparametrization the angle.

    Noise spreads evenly over the circle, not over the range: on a flat loss w follows the arcsine
    law, and spends most of its time near the ends.

    Args:
        radius: The largest size of a number, more than 0; starts of `nn.Linear` fit from
            `1/sqrt(fan-in)` up.

    Raises:
        ConstraintError: If the radius is not a finite number above 0.

    Example:
        >>> circle = Circle(2.0)
        >>> circle.project(torch.tensor([0.5, -3.0]))
        tensor([ 0.5000, -2.0000])
        >>> angle = circle.lift(torch.tensor([1.0]))
        >>> circle.drop(angle), circle.slack(angle)
        (tensor([1.]), tensor([1.7321]))
    """

    radius: float = 1.0

    event_dims: ClassVar[int] = 0  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "value"

    def __post_init__(self) -> None:
        """Refuse a radius that can't be."""
        if not (isfinite(self.radius) and self.radius > 0):
            raise ConstraintError(f"Wanted a finite radius above 0, got {self.radius}.")

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape can hold numbers on circles."""

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The radius to both sides."""
        return np.array(-self.radius, float), np.array(self.radius, float)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The angle, as a length along the circle; within 1e-3 of the width of an end, moved in.

        At an end the slope of the sine is 0, and nothing would ever move away from there.
        """
        return self.radius * self.lift(x)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The number whose point lies so far along the circle."""
        return self.drop(u / self.radius)

    def lift(self, x: Tensor) -> Tensor:
        """The angle in radians, of the point with a slack above 0."""
        return torch.asin((x / self.radius).clamp(2 * INSIDE - 1, 1 - 2 * INSIDE))

    def drop(self, q: Tensor, out: Tensor | None = None) -> Tensor:
        """The number at an angle."""
        if out is None:
            return q.sin() * self.radius
        return torch.sin(q, out=out).mul_(self.radius)

    def slack(self, q: Tensor) -> Tensor:
        """The other coordinate of the point at an angle."""
        return self.radius * q.cos()

    def pull(self, q: Tensor, grad: Tensor) -> Tensor:
        """The gradient along the circle: a brake near the ends, where the slack is 0."""
        return q.cos().mul_(grad)

    def glide(self, q: Tensor, v: Tensor, time: Time = 1.0) -> tuple[Tensor, Tensor]:
        """An exact rotation; the velocity, along the circle, stays what it is."""
        return onward(q, v, time / self.radius), v

    def tidy_(self, q: Tensor) -> None:
        """Take whole turns off: an angle that grows loses digits."""
        # On a CPU a look costs less than the four passes; a GPU would have to be waited for.
        if q.device.type == "cpu" and max(map(abs, map(float, q.aminmax()))) <= MANY:
            return
        q.sub_((q / (2 * pi)).round_().mul_(2 * pi))

    def kick_(self, p: Tensor, q: Tensor, grad: Tensor, by: Time, room: Tensor) -> None:
        """Add `by` times the gradient along the circle to `p`."""
        brake = torch.cos(q, out=room)
        if isinstance(by, Tensor):
            p.addcmul_(brake.mul_(grad), by)
        else:
            p.addcmul_(brake, grad, value=by)

    def descend_(self, q: Tensor, grad: Tensor, by: Time, x: Tensor) -> None:
        """Turn down the gradient: an angle is moved as a velocity is."""
        # In parts that stay in a processor's cache: a seventh less time.
        whole = isinstance(by, Tensor) or q.numel() < 2 * PART or q.device.type != "cpu"
        if whole or not (q.is_contiguous() and grad.is_contiguous() and x.is_contiguous()):
            parts = [(q, grad, x)]
        else:
            split = (t.view(-1).split(PART) for t in (q, grad, x))
            parts = list(zip(*split, strict=True))
        for q, grad, x in parts:
            self.kick_(q, q, grad, -by / self.radius, room=x)
            self.drop(q, out=x)

    def shiver_(
        self, q: Tensor, grad: Tensor, by: Time, noise: Tensor, spread: Time, x: Tensor
    ) -> None:
        """Turn down the gradient, and by the noise."""
        self.kick_(q, q, grad, -by / self.radius, room=x)
        self.glide_(q, noise, spread)
        self.tidy_(q)
        self.drop(q, out=x)

    def glide_(self, q: Tensor, v: Tensor, time: Time) -> None:
        """Turn."""
        onward(q, v, time / self.radius, out=q)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform on the circle: numbers that follow the arcsine law."""
        device = None if generator is None else generator.device
        return self.drop(2 * pi * torch.rand(shape, generator=generator, device=device))
