"""Tasks of many kinds in double precision, and when two comparisons are the same."""

from functools import partial

import pandas as pd
import torch
from points import CLOSED, DOUBLE, OPTIMIZERS, points, task
from torch import nn

import shapekeeper as sk

RATE = 1e-2


def assert_same(found: sk.Comparison, wanted: sk.Comparison, bound: float = 1e-9) -> None:
    """The same rows in the same order, the same final weights; only the seconds may differ."""
    a, b = (c.frame.drop(columns="seconds") for c in (found, wanted))
    pd.testing.assert_frame_equal(a, b, check_exact=False, rtol=bound, atol=bound)
    assert_same_weights(found, wanted, bound)


def assert_same_weights(found: sk.Comparison, wanted: sk.Comparison, bound: float) -> None:
    """The same names and numbers of all networks."""
    assert list(found.tensors) == list(wanted.tensors)
    for label, tensors in wanted.tensors.items():
        assert list(found.tensors[label]) == list(tensors)
        for name, tensor in tensors.items():
            other, words = found.tensors[label][name], f"{label}, {name}"
            torch.testing.assert_close(
                other, tensor, rtol=bound, atol=bound, equal_nan=True, msg=words
            )


class Normed(nn.Module):
    """A batch norm, whose running numbers are buffers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, dtype=DOUBLE)
        self.norm = nn.BatchNorm1d(8, dtype=DOUBLE)
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))


class Dropping(nn.Module):
    """Draws random numbers in its forward pass: can't be batched."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, dtype=DOUBLE)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.first(x))))


class Short(nn.Module):
    """The points' network without what lies between its layers, for a stage of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, dtype=DOUBLE)
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(self.first(x))


def short(seed: int) -> nn.Module:
    """The model of such a stage."""
    return Short()


class Convolved(nn.Module):
    """One filter of nine taps a channel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 9, dtype=DOUBLE)
        self.last = nn.Linear(4, 2, dtype=DOUBLE)

    def forward(self, x):
        return self.last(self.conv(x).square().mean(2))


def shifted(seed: int) -> sk.Data:
    """Other data for each seed."""
    (x, y), (tx, ty) = points().train, points().test
    return sk.Data((x + seed, y), (tx + seed, ty))


def brain() -> sk.Task:
    """A region network with a memory, whose closed weights begin like all others."""
    regions = [
        sk.Region("eye", 4, input=True),
        sk.Region("memory", 3),
        sk.Region("hand", 5, output=True),
    ]
    loop = [("eye", "memory"), ("memory", "hand"), ("hand", "memory"), ("eye", "hand")]
    wiring = sk.RegionGraph(regions, [sk.Pathway(*ends, density=0.5) for ends in loop])

    def model(seed: int) -> nn.Module:
        net = sk.compile_network(wiring, 6, 3, layout="dense", steps=3, seed=seed).double()
        with torch.no_grad():
            net.weight.normal_(std=0.3)
        return net

    return task(model=model, constraints={"weight": wiring.constraint()})


def waves() -> sk.Task:
    """Low tones and high ones, for a layer that stays a low-pass filter."""
    draw = torch.Generator().manual_seed(3)
    pitch = torch.rand(96, 1, 1, generator=draw, dtype=DOUBLE)
    phase = 6 * torch.rand(96, 1, 1, generator=draw, dtype=DOUBLE)
    x = torch.sin(3.1 * pitch * torch.arange(24) + phase)
    y = (pitch > 0.3).long().flatten()
    lowpass = sk.FilterShape.lowpass(passband=0.2, stopband=0.7, attenuation_db=15)
    return task(
        model=lambda seed: Convolved(),
        data=sk.Data((x[:64], y[:64]), (x[64:], y[64:])),
        constraints={"conv.weight": lowpass},
        optimizer=partial(torch.optim.SGD, lr=RATE, momentum=0.9),
    )


def normed(**changes) -> sk.Task:
    """The task with buffers."""
    return task(**{"model": lambda seed: Normed(), **changes})


TASKS = {
    "dense": task,
    "buffers": normed,
    "brain": brain,
    "data of each seed": partial(task, data=shifted, optimizer=OPTIMIZERS["SGD with momentum"]),
    "not separable": partial(task, constraints={"first.weight": sk.Sphere()}),
    "bound output": partial(task, constraints={"hidden": sk.Box(-0.5, 0.5)}),
    "two weights": partial(
        task,
        constraints={"first.weight": CLOSED, "last.weight": sk.Box(-0.2, 0.2)},
        optimizer=OPTIMIZERS["RMSprop"],
    ),
    "filters": waves,
}
