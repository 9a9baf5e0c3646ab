"""Region graphs to begin with; each says where its edges come from and how sure they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import cos, pi, sin

import networkx as nx
import torch

from shapekeeper.randomness import generator, seed_of
from shapekeeper.regions.arranging import CANVAS, radius
from shapekeeper.regions.graph import RegionGraph
from shapekeeper.regions.parts import Pathway, Problem, Region, StructureError

__all__ = ["sense_and_act", "small_world", "two_hemispheres", "with_memory"]


def sense_and_act(wires: int = 64) -> RegionGraph:
    """Three regions in a row, without a loop: eye (32), middle (32), hand (16).

    Made up to begin with; no claim about brains. Eye and hand are joined by way of the middle only.

    Args:
        wires: How many connections each of the two pathways has, from 1 to 512.

    Example:
        >>> graph = sense_and_act(wires=64)
        >>> int(graph.mask()[graph.slices["hand"], graph.slices["middle"]].sum())
        64
        >>> graph.depths()
        {'eye': 0, 'middle': 1, 'hand': 2}
    """
    return RegionGraph(
        (
            Region("eye", 32, position=(104, 240), input=True),
            Region("middle", 32, position=(296, 240)),
            Region("hand", 16, position=(472, 240), output=True),
        ),
        (
            Pathway("eye", "middle", density=wires / (32 * 32)),
            Pathway("middle", "hand", density=wires / (32 * 16)),
        ),
        note="Made up: a chain of three regions.",
    )


def with_memory() -> RegionGraph:
    """Five regions with a loop: two senses, association, memory, motor.

    Made up to show every kind of edge; the densities are invented. visual → motor is marked as
    never tested.

    Example:
        >>> graph = with_memory()
        >>> graph.open_weights(), graph.units**2, graph.loops()
        (24090, 82944, (('association', 'memory'),))
    """
    return RegionGraph(
        (
            Region("visual", 64, position=(104, 104), input=True),
            Region("auditory", 48, position=(104, 304), input=True),
            Region("association", 96, position=(304, 208)),
            Region("memory", 48, position=(304, 384)),
            Region("motor", 32, position=(472, 144), output=True),
        ),
        (
            Pathway("visual", "association", density=0.25),
            Pathway("auditory", "association", density=0.25),
            Pathway("association", "memory", density=0.1),
            Pathway("memory", "association", density=0.1),
            Pathway("association", "motor", density=0.5),
            Pathway("visual", "motor", known=False),
        ),
        note="Made up: two senses, a loop through memory, one answer.",
    )


def two_hemispheres(
    size: int = 32, *, features: bool | int = True, density: float = 0.25, commissure: float = 0.05
) -> RegionGraph:
    """Two mirror-image chains, sense → association → motor, joined by a thin commissure.

    An idealization, measured nowhere: regions, sizes and densities are invented. Taken from
    anatomy is only that mirror-image places of the two hemispheres are joined both ways, and the
    association areas above all (Aboitiz, Scheibel, Fisher & Zaidel 1992, "Fiber composition of
    the human corpus callosum": most thin fibers are believed to interconnect association cortex).

    Args:
        size: Units of each of the six regions.
        features: What each sense sees: True all features, n the next n (the left one first).
        density: The share of open connections in the pathways within a hemisphere.
        commissure: The same between the two association regions; 0 cuts the commissure.

    Example:
        >>> whole, split = two_hemispheres(), two_hemispheres(commissure=0)
        >>> len(whole.pathways), len(split.pathways), split.is_feedforward
        (6, 4, True)
    """
    areas = ("sense", "association", "motor")
    sides = (("left", 144.0), ("right", 336.0))
    regions = [
        Region(f"{side} {area}", size, position=(120 + 176 * i, y))
        for side, y in sides
        for i, area in enumerate(areas)
    ]
    ends = {"sense": {"input": features}, "motor": {"output": True}}
    within = [
        Pathway(f"{side} {source}", f"{side} {target}", density)
        for side, _ in sides
        for source, target in pairwise(areas)
    ]
    left, right = (f"{side} association" for side, _ in sides)
    between = [Pathway(left, right, commissure), Pathway(right, left, commissure)]
    return RegionGraph(
        [replace(region, **ends.get(region.name.split()[1], {})) for region in regions],
        [*within, *(between if commissure != 0 else [])],
        note="An idealization: two hemispheres and a commissure; sizes and densities invented.",
    )


def small_world(
    modules: int = 4,
    regions: int = 6,
    *,
    neighbors: int = 4,
    rewired: float = 0.1,
    bridges: int = 2,
    size: int = 16,
    seed: int = 0,
) -> RegionGraph:
    """Modules of closely joined regions in a ring, with a few long ways between them.

    Every module is a connected Watts-Strogatz graph (Watts & Strogatz 1998, "Collective dynamics
    of 'small-world' networks"); modules that follow each other are joined by a few pathways
    between regions drawn by chance, as in the brain networks that Meunier, Lambiotte & Bullmore
    2010 review ("Modular and hierarchically modular organization of brain networks"). All
    pathways run both ways. A model of such networks: no edge stands for a measured one.

    Args:
        modules: How many modules, from 1 up.
        regions: How many regions each module has, more than `neighbors`.
        neighbors: How many nearest regions of its ring each region is joined to, an even number.
        rewired: The share of these edges, on average, that end elsewhere in the module.
        bridges: How many edges join two modules that follow each other, from 1 up.
        size: Units of each region.
        seed: Which drawing.

    Returns:
        A graph with regions "1.1" (module 1, region 1), "1.2", …; the input is "1.1", the output
        the last region of the module halfway around the ring.

    Raises:
        StructureError: If the numbers don't make such a graph; lists all that don't.

    Example:
        >>> graph = small_world(modules=4, regions=6)
        >>> len(graph.regions), len(graph.problems())
        (24, 0)
    """
    found = _impossible(modules, regions, neighbors, rewired, bridges)
    if found:
        raise StructureError(found)
    edges = [
        *_within(modules, regions, neighbors, rewired, seed),
        *_across(modules, regions, bridges, seed),
    ]
    ends = {"1.1": {"input": True}, f"{modules // 2 + 1}.{regions}": {"output": True}}
    places = _rings(modules, regions)
    return RegionGraph(
        [
            Region(name, size, position=place, **ends.get(name, {}))
            for name, place in places.items()
        ],
        [Pathway(*way) for a, b in edges for way in ((a, b), (b, a))],
        note="A model: a ring of small-world modules; no edge is measured.",
    )


def _impossible(
    modules: int, regions: int, neighbors: int, rewired: float, bridges: int
) -> list[Problem]:
    wanted = {
        f"modules: wanted 1 or more, got {modules}.": modules >= 1,
        f"neighbors: wanted an even number from 2 up, got {neighbors}.": (
            neighbors >= 2 and neighbors % 2 == 0
        ),
        f"regions: wanted more than neighbors ({neighbors}), got {regions}.": regions > neighbors,
        f"rewired: wanted a share from 0 to 1, got {rewired}.": 0 <= rewired <= 1,
        f"bridges: wanted 1 to {regions**2}, one for each pair of regions, got {bridges}.": (
            1 <= bridges <= regions**2
        ),
    }
    return [Problem(message) for message, holds in wanted.items() if not holds]


def _within(
    modules: int, regions: int, neighbors: int, rewired: float, seed: int
) -> Iterator[tuple[str, str]]:
    for m in range(1, modules + 1):
        chance = seed_of(seed, "small world/module", m)
        module = nx.connected_watts_strogatz_graph(regions, neighbors, rewired, seed=chance)
        yield from ((f"{m}.{a + 1}", f"{m}.{b + 1}") for a, b in module.edges)


def _across(modules: int, regions: int, bridges: int, seed: int) -> Iterator[tuple[str, str]]:
    # Two modules make one joint, not a ring of two.
    for m in range(1, modules + 1 if modules > 2 else modules):
        chance = generator(seed, "small world/bridges", m)
        for pair in torch.randperm(regions**2, generator=chance)[:bridges].tolist():
            yield f"{m}.{pair // regions + 1}", f"{m % modules + 1}.{pair % regions + 1}"


def _rings(modules: int, regions: int) -> dict[str, tuple[float, float]]:
    """Each module as a ring of regions, the modules on an ellipse, module 1 at the left."""
    pitch = 2 * radius(1, modules * regions) + 14
    ring = pitch / (2 * sin(pi / regions))
    across, down = (side / 2 - 40 - ring if modules > 1 else 0.0 for side in CANVAS)
    places = {}
    for m in range(modules):
        turn = 2 * pi * m / modules
        x, y = CANVAS[0] / 2 - across * cos(turn), CANVAS[1] / 2 - down * sin(turn)
        for r in range(regions):
            angle = 2 * pi * r / regions
            spot = (round(x - ring * cos(angle)), round(y - ring * sin(angle)))
            places[f"{m + 1}.{r + 1}"] = spot
    return places
