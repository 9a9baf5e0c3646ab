"""Ten short shapes: a task for drawn filters whose signals have some content above the edge."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from shapekeeper.constraints import FilterShape
from shapekeeper.randomness import generator

from .bands import Bands
from .filtered import TEST, TRAIN, DisturbedSignals, filter_task, stop_bands
from .task import Pair, Task, TaskError
from .writing import written

__all__ = ["shape_templates", "shapes"]

CLASSES, CORNERS = 10, 12
WIDTHS, GAINS = (0.4, 0.7), (0.8, 1.2)  # of a shape: share of the window, factor
TILT, DRIFT, HISS = 0.75, 0.5, 0.2  # slope at most, spread of slow noise, of white noise
KNOTS = 8  # of the slow noise


def shape_templates() -> Tensor:
    """The ten shapes, as the heights of their corners.

    A shape is a line through 12 corners at equal distances that begins and ends at 0. The others
    are normal numbers, one draw for all seeds, scaled to a mean square of 1.

    Returns:
        Heights `(10, 12)`.

    Example:
        >>> shape_templates()[:, 0].abs().max().item()
        0.0
    """
    heights = torch.randn(CLASSES, CORNERS, generator=generator(0, "shapes"))
    heights[:, 0] = heights[:, -1] = 0
    return heights / heights.square().mean(1, keepdim=True).sqrt()


@written
def shapes(
    shape: FilterShape | None = None,
    *,
    samples: int = 40,
    taps: int = 15,
    stride: int = 1,
    noise_band: tuple[float, float] | None = None,
) -> Task:
    """Name the shape that a short signal shows, with a first layer of drawn filters.

    Each signal is one of ten shapes (`shape_templates`), of random width, place and height, plus
    a tilt, slow noise and a little white noise: a signal in the manner of MNIST-1D (S. Greydanus
    and D. Kobak 2024, Scaling down deep learning with MNIST-1D), made anew. It is drawn afresh for
    every seed. Of the power of the bare shapes, 5.6 % lies above half of Nyquist at 40 samples,
    and next to nothing (0.05 %) at 160: there, the corners are 8 samples apart.

    Shifted tests: `noise2` and `noise4`, with noise in the stop bands of the drawing, at 2 and 4
    times the root mean square of the signals; nothing in training is like it.

    Args:
        shape: What the filters of the first layer, `shaped.weight`, are held to; None: stop bands
            from half of Nyquist on, 30 dB down.
        samples: Length of a signal.
        taps: Of each filter.
        stride: Of the first layer; above 1 it folds what is not stopped into what is kept.
        noise_band: Frequencies of the noise, 1 = Nyquist; None: where the drawing stops.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric; chance is 0.1.

    Raises:
        TaskError: If samples, taps or stride can't be, or nobody says where the noise lies.

    Example:
        >>> task = shapes()
        >>> task.constraints
        {'shaped.weight': FilterShape.bandlimited(0.5, attenuation_db=30)}
        >>> list(task.data_for(0).parts), task.data_for(0).train[0].shape
        (['train', 'test', 'noise2', 'noise4'], torch.Size([4000, 1, 40]))
    """
    if samples < 1 or stride < 1:
        problem = f"Wanted samples and stride from 1 up, got {samples} and {stride}."
        raise TaskError("task 'shapes'", [problem])
    drawing = FilterShape.bandlimited(0.5, attenuation_db=30) if shape is None else shape
    bands: Bands = stop_bands(drawing, noise_band)
    data = DisturbedSignals(
        partial(_examples, samples=samples),
        ("train", "test"),
        bands,
        noise=(("noise2", 2.0), ("noise4", 4.0)),
    )
    settings = {"samples": samples, "taps": taps, "stride": stride, "classes": CLASSES}
    return filter_task("shapes", drawing, data, **settings)


def _examples(part: str, rng: torch.Generator, *, samples: int) -> Pair:
    count = TRAIN if part == "train" else TEST
    bare, classes = bare_shapes(count, samples, rng)
    time = torch.linspace(-1, 1, samples)
    tilt = TILT * (2 * torch.rand(count, 1, generator=rng) - 1) * time
    knots = DRIFT * torch.randn(count, 1, KNOTS, generator=rng)
    drift = interpolate(knots, samples, mode="linear", align_corners=True)[:, 0]
    return bare + tilt + drift + HISS * torch.randn(count, samples, generator=rng), classes


def bare_shapes(count: int, samples: int, rng: torch.Generator) -> Pair:
    """Shapes of random width, place and height, without noise, and their classes."""
    classes = torch.randint(CLASSES, (count,), generator=rng)
    width, place, gain = torch.rand(3, count, 1, generator=rng)
    width = WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * width
    gain = GAINS[0] + (GAINS[1] - GAINS[0]) * gain
    time = (torch.arange(samples) + 0.5) / samples
    along = (time - place * (1 - width)) / width
    return gain * _line(shape_templates()[classes], along), classes


def _line(corners: Tensor, along: Tensor) -> Tensor:
    """Straight lines through corners `(examples, corners)` at places from 0 to 1; 0 beyond."""
    place = along.clamp(0, 1) * (CORNERS - 1)
    before = place.floor().clamp(max=CORNERS - 2).long()
    first, second = corners.gather(-1, before), corners.gather(-1, before + 1)
    return torch.lerp(first, second, place - before)
