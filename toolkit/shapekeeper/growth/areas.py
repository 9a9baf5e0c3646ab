"""Where the nodes of a network lie in its tensors: areas of nodes, and places of an area."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import nn

from shapekeeper.networks import RegionNetwork

from .rule import GrowthError

__all__ = ["Area", "Place", "areas_of", "priced"]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
BOUNDED = (nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign, nn.ReLU6)
# Layers that treat each channel by itself, and give 0 where a channel is 0 or else a constant.
BY_CHANNEL = (
    *BOUNDED,
    *NORMED,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Identity,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)


@dataclass(frozen=True)
class Place:
    """Part of one axis of a tensor, where the nodes of an area lie in order.

    Args:
        tensor: Name of a parameter or buffer.
        first: Index of the first node.
        each: Entries of a node: above 1 where the channels of a picture were laid flat.

    Example:
        >>> Place("4.weight", each=9)
        Place(tensor='4.weight', first=0, each=9)
    """

    tensor: str
    first: int = 0
    each: int = 1


@dataclass(frozen=True)
class Area:
    """Nodes of one kind, which are born and deleted by one rule.

    A weight is `W[target, source]`: what comes into a node lies on axis 0 of a tensor, what goes
    out of it on axis 1.

    Args:
        name: As in tables and figures.
        size: The most nodes it may have: as many as the model was built with.
        incoming: Tensors with the nodes on axis 0: weights, biases, what a normalization has. A
            name alone means a place that begins at 0.
        outgoing: Tensors with the nodes on axis 1. What is here and in `incoming` is recurrent.
        bounded: Whether the activity of a node is bounded, as that of tanh is.
        price: Factor on the tax of this area.
        scaled_by: Tensors of `incoming` that set how large an unbounded activity is: those of a
            normalization, where there is one; by default all.
        ones: Tensors of `incoming` that begin at 1 for a new node.

    Raises:
        GrowthError: If nothing comes in, or nothing goes out.

    Example:
        >>> Area("hidden", 8, incoming=["a.weight", "a.bias"], outgoing=["b.weight"]).price
        1.0
    """

    name: str
    size: int
    incoming: Sequence[Place | str]
    outgoing: Sequence[Place | str]
    bounded: bool = True
    price: float = 1.0
    scaled_by: Sequence[str] = field(default=())
    ones: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for name in ("incoming", "outgoing"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise GrowthError(
                    f"Wanted the {name} tensors of area {self.name!r}, got none. A node that "
                    "nothing feeds or nobody reads can't be worth anything."
                )

    def places(self, axis: int) -> tuple[Place, ...]:
        """Where its nodes lie: axis 0 for what comes in, axis 1 for what goes out.

        Example:
            >>> Area("hidden", 8, incoming=["a.weight"], outgoing=["b.weight"]).places(1)
            (Place(tensor='b.weight', first=0, each=1),)
        """
        given = self.outgoing if axis else self.incoming
        return tuple(Place(place) if isinstance(place, str) else place for place in given)


def areas_of(model: nn.Module, prices: Mapping[str, float] | None = None) -> tuple[Area, ...]:
    """The areas of a network that may grow.

    Args:
        model: A `RegionNetwork` in the dense layout: each of its regions is an area. Or a
            `Sequential`, also a nested one, of plain layers (linear, convolution, normalization,
            pooling, flattening, activation): the output of each weighted layer but the last is one,
            called by the name of that layer.
        prices: Area -> factor on its tax.

    Returns:
        The areas in order. For any other module write down `Area(...)`.

    Raises:
        GrowthError: If the model is another, or a price is of no area or below 0.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> for area in areas_of(net):
        ...     print(area.name, area.size, [p.tensor for p in area.places(1)])
        0 8 ['2.weight']
    """
    regional = isinstance(model, RegionNetwork)
    return priced(_regions(model) if regional else _layers(model), prices)


def priced(areas: Iterable[Area], prices: Mapping[str, float] | None) -> tuple[Area, ...]:
    """The areas, some with another factor on their tax."""
    found, prices = tuple(areas), dict(prices or {})
    names = [area.name for area in found]
    wrong = [
        f"Wanted a price from 0 up of one of {', '.join(names)}, got {name!r}: {price!r}."
        for name, price in prices.items()
        if name not in names or not price >= 0
    ]
    if wrong:
        raise GrowthError(" ".join(wrong))
    return tuple(replace(area, price=float(prices.get(area.name, area.price))) for area in found)


def _regions(net: RegionNetwork) -> Iterator[Area]:
    if net.layout != "dense":
        raise GrowthError(
            f"Wanted the dense layout, got {net.layout!r}: blocks have no room for nodes that come "
            "and go. Compile with layout='dense'."
        )
    inputs = [region.name for region in net.graph.regions if region.input]
    largest = net.activation(torch.tensor([-1e6, 1e6])).abs().max().item()
    heard = 0
    for region in net.graph.regions:
        first = net.graph.slices[region.name].start
        incoming = [Place("weight", first), Place("bias", first)]
        if region.input:
            incoming.append(Place(f"input_weights.{inputs.index(region.name)}"))
        outgoing = [Place("weight", first)]
        if region.output:
            outgoing.append(Place("output_weight", heard))
            heard += region.size
        yield Area(region.name, region.size, incoming, outgoing, bounded=largest < 1e3)


def _layers(model: nn.Module) -> Iterator[Area]:
    layers = list(_plain(model, ""))
    weighted = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, WEIGHTED)]
    if len({id(layers[i][1]) for i in weighted}) < len(weighted):
        raise GrowthError(
            "Wanted weighted layers that stand in one place each, got one that is used twice: its "
            "nodes would have two sets of readers. Give each place a layer of its own."
        )
    if len(weighted) < 2:
        raise GrowthError(
            "Wanted a network with a hidden layer, got one weighted layer or none. Add a layer, or "
            "write down Area(...) for a module of your own."
        )
    for i, j in pairwise(weighted):
        (name, layer), (reader, reading) = layers[i], layers[j]
        between = layers[i + 1 : j]
        size, read = (
            layer.get_parameter("weight").shape[0],
            reading.get_parameter("weight").shape[1],
        )
        if read % size or any(getattr(one, "groups", 1) > 1 for one in (layer, reading)):
            raise GrowthError(
                f"Wanted {reader!r} to read all of {name!r}, got {read} inputs and {size} nodes. "
                "Convolutions with groups can't grow."
            )
        incoming: list[Place | str] = [f"{name}.{part}" for part, _ in layer.named_parameters()]
        scaled, ones = [], []
        for where, norm in between:
            if not isinstance(norm, NORMED):
                continue
            for part in ("weight", "bias", "running_mean", "running_var"):
                if getattr(norm, part) is not None:
                    tensor = f"{where}.{part}"
                    incoming.append(Place(tensor, each=norm.num_features // size))
                    scaled += [tensor] * (part in ("weight", "bias"))
                    ones += [tensor] * (part in ("weight", "running_var"))
        yield Area(
            name,
            size,
            incoming,
            [Place(f"{reader}.weight", each=read // size)],
            bounded=any(isinstance(one, BOUNDED) for _, one in between),
            scaled_by=tuple(scaled),
            ones=tuple(ones),
        )


def _plain(model: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested Sequentials, in order."""
    nested = isinstance(model, nn.Sequential)
    # `named_children` would pass over a layer that stands there twice.
    for name, layer in model._modules.items() if nested else [("", model)]:
        where = f"{prefix}{name}"
        if isinstance(layer, nn.Sequential):
            yield from _plain(layer, f"{where}.")
        elif isinstance(layer, (*WEIGHTED, *BY_CHANNEL, nn.Flatten)):
            yield where, layer
        else:
            raise GrowthError(
                "Wanted a RegionNetwork, or a Sequential of plain layers, got a "
                f"{type(layer).__name__}{f' at {where!r}' if where else ''}. Say where its nodes "
                "lie: areas=[growth.Area(name, size, incoming=[...], outgoing=[...])]."
            )
