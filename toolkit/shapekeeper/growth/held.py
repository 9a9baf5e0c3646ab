"""Constraints on weights whose nodes come and go."""

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from shapekeeper.constraints import Connections, Constraint, ConstraintError, Signs
from shapekeeper.networks import RegionNetwork
from shapekeeper.strategies import Staged, Strategy
from shapekeeper.tasks import Task

from .anatomy import Anatomy
from .rule import GrowthError

__all__ = ["bound_tensors", "cut", "open_entries", "part"]


def bound_tensors(
    task: Task, model: nn.Module, anatomy: Anatomy, strategy: Strategy
) -> dict[str, Constraint]:
    """The constraints on weights, those of the task and those that a region graph draws.

    Args:
        task: What binds tensors by name.
        model: Whose tensors.
        anatomy: Where its nodes lie.
        strategy: What is to hold them.

    Raises:
        GrowthError: If the strategy takes steps of its own or has stages, a constraint binds the
            value of a layer, or one can't be held by a part of its tensor; all at once.
    """
    found = dict(model.constraints) if isinstance(model, RegionNetwork) else {}
    for name, c in task.constraints.items():
        found[name] = found[name] & c if found.get(name, c) != c else c
    parameters = dict(model.named_parameters())
    wrong = []
    if strategy.advances or strategy.evolves or isinstance(strategy, Staged):
        wrong.append(
            f"Wanted a strategy that follows an optimizer's steps from start to end, got "
            f"{strategy.label}. Unconstrained, Penalty, AugmentedLagrangian, Freeze, Projection "
            "and Reparametrization work on networks that grow."
        )
    for name, c in found.items():
        if name not in parameters:
            wrong.append(
                f"Wanted constraints on weights, got one on {name!r}, the value of a layer. Grow "
                "first, then hold the value of the compact network with sk.hold."
            )
        elif problem := _unholdable(c, name, parameters[name], anatomy, strategy):
            wrong.append(problem)
    if wrong:
        raise GrowthError(" ".join(wrong))
    return found


def _unholdable(
    c: Constraint, name: str, parameter: Tensor, anatomy: Anatomy, strategy: Strategy
) -> str:
    """Why zeros of nodes that do not live would change what is held; nothing if they don't."""
    if name not in anatomy.owners or c.separable or c.event_dims == 0:
        return ""
    probe = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).double()
    alive = torch.arange(anatomy.nodes) % 3 != 1
    padded = probe * anatomy.entries(name, alive[None].to(anatomy.device), probe.ndim + 1)[0].cpu()
    small = part(padded, anatomy.kept(name, alive.to(anatomy.device)))
    try:
        c.check(tuple(small.shape))
        whole = part(c.project(padded), anatomy.kept(name, alive.to(anatomy.device)))
        same = torch.allclose(whole, c.project(small), atol=1e-6)
    except ConstraintError:
        same = False
    if not same:
        return (
            f"Wanted a constraint on {name!r} that holds for the part of it that lives, got {c!r}, "
            "which concerns numbers of nodes that may not be there. Bind a tensor without growing "
            "nodes, or hold it after growth."
        )
    if strategy.charted:
        return (
            f"Wanted Projection or a soft strategy for {name!r}, got {strategy.label}: a chart of "
            f"{c!r} mixes the numbers of nodes that live and of those that do not."
        )
    return ""


def open_entries(c: Constraint, shape: torch.Size) -> Tensor:
    """Which entries of a bound tensor may be something else than 0."""
    if not c.separable:
        return torch.ones(shape, dtype=torch.bool)
    low, high = (torch.as_tensor(end) for end in c.ends())
    return ((low != 0) | (high != 0)).expand(shape)


def cut(c: Constraint, kept: Mapping[int, Tensor], ndim: int) -> Constraint:
    """The constraint on what is left of a tensor.

    Args:
        c: On the whole tensor.
        kept: Axis -> the indices that are left.
        ndim: Axes of the tensor.
    """
    first, *others = [_cut(one, kept, ndim) for one in getattr(c, "parts", (c,))]
    return reduce(lambda a, b: a & b, others, first)


def _cut(c: Constraint, kept: Mapping[int, Tensor], ndim: int) -> Constraint:
    if isinstance(c, Connections):
        fixed = None if c.fixed is None else _trailing(c.fixed, kept, ndim)
        return Connections(_trailing(c.mask, kept, ndim), fixed)
    return Signs(_trailing(c.matrix, kept, ndim)) if isinstance(c, Signs) else c


def _trailing(values: Tensor, kept: Mapping[int, Tensor], ndim: int) -> Tensor:
    """The part of numbers that stand for the last axes of a tensor."""
    missing = ndim - values.ndim
    inside = {axis - missing: index for axis, index in kept.items() if axis >= missing}
    return part(values, inside)


def part(values: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
    """What is left of a tensor; axis -> the indices that are."""
    for axis, index in kept.items():
        values = values.index_select(axis, index.to(values.device))
    return values
