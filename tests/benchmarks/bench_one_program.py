"""Eight strategies as one program, against strategy by strategy and against a plain loop.

Run as `python tests/benchmarks/bench_one_program.py [--threads 2] [--seeds 16]`. All sides take
turns in one process; the table shows medians over the rounds. The plain loop is what one would
write without the library: one network after another, each strategy by hand. Time is that of the
wall where there are several threads or a GPU, else of the process.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import torch
from bench_batched import BATCH, MASK, task
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare import Run
from shapekeeper.tasks import batch_indices

ROUNDS, STEPS, WARM = 9, 20, 10
STRATEGIES = [
    sk.Unconstrained(),
    sk.Penalty([0.1, 1.0, 10.0]),
    sk.AugmentedLagrangian(),
    sk.Freeze(),
    sk.Projection(),
    sk.Reparametrization(),
]


class Library:
    """Runs of the library, a step of each in turn, without measurements on test data."""

    def __init__(self, groups: list[list[sk.Strategy]], seeds: int, device: str):
        steps = 10_000 * (WARM + STEPS * (ROUNDS + 1))  # the table's next row is far away
        runs = [Run(task(), group, seeds=seeds, steps=steps, device=device) for group in groups]
        self.steppers = [run.train() for run in runs]
        for stepper in self.steppers:
            next(stepper)

    def step(self) -> None:
        for stepper in self.steppers:
            next(stepper)


class Plain:
    """One network after another."""

    def __init__(self, seeds: int, device: str):
        bench, self.device, self.count = task(), device, 0
        self.x, self.y = (t.to(device) for t in bench.data.train)
        self.mask = MASK.to(device)
        self.orders = [batch_indices(seed, 0, 1600, BATCH).to(device) for seed in range(seeds)]
        labels = [v for s in STRATEGIES for v in s.variants()]
        self.runs = [self._begin(bench, s, seed) for s in labels for seed in range(seeds)]

    def _begin(self, bench: sk.Task, strategy: sk.Strategy, seed: int):
        model = bench.start_model(seed).to(self.device)
        with torch.no_grad():
            model[0].weight.mul_(self.mask)
        model[0].weight.requires_grad_(not isinstance(strategy, sk.Freeze))
        moved = [p for p in model.parameters() if p.requires_grad]
        dual = torch.zeros_like(model[0].weight)
        return strategy, seed, model, torch.optim.Adam(moved, lr=3e-3), dual

    def step(self) -> None:
        for strategy, seed, model, optimizer, dual in self.runs:
            chosen = self.orders[seed][self.count % len(self.orders[seed])]
            optimizer.zero_grad()
            self._loss(strategy, model, dual, self.x[chosen], self.y[chosen]).backward()
            optimizer.step()
            with torch.no_grad():
                if isinstance(strategy, sk.Projection):
                    model[0].weight.mul_(self.mask)
                if isinstance(strategy, sk.AugmentedLagrangian):
                    dual.add_(model[0].weight * ~self.mask, alpha=strategy.dual_step)
        self.count += 1

    def _loss(self, strategy, model, dual, x, y):
        if isinstance(strategy, sk.Reparametrization):
            weight = model[0].weight * self.mask
            return F.cross_entropy(model[1:](F.linear(x, weight, model[0].bias)), y)
        loss = F.cross_entropy(model(x), y)
        closed = model[0].weight * ~self.mask
        if isinstance(strategy, sk.Penalty):
            loss = loss + strategy.strength * closed.square().sum()
        if isinstance(strategy, sk.AugmentedLagrangian):
            loss = loss + (dual * closed).sum() + strategy.penalty / 2 * closed.square().sum()
        return loss


def seconds(step: Callable[[], None], clock: Callable[[], float], device: str, steps: int) -> float:
    started = clock()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (clock() - started) / steps


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--threads", type=int, default=1)
    given.add_argument("--seeds", type=int, default=16)
    chosen = given.parse_args()
    torch.set_num_threads(chosen.threads)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    apart = [[v] for s in STRATEGIES for v in s.variants()]
    for device in devices:
        clock = process_time if chosen.threads == 1 and device == "cpu" else perf_counter
        sides = {
            "one program": Library([STRATEGIES], chosen.seeds, device),
            "strategy by strategy": Library(apart, chosen.seeds, device),
            "plain loop": Plain(chosen.seeds, device),
        }
        for side in sides.values():
            seconds(side.step, clock, device, WARM)
        rounds = []
        for _ in range(ROUNDS):
            # The plain loop is slow enough to be timed in fewer steps.
            counts = [STEPS, STEPS, max(2, STEPS // 5)]
            pairs = zip(sides.values(), counts, strict=True)
            rounds.append([seconds(side.step, clock, device, n) for side, n in pairs])
        where = torch.cuda.get_device_name() if device == "cuda" else f"{chosen.threads} threads"
        print(
            f"64-32-32-10 network, batch {BATCH}, Adam, {len(apart)} strategies x {chosen.seeds} "
            f"seeds, {device} ({where}), median of {ROUNDS} rounds"
        )
        for name, column in zip(sides, zip(*rounds, strict=True), strict=True):
            ratio = median(t / r[0] for t, r in zip(column, rounds, strict=True))
            print(f"{name:<22}{1e3 * median(column):>9.2f} ms a step{ratio:>9.2f} x one program")


if __name__ == "__main__":
    main()
