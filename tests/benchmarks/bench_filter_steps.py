"""What holding a layer of filters costs in each training step, against the same network free.

Run it: `python tests/benchmarks/bench_filter_steps.py` (two minutes). The network is the one of the
tasks for drawn filters: a layer of 16 filters of 31 taps on signals of 64 samples, ReLU, two
strided convolutions, mean and maximum over time, a linear layer. A step is forward, backward and
Adam on a batch of 128, in CPU time of one thread. In every round all sides take turns in a new
order; a ratio is to the free network of the same round. Two free networks take part, and their
mean is the free step. Shown are the medians of all rounds, and the middle half of the ratios.
Right after a backward pass, what is held is in no cache: an operation takes several times what it
takes in a loop of its own, and a hook on 16 small filters is little else.
"""

import argparse
import random
from collections.abc import Callable, Iterable
from statistics import median, quantiles
from time import thread_time

import torch
from torch import nn

import shapekeeper as sk
from shapekeeper.tasks import Task, tones, with_sinc

BATCH = 128
BANDLIMITED = sk.FilterShape.bandlimited(0.5)
TEMPLATE = sk.FilterShape.lowpass(0.2, 0.35)
FREE, TWIN = "free", "free, its twin"
Step = Callable[[], None]

# name -> drawing, strategy, most that its step may take, in free steps
SIDES: dict[str, tuple[sk.FilterShape, sk.Strategy, float | None]] = {
    "band-limited, Projection": (BANDLIMITED, sk.Projection(), 1.05),
    "band-limited, Reparametrization": (BANDLIMITED, sk.Reparametrization(), 1.05),
    "template, Projection": (TEMPLATE, sk.Projection(), 1.5),
    "template, Reparametrization": (TEMPLATE, sk.Reparametrization(), None),
    "band-limited, Penalty": (BANDLIMITED, sk.Penalty(1.0), None),
    "band-limited, Penalty that grows": (BANDLIMITED, sk.Penalty(1.0, growth=1.0135), None),
    "template, Penalty that grows": (TEMPLATE, sk.Penalty(1.0, growth=1.0135), None),
    "band-limited, Freeze": (BANDLIMITED, sk.Freeze(), None),
}


def training_step(
    task: Task, shape: sk.FilterShape | None = None, strategy: sk.Strategy | None = None
) -> Step:
    """Forward, backward and Adam on one batch, always the same."""
    model: nn.Module = task.start_model(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    held = sk.hold(model, {"shaped.weight": shape}, strategy, optimizer) if shape else None
    priced = strategy is not None and strategy.priced
    x, y = (part[:BATCH] for part in task.data_for(0).train)

    def step() -> None:
        optimizer.zero_grad()
        loss = task.loss(model(x), y)
        if priced and held is not None:
            loss = loss + held.penalty()
        loss.backward()
        optimizer.step()

    return step


def seconds(step: Step, repeats: int) -> float:
    step()  # warm caches again: the other sides have just been here
    start = thread_time()
    for _ in range(repeats):
        step()
    return (thread_time() - start) / repeats


def measured(sides: dict[str, Step], rounds: int, repeats: int = 20) -> dict[str, list[float]]:
    """Seconds per step of each side in each round."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = random.Random(0)
    for step in sides.values():
        seconds(step, repeats)
    for _ in range(rounds):
        for name in order.sample(list(sides), len(sides)):
            taken[name].append(seconds(sides[name], repeats))
    return taken


def table(taken: dict[str, list[float]]) -> Iterable[str]:
    """Lines in Markdown."""
    free = [(a + b) / 2 for a, b in zip(taken[FREE], taken[TWIN], strict=True)]
    yield "| step of 16 filters of 31 taps | ms | times free | middle half | µs more | asked for |"
    yield "|---|---|---|---|---|---|"
    for name, times in taken.items():
        each = [t / plain for t, plain in zip(times, free, strict=True)]
        low, _, high = quantiles(each, n=4)
        more = median(t - plain for t, plain in zip(times, free, strict=True))
        most = SIDES[name][2] if name in SIDES else None
        asked = f"at most {most:g}: {median(each) <= most}" if most else ""
        yield (
            f"| {name} | {1e3 * median(times):.2f} | {median(each):.3f} | {low:.3f} – {high:.3f} "
            f"| {1e6 * more:.0f} | {asked} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    task = tones()
    sides = {FREE: training_step(task), TWIN: training_step(task)}
    sides |= {name: training_step(task, *side[:2]) for name, side in SIDES.items()}
    sides["windowed sincs, nothing held"] = training_step(with_sinc(task))
    print("\n".join(table(measured(sides, rounds))))


if __name__ == "__main__":
    main()
