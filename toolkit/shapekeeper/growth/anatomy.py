"""From nodes to entries of stacked tensors, and back."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .areas import Area
from .rule import GrowthError

__all__ = ["MULTIPLIERS", "Anatomy", "Named"]

Named = dict[str, Tensor]
MULTIPLIERS = "multipliers"  # the tensor that a rule may add to those of the model
Shapes = Mapping[str, torch.Size]


class Anatomy:
    """Which node each entry of each tensor belongs to; nodes of all areas are counted through.

    Args:
        areas: The areas of one network.
        shapes: Of all its tensors, without an axis of runs.
        device: Where they lie.

    Attributes:
        areas: As given.
        slices: Area -> its nodes.
        nodes: How many there are.
        area: Number of the area of each node, `(nodes,)`.
        price: Factor on the tax of each node, `(nodes,)`.
        bounded: Whether its activity is, `(nodes,)`.
        all_bounded: Whether that of all is.
        groups: How many tensors read it, `(nodes,)`.
        owners: Tensor -> axis -> the node of each index of that axis, `nodes` where there is none.
        outputs: How many numbers the network answers with.

    Raises:
        GrowthError: If areas share a name or a node, or places don't fit their tensors; all at
            once.
    """

    def __init__(self, areas: Sequence[Area], shapes: Shapes, device: torch.device) -> None:
        if not areas:
            raise GrowthError("Wanted at least one area, got none.")
        self.areas, self.device = tuple(areas), device
        ends = torch.tensor([0, *(area.size for area in areas)]).cumsum(0).tolist()
        self.nodes = ends[-1]
        self.slices = {
            area.name: slice(*span) for area, span in zip(areas, pairwise(ends), strict=True)
        }
        sizes = torch.tensor([area.size for area in areas])
        self.area = torch.arange(len(areas)).repeat_interleave(sizes).to(device)
        prices = torch.tensor([area.price for area in areas], dtype=torch.float64, device=device)
        self.price = prices[self.area]
        groups = [len({place.tensor for place in area.places(1)}) for area in areas]
        self.groups = torch.tensor(groups, device=device)[self.area]
        self.bounded = torch.tensor([area.bounded for area in areas], device=device)[self.area]
        self.all_bounded = all(area.bounded for area in areas)
        self.owners: dict[str, dict[int, Tensor]] = {}
        wrong = self._fill(shapes)
        if len(self.slices) < len(areas):
            wrong.append(f"Wanted areas with different names, got {[a.name for a in areas]}.")
        if wrong:
            raise GrowthError(" ".join(wrong))
        self.outputs = max((shapes[name][0] for name in self.readouts), default=1)

    def _fill(self, shapes: Shapes) -> list[str]:
        wrong = []
        for area in self.areas:
            for axis in (0, 1):
                for place in area.places(axis):
                    end = place.first + area.size * place.each
                    shape = shapes.get(place.tensor)
                    if shape is None:
                        wrong.append(
                            f"Wanted a tensor of the model, got {place.tensor!r} for area "
                            f"{area.name!r}; there are {', '.join(shapes)}."
                        )
                    elif len(shape) <= axis or not 0 <= place.first < end <= shape[axis]:
                        wrong.append(
                            f"Wanted {end} entries on axis {axis} of {place.tensor!r} for the "
                            f"{area.size} nodes of area {area.name!r}, got shape {tuple(shape)}."
                        )
                    else:
                        wrong += self._claim(area, axis, place.tensor, place.first, end, shape)
        return wrong

    def _claim(
        self, area: Area, axis: int, name: str, first: int, end: int, shape: torch.Size
    ) -> list[str]:
        free = torch.full((shape[axis],), self.nodes, device=self.device)
        owner = self.owners.setdefault(name, {}).setdefault(axis, free)
        if (owner[first:end] != self.nodes).any():
            return [f"Wanted each entry in one area, got axis {axis} of {name!r} in two."]
        span = self.slices[area.name]
        nodes = torch.arange(span.start, span.stop, device=self.device)
        owner[first:end] = nodes.repeat_interleave((end - first) // area.size)
        return []

    @property
    def readers(self) -> list[str]:
        """The tensors that read nodes, in a fixed order."""
        return sorted(name for name, axes in self.owners.items() if 1 in axes)

    @property
    def readouts(self) -> list[str]:
        """Those of them that are read by no node."""
        return [name for name in self.readers if 0 not in self.owners[name]]

    def along(self, name: str, axis: int, values: Tensor, ndim: int) -> Tensor:
        """Numbers of nodes, shaped to be multiplied with a tensor of the runs; 1 where no node is.

        Args:
            name: Of the tensor.
            axis: One on which it has nodes, counted without that of the runs.
            values: A number for each node of each run, `(runs, nodes)`.
            ndim: Axes of the tensor, that of the runs included.

        Returns:
            `(runs, 1, ..., length of the axis, ..., 1)`.
        """
        more = torch.ones_like(values[:, :1])
        spread = torch.cat([values, more], dim=1)[:, self.owners[name][axis]]
        return spread.unflatten(1, [1] * axis + [-1] + [1] * (ndim - axis - 2))

    def entries(self, name: str, alive: Tensor, ndim: int) -> Tensor:
        """Where a tensor has numbers: where all its nodes live.

        Args:
            name: Of the tensor.
            alive: `(runs, nodes)`.
            ndim: Axes of the tensor, that of the runs included.

        Returns:
            Yes or no, to be broadcast to the tensor.
        """
        found = alive.new_ones([1] * ndim)
        for axis in self.owners.get(name, ()):
            found = found & self.along(name, axis, alive, ndim)
        return found

    def gathered(self, name: str, axis: int, values: Tensor) -> Tensor:
        """The sums of what belongs to each node, `(runs, nodes)`.

        Args:
            name: Of a tensor.
            axis: By whose owners to sum.
            values: Of that tensor, `(runs, *shape)`.
        """
        others = [i for i in range(1, values.ndim) if i != axis + 1]
        sums = values.sum(others) if others else values
        into = values.new_zeros(len(values), self.nodes + 1)
        return into.index_add_(1, self.owners[name][axis], sums)[:, :-1]

    def kept(self, name: str, alive: Tensor) -> dict[int, Tensor]:
        """Axis -> which of its indices stay when one run is freed of what does not live.

        Args:
            name: Of the tensor.
            alive: `(nodes,)` of one run.
        """
        lives = torch.cat([alive, alive.new_ones(1)])
        return {
            axis: lives[owner].nonzero().squeeze(1) for axis, owner in self.owners[name].items()
        }
