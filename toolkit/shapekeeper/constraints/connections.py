"""Which unit may feed which: closed weights are zero, presets keep their number."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from .constraint import Constraint, ConstraintError, check_last_axes
from .edges import read_graph, read_table
from .entrywise import Signs
from .surface import Surface
from .tensor_value import TensorValue

__all__ = ["Connections"]


@dataclass(frozen=True, init=False, repr=False)
class Connections(Surface, Constraint):
    """Weights that exist only where a matrix says so.

    The weight of `nn.Linear` is `[target, source]`, as the mask is. Those of `nn.Embedding` and
    the transposed convolutions are `[source, target]`: bind them to `Connections(mask.T)`. For the
    taps of a convolution or the gates of a recurrent cell, see `fit`.

    Args:
        mask: Yes/no or 0/1 entries `(target, source)`, or the shape of whatever tensor is bound:
            open where true, zero where false.
        fixed: Numbers of the same shape; a non-zero one holds that open weight at this value.

    Raises:
        ConstraintError: If the mask has other entries than 0 and 1, or a preset is not finite or
            sits on a closed weight; all problems at once.

    Example:
        >>> Connections([[1, 0], [1, 1]]).project(torch.ones(2, 2))
        tensor([[1., 0.],
                [1., 1.]])
        >>> Connections([[1, 0], [1, 1]], fixed=[[0, 0], [0, 0.5]]).project(torch.ones(2, 2))
        tensor([[1.0000, 0.0000],
                [1.0000, 0.5000]])
    """

    _mask: TensorValue
    _fixed: TensorValue | None
    _free: TensorValue = field(compare=False)  # follows from the two above

    unit: ClassVar[str] = "weight"
    separable: ClassVar[bool] = True

    def __init__(self, mask: Any, fixed: Any = None) -> None:
        """See the class."""
        entries = _numpy(mask)
        presets = None if fixed is None else _numpy(fixed).astype(np.float64)
        problems = [*_bad_mask(entries), *_bad_presets(entries, presets)]
        if problems:
            raise ConstraintError(" ".join(problems))
        object.__setattr__(self, "_mask", TensorValue.of(entries.astype(bool)))
        object.__setattr__(self, "_fixed", None if presets is None else TensorValue.of(presets))
        free = entries.astype(bool) if presets is None else entries.astype(bool) & (presets == 0)
        object.__setattr__(self, "_free", TensorValue.of(free))

    @classmethod
    def from_edges(
        cls, table: Any, *, sources: Iterable[Hashable], targets: Iterable[Hashable]
    ) -> Constraint:
        """The connections that a table of edges lists, one row each.

        Args:
            table: A pandas table, or what makes one, with the columns `source` and `target`;
                perhaps `sign` (+1, -1, or 0 for either), perhaps `weight`, which presets the
                number of that edge (0 or missing: free).
            sources: All names of sources in the order of the tensor's columns.
            targets: All names of targets in the order of its rows.

        Returns:
            Connections, or `Connections & Signs` if the table has signs.

        Raises:
            ConstraintError: If names are unknown, edges contradict each other or look reversed,
                or signs and weights are no such numbers; all problems at once.

        Example:
            >>> import pandas as pd
            >>> edges = pd.DataFrame({"source": ["TP53", "MYC"], "target": ["r1", "r2"]})
            >>> Connections.from_edges(edges, sources=["MYC", "TP53"], targets=["r1", "r2"])
            Connections([[0, 1], [1, 0]])
            >>> signed = edges.assign(sign=[1, -1])
            >>> Connections.from_edges(signed, sources=["MYC", "TP53"], targets=["r1", "r2"])
            Connections([[0, 1], [1, 0]]) & Signs([[0, 1], [-1, 0]])
        """
        mask, fixed, signs = read_table(table, sources, targets)
        connections = cls(mask, None if fixed is None or not fixed.any() else fixed)
        return connections if signs is None or not signs.any() else connections & Signs(signs)

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph, *, sources: Iterable[Hashable], targets: Iterable[Hashable]
    ) -> "Connections":
        """The connections that the edges of a networkx graph make between two lists of nodes.

        Args:
            graph: Directed, edges running source → target; or undirected, an edge counting as
                source → target in whichever order the lists have its ends. Nodes may be anything
                that networkx takes. Edges that don't run from the one list to the other are left
                out, so a graph of many layers gives the connections between any two; attributes
                are not read (`from_edges(networkx.to_pandas_edgelist(graph), ...)` reads signs and
                weights).
            sources: The nodes that the tensor's columns stand for, in order.
            targets: The nodes that its rows stand for, in order; both may be the same list.

        Raises:
            ConstraintError: If a name is no node, or no edge runs from sources to targets.

        Example:
            >>> graph = nx.DiGraph([("eye", "hand"), ("ear", "hand"), ("ear", "mouth")])
            >>> Connections.from_networkx(graph, sources=["eye", "ear"], targets=["hand", "mouth"])
            Connections([[1, 1], [0, 1]])
        """
        return cls(read_graph(graph, sources, targets))

    def __repr__(self) -> str:
        """The call that makes it, or a digest beyond 64 entries."""
        return f"Connections({self._mask}{f', fixed={self._fixed}' if self._fixed else ''})"

    @property
    def event_dims(self) -> int:  # type: ignore[override]  # as many as the mask has
        """As many axes as the mask has."""
        return len(self._mask.shape)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # fixed by the mask
        """Sizes of the mask."""
        return self._mask.shape

    @property
    def mask(self) -> Tensor:
        """Open connections, a fresh bool tensor `(target, source)`."""
        return torch.from_numpy(self._mask.numpy())

    @property
    def fixed(self) -> Tensor | None:
        """Presets, a fresh tensor of the mask's shape with 0 where nothing is preset, or None."""
        return None if self._fixed is None else torch.from_numpy(self._fixed.numpy())

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless the last axes have the mask's sizes; names `fit`."""
        try:
            check_last_axes(self.shape, shape, "the mask [target, source]")
        except ConstraintError as error:
            if not (repeats := _repeats(self.shape, tuple(shape))):
                raise
            way_out = f"connections.fit({tuple(shape)}) repeats them over the {repeats}."
            raise ConstraintError(f"{error} {way_out}") from None

    def fit(self, shape: tuple[int, ...]) -> "Connections":
        """The same connections for a tensor of another shape, repeated.

        Over the taps of a convolution, `(target, source, *taps)`: an open channel has all of its
        taps. Over the gates of a GRU (3) or LSTM (4), or the queries, keys and values of attention
        (3), `(gates * target, source)`, one below the other as PyTorch stores them; a mask of one
        axis likewise, for their biases.

        Args:
            shape: That of the weight, e.g. `tuple(conv.weight.shape)`.

        Raises:
            ConstraintError: If the shape is none of these.

        Example:
            >>> channels = Connections([[1, 0], [1, 1]])
            >>> channels.fit((2, 2, 3, 3)).mask.sum((2, 3)).tolist()
            [[9, 0], [9, 9]]
            >>> channels.fit((6, 2))
            Connections([[1, 0], [1, 1], [1, 0], [1, 1], [1, 0], [1, 1]])
        """
        shape, mine = tuple(shape), self._mask.shape
        if shape == mine:
            return self
        repeats = _repeats(mine, shape)
        if not repeats:
            wanted = ", ".join(map(str, _fitting(mine)))
            raise ConstraintError(f"Wanted one of the shapes {wanted}, got {shape}.")
        arrays = [value and value.numpy() for value in (self._mask, self._fixed)]
        if repeats == "taps":
            new = [a if a is None else _over_taps(a, shape) for a in arrays]
        else:
            times = (shape[0] // mine[0], *[1] * (len(shape) - 1))
            new = [a if a is None else np.tile(a, times) for a in arrays]
        return Connections(*new)

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of closed and preset weights from their number, 0 at free ones; no `at_most`."""
        equal = self._missed(x).flatten(-self.event_dims)
        return equal, equal[..., :0]

    def violation(self, x: Tensor) -> Tensor:
        """The largest distance of a closed or preset weight from its number."""
        return self._missed(x).abs_().amax(tuple(range(-self.event_dims, 0)))

    def tolerance(self, dtype: torch.dtype) -> float:
        """Zero: a closed weight is exactly zero."""
        return 0.0

    def project(self, x: Tensor) -> Tensor:
        """Closed weights to exactly 0, presets to their number; `x` must be finite."""
        # Multiplying takes an eighth of the time of torch.where or masked_fill on a CPU; added to
        # a zero, a product of -0.0 becomes 0.0.
        return torch.addcmul(self._rest(x), x, self._free.on(x.device, x.dtype))

    def project_(self, x: Tensor, warm: dict[str, Tensor] | None = None) -> Tensor:
        """`project` in place: a third of its time, since no new tensor is made."""
        with torch.no_grad():
            return torch.addcmul(self._rest(x), x, self._free.on(x.device, x.dtype), out=x)

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Closed and preset weights have their number as both ends, free ones have none."""
        free = self._free.numpy()
        number = np.zeros(self.shape) if self._fixed is None else self._fixed.numpy()
        return np.where(free, -np.inf, number), np.where(free, np.inf, number)

    def start(self, x: Tensor) -> Tensor:
        """Project, then scale each target's free weights by sqrt(fan-in / open).

        The variance of what arrives at a target stays what it was in the dense start (K. He et al.
        2015, Delving deep into rectifiers, eq. 10: variance times fan-in is kept). Fan-in counts
        non-zero entries, so a start that is allowed already is left alone.
        """
        free = self._free.on(x.device)
        held = self._free.on(x.device) | ~self._mask.on(x.device)  # not preset
        axes = tuple(range(-self.event_dims + 1, 0))
        count = (x != 0).to(x.dtype)
        before, after = count * held, count * free
        if axes:
            before, after = before.sum(axes, keepdim=True), after.sum(axes, keepdim=True)
        return self.project(x * (before / after.clamp(min=1)).sqrt())

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The weights themselves: closed entries are free numbers that nothing reads."""
        return x

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Read only the open entries of `u`; the gradient of all others is zero."""
        return self.project(u)

    def tangent(self, q: Tensor, v: Tensor) -> Tensor:
        """What changes free connections alone."""
        return v * self._free.on(v.device, v.dtype)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Standard normal numbers where connections are free."""
        self.check(shape)
        device = None if generator is None else generator.device
        return self.project(torch.randn(shape, generator=generator, device=device))

    def _missed(self, x: Tensor) -> Tensor:
        """`x - project(x)`, exactly; one new tensor, since on a CPU each large one costs."""
        base = x if self._fixed is None else x - self._fixed.on(x.device, x.dtype)
        return torch.addcmul(base, x, self._free.on(x.device, x.dtype), value=-1)

    def _rest(self, x: Tensor) -> Tensor:
        """What stands at weights that are not free."""
        if self._fixed is None:
            return x.new_zeros(())
        return self._fixed.on(x.device, x.dtype)


def _fitting(mask: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """The shapes that `fit` takes."""
    targets, *others = mask
    gates = [(times * targets, *others) for times in (3, 4)] if len(others) < 2 else []
    return [mask, *([(*mask, "taps", "...")] if len(mask) == 2 else []), *gates]


def _repeats(mask: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What a mask would be repeated over to fit a shape, or nothing."""
    if len(mask) == 2 and len(shape) > 2 and shape[:2] == mask:
        return "taps"
    return "gates" if shape in _fitting(mask)[-2:] and shape != mask else ""


def _over_taps(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(array.reshape(array.shape + (1,) * (len(shape) - 2)), shape)


def _numpy(array: Any) -> np.ndarray:
    return array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)


def _bad_mask(mask: np.ndarray) -> list[str]:
    if mask.dtype == object or mask.dtype.kind not in "biuf":
        return [f"Wanted a mask of 0 and 1, got entries of type {mask.dtype}."]
    if mask.ndim == 0 or mask.size == 0:
        return [f"Wanted a mask with at least one entry and one axis, got shape {mask.shape}."]
    odd = np.argwhere((mask != 0) & (mask != 1))
    if not len(odd):
        return []
    where = [int(i) for i in odd[0]]
    return [
        f"Wanted a mask of 0 and 1 (or False and True), got {mask[tuple(where)]} at {where}"
        f"{f' and {len(odd) - 1} more such entries' if len(odd) > 1 else ''}. "
        "Say from where on a connection is open, e.g. Connections(matrix > 0.5)."
    ]


def _bad_presets(mask: np.ndarray, fixed: np.ndarray | None) -> list[str]:
    if fixed is None:
        return []
    if fixed.shape != mask.shape:
        return [f"Wanted presets of the mask's shape {mask.shape}, got {fixed.shape}."]
    problems = []
    if not np.isfinite(fixed).all():
        problems.append("Wanted finite presets, got NaN or infinity; 0 means not preset.")
    closed = np.argwhere((fixed != 0) & (mask == 0))
    if len(closed):
        where = [int(i) for i in closed[0]]
        problems.append(
            f"Wanted presets on open connections only, got {fixed[tuple(where)]} at {where}, which "
            "is closed. Open it in the mask, or set its preset to 0."
        )
    return problems
