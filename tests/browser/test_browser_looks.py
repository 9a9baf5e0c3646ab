"""What can be seen and hit: sizes, contrast, zoom, and pictures to look at."""

import os
from pathlib import Path

import pytest
import sight
from grammar_editor import EMPTY, PAIRS, GrammarEditor
from grammar_editor import START as GRAMMAR
from playwright.sync_api import expect
from region_editor import Editor
from test_browser_grammar_editor import FACES

EDITOR = """
import shapekeeper as sk
from shapekeeper.widgets import RegionGraphEditor
editor = RegionGraphEditor({graph})
editor
"""
THEMES = ("Light", "Dark")


def shown(open_notebook, graph="sk.regions.with_memory()", **window) -> Editor:
    notebook = open_notebook([EDITOR.format(graph=graph)], **window)
    notebook.page.emulate_media(reduced_motion="reduce")
    notebook.run(0)
    return Editor(notebook, 0)


def states(editor: Editor):
    """The faces of the editor, one after the other, each with its name."""
    yield "nothing selected"
    editor.click(editor.key("r:association"))
    yield "a region selected"
    editor.write("size", "0")
    yield "a field refused"
    editor.notebook.press("Escape", "Escape", "Escape")
    editor.click(editor.key("c:visual>association"))
    yield "a pathway selected"
    editor.click(editor.command("code"))
    yield "the code"
    editor.click(editor.command("code"))
    editor.click(editor.command("matrix"))
    yield "the matrix"
    editor.click(editor.command("map"))
    editor.click(editor.command("help"))
    yield "the keys"
    editor.notebook.press("Escape")
    editor.notebook.execute("editor.value = editor.value.without_pathway('association', 'motor')")
    editor.root.locator('[data-cmd^="way:"]').first.wait_for()
    yield "an unfinished graph"
    editor.notebook.execute("editor.value = sk.RegionGraph()")
    editor.root.locator('[data-cmd^="example:"]').first.wait_for()
    yield "nothing drawn"


@pytest.mark.parametrize("width", [860, 600])
def test_nothing_that_takes_a_click_is_under_24_pixels(open_notebook, width):
    editor = shown(open_notebook)
    editor.widen(width)
    for state in states(editor):
        assert sight.small_targets(editor.root) == [], state


# What has to be told from its ground: outlines, lines, arrowheads, icons, fields, cells.
MARKS = {
    "nothing selected": ".sk-disc, .sk-line, .sk-head, .sk-dock-line, .sk-dock-head, .sk-icon path",
    "a region selected": ".sk-disc, .sk-line, .sk-head, .sk-knob, .sk-icon path, input[type=text]",
    "a pathway selected": ".sk-selected > .sk-line, .sk-selected > .sk-head, input[type=text]",
    "the matrix": ".sk-found .sk-fill, .sk-inside .sk-fill, .sk-open-box",
    "an unfinished graph": ".sk-culprit > .sk-disc, .sk-badge circle, .sk-bad > .sk-icon path",
}


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_stand_out(open_notebook, theme):
    editor = shown(open_notebook, height=1400)
    editor.notebook.theme(theme)
    pale = {}
    for state in states(editor):
        pale[state] = sight.pale_texts(editor.root)
        if state in MARKS:
            pale[state] += sight.pale_marks(editor.root, MARKS[state])
    assert {state: found for state, found in pale.items() if found} == {}


def test_no_sideways_scroll_at_200_percent(open_notebook):
    # Twice as large on the same screen: half as many CSS pixels, two device pixels each.
    editor = shown(open_notebook, width=640, height=500, scale=2)
    for state in states(editor):
        wide = editor.root.evaluate(WIDER)
        assert wide == [], state


WIDER = """root => {
  const wide = [];
  for (let e = root; e; e = e.parentElement)
    if (e.scrollWidth > e.clientWidth + 1)
      wide.push(`${e.className}: ${e.scrollWidth} in ${e.clientWidth}`);
  return wide;
}"""

GRAPHS = {
    3: "sk.regions.sense_and_act()",
    12: "sk.regions.macaque_visual()",
    40: "sk.regions.small_world(modules=8, regions=5)",
}


def test_pictures_to_look_at(open_notebook):
    folder = os.environ.get("SHAPEKEEPER_SCREENSHOTS")
    if not folder:
        pytest.skip("set SHAPEKEEPER_SCREENSHOTS to a folder to get pictures of the editor")
    editor = shown(open_notebook, scale=2)
    for theme in THEMES:
        editor.notebook.theme(theme)
        for count, graph in GRAPHS.items():
            editor.notebook.execute(f"editor.value = {graph}")
            expect(editor.root).to_contain_text(f"{count} regions")
            sight.still(editor.page)
            editor.root.screenshot(path=Path(folder) / f"editor-{count}-{theme.lower()}.png")


# The grammar editor


def grammar_states(editor: GrammarEditor):
    """The faces of the grammar editor, one after the other, each with its name."""
    for face, (show, _) in FACES.items():
        show(editor)
        yield face
        editor.notebook.run(0)
    editor.click(editor.command("walk:1"))
    editor.notebook.press("ArrowRight")
    yield "walking"
    editor.click(editor.key("s:1"))
    editor.notebook.press("p", "x")
    yield "a step waiting for its symbol"
    editor.notebook.press("Escape")
    editor.notebook.execute(
        "editor.automaton = start.from_json({**start.to_json(), 'pattern': None, 'steps':"
        " [*map(list, start.steps), ['0', 'b', '3']], 'states':"
        " [*start.to_json()['states'], {'name': '3', 'position': [480, 60]}]})"
    )
    editor.says("cannot reach an end")
    yield "a stuck state"
    editor.notebook.execute("editor.value = sk.Grammar('(the|a) dog+', length=6)")
    editor.says("2 words")
    yield "words as symbols"


def shown_grammar(open_notebook, cell=PAIRS, **window) -> GrammarEditor:
    notebook = open_notebook([cell], **window)
    notebook.page.emulate_media(reduced_motion="reduce")
    notebook.run(0)
    return GrammarEditor(notebook, 0)


@pytest.mark.parametrize("width", [860, 600])
def test_nothing_in_the_grammar_editor_is_under_24_pixels(open_notebook, width):
    editor = shown_grammar(open_notebook, height=1400)
    editor.widen(width)
    for state in grammar_states(editor):
        assert sight.small_targets(editor.root) == [], state


GRAMMAR_MARKS = {
    "nothing selected": ".sk-disc, .sk-rim, .sk-line, .sk-head, .sk-dock-line, .sk-dock-head, "
    ".sk-taken .sk-bar-fill, .sk-icon path, input[type=text]",
    "a state selected": ".sk-disc, .sk-knob, .sk-chip rect:not(.sk-hit)",
    "a step selected": ".sk-selected > .sk-line, .sk-selected > .sk-head, input[type=text]",
    "a word tried": ".sk-try .sk-slot, .sk-wrong",
    "the table": "input[type=text]",
    "no words": ".sk-bar-fill, .sk-missed > input, .sk-bad > .sk-icon path",
    "walking": ".sk-lit > .sk-disc, .sk-walked > .sk-line, .sk-walked > .sk-head",
    "a stuck state": ".sk-culprit > .sk-disc, .sk-badge circle",
}


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_of_the_grammar_editor_stand_out(open_notebook, theme):
    editor = shown_grammar(open_notebook, height=1400)
    editor.notebook.theme(theme)
    pale = {}
    for state in grammar_states(editor):
        editor.page.mouse.move(2, 2)
        pale[state] = sight.pale_texts(editor.root)
        if state in GRAMMAR_MARKS:
            pale[state] += sight.pale_marks(editor.root, GRAMMAR_MARKS[state])
    assert {state: found for state, found in pale.items() if found} == {}


def test_the_grammar_editor_has_no_sideways_scroll_at_200_percent(open_notebook):
    editor = shown_grammar(open_notebook, width=640, height=500, scale=2)
    for state in grammar_states(editor):
        assert editor.root.evaluate(WIDER) == [], state


GRAMMARS = {
    "empty": EMPTY,
    "abstar-c": PAIRS,
    "no-words": GRAMMAR.format(arguments="'(ab)*c', length=8"),
    "many": GRAMMAR.format(arguments="'(a|b)*abb(c|d|e|f)?', length=12, up_to=True"),
    "sentence": GRAMMAR.format(arguments="'(child sees|children see) (child|children)', length=3"),
    "large": GRAMMAR.format(arguments="'([abc]d|e[fg]*h)*', length=40"),
    "rules": GRAMMAR.format(
        arguments="sk.Grammar.from_rules({'S': ['( S )', 'S S', '( )']}, length=10)"
    ),
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_pictures_of_the_grammar_editor_to_look_at(open_notebook, name):
    folder = os.environ.get("SHAPEKEEPER_SCREENSHOTS")
    if not folder:
        pytest.skip("set SHAPEKEEPER_SCREENSHOTS to a folder to get pictures of the editor")
    editor = shown_grammar(open_notebook, GRAMMARS[name], scale=2)
    for theme in THEMES:
        editor.notebook.theme(theme)
        for view in ("drawing", "table"):
            editor.click(editor.command(view))
            editor.page.mouse.move(2, 2)
            sight.still(editor.page)
            path = Path(folder) / f"grammar-{name}-{view}-{theme.lower()}.png"
            editor.root.screenshot(path=path)
        editor.click(editor.command("drawing"))
