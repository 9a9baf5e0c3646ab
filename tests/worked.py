"""A script like a user's: its own lambdas, spread over processes; leaves its frames in a folder."""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn

import shapekeeper as sk

MASK = torch.rand(5, 4, generator=torch.Generator().manual_seed(2)) < 0.5


class Mine(nn.Module):
    """Defined here, where no worker can import it."""

    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(4, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def main(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    width = 5
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    target = lambda x: x.prod(1, keepdim=True)  # noqa: E731
    mine = sk.Task(
        "mine",
        model=lambda seed: Mine(width),
        data=lambda seed: sk.Data((x + seed, target(x)), (x, target(x))),
        loss=lambda prediction, y: (prediction - y).square().mean(),
        metric=lambda prediction, y: (prediction - y).abs().mean(),
        constraints={"first.weight": sk.Connections(MASK)},
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        better="lower",
    )
    late = sk.Staged(
        sk.Stage(0.5, sk.Freeze(), model=lambda seed: Mine(width)), sk.Stage(0.5, sk.Projection())
    )
    ask = partial(sk.compare, mine, [sk.Penalty([0.1, 1.0]), late], seeds=3, steps=20)
    for jobs in (1, 2):
        ask(n_jobs=jobs).save(folder / str(jobs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
