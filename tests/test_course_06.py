"""Notebook 06: the checks with right answers and the tempting wrong ones, and what it shows."""

import sys
from itertools import pairwise
from math import ceil, exp, log, log2
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from judging import NONSENSE, judged, survives

import shapekeeper as sk
from shapekeeper import course
from shapekeeper.course import notebook_06, stored
from shapekeeper.networks import RegionNetwork

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["06.1", "06.2", "06.3", "06.4"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", KEYS[:3])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    assert course.check(key, unwritten).state == "todo"


def test_an_unsolved_list_is_not_yet():
    assert course.check("06.4", ...).state == "todo"


# 06.1


def decision(p):
    return -p * log(p) - (1 - p) * log(1 - p)


def floor(p):
    return decision(p) / (1 - p) / (2 + 2 / (1 - p))


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (floor, "right", r"0\.2404 for p = 0\.6; and a text of 1,000,000 letters with p = 0\.75"),
        (lambda p: decision(p) / 2, "wrong", "Your strings are 2 characters short"),
        (lambda p: floor(p) * log2(exp(1)), "wrong", r"That is in bits: ×1\.44"),
        (decision, "wrong", "one decision, not one character"),
        (lambda p: decision(p) / (1 - p), "wrong", "one string, not one character"),
        (lambda p: decision(p) / (2 + 2 / (1 - p)), "wrong", "a decision after each `ab`"),
        (lambda p: floor(0.6), "wrong", "Let it follow p.*for p = 0.75"),
        (lambda p: 2 * floor(p), "wrong", "another number.*0.2404 for p = 0.6"),
    ],
)
def test_floor(answer, state, words):
    judged("06.1", answer, state, words)


@pytest.mark.parametrize("p", notebook_06.CHANCES)
def test_a_text_that_is_drawn_costs_what_was_derived(p):
    assert notebook_06._counted(p) == pytest.approx(floor(p), rel=0.01)
    # Once more, from the letters themselves: how often what follows an "ab" was a surprise.
    draws = np.random.default_rng(0)
    text = "".join(f"({'ab' * n})" for n in draws.geometric(1 - p, 20_000))
    surprise = {"a": -log(p), ")": -log(1 - p)}
    cost = sum(surprise[after] for one, after in pairwise(text) if one == "b")
    assert cost / len(text) == pytest.approx(floor(p), rel=0.02)


# 06.2


def kept(i, nodes):
    return [k for k in range(nodes) if k != i]


def cut(i, net, opt, axes=notebook_06.AXES, stay=kept):
    """The node is taken out of each axis that counts nodes."""
    ids = torch.tensor(stay(i, len(net["bh"])))

    def part(name, tensor):
        for axis in axes[name]:
            tensor = tensor.index_select(axis, ids)
        return tensor

    small = {name: part(name, tensor) for name, tensor in net.items()}
    return small, {n: {k: part(n, t) for k, t in each.items()} for n, each in opt.items()}


def with_numpy(i, net, opt):
    axes = {"Wxh": [0], "Whh": [0, 1], "bh": [0], "Why": [1], "by": [], "h": [0]}

    def part(name, tensor):
        for axis in axes[name]:
            tensor = np.delete(np.asarray(tensor), i, axis)
        return tensor

    small = {name: part(name, tensor) for name, tensor in net.items()}
    return small, {n: {k: part(n, t) for k, t in each.items()} for n, each in opt.items()}


def rows_only(i, net, opt):
    return cut(i, net, opt, {**notebook_06.AXES, "Whh": (0,)})


def activities_left(i, net, opt):
    return cut(i, net, opt, {**notebook_06.AXES, "h": ()})


def memory_left(i, net, opt):
    return cut(i, net, opt)[0], opt


def memory_cut_at_the_end(i, net, opt):
    last = cut(i, net, opt, stay=lambda i, nodes: [*range(nodes - 1)])
    return cut(i, net, opt)[0], last[1]


def memory_lost(i, net, opt):
    small, memory = cut(i, net, opt)
    return small, {n: {k: 0 * t for k, t in each.items()} for n, each in memory.items()}


def squares_as_means(i, net, opt):
    small, memory = cut(i, net, opt)
    return small, {n: {k: each["square"] for k in each} for n, each in memory.items()}


def memory_of_one_axis(i, net, opt):
    small, memory = cut(i, net, opt)
    memory["Whh"]["square"] = opt["Whh"]["square"][:-1]
    return small, memory


def neighbor(i, net, opt):
    return cut((i + 1) % len(net["bh"]), net, opt)


def recurrent_mixed_up(i, net, opt):
    small, memory = cut(i, net, opt)
    return small | {"Whh": small["Whh"].T}, memory


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (cut, "right", "Outputs and 5 updates agree on four networks"),
        (with_numpy, "right", "Nobody can tell that a node is gone"),
        (rows_only, "wrong", "Whh is now 9 × 10.*9 × 9"),
        (activities_left, "wrong", "h is now 10 × 2"),
        (memory_left, "wrong", "Outputs agree now, but after one update node 5 has moved with "
                               "node 4's memory"),
        (memory_cut_at_the_end, "wrong", "node 5 has moved with node 4's memory"),
        (memory_lost, "wrong", "the optimizer has forgotten everything"),
        (squares_as_means, "wrong", "the memories are others"),
        (memory_of_one_axis, "wrong", "the optimizer's square of Whh does not fit.*9 × 9.*9 × 10"),
        (neighbor, "wrong", "answers otherwise. Is node 4 gone, and nobody else, from Wxh"),
        (recurrent_mixed_up, "wrong", "answers otherwise.*from Whh"),
        (lambda i, net, opt: cut(i, net, opt)[0], "wrong", "Return both"),
    ],
)  # fmt: skip
def test_surgery(answer, state, words):
    judged("06.2", answer, state, words)


def test_updates_are_those_of_torch():
    _, net, opt = notebook_06.patient(7, 3, seed=5)
    x, y = notebook_06._text(1)
    leaves = {k: v.clone().requires_grad_() for k, v in net.items() if k != "h"}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.01, betas=(0.9, 0.99))
    late = 10_000  # so many updates after the start, the bias of its means is no more
    for name, leaf in leaves.items():
        mean, square = (opt[name][key].clone() for key in ("mean", "square"))
        state = {"step": torch.tensor(float(late)), "exp_avg": mean, "exp_avg_sq": square}
        optimizer.state[leaf] = state
    cell = torch.nn.RNNCell(notebook_06.INPUTS, 7, dtype=torch.float64)
    tensors = {"weight_ih": "Wxh", "weight_hh": "Whh", "bias_ih": "bh"}
    for _ in range(3):
        h, out = net["h"].T, []
        weights = {k: leaves[v] for k, v in tensors.items()} | {"bias_hh": torch.zeros(7).double()}
        for now in x:
            h = torch.func.functional_call(cell, weights, (now.T, h))
            out.append((h @ leaves["Why"].T + leaves["by"]).T)
        optimizer.zero_grad()
        (torch.stack(out) - y).square().mean().backward()
        optimizer.step()
    mine = notebook_06._updated(net, opt, 1, 3)
    for name, leaf in leaves.items():
        torch.testing.assert_close(mine[name], leaf.detach(), rtol=0, atol=1e-9)


def test_the_node_to_be_removed_says_nothing_and_hears_something():
    for i, net, _ in notebook_06._patients():
        assert not net["Whh"][:, i].any()
        assert not net["Why"][:, i].any()
        assert net["Whh"][i].any()
        assert notebook_06.OUTPUTS != len(net["bh"]) != notebook_06.INPUTS


# 06.3


def soft(w, A):
    return w.sign() * (w.abs() - A).clamp(min=0)


def adam_in_the_loss(w, A):
    leaf = w.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=1e-3)
    (A * leaf.abs().sum()).backward()
    optimizer.step()
    return leaf


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (soft, "right", "Each weight is 0 after ⌈|w|/A⌉ steps, \\d+ at most"),
        (lambda w, A: torch.nn.functional.softshrink(w, A), "right", "none changed sign"),
        (lambda w, A: w - w.clamp(-A, A), "right", "pull with more than A"),
        (lambda w, A: w - A * w.sign(), "wrong", r"overshoots and jitters around 0 with ± 0\.01"),
        (lambda w, A: A * w.abs().sum(), "wrong", "A = 1e-4 and A = 1e-2 shrink it equally fast: "
                                                  "Adam divides the constant away"),
        (adam_in_the_loss, "wrong", "Adam divides the constant away.*0.02 and 0.02 nearer"),
        (lambda w, A: w * (1 - A), "wrong", "A share of a weight"),
        (lambda w, A: (w - A).clamp(min=0), "wrong", "A negative weight is gone at once"),
        (lambda w, A: torch.where(w.abs() < A, 0, w - A), "wrong", "A negative weight grows"),
        (lambda w, A: w, "wrong", "Nothing was taken off"),
        (lambda w, A: soft(w, 2 * A), "wrong", "Another amount"),
        (lambda w, A: soft(w, A)[:1], "wrong", r"Return the new weights.*shape \(4, 6\)"),
    ],
)  # fmt: skip
def test_tax(answer, state, words):
    judged("06.3", answer, state, words)


def test_a_right_tax_takes_as_many_steps_as_were_announced():
    for w, A in notebook_06._instances():
        steps = torch.zeros_like(w)
        now = w
        while now.any():
            steps += now != 0
            now = soft(now, A)
        announced = [[ceil(abs(x) / A) for x in row] for row in w.tolist()]
        assert steps.tolist() == announced
        assert (w > 0).any()
        assert (w < 0).any()


# 06.4


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (["C", "F"], "right", "either rival may win"),
        ("FC", "right", "which growing had to find"),
        ([*"ABCDFH"], "right", "several seeds"),
        (["A", "B"], "wrong", "You chose rivals that must lose"),
        (["A"], "wrong", "You chose rivals that must lose"),
        (["D", "H"], "wrong", "D pays no tax. Then the penalty may be what helped"),
        (["C", "H"], "wrong", "H pays no tax. Then the penalty may be what helped"),
        (["C", "E", "F"], "wrong", "E had a third of the gradient evaluations"),
        (["C", "G"], "wrong", "G is one seed"),
        (["C"], "wrong", "A rival must be able to win, and a larger one is missing"),
        (["A", "C"], "wrong", "a larger one is missing: sizes on both sides"),
        (["F"], "wrong", "None has the size that was found, 40"),
        ([*"ABCDEFGH"], "wrong", "a third of the gradient evaluations"),
        (["J"], "wrong", "no such rival.*A, B, C.*'J'"),
        (5, "wrong", "This is no list"),
    ],
)
def test_rivals(answer, state, words):
    judged("06.4", answer, state, words)


def test_what_is_said_of_the_rivals_is_what_their_table_says():
    table = course.example("06.4")
    right = table.loc[["C", "F"]]
    assert right["nodes"].to_list() == [notebook_06.FOUND, 3 * notebook_06.FOUND]
    assert set(table.loc[["A", "B"], "nodes"] < notebook_06.FOUND) == {True}
    evaluations = table["gradient evaluations"]
    assert evaluations["E"] * 3 == evaluations["C"]
    assert table["seeds"]["G"] == 1
    assert [*table.index[table["tax"] == "none"]] == ["D", "H"]
    assert len(right.drop(columns="nodes").drop_duplicates()) == 1


# What was stored


LINES = """table,row,seed,step,nodes,metric,largest_death,made
levels,easy,0,0,1,1.386,,"2026-11-28, 3 seeds"
levels,easy,1,0,1,1.386,,"2026-11-28, 3 seeds"
levels,easy,2,0,1,1.386,,"2026-11-28, 3 seeds"
levels,easy,0,9,12,0.24,2e-5,"2026-11-28, 3 seeds"
levels,easy,1,9,1006,0.25,,"2026-11-28, 3 seeds"
levels,easy,2,9,20,0.26,4e-5,"2026-11-28, 3 seeds"
levels,hard,0,9,30,0.4,,"2026-11-28, 3 seeds"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(LINES)
    return path


def test_quartiles_are_told_of_the_last_step(file):
    runs = course.stored_runs("levels", file)
    columns = {"nodes": "nodes", "metric": "nats", "largest_death": "jump", "spares": "spares"}
    told = course.told_quartiles(runs, columns)
    assert [*told] == ["nodes", "nats", "jump", "spares"]
    easy = ["20 [16, 513]", "0.25 [0.245, 0.255]", "3.0e-05 [2.5e-05, 3.5e-05]", ""]
    assert told.loc["easy"].to_list() == easy
    assert told.loc["hard"].to_list() == ["30 [30, 30]", "0.4 [0.4, 0.4]", "", ""]
    large = pd.DataFrame({"row": ["a"], "seed": [0], "node_steps": [106_878]})
    assert course.told_quartiles(large, {"node_steps": "n"})["n"].item().startswith("106,878 [")


@pytest.mark.parametrize("table", [*stored.FILES["growth.csv"].tables])
def test_each_table_of_growth_comes_with_a_command_whose_program_makes_it(root, file, table):
    file.write_text(LINES.replace("levels", table))
    command = course.stored_runs(table, file).attrs["command"].split()
    assert command[2:] == ["--csv", "toolkit/shapekeeper/course/growth.csv"]
    assert (root / command[-1]).parent == Path(course.__file__).parent
    assert f'"{table}": {{' in (root / command[1]).read_text()


def test_a_missing_file_of_growth_says_how_it_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"two hours.*bench_growth.py --csv .*growth.csv"):
        course.stored_runs("knobs", tmp_path / "none.csv")


# What networks write


def test_a_network_that_knows_what_comes_next_writes_it():
    # One node for each letter, which is on if that was the last one; a sure readout.
    graph = sk.RegionGraph([sk.Region("memory", 4, input=4, output=True)])
    net = sk.compile_network(graph, 4, 4, layout="dense", steps=2, activation=torch.tanh)
    follows = torch.zeros(4, 4)
    for one, after in ((0, 2), (2, 3), (3, 1), (1, 0)):  # "(ab)(ab)"
        follows[after, one] = 100.0
    with torch.no_grad():
        for name, value in net.named_parameters():
            ends = {"output_weight": follows, "input_weights.0": 10 * torch.eye(4)}
            value.copy_(ends.get(name, torch.zeros_like(value)))
    assert course.letters_of(net, 10) == "(ab)(ab)(a"


def test_what_a_network_writes_is_drawn_by_its_seed():
    net = sk.tasks.sequences(0, units=3).start_model(0)
    assert isinstance(net, RegionNetwork)
    texts = [course.letters_of(net, 200, seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert set(texts[0]) == set("()ab")


# Pictures that draw themselves


class Notebook:
    """What IPython does with pictures."""

    def __init__(self, shell):
        self.get_ipython = lambda: shell
        self.display = SimpleNamespace(display=self._display)
        self.shown, self.updates = [], []

    def _display(self, figure, display_id):
        assert display_id
        self.shown.append(figure)
        return SimpleNamespace(update=self.updates.append)


def test_a_picture_is_shown_once_and_then_drawn_in_its_own_place(monkeypatch):
    before = plt.get_fignums()
    figures = [plt.figure() for _ in range(5)]
    notebook = Notebook(shell=object())
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    picture, other = course.live(figures.__getitem__), course.live(figures.__getitem__, every=2)
    for k in range(5):
        assert picture(k) is None
    assert notebook.shown == figures[:1]
    assert notebook.updates == figures[1:]
    assert plt.get_fignums() == before
    notebook.updates.clear()
    for k in range(5):
        other(k)
    assert notebook.updates == [figures[2], figures[4]]


@pytest.mark.parametrize("module", [None, Notebook(shell=None)])
def test_nothing_is_drawn_where_nobody_looks(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "IPython", module)
    course.live(lambda values: pytest.fail("drawn"))([1])
