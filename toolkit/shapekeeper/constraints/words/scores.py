"""Scores as a layer gives them: checked, and read as symbols."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from ..constraint import ConstraintError

__all__ = ["check_finite", "one_hot", "unchecked"]

_CHECKED = ContextVar("checked", default=True)


@contextmanager
def unchecked() -> Iterator[None]:
    """Within, no score is refused: of several runs, one that diverges must not stop the others.

    Example:
        >>> from shapekeeper import Grammar
        >>> with unchecked():
        ...     Grammar("a|b", length=1).project(torch.tensor([[torch.nan, 0.0]]))
        tensor([[1., 0.]])
    """
    before = _CHECKED.set(False)
    try:
        yield
    finally:
        _CHECKED.reset(before)


def check_finite(scores: Tensor) -> None:
    """Raise if a score is infinite or NaN, where that can be asked.

    Not while torch.func or torch.compile traces, and not in a training step on a GPU, which would
    have to be waited for: a word comes of such scores too, with gradients that are NaN.

    Args:
        scores: `(*batch, length, symbols)`.

    Raises:
        ConstraintError: With how many events have one.
    """
    if torch.compiler.is_compiling() or not _CHECKED.get():
        return
    if torch._C._are_functorch_transforms_active():
        return
    if scores.device.type != "cpu" and torch.is_grad_enabled():
        return
    if torch.isfinite(scores).all():
        return
    odd = ~torch.isfinite(scores).flatten(-2).all(-1)
    first = scores[~torch.isfinite(scores)][0].item()
    raise ConstraintError(
        f"Wanted finite scores, got {first} in {int(odd.sum())} of {odd.numel()} events. A layer "
        "gives such scores when training has diverged or its inputs are not finite: use a smaller "
        "learning rate, or normalize the scores, e.g. by BatchNorm."
    )


def one_hot(x: Tensor) -> Tensor:
    """The largest entry of each slot as 1, the first of equal ones, all others as 0.

    Args:
        x: `(..., symbols)`.

    Returns:
        The same shape and dtype.

    Example:
        >>> one_hot(torch.tensor([0.5, 2.0, 2.0]))
        tensor([0., 1., 0.])
    """
    best = x.argmax(-1, keepdim=True)
    return torch.zeros_like(x).scatter(-1, best, 1.0)
