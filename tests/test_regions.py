import copy
import json
import pickle
import re
from collections import Counter
from itertools import combinations, pairwise
from math import comb, dist, isnan

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from graphs import region_graphs
from hypothesis import given, settings

import shapekeeper as sk
from shapekeeper import Pathway, Region, RegionGraph, StructureError, regions
from shapekeeper.regions import arranging
from shapekeeper.regions.arranging import CANVAS, radius

EYE, HAND = Region("eye", 5, input=True), Region("hand", 3, output=True)
ARROW = Pathway("eye", "hand", density=0.4)


@pytest.fixture
def graph():
    return RegionGraph([EYE, HAND], [ARROW])


def blocks(graph, mask):
    where = graph.slices
    return {(t, s): mask[where[t], where[s]] for t in graph.names for s in graph.names}


# Values


def test_graphs_are_values_whatever_they_were_made_from():
    lists = RegionGraph([Region("a", np.int64(4), position=[1, 2.0])], [], [], "")
    tuples = RegionGraph((Region("a", 4.0, density=1, position=(1, 2)),))
    assert lists == tuples
    assert hash(lists) == hash(tuples)
    assert lists.regions[0].size.__class__ is int
    assert len({lists, tuples, RegionGraph()}) == 2


def test_seeing_everything_is_not_seeing_one_feature():
    everything, one = Region("eye", 4, input=True), Region("eye", 4, input=1)
    assert everything != one
    assert repr(one) == 'Region("eye", 4, input=1)'
    assert RegionGraph([everything]) != RegionGraph([one])
    assert RegionGraph([one]).to_json()["regions"][0]["input"] is not True


def test_nothing_in_a_graph_can_be_changed(graph):
    for value, name in ((graph, "note"), (EYE, "size"), (ARROW, "density")):
        with pytest.raises(AttributeError, match="cannot assign"):
            setattr(value, name, 1)


@given(region_graphs())
def test_copies_and_pickles_are_equal(graph):
    assert pickle.loads(pickle.dumps(graph)) == graph == copy.deepcopy(graph)


# Malformed graphs

REFUSED = {
    "Wanted a name of its own, got “eye”, which is taken. Try “eye 2”.": ([EYE, EYE], []),
    "Wanted a name for every region, got ' '.": ([Region(" ", 4)], []),
    "Wanted a name for every region, got 3.": ([Region(3, 4)], []),
    "Wanted a Region, got 'eye'. Write Region(\"eye\", 16).": (["eye"], []),
    "Wanted a Pathway, got ('a', 'b'). Write Pathway(\"eye\", \"hand\").": ([], [("a", "b")]),
    "Size of “a”: wanted a whole number from 1 up, got 0.": ([Region("a", 0)], []),
    "Size of “a”: wanted a whole number from 1 up, got 2.5.": ([Region("a", 2.5)], []),
    "Size of “a”: wanted a whole number from 1 up, got True.": ([Region("a", True)], []),
    "Size of “a”: wanted a whole number from 1 up, got '7'.": ([Region("a", "7")], []),
    "Inner density of “a”: wanted more than 0 and at most 1, got 0.0.": ([Region("a", 4, 0)], []),
    "Inner density of “a”: wanted more than 0 and at most 1, got nan.": (
        [Region("a", 4, float("nan"))],
        [],
    ),
    "Position of “a”: wanted two numbers (x, y) or None, got (1.0,).": (
        [Region("a", 4, position=[1])],
        [],
    ),
    "Level of “a”: wanted a number or None, got 'top'.": ([Region("a", 4, level="top")], []),
    "Input of “a”: wanted True, False, or a whole number of features from 1 up, got 0.": (
        [Region("a", 4, input=0)],
        [],
    ),
    "Output of “a”: wanted True or False, got 1.": ([Region("a", 4, output=1)], []),
    "Sign of “a”: wanted +1, -1, or None, got 0. None leaves the sign free.": (
        [Region("a", 4, sign=0)],
        [],
    ),
    "Pathway eye → hnad: wanted a region of this graph as its target, got “hnad”. "
    "Did you mean “hand”?": ([EYE, HAND], [Pathway("eye", "hnad")]),
    "Pathway q → hand: wanted a region of this graph as its source, got “q”. "
    "Regions are “eye”, “hand”.": ([EYE, HAND], [Pathway("q", "hand")]),
    "Pathway eye → eye: wanted another region, got the same one. "
    "Units inside a region are joined already; a density below 1 thins them.": (
        [EYE],
        [Pathway("eye", "eye")],
    ),
    "Pathway eye → hand exists already; its density is 0.4.": (
        [EYE, HAND],
        [ARROW, Pathway("eye", "hand")],
    ),
    "Density of eye → hand: wanted more than 0 and at most 1, got 1.5. "
    "To close a pathway, take it out.": ([EYE, HAND], [Pathway("eye", "hand", 1.5)]),
    "Known of eye → hand: wanted True or False, got 'no'.": (
        [EYE, HAND],
        [Pathway("eye", "hand", known="no")],
    ),
    "Evidence of eye → hand: wanted two counts (confirming, contradicting) from 0 up, or None, "
    "got (1, -1).": ([EYE, HAND], [Pathway("eye", "hand", evidence=(1, -1))]),
    "Pathway ['eye'] → hand: wanted a region of this graph as its source, got “['eye']”. "
    "Did you mean “eye”?": ([EYE, HAND], [Pathway(["eye"], "hand")]),
    "Tested and absent eye → hand is a pathway as well. Take it out of one of the two.": (
        [EYE, HAND],
        [ARROW],
        [("eye", "hand")],
    ),
    "Tested and absent hand → ye: wanted a region of this graph as its target, got “ye”. "
    "Did you mean “eye”?": ([EYE, HAND], [], [("hand", "ye")]),
    "Tested and absent hand → eye is listed twice.": ([EYE, HAND], [], [("hand", "eye")] * 2),
    "Tested and absent: wanted a pair (source, target), got 'eye'.": ([EYE], [], ["eye"]),
    "Note: wanted text, got None.": ([], [], [], None),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_malformed_graph_is_refused_in_these_words(words):
    with pytest.raises(StructureError, match=re.escape(words)) as caught:
        RegionGraph(*REFUSED[words])
    assert caught.value.problems == [words]


def test_everything_wrong_is_said_at_once():
    bad = [EYE, Region("eye", 0, density=2), HAND]
    with pytest.raises(StructureError, match=r"^5 problems:\n- ") as caught:
        RegionGraph(bad, [Pathway("eye", "eye"), Pathway("hand", "foot")])
    words = ["“eye 2”", "Size", "Inner density", "the same one", "foot"]
    assert all(w in p for w, p in zip(words, caught.value.problems, strict=True))
    assert [p.regions for p in caught.value.found] == [("eye",)] * 4 + [("hand",)]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    assert isinstance(caught.value, ValueError)


# Unfinished graphs


def test_an_empty_graph_lacks_regions_and_nothing_else_is_said():
    assert [p.message for p in RegionGraph().problems()] == ["No region."]
    assert RegionGraph().notes() == ()


def test_one_lack_is_said_once():
    without_input = RegionGraph([Region("a", 2), HAND])
    assert [p.message[:8] for p in without_input.problems()] == ["No input"]
    assert [n.message for n in without_input.notes()] == ["“a” reaches no output."]
    unreached = RegionGraph([EYE, HAND])
    assert [n.message for n in unreached.notes()] == ["“eye” reaches no output."]
    no_output = RegionGraph([EYE, Region("a", 2)])
    assert [n.message for n in no_output.notes()] == ["No input reaches “a”."]


def test_missing_ends_are_named_with_a_candidate():
    chain = RegionGraph([Region("b", 2), Region("a", 2)], [Pathway("a", "b")])
    assert list(map(str, chain.problems())) == [
        "No input. Wanted at least one region marked input. Mark “a” as input, for example.",
        "No output. Wanted at least one region marked output. Mark “b” as output, for example.",
    ]


@pytest.mark.parametrize(
    ("pathways", "reason"),
    [
        ([], "“hand” has no pathway in."),
        ([Pathway("hand", "eye")], "“hand” has no pathway in."),
        ([Pathway("spare", "hand")], "“hand” hears only “spare”, which no input reaches."),
        (
            [Pathway("eye", "hand", known=False)],
            "“hand” has no pathway in, and those never tested are closed.",
        ),
    ],
)
def test_an_output_that_no_input_reaches_is_a_problem(pathways, reason):
    (problem,) = RegionGraph([EYE, HAND, Region("spare", 2)], pathways).problems()
    assert problem.message == "No input reaches the output “hand”."
    assert problem.detail == f"Every output needs a chain of pathways from an input; {reason}"
    assert problem.regions == ("hand",)


def test_a_chain_or_being_an_input_oneself_is_enough():
    middle = Region("middle", 2)
    chain = [Pathway("eye", "middle"), Pathway("middle", "hand")]
    assert RegionGraph([EYE, HAND, middle], chain).problems() == ()
    assert RegionGraph([Region("all", 4, input=3, output=True)]).problems() == ()


def test_regions_without_effect_are_notes_and_stop_nothing(graph):
    dangling = graph.with_region(Region("spare", 2)).with_pathway(Pathway("eye", "spare"))
    assert dangling.problems() == graph.notes() == ()
    assert list(map(str, dangling.notes())) == ["“spare” reaches no output. Nobody listens to it."]
    assert dangling.mask().shape == (10, 10)
    deaf = graph.with_region(Region("spare", 2)).with_pathway(Pathway("spare", "hand"))
    assert [n.message for n in deaf.notes()] == ["No input reaches “spare”."]


@pytest.mark.parametrize("use", ["mask", "connections"])
def test_an_unfinished_graph_has_no_mask_and_says_all_that_is_missing(use):
    lonely = RegionGraph([Region("a", 2), Region("b", 2)])
    with pytest.raises(StructureError, match=r"2 problems:\n- No input.*\n- No output") as caught:
        getattr(lonely, use)()
    assert caught.value.problems == [str(p) for p in lonely.problems()]


def test_opening_what_was_never_tested_can_finish_a_graph():
    graph = RegionGraph([EYE, HAND], [Pathway("eye", "hand", known=False)])
    with pytest.raises(StructureError, match="No input reaches the output “hand”"):
        graph.mask()
    assert graph.mask(unknown="open")[5:, :5].all()
    with pytest.raises(StructureError, match='wanted "closed" or "open", got \'ajar\''):
        graph.mask(unknown="ajar")


# Looking up and editing


def test_wrong_names_are_answered_with_the_closest(graph):
    assert graph.region("eye") is EYE
    assert graph.pathway("eye", "hand") is ARROW
    with pytest.raises(StructureError, match=r"got “eyes”\. Did you mean “eye”\?"):
        graph.region("eyes")
    with pytest.raises(StructureError, match=r"No pathway runs hand → eye\. One runs"):
        graph.pathway("hand", "eye")
    with pytest.raises(StructureError, match=r"Did you mean “hand”\?"):
        graph.pathway("eye", "hnd")


def test_edits_return_a_new_graph_and_leave_the_old_one(graph):
    before = copy.deepcopy(graph)
    memory = Region("memory", 8)
    loop = graph.with_region(memory).with_pathway(Pathway("eye", "memory"))
    assert loop.names == ("eye", "hand", "memory")
    assert loop.without_pathway("eye", "memory").without_region("memory") == graph == before


def test_with_replaces_in_place(graph):
    wider = graph.with_region(Region("eye", 9, input=True))
    assert wider.names == graph.names
    assert wider.units == 12
    thick = graph.with_pathway(Pathway("eye", "hand", 0.9))
    assert [p.density for p in thick.pathways] == [0.9]


def test_without_region_takes_all_that_touches_it(graph):
    full = graph.with_region(Region("memory", 8)).with_pathway(Pathway("memory", "hand"))
    full = RegionGraph(full.regions, full.pathways, [("eye", "memory"), ("hand", "eye")])
    left = full.without_region("memory")
    assert left == RegionGraph([EYE, HAND], [ARROW], [("hand", "eye")])


def test_a_pathway_drawn_on_a_tested_pair_leaves_that_list():
    graph = RegionGraph([EYE, HAND], [], [("eye", "hand"), ("hand", "eye")])
    assert graph.with_pathway(ARROW).tested_absent == (("hand", "eye"),)


def test_renaming_reaches_pathways_and_absences():
    graph = RegionGraph([EYE, HAND], [ARROW], [("hand", "eye")]).renamed("eye", "ear")
    assert graph.names == ("ear", "hand")
    assert graph.pathways == (Pathway("ear", "hand", 0.4),)
    assert graph.tested_absent == (("hand", "ear"),)
    assert graph.renamed("ear", "ear") == graph
    with pytest.raises(StructureError, match=r"which is taken\. Try “hand 2”") as caught:
        graph.renamed("ear", "hand")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda g: g.with_region(Region("x", 0)), "Size of “x”"),
        (lambda g: g.with_region("x"), "Wanted a Region"),
        (lambda g: g.with_pathway(Pathway("eye", "han")), "Did you mean “hand”?"),
        (lambda g: g.with_pathway("eye"), "Wanted a Pathway"),
        (lambda g: g.without_region("han"), "Did you mean “hand”?"),
        (lambda g: g.without_pathway("hand", "eye"), "No pathway runs hand → eye"),
        (lambda g: g.renamed("eye", ""), "Wanted a name for every region"),
    ],
)
def test_edits_refuse_like_the_constructor(graph, edit, words):
    with pytest.raises(StructureError, match=re.escape(words)):
        edit(graph)


# Masks


def test_rows_receive_and_columns_send(graph):
    mask = graph.mask()
    assert mask.dtype == torch.bool
    into, back = mask[5:, :5], mask[:5, 5:]
    assert (into.shape, int(into.sum()), int(back.sum())) == ((3, 5), 6, 0)
    only_eye = torch.tensor([1.0] * 5 + [0.0] * 3)
    heard = torch.nn.functional.linear(only_eye, mask.float())
    assert torch.equal(heard[5:], into.sum(1).float())


@given(region_graphs(finished=True))
def test_every_block_holds_exactly_its_count(graph):
    for unknown in ("closed", "open"):
        mask = graph.mask(3, unknown)
        wanted = {(r.name, r.name): r.density for r in graph.regions}
        opened = [p for p in graph.pathways if p.known or unknown == "open"]
        wanted |= {(p.target, p.source): p.density for p in opened}
        for ends, block in blocks(graph, mask).items():
            count = max(1, round(wanted[ends] * block.numel())) if ends in wanted else 0
            assert int(block.sum()) == count
        assert graph.open_weights(unknown) == int(mask.sum())
        assert torch.equal(mask, graph.settled(unknown).mask(3))


def test_open_weights_are_counted_for_unfinished_graphs_too():
    assert RegionGraph([Region("a", 3), Region("b", 2)]).open_weights() == 13
    assert RegionGraph().open_weights() == RegionGraph().units == 0
    slip = 10**200
    assert RegionGraph([Region("a", slip, density=0.5)]).open_weights() == slip**2 // 2


@given(region_graphs(finished=True))
def test_company_and_order_change_no_wire(graph):
    alone = blocks(graph, graph.mask(7))
    other = RegionGraph([Region("new", 3), *graph.regions[::-1]], graph.pathways[::-1])
    for name in graph.names:
        other = other.with_pathway(Pathway(name, "new", 0.5))
    together = blocks(other, other.mask(7))
    assert all(torch.equal(alone[ends], together[ends]) for ends in alone)


def test_a_higher_density_only_adds_wires():
    graphs = [RegionGraph([EYE, HAND], [Pathway("eye", "hand", k / 15)]) for k in range(1, 16)]
    masks = [graph.mask(1)[5:, :5] for graph in graphs]
    assert all((less <= more).all() for less, more in pairwise(masks))
    assert [int(mask.sum()) for mask in masks] == list(range(1, 16))


def test_seeds_names_and_directions_draw_apart():
    regions = [Region("a", 20, 0.5, input=True), Region("b", 20, 0.5, output=True)]
    graph = RegionGraph(regions, [Pathway("a", "b", 0.5), Pathway("b", "a", 0.5)])
    drawn = [*blocks(graph, graph.mask(0)).values(), *blocks(graph, graph.mask(1)).values()]
    for one, other in combinations(drawn, 2):
        # 200 of 400 open in each: two unrelated draws agree on 200 cells, give or take 10.
        assert abs(int((one == other).sum()) - 200) < 60
    assert torch.equal(graph.mask(0), graph.mask(0))


def test_draws_are_uniform_and_leave_listeners_to_chance():
    sender, listener, wires, seeds = 8, 6, 9, 600
    graph = RegionGraph(
        [Region("s", sender, input=True), Region("l", listener, output=True)],
        [Pathway("s", "l", wires / (sender * listener))],
    )
    drawn = torch.stack([graph.mask(seed)[sender:, :sender] for seed in range(seeds)]).float()
    share = wires / (sender * listener)
    spread = (share * (1 - share) / seeds) ** 0.5
    assert ((drawn.mean(0) - share).abs() < 4.5 * spread).all()
    cells = sender * listener
    deaf = comb(cells - sender, wires) / comb(cells, wires)
    hearing = drawn.any(-1).float().sum(-1).mean().item()
    assert hearing == pytest.approx(listener * (1 - deaf), abs=0.15)


def test_connections_hold_the_mask(graph):
    connections = graph.connections(seed=2)
    assert isinstance(connections, sk.Connections)
    assert torch.equal(connections.mask, graph.mask(seed=2))
    unsure = RegionGraph([EYE, HAND], [ARROW, Pathway("hand", "eye", known=False)])
    opened = unsure.connections(unknown="open")
    assert torch.equal(opened.mask, unsure.mask(unknown="open"))


def test_signs_are_those_of_the_source():
    graph = RegionGraph([Region("eye", 2, input=True, sign=-1), HAND, Region("ear", 1, sign=1)])
    assert graph.signs() == sk.Signs([-1, -1, 0, 0, 0, 1])
    graph = graph.with_pathway(Pathway("eye", "hand"))
    allowed = graph.constraint().project(torch.ones(6, 6))
    assert (allowed[:, :2] == 0).all(), "what leaves the eye is not positive"
    assert allowed[5, 5] == 1
    assert graph.constraint().parts == (graph.connections(), graph.signs())


def test_without_signs_the_connections_are_all(graph):
    assert graph.signs() is None
    assert graph.constraint(2) == graph.connections(2)
    assert RegionGraph().signs() is None


@given(region_graphs(finished=True))
def test_allowed_weights_leave_a_region_with_its_sign(graph):
    weights = torch.randn(graph.units, graph.units, generator=torch.Generator().manual_seed(0))
    for made in (graph.constraint().project(weights), graph.constraint().start(weights)):
        for region in graph.regions:
            sent = made[:, graph.slices[region.name]]
            assert region.sign is None or (sent * region.sign >= 0).all()
        assert graph.connections().allows(made)
    # The start mirrors, so nothing that is open is lost.
    assert torch.equal(graph.constraint().start(weights) != 0, graph.mask())


# Flow


@given(region_graphs(max_regions=6))
def test_loops_agree_with_networkx(graph):
    drawing = nx.DiGraph([(p.source, p.target) for p in graph.pathways if p.known])
    assert graph.is_feedforward == nx.is_directed_acyclic_graph(drawing)
    in_cycles = {name for cycle in nx.simple_cycles(drawing) for name in cycle}
    assert {name for loop in graph.loops() for name in loop} == in_cycles


@given(region_graphs(max_regions=6, feedforward=True))
def test_depth_is_the_longest_of_all_paths(graph):
    known = {(p.source, p.target) for p in graph.pathways if p.known}

    def longest(name):
        return max((1 + longest(s) for s, t in known if t == name), default=0)

    assert graph.depths() == {name: longest(name) for name in graph.names}


@given(region_graphs(max_regions=6, feedforward=True, finished=True))
def test_depth_is_the_longest_path_from_an_input_where_inputs_reach_all(graph):
    drawing = nx.DiGraph([(p.source, p.target) for p in graph.pathways if p.known])
    drawing.add_nodes_from(graph.names)
    for name in graph.names:
        if not drawing.pred[name]:
            graph = graph.with_region(Region(name, 1, input=True))
    inputs = [r.name for r in graph.regions if r.input]
    for name, depth in graph.depths().items():
        paths = [p for i in inputs for p in nx.all_simple_paths(drawing, i, name)]
        assert depth == max((len(path) - 1 for path in paths), default=0)


def test_depths_of_a_loop_are_refused_by_its_names():
    with pytest.raises(StructureError, match="without loops, got one through “association”, “mem"):
        regions.with_memory().depths()


# Other forms


@given(region_graphs())
def test_json_there_and_back(graph):
    assert RegionGraph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_json_has_these_keys_and_needs_few(graph):
    data = graph.to_json()
    assert list(data) == ["regions", "pathways", "tested_absent", "note"]
    assert list(data["regions"][0]) == (
        ["name", "size", "density", "position", "level", "input", "output", "sign"]
    )
    assert list(data["pathways"][0]) == ["source", "target", "density", "known", "evidence"]
    assert RegionGraph.from_json({}) == RegionGraph()


def test_strange_json_is_refused_with_everything_that_is_strange():
    data = {
        "regions": [{"nam": "eye", "size": 4}, "eye"],
        "pathways": [{"source": "eye"}],
        "edges": [],
    }
    with pytest.raises(StructureError, match="5 problems") as caught:
        RegionGraph.from_json(data)
    assert caught.value.problems == [
        "Got “edges” in the graph, which means nothing. "
        "Wanted “regions”, “pathways”, “tested_absent”, “note”.",
        "Wanted “name” in region 1, got “nam”, “size”.",
        "Got “nam” in region 1, which means nothing. Did you mean “name”?",
        "Wanted a dict for region 2, got 'eye'.",
        "Wanted “target” in pathway 1, got “source”.",
    ]
    with pytest.raises(StructureError, match=r"Wanted a dict with .* got list"):
        RegionGraph.from_json([])
    with pytest.raises(StructureError, match="Wanted a list of regions, got 3"):
        RegionGraph.from_json({"regions": 3})


@given(region_graphs())
def test_code_and_repr_rebuild_the_graph(graph):
    scope = {}
    exec(graph.code(), scope)
    assert scope["graph"] == graph
    assert eval(repr(graph), vars(regions)) == graph


def test_code_says_only_what_is_not_the_default(graph):
    assert graph.code() == (
        "import shapekeeper as sk\n\n"
        "graph = sk.RegionGraph(\n"
        '    [\n        sk.Region("eye", 5, input=True),\n'
        '        sk.Region("hand", 3, output=True),\n    ],\n'
        '    [\n        sk.Pathway("eye", "hand", density=0.4),\n    ],\n)\n'
    )


@given(region_graphs())
def test_networkx_there_and_back(graph):
    drawing = graph.to_networkx()
    assert set(drawing.edges) == {(p.source, p.target) for p in graph.pathways}
    back = RegionGraph.from_networkx(drawing)
    # networkx keeps edges by source.
    assert back.regions == graph.regions
    assert Counter(back.pathways) == Counter(graph.pathways)
    assert (back.tested_absent, back.note) == (graph.tested_absent, graph.note)


def test_networkx_drawings_from_elsewhere():
    undirected = RegionGraph.from_networkx(nx.path_graph(3), sizes={"0": 1, "1": 2, "2": 3})
    assert [(r.name, r.size) for r in undirected.regions] == [("0", 1), ("1", 2), ("2", 3)]
    assert len(undirected.pathways) == 4
    with pytest.raises(StructureError, match="multigraph"):
        RegionGraph.from_networkx(nx.MultiDiGraph())
    with pytest.raises(StructureError, match="two that are the same"):
        RegionGraph.from_networkx(nx.DiGraph([(1, "1")]))
    with pytest.raises(StructureError, match="Wanted 3 sizes, got 2"):
        RegionGraph.from_networkx(nx.path_graph(3), sizes=[1, 2])
    with pytest.raises(StructureError, match="Wanted a size for “2”, got none"):
        RegionGraph.from_networkx(nx.path_graph(3), sizes={"0": 1, "1": 2})


@given(region_graphs())
def test_matrix_there_and_back(graph):
    matrix = graph.to_matrix()
    back = RegionGraph.from_matrix(matrix, graph.names, [r.size for r in graph.regions])
    assert [(r.name, r.size, r.density) for r in back.regions] == [
        (r.name, r.size, r.density) for r in graph.regions
    ]
    known = {(p.source, p.target, p.density) for p in graph.pathways if p.known}
    assert {(p.source, p.target, p.density) for p in back.pathways} == known
    drawing = graph.settled("open").to_networkx()
    twin = nx.to_numpy_array(drawing, weight="density").T if graph.names else np.zeros((0, 0))
    off = ~np.eye(len(graph.names), dtype=bool)
    assert np.array_equal(graph.to_matrix("open")[off], twin[off])


def test_matrix_rows_receive(graph):
    assert graph.to_matrix().tolist() == [[1.0, 0.0], [0.4, 1.0]]
    frame = pd.DataFrame([[0, 0], [0.4, 0]], index=["eye", "hand"], columns=["eye", "hand"])
    built = RegionGraph.from_matrix(frame, sizes={"eye": 5, "hand": 3})
    assert built.pathways == (ARROW,)
    assert built.regions == (Region("eye", 5), Region("hand", 3))
    assert RegionGraph.from_matrix(torch.eye(2)).names == ("region 1", "region 2")


@pytest.mark.parametrize(
    ("matrix", "more", "words"),
    [
        (np.zeros((2, 3)), {}, r"square matrix \[target, source\], got shape \(2, 3\)"),
        (np.eye(2), {"names": ["a"]}, "Wanted 2 names, got 1"),
        (np.eye(2), {"sizes": [4]}, "Wanted 2 sizes, got 1"),
        (np.array([[0, 2], [0, 0]]), {}, "Density of region 2 → region 1: .* got 2.0"),
        (np.array([[0, np.nan], [0, 0]]), {}, "Density of region 2 → region 1: .* got nan"),
        (
            pd.DataFrame(np.eye(2), index=["a", "b"], columns=["b", "a"]),
            {},
            "same labels on rows .* got “a”, “b” and “b”, “a”",
        ),
    ],
)
def test_a_matrix_that_is_none_is_refused(matrix, more, words):
    with pytest.raises(StructureError, match=words):
        RegionGraph.from_matrix(matrix, **more)


@given(region_graphs())
def test_edge_table_there_and_back(graph):
    table = graph.to_edge_table()
    assert list(table) == ["source", "target", "density", "known", "confirming", "contradicting"]
    back = RegionGraph.from_edge_table(table, graph.regions)
    assert (back.regions, back.pathways) == (graph.regions, graph.pathways)


def test_edge_tables_from_elsewhere(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("source,target,density\neye,hand,0.4\near,hand,1\n")
    graph = RegionGraph.from_edge_table(pd.read_csv(path), sizes={"eye": 5, "hand": 3, "ear": 2})
    assert graph.slices == {"eye": slice(0, 5), "hand": slice(5, 8), "ear": slice(8, 10)}
    assert graph.pathways == (ARROW, Pathway("ear", "hand"))
    again = tmp_path / "again.csv"
    regions.macaque_visual().to_edge_table().to_csv(again, index=False)
    areas = regions.macaque_visual().regions
    back = RegionGraph.from_edge_table(pd.read_csv(again), areas)
    assert back.pathways == regions.macaque_visual().pathways
    with pytest.raises(StructureError, match="Wanted a column “source”, got “from”, “target”"):
        RegionGraph.from_edge_table(pd.DataFrame(columns=["from", "target"]))


# Drawing


def ring(count, size=16):
    edges = [(str(i), str((i + 1) % count)) for i in range(count)]
    return RegionGraph([Region(str(i), size) for i in range(count)], [Pathway(*e) for e in edges])


def star(count, size=16):
    edges = [("0", str(i)) for i in range(1, count)]
    return RegionGraph([Region(str(i), size) for i in range(count)], [Pathway(*e) for e in edges])


def chain(count, size=16):
    return ring(count, size).without_pathway(str(count - 1), "0")


def full(count, size=16):
    names = [str(i) for i in range(count)]
    return RegionGraph(
        [Region(n, size, input=n == "0") for n in names],
        [Pathway(s, t) for s in names for t in names if s != t],
    )


def assert_drawn_apart(graph):
    count = len(graph.regions)
    for region in graph.regions:
        x, y = region.position
        r = radius(region.size, count)
        assert r <= x <= CANVAS[0] - r
        assert r <= y <= CANVAS[1] - r
    for one, other in combinations(graph.regions, 2):
        apart = radius(one.size, count) + radius(other.size, count)
        assert dist(one.position, other.position) > apart


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 15, 16, 25, 26, 40])
@pytest.mark.parametrize("shape", [ring, star, chain, full])
@pytest.mark.parametrize("size", [4, 400])
def test_no_two_regions_overlap_and_all_are_on_the_canvas(shape, count, size):
    if count == 1 and shape in (ring, chain):
        return
    assert_drawn_apart(shape(count, size).arranged())


@settings(max_examples=40)
@given(region_graphs(max_regions=12, max_size=200))
def test_any_graph_can_be_drawn_and_always_the_same_way(graph):
    drawn = graph.arranged(anew=True)
    assert_drawn_apart(drawn)
    assert drawn == RegionGraph.from_json(graph.to_json()).arranged(anew=True)
    assert drawn.arranged() == drawn


def test_columns_are_distances_from_the_inputs():
    graph = regions.with_memory().arranged(anew=True)
    x = {r.name: r.position[0] for r in graph.regions}
    assert x["visual"] == x["auditory"] < x["association"] < x["memory"] == x["motor"]


def test_columns_are_levels_where_all_have_one():
    graph = regions.macaque_visual().arranged(anew=True)
    by_level = {}
    for r in graph.regions:
        by_level.setdefault(r.level, set()).add(r.position[0])
    assert all(len(xs) == 1 for xs in by_level.values())
    columns = [min(by_level[level]) for level in sorted(by_level)]
    assert columns == sorted(set(columns))


def test_neighbors_stand_at_one_height():
    pairs = {"a": "z", "b": "y", "c": "x"}
    graph = RegionGraph(
        [Region(name, 9, input=name in pairs) for name in "abcxyz"],
        [Pathway(*ends) for ends in pairs.items()],
    ).arranged()
    y = {r.name: r.position[1] for r in graph.regions}
    assert all(y[source] == y[target] for source, target in pairs.items())


def test_a_region_steps_aside_for_a_level_pathway_that_passes_it():
    straight = chain(3).arranged()
    assert len({r.position[1] for r in straight.regions}) == 1
    skipping = straight.with_pathway(Pathway("0", "2"))
    for level, name in enumerate(skipping.names):
        skipping = skipping.with_region(Region(name, 16, level=level))
    y = {r.name: r.position[1] for r in skipping.arranged().regions}
    assert y["0"] == y["2"]
    assert abs(y["1"] - y["0"]) > radius(16, 3)


def test_positions_stay_and_the_others_find_a_free_place():
    placed = [Region(str(i), 16, position=(i * 60 + 60, 240)) for i in range(8)]
    graph = RegionGraph([*placed, Region("new", 16, input=True)]).arranged()
    assert graph.regions[:8] == tuple(placed)
    assert_drawn_apart(graph)
    assert graph.arranged(anew=True).regions[0].position != (60, 240)


def test_a_region_whose_place_is_taken_moves_to_the_next_free_one():
    pair = RegionGraph([Region("a", 16, input=True), Region("b", 16, input=True)])
    wish = pair.arranged().region("b").position
    graph = pair.with_region(Region("a", 16, position=wish, input=True)).arranged()
    assert graph.region("a").position == wish
    assert_drawn_apart(graph)


def test_more_regions_than_fit_stay_on_the_canvas_one_by_one():
    places = [region.position for region in star(300).arranged().regions]
    assert len({*places}) == 300
    assert all(0 < x < CANVAS[0] and 0 < y < CANVAS[1] for x, y in places)


def test_sorting_never_makes_pathways_steeper():
    for seed in range(80):
        drawing = nx.gnp_random_graph(8, 0.3, seed, directed=True)
        graph = RegionGraph.from_networkx(drawing)
        for name in "01":
            graph = graph.with_region(Region(name, 16, input=True))
        columns = arranging._columns(graph)
        before = arranging._steepness(arranging._heights(columns), graph)
        after = arranging._ordered(columns, graph)
        assert arranging._steepness(arranging._heights(after), graph) <= before
        assert [sorted(column) for column in after] == [sorted(column) for column in columns]


def test_an_output_that_nothing_reaches_is_drawn_at_the_end():
    graph = regions.with_memory().without_pathway("association", "motor")
    graph = graph.without_pathway("visual", "motor").arranged(anew=True)
    assert graph.region("motor").position[0] == max(r.position[0] for r in graph.regions)


# Graphs to begin with


@pytest.mark.parametrize("name", ["sense_and_act", "with_memory", "two_hemispheres", "small_world"])
def test_presets_are_finished_and_drawn(name):
    graph = getattr(regions, name)()
    assert graph.problems() == graph.notes() == ()
    assert graph.note
    assert_drawn_apart(graph)
    assert graph.mask().shape == (graph.units, graph.units)


@pytest.mark.parametrize("wires", [1, 8, 64, 512])
def test_sense_and_act_has_as_many_wires_as_asked(wires):
    graph = regions.sense_and_act(wires)
    drawn = blocks(graph, graph.mask())
    assert int(drawn["middle", "eye"].sum()) == int(drawn["hand", "middle"].sum()) == wires
    assert not drawn["hand", "eye"].any()


def test_the_five_regions_of_the_picture():
    graph = regions.with_memory()
    assert [r.size for r in graph.regions] == [64, 48, 96, 48, 32]
    assert (graph.open_weights(), graph.units**2) == (24090, 82944)
    assert not graph.pathway("visual", "motor").known
    without = graph.without_pathway("association", "motor").without_pathway("visual", "motor")
    assert without.open_weights() == 22554


def test_hemispheres_are_mirror_images_joined_in_one_place():
    graph = regions.two_hemispheres(8, features=20, commissure=0.2)
    assert [r.input for r in graph.regions if r.input] == [20, 20]
    assert graph.loops() == (("left association", "right association"),)
    across = [p for p in graph.pathways if p.source.split()[0] != p.target.split()[0]]
    assert [p.density for p in across] == [0.2, 0.2]
    with pytest.raises(StructureError, match="2 problems"):
        regions.two_hemispheres(commissure=-1)


def test_a_small_world_is_clustered_and_short():
    graph = regions.small_world(4, 6)
    drawing = graph.to_networkx().to_undirected()
    assert nx.is_connected(drawing)
    assert len(graph.pathways) == 2 * (4 * 12 + 4 * 2)
    chance = nx.gnm_random_graph(24, drawing.number_of_edges(), seed=1)
    assert nx.average_clustering(drawing) > 2 * nx.average_clustering(chance)
    lattice = nx.watts_strogatz_graph(24, 4, 0)
    assert nx.average_shortest_path_length(drawing) < nx.average_shortest_path_length(lattice)
    modules = [{n for n in drawing if n.split(".")[0] == str(m)} for m in range(1, 5)]
    assert nx.community.modularity(drawing, modules) > 0.5
    assert graph.region("1.1").input
    assert graph.region("3.6").output


@pytest.mark.parametrize("shape", [(1, 7), (2, 20), (3, 6), (4, 10), (6, 6), (8, 5)])
def test_small_worlds_of_any_shape_are_finished_and_drawn_apart(shape):
    graph = regions.small_world(*shape, seed=2)
    assert graph.problems() == graph.notes() == ()
    assert_drawn_apart(graph)
    assert graph != regions.small_world(*shape, seed=3)
    assert graph == regions.small_world(*shape, seed=2)


def test_an_impossible_small_world_says_everything():
    with pytest.raises(StructureError, match="4 problems") as caught:
        regions.small_world(0, 3, neighbors=5, rewired=2, bridges=2)
    words = ["modules: wanted 1", "neighbors: wanted an even", "regions: wanted more", "rewired"]
    assert all(p.startswith(w) for w, p in zip(words, caught.value.problems, strict=True))


def test_macaque_known_answers():
    graph = regions.macaque_visual()
    known = [p for p in graph.pathways if p.known]
    unsettled = [(p.source, p.target) for p in graph.pathways if not p.known]
    assert (len(graph.regions), len(known), len(graph.tested_absent)) == (12, 77, 21)
    assert len(unsettled) == 34
    assert {("FEF", "V3"), ("FEF", "V3A"), ("FEF", "PITd")} < set(unsettled)
    assert len(known) + len(unsettled) + len(graph.tested_absent) == 12 * 11
    climbs = [graph.levels[p.target] - graph.levels[p.source] for p in known]
    kinds = Counter((climb > 0) - (climb < 0) for climb in climbs)
    assert kinds == {1: 36, 0: 10, -1: 31}
    ends = {(p.source, p.target) for p in known}
    assert sum((t, s) in ends for s, t in ends) == 2 * 35
    assert all(p.evidence and p.evidence[0] >= 1 for p in known)
    assert [sum(counts) for counts in zip(*(p.evidence for p in known), strict=True)] == [524, 100]
    assert all(p.evidence is None for p in graph.pathways if not p.known)
    assert graph.problems() == graph.notes() == ()
    assert_drawn_apart(graph)


def test_macaque_distances_and_longest_way_forward():
    graph = regions.macaque_visual()
    drawing = graph.settled().to_networkx()
    assert nx.shortest_path_length(drawing, "V1", "FEF") == 2
    assert nx.shortest_path_length(drawing, "V1", "7a") == 3
    forward = graph.settled()
    for p in forward.pathways:
        if forward.levels[p.target] <= forward.levels[p.source]:
            forward = forward.without_pathway(p.source, p.target)
    assert forward.is_feedforward
    assert forward.depths()["7a"] == 6
    way = nx.dag_longest_path(forward.to_networkx())
    assert way == ["V1", "V2", "V3", "V3A", "MT", "MSTd", "7a"]


@pytest.mark.parametrize(
    ("source", "target", "evidence"),
    [
        ("V1", "V2", (12, 8)),
        ("V2", "V1", (65, 12)),
        ("MSTd", "V2", (1, 17)),
        ("7a", "FEF", (30, 0)),
    ],
)
def test_macaque_evidence(source, target, evidence):
    assert regions.macaque_visual().pathway(source, target).evidence == evidence


def test_macaque_ends_can_be_chosen():
    graph = regions.macaque_visual(4, inputs=("V1", "V2"), outputs=("7a",))
    assert [r.name for r in graph.regions if r.input] == ["V1", "V2"]
    assert [r.name for r in graph.regions if r.output] == ["7a"]
    assert graph.units == 48
    with pytest.raises(StructureError, match=r"got “V1v”\. Did you mean “V1”\?"):
        regions.macaque_visual(inputs=["V1v"])


# Measures


@pytest.fixture
def halves():
    return RegionGraph([Region("a", 3), Region("b", 5)])


@pytest.fixture
def weights():
    return torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_densities_agree_with_counting(halves, weights):
    inside, between = [], []
    for w in weights.tolist():
        pairs = [(abs(w[i][j]) > 0.7, (i < 3) == (j < 3)) for i in range(8) for j in range(8)]
        same, other = [big for big, s in pairs if s], [big for big, s in pairs if not s]
        inside.append(sum(same) / len(same))
        between.append(sum(other) / len(other))
    assert regions.within_density(weights, halves, 0.7) == pytest.approx(inside)
    assert regions.between_density(weights.numpy(), halves, 0.7) == pytest.approx(between)
    assert regions.within_density(weights[1], halves, 0.7) == pytest.approx(inside[1])


def test_densities_of_a_mask_are_those_of_the_drawing():
    graph = RegionGraph(
        [Region("a", 10, 0.3, input=True), Region("b", 10, 0.3, output=True)],
        [Pathway("a", "b", 0.1)],
    )
    assert regions.within_density(graph.mask().float(), graph) == pytest.approx(0.3)
    assert regions.between_density(graph.mask().float(), graph) == pytest.approx(0.05)


def test_modularity_agrees_with_networkx_between_units(halves, weights):
    groups = [set(range(3)), set(range(3, 8))]
    wanted = [
        nx.community.modularity(
            nx.from_numpy_array(w.abs().numpy().T, create_using=nx.DiGraph), groups
        )
        for w in weights.double()
    ]
    assert regions.modularity(weights.double(), halves) == pytest.approx(wanted)
    assert regions.modularity(weights[0].requires_grad_(), halves) == pytest.approx(wanted[0])


def test_modularity_known_answers(halves):
    apart = torch.block_diag(torch.ones(3, 3), torch.ones(5, 5))
    assert regions.modularity(apart, halves) == pytest.approx(1 - (9**2 + 25**2) / 34**2)
    assert regions.modularity(torch.ones(8, 8), halves) == pytest.approx(0)
    assert isnan(regions.modularity(torch.zeros(8, 8), halves))


def test_one_region_has_nothing_between():
    one = RegionGraph([Region("a", 4)])
    assert isnan(regions.between_density(torch.ones(4, 4), one))
    assert np.isnan(regions.between_density(torch.ones(2, 4, 4), one)).tolist() == [True, True]


@pytest.mark.parametrize("measure", ["within_density", "between_density", "modularity"])
def test_weights_of_another_graph_are_refused(measure, halves):
    with pytest.raises(StructureError, match=r"\(..., 8, 8\) .* got shape \(8, 7\)"):
        getattr(regions, measure)(torch.ones(8, 7), halves)
