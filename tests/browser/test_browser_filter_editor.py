"""The filter shape editor by hand: drawing, asking too much, taking a way out, training."""

import os
from pathlib import Path

import lab
import pytest
import sight
from filter_editor import DRAWN, LOW, OUTER, START, VALUE, FilterEditor, own_listeners
from lab import center
from playwright.sync_api import expect
from test_browser_lab_keys import INSIDE, NEXT
from test_browser_looks import THEMES, WIDER

TRAIN = """
generator = torch.Generator().manual_seed(0)
signals = torch.randn(64, 1, 80, generator=generator)
wanted = signals.roll(1, -1).cumsum(-1).mean(-1, keepdim=True)
layer = torch.nn.Conv1d(1, 4, editor.taps, padding="same")
model = torch.nn.Sequential(layer, torch.nn.Tanh(), torch.nn.AdaptiveAvgPool1d(1),
                            torch.nn.Flatten(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
held = sk.hold(layer, {"weight": editor.value}, sk.Projection(), optimizer)
before = layer.weight.detach().clone()
for _ in range(20):
    optimizer.zero_grad()
    (model(signals) - wanted[..., 0]).square().mean().backward()
    optimizer.step()
print("dB above the drawing:", round(held.violation()["weight"], 3))
"""
FAR = "not torch.equal(before, layer.weight)"


def opened(open_notebook, arguments="", more=(), **window) -> FilterEditor:
    notebook = open_notebook([START.format(arguments=arguments), *more], **window)
    notebook.run(0)
    return FilterEditor(notebook, 0)


def dress(editor, theme) -> None:
    """Another theme, once Lab has taken away the curtain behind which it changes."""
    editor.notebook.theme(theme)
    expect(editor.page.locator("#main-logo")).to_have_count(0)


def trains(notebook) -> None:
    """The next cell holds a layer to what was drawn, trains it, and measures it."""
    (printed,) = notebook.run(1)
    assert printed["text"].startswith("dB above the drawing:")
    assert float(printed["text"].split(":")[1]) <= 0.03
    assert notebook.ask(FAR), "the layer has learned"


def test_by_mouse_from_nothing_to_a_trained_layer(open_notebook):
    editor = opened(open_notebook, more=[TRAIN])
    notebook = editor.notebook
    editor.says("Hatched ground is forbidden. Drag a handle, or use the arrow keys.")
    editor.pull("c:1:low", 0.4, -50)
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.4, attenuation_db=50)")
    editor.pull("e:0:high", 0.25, -24)
    notebook.until(VALUE, "FilterShape.lowpass(0.25, 0.4, attenuation_db=50)")
    good = notebook.ask(VALUE)

    # Too much: the plot shows what is missed, the value is still the good one.
    assert not editor.root.locator(".sk-leaves").first.get_attribute("d")
    editor.pull("c:1:low", 0.29, -70)
    editor.says("No symmetric kernel of 31 taps meets this drawing.")
    assert editor.root.locator(".sk-leaves").first.get_attribute("d")
    notebook.until(DRAWN, [["pass", 0, 0.25, 1], ["stop", 0.29, 1, 70]])
    assert notebook.ask(VALUE) == good
    expect(editor.root.get_by_test_id("code")).to_contain_text("lowpass(0.25, 0.4")
    editor.says("with these edges and this ripple 31 taps reach")
    longer = editor.way("taps")
    expect(editor.field("taps").locator("xpath=..")).to_have_class("sk-input sk-asked")
    words = longer.inner_text()
    editor.click(longer)
    editor.says("meet this drawing")
    needed = int(words.split()[1])
    notebook.until("editor.taps", needed)
    assert notebook.ask(VALUE) == "FilterShape.lowpass(0.25, 0.29, attenuation_db=70)"
    expect(editor.field("taps")).to_have_value(str(needed))
    editor.click(editor.command("undo"))
    editor.says("No symmetric kernel of 31 taps")
    notebook.until("editor.taps", 31)
    assert notebook.ask(VALUE) == good
    trains(notebook)


def test_by_keyboard_alone_from_nothing_to_a_trained_layer(open_notebook):
    editor = opened(open_notebook, more=[TRAIN])
    notebook = editor.notebook
    editor.command("form:lowpass").focus()
    while not editor.canvas.evaluate(INSIDE):
        notebook.press("Tab")
        assert editor.root.evaluate(INSIDE)
    # The first stop in the drawing is where the ring was.
    expect(editor.key("c:1:low")).to_be_focused()
    notebook.press(*5 * ["ArrowRight"], "Control+ArrowDown")
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.4, attenuation_db=50)")
    notebook.press("Shift+ArrowLeft")
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.399, attenuation_db=50)")
    expect(editor.root.get_by_test_id("polite")).to_contain_text("Stop from 0.399.")
    notebook.press("Home")
    expect(editor.key("l:0")).to_be_focused()
    notebook.press("ArrowUp", "ArrowUp")
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.399, ripple_db=0.8, attenuation_db=50)")
    notebook.press("]")
    expect(editor.key("e:0:high")).to_be_focused()
    # As far as it goes, and why.
    notebook.press("Control+ArrowRight", "Control+ArrowRight")
    editor.says("Pass must end before stop begins (0.389).")
    expect(editor.root.get_by_test_id("polite")).to_contain_text("Pass must end before stop")
    notebook.until("editor.drawing['bands'][0][2]", 0.389)
    editor.root.get_by_test_id("assertive")
    notebook.press("Escape")
    editor.says("No symmetric kernel of 31 taps meets this drawing.")
    kept = notebook.ask(VALUE)
    assert "0.389" not in kept
    # Enter opens its field; a taken place is refused there.
    notebook.press("Enter")
    expect(editor.field("high-0")).to_be_focused()
    notebook.press("Control+a")
    notebook.page.keyboard.type("0.5")
    notebook.press("Enter")
    refused = "Pass must end before stop begins (0.399). Move that first."
    expect(editor.described("high-0")).to_contain_text(refused)
    expect(editor.root.get_by_test_id("assertive")).to_contain_text("Pass must end before stop")
    # The search for ways out, whenever it answers, takes neither the words nor the text away.
    notebook.until("editor.facts['searched']", True)
    expect(editor.described("high-0")).to_contain_text(refused)
    expect(editor.field("high-0")).to_have_value("0.5")
    notebook.press("Control+a")
    notebook.page.keyboard.type("0.25")
    notebook.press("Enter")
    expect(editor.key("e:0:high")).to_be_focused()
    notebook.until(VALUE, "FilterShape.lowpass(0.25, 0.399, ripple_db=0.8, attenuation_db=50)")
    # Length, and the facts read aloud.
    notebook.press("PageDown", "PageDown")
    notebook.until("editor.drawing['taps']", 27)
    notebook.press("PageUp", "PageUp", "PageUp")
    notebook.until("editor.taps", 33)
    notebook.press("a")
    spoken = editor.root.get_by_test_id("polite")
    expect(spoken).to_contain_text("33 taps meet this drawing, worst stop −")
    trains(notebook)


def test_ways_out_are_reached_with_the_keys(open_notebook):
    editor = opened(open_notebook, "taps=15")
    notebook = editor.notebook
    notebook.until("editor.facts['searched']", True)
    editor.key("c:1:low").focus()
    while not editor.status.evaluate(INSIDE):
        notebook.press("Tab")
        assert editor.root.evaluate(INSIDE)
    expect(editor.way("Use 21 taps")).to_be_focused()
    notebook.press("Enter")
    notebook.until("editor.taps", 21)
    editor.says("21 taps meet this drawing")
    assert editor.root.evaluate(INSIDE)
    notebook.press("Control+z")
    notebook.until("editor.drawing['taps']", 15)


def test_a_drag_is_one_step_back(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.pull("e:0:high", 0.25, -30)
    notebook.until(VALUE, "FilterShape.lowpass(0.25, 0.35)")
    editor.pull("l:1", 0.6, -30)
    notebook.until(VALUE, "FilterShape.lowpass(0.25, 0.35, attenuation_db=30)")
    # a ripple is dragged twenty pixels for one dB
    x, y = center(editor.key("l:0"))
    notebook.drag((x, y), (x, y + 10), steps=10)
    notebook.until("editor.drawing['bands'][0][3]", 1.5)
    for value in (
        "FilterShape.lowpass(0.25, 0.35, attenuation_db=30)",
        "FilterShape.lowpass(0.25, 0.35)",
        LOW,
    ):
        editor.click(editor.command("undo"))
        notebook.until(VALUE, value)
    editor.offers(undo=False, redo=True)
    notebook.press("Control+Shift+z", "Control+y")
    notebook.until(VALUE, "FilterShape.lowpass(0.25, 0.35, attenuation_db=30)")


def test_escape_in_a_drag_puts_everything_back(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    notebook.page.mouse.move(*center(editor.key("c:1:low")))
    notebook.page.mouse.down()
    notebook.page.mouse.move(*editor.place(0.5, -60), steps=8)
    notebook.until(DRAWN, [["pass", 0, 0.2, 1], ["stop", 0.5, 1, 60]])
    notebook.press("Escape")
    notebook.until(VALUE, LOW)
    notebook.page.mouse.move(*editor.place(0.7, -60), steps=4)
    notebook.page.mouse.up()
    editor.offers(undo=False, redo=False)
    assert notebook.ask(VALUE) == LOW


SLOW = """
import time
class Slow(FilterShapeEditor):
    def _settle(self):
        time.sleep(0.25)
        super()._settle()
editor = Slow()
answers = []
editor.observe(lambda change: answers.append(change["new"]["answered"]), "facts")
editor
"""


def test_a_slow_answer_never_holds_the_hand(open_notebook):
    editor = opened(open_notebook, more=[SLOW])
    notebook = editor.notebook
    notebook.run(1)
    slow = FilterEditor(notebook, 1)
    notebook.sent.clear()
    handle = slow.key("c:1:low")
    notebook.page.mouse.move(*center(handle))
    notebook.page.mouse.down()
    for frequency in range(36, 70):
        notebook.page.mouse.move(*slow.place(frequency / 100, -50))
        # where the hand is, whether Python has answered or not
        wide = (44 + 5.28 * frequency, 16 + 260 * 56 / 78)
        where = handle.get_attribute("transform")[10:-1].split(" ")
        assert [float(v) for v in where] == pytest.approx(wide, abs=0.2)
    notebook.page.mouse.up()
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.69, attenuation_db=50)")
    moves = [frame for frame in notebook.sent if b'"edit"' in frame]
    assert 2 <= len(moves) <= 12, "the next move is sent when the last is answered; newest wins"
    assert notebook.ask("len({*answers} - {''})") == len(moves)
    slow.click(slow.command("undo"))
    notebook.until(VALUE, LOW)


def test_two_views_agree_after_every_gesture(open_notebook):
    editor = opened(open_notebook, more=["editor"], height=1900)
    notebook = editor.notebook
    notebook.run(1)
    other = FilterEditor(notebook, 1)
    alike = "([a, b]) => a.querySelector('.sk-things').innerHTML.replace(/tabindex=\"-?\\d\"/g, '')"
    alike += " === b.querySelector('.sk-things').innerHTML.replace(/tabindex=\"-?\\d\"/g, '')"
    alike += " && a.querySelector('.sk-response').outerHTML"
    alike += " === b.querySelector('.sk-response').outerHTML"

    def agree():
        handles = [view.root.element_handle() for view in (editor, other)]
        notebook.page.wait_for_function(alike, arg=handles)

    steps = [
        (lambda: editor.pull("c:1:low", 0.5, -44), "FilterShape.lowpass(0.2, 0.5, "
         "attenuation_db=44)"),
        (lambda: other.click(other.command("form:highpass")),
         "FilterShape.highpass(0.5, 0.2, attenuation_db=44)"),
        (lambda: editor.write("decibels-0", "30"),
         "FilterShape.highpass(0.5, 0.2, attenuation_db=30)"),
        (lambda: other.click(other.command("undo")),
         "FilterShape.highpass(0.5, 0.2, attenuation_db=44)"),
        (lambda: editor.click(editor.command("undo")),
         "FilterShape.lowpass(0.2, 0.5, attenuation_db=44)"),
        (lambda: other.click(other.command("redo")),
         "FilterShape.highpass(0.5, 0.2, attenuation_db=44)"),
    ]  # fmt: skip
    for step, value in steps:
        step()
        notebook.until(VALUE, value)
        agree()
        for cmd in ("undo", "redo"):
            other.offers(**{cmd: editor.command(cmd).is_enabled()})
    notebook.execute("editor.value = sk.FilterShape.bandlimited(0.5)")
    for view in (editor, other):
        view.says("band-limited: 10 free numbers of 31")
    agree()


def test_bands_come_and_go(open_notebook):
    editor = opened(open_notebook, "sk.FilterShape.lowpass(0.2, 0.5)")
    notebook = editor.notebook
    # a double click on free ground, far down: stopped there
    notebook.page.mouse.dblclick(*editor.place(0.35, -30))
    notebook.until("[b[0] for b in editor.drawing['bands']]", ["pass", "stop", "stop"])
    assert notebook.ask("editor.drawing['bands'][1][3]") == pytest.approx(30, abs=1)
    expect(editor.key("b:1")).to_be_focused()
    notebook.until("editor.selected", ["b:1"])
    editor.click(editor.command("remove:1"))
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.5)")
    editor.says("Stop band removed.")
    editor.click(editor.way("Undo"))
    notebook.until("len(editor.drawing['bands'])", 3)
    # by keys: B goes to a band, Delete removes it; N and S make new ones
    editor.key("c:2:low").focus()
    notebook.press("b", "b")
    expect(editor.key("b:0")).to_be_focused()
    notebook.press("Delete")
    notebook.until("[b[0] for b in editor.drawing['bands']]", ["stop", "stop"])
    assert editor.root.evaluate(INSIDE)
    notebook.press("n")
    notebook.until("[b[0] for b in editor.drawing['bands']]", ["stop", "pass", "stop"])
    notebook.press("Control+z", "Control+z", "Control+z")
    notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.5)")
    # a click on forbidden ground selects; its ends can be dragged then, and typed
    notebook.page.mouse.click(*editor.place(0.8, -10))
    notebook.until("editor.selected", ["b:1"])
    editor.pull("c:1:high", 0.9, -40)
    notebook.until("editor.drawing['bands'][1][2]", 0.9)
    expect(editor.field("high-1")).to_have_value("0.90")


AIM = """'M' + 'L'.join(
    f'{round(44 + 528 * frequency, 1):g} {round(276 - 260 * gain / 1.4, 1):g}'
    for frequency, gain, _ in editor.drawing['points']
)"""


def test_a_target_is_drawn_free_hand(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.click(editor.command("form:target"))
    editor.says("meet this drawing")
    notebook.until("len(editor.drawing['points'])", 4)
    axis = {"top": 1.4, "bottom": 0}
    mouse = notebook.page.mouse
    mouse.move(*editor.place(0.3, 0.7, **axis))
    mouse.down()
    for k in range(21):
        mouse.move(*editor.place(0.3 + 0.02 * k, 0.7 - 0.02 * k, **axis), steps=3)
    mouse.up()
    notebook.until(AIM, editor.root.locator(".sk-aim").get_attribute("d"))
    points = notebook.ask("editor.drawing['points']")
    drawn = [(f, g) for f, g, _ in points if 0.3 <= f <= 0.7]
    assert 2 <= len(drawn) <= 6
    for frequency, gain in drawn:
        assert gain == pytest.approx(0.7 - (frequency - 0.3), abs=0.03)
    assert [p[:2] for p in points if p[0] < 0.29] == [[0, 1], [0.2, 1]]
    editor.click(editor.command("undo"))
    notebook.until("len(editor.drawing['points'])", 4)
    # points by keys: N adds one, arrows move it, Delete takes it away
    editor.key("t:1").focus()
    notebook.press("n")
    expect(editor.key("t:2")).to_be_focused()
    notebook.until("len(editor.drawing['points'])", 5)
    before = notebook.ask("editor.drawing['points'][2]")
    notebook.press("ArrowUp", "ArrowRight")
    wanted = [round(before[0] + 0.01, 6), round(before[1] + 0.01, 6), before[2]]
    notebook.until("editor.drawing['points'][2]", wanted)
    notebook.press("Delete")
    notebook.until("len(editor.drawing['points'])", 4)
    editor.write("tolerance", "0.2")
    notebook.until("{p[2] for p in editor.drawing['points']} == {0.2}", True)
    assert notebook.ask("editor.value.points != ()")


def test_hertz_and_back(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    handles = [editor.key(name) for name in ("l:0", "e:0:high", "c:1:low", "l:1")]
    places = [handle.get_attribute("transform") for handle in handles]
    editor.write("rate", "16000")
    notebook.until(VALUE, "FilterShape.lowpass(1600, 2800, sampling_rate=16000)")
    expect(editor.field("high-0")).to_have_value("1600")
    expect(editor.canvas).to_contain_text("frequency, Hz")
    assert [handle.get_attribute("transform") for handle in handles] == places
    editor.key("e:0:high").focus()
    notebook.press("ArrowRight")
    notebook.until(VALUE, "FilterShape.lowpass(1680, 2800, sampling_rate=16000)")
    editor.write("rate", "-3")
    expect(editor.described("rate")).to_contain_text("Wanted a sampling rate above 0 Hz")
    notebook.press("Escape")
    editor.click(editor.field("rate"))
    notebook.press("Control+a", "Delete", "Enter")
    notebook.until(VALUE, "FilterShape.lowpass(0.21, 0.35)")


REFUSED = [
    ("high-0", "1.5", "Wanted a frequency from 0 to 1, which is Nyquist, got “1.5”."),
    ("low-1", "abc", "Wanted a frequency from 0 to 1, which is Nyquist, got “abc”."),
    ("decibels-0", "0", "Wanted a ripple from 0.001 to 40 dB, got “0”."),
    ("decibels-1", "-3", "Wanted an attenuation from 0.1 to 200 dB, got “-3”."),
    ("taps", "31.5", "Wanted a whole number of taps from 1 to 255, got “31.5”."),
]


def test_a_refused_edit_leaves_drawing_value_and_history(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    editor.write("taps", "33")
    notebook.until("calls", ["taps"])
    drawing = editor.drawing()
    for field, text, words in REFUSED:
        editor.write(field, text)
        expect(editor.field(field)).to_have_attribute("aria-invalid", "true")
        expect(editor.described(field)).to_contain_text(words)
        expect(editor.root.get_by_test_id("assertive")).to_contain_text(words)
        notebook.press("Escape")
        expect(editor.field(field)).not_to_have_attribute("aria-invalid", "true")
        assert editor.drawing() == drawing, words
    assert notebook.ask(VALUE) == LOW
    assert notebook.ask("calls") == ["taps"]
    editor.click(editor.command("undo"))
    notebook.until("editor.taps", 31)
    editor.offers(undo=False, redo=True)


def test_the_layer_is_drawn_and_the_nearest_kernel(open_notebook):
    editor = opened(open_notebook, "weight=torch.randn(4, 1, 31), name='conv1.weight'")
    notebook = editor.notebook
    expect(editor.root.locator(".sk-fact")).to_have_text("conv1.weight")
    expect(editor.canvas).to_contain_text("kernel now in the layer, worst of 4")
    dashed = editor.root.locator(".sk-curves .sk-layer-line").get_attribute("d")
    assert len(dashed) > 1000
    expect(editor.root.locator(".sk-result")).to_contain_text("moved by")
    before = editor.curve()
    notebook.execute("editor.weight = torch.randn(4, 1, 31)")
    editor.page.wait_for_function(
        "([line, before]) => line.getAttribute('d') !== before",
        arg=[editor.root.locator(".sk-curves .sk-response").element_handle(), before],
    )
    # one message is shown, the others on request
    editor.click(editor.command("more"))
    editor.says("Zero padding leaks at the borders whatever the kernel:")


def test_the_code_follows_the_drawing_and_is_copied_whole(open_notebook):
    editor = opened(open_notebook)
    notebook = editor.notebook
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    editor.click(editor.command("code"))
    editor.write("low-1", "0.45")
    expect(editor.root.get_by_test_id("code")).to_contain_text("lowpass(0.2, 0.45)")
    editor.click(editor.command("copy"))
    expect(editor.root.get_by_test_id("polite")).to_have_text("Copied")
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied == notebook.ask("editor.code()")
    notebook.execute(copied)
    assert notebook.ask("(shape, taps) == (editor.value, editor.taps)")


def test_without_a_kernel_the_drawing_can_be_looked_at(open_notebook):
    notebook = open_notebook([START.format(arguments="")], own_kernel=True)
    notebook.run(0)
    editor = FilterEditor(notebook, 0)
    editor.click(editor.key("c:1:low"))
    drawing = editor.drawing()
    notebook.call(lab.RESTART)
    expect(editor.status).to_contain_text("No kernel. You can look, not change.")
    editor.offers(**{"form:highpass": False, "undo": False, "add:stop": False, "longer": False})
    expect(editor.field("low-1")).to_be_disabled()
    editor.pull("c:1:low", 0.6, -60)
    notebook.press("ArrowRight", "n", "Delete", "PageUp")
    assert editor.drawing() == drawing


# Lab's keys, sizes, contrast


def refuse(editor):
    editor.write("taps", "0")
    expect(editor.field("taps")).to_have_attribute("aria-invalid", "true")


def ask_too_much(editor):
    editor.write("taps", "9")
    editor.way("Use").wait_for()


def three_bands(editor):
    editor.click(editor.command("form:bandpass"))
    editor.command("band:1").wait_for()
    editor.click(editor.command("band:1"))


def free_hand(editor):
    editor.click(editor.command("form:target"))
    editor.click(editor.key("t:1"))
    editor.field("frequency-1").wait_for()


# The faces of the editor, each with one thing that takes the focus only there.
FACES = {
    "as it opens": (lambda editor: None, "c:1:low"),
    "a field refused": (refuse, "taps"),
    "the code": (lambda editor: editor.click(editor.command("code")), "code"),
    "the keys": (lambda editor: editor.click(editor.command("help")), "DIV sk-scroll "),
    "a drawing that can't be met": (ask_too_much, "way:0"),
    "three bands": (three_bands, "band:2"),
    "free hand": (free_hand, "gain-3"),  # with the last point in focus, its fields
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


def test_escape_gives_lab_its_keys_back(open_notebook):
    editor = opened(open_notebook, more=["'second'"])
    notebook = editor.notebook
    editor.click(editor.field("low-1"))
    notebook.press("Escape", "Escape", "Escape")
    assert editor.root.evaluate("root => root === document.activeElement")
    notebook.press("b")
    notebook.page.wait_for_function(f"() => ({lab.COUNT_CELLS})() === 3")


@pytest.mark.parametrize("width", [860, 600])
def test_nothing_that_takes_a_click_is_under_24_pixels(open_notebook, width):
    editor = opened(open_notebook)
    editor.widen(width)
    for face, (show, _) in FACES.items():
        show(editor)
        assert sight.small_targets(editor.root) == [], face
        editor.notebook.run(0)


# What has to be told from its ground.
MARKS = {
    "as it opens": ".sk-rim, .sk-response, .sk-grip, .sk-sign, .sk-stem, .sk-tap, .sk-icon path, "
    "input[type=text]",
    "a drawing that can't be met": ".sk-leaves, .sk-bad > .sk-icon path, .sk-asked > input",
    "free hand": ".sk-rim, .sk-grip, .sk-response",
}


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_stand_out(open_notebook, theme):
    editor = opened(open_notebook, "weight=torch.randn(4, 1, 31)", height=1400)
    editor.page.emulate_media(reduced_motion="reduce")
    dress(editor, theme)
    pale = {"layer": sight.pale_marks(editor.root, ".sk-curves .sk-layer-line")}
    for face, (show, _) in FACES.items():
        show(editor)
        pale[face] = sight.pale_texts(editor.root)
        if face in MARKS:
            pale[face] += sight.pale_marks(editor.root, MARKS[face])
        editor.notebook.run(0)
    assert {face: found for face, found in pale.items() if found} == {}


def test_no_sideways_scroll_at_200_percent(open_notebook):
    editor = opened(open_notebook, width=640, height=500, scale=2)
    for face, (show, _) in FACES.items():
        show(editor)
        assert editor.root.evaluate(WIDER) == [], face
        editor.notebook.run(0)


def test_the_ring_shows_where_to_begin_until_somebody_has(open_notebook):
    editor = opened(open_notebook)
    ring = editor.root.locator(".sk-invited")
    expect(ring).to_have_attribute("data-key", "c:1:low")
    assert not editor.root.evaluate(INSIDE), "a cell that runs takes nobody's focus"
    editor.page.mouse.click(*editor.place(0.27, -10))
    expect(ring).to_have_count(0)


CLOSING = """
import gc, weakref
import ipywidgets, torch
import shapekeeper as sk
from shapekeeper.widgets import FilterShapeEditor
models = ipywidgets.widgets.widget._instances
first = len(models)
"""
RUN_AGAIN = """
if "editor" in globals():
    editor.close()
editor = FilterShapeEditor(weight=torch.randn(4, 1, 31))
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
        editor = FilterEditor(notebook, 1)
        editor.pull("c:1:low", 0.5, -44)
        notebook.until(VALUE, "FilterShape.lowpass(0.2, 0.5, attenuation_db=44)")
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


PICTURES = {
    "empty": "",
    "layer": "weight=torch.randn(1, 1, 31, generator=torch.Generator().manual_seed(0))",
    "infeasible": "sk.FilterShape.lowpass(0.2, 0.3, ripple_db=0.5, attenuation_db=60), taps=15",
    "band-limited": "sk.FilterShape.bandlimited(0.5)",
    "free-hand": "sk.FilterShape.target([0, 0.2, 0.35, 0.6, 1], [1, 1, 0.2, 0.5, 0], 0.1)",
    "even": "sk.FilterShape.highpass(0.35, 0.2), taps=30",
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_to_look_at(open_notebook, name):
    folder = os.environ.get("SHAPEKEEPER_SCREENSHOTS")
    if not folder:
        pytest.skip("set SHAPEKEEPER_SCREENSHOTS to a folder to get pictures of the editor")
    editor = opened(open_notebook, PICTURES[name], scale=2)
    editor.notebook.until("editor.facts['searched']", True)
    for theme in THEMES:
        dress(editor, theme)
        sight.still(editor.page)
        path = Path(folder) / f"filter-{name}-{theme.lower()}.png"
        editor.root.screenshot(path=path)
