"""Drawings in a notebook that are values: what can be drawn can be typed, and the other way round.

- `RegionGraphEditor`: draws a `RegionGraph`, as a map and as a matrix.
- `ComparisonView`: trains strategies side by side, shows what happens, and the table.
- `FilterShapeEditor`: draws a `FilterShape`, what filters may do to each frequency.
- `GrammarEditor`: draws an automaton, the words that a layer may say.
- `WireTable`: a checkbox for each wire between two lists of names.

Needs `pip install shapekeeper[lab]`. Without a front end the editors are plain holders of their
`value`, and the comparison trains in the foreground.
"""

from shapekeeper.widgets.comparison_view import ComparisonView
from shapekeeper.widgets.filter_shape_editor import FilterShapeEditor
from shapekeeper.widgets.grammar_editor import GrammarEditor
from shapekeeper.widgets.region_graph_editor import RegionGraphEditor
from shapekeeper.widgets.wire_table import WireTable

__all__ = [
    "ComparisonView",
    "FilterShapeEditor",
    "GrammarEditor",
    "RegionGraphEditor",
    "WireTable",
]
