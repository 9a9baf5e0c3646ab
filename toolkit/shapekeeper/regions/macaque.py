"""Twelve visual areas of the macaque, with what tract tracing found between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from shapekeeper.regions.graph import RegionGraph
from shapekeeper.regions.parts import Pathway, Problem, Region, StructureError, way_to_name

__all__ = ["macaque_visual"]

# name: (level, x, y)
AREAS = {
    "V1": (1, 72, 250),
    "V2": (2, 148, 250),
    "V3": (3, 220, 186),
    "V3A": (4, 292, 112),
    "V4": (5, 359, 366),
    "MT": (5, 355, 212),
    "PITd": (7, 446, 428),
    "MSTd": (7, 447, 60),
    "VIP": (7, 451, 166),
    "LIP": (7, 449, 290),
    "7a": (8, 520, 116),
    "FEF": (8, 520, 348),
}

# source: target, and how many database entries confirm/contradict the pathway
FOUND = """
V1: V2 12/8, V3 2/0, V3A 1/0, V4 1/1, MT 5/0
V2: V1 65/12, V3 2/0, V3A 2/0, V4 13/0, MT 24/0, MSTd 2/7, VIP 14/4, FEF 19/0
V3: V1 4/0, V2 5/0, V3A 1/0, V4 3/0, MT 5/0, MSTd 2/0, VIP 3/1, LIP 3/1, FEF 3/0
V3A: V1 1/0, V2 1/0, V3 2/0, V4 3/0, MT 2/0, MSTd 1/0, FEF 1/0
V4: V1 42/0, V2 39/0, V3 2/0, V3A 1/0, MT 11/0, PITd 5/0, LIP 8/0, FEF 4/1
MT: V1 3/0, V2 30/0, V3 2/0, V3A 2/0, V4 3/0, MSTd 2/2, VIP 5/1, LIP 7/1, FEF 7/0
PITd: V4 2/0
MSTd: V2 1/17, V3 1/0, V3A 1/0, MT 2/3, VIP 1/6, LIP 2/6, 7a 4/6, FEF 2/0
VIP: V3 1/0, MT 5/3, MSTd 1/0, LIP 2/1, 7a 3/0, FEF 5/1
LIP: V3 1/0, V3A 7/0, V4 2/0, MT 5/3, MSTd 2/0, VIP 3/1, 7a 8/0, FEF 7/0
7a: MSTd 4/8, LIP 13/6, FEF 30/0
FEF: MT 3/0, MSTd 1/0, VIP 4/0, LIP 6/0, 7a 20/0
"""

# source: targets that were looked for and not found
ABSENT = """
V1: PITd, MSTd, VIP, LIP, 7a, FEF
V3: PITd
V3A: PITd
V4: MSTd
PITd: V1, V3, V3A, MT, VIP, LIP, 7a
MSTd: V1, V4
VIP: PITd
LIP: PITd
FEF: V1
"""


def macaque_visual(
    size: int = 16, *, inputs: Collection[str] = ("V1",), outputs: Collection[str] = ("FEF",)
) -> RegionGraph:
    """Twelve visual areas of the macaque and the 77 pathways that tract tracing found among them.

    Areas and levels are those of Felleman & Van Essen 1991, "Distributed hierarchical processing
    in the primate cerebral cortex", Fig. 4. Of the 132 ordered pairs,

    - 77 are pathways: present in the copy of that paper's connection matrix that comes with the
      Brain Connectivity Toolbox (Rubinov & Sporns 2010, "Complex network measures of brain
      connectivity: Uses and interpretations") *and* confirmed by at least one entry of the
      tract-tracing database CoCoMac (Bakker, Wachtler & Diesmann 2012, "CoCoMac 2.0 and the
      future of tract-tracing databases"). The copy carries no area names; they were recovered by
      matching it to CoCoMac. The 77 were *not* checked by eye against the paper's Table 3. Least
      sure are the pairs with PITd or MSTd, which other maps cut differently.
    - 21 are tested and absent: entries contradict them, none confirms them.
    - 34 are not settled (`known=False`, closed unless asked otherwise): for 31 the two sources
      disagree or are silent, and FEF → V3, FEF → V3A and FEF → PITd are in neither list.

    `evidence` counts CoCoMac entries (confirming, contradicting). They are no independent
    experiments: some were translated from coarser maps. Beyond doubt, since retrograde tracing
    with counted neurons (Markov et al. 2014, "A weighted and directed interareal connectivity
    matrix for macaque cerebral cortex") shows them too, are V1 ⇄ V2, V1 ⇄ MT, V2 ⇄ V4, V4 ⇄ MT,
    V2 → MT, V4 → PITd (as part of TEO), LIP → 7a, and LIP and MT → FEF (as area 8). V1 → V4 is
    real but weak. Levels alone don't tell whether a pathway is feedforward or feedback.

    Sizes, inner and pathway densities are *not* measured: every block is full, and every area has
    the same number of units.

    Args:
        size: Units of each area.
        inputs: Names of the areas that see the input.
        outputs: Names of the areas that the answer is read from.

    Raises:
        StructureError: If an input or output is no area of this graph.

    Example:
        >>> graph = macaque_visual()
        >>> str(graph)
        '12 regions, 77 pathways, 34 never tested'
        >>> graph.pathway("V1", "V2").evidence
        (12, 8)
    """
    _check_areas((*inputs, *outputs))
    regions = [
        Region(name, size, 1.0, (x, y), level, input=name in inputs, output=name in outputs)
        for name, (level, x, y) in AREAS.items()
    ]
    known = [
        Pathway(source, target, evidence=_counts(counts))
        for source, (target, counts) in _pairs(FOUND)
    ]
    absent = [(source, target) for source, (target,) in _pairs(ABSENT)]
    settled = {(p.source, p.target) for p in known} | {*absent}
    unsettled = [
        Pathway(source, target, known=False)
        for source in AREAS
        for target in AREAS
        if source != target and (source, target) not in settled
    ]
    note = "From published tract tracing (CoCoMac, Felleman–Van Essen areas)."
    return RegionGraph(regions, [*known, *unsettled], absent, note)


def _check_areas(names: Collection[str]) -> None:
    found = [
        Problem(f"Wanted an area of this graph, got “{name}”.", way_to_name(name, AREAS))
        for name in names
        if name not in AREAS
    ]
    if found:
        raise StructureError(found)


def _counts(entry: str) -> tuple[int, int]:
    confirming, contradicting = entry.split("/")
    return int(confirming), int(contradicting)


def _pairs(table: str) -> Iterator[tuple[str, list[str]]]:
    for line in table.strip().splitlines():
        source, targets = line.split(": ")
        yield from ((source, entry.split()) for entry in targets.split(", "))
