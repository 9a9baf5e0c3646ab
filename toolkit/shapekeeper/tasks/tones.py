"""Tones in noise: tasks for drawn filters in which it is known what each band says."""

from functools import partial
from math import comb, exp, pi, sqrt

import torch
from torch import Tensor

from shapekeeper.constraints import FilterShape

from .filtered import TEST, TRAIN, DisturbedSignals, filter_task, stop_bands
from .task import Pair, Task
from .writing import written

__all__ = ["both_bands", "shortcut", "tones", "tones_best"]

SAMPLES, CLASSES = 64, 8
LOW = (2, 3, 4, 5, 6, 7, 8, 9)  # periods in a signal of the tones below the edge
CLUES = (20, 21, 22, 23, 24, 25, 26, 27)  # of those that give the class away
HALVES = (2, 4, 6, 8), (20, 26)  # of those that each tell a half of the class
TRUSTED = 0.97  # share of training signals whose clue is right


@written
def tones(
    shape: FilterShape | None = None,
    *,
    taps: int = 31,
    noise: float = 2.0,
    noise_band: tuple[float, float] | None = None,
) -> Task:
    """Name the one of eight low tones that a noisy signal holds, with a layer of drawn filters.

    A signal has 64 samples: a tone of 2 to 9 periods, frequencies from 0.06 to 0.28 of Nyquist,
    with a root mean square of 1 and a random phase, and white noise. Signals are drawn afresh for
    every seed; `tones_best` is the best possible accuracy.

    Shifted tests, at 2 and 4 times the root mean square of the signals: `noise2` and `noise4`, with
    noise in the stop bands of the drawing; and `tone4`, with one strong tone there.

    Args:
        shape: What the filters of the first layer, `shaped.weight`, are held to; None: stop bands
            from half of Nyquist on, 40 dB down.
        taps: Of each filter.
        noise: Standard deviation of the white noise, in training and test.
        noise_band: Frequencies of what is added in shifted tests, 1 = Nyquist; None: where the
            drawing stops.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric; chance is 0.125.

    Raises:
        TaskError: If the taps are too many, or nobody says where the noise lies.

    Example:
        >>> task = tones()
        >>> list(task.data_for(0).parts), task.data_for(0).train[0].shape
        (['train', 'test', 'noise2', 'noise4', 'tone4'], torch.Size([4000, 1, 64]))
    """
    drawing = _drawing(shape)
    data = DisturbedSignals(
        partial(_tones, noise=noise),
        ("train", "test"),
        stop_bands(drawing, noise_band),
        noise=(("noise2", 2.0), ("noise4", 4.0)),
        tone=(("tone4", 4.0),),
    )
    return filter_task("tones", drawing, data, samples=SAMPLES, taps=taps, classes=CLASSES)


def tones_best(noise: float = 2.0) -> float:
    """The share of right answers of the ideal observer of `tones`; nobody does better on average.

    The tones are orthogonal, and their phases unknown, so it takes the tone whose correlation with
    the signal is largest whatever the phase. Squared correlations with the 7 tones that are not
    there are exponential, that with the right one is noncentral chi-squared, and the chance that it
    is the largest is a sum in closed form (J. G. Proakis 2001, Digital communications, section
    5.4.2): sum over n from 0 to 7 of `(-1)^n C(7, n) / (n + 1) exp(-n e / (n + 1))` with
    `e = samples / (2 noise^2)`.

    Args:
        noise: Standard deviation of the white noise.

    Returns:
        A share from 1/8 to 1.

    Example:
        >>> round(tones_best(2.0), 3)
        0.956
    """
    energy, others = SAMPLES / (2 * noise**2), CLASSES - 1
    terms = ((-1) ** n * comb(others, n) / (n + 1) for n in range(CLASSES))
    return sum(term * exp(-energy * n / (n + 1)) for n, term in enumerate(terms))


@written
def shortcut(shape: FilterShape | None = None, *, taps: int = 31) -> Task:
    """As `tones` with more noise, and a false clue: a high tone that tells the class in training.

    The signals of `tones` with noise of 2.5, and on top one of eight tones of 20 to 27 periods,
    twice as strong as the low one. In training it names the class in 97 % of the signals, and a
    wrong class in the others; in the test it means nothing. `tones_best(2.5)`, 0.85, is the best
    possible accuracy there; who reads the clue alone is right in 97 % of training and 1/8 of the
    test. In the shifted test `as_trained` the clue is as right as in training.

    Args:
        shape: What the filters of the first layer, `shaped.weight`, are held to; None: stop bands
            from half of Nyquist on, 40 dB down.
        taps: Of each filter.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric; chance is 0.125.

    Raises:
        TaskError: If the taps are too many, or the drawing stops nothing.

    Example:
        >>> list(shortcut().data_for(0).parts)
        ['train', 'test', 'as_trained']
    """
    drawing = _drawing(shape)
    parts = ("train", "test", "as_trained")
    data = DisturbedSignals(_with_clue, parts, stop_bands(drawing, None))
    return filter_task("shortcut", drawing, data, samples=SAMPLES, taps=taps, classes=CLASSES)


@written
def both_bands(shape: FilterShape | None = None, *, taps: int = 31) -> Task:
    """The control: half of the class is told below the edge, half of it where the drawing stops.

    Each of eight classes is a pair: one of four low tones (2 to 8 periods) and one of two high
    tones (20 or 26), both with a root mean square of 1, in white noise of the same strength. Who
    hears both is right nearly always; who hears nothing from half of Nyquist on is right in 1/2 at
    best.

    Args:
        shape: What the filters of the first layer, `shaped.weight`, are held to; None: stop bands
            from half of Nyquist on, 40 dB down.
        taps: Of each filter.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric; chance is 0.125.

    Raises:
        TaskError: If the taps are too many, or the drawing stops nothing.

    Example:
        >>> list(both_bands().data_for(0).parts)
        ['train', 'test']
    """
    drawing = _drawing(shape)
    data = DisturbedSignals(_with_halves, ("train", "test"), stop_bands(drawing, None))
    return filter_task("both bands", drawing, data, samples=SAMPLES, taps=taps, classes=CLASSES)


def _drawing(shape: FilterShape | None) -> FilterShape:
    return FilterShape.bandlimited(0.5) if shape is None else shape


def _tones(part: str, rng: torch.Generator, *, noise: float) -> Pair:
    classes = torch.randint(CLASSES, (_count(part),), generator=rng)
    signal = _tone(LOW, classes, rng)
    return signal + noise * torch.randn(signal.shape, generator=rng), classes


def _with_clue(part: str, rng: torch.Generator) -> Pair:
    signal, classes = _tones(part, rng, noise=2.5)
    if part == "test":
        clue = torch.randint(CLASSES, classes.shape, generator=rng)
    else:
        wrong = (classes + torch.randint(1, CLASSES, classes.shape, generator=rng)) % CLASSES
        trusted = torch.rand(classes.shape, generator=rng) < TRUSTED
        clue = torch.where(trusted, classes, wrong)
    return signal + 2 * _tone(CLUES, clue, rng), classes


def _with_halves(part: str, rng: torch.Generator) -> Pair:
    classes = torch.randint(CLASSES, (_count(part),), generator=rng)
    low, high = HALVES
    signal = _tone(low, classes // 2, rng) + _tone(high, classes % 2, rng)
    return signal + torch.randn(signal.shape, generator=rng), classes


def _count(part: str) -> int:
    return TRAIN if part == "train" else TEST


def _tone(periods: tuple[int, ...], chosen: Tensor, rng: torch.Generator) -> Tensor:
    """Tones `(examples, samples)` of random phase, with a root mean square of 1."""
    phase = torch.rand(len(chosen), 1, generator=rng)
    turns = torch.tensor(periods)[chosen][:, None] * torch.arange(SAMPLES) / SAMPLES
    return sqrt(2) * torch.cos(2 * pi * (turns + phase))
