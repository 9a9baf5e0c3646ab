"""The model factory of tasks whose wiring is drawn: the drawing, with an ordinary start."""

from collections.abc import Callable

import torch
from torch import Tensor

from shapekeeper.networks import RegionNetwork, compile_network
from shapekeeper.regions import RegionGraph

__all__ = ["dense_network"]


def dense_network(
    seed: int,
    *,
    graph: RegionGraph,
    in_features: int,
    out_features: int,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    steps: int | None = None,
    drawing: int = 0,
) -> RegionNetwork:
    """A region network in the dense layout whose closed weights are drawn like all others.

    A fresh `compile_network` respects its graph. A comparison also needs the start of somebody who
    never saw the drawing; a strategy then applies `constraint.start`, or does not.

    Args:
        seed: The run's seed, for the weights.
        graph: The wiring.
        in_features: Numbers per example, or per example and moment.
        out_features: Numbers to answer with.
        activation: What each unit does to its sum.
        steps: As in `compile_network`.
        drawing: Which random draw of the wires within densities below 1; the network's
            constraints are those of this one.

    Returns:
        A new network.

    Example:
        >>> from shapekeeper.regions import Pathway, Region
        >>> graph = RegionGraph(
        ...     [Region("eye", 4, input=True), Region("hand", 4, output=True)],
        ...     [Pathway("eye", "hand", density=0.5)],
        ... )
        >>> net = dense_network(0, graph=graph, in_features=3, out_features=2)
        >>> bool(net.constraints["weight"].allows(net.weight.detach()))
        False
    """
    net = compile_network(
        graph,
        in_features,
        out_features,
        layout="dense",
        steps=steps,
        activation=activation,
    )
    net.constraints = {"weight": graph.constraint(drawing)}
    net.reset_parameters(seed)
    return net
