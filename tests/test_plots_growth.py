"""Networks that grow, against the step; lives of nodes; and the nodes of one of them."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import Annulus, Circle

import shapekeeper as sk
from shapekeeper import plots
from shapekeeper.growth import GrowthRule, grow
from shapekeeper.plots.growth import run_look
from shapekeeper.plots.ink import Ink
from shapekeeper.plots.nodes import DISC, WIDTH
from shapekeeper.plots.turns import Turn, turns_of

# Births and deaths come fast, so that there are many in few steps.
RULE = GrowthRule(add=0.3, delete=0.3, threshold=0.4, stray=0.05, penalty=2e-3, largest_jump=None)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(params=["default", "dark_background"])
def style(request):
    with mpl.style.context(request.param):
        yield request.param


@pytest.fixture(scope="module")
def grown():
    """Two runs of two tasks, which begin with three nodes."""
    tasks = [sk.tasks.sequences(n, units=12, streams=2, window=5, windows=20) for n in (0, 2)]
    return grow(tasks, RULE, seeds=[4, 7], steps=[60, 40], start=3, device="cpu")


@pytest.fixture(scope="module")
def areas():
    """One run of two areas."""
    graph = sk.RegionGraph(
        [sk.Region(name, 8, input=4, output=True) for name in ("left", "right")],
        [sk.Pathway("left", "right")],
    )
    task = sk.tasks.two_texts(0, 2, graph=graph, streams=2, window=5, windows=20)
    return grow(task, RULE, seeds=1, steps=40, start={"left": 2, "right": 1}, device="cpu")


def table(seeds=5, steps=(0, 10, 20, 30), turn=(0, 0, 0, 0), **columns):
    """A table of made-up runs."""
    rows = pd.DataFrame(itertools.product(range(seeds), steps), columns=["seed", "step"])
    draws = np.random.default_rng(0)
    columns = columns or {"nodes": draws.integers(1, 40, len(rows))}
    return rows.assign(turn=[*turn] * seeds, **columns)


def written(ax):
    return [text.get_text().replace("\n", " ") for text in ax.texts]


def drawn(ax):
    """The medians, without leaders, floors and marks."""
    return [line for line in ax.lines if line.get_linewidth() == 1.7]


def dotted(ax):
    return [line for line in ax.lines if line.get_linestyle() == ":"]


# Growth


def test_a_line_is_the_median_of_the_seeds_and_the_band_reaches_from_quartile_to_quartile():
    runs = table(seeds=7)
    ax = plots.growth(runs)
    values = runs["nodes"].to_numpy().reshape(7, 4)
    (line,), (band,) = drawn(ax), ax.collections
    assert line.get_xdata().tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(line.get_ydata(), np.median(values, 0))
    corners = band.get_paths()[0].vertices
    for step, column in zip([0, 10, 20, 30], values.T, strict=True):
        heights = corners[corners[:, 0] == step, 1]
        low, high = np.percentile(column, [25, 75])
        assert (heights.min(), heights.max()) == (low, high)
    assert "Line: median of 7 seeds; band: from quartile to quartile." in written(ax)


def test_one_seed_is_a_line_without_a_band():
    ax = plots.growth(table(seeds=1))
    assert len(drawn(ax)) == 1
    assert len(ax.collections) == 0
    assert "One seed." in written(ax)


def test_what_grow_returns_is_drawn_like_its_table(grown):
    one, other = plots.growth(grown, "useful"), plots.growth(grown.frame, "useful")
    np.testing.assert_array_equal(drawn(one)[0].get_xydata(), drawn(other)[0].get_xydata())
    assert one.get_ylabel() == "useful nodes"


def test_a_hairline_with_names_stands_where_the_task_changes(grown, style):
    for ax in (plots.growth(grown), plots.lifetimes(grown)):
        (hairline,) = [line for line in ax.lines if line.get_linewidth() == 0.8]
        assert [*hairline.get_xdata()] == [60, 60]
        names = {text.get_text(): text.xy[0] for text in ax.texts if text.xyann == (3, 3)}
        assert names == {"easy sequences": 0, "sequences of 2": 60}
        assert Ink.of(ax).dark == (style == "dark_background")
    ax = plots.growth(grown, tasks=["easy", "hard"])
    assert {"easy", "hard"} <= {*written(ax)}


def test_counts_go_on_and_a_metric_begins_anew_where_the_task_changes():
    runs = table(turn=(0, 0, 1, 1), nodes=np.arange(20), metric=np.arange(1, 21))
    (whole,) = drawn(plots.growth(runs))
    assert whole.get_xdata().tolist() == [0, 10, 20, 30]
    parts = [line.get_xdata().tolist() for line in drawn(plots.growth(runs, "metric"))]
    assert parts == [[0, 10], [20, 30]]


def test_turns_begin_where_the_one_before_ended():
    runs = table(turn=(0, 0, 1, 2))
    assert turns_of(runs) == [Turn(0, 10, "task 1"), Turn(10, 20, "task 2"), Turn(20, 30, "task 3")]
    assert [turn.task for turn in turns_of(runs, ("a", "b", "a"))] == ["a", "b", "a"]


def test_what_was_not_measured_is_left_out(grown):
    # No batch was trained before step 0.
    line, _ = drawn(plots.growth(grown, "loss"))
    first, second = sorted({*grown.frame["step"]})[:2]
    assert first == 0
    assert line.get_xdata()[0] == second


def test_a_floor_of_runs_has_their_color_and_one_of_a_task_its_steps():
    easy, hard = table(metric=np.full(20, 0.5)), table(metric=np.full(20, 0.9))
    ax = plots.growth({"easy": easy, "hard": hard}, "metric", floor={"easy": 0.24, "hard": 0.22})
    for line, floor, height in zip(drawn(ax), dotted(ax), (0.24, 0.22), strict=True):
        assert floor.get_color() == line.get_color()
        assert [*floor.get_ydata()] == [height, height]
    assert "Dotted: the floor (easy: 0.24, hard: 0.22)." in written(ax)[-1]
    assert ax.get_ylim()[0] < 0.22

    switch = table(turn=(0, 0, 1, 2), metric=np.full(20, 0.5))
    ax = plots.growth(switch, "metric", tasks=("easy", "hard", "easy"), floor={"easy": 0.24})
    assert sorted([*line.get_xdata()] for line in dotted(ax)) == [[0, 10], [20, 30]]

    ax = plots.growth(easy, "metric", floor=0.24)
    assert [*dotted(ax)[0].get_xdata()] == [0, 30]
    assert "Dotted: the floor (0.24)." in written(ax)[-1]


def test_published_numbers_are_triangles_at_the_edge_in_the_color_of_their_runs():
    runs = {"easy": table(nodes=np.full(20, 6)), "hard": table(nodes=np.full(20, 20))}
    ax = plots.growth(runs, published={"hard": 37})
    (mark,) = [line for line in ax.lines if line.get_marker() == "<"]
    assert (mark.get_ydata()[0], mark.get_color()) == (37, drawn(ax)[1].get_color())
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > 37
    assert "published (hard: 37)." in written(ax)[-1]


@pytest.mark.parametrize("mark", [":", " "])
def test_several_columns_are_lines_named_by_their_area(mark):
    columns = {f"nodes{mark}left": np.full(20, 3), f"nodes{mark}right": np.full(20, 9)}
    runs = table(**columns)
    ax = plots.growth(runs, [*columns])
    assert {"left", "right"} <= {*written(ax)}
    assert ax.get_ylabel() == "nodes"
    assert [line.get_ydata()[0] for line in drawn(ax)] == [3, 9]
    assert plots.growth(runs, f"nodes{mark}left").get_ylabel() == "nodes of left"
    ax = plots.growth({"cheap": runs, "dear": runs}, [*columns])
    assert {"cheap, left", "cheap, right", "dear, left", "dear, right"} <= {*written(ax)}


@pytest.mark.parametrize(("highest", "scale"), [(1.4, "log"), (0.5, "linear")])
def test_a_metric_that_falls_far_has_a_log_axis(highest, scale):
    runs = table(metric=[*np.linspace(highest, 0.24, 4)] * 5)
    assert plots.growth(runs, "metric").get_yscale() == scale
    assert plots.growth(runs.assign(nodes=1 + runs["step"])).get_yscale() == "linear"


def test_lines_are_told_apart_by_color_then_by_dash(style):
    ax = plots.growth({str(k): table() for k in range(6)})
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn(ax)]
    assert len({*looks}) == 6
    assert len({color for color, _ in looks[:4]}) == 4
    assert looks[0][0] == Ink.of(ax).choose("#1565c0", "#64b5f6")
    assert Ink.of(ax).dark == (style == "dark_background")


def test_it_draws_where_it_is_told_and_returns_that():
    _, (left, right) = plt.subplots(1, 2)
    assert plots.growth(table(), ax=right) is right
    assert len(left.lines) == 0


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [
        ({}, {}, "Wanted runs and a column, got 0 tables and 1 columns"),
        (table(), {"y": []}, "got 1 tables and 0 columns"),
        ([1, 2], {}, "Wanted a Growth or a table, got list"),
        ({"a": None}, {}, "a table for 'a', got NoneType"),
        (table(), {"y": "node"}, "a column of numbers, got 'node'; did you mean 'nodes'"),
        (table(), {"y": "xyz"}, r"got 'xyz'; there are \['seed', 'step', 'turn', 'nodes'\]"),
        (table(nodes=np.full(20, np.nan)), {}, "Wanted numbers in 'nodes', got none"),
        (pd.concat([table(), table()]), {}, "one row for each seed and step, got several. .*group"),
        (table(), {"tasks": ["a", "b"]}, r"a name for each of 1 tasks, got \['a', 'b'\]"),
        ({"hard": table()}, {"floor": {"hart": 1}}, "a floor .* for 'hart'; did you mean 'hard'"),
        (table(), {"floor": {"x": 1}}, r"a floor .* for 'x'; there are \['task 1'\]"),
        ({"hard": table()}, {"published": {"x": 1}}, r"a published .*'x'; there are \['hard'\]"),
    ],
)
def test_what_can_not_be_drawn_is_refused(runs, options, words):
    with pytest.raises(ValueError, match=words):
        plots.growth(runs, **options)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"'node';.* of 1 tasks"):
        plots.growth(table(), "node", tasks=["a", "b"])


# Lifetimes


def bars(ax):
    """(birth, death or end, number) of each bar."""
    return [
        (bar.get_x(), bar.get_x() + bar.get_width(), round(bar.get_y() + bar.get_height() / 2))
        for bar in ax.patches
    ]


@pytest.mark.parametrize("run", [0, 1])
def test_at_each_step_there_are_as_many_bars_as_nodes(grown, run):
    lives = np.array(bars(plots.lifetimes(grown, grown.seeds[run])))
    end = len(grown.counts) - 1
    assert (lives[:, 1] < end).any()
    steps = np.arange(end)[:, None]
    alive = ((lives[:, 0] <= steps) & (steps < lives[:, 1])).sum(1)
    np.testing.assert_array_equal(alive, grown.counts[:-1, run].sum(1))


def test_newborns_go_up_in_order_of_birth_from_the_nodes_of_the_start(grown):
    lives = sorted(bars(plots.lifetimes(grown, 7)), key=lambda bar: bar[2])
    assert [number for *_, number in lives] == [*range(len(lives))]
    births = [birth for birth, *_ in lives]
    assert births[:3] == [0, 0, 0]
    assert births == sorted(births)
    assert births[3] > 0


def test_the_deleted_are_pale_and_end_in_a_stroke(grown, style):
    ax = plots.lifetimes(grown)
    assert grown.seeds[0] == 4
    died = grown.events.query("seed == 4 and event == 'death'")
    end, ink, color = len(grown.counts) - 1, Ink.of(ax), run_look(ax, 0)["color"]
    pale = {
        number
        for (_, until, number), bar in zip(bars(ax), ax.patches, strict=True)
        if to_hex(bar.get_facecolor()) == ink.mix(0.33, color)
    }
    assert pale == {*died["node"]}
    (strokes,) = ax.collections
    tops = [(path.vertices[0, 0], path.vertices[:, 1].mean()) for path in strokes.get_paths()]
    assert sorted(tops) == sorted(
        (step, pytest.approx(node)) for step, node in zip(died["step"], died["node"], strict=True)
    )
    count = len(ax.patches)
    assert (
        f"{count - 3} born, {len(died)} deleted, {count - len(died)} at the end" in written(ax)[-1]
    )
    assert max(until for _, until, _ in bars(ax)) == end


def test_each_area_has_its_color_and_a_legend_says_which(areas, grown):
    ax = plots.lifetimes(areas)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right"]
    of = dict(zip(areas.events["node"], areas.events["area"], strict=True))
    of |= {node: area for area, nodes in areas.ids(0)[0].items() for node in nodes}
    ink = Ink.of(ax)
    for (*_, number), bar in zip(bars(ax), ax.patches, strict=True):
        color = run_look(ax, ["left", "right"].index(of[number]))["color"]
        shades = {ink.mix(share, color) for share in (0.33, 0.8)}
        assert to_hex(bar.get_facecolor()) in shades
    assert plots.lifetimes(grown).get_legend() is None


def test_a_seed_that_was_not_run_is_refused(grown):
    with pytest.raises(ValueError, match=r"the seed of a run, one of \[4, 7\], got 0"):
        plots.lifetimes(grown, 0)


# Nodes


def network(units, seed=0):
    """Some weights for the network of a text."""
    net = sk.tasks.sequences(2, units=units).start_model(0)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draws))
    return net


def discs(ax):
    return {patch.get_gid(): patch for patch in ax.patches if isinstance(patch, Circle)}


def links(ax):
    """Outlines and colors."""
    (found,) = [part for part in ax.collections if isinstance(part, PolyCollection)]
    return [path.vertices for path in found.get_paths()], found.get_facecolor()


@pytest.mark.parametrize("units", [1, 2, 12, 40])
def test_every_node_has_a_disc_on_the_circle_and_each_weight_a_link_or_a_ring(units):
    net = network(units)
    ax = plots.nodes(net)
    centers = np.array([disc.center for disc in discs(ax).values()])
    radius = np.linalg.norm(centers, axis=1)
    np.testing.assert_allclose(radius, radius[0], atol=1e-9)
    shown = (abs(net.weight) >= 0.02 * abs(net.weight).max()).numpy()
    assert len(links(ax)[0]) == (shown & ~np.eye(units, dtype=bool)).sum()
    assert sum(isinstance(patch, Annulus) for patch in ax.patches) == shown.diagonal().sum()


def test_the_area_of_a_disc_is_the_mean_size_of_what_goes_out_to_nodes_and_readout():
    net = network(9)
    sizes = [disc.radius**2 for disc in discs(plots.nodes(net, limit=100.0)).values()]
    with torch.no_grad():
        to_nodes, to_readout = (abs(w).mean(0) for w in (net.weight, net.output_weight))
    expected = DISC**2 * (to_nodes + to_readout).numpy() / 2 / 100
    np.testing.assert_allclose(sizes, np.maximum(expected, 0.05**2), rtol=1e-5)


def test_a_link_begins_wide_at_its_source_and_ends_in_a_point_before_its_target(style):
    net = network(3)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[2, 0], net.weight[0, 1], net.weight[1, 1] = 2.0, -1.0, -0.5
    ax = plots.nodes(net)
    at = {int(name): np.array(disc.center) for name, disc in discs(ax).items()}
    ink = Ink.of(ax)
    assert ink.dark == (style == "dark_background")
    # The larger one lies on top.
    expected = [(1, 0, 0.5, ink.source), (0, 2, 1.0, ink.sink)]
    for outline, shade, (source, target, share, color) in zip(*links(ax), expected, strict=True):
        outline = outline[:-1]  # which closes it
        left, right = outline[: len(outline) // 2], outline[len(outline) // 2 :][::-1]
        np.testing.assert_allclose((left[0] + right[0]) / 2, at[source], atol=1e-9)
        assert np.linalg.norm(left[0] - right[0]) == pytest.approx(WIDTH * share)
        np.testing.assert_allclose(left[-1], right[-1], atol=1e-9)
        gap = np.linalg.norm(left[-1] - at[target])
        assert discs(ax)[str(target)].radius < gap < 0.5
        assert to_hex(shade) == color
    (ring,) = [patch for patch in ax.patches if isinstance(patch, Annulus)]
    assert to_hex(ring.get_facecolor()) == ink.source
    np.testing.assert_allclose(ring.center, at[1])


def test_small_weights_are_faint_and_the_limit_is_the_largest_or_given():
    net = network(6)
    _, shades = links(plots.nodes(net))
    opacity = shades[:, 3]
    assert (np.diff(opacity) >= 0).all()
    _, fainter = links(plots.nodes(net, limit=3 * abs(net.weight).max().item()))
    assert fainter[-1, 3] < opacity[-1]
    assert "Full width: 100;" in written(plots.nodes(net, limit=100.0))[-1]


def test_nodes_keep_their_places_from_stage_to_stage(grown):
    steps = (0, 60, 100)
    stages = [grown.ids(step)[0] for step in steps]
    seen = {}
    for step, ids in zip(steps, stages, strict=True):
        ax = plots.nodes(grown.models(step)[0], ids=ids, stages=stages)
        assert {*discs(ax)} == {str(node) for node in ids["memory"]}
        assert {*discs(ax)} <= {*written(ax)}
        for name, disc in discs(ax).items():
            np.testing.assert_allclose(disc.center, seen.setdefault(name, disc.center))
        dots = ax.lines[0].get_xydata()
        assert len(dots) + len(discs(ax)) == len({n for s in stages for n in s["memory"]})
    assert len(seen) == len(dots) + len(discs(ax))
    assert len({tuple(np.round(center, 6)) for center in seen.values()}) == len(seen)


def test_each_region_has_a_circle_of_its_own(areas):
    ids = areas.ids()[0]
    ax = plots.nodes(areas.models()[0], ids=ids)
    left, right = (
        np.array([discs(ax)[str(node)].center for node in ids[name]]) for name in ("left", "right")
    )
    apart = np.linalg.norm(left[:, None] - right, axis=-1).min()
    assert apart > 2
    assert left[:, 0].max() < right[:, 0].min()
    assert {"left", "right"} <= {*written(ax)}


def test_three_regions_do_not_meet():
    graph = sk.RegionGraph(
        [sk.Region("a", 3, input=2), sk.Region("b", 20), sk.Region("c", 9, output=True)],
        [sk.Pathway("a", "b"), sk.Pathway("b", "c")],
    )
    ax = plots.nodes(sk.compile_network(graph, in_features=2, out_features=1))
    at = np.array([disc.center for disc in discs(ax).values()])
    parts = np.split(at, [3, 23])
    for one, other in itertools.combinations(parts, 2):
        gap = np.linalg.norm(one.mean(0) - other.mean(0))
        radii = [np.linalg.norm(part - part.mean(0), axis=1).max() for part in (one, other)]
        assert gap > sum(radii) + 2


@pytest.mark.parametrize(
    ("net", "options", "words"),
    [
        (torch.nn.Linear(2, 2), {}, "a RegionNetwork, got Linear; .* by matrix"),
        (network(151), {}, "at most 150 nodes, got 151; matrix draws larger"),
        (network(3), {"ids": {"memory": [1, 2]}}, r"{'memory': 3}, got {'memory': 2}; take models"),
        (network(3), {"ids": {"memory": [1, 2, 2]}}, "got {'memory': 2}"),
        (network(3), {"ids": {"else": [1, 2, 3]}}, "got {'else': 3}"),
        (network(3), {"stages": [{"memory": [1]}]}, "Wanted ids of this network too"),
    ],
)
def test_what_has_no_nodes_to_draw_is_refused(net, options, words):
    with pytest.raises(ValueError, match=words):
        plots.nodes(net, **options)


def test_discs_are_ink_on_light_and_on_dark_ground(style):
    ax = plots.nodes(network(4))
    assert all(disc.get_facecolor() == to_rgba(Ink.of(ax).ink) for disc in discs(ax).values())
    assert Ink.of(ax).dark == (style == "dark_background")
