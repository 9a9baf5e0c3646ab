"""Pictures show the numbers they were given, where they belong, on light and on dark ground."""

import warnings
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import ClassVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.text import Annotation, Text
from sklearn.isotonic import IsotonicRegression

import shapekeeper as sk
from shapekeeper import plots
from shapekeeper.plots import ink, labels, routes, sketch

mpl.use("agg")

THEMES = ["default", "dark_background"]
# Deuteranopes, protanopes and tritanopes, severity 1, on linear RGB (Machado and others 2009).
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def comparison(runs, better="higher", steps=100, diverged=()):
    """A comparison with known ends: label -> (strategy, violations, metrics, metrics held)."""
    rows = []
    for label, (_, *ends) in runs.items():
        for seed, (violation, metric, held) in enumerate(zip(*ends, strict=True)):
            for step in (0, steps // 2, steps):
                gone = (label, seed) in diverged and step > 0
                share = step / steps
                numbers = {
                    "loss": np.nan if step == 0 else 2.0 - share + 0.1 * seed,
                    "metric": metric * (0.5 + 0.5 * share),
                    "metric_held": held,
                    "violation": violation * bool(step),
                    "allowed": float(violation == 0),
                }
                numbers = dict.fromkeys(numbers, np.nan) if gone else numbers
                rows.append({"strategy": label, "seed": seed, "step": step, **numbers,
                             "diverged": gone, "evaluations": step, "seconds": 2.0})  # fmt: skip
    return sk.Comparison(
        frame=pd.DataFrame(rows),
        strategies={label: run[0] for label, run in runs.items()},
        seeds=list(range(len(next(iter(runs.values()))[1]))),
        steps=steps,
        task_name="made up",
        metric_name="accuracy" if better == "higher" else "loss",
        better=better,
        unit="weight",
    )


STAGED = sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, sk.Projection()))
RUNS = {
    "Unconstrained": (sk.Unconstrained(), [0.5, 0.7, 0.9], [0.95, 0.97, 0.97], [0.1, 0.2, 0.15]),
    "Penalty 0.1": (sk.Penalty(0.1), [0.1, 0.2, 0.1], [0.93, 0.94, 0.93], [0.5, 0.6, 0.7]),
    "Penalty 1": (sk.Penalty(1.0), [0.02, 0.04, 0.03], [0.92, 0.93, 0.93], [0.9, 0.92, 0.9]),
    "Penalty 10": (sk.Penalty(10.0), [0.002, 0.004, 0.001], [0.91, 0.92, 0.9], [0.91, 0.92, 0.9]),
    "Projection": (sk.Projection(), [0.0] * 3, [0.94, 0.95, 0.95], [0.94, 0.95, 0.95]),
    "Reparametrization": (
        sk.Reparametrization(),
        [0.0] * 3,
        [0.94, 0.96, 0.94],
        [0.94, 0.96, 0.94],
    ),
    "Freeze": (sk.Freeze(), [0.0] * 3, [0.8, 0.82, 0.81], [0.8, 0.82, 0.81]),
    STAGED.label: (STAGED, [0.0] * 3, [0.92, 0.93, 0.93], [0.92, 0.93, 0.93]),
}


@pytest.fixture
def found():
    return comparison(RUNS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def three():
    return sk.regions.sense_and_act()


PLOTS = {
    "wiring": lambda ax: plots.wiring(three(), ax=ax),
    "wiring weights": lambda ax: plots.wiring(three(), np.eye(80), ax=ax),
    "wiring 12": lambda ax: plots.wiring(sk.regions.macaque_visual(), ax=ax),
    "wiring 24": lambda ax: plots.wiring(sk.regions.small_world(), ax=ax),
    "matrix": lambda ax: plots.matrix(three().mask(), three(), ax=ax),
    "matrix weights": lambda ax: plots.matrix(torch.randn(6, 4), ax=ax),
    "matrix graph": lambda ax: plots.matrix(sk.regions.macaque_visual(), ax=ax),
    "tradeoff": lambda ax: plots.tradeoff(comparison(RUNS), {"Freeze": (0.1, 0.9)}, ax=ax),
    "training": lambda ax: plots.training(comparison(RUNS), ax=ax),
    "violation": lambda ax: plots.training(comparison(RUNS), "violation", ax=ax),
    "table": lambda ax: plots.table(
        comparison(RUNS, diverged={("Penalty 10", 0)}), ax=ax, reference="Projection"
    ),
    "bars": lambda ax: plots.bars({"a": {"x": [1.0], "y": [2.0]}, "b": {"x": [1.0]}}, ax=ax),
}


def linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    high, low = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def oklab(rgb):
    lms = np.cbrt([[0.4122214708, 0.5363325363, 0.0514459929],
                   [0.2119034982, 0.6806995451, 0.1073969566],
                   [0.0883024619, 0.2817188376, 0.6299787005]] @ np.clip(rgb, 0, 1))  # fmt: skip
    return np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                     [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]]) @ lms  # fmt: skip


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def mark(ax, label, found, size=9):
    """The mark of one run's mean, by its look."""
    look = plots.look(found.strategies[label], ax, filled=found.holds(label) == "always")
    same = [
        line
        for line in ax.lines
        if line.get_marker() == look["marker"]
        and line.get_color() == look["color"]
        and line.get_markersize() == size
    ]
    return same


def arrows(ax):
    """Annotations that are an arrow without words: start -> end."""
    return {a.xyann: a.xy for a in ax.texts if isinstance(a, Annotation) and not a.get_text()}


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


# What all of them promise


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_on_the_axes_it_is_given_and_changes_nothing_else(name, theme, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a plot called plt.show()"))
    with plt.style.context(theme), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = mpl.figure.Figure()
        ax = figure.add_subplot()
        before = dict(mpl.rcParams)
        assert PLOTS[name](ax) is ax
        assert dict(mpl.rcParams) == before
        assert plt.get_fignums() == []
        assert figure.axes[0] is ax
        figure.canvas.draw()


@pytest.mark.parametrize("name", PLOTS)
def test_without_axes_there_is_one_new_figure(name):
    before = dict(mpl.rcParams)
    ax = PLOTS[name](None)
    assert plt.get_fignums() == [ax.figure.number]
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PLOTS)
def test_every_word_can_be_read(name, theme):
    with plt.style.context(theme):
        ax = drawn(PLOTS[name](None))
        paper = to_hex(ax.get_facecolor())
        filled = [p for p in ax.patches if isinstance(p, Circle) and p.get_gid()]
        texts = ax.figure.findobj(lambda a: isinstance(a, Text) and a.get_visible())
        for text in [t for t in texts if t.get_text().strip()]:
            at = text.get_position()
            inside = [c for c in filled if np.hypot(*np.subtract(at, c.center)) < c.radius]
            ground = inside[0].get_facecolor()[:3] if inside else paper
            assert contrast(text.get_color(), ground) >= 4.5, text.get_text()


@pytest.mark.parametrize("name", ["tradeoff", "training", "table"])
def test_a_dark_axes_in_a_light_style_gets_the_dark_set(name):
    ax = plt.figure(facecolor="#111111").add_subplot(facecolor="#111111")
    PLOTS[name](ax)
    assert "#73acfb" in {line.get_color() for line in ax.lines}


def test_a_transparent_figure_takes_its_ground_from_the_text_color():
    with plt.rc_context({"figure.facecolor": "none", "axes.facecolor": "none"}):
        assert not ink.Ink.of(plt.figure().add_subplot()).dark
        plt.rcParams["text.color"] = "white"
        assert ink.Ink.of(plt.figure().add_subplot()).dark


# Colors and marks


@pytest.mark.parametrize(("ground", "dark"), [("#ffffff", False), ("#111111", True)])
def test_strategy_colors_stand_out_and_stay_apart_for_all_kinds_of_sight(ground, dark):
    colors = [pair[dark] for pair in ink.STRATEGIES.values()]
    assert min(contrast(color, ground) for color in colors) >= 3
    for kind, sight in SIGHT.items():
        seen = [oklab(np.array(sight) @ linear(color)) for color in colors]
        nearest = min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))
        assert nearest >= 0.08, kind


EACH = [
    sk.Unconstrained(), sk.Penalty(1.0), sk.AugmentedLagrangian(), STAGED, sk.Freeze(),
    sk.Projection(), sk.Reparametrization(), sk.ConstrainedLangevin(0.1), sk.RejectionEvolution(),
]  # fmt: skip


def test_marks_tell_the_strategies_apart_without_color():
    looks = [plots.look(strategy) for strategy in EACH]
    shapes = {(look["marker"], look["markerfacecolor"] == look["color"]) for look in looks}
    assert len(shapes) == len(looks) == len(ink.STRATEGIES) == 9


def test_a_mark_is_filled_just_if_the_guarantee_is_structural_at_every_step():
    for strategy in [*EACH, sk.Projection(every=5)]:
        promised = strategy.guarantee == "structural" and strategy is not STAGED
        filled = plots.look(strategy)["markerfacecolor"] == plots.look(strategy)["color"]
        assert filled == promised, strategy


def test_a_strategy_of_ones_own_is_drawn_in_ink(monkeypatch):
    monkeypatch.setattr(sk.Strategy, "kinds", dict(sk.Strategy.kinds))

    @dataclass(frozen=True)
    class Mine(sk.Strategy):
        guarantee: ClassVar[str] = "structural"

    look = plots.look(Mine())
    assert look["marker"] not in {marker for _, _, marker in ink.STRATEGIES.values()}
    assert contrast(look["color"], "#ffffff") > 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_a_strategy_looks_the_same_in_all_plots(found, theme):
    with plt.style.context(theme):
        pictures = [plots.tradeoff(found), plots.training(found), plots.table(found)]
        for label, strategy in found.strategies.items():
            wanted = plots.look(strategy, pictures[0])
            for ax in pictures:
                lines = ax.findobj(mpl.lines.Line2D)
                same = [line for line in lines if line.get_marker() == wanted["marker"]]
                same = [line for line in same if line.get_color() == wanted["color"]]
                faces = {line.get_markerfacecolor() for line in same}
                assert wanted["markerfacecolor"] in faces, (label, ax)


# Trade-off plane


def test_marks_stand_at_the_means_and_dots_at_the_seeds(found):
    ax = plots.tradeoff(found)
    for label, (_, violation, metric, _) in RUNS.items():
        means = [tuple(line.get_xydata()[0]) for line in mark(ax, label, found)]
        wanted = pytest.approx((np.mean(violation), np.mean(metric)))
        assert any(mean == wanted for mean in means), label
        dots = [line.get_xydata() for line in ax.lines if line.get_markersize() == 3.6]
        seeds = np.stack([violation, metric], 1)
        assert any(np.shape(d) == np.shape(seeds) and np.allclose(d, seeds) for d in dots), label


def test_the_arrow_runs_from_the_metric_into_the_gutter_at_the_metric_held(found):
    ends = arrows(plots.tradeoff(found))
    violating = {k: run for k, run in RUNS.items() if np.mean(run[1]) > 0}
    assert len(ends) == len(violating) == 4
    for _, violation, metric, held in violating.values():
        start = (np.mean(violation), np.mean(metric))
        end = next(e for s, e in ends.items() if s == pytest.approx(start))
        assert end == pytest.approx((0, np.mean(held)))


def test_the_gutter_holds_what_is_exactly_zero_and_nothing_else(found):
    ax = drawn(plots.tradeoff(found))
    gutter = next(p for p in ax.patches if p.get_facecolor()[:3] == to_rgb(ink.Ink.of(ax).shelf))
    left, right = gutter.get_window_extent().x0, gutter.get_window_extent().x1
    assert left == pytest.approx(ax.bbox.x0, abs=1)
    for label, (_, violation, _, _) in RUNS.items():
        for line in mark(ax, label, found):
            x = line.get_transform().transform(line.get_xydata())[0, 0]
            own = line.get_xydata()[0, 0] == pytest.approx(np.mean(violation))
            assert not own or (left + 4 < x < right) == (np.mean(violation) == 0), label
    for _, (x, y) in arrows(ax).items():
        assert left < ax.transData.transform((x, y))[0] < right


def test_marks_in_the_gutter_do_not_hide_each_other():
    held = {"Projection": sk.Projection(), "Reparametrization": sk.Reparametrization(),
            "Freeze": sk.Freeze()}  # fmt: skip
    same = comparison({k: (s, [0.0], [0.9], [0.9]) for k, s in held.items()})
    ax = drawn(plots.tradeoff(same))
    places = [
        line.get_transform().transform(line.get_xydata())[0]
        for label in held
        for line in mark(ax, label, same)
    ]
    apart = min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) * 72 / ax.figure.dpi
    assert len(places) == 3
    assert apart > 9


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_up_is_better(better, sign):
    runs = {"Freeze": (sk.Freeze(), [0.1], [1.0], [1.0]), "x": (sk.Penalty(1), [1.0], [3.0], [3.0])}
    ax = plots.tradeoff(comparison(runs, better=better))
    low, high = ax.transData.transform([(0.1, 1.0), (0.1, 3.0)])[:, 1]
    assert np.sign(high - low) == sign
    assert "up is better" in ax.get_ylabel()
    assert "unit: weight" in ax.get_xlabel()


def test_a_sweep_is_joined_in_the_order_of_its_strength_and_named_once(found):
    ax = plots.tradeoff(found)
    means = [np.mean([RUNS[k][1], RUNS[k][2]], axis=1) for k in list(RUNS)[1:4]]
    color = plots.look(sk.Penalty(1.0), ax)["color"]
    paths = [line.get_xydata() for line in ax.lines if line.get_color() == color]
    assert any(np.shape(path) == (3, 2) and np.allclose(path, means) for path in paths)
    assert {"Penalty 0.1", "1", "10"} <= set(words(ax))
    assert not {"Penalty 1", "Penalty 10"} & set(words(ax))
    dashes = {
        str(a.arrow_patch.get_linestyle())
        for a in ax.texts
        if isinstance(a, Annotation)
        and not a.get_text()
        and to_hex(a.arrow_patch.get_ec()) == color
    }
    assert len(dashes) == 3


def test_the_fairness_line_stands_under_every_plane(found):
    ax = drawn(plots.tradeoff(found))
    line = next(text for text in ax.texts if "Cut, not retrained." in text.get_text())
    flat = line.get_text().replace("\n", " ")
    assert "Retraining after the cut is another strategy (Staged) and has its own dot." in flat
    assert line.get_window_extent().y1 < ax.xaxis.label.get_window_extent().y0


@pytest.mark.parametrize("size", [(7.4, 5.2), (10, 6), (5.5, 4)])
def test_names_on_the_plane_cover_neither_each_other_nor_a_mark(found, size):
    ax = drawn(plots.tradeoff(found, ax=plt.figure(figsize=size).add_subplot()))
    marks = [
        line for line in ax.lines if line.get_markersize() == 9 and line.get_marker() != "None"
    ]
    places = [m.get_transform().transform(m.get_xydata())[0] for m in marks]
    short = {"Penalty 1": "1", "Penalty 10": "10"}
    wanted = {short.get(label, label).replace(" ", "") for label in RUNS}
    named = [t for t in ax.texts if "".join(t.get_text().split()) in wanted]
    assert len(named) == len(RUNS)
    boxes = [Text.get_window_extent(text) for text in named]
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not [1 for box in boxes for x, y in places if box.contains(x, y)]
    frame = ax.bbox.padded(3)
    assert all(frame.contains(b.x0, b.y0) and frame.contains(b.x1, b.y1) for b in boxes)


def test_a_guess_is_a_hollow_diamond_where_the_reader_put_it(found):
    guess = {"Projection": (0.03, 0.7), "Unconstrained": [(1.5, 0.9), (0, 0.5)], "Freeze": None}
    ax = plots.tradeoff(found, guess=guess)
    diamonds = [
        line for line in ax.lines if line.get_marker() == "D" and line.get_markersize() == 12
    ]
    points = sorted(tuple(line.get_xydata()[0]) for line in diamonds)
    assert points == [(0.0, 0.5), (0.03, 0.7), (1.5, 0.9)]
    assert {line.get_markerfacecolor() for line in diamonds} == {"none"}
    low, high = ax.get_xlim()
    assert low < 0 < 1.5 < high
    blue = plots.look(sk.Projection(), ax)["color"]
    assert [line.get_markeredgecolor() for line in diamonds].count(blue) == 1
    ties = [line.get_xydata() for line in ax.lines if line.get_linestyle() == ":"]
    assert any(np.allclose(tie, [(0.03, 0.7), (0, 2.84 / 3)]) for tie in ties)
    assert any(np.allclose(tie, [(0, 0.5), (0, 0.15)]) for tie in ties)  # About what is left.


def test_a_single_point_is_a_guess_too(found):
    ax = plots.tradeoff(found, guess=(0.01, 0.6))
    assert "your guess" in words(ax)
    assert any(np.array_equal(line.get_xydata(), [(0.01, 0.6)]) for line in ax.lines)


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ({"Projektion": (0, 1)}, "got 'Projektion'; did you mean 'Projection'"),
        ({"zzz": (0, 1)}, "got 'zzz'; there are .*'Freeze'"),
        (80, r"a guess as \(violation, metric\).* got 80; for example"),
        ({"Freeze": (-1, 0.5)}, "violation from 0 up, got"),
        ({"Freeze": "high"}, "got 'high'"),
        ((0.1, float("nan")), "finite"),
    ],
)
def test_a_guess_that_is_no_point_is_refused_with_the_way_out(found, guess, message):
    with pytest.raises(ValueError, match=message):
        plots.tradeoff(found, guess=guess)


def test_a_diverged_strategy_is_named_but_not_drawn():
    found = comparison(RUNS, diverged={("Penalty 10", 1)})
    ax = plots.tradeoff(found)
    assert len(arrows(ax)) == 3
    note = " ".join(words(ax)).replace("\n", " ")
    assert "Not drawn: Penalty 10, diverged by step 50 in 1 of 3 seeds." in note
    assert "10" not in words(ax)


@pytest.mark.parametrize("violation", [0.0, 1e-9, 3.0])
def test_one_seed_one_strategy(violation):
    runs = {"Projection": (sk.Projection(), [violation], [0.9], [0.9])}
    ax = drawn(plots.tradeoff(comparison(runs)))
    assert len(arrows(ax)) == (violation > 0)
    assert not [line for line in ax.lines if line.get_markersize() == 3.6]


@pytest.mark.parametrize("low", [1e-7, 1e-3, 0.5, 40.0])
def test_the_zero_axis_is_monotone_and_shows_exact_zero_apart(low):
    runs = {"a": (sk.Penalty(1.0), [low, 8 * low], [0.5, 0.6], [0.5, 0.6])}
    ax = plots.tradeoff(comparison(runs))
    values = np.array([0, low / 1e3, low, 3 * low, 8 * low])
    places = ax.transData.transform(np.stack([values, 0 * values], 1))[:, 0]
    assert (np.diff(places) > 0).all()
    assert places[2] - places[0] > 20  # Pixels between exactly 0 and the smallest value.
    ticks = dict(zip(ax.get_xticks(), [t.get_text() for t in ax.get_xticklabels()], strict=True))
    assert ticks.pop(0.0) == "exactly 0"
    assert all(np.log10(tick) == pytest.approx(round(np.log10(tick))) for tick in ticks)


# Learning curves


@pytest.mark.parametrize("y", ["metric", "metric_held", "loss"])
def test_lines_are_means_and_bands_are_ranges(found, y):
    ax = plots.training(found, y)
    rows = found.frame[found.frame["strategy"] == "Unconstrained"][["step", y]]
    rows = rows.dropna().groupby("step")[y]
    gray = plots.look(sk.Unconstrained(), ax)["color"]
    line = next(line for line in ax.lines if line.get_color() == gray)
    assert np.allclose(line.get_xydata(), rows.mean().reset_index())
    band = next(c for c in ax.collections if to_hex(c.get_facecolor()[0]) == gray)
    corners = band.get_paths()[0].vertices
    for step, (low, high) in rows.agg(["min", "max"]).iterrows():
        at = corners[np.isclose(corners[:, 0], step), 1]
        assert (at.min(), at.max()) == pytest.approx((low, high))


def test_curves_that_are_zero_throughout_lie_side_by_side_on_the_shelf(found):
    ax = drawn(plots.training(found, "violation"))
    shelf = next(p for p in ax.patches if p.get_facecolor()[:3] == to_rgb(ink.Ink.of(ax).shelf))
    box = shelf.get_window_extent()
    held = [sk.Projection(), sk.Reparametrization(), sk.Freeze(), STAGED]
    heights = []
    for strategy in held:
        color = plots.look(strategy, ax)["color"]
        line = next(line for line in ax.lines if line.get_color() == color)
        assert not line.get_ydata().any()
        heights.append(line.get_transform().transform((0, 0))[1])
    assert all(box.y0 < height < box.y1 for height in heights)
    assert min(abs(a - b) for a, b in combinations(heights, 2)) >= 3
    color = plots.look(sk.Unconstrained(), ax)["color"]
    line = next(line for line in ax.lines if line.get_color() == color)
    assert ax.transData.transform(line.get_xydata()[-1])[1] > box.y1


def test_marks_and_names_at_the_ends_are_pushed_apart():
    same = {label: (run[0], [0.1, 0.2], [0.9, 0.9], [0.9, 0.9]) for label, run in RUNS.items()}
    ax = drawn(plots.training(comparison(same)))
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text() in same]
    assert len(boxes) == len(same)
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    ends = [line for line in ax.lines if line.get_markersize() == 7 and line.get_marker() != "None"]
    heights = sorted(line.get_ydata()[0] for line in ends)
    assert len(heights) == len(same)
    assert min(b - a for a, b in pairwise(heights)) >= 10 * ax.figure.dpi / 72
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("seed", range(20))
def test_spreading_is_least_squares(seed):
    draws = np.random.default_rng(seed)
    wanted, gap = draws.normal(size=8) * 5, float(draws.uniform(0.1, 4))
    result, order = labels.spread(wanted, gap), np.argsort(wanted)
    assert (np.diff(result[order]) >= gap - 1e-9).all()
    steps = gap * np.arange(8)
    exact = IsotonicRegression().fit_transform(np.arange(8), wanted[order] - steps) + steps
    assert np.allclose(result[order], exact)


def test_a_diverged_run_ends_in_a_cross_at_its_last_number():
    ax = plots.training(comparison(RUNS, diverged={("Freeze", 0)}))
    cross = next(line for line in ax.lines if line.get_color() == ink.Ink.of(ax).bad)
    assert tuple(cross.get_xydata()[0]) == pytest.approx((0, 0.405))
    assert "Freeze, diverged" in words(ax)


def test_a_run_without_any_number_is_left_out():
    found = comparison(RUNS, diverged={("Freeze", 0)})
    found.frame.loc[found.frame["strategy"] == "Freeze", "diverged"] = True
    assert not [word for word in words(drawn(plots.training(found))) if "Freeze" in word]


def test_an_unknown_curve_is_refused_with_the_closest(found):
    with pytest.raises(ValueError, match="y='metric_hold'; did you mean 'metric_held'"):
        plots.training(found, "metric_hold")
    with pytest.raises(ValueError, match=r"there are \['loss', 'metric'"):
        plots.training(found, "strategy")


# Table


def rows_of(ax):
    """Row -> words from left to right, as they are drawn."""
    found = {}
    for text in ax.texts:
        if text.get_text() and not isinstance(text, Annotation):
            found.setdefault(round(text.get_position()[1]), []).append(text)
    place = {"left": 0, "right": 1}
    return {
        y: [
            t.get_text()
            for t in sorted(ts, key=lambda t: t.get_position()[0] + place[t.get_ha()] / 99)
        ]
        for y, ts in sorted(found.items())
    }


def test_the_table_shows_the_summary(found):
    rows = rows_of(plots.table(found, reference="Projection"))
    summary = found.summary(reference="Projection")
    head = rows.pop(-1)
    assert [word.replace("\n", " ") for word in head] == [
        "strategy", "shape holds", "accuracy", "accuracy held",
        "held, against Projection (95 %)", "worst violation", "time"]  # fmt: skip
    for (label, row), shown in zip(summary.iterrows(), rows.values(), strict=True):
        half = (row["high"] - row["low"]) / 2
        paired = f"{row['difference']:+.3f} ± {half:.3f}".replace("-", "−")
        assert shown == [
            label,
            row["holds"],
            f"{row['metric']:.3f}",
            f"{row['metric_held']:.3f}",
            "reference" if label == "Projection" else paired,
            "0" if row["violation"] == 0 else f"{row['violation']:.3g}",
            "2.0 s",
        ]


def test_the_held_metric_is_bold_and_nothing_else_is(found):
    ax = plots.table(found)
    bold = {text.get_text() for text in ax.texts if text.get_weight() == "bold"}
    assert bold == {"accuracy held", *(f"{np.mean(run[3]):.3f}" for run in RUNS.values())}


def test_a_diverged_row_has_no_numbers():
    ax = plots.table(comparison(RUNS, diverged={("Penalty 1", 0), ("Penalty 1", 1)}))
    row = next(row for row in rows_of(ax).values() if row[0] == "Penalty 1")
    assert row == ["Penalty 1", "no promise",
                   "diverged by step 50 in 2 of 3 seeds; not ranked", "2.0 s"]  # fmt: skip


@pytest.mark.parametrize(("better", "right"), [("higher", True), ("lower", False)])
def test_a_whisker_to_the_right_is_better(better, right):
    runs = {
        "Projection": (sk.Projection(), [0.0] * 3, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        "Freeze": (sk.Freeze(), [0.0] * 3, [2.1, 2.9, 4.0], [2.1, 2.9, 4.0]),
    }
    found = comparison(runs, better=better)
    ax = plots.table(found)
    dot = next(line for line in mark(ax, "Freeze", found, size=6))
    middle = next(c for c in ax.collections).get_segments()[0][0, 0]
    assert (dot.get_xdata()[0] > middle) == right
    color = plots.look(sk.Freeze(), ax)["color"]
    bar = next(
        line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) == 2
    )
    low, high = sorted(bar.get_xdata())
    row = found.summary().loc["Freeze"]
    share = (row["high"] - row["low"]) / 2 / abs(row["difference"])
    assert (high - low) / 2 / abs(dot.get_xdata()[0] - middle) == pytest.approx(share)


def test_a_difference_off_the_scale_is_an_arrow():
    """Small differences stay visible beside a huge one."""
    seeds = np.array([0.0, 0.001, 0.002])
    ends = {"Projection": 0.9, "Unconstrained": 0.1, "Freeze": 0.88, "Reparametrization": 0.91,
            "Penalty 1": 0.895}  # fmt: skip
    runs = {
        k: (RUNS[k][0], [0.0] * 3, *[v + seeds * (k != "Projection")] * 2) for k, v in ends.items()
    }
    found = comparison(runs)
    ax = drawn(plots.table(found))
    [(start, end)] = arrows(ax).items()
    assert start[1] == list(runs).index("Unconstrained")
    assert start[0] > end[0]  # To the left: worse.
    freeze, middle = mark(ax, "Freeze", found, size=6)[0], ax.collections[0].get_segments()[0][0, 0]
    assert middle - freeze.get_xdata()[0] > 0.01


def test_one_seed_has_no_interval():
    runs = {k: (run[0], *(v[:1] for v in run[1:])) for k, run in RUNS.items()}
    ax = drawn(plots.table(comparison(runs)))
    assert not [word for word in words(ax) if "±" in word]
    assert any("no interval" in word for word in words(ax))


def test_an_unknown_reference_is_refused_with_the_closest(found):
    with pytest.raises(ValueError, match="'Projektion'; did you mean 'Projection'"):
        plots.table(found, reference="Projektion")


# Wiring


def circles(ax):
    return {p.get_gid(): p for p in ax.patches if isinstance(p, Circle) and p.get_gid()}


def heads(ax):
    """Arrowheads: "source→target" -> corners."""
    return {p.get_gid(): p.get_xy() for p in ax.patches if isinstance(p, Polygon) and p.get_gid()}


def shafts(ax):
    return {p.get_gid(): p for p in ax.patches if isinstance(p, PathPatch) and p.get_gid()}


ROW = [sk.Region(name, 9, position=(140 * i, 0)) for i, name in enumerate("abcde")]
GRAPHS = {
    "row": sk.RegionGraph(ROW, [sk.Pathway(a.name, b.name) for a, b in combinations(ROW, 2)]),
    "3": three(),
    "5": sk.regions.with_memory(),
    "6": sk.regions.two_hemispheres(),
    "12": sk.regions.macaque_visual(),
    "24": sk.regions.small_world(),
    "uneven": sk.RegionGraph(
        [sk.Region(name, size) for name, size in {"a": 1, "b": 200, "c": 37}.items()],
        [sk.Pathway("a", "b", 0.1), sk.Pathway("b", "a", 0.9), sk.Pathway("c", "b", known=False)],
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_areas_are_in_proportion_to_sizes(name):
    found = circles(plots.wiring(GRAPHS[name]))
    shares = [found[r.name].radius ** 2 / r.size for r in GRAPHS[name].regions]
    assert len(found) == len(GRAPHS[name].regions)
    assert np.allclose(shares, shares[0])


@pytest.mark.parametrize("name", GRAPHS)
def test_circles_do_not_touch(name):
    found = circles(plots.wiring(GRAPHS[name])).values()
    for a, b in combinations(found, 2):
        assert np.hypot(*np.subtract(a.center, b.center)) > a.radius + b.radius + 2


@pytest.mark.parametrize("name", GRAPHS)
def test_every_pathway_has_a_head_that_points_from_source_to_target(name):
    graph = GRAPHS[name]
    ax = plots.wiring(graph)
    at, found = circles(ax), {k: v for k, v in heads(ax).items() if "→" in k}
    assert set(found) == {f"{p.source}→{p.target}" for p in graph.pathways}
    for p in graph.pathways:
        corners, target = found[f"{p.source}→{p.target}"], at[p.target]
        tip, back = corners[0], corners[2]
        gap = np.linalg.norm(tip - target.center) - target.radius
        assert 0 < gap < 6
        assert np.linalg.norm(back - target.center) > np.linalg.norm(tip - target.center)
        assert np.linalg.norm(tip - at[p.source].center) > at[p.source].radius


def test_a_pair_is_two_lines_up_to_eight_regions_and_one_beyond():
    few, many = sk.regions.with_memory(), sk.regions.macaque_visual()
    assert len(shafts(plots.wiring(few))) == len(few.pathways)
    ends = {(p.source, p.target): p.known for p in many.pathways}
    pairs = sum(ends.get((b, a)) == known for (a, b), known in ends.items()) // 2
    assert len(shafts(plots.wiring(many))) == len(ends) - pairs < len(ends)


def test_denser_is_thicker_and_never_tested_is_dashed():
    found = shafts(plots.wiring(sk.regions.with_memory()))
    width = {name: patch.get_linewidth() for name, patch in found.items()}
    assert width["association→memory"] < width["visual→association"] < width["association→motor"]
    dashed = {name for name, patch in found.items() if patch.get_linestyle() not in ("-", "solid")}
    assert dashed == {"visual→motor"}
    assert {"0.25", "0.10", "0.50", "never tested"} <= set(words(plots.wiring(GRAPHS["5"])))


@pytest.mark.parametrize("name", ["3", "5", "6", "12", "uneven"])
def test_lines_keep_clear_of_regions_they_do_not_join(name):
    ax = plots.wiring(GRAPHS[name])
    at = circles(ax)
    for gid, patch in shafts(ax).items():
        for other in set(at) - set(gid.split("→")):
            away = np.linalg.norm(patch.get_path().vertices - at[other].center, axis=1).min()
            assert away > at[other].radius, (gid, other)


def test_a_line_bows_around_a_region_in_its_way_and_is_straight_otherwise():
    at, size = np.array([[0.0, 0], [100, 0], [50, 0], [0, 200], [100, 200]]), np.full(5, 10.0)
    around, free = routes.routed([(0, 1), (3, 4)], at, size, [False, False])
    assert abs(around) > 0.2
    assert free == 0


def test_what_comes_in_points_at_the_input_and_what_goes_out_away_from_the_output():
    ax = plots.wiring(sk.regions.with_memory())
    at, found = circles(ax), heads(ax)
    for gid, inward in {"input visual": 1, "input auditory": 1, "output motor": -1}.items():
        center = at[gid.split()[1]].center
        tip, back = (np.linalg.norm(found[gid][k] - center) for k in (0, 2))
        assert np.sign(back - tip) == inward
    assert len(found) == len(GRAPHS["5"].pathways) + 3
    assert words(ax).count("input") == 2


def test_inhibition_ends_in_a_crossbar():
    graph = sk.RegionGraph(
        [sk.Region("minus", 9, sign=-1), sk.Region("plus", 9, sign=1)],
        [sk.Pathway("minus", "plus"), sk.Pathway("plus", "minus")],
    )
    found = heads(plots.wiring(graph))
    bar, head = found["minus→plus"], found["plus→minus"]
    long, thin = sorted(np.linalg.norm(np.diff(bar[:3], axis=0), axis=1), reverse=True)
    assert long > 2 * thin
    assert len(bar) == len(head) == 5
    assert not np.isclose(np.diff(head[:3], axis=0)[0] @ np.diff(head[:3], axis=0)[1], 0)


def test_names_are_in_their_circle_or_beside_it():
    ax = drawn(plots.wiring(GRAPHS["uneven"]))
    at = circles(ax)
    for text in [text for text in ax.texts if text.get_text() in at]:
        circle, box = at[text.get_text()], text.get_window_extent()
        corners = ax.transData.inverted().transform([(box.x0, box.y0), (box.x1, box.y1)])
        away = np.linalg.norm(corners - circle.center, axis=1)
        nearest = np.linalg.norm(
            np.clip(circle.center, *np.sort(corners, axis=0)) - np.array(circle.center)
        )
        assert (away < circle.radius).all() or nearest >= circle.radius - 1


def test_weights_give_the_grays_and_leaks_are_dotted():
    graph = three()
    weights = torch.zeros(80, 80)
    weights[graph.slices["middle"], graph.slices["eye"]] = -2.0
    weights[graph.slices["hand"], graph.slices["eye"]] = 1.0  # Nobody drew that.
    ax = plots.wiring(graph, weights)
    found = shafts(ax)
    assert set(found) == {"eye→middle", "middle→hand", "eye→hand"}
    assert found["eye→hand"].get_linestyle() not in ("-", "solid")
    dark = {k: linear(p.get_edgecolor()[:3]).mean() for k, p in found.items()}
    assert dark["eye→middle"] < dark["eye→hand"] < dark["middle→hand"]
    assert ax.figure.axes[1].get_ylabel() == "mean |weight|"
    assert ax.figure.axes[1].get_ylim() == (0, 2)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"80 units of the graph, \(80, 80\), got \(3, 3\)"):
        plots.wiring(three(), np.eye(3))


def test_in_a_crowd_each_region_keeps_its_strongest_pathways():
    draws = np.random.default_rng(0)
    names = [f"area {i}" for i in range(40)]
    ways = [(a, b) for a in names for b in names if a != b and draws.random() < 0.3]
    graph = sk.RegionGraph(
        [sk.Region(name, int(draws.integers(4, 40))) for name in names],
        [sk.Pathway(a, b, density=float(draws.uniform(0.01, 1))) for a, b in ways],
    )
    ax = drawn(plots.wiring(graph))
    full = {frozenset(gid.split("→")) for gid in shafts(ax)}
    for name in names:
        own = [p for p in graph.pathways if name in (p.source, p.target)]
        best = max(own, key=lambda p: p.density)
        assert frozenset((best.source, best.target)) in full
    assert len(full) <= 80 < len(ways)
    assert set(names) <= set(words(ax))
    boxes = [Text.get_window_extent(t) for t in ax.texts if t.get_text() in names]
    assert sum(a.overlaps(b) for a, b in combinations(boxes, 2)) <= 2


def test_levels_are_named_over_their_columns():
    graph = sk.regions.macaque_visual()
    ax = plots.wiring(graph)
    assert {f"{level:g}" for level in graph.levels.values()} <= set(words(ax))
    one = next(text for text in ax.texts if text.get_text() == "1")
    assert one.get_position()[0] == pytest.approx(circles(ax)["V1"].center[0])


def test_a_graph_without_regions_says_so():
    assert "no regions yet" in words(drawn(plots.wiring(sk.RegionGraph())))


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("leaky", [False, True])
def test_all_of_a_drawing_is_inside_its_axes(name, leaky):
    graph = GRAPHS[name]
    ax = plots.wiring(graph, np.ones((graph.units, graph.units)) if leaky else None)
    left, right, bottom, top = (*ax.get_xlim(), *ax.get_ylim())
    for patch in [*shafts(ax).values(), *(p for p in ax.patches if isinstance(p, Polygon))]:
        x, y = patch.get_path().vertices.T
        assert left < x.min() <= x.max() < right
        assert top < y.min() <= y.max() < bottom


def test_evidence_counts_where_there_is_any():
    graph = sk.RegionGraph(
        [sk.Region("a", 1), sk.Region("b", 1)],
        [sk.Pathway("a", "b", evidence=(65, 0)), sk.Pathway("b", "a", evidence=(2, 1))],
    )
    strong, weak = (sketch.strength(p, graph) for p in graph.pathways)
    assert strong == 1
    assert weak == pytest.approx(np.log(3) / np.log(66))


# Matrix


def image(ax):
    return ax.images[0].get_array()


def gray(ax, target, source):
    picture = ax.images[0]
    value = picture.get_array()[target, source]
    return None if value is np.ma.masked else picture.cmap(picture.norm(value))


def test_rows_receive_and_columns_send():
    weights = torch.zeros(6, 4)
    weights[5, 1] = -3.0  # From source 1 to target 5.
    ax = plots.matrix(weights)
    assert image(ax).shape == (6, 4)
    assert image(ax)[5, 1] == 3
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("from", "to")
    low, high = ax.transData.transform([(1, 5), (1, 0)])[:, 1]
    assert low < high  # The first row is on top.


def test_closed_and_zero_are_told_apart():
    weights, mask = np.array([[0.0, 0.0], [0.5, 1.0]]), np.array([[True, False], [False, True]])
    ax = plots.matrix(weights, mask=mask)
    paper = to_rgb(ax.get_facecolor())
    assert gray(ax, 0, 1) is None  # Closed and 0: blank.
    assert contrast(gray(ax, 0, 0)[:3], paper) > 1.2  # Open and 0: a faint gray.
    assert gray(ax, 1, 0) is not None  # Closed and not 0: a leak.
    assert to_hex(ax.images[0].cmap.get_bad()) == to_hex(paper)
    assert "closed, exactly 0" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("theme", THEMES)
def test_larger_weights_have_more_ink(log, theme):
    with plt.style.context(theme):
        ax = plots.matrix(np.array([[1e-6, 0.01, 0.1, 0.5, 2.0]]), limit=1.0, log=log)
        ground = to_rgb(ax.get_facecolor())
        inks = [contrast(gray(ax, 0, k)[:3], ground) for k in range(5)]
    assert (np.diff(inks[:4]) > 0).all()
    assert inks[4] >= inks[3]
    assert inks[0] > 1.2


def test_the_same_limit_gives_the_same_gray():
    a = plots.matrix(np.array([[0.2, 0.9]]), limit=1.0)
    b = plots.matrix(np.array([[0.2, 0.3]]), limit=1.0)
    c = plots.matrix(np.array([[0.2, 0.3]]))
    assert gray(a, 0, 0) == gray(b, 0, 0) != gray(c, 0, 0)


def test_a_mask_says_how_much_is_open():
    graph = three()
    ax = plots.matrix(graph.mask(), graph)
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["open: 2\u2009432 of 6\u2009400 (38 %)", "closed"]
    assert np.array_equal(~np.ma.getmaskarray(image(ax)), graph.mask().numpy())


def test_borders_and_names_stand_where_the_regions_do():
    graph = sk.regions.with_memory()
    ax = plots.matrix(graph.mask(), graph)
    borders = [
        line.get_ydata()[0] for line in ax.lines if line.get_ydata()[0] == line.get_ydata()[1]
    ]
    ends = [part.stop - 0.5 for part in graph.slices.values()][:-1]
    assert np.allclose(sorted(b for b in borders if b > 1), ends)
    for axis in (ax.xaxis, ax.yaxis):
        named = dict(
            zip([t.get_text() for t in axis.get_ticklabels()], axis.get_ticklocs(), strict=True)
        )
        assert set(named) == set(graph.names)
        for name, part in graph.slices.items():
            assert named[name] == pytest.approx((part.start + part.stop - 1) / 2)


def test_many_names_leave_each_other_room():
    graph = sk.RegionGraph([sk.Region(f"area {i}", 1 + i % 7) for i in range(40)])
    ax = drawn(plots.matrix(graph.mask() if not graph.problems() else np.eye(graph.units), graph))
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert len(boxes) >= 15
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_a_graph_is_a_matrix_of_pairs():
    graph = sk.regions.macaque_visual()
    ax = plots.matrix(graph)
    at = {name: i for i, name in enumerate(graph.names)}
    cells = {tuple(np.round(p.get_window_extent().get_points().mean(0), 3)): p for p in ax.patches}
    place = {
        key: cell
        for key, cell in (
            (tuple(np.round(ax.transData.inverted().transform(k)).astype(int)), c)
            for k, c in cells.items()
        )
    }
    known = {(at[p.source], at[p.target]) for p in graph.pathways if p.known}
    unsure = {(at[p.source], at[p.target]) for p in graph.pathways if not p.known}
    inside = {(i, i) for i in range(12)}
    assert set(place) == known | unsure | inside
    assert {k for k, c in place.items() if c.get_facecolor()[3] == 0} == unsure
    dots = {tuple(xy) for xy in ax.lines[0].get_xydata().astype(int)}
    assert dots == {(at[a], at[b]) for a, b in graph.tested_absent}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.matrix(np.zeros(3)), r"a matrix \(target, source\), got shape \(3,\)"),
        (lambda: plots.matrix(np.zeros((4, 4)), three()), r"80 units .* got \(4, 4\)"),
        (lambda: plots.matrix(np.zeros((4, 4)), mask=np.ones((4, 3))), r"mask of shape \(4, 4\)"),
    ],
)
def test_what_is_no_matrix_or_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Bars


def test_bars_are_means_with_a_dot_for_each_seed():
    groups = {"intact": {"left": [0.9, 1.0], "right": [0.8]}, "cut": {"left": [0.1, 0.3]}}
    ax = plots.bars(groups, y="accuracy")
    heights = sorted(round(float(bar.get_height()), 6) for bar in ax.patches)
    assert heights == [0.2, 0.8, 0.95]
    dots = sorted(y for line in ax.lines for y in line.get_ydata())
    assert dots == [0.1, 0.3, 0.8, 0.9, 1.0]
    assert {"0.950", "0.800", "0.200"} == set(words(ax))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right"]
    fills = {to_hex(bar.get_facecolor()) for bar in ax.patches}
    assert len(fills) == 2
    for bar in ax.patches:
        inside = [
            line
            for line in ax.lines
            if bar.get_x() < line.get_xdata()[0] < bar.get_x() + bar.get_width()
        ]
        assert np.mean(inside[0].get_ydata()) == pytest.approx(bar.get_height())


@pytest.mark.parametrize("groups", [{}, {"a": []}, {"a": {"x": [1.0]}, "b": {"x": []}}])
def test_bars_without_values_are_refused(groups):
    with pytest.raises(ValueError, match=r"values for every bar, got none for (any|.*'a'|.*'b x')"):
        plots.bars(groups)
