"""What each entry may be by itself: a range, one side of zero."""

from abc import abstractmethod
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .constraint import Constraint, ConstraintError, check_last_axes
from .intervals import intervals
from .tensor_value import TensorValue

__all__ = ["Box", "NonNegative", "Signs"]


class Entrywise(Constraint, final=False):
    """An interval for each entry: what `Box`, `NonNegative` and `Signs` share."""

    separable: ClassVar[bool] = True

    @abstractmethod
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of each entry, infinite where there is none."""

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How far entries are below their lower and above their upper end; no `equal`."""
        at_most = intervals(self).residual(x).flatten(-1 - self.event_dims)
        return at_most[..., :0], at_most

    def violation(self, x: Tensor) -> Tensor:
        """The largest distance of an entry from its interval."""
        distance = intervals(self).distance(x)
        return distance.flatten(-self.event_dims).amax(-1) if self.event_dims else distance

    def tolerance(self, dtype: torch.dtype) -> float:
        """Zero: comparisons with the ends are exact."""
        return 0.0

    def project(self, x: Tensor) -> Tensor:
        """The nearest allowed numbers, with the one-sided derivative."""
        return intervals(self).clamp(x)

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place: half of its time, since no new tensor is made."""
        return intervals(self).clamp_(x)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Logit between two ends, the inverse of softplus from one, the number itself without.

        A number within 1e-3 of the width of an end is moved inside to there first (with one end:
        within 1e-3), since the chart reaches the ends only at infinity.
        """
        return intervals(self).to_free(x)

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """A number strictly inside, up to rounding: sigmoid, softplus, or the number itself."""
        return intervals(self).from_free(u)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Uniform between two ends, exponential from one, standard normal without any."""
        self.check(shape)
        return intervals(self).sample(shape, generator)


@dataclass(frozen=True)
class Box(Entrywise):
    """Numbers in a range, each entry by itself.

    The derivative of `project` is a surrogate, the one-sided clamp: outside the range a gradient
    passes only if descending along it leads back in. The clamp's own derivative is zero there, and
    a node that starts outside would never learn again.

    Args:
        low: Smallest allowed number; `-inf` for none.
        high: Largest allowed number; `inf` for none.

    Raises:
        ConstraintError: If the range is empty, a single number, unbounded on both sides, or NaN.

    Example:
        >>> Box(0.0, 1.0).project(torch.tensor([-1.0, 0.25, 3.0]))
        tensor([0.0000, 0.2500, 1.0000])
    """

    low: float
    high: float

    event_dims: ClassVar[int] = 0  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "value"

    def __post_init__(self) -> None:
        """Refuse a range that holds nothing or everything."""
        given = f"got low={self.low}, high={self.high}"
        if isnan(self.low) or isnan(self.high) or not self.low < self.high:
            raise ConstraintError(f"Wanted low < high, {given}.")
        if not (isfinite(self.low) or isfinite(self.high)):
            raise ConstraintError(f"Wanted at least one finite end, {given}; that allows all.")

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape can hold a range."""

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The same two for every entry."""
        return np.array(self.low, float), np.array(self.high, float)


@dataclass(frozen=True)
class NonNegative(Entrywise):
    """Numbers from 0 up, each entry by itself.

    The derivative of `project` is the one-sided clamp of `Box`.

    Example:
        >>> NonNegative().project(torch.tensor([-1.0, 0.25]))
        tensor([0.0000, 0.2500])
        >>> NonNegative().start(torch.tensor([-1.0, 0.25]))
        tensor([1.0000, 0.2500])
    """

    event_dims: ClassVar[int] = 0  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "value"

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape can hold numbers from 0 up."""

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """0 and infinity for every entry."""
        return np.array(0.0), np.array(inf)

    def start(self, x: Tensor) -> Tensor:
        """Absolute values: projecting would shorten every event."""
        return intervals(self).fold(x)


@dataclass(frozen=True, init=False, repr=False)
class Signs(Entrywise):
    """Weights whose sign is given: excitation and inhibition.

    One sign per source, a vector, holds Dale's law on weights `W[target, source]`: all that leaves
    a unit has one sign (for trained networks: H. F. Song, G. R. Yang and X.-J. Wang 2016, Training
    excitatory-inhibitory recurrent neural networks for cognitive tasks). A weight may be zero
    whatever its sign. The derivative of `project` is the one-sided clamp of `Box`.

    Args:
        matrix: Entries +1, -1, or 0 for either sign: `(target, source)`, or `(source,)` for rows
            that are all alike, or the shape of whatever tensor is bound.

    Raises:
        ConstraintError: If there are other entries, or none but zeros, which allow all.

    Example:
        >>> dale = Signs([1, 1, -1])
        >>> dale.project(torch.tensor([[0.5, -2.0, 1.0], [-1.0, 3.0, -4.0]]))
        tensor([[ 0.5000,  0.0000,  0.0000],
                [ 0.0000,  3.0000, -4.0000]])
        >>> dale.start(torch.tensor([[0.5, -2.0, 1.0]]))
        tensor([[ 0.5000,  2.0000, -1.0000]])
    """

    _matrix: TensorValue

    unit: ClassVar[str] = "weight"

    def __init__(self, matrix: Any) -> None:
        """See the class."""
        entries = matrix.detach().cpu().numpy() if isinstance(matrix, Tensor) else matrix
        entries = np.asarray(entries)
        if problem := _bad_signs(entries):
            raise ConstraintError(problem)
        object.__setattr__(self, "_matrix", TensorValue.of(entries.astype(np.int8)))

    def __repr__(self) -> str:
        """The call that makes it, or a digest beyond 64 entries."""
        return f"Signs({self._matrix})"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # fixed by the matrix
        """Sizes of the matrix."""
        return self._matrix.shape

    @property
    def event_dims(self) -> int:  # type: ignore[override]  # as many as the matrix has
        """As many axes as the matrix has."""
        return len(self.shape)

    @property
    def matrix(self) -> Tensor:
        """The signs, a fresh int8 tensor."""
        return torch.from_numpy(self._matrix.numpy())

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless the last axes have the matrix's sizes."""
        owner = "the matrix of signs [target, source]"
        check_last_axes(self.shape, shape, owner if self.event_dims > 1 else "one sign per source")

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """0 on one side, infinity on the other; both infinite for either sign."""
        signs = self._matrix.numpy()
        return np.where(signs > 0, 0.0, -inf), np.where(signs < 0, 0.0, inf)

    def start(self, x: Tensor) -> Tensor:
        """Weights of the wrong sign mirrored: projecting would shorten every row."""
        return intervals(self).fold(x)


def _bad_signs(matrix: np.ndarray) -> str:
    if matrix.dtype.kind not in "biuf" or matrix.dtype == bool:
        return f"Wanted signs +1, -1 and 0 (either), got entries of type {matrix.dtype}."
    if matrix.ndim == 0 or matrix.size == 0:
        return (
            f"Wanted signs with at least one entry and one axis, got shape {matrix.shape}. "
            "One sign for all is NonNegative(), or Box(-inf, 0)."
        )
    odd = np.argwhere(~np.isin(matrix, (-1, 0, 1)))
    if len(odd):
        where = [int(i) for i in odd[0]]
        more = f" and {len(odd) - 1} more such entries" if len(odd) > 1 else ""
        return (
            f"Wanted signs +1, -1 and 0 (either), got {matrix[tuple(where)]} at {where}{more}. "
            "Signs of numbers are Signs(numpy.sign(matrix))."
        )
    if not matrix.any():
        return "Wanted at least one sign, got zeros alone; that allows all."
    return ""
