"""The model factory of tasks on plain vectors: layers of ReLU units."""

from itertools import pairwise

from torch import nn

from .task import TaskError

__all__ = ["perceptron"]


def perceptron(seed: int, *, sizes: tuple[int, ...]) -> nn.Sequential:
    """A multilayer perceptron with PyTorch's default start, `U(-1/sqrt(fan-in), 1/sqrt(fan-in))`.

    Args:
        seed: The run's seed; the weights follow from the random state, which `Task` seeds.
        sizes: Units of each layer, from the input to the answer.

    Returns:
        Linear layers with a ReLU between each two; their weights are `0.weight`, `2.weight`, ...

    Raises:
        TaskError: If a layer has no units.

    Example:
        >>> [name for name, _ in perceptron(0, sizes=(2, 100, 1)).named_parameters()]
        ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if min(sizes) < 1:
        raise TaskError("perceptron", [f"Every layer needs a unit, got sizes={sizes}."])
    layers: list[nn.Module] = []
    for source, target in pairwise(sizes):
        layers += [nn.Linear(source, target), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
