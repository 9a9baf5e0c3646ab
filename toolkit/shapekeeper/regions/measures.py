"""How much of a region graph is left in a trained weight matrix."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
from torch import Tensor

from shapekeeper.regions.graph import RegionGraph
from shapekeeper.regions.parts import Problem, StructureError

__all__ = ["between_density", "modularity", "within_density"]

Weights = Tensor | np.ndarray


def within_density(
    weights: Weights, graph: RegionGraph, threshold: float = 0.0
) -> float | np.ndarray:
    """The share of weights inside regions that are larger than a threshold, either sign.

    Args:
        weights: (..., units, units), `[target, source]`; leading axes are seeds.
        graph: Says which units form a region.
        threshold: What counts as a connection: |weight| above this.

    Returns:
        A number from 0 to 1, or an array of them with the leading axes of the weights.

    Raises:
        StructureError: If the weights don't fit the graph.

    Example:
        >>> import torch
        >>> from shapekeeper.regions import Region, RegionGraph
        >>> graph = RegionGraph([Region("a", 1), Region("b", 1)])
        >>> within_density(torch.tensor([[0.5, 0.0], [0.2, 0.0]]), graph)
        0.5
    """
    large = _magnitudes(weights, graph) > threshold
    return _plain(large[..., _inside(graph)].mean(-1))


def between_density(
    weights: Weights, graph: RegionGraph, threshold: float = 0.0
) -> float | np.ndarray:
    """The share of weights between different regions that are larger than a threshold.

    Args:
        weights: (..., units, units), `[target, source]`; leading axes are seeds.
        graph: Says which units form a region.
        threshold: What counts as a connection: |weight| above this.

    Returns:
        A number from 0 to 1, or an array of them with the leading axes of the weights; NaN if
        there is only one region.

    Raises:
        StructureError: If the weights don't fit the graph.

    Example:
        >>> import torch
        >>> from shapekeeper.regions import Region, RegionGraph
        >>> graph = RegionGraph([Region("a", 1), Region("b", 1)])
        >>> between_density(torch.tensor([[0.5, 0.0], [0.2, 0.0]]), graph, threshold=0.3)
        0.0
    """
    large = (_magnitudes(weights, graph) > threshold)[..., ~_inside(graph)]
    # The mean of nothing is NaN, but NumPy warns on the way.
    return _plain(large.mean(-1) if large.shape[-1] else np.full(large.shape[:-1], np.nan))


def modularity(weights: Weights, graph: RegionGraph) -> float | np.ndarray:
    """How much more weight lies inside regions than chance would put there, between units.

    The directed modularity of Leicht & Newman 2008, "Community structure in directed networks",
    with A = |W|, units as nodes, and regions as communities: the sum over pairs in one region of
    A[i, j] / m - (what i receives) * (what j sends) / m^2, where m is the sum of A.

    Args:
        weights: (..., units, units), `[target, source]`; leading axes are seeds.
        graph: Says which units form a region.

    Returns:
        A number below 1, 0 for what chance gives, or an array of them with the leading axes of
        the weights; NaN where all weights are 0.

    Raises:
        StructureError: If the weights don't fit the graph.

    Example:
        >>> import torch
        >>> from shapekeeper.regions import Region, RegionGraph
        >>> graph = RegionGraph([Region("a", 2), Region("b", 2)])
        >>> modularity(torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)), graph)
        0.5
    """
    magnitudes = _magnitudes(weights, graph).astype(float)
    starts = [where.start for where in graph.slices.values()]
    # Modularity depends on the sums over blocks alone: regions as nodes, insides as self-loops.
    sums = np.add.reduceat(np.add.reduceat(magnitudes, starts, axis=-2), starts, axis=-1)
    return _plain(
        np.reshape([_modularity(m) for m in sums.reshape(-1, *sums.shape[-2:])], sums.shape[:-2])
    )


def _modularity(sums: np.ndarray) -> float:
    if not sums.any():
        return float("nan")
    # networkx reads [source, target].
    drawing = nx.from_numpy_array(sums.T, create_using=nx.DiGraph)
    return nx.community.modularity(drawing, [{region} for region in drawing])


def _magnitudes(weights: Weights, graph: RegionGraph) -> np.ndarray:
    if isinstance(weights, Tensor):
        weights = weights.detach().cpu().numpy()
    if not graph.regions or np.shape(weights)[-2:] != (graph.units, graph.units):
        message = f"Wanted weights (..., {graph.units}, {graph.units}) between the units of"
        raise StructureError([Problem(f"{message} the graph, got shape {np.shape(weights)}.")])
    return np.abs(weights)


def _inside(graph: RegionGraph) -> np.ndarray:
    region = np.repeat(np.arange(len(graph.regions)), [region.size for region in graph.regions])
    return region[:, None] == region


def _plain(values: Any) -> float | np.ndarray:
    return float(values) if np.ndim(values) == 0 else values
