"""Two senses, a delay, one answer: a task for networks with memory whose best answer is known."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from shapekeeper.randomness import generator
from shapekeeper.regions import Pathway, Region, RegionGraph

from .dense import dense_network
from .task import Data, Pair, Task, accuracy
from .writing import written

__all__ = ["eye_and_ear", "senses", "senses_best", "senses_trials"]

FEATURES = 4  # of each sense
TRAIN, TEST = 4000, 2000


def senses_trials(count: int, rng: torch.Generator, *, noise: float = 0.5, delay: int = 5) -> Pair:
    """Trials of the senses task.

    In the first moment eye and ear each catch a glimpse of a hidden sign, +1 or -1: four features
    of sign/2 + noise · N(0, 1), so that the signal has length 1. During the delay both senses go on
    with noise of the same strength and no sign in it. In the last two moments a go signal is on.
    The answer, due in the last moment, is whether the two signs were equal.

    Args:
        count: How many trials.
        rng: Where the randomness comes from; signs, glimpses and distractors are independent.
        noise: Standard deviation of each feature.
        delay: Moments between glimpse and go.

    Returns:
        Inputs (count, 3 + delay, 9), the eye's four features, the ear's four, the go signal; and
        targets (count,), 1 where the signs are equal.

    Example:
        >>> x, y = senses_trials(5, torch.Generator().manual_seed(0), delay=2)
        >>> x.shape, x[0, :, -1].tolist()
        (torch.Size([5, 5, 9]), [0.0, 0.0, 0.0, 1.0, 1.0])
    """
    signs = 2.0 * torch.randint(2, (count, 2), generator=rng) - 1
    senses = noise * torch.randn(count, 3 + delay, 2, FEATURES, generator=rng)
    senses[:, 0] += signs[..., None] / math.sqrt(FEATURES)
    go = torch.zeros(count, 3 + delay, 1)
    go[:, -2:] = 1
    return torch.cat([senses.flatten(2), go], -1), (signs.prod(-1) > 0).long()


def senses_best(noise: float = 0.5) -> float:
    """The share of right answers of the ideal observer; nobody does better on average.

    The mean of a glimpse says all there is to know about its sign, and guesses it with probability
    p = Φ(1 / noise). Signs are equal with a probability above 1/2 exactly where both guesses are
    equal, and that answer is right if both guesses are right or both wrong: p² + (1 - p)².

    Args:
        noise: Standard deviation of each feature.

    Returns:
        A share from 0.5 to 1.

    Example:
        >>> round(senses_best(0.5), 4)
        0.9555
    """
    right = 0.5 * (1 + math.erf(1 / (noise * math.sqrt(2))))
    return right**2 + (1 - right) ** 2


def eye_and_ear() -> RegionGraph:
    """Eye and ear, apart from each other, an association region, and a motor region that answers.

    The association region also hears the go signal, and the motor region talks back to it.

    Returns:
        A graph with a loop, with positions.

    Example:
        >>> eye_and_ear().is_feedforward, eye_and_ear().problems()
        (False, ())
    """
    regions = (
        Region("eye", 12, position=(104.0, 128.0), input=FEATURES),
        Region("ear", 12, position=(104.0, 352.0), input=FEATURES),
        Region("association", 16, position=(304.0, 240.0), input=1),
        Region("motor", 8, position=(480.0, 240.0), output=True),
    )
    pathways = (
        Pathway("eye", "association"),
        Pathway("ear", "association"),
        Pathway("association", "motor"),
        Pathway("motor", "association"),
    )
    return RegionGraph(regions, pathways, note="Made up: two senses that meet in one region.")


@written
def senses(graph: RegionGraph | None = None, *, noise: float = 0.5, delay: int = 5) -> Task:
    """Remember what the eye saw and what the ear heard, then say whether they agree.

    The answer is the product of two signs: neither sense alone says anything about it, so a network
    whose wiring keeps one of them from the association region stays at one half. Trials are drawn
    afresh for every seed (`senses_trials`); `senses_best` is the best possible accuracy.

    Args:
        graph: The wiring, run as a recurrent network, one update a moment; its input regions see,
            in region order, 9 features: the eye's 4, the ear's 4, and the go signal. None:
            `eye_and_ear()`.
        noise: Standard deviation of each feature; the signal has length 1.
        delay: Moments between glimpse and go.

    Returns:
        A task with cross entropy in the last moment as its loss, and accuracy there as its metric.

    Raises:
        StructureError: If the graph is not a network yet.
        ValueError: If noise is not above 0, or the delay is shorter than one moment.

    Example:
        >>> senses(delay=3).data_for(0)
        Data(train=(4000, 6, 9)->(4000,), test=(2000, 6, 9)->(2000,))
    """
    if not noise > 0 or delay < 1:
        raise ValueError(f"Wanted noise > 0 and delay >= 1, got noise={noise}, delay={delay}.")
    wiring = eye_and_ear() if graph is None else graph
    model = partial(
        dense_network,
        graph=wiring,
        in_features=2 * FEATURES + 1,
        out_features=2,
        steps=3 + delay,
        activation=torch.tanh,
    )
    return Task(
        "senses",
        model=model,
        data=partial(_data, noise=noise, delay=delay),
        loss=_loss_at_the_end,
        metric=_accuracy_at_the_end,
        constraints={"weight": wiring.constraint()},
        batch_size=64,
        optimizer=partial(torch.optim.Adam, lr=5e-3),
    )


def _data(seed: int, *, noise: float, delay: int) -> Data:
    train = senses_trials(TRAIN, generator(seed, "data", 0), noise=noise, delay=delay)
    test = senses_trials(TEST, generator(seed, "data", 1), noise=noise, delay=delay)
    return Data(train, test)


def _loss_at_the_end(prediction: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(prediction[..., -1, :], target)


def _accuracy_at_the_end(prediction: Tensor, target: Tensor) -> Tensor:
    return accuracy(prediction[..., -1, :], target)
