"""Ten everyday actions, and what each does to a mask that somebody holds."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from shapekeeper.constraints import Connections
from shapekeeper.holding import hold
from shapekeeper.randomness import generator
from shapekeeper.tasks import digit_images

__all__ = ["ACCIDENTS", "WAYS", "Loop", "accidents"]


def gradient_hook(model: nn.Module, optimizer: Optimizer, connections: Connections) -> None:
    """Put the weights right once; from then on no gradient reaches a closed one."""
    weight, free = model.get_parameter("0.weight"), connections.project(torch.ones(32, 64)) == 1
    weight.data = connections.project(weight.data)
    weight.register_hook(lambda grad: grad * free)


def step_hook(model: nn.Module, optimizer: Optimizer, connections: Connections) -> None:
    """Put the weights right now, and again after each step of the optimizer."""
    weight = model.get_parameter("0.weight")

    def put_right(*_: Any) -> None:
        weight.data = connections.project(weight.data)

    put_right()
    optimizer.register_step_post_hook(put_right)


def with_hold(model: nn.Module, optimizer: Optimizer, connections: Connections) -> None:
    """Say it once."""
    hold(model, {"0.weight": connections}, optimizer=optimizer)


WAYS = {"gradient hook": gradient_hook, "step hook": step_hook, "hold": with_hold}


@dataclass
class Loop:
    """A small training of digits, written by somebody who keeps a mask in one of the `WAYS`.

    Args:
        keep: The way.
        seed: For the weights and the mask.

    Attributes:
        model: Two layers; the mask is on the first.
        optimizer: AdamW.
        connections: Who may feed whom, a third of all; with a preset number or two.
    """

    keep: Callable[[nn.Module, Optimizer, Connections], None]
    seed: int = 0

    def __post_init__(self):
        draw = generator(self.seed, "course/accidents")
        mask = torch.rand(32, 64, generator=draw) < 1 / 3
        self.connections = Connections(mask)
        self.preset = Connections(mask, fixed=0.5 * mask * (torch.arange(64) < 4))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            self.model: nn.Module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.optimizer: Optimizer = AdamW(self.model.parameters(), lr=0.01, weight_decay=0.1)
        images, digits = digit_images()["train"]
        self.batches = cycle(zip(images.split(50), digits.split(50), strict=True))

    def hold(self) -> None:
        """From here on the mask is to hold."""
        self.keep(self.model, self.optimizer, self.connections)

    def renew(self) -> None:
        """Another optimizer of the same kind."""
        self.optimizer = AdamW(self.model.parameters(), lr=0.01, weight_decay=0.1)

    def train(self, steps: int, forward: Callable[[Tensor], Tensor] | None = None) -> None:
        """Some steps, as everybody takes them."""
        for _, (images, digits) in zip(range(steps), self.batches, strict=False):
            self.optimizer.zero_grad()
            cross_entropy((forward or self.model)(images).float(), digits).backward()
            self.optimizer.step()

    def violation(self) -> float:
        """The largest distance of a closed or preset weight from its number."""
        return self.connections.violation(self.model.get_parameter("0.weight").detach()).item()


def deep_copy(loop: Loop) -> None:
    """Copy the model, train the copy."""
    loop.hold()
    loop.model = copy.deepcopy(loop.model)
    loop.renew()
    loop.train(25)


def save_and_load(loop: Loop) -> None:
    """Save the whole model, load it, train on."""
    loop.hold()
    torch.save(loop.model, file := io.BytesIO())
    file.seek(0)
    loop.model = torch.load(file, weights_only=False)
    loop.renew()
    loop.train(25)


def resume(loop: Loop) -> None:
    """Rebuild the optimizer, load its state, train on."""
    loop.hold()
    loop.train(20)
    state = loop.optimizer.state_dict()
    loop.renew()
    loop.optimizer.load_state_dict(state)
    loop.train(5)


def move(loop: Loop) -> None:
    """Make the model bfloat16, and float32 again."""
    loop.hold()
    loop.train(20)
    loop.model.to(torch.bfloat16).to(torch.float32)
    loop.train(5)


def new_optimizer(loop: Loop) -> None:
    """Go on with another kind of optimizer."""
    loop.hold()
    loop.train(20)
    loop.optimizer = SGD(loop.model.parameters(), lr=0.1)
    loop.train(5)


def average(loop: Loop) -> None:
    """Ship an average that began before the mask."""
    smooth = AveragedModel(loop.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    loop.train(1)
    smooth.update_parameters(loop.model)
    loop.hold()
    for _ in range(24):
        loop.train(1)
        smooth.update_parameters(loop.model)
    loop.model = smooth.module


def weight_decay(loop: Loop) -> None:
    """Decay weights, some of which were given a number."""
    loop.connections = loop.preset
    loop.hold()
    loop.train(25)


def begin_late(loop: Loop) -> None:
    """Train for a while before the mask begins."""
    loop.train(20)
    loop.hold()
    loop.train(5)


def autocast(loop: Loop) -> None:
    """Train in mixed precision."""
    loop.hold()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loop.train(25)


def compile_model(loop: Loop) -> None:
    """Train a compiled model."""
    loop.hold()
    loop.train(25, torch.compile(loop.model, backend="aot_eager"))


ACCIDENTS = {
    "deepcopy": deep_copy,
    "save, load": save_and_load,
    "resume": resume,
    ".to()": move,
    "new optimizer": new_optimizer,
    "average": average,
    "weight decay": weight_decay,
    "begin late": begin_late,
    "autocast": autocast,
    "compile": compile_model,
}


def accidents(seeds: int = 1) -> pd.DataFrame:
    """Let each of ten everyday actions happen to a mask, held in each of three ways.

    Args:
        seeds: How often, each time with other weights and another mask.

    Returns:
        A row for each action, way and seed, with its `violation` at the end; `action`, `way`,
        `seed` and what is `done` stand beside it.

    Example:
        >>> found = accidents()
        >>> len(found), found.query("way == 'hold' and action == 'deepcopy'")["violation"].item()
        (30, 0.0)
    """
    rows = []
    for action, happens in ACCIDENTS.items():
        for way, keep in WAYS.items():
            for seed in range(seeds):
                happens(loop := Loop(keep, seed))
                rows.append((action, way, seed, loop.violation(), happens.__doc__))
    return pd.DataFrame(rows, columns=["action", "way", "seed", "violation", "done"])
