"""Free motion over matrices with orthonormal columns."""

import torch
from torch import Tensor

from .polar import along, asks_numbers, inner_excess, longest_row, nearest, symmetric_product

__all__ = ["glide_"]

SWEEPS = 40  # after which a search counts as failed
FIXED = 30  # sweeps where nothing may ask how far it is: enough for ways up to 0.3


def glide_(q: Tensor, way: Tensor) -> None:
    """Move to where free motion leads, and turn the way into the one that it would go on by.

    H. C. Andersen 1983, Rattle: a "velocity" version of the Shake algorithm for molecular dynamics
    calculations; B. Leimkuhler, T. Pouchon, T. Vlaar and A. Storkey 2021, Constraint-based
    regularization of neural networks. What holds the new position is normal to the set at the old
    one, so that it is `q' = q + way + q n` with a symmetric n. With `a = q^T way`, which is skew,
    and `c = way^T way`, its columns are orthonormal where

        n = -(c + n (n/2 + a) + (n (n/2 + a))^T) / 2

    an equation between small matrices. The new way, the part of `q' - q` along the set, is then
    `way + (q + q') n`: it is as long as the old one, and turned round it leads back.

    Where the way is too long for that, about 1 in any direction, the end is the point nearest to
    `q + way`, and the new way the part of the way there along the set.

    Args:
        q: Matrices `(count, rows, columns)` with orthonormal columns, written to.
        way: Velocity times time, tangent at q, written to.
    """
    n, solved = _multiplier(torch.bmm(q.mT, way), symmetric_product(way.mT, way))
    lost = None if asks_numbers(q) and solved.all() else ~solved
    rescued = None if lost is None else _straight(q, way, lost)
    moved = torch.add(q, way).baddbmm_(q, n)
    # Takes off what rounding has left at q, which would add up from step to step.
    moved = torch.baddbmm(moved, moved, inner_excess(moved), alpha=-0.5)
    way.baddbmm_(q.add_(moved), n)
    q.copy_(moved)
    if lost is not None and rescued is not None:
        for tensor, found in zip((q, way), rescued, strict=True):
            tensor.copy_(torch.where(lost[:, None, None], found, tensor))


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


def _straight(q: Tensor, way: Tensor, lost: Tensor) -> tuple[Tensor, Tensor]:
    """The point nearest to `q + way` and the way there along the set; of those that ask for it."""
    if asks_numbers(q):
        there, turned = q.clone(), way.clone()
        there[lost] = found = nearest(q[lost] + way[lost])
        turned[lost] = along(found, found - q[lost])
        return there, turned
    there = nearest(q + way)
    return there, along(there, there - q)
