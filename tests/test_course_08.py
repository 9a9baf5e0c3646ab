"""Notebook 08: scripts, accidents, and every check with right and tempting wrong answers."""

import copy

import numpy as np
import pytest
import torch
from judging import NONSENSE, judged, survives
from torch import nn

import shapekeeper as sk
from shapekeeper import course
from shapekeeper.course import notebook_08
from shapekeeper.course.accidents import ACCIDENTS, WAYS, Loop

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["08.1", "08.2", "08.3", "08.4"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", [*NONSENSE, {}], ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", KEYS)
def test_dots_are_not_yet(key):
    assert course.check(key, ...).state == "todo"


# Scripts


def test_a_line_is_added_where_it_was_wanted():
    script = course.Script("a = 1\nb = 2\nc = 3")
    longer = script.with_line("b += a", after="b =").with_line("a += 1", after="a =")
    assert longer.text == "a = 1\na += 1\nb = 2\nb += a\nc = 3"
    assert longer.run()["b"] == 4
    assert repr(longer).splitlines() == ["  a = 1", "+ a += 1", "  b = 2", "+ b += a", "  c = 3"]
    assert script.text == "a = 1\nb = 2\nc = 3"


@pytest.mark.parametrize(("after", "found"), [("x =", 0), ("a", 2)])
def test_a_line_needs_one_place(after, found):
    with pytest.raises(ValueError, match=rf"one line that begins with '{after}', got {found}\."):
        course.Script("a = 1\na = 2").with_line("b = 3", after=after)


def test_words_to_replace_stand_there_once():
    script = course.Script("a = 1\nb = 1")
    assert script.replaced("a = 1", "a = 2").run()["a"] == 2
    with pytest.raises(ValueError, match=r"Wanted ' = 1' once, got it 2 times\."):
        script.replaced(" = 1", " = 2")


def test_a_script_shows_what_was_added_in_words_and_escapes_it():
    html = course.Script("a = 1").with_line("b = a < 2", after="a")._repr_html_()
    assert ">+ b = a &lt; 2<" in html
    assert ">  a = 1<" in html


def test_a_script_runs_on_its_own_names():
    script = course.Script("seen = given + 1")
    assert script.run(given=1)["seen"] == 2
    with pytest.raises(NameError, match="given"):
        script.run()


# Accidents

BROKEN = {
    "gradient hook": {"deepcopy", "save, load", "average", "weight decay", "begin late"},
    "step hook": {"deepcopy", "save, load", "resume", "new optimizer", "average"},
    "hold": {"average"},
}


@pytest.fixture(scope="module")
def happened():
    return course.accidents(seeds=2)


def test_ten_accidents_three_ways(happened):
    assert len(happened) == 10 * 3 * 2
    assert list(happened["way"].unique()) == list(WAYS)
    assert np.isfinite(happened["violation"]).all()


@pytest.mark.parametrize("way", WAYS)
def test_each_way_breaks_at_the_same_accidents_with_every_seed(happened, way):
    rows = happened[happened["way"] == way]
    for _, found in rows.groupby("seed"):
        assert set(found.loc[found["violation"] > 0, "action"]) == BROKEN[way]
    assert rows.loc[rows["violation"] > 0, "violation"].min() > 1e-3


@pytest.mark.parametrize("way", WAYS)
def test_without_an_accident_each_way_holds(way):
    loop = Loop(WAYS[way], seed=3)
    assert loop.violation() > 0.05
    loop.hold()
    start = loop.model[0].weight.detach().clone()
    loop.train(20)
    assert loop.violation() == 0.0
    assert not torch.equal(loop.model[0].weight, start)


@pytest.mark.parametrize("action", ACCIDENTS)
def test_every_accident_trains_and_says_what_it_does(action):
    loop = Loop(WAYS["hold"], seed=1)
    before = loop.model[0].weight.detach().clone()
    ACCIDENTS[action](loop)
    assert not torch.equal(loop.model[0].weight.detach(), before)
    assert 0 < len(ACCIDENTS[action].__doc__) <= 50


# Violations


def test_violations_are_those_of_weights_and_of_what_layers_pass_on():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    rules = {"0.weight": sk.Sphere(), "1": sk.Box(0, 0.1), "2.bias": sk.NonNegative()}
    found = course.violations(model, rules, x)
    passed = model[1](model[0](x)).detach()
    torch.testing.assert_close(found["1"], (passed - 0.1).clamp(min=0))
    length = model[0].weight.detach().norm(dim=1)
    torch.testing.assert_close(found["0.weight"], (length - 1).abs())
    torch.testing.assert_close(found["2.bias"], (-model[2].bias.detach()).clamp(min=0))
    assert not any(module._forward_hooks for module in model.modules())


def test_violations_see_what_a_held_layer_passes_on_and_leave_no_hook_when_it_fails():
    model = nn.Sequential(nn.Linear(3, 4))
    sk.hold(model, {"0": sk.Box(0, 1)})
    hooks = len(model[0]._forward_hooks)
    assert course.violations(model, {"0": sk.Box(0, 1)}, torch.randn(9, 3))["0"].max() == 0
    with pytest.raises(RuntimeError, match="shapes"):
        course.violations(model, {"0": sk.Box(0, 1)}, torch.randn(9, 7))
    assert len(model[0]._forward_hooks) == hooks


# 08.1


class ZeroSum(sk.Constraint, final=False):
    event_dims = 2
    unit = "sum of taps"

    def check(self, shape):
        pass

    def residual(self, x):
        sums = x.sum((-2, -1))[..., None]
        return sums, sums[..., :0]

    def project(self, x):
        return x - x.mean((-2, -1), keepdim=True)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


def with_(**methods):
    return type("Mine", (ZeroSum,), methods, final=False)


def all_in_company(self, x):
    return x - x.mean()


def last_tap(self, x):
    x = x.clone()
    x[..., -1, -1] -= x.sum((-2, -1))
    return x


def each_row(self, x):
    return x - x.mean(-1, keepdim=True)


def pair(function):
    def residual(self, x):
        values = function(x)
        return values, values[..., :0]

    return residual


def as_two_inequalities(self, x):
    sums = x.sum((-2, -1))[..., None]
    return sums[..., :0], torch.cat([sums, -sums], -1)


def entry_by_entry(self, x):
    equal = (x - self.project(x)).flatten(-2)
    return equal, equal[..., :0]


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (ZeroSum, "right", r"All laws hold on 30 shapes\..*that is rounding"),
        (ZeroSum(), "right", "All laws hold on 30 shapes"),
        (with_(residual=as_two_inequalities), "right", "All laws"),
        (with_(residual=pair(lambda x: x.mean((-2, -1))[..., None])), "right", "All laws"),
        (with_(residual=pair(lambda x: (x - x.mean((-2, -1), True)).flatten(-2))), "wrong",
         "A kernel that sums to zero gets the wrong residual"),
        (with_(residual=entry_by_entry), "right", "All laws"),
        (
            with_(project=all_in_company),
            "wrong",
            r"Seeds alone and in company differ: you averaged over the seeds axis\.",
        ),
        (
            with_(project=last_tap),
            "wrong",
            r"Sum is 0, but not the nearest: yours moved \d+\.\d, the nearest \d+\.\d\.",
        ),
        (with_(project=each_row), "wrong", "Sum is 0, but not the nearest"),
        (
            with_(residual=pair(lambda x: x.sum((-2, -1))[..., None].abs())),
            "wrong",
            r"The sign is gone; the multiplier cannot learn which way\.",
        ),
        (with_(residual=pair(lambda x: x.sum((-2, -1))[..., None] ** 2)), "wrong", "sign is gone"),
        (with_(residual=pair(lambda x: 0 * x.sum((-2, -1))[..., None])), "wrong",
         "A kernel that does not sum to zero gets the wrong residual"),
        (with_(residual=lambda self, x: x.sum((-2, -1))), "wrong", "residual returns a pair"),
        (with_(residual=pair(lambda x: x.sum((-2, -1)))), "wrong", "last axis of a residual"),
        (with_(project=lambda self, x: x), "wrong", "does not sum to zero"),
        (with_(project=lambda self, x: 0 * x), "wrong", "not the nearest"),
        (with_(project=lambda self, x: x.flatten(-2)), "wrong", "project has another shape"),
        (with_(project=lambda self, x: (x - x.mean((-2, -1), True)).detach()), "wrong",
         "No gradient passes through project"),
        (with_(project=lambda self, x: 0), "wrong", "project gives no tensor"),
        (with_(sample=lambda self, shape, generator=None: torch.randn(shape)), "wrong",
         "sample draws kernels that are not allowed"),
        (with_(event_dims=1), "wrong", "A kernel has two axes"),
        (with_(project=lambda self, x: None), "todo", "returns nothing yet"),
        (with_(residual=lambda self, x: None), "todo", "returns nothing yet"),
        (sk.Constraint, "wrong", "cannot be called.*abstract"),
        (sk.Box, "wrong", "cannot be called.*low"),
        (nn.Linear, "wrong", "no constraint.*Linear"),
    ],
)  # fmt: skip
def test_zero_sum(answer, state, words):
    judged("08.1", answer, state, words)


def test_the_kernels_of_the_check_are_of_many_shapes():
    shapes = [tuple(kernel.shape) for kernel in notebook_08._kernels()]
    assert len(shapes) == 30
    assert {len(shape) for shape in shapes} == {2, 3, 4, 5}
    assert sum(shape[-1] != shape[-2] for shape in shapes) > 15
    assert all(shape[-1] * shape[-2] > 1 for shape in shapes)


# 08.2

TRUTH = [(21, "late mask"), (31, "rebuilt optimizer"), (1, "weight decay")]


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (TRUTH, "right", r"None of them raised, warned"),
        (TRUTH[::-1], "right", "All three"),
        (set(TRUTH), "right", "All three"),
        (
            [TRUTH[0], (31, "weight decay"), TRUTH[2]],
            "wrong",
            r"Without weight decay script 2 leaks all the same\.",
        ),
        (
            [(21, "smaller rate"), *TRUTH[1:]],
            "wrong",
            r"The first non-zero is at step 21, before that line runs\.",
        ),
        ([(31, "smaller rate")], "wrong", "The first non-zero is at step 31, before"),
        ([(1, "best weights")], "wrong", "The first non-zero is at step 1, before"),
        ([(1, "momentum")], "wrong", "Without momentum script 3 leaks all the same"),
        ([(21, "weight decay")], "wrong", "Without weight decay script 1 leaks all the same"),
        ([(30, "rebuilt optimizer")], "wrong", "what ails script 2, but not when.*step 30"),
        ([(40, "weight decay")], "wrong", "what ails script 3, but not when"),
        (TRUTH[:2], "wrong", "Right so far, but script 3 leaks as well"),
        ([(1, "the moon")], "wrong", "Nobody suspects 'the moon'.*momentum"),
        (["late mask"], "wrong", "no pairs"),
        ([], "wrong", "No cause yet"),
    ],
)
def test_causes(answer, state, words):
    judged("08.2", answer, state, words)


def test_taking_out_the_cause_and_nobody_else_ends_the_leak():
    for number, leak in course.example("08.2").items():
        cause = notebook_08.CAUSES[number]
        left = {name: max(leak.violations(without=name)) for name in leak.suspects}
        assert left.pop(cause) == 0.0
        assert min(left.values()) > 1e-3


def test_an_unknown_suspect_is_refused_and_a_leak_shows_its_suspects():
    leak = course.example("08.2")[1]
    with pytest.raises(ValueError, match=r"Wanted one of .*'late mask'.* got 'moon'"):
        leak.violations(without="moon")
    assert repr(leak).endswith("Suspects: late mask, weight decay, smaller rate")
    assert leak._repr_html_().startswith("<pre")


# 08.3


def auditor(worst=torch.max, modes=(True, False), noise=True, copies=True):
    def audit(model, constraints, inputs):
        found = []
        for net in [model, *([copy.deepcopy(model)] if copies else [])]:
            for batch in [inputs, *([torch.randn_like(inputs)] if noise else [])]:
                for mode in modes:
                    seen = course.violations(net.train(mode), constraints, batch)
                    found += [worst(value) for value in seen.values()]
        return max(found)

    return audit


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (auditor(), "right", "caught 5 kinds of trouble in 30 networks, and accused no honest one"),
        (
            auditor(modes=(True,), noise=False, copies=False),
            "wrong",
            r"Network 2 is legal on your batch and \d+ % illegal on noise\.",
        ),
        (auditor(noise=False), "wrong", "Network 2 is legal on your batch"),
        (auditor(modes=(True,)), "wrong", r"Network 3 is legal in training mode and \d+ % illegal"),
        (auditor(modes=(False,)), "wrong", r"Network 4 is legal in eval mode and \d+ % illegal"),
        (auditor(copies=False), "wrong", r"Network 5 is legal as it stands and \d+ % illegal in a"),
        (auditor(worst=torch.mean), "wrong", r"One bad filter of 64 disappears in a mean\."),
        (lambda *a: 1.0, "wrong", "accuse an honest network"),
        (lambda *a: 0.0, "wrong", "Network 2 is legal on your batch"),
        (lambda *a: None, "todo", "returns nothing yet"),
    ],
)
def test_audit(answer, state, words):
    torch.manual_seed(0)
    judged("08.3", answer, state, words)


def test_the_share_that_is_named_is_the_share_that_is_illegal():
    model, inputs = notebook_08._case("train", 0)
    _, share = notebook_08._truth("train", model, inputs)
    passed = model.layer(inputs)
    assert share == pytest.approx(((passed < 0) | (passed > 1)).float().mean().item(), abs=0.01)


# 08.4


def by_interval(summary):
    low, high = summary.loc["ours", ["low", "high"]]
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


def by_means(summary):
    theirs, ours = summary["metric_held"]
    return "better" if ours > theirs else "worse"


def by_bars(summary):
    (a, sd_a), (b, sd_b) = summary[["metric_held", "metric_held_sd"]].to_numpy()
    return "better" if b - sd_b > a + sd_a else "worse" if b + sd_b < a - sd_a else "cannot tell"


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (by_interval, "right", r"Right on 200 comparisons\. .* in \d+ of the 100"),
        (by_means, "wrong", r"True difference 0; you claimed better in [45]\d of 100\."),
        (
            by_bars,
            "wrong",
            r"You missed [3-7]\d clear paired differences: subtract per seed first\.",
        ),
        (lambda s: "cannot tell", "wrong", r"You missed (9\d|100) clear"),
        (
            lambda s: {"better": "worse", "worse": "better"}.get(by_interval(s), by_interval(s)),
            "wrong",
            r"In \d+ comparisons you say the opposite",
        ),
        (lambda s: "equal", "wrong", "none of the three answers.*'equal'"),
        (lambda s: None, "todo", "returns nothing yet"),
    ],
)
def test_claim(answer, state, words):
    judged("08.4", answer, state, words)


def test_an_interval_of_95_percent_is_wrong_about_once_in_twenty():
    claims = [by_interval(summary) for summary in notebook_08._simulated(False)]
    assert 1 <= sum(word != "cannot tell" for word in claims) <= 11
    truths = [by_interval(summary) for summary in notebook_08._simulated(True)]
    assert sum(word != "cannot tell" for word in truths) > 95


def test_a_check_lends_out_copies():
    def spoils(summary):
        word = by_interval(summary)
        summary["low"] = 0.0
        return word

    assert course.check("08.4", spoils)
    assert course.check("08.4", by_interval)
