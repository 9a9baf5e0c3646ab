"""A model as a function of stacked tensors, runs first: one program for many seeds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from shapekeeper.constraints import Constraint
from shapekeeper.tasks import Task, TaskError

__all__ = ["Program", "stacked"]

Treat = Callable[[Constraint, Tensor], Tensor]
Named = dict[str, Tensor]


class Program:
    """One module run with the tensors of many.

    Args:
        task: Loss and constraints.
        models: One module for each run, alike but for their numbers.
        device: Where to compute.
        batched: All runs at once by `torch.vmap`; else `models` must be a single one, which is
            called as it is.

    Attributes:
        parameters: Trainable tensors `(runs, *shape)` by name.
        buffers: All other tensors `(runs, *shape)` by name; a layer may write to them.
        on_weights: Constraints on parameters that this model has.
        on_outputs: Constraints on the values of submodules that this model has.
    """

    def __init__(
        self, task: Task, models: list[nn.Module], device: torch.device, batched: bool
    ) -> None:
        self.task, self.batched = task, batched
        self.model = models[0].to(device)
        self.layout = getattr(self.model, "layout", "dense")
        trainable = {name for name, p in self.model.named_parameters() if p.requires_grad}
        named = stacked(models, device)
        self.parameters = {k: v for k, v in named.items() if k in trainable}
        self.buffers = {k: v for k, v in named.items() if k not in trainable}
        self.on_weights = {k: c for k, c in task.constraints.items() if k in self.parameters}
        modules = dict(self.model.named_modules())
        self.on_outputs = {k: c for k, c in task.constraints.items() if k in modules}
        self._treat: Treat = _leave
        self._calls: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name in self.on_outputs:
            modules[name].register_forward_hook(self._hook(name))

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in: the type of its first floating tensor."""
        tensors = (*self.parameters.values(), *self.buffers.values())
        return next((t.dtype for t in tensors if t.is_floating_point()), torch.get_default_dtype())

    def losses(
        self, weights: Named, buffers: Named, x: Tensor, y: Tensor, treat: Treat
    ) -> tuple[Tensor, Named, Named]:
        """Loss of each run on its own batch, with the prices that the task puts on its tensors.

        Args:
            weights: Parameters `(runs, *shape)`.
            buffers: Buffers `(runs, *shape)`; written to where a layer does so.
            x: Inputs `(runs, batch, ...)`.
            y: Targets `(runs, batch, ...)`.
            treat: What happens to the value of a bound layer.

        Returns:
            Losses `(runs,)`, and the values of bound layers by name, `(runs, batch, ...)`, before
            and after they were treated.
        """

        def one_run(tensors: Named, x: Tensor, y: Tensor) -> tuple[Tensor, Named, Named]:
            prediction, raw, passed = self._call(tensors, x)
            loss = self.task.loss(prediction, y)
            if self.task.regularizer is not None:
                loss = loss + self.task.regularizer(tensors)
            if self.task.supervision is not None:
                loss = loss + self.task.supervision(raw, y)
            return loss, raw, passed

        self._treat = treat
        return self._map(one_run, (0, 0, 0))({**weights, **buffers}, x, y)

    def predict(
        self, weights: Named, buffers: Named, x: Tensor, shared: bool, treat: Treat
    ) -> tuple[Tensor, Named, Named]:
        """Predictions of each run, in evaluation mode.

        Args:
            weights: Parameters `(runs, *shape)`.
            buffers: Buffers `(runs, *shape)`.
            x: Inputs `(examples, ...)` if shared by all runs, else `(runs, examples, ...)`.
            shared: Whether all runs see the same inputs.
            treat: What happens to the value of a bound layer.

        Returns:
            Predictions `(runs, examples, ...)`, and the values of bound layers as in `losses`.
        """
        self._treat = treat
        self.model.eval()
        run = self._map(self._call, (0, None if shared else 0))
        prediction = run({**weights, **buffers}, x)
        self.model.train()
        return prediction

    def _map(self, function: Callable, axes: tuple[int | None, ...]) -> Callable:
        """The function of one run as a function of all."""
        if self.batched:
            return torch.vmap(function, in_dims=axes)

        def alone(*args: Any) -> Any:
            first = [
                a if axis is None else tree_map(lambda t: t[0], a)
                for a, axis in zip(args, axes, strict=True)
            ]
            return tree_map(lambda t: t.unsqueeze(0), function(*first))

        return alone

    def _call(self, tensors: Named, x: Tensor) -> tuple[Tensor, Named, Named]:
        self._calls.clear()
        prediction = functional_call(self.model, tensors, (x,))
        raw = {name: _joined([call[0] for call in calls]) for name, calls in self._calls.items()}
        passed = {name: _joined([call[1] for call in calls]) for name, calls in self._calls.items()}
        self._calls.clear()
        return prediction, raw, passed

    def _hook(self, name: str) -> Callable:
        def treat_output(module: nn.Module, args: Any, value: Any) -> Tensor:
            if not isinstance(value, Tensor):
                raise TaskError(
                    f"task {self.task.name!r}",
                    [
                        f"The output of {name!r} is a {type(value).__name__}; a constraint needs a "
                        "tensor. Bind a submodule that returns one."
                    ],
                )
            treated = self._treat(self.on_outputs[name], value)
            self._calls.setdefault(name, []).append((value, treated))
            return treated

        return treat_output


def stacked(models: list[nn.Module], device: torch.device) -> Named:
    """Parameters and buffers `(runs, *shape)` of alike modules, by name."""
    named = [dict([*m.named_parameters(), *m.named_buffers()]) for m in models]
    return {k: torch.stack([n[k].detach() for n in named]).to(device) for k in named[0]}


def _joined(calls: list[Tensor]) -> Tensor:
    """The values of all calls of a layer; those of one called in a loop are further examples."""
    return calls[0] if len(calls) == 1 else torch.cat(calls)


def _leave(c: Constraint, value: Tensor) -> Tensor:
    return value
