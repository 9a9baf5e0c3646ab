"""Pictures of filters show what the kernels do, against the ground that the drawing forbids."""

import re
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from test_plots import THEMES, contrast, drawn, linear, words

import shapekeeper as sk
from shapekeeper import plots
from shapekeeper.plots.ink import Ink
from shapekeeper.plots.magnitudes import Magnitudes

LOWPASS = sk.FilterShape.lowpass(0.2, 0.35)
SILENT = sk.FilterShape.bandlimited(0.5, attenuation_db=30)
NOTCH = sk.FilterShape.bandstop((800, 3200), (1200, 2800), sampling_rate=8000)
TARGET = sk.FilterShape.target([0.1, 0.5, 0.8], [1.0, 0.5, 0.02], 0.05)
PLANE = sk.FilterShape.bandlimited(0.5, attenuation_db=20, dimensions=2)
FINE = 1 << 14  # Points of the padded transforms that these tests take for the truth.


def layer(*sizes, seed=0):
    return np.random.default_rng(seed).normal(size=sizes)


def held(shape, *sizes):
    return shape.sample(sizes, torch.Generator().manual_seed(0)).double().numpy()


FIVE = np.concatenate([held(LOWPASS, 3, 1, 31), 0.1 * layer(2, 1, 31), np.zeros((1, 1, 31))])
LEAVING = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [2, 2, 2, 2]]
WALK = [
    held(LOWPASS, 4, 1, 31) + 0.003 * np.reshape(loud, (4, 1, 1)) * layer(4, 1, 31)
    for loud in LEAVING
]
STEPS = [0, 10, 20, 40, 100]
PLOTS = {
    "response": lambda ax: plots.response(FIVE, LOWPASS, ax),
    "response bins": lambda ax: plots.response(layer(9), SILENT, ax, bins=True),
    "response names": lambda ax: plots.response({"a": FIVE, "b": FIVE[::2]}, NOTCH, ax),
    "response target": lambda ax: plots.response(FIVE, TARGET, ax),
    "response plane": lambda ax: plots.response(layer(3, 1, 5, 5), PLANE, ax),
    "response dead": lambda ax: plots.response(np.zeros((2, 1, 9)), SILENT, ax),
    "taps": lambda ax: plots.taps(layer(15), ax),
    "taps layer": lambda ax: plots.taps(layer(5, 2, 40), ax),
    "taps names": lambda ax: plots.taps({"a": layer(15), "b": layer(4, 1, 120)}, ax),
    "over time": lambda ax: plots.response_over_time(WALK, STEPS, LOWPASS, ax),
    "over time target": lambda ax: plots.response_over_time(WALK, STEPS, TARGET, ax),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def truth(kernel, shape):
    """Frequencies and |H| / g by numpy's padded transform, and the signed miss in dB."""
    spread = np.zeros(len(kernel) * shape.dilation)
    spread[:: shape.dilation] = kernel
    gain = abs(np.fft.rfft(spread, 2 * FINE))
    at = np.linspace(0, shape.nyquist, FINE + 1)
    low, high = shape.limits(at)
    if shape.gain == "free" and not shape.points:
        passes = [(at >= b.low) & (at <= b.high) for b in shape.bands if b.kind == "pass"]
        if passes:
            gain = gain / gain[np.any(passes, 0)].mean()
        else:
            gain = gain / np.sqrt((gain[np.isinf(high)] ** 2).mean())
    elif shape.points:
        aim = np.interp(at, *np.array(shape.points)[:, :2].T, left=0, right=0)
        gain = gain * (aim**2).sum() / (aim * gain).sum()
    with np.errstate(divide="ignore"):
        excess = np.maximum(20 * np.log10(gain / high), 20 * np.log10(low / gain))
    return at, gain, excess


def strong(ax):
    """The lines drawn in full."""
    return [x for x in ax.lines if x.get_linewidth() == 1.7 and len(x.get_xdata()) > 100]


def thin(ax):
    """The other filters, (filters, F, 2)."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return np.concatenate([c.get_segments() for c in found]) if found else np.empty((0, 0, 2))


def ring(ax):
    """The mark of the worst miss."""
    return [x for x in ax.lines if x.get_markersize() == 7.5 and len(x.get_xdata()) == 1]


def caption(ax):
    return max((t.get_text() for t in ax.texts), key=len).replace("\n", " ")


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text.replace("\N{MINUS SIGN}", "-"))]


# What all of them promise


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PLOTS)
def test_a_filter_plot_draws_on_its_axes_and_changes_nothing_else(name, theme, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a plot called plt.show()"))
    state = torch.get_rng_state()
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
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", PLOTS)
def test_without_axes_a_filter_plot_makes_one_figure(name):
    ax = PLOTS[name](None)
    assert plt.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PLOTS)
def test_every_word_of_a_filter_plot_can_be_read(name, theme):
    with plt.style.context(theme):
        ax = drawn(PLOTS[name](None))
        paper = to_hex(ax.get_facecolor())
        texts = ax.figure.findobj(lambda a: isinstance(a, Text) and a.get_visible())
        assert [t for t in texts if t.get_text().strip()]
        for text in [t for t in texts if t.get_text().strip()]:
            assert contrast(text.get_color(), paper) >= 4.5, text.get_text()


@pytest.mark.parametrize("theme", THEMES)
def test_what_carries_the_message_stands_out_from_the_ground(theme):
    with plt.style.context(theme):
        ax = plots.response(FIVE, LOWPASS)
        ground = to_hex(grounds(ax)[0].get_facecolor()[0])
        assert contrast(strong(ax)[0].get_color(), ground) > 7
        assert contrast(Ink.of(ax).bad, ground) > 3
        assert contrast(ground, to_hex(ax.get_facecolor())) < 1.3  # The ground itself is quiet.
        assert all(g.get_hatch() for g in grounds(ax))  # And told by its pattern, not its color.


# Response: curves


@pytest.mark.parametrize(
    ("shape", "taps"),
    [
        (LOWPASS, 31),
        (SILENT, 15),
        (NOTCH, 30),
        (TARGET, 21),
        (sk.FilterShape.lowpass(0.2, 0.35, gain="unit"), 31),
        (sk.FilterShape([("pass", 0, 0.1, 1), ("stop", 0.25, 0.7, 30)], dilation=2), 15),
    ],
    ids=["lowpass", "silent", "notch in Hz, even", "target", "unit", "dilated"],
)
def test_curves_are_the_transform_of_the_kernels_by_their_reference(shape, taps):
    weight = layer(4, 2, taps)
    ax = plots.response(weight, shape)
    worst = max(truth(w, shape)[2].max() for w in weight.reshape(-1, taps))
    curves = [strong(ax)[0].get_xydata(), *thin(ax)]
    assert len(strong(ax)) == 1
    assert len(curves) == 8
    found = []
    for kernel in weight.reshape(-1, taps):
        at, gain, excess = truth(kernel, shape)
        wanted = gain if shape.points else 20 * np.log10(gain)
        off = [abs(np.interp(x, at, wanted) - y)[y > -40].max() for x, y in (c.T for c in curves)]
        assert min(off) < (0.01 if shape.points else 0.1)
        found.append(int(np.argmin(off)))
        assert (found[-1] == 0) == (excess.max() == pytest.approx(worst))
    assert sorted(found) == list(range(8))


def test_loudness_and_sign_do_not_matter():
    loud = strong(plots.response(-300 * FIVE, LOWPASS))[0].get_ydata()
    np.testing.assert_allclose(loud, strong(plots.response(FIVE, LOWPASS))[0].get_ydata())


def test_no_lobe_of_a_long_kernel_is_cut():
    kernel = layer(901)
    ax = plots.response(kernel, SILENT)
    at, gain, _ = truth(kernel, SILENT)
    loud = gain > 0.3
    drawn_there = np.interp(at[loud], *strong(ax)[0].get_data())
    np.testing.assert_allclose(drawn_there, 20 * np.log10(gain[loud]), atol=1)
    assert 6 < drawn_there.max() < ax.get_ylim()[1]  # And the loudest is in sight.


def test_frequencies_are_in_hertz_where_there_is_a_sampling_rate():
    ax = plots.response(layer(15), NOTCH)
    assert ax.get_xlabel() == "frequency (Hz)"
    assert ax.get_xlim() == (0, 4000)
    assert plots.response(layer(15), SILENT).get_xlabel() == "frequency (1 = Nyquist)"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (LOWPASS, "gain in dB (0 = its own mean in the pass band)"),
        (SILENT, "gain in dB (0 = its own level outside the stop band)"),
        (TARGET, "gain (1 = its own share of the target)"),
        (sk.FilterShape.lowpass(0.2, 0.4, gain="unit"), "gain in dB (0 = a gain of 1)"),
    ],
)
def test_the_gain_axis_says_what_gains_are_measured_by(shape, words):
    assert plots.response(layer(15), shape).get_ylabel().replace("\n", " ") == words


def test_two_dimensions_show_the_largest_gain_in_any_direction():
    # A difference along one axis: |H| = 2 |sin(pi fx / 2)|, whatever fy.
    kernel = np.zeros((3, 3))
    kernel[1, :2] = [1, -1]
    found = Magnitudes.of(kernel, PLANE)
    r, g = found.frequencies, found.references[0]
    assert r[-1] == pytest.approx(np.sqrt(2))
    near, far = 2 * np.sin(np.pi / 2 * r.clip(max=1)), np.sqrt(np.maximum(r**2 - 1, 0))
    np.testing.assert_allclose(found.highest[0] * g, near, atol=1e-6)
    np.testing.assert_allclose(found.lowest[0] * g, 2 * np.sin(np.pi / 2 * far), atol=1e-6)
    ax = plots.response(kernel, PLANE)
    assert ax.get_xlabel() == "distance from frequency 0 (1 = Nyquist)"
    x, y = strong(ax)[0].get_data()
    shown = y > -49
    np.testing.assert_allclose(10 ** (y[shown] / 20) * g, np.interp(x[shown], r, near), atol=1e-6)
    assert "largest gain in any direction" in caption(ax)


@pytest.mark.parametrize("turned", [False, True])
def test_directions_go_all_the_way_around(turned):
    # A difference along a diagonal: |H| = 2 |sin(pi (fx ± fy) / 2)|, largest along that diagonal.
    kernel = np.diag([1.0, -1.0])
    found = Magnitudes.of(kernel[::-1].copy() if turned else kernel, PLANE)
    r = found.frequencies[found.frequencies < 0.7]
    highest = found.highest[0, : len(r)] * found.references[0]
    np.testing.assert_allclose(highest, 2 * np.sin(np.pi / np.sqrt(2) * r), atol=1e-9)


# Response: the drawing


def grounds(ax):
    return [c for c in ax.collections if c.get_hatch()]


STAIRS = sk.FilterShape([("stop", 0.3, 0.5, 20), ("stop", 0.5, 1, 40)])


@pytest.mark.parametrize("shape", [LOWPASS, SILENT, NOTCH, TARGET, STAIRS], ids=str)
def test_hatched_ground_is_just_what_the_drawing_forbids(shape):
    ax = plots.response(layer(15), shape)
    x = np.linspace(*ax.get_xlim(), 203)[1:-1] + 1e-7
    y = np.linspace(*ax.get_ylim(), 301)[1:-1] + 1e-3
    low, high = shape.limits(x)
    gains = y[:, None] if shape.points else 10 ** (y[:, None] / 20)
    forbidden = (gains > high) | (gains < low)
    spots = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    paths = [path for ground in grounds(ax) for path in ground.get_paths()]
    hatched = np.any([path.contains_points(spots) for path in paths], 0).reshape(forbidden.shape)
    assert 0.1 < forbidden.mean() < 0.95
    np.testing.assert_array_equal(hatched, forbidden)


def test_ground_in_two_dimensions_reaches_into_the_corners():
    ax = plots.response(layer(5, 5), PLANE)
    (ground,) = grounds(ax)
    spots = [(0.49, 0), (0.51, 0), (0.51, -21), (1.3, 0), (1.41, 0)]
    found = [bool(ground.get_paths()[0].contains_point(spot)) for spot in spots]
    assert found == [False, True, False, True, True]


def test_a_pass_band_is_enlarged_below_itself():
    ax = plots.response(held(LOWPASS, 31), LOWPASS)
    (pane,) = ax.child_axes
    assert pane.get_xlim() == (0, 0.2)
    assert pane.get_ylim()[0] == -2
    assert "pass, ± 2 dB" in words(pane)
    within = strong(ax)[0].get_xdata() <= 0.2
    curves = [line.get_ydata()[within] for line in (strong(pane)[0], strong(ax)[0])]
    np.testing.assert_array_equal(*curves)
    box, left, right = drawn(ax).bbox, *(ax.transData.transform((x, 0))[0] for x in (0, 0.2))
    assert left < pane.bbox.x0 < pane.bbox.x1 < right
    assert box.y0 < pane.bbox.y0 < pane.bbox.y1 < box.y0 + box.height / 2
    assert len(plots.response(layer(30), NOTCH).child_axes) == 2
    assert not plots.response(layer(15), SILENT).child_axes
    small = plt.figure(figsize=(2, 2)).add_subplot()
    assert not plots.response(layer(31), LOWPASS, small).child_axes


# Response: the miss


def test_the_worst_miss_is_marked_where_it_is():
    ax = plots.response(FIVE, LOWPASS)
    misses = [truth(kernel, LOWPASS) for kernel in FIVE[:5, 0]]
    at, gain, excess = max(misses, key=lambda part: part[2].max())
    k = int(excess.argmax())
    (mark,) = ring(ax)
    assert mark.get_xdata()[0] == pytest.approx(at[k], abs=2e-3)
    assert mark.get_ydata()[0] == pytest.approx(20 * np.log10(gain[k]), abs=0.02)
    (word,) = [w for w in words(ax) if w.endswith(" dB above the drawing")]
    assert numbers(word)[0] == pytest.approx(excess[k], abs=0.06)
    (red,) = [x for x in ax.lines if x.get_color() == Ink.of(ax).bad]
    x, y = red.get_data()
    inner = (x < 0.199) | (x > 0.351)  # Away from edges, where one side is no ground at all.
    out = np.interp(x[inner], at, excess)
    assert np.isfinite(y[inner][out > 0.3]).all()
    assert np.isnan(y[inner][out < -0.3]).all()
    assert np.isnan(y[(x > 0.201) & (x < 0.349)]).all()


def test_a_gain_that_is_too_low_is_a_miss_below():
    quiet = held(LOWPASS, 31) / 2
    shape = sk.FilterShape.lowpass(0.2, 0.35, gain="unit")
    gain = abs(np.fft.rfft(quiet, 512))
    quiet *= 0.5 / gain[0]
    ax = plots.response(quiet, shape)
    assert [w for w in words(ax) if w.endswith("dB below the drawing")]


def test_what_meets_the_drawing_has_no_mark_and_no_red():
    ax = plots.response(held(LOWPASS, 4, 2, 31), LOWPASS)
    assert not ring(ax)
    (red,) = [x for x in ax.lines if x.get_color() == Ink.of(ax).bad]
    assert np.isnan(red.get_ydata()).all()
    assert "8 of 8 filters meet the drawing (100 %)" in caption(ax)
    assert "has least to spare" in caption(ax)
    assert "Red" not in caption(ax)


def test_least_to_spare_is_asked_where_something_is_drawn():
    shape = sk.FilterShape.bandlimited(0.7, attenuation_db=4)
    mean = np.full(5, 0.2)  # Exactly 0 at 0.4 and 0.8, where nothing asks for more.
    closer = np.array([0.2, 0.2, 0.25, 0.2, 0.2])
    rooms = [truth(kernel, shape)[2].max() for kernel in (mean, closer)]
    assert rooms[0] < rooms[1] < 0
    (line,) = strong(plots.response([mean, closer], shape))
    at, gain, _ = truth(closer, shape)
    wanted = np.interp(line.get_xdata(), at, 20 * np.log10(gain))
    np.testing.assert_allclose(line.get_ydata()[::50], wanted[::50], atol=0.1)


def test_the_caption_has_the_numbers():
    ax = plots.response(FIVE, LOWPASS)
    stops = []
    for kernel in FIVE[:5, 0]:
        at, gain, _ = truth(kernel, LOWPASS)
        stops.append(20 * np.log10(gain[at >= 0.35].max()))
    said = numbers(caption(ax).split("Worst stop")[1])
    assert said[:2] == pytest.approx([max(stops), np.median(stops)], abs=0.06)
    assert said[2:] == [3, 5, 60, 1]
    assert "1 dead filter left out" in caption(ax)
    assert "misses most" in caption(ax)


def test_a_drawing_without_a_stop_band_tells_its_ripple_and_a_target_its_miss():
    ripple = caption(plots.response(layer(2, 1, 15), sk.FilterShape([("pass", 0, 0.5, 1.0)])))
    assert "Worst ripple" in ripple
    kernel = layer(15)
    said = numbers(caption(plots.response(kernel, TARGET)).split("Worst miss")[1])
    assert said[0] == pytest.approx(truth(kernel, TARGET)[2].max(), abs=0.5)


def test_dead_filters_are_counted_and_not_drawn():
    weight = layer(6, 1, 15)
    weight[1] *= 1e-5
    weight[4] = 0
    ax = plots.response(weight, SILENT)
    assert len(thin(ax)) == 3
    assert "2 dead filters left out" in caption(ax)
    gone = plots.response(np.zeros((2, 1, 15)), SILENT)
    assert not strong(gone)
    assert "2 dead filters left out, none alive." in caption(gone)


def test_a_crowd_is_drawn_in_part_and_that_is_said():
    weight = layer(30, 10, 15)
    ax = plots.response(weight, SILENT)
    assert len(thin(ax)) == 128
    assert "0 of 300 filters" in caption(ax)
    assert "128 of the others drawn" in caption(ax)
    assert "drawn" not in caption(plots.response(weight[:8], SILENT)).split("(0 %)")[1]


# Response: several weights, and bins


def test_names_have_their_strategys_look_and_a_legend():
    weights = {"free": layer(3, 1, 15), "held": held(SILENT, 3, 1, 15), "more": layer(2, 1, 15)}
    looks = {"free": plots.look(sk.Unconstrained()), "held": plots.look(sk.Projection())}
    ax = plots.response(weights, SILENT, looks=looks)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(weights)
    colors = [line.get_color() for line in strong(ax)]
    assert colors[:2] == [looks["free"]["color"], looks["held"]["color"]]
    assert len({str(x._unscaled_dash_pattern) for x in strong(ax)}) == 3  # Told without color.
    handles = ax.get_legend().legend_handles
    assert len({h.get_marker() for h in handles}) == 3
    assert {m.get_marker() for m in ring(ax)} == {handles[0].get_marker(), handles[2].get_marker()}
    assert [name for name in weights if f"{name}: worst stop" in caption(ax)] == list(weights)


def test_stars_are_the_kernels_own_transform():
    kernel = layer(15)
    ax = plots.response(kernel, SILENT, bins=True)
    (stars,) = [x for x in ax.lines if x.get_marker() == "*"]
    _, gain, _ = truth(kernel, SILENT)
    scale = gain[0] / abs(kernel.sum())
    np.testing.assert_allclose(stars.get_xdata(), np.arange(8) * 2 / 15)
    bottom, top = ax.get_ylim()
    wanted = 20 * np.log10(abs(np.fft.rfft(kernel)) * scale)
    np.testing.assert_allclose(stars.get_ydata(), wanted.clip(bottom, top), atol=0.02)
    x, y = strong(ax)[0].get_data()  # The curve passes through each star.
    np.testing.assert_allclose(y[np.searchsorted(x, stars.get_xdata())], stars.get_ydata())
    assert "Stars" in caption(ax)


@pytest.mark.parametrize("taps", [9, 31])
def test_a_kernel_masked_on_its_own_bins_has_its_stars_on_the_floor_and_misses(taps):
    spectrum = np.fft.rfft(layer(taps))
    spectrum[np.arange(len(spectrum)) * 2 / taps >= 0.5] = 0
    ax = plots.response(np.fft.irfft(spectrum, taps), SILENT, bins=True)
    (stars,) = [x for x in ax.lines if x.get_marker() == "*"]
    x, y = stars.get_data()
    assert (y[x >= 0.5] == ax.get_ylim()[0]).all()
    assert (y[x < 0.5] > -30).all()
    assert not stars.get_clip_on()
    curve = strong(ax)[0].get_xydata()
    assert curve[curve[:, 0] >= 0.5][:, 1].max() > -20


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.response({}, SILENT), "at least one layer, got none"),
        (lambda: plots.response(3.0, SILENT), r"\(taps,\), got shape \(\) with too few axes"),
        (
            lambda: plots.response(layer(9), PLANE),
            r"rows, columns\), got shape \(9,\) with too few",
        ),
        (lambda: plots.response(np.zeros((0, 1, 9)), SILENT), r"got shape \(0, 1, 9\) without"),
        (lambda: plots.response([1.0, np.nan], SILENT), r"got shape \(2,\) with entries that are"),
        (lambda: plots.response(layer(5, 5), PLANE, bins=True), "bins=True, got a shape of two"),
        (lambda: plots.taps({}), "at least one kernel, got none"),
        (lambda: plots.taps(layer(2, 1, 5, 5)), "got 4 axes; plots.matrix shows"),
        (lambda: plots.taps([np.inf]), r"got shape \(1,\) with entries that are not finite"),
        (lambda: plots.response_over_time([layer(9)], [0], SILENT), "at least two weights.*got 1"),
        (lambda: plots.response_over_time(WALK, [0, 1], LOWPASS), r"5 weights and.*\[0.0, 1.0\]"),
        (lambda: plots.response_over_time(WALK[:2], [3, 3], LOWPASS), "a rising step for each"),
        (
            lambda: plots.response_over_time([layer(9), layer(7)], [0, 1], SILENT),
            r"of one shape, got \[\(7,\), \(9,\)\]",
        ),
    ],
)
def test_filters_that_cannot_be_drawn_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
    assert not plt.get_fignums()


# Taps


def stems(ax):
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.array(c.get_segments()) for c in found]


def dots(ax):
    return [x for x in ax.lines if x.get_marker() == "o"]


@pytest.mark.parametrize(("taps", "wanted"), [(4, "dots"), (32, "dots"), (33, "stems"),
                                              (96, "stems"), (97, "outline")])  # fmt: skip
def test_one_kernel_tap_by_tap(taps, wanted):
    kernel = layer(taps)
    ax = plots.taps(torch.nn.Parameter(torch.tensor(kernel)))
    places = np.arange(taps) - (taps - 1) / 2
    assert len(dots(ax)) == (wanted == "dots")
    assert len(stems(ax)) == (wanted != "outline")
    if wanted == "outline":
        (line,) = [x for x in ax.lines if len(x.get_xdata()) == taps]
        np.testing.assert_allclose(line.get_xydata(), np.stack([places, kernel], 1))
        assert [c for c in ax.collections if not isinstance(c, LineCollection)]  # Filled.
    else:
        np.testing.assert_allclose(stems(ax)[0][:, 1], np.stack([places, kernel], 1))
        np.testing.assert_allclose(stems(ax)[0][:, 0], np.stack([places, 0 * kernel], 1))
    (low, high), (left, right) = ax.get_ylim(), ax.get_xlim()
    assert low < min(kernel.min(), 0) < max(kernel.max(), 0) < high
    assert left < places[0] < places[-1] < right
    assert ax.get_xlabel() == "tap, counted from the middle"


def test_kernels_of_a_layer_stand_side_by_side_on_one_scale():
    weight = layer(3, 2, 20)
    weight[0] *= 5
    ax = plots.taps(weight, plt.figure(figsize=(20, 9)).add_subplot())
    found = stems(ax)
    assert len(found) == 6
    heights = np.array([part[:, 1, 1] - part[:, 0, 1] for part in found])
    np.testing.assert_allclose(heights * abs(weight).max(), weight.reshape(6, 20), atol=1e-12)
    boxes = [(p[..., 0].min(), p[..., 0].max(), p[..., 1].min(), p[..., 1].max()) for p in found]
    for i, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:i]:
            assert b < e or f < a or d < g or h < c
    assert f"{abs(weight).max():.3g}" in caption(ax)
    (low, high), (left, right) = ax.get_ylim(), ax.get_xlim()
    assert all(left < b[0] and b[1] < right and low < b[2] and b[3] < high for b in boxes)


def test_names_stand_beside_their_kernels():
    weights = {"before": layer(3, 1, 15), "after": layer(12, 1, 15)}
    looks = {"after": plots.look(sk.Projection())}
    ax = plots.taps(weights, looks=looks)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(weights)
    bases = [float(part[0, 0, 1]) for part in stems(ax)]
    assert bases == [ax.get_yticks()[0]] * 3 + [ax.get_yticks()[1]] * 8
    assert ax.get_yticks()[1] < ax.get_yticks()[0]
    colors = [to_hex(c.get_colors()[0]) for c in ax.collections]
    assert set(colors[3:]) == {looks["after"]["color"]} != set(colors[:3])
    assert "Drawn: 8 of 12 kernels of after." in caption(ax)


def test_a_crowd_of_kernels_is_drawn_in_part():
    ax = plots.taps(layer(20, 5, 15))
    assert len(stems(ax)) == 64
    assert "Drawn: 64 of 100 kernels." in caption(ax)


def test_dots_that_would_run_together_are_left_out():
    assert not dots(plots.taps(layer(8, 8, 31)))
    assert len(dots(plots.taps(layer(2, 1, 15)))) == 2


# Over time


def picture(ax):
    (mesh,) = [c for c in ax.collections if hasattr(c, "_coordinates")]
    return mesh, mesh.get_array(), mesh._coordinates


@pytest.mark.parametrize("shape", [LOWPASS, TARGET], ids=["lowpass", "target"])
def test_the_picture_is_the_worst_filter_at_each_step(shape):
    ax = plots.response_over_time(WALK, STEPS, shape)
    _, level, places = picture(ax)
    np.testing.assert_array_equal(places[0, :, 0], STEPS)
    for k, weight in enumerate(WALK):
        worst = int(shape.violation(torch.tensor(weight)).argmax())
        at, gain, excess = truth(weight[worst, 0], shape)
        if not shape.points and excess.max() < 0.1:  # All meet it: the one with least to spare.
            at, gain, _ = max((truth(w, shape) for w in weight[:, 0]), key=lambda t: t[2].max())
        wanted = np.interp(places[:, k, 1], at, gain)
        gains = level[:, k] if shape.points else 10 ** (level[:, k] / 20)
        np.testing.assert_allclose(gains, wanted, atol=2e-3)
    assert ax.get_ylim() == (0, 1)
    assert "gain" in ax.figure.axes[1].get_ylabel()


def test_the_first_step_outside_is_marked():
    ax = plots.response_over_time(WALK, STEPS, LOWPASS)
    misses = [[truth(w, LOWPASS)[2].max() > 0.1 for w in weight[:, 0]] for weight in WALK]
    np.testing.assert_array_equal(misses, np.array(LEAVING) > 0)
    (mark,) = [x for x in ax.lines if x.get_color() == Ink.of(ax).bad]
    assert set(mark.get_xdata()) == {20}
    assert "leaves the drawing at step 20" in words(ax)
    assert "step 20, the first" in caption(ax)


def test_hatching_is_where_the_worst_filter_is_outside():
    kernel = WALK[4][0, 0]
    ax = plots.response_over_time([kernel, kernel], [0, 1], LOWPASS)
    (hatched,) = [c for c in ax.collections if c.get_hatch() or getattr(c, "hatches", [None])[0]]
    at, _, excess = truth(kernel, LOWPASS)
    path = hatched.get_paths()[0]
    clear = abs(excess) > 1
    assert 0.2 < (excess > 1).mean() < 0.6
    assert ((excess < -1) & (excess > -30)).mean() > 0.1
    inside = path.contains_points(np.stack([np.full(FINE + 1, 0.5), at], 1))
    assert (inside == (excess > 0))[clear].mean() > 0.998  # Dips may be narrower than a row.
    assert "outside from the start" in words(ax)


def test_a_layer_that_stays_has_no_mark_and_no_hatching():
    ax = plots.response_over_time(WALK[:2], [0, 10], LOWPASS)
    assert not [x for x in ax.lines if x.get_color() == Ink.of(ax).bad]
    assert len(ax.collections) == 1
    assert "No filter ever leaves the drawing." in caption(ax)


def test_edges_are_lines_and_bands_have_their_words():
    ax = plots.response_over_time([layer(15)] * 2, [0, 1], NOTCH)
    edges = [x.get_ydata()[0] for x in ax.lines if x.get_color() == Ink.of(ax).source]
    assert edges == [800, 1200, 2800, 3200]
    assert {"pass, ± 1 dB", "stop, \N{MINUS SIGN}40 dB"} <= set(words(ax))
    assert ax.get_ylabel() == "frequency (Hz)"


def test_a_step_without_a_living_filter_is_blank():
    ax = plots.response_over_time([layer(2, 1, 9), np.zeros((2, 1, 9))], [0, 1], SILENT)
    _, level, _ = picture(ax)
    assert not np.ma.getmaskarray(level)[:, 0].any()
    assert np.ma.getmaskarray(level)[:, 1].all()
    assert "Up to 2 dead filters left out." in caption(ax)


@pytest.mark.parametrize("theme", THEMES)
def test_louder_is_farther_from_the_paper_in_gray_too(theme):
    with plt.style.context(theme):
        ax = plots.response_over_time(WALK, STEPS, LOWPASS)
        mesh, _, _ = picture(ax)
        colors = [mesh.cmap(share)[:3] for share in np.linspace(0, 1, 9)]
        light = np.array([linear(to_rgb(c)) @ [0.2126, 0.7152, 0.0722] for c in colors])
        steps = np.diff(light) if Ink.of(ax).dark else -np.diff(light)
        assert (steps > 0).all()


# What the other plots say of dB


def test_the_number_of_a_negative_bar_stands_below_its_foot():
    ax = drawn(plots.bars({"zeros": [-27.0, -29.0], "valid": [-77.0]}, y="dB"))
    for text, foot in zip(ax.texts, [-29.0, -77.0], strict=True):
        assert text.get_window_extent().y1 < ax.transData.transform((0, foot))[1]


def test_a_comparison_on_a_filter_says_decibels_and_the_share_that_meets_the_drawing():
    x = torch.randn(24, 1, 20, generator=torch.Generator().manual_seed(0))
    task = sk.Task(
        "filter",
        model=lambda seed: torch.nn.Sequential(torch.nn.Conv1d(1, 2, 9), torch.nn.Flatten()),
        data=sk.Data(*2 * [(x, torch.cat([x, x[..., :4]], -1)[:, 0])]),
        loss=torch.nn.functional.mse_loss,
        metric=torch.nn.functional.mse_loss,
        better="lower",
        batch_size=8,
        constraints={"0.weight": sk.FilterShape.bandlimited(0.5, attenuation_db=20)},
    )
    found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=1, steps=5)
    assert "unit: dB" in plots.tradeoff(found).get_xlabel()
    assert plots.training(found, "violation").get_ylabel() == "violation (unit: dB)"
    assert plots.training(found, "allowed").get_ylabel() == "share that meets the constraint"
    assert any("Unit of the violation: dB." in word for word in words(plots.table(found)))
    assert found.final().loc["Projection", "violation"].iloc[0] == 0
