"""Networks that grow: against the same rule without padding, and the laws of the rule."""

from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import ceil

import numpy as np
import pandas as pd
import pytest
import torch
from growths import (
    LEAST,
    RMSPROP,
    PhysicalLayers,
    PhysicalMemory,
    begun,
    brisk,
    edited,
    layers,
    memory,
    normed,
    per_seed,
    put,
    silent,
    tally,
    two_areas,
)
from points import DOUBLE, points
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.growth import GrowthError, GrowthRule, grow
from shapekeeper.growth import growing as engine

MANY = {
    "RMSprop": RMSPROP,
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "AdamW": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.02),
}
TASKS = {"memory": memory, "layers": layers, "normed": normed, "two areas": two_areas}


# -- a second implementation, whose tensors are as large as the network ---------------------------

RULES = {
    "brisk": brisk(),
    "most waits": brisk(largest_jump=1e-3, hysteresis=1.5, spares=2),
    "no spares": brisk(spares=0, grace=7, newborn=0.9, spread=0.1, step_bound=None, stray=0.3),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("make", "physical", "room"), [(memory, PhysicalMemory, 10), (layers, PhysicalLayers, 8)]
)
def test_padded_is_physical(make, physical, room, rule):
    """Losses, nodes, every event with its worth, jump and age, and what had to wait."""
    task, rule = make(), RULES[rule]
    found = grow(task, rule, seeds=[4, 1], steps=100, start=3, device="cpu")
    events = per_seed(found)[1]
    other = physical(task, rule, 1, 3, room)
    losses, counts = [], [3]
    for _ in range(100):
        losses.append(other.take_step())
        counts.append(len(other.places))
    assert found.counts[:, 1, 0].tolist() == counts
    assert [e[:3] for e in events] == [e[:3] for e in other.events]
    numbers = [[e[3:] for e in both] for both in (events, other.events)]
    assert_close(*(torch.tensor(n, dtype=DOUBLE) for n in numbers), rtol=1e-6, atol=1e-6)
    logged = found.frame[found.frame["seed"] == 1]
    assert logged["waited"].iloc[-1] == other.waited
    ends = [0, *logged["step"].iloc[1:]]
    means = [np.mean(losses[a:b]) for a, b in pairwise(ends)]
    assert logged["loss"].iloc[1:].to_list() == pytest.approx(means, abs=1e-6)
    assert {event[1] for event in events} == {"birth", "death"}


def test_draws_go_on_from_block_to_block():
    """Chances are drawn for 256 steps at a time."""
    growing = begun(layers(), RULES["brisk"], seeds=[3, 1], start=3)
    other = PhysicalLayers(layers(), RULES["brisk"], 1, 3, 8)
    growing.step = other.step = 240
    for _ in range(40):
        assert growing.take_step()[1].item() == pytest.approx(other.take_step(), abs=1e-9)
        assert growing.alive[1].nonzero().flatten().tolist() == sorted(other.places)
    assert min(event[0] for event in other.events) <= 256 < max(e[0] for e in other.events)


def test_waiting_was_seen():
    """The rules above would be equal without it, too, if nothing had to wait."""
    found = grow(layers(), RULES["most waits"], seeds=[4, 1], steps=50, start=3, device="cpu")
    assert found.frame["waited"].iloc[-1] > 3


# -- seeds side by side ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memory", "normed", "two areas"])
def test_runs_side_by_side_are_the_runs_alone(name):
    """Nodes, events and weights after 200 steps, in each of which many come and go."""
    task = TASKS[name]()
    rule = brisk(delete=0.2, stray=0.15)
    together = grow(task, rule, seeds=[2, 0], steps=200, device="cpu")
    assert all(births >= 5 and deaths >= 3 for births, deaths in tally(together).values())
    alone = grow(task, rule, seeds=[0], steps=200, device="cpu")
    assert np.array_equal(alone.counts[:, 0], together.counts[:, 1])
    events = together.events[together.events["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(events, alone.events, rtol=1e-6, atol=1e-9)
    states = alone.models()[0].state_dict(), together.models()[1].state_dict()
    assert_close(*states, rtol=0, atol=1e-9)


def test_the_same_twice():
    frames = [
        grow(two_areas(), brisk(), seeds=2, steps=25, device="cpu").frame.drop(columns="seconds")
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_is_cpu():
    found = [grow(two_areas(), brisk(), seeds=2, steps=60, device=d) for d in ("cpu", "cuda")]
    assert np.array_equal(found[0].counts, found[1].counts)
    states = ([m.state_dict() for m in one.models()] for one in found)
    assert_close(*states, rtol=0, atol=1e-6)


# -- what is not there is 0 -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        *(("memory", optimizer) for optimizer in MANY),
        *((name, "Adam") for name in [*TASKS, "never silent"]),
    ],
)
def test_all_that_is_of_no_living_node_is_0_at_all_times(name, optimizer):
    """Weights, all that optimizers remember, and activities, counted node by node."""
    make = {**TASKS, "never silent": partial(layers, nn.Sigmoid())}[name]
    growing = begun(make(optimizer=MANY[optimizer]), brisk(), seeds=[0, 1], start=2)
    seen = set()
    for _ in range(35):
        growing.take_step()
        for run in range(2):
            seen.add(tuple(growing.alive[run].tolist()))
            dead = (~growing.alive[run]).nonzero().flatten().tolist()
            for leaf_name, leaf in growing.leaves.items():
                remembered = growing.optimizer.state[leaf].values()
                tensors = [
                    t[run] for t in (leaf.detach(), *remembered)
                    if isinstance(t, torch.Tensor) and t.shape == leaf.shape
                ]  # fmt: skip
                assert len(tensors) >= 2
                for axis, owner in growing.anatomy.owners.get(leaf_name, {}).items():
                    index = [i for i, node in enumerate(owner.tolist()) if node in dead]
                    for tensor in tensors:
                        assert (tensor.index_select(axis, torch.tensor(index)) == 0).all()
            if growing.h is not None:
                assert (growing.h[run][dead] == 0).all()
    assert len(seen) > 2


def test_the_activity_of_one_just_born_is_0():
    rule = brisk(add=0.0, stray=1.0, delete=0.0)
    growing = begun(memory(), rule, start=3)
    growing.take_step()
    assert growing.alive[0].tolist() == [True] * 4 + [False] * 6
    assert (growing.h[0, :3] != 0).all()
    assert (growing.h[0, 3:] == 0).all()


# -- deleting what nobody reads -------------------------------------------------------------------


def silenced(growing, node: int) -> None:
    """Nobody reads a node, nor did an optimizer ever hear of it."""
    with torch.no_grad():
        for name in growing.anatomy.readers:
            leaf = growing.leaves[name]
            for tensor in (leaf, *growing.optimizer.state[leaf].values()):
                if isinstance(tensor, torch.Tensor) and tensor.shape == leaf.shape:
                    tensor[:, :, node] = 0


def others_of(growing, node: int) -> dict[str, torch.Tensor]:
    found = {}
    for name, leaf in growing.leaves.items():
        value = leaf.detach()[0].clone()
        for axis, owner in growing.anatomy.owners.get(name, {}).items():
            keep = [i for i, n in enumerate(owner.tolist()) if n != node]
            value = value.index_select(axis, torch.tensor(keep))
        found[name] = value
    return found


@pytest.mark.parametrize("optimizer", MANY)
@pytest.mark.parametrize("make", [memory, layers])
def test_deleting_a_node_that_nobody_reads_changes_nothing(make, optimizer, monkeypatch):
    """Neither the loss nor the next updates of all others."""
    node = 2
    rule = GrowthRule(threshold=0.0, spares=0, delete=1.0, add=0.0, stray=0.0, penalty=1e-4)
    with_it, without = (begun(make(optimizer=MANY[optimizer]), rule, start=5) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "edit", lambda *_: None)
        for growing in (with_it, without):
            for _ in range(3):
                growing.take_step()
            silenced(growing, node)
    (event,) = edited(without)
    assert (event["event"], event["node"]) == ("death", node)
    assert abs(event["jump"]) < 1e-12
    if without.h is not None:
        without.h = without.h * without.alive[:, :, None]
    monkeypatch.setattr(engine, "edit", lambda *_: None)
    for _ in range(5):
        assert_close(without.take_step(), with_it.take_step(), rtol=0, atol=1e-9)
        silenced(with_it, node)
        assert_close(others_of(without, node), others_of(with_it, node), rtol=0, atol=1e-9)


# -- the scale of the loss ------------------------------------------------------------------------


def scaled(task: sk.Task, by: float) -> sk.Task:
    return replace(task, loss=lambda prediction, target: by * task.loss(prediction, target))


@pytest.mark.parametrize("make", [memory, normed])
def test_the_scale_of_the_loss_does_not_count(make):
    """For an optimizer that divides it away: nodes come and go at the same steps."""
    exact = partial(torch.optim.RMSprop, lr=0.01, eps=1e-30)
    task = make(optimizer=exact)
    found = [grow(scaled(task, by), brisk(), seeds=2, steps=60, device="cpu") for by in (1, 1 / 40)]
    assert np.array_equal(found[0].counts, found[1].counts)
    assert found[0].counts.max() > found[0].counts.min() + 1
    states = ([m.state_dict() for m in one.models()] for one in found)
    assert_close(*states, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["RMSprop", "Adam", "Adagrad"])
def test_newcomers_begin_low_in_what_is_known_of_gradients(optimizer):
    """A momentum begins at 0, a second moment does not."""
    growing = begun(memory(optimizer=MANY[optimizer]), brisk(add=0, stray=0, delete=0), start=3)
    for _ in range(5):
        growing.take_step()
    growing.rule = replace(growing.rule, stray=1.0)
    states = growing.optimizer.state
    squared = {"RMSprop": "square_avg", "Adam": "exp_avg_sq", "Adagrad": "sum"}[optimizer]
    before = {name: states[leaf][squared][0].clone() for name, leaf in growing.leaves.items()}
    edited(growing)
    assert growing.alive[0].tolist() == [True] * 4 + [False] * 6
    newborn = {
        "weight": ([3, 0, 3], [0, 3, 3], before["weight"][:3, :3]),
        "bias": ([3], before["bias"][:3]),
        "input_weights.0": ([3] * 4, [0, 1, 2, 3], before["input_weights.0"][:3]),
        "output_weight": ([0, 1, 2, 3], [3] * 4, before["output_weight"][:, :3]),
    }
    for name, (*index, known) in newborn.items():
        state = states[growing.leaves[name]]
        begins = state[squared][0][tuple(index)]
        assert_close(begins, torch.full_like(begins, np.quantile(known.numpy(), LEAST)))
        assert (begins > 0).all()
        if optimizer == "Adam":
            assert (state["exp_avg"][0][tuple(index)] == 0).all()


# -- the tax --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        RMSPROP,
        partial(torch.optim.RMSprop, lr=1.0),
        MANY["Adam"],
        partial(torch.optim.SGD, lr=3.0),
    ],
    ids=["RMSprop", "RMSprop at 1", "Adam", "SGD at 3"],
)
def test_the_tax_is_no_part_of_the_gradient(optimizer):
    """A weight without a gradient is 0 after as many steps as it has taxes, and turns no sign."""
    tax = 0.013
    rule = GrowthRule(penalty=tax, threshold=0.0).fixed()
    growing = begun(silent(optimizer=optimizer), rule, start=8)
    first = torch.linspace(-0.12, 0.151, 24, dtype=DOUBLE).view(3, 8)
    put(growing, "2.weight", first)
    due = [ceil(abs(w) / tax) for w in first.flatten().tolist()]
    for step in range(1, 14):
        growing.take_step()
        now = growing.leaves["2.weight"].detach()[0].flatten()
        wanted = [
            0.0 if step >= n else np.sign(w) * (abs(w) - step * tax)
            for n, w in zip(due, first.flatten().tolist(), strict=True)
        ]
        assert_close(now, torch.tensor(wanted, dtype=DOUBLE), rtol=0, atol=1e-12)
        assert [bool(w == 0) for w in now] == [step >= n for n in due]


def test_incoming_weights_pay_no_tax():
    rule = GrowthRule(penalty=0.01).fixed()
    growing = begun(silent(), rule, start=8)
    before = growing.leaves["0.weight"].detach().clone()
    growing.take_step()
    assert torch.equal(growing.leaves["0.weight"].detach(), before)


def test_prices_are_factors_on_the_tax():
    task = silent()
    areas = [sk.growth.Area("0", 8, ["0.weight"], ["2.weight"], price=2.5)]
    growing = engine.Growing(task, GrowthRule(penalty=0.01).fixed(), [0], {"0": 8},
                             sk.Projection(), areas, torch.device("cpu"))  # fmt: skip
    put(growing, "2.weight", torch.full((3, 8), -0.5))
    growing.take_step()
    assert_close(growing.leaves["2.weight"].detach(), torch.full((1, 3, 8), -0.475, dtype=DOUBLE))


@pytest.mark.parametrize("factor", [0.01, 0.3, 5.0, 100.0])
def test_a_node_without_bound_cannot_evade_the_tax_by_its_scale(factor):
    """All that comes in times c, all that goes out by c: the same worth, function and tax."""
    rule = GrowthRule(penalty=0.004, step_bound=None).fixed()
    still = partial(torch.optim.SGD, lr=0.0)
    one, other = (begun(layers(optimizer=still), rule, start=8) for _ in range(2))
    with torch.no_grad():
        for name in ("0.weight", "0.bias"):
            other.leaves[name][:, 3] *= factor
        other.leaves["2.weight"][:, :, 3] /= factor
    assert_close(one.worth(), other.worth())
    before = one.worth()
    losses = [(one.take_step(), other.take_step()) for _ in range(30)]
    assert_close(*zip(*losses, strict=True), rtol=1e-9, atol=1e-9)
    assert_close(one.worth(), other.worth(), rtol=1e-9, atol=1e-12)
    assert (one.worth() < before - 1e-3).all()


@pytest.mark.parametrize(
    ("make", "off"),
    # closed weights take their step before they are closed again
    [(memory, 1e-9), (normed, 1e-9), (two_areas, 0.01)],
)
def test_multipliers_are_the_only_size_of_what_goes_out(make, off, monkeypatch):
    """Where nothing bound would keep it, the size of what goes out stays 1."""
    checked = []

    def spied(growing, *batch):
        squares = torch.zeros(2, growing.anatomy.nodes + 1, dtype=DOUBLE)
        for name in growing.anatomy.readers:
            owner = growing.anatomy.owners[name][1]
            squares.index_add_(1, owner, growing.leaves[name].square().sum(1))
        found = squares[:, :-1][growing.alive]
        assert_close(found, torch.ones_like(found), rtol=0, atol=off)
        checked.append(len(found))
        edit(growing, *batch)

    edit = engine.edit
    monkeypatch.setattr(engine, "edit", spied)
    rule = brisk(worth="multipliers", stray=0.3)
    grow(make(), rule, seeds=2, steps=40, start=2, device="cpu")
    assert len({*checked}) > 2


def test_multipliers_change_no_function_at_the_start():
    task = memory()
    found = [
        grow(task, rule, seeds=2, steps=1, start=6, device="cpu").models(0)
        for rule in (brisk(), brisk(worth="multipliers"), brisk(worth="readout multipliers"))
    ]
    plain, both, readout = ([m.state_dict() for m in models] for models in found)
    assert_close(both, plain)
    assert_close(readout, plain)


def test_multipliers_have_a_floor():
    rule = brisk(worth="multipliers", penalty=0.3, floor=0.07, add=0, delete=0, stray=0)
    growing = begun(layers(), rule, start=5)
    for _ in range(20):
        growing.take_step()
    assert growing.leaves["multipliers"].detach()[0].tolist() == [0.07] * 5 + [0] * 3


def test_a_readout_multiplier_leaves_what_a_node_does_inside():
    """As in the paper: it is worth its multiplier, and deleting it at 0 changes the function."""
    rule = brisk(worth="readout multipliers", add=0, delete=0, stray=0)
    growing = begun(memory(), rule, start=4)
    put(growing, "multipliers", torch.tensor([[0.0, 0.5, 2, 1] + [0] * 6]))
    weights = growing.effective(growing.seen())
    assert_close(weights["weight"], growing.leaves["weight"])
    factors = torch.tensor([0.0, 0.5, 2, 1] + [0] * 6)
    assert_close(weights["output_weight"], growing.leaves["output_weight"] * factors)
    assert growing.worth()[0].tolist() == factors.tolist()


# -- jumps ----------------------------------------------------------------------------------------


def loss_of(growing, run: int, x, y, h) -> float:
    """Of one run by a small network that is made from it, outside of the engine."""
    tensors = {k: v.detach() for k, v in growing.effective(growing.seen()).items()}
    tensors = {k: v[run] for k, v in {**tensors, **growing.buffers}.items() if k != "multipliers"}
    alive = growing.alive[run]
    net = sk.growth.growth.compacted(growing.model, growing.anatomy, tensors, alive, {})
    if h is None:
        return growing.task.loss(net(x[run]), y[run]).item()
    return growing.task.loss(net(x[run], h[run][alive])[0], y[run]).item()


@pytest.mark.parametrize(
    ("worth", "most"),
    [("outgoing", None), ("outgoing", 1e-3), ("multipliers", None), ("readout multipliers", None)],
)
@pytest.mark.parametrize("make", [memory, layers])
def test_every_jump_is_what_it_changed(make, worth, most, monkeypatch):
    """The loss of small networks before and after, on the batch that was just learned from."""
    checked, edit = defaultdict(int), engine.edit

    def spied(growing, x, y, h):
        old = growing.alive.clone()
        before = [loss_of(growing, run, x, y, h) for run in range(2)]
        noted = len(growing.events)
        edit(growing, x, y, h)
        for event in growing.events[noted:]:
            run = growing.seeds.index(event["seed"])
            jump = loss_of(growing, run, x, y, h) - before[run]
            assert event["jump"] == pytest.approx(jump, abs=1e-12)
            assert most is None or abs(jump) <= most
            checked[event["event"]] += 1
        edited = {growing.seeds.index(event["seed"]) for event in growing.events[noted:]}
        changed = (growing.alive != old).any(1).nonzero().flatten().tolist()
        assert edited == {*changed}

    monkeypatch.setattr(engine, "edit", spied)
    found = grow(make(), brisk(worth=worth, largest_jump=most), seeds=2, steps=40, start=4,
                 device="cpu")  # fmt: skip
    waited = found.frame["waited"].iloc[-2:].sum()
    if most is None:
        assert min(checked["birth"], checked["death"]) > 1
        assert waited == 0
    assert checked["birth"] + checked["death"] + waited > 5


def test_what_would_change_too_much_waits_and_is_counted():
    """Each step in which nothing but waiting happens counts once."""
    rule = brisk(threshold=100.0, largest_jump=1e-12, add=0.0, stray=0.0, delete=1.0)
    found = grow(layers(), rule, seeds=2, steps=20, start=4, device="cpu")
    assert len(found.events) == 0
    assert found.frame["waited"].to_list() == [step for step in range(21) for _ in range(2)]
    assert (found.counts == 4).all()
    free = grow(layers(), replace(rule, largest_jump=None), seeds=2, steps=1, start=4, device="cpu")
    assert free.counts[:, :, 0].tolist() == [[4, 4], [1, 1]]
    assert free.frame["waited"].max() == 0


# -- worth, thresholds and chances ----------------------------------------------------------------


def test_worth_by_hand():
    """(sum |W_out| + outputs · sum |W| / N) / 2, so that it depends on how many nodes there are."""
    growing = begun(memory(), brisk(), start=3)
    draw = torch.Generator().manual_seed(0)
    w, out = (torch.randn(n, 3, generator=draw, dtype=DOUBLE) for n in (3, 4))
    with torch.no_grad():
        growing.leaves["weight"][0, :3, :3] = w
        growing.leaves["output_weight"][0, :, :3] = out
    wanted = (out.abs().sum(0) + 4 * w.abs().sum(0) / 3) / 2
    assert_close(growing.worth()[0], torch.cat([wanted, torch.zeros(7, dtype=DOUBLE)]))
    # one more, that hears and says nothing, lowers the worth of all others
    growing.alive[0, 3] = True
    growing.count_entries()
    wanted = (out.abs().sum(0) + 4 * w.abs().sum(0) / 4) / 2
    assert_close(growing.worth()[0, :4], torch.cat([wanted, torch.zeros(1, dtype=DOUBLE)]))


def at_worth(rule: GrowthRule, *thresholds: float):
    """Layers whose nodes are worth so many thresholds, and one edit of them."""
    growing = begun(layers(nn.Tanh()), rule, start=len(thresholds))
    per_node = torch.tensor([*thresholds, *[0.0] * (8 - len(thresholds))], dtype=DOUBLE)
    put(growing, "2.weight", per_node.expand(3, 8) * rule.threshold / 3)
    return [event["event"] for event in edited(growing)], growing


SURE = {"add": 1.0, "delete": 1.0, "stray": 0.0, "threshold": 0.3, "largest_jump": None}


@pytest.mark.parametrize(
    ("thresholds", "settings", "wanted"),
    [
        # between one and `hysteresis` thresholds a node is neither useful nor deleted
        ([1.1, 5], {"hysteresis": 1.25}, []),
        ([1.1, 5], {"hysteresis": 1.0}, ["birth"]),
        ([1.3, 5], {"hysteresis": 1.25}, ["birth"]),
        ([0.9, 5], {"hysteresis": 1.0}, []),
        ([1.1, 1.1, 1.1], {"hysteresis": 1.25}, []),
        # so many spares are kept
        ([0.9, 0.9, 0.9, 5], {}, ["death"] * 2),
        ([0.9, 0.9, 0.9, 5], {"spares": 2}, ["death"]),
        ([0.9, 0.9, 0.9, 5], {"spares": 3}, []),
        ([0.9, 0.9, 0.9, 5], {"spares": 4}, ["birth"]),
        ([0.9, 5], {"spares": 0}, ["death"]),
        # the last node stays, whatever it is worth
        ([0.0], {"spares": 0}, []),
        ([0.0, 0.0, 0.0], {"spares": 0}, ["death"] * 2),
        # chances
        ([0.9, 0.9, 5], {"delete": 0.0}, []),
        ([5, 5], {"add": 0.0}, []),
        ([5, 5], {"add": 0.0, "stray": 1.0}, ["birth"]),
        ([0.9, 5], {"add": 0.0, "stray": 1.0}, ["birth"]),
        # not both in one step
        ([0.9, 0.9, 5], {"stray": 1.0}, ["death"]),
        # no room
        ([5] * 8, {}, []),
        # too young
        ([0.9, 0.9, 5], {"grace": 1}, []),
    ],
)
def test_who_comes_and_goes(thresholds, settings, wanted):
    events, growing = at_worth(GrowthRule(**{**SURE, **settings}), *thresholds)
    assert events == wanted
    gone = wanted.count("death") - wanted.count("birth")
    assert growing.alive.sum() == len(thresholds) - gone
    for event in growing.events:
        if event["event"] == "death":
            assert event["worth"] == pytest.approx(thresholds[event["node"]] * 0.3)


def test_which_spares_are_kept_is_drawn():
    rule = GrowthRule(**SURE)
    growing = begun(layers(nn.Tanh()), rule, seeds=range(60), start=3)
    put(growing, "2.weight", 1e-3)
    edited(growing)
    kept = growing.alive.long().sum(0)[:3].tolist()
    assert sum(kept) == 60
    assert min(kept) > 8


def test_chances_are_chances():
    """How often each of a hundred runs loses its spare, and gains one."""
    rule = GrowthRule(**{**SURE, "delete": 0.3})
    growing = begun(layers(nn.Tanh()), rule, seeds=range(150), start=2)
    put(growing, "2.weight", 1e-3)
    edited(growing)
    assert 25 < len(growing.events) < 65
    rule = GrowthRule(**{**SURE, "add": 0.3})
    growing = begun(layers(nn.Tanh()), rule, seeds=range(150), start=2)
    put(growing, "2.weight", 1.0)
    edited(growing)
    assert 25 < len(growing.events) < 65


@pytest.mark.parametrize("make", [memory, partial(layers, nn.Tanh()), layers, two_areas])
@pytest.mark.parametrize("newborn", [0.2, 0.8])
def test_newborn_nodes_are_worth_what_the_rule_says(make, newborn):
    rule = brisk(newborn=newborn, delete=0.0, stray=1.0)
    found = grow(make(), rule, seeds=2, steps=6, start=1, device="cpu")
    assert len(found.events) > 8
    assert found.events["worth"].to_list() == pytest.approx(
        [newborn * rule.threshold] * len(found.events)
    )


def test_growth_goes_on_where_a_spare_never_becomes_useful():
    """By chance alone; without it, it stands still."""
    rule = brisk(add=1.0, delete=0.0, stray=0.0, penalty=1.0)
    stuck = grow(layers(), rule, seeds=2, steps=40, device="cpu")
    assert (stuck.counts[-1] == 1).all()
    freed = grow(layers(), replace(rule, add=0.0, stray=0.1), seeds=2, steps=40, device="cpu")
    assert (freed.counts[-1] > 2).all()


def test_the_newborn_have_time():
    rule = brisk(newborn=0.1, delete=1.0, stray=0.3)
    for grace, youngest in ((0, 1), (6, 6)):
        found = grow(layers(), replace(rule, grace=grace), seeds=3, steps=60, device="cpu")
        deaths = found.events[found.events["event"] == "death"]
        assert len(deaths) > 5
        assert deaths["age"].min() == youngest


# -- books ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memory", "normed", "two areas"])
def test_events_add_up(name):
    found = grow(TASKS[name](), brisk(), seeds=[3, 1], steps=60, start=2, device="cpu")
    frame, events = found.frame, found.events
    areas = [column.removeprefix("nodes:") for column in frame if column.startswith("nodes:")]
    assert found.counts.shape == (61, 2, len(areas))
    born = defaultdict(int)
    for row, seed in enumerate(found.seeds):
        mine = events[events["seed"] == seed]
        names = [row for area in range(len(areas)) for row in range(2)]
        alive = {i: areas[i // 2] for i in range(len(names))}
        counts = {0: [2] * len(areas)}
        for step in range(1, 61):
            today = mine[mine["step"] == step]
            # an area has births or deaths, not both in one step
            assert today.groupby("area")["event"].nunique().max() in (1, np.nan) or today.empty
            for event in today.itertuples():
                if event.event == "birth":
                    # numbers are given once, in turn
                    assert event.node == len(names)
                    names.append(event.node)
                    alive[event.node] = event.area
                    born[seed, event.node] = step
                    assert event.age == 0
                    assert today[today["area"] == event.area].shape[0] == 1
                else:
                    assert alive.pop(event.node) == event.area
                    assert event.age == step - born[seed, event.node]
            counts[step] = [[*alive.values()].count(area) for area in areas]
        assert found.counts[:, row].tolist() == [counts[step] for step in range(61)]
        ids = found.ids()[row]
        assert {node: area for area in areas for node in ids[area]} == alive
        mine = frame[frame["seed"] == seed]
        nodes = np.array([sum(counts[step]) for step in range(61)])
        assert mine["nodes"].to_list() == nodes[mine["step"]].tolist()
        sums = np.cumsum(nodes) - nodes[0]
        assert mine["node_steps"].to_list() == sums[mine["step"]].tolist()
        for k, area in enumerate(areas):
            assert mine[f"nodes:{area}"].to_list() == found.counts[mine["step"], row, k].tolist()
        assert (mine["useful"] <= mine["nodes"]).all()
    assert {*events["event"]} == {"birth", "death"}


def test_nothing_moves_further_than_a_step():
    """Whatever the optimizer: the bound, and the tax; newborn and dead numbers aside."""
    rule = brisk(step_bound=0.02, penalty=0.005)
    wild = partial(torch.optim.SGD, lr=1000.0)
    for bounded in (True, False):
        rule = replace(rule, step_bound=0.02 if bounded else None)
        growing = begun(layers(nn.Tanh(), optimizer=wild), rule, seeds=[0, 1], start=3)
        far = []
        for _ in range(30):
            before = {k: v.detach().clone() for k, v in growing.leaves.items()}
            living = {k: v.clone() for k, v in growing.entries.items()}
            growing.take_step()
            for name, old in before.items():
                both = (living[name] & growing.entries[name]).expand_as(old)
                moved = (growing.leaves[name].detach() - old).abs()[both].max().item()
                far.append(moved - 0.02 - (0.005 if name == "2.weight" else 0))
        assert (max(far) <= 1e-12) == bounded
        assert max(far) > -1e-6 - 0.005


def test_a_fixed_rule_edits_nothing():
    rule = brisk(threshold=100.0).fixed()
    assert (rule.threshold, rule.penalty, rule.add, rule.delete, rule.stray) == (
        100.0, 4e-3, 0.0, 0.0, 0.0,
    )  # fmt: skip
    found = grow(two_areas(), rule, seeds=2, steps=40, start={"left": 5, "right": 2}, device="cpu")
    assert found.counts.reshape(-1, 2).tolist() == [[5, 2]] * 82
    assert len(found.events) == 0


@pytest.mark.parametrize("make", [layers, normed])
def test_a_fixed_network_of_full_size_is_ordinary_training(make):
    """Without a tax and a bound it is the plain loop, running statistics of a norm included."""
    task = make(optimizer=MANY["AdamW"])
    rule = GrowthRule(penalty=0.0, step_bound=None).fixed()
    sizes = {area.name: area.size for area in sk.growth.areas_of(task.start_model(0))}
    found = grow(task, rule, seeds=[3, 2], steps=30, start=sizes, device="cpu")
    plain = task.start_model(2).train()
    optimizer = task.optimizer(list(plain.parameters()))
    x, y = points().train
    for step in range(30):
        epoch, place = divmod(step, len(x) // task.batch_size)
        chosen = task.batches(2, epoch, len(x))[place]
        optimizer.zero_grad()
        task.loss(plain(x[chosen]), y[chosen]).backward()
        optimizer.step()
    assert_close(found.models()[1].state_dict(), plain.state_dict(), rtol=0, atol=1e-10)


def test_what_is_logged():
    seen = []
    found = grow(layers(), brisk(), seeds=2, steps=100, device="cpu", callback=seen.append)
    steps = found.frame["step"].unique().tolist()
    assert steps == sorted({round(k * 100 / 40) for k in range(41)})
    assert [len(table) for table in seen] == [2 * k for k in range(1, 42)]
    pd.testing.assert_frame_equal(seen[-1], found.frame)
    assert found.frame["loss"][:2].isna().all()
    short = grow(layers(), brisk(), seeds=2, steps=3, device="cpu")
    assert short.frame["step"].unique().tolist() == [0, 1, 2, 3]


def test_metrics_are_those_of_the_small_networks():
    """Of a text those of one long window for each stream."""
    found = grow(layers(), brisk(), seeds=2, steps=50, device="cpu")
    x, y = points().test
    for step in (0, 20, 50):
        metrics = found.frame.loc[found.frame["step"] == step, "metric"].to_list()
        models = found.models(step)
        assert metrics == pytest.approx([sk.tasks.accuracy(m(x), y).item() for m in models])
    task = memory(optimizer=partial(torch.optim.RMSprop, lr=0.1))
    rule = brisk(step_bound=None)
    found = grow(task, rule, seeds=1, steps=30, start=4, device="cpu")
    (net,) = found.models()
    x, y = (part.unflatten(0, (-1, 4)) for part in task.data_for(0).test)
    h, on, anew = net.rest(4), 0.0, 0.0
    for window, targets in zip(x.double(), y, strict=True):
        scores, h = net(window, h)
        on += cross_entropy(scores.flatten(0, 1), targets.flatten()).item() / len(x)
        anew += cross_entropy(net(window).flatten(0, 1), targets.flatten()).item() / len(x)
    assert found.frame["metric"].iloc[-1] == pytest.approx(on, abs=1e-6)
    assert abs(anew - on) > 1e-3


def test_the_summary():
    found = grow([memory(0), memory(3)], brisk(), seeds=5, steps=[20, 30], device="cpu")
    table = found.summary()
    assert table.index.to_list() == [("easy sequences", 20), ("sequences of 3", 50)]
    last = found.frame[found.frame["step"] == 50]
    assert table.loc[("sequences of 3", 50), ("nodes", "50 %")] == last["nodes"].median()
    assert table.loc[("sequences of 3", 50), ("metric", "25 %")] == last["metric"].quantile(0.25)
    assert repr(found) == f"Growth(5 runs, nodes {sorted(last['nodes'])})"


# -- another task ---------------------------------------------------------------------------------


def test_another_task_goes_on_with_weights_nodes_and_memory():
    """The same task in two turns is one long training, but for activities and the text's place."""
    task = layers(optimizer=MANY["Adam"])
    epoch = len(points().train[0]) // task.batch_size
    whole = replace(task, in_order=True)
    once = grow(whole, brisk(), seeds=2, steps=10 * epoch, device="cpu")
    twice = grow([whole, replace(whole, name="again")], brisk(), seeds=2,
                 steps=[6 * epoch, 4 * epoch], device="cpu")  # fmt: skip
    assert np.array_equal(once.counts, twice.counts)
    assert len(once.events) > 5
    states = ([m.state_dict() for m in found.models()] for found in (once, twice))
    assert_close(*states, rtol=0, atol=0)
    turns = twice.frame.groupby("turn")
    assert turns["task"].unique().map(list).to_list() == [["points"], ["again"]]
    assert turns["step"].max().to_list() == [6 * epoch, 10 * epoch]


def test_another_text_begins_at_rest():
    growing = begun(memory(0), brisk(), start=3)
    for _ in range(4):
        growing.take_step()
    assert (growing.h != 0).any()
    growing.take_up(memory(3))
    assert (growing.h == 0).all()
    x, _ = growing.batches.at(0)
    assert torch.equal(x[0], memory(3).data_for(0).train[0][:4].double())


def test_activities_go_on_until_the_text_begins_anew():
    """A step knows what was read before it; that of the first window begins at rest."""
    task = memory(units=4)
    frozen = replace(task, optimizer=partial(torch.optim.SGD, lr=0.0))
    growing = begun(frozen, GrowthRule(penalty=0.0).fixed(), start=4)
    put(growing, "weight", torch.eye(4).flip(0))
    put(growing, "output_weight", 1.0 * torch.arange(16).view(4, 4) / 8)
    put(growing, "input_weights.0", torch.arange(16).view(4, 4) / 10 - 0.7)
    losses = [growing.take_step().item() for _ in range(32)]
    # 15 windows, then the same again
    assert losses[:15] == pytest.approx(losses[15:30], abs=1e-12)
    net = frozen.start_model(0)
    net.load_state_dict({k: v[0].detach() for k, v in growing.leaves.items()})
    x, y = task.data_for(0).train
    h = net.rest(4)
    for k in range(15):
        scores, h = net(x[4 * k : 4 * k + 4].double(), h)
        wanted = cross_entropy(scores.flatten(0, 1), y[4 * k : 4 * k + 4].flatten()).item()
        assert losses[k] == pytest.approx(wanted, abs=1e-12)


# -- errors ---------------------------------------------------------------------------------------


def test_a_rule_that_cannot_be_says_all_that_is_wrong():
    with pytest.raises(GrowthError) as caught:
        GrowthRule(
            worth="income", add=1.5, delete=-0.1, stray=True, threshold=float("inf"), penalty="1",
            floor=-1, newborn=float("nan"), spread=None, spares=-1, grace=2.0, hysteresis=0.9,
            step_bound=0, largest_jump=-1,
        )  # fmt: skip
    assert str(caught.value).split(". ") == [
        "Wanted worth as one of 'outgoing', 'multipliers', 'readout multipliers', got 'income'",
        "Wanted add as a probability from 0 to 1, got 1.5",
        "Wanted delete as a probability from 0 to 1, got -0.1",
        "Wanted stray as a probability from 0 to 1, got True",
        "Wanted threshold as a number from 0 up, got inf",
        "Wanted penalty as a number from 0 up, got '1'",
        "Wanted floor as a number from 0 up, got -1",
        "Wanted newborn as a number from 0 up, got nan",
        "Wanted spread as a number from 0 up, got None",
        "Wanted spares as a whole number from 0 up, got -1",
        "Wanted grace as a whole number from 0 up, got 2.0",
        "Wanted hysteresis as a number from 1 up, got 0.9",
        "Wanted step_bound as a number above 0 or None, got 0",
        "Wanted largest_jump as a number above 0 or None, got -1.",
    ]


def test_the_forms_of_the_paper():
    """What is in the author's program and in the text on arXiv."""
    later, text = sk.growth.OUTGOING_WEIGHTS, sk.growth.READOUT_MULTIPLIERS
    assert (later.threshold, later.spares, later.add, later.delete) == (0.05, 1, 0.01, 0.05)
    assert (later.penalty, later.stray, later.step_bound, later.spread) == (1e-4, 1e-4, 0.01, 0.01)
    assert (text.threshold, text.spares, text.add, text.delete) == (0.05, 1, 0.05, 0.25)
    assert (text.floor, text.penalty, text.newborn) == (0.025, pytest.approx(40 * 3e-5), 1)
    assert (text.step_bound, text.largest_jump, text.hysteresis) == (None, None, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"seeds": [1, 1], "steps": 0}, r"Wanted a number of steps .* 1 tasks, got \[0\]\. Wanted "
         r"different seeds from 0 up, at least one, got \[1, 1\]\."),
        ({"seeds": []}, r"at least one, got \[\]"),
        ({"seeds": [-1]}, r"from 0 up, at least one, got \[-1\]"),
        ({"seeds": ["a"]}, r"from 0 up, at least one, got \['a'\]"),
        ({"steps": [3, 4]}, r"a number of steps for each of 1 tasks, got \[3, 4\]"),
        ({"task": []}, r"Wanted a Task or several, got \[\]"),
        ({"task": [3]}, r"Wanted a Task or several, got \[3\]"),
        ({"start": {"x": 3, "0": 9}}, r"Wanted one of 0, got 'x'\. Wanted 1 to 8 nodes of '0' at "
         r"the start, as many as the model has room for, got 9\."),
        ({"start": 0}, r"Wanted 1 to 8 nodes of '0' at the start, .* got 0\."),
        ({"start": 2.5}, r"Wanted 1 to 8 nodes of '0' at the start, .* got 2\.5"),
        ({"prices": {"x": 2, "0": -1}}, r"one of 0, got 'x': 2\. Wanted .* of 0, got '0': -1\."),
        ({"task": [layers(), normed()], "steps": 2}, r"Wanted tasks for one network, with the "
         r"tensors and constraints of 'points', got others in 'points'"),
    ],
)  # fmt: skip
def test_what_cannot_be_grown(call, words):
    settings = {"task": layers(), "seeds": 1, "steps": 2, "device": "cpu", **call}
    with pytest.raises(GrowthError, match=words):
        grow(settings.pop("task"), **settings)


def test_steps_that_were_not_logged():
    found = grow(layers(), brisk(), seeds=1, steps=80, device="cpu")
    for ask in (found.models, found.ids):
        with pytest.raises(GrowthError, match=r"a step that was logged, got 7.* nearest one is 6"):
            ask(7)
    with pytest.raises(GrowthError, match=r"RegionNetwork, got a Sequential\. models\(\) gives"):
        found.graphs()


def test_optimizers_that_take_many_steps_in_one():
    with pytest.raises(GrowthError, match=r"each number by itself, such as RMSprop .* got LBFGS"):
        grow(layers(optimizer=torch.optim.LBFGS), seeds=1, steps=1, device="cpu")
