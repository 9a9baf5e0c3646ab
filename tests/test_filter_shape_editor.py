"""The filter shape editor without a browser: what it takes, refuses, says, undoes, and leaves."""

import gc
import json
import re
import shutil
import subprocess
import weakref
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import freqz
from traitlets import TraitError

import shapekeeper as sk
from shapekeeper.constraints import ConstraintError, FilterShape
from shapekeeper.widgets import FilterShapeEditor, drawing_widget, filter_forms, filter_words

FOLDER = Path(drawing_widget.__file__).parent
MODELS = ipywidgets.widgets.widget._instances
SVG = "{http://www.w3.org/2000/svg}"
LOW = FilterShape.lowpass(0.2, 0.35)
STEEP = FilterShape.lowpass(0.2, 0.3, ripple_db=0.5, attenuation_db=60, gain="unit")
SHAPES = [
    LOW,
    FilterShape.highpass(0.35, 0.2, gain="unit"),
    FilterShape.bandpass((2000, 3500), (1000, 5000), sampling_rate=16000),
    FilterShape.bandstop((0.2, 0.8), (0.35, 0.65), ripple_db=0.5),
    FilterShape.bandlimited(0.5),
    FilterShape.bandlimited((0.25, 0.4), dilation=2),
    FilterShape.target([0, 0.2, 0.35, 1], [1, 1, 0.2, 0], 0.1),
    FilterShape([("pass", 0.0, 0.2, 1.0), ("stop", 0.35, 0.6, 30.0), ("stop", 0.6, 1.0, 50.0)]),
]


@pytest.fixture
def editor():
    editor = FilterShapeEditor(LOW)
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
        return deepcopy(self.editor.get_state("drawing")["drawing"])

    def edit(self, change=None, gesture="", **parts):
        data = self.drawing | parts
        if change:
            change(data)
        return self.ask("edit", state={"drawing": data}, gesture=gesture)

    def band(self, index, place, value, gesture=""):
        return self.edit(lambda d: d["bands"][index].__setitem__(place, value), gesture)

    def ask(self, do, *, state=None, **more):
        self.count += 1
        self.sent.clear()
        command = {"do": do, "id": f"edit {self.count}", **more}
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


def labels(editor):
    return [way["label"] for way in editor.messages[0]["ways"]]


# What it opens with


def test_it_opens_with_a_lowpass_never_as_a_blank():
    editor = FilterShapeEditor()
    assert editor.value == FilterShape.lowpass(0.2, 0.35, ripple_db=1, attenuation_db=40)
    assert editor.taps == 31
    assert editor.messages[0]["kind"] == "good"
    assert editor.messages[0]["text"] == LOW.feasibility(31).statement
    first = "Hatched ground is forbidden. Drag a handle, or use the arrow keys."
    assert editor.messages[0]["detail"] == first
    assert editor.facts["opening"]
    editor.taps = 33
    assert not editor.facts["opening"]
    editor.close()


def test_the_length_is_that_of_the_weight():
    editor = FilterShapeEditor(weight=torch.randn(4, 2, 45))
    assert editor.taps == 45
    editor.close()
    editor = FilterShapeEditor(taps=21, weight=torch.randn(4, 2, 45))
    assert editor.taps == 21
    editor.close()


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_the_code_rebuilds_the_value(shape):
    editor, names = FilterShapeEditor(shape, taps=33), {}
    exec(editor.code(), names)
    assert (names["shape"], names["taps"]) == (shape, 33)
    assert editor.facts["code"] == editor.code() == repr(editor)
    assert filter_forms.to_shape(editor.drawing) == shape
    editor.close()


WRONG = [
    ({"shape": []}, TraitError, "expected a FilterShape, not the list"),
    ({"taps": 0}, TraitError, "Wanted a whole number of taps from 1 to 255, got “0”"),
    ({"taps": 300}, TraitError, "Wanted a whole number of taps from 1 to 255, got “300”"),
    (
        {"shape": FilterShape.bandlimited(0.5, dimensions=2)},
        TraitError,
        "Wanted a shape of one dimension, got dimensions=2",
    ),
    ({"weight": [1.0, float("nan")]}, ValueError, r"finite numbers \(out, in, taps\)"),
    ({"weight": 3.0}, ValueError, r"got shape \(\)"),
]


@pytest.mark.parametrize(("given_", "kind", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_what_is_none_is_refused_in_python(given_, kind, words):
    with pytest.raises(kind, match=words):
        FilterShapeEditor(**given_)


def test_only_a_drawing_can_be_the_drawing(editor):
    with pytest.raises(TraitError, match="Wanted an attenuation from"):
        editor.drawing = {
            **editor.drawing,
            "bands": [["pass", 0.0, 0.2, 1.0], ["stop", 0.4, 1.0, -3.0]],
        }
    assert editor.value == LOW


# Edits from the browser


def test_an_edit_that_can_be_met_becomes_the_value(editor, browser):
    calls = []
    editor.observe(lambda change: calls.append((change["name"], change["new"])), ["value", "taps"])
    browser.band(0, 2, 0.22)
    assert calls == [("value", FilterShape.lowpass(0.22, 0.35))]
    assert browser.told["facts"]["said"]["text"] == "Pass up to 0.22."
    assert browser.told["facts"]["undo"] == "Pass up to 0.22."
    browser.edit(taps=33)
    assert calls[1:] == [("taps", 33)]
    assert editor.messages[0]["kind"] == "good"


def test_an_edit_that_cannot_be_met_leaves_the_value(editor, browser):
    browser.edit(bands=filter_forms.to_drawing(STEEP, 15)["bands"], taps=15, gain="unit")
    assert filter_forms.to_shape(editor.drawing) == STEEP
    assert (editor.value, editor.taps) == (LOW, 31)
    assert "lowpass(0.2, 0.35)" in browser.told["facts"]["code"]
    assert not browser.told["facts"]["feasible"]
    # the long search waits until the hand rests
    first = editor.messages[0]
    assert (first["kind"], first["text"]) == (
        "bad",
        "No symmetric kernel of 15 taps meets this drawing.",
    )
    assert first["detail"] == "Looking for a way out …"
    assert not browser.told["facts"]["searched"]
    assert len(editor.messages) == 1
    browser.ask("ways")
    assert browser.told["facts"]["searched"]
    assert editor.messages[0]["text"] == first["text"]
    # filters.md of this drawing: 12.6 dB; 45 taps; from 0.49
    detail = "Wanted 60 dB; with these edges and this ripple 15 taps reach 12.6 dB. Change one:"
    assert editor.messages[0]["detail"] == detail
    assert labels(editor) == ["Use 45 taps", "Stop from 0.49", "Ask for 12 dB"]
    kept = editor.messages[1]
    assert kept["text"] == "The value is still the last drawing that could be met:"
    assert kept["detail"] == "FilterShape.lowpass(0.2, 0.35), 31 taps."
    assert editor.facts["outlined"] == ["taps", "low-1", "decibels-1"]


def test_the_search_leaves_what_was_said_to_the_last_edit(editor, browser):
    """It starts by itself, when a hand has rested: also on a text that was just refused."""
    browser.edit(taps=15, bands=filter_forms.to_drawing(STEEP, 15)["bands"])
    browser.band(0, 2, 0.5)
    refused = editor.messages[0]
    assert refused["text"] == "Pass must end before stop begins (0.30)."
    assert not editor.facts["searched"]
    browser.ask("ways")
    assert editor.facts["searched"]
    assert editor.messages[0] == refused
    browser.edit(lambda drawing: drawing["bands"].pop(0))
    removed = editor.messages[0]
    assert removed["text"] == "Pass band removed."
    browser.ask("ways")
    assert editor.messages[0] == removed
    browser.ask("undo")
    assert removed not in editor.messages


def test_every_way_out_does_it(editor, browser):
    editor.value, editor.taps = STEEP, 15
    start = browser.drawing
    for way in editor.messages[0]["ways"]:
        browser.ask("edit", state={"drawing": way["drawing"]})
        assert editor.messages[0]["kind"] == "good", way["label"]
        assert filter_forms.to_drawing(editor.value, editor.taps) == way["drawing"]
        assert editor.value.feasibility(editor.taps).feasible
        browser.ask("undo")
        assert editor.drawing == start


def test_an_error_in_python_does_not_end_the_conversation(editor, browser, monkeypatch):
    def fail(shape, taps):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(FilterShape, "feasibility", fail)
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        browser.band(0, 2, 0.25)
    assert editor.facts["answered"] == "edit 1"
    assert browser.told["facts"]["answered"] == "edit 1"
    monkeypatch.undo()
    editor.value = FilterShape.lowpass(0.1, 0.3)
    assert editor.messages[0]["kind"] == "good"


def test_who_cannot_see_it_hears_when_a_drawing_can_no_longer_be_met(editor, browser):
    browser.edit(taps=15)
    said = "15 taps. No symmetric kernel of 15 taps meets this drawing."
    assert editor.facts["said"]["text"] == said
    assert editor.facts["undo"] == "15 taps."
    browser.edit(taps=13)
    assert editor.facts["said"]["text"] == "13 taps."
    browser.edit(taps=31)
    assert editor.facts["said"]["text"].startswith("31 taps. 31 taps meet this drawing")


def test_moves_of_one_gesture_are_one_edit(editor, browser):
    browser.band(1, 1, 0.4)
    for edge in (0.21, 0.22, 0.25):
        browser.band(0, 2, edge, gesture="drag 1")
        assert editor.value == FilterShape.lowpass(edge, 0.4), "the value follows the hand"
    assert editor.facts["undo"] == "Pass up to 0.25."
    browser.ask("undo")
    assert editor.value == FilterShape.lowpass(0.2, 0.4)
    browser.ask("redo")
    assert editor.value == FilterShape.lowpass(0.25, 0.4)
    browser.ask("undo")
    browser.ask("undo")
    assert editor.value == LOW


def test_a_gesture_that_ends_where_it_began_leaves_no_trace(editor, browser):
    browser.band(0, 2, 0.21)
    browser.ask("undo")
    before = {name: editor.facts[name] for name in ("undo", "redo", "code")}
    start = browser.drawing
    browser.band(0, 2, 0.25, gesture="drag")
    browser.ask("edit", state={"drawing": start}, gesture="drag")
    assert {name: editor.facts[name] for name in before} == before
    assert editor.value == LOW


def test_taking_back_a_drag_takes_back_the_value_as_well(editor, browser):
    browser.edit(taps=15)
    start = browser.drawing
    assert (editor.value, editor.taps) == (LOW, 31)
    browser.band(1, 1, 0.6, gesture="drag")
    assert (editor.value, editor.taps) == (FilterShape.lowpass(0.2, 0.6), 15)
    browser.ask("edit", state={"drawing": start}, gesture="drag")
    assert (editor.value, editor.taps) == (LOW, 31)
    browser.band(1, 1, 0.6)
    browser.ask("undo")
    assert (editor.drawing, editor.value, editor.taps) == (start, LOW, 31)


def test_a_drag_to_what_cannot_be_met_ends_with_the_value_from_before_it(editor, browser):
    browser.band(1, 1, 0.4)
    for edge in (0.38, 0.36, 0.22, 0.21):
        browser.band(1, 1, edge, gesture="drag")
    assert not editor.facts["feasible"]
    assert editor.value == FilterShape.lowpass(0.2, 0.4), "not where the hand passed by chance"
    browser.band(1, 1, 0.37, gesture="drag")
    assert editor.value == FilterShape.lowpass(0.2, 0.37)


def test_what_python_assigns_is_taken_as_it_is(editor):
    editor.value = STEEP
    editor.taps = 15
    assert (editor.value, editor.taps) == (STEEP, 15)
    assert editor.drawing == filter_forms.to_drawing(STEEP, 15)
    assert labels(editor) == ["Use 45 taps", "Stop from 0.49", "Ask for 12 dB"]
    assert len(editor.messages) == 1, "the value is what is drawn"
    with pytest.raises(ConstraintError, match="No symmetric kernel of 15 taps"):
        editor.value.project(torch.randn(editor.taps))
    editor.undo()
    editor.undo()
    assert (editor.value, editor.taps) == (LOW, 31)
    editor.redo()
    assert (editor.value, editor.taps) == (STEEP, 31)


def test_a_length_from_python_is_for_what_is_drawn(editor, browser):
    browser.edit(bands=filter_forms.to_drawing(STEEP, 15)["bands"], taps=15, gain="unit")
    assert editor.value == LOW
    editor.taps = 45
    assert (editor.value, editor.taps) == (STEEP, 45)
    assert editor.messages[0]["kind"] == "good"


def test_assigning_what_is_drawn_and_could_not_be_met_makes_it_the_value(editor, browser):
    browser.edit(taps=15)
    editor.taps = 15
    assert editor.taps == 15
    assert "taps = 15" in editor.facts["code"]


def test_one_history_for_edits_from_python_and_from_the_browser(editor, browser):
    values = [editor.value]
    for edge in (0.21, 0.22, 0.23):
        browser.band(0, 2, edge)
        values.append(editor.value)
        editor.value = FilterShape.highpass(0.4 + edge, 0.4)
        values.append(editor.value)
        browser.ask("form", form="lowpass")
        values.append(editor.value)
    for value in values[-2::-1]:
        browser.ask("undo")
        assert editor.value == value
        assert browser.told["drawing"]["bands"] == [list(band) for band in value.bands]
    for value in values[1:3]:
        browser.ask("redo")
        assert editor.value == value


# What is refused


def bands(*, low=(0.0, 0.2, 1.0), high=(0.35, 1.0, 40.0)):
    return [["pass", *low], ["stop", *high]]


REFUSED = {
    "beyond Nyquist": (
        {"bands": bands(low=(0.0, 1.2, 1.0))},
        "high-0",
        "Wanted a frequency from 0 to 1, which is Nyquist, got “1.2”.",
    ),
    "edge in words": (
        {"bands": bands(high=("half", 1.0, 40.0))},
        "low-1",
        "Wanted a frequency from 0 to 1, which is Nyquist, got “half”.",
    ),
    "pass into stop": (
        {"bands": bands(low=(0.0, 0.4, 1.0))},
        "high-0",
        "Pass must end before stop begins (0.35). Move that first.",
    ),
    "stop into pass": (
        {"bands": bands(high=(0.1, 1.0, 40.0))},
        "low-1",
        "Stop must begin after pass ends (0.20). Move that first.",
    ),
    "no width": (
        {"bands": bands(low=(0.0, 0.0, 1.0))},
        "high-0",
        "Wanted a frequency above its beginning, 0.00, got “0”. A band is 0.001 wide at least.",
    ),
    "no ripple": (
        {"bands": bands(low=(0.0, 0.2, 0))},
        "decibels-0",
        "Wanted a ripple from 0.001 to 40 dB, got “0”.",
    ),
    "negative attenuation": (
        {"bands": bands(high=(0.35, 1.0, -40))},
        "decibels-1",
        "Wanted an attenuation from 0.1 to 200 dB, got “-40”.",
    ),
    "half a tap": (
        {"taps": 31.5},
        "taps",
        "Wanted a whole number of taps from 1 to 255, got “31.5”.",
    ),
    "no tap": ({"taps": 0}, "taps", "Wanted a whole number of taps from 1 to 255, got “0”."),
    "many taps": ({"taps": 999}, "taps", "Wanted a whole number of taps from 1 to 255, got “999”."),
    "rate in words": (
        {"sampling_rate": "fast"},
        "rate",
        "Wanted a sampling rate above 0 Hz, got “fast”. Leave the field empty for units of "
        "Nyquist.",
    ),
    "no tolerance": (
        {"bands": [], "points": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]},
        "tolerance",
        "Wanted a tolerance from 0.0001 to 1000, got “0.0”.",
    ),
    "negative gain": (
        {"bands": [], "points": [[0.0, 1.0, 0.1], [1.0, -1.0, 0.1]]},
        "gain-1",
        "Wanted a gain from 0 to 1000, got “-1.0”.",
    ),
    "silence": (
        {"bands": [["stop", 0.0, 1.0, 40.0]]},
        None,
        "Stop bands everywhere leave only silence: wanted some free ground.",
    ),
    "gain of stop bands": (
        {"bands": [["stop", 0.5, 1.0, 40.0]], "gain": "unit"},
        None,
        "A drawing without a pass band has no gain to hold: wanted gain='free'.",
    ),
    "no list": ({"bands": 5}, None, "Wanted a filter drawing."),
    "two dimensions": (
        {"dimensions": 2},
        None,
        "Wanted a shape of one dimension, got dimensions=2. What is held in two dimensions has no "
        "curve to draw; sk.hold takes the shape as it is.",
    ),
}


@pytest.mark.parametrize(("parts", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_edit_is_put_back_with_its_words(editor, browser, parts, field, words):
    editor.taps = 33
    editor.undo()
    before = {name: editor.facts[name] for name in ("undo", "redo", "code", "curve")}
    good = browser.drawing
    browser.edit(**parts)
    assert editor.value == LOW
    assert editor.drawing == browser.told["drawing"] == good
    first = editor.messages[0]
    assert f"{first['text']} {first['detail']}".strip() == words
    assert first.get("field") == field
    assert first["refused"] == editor.facts["answered"]
    assert editor.facts["said"]["refused"]
    assert editor.facts["said"]["text"] == words
    assert before == {name: editor.facts[name] for name in before}
    browser.edit(taps=33)
    assert all("refused" not in message for message in editor.messages)


def test_points_keep_their_order(monkeypatch):
    editor = FilterShapeEditor(SHAPES[6])
    browser = Browser(editor, monkeypatch)
    browser.edit(lambda d: d["points"][1].__setitem__(0, 0.9))
    first = editor.messages[0]
    assert first["text"] == "Wanted points in rising order of frequency."
    assert first["field"] == "frequency-1"
    editor.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [
    (),
    *((key,) for key in filter_forms.to_drawing(LOW, 31)),
    ("bands", 0),
    *(("bands", 1, place) for place in range(4)),
]


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), junk=JSON)
def test_whatever_the_browser_sends_is_a_drawing_or_is_refused(place, junk):
    data = deepcopy(filter_forms.to_drawing(LOW, 9))
    if place:
        inner = data
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = junk
    else:
        data = junk
    editor = FilterShapeEditor(LOW, taps=9)
    start = editor.drawing
    editor.set_state({"drawing": data, "command": {"do": "edit", "id": "junk"}})
    refused = any("refused" in message for message in editor.messages)
    assert editor.drawing == (start if refused else data)
    if not refused:
        assert isinstance(filter_forms.to_shape(data), FilterShape)
    json.dumps([editor.messages, editor.facts])
    editor.close()


# Words


EDITS = [
    ({"taps": 33}, "33 taps."),
    ({"gain": "unit"}, "Gain held at 1."),
    ({"bands": bands(low=(0.0, 0.25, 1.0))}, "Pass up to 0.25."),
    ({"bands": bands(high=(0.4, 1.0, 40.0))}, "Stop from 0.40."),
    ({"bands": bands(high=(0.35, 0.9, 40.0))}, "Stop from 0.35 to 0.90."),
    ({"bands": bands(low=(0.0, 0.2, 0.5))}, "Ripple 0.5 dB."),
    ({"bands": bands(high=(0.35, 1.0, 45.0))}, "Attenuation 45 dB."),
    ({"bands": bands()[1:]}, "Pass band removed."),
    (
        {"bands": [*bands(high=(0.35, 1.0, 40.0))[:1], ["stop", 0.25, 0.3, 20.0], bands()[1]]},
        "Stop band from 0.25 to 0.30, 20 dB, added.",
    ),
    ({"bands": [["stop", 0.0, 0.2, 40.0], ["pass", 0.35, 1.0, 1.0]]}, "Now a high-pass."),
    ({"bands": [], "points": [[0.0, 1.0, 0.1], [1.0, 0.0, 0.1]]}, "Now a free-hand target."),
    (
        {"bands": bands(high=(0.4, 1.0, 50.0)), "taps": 33},
        "33 taps. Stop from 0.40. Attenuation 50 dB.",
    ),
    (
        {
            "bands": [["pass", 0.0, 1600.0, 1.0], ["stop", 2800.0, 8000.0, 40.0]],
            "sampling_rate": 16000.0,
        },
        "Sampling rate 16000 Hz.",
    ),
]


@pytest.mark.parametrize(("parts", "words"), EDITS, ids=[words for _, words in EDITS])
def test_every_edit_is_told_undone_and_redone(editor, browser, parts, words):
    browser.edit(**parts)
    after = editor.drawing
    assert editor.facts["undo"] == words
    assert editor.facts["said"]["text"].startswith(words)
    browser.ask("undo")
    assert editor.value == LOW
    assert editor.facts["said"]["text"] == f"Undone: {words[0].lower()}{words[1:]}"
    browser.ask("redo")
    assert editor.drawing == after


def test_edits_of_a_target_are_told(monkeypatch):
    editor = FilterShapeEditor(SHAPES[6])
    browser = Browser(editor, monkeypatch)

    def told(change):
        browser.edit(change)
        return editor.facts["undo"]

    assert told(lambda d: d["points"][1].__setitem__(1, 0.8)) == "Point at 0.20, gain 0.80."
    assert told(lambda d: d["points"].insert(1, [0.1, 0.9, 0.1])) == "Target of 5 points."
    assert told(lambda d: [p.__setitem__(2, 0.15) for p in d["points"]]) == "Tolerance 0.15."
    editor.close()


def test_removing_a_band_offers_to_take_it_back(editor, browser):
    browser.edit(bands=bands()[1:])
    assert editor.value == FilterShape.bandlimited(0.35)
    remark = editor.messages[0]
    assert (remark["text"], remark["ways"]) == (
        "Pass band removed.",
        [{"label": "Undo", "do": "undo"}],
    )
    browser.ask("undo")
    assert editor.value == LOW
    assert texts(editor) == [LOW.feasibility(31).statement]


def test_stop_bands_alone_say_how_much_is_left_free():
    editor = FilterShapeEditor(FilterShape.bandlimited(0.5))
    assert texts(editor) == ["31 taps meet this drawing, band-limited: 10 free numbers of 31."]
    rows = editor.facts["result"]["rows"]
    assert rows[0] == ["band-limited", "10 free numbers of 31", False]
    editor.taps = 5
    first = editor.messages[0]
    assert first["text"] == "5 taps cannot hold 40 dB outside the pass region."
    assert labels(editor)[0] == "Use 9 taps"
    editor.close()


def test_an_even_length_is_no_highpass():
    editor = FilterShapeEditor(FilterShape.highpass(0.35, 0.2), taps=32)
    first = editor.messages[0]
    said = "An even number of symmetric taps is zero at Nyquist: no high-pass."
    assert (first["text"], first["detail"]) == (said, "Change one:")
    assert labels(editor) == ["Use 31 taps", "Use 33 taps"]
    assert editor.facts["outlined"] == ["taps"]
    editor.close()


def test_the_facts_are_read_aloud(editor):
    weight = torch.linspace(0, 1, 31)
    editor.weight = weight
    report = LOW.measure(LOW.project(weight.double())[None])
    stop, ripple = report.worst_stop_db, report.worst_ripple_db
    moved = float((LOW.project(weight.double()) - weight).norm() / weight.norm())
    assert editor.facts["aloud"] == (
        f"31 taps meet this drawing, worst stop −{abs(stop):.1f} dB, worst ripple {ripple:.2f} dB, "
        f"moved by {100 * moved:.0f} % of its norm"
    )
    assert editor.facts["result"]["title"] == "Nearest kernel"
    editor.taps = 15
    assert editor.facts["aloud"].startswith("No symmetric kernel of 15 taps meets this drawing, ")
    assert editor.facts["result"]["title"] == "Closest miss"
    assert all(missed for _, _, missed in editor.facts["result"]["rows"])


# Numbers


def levels(kernel, shape, frequencies):
    """|H| relative to the kernel's own gain, by scipy."""
    angles = np.pi * frequencies / shape.nyquist * shape.dilation
    _, response = freqz(np.asarray(kernel, float), worN=angles)
    return np.abs(response) / float(shape.reference(torch.as_tensor(kernel, dtype=torch.float64)))


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_the_curve_is_the_response_of_the_kernel_shown(shape):
    editor = FilterShapeEditor(shape, taps=33, weight=torch.randn(3, 1, 33))
    curve = editor.facts["curve"]
    across = np.linspace(0, shape.nyquist, len(curve["levels"]))
    wanted = levels(editor.outcome.kernel, shape, across)
    shown = np.array(curve["levels"])
    if not shape.points:
        shown = 10 ** (shown / 20)
    assert shown == pytest.approx(wanted, rel=2e-4, abs=1e-3)
    editor.close()


def test_the_curve_leaves_the_drawing_exactly_where_it_is_red(editor):
    editor.value, editor.taps = STEEP, 15
    curve = editor.facts["curve"]
    across = np.linspace(0, 1, len(curve["levels"]))
    low, high = STEEP.limits(across)
    # nearer to a limit than this, the line on the screen lies on it
    found = 10 ** (np.array(curve["levels"]) / 20)
    slack = 10 ** (0.06 / 20)
    outside = (found > high * slack) | (found * slack < low)
    inside = (found * slack < high) & (found > low * slack)
    red = np.zeros(len(across), bool)
    for first, last in curve["runs"]:
        red[first : last + 1] = True
    assert red[outside].all()
    assert not red[inside].any()
    assert len(curve["runs"]) > 5
    enlarged = editor.facts["enlarged"]["0"]
    assert (enlarged["low"], enlarged["high"]) == (0.0, 0.2)
    assert enlarged["runs"]


def test_the_kernel_is_the_allowed_one_nearest_to_the_filter_that_misses_most():
    generator = torch.Generator().manual_seed(0)
    good = LOW.sample((2, 1, 31), generator)
    bad = torch.randn(1, 1, 31, generator=generator)
    dead = torch.zeros(1, 1, 31)
    editor = FilterShapeEditor(LOW, weight=torch.cat([dead, good, bad]), name="conv1.weight")
    wanted = LOW.project(bad[0, 0].double())
    assert editor.facts["kernel"] == pytest.approx(wanted.numpy(), abs=1e-6)
    assert editor.facts["legend"] == {
        "solid": "nearest allowed kernel",
        "dashed": "kernel now in the layer, worst of 3",
    }
    assert editor.facts["name"] == "conv1.weight"
    across = np.linspace(0, 1, len(editor.facts["curve"]["layer"]))
    shown = 10 ** (np.array(editor.facts["curve"]["layer"]) / 20)
    assert shown == pytest.approx(levels(bad[0, 0], LOW, across), rel=2e-3, abs=1e-3)
    editor.close()


def test_without_a_weight_it_is_the_most_interior_kernel(editor):
    assert editor.facts["kernel"] == pytest.approx(LOW.feasibility(31).kernel, abs=1e-6)
    assert editor.facts["legend"] == {"solid": "most interior kernel", "dashed": ""}
    assert editor.facts["curve"]["layer"] == []


def test_the_layer_is_read_anew_at_each_edit_and_when_it_is_assigned(editor, browser):
    layer = torch.nn.Conv1d(1, 4, 31)
    editor.weight = layer.weight
    before = editor.facts["curve"]["layer"]
    with torch.no_grad():
        layer.weight.copy_(torch.randn(4, 1, 31))
    editor.weight = layer.weight
    middle = editor.facts["curve"]["layer"]
    assert middle != before
    with torch.no_grad():
        layer.weight.copy_(torch.randn(4, 1, 31))
    browser.band(0, 2, 0.21)
    assert editor.facts["curve"]["layer"] != middle
    editor.weight = None
    assert editor.facts["curve"]["layer"] == []


def test_a_layer_of_another_length_is_said_so(editor):
    editor.weight = torch.randn(4, 1, 31)
    editor.taps = 45
    assert "The layer's kernels have 31 taps, the drawing 45." in texts(editor)
    assert editor.facts["legend"]["solid"] == "most interior kernel"


def test_padding_is_mentioned_once(editor, browser):
    fresh = FilterShapeEditor(LOW, weight=torch.randn(4, 1, 31))
    assert texts(fresh)[1:] == ["Zero padding leaks at the borders whatever the kernel:"]
    assert fresh.messages[1]["kind"] == "info"
    fresh.value = FilterShape.lowpass(0.2, 0.4)
    assert len(fresh.messages) == 1
    assert len(editor.messages) == 1, "without a layer there is no padding"
    fresh.close()


def test_in_a_large_layer_a_gesture_stays_with_one_filter(editor, browser):
    weight = torch.randn(300, 1, 31)
    editor.weight = weight
    editor._chosen = 7  # as if it had been the worst of another drawing
    browser.band(0, 2, 0.21, gesture="drag")
    shown = np.array(editor.facts["curve"]["layer"][:400])
    across = np.linspace(0, 1, len(editor.facts["curve"]["layer"]))[:400]
    wanted = levels(weight[7, 0], filter_forms.to_shape(editor.drawing), across)
    assert 10 ** (shown / 20) == pytest.approx(wanted, rel=2e-3, abs=1e-3)
    browser.band(0, 2, 0.22)
    report = FilterShape.lowpass(0.22, 0.35).measure(weight)
    assert editor._chosen == int(np.argmax(report.excess_db))


# Forms


FORMS = {
    "lowpass": LOW,
    "highpass": FilterShape.highpass(0.35, 0.2),
    "bandpass": FilterShape.bandpass((0.35, 0.65), (0.2, 0.8)),
    "bandstop": FilterShape.bandstop((0.2, 0.8), (0.35, 0.65)),
}


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("form", [*FORMS, "target"])
def test_every_form_can_be_had_from_every_other(first, form, monkeypatch):
    editor = FilterShapeEditor(FORMS[first])
    Browser(editor, monkeypatch).ask("form", form=form)
    if form == "target":
        assert editor.value.points
    else:
        assert editor.value == FORMS[form]
    assert editor.facts["feasible"], "31 taps do it"
    editor.close()


def test_a_form_keeps_edges_levels_and_unit(monkeypatch):
    shape = FilterShape.lowpass(1000, 2000, ripple_db=0.5, attenuation_db=30, sampling_rate=16000)
    editor = FilterShapeEditor(shape)
    browser = Browser(editor, monkeypatch)
    browser.ask("form", form="highpass")
    assert editor.value == FilterShape.highpass(
        2000, 1000, ripple_db=0.5, attenuation_db=30, sampling_rate=16000
    )
    browser.ask("form", form="bandpass")
    assert [band[1:3] for band in editor.value.bands] == [(0, 1600), (2800, 5200), (6400, 8000)]
    assert {band.decibels for band in editor.value.bands} == {0.5, 30}
    editor.close()


def test_a_target_begins_where_the_bands_were(monkeypatch):
    editor = FilterShapeEditor(FilterShape.bandlimited(0.5))
    Browser(editor, monkeypatch).ask("form", form="target")
    assert [tuple(p) for p in editor.drawing["points"]] == [
        (0.0, 1.0, 0.1),
        (0.5, 0.0, 0.1),
        (1.0, 0.0, 0.1),
    ]
    editor.close()


# Selection, closing, pages without a front end


def test_the_selection_never_names_what_is_gone(editor):
    editor.selected = ["b:1"]
    editor.value = FilterShape.bandlimited(0.5)
    assert editor.selected == []


def test_closing_leaves_no_model_and_no_object():
    before = set(MODELS)
    editor = FilterShapeEditor(LOW, weight=torch.randn(4, 1, 31))
    assert len(MODELS) > len(before)
    editor.taps = 15
    gone = weakref.ref(editor)
    editor.close()
    assert set(MODELS) == before
    del editor
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_pages_without_a_front_end_show_picture_and_code(shape):
    editor = FilterShapeEditor(shape, taps=33, weight=torch.randn(3, 1, 33))
    data, _ = editor._repr_mimebundle_()
    assert data["text/plain"] == editor.code()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == editor.model_id
    root = ElementTree.fromstring(data["image/svg+xml"])
    assert len(list(root.iter(f"{SVG}circle"))) == 33
    hatched = [p for p in root.iter(f"{SVG}path") if p.get("fill", "").startswith("url(#")]
    two_sided = [band for band in shape.bands if band.kind == "pass"]
    assert len(hatched) == len(shape.bands) + len(two_sided) + 2 * bool(shape.points)
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"gain" if shape.points else "dB", f"{shape.nyquist:g}"} <= texts
    numbers = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", data["image/svg+xml"])
    assert all(0 <= float(x) <= 588 and 0 <= float(y) <= 400 for x, y in numbers)
    editor.close()


def test_two_pictures_on_one_page_keep_their_own_hatching(editor):
    other = FilterShapeEditor(FilterShape.highpass(0.35, 0.2))
    names = [re.search(r'pattern id="([^"]+)"', e._picture())[1] for e in (editor, other)]
    assert names[0] != names[1]
    for one, name in zip((editor, other), names, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", one._picture())) == {name}
    other.close()


# The module as text


def script():
    return FilterShapeEditor._esm


def test_the_module_reads_and_writes_exactly_the_synced_traits():
    said = {a or b for a, b in re.findall(r'model\.(?:get|set)\("(\w+)"|change:(\w+)', script())}
    said |= set(re.findall(r'conversation\(model, "(\w+)"\)', script()))
    own = set(FilterShapeEditor.class_traits(sync=True)) - set(
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
    assert re.findall(r"(\w+)\.tabIndex", script()) == ["root"], "only the frame lets keys through"


def test_the_names_tests_hold_on_to_are_in_the_module():
    top = (FOLDER / "filter_shape_editor.js").read_text(encoding="utf-8")
    listed = re.search(r"^// The filter shape editor.*?^(?!//)", top, re.S | re.M)[0]
    commands = re.search(r'data-cmd="([^"]+)"', listed)[1].replace("\n//", "").replace(" ", "")
    for command in commands.split("|"):
        assert re.search(rf"[\"`]{command.split(':')[0]}\b", script()), command
    fields = re.search(r'data-field="([^"]+)"', listed)[1].replace("\n//", "").replace(" ", "")
    for field in fields.split("|"):
        start = re.escape(field.removesuffix("-I"))
        assert re.search(rf"(name: |\")[`\"]?(\$\{{end\}}|{start})[-\"]", script()), field
    for name in re.findall(r'data-testid="([\w-]+)"', listed):
        assert f'"{name}"' in script(), name


# Geometry and edits, in node


def in_node(expression):
    """The value of an expression over the functions of filter_plot.js."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    text = (FOLDER / "filter_plot.js").read_text(encoding="utf-8")
    program = f"{text}\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        ["node", "--input-type=module"], input=program, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


DRAWINGS = [filter_forms.to_drawing(shape, 31) for shape in SHAPES]


def test_places_on_the_axes_are_read_as_they_are_drawn():
    for drawing, shape in zip(DRAWINGS, SHAPES, strict=True):
        found = in_node(
            f"(() => {{ const a = axesOf({json.dumps(drawing)}); return [a.frequency(a.x("
            f"{0.3 * shape.nyquist})), a.level(a.y(a.of(-20))), a.of(-20), ...a.range]; }})()"
        )
        assert found[0] == pytest.approx(0.3 * shape.nyquist)
        assert found[1] == pytest.approx(found[2])
        deepest = max([0, *(band.decibels for band in shape.bands if band.kind == "stop")])
        if shape.points:
            assert found[3:] == [0, pytest.approx(1.4)]
        else:
            assert found[3] <= min(-72, -deepest - 12)
            assert found[4] == 6


def test_the_first_axis_runs_from_6_to_minus_72():
    assert in_node(f"axesOf({json.dumps(DRAWINGS[0])}).range") == [-72, 6]


def test_a_drag_beyond_a_neighbor_stops_in_front_of_it_and_says_so():
    low = json.dumps(DRAWINGS[0])
    pull = "{kind: 'edge', index: 0, end: 'high'}"
    found = in_node(f"moved({low}, {pull}, {{frequency: 0.5}})")
    assert found["hint"] == "Pass must end before stop begins (0.34)."
    assert found["drawing"]["bands"][0] == ["pass", 0, 0.34, 1]
    push = "{kind: 'corner', index: 1, end: 'low'}"
    found = in_node(f"moved({low}, {push}, {{frequency: 0.1, decibels: 400}})")
    assert found["hint"] == "Stop must begin after pass ends (0.21)."
    assert found["drawing"]["bands"][1] == ["stop", 0.21, 1, 150]
    found = in_node(f"moved({low}, {push}, {{frequency: 0.5, decibels: 50}})")
    assert found["hint"] == ""
    assert found["drawing"]["bands"][1] == ["stop", 0.5, 1, 50]


def random_moves(drawing, count):
    """Wild moves of all handles, one after the other."""
    return in_node(
        f"""(() => {{
          let drawing = {json.dumps(drawing)}, state = 7;
          const random = () => (state = (state * 16807) % 2147483647) / 2147483647;
          const seen = [];
          for (let i = 0; i < {count}; i++) {{
            const handles = handlesOf(drawing, axesOf(drawing), Math.floor(random() * 3));
            const handle = handles[Math.floor(random() * handles.length)];
            const nyquist = nyquistOf(drawing);
            const to = {{frequency: (2 * random() - 0.5) * nyquist, decibels: 400 * random() - 100,
              gain: 6 * random() - 1}};
            drawing = moved(drawing, handle, to).drawing;
            seen.push(drawing);
          }}
          return seen; }})()"""
    )


@pytest.mark.parametrize("drawing", DRAWINGS, ids=[repr(shape) for shape in SHAPES])
def test_no_gesture_makes_a_drawing_that_python_refuses(drawing):
    for after in random_moves(drawing, 60):
        assert filter_words.refusals(drawing, after) == []


def test_new_bands_find_free_ground_or_there_is_none():
    drawn = [d for d, shape in zip(DRAWINGS, SHAPES, strict=True) if not shape.points]
    program = f"""{json.dumps(drawn)}.map((d) => [freeGround(d).length,
      ...["pass", "stop"].flatMap((kind) => [0, 0.27, 0.5, 1].map(
        (share) => withNewBand(d, kind, share * nyquistOf(d))))])"""
    for drawing, (grounds, *made) in zip(drawn, in_node(program), strict=True):
        for after in made:
            if not grounds:
                assert after is None
                continue
            assert len(after["bands"]) == len(drawing["bands"]) + 1
            assert filter_words.refusals(drawing, after) == []


def test_another_sampling_rate_leaves_the_picture_as_it_is():
    for drawing in DRAWINGS:
        places = "d => handlesOf(d, axesOf(d)).map(({x, y}) => [x, y])"
        program = f"""(() => {{
          const places = {places}, d = {json.dumps(drawing)}, fast = withRate(d, 44100);
          return [places(d), places(fast), withRate(fast, null)]; }})()"""
        before, after, back = in_node(program)
        assert np.array(after) == pytest.approx(np.array(before), abs=1e-3)
        assert back["sampling_rate"] is None


def test_a_stroke_becomes_few_points_that_follow_the_hand():
    frequencies = np.linspace(0.05, 0.9, 200)
    hand = np.stack([frequencies, 0.5 + 0.4 * np.cos(4 * frequencies)], 1)
    target = DRAWINGS[6]
    made = in_node(f"withStroke({json.dumps(target)}, {json.dumps(hand.tolist())})")
    points = np.array(made["points"])
    assert filter_words.refusals(target, made) == []
    assert points[0].tolist() == [0, 1, 0.1], "where the hand was not, the target is the old one"
    assert points[-1].tolist() == [1, 0, 0.1]
    assert len(points) < 16
    inner = frequencies[(frequencies > 0.06) & (frequencies < 0.89)]
    drawn = np.interp(inner, points[:, 0], points[:, 1])
    assert np.abs(drawn - (0.5 + 0.4 * np.cos(4 * inner))).max() < 0.035


def test_the_browser_draws_whatever_python_takes():
    rng = np.random.default_rng(3)
    odd = [-1, 0, 0.1, 0.3, 0.9, 5000, "x", None]
    drawings = [deepcopy(DRAWINGS[i]) for i in rng.integers(0, 4, 60)]
    for drawing in drawings:
        band = drawing["bands"][int(rng.integers(0, len(drawing["bands"])))]
        band[int(rng.integers(1, 4))] = odd[int(rng.integers(0, len(odd)))]
    drawn = in_node(f"{json.dumps(drawings)}.map(isWellFormed)")
    taken = [filter_words.refusals(d | {"bands": []}, d) == [] for d in drawings]
    assert {(True, True), (False, False)} <= set(zip(drawn, taken, strict=True))
    assert (False, True) not in set(zip(drawn, taken, strict=True))


NUMBERS = [0.2, 0.35, 0.355, 0.3551, 1, 0, 2800.5, 16000]


def test_numbers_are_written_alike_in_python_and_in_the_browser():
    ours = in_node(f"{json.dumps(NUMBERS)}.map(v => [frequencyText(v, 1), digits(v, 0, 2)])")
    theirs = [
        [filter_words._frequency(v, 1.0), filter_words._frequency(v, 8000.0).removesuffix(" Hz")]
        for v in NUMBERS
    ]
    assert ours == theirs


def test_the_button_of_the_bar_is_that_of_the_drawing():
    found = in_node(f"{json.dumps(DRAWINGS[:7])}.map(formOf)")
    assert found == ["lowpass", "highpass", "bandpass", "bandstop", None, None, "target"]


def test_the_enlarged_pass_band_covers_no_handle():
    for drawing in DRAWINGS[:4]:
        program = f"""(() => {{ const d = {json.dumps(drawing)}, axes = axesOf(d);
          return d.bands.flatMap((band, i) => band[0] === "pass"
            ? [[insetPlace(d.bands, i, axes), handlesOf(d, axes)]] : []); }})()"""
        for place, handles in in_node(program):
            assert place["x"] >= 44
            assert place["x"] + place["width"] <= 572
            assert place["y"] + place["height"] <= 276
            for handle in handles:
                apart_x = max(place["x"] - handle["x"], handle["x"] - place["x"] - place["width"])
                apart_y = max(place["y"] - handle["y"], handle["y"] - place["y"] - place["height"])
                assert max(apart_x, apart_y) >= 7.5, handle["key"]


def test_taps_are_drawn_in_step_with_their_number():
    styles = [in_node(f"stemsOf(Array({n}).fill(1)).style") for n in (1, 32, 33, 96, 97)]
    assert styles == ["dots", "dots", "stems", "stems", "outline"]
    made = in_node("stemsOf([-0.5, 1, -0.5])")
    heights = [place["y"] for place in made["places"]]
    assert heights[1] == 362
    assert heights[0] == heights[2] == 444
    assert made["zero"] == pytest.approx(362 + 82 * 2 / 3, abs=0.01)


def test_it_is_a_constraint_that_can_be_held(editor):
    layer = torch.nn.Conv1d(1, 4, editor.taps)
    held = sk.hold(layer, {"weight": editor.value}, sk.Projection())
    assert held.violation()["weight"] <= 0.03
