"""The windowed-sinc layer against numpy and scipy, and what its attenuation promises."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import signal
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.networks import SincConv1d, SincKernels, widest_sinc

LOW = sk.FilterShape.bandlimited(0.5, attenuation_db=30)
BAND = sk.FilterShape.bandlimited([(0, 0.2), (0.7, 1)], attenuation_db=40)
HIGH = sk.FilterShape.bandlimited((0, 0.4), attenuation_db=35)
DRAWINGS = [
    (LOW, 15),
    (LOW, 16),
    (sk.FilterShape.bandlimited(0.25, attenuation_db=60), 65),
    (sk.FilterShape.bandlimited(0.75, attenuation_db=80), 31),
    (BAND, 31),
    (BAND, 40),
    (HIGH, 21),
]


def spectrum(kernels, low, high):
    """|H| from the definition, on 4097 frequencies."""
    frequencies = np.linspace(low, high, 4097)
    waves = np.exp(-1j * np.pi * np.outer(np.arange(kernels.shape[-1]), frequencies))
    return np.abs(kernels @ waves)


def loudest(shape, kernels):
    """By how many dB the loudest kernel is above the drawn attenuation, relative to a gain of 1."""
    return max(
        20 * np.log10(spectrum(kernels, band.low, band.high).max()) + band.decibels
        for band in shape.bands
    )


def random_kernels(shape, taps, filters=3000, seed=0):
    torch.manual_seed(seed)
    return SincKernels(filters, 1, taps, shape).double()


@pytest.mark.parametrize(("shape", "taps"), DRAWINGS)
def test_kernels_are_differences_of_sincs_under_a_kaiser_window(shape, taps):
    kernels = random_kernels(shape, taps, filters=20)
    low, high = (edge.detach().numpy() for edge in kernels.bands())
    window = kernels.window.numpy()
    # The window is Kaiser's for some attenuation from the drawn one up, in steps of half a dB.
    deepest = max(band.decibels for band in shape.bands)
    windows = {d: np.kaiser(taps, signal.kaiser_beta(d)) for d in deepest + np.arange(0, 30, 0.5)}
    decibels = min(windows, key=lambda d: np.abs(windows[d] - window).max())
    assert np.abs(windows[decibels] - window).max() < 1e-6
    n = np.arange(taps) - (taps - 1) / 2
    wanted = windows[decibels] * (high * np.sinc(high * n.reshape(1, 1, -1).T).T).reshape(20, taps)
    wanted -= windows[decibels] * (low * np.sinc(low * n.reshape(1, 1, -1).T).T).reshape(20, taps)
    assert np.abs(kernels().detach().numpy()[:, 0] - wanted).max() < 1e-6
    # Edges stay away from stop bands by 0.55 of the transition of that window.
    away = 0.55 * (decibels - 7.95) / (2.285 * np.pi * (taps - 1))
    stops = {edge for band in shape.bands for edge in (band.low, band.high)}
    for edge, inward in zip(kernels.edges, (1, -1), strict=True):
        assert edge in (0, 1) or min(abs(edge - inward * away - stop) for stop in stops) < 1e-9


def test_a_filter_is_what_scipy_designs():
    kernels = random_kernels(LOW, 31, filters=5)
    low, high = (edge.flatten().tolist() for edge in kernels.bands())
    window = kernels.window.numpy()
    for kernel, a, b in zip(kernels().detach().numpy()[:, 0], low, high, strict=True):
        ideal = signal.firwin(31, [a, b], window="boxcar", pass_zero=False, scale=False)
        assert np.abs(kernel - ideal * window).max() < 1e-6


@pytest.mark.parametrize(("shape", "taps"), DRAWINGS)
def test_no_pair_of_edges_misses_the_attenuation_at_a_gain_of_1(shape, taps):
    kernels = random_kernels(shape, taps)
    with torch.no_grad():  # a part of them at the very ends of their boxes
        kernels.low[:100], kernels.high[:100] = -60, 60
        kernels.low[100:200] = 60
        kernels.high[200:300] = 60
    assert loudest(shape, kernels().detach().numpy()[:, 0]) < 1e-3


def test_kaisers_estimate_alone_would_miss_it():
    # Two edges err at once: what is promised for one is missed for two, by up to 6 dB.
    places, away = np.arange(31) - 15, 0.55 * (40 - 7.95) / (2.285 * np.pi * 30)
    edges = np.sort(np.random.default_rng(0).uniform(0, 0.5 - away, (2, 2000)), 0)[..., None]
    low, high = (edge * np.sinc(edge * places) for edge in edges)
    shape = sk.FilterShape.bandlimited(0.5, attenuation_db=40)
    assert loudest(shape, (high - low) * np.kaiser(31, signal.kaiser_beta(40))) > 3


def test_narrow_filters_miss_the_drawing_relative_to_their_own_gain():
    kernels = random_kernels(LOW, 15, filters=200)
    violation = LOW.violation(kernels()[:, 0])
    low, high = (edge.flatten() for edge in kernels.bands())
    narrow = high - low < 0.05
    assert violation[narrow].median() > 3
    assert violation[high - low > 0.2].max() == 0


def test_edges_are_in_order_and_inside_whatever_the_numbers_are():
    kernels = SincKernels(50, 3, 31, BAND)
    with torch.no_grad():
        kernels.low.copy_(100 * torch.randn(50, 3))
        kernels.high.copy_(100 * torch.randn(50, 3))
    low, high = kernels.bands()
    first, last = kernels.edges
    assert first > 0.2
    assert last < 0.7
    assert bool((first <= low).all() & (low <= high).all() & (high <= last + 1e-6).all())


def test_a_fresh_layer_has_edges_all_over_the_stretch():
    torch.manual_seed(1)
    low, high = SincKernels(4000, 1, 31, BAND).bands()
    first, last = SincKernels(1, 1, 31, BAND).edges
    # The smaller and the larger of two uniform draws are a third and two thirds of the way.
    assert low.mean().item() == pytest.approx(first + (last - first) / 3, abs=0.01)
    assert high.mean().item() == pytest.approx(first + 2 * (last - first) / 3, abs=0.01)


@pytest.mark.parametrize("taps", [14, 15])
@pytest.mark.parametrize(("low", "high"), [(0.0, -200.0), (-200.0, -200.0), (200.0, 0.0), (0, 0)])
def test_gradients_are_finite_where_a_band_is_empty(taps, low, high):
    kernels = SincKernels(2, 1, taps, LOW)
    nn.init.constant_(kernels.low, low)
    nn.init.constant_(kernels.high, high)
    kernels().square().sum().backward()
    assert torch.isfinite(kernels.low.grad).all()
    assert torch.isfinite(kernels.high.grad).all()
    assert torch.isfinite(kernels()).all()


def test_gradients_are_those_of_the_numbers():
    kernels = SincKernels(2, 2, 7, sk.FilterShape.bandlimited(0.75, attenuation_db=20)).double()

    def weight(low, high):
        return functional_call(kernels, {"low": low, "high": high}, ())

    assert torch.autograd.gradcheck(weight, (kernels.low, kernels.high))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("taps", "stride"), [(15, 1), (15, 2), (16, 3)])
def test_the_layer_is_an_ordinary_convolution_with_that_weight(mode, taps, stride):
    settings = {"stride": stride, "padding": 7, "padding_mode": mode}
    layer = SincConv1d(3, 5, taps, LOW, **settings)
    plain = nn.Conv1d(3, 5, taps, **settings)
    plain.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    x = torch.randn(2, 3, 40)
    assert_close(layer(x), plain(x))


def test_dilation_is_that_of_the_drawing():
    shape = sk.FilterShape.bandlimited((0.25, 0.75), attenuation_db=30, dilation=2)
    layer = SincConv1d(1, 4, 15, shape, bias=False)
    plain = nn.Conv1d(1, 4, 15, dilation=2, bias=False)
    plain.load_state_dict({"weight": layer.weight.detach()})
    x = torch.randn(2, 1, 60)
    assert_close(layer(x), plain(x))
    assert layer.kernels.edges == SincKernels(1, 1, 15, LOW).edges


def test_the_layer_copies_pickles_and_reloads():
    layer = SincConv1d(1, 4, 15, LOW)
    x = torch.randn(2, 1, 40)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))
    other = SincConv1d(1, 4, 15, LOW)
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert list(layer.state_dict()) == ["bias", "kernels.low", "kernels.high"]
    assert str(layer).startswith("SincConv1d(\n  1, 4, taps=15, FilterShape.bandlimited(0.5, att")


def test_layers_of_many_runs_are_one_program():
    layers = [SincConv1d(1, 4, 15, LOW) for _ in range(3)]
    parameters, buffers = stack_module_state(layers)
    x = torch.randn(3, 2, 1, 40)

    def one(tensors, x):
        return functional_call(layers[0], tensors, (x,))

    together = torch.vmap(one)({**parameters, **buffers}, x)
    assert_close(together, torch.stack([layer(one) for layer, one in zip(layers, x, strict=True)]))


# The widest one


@pytest.mark.parametrize(("shape", "taps"), DRAWINGS)
def test_the_widest_sinc_meets_the_drawing_with_a_gain_of_1(shape, taps):
    kernel = widest_sinc(shape, taps)
    assert shape.violation(kernel).item() == 0
    low, high = SincKernels(1, 1, taps, shape).edges
    middle = spectrum(kernel.numpy(), low + 0.4 * (high - low), high - 0.4 * (high - low))
    assert np.abs(20 * np.log10(middle)).max() < 0.6
    assert_close(kernel, kernel.flip(0))


def test_the_widest_sinc_has_as_many_bands_as_the_drawing_leaves():
    notch = sk.FilterShape.bandlimited((0.4, 0.6), attenuation_db=40)
    kernel = widest_sinc(notch, 65)
    assert notch.violation(kernel).item() == 0
    for low, high in ((0, 0.3), (0.7, 1)):
        assert np.abs(20 * np.log10(spectrum(kernel.numpy(), low, high))).max() < 0.2


def test_the_widest_lowpass_is_what_scipy_designs():
    kernel = widest_sinc(LOW, 15).numpy()
    edge = 0.5 - 0.55 * (30 - 7.95) / (2.285 * np.pi * 14)
    window = ("kaiser", signal.kaiser_beta(30))
    assert np.abs(kernel - signal.firwin(15, edge, window=window, scale=False)).max() < 1e-9


# What can't be


def test_drawings_that_no_windowed_sinc_can_do():
    with pytest.raises(sk.ConstraintError, match=r"stop bands alone.*got FilterShape.lowpass"):
        SincConv1d(1, 4, 31, sk.FilterShape.lowpass(0.2, 0.35))
    with pytest.raises(sk.ConstraintError, match=r"in one dimension.*dimensions=2"):
        widest_sinc(sk.FilterShape.bandlimited(0.5, dimensions=2), 15)
    with pytest.raises(sk.ConstraintError, match=r"leave one stretch.*got 2 in"):
        SincConv1d(1, 4, 31, sk.FilterShape.bandlimited((0.4, 0.6)))


@pytest.mark.parametrize("taps", [1, 2, 9])
def test_kernels_that_are_too_short_are_refused(taps):
    shape = sk.FilterShape.bandlimited(0.25, attenuation_db=60)
    with pytest.raises(sk.ConstraintError, match=rf"^{taps} taps are too short.*60 dB.*0 to 0.25"):
        SincConv1d(1, 4, taps, shape)
