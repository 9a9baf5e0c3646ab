"""Three comparisons with a checkpoint; `python killed.py FOLDER` is killed, and started again."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from comparisons import RATE, Dropping, normed, short, waves
from points import task

import shapekeeper as sk
from shapekeeper.compare import checkpoint

STEPS = 25
SOFT = [
    sk.Penalty([0.1, 1.0]),
    sk.Penalty(0.01, growth=1.1),
    sk.AugmentedLagrangian([0.5, 2.0], dual_step=0.1),
]
HARD = [sk.Projection(), sk.Projection(every=3), sk.Reparametrization()]
STAGED = [
    sk.Staged(sk.Stage(0.35, sk.Unconstrained(model)), sk.Stage(0.65, sk.Freeze(), rate=0.5))
    for model in ("task", "constraint")
]
SHORT = sk.Staged(sk.Stage(0.5, sk.Projection(), model=short), sk.Stage(0.5, sk.Projection()))
COMPARISONS: dict[str, Callable[..., sk.Comparison]] = {
    "Adam and buffers": partial(
        sk.compare, normed(), [*SOFT, *HARD, *STAGED, SHORT], seeds=2, steps=STEPS
    ),
    "SGD and filters": partial(
        sk.compare, waves(), [*SOFT, *HARD[:2], *STAGED], seeds=2, steps=STEPS
    ),
    "not batched": partial(
        sk.compare,
        task(
            model=lambda seed: Dropping(),
            optimizer=partial(torch.optim.SGD, lr=RATE, momentum=0.9),
        ),
        [sk.Penalty([0.1, 1.0]), sk.Projection(every=3)],
        seeds=2,
        steps=STEPS,
    ),
}


def main(folder: Path) -> None:
    # After each step, so that a kill often comes while a file is being written.
    checkpoint.AT_LEAST = checkpoint.SPARED = 0
    for name, compare in COMPARISONS.items():
        compare(checkpoint=folder / name).save(folder / "ends" / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
