"""Compiled networks against the formulas, unit by unit, and the two layouts against each other."""

import copy
import io
import itertools
import math
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from graphs import region_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper import Connections, ConstraintError, Signs
from shapekeeper.networks import Plan, RegionNetwork, compile_network
from shapekeeper.regions import Pathway, Region, RegionGraph, StructureError

exactly = partial(assert_close, rtol=0, atol=0)
closely = partial(assert_close, rtol=1e-10, atol=1e-10)


# Graphs


def chain(*sizes, density=1.0, loop=False):
    """Regions a -> b -> ...; with `loop`, the last one feeds the first."""
    names = "abcdefgh"[: len(sizes)]
    pairs = list(itertools.pairwise(names)) + [(names[-1], names[0])] * loop
    return RegionGraph(
        [
            Region(n, size, density, input=n == "a", output=n == names[-1])
            for n, size in zip(names, sizes, strict=True)
        ],
        [Pathway(s, t, density) for s, t in pairs],
    )


def branches():
    """Two inputs, regions of all sizes, out of depth order, one region that no input reaches."""
    return RegionGraph(
        [
            Region("hand", 3, output=True),
            Region("left", 2, input=2),
            Region("top", 5, density=0.6),
            Region("idle", 2),
            Region("right", 4, input=1),
            Region("foot", 3, output=True),
            Region("all", 2, input=True),
        ],
        [
            Pathway("left", "top", 0.7),
            Pathway("top", "hand"),
            Pathway("right", "foot", 0.5),
            Pathway("idle", "foot"),
            Pathway("all", "hand"),
            Pathway("all", "foot"),
            Pathway("left", "foot", known=False),
        ],
    )


def looped():
    return branches().with_pathway(Pathway("hand", "left", 0.5))


GRAPHS = {
    "chain": chain(4, 3, 5, density=0.5),
    "branches": branches(),
    "loop": chain(3, 5, 2, density=0.5, loop=True),
    "looped branches": looped(),
}
every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
both_layouts = pytest.mark.parametrize("layout", ["dense", "blocked"])
both_inputs = pytest.mark.parametrize("shape", [(6, 3), (6, 4, 3)], ids=["still", "in time"])


@st.composite
def finished_graphs(draw):
    """Graphs that compile with 3 features, feed-forward or not."""
    graph = draw(region_graphs(4, 4, finished=True, feedforward=draw(st.booleans())))
    shuffled = draw(st.permutations(graph.regions))
    left, regions = 3, []
    for region in shuffled:
        seen = draw(st.sampled_from([True, *range(1, left + 1)])) if region.input else False
        left -= 0 if seen is True else seen
        regions.append(replace(region, input=seen))
    return replace(graph, regions=tuple(regions))


def build(graph, layout="dense", in_features=3, out_features=2, **options):
    return compile_network(graph, in_features, out_features, layout=layout, **options).double()


def randomized(net, seed=0, closed=True):
    """All parameters drawn anew; closed weights too, where they exist."""
    draws = torch.Generator().manual_seed(seed)
    state = {
        name: torch.randn(value.shape, generator=draws, dtype=torch.float64)
        for name, value in net.state_dict().items()
    }
    exist = readable(net.graph, net.steps) if closed else net.graph.mask().numpy()
    state["weight"] *= torch.from_numpy(exist)
    net.load_state_dict(state)
    return net


def batch(*shape, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draws, dtype=torch.float64)


# The formulas, unit by unit


def depth_of(graph, name):
    into = [p.source for p in graph.pathways if p.known and p.target == name]
    return max((1 + depth_of(graph, source) for source in into), default=0)


def readable(graph, steps=None):
    """Which weights exist, by asking every pair of units."""
    owner = [region.name for region in graph.regions for _ in range(region.size)]
    if steps is not None:
        return np.ones((len(owner), len(owner)), bool)
    depth = {name: depth_of(graph, name) for name in graph.names}
    return np.array([[depth[t] > depth[s] or t == s for s in owner] for t in owner])


def by_hand(net, x, steps=None):
    """One example `(features,)`, or `(time, features)` for a recurrent network; numpy loops."""
    graph = net.graph
    values = {name: value.detach().numpy() for name, value in net.named_parameters()}
    act = {torch.relu: lambda v: max(v, 0.0), torch.tanh: math.tanh}[net.activation]
    units = [(r, k) for r in graph.regions for k in range(r.size)]
    spans, taken = {}, 0
    for region in graph.regions:
        if region.input is True:
            spans[region.name] = range(len(x.T))
        elif region.input:
            spans[region.name] = range(taken, taken + region.input)
            taken += region.input
    inputs = dict(zip(spans, (f"input_weights.{i}" for i in range(len(spans))), strict=True))

    def drive(u, features):
        region, k = units[u]
        total = values["bias"][u]
        for column, feature in enumerate(spans.get(region.name, ())):
            total += values[inputs[region.name]][k, column] * features[feature]
        return total

    def answer(h):
        heard = [h[u] for u, (region, _) in enumerate(units) if region.output]
        rows = zip(values["output_weight"], values["output_bias"], strict=True)
        return [sum(w * v for w, v in zip(row, heard, strict=True)) + b for row, b in rows]

    if steps is None:
        return answer(flow_by_hand(graph, units, values["weight"], act, partial(drive, features=x)))
    times = [x] * steps if x.ndim == 1 else x
    h, answers = [0.0] * len(units), []
    for features in times:
        h = [
            act(
                sum(w * v for w, v in zip(values["weight"][u], h, strict=True)) + drive(u, features)
            )
            for u in range(len(units))
        ]
        answers.append(answer(h))
    return answers[-1] if x.ndim == 1 else answers


def flow_by_hand(graph, units, weight, act, drive):
    depth = [depth_of(graph, region.name) for region, _ in units]
    h = [0.0] * len(units)
    for d in range(max(depth) + 1):
        here = [u for u in range(len(units)) if depth[u] == d]
        lower = [s for s in range(len(units)) if depth[s] < d]
        z = {u: drive(u) + sum(weight[u, s] * h[s] for s in lower) for u in here}
        for u in here:
            own = [v for v in here if units[v][0] is units[u][0]]
            h[u] = act(sum(weight[u, v] * act(z[v]) for v in own) + z[u])
    return h


@settings(deadline=None, max_examples=60)
@given(finished_graphs(), st.sampled_from([torch.relu, torch.tanh]))
def test_dense_is_the_formula_closed_weights_included(graph, activation):
    net = randomized(build(graph, activation=activation))
    x = batch(2, 3)
    truth = [by_hand(net, row, net.steps) for row in x.numpy()]
    closely(net(x), torch.tensor(truth, dtype=torch.float64))


@every_graph
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_unroll_the_rate_equation_for_any_graph(graph, steps):
    net = randomized(build(graph, steps=steps, activation=torch.tanh))
    x = batch(3, 3)
    truth = [by_hand(net, row, steps) for row in x.numpy()]
    closely(net(x), torch.tensor(truth, dtype=torch.float64))


@both_layouts
def test_every_time_is_one_step_of_a_recurrent_network(layout):
    net = randomized(build(looped(), layout, activation=torch.tanh), closed=False)
    x = batch(2, 5, 3)
    dense = build(looped(), activation=torch.tanh)
    dense.load_state_dict(net.state_dict())
    truth = [by_hand(dense, row, steps=5) for row in x.numpy()]
    closely(net(x), torch.tensor(truth, dtype=torch.float64))
    constant = x[:, :1].expand(-1, net.steps, -1)
    closely(net(constant)[:, -1], net(x[:, 0]))


@both_layouts
def test_a_feedforward_network_answers_each_time_by_itself(layout):
    net = randomized(build(branches(), layout), closed=False)
    x = batch(2, 5, 3)
    closely(net(x), torch.stack([net(x[:, t]) for t in range(5)], dim=1))


# The layouts


def masked(net, x):
    """Answer and gradients of a dense network that multiplies its weight by the mask."""
    values = dict(net.named_parameters())
    values["weight"] = values["weight"] * net.graph.mask()
    return functional_call(net, values, (x,))


def gradients(net, answer):
    net.zero_grad()
    answer.cos().sum().backward()
    found = {
        n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in net.named_parameters()
    }
    if "blocks" in found:
        found["weight"] = net._storage.unpack(found.pop("blocks"))
    return found


def assert_same_function(graph, **options):
    dense = randomized(build(graph, **options))
    blocked = build(graph, "blocked", **options)
    allowed = dense.state_dict()
    allowed["weight"] = allowed["weight"] * graph.mask()
    blocked.load_state_dict(allowed)
    for x in (batch(5, 3), batch(2, 3, 3)):
        closely(blocked(x), masked(dense, x))
        mine, truth = gradients(blocked, blocked(x)), gradients(dense, masked(dense, x))
        assert mine.keys() == truth.keys()
        for name, gradient in mine.items():
            closely(gradient, truth[name], msg=lambda text, n=name: f"{n}: {text}")


@settings(deadline=None, max_examples=60)
@given(finished_graphs(), st.sampled_from([torch.relu, torch.tanh]))
def test_blocked_is_masked_dense_gradients_included(graph, activation):
    assert_same_function(graph, activation=activation)


@pytest.mark.parametrize("seed", range(6))
def test_blocked_is_masked_dense_on_larger_graphs(seed):
    draws = np.random.default_rng(seed)
    sizes = draws.integers(1, 9, 10) if seed % 2 else [4] * 10
    regions = [
        Region(f"{i}", int(n), draws.uniform(0.2, 1), input=i < 2, output=i > 7)
        for i, n in enumerate(sizes)
    ]
    ahead = [(i, j) for i in range(10) for j in range(10) if (i < j if seed < 3 else i != j)]
    pairs = [ahead[k] for k in draws.permutation(len(ahead))[:24]]
    pairs = dict.fromkeys([*pairs, (0, 8), (1, 9)])
    graph = RegionGraph(regions, [Pathway(f"{i}", f"{j}", draws.uniform(0.2, 1)) for i, j in pairs])
    assert graph.is_feedforward == (seed < 3)
    assert_same_function(graph)


@every_graph
def test_fresh_networks_are_the_same_in_both_layouts(graph):
    dense, blocked = build(graph, seed=3), build(graph, "blocked", seed=3)
    assert next(n for n, _ in dense.named_parameters()) == "weight"
    assert next(n for n, _ in blocked.named_parameters()) == "blocks"
    for name, value in dense.state_dict().items():
        exactly(blocked.state_dict()[name], value)
    exactly(blocked.weight_matrix(), dense.weight_matrix())
    closely(blocked(batch(4, 3)), dense(batch(4, 3)))


@every_graph
def test_state_dicts_load_strictly_across_layouts(graph):
    for source, target in (("dense", "blocked"), ("blocked", "dense"), ("blocked", "blocked")):
        one, other = build(graph, source, seed=1), build(graph, target, seed=2)
        assert set(one.state_dict()) == set(other.state_dict()) >= {"weight", "bias"}
        assert one.state_dict()["weight"].shape == (graph.units, graph.units)
        other.load_state_dict(one.state_dict(), strict=True)
        exactly(other.weight_matrix(), one.weight_matrix())
        closely(other(batch(4, 3)), one(batch(4, 3)))


def test_state_dicts_keep_their_prefix_inside_other_modules():
    one = nn.Sequential(build(looped(), "blocked", seed=1), nn.ReLU())
    other = nn.Sequential(build(looped(), "dense", seed=2), nn.ReLU())
    assert "0.weight" in one.state_dict()
    other.load_state_dict(one.state_dict())
    exactly(other(batch(4, 3)), other[1](other[0](batch(4, 3))))
    exactly(other[0].weight_matrix(), one[0].weight_matrix())


def test_a_state_dict_shares_memory_with_nothing_that_trains():
    net = build(looped(), "blocked")
    before = net.weight_matrix()
    net.state_dict()["weight"].add_(1.0)
    net.weight_matrix().add_(1.0)
    exactly(net.weight_matrix(), before)
    dense = build(looped())
    dense.weight_matrix().add_(1.0)
    exactly(dense.weight_matrix(), before)


@pytest.mark.parametrize("inside", [True, False], ids=["in an open block", "in a closed block"])
def test_blocked_refuses_closed_weights_that_are_not_zero(inside):
    graph = chain(4, 3, 5, density=0.5)
    net = build(graph, "blocked")
    before = net.weight_matrix()
    state = net.state_dict()
    blocks = torch.block_diag(*(torch.ones(n, n) for n in (4, 3, 5))).bool()
    where = (~graph.mask() & (blocks if inside else ~blocks)).nonzero()[:3]
    state["weight"][tuple(where.T)] = 1.0
    wanted = r"got 3 that are not 0; closed weights do not exist here; compile with layout='dense'"
    with pytest.raises(ConstraintError, match=wanted):
        net.load_state_dict(state)
    exactly(net.weight_matrix(), before)


def test_dense_refuses_weights_that_do_not_exist():
    net = build(chain(4, 3, 5))
    state = net.state_dict()
    state["weight"][0, 4] = 1.0
    with pytest.raises(ConstraintError, match="a region to one that is not deeper, got 1 that are"):
        net.load_state_dict(state)
    recurrent = build(chain(4, 3, 5), steps=2)
    recurrent.load_state_dict(state)
    assert recurrent.weight[0, 4] == 1.0


@both_layouts
def test_state_dicts_that_do_not_fit_say_why(layout):
    net = build(chain(4, 3), layout)
    state = net.state_dict()
    with pytest.raises(RuntimeError, match=r"weight: wanted shape \(7, 7\), got \(9, 9\)"):
        net.load_state_dict({**state, "weight": torch.zeros(9, 9)})
    del state["weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight"'):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "extra"'):
        net.load_state_dict({**net.state_dict(), "extra": torch.zeros(1)})


@both_layouts
def test_plain_adam_with_decay_moves_no_weight_that_does_not_exist(layout):
    graph = chain(6, 5, 4, density=0.4)
    net = build(graph, layout)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    before = net.weight_matrix()
    for _ in range(20):
        optimizer.zero_grad()
        net(batch(8, 3)).square().sum().backward()
        optimizer.step()
    weight, mask = net.weight_matrix(), graph.mask()
    exist = torch.from_numpy(readable(graph)) if layout == "dense" else mask
    assert (weight[mask] != before[mask]).all()
    assert (weight[~exist] == 0).all()
    if layout == "dense":  # nothing holds closed weights there: that is a strategy's work
        assert (weight[exist & ~mask] != 0).any()


@every_graph
def test_the_dense_layout_bends_every_readable_weight(graph):
    net = randomized(build(graph, activation=torch.tanh))
    net(batch(8, 3)).sum().backward()
    # What no output hears has no gradient; so let all regions answer.
    loud = replace(graph, regions=tuple(replace(r, output=True) for r in graph.regions))
    if any(p for p in loud.problems()):
        loud = replace(loud, regions=tuple(replace(r, input=True) for r in loud.regions))
    net = randomized(build(loud, activation=torch.tanh))
    net(batch(8, 3)).cos().sum().backward()
    assert torch.equal(net.weight.grad != 0, torch.from_numpy(readable(loud, net.steps)))


# Orientation and wiring


def test_features_move_the_regions_downstream_of_them_and_no_other():
    graph = branches()
    for output in ("hand", "foot"):
        regions = tuple(replace(r, output=r.name == output) for r in graph.regions)
        only = replace(graph, regions=regions)
        for layout in ("dense", "blocked"):
            net = build(only, layout, activation=torch.tanh)
            jacobian = torch.autograd.functional.jacobian(net, batch(1, 3))
            felt = (jacobian[0, :, 0] != 0).all(0).tolist()
            # "left" sees features 0 and 1 and feeds the hand, "right" sees 2 and feeds the foot,
            # "all" sees everything and feeds both.
            assert felt == [True, True, True]
            quiet = randomized(build(only, layout, activation=torch.tanh), closed=False)
            with torch.no_grad():
                quiet.input_weights[2].zero_()
            jacobian = torch.autograd.functional.jacobian(quiet, batch(1, 3))
            felt = (jacobian[0, :, 0] != 0).all(0).tolist()
            assert felt == ([True, True, False] if output == "hand" else [False, False, True])
            assert (jacobian[0, :, 0].T[~torch.tensor(felt)] == 0).all()


@both_layouts
@pytest.mark.parametrize("steps", [None, 2])
def test_rows_are_targets_and_columns_sources(layout, steps):
    graph = chain(2, 3)
    net = build(graph, layout, in_features=1, out_features=3, steps=steps, activation=torch.relu)
    state = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    state["input_weights.0"][1] = 1.0  # the second unit of a hears the feature
    state["weight"][2 + 2, 1] = 5.0  # the third unit of b hears the second unit of a
    state["output_weight"] = torch.eye(3)
    net.load_state_dict(state)
    exactly(net(torch.ones(1, 1).double()), torch.tensor([[0.0, 0.0, 5.0]]).double())
    exactly(net.weight_matrix(), state["weight"])


def test_whole_inputs_take_the_next_features_in_region_order():
    net = build(branches())
    assert [tuple(w.shape) for w in net.input_weights] == [(2, 2), (4, 1), (2, 3)]
    first = torch.autograd.functional.jacobian(lambda x: net._drive(x.T).T, batch(1, 3))[0, :, 0]
    seen = {"left": [1, 1, 0], "right": [0, 0, 1], "all": [1, 1, 1]}
    ends = np.cumsum([0, *(net.plan.sizes[name] for name in net.plan.order)]).tolist()
    for name, start in zip(net.plan.order, ends, strict=False):
        pattern = (first[start] != 0).int().tolist()
        assert pattern == seen.get(name, [0, 0, 0]), name


def test_a_region_that_no_input_reaches_stands_at_depth_zero_and_is_heard():
    net = build(branches(), activation=torch.tanh)
    assert net.plan.depths["idle"] == 0
    assert net.plan.depths == {name: depth_of(branches(), name) for name in branches().names}
    before = net(batch(2, 3))
    with torch.no_grad():
        net.bias[branches().slices["idle"]] += 1.0
    assert (net(batch(2, 3)) != before).all()


def test_pathways_never_tested_are_closed_until_the_graph_is_settled_otherwise():
    graph = branches()
    where = graph.slices["foot"], graph.slices["left"]
    assert (build(graph).weight_matrix()[where] == 0).all()
    assert (build(graph.settled("open")).weight_matrix()[where] != 0).all()
    untested_loop = chain(3, 2).with_pathway(Pathway("b", "a", known=False))
    assert build(untested_loop).steps is None
    assert build(untested_loop.settled("open")).steps == 3


@pytest.mark.parametrize(
    ("graph", "steps"),
    [
        (chain(2, 2), None),
        (chain(2, 2, loop=True), 3),
        (chain(2, 2, 2, 2, loop=True), 5),
        (chain(2, 2, 2, 2, loop=True).with_pathway(Pathway("a", "d")), 3),
        (chain(2, 2, 2, 2, loop=True).with_region(Region("c", 2, input=True)), 5),
        (chain(2, 2, loop=True).with_region(Region("a", 2, input=True, output=True)), 3),
    ],
)
def test_steps_reach_from_every_input_to_every_output_with_one_to_spare(graph, steps):
    assert build(graph).steps == steps
    if steps:
        net = build(graph, activation=torch.tanh, steps=steps - 2)
        enough = build(graph, activation=torch.tanh, steps=steps - 1)
        assert (last_hears_first(enough, graph) != 0).all()
        assert (last_hears_first(net, graph) == 0).all()


def last_hears_first(net, graph):
    """Gradient of the last region's activity by the weights of the first input."""
    heard = graph.regions[-1].size
    gradient = torch.autograd.grad(
        (net._unroll([net._drive(batch(3, 1))] * net.steps)[-1][-heard:]).sum(),
        net.input_weights[0],
        allow_unused=True,
    )[0]
    return torch.zeros(1) if gradient is None else gradient


# The start


@every_graph
@pytest.mark.parametrize("seed", [0, 7])
def test_a_fresh_network_is_allowed_and_its_drawing_is_that_of_the_graph(graph, seed):
    dense = compile_network(graph, 3, 2, layout="dense", seed=seed)
    mask = graph.mask()
    assert dense.constraints == {"weight": Connections(mask)}
    assert dense.constraints["weight"].allows(dense.weight.detach())
    assert torch.equal(dense.weight.detach() != 0, mask)
    blocked = compile_network(graph, 3, 2, layout="blocked", seed=seed)
    assert blocked.constraints["blocks"].allows(blocked.blocks.detach())
    assert blocked.constraints["blocks"].mask.sum() == mask.sum()
    assert torch.equal(blocked.weight_matrix() != 0, mask)


def signed(graph, *signs):
    """The graph with these signs for its first regions."""
    regions = [replace(r, sign=sign) for r, sign in zip(graph.regions, signs, strict=False)]
    return replace(graph, regions=(*regions, *graph.regions[len(regions) :]))


@every_graph
def test_signs_are_part_of_the_constraint_in_both_layouts(graph):
    graph = signed(graph, 1, -1)
    per_unit = [region.sign or 0 for region in graph.regions for _ in range(region.size)]
    dense = compile_network(graph, 3, 2, layout="dense")
    assert dense.constraints == {"weight": Connections(graph.mask()) & Signs(per_unit)}
    blocked = compile_network(graph, 3, 2, layout="blocked")
    # The same nearest weights, whether all are stored or the open blocks alone.
    weights = randomized(build(graph)).weight.detach() * graph.mask()
    nearest = dense.constraints["weight"].project(weights)
    packed = blocked._storage.pack(weights)
    exactly(blocked._storage.unpack(blocked.constraints["blocks"].project(packed)), nearest)
    assert (nearest != weights).any()


@settings(max_examples=20)
@given(finished_graphs())
def test_fresh_weights_have_the_signs_of_their_regions(graph):
    plain = replace(graph, regions=tuple(replace(r, sign=None) for r in graph.regions))
    lengths = compile_network(plain, 3, 2, layout="dense").weight.abs()
    dense, blocked = (compile_network(graph, 3, 2, layout=k) for k in ("dense", "blocked"))
    exactly(blocked.weight_matrix(), dense.weight_matrix())
    exactly(dense.weight.abs(), lengths)
    for net, name in ((dense, "weight"), (blocked, "blocks")):
        assert net.constraints[name].allows(net.get_parameter(name).detach())
    for region, where in zip(graph.regions, graph.slices.values(), strict=True):
        assert region.sign is None or (dense.weight[:, where] * region.sign >= 0).all()


STRATEGIES = [sk.Projection(), sk.Reparametrization(), sk.Penalty(1.0), sk.Unconstrained()]


def test_every_strategy_trains_a_graph_with_signs():
    graph = signed(sk.tasks.banded_brain(), 1, -1, 1, -1, 1, -1, 1)
    task = sk.tasks.digits(graph)
    found = sk.compare(task, STRATEGIES, seeds=2, steps=40)
    last = found.frame[found.frame.step == 40].groupby("strategy").violation.max()
    assert (last[["Projection", "Reparametrization"]] == 0).all()
    assert 0 < last["Penalty 1"] < last["Unconstrained"]
    start = found.frame[found.frame.step == 0].pivot(
        index="strategy", columns="seed", values="loss"
    )
    charted = start.loc["Reparametrization"]
    plain = start.drop(index="Reparametrization")
    assert (plain.nunique() == 1).all(), "one start for each seed, whatever the strategy"
    # A chart of one side of zero has no zero: weights below 1e-3 start there.
    assert 0 < (charted - plain.iloc[0]).abs().max() < 1e-4
    ends = found.frame[found.frame.step == 40].groupby("strategy").loss.mean()
    assert (ends < 0.95 * start.mean(axis=1)).all(), "all of them learn"
    for model in found.models("Projection"):
        assert graph.signs().allows(model.weight.detach()).all()
        assert graph.connections().allows(model.weight.detach())


@every_graph
def test_reset_draws_ordinary_dense_weights(graph):
    net = compile_network(graph, 3, 2, layout="dense")
    net.reset_parameters(seed=5)
    exist = torch.from_numpy(readable(graph, net.steps))
    assert torch.equal(net.weight != 0, exist)
    fans = exist.sum(1)
    for region, where in zip(graph.regions, graph.slices.values(), strict=True):
        fans[where] += 3 if region.input is True else region.input
    bound = fans**-0.5
    assert (net.weight.abs() <= bound[:, None]).all()
    assert (net.bias.abs() <= bound).all()
    for i, region in enumerate(r for r in graph.regions if r.input):
        assert (net.input_weights[i].abs() <= bound[graph.slices[region.name], None]).all()
    assert (net.output_weight.abs() <= net.output_weight.shape[1] ** -0.5).all()
    exactly(net.constraints["weight"].start(net.weight.detach()), fresh(graph, 5).weight.detach())


def fresh(graph, seed):
    return compile_network(graph, 3, 2, layout="dense", seed=seed)


def test_starting_weights_fill_their_bounds_evenly():
    net = compile_network(chain(60, 80, loop=True), 20, 30, layout="dense")
    net.reset_parameters(seed=0)
    spread = {
        "weight": (net.weight[:60] * 160**0.5, net.weight[60:] * 140**0.5),
        "bias": (net.bias[:60] * 160**0.5, net.bias[60:] * 140**0.5),
        "input": (net.input_weights[0] * 160**0.5,),
        "output": (net.output_weight * 80**0.5,),
    }
    for name, parts in spread.items():
        for part in parts:
            share = (part.detach().flatten() + 1) / 2
            # Kolmogorov-Smirnov: the largest distance of the sorted draws from a straight line.
            line = torch.linspace(0, 1, len(share))
            assert (share.sort().values - line).abs().max() < 1.7 / len(share) ** 0.5, name


@every_graph
def test_reset_gives_both_layouts_the_same_open_weights(graph):
    dense, blocked = build(graph), build(graph, "blocked")
    for net in (dense, blocked):
        net.reset_parameters(seed=4)
    exactly(blocked.weight_matrix(), dense.weight_matrix() * graph.mask())
    assert blocked.constraints["blocks"].allows(blocked.blocks.detach())
    exactly(blocked.bias, dense.bias)
    exactly(blocked.input_weights[0], dense.input_weights[0])
    exactly(blocked.output_weight, dense.output_weight)


def test_seeds_draw_other_weights_and_the_same_ones_again():
    one, again, other = (fresh(looped(), seed) for seed in (1, 1, 2))
    for name, value in one.state_dict().items():
        exactly(again.state_dict()[name], value)
        open_ = value != 0
        assert (other.state_dict()[name] != value)[open_].all(), name


def test_double_precision_draws_the_same_numbers():
    single, double = fresh(looped(), 3), fresh(looped(), 0).double()
    single.reset_parameters(1)
    double.reset_parameters(1)
    assert double.weight.dtype == torch.float64
    exactly(double.weight.float(), single.weight)


@pytest.mark.parametrize("steps", [None, 4])
def test_sparse_and_full_graphs_start_equally_loud(steps):
    def loudness(density):
        graph = chain(256, 256, 256, density=density)
        powers = []
        for seed in range(4):
            net = compile_network(
                graph, 64, 10, layout="dense", steps=steps, seed=seed, activation=nn.Identity()
            )
            draws = torch.Generator().manual_seed(seed)
            drive = net._drive(torch.randn(64, 200, generator=draws))
            h = net._flow(drive) if steps is None else net._unroll([drive] * steps)[-1]
            powers.append(h[512:].square().mean().item())
        return np.mean(powers)

    dense_readable = loudness(1.0)
    assert loudness(0.05) == pytest.approx(dense_readable, rel=0.25)


# Running many at once


@every_graph
@both_layouts
@both_inputs
def test_stacked_networks_under_vmap_equal_each_alone(graph, layout, shape):
    nets = [build(graph, layout, seed=seed, activation=torch.tanh) for seed in range(3)]
    values, buffers = stack_module_state(nets)
    assert buffers == {}
    base = copy.deepcopy(nets[0]).to("meta")
    x = batch(3, *shape)

    def loss(one, example):
        return functional_call(base, one, (example,)).cos().sum()

    found, grads = torch.vmap(torch.func.grad_and_value(loss), in_dims=(0, 0))(values, x)[::-1]
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    torch.vmap(loss, in_dims=(0, 0))(leaves, x).sum().backward()
    for i, net in enumerate(nets):
        total = net(x[i]).cos().sum()
        total.backward()
        closely(found[i], total)
        for name, parameter in net.named_parameters():
            closely(grads[name][i], parameter.grad)
            closely(leaves[name].grad[i], parameter.grad)


@both_layouts
@pytest.mark.filterwarnings("error")
def test_vmap_needs_no_slow_fallback(layout):
    for graph in GRAPHS.values():
        nets = [build(graph, layout, seed=seed) for seed in range(2)]
        values, _ = stack_module_state(nets)
        torch.vmap(partial(functional_call, nets[0]), in_dims=(0, None))(values, (batch(4, 3),))


# Copies


@every_graph
@both_layouts
def test_networks_survive_copies_and_files(graph, layout):
    net = build(graph, layout, activation=torch.tanh)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    copies = [
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        torch.load(file, weights_only=False),
    ]
    with torch.no_grad():
        net.bias.add_(1.0)
    for other in copies:
        assert other.plan == net.plan
        assert other.constraints == net.constraints
        assert (other.bias != net.bias).all()
        other.load_state_dict(net.state_dict())
        exactly(other(batch(4, 3)), net(batch(4, 3)))
        exactly(other.state_dict()["weight"], net.state_dict()["weight"])


@both_layouts
def test_precision_follows_the_module(layout):
    net = build(looped(), layout).float()
    assert net(batch(4, 3).float()).dtype == torch.float32
    assert net.weight_matrix().dtype == torch.float32
    assert net.double()(batch(4, 3)).dtype == torch.float64


def test_an_activation_may_have_parameters():
    net = build(chain(4, 3), activation=nn.PReLU(init=0.5))
    assert "activation.weight" in net.state_dict()
    net(batch(4, 3)).sum().backward()
    assert net.activation.weight.grad != 0


# The plan


def test_the_plan_counts_what_was_compiled():
    graph = RegionGraph(
        [
            Region("hand", 3, output=True),
            Region("eye", 4, density=0.5, input=5),
            Region("ear", 2, input=True),
        ],
        [Pathway("eye", "hand", 0.25), Pathway("ear", "hand")],
    )
    dense, blocked = (
        compile_network(graph, 6, 10, layout=layout).plan for layout in ("dense", "blocked")
    )
    assert dense.order == ("eye", "ear", "hand")
    assert set(blocked.order[:2]) == {"eye", "ear"}
    assert dense.depths == {"hand": 1, "eye": 0, "ear": 0}
    own, between, ends = 9 + 16 + 4, 12 + 6, 4 * 5 + 2 * 6 + 10 * 3
    assert dense.open_weights == blocked.open_weights == 9 + 8 + 4 + 3 + 6
    assert dense.readable_weights == blocked.readable_weights == own + between
    assert dense.share_open == 30 / 47
    assert dense.multiply_adds == blocked.multiply_adds == own + between + ends
    assert dense.parameters == own + between + ends + 9 + 10
    assert dense.shapes == {
        "weight": (9, 9),
        "bias": (9,),
        "output_weight": (10, 3),
        "output_bias": (10,),
        "input_weights.0": (4, 5),
        "input_weights.1": (2, 6),
    }
    assert blocked.shapes["blocks"] == (own + between,)


def test_the_plan_of_a_loop_counts_every_product():
    graph = chain(4, 3, 2, loop=True)
    dense, blocked = (
        compile_network(graph, 5, 2, layout=layout, steps=4).plan for layout in ("dense", "blocked")
    )
    assert dense.depths == {}
    assert dense.readable_weights == 81
    stored = 16 + 9 + 4 + 12 + 6 + 8
    assert dense.open_weights == stored
    ends = 4 * 5 + 2 * 2
    assert dense.multiply_adds == 3 * 81 + ends
    assert blocked.multiply_adds == 3 * stored + ends
    assert blocked.parameters == stored + ends + 9 + 2


@every_graph
def test_a_feedforward_plan_agrees_with_the_unit_by_unit_count(graph):
    plan = compile_network(graph, 3, 2).plan
    assert plan.readable_weights == readable(graph, plan.steps).sum()
    assert plan.open_weights == graph.mask().sum()
    place = {name: i for i, name in enumerate(plan.order)}
    if plan.steps is None:
        assert all(place[p.source] < place[p.target] for p in graph.pathways if p.known)


def test_the_plan_prints_and_is_a_value():
    plan = compile_network(chain(4, 3, 2, loop=True), 5, 2).plan
    assert repr(plan).splitlines() == [
        "recurrent network, layout dense: 9 units in 3 regions",
        "4 steps of a (4), b (3), c (2)",
        "open weights: 55 of 81 (68 %)",
        "multiply-adds per example: 267",
        "parameters: 116",
    ]
    assert plan == pickle.loads(pickle.dumps(plan))
    assert len({plan, compile_network(chain(4, 3, 2, loop=True), 5, 2, seed=1).plan}) == 1
    assert isinstance(plan, Plan)
    with pytest.raises(AttributeError, match="cannot assign to field 'layout'"):
        plan.layout = "blocked"


def ring(regions, size, extra=0):
    """A ring of regions, in which each also hears the `extra` regions before its neighbor."""
    return RegionGraph(
        [Region(f"{i}", size, input=i == 0, output=i == 1) for i in range(regions)],
        [
            Pathway(f"{(i - k) % regions}", f"{i}")
            for i in range(regions)
            for k in range(1, 2 + extra)
        ],
    )


@pytest.mark.parametrize(
    ("graph", "layout"),
    [
        (ring(16, 16), "blocked"),
        (ring(16, 16, extra=6), "blocked"),  # just half of the weights
        (ring(16, 16, extra=7), "dense"),  # more than half
        (ring(18, 15), "dense"),  # blocks too small
        (ring(15, 17), "dense"),  # network too small
    ],
)
def test_auto_takes_blocks_where_they_are_cheaper(graph, layout):
    net = compile_network(graph, 4, 2)
    assert net.layout == net.plan.layout == layout
    assert isinstance(net, RegionNetwork)


# Errors


def test_unfinished_graphs_are_refused_with_all_that_is_missing():
    graph = RegionGraph([Region("a", 4)])
    with pytest.raises(StructureError, match="No input") as caught:
        compile_network(graph, 3, 2)
    assert caught.value.problems == [str(problem) for problem in graph.problems()]
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_features": 0}, "Wanted in_features as a whole number from 1 up, got 0"),
        ({"out_features": 2.5}, "Wanted out_features as a whole number from 1 up, got 2.5"),
        ({"in_features": True}, "got True"),
        ({"in_features": 2}, "in_features=3 or more .2 for “left”, 1 for “right”., got 2. Pass"),
        ({"steps": 0}, "Wanted steps as a whole number from 1 up, got 0. Leave it out"),
        ({"layout": "block"}, "Wanted layout .*, got 'block'. Did you mean 'blocked'?"),
        ({"layout": None}, "Wanted layout 'auto', 'dense' or 'blocked', got None.$"),
        ({"activation": "tanh"}, "number by number, .* got 'tanh'. Pass the function itself."),
        ({"activation": None}, "number by number, .* got None."),
        ({"activation": partial(torch.softmax, dim=1)}, "depends on where a number stands"),
        ({"activation": torch.sum}, "whose answer has another shape"),
        ({"activation": torch.linalg.inv}, "which raised"),
        ({"activation": lambda x: 3}, "whose answer has another shape"),
    ],
)
def test_other_arguments_are_refused_with_the_way_out(options, words):
    settings_ = {"in_features": 3, "out_features": 2, **options}
    with pytest.raises(ValueError, match=words):
        compile_network(branches(), **settings_)


def test_all_wrong_arguments_are_named_at_once():
    with pytest.raises(ValueError, match=r"out_features.*steps.*layout.*activation"):
        compile_network(branches(), 3, 0, steps=-1, layout="sparse", activation=1)


def test_something_else_than_a_graph_is_refused():
    with pytest.raises(TypeError, match="Wanted a RegionGraph, got list"):
        compile_network([Region("a", 4)], 3, 2)


@both_layouts
@pytest.mark.parametrize("shape", [(4,), (4, 2), (3, 4), (1, 2, 3, 3), (4, 3, 5)])
def test_input_of_another_shape_is_refused(layout, shape):
    net = build(looped(), layout)
    with pytest.raises(ValueError, match=r"Wanted input of shape \(batch, 3\) or .*in_features=3"):
        net(batch(*shape))
