"""Which strategy holds right now: what the tensors of one `hold` share."""

import warnings
from math import inf
from typing import Any
from weakref import WeakSet

import torch

from shapekeeper.strategies import Strategy, stage_ends

__all__ = ["Schedule"]


class Schedule:
    """The stages of a strategy, and how far training has come.

    Args:
        strategy: What holds the constraints.
        steps: Number of all steps, for a strategy of several stages.

    Attributes:
        parts: All stages.
        steps: Number of all steps.
        ends: The step after which each stage ends; the last one never does.
        step: Optimizer steps taken.
        stage: Index of the stage that holds now.
        on_weights: Whether it holds weights.
        on_outputs: Whether it holds values of layers.
        paid: Whether the penalty was asked for since the last step.
        optimizers: The optimizers seen so far.
        outputs: The held layers, which forget at each step what they passed on before.
        seed: Of what a strategy draws; drawn itself from torch's default generator.
    """

    def __init__(self, strategy: Strategy, steps: int | None) -> None:
        self.strategy, self.parts = strategy, strategy.stages()
        self.step, self.stage = 0, 0
        self.plan(steps)
        self.on_weights = self.on_outputs = False
        self.paid = self.warned = False
        self.seed = int(torch.randint(2**62, (), device="cpu")) if strategy.advances else 0
        self.optimizers: WeakSet[torch.optim.Optimizer] = WeakSet()
        self.outputs: WeakSet[Any] = WeakSet()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the optimizers and layers, which are those of the original."""
        return self.__dict__ | {"optimizers": None, "outputs": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has met no optimizer yet; its layers come by themselves."""
        self.__dict__ |= state
        self.optimizers, self.outputs = WeakSet(), WeakSet()

    def plan(self, steps: int | None) -> None:
        """Set the number of all steps: the last stage has an open end."""
        self.steps = steps
        self.ends = [*stage_ends(self.parts, steps or 0)[:-1], inf]

    @property
    def hooks(self) -> Strategy:
        """The strategy of the stage that holds now."""
        return self.parts[self.stage].strategy

    @property
    def priced(self) -> bool:
        """Whether the strategy holds nothing unless its price is in the loss."""
        hooks = self.hooks
        return (self.on_weights and hooks.priced) or (self.on_outputs and hooks.output_priced)

    @property
    def rate(self) -> float:
        """Factor on the optimizer's step of what is bound."""
        return self.parts[self.stage].rate * self.hooks.rate

    def move_to(self, step: int) -> None:
        """Set the step."""
        self.step = step
        if self.on_outputs:  # to ask an empty weak set takes as long as a small product of matrices
            for output in self.outputs:
                output.turn_over()
        self.stage = sum(step >= end for end in self.ends)

    def advance(self) -> bool:
        """Count one step; whether another stage holds from now on."""
        before = self.stage
        self._ask_for_the_price()
        if self.on_outputs:
            for output in self.outputs:
                output.learn()
        self.move_to(self.step + 1)
        return self.stage != before

    def _ask_for_the_price(self) -> None:
        if self.priced and not self.paid and not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.hooks.label} holds nothing unless its price is in the loss: "
                "(loss + held.penalty()).backward().",
                stacklevel=6,
            )
        self.paid = False
