"""Small problems on which notebook 04 looks at strategies."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import mse_loss

from shapekeeper.constraints import Connections
from shapekeeper.holding import hold
from shapekeeper.randomness import generator
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Data, Task, digits, pencil

__all__ = ["held_imitation", "imitation", "imitation_best", "new_names", "pencil_walk"]

SOURCES, TARGETS, OPEN = 40, 24, 250


def pencil_walk(
    strategy: Strategy, steps: int = 150, start: tuple[float, float] = (0.0, 0.0)
) -> pd.DataFrame:
    """Every step of a training of the pencil problem, by the task's own optimizer.

    Args:
        strategy: How b = 0 is held.
        steps: How many steps.
        start: Weights (a, b) to start from.

    Returns:
        One row for the start and one for each step: the weights `a` and `b`, the `loss`, the loss
        `held` once b is set to 0, and the `price`: the multiplier of b, NaN where there is none.

    Example:
        >>> from shapekeeper import Projection
        >>> pencil_walk(Projection(), steps=3)["b"].to_list()
        [0.0, 0.0, 0.0, 0.0]
    """
    task = pencil(start=start)
    net, (x, y) = task.start_model(0), task.data_for(0).train
    assert isinstance(net, nn.Linear)
    optimizer = task.optimizer(net.parameters())
    held = hold(net, task.constraints, strategy, optimizer, steps=steps)
    rows = []
    for step in range(steps + 1):
        a, b = net.weight.detach().flatten().tolist()
        price = held.state_dict()["memory"]["weight"].get("equal", torch.tensor([torch.nan]))
        rows.append((a, b, _pencil_loss(a, b), _pencil_loss(a, 0.0), price.flatten()[-1].item()))
        if step < steps:
            optimizer.zero_grad()
            (task.loss(net(x), y) + held.penalty()).backward()
            optimizer.step()
    return pd.DataFrame(rows, columns=["a", "b", "loss", "held", "price"])


def _pencil_loss(a: float, b: float) -> float:
    return (a + b - 1) ** 2 + (a + 2 * b - 3) ** 2


def imitation() -> Task:
    """A linear layer imitates another one that uses all its wires; most of its own are closed.

    40 sources, 24 targets, 960 weights of which 710 are closed, 256 examples, all in each batch. A
    convex problem: every start leads to the same place, which `imitation_best` knows.

    Returns:
        A task whose metric is the loss, lower is better, on the examples it learns from.

    Example:
        >>> int((~imitation().constraints["weight"].mask).sum())
        710
    """
    draw = generator(0, "course/imitation")
    mask = torch.zeros(TARGETS * SOURCES, dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=draw)[:OPEN]] = True
    x, teacher = (torch.randn(n, SOURCES, generator=draw) for n in (256, TARGETS))
    examples = x, x @ teacher.T / SOURCES**0.5
    return Task(
        "imitation",
        model=_plain_layer,
        data=Data(examples, examples),
        loss=mse_loss,
        metric=mse_loss,
        constraints={"weight": Connections(mask.view(TARGETS, SOURCES))},
        batch_size=256,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        better="lower",
        metric_name="loss",
    )


def _plain_layer(seed: int) -> nn.Module:
    return nn.Linear(SOURCES, TARGETS, bias=False)


def held_imitation(strategy: Strategy) -> tuple[nn.Module, Callable[..., None]]:
    """The layer of `imitation`, held, and a way to train it toward random numbers.

    Args:
        strategy: How its closed weights are held; the stages of a staged one share 100 steps.

    Returns:
        The layer, and `train(steps, size=1.0)`: so many steps of gradient descent with momentum,
        toward targets of this size that nobody can learn.

    Example:
        >>> from shapekeeper import Projection
        >>> layer, train = held_imitation(Projection())
        >>> train(5, size=10.0)
        >>> bool(imitation().constraints["weight"].allows(layer.weight))
        True
    """
    task, noise = imitation(), generator(0, "course/noise")
    layer = task.start_model(0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9)
    held = hold(layer, task.constraints, strategy, optimizer, steps=100)

    def train(steps: int, size: float = 1.0) -> None:
        for _ in range(steps):
            x, y = (torch.randn(64, n, generator=noise) for n in (SOURCES, TARGETS))
            optimizer.zero_grad()
            ((layer(x) - size * y).square().mean() + held.penalty()).backward()
            optimizer.step()

    return layer, train


def imitation_best() -> float:
    """The lowest loss of `imitation` with all closed weights at 0, by least squares.

    Returns:
        The loss. Targets don't share weights, so each is a least-squares problem of its own, in its
        open wires.

    Example:
        >>> 0.6 < imitation_best() < 0.9
        True
    """
    task = imitation()
    x, y = (part.double().numpy() for part in task.data_for(0).train)
    connections, missed = task.constraints["weight"], 0.0
    assert isinstance(connections, Connections)
    for wires, wanted in zip(connections.mask.numpy(), y.T, strict=True):
        weights = np.linalg.lstsq(x[:, wires], wanted, rcond=None)[0]
        missed += np.square(x[:, wires] @ weights - wanted).sum()
    return float(missed / y.size)


def new_names(nets: Sequence[nn.Module], count: int, known: int = 300) -> Task:
    """Few images of digits under new names, for networks that know the digits.

    Each seed draws new names for the ten digits, and its examples from the images that come after
    the known ones. Its network begins with everything that `nets[seed]` has learned but the last
    layer, which has to learn the names.

    Args:
        nets: Networks trained on `tasks.digits()`, one for each seed.
        count: How many examples there are to learn from.
        known: How many of the training images `nets` have seen.

    Returns:
        A task; the test images are those of `tasks.digits()` under the new names.

    Raises:
        ValueError: If there are not so many images.

    Example:
        >>> new_names([], count=20).data_for(0)
        Data(train=(20, 64)->(20,), test=(597, 64)->(597,))
    """
    base = digits()
    rest = len(base.data_for(0).train[0]) - known
    if not 1 <= count <= rest:
        raise ValueError(f"Wanted from 1 to {rest} examples, got {count}.")
    return Task(
        f"digits under new names, {count} examples",
        model=partial(_with_new_ending, base=base, nets=nets),
        data=partial(_renamed, base=base, count=count, known=known),
        loss=base.loss,
        metric=base.metric,
        constraints=base.constraints,
        batch_size=min(count, base.batch_size),
        optimizer=base.optimizer,
    )


def _renamed(seed: int, *, base: Task, count: int, known: int) -> Data:
    (x, y), (images, digit) = base.data_for(seed).train, base.data_for(seed).test
    draw = generator(seed, "course/names")
    names = torch.randperm(10, generator=draw)
    chosen = known + torch.randperm(len(x) - known, generator=draw)[:count]
    return Data((x[chosen], names[y[chosen]]), (images, names[digit]))


def _with_new_ending(seed: int, *, base: Task, nets: Sequence[nn.Module]) -> nn.Module:
    net, learned = base.model(seed), dict(nets[seed].named_parameters())
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if not name.startswith("output_"):
                parameter.copy_(learned[name])
    return net
