"""Training: the runs of a strategy as the rows of stacked tensors, one step at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import Constraint
from shapekeeper.constraints.words.scores import unchecked
from shapekeeper.optimizers import fuse
from shapekeeper.randomness import Noise, seed_of
from shapekeeper.strategies import (
    Projection,
    RejectionEvolution,
    Strategy,
    StrategyError,
    stage_ends,
)
from shapekeeper.tasks import Task

from .batches import Batches
from .candidates import Judged, Panel
from .evolution import Evolution
from .program import Named, Program
from .slabs import Slab, treats_all_alike

__all__ = ["Shelf", "Training", "take_step"]

LOGGED = 25  # rows of a run's history, besides the start

# Batches of a group of seeds, which all strategies that train on them share.
Shelf = dict[tuple[tuple[int, ...], torch.dtype], Batches]


class Training:
    """The runs of one strategy, or of a sweep, while they train: a part of a comparison.

    Its rows are runs: all seeds of the first strategy, then all of the next. Optimizer, memory and
    stages are its own, so that it never matters who else takes a step at the same time.

    Args:
        task: What to train.
        strategies: Label -> strategy without a sweep; several must be `joinable`.
        seeds: One run of each strategy for each.
        steps: How many steps to take.
        device: Where to compute.
        batched: All runs as one program; else there must be a single run.
        shelf: Batches that others have made already.

    Attributes:
        step: Steps taken so far.
        seconds: Time spent on them; its share of what was computed in company.
        history: Rows of the table so far.
        notes: What a reader of the results should know.
        extra: Forward passes of each run beyond one a step.
        tallies: What `tally` gave at the end of each stage.
        evolution: What evolves the runs, in a stage that does.
    """

    def __init__(
        self,
        task: Task,
        strategies: Mapping[str, Strategy],
        seeds: list[int],
        steps: int,
        device: torch.device,
        batched: bool = True,
        shelf: Shelf | None = None,
    ) -> None:
        self.task, self.strategies = task, dict(strategies)
        self.seeds, self.steps, self.device, self.batched = seeds, steps, device, batched
        self.shelf: Shelf = {} if shelf is None else shelf
        self.history: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.step, self.seconds = 0, 0.0
        self.stages = [s.stages() for s in self.strategies.values()]
        self.ends = stage_ends(self.stages[0], steps)
        self.logged = set(np.linspace(0, steps, min(steps, LOGGED) + 1).round().astype(int))
        self.index = -1  # of the stage
        self.noise = Noise(seeds)
        self.memory: dict[str, Named] = {}
        self.output_memory: dict[str, Named] = {}
        self.values: Named = {}
        self.runs = len(self.strategies) * len(seeds)
        self.alive = torch.ones(self.runs, dtype=torch.bool, device=device)
        self.peak = torch.zeros(self.runs, dtype=torch.float64, device=device)
        self.loss_sum, self.loss_steps = torch.zeros_like(self.peak), 0
        self.extra = [0] * self.runs
        self.tallies: list[dict[str, Any]] = []
        self.evolution: Evolution | None = None

    @property
    def finished(self) -> bool:
        """Whether all steps are taken and measured."""
        return self.step == self.steps and bool(self.history)

    @property
    def companions(self) -> Any:
        """Parts for which this is equal can share a forward and a backward pass."""
        if not self.batched or self.program.on_outputs or self.hooks.evolves:
            return id(self)
        return id(self.batches), self.stage.model, self.step

    def turn(self) -> None:
        """Enter the stage to which the next step belongs."""
        due = next((i for i, end in enumerate(self.ends) if self.step < end), len(self.ends) - 1)
        if due != self.index:
            self.values = self.tensors() if self.index >= 0 else {}
            self.enter(due)

    def log(self) -> list[dict[str, Any]]:
        """One row for each run where the table has one for this step and has none yet."""
        last = self.history[-1]["step"] if self.history else -1
        if self.step not in self.logged or self.step == last:
            return []
        rows = self.rows()
        self.history += rows
        return rows

    @torch.no_grad()
    def tensors(self) -> Named:
        """What the network sees: weights and buffers `(runs, *shape)` by name."""
        return {k: v.detach() for k, v in {**self.weights(), **self.buffers}.items()}

    # -- a stage begins ----------------------------------------------------------------------

    def enter(self, index: int) -> None:
        """Begin a stage: values pass by name and shape, everything else starts anew."""
        self.tallies += self.tally()  # of the stage before
        self.index, self.stage = index, self.stages[0][index]
        self.hooks = self.stage.strategy
        self.peak = torch.zeros_like(self.peak)
        model = self.stage.model
        task = replace(self.task, model=model) if model else self.task
        models = [task.start_model(seed) for seed in self.seeds]
        self.program = Program(self.task, models, self.device, self.batched)
        self._refuse_soft_on_blocked()
        self._refuse_steps_of_layers()
        self.batches = self._shared_batches()
        fresh = self._for_each_strategy({**self.program.parameters, **self.program.buffers})
        kept = {k for k, v in fresh.items() if k in self.values and self.values[k].shape == v.shape}
        values = {k: self.values[k].clone() if k in kept else v for k, v in fresh.items()}
        self.buffers = {k: values[k] for k in self.program.buffers}
        self.handles: Named = {}
        self.memory = {}
        self.output_memory = {name: {} for name in self.program.on_outputs}
        with torch.no_grad():
            for name in self.program.parameters:
                self._begin(name, values[name], carried=name in kept)
        self.bound = self._bound()
        self.slabs: list[Slab] = []
        self.optimizer: torch.optim.Optimizer | None = None
        self.evolution = self._evolution()

    def _evolution(self) -> Evolution | None:
        """Searches around what the runs are, in a stage that evolves."""
        if not isinstance(self.hooks, RejectionEvolution):
            return None
        self.panel = Panel(self.hooks, self.program, self.handles, self.memory)
        self.notes.append(
            f"{type(self.hooks).__name__}: evaluations counts forward passes of candidates, others "
            "forward-backward passes; the optimizer of the task is not used."
        )
        seeds = [*self.seeds] * len(self.strategies)
        purpose = f"evolution/{self.index}"
        through = isinstance(self.hooks.inside, Projection) and self.program.on_weights
        project = self.panel.project if through else None
        return Evolution(self.hooks, seeds, purpose, self.panel.flat(self.handles), project)

    def _for_each_strategy(self, named: Named) -> Named:
        """Tensors of all seeds, once for each strategy."""
        times = len(self.strategies)
        if times == 1:
            return named
        return {k: v.repeat(times, *[1] * (v.dim() - 1)) for k, v in named.items()}

    def _begin(self, name: str, x: Tensor, carried: bool) -> None:
        c = self.program.on_weights.get(name)
        if c is None and not self.hooks.advances:
            self.handles[name] = x.clone().requires_grad_()
            return
        parts = x.chunk(len(self.strategies))
        pairs = [self._begun(i, c, part, carried, name) for i, part in enumerate(parts)]
        leaves, memories = zip(*pairs, strict=True)
        memory = {k: torch.cat([m[k] for m in memories]) for k in memories[0]}
        self.memory[name] = self._settings(x) | memory
        self.handles[name] = torch.cat(leaves).requires_grad_()

    def _settings(self, x: Tensor) -> Named:
        """Numbers in which the strategies of a sweep differ, one for each run."""
        if len(self.strategies) == 1:
            return {}
        hooks = [stages[self.index].strategy for stages in self.stages]
        columns = {name: [getattr(h, name) for h in hooks] for name in self.hooks.rowwise}
        return {
            name: torch.as_tensor(column, dtype=x.dtype, device=x.device).repeat_interleave(
                len(self.seeds)
            )
            for name, column in columns.items()
        }

    def _begun(
        self, i: int, c: Constraint | None, x: Tensor, carried: bool, name: str
    ) -> tuple[Tensor, Named]:
        """Leaf and memory of one strategy's runs."""
        hooks = self.stages[i][self.index].strategy
        if c is None:
            leaf, memory = hooks.begin(None, x)  # type: ignore[arg-type]  # it takes all tensors
            return leaf.clone(), memory
        if not carried:
            x = hooks.starting_point(c, x)
        elif hooks.guarantee == "structural":
            x = c.project(x)
        leaf, memory = hooks.begin(c, x)
        moved = (hooks.weights(c, leaf, memory) - x).abs().max().item()
        if moved > 1e-5 * (1 + x.abs().max().item()):
            label = list(self.strategies)[i]
            self.notes.append(
                f"{label}: the start of {name!r} was moved inside by up to {moved:.2g}."
            )
        return leaf.clone(), memory

    def _refuse_soft_on_blocked(self) -> None:
        if self.program.layout == "blocked" and self.hooks.guarantee != "structural":
            raise StrategyError(
                f"{self.hooks.label} bends closed weights, but closed weights do not exist here; "
                "compile with layout='dense'."
            )

    def _refuse_steps_of_layers(self) -> None:
        if not self.hooks.advances:
            return
        if self.program.on_outputs:
            graded = all(c.graded for c in self.program.on_outputs.values())
            raise StrategyError(
                f"{self.hooks.label} moves weights, and {[*self.program.on_outputs]} are layers, "
                "whose values nothing moves. Unconstrained, Penalty, "
                f"{'AugmentedLagrangian, ' if graded else ''}Freeze, Staged, Projection, "
                "Reparametrization and RejectionEvolution hold them."
            )
        self.notes.append(
            f"{type(self.hooks).__name__} takes its own steps, of all tensors; the optimizer of "
            "the task is not used."
        )

    def _shared_batches(self) -> Batches:
        dtype = self.program.dtype
        key = tuple(self.seeds), dtype
        if key not in self.shelf:
            self.shelf[key] = Batches(self.task, self.seeds, self.device, dtype)
        return self.shelf[key]

    # -- one step ----------------------------------------------------------------------------

    def weights(self) -> Named:
        """What the network sees of each leaf; gradients flow to the handles."""
        return {
            k: self.hooks.weights(self.program.on_weights[k], leaf, self.memory[k])
            if k in self.program.on_weights
            else leaf
            for k, leaf in self.handles.items()
        }

    def price(self, seen: Named, passed: Named) -> Tensor | float:
        """What the strategy adds to the loss of each run."""
        on_weights, on_outputs = self.program.on_weights, self.program.on_outputs
        price = sum(self.hooks.price(c, seen[k], self.memory[k]) for k, c in on_weights.items())
        for name, c in on_outputs.items():
            memory = self.output_memory[name]
            asked = self.hooks.output_price(c, passed[name], memory)
            price = price + asked / self.task.batch_size
        return price

    @torch.no_grad()
    def move(self, loss: Tensor, total: Tensor, grads: dict[str, Tensor | None]) -> None:
        """One step, of an optimizer or of the strategy's own."""
        moving = {name: grad for name, grad in grads.items() if grad is not None}
        if self.hooks.advances:
            self._advance(total, moving)
        else:
            self._optimize(total, moving)
        self.loss_sum += loss
        self.loss_steps += 1
        self.step += 1

    def _advance(self, total: Tensor, grads: Named) -> None:
        """The strategy's own step of all tensors."""
        leaves = {name: self.handles[name].detach() for name in grads}
        before = {name: leaf.clone() for name, leaf in leaves.items()}
        for name, leaf in leaves.items():
            c, noise = self.program.on_weights.get(name), self._noise_for(name, leaf)
            self.hooks.advance(c, leaf, grads[name], self.memory[name], noise)
        self._check_finite(total, [*grads.values(), *leaves.values()])
        if self.device.type != "cpu" or not self.alive.all():
            for name, leaf in leaves.items():
                torch.where(self._stacked_rows_of(leaf), leaf, before[name], out=leaf)

    def _noise_for(self, name: str, leaf: Tensor) -> Tensor | None:
        """The same for all strategies of a sweep; none where all are cold."""
        if not any(stages[self.index].strategy.noisy for stages in self.stages):
            return None
        drawn = self.noise.at(self.step, name, leaf[: len(self.seeds)])
        return self._for_each_strategy({name: drawn})[name]

    def _optimize(self, total: Tensor, moving: Named) -> None:
        """The optimizer's step, then what the strategy does to bound tensors."""
        optimizer = self.optimizer or self.arm([*moving])
        for slab in self.slabs:
            slab.take(moving)
        before = [slab.tensor.clone() for slab in self.slabs]
        for slab in self.slabs:
            self._prepare(slab, optimizer)
        optimizer.step()
        self._check_finite(total, self._touched())
        for slab, old in zip(self.slabs, before, strict=True):
            # A run that left the finite numbers stays at its last finite value. Asking first
            # whether there is one costs nothing on a CPU; a GPU would have to be waited for.
            if self.device.type != "cpu" or not self.alive.all():
                torch.where(self._rows_of(old), slab.tensor, old, out=slab.tensor)
            self._repair(slab, old, lr=float(optimizer.param_groups[0]["lr"]))

    @torch.no_grad()
    def evolve(self) -> None:
        """One step of an evolution: its share of the forward passes, on the batch of the step."""
        assert self.evolution is not None
        assert isinstance(self.hooks, RejectionEvolution)
        evolution, batch = self.evolution, self.batch()
        begin = self.ends[self.index - 1] if self.index else 0
        share = (self.step + 1 - begin) / (self.ends[self.index] - begin)
        before = list(evolution.spent)

        def judge(runs: list[int], points: np.ndarray) -> Judged:
            with self.own_randomness():
                return self.panel.judge(runs, points, self.buffers, batch)

        def show(run: int, x: np.ndarray, judged: Judged, row: int) -> None:
            for name, leaf in self.panel.leaves(x[None]).items():
                self.handles[name][run] = leaf[0]
            for name, buffer in self.buffers.items():
                buffer[run] = judged.buffers[name][row]

        living = self.alive.nonzero().flatten().tolist()
        due = round(share * self.hooks.evaluations)
        if evolution.go_on(due, living, judge, show):
            self.loss_sum += torch.from_numpy(evolution.loss).to(self.loss_sum)
            self.loss_steps += 1
            self.peak = torch.maximum(self.peak, torch.from_numpy(evolution.worst).to(self.peak))
        spent = zip(self.extra, evolution.spent, before, strict=True)
        self.extra = [extra + now - then - 1 for extra, now, then in spent]
        self.step += 1

    def learn(self, passed: Named) -> None:
        """What the strategy takes from the values of bound layers, after the step."""
        for name, c in self.program.on_outputs.items():
            self.hooks.output_after(c, passed[name].detach(), self.output_memory[name])

    def arm(self, moving: list[str]) -> torch.optim.Optimizer:
        """Build the optimizer; the handles become views of what it moves."""
        alone = not self.batched
        leaves = {k: h.detach() for k, h in self.handles.items()}
        self.slabs = [Slab.single(k, v, alone) for k, v in leaves.items()]
        optimizer = self.task.optimizer([slab.tensor for slab in self.slabs])
        apart = any(not c.separable for c in self.program.on_weights.values())
        if not (alone or apart) and treats_all_alike(optimizer, self.slabs):
            # Elementwise optimizers don't mind that all is one tensor, and are much faster on it.
            # A leaf without gradient is left out, since an optimizer skips it.
            self.slabs = [Slab.columns({k: leaves[k] for k in leaves if k in moving})]
            optimizer = self.task.optimizer([self.slabs[0].tensor])
        if self.batched:
            fuse(optimizer)
        for slab in self.slabs:
            views = slab.views(slab.tensor.detach())
            self.handles |= {name: view.requires_grad_() for name, view in views.items()}
        self._refuse_unfit(optimizer)
        self.moving, self.optimizer = moving, optimizer
        return optimizer

    def _refuse_unfit(self, optimizer: torch.optim.Optimizer) -> None:
        """Raise where the strategy can't hold a weight that this optimizer moves."""
        for name, c in self.program.on_weights.items():
            if problem := self.hooks.unfit(c, optimizer):
                raise StrategyError(f"{self.hooks.label} can't hold {name!r} here: {problem}")

    def _prepare(self, slab: Slab, optimizer: torch.optim.Optimizer) -> None:
        """What the strategy does before the step to bound tensors of their own."""
        name = next(iter(slab.shapes))
        c = self.program.on_weights.get(name)
        if c is None or slab.joined or slab.tensor.grad is None:
            return
        groups = optimizer.param_groups
        group = next(g for g in groups if any(p is slab.tensor for p in g["params"]))
        self.hooks.before(c, slab.tensor, optimizer, group)

    def _repair(self, slab: Slab, before: Tensor, lr: float) -> None:
        """Rate and repair of the bound tensors in a slab."""
        for name, (rate, c) in self.bound.items():
            if name not in slab.shapes:
                continue
            handle = self.handles[name].detach()
            if rate != 1.0:
                old = slab.views(before)[name]
                handle.copy_(torch.lerp(old, handle, rate))
            if c is not None:
                repaired = self.hooks.repair(c, handle, self.memory[name], lr)
                if repaired is not handle:
                    handle.copy_(repaired)

    def _bound(self) -> dict[str, tuple[float, Constraint | None]]:
        """Factor on the optimizer's step, and constraint: of bound weights, and of bound layers."""
        on_weights, rate = self.program.on_weights, self.stage.rate * self.hooks.rate
        layers = tuple(f"{layer}." for layer in self.program.on_outputs)
        names = [k for k in self.program.parameters if k in on_weights or k.startswith(layers)]
        return {name: (rate, on_weights.get(name)) for name in names}

    def step_buffers(self) -> Named:
        """Buffers for this step; a frozen layer writes to copies, which are dropped."""
        if self.hooks.rate * self.stage.rate:
            return self.buffers
        layers = tuple(f"{layer}." for layer in self.program.on_outputs)
        return {k: v.clone() if k.startswith(layers) else v for k, v in self.buffers.items()}

    def _touched(self) -> list[Tensor]:
        """What the optimizer has read and written."""
        pairs = [(slab.tensor, slab.tensor.grad) for slab in self.slabs]
        return [t for pair in pairs for t in pair if t is not None]

    def _check_finite(self, total: Tensor, seen: list[Tensor]) -> None:
        """Runs in which anything is not finite are out from now on; no host synchronization."""
        # One sum per tensor is the cheapest pass in which NaN and infinity survive.
        sums = [tensor.reshape(len(self.alive), -1).sum(1) for tensor in seen]
        self.alive &= torch.isfinite(reduce(torch.add, sums, total))

    def _rows_of(self, tensor: Tensor) -> Tensor:
        """Which runs are alive, in a shape that broadcasts over the tensor."""
        return self._stacked_rows_of(tensor) if self.batched else self.alive[0]

    def _stacked_rows_of(self, tensor: Tensor) -> Tensor:
        """The same where the tensor has a runs axis also if there is one run alone."""
        return self.alive.view(-1, *[1] * (tensor.dim() - 1))

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """A layer that draws (dropout) draws the same numbers whatever else is trained."""
        if self.batched:
            yield  # vmap refuses layers that draw
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            # torch.manual_seed also asks after absent devices, for a third of a small step.
            seed = seed_of(self.seeds[0], "noise/model", self.step)
            torch.default_generator.manual_seed(seed)
            if self.device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield

    # -- measuring ---------------------------------------------------------------------------

    @unchecked()
    @torch.no_grad()
    def rows(self) -> list[dict[str, Any]]:
        """One row for each run, measured now."""
        weights = self.weights()
        test, raw, passed = self._scores(weights, "test", self.hooks.output)
        columns: dict[str, Any] = {"loss": self._training_loss(weights)}
        columns["loss:test"], columns["metric"] = test
        for part in [name for name in self.batches.data if name not in ("train", "test")]:
            (_, columns[f"metric:{part}"]), _, _ = self._scores(weights, part, self.hooks.output)
        columns["metric_held"] = self._held(weights, columns["metric"])
        columns |= self._violations(weights, raw, passed)
        alive = self.alive.cpu().numpy()
        columns = {name: np.where(alive, _numbers(c), np.nan) for name, c in columns.items()}
        passes = [self.step + extra for extra in self.extra]
        columns |= {"diverged": ~alive, "evaluations": np.array(passes)}
        # In company, what the rows cost can't be told apart.
        columns["seconds"] = self.seconds / len(self.strategies)
        runs = [(label, seed) for label in self.strategies for seed in self.seeds]
        return [
            {"strategy": label, "seed": seed, "step": self.step}
            | {k: _plain(v if np.ndim(v) == 0 else v[i]) for k, v in columns.items()}
            for i, (label, seed) in enumerate(runs)
        ]

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets `(runs, batch, ...)` of this step."""
        return self.repeated(self.batches.at(self.step))

    def repeated(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What all seeds see, once for each strategy."""
        x, y = self._for_each_strategy(dict(enumerate(pair))).values()  # type: ignore[arg-type]
        return x, y

    def _training_loss(self, weights: Named) -> Tensor:
        """Mean loss on training batches since the last row, without the strategy's price."""
        if self.loss_steps == 0:
            x, y = self.batch()
            buffers = {k: v.clone() for k, v in self.buffers.items()}
            with self.own_randomness():
                return self.program.losses(weights, buffers, x, y, self.hooks.output)[0]
        mean = self.loss_sum / self.loss_steps
        self.loss_sum, self.loss_steps = torch.zeros_like(self.loss_sum), 0
        return mean

    def _scores(
        self, weights: Named, part: str, treat: Any
    ) -> tuple[tuple[list[float], list[float]], Named, Named]:
        """Loss and metric of each run on a part of the data, and the values of bound layers."""
        shared, (x, y) = self.batches.shared, self.batches.data[part]
        if not shared:
            x, y = self.repeated((x, y))
        prediction, raw, passed = self.program.predict(weights, self.buffers, x, shared, treat)
        pairs = [(p, y if shared else y[i]) for i, p in enumerate(prediction)]
        scores = (self.task.loss, self.task.metric)
        loss, metric = ([float(score(p, t)) for p, t in pairs] for score in scores)
        return (loss, metric), raw, passed

    def _held(self, weights: Named, metric: list[float]) -> list[float]:
        """The metric after every constraint has been enforced exactly, without retraining."""
        on_weights, on_outputs = self.program.on_weights, self.program.on_outputs
        held_weights = self.hooks.guarantee == "structural" or not on_weights
        held_outputs = self.hooks.output_guarantee == "structural" or not on_outputs
        if held_weights and held_outputs:
            return metric
        cut = {k: on_weights[k].project(v) if k in on_weights else v for k, v in weights.items()}
        treat = self.hooks.output if held_outputs else _project
        return self._scores(cut, "test", treat)[0][1]

    def _violations(self, weights: Named, raw: Named, passed: Named) -> dict[str, Tensor]:
        """Worst violation by name, share of allowed events, and the worst of all."""
        columns: dict[str, Tensor] = {}
        scaled, allowed = [], []
        values = {k: weights[k] for k in self.program.on_weights} | passed
        for name, c in {**self.program.on_weights, **self.program.on_outputs}.items():
            violation = c.violation(values[name]).reshape(self.runs, -1)
            columns[f"violation:{name}"] = violation.amax(1)
            scaled.append(violation.amax(1) / c.scale)
            allowed.append(c.allows(values[name]).reshape(self.runs, -1).float())
            if name in raw:
                worst = c.violation(raw[name]).reshape(self.runs, -1).amax(1)
                columns[f"violation_raw:{name}"] = worst
        nothing = torch.zeros(self.runs)
        one = len(scaled) == 1
        worst = torch.stack(scaled).amax(0) if scaled else nothing
        columns["violation"] = next(iter(columns.values())) if one else worst
        columns["violation_peak"] = torch.maximum(self.peak, worst.to(self.peak))
        columns["allowed"] = torch.cat(allowed, 1).mean(1) if allowed else nothing + 1
        return columns

    def warnings(self) -> list[str]:
        """What has gone wrong in the memory of the strategies, one sentence for each of them."""
        memories = self.memory | self.output_memory
        found = [(name, self.hooks.runaway(memory)) for name, memory in memories.items() if memory]
        sentences = []
        for name, runs in found:
            lost = [] if runs is None else runs.view(-1, len(self.seeds)).sum(1).tolist()
            sentences += [
                f"{label}, {name!r}, {count} of {len(self.seeds)} seeds: {self.hooks.runaway_words}"
                for label, count in zip(self.strategies, lost, strict=False)
                if count
            ]
        return sentences

    def tally(self) -> list[dict[str, Any]]:
        """How many candidates of each strategy's seeds were drawn and obeyed in this stage."""
        if self.evolution is None:
            return []
        counts = {"drawn": self.evolution.drawn, "obeyed": self.evolution.obeyed}
        each = len(self.seeds)
        return [
            {"label": label, "stage": self.index}
            | {name: found[i * each : (i + 1) * each] for name, found in counts.items()}
            for i, label in enumerate(self.strategies)
        ]


@unchecked()
def take_step(parts: list[Training]) -> None:
    """One step of parts whose `companions` are equal, by one forward and one backward pass.

    Args:
        parts: Each in the stage to which the step belongs.
    """
    first, started = parts[0], perf_counter()
    if first.hooks.evolves:
        first.evolve()
        first.seconds += perf_counter() - started
        return
    sizes = [part.runs for part in parts]
    with first.own_randomness():
        seen = [part.weights() for part in parts]
        given = [part.step_buffers() for part in parts]
        buffers = _joined(given)
        weights, (x, y) = _joined(seen), _joined_batches(parts)
        loss, _, passed = first.program.losses(weights, buffers, x, y, first.hooks.output)
        losses = loss.split(sizes)
        pairs = zip(parts, losses, seen, strict=True)
        totals = [own + part.price(rows, passed) for part, own, rows in pairs]
        leaves = [leaf for part in parts for leaf in part.handles.values()]
        grads = iter(torch.autograd.grad([t.sum() for t in totals], leaves, allow_unused=True))
    _write_back(given, buffers, sizes)
    peaks = _worst(first.program, weights, passed).split(sizes)
    shared = (perf_counter() - started) / sum(sizes)
    rows = zip(parts, losses, totals, peaks, strict=True)
    for part, own, total, worst in rows:
        started = perf_counter()
        part.peak = torch.maximum(part.peak, worst)
        part.move(own.detach(), total.detach(), {name: next(grads) for name in part.handles})
        part.learn(passed)
        part.seconds += shared * part.runs + perf_counter() - started


@torch.no_grad()
def _worst(program: Program, weights: Named, passed: Named) -> Tensor:
    """The worst violation of each run now, in units of the constraints' scales."""
    bound = [(c, weights[k]) for k, c in program.on_weights.items()]
    bound += [(c, passed[k]) for k, c in program.on_outputs.items()]
    any_tensor = next(iter(weights.values()))
    worst = any_tensor.new_zeros(len(any_tensor))
    for c, value in bound:
        violation = c.violation(value.detach()).reshape(len(worst), -1).amax(1)
        worst = torch.maximum(worst, violation if c.scale == 1 else violation / c.scale)
    return worst


def _joined(named: list[Named]) -> Named:
    """The rows of all parts under each other."""
    if len(named) == 1:
        return named[0]
    return {k: torch.cat([tensors[k] for tensors in named]) for k in named[0]}


def _joined_batches(parts: list[Training]) -> tuple[Tensor, Tensor]:
    """All are at the same step of the same batches."""
    pair = parts[0].batches.at(parts[0].step)
    times = sum(len(part.strategies) for part in parts)
    x, y = (t.repeat(times, *[1] * (t.dim() - 1)) if times > 1 else t for t in pair)
    return x, y


def _write_back(given: list[Named], buffers: Named, sizes: list[int]) -> None:
    """What layers have written to their buffers, such as the running mean of a batch norm."""
    if len(given) == 1:
        return
    for name, tensor in buffers.items():
        for own, rows in zip(given, tensor.split(sizes), strict=True):
            own[name].copy_(rows)


def _project(c: Constraint, value: Tensor) -> Tensor:
    return c.project(value)


def _numbers(column: Any) -> np.ndarray:
    column = column.detach().cpu() if isinstance(column, Tensor) else column
    return np.asarray(column, dtype=np.float64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
