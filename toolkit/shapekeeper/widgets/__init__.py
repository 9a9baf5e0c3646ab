"""Drawings in a notebook that are values: what can be drawn can be typed, and the other way round.

- `RegionGraphEditor`: draws a `RegionGraph`, as a map and as a matrix.

Needs `pip install shapekeeper[lab]`. Without a front end the editors are plain holders of their
`value`.
"""

from shapekeeper.widgets.region_graph_editor import RegionGraphEditor

__all__ = ["RegionGraphEditor"]
