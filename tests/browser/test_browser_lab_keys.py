"""Lab's keys and the editor's keys: neither takes the other's, and Escape hands them back."""

import pytest
from playwright.sync_api import expect
from region_editor import Editor
from test_browser_drawing import THREE

CELLS = [THREE, "'second'", "'third'", "'fourth'"]
FOCUSABLE = """root => [...root.querySelectorAll(
    'button, input, select, textarea, summary, a[href], [tabindex]')].filter(
  e => !e.disabled && e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length)"""
COUNT = f"root => ({FOCUSABLE})(root).length"
# Focus goes to the i-th focusable thing; answers what that is and whether it took the focus.
FOCUS = f"""(root, i) => {{
  const all = ({FOCUSABLE})(root);
  if (i >= all.length) return null;
  all[i].focus();
  const e = document.activeElement;
  return {{took: e === all[i], guarded: e.dataset.lmSuppressShortcuts === 'true',
           name: all[i].outerHTML.slice(0, 160)}};
}}"""


@pytest.fixture
def editor(open_notebook):
    notebook = open_notebook(CELLS)
    notebook.run(0)
    return Editor(notebook, 0)


def nothing(editor):
    pass


def region(editor):
    editor.click(editor.key("r:between"))


def pathway(editor):
    editor.click(editor.key("c:eye>between"))


def matrix(editor):
    editor.click(editor.command("matrix"))


def code(editor):
    editor.click(editor.command("code"))


def keys(editor):
    editor.click(editor.command("help"))


def unfinished(editor):
    editor.notebook.execute("editor.value = editor.value.without_pathway('between', 'hand')")
    editor.root.locator('[data-cmd^="way:"]').first.wait_for()


def emptied(editor):
    editor.notebook.execute("editor.value = sk.RegionGraph()")
    editor.root.locator('[data-cmd^="example:"]').first.wait_for()


@pytest.mark.parametrize(
    "state", [nothing, region, pathway, matrix, code, keys, unfinished, emptied]
)
def test_d_d_deletes_no_cell_whatever_has_the_focus(editor, state):
    notebook = editor.notebook
    state(editor)
    assert editor.root.evaluate(COUNT) >= 8
    i = 0
    while thing := editor.root.evaluate(FOCUS, i):
        i += 1
        if not thing["took"]:
            continue
        assert thing["guarded"], thing["name"]
        notebook.press("d", "d")
        assert notebook.cell_count == len(CELLS), thing["name"]
        notebook.press("Escape")


def test_escape_three_times_gives_lab_its_keys_back(editor):
    notebook = editor.notebook
    editor.click(editor.key("r:between"))
    notebook.press("Escape", "Escape", "Escape")
    assert editor.root.evaluate("root => root === document.activeElement")
    notebook.press("b")
    notebook.page.wait_for_function(f"() => ({notebook.CELLS})() === {len(CELLS) + 1}")


def test_shift_enter_runs_the_cell_from_inside_the_drawing(editor):
    notebook = editor.notebook
    notebook.execute("del editor.marked") if False else None
    editor.click(editor.key("r:between"))
    notebook.press("Shift+Enter")
    notebook.until("calls", [])
    expect(notebook.cell(1)).to_have_class("jp-mod-active")
