"""What a step along circles costs in training, against plain SGD.

Run it: `python tests/benchmarks/bench_circle.py` (half a minute). A step is forward, backward and
the step of 784-1000-10 on a batch of 128, as in the published Fashion-MNIST experiment, each weight
on a circle of its own, in CPU time of one thread. In every round all sides take turns in a new
order; a ratio is to plain SGD in the same round. Shown are the median of all rounds and the middle
half. Above temperature 0 each step draws as many normal numbers as there are weights.
"""

import argparse
import random
from collections.abc import Callable
from statistics import median, quantiles
from time import thread_time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import shapekeeper as sk

BATCH, SIZES = 128, (784, 1000, 10)
CIRCLES = {"0.weight": sk.Circle(0.05), "2.weight": sk.Circle(0.1)}


def network() -> nn.Module:
    torch.manual_seed(0)
    first, hidden, last = SIZES
    return nn.Sequential(nn.Linear(first, hidden), nn.ReLU(), nn.Linear(hidden, last))


def sgd(momentum: float) -> Callable[[], tuple[nn.Module, torch.optim.Optimizer]]:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = network()
        return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)

    return build


def held(
    strategy: sk.Strategy, constraints: dict[str, sk.Constraint]
) -> Callable[[], tuple[nn.Module, torch.optim.Optimizer]]:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = network()
        return net, sk.hold(net, constraints, strategy).optimizer

    return build


def sides() -> dict[str, Callable[[], tuple[nn.Module, torch.optim.Optimizer]]]:
    cold, warm = {"temperature": 0.0}, {"temperature": 1e-5}
    drift = {"friction": 1.0}
    walk = sk.ConstrainedLangevin
    return {
        "SGD": sgd(0.0),
        "SGD with momentum": sgd(0.9),
        "circle, temperature 0": held(walk(0.1, **cold), CIRCLES),
        "circle with momenta, temperature 0": held(walk(0.3, **cold, **drift), CIRCLES),
        "circle, temperature > 0": held(walk(0.1, **warm), CIRCLES),
        "circle with momenta, temperature > 0": held(walk(0.3, **warm, **drift), CIRCLES),
        "no circle, temperature > 0 (SGLD)": held(walk(0.1, **warm), {}),
    }


def training_step(net: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, SIZES[0], generator=draw)
    y = torch.randint(SIZES[-1], (BATCH,), generator=draw)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def measure(rounds: int, steps: int) -> dict[str, list[float]]:
    """CPU seconds of a step, for each side and round."""
    run = {name: training_step(*build()) for name, build in sides().items()}
    for step in run.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in run}
    order, shuffled = list(run), random.Random(0)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for name in order:
            started = thread_time()
            for _ in range(steps):
                run[name]()
            found[name].append((thread_time() - started) / steps)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=31)
    arguments.add_argument("--steps", type=int, default=10, help="in a row, of one side")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    found = measure(given.rounds, given.steps)
    for name, seconds in found.items():
        ratios = [a / b for a, b in zip(seconds, found["SGD"], strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        print(
            f"{name:38} {1e3 * median(seconds):6.2f} ms   "
            f"{median(ratios):5.2f} × SGD ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
