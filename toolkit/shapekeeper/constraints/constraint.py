"""What every constraint answers; a new one writes `check`, `residual`, `project` and `sample`."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .surface import Surface
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
        shape: Sizes of these axes where the constraint fixes them, else empty.
        unit: What `violation` is measured in.
        scale: The violation that counts as 1 where several constraints are compared.
        separable: Whether the set is a product of intervals, one per entry. Then a step along the
            coordinates followed by the projection rests at the right point under any optimizer.
        graded: Whether `residual` has a derivative, so that a multiplier can price it.

    Example:
        >>> from shapekeeper import Box
        >>> box = Box(0.0, 1.0)
        >>> box.violation(torch.tensor([0.5, 1.5])), box.project(torch.tensor([0.5, 1.5]))
        (tensor([0.0000, 0.5000]), tensor([0.5000, 1.0000]))
    """

    event_dims: int
    shape: tuple[int, ...] = ()
    unit: ClassVar[str] = ""
    scale: ClassVar[float] = 1.0
    separable: ClassVar[bool] = False
    graded: ClassVar[bool] = True
    kinds: ClassVar[dict[str, type["Constraint"]]] = {}

    def __init_subclass__(cls, *, final: bool = True, **options: Any) -> None:
        """Note the class under its name, so that JSON finds it; a mere base is not `final`.

        Raises:
            ConstraintError: If the library has a constraint of that name.
        """
        super().__init_subclass__(**options)
        if not final:
            return
        taken = Constraint.kinds.get(cls.__name__)
        ours = __name__.partition(".")[0] + "."
        if taken and taken.__module__.startswith(ours) and cls.__module__ != taken.__module__:
            raise ConstraintError(
                f"Wanted a name of its own for {cls.__module__}.{cls.__name__}: saved constraints "
                f"of that name are {taken.__module__}.{cls.__name__}. Rename the class."
            )
        Constraint.kinds[cls.__name__] = cls

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was worked out from them stays behind."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # all are dataclasses
        return {field.name: getattr(self, field.name) for field in fields}

    def __and__(self, other: "Constraint") -> "Constraint":
        """The values that both allow.

        Products of intervals combine with each other (`Connections`, `NonNegative`, `Signs`,
        `Box`, `Circle`), and one `Sphere` with those of them that are cones: no ends, no presets.

        Raises:
            ConstraintError: If there is no such value, or none nearest to another is known how
                to find.

        Example:
            >>> from shapekeeper import Connections, NonNegative
            >>> both = Connections([[1, 0, 1]]) & NonNegative()
            >>> both, both.project(torch.tensor([[2.0, 3.0, -1.0]]))
            (Connections([[1, 0, 1]]) & NonNegative(), tensor([[2., 0., 0.]]))
        """
        if not isinstance(other, Constraint):
            return NotImplemented
        return Constraint.kinds["Intersection"](self, other)  # type: ignore[call-arg]

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError if a tensor of this shape can't hold the constraint."""

    def check_layer(self, layer: nn.Module) -> None:  # noqa: B027  # most have nothing to ask
        """Raise ConstraintError if this layer, which owns the tensor, changes what it means."""

    def notes(self, x: Tensor, layer: nn.Module) -> list[str]:
        """What a reader of a report should know of the value `x` in this layer, a sentence each."""
        return []

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

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place and without gradient, as a training step ends; returns `x`.

        Args:
            x: Values `(*batch, *event)`, written to.
            warm: What a set that has to search remembers of its last search, read and written to;
                others need none.
        """
        with torch.no_grad():
            return x.copy_(self.project(x))

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

    def inside(self) -> "Constraint":
        """A set a little inside this one, where there is any, for prices that are to end in it.

        A price pulls up to the boundary of its set, and the noise of training carries beyond.
        """
        return self

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of each entry of a separable set, infinite where there is none.

        Returns:
            Two arrays in double precision that broadcast over an event.
        """
        largest = torch.finfo(torch.float64).max
        far = torch.full(self.shape, largest, dtype=torch.float64, device="cpu")
        low, high = self.project(-far).numpy(), self.project(far).numpy()
        return np.where(low == -far, -np.inf, low), np.where(high == far, np.inf, high)

    def start(self, x: Tensor) -> Tensor:
        """Where training begins when the model begins at `x`."""
        return self.project(x)

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Free numbers, of the shape of `x`, whose image under the chart around `at` is `x`."""
        raise NotImplementedError(self.no_chart())

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The allowed value that the free numbers `u` stand for."""
        raise NotImplementedError(self.no_chart())

    def no_chart(self) -> str:
        """Why Reparametrization can't hold it, and what can."""
        return (
            f"{type(self).__name__} has no chart, so Reparametrization can't hold it. "
            "Unconstrained, Penalty, AugmentedLagrangian, Freeze, Staged, Projection and "
            "RejectionEvolution work."
        )

    @property
    def surface(self) -> Surface | None:
        """How to move along the set, as `ConstrainedLangevin` does; None where it has edges."""
        return self if isinstance(self, Surface) else None

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
        return Constraint.kinds[kind]._from_settings(settings)

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> "Constraint":
        return cls(
            **{
                name: TensorValue.array_from_json(value)
                if isinstance(value, (dict, list))
                else value
                for name, value in settings.items()
            }
        )


def check_last_axes(wanted: tuple[int, ...], shape: tuple[int, ...], owner: str) -> None:
    """Raise ConstraintError unless the last axes of a shape are the wanted ones.

    Args:
        wanted: Sizes of the last axes.
        shape: Of the tensor, batch axes first.
        owner: What has these axes, e.g. "the mask [target, source]".
    """
    got = tuple(shape)[-len(wanted) :]
    if got == wanted:
        return
    turned = " That is the transpose: rows are targets, columns sources (use .T)."
    raise ConstraintError(
        f"Wanted a tensor whose last axes are {wanted}, as {owner} has, got {tuple(shape)}."
        f"{turned if got == wanted[::-1] else ''}"
    )
