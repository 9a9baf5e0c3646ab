"""The filter shape editor as a person meets it: one object per view, found by its test names."""

from lab import Notebook, center
from region_editor import Editor

# A cell with an editor, and what tests ask Python about it.
START = """
import torch
import shapekeeper as sk
from shapekeeper.widgets import FilterShapeEditor
editor = FilterShapeEditor({arguments})
calls = []
editor.observe(lambda change: calls.append(change["name"]), ["value", "taps"])
editor
"""
VALUE = "repr(editor.value)"
DRAWN = "[[b[0], *(round(v, 6) for v in b[1:])] for b in editor.drawing['bands']]"
LOW = "FilterShape.lowpass(0.2, 0.35)"

# The plot in the coordinates of the canvas, as filter_plot.js has it.
LEFT, RIGHT, TOP, BOTTOM = 44, 572, 16, 276


class FilterEditor(Editor):
    """One view of a `FilterShapeEditor`, in the output of one cell."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.cell(cell).locator('.sk-editor[data-testid="filter-shape-editor"]')
        self.canvas = self.root.get_by_test_id("canvas")
        self.status = self.root.get_by_test_id("status")
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    def place(
        self, frequency: float, level: float, top: float = 6, bottom: float = -72
    ) -> tuple[float, float]:
        """A point of the plot on the screen: a share of Nyquist, and a level on the axis."""
        box = self.canvas.bounding_box()
        x = LEFT + (RIGHT - LEFT) * frequency
        y = BOTTOM - (BOTTOM - TOP) * (level - bottom) / (top - bottom)
        scale = box["width"] / 588
        return box["x"] + x * scale, box["y"] + y * scale

    def pull(self, key: str, frequency: float, level: float, **axis) -> None:
        """Drags a handle to a place of the plot."""
        start = center(self.key(key))
        self.notebook.drag(start, self.place(frequency, level, **axis), steps=12)

    def says(self, text: str):
        """The status strip once it says so."""
        found = self.status.get_by_text(text)
        found.first.wait_for()
        return found

    def way(self, text: str):
        """A way out that is offered, by a part of its words."""
        return self.status.get_by_role("button", name=text)

    def curve(self) -> str:
        """The path of the response."""
        return self.root.locator(".sk-curves .sk-response").get_attribute("d")


OUTER = ("window", "document", "document.body")


def own_listeners(page, *things: str) -> dict[str, int]:
    """How many listeners of widgets hang on things of the page; Lab comes and goes with its own.

    Lab's scripts have an address on the server; a widget's module is a blob.
    """
    session, addresses = page.context.new_cdp_session(page), {}
    session.on("Debugger.scriptParsed", lambda e: addresses.update({e["scriptId"]: e["url"]}))
    session.send("Debugger.enable")
    counts = {}
    for name in things:
        thing = session.send("Runtime.evaluate", {"expression": name})["result"]
        hung = session.send("DOMDebugger.getEventListeners", {"objectId": thing["objectId"]})
        scripts = [addresses[listener["scriptId"]] for listener in hung["listeners"]]
        counts[name] = sum(address.startswith("blob:") for address in scripts)
    session.detach()
    return counts
