"""Lab's keys and the editor's keys: neither takes the other's, and Escape hands them back."""

import re

import lab
import pytest
from playwright.sync_api import expect
from region_editor import Editor
from test_browser_drawing import THREE

CELLS = [THREE, "'second'", "'third'", "'fourth'"]
# Gives the focus to the next focusable thing, whose name is not among `done`; null: none is left.
NEXT = """(root, done) => {
  const name = e => e.dataset.key ?? e.dataset.cmd ?? e.dataset.field ?? e.dataset.testid
    ?? `${e.tagName} ${e.className} ${e.getAttribute('aria-label') ?? ''}`;
  const wanted = 'button, input, select, textarea, summary, a[href], [tabindex]';
  for (const e of root.querySelectorAll(wanted)) {
    const shown = e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length;
    if (e.disabled || !shown || done.includes(name(e))) continue;
    e.focus();
    const on = document.activeElement;
    return {name: name(e), took: on === e, guarded: on.dataset.lmSuppressShortcuts === 'true',
            writes: on.tagName === 'INPUT'};
  }
  return null;
}"""


@pytest.fixture
def editor(open_notebook):
    notebook = open_notebook(CELLS)
    notebook.run(0)
    return Editor(notebook, 0)


def unfinished(editor):
    editor.notebook.execute("editor.value = editor.value.without_pathway('between', 'hand')")
    editor.root.locator('[data-cmd^="way:"]').first.wait_for()


def emptied(editor):
    editor.notebook.execute("editor.value = sk.RegionGraph()")
    editor.root.locator('[data-cmd^="example:"]').first.wait_for()


# The faces of the editor, each with one thing that takes the focus only there.
FACES = {
    "nothing selected": (lambda editor: None, "r:hand"),
    "a region selected": (lambda editor: editor.click(editor.key("r:between")), "name"),
    "a pathway selected": (lambda editor: editor.click(editor.key("c:eye>between")), "density"),
    "the matrix": (lambda editor: editor.click(editor.command("matrix")), "m:eye<hand"),
    "the code": (lambda editor: editor.click(editor.command("code")), "code"),
    "the keys": (lambda editor: editor.click(editor.command("help")), "DIV sk-scroll "),
    "an unfinished graph": (unfinished, "way:0"),
    "an empty graph": (emptied, "example:with_memory"),
}


def test_d_d_deletes_no_cell_whatever_has_the_focus(editor):
    notebook = editor.notebook
    for face, (show, owned) in FACES.items():
        show(editor)
        # While the list of keys is open, nothing behind it takes part.
        scope = editor.root.get_by_role("dialog") if face == "the keys" else editor.root
        done = []
        while thing := scope.evaluate(NEXT, done):
            done.append(thing["name"])
            if not thing["took"]:
                continue
            assert thing["guarded"], f"{face}: {thing['name']} lets Lab's keys through"
            notebook.press("d", "d")
            assert notebook.cell_count == len(CELLS), f"{face}: {thing['name']}"
            if thing["writes"]:
                notebook.press("Escape")
        assert owned in done, f"{face}: {done}"
        notebook.run(0)  # a fresh editor for the next face


def test_escape_three_times_gives_lab_its_keys_back(editor):
    notebook = editor.notebook
    editor.click(editor.key("r:between"))
    editor.click(editor.field("name"))
    notebook.press("Escape", "Escape", "Escape")
    assert editor.root.evaluate("root => root === document.activeElement")
    notebook.press("b")
    notebook.page.wait_for_function(f"() => ({lab.COUNT_CELLS})() === {len(CELLS) + 1}")


def test_running_the_cell_and_saving_work_from_inside_the_drawing(editor):
    notebook = editor.notebook
    editor.click(editor.key("r:between"))
    notebook.until("editor.selected", ["r:between"])
    notebook.press("Control+s")
    notebook.page.wait_for_function(f"() => !({lab.DIRTY})()")
    editor.click(editor.key("r:eye"))
    notebook.until("editor.selected", ["r:eye"])
    notebook.press("Shift+Enter")
    expect(notebook.cell(1)).to_have_class(re.compile("jp-mod-active"))
    # The cell has run again: its editor is a new one, with nothing selected.
    notebook.until("editor.selected", [])
