"""The point of a polyhedron nearest to each of many points, exactly."""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from .polyhedron import Polyhedron

__all__ = ["by_multipliers", "nearest"]

BATCH = 256  # points at once: what belongs to them stays in the cache of a processor
STEPS = 80  # of which about 8 are needed
FIRST = 4  # steps before it is worth looking which rows hold
CERTAIN = 1e-12  # rounding that a certificate forgives, where rows and points have norm 1
BALANCE = 0.1  # least gap to aim at, of the square by which forces are out of balance
CLOSED = 1e-18  # a gap, of the square of a point, that says all it can say
RIDGE = 1e-13  # for rows that say the same
STAY = 0.99  # share of the way to the boundary that a step may go


def nearest(a: Tensor, polyhedron: Polyhedron) -> Tensor:
    """The nearest points of a polytope, or of a cone and its mirror image.

    An interior point method finds out which rows hold the nearest point (S. Mehrotra 1992, On the
    implementation of a primal-dual interior point method); the nearest point of the face where
    they meet is then exact, and certain where no row is beyond its limit and none pulls outward.

    The nearest point of a cone is the longer one of the nearest points on its two sides: a side is
    given up as soon as its dual bound is below the length of the other.

    Args:
        a: `(..., m)`. What is not finite comes out as NaN.
        polyhedron: The set.

    Returns:
        The points, same shape, worked out in double precision; allowed up to rounding. The
        derivative is the projector onto the face on which a point lies.
    """
    flat = a.reshape(-1, a.shape[-1]).to(torch.float64)
    return _Nearest.apply(flat, polyhedron)[0].reshape(a.shape).to(a.dtype)


class _Nearest(torch.autograd.Function):
    """`nearest` of `(N, m)`; also the rows that hold each point, `(N, m)`, filled up with -1."""

    @staticmethod
    def forward(a: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor]:
        return _nearest_in_cone(a, p) if p.is_cone else _nearest_in_polytope(a, p)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.polyhedron = inputs[1]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (held,) = ctx.saved_tensors
        face = _Face.of(held, ctx.polyhedron, grad)
        return face.within(face.within(grad)), None  # twice: the ridge leaves a trace of the rest

    @staticmethod
    def vmap(info: Any, in_dims: tuple, a: Tensor, p: Polyhedron) -> tuple[Any, Any]:
        a = a.movedim(in_dims[0], 0)
        found = _Nearest.apply(a.flatten(0, 1), p)
        return tuple(part.unflatten(0, a.shape[:2]) for part in found), (0, 0)


def _nearest_in_polytope(a: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor]:
    found, held = _search(a, p)
    return p.ray(found), held


def _nearest_in_cone(a: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor]:
    """Both sides, the second one only until it is certain to be farther away."""
    size = _power_of_two(a.abs().amax(-1, keepdim=True))
    size = size * _power_of_two(torch.linalg.vector_norm(a / size, dim=-1, keepdim=True))
    start = p.start.on(a.device, a.dtype)
    along = (a / size) @ (start / torch.linalg.vector_norm(start))
    side = 1 - 2 * (along < 0).to(a.dtype).unsqueeze(-1)  # what is allowed is where start is
    z = side * (a / size)
    found, held = _search(z, p)
    long = torch.linalg.vector_norm(found, dim=-1)
    # On the other side no point of the cone is longer than the part of z across the start.
    doubtful = (z.square().sum(-1) - along.square() > long.square()).nonzero()[:, 0]
    other, other_held = _search(-z[doubtful], p, beat=long[doubtful])
    better = (torch.linalg.vector_norm(other, dim=-1) > long[doubtful]).nonzero()[:, 0]
    found[doubtful[better]], held[doubtful[better]] = -other[better], other_held[better]
    return p.ray(found) * side * size, held


def _power_of_two(a: Tensor) -> Tensor:
    """The next one above each number, 1 for 0: scaling by it rounds nothing off."""
    return torch.ldexp(torch.ones_like(a), torch.frexp(a).exponent)


class _Face(NamedTuple):
    """Where the rows that hold a point meet, for each of n points.

    Attributes:
        rows: B, `(n, m, m)`; zeros beyond the rows that there are.
        factor: Of B B', with ones for the rows that are not there.
    """

    rows: Tensor
    factor: Tensor

    @classmethod
    def of(cls, held: Tensor, p: Polyhedron, like: Tensor) -> "_Face":
        """The faces of indices of rows `(n, m)`, -1 where there is none."""
        there = held >= 0
        rows = p.rows.on(like.device, like.dtype)[held.clamp(min=0)] * there[..., None]
        gram = rows @ rows.mT + torch.diag_embed((~there).to(like.dtype) + RIDGE)
        return cls(rows, torch.linalg.cholesky_ex(gram)[0])

    def along(self, a: Tensor) -> Tensor:
        """B a, `(n, m)`."""
        return (self.rows @ a.unsqueeze(-1)).squeeze(-1)

    def pull(self, multipliers: Tensor) -> Tensor:
        """B' times multipliers, `(n, m)`."""
        return (self.rows.mT @ multipliers.unsqueeze(-1)).squeeze(-1)

    def multipliers(self, b: Tensor) -> Tensor:
        """(B B')^-1 b, `(n, m)`."""
        return torch.cholesky_solve(b.unsqueeze(-1), self.factor).squeeze(-1)

    def within(self, a: Tensor) -> Tensor:
        """What of vectors lies within the faces, `(n, m)`."""
        return a - self.pull(self.multipliers(self.along(a)))


class _Iterate(NamedTuple):
    """Where the search for some points stands: all rows have room, all multipliers push."""

    index: Tensor  # which of all points, (n,)
    age: Tensor  # steps taken, (n,)
    z: Tensor  # the points themselves, (n, m)
    a: Tensor  # an allowed one for each, (n, m)
    room: Tensor  # q - P a > 0, (n, R)
    push: Tensor  # multipliers > 0, (n, R)
    pull: Tensor  # P' times multipliers, (n, m)

    def keep(self, which: Tensor) -> "_Iterate":
        return _Iterate(*(part[which] for part in self))

    def join(self, other: "_Iterate") -> "_Iterate":
        return _Iterate(*(torch.cat(parts) for parts in zip(self, other, strict=True)))


def _begin(index: Tensor, z: Tensor, p: Polyhedron) -> _Iterate:
    """At the analytic center, with multipliers of equal products."""
    rows, limits, a = (part.on(z.device, z.dtype) for part in (p.rows, p.limits, p.start))
    if p.is_cone:
        a = a * (0.4 / a.norm())
        room = -(rows @ a)
        gap = a.square().sum() / len(rows) * torch.ones_like(z[:, :1])
    else:
        room = limits - rows @ a
        gap = torch.linalg.vector_norm(z - a, dim=-1, keepdim=True) * room.amin()
    push = gap / room
    many = len(z), -1
    return _Iterate(index, index * 0, z, a.expand(many), room.expand(many), push, push @ rows)


def _search(z: Tensor, p: Polyhedron, beat: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest points of one side `(N, m)`, and the rows that hold them `(N, m)`.

    Points that are done make room for others, so that the batch stays full.

    Args:
        z: `(N, m)`.
        p: The set.
        beat: `(N,)`: a point is given up, and is 0, once its nearest one is not longer than this.
    """
    found, held = z.clone(), torch.full_like(z, -1, dtype=torch.long)
    rows, limits = p.rows.on(z.device, z.dtype), p.limits.on(z.device, z.dtype)
    # NaN is not beyond anything, infinity might be: neither is looked at.
    outside = ((z @ rows.mT > limits).any(-1) & z.isfinite().all(-1)).nonzero()[:, 0]
    found[~z.isfinite().all(-1)] = torch.nan
    batch = BATCH if z.device.type == "cpu" else 64 * BATCH
    now = _begin(outside[:0], z[:0], p)
    while len(outside) or len(now.index):
        new, outside = outside[: batch - len(now.index)], outside[batch - len(now.index) :]
        if len(new):
            now = now.join(_begin(new, z[new], p))
        now, holding, stuck = _step(now, p)
        sure, at, by = _land(now, holding, p)
        index = now.index[sure]
        found[index], held[index] = at, by
        done = stuck | (now.age >= STEPS)
        done[sure] = False
        if done.any():
            index = now.index[done]
            found[index], held[index] = _settle(now.keep(done), p)
        done[sure] = True
        if beat is not None:
            less = _bound(now) <= beat[now.index]
            found[now.index[less]] = 0
            done |= less
        if done.any():
            now = now.keep(~done)
    return found, held


def _bound(now: _Iterate) -> Tensor:
    """No point of the cone is nearer to z than a length of this would be.

    By weak duality |P(z)| <= |z - c P'y| for every y >= 0 and c >= 0; c is the best one.
    """
    along = (now.z * now.pull).sum(-1).clamp(min=0).square() / now.pull.square().sum(-1)
    return (now.z.square().sum(-1) - along).clamp(min=0).sqrt()


def _step(now: _Iterate, p: Polyhedron) -> tuple[_Iterate, Tensor, Tensor]:
    """One predictor and corrector; also which rows seem to hold, and where rounding ended it.

    Newton's equations for a change `da` of the point are `(I + P' D P) da = z - a - P' v`, where
    D is push over room, and v is 0 for the predictor.
    """
    like = now.a.device, now.a.dtype
    rows, products, pairs = (part.on(*like) for part in (p.rows, p.products, p.pairs))
    n, m = now.a.shape
    inverse = now.room.reciprocal()
    weights = now.push * inverse
    matrix = torch.mm(torch.mm(weights, products), pairs).view(n, m, m)
    matrix.diagonal(dim1=-2, dim2=-1).add_(1)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    force = now.z - now.a
    solve = lambda b: torch.cholesky_solve(b.unsqueeze(-1), factor).squeeze(-1)  # noqa: E731
    # Changes of room are relative to it: at -1 a row is reached.
    da = solve(force)
    change = torch.mm(da, rows.mT).mul_(inverse).neg_()
    holding = change < -0.5  # R. A. Tapia: room goes to 0 as fast as the gap, or not at all
    gap = torch.linalg.vecdot(now.room, now.push)
    center = _centering(now, change, da, force, gap) / rows.shape[0]
    v = torch.addcmul(change, change, change).mul_(now.push).addcmul_(inverse, center[:, None])
    da = solve(force - torch.mm(v, rows))
    change = torch.mm(da, rows.mT).mul_(inverse).neg_()
    push = torch.addcmul(v, now.push, change + 1, value=-1)
    go = (STAY / (-change.amin(-1)).clamp(min=STAY)).unsqueeze(-1)
    go_push = (STAY / (-(push / now.push).amin(-1)).clamp(min=STAY)).unsqueeze(-1)
    moved = now._replace(
        age=now.age + 1,
        a=now.a + go * da,
        room=torch.addcmul(now.room, change.mul_(go), now.room),
        push=torch.addcmul(now.push, push, go_push),
        pull=now.pull + go_push * (force - now.pull - da),
    )
    stuck = (failed > 0) | ~moved.a.isfinite().all(-1) | (gap < CLOSED * now.z.square().sum(-1))
    return moved, holding, stuck


def _centering(now: _Iterate, change: Tensor, da: Tensor, force: Tensor, gap: Tensor) -> Tensor:
    """The gap to aim at: small where the predictor could go far.

    The predictor changes push by -(1 + change), relative to it.
    """
    go = 1 / (-change.amin(-1)).clamp(min=1)
    go_push = 1 / (1 + change.amax(-1)).clamp(min=1)
    first = -(now.pull * da).sum(-1)  # sum of room * push * change
    second = (da * (force - da)).sum(-1)  # sum of room * push * change^2
    both = go * go_push
    ahead = (1 - go_push) * gap + (go - both - go_push) * first - both * second
    aim = gap * (ahead / gap).clamp(0, 1) ** 3
    # A gap that is gone before the pull of the rows balances the point never lets it.
    return torch.maximum(aim, BALANCE * (force - now.pull).square().sum(-1))


def _land(now: _Iterate, holding: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest points of the faces of rows that seem to hold, where certainly nearest of all.

    Returns:
        Which they are, the points, and the rows that hold them.
    """
    count = holding.sum(-1)
    tried = ((count <= now.z.shape[1]) & (now.age >= FIRST)).nonzero()[:, 0]
    held = _listed(holding[tried], now.z)
    a, sure, *_ = _touch(now.z[tried], held, p)
    sure = sure.nonzero()[:, 0]
    return tried[sure], a[sure], held[sure]


def _settle(now: _Iterate, p: Polyhedron) -> tuple[Tensor, Tensor]:
    """Where rounding stops the search: rows join and leave one face after another.

    That ends it where more rows meet than are needed, or a row holds but does not push.
    """
    m = now.z.shape[1]
    strongest = (now.push / now.room).topk(min(m, now.room.shape[1]), dim=-1)
    held = torch.full_like(now.z, -1, dtype=torch.long)
    held[:, : strongest.indices.shape[1]] = strongest.indices.where(strongest.values > 1, -1)
    found, rows = now.a.clone(), torch.full_like(held, -1)
    sure = torch.zeros_like(held[:, 0], dtype=torch.bool)
    for _ in range(2 * m):
        a, sure, outward, beyond = _touch(now.z, held, p)
        found, rows = torch.where(sure[:, None], a, found), torch.where(sure[:, None], held, rows)
        if sure.all():
            break
        held = held.where(~outward, -1)
        worst = beyond.argmax(-1, keepdim=True)
        free = held.argmin(-1, keepdim=True)
        join = (held.gather(-1, free) < 0) & ~outward.any(-1, keepdim=True)
        held = held.scatter(-1, free, torch.where(join, worst, held.gather(-1, free)))
    else:
        for i in (~sure).nonzero()[:, 0].tolist():
            found[i], rows[i] = by_multipliers(now.z[i], found[i], p)
    return found, rows


def by_multipliers(z: Tensor, found: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor]:
    """The nearest point where rows join and leave in a circle: seldom, and one by one.

    The multipliers y >= 0 of all rows solve a least squares problem, whose active set method never
    comes back to a face (C. L. Lawson and R. J. Hanson 1974, Solving least squares problems,
    chapter 23): of a cone `min |z - P'y|`, of a polytope that of the least distance.

    Args:
        z: A point outside, on the side of the center, `(m,)`.
        found: An allowed point `(m,)`, for when this fails too.
        p: The set.

    Returns:
        The point, and the rows that hold it, filled up with -1.
    """
    rows, beyond = p.rows.numpy(), (p.rows.numpy() @ z.cpu().numpy()) - p.limits.numpy()
    held = torch.full_like(z, -1, dtype=torch.long)
    try:
        if p.is_cone:
            push, _ = nnls(rows.T, z.cpu().numpy())
        else:
            aim = np.append(np.zeros(rows.shape[1]), 1.0)
            push, _ = nnls(np.vstack([rows.T, beyond]), aim)
            push = push / (1 - beyond @ push)
    except RuntimeError:  # too many rows joined and left: the point from before is allowed
        return found, held
    pushing = torch.from_numpy(push.nonzero()[0]).to(z.device)
    held[: len(pushing)] = pushing
    return z - torch.from_numpy(push @ rows).to(z), held


def _listed(holding: Tensor, like: Tensor) -> Tensor:
    """Indices of marked rows `(n, m)`, filled up with -1."""
    held = torch.full_like(like[: len(holding)], -1, dtype=torch.long)
    point, row = holding.nonzero(as_tuple=True)
    before = holding.sum(-1).cumsum(0).roll(1)
    before[:1] = 0
    held[point, torch.arange(len(point), device=held.device) - before[point]] = row
    return held


def _touch(z: Tensor, held: Tensor, p: Polyhedron) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The nearest points of faces.

    Where no row is beyond its limit and none pulls outward, it is the nearest point of the set.

    Returns:
        The points; which are certain; which rows pull outward, `(n, m)`; and how far each of all
        rows is beyond its limit, `(n, R)`.
    """
    rows, limits = p.rows.on(z.device, z.dtype), p.limits.on(z.device, z.dtype)
    face = _Face.of(held, p, z)
    bound = limits[held.clamp(min=0)] * (held >= 0)
    push = face.multipliers(face.along(z) - bound)
    a = z - face.pull(push)
    again = face.multipliers(face.along(a) - bound)
    push, a = push + again, a - face.pull(again)
    beyond = torch.mm(a, rows.mT) - limits
    size = CERTAIN * torch.linalg.vector_norm(z, dim=-1).clamp(min=1)
    outward = push < -size[:, None]
    return a, (beyond.amax(-1) <= size) & ~outward.any(-1), outward, beyond
