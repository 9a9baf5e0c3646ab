"""Networks that grow: the runs as rows of padded tensors, one step and one edit at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from shapekeeper.compare.batches import Batches
from shapekeeper.compare.program import stacked
from shapekeeper.networks import RegionNetwork
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Task

from .anatomy import MULTIPLIERS, Anatomy, Named
from .areas import Area
from .edits import Chances, edit
from .held import bound_tensors, cut, mixes_nodes, open_entries, part, unfit
from .rule import GrowthError, GrowthRule

__all__ = ["Growing"]


class Growing:
    """The runs of one rule while they train.

    Every tensor has room for all nodes an area may have. Nodes that do not live have zeros for all
    that comes in and goes out, so they change nothing: gradients, steps and the optimizer's memory
    are cut to those that live, and no shape ever changes.

    Args:
        task: What to train on first.
        rule: How nodes come and go.
        seeds: One run for each.
        start: Nodes of each area at the start.
        strategy: How the constraints on weights are held.
        areas: Where the nodes lie.
        device: Where to compute.

    Attributes:
        step: Steps taken so far.
        leaves: What the optimizer moves, `(runs, *shape)` by name.
        alive: Which nodes live, `(runs, nodes)`.
        ids: The name of each living node, counted from 0 in each run, `(runs, nodes)`.
        born: The step at which it was born, `(runs, nodes)`.
        events: Births and deaths so far.
        waited: Births and deaths of each run that had to wait.
    """

    def __init__(
        self,
        task: Task,
        rule: GrowthRule,
        seeds: Sequence[int],
        start: Mapping[str, int],
        strategy: Strategy,
        areas: Sequence[Area],
        device: torch.device,
    ) -> None:
        self.rule, self.seeds, self.hooks, self.device = rule, list(seeds), strategy, device
        models = [task.start_model(seed) for seed in seeds]
        self.model: nn.Module = models[0].to(device)
        tensors = stacked(models, device)
        trainable = {name for name, p in self.model.named_parameters() if p.requires_grad}
        shapes = {name: value.shape[1:] for name, value in tensors.items()}
        self.anatomy = Anatomy(areas, shapes, device)
        frozen = [name for name in self.anatomy.readers if name not in trainable]
        if frozen:
            raise GrowthError(
                f"Wanted trainable weights out of the nodes that grow, got {', '.join(frozen)} "
                "with requires_grad=False: what a newcomer says could never be of use."
            )
        self.step, self.runs = 0, len(self.seeds)
        self.alive = self._first_nodes(start)
        self.born = torch.zeros_like(self.alive, dtype=torch.long)
        self.ids = torch.where(self.alive, self.alive.long().cumsum(1) - 1, -1)
        self.names = self.alive.sum(1)  # how many each run has given away
        self.events: list[dict[str, Any]] = []
        self.waited = torch.zeros(self.runs, dtype=torch.long, device=device)
        self.leaves: Named = {}
        self.memory: dict[str, Named] = {}
        self.entries = {k: self.anatomy.entries(k, self.alive, v.ndim) for k, v in tensors.items()}
        values = {k: v * self.entries[k] for k, v in tensors.items() if k in trainable}
        self.buffers = {k: v for k, v in tensors.items() if k not in trainable}
        self.constraints = bound_tensors(task, self.model, self.anatomy, strategy, rule)
        with torch.no_grad():
            if rule.multiplied:
                values[MULTIPLIERS] = self._first_multipliers(values)
            for name, value in values.items():
                self._begin(name, value)
        self.optimizer = task.optimizer(list(self.leaves.values()))
        wrong = unfit(self.constraints, self.leaves, self.anatomy, strategy, self.optimizer)
        if problems := " ".join(wrong):
            raise GrowthError(problems)
        with torch.no_grad():
            self.settle()
        self.chances = Chances(self.seeds, self.anatomy.nodes, len(areas), device)
        self.take_up(task)

    def take_up(self, task: Task) -> None:
        """Go on with another task; the network and the optimizer's memory stay."""
        self.task, self.began = task, self.step
        self.batches = Batches(task, self.seeds, self.device, self.dtype)
        self.carries = (
            task.in_order and isinstance(self.model, RegionNetwork) and bool(self.model.steps)
        )
        self.h = self._rest(task.batch_size)

    # -- the start ---------------------------------------------------------------------------

    def _first_nodes(self, start: Mapping[str, int]) -> Tensor:
        alive = torch.zeros(self.runs, self.anatomy.nodes, dtype=torch.bool, device=self.device)
        for name, span in self.anatomy.slices.items():
            alive[:, span.start : span.start + start[name]] = True
        return alive

    def _begin(self, name: str, value: Tensor) -> None:
        c = self.constraints.get(name)
        if c is None:
            self.leaves[name] = value.clone().requires_grad_()
            return
        leaf, self.memory[name] = self.hooks.begin(c, self.hooks.starting_point(c, value))
        leaf = leaf.clone() if self.hooks.charted else leaf * self.entries[name]
        self.leaves[name] = leaf.requires_grad_()

    def _first_multipliers(self, values: Named) -> Tensor:
        """1, where only readouts are multiplied; else the length of what goes out."""
        ones = self.alive.to(next(iter(values.values())).dtype)
        if self.rule.worth == "readout multipliers":
            return ones
        lengths = self.lengths(values)
        for name in self.anatomy.readers:
            values[name] = values[name] / self.anatomy.along(name, 1, lengths, values[name].ndim)
        return torch.where(self.alive, lengths, 0)

    # -- what the network sees ---------------------------------------------------------------

    def seen(self) -> Named:
        """Weights as the network sees them; gradients flow to the leaves."""
        found = {}
        for name, leaf in self.leaves.items():
            c = self.constraints.get(name)
            if c is None:
                found[name] = leaf
            else:
                weights = self.hooks.weights(c, leaf, self.memory[name])
                found[name] = weights * self.entries[name] if self.hooks.charted else weights
        return found

    def effective(self, seen: Named) -> Named:
        """Weights with the multipliers of their sources in them."""
        if not self.rule.multiplied:
            return seen
        tensors = dict(seen)
        factors = tensors.pop(MULTIPLIERS)
        for name in self.anatomy.readers:
            if self.rule.worth == "multipliers" or name in self.anatomy.readouts:
                of_sources = self.anatomy.along(name, 1, factors, tensors[name].ndim)
                tensors[name] = tensors[name] * of_sources
        return tensors

    def losses(
        self, weights: Named, x: Tensor, y: Tensor, h: Tensor | None, rows: Any = slice(None)
    ) -> tuple[Tensor, Tensor | None]:
        """Loss of some runs on their batches, and the activities after it."""
        buffers = {name: value[rows] for name, value in self.buffers.items()}
        tensors = {**weights, **buffers}
        task, model = self.task, self.model

        def one(tensors: Named, x: Tensor, y: Tensor, *h: Tensor) -> tuple[Tensor, ...]:
            answer = functional_call(model, tensors, (x, *h))
            prediction, *after = answer if h else (answer,)
            loss = task.loss(prediction, y)
            if task.regularizer is not None:
                loss = loss + task.regularizer(tensors)
            return loss, *after

        loss, *after = torch.vmap(one)(tensors, x, y, *([] if h is None else [h]))
        return loss, after[0] if after else None

    def _rest(self, batch: int) -> Tensor | None:
        if not self.carries:
            return None
        assert isinstance(self.model, RegionNetwork)
        h = self.model.rest(batch)
        return h.to(self.dtype).expand(self.runs, *h.shape).clone()

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(iter(self.leaves.values())).dtype

    # -- one step ----------------------------------------------------------------------------

    def take_step(self) -> Tensor:
        """One step of the optimizer, the tax, and what it does to the nodes.

        Returns:
            The loss of each run on its batch, `(runs,)`.
        """
        at = self.step - self.began
        x, y = self.batches.at(at)
        if at and self.carries and at % self._windows() == 0:
            self.h = self._rest(self.task.batch_size)  # the text begins anew
        seen = self.seen()
        h = self.h
        loss, after = self.losses(self.effective(seen), x, y, h)
        total = loss.sum()
        for name, c in self.constraints.items():
            price = self.hooks.price(c, seen[name], self.memory[name])
            total = total + (price.sum() if isinstance(price, Tensor) else price)
        grads = torch.autograd.grad(total, list(self.leaves.values()), allow_unused=True)
        with torch.no_grad():
            self._move(grads)
            self.step += 1
            if self.rule.add or self.rule.stray or self.rule.delete:
                edit(self, x, y, h)
        if after is not None:
            # A node that is new or gone has not been active.
            living = self.anatomy.along("bias", 0, self.alive, after.ndim)
            self.h = after.detach() * living
        return loss.detach()

    def _windows(self) -> int:
        examples = self.batches.data["train"][0].shape[0 if self.batches.shared else 1]
        return max(1, examples // self.task.batch_size)

    def _move(self, grads: Sequence[Tensor | None]) -> None:
        before = {name: leaf.detach().clone() for name, leaf in self.leaves.items()}
        for (name, leaf), grad in zip(self.leaves.items(), grads, strict=True):
            leaf.grad = None if grad is None else grad * self.lives(name)
        group = self.optimizer.param_groups[0]
        for name, c in self.constraints.items():
            self.hooks.before(c, self.leaves[name], self.optimizer, group)
        self.optimizer.step()
        for name, leaf in self.leaves.items():
            if (bound := self.rule.step_bound) is not None:
                leaf.copy_(before[name] + (leaf - before[name]).clamp(-bound, bound))
        self._tax()
        for name, c in self.constraints.items():
            leaf, old = self.leaves[name], before[name]
            leaf.copy_(torch.lerp(old, leaf, self.hooks.rate))
            leaf.copy_(self.hooks.repair(c, leaf, self.memory[name], float(group["lr"])))
        for name, leaf in self.leaves.items():
            if not (name in self.constraints and self.hooks.charted):
                leaf.mul_(self.lives(name))

    def lives(self, name: str) -> Tensor:
        """Which entries of a leaf have nodes that live, to be broadcast to it."""
        return self.alive if name == MULTIPLIERS else self.entries[name]

    def _tax(self) -> None:
        """What is taken off outgoing weights or multipliers, after the optimizer's step.

        In the loss, Adam or RMSProp would divide the tax by its own size.
        """
        tax = (self.rule.penalty * self.anatomy.price).expand_as(self.alive)
        if self.rule.multiplied:
            leaf = self.leaves[MULTIPLIERS]
            if self.rule.worth == "multipliers":
                self._lengthen(leaf)
            leaf.copy_((leaf - tax.to(leaf)).clamp_min(self.rule.floor) * self.alive)
            return
        seen = self.seen()
        # Off the worth, whatever share of it is the size of the activity.
        scale = self._scale(seen)
        tax = torch.where(scale > 0, tax / scale, 0)
        for name in self.anatomy.readers:
            w = seen[name]
            due = self.anatomy.along(name, 1, tax.to(w), w.ndim)
            less = w.sign() * (w.abs() - due).clamp_min(0)
            self.write(name, less)

    def _lengthen(self, multipliers: Tensor) -> None:
        """Move the length of what goes out of each node into its multiplier."""
        lengths = self.lengths({name: self.leaves[name] for name in self.anatomy.readers})
        for name in self.anatomy.readers:
            leaf = self.leaves[name]
            leaf.div_(self.anatomy.along(name, 1, lengths, leaf.ndim))
        multipliers.mul_(torch.where(self.alive, lengths, 1))

    def write(self, name: str, weights: Tensor, where: Tensor | None = None) -> None:
        """Let the network see other weights, everywhere or where it says."""
        c, leaf = self.constraints.get(name), self.leaves[name]
        if c is not None and self.hooks.charted:
            weights, memory = self.hooks.begin(c, c.project(weights))
            # A chart may mix all numbers of an event, never those of two runs.
            rows = leaf.new_ones(self.runs, dtype=torch.bool)
            rows = rows if where is None else where.flatten(1).any(1)
            where = rows.view(-1, *[1] * (leaf.ndim - 1))
            for key, value in memory.items():
                own = rows.view(-1, *[1] * (value.ndim - 1))
                self.memory[name][key] = torch.where(own, value, self.memory[name][key])
        leaf.copy_(weights if where is None else torch.where(where, weights, leaf))

    def held(self, tensors: Named, alive: Tensor) -> Named:
        """Weights after an edit, allowed again where the strategy promises that."""
        if self.hooks.guarantee != "structural":
            return tensors
        again = dict(tensors)
        for name, c in self.constraints.items():
            if mixes_nodes(c, name, tensors[name].ndim - 1, self.anatomy):
                lives = self.anatomy.entries(name, alive, tensors[name].ndim)
                again[name] = c.project(tensors[name]) * lives
        return again

    def settle(self) -> None:
        """Cut weights and what the optimizer remembers to the nodes that live now."""
        self.count_entries()
        for name, leaf in self.leaves.items():
            lives = self.lives(name)
            if not (name in self.constraints and self.hooks.charted):
                leaf.mul_(lives)
            for value in self.optimizer.state[leaf].values():
                if isinstance(value, Tensor) and value.shape == leaf.shape:
                    value.mul_(lives)

    def violations(self, seen: Named) -> Named:
        """By how much each bound weight breaks its constraint, `(runs,)` by name."""
        found = {}
        for name, c in self.constraints.items():
            living = [{}] * self.runs
            if name in self.anatomy.owners:
                living = [self.anatomy.kept(name, alive) for alive in self.alive]
            worst = seen[name].new_zeros(self.runs)
            for i, kept in enumerate(living):
                if (left := cut(c, kept, seen[name].ndim - 1)) is not None:
                    worst[i] = left.violation(part(seen[name][i], kept)).amax()
            found[name] = worst
        return found

    # -- what nodes are worth ----------------------------------------------------------------

    def lengths(self, tensors: Named) -> Tensor:
        """Root of the sum of squares of all that goes out of a node; 1 where there is none."""
        squares = sum(
            self.anatomy.gathered(name, 1, tensors[name].square()) for name in self.anatomy.readers
        )
        assert isinstance(squares, Tensor)
        return torch.where(squares > 0, squares.sqrt(), 1)

    def entries_of(self, name: str, alive: Tensor, ndim: int) -> Tensor:
        """Where a leaf would have numbers if these nodes lived, to be broadcast to it."""
        return alive if name == MULTIPLIERS else self.anatomy.entries(name, alive, ndim)

    def count_entries(self) -> None:
        """Take note of who lives now."""
        self.entries = {
            name: self.anatomy.entries(name, self.alive, value.ndim)
            for name, value in {**self.leaves, **self.buffers}.items()
            if name != MULTIPLIERS
        }
        self.readers = self._readers(self.alive)

    def _readers(self, alive: Tensor) -> Named:
        """How many open weights go out of each node to each tensor."""
        found = {}
        for name in self.anatomy.readers:
            leaf = self.leaves[name]
            is_open = self.anatomy.entries(name, alive, leaf.ndim).expand_as(leaf)
            if (c := self.constraints.get(name)) is not None:
                is_open = is_open & open_entries(c, leaf.shape[1:]).to(leaf.device)
            found[name] = self.anatomy.gathered(name, 1, is_open.to(leaf.dtype))
        return found

    def _scale(self, seen: Named) -> Tensor:
        """How large the activity of each node can be taken to be, `(runs, nodes)`."""
        ones = torch.ones_like(self.alive, dtype=next(iter(seen.values())).dtype)
        if self.anatomy.all_bounded:
            return ones
        squares = torch.zeros_like(ones)
        for area, span in zip(self.anatomy.areas, self.anatomy.slices.values(), strict=True):
            for place in area.places(0):
                if place.tensor in (area.scaled_by or seen) and place.tensor in seen:
                    sums = self.anatomy.gathered(place.tensor, 0, seen[place.tensor].square())
                    squares[:, span] += sums[:, span] / place.each
        return torch.where(self.anatomy.bounded, ones, squares.sqrt())

    def worth(self, seen: Named | None = None, alive: Tensor | None = None) -> Tensor:
        """What each node is worth, `(runs, nodes)`; 0 for those that do not live."""
        seen = self.seen() if seen is None else seen
        readers = self.readers if alive is None else self._readers(alive)
        alive = self.alive if alive is None else alive
        if self.rule.multiplied:
            return seen[MULTIPLIERS].detach().abs() * alive
        total = torch.zeros_like(self.alive, dtype=next(iter(seen.values())).dtype)
        for name in self.anatomy.readers:
            sizes = self.anatomy.gathered(name, 1, seen[name].detach().abs())
            total += sizes / readers[name].clamp_min(1)
        outputs = sum((readers[k] for k in self.anatomy.readouts), torch.zeros_like(total))
        outputs = torch.where(outputs > 0, outputs, self.anatomy.outputs)
        return total * outputs / self.anatomy.groups * self._scale(seen) * alive
