"""Checks of notebook 03: filters."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from shapekeeper.constraints import FilterShape
from shapekeeper.constraints.filters import Subspace, response
from shapekeeper.course.verdicts import Unwritten, Wrong, called, exercise, number
from shapekeeper.randomness import generator


def _numbers(answer: Any, shape: tuple[int, ...], why: str) -> Tensor:
    """The answer as real numbers of a shape, or `Wrong`."""
    try:
        found = torch.as_tensor(answer).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(answer).__name__
        raise Wrong("These are no numbers.", f"shape {shape}", f"a {kind}") from error
    if tuple(found.shape) != shape:
        raise Wrong(why, f"shape {shape}", f"shape {tuple(found.shape)}")
    if found.is_complex():
        raise Wrong("These numbers are complex: take their size.", "real numbers", "complex ones")
    found = found.double()
    if found.isnan().any():
        raise Wrong("Some of your numbers are none.", "numbers", "nan")
    return found


# 03.1

FLOOR = -80.0  # dB; below it a level is as good as silence, and rounding decides
CLOSE = 0.05  # dB
LENGTHS = (4, 7, 15, 31)


def kernel_and_grid(seed: int = 0, taps: int = 7) -> tuple[Tensor, Tensor]:
    """A kernel drawn at random, and some frequencies.

    Args:
        seed: Which draw.
        taps: Length of the kernel.

    Returns:
        The kernel `(taps,)` and the frequencies `(F,)`, rising, 1 = Nyquist; in double precision.

    Example:
        >>> kernel, frequencies = kernel_and_grid()
        >>> kernel.shape, frequencies.shape
        (torch.Size([7]), torch.Size([9]))
    """
    draw = generator(seed, "course/kernel", taps)
    kernel = torch.randn(taps, generator=draw, dtype=torch.float64)
    kernel[0] += (2 if seed % 2 else -2) - kernel.sum()  # its level at 0 is neither 0 dB nor silent
    frequencies = 0.05 + 0.95 * torch.rand(taps + 2, generator=draw, dtype=torch.float64)
    return kernel, frequencies.sort().values


def _kernels() -> Iterator[tuple[Tensor, Tensor]]:
    mean = torch.full((5,), 0.2, dtype=torch.float64)
    fine = torch.linspace(0, 1, 201, dtype=torch.float64)
    yield mean, fine
    for seed, taps in enumerate(LENGTHS, 1):
        yield kernel_and_grid(seed, taps)
    yield torch.cat([mean.new_zeros(1), mean]), fine  # the first one, a tap later


def _gain(kernel: Tensor, frequencies: Tensor) -> Tensor:
    """|H| as a share of its value at 0."""
    return response(kernel, frequencies).abs() / kernel.sum().abs()


def _at_own_bins(kernel: Tensor, frequencies: Tensor) -> Tensor:
    """What comes out if one asks the kernel's own Fourier transform and joins its points."""
    bins = torch.fft.rfft(kernel).abs() / kernel.sum().abs()
    places = torch.arange(len(bins)) * 2 / len(kernel)
    after = torch.searchsorted(places.double(), frequencies).clamp(1, len(bins) - 1)
    share = (frequencies - places[after - 1]) / (places[after] - places[after - 1])
    return torch.lerp(bins[after - 1], bins[after], share.clamp(max=1))


# What is wrong -> the levels that it gives.
WRONG_LEVELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Your zeros sit at 0.2 and 0.4: you count in cycles per sample, the drawing counts in "
    "Nyquist.": lambda w, f: 20 * _gain(w, 2 * f).log10(),
    "20 dB is a factor of 10 in amplitude; you gave it 10 dB.": lambda w, f: (
        10 * _gain(w, f).log10()
    ),
    "This is the gain itself. In dB it is 20 times its logarithm to base 10.": _gain,
    "The natural logarithm; a decibel is made with the one to base 10.": lambda w, f: (
        20 * _gain(w, f).log()
    ),
    "A louder kernel is no other filter: take levels relative to the one at frequency 0.": (
        lambda w, f: 20 * response(w, f).abs().log10()
    ),
    "Relative to the value at frequency 0; you took the largest on the grid.": lambda w, f: (
        20 * (_gain(w, f) / _gain(w, f).max()).log10()
    ),
    "Relative to the value at frequency 0; you took the first on the grid, which need not be "
    "at 0.": lambda w, f: 20 * (_gain(w, f) / _gain(w, f)[0]).log10(),
}


@exercise("03.1", example=kernel_and_grid)
def response_db(function) -> str:
    """The level of a kernel's response on any grid, in dB relative to its value at 0."""
    cases = list(_kernels())
    answers = [_levels(called(function, w.clone(), f.clone()), w, f) for w, f in cases]
    for (w, f), answer in zip(cases, answers, strict=True):
        wanted = _clamped(20 * _gain(w, f).log10())
        if not _close(answer, wanted):
            worst = int((answer - wanted).abs().argmax())
            at = f"at {f[worst]:.3g}, kernel of {len(w)} taps"
            told = (f"{level[worst]:.2f} dB {at}" for level in (wanted, answer))
            raise Wrong(_why_levels(cases, answers), *told)
    stop = answers[0][cases[0][1] >= 0.5].max()
    return (
        f"Right on {len(cases)} kernels. The mean of five is silent at 0.4 and 0.8 and comes up to "
        f"{stop:.2f} dB between; and a tap later it is the same filter, since a shift turns H and "
        "leaves its size alone."
    )


def _levels(answer: Any, kernel: Tensor, frequencies: Tensor) -> Tensor:
    taps, wanted = len(kernel), len(frequencies)
    size = torch.as_tensor(answer).numel() if not callable(answer) else 0
    if size != wanted and size in (taps, taps // 2 + 1):
        raise Wrong(_why_own_bins(size), f"{wanted} levels", f"{size}")
    why = "One level for each frequency."
    return _clamped(_numbers(answer, (wanted,), why))


def _clamped(levels: Tensor) -> Tensor:
    return levels.clamp(min=FLOOR)


def _close(answer: Tensor, wanted: Tensor) -> bool:
    return bool(((answer - wanted).abs() < CLOSE).all())


def _why_own_bins(points: int) -> str:
    mean, fine = next(_kernels())
    leak = -(20 * _gain(mean, fine[fine >= 0.5]).log10()).max()
    between = f"Between them the filter leaks {leak:.0f} dB below the peak."
    return f"You looked at {points} points. {between}"


def _why_levels(cases: list[tuple[Tensor, Tensor]], answers: list[Tensor]) -> str:
    for why, wrong in WRONG_LEVELS.items():
        given = [_clamped(wrong(w, f)) for w, f in cases]
        if all(map(_close, answers, given)):
            return why
    joined = [_clamped(20 * _at_own_bins(w, f).log10()) for w, f in cases]
    if all(map(_close, answers, joined)):
        return _why_own_bins(len(cases[0][0]))
    if not _close(answers[-1], answers[0]):
        return "A tap later it is the same filter, and you say another one. Cosines and sines."
    return "Some levels are off."


# 03.2


def kernels_and_directions(
    seed: int = 0, filters: tuple[int, ...] = (2, 3), taps: int = 9, count: int = 2
) -> tuple[Tensor, Tensor]:
    """Kernels drawn at random, and the directions that are allowed.

    Args:
        seed: Which draw.
        filters: How many: `()` for one, `(out, in)` for a layer.
        taps: Length of a kernel.
        count: How many directions.

    Returns:
        The kernels `(*filters, taps)` and orthonormal columns `(taps, count)`.

    Example:
        >>> w, V = kernels_and_directions()
        >>> w.shape, V.shape
        (torch.Size([2, 3, 9]), torch.Size([9, 2]))
    """
    draw = generator(seed, "course/directions", taps)
    kernels = torch.randn(*filters, taps, generator=draw, dtype=torch.float64)
    columns = torch.randn(taps, count, generator=draw, dtype=torch.float64)
    return kernels, torch.linalg.qr(columns).Q


def _layers() -> Iterator[tuple[Tensor, Tensor]]:
    """One kernel; a layer with as many inputs as taps, which hides a wrong axis; two more."""
    for seed, filters, taps, count in ((1, (), 15, 3), (2, (4, 7), 7, 2), (3, (3, 2), 15, 4)):
        yield kernels_and_directions(seed, filters, taps, count)
    drawn = FilterShape.bandlimited(0.4)
    basis = torch.tensor(Subspace.of(drawn.pieces, (31,)).basis)
    yield kernels_and_directions(4, (5, 1), 31)[0], basis


@exercise("03.2", example=kernels_and_directions)
def nearest_bandlimited(function) -> str:
    """The nearest kernels in the span of some columns."""
    layers = list(_layers())
    for w, V in layers:
        _nearest(function, w, V)
    taps, count = layers[-1][1].shape
    return (
        f"Right on {len(layers)} layers. V Vᵀ never changes, so it is made once; and what you keep "
        f"of random kernels is about m / k of their energy: {count} directions of {taps} keep "
        f"{count / taps:.0%}."
    )


def _nearest(function: Callable, w: Tensor, V: Tensor) -> None:
    taps, count = V.shape
    first = torch.as_tensor(called(function, w.clone(), V.clone()))
    if first.dim() and first.shape[-1] == count and count != taps:
        why = f"These are {count} coordinates, not a {taps}-tap kernel."
        raise Wrong(why, f"shape {tuple(w.shape)}", f"shape {tuple(first.shape)}")
    p = _numbers(first, tuple(w.shape), "As many kernels, as many taps.")
    twice = _numbers(called(function, p.clone(), V.clone()), tuple(w.shape), "As many kernels.")
    size = p.norm().clamp(min=1e-9)
    if (moved := (twice - p).norm() / size) > 1e-4:
        raise Wrong(
            f"Projecting twice moved it again by {moved:.1g}. Unit columns first.",
            "the second time changes nothing",
            f"moved by {moved:.1g} of its norm",
        )
    if (off := (p - p @ V @ V.T).norm() / size) > 1e-4:
        what = "a kernel" if w.dim() == 1 else f"kernels {tuple(w.shape)}"
        raise Wrong(
            f"For {what} this is no sum of columns of V. The taps are the last axis.",
            "a sum of columns of V",
            f"{off:.1g} of its norm lies outside",
        )
    if (left := ((w - p) @ V).norm()) > 1e-4 * w.norm():
        raise Wrong(
            "Allowed, but not the nearest: what you cut off still has something of V in it.",
            "a rest at right angles to V",
            f"{left / w.norm():.1g} of the norm lost",
        )
    _nearer_than_others(p, w, V)


def _nearer_than_others(p: Tensor, w: Tensor, V: Tensor) -> None:
    """A second look, without any formula: no member drawn at random is nearer."""
    draw = generator(0, "course/members", V.shape[0])
    spread = torch.randn(200, *w.shape[:-1], V.shape[1], generator=draw, dtype=torch.float64)
    near = (p + 0.1 * spread @ V.T - w).flatten(1).norm(dim=1)
    if (near < (p - w).norm()).any():
        raise Wrong("A member drawn at random is nearer than yours.")


# 03.3

CHANGED_TOO = {
    "shaped start only": "free training that begins where the held one begins",
    "augmentation": "free training on noisy copies of the signals as well",
}
COULD_DO_IT = {
    "prefilter": "a fixed filter that meets the drawing, and a free network behind it",
    "class in the stop band": "data whose answer lies where the drawing says silence",
}
CANNOT_TELL = {
    "more seeds": "Good for the error bar. It cannot tell the constraint from its starting point.",
    "larger free network": "It has the same access to the stop band.",
}


def extra_runs() -> dict[str, str]:
    """Six more runs that one could make, and what each is.

    Example:
        >>> len(extra_runs())
        6
    """
    others = {
        "more seeds": "the same comparison, twenty times instead of five",
        "larger free network": "free training of a network with twice as many filters",
    }
    names = ["more seeds", *CHANGED_TOO, *COULD_DO_IT, "larger free network"]
    return {name: (CHANGED_TOO | COULD_DO_IT | others)[name] for name in names}


@exercise("03.3", example=extra_runs)
def runs(answer) -> str:
    """Two runs, one for what changed along with the constraint, one for what could replace it."""
    chosen = _chosen(answer)
    for name in chosen:
        if name in CANNOT_TELL:
            raise Wrong(CANNOT_TELL[name], "a run that could prove you wrong", name)
    if not chosen & CHANGED_TOO.keys():
        raise Wrong(
            "Both leave open what else came with the constraint: it also set the starting point, "
            "and it told training about the stop band.",
            "one run that has that and no constraint",
            _told(chosen),
        )
    if not chosen & COULD_DO_IT.keys():
        raise Wrong(
            "Both change training. Could something outside the layer do the same job, or is there "
            "data on which the job is the wrong one?",
            "one run that asks that",
            _told(chosen),
        )
    return (
        "Right: either could come out against the sentence. A run that can only agree is no "
        "control. All four of that sort are run below, since they are cheap."
    )


def _chosen(answer: Any) -> set[str]:
    if not isinstance(answer, set | frozenset | list | tuple):
        kind = type(answer).__name__
        raise Wrong("These are no names of runs.", "a set of two names", f"a {kind}")
    if any(name is ... for name in answer):
        raise Unwritten("Put two of the six names in place of the dots.")
    names = list(extra_runs())
    for name in answer:
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise Wrong(f"No such run.{hint}", f"two of {', '.join(names)}", repr(name))
    if len(set(answer)) != 2:
        raise Wrong("Two of the six.", "2 names", f"{len(set(answer))}")
    return set(answer)


def _told(chosen: set[str]) -> str:
    return " and ".join(sorted(chosen))


# 03.4


def _directions(taps: int) -> int:
    """How many kernels of a length the drawing of 03.4 leaves."""
    return FilterShape.bandlimited(0.5).feasibility(taps).freedom


@exercise("03.4")
def smallest(answer) -> str:
    """The smallest odd number of taps with at least two directions, stop from 0.5, 40 dB."""
    taps = number(answer)
    if not (taps.is_integer() and 1 <= taps <= 999):
        raise Wrong("A length is a whole number of taps.", "a whole number", f"{taps:g}")
    found = _directions(int(taps))
    if found == 0:
        why = "Nothing at all fits: even the best single kernel breaks 40 dB."
        raise Wrong(why, "2 directions", f"0 directions of {taps:g} taps")
    if found == 1:
        why = "One direction: the layer could only change its volume."
        raise Wrong(why, "2 directions", f"1 direction of {taps:g} taps")
    if taps % 2 == 0:
        raise Wrong("Even kernels have no middle tap.", "an odd number", f"{taps:g}")
    if _directions(int(taps) - 2) >= 2:
        why = "Enough, but shorter ones do."
        raise Wrong(
            why, f"fewer than 2 directions at {taps - 2:g} taps", _directions(int(taps) - 2)
        )
    long = {k: _directions(k) for k in (31, 65)}
    return (
        f"{found} directions of {taps:g} taps. It grows by about one for every two taps, since "
        f"half of all frequencies are free: {long[31]} at 31 taps, {long[65]} at 65. What is "
        "missing to a half is the price of the edge."
    )
