"""All strategies, all seeds, any device: `compare` and what it finds."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from shapekeeper.tasks import Task

from .audit import Audit, audit
from .comparison import Comparison, ComparisonError
from .run import Progress, Run, Strategies
from .trial import misfit
from .workers import train_apart

__all__ = [
    "Audit",
    "Comparison",
    "ComparisonError",
    "Progress",
    "Run",
    "audit",
    "compare",
    "misfit",
]


def compare(
    task: Task,
    strategies: Strategies,
    *,
    seeds: int | Iterable[int] = 5,
    steps: int = 500,
    device: str | torch.device = "auto",
    batched: bool = True,
    callback: Callable[[Progress], bool | None] | None = None,
    checkpoint: str | Path | None = None,
    n_jobs: int = 1,
) -> Comparison:
    """Train every strategy on one task, for the same seeds, starts, batches and steps.

    All seeds of a strategy train as one program, and strategies that bind weights alone share its
    forward and backward pass; a run gives the same numbers alone, up to rounding. A model that
    can't be batched trains one seed after another, and the notes say why.

    Args:
        task: What to train.
        strategies: The strategies, or label -> strategy; a setting given as a list is a sweep.
        seeds: How many runs, or which seeds.
        steps: Optimizer steps of each run.
        device: `"auto"` takes a GPU where there is one.
        batched: Whether to train all seeds as one program where that works.
        callback: Called at each logged step, with several jobs whenever a part is finished;
            training stops where it returns true, and what was done until then is returned.
        checkpoint: A folder to go on from, and to keep everything in while it trains: killed at any
            moment and started again, the comparison ends with the same numbers.
        n_jobs: Over how many processes the strategies, and groups of seeds, are spread; -1 for as
            many as there are. `joblib.parallel_config` chooses where they run, e.g. on a Dask
            cluster.

    Returns:
        The comparison.

    Raises:
        TaskError: If a constraint names nothing in the model, a tensor can't hold its constraint,
            or a single training step fails.
        StrategyError: If a strategy can't hold a constraint of this task.
        ComparisonError: If there is no strategy, no seed or no step, two labels are alike, or the
            checkpoint is damaged or of another comparison.

    Example:
        >>> import shapekeeper as sk
        >>> strategies = [sk.Penalty([1.0, 10.0]), sk.Projection()]
        >>> found = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=20)
        >>> found.summary()["violation"].gt(0).to_dict()
        {'Penalty 1': True, 'Penalty 10': True, 'Projection': False}
    """
    settings = {"seeds": seeds, "steps": steps, "device": device, "batched": batched}
    if n_jobs != 1:
        return train_apart(task, strategies, settings, checkpoint, n_jobs, callback).comparison()
    run = Run(task, strategies, checkpoint=checkpoint, **settings)
    for progress in run.train():
        if progress.rows and callback and callback(progress):
            break
    return run.comparison()
