"""What every constraint answers; a new one writes `check`, `residual`, `project` and `sample`."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from .tensor_value import TensorValue

__all__ = ["Constraint", "ConstraintError"]


class ConstraintError(ValueError):
    """A constraint that can't be made, or a tensor that can't hold it."""


class Constraint(ABC):
    """The set of values that one tensor may take.

    Concrete constraints are final frozen dataclasses: hashable by value, picklable, and printed as
    the call that makes them. Leading axes are batch: every function works on `(*batch, *event)`.

    Attributes:
        event_dims: Number of trailing axes of one event.
        unit: What `violation` is measured in.
        scale: The violation that counts as 1 where several constraints are compared.
        separable: Whether the set is a product of intervals, one per entry. Then a step along the
            coordinates followed by the projection rests at the right point under any optimizer.

    Example:
        >>> from shapekeeper import Box
        >>> box = Box(0.0, 1.0)
        >>> box.violation(torch.tensor([0.5, 1.5])), box.project(torch.tensor([0.5, 1.5]))
        (tensor([0.0000, 0.5000]), tensor([0.5000, 1.0000]))
    """

    event_dims: int
    unit: ClassVar[str] = ""
    scale: ClassVar[float] = 1.0
    separable: ClassVar[bool] = False
    kinds: ClassVar[dict[str, type["Constraint"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Note the class under its name, so that JSON finds it."""
        super().__init_subclass__(**options)
        Constraint.kinds[cls.__name__] = cls

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError if a tensor of this shape can't hold the constraint."""

    @abstractmethod
    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Signed residuals, the last axis counting them.

        Args:
            x: Values `(*batch, *event)`.

        Returns:
            `equal` and `at_most`, each `(*batch, count)` and perhaps of count 0: x is allowed when
            `equal == 0` and `at_most <= 0`.
        """

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest allowed value in the Frobenius norm, same shape as `x`."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Allowed values of a shape `(*batch, *event)`."""

    def violation(self, x: Tensor) -> Tensor:
        """The largest residual of each event, `(*batch)`, in `unit`; 0 where allowed."""
        equal, at_most = self.residual(x)
        misses = [r for r in (equal.abs(), at_most.clamp(min=0)) if r.shape[-1]]
        if not misses:
            return equal.new_zeros(equal.shape[:-1])
        return torch.cat(misses, -1).amax(-1) if len(misses) > 1 else misses[0].amax(-1)

    def tolerance(self, dtype: torch.dtype) -> float:
        """The violation up to which a value counts as allowed, for rounding alone."""
        return 32 * torch.finfo(dtype).eps * self.scale

    def allows(self, x: Tensor) -> Tensor:
        """Whether each event is allowed, bool `(*batch)`; NaN is not."""
        return self.violation(x) <= self.tolerance(x.dtype)

    def penalty(self, x: Tensor) -> Tensor:
        """Sum of squared residuals of each event, `(*batch)`: differentiable, 0 iff allowed."""
        equal, at_most = self.residual(x)
        return equal.square().sum(-1) + at_most.clamp(min=0).square().sum(-1)

    def start(self, x: Tensor) -> Tensor:
        """Where training begins when the model begins at `x`."""
        return self.project(x)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Free numbers, of the shape of `x`, whose image under the chart around `at` is `x`."""
        raise NotImplementedError(self._no_chart())

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The allowed value that the free numbers `u` stand for."""
        raise NotImplementedError(self._no_chart())

    def _no_chart(self) -> str:
        return (
            f"{type(self).__name__} has no chart, so Reparametrization can't hold it. "
            "Unconstrained, Penalty, Freeze, Staged and Projection work."
        )

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which `Constraint.from_json` makes an equal constraint."""
        saved: dict[str, Any] = {"constraint": type(self).__name__}
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # all are dataclasses
        for name in [field.name for field in fields if field.compare]:
            value = getattr(self, name)
            plain = value.to_json() if isinstance(value, TensorValue) else value
            saved[name.removeprefix("_")] = plain
        return saved

    @staticmethod
    def from_json(saved: dict[str, Any]) -> "Constraint":
        """The constraint that `to_json` wrote.

        Raises:
            ConstraintError: If no constraint has that name.
        """
        settings = dict(saved)
        kind = settings.pop("constraint", None)
        if kind not in Constraint.kinds:
            raise ConstraintError(
                f"Wanted a constraint, got {kind!r}; there are {sorted(Constraint.kinds)}."
            )
        return Constraint.kinds[kind](
            **{
                name: TensorValue.array_from_json(value)
                if isinstance(value, (dict, list))
                else value
                for name, value in settings.items()
            }
        )
