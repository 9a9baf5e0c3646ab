"""What an optimizer moves: leaves of their own, or many as the columns of one tensor."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from shapekeeper.optimizers import ELEMENTWISE

from .program import Named

__all__ = ["Slab", "treats_all_alike"]


@dataclass(frozen=True)
class Slab:
    """What an optimizer moves: one leaf, or many as the columns of one tensor.

    Attributes:
        shapes: Shape `(runs, *shape)` of each leaf, in the order of their columns.
        tensor: The numbers: `(runs, columns)`, or a single leaf in its own shape.
        grad: Where gradients are gathered, of the same form.
        joined: Whether the leaves are columns.
    """

    shapes: dict[str, tuple[int, ...]]
    tensor: Tensor
    grad: Tensor
    joined: bool

    @classmethod
    def single(cls, name: str, leaf: Tensor, alone: bool) -> "Slab":
        """One leaf, without the runs axis where it is alone."""
        tensor = leaf[0] if alone else leaf
        return cls({name: tuple(leaf.shape)}, tensor, torch.zeros_like(tensor), False)

    @classmethod
    def columns(cls, leaves: Named) -> "Slab":
        """All leaves side by side, `(runs, columns)`."""
        tensor = torch.cat([leaf.flatten(1) for leaf in leaves.values()], 1)
        shapes = {name: tuple(leaf.shape) for name, leaf in leaves.items()}
        return cls(shapes, tensor, torch.zeros_like(tensor), True)

    def take(self, grads: Named) -> None:
        """Hand the gradients to the optimizer; none where a leaf has none."""
        if not self.shapes.keys() <= grads.keys():
            self.tensor.grad = None
            return
        for name, place in self.places.items():
            place.copy_(grads[name])
        self.tensor.grad = self.grad

    @cached_property
    def places(self) -> Named:
        """Where each leaf's gradient goes."""
        return self.views(self.grad)

    def views(self, tensor: Tensor) -> Named:
        """Each leaf `(runs, *shape)` as a view of a tensor of the slab's form."""
        if not self.joined:
            return {name: tensor.view(shape) for name, shape in self.shapes.items()}
        columns = tensor.split([prod(shape[1:]) for shape in self.shapes.values()], 1)
        return {
            name: column.unflatten(1, shape[1:])
            for column, (name, shape) in zip(columns, self.shapes.items(), strict=True)
        }


def treats_all_alike(optimizer: torch.optim.Optimizer, slabs: list[Slab]) -> bool:
    """Whether an optimizer acts on each number by itself, and on all with the same settings."""
    groups = [group["params"] for group in optimizer.param_groups]
    given = [slab.tensor for slab in slabs]
    one = len(groups) == 1 and len(groups[0]) == len(given)
    return type(optimizer) in ELEMENTWISE and one and all(map(_same, groups[0], given))


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b
