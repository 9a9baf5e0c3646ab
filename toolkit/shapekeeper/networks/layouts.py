"""How the weights between units are stored and multiplied: all of them, or the open blocks.

Units come first and examples last in every product here, so that a region is a slice of whole rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints.tensor_value import TensorValue
from shapekeeper.regions import RegionGraph

__all__ = ["Blocked", "Dense", "Wiring"]


class Wiring:
    """Who may read whom; region i is the i-th of the graph.

    Attributes:
        sizes: Units of each region.
        slices: Where its units lie.
        feedforward: Whether every region is computed once, after all that it reads.
        depths: Depth of each region; 0 for all if not feed-forward.
        sources: The regions with an open pathway into each region.
    """

    def __init__(self, graph: RegionGraph, feedforward: bool):
        place = {name: i for i, name in enumerate(graph.names)}
        self.sizes = [region.size for region in graph.regions]
        self.slices = list(graph.slices.values())
        self.feedforward = feedforward
        self.depths = list(graph.depths().values()) if feedforward else [0 for _ in place]
        self.sources: list[list[int]] = [[] for _ in place]
        for pathway in graph.settled().pathways:
            self.sources[place[pathway.target]].append(place[pathway.source])

    def readable(self) -> Tensor:
        """Which weights exist, bool `(units, units)`."""
        region = torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes))
        if not self.feedforward:
            return torch.ones(len(region), len(region), dtype=torch.bool)
        depth = torch.tensor(self.depths)[region]
        return (depth[:, None] > depth) | (region[:, None] == region)

    def readable_weights(self) -> int:
        """How many weights exist."""
        if not self.feedforward:
            return sum(self.sizes) ** 2
        units = [0] * (max(self.depths) + 1)
        for size, depth in zip(self.sizes, self.depths, strict=True):
            units[depth] += size
        pairs = zip(self.sizes, self.depths, strict=True)
        return sum(size * (size + sum(units[:depth])) for size, depth in pairs)

    def levels(self, key: Callable[[int], Any]) -> list[list[int]]:
        """The regions of each depth, sorted by `key`."""
        return [
            sorted((i for i, d in enumerate(self.depths) if d == depth), key=key)
            for depth in range(max(self.depths) + 1)
        ]

    def widths(self, regions: list[int]) -> list[int]:
        """Units of these regions."""
        return [self.sizes[i] for i in regions]

    def cheaper_layout(self) -> str:
        """The name of the layout that `compile_network` takes for "auto"."""
        blocks = [
            self.sizes[t] * self.sizes[s]
            for t, sources in enumerate(self.sources)
            for s in (t, *sources)
        ]
        readable = self.readable_weights()
        is_sparse = 2 * sum(blocks) <= readable
        is_coarse = sum(blocks) >= 16**2 * len(blocks)
        return "blocked" if is_sparse and is_coarse and readable >= WORTHWHILE else "dense"


WORTHWHILE = 2**16  # weights below which blocks cost more calls than they save products


class Dense:
    """One weight `(units, units)`; each depth reads all lower ones in one product.

    Attributes:
        parameter: What the weight is called.
        levels: The regions of each depth in the order of their rows inside the network.
        order: The same, one depth after the other.
        shape: Of the weight.
    """

    parameter = "weight"

    def __init__(self, wiring: Wiring):
        self.wiring = wiring
        self.levels = wiring.levels(key=lambda i: i)
        self.order = [i for level in self.levels for i in level]
        self.shape = (sum(wiring.sizes), sum(wiring.sizes))

    def pack(self, matrix: Tensor) -> Tensor:
        """The weight, from a matrix `[target, source]` in region order."""
        return matrix

    def unpack(self, weight: Tensor) -> Tensor:
        """The matrix `[target, source]` in region order."""
        return weight

    def parts(self, weight: Tensor) -> list[tuple[Any, Any]]:
        """Per depth: the weights from all lower regions, and the own block of each region.

        Only splits: the backward pass of one split is one copy, that of slices as many zero
        matrices of full size as there are slices.
        """
        if not self.wiring.feedforward:
            return [(weight, [])]
        weight = self._by_depth(self._by_depth(weight, 0), 1)
        parts, before = [], 0
        widths = [self.wiring.widths(level) for level in self.levels]
        for sizes, rows in zip(widths, weight.split([sum(w) for w in widths]), strict=True):
            after = self.shape[1] - before - sum(sizes)
            lower, inside, _ = rows.split([before, sum(sizes), after], 1)
            own = [row.split(sizes, 1)[k] for k, row in enumerate(inside.split(sizes))]
            parts.append((lower, own))
            before += sum(sizes)
        return parts

    def from_others(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        """`z` plus what `state` sends through the weights."""
        return torch.addmm(z, weight, state)

    def from_own(self, z: Tensor, own: list[Tensor], a: Tensor) -> Tensor:
        """`z` plus what each region sends to itself."""
        sizes = [len(weight) for weight in own]
        return torch.cat(list(map(torch.addmm, z.split(sizes), own, a.split(sizes))))

    def _by_depth(self, weight: Tensor, axis: int) -> Tensor:
        if self.order == sorted(self.order):
            return weight
        pieces = weight.split(self.wiring.sizes, axis)
        return torch.cat([pieces[i] for i in self.order], axis)


@dataclass(frozen=True)
class Group:
    """Neighboring regions of one size and one fan-in: one batched product computes them.

    Attributes:
        targets: The regions.
        sources: What each of them reads.
        shape: (regions, size, fan-in), the shape of their weights.
    """

    targets: list[int]
    sources: list[list[int]]
    shape: tuple[int, int, int]


Parts = list[tuple[Group, Tensor]]


class Blocked:
    """The open blocks alone, in one flat parameter: an optimizer's step on one is cheap.

    Attributes:
        parameter: What it is called.
        levels: The regions of each depth in the order of their rows inside the network; regions
            of one size and fan-in are neighbors.
        order: The same, one depth after the other.
        groups: Per depth, the groups that read other regions and those that read themselves; a
            recurrent network has only the first, with the own block among the others.
        shape: Of the parameter.
    """

    parameter = "blocks"

    def __init__(self, wiring: Wiring):
        self.wiring = wiring
        self.levels = wiring.levels(key=lambda i: self._kind(i, self._reads(i)))
        self.order = [i for level in self.levels for i in level]
        self.groups = [self._level_groups(depth) for depth in range(len(self.levels))]
        # Values, not buffers: vmap stacks buffers, and an index need not be there once per run.
        self.rows = [TensorValue.of(self._rows_of(others)) for others, _ in self.groups]
        self.all_groups = [group for pair in self.groups for groups in pair for group in groups]
        self.sections = [prod(group.shape) for group in self.all_groups]
        self.shape = (sum(self.sections),)

    def _reads(self, i: int) -> list[int]:
        sources = self.wiring.sources[i]
        return sorted(sources if self.wiring.feedforward else [i, *sources])

    def _kind(self, i: int, sources: list[int]) -> tuple[int, int]:
        return self.wiring.sizes[i], sum(self.wiring.widths(sources))

    def _level_groups(self, depth: int) -> tuple[list[Group], list[Group]]:
        level = self.levels[depth]
        if not self.wiring.feedforward:
            return self._grouped(level, self._reads), []
        others = self._grouped(level, self._reads) if depth else []
        return others, self._grouped(level, lambda i: [i])

    def _grouped(self, level: list[int], reads: Callable[[int], list[int]]) -> list[Group]:
        groups = []
        for (size, fan_in), members in groupby(level, lambda i: self._kind(i, reads(i))):
            targets = list(members)
            shape = (len(targets), size, fan_in)
            groups.append(Group(targets, [reads(i) for i in targets], shape))
        return groups

    def _rows_of(self, groups: list[Group]) -> np.ndarray:
        """Where all that these groups read stands inside the network."""
        ends = np.cumsum([0, *self.wiring.widths(self.order)])
        spans = {i: np.arange(*ends[k : k + 2]) for k, i in enumerate(self.order)}
        read = [spans[s] for group in groups for sources in group.sources for s in sources]
        return np.concatenate([np.arange(0), *read])

    def pack(self, matrix: Tensor) -> Tensor:
        """The parameter, from a matrix `[target, source]` in region order."""
        where = self.wiring.slices
        rows = [
            torch.cat([matrix[where[target], where[s]] for s in sources], 1).flatten()
            for group in self.all_groups
            for target, sources in zip(group.targets, group.sources, strict=True)
        ]
        return torch.cat(rows)

    def unpack(self, blocks: Tensor) -> Tensor:
        """The matrix `[target, source]` in region order, 0 outside the blocks."""
        where, units = self.wiring.slices, sum(self.wiring.sizes)
        matrix = blocks.new_zeros(units, units)
        for group, part in zip(self.all_groups, blocks.split(self.sections), strict=True):
            rows = part.unflatten(0, group.shape)
            for target, sources, row in zip(group.targets, group.sources, rows, strict=True):
                widths = self.wiring.widths(sources)
                for source, block in zip(sources, row.split(widths, 1), strict=True):
                    matrix[where[target], where[source]] = block
        return matrix

    def parts(self, blocks: Tensor) -> list[tuple[Any, Any]]:
        """Per depth: what `from_others` and `from_own` take as weights.

        The first are rows of lower activity to gather, and the groups that read them; each group
        comes with its weights `(regions, size, fan-in)`.
        """
        values = (
            part.unflatten(0, group.shape)
            for part, group in zip(blocks.split(self.sections), self.all_groups, strict=True)
        )
        rows = [value.on(blocks.device) for value in self.rows]
        return [
            ((row, [(g, next(values)) for g in others]), [(g, next(values)) for g in own])
            for row, (others, own) in zip(rows, self.groups, strict=True)
        ]

    def from_others(self, z: Tensor, parts: tuple[Tensor, Parts], state: Tensor) -> Tensor:
        """`z` plus what `state` sends through the blocks."""
        rows, groups = parts
        return self.from_own(z, groups, state.index_select(0, rows))

    def from_own(self, z: Tensor, groups: Parts, a: Tensor) -> Tensor:
        """`z` plus the product of each group's weights with its own rows of `a`."""
        shapes = [group.shape for group, _ in groups]
        zs = z.split([count * size for count, size, _ in shapes])
        inputs = a.split([count * fan_in for count, _, fan_in in shapes])
        sums = [
            torch.baddbmm(z.unflatten(0, shape[:2]), weight, x.unflatten(0, shape[::2]))
            for z, (_, weight), x, shape in zip(zs, groups, inputs, shapes, strict=True)
        ]
        return torch.cat([total.flatten(0, 1) for total in sums])
