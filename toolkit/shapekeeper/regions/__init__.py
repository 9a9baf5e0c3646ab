"""Region graphs: named regions, the pathways between them, and what follows from the drawing.

- The graph: `Region`, `Pathway`, `RegionGraph`; what is wrong with one: `Problem`,
  `StructureError`.
- Graphs to begin with: `sense_and_act`, `with_memory`, `two_hemispheres`, `small_world`,
  `macaque_visual`.
- What is left of a graph in trained weights: `within_density`, `between_density`, `modularity`.
"""

from shapekeeper.regions.graph import RegionGraph
from shapekeeper.regions.macaque import macaque_visual
from shapekeeper.regions.measures import between_density, modularity, within_density
from shapekeeper.regions.parts import Pathway, Problem, Region, StructureError
from shapekeeper.regions.presets import sense_and_act, small_world, two_hemispheres, with_memory

__all__ = [
    "Pathway",
    "Problem",
    "Region",
    "RegionGraph",
    "StructureError",
    "between_density",
    "macaque_visual",
    "modularity",
    "sense_and_act",
    "small_world",
    "two_hemispheres",
    "with_memory",
    "within_density",
]
