"""A task: data, a model factory, a loss, a metric, and the constraints on named tensors.

A task holds no random numbers. Everything that is drawn follows from (seed, purpose, position), so
that a run alone, in company, resumed or on another machine sees the same data, starting weights
and batches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from shapekeeper.constraints import Constraint, ConstraintError
from shapekeeper.randomness import generator, seed_of

__all__ = ["Data", "Task", "TaskError", "accuracy", "batch_indices"]

Pair: TypeAlias = tuple[Tensor, Tensor]
Score: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_ADAM = partial(torch.optim.Adam, lr=3e-3)
_NAMED = ("train", "test", "validation")


class TaskError(ValueError):
    """A task or its data can't be trained on; the message says everything that is wrong.

    Attributes:
        problems: One sentence each.
    """

    def __init__(self, where: str, problems: list[str]):
        """Join the problems to one message.

        Args:
            where: What has the problems, the first words of the message.
            problems: One sentence each.
        """
        self.problems = problems
        self._arguments = (where, problems)
        super().__init__(f"{where}: " + " ".join(problems))

    def __reduce__(self):
        """Pickle by the two arguments, so that a worker process can send the error home."""
        return type(self), self._arguments


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Data:
    """What to learn from and what to be judged by; each part is a pair (inputs, targets).

    Args:
        train: Inputs (examples, ...) and targets (examples, ...) to learn from.
        test: The same for judging; nothing is ever chosen by it.
        validation: The same for choosing settings, or None.
        **shifted: Further test sets under a name, e.g. `noisy=(inputs, targets)`.

    Attributes:
        train: As given; numpy arrays have become tensors of their own dtype.
        test: As given.
        validation: As given.
        shifted: Name -> pair.

    Raises:
        TaskError: If a part is no pair, is empty, has unequal lengths, or examples of another shape
            than those of `train` (shifted ones may differ in size, not in the number of axes);
            all problems at once.

    Example:
        >>> x, y = torch.zeros(10, 2), torch.zeros(10)
        >>> Data((x[:6], y[:6]), (x[6:], y[6:]), noisy=(x[6:] + 1, y[6:]))
        Data(train=(6, 2)->(6,), test=(4, 2)->(4,), noisy=(4, 2)->(4,))
    """

    train: Pair
    test: Pair
    validation: Pair | None
    shifted: Mapping[str, Pair]

    def __init__(self, train: Any, test: Any, validation: Any = None, **shifted: Any):
        given = {"train": train, "test": test, "validation": validation, **shifted}
        parts = {n: part for n, part in given.items() if n != "validation" or part is not None}
        problems = [p for name, part in parts.items() for p in _pair_problems(name, part)]
        if not problems:
            parts = {name: (_tensor(x), _tensor(y)) for name, (x, y) in parts.items()}
            problems = _part_problems(parts)
        if problems:
            raise TaskError("data", problems)
        # frozen: assignment goes around the class, as dataclasses do it themselves
        for name in _NAMED:
            object.__setattr__(self, name, parts.pop(name, None))
        object.__setattr__(self, "shifted", parts)

    @property
    def parts(self) -> Mapping[str, Pair]:
        """All parts that are there, by name, `train` first.

        >>> list(Data(([1.0], [2.0]), ([1.0], [2.0])).parts)
        ['train', 'test']
        """
        named = {name: getattr(self, name) for name in _NAMED}
        present = {name: part for name, part in named.items() if part is not None}
        return present | dict(self.shifted)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Data":
        """The same data elsewhere.

        Args:
            device: Where to, or None for where it is.
            dtype: What floating inputs and targets become; whole numbers stay what they are.

        Returns:
            New data; tensors that are right already are shared.

        >>> x, y = torch.zeros(3, 2), torch.arange(3)
        >>> Data((x, y), (x, y)).to(dtype=torch.float64).train[0].dtype
        torch.float64
        """

        def move(x: Tensor) -> Tensor:
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        return Data(**{name: (move(x), move(y)) for name, (x, y) in self.parts.items()})

    def __repr__(self) -> str:
        """Parts and their shapes."""
        shapes = (f"{n}={tuple(x.shape)}->{tuple(y.shape)}" for n, (x, y) in self.parts.items())
        return f"Data({', '.join(shapes)})"


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(np.asarray(x))


def _pair_problems(name: str, part: Any) -> list[str]:
    if not isinstance(part, tuple | list) or len(part) != 2:
        given = f"{len(part)} of them" if isinstance(part, tuple | list) else type(part).__name__
        return [f"{name} must be a pair (inputs, targets), got {given}."]
    return []


def _part_problems(parts: Mapping[str, Pair]) -> list[str]:
    problems = []
    wanted = [tuple(t.shape[1:]) for t in parts["train"]]
    for name, (x, y) in parts.items():
        got = [tuple(x.shape[1:]), tuple(y.shape[1:])]
        # a shifted set may be longer or finer than what was trained on, e.g. a longer delay
        same = got == wanted if name in _NAMED else [*map(len, got)] == [*map(len, wanted)]
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
            shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
            problems.append(
                f"{name} needs as many inputs as targets, at least one, got shapes {shapes}."
            )
        elif not same:
            problems.append(
                f"{name} has examples of shape {got[0]}->{got[1]}, "
                f"those of train have {wanted[0]}->{wanted[1]}."
            )
    return problems


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Task:
    """Something to learn, and what the network that learns it may be.

    Args:
        name: A short name, the title of tables and figures.
        model: Seed -> fresh `nn.Module`. It may use torch's default initialization: `start_model`
            seeds that.
        data: `Data`, the same for every seed, or a function seed -> `Data`.
        loss: (prediction, target) -> scalar, differentiable; must run under `torch.vmap`.
        metric: (prediction, target) -> scalar; must run under `torch.vmap`.
        constraints: Name -> constraint. The name of a parameter binds that weight, the name of a
            submodule binds its output.
        batch_size: Examples a step.
        optimizer: Parameters -> optimizer.
        better: Whether a "higher" or a "lower" metric is better.
        metric_name: What the metric is, for labels.
        regularizer: A price that belongs to the task, whatever the strategy: the tensors of one run
            by name, as the network sees them -> scalar, added to the loss of each training batch
            and to no test score; must run under `torch.vmap`.
        supervision: A price on what bound layers give, before any strategy treats it: the raw
            values of one run by name, and the targets -> scalar, added to the loss of each training
            batch and to no test score, e.g. the cross-entropy of a layer that is taught what to
            say; must run under `torch.vmap`.
        in_order: Whether batches come in the order of the examples instead of shuffled: consecutive
            windows of `batch_size` streams, so that example `i + batch_size` goes on from `i`.

    Attributes:
        code: The Python that makes the task after `import shapekeeper as sk`, if it is one of
            `shapekeeper.tasks`; empty for any other, and for what `dataclasses.replace` made of it.

    Raises:
        TaskError: If an argument can't be what it says; all of them at once.

    Example:
        >>> from torch.nn.functional import mse_loss
        >>> x = torch.linspace(-1, 1, 8)[:, None]
        >>> line = Task("line", model=lambda seed: nn.Linear(1, 1), data=Data((x, 2 * x), (x, x)),
        ...             loss=mse_loss, metric=mse_loss, better="lower", metric_name="squared error",
        ...             batch_size=4)
        >>> bool(line.start_model(3).weight == line.start_model(3).weight)
        True
    """

    name: str = field(kw_only=False)
    model: Callable[[int], nn.Module]
    data: Data | Callable[[int], Data]
    loss: Score
    metric: Score
    constraints: Mapping[str, Constraint] = field(default_factory=dict)
    batch_size: int = 32
    optimizer: Callable[..., torch.optim.Optimizer] = _ADAM
    better: Literal["higher", "lower"] = "higher"
    metric_name: str = "accuracy"
    regularizer: Callable[[dict[str, Tensor]], Tensor] | None = None
    supervision: Callable[[dict[str, Tensor], Tensor], Tensor] | None = None
    in_order: bool = False
    code: str = field(default="", init=False)

    def __post_init__(self):
        """Refuse what can't be a task, with all problems at once."""
        problems = [
            f"{name} must be a function, got {getattr(self, name)!r}."
            for name in ("model", "loss", "metric", "optimizer")
            if not callable(getattr(self, name))
        ]
        problems += [
            f"{name} must be a function, got {price!r}."
            for name in ("regularizer", "supervision")
            if not ((price := getattr(self, name)) is None or callable(price))
        ]
        if not (isinstance(self.data, Data) or callable(self.data)):
            problems.append(f"data must be Data or a function of the seed, got {self.data!r}.")
        if self.batch_size < 1:
            problems.append(f"batch_size must be at least 1, got {self.batch_size}.")
        if self.better not in ("higher", "lower"):
            problems.append(f"better must be 'higher' or 'lower', got {self.better!r}.")
        if problems:
            raise TaskError(f"task {self.name!r}", problems)
        object.__setattr__(self, "constraints", dict(self.constraints))

    def __repr__(self) -> str:
        """Name and constraints; the functions say little when printed."""
        return f"Task({self.name!r}, constraints={self.constraints})"

    def data_for(self, seed: int) -> Data:
        """The data that the run with this seed sees.

        Args:
            seed: The run's seed.

        Returns:
            Always the same for one seed.

        >>> x = torch.zeros(2, 1)
        >>> task = Task("t", model=nn.Module, loss=max, metric=max,
        ...             data=lambda seed: Data((x + seed, x), (x, x)))
        >>> task.data_for(5).train[0].tolist()
        [[5.0], [5.0]]
        """
        return self.data if isinstance(self.data, Data) else self.data(seed)

    def start_model(self, seed: int) -> nn.Module:
        """The fresh model of the run with this seed, built on the CPU.

        Args:
            seed: The run's seed.

        Returns:
            A new module, always with the same weights for one seed. The caller's own random state
            stays as it was.

        Raises:
            TaskError: If the factory returns something else than a module.

        >>> task = Task("t", model=lambda seed: nn.Linear(2, 1), loss=max, metric=max, data=max)
        >>> bool((task.start_model(0).weight != task.start_model(1).weight).all())
        True
        """
        # torch.manual_seed would reseed the accelerators too, which fork_rng then left changed.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed_of(seed, "model"))
            model = self.model(seed)
        if not isinstance(model, nn.Module):
            problem = f"model(seed) must return an nn.Module, got {type(model).__name__}."
            raise TaskError(f"task {self.name!r}", [problem])
        return model

    def batches(self, seed: int, epoch: int, n: int) -> Tensor:
        """Which examples the batches of one epoch hold.

        Args:
            seed: The run's seed.
            epoch: Count of epochs before this one.
            n: How many training examples there are.

        Returns:
            Whole numbers (steps of the epoch, batch_size): a fresh permutation, cut, or all in
            order.

        >>> x = torch.zeros(4, 1)
        >>> task = Task("t", model=nn.Module, loss=max, metric=max, data=Data((x, x), (x, x)),
        ...             batch_size=2, in_order=True)
        >>> task.batches(seed=0, epoch=0, n=4).tolist()
        [[0, 1], [2, 3]]
        """
        shuffled = batch_indices(seed, epoch, n, self.batch_size)
        return torch.arange(shuffled.numel()).view_as(shuffled) if self.in_order else shuffled

    def check(self) -> tuple[dict[str, Constraint], dict[str, Constraint]]:
        """Find what each constraint binds, in the model of seed 0.

        Returns:
            The constraints on weights and those on outputs, each name -> constraint.

        Raises:
            TaskError: If a name is not in the model, or a weight can't hold its constraint; all
                problems at once.

        >>> from shapekeeper.constraints import Box
        >>> task = Task("t", model=lambda seed: nn.Linear(2, 1), loss=max, metric=max, data=max,
        ...             constraints={"wieght": Box(0, 1)})
        >>> task.check()
        Traceback (most recent call last):
        shapekeeper.tasks.task.TaskError: task 't': unknown name 'wieght'; did you mean 'weight'? \
names are weight, bias.
        """
        model = self.start_model(0)
        parameters = dict(model.named_parameters())
        modules = dict(model.named_modules())
        problems = []
        for name, constraint in self.constraints.items():
            problems += _binding_problems(name, constraint, parameters, modules)
        if problems:
            raise TaskError(f"task {self.name!r}", problems)
        weights = {n: c for n, c in self.constraints.items() if n in parameters}
        return weights, {n: c for n, c in self.constraints.items() if n not in parameters}


def _binding_problems(
    name: str, constraint: Any, parameters: Mapping[str, Tensor], modules: Mapping[str, nn.Module]
) -> list[str]:
    names = [*parameters, *sorted(filter(None, modules))]
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        return [f"unknown name {name!r}{hint} names are {', '.join(names)}."]
    if not isinstance(constraint, Constraint):
        return [f"{name!r} needs a constraint, got {constraint!r}."]
    if name in parameters:
        try:
            constraint.check(tuple(parameters[name].shape))
            constraint.check_layer(modules[name.rpartition(".")[0]])
        except ConstraintError as error:
            return [f"{name!r}: {error}"]
    return []


def batch_indices(seed: int, epoch: int, n: int, batch_size: int) -> Tensor:
    """Which examples the batches of one epoch hold: a fresh permutation, cut.

    Args:
        seed: The run's seed.
        epoch: Count of epochs before this one.
        n: How many training examples there are.
        batch_size: Examples a batch; what is left over at the end of the epoch is not used.

    Returns:
        Whole numbers (steps of the epoch, batch_size), drawn on the CPU.

    Raises:
        ValueError: If there are fewer examples than one batch takes.

    Example:
        >>> batch_indices(0, 0, n=7, batch_size=3).shape
        torch.Size([2, 3])
    """
    if not 1 <= batch_size <= n:
        raise ValueError(
            f"batch_size is {batch_size}, but there are {n} training examples; "
            f"wanted 1 to {n}, so set Task(batch_size=...) no larger."
        )
    order = torch.randperm(n, generator=generator(seed, "batches", epoch))
    return order[: n - n % batch_size].view(-1, batch_size)


def accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of examples whose largest logit is that of the right class.

    Args:
        prediction: Logits (..., examples, classes).
        target: Class numbers (..., examples).

    Returns:
        A share from 0 to 1, a scalar tensor.

    Example:
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])).item()
        0.5
    """
    return (prediction.argmax(-1) == target).to(prediction.dtype).mean()
