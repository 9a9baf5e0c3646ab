"""The handle of what is held on a model."""

from typing import Any

import torch
from torch import Tensor, nn

from shapekeeper.strategies import Strategy

from .errors import HoldError
from .held_output import HeldOutput
from .held_weight import HeldWeight, Hook
from .report import Report, report
from .schedule import Schedule
from .steps import Steps

__all__ = ["Held", "holders"]

FORMAT = 1
# Where torch keeps the hooks of a module; a copy's handles are lost, its hooks are not.
HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_forward_hooks_always_called",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Held:
    """What a strategy holds on one model; made by `hold`, or found again by `Held.of`.

    Attributes:
        model: The model.

    Example:
        >>> from shapekeeper import Connections, hold
        >>> model = torch.nn.Linear(2, 2)
        >>> held = hold(model, {"weight": Connections([[1, 0], [1, 1]])})
        >>> held.violation()
        {'weight': 0.0}
    """

    def __init__(self, model: nn.Module, schedule: Schedule) -> None:
        self.model, self._schedule = model, schedule
        ours = [h for h in holders(model) if h.schedule is schedule]
        self._tensors = [h for h in ours if isinstance(h, HeldWeight)]
        self._weights = [h for h in self._tensors if h.constraint]
        self._outputs = [h for h in ours if isinstance(h, HeldOutput)]
        self._steps: Steps | None = None

    @classmethod
    def of(cls, model: nn.Module, name: str | None = None) -> "Held":
        """The handle of a model that was copied, or loaded whole, with what is held on it.

        Args:
            model: The model.
            name: One of the held names, where `hold` was called more than once.

        Returns:
            The handle.

        Raises:
            HoldError: If nothing is held, or more than one `hold` could be meant.

        Example:
            >>> from copy import deepcopy
            >>> from shapekeeper import Box, hold
            >>> model = torch.nn.Linear(2, 2)
            >>> held = hold(model, {"bias": Box(0.0, 1.0)})
            >>> Held.of(deepcopy(model))
            Held('bias' by Projection, step 0)
        """
        found = {id(h.schedule): cls(model, h.schedule) for h in holders(model) if h.constraint}
        handles = [h for h in found.values() if name is None or name in h.names]
        if len(handles) == 1:
            return handles[0]
        if not handles:
            every = [n for h in found.values() for n in h.names]
            raise HoldError(
                f"Nothing of the name {name!r} is held on this model; held are {every}."
                if found
                else "Nothing is held on this model; hold(model, constraints, ...) holds."
            )
        raise HoldError(
            f"{len(handles)} calls of hold are on this model: {[h.names for h in handles]}. Say "
            "which, e.g. Held.of(model, name)."
        )

    @property
    def names(self) -> list[str]:
        """Names of the held parameters, then of the held layers."""
        return [h.name for h in [*self._weights, *self._outputs]]

    @property
    def strategy(self) -> Strategy:
        """How they are held."""
        return self._schedule.strategy

    @property
    def optimizer(self) -> Steps:
        """What takes the steps of a strategy that takes its own, `ConstrainedLangevin`.

        Raises:
            HoldError: If the strategy leaves the steps to an optimizer of yours.

        Example:
            >>> from shapekeeper import Circle, ConstrainedLangevin, hold
            >>> layer = torch.nn.Linear(3, 2)
            >>> walk = ConstrainedLangevin(0.1, temperature=1e-4)
            >>> held = hold(layer, {"weight": Circle(0.6)}, walk)
            >>> layer(torch.ones(4, 3)).square().sum().backward()
            >>> held.optimizer.step()
            >>> held.violation()
            {'weight': 0.0}
        """
        if not self.strategy.advances:
            raise HoldError(
                f"{self.strategy.label} leaves the steps to an optimizer of yours; "
                "held.optimizer takes those of ConstrainedLangevin."
            )
        if self._steps is None:
            self._steps = Steps(self._tensors, self._schedule)
        return self._steps

    def __repr__(self) -> str:
        """Names, strategy and step."""
        names = ", ".join(map(repr, self.names))
        return f"Held({names} by {self.strategy.label}, step {self._schedule.step})"

    def penalty(self) -> Tensor:
        """What the strategy adds to the loss; 0 where it holds by other means.

        For layers it prices every value passed on, with gradients, since it was last called.

        Returns:
            A scalar.

        Raises:
            HoldError: If a layer is to be priced that passed nothing on.
        """
        self._schedule.paid = True
        like = next(self.model.parameters(), torch.zeros(()))
        total = torch.zeros((), dtype=like.dtype, device=like.device)
        for held in [*self._weights, *self._outputs]:
            total = total + torch.as_tensor(held.price()).to(total)
        return total

    @torch.no_grad()
    def violation(self) -> dict[str, float]:
        """The worst violation of each name, in the unit of its constraint.

        Returns:
            Name -> largest violation of the weight now, or of what the layer passed on since the
            weights last moved (right after a step: before it; NaN if nothing yet).
        """
        for weight in self._weights:
            weight.notice()
        worst = {h.name: _worst(h) for h in self._weights}
        return worst | {h.name: h.violation() for h in self._outputs}

    def report(self) -> Report:
        """A small table: what holds, how well, and what else moves it."""
        return report(self._schedule, self._weights, self._outputs, self.violation())

    def state_dict(self) -> dict[str, Any]:
        """What must be saved beside model and optimizer, so that a resume goes on as before.

        Returns:
            Plain values and tensors, for `torch.save` and `torch.load(weights_only=True)`.
        """
        both = [*self._tensors, *self._outputs]
        return {
            "format": FORMAT,
            "strategy": self.strategy.to_json(),
            "constraints": self._constraints(),
            "step": self._schedule.step,
            "steps": self._schedule.steps,
            "seed": self._schedule.seed,
            "memory": {h.name: {k: t.clone() for k, t in h.memory.items()} for h in both},
            "free": {h.name: h.leaf.detach().clone() for h in self._weights if h.charted},
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; load the model's own state too, in either order.

        Args:
            state: What `state_dict` gave, of a `hold` with the same strategy and constraints.

        Raises:
            HoldError: If the state belongs to another `hold`; nothing has changed then.
        """
        self._refuse_foreign(state)
        self._schedule.plan(state["steps"])
        self._schedule.move_to(state["step"])
        self._schedule.seed = state["seed"]
        for tensor in self._tensors:
            tensor.resume(state["memory"].get(tensor.name, {}), state["free"].get(tensor.name))
        for output in self._outputs:
            output.resume(state["memory"].get(output.name, {}))

    def remove(self) -> None:
        """Let go: a plain model with allowed weights stays, whatever the strategy."""
        mine = [*self._tensors, *self._outputs]
        for module in self.model.modules():
            kinds = [getattr(module, kind) for kind in HOOKS]
            gone = [key for hooks in kinds for key in hooks if _holder(hooks[key]) in mine]
            for hooks in kinds:
                for key in gone:
                    hooks.pop(key, None)
        for tensor in self._tensors:
            tensor.detach()
        self._tensors, self._weights, self._outputs = [], [], []

    def _constraints(self) -> dict[str, Any]:
        every = [*self._weights, *self._outputs]
        return {h.name: h.constraint.to_json() for h in every if h.constraint}

    def _refuse_foreign(self, state: dict[str, Any]) -> None:
        if state.get("format") != FORMAT:
            raise HoldError(f"Wanted what held.state_dict() gave, got keys {sorted(state)}.")
        mine = {"strategy": self.strategy.to_json(), "constraints": self._constraints()}
        other = [key for key, value in mine.items() if state[key] != value]
        if other:
            raise HoldError(
                f"The saved state has other {' and '.join(other)}: wanted "
                f"{[mine[key] for key in other]}, got {[state[key] for key in other]}. Call hold "
                "as it was called when the state was saved."
            )


def _holder(hook: Any) -> HeldWeight | HeldOutput | None:
    hook = getattr(hook, "hook", hook)  # torch wraps the hooks that act before loading
    return hook.holder if isinstance(hook, Hook) else None


def holders(model: nn.Module) -> list[HeldWeight | HeldOutput]:
    """All holders on a model, each once, in the order of its modules."""
    found = {
        id(holder): holder
        for module in model.modules()
        for hook in module._forward_hooks.values()
        if (holder := _holder(hook)) is not None
    }
    return list(found.values())


def _worst(weight: HeldWeight) -> float:
    assert weight.constraint is not None
    return weight.constraint.violation(weight.value()).amax().item()
