"""All strategies, all seeds, any device: `compare` and what it finds."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Task

from .comparison import Comparison, ComparisonError
from .training import Training, why_not_batched

__all__ = ["Comparison", "ComparisonError", "Progress", "compare"]


@dataclass(frozen=True)
class Progress:
    """Where a comparison is, handed to its callback at each logged step.

    Attributes:
        strategy: Label of the strategy in training.
        step: Steps it has taken.
        steps: Steps it will take.
        done: Strategies that are finished.
        total: Strategies to train.
        rows: The new rows of the table, one per seed.
    """

    strategy: str
    step: int
    steps: int
    done: int
    total: int
    rows: list[dict[str, Any]]


def compare(
    task: Task,
    strategies: Iterable[Strategy] | Mapping[str, Strategy],
    *,
    seeds: int | Iterable[int] = 5,
    steps: int = 500,
    device: str | torch.device = "auto",
    batched: bool = True,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Comparison:
    """Train every strategy on one task, for the same seeds, starts, batches and steps.

    All seeds of a strategy train as one program; a run gives the same numbers alone, up to
    rounding. A model that can't be batched trains one seed after another, and the notes say why.

    Args:
        task: What to train.
        strategies: The strategies, or label -> strategy; a setting given as a list is a sweep.
        seeds: How many runs, or which seeds.
        steps: Optimizer steps of each run.
        device: `"auto"` takes a GPU where there is one.
        batched: Whether to train all seeds as one program where that works.
        callback: Called at each logged step; training stops where it returns true, and what was
            done until then is returned.

    Returns:
        The comparison.

    Raises:
        TaskError: If a constraint names nothing in the model, a tensor can't hold its constraint,
            or a single training step fails.
        StrategyError: If a strategy can't hold a constraint of this task.
        ComparisonError: If there is no strategy, no seed or no step, or two labels are alike.

    Example:
        >>> import shapekeeper as sk
        >>> strategies = [sk.Penalty([1.0, 10.0]), sk.Projection()]
        >>> found = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=20)
        >>> found.summary()["violation"].gt(0).to_dict()
        {'Penalty 1': True, 'Penalty 10': True, 'Projection': False}
    """
    labelled = _labelled(strategies)
    numbered = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    _refuse_nothing(labelled, numbered, steps)
    _, on_outputs = task.check()
    place = _device(device)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    tensors: dict[str, dict[str, Tensor]] = {}
    stopped = False
    # All are tried before any is trained, so that a bad one at the end costs no training.
    together: dict[str, bool] = {}
    for label, strategy in labelled.items():
        together[label] = batched and _can_batch(task, label, strategy, numbered, place, notes)
    for label, strategy in labelled.items():
        groups = [numbered] if together[label] else [[seed] for seed in numbered]
        parts = [Training(task, strategy, g, steps, place, together[label]) for g in groups]
        for step, new in _interleaved(parts):
            rows += [{"strategy": label, **row} for row in new]
            progress = Progress(label, step, steps, len(tensors), len(labelled), new)
            stopped = bool(callback and callback(progress))
            if stopped:
                notes.append(f"Stopped at step {step} of {label}.")
                break
        tensors[label] = _joined([part.tensors() for part in parts])
        notes += [f"{label}: {note}" for note in parts[0].notes]
        if stopped:
            break
    frame = pd.DataFrame(rows)
    return Comparison(
        frame=frame,
        strategies={label: labelled[label] for label in tensors},
        seeds=numbered,
        steps=steps,
        task_name=task.name,
        metric_name=task.metric_name,
        better=task.better,
        unit=next(iter(task.constraints.values())).unit if len(task.constraints) == 1 else "",
        on_outputs=tuple(on_outputs),
        notes=[*notes, *_divergences(frame)],
        tensors=tensors,
        task=task,
    )


def _labelled(strategies: Iterable[Strategy] | Mapping[str, Strategy]) -> dict[str, Strategy]:
    """Label -> strategy, sweeps written out."""
    if isinstance(strategies, Strategy):
        raise ComparisonError(f"Wanted a list of strategies, e.g. [{strategies!r}], got one alone.")
    unnamed = not isinstance(strategies, Mapping)
    given: list[Any] = [("", s) for s in strategies] if unnamed else [*strategies.items()]
    labelled: dict[str, Strategy] = {}
    for name, strategy in given:
        if not isinstance(strategy, Strategy):
            raise ComparisonError(f"Wanted strategies, e.g. Projection(), got {strategy!r}.")
        variants = strategy.variants()
        for variant in variants:
            swept = variant.label.removeprefix(type(variant).__name__)
            label = name + (swept if len(variants) > 1 else "") if name else variant.label
            if label in labelled:
                raise ComparisonError(
                    f"Two strategies are called {label!r}; name them, e.g. "
                    f"{{'first': {variant!r}, 'second': ...}}."
                )
            labelled[label] = variant
    return labelled


def _refuse_nothing(labelled: dict[str, Strategy], seeds: list[int], steps: int) -> None:
    wanted = {"strategy": len(labelled), "seed": len(seeds), "step": steps}
    problems = [f"Wanted at least one {k}, got {n}." for k, n in wanted.items() if n < 1]
    if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
        problems.append(f"Wanted different seeds from 0 up, got {seeds}.")
    if problems:
        raise ComparisonError(" ".join(problems))


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _can_batch(
    task: Task,
    label: str,
    strategy: Strategy,
    seeds: list[int],
    device: torch.device,
    notes: list[str],
) -> bool:
    """Whether all seeds can be one program; if not, a note and a warning say why."""
    reason = why_not_batched(task, strategy, seeds, device)
    if reason:
        notes.append(f"{label}: seeds were trained one after another, since {reason}.")
        warnings.warn(notes[-1], stacklevel=3)
    return not reason


def _interleaved(parts: list[Training]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Rows of all parts, step by step: one logged step of each part in turn."""
    for rows in zip(*(part.train() for part in parts), strict=True):
        yield parts[0].step, [row for new in rows for row in new]


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def _divergences(frame: pd.DataFrame) -> list[str]:
    """One note for each strategy that left the finite numbers."""
    seeds = frame.groupby("strategy", sort=False)["seed"].nunique()
    lost = frame[frame["diverged"]].groupby(["strategy", "seed"], sort=False).agg({"step": "min"})
    return [
        f"{label} diverged in {len(runs)} of {seeds[label]} seeds (first seen at step "
        f"{min(runs['step'])}); the others went on. Way out: a smaller strength, or a smaller "
        "learning rate."
        for label, runs in lost.groupby(level="strategy", sort=False)
    ]
