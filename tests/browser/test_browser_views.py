"""Two views of one editor are one editor, Python is the third, and closing frees them all."""

from playwright.sync_api import expect
from region_editor import Editor
from test_browser_drawing import NAMES, PATHWAYS, THREE

VIEWS = [THREE, "editor"]


def test_two_views_agree_after_every_gesture(open_notebook):
    notebook = open_notebook(VIEWS, height=1700)
    notebook.run(0)
    notebook.run(1)
    one, other = Editor(notebook, 0), Editor(notebook, 1)
    one.agrees_with(other)
    start = one.drawing()

    one.draw_region("ear", 0.2, 0.75)
    notebook.until(NAMES, ["eye", "between", "hand", "ear"])
    one.agrees_with(other)
    other.draw_pathway("ear", "between")
    notebook.until(PATHWAYS, ["between>hand", "ear>between", "eye>between"])
    one.agrees_with(other)
    one.click(one.key("r:hand"))
    one.write("size", "40")
    notebook.until("editor.value.region('hand').size", 40)
    one.agrees_with(other)
    other.move_region("ear", 40, -24)
    notebook.until("len(calls)", 5)
    one.agrees_with(other)
    moved = one.drawing()

    # What one view did, the other one undoes, and the other way round.
    other.click(other.command("undo"))
    one.agrees_with(other)
    one.click(one.command("redo"))
    one.agrees_with(other)
    assert one.drawing() == moved
    for view in (one, other, one, other, one):
        view.click(view.command("undo"))
        one.agrees_with(other)
    notebook.until("editor.value.to_json() == start.to_json()", True)
    assert one.can("undo") == other.can("undo") == [False]
    assert one.drawing() == other.drawing() == start


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
    notebook = open_notebook([CLOSING, RUN_AGAIN, CLOSED])
    notebook.run(0)
    counts = []
    listeners = notebook.outer_listeners()
    for _ in range(3):
        notebook.run(1)
        editor = Editor(notebook, 1)
        editor.click(editor.key("r:association"))
        counts.append(notebook.ask("len(models)"))
    assert counts[0] > notebook.ask("first")
    assert counts == counts[:1] * 3
    assert notebook.page.locator(".sk-editor").count() == 1
    notebook.page.evaluate("window.closing = new WeakRef(document.querySelector('.sk-editor'))")
    notebook.run(2)
    expect(notebook.page.locator(".sk-editor")).to_have_count(0)
    notebook.until("len(models) - first", 0)
    notebook.until("(gc.collect(), alive() is None)[1]", True)
    print(notebook.outer_listeners(), listeners)
    for i in range(10):
        notebook.collect_garbage()
        print(notebook.page.evaluate("window.closing.deref() === undefined"))
        notebook.page.wait_for_timeout(300)
    assert 0
