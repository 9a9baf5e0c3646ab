"""One comparison on many processes, or many machines: each trains parts of its own."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, effective_n_jobs

from shapekeeper.tasks import Task

from .checkpoint import Checkpoint
from .program import Named
from .run import Progress, Run, Strategies, labelled
from .state import Record, restore, state_of
from .training import Training, take_step

__all__ = ["train_apart"]


def train_apart(
    task: Task,
    strategies: Strategies,
    settings: dict[str, Any],
    checkpoint: str | Path | None,
    n_jobs: int,
    callback: Callable[[Progress], bool | None] | None,
) -> Run:
    """Train the parts of a comparison in processes of their own.

    Args:
        task: What to train.
        strategies: As for `compare`.
        settings: Seeds, steps, device, batched.
        checkpoint: A folder that all of the processes can write to, or None.
        n_jobs: How many; -1 for as many as there are.
        callback: Called with the rows of each part that comes back; true leaves the rest undone.

    Returns:
        The run, with everything that came back.
    """
    jobs = effective_n_jobs(n_jobs)
    # Too few strategies for all processes: each strategy's seeds go to several of them.
    groups = -(-jobs // len(labelled(strategies)))
    run = Run(task, strategies, checkpoint=checkpoint, groups=groups, **settings)
    waiting = [part for part in run.parts if not part.finished]
    here = torch.get_default_dtype()
    asked = (delayed(_trained)(i, here, run.checkpoint, *_recipe(p)) for i, p in enumerate(waiting))
    found: Any = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(asked)
    for i, (tensors, record) in found:
        restore(waiting[i], tensors, record)
        progress = Progress(run.step, run.steps, waiting[i].history)
        if callback and callback(progress):
            break
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* tasks which were still being processed")
        found.close()  # whoever stops knows that the others are not done
    return run


def _recipe(part: Training) -> tuple[Any, ...]:
    """What another process needs to make the part."""
    return part.task, part.strategies, part.seeds, part.steps, part.device, part.batched


def _trained(
    number: int, dtype: torch.dtype, checkpoint: Checkpoint | None, *recipe: Any
) -> tuple[int, tuple[Named, Record]]:
    """Runs in a worker: a part from where it was left to its end."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # what models and data are made of
    try:
        return number, _to_the_end(Training(*recipe), checkpoint)
    finally:
        torch.set_default_dtype(before)  # a worker may be asked again, by somebody else


def _to_the_end(part: Training, checkpoint: Checkpoint | None) -> tuple[Named, Record]:
    if checkpoint:
        checkpoint.load(part)
    while not part.finished:
        part.turn()
        if part.history:
            take_step([part])
        part.log()
        if checkpoint:
            checkpoint.save_now_and_then([part])
    if checkpoint:
        checkpoint.save([part])
    return state_of(part)
