"""Checks of notebook 02: regions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shapekeeper import regions
from shapekeeper.course.verdicts import Unwritten, Wrong, attempted, called, exercise, number
from shapekeeper.randomness import generator


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


# 02.1


@dataclass(frozen=True)
class _Trip:
    """One question of 02.1, and its answers."""

    regions: int
    source: str
    target: str
    wanted: int | None
    backwards: int | None
    got: int | None

    @property
    def wrong(self) -> bool:
        return self.got != self.wanted


def _steps(drawing: nx.DiGraph, source: int, target: int) -> int | None:
    try:
        return int(nx.shortest_path_length(drawing, source, target))
    except nx.NetworkXNoPath:
        return None


def random_mask(seed: int = 0, units: int = 7) -> Tensor:
    """Who listens to whom among a few regions, drawn at random, with some self loops.

    Args:
        seed: Which drawing.
        units: How many regions.

    Returns:
        A bool tensor (units, units), `[target, source]`.

    Example:
        >>> random_mask().shape
        torch.Size([7, 7])
    """
    draw = generator(seed, "course/mask", units)
    return torch.rand(units, units, generator=draw) < 1.5 / units


def _crowd_and_chain(crowd: int = 32, chain: int = 28) -> Tensor:
    """A crowd in which all hear all, and a long chain that leaves from it.

    The number of ways through the crowd grows by a factor of 32 a step. It leaves float32 before a
    signal has come to the end of the chain, and infinity times a closed wire is not a number.
    """
    mask = torch.diag(torch.ones(crowd + chain - 1, dtype=torch.bool), -1)
    mask[:crowd, :crowd] = True
    return mask


def _trips(function: Callable) -> Iterator[_Trip]:
    def asked(mask: Tensor, source: int, target: int, names: list[str]) -> _Trip:
        drawing = nx.from_numpy_array(mask.T.numpy(), create_using=nx.DiGraph)
        got = attempted(function, mask.clone(), source, target)
        got = None if got is None or got is ... else int(got)
        there, back = _steps(drawing, source, target), _steps(drawing, target, source)
        return _Trip(len(mask), names[source], names[target], there, back, got)

    mask, names = _macaque_mask()
    for source, target in (("V1", "7a"), ("PITd", "FEF"), ("VIP", "V2"), ("V1", "FEF")):
        yield asked(mask, names.index(source), names.index(target), names)
    for seed, units in enumerate((4, 7, 7, 12, 12, 25), 1):
        pairs = torch.randperm(units, generator=generator(seed, "course/trips")).tolist()
        numbered = [f"region {unit}" for unit in range(units)]
        for source, target in pairwise(pairs):
            yield asked(random_mask(seed, units), source, target, numbered)
    numbered = [f"region {unit}" for unit in range(60)]
    crowd_first = _crowd_and_chain()
    for mask, source, target in (
        (crowd_first, 3, 59),
        (crowd_first.T, 59, 3),
        (crowd_first, 59, 3),
    ):
        yield asked(mask, source, target, numbered)


def _macaque_mask() -> tuple[Tensor, list[str]]:
    graph = regions.macaque_visual().settled()
    names = list(graph.names)
    mask = torch.eye(len(names), dtype=torch.bool)
    for pathway in graph.pathways:
        mask[names.index(pathway.target), names.index(pathway.source)] = True
    return mask, names


@exercise("02.1", example=random_mask)
def steps_needed(function) -> str:
    """The fewest pathways from one region to another, or None."""
    trips = list(_trips(function))
    if all(trip.got is None for trip in trips):
        raise Unwritten("steps_needed returns nothing yet. Write its body, and `return` a number.")
    wrong = [trip for trip in trips if trip.wrong]
    if wrong:
        trip, why = _why_wrong_way(trips, wrong)
        raise Wrong(why, f"{trip.wanted} from {trip.source} to {trip.target}", trip.got)
    return (
        f"Right on {len(trips)} trips. V1→7a takes {trips[0].wanted} pathways: "
        "unroll the network for fewer steps, and its answer there cannot depend on what V1 sees."
    )


def _why_wrong_way(trips: list[_Trip], wrong: list[_Trip]) -> tuple[_Trip, str]:
    first = wrong[0]
    if all(trip.got == trip.backwards for trip in trips):
        return first, (
            f"You followed the arrows backwards: {first.source}→{first.target} needs "
            f"{_some(first.wanted or 0, 'pathway')}, you report the way back."
        )
    if all(trip.regions == 60 for trip in wrong):
        return first, "The count overflowed at 60 regions. You need only yes or no."
    if first.wanted is None:
        return first, f"No chain of pathways leads from {first.source} to {first.target}."
    return first, f"A signal from {first.source} arrives after {_some(first.wanted, 'pathway')}."


# 02.2


def _channel_sizes() -> list[tuple[int, int, int]]:
    """20 possible (senders, listeners, wires); the first few leave nothing to spare."""
    draw = np.random.default_rng(22)
    sizes = []
    while len(sizes) < 20:
        senders, listeners = (int(n) for n in draw.integers(8, 33, size=2))
        spare = 0 if len(sizes) < 5 else int(draw.integers(0, listeners * (senders - 1) + 1))
        if senders != listeners:
            sizes.append((senders, listeners, listeners + spare))
    return [(32, 8, 24), (8, 24, 24), *sizes[2:]]


def _drawn(function: Callable, size: tuple[int, int, int], seed: int) -> Tensor:
    senders, listeners, _ = size
    mask = torch.as_tensor(called(function, *size, torch.Generator().manual_seed(seed)))
    if tuple(mask.shape) != (listeners, senders):
        raise Wrong(
            "Rows are those who listen, columns those who speak: `[target, source]`.",
            f"shape {(listeners, senders)} for {senders} senders and {listeners} listeners",
            f"shape {tuple(mask.shape)}",
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise Wrong("A wire is there or it is not.", "only True and False", "other numbers")
    return mask.bool()


def _fair_draw(mask: Tensor, wires: int) -> None:
    count, deaf = int(mask.sum()), int((~mask.any(1)).sum())
    wanted = f"{_some(wires, 'wire')}, 0 deaf listeners"
    got = f"{_some(count, 'wire')}, {_some(deaf, 'deaf listener')}"
    if count != wires:
        why = f"This draw has {_some(count, 'wire')} and {_some(deaf, 'deaf listener')}."
        raise Wrong(f"{why} Density is an average, you need a count.", wanted, got)
    if deaf:
        why = f"The count is right, and {_some(deaf, 'listener')} hear{'s' * (deaf == 1)} nobody."
        raise Wrong(f"{why} Guarantee first, chance second.", wanted, got)
    if wires == len(mask) and (mask.sum(0) == wires).any():
        raise Wrong(
            "All heard, but one damaged sender silences the region. Spread the senders.",
            "several senders",
            f"1 sender for {len(mask)} listeners",
        )


@exercise("02.2")
def channel(function) -> str:
    """A mask with an exact number of wires in which every listener hears someone."""
    sizes = _channel_sizes()
    for seed, size in enumerate(sizes):
        _fair_draw(_drawn(function, size, seed), size[2])
    size = sizes[0]
    once, again, other = (_drawn(function, size, seed) for seed in (5, 5, 6))
    if not torch.equal(once, again):
        raise Wrong(
            "Not the same drawing twice from the same generator. Draw with `generator=generator`."
        )
    if torch.equal(once, other):
        raise Wrong("Every generator gives the same drawing: leave the senders to chance.")
    for size in ((12, 9, 8), (3, 4, 13)):
        _refused(function, size)
    average = sum(24 / unheard for unheard in range(1, 25))
    return (
        "Right on 20 sizes. Your guarantee is worth a lot: wires thrown at random would need "
        f"about {average:.0f} throws, on average, until each of 24 listeners has one."
    )


def _refused(function: Callable, size: tuple[int, int, int]) -> None:
    senders, listeners, wires = size
    case = f"{_some(wires, 'wire')} from {senders} senders to {listeners} listeners"
    try:
        function(*size, torch.Generator().manual_seed(0))
    except ValueError:
        return
    except Exception as error:
        raise Wrong(f"{case} cannot be.", "a ValueError", f"a {type(error).__name__}") from error
    raise Wrong(f"{case} cannot be, and your function says nothing.", "a ValueError", "a mask")


# 02.3


@exercise("02.3")
def feedforward(graph) -> str:
    """The macaque drawing without a cycle, at most 36 of its 77 pathways dropped."""
    if not isinstance(graph, regions.RegionGraph):
        raise Wrong("This is no drawing.", "a RegionGraph", f"a {type(graph).__name__}")
    preset = regions.macaque_visual().settled()
    drawn, kept = _pairs(preset), _pairs(graph.settled())
    if set(graph.names) != set(preset.names) or kept - drawn:
        raise Wrong(
            "Only drop pathways: no region goes, and nothing new comes.",
            f"{len(preset.names)} areas and some of their {len(drawn)} pathways",
            f"{len(graph.names)} areas, {_some(len(kept - drawn), 'new pathway')}",
        )
    _without_cycle(graph.settled())
    _all_reached(preset, kept)
    dropped = len(drawn - kept)
    if dropped > 36:
        raise Wrong(_why_too_many(preset, drawn, kept), "at most 36 dropped", f"{dropped} dropped")
    least = "35 is the least, since 35 pairs go both ways"
    if dropped > 35:
        return f"{least}; 35 works if LIP→V3A may stay. Can you find that order?"
    return f"{least}, and you found it: one direction of each pair had to go, and no more."


def _pairs(graph: regions.RegionGraph) -> set[tuple[str, str]]:
    return {(pathway.source, pathway.target) for pathway in graph.pathways}


def _without_cycle(graph: regions.RegionGraph) -> None:
    drawing = nx.DiGraph([(pathway.source, pathway.target) for pathway in graph.pathways])
    cycle = next(nx.simple_cycles(drawing, 2), None) or next(nx.simple_cycles(drawing), None)
    if cycle is None:
        return
    first = cycle.index(min(cycle, key=graph.names.index))
    cycle = [*cycle[first:], *cycle[:first]]
    levels = {regions.macaque_visual().region(name).level for name in cycle}
    tie = " They share a level." if len(levels) == 1 else ""
    raise Wrong(f"Still a cycle: {' → '.join([*cycle, cycle[0]])}.{tie}", "no cycle")


def _all_reached(preset: regions.RegionGraph, kept: set[tuple[str, str]]) -> None:
    drawing = nx.DiGraph(list(kept))
    drawing.add_nodes_from(preset.names)
    lost = set(preset.names) - nx.descendants(drawing, "V1") - {"V1"}
    if lost:
        names = ", ".join(name for name in preset.names if name in lost)
        raise Wrong(f"Acyclic, but V1 no longer reaches {names}.", "V1 reaches all 11 others")


def _why_too_many(
    preset: regions.RegionGraph, drawn: set[tuple[str, str]], kept: set[tuple[str, str]]
) -> str:
    level = {name: preset.region(name).level for name in preset.names}
    gone = drawn - kept
    lateral = sum(level[s] == level[t] and s < t and (t, s) in gone for s, t in gone)
    if lateral:
        pairs = _some(lateral, "lateral pair")
        return f"Acyclic, but both directions of {pairs} went. One of each may stay."
    both = sum(s < t and (t, s) in gone for s, t in gone)
    return f"Acyclic, but both directions of {_some(both, 'pair')} went. One of each may stay."


# 02.4

SKILLS = ("left", "right")


def _table(kind: str, draw: np.random.Generator) -> pd.DataFrame:
    """Accuracies of one network: intact, and after each lesion.

    A modular network is hurt less than the others are, so that no mean gives it away.
    """
    damage = draw.uniform(0.0, 0.02, (2, 2))  # [lesion, skill]
    if kind == "modular":
        damage += np.diag(draw.uniform(0.30, 0.45, 2))
    if kind == "fragile":
        damage += draw.uniform(0.55, 0.68, (2, 2))
    if kind == "lopsided":
        skill = draw.integers(2)
        damage[skill, skill] += draw.uniform(0.72, 0.85)
        damage[1 - skill, skill] += draw.integers(2) * 0.75
    intact = draw.uniform(0.93, 0.97, 2)
    rows = ["intact", *(f"lesion {side}" for side in SKILLS)]
    return pd.DataFrame([intact, *(intact - damage)], rows, list(SKILLS)).round(3)


def _quartet(seed: int) -> dict[str, tuple[str, pd.DataFrame]]:
    draw = np.random.default_rng([seed, 24])
    kinds = draw.permutation(["modular", "fragile", "lopsided", "untouched"])
    return {name: (kind, _table(kind, draw)) for name, kind in zip("ABCD", kinds, strict=True)}


def four_networks() -> dict[str, pd.DataFrame]:
    """Accuracies of four made-up networks, one of them modular.

    Returns:
        Name -> table with the rows intact, lesion left, lesion right, and the skills left and
        right as columns.

    Example:
        >>> four_networks()["A"].shape
        (3, 2)
    """
    return {name: table for name, (_, table) in _quartet(0).items()}


@exercise("02.4", example=four_networks)
def dissociation(function) -> str:
    """A mark that is high only if each lesion hurts one skill and spares the other."""
    modular, others = [], []
    for seed in range(1, 21):
        quartet = _quartet(seed)
        marks = {name: number(called(function, t.copy())) for name, (_, t) in quartet.items()}
        best = next(name for name, (kind, _) in quartet.items() if kind == "modular")
        rest = {name: mark for name, mark in marks.items() if name != best}
        top = max(rest, key=lambda name: rest[name])
        # The negation, so that a mark of nan is no top mark.
        if not marks[best] > rest[top]:
            why = _why_not_modular(quartet[top][0], top)
            raise Wrong(why, f"the top mark for network {best}", _told(marks))
        modular.append(marks[best])
        others.append(rest[top])
    return (
        f"Right on 20 quartets. Your lowest mark for a modular network is {min(modular):.2g}, "
        f"your highest for any other {max(others):.2g}."
    )


def _told(marks: dict[str, float]) -> str:
    return ", ".join(f"{name} {mark:.2g}" for name, mark in marks.items())


def _why_not_modular(kind: str, name: str) -> str:
    if kind == "fragile":
        return f"Network {name} loses both skills under both lesions and gets your top mark."
    if kind == "lopsided":
        return "One lesion cannot tell a weak skill from a separate one."
    return f"Network {name} loses nothing under either lesion and gets your top mark."
