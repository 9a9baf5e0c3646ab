"""FilterShape against numpy: what is drawn, what is read off a kernel, what is held."""

import json

import numpy as np
import pytest
import torch
from scipy import integrate, signal
from torch import nn

import shapekeeper as sk
from shapekeeper import ConstraintError, FilterShape
from shapekeeper.constraints.filters import Band, Subspace, response

LOWPASS = FilterShape.lowpass(0.2, 0.35)
BANDLIMITED = FilterShape.bandlimited(0.5, attenuation_db=30)
DILATED = FilterShape.bandlimited((0.3, 0.45), dilation=2)
DENSE = np.linspace(0, 1, 4096)

# drawing, lengths that can do it
DRAWINGS = [
    pytest.param(LOWPASS, (21, 31, 64), id="lowpass"),
    pytest.param(FilterShape.lowpass(0.2, 0.35, gain="unit"), (31,), id="lowpass, unit gain"),
    pytest.param(FilterShape.lowpass(0.1, 0.3, attenuation_db=60), (31,), id="lowpass 60 dB"),
    pytest.param(FilterShape.highpass(0.6, 0.4), (31,), id="highpass"),
    pytest.param(FilterShape.bandpass((0.4, 0.6), (0.25, 0.75)), (30, 41), id="bandpass"),
    pytest.param(FilterShape.bandstop((0.25, 0.75), (0.4, 0.6)), (41,), id="bandstop"),
    pytest.param(
        FilterShape([("pass", 0, 0.1, 1), ("stop", 0.25, 0.4, 30), ("pass", 0.55, 1, 2)]),
        (41,), id="three bands",
    ),
    pytest.param(FilterShape.target([0, 0.3, 1], [1, 0.7, 0.2], 0.1), (9, 31), id="target"),
    pytest.param(FilterShape.target([0.1, 0.5, 0.9], [0, 1, 0], 0.05), (31,), id="tent"),
    pytest.param(BANDLIMITED, (9, 15, 64), id="bandlimited"),
    pytest.param(FilterShape.bandlimited([(0, 0.2), (0.7, 1)]), (31,), id="bandlimited twice"),
    pytest.param(FilterShape.bandlimited(0.75, attenuation_db=60), (15,), id="bandlimited 60 dB"),
    pytest.param(DILATED, (31,), id="dilated"),
    pytest.param(
        FilterShape.lowpass(300, 900, sampling_rate=8000), (31,), id="in Hz",
    ),
]  # fmt: skip
EACH = [
    pytest.param(p.values[0], taps, id=f"{p.id}, {taps} taps")
    for p in DRAWINGS
    for taps in p.values[1]
]


def kernels(count: int, taps: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, taps, generator=torch.Generator().manual_seed(seed)).double()


def magnitudes(kernel: np.ndarray, frequencies: np.ndarray = DENSE) -> np.ndarray:
    """By the definition, with numpy's own polynomial evaluation."""
    return np.abs(np.polynomial.polynomial.polyval(np.exp(-1j * np.pi * frequencies), kernel))


def gain_of(shape: FilterShape, kernel: np.ndarray) -> float:
    """The reference gain by adaptive quadrature."""
    if shape == DILATED:
        shape = FilterShape.bandlimited((0.6, 0.9))  # what it asks at the kernel's own frequencies

    def at(f: float) -> float:
        return float(magnitudes(kernel, np.array([f]))[0])

    if shape.gain == "unit":
        return 1.0
    if shape.points:
        places, gains, _ = zip(*shape.points, strict=True)

        def aim(f: float) -> float:
            return float(np.interp(f, places, gains))

        ends = {"points": places[1:-1], "limit": 200}
        top = integrate.quad(lambda f: aim(f) * at(f), places[0], places[-1], **ends)[0]
        return top / integrate.quad(lambda f: aim(f) ** 2, places[0], places[-1], **ends)[0]
    unit = shape.nyquist
    passes = [b for b in shape.bands if b.kind == "pass"]
    if passes:
        parts = [(integrate.quad(at, b.low / unit, b.high / unit)[0], b) for b in passes]
        return sum(p for p, _ in parts) / sum((b.high - b.low) / unit for _, b in parts)
    stops = [(b.low / unit, b.high / unit) for b in shape.bands]
    edges = [0.0, *(e for pair in stops for e in pair), 1.0]
    free = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    power = sum(integrate.quad(lambda f: at(f) ** 2, a, b, limit=200)[0] for a, b in free)
    return float(np.sqrt(power / sum(b - a for a, b in free)))


def excess(shape: FilterShape, kernel: np.ndarray) -> float:
    """Worst miss in dB on 4096 frequencies of the input, band edges included."""
    edges = [f for b in shape.bands for f in b[1:3]] + [p.frequency for p in shape.points]
    places = np.sort([*DENSE * shape.nyquist, *edges])
    low, high = shape.limits(places)
    inside = magnitudes(kernel, places / shape.nyquist * shape.dilation) / gain_of(shape, kernel)
    with np.errstate(divide="ignore"):
        over, under = 20 * np.log10(inside / high), 20 * np.log10(low / inside)
    return max(float(over.max()), float(under.max()), 0.0)


class TestDrawing:
    def test_the_call_that_makes_it(self):
        for shape, said in [
            (LOWPASS, "FilterShape.lowpass(0.2, 0.35)"),
            (
                FilterShape.lowpass(300, 500, ripple_db=0.5, sampling_rate=8000),
                "FilterShape.lowpass(300, 500, ripple_db=0.5, sampling_rate=8000)",
            ),
            (FilterShape.highpass(0.6, 0.4, gain="unit"),
             "FilterShape.highpass(0.6, 0.4, gain='unit')"),
            (FilterShape.bandpass((0.4, 0.6), (0.3, 0.7)),
             "FilterShape.bandpass((0.4, 0.6), (0.3, 0.7))"),
            (FilterShape.bandstop((0.3, 0.7), (0.4, 0.6)),
             "FilterShape.bandstop((0.3, 0.7), (0.4, 0.6))"),
            (FilterShape.bandlimited(0.5), "FilterShape.bandlimited(0.5)"),
            (FilterShape.bandlimited((0.2, 0.4)), "FilterShape.bandlimited((0.2, 0.4))"),
            (FilterShape.bandlimited([(0, 0.1), (0.4, 1)], attenuation_db=20, dimensions=2),
             "FilterShape.bandlimited([(0, 0.1), (0.4, 1)], attenuation_db=20, dimensions=2)"),
            (FilterShape.target([0, 1], [1, 0.5], 0.1),
             "FilterShape.target([0, 1], [1, 0.5], 0.1)"),
            (FilterShape([("stop", 0.5, 0.6, 20), ("stop", 0.7, 1, 30)]),
             "FilterShape([('stop', 0.5, 0.6, 20), ('stop', 0.7, 1, 30)])"),
        ]:  # fmt: skip
            assert repr(shape) == said
            assert eval(said, {"FilterShape": FilterShape}) == shape
            assert FilterShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape

    def test_bands_are_a_value_in_rising_order(self):
        given = [("stop", 0.5, 1, 40), Band("pass", 0, 0.3, 1)]
        assert FilterShape(given) == FilterShape(given[::-1])
        assert hash(FilterShape(given)) == hash(FilterShape(given[::-1]))
        assert FilterShape(given).bands[0] == ("pass", 0.0, 0.3, 1.0)

    def test_kind(self):
        assert LOWPASS.kind == "template"
        assert FilterShape.target([0, 1], [1, 0], 0.1).kind == "template"
        assert BANDLIMITED.kind == "band-limited"

    def test_hertz_are_nyquist_units_times_half_the_rate(self):
        hertz = FilterShape.lowpass(800, 1400, sampling_rate=8000)
        x = kernels(5, 31)
        torch.testing.assert_close(hertz.violation(x), LOWPASS.violation(x))
        assert hertz.nyquist == 4000
        assert [h[0] for h in hertz.limits([1000.0])] == [0.0, np.inf]

    def test_all_problems_at_once(self):
        with pytest.raises(ConstraintError) as caught:
            FilterShape(
                [("stop", 0.5, 0.4, 20), ("pas", 0, 0.1, 1), ("pass", 0, 2, 0)],
                gain="some", sampling_rate=-1, dilation=0, dimensions=3,
            )  # fmt: skip
        for words in (
            "Wanted a sampling_rate above 0 in Hz, or None, got -1.",
            "Wanted gain='free' or gain='unit', got 'some'.",
            "Wanted a dilation that is a whole number from 1 up, got 0.",
            "Wanted dimensions=1 or dimensions=2, got 3.",
            "Wanted 0 <= low < high <= 1 (Nyquist) for the stop band (0.5, 0.4), got 0.5 and 0.4.",
            "Wanted kind 'pass' or 'stop' of a band, got 'pas'.",
            "Wanted 0 <= low < high <= 1 (Nyquist) for the pass band (0.0, 2.0), got 0 and 2.",
            "Wanted ripple above 0 dB and up to 200 for the pass band (0.0, 2.0), got 0.",
        ):
            assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: FilterShape([]), "Wanted at least one band, got none"),
            (lambda: FilterShape.lowpass(0.5, 0.4),
             "A pass band ends at 0.5 and a stop band begins at 0.4 Nyquist: wanted bands that do "
             "not overlap"),
            (lambda: FilterShape.lowpass(300, 500, sampling_rate=600),
             r"Wanted 0 <= low < high <= 300 \(Hz\) for the stop band"),
            (lambda: FilterShape([("stop", 0.5, 1)]),
             r"Wanted a band \(kind, low, high, decibels\)"),
            (lambda: FilterShape.lowpass(0.2, float("nan")), "Wanted three finite numbers"),
            (lambda: FilterShape.bandlimited(0.5, attenuation_db=300),
             "and up to 200 for the stop"),
            (lambda: FilterShape.bandlimited((0, 1)), "leave only silence"),
            (lambda: FilterShape([("stop", 0.5, 1, 40)], gain="unit"), "has no gain to hold"),
            (lambda: FilterShape([("pass", 0, 0.2, 1)], dimensions=2),
             "In two dimensions only stop bands can be held"),
            (lambda: FilterShape.target([0, 1], [1], 0.1), "2 frequencies, 1 gains"),
            (lambda: FilterShape.target([0.5, 0.2], [1, 1], 0.1), "two rising frequencies"),
            (lambda: FilterShape.target([0, 1], [0, 0], 0.1), "at least one of them above 0"),
            (lambda: FilterShape.target([0, 1], [1, 1], 0), "Wanted tolerances above 0"),
            (lambda: FilterShape.lowpass(0.2, 0.35, dilation=2),
             "A kernel with dilation 2 repeats its response every 1: what passes from 0 to 0.2 "
             "passes again where the drawing stops it, between 0.35 and 1"),
        ],
    )  # fmt: skip
    def test_what_can_not_be_drawn(self, make, words):
        with pytest.raises(ConstraintError, match=words):
            make()


class TestReading:
    def test_response_is_the_definition(self):
        x = kernels(3, 12)
        ours = response(x, DENSE).abs().numpy()
        np.testing.assert_allclose(ours, [magnitudes(k) for k in x.numpy()], atol=1e-12)
        scipys = signal.freqz(x[0].numpy(), worN=np.pi * DENSE)[1]
        np.testing.assert_allclose(ours[0], np.abs(scipys), atol=1e-12)

    def test_response_counts_from_the_middle(self):
        symmetric = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
        found = response(symmetric, [0.0, 0.5, 1.0])
        torch.testing.assert_close(found.real, torch.tensor([4.0, 2.0, 0.0]).double())
        assert found.imag.abs().max() < 1e-12

    @pytest.mark.parametrize(("shape", "taps"), EACH)
    def test_reference_and_violation_by_quadrature(self, shape, taps):
        held = shape.project(kernels(4, taps))
        # Not so far off that a null cuts a pass band: it would seem as deep as the grid is fine.
        noise = 0.07 * kernels(4, taps, seed=1) * held.norm(dim=1, keepdim=True) / taps**0.5
        missed = []
        for kernel in held + noise:
            gain = gain_of(shape, kernel.numpy())
            assert abs(20 * np.log10(shape.reference(kernel).item() / gain)) < 0.01
            off = excess(shape, kernel.numpy())
            assert abs(shape.violation(kernel).item() - off) < 0.02 * (1 + off)
            missed.append(off)
        assert max(missed) > 0.3

    def test_free_gain_does_not_mind_a_factor(self):
        x = kernels(4, 31)
        for shape in (LOWPASS, BANDLIMITED):
            for factor in (1e-6, -3.0, 1e6):
                torch.testing.assert_close(shape.violation(factor * x), shape.violation(x))
                torch.testing.assert_close(
                    shape.penalty(factor * x.float()), shape.penalty(x.float()), rtol=1e-3, atol=0
                )
        unit = FilterShape.lowpass(0.2, 0.35, gain="unit")
        assert (unit.violation(2 * unit.project(x)) > 4).all()

    def test_unit_gain_takes_no_kernel_of_zeros(self):
        zeros = torch.zeros(31)
        assert LOWPASS.allows(zeros)
        assert BANDLIMITED.allows(zeros)
        assert not FilterShape.lowpass(0.2, 0.35, gain="unit").allows(zeros)

    def test_penalty_is_the_mean_squared_hinge_in_dB(self):
        x = kernels(2, 15)
        _, at_most = BANDLIMITED.residual(x)
        mean = (at_most.clamp(min=0) / 10).square().mean(-1)
        torch.testing.assert_close(BANDLIMITED.penalty(x), mean)

    def test_a_peak_at_the_edge_still_has_a_gradient(self):
        # Relative to its largest value this kernel would be at 0 dB whatever its size there.
        kernel = torch.tensor([(-1.0) ** n for n in range(15)], dtype=torch.float64)
        kernel = kernel.requires_grad_()
        (grad,) = torch.autograd.grad(BANDLIMITED.penalty(kernel), kernel)
        step = BANDLIMITED.penalty(kernel - 1e-3 * grad / grad.norm())
        assert grad.norm() > 1e-3
        assert step < BANDLIMITED.penalty(kernel)

    def test_report(self):
        good, bad = BANDLIMITED.project(kernels(3, 15)), kernels(3, 15)
        weight = torch.stack([good, bad]).clone()
        weight[0, 0] = 1e-7 * bad[0]  # dead, and off the drawing
        report = BANDLIMITED.measure(weight)
        assert report.dead.tolist() == [True, *[False] * 5]
        assert report.met[1:].tolist() == [True, True, False, False, False]
        assert report.share_met == 2 / 5
        outside = [excess(BANDLIMITED, k.numpy()) for k in bad]
        np.testing.assert_allclose(report.excess_db[3:], outside, atol=0.05)
        np.testing.assert_allclose(report.stop_db[3:], np.array(outside) - 30, atol=0.05)
        responses = np.array([[_complex(k) for k in row] for row in weight.numpy()])
        top = max(np.linalg.norm(m, 2) for m in np.moveaxis(responses, -1, 0))
        assert report.worst_stop_gain == pytest.approx(top, rel=1e-3)
        assert "40% of 5 filters meet it" in repr(report)
        assert "1 dead" in repr(report)


def _complex(kernel: np.ndarray) -> np.ndarray:
    stop = DENSE[DENSE >= 0.5]
    return np.polynomial.polynomial.polyval(np.exp(-1j * np.pi * stop), kernel)


class TestHolding:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize(("shape", "taps"), EACH)
    def test_projected_kernels_meet_the_drawing_everywhere(self, shape, taps, dtype):
        """On a grid that nothing in the library uses, with the gain by quadrature."""
        for kernel in shape.project(kernels(6, taps).to(dtype)):
            assert excess(shape, kernel.double().numpy()) <= 0.02

    @pytest.mark.parametrize(("shape", "taps"), EACH)
    def test_projection_in_double_precision(self, shape, taps):
        x = kernels(20, taps)
        once = shape.project(x)
        torch.testing.assert_close(shape.project(once), once, rtol=0, atol=1e-9)
        torch.testing.assert_close(shape.project(x.flip(-1)), once.flip(-1), rtol=0, atol=1e-9)
        if shape.gain == "free":
            torch.testing.assert_close(shape.project(-2 * x), -2 * once, rtol=0, atol=1e-9)

    def test_subspace_is_the_least_energy_one(self):
        """Against scipy's prolate sequences, which span the same for one band."""
        for taps, edge in ((15, 0.5), (31, 0.25)):
            ours = Subspace.of(FilterShape.bandlimited(edge).pieces, (taps,)).basis
            count = ours.shape[1]
            theirs = signal.windows.dpss(taps, taps * edge / 2, Kmax=count).T
            np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-9)

    def test_every_sum_of_held_kernels_is_held(self):
        x = BANDLIMITED.project(kernels(50, 15))
        mixed = kernels(200, 50) @ x
        assert (BANDLIMITED.violation(mixed) == 0).all()

    def test_guarantee_is_the_worst_there_is(self):
        """Gradient ascent inside the subspace finds what the eigenvalues say."""
        space = Subspace.of(BANDLIMITED.pieces, (15,))
        basis = torch.from_numpy(space.basis)
        theta = kernels(30, space.dimensions).requires_grad_()
        climb = torch.optim.LBFGS([theta], max_iter=300, line_search_fn="strong_wolfe")

        def level() -> torch.Tensor:
            x = theta @ basis.T
            inside = response(x, np.linspace(0.5, 1, 400)).abs()
            return inside.amax(-1) / BANDLIMITED.reference(x)

        def ascend() -> torch.Tensor:
            climb.zero_grad()
            loss = -level().log().sum()
            loss.backward()
            return loss

        climb.step(ascend)
        worst = 20 * level().max().log10().item()
        promised = -space.attenuation_db[space.dimensions - 1]
        assert worst <= promised + 1e-3
        assert worst >= promised - 0.1

    def test_two_dimensions_on_a_disc(self):
        shape = FilterShape.bandlimited(0.5, attenuation_db=30, dimensions=2)
        x = torch.randn(4, 3, 11, 11, generator=torch.Generator().manual_seed(0)).double()
        held = shape.project(x)
        assert shape.allows(held).all()
        assert not shape.allows(x).any()
        spectrum = torch.fft.fft2(held, s=(256, 256)).abs()
        f = 2 * torch.fft.fftfreq(256).double().abs()
        far = (f[:, None] ** 2 + f**2).sqrt() >= 0.5
        level = spectrum[..., far].amax(-1) / spectrum[..., ~far].square().mean(-1).sqrt()
        assert (20 * level.log10()).max() <= -30 + 0.05

    def test_low_precision_says_what_it_can(self):
        deep = FilterShape.bandlimited(0.5, attenuation_db=60)
        x = deep.project(kernels(50, 31))
        assert deep.tolerance(torch.float32) < 0.03
        assert deep.tolerance(torch.bfloat16) > 10
        assert deep.violation(x.bfloat16()).median() > 3

    def test_start_keeps_the_norm_and_revives_the_dead(self):
        x = kernels(20, 31)
        x[0] = kernels(1, 31)[0] - kernels(1, 31)[0].flip(-1)  # antisymmetric: projects to nothing
        for shape in (LOWPASS, FilterShape.bandlimited(0.3)):
            start = shape.start(x)
            assert shape.allows(start).all()
            torch.testing.assert_close(start.norm(dim=-1), x.norm(dim=-1))
        assert LOWPASS.project(x[0]).norm() < 1e-9


class TestLayers:
    def test_dilation_must_be_the_drawing_s(self):
        shape = DILATED
        shape.check_layer(nn.Conv1d(1, 1, 31, dilation=2))
        with pytest.raises(ConstraintError, match="The layer has dilation 1, the drawing is for 2"):
            shape.check_layer(nn.Conv1d(1, 1, 31))
        with pytest.raises(ConstraintError, match=r"Wanted FilterShape\(..., dilation=3\)"):
            LOWPASS.check_layer(nn.Conv1d(1, 1, 31, dilation=3))

    def test_dilated_layer_does_what_was_drawn(self):
        """A tone in the stop band through the real layer."""
        shape = DILATED
        layer = nn.Conv1d(1, 1, 31, dilation=2, bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(shape.project(layer.weight))
        t = torch.arange(2000.0, dtype=torch.float64)
        tones = {f: torch.cos(torch.pi * f * t)[None, None] for f in (0.05, 0.375, 0.625, 0.95)}
        loud = {f: layer(tone).abs().max().item() for f, tone in tones.items()}
        assert max(loud[0.375], loud[0.625]) < 0.011 * shape.reference(layer.weight).item()
        assert loud[0.05] == pytest.approx(loud[0.95], rel=1e-2)  # the image

    def test_stride_folds_what_is_not_stopped(self):
        FilterShape.bandlimited(0.5).check_layer(nn.Conv1d(1, 1, 31, stride=2))
        LOWPASS.check_layer(nn.Conv1d(1, 1, 31, stride=2))
        words = (
            "With stride 4, frequencies above 0.25 fold back into those that are kept, and the "
            "drawing does not stop them from 0.25 on. Wanted stop bands from 0.25 to 1, or stride "
            r"1 and a subsampling of your own, y\[..., ::4\]."
        )
        with pytest.raises(ConstraintError, match=words):
            LOWPASS.check_layer(nn.Conv1d(1, 1, 31, stride=4))
        with pytest.raises(ConstraintError, match=r"does not stop them from 0\.5 on"):
            FilterShape.highpass(0.6, 0.4).check_layer(nn.Conv1d(1, 1, 31, stride=2))
        LOWPASS.check_layer(nn.ConvTranspose1d(1, 1, 31, stride=4))

    def test_hold_and_task_ask_the_layer(self):
        model = nn.Sequential(nn.Conv1d(1, 2, 31, stride=4))
        with pytest.raises(sk.HoldError, match="With stride 4"):
            sk.hold(model, {"0.weight": LOWPASS})
        task = sk.Task("t", model=lambda seed: model, data=max, loss=max, metric=max,
                       constraints={"0.weight": LOWPASS})  # fmt: skip
        with pytest.raises(sk.TaskError, match="With stride 4"):
            task.check()

    @pytest.mark.parametrize(
        ("padding", "said"),
        [
            ({}, False),
            ({"padding": 3}, True),
            ({"padding": "same"}, True),
            ({"padding": 3, "padding_mode": "reflect"}, True),
            ({"padding": "same", "padding_mode": "circular"}, False),
        ],
    )
    def test_report_tells_of_the_filters_and_of_padding(self, padding, said):
        model = nn.Sequential(nn.Conv1d(1, 4, 31, **padding))
        notes = sk.hold(model, {"0.weight": LOWPASS}).report().notes
        assert "0.weight: 100% of 4 filters meet it; worst stop -40." in notes[0]
        leak = f"padding with {padding.get('padding_mode', 'zeros')} leaks at the borders"
        assert any(leak in note for note in notes) == said

    @pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
    def test_padding_leaks_as_it_says(self, mode):
        """A tone in the stop band, whole periods of it, through 77 dB."""
        shape = FilterShape.bandlimited(0.5, attenuation_db=77)
        layer = nn.Conv1d(1, 1, 31, padding=15, padding_mode=mode, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(shape.project(layer.weight))
        tone = torch.cos(torch.pi * 0.7 * torch.arange(40.0).double())[None, None]
        leaked = layer(tone).square().mean().sqrt() / tone.square().mean().sqrt()
        level = 20 * (leaked / shape.reference(layer.weight).squeeze()).log10().item()
        assert (level < -76) == (mode == "circular")
        assert mode == "circular" or level > -45

    def test_check_names_the_axis(self):
        with pytest.raises(ConstraintError, match="Wanted a weight whose last axes are the taps"):
            LOWPASS.check(())
        with pytest.raises(ConstraintError, match=r"\(rows, columns\) of taps, got shape \(7,\)"):
            FilterShape.bandlimited(0.5, dimensions=2).check((7,))
