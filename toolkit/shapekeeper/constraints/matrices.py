"""What constraints on matrices share: weights, and kernels of convolutions read as matrices."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .constraint import ConstraintError

__all__ = ["as_tall", "as_were", "check_event_dims", "check_kernel", "check_matrices", "haar_frame"]

HALF = (torch.float16, torch.bfloat16)


def as_tall(x: Tensor, event_dims: int) -> Tensor:
    """Events as matrices with no fewer rows than columns, `(*batch, rows, columns)`.

    All axes of an event but the first make up the columns; a wide matrix is transposed. In half
    precision products would be off by more than what they are to find, so numbers come in float32
    at least.
    """
    x = x.float() if x.dtype in HALF else x
    x = x.flatten(1 - event_dims) if event_dims > 2 else x
    return x if x.shape[-2] >= x.shape[-1] else x.mT


def as_were(tall: Tensor, like: Tensor, event_dims: int) -> Tensor:
    """Tall matrices in the shape and precision of the tensor that `as_tall` made them of."""
    rows, *others = like.shape[-event_dims:]
    found = tall.mT if rows < prod(others) else tall
    if found.shape != like.shape:
        found = found.reshape(like.shape)
    return found.to(like.dtype)


def check_event_dims(event_dims: int, name: str) -> None:
    """Raise ConstraintError unless these are the axes of a matrix or a convolution's kernel."""
    if event_dims not in (2, 3, 4, 5):
        raise ConstraintError(
            f"Wanted {name}(event_dims=2) for matrices, or 3, 4 or 5 for the kernels of "
            f"convolutions over 1, 2 or 3 axes, got event_dims={event_dims!r}."
        )


def check_matrices(shape: tuple[int, ...], event_dims: int, name: str) -> None:
    """Raise ConstraintError unless a shape ends in axes that make a matrix."""
    if len(shape) >= event_dims and all(size > 0 for size in shape[-event_dims:]):
        return
    fits = 2 <= len(shape) < event_dims and all(shape)
    way_out = f" For this one it is {name}(event_dims={len(shape)})." if fits else ""
    raise ConstraintError(
        f"Wanted a tensor with at least {event_dims} axes, none of them empty, for a matrix of "
        f"targets by sources, got shape {tuple(shape)}.{way_out}"
    )


def check_kernel(layer: nn.Module, event_dims: int, name: str) -> None:
    """Raise ConstraintError where a kernel would be read as many small matrices."""
    if not isinstance(layer, _ConvNd) or event_dims == layer.weight.dim():
        return
    raise ConstraintError(
        f"Wanted all axes of the kernel of {type(layer).__name__} in one matrix, targets by all "
        f"that each of them sees, got event_dims={event_dims}, which would hold each of many "
        f"small matrices by itself. Use {name}(event_dims={layer.weight.dim()})."
    )


def haar_frame(shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
    """Matrices `(*batch, rows, columns)` with orthonormal columns, uniform over all of them.

    F. Mezzadri 2007, How to generate random matrices from the classical compact groups, section 5:
    the factor Q of Gaussian numbers is uniform once the diagonal of R is above 0.
    """
    device = None if generator is None else generator.device
    q, r = torch.linalg.qr(torch.randn(shape, generator=generator, device=device))
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
