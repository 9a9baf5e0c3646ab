"""Networks that grow, small and in double precision, and the same rule without any padding."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from points import DOUBLE, points, task
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import shapekeeper as sk
from shapekeeper.growth import GrowthRule, areas_of
from shapekeeper.growth.edits import edit
from shapekeeper.growth.growing import Growing
from shapekeeper.randomness import generator
from shapekeeper.tasks import sequences, two_texts

LEAST = 0.1  # of what is known of gradients: below so much of it newcomers begin
CPU = torch.device("cpu")
RMSPROP = partial(torch.optim.RMSprop, lr=0.01)


def brisk(**changes) -> GrowthRule:
    """Nodes come and go many times in a hundred steps."""
    settings = {
        "threshold": 0.3,
        "add": 0.5,
        "delete": 0.5,
        "stray": 0.1,
        "penalty": 4e-3,
        "largest_jump": None,
    }
    return GrowthRule(**{**settings, **changes})


def text_of(task: sk.Task, **changes) -> sk.Task:
    """In double precision, and judged by two windows alone."""

    def data(seed: int) -> sk.Data:
        whole = task.data_for(seed)
        return sk.Data(whole.train, [part[: 2 * task.batch_size] for part in whole.test])

    def model(seed: int) -> nn.Module:
        return task.model(seed).double()

    return replace(task, **{"model": model, "data": data, **changes})


def memory(level: int = 2, units: int = 10, **changes) -> sk.Task:
    """One recurrent area that reads a text."""
    made = sequences(level, units=units, streams=4, window=5, windows=15, optimizer=RMSPROP)
    return text_of(made, **changes)


def layers(*between: nn.Module, width: int = 8, **changes) -> sk.Task:
    """6 -> width -> 3, unbound."""

    def model(seed: int) -> nn.Module:
        middle = between or (nn.ReLU(),)
        return nn.Sequential(nn.Linear(6, width), *middle, nn.Linear(width, 3)).double()

    return task(**{"model": model, "constraints": {}, "optimizer": RMSPROP, **changes})


def silent(**changes) -> sk.Task:
    """Its inputs are 0, so that no gradient reaches a weight but that of the last bias."""
    data = points()
    (x, y), (tx, ty) = data.train, data.test
    settings = {"data": sk.Data((0 * x, y), (0 * tx, ty)), **changes}

    def model(seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 3)).double()

    return layers(**{"model": model, **settings})


def normed(**changes) -> sk.Task:
    """Two hidden layers, one behind a batch norm."""

    def model(seed: int) -> nn.Module:
        # no bias: behind a norm its gradient is rounding alone
        first = nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU()
        return nn.Sequential(*first, nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)).double()

    return layers(**{"model": model, **changes})


def two_areas(**changes) -> sk.Task:
    """Two recurrent areas, one of which hears the other."""
    regions = [sk.Region(name, 8, input=4, output=True) for name in ("left", "right")]
    graph = sk.RegionGraph(regions, [sk.Pathway("left", "right", density=0.6)])
    made = two_texts(0, 2, graph=graph, streams=4, window=5, windows=15, optimizer=RMSPROP)
    return text_of(made, **changes)


def begun(
    task: sk.Task,
    rule: GrowthRule,
    *,
    seeds: Sequence[int] = (0,),
    start: int | dict[str, int] = 1,
    strategy: sk.Strategy | None = None,
) -> Growing:
    """Runs before their first step."""
    areas = areas_of(task.start_model(seeds[0]))
    first = start if isinstance(start, dict) else {area.name: start for area in areas}
    return Growing(task, rule, seeds, first, strategy or sk.Projection(), areas, CPU)


@torch.no_grad()
def edited(growing: Growing) -> list[dict]:
    """What is due now comes and goes; the events of it."""
    noted = len(growing.events)
    edit(growing, *growing.batches.at(growing.step - growing.began), growing.h)
    return growing.events[noted:]


@torch.no_grad()
def put(growing: Growing, name: str, value) -> None:
    """Write numbers into a tensor of all runs."""
    growing.leaves[name].copy_(torch.as_tensor(value, dtype=DOUBLE))


def tally(found: sk.growth.Growth) -> dict[int, tuple[int, int]]:
    """Births and deaths of each run."""
    events = found.events
    return {
        seed: tuple(
            int(((events["seed"] == seed) & (events["event"] == kind)).sum())
            for kind in ("birth", "death")
        )
        for seed in found.seeds
    }


# -- the same without padding ---------------------------------------------------------------------


class Physical:
    """One network whose tensors are as large as it is; born nodes come last, dead ones are cut out.

    RMSProp, the step bound, the tax and the rule are written out, for the outgoing form.

    Args:
        task: As it would be given to `grow`.
        rule: The rule.
        seed: Of the run.
        start: Nodes at the start.
        room: Of the padded network: its draws go by place.
    """

    # name -> axes on which the nodes lie; the first has what comes in, the second what goes out
    axes: dict[str, tuple[int, ...]]
    bounded: bool

    def __init__(self, task: sk.Task, rule: GrowthRule, seed: int, start: int, room: int) -> None:
        self.task, self.rule, self.seed, self.room = task, rule, seed, room
        named = dict(task.start_model(seed).named_parameters())
        self.shapes = {name: tuple(value.shape) for name, value in named.items()}
        self.weights = {name: value.detach().clone() for name, value in named.items()}
        self.squares = {name: torch.zeros_like(value) for name, value in self.weights.items()}
        self.places = list(range(room))  # of each node, in the order of the tensors
        self.names, self.born, self.given = list(range(room)), [0] * room, start
        self.cut(range(start))
        self.step, self.waited, self.events = 0, 0, []
        self.data = task.data_for(seed).train

    # -- surgery

    def cut(self, keep) -> None:
        index = torch.tensor(list(keep))
        for kind in (self.weights, self.squares):
            for name, axes in self.axes.items():
                for axis in axes:
                    kind[name] = kind[name].index_select(axis, index)
        self.places, self.names, self.born = (
            [of[i] for i in index.tolist()] for of in (self.places, self.names, self.born)
        )

    @staticmethod
    def around(old: Tensor, new: Tensor) -> Tensor:
        """Old numbers, with new ones at the end of each axis that has grown."""
        for axis, size in enumerate(old.shape):
            if new.shape[axis] > size:
                rest = [slice(n) for n in old.shape]
                rest[axis] = slice(size, None)
                old = torch.cat([old, new[tuple(rest)]], dim=axis)
        return old

    # -- the network

    def loss(self, weights: dict[str, Tensor], x: Tensor, y: Tensor, h: Tensor | None):
        raise NotImplementedError

    def worth(self, weights: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError

    def scale(self, weights: dict[str, Tensor]) -> Tensor:
        """Size of what comes into each node."""
        raise NotImplementedError

    # -- a step

    def take_step(self) -> float:
        x, y, h = self.batch()
        leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        loss, after = self.loss(leaves, x, y, h)
        grads = torch.autograd.grad(loss, list(leaves.values()))
        most = self.rule.step_bound or float("inf")
        for (name, w), grad in zip(self.weights.items(), grads, strict=True):
            self.squares[name] = 0.99 * self.squares[name] + 0.01 * grad.square()
            move = 0.01 * grad / (self.squares[name].sqrt() + 1e-8)
            self.weights[name] = w - move.clamp(-most, most)
        tax = self.rule.penalty / (1 if self.bounded else self.scale(self.weights))
        for name, axes in self.axes.items():
            if 1 in axes:
                w = self.weights[name]
                self.weights[name] = w.sign() * torch.relu(w.abs() - tax)
        self.step += 1
        self.h = None if after is None else after.detach()
        self.edit(x, y, h)
        return loss.item()

    def batch(self):
        size = self.task.batch_size
        windows = len(self.data[0]) // size
        epoch, place = divmod(self.step, windows)
        chosen = self.task.batches(self.seed, epoch, len(self.data[0]))[place]
        if place == 0:
            self.h = None
        x, y = (part[chosen] for part in self.data)
        return x.to(DOUBLE), y, self.h

    def edit(self, x: Tensor, y: Tensor, h: Tensor | None) -> None:
        rule, room = self.rule, self.room
        draws = torch.rand(
            256, 2 * room + 2, generator=generator(self.seed, "growth", self.step // 256),
            dtype=DOUBLE,
        )[self.step % 256]  # fmt: skip
        keep, die, add, stray = draws.split([room, room, 1, 1])
        worth = self.worth(self.weights).tolist()
        low = [i for i, value in enumerate(worth) if value <= rule.threshold]
        idle = sum(value <= rule.hysteresis * rule.threshold for value in worth)
        low.sort(key=lambda i: keep[self.places[i]].item())
        kept = max(rule.spares, 1) if len(low) == len(worth) else rule.spares
        dying = [
            i
            for i in low[kept:]
            if die[self.places[i]] < rule.delete and self.step - self.born[i] >= rule.grace
        ]
        if dying:
            self.bury(dying, worth, x, y, h)
        elif len(worth) < room and ((idle < rule.spares and add < rule.add) or stray < rule.stray):
            self.bear(x, y, h)

    def admits(self, jump: float) -> bool:
        most = self.rule.largest_jump
        self.waited += not (most is None or abs(jump) <= most)
        return most is None or abs(jump) <= most

    def bury(self, dying: list[int], worth: list[float], x: Tensor, y: Tensor, h) -> None:
        before = self.loss(self.weights, x, y, h)[0].item()
        old = self.weights, self.squares, self.places, self.names, self.born
        self.weights, self.squares = dict(self.weights), dict(self.squares)
        rest = [i for i in range(len(worth)) if i not in dying]
        self.cut(rest)
        jump = self.loss(self.weights, x, y, None if h is None else h[rest])[0].item() - before
        if not self.admits(jump):
            self.weights, self.squares, self.places, self.names, self.born = old
            return
        for i in sorted(dying, key=lambda i: old[2][i]):
            event = "death", old[3][i], worth[i], jump, self.step - old[4][i]
            self.events.append((self.step, *event))
        self.h = None if self.h is None else self.h[rest]

    def bear(self, x: Tensor, y: Tensor, h: Tensor | None) -> None:
        rule, place = self.rule, min({*range(self.room)} - {*self.places})
        draws = generator(self.seed, "growth/birth", self.step)
        grown, where = dict(self.weights), torch.tensor([*self.places, place])
        for name in sorted(self.axes):
            # drawn for all the room there is; read where the nodes would lie
            drawn = rule.spread * torch.randn(self.shapes[name], generator=draws, dtype=DOUBLE)
            for axis in self.axes[name]:
                drawn = drawn.index_select(axis, where)
            new = drawn if drawn.ndim > 1 else torch.zeros_like(drawn)
            grown[name] = self.around(self.weights[name], new)
        if not self.bounded:
            length = self.scale(grown)[-1]
            for name, axes in self.axes.items():
                if 0 in axes:
                    grown[name][-1] /= length
        share = rule.newborn * rule.threshold / self.worth(grown)[-1]
        for name, axes in self.axes.items():
            if 1 in axes:
                grown[name][:, -1] *= share
        before = self.loss(self.weights, x, y, h)[0].item()
        wider = None if h is None else torch.cat([h, h.new_zeros(1, h.shape[1])])
        jump = self.loss(grown, x, y, wider)[0].item() - before
        if not self.admits(jump):
            return
        for name, squares in self.squares.items():
            typical = torch.tensor(np.quantile(squares, LEAST)).expand(grown[name].shape)
            self.squares[name] = self.around(squares, typical)
        self.weights = grown
        self.places, self.names, self.born = (
            [*self.places, place], [*self.names, self.given], [*self.born, self.step],
        )  # fmt: skip
        self.given += 1
        worth = self.worth(grown)[-1].item()
        self.events.append((self.step, "birth", self.names[-1], worth, jump, 0))
        if self.h is not None:
            self.h = torch.cat([self.h, self.h.new_zeros(1, self.h.shape[1])])


class PhysicalMemory(Physical):
    """`h' = tanh(W h + W_in x + b)`, its worth as T. Miconi 2016 has it."""

    axes: ClassVar = {
        "weight": (0, 1),
        "bias": (0,),
        "input_weights.0": (0,),
        "output_weight": (1,),
    }
    bounded = True

    def loss(self, weights, x, y, h):
        total = 0.0
        for t in range(x.shape[1]):
            drive = weights["input_weights.0"] @ x[:, t].T + weights["bias"][:, None]
            h = torch.tanh(drive if h is None else drive + weights["weight"] @ h)
            scores = (weights["output_weight"] @ h).T + weights["output_bias"]
            total = total + cross_entropy(scores, y[:, t])
        return total / x.shape[1], h

    def worth(self, weights):
        w, out = weights["weight"].abs(), weights["output_weight"].abs()
        return 0.5 * (out.sum(0) + len(out) * w.sum(0) / len(w))


class PhysicalLayers(Physical):
    """6 -> hidden -> 3 with ReLU: what a node says has no bound."""

    axes: ClassVar = {"0.weight": (0,), "0.bias": (0,), "2.weight": (1,)}
    bounded = False

    def loss(self, weights, x, y, h):
        hidden = torch.relu(x @ weights["0.weight"].T + weights["0.bias"])
        return cross_entropy(hidden @ weights["2.weight"].T + weights["2.bias"], y), None

    def scale(self, weights):
        return (weights["0.weight"].square().sum(1) + weights["0.bias"].square()).sqrt()

    def worth(self, weights):
        return weights["2.weight"].abs().sum(0) * self.scale(weights)


def per_seed(found: sk.growth.Growth) -> dict[int, list[tuple]]:
    """Events of each run as `Physical` notes them."""
    rows = defaultdict(list)
    for row in found.events.itertuples():
        rows[row.seed].append((row.step, row.event, row.node, row.worth, row.jump, row.age))
    return rows
