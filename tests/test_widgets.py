"""The region graph editor without a browser: what it takes, refuses, says, undoes, and leaves."""

import gc
import json
import re
import shutil
import subprocess
import weakref
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import ipywidgets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from traitlets import TraitError

import shapekeeper as sk
from shapekeeper.regions.arranging import radius
from shapekeeper.widgets import RegionGraphEditor, drawing_widget, region_graph_editor

FOLDER = Path(drawing_widget.__file__).parent
MODELS = ipywidgets.widgets.widget._instances
SVG = "{http://www.w3.org/2000/svg}"
PRESETS = [
    sk.RegionGraph(),
    sk.regions.sense_and_act(),
    sk.regions.with_memory(),
    sk.regions.two_hemispheres(),
    sk.regions.macaque_visual(),
    sk.regions.small_world(5, 8),
]
THREE = sk.RegionGraph(
    [
        sk.Region("eye", 64, position=(110, 140), input=True),
        sk.Region("between", 48, position=(290, 320)),
        sk.Region("hand", 32, position=(470, 140), output=True),
    ],
    [sk.Pathway("eye", "between", 0.25), sk.Pathway("between", "hand", 0.5)],
)


@pytest.fixture
def editor():
    editor = RegionGraphEditor(THREE)
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
    def value(self):
        return deepcopy(self.editor.get_state("value")["value"])

    def edit(self, change, **state):
        data = self.value
        change(data)
        return self.ask("edit", value=data, **state)

    def ask(self, do, *, state=None, **more):
        self.count += 1
        command = {"do": do, "id": f"edit {self.count}"}
        command |= {k: more.pop(k) for k in ("name",) if k in more}
        self.sent.clear()
        self.editor.set_state({**more, "command": command})
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


def region(data, name):
    return next(entry for entry in data["regions"] if entry["name"] == name)


# Edits from the browser


def test_an_edit_changes_the_value_once_and_is_announced(editor, browser):
    calls = []
    editor.observe(lambda change: calls.append(change["new"]), "value")
    browser.edit(lambda data: region(data, "hand").update(size=40))
    assert calls == [THREE.with_region(replace(THREE.region("hand"), size=40))]
    assert browser.told["facts"]["said"]["text"] == "hand has 40 units."
    assert browser.told["facts"]["undo"] == "hand has 40 units."
    assert not browser.told["facts"]["said"]["refused"]


def test_what_python_assigns_reaches_the_browser_in_one_message(editor, browser):
    editor.value = THREE.without_pathway("between", "hand")
    (message,) = browser.sent
    assert message["state"].keys() == {"value", "messages", "facts"}
    assert len(message["state"]["value"]["pathways"]) == 1


def rename(data):
    region(data, "between")["name"] = "eye"
    for pathway in data["pathways"]:
        for end in ("source", "target"):
            pathway[end] = "eye" if pathway[end] == "between" else pathway[end]


def again(data):
    data["pathways"].append({**data["pathways"][0], "density": 1.0})


def to_itself(data):
    data["pathways"].append({"source": "eye", "target": "eye", "density": 1.0})


REFUSED = {
    "name taken": (
        rename,
        "r:between",
        "name",
        "Wanted a name of its own, got “eye”, which is taken. Try “eye 2”.",
    ),
    "no name": (
        lambda d: region(d, "between").update(name=" "),
        "r:between",
        "name",
        "Wanted a name, got none. Any word will do.",
    ),
    "size 0": (
        lambda d: region(d, "between").update(size=0),
        "r:between",
        "size",
        "Wanted a whole number from 1 up, got “0”.",
    ),
    "size in words": (
        lambda d: region(d, "between").update(size="many"),
        "r:between",
        "size",
        "Wanted a whole number from 1 up, got “many”.",
    ),
    "half a unit": (
        lambda d: region(d, "between").update(size=2.5),
        "r:between",
        "size",
        "Wanted a whole number from 1 up, got “2.5”.",
    ),
    "nothing inside": (
        lambda d: region(d, "hand").update(density=0),
        "r:hand",
        "inside",
        "Wanted more than 0 and at most 1, got 0. 1 joins all units of a region.",
    ),
    "density 1.5": (
        lambda d: d["pathways"][0].update(density=1.5),
        "p:eye>between",
        "density",
        "Wanted more than 0 and at most 1, got 1.5. To close a pathway, delete it.",
    ),
    "pathway twice": (
        again,
        None,
        None,
        "Pathway eye → between exists already; its density is 0.25.",
    ),
    "pathway to itself": (
        to_itself,
        None,
        None,
        "Wanted another region, got the same one. Units inside a region are joined already; "
        "set inside below 1 to thin them.",
    ),
    "loose end": (
        lambda d: d["pathways"][0].update(target="nose"),
        None,
        None,
        "Pathway eye → nose: wanted a region of this graph as its target, got “nose”. "
        "Regions are “eye”, “between”, “hand”.",
    ),
    "no list": (lambda d: d.update(pathways=5), None, None, "Wanted a list of pathways, got 5."),
}


@pytest.mark.parametrize(("change", "key", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_edit_is_put_back_with_its_words(editor, browser, change, key, field, words):
    editor.value = THREE.with_region(replace(THREE.region("hand"), size=40))
    editor.undo()
    editor.selected = ["r:between"]
    before = {name: editor.facts[name] for name in ("undo", "redo", "code", "open")}
    good = browser.value
    browser.edit(change, selected=["r:eye"])
    assert editor.value == THREE
    assert editor.selected == ["r:between"]
    assert browser.told["value"] == good
    assert browser.told["selected"] == ["r:between"]
    first = editor.messages[0]
    assert f"{first['text']} {first['detail']}".strip() == words
    assert (first.get("key"), first.get("field")) == (key, field)
    assert first["refused"] == editor.facts["answered"]
    assert editor.facts["said"]["refused"]
    assert editor.facts["said"]["text"] == words
    assert before == {name: editor.facts[name] for name in before}


def test_a_refusal_goes_with_the_next_edit(editor, browser):
    browser.edit(rename)
    assert len(editor.messages) == 2
    browser.edit(lambda data: region(data, "hand").update(size=40))
    assert texts(editor) == ["Ready to compile."]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [
    (),
    ("regions",),
    ("regions", 1),
    *(("regions", 1, key) for key in THREE.to_json()["regions"][0]),
    ("pathways",),
    ("pathways", 0),
    *(("pathways", 0, key) for key in THREE.to_json()["pathways"][0]),
    ("tested_absent",),
    ("note",),
]


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), junk=JSON)
def test_whatever_the_browser_sends_is_a_graph_or_is_refused(place, junk):
    data = THREE.to_json()
    if place:
        inner = data
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = junk
    else:
        data = junk
    try:
        wanted = sk.RegionGraph.from_json(data)
    except (sk.StructureError, TypeError):
        wanted = None
    editor = RegionGraphEditor(THREE)
    editor.set_state({"value": data, "command": {"do": "edit", "id": "junk"}})
    assert editor.value == (THREE if wanted is None else wanted)
    assert any("refused" in message for message in editor.messages) == (wanted is None)
    json.dumps([editor.messages, editor.facts])
    editor.close()


def test_only_a_graph_can_be_the_value(editor):
    with pytest.raises(TraitError, match="expected a RegionGraph, not the list"):
        editor.value = []
    with pytest.raises(TraitError, match="expected a RegionGraph, not the dict"):
        RegionGraphEditor({"regions": []})
    assert editor.value == THREE


# Places


def test_regions_without_a_place_get_one_and_keep_it_after_the_first_edit(monkeypatch):
    bare = [replace(r, position=None) for r in THREE.regions]
    editor = RegionGraphEditor(replace(THREE, regions=bare))
    start, browser = editor.value, Browser(editor, monkeypatch)
    places = {r["name"]: tuple(r["position"]) for r in browser.value["regions"]}
    assert editor.value.regions[0].position is None
    assert len(set(places.values())) == 3
    browser.edit(lambda data: region(data, "hand").update(size=40))
    assert {r.name: r.position for r in editor.value.regions} == places
    assert editor.facts["undo"] == "hand has 40 units."
    editor.undo()
    assert editor.value == start
    editor.close()


# Unfinished graphs


def finish(graph, way):
    """The graph after a way out, as the browser applies it."""
    if way["do"] == "region":
        return graph.with_region(replace(graph.region(way["name"]), **way["set"]))
    if way["do"] == "pathway":
        return graph.with_pathway(sk.Pathway(way["source"], way["target"]))
    if way["do"] == "known":
        source, target = way["key"][2:].split(">")
        return graph.with_pathway(replace(graph.pathway(source, target), known=True))
    return None


MEMORY = sk.regions.with_memory()
CUT = MEMORY.without_pathway("association", "motor")
UNFINISHED = {
    "no input": (
        replace(THREE, regions=[replace(r, input=False) for r in THREE.regions]),
        "No input. Wanted at least one region marked input. Mark “eye” as input, for example.",
        ["Mark eye as input"],
    ),
    "no output": (
        replace(THREE, regions=[replace(r, output=False) for r in THREE.regions]),
        "No output. Wanted at least one region marked output. Mark “hand” as output, for example.",
        ["Mark hand as output"],
    ),
    "unreached": (
        CUT.without_pathway("visual", "motor"),
        "No input reaches the output “motor”. Every output needs a chain of pathways from an "
        "input; “motor” has no pathway in.",
        ["Add association → motor", "Make motor no output", "Show me"],
    ),
    "only an untested way": (
        CUT,
        "No input reaches the output “motor”. Every output needs a chain of pathways from an "
        "input; “motor” has no pathway in, and those never tested are closed.",
        [
            "Add association → motor",
            "Take visual → motor for known",
            "Make motor no output",
            "Show me",
        ],
    ),
}


@pytest.mark.parametrize(("graph", "words", "labels"), UNFINISHED.values(), ids=UNFINISHED)
def test_an_unfinished_graph_is_kept_and_every_way_out_mends_it(graph, words, labels):
    editor = RegionGraphEditor(MEMORY)
    editor.set_state({"value": graph.to_json(), "command": {"do": "edit", "id": "1"}})
    assert editor.value == graph
    problem = next(message for message in editor.messages if message["kind"] == "bad")
    assert words.startswith(f"{problem['text']} {problem['detail']}")
    assert [way["label"] for way in problem["ways"]] == labels
    for way in problem["ways"]:
        if way["do"] == "show":
            assert way["key"] == f"r:{problem['regions'][0]}"
            continue
        editor.value = finish(graph, way)
        assert problem["text"] not in texts(editor), way["label"]
    editor.close()


def test_every_problem_of_a_graph_is_among_the_messages():
    for graph in [*PRESETS, *(graph for graph, _, _ in UNFINISHED.values())]:
        editor = RegionGraphEditor(graph)
        said = [m for m in editor.messages if m["kind"] in ("bad", "info")]
        assert len(said) == len(graph.problems())
        assert (texts(editor)[-1] == "Ready to compile.") == (not graph.problems())
        editor.close()


RUNS = {
    THREE: "No loop: the longest chain has 3 regions.",
    MEMORY: "association ⇄ memory is a loop: the network runs in steps.",
    THREE.with_pathway(sk.Pathway("hand", "eye")): (
        "eye, between and hand form a loop: the network runs in steps."
    ),
    sk.regions.macaque_visual(): "12 regions form a loop: the network runs in steps.",
}


@pytest.mark.parametrize(("graph", "words"), RUNS.items(), ids=RUNS.values())
def test_ready_graphs_say_what_will_run(graph, words):
    editor = RegionGraphEditor(graph)
    assert (editor.messages[-1]["text"], editor.messages[-1]["detail"]) == (
        "Ready to compile.",
        words,
    )
    editor.close()


@pytest.mark.parametrize("graph", PRESETS[1:3], ids=str)
def test_open_weights_are_those_of_the_mask(graph):
    editor = RegionGraphEditor(graph)
    assert editor.facts["open"] == int(graph.mask().sum())
    assert editor.facts["total"] == graph.mask().numel()
    editor.close()


def test_a_size_that_fills_no_memory_is_counted_without_drawing_the_mask(editor):
    editor.value = THREE.with_region(sk.Region("hand", 10**9, output=True))
    assert editor.facts["total"] == (10**9 + 112) ** 2


# History


EDITS = [
    (lambda g: g.with_region(sk.Region("ear", 16)), "Region ear added."),
    (lambda g: g.with_pathway(sk.Pathway("eye", "hand", 0.1)), None),
    (lambda g: g.without_region("between"), "Removed between and 2 pathways."),
    (lambda g: g.renamed("between", "middle"), "Region between is now called middle."),
    (lambda g: g.without_pathway("eye", "between"), "Pathway from eye to between removed."),
    (
        lambda g: g.without_pathway("eye", "between").with_pathway(sk.Pathway("between", "eye")),
        "Pathway eye → between turned round.",
    ),
    (lambda g: g.with_pathway(sk.Pathway("eye", "between", 0.3)), "Density of eye → between 0.30."),
    (
        lambda g: g.with_pathway(sk.Pathway("eye", "between", 0.25, known=False)),
        "eye → between is marked as never tested.",
    ),
    (lambda g: g.with_region(replace(g.region("eye"), input=False)), "eye is no input."),
    (lambda g: g.with_region(replace(g.region("eye"), output=True)), "eye is an output."),
    (lambda g: g.with_region(replace(g.region("eye"), sign=-1)), "Sign of eye −."),
    (lambda g: g.with_region(replace(g.region("eye"), density=0.5)), "Density inside eye 0.50."),
    (lambda g: g.with_region(replace(g.region("eye"), position=(118, 140))), "eye moved."),
    (lambda g: replace(g, note="seen"), "Note changed."),
    (lambda g: sk.regions.with_memory(), "Now 5 regions, 5 pathways, 1 never tested."),
]
EDITS[1] = (EDITS[1][0], "Pathway from eye to hand added, density 0.10.")


@pytest.mark.parametrize(("edit", "words"), EDITS, ids=[words for _, words in EDITS])
def test_every_edit_is_told_undone_and_redone(editor, edit, words):
    after = edit(THREE)
    editor.value = after
    assert editor.facts["said"]["text"] == editor.facts["undo"] == words
    editor.undo()
    assert editor.value == THREE
    assert editor.facts["said"]["text"] == f"Undone: {words[0].lower()}{words[1:]}"
    assert (editor.facts["undo"], editor.facts["redo"]) == ("", words)
    editor.redo()
    assert editor.value == after
    assert (editor.facts["undo"], editor.facts["redo"]) == (words, "")


def test_one_history_for_edits_from_python_and_from_the_browser(editor, browser):
    values = [editor.value]
    for size in (40, 41, 42):
        browser.edit(lambda data, size=size: region(data, "hand").update(size=size))
        values.append(editor.value)
        editor.value = editor.value.with_region(sk.Region(f"region {size}", size))
        values.append(editor.value)
    for value in values[-2::-1]:
        browser.ask("undo")
        assert editor.value == value
        assert browser.told["value"]["regions"][2]["size"] == value.regions[2].size
    browser.ask("undo")
    assert editor.value == THREE
    for value in values[1:3]:
        browser.ask("redo")
        assert editor.value == value
    editor.value = THREE
    editor.redo()
    assert editor.value == THREE, "a new edit ends what could be redone"


def test_removing_a_region_with_pathways_offers_to_take_it_back(editor, browser):
    gone = [entry["name"] for entry in browser.value["regions"]].index("between")

    def remove(data):
        del data["regions"][gone]
        data["pathways"].clear()

    browser.edit(remove)
    remark = editor.messages[0]
    assert (remark["text"], remark["ways"]) == (
        "Removed between and 2 pathways.",
        [{"label": "Undo", "do": "undo"}],
    )
    browser.ask("undo")
    assert texts(editor) == ["Ready to compile."]
    editor.value = editor.value.without_region("between")
    assert "Removed between and 2 pathways." not in texts(editor), "Python knows what it does"


def test_the_selection_never_names_what_is_gone(editor):
    editor.selected = ["r:between", "p:eye>between", "r:eye"]
    editor.value = THREE.without_region("between")
    assert editor.selected == ["r:eye"]


@pytest.mark.parametrize("name", region_graph_editor.EXAMPLES)
def test_examples_open_and_are_what_their_titles_say(editor, browser, name):
    browser.ask("example", name=name)
    title, detail = region_graph_editor.EXAMPLES[name]
    assert editor.value == getattr(sk.regions, name)()
    regions, pathways = len(editor.value.regions), sum(p.known for p in editor.value.pathways)
    assert detail.startswith(f"{regions} regions")
    assert f"{pathways} pathways" in detail or "loop" in detail
    assert ("no loop" in detail) == editor.value.is_feedforward
    assert {"name": name, "title": title, "detail": detail} in editor.facts["examples"]
    browser.ask("undo")
    assert editor.value == THREE


# Code, closing, pages without a front end


@pytest.mark.parametrize("graph", PRESETS, ids=str)
def test_the_code_rebuilds_the_drawing(graph):
    editor, names = RegionGraphEditor(graph), {}
    data = editor.get_state("value")["value"]
    if data["regions"]:
        data["regions"][0]["position"] = [100.0, 104.5]
    editor.set_state({"value": data, "command": {"do": "edit", "id": "1"}})
    exec(editor.code(), names)
    assert names["graph"] == editor.value
    assert editor.facts["code"] == editor.code() == repr(editor)
    editor.close()


def test_closing_leaves_no_model_and_no_object():
    before = set(MODELS)
    editor = RegionGraphEditor(sk.regions.with_memory())
    assert len(MODELS) > len(before)
    editor.value = THREE
    gone = weakref.ref(editor)
    editor.close()
    assert set(MODELS) == before
    del editor
    gc.collect()
    assert gone() is None


def test_pages_without_a_front_end_show_picture_and_code(editor):
    data, _ = editor._repr_mimebundle_()
    assert data["text/plain"] == THREE.code()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == editor.model_id
    root = ElementTree.fromstring(data["image/svg+xml"])
    assert [node.text for node in root.iter(f"{SVG}text") if node.text in THREE.names] == [
        *THREE.names
    ]


STRANGE = sk.RegionGraph([sk.Region('<a & "b">', 8, input=True), sk.Region("ä>ö", 4)])


@pytest.mark.parametrize("graph", [*PRESETS, STRANGE], ids=lambda g: str(g)[:30])
def test_the_picture_is_valid_and_complete(graph):
    editor = RegionGraphEditor(graph)
    root = ElementTree.fromstring(editor._repr_mimebundle_()[0]["image/svg+xml"])
    assert len(list(root.iter(f"{SVG}circle"))) == len(graph.regions)
    shown = [p for p in graph.pathways if p.known or len(graph.regions) <= 8]
    assert len(list(root.iter(f"{SVG}path"))) == 2 * len(shown)
    assert set(graph.names) <= {node.text for node in root.iter(f"{SVG}text")}
    numbers = [
        float(n) for n in re.findall(r'c[xy]="([^"]+)"', ElementTree.tostring(root, "unicode"))
    ]
    assert all(0 <= n <= 588 for n in numbers)
    editor.close()


# The module as text


def script():
    return RegionGraphEditor._esm


def test_the_module_reads_and_writes_exactly_the_synced_traits():
    said = {a or b for a, b in re.findall(r'model\.(?:get|set)\("(\w+)"|change:(\w+)', script())}
    own = set(RegionGraphEditor.class_traits(sync=True)) - set(
        ipywidgets.DOMWidget.class_traits(sync=True)
    )
    assert said == {name for name in own if not name.startswith("_")}


def test_the_module_is_one_plain_es_module_that_shares_nothing_between_pages():
    assert re.findall(r"^export .*", script(), re.M) == ["export default function () {"]
    assert not re.search(r"^import |\bimport\(|require\(", script(), re.M)
    assert set(re.findall(r"https?://[^\"' ]+", script())) == {"http://www.w3.org/2000/svg"}
    assert isinstance(script(), str), "anywidget watches a path, and never lets the widget go"


def test_every_element_is_made_where_the_notebook_keys_are_kept_off_it():
    made = re.findall(r"createElement\w*|innerHTML|insertAdjacentHTML|cloneNode", script())
    assert sorted(made) == ["cloneNode", "createElement", "createElementNS"]
    fill = re.search(r"function fill\(.*?\n\}", script(), re.S)[0]
    assert "quiet(node)" in fill
    assert len(re.findall(r"fill\(\s*document\.createElement(?:NS)?\(", script())) == 2
    focusable = set(re.findall(r'"(\w+)"', re.search(r"FOCUSABLE = .*?\]", script(), re.S)[0]))
    used = set(re.findall(r'\bh\(\s*"(\w+)"', script()))
    assert used & {"button", "input", "select", "textarea", "summary", "a", "pre"} <= focusable
    assert re.findall(r"(\w+)\.tabIndex", script()) == ["root"], "only the frame lets keys through"


def test_the_names_tests_hold_on_to_are_in_the_module():
    top = (FOLDER / "region_graph_editor.js").read_text(encoding="utf-8")
    listed = re.search(r"^// The region graph editor.*?^(?!//)", top, re.S | re.M)[0]
    commands = re.search(r'data-cmd="([^"]+)"', listed)[1].replace("\n//", "").replace(" ", "")
    for command in commands.split("|"):
        assert re.search(rf"[\"`]{command.split(':')[0]}\b", script()), command
    for field in re.search(r'data-field="([^"]+)"', listed)[1].split("|"):
        assert re.search(rf'(name: |"data-field": )"{field}"', script()), field
    for name in re.findall(r'data-testid="([\w-]+)"', listed):
        assert f'"{name}"' in script(), name


# Geometry, in node


def in_node(expression):
    """The value of an expression over the geometry of the map."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    text = drawing_widget.source("curves.js", "region_map.js")
    program = f"{text}\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        ["node", "--input-type=module"], input=program, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_lines_keep_clear_of_regions_and_the_two_of_a_pair_of_each_other():
    program = """(() => {
      const circles = new Map([['a', {x: 100, y: 240, r: 30}], ['b', {x: 300, y: 240, r: 30}],
        ['c', {x: 500, y: 240, r: 30}]]);
      const lines = [{key: 'ac', from: 'a', to: 'c'}, {key: 'ab', from: 'a', to: 'b', twin: true},
        {key: 'ba', from: 'b', to: 'a', twin: true}];
      const bows = chooseBows(lines, circles, new Map(), true);
      const points = line => sampled(curve(circles.get(line.from), circles.get(line.to),
        bows.get(line.key)), 40);
      const [ac, ab, ba] = lines.map(points);
      return {clear: Math.min(...ac.map(p => distance(p, circles.get('b')))),
        apart: distance(ab[20], ba[20])};
    })()"""
    found = in_node(program)
    assert found["clear"] > 30 + 7
    assert found["apart"] >= 44


def test_an_arrow_starts_and_ends_outside_its_regions():
    shape = in_node("arrow(curve({x: 100, y: 100}, {x: 400, y: 300}, 0.25), 30, 50, 3, {gap: 4})")
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", shape["line"])]
    tip = [float(n) for n in re.findall(r"-?[\d.]+", shape["head"])[:2]]
    assert np.hypot(numbers[0] - 100, numbers[1] - 100) == pytest.approx(34, abs=0.2)
    assert np.hypot(tip[0] - 400, tip[1] - 300) == pytest.approx(54, abs=0.2)


def test_regions_are_as_large_in_the_browser_as_where_python_arranges_them():
    cases = [(size, count) for size in (1, 36, 64, 90, 500) for count in (1, 8, 9, 15, 16, 25, 26)]
    ours = in_node(f"{json.dumps(cases)}.map(([size, count]) => mapStyle(count).radius(size))")
    assert ours == pytest.approx([radius(*case) for case in cases])


def test_the_hull_is_the_convex_hull():
    points = np.random.default_rng(0).uniform(0, 400, (60, 2)).round(1)
    ours = in_node(f"hull({json.dumps([{'x': x, 'y': y} for x, y in points])})")
    assert {(p["x"], p["y"]) for p in ours} == {
        tuple(p) for p in points[ConvexHull(points).vertices]
    }


def test_new_regions_find_free_ground_until_the_canvas_is_full():
    program = """(() => {
      const circles = [];
      for (let i = 0; i < 12; i++)
        circles.push({...freeSpot(circles, {x: 300, y: 240}, 28), r: 28});
      return circles; })()"""
    circles = in_node(program)
    gaps = [
        np.hypot(a["x"] - b["x"], a["y"] - b["y"])
        for i, a in enumerate(circles)
        for b in circles[:i]
    ]
    assert min(gaps) > 2 * 28
    assert all(28 <= c["x"] <= 588 - 28 and 28 <= c["y"] <= 480 - 28 for c in circles)


def test_the_widest_gap_is_the_one_found_by_looking_everywhere():
    for angles in np.random.default_rng(1).uniform(-np.pi, np.pi, (20, 5)):
        found = in_node(f"widestGap({angles.tolist()})")
        around = np.linspace(-np.pi, np.pi, 20_001)
        turn = np.abs(np.angle(np.exp(1j * (around[:, None] - angles)))).min(axis=1)
        ours = np.abs(np.angle(np.exp(1j * (found - angles)))).min()
        assert ours == pytest.approx(turn.max(), abs=1e-3)
