"""The comparison view by hand: set up, run, stop, resume, read, copy, run again."""

import os
import time
from itertools import pairwise
from pathlib import Path

import lab
import pytest
import sight
from comparison_view import DRAWN, START, STEP, View
from filter_editor import OUTER, own_listeners
from playwright.sync_api import expect
from test_browser_lab_keys import INSIDE, NEXT
from test_browser_looks import THEMES, WIDER

FIVE = (
    "sk.tasks.digits(), [sk.Unconstrained(), sk.Penalty(1.0), sk.AugmentedLagrangian(), "
    "sk.Projection(), sk.Reparametrization()], seeds=5, steps={steps}"
)
THREE = "sk.tasks.pencil(), [sk.Unconstrained(), sk.Penalty([0.1, 10.0]), sk.Projection()], "
SHORT = f"{THREE} seeds=3, steps=30"
LONG = f"{THREE} seeds=3, steps=100_000"  # to be stopped
# What the table shows of a comparison, worked out from its frame.
NUMBERS = """[
    [f"{r.metric:.3f}", f"{r.metric_held:.3f}",
     "" if i == 0 else f"{r.difference:+.3f} ± {(r.high - r.low) / 2:.3f}".replace("-", "−")]
    for i, r in enumerate(comparison.summary().itertuples())
]"""


def opened(open_notebook, arguments=SHORT, more=(), **window) -> View:
    notebook = open_notebook([START.format(arguments=arguments), *more], **window)
    notebook.run(0)
    return View(notebook, 0)


def finish(view: View) -> None:
    view.click(view.main)
    view.offers("Run again", 120)


def halt(view: View) -> None:
    view.click(view.main)
    view.trains(100)
    view.click(view.main)
    view.offers("Resume")


def numbers(view: View) -> list[list[str]]:
    """Metric, metric held and difference of all rows, as the table has them."""
    return [
        [metric, held, "" if difference == "reference" else difference]
        for _, _, metric, held, difference, *_ in view.rows()
    ]


def copied(view: View) -> str:
    """The code in the clipboard, once it was copied."""
    expect(view.root.get_by_test_id("polite")).to_have_text("Copied")
    return view.page.evaluate("navigator.clipboard.readText()")


def test_by_mouse_five_strategies_stopped_resumed_read_and_copied(open_notebook):
    view = opened(open_notebook, "sk.tasks.digits(), seeds=5", more=["6 * 7", ""])
    notebook = view.notebook
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.says("5 runs of 5 seeds")  # one strategy three times
    view.click(view.entry("penalty"))
    view.write("penalty:strength", "1")
    view.says("3 runs of 5 seeds")
    view.tick("augmented-lagrangian")
    view.tick("reparametrization")
    view.says("5 runs of 5 seeds")
    view.write("steps", "75")

    place = view.main.bounding_box()["x"]
    view.click(view.main)
    view.offers("Stop")
    expect(view.main).to_be_focused()
    assert abs(view.main.bounding_box()["x"] - place) < 40, "under the same pointer"
    view.trains(12)
    # Another cell is answered while it trains.
    before = time.monotonic()
    (answer,) = notebook.run(1)
    assert time.monotonic() - before <= 2
    assert answer["data"]["text/plain"] == "42"
    expect(view.main).to_have_text("Stop")

    view.click(view.main)
    view.says("Stopped at step")
    view.offers("Resume")
    step = notebook.ask(STEP)
    assert 12 <= step < 75
    expect(view.table.locator("caption")).to_have_text(f"At step {step}.")
    assert len(view.rows()) == 5
    view.click(view.main)
    view.offers("Run again", 120)
    view.says("5 runs, 5 seeds each, 75 steps, the same start and the same batches.")
    assert len(view.rows()) == 5
    notebook.execute("comparison = view.comparison")
    table = numbers(view)
    assert table == notebook.ask(NUMBERS)

    view.click(view.command("code"))
    view.click(view.command("copy"))
    notebook.execute("del comparison")
    notebook.execute(copied(view))
    assert notebook.ask(NUMBERS) == table, "stopped and resumed, or in one go"


def test_by_keyboard_alone(open_notebook):
    view = opened(open_notebook, "sk.tasks.digits(), seeds=5, steps=75", more=[""])
    notebook, press = view.notebook, view.notebook.press
    polite = view.root.get_by_test_id("polite")
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.main.focus()
    listed = view.root.get_by_test_id("strategies")
    while not listed.evaluate(INSIDE):
        press("Tab")
        assert view.root.evaluate(INSIDE)
    # the settings of one of them: Enter opens the field, Enter there takes it and comes back
    press("Home", "ArrowDown", "Enter")
    expect(view.field("penalty:strength")).to_be_focused()
    press("Control+a", "2", "Enter")
    expect(view.entry("penalty")).to_be_focused()
    view.says("3 runs of 5 seeds")
    focused = view.root.locator(":focus")
    while focused.get_attribute("aria-checked") == "true":
        press("ArrowDown")
    press("Space")
    expect(focused).to_have_attribute("aria-checked", "true")
    press("ArrowDown", "Space")
    expect(focused).to_have_attribute("aria-checked", "true")
    view.says("5 runs of 5 seeds")
    # a second copy, for settings of its own, and away with it
    listed = listed.get_by_role("option")
    chosen = focused.get_attribute("data-key")
    total = listed.count()
    press("+")
    expect(listed).to_have_count(total + 1)
    expect(focused).to_have_attribute("aria-selected", "true")
    assert focused.get_attribute("data-key") != chosen
    press("Delete")
    expect(listed).to_have_count(total)
    expect(focused).to_have_attribute("data-key", chosen)
    view.says("5 runs of 5 seeds")

    press("r")
    view.offers("Stop")
    expect(view.main).to_be_focused()
    view.trains(12)
    press("s")
    view.offers("Resume")
    expect(view.main).to_be_focused()
    # the ruler: from plot to plot, step by step, from one strategy to the next
    press("2")
    plot = view.root.get_by_test_id("plot-metric")
    expect(plot).to_be_focused()
    press("Home", "ArrowRight")
    expect(polite).to_contain_text("step 3, ")
    expect(polite).to_contain_text(", accuracy 0.")
    press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight")
    expect(polite).to_contain_text("step 6, ")
    highest = polite.inner_text()
    press("ArrowDown")
    expect(polite).not_to_have_text(highest)
    assert view.root.locator(".sk-curve").count() == 15
    assert view.root.locator(".sk-back .sk-curve").count() == 12, "one of five comes forward"
    press("3")
    expect(view.root.get_by_test_id("plot-violation")).to_be_focused()
    press("1", "End")
    expect(view.root.get_by_test_id("plot-loss")).to_be_focused()
    press("r")
    view.offers("Run again", 120)
    expect(polite).to_contain_text("Finished in")

    # the table: Tab to its rows, Enter on a mark makes that strategy the reference
    while not view.table.locator("tbody").evaluate(INSIDE):
        press("Tab")
    press("End", "Enter")
    expect(view.table.locator("thead")).to_contain_text("held, against Projection")
    expect(view.table.locator('[aria-pressed="true"]')).to_be_focused()
    press("c")
    expect(view.root.get_by_test_id("code")).to_contain_text('summary("Projection")')
    view.command("copy").focus()
    press("Enter")
    table = numbers(view)
    notebook.execute(copied(view))
    summary = notebook.ask("comparison.summary()['metric_held'].tolist()")
    assert [row[1] for row in table] == [f"{held:.3f}" for held in summary]
    press("Escape")
    assert view.root.evaluate("root => root === document.activeElement")
    press("b")
    notebook.page.wait_for_function(f"() => ({lab.COUNT_CELLS})() === 3")


def test_typing_and_pressing_run_at_once_loses_nothing(open_notebook):
    view = opened(open_notebook, f"{THREE} seeds=2, steps=20")
    view.click(view.field("steps"))
    view.notebook.press("Control+a", "3", "1")
    finish(view)
    view.says("2 seeds each, 31 steps")
    assert view.notebook.ask("view.comparison.steps") == 31


def test_a_field_says_what_it_wanted_and_training_waits(open_notebook):
    view = opened(open_notebook)
    view.write("seeds", "0")
    expect(view.field("seeds")).to_have_attribute("aria-invalid", "true")
    expect(view.described("seeds")).to_contain_text("got “0”")
    expect(view.main).to_be_disabled()
    view.write("seeds", "2")
    expect(view.field("seeds")).not_to_have_attribute("aria-invalid", "true")
    expect(view.main).to_be_enabled()


def test_rows_are_sorted_and_nobody_is_crowned(open_notebook):
    view = opened(open_notebook)
    finish(view)
    listed = view.order()
    held = [float(row[3]) for row in view.rows()]
    by_held = [run for _, run in sorted(zip(held, listed, strict=True))]
    head = view.command("sort:held")
    cell = view.table.locator("th.sk-held")
    for order, way in ((by_held, "ascending"), (by_held[::-1], "descending"), (listed, None)):
        view.click(head)
        assert view.order() == order
        assert cell.get_attribute("aria-sort") == way
    expect(head).to_be_focused()
    # a click on a row's mark: the others are told from that row
    view.click(view.command(f"reference:{listed[-1]}"))
    expect(view.table.locator("thead")).to_contain_text("held, against Projection")
    assert [row[4] for row in view.rows()].count("reference") == 1
    assert view.rows()[-1][4] == "reference"


def test_a_row_brings_its_lines_forward(open_notebook):
    view = opened(open_notebook)
    finish(view)
    row = view.table.locator("tbody tr").nth(1)
    run = row.get_attribute("data-run")
    row.hover()
    faded = view.root.locator("svg .sk-back")
    expect(faded).to_have_count(3 * (3 * 2 + 1))  # lines and ends in three plots, and the plane
    assert run not in faded.evaluate_all("nodes => nodes.map(node => node.dataset.run)")
    view.page.wait_for_function(
        "node => getComputedStyle(node).opacity === '0.2'", arg=faded.first.element_handle()
    )
    view.main.hover()
    expect(faded).to_have_count(0)
    view.root.locator(f'[data-key="m:{run}"]').focus()
    expect(row).to_have_class("sk-front")


def test_the_drawing_tells_the_numbers(open_notebook):
    """Curves end at the numbers of the frame, exact zeros lie on the shelf, arrows at the held."""
    view = opened(open_notebook, height=1400)
    finish(view)
    notebook = view.notebook
    violation = view.root.get_by_test_id("plot-violation")
    shelf = violation.locator(".sk-shelf").bounding_box()
    final = notebook.ask("view.comparison.summary()['violation'].tolist()")
    assert final[-1] == 0 < min(final[:-1])
    ends = violation.locator(".sk-mark").evaluate_all(
        "marks => marks.map(m => m.getBoundingClientRect()).map(b => b.y + b.height / 2)"
    )
    assert shelf["y"] <= ends[-1] <= shelf["y"] + shelf["height"]
    assert max(ends[:-1]) < shelf["y"]
    assert sorted(ends[:-1]) == [
        y for _, y in sorted(zip(final[:-1], ends[:-1], strict=True), reverse=True)
    ]
    # The metric is a loss: low is good, and good is up.
    plane = view.root.get_by_test_id("plane")
    values, heights = [], []
    for tick in plane.locator(".sk-grid text.sk-end").all():
        values.append(float(tick.text_content().replace("−", "-")))
        heights.append(float(tick.get_attribute("y")) - 4)
    assert values == sorted(values) or values == sorted(values, reverse=True)
    slope = (heights[-1] - heights[0]) / (values[-1] - values[0])
    assert slope > 0, "less loss is further up"
    rows = notebook.ask("view.result['rows']")
    for row in rows:
        mark = plane.locator(f'[data-run="{row["key"]}"] .sk-mark').get_attribute("transform")
        y = float(mark.split()[1].rstrip(")"))
        assert y == pytest.approx(heights[0] + slope * (row["metric"] - values[0]), abs=0.5)
        head = plane.locator(f'[data-run="{row["key"]}"] .sk-arrowhead')
        if head.count():
            tip = float(head.get_attribute("d").split("L")[0].split()[1])
            assert tip == pytest.approx(heights[0] + slope * (row["held"] - values[0]), abs=0.5)
    free = plane.locator(f'[data-run="{rows[0]["key"]}"] .sk-arrowhead')
    assert free.count() == 1, "free training is a loss of 0, and of 20 once b is cut"


def test_marks_at_the_ends_hide_no_other(open_notebook):
    view = opened(open_notebook)
    finish(view)
    for measure in ("loss", "metric", "violation"):
        marks = view.root.get_by_test_id(f"plot-{measure}").locator(".sk-mark")
        middles = marks.evaluate_all(
            "marks => marks.map(m => m.getBoundingClientRect()).map(b => b.y + b.height / 2)"
        )
        middles.sort()
        assert len(middles) == 4
        assert min(b - a for a, b in pairwise(middles)) > 9, measure


# Plain gradient descent, which too high a price throws out.
STEEP = """
from dataclasses import replace
from functools import partial
import shapekeeper as sk, torch
from shapekeeper.widgets import ComparisonView
task = replace(sk.tasks.pencil(), optimizer=partial(torch.optim.SGD, lr=0.1))
strategies = [sk.Penalty([1.0, 1e38]), sk.Projection()]
view = ComparisonView(task, strategies, seeds=2, steps=10_000)
view
"""


def test_a_run_that_diverges_is_a_warning_and_a_row_without_numbers(open_notebook):
    notebook = open_notebook([STEEP])
    notebook.run(0)
    view = View(notebook, 0)
    view.click(view.main)
    view.says("diverged; the others go on.")
    listed = view.root.get_by_test_id("runs").get_by_role("option")
    expect(listed.nth(1)).to_contain_text("diverged at step")
    view.click(view.main)
    view.offers("Resume")
    row = view.table.locator("tbody tr").nth(1)
    expect(row).to_contain_text("in 2 of 2 seeds; not ranked")
    assert len(view.rows()[1]) == 4, "name, promise, what happened, time"
    cross = view.root.locator('[data-run="r1"] .sk-cross:visible')
    expect(cross.first).to_be_visible()


BROKEN = """
import shapekeeper as sk, torch
from dataclasses import replace
from shapekeeper.widgets import ComparisonView
broken = False
def loss(prediction, target):
    if broken:
        raise RuntimeError("the sensor came off")
    return (prediction - target).square().sum()
pencil = sk.tasks.pencil()
task = sk.Task("pencil that breaks", model=pencil.model, data=pencil.data, loss=loss,
    metric=pencil.metric, constraints=pencil.constraints, batch_size=2, better="lower",
    metric_name="loss")
view = ComparisonView(task, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=10_000)
view
"""


def test_an_error_of_the_training_is_shown_and_what_was_found_is_kept(open_notebook):
    notebook = open_notebook([BROKEN])
    notebook.run(0)
    view = View(notebook, 0)
    view.click(view.main)
    view.trains(500)  # measured at 0 and 400
    notebook.execute("broken = True")
    view.says("RuntimeError: the sensor came off")
    view.offers("Run")
    expect(view.root.get_by_test_id("polite")).to_contain_text("the sensor came off")
    assert [row[0] for row in view.rows()] == ["Unconstrained", "Projection"]
    for curve in view.root.locator(".sk-curve").all():
        assert len(curve.get_attribute("d")) > 10
    shown = view.status.get_by_label("Full text")
    expect(shown).to_be_hidden()
    view.click(view.status.get_by_role("button", name="Show all"))
    expect(shown).to_contain_text("Traceback (most recent call last)")
    expect(shown).to_contain_text("in loss")
    # back to the settings, and once more with what is mended
    view.click(view.command("change"))
    view.write("steps", "20")
    notebook.execute("broken = False")
    finish(view)
    assert len(view.rows()) == 2


def test_two_views_agree_and_a_late_one_gets_all_curves(open_notebook):
    cell = START.format(arguments=f"{THREE} seeds=3, steps=10_000")
    notebook = open_notebook([cell, "view", "view"], height=3000)
    notebook.run(0)
    notebook.run(1)
    one, other = View(notebook, 0), View(notebook, 1)

    def agree(*views):
        notebook.page.wait_for_function(
            f"views => new Set(views.map({DRAWN}).map(drawn => JSON.stringify(drawn))).size === 1",
            arg=[view.root.element_handle() for view in views],
        )

    agree(one, other)
    one.tick("freeze")
    agree(one, other)
    other.write("seeds", "2")
    agree(one, other)
    other.click(other.main)
    one.trains(500)  # measured at 0 and 400
    one.click(one.main)
    other.offers("Resume")
    agree(one, other)
    notebook.run(2)
    late = View(notebook, 2)
    late.offers("Resume")
    assert len(late.drawn()["curves"]) == 15
    agree(one, late)
    late.click(late.main)
    one.offers("Stop")
    one.click(one.main)
    for view in (one, other, late):
        view.offers("Resume")
    agree(one, other, late)


def test_without_a_kernel_what_was_drawn_stays(open_notebook):
    notebook = open_notebook([START.format(arguments=LONG)], own_kernel=True)
    notebook.run(0)
    view = View(notebook, 0)
    halt(view)
    curves = view.drawn()["curves"]
    notebook.call(lab.RESTART)
    view.says("The kernel is gone, and with it the run. What was finished is drawn below.")
    expect(view.main).to_be_disabled()
    expect(view.command("over")).to_be_disabled()
    assert view.drawn()["curves"] == curves
    view.click(view.status.get_by_role("button", name="How to resume"))
    expect(view.status.get_by_label("Full text")).to_contain_text("checkpoint=")
    view.main.focus()
    view.notebook.press("r", "2", "ArrowLeft")
    expect(view.root.get_by_test_id("polite")).to_contain_text("step ")


COUNTING = """
import gc, threading, weakref
import ipywidgets, matplotlib.pyplot as plt
import shapekeeper as sk
from shapekeeper.widgets import ComparisonView
models = ipywidgets.widgets.widget._instances
# Lab gives each widget a thread of its own to be spoken to in
threads = lambda: [t for t in threading.enumerate() if not t.name.startswith("subshell")]
counts = lambda: [len(threads()), len(plt.get_fignums()), len(models)]
"""
AGAIN = f"""
view = ComparisonView({LONG})
alive = weakref.ref(view)
display(view)
"""
GONE = """
view.close()
del view
"""


def test_running_the_cell_again_leaves_nothing_behind(open_notebook):
    notebook = open_notebook([COUNTING, AGAIN, GONE], own_kernel=True)
    page = notebook.page
    notebook.run(0)
    found, threads = [], []
    for _ in range(6):
        notebook.run(1)
        view = View(notebook, 1)
        found.append(notebook.ask("counts()"))
        # Lab keeps the last events of mouse and keyboard, and with them what they met
        view.main.evaluate("button => button.click()")
        view.trains(100)
        threads.append(notebook.ask("len(threads())"))
    assert found == found[:1] * 6
    assert threads == [found[0][0] + 1] * 6, "one thread trains"
    assert page.locator(".sk-editor").count() == 1
    hung = own_listeners(page, *OUTER, "document.querySelector('.sk-editor')")
    assert hung.popitem()[1] > 3, "on the frame of the widget"
    assert hung == dict.fromkeys(OUTER, 0)
    page.evaluate("window.closing = new WeakRef(document.querySelector('.sk-editor'))")
    notebook.run(2)
    expect(page.locator(".sk-editor")).to_have_count(0)
    notebook.until("counts()", [found[0][0], 0, 0])
    notebook.until("(gc.collect(), alive() is None)[1]", True)
    assert own_listeners(page, *OUTER) == dict.fromkeys(OUTER, 0)
    notebook.collect_garbage()
    assert page.evaluate("window.closing.deref() === undefined")


# Lab's keys, sizes, contrast


def refuse(view):
    view.write("steps", "none")
    expect(view.field("steps")).to_have_attribute("aria-invalid", "true")


def start(view):
    view.click(view.main)
    view.trains(100)


# The faces of the view, each with one thing that takes the focus only there.
FACES = {
    "as it opens": (LONG, lambda view: None, "steps"),
    "a field refused": (LONG, refuse, "steps"),
    "the code": (LONG, lambda view: view.click(view.command("code")), "code"),
    "the keys": (LONG, lambda view: view.click(view.command("help")), "DIV sk-scroll "),
    "running": (LONG, start, "plot-violation"),
    "stopped": (LONG, halt, "over"),
    "finished": (SHORT, finish, "m:r1"),
}


def faces(open_notebook, **window):
    """One view after the other, each with another face."""
    cells = [START.format(arguments=LONG), START.format(arguments=SHORT), "'third'"]
    notebook = open_notebook(cells, **window)
    for face, (arguments, show, owned) in FACES.items():
        cell = cells.index(START.format(arguments=arguments))
        notebook.run(cell)
        view = View(notebook, cell)
        yield face, view, show, owned
        notebook.execute("view.close()")
        expect(notebook.page.locator(".sk-editor")).to_have_count(0)


def test_d_d_deletes_no_cell_whatever_has_the_focus(open_notebook):
    for face, view, show, owned in faces(open_notebook):
        notebook = view.notebook
        show(view)
        scope = view.root.get_by_role("dialog") if face == "the keys" else view.root
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


@pytest.mark.parametrize("width", [860, 600])
def test_nothing_that_takes_a_click_is_under_24_pixels(open_notebook, width):
    for face, view, show, _ in faces(open_notebook):
        view.widen(width)
        show(view)
        assert sight.small_targets(view.root) == [], face


# What has to be told from its ground.
MARKS = {
    "as it opens": ".sk-mark, .sk-stroke, .sk-box, .sk-icon path, input, select",
    "running": ".sk-mark, .sk-curve, .sk-hair, .sk-icon path",
    "finished": ".sk-mark, .sk-curve, .sk-drop, .sk-arrowhead, .sk-zero, .sk-off, .sk-icon path",
}


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_stand_out(open_notebook, theme):
    pale = {}
    for face, view, show, _ in faces(open_notebook, height=1700):
        view.page.emulate_media(reduced_motion="reduce")
        view.notebook.theme(theme)
        expect(view.page.locator("#main-logo")).to_have_count(0)
        show(view)
        view.page.mouse.move(5, 5)
        pale[face] = sight.pale_texts(view.root)
        if face in MARKS:
            pale[face] += sight.pale_marks(view.root, MARKS[face])
    assert {face: found for face, found in pale.items() if found} == {}


def test_no_sideways_scroll_at_200_percent(open_notebook):
    for face, view, show, _ in faces(open_notebook, width=640, height=500, scale=2):
        show(view)
        assert view.root.evaluate(WIDER) == [], face
        wide = view.root.locator(".sk-results").evaluate("e => e.scrollWidth - e.clientWidth")
        assert wide <= 1, face


def test_pictures_to_look_at(open_notebook):
    folder = os.environ.get("SHAPEKEEPER_SCREENSHOTS")
    if not folder:
        pytest.skip("set SHAPEKEEPER_SCREENSHOTS to a folder to get pictures of the view")
    view = opened(open_notebook, FIVE.format(steps=150), height=1500, scale=2)
    for name, label in (("setup", "Stop"), ("running", "Resume"), ("stopped", "Run again")):
        if name == "running":
            view.trains(60)
        for theme in THEMES if name != "running" else THEMES[:1]:
            picture(view, folder, name, theme)
        view.click(view.main)
        view.offers(label, 120)
    view.click(view.command("code"))
    for theme in THEMES:
        picture(view, folder, "finished", theme)
        view.widen(600)
        picture(view, folder, "finished-600", theme)
        view.page.set_viewport_size({"width": 1280, "height": 1500})


def picture(view, folder, name, theme) -> None:
    view.notebook.theme(theme)
    expect(view.page.locator("#main-logo")).to_have_count(0)
    sight.still(view.page)
    view.root.screenshot(path=Path(folder) / f"comparison-{name}-{theme.lower()}.png")
