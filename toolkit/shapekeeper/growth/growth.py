"""Training networks that grow, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from shapekeeper.compare.run import device_named
from shapekeeper.networks import RegionNetwork
from shapekeeper.regions import RegionGraph
from shapekeeper.strategies import Projection, Strategy
from shapekeeper.tasks import Task

from .anatomy import Named
from .areas import Area, areas_of, priced
from .compact import compacted, found_graph
from .growing import Growing
from .rule import OUTGOING_WEIGHTS, GrowthError, GrowthRule

__all__ = ["Growth", "grow"]

LOGGED = 40  # rows of a run's history, besides the start


@dataclass(frozen=True, eq=False)
class Growth:
    """What came of networks that grew.

    Attributes:
        rule: By which nodes came and went.
        seeds: One run for each.
        frame: One row for each seed and logged step: `seed`, `step`, `task`, `loss` (of the
            training batches since the row before), `metric` (on test data), `nodes` (that live),
            `useful` (worth more than `hysteresis` thresholds), `node_steps` (nodes summed over the
            steps so far: what a network of that size would have cost), `waited` (births and deaths
            that had to wait so far), for each area `nodes:<area>` and `useful:<area>`, and for each
            bound weight `violation:<name>`.
        events: One row for each birth and death: `seed`, `step`, `event`, `area`, `node` (a number
            that is given once in a run), `worth`, `jump` (of the loss of the running batch; of all
            births or deaths of that step together), `age` (in steps).
        counts: Nodes of each area after each step, `(steps + 1, runs, areas)`.
    """

    rule: GrowthRule
    seeds: tuple[int, ...]
    frame: pd.DataFrame
    events: pd.DataFrame
    counts: np.ndarray
    _growing: Growing
    _kept: dict[int, dict[str, Any]]

    def __repr__(self) -> str:
        """How many runs, and the nodes they found."""
        last = self.frame.loc[self.frame["step"] == self.frame["step"].max(), "nodes"]
        return f"Growth({len(self.seeds)} runs, nodes {sorted(last)})"

    def models(self, step: int | None = None) -> list[nn.Module]:
        """The networks as plain modules, freed of what does not live, on the CPU.

        Args:
            step: As they were at that logged step; by default at the end.

        Returns:
            One for each seed. Of a region network those of the graphs that were found, with what
            is left of its constraints; else copies of the task's model with smaller layers.

        Raises:
            GrowthError: If that step was not logged.

        Example:
            >>> import shapekeeper as sk
            >>> task = sk.tasks.sequences(2, units=4, windows=5)
            >>> found = sk.growth.grow(task, seeds=1, steps=2, start=3)
            >>> found.models()[0].weight.shape
            torch.Size([3, 3])
        """
        kept, growing = self._at(step), self._growing
        return [
            compacted(
                growing.model,
                growing.anatomy,
                {name: value[i] for name, value in kept["tensors"].items()},
                kept["alive"][i],
                growing.constraints,
            )
            for i in range(len(self.seeds))
        ]

    def graphs(self, step: int | None = None) -> list[RegionGraph]:
        """The region graph of the task with the sizes that each run found.

        Args:
            step: At that logged step; by default at the end.

        Returns:
            One for each seed.

        Raises:
            GrowthError: If the model is no region network, or that step was not logged.

        Example:
            >>> import shapekeeper as sk
            >>> task = sk.tasks.sequences(2, units=4, windows=5)
            >>> sk.growth.grow(task, seeds=1, steps=2, start=3).graphs()[0].regions
            (Region("memory", 3, input=True, output=True),)
        """
        model, anatomy = self._growing.model, self._growing.anatomy
        if not isinstance(model, RegionNetwork):
            raise GrowthError(
                f"Wanted a task whose model is a RegionNetwork, got a {type(model).__name__}. "
                "models() gives its layers in the sizes that were found."
            )
        return [found_graph(model.graph, anatomy, alive) for alive in self._at(step)["alive"]]

    def ids(self, step: int | None = None) -> list[dict[str, list[int]]]:
        """The names of the nodes of each area, in the order in which `models` has them.

        Args:
            step: At that logged step; by default at the end.

        Returns:
            One dict for each seed, area -> names.

        Example:
            >>> import shapekeeper as sk
            >>> task = sk.tasks.sequences(2, units=4, windows=5)
            >>> sk.growth.grow(task, seeds=1, steps=2, start=3).ids()
            [{'memory': [0, 1, 2]}]
        """
        return self._of_nodes("ids", step)

    def ages(self, step: int | None = None) -> list[dict[str, list[int]]]:
        """How many steps each node has lived, in the order of `ids`.

        Args:
            step: At that logged step; by default at the end.

        Returns:
            One dict for each seed, area -> steps.

        Example:
            >>> import shapekeeper as sk
            >>> task = sk.tasks.sequences(2, units=4, windows=5)
            >>> sk.growth.grow(task, seeds=1, steps=2, start=3).ages()
            [{'memory': [2, 2, 2]}]
        """
        return self._of_nodes("ages", step)

    def _of_nodes(self, what: str, step: int | None) -> list[dict[str, list[int]]]:
        kept, slices = self._at(step), self._growing.anatomy.slices
        return [
            {name: values[span][alive[span]].tolist() for name, span in slices.items()}
            for values, alive in zip(kept[what], kept["alive"], strict=True)
        ]

    def _at(self, step: int | None) -> dict[str, Any]:
        steps = sorted(self._kept)
        if step is None:
            return self._kept[steps[-1]]
        if step not in self._kept:
            near = min(steps, key=lambda known: abs(known - step))
            raise GrowthError(
                f"Wanted a step that was logged, got {step}. The nearest one is {near}."
            )
        return self._kept[step]

    def summary(self) -> pd.DataFrame:
        """Median and quartiles over the seeds at the end of each task.

        Returns:
            One row for each task in turn: its last step, then `nodes`, `metric` and `node_steps`,
            each with `25 %`, `50 %` and `75 %`.

        Example:
            >>> import shapekeeper as sk
            >>> task = sk.tasks.sequences(2, units=4, windows=5)
            >>> sk.growth.grow(task, seeds=3, steps=2).summary()["nodes", "50 %"].to_list()
            [1.0]
        """
        turns = self.frame.groupby("turn", sort=False)
        rows = {}
        for _, turn in turns:
            last = turn.loc[turn["step"] == turn["step"].max()]
            rows[last["task"].iloc[0], int(last["step"].iloc[0])] = {
                (what, f"{share:.0%}".replace("%", " %")): last[what].quantile(share)
                for what in ("nodes", "metric", "node_steps")
                for share in (0.25, 0.5, 0.75)
            }
        found = pd.DataFrame(rows).T
        found.index.names = ["task", "step"]
        return found


def grow(
    task: Task | Sequence[Task],
    rule: GrowthRule = OUTGOING_WEIGHTS,
    *,
    seeds: int | Sequence[int] = 5,
    steps: int | Sequence[int] = 2500,
    start: int | Mapping[str, int] = 1,
    strategy: Strategy | None = None,
    areas: Sequence[Area] | None = None,
    prices: Mapping[str, float] | None = None,
    device: str | torch.device = "auto",
    callback: Callable[[pd.DataFrame], Any] | None = None,
) -> Growth:
    """Train networks that find their own size, all seeds at once.

    The sizes of the task's model are ceilings: each area begins with `start` of its nodes, and more
    are born and deleted by the rule (T. Miconi 2016, Neural networks with differentiable structure,
    arXiv 1606.06216). With several areas each follows the rule, under one tax: draw a region graph,
    and find its sizes. A network of fixed size under the same tax has `rule.fixed()`.

    Args:
        task: What to train; or several, one after the other, for the same network.
        rule: How nodes come and go.
        seeds: How many runs, or their seeds.
        steps: How many steps, of each task where there are several.
        start: Nodes of each area at the start, one number for all or area -> number.
        strategy: How the constraints on weights are held meanwhile: those of the task, and those
            that the region graph of the model draws. By default `Projection()`.
        areas: Where the nodes lie, if the model is neither a region network nor a `Sequential`.
        prices: Area -> factor on its tax.
        device: `"auto"` takes a GPU where there is one.
        callback: Called with the table so far at each logged step; what it returns is ignored.

    Returns:
        Tables of nodes, loss and events, and the networks.

    Raises:
        GrowthError: If something can't be as asked; says what can.

    Example:
        >>> import shapekeeper as sk
        >>> task = sk.tasks.sequences(level=2, units=8, windows=20)
        >>> found = grow(task, seeds=2, steps=10)
        >>> found.frame[["seed", "step", "nodes"]].tail(1).to_string(header=False, index=False)
        '1 10 1'
    """
    tasks = [task] if isinstance(task, Task) else list(task)
    lengths = [steps] * len(tasks) if isinstance(steps, int) else list(steps)
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    _refuse(tasks, lengths, chosen)
    _refuse_another_network(tasks, chosen[0])
    model = tasks[0].start_model(chosen[0])
    places = areas_of(model, prices) if areas is None else priced(areas, prices)
    begin = _starts(places, start)
    growing = Growing(
        tasks[0], rule, chosen, begin, strategy or Projection(), places, device_named(device)
    )
    log = Log(growing)
    ends = np.cumsum(lengths).tolist()
    due = {
        round(step)
        for first, end in zip([0, *ends], ends, strict=False)
        for step in np.linspace(first, end, min(LOGGED, end - first) + 1)
    }
    log.write(0)
    if callback is not None:
        callback(log.frame())
    for turn, (now, end) in enumerate(zip(tasks, ends, strict=True)):
        if turn:
            growing.take_up(now)
        while growing.step < end:
            log.note(growing.take_step())
            if growing.step in due:
                log.write(turn)
                if callback is not None:
                    callback(log.frame())
    events = pd.DataFrame(
        growing.events,
        columns=["seed", "step", "event", "area", "node", "worth", "jump", "age"],
    )
    return Growth(rule, tuple(chosen), log.frame(), events, log.counted(), growing, log.kept)


class Log:
    """What is written down while networks grow.

    Args:
        growing: The runs.
    """

    def __init__(self, growing: Growing) -> None:
        self.growing, self.rows = growing, []
        self.kept: dict[int, dict[str, Any]] = {}
        # Of each step, on the device that trains: no step waits for it.
        self.counts = [self._counted(growing.alive)]
        self.losses, self.steps = torch.zeros_like(growing.alive[:, 0], dtype=torch.float64), 0
        self.node_steps = torch.zeros(growing.runs, dtype=torch.long, device=growing.device)
        self.began = perf_counter()

    def _counted(self, alive: Tensor) -> Tensor:
        spans = self.growing.anatomy.slices.values()
        return torch.stack([alive[:, span].sum(1) for span in spans], dim=1)

    def counted(self) -> np.ndarray:
        """Nodes of each area after each step, `(steps + 1, runs, areas)`."""
        return torch.stack(self.counts).cpu().numpy()

    def note(self, loss: Tensor) -> None:
        """After a step."""
        self.losses += loss
        self.steps += 1
        self.node_steps += self.growing.alive.sum(1)
        self.counts.append(self._counted(self.growing.alive))

    @torch.no_grad()
    def write(self, turn: int) -> None:
        """A row for each run."""
        growing = self.growing
        seen = growing.seen()
        useful = growing.worth(seen) > growing.rule.hysteresis * growing.rule.threshold
        counts, active = self.counts[-1].tolist(), self._counted(useful).tolist()
        weights = growing.effective(seen)
        metric = _judged(growing, weights)
        losses = (self.losses / self.steps).tolist() if self.steps else [np.nan] * growing.runs
        worst = {f"violation:{k}": v for k, v in growing.violations(seen).items()}
        for i, seed in enumerate(growing.seeds):
            row = {
                "seed": seed,
                "step": growing.step,
                "turn": turn,
                "task": growing.task.name,
                "loss": losses[i],
                "metric": metric[i],
                "nodes": sum(counts[i]),
                "useful": sum(active[i]),
                "node_steps": int(self.node_steps[i]),
                "waited": int(growing.waited[i]),
                "seconds": perf_counter() - self.began,
            }
            for k, area in enumerate(growing.anatomy.slices):
                row |= {f"nodes:{area}": counts[i][k], f"useful:{area}": active[i][k]}
            self.rows.append(row | {name: float(v[i]) for name, v in worst.items()})
        self.losses.zero_()
        self.steps = 0
        self.kept[growing.step] = {
            "tensors": {k: v.clone() for k, v in {**weights, **growing.buffers}.items()},
            "alive": growing.alive.clone(),
            "ids": growing.ids.clone(),
            "ages": growing.step - growing.born,
        }

    def frame(self) -> pd.DataFrame:
        """All rows so far."""
        return pd.DataFrame(self.rows)


def _judged(growing: Growing, weights: Named) -> list[float]:
    """The metric of each run on test data; a text is read in order."""
    task, model = growing.task, growing.model
    x, y = growing.batches.data["test"]
    axis = 0 if growing.batches.shared else 1
    tensors = {**weights, **growing.buffers}
    model.eval()
    where = None if growing.batches.shared else 0
    if growing.carries:
        # Example i + batch_size goes on from i, so the text of a stream is one long window.
        x, y = (_streams(part, task.batch_size, axis) for part in (x, y))

    def one(tensors: Named, x: Tensor, y: Tensor) -> Tensor:
        return task.metric(functional_call(model, tensors, (x,)), y)

    found = torch.vmap(one, in_dims=(0, where, where))(tensors, x, y)
    model.train()
    return found.tolist()


def _streams(part: Tensor, streams: int, axis: int) -> Tensor:
    return part.unflatten(axis, (-1, streams)).transpose(axis, axis + 1).flatten(axis + 1, axis + 2)


def _starts(areas: Sequence[Area], start: int | Mapping[str, int]) -> dict[str, int]:
    given = dict(start) if isinstance(start, Mapping) else {area.name: start for area in areas}
    sizes = {area.name: area.size for area in areas}
    wrong = [f"Wanted one of {', '.join(sizes)}, got {name!r}." for name in {*given} - {*sizes}]
    for name, size in sizes.items():
        number = given.setdefault(name, 1)
        if not isinstance(number, int) or not 1 <= number <= size:
            wrong.append(
                f"Wanted 1 to {size} nodes of {name!r} at the start, as many as the model has room "
                f"for, got {number!r}."
            )
    if wrong:
        raise GrowthError(" ".join(wrong))
    return given


def _refuse_another_network(tasks: Sequence[Task], seed: int) -> None:
    """Raise unless all tasks are for one network."""
    kinds = [
        ({k: v.shape for k, v in task.start_model(seed).state_dict().items()}, task.constraints)
        for task in tasks
    ]
    other = [task.name for task, kind in zip(tasks, kinds, strict=True) if kind != kinds[0]]
    if other:
        raise GrowthError(
            f"Wanted tasks for one network, with the tensors and constraints of {tasks[0].name!r}, "
            f"got others in {', '.join(map(repr, other))}."
        )


def _refuse(tasks: Sequence[Task], lengths: Sequence[int], seeds: Sequence[int]) -> None:
    wrong = []
    if not tasks or not all(isinstance(task, Task) for task in tasks):
        wrong.append(f"Wanted a Task or several, got {tasks!r}.")
    if len(lengths) != len(tasks) or any(not isinstance(n, int) or n < 1 for n in lengths):
        wrong.append(f"Wanted a number of steps for each of {len(tasks)} tasks, got {lengths}.")
    whole = all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    if not seeds or not whole or len({*seeds}) < len(seeds):
        wrong.append(f"Wanted different seeds from 0 up, at least one, got {seeds}.")
    if wrong:
        raise GrowthError(" ".join(wrong))
