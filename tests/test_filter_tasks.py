"""Tasks for drawn filters: what each band says, what is added in the tests, and the baselines."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import convolve
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper import tasks
from shapekeeper.randomness import generator
from shapekeeper.tasks import (
    augmented,
    band_noise,
    band_tone,
    both_bands,
    power_share,
    prefiltered_model,
    shape_templates,
    shapes,
    short_model,
    shortcut,
    tones,
    tones_best,
    with_sinc,
)
from shapekeeper.tasks.shapes import bare_shapes

UPPER = ((0.5, 1.0),)
MAKERS = {
    "shapes": shapes,
    "long shapes": lambda: shapes(samples=160, taps=31, stride=2),
    "tones": tones,
    "shortcut": shortcut,
    "both bands": both_bands,
}
FREE = sk.Unconstrained("task")


def periodogram(x):
    """Power at 4097 frequencies from 0 to 1, of all signals."""
    return np.abs(np.fft.rfft(np.asarray(x, dtype=np.float64), n=2**13)) ** 2


def share_by_transform(x, bands):
    """The share of power in some bands, summed over a fine transform."""
    power, frequencies = periodogram(x), np.linspace(0, 1, 2**12 + 1)
    power[..., [0, -1]] /= 2  # the ends of a sum that stands for an integral
    inside = sum((frequencies >= low) & (frequencies <= high) for low, high in bands)
    return (power * inside).sum(-1) / power.sum(-1)


def rms(x):
    return x.square().mean(-1).sqrt()


def signals(task, part, seed=0):
    x, y = task.data_for(seed).parts[part]
    return x[:, 0], y


def loudest_period(x, periods):
    """Which of some tones a signal holds most of, whatever its phase."""
    power = np.abs(np.fft.rfft(np.asarray(x, dtype=np.float64)))[..., list(periods)]
    return torch.tensor(power.argmax(-1))


def right(guess, y):
    return (guess == y).double().mean().item()


# Bands


@pytest.mark.parametrize("bands", [UPPER, ((0.0, 0.3),), ((0.1, 0.25), (0.6, 0.9))])
def test_the_share_of_power_is_that_of_a_fine_transform(bands):
    x = torch.randn(20, 33, generator=generator(0, "x"))
    assert_close(power_share(x, bands).numpy(), share_by_transform(x, bands), atol=1e-3, rtol=0)
    rest = [0.0, *(edge for band in bands for edge in band), 1.0]
    others = tuple(zip(rest[::2], rest[1::2], strict=True))
    assert_close(power_share(x, bands) + power_share(x, others), torch.ones(20).double())


@pytest.mark.parametrize("bands", [UPPER, ((0.0, 0.3),), ((0.1, 0.3), (0.6, 0.9))])
@pytest.mark.parametrize("kind", [band_noise, band_tone])
def test_disturbances_lie_in_their_bands_and_have_a_size_of_1(kind, bands):
    added = kind(200, 64, bands, generator(0, "x"))
    assert added.shape == (200, 64)
    assert (1 - share_by_transform(added, bands)).max() < 1e-3 + 1e-4  # the second is the sum's
    assert (1 - power_share(added, bands)).max() < 1e-3
    assert_close(rms(added), torch.ones(200))


def test_noise_is_as_strong_all_over_the_inside_of_its_band():
    power = periodogram(band_noise(4000, 64, UPPER, generator(0, "x"))).mean(0)
    inside = power[int(0.6 * 2**12) :]
    assert inside.max() / inside.min() < 1.3
    # all in half of the frequencies: twice the power of white noise, which is 64
    assert inside.mean() == pytest.approx(2 * 64, rel=0.15)


def test_tones_are_narrow_and_anywhere_in_the_bands():
    bands = ((0.1, 0.3), (0.6, 0.9))
    power = periodogram(band_tone(500, 64, bands, generator(0, "x")))
    frequencies = np.linspace(0, 1, 2**12 + 1)
    peaks = frequencies[power.argmax(1)]
    near = np.abs(frequencies - peaks[:, None]) < 4 / 64
    assert np.median((power * near).sum(1) / power.sum(1)) > 0.9
    assert np.mean(peaks < 0.5) == pytest.approx(0.4, abs=0.07)  # as wide as 0.2 of 0.5
    assert all(np.any(np.abs(peaks - wanted) < 0.02) for wanted in (0.13, 0.2, 0.27, 0.65, 0.85))


def test_in_a_band_too_narrow_the_one_best_sequence_is_left():
    noise = band_noise(5, 40, ((0.4, 0.45),), generator(0, "x"))
    assert np.linalg.matrix_rank(noise.numpy(), tol=1e-3) == 1
    assert_close(rms(noise), torch.ones(5))


# All tasks


@pytest.mark.parametrize("name", MAKERS)
def test_everything_follows_from_the_seed(name):
    once, again = (MAKERS[name]().data_for(3).parts for _ in range(2))
    for part, (x, y) in once.items():
        assert torch.equal(x, again[part][0])
        assert torch.equal(y, again[part][1])
    other = MAKERS[name]().data_for(4).parts
    assert not any(torch.equal(x, other[part][0]) for part, (x, _) in once.items())


@pytest.mark.parametrize("name", MAKERS)
def test_training_signals_are_standard_and_classes_equally_frequent(name):
    x, y = signals(MAKERS[name](), "train")
    assert x.mean().item() == pytest.approx(0, abs=1e-5)
    assert x.square().mean().item() == pytest.approx(1, abs=1e-5)
    classes = 10 if "shapes" in name else 8
    counts = torch.bincount(y)
    assert len(counts) == classes
    assert (counts / len(y) - 1 / classes).abs().max() < 4 * (1 / classes / len(y)) ** 0.5


@pytest.mark.parametrize("name", ["shapes", "long shapes", "tones"])
def test_shifted_tests_are_the_test_with_something_in_the_stop_band(name):
    task = MAKERS[name]()
    x, y = signals(task, "test")
    levels = {"noise2": 2, "noise4": 4} | ({"tone4": 4} if name == "tones" else {})
    assert list(task.data_for(0).shifted) == list(levels)
    for part, level in levels.items():
        shifted, classes = signals(task, part)
        assert torch.equal(classes, y)
        assert_close(rms(shifted - x), torch.full((500,), float(level)))
        assert (1 - share_by_transform(shifted - x, UPPER)).max() < 1e-3 + 1e-4
    twice = 2 * (signals(task, "noise2")[0] - x)
    assert_close(twice, signals(task, "noise4")[0] - x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("error")
def test_all_rows_of_the_table_train_as_one_program(name):
    task = MAKERS[name]()
    first = sk.Stage(0.5, sk.Penalty(1.0), model=short_model(task))
    rows = {
        "free": FREE,
        "held": sk.Projection(),
        "chart": sk.Reparametrization(),
        "staged": sk.Staged(first, sk.Stage(0.5, sk.Unconstrained(), rate=0.01)),
        "prefilter": sk.Staged(sk.Stage(1.0, FREE, model=prefiltered_model(task))),
    }
    found = sk.compare(task, rows, seeds=2, steps=4)
    others = {
        "augmented": sk.compare(augmented(task, copies=1), [FREE], seeds=2, steps=4),
        "sinc": sk.compare(with_sinc(task), [sk.Unconstrained()], seeds=2, steps=4),
    }
    table = found.beside(others)
    assert table.notes == []
    assert list(table.strategies) == [*rows, *others]
    assert not table.final()["diverged"].any()
    assert table.summary()["metric"].notna().all()


@pytest.mark.parametrize("name", MAKERS)
def test_tasks_and_their_variants_travel_to_workers(name):
    task = MAKERS[name]()
    for variant in (task, augmented(task), with_sinc(task)):
        again = pickle.loads(pickle.dumps(variant))
        assert again.constraints == variant.constraints
        assert_close(again.start_model(1).state_dict(), variant.start_model(1).state_dict())
        x = signals(variant, "test")[0]
        assert torch.equal(signals(again, "test")[0], x)


def test_the_data_follow_the_stop_bands_of_the_drawing_and_nothing_else():
    hertz = sk.FilterShape.lowpass(1000, 2000, sampling_rate=8000)
    same = [shapes(), shapes(hertz), shapes(hertz, noise_band=(0.5, 1))]
    expected = shapes().data_for(0).parts
    for task in same:
        for part, (x, _) in task.data_for(0).parts.items():
            assert torch.equal(x, expected[part][0])
    notch = shapes(sk.FilterShape.bandlimited((0.3, 0.5), attenuation_db=20))
    assert torch.equal(signals(notch, "test")[0], signals(shapes(), "test")[0])
    added = signals(notch, "noise4")[0] - signals(notch, "test")[0]
    assert power_share(added, ((0.3, 0.5),)).min() > 0.999 - 1e-5
    target = sk.FilterShape.target([0, 0.5, 1], [1, 0.5, 0.1], 0.2)
    with pytest.raises(sk.TaskError, match=r"target.*stops nothing.*noise_band=\(0.5, 1\)"):
        shapes(target)
    assert shapes(target, noise_band=(0.6, 1)).constraints == {"shaped.weight": target}


def test_a_dilated_drawing_gets_a_dilated_layer():
    shape = sk.FilterShape.bandlimited((0.25, 0.75), attenuation_db=30, dilation=2)
    task = shapes(shape)
    assert task.start_model(0).shaped.dilation == (2,)
    assert task.start_model(0)(torch.zeros(2, 1, 40)).shape == (2, 10)
    fixed = prefiltered_model(task)(0).prefilter
    frequencies = np.linspace(0, 1, 2**12 + 1)
    gain = np.sqrt(periodogram(fixed))
    assert gain[(frequencies >= 0.25) & (frequencies <= 0.75)].max() < 10 ** (-30 / 20)
    assert gain[0] == pytest.approx(1, abs=0.05)
    assert gain[-1] == pytest.approx(1, abs=0.05)


# Shapes


def test_what_lies_above_the_edge_is_known():
    for samples, share in ((40, 0.056), (160, 0.0005)):
        bare, _ = bare_shapes(4000, samples, generator(9, "x"))
        found = share_by_transform(bare, UPPER).mean()
        assert found == pytest.approx(share, rel=0.1)


def test_bare_shapes_are_lines_through_their_corners():
    bare, classes = bare_shapes(300, 40, generator(0, "x"))
    heights = shape_templates().numpy()
    assert_close(shape_templates().square().mean(1), torch.ones(10))
    time = (np.arange(40) + 0.5) / 40
    draws = generator(0, "x")
    torch.randint(10, (300,), generator=draws)
    width, place, gain = torch.rand(3, 300, 1, generator=draws).double().numpy()
    for i in range(300):
        wide, high = 0.4 + 0.3 * width[i, 0], 0.8 + 0.4 * gain[i, 0]
        begin = place[i, 0] * (1 - wide)
        corners = begin + wide * np.linspace(0, 1, 12)
        line = high * np.interp(time, corners, heights[classes[i]], left=0, right=0)
        assert np.abs(bare[i].numpy() - line).max() < 1e-4
    assert (bare == 0).double().mean() > 0.25  # silence around a shape


def test_the_free_network_falls_for_noise_that_the_held_one_does_not_hear():
    found = sk.compare(shapes(), {"free": FREE, "held": sk.Reparametrization()}, seeds=2, steps=250)
    last = found.final().groupby(level="strategy").mean()
    free, held = last.loc["free"], last.loc["held"]
    assert free["metric"] - free["metric:noise4"] > 0.3
    assert abs(held["metric"] - held["metric:noise4"]) < 0.03
    assert held["metric"] > 0.4
    assert free["metric"] > held["metric"]  # what it can't hear costs it something
    assert found.holds("held") == "always"
    assert held["violation"] == 0


# Tones


def test_each_class_is_one_tone():
    x, y = signals(tones(noise=0.01), "train")
    assert right(loudest_period(x, range(2, 10)), y) == 1.0
    spectrum = periodogram(x)[:, :: 2**13 // 64]
    assert_close(spectrum.argmax(1), y.numpy() + 2)
    turns = np.fft.rfft(x.numpy())[np.arange(len(y)), y + 2]
    assert np.abs((turns / np.abs(turns)).mean()) < 4 / len(y) ** 0.5  # phases are anywhere


@pytest.mark.parametrize("noise", [2.0, 3.0])
def test_the_best_listener_is_as_good_as_the_formula_says(noise):
    shares = [
        right(loudest_period(x, range(2, 10)), y)
        for seed in range(5)
        for x, y in [signals(tones(noise=noise), "train", seed)]
    ]
    best = tones_best(noise)
    assert np.mean(shares) == pytest.approx(best, abs=4 * (best * (1 - best) / 20_000) ** 0.5)


def test_the_best_listener_at_the_ends():
    assert tones_best(1e-3) == pytest.approx(1)
    assert tones_best(1e3) == pytest.approx(1 / 8, abs=1e-3)
    assert tones_best(2) > tones_best(2.5) > tones_best(3)


def test_the_best_listener_does_not_mind_what_is_added_in_the_stop_band():
    task = tones()
    for part in ("noise4", "tone4"):
        shares = [
            right(loudest_period(x, range(2, 10)), y)
            for seed in range(4)
            for x, y in [signals(task, part, seed)]
        ]
        assert np.mean(shares) == pytest.approx(tones_best(), abs=0.02)


# The false clue


def test_the_clue_tells_97_percent_in_training_and_nothing_in_the_test():
    task, told = shortcut(), {}
    for part in ("train", "as_trained", "test"):
        pairs = [signals(task, part, seed) for seed in range(5)]
        told[part] = np.mean([right(loudest_period(x, range(20, 28)), y) for x, y in pairs])
    assert told["train"] == pytest.approx(0.97, abs=4 * (0.97 * 0.03 / 20_000) ** 0.5)
    assert told["as_trained"] == pytest.approx(0.97, abs=4 * (0.97 * 0.03 / 2500) ** 0.5)
    assert told["test"] == pytest.approx(1 / 8, abs=4 * (7 / 64 / 2500) ** 0.5)


def test_a_clue_that_is_wrong_names_any_other_class():
    x, y = signals(shortcut(), "train")
    off = (loudest_period(x, range(20, 28)) - y) % 8
    counts = torch.bincount(off, minlength=8)[1:]
    assert counts.min() > 0.3 * counts.double().mean()


def test_who_hears_below_the_edge_alone_is_as_good_as_the_formula_says():
    for part in ("train", "test"):
        pairs = [signals(shortcut(), part, seed) for seed in range(5)]
        share = np.mean([right(loudest_period(x, range(2, 10)), y) for x, y in pairs])
        assert share == pytest.approx(tones_best(2.5), abs=0.03)
    x, _ = signals(shortcut(), "train")
    peaks = periodogram(x).argmax(1) / 2**12
    assert np.median(peaks) > 0.6  # the clue is the loudest


# The control


def test_half_of_the_class_is_told_above_the_edge():
    shares = {"both": [], "low": []}
    for seed in range(4):
        x, y = signals(both_bands(), "test", seed)
        low, high = loudest_period(x, (2, 4, 6, 8)), loudest_period(x, (20, 26))
        shares["both"].append(right(2 * low + high, y))
        shares["low"].append(right(2 * low, y))
        assert right(low, y // 2) > 0.99
        assert right(high, y % 2) > 0.99
    assert np.mean(shares["both"]) > 0.99
    assert np.mean(shares["low"]) == pytest.approx(0.5, abs=0.04)


# Baselines


@pytest.mark.parametrize("taps", [None, 31])
def test_the_prefilter_takes_the_stop_band_away_before_the_network(taps):
    task = shapes()
    model = prefiltered_model(task, taps)(0)
    kernel = model.prefilter
    assert len(kernel) == (15 if taps is None else 31)
    assert task.constraints["shaped.weight"].violation(kernel).item() == 0
    x = signals(task, "test")[0][:20]
    reach = len(kernel) // 2
    padded = np.pad(x.numpy(), ((0, 0), (reach, reach)), mode="reflect")
    heard = [convolve(row, kernel.numpy()[::-1], mode="valid") for row in padded]
    free = replace(task, model=task.model).start_model(0)
    free.load_state_dict({k: v for k, v in model.state_dict().items() if k != "prefilter"})
    expected = free(torch.tensor(np.array(heard))[:, None].float())
    assert_close(model(x[:, None]), expected, atol=1e-4, rtol=1e-4)
    noise = band_noise(50, 1000, UPPER, generator(0, "x"))
    passed = convolve(noise.numpy(), kernel.numpy()[None], mode="valid")
    assert 20 * np.log10(passed.std() / noise.numpy().std()) < -30


def test_the_prefilter_of_a_template_is_the_kernel_in_its_middle():
    shape = sk.FilterShape.lowpass(0.2, 0.5, ripple_db=1, attenuation_db=25)
    kernel = prefiltered_model(shapes(shape))(0).prefilter
    assert shape.violation(kernel.double()).item() == 0
    assert kernel.sum().item() == pytest.approx(1, rel=0.13)
    with pytest.raises(sk.ConstraintError, match=r"5 taps"):
        prefiltered_model(shapes(shape), 5)


def test_the_prefilter_stays_and_the_free_layer_is_what_is_measured():
    task = shapes()
    model = prefiltered_model(task)
    found = sk.compare(
        task, {"prefilter": sk.Staged(sk.Stage(1.0, FREE, model=model))}, seeds=2, steps=30
    )
    tensors = found.tensors["prefilter"]
    assert_close(tensors["prefilter"], model(0).prefilter.expand(2, -1))
    violation = task.constraints["shaped.weight"].violation(tensors["shaped.weight"])
    assert violation.amax((1, 2)).min() > 15
    assert found.final()["violation"].tolist() == pytest.approx(violation.amax((1, 2)).tolist())


def test_weights_of_the_short_network_pass_on():
    task = shapes()
    short = short_model(task)
    names = dict(task.start_model(0).named_parameters())
    shared = {k for k, v in short(0).named_parameters() if names[k].shape == v.shape}
    assert shared == {"shaped.weight", "shaped.bias", "head.bias"}
    assert short(0)(torch.zeros(3, 1, 40)).shape == (3, 10)
    first = sk.Stage(0.5, sk.Penalty(1.0), model=short)
    still = sk.Staged(first, sk.Stage(0.5, sk.Unconstrained(), rate=0.0))
    staged = sk.compare(task, {"staged": still}, seeds=2, steps=20).tensors["staged"]
    alone = sk.compare(replace(task, model=short), [sk.Penalty(1.0)], seeds=2, steps=10)
    assert_close(staged["shaped.weight"], alone.tensors["Penalty 1"]["shaped.weight"])
    assert "behind.0.weight" in staged


def test_augmentation_adds_noisy_copies_to_training_alone():
    task = shapes()
    richer = augmented(task, copies=2)
    for part, (x, y) in task.data_for(0).parts.items():
        if part != "train":
            assert torch.equal(richer.data_for(0).parts[part][0], x)
            assert torch.equal(richer.data_for(0).parts[part][1], y)
    (x, y), (more, classes) = signals(task, "train"), signals(richer, "train")
    assert torch.equal(more[:4000], x)
    assert torch.equal(classes, y.repeat(3))
    added = more[4000:] - x.repeat(2, 1)
    assert (1 - power_share(added, UPPER)).max() < 2e-3
    levels = rms(added)
    assert levels.max() <= 4
    assert levels.mean().item() == pytest.approx(2, abs=4 * (16 / 12 / 8000) ** 0.5)
    assert not torch.equal(added[:4000], added[4000:])
    assert_close(richer.start_model(0).state_dict(), task.start_model(0).state_dict())


def test_the_sinc_layer_is_measured_and_can_be_held():
    task = with_sinc(shapes())
    shape = task.constraints["shaped.kernels"]
    strategies = [sk.Unconstrained(), sk.Projection()]
    found = sk.compare(task, strategies, seeds=3, steps=20)
    kernels = [model.shaped.weight.detach() for model in found.models("Unconstrained")]
    own = [shape.violation(weight).max().item() for weight in kernels]
    final = found.final()
    assert final.loc["Unconstrained", "violation"].tolist() == pytest.approx(own)
    assert min(own) > 3
    assert (final.loc["Projection", "violation"] == 0).all()
    assert found.holds("Projection") == "always"
    assert (final.loc["Projection", "violation_raw:shaped.kernels"] > 3).all()
    with pytest.raises(sk.ConstraintError, match="A windowed sinc keeps to stop bands alone"):
        with_sinc(shapes(sk.FilterShape.lowpass(0.2, 0.5, attenuation_db=25)))


# What can't be


def test_settings_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"less than 40 samples to each side, got taps=81"):
        shapes(taps=81)
    with pytest.raises(sk.TaskError, match=r"at least one tap.*got taps=0"):
        tones(taps=0)
    with pytest.raises(sk.TaskError, match=r"samples and stride from 1 up, got 0 and 0"):
        shapes(samples=0, stride=0)
    with pytest.raises(sk.TaskError, match=r"0 <= low < high <= 1, got \(0.5, 2\)"):
        tones(noise_band=(0.5, 2))
    with pytest.raises(sk.TaskError, match=r"got taps=0.*in one dimension, got .*dimensions=2"):
        tones(sk.FilterShape.bandlimited(0.5, dimensions=2), taps=0)
    with pytest.raises(sk.TaskError, match=r"5 taps cannot hold 40 dB"):
        sk.compare(shapes(sk.FilterShape.bandlimited(0.5), taps=5), [FREE], seeds=1, steps=1)


@pytest.mark.parametrize("make", [prefiltered_model, short_model, with_sinc, augmented])
def test_baselines_want_a_task_with_a_drawn_filter(make):
    with pytest.raises(sk.TaskError, match=r"task 'pencil problem'.*such as shapes\(\)"):
        make(tasks.pencil())
    with pytest.raises(sk.TaskError, match=r"task 'shapes, sinc'.*such as shapes\(\)"):
        make(with_sinc(shapes()))
