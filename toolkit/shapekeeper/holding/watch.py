"""Every optimizer of this process tells the held tensors that it moves about its steps."""

from functools import partial
from typing import Any, Protocol
from weakref import ref

from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from shapekeeper.optimizers import forget_moves

from .schedule import Schedule

__all__ = ["forget", "holders_of", "watch"]


class Holder(Protocol):
    """What is told about steps."""

    leaf: Parameter
    schedule: Schedule

    def owns(self, tensor: Tensor) -> bool:
        """Whether this very tensor is held."""
        ...

    def before_step(self, optimizer: Optimizer, group: dict[str, Any]) -> None:
        """The optimizer is about to move the leaf."""

    def after_step(self, group: dict[str, Any]) -> None:
        """The optimizer has moved the leaf."""

    def count(self) -> bool:
        """Count the step; whether another stage begins."""
        ...

    def enter_stage(self, start: str | None = None) -> None:
        """Another strategy holds from now on."""


# By the identity of the leaf: tensors compare entry by entry, and an attribute of a parameter is
# lost by deepcopy and trouble for pickle. A holder that is gone takes its entry along.
_HOLDERS: dict[int, list[ref[Any]]] = {}
_INSTALLED: list[Any] = []


def watch(holder: Holder) -> None:
    """Tell this holder about the steps of its leaf, whichever optimizer takes them.

    A hook of one optimizer would be lost when the optimizer is built again after a resume.
    """
    if not _INSTALLED:
        _INSTALLED.append(register_optimizer_step_pre_hook(_before))
        _INSTALLED.append(register_optimizer_step_post_hook(_after))
    key = id(holder.leaf)
    if holder not in _living(key):
        _HOLDERS.setdefault(key, []).append(ref(holder, partial(_drop, key)))


def forget(holder: Holder) -> None:
    """Tell this holder no more."""
    for key in list(_HOLDERS):
        _drop(key, ref(holder))


def _drop(key: int, one: ref[Any]) -> None:
    left = [other for other in _HOLDERS.pop(key, ()) if other != one]
    if left:
        _HOLDERS[key] = left


def holders_of(tensor: Tensor) -> list[Holder]:
    """What holds this very tensor."""
    # The identity of a tensor that is gone may have passed to another one.
    return [holder for holder in _living(id(tensor)) if holder.owns(tensor)]


def _living(key: int) -> list[Holder]:
    return [holder for found in _HOLDERS.get(key, ()) if (holder := found()) is not None]


def _held(optimizer: Optimizer) -> list[tuple[Holder, dict[str, Any]]]:
    return [
        (holder, group)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in _HOLDERS  # most are nobody's, and this is asked at every step
        for holder in holders_of(parameter)
    ]


def _before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for holder, group in _held(optimizer):
        holder.before_step(optimizer, group)


def _after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    held = _held(optimizer)
    for holder, group in held:
        holder.after_step(group)
    for holder, _ in held:
        if holder.count():
            _enter_stage(holder.schedule)


def _enter_stage(schedule: Schedule) -> None:
    """Another strategy holds from now on; no momentum crosses."""
    for optimizer in schedule.optimizers:
        for leaf in list(optimizer.state):
            forget_moves(optimizer, leaf)
    for holder in {id(h): h for key in list(_HOLDERS) for h in _living(key)}.values():
        if holder.schedule is schedule:
            holder.enter_stage()
