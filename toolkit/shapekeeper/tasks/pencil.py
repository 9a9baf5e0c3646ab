"""The pencil problem: two weights, two data points, every answer known by hand."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shapekeeper.constraints import Connections

from .task import Data, Task
from .writing import written

__all__ = ["PencilAnswer", "pencil", "pencil_answer", "squared_error"]


class PencilAnswer(NamedTuple):
    """Where training of the pencil problem ends.

    Attributes:
        a: The open weight.
        b: The closed weight.
        loss: The loss there, price not counted.
        held: The loss after b has been set to 0, a as it is.
    """

    a: float
    b: float
    loss: float
    held: float


def pencil_answer(strength: float) -> PencilAnswer:
    """The minimum of loss + strength · b², by hand.

    For any b the best a is 2 - 3b/2, and the loss is then 2(1 - b/2)². Its slope at b = 0 is -2:
    the Lagrange multiplier of the constraint b = 0 is 2. With the price, b = 1 / (strength + 1/2).

    Args:
        strength: Price of b² in units of the loss; 0 is free training, infinity means held.

    Returns:
        The minimum, and what is left of it when b is cut.

    Example:
        >>> pencil_answer(0.0)
        PencilAnswer(a=-1.0, b=2.0, loss=0.0, held=20.0)
        >>> pencil_answer(float("inf"))
        PencilAnswer(a=2.0, b=0.0, loss=2.0, held=2.0)
    """
    b = 1 / (strength + 0.5)
    return PencilAnswer(2 - 1.5 * b, b, 2 * (1 - b / 2) ** 2, 2 + 4.5 * b**2)


@written
def pencil(start: tuple[float, float] | None = None) -> Task:
    """The pencil problem: L(a, b) = (a + b - 1)² + (a + 2b - 3)², constraint b = 0.

    A linear unit without bias sees (1, 1) and should say 1, sees (1, 2) and should say 3. Free
    training ends at a = -1, b = 2 with L = 0, and at L = 20 once b is cut; held from the start it
    ends at a = 2 with L = 2. `pencil_answer` has all of it, and what a penalty does in between.

    Args:
        start: Weights (a, b) to start from, the same for every seed; None: uniform in ±0.7,
            drawn per seed.

    Returns:
        A task whose metric is the loss itself, lower is better, on the two training points.

    Example:
        >>> task = pencil(start=(0.0, 0.0))
        >>> x, y = task.data_for(0).train
        >>> task.loss(task.start_model(0)(x), y).item()
        10.0
    """
    points = torch.tensor([[1.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0], [3.0]])
    return Task(
        "pencil problem",
        model=partial(_unit, start=start),
        data=Data(points, points),
        loss=squared_error,
        metric=squared_error,
        constraints={"weight": Connections([[1, 0]])},
        batch_size=2,
        optimizer=partial(torch.optim.Adam, lr=0.1),
        better="lower",
        metric_name="loss",
    )


def _unit(seed: int, start: tuple[float, float] | None) -> nn.Module:
    unit = nn.Linear(2, 1, bias=False)
    if start is not None:
        unit.weight = nn.Parameter(torch.tensor([start], dtype=unit.weight.dtype))
    return unit


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Sum of squared errors.

    Args:
        prediction: Any shape.
        target: The same shape.

    Returns:
        A scalar tensor.

    Example:
        >>> squared_error(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item()
        4.0
    """
    return (prediction - target).square().sum()
