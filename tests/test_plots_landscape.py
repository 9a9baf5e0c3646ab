"""Paths of two weights over a loss."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from shapekeeper import plots
from shapekeeper.strategies import Penalty


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def bowl(a, b):
    return (a - 1) ** 2 + 4 * b**2


def drawn(paths, **more):
    return plots.landscape(bowl, paths, xlim=(-1, 3), ylim=(-2, 2), **more)


def test_a_path_is_drawn_through_all_its_points_and_marked_at_its_end():
    path = np.array([[-0.5, 1.0], [0.0, 0.5], [1.0, 0.0]])
    ax = drawn({"down": path}, x="a", y="b")
    line, dots, mark = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), path)
    np.testing.assert_array_equal(dots.get_xydata(), path)
    np.testing.assert_array_equal(mark.get_xydata(), path[-1:])
    assert [text.get_text() for text in ax.texts] == ["down"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 3), (-2, 2))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_lines_of_equal_height_are_where_the_height_says():
    ax = drawn({"stays": [(1.0, 0.0)]})
    (contours,) = ax.collections
    found = 0
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        a, b = path.vertices.T
        np.testing.assert_allclose(bowl(a, b), level, rtol=0.05, atol=0.01)
        found += len(a)
    assert found > 1000
    steps = np.diff(contours.levels)
    assert (np.diff(steps) > 0).all()  # closer together near the lowest point


def test_a_path_that_leaves_has_no_mark_and_its_name_where_it_was_seen_last():
    ax = drawn({"out": [(0.0, 0.0), (2.0, 1.5), (9.0, 9.0)]})
    assert len(ax.lines) == 2
    assert ax.texts[0].xy == (2.0, 1.5)
    assert ax.get_xlim() == (-1, 3)
    assert not drawn({"never seen": [(9.0, 9.0)]}).texts


def test_looks_are_those_that_are_given():
    look = plots.look(Penalty(1.0))
    ax = drawn({"asked": [(0, 0), (1, 1)], "other": [(0, 0), (1, -1)]}, looks={"asked": look})
    asked, other = (next(line for line in ax.lines if (1, y) == tuple(line.get_xydata()[-1]))
                    for y in (1, -1))  # fmt: skip
    assert asked.get_color() == look["color"] != other.get_color()


def test_it_draws_on_the_axes_it_is_given_and_on_dark_ground():
    figure, ax = plt.subplots(facecolor="#111111")
    ax.set_facecolor("#111111")
    assert drawn({"down": [(0, 0), (1, 1)]}, ax=ax) is ax
    figure.canvas.draw()
    assert ax.texts[0].get_color() == "#e0e0e0"


@pytest.mark.parametrize("path", [[1.0, 2.0], [[1.0, 2.0, 3.0]], np.zeros((0, 2))])
def test_anything_else_than_points_is_refused(path):
    with pytest.raises(ValueError, match=r"Wanted points \(steps, 2\) for 'down', got shape"):
        drawn({"down": path})
