"""From a region graph to a PyTorch network: dense, or with the open blocks alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import groupby
from math import isqrt, prod
from typing import Any

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import Connections, ConstraintError
from shapekeeper.randomness import generator
from shapekeeper.regions import RegionGraph, StructureError

__all__ = ["Plan", "RegionNetwork", "compile_network"]

LAYOUTS = ("auto", "dense", "blocked")
Activation = Callable[[Tensor], Tensor]


def compile_network(
    graph: RegionGraph,
    in_features: int,
    out_features: int,
    *,
    layout: str = "auto",
    steps: int | None = None,
    activation: Activation = torch.relu,
    seed: int = 0,
) -> "RegionNetwork":
    """A network whose units are those of the graph, and whose fresh weights keep to its drawing.

    *Feed-forward*, if no chain of pathways leads back to where it began: a region at depth d
    (pathways in the longest chain that ends there; a region that nothing feeds stands at 0, input
    or not) reads all regions of lower depth, then its own units once,
    `z = W_lower h_lower + W_in x + b` and `h = act(W_own act(z) + z)`. All other weights do not
    exist: they are 0, and no count has them.

    *Recurrent* otherwise: a rate network (H. Sompolinsky et al. 1988, Chaos in random neural
    networks, eq. 1, in whole steps without leak, activity in place of potential) from `h = 0`,
    `h' = act(W h + W_in x + b)` over all weights.

    Both end in the readout `W_out h + b_out` of the output regions. Pathways never tested are
    closed; `graph.settled("open")` opens them. The connections are those of `graph.mask()`,
    whatever the seed: the drawing is one, the runs are many.

    Args:
        graph: What to build.
        in_features: Features of the input. `input=True` sees all, `input=8` the next 8 in region
            order.
        out_features: Numbers to answer with.
        layout: "dense" holds one weight `(units, units)`; closed weights are there and are read,
            so that a strategy may bend them. "blocked" holds and multiplies open blocks only, a
            block being all weights from one region to another or inside one; closed weights do
            not exist. "auto" takes blocked where that was measured to be faster: where open
            blocks have at most half of the weights that dense reads, and at least 256 of them
            on average (blocks of 16 x 16), and dense reads at least 2^17 weights.
        steps: Updates of a recurrent network for input without a time axis. By default 2 more
            than the longest of the shortest paths from an input to an output: one update to take
            the input in, one to let the regions answer each other. Given for a graph without
            loops, it asks for the recurrent network all the same.
        activation: What every unit does to its sum, number by number, e.g. `torch.tanh`.
        seed: Draws the starting weights.

    Returns:
        The network; its weights are allowed, scaled up where few are open
        (`Connections.start`).

    Raises:
        StructureError: If the graph is unfinished; lists everything that is missing.
        ValueError: If another argument is not what was wanted; lists all of them.

    Example:
        >>> from shapekeeper.regions import Pathway, Region
        >>> graph = RegionGraph(
        ...     [Region("eye", 32, input=True), Region("hand", 16, output=True)],
        ...     [Pathway("eye", "hand", density=0.25)],
        ... )
        >>> net = compile_network(graph, in_features=64, out_features=10)
        >>> net(torch.rand(5, 64)).shape
        torch.Size([5, 10])
        >>> net.plan
        feed-forward network of 48 units in 2 regions, layout dense
        depth 0: eye (32)
        depth 1: hand (16)
        open weights: 1,408 of 1,792 (79 %)
        multiply-adds per example: 4,000
        parameters: 4,058
    """
    if not isinstance(graph, RegionGraph):
        raise TypeError(f"Wanted a RegionGraph, got {type(graph).__name__}.")
    if graph.problems():
        raise StructureError(graph.problems())
    found = [
        *_bad_sizes(graph, in_features, out_features),
        *_bad_steps(steps),
        *_bad_layout(layout),
        *_bad_activation(activation),
    ]
    if found:
        raise ValueError(" ".join(found))
    net = RegionNetwork(graph, in_features, out_features, layout, steps, activation)
    net._fill(net._drawn(seed), net.graph.connections().start)
    return net


@dataclass(frozen=True, repr=False)
class Plan:
    """What was compiled, in words and counts.

    Attributes:
        order: Names of the regions in the order in which they are computed; in a feed-forward
            network each comes after all that feed it.
        depths: Region name -> depth; empty for a recurrent network.
        sizes: Region name -> units.
        shapes: Parameter name -> shape.
        open_weights: Weights between units that the graph opens.
        readable_weights: Weights between units that could be opened without changing the order of
            computation; all that the dense layout reads.
        multiply_adds: Multiplications of a weight per example: for one step of time if
            `steps` is None, else for `steps` updates from rest.
        parameters: Numbers that training can change.
        layout: "dense" or "blocked".
        steps: Updates of a recurrent network; None for a feed-forward one.

    Example:
        >>> from shapekeeper.regions import Region
        >>> plan = compile_network(RegionGraph([Region("a", 4, input=True, output=True)]), 2, 1).plan
        >>> plan.depths, plan.shapes["weight"], plan.share_open
        ({'a': 0}, (4, 4), 1.0)
    """

    order: tuple[str, ...]
    depths: dict[str, int] = field(hash=False)
    sizes: dict[str, int] = field(hash=False)
    shapes: dict[str, tuple[int, ...]] = field(hash=False)
    open_weights: int
    readable_weights: int
    multiply_adds: int
    parameters: int
    layout: str
    steps: int | None

    @property
    def share_open(self) -> float:
        """Open weights as a share of readable ones."""
        return self.open_weights / self.readable_weights

    def __repr__(self) -> str:
        kind = "feed-forward" if self.steps is None else "recurrent"
        return "\n".join(
            [
                f"{kind} network of {sum(self.sizes.values())} units in {len(self.order)} regions, "
                f"layout {self.layout}",
                *self._order_lines(),
                f"open weights: {self.open_weights:,} of {self.readable_weights:,} "
                f"({100 * self.share_open:.0f} %)",
                f"multiply-adds per example: {self.multiply_adds:,}",
                f"parameters: {self.parameters:,}",
            ]
        )

    def _order_lines(self) -> Iterator[str]:
        if self.steps is not None:
            yield f"{self.steps} steps of {self._listed(self.order)}"
            return
        for depth, names in groupby(self.order, self.depths.__getitem__):
            yield f"depth {depth}: {self._listed(names)}"

    def _listed(self, names: Any) -> str:
        return ", ".join(f"{name} ({self.sizes[name]})" for name in names)


class RegionNetwork(nn.Module):
    """The network that `compile_network` makes; an ordinary module.

    Parameters, in region order: `weight` (units, units), `[target, source]`, with closed weights
    among them, or `blocks`, the open blocks one after the other, in the blocked layout; `bias`
    (units,); `input_weights.<i>` (size, features seen), one per input region; `output_weight`
    (out, units of the output regions) and `output_bias` (out,).

    The state dict is the dense form in both layouts: it has `weight`, never `blocks`.

    Attributes:
        graph: The graph it was compiled from.
        plan: What was compiled.
        layout: "dense" or "blocked".
        constraints: Parameter name -> the constraint that the graph puts on it. In the blocked
            layout it concerns the closed weights inside open blocks, which nothing reads.

    Example:
        >>> from shapekeeper.regions import Pathway, Region
        >>> graph = RegionGraph(
        ...     [Region("eye", 2, input=True), Region("hand", 1, output=True)],
        ...     [Pathway("eye", "hand", density=0.5)],
        ... )
        >>> net = compile_network(graph, in_features=3, out_features=1)
        >>> [name for name, _ in net.named_parameters()]
        ['weight', 'bias', 'output_weight', 'output_bias', 'input_weights.0']
        >>> (net.weight_matrix() != 0).int()
        tensor([[1, 1, 0],
                [1, 1, 0],
                [0, 1, 1]], dtype=torch.int32)
        >>> net.constraints["weight"].violation(net.weight).item()
        0.0
    """

    def __init__(
        self,
        graph: RegionGraph,
        in_features: int,
        out_features: int,
        layout: str,
        steps: int | None,
        activation: Activation,
    ):
        super().__init__()
        self.graph, self.activation = graph, activation
        self.in_features, self.out_features = in_features, out_features
        self.steps = _default_steps(graph) if steps is None else steps
        self._wiring = _Wiring(graph, self.steps)
        self.layout = self._wiring.cheaper_layout() if layout == "auto" else layout
        self._storage = (_Dense if self.layout == "dense" else _Blocked)(self._wiring)
        self._spans = _feature_spans(graph, in_features)
        self._add_parameters()
        mask = self._storage.pack(graph.mask())
        self._is_partial = not bool(mask.all())
        self.constraints = {self._storage.parameter: Connections(mask)}
        self.plan = self._make_plan()

    def _add_parameters(self) -> None:
        sizes, units = self._wiring.sizes, self.graph.units
        listening = sum(size for size, r in zip(sizes, self.graph.regions, strict=True) if r.output)
        self.register_parameter(
            self._storage.parameter, nn.Parameter(torch.empty(self._storage.shape))
        )
        self.bias = nn.Parameter(torch.empty(units))
        self.input_weights = nn.ParameterList(
            torch.empty(sizes[i], span.stop - span.start) for i, span in self._spans.items()
        )
        self.output_weight = nn.Parameter(torch.empty(self.out_features, listening))
        self.output_bias = nn.Parameter(torch.empty(self.out_features))

    def _make_plan(self) -> Plan:
        wiring, names = self._wiring, self.graph.names
        shapes = {name: tuple(value.shape) for name, value in self.named_parameters()}
        biases = self.bias.numel() + self.output_bias.numel()
        ends = sum(prod(s) for name, s in shapes.items() if name[:5] in ("input", "outpu")) - len(
            self.output_bias
        )
        between = wiring.readable_weights if self.layout == "dense" else prod(self._storage.shape)
        return Plan(
            order=tuple(names[i] for i in self._storage.order),
            depths={} if self.steps else self.graph.depths(),
            sizes=dict(zip(names, wiring.sizes, strict=True)),
            shapes=shapes,
            open_weights=self.graph.open_weights(),
            readable_weights=wiring.readable_weights,
            multiply_adds=between * ((self.steps or 2) - 1) + ends,
            parameters=between + ends + biases,
            layout=self.layout,
            steps=self.steps,
        )

    def forward(self, x: Tensor) -> Tensor:
        """The readout.

        Args:
            x: `(batch, features)`, which a recurrent network sees at all of its steps; or
                `(batch, time, features)`, one step of a recurrent network per time. A
                feed-forward network answers every time by itself.

        Returns:
            `(batch, out)`, after the last step; or `(batch, time, out)`.

        Raises:
            ValueError: If `x` has another shape.
        """
        if x.ndim not in (2, 3) or x.shape[-1] != self.in_features:
            raise ValueError(
                f"Wanted input of shape (batch, {self.in_features}) or (batch, time, "
                f"{self.in_features}), got {tuple(x.shape)}. The last axis holds the features, "
                f"and the network was compiled with in_features={self.in_features}."
            )
        times = 1 if x.ndim == 2 else x.shape[1]
        # Inside, units come first and examples last, so that regions are slices of whole rows.
        drive = self._drive(x.T if x.ndim == 2 else x.permute(2, 1, 0).flatten(1))
        if self.steps is None:
            heard = self._heard(self._flow(drive))
        elif x.ndim == 2:
            heard = self._heard(self._unroll([drive] * self.steps)[-1])
        else:
            activities = self._unroll(drive.split(x.shape[0], dim=1))
            heard = torch.cat([self._heard(h) for h in activities], dim=1)
        answer = F.linear(heard.T, self.output_weight, self.output_bias)
        return answer if x.ndim == 2 else answer.unflatten(0, (times, -1)).transpose(0, 1)

    def _drive(self, x: Tensor) -> Tensor:
        """`W_in x + b` of all units `(units, examples)`, from features `(features, examples)`."""
        biases = self.bias.unsqueeze(1).split(self._wiring.sizes)
        seen = dict(zip(self._spans, self.input_weights, strict=True))
        return torch.cat(
            [
                torch.addmm(biases[i], seen[i], x[self._spans[i]])
                if i in seen
                else biases[i].expand(-1, x.shape[1])
                for i in self._storage.order
            ]
        )

    def _flow(self, drive: Tensor) -> Tensor:
        storage, act = self._storage, self.activation
        parts = storage.parts(self._weights())
        widths = [sum(self._wiring.sizes[i] for i in level) for level in storage.levels]
        state, activities = None, []
        for z, level, (lower, own) in zip(drive.split(widths), storage.levels, parts, strict=True):
            if state is not None:
                z = storage.add_lower(z, lower, state)
            activities.append(act(storage.add_own(z, own, act(z))))
            state = storage.extended(state, activities[-1], level)
        return torch.cat(activities)

    def _unroll(self, drives: Sequence[Tensor]) -> list[Tensor]:
        storage = self._storage
        ((weights, _),) = storage.parts(self._weights())
        activities = [self.activation(drives[0])]  # from rest, nobody hears anybody
        for drive in drives[1:]:
            state = storage.extended(None, activities[-1], storage.order)
            activities.append(self.activation(storage.add_lower(drive, weights, state)))
        return activities

    def _weights(self) -> Tensor:
        """What the network reads: the dense weight as it stands, of blocks the open entries."""
        value = getattr(self, self._storage.parameter)
        if self.layout == "blocked" and self._is_partial:
            return self.constraints["blocks"].from_free(value)
        return value

    def _heard(self, h: Tensor) -> Tensor:
        """The rows of the output regions, in region order."""
        order, regions = self._storage.order, self.graph.regions
        pieces = dict(zip(order, h.split([self._wiring.sizes[i] for i in order]), strict=True))
        heard = [pieces[i] for i, region in enumerate(regions) if region.output]
        return torch.cat(heard) if len(heard) > 1 else heard[0]

    def weight_matrix(self) -> Tensor:
        """The weights between units, a detached copy `(units, units)`, `[target, source]`.

        Units stand in region order, in either layout; weights that do not exist are 0.
        """
        return self._storage.unpack(self._weights().detach()).clone()

    def reset_parameters(self, seed: int) -> None:
        """Draw ordinary dense starting weights, as `nn.Linear` does, closed ones included.

        Every weight and bias is uniform within 1 / sqrt(fan-in), the inputs and all readable
        weights of its unit counted. Both layouts draw the same numbers; blocked keeps the open
        ones. `Connections.start` makes the dense ones allowed.

        Args:
            seed: A whole number from 0 up.

        Example:
            >>> from shapekeeper.regions import Region
            >>> net = compile_network(RegionGraph([Region("a", 4, input=True, output=True)]), 2, 1)
            >>> before = net.bias.clone()
            >>> net.reset_parameters(seed=1)
            >>> bool((net.bias != before).all()), bool(net.bias.abs().max() <= 6**-0.5)
            (True, True)
        """
        self._fill(self._drawn(seed), lambda weight: weight)

    def _drawn(self, seed: int) -> dict[str, Tensor]:
        draws = generator(seed, "model")
        readable = self._wiring.readable()
        fan_in = readable.sum(1).double()
        for i, span in self._spans.items():
            fan_in[self._wiring.slices[i]] += span.stop - span.start
        bound = fan_in.rsqrt().unsqueeze(1)

        def uniform(limit: Any, *shape: int) -> Tensor:
            # Always in double precision, so that a network in float64 gets the same numbers.
            return limit * (2 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1)

        units = len(bound)
        values = {"weight": torch.where(readable, uniform(bound, units, units), 0.0)}
        values["bias"] = uniform(bound, units, 1).squeeze(1)
        for k, (i, weight) in enumerate(zip(self._spans, self.input_weights, strict=True)):
            values[f"input_weights.{k}"] = uniform(bound[self._wiring.slices[i]], *weight.shape)
        limit = self.output_weight.shape[1] ** -0.5
        values["output_weight"] = uniform(limit, *self.output_weight.shape)
        values["output_bias"] = uniform(limit, self.out_features)
        return values

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor], start: Callable[[Tensor], Tensor]) -> None:
        name = self._storage.parameter
        weights = self._storage.pack(start(values.pop("weight")))
        values[name] = self.constraints[name].project(weights) if name == "blocks" else weights
        for name, value in values.items():
            self.get_parameter(name).copy_(value)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.layout == "blocked":
            blocks = destination.pop(f"{prefix}blocks")
            destination[f"{prefix}weight"] = self._storage.unpack(
                self.constraints["blocks"].project(blocks)
            )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, *reports: list[str]
    ) -> None:
        missing, _, errors = reports
        key, own = f"{prefix}weight", f"{prefix}{self._storage.parameter}"
        state_dict = dict(state_dict)
        weight = state_dict.pop(key, None)
        if weight is not None and weight.shape != (self.graph.units, self.graph.units):
            errors.append(
                f"size mismatch for {key}: wanted {(self.graph.units, self.graph.units)}, "
                f"got {tuple(weight.shape)}."
            )
        elif weight is not None:
            self._refuse_absent(weight)
            state_dict[own] = self._storage.pack(weight)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *reports)
        if own in missing:
            missing.remove(own)
            if weight is None:
                missing.append(key)

    def _refuse_absent(self, weight: Tensor) -> None:
        """Raise unless all weights that do not exist here are 0."""
        blocked = self.layout == "blocked"
        exist = self.graph.mask() if blocked else self._wiring.readable()
        found = int(((weight.detach().cpu() != 0) & ~exist).sum())
        if found and blocked:
            raise ConstraintError(
                f"Wanted 0 at all closed weights, got {found} that are not 0; closed weights do "
                "not exist here; compile with layout='dense'."
            )
        if found:
            raise ConstraintError(
                f"Wanted 0 at all weights from a region to one that is not deeper, got {found} "
                "that are not 0; they do not exist in a feed-forward network. Compile with the "
                "graph they were trained on, or with steps=... for a recurrent network."
            )

    def extra_repr(self) -> str:
        """One line of the plan, for the module's printed form."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"layout={self.layout!r}, steps={self.steps}"
        )


class _Wiring:
    """Who may read whom; region i is the i-th of the graph."""

    def __init__(self, graph: RegionGraph, steps: int | None):
        place = {name: i for i, name in enumerate(graph.names)}
        self.sizes = [region.size for region in graph.regions]
        self.slices = list(graph.slices.values())
        self.feedforward = steps is None
        depths = graph.depths() if self.feedforward else dict.fromkeys(graph.names, 0)
        self.depth = list(depths.values())
        #: Open pathways into each region from others.
        self.sources: list[list[int]] = [[] for _ in self.sizes]
        for pathway in graph.settled().pathways:
            self.sources[place[pathway.target]].append(place[pathway.source])

    def levels(self, key: Callable[[int], Any]) -> list[list[int]]:
        """The regions of each depth, sorted by `key`."""
        return [
            sorted((i for i, d in enumerate(self.depth) if d == depth), key=key)
            for depth in range(max(self.depth) + 1)
        ]

    def readable(self) -> Tensor:
        """Which weights exist, bool `(units, units)`."""
        unit = torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes))
        if not self.feedforward:
            return torch.ones(len(unit), len(unit), dtype=torch.bool)
        depth = torch.tensor(self.depth)[unit]
        return (depth[:, None] > depth) | (unit[:, None] == unit)

    @property
    def readable_weights(self) -> int:
        if not self.feedforward:
            return sum(self.sizes) ** 2
        return sum(
            size * (size + sum(n for n, e in zip(self.sizes, self.depth, strict=True) if e < d))
            for size, d in zip(self.sizes, self.depth, strict=True)
        )

    def cheaper_layout(self) -> str:
        areas = [
            self.sizes[t] * self.sizes[s]
            for t, sources in enumerate(self.sources)
            for s in (t, *sources)
        ]
        wins = (
            2 * sum(areas) <= self.readable_weights
            and isqrt(sum(areas) // len(areas)) >= 16
            and self.readable_weights >= 2**17
        )
        return "blocked" if wins else "dense"


class _Dense:
    """One weight `(units, units)`; every depth reads all lower ones in one product."""

    parameter = "weight"

    def __init__(self, wiring: _Wiring):
        self.wiring = wiring
        self.levels = wiring.levels(key=lambda i: i)
        self.order = [i for level in self.levels for i in level]
        self.shape = (sum(wiring.sizes), sum(wiring.sizes))

    def pack(self, matrix: Tensor) -> Tensor:
        return matrix

    def unpack(self, weight: Tensor) -> Tensor:
        return weight

    def parts(self, weight: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Per depth: the weights from all lower regions, and the own block of each region.

        Only splits: the backward pass of one split is one copy, that of slices as many zero
        matrices of full size as there are slices.
        """
        if not self.wiring.feedforward:
            return [(weight, [])]
        weight = self._sorted(self._sorted(weight, 0), 1)
        parts, before = [], 0
        widths = [self._sizes(level) for level in self.levels]
        for sizes, rows in zip(widths, weight.split([sum(w) for w in widths]), strict=True):
            lower, inner, _ = rows.split([before, sum(sizes), len(weight) - before - sum(sizes)], 1)
            own = [row.split(sizes, 1)[k] for k, row in enumerate(inner.split(sizes))]
            parts.append((lower, own))
            before += sum(sizes)
        return parts

    def add_lower(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        return torch.addmm(z, weight, state)

    def add_own(self, z: Tensor, own: list[Tensor], a: Tensor) -> Tensor:
        sizes = [len(weight) for weight in own]
        sums = map(torch.addmm, z.split(sizes), own, a.split(sizes))
        return torch.cat(list(sums))

    def extended(self, state: Tensor | None, h: Tensor, level: list[int]) -> Tensor:
        return h if state is None else torch.cat([state, h])

    def _sizes(self, regions: list[int]) -> list[int]:
        return [self.wiring.sizes[i] for i in regions]

    def _sorted(self, weight: Tensor, axis: int) -> Tensor:
        if self.order == sorted(self.order):
            return weight
        pieces = weight.split(self.wiring.sizes, axis)
        return torch.cat([pieces[i] for i in self.order], axis)


@dataclass(frozen=True)
class _Group:
    """Neighbors of one size and one fan-in, which one batched product computes."""

    targets: list[int]
    sources: list[list[int]]
    shape: tuple[int, int, int]  # targets, size, fan-in


class _Blocked:
    """The open blocks, one after the other: per depth those from lower regions, then own ones."""

    parameter = "blocks"

    def __init__(self, wiring: _Wiring):
        self.wiring = wiring
        # Regions of one shape stand together, so that a group is a slice of rows.
        self.levels = wiring.levels(key=lambda i: (wiring.sizes[i], self._fan_in(self._reads(i))))
        self.order = [i for level in self.levels for i in level]
        self.place = {i: k for k, i in enumerate(self.order)}
        self.groups = [
            (
                self._grouped(level, self._reads) if depth or not wiring.feedforward else [],
                self._grouped(level, lambda i: [i]) if wiring.feedforward else [],
            )
            for depth, level in enumerate(self.levels)
        ]
        self.sections = [prod(group.shape) for pair in self.groups for g in pair for group in [*g]]
        self.shape = (sum(self.sections),)

    def _reads(self, i: int) -> list[int]:
        sources = self.wiring.sources[i]
        return sorted(sources if self.wiring.feedforward else [i, *sources])

    def _fan_in(self, sources: list[int]) -> int:
        return sum(self.wiring.sizes[s] for s in sources)

    def _grouped(self, level: list[int], reads: Callable[[int], list[int]]) -> list[_Group]:
        groups = groupby(level, lambda i: (self.wiring.sizes[i], self._fan_in(reads(i))))
        found = [(key, list(targets)) for key, targets in groups]
        return [_Group(t, [reads(i) for i in t], (len(t), *key)) for key, t in found]

    def _all_groups(self) -> list[_Group]:
        return [group for pair in self.groups for groups in pair for group in groups]

    def pack(self, matrix: Tensor) -> Tensor:
        where = self.wiring.slices
        rows = [
            torch.cat([matrix[where[t], where[s]] for s in sources], 1).flatten()
            for group in self._all_groups()
            for t, sources in zip(group.targets, group.sources, strict=True)
        ]
        return torch.cat(rows)

    def unpack(self, blocks: Tensor) -> Tensor:
        where, units = self.wiring.slices, sum(self.wiring.sizes)
        matrix = blocks.new_zeros(units, units)
        for group, part in zip(self._all_groups(), blocks.split(self.sections), strict=True):
            rows = part.view(group.shape)
            for t, sources, row in zip(group.targets, group.sources, rows, strict=True):
                widths = [self.wiring.sizes[s] for s in sources]
                for s, block in zip(sources, row.split(widths, 1), strict=True):
                    matrix[where[t], where[s]] = block
        return matrix

    def parts(self, blocks: Tensor) -> list[tuple[Any, Any]]:
        """Per depth: groups from lower regions and groups of own blocks, each with its weights."""
        weights = iter(blocks.split(self.sections))
        return [
            tuple([(g, next(weights).view(g.shape)) for g in groups] for groups in pair)
            for pair in self.groups
        ]

    def add_lower(self, z: Tensor, parts: Any, state: list[Tensor]) -> Tensor:
        heard = [state[self.place[s]] for g, _ in parts for sources in g.sources for s in sources]
        return self.add_own(z, parts, torch.cat(heard))

    def add_own(self, z: Tensor, parts: Any, a: Tensor) -> Tensor:
        shapes = [group.shape for group, _ in parts]
        zs = z.split([count * size for count, size, _ in shapes])
        xs = a.split([count * fan_in for count, _, fan_in in shapes])
        sums = [
            torch.baddbmm(
                z.unflatten(0, (count, size)), weight, x.unflatten(0, (count, fan_in))
            ).flatten(0, 1)
            for z, x, (group, weight), (count, size, fan_in) in zip(zs, xs, parts, shapes)
        ]
        return torch.cat(sums)

    def extended(self, state: list[Tensor] | None, h: Tensor, level: list[int]) -> list[Tensor]:
        return [*(state or []), *h.split([self.wiring.sizes[i] for i in level])]


def _default_steps(graph: RegionGraph) -> int | None:
    """None for a feed-forward graph."""
    if graph.is_feedforward:
        return None
    drawing = graph.settled().to_networkx()
    inputs = [region.name for region in graph.regions if region.input]
    outputs = [region.name for region in graph.regions if region.output]
    paths = (nx.single_source_shortest_path_length(drawing, name) for name in inputs)
    return 2 + max(length[name] for length in paths for name in outputs if name in length)


def _feature_spans(graph: RegionGraph, in_features: int) -> dict[int, slice]:
    """Input region -> the features it sees."""
    spans, taken = {}, 0
    for i, region in enumerate(graph.regions):
        if region.input is True:
            spans[i] = slice(0, in_features)
        elif region.input:
            spans[i] = slice(taken, taken + region.input)
            taken += region.input
    return spans


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _bad_sizes(graph: RegionGraph, in_features: Any, out_features: Any) -> Iterator[str]:
    for name, value in (("in_features", in_features), ("out_features", out_features)):
        if not _is_whole(value):
            yield f"Wanted {name} as a whole number from 1 up, got {value!r}."
    wanted = {r.name: r.input for r in graph.regions if r.input and r.input is not True}
    if _is_whole(in_features) and in_features < sum(wanted.values()):
        each = " and ".join(f"{n} for “{name}”" for name, n in wanted.items())
        yield (
            f"Wanted at least {sum(wanted.values())} features, {each}, got "
            f"in_features={in_features}. Pass more, or let the regions see fewer (input=...)."
        )


def _bad_steps(steps: Any) -> Iterator[str]:
    if steps is not None and not _is_whole(steps):
        yield (
            f"Wanted steps as a whole number from 1 up, got {steps!r}. "
            "Leave it out for a number that fits the graph."
        )


def _bad_layout(layout: Any) -> Iterator[str]:
    if layout not in LAYOUTS:
        close = get_close_matches(str(layout), LAYOUTS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        yield f"Wanted one of the layouts 'auto', 'dense', 'blocked', got {layout!r}.{hint}"


def _bad_activation(activation: Any) -> Iterator[str]:
    if not callable(activation):
        yield (
            f"Wanted a function of a tensor as activation, got {activation!r}. "
            "Pass the function itself, e.g. activation=torch.tanh."
        )
        return
    probe = torch.tensor([[-1.0, 0.5, 2.0], [3.0, -0.25, 0.0]])
    try:
        turned = activation(probe.T)
        if torch.equal(activation(probe), turned.T):
            return
        reason = "its answer changes with the place of a number among others"
    except Exception as error:
        reason = f"it raised {type(error).__name__}: {error}"
    yield (
        f"Wanted an activation that works number by number, such as torch.tanh, got "
        f"{activation!r}: {reason}."
    )
