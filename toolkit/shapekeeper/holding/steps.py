"""The optimizer of a strategy that takes its own steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.optim import Optimizer

from shapekeeper.randomness import Noise
from shapekeeper.strategies import Strategy

from .errors import HoldError
from .held_weight import HeldWeight
from .schedule import Schedule

__all__ = ["Steps"]


class Steps(Optimizer):
    """Moves all tensors of a held model as its strategy does; made by `Held.optimizer`.

    An ordinary optimizer to schedulers and loops: `param_groups[0]` has the settings of the
    strategy, the step size under the name `lr`. What is remembered between steps is in
    `held.state_dict()`.

    Args:
        tensors: All that are moved.
        schedule: Strategy and step.
    """

    def __init__(self, tensors: list[HeldWeight], schedule: Schedule) -> None:
        self.strategy: Strategy = schedule.hooks
        self._tensors, self._schedule = tensors, schedule
        settings: Any = self.strategy
        given = {"temperature": settings.temperature, "friction": settings.friction}
        super().__init__([t.leaf for t in tensors], {"lr": settings.step_size, **given})
        self._noise = Noise([schedule.seed])
        schedule.optimizers.add(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused once it is made: what is moved is what is held."""
        if self.param_groups:
            raise HoldError("All tensors are moved already; call hold anew for another model.")
        super().add_param_group(param_group)

    def follow(self) -> None:
        """Move the parameters that the tensors have now, which somebody may have replaced."""
        self.param_groups[0]["params"] = [tensor.leaf for tensor in self._tensors]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every tensor that has a gradient.

        Args:
            closure: Computes the loss again and returns it, or None.

        Returns:
            What the closure returned.
        """
        loss = closure() if closure is not None else None
        if self.param_groups[0]["lr"] != 0:  # as schedules begin, and end: nothing moves
            with torch.no_grad():  # as a decorator it takes twice as long
                self._move(self._hooks())
        return loss

    def _move(self, hooks: Strategy) -> None:
        if self._noise.seeds != [self._schedule.seed]:
            self._noise = Noise([self._schedule.seed])  # a state was loaded
        for tensor in self._tensors:
            if tensor.leaf.grad is None:
                continue
            noise = None
            if hooks.noisy:
                noise = self._noise.at(self._schedule.step, tensor.name, tensor.leaf[None])
            tensor.advance(hooks, noise)

    def _hooks(self) -> Strategy:
        """The strategy with the settings of this moment, which a scheduler may have changed."""
        group = self.param_groups[0]
        now = {"step_size": float(group["lr"])}
        now |= {name: group[name] for name in ("temperature", "friction")}
        same = all(getattr(self.strategy, name) == value for name, value in now.items())
        return self.strategy if same else replace(self.strategy, **now)
