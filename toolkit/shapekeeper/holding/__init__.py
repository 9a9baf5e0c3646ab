"""A strategy on your own model, optimizer and loop."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from shapekeeper.constraints import Constraint, ConstraintError
from shapekeeper.optimizers import has_moved
from shapekeeper.strategies import Projection, Strategy, StrategyError

from .errors import HoldError
from .held import Held, holders
from .held_output import HeldOutput
from .held_weight import HeldWeight, Hook
from .naming import Names
from .report import Report
from .schedule import Schedule

__all__ = ["Held", "HoldError", "Report", "hold"]


def hold(
    model: nn.Module,
    constraints: Mapping[str, Constraint],
    strategy: Strategy | None = None,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    steps: int | None = None,
    start: Literal["constraint", "nearest"] | None = None,
) -> Held:
    """Hold constraints on a model that you train in your own loop.

    Nothing else changes: the model computes and saves under its old names, any `torch.optim`
    optimizer moves it, also one that is built anew, and what is held travels with
    `copy.deepcopy`, `pickle` and `torch.save`. Hold before `torch.compile` and, with all processes
    seeded alike, before DistributedDataParallel. Compiled code sees what you load or assign at
    the next step only. Write to weights under `torch.no_grad()`, not through `.data`, which nothing
    can notice. Averages of a model are made of what `parameters()` gives, under a chart the free
    numbers: start averaging in the stage that is to be averaged.

    Args:
        model: Any module.
        constraints: Name -> constraint. The name of a parameter binds the weight, that of a
            submodule its output; patterns such as `"layers.*.weight"` bind every parameter that
            matches, or, if none does, every submodule.
        strategy: How to hold, `Projection()` by default: exact, for any mask, at the cost of one
            multiplication a step.
        optimizer: The optimizer or optimizers, for checks now instead of at the first step; what
            they remember of a weight is dropped where it would have another meaning.
        steps: How many steps you will take, for a `Staged` strategy.
        start: `"constraint"` begins where `compare` begins, at the constraint's own start;
            `"nearest"` at the nearest allowed value, for weights that are trained already. By
            default nearest if an optimizer given here has moved the weight before.

    Returns:
        The handle: `penalty`, `violation`, `report`, `optimizer`, `state_dict`, `load_state_dict`,
        `remove`.

    Raises:
        HoldError: If a name, a shape, the strategy or an optimizer doesn't fit; all problems at
            once, and the model is as it was.

    Example:
        >>> import torch
        >>> from shapekeeper import Connections, hold
        >>> layer = torch.nn.Linear(3, 2)
        >>> optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
        >>> held = hold(layer, {"weight": Connections([[1, 0, 1], [0, 1, 1]])}, optimizer=optimizer)
        >>> for _ in range(5):
        ...     optimizer.zero_grad()
        ...     layer(torch.ones(4, 3)).square().sum().backward()
        ...     optimizer.step()
        >>> held.violation(), layer.weight[0, 1].item()
        ({'weight': 0.0}, 0.0)
    """
    strategy = Projection() if strategy is None else strategy
    optimizers = _optimizers(optimizer)
    _refuse_wrapped(model)
    alone = isinstance(strategy, Strategy) and strategy.advances  # moves what nothing binds, too
    names = Names(model, constraints, needed=not alone)
    problems = [*names.problems, *_strategy_problems(strategy, steps)]
    if isinstance(strategy, Strategy):
        problems += _step_problems(names, strategy, optimizers)
    if start not in (None, "constraint", "nearest"):
        problems.append(f"Wanted start='constraint' or start='nearest', got {start!r}.")
    if not problems:
        problems = [
            *_chart_problems(names, strategy),
            *_optimizer_problems(names, strategy, optimizers),
        ]
    if problems:
        raise HoldError(" ".join(problems))
    return _attach(model, names, Schedule(strategy, steps), optimizers, start)


def _attach(
    model: nn.Module,
    names: Names,
    schedule: Schedule,
    optimizers: list[Optimizer],
    start: str | None,
) -> Held:
    schedule.on_weights, schedule.on_outputs = bool(names.weights), bool(names.outputs)
    bound = [HeldWeight(name, c, schedule, names.places(name)) for name, c in names.weights.items()]
    bound += _unbound(names, schedule, optimizers)
    for weight in bound:
        weight.attach(names.readers(weight.places))
        for optimizer in optimizers:
            weight.meet(optimizer)
        trained = any(has_moved(optimizer, weight.leaf) for optimizer in optimizers)
        weight.enter_stage(start or ("nearest" if trained else "constraint"))
    for name, c in names.outputs.items():
        output = HeldOutput(name, c, schedule, names.modules[name])
        output.module.register_forward_pre_hook(Hook(output, "keep_buffers"))
        output.module.register_forward_hook(Hook(output, "restore_buffers"), always_call=True)
        output.module.register_forward_hook(Hook(output, "treat"))
    return Held(model, schedule)


def _moving(names: Names, inside: list[str], optimizers: list[Optimizer]) -> list[str]:
    """Parameters that an optimizer moves, as far as can be told; those inside the layers first."""
    known = _moved(optimizers)
    moving = [n for n, p in names.parameters.items() if p.requires_grad]
    moving = [n for n in moving if not known or id(names.parameters[n]) in known]
    return sorted(moving, key=lambda name: name not in inside)


def _unbound(names: Names, schedule: Schedule, optimizers: list[Optimizer]) -> list[HeldWeight]:
    """Parameters that no constraint binds, but whose steps a held layer slows down or counts."""
    if schedule.hooks.advances:
        return _all_others(names, schedule)
    layers = tuple(f"{layer}." for layer in names.outputs)
    inside = [n for n in names.parameters if n.startswith(layers)] if layers else []
    slows = any(part.rate * part.strategy.rate != 1.0 for part in schedule.parts)
    slowed = [name for name in inside if slows and name not in names.weights]
    counting = [] if slowed or names.weights else _moving(names, inside, optimizers)[:1]
    return [
        HeldWeight(name, None, schedule, names.places(name), slowed=name in slowed)
        for name in [*slowed, *counting]
    ]


def _all_others(names: Names, schedule: Schedule) -> list[HeldWeight]:
    """Every trainable parameter that no constraint binds, for a strategy that moves them all."""
    bound = {id(names.parameters[name]) for name in names.weights}
    return [
        HeldWeight(name, None, schedule, names.places(name))
        for name, p in names.model.named_parameters()
        if p.requires_grad and id(p) not in bound
    ]


def _optimizers(given: Optimizer | Iterable[Optimizer] | None) -> list[Optimizer]:
    if given is None:
        return []
    listed = list(given) if isinstance(given, Iterable) else [given]
    if other := [o for o in listed if not isinstance(o, Optimizer)]:
        raise HoldError(f"Wanted a torch.optim optimizer, or a list of them, got {other[0]!r}.")
    return listed


def _moved(optimizers: list[Optimizer]) -> set[int]:
    """Identities of what the optimizers move."""
    return {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}


def _refuse_wrapped(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise HoldError(f"Wanted a torch.nn.Module, got {type(model).__name__}.")
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise HoldError(
            f"{type(model).__name__} has wrapped this model already: hold the plain model first, "
            "then wrap it."
        )
    # What torch.compile returns keeps the module here; asking for its class imports the compiler.
    if hasattr(model, "_orig_mod") or any(m._compiled_call_impl for m in model.modules()):
        raise HoldError("This model is compiled already: hold it first, then compile it.")


def _strategy_problems(strategy: Strategy, steps: int | None) -> list[str]:
    if not isinstance(strategy, Strategy):
        return [f"Wanted a strategy such as Projection(), got {strategy!r}."]
    if len(variants := strategy.variants()) > 1:
        labels = [variant.label for variant in variants]
        return [f"Wanted one strategy, got a sweep over {labels}; compare runs sweeps."]
    parts = strategy.stages()
    if evolving := [part.strategy for part in parts if part.strategy.evolves]:
        return [
            f"{type(evolving[0]).__name__} tries whole populations of networks on each batch, "
            "which your loop has only one of: use compare."
        ]
    problems = []
    if len(parts) > 1 and not (isinstance(steps, int) and steps >= 1):
        problems.append(f"{strategy.label} needs steps=, the number of all steps, got {steps!r}.")
    if any(part.model for part in parts):
        problems.append(
            "A stage with a model of its own can't be held in your loop: hold each model by its "
            "own call, or use compare."
        )
    return problems


def _step_problems(names: Names, strategy: Strategy, optimizers: list[Optimizer]) -> list[str]:
    """What doesn't go with a strategy that takes its own steps."""
    if not any(part.strategy.advances for part in strategy.stages()):
        return []
    problems = []
    if len(strategy.stages()) > 1:
        problems.append(
            f"{strategy.label} takes its own steps in one stage alone: hold each stage by its own "
            "call, with held.remove() in between, or use compare."
        )
    if optimizers:
        problems.append(
            f"{strategy.label} takes the steps itself: give no optimizer to hold, and call "
            "held.optimizer.step()."
        )
    if any(holder.schedule.hooks.advances for holder in holders(names.model)):
        problems.append(
            f"{strategy.label} moves all tensors, and another call of hold does so already: name "
            "all constraints in one call, or call held.remove() before."
        )
    if names.outputs:
        graded = all(c.graded for c in names.outputs.values())
        problems.append(
            f"{strategy.label} moves weights, and {[*names.outputs]} are layers, whose values "
            f"nothing moves. Penalty, {'AugmentedLagrangian, ' if graded else ''}Freeze, "
            "Projection and Reparametrization hold them."
        )
    return problems


def _chart_problems(names: Names, strategy: Strategy) -> list[str]:
    """Constraints that a stage of the strategy can't hold; tried on copies and on an example."""
    problems = []
    for hooks in [part.strategy for part in strategy.stages()]:
        for name, c in names.weights.items():
            x = names.parameters[name].detach()[None]
            problems += _refusal(name, partial(hooks.begin, c, c.start(x)))
        for name, c in names.outputs.items():
            example = torch.zeros(1, *(c.shape or [1] * c.event_dims))
            problems += _refusal(name, partial(hooks.output, c, example))
    charted = any(part.strategy.charted for part in strategy.stages())
    for name in names.weights if charted else ():
        if any(getattr(module, "sparse", False) is True for module, _ in names.places(name)):
            problems.append(
                f"{name!r} has sparse gradients, which no chart can pass on. Build the layer with "
                "sparse=False, or use Projection."
            )
    return problems


def _refusal(name: str, attempt: Callable[[], Any]) -> list[str]:
    try:
        attempt()
    except (NotImplementedError, StrategyError) as error:
        return [f"{name!r}: {error}"]
    except ConstraintError:
        return []  # about the size of the example; the first value of the layer shows the real one
    return []


def _optimizer_problems(names: Names, strategy: Strategy, optimizers: list[Optimizer]) -> list[str]:
    moved = _moved(optimizers)
    still = all(part.rate * part.strategy.rate == 0.0 for part in strategy.stages())
    problems = [
        f"{name!r} is in no parameter group of the optimizer, so it would never move."
        for name in names.weights
        if moved and not still and id(names.parameters[name]) not in moved
    ]
    for optimizer in optimizers:
        for name, c in names.weights.items():
            for part in strategy.stages():
                if problem := part.strategy.unfit(c, optimizer):
                    problems.append(f"{part.strategy.label} can't hold {name!r}: {problem}")
    return problems
