"""How far the responses of kernels move while they are trained, and how far they can."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .filter_shape import FilterShape

__all__ = ["Drift", "drift_bound", "response_drift"]

PER_TAP = 32  # frequencies for each tap


class Drift(NamedTuple):
    """How far the response of each filter has moved.

    Attributes:
        change: The largest change of |H| at any frequency, `(*batch)`; what `drift_bound` bounds.
        decibels: The same relative to the filter's gain before. A stop band that was silent is now
            at this level at most; minus infinity where nothing moved.
    """

    change: Tensor
    decibels: Tensor


def response_drift(shape: "FilterShape", before: Tensor, after: Tensor) -> Drift:
    """How far the response of each filter has moved, at the frequency where it moved most.

    Args:
        shape: The drawing, for the gain that levels are relative to.
        before: Kernels `(*batch, taps)`, or `(*batch, rows, columns)` in two dimensions.
        after: The same kernels later.

    Returns:
        Changes `(*batch)`, in double precision.

    Example:
        >>> from shapekeeper import FilterShape
        >>> kernel = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        >>> drift = response_drift(FilterShape.lowpass(0.2, 0.35), kernel, 1.1 * kernel)
        >>> round(drift.change.item(), 6), round(drift.decibels.item(), 6)
        (0.1, -20.0)
    """
    axes = tuple(range(-shape.dimensions, 0))
    sizes = [PER_TAP * size for size in before.shape[-shape.dimensions :]]
    old, new = (
        torch.fft.fftn(x.detach().cpu().double(), sizes, axes).abs() for x in (before, after)
    )
    change = (new - old).abs().amax(axes)
    gain = shape.reference(before.detach()).cpu()
    return Drift(change, 20 * torch.log10(change / gain))


def drift_bound(
    taps: int,
    lr: float,
    steps: int,
    rate: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> float:
    """How far |H| can move at any frequency while Adam trains a kernel from a fresh start.

    D. P. Kingma and J. Ba 2015, Adam: a method for stochastic optimization, section 2.1: the size
    of a step is bounded by the learning rate, whatever the gradients. That is `lr` where they keep
    their size, `lr (1 - b1) / sqrt(1 - b2)` where one comes after long silence. For any gradients,
    by the inequality of Cauchy and Schwarz, step t of a tap is at most lr times

        (1 - b1) / (1 - b1^t) sqrt((1 - b2^t) / (1 - b2)) sqrt((1 - r^t) / (1 - r)),  r = b1^2 / b2,

    which gradients that grow by `b2 / b1` at each step attain: 1 at first, 7.3 in the long run. |H|
    moves at most by the sum over steps and taps, and mostly far less.

    It is a bound for Adam, with or without amsgrad or a weight decay inside the gradient, that
    begins anew, as at each stage of `Staged`; AdamW's decay shrinks kernels besides. SGD has none:
    its step is as large as the gradient.

    Args:
        taps: Of the kernel; rows times columns in two dimensions.
        lr: Learning rate; of one that falls, the mean.
        steps: How many steps are taken.
        rate: Factor on the step, that of the `Stage`.
        betas: Those of the optimizer.

    Returns:
        The largest change, in the unit of the taps; over a filter's gain it is relative to it.

    Example:
        >>> round(drift_bound(taps=15, lr=3e-3, steps=200, rate=0.01), 3)
        0.194
    """
    b1, b2 = betas
    t, r = np.arange(1, steps + 1), b1**2 / b2
    step = (1 - b1) / (1 - b1**t) * np.sqrt((1 - b2**t) / (1 - b2) * np.cumsum(r ** (t - 1)))
    return float(taps * lr * rate * step.sum())
