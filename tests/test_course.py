"""Budgets, predictions, and every check with right answers and the tempting wrong ones."""

import base64
import io
import os
import re
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pytest
import torch
from judging import NONSENSE, judged, survives
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from shapekeeper import course, regions
from shapekeeper.course import budgets, verdicts
from shapekeeper.regions import Pathway, Region, RegionGraph

# Budgets


@pytest.fixture
def hooks():
    with matplotlib.rc_context():
        yield lambda: matplotlib.rcParams["figure.hooks"]


@pytest.mark.parametrize(
    ("word", "name", "seeds", "steps"),
    [("", "quick", 5, 600), ("smoke", "smoke", 1, 10), ("full", "full", 20, 600)],
)
def test_the_environment_says_how_much_to_train(monkeypatch, hooks, word, name, seeds, steps):
    monkeypatch.setenv("SHAPEKEEPER_BUDGET", word)
    budget = course.budget()
    assert (budget.name, budget.seeds, budget.steps(600)) == (name, seeds, steps)
    assert budget.steps(7) == 7
    assert budget.pick(smoke="smoke", quick="quick", full="full") == name


def test_without_a_word_the_budget_is_quick(monkeypatch, hooks):
    monkeypatch.delenv("SHAPEKEEPER_BUDGET", raising=False)
    assert course.budget() == course.Budget("quick")


def test_an_unknown_budget_is_refused_with_the_closest_one(monkeypatch):
    monkeypatch.setenv("SHAPEKEEPER_BUDGET", "smok")
    with pytest.raises(ValueError, match=r"one of smoke, quick, full, not 'smok'.*mean 'smoke'"):
        course.budget()


def test_smoke_stamps_every_figure_that_pyplot_makes_and_quick_none(monkeypatch, hooks):
    monkeypatch.setenv("SHAPEKEEPER_BUDGET", "smoke")
    course.budget()
    course.budget()
    figure, _ = plt.subplots()
    assert [text.get_text() for text in figure.texts] == [budgets.STAMP]
    monkeypatch.setenv("SHAPEKEEPER_BUDGET", "quick")
    course.budget()
    assert plt.figure().texts == []
    plt.close("all")


def _crimson_share(budget: str) -> float:
    """The share of reddish pixels in a figure that a notebook shows without naming the stamp."""
    cells = [
        "from shapekeeper import course\nbudget = course.budget()",
        "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots(layout='constrained')\n"
        "ax.plot([0, 1], [0, 1], color='black')",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    environment = os.environ | {"SHAPEKEEPER_BUDGET": budget}
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute(env=environment)
    shown = [
        o.data["image/png"] for o in notebook.cells[1].outputs if "image/png" in o.get("data", {})
    ]
    image = plt.imread(io.BytesIO(base64.b64decode(shown[-1])))[..., :3]
    return float(((image[..., 0] - image[..., 1:].max(-1)) > 0.1).mean())


def test_the_stamp_is_on_the_picture_that_a_notebook_shows():
    assert _crimson_share("smoke") > 0.005
    assert _crimson_share("quick") == 0.0


# Predictions


def test_no_guess_says_so_and_the_result_is_told_all_the_same():
    sentence = "No guess yet. Two seconds of guessing are worth ten minutes of reading."
    assert repr(course.predict("t.1", None)) == sentence
    assert repr(course.predict("t.1", ...)) == sentence
    assert repr(course.reveal("t.1", [20.0, 40.0])) == "No guess. It is 30, spread 14.1."


@pytest.mark.parametrize(
    ("guess", "outcome", "line"),
    [
        (80, [20.0, 30.0, 40.0], "You said 80, it is 30, spread 10."),
        (80.5, 30, "You said 80.5, it is 30 (one seed)."),
        (np.float64(80), torch.tensor([30.0]), "You said 80, it is 30 (one seed)."),
        (
            ["hook", "mask", "late"],
            ["mask", "hook", "late"],
            "You said hook → mask → late, it is mask → hook → late. "
            "1 of 3 pairs came out the other way round.",
        ),
        (
            (0.1, 90),
            [(0.01, 80), (0.03, 90)],
            "You said (0.1, 90), it is (0.02, 85), spread (0.0141, 7.07).",
        ),
        ((0.1, 90), (0.01, 80), "You said (0.1, 90), it is (0.01, 80) (one seed)."),
        (
            [(0.1, 90), (0, 80)],
            [[(0.02, 90), (0, 10)], [(0.04, 94), (0, 30)], [(0.06, 98), (0, 50)]],
            "You said (0.1, 90) → (0, 80), it is (0.04, 94) → (0, 30), spread (0.02, 4) → (0, 20).",
        ),
        (None, [[(0.02, 90), (0, 10)]], "No guess. It is (0.02, 90) → (0, 10) (one seed)."),
        (
            {"soft": 50, "hard": 60},
            {"soft": [30, 50], "hard": [90, 94]},
            "soft: You said 50, it is 40, spread 14.1.\nhard: You said 60, it is 92, spread 2.83.",
        ),
        (None, {"soft": [30, 50]}, "soft: No guess. It is 40, spread 14.1."),
    ],
)
def test_a_guess_is_laid_beside_the_result(guess, outcome, line):
    course.predict("t.2", guess)
    assert repr(course.reveal("t.2", outcome)) == line


@pytest.mark.parametrize(
    "guess", ["eighty", True, [], {"soft": "low"}, (1, 2, 3), [(1, 2), 3], [(1, 2), (3, 4, 5)]]
)
def test_what_is_no_guess_is_refused_kindly_and_forgotten(guess):
    assert "A guess is a number" in repr(course.predict("t.3", guess))
    assert repr(course.reveal("t.3", 5)).startswith("No guess. It is 5")


def test_a_card_escapes_what_the_reader_wrote():
    assert "<b>x</b>" not in course.predict("t.4", ["<b>x</b>", "y"])._repr_html_()


# Checks: the frame


def test_dots_and_none_are_not_yet():
    for answer in (..., None):
        verdict = course.check("00.2", answer)
        assert (verdict.state, bool(verdict)) == ("todo", False)
        assert repr(verdict).startswith("00.2 not yet. Replace the dots")


def test_a_function_without_a_body_is_not_yet():
    def bought(frame): ...

    verdict = course.check("00.2", bought)
    assert verdict.state == "todo"
    assert "bought returns nothing yet" in verdict.message


def test_an_exception_becomes_its_last_line():
    def bought(frame):
        return frame["metrik"].idxmax()

    verdict = course.check("00.2", bought)
    assert (verdict.state, verdict.got) == ("wrong", "KeyError: 'metrik'")
    assert "Traceback" not in repr(verdict)


@pytest.mark.parametrize("key", ["00.1", "00.2", "00.3", "02.1", "02.2", "02.3", "02.4"])
@pytest.mark.parametrize("answer", [*NONSENSE, {}], ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(not_strict, key, answer):
    survives(key, answer)


def test_strict_raises_all_that_is_not_right(monkeypatch):
    monkeypatch.setattr(verdicts, "_strict", False)
    course.strict()
    assert course.check("00.3", 99.5)
    with pytest.raises(course.NotRight, match=r"00\.3 not yet"):
        course.check("00.3", ...)
    with pytest.raises(course.NotRight, match=r"00\.3 wrong\. It holds, but so does a smaller one"):
        course.check("00.3", 100)


def test_an_unknown_exercise_names_the_known_ones():
    with pytest.raises(KeyError, match=r"no exercise '00\.9'; there are 00\.1, .*Did you mean '00"):
        course.check("00.9", 1)
    with pytest.raises(KeyError, match=r"no exercise with an example '00\.3'"):
        course.example("00.3")


def test_a_card_says_its_state_in_words_and_escapes_the_answer():
    html = course.Verdict("00.3", "wrong", "a < b", wanted="<i>", got="c & d")._repr_html_()
    assert "00.3 wrong." in html
    assert "a &lt; b" in html
    assert "wanted: &lt;i&gt;" in html
    assert "got: c &amp; d" in html


def test_the_course_needs_neither_plots_nor_widgets():
    code = "import sys, shapekeeper.course; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    names = set(loaded.stdout.split())
    assert not names & {"shapekeeper.plots", "shapekeeper.widgets", "IPython", "ipywidgets"}
    assert "matplotlib.pyplot" not in names


# 00.1


def drawn(*wires, size=8):
    parts = [Region("eye", 32, input=True), Region("middle", 32), Region("hand", 16, output=True)]
    graph = RegionGraph(parts, [Pathway("eye", "middle"), Pathway("middle", "hand")])
    if wires:
        graph = graph.with_region(Region("memory", size))
    for wire in wires:
        graph = graph.with_pathway(Pathway(*wire.split()))
    return graph


BOTH = ("middle memory", "memory hand")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (drawn(*BOTH), "right", "2 ways from eye to hand, and the longest takes 3 pathways"),
        (
            drawn("middle memory"),
            "wrong",
            "memory hears but nobody listens: it cannot change the output. Give it a pathway out.",
        ),
        (
            drawn(*BOTH, "eye hand"),
            "wrong",
            "That runs, but eye→hand was to stay closed. `without_pathway` takes it out again.",
        ),
        (drawn("memory hand"), "wrong", "memory speaks but hears nobody"),
        (drawn("eye hand"), "wrong", "memory is alone"),
        (drawn(), "wrong", "no region `memory`.*keep what it returns.*eye, middle, hand"),
        (drawn(*BOTH, size=9), "wrong", "8 units.*9 units"),
        (drawn(*BOTH).without_pathway("eye", "middle"), "wrong", "eye→middle is gone"),
        (
            drawn(*BOTH).with_region(Region("hand", 16)),
            "wrong",
            "not finished.*output",
        ),
        ("memory", "wrong", "a RegionGraph.*a str"),
    ],
)
def test_draw_it(answer, state, words):
    judged("00.1", answer, state, words)


# 00.2


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda t: (t["metric"] - t["metric_held"]).idxmax(), "right", "Right on 20 tables"),
        (
            lambda t: t["violation"].idxmax(),
            "wrong",
            r"Run [A-D] violates most, but loses nothing when cut\. "
            r"Violation is the cause, the drop is the bill\.",
        ),
        (
            lambda t: t["metric_held"].idxmin(),
            "wrong",
            r"That run was bad before the cut as well\. Compare before with after\.",
        ),
        (lambda t: t["metric"].idxmax(), "wrong", "loses nothing when cut"),
        (lambda t: (t["metric"] - t["metric_held"]).max(), "wrong", "no run of the table"),
        (lambda t: "B", "wrong", "run [ACD] .* run B"),
    ],
)
def test_bought(answer, state, words):
    judged("00.2", answer, state, words)


def test_a_check_lends_out_copies():
    def spoils(table):
        name = (table["metric"] - table["metric_held"]).idxmax()
        table["metric"] = 0.0
        return name

    assert course.check("00.2", spoils)


# 00.3


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (99.5, "right", r"λ = 199\.5.*No finite price"),
        (torch.tensor(99.5), "right", "twice the price"),
        (100, "wrong", re.escape("It holds, but so does a smaller one: b = 1/(λ+½).")),
        (
            0.01,
            "wrong",
            r"the leak you allow, not the price you ask\. A larger λ gives a smaller leak\.",
        ),
        (99, "wrong", r"Not strong enough.*\|b\| = 0\.01005 at λ = 99"),
        (-3, "wrong", "not negative"),
        ("a lot", "wrong", "a number .* a str"),
    ],
)
def test_strong_enough(answer, state, words):
    judged("00.3", answer, state, words)


# 02.1


def powers(mask, source, target):
    reached = torch.eye(len(mask)) > 0
    for steps in range(1, len(mask) + 1):
        reached = mask.float() @ reached.float() > 0
        if reached[target, source]:
            return steps
    return None


def breadth_first(mask, source, target):
    drawing = nx.from_numpy_array(mask.T.numpy(), create_using=nx.DiGraph)
    try:
        return nx.shortest_path_length(drawing, source, target)
    except nx.NetworkXNoPath:
        return None


def uncapped(dtype):
    def steps_needed(mask, source, target):
        count = mask.to(dtype)
        for steps in range(1, len(mask) + 1):
            if count[target, source] > 0:
                return steps
            count = count @ mask.to(dtype)
        return None

    return steps_needed


def other_way_round(mask, source, target):
    return uncapped(torch.float32)(mask.T, target, source)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (powers, "right", "V1→7a takes 3 pathways"),
        (breadth_first, "right", "V1→7a takes 3 pathways"),
        (
            lambda mask, source, target: powers(mask, target, source),
            "wrong",
            "You followed the arrows backwards: PITd→FEF needs 2 pathways, "
            "you report the way back.",
        ),
        (
            uncapped(torch.float32),
            "wrong",
            r"The count overflowed at 60 regions\. You need only yes or no\.",
        ),
        (other_way_round, "wrong", "The count overflowed at 60 regions"),
        (uncapped(torch.float64), "right", "68 trips"),
        (lambda mask, source, target: powers(mask, source, target) or 0, "wrong", "No chain"),
        (lambda mask, source, target: 1, "wrong", "V1 to 7a"),
        (lambda mask, source, target: None, "todo", "returns nothing yet"),
    ],
)
def test_steps_needed(answer, state, words):
    judged("02.1", answer, state, words)


def test_the_trips_of_the_check_hold_what_they_should():
    masks = []

    def spy(mask, source, target):
        masks.append(mask)
        return powers(mask, source, target)

    assert course.check("02.1", spy)
    assert any(mask.diagonal().any() for mask in masks)
    assert len({len(mask) for mask in masks}) > 4
    from_check = {powers(mask, 0, len(mask) - 1) for mask in masks}
    assert None in from_check


# 02.2


def guaranteed(senders, listeners, wires, generator):
    if not listeners <= wires <= senders * listeners:
        raise ValueError("no such channel")
    mask = torch.zeros(listeners, senders, dtype=torch.bool)
    first = torch.randint(senders, (listeners,), generator=generator)
    mask[torch.arange(listeners), first] = True
    closed = (~mask).flatten().nonzero().flatten()
    rest = closed[torch.randperm(len(closed), generator=generator)][: wires - listeners]
    mask.view(-1)[rest] = True
    return mask


def by_density(senders, listeners, wires, generator):
    return torch.rand(listeners, senders, generator=generator) < wires / (senders * listeners)


def exact_but_unguarded(senders, listeners, wires, generator):
    mask = torch.zeros(listeners * senders, dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=generator)[:wires]] = True
    return mask.view(listeners, senders)


def one_for_all(senders, listeners, wires, generator):
    mask = torch.zeros(listeners, senders, dtype=torch.bool)
    mask[:, 0] = True
    closed = (~mask).flatten().nonzero().flatten()
    order = torch.randperm(len(closed), generator=generator)
    mask.view(-1)[closed[order][: wires - listeners]] = True
    return mask


def in_turn(senders, listeners, wires, generator):
    mask = torch.zeros(listeners, senders, dtype=torch.bool)
    for wire in range(wires):
        turn = wire // listeners
        mask[wire % listeners, (wire + turn * (1 - listeners % senders)) % senders] = True
    return mask


def deaf_to_the_generator(senders, listeners, wires, generator):
    return guaranteed(senders, listeners, wires, None)


def never_refuses(senders, listeners, wires, generator):
    if not listeners <= wires <= senders * listeners:
        return torch.ones(listeners, senders, dtype=torch.bool)
    return guaranteed(senders, listeners, wires, generator)


def refuses_otherwise(senders, listeners, wires, generator):
    if not listeners <= wires <= senders * listeners:
        raise RuntimeError("no such channel")
    return guaranteed(senders, listeners, wires, generator)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (guaranteed, "right", "Right on 20 sizes.*about 91 throws"),
        (lambda *a: guaranteed(*a).numpy(), "right", "20 sizes"),
        (lambda *a: guaranteed(*a).float(), "right", "20 sizes"),
        (
            by_density,
            "wrong",
            r"This draw has \d+ wires and \d+ deaf listeners?\. "
            r"Density is an average, you need a count\.",
        ),
        (
            one_for_all,
            "wrong",
            r"All heard, but one damaged sender silences the region\. Spread the senders\.",
        ),
        (exact_but_unguarded, "wrong", r"count is right, and \d+ listeners hear nobody"),
        (lambda *a: guaranteed(*a).T, "wrong", "Rows are those who listen"),
        (lambda *a: guaranteed(*a) * 2, "wrong", "only True and False"),
        (deaf_to_the_generator, "wrong", "Not the same drawing twice"),
        (never_refuses, "wrong", "8 wires from 12 senders to 9 listeners cannot be, and your"),
        (refuses_otherwise, "wrong", "a ValueError .* a RuntimeError"),
    ],
)
def test_channel(answer, state, words):
    torch.manual_seed(0)
    judged("02.2", answer, state, words)


def test_a_channel_that_leaves_nothing_to_chance_is_seen():
    def fixed(senders, listeners, wires, generator):
        return guaranteed(senders, listeners, wires, torch.Generator().manual_seed(3))

    judged("02.2", fixed, "wrong", "Every generator gives the same drawing")


# 02.3


def kept(wanted):
    graph = regions.macaque_visual().settled()
    level = {region.name: region.level for region in graph.regions}
    for pathway in graph.pathways:
        if not wanted(pathway.source, pathway.target, level):
            graph = graph.without_pathway(pathway.source, pathway.target)
    return graph


def upwards(source, target, level):
    return level[source] < level[target]


def with_ties_by_name(source, target, level):
    return (level[source], source) < (level[target], target)


def fewest_dropped(graph):
    """The fewest pathways that make the graph acyclic, and an order that needs no more.

    Exact: the cheapest way to order a set of areas ends in one of them, which costs its pathways
    back into the set (Held and Karp 1962, dynamic programming over subsets).
    """
    names = list(graph.names)
    back = [0] * len(names)
    for pathway in graph.pathways:
        back[names.index(pathway.source)] |= 1 << names.index(pathway.target)
    best = {0: (0, ())}
    for chosen in range(1, 1 << len(names)):
        ends = [i for i in range(len(names)) if chosen >> i & 1]
        before = [(best[chosen & ~(1 << i)], i) for i in ends]
        best[chosen] = min(
            (cost + (back[i] & chosen & ~(1 << i)).bit_count(), (*order, i))
            for (cost, order), i in before
        )
    cost, order = best[(1 << len(names)) - 1]
    return cost, [names[i] for i in order]


def test_35_dropped_pathways_are_the_least_and_an_exact_search_finds_them():
    cost, order = fewest_dropped(regions.macaque_visual().settled())
    assert cost == 35
    best = kept(lambda source, target, _: order.index(source) < order.index(target))
    judged("02.3", best, "right", "35 is the least.*you found it")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (
            lambda: kept(with_ties_by_name),
            "right",
            "35 is the least, since 35 pairs go both ways; 35 works if LIP→V3A may stay. "
            r"Can you find that order\?",
        ),
        (
            lambda: kept(upwards),
            "wrong",
            r"Acyclic, but both directions of 5 lateral pairs went\. One of each may stay\.",
        ),
        (
            lambda: kept(lambda s, t, level: level[s] <= level[t]),
            "wrong",
            r"Still a cycle: V4 → MT → V4\. They share a level\.",
        ),
        (regions.macaque_visual, "wrong", r"Still a cycle: V1 → V2 → V1\. \|"),
        (
            lambda: kept(lambda s, t, level: s != "V1" and with_ties_by_name(s, t, level)),
            "wrong",
            "V1 no longer reaches V2",
        ),
        (
            lambda: kept(with_ties_by_name).without_region("FEF"),
            "wrong",
            "Only drop pathways.*11 areas",
        ),
        (
            lambda: kept(with_ties_by_name).with_pathway(Pathway("V1", "7a")),
            "wrong",
            "1 new pathway",
        ),
        (lambda: "drop them all", "wrong", "a RegionGraph.*a str"),
    ],
)
def test_feedforward(answer, state, words):
    judged("02.3", answer(), state, words)


# 02.4


def damage(table, lesion, skill):
    return table.loc["intact", skill] - table.loc[f"lesion {lesion}", skill]


def weaker_of_two(table):
    left = damage(table, "left", "left") - damage(table, "left", "right")
    right = damage(table, "right", "right") - damage(table, "right", "left")
    return min(left, right)


def mean_damage(table):
    return (table.loc["intact"] - table.iloc[1:]).to_numpy().mean()


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (weaker_of_two, "right", r"modular network is 0\.31, your highest for any other 0\.058"),
        (
            mean_damage,
            "wrong",
            r"Network [A-D] loses both skills under both lesions and gets your top mark\.",
        ),
        (
            lambda t: damage(t, "left", "left") - damage(t, "left", "right"),
            "wrong",
            r"One lesion cannot tell a weak skill from a separate one\.",
        ),
        (
            lambda t: damage(t, "right", "right") - damage(t, "right", "left"),
            "wrong",
            r"One lesion cannot tell",
        ),
        (
            lambda t: np.trace(t.loc["intact"].to_numpy() - t.iloc[1:].to_numpy()),
            "wrong",
            r"Network [A-D] loses both skills",
        ),
        (lambda t: -mean_damage(t), "wrong", "loses nothing under either lesion"),
        (lambda t: 0.0, "wrong", "the top mark for network"),
        (lambda t: float("nan"), "wrong", "the top mark for network"),
        (lambda t: t, "wrong", "a number .* a DataFrame"),
    ],
)
def test_dissociation(answer, state, words):
    judged("02.4", answer, state, words)


def test_the_mean_over_both_lesions_is_not_enough():
    def mean_of_two(table):
        left = damage(table, "left", "left") - damage(table, "left", "right")
        right = damage(table, "right", "right") - damage(table, "right", "left")
        return left + right

    judged("02.4", mean_of_two, "wrong", "One lesion cannot tell")


def test_examples_are_not_among_the_instances_of_a_check():
    seen = []

    def spy(table):
        seen.append(table)
        return (table["metric"] - table["metric_held"]).idxmax()

    assert course.check("00.2", spy)
    assert len(seen) == 20
    assert not any(table.equals(course.example("00.2")) for table in seen)
    assert set(course.example("02.4")) == set("ABCD")
    assert course.example("02.1").dtype == torch.bool
