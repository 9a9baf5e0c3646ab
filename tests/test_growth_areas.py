"""Where nodes lie, and the small networks that are left of padded ones."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from growths import CPU, RMSPROP, begun, brisk, edited, layers, memory, normed, tally, two_areas
from points import DOUBLE
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.growth import Area, GrowthError, Place, areas_of, grow
from shapekeeper.growth.anatomy import Anatomy

LOUD = brisk(stray=0.25, threshold=0.8)


# -- tasks of many shapes -------------------------------------------------------------------------


def pictures(channels: int = 1, side: int = 6, classes: int = 2) -> sk.Data:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(48, channels, side, side, generator=draw)
    y = (x.mean((1, 2, 3)) > 0).long() % classes
    return sk.Data((x[:32], y[:32]), (x[32:], y[32:]))


def picture_task(*parts: nn.Module) -> sk.Task:
    return layers(model=lambda seed: rebuilt(parts), data=pictures(), batch_size=8)


def rebuilt(parts: Sequence[nn.Module]) -> nn.Module:
    """The same layers with fresh weights."""
    return nn.Sequential(*(type(part)(**settings(part)) for part in parts))


def settings(layer: nn.Module) -> dict:
    """The sizes that a layer shows, as it is built from."""
    if isinstance(layer, nn.Linear):
        sizes = {"in_features": layer.in_features, "out_features": layer.out_features}
        return sizes | {"bias": layer.bias is not None}
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        names = "in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"
        return {name: getattr(layer, name) for name in names}
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return {"num_features": layer.num_features, "affine": layer.affine}
    return {"kernel_size": layer.kernel_size} if isinstance(layer, nn.MaxPool2d) else {}


def feedforward_regions(**changes) -> sk.Task:
    """Five areas, thin pathways and free ones; two hear the input, two speak."""
    regions = [
        sk.Region("eye", 7, input=4),
        sk.Region("ear", 6, input=2),
        sk.Region("early", 8),
        sk.Region("late", 6, output=True),
        sk.Region("hand", 5, output=True),
    ]
    ends = [("eye", "early", 0.5), ("ear", "early", 0.7), ("early", "late", 0.6),
            ("eye", "late", 1.0), ("late", "hand", 0.4)]  # fmt: skip
    graph = sk.RegionGraph(regions, [sk.Pathway(a, b, density=d) for a, b, d in ends])

    def model(seed: int) -> nn.Module:
        return sk.compile_network(graph, 6, 3, layout="dense", seed=seed)

    return layers(model=model, **changes)


def looped_regions() -> sk.Task:
    """Recurrent, without a time axis."""
    regions = [sk.Region("a", 6, input=True), sk.Region("b", 5), sk.Region("c", 4, output=True)]
    ends = [("a", "b"), ("b", "c"), ("c", "b"), ("a", "c")]
    graph = sk.RegionGraph(regions, [sk.Pathway(*pair, density=0.6) for pair in ends])

    def model(seed: int) -> nn.Module:
        return sk.compile_network(
            graph, 6, 3, layout="dense", steps=4, activation=torch.tanh, seed=seed
        )

    return layers(model=model)


def single(task: sk.Task) -> sk.Task:
    """In single precision."""
    return layers(
        **{
            name: getattr(task, name)
            for name in ("data", "loss", "metric", "constraints", "batch_size", "in_order")
        },
        model=lambda seed: task.model(seed).float(),
    )


SHAPES = {
    "layers": layers,
    "normed": normed,
    "deep": lambda: layers(nn.Tanh(), nn.Linear(8, 5), nn.Identity(), nn.Linear(5, 8), nn.ReLU()),
    "memory": memory,
    "two areas": two_areas,
    "feed-forward regions": feedforward_regions,
    "looped regions": looped_regions,
    "pictures": lambda: picture_task(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2),
    ),
    "flattened pictures": lambda: picture_task(
        nn.Conv2d(1, 6, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 2),
    ),
    "a norm behind the flattening": lambda: picture_task(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(80), nn.Linear(80, 2),
    ),
    "a norm without numbers of its own": lambda: picture_task(
        nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5, affine=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(80, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_left_answers_as_the_padded_network_does(name):
    """At the end and at each logged step, in single precision."""
    task = single(SHAPES[name]())
    rule = replace(LOUD, threshold=9.0) if name == "a norm behind the flattening" else LOUD
    found = grow(task, rule, seeds=2, steps=40, start=4, device="cpu")
    assert {*found.events["event"]} == {"birth", "death"}
    x = task.data_for(0).test[0].float()
    for step in (0, 12, 40):
        for i, model in enumerate(found.models(step)):
            padded = task.start_model(0)
            kept = found._kept[step]["tensors"]
            padded.load_state_dict({key: value[i] for key, value in kept.items()})
            assert model.training
            answers = [net.eval()(x) for net in (model, padded)]
            assert_close(*answers, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["normed", "pictures", "a norm behind the flattening"])
def test_what_is_left_is_a_plain_sequential(name):
    """Its numbers fit into one that is built of these sizes, and it says these sizes."""
    task = SHAPES[name]()
    found = grow(task, LOUD, seeds=2, steps=40, start=2, device="cpu")
    for i, model in enumerate(found.models()):
        assert type(model) is nn.Sequential
        fresh = rebuilt(list(model)).to(next(model.parameters()).dtype)
        fresh.load_state_dict(model.state_dict())
        assert [p.requires_grad for p in model.parameters()] == [True] * len([*model.parameters()])
        x = task.data_for(0).test[0].to(next(model.parameters()).dtype)
        assert torch.equal(fresh.eval()(x), model.eval()(x))
        wanted = found.counts[-1, i].tolist()
        weighted = [m for m in model if isinstance(m, nn.Linear | nn.Conv2d)]
        assert [len(m.weight) for m in weighted[:-1]] == wanted


def test_what_is_left_can_be_trained_on():
    """It shares nothing with the run it comes from."""
    found = grow(layers(), LOUD, seeds=1, steps=20, device="cpu")
    first, second = found.models()[0], found.models()[0]
    before = {k: v.clone() for k, v in second.state_dict().items()}
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    x, y = layers().data_for(0).train
    cross_entropy(first(x), y).backward()
    optimizer.step()
    assert (first[0].weight != second[0].weight).any()
    assert_close(second.state_dict(), before, rtol=0, atol=0)
    assert_close(found.models()[0].state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("make", [memory, two_areas, feedforward_regions])
def test_the_graphs_that_were_found_make_networks_of_these_shapes(make):
    found = grow(make(), LOUD, seeds=2, steps=20, start=2, device="cpu")
    for i, (graph, model) in enumerate(zip(found.graphs(), found.models(), strict=True)):
        assert graph.problems() == ()
        assert [region.size for region in graph.regions] == found.counts[-1, i].tolist()
        assert model.graph == graph
        net = sk.compile_network(
            graph, model.in_features, model.out_features, layout="dense", steps=model.steps
        )
        shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (net, model)]
        assert shapes[0] == shapes[1]
        # all but the sizes is as it was drawn
        drawn = make().start_model(0).graph
        assert graph.pathways == drawn.pathways
        assert [r.name for r in graph.regions] == [r.name for r in drawn.regions]
    sizes = [r.size for r in found.graphs(0)[0].regions]
    assert sizes == [2] * len(sizes)


def test_the_weights_that_are_left_keep_to_the_constraints_that_are_left():
    """Those of the drawing that was trained: the graph of other sizes would draw others."""
    found = grow(feedforward_regions(), LOUD, seeds=2, steps=30, start=3, device="cpu")
    for model in found.models():
        closed = model.weight == 0
        c = model.constraints["weight"]
        assert c.violation(model.weight).max() == 0
        assert (c.project(torch.ones_like(model.weight)) == 0)[~closed].sum() == 0
        # whole blocks that nothing was drawn to are closed
        spans = model.graph.slices
        assert closed[spans["ear"], spans["hand"]].all()
        assert not closed[spans["late"], spans["eye"]].all()


def test_ids_are_in_the_order_of_the_small_tensors():
    """The weights of a node are followed by its name, whatever comes and goes."""
    rule = brisk(penalty=0.0, step_bound=1e-9, threshold=1.0, stray=0.3)
    found = grow(layers(nn.Tanh()), rule, seeds=1, steps=40, start=6, device="cpu")
    known, seen = {}, set()
    for step in range(41):
        names = found.ids(step)[0]["0"]
        rows = found.models(step)[0][0].weight
        assert len(names) == len(rows)
        for name, row in zip(names, rows, strict=True):
            assert_close(row, known.setdefault(name, row), rtol=0, atol=1e-6)
            seen.add(name)
    assert len(seen) > 10
    assert found.events["event"].nunique() == 2


@pytest.mark.parametrize("step", [20, 40])
def test_ages(step):
    found = grow(normed(), LOUD, seeds=2, steps=40, start=2, device="cpu")
    for row, seed in enumerate(found.seeds):
        births = found.events[(found.events["seed"] == seed) & (found.events["event"] == "birth")]
        born = dict(zip(births["node"], births["step"], strict=True))
        for area, names in found.ids(step)[row].items():
            wanted = [step - born.get(name, 0) for name in names]
            assert found.ages(step)[row][area] == wanted
    assert found.ages() == found.ages(40) != found.ages(20)


# -- a module of one's own ------------------------------------------------------------------------


class Skipping(nn.Module):
    """Two weights read the hidden nodes, one after a sum; a gate has a node's scale."""

    def __init__(self, hidden: int = 7):
        super().__init__()
        self.reads = nn.Linear(6, hidden)
        self.gate = nn.Parameter(torch.ones(hidden))
        self.says = nn.Linear(hidden, 3)
        self.moves = nn.Linear(hidden + 2, 3, bias=False)

    def forward(self, x):
        hidden = torch.tanh(self.reads(x)) * self.gate
        beside = torch.cat([x[:, :2], hidden], dim=1)
        return self.says(hidden) + self.moves(beside).relu()


SKIPPED = Area(
    "hidden", 7, ["reads.weight", "reads.bias", "gate"],
    ["says.weight", Place("moves.weight", first=2)], ones=["gate"],
)  # fmt: skip


def test_a_module_of_ones_own():
    task = layers(model=lambda seed: Skipping())
    found = grow(task, LOUD, seeds=2, steps=50, areas=[SKIPPED], start=2, device="cpu")
    assert all(min(counts) > 1 for counts in tally(found).values())
    x = task.data_for(0).test[0].float()
    for i, model in enumerate(found.models()):
        nodes = found.counts[-1, i, 0]
        assert type(model) is Skipping
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        assert shapes == {
            "gate": (nodes,), "reads.weight": (nodes, 6), "reads.bias": (nodes,),
            "says.weight": (3, nodes), "says.bias": (3,), "moves.weight": (3, nodes + 2),
        }  # fmt: skip
        assert (model.reads.out_features, model.moves.in_features) == (nodes, nodes + 2)
        padded = Skipping()
        padded.load_state_dict({k: v[i] for k, v in found._kept[50]["tensors"].items()})
        assert_close(model(x), padded(x), rtol=1e-5, atol=1e-6)
        fresh = Skipping(nodes)
        fresh.load_state_dict(model.state_dict())


def test_worth_of_several_readers_by_hand():
    """The mean size for each reader, averaged over both, times the outputs."""
    from shapekeeper.growth.growing import Growing

    task = layers(model=lambda seed: Skipping().double())
    growing = Growing(task, brisk(), [0], {"hidden": 4}, sk.Projection(), [SKIPPED], CPU)
    net = task.start_model(0)
    says, moves = net.says.weight[:, :4].abs(), net.moves.weight[:, 2:6].abs()
    readouts = 6  # numbers that read it
    wanted = readouts * (says.mean(0) + moves.mean(0)) / 2
    assert_close(growing.worth()[0, :4], wanted.detach())


def test_what_begins_at_1_begins_at_1():
    rule = brisk(stray=1.0, delete=0.0)
    found = grow(
        layers(model=lambda seed: Skipping(), optimizer=partial(torch.optim.SGD, lr=0.0)),
        rule, seeds=1, steps=3, areas=[SKIPPED], device="cpu",
    )  # fmt: skip
    net = found.models()[0]
    assert net.gate.tolist() == [1.0] * 4
    assert net.reads.bias[1:].tolist() == [0.0] * 3
    assert 0.001 < net.reads.weight[1:].std() < 0.1
    found = grow(normed(optimizer=partial(torch.optim.SGD, lr=0.0)), rule, seeds=1, steps=1,
                 device="cpu")  # fmt: skip
    norm = found.models()[0][1]
    assert norm.weight.tolist() == [1.0, 1.0]
    assert norm.bias.tolist() == [0.0, 0.0]
    assert norm.running_var[1] == 1
    assert norm.running_mean[1] == 0


def test_trying_what_an_edit_would_change_leaves_running_statistics():
    """Each edit asks for several losses; a norm must not learn from them."""
    growing = begun(normed(), brisk(stray=1.0, delete=0.0), start=3)
    for _ in range(3):
        growing.take_step()
    before = {name: value.clone() for name, value in growing.buffers.items()}
    assert {event["area"] for event in edited(growing)} == {"0", "3"}
    assert growing.alive.sum() == 14
    for name, value in before.items():
        now = growing.buffers[name]
        known = value if value.ndim == 1 else value[:, :6]
        assert torch.equal(now if now.ndim == 1 else now[:, :6], known)
        assert value.ndim > 1 or value.item() == 3


def test_unbounded_newborns_hear_with_weights_one_long():
    still = partial(torch.optim.SGD, lr=0.0)
    rule = brisk(stray=1.0, delete=0.0, penalty=0.0)
    net = grow(layers(optimizer=still), rule, seeds=1, steps=4, device="cpu").models()[0]
    lengths = net[0].weight.norm(dim=1)[1:]
    assert_close(lengths, torch.ones_like(lengths))
    net = grow(layers(nn.Tanh(), optimizer=still), rule, seeds=1, steps=4, device="cpu").models()[0]
    assert (net[0].weight.norm(dim=1)[1:] < 0.06).all()


# -- areas of known kinds -------------------------------------------------------------------------


def test_areas_of_layers():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Sequential(nn.Linear(36, 5), nn.Tanh()), nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 2),
    )  # fmt: skip
    first, second, third = areas_of(net, prices={"5": 2.0})
    assert (first.name, second.name, third.name) == ("0", "4.0", "5")
    assert (first.size, second.size, third.size) == (4, 5, 6)
    assert [p.tensor for p in first.places(0)] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
    ]  # fmt: skip
    assert first.places(1) == (Place("4.0.weight", each=9),)
    assert {*first.scaled_by} == {"1.weight", "1.bias"}
    assert {*first.ones} == {"1.weight", "1.running_var"}
    assert (first.bounded, second.bounded, third.bounded) == (False, True, True)
    assert (first.price, second.price, third.price) == (1, 1, 2)


def test_areas_of_regions():
    eye, ear, early, late, hand = areas_of(feedforward_regions().start_model(0))
    assert [a.size for a in (eye, ear, early, late, hand)] == [7, 6, 8, 6, 5]
    assert eye.places(0) == (Place("weight", 0), Place("bias", 0), Place("input_weights.0"))
    assert ear.places(0)[-1] == Place("input_weights.1")
    assert early.places(0) == (Place("weight", 13), Place("bias", 13))
    assert late.places(1) == (Place("weight", 21), Place("output_weight", 0))
    assert hand.places(1) == (Place("weight", 27), Place("output_weight", 6))
    assert not eye.bounded
    assert areas_of(memory().start_model(0))[0].bounded


def test_the_anatomy_counts_nodes_through():
    net = normed().start_model(0)
    shapes = {k: v.shape for k, v in net.state_dict().items()}
    anatomy = Anatomy(areas_of(net), shapes, CPU)
    assert anatomy.nodes == 15
    assert anatomy.slices == {"0": slice(0, 8), "3": slice(8, 15)}
    assert anatomy.readers == ["3.weight", "5.weight"]
    assert anatomy.owners["3.weight"][0].tolist() == list(range(8, 15))
    assert anatomy.owners["3.weight"][1].tolist() == list(range(8))
    assert anatomy.outputs == 3
    alive = torch.tensor([[True, False] * 7 + [True]])
    entries = anatomy.entries("3.weight", alive, 3)[0]
    wanted = alive[0, 8:, None] & alive[0, None, :8]
    assert torch.equal(entries, wanted)


# -- errors ---------------------------------------------------------------------------------------


def test_an_area_needs_both_sides():
    with pytest.raises(GrowthError, match=r"the incoming tensors of area 'a', got none\. A node"):
        Area("a", 3, [], ["b"])
    with pytest.raises(GrowthError, match="Wanted the outgoing tensors of area 'a', got none"):
        Area("a", 3, ["b"], ())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Linear(3, 2), "one weighted layer or none. Add a layer"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "one weighted layer or none"),
        (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
         r"Sequential of plain layers, got a LayerNorm at '1'\. Say where its nodes"),
        (nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Softmax(1)), nn.Linear(4, 2)),
         r"got a Softmax at '1\.0'"),
        (nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2)), "got a Dropout at '1'"),
        (nn.LSTM(3, 4), r"got a LSTM\. Say where its nodes lie"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4),
                       nn.Flatten(), nn.Linear(4, 2)),
         r"'2' to read all of '0', got 1 inputs and 4 nodes\. Convolutions with groups can't grow"),
        (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)),
         "groups"),
    ],
)  # fmt: skip
def test_models_without_areas(model, words):
    with pytest.raises(GrowthError, match=words):
        areas_of(model)


def test_a_layer_that_stands_in_two_places():
    shared = nn.Linear(4, 4)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), shared, nn.Tanh(), shared, nn.Linear(4, 2))
    with pytest.raises(GrowthError, match="got one that is used twice"):
        areas_of(net)


def test_blocks_have_no_room():
    graph = sk.RegionGraph(
        [sk.Region("a", 4, input=True), sk.Region("b", 4, output=True)], [sk.Pathway("a", "b")]
    )
    net = sk.compile_network(graph, 3, 2, layout="blocked")
    with pytest.raises(GrowthError, match="Wanted the dense layout, got 'blocked'"):
        areas_of(net)


def grown_with(areas):
    return grow(layers(), seeds=1, steps=1, areas=areas, device="cpu")


def test_areas_that_do_not_fit():
    with pytest.raises(GrowthError) as caught:
        grown_with(
            [
                Area("a", 9, ["0.weight", "0.bais"], ["2.weight"]),
                Area("a", 3, ["0.weight"], [Place("2.weight", each=2), Place("2.bias")]),
                Area("b", 4, ["0.weight"], [Place("2.weight", first=-4)]),
            ]
        )
    found = str(caught.value)
    for words in (
        "Wanted 9 entries on axis 0 of '0.weight' for the 9 nodes of area 'a', got shape (8, 6).",
        "Wanted a tensor of the model, got '0.bais' for area 'a'; there are 0.weight, 0.bias",
        "Wanted 9 entries on axis 1 of '2.weight' for the 9 nodes of area 'a', got shape (3, 8).",
        "on axis 1 of '2.bias' for the 3 nodes of area 'a', got shape (3,).",
        "Wanted each entry in one area, got axis 0 of '0.weight' in two.",
        "of area 'b', got shape (3, 8).",
        "Wanted areas with different names, got ['a', 'a', 'b'].",
    ):
        assert words in found
    with pytest.raises(GrowthError, match="Wanted at least one area, got none"):
        grown_with([])


def test_prices_are_also_those_of_areas_that_were_written_down():
    area = Area("a", 8, ["0.weight", "0.bias"], ["2.weight"], price=3.0)
    with pytest.raises(GrowthError, match=r"Wanted a price from 0 up of one of a, got 'b': 2\."):
        grow(layers(), seeds=1, steps=1, areas=[area], prices={"b": 2}, device="cpu")
    found = grow(layers(), seeds=1, steps=1, areas=[area], device="cpu")
    assert found._growing.anatomy.price.unique().tolist() == [3.0]
    found = grow(layers(), seeds=1, steps=1, areas=[area], prices={"a": 2}, device="cpu")
    assert found._growing.anatomy.price.unique().tolist() == [2.0]


def test_weights_that_are_not_trained_cannot_listen():
    def model(seed: int) -> nn.Module:
        net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        net[2].weight.requires_grad_(False)
        return net

    with pytest.raises(GrowthError, match=r"trainable weights out of .*, got 2\.weight"):
        grow(layers(model=model), seeds=1, steps=1, device="cpu")


def test_weights_that_are_not_trained_can_stand_elsewhere():
    def model(seed: int) -> nn.Module:
        net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        net[0].weight.requires_grad_(False)
        return net

    task = layers(model=model, optimizer=RMSPROP)
    found = grow(task, LOUD, seeds=1, steps=30, start=8, device="cpu")
    net = found.models()[0]
    assert not net[0].weight.requires_grad
    rows = {tuple(row) for row in task.start_model(0)[0].weight.tolist()}
    assert {tuple(row) for row in net[0].weight.tolist()} <= rows
    assert next(net.parameters()).dtype == torch.float32 != DOUBLE
