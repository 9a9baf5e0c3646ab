"""A small task on points, in double precision, for every test that trains."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk

DOUBLE = torch.float64


class Net(nn.Module):
    """6 -> 8 -> 3; `hidden` is a submodule, so that its value can be bound."""

    def __init__(self, dtype: torch.dtype = DOUBLE, width: int = 8):
        super().__init__()
        self.first = nn.Linear(6, width, dtype=dtype)
        self.hidden = nn.Tanh()
        self.last = nn.Linear(width, 3, dtype=dtype)

    def forward(self, x):
        return self.last(self.hidden(self.first(x)))


def points(examples: int = 90) -> sk.Data:
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(examples, 6, generator=draw, dtype=DOUBLE)
    y = x[:, :3].argmax(1)
    return sk.Data((x[:64], y[:64]), (x[64:], y[64:]), noisy=(x[64:] + 0.5, y[64:]))


MASK = torch.rand(8, 6, generator=torch.Generator().manual_seed(1)) < 0.4
CLOSED = sk.Connections(MASK)
OPTIMIZERS = {
    "SGD with momentum": partial(torch.optim.SGD, lr=1e-2, momentum=0.9),
    "Adam with weight decay": partial(torch.optim.Adam, lr=1e-2, weight_decay=1e-2),
    "AdamW": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1),
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-2),
}


def task(**changes) -> sk.Task:
    settings = {
        "model": lambda seed: Net(),
        "data": points(),
        "loss": F.cross_entropy,
        "metric": sk.tasks.accuracy,
        "constraints": {"first.weight": CLOSED},
        "batch_size": 16,
        "optimizer": OPTIMIZERS["Adam with weight decay"],
    }
    return sk.Task("points", **{**settings, **changes})
