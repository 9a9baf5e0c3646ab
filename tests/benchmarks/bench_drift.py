"""How far constrained Langevin dynamics strays from its set in 10 000 steps, in single precision.

Run as `python tests/benchmarks/bench_drift.py` (some minutes); `--steps 500` is quicker, and
`--picture drift.png` names the picture: the error after each step. Gradients are drawn anew in each
step, so that no rest is found. The size of a step is how long it is in units of the set: the
radius of a circle or sphere, the largest singular value for a matrix. From about 1 on, the search
for the way back along the old normal diverges (h |grad| > 1), and the nearest point is taken.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, it sees this folder alone

import shapekeeper as sk

STEP, FRICTION = 0.1, 1.0
SIZES = (0.01, 0.3, 2.0, 50.0)


@dataclass(frozen=True)
class Set:
    """A constraint, a shape, and how long a gradient of normal numbers is there, in its units."""

    constraint: sk.Constraint
    shape: tuple[int, ...]
    length: float
    bound: float  # of the error, relative to the size of the set

    def error(self, leaf: Tensor, memory: dict[str, Tensor]) -> float:
        c = self.constraint
        if isinstance(c, sk.Circle):
            squares = leaf.square() + c.slack(memory["position"]).square()
            return (squares / c.radius**2 - 1).abs().max().item()
        return c.violation(leaf).max().item() / c.scale


SETS = {
    "circle": Set(sk.Circle(0.3), (100, 10), 1 / 0.3, 1e-6),
    "sphere": Set(sk.Sphere(5.0), (30, 100), sqrt(100) / 5.0, 1e-6),
    "orthogonal, 100 x 100": Set(sk.Orthogonal(), (100, 100), 2 * sqrt(100), 3e-6),
}
KINDS = {
    "without friction, cold": (0.0, None),
    "without friction, hot": (1.0, None),
    "with friction, cold": (0.0, FRICTION),
    "with friction, hot": (1.0, FRICTION),
}


def errors(held: Set, size: float, warmth: float, friction: float | None, steps: int) -> Iterator:
    """The error after each step; half of a hot step is noise."""
    generator = torch.Generator().manual_seed(0)
    pace = size / held.length  # of each number in a step
    hot = pace**2 / (2 * STEP) if friction is None else (pace / STEP) ** 2
    walk = sk.ConstrainedLangevin(STEP, warmth * hot, friction)
    c = held.constraint
    leaf, memory = walk.begin(c, c.project(torch.randn(1, *held.shape, generator=generator)))
    leaf = leaf.clone()
    strength = pace / (STEP if friction is None else STEP**2)
    for _ in range(steps):
        grad = strength * torch.randn(leaf.shape, generator=generator)
        noise = torch.randn(leaf.shape, generator=generator) if warmth else None
        leaf = walk.advance(c, leaf, grad, memory, noise)
        yield held.error(leaf, memory)


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--steps", type=int, default=10_000)
    given.add_argument("--picture", type=Path, default=Path("drift.png"))
    chosen = given.parse_args()
    torch.set_num_threads(1)
    figure, axes = plt.subplots(len(SETS), 1, figsize=(8, 9), sharex=True, layout="constrained")
    print("| set | step | dynamics | worst error of all steps | bound | ms a step |")
    print("| --- | --- | --- | --- | --- | --- |")
    missed = []
    for ax, (name, held) in zip(axes, SETS.items(), strict=True):
        for size, (kind, settings) in product(SIZES, KINDS.items()):
            started = perf_counter()
            seen = np.fromiter(errors(held, size, *settings, chosen.steps), float)
            took = 1e3 * (perf_counter() - started) / chosen.steps
            print(
                f"| {name} | {size:g} | {kind} | {seen.max():.1e} | {held.bound:g} | {took:.2f} |",
                flush=True,
            )
            if not seen.max() <= held.bound:
                missed.append(f"{name}, {size:g}, {kind}")
            if size in (SIZES[0], SIZES[-1]):
                line = "-" if size == SIZES[0] else ":"
                colour = f"C{[*KINDS].index(kind)}"
                ax.plot(*worst_of_blocks(seen), line, color=colour, label=f"{kind}, step {size:g}")
        ax.axhline(held.bound, color="black", linewidth=0.8)
        ax.set(title=name, yscale="log", ylabel="error, relative", ylim=(1e-8, 1e-5))
    axes[-1].set_xlabel("step")
    axes[0].legend(fontsize="x-small", ncols=2)
    figure.savefig(chosen.picture, dpi=120)
    print(f"\n{chosen.steps} steps each; picture in {chosen.picture}; misses: {missed or 'none'}")


def worst_of_blocks(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last step of each of 200 stretches, and the largest error there."""
    block = max(1, len(seen) // 200)
    worst = seen[: len(seen) // block * block].reshape(-1, block).max(1)
    return block * np.arange(1, len(worst) + 1), worst


if __name__ == "__main__":
    main()
