"""The grammar editor without a browser: what it takes, refuses, says, undoes, and leaves."""

import gc
import itertools
import json
import re
import shutil
import subprocess
import sys
import weakref
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets import TraitError

from shapekeeper.constraints import Automaton, ConstraintError, Grammar
from shapekeeper.widgets import GrammarEditor, drawing_widget, grammar_editor, grammar_words
from shapekeeper.widgets.drawn_automaton import DrawingError, DrawnAutomaton, DrawnState
from shapekeeper.widgets.drawn_places import arranged

pytest.importorskip("pyformlang")

FOLDER = Path(drawing_widget.__file__).parent
MODELS = ipywidgets.widgets.widget._instances
SVG = "{http://www.w3.org/2000/svg}"
PAIRS = Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2)
DRAWN = DrawnAutomaton.of(PAIRS, 9, True)
EXAMPLES = {name: drawn for name, (_, _, drawn) in grammar_editor.EXAMPLES.items()}


@pytest.fixture
def editor():
    editor = GrammarEditor(DRAWN)
    yield editor
    editor.close()


class Browser:
    """Sends edits as the browser does, and keeps what comes back."""

    def __init__(self, editor, monkeypatch):
        self.editor, self.sent, self.count = editor, [], 0
        monkeypatch.setattr(
            editor, "_send", lambda message, buffers=None: self.sent.append(message)
        )

    @property
    def drawing(self):
        return deepcopy(self.editor.get_state("automaton")["automaton"])

    def edit(self, change, **state):
        data = self.drawing
        change(data)
        return self.ask("edit", state={"automaton": data, **state})

    def ask(self, do, *, state=None, **more):
        self.count += 1
        command = {"do": do, "id": f"edit {self.count}", **more}
        self.sent.clear()
        self.editor.set_state({**(state or {}), "command": command})
        assert self.editor.facts["answered"] == f"edit {self.count}"

    @property
    def told(self):
        """Everything that came back, newest last."""
        told = {}
        for message in self.sent:
            if message["method"] == "update":
                told |= message["state"]
        return told


@pytest.fixture
def browser(editor, monkeypatch):
    return Browser(editor, monkeypatch)


def texts(editor):
    return [message["text"] for message in editor.messages]


def said(message):
    return f"{message['text']} {message['detail']}".strip()


def way(editor, label):
    ways = [way for message in editor.messages for way in message["ways"]]
    return next(way for way in ways if way["label"] == label)


# What it is given


def test_it_shows_what_it_is_given_and_gives_it_back():
    grammar = Grammar("(ab)*c", length=7)
    for shown, sizes, wanted in [
        (grammar, {}, grammar),
        (grammar, {"length": 9, "up_to": True}, Grammar("(ab)*c", length=9, up_to=True)),
        ("(ab)*c", {}, Grammar("(ab)*c", length=9, up_to=True)),
        ("(ab)*c", {"length": 5}, Grammar("(ab)*c", length=5)),
        (PAIRS, {"length": 5, "up_to": True}, Grammar("(ab)*c", length=5, up_to=True)),
        (DRAWN, {}, Grammar("(ab)*c", length=9, up_to=True)),
    ]:
        editor = GrammarEditor(shown, **sizes)
        assert editor.value == wanted
        assert repr(editor) == editor.code()
        editor.close()


def test_an_empty_editor_has_a_state_no_value_and_says_what_to_do_first():
    editor = GrammarEditor()
    assert editor.value is None
    assert (editor.automaton.names, editor.automaton.start) == (("0",), "0")
    assert [said(m) for m in editor.messages] == [
        "Nothing drawn yet. Drag the blue handle to make a step, then type a symbol."
    ]
    assert (
        editor.code()
        == "import shapekeeper as sk\n\ngrammar = None  # nothing with words is drawn\n"
    )
    editor.close()


def test_what_is_no_grammar_is_refused_in_words(editor):
    with pytest.raises(TypeError, match=r"Wanted a Grammar, a pattern .* got 5"):
        GrammarEditor(5)
    with pytest.raises(ConstraintError, match="Wanted a closing bracket"):
        GrammarEditor("(ab*c")
    with pytest.raises(DrawingError, match="Wanted a whole number from 1 to 200, got “0”"):
        GrammarEditor("ab", length=0)
    with pytest.raises(TraitError, match="expected a Grammar"):
        editor.value = "(ab)*c"
    assert editor.value.count == 5


GRAMMARS = [
    Grammar("(ab)*c", length=9, up_to=True),
    Grammar("(the|a) dog+", length=4),
    Grammar(r"(\(\))*", length=6),
    Grammar("b?a", length=2, up_to=True, alphabet=["b", "a", "z"]),
    Grammar.from_table({(0, "a"): 1, (1, "a"): 0}, start=0, ends=0, length=4),
    Grammar.from_table(
        {("even", "x"): "odd", ("odd", "x"): "even"},
        start="even",
        ends=["odd"],
        length=3,
        alphabet=["x", "y"],
    ),
    Grammar.from_words(["ab", "ba", "a"]),
    Grammar.from_words([("child", "pl"), ("dog",)], alphabet=["pl", "dog", "child"]),
    Grammar.from_rules({"S": ["( S )", "S S", "( )"]}, length=8),
    Grammar.from_rules({"A": ["x"], "S": ["A A", "A S"]}, start="S", length=4, up_to=True),
]


@pytest.mark.parametrize("grammar", GRAMMARS, ids=str)
def test_every_grammar_can_be_drawn_and_the_code_rebuilds_it(grammar, editor):
    editor.value = grammar
    assert editor.value is grammar
    assert editor.automaton.count == grammar.count
    assert editor.automaton.symbols == grammar.alphabet
    names = {}
    exec(editor.code(), names)
    assert names["grammar"] == grammar
    assert editor.facts["code"] == editor.code()
    editor.undo()
    assert editor.automaton == DRAWN
    editor.redo()
    assert editor.value == grammar


@pytest.mark.parametrize("grammar", GRAMMARS, ids=str)
def test_a_drawing_that_was_moved_only_keeps_its_value(grammar, monkeypatch):
    editor = GrammarEditor(grammar)
    browser = Browser(editor, monkeypatch)
    browser.edit(lambda data: data["states"][0].update(position=[8.0, 8.0]))
    assert editor.value is grammar
    assert editor.facts["undo"].endswith("moved.")
    editor.close()


@pytest.mark.parametrize("grammar", GRAMMARS, ids=str)
def test_a_drawing_says_the_same_words_as_its_grammar(grammar, monkeypatch):
    editor = GrammarEditor(grammar)
    browser = Browser(editor, monkeypatch)
    browser.edit(lambda data: data["symbols"].append("new"))
    assert set(editor.value.examples(500)) == set(grammar.examples(500))
    names = {}
    exec(editor.code(), names)
    assert names["grammar"] == editor.value
    editor.close()


# Edits from the browser


def connect(source, symbol, target):
    def change(data):
        if symbol not in data["symbols"]:
            data["symbols"].append(symbol)
        data["steps"].append([source, symbol, target])

    return change


def test_an_edit_changes_the_value_once_and_is_announced(editor, browser):
    calls = []
    editor.observe(lambda change: calls.append(change["name"]), ["automaton", "value"])
    browser.edit(connect("1", "a", "2"))
    assert sorted(calls) == ["automaton", "value"]
    assert "a" in {w[-1] for w in editor.value.examples(99)}
    assert browser.told["facts"]["said"]["text"] == "Step from 1 to 2 with a added. 9 words."
    assert browser.told["facts"]["undo"] == "Step from 1 to 2 with a added."


def test_what_python_assigns_reaches_the_browser_in_one_message(editor, browser):
    editor.value = Grammar("a*b", length=4)
    (message,) = browser.sent
    assert message["state"].keys() == {"automaton", "messages", "facts"}


UNCERTAIN = (
    "From state 0 two steps carry “a” (to 1 and to 2). A step must be certain; merge them or "
    "change a symbol."
)
REFUSED = {
    "two steps with one symbol": (connect("0", "a", "2"), None, UNCERTAIN),
    "length 0": (
        lambda d: d.update(length=0),
        "length",
        "Wanted a whole number from 1 to 200, got “0”.",
    ),
    "length in words": (
        lambda d: d.update(length="many"),
        "length",
        "Wanted a whole number from 1 to 200, got “many”.",
    ),
    "symbol taken": (
        lambda d: d["symbols"].append("a"),
        "symbol",
        "Wanted a symbol of its own, got “a”, which is there already. Take another one.",
    ),
    "symbol with a blank": (
        lambda d: d["symbols"].append("a b"),
        "symbol",
        "Wanted a symbol without blanks, got “a b”. Any character or word will do.",
    ),
    "padding as a symbol": (
        lambda d: d["symbols"].append("·"),
        "symbol",
        "Wanted another symbol, got “·”, which stands for padding. Any other character or word "
        "will do.",
    ),
    "loose end": (connect("0", "d", "7"), None, "Wanted steps between states, got one at “7”."),
    "no state": (
        lambda d: d.update(states=[], steps=[], start=None),
        None,
        "Wanted at least one state, got none.",
    ),
    "start elsewhere": (
        lambda d: d.update(start="7"),
        None,
        "Wanted a start among the states, got “7”.",
    ),
}


@pytest.mark.parametrize(("change", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_edit_is_put_back_with_its_words(editor, browser, change, field, words):
    editor.automaton = DRAWN.wanting(7, True)
    editor.undo()
    editor.selected = ["s:1"]
    before = {name: editor.facts[name] for name in ("undo", "redo", "code", "count", "words")}
    good, value = browser.drawing, editor.value
    browser.edit(change, selected=["s:0"])
    assert (editor.automaton, editor.value, editor.selected) == (DRAWN, value, ["s:1"])
    assert browser.told["automaton"] == good
    first = editor.messages[0]
    assert (said(first), first.get("field")) == (words, field)
    assert first["refused"] == editor.facts["answered"]
    assert editor.facts["said"] == {**editor.facts["said"], "text": words, "refused": True}
    assert before == {name: editor.facts[name] for name in before}


def test_of_two_steps_with_one_symbol_the_new_one_can_be_taken(editor, browser):
    browser.edit(connect("0", "a", "2"))
    assert [w["label"] for w in editor.messages[0]["ways"]] == ["Lead a to 2 instead", "Show me"]
    browser.ask("edit", state={"automaton": way(editor, "Lead a to 2 instead")["drawing"]})
    assert editor.automaton.target("0", "a") == "2"
    assert editor.facts["undo"] == "From 0, a now leads to 2."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [
    (),
    *((key,) for key in DRAWN.to_json()),
    ("states", 1),
    *(("states", 1, key) for key in DRAWN.to_json()["states"][0]),
    ("steps", 0),
    ("steps", 0, 1),
    ("symbols", 0),
]


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), junk=JSON)
def test_whatever_the_browser_sends_is_a_drawing_or_is_refused(place, junk):
    data = DRAWN.to_json()
    if place:
        inner = data
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = junk
    else:
        data = junk
    try:
        wanted = DrawnAutomaton.from_json(data)
    except DrawingError:
        wanted = None
    editor = GrammarEditor(DRAWN)
    editor.set_state({"automaton": data, "command": {"do": "edit", "id": "junk"}})
    if wanted is None:
        assert editor.automaton == DRAWN
    else:
        assert replace(editor.automaton, pattern=None) == replace(wanted, pattern=None)
    assert any("refused" in message for message in editor.messages) == (wanted is None)
    json.dumps([editor.messages, editor.facts])
    editor.close()


EDITS = [
    (lambda d: d["states"].append({"name": "3", "position": [8, 8]}), "State 3 added."),
    (connect("2", "a", "2"), "Step from 2 to 2 with a added."),
    (lambda d: d["steps"].remove(["1", "b", "0"]), "Step from 1 to 0 with b removed."),
    (lambda d: d.update(start="1"), "Words begin at 1."),
    (lambda d: d.update(start=None), "No start."),
    (lambda d: d["states"][0].update(end=True), "Words may end in 0."),
    (lambda d: d["states"][2].update(end=False), "Words may not end in 2."),
    (lambda d: d["symbols"].append("dog"), "Symbol dog added."),
    (lambda d: d.update(length=1), "Words of at most 1 symbol."),
    (lambda d: d.update(up_to=False), "Words of exactly 9 symbols."),
    (lambda d: d["symbols"].reverse(), "Symbols in the order c, b, a."),
    (lambda d: d["states"][0].update(position=[8.0, 8.0]), "State 0 moved."),
    (
        lambda d: d.update(
            symbols=["a", "b", "z"], steps=[["0", "a", "1"], ["1", "b", "0"], ["0", "z", "2"]]
        ),
        "Symbol c is now called z.",
    ),
    (
        lambda d: d.update(symbols=["a", "b"], steps=[["0", "a", "1"], ["1", "b", "0"]]),
        "Step from 0 to 2 with c removed. Symbol c removed.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "words"), EDITS, ids=[words for _, words in EDITS])
def test_every_edit_is_told_undone_and_redone(editor, browser, edit, words):
    value = editor.value
    browser.edit(edit)
    after, changed = editor.automaton, editor.value
    assert editor.facts["undo"] == words
    assert editor.facts["said"]["text"].startswith(words)
    browser.ask("undo")
    assert (editor.automaton, editor.value) == (DRAWN, value)
    assert editor.facts["said"]["text"] == f"Undone: {words[0].lower()}{words[1:]}"
    browser.ask("redo")
    assert (editor.automaton, editor.value) == (after, changed)


def test_removing_a_state_with_steps_offers_to_take_it_back(editor, browser):
    def remove(data):
        del data["states"][1]
        data["steps"] = [["0", "c", "2"]]

    browser.edit(remove)
    assert texts(editor)[0] == "Removed state 1 and 2 steps."
    assert editor.messages[0]["ways"] == [{"label": "Undo", "do": "undo"}]
    browser.ask("undo")
    assert editor.automaton == DRAWN


# The value


def test_the_value_is_the_last_drawing_that_had_words(editor, browser):
    value = editor.value
    browser.edit(lambda d: d["states"][2].update(end=False))
    assert editor.value is value
    assert texts(editor) == ["No state may end."]
    assert (
        editor.code()
        == 'import shapekeeper as sk\n\ngrammar = sk.Grammar("(ab)*c", length=9, up_to=True)\n'
    )
    browser.edit(lambda d: d["states"][1].update(end=True))
    assert {w[-1] for w in editor.value.examples(99)} == {"a"}
    browser.ask("undo")
    browser.ask("undo")
    assert editor.value == value


def test_a_value_is_a_constraint_that_a_layer_can_hold(editor):
    scores = torch.randn(16, *editor.value.shape, generator=torch.Generator().manual_seed(0))
    words = editor.value.decode(editor.value.project(scores))
    assert set(words) <= set(editor.value.examples(5))


# Messages


def test_no_words_of_a_length_and_every_way_out_has_some(editor, browser):
    browser.edit(lambda d: d.update(length=8, up_to=False))
    (message,) = editor.messages
    assert said(message) == (
        "No word has exactly 8 symbols. Wanted at least one word, got none; lengths that have "
        "words: 1, 3, 5, 7, 9, …"
    )
    assert [w["label"] for w in message["ways"]] == ["Use 7", "Use 9", "Allow up to 8"]
    assert editor.facts["count"] == "0"
    counts = {}
    for found in message["ways"]:
        browser.ask("edit", state={"automaton": found["drawing"]})
        counts[found["label"]] = editor.value.count, editor.value.length
        browser.ask("undo")
    assert counts == {"Use 7": (1, 7), "Use 9": (1, 9), "Allow up to 8": (4, 8)}


def test_a_finite_language_lists_its_lengths_without_going_on():
    editor = GrammarEditor(Automaton({(0, "a"): 1, (1, "a"): 2}, start=0, ends=2), length=1)
    assert said(editor.messages[0]) == (
        "No word has exactly 1 symbol. Wanted at least one word, got none; lengths that have "
        "words: 2."
    )
    assert [w["label"] for w in editor.messages[0]["ways"]] == ["Use 2"]
    editor.close()


def test_a_single_word_is_a_warning_with_a_way_out(editor, browser):
    browser.edit(lambda d: d.update(up_to=False))
    (message,) = editor.messages
    assert message["kind"] == "warn"
    assert said(message) == (
        "1 word: the layer could only ever say ababababc. Allow other lengths, or widen the "
        "pattern."
    )
    assert [w["label"] for w in message["ways"]] == ["Allow up to 9"]
    assert editor.value.count == 1


LEFT_OUT = {
    "stuck": (
        {"steps": (*DRAWN.steps, ("2", "a", "3"))},
        "State 3 cannot reach an end. It is left out of the words.",
    ),
    "unreachable": (
        {"steps": (*DRAWN.steps, ("3", "a", "2"))},
        "State 3 cannot be reached from the start. It is left out of the words.",
    ),
}


@pytest.mark.parametrize(("changes", "words"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_states_that_are_in_no_word_are_named_and_shown(editor, changes, words):
    states = (*DRAWN.states, DrawnState("3", (400.0, 40.0)))
    editor.automaton = replace(DRAWN, states=states, **changes)
    first = editor.messages[0]
    assert (said(first), first["kind"], first["states"]) == (words, "warn", ["3"])
    assert first["ways"] == [{"label": "Show me", "do": "show", "key": "s:3"}]
    assert editor.value.count == 5


def test_a_state_without_steps_is_no_fault(editor):
    states = (*DRAWN.states, DrawnState("3", (400.0, 40.0)))
    editor.automaton = replace(DRAWN, states=states)
    assert [m["kind"] for m in editor.messages] == ["info", "good"]
    assert editor.value.count == 5


def test_what_is_missing_is_offered(editor, browser):
    browser.edit(lambda d: d.update(start=None))
    assert said(editor.messages[0]) == "No start. Wanted one state where words begin, got none."
    browser.ask("edit", state={"automaton": way(editor, "Start at 0")["drawing"]})
    assert editor.automaton == DRAWN
    browser.edit(lambda d: d["states"][2].update(end=False))
    browser.ask("edit", state={"automaton": way(editor, "Let 2 end")["drawing"]})
    assert editor.automaton == DRAWN


def test_an_end_that_the_start_does_not_reach(editor, browser):
    browser.edit(lambda d: d["steps"].remove(["0", "c", "2"]))
    assert texts(editor)[0] == "The start reaches no end."
    assert editor.value.count == 5


# Pattern and drawing


def test_whichever_was_edited_last_leads(editor, browser):
    assert (editor.automaton.pattern, editor.facts["pattern"]) == (None, "(ab)*c")
    browser.ask("pattern", text="a(b|c)*")
    assert editor.automaton.pattern == "a(b|c)*"
    assert editor.code() == (
        'import shapekeeper as sk\n\ngrammar = sk.Grammar("a(b|c)*", length=9, up_to=True)\n'
    )
    browser.edit(lambda d: d["states"][0].update(position=[8.0, 8.0]))
    assert editor.automaton.pattern == "a(b|c)*", "a move changes no word"
    browser.edit(lambda d: d["states"][0].update(end=True))
    assert editor.automaton.pattern is None
    assert editor.facts["pattern"] == "(a(b|c)*)?"
    browser.ask("undo")
    assert editor.automaton.pattern == "a(b|c)*"


def test_a_pattern_that_cannot_be_read_is_refused_with_a_caret(editor, browser):
    browser.ask("pattern", text="(ab*c")
    first = editor.messages[0]
    assert first["text"] == "Wanted a closing bracket, got the end of “(ab*c”."
    assert first["caret"] == "(ab*c\n     ^"
    assert (first["field"], first["got"]) == ("pattern", "(ab*c")
    assert editor.facts["said"]["refused"]
    assert (editor.automaton, editor.facts["undo"]) == (DRAWN, "")
    browser.ask("pattern", text="(ab)*c")
    assert not any("refused" in message for message in editor.messages)


def test_any_symbol_is_any_of_those_that_are_drawn(editor, browser):
    browser.ask("pattern", text="a.")
    assert {"".join(w) for w in editor.value.examples(9)} == {"aa", "ab", "ac"}
    browser.ask("pattern", text="x.")
    assert {"".join(w) for w in editor.value.examples(9)} == {"xx"}


def test_words_as_symbols(editor, browser):
    browser.ask("pattern", text="(the|a) dog+")
    assert editor.automaton.symbols == ("a", "dog", "the")
    browser.edit(lambda d: d.update(length=2, up_to=False))
    assert editor.facts["words"] == [["a", "dog"], ["the", "dog"]]


def test_a_drawing_whose_pattern_is_long_is_written_as_a_table_with_the_pattern_beside_it(editor):
    steps = {(i, symbol): (3 * i + j) % 5 for i in range(5) for j, symbol in enumerate("abc")}
    editor.automaton = DrawnAutomaton.of(Automaton(steps, start=0, ends=[2]), 6, False)
    assert editor.facts["pattern"] == "(long)"
    code = editor.code()
    (pattern,) = re.findall(r"^# as a pattern: (.*)$", code, re.M)
    names = {}
    exec(code, names)
    assert names["grammar"] == editor.value
    assert "from_table" in code
    assert Automaton.from_pattern(pattern).counts(7) == editor.automaton.counts(7)


WITHOUT = """
import sys
sys.modules["pyformlang"] = None
from shapekeeper.constraints import Automaton
from shapekeeper.widgets import GrammarEditor
drawn = Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2)
editor = GrammarEditor(drawn, length=9, up_to=True)
names = {}
exec(editor.code(), names)
assert names["grammar"] == editor.value and editor.value.count == 5
assert editor.facts["pattern"] == "(ab)*c"
print(editor.facts["reads"])
editor.set_state({"command": {"do": "pattern", "id": "1", "text": "ab"}})
assert "pyformlang" in editor.messages[0]["text"] and editor.automaton.count == 5
"""


def test_without_pyformlang_the_drawing_works_and_the_field_says_so():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == grammar_words.NO_READER


# Numbers


@pytest.mark.parametrize("drawn", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("up_to", [False, True])
def test_counts_are_those_of_trying_every_string(drawn, up_to):
    def accepts(word):
        state = drawn.start
        for symbol in word:
            state = drawn.target(state, symbol)
        return state in drawn.ends

    per_length = [
        sum(map(accepts, itertools.product(drawn.symbols, repeat=n))) for n in range(1, 7)
    ]
    editor = GrammarEditor(drawn, length=6, up_to=up_to)
    assert [int(entry["count"]) for entry in editor.facts["chart"][:6]] == per_length
    wanted = sum(per_length) if up_to else per_length[5]
    assert editor.facts["count"] == str(wanted)
    k = len(drawn.symbols)
    strings = sum(k**n for n in range(1, 7)) if up_to else k**6
    assert editor.facts["strings"] == grammar_words.counted(strings)
    editor.close()


def test_numbers_are_exact_up_to_a_million():
    counted = grammar_words.counted
    assert counted(29_523) == "29\u202f523"
    assert counted(10**6) == "1\u202f000\u202f000"
    assert counted(10**6 + 1) == "1.0 × 10⁶"
    assert counted(4_596_876_543_210) == "4.6 × 10¹²"
    assert counted(9_990_000_000) == "1.0 × 10¹⁰"
    assert counted(3**300) == "1.4 × 10¹⁴³"


def test_a_very_large_language_is_counted_and_sampled():
    editor = GrammarEditor("[abcdefghij]*", length=120)
    assert editor.facts["count"] == "1.0 × 10¹²⁰"
    assert editor.facts["room"] == "1.0 × 10¹²⁰ words to choose from: 399 bits"
    assert len(editor.facts["words"]) == 6
    json.dumps(editor.facts)
    editor.close()


def test_room_left_for_learning(editor, browser):
    assert editor.facts["room"] == "5 words to choose from: 2.3 bits"
    browser.edit(lambda d: d.update(length=9, up_to=False))
    assert editor.facts["room"] == "1 word to choose from: 0 bits"
    browser.edit(lambda d: d.update(length=8))
    assert editor.facts["room"] == "None: the layer would have no value to take"


def test_all_words_by_length_or_samples_that_the_dice_changes(editor, browser):
    assert ["".join(w) for w in editor.facts["words"]] == [
        *("c", "abc", "ababc", "abababc", "ababababc"),
    ]
    assert editor.facts["all"]
    browser.ask("pattern", text="[ab]*")
    first = editor.facts["words"]
    assert not editor.facts["all"]
    assert len({tuple(word) for word in first}) == 6
    browser.ask("dice")
    assert editor.facts["words"] != first
    assert all(editor.value.allows(editor.value.encode(editor.facts["words"])))


# A word to try


def distance(word, words):
    return min(sum(a != b for a, b in zip(word, other, strict=True)) for other in words)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_number_to_change_is_the_distance_to_the_nearest_word(name, monkeypatch):
    drawn = EXAMPLES[name].wanting(6 if name != "sentence" else 3, name == "pairs")
    editor = GrammarEditor(drawn)
    browser = Browser(editor, monkeypatch)
    length, pad = drawn.length, "·"
    words = [tuple(word) + (pad,) * (length - len(word)) for word in editor.value.examples(999)]
    alphabet = [*drawn.symbols, None] if drawn.up_to else list(drawn.symbols)
    generator = np.random.default_rng(0)
    for _ in range(60):
        word = [alphabet[i] for i in generator.integers(len(alphabet), size=length)]
        if not any(word):
            continue
        browser.ask("try", word=word)
        filled = [pad if symbol is None else symbol for symbol in word]
        least = distance(filled, words)
        assert len(editor.facts["wrong"]) == least
        wanted = "This is a word" if least == 0 else f"{least} symbol{'s' * (least > 1)} to change"
        assert editor.facts["verdict"].startswith(wanted)
        changed = list(filled)
        if least <= 3:
            for slot, got, best in re.findall(
                r"slot (\d+), (\S+) → (\S+?)(?:;|$)", editor.facts["verdict"]
            ):
                assert filled[int(slot) - 1] == got
                changed[int(slot) - 1] = best
            assert tuple(changed) in words
    editor.close()


def test_a_word_that_is_not_finished_is_judged_as_far_as_it_goes(editor, browser):
    browser.edit(lambda d: d.update(up_to=False))
    browser.ask("try", word=["a", "b", *[None] * 7])
    assert editor.facts["verdict"] == "Right so far; 7 slots to fill."
    browser.ask("try", word=["a", "c", *[None] * 7])
    assert editor.facts["verdict"] == "1 symbol to change: slot 2, c → b"
    assert editor.facts["said"]["text"] == editor.facts["verdict"]


def test_a_tried_word_follows_the_drawing(editor, browser):
    browser.ask("try", word=["a", "b", "c"])
    assert editor.facts["tried"] == ["a", "b", "c", *[None] * 6]
    browser.edit(lambda d: d.update(length=2))
    assert editor.facts["tried"] == ["a", "b"]
    browser.ask("pattern", text="b*")
    assert editor.facts["tried"] == [None, "b"]
    browser.ask("try", word=["nonsense", 5, {}, "b"])
    assert editor.facts["tried"] == [None, None]
    assert editor.facts["verdict"] == ""


# Places


def test_the_layout_is_repeatable_and_lets_no_states_overlap():
    generator = np.random.default_rng(0)
    for _ in range(40):
        states, symbols = int(generator.integers(1, 12)), "abc"
        steps: dict[tuple[int | str, str], int | str] = {
            (s, symbol): int(generator.integers(states))
            for s in range(states)
            for symbol in symbols
            if generator.random() < 0.6
        }
        drawn = DrawnAutomaton.of(Automaton(steps, start=0, ends=[0]), 4, False)
        assert drawn == DrawnAutomaton.of(Automaton(steps, start=0, ends=[0]), 4, False)
        places = [state.position for state in drawn.states]
        gaps = [np.hypot(*np.subtract(p, q)) for p, q in itertools.combinations(places, 2)]
        assert min(gaps, default=99) >= 48 + 24


def test_a_step_in_the_layout_is_longer_than_its_chip():
    places = arranged(["0", "1", "2"], {("0", "1"): 200.0, ("1", "2"): 24.0}, "0")
    assert places["1"][0] - places["0"][0] - 48 > 200
    assert places["2"][0] - places["1"][0] - 48 > 24


def test_states_without_a_place_get_a_free_one(editor, browser):
    browser.edit(lambda d: d["states"].append({"name": "3", "end": False}))
    *others, new = [state.position for state in editor.automaton.states]
    assert all(np.hypot(*np.subtract(new, other)) >= 80 for other in others)


# Examples, closing, pages without a front end


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_open_and_can_be_taken_back(editor, browser, name):
    browser.ask("example", name=name)
    assert editor.automaton == EXAMPLES[name]
    assert editor.messages[-1]["kind"] == "good"
    browser.ask("undo")
    assert editor.automaton == DRAWN


def test_examples_are_what_their_titles_say():
    assert {"".join(w) for w in GrammarEditor(EXAMPLES["pairs"]).value.examples(9)} == {
        *("c", "abc", "ababc", "abababc", "ababababc"),
    }
    brackets = GrammarEditor(EXAMPLES["brackets"]).value
    depths = [
        list(itertools.accumulate(1 if s == "(" else -1 for s in w)) for w in brackets.examples(99)
    ]
    assert {max(depth) for depth in depths} == {1, 2, 3}
    assert all(min(depth) == 0 and depth[-1] == 0 for depth in depths)
    sentences = GrammarEditor(EXAMPLES["sentence"]).value.examples(9)
    assert {s[:2] for s in sentences} == {("child", "sees"), ("children", "see")}


def test_closing_leaves_no_model_and_no_object():
    before = set(MODELS)
    editor = GrammarEditor("(ab)*c")
    assert len(MODELS) > len(before)
    editor.automaton = DRAWN
    gone = weakref.ref(editor)
    editor.close()
    assert set(MODELS) == before
    del editor
    gc.collect()
    assert gone() is None


STRANGE = DrawnAutomaton(
    (DrawnState("<0>", (40.0, 40.0)), DrawnState("&", (900.0, 300.0), True)),
    (("<0>", '"<&>"', "&"), ("&", "ä", "&")),
    "<0>",
    ('"<&>"', "ä"),
    2,
    True,
)


@pytest.mark.parametrize(
    "drawn",
    [*EXAMPLES.values(), STRANGE, DrawnAutomaton.empty(), replace(DRAWN, start=None)],
    ids=[*EXAMPLES, "strange", "empty", "no start"],
)
def test_the_picture_is_valid_and_complete(drawn):
    editor = GrammarEditor(drawn)
    data, _ = editor._repr_mimebundle_()
    assert data["text/plain"] == editor.code()
    root = ElementTree.fromstring(data["image/svg+xml"])
    rims = len(drawn.names) + len(drawn.ends)
    assert len(list(root.iter(f"{SVG}circle"))) == rims
    arrows = {(source, target) for source, _, target in drawn.steps}
    begins = drawn.start is not None
    assert len(list(root.iter(f"{SVG}path"))) == 2 * (len(arrows) + begins)
    assert set(drawn.names) <= {node.text for node in root.iter(f"{SVG}text")}
    left, top, width, height = map(float, root.get("viewBox").split())
    for circle in root.iter(f"{SVG}circle"):
        assert left <= float(circle.get("cx")) <= left + width
        assert top <= float(circle.get("cy")) <= top + height
    editor.close()


# The module as text


def script():
    return GrammarEditor._esm


def test_the_module_reads_and_writes_exactly_the_synced_traits():
    found = {a or b for a, b in re.findall(r'model\.(?:get|set)\("(\w+)"|change:(\w+)', script())}
    found |= set(re.findall(r'conversation\(model, "(\w+)"\)', script()))
    own = set(GrammarEditor.class_traits(sync=True)) - set(
        ipywidgets.DOMWidget.class_traits(sync=True)
    )
    assert found == {name for name in own if not name.startswith("_")}


def test_the_module_is_one_plain_es_module_that_shares_nothing_between_pages():
    assert re.findall(r"^export .*", script(), re.M) == ["export default function () {"]
    assert not re.search(r"^import |\bimport\(|require\(", script(), re.M)
    assert set(re.findall(r"https?://[^\"' ]+", script())) == {"http://www.w3.org/2000/svg"}
    assert isinstance(script(), str), "anywidget watches a path, and never lets the widget go"


def test_every_element_is_made_where_the_notebook_keys_are_kept_off_it():
    made = re.findall(r"createElement\w*|innerHTML|insertAdjacentHTML|cloneNode", script())
    assert sorted(made) == ["cloneNode", "createElement", "createElementNS"]
    assert re.findall(r"(\w+)\.tabIndex", script()) == ["root"], "only the frame lets keys through"


def test_the_names_tests_hold_on_to_are_in_the_module():
    top = (FOLDER / "grammar_editor.js").read_text(encoding="utf-8")
    listed = re.search(r"^// The grammar editor.*?^(?!//)", top, re.S | re.M)[0]
    commands = re.search(r'data-cmd="([^"]+)"', listed)[1].replace("\n//", "").replace(" ", "")
    for command in commands.split("|"):
        assert re.search(rf"[\"`]{command.split(':')[0]}\b", script()), command
    for field in re.search(r'data-field="([^"]+)"', listed)[1].split("|"):
        assert re.search(rf'(name: |"data-field": )"{field}"', script()), field
    for name in re.findall(r'data-testid="([\w-]+)"', listed):
        assert f'"{name}"' in script(), name


# Edits and reading, in node


def in_node(expression):
    """The value of an expression over the functions of grammar_graph.js."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    text = drawing_widget.source("curves.js", "grammar_graph.js")
    drawn = f"const drawn = {json.dumps(DRAWN.to_json())};"
    program = f"{text}\n{drawn}\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        ["node", "--input-type=module"], input=program, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_edits_in_the_browser_are_drawings_again():
    edits = {
        "addState(drawn, '3', {x: 8, y: 16})": lambda d: d.names == ("0", "1", "2", "3"),
        "addSteps(drawn, '1', '2', ['b2', 'a', 'a'])": lambda d: (
            d.target("1", "a") == d.target("1", "b2") == "2" and d.symbols[-1] == "b2"
        ),
        "withSymbols(drawn, '0', '1', ['x'])": lambda d: (
            d.target("0", "x") == "1" and d.target("0", "a") is None
        ),
        "withTarget(drawn, '0', 'a', '2')": lambda d: d.target("0", "a") == "2",
        "withTarget(drawn, '0', 'a', null)": lambda d: d.target("0", "a") is None,
        "without(drawn, ['s:0'])": lambda d: d.start is None and d.steps == (),
        "without(drawn, ['p:0>1', 's:2'])": lambda d: d.steps == (("1", "b", "0"),),
        "without(drawn, ['s:0', 's:1', 's:2'])": lambda d: (d.names, d.start) == (("0",), "0"),
        "renameSymbol(drawn, 'a', 'dog')": lambda d: (
            d.symbols == ("dog", "b", "c") and d.target("0", "dog") == "1"
        ),
        "removeSymbol(drawn, 'b')": lambda d: d.symbols == ("a", "c") and len(d.steps) == 2,
    }
    for expression, holds in edits.items():
        assert holds(DrawnAutomaton.from_json(in_node(expression))), expression


def test_the_browser_draws_exactly_what_python_takes():
    changes = [*(change for change, *_ in REFUSED.values()), *(change for change, _ in EDITS)]
    for change in changes:
        data = DRAWN.to_json()
        change(data)
        try:
            DrawnAutomaton.from_json(data)
            good = True
        except DrawingError:
            good = False
        assert in_node(f"isWellFormed({json.dumps(data)})") == good, data


def test_a_walk_goes_where_the_automaton_goes():
    assert in_node("walkOf(readScene(drawn), ['a', 'b', 'c'])") == ["0", "1", "0", "2"]
    assert in_node("walkOf(readScene(drawn), ['a', 'c', 'c'])") == ["0", "1"]


def test_symbols_of_an_arrow_are_one_chip():
    assert in_node("chipText(['a', 'b', 'c'])") == "a, b, c"
    assert in_node("chipText(['a', 'b', 'c', 'd'])") == "4 symbols"
    assert in_node("symbolsIn(' a, b  dog,,a ')") == ["a", "b", "dog"]
