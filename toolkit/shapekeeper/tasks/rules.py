"""Which weights of a network a task binds, said once for networks of any depth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import nn

from shapekeeper.constraints import Circle, Constraint, Orthogonal

from .task import Task, TaskError

__all__ = ["Binding", "Circles", "OrthogonalLayers", "Rule", "bound"]

Named: TypeAlias = Mapping[str, Constraint]
Binding: TypeAlias = Named | Callable[[nn.Module], Named]


class Rule(ABC):
    """From a network to its constraints: what the `constraints` of a task can be, beside names."""

    @abstractmethod
    def __call__(self, model: nn.Module) -> dict[str, Constraint]:
        """The constraints of a network, by the names of its parameters."""


@dataclass(frozen=True)
class Circles(Rule):
    """A circle for each number of each weight matrix; biases and gains stay free.

    One radius holds for the first matrix (or kernel, or embedding), the other for all that follow,
    as in B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, Better training using
    weight-constrained stochastic dynamics, arXiv 2106.10704.

    Args:
        first: Radius of the first matrix: the largest size of its numbers.
        others: Radius of all others; None: as the first.

    Raises:
        ConstraintError: If a radius is not above 0.
        TaskError: When a network's starting weights reach beyond a radius, by default
            `1/sqrt(fan-in)` in `nn.Linear`: there is no point on the circle to start from.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 1))
        >>> Circles(5, 2)(net)
        {'0.weight': Circle(radius=5), '2.weight': Circle(radius=2)}
        >>> Circles(0.5)(net)
        Traceback (most recent call last):
        shapekeeper.tasks.task.TaskError: Circles(first=0.5, others=None): '0.weight' starts with \
numbers up to 0.7072, beyond its radius of 0.5; wanted first=0.7072 or more.
    """

    first: float
    others: float | None = None

    def __post_init__(self) -> None:
        """Refuse radii that can't be."""
        for radius in (self.first, self._after):
            Circle(radius)

    def __call__(self, model: nn.Module) -> dict[str, Constraint]:
        """A circle for each matrix of a network, all that can't start on theirs said at once."""
        names = _matrices(model)
        radii = dict.fromkeys(names, self._after) | dict.fromkeys(names[:1], self.first)
        problems = [
            p for name, radius in radii.items() for p in self._problems(model, name, radius)
        ]
        if problems:
            raise TaskError(repr(self), problems)
        return {name: Circle(radius) for name, radius in radii.items()}

    @property
    def _after(self) -> float:
        return self.first if self.others is None else self.others

    def _problems(self, model: nn.Module, name: str, radius: float) -> list[str]:
        reach = _reach(model, name)
        if radius >= reach:
            return []
        which = "first" if name == _matrices(model)[0] or self.others is None else "others"
        # Rounded up, so that the radius that the message names is accepted.
        enough = round(reach + 5e-5, 4)
        return [
            f"{name!r} starts with numbers up to {enough}, beyond its radius of {radius}; "
            f"wanted {which}={enough} or more."
        ]


@dataclass(frozen=True)
class OrthogonalLayers(Rule):
    """Orthonormal rows or columns for each weight matrix but the first; biases and gains stay free.

    The first matrix reads the data, whose scale nobody chose. B. Leimkuhler, T. Vlaar, T. Pouchon
    and A. Storkey 2021, Better training using weight-constrained stochastic dynamics, arXiv
    2106.10704; in their code the output layer is bound too.

    Args:
        output: Whether the last matrix is bound as well.

    Raises:
        TaskError: When a network has no matrix to bind.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 9), nn.ReLU(), nn.Linear(9, 9), nn.Linear(9, 1))
        >>> list(OrthogonalLayers()(net)), list(OrthogonalLayers(output=False)(net))
        (['2.weight', '3.weight'], ['2.weight'])
    """

    output: bool = True

    def __call__(self, model: nn.Module) -> dict[str, Constraint]:
        """A constraint for each matrix of a network but the first, and perhaps the last."""
        names = _matrices(model)
        middle = names[1:] if self.output else names[1:-1]
        if not middle:
            wanted = "two weight matrices" if self.output else "three weight matrices"
            problem = f"wanted a network with at least {wanted}, this one has {len(names)}."
            raise TaskError(repr(self), [problem])
        return {name: Orthogonal(model.get_parameter(name).dim()) for name in middle}


def bound(task: Task, constraints: Binding | None) -> Task:
    """The task with these constraints.

    Args:
        task: Any task; what it binds is replaced.
        constraints: Name -> constraint, or a function from a network to that, such as `Circles`;
            None binds nothing.

    Returns:
        A new task.

    Example:
        >>> from shapekeeper.tasks import pencil
        >>> bound(pencil(), Circles(4.0)).constraints
        {'weight': Circle(radius=4.0)}
    """
    named = constraints(task.start_model(0)) if callable(constraints) else constraints or {}
    return replace(task, constraints=named)


def _matrices(model: nn.Module) -> list[str]:
    """Names of all weights with an input and an output axis, in the order of the network."""
    return [name for name, weight in model.named_parameters() if weight.dim() > 1]


def _reach(model: nn.Module, name: str) -> float:
    """How large a starting weight can be: of `nn.Linear` by its law, else as this one was drawn."""
    weight = model.get_parameter(name)
    largest = weight.detach().abs().max().item()
    linear = isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Linear)
    return max(largest, weight.shape[1] ** -0.5) if linear else largest
