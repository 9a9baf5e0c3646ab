"""Lattices, words beside what was meant, and one number of runs against another."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import shapekeeper as sk
from shapekeeper import plots
from shapekeeper.plots.ink import Ink

FIVE = "aab|abc|bca|cab|cbc"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(params=["default", "dark_background"])
def style(request):
    with mpl.style.context(request.param):
        yield request.param


def written(ax):
    return [text.get_text() for text in ax.texts]


def thick(ax):
    """The thick lines as pairs of (slot, height), from left to right."""
    lines = [line for line in ax.lines if line.get_linewidth() > 3]
    return sorted(np.column_stack([line.get_xdata(), line.get_ydata()]).tolist() for line in lines)


# Lattice


@pytest.mark.parametrize("seed", range(6))
def test_the_thick_way_is_the_best_word_by_enumeration(seed):
    grammar = sk.Grammar(FIVE, length=3)
    scores = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
    best = max(grammar.examples(99), key=lambda w: (grammar.encode([w])[0] * scores).sum().item())
    ax = plots.lattice(grammar, scores)
    bold = {text.get_text(): text for text in ax.texts if text.get_weight() == "bold"}
    in_order = sorted(bold.values(), key=lambda text: text.get_position()[0])
    assert [text.get_text().split()[0] for text in in_order] == list(best)
    way = thick(ax)
    assert len(way) == 3
    # One way: each arrow begins where the one before ends.
    assert all(one[1] == other[0] for one, other in itertools.pairwise(way))


def test_what_is_largest_in_a_slot_is_said_to_be_taken_or_not():
    scores = torch.tensor([[1.2, 2.0, 0.3], [0.4, 0.1, 1.5], [1.1, 0.2, 1.9]])
    ax = plots.lattice(sk.Grammar(FIVE, length=3), scores)
    heads = [text for text in ax.texts if text.get_text().startswith("largest")]
    said = ["largest: b", "largest: c", "largest: c, not taken"]
    assert [text.get_text() for text in heads] == said
    colors = [text.get_color() for text in heads]
    assert (colors[0], colors[2]) == (Ink.of(ax).ink, Ink.of(ax).bad)


def test_a_lattice_without_scores_has_each_arrow_once_and_no_best_word():
    grammar = sk.tasks.interlingua("medium")
    ax = plots.lattice(grammar)
    arrows = sum(
        len({(s, t) for s, t in zip(*_ends(layer), strict=True)})
        for layer in grammar.lattice.layers
    )
    assert sum(len(line.get_xdata()) == 2 for line in ax.lines if line.get_marker() != "o") == (
        arrows
    )
    assert thick(ax) == []
    assert any("1,764 words" in text for text in written(ax))
    assert "child\nwoman\ndog\n+ 3" in written(ax)


def _ends(layer):
    sources, _ = np.nonzero(layer.open)
    return sources.tolist(), layer.targets[layer.open].tolist()


def test_minus_signs_are_real_ones(style):
    ax = plots.lattice(sk.Grammar("ab|ba", length=2), [[-1.0, 0.0], [2.0, 0.0]])
    assert "a  −1.0" in written(ax)


def test_scores_of_another_shape_and_wide_lattices_are_refused():
    with pytest.raises(ValueError, match=r"\(length, symbols\) = \(3, 3\), got \(2, 3\)"):
        plots.lattice(sk.Grammar(FIVE, length=3), torch.zeros(2, 3))
    draw = torch.Generator().manual_seed(0)
    words = {"".join("abc"[k] for k in torch.randint(3, (9,), generator=draw)) for _ in range(99)}
    with pytest.raises(ValueError, match="at most 40 states a layer"):
        plots.lattice(sk.Grammar.from_words(words))


# Words


def test_a_cell_is_shaded_exactly_where_said_and_meant_agree(style):
    said, meant = [("a", "b", "c"), ("a", "a", "a")], [("a", "c", "c"), ("a", "a", "a")]
    ax = plots.words(said, meant, ["one", "two"], slots=("x", "y", "z"))
    shaded = [patch.get_linewidth() > 1 for patch in ax.patches]
    assert shaded == [True, False, True, True, True, True]
    assert any("Whole words that are true: 1 of 2." in t.replace("\n", " ") for t in written(ax))
    assert {"one", "two", "x", "y", "z"} <= set(written(ax))


@pytest.mark.parametrize(
    ("said", "meant", "texts"),
    [([("a",)], [("a",), ("b",)], ["t"]), ([("a", "b")], [("a",)], ["t"]), ([], [], [])],
)
def test_words_that_do_not_fit_are_refused(said, meant, texts):
    with pytest.raises(ValueError, match="as many words said as meant and texts"):
        plots.words(said, meant, texts)


# Scatter

POINTS = {"tight": [(0, 0.2), (0, 0.4)], "loose": [(5, 0.8), (5, 0.9), (5, 1.0)]}


def test_marks_stand_at_means_and_every_seed_has_a_dot():
    ax = plots.scatter(POINTS, x="bits", y="right")
    singles = [line for line in ax.lines if len(line.get_xdata()) == 1]
    means = [(line.get_xdata()[0], line.get_ydata()[0]) for line in singles]
    assert means == [(0, pytest.approx(0.3)), (5, pytest.approx(0.9))]
    assert sorted(len(line.get_xdata()) for line in ax.lines) == [1, 1, 2, 3]
    assert {"tight", "loose"} <= set(written(ax))


def test_the_area_of_a_bubble_is_its_share_of_the_ring():
    ax = plots.scatter(POINTS, sizes={"tight": 0.25, "loose": 1.0}, size="different words")
    areas = [float(bubble.get_sizes()[0]) for bubble in ax.collections]
    assert areas[1] / areas[0] == pytest.approx(0.25)
    assert areas[3] / areas[2] == pytest.approx(1.0)
    assert any("Area of a bubble: different words" in text for text in written(ax))


def test_a_guess_is_a_hollow_diamond_over_its_mean():
    ax = plots.scatter(POINTS, guess={"tight": 0.9, "loose": None})
    (diamond,) = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert (diamond.get_marker(), diamond.get_xdata()[0], diamond.get_ydata()[0]) == ("D", 0, 0.9)


def test_a_line_joins_the_means_in_the_order_that_is_asked_for():
    ax = plots.scatter(POINTS, joined=["loose", "tight"])
    path = ax.lines[0]
    assert path.get_xdata().tolist() == [5, 0]
    np.testing.assert_allclose(path.get_ydata(), [0.9, 0.3])


def test_what_can_not_be_scattered_is_refused():
    with pytest.raises(ValueError, match="at least one group"):
        plots.scatter({})
    with pytest.raises(ValueError, match=r"points \(seeds, 2\) for 'a', got shape \(2,\)"):
        plots.scatter({"a": [1, 2]})
    with pytest.raises(ValueError, match="got 'tigth'; did you mean 'tight'"):
        plots.scatter(POINTS, guess={"tigth": 0.5})


def test_one_seed_is_called_so():
    assert "One seed." in written(plots.scatter({"a": [(0, 1)]}))


def test_a_strategy_has_its_color_on_light_and_on_dark_ground(style):
    ax = plots.scatter(POINTS, strategies={"tight": sk.Projection()})
    colors = {line.get_color() for line in ax.lines}
    assert plots.look(sk.Projection(), ax)["color"] in colors
    assert ("#73acfb" in colors) == (style == "dark_background")
