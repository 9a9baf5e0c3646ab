"""The region graph: a brain, or a network, drawn as regions and pathways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shapekeeper.constraints import Connections, Constraint, Signs
from shapekeeper.randomness import generator
from shapekeeper.regions import arranging, checking, forms
from shapekeeper.regions.parts import (
    Pathway,
    Problem,
    Region,
    StructureError,
    as_call,
    listed,
    literal,
    way_to_name,
)

__all__ = ["RegionGraph"]

Unknown = Literal["closed", "open"]
Sizes = int | Sequence[int] | Mapping[str, int]


@dataclass(frozen=True, repr=False)
class RegionGraph:
    """Regions, and the pathways between them: which unit may talk to which.

    A frozen value: every edit returns a new graph. Pairs of regions without a pathway are closed.
    Malformed graphs are refused with everything that is wrong at once; *unfinished* ones (no
    output yet, say) are fine, and `problems` lists what is missing.

    Attributes:
        regions: The regions; their order is the order of the units.
        pathways: The pathways between them.
        tested_absent: Pairs (source, target) that were looked for and not found. A note for the
            reader: they are closed like every other pair without a pathway.
        note: One line on where the facts come from.

    Raises:
        StructureError: If the parts don't make a graph: names taken twice, sizes below 1, loose
            ends, a pathway from a region to itself, two pathways for one pair, densities outside
            (0, 1], a pair that is both a pathway and tested and absent.

    Example:
        >>> graph = RegionGraph(
        ...     [Region("eye", 32, input=True), Region("hand", 16, output=True)],
        ...     [Pathway("eye", "hand", density=0.25)],
        ... )
        >>> graph.mask().shape, int(graph.mask().sum()) == 32 * 32 + 16 * 16 + 128
        (torch.Size([48, 48]), True)
    """

    regions: Sequence[Region] = ()
    pathways: Sequence[Pathway] = ()
    tested_absent: Sequence[tuple[str, str]] = ()
    note: str = ""

    def __post_init__(self):
        absent = tuple(tuple(p) if isinstance(p, list) else p for p in self.tested_absent)
        object.__setattr__(self, "regions", tuple(self.regions))
        object.__setattr__(self, "pathways", tuple(self.pathways))
        object.__setattr__(self, "tested_absent", absent)
        found = checking.malformed(self.regions, self.pathways, absent, self.note)
        if found:
            raise StructureError(found)

    # Reading

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, in unit order.

        Example:
            >>> RegionGraph([Region("eye", 8), Region("hand", 4)]).names
            ('eye', 'hand')
        """
        return tuple(region.name for region in self.regions)

    @property
    def units(self) -> int:
        """How many units all regions have together.

        Example:
            >>> RegionGraph([Region("eye", 8), Region("hand", 4)]).units
            12
        """
        return sum(region.size for region in self.regions)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each region's units lie: region name -> slice of units.

        Example:
            >>> RegionGraph([Region("eye", 32), Region("hand", 16)]).slices
            {'eye': slice(0, 32, None), 'hand': slice(32, 48, None)}
        """
        ends = np.cumsum([0, *(region.size for region in self.regions)]).tolist()
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(self.names)}

    @property
    def levels(self) -> dict[str, float]:
        """Region name -> level in the hierarchy, for the regions that have one.

        Example:
            >>> RegionGraph([Region("V1", 8, level=1), Region("X", 4)]).levels
            {'V1': 1}
        """
        return {r.name: r.level for r in self.regions if r.level is not None}

    def region(self, name: str) -> Region:
        """The region of that name.

        Raises:
            StructureError: If no region is called so; names the closest one.

        Example:
            >>> RegionGraph([Region("eye", 8)]).region("eye")
            Region("eye", 8)
        """
        for region in self.regions:
            if region.name == name:
                return region
        message = f"Wanted a region of this graph, got “{name}”."
        raise StructureError([Problem(message, way_to_name(name, self.names))])

    def pathway(self, source: str, target: str) -> Pathway:
        """The pathway from source to target.

        Raises:
            StructureError: If a region is unknown, or no pathway runs that way.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.pathway("eye", "hand").density
            1.0
        """
        for name in (source, target):
            self.region(name)
        for pathway in self.pathways:
            if (pathway.source, pathway.target) == (source, target):
                return pathway
        back = any((p.source, p.target) == (target, source) for p in self.pathways)
        way_out = f"One runs the other way, {target} → {source}." if back else ""
        raise StructureError([Problem(f"No pathway runs {source} → {target}.", way_out)])

    def problems(self) -> tuple[Problem, ...]:
        """What is missing before this graph can be a network; empty if nothing is.

        Pathways never tested count as closed; see `settled`.

        Example:
            >>> print(*RegionGraph([Region("eye", 8, input=True)]).problems())
            No output. Wanted at least one region marked output. Mark “eye” as output, for example.
        """
        return checking.unfinished(self)

    def notes(self) -> tuple[Problem, ...]:
        """What is allowed but perhaps not meant: regions without effect on the answer.

        A region that no input reaches, or that reaches no output, keeps nothing from running, so
        it is no problem.

        Example:
            >>> spare = Region("spare", 8)
            >>> graph = RegionGraph([Region("eye", 8, input=True, output=True), spare])
            >>> [note.message for note in graph.notes()]
            ['No input reaches “spare”.', '“spare” reaches no output.']
        """
        return checking.notes(self)

    # Editing: every edit returns a new graph

    def with_region(self, region: Region) -> RegionGraph:
        """This graph with one more region, or with that region in place of its namesake.

        Example:
            >>> RegionGraph().with_region(Region("eye", 8)).with_region(Region("eye", 9)).units
            9
        """
        if getattr(region, "name", None) not in self.names:
            return replace(self, regions=(*self.regions, region))
        new = tuple(region if old.name == region.name else old for old in self.regions)
        return replace(self, regions=new)

    def without_region(self, name: str) -> RegionGraph:
        """This graph without that region, its pathways and its tested and absent pairs.

        Raises:
            StructureError: If no region is called so.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> len(two.without_region("hand").pathways)
            0
        """
        gone = self.region(name)
        return replace(
            self,
            regions=tuple(r for r in self.regions if r is not gone),
            pathways=tuple(p for p in self.pathways if name not in (p.source, p.target)),
            tested_absent=tuple(ends for ends in self.tested_absent if name not in ends),
        )

    def with_pathway(self, pathway: Pathway) -> RegionGraph:
        """This graph with one more pathway, or with that one in place of its predecessor.

        A pair that was tested and absent leaves that list.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)])
            >>> two.with_pathway(Pathway("eye", "hand")).to_matrix().tolist()
            [[1.0, 0.0], [1.0, 1.0]]
        """
        if not isinstance(pathway, Pathway):
            return replace(self, pathways=(*self.pathways, pathway))
        ends = (pathway.source, pathway.target)
        new = [pathway if (old.source, old.target) == ends else old for old in self.pathways]
        absent = tuple(pair for pair in self.tested_absent if pair != ends)
        new = new if pathway in new else [*new, pathway]
        return replace(self, pathways=tuple(new), tested_absent=absent)

    def without_pathway(self, source: str, target: str) -> RegionGraph:
        """This graph without that pathway: its weights are closed.

        Raises:
            StructureError: If no pathway runs that way.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.without_pathway("eye", "hand").open_weights()
            80
        """
        gone = self.pathway(source, target)
        return replace(self, pathways=tuple(p for p in self.pathways if p is not gone))

    def renamed(self, old: str, new: str) -> RegionGraph:
        """This graph with another name for one region, in its pathways as well.

        Connections are drawn by name, so `mask` draws those of the renamed region anew.

        Raises:
            StructureError: If no region is called `old`, or another one is called `new`.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.renamed("eye", "ear").pathways
            (Pathway("ear", "hand"),)
        """
        self.region(old)
        if new in self.names and new != old:
            raise StructureError([checking.taken(new, self.names)])
        name = {**{n: n for n in self.names}, old: new}
        return replace(
            self,
            regions=tuple(replace(r, name=name[r.name]) for r in self.regions),
            pathways=tuple(
                replace(p, source=name[p.source], target=name[p.target]) for p in self.pathways
            ),
            tested_absent=tuple((name[s], name[t]) for s, t in self.tested_absent),
        )

    def settled(self, unknown: Unknown = "closed") -> RegionGraph:
        """This graph with every pathway that was never tested decided, one way for all.

        Args:
            unknown: "closed" takes them out, "open" takes them for known.

        Example:
            >>> ends = [Region("eye", 8, input=True), Region("hand", 4, output=True)]
            >>> graph = RegionGraph(ends, [Pathway("eye", "hand", known=False)])
            >>> len(graph.problems()), len(graph.settled("open").problems())
            (1, 0)
        """
        if unknown not in checking.OPENNESS:
            message = f'Unknown pathways: wanted "closed" or "open", got {unknown!r}.'
            raise StructureError([Problem(message)])
        kept = (p for p in self.pathways if p.known or unknown == "open")
        return replace(self, pathways=tuple(replace(p, known=True) for p in kept))

    # Connections

    def mask(self, seed: int = 0, unknown: Unknown = "closed") -> Tensor:
        """Which weights exist: a plain uniform draw of the number of wires each density asks for.

        A block of n weights with density d has `round(d * n)` open ones, at least 1, drawn
        without replacement. The count is exact; who gets a wire is chance, so in a sparse pathway
        some target units may hear nobody. Each block is drawn by seed and by the names of its two
        regions: what else is in the graph changes nothing, and a higher density only adds wires.

        Args:
            seed: Which drawing, a whole number from 0 up.
            unknown: "open" also opens the pathways that were never tested.

        Returns:
            A bool tensor (units, units), `[target, source]`.

        Raises:
            StructureError: If the graph is unfinished; lists everything that is missing.

        Example:
            >>> ends = [Region("eye", 3, input=True), Region("hand", 2, output=True)]
            >>> graph = RegionGraph(ends, [Pathway("eye", "hand", density=0.5)])
            >>> int(graph.mask()[graph.slices["hand"], graph.slices["eye"]].sum())
            3
        """
        graph = self.settled(unknown)
        found = graph.problems()
        if found:
            raise StructureError(found)
        mask = torch.zeros(self.units, self.units, dtype=torch.bool)
        where = self.slices
        for target, source, density in graph._blocks():
            shape = (self.region(target).size, self.region(source).size)
            purpose = f"mask/{target!r}<{source!r}"
            mask[where[target], where[source]] = _drawn(shape, density, seed, purpose)
        return mask

    def connections(self, seed: int = 0, unknown: Unknown = "closed") -> Connections:
        """The constraint that closed weights stay exactly zero.

        Args:
            seed: As in `mask`.
            unknown: As in `mask`.

        Raises:
            StructureError: If the graph is unfinished; lists everything that is missing.

        Example:
            >>> ends = [Region("eye", 3, input=True), Region("hand", 2, output=True)]
            >>> graph = RegionGraph(ends, [Pathway("eye", "hand", density=0.5)])
            >>> graph.connections().allows(torch.zeros(5, 5)).item()
            True
        """
        return Connections(self.mask(seed, unknown))

    def signs(self) -> Signs | None:
        """The constraint that holds the signs of regions: Dale's law, one sign for each source.

        Returns:
            One sign per unit, 0 in regions whose sign is free, for weights `(units, units)`; None
            if no region has a sign.

        Example:
            >>> ends = [Region("eye", 2, input=True, sign=-1), Region("hand", 1, output=True)]
            >>> graph = RegionGraph(ends, [Pathway("eye", "hand")])
            >>> graph.signs()
            Signs([-1, -1, 0])
        """
        signs = [region.sign or 0 for region in self.regions for _ in range(region.size)]
        return Signs(signs) if any(signs) else None

    def constraint(self, seed: int = 0, unknown: Unknown = "closed") -> Constraint:
        """All that this structure asks of weights: `connections`, and `signs` if there are any.

        Args:
            seed: As in `mask`.
            unknown: As in `mask`.

        Raises:
            StructureError: If the graph is unfinished; lists everything that is missing.

        Example:
            >>> ends = [Region("eye", 2, input=True, sign=-1), Region("hand", 1, output=True)]
            >>> RegionGraph(ends, [Pathway("eye", "hand")]).constraint()
            Connections([[1, 1, 0], [1, 1, 0], [1, 1, 1]]) & Signs([-1, -1, 0])
        """
        connections, signs = self.connections(seed, unknown), self.signs()
        return connections if signs is None else connections & signs

    def open_weights(self, unknown: Unknown = "closed") -> int:
        """How many of the `units * units` weights are open, without drawing the mask.

        Args:
            unknown: "open" also counts the pathways that were never tested.

        Example:
            >>> ends = [Region("eye", 8), Region("hand", 4)]
            >>> RegionGraph(ends, [Pathway("eye", "hand", density=0.5)]).open_weights()
            96
        """
        size = {region.name: region.size for region in self.regions}
        blocks = self.settled(unknown)._blocks()
        return sum(open_count(size[t] * size[s], density) for t, s, density in blocks)

    def _blocks(self) -> Iterator[tuple[str, str, float]]:
        yield from ((r.name, r.name, r.density) for r in self.regions)
        yield from ((p.target, p.source, p.density) for p in self.pathways)

    # Flow

    @property
    def is_feedforward(self) -> bool:
        """Whether no chain of pathways leads back to where it began.

        Pathways never tested count as closed; see `settled`.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.is_feedforward, two.with_pathway(Pathway("hand", "eye")).is_feedforward
            (True, False)
        """
        return not self.loops()

    def loops(self) -> tuple[tuple[str, ...], ...]:
        """The groups of regions that feed back into each other, in unit order.

        Example:
            >>> pair = RegionGraph([Region("a", 4), Region("b", 4)])
            >>> pair.with_pathway(Pathway("a", "b")).with_pathway(Pathway("b", "a")).loops()
            (('a', 'b'),)
        """
        groups = nx.strongly_connected_components(checking.arrows(self))
        return tuple(
            sorted(
                (tuple(n for n in self.names if n in group) for group in groups if len(group) > 1),
                key=lambda loop: self.names.index(loop[0]),
            )
        )

    def depths(self) -> dict[str, int]:
        """Region name -> number of pathways in the longest chain that ends there.

        In a graph whose every region is reached by an input, that is the longest path from an
        input region. Pathways never tested count as closed; see `settled`.

        Raises:
            StructureError: If the graph has a loop.

        Example:
            >>> graph = RegionGraph([Region(name, 4) for name in "abc"])
            >>> for source, target in ("ab", "bc", "ac"):
            ...     graph = graph.with_pathway(Pathway(source, target))
            >>> graph.depths()
            {'a': 0, 'b': 1, 'c': 2}
        """
        loops = self.loops()
        if loops:
            way_out = "Take out pathways until none leads back, or run the network in steps."
            message = "Wanted a graph without loops, got one through {}."
            raise StructureError(
                Problem(message.format(listed(loop)), way_out, loop) for loop in loops
            )
        drawing = checking.arrows(self)
        depth: dict[str, int] = {}
        for name in nx.topological_sort(drawing):
            depth[name] = max((depth[source] + 1 for source in drawing.pred[name]), default=0)
        return {name: depth[name] for name in self.names}

    # Drawing

    def arranged(self, anew: bool = False) -> RegionGraph:
        """This graph with a position for every region.

        Columns run from left to right: by level if every region has one, else by the number of
        pathways from the nearest input. In a column, regions stand at the mean height of their
        neighbors, as far as there is room. The same graph always gets the same drawing.

        Args:
            anew: Also move the regions that have a position; otherwise they stay.

        Returns:
            A graph whose regions all have positions, on a canvas 588 wide and 480 high.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> [region.position for region in two.arranged().regions]
            [(68.0, 240.0), (520.0, 240.0)]
        """
        places = arranging.arrange(self, anew)
        return replace(
            self, regions=tuple(replace(r, position=places[r.name]) for r in self.regions)
        )

    # Other forms

    def code(self) -> str:
        """Python that rebuilds this graph, with the arguments that differ from their default.

        Example:
            >>> print(RegionGraph([Region("eye", 8, input=True)]).code())
            import shapekeeper as sk
            <BLANKLINE>
            graph = sk.RegionGraph(
                [
                    sk.Region("eye", 8, input=True),
                ],
            )
            <BLANKLINE>
        """
        return f"import shapekeeper as sk\n\ngraph = {self._call('sk.')}\n"

    def _call(self, prefix: str = "") -> str:
        arguments = [_indented_list([as_call(r, prefix) for r in self.regions])]
        if self.pathways:
            arguments.append(_indented_list([as_call(p, prefix) for p in self.pathways]))
        if self.tested_absent:
            absent = _indented_list([literal(ends) for ends in self.tested_absent])
            arguments.append(f"tested_absent={absent}")
        if self.note:
            arguments.append(f"note={literal(self.note)}")
        inner = "".join(f"    {argument},\n" for argument in arguments)
        return f"{prefix}RegionGraph(\n{inner})"

    def __repr__(self) -> str:
        return self._call()

    def __str__(self) -> str:
        known = sum(p.known for p in self.pathways)
        untested = len(self.pathways) - known
        more = f", {untested} never tested" if untested else ""
        return f"{len(self.regions)} regions, {known} pathways{more}"

    def to_json(self) -> dict[str, Any]:
        """The graph as plain lists, dicts, text and numbers.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.to_json()["pathways"]
            [{'source': 'eye', 'target': 'hand', 'density': 1.0, 'known': True, 'evidence': None}]
        """
        return forms.to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RegionGraph:
        """The graph that `to_json` wrote.

        Args:
            data: {"regions": [...], "pathways": [...], "tested_absent": [...], "note": ""}; only
                the names and sizes of regions and the ends of pathways are required.

        Raises:
            StructureError: If keys are missing or unknown, or the graph is malformed.

        Example:
            >>> graph = RegionGraph.from_json({"regions": [{"name": "eye", "size": 8}]})
            >>> RegionGraph.from_json(graph.to_json()) == graph
            True
        """
        return cls(**forms.from_json(data))

    def to_networkx(self) -> nx.DiGraph:
        """The graph as a networkx `DiGraph`: edges run source -> target, as the arrows do.

        Everything about a region is a node attribute, everything about a pathway an edge
        attribute; `tested_absent` and `note` are attributes of the graph.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.to_networkx().edges["eye", "hand"]["density"]
            1.0
        """
        return forms.to_networkx(self)

    @classmethod
    def from_networkx(cls, drawing: nx.Graph, sizes: Sizes = 16) -> RegionGraph:
        """The graph of a networkx drawing; an undirected edge becomes a pathway each way.

        Args:
            drawing: Nodes may carry the fields of `Region`, edges those of `Pathway`; other
                attributes are left alone. Nodes that are no text are named by their text.
            sizes: Units of the regions whose node has no `size`: one number for all, one per
                node in order, or name -> number.

        Raises:
            StructureError: If edges are parallel, sizes are missing, or the graph is malformed.

        Example:
            >>> graph = RegionGraph.from_networkx(nx.path_graph(["a", "b"], nx.DiGraph), sizes=4)
            >>> graph.pathways
            (Pathway("a", "b"),)
        """
        return cls(**forms.from_networkx(drawing, sizes))

    def to_matrix(self, unknown: Unknown = "closed") -> np.ndarray:
        """Densities between all pairs of regions.

        Args:
            unknown: "open" also enters the pathways that were never tested.

        Returns:
            A float array (regions, regions), `[target, source]`; 0 where no pathway runs, on the
            diagonal the density inside each region.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.to_matrix().tolist()
            [[1.0, 0.0], [1.0, 1.0]]
        """
        place = {name: i for i, name in enumerate(self.names)}
        matrix = np.zeros((len(place), len(place)))
        for target, source, density in self.settled(unknown)._blocks():
            matrix[place[target], place[source]] = density
        return matrix

    @classmethod
    def from_matrix(
        cls,
        matrix: np.ndarray | pd.DataFrame | Tensor,
        names: Sequence[str] | None = None,
        sizes: Sizes = 16,
    ) -> RegionGraph:
        """The graph with these densities between its regions.

        Args:
            matrix: (regions, regions), `[target, source]`: rows receive, columns send. 0 means no
                pathway. A 0 on the diagonal, as connectivity tables have it, says nothing about
                the inside, which is then full.
            names: Names in order; by default a data frame's labels, else "region 1", "region 2", …
            sizes: Units: one number for all, one per region in order, or name -> number.

        Raises:
            StructureError: If the matrix is not square, labels or sizes don't fit, or a density
                is outside [0, 1].

        Example:
            >>> RegionGraph.from_matrix([[0, 0], [0.5, 0]], ["eye", "hand"]).pathways
            (Pathway("eye", "hand", density=0.5),)
        """
        return cls(**forms.from_matrix(matrix, names, sizes))

    def to_edge_table(self) -> pd.DataFrame:
        """One row per pathway: source, target, density, known, confirming, contradicting.

        The last two are the counts of `Pathway.evidence`, missing where nobody counted.

        Example:
            >>> two = RegionGraph([Region("eye", 8), Region("hand", 4)], [Pathway("eye", "hand")])
            >>> two.to_edge_table()[["source", "target", "density"]]
              source target  density
            0    eye   hand      1.0
        """
        return forms.to_edge_table(self)

    @classmethod
    def from_edge_table(
        cls,
        table: pd.DataFrame,
        regions: Iterable[Region] = (),
        sizes: Sizes = 16,
    ) -> RegionGraph:
        """The graph with these pathways.

        Args:
            table: One row per pathway: source, target, and perhaps density (1), known (True),
                confirming and contradicting (none).
            regions: Regions that are known already; they come first.
            sizes: Units of all other regions that the table names: one number for all, one per
                region in order of appearance, or name -> number.

        Raises:
            StructureError: If a column is missing, or the graph is malformed.

        Example:
            >>> table = pd.DataFrame({"source": ["eye"], "target": ["hand"]})
            >>> RegionGraph.from_edge_table(table, sizes={"eye": 8, "hand": 4}).units
            12
        """
        return cls(**forms.from_edge_table(table, tuple(regions), sizes))


def open_count(weights: int, density: float) -> int:
    """How many of so many weights are open at this density: to the nearest whole, at least 1."""
    if weights > 2**53:  # more than a float can count, as a slip in a drawing may ask
        parts, whole = density.as_integer_ratio()
        return weights * parts // whole
    return max(1, round(density * weights))


def _drawn(shape: tuple[int, int], density: float, seed: int, purpose: str) -> Tensor:
    weights = shape[0] * shape[1]
    order = torch.randperm(weights, generator=generator(seed, purpose))
    block = torch.zeros(weights, dtype=torch.bool)
    block[order[: open_count(weights, density)]] = True
    return block.view(shape)


def _indented_list(items: list[str]) -> str:
    inner = "".join(f"        {item},\n" for item in items)
    return f"[\n{inner}    ]" if items else "[]"
