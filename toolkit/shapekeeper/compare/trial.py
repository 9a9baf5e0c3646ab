"""Trying one step before any training: what fits a task, and what can be one program."""

from dataclasses import replace

import torch

from shapekeeper.optimizers import ELEMENTWISE, asks_again
from shapekeeper.strategies import RejectionEvolution, Stage, Strategy, StrategyError
from shapekeeper.tasks import Task, TaskError

from .training import Shelf, Training, take_step

__all__ = ["misfit", "why_not_batched"]


def misfit(task: Task, strategy: Strategy) -> str:
    """Why a strategy can't train a task, in a sentence, or nothing if it can.

    Takes one step of seed 0 on the CPU.

    Args:
        task: What would be trained.
        strategy: How its constraints would be held; of a sweep, the first.

    Returns:
        The reason.

    Example:
        >>> import shapekeeper as sk
        >>> misfit(sk.tasks.pencil(), sk.Projection())
        ''
    """
    try:
        why_not_batched(task, strategy.variants()[0], [0], torch.device("cpu"), {})
    except TaskError as error:
        return " ".join(error.problems)
    except (StrategyError, ImportError) as error:
        return str(error)
    return ""


def why_not_batched(
    task: Task, strategy: Strategy, seeds: list[int], device: torch.device, shelf: Shelf
) -> str:
    """Why the runs of a strategy can't be one program, or nothing if they can.

    Args:
        task: What would be trained.
        strategy: One without a sweep.
        seeds: Of the runs; two at most are tried.
        device: Where.
        shelf: Batches that others have made already.

    Returns:
        The reason.

    Raises:
        TaskError: If a single run can't take a step either, or the optimizer needs a closure.
        ImportError: If the strategy needs a library that is not installed.
    """
    for stage in strategy.stages():
        staged = replace(task, model=stage.model) if stage.model else task
        tried = Stage(1.0, stage.strategy)
        own = stage.strategy.advances or stage.strategy.evolves
        reason = "" if own else _why_not_optimizer(staged)
        if reason := reason or _why_not_model(staged, tried, seeds, device, shelf):
            return reason
    return ""


def _why_not_optimizer(task: Task) -> str:
    optimizer = task.optimizer(list(task.start_model(0).parameters()))
    name = type(optimizer).__name__
    if asks_again(optimizer):
        raise TaskError(
            f"task {task.name!r}",
            [
                f"{name} asks for the loss again within a step; wanted an optimizer that takes one "
                "gradient a step, e.g. Adam, SGD or RMSprop."
            ],
        )
    if type(optimizer) in ELEMENTWISE:
        return ""
    return f"{name} is not known to act on each number by itself"


def _why_not_model(
    task: Task, stage: Stage, seeds: list[int], device: torch.device, shelf: Shelf
) -> str:
    """Try one step as one program, then alone."""
    strategy, steps = _one_generation(task, stage.strategy)

    def attempt(tried: list[int], batched: bool) -> Exception | None:
        one = {stage.strategy.label: strategy}
        training = Training(task, one, tried, steps, device, batched, shelf)
        try:
            training.turn()
            take_step([training])
            training.rows()
        except (StrategyError, TaskError, ImportError):
            raise
        except Exception as error:
            return error
        return None

    together = attempt(seeds[:2], batched=True)
    if together is None:
        return ""
    if alone := attempt(seeds[:1], batched=False):
        problem = f"One training step fails: {type(alone).__name__}: {alone}"
        raise TaskError(f"task {task.name!r}", [problem]) from alone
    return f"its model can't run under torch.vmap ({str(together).strip().splitlines()[0]})"


def _one_generation(task: Task, strategy: Strategy) -> tuple[Strategy, int]:
    """Over how many steps to spread an evolution, so that the first is one generation, no more."""
    if not isinstance(strategy, RejectionEvolution):
        return strategy, 1
    numbers = sum(p.numel() for p in task.start_model(0).parameters() if p.requires_grad)
    generations = strategy.evaluations // (strategy.candidates(numbers) + 1)
    return replace(strategy, violators="ranked"), max(1, generations)
