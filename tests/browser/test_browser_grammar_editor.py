"""The grammar editor by hand: drawing, walking, asking for too much, training what was drawn."""

import lab
import pytest
from filter_editor import OUTER, own_listeners
from grammar_editor import AB_STAR_C, EMPTY, PAIRS, START, STEPS, WORDS, GrammarEditor
from lab import center
from playwright.sync_api import expect
from test_browser_lab_keys import INSIDE, NEXT

TRAIN = """
import torch
from collections import OrderedDict
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(64, 6, generator=generator)
wanted = inputs[:, :1].sign()
grammar = editor.value
layer = torch.nn.Sequential(
    torch.nn.Linear(6, grammar.shape[0] * grammar.shape[1]), torch.nn.Unflatten(1, grammar.shape)
)
head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(layer[0].out_features, 1))
model = torch.nn.Sequential(OrderedDict(layer=layer, head=head))
held = sk.hold(model, {"layer": editor.value}, sk.Projection())
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
before = layer[0].weight.detach().clone()
for _ in range(20):
    optimizer.zero_grad()
    (model(inputs) - wanted).square().mean().backward()
    optimizer.step()
said = grammar.decode(model.layer(inputs))
print({"".join(word) for word in said})
"""
ALL_WORDS = ["c", "abc", "ababc", "abababc", "ababababc"]


def opened(open_notebook, cell=PAIRS, more=(), **window) -> GrammarEditor:
    notebook = open_notebook([cell, *more], **window)
    notebook.run(0)
    return GrammarEditor(notebook, 0)


def speaks(notebook) -> None:
    """The next cell trains a layer that holds what was drawn: every value is a word."""
    notebook.run(1)
    assert notebook.ask("not torch.equal(before, layer[0].weight)")
    assert notebook.ask("len(said)") == 64
    assert set(notebook.ask("sorted({''.join(w) for w in said})")) <= set(ALL_WORDS)
    assert notebook.ask("grammar.violation(model.layer(inputs)).max().item()") == 0


def test_by_mouse_from_nothing_to_a_layer_that_speaks(open_notebook):
    editor = opened(open_notebook, EMPTY, [TRAIN])
    notebook = editor.notebook
    editor.says("Drag the blue handle to make a step, then type a symbol.")
    editor.draw_step_to_ground("0", "a", 0.55, 0.5)
    editor.key("s:1").wait_for()
    editor.draw_step("1", "b", "0")
    editor.says("No state may end.")
    editor.draw_step_to_ground("0", "c", 0.4, 0.82)
    editor.end("2")
    notebook.until(STEPS, AB_STAR_C)
    notebook.until("editor.automaton.ends", ["2"])
    expect(editor.count).to_have_text("5")
    editor.says("5 words of at most 9 symbols; shorter ones are padded.")
    expect(editor.field("pattern")).to_have_value("(ab)*c")
    expect(editor.root.get_by_text("Follows the drawing.")).to_be_visible()
    assert editor.words() == ALL_WORDS
    speaks(notebook)


def test_by_keyboard_alone_from_nothing_to_a_layer_that_speaks(open_notebook):
    editor = opened(open_notebook, EMPTY, [TRAIN])
    notebook = editor.notebook
    editor.command("add-state").focus()
    while not editor.canvas.evaluate("canvas => canvas.contains(document.activeElement)"):
        notebook.press("Tab")
        assert editor.root.evaluate(INSIDE)
    notebook.press("Home")
    expect(editor.key("s:0")).to_be_focused()
    notebook.press("n")  # to the right of it
    expect(editor.key("s:1")).to_be_focused()
    notebook.press("ArrowLeft")
    expect(editor.key("s:0")).to_be_focused()
    step(editor, "ArrowRight", "a", "0>1")
    notebook.press("Home", "n")
    expect(editor.key("s:2")).to_be_focused()
    notebook.press(" ")
    notebook.until("editor.automaton.ends", ["2"])
    go_to(editor, "s:1")
    notebook.press("p")
    aim(editor, "0")
    type_symbol(editor, "b", "1>0")
    go_to(editor, "s:0")
    notebook.press("p")
    aim(editor, "2")
    type_symbol(editor, "c", "0>2")
    notebook.until(STEPS, AB_STAR_C)
    expect(editor.count).to_have_text("5")

    # Deleting a state says so and leaves the keys with the editor; undo brings it back.
    go_to(editor, "s:1")
    notebook.press("Delete")
    editor.says("Removed state 1 and 2 steps.")
    assert editor.root.evaluate(INSIDE)
    notebook.press("Control+z")
    notebook.until(STEPS, AB_STAR_C)
    speaks(notebook)


def go_to(editor, key) -> None:
    """Moves the focus over the drawing with Home and the arrow keys until it is on `key`."""
    editor.page.keyboard.press("Home")
    seen = []
    for arrow in ["Right", "Down", "Left", "Up"] * 6:
        at = editor.page.evaluate("() => document.activeElement.dataset.key")
        if at == key:
            return
        seen.append(at)
        editor.page.keyboard.press(f"Arrow{arrow}")
    raise AssertionError(f"the arrow keys never reach {key}; they went over {seen}")


def aim(editor, target) -> None:
    """Moves the target of a step in the making with the arrow keys until it is named."""
    said = []
    for arrow in ["Left", "Left", "Up", "Right", "Right", "Down"] * 4:
        said.append(editor.status.inner_text())
        if f"to {target}." in said[-1]:
            return
        editor.page.keyboard.press(f"Arrow{arrow}")
    raise AssertionError(f"the arrow keys never offer {target}; they offered {said}")


def type_symbol(editor, symbol, step) -> None:
    """Types a symbol while a step is aimed: its field opens with it."""
    editor.page.keyboard.type(symbol)
    expect(editor.field("step")).to_have_value(symbol)
    editor.page.keyboard.press("Enter")
    expect(editor.key(f"p:{step}")).to_be_focused()


def step(editor, arrow, symbol, drawn) -> None:
    editor.notebook.press("p", arrow)
    type_symbol(editor, symbol, drawn)


def test_a_step_to_itself_needs_no_arrows_and_one_without_a_symbol_is_dropped(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.key("s:2"))
    notebook.press("p")
    editor.says("Step from 2 to itself.")
    type_symbol(editor, "c", "2>2")
    notebook.until(STEPS, [*AB_STAR_C, "2 c 2"])
    editor.click(editor.key("s:2"))
    notebook.press("p", "ArrowUp", "Enter")
    expect(editor.field("step")).to_be_focused()
    notebook.press("Enter")
    expect(editor.field("step")).to_be_hidden()
    assert notebook.ask("calls") == ["automaton"]
    # Leaving the field with a symbol in it takes it; Escape does not.
    notebook.press("Control+z")
    notebook.until(STEPS, AB_STAR_C)
    for key, wanted in [("Escape", AB_STAR_C), ("Tab", sorted([*AB_STAR_C, "2 a 2"]))]:
        editor.click(editor.key("s:2"))
        notebook.press("p", "a")
        expect(editor.field("step")).to_have_value("a")
        notebook.press(key)
        expect(editor.field("step")).to_be_hidden()
        notebook.until(STEPS, wanted)


GESTURES = {
    "a step dragged": lambda editor: editor.draw_step("2", "a", "0"),
    "a step to free ground": lambda editor: editor.draw_step_to_ground("2", "d", 0.9, 0.2),
    "a state dragged": lambda editor: editor.move("2", -40, 24),
    "an end": lambda editor: editor.end("1"),
    "the start dragged": lambda editor: editor.move_start("1"),
    "a chip edited": lambda editor: (
        editor.click(editor.key("c:0>2")),
        editor.page.keyboard.type("c, d"),
        editor.page.keyboard.press("Enter"),
    ),
    "a length typed": lambda editor: editor.write("length", "7"),
    "a bar": lambda editor: editor.click(editor.command("length:5")),
    "a symbol added": lambda editor: (
        editor.click(editor.command("add-symbol")),
        editor.page.keyboard.type("dog"),
        editor.page.keyboard.press("Enter"),
    ),
    "a symbol renamed": lambda editor: (
        editor.click(editor.command("symbol:b")),
        editor.page.keyboard.press("Control+a"),
        editor.page.keyboard.type("dog"),
        editor.page.keyboard.press("Enter"),
    ),
    "a symbol led elsewhere": lambda editor: (
        editor.click(editor.key("s:1")),
        editor.field("from 1 with c").select_option("2"),
    ),
    "a state removed": lambda editor: (
        editor.click(editor.key("s:1")),
        editor.notebook.press("Delete"),
    ),
}


def test_a_gesture_is_one_message(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    for name, gesture in GESTURES.items():
        notebook.execute("calls.clear()")
        notebook.sent.clear()
        gesture(editor)
        notebook.until("len(calls)", 1)
        # Nothing else is under way once the kernel has answered.
        assert sum(b'"automaton"' in frame for frame in notebook.sent) == 1, name
        editor.click(editor.command("undo"))
        notebook.until("editor.automaton == start", True)
        editor.offers(undo=False, redo=True)


def test_a_refused_edit_leaves_drawing_value_and_history(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.move("2", 0, 24)
    notebook.until("calls", ["automaton"])
    value = notebook.ask("editor.automaton.to_json()")
    assertive = editor.root.get_by_test_id("assertive")

    # Two steps with one symbol: the words, and the way to the other one.
    editor.click(editor.command("fit"))
    drawing = editor.drawing()
    editor.pull_handle("0", editor.middle("2"))
    editor.page.keyboard.type("a")
    editor.page.keyboard.press("Enter")
    words = "From state 0 two steps carry “a” (to 1 and to 2)."
    editor.says(words)
    expect(assertive).to_contain_text(words)
    assert editor.drawing() == drawing
    editor.click(editor.way("Show me"))
    notebook.until("editor.selected", ["p:0>1"])
    editor.click(editor.command("fit"))

    for field, text, said in [
        ("length", "0", "Wanted a whole number from 1 to 200, got “0”."),
        ("pattern", "(ab*c", "Wanted a closing bracket, got the end of “(ab*c”."),
    ]:
        editor.write(field, text)
        expect(editor.field(field)).to_have_attribute("aria-invalid", "true")
        expect(editor.described(field)).to_contain_text(said)
        expect(assertive).to_contain_text(said)
        expect(editor.field(field)).to_have_value(text)
        if field == "pattern":
            assert editor.root.locator(".sk-caret").inner_text() == "(ab*c\n     ^"
        notebook.press("Escape")
        assert editor.drawing() == drawing, said

    assert notebook.ask("editor.automaton.to_json()") == value
    assert notebook.ask("calls") == ["automaton"]
    editor.offers(undo=True, redo=False)
    editor.click(editor.command("undo"))
    notebook.until("editor.automaton == start", True)


def test_escape_in_a_drag_puts_everything_back(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    drawing = editor.drawing()
    x, y = center(editor.key("s:1"))
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x + 40, y + 30, steps=8)
    assert editor.drawing() != drawing
    notebook.press("Escape")
    notebook.page.mouse.up()
    assert editor.drawing() == drawing
    assert notebook.ask("calls") == []
    assert not any(b'"automaton"' in frame for frame in notebook.sent)


def test_no_words_of_a_length_and_the_ways_out(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.root.get_by_role("button", name="exactly"))
    editor.says("1 word: the layer could only ever say ababababc.")
    editor.write("length", "8")
    editor.says("No word has exactly 8 symbols.")
    expect(editor.status).to_contain_text("lengths that have words: 1, 3, 5, 7, 9, …")
    expect(editor.count).to_have_text("0")
    assert notebook.ask("editor.value.length") == 9, "the last drawing that had words"
    editor.click(editor.way("Use 7"))
    notebook.until("[editor.value.length, editor.value.count]", [7, 1])
    expect(editor.field("length")).to_have_value("7")
    editor.click(editor.way("Allow up to 7"))
    notebook.until("[editor.value.length, editor.value.count]", [7, 4])
    assert editor.words() == ALL_WORDS[:4]
    for _ in range(4):
        editor.click(editor.command("undo"))
    notebook.until("editor.automaton == start", True)
    editor.click(editor.command("length:11"))
    notebook.until("editor.value.count", 6)


def test_the_table_is_a_full_editor(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.command("table"))
    expect(editor.key("t:0|a").get_by_role("combobox")).to_have_value("=1")
    editor.key("t:2|a").get_by_role("combobox").select_option("0")
    notebook.until(STEPS, [*AB_STAR_C, "2 a 0"])
    # By keyboard: the list of states is chosen from by its letters, Delete forbids.
    editor.key("t:2|a").get_by_role("combobox").focus()
    expect(editor.key("t:2|a").get_by_role("combobox")).to_be_focused()
    notebook.press("Delete")
    notebook.until(STEPS, AB_STAR_C)
    notebook.press("ArrowRight")
    expect(editor.key("t:2|b").get_by_role("combobox")).to_be_focused()
    notebook.press("2")
    notebook.until(STEPS, [*AB_STAR_C, "2 b 2"])
    notebook.press("Home", "ArrowRight", " ")
    notebook.until("editor.automaton.start", "2")
    notebook.press("ArrowRight", " ")
    notebook.until("editor.automaton.ends", [])
    assert editor.root.evaluate(INSIDE)
    editor.click(editor.table_button("add-state"))
    expect(editor.key("t:3|a")).to_be_visible()
    editor.click(editor.table_button("add-symbol"))
    editor.page.keyboard.type("d")
    notebook.press("Enter")
    expect(editor.key("t:3|d")).to_be_visible()
    notebook.until("editor.automaton.symbols", ["a", "b", "c", "d"])
    for _ in range(7):
        editor.click(editor.command("undo"))
    notebook.until("editor.automaton == start", True)
    expect(editor.key("t:3|a")).to_have_count(0)
    editor.click(editor.command("drawing"))
    expect(editor.key("p:0>1")).to_be_attached()


def test_pattern_and_drawing_follow_each_other(open_notebook):
    editor = opened(open_notebook, EMPTY)
    notebook = editor.notebook
    editor.write("pattern", "(ab)*c")
    notebook.until(STEPS, AB_STAR_C)
    expect(editor.root.get_by_text("Follows the pattern.")).to_be_visible()
    editor.click(editor.key("s:0"))
    notebook.press(" ")
    expect(editor.field("pattern")).to_have_value("(ab)*c?")
    expect(editor.root.get_by_text("Follows the drawing.")).to_be_visible()
    expect(editor.root.get_by_text("Follows the pattern.")).to_have_count(0)
    editor.click(editor.command("undo"))
    expect(editor.field("pattern")).to_have_value("(ab)*c")
    expect(editor.root.get_by_text("Follows the pattern.")).to_be_visible()


def test_a_word_is_walked_and_each_step_is_told(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.command("walk:1"))
    polite = editor.root.get_by_test_id("polite")
    lit = editor.root.locator(".sk-lit")
    expect(lit).to_have_attribute("data-key", "s:0")
    for key, state, words in [
        ("ArrowRight", "1", "a: 0 to 1"),
        ("ArrowRight", "0", "b: 1 to 0"),
        ("ArrowLeft", "1", "a: 0 to 1"),
        ("ArrowRight", "0", "b: 1 to 0"),
        ("ArrowRight", "2", "c: 0 to 2 May end."),
    ]:
        notebook.press(key)
        expect(lit).to_have_attribute("data-key", f"s:{state}")
        expect(polite).to_have_text(words)
    editor.says("abc is a word")
    notebook.press("Escape")
    expect(lit).to_have_count(0)
    notebook.press("w")
    expect(lit).to_have_attribute("data-key", "s:0")


def test_a_word_is_tried_slot_by_slot(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.key("w:0"))
    editor.page.keyboard.type("abababa")
    verdict = editor.root.locator(".sk-verdict")
    expect(verdict).to_have_text("1 symbol to change: slot 7, a → c")
    expect(editor.key("w:6")).to_have_attribute("aria-invalid", "true")
    expect(editor.root.get_by_test_id("polite")).to_have_text("1 symbol to change: slot 7, a → c")
    word = "[''.join(symbol or '·' for symbol in editor.facts['tried'])]"
    notebook.until(word, ["abababa··"])
    notebook.press("Backspace", "c")
    expect(verdict).to_have_text("This is a word: nothing to change.")
    notebook.press("ArrowLeft", "ArrowDown")
    notebook.until(word, ["ababab···"])
    notebook.press("ArrowUp", "Home", "Delete")
    notebook.until(word, ["·babab" + "c··"])
    notebook.press("x")  # no symbol: nothing happens, but it is told
    expect(editor.root.get_by_test_id("polite")).to_have_text(
        "x is no symbol. Symbols are a, b, c."
    )


def test_words_as_symbols_are_typed_by_their_letters(open_notebook):
    editor = opened(open_notebook, START.format(arguments="'(the|a) dog+', length=4"))
    editor.click(editor.key("w:0"))
    editor.page.keyboard.type("tddd")
    editor.notebook.until("editor.facts['tried']", ["the", "dog", "dog", "dog"])
    expect(editor.root.locator(".sk-verdict")).to_have_text("This is a word: nothing to change.")


def test_the_dice_shows_other_words(open_notebook):
    editor = opened(open_notebook, START.format(arguments="'[ab]*c', length=8"))
    expect(editor.count).to_have_text("128")
    first = editor.words()
    assert len(set(first)) == 6
    editor.click(editor.command("dice"))
    editor.notebook.until("editor.facts['said']['text']", "Other words.")
    expect(editor.root.get_by_test_id("polite")).to_have_text("Other words.")
    assert editor.words() != first
    said = editor.notebook.ask("editor.facts['said']['id']")
    editor.click(editor.key("s:0"))
    editor.notebook.press("r")
    editor.notebook.until("editor.facts['said']['id']", said + 1)
    assert all(len(word) == 8 and word[-1] == "c" for word in editor.words())


@pytest.mark.parametrize("name", ["pairs", "sentence", "brackets"])
def test_examples_open_from_the_empty_editor(open_notebook, name):
    editor = opened(open_notebook, EMPTY)
    editor.click(editor.command(f"example:{name}"))
    editor.notebook.until("editor.value is not None", True)
    expect(editor.key("s:1")).to_be_visible()
    assert editor.root.evaluate(INSIDE)
    editor.click(editor.command("undo"))
    editor.says("Nothing drawn yet.")


MANY = """
import itertools
every = list(itertools.permutations("abcdefg", {length}))
words = ["".join(word) for word in every[::9]]
"""


@pytest.mark.parametrize("length", [4, 6])
def test_a_list_of_many_words_is_shown_as_far_as_it_can_be_read(open_notebook, length):
    cell = MANY.format(length=length) + START.format(arguments="sk.Grammar.from_words(words)")
    editor = opened(open_notebook, cell)
    states = editor.notebook.ask("len(editor.automaton.names)")
    expect(editor.count).to_have_text(str(editor.notebook.ask("editor.value.count")))
    expect(editor.command("drawing")).to_be_disabled()
    rows = editor.root.locator(".sk-table-box tbody tr")
    expect(rows).to_have_count(states if states <= 120 else 0)
    editor.says("Too many states to draw" + ("" if states <= 120 else " or to list"))
    assert (states <= 120) == (length == 4)
    if states <= 120:
        choice = editor.root.locator(".sk-table-box select:not(.sk-blank)").first
        expect(choice.locator("option")).to_have_count(2)
        choice.focus()
        expect(choice.locator("option")).to_have_count(states + 1)
    editor.click(editor.command("length:3"))
    editor.says("No word has exactly 3 symbols.")


def test_two_views_agree_after_every_gesture(open_notebook):
    notebook = open_notebook([PAIRS, "editor"], height=1900)
    notebook.run(0)
    notebook.run(1)
    one, other = GrammarEditor(notebook, 0), GrammarEditor(notebook, 1)
    one.agrees_with(other)
    start = one.drawing()
    steps = [
        lambda: one.draw_step("2", "a", "0"),
        lambda: other.end("1"),
        lambda: one.draw_step_to_ground("1", "d", 0.92, 0.2),
        lambda: other.move("1", 24, -8),
        lambda: one.write("length", "6"),
    ]
    drawings = [start]
    for step, changes in zip(steps, range(1, 6), strict=True):
        step()
        notebook.until("len(calls)", changes)
        one.agrees_with(other)
        drawings.append(one.drawing())
        assert one.words() == other.words()
    for view, drawing in zip((one, other, one, other, one), drawings[-2::-1], strict=True):
        view.click(view.command("undo"))
        one.draws(drawing)
        one.agrees_with(other)
    notebook.until("editor.automaton == start", True)
    one.offers(undo=False, redo=True)
    notebook.execute("editor.value = sk.Grammar('a*b', length=4)")
    other.says("1 word")
    one.agrees_with(other)


def test_the_code_follows_the_drawing_and_is_copied_whole(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    editor.click(editor.command("code"))
    editor.end("1")
    notebook.until("editor.automaton.ends", ["1", "2"])
    expect(editor.root.get_by_test_id("code")).to_contain_text("(ab)*(a|c)")
    editor.click(editor.command("copy"))
    expect(editor.root.get_by_test_id("polite")).to_have_text("Copied")
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied == notebook.ask("editor.code()")
    notebook.execute(copied)
    assert notebook.ask("grammar == editor.value")
    assert notebook.ask(WORDS)


def test_without_a_kernel_the_drawing_can_be_looked_at(open_notebook):
    editor = opened(open_notebook, own_kernel=True)
    drawing = editor.drawing()
    editor.notebook.call(lab.RESTART)
    expect(editor.status).to_contain_text("No kernel. You can look, not change.")
    editor.offers(**{"add-state": False, "add-step": False, "undo": False, "redo": False})
    editor.click(editor.key("s:1"))
    expect(editor.field("pattern")).to_be_disabled()
    expect(editor.field("end")).to_be_disabled()
    editor.move("1", 40, -40)
    editor.end("1")
    assert editor.drawing() == drawing
    editor.click(editor.command("walk:0"))
    expect(editor.root.locator(".sk-lit")).to_have_attribute("data-key", "s:0")
    editor.click(editor.command("table"))
    expect(editor.key("t:0|a").get_by_role("combobox")).to_be_disabled()


# Lab's keys


def unfinished(editor):
    editor.notebook.execute("editor.automaton = start.wanting(8, False)")
    editor.root.locator('[data-cmd^="way:"]').first.wait_for()


# The faces of the editor, each with one thing that takes the focus only there.
FACES = {
    "nothing selected": (lambda editor: None, "s:2"),
    "a state selected": (lambda editor: editor.click(editor.key("s:1")), "from 1 with b"),
    "a step selected": (lambda editor: editor.select_step("0>2"), "symbols"),
    "a symbol named": (lambda editor: editor.click(editor.command("symbol:b")), "symbol:b"),
    "a pattern refused": (lambda editor: editor.write("pattern", "(ab*c"), "pattern"),
    "a word tried": (lambda editor: editor.try_word("abababa"), "w:8"),
    "the table": (lambda editor: editor.click(editor.command("table")), "from 0 with a"),
    "the code": (lambda editor: editor.click(editor.command("code")), "code"),
    "the keys": (lambda editor: editor.click(editor.command("help")), "DIV sk-scroll "),
    "no words": (unfinished, "way:2"),
}


def test_d_d_deletes_no_cell_whatever_has_the_focus(open_notebook):
    editor = opened(open_notebook, more=["'second'", "'third'"])
    notebook = editor.notebook
    for face, (show, owned) in FACES.items():
        show(editor)
        scope = editor.root.get_by_role("dialog") if face == "the keys" else editor.root
        done = []
        while thing := scope.evaluate(NEXT, done):
            done.append(thing["name"])
            if not thing["took"]:
                continue
            assert thing["guarded"], f"{face}: {thing['name']} lets Lab's keys through"
            notebook.press("d", "d")
            assert notebook.cell_count == 3, f"{face}: {thing['name']}"
            if thing["writes"]:
                notebook.press("Escape")
        assert owned in done, f"{face}: {done}"
        notebook.run(0)  # a fresh editor for the next face


def test_letters_in_fields_that_close_when_they_are_left_stay_there(open_notebook):
    editor = opened(open_notebook, more=["'second'", "'third'"])
    notebook = editor.notebook
    for thing, field in [("symbol:b", "symbol"), ("add-symbol", "symbol")]:
        editor.click(editor.command(thing))
        expect(editor.field(field)).to_be_focused()
        notebook.press("Control+a", "d", "d")
        expect(editor.field(field)).to_have_value("dd")
        notebook.press("Escape")
        expect(editor.field(field)).to_be_hidden()
        assert editor.root.evaluate(INSIDE)
    editor.click(editor.key("c:0>1"))
    notebook.press("d", "d")
    expect(editor.field("step")).to_have_value("dd")
    notebook.press("Escape")
    expect(editor.field("step")).to_be_hidden()
    assert notebook.cell_count == 3
    assert notebook.ask("calls") == []


def test_escape_three_times_gives_lab_its_keys_back(open_notebook):
    editor = opened(open_notebook, more=["'second'"])
    notebook = editor.notebook
    for thing in (editor.field("pattern"), editor.key("w:2")):
        editor.click(editor.key("s:1"))
        editor.click(thing)
        notebook.press("Escape", "Escape", "Escape")
        assert editor.root.evaluate("root => root === document.activeElement")
    notebook.press("b")
    notebook.page.wait_for_function(f"() => ({lab.COUNT_CELLS})() === 3")


# Closing

CLOSING = """
import gc, weakref
import ipywidgets, torch
import shapekeeper as sk
from shapekeeper.widgets import GrammarEditor
models = ipywidgets.widgets.widget._instances
first = len(models)
"""
RUN_AGAIN = """
if "editor" in globals():
    editor.close()
editor = GrammarEditor("(ab)*c")
alive = weakref.ref(editor)
display(editor)
"""
CLOSED = """
editor.close()
del editor
"""


def test_closing_frees_the_widget_in_python_and_in_the_page(open_notebook):
    notebook = open_notebook([CLOSING, RUN_AGAIN, CLOSED], own_kernel=True)
    page = notebook.page
    notebook.run(0)
    counts = []
    for _ in range(3):
        notebook.run(1)
        editor = GrammarEditor(notebook, 1)
        editor.end("1")
        notebook.until("editor.automaton.ends", ["1", "2"])
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
