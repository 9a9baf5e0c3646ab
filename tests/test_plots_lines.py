"""Lines that may fall to exactly 0."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from shapekeeper import plots
from shapekeeper.strategies import Projection


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(ax):
    """The curves themselves, without marks and leaders beside them."""
    return [line for line in ax.lines if len(line.get_xdata()) > 3]


def test_a_line_is_the_mean_of_its_seeds_from_step_1_and_the_band_their_range():
    seeds = np.array([[0.1, 0.2, 0.4, 0.8], [0.3, 0.4, 0.6, 1.0]])
    ax = plots.lines({"leak": seeds})
    (line,) = drawn(ax)
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.3, 0.5, 0.9])
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.1, 1.0)


def test_exactly_zero_lies_on_the_shelf_and_lines_there_side_by_side():
    ax = plots.lines({"asked": np.geomspace(1, 0.01, 9), "one": np.zeros(9), "two": np.zeros(9)})
    assert ax.get_yticklabels()[0].get_text() == "exactly 0"
    asked, one, two = drawn(ax)
    assert asked.get_ydata().min() == 0.01
    ax.figure.canvas.draw()
    places = [line.get_transform().transform((5, line.get_ydata()[4]))[1] for line in (one, two)]
    assert places[0] - places[1] > 3
    low, _ = ax.get_ylim()
    assert low < 0 < 0.01


def test_a_strategy_keeps_its_color_and_others_get_their_own():
    look = plots.look(Projection())
    ax = plots.lines({"a": [1, 2, 3, 4], "held": [1, 2, 3, 4]}, looks={"held": look})
    first, held = drawn(ax)
    assert held.get_color() == look["color"] != first.get_color()


def test_a_guess_is_a_hollow_diamond_at_the_end_and_none_is_left_out():
    curves = {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.0, 0.0, 0.0, 0.0]}
    ax = plots.lines(curves, guess={"a": 7.0, "b": None})
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (4, 7.0)
    assert diamond.get_markerfacecolor() == "none"
    assert ax.get_ylim()[1] > 7


@pytest.mark.parametrize(
    ("curves", "guess", "words"),
    [
        ({}, None, "at least one line, got none"),
        ({"a": []}, None, "numbers from 0 up.*'a'; got shape"),
        ({"a": [1.0, -1.0]}, None, "smallest -1.0"),
        ({"a": [1.0, np.nan]}, None, "finite numbers from 0 up"),
        ({"a": [1.0]}, {"b": 1.0}, "a guess for one of the lines, got 'b'; there are"),
        ({"hook": [1.0]}, {"hok": 1.0}, "did you mean 'hook'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(curves, guess, words):
    with pytest.raises(ValueError, match=words):
        plots.lines(curves, guess=guess)
