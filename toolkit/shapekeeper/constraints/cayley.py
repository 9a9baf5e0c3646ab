"""The Cayley transform: a chart of the matrices with orthonormal columns around one of them.

Z. Wen and W. Yin 2013, A feasible method for optimization with orthogonality constraints, section
2: with `w = p u at^T - at u^T p`, `p = 1 - at at^T / 2`, the chart takes u to

    x = (1 - w/2)^-1 (1 + w/2) at

which leaves `at` along the tangent part of u, at its speed. Their lemma 4 replaces the large
inverse by one of twice as many columns. Here it has as many: with `s = (at^T u - u^T at) / 2`,
which is skew, and `n = u - at at^T u`, which is normal to `at`,

    x = (n + 2 at) k^-1 - at,    k = 1 - s/2 + n^T n / 4

and k, whose symmetric part is at least 1, always has an inverse.
"""

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .polar import asks_numbers, polish
from .spectral import Polar, apply

__all__ = ["free_numbers", "longest", "value"]


def value(u: Tensor, at: Tensor) -> Tensor:
    """What free numbers stand for, all `(*batch, rows, columns)` with no fewer rows."""
    size = vector_norm(u.detach(), dim=(-2, -1), keepdim=True)
    u = u * (longest(u.dtype) / size).clamp(max=1)
    inner = at.mT @ u
    k = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device) - (inner - inner.mT) / 4
    ahead = 2 * at
    if not _square(u):
        across = u - at @ inner
        k, ahead = k + across.mT @ across / 4, ahead + across
    # Unlike torch.linalg.solve this does not make a GPU wait for the answer.
    x = torch.linalg.solve_ex(k, ahead, left=False)[0] - at
    return x + (_exactly(x.detach()) - x.detach())


def _exactly(x: Tensor) -> Tensor:
    """Without what rounding has left, normal to the set: along it, and to gradients, the same."""
    flat = x.reshape(-1, *x.shape[-2:])
    # torch.vmap does not let numbers be read either, but a function with a rule for it.
    return (apply(Polar(), flat) if asks_numbers(x) else polish(flat)).view(x.shape)


def free_numbers(x: Tensor, at: Tensor) -> Tensor:
    """The tangent vector that stands for x; infinite or very long where there is none."""
    # From the chart: at^T (x + at) = 2 k^-1.
    k = torch.linalg.inv_ex(at.mT @ (x + at) / 2)[0]
    along = at @ (k.mT - k)
    return along if _square(x) else along + (x + at) @ k - 2 * at


def longest(dtype: torch.dtype) -> float:
    """The length beyond which free numbers are read as no longer: rounding would eat the value."""
    return 1e-2 / torch.finfo(dtype).eps


def _square(x: Tensor) -> bool:
    return x.shape[-2] == x.shape[-1]
