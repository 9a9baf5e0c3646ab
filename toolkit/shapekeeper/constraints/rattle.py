"""Free motion over matrices with orthonormal columns."""

import torch
from torch import Tensor

from .polar import along, asks_numbers, inner_excess, longest_row, nearest

__all__ = ["glide"]

SWEEPS = 40  # after which a search counts as failed
FIXED = 12  # sweeps where nothing may ask how far it is


def glide(q: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """Where free motion leads, and the way that it would go on by.

    H. C. Andersen 1983, Rattle: a "velocity" version of the Shake algorithm for molecular dynamics
    calculations; B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, Better training
    using weight-constrained stochastic dynamics. What holds the new position is normal to the set
    at the old one, so that it is `q' = q + way + q n` with a symmetric n. With `a = q^T way`,
    which is skew, and `c = way^T way`, its columns are orthonormal where

        n = -(c + n (n/2 + a) + (n (n/2 + a))^T) / 2

    an equation between small matrices. The new way, the part of `q' - q` along the set, is then
    `way + (q + q') n`: it is as long as the old one, and turned round it leads back.

    Args:
        q: Matrices `(count, rows, columns)` with orthonormal columns.
        way: Velocity times time, tangent at q.

    Returns:
        `q'` and `way + (q + q') n`. Where the way is too long for that, about 1 in any direction,
        the point nearest to `q + way`, and the part of the way there along the set.
    """
    a, c = q.mT @ way, way.mT @ way
    a = (a - a.mT).mul_(0.5)  # rounding leaves a trace of the other part
    n, solved = _multiplier(a, c)
    moved = torch.add(q, way).baddbmm_(q, n)
    # Takes off what rounding has left at q, which would add up from step to step.
    moved = torch.baddbmm(moved, moved, inner_excess(moved), alpha=-0.5)
    onward = torch.baddbmm(way, q + moved, n)
    if asks_numbers(q) and solved.all():
        return moved, onward
    return _rescue(q, way, moved, onward, solved)


def _multiplier(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The n of `glide`, and for which matrices it was found; uses up the memory of c."""
    first = c.mul_(-0.5)
    n, before = first, longest_row(first)  # the first sweep, from n = 0
    # The part of the way that an error here changes is to be as small as rounding.
    target = torch.finfo(a.dtype).eps * before.sqrt().clamp(max=1)
    solved = before <= target
    for _ in range(SWEEPS if asks_numbers(a) else FIXED):
        inner = torch.add(a, n, alpha=0.5)
        product = torch.bmm(n, inner)
        swept = torch.add(first, product, alpha=-0.5, out=inner).sub_(product.mT, alpha=0.5)
        sizes = longest_row(torch.sub(swept, n, out=product))
        n, shrinks = swept, sizes < before
        # What is left after a sweep is to what it did as that is to what the last one did.
        solved = (sizes <= target) | (shrinks & (sizes * sizes <= target * before))
        if asks_numbers(a) and not (shrinks & ~solved).any():  # NaN never shrinks
            break
        before = sizes
    return n, solved


def _rescue(
    q: Tensor, way: Tensor, moved: Tensor, onward: Tensor, solved: Tensor
) -> tuple[Tensor, Tensor]:
    """The point nearest to `q + way`, where the search has found none."""
    if asks_numbers(q):
        lost = ~solved
        moved[lost] = there = nearest(q[lost] + way[lost])
        onward[lost] = along(there, there - q[lost])
        return moved, onward
    there, found = nearest(q + way), solved[:, None, None]
    return torch.where(found, moved, there), torch.where(found, onward, along(there, there - q))
