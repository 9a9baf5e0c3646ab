"""The nearest points of a polyhedron, followed from step to step of a training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..tensor_value import TensorValue
from .polyhedron import Polyhedron

__all__ = ["Tracker"]

RELAXATION = 1.6


@dataclass(frozen=True)
class Tracker:
    """Follows the nearest points while what they are nearest to moves slowly.

    The alternating direction method of multipliers (S. Boyd et al. 2011, Distributed optimization
    and statistical learning via the alternating direction method of multipliers, sections 3.4.3
    and 4.2.5), with one matrix factored beforehand and a fixed number of steps; then the way into
    the set, so that what comes out is always allowed. At points that rest it converges.

    With `y` for the rows of a step plus their multipliers minus q, the slack is `max(-y, 0)`, the
    multipliers are `max(y, 0)`, and one step is

        a = base + |y| fold,    y = 0.2 y + 0.8 |y| + a unfold.

    Attributes:
        polyhedron: The set.
        enter: `(m, w)`: `base = z enter + offset`; w is m for a cone, for a polytope m + 1.
        offset: `(w,)`.
        fold: `(R, w)`.
        unfold: `(w, R)`.

    Example:
        >>> square = Polyhedron.of([[1, 0], [0, 1], [-1, 0], [0, -1]], [1, 1, 0, 0])
        >>> tracker, memory = Tracker.of(square), {}
        >>> tracker.track(torch.tensor([[2.0, 0.25]]), memory)
        tensor([[1.0000, 0.2500]])
    """

    polyhedron: Polyhedron
    enter: TensorValue
    offset: TensorValue
    fold: TensorValue
    unfold: TensorValue

    @classmethod
    def of(cls, polyhedron: Polyhedron) -> "Tracker":
        """The tracker of a set."""
        rows, limits = polyhedron.rows.numpy(), polyhedron.limits.numpy()
        count, m = rows.shape
        stiffness = _stiffness(polyhedron) / count
        inverse = np.linalg.inv(np.eye(m) + stiffness * rows.T @ rows)
        fold, unfold = -stiffness * rows @ inverse, RELAXATION * rows.T
        enter, offset = inverse, -limits @ fold
        if not polyhedron.is_cone:  # one more coordinate, always 1, carries the limits
            enter, fold = (np.pad(part, ((0, 0), (0, 1))) for part in (enter, fold))
            offset = np.append(offset, 1.0)
            unfold = np.vstack([unfold, -RELAXATION * limits])
        return cls(polyhedron, *map(TensorValue.of, (enter, offset, fold, unfold)))

    def track(self, a: Tensor, memory: dict[str, Tensor], steps: int = 20) -> Tensor:
        """Allowed points near the nearest ones; no gradient.

        Nothing in it waits for the device.

        Args:
            a: `(..., m)`, float32 or float64.
            memory: Of the calls before, at first empty; it is written to. Its tensors have the
                leading axes of `a`.
            steps: How many steps are taken.

        Returns:
            The points, same shape.
        """
        with torch.no_grad():
            like = a.device, a.dtype
            parts = (self.enter, self.offset, self.fold, self.unfold)
            enter, offset, fold, unfold = (part.on(*like) for part in parts)
            z = a.reshape(-1, a.shape[-1])
            side = self._side(z)
            y = self._recall(memory, side, fold.shape[0], a.shape[:-1])
            base = torch.addmm(offset, z * side, enter)
            size, at = y.abs(), torch.empty_like(base)
            for _ in range(steps):
                torch.addmm(base, size, fold, out=at)
                y.lerp_(size, 0.5 * RELAXATION)
                y.addmm_(at, unfold)
                torch.abs(y, out=size)
            torch.addmm(base, size, fold, out=at)
            return (self._nearer(z * side, at[:, : a.shape[-1]]) * side).view(a.shape)

    def _nearer(self, z: Tensor, at: Tensor) -> Tensor:
        """The way in from where the steps lead, or from z itself where that ends nearer to z.

        So a point that is allowed stays.
        """
        ends = self.polyhedron.ray(torch.stack([at, z]))
        far = (ends - z).square().sum(-1, keepdim=True)
        return torch.where(far[0] < far[1], ends[0], ends[1])

    def _side(self, z: Tensor) -> Tensor:
        """On which side of a cone each point is, `(N, 1)`, +1 or -1; allowed ones are right."""
        if not self.polyhedron.is_cone:
            return torch.ones_like(z[:, :1])
        along = z @ self.polyhedron.start.on(z.device, z.dtype)
        return torch.where(along < 0, -1.0, 1.0).to(z.dtype).unsqueeze(-1)

    def _recall(
        self, memory: dict[str, Tensor], side: Tensor, rows: int, lead: torch.Size
    ) -> Tensor:
        """y, `(N, R)`, a view of the memory; 0 where a point has changed sides."""
        if "rows" not in memory:
            memory["rows"] = side.new_zeros(*lead, rows)
            memory["side"] = side.clone().view(*lead, 1)
        for name in ("rows", "side"):  # the model may have gone elsewhere since
            memory[name] = memory[name].to(side)
        y, before = memory["rows"].view(-1, rows), memory["side"].view(-1, 1)
        y.mul_(before == side)
        before.copy_(side)
        return y


def _stiffness(polyhedron: Polyhedron) -> float:
    """Of all rows together, against 1 for the distance: the narrower the set, the stiffer.

    The power law fits the best of seven values for eight drawings of 5 to 65 taps.
    """
    rows, limits, center = (
        part.numpy() for part in (polyhedron.rows, polyhedron.limits, polyhedron.center)
    )
    room = (limits - rows @ center).min()
    return 5.0 * float(np.linalg.norm(center) / room) ** 0.8
