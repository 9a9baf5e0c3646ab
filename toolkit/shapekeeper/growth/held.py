"""Constraints on weights whose nodes come and go."""

from collections.abc import Iterator, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from shapekeeper.constraints import (
    Connections,
    Constraint,
    ConstraintError,
    NonNegative,
    Signs,
)
from shapekeeper.networks import RegionNetwork
from shapekeeper.optimizers import EVEN_HANDED, asks_again, mixes_numbers
from shapekeeper.strategies import Penalty, Staged, Strategy
from shapekeeper.tasks import Task

from .anatomy import Anatomy
from .rule import GrowthError, GrowthRule

__all__ = ["bound_tensors", "cut", "mixes_nodes", "open_entries", "part", "unfit"]


def bound_tensors(
    task: Task, model: nn.Module, anatomy: Anatomy, strategy: Strategy, rule: GrowthRule
) -> dict[str, Constraint]:
    """The constraints on weights, those of the task and those that a region graph draws.

    Args:
        task: What binds tensors by name.
        model: Whose tensors.
        anatomy: Where its nodes lie.
        strategy: What is to hold them.
        rule: How nodes come and go.

    Raises:
        GrowthError: If the strategy takes steps of its own or has stages, a constraint binds the
            value of a layer, or one can't be held by a part of its tensor, or by one that is
            multiplied; all at once.
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
    if isinstance(strategy, Penalty) and strategy.growth != 1:
        wrong.append(
            f"Wanted a penalty of one strength, got {strategy.label}: it would grow for numbers of "
            "nodes that do not live."
        )
    for name, c in found.items():
        if name not in parameters:
            wrong.append(
                f"Wanted constraints on weights, got one on {name!r}, the value of a layer. Grow "
                "first, then hold the value of the compact network with sk.hold."
            )
        else:
            wrong += _unholdable(c, name, parameters[name], anatomy, strategy)
            if rule.multiplied and name in anatomy.readers and not _is_cone(c, strategy):
                wrong.append(
                    f"Wanted a constraint on {name!r} that multiplying a column does not break, "
                    f"got {c!r} by {strategy.label}. Bind Connections without presets, Signs or "
                    "NonNegative, or take worth='outgoing'."
                )
    if wrong:
        raise GrowthError(" ".join(wrong))
    return found


def _is_cone(c: Constraint, strategy: Strategy) -> bool:
    parts = getattr(c, "parts", (c,))
    return not strategy.charted and all(
        isinstance(one, Signs | NonNegative) or (isinstance(one, Connections) and one.fixed is None)
        for one in parts
    )


def _unholdable(
    c: Constraint, name: str, parameter: Tensor, anatomy: Anatomy, strategy: Strategy
) -> Iterator[str]:
    """Why zeros of nodes that do not live would change what is held."""
    if not mixes_nodes(c, name, parameter.ndim, anatomy):
        return
    probe = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).double()
    alive = torch.arange(anatomy.nodes) % 3 != 1
    kept = anatomy.kept(name, alive.to(anatomy.device))
    padded = probe * anatomy.entries(name, alive[None].to(anatomy.device), probe.ndim + 1)[0].cpu()
    small = part(padded, kept)
    try:
        c.check(tuple(small.shape))
        same = torch.allclose(part(c.project(padded), kept), c.project(small), atol=1e-6)
    except ConstraintError:
        same = False
    if not same:
        yield (
            f"Wanted a constraint on {name!r} that holds for the part of it that lives, got {c!r}, "
            "which concerns numbers of nodes that may not be there. Bind a tensor without growing "
            "nodes, or hold it after growth."
        )
    elif strategy.charted or strategy.rate == 0:
        yield (
            f"Wanted Projection or a soft strategy for {name!r}, got {strategy.label}: where nodes "
            f"come and go, all numbers of an event of {c!r} have to move."
        )


def mixes_nodes(c: Constraint, name: str, ndim: int, anatomy: Anatomy) -> bool:
    """Whether what one node has of a tensor bears on what is allowed of another's."""
    inside = {axis for axis in anatomy.owners.get(name, ()) if axis >= ndim - c.event_dims}
    return bool(inside) and not c.separable


def unfit(
    constraints: Mapping[str, Constraint],
    leaves: Mapping[str, Tensor],
    anatomy: Anatomy,
    strategy: Strategy,
    optimizer: torch.optim.Optimizer,
) -> Iterator[str]:
    """Why an optimizer can't train networks that grow, and what can."""
    kind = type(optimizer).__name__
    if asks_again(optimizer) or mixes_numbers(optimizer):
        yield (
            f"Wanted an optimizer that treats each number by itself, such as RMSprop or AdamW, got "
            f"{kind}: nodes that do not live would bear on those that do."
        )
        return
    for name, c in constraints.items():
        if problem := strategy.unfit(c, optimizer):
            yield f"{name!r}: {problem}"
        elif (
            mixes_nodes(c, name, leaves[name].ndim - 1, anatomy)
            and strategy.guarantee == "structural"
            and type(optimizer) not in EVEN_HANDED
        ):
            yield (
                f"Wanted SGD for {c!r} on {name!r}, got {kind}, whose step sizes of an event would "
                "be those of nodes that do not live as well."
            )


def open_entries(c: Constraint, shape: torch.Size) -> Tensor:
    """Which entries of a bound tensor may be something else than 0."""
    if not c.separable:
        return torch.ones(shape, dtype=torch.bool)
    low, high = (torch.as_tensor(end) for end in c.ends())
    return ((low != 0) | (high != 0)).expand(shape)


def cut(c: Constraint, kept: Mapping[int, Tensor], ndim: int) -> Constraint | None:
    """The constraint on what is left of a tensor; None if it no longer asks for anything.

    Args:
        c: On the whole tensor.
        kept: Axis -> the indices that are left.
        ndim: Axes of the tensor.
    """
    parts = [_cut(one, kept, ndim) for one in getattr(c, "parts", (c,))]
    left = [one for one in parts if one is not None]
    return reduce(lambda a, b: a & b, left) if left else None


def _cut(c: Constraint, kept: Mapping[int, Tensor], ndim: int) -> Constraint | None:
    if isinstance(c, Connections):
        fixed = None if c.fixed is None else _trailing(c.fixed, kept, ndim)
        return Connections(_trailing(c.mask, kept, ndim), fixed)
    if not isinstance(c, Signs):
        return c
    signs = _trailing(c.matrix, kept, ndim)
    return Signs(signs) if signs.any() else None


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
