"""The region graph editor by hand: drawing, breaking, undoing, and training what was drawn."""

import lab
import pytest
from lab import center
from playwright.sync_api import expect
from region_editor import NAMES, PATHWAYS, THREE, Editor

EMPTY = """
import shapekeeper as sk
from shapekeeper import plots
from shapekeeper.widgets import RegionGraphEditor
editor = RegionGraphEditor()
editor
"""
TRAIN = """
comparison = sk.compare(
    sk.tasks.digits(editor.value), [sk.Unconstrained(), sk.Projection()], seeds=1, steps=20
)
plots.training(comparison)
"""
COMPILE = "network = sk.compile_network(editor.value, 64, 10)\nprint(network.plan)"
ENDS = (
    "[[r.name for r in editor.value.regions if r.input is not False],"
    " [r.name for r in editor.value.regions if r.output]]"
)
DRAWN = ["association>motor", "auditory>association", "visual>association"]


def trains(notebook) -> None:
    """The next two cells compile what was drawn, train it, and show the curves."""
    plan = notebook.run(1)
    assert "association" in plan[0]["text"]
    images = [o["data"] for o in notebook.run(2) if "image/png" in o.get("data", {})]
    assert images, "no figure below the training cell"
    assert notebook.ask("comparison.frame.query('strategy == \"Projection\"').violation.max()") == 0


def test_by_mouse_from_nothing_to_a_trained_network(open_notebook):
    notebook = open_notebook([EMPTY, COMPILE, TRAIN])
    notebook.run(0)
    editor = Editor(notebook, 0)
    editor.draw_region("visual", 0.2, 0.3)
    editor.draw_region("auditory", 0.2, 0.7)
    editor.draw_region("association", 0.5, 0.5)
    editor.draw_region("motor", 0.8, 0.5)
    for name, end in [("visual", "input"), ("auditory", "input"), ("motor", "output")]:
        editor.click(editor.key(f"r:{name}"))
        editor.click(editor.field(end))
    for pathway in DRAWN:
        editor.draw_pathway(*pathway.split(">"))
    notebook.until(PATHWAYS, DRAWN)
    notebook.until(ENDS, [["visual", "auditory"], ["motor"]])
    expect(editor.status).to_contain_text("Ready to compile.")

    # Broken: the output loses its only pathway, and the network is refused with the same words.
    editor.click(editor.key("c:association>motor"))
    editor.click(editor.command("delete"))
    expect(editor.status).to_contain_text("No input reaches the output “motor”.")
    notebook.until(PATHWAYS, DRAWN[1:])
    with pytest.raises(AssertionError, match="No input reaches the output “motor”"):
        notebook.run(1)

    # A taken name is refused at its field and changes nothing.
    editor.click(editor.key("r:motor"))
    editor.write("name", "visual")
    refusal = editor.root.get_by_text("Wanted a name of its own, got “visual”, which is taken.")
    expect(refusal.locator("visible=true").first).to_be_visible()
    assert notebook.ask(NAMES) == ["visual", "auditory", "association", "motor"]

    editor.click(editor.command("undo"))
    notebook.until(PATHWAYS, DRAWN)
    expect(editor.status).to_contain_text("Ready to compile.")
    trains(notebook)


def test_by_keyboard_alone_from_nothing_to_a_trained_network(open_notebook):
    notebook = open_notebook([EMPTY, COMPILE, TRAIN])
    notebook.run(0)
    editor = Editor(notebook, 0)
    focused = editor.root.locator(":focus")
    editor.command("add-region").focus()
    while not editor.canvas.evaluate("canvas => canvas.contains(document.activeElement)"):
        notebook.press("Tab")
        assert editor.root.evaluate("root => root.contains(document.activeElement)")
    for name in ("visual", "auditory", "association", "motor"):
        notebook.press("n")
        expect(editor.field("name")).to_be_focused()
        notebook.press("Control+a")
        notebook.page.keyboard.type(name)
        notebook.press("Enter")
        expect(editor.key(f"r:{name}")).to_be_focused()
    go_to(editor, "r:visual")
    notebook.press("i")
    go_to(editor, "r:auditory")
    notebook.press("i")
    go_to(editor, "r:motor")
    notebook.press("o")
    notebook.until(ENDS, [["visual", "auditory"], ["motor"]])
    for pathway in DRAWN:
        source, target = pathway.split(">")
        go_to(editor, f"r:{source}")
        notebook.press("p")
        choose(editor, target)
        notebook.press("Enter")
        expect(editor.key(f"p:{pathway}")).to_be_attached()
    notebook.until(PATHWAYS, DRAWN)

    # E edits a name; a taken one is refused.
    go_to(editor, "r:motor")
    notebook.press("e")
    expect(editor.field("name")).to_be_focused()
    notebook.press("Control+a")
    notebook.page.keyboard.type("visual")
    notebook.press("Enter")
    expect(editor.root.get_by_test_id("assertive")).to_contain_text("Wanted a name of its own")
    notebook.press("Escape")
    assert notebook.ask(NAMES) == ["visual", "auditory", "association", "motor"]

    go_to(editor, "r:association")
    notebook.press("Delete")
    notebook.until(PATHWAYS, [])
    expect(editor.status).to_contain_text("Removed association and 3 pathways.")
    expect(focused).to_have_count(1)
    notebook.press("Control+z")
    notebook.until(PATHWAYS, DRAWN)
    notebook.press("Control+Shift+z")
    notebook.until(PATHWAYS, [])
    notebook.press("Control+z")
    notebook.until(PATHWAYS, DRAWN)
    expect(editor.status).to_contain_text("Ready to compile.")
    trains(notebook)


GESTURES = {
    "a region dragged": lambda editor: editor.move_region("between", 40, 48),
    "a pathway dragged": lambda editor: editor.draw_pathway("eye", "hand"),
    "a density dragged": lambda editor: editor.drag_chip("eye>between", -30),
    "a size typed": lambda editor: (editor.click(editor.key("r:hand")), editor.write("size", "40")),
    "an end ticked": lambda editor: (
        editor.click(editor.key("r:between")),
        editor.click(editor.field("output")),
    ),
    "a region removed": lambda editor: (
        editor.click(editor.key("r:between")),
        editor.notebook.press("Delete"),
    ),
}


def test_a_gesture_is_one_message(open_notebook):
    notebook = open_notebook([THREE])
    notebook.run(0)
    editor = Editor(notebook, 0)
    for name, gesture in GESTURES.items():
        notebook.execute("calls.clear()")
        notebook.sent.clear()
        gesture(editor)
        notebook.until("len(calls)", 1)
        # Nothing else is under way once the kernel has answered.
        assert sum(b'"value"' in frame for frame in notebook.sent) == 1, name
        editor.click(editor.command("undo"))
        notebook.until("editor.value.to_json() == start.to_json()", True)
        editor.offers(undo=False, redo=True)


REFUSED = [
    ("r:between", "name", "eye", "Wanted a name of its own, got “eye”, which is taken."),
    ("r:between", "size", "0", "Wanted a whole number from 1 up, got “0”."),
    ("r:between", "size", "many", "Wanted a whole number from 1 up, got “many”."),
    ("r:between", "inside", "0", "Wanted more than 0 and at most 1, got 0."),
    ("c:eye>between", "density", "1.5", "Wanted more than 0 and at most 1, got 1.5."),
]


def test_a_refused_edit_leaves_drawing_value_and_history(open_notebook):
    notebook = open_notebook([THREE])
    notebook.run(0)
    editor = Editor(notebook, 0)
    editor.move_region("between", 0, 40)
    notebook.until("calls", ["value"])
    drawing, value = editor.drawing(), notebook.ask("editor.value.to_json()")
    for key, field, text, words in REFUSED:
        editor.click(editor.key(key))
        editor.write(field, text)
        expect(editor.field(field)).to_have_attribute("aria-invalid", "true")
        expect(editor.described(field)).to_contain_text(words)
        expect(editor.root.get_by_test_id("assertive")).to_contain_text(words)
        notebook.press("Escape")
        assert editor.drawing() == drawing, words

    # A pathway that exists: the words, and the way to it.
    editor.draw_pathway("eye", "between")
    expect(editor.status).to_contain_text("Pathway eye → between exists already")
    editor.click(editor.status.get_by_role("button", name="Select it"))
    expect(editor.field("density")).to_have_value("0.25")

    assert notebook.ask("editor.value.to_json()") == value
    assert notebook.ask("calls") == ["value"]
    editor.offers(undo=True, redo=False)
    editor.click(editor.command("undo"))
    notebook.until("editor.value == start", True)
    editor.offers(undo=False, redo=True)


def test_escape_in_a_drag_puts_everything_back(open_notebook):
    notebook = open_notebook([THREE])
    notebook.run(0)
    editor = Editor(notebook, 0)
    drawing = editor.drawing()
    x, y = center(editor.key("r:between"))
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x + 60, y - 60, steps=8)
    assert editor.drawing() != drawing
    notebook.press("Escape")
    notebook.page.mouse.up()
    expect(editor.key("r:between")).to_be_visible()
    assert editor.drawing() == drawing
    assert notebook.ask("calls") == []
    assert not any(b'"value"' in frame for frame in notebook.sent)


def test_a_message_offers_the_way_out(open_notebook):
    notebook = open_notebook([THREE])
    notebook.run(0)
    editor = Editor(notebook, 0)
    editor.click(editor.key("c:between>hand"))
    editor.click(editor.command("delete"))
    expect(editor.status).to_contain_text("No input reaches the output “hand”.")
    editor.click(editor.status.get_by_role("button", name="Show me"))
    notebook.until("editor.selected", ["r:hand"])
    editor.click(editor.status.get_by_role("button", name="Add between → hand"))
    notebook.until(PATHWAYS, ["between>hand", "eye>between"])
    expect(editor.status).to_contain_text("Ready to compile.")
    notebook.press("Control+z", "Control+z")
    notebook.until("editor.value.to_json() == start.to_json()", True)


def test_the_matrix_is_a_full_editor(open_notebook):
    notebook = open_notebook([THREE])
    notebook.run(0)
    editor = Editor(notebook, 0)
    editor.click(editor.command("matrix"))
    expect(editor.key("m:between<eye")).to_be_visible()
    # Rows receive, columns send: one press opens eye -> hand.
    editor.click(editor.key("m:hand<eye"))
    notebook.until(PATHWAYS, ["between>hand", "eye>between", "eye>hand"])
    expect(editor.key("m:hand<eye")).to_be_focused()
    # By keyboard: two up and one right is where eye receives from between.
    notebook.press("ArrowUp", "ArrowUp", "ArrowRight", "Space")
    notebook.until(PATHWAYS, ["between>eye", "between>hand", "eye>between", "eye>hand"])
    notebook.press("Space")
    notebook.until(PATHWAYS, ["between>hand", "eye>between", "eye>hand"])
    notebook.press("v")
    expect(editor.key("p:eye>hand")).to_be_attached()
    expect(editor.key("r:eye")).to_be_visible()
    notebook.press("Control+z", "Control+z", "Control+z")
    notebook.until("editor.value.to_json() == start.to_json()", True)


def test_the_code_follows_the_drawing_and_is_copied_whole(open_notebook):
    notebook = open_notebook([THREE])
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.run(0)
    editor = Editor(notebook, 0)
    editor.click(editor.command("code"))
    editor.click(editor.key("r:hand"))
    editor.write("name", "left hand")
    notebook.until(NAMES, ["eye", "between", "left hand"])
    expect(editor.root.get_by_test_id("code")).to_contain_text("left hand")
    editor.click(editor.command("copy"))
    expect(editor.root.get_by_test_id("polite")).to_have_text("Copied")
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied == notebook.ask("editor.code()")
    notebook.execute(copied)
    assert notebook.ask("graph == editor.value")


def test_without_a_kernel_the_drawing_can_be_looked_at(open_notebook):
    notebook = open_notebook([THREE], own_kernel=True)
    notebook.run(0)
    editor = Editor(notebook, 0)
    drawing = editor.drawing()
    notebook.call(lab.RESTART)
    expect(editor.status).to_contain_text("No kernel. You can look, not change.")
    editor.offers(**{"add-region": False, "add-pathway": False, "undo": False, "redo": False})
    editor.click(editor.key("r:between"))
    expect(editor.field("name")).to_be_disabled()
    editor.move_region("between", 40, -40)
    assert editor.drawing() == drawing
    editor.click(editor.command("matrix"))
    expect(editor.key("m:between<eye")).to_be_visible()


def go_to(editor: Editor, key: str) -> None:
    """Moves the focus over the drawing with Home and the arrow keys until it is on `key`."""
    here = "() => document.activeElement.dataset.key"
    editor.page.keyboard.press("Home")
    seen = []
    for step in ["Right", "Down", "Left", "Up"] * 6:
        at = editor.page.evaluate(here)
        if at == key:
            return
        seen.append(at)
        editor.page.keyboard.press(f"Arrow{step}")
    raise AssertionError(f"the arrow keys never reach {key}; they went over {seen}")


def choose(editor: Editor, target: str) -> None:
    """Moves the target of a pathway in the making with the arrow keys until it is named."""
    said = []
    for step in ["Right", "Down", "Left", "Up"] * 6:
        said.append(editor.status.inner_text())
        if f"→ {target}" in said[-1]:
            return
        editor.page.keyboard.press(f"Arrow{step}")
    raise AssertionError(f"the arrow keys never offer {target}; they offered {said}")
