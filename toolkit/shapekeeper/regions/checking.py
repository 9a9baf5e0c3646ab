"""What makes a graph malformed (refused) or unfinished (kept, but not yet a network)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from math import isfinite
from typing import TYPE_CHECKING, Any

import networkx as nx

from shapekeeper.regions.parts import Pathway, Problem, Region, listed, way_to_name

if TYPE_CHECKING:
    from shapekeeper.regions.graph import RegionGraph

__all__ = ["malformed", "notes", "unfinished"]

OPENNESS = ("closed", "open")


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_share(value: Any) -> bool:
    return type(value) is float and 0 < value <= 1


def _is_pair_of(kind: type) -> Callable[[Any], bool]:
    return lambda v: (
        v is None
        or (type(v) is tuple and len(v) == 2 and all(type(x) is kind and isfinite(x) for x in v))
    )


def _is_level(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and isfinite(value))


# field -> (its name in a sentence, the check, what is wanted, the way out)
REGION_FIELDS: dict[str, tuple[str, Callable[[Any], bool], str, str]] = {
    "size": ("Size", _is_whole, "a whole number from 1 up", ""),
    "density": ("Inner density", _is_share, "more than 0 and at most 1", ""),
    "position": ("Position", _is_pair_of(float), "two numbers (x, y) or None", ""),
    "level": ("Level", _is_level, "a number or None", ""),
    "input": (
        "Input",
        lambda v: type(v) is bool or _is_whole(v),
        "True, False, or a whole number of features from 1 up",
        "",
    ),
    "output": ("Output", lambda v: type(v) is bool, "True or False", ""),
    "sign": (
        "Sign",
        lambda v: v is None or (type(v) is int and v in (1, -1)),
        "+1, -1, or None",
        "None leaves the sign free.",
    ),
}
PATHWAY_FIELDS: dict[str, tuple[str, Callable[[Any], bool], str, str]] = {
    "density": (
        "Density",
        _is_share,
        "more than 0 and at most 1",
        "To close a pathway, take it out.",
    ),
    "known": ("Known", lambda v: type(v) is bool, "True or False", ""),
    "evidence": (
        "Evidence",
        lambda v: _is_pair_of(int)(v) and (v is None or min(v) >= 0),
        "two counts (confirming, contradicting) from 0 up, or None",
        "",
    ),
}


def malformed(
    regions: Sequence[Any], pathways: Sequence[Any], tested_absent: Sequence[Any], note: Any
) -> list[Problem]:
    """Everything for which a graph is refused."""
    good_regions = [region for region in regions if isinstance(region, Region)]
    good_pathways = [pathway for pathway in pathways if isinstance(pathway, Pathway)]
    names = [r.name for r in good_regions if isinstance(r.name, str)]
    return [
        *_wrong_kind(regions, Region, 'Region("eye", 16)'),
        *_wrong_kind(pathways, Pathway, 'Pathway("eye", "hand")'),
        *_bad_names(good_regions),
        *(p for r in good_regions for p in _bad_fields(r, f"“{r.name}”", REGION_FIELDS, (r.name,))),
        *_bad_pathways(good_pathways, names),
        *_bad_absences(tested_absent, good_pathways, names),
        *([] if isinstance(note, str) else [Problem(f"Note: wanted text, got {note!r}.")]),
    ]


def _wrong_kind(parts: Iterable[Any], kind: type, example: str) -> Iterator[Problem]:
    for part in parts:
        if not isinstance(part, kind):
            yield Problem(f"Wanted a {kind.__name__}, got {part!r}.", f"Write {example}.")


def _bad_names(regions: Iterable[Region]) -> Iterator[Problem]:
    names = [region.name for region in regions]
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            yield Problem(f"Wanted a name for every region, got {name!r}.")
        elif name in names[:i]:
            yield taken(name, names)


def taken(name: str, names: Iterable[Any]) -> Problem:
    """What to say when a name is another region's already."""
    names = list(names)
    free = next(new for n in count(2) if (new := f"{name} {n}") not in names)
    message = f"Wanted a name of its own, got “{name}”, which is taken."
    return Problem(message, f"Try “{free}”.", (name,))


def _bad_fields(
    part: Region | Pathway, owner: str, table: dict[str, Any], names: tuple[str, ...]
) -> Iterator[Problem]:
    for field, (title, is_good, wanted, way_out) in table.items():
        value = getattr(part, field)
        if not is_good(value):
            yield Problem(f"{title} of {owner}: wanted {wanted}, got {value!r}.", way_out, names)


def _bad_pathways(pathways: Sequence[Pathway], names: list[str]) -> Iterator[Problem]:
    all_ends = [(pathway.source, pathway.target) for pathway in pathways]
    for i, (ends, pathway) in enumerate(zip(all_ends, pathways, strict=True)):
        arrow = f"{pathway.source} → {pathway.target}"
        yield from _bad_ends(f"Pathway {arrow}", ends, names)
        yield from _bad_fields(pathway, arrow, PATHWAY_FIELDS, _known(ends, names))
        if ends in all_ends[:i]:
            first = pathways[all_ends.index(ends)]
            message = f"Pathway {arrow} exists already; its density is {first.density}."
            yield Problem(message, "", _known(ends, names))


def _bad_ends(subject: str, ends: tuple[Any, Any], names: list[str]) -> Iterator[Problem]:
    source, target = ends
    for end, name in (("source", source), ("target", target)):
        if name not in names:
            message = f"{subject}: wanted a region of this graph as its {end}, got “{name}”."
            yield Problem(message, way_to_name(name, names), _known(ends, names))
    if source == target and source in names:
        way_out = "Units inside a region are joined already; a density below 1 thins them."
        yield Problem(f"{subject}: wanted another region, got the same one.", way_out, (source,))


def _known(ends: Iterable[Any], names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in ends if name in names))


def _bad_absences(
    pairs: Sequence[Any], pathways: Sequence[Pathway], names: list[str]
) -> Iterator[Problem]:
    drawn = [(pathway.source, pathway.target) for pathway in pathways]
    for i, ends in enumerate(pairs):
        if not (isinstance(ends, tuple) and len(ends) == 2):
            yield Problem(f"Tested and absent: wanted a pair (source, target), got {ends!r}.")
            continue
        subject = f"Tested and absent {ends[0]} → {ends[1]}"
        yield from _bad_ends(subject, ends, names)
        if ends in drawn:
            way_out = "Take it out of one of the two."
            yield Problem(f"{subject} is a pathway as well.", way_out, _known(ends, names))
        if ends in pairs[:i]:
            yield Problem(f"{subject} is listed twice.", "", _known(ends, names))


def arrows(graph: RegionGraph) -> nx.DiGraph:
    """Names and pathways that are open without asking for more, as a directed graph."""
    drawing = nx.DiGraph()
    drawing.add_nodes_from(graph.names)
    drawing.add_edges_from((p.source, p.target) for p in graph.pathways if p.known)
    return drawing


def unfinished(graph: RegionGraph) -> tuple[Problem, ...]:
    """What keeps a well-formed graph from being a network."""
    if not graph.regions:
        return (Problem("No region.", "A network needs an input and an output to begin with."),)
    return (*_no_input(graph), *_no_output(graph), *_unreached_outputs(graph))


def _no_input(graph: RegionGraph) -> Iterator[Problem]:
    if not any(region.input for region in graph.regions):
        hearing = {pathway.target for pathway in graph.pathways}
        free = [name for name in graph.names if name not in hearing] or list(graph.names)
        message = "No input. Wanted at least one region marked input."
        yield Problem(message, f"Mark “{free[0]}” as input, for example.")


def _no_output(graph: RegionGraph) -> Iterator[Problem]:
    if not any(region.output for region in graph.regions):
        sending = {pathway.source for pathway in graph.pathways}
        free = [name for name in graph.names if name not in sending] or list(graph.names)
        message = "No output. Wanted at least one region marked output."
        yield Problem(message, f"Mark “{free[-1]}” as output, for example.")


def _reached(drawing: nx.DiGraph, starts: Iterable[str]) -> set[str]:
    return {name for start in starts for name in (start, *nx.descendants(drawing, start))}


def _unreached_outputs(graph: RegionGraph) -> Iterator[Problem]:
    inputs = [region.name for region in graph.regions if region.input]
    reached = _reached(arrows(graph), inputs)
    for region in graph.regions:
        if inputs and region.output and region.name not in reached:
            message = f"No input reaches the output “{region.name}”."
            reason = f"Every output needs a chain of pathways from an input; {_why(graph, region)}."
            yield Problem(message, reason, (region.name,))


def _why(graph: RegionGraph, region: Region) -> str:
    into = [pathway for pathway in graph.pathways if pathway.target == region.name]
    known = [pathway.source for pathway in into if pathway.known]
    if known:
        return f"“{region.name}” hears only {listed(known)}, which no input reaches"
    untested = ", and those never tested are closed" if into else ""
    return f"“{region.name}” has no pathway in{untested}"


def notes(graph: RegionGraph) -> tuple[Problem, ...]:
    """What is allowed, but perhaps not meant: regions without effect."""
    return (*_unheard(graph), *_unheeded(graph))


def _unheard(graph: RegionGraph) -> Iterator[Problem]:
    inputs = [region.name for region in graph.regions if region.input]
    reached = _reached(arrows(graph), inputs)
    for region in graph.regions:
        if inputs and region.name not in reached and not region.output:
            message = f"No input reaches “{region.name}”."
            yield Problem(message, "It runs on its bias alone.", (region.name,))


def _unheeded(graph: RegionGraph) -> Iterator[Problem]:
    outputs = [region.name for region in graph.regions if region.output]
    useful = _reached(arrows(graph).reverse(copy=False), outputs)
    for name in graph.names:
        if outputs and name not in useful:
            yield Problem(f"“{name}” reaches no output.", "Nobody listens to it.", (name,))
