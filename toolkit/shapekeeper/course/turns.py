"""Two sheets of one set: rotations, and rotations with a mirror."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from shapekeeper.constraints import Orthogonal
from shapekeeper.randomness import generator
from shapekeeper.tasks import Data, Task

__all__ = ["turns"]

SIZE, EXAMPLES, NOISE = 16, 400, 0.1


def turns(sheet: Literal[1, -1]) -> Task:
    """A linear layer learns an orthogonal matrix from noisy examples, and begins at a rotation.

    The matrix to be found is 16 × 16 and drawn afresh for each seed, as are 400 examples to learn
    from, 400 to be judged by, and the start. The noise has a standard deviation of 0.1, so that
    0.01 is the lowest loss to be had.

    Args:
        sheet: The determinant of the matrix to be found: 1 like that of the start, or -1.

    Returns:
        A task whose metric is the loss, lower is better; its weight is to be orthogonal.

    Raises:
        ValueError: If the sheet is neither of the two.

    Example:
        >>> task = turns(-1)
        >>> round(torch.linalg.det(task.start_model(0).weight).item(), 3), list(task.constraints)
        (1.0, ['weight'])
    """
    if sheet not in (1, -1):
        raise ValueError(f"Wanted sheet=1 or sheet=-1, got {sheet!r}.")
    return Task(
        f"turns, determinant {sheet}",
        model=_layer,
        data=partial(_examples, sheet=sheet),
        loss=mse_loss,
        metric=mse_loss,
        constraints={"weight": Orthogonal()},
        batch_size=50,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        better="lower",
        metric_name="loss",
    )


def _on_sheet(sheet: int, rng: torch.Generator) -> Tensor:
    """An orthogonal matrix with this determinant."""
    matrix = Orthogonal().sample((SIZE, SIZE), rng)
    if torch.linalg.det(matrix) * sheet < 0:
        matrix[0] *= -1
    return matrix


def _layer(seed: int) -> nn.Module:
    layer = nn.Linear(SIZE, SIZE, bias=False)
    layer.weight = nn.Parameter(_on_sheet(1, generator(seed, "course/turn start")))
    return layer


def _examples(seed: int, *, sheet: int) -> Data:
    draw = generator(seed, "course/turns")
    matrix = _on_sheet(sheet, draw)
    x = torch.randn(2, EXAMPLES, SIZE, generator=draw)
    y = x @ matrix.T + NOISE * torch.randn(2, EXAMPLES, SIZE, generator=draw)
    return Data((x[0], y[0]), (x[1], y[1]))
