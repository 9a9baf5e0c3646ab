"""What networks are asked in an audit: data, nonsense, and boxes of inputs."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from torch import Tensor

from shapekeeper.randomness import generator
from shapekeeper.tasks import Data

from .comparison import ComparisonError

__all__ = ["EVERY_INPUT", "audit_inputs", "regions"]

WILD = 10.0  # spreads of the training inputs that nonsense reaches
CONSTANT = 100  # inputs of nonsense that are one number throughout
EVERY_INPUT = "every input"

Box = tuple[Tensor, Tensor]


def audit_inputs(data: Data, nonsense: int | Tensor) -> dict[str, Tensor]:
    """All parts of the data but that of training, and nonsense.

    Args:
        data: Of one run, in the type that the network computes in.
        nonsense: Inputs that no data would have, or how many to make: of whole numbers uniform ones
            from the range of the training inputs; of others normal noise of 10 times their spread,
            and some that are one number throughout, 0 among them.

    Returns:
        Name of the part -> inputs, `test` first and `nonsense` last.

    Raises:
        ComparisonError: If nonsense is something else or does not fit the data, or if an input is
            not finite.

    Example:
        >>> tokens = torch.tensor([[2, 5], [3, 3]])
        >>> made = audit_inputs(Data((tokens, tokens), (tokens, tokens)), 100)
        >>> list(made), made["nonsense"].unique().tolist()
        (['test', 'nonsense'], [2, 3, 4, 5])
    """
    train = data.train[0]
    others = {name: x for name, (x, _) in data.parts.items() if name not in ("train", "test")}
    inputs = {"test": data.test[0], **others}
    _refuse_infinite({"train": train, **inputs})
    if isinstance(nonsense, Tensor):
        _refuse_unlike(nonsense, train)
        inputs["nonsense"] = nonsense.detach().to("cpu", train.dtype)
        _refuse_infinite(inputs)
    elif isinstance(nonsense, int) and not isinstance(nonsense, bool) and nonsense >= 1:
        inputs["nonsense"] = _nonsense(train, nonsense)
    else:
        raise ComparisonError(
            f"Wanted a tensor of nonsense, or how many inputs to make, from 1 up; got {nonsense!r}."
        )
    return inputs


def _refuse_infinite(inputs: dict[str, Tensor]) -> None:
    told = []
    for name, x in inputs.items():
        if bad := int((~torch.isfinite(x)).reshape(len(x), -1).any(1).sum()):
            told.append(f"{bad} of {len(x)} in {name}")
    if told:
        raise ComparisonError(
            f"Wanted finite inputs, got infinite numbers or NaN: {', '.join(told)}. No network "
            "promises anything for such inputs; leave them out."
        )


def _refuse_unlike(nonsense: Tensor, train: Tensor) -> None:
    if nonsense.dim() != train.dim() or not len(nonsense):
        raise ComparisonError(
            f"Wanted nonsense with as many axes as the data, whose inputs are {tuple(train.shape)},"
            f" and at least one input; got {tuple(nonsense.shape)}."
        )
    if nonsense.is_floating_point() and not train.is_floating_point():
        raise ComparisonError(
            f"Wanted nonsense of the data's type, {train.dtype}, got {nonsense.dtype}."
        )


def _nonsense(train: Tensor, count: int) -> Tensor:
    """Inputs of the data's type that mean nothing."""
    draw, shape = generator(0, "nonsense"), (count, *train.shape[1:])
    if train.dtype == torch.bool:
        return torch.rand(shape, generator=draw) < 0.5
    if not train.is_floating_point():
        low, high = int(train.min()), int(train.max())
        return torch.randint(low, high + 1, shape, generator=draw, dtype=train.dtype)
    center, spread = train.mean().item(), train.std(correction=0).item()
    reach = WILD * (spread or abs(center) or 1.0)
    made = center + reach * torch.randn(shape, generator=draw, dtype=train.dtype)
    some = min(CONSTANT, count)
    levels = center + reach * torch.linspace(-1, 1, some, dtype=train.dtype)
    levels[0] = 0.0
    made[:some] = levels.view(-1, *[1] * (train.dim() - 1))
    return made


def regions(train: Tensor, region: tuple[Any, Any] | None) -> dict[str, Box]:
    """The boxes of inputs for which bounds are sought.

    Args:
        train: Training inputs `(examples, ...)`.
        region: Smallest and largest inputs, of a shape that broadcasts with one example; the box
            of the training inputs by default.

    Returns:
        Words for the box -> its ends `(1, ...)` in double precision: that of every input, and the
        one that is asked for.

    Raises:
        ComparisonError: If the region is no box of such inputs.

    Example:
        >>> boxes = regions(torch.tensor([[0.0, 3.0], [1.0, 2.0]]), None)
        >>> list(boxes)
        ['every input', 'the box of the training inputs']
        >>> boxes["the box of the training inputs"]
        (tensor([[0., 2.]], dtype=torch.float64), tensor([[1., 3.]], dtype=torch.float64))
    """
    x = train.double()
    everywhere = torch.full_like(x[:1], -inf), torch.full_like(x[:1], inf)
    if region is None:
        box = x.amin(0, keepdim=True), x.amax(0, keepdim=True)
        return {EVERY_INPUT: everywhere, "the box of the training inputs": box}
    try:
        low, high = (
            torch.as_tensor(end, dtype=torch.float64).expand(x.shape[1:])[None] for end in region
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise ComparisonError(
            "Wanted region=(low, high), each of a shape that broadcasts with an input, "
            f"{tuple(x.shape[1:])}, got {region!r}."
        ) from error
    if not (low <= high).all():
        raise ComparisonError(f"Wanted a region with low <= high everywhere, got {region!r}.")
    return {EVERY_INPUT: everywhere, "the given box": (low, high)}
