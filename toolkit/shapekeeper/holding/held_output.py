"""The value of one layer under a strategy."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from shapekeeper.constraints import Constraint, ConstraintError

from .errors import HoldError
from .schedule import Schedule

__all__ = ["HeldOutput"]


class HeldOutput:
    """A submodule whose value a strategy treats before anybody reads it.

    Args:
        name: The submodule's name in the model.
        constraint: What its value may be.
        schedule: Shared with the other tensors of the same `hold`.
        module: The submodule.
    """

    def __init__(
        self, name: str, constraint: Constraint, schedule: Schedule, module: nn.Module
    ) -> None:
        self.name, self.constraint = name, constraint
        self.schedule, self.module = schedule, module
        self.memory: dict[str, Tensor] = {}
        self.stage = schedule.stage  # the one that the memory is of
        self.device: torch.device | None = None  # where it is
        self.recorded: list[Tensor] = []
        self.priced: list[Tensor] = []  # since the weights last moved
        self.buffers: list[tuple[nn.Module, str, Tensor]] = []
        self.worst: Tensor | None = None
        self.last_worst: Tensor | None = None  # before the weights moved
        self._join()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: no values of this model's forward passes."""
        of_passes = {"recorded": [], "priced": [], "buffers": [], "worst": None, "last_worst": None}
        return self.__dict__ | of_passes

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy forgets at the steps of its own schedule."""
        self.__dict__ |= state
        self._join()

    def _join(self) -> None:
        self.schedule.outputs.add(self)
        # What a constraint computes once must be there before torch.compile looks at it.
        c = self.constraint
        example = torch.zeros(1, *(c.shape or [1] * c.event_dims))
        with suppress(ConstraintError):  # of kernels the size is known with the first value only
            for part in self.schedule.parts:
                c.violation(part.strategy.output(c, example))

    def turn_over(self) -> None:
        """The weights have moved: what they passed on before is history."""
        self.last_worst = self.last_worst if self.worst is None else self.worst
        self.recorded, self.priced, self.worst = [], [], None

    @torch.no_grad()
    def learn(self) -> None:
        """A step of the schedule ends: the strategy learns from what was priced."""
        if self.priced:
            # The calls of a layer, and the parts of a batch, are examples like any others.
            c = self.constraint
            values = [v if v.dim() > c.event_dims else v.unsqueeze(0) for v in self.priced]
            self.schedule.hooks.output_after(c, torch.cat(values)[None], self.memory)

    def resume(self, memory: dict[str, Tensor]) -> None:
        """Go on in the schedule's stage with what was remembered of it."""
        self.memory = {k: t.clone() for k, t in memory.items()}
        self.stage, self.device = self.schedule.stage, None

    def keep_buffers(self, module: nn.Module, args: Any) -> None:
        """A frozen layer writes to copies of its buffers, such as those of a batch norm."""
        if self.schedule.rate == 0.0 and module.training:
            named = [(m, k, b) for m in module.modules() for k, b in m._buffers.items()]
            self.buffers = [(m, k, b) for m, k, b in named if b is not None]
            for owner, name, buffer in self.buffers:
                owner._buffers[name] = buffer.clone()

    def restore_buffers(self, module: nn.Module, args: Any, value: Any) -> None:
        """The copies are dropped; the backward pass may still read them."""
        for owner, name, buffer in self.buffers:
            owner._buffers[name] = buffer
        self.buffers = []

    def treat(self, module: nn.Module, args: Any, value: Any) -> Tensor:
        """What the layer passes on."""
        if not isinstance(value, Tensor):
            raise HoldError(
                f"The output of {self.name!r} is a {type(value).__name__}; a constraint needs a "
                "tensor. Bind a submodule that returns one."
            )
        self.constraint.check(tuple(value.shape))
        passed = self.schedule.hooks.output(self.constraint, value)
        if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
            self._record(passed)
        return passed

    def _record(self, passed: Tensor) -> None:
        """Remember what is to be priced, and the worst; what torch.func traces can't be kept."""
        if self.schedule.hooks.output_priced and torch.is_grad_enabled():
            self.recorded.append(passed)
        if not passed.numel():
            return  # an empty batch has no worst value
        worst = self.constraint.violation(passed.detach()).amax()
        self.worst = worst if self.worst is None else torch.maximum(self.worst, worst)

    def price(self) -> Tensor | float:
        """What the recorded values add to the loss; they are used up."""
        hooks, c = self.schedule.hooks, self.constraint
        if not hooks.output_priced:
            return 0.0
        if not self.recorded:
            raise HoldError(
                f"No value of {self.name!r} to price: held.penalty() needs a forward pass with "
                "gradients since it was last called."
            )
        if self.stage != self.schedule.stage:
            self.memory, self.stage = {}, self.schedule.stage
        values, self.recorded = self.recorded, []
        if self.device != values[0].device:
            self.device = values[0].device
            self.memory = {k: t.to(self.device) for k, t in self.memory.items()}
        self.priced += [v.detach() for v in values]
        prices = [
            hooks.output_price(c, v[None], self.memory) / max((1, *v.shape[:1])) for v in values
        ]
        return torch.stack([torch.as_tensor(price).sum() for price in prices]).sum()

    def violation(self) -> float:
        """The worst value passed on by the weights as they are, else before; NaN if none was."""
        worst = self.last_worst if self.worst is None else self.worst
        return float("nan") if worst is None else worst.item()
