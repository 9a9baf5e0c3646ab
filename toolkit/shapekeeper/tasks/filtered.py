"""What the tasks for drawn filters share: a small network, disturbed tests, and the baselines."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import FilterShape
from shapekeeper.networks import SincConv1d, widest_sinc
from shapekeeper.randomness import generator

from .bands import Bands, band_noise, band_tone
from .task import Data, Pair, Task, TaskError, accuracy
from .writing import written

__all__ = [
    "FilteredNetwork",
    "augmented",
    "prefiltered_model",
    "short_model",
    "with_sinc",
]

FILTERS, NARROW, WIDE = 16, 16, 32  # channels of the shaped layer and of the two behind it
TRAIN, TEST = 4000, 500
BOUND = "shaped.weight"


class FilteredNetwork(nn.Module):
    """A convolution to hold, `shaped`, and a network behind it that reads what it passes.

    Behind `shaped`: ReLU, two convolutions with stride 2 and ReLU, the mean and the maximum over
    time of each channel, and a linear layer.

    Args:
        shaped: The convolution, from 1 channel to 16.
        classes: How many logits to answer with.
        short: Leave the two convolutions out: `shaped` is the last layer before the reading.
        prefilter: A fixed kernel `(taps,)` that the input goes through first, or None.

    Example:
        >>> FilteredNetwork(nn.Conv1d(1, 16, 15), classes=10)(torch.zeros(5, 1, 40)).shape
        torch.Size([5, 10])
    """

    prefilter: Tensor | None

    def __init__(
        self,
        shaped: nn.Module,
        classes: int,
        *,
        short: bool = False,
        prefilter: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shaped = shaped
        self.behind = nn.Sequential() if short else _behind()
        self.head = nn.Linear(2 * (FILTERS if short else WIDE), classes)
        self.register_buffer("prefilter", prefilter)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, classes)` of signals `(batch, 1, samples)`."""
        if self.prefilter is not None:
            taps = self.prefilter.shape[-1]
            x = F.pad(x, ((taps - 1) // 2, taps // 2), "reflect")
            x = F.conv1d(x, self.prefilter[None, None])
        y = self.behind(self.shaped(x).relu())
        return self.head(torch.cat([y.mean(-1), y.amax(-1)], -1))


def _behind() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(FILTERS, NARROW, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(NARROW, WIDE, 5, stride=2, padding=2),
        nn.ReLU(),
    )


def _network(
    seed: int, *, shape: FilterShape, taps: int, stride: int, classes: int, sinc: bool, **rest: Any
) -> FilteredNetwork:
    across = shape.dilation * (taps // 2)
    settings: dict[str, Any] = {"stride": stride, "padding": across, "padding_mode": "reflect"}
    if sinc:
        shaped: nn.Module = SincConv1d(1, FILTERS, taps, shape, **settings)
    else:
        shaped = nn.Conv1d(1, FILTERS, taps, dilation=shape.dilation, **settings)
    return FilteredNetwork(shaped, classes, **rest)


@dataclass(frozen=True)
class DisturbedSignals:
    """Seed -> the data of a task: its own signals, and test signals that something is added to.

    All signals are shifted and scaled alike, so that those of training have mean 0 and root mean
    square 1 over all; disturbances are measured by that.

    Attributes:
        draw: (part, generator) -> signals `(examples, samples)` and classes `(examples,)`.
        parts: Which parts there are, `train` and `test` first.
        bands: Where disturbances lie, 1 = Nyquist.
        noise: Shifted tests: name -> root mean square of the noise in the bands.
        tone: The same for one tone in the bands.
        copies: Of each training signal, with noise of levels drawn between 0 and 4.
    """

    draw: Callable[[str, torch.Generator], Pair]
    parts: tuple[str, ...]
    bands: Bands
    noise: tuple[tuple[str, float], ...] = ()
    tone: tuple[tuple[str, float], ...] = ()
    copies: int = 0

    def __call__(self, seed: int) -> Data:
        """The data of one run."""
        drawn = {p: self.draw(p, generator(seed, "data", i)) for i, p in enumerate(self.parts)}
        signals = drawn["train"][0]
        mean, spread = signals.mean(), signals.std(correction=0)
        parts = {name: ((x - mean) / spread, y) for name, (x, y) in drawn.items()}
        parts |= self._disturbed(*parts["test"], seed)
        parts["train"] = self._copied(*parts["train"], generator(seed, "data/copies"))
        return Data(**{name: (x[:, None], y) for name, (x, y) in parts.items()})

    def _disturbed(self, x: Tensor, y: Tensor, seed: int) -> dict[str, Pair]:
        found = {}
        for kind, levels in ((band_noise, self.noise), (band_tone, self.tone)):
            if not levels:
                continue
            rng = generator(seed, f"data/{kind.__name__}")
            added = kind(len(x), x.shape[1], self.bands, rng)
            found |= {name: (x + level * added, y) for name, level in levels}
        return found

    def _copied(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Pair:
        noisy = [x]
        for _ in range(self.copies):
            level = 4 * torch.rand(len(x), 1, generator=rng)
            noisy.append(x + level * band_noise(len(x), x.shape[1], self.bands, rng))
        return torch.cat(noisy), y.repeat(1 + self.copies)


def filter_task(
    name: str,
    shape: FilterShape,
    data: DisturbedSignals,
    *,
    samples: int,
    taps: int,
    stride: int = 1,
    classes: int,
) -> Task:
    """A task whose network has a shaped convolution; the arguments are right already."""
    problems = []
    if not 1 <= taps or shape.dilation * (taps // 2) >= samples:
        wanted = f"Wanted at least one tap, and kernels that reach less than {samples} samples"
        problems.append(f"{wanted} to each side, got taps={taps}.")
    if shape.dimensions != 1:
        problems.append(f"Wanted a drawing in one dimension, got {shape!r}.")
    if problems:
        raise TaskError(f"task {name!r}", problems)
    model = partial(_network, shape=shape, taps=taps, stride=stride, classes=classes, sinc=False)
    return Task(
        name,
        model=model,
        data=data,
        loss=F.cross_entropy,
        metric=accuracy,
        constraints={BOUND: shape},
    )


def stop_bands(shape: FilterShape, noise_band: tuple[float, float] | None) -> Bands:
    """Where disturbances lie, 1 = Nyquist: the given band, or where the drawing stops."""
    if noise_band is not None:
        low, high = noise_band
        if not 0 <= low < high <= 1:
            problem = f"Wanted noise_band=(low, high) with 0 <= low < high <= 1, got {noise_band}."
            raise TaskError("disturbed signals", [problem])
        return ((float(low), float(high)),)
    bands = [
        (b.low / shape.nyquist, b.high / shape.nyquist) for b in shape.bands if b.kind == "stop"
    ]
    if not bands:
        problem = f"{shape!r} stops nothing: say where noise lies, e.g. noise_band=(0.5, 1)."
        raise TaskError("disturbed signals", [problem])
    return tuple(bands)


# -- baselines -------------------------------------------------------------------------------


def prefiltered_model(task: Task, taps: int | None = None) -> Callable[[int], nn.Module]:
    """A free network behind a fixed filter that meets the drawing: the rival of any constraint.

    With stop bands alone the filter is the `widest_sinc`; with pass bands as well the kernel in the
    middle of the drawing. Everything behind it may be what it likes.

    Args:
        task: One of the tasks with a drawn filter: `shapes`, `tones`, `shortcut`, `both_bands`.
        taps: Of the fixed filter; None: as many as the shaped layer has. A fixed filter costs
            nothing to learn, so a longer one is a fair rival too.

    Returns:
        seed -> network, for a stage: `Staged(Stage(1.0, Unconstrained("task"), model=...))`. What
        is measured is the free layer's own response.

    Raises:
        TaskError: If it is another task.
        ConstraintError: If so many taps can't meet the drawing.

    Example:
        >>> from shapekeeper.tasks import shapes
        >>> prefiltered_model(shapes())(0).prefilter.shape
        torch.Size([15])
    """
    model, _ = _made_of(task)
    length = model.keywords["taps"] if taps is None else taps
    kernel = _fixed_filter(model.keywords["shape"], length)
    return partial(model, prefilter=kernel.float())


def _fixed_filter(shape: FilterShape, taps: int) -> Tensor:
    """A kernel that meets the drawing with a gain of about 1, its taps as far apart as drawn."""
    if shape.kind == "band-limited":
        kernel = widest_sinc(shape, taps)
    else:
        shape.check((taps,))
        kernel = torch.tensor(shape.feasibility(taps).kernel)
    spread = kernel.new_zeros((taps - 1) * shape.dilation + 1)
    spread[:: shape.dilation] = kernel
    return spread


def short_model(task: Task) -> Callable[[int], nn.Module]:
    """A shorter network in which the shaped layer comes last, for a first stage of training.

    Its shaped layer has the same name, so its weights pass on to the task's own network, where
    later layers are appended.

    Args:
        task: One of the tasks with a drawn filter: `shapes`, `tones`, `shortcut`, `both_bands`.

    Returns:
        seed -> network, for a stage.

    Raises:
        TaskError: If it is another task.

    Example:
        >>> from shapekeeper import Penalty, Stage, Staged, Unconstrained
        >>> from shapekeeper.tasks import shapes
        >>> first = Stage(0.5, Penalty(1.0), model=short_model(shapes()))
        >>> Staged(first, Stage(0.5, Unconstrained(), rate=0.01)).label
        'Staged Penalty 1 → Unconstrained'
    """
    return partial(_made_of(task)[0], short=True)


@written
def with_sinc(task: Task) -> Task:
    """The same task for a network whose shaped layer is a `SincConv1d`.

    Its constraint binds the kernels that the layer makes from its two numbers a filter, the value
    of `shaped.kernels`; the start of the edges is drawn, whatever the strategy.

    Args:
        task: One of the tasks with a drawn filter: `shapes`, `tones`, `shortcut`, `both_bands`.

    Returns:
        A task of its own, with the same data, loss and metric.

    Raises:
        TaskError: If it is another task.
        ConstraintError: If a windowed sinc can't do the drawing.

    Example:
        >>> from shapekeeper.tasks import shapes
        >>> with_sinc(shapes()).constraints
        {'shaped.kernels': FilterShape.bandlimited(0.5, attenuation_db=30)}
    """
    model, _ = _made_of(task)
    sinc = replace(
        task,
        name=f"{task.name}, sinc",
        model=partial(model, sinc=True),
        constraints={"shaped.kernels": model.keywords["shape"]},
    )
    sinc.start_model(0)  # a drawing that a windowed sinc can't do is refused here
    return sinc


@written
def augmented(task: Task, copies: int = 3) -> Task:
    """The same task with noisy copies of the training signals: what knows the noise may do.

    Each copy has noise like that of the shifted tests, of a root mean square drawn between 0 and 4
    times that of the signals. The tests stay as they were.

    Args:
        task: One of the tasks with a drawn filter: `shapes`, `tones`, `shortcut`, `both_bands`.
        copies: How many of each signal, besides the signal itself.

    Returns:
        A task of its own, with the same network and tests.

    Raises:
        TaskError: If it is another task.

    Example:
        >>> from shapekeeper.tasks import shapes
        >>> augmented(shapes()).data_for(0).train[0].shape
        torch.Size([16000, 1, 40])
    """
    _, data = _made_of(task)
    return replace(task, name=f"{task.name}, augmented", data=replace(data, copies=copies))


def _made_of(task: Task) -> tuple[Any, DisturbedSignals]:
    """The model factory of a task, whose settings can be changed, and its data."""
    model, data = task.model, task.data
    made_here = isinstance(model, partial) and model.func is _network
    if made_here and BOUND in task.constraints and isinstance(data, DisturbedSignals):
        return model, data
    problem = "Wanted a task with a drawn filter, such as shapes(), tones() or shortcut()."
    raise TaskError(f"task {task.name!r}", [problem])
