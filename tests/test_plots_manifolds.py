"""Circles, spheres, spectra, laws and decisions."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from scipy import stats

from shapekeeper import plots
from shapekeeper.plots.ink import Ink
from shapekeeper.strategies import Projection


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def points_of(line):
    return np.column_stack([line.get_xdata(), line.get_ydata()])


def on_circle(angles):
    return np.column_stack([np.cos(angles), np.sin(angles)])


def written(ax):
    return [text.get_text() for text in ax.texts]


# Circle


def test_the_first_path_lies_on_the_circle_and_the_next_beside_it():
    path = on_circle(np.linspace(0, 1, 9))
    ax = plots.circle({"one": path, "two": path})
    drawn = [points_of(line) for line in ax.lines if len(line.get_xdata()) == 9]
    np.testing.assert_allclose(drawn[0], path)
    np.testing.assert_allclose(drawn[-1], 1.035 * path)
    assert {"one", "two"} <= set(written(ax))
    assert "side by side" in " ".join(written(ax))


def test_a_near_goal_is_a_star_where_it_is_and_its_nearest_point_a_ring():
    ax = plots.circle({"there": on_circle([0.0, 0.5])}, goal=(0.9, 1.2), radius=1.0)
    star, ring = (next(line for line in ax.lines if line.get_marker() == m) for m in "*o")
    np.testing.assert_allclose(points_of(star), [(0.9, 1.2)])
    ring = next(line for line in ax.lines if line.get_markerfacecolor() == "none")
    np.testing.assert_allclose(points_of(ring), [(0.6, 0.8)])
    assert "goal" in written(ax)


def test_a_far_goal_is_a_direction_that_says_so():
    ax = plots.circle(goal=(30, 40))
    star = next(line for line in ax.lines if line.get_marker() == "*")
    np.testing.assert_allclose(points_of(star), [(1.02, 1.36)])
    assert "goal (30, 40), farther this way" in written(ax)


def test_a_strategy_keeps_its_color_on_the_circle():
    look = plots.look(Projection())
    ax = plots.circle({"held": on_circle([0, 0.1, 0.2])}, looks={"held": look})
    assert look["color"] in {line.get_color() for line in ax.lines}


def test_a_cloud_has_a_dot_for_each_point_and_arrows_end_where_they_point():
    cloud = on_circle(np.linspace(0, 1, 33))
    ax = plots.circle(cloud=cloud, arrows={"push": ((1, 0), (0, 0.5))})
    np.testing.assert_allclose(points_of(ax.lines[2]), cloud)
    arrow = next(t for t in ax.texts if t.arrow_patch is not None and t.get_text() == "")
    assert (tuple(arrow.xy), tuple(arrow.get_position())) == ((1, 0.5), (1, 0))


def test_a_goal_in_the_middle_has_no_nearest_point():
    ax = plots.circle(goal=(0, 0), cloud=on_circle(np.linspace(0, 6, 9)))
    assert not [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert [word for word in written(ax) if word] == ["goal, as far from all"]


def test_a_ray_begins_in_the_middle_and_passes_through_its_point():
    ax = plots.circle(ray=(0.6, 0.8), radius=1.0)
    (ray,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert points_of(ray)[0].tolist() == [0, 0]
    np.testing.assert_allclose(points_of(ray)[1], 1.7 * np.array([0.6, 0.8]))


@pytest.mark.parametrize("path", [[(1, 0, 0)], [], [1.0]])
def test_what_is_no_path_on_a_circle_is_refused(path):
    with pytest.raises(ValueError, match=r"points \(steps, 2\) for 'p', got shape"):
        plots.circle({"p": path})


# Sphere


def test_points_in_front_are_stronger_than_those_behind_and_late_ones_than_early_ones():
    near, far = np.array([0.61, -0.73, 0.31]), np.array([-0.61, 0.73, -0.31])
    ax = plots.sphere([near, far] * 50, up="q₃")
    dots = [line for line in ax.lines if line.get_alpha() and line.get_marker() == "o"]
    seen = {True: [], False: []}
    for line in dots:
        x, _, z = (np.asarray(part) for part in line.get_data_3d())
        assert len({*x.tolist()}) == 1
        seen[bool(x[0] > 0)].append((line.get_alpha(), len(z)))
    front, behind = (np.array(seen[side]) for side in (True, False))
    assert front[:, 1].sum() == behind[:, 1].sum() == 50
    assert (front[:, 0] > 5 * behind[:, 0]).all()
    assert (np.diff(front[:, 0]) > 0).all()
    assert ax.texts[0].get_text() == "q₃"


def test_flat_axes_and_flat_paths_are_refused():
    with pytest.raises(ValueError, match=r"points \(steps, 3\), got shape \(1, 2\)"):
        plots.sphere([(1, 0)])
    with pytest.raises(ValueError, match="axes in space"):
        plots.sphere([(1, 0, 0)], plt.subplots()[1])


# Singular values


def test_singular_values_are_those_that_the_matrix_was_made_of(rng):
    turn, back = (np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(2))
    ax = plots.singular_values({"made": turn @ np.diag([1e3, 10, 1, 0.1, 1e-4]) @ back})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1e3, 10, 1, 0.1, 1e-4], rtol=1e-6)
    assert ax.get_yscale() == "log"


def test_what_rounding_decides_is_left_out_in_the_precision_of_the_matrix(rng):
    turn, back = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    matrix = turn @ np.diag([1, 1e-3, 1e-9]) @ back
    double, single = (
        len(plots.singular_values({"m": matrix.astype(kind)}).lines[0].get_ydata())
        for kind in (np.float64, np.float32)
    )
    assert (double, single) == (3, 2)
    assert "ends early" in " ".join(written(plots.singular_values({"m": matrix.astype("f4")})))


def test_several_seeds_are_a_mean_on_the_log_axis_and_a_band(rng):
    ax = plots.singular_values({"two": np.stack([np.eye(4), 100 * np.eye(4)])})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.full(4, 10.0))
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((1, 100))


@pytest.mark.parametrize(
    ("matrices", "words"),
    [({}, "got none"), ({"m": [1.0]}, "for 'm', got shape"), ({"m": [[np.nan]]}, "finite")],
)
def test_what_has_no_singular_values_is_refused(matrices, words):
    with pytest.raises(ValueError, match=words):
        plots.singular_values(matrices)


# Histogram


def test_bars_are_densities_and_the_law_is_averaged_over_each_bin(rng):
    law = stats.arcsine(-1, 2).cdf
    samples = np.sin(rng.uniform(0, 2 * np.pi, 50_000))
    ax = plots.histogram(samples, law=law, limits=(-1, 1), bins=20)
    heights = np.array([bar.get_height() for bar in ax.containers[0]])
    assert heights.sum() * 0.1 == pytest.approx(1)
    (steps,) = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    np.testing.assert_allclose(steps.get_data().values, np.diff(law(np.linspace(-1, 1, 21))) / 0.1)
    # The outer twentieth on both sides is beyond 0.9: .287 of the time, where even would be .1.
    assert heights[[0, -1]].sum() * 0.1 == pytest.approx(0.287, abs=0.01)


def test_the_band_holds_what_counting_alone_does(rng):
    ax = plots.histogram(rng.uniform(size=(100, 100)), law=np.copy, limits=(0, 1), bins=50)
    low, high = (f(ax.collections[0].get_paths()[0].vertices[:, 1]) for f in (np.min, np.max))
    heights = np.array([bar.get_height() for bar in ax.containers[0]])
    assert high - low == pytest.approx(4 * np.sqrt(0.02 * 0.98 / 10_000) / 0.02)
    assert ((heights > low) & (heights < high)).mean() > 0.85


def test_guesses_are_seen_even_where_they_are_far_off():
    ax = plots.histogram([0.2, 0.7], law=np.copy, limits=(0, 1), bins=2, guesses=[(0.25, 9.0)])
    marks = [line for line in ax.lines if line.get_marker() == "D"]
    assert all(line.get_zorder() > 4 for line in marks)
    np.testing.assert_allclose(points_of(marks[-1]), [(0.25, 9.0)])
    assert ax.get_ylim()[1] > 9
    assert "your guess" in written(ax)
    ax = plots.singular_values({"m": np.eye(3)}, guesses=[(2, 50.0)])
    np.testing.assert_allclose(points_of(ax.lines[-1]), [(2, 50.0)])
    assert ax.get_ylim()[1] > 50


def test_a_histogram_of_nothing_is_refused():
    with pytest.raises(ValueError, match="finite samples, at least one"):
        plots.histogram([], law=np.copy, limits=(0, 1))


# Running mean


def test_running_means_average_what_was_seen_and_the_band_is_of_the_chains(rng):
    chains = rng.normal(2.0, 1.0, size=(400, 60))
    ax = plots.running_mean({"a": chains}, truth=2.0, y="x")
    (line,) = [line for line in ax.lines if len(line.get_xdata()) == 60]
    np.testing.assert_allclose(line.get_ydata()[-1], chains.mean())
    band = ax.collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 60][:, 1]
    assert np.ptp(last) == pytest.approx(4 * chains.mean(1).std(ddof=1) / 20, rel=1e-6)
    assert "2.000" in written(ax)


def test_times_place_the_steps_and_one_chain_has_no_error():
    ax = plots.running_mean({"a": np.ones((2, 3))}, truth=1.0, times={"a": [0.5, 1.0, 1.5]})
    assert [line.get_xdata().tolist() for line in ax.lines if len(line.get_xdata()) == 3] == [
        [0.5, 1.0, 1.5]
    ]
    with pytest.raises(ValueError, match=r"\(chains, steps\) for 'a', got shape \(1, 3\)"):
        plots.running_mean({"a": np.ones((1, 3))}, truth=1.0)


# Decisions


def test_the_line_of_no_decision_is_where_the_logit_is_zero():
    data = np.array([(-1.0, -1.0), (1.0, 1.0), (1.0, -1.0)]), np.array([0, 1, 1])
    ax = plots.decisions(lambda x: x @ torch.tensor([[1.0], [2.0]]), data)
    (contour,) = ax.collections
    border = np.concatenate([path.vertices for path in contour.get_paths()])
    np.testing.assert_allclose(border @ [1, 2], 0, atol=1e-6)
    dots, triangles = (line for line in ax.lines if line.get_marker() in "o^")
    np.testing.assert_allclose(points_of(dots), [(-1, -1)])
    assert len(triangles.get_xdata()) == 2


def test_the_picture_is_the_right_way_up_and_surer_is_stronger():
    ax = plots.decisions(lambda x: 4 * x[:, 1], ([(0.0, 1.0), (0.0, -1.0)], [1, 0]))
    shades = ax.images[0].get_array()
    assert shades[0].max() < -0.9 < 0.9 < shades[-1].min()  # origin below
    assert ax.images[0].origin == "lower"


def test_a_network_that_always_says_the_same_has_no_line():
    ax = plots.decisions(lambda x: 1 + 0 * x[:, 0], ([(0.0, 1.0)], [1]), reach=2.0)
    assert not ax.collections
    assert ax.get_xlim() == (-2, 2)
    with pytest.raises(ValueError, match=r"points \(n, 2\), got shape \(3,\)"):
        plots.decisions(lambda x: x[:, 0], ([1.0, 2.0, 3.0], [0, 1, 1]))


# All of them


def each(ax, space):
    return {
        "circle": lambda: plots.circle({"p": on_circle([0, 1])}, ax, goal=(1, 2)),
        "sphere": lambda: plots.sphere([(1, 0, 0), (0, 1, 0)], space),
        "singular_values": lambda: plots.singular_values({"m": np.eye(3)}, ax),
        "histogram": lambda: plots.histogram([0.5], ax, law=np.copy, limits=(0, 1)),
        "running_mean": lambda: plots.running_mean({"a": np.eye(2)}, ax, truth=0.5),
        "decisions": lambda: plots.decisions(lambda x: x[:, 0], ([(1.0, 1.0)], [1]), ax),
    }


@pytest.mark.parametrize("name", list(each(None, None)))
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_plots_return_their_axes_change_no_style_and_read_on_both_grounds(name, style):
    with plt.style.context(style):
        before = dict(mpl.rcParams)
        given = plt.subplots()[1], plt.subplots(subplot_kw={"projection": "3d"})[1]
        ax = each(*given)[name]()
        assert ax in given
        ax.figure.canvas.draw()
        assert dict(mpl.rcParams) == before
        paper = Ink.of(ax)
        assert paper.dark == (style == "dark_background")
        for text in (t for t in ax.texts if t.get_text()):
            lightness = np.mean(to_rgba(text.get_color())[:3])
            assert (lightness > 0.45) == paper.dark, text
