"""What a strategy costs: seconds and memory."""

from collections.abc import Hashable, Mapping
from time import perf_counter

import pandas as pd
import torch

from shapekeeper.compare import Run
from shapekeeper.holding import hold
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Task

__all__ = ["numbers_kept", "seconds_a_step"]

UNDISTURBED = 0.2  # the share of the steps, the fastest ones, that nobody else has slowed down


def seconds_a_step(runs: Mapping[Hashable, Run], rounds: int = 40) -> pd.Series:
    """Time of one training step of each run, with all its seeds, when nobody disturbs.

    The runs step in turns, so that all have the same weather.

    Args:
        runs: Name -> run with more steps to take than rounds; it is left where the rounds end.
        rounds: How often each steps.

    Returns:
        Seconds by name: all but the fastest fifth of the steps took longer.

    Example:
        >>> import shapekeeper as sk
        >>> runs = {s.label: Run(sk.tasks.pencil(), [s]) for s in (sk.Freeze(), sk.Projection())}
        >>> seconds_a_step(runs, rounds=5).gt(0).to_dict()
        {'Freeze': True, 'Projection': True}
    """
    going = {name: run.train() for name, run in runs.items()}
    found: dict[Hashable, list[float]] = {name: [] for name in runs}
    for name, training in [*going.items()] * rounds:
        start = perf_counter()
        next(training)
        if runs[name].device.type == "cuda":
            torch.cuda.synchronize()  # a GPU works on while Python counts
        found[name].append(perf_counter() - start)
    return pd.Series(
        {name: pd.Series(times).quantile(UNDISTURBED) for name, times in found.items()}
    )


def numbers_kept(task: Task, strategy: Strategy) -> float:
    """What a training keeps in memory, in units of the network's own numbers.

    Args:
        task: What is trained.
        strategy: How its constraints are held.

    Returns:
        Weights, what the optimizer remembers, and what the strategy does; 1 would be the weights
        alone.

    Example:
        >>> import shapekeeper as sk
        >>> round(numbers_kept(sk.tasks.digits(), sk.Projection()), 2)  # Adam remembers two
        3.0
    """
    net, (x, y) = task.start_model(0), task.data_for(0).train
    optimizer = task.optimizer(net.parameters())
    weights = sum(weight.numel() for weight in net.parameters())
    held = hold(net, task.constraints, strategy, optimizer, steps=10)
    (task.loss(net(x), y) + held.penalty()).backward()
    optimizer.step()
    state = held.state_dict()
    memories = [*optimizer.state.values(), *state["memory"].values(), state["free"]]
    return 1 + sum(t.numel() for memory in memories for t in memory.values()) / weights
