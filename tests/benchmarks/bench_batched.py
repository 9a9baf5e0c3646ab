"""All seeds as one program against a plain loop of nn.Module and torch.optim.

Run as `python tests/benchmarks/bench_batched.py`. Both sides take turns in one process on one
thread; the table shows medians over the rounds.
"""

from statistics import median
from time import process_time

import torch
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare.training import Training, take_step
from shapekeeper.tasks import batch_indices

ROUNDS, STEPS, BATCH = 7, 20, 16
MASK = torch.rand(32, 64, generator=torch.Generator().manual_seed(0)) < 0.25


def make(seed: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def task() -> sk.Task:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(1600, 64, generator=draw), torch.randint(10, (1600,), generator=draw)
    return sk.Task(
        "benchmark",
        model=make,
        data=sk.Data((x, y), (x[:10], y[:10])),
        loss=F.cross_entropy,
        metric=sk.tasks.accuracy,
        constraints={"0.weight": sk.Connections(MASK)},
        batch_size=BATCH,
    )


class Plain:
    """What one would write without the library: one network after another."""

    def __init__(self, bench: sk.Task, strategy: sk.Strategy, runs: int):
        self.strategy, self.data, self.step = strategy, bench.data, 0
        self.models = [bench.start_model(seed) for seed in range(runs)]
        self.optimizers = [torch.optim.Adam(m.parameters(), lr=3e-3) for m in self.models]
        self.orders = [batch_indices(seed, 0, 1600, BATCH) for seed in range(runs)]

    def take_steps(self) -> None:
        x, y = self.data.train
        for model, optimizer, order in zip(self.models, self.optimizers, self.orders, strict=True):
            for step in range(STEPS):
                chosen = order[(self.step + step) % len(order)]
                optimizer.zero_grad()
                F.cross_entropy(model(x[chosen]), y[chosen]).backward()
                optimizer.step()
                if isinstance(self.strategy, sk.Projection):
                    with torch.no_grad():
                        model[0].weight.mul_(MASK)
        self.step += STEPS


class Batched:
    """The engine that `compare` drains, without its measurements on test data."""

    def __init__(self, bench: sk.Task, strategy: sk.Strategy, runs: int):
        steps = STEPS * (ROUNDS + 1)
        named, seeds = {strategy.label: strategy}, list(range(runs))
        self.training = Training(bench, named, seeds, steps, torch.device("cpu"))
        self.training.turn()

    def take_steps(self) -> None:
        for _ in range(STEPS):
            take_step([self.training])


def seconds(side: Plain | Batched) -> float:
    started = process_time()
    side.take_steps()
    return (process_time() - started) / STEPS


def main() -> None:
    torch.set_num_threads(1)
    print(f"64-32-32-10 network, batch {BATCH}, Adam, one thread, median of {ROUNDS} rounds")
    print(f"{'strategy':<16}{'runs':>6}{'plain ms/step':>16}{'batched ms/step':>17}{'ratio':>8}")
    for strategy in (sk.Unconstrained(), sk.Projection()):
        for runs in (1, 8, 32, 128):
            sides = [kind(task(), strategy, runs) for kind in (Plain, Batched)]
            for side in sides:
                seconds(side)
            rounds = [[seconds(side) for side in sides] for _ in range(ROUNDS)]
            plain, batched = (1e3 * median(column) for column in zip(*rounds, strict=True))
            ratio = median(p / b for p, b in rounds)
            row = f"{strategy.label:<16}{runs:>6}{plain:>16.2f}{batched:>17.2f}{ratio:>8.1f}"
            print(row)


if __name__ == "__main__":
    main()
