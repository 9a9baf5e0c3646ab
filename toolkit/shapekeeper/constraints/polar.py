"""The matrix with orthonormal columns that is nearest to a given one, mostly by products alone.

For `x = U S V^T` it is `U V^T`, the polar factor (N. J. Higham 1986, Computing the polar
decomposition, with applications; section 2). With `e = x^T x - 1` it is also `x (1 + e)^(-1/2)`,
whose series needs no more than a few products where e is small, as after a step of training.
"""

from functools import lru_cache
from math import ceil, log, pi, sqrt

import torch
from torch import Tensor
from torch.linalg import vector_norm

__all__ = [
    "along",
    "asks_numbers",
    "excess",
    "inner_excess",
    "inner_sum",
    "longest_row",
    "nearest",
    "nearest_by_sweeps",
    "polish",
    "symmetric_product",
]

# (1 + e)^(-1/2) = 1 - e/2 + 3/8 e^2 - 5/16 e^3 + ...; cut off after an even power it is above 0 for
# all e, so that no sweep turns a direction round, however far away it begins.
SERIES = (1, -1 / 2, 3 / 8, -5 / 16, 35 / 128, -63 / 256, 231 / 1024, -429 / 2048)
# K. Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks: singular values
# from 0 to 1 grow by the first number, and end between 0.68 and 1.13.
QUINTIC = (3.4445, -4.7750, 2.0315)
SMALL = 128  # columns up to which a call costs more than what it computes
LARGE = 512  # columns from which on symmetry saves more than it costs
TRIES = 8  # sweeps of the series after which a matrix counts as too far away for it


def excess(x: Tensor) -> Tensor:
    """Inner products of the columns, minus the identity."""
    return x.mT @ x - torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def along(q: Tensor, v: Tensor) -> Tensor:
    """The part of v that leaves the inner products of the columns of q as they are."""
    return torch.baddbmm(v, q, inner_sum(q, v), alpha=-0.5)


def inner_sum(q: Tensor, v: Tensor) -> Tensor:
    """`q^T v + v^T q`."""
    inner = torch.bmm(q.mT, v)
    return inner + inner.mT


def nearest(x: Tensor, out: Tensor | None = None) -> Tensor:
    """The nearest matrices with orthonormal columns, without gradient.

    On a CPU the numbers themselves say how many sweeps they need, which costs nothing there. A
    GPU would have to stop for the answer, and torch.compile can't ask: both get as many sweeps as
    any matrix needs.

    Args:
        x: Tall matrices `(count, rows, columns)`, in float32 or float64. Where one is not finite,
            neither is its answer, and the others' are what they are alone.
        out: Memory that may become the answer; not that of x.

    Returns:
        Matrices of the same shape; `x` itself if nothing is to be done.
    """
    return _nearest_by_data(x, out) if asks_numbers(x) else nearest_by_sweeps(x)


def asks_numbers(x: Tensor) -> bool:
    """Whether what is done may depend on the numbers: not where it would have to wait for them."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _nearest_by_data(x: Tensor, out: Tensor | None = None) -> Tensor:
    close, target, sizes = x, _target(x), torch.empty(0)
    near = sqrt(target / (2 * abs(SERIES[2])))  # from here one sweep is enough
    for _ in range(TRIES):
        e = inner_excess(close)
        if len(x) == 1 and (whole := vector_norm(e).item()) <= near:  # no row is longer
            if whole <= target:
                return close
            return torch.baddbmm(close, close, e, alpha=SERIES[1], out=out)
        sizes = longest_row(e)
        worst = _largest(sizes)
        if worst <= target:
            return close
        if _left(1, worst, 1) <= target:
            return torch.baddbmm(close, close, e, alpha=SERIES[1], out=out)
        if not worst < 1:
            break
        close, left = _improved(close, e, worst, target)
        if left <= target:
            return close
    return _nearest_from_afar(x, far=~(sizes < 1))


def _improved(x: Tensor, e: Tensor, worst: float, target: float) -> tuple[Tensor, float]:
    """The series up to the power that is needed, at most the sixth; what is then left at most."""
    columns, squared = x.shape[-1], symmetric_product(e, e)
    # No product of k of these has a longer row than the longest, times the largest eigenvalue to
    # the power of k - 1: on short rows a coarse bound on that is good enough.
    if (left := _left(4, worst, worst * sqrt(columns))) <= target:
        return _up_to_fourth(x, e, squared), left
    lengths = vector_norm(squared, dim=-1)
    longest, whole = _largest(lengths.amax(-1)), _largest(vector_norm(lengths, dim=-1))
    largest = min(sqrt(whole), worst * sqrt(columns))
    if (left := 2 * abs(SERIES[3]) * worst * longest) <= target:
        step = e.add_(squared, alpha=SERIES[2] / SERIES[1])
        return torch.baddbmm(x, x, step, alpha=SERIES[1]), left
    if (left := 2 * abs(SERIES[5]) * longest**2 * largest) <= target:
        return _up_to_fourth(x, e, squared), left
    return _up_to_sixth(x, e, squared), 2 * abs(SERIES[7]) * longest**2 * largest**3


def _left(power: int, row: float, largest: float) -> float:
    """The largest entry of `e` after a step of the series up to a power, about."""
    return 2 * abs(SERIES[power + 1]) * row**2 * largest ** (power - 1)


def _target(x: Tensor) -> float:
    """The largest entry of `e` that is as good as none, next to what rounding leaves."""
    return torch.finfo(x.dtype).eps * max(2.0, sqrt(x.shape[-1]) / 4)


def inner_excess(x: Tensor) -> Tensor:
    """`excess` with less ado: not for gradients."""
    if x.shape[-1] < SMALL and asks_numbers(x):
        return torch.bmm(x.mT, x).sub_(_identity(x.shape[-1], x.dtype, x.device))
    e = symmetric_product(x.mT, x)
    e.diagonal(dim1=-2, dim2=-1).sub_(1)
    return e


@lru_cache(maxsize=64)
def _identity(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.eye(size, dtype=dtype, device=device)


def symmetric_product(
    a: Tensor, b: Tensor, into: Tensor | None = None, beta: float = 0.0, alpha: float = 1.0
) -> Tensor:
    """`beta into + alpha a b`, written there, where that is known to be symmetric.

    Of a large one the lower half is copied from the upper.
    """
    size = a.shape[-2]
    if size < LARGE:
        return torch.bmm(a, b) if into is None else into.baddbmm_(a, b, beta=beta, alpha=alpha)
    into = a.new_empty((len(a), size, size)) if into is None else into
    width = ceil(size / 4)
    for here, left, right in zip(into, a, b, strict=True):
        for start in range(0, size, width):
            end = min(start + width, size)
            here[start:end, start:].addmm_(
                left[start:end], right[:, start:], beta=beta, alpha=alpha
            )
            here[end:, start:end].copy_(here[start:end, end:].mT)
    return into


def longest_row(e: Tensor) -> Tensor:
    """The length of the longest row of each matrix: no entry of `e e` is larger than its square."""
    return vector_norm(e, dim=-1).amax(-1)


def _largest(sizes: Tensor) -> float:
    return sizes.amax().item() if len(sizes) > 1 else sizes.item()


# These two use up the memory of what they are given: new memory costs as much as half a product.


def _up_to_fourth(x: Tensor, e: Tensor, squared: Tensor) -> Tensor:
    _, one, two, three, four, *_ = SERIES
    high = torch.add(e, squared, alpha=four / three)
    low = e.add_(squared, alpha=two / one)
    series = symmetric_product(squared, high, low, beta=one, alpha=three)
    return torch.baddbmm(x, x, series, out=squared if x.shape == squared.shape else None)


def _up_to_sixth(x: Tensor, e: Tensor, squared: Tensor) -> Tensor:
    _, one, two, three, four, five, six, _ = SERIES
    cubed = symmetric_product(squared, e)
    high = torch.add(e, squared, alpha=five / four).add_(cubed, alpha=six / four)
    low = e.add_(squared, alpha=two / one).add_(cubed, alpha=three / one)
    series = symmetric_product(cubed, high, low, beta=one, alpha=four)
    return torch.baddbmm(x, x, series, out=cubed if x.shape == cubed.shape else None)


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
    return torch.baddbmm(found, found, inner_excess(found), alpha=SERIES[1]).masked_fill_(
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
    return polish(x)


def _directions(x: Tensor) -> Tensor:
    """Orthogonal columns without a zero in them, always the same: those of the cosine transform."""
    rows, columns = x.shape[-2:]
    odd = 2 * torch.arange(rows, device=x.device) + 1
    turns = torch.outer(odd, odd[:columns]) % (8 * rows)  # before rounding can lose them
    return (turns.to(x.dtype) * (pi / (4 * rows))).cos()


def polish(x: Tensor) -> Tensor:
    """What is near already, `(count, rows, columns)`, in a fixed number of products."""
    _, one, two, three, four, *_ = SERIES
    for _ in range(3):
        e = excess(x)
        squared = e @ e
        x = x + x @ (one * e + two * squared + squared @ (three * e + four * squared))
    return x
