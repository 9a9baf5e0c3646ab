"""Lab's keys and the editor's keys: neither takes the other's, and Escape hands them back."""

import re

import lab
import pytest
from playwright.sync_api import expect
from region_editor import THREE, Editor

CELLS = [THREE, "'second'", "'third'", "'fourth\\n'" + 40 * "\n# more"]
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


INSIDE = "root => root.contains(document.activeElement)"


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


def test_the_focus_never_falls_out(editor):
    """Where a pressed button goes away with what it did, the next key is still the editor's."""
    notebook = editor.notebook

    def press(thing):
        editor.click(thing)
        assert editor.root.evaluate(INSIDE), thing

    press(editor.key("c:between>hand"))
    press(editor.command("reverse"))
    notebook.until(
        "'hand>between' in [f'{p.source}>{p.target}' for p in editor.value.pathways]", True
    )
    press(editor.command("delete"))
    way = editor.status.get_by_role("button", name="Add between → hand")
    way.wait_for()
    press(way)
    expect(way).to_have_count(0)
    assert editor.root.evaluate(INSIDE)
    notebook.press("Control+z")
    way.wait_for()
    press(editor.key("r:eye"))
    press(editor.command("select:p:eye>between"))
    press(editor.command("select:r:eye"))
    for name in ("eye", "between", "hand"):
        press(editor.key(f"r:{name}"))
        press(editor.command("delete"))
        expect(editor.key(f"r:{name}")).to_have_count(0)
        assert editor.root.evaluate(INSIDE), name
    press(editor.command("example:with_memory"))
    expect(editor.key("r:association")).to_be_visible()
    assert editor.root.evaluate(INSIDE)
    notebook.press("d", "d")
    assert notebook.cell_count == len(CELLS)


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


def test_a_plain_wheel_scrolls_the_notebook_and_ctrl_wheel_zooms(editor):
    page = editor.page
    page.mouse.move(*editor.ground(0.5, 0.9))
    size = editor.key("r:eye").bounding_box()["width"]
    top = editor.root.bounding_box()["y"]
    page.mouse.wheel(0, 120)
    page.wait_for_function(
        "([root, top]) => root.getBoundingClientRect().top < top - 20",
        arg=[editor.root.element_handle(), top],
    )
    assert editor.key("r:eye").bounding_box()["width"] == pytest.approx(size)
    page.mouse.move(*editor.ground(0.5, 0.7))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    page.wait_for_function(
        "([thing, size]) => thing.getBoundingClientRect().width > 1.1 * size",
        arg=[editor.key("r:eye").element_handle(), size],
    )
