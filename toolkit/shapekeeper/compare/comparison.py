"""The result of a comparison: one tidy table, and the networks behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shapekeeper.constraints import Constraint
from shapekeeper.strategies import Strategy, stage_ends
from shapekeeper.tasks import Task

from .statistics import paired_interval, seeds_needed

__all__ = ["Comparison", "ComparisonError"]

FORMAT = 1  # of the folder that `save` writes


class ComparisonError(ValueError):
    """A comparison that can't be made, read, or asked this."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Attributes:
        frame: One row per strategy, seed and logged step. `loss` is the mean on training batches
            since the row before, without what the strategy adds; `metric` is on test data;
            `metric_held` is the metric after each constraint has been enforced exactly, without
            retraining; `violation_peak` the worst violation of any step since its stage began, in
            units of the constraint's scale. A diverged run keeps its rows, but has no numbers from
            there on.
        strategies: Label -> strategy, in the order they were trained.
        seeds: The runs of each strategy.
        steps: Steps of each run.
        task_name: Name of the task.
        metric_name: What the metric is.
        better: Whether a `"higher"` or a `"lower"` metric is better.
        unit: Unit of the violation; empty where several constraints are bound.
        notes: What a reader of the numbers should know.
        tensors: Label -> name -> final weights and buffers `(seeds, *shape)`.
        task: The task, or None after loading without one.
        tasks: Label -> task, of the strategies that came by `beside` from a comparison on another.
        outputs_of: Label -> names of layers whose values are bound, of these strategies.

    Example:
        >>> import shapekeeper as sk
        >>> found = sk.compare(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=10)
        >>> found.holds("Projection"), bool((found.frame["violation"] == 0).all())
        ('always', True)
    """

    frame: pd.DataFrame
    strategies: dict[str, Strategy]
    seeds: list[int]
    steps: int
    task_name: str
    metric_name: str
    better: Literal["higher", "lower"]
    unit: str
    on_outputs: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    task: Task | None = None
    tasks: Mapping[str, Task | None] = field(default_factory=dict)
    outputs_of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """What was compared."""
        return (
            f"Comparison({self.task_name!r}: {', '.join(self.strategies)}; "
            f"{len(self.seeds)} seeds, {self.steps} steps)"
        )

    def final(self) -> pd.DataFrame:
        """The last row of each run.

        Returns:
            One row per strategy and seed, indexed by both.
        """
        last = self.frame.groupby(["strategy", "seed"], sort=False).tail(1)
        return last.set_index(["strategy", "seed"])

    def summary(self, reference: str | None = None) -> pd.DataFrame:
        """Each strategy in one row.

        Args:
            reference: Label of the strategy that the others are compared with; the first by
                default.

        Returns:
            Means and standard deviations over the seeds that did not diverge; `difference`: mean
            over seeds of `metric_held` minus that of the reference in the same seed, with its
            95 % interval `low` to `high` (Student's t); `violation`: the worst of all seeds;
            `holds`: from when on the strategy promises to hold the constraint.

        Raises:
            ComparisonError: If there is no strategy of that label.
        """
        labels = list(self.strategies)
        reference = self._known(reference if reference is not None else labels[0])
        final = self.final()
        base = final.loc[reference]
        rows = {label: self._row(label, final.loc[label], base) for label in labels}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")

    def _row(self, label: str, runs: pd.DataFrame, base: pd.DataFrame) -> dict:
        good = runs.query("not diverged")
        difference = _paired(runs, base, "metric_held")
        low, high = paired_interval(difference.to_numpy())
        return {
            "metric": good["metric"].mean(),
            "metric_sd": good["metric"].std(),
            "metric_held": good["metric_held"].mean(),
            "metric_held_sd": good["metric_held"].std(),
            "difference": difference.mean(),
            "low": low,
            "high": high,
            "violation": good["violation"].max(),
            "allowed": good["allowed"].mean(),
            "holds": self.holds(label),
            "diverged": sum(runs["diverged"]),
            "evaluations": max(runs["evaluations"]),
            "seconds": max(runs["seconds"]),
        }

    def differences(
        self, label: str, reference: str | None = None, column: str = "metric_held"
    ) -> pd.Series:
        """How a strategy differs from another at the end, seed by seed.

        Args:
            label: A label of `strategies`.
            reference: The other one; the first by default.
            column: A column of the frame.

        Returns:
            The strategy's value minus that of the reference, by seed; without seeds that diverged
            on either side.

        Raises:
            ComparisonError: If there is no strategy of one of the labels, or no such column.

        Example:
            >>> import shapekeeper as sk
            >>> strategies = [sk.Projection(), sk.Freeze()]
            >>> found = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=10)
            >>> found.differences("Freeze").index.to_list()
            [0, 1]
        """
        reference = reference if reference is not None else next(iter(self.strategies))
        final = self.final()
        if column not in final:
            raise ComparisonError(f"Wanted one of the columns {[*final]}, got {column!r}.")
        return _paired(final.loc[self._known(label)], final.loc[self._known(reference)], column)

    def seeds_needed(
        self, label: str, difference: float, reference: str | None = None, power: float = 0.8
    ) -> int:
        """How many seeds it would take to see a difference in `metric_held` of this size.

        The spread is that of the paired differences found here; from few seeds it is a rough guess,
        and so is the answer.

        Args:
            label: A label of `strategies`.
            difference: True mean of the paired differences, in units of the metric.
            reference: The strategy it is set against; the first by default.
            power: Chance with which the 95 % interval is to leave out zero.

        Returns:
            Fewest seeds; see `shapekeeper.compare.statistics.seeds_needed`.

        Raises:
            ComparisonError: If there is no such strategy, fewer than two seeds have a pair, or the
                question has no answer.

        Example:
            >>> import shapekeeper as sk
            >>> strategies = [sk.Projection(), sk.Penalty(1.0)]
            >>> found = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=10)
            >>> found.seeds_needed("Penalty 1", difference=100.0)
            2
        """
        pairs = self.differences(label, reference)
        if len(pairs) < 2:
            raise ComparisonError(
                f"Wanted at least two seeds in which both strategies stayed finite, got "
                f"{len(pairs)}: the spread can't be told. Compare with more seeds."
            )
        try:
            return seeds_needed(difference, float(pairs.to_numpy().std(ddof=1)), power)
        except ValueError as error:
            raise ComparisonError(str(error)) from error

    def holds(self, label: str) -> str:
        """From when on a strategy promises to hold the constraints.

        Args:
            label: A label of `strategies`.

        Returns:
            `"always"`, `"from step 150"`, `"when checked"` (of a layer, for the inputs on which it
            was checked), or `"no promise"`.
        """
        stages = self.strategies[self._known(label)].stages()
        begins = [0, *stage_ends(stages, self.steps)]
        asked = [self._promises(label, stage.strategy) for stage in stages]
        if "none" in asked[-1]:
            return "no promise"
        if "empirical" in asked[-1]:
            return "when checked"
        promised = [promises == {"structural"} for promises in asked]
        first = len(promised) - next(
            (i for i, kept in enumerate(reversed(promised)) if not kept), len(promised)
        )
        return f"from step {begins[first]}" if first else "always"

    def _promises(self, label: str, strategy: Strategy) -> set[str]:
        """What is promised of all that the task binds."""
        outputs = self.outputs_of.get(label, self.on_outputs)
        rows = self.frame[self.frame["strategy"] == label].dropna(axis=1, how="all")
        bound = sum(name.startswith("violation:") for name in rows.columns)
        asked = {strategy.output_guarantee} if outputs else set()
        if not outputs or len(outputs) < bound:
            asked.add(strategy.guarantee)
        return asked

    def models(self, label: str) -> list[nn.Module]:
        """The trained networks of a strategy.

        Args:
            label: A label of `strategies`.

        Returns:
            One plain module per seed, on the CPU, with the weights the network last saw. A layer
            whose value the strategy treats goes on treating it, by a forward hook.

        Raises:
            ComparisonError: If there is no such label, no task (see `load`), or the last stage had
                a model of its own that is not at hand.
        """
        strategy = self.strategies[self._known(label)]
        task = self.tasks.get(label, self.task)
        if task is None:
            raise ComparisonError(
                "Wanted a task to build the models from, got none; load with "
                "Comparison.load(folder, task=...)."
            )
        stage = strategy.stages()[-1]
        task = replace(task, model=stage.model) if stage.model else task
        return [
            self._model(task, stage.strategy, seed, {k: v[i] for k, v in tensors.items()})
            for tensors in [self.tensors[label]]
            for i, seed in enumerate(self.seeds)
        ]

    def _model(
        self, task: Task, strategy: Strategy, seed: int, tensors: dict[str, Tensor]
    ) -> nn.Module:
        model = task.start_model(seed)
        own = dict([*model.named_parameters(), *model.named_buffers()])
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in tensors.items()}:
            raise ComparisonError(
                "The task's model has other tensors than the trained one; the last stage had a "
                "model of its own, or this is another task."
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])
        modules = dict(model.named_modules())
        for name, c in task.constraints.items():
            if name in modules:
                modules[name].register_forward_hook(_Treated(strategy, c))
        return model

    def beside(self, others: Mapping[str, "Comparison"]) -> "Comparison":
        """One table of several comparisons, for rivals that are no strategies.

        Other training data, or another model, make another task. Trained for the same seeds and
        steps and judged by the same test data, its rows may stand beside these.

        Args:
            others: Name -> comparison. One with a single strategy is labelled by the name, the
                strategies of another by name and label.

        Returns:
            A comparison of all of them, this one's strategies first.

        Raises:
            ComparisonError: If seeds, steps or metric differ, or two labels are alike.

        Example:
            >>> import shapekeeper as sk
            >>> one, other = (
            ...     sk.compare(sk.tasks.pencil(), [strategy], seeds=2, steps=10)
            ...     for strategy in (sk.Projection(), sk.Unconstrained())
            ... )
            >>> list(one.beside({"another task": other}).strategies)
            ['Projection', 'another task']
        """
        frames, strategies = [self.frame], dict(self.strategies)
        tensors, tasks, notes = dict(self.tensors), dict(self.tasks), list(self.notes)
        outputs_of = dict(self.outputs_of)
        for name, other in others.items():
            self._refuse_unlike(name, other)
            single = len(other.strategies) == 1
            called = {label: name if single else f"{name}: {label}" for label in other.strategies}
            if twice := [label for label in called.values() if label in strategies]:
                raise ComparisonError(
                    f"Two strategies are called {twice[0]!r}; wanted other names."
                )
            frames.append(other.frame.assign(strategy=other.frame["strategy"].replace(called)))
            for label, new in called.items():
                strategies[new] = other.strategies[label]
                tensors[new] = other.tensors.get(label, {})
                tasks[new] = other.tasks.get(label, other.task)
                outputs_of[new] = other.outputs_of.get(label, other.on_outputs)
            notes += [f"{name}: {note}" for note in other.notes]
        frame = pd.concat(frames, ignore_index=True)
        together = {"strategies": strategies, "tensors": tensors, "tasks": tasks, "notes": notes}
        return replace(self, frame=frame, outputs_of=outputs_of, **together)

    def _refuse_unlike(self, name: str, other: "Comparison") -> None:
        for what in ("seeds", "steps", "metric_name", "better"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise ComparisonError(
                    f"Wanted the same {what} as here, {mine!r}, got {theirs!r} from {name!r}: rows "
                    "beside each other are compared seed by seed."
                )

    def save(self, folder: str | Path) -> Path:
        """Write tables, settings and final weights.

        Args:
            folder: Where to; made if missing, and files of an earlier comparison are replaced.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.frame.to_csv(folder / "frame.csv", index=False)
        flat = {
            f"{i}/{name}": tensor.contiguous()
            for i, label in enumerate(self.strategies)
            for name, tensor in self.tensors.get(label, {}).items()
        }
        save_file(flat, folder / "tensors.safetensors")
        settings = {name: getattr(self, name) for name in _SETTINGS}
        saved = {label: s.to_json() for label, s in self.strategies.items()}
        record = {"format": FORMAT, "strategies": saved, **settings}
        (folder / "comparison.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path, task: Task | None = None) -> "Comparison":
        """Read what `save` wrote.

        Args:
            folder: Where from.
            task: The task that was trained, if `models` is wanted: code is not saved.

        Returns:
            The comparison.

        Raises:
            ComparisonError: If the folder holds no comparison of this format.
        """
        folder = Path(folder)
        try:
            record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
            found = record.pop("format")
        except (OSError, ValueError, KeyError) as error:
            raise ComparisonError(
                f"Wanted a folder that Comparison.save wrote, got {str(folder)!r} ({error})."
            ) from error
        if found != FORMAT:
            raise ComparisonError(
                f"Wanted a comparison of format {FORMAT}, got {found}; read it with the version of "
                "shapekeeper that wrote it."
            )
        strategies = {k: Strategy.from_json(s) for k, s in record.pop("strategies").items()}
        frame = pd.read_csv(folder / "frame.csv")
        tensors: dict[str, dict[str, Tensor]] = {label: {} for label in strategies}
        for name, tensor in load_file(folder / "tensors.safetensors").items():
            i, _, rest = name.partition("/")
            tensors[list(strategies)[int(i)]][rest] = tensor
        record["on_outputs"] = tuple(record["on_outputs"])
        return cls(frame=frame, strategies=strategies, tensors=tensors, task=task, **record)

    def _known(self, label: str) -> str:
        if label not in self.strategies:
            raise ComparisonError(
                f"Wanted one of the strategies {list(self.strategies)}, got {label!r}."
            )
        return label


_SETTINGS = (
    "seeds",
    "steps",
    "task_name",
    "metric_name",
    "better",
    "unit",
    "on_outputs",
    "outputs_of",
    "notes",
)


def _paired(runs: pd.DataFrame, base: pd.DataFrame, column: str) -> pd.Series:
    """Differences by seed; one that diverged on either side has no pair."""
    good = runs.loc[~runs["diverged"].astype(bool), column]
    return good.sub(base.loc[~base["diverged"].astype(bool), column]).dropna()


@dataclass(frozen=True)
class _Treated:
    """A forward hook that copies, pickles and saves along with its module."""

    strategy: Strategy
    constraint: Constraint

    def __call__(self, module: nn.Module, args: tuple, value: Tensor) -> Tensor:
        return self.strategy.output(self.constraint, value)
