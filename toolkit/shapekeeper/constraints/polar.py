"""The matrix with orthonormal columns that is nearest to a given one, mostly by products alone.

For `x = U S V^T` it is `U V^T`, the polar factor (N. J. Higham 1986, Computing the polar
decomposition, with applications; section 2). With `e = x^T x - 1` it is also `x (1 + e)^(-1/2)`,
whose series needs no more than a few products where e is small, as after a step of training.
"""

from math import ceil, log, pi, sqrt

import torch
from torch import Tensor
from torch.linalg import vector_norm

__all__ = [
    "along",
    "asks_numbers",
    "excess",
    "inner_excess",
    "longest_row",
    "nearest",
    "nearest_by_sweeps",
    "polish",
]

# (1 + e)^(-1/2) = 1 - e/2 + 3/8 e^2 - 5/16 e^3 + 35/128 e^4 - ...; cut off after an even power it
# is above 0 for all e, so that no sweep turns a direction round, however far away it begins.
FIRST, SECOND, THIRD, FOURTH = -1 / 2, 3 / 8, -5 / 16, 35 / 128
# K. Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks: singular values
# from 0 to 1 grow by the first number, and end between 0.68 and 1.13.
QUINTIC = (3.4445, -4.7750, 2.0315)
TRIES = 8  # sweeps of the series after which a matrix counts as too far away for it


def excess(x: Tensor) -> Tensor:
    """Inner products of the columns, minus the identity."""
    return x.mT @ x - torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def along(q: Tensor, v: Tensor) -> Tensor:
    """The part of v that leaves the inner products of the columns of q as they are."""
    inner = q.mT @ v
    return v - q @ (inner + inner.mT) / 2


def nearest(x: Tensor) -> Tensor:
    """The nearest matrices with orthonormal columns, without gradient.

    On a CPU the numbers themselves say how many sweeps they need, which costs nothing there. A
    GPU would have to stop for the answer, and torch.compile can't ask: both get as many sweeps as
    any matrix needs.

    Args:
        x: Tall matrices `(count, rows, columns)`, in float32 or float64. Where one is not finite,
            neither is its answer, and the others' are what they are alone.

    Returns:
        Matrices of the same shape; `x` itself if nothing is to be done.
    """
    return _nearest_by_data(x) if asks_numbers(x) else nearest_by_sweeps(x)


def asks_numbers(x: Tensor) -> bool:
    """Whether what is done may depend on the numbers: not where it would have to wait for them."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _nearest_by_data(x: Tensor) -> Tensor:
    close, target = x, _target(x)
    sizes = x.new_full((len(x),), torch.inf)
    for _ in range(TRIES):
        e = inner_excess(close)
        sizes = longest_row(e)
        worst = _largest(sizes)
        if worst <= target:
            return close
        # What is left after a sweep is 3/4 e^2, 5/8 e^3 or 63/128 e^5: never more than these.
        if 3 / 4 * worst * worst <= target:
            return torch.baddbmm(close, close, e, alpha=FIRST)
        if not worst < 1:
            break
        squared = e @ e
        rows = _largest(longest_row(squared))
        if 5 / 8 * worst * rows <= target:
            step = torch.add(e, squared, alpha=SECOND / FIRST)
            return torch.baddbmm(close, close, step, alpha=FIRST)
        close = _sweep(close, e, squared)
        if 63 / 128 * rows * rows * sqrt(sqrt(x.shape[-1]) * rows) <= target:
            return close
    return _nearest_from_afar(x, far=~(sizes < 1))


def _target(x: Tensor) -> float:
    """The largest entry of `e` that is as good as none, next to what rounding leaves."""
    return torch.finfo(x.dtype).eps * max(2.0, sqrt(x.shape[-1]) / 4)


def inner_excess(x: Tensor) -> Tensor:
    """`excess` with less ado: not for gradients."""
    e = x.mT @ x
    e.diagonal(dim1=-2, dim2=-1).sub_(1)
    return e


def longest_row(e: Tensor) -> Tensor:
    """The length of the longest row of each matrix: no entry of `e e` is larger than its square."""
    return vector_norm(e, dim=-1).amax(-1)


def _largest(sizes: Tensor) -> float:
    return sizes.amax().item() if len(sizes) > 1 else sizes.item()


def _sweep(x: Tensor, e: Tensor, squared: Tensor) -> Tensor:
    """The series up to the fourth power."""
    low = torch.add(e, squared, alpha=SECOND / FIRST)
    high = torch.add(e, squared, alpha=FOURTH / THIRD)
    return torch.baddbmm(x, x, torch.baddbmm(low, squared, high, beta=FIRST, alpha=THIRD))


def _nearest_from_afar(x: Tensor, far: Tensor) -> Tensor:
    """Each far one by its singular values, so that the others need not wait for them."""
    if not far.any() or far.all():
        return _by_singular_values(x)
    found = torch.empty_like(x)
    found[far], found[~far] = _by_singular_values(x[far]), _nearest_by_data(x[~far])
    return found


def _by_singular_values(x: Tensor) -> Tensor:
    # One matrix with a NaN would make torch.linalg.svd raise for all.
    lost = ~torch.isfinite(x).all(-1, keepdim=True).all(-2, keepdim=True)
    u, _, v = torch.linalg.svd(x.masked_fill(lost, 0), full_matrices=False)
    found = u @ v
    return torch.baddbmm(found, found, inner_excess(found), alpha=FIRST).masked_fill_(
        lost, torch.nan
    )


def nearest_by_sweeps(x: Tensor) -> Tensor:
    """`nearest` in a number of products that depends on shape and precision alone; differentiable.

    A direction as short as rounding can tell from none grows to order 1 by the quintics, before
    the series makes it 1. What had no length at all gets one as small as rounding, in a direction
    that is always the same.
    """
    eps, tiny = torch.finfo(x.dtype).eps, torch.finfo(x.dtype).tiny
    x = x / x.detach().abs().amax((-2, -1), keepdim=True).clamp(min=tiny)
    # No singular value is above the root of the largest row sum of the inner products.
    bound = (x.mT @ x).detach().abs().sum(-1, keepdim=True).amax(-2, keepdim=True).sqrt()
    x = x / bound.clamp(min=sqrt(tiny)) + eps * _directions(x)
    a, b, c = QUINTIC
    for _ in range(ceil(log(x.shape[-2] / eps) / log(a)) + 1):
        products = x.mT @ x
        x = torch.baddbmm(
            x, x, torch.baddbmm(products, products, products, beta=b, alpha=c), beta=a
        )
    return polish(x, sweeps=2 if eps > 1e-10 else 3)


def _directions(x: Tensor) -> Tensor:
    """Orthogonal columns without a zero in them, always the same: those of the cosine transform."""
    rows, columns = x.shape[-2:]
    odd = 2 * torch.arange(rows, device=x.device) + 1
    turns = torch.outer(odd, odd[:columns]) % (8 * rows)  # before rounding can lose them
    return (turns.to(x.dtype) * (pi / (4 * rows))).cos()


def polish(x: Tensor, sweeps: int) -> Tensor:
    """A fixed number of sweeps of the series, for what is near already."""
    for _ in range(sweeps):
        e = excess(x)
        x = _sweep(x, e, e @ e)
    return x
