"""Fashion-MNIST, which is downloaded when it is asked for and kept on disk."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import fetch_openml, get_data_home
from torch import Tensor
from torch.nn.functional import cross_entropy

from shapekeeper.randomness import generator

from .perceptron import perceptron
from .rules import Binding, bound
from .task import Data, Task, TaskError, accuracy
from .writing import written

__all__ = ["fashion_mnist"]

PIXELS, CLASSES = 784, 10

# h = 0.3 with friction 1: learning rate h^2, momentum exp(-0.3).
_SGD = partial(torch.optim.SGD, lr=0.09, momentum=0.74)


@written
def fashion_mnist(
    *,
    train: int = 10_000,
    validation: int = 0,
    hidden: tuple[int, ...] = (1000,),
    data_home: str | Path | None = None,
    constraints: Binding | None = None,
    batch_size: int = 128,
    optimizer: Callable[..., torch.optim.Optimizer] = _SGD,
) -> Task:
    """Name the piece of clothing in a gray image of 28 × 28 pixels, after 10 000 of them.

    H. Xiao, K. Rasul and R. Vollgraf 2017, Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms, arXiv 1708.07747. The first call downloads it from OpenML (data set
    40996, about 30 MB) by scikit-learn's `fetch_openml`, which keeps it on disk; later calls need
    no network.

    The split is that of B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, Better training
    using weight-constrained stochastic dynamics, arXiv 2106.10704: 10 000 of the 60 000 official
    training images, the same for every seed, to learn from; the 10 000 official test images and all
    the unused training images as test. They name no validation part: ask for one before settings
    are chosen, it is taken out of the unused training images. Each run holds 240 MB while the
    hidden layer of all test images is computed.

    Args:
        train: Images to learn from.
        validation: Images for choosing settings.
        hidden: Units of each hidden layer.
        data_home: Where scikit-learn keeps data; None: `~/scikit_learn_data`.
        constraints: What binds the weights: `Circles(0.05, 0.1)`, or names and constraints.
        batch_size: Images a step.
        optimizer: Parameters -> optimizer.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric.

    Raises:
        TaskError: If the data are neither on disk nor to be had, if there are not so many images,
            or if a circle is too small for the start.

    Example:
        >>> fashion_mnist(train=0)
        Traceback (most recent call last):
        shapekeeper.tasks.task.TaskError: Fashion-MNIST: Wanted train >= 1 and validation >= 0, \
got 0 and 0.
    """
    if train < 1 or validation < 0:  # before anything is downloaded
        problem = f"Wanted train >= 1 and validation >= 0, got {train} and {validation}."
        raise TaskError("Fashion-MNIST", [problem])
    pixels, labels = _images(data_home)
    task = Task(
        "Fashion-MNIST",
        model=partial(perceptron, sizes=(PIXELS, *hidden, CLASSES)),
        data=_split(pixels, labels, train, validation),
        loss=cross_entropy,
        metric=accuracy,
        batch_size=batch_size,
        optimizer=optimizer,
    )
    return bound(task, constraints)


def _images(data_home: str | Path | None) -> tuple[Tensor, Tensor]:
    """All images (n, 784) from 0 to 1 and classes (n,), the official training images first."""
    home = get_data_home(None if data_home is None else str(data_home))
    try:
        pixels, labels = fetch_openml(
            "Fashion-MNIST",
            version=1,
            data_home=home,
            as_frame=False,
            parser="pandas",
            return_X_y=True,
            # Plain numbers: as categories, pandas 3 hands the parser whole numbers for the digits,
            # and it expects strings.
            read_csv_kwargs={"dtype": "float32"},
        )
    # No network is an OSError, OpenML's own answers and a damaged file are ValueErrors.
    except (OSError, ValueError) as error:
        problem = (
            f"Wanted the data in {home!r} or a network to download it, but got "
            f"{type(error).__name__}: {error}. Connect once, or copy the folder 'openml' from the "
            "scikit_learn_data of a machine that has it and name its parent as data_home=...; "
            "noisy_digits() asks the same question of images that need no download."
        )
        raise TaskError("Fashion-MNIST", [problem]) from error
    images = torch.tensor(np.asarray(pixels, np.float32)) / 255
    return images, torch.tensor(np.asarray(labels).astype(np.int64))


def _split(pixels: Tensor, labels: Tensor, train: int, validation: int) -> Data:
    official = len(labels) * 6 // 7  # 60 000 of 70 000
    if train + validation > official:
        problem = (
            f"Wanted train and validation to be no more than {official} together, "
            f"got {train} and {validation}."
        )
        raise TaskError("Fashion-MNIST", [problem])
    order = torch.randperm(official, generator=generator(0, "Fashion-MNIST"))
    learned, chosen, unused = order.split([train, validation, official - train - validation])
    tested = torch.cat([torch.arange(official, len(labels)), unused])
    return Data(
        train=(pixels[learned], labels[learned]),
        validation=(pixels[chosen], labels[chosen]) if validation else None,
        test=(pixels[tested], labels[tested]),
    )
