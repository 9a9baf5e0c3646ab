"""A comparison while it trains: `compare` drains it, a live view steps it."""

import warnings
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from shapekeeper.strategies import RejectionEvolution, Strategy, joinable
from shapekeeper.tasks import Task

from .checkpoint import Checkpoint
from .comparison import Comparison, ComparisonError
from .evolution import words
from .training import Shelf, Training, take_step
from .trial import why_not_batched

__all__ = ["Progress", "Run"]

Strategies = Iterable[Strategy] | Mapping[str, Strategy]


@dataclass(frozen=True)
class Progress:
    """Where a comparison is.

    Attributes:
        step: Steps that the slowest strategy has taken.
        steps: Steps that each will take.
        rows: New rows of the table, at logged steps; else none.
    """

    step: int
    steps: int
    rows: list[dict[str, Any]]


class Run:
    """A comparison that can be stepped, left, and gone on with.

    Strategies that bind weights alone share one forward and one backward pass, each with its own
    rows, optimizer and memory; those of a sweep are the rows of one tensor. Each takes the same
    steps as it would alone, up to rounding.

    Args:
        task: What to train.
        strategies: The strategies, or label -> strategy; a setting given as a list is a sweep.
        seeds: How many runs, or which seeds.
        steps: Optimizer steps of each run.
        device: `"auto"` takes a GPU where there is one.
        batched: Whether to train all seeds as one program where that works.
        checkpoint: Folder from which the comparison goes on, and where it is kept now and then.
        groups: Into how many groups the seeds are split, for workers that share them.

    Attributes:
        strategies: Label -> strategy, sweeps written out.
        seeds: The seeds of each strategy.
        parts: What is trained: rows of strategies and seeds.
        notes: What a reader of the numbers should know.
        torn: Whether it was interrupted in the middle of a step: it can be looked at, but neither
            saved nor gone on with.
        seconds: Time spent in `train`, that of a checkpoint included.

    Raises:
        TaskError: If a constraint names nothing in the model, a tensor can't hold its constraint,
            or a single training step fails.
        StrategyError: If a strategy can't hold a constraint of this task.
        ComparisonError: If there is no strategy, no seed or no step, two labels are alike, or the
            checkpoint is damaged or of another comparison.

    Example:
        >>> import shapekeeper as sk
        >>> run = Run(sk.tasks.pencil(), [sk.Unconstrained(), sk.Projection()], seeds=2, steps=20)
        >>> for progress in run.train():
        ...     if progress.step == 5:
        ...         break
        >>> len(list(run.train())), run.finished
        (15, True)
    """

    def __init__(
        self,
        task: Task,
        strategies: Strategies,
        *,
        seeds: int | Iterable[int] = 5,
        steps: int = 500,
        device: str | torch.device = "auto",
        batched: bool = True,
        checkpoint: str | Path | None = None,
        groups: int = 1,
    ) -> None:
        self.task, self.strategies = task, labelled(strategies)
        self.seeds = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
        self.steps, self.device = steps, device_named(device)
        _refuse_nothing(self.strategies, self.seeds, steps)
        _, on_outputs = task.check()
        self.on_outputs = tuple(on_outputs)
        self.notes: list[str] = []
        self.torn = False
        self.shelf: Shelf = {}
        split = _split(self.seeds, groups)
        self.checkpoint: Checkpoint | None = None
        if checkpoint:
            self.checkpoint = Checkpoint(checkpoint, task, self.seeds, steps, split)
        # All are tried before any is trained, so that a bad one at the end costs no training.
        together: dict[str, bool] = {}
        for label, strategy in self.strategies.items():
            twin = any(ok and joinable(self.strategies[k], strategy) for k, ok in together.items())
            together[label] = batched and (twin or self._can_batch(label, strategy))
        self.parts = self._parts(together, self.checkpoint.groups if self.checkpoint else split)
        if self.checkpoint:
            for part in self.parts:
                self.checkpoint.load(part)
        self.seconds = sum(part.seconds for part in self.parts)

    @property
    def step(self) -> int:
        """Steps that the slowest strategy has taken."""
        return min(part.step for part in self.parts)

    @property
    def finished(self) -> bool:
        """Whether every strategy has taken all its steps."""
        return all(part.finished for part in self.parts)

    def train(self) -> Generator[Progress, None, None]:
        """Train to the end; may be left at any item, and called again.

        Yields:
            One item for each step that all have taken, and one before the first.

        Raises:
            ComparisonError: If it was interrupted in the middle of a step.
        """
        if self.torn:
            raise ComparisonError(
                f"This run was interrupted in the middle of step {self.step + 1}, and can't go on "
                "to the same numbers. Make it anew; with checkpoint=folder it goes on from there."
            )
        started = perf_counter()
        while not self.finished:
            low = self.step
            behind = [part for part in self.parts if part.step == low]
            self.torn = True  # whatever is raised in there
            rows = self._advance(behind)
            self.torn = False
            self.seconds += perf_counter() - started
            started = yield from self._handed_out(Progress(self.step, self.steps, rows))
        self.save()

    def _advance(self, parts: list[Training]) -> list[dict[str, Any]]:
        """The first rows of a beginning, or one step."""
        for part in parts:
            part.turn()
        if all(part.history for part in parts):
            for company in _companies(parts):
                take_step(company)
        return [row for part in parts for row in part.log()]

    def _handed_out(self, progress: Progress) -> Generator[Progress, None, float]:
        """Yield; whoever leaves here leaves everything between two steps, fit to be kept."""
        try:
            yield progress
        except GeneratorExit:
            self.save()
            raise
        if self.checkpoint:
            self.checkpoint.save_now_and_then(self.parts)
        return perf_counter()

    def save(self) -> None:
        """Write the checkpoint, if there is one; half a step is not kept."""
        if self.checkpoint and not self.torn:
            self.checkpoint.save(self.parts)

    def comparison(self) -> Comparison:
        """What was found until now.

        Raises:
            ComparisonError: If nothing was measured yet.
        """
        # A process may have been stopped before it began with some of them.
        missing = {label for part in self.parts if not part.history for label in part.strategies}
        parts = [part for part in self.parts if not missing & part.strategies.keys()]
        rows = [row for part in parts for row in part.history]
        if not rows:
            raise ComparisonError("Nothing was measured yet: wanted at least one item of train().")
        frame = pd.DataFrame(rows)
        order = {name: i for i, name in enumerate([*self.strategies, *self.seeds])}
        frame = frame.sort_values(
            ["strategy", "step", "seed"],
            key=lambda column: column if column.name == "step" else column.map(order),
            ignore_index=True,
        )
        remarks = [note for part in parts for note in [*part.notes, *part.warnings()]]
        remarks += self.words_of_evolution()
        stopped = [] if self.finished else [f"Stopped at step {self.step} of {self.steps}."]
        return Comparison(
            frame=frame,
            strategies={k: s for k, s in self.strategies.items() if k not in missing},
            seeds=self.seeds,
            steps=self.steps,
            task_name=self.task.name,
            metric_name=self.task.metric_name,
            better=self.task.better,
            unit=_unit(self.task),
            on_outputs=self.on_outputs,
            notes=[*self.notes, *stopped, *dict.fromkeys(remarks), *_divergences(frame)],
            tensors=_tensors(parts),
            task=self.task,
        )

    def words_of_evolution(self) -> list[str]:
        """How many candidates obeyed until now, a sentence for each stage that evolves."""
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for tally in [t for part in self.parts for t in [*part.tallies, *part.tally()]]:
            found.setdefault((tally["label"], tally["stage"]), []).append(tally)
        sentences = []
        for (label, stage), tallies in found.items():
            hooks = self.strategies[label].stages()[stage].strategy
            assert isinstance(hooks, RejectionEvolution)
            drawn, obeyed = ([n for t in tallies for n in t[key]] for key in ("drawn", "obeyed"))
            sentences.append(words(label, hooks, drawn, obeyed))
        return [sentence for sentence in sentences if sentence]

    def _parts(self, together: dict[str, bool], groups: list[list[int]]) -> list[Training]:
        """What is trained: sweeps and seeds as rows where that works, else run by run."""
        alone = [([label], [[s] for s in self.seeds]) for label in together if not together[label]]
        shared = [(labels, groups) for labels in self._slices(k for k in together if together[k])]
        order = [*self.strategies]
        slices = sorted([*alone, *shared], key=lambda found: order.index(found[0][0]))
        return [
            Training(
                self.task,
                {label: self.strategies[label] for label in labels},
                seeds,
                self.steps,
                self.device,
                together[labels[0]],
                self.shelf,
            )
            for labels, split in slices
            for seeds in split
        ]

    def _slices(self, labels: Iterable[str]) -> list[list[str]]:
        """Labels of strategies whose runs can be rows of one tensor."""
        slices: list[list[str]] = []
        for label in labels:
            one = self.strategies[label]
            for found in slices:
                # What a strategy asks of a layer's value knows no rows.
                if not self.on_outputs and joinable(self.strategies[found[0]], one):
                    found.append(label)
                    break
            else:
                slices.append([label])
        return slices

    def _can_batch(self, label: str, strategy: Strategy) -> bool:
        """Whether all seeds can be one program; if not, a note and a warning say why."""
        reason = why_not_batched(self.task, strategy, self.seeds, self.device, self.shelf)
        if reason:
            note = f"{label}: seeds were trained one after another, since {reason}."
            self.notes.append(note)
            warnings.warn(note, stacklevel=4)
        return not reason


def labelled(strategies: Strategies) -> dict[str, Strategy]:
    """Label -> strategy, sweeps written out.

    Args:
        strategies: A list, or label -> strategy.

    Returns:
        One entry for each value of a sweep.

    Raises:
        ComparisonError: If something is no strategy, or two labels are alike.

    Example:
        >>> from shapekeeper.strategies import Penalty
        >>> list(labelled({"soft": Penalty([0.1, 1.0])}))
        ['soft 0.1', 'soft 1']
    """
    if isinstance(strategies, Strategy):
        raise ComparisonError(f"Wanted a list of strategies, e.g. [{strategies!r}], got one alone.")
    unnamed = not isinstance(strategies, Mapping)
    given: list[Any] = [("", s) for s in strategies] if unnamed else [*strategies.items()]
    found: dict[str, Strategy] = {}
    for name, strategy in given:
        if not isinstance(strategy, Strategy):
            raise ComparisonError(f"Wanted strategies, e.g. Projection(), got {strategy!r}.")
        variants = strategy.variants()
        for variant in variants:
            swept = variant.label.removeprefix(type(variant).__name__)
            label = name + (swept if len(variants) > 1 else "") if name else variant.label
            if label in found:
                raise ComparisonError(
                    f"Two strategies are called {label!r}; name them, e.g. "
                    f"{{'first': {variant!r}, 'second': ...}}."
                )
            found[label] = variant
    return found


def _tensors(parts: list[Training]) -> dict[str, dict[str, Tensor]]:
    """Label -> name -> what the network sees, one row for each seed."""
    pieces: dict[str, list[dict[str, Tensor]]] = {}
    for part in parts:
        whole = part.tensors()
        for i, label in enumerate(part.strategies):
            rows = slice(i * len(part.seeds), (i + 1) * len(part.seeds))
            piece = {name: t[rows].cpu() for name, t in whole.items()}
            pieces.setdefault(label, []).append(piece)
    return {
        label: {name: torch.cat([piece[name] for piece in found]) for name in found[0]}
        for label, found in pieces.items()
    }


def _companies(parts: list[Training]) -> list[list[Training]]:
    """Parts that take a step together."""
    keys: dict[Any, list[Training]] = {}
    for part in parts:
        keys.setdefault(part.companions, []).append(part)
    return list(keys.values())


def _refuse_nothing(strategies: dict[str, Strategy], seeds: list[int], steps: int) -> None:
    wanted = {"strategy": len(strategies), "seed": len(seeds), "step": steps}
    problems = [f"Wanted at least one {k}, got {n}." for k, n in wanted.items() if n < 1]
    if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
        problems.append(f"Wanted different seeds from 0 up, got {seeds}.")
    if problems:
        raise ComparisonError(" ".join(problems))


def device_named(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _split(seeds: list[int], groups: int) -> list[list[int]]:
    """The seeds in so many groups, of sizes that differ by one at most."""
    count = min(groups, len(seeds))
    ends = [round(i * len(seeds) / count) for i in range(count + 1)]
    return [seeds[a:b] for a, b in pairwise(ends)]


def _unit(task: Task) -> str:
    return next(iter(task.constraints.values())).unit if len(task.constraints) == 1 else ""


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
