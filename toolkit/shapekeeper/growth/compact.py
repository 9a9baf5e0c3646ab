"""One run freed of the nodes that do not live: a plain module."""

from copy import deepcopy
from dataclasses import replace

from torch import Tensor, nn

from shapekeeper.constraints import Constraint
from shapekeeper.networks import RegionNetwork, compile_network
from shapekeeper.regions import RegionGraph

from .anatomy import Anatomy, Named
from .held import cut, part

__all__ = ["compacted", "found_graph"]

# What a layer says of its own sizes: attribute -> axis of its weight.
SIZES = {
    nn.Linear: {"out_features": 0, "in_features": 1},
    nn.Conv1d: {"out_channels": 0, "in_channels": 1},
    nn.Conv2d: {"out_channels": 0, "in_channels": 1},
    nn.Conv3d: {"out_channels": 0, "in_channels": 1},
    nn.BatchNorm1d: {"num_features": 0},
    nn.BatchNorm2d: {"num_features": 0},
    nn.BatchNorm3d: {"num_features": 0},
}


def compacted(
    model: nn.Module,
    anatomy: Anatomy,
    tensors: Named,
    alive: Tensor,
    constraints: dict[str, Constraint],
) -> nn.Module:
    """A module with the living nodes only, and the same outputs.

    Args:
        model: The padded one; stays as it is.
        anatomy: Where its nodes lie.
        tensors: Parameters and buffers of the run.
        alive: Its living nodes, `(nodes,)`.
        constraints: On its padded weights.

    Returns:
        A `RegionNetwork` of the graph that was found, or a copy of the model with smaller tensors.
    """
    small = {}
    for name, value in tensors.items():
        owned = name in anatomy.owners
        left = part(value, anatomy.kept(name, alive)) if owned else value
        small[name] = left.detach().cpu().clone()
    if isinstance(model, RegionNetwork):
        return _regions(model, anatomy, small, alive, constraints)
    plain = deepcopy(model).cpu()
    for name, value in small.items():
        where, _, own = name.rpartition(".")
        owner = plain.get_submodule(where)
        if own in owner._parameters:
            trained = owner.get_parameter(own).requires_grad
            setattr(owner, own, nn.Parameter(value, requires_grad=trained))
        else:
            setattr(owner, own, value)
    for layer in plain.modules():
        for attribute, axis in SIZES.get(type(layer), {}).items():
            if isinstance(weight := layer.weight, Tensor):
                setattr(layer, attribute, weight.shape[axis])
    return plain


def _regions(
    model: RegionNetwork,
    anatomy: Anatomy,
    small: Named,
    alive: Tensor,
    constraints: dict[str, Constraint],
) -> RegionNetwork:
    net = compile_network(
        found_graph(model.graph, anatomy, alive),
        model.in_features,
        model.out_features,
        layout="dense",
        steps=model.steps,
        activation=model.activation,
    )
    net = net.to(next(iter(small.values())).dtype)
    net.load_state_dict(small)
    # Connections are drawn for the sizes of a graph: those that were trained are kept instead.
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    left = {
        name: cut(c, anatomy.kept(name, alive), shapes[name])
        for name, c in constraints.items()
        if name in anatomy.owners
    }
    net.constraints = {name: c for name, c in left.items() if c is not None}
    return net.train(model.training)


def found_graph(graph: RegionGraph, anatomy: Anatomy, alive: Tensor) -> RegionGraph:
    """The graph with the sizes that its areas have."""
    for region in graph.regions:
        size = int(alive[anatomy.slices[region.name]].sum())
        graph = graph.with_region(replace(region, size=size))
    return graph
