"""The checks of notebook 03, with right answers and the tempting wrong ones."""

from math import pi

import numpy as np
import pytest
import torch
from judging import NONSENSE, judged, survives
from scipy.signal import freqz

from shapekeeper import course
from shapekeeper.constraints import FilterShape
from shapekeeper.constraints.filters import Subspace
from shapekeeper.course import notebook_03

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["03.1", "03.2", "03.3", "03.4"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", [*NONSENSE, {}], ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", ["03.1", "03.2"])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    assert course.check(key, unwritten).state == "todo"


# 03.1


def by_sum(w, f, turn=pi):
    waves = torch.exp(-1j * turn * torch.outer(f, torch.arange(len(w), dtype=f.dtype)))
    return 20 * ((waves @ w.to(waves.dtype)).abs() / w.sum().abs()).log10()


def by_scipy(w, f):
    response = freqz(w.numpy(), worN=f.numpy() * pi)[1]
    return 20 * np.log10(abs(response) / abs(w.sum().item()))


def by_long_fft(w, f):
    """The transform of a kernel with many zeros behind it, read between its points."""
    long = torch.fft.rfft(w, 1 << 16).abs() / w.sum().abs()
    return 20 * np.log10(np.interp(f.numpy(), np.linspace(0, 1, len(long)), long.numpy()))


def in_single(w, f):
    return by_sum(w.float(), f.float())


def own_bins(w, f):
    return 20 * (torch.fft.fft(w).abs() / w.sum().abs()).log10()


def half_of_own_bins(w, f):
    return 20 * (torch.fft.rfft(w).abs() / w.sum().abs()).log10()


def own_bins_joined(w, f):
    bins = (torch.fft.rfft(w).abs() / w.sum().abs()).numpy()
    return 20 * np.log10(np.interp(f.numpy(), np.arange(len(bins)) * 2 / len(w), bins))


def cosines_alone(w, f):
    waves = torch.cos(pi * torch.outer(f, torch.arange(len(w), dtype=f.dtype)))
    return 20 * ((waves @ w).abs() / w.sum().abs()).log10()


def complex_ratio(w, f):
    waves = torch.exp(-1j * pi * torch.outer(f, torch.arange(len(w), dtype=f.dtype)))
    return waves @ w.to(waves.dtype) / w.sum()


OWN_BINS = "You looked at 5 points. Between them the filter leaks 12 dB below the peak."


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (by_sum, "right", r"Right on 6 kernels.*silent at 0\.4 and 0\.8 .* -12\.04 dB between"),
        (by_scipy, "right", "6 kernels"),
        (by_long_fft, "right", "6 kernels"),
        (in_single, "right", "6 kernels"),
        (own_bins, "wrong", OWN_BINS),
        (half_of_own_bins, "wrong", OWN_BINS.replace("5", "3")),
        (own_bins_joined, "wrong", OWN_BINS),
        (
            lambda w, f: by_sum(w, f, 2 * pi),
            "wrong",
            r"Your zeros sit at 0\.2 and 0\.4: you count in cycles per sample, the drawing counts "
            r"in Nyquist\.",
        ),
        (lambda w, f: by_sum(w, f) / 2, "wrong", "20 dB is a factor of 10 in amplitude"),
        (lambda w, f: 10 ** (by_sum(w, f) / 20), "wrong", "This is the gain itself"),
        (lambda w, f: by_sum(w, f) * np.log(10), "wrong", "natural logarithm"),
        (
            lambda w, f: by_sum(w, f) + 20 * w.sum().abs().log10(),
            "wrong",
            "A louder kernel is no other filter",
        ),
        (lambda w, f: by_sum(w, f) - by_sum(w, f).max(), "wrong", "you took the largest"),
        (lambda w, f: by_sum(w, f) - by_sum(w, f)[0], "wrong", "you took the first"),
        (cosines_alone, "wrong", "A tap later it is the same filter.*Cosines and sines"),
        (complex_ratio, "wrong", "complex: take their size"),
        (lambda w, f: by_sum(w, f)[:-1], "wrong", r"One level.*shape \(201,\).*shape \(200,\)"),
        (lambda w, f: by_sum(w, f) * float("nan"), "wrong", "Some of your numbers are none"),
        (lambda w, f: by_sum(w, f) + 1, "wrong", "Some levels are off.* dB at 0.*taps"),
    ],
)
def test_response_db(answer, state, words):
    judged("03.1", answer, state, words)


def test_no_kernel_of_the_check_could_hide_what_levels_are_relative_to():
    for w, f in list(notebook_03._kernels())[1:-1]:
        assert abs(w.sum()) > 1.5
        assert len(f) not in (len(w), len(w) // 2 + 1)
        assert f.min() > 0.005  # the first one on the grid is not the one at 0


# 03.2


def matrix(w, V):
    return w @ V @ V.T


def by_least_squares(w, V):
    flat = w.reshape(-1, len(V)).T
    return (V @ torch.linalg.lstsq(V, flat).solution).T.reshape(w.shape)


def by_loop(w, V):
    found = torch.zeros_like(w)
    for column in V.T:
        found += (w * column).sum(-1, keepdim=True) * column
    return found


def scaled(w, V):
    V = V * 1.18
    return w @ V @ V.T


def as_loud_as_before(w, V):
    near = matrix(w, V)
    return near * w.norm() / near.norm()


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (matrix, "right", "Right on 4 layers.*7 directions of 31 keep 23%"),
        (by_least_squares, "right", "4 layers"),
        (by_loop, "right", "4 layers"),
        (lambda w, V: matrix(w, V).numpy(), "right", "4 layers"),
        (lambda w, V: V.T @ w, "wrong", "These are 3 coordinates, not a 15-tap kernel."),
        (lambda w, V: w @ V, "wrong", "These are 3 coordinates, not a 15-tap kernel."),
        (scaled, "wrong", r"Projecting twice moved it again by 0\.4\. Unit columns first\."),
        (lambda w, V: V @ V.T @ w, "wrong", r"For kernels \(4, 7, 7\).*The taps are the last axis"),
        (lambda w, V: w, "wrong", "For a kernel this is no sum of columns of V"),
        (lambda w, V: w @ V[:, :1] @ V[:, :1].T, "wrong", "Allowed, but not the nearest"),
        (lambda w, V: torch.zeros_like(w), "wrong", "Allowed, but not the nearest"),
        (as_loud_as_before, "wrong", "Allowed, but not the nearest"),
        (lambda w, V: w[..., :-1], "wrong", r"shape \(15,\).*shape \(14,\)"),
        (lambda w, V: matrix(w, V) * float("nan"), "wrong", "Some of your numbers are none"),
    ],
)
def test_nearest_bandlimited(answer, state, words):
    judged("03.2", answer, state, words)


def test_the_layers_of_the_check_hide_no_axis():
    layers = list(notebook_03._layers())
    assert [tuple(w.shape) for w, _ in layers] == [(15,), (4, 7, 7), (3, 2, 15), (5, 1, 31)]
    for w, V in layers:
        assert torch.allclose(V.T @ V, torch.eye(V.shape[1], dtype=V.dtype), atol=1e-9)
        assert V.shape[0] == w.shape[-1]
    example = course.example("03.2")[1]
    assert not any(V.shape == example.shape for _, V in layers)


# 03.3


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        ({"shaped start only", "prefilter"}, "right", "either could come out against"),
        ({"augmentation", "class in the stop band"}, "right", "no control"),
        (["prefilter", "augmentation"], "right", "no control"),
        (
            {"more seeds", "prefilter"},
            "wrong",
            "Good for the error bar. It cannot tell the constraint from its starting point.",
        ),
        (
            {"shaped start only", "larger free network"},
            "wrong",
            "It has the same access to the stop band.",
        ),
        ({"shaped start only", "augmentation"}, "wrong", "Both change training.*outside the layer"),
        ({"prefilter", "class in the stop band"}, "wrong", "it also set the starting point"),
        ({"prefilter"}, "wrong", "2 names.*1"),
        (["prefilter", "prefilter"], "wrong", "2 names.*1"),
        ({"prefilter", "augmentation", "more seeds"}, "wrong", "2 names.*3"),
        ({"prefiltered", "augmentation"}, "wrong", "No such run. Did you mean 'prefilter'"),
        ({...}, "todo", "in place of the dots"),
        ("prefilter", "wrong", "a set of two names.*a str"),
    ],
)
def test_runs(answer, state, words):
    judged("03.3", answer, state, words)


def test_exactly_the_pairs_with_one_of_each_kind_are_right():
    names = list(course.example("03.3"))
    right = [
        {a, b}
        for i, a in enumerate(names)
        for b in names[:i]
        if course.check("03.3", {a, b}).state == "right"
    ]
    asked, other = {"shaped start only", "augmentation"}, {"prefilter", "class in the stop band"}
    assert len(right) == 4
    assert all(len(pair & asked) == len(pair & other) == 1 for pair in right)


# 03.4


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (13, "right", "2 directions of 13 taps.*10 at 31 taps, 26 at 65"),
        (torch.tensor(13), "right", "13 taps"),
        (9, "wrong", "One direction: the layer could only change its volume."),
        (11, "wrong", "One direction"),
        (7, "wrong", "even the best single kernel breaks 40 dB.*0 directions of 7 taps"),
        (31, "wrong", "Enough, but shorter ones do.*fewer than 2 directions at 29 taps"),
        (15, "wrong", "Enough, but shorter ones do"),
        (14, "wrong", "no middle tap"),
        (12.5, "wrong", "whole number"),
        (0, "wrong", "whole number"),
        ("thirteen", "wrong", "a number .* a str"),
    ],
)
def test_smallest(answer, state, words):
    judged("03.4", answer, state, words)


def test_the_directions_agree_with_the_worst_kernel_found_by_hand():
    """A second implementation: of the sums of the first columns, the loudest at each frequency."""
    drawn = FilterShape.bandlimited(0.5)
    stop, all_of_it = np.linspace(0.5, 1, 2001), np.linspace(0, 0.5, 2001)
    for taps in (9, 11, 13, 15):
        places = np.arange(taps) - (taps - 1) / 2

        def waves(f, places=places):
            return np.exp(-1j * pi * np.outer(f, places))

        inside = (waves(stop).conj().T @ waves(stop)).real
        vectors = np.linalg.eigh(inside)[1]
        free = 0
        for count in range(1, taps):
            basis = vectors[:, :count]
            passed = (waves(all_of_it) @ basis).conj().T @ (waves(all_of_it) @ basis)
            whitened = basis @ np.linalg.inv(np.linalg.cholesky(passed.real / 2001)).T
            heard = waves(stop) @ whitened
            pairs = np.stack([heard.real, heard.imag], 1)
            loudest = np.linalg.svd(pairs, compute_uv=False)[:, 0].max()
            if 20 * np.log10(loudest) > -40:
                break
            free = count
        assert free == notebook_03._directions(taps)
        assert free == Subspace.of(drawn.pieces, (taps,)).dimensions
