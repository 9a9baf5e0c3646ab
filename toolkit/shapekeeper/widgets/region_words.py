"""What the region graph editor says: about a graph, about an edit, about what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import dist
from typing import Any

import networkx as nx

from shapekeeper.regions import Pathway, Problem, Region, RegionGraph, StructureError
from shapekeeper.widgets.drawing_widget import Message

__all__ = ["described", "judged", "refusals", "remark"]


def _message(kind: str, text: str, detail: str = "", **more: Any) -> Message:
    return {"kind": kind, "text": text, "detail": detail, "regions": [], "ways": [], **more}


def _way(label: str, do: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "do": do, **more}


def _arrow(pathway: Any) -> str:
    return f"{pathway.source} → {pathway.target}"


def _key(pathway: Any) -> str:
    return f"p:{pathway.source}>{pathway.target}"


def _density(density: Any) -> str:
    if not _is_share(density):
        return str(density)
    return f"{density:.2f}" if density >= 0.005 else f"{density:.1g}"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


# About a graph


def judged(graph: RegionGraph) -> list[Message]:
    """What there is to say about a graph, the worst first."""
    if not graph.regions:
        needs = "A graph needs a region, an input and an output before it compiles."
        return [_message("info", "Nothing drawn yet.", needs)]
    problems = graph.problems()
    if problems:
        return [*_missing_ends(graph, problems), *_unreached(graph, problems)]
    return [*(_noted(note) for note in graph.notes()), _message("good", *_ready(graph))]


def _missing_ends(graph: RegionGraph, problems: tuple[Problem, ...]) -> Iterator[Message]:
    """No input or no output: a fault once pathways are drawn, before that the next thing to do."""
    kind = "bad" if graph.pathways else "info"
    for problem in problems:
        end = next((end for end in ("input", "output") if f"No {end}." in problem.message), None)
        if end:
            text, _, wanted = problem.message.partition(". ")
            name = _likely(graph, end)
            ways = [_way(f"Mark {name} as {end}", "region", name=name, set={end: True})]
            yield _message(kind, f"{text}.", wanted, ways=ways)


def _likely(graph: RegionGraph, end: str) -> str:
    """The region an input or output most likely is: one that only sends, or only hears."""
    sending, hearing = ({getattr(p, e) for p in graph.pathways} for e in ("source", "target"))
    wanted, unwanted, other = (
        (sending, hearing, "output") if end == "input" else (hearing, sending, "input")
    )
    regions = list(graph.regions) if end == "input" else list(reversed(graph.regions))
    rank = [(r.name in unwanted, bool(getattr(r, other)), r.name not in wanted) for r in regions]
    return regions[rank.index(min(rank))].name


def _unreached(graph: RegionGraph, problems: tuple[Problem, ...]) -> Iterator[Message]:
    for problem in problems:
        for name in problem.regions:
            ways = [
                *_ways_to(graph, name),
                _way(f"Make {name} no output", "region", name=name, set={"output": False}),
                _way("Show me", "show", key=f"r:{name}"),
            ]
            yield _message(
                "bad", problem.message, problem.detail, regions=list(problem.regions), ways=ways
            )


def _ways_to(graph: RegionGraph, name: str) -> list[dict[str, Any]]:
    """What lets an input reach a region: a pathway from the nearest reached, or an untested one."""
    known = nx.DiGraph((p.source, p.target) for p in graph.pathways if p.known)
    inputs = [region.name for region in graph.regions if region.input]
    reached = {m for n in inputs if n in known for m in nx.descendants(known, n)} | {*inputs}
    place = {r.name: r.position or (0.0, 0.0) for r in graph.arranged().regions}
    drawn = [p for p in graph.pathways if p.target == name and p.source in reached]
    free = reached - {name} - {p.source for p in drawn}
    near = sorted(free, key=lambda n: dist(place[n], place[name]))
    add = [_way(f"Add {n} → {name}", "pathway", source=n, target=name) for n in near[:1]]
    return add + [_way(f"Take {_arrow(p)} for known", "known", key=_key(p)) for p in drawn[:1]]


def _noted(note: Problem) -> Message:
    ways = [_way("Show me", "show", key=f"r:{name}") for name in note.regions]
    detail = f"{note.detail} The graph compiles all the same."
    return _message("warn", note.message, detail, regions=list(note.regions), ways=ways)


def _ready(graph: RegionGraph) -> tuple[str, str]:
    loops = graph.loops()
    if not loops:
        deep = _plural(max(graph.depths().values()) + 1, "region")
        return "Ready to compile.", f"No loop: the longest chain has {deep}."
    return "Ready to compile.", " ".join(_loop_words(loop) for loop in loops)


def _loop_words(loop: tuple[str, ...]) -> str:
    *others, last = loop
    if len(loop) == 2:
        return f"{others[0]} ⇄ {last} is a loop: the network runs in steps."
    names = f"{', '.join(others)} and {last}" if len(loop) <= 5 else f"{len(loop)} regions"
    return f"{names} form a loop: the network runs in steps."


# About an edit


def described(before: RegionGraph, after: RegionGraph) -> str:
    """What has happened between two graphs, in one sentence."""
    said = [*_renamings(before, after)] or [
        *_region_changes(before, after),
        *_pathway_changes(before, after),
    ]
    if len(said) == 1:
        return said[0]
    gone = [n for n in before.names if n not in after.names]
    come = [n for n in after.names if n not in before.names]
    if not said:
        return "Note changed."
    if len(gone) == 1 and not come:
        return _removal(before, gone[0])
    new = [p for p in after.pathways if p not in before.pathways]
    if len(come) == len(new) == 1 and not gone:
        return f"Region {come[0]} and {_arrow(new[0])} added."
    if {s.split()[-1] for s in said} == {"moved."}:
        return f"{len(said)} regions moved."
    return f"Now {after}."


def _removal(before: RegionGraph, name: str) -> str:
    lost = sum(name in (p.source, p.target) for p in before.pathways)
    return f"Removed {name} and {_plural(lost, 'pathway')}." if lost else f"Removed {name}."


def _renamings(before: RegionGraph, after: RegionGraph) -> Iterator[str]:
    """The sentence of a new name, where nothing else has changed."""
    if len(before.names) != len(after.names):
        return
    new = [(a, b) for a, b in zip(before.names, after.names, strict=True) if a != b]
    if len(new) == 1 and new[0][1] not in before.names:
        yield f"Region {new[0][0]} is now called {new[0][1]}."


REGION_WORDS: dict[str, Callable[[Region], str]] = {
    "size": lambda r: f"{r.name} has {_plural(r.size, 'unit')}.",
    "density": lambda r: f"Density inside {r.name} {_density(r.density)}.",
    "level": lambda r: f"{r.name} is on level {r.level}.",
    "input": lambda r: f"{r.name} is {'an input' if r.input else 'no input'}.",
    "output": lambda r: f"{r.name} is {'an output' if r.output else 'no output'}.",
    "sign": lambda r: f"Sign of {r.name} {'free' if not r.sign else '+' if r.sign > 0 else '−'}.",
}


def _region_changes(before: RegionGraph, after: RegionGraph) -> Iterator[str]:
    old = {region.name: region for region in before.regions}
    new = {region.name: region for region in after.regions}
    yield from (_removal(before, name) for name in old if name not in new)
    yield from (f"Region {name} added." for name in new if name not in old)
    for name in old.keys() & new.keys():
        for field, words in REGION_WORDS.items():
            if getattr(old[name], field) != getattr(new[name], field):
                yield words(new[name])
        if old[name].position not in (None, new[name].position):
            yield f"{name} moved."


def _pathway_changes(before: RegionGraph, after: RegionGraph) -> Iterator[str]:
    old = {_key(p): p for p in before.pathways}
    new = {_key(p): p for p in after.pathways}
    gone = [old[key] for key in old if key not in new]
    come = [new[key] for key in new if key not in old]
    if len(gone) == len(come) == 1 and gone[0].source == come[0].target:
        yield f"Pathway {_arrow(gone[0])} turned round."
        return
    yield from (f"Pathway from {p.source} to {p.target} removed." for p in gone)
    yield from (
        f"Pathway from {p.source} to {p.target} added, density {_density(p.density)}." for p in come
    )
    for key in old.keys() & new.keys():
        yield from _pathway_change(old[key], new[key])


def _pathway_change(old: Pathway, new: Pathway) -> Iterator[str]:
    if old.density != new.density:
        yield f"Density of {_arrow(new)} {_density(new.density)}."
    if old.known != new.known:
        yield f"{_arrow(new)} is {'known' if new.known else 'marked as never tested'}."


def remark(before: RegionGraph, after: RegionGraph) -> Message | None:
    """An edit that took pathways along, or replaced the whole, offers to take it back."""
    gone = [name for name in before.names if name not in after.names]
    lost = any(end in gone for p in before.pathways for end in (p.source, p.target))
    renamed = any(True for _ in _renamings(before, after))
    if lost and not renamed:
        return _message("info", described(before, after), ways=[_way("Undo", "undo")])
    return None


# About what is refused


def refusals(graph: RegionGraph, data: Any) -> list[Message]:
    """Why what the browser sent is no graph, at the field where it was typed if there is one.

    Args:
        graph: The graph as it is.
        data: What is to become of it, as `RegionGraph.to_json` writes it.
    """
    try:
        RegionGraph.from_json(data)
    except StructureError as error:
        # a name taken twice makes pathways look wrong that are not
        said = [*_refused_regions(graph, data)] or [*_refused_pathways(graph, data)]
        return said or [_message("bad", p.message, p.detail) for p in error.found]
    except TypeError as error:  # lists where there should be none
        return [_message("bad", "Wanted a region graph.", f"{error}")]
    return []


def _entries(data: Any, part: str) -> list[Mapping[str, Any]]:
    entries = data.get(part, []) if isinstance(data, Mapping) else []
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _refused_at(key: str, field: str, got: Any, text: str, detail: str) -> Message:
    return _message("bad", text, detail, key=key, field=field, got=str(got))


def _refused_regions(graph: RegionGraph, data: Any) -> Iterator[Message]:
    entries = _entries(data, "regions")
    names = [entry.get("name") for entry in entries]
    for i, entry in enumerate(entries):
        known = graph.names[i] if i < len(graph.names) else entry.get("name")
        key, name = f"r:{known}", entry.get("name")
        if not isinstance(name, str) or not name.strip():
            yield _refused_at(key, "name", name, "Wanted a name, got none.", "Any word will do.")
        elif names.count(name) > 1 and name != known:
            text = f"Wanted a name of its own, got “{name}”, which is taken."
            yield _refused_at(key, "name", name, text, f"Try “{_free(name, names)}”.")
        size, density = entry.get("size"), entry.get("density", 1.0)
        if not _is_whole(size):
            text = f"Wanted a whole number from 1 up, got “{size}”."
            yield _refused_at(key, "size", size, text, "")
        if not _is_share(density):
            text = f"Wanted more than 0 and at most 1, got {density}."
            yield _refused_at(key, "inside", density, text, "1 joins all units of a region.")


def _free(name: str, taken: list[Any]) -> str:
    return next(f"{name} {n}" for n in range(2, len(taken) + 3) if f"{name} {n}" not in taken)


def _is_whole(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value >= 1 and value == int(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _refused_pathways(graph: RegionGraph, data: Any) -> Iterator[Message]:
    drawn: dict[tuple[str, str], Any] = {}
    for entry in _entries(data, "pathways"):
        source, target = str(entry.get("source")), str(entry.get("target"))
        density = entry.get("density", 1.0)
        if not _is_share(density):
            text = f"Wanted more than 0 and at most 1, got {density}."
            way_out = "To close a pathway, delete it."
            yield _refused_at(f"p:{source}>{target}", "density", density, text, way_out)
        if source == target and source in graph.names:
            detail = "Units inside a region are joined already; set inside below 1 to thin them."
            yield _message("bad", "Wanted another region, got the same one.", detail)
        if (source, target) in drawn:
            first = drawn[source, target]
            text = f"Pathway {source} → {target} exists already;"
            ways = [_way("Select it", "show", key=f"p:{source}>{target}")]
            yield _message("bad", text, f"its density is {_density(first)}.", ways=ways)
        drawn.setdefault((source, target), density)
