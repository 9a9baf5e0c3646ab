"""A region graph in other forms: JSON, networkx, a matrix, an edge table.

Writers take the graph; readers return the arguments that make one, so that the constructor's check
is the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pandas as pd

from shapekeeper.regions.parts import Pathway, Problem, Region, StructureError, listed

if TYPE_CHECKING:
    from shapekeeper.regions.graph import RegionGraph

REGION_FIELDS = [field.name for field in fields(Region)]
EDGE_FIELDS = ["density", "known", "evidence"]
EDGE_COLUMNS = ["source", "target", "density", "known", "confirming", "contradicting"]
GRAPH_KEYS = ["regions", "pathways", "tested_absent", "note"]


def to_json(graph: RegionGraph) -> dict[str, Any]:
    """Plain lists, dicts, text and numbers."""
    return {
        "regions": [_plain(asdict(region)) for region in graph.regions],
        "pathways": [_plain(asdict(pathway)) for pathway in graph.pathways],
        "tested_absent": [list(ends) for ends in graph.tested_absent],
        "note": graph.note,
    }


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in entry.items()}


def from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that make the graph which `to_json` wrote."""
    if not isinstance(data, Mapping):
        message = f"Wanted a dict with {listed(GRAPH_KEYS)}, got {type(data).__name__}."
        raise StructureError([Problem(message)])
    found = [
        *_bad_keys("the graph", data, GRAPH_KEYS, required=()),
        *_bad_entries("region", data.get("regions", ()), Region),
        *_bad_entries("pathway", data.get("pathways", ()), Pathway),
    ]
    if found:
        raise StructureError(found)
    return {
        "regions": [Region(**entry) for entry in data.get("regions", ())],
        "pathways": [Pathway(**entry) for entry in data.get("pathways", ())],
        "tested_absent": data.get("tested_absent", ()),
        "note": data.get("note", ""),
    }


def _bad_entries(word: str, entries: Any, kind: type) -> Iterator[Problem]:
    if not isinstance(entries, list | tuple):
        yield Problem(f"Wanted a list of {word}s, got {entries!r}.")
        return
    allowed = [field.name for field in fields(kind)]
    required = [field.name for field in fields(kind) if field.default is MISSING]
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, Mapping):
            yield from _bad_keys(f"{word} {number}", entry, allowed, required)
        else:
            yield Problem(f"Wanted a dict for {word} {number}, got {entry!r}.")


def _bad_keys(
    owner: str, entry: Mapping[str, Any], allowed: Sequence[str], required: Sequence[str]
) -> Iterator[Problem]:
    for key in required:
        if key not in entry:
            yield Problem(f"Wanted “{key}” in {owner}, got {listed(entry)}.")
    for key in entry:
        if key not in allowed:
            yield Problem(f"Got “{key}” in {owner}, which means nothing.", _closest(key, allowed))


def _closest(wrong: Any, allowed: Sequence[str]) -> str:
    close = get_close_matches(str(wrong), allowed, n=1)
    return f"Did you mean “{close[0]}”?" if close else f"Wanted {listed(allowed)}."


def to_networkx(graph: RegionGraph) -> nx.DiGraph:
    """Nodes and edges with everything there is to say about them."""
    drawing = nx.DiGraph(tested_absent=graph.tested_absent, note=graph.note)
    for region in graph.regions:
        drawing.add_node(region.name, **{k: getattr(region, k) for k in REGION_FIELDS[1:]})
    for p in graph.pathways:
        drawing.add_edge(p.source, p.target, **{k: getattr(p, k) for k in EDGE_FIELDS})
    return drawing


def from_networkx(drawing: nx.Graph, sizes: Any) -> dict[str, Any]:
    """The arguments that make the graph of a networkx drawing."""
    if drawing.is_multigraph():
        message = "Wanted a graph with one edge per pair, got a multigraph."
        raise StructureError([Problem(message, "networkx.DiGraph(graph) keeps one of each.")])
    drawing = drawing if drawing.is_directed() else drawing.to_directed()
    nodes = {str(node): _some(data, REGION_FIELDS[1:]) for node, data in drawing.nodes(data=True)}
    if len(nodes) < len(drawing):
        message = "Wanted nodes whose names as text differ, got two that are the same."
        raise StructureError([Problem(message, "networkx.relabel_nodes renames them.")])
    size = sized([name for name, data in nodes.items() if "size" not in data], sizes)
    for name, units in size.items():
        nodes[name]["size"] = units
    return {
        "regions": [Region(name, **data) for name, data in nodes.items()],
        "pathways": [
            Pathway(str(source), str(target), **_some(data, EDGE_FIELDS))
            for source, target, data in drawing.edges(data=True)
        ],
        "tested_absent": drawing.graph.get("tested_absent", ()),
        "note": drawing.graph.get("note", ""),
    }


def _some(data: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: data[key] for key in keys if key in data}


def sized(names: Sequence[str], sizes: Any) -> dict[str, Any]:
    """Region name -> units, from one number for all, one per region in order, or a mapping."""
    if isinstance(sizes, Mapping):
        missing = [name for name in names if name not in sizes]
        if missing:
            raise StructureError([Problem(f"Wanted a size for {listed(missing)}, got none.")])
        return {name: sizes[name] for name in names}
    if np.ndim(sizes) == 0:
        return dict.fromkeys(names, sizes)
    if len(sizes) != len(names):
        raise StructureError([Problem(f"Wanted {len(names)} sizes, got {len(sizes)}.")])
    return dict(zip(names, sizes, strict=True))


def from_matrix(matrix: Any, names: Sequence[str] | None, sizes: Any) -> dict[str, Any]:
    """The arguments that make the graph with these densities, `[target, source]`."""
    if isinstance(matrix, pd.DataFrame):
        names = _labels(matrix) if names is None else names
    values = np.asarray(matrix, dtype=float)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        message = f"Wanted a square matrix [target, source], got shape {values.shape}."
        raise StructureError([Problem(message)])
    names = [f"region {i + 1}" for i in range(len(values))] if names is None else list(names)
    if len(names) != len(values):
        raise StructureError([Problem(f"Wanted {len(values)} names, got {len(names)}.")])
    size = sized(names, sizes)
    return {
        "regions": [
            Region(name, size[name], density=float(values[i, i] or 1.0))
            for i, name in enumerate(names)
        ],
        "pathways": [
            Pathway(names[source], names[target], density=float(values[target, source]))
            for target, source in np.argwhere(values).tolist()
            if source != target
        ],
    }


def _labels(matrix: pd.DataFrame) -> list[str]:
    rows, columns = list(map(str, matrix.index)), list(map(str, matrix.columns))
    if rows != columns:
        message = "Wanted the same labels on rows (targets) and columns (sources), in one order,"
        message += f" got {listed(rows)} and {listed(columns)}."
        raise StructureError([Problem(message, "matrix.reindex(columns=matrix.index) sorts them.")])
    return rows


def to_edge_table(graph: RegionGraph) -> pd.DataFrame:
    """One row per pathway."""
    rows = [
        (p.source, p.target, p.density, p.known, *(p.evidence or (None, None)))
        for p in graph.pathways
    ]
    kinds = dict(
        zip(EDGE_COLUMNS, ["object", "object", float, bool, "Int64", "Int64"], strict=True)
    )
    return pd.DataFrame(rows, columns=EDGE_COLUMNS).astype(kinds)


def from_edge_table(table: pd.DataFrame, regions: tuple[Region, ...], sizes: Any) -> dict[str, Any]:
    """The arguments that make the graph with these pathways."""
    columns = list(map(str, table.columns))
    found = [
        Problem(f"Wanted a column “{column}”, got {listed(columns)}.")
        for column in ("source", "target")
        if column not in columns
    ]
    if found:
        raise StructureError(found)
    pathways = [_row(row) for row in table.to_dict("records")]
    given = {region.name for region in regions}
    ends = dict.fromkeys(end for p in pathways for end in (p.source, p.target))
    size = sized([name for name in ends if name not in given], sizes)
    new = [Region(name, units) for name, units in size.items()]
    return {"regions": (*regions, *new), "pathways": pathways}


def _row(row: dict[Any, Any]) -> Pathway:
    counts: Any = (row.get("confirming"), row.get("contradicting"))
    return Pathway(
        row["source"],
        row["target"],
        density=row.get("density", 1.0),
        known=row.get("known", True),
        evidence=None if any(pd.isna(count) for count in counts) else counts,
    )
