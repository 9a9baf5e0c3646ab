"""Symmetric kernels under a template, on whatever device they are needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from ..constraint import ConstraintError
from ..tensor_value import TensorValue
from .drawing import Piece
from .interior_point import nearest
from .polyhedron import Polyhedron
from .template import Template
from .tracking import Tracker

__all__ = ["SymmetricKernels"]

FINER = (8, 32, 128)  # grid points for each half tap; they cost 0.17, 0.01 and 0.001 dB


@dataclass(frozen=True)
class SymmetricKernels:
    """The symmetric kernels of one length that follow a drawing.

    A kernel's nearest symmetric one is the mean of it and its mirror image; what is nearest to
    that in the set is nearest to the kernel itself, since the rest is orthogonal to all of them.

    Attributes:
        basis: E, `(taps, m)`, orthonormal columns: a kernel is `E a`.
        coordinates: The set of all allowed `a`.
        tracker: Follows the nearest ones from step to step.
    """

    basis: TensorValue
    coordinates: Polyhedron
    tracker: Tracker

    @classmethod
    def of(
        cls, pieces: Sequence[Piece], taps: int, gain: Literal["free", "unit"]
    ) -> "SymmetricKernels":
        """The kernels that follow pieces over frequency.

        Raises:
            ConstraintError: If there is none.
        """
        for over in FINER:
            template = Template.of(pieces, taps, gain, over)
            gamma = template.gamma if gain == "free" else None
            try:
                polyhedron = Polyhedron.of(template.rows, template.limits, gamma)
            except ConstraintError:
                if over == FINER[-1]:
                    raise
                continue  # what a coarse grid asks for safety may be all the room there is
            break
        return cls(TensorValue.of(template.basis), polyhedron, Tracker.of(polyhedron))

    @property
    def center(self) -> np.ndarray:
        """The kernel in the middle of the drawing, `(taps,)`."""
        return self.basis.numpy() @ self.coordinates.center.numpy()

    def nearest(self, x: Tensor) -> Tensor:
        """The nearest ones to kernels `(..., taps)`."""
        return self._through(x, lambda a: nearest(a, self.coordinates))

    def ray(self, x: Tensor, share: float = 1.0) -> Tensor:
        """Where the way from each kernel to the middle of the drawing enters the set.

        Or a smaller set of the same middle, with this share of the way to each boundary.
        """
        return self._through(x, lambda a: self.coordinates.ray(a, share))

    def follow(self, x: Tensor, memory: dict[str, Tensor]) -> Tensor:
        """Allowed kernels that come nearest as the same kernels are asked again and again."""
        return self._through(x, lambda a: self.tracker.track(a, memory))

    def _through(self, x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
        basis = self.basis.on(x.device, x.dtype)
        return move(x @ basis) @ basis.mT
