"""Two views of one editor are one editor, Python is the third, and closing frees them all."""

from filter_editor import OUTER, own_listeners
from playwright.sync_api import expect
from region_editor import PATHWAYS, THREE, Editor

VIEWS = [THREE, "editor"]


def test_two_views_agree_after_every_gesture(open_notebook):
    notebook = open_notebook(VIEWS, height=1700)
    notebook.run(0)
    notebook.run(1)
    one, other = Editor(notebook, 0), Editor(notebook, 1)
    one.agrees_with(other)
    start = one.drawing()

    steps = [
        lambda: one.draw_region("ear", 0.2, 0.75),
        lambda: other.draw_pathway("ear", "between"),
        lambda: (one.click(one.key("r:hand")), one.write("size", "40")),
        lambda: other.move_region("ear", 40, -24),
    ]
    drawings = [start]
    for step, changes in zip(steps, (2, 3, 4, 5), strict=True):
        step()
        notebook.until("len(calls)", changes)
        one.agrees_with(other)
        drawings.append(one.drawing())

    # What one view did, the other one undoes, and the other way round.
    one.click(one.command("undo"))
    other.draws(drawings[-2])
    one.agrees_with(other)
    other.click(other.command("redo"))
    one.draws(drawings[-1])
    one.agrees_with(other)
    for view, drawing in zip((one, other, one), drawings[-2:0:-1], strict=True):
        view.click(view.command("undo"))
        one.draws(drawing)
        one.agrees_with(other)
    for view in (one, other):
        view.click(view.command("undo"))
    other.draws(start)
    notebook.until("editor.value.to_json() == start.to_json()", True)
    one.agrees_with(other)
    one.offers(undo=False, redo=True)


def test_edits_from_python_show_everywhere_and_can_be_undone(open_notebook):
    notebook = open_notebook(VIEWS, height=1700)
    notebook.run(0)
    notebook.run(1)
    one, other = Editor(notebook, 0), Editor(notebook, 1)
    before = one.drawing()
    notebook.execute("editor.value = editor.value.with_pathway(sk.Pathway('eye', 'hand', 0.1))")
    for view in (one, other):
        expect(view.key("p:eye>hand")).to_be_attached()
    one.agrees_with(other)
    other.click(other.command("undo"))
    notebook.until(PATHWAYS, ["between>hand", "eye>between"])
    one.agrees_with(other)
    assert one.drawing() == before
    one.click(one.command("redo"))
    notebook.until(PATHWAYS, ["between>hand", "eye>between", "eye>hand"])


CLOSING = """
import gc, weakref
import ipywidgets, torch
import shapekeeper as sk
from shapekeeper.widgets import RegionGraphEditor
models = ipywidgets.widgets.widget._instances
first = len(models)
"""
RUN_AGAIN = """
if "editor" in globals():
    editor.close()
editor = RegionGraphEditor(sk.regions.with_memory())
alive = weakref.ref(editor)
display(editor)
"""
CLOSED = """
editor.close()
del editor
"""


def test_closing_frees_the_widget_in_python_and_in_the_page(open_notebook):
    notebook = open_notebook([CLOSING, RUN_AGAIN, CLOSED], own_kernel=True)
    notebook.run(0)
    page, counts = notebook.page, []
    for _ in range(3):
        notebook.run(1)
        editor = Editor(notebook, 1)
        editor.click(editor.key("r:association"))
        counts.append(notebook.ask("len(models)"))
    assert counts[0] > notebook.ask("first")
    assert counts == counts[:1] * 3
    assert page.locator(".sk-editor").count() == 1
    hung = own_listeners(page, *OUTER, "document.querySelector('.sk-editor')")
    assert hung.popitem()[1] > 3, "on the frame of the widget"
    assert hung == dict.fromkeys(OUTER, 0)
    page.evaluate("window.closing = new WeakRef(document.querySelector('.sk-editor'))")
    notebook.run(2)
    expect(page.locator(".sk-editor")).to_have_count(0)
    notebook.until("len(models) - first", 0)
    notebook.until("(gc.collect(), alive() is None)[1]", True)
    assert own_listeners(page, *OUTER) == dict.fromkeys(OUTER, 0)
    notebook.collect_garbage()
    assert page.evaluate("window.closing.deref() === undefined")
