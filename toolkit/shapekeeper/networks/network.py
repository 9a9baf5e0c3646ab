"""Networks whose units are those of a region graph."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import Connections, Constraint, ConstraintError, Signs
from shapekeeper.constraints.tensor_value import TensorValue
from shapekeeper.networks.layouts import Blocked, Dense, Wiring
from shapekeeper.networks.plan import Plan
from shapekeeper.randomness import generator
from shapekeeper.regions import RegionGraph, StructureError

__all__ = ["RegionNetwork", "compile_network"]

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

    *Recurrent* otherwise: a rate network that starts at `h = 0` and takes steps
    `h' = act(W h + W_in x + b)` over all weights (P. Dayan & L. Abbott 2001, Theoretical
    Neuroscience, eq. 7.11, in Euler steps as long as its time constant).

    Both end in the readout `W_out h + b_out` of the output regions. Pathways never tested are
    closed; `graph.settled("open")` opens them. The connections are those of `graph.mask()`,
    whatever the seed: one drawing, many runs. Where a region has a sign, so have all weights
    between units that leave it, like the axons of a neuron by Dale's law; the readout is free.

    Args:
        graph: What to build.
        in_features: Features of the input. Regions with `input=True` see all, with `input=8` the
            next 8 in region order.
        out_features: Numbers to answer with.
        layout: "dense" holds one weight `(units, units)`; closed weights are there and are read,
            so that a strategy may bend them. "blocked" holds and multiplies open blocks only, a
            block being all weights from one region to another or inside one; closed weights do
            not exist. "auto" takes blocked where that was measured to be faster: the blocks hold
            at most half of the readable weights, blocks of 16 x 16 or more on average, and there
            are 2^16 readable weights or more.
        steps: Updates of a recurrent network for input without a time axis. By default 2 more
            than the longest of the shortest paths from an input to an output: one update takes
            the input in, and one is to spare. Given for a graph without loops, it asks for the
            recurrent network all the same.
        activation: What every unit does to its sum, number by number, e.g. `torch.tanh`.
        seed: Draws the starting weights, a whole number from 0 up.

    Returns:
        The network; its weights are allowed, and larger where few are open
        (`Connections.start`).

    Raises:
        TypeError: If `graph` is no region graph.
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
        feed-forward network, layout dense: 48 units in 2 regions
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
    net._fill(net._drawn(seed), start=graph.constraint().start)
    return net


class RegionNetwork(nn.Module):
    """The network that `compile_network` makes: an ordinary module.

    Parameters, in region order: `weight` (units, units), `[target, source]`, closed weights
    included, or in the blocked layout `blocks`, the open blocks one after the other; `bias`
    (units,); `input_weights.<i>` (size, features seen), one per input region; `output_weight`
    (out, units of the output regions) and `output_bias` (out,).

    The state dict is the dense form in both layouts: it has `weight`, never `blocks`.

    Attributes:
        graph: The graph it was compiled from.
        plan: What was compiled.
        layout: "dense" or "blocked".
        constraints: Parameter name -> the constraint that the graph puts on it: `Connections`,
            and `Signs` if regions have signs. In the blocked layout the connections concern closed
            weights inside open blocks, which the network never reads.

    Example:
        >>> from shapekeeper.regions import Pathway, Region
        >>> graph = RegionGraph(
        ...     [Region("hand", 1, output=True), Region("eye", 2, input=True)],
        ...     [Pathway("eye", "hand")],
        ... )
        >>> net = compile_network(graph, in_features=3, out_features=1)
        >>> [name for name, _ in net.named_parameters()]
        ['weight', 'bias', 'output_weight', 'output_bias', 'input_weights.0']
        >>> (net.weight_matrix() != 0).int().tolist()
        [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
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
        self._wiring = Wiring(graph, feedforward=self.steps is None)
        self.layout = self._wiring.cheaper_layout() if layout == "auto" else layout
        self._storage = (Dense if self.layout == "dense" else Blocked)(self._wiring)
        self._spans = _feature_spans(graph, in_features)
        self._add_parameters()
        self.constraints = {self._storage.parameter: _allowed(graph, self._storage)}
        mask = self._storage.pack(graph.mask())
        is_partial = self.layout == "blocked" and not bool(mask.all())
        self._open = TensorValue.of(mask) if is_partial else None
        self.plan = self._planned()

    def _add_parameters(self) -> None:
        sizes, storage = self._wiring.sizes, self._storage
        heard = sum(region.size for region in self.graph.regions if region.output)
        self.register_parameter(storage.parameter, nn.Parameter(torch.empty(storage.shape)))
        self.bias = nn.Parameter(torch.empty(self.graph.units))
        self.input_weights = nn.ParameterList(
            torch.empty(sizes[i], span.stop - span.start) for i, span in self._spans.items()
        )
        self.output_weight = nn.Parameter(torch.empty(self.out_features, heard))
        self.output_bias = nn.Parameter(torch.empty(self.out_features))

    def _planned(self) -> Plan:
        names, readable = self.graph.names, self._wiring.readable_weights()
        between = readable if self.layout == "dense" else self._storage.shape[0]
        ends = sum(weight.numel() for weight in (*self.input_weights, self.output_weight))
        products = 1 if self.steps is None else self.steps - 1  # none from rest
        return Plan(
            order=tuple(names[i] for i in self._storage.order),
            depths=self.graph.depths() if self.steps is None else {},
            sizes={region.name: region.size for region in self.graph.regions},
            shapes={name: tuple(value.shape) for name, value in self.named_parameters()},
            open_weights=self.graph.open_weights(),
            readable_weights=readable,
            multiply_adds=products * between + ends,
            parameters=between + ends + self.bias.numel() + self.out_features,
            layout=self.layout,
            steps=self.steps,
        )

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The readout.

        Args:
            x: `(batch, features)`, which a recurrent network sees at all of its steps; or
                `(batch, time, features)`, one step of a recurrent network per time. A
                feed-forward network answers each time by itself.
            h: Activities `(units, batch)` that a recurrent network goes on from, such as `rest`;
                `x` must have a time axis then.

        Returns:
            `(batch, out)`, after the last step; or `(batch, time, out)`. Where `h` was given, a
            pair: this, and the activities after the last step.

        Raises:
            ValueError: If `x` has another shape, or there is nothing that could go on from `h`.
        """
        self._check(x)
        if h is not None:
            return self._go_on(x, h)
        if x.ndim == 2:
            drive = self._drive(x.T)
            last = (
                self._flow(drive) if self.steps is None else self._unroll([drive] * self.steps)[-1]
            )
            return self._readout(self._heard(last))
        drive = self._drive(x.permute(2, 1, 0).flatten(1))
        if self.steps is None:
            heard = self._heard(self._flow(drive))
        else:
            # One time after the other, so that the examples of one time are neighbors.
            activities = self._unroll(drive.split(x.shape[0], dim=1))
            heard = torch.cat([self._heard(a) for a in activities], dim=1)
        return self._in_time(heard, x)

    def rest(self, batch: int) -> Tensor:
        """The activities `(units, batch)` from which a recurrent network begins.

        Example:
            >>> from shapekeeper.regions import Region
            >>> graph = RegionGraph([Region("a", 4, input=True, output=True)])
            >>> net, x = compile_network(graph, 2, 1, steps=2), torch.rand(3, 10, 2)
            >>> first, h = net(x[:, :6], net.rest(3))
            >>> second, h = net(x[:, 6:], h)
            >>> bool(torch.allclose(torch.cat([first, second], dim=1), net(x)))
            True
        """
        return self.bias.new_zeros(self.graph.units, batch)

    def _go_on(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.steps is None or x.ndim != 3:
            raise ValueError(
                "Wanted a recurrent network and input of shape (batch, time, features) to go on "
                f"from h, got {tuple(x.shape)} and a network with steps={self.steps}. Leave h out, "
                "or compile with steps=."
            )
        drives = self._drive(x.permute(2, 1, 0).flatten(1)).split(x.shape[0], dim=1)
        activities = self._unroll(drives, h)
        heard = torch.cat([self._heard(a) for a in activities], dim=1)
        return self._in_time(heard, x), activities[-1]

    def _in_time(self, heard: Tensor, x: Tensor) -> Tensor:
        return self._readout(heard).unflatten(0, (x.shape[1], x.shape[0])).transpose(0, 1)

    def _check(self, x: Tensor) -> None:
        if x.ndim in (2, 3) and x.shape[-1] == self.in_features:
            return
        n = self.in_features
        raise ValueError(
            f"Wanted input of shape (batch, {n}) or (batch, time, {n}), got {tuple(x.shape)}. "
            f"The last axis holds the features; the network was compiled with in_features={n}."
        )

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
        """Activities of all units, one depth after the other."""
        storage, act = self._storage, self.activation
        drives = drive.split([sum(self._wiring.widths(level)) for level in storage.levels])
        known = drive[:0]
        for z, (others, own) in zip(drives, storage.parts(self._weights()), strict=True):
            if len(known):
                z = storage.from_others(z, others, known)
            known = torch.cat([known, act(storage.from_own(z, own, act(z)))])
        return known

    def _unroll(self, drives: Sequence[Tensor], h: Tensor | None = None) -> list[Tensor]:
        """Activities after each step."""
        storage, activities = self._storage, []
        ((weights, _),) = storage.parts(self._weights())
        for drive in drives:
            # From rest nobody hears anybody yet.
            z = drive if h is None else storage.from_others(drive, weights, h)
            h = self.activation(z)
            activities.append(h)
        return activities

    def _weights(self) -> Tensor:
        """What the network reads: the dense weight as it stands, of blocks the open entries."""
        value = getattr(self, self._storage.parameter)
        return value if self._open is None else value * self._open.on(value.device, value.dtype)

    def _heard(self, h: Tensor) -> Tensor:
        """The rows of the output regions, in region order."""
        order, regions = self._storage.order, self.graph.regions
        rows = dict(zip(order, h.split(self._wiring.widths(order)), strict=True))
        return torch.cat([rows[i] for i, region in enumerate(regions) if region.output])

    def _readout(self, heard: Tensor) -> Tensor:
        return F.linear(heard.T, self.output_weight, self.output_bias)

    def weight_matrix(self) -> Tensor:
        """The weights between units, a detached copy `(units, units)`, `[target, source]`.

        Units stand in region order, in either layout; weights that do not exist are 0.
        """
        return self._storage.unpack(self._weights().detach()).clone()

    def reset_parameters(self, seed: int) -> None:
        """Draw ordinary dense starting weights, as `nn.Linear` does, closed ones included.

        Every weight and bias is uniform within 1 / sqrt(fan-in), where the fan-in counts the
        features and all readable weights of its unit. Both layouts draw the same numbers; blocked
        keeps the open ones. `Connections.start` makes allowed weights of dense ones.

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
        self._fill(self._drawn(seed), start=lambda weight: weight)

    def _drawn(self, seed: int) -> dict[str, Tensor]:
        draws, slices = generator(seed, "model"), self._wiring.slices
        readable = self._wiring.readable()
        fan_in = readable.sum(1, keepdim=True).double()
        for i, span in self._spans.items():
            fan_in[slices[i]] += span.stop - span.start
        bound, heard = fan_in.rsqrt(), self.output_weight.shape[1] ** -0.5

        def uniform(limit: Any, *shape: int) -> Tensor:
            # Always in double precision, so that a network in float64 gets the same numbers.
            return limit * (2 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1)

        values = {
            "weight": torch.where(readable, uniform(bound, *readable.shape), 0.0),
            "bias": uniform(bound, len(bound), 1).squeeze(1),
            "output_weight": uniform(heard, *self.output_weight.shape),
            "output_bias": uniform(heard, self.out_features),
        }
        for k, (i, weight) in enumerate(zip(self._spans, self.input_weights, strict=True)):
            values[f"input_weights.{k}"] = uniform(bound[slices[i]], *weight.shape)
        return values

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor], start: Callable[[Tensor], Tensor]) -> None:
        name = self._storage.parameter
        weights = self._storage.pack(start(values.pop("weight").to(self.bias.dtype)))
        if self.layout == "blocked":
            weights = self.constraints[name].project(weights)
        for parameter, value in {name: weights, **values}.items():
            self.get_parameter(parameter).copy_(value)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.layout == "blocked":
            del destination[f"{prefix}blocks"]
            weights = self._weights() if keep_vars else self._weights().detach()
            destination[f"{prefix}weight"] = self._storage.unpack(weights)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, *reports: Any
    ) -> None:
        missing, _, errors = reports
        key, own = f"{prefix}weight", f"{prefix}{self._storage.parameter}"
        wanted, state_dict = (self.graph.units, self.graph.units), dict(state_dict)
        weight = state_dict.pop(key, None)
        if weight is not None and weight.shape == wanted:
            self._refuse_absent(weight)
            state_dict[own] = self._storage.pack(weight)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *reports)
        if own not in missing:
            return
        missing.remove(own)
        if weight is None:
            missing.append(key)
        else:
            errors.append(f"{key}: wanted shape {wanted}, got {tuple(weight.shape)}.")

    def _refuse_absent(self, weight: Tensor) -> None:
        """Raise unless all weights that do not exist here are 0."""
        exist = self.graph.mask() if self.layout == "blocked" else self._wiring.readable()
        found = int(((weight.detach().cpu() != 0) & ~exist).sum())
        if not found:
            return
        if self.layout == "blocked":
            raise ConstraintError(
                f"Wanted 0 at every closed weight, got {found} that are not 0; closed weights do "
                "not exist here; compile with layout='dense'."
            )
        raise ConstraintError(
            f"Wanted 0 at every weight from a region to one that is not deeper, got {found} that "
            "are not 0; they do not exist in a feed-forward network. Compile the graph that they "
            "were trained on, or set them to 0."
        )

    def extra_repr(self) -> str:
        """What the module's printed form says about it."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"layout={self.layout!r}, steps={self.steps}"
        )


def _allowed(graph: RegionGraph, storage: Dense | Blocked) -> Constraint:
    """What the graph allows the weight between units to be, in the shape that is stored."""
    if isinstance(storage, Dense):
        return graph.constraint()
    connections, signs = Connections(storage.pack(graph.mask())), graph.signs()
    if signs is None:
        return connections
    return connections & Signs(storage.pack(signs.matrix.expand(graph.units, graph.units)))


def _default_steps(graph: RegionGraph) -> int | None:
    """None for a feed-forward graph."""
    if graph.is_feedforward:
        return None
    drawing = graph.settled().to_networkx()
    inputs = [region.name for region in graph.regions if region.input]
    outputs = [region.name for region in graph.regions if region.output]
    paths = [nx.single_source_shortest_path_length(drawing, name) for name in inputs]
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
    parts = {r.name: r.input for r in graph.regions if r.input and r.input is not True}
    if _is_whole(in_features) and in_features < sum(parts.values()):
        each = ", ".join(f"{count} for “{name}”" for name, count in parts.items())
        yield (
            f"Wanted in_features={sum(parts.values())} or more ({each}), got {in_features}. Pass "
            "more features, or let regions see fewer of them (`input=`)."
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
        way_out = f" Did you mean {close[0]!r}?" if close else ""
        yield f"Wanted layout 'auto', 'dense' or 'blocked', got {layout!r}.{way_out}"


def _bad_activation(activation: Any) -> Iterator[str]:
    wanted = "Wanted an activation that works on a tensor number by number, e.g. torch.tanh"
    if not callable(activation):
        way_out = " Pass the function itself." if hasattr(torch, str(activation)) else ""
        yield f"{wanted}, got {activation!r}.{way_out}"
        return
    probe = torch.tensor([[-1.0, 0.5, 2.0], [3.0, -0.25, 0.0]])
    answers: list[Any] = []
    try:
        answers = [activation(probe), activation(probe.T)]
    except Exception as error:
        yield f"{wanted}, got {activation!r}, which raised {type(error).__name__}: {error}"
        return
    shapes = [getattr(answer, "shape", None) for answer in answers]
    if shapes != [probe.shape, probe.T.shape]:
        yield f"{wanted}, got {activation!r}, whose answer has another shape."
    elif not torch.equal(answers[0], answers[1].T):
        yield f"{wanted}, got {activation!r}, whose answer depends on where a number stands."
