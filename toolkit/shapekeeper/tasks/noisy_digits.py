"""Few real digits, some of them under a wrong name: what is learned by heart does harm."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from shapekeeper.randomness import generator

from .digits import digit_images
from .perceptron import perceptron
from .rules import Binding, bound
from .task import Data, Task, TaskError, accuracy
from .writing import written

__all__ = ["noisy_digits"]

CLASSES, PIXELS = 10, 64
_SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)


@written
def noisy_digits(
    *,
    train: int = 300,
    redrawn: float = 0.1,
    hidden: tuple[int, ...] = (200,),
    constraints: Binding | None = None,
    batch_size: int = 32,
    optimizer: Callable[..., torch.optim.Optimizer] = _SGD,
) -> Task:
    """Name real digits after 300 images, a tenth of which have a label drawn by lot.

    No image ever changes sides: test and learning are the parts of `digit_images`, for all seeds.
    Each seed draws its own 300 of the 1000 training images, and which 30 of these get a new label,
    drawn evenly from all ten classes, so that about 27 are wrong. The other 700 and the 200
    validation images, all with their true labels, are the validation part; the 597 test images are
    the test.

    Args:
        train: Images to learn from, at most 999.
        redrawn: Share of the labels that are drawn by lot.
        hidden: Units of each hidden layer.
        constraints: What binds the weights: `Circles(0.175, 0.225)`, or names and constraints.
        batch_size: Images a step.
        optimizer: Parameters -> optimizer.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric.

    Raises:
        TaskError: If a setting can't be; or a circle is too small for the start.

    Example:
        >>> noisy_digits().data_for(0)
        Data(train=(300, 64)->(300,), test=(597, 64)->(597,), validation=(900, 64)->(900,))
    """
    images = digit_images()
    pool = len(images["train"][1])
    problems = []
    if not 0 < train < pool:
        problems.append(f"train must be from 1 to {pool - 1}, got {train}.")
    if not 0 <= redrawn <= 1:
        problems.append(f"redrawn must be a share from 0 to 1, got {redrawn}.")
    if problems:
        raise TaskError("noisy digits", problems)
    task = Task(
        "noisy digits",
        model=partial(perceptron, sizes=(PIXELS, *hidden, CLASSES)),
        data=partial(_data, images=images, train=train, redrawn=redrawn),
        loss=cross_entropy,
        metric=accuracy,
        batch_size=batch_size,
        optimizer=optimizer,
    )
    return bound(task, constraints)


def _data(seed: int, *, images: dict, train: int, redrawn: float) -> Data:
    x, y = images["train"]
    rng = generator(seed, "noisy digits")
    order = torch.randperm(len(y), generator=rng)
    chosen, others = order[:train], order[train:]
    labels = y[chosen]
    # The order is random already: the first of the chosen are as good as any.
    count = round(redrawn * train)
    labels[:count] = torch.randint(CLASSES, (count,), generator=rng)
    more = images["validation"]
    return Data(
        train=(x[chosen], labels),
        validation=(torch.cat([x[others], more[0]]), torch.cat([y[others], more[1]])),
        test=images["test"],
    )
