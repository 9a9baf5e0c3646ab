"""The table of checkboxes in a real JupyterLab: mouse, keyboard, two views, sizes and contrast."""

import pytest
import sight
from playwright.sync_api import expect

TABLE = """
import pandas as pd
from shapekeeper.widgets import WireTable
boxes = WireTable(pd.DataFrame([[1, 0], [1, 1], [0, 0]], ["A", "B", "C"], ["R1", "R2"]))
boxes
"""
WIRES = "[list(wire) for wire in boxes.wires]"


@pytest.fixture
def notebook(open_notebook):
    notebook = open_notebook([TABLE, "boxes", "1"])
    notebook.run(0)
    notebook.run(1)
    return notebook


def view(notebook, index=0):
    return notebook.cell(index).locator(".sk-wires")


def box(notebook, name, index=0):
    return view(notebook, index).get_by_role("checkbox", name=name)


def arrows(notebook, index=0):
    return view(notebook, index).locator("svg path")


def test_a_click_ticks_and_the_arrows_and_the_other_view_follow(notebook):
    expect(arrows(notebook)).to_have_count(3)
    box(notebook, "C to R1").click()
    notebook.until(WIRES, [[0, 0], [1, 0], [1, 1], [2, 0]])
    for index in (0, 1):
        expect(box(notebook, "C to R1", index)).to_be_checked()
        expect(arrows(notebook, index)).to_have_count(4)
    box(notebook, "B to R2", 1).click()
    notebook.until(WIRES, [[0, 0], [1, 0], [2, 0]])
    expect(box(notebook, "B to R2")).not_to_be_checked()


def test_the_keyboard_ticks_and_keeps_the_cell(notebook):
    cells = notebook.cell_count
    box(notebook, "A to R1").focus()
    notebook.press("Tab", "Space")
    notebook.until(WIRES, [[0, 0], [0, 1], [1, 0], [1, 1]])
    expect(box(notebook, "A to R2")).to_be_focused()
    notebook.press("d", "d", "x")
    notebook.until(WIRES, [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert notebook.cell_count == cells


def test_python_ticks_too(notebook):
    notebook.execute("boxes.value = ~boxes.value")
    expect(box(notebook, "C to R2")).to_be_checked()
    expect(box(notebook, "A to R1")).not_to_be_checked()
    expect(view(notebook).get_by_role("img")).to_have_accessible_name(
        "Arrows: A to R2, C to R1, C to R2"
    )


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_names_and_arrows_stand_out_and_boxes_can_be_hit(notebook, theme):
    notebook.theme(theme)
    root = view(notebook)
    assert sight.pale_texts(root) == []
    assert sight.pale_marks(root, "svg path") == []
    assert sight.small_targets(root) == []
