"""What was compiled, in words and counts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

__all__ = ["Plan"]


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
        readable_weights: Weights between units that exist in the dense layout: all that could be
            opened without changing the order of computation.
        multiply_adds: Weights that are multiplied for one example: one pass of a feed-forward
            network, all `steps` of a recurrent one that sees a constant input.
        parameters: Numbers that training can change.
        layout: "dense" or "blocked".
        steps: Updates of a recurrent network; None for a feed-forward one.

    Example:
        >>> from shapekeeper.networks import compile_network
        >>> from shapekeeper.regions import Region, RegionGraph
        >>> graph = RegionGraph([Region("a", 4, input=True, output=True)])
        >>> plan = compile_network(graph, in_features=2, out_features=1).plan
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
        share = f"{100 * self.share_open:.0f} %"
        lines = [
            f"{kind} network, layout {self.layout}: "
            f"{sum(self.sizes.values())} units in {len(self.order)} regions",
            *self._order_lines(),
            f"open weights: {self.open_weights:,} of {self.readable_weights:,} ({share})",
            f"multiply-adds per example: {self.multiply_adds:,}",
            f"parameters: {self.parameters:,}",
        ]
        return "\n".join(lines)

    def _order_lines(self) -> Iterator[str]:
        if self.steps is not None:
            yield f"{self.steps} steps of {self._listed(self.order)}"
            return
        for depth, names in groupby(self.order, self.depths.__getitem__):
            yield f"depth {depth}: {self._listed(names)}"

    def _listed(self, names: Iterable[str]) -> str:
        return ", ".join(f"{name} ({self.sizes[name]})" for name in names)
