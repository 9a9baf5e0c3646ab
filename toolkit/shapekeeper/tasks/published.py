"""Experiments of published papers on constrained Langevin training, as far as they are known.

What is None is not known: the papers' tables are not repeated here, only what their code and one
figure say. A step size of that code is h itself for the circle; for orthogonality it is a learning
rate, `h^2`. Its momentum is `exp(-friction h)`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import exp, log, sqrt
from typing import Literal

import torch

from shapekeeper.strategies import ConstrainedLangevin

from .fashion import fashion_mnist
from .rules import Circles, OrthogonalLayers
from .spirals import spirals
from .task import Task, TaskError

__all__ = [
    "CIFAR10_RESNET34",
    "DEEP_SPIRALS",
    "FASHION_MNIST",
    "OVERVIEW_SPIRALS",
    "TIGHT_SPIRALS",
    "TRANSFORMER",
    "Published",
    "Reading",
]

WORKSHOP = (
    "B. Leimkuhler, T. Pouchon, T. Vlaar and A. Storkey 2020, "
    "Constraint-based regularization of neural networks, arXiv 2006.10114"
)
CONFERENCE = (
    "B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, "
    "Better training using weight-constrained stochastic dynamics, arXiv 2106.10704"
)
PARTITIONED = (
    "B. Leimkuhler, C. Matthews and T. Vlaar 2019, Partitioned integrators for thermodynamic "
    "parameterization of neural networks, arXiv 1908.11843"
)


@dataclass(frozen=True)
class Reading:
    """One number of a paper.

    Attributes:
        method: What it was reached with, in the paper's word.
        what: What it is, with its unit.
        low: The least it can be.
        high: The most it can be; equal to `low` where it is printed.
        sure: "printed", or "by eye" where it is read off a curve.
    """

    method: str
    what: str
    low: float
    high: float
    sure: Literal["printed", "by eye"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One experiment of a paper: its settings and numbers, and the task where there is one.

    Attributes:
        name: What is learned by what.
        source: The paper.
        method: Of the constrained run, by the paper's word: `c-` is the circle, `o-` is
            orthogonality, `-od` is overdamped (no momenta), `-ud` is underdamped.
        network: In words.
        examples: How many there are to learn from.
        batch_size: Examples a step.
        epochs: Passes through the training data.
        runs: How many, each from a start of its own.
        step_size: h, of the constrained run.
        friction: Per unit of time; None if unknown, or if there are no momenta.
        temperature: In units of the mean loss of a batch.
        radii: Of the first matrix and of all others.
        schedule: First epoch (from 0) -> step size, where it changes.
        numbers: What is known of the results.
        unsure: What of all this is an estimate, or is missing.
        nearest: The call of this library that comes nearest, where the task can't be built.

    Example:
        >>> from shapekeeper.tasks import published
        >>> fashion = published.FASHION_MNIST
        >>> fashion.strategy, fashion.steps
        (ConstrainedLangevin(step_size=0.3, temperature=0.0, friction=1.0), 31200)
        >>> published.OVERVIEW_SPIRALS.task
        Task('spirals', constraints={})
    """

    name: str
    source: str
    method: str
    network: str
    examples: int | None = None
    batch_size: int | None = None
    epochs: int | None = None
    runs: int | None = None
    step_size: float | None = None
    friction: float | None = None
    temperature: float | None = None
    radii: tuple[float, float] | None = None
    schedule: tuple[tuple[int, float], ...] = ()
    numbers: tuple[Reading, ...] = ()
    unsure: str = ""
    nearest: str = ""
    make: Callable[[], Task] | None = field(default=None, repr=False)

    @property
    def task(self) -> Task:
        """The task, built when asked for (Fashion-MNIST is downloaded the first time).

        Raises:
            TaskError: If this library can't build it.
        """
        if self.make is None:
            problem = "Its data or its network are not part of this library"
            raise TaskError(self.name, [f"{problem}; {self.nearest} comes nearest."])
        return self.make()

    @property
    def strategy(self) -> ConstrainedLangevin:
        """Constrained Langevin dynamics with these settings; a schedule is not part of it.

        Raises:
            TaskError: If a setting is not known, or something else was used.
        """
        if not ("CoLA" in self.method or self.method.startswith("C-")):
            raise TaskError(self.name, [f"It was trained by {self.method}, without constraints."])
        underdamped = self.method.endswith("-ud")
        settings = {"step_size": self.step_size, "temperature": self.temperature}
        settings |= {"friction": self.friction} if underdamped else {}
        unknown = [name for name, value in settings.items() if value is None]
        if unknown:
            problem = (
                f"The paper's {' and '.join(unknown)} are not known: choose them by validation"
            )
            raise TaskError(self.name, [f"{problem} and make a ConstrainedLangevin yourself."])
        return ConstrainedLangevin(**settings)  # type: ignore[arg-type]  # none of them is None

    @property
    def steps(self) -> int:
        """Steps of all epochs, of full batches alone.

        Raises:
            TaskError: If that is not known.
        """
        if self.epochs is None or self.examples is None or self.batch_size is None:
            raise TaskError(self.name, ["The paper's number of steps is not known."])
        return self.epochs * (self.examples // self.batch_size)

    @property
    def momentum(self) -> float:
        """What is left of the momenta after a step, `exp(-friction h)`; 0 without momenta."""
        if self.friction is None or self.step_size is None:
            return 0.0
        return exp(-self.friction * self.step_size)


def _overview() -> tuple[Reading, ...]:
    """Per method: accuracy as printed (%), and where its curves of loss end."""
    known = {
        "SGD": (81.0, (1.7, 1.7), (0.0, 0.0)),
        "SGD with weight decay": (80.45, (1.0, 1.0), (0.03, 0.03)),
        "C-SGD": (86.95, (0.4, 0.4), (0.07, 0.07)),
        "SGLD": (84.45, (0.75, 1.3), (0.0, 0.0)),
        "C-SGLD": (91.7, (0.2, 0.25), (0.05, 0.05)),
    }
    return tuple(
        reading
        for method, (accuracy, tested, trained) in known.items()
        for reading in (
            Reading(method, "test accuracy, %", accuracy, accuracy, "printed"),
            Reading(method, "training accuracy, %", 100.0, 100.0, "printed"),
            Reading(method, "test loss", *tested, "by eye"),
            Reading(method, "training loss", *trained, "by eye"),
        )
    )


OVERVIEW_SPIRALS = Published(
    name="two spirals, overview figure",
    source=CONFERENCE,
    method="C-SGLD",
    network="perceptron, size unknown",
    epochs=10_000,
    numbers=_overview(),
    unsure=(
        "100 points, 2 turns and noise of 0.05 are estimates from the picture, 2000 test points "
        "an estimate from accuracies in steps of 0.05 %; that C is the circle is likely. Network, "
        "step sizes, temperature and radii are not known."
    ),
    make=spirals,
)

FASHION_MNIST = Published(
    name="Fashion-MNIST, perceptron",
    source=CONFERENCE,
    method="c-CoLA-ud",
    network="784-1000-10, ReLU",
    examples=10_000,
    batch_size=128,
    epochs=400,
    runs=20,
    step_size=0.3,
    friction=1.0,
    temperature=0.0,
    radii=(0.05, 0.1),
    unsure="All settings are those of the published code; its last batch is a smaller one.",
    make=partial(fashion_mnist, constraints=Circles(0.05, 0.1)),
)

# Learning rates h^2 of 1/30, 1/15 and 1/10 to warm up, then 0.1, 0.01 and 0.001.
_RATES = ((0, 1 / 30), (1, 2 / 30), (2, 0.1), (51, 0.01), (101, 0.001))

CIFAR10_RESNET34 = Published(
    name="CIFAR-10, ResNet-34",
    source=CONFERENCE,
    method="o-CoLA-ud",
    network="ResNet-34 with batch normalization; all weights of two axes or more are bound but the "
    "first",
    examples=50_000,
    batch_size=128,
    epochs=150,
    runs=3,
    step_size=sqrt(0.1),
    friction=-log(0.9) / sqrt(0.1),
    temperature=0.0,
    schedule=tuple((epoch, sqrt(rate)) for epoch, rate in _RATES),
    unsure=(
        "All settings are those of the published code: images cropped, flipped and normalized, no "
        "weight decay, 10 sweeps back to the set a step. Its momentum stays 0.9 while the step "
        "size falls, which no single friction says: this one is that of the largest step."
    ),
    nearest="sk.tasks.noisy_digits(hidden=(100, 100), constraints=sk.tasks.OrthogonalLayers())",
)

DEEP_SPIRALS = Published(
    name="two spirals, deeper perceptrons",
    source=CONFERENCE,
    method="o-CoLA-od",
    network="perceptrons with layers of 100 units, of several depths",
    unsure=(
        "Three hidden layers and all settings are ours. The paper is said to find that a price on "
        "|W'W - 1|^2 never reaches the exact constraint, whatever its strength."
    ),
    make=partial(spirals, hidden=(100, 100, 100), constraints=OrthogonalLayers()),
)

TRANSFORMER = Published(
    name="language model, transformer",
    source=WORKSHOP,
    method="c-CoLA-ud",
    network="a small transformer, size unknown",
    unsure="That the paper trains on language is certain; data and all settings are not known.",
    nearest="sk.tasks.text(constraints=sk.tasks.Circles(0.3))",
)

TIGHT_SPIRALS = Published(
    name="two tight spirals",
    source=PARTITIONED,
    method="Adam",
    network="2-100-1, ReLU",
    examples=500,
    batch_size=25,
    epochs=4000,
    step_size=0.005,
    numbers=(Reading("Adam", "test accuracy at the end, %", 68.6, 68.6, "printed"),),
    unsure="From the notebook published with the paper; accuracies there are from 63 to 70 %.",
    make=partial(
        spirals,
        radius=2.0,
        turns=4.0,
        noise=0.02,
        train=500,
        test=1000,
        batch_size=25,
        optimizer=partial(torch.optim.Adam, lr=0.005),
    ),
)
