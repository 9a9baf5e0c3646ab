"""The comparison view without a browser: what it takes, trains, says, keeps, and leaves behind."""

import asyncio
import gc
import json
import sys
import threading
import time
import warnings
import weakref
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from xml.etree import ElementTree

import ipywidgets
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn.functional import mse_loss

import shapekeeper as sk
from shapekeeper.plots.ink import DASHES as PLOT_DASHES
from shapekeeper.plots.ink import STRATEGIES as PLOT_LOOKS
from shapekeeper.widgets import ComparisonView, comparison_view, comparison_words
from shapekeeper.widgets.comparison_curves import MOST, Curves
from shapekeeper.widgets.comparison_kinds import DASHES, KINDS
from shapekeeper.widgets.comparison_setup import call

MODELS = ipywidgets.widgets.widget._instances
SVG = "{http://www.w3.org/2000/svg}"
PATIENCE = 20  # seconds; only ever used up where something is broken
UNMEASURED = ["seconds"]


class Browser:
    """Sends commands as the browser does, and keeps what comes back, as JSON."""

    def __init__(self, view):
        self.view, self.sent, self.count = view, [], 0
        view._send = self._keep

    def _keep(self, message, buffers=None):
        self.sent.append(json.loads(json.dumps(message, allow_nan=False)))

    def ask(self, do, **more):
        self.count += 1
        self.view.set_state({"command": {"id": f"edit {self.count}", "do": do, **more}})
        assert self.view.answered == f"edit {self.count}"
        return self.view.said

    def wait(self, *states):
        wait_until(lambda: self.view.state in states)

    @property
    def points(self):
        return [m["content"] for m in self.sent if m["method"] == "custom"]

    def told(self, name):
        states = [m["state"] for m in self.sent if m["method"] == "update"]
        return [state[name] for state in states if name in state]


def wait_until(condition):
    for _ in range(PATIENCE * 200):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


@pytest.fixture
def opened():
    """Makes views, and closes them at the end."""
    views = []

    def make(*args, **kwargs):
        views.append(ComparisonView(*args, **kwargs))
        return Browser(views[-1])

    yield make
    for view in views:
        view.close()


@pytest.fixture
def gate(monkeypatch):
    """Training that begins, and takes each step, only when it is let."""
    gate = SimpleNamespace(begin=threading.Event(), steps=threading.Semaphore(0))

    class Gated(sk.compare.__globals__["Run"]):
        def __init__(self, *args, **kwargs):
            assert gate.begin.wait(PATIENCE)
            super().__init__(*args, **kwargs)

        def train(self):
            for progress in super().train():
                assert gate.steps.acquire(timeout=PATIENCE)
                yield progress

    monkeypatch.setattr(comparison_view, "Run", Gated)
    monkeypatch.setattr(comparison_view, "PACE", 0.0)
    yield gate
    gate.begin.set()
    gate.steps.release(10_000)


def texts(view):
    return [f"{m['text']} {m['detail']}".strip() for m in view.messages]


def frame(comparison):
    return comparison.frame.drop(columns=UNMEASURED)


def entry(view, name):
    return next(e for e in view.setup["entries"] if e["id"] == name)


def failing(after):
    """A task whose loss raises after so many calls, and the calls."""
    calls = []

    def loss(prediction, target):
        calls.append(1)
        if len(calls) > after:
            raise ZeroDivisionError("the loss\nhad enough")
        return mse_loss(prediction, target)

    x = torch.linspace(-1, 1, 32)[:, None]
    task = sk.Task(
        "line", model=lambda seed: nn.Linear(1, 1), data=sk.Data((x, 2 * x), (x, 2 * x)),
        loss=loss, metric=mse_loss, better="lower", constraints={"weight": sk.Box(-1, 1)},
    )  # fmt: skip
    return task, calls


def steep():
    """The pencil problem for plain gradient descent, which too high a price throws out."""
    return replace(sk.tasks.pencil(), optimizer=partial(torch.optim.SGD, lr=0.1))


def dropping():
    """A task whose model can't be one program for all seeds."""
    x = torch.linspace(-1, 1, 32)[:, None]
    return sk.Task(
        "drops", model=lambda seed: nn.Sequential(nn.Linear(1, 4), nn.Dropout(), nn.Linear(4, 1)),
        data=sk.Data((x, x), (x, x)), loss=mse_loss, metric=mse_loss, better="lower",
        constraints={"0.weight": sk.Box(-1, 1)},
    )  # fmt: skip


# Setting up


def test_what_is_ticked_beforehand_and_what_there_is():
    view = ComparisonView(sk.tasks.digits())
    entries = view.setup["entries"]
    assert [e["kind"] for e in entries if e["ticked"]] == ["Unconstrained", "Penalty", "Projection"]
    assert {e["kind"] for e in entries} == set(KINDS)
    kinds = {name for name, kind in sk.Strategy.kinds.items() if kind.__module__ == KINDS_MODULE}
    assert set(KINDS) == kinds
    told = {k: v for k, v in view.setup.items() if k not in ("entries", "fields")}
    assert told == {
        "task": "digits on 8 regions", "metric": "accuracy", "better": "higher", "unit": "weight",
        "ticked": 3, "total": 9, "runs": 5, "ready": True,
    }  # fmt: skip
    assert view.setup["fields"] == {
        "seeds": {"text": "5", "problem": ""},
        "steps": {"text": "500", "problem": ""},
        "device": {
            "text": "auto", "problem": "",
            "choices": view.setup["fields"]["device"]["choices"],
            "here": "cuda" if torch.cuda.is_available() else "cpu",
        },
    }  # fmt: skip
    assert texts(view) == ["5 runs of 5 seeds. You can stop at any time and go on later."]
    assert view.comparison is None
    json.dumps(view.get_state(), default=str)
    view.close()


KINDS_MODULE = sk.Strategy.__module__


def test_looks_are_those_of_the_plots():
    marks = {
        "x": "x", "^": "up", "v": "down", "s": "square", "o": "circle", "h": "hexagon",
        "H": "hexagon-open",
    }  # fmt: skip
    for name, kind in KINDS.items():
        light, dark, mark = PLOT_LOOKS[name]
        wanted = {"AugmentedLagrangian": "diamond-open", "Reparametrization": "diamond"}
        assert (kind.light, kind.dark) == (light, dark)
        assert kind.mark == wanted.get(name, marks.get(mark))
    assert [bool(d) for d in DASHES] == [d != "-" for d in PLOT_DASHES]


def test_filled_marks_and_promises_follow_the_settings(opened):
    page = opened(sk.tasks.pencil())
    view = page.view
    filled = {e["id"]: e["look"]["filled"] for e in view.setup["entries"]}
    assert [name for name in filled if filled[name]] == [
        "freeze", "projection", "reparametrization", "constrained-langevin", "rejection-evolution"
    ]  # fmt: skip
    assert entry(view, "projection")["promise"] == "the shape holds at every step"
    assert entry(view, "penalty")["promise"] == "none: read violation and loss held"
    assert entry(view, "staged")["promise"] == "the shape holds from the last part on"
    page.ask("set", entry="projection", setting="every", text="1, 5")
    assert not entry(view, "projection")["look"]["filled"]
    page.ask("set", entry="staged", setting="first", text="Freeze")
    assert entry(view, "staged")["look"]["filled"]


def test_evolution_is_typed_like_the_others(opened):
    pytest.importorskip("cma")
    given = sk.RejectionEvolution([500, 900], population=8, inside=sk.Reparametrization())
    page = opened(sk.tasks.pencil(), [given], seeds=1, steps=4)
    shown = entry(page.view, "rejection-evolution")
    assert shown["words"] == "evaluations 500, 900, population 8, Reparametrization"
    assert {s["name"]: s["text"] for s in shown["settings"]} == {
        "step_size": "0.1", "evaluations": "500, 900", "population": "8",
        "violators": "rejected", "inside": "Reparametrization",
    }  # fmt: skip
    call = "sk.RejectionEvolution([500, 900], population=8, inside=sk.Reparametrization())"
    assert call in page.view.code()
    assert eval(call, {"sk": sk}) == given
    page.ask("set", entry="rejection-evolution", setting="population", text="3")
    wrong = {s["name"]: s["problem"] for s in entry(page.view, "rejection-evolution")["settings"]}
    assert wrong["population"] == "Wanted a population of at least 4, or None, got 3."
    page.ask("set", entry="rejection-evolution", setting="population", text="none")
    page.ask("set", entry="rejection-evolution", setting="evaluations", text="500")
    page.view.run()
    assert list(page.view.comparison.strategies) == [
        "RejectionEvolution 500, Reparametrization inside"
    ]


def test_evolution_promises_what_was_checked(opened):
    pytest.importorskip("cma")
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    bound = sk.Task(
        "bounded", model=lambda seed: nn.Sequential(nn.Linear(2, 1)), data=sk.Data((x, x[:, :1]),
        (x, x[:, :1])), loss=mse_loss, metric=mse_loss, better="lower", batch_size=4,
        constraints={"0": sk.Box(-9, 9)},
    )  # fmt: skip
    page = opened(bound)
    shown = entry(page.view, "rejection-evolution")
    assert shown["promise"] == (
        "the shape holds on the inputs that were checked, once a candidate obeys"
    )
    assert not shown["look"]["filled"]
    page.ask("set", entry="rejection-evolution", setting="inside", text="Projection")
    assert entry(page.view, "rejection-evolution")["promise"] == "the shape holds at every step"


def test_evolution_without_its_library_is_listed_with_the_reason(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    shown = entry(opened(sk.tasks.pencil()).view, "rejection-evolution")
    assert shown["unfit"] == shown["fits"]
    assert shown["unfit"].startswith(
        "RejectionEvolution needs cma: pip install 'shapekeeper[evolution]'."
    )


def test_strategies_that_are_given_come_first_in_their_order(opened):
    view = opened(sk.tasks.pencil(), [sk.Projection(every=[1, 2]), sk.Unconstrained("task")]).view
    ticked = [(e["id"], e["words"]) for e in view.setup["entries"] if e["ticked"]]
    assert ticked == [("projection", "every 1, 2"), ("unconstrained", "task")]
    assert [e["id"] for e in view.setup["entries"]][:3] == [
        "projection",
        "unconstrained",
        "penalty",
    ]
    assert view.setup["total"] == 9


def test_names_that_are_given_stay(opened):
    given = {"soft": sk.Penalty([0.5, 2.0]), "hard": sk.Projection(), "again": sk.Projection(2)}
    view = opened(sk.tasks.pencil(), given, seeds=1, steps=2).view
    names = [(e["name"], e["copy"]) for e in view.setup["entries"] if e["ticked"]]
    assert names == [("soft", False), ("hard", False), ("again", True)]
    assert list(view.run().strategies) == ["soft 0.5", "soft 2", "hard", "again"]
    assert [(r["name"], r["words"], r["dash"]) for r in view.runs] == [
        ("soft 0.5", "", "5 3"), ("soft 2", "", ""), ("hard", "", "5 3"), ("again", "", ""),
    ]  # fmt: skip


@dataclass(frozen=True)
class Own(sk.Strategy):
    """Does nothing of note.

    Said at length.
    """


@pytest.mark.parametrize(
    ("strategy", "wording", "about"),
    [
        (Own(), "", "Does nothing of note."),
        (
            sk.Staged(sk.Stage(0.2, sk.Freeze()), sk.Stage(0.8, sk.Projection(), rate=0.5)),
            "Freeze → Projection",
            KINDS["Staged"].about,
        ),
    ],
)
def test_what_cannot_be_typed_stands_as_it_is(opened, strategy, wording, about):
    page = opened(sk.tasks.pencil(), [strategy], seeds=1, steps=2)
    first = page.view.setup["entries"][0]
    assert (first["settings"], first["words"], first["about"]) == ([], wording, about)
    assert page.view.run().strategies == {strategy.label: strategy}
    page.ask("change")
    refused = page.ask("add", entry=first["id"])
    assert refused["refused"]
    assert "has no settings to change here" in refused["text"]


@pytest.mark.parametrize(
    ("name", "setting", "text", "runs", "problem"),
    [
        ("penalty", "strength", " 0.1,1 ;10 ", 3, ""),
        ("penalty", "strength", "1e-3", 1, ""),
        ("penalty", "strength", "", 1, "Wanted a number, or several, "
         "e.g. 0.1, 1, 10, got nothing."),
        (
            "penalty", "strength", "much", 1,
            "Wanted numbers with commas between them, e.g. 0.1, 1, 10, got “much”.",
        ),
        ("penalty", "strength", "inf", 1, "Wanted numbers with commas between them, e.g. 0.1, 1, "
         "10, got “inf”."),
        ("penalty", "strength", "2, 2", 1, "Wanted each value once, got 2 twice."),
        ("penalty", "strength", "1, −3", 2, "Wanted a finite strength from 0 up, got -3.0."),
        ("penalty", "growth", "0.5", 1, "Wanted a finite growth from 1 up, got 0.5."),
        ("penalty", "norm", "cubed", 1, "Wanted one of squared, absolute, got “cubed”."),
        ("projection", "every", "1.5", 1, "Wanted whole numbers from 1 up, got “1.5”."),
        ("projection", "every", "0", 1, "Wanted whole numbers from 1 up, got “0”."),
        ("constrained-langevin", "friction", "none, 0.5", 2, ""),
        ("constrained-langevin", "friction", "0", 1,
         "Wanted a finite friction above 0, or None for no momenta, got 0.0."),
        ("constrained-langevin", "friction", "some", 1,
         "Wanted numbers with commas between them, e.g. 0.1, 1, 10, got “some”."),
        ("constrained-langevin", "temperature", "-1", 1,
         "Wanted a finite temperature from 0 up, got -1.0."),
        ("staged", "share", "1", 1, "Wanted a share between 0 and 1, got 1."),
        ("staged", "then", "Sphere", 1, "Wanted one of Unconstrained, Penalty 0.1, Penalty 1, "
         "Penalty 10, Freeze, Projection, Reparametrization, got “Sphere”."),
    ],
)  # fmt: skip
def test_what_is_typed_is_taken_or_refused_at_its_field(opened, name, setting, text, runs, problem):
    page = opened(sk.tasks.pencil())
    page.ask("tick", entry=name, on=True)
    page.ask("set", entry=name, setting=setting, text=text)
    found = next(s for s in entry(page.view, name)["settings"] if s["name"] == setting)
    assert (found["text"], found["runs"], found["problem"]) == (text.strip(), runs, problem)
    assert page.view.setup["ready"] == (not problem)
    if problem:
        before = page.view.written
        title = entry(page.view, name)["name"]
        assert texts(page.view) == [f"{title}, {setting}: {problem}"]
        assert page.ask("run")["refused"]
        assert page.view.state == "setup"
        with pytest.raises(sk.ComparisonError, match="Wanted"):
            page.view.run()
        assert page.view.written == before  # the last that could be run


def test_settings_that_exclude_each_other(opened):
    page = opened(sk.tasks.pencil())
    page.ask("set", entry="penalty", setting="norm", text="absolute")
    page.ask("set", entry="penalty", setting="growth", text="1.1")
    problems = {s["name"]: s["problem"] for s in entry(page.view, "penalty")["settings"]}
    assert problems.pop("growth").startswith("Wanted norm='squared' for a strength that grows")
    assert set(problems.values()) == {""}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("seeds", "0", "Wanted a whole number from 1 up, got “0”."),
        ("seeds", "3, 3", "Wanted a count, or different seeds from 0 up with commas between, got "
         "“3, 3”."),
        ("seeds", "3, 7", ""),
        ("steps", "many", "Wanted a whole number from 1 up, got “many”."),
        ("device", "cpi", "got “cpi”. Use cpu."),
    ],
)  # fmt: skip
def test_fields_of_the_run(opened, name, text, problem):
    page = opened(sk.tasks.pencil())
    page.ask("field", name=name, text=text)
    found = page.view.setup["fields"][name]
    assert found["text"] == text
    assert found["problem"].endswith(problem)
    assert bool(found["problem"]) == bool(problem)
    assert page.view.setup["ready"] == (not problem)


def test_seeds_may_be_named(opened):
    page = opened(sk.tasks.pencil(), [sk.Freeze()], seeds=[7], steps=2)
    assert page.view.setup["fields"]["seeds"]["text"] == "7,"
    assert page.view.run().seeds == [7]
    assert "seeds=[7]," in page.view.code()
    page.ask("change")
    page.ask("field", name="seeds", text="4, 2")
    assert page.view.run().seeds == [4, 2]


def test_without_a_task(opened):
    page = opened()
    assert texts(page.view) == [
        "Wanted a task, got none. Pass one: ComparisonView(sk.tasks.digits())."
    ]
    assert not page.view.setup["ready"]
    with pytest.raises(sk.ComparisonError, match="Wanted a task, got none"):
        page.view.run()
    assert "task = ...  # your task" in page.view.code()


def test_what_is_no_task_or_no_strategy_is_refused():
    models = len(MODELS)
    with pytest.raises(sk.ComparisonError, match=r"Wanted a task, got .* Call it: digits\(\)\."):
        ComparisonView(sk.tasks.digits)
    with pytest.raises(
        sk.ComparisonError, match=r"Wanted strategies, e\.g\. Projection\(\), got 5"
    ):
        ComparisonView(sk.tasks.pencil(), [5])
    with pytest.raises(sk.TaskError, match="did you mean 'weight'"):
        ComparisonView(replace(sk.tasks.pencil(), constraints={"wieght": sk.Box(0, 1)}))
    assert len(MODELS) == models


def test_nothing_ticked(opened):
    page = opened(sk.tasks.pencil(), [sk.Freeze()])
    page.ask("tick", entry="freeze", on=False)
    assert texts(page.view) == ["Wanted at least one strategy, got none. Tick one."]
    assert page.view.setup["ticked"] == 0


def test_a_second_copy_has_another_setting_and_can_be_removed(opened):
    page = opened(sk.tasks.pencil(), [sk.Penalty(1.0)])
    page.ask("add", entry="penalty")
    copy = entry(page.view, "penalty-2")
    assert (copy["words"], copy["copy"], copy["ticked"]) == ("10", True, True)
    page.ask("set", entry="penalty-2", setting="strength", text="1")
    assert texts(page.view) == [
        "Two runs are called “Penalty 1”. Change a setting of one of them, or untick it."
    ]
    page.ask("remove", entry="penalty-2")
    assert page.view.setup["ready"]
    refused = page.ask("remove", entry="penalty")
    assert refused["text"] == "Penalty stays in the list; untick it instead."
    refused = page.ask("add", entry="freeze")
    assert refused["text"].startswith("Freeze has no settings to change here; a second one would")


@pytest.mark.parametrize(
    ("name", "words"),
    [("unconstrained", "task"), ("staged", "share 0.25"), ("projection", "every 10"),
     ("augmented-lagrangian", "penalty 10")],
)  # fmt: skip
def test_copies_of_each_kind_differ(opened, name, words):
    page = opened(sk.tasks.pencil())
    page.ask("tick", entry=name, on=True)
    page.ask("add", entry=name)
    copy = entry(page.view, f"{name}-2")
    first = copy["settings"][0]
    assert words in (copy["words"], f"{first['name']} {first['text']}")
    assert page.view.setup["ready"]


def test_stages_that_differ_in_their_share_alone_are_told_apart(opened):
    page = opened(sk.tasks.pencil(), [sk.Unconstrained()], seeds=1, steps=10)
    page.ask("tick", entry="staged", on=True)
    page.ask("set", entry="staged", setting="share", text="0.2, 0.5")
    labels = [f"Staged {share} % Unconstrained → Projection" for share in (20, 50)]
    found = page.view.run()
    assert list(found.strategies) == ["Unconstrained", *labels]
    assert [r["holds"] for r in page.view.result["rows"]] == [
        "no promise", "from step 2", "from step 5",
    ]  # fmt: skip
    assert_code_gives(page.view, found)


def test_strategies_that_do_not_fit_are_listed_with_the_reason(opened):
    odd = replace(
        sk.tasks.pencil(),
        optimizer=partial(torch.optim.Adagrad, lr=0.1),
        constraints={"weight": sk.Sphere()},
    )
    page = opened(odd, steps=2, seeds=1)
    found = entry(page.view, "projection")
    assert "Adagrad rescales each number by itself" in found["unfit"]
    assert found["fits"] == found["unfit"]
    assert not found["ticked"]
    refused = page.ask("tick", entry="projection", on=True)
    assert refused["refused"]
    assert refused["text"].startswith("Projection doesn't fit this task: ")
    assert list(page.view.run().strategies) == [
        "Unconstrained", "Penalty 0.1", "Penalty 1", "Penalty 10"
    ]  # fmt: skip


# The states


def test_every_state_says_what_it_is(opened, gate):
    page = opened(sk.tasks.pencil(), [sk.Unconstrained(), sk.Projection()], seeds=2, steps=10)
    view = page.view
    assert page.ask("run")["text"] == "Training 2 runs of 2 seeds, 10 steps."
    assert (view.state, texts(view)) == ("starting", ["Trying one step of each strategy …"])
    assert [run["label"] for run in view.runs] == ["Unconstrained", "Projection"]
    assert view.progress["step"] == 0
    refused = page.ask("tick", entry="penalty", on=True)
    assert "Settings are locked while there is a training." in refused["text"]

    gate.begin.set()
    page.wait("running")
    gate.steps.release(3)
    wait_until(lambda: view.progress["step"] == 2)
    wait_until(lambda: view.progress["to_go"] is not None)
    text, *rest = texts(view)
    assert rest == []
    assert text == (
        "2 runs of 2 seeds: a few seconds here. You can stop at any time and go on later."
    )

    page.ask("stop")
    assert (view.state, texts(view)) == ("stopping", ["Stops after this step."])
    gate.steps.release(1)
    page.wait("stopped")
    assert texts(view) == [
        "Stopped at step 3. Resume goes on to the same numbers as an unbroken run."
    ]
    assert view.result["at"] == 3
    assert len(view.result["rows"]) == 2
    assert view.comparison is not None
    assert view.progress["to_go"] is None

    gate.steps.release(100)
    page.ask("resume")
    page.wait("finished")
    start, detail = view.messages[0]["text"], view.messages[0]["detail"]
    assert start.startswith("Finished in ")
    assert detail == "2 runs, 2 seeds each, 10 steps, the same start and the same batches."
    assert view.messages[0]["kind"] == "good"
    assert view.result["at"] is None
    assert view.said["text"].startswith(f"{start} Unconstrained: loss ")

    page.ask("over")
    assert (view.state, view.runs, view.result) == ("setup", [], {})
    assert texts(view)[0].startswith("2 runs of 2 seeds: a few seconds here.")


def test_stop_while_it_starts_keeps_the_first_row(opened, gate):
    page = opened(sk.tasks.pencil(), [sk.Freeze()], seeds=1, steps=5)
    page.ask("run")
    page.ask("stop")
    assert page.view.state == "stopping"
    gate.begin.set()
    gate.steps.release(1)
    page.wait("stopped")
    assert page.view.result["at"] == 0
    assert list(page.view.comparison.frame["step"]) == [0]


def test_stop_and_resume_end_at_the_numbers_of_an_unbroken_run(opened, gate):
    strategies = [
        sk.Penalty([1.0, 10.0], growth=1.1),
        sk.Projection(3),
        sk.Staged(sk.Stage(0.4, sk.Unconstrained()), sk.Stage(0.6, sk.Reparametrization())),
    ]
    page = opened(sk.tasks.pencil(), strategies, seeds=2, steps=20)
    gate.begin.set()
    page.ask("run")
    for steps in (1, 7, 6):
        gate.steps.release(steps)
        wait_until(lambda: gate.steps._value == 0)
        page.ask("stop")
        gate.steps.release(1)
        page.wait("stopped")
        page.ask("resume")
    gate.steps.release(100)
    page.wait("finished")
    whole = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=20)
    pd.testing.assert_frame_equal(frame(page.view.comparison), frame(whole), check_exact=True)
    sent = page.points
    assert sent[0]["fresh"]
    assert not any(message["fresh"] for message in sent[1:])
    steps = [s for message in sent for s in message["runs"].get("r0", {}).get("step", [])]
    assert steps == sorted(whole.frame["step"].unique())


def test_run_goes_on_where_it_was_stopped_and_again_begins_anew(opened, gate):
    page = opened(sk.tasks.pencil(), [sk.Freeze()], seeds=1, steps=5)
    gate.begin.set()
    page.ask("run")
    page.ask("stop")
    gate.steps.release(1)
    page.wait("stopped")
    with pytest.raises(sk.ComparisonError, match="Wanted a comparison that was stopped, got"):
        opened(sk.tasks.pencil()).view.resume()
    page.sent.clear()
    gate.steps.release(100)
    assert page.view.run().frame["step"].max() == 5
    assert not page.points[0]["fresh"]
    page.sent.clear()
    page.ask("again")
    page.wait("finished")
    assert page.points[0]["fresh"]


def test_errors_of_the_training_are_shown_and_raised(opened):
    task, calls = failing(10**9)
    strategies = [sk.Unconstrained(), sk.Projection()]
    opened(task, strategies, seeds=1, steps=200).view.run()
    half = len(calls) // 2  # of what all steps take
    page = opened(failing(half)[0], strategies, seeds=1, steps=200)
    with pytest.raises(ZeroDivisionError, match="had enough"):
        page.view.run()
    bad = page.view.messages[0]
    assert (page.view.state, bad["kind"], bad["text"]) == ("failed", "bad", "had enough")
    assert bad["detail"] == "What was found until then is kept."
    assert "Traceback" in bad["more"]
    assert "ZeroDivisionError: the loss" in bad["more"]
    assert len(page.view.result["rows"]) == 2
    assert 0 < page.view.result["at"] < 200
    assert 0 < page.view.comparison.frame["step"].max() <= page.view.result["at"]
    assert page.view.said["text"].endswith("had enough")


def test_errors_before_the_first_step_are_shown_and_raised_where_it_is_awaited(opened):
    page = opened(failing(60)[0], [sk.Unconstrained()], seeds=2, steps=50)

    async def waited():
        return await page.view.run()

    with pytest.raises(ZeroDivisionError, match="had enough"):
        asyncio.run(waited())
    assert page.view.state == "failed"
    page.ask("run")  # once more
    page.wait("failed")
    assert page.view.messages[0]["kind"] == "bad"
    page.ask("change")
    assert page.view.state == "setup"


def test_a_run_that_diverges_is_a_warning_and_a_row_without_numbers(opened, gate):
    strategies = [sk.Unconstrained(), sk.Penalty([1.0, 1000.0])]
    page = opened(steep(), strategies, seeds=2, steps=60)
    gate.begin.set()
    gate.steps.release(55)
    page.ask("run")
    wait_until(lambda: page.view.messages[0]["kind"] == "warn")
    assert texts(page.view)[0] == (
        "Penalty 1000 diverged; the others go on. Its loss stopped being a finite number. A "
        "strength of 1 held. Way out: a smaller strength, or a smaller learning rate."
    )
    assert page.view.state == "running"
    lost = {run["label"]: run["diverged"] for run in page.view.runs}
    step = lost["Penalty 1000"]["step"]
    assert lost == {
        "Unconstrained": None,
        "Penalty 1": None,
        "Penalty 1000": {"step": step, "seeds": [0, 1], "of": 2},
    }
    gate.steps.release(100)
    page.wait("finished")
    row = page.view.result["rows"][2]
    assert row["diverged"] == f"diverged at step {step} in 2 of 2 seeds; not ranked"
    numbers = ("metric", "metric_sd", "held", "held_sd", "violation", "difference", "low", "high")
    assert [row[name] for name in numbers] == [None] * 8
    said = [told["text"] for told in page.told("said")]
    assert sum("Penalty 1000 diverged; the others go on." in text for text in said) == 1
    page.ask("reference", run="r2")
    assert [row["difference"] for row in page.view.result["rows"]] == [None] * 3


def test_the_only_run_diverges():
    message = comparison_words.diverged("Penalty 9", sk.Penalty(9.0), True, [], "")
    assert message["text"] == "Penalty 9 diverged."
    message = comparison_words.diverged("Freeze", sk.Freeze(), False, [], "")
    assert message["detail"].endswith("Way out: a smaller learning rate.")
    way = KINDS["AugmentedLagrangian"].way
    message = comparison_words.diverged("a", sk.AugmentedLagrangian(), False, [], way)
    assert message["detail"].endswith(
        "Way out: a smaller dual_step, a larger penalty, or a smaller learning rate."
    )


# The table


def test_the_table_is_that_of_the_comparison(opened):
    strategies = [sk.Unconstrained(), sk.Penalty(1.0), sk.Projection()]
    page = opened(sk.tasks.pencil(), strategies, seeds=3, steps=30)
    found = page.view.run()
    assert page.view.result["reference"] == "r0"
    for reference in ("Unconstrained", "Projection"):
        if reference == "Projection":
            page.ask("reference", run="r2")
            assert page.view.said["text"] == "Compared with Projection."
            assert 'comparison.summary("Projection")' in page.view.code()
        summary, result = found.summary(reference), page.view.result
        assert (result["metric"], result["better"], result["at"]) == ("loss", "lower", None)
        for label, row in zip(summary.index, result["rows"], strict=True):
            wanted = summary.loc[label]
            assert row["metric"] == wanted["metric"]
            assert (row["held"], row["held_sd"]) == (
                wanted["metric_held"],
                wanted["metric_held_sd"],
            )
            assert row["violation"] == wanted["violation"]
            assert row["holds"] == wanted["holds"]
            assert row["seeds"]["held"] == list(found.final().loc[label]["metric_held"])
            if label == reference:
                assert row["difference"] is None
            else:
                assert (row["low"], row["high"]) == (wanted["low"], wanted["high"])
                assert row["clear"] == (wanted["low"] > 0 or wanted["high"] < 0)
    assert page.view.state == "finished"


def test_one_seed_has_no_interval(opened):
    view = opened(sk.tasks.pencil(), [sk.Freeze(), sk.Projection()], seeds=1, steps=3).view
    view.run()
    row = view.result["rows"][1]
    assert (row["low"], row["high"], row["clear"], row["metric_sd"]) == (None, None, False, None)
    assert row["difference"] is not None


# What travels


def test_messages_are_at_most_two_a_second_and_hold_new_points_only(opened, monkeypatch):
    clock = SimpleNamespace(now=0.0)

    def monotonic():
        clock.now += 0.04
        return clock.now

    page = opened(sk.tasks.pencil(), [sk.Penalty(1.0), sk.Projection()], seeds=3, steps=100)
    monkeypatch.setattr(comparison_view, "monotonic", monotonic)
    found = page.view.run()
    # a look at the clock for each step, and one for each message
    most = clock.now / comparison_view.PACE + 3  # at the beginning, and at the end
    assert 5 < len(page.points) <= most
    assert len([m for m in page.sent if m["method"] == "update"]) <= most + 2
    rows = found.frame[found.frame["strategy"] == "Projection"].groupby("step")
    sent = [message["runs"]["r1"] for message in page.points if "r1" in message["runs"]]
    assert [step for m in sent for step in m["step"]] == list(rows.groups)
    for name in ("loss", "metric", "violation"):
        wanted = rows[name].agg(["mean", "min", "max"]).to_numpy().tolist()
        assert [p for m in sent for p in m[name]] == [pytest.approx(w) for w in wanted]


def test_each_tenth_of_the_way_is_announced(opened, monkeypatch):
    monkeypatch.setattr(comparison_view, "PACE", 0.0)
    page = opened(sk.tasks.pencil(), [sk.Projection()], seeds=1, steps=30)
    page.view.run()
    said = [told["text"] for told in page.told("said")]
    assert said[0] == "Training 1 run of 1 seed, 30 steps."
    assert said[1:-1] == [f"Step {3 * i} of 30, {10 * i} %." for i in range(1, 10)]
    assert said[-1].startswith("Finished in ")
    assert said[-1].endswith("shape holds: always.")
    assert not any(told["refused"] for told in page.told("said"))


def test_a_view_that_opens_late_gets_all_points(opened):
    page = opened(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=50)
    page.view._handle_custom_msg({"do": "points"}, [])
    assert page.points == []
    page.view.run()
    page.sent.clear()
    page.view._handle_custom_msg({"do": "points"}, [])
    page.view._handle_custom_msg("nonsense", [])
    [message] = page.points
    assert message["fresh"]
    assert len(message["runs"]["r0"]["step"]) == len(message["runs"]["r0"]["loss"]) == 26


def test_long_curves_lose_every_second_point():
    curves = Curves({"a": "r0"})
    for step in range(3 * MOST):
        row = {"strategy": "a", "step": step, "loss": step, "metric": float("nan"), "violation": 0}
        curves.add([row])
        news = curves.news()
        assert len(curves.points["r0"]["step"]) <= MOST
        assert news["fresh"] == (len(news["runs"]["r0"]["step"]) > 1 or step == 0)
    points = curves.points["r0"]
    assert points["step"][-1] == 3 * MOST - 1
    assert [loss for loss, _, _ in points["loss"]] == points["step"] == sorted(points["step"])
    assert points["metric"][0] == [None, None, None]


def test_the_browser_finds_the_code_under_its_name(opened):
    page = opened(sk.tasks.pencil())
    state = page.view.get_state()
    assert state["code"] == page.view.code()
    assert "written" not in state
    page.ask("field", name="steps", text="7")
    assert "steps=7" in page.told("code")[-1]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"do": "fly"}, "Wanted one of tick, set"),
        ({"do": "tick", "entry": "penalti"}, "Wanted a strategy of the list, e.g. 'penalty'"),
        ({"do": "set", "entry": "penalty", "setting": "size"}, "It has strength, norm, growth."),
        ({"do": "set", "entry": "freeze", "setting": "size"}, "It has none."),
        ({"do": "field", "name": "hope"}, "Wanted one of seeds, steps, device, got 'hope'."),
    ],
)
def test_commands_that_make_no_sense_are_refused(opened, command, words):
    page = opened(sk.tasks.pencil())
    before = page.view.setup
    said = page.ask(command.pop("do"), **command)
    assert said["refused"]
    assert words in said["text"]
    assert page.view.setup == before


@pytest.mark.parametrize("do", ["stop", "resume", "again", "over", "change", "reference"])
def test_commands_of_another_state_do_nothing(opened, do):
    page = opened(sk.tasks.pencil())
    page.ask(do, run="r0")
    assert (page.view.state, page.view.result, page.view.runs) == ("setup", {}, [])


# Threads, warnings, closing


def test_warnings_of_the_training_are_shown_and_others_go_their_way(opened, gate, recwarn):
    usual = warnings.showwarning
    page = opened(dropping(), [sk.Projection()], seeds=2, steps=5)
    gate.begin.set()
    gate.steps.release(2)
    page.ask("run")
    wait_until(lambda: page.view.progress["step"] == 1)
    warnings.warn("from somebody else", stacklevel=1)
    gate.steps.release(100)
    page.wait("finished")
    heard = [m["text"] for m in page.view.messages if m["kind"] == "info"]
    assert len(heard) == 1
    assert heard[0].startswith("Projection: seeds were trained one after another, since")
    assert [str(w.message) for w in recwarn] == ["from somebody else"]
    wait_until(lambda: warnings.showwarning is usual)


def test_closing_ends_the_thread(opened, gate):
    models, threads = len(MODELS), threading.active_count()
    page = opened(sk.tasks.pencil(), steps=10_000)
    gate.begin.set()
    gate.steps.release(10_000)
    page.ask("run")
    page.wait("running")
    page.view.close()
    assert threading.active_count() == threads
    assert len(MODELS) == models
    page.view.close()


def test_running_the_cell_again_leaves_nothing_behind(monkeypatch):
    cell = SimpleNamespace(run=0)
    parent = lambda: {"metadata": {"cellId": "a"}, "header": {"msg_id": str(cell.run)}}  # noqa: E731
    shell = SimpleNamespace(get_parent=parent, user_ns={})
    monkeypatch.setattr(comparison_view, "_shell", lambda: shell)
    figures, models, threads = plt.get_fignums(), len(MODELS), threading.active_count()
    views = []
    for _ in range(5):
        cell.run += 1
        views += [ComparisonView(sk.tasks.pencil(), steps=10**6) for _ in range(2)]
        for view in views[-2:]:
            view.set_state({"command": {"id": "1", "do": "run"}})
            view._repr_mimebundle_()
        assert threading.active_count() == threads + 2  # two of one execution stand side by side
        assert len(MODELS) == models + 4
    refs = [weakref.ref(view) for view in views]
    for view in views[-2:]:
        view.close()
    del view, views
    gc.collect()
    assert threading.active_count() == threads
    assert (len(MODELS), plt.get_fignums()) == (models, figures)
    assert [ref() for ref in refs] == [None] * 10


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        ({"metadata": {"cellId": "a"}}, {"metadata": {"cellId": "b"}}, True),
        ({"metadata": {"cellId": "a"}}, {"metadata": {"cellId": "a"}}, False),
        # not every notebook says which cell it is
        ({"content": {"code": "view"}}, {"content": {"code": "view"}}, False),
        ({"content": {"code": "view"}}, {"content": {"code": "other"}}, True),
        ({"content": {}}, {"content": {}}, True),
        (None, None, True),
    ],
)
def test_views_of_other_cells_stay(monkeypatch, first, second, stays):
    views = []
    for parent in (first, second):
        told = parent and {**parent, "header": {"msg_id": str(len(views))}}
        shell = SimpleNamespace(get_parent=lambda told=told: told, user_ns={})
        monkeypatch.setattr(comparison_view, "_shell", lambda shell=shell: shell)
        views.append(ComparisonView(sk.tasks.pencil()))
    assert (views[0].comm is not None) == stays
    for view in views:
        view.close()


def test_waiting_can_be_interrupted_which_stops_the_training(opened):
    page = opened(sk.tasks.pencil(), steps=10**6)

    async def interrupted():
        training = page.view.run()
        assert "await it for the comparison" in repr(training)
        waiting = asyncio.ensure_future(_awaited(training))
        while page.view.progress["step"] < 3:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while page.view.state != "stopped":
            await asyncio.sleep(0.01)

    asyncio.run(interrupted())
    assert page.view.comparison.frame["step"].max() >= 0
    assert page.view.result["at"] > 0


async def _awaited(training):
    return await training


def test_a_notebook_waits_without_being_blocked(opened):
    page = opened(sk.tasks.pencil(), [sk.Projection()], seeds=1, steps=5)

    async def notebook():
        training = page.view.run()
        return await training, page.view.run().__class__.__name__

    found, again = asyncio.run(notebook())
    assert isinstance(found, sk.Comparison)
    assert again == "Training"
    page.wait("finished")


def test_who_waits_for_a_view_that_closes_gets_what_there_is(opened, gate):
    page = opened(sk.tasks.pencil(), [sk.Unconstrained()], seeds=1)

    async def closed():
        training = page.view.run()
        gate.begin.set()
        gate.steps.release(1)
        page.view.close()
        return await training

    assert list(asyncio.run(closed()).frame["step"]) == [0]


def test_a_task_that_no_strategy_can_train(opened):
    page = opened(failing(0)[0])
    told = "No strategy can train this task. One training step fails: ZeroDivisionError: the loss"
    assert texts(page.view)[0].startswith(told)
    assert not page.view.setup["ready"]


# Checkpoints


def test_a_checkpoint_goes_on_in_another_view(opened, gate, tmp_path):
    folder = tmp_path / "kept"
    strategies = [sk.Penalty(1.0), sk.Projection()]
    settings = {"seeds": 2, "steps": 20, "checkpoint": folder}
    page = opened(sk.tasks.pencil(), strategies, **settings)
    gate.begin.set()
    gate.steps.release(8)
    page.ask("run")
    wait_until(lambda: page.view.progress["step"] == 7)
    page.ask("stop")
    gate.steps.release(1)
    page.wait("stopped")
    gate.steps.release(1000)
    later = opened(sk.tasks.pencil(), strategies, **settings)
    found = later.view.run()
    whole = sk.compare(sk.tasks.pencil(), strategies, seeds=2, steps=20)
    pd.testing.assert_frame_equal(frame(found), frame(whole), check_exact=True)
    assert f"Goes on from step 8, as kept in “{folder}”." in [
        m["text"] for m in later.view.messages
    ]
    steps = later.view._session.curves.points["r0"]["step"]
    assert steps == sorted(whole.frame["step"].unique())
    later.ask("again")
    later.wait("finished")
    assert later.view.messages[1]["text"] == "This training is not kept."
    assert any(m["fresh"] for m in later.points)
    pd.testing.assert_frame_equal(frame(later.view.comparison), frame(whole), check_exact=True)


def test_a_checkpoint_of_another_comparison_is_an_error_in_the_view(opened, tmp_path):
    sk.compare(sk.tasks.pencil(), [sk.Freeze()], seeds=2, steps=3, checkpoint=tmp_path / "kept")
    page = opened(sk.tasks.pencil(), [sk.Freeze()], seeds=2, steps=9, checkpoint=tmp_path / "kept")
    with pytest.raises(sk.ComparisonError, match=r"is of another comparison\. Wanted steps 9"):
        page.view.run()
    assert page.view.messages[0]["text"].startswith("ComparisonError: The checkpoint in ")
    assert page.view.messages[0]["detail"] == "Nothing was trained."


# Without a front end


def assert_code_gives(view, found):
    names = {}
    exec(view.code().rpartition("comparison.summary(")[0], names)
    pd.testing.assert_frame_equal(frame(names["comparison"]), frame(found), check_exact=True)
    assert list(names["comparison"].strategies) == list(found.strategies)


@pytest.mark.parametrize(
    ("task", "strategies"),
    [
        (sk.tasks.pencil((0.5, -0.5)), None),
        (sk.tasks.digits(), [sk.Penalty([0.1, 1.0], norm="absolute"), sk.Freeze()]),
        (sk.tasks.senses(delay=2), {"soft": sk.Penalty([0.5, 2.0]), "hard": sk.Projection(2)}),
        (sk.tasks.with_sinc(sk.tasks.tones()), [sk.Unconstrained("task")]),
    ],
)
def test_the_code_gives_the_same_numbers(opened, task, strategies):
    view = opened(task, strategies, seeds=2, steps=4, device="cpu").view
    found = view.run()
    assert 'device="cpu"' in view.code()
    assert_code_gives(view, found)
    assert repr(view) == view.code()


def test_the_code_names_a_task_of_the_notebook(opened, monkeypatch):
    own, _ = failing(10**9)
    shell = SimpleNamespace(user_ns={"_1": own, "mine": own})
    monkeypatch.setattr(comparison_view, "_shell", lambda: shell)
    view = opened(own, [sk.Projection()], seeds=1, steps=2).view
    assert view.code() == (
        "import shapekeeper as sk\n\n"
        "comparison = sk.compare(mine, [sk.Projection()], seeds=1, steps=2)\n"
        "comparison.summary()\n"
    )


@pytest.mark.parametrize(
    "strategy",
    [
        sk.Unconstrained(),
        sk.Unconstrained("task"),
        sk.Penalty(2.0, norm="absolute"),
        sk.Penalty([0.1, 1.0], growth=[1.0, 1.01]),
        sk.AugmentedLagrangian(dual_step=[0.1, 0.2]),
        sk.Projection(every=3),
        sk.Staged(sk.Stage(0.3, sk.Penalty([1.0, 2.0]), rate=0.1), sk.Stage(0.7, sk.Freeze())),
    ],
)
def test_strategies_are_written_as_they_are(strategy):
    assert eval(call(strategy), {"sk": sk}) == strategy


def test_the_still_picture(opened):
    page = opened(steep(), [sk.Unconstrained(), sk.Penalty([1.0, 1000.0])], seeds=2, steps=60)
    bundle, _ = page.view._repr_mimebundle_()
    assert bundle["text/plain"] == page.view.code()
    before = ElementTree.fromstring(bundle["image/svg+xml"])
    assert [t.text for t in before.iter(f"{SVG}text")][:3] == [
        "Comparison: pencil problem", "Unconstrained ", "Penalty 1, 1000"
    ]  # fmt: skip
    page.view.run()
    bundle, _ = page.view._repr_mimebundle_()
    after = ElementTree.fromstring(bundle["image/svg+xml"])
    shown = [t.text for t in after.iter(f"{SVG}text")]
    assert "Penalty 1" in shown
    assert any(text.endswith("in 2 of 2 seeds; not ranked") for text in shown)
    held = page.view.result["rows"][0]["held"]
    assert f"{held:.3g}" in shown
    places = [p for path in after.iter(f"{SVG}path") for p in path.get("d").split() if "nan" in p]
    assert places == []


def test_showing_measures_how_long_it_will_take(opened):
    page = opened(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=10**9)
    threads = threading.active_count()
    page.view._repr_mimebundle_()
    assert threading.active_count() == threads
    assert page.view.messages[0]["text"].startswith("1 run of 2 seeds: about ")
    assert "hour" in page.view.messages[0]["text"]
    task, calls = failing(10**9)
    opened(task, seeds=1)
    broken = opened(failing(len(calls) + 3)[0], seeds=1)
    broken.view._repr_mimebundle_()
    assert broken.view.state == "setup"
    assert broken.view.messages[0]["text"] == "5 runs of 1 seed."
