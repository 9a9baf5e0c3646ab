"""The region graph editor: a brain of regions and pathways, drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Instance

from shapekeeper import regions
from shapekeeper.regions import RegionGraph
from shapekeeper.widgets import region_words
from shapekeeper.widgets.drawing_widget import DrawingWidget, Message, source
from shapekeeper.widgets.region_picture import picture

__all__ = ["RegionGraphEditor"]

EXAMPLES = {
    "sense_and_act": ("Sense and act", "3 regions, no loop"),
    "with_memory": ("With a memory", "5 regions, one loop"),
    "macaque_visual": ("Visual areas of the macaque", "12 regions, 77 pathways, cited"),
}


def _to_browser(graph: RegionGraph, _: Any) -> dict[str, Any]:
    """The browser gets a place for every region, and sends it back with its first edit."""
    return graph.arranged().to_json()


def _from_browser(data: Mapping[str, Any], _: Any) -> RegionGraph:
    return RegionGraph.from_json(data)


class RegionGraphEditor(DrawingWidget):
    """Draws a region graph, as a map and as a matrix `W[target, source]`.

    Assign a graph to `value` to show it; observe `value` to follow the drawing. A graph without
    positions is arranged; the first edit in the browser fixes every region where it is drawn.

    Args:
        graph: What is drawn at first; by default nothing.

    Attributes:
        value: The graph that is drawn, a `RegionGraph`.
        selected: What is selected: "r:NAME" for a region, "p:SOURCE>TARGET" for a pathway.

    Raises:
        traitlets.TraitError: If the value is to be something else than a `RegionGraph`.

    Example:
        >>> from shapekeeper import Pathway, Region, RegionGraph
        >>> editor = RegionGraphEditor(RegionGraph([Region("eye", 8, input=True)]))
        >>> editor.value = editor.value.with_region(Region("hand", 4, output=True))
        >>> editor.value = editor.value.with_pathway(Pathway("eye", "hand"))
        >>> [message["text"] for message in editor.messages]
        ['Ready to compile.']
        >>> editor.undo()
        >>> editor.value.pathways
        ()
        >>> editor.close()
    """

    _esm = source(
        "shared.js",
        "drawing_view.js",
        "curves.js",
        "map_view.js",
        "region_map.js",
        "region_graph.js",
        "region_parts.js",
        "region_drawing.js",
        "region_graph_editor.js",
    )
    _css = source("shared.css", "map_view.css", "region_graph_editor.css")

    value = Instance(RegionGraph).tag(sync=True, to_json=_to_browser, from_json=_from_browser)

    def __init__(self, graph: RegionGraph | None = None, **traits: Any):
        super().__init__(value=RegionGraph() if graph is None else graph, **traits)

    def _refusals(self, data: Any) -> list[Message]:
        return region_words.refusals(self.value, data)

    def _described(self, before: RegionGraph, after: RegionGraph) -> str:
        return region_words.described(before, after)

    def _remarked(self, before: RegionGraph, after: RegionGraph) -> Message | None:
        return region_words.remark(before, after)

    def _judged(self) -> list[Message]:
        return region_words.judged(self.value)

    def _computed(self) -> dict[str, Any]:
        examples = [
            {"name": name, "title": title, "detail": detail}
            for name, (title, detail) in EXAMPLES.items()
        ]
        graph = self.value
        return {"open": graph.open_weights(), "total": graph.units**2, "examples": examples}

    def _has(self, key: str) -> bool:
        graph = self.value
        pathways = {f"p:{p.source}>{p.target}" for p in graph.pathways}
        return key in pathways or key in {f"r:{name}" for name in graph.names}

    def _ask(self, command: Mapping[str, Any]) -> None:
        if command.get("do") == "example" and command.get("name") in EXAMPLES:
            self.value = getattr(regions, str(command["name"]))()

    def _picture(self) -> str:
        return picture(self.value)
