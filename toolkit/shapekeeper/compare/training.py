"""Training: one strategy on one task, for all seeds of a group as one program."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import Constraint
from shapekeeper.optimizers import ELEMENTWISE, asks_again
from shapekeeper.randomness import seed_of
from shapekeeper.strategies import Stage, Strategy, StrategyError, stage_ends
from shapekeeper.tasks import Data, Task, TaskError, batch_indices

from .program import Named, Program

__all__ = ["Training", "why_not_batched"]

LOGGED = 25  # rows of a run's history, besides the start


class Training:
    """A strategy's runs while they train.

    Args:
        task: What to train.
        strategy: How the constraints are held; one without a sweep.
        seeds: One run for each.
        steps: How many steps to take.
        device: Where to compute.
        batched: All runs as one program; else there must be a single seed.

    Attributes:
        step: Steps taken so far.
        notes: What a reader of the results should know.
    """

    def __init__(
        self,
        task: Task,
        strategy: Strategy,
        seeds: list[int],
        steps: int,
        device: torch.device,
        batched: bool = True,
    ) -> None:
        self.task, self.strategy, self.seeds, self.steps = task, strategy, seeds, steps
        self.device, self.batched = device, batched
        self.step, self.seconds, self.notes = 0, 0.0, []
        self.values: Named = {}
        runs = len(seeds)
        self.alive = torch.ones(runs, dtype=torch.bool, device=device)
        self.peak = torch.zeros(runs, dtype=torch.float64, device=device)
        self.loss_sum, self.loss_steps = torch.zeros_like(self.peak), 0
        self.order: Tensor | None = None

    def train(self) -> Iterator[list[dict[str, Any]]]:
        """Train to the end, handing out one row for each seed at each logged step."""
        logged = set(np.linspace(0, self.steps, min(self.steps, LOGGED) + 1).round().astype(int))
        stages = self.strategy.stages()
        for stage, end in zip(stages, stage_ends(stages, self.steps), strict=True):
            self._enter(stage)
            if self.step == 0:
                yield self._rows()
            while self.step < end:
                started = perf_counter()
                self._take_step()
                self.seconds += perf_counter() - started
                if self.step in logged:
                    yield self._rows()
            self.values = self.tensors()

    @torch.no_grad()
    def tensors(self) -> Named:
        """What the network sees: weights and buffers `(runs, *shape)` by name."""
        return {k: v.detach() for k, v in {**self._weights(), **self.buffers}.items()}

    # -- a stage begins ----------------------------------------------------------------------

    def _enter(self, stage: Stage) -> None:
        self.stage, self.hooks = stage, stage.strategy
        self.peak = torch.zeros_like(self.peak)
        task = replace(self.task, model=stage.model) if stage.model else self.task
        models = [task.start_model(seed) for seed in self.seeds]
        self.program = Program(self.task, models, self.device, self.batched)
        self._refuse_soft_on_blocked()
        fresh = {**self.program.parameters, **self.program.buffers}
        kept = {k for k, v in fresh.items() if k in self.values and self.values[k].shape == v.shape}
        values = {k: self.values[k].clone() if k in kept else v for k, v in fresh.items()}
        self.buffers = {k: values[k] for k in self.program.buffers}
        self.handles: Named = {}
        self.memory: dict[str, Named] = {}
        with torch.no_grad():
            for name in self.program.parameters:
                self._begin(name, values[name], carried=name in kept)
        self._load_data()
        self.slabs: list[Slab] = []
        self.optimizer: torch.optim.Optimizer | None = None

    def _begin(self, name: str, x: Tensor, carried: bool) -> None:
        c = self.program.on_weights.get(name)
        if c is None:
            self.handles[name] = x.clone().requires_grad_()
            return
        if not carried:
            x = self.hooks.starting_point(c, x)
        elif self.hooks.guarantee == "structural":
            x = c.project(x)
        leaf, self.memory[name] = self.hooks.begin(c, x)
        self.handles[name] = leaf.clone().requires_grad_()
        moved = (self.hooks.weights(c, leaf, self.memory[name]) - x).abs().max().item()
        if moved > 1e-5 * (1 + x.abs().max().item()):
            self.notes.append(f"the start of {name!r} was moved inside by up to {moved:.2g}.")

    def _refuse_soft_on_blocked(self) -> None:
        if self.program.layout == "blocked" and self.hooks.guarantee != "structural":
            raise StrategyError(
                f"{self.hooks.label} bends closed weights, but closed weights do not exist here; "
                "compile with layout='dense'."
            )

    def _load_data(self) -> None:
        data = [self.task.data_for(seed) for seed in self.seeds]
        self.shared = all(d is data[0] for d in data)
        parts = data[:1] if self.shared else data
        moved = [d.to(self.device, self.program.dtype) for d in parts]
        self.data = moved[0].parts if self.shared else _stacked(moved)

    # -- one step ----------------------------------------------------------------------------

    def _take_step(self) -> None:
        x, y = self._batch()
        with self._own_randomness():
            seen = self._weights()
            loss, _, passed = self.program.losses(seen, self._frozen(), x, y, self.hooks.output)
            total = loss + self._price(seen, passed)
            leaves = list(self.handles.values())
            grads = torch.autograd.grad(total.sum(), leaves, allow_unused=True)
        with torch.no_grad():
            self._watch(seen, passed)
            self._move(total, dict(zip(self.handles, grads, strict=True)))
            self.loss_sum += loss
        self.loss_steps += 1
        self.step += 1

    def _weights(self) -> Named:
        """What the network sees of each leaf; gradients flow to the handles."""
        return {
            k: self.hooks.weights(self.program.on_weights[k], leaf, self.memory[k])
            if k in self.memory
            else leaf
            for k, leaf in self.handles.items()
        }

    def _price(self, seen: Named, passed: Named) -> Tensor | float:
        """What the strategy adds to the loss of each run."""
        on_weights, on_outputs = self.program.on_weights, self.program.on_outputs
        price = sum(self.hooks.price(c, seen[k], self.memory[k]) for k, c in on_weights.items())
        for name, c in on_outputs.items():
            price = price + self.hooks.output_price(c, passed[name]) / self.task.batch_size
        return price

    def _move(self, total: Tensor, grads: dict[str, Tensor | None]) -> None:
        """The optimizer's step, then what the strategy does to bound tensors."""
        optimizer = self.optimizer or self._arm(grads)
        moving = {name: grad for name, grad in grads.items() if grad is not None}
        for name, grad in moving.items():
            self.gathered[name].copy_(grad)
        for slab in self.slabs:
            slab.tensor.grad = slab.grad if slab.shapes.keys() <= moving.keys() else None
        self._check_finite([total, *(s.tensor.grad for s in self.slabs)])
        before = [slab.tensor.clone() for slab in self.slabs]
        for slab in self.slabs:
            self._prepare(slab, optimizer)
        optimizer.step()
        self._check_finite([slab.tensor for slab in self.slabs])
        for slab, old in zip(self.slabs, before, strict=True):
            # A run that left the finite numbers stays at its last finite value. Asking first
            # whether there is one costs nothing on a CPU; a GPU would have to be waited for.
            if self.device.type != "cpu" or not self.alive.all():
                torch.where(self._rows_of(old), slab.tensor, old, out=slab.tensor)
            self._repair(slab, old, lr=float(optimizer.param_groups[0]["lr"]))

    def _arm(self, grads: dict[str, Tensor | None]) -> torch.optim.Optimizer:
        """Build the optimizer; the handles become views of what it moves."""
        alone = not self.batched
        leaves = {k: h.detach() for k, h in self.handles.items()}
        self.slabs = [Slab.single(k, v, alone) for k, v in leaves.items()]
        optimizer = self.task.optimizer([slab.tensor for slab in self.slabs])
        apart = any(not c.separable for c in self.program.on_weights.values())
        if not (alone or apart) and _treats_all_alike(optimizer, self.slabs):
            # Elementwise optimizers don't mind that all is one tensor, and are much faster on it.
            # A leaf without gradient is left out, since an optimizer skips it.
            self.slabs = [Slab.columns({k: v for k, v in leaves.items() if grads[k] is not None})]
            optimizer = self.task.optimizer([self.slabs[0].tensor])
        self.gathered: Named = {}
        for slab in self.slabs:
            self.gathered |= slab.views(slab.grad)
            views = slab.views(slab.tensor.detach())
            self.handles |= {name: view.requires_grad_() for name, view in views.items()}
        self._refuse_unfit(optimizer)
        self.optimizer = optimizer
        return optimizer

    def _refuse_unfit(self, optimizer: torch.optim.Optimizer) -> None:
        """Raise where the strategy can't hold a weight that this optimizer moves."""
        for name, c in self.program.on_weights.items():
            if problem := self.hooks.unfit(c, optimizer):
                raise StrategyError(f"{self.hooks.label} can't hold {name!r} here: {problem}")

    def _prepare(self, slab: "Slab", optimizer: torch.optim.Optimizer) -> None:
        """What the strategy does before the step to bound tensors of their own."""
        name = next(iter(slab.shapes))
        c = self.program.on_weights.get(name)
        if c is None or slab.joined or slab.tensor.grad is None:
            return
        groups = optimizer.param_groups
        group = next(g for g in groups if any(p is slab.tensor for p in g["params"]))
        self.hooks.before(c, slab.tensor, optimizer, group)

    def _repair(self, slab: "Slab", before: Tensor, lr: float) -> None:
        """Rate and repair of the bound tensors in a slab."""
        for name in slab.shapes:
            rate, c = self._rate(name), self.program.on_weights.get(name)
            if rate == 1.0 and c is None:
                continue
            handle = self.handles[name].detach()
            if rate != 1.0:
                old = slab.views(before)[name]
                handle.copy_(torch.lerp(old, handle, rate))
            if c is not None:
                handle.copy_(self.hooks.repair(c, handle, self.memory[name], lr))

    def _rate(self, name: str) -> float:
        """Factor on the optimizer's step: bound weights, and all of a bound layer."""
        bound = name in self.memory or any(
            name.startswith(f"{layer}.") for layer in self.program.on_outputs
        )
        return self.stage.rate * self.hooks.rate if bound else 1.0

    def _frozen(self) -> Named:
        """Buffers for this step; a frozen layer writes to copies, which are dropped."""
        if self.hooks.rate:
            return self.buffers
        layers = tuple(f"{layer}." for layer in self.program.on_outputs)
        return {k: v.clone() if k.startswith(layers) else v for k, v in self.buffers.items()}

    def _check_finite(self, tensors: list[Tensor | None]) -> None:
        """Runs in which anything is not finite are out from now on; no host synchronization."""
        # One sum per tensor is the cheapest pass in which NaN and infinity survive.
        given = [t for t in tensors if t is not None]
        sums = [t if t.shape == self.alive.shape else self._sum(t) for t in given]
        self.alive &= torch.isfinite(reduce(torch.add, sums))

    def _sum(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(len(self.alive), -1).sum(1)

    def _rows_of(self, tensor: Tensor) -> Tensor:
        """Which runs are alive, in a shape that broadcasts over the tensor."""
        return self.alive.view(-1, *[1] * (tensor.dim() - 1)) if self.batched else self.alive[0]

    def _watch(self, weights: Named, passed: Named) -> None:
        """Keep the worst violation of any step, on the device."""
        on_weights, on_outputs = self.program.on_weights, self.program.on_outputs
        bound = [(c, weights[k]) for k, c in on_weights.items()]
        bound += [(c, passed[k]) for k, c in on_outputs.items()]
        for c, value in bound:
            worst = c.violation(value.detach())
            if worst.dim() > 1:
                worst = worst.flatten(1).amax(1)
            self.peak = torch.maximum(self.peak, worst if c.scale == 1 else worst / c.scale)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets `(runs, batch, ...)` of this step: a function of seed and step."""
        x, y = self.data["train"]
        examples = x.shape[0 if self.shared else 1]
        epoch, k = divmod(self.step, max(1, examples // self.task.batch_size))
        if k == 0 or self.order is None:
            size = self.task.batch_size
            orders = [batch_indices(seed, epoch, examples, size) for seed in self.seeds]
            self.order = torch.stack(orders).to(self.device)
        chosen = self.order[:, k]
        if not self.shared:
            runs = torch.arange(len(chosen), device=self.device)[:, None]
            return x[runs, chosen], y[runs, chosen]
        # index_select copies whole rows; indexing with a matrix is several times slower.
        picked = [t.index_select(0, chosen.flatten()).unflatten(0, chosen.shape) for t in (x, y)]
        return picked[0], picked[1]

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
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

    @torch.no_grad()
    def _rows(self) -> list[dict[str, Any]]:
        """One row for each seed, measured now."""
        weights = self._weights()
        test, raw, passed = self._scores(weights, "test", self.hooks.output)
        columns: dict[str, Any] = {"seed": self.seeds, "step": self.step}
        columns["loss"] = self._training_loss(weights)
        columns["loss:test"], columns["metric"] = test
        for part in [name for name in self.data if name not in ("train", "test")]:
            (_, columns[f"metric:{part}"]), _, _ = self._scores(weights, part, self.hooks.output)
        columns["metric_held"] = self._held(weights, columns["metric"])
        columns |= self._violations(weights, raw, passed)
        alive = self.alive.cpu().numpy()
        for name, column in columns.items():
            if name not in ("seed", "step"):
                columns[name] = np.where(alive, _numbers(column), np.nan)
        columns |= {"diverged": ~alive, "evaluations": self.step, "seconds": self.seconds}
        return [
            {k: _plain(v if np.ndim(v) == 0 else v[i]) for k, v in columns.items()}
            for i in range(len(self.seeds))
        ]

    def _training_loss(self, weights: Named) -> Tensor:
        """Mean loss on training batches since the last row, without the strategy's price."""
        if self.loss_steps == 0:
            x, y = self._batch()
            buffers = {k: v.clone() for k, v in self.buffers.items()}
            with self._own_randomness():
                return self.program.losses(weights, buffers, x, y, self.hooks.output)[0]
        mean = self.loss_sum / self.loss_steps
        self.loss_sum, self.loss_steps = torch.zeros_like(self.loss_sum), 0
        return mean

    def _scores(
        self, weights: Named, part: str, treat: Any
    ) -> tuple[tuple[list[float], list[float]], Named, Named]:
        """Loss and metric of each run on a part of the data, and the values of bound layers."""
        x, y = self.data[part]
        prediction, raw, passed = self.program.predict(weights, self.buffers, x, self.shared, treat)
        pairs = [(p, y if self.shared else y[i]) for i, p in enumerate(prediction)]
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
            violation = c.violation(values[name]).reshape(len(self.seeds), -1)
            columns[f"violation:{name}"] = violation.amax(1)
            scaled.append(violation.amax(1) / c.scale)
            allowed.append(c.allows(values[name]).reshape(len(self.seeds), -1).float())
            if name in raw:
                worst = c.violation(raw[name]).reshape(len(self.seeds), -1).amax(1)
                columns[f"violation_raw:{name}"] = worst
        nothing = torch.zeros(len(self.seeds))
        one = len(scaled) == 1
        worst = torch.stack(scaled).amax(0) if scaled else nothing
        columns["violation"] = next(iter(columns.values())) if one else worst
        columns["violation_peak"] = torch.maximum(self.peak, worst.to(self.peak))
        columns["allowed"] = torch.cat(allowed, 1).mean(1) if allowed else nothing + 1
        return columns


@dataclass(frozen=True)
class Slab:
    """What an optimizer moves: one leaf, or many as the columns of one tensor.

    Attributes:
        shapes: Shape `(runs, *shape)` of each leaf, in the order of their columns.
        tensor: The numbers: `(runs, columns)`, or a single leaf in its own shape.
        grad: Where gradients are gathered, of the same form.
        joined: Whether the leaves are columns.
    """

    shapes: dict[str, tuple[int, ...]]
    tensor: Tensor
    grad: Tensor
    joined: bool

    @classmethod
    def single(cls, name: str, leaf: Tensor, alone: bool) -> "Slab":
        """One leaf, without the runs axis where it is alone."""
        tensor = leaf[0] if alone else leaf
        return cls({name: tuple(leaf.shape)}, tensor, torch.zeros_like(tensor), False)

    @classmethod
    def columns(cls, leaves: Named) -> "Slab":
        """All leaves side by side, `(runs, columns)`."""
        tensor = torch.cat([leaf.flatten(1) for leaf in leaves.values()], 1)
        shapes = {name: tuple(leaf.shape) for name, leaf in leaves.items()}
        return cls(shapes, tensor, torch.zeros_like(tensor), True)

    def views(self, tensor: Tensor) -> Named:
        """Each leaf `(runs, *shape)` as a view of a tensor of the slab's form."""
        if not self.joined:
            return {name: tensor.view(shape) for name, shape in self.shapes.items()}
        columns = tensor.split([prod(shape[1:]) for shape in self.shapes.values()], 1)
        return {
            name: column.unflatten(1, shape[1:])
            for column, (name, shape) in zip(columns, self.shapes.items(), strict=True)
        }


def _treats_all_alike(optimizer: torch.optim.Optimizer, slabs: list[Slab]) -> bool:
    """Whether an optimizer acts on each number by itself, and on all with the same settings."""
    groups = [group["params"] for group in optimizer.param_groups]
    given = [slab.tensor for slab in slabs]
    one = len(groups) == 1 and len(groups[0]) == len(given)
    return type(optimizer) in ELEMENTWISE and one and all(map(_same, groups[0], given))


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b


def why_not_batched(task: Task, strategy: Strategy, seeds: list[int], device: torch.device) -> str:
    """Why the runs of a strategy can't be one program, or nothing if they can.

    Raises:
        TaskError: If a single run can't take a step either, or the optimizer needs a closure.
    """
    for stage in strategy.stages():
        staged = replace(task, model=stage.model) if stage.model else task
        tried = Stage(1.0, stage.strategy)
        if reason := _why_not_optimizer(staged) or _why_not_model(staged, tried, seeds, device):
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


def _why_not_model(task: Task, stage: Stage, seeds: list[int], device: torch.device) -> str:
    """Try one step as one program, then alone."""

    def attempt(tried: list[int], batched: bool) -> Exception | None:
        training = Training(task, stage.strategy, tried, 1, device, batched)
        try:
            training._enter(stage)
            training._take_step()
            training._rows()
        except (StrategyError, TaskError):
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


def _project(c: Constraint, value: Tensor) -> Tensor:
    return c.project(value)


def _stacked(data: list[Data]) -> dict[str, tuple[Tensor, Tensor]]:
    """Parts of all runs' data with a runs axis; every part must have one size."""
    parts = [d.parts for d in data]
    return {
        name: (
            torch.stack([p[name][0] for p in parts]),
            torch.stack([p[name][1] for p in parts]),
        )
        for name in parts[0]
    }


def _numbers(column: Any) -> np.ndarray:
    column = column.detach().cpu() if isinstance(column, Tensor) else column
    return np.asarray(column, dtype=np.float64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
