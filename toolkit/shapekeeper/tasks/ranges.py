"""Nodes that must stay in a range."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from shapekeeper.constraints import Box
from shapekeeper.randomness import generator

from .task import Data, Task
from .writing import written

__all__ = ["ranges"]

NODES = 8
_ADAM = partial(torch.optim.Adam, lr=1e-2)


@written
def ranges(*, shift: float = 0.0) -> Task:
    """Fit a surface through 8 nodes, each of which must stay between 0 and 1.

    Inputs are drawn from the square from -1 to 1; `"far"` is a shifted test set from the square of
    four times that width, where nothing was learned and nothing was checked.

    Args:
        shift: Added to the bias of the 8 nodes at the start: 2 begins outside of the range.

    Returns:
        A task with the mean squared error as loss and metric.

    Example:
        >>> task = ranges()
        >>> task.constraints, task.data_for(0)
        ({'nodes': Box(low=0.0, high=1.0)}, Data(train=(1000, 2)->(1000, 1), \
test=(1000, 2)->(1000, 1), far=(1000, 2)->(1000, 1)))
    """
    return Task(
        "ranges",
        model=partial(_network, shift=shift),
        data=_data,
        loss=mse_loss,
        metric=mse_loss,
        constraints={"nodes": Box(0.0, 1.0)},
        batch_size=64,
        optimizer=_ADAM,
        better="lower",
        metric_name="squared error",
    )


class Through(nn.Module):
    """Two inputs -> 24 -> the nodes -> 24 -> one number."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, NODES))
        self.surface = nn.Sequential(nn.Linear(NODES, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Heights `(batch, 1)`."""
        return self.surface(self.nodes(x))


def _network(seed: int, shift: float) -> nn.Module:
    network = Through()
    with torch.no_grad():
        network.get_parameter("nodes.2.bias").add_(shift)
    return network


def _data(seed: int) -> Data:
    parts = {name: _points(seed, name, 1.0) for name in ("train", "test")}
    return Data(**parts, far=_points(seed, "far", 4.0))


def _points(seed: int, name: str, reach: float) -> tuple[Tensor, Tensor]:
    x = torch.rand(1000, 2, generator=generator(seed, f"ranges/{name}")) * 2 * reach - reach
    return x, (3 * x[:, :1]).sin() * (2 * x[:, 1:]).cos()
