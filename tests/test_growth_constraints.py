"""Constraints on weights whose nodes come and go: what is promised holds after every step."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from growths import RMSPROP, begun, brisk, layers, memory, silent, tally, two_areas
from points import DOUBLE
from torch import nn
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.growth import GrowthError, grow

SGD = partial(torch.optim.SGD, lr=0.05)
DRAW = torch.Generator().manual_seed(4)
READS = torch.rand(8, 6, generator=DRAW) < 0.6
SAYS = torch.rand(3, 8, generator=DRAW) < 0.7
HEARS = torch.rand(10, 10, generator=DRAW) < 0.6
PRESETS = torch.where(READS & (torch.rand(8, 6, generator=DRAW) < 0.3), -0.37, 0.0)
DALE = torch.tensor([1.0, -1, 0, 1, -1, 1, -1, 1, 0, -1]).expand(10, 10)
STRUCTURAL = [sk.Projection(), sk.Freeze(), sk.Reparametrization()]
SOFT = [sk.Penalty(0.3), sk.Penalty(1.0, "absolute"), sk.AugmentedLagrangian(0.1)]


# name -> task, its tensor, the constraint, and how far living numbers are from it, by hand
def presets_off(w, alive):
    held = (PRESETS != 0) & alive[:, None]
    return torch.where(held, (w - PRESETS).abs(), w.abs() * ~READS)


def rows_off(w, alive):
    return (w.norm(dim=1) - alive.double()).abs()


CASES = {
    "connections in": (layers, "0.weight", sk.Connections(READS), lambda w, _: w.abs() * ~READS),
    "connections out": (layers, "2.weight", sk.Connections(SAYS), lambda w, _: w.abs() * ~SAYS),
    "connections within": (
        memory, "weight", sk.Connections(HEARS), lambda w, _: w.abs() * ~HEARS
    ),
    "presets": (layers, "0.weight", sk.Connections(READS, PRESETS), presets_off),
    "no negative weight": (layers, "2.weight", sk.NonNegative(), lambda w, _: (-w).relu()),
    "signs of sources": (memory, "weight", sk.Signs(DALE), lambda w, _: (-w * DALE).relu()),
    "both": (
        memory, "weight", sk.Connections(HEARS) & sk.Signs(DALE),
        lambda w, _: w.abs() * ~HEARS + (-w * DALE).relu(),
    ),
    "a range": (layers, "2.weight", sk.Box(-0.2, 0.3), lambda w, _: (w - w.clamp(-0.2, 0.3)).abs()),
    "a range without 0": (
        layers, "0.weight", sk.Box(0.1, 1),
        lambda w, alive: (w - w.clamp(0.1, 1) * alive[:, None]).abs(),
    ),
    "rows of one length": (layers, "0.weight", sk.Sphere(), rows_off),
}  # fmt: skip


@pytest.mark.parametrize("strategy", STRUCTURAL, ids=lambda s: s.label)
@pytest.mark.parametrize("name", CASES)
def test_what_is_structural_holds_after_every_step(name, strategy):
    make, tensor, c, off = CASES[name]
    task = make(constraints={tensor: c})
    growing = begun(task, brisk(stray=0.2), seeds=[0, 1], start=3, strategy=strategy)
    sizes = set()
    for _ in range(30):
        growing.take_step()
        seen = growing.seen()[tensor].detach()
        for run in range(2):
            alive = growing.alive[run]
            assert off(seen[run], alive).max() <= 1e-12
            for axis, owner in growing.anatomy.owners[tensor].items():
                assert (
                    seen[run].index_select(axis, (~alive)[owner].nonzero().flatten()) == 0
                ).all()
            sizes.add(int(alive.sum()))
        assert growing.violations(growing.seen())[tensor].max() <= 1e-12
    kinds = Counter(event["event"] for event in growing.events)
    assert min(kinds["birth"], kinds["death"]) > 0
    assert len(sizes) > 2


@pytest.mark.parametrize(
    "strategy", [sk.Projection(), sk.Reparametrization()], ids=lambda s: s.label
)
@pytest.mark.parametrize("name", CASES)
def test_what_is_structural_trains(name, strategy):
    """Numbers that are held still move where they may."""
    make, tensor, c, _ = CASES[name]
    task = make(constraints={tensor: c})
    growing = begun(task, brisk().fixed(), start=5, strategy=strategy)
    first = growing.seen()[tensor].detach().clone()
    losses = [growing.take_step().item() for _ in range(15)]
    moved = (growing.seen()[tensor].detach() - first).abs()
    assert moved.max() > 0.01
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_frozen_weights_of_a_node_stay_as_long_as_it_lives():
    task = layers(constraints={"0.weight": sk.Box(-1, 1)})
    growing = begun(task, brisk(), start=3, strategy=sk.Freeze())
    known = {}
    for _ in range(60):
        growing.take_step()
        for node in growing.alive[0].nonzero().flatten().tolist():
            row = growing.leaves["0.weight"].detach()[0, node]
            first = known.setdefault(int(growing.ids[0, node]), row.clone())
            assert torch.equal(row, first)
    assert len(known) > 4


@pytest.mark.parametrize("strategy", STRUCTURAL, ids=lambda s: s.label)
def test_a_drawing_holds_whatever_comes_and_goes(strategy):
    """Closed pathways, the signs of axons, and texts that must not be told."""
    regions = [
        sk.Region(name, 8, input=4, output=True, sign=sign)
        for name, sign in (("left", +1), ("right", -1))
    ]
    graph = sk.RegionGraph(regions, [sk.Pathway("left", "right", density=0.6)])
    task = sk.tasks.two_texts(0, 2, graph=graph, streams=4, window=8, windows=15)
    found = grow(task, brisk(stray=0.2), seeds=2, steps=30, start=3, strategy=strategy,
                 device="cpu")  # fmt: skip
    assert {*found.events["event"]} == {"birth", "death"}
    bound = [column for column in found.frame if column.startswith("violation:")]
    assert bound == ["violation:weight", "violation:output_weight"]
    assert (found.frame[bound] == 0).all(axis=None)
    for step in (0, 10, 30):
        for net in found.models(step):
            left, right = net.graph.slices["left"], net.graph.slices["right"]
            assert (net.weight[left, right] == 0).all()
            assert (net.weight[:, left] >= 0).all()
            assert (net.weight[:, right] <= 0).all()
            assert (net.output_weight[4:, left] == 0).all()
            assert (net.output_weight[:4, right] == 0).all()
            assert net.constraints["weight"].violation(net.weight).max() == 0


@pytest.mark.parametrize("strategy", STRUCTURAL, ids=lambda s: s.label)
@pytest.mark.parametrize("name", ["connections out", "no negative weight", "a range"])
def test_small_networks_keep_to_it_too(name, strategy):
    make, tensor, c, _ = CASES[name]
    found = grow(make(constraints={tensor: c}), brisk(), seeds=2, steps=20, start=3,
                 strategy=strategy, device="cpu")  # fmt: skip
    assert (found.frame[f"violation:{tensor}"] <= 1e-12).all()
    for model in found.models():
        weight = model.get_parameter(tensor).detach()
        if name != "connections out":
            assert c.violation(weight).max() <= 1e-12
        else:
            # each column is one of those that were open in the same places
            closed = {tuple(column) for column in (~SAYS).T.tolist()}
            for column in (weight == 0).T.tolist():
                assert any(all(np.array(column) >= np.array(one)) for one in closed)


@pytest.mark.parametrize("strategy", [sk.Projection(), sk.Reparametrization(), sk.Penalty(1.0)])
def test_bound_weights_pay_the_tax_too(strategy):
    """Without a gradient, as much in each step, within what is allowed."""
    c = sk.Box(-0.5, 0.5)
    rule = brisk(penalty=0.013).fixed()
    growing = begun(silent(constraints={"2.weight": c}), rule, start=8, strategy=strategy)
    first = torch.linspace(-0.12, 0.151, 24, dtype=DOUBLE).view(1, 3, 8)
    with torch.no_grad():
        growing.write("2.weight", first)
    for step in range(1, 14):
        growing.take_step()
        wanted = first.sign() * (first.abs() - step * 0.013).relu()
        assert_close(growing.seen()["2.weight"].detach(), wanted, rtol=0, atol=1e-6)


def test_frozen_weights_pay_none():
    task = silent(constraints={"2.weight": sk.Box(-0.5, 0.5)})
    growing = begun(task, brisk(penalty=0.1).fixed(), start=8, strategy=sk.Freeze())
    first = growing.leaves["2.weight"].detach().clone()
    for _ in range(3):
        growing.take_step()
    assert torch.equal(growing.leaves["2.weight"].detach(), first)


# -- events that nodes share ----------------------------------------------------------------------


def test_rows_whose_nodes_come_and_go_stay_one_long():
    """What goes out lies on a sphere: each birth and death moves all of a row."""
    task = layers(constraints={"2.weight": sk.Sphere()}, optimizer=SGD)
    rule = brisk(stray=0.3, threshold=0.8)
    growing = begun(task, rule, seeds=[0, 1], start=4)
    for _ in range(60):
        growing.take_step()
        weight = growing.leaves["2.weight"].detach()
        assert_close(weight.norm(dim=2), torch.ones(2, 3, dtype=DOUBLE), rtol=0, atol=1e-12)
    assert {event["event"] for event in growing.events} == {"birth", "death"}
    assert len({event["node"] for event in growing.events}) > 5


@pytest.mark.parametrize("tensor", ["0.weight", "2.weight"])
def test_what_lives_of_a_matrix_stays_orthogonal(tensor):
    """Its rows or its columns, whichever are fewer."""
    task = layers(constraints={tensor: sk.Orthogonal()}, optimizer=SGD)
    growing = begun(task, brisk(stray=0.3, threshold=0.8), seeds=[0, 1], start=2)
    shapes = set()
    for _ in range(60):
        growing.take_step()
        for run, alive in enumerate(growing.alive):
            weight = growing.leaves[tensor].detach()[run]
            small = weight[alive] if tensor == "0.weight" else weight[:, alive]
            tall = small if small.shape[0] >= small.shape[1] else small.T
            gram = tall.T @ tall
            assert_close(gram, torch.eye(len(gram), dtype=DOUBLE), rtol=0, atol=1e-9)
            assert (weight.square().sum() - small.square().sum()).abs() < 1e-12
            shapes.add(tuple(small.shape))
    assert len(shapes) > 2


@pytest.mark.parametrize("most", [None, 0.02])
def test_jumps_count_what_a_projection_does(most, monkeypatch):
    from shapekeeper.growth import growing as engine

    edit, checked = engine.edit, Counter()

    def loss_of(growing, x, y):
        weights = [growing.leaves[n][0] for n in ("0.weight", "0.bias", "2.weight", "2.bias")]
        hidden = torch.relu(nn.functional.linear(x[0], *weights[:2]))
        return nn.functional.cross_entropy(nn.functional.linear(hidden, *weights[2:]), y[0])

    def spied(growing, x, y, h):
        before, noted = loss_of(growing, x, y), len(growing.events)
        edit(growing, x, y, h)
        for event in growing.events[noted:]:
            jump = loss_of(growing, x, y) - before
            assert event["jump"] == pytest.approx(jump.item(), abs=1e-12)
            assert most is None or abs(jump) <= most
            checked[event["event"]] += 1

    monkeypatch.setattr(engine, "edit", spied)
    task = layers(constraints={"2.weight": sk.Sphere()}, optimizer=SGD)
    rule = brisk(stray=0.3, threshold=0.8, largest_jump=most)
    found = grow(task, rule, seeds=1, steps=60, start=4, device="cpu")
    assert checked.total() > 5 or found.frame["waited"].max() > 5


# -- the room there is ----------------------------------------------------------------------------


def with_room(width: int, where: str, c: sk.Constraint, optimizer, strategy):
    """The same four nodes, and room for others."""

    def model(seed: int) -> nn.Module:
        draw = torch.Generator().manual_seed(seed)
        net = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 3)).double()
        with torch.no_grad():
            net[0].weight[:4] = torch.randn(4, 6, generator=draw, dtype=DOUBLE)
            net[2].weight[:, :4] = torch.randn(3, 4, generator=draw, dtype=DOUBLE)
            net[0].bias.zero_()
            net[2].bias.zero_()
        return net

    task = layers(model=model, constraints={where: c}, optimizer=optimizer)
    return begun(task, brisk().fixed(), start=4, strategy=strategy)


ROOMS = {
    "a range without 0": ("0.weight", sk.Box(0.1, 1), RMSPROP),
    "rows": ("0.weight", sk.Sphere(), RMSPROP),
    "rows of nodes": ("2.weight", sk.Sphere(), SGD),
}
ALL = [
    sk.Projection(),
    sk.Reparametrization(),
    sk.Penalty(0.3),
    sk.AugmentedLagrangian(0.1),
]


@pytest.mark.parametrize("strategy", ALL, ids=lambda s: s.label)
@pytest.mark.parametrize("name", ROOMS)
def test_the_room_there_is_does_not_count(name, strategy):
    """Losses and violations of four nodes with room for none and for seven others."""
    where, c, optimizer = ROOMS[name]
    if name == "rows of nodes" and strategy.charted:
        return  # refused, below
    small, wide = (with_room(n, where, c, optimizer, strategy) for n in (4, 11))
    for _ in range(60):
        assert_close(small.take_step(), wide.take_step(), rtol=0, atol=1e-9)
    off = (run.violations(run.seen())[where].detach() for run in (small, wide))
    assert_close(*off, rtol=0, atol=1e-9)


# -- runs side by side ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [ALL[0], ALL[1], ALL[-1]], ids=lambda s: s.label)
def test_company_changes_nothing(strategy):
    task = layers(constraints={"0.weight": sk.NonNegative(), "2.weight": sk.Box(-0.5, 0.5)})
    rule = brisk(stray=0.2, delete=0.3)
    settings = {"strategy": strategy, "steps": 60, "start": 2, "device": "cpu"}
    together = grow(task, rule, seeds=[4, 1], **settings)
    assert all(births >= 3 for births, _ in tally(together).values())
    alone = grow(task, rule, seeds=[1], **settings)
    assert np.array_equal(alone.counts[:, 0], together.counts[:, 1])
    states = alone.models()[0].state_dict(), together.models()[1].state_dict()
    assert_close(*states, rtol=0, atol=1e-9)


# -- soft ones ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", SOFT, ids=lambda s: s.label)
@pytest.mark.parametrize("name", ["connections in", "no negative weight", "rows of one length"])
def test_soft_ones_come_nearer_and_say_how_near(name, strategy):
    make, tensor, c, off = CASES[name]
    task = make(constraints={tensor: c})
    ends = {}
    for one in (sk.Unconstrained("task"), strategy):
        growing = begun(task, brisk().fixed(), start=4, strategy=one)
        for _ in range(40):
            growing.take_step()
        ends[one] = off(growing.seen()[tensor].detach()[0], growing.alive[0])
        told = growing.violations(growing.seen())[tensor].item()
        assert told == pytest.approx(ends[one].max().item(), abs=1e-12)
    assert told > 0 or "absolute" in strategy.label
    assert ends[strategy].mean() < ends[sk.Unconstrained("task")].mean()


def test_a_price_reaches_living_numbers_alone():
    """Where each has its own: the penalty of the small network is all that is paid."""
    c = sk.Box(0.1, 1)
    growing = begun(layers(constraints={"0.weight": c}), brisk(), start=3,
                    strategy=sk.Penalty(1.0))  # fmt: skip
    for _ in range(20):
        growing.take_step()
        dead = ~growing.alive[0]
        assert (growing.leaves["0.weight"].detach()[0, dead] == 0).all()


# -- what can't be held ---------------------------------------------------------------------------

HALF = sk.Stage(0.5, sk.Projection())
GROWN_LATER = r"Grow first, then hold the value of the compact network with sk\.hold"


@pytest.mark.parametrize(
    ("constraints", "strategy", "words"),
    [
        ({}, sk.Staged(HALF, HALF), r"an optimizer's steps from start to end, got Staged"),
        ({}, sk.ConstrainedLangevin(0.01), "got ConstrainedLangevin.*Unconstrained, Penalty"),
        ({}, sk.RejectionEvolution(), "got RejectionEvolution"),
        ({"0.weight": sk.Box(0.1, 1)}, sk.Penalty(1.0, growth=1.1),
         r"a penalty of one strength, got Penalty 1 growing 1\.1: it would grow for num"),
        ({"1": sk.Box(0, 1)}, sk.Projection(),
         rf"got one on '1', the value of a layer\. {GROWN_LATER}"),
        ({"2.weight": sk.Simplex()}, sk.Projection(),
         r"on '2\.weight' that holds for the part of it that lives, got Simplex.*hold it after"),
        ({"0.weight": sk.Orthogonal()}, sk.Projection(), r"Wanted SGD for Orthogonal.*got RMSprop"),
        ({"2.weight": sk.Sphere()}, sk.Reparametrization(),
         r"Projection or a soft strategy for '2\.weight', got Reparametrization: where nodes come"),
        ({"2.weight": sk.Sphere()}, sk.Freeze(), r"soft strategy for '2\.weight', got Freeze"),
        ({"2.weight": sk.Sphere()}, sk.Projection(),
         r"Wanted SGD for Sphere\(radius=1\.0\) on '2\.weight', got RMSprop"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused(constraints, strategy, words):
    task = layers(constraints=constraints)
    with pytest.raises(GrowthError, match=words):
        grow(task, brisk(), seeds=1, steps=1, strategy=strategy, device="cpu")


def test_all_that_cannot_be_held_at_once():
    task = layers(constraints={"1": sk.Box(0, 1), "2.weight": sk.Simplex()})
    with pytest.raises(GrowthError) as caught:
        grow(task, brisk(), seeds=1, steps=1, strategy=sk.Staged(HALF, HALF), device="cpu")
    found = str(caught.value)
    assert [found.count(words) for words in ("Staged", "the value of a layer", "Simplex")] == [
        1, 1, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("worth", ["multipliers", "readout multipliers"])
@pytest.mark.parametrize(
    "c", [sk.Box(-0.2, 0.2), sk.Sphere(), sk.Connections(SAYS, fixed=0.1 * SAYS)]
)
def test_multipliers_refuse_sets_that_a_factor_leads_out_of(c, worth):
    """What the network sees of a weight is times its multiplier."""
    task = layers(constraints={"2.weight": c}, optimizer=SGD)
    words = r"on '2\.weight' that multiplying a column does not break, got .* or take worth='outg"
    with pytest.raises(GrowthError, match=words):
        grow(task, brisk(worth=worth), seeds=1, steps=1, device="cpu")


@pytest.mark.parametrize("worth", ["multipliers", "readout multipliers"])
@pytest.mark.parametrize("c", [sk.NonNegative(), sk.Connections(SAYS), sk.Signs(torch.ones(3, 8))])
def test_multipliers_go_with_cones(c, worth):
    task = layers(constraints={"2.weight": c})
    rule = brisk(worth="multipliers", stray=0.3)
    found = grow(task, rule, seeds=2, steps=40, start=3, device="cpu")
    assert {*found.events["event"]} == {"birth", "death"}
    for run, alive in enumerate(found._kept[40]["alive"]):
        weight = found._kept[40]["tensors"]["2.weight"][run]
        assert c.violation(weight).max() == 0
        assert (weight[:, ~alive] == 0).all()
        assert (weight[:, alive] != 0).any()


def test_areas_that_are_bound_elsewhere_can_be_anything():
    """A constraint that mixes numbers may bind what no node owns."""
    task = layers(constraints={"2.bias": sk.Sphere()}, optimizer=SGD)
    for strategy in STRUCTURAL:
        found = grow(task, brisk(), seeds=1, steps=20, start=3, strategy=strategy, device="cpu")
        assert_close(found.models()[0][2].bias.norm().item(), 1.0, rtol=0, atol=1e-12)
    assert two_areas().constraints["output_weight"] is not None
