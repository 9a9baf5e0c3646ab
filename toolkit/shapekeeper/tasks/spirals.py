"""Two spirals: a few noisy points, and a network that could learn each of them by heart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from shapekeeper.randomness import generator

from .perceptron import perceptron
from .rules import Binding, bound
from .task import Data, Pair, Task, TaskError
from .writing import written

__all__ = ["Spirals", "spirals"]

_SGD = partial(torch.optim.SGD, lr=0.09, momentum=0.9)


@dataclass(frozen=True)
class Spirals:
    """Points on two spirals, one of them the other turned by half a turn, with noise.

    Class 0 lies on the curve `radius t^power (cos a, sin a)`, `a = 2 pi turns t^power`, with t even
    from 0 to 1; class 1 consists of the same points with the other sign. With a power of 1/2
    the points are spread evenly over the disk, not along the curve. Then each coordinate of each
    point gets noise of its own.

    Args:
        radius: Where the curves end.
        turns: How often each of them goes around.
        power: Of t, more than 0.
        noise: Standard deviation of the noise, in the units of the radius.

    Raises:
        TaskError: If a setting can't be; all of them at once.

    Example:
        >>> x, y = Spirals(noise=0.0).points(4, torch.Generator().manual_seed(0))
        >>> y.tolist(), bool((x[2:] == -x[:2]).all())
        ([0, 0, 1, 1], True)
    """

    radius: float = 1.0
    turns: float = 2.0
    power: float = 0.5
    noise: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what can't be drawn, with all problems at once."""
        problems = [
            f"{name} must be above 0, got {getattr(self, name)}."
            for name in ("radius", "turns", "power")
            if not getattr(self, name) > 0
        ]
        if not self.noise >= 0:
            problems.append(f"noise must be at least 0, got {self.noise}.")
        if problems:
            raise TaskError("spirals", problems)

    def curve(self, t: Tensor) -> Tensor:
        """Where class 0 lies without noise.

        Args:
            t: Places (n,) along the curve, from 0 in the middle to 1 at its end.

        Returns:
            Points (n, 2).

        >>> Spirals(turns=1.0).curve(torch.tensor([0.0, 1.0])).tolist()[0]
        [0.0, 0.0]
        """
        out = t**self.power
        angle = 2 * pi * self.turns * out
        return self.radius * out[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    def points(self, count: int, rng: torch.Generator) -> Pair:
        """Noisy points of both classes, half of each.

        Args:
            count: How many, an even number.
            rng: Where the randomness comes from.

        Returns:
            Points (count, 2) and classes (count,), class 0 first.

        >>> Spirals().points(6, torch.Generator())[0].shape
        torch.Size([6, 2])
        """
        clean = self.curve(torch.rand(count // 2, generator=rng))
        noise = torch.randn(count, 2, generator=rng)
        classes = torch.arange(2).repeat_interleave(count // 2)
        return torch.cat([clean, -clean]) + self.noise * noise, classes


@written
def spirals(
    *,
    radius: float = 1.0,
    turns: float = 2.0,
    power: float = 0.5,
    noise: float = 0.05,
    train: int = 100,
    validation: int = 1000,
    test: int = 2000,
    hidden: tuple[int, ...] = (100,),
    constraints: Binding | None = None,
    batch_size: int = 20,
    optimizer: Callable[..., torch.optim.Optimizer] = _SGD,
) -> Task:
    """Tell two noisy spirals apart after 100 points, with a network that can learn them by heart.

    All points are drawn afresh for every seed (`Spirals`): each run has data and a start of its
    own. The recipe is that of the overview figure that B. Leimkuhler, T. Vlaar, T. Pouchon and
    A. Storkey published with the code of their paper of 2021, Better training using
    weight-constrained stochastic dynamics, arXiv 2106.10704, as far
    as it can be read off: the number of points and the noise are estimates. The tight spirals of
    the first author's later comparisons are `spirals(radius=2, turns=4, noise=0.02, train=500,
    test=1000, batch_size=25)`: hard, a few thousand steps are too few.

    Args:
        radius: Where the curves end.
        turns: How often each of them goes around.
        power: How points spread along the curve; 1/2 is evenly over the disk.
        noise: Standard deviation of each coordinate.
        train: Points to learn from, both classes together; even, as the next two.
        validation: Points for choosing settings; many more than there are to learn from, so that a
            choice does not hang on luck.
        test: Points to be judged by.
        hidden: Units of each hidden layer.
        constraints: What binds the weights: `Circles(5, 2)`, or names and constraints.
        batch_size: Points a step.
        optimizer: Parameters -> optimizer.

    Returns:
        A task with one logit, binary cross entropy as its loss and accuracy as its metric.

    Raises:
        TaskError: If a setting can't be; or a circle is too small for the start.

    Example:
        >>> from shapekeeper.tasks import Circles
        >>> task = spirals(constraints=Circles(5, 2))
        >>> task.constraints, task.code
        ({'0.weight': Circle(radius=5), '2.weight': Circle(radius=2)}, \
'sk.tasks.spirals(constraints=sk.tasks.Circles(first=5, others=2))')
        >>> task.data_for(0)
        Data(train=(100, 2)->(100,), test=(2000, 2)->(2000,), validation=(1000, 2)->(1000,))
    """
    sizes = {"train": train, "validation": validation, "test": test}
    odd = [
        f"{n} must be even and above 0, got {size}."
        for n, size in sizes.items()
        if size < 2 or size % 2
    ]
    if odd:
        raise TaskError("spirals", odd)
    drawn = Spirals(radius, turns, power, noise)
    task = Task(
        "spirals",
        model=partial(perceptron, sizes=(2, *hidden, 1)),
        data=partial(_data, spirals=drawn, sizes=sizes),
        loss=_cross_entropy,
        metric=_accuracy,
        batch_size=batch_size,
        optimizer=optimizer,
    )
    return bound(task, constraints)


def _data(seed: int, *, spirals: Spirals, sizes: dict[str, int]) -> Data:
    draws = {part: generator(seed, f"spirals/{part}") for part in sizes}
    return Data(**{part: spirals.points(sizes[part], rng) for part, rng in draws.items()})


def _cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logit.squeeze(-1), target.to(logit.dtype))


def _accuracy(logit: Tensor, target: Tensor) -> Tensor:
    return ((logit.squeeze(-1) > 0) == (target > 0)).to(logit.dtype).mean()
