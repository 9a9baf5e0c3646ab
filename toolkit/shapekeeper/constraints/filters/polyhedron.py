"""A polyhedral set of coordinates `{a : P a <= q}`: its middle, and the way in toward it."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from ..constraint import ConstraintError
from ..tensor_value import TensorValue

__all__ = ["Polyhedron"]

ROUNDING = 8.0  # units in the last place that one evaluation of the rows may be off by


@dataclass(frozen=True)
class Polyhedron:
    """Points with `P a <= q`, and all that is worked out once from P and q.

    Two kinds. A *polytope* has q other than 0. A *cone* has q = 0 and stands for itself and its
    mirror image, K and -K: with a point it has every multiple of it. Its points have a gain,
    `gamma @ a`, which is above 0 in K; the points of a polytope have the gain 1.

    Attributes:
        rows: P, `(R, m)`, each of norm 1.
        limits: q, `(R,)`.
        gamma: `(m,)`; zeros for a polytope.
        center: `(m,)`, of gain 1: the point farthest from all rows.
        start: `(m,)`: the analytic center, where searches begin. In a cone that is where
            `|a|^2 / 2 - sum(log(-P a))` is smallest, so it has an inner product above 0 with every
            other point of K.
        reach: `(R, m)`: rows over the room that the center has to them.
        products: `(R, k)`; times `pairs` they are the outer products of all rows.
        pairs: `(k, m * m)`.
        fuzz: By how much of its way from the center a point of the boundary seems beyond it, in
            units of the rounding error of a dtype.
        is_cone: Which of the two kinds it is.

    Example:
        >>> square = Polyhedron.of([[1, 0], [0, 1], [-1, 0], [0, -1]], [1, 1, 0, 0])
        >>> square.center.numpy()
        array([0.5, 0.5])
        >>> square.ray(torch.tensor([2.5, 0.5], dtype=torch.float64)).round(decimals=9)
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    rows: TensorValue
    limits: TensorValue
    gamma: TensorValue
    center: TensorValue
    start: TensorValue
    reach: TensorValue
    products: TensorValue
    pairs: TensorValue
    fuzz: float
    is_cone: bool

    @classmethod
    def of(cls, rows: object, limits: object, gamma: object = None) -> "Polyhedron":
        """The set of rows and limits.

        Args:
            rows: `(R, m)`; brought to norm 1, and those that say the same kept once.
            limits: `(R,)`.
            gamma: `(m,)`: the gain of a point of a cone; for a polytope None.

        Raises:
            ConstraintError: If no point has room to all rows.
        """
        p, q = np.asarray(rows, float), np.asarray(limits, float)
        length = np.linalg.norm(p, axis=1)
        p, q = p / length[:, None], q / length
        once = np.sort(np.unique(np.column_stack([p, q]).round(12), axis=0, return_index=True)[1])
        p, q = p[once], q[once]
        cone = gamma is not None
        g = np.asarray(gamma, float) if cone else np.zeros(p.shape[1])
        center = _center(p, q, g)
        room = q - p @ center
        products, pairs = _outer_products(p)
        size = np.linalg.norm(center)
        fuzz = ROUNDING * (size if cone else max(size, np.abs(q).max())) / room.min()
        arrays = (p, q, g, center, _analytic_center(p, q, center, cone))
        values = map(TensorValue.of, (*arrays, p / room[:, None], products, pairs))
        return cls(*values, fuzz=float(fuzz), is_cone=cone)

    def ray(self, a: Tensor, share: float = 1.0) -> Tensor:
        """Where the way from `a` to the center of the same gain enters the set; `a` if inside.

        One product with a matrix, and a gradient everywhere (J. Tordesillas, J. P. How and M.
        Hutter 2023, RAYEN: imposition of hard convex constraints on neural networks, section 4).
        It ends a few rounding errors inside.

        Args:
            a: `(..., m)`.
            share: Of the way from the center to the boundary that may be gone.

        Returns:
            The points, same shape.
        """
        center = self.center.on(a.device, a.dtype)
        if self.is_cone:
            gain = (a * self.gamma.on(a.device, a.dtype)).sum(-1, keepdim=True)
            center, size, facing = gain * center, gain.abs(), 1 - 2 * (gain < 0).to(a.dtype)
        else:
            size = facing = torch.ones_like(a[..., :1])
        way, size = a - center, share * size
        need = (way * facing) @ self.reach.on(a.device, a.dtype).mT
        # The share of the way that fits is room / need, and no more than all of it.
        need = need.amax(-1, keepdim=True) * (1 + self.fuzz * torch.finfo(a.dtype).eps)
        outside = need > size
        # Where nothing is cut off, 1 / 1 keeps the gradient of the other branch finite.
        fits = torch.where(outside, size, 1.0) / torch.where(outside, need, 1.0)
        return torch.where(outside, center + fits * way, a)


def _center(p: np.ndarray, q: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """The point of gain 1 that is farthest from all rows: a linear program."""
    size = p.shape[1]
    gain = {"A_eq": np.append(gamma, 0)[None], "b_eq": [1.0]} if gamma.any() else {}
    found = linprog(
        np.append(np.zeros(size), -1),
        A_ub=np.column_stack([p, np.ones(len(p))]),
        b_ub=q,
        bounds=[(None, None)] * (size + 1),
        method="highs",
        **gain,
    )
    if found.status or not found.x[-1] > 0:
        room = "none" if found.status else f"{found.x[-1]:.3g}"
        raise ConstraintError(
            f"Wanted rows that leave some point room, got {len(p)} rows that leave {room}. "
            "Widen the limits."
        )
    return found.x[:size]


def _analytic_center(p: np.ndarray, q: np.ndarray, center: np.ndarray, cone: bool) -> np.ndarray:
    """Newton's method on -sum(log(q - P a)), and what keeps it from running away.

    S. Boyd and L. Vandenberghe 2004, Convex optimization, section 9.5: damped steps at first.
    """
    # The square of the length makes it finite for a cone, and strictly convex for a polytope.
    size = np.linalg.norm(center)
    weight = 1.0 if cone else 1e-3 * len(p) / size**2 if size else 1e-3
    a = center * np.sqrt(len(p)) / size if cone else center
    for _ in range(500):
        inverse = 1 / (q - p @ a)
        gradient = p.T @ inverse + weight * a
        hessian = (p.T * inverse**2) @ p + weight * np.eye(len(a))
        step = -np.linalg.solve(hessian, gradient)
        decrement = np.sqrt(max(-gradient @ step, 0))
        a = a + step / (1 + decrement) if decrement > 0.25 else a + step
        if decrement < 1e-9:
            break
    return a


def _outer_products(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the matrix whose rows are the outer products of the rows of P, flattened.

    Rows are cosines and a few vectors, and the products of two cosines are sums of cosines: the
    rank is about 3 m, not m^2 / 2, and `P' D P` costs so much less for many diagonals D.
    """
    products = (p[:, :, None] * p[:, None]).reshape(len(p), -1)
    left, sizes, right = np.linalg.svd(products, full_matrices=False)
    rank = int((sizes > 1e-14 * sizes[0]).sum())
    pairs = right[:rank].reshape(rank, p.shape[1], -1)
    pairs = (pairs + pairs.transpose(0, 2, 1)) / 2  # what rounding left of asymmetry
    return left[:, :rank] * sizes[:rank], pairs.reshape(rank, -1)
