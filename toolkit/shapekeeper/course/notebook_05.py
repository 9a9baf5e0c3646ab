"""Checks of notebook 05: manifolds."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shapekeeper.constraints import (
    Box,
    Connections,
    Constraint,
    FilterShape,
    NonNegative,
    Orthogonal,
    Sphere,
)
from shapekeeper.course.verdicts import Unwritten, Wrong, called, exercise
from shapekeeper.randomness import generator


def _tensor(answer: Any, like: Tensor, what: str) -> Tensor:
    """The answer as real numbers of a shape, or `Wrong`."""
    try:
        found = torch.as_tensor(answer).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(answer).__name__
        raise Wrong(f"{what} is no tensor.", f"shape {tuple(like.shape)}", f"a {kind}") from error
    if found.shape != like.shape or found.is_complex():
        wanted, got = tuple(like.shape), tuple(found.shape)
        raise Wrong(f"{what} has another shape.", f"shape {wanted}", f"shape {got}")
    if not found.isfinite().all():
        raise Wrong(f"{what} has numbers that are none.", "finite numbers", "nan or inf")
    return found.to(like.dtype)


# 05.1

STEPS, PATIENCE = 600, 4000
NEAR = 0.02  # between the end and the nearest point of the sphere


def _nearest(goal: Tensor) -> Tensor:
    return goal / goal.norm()


def _corner(goal: Tensor) -> Tensor:
    """Where Adam with projection rests: a step along the signs points straight out there."""
    return goal.sign() / len(goal) ** 0.5


def _goals() -> Iterator[tuple[Tensor, Tensor]]:
    """Goals outside of the unit sphere, and starts on its near side."""
    draw = generator(0, "course/goals")
    for k in range(20):
        dimensions = 2 + k % 9
        goal, start = (torch.randn(dimensions, generator=draw).double() for _ in range(2))
        goal[0] += 3.0 * goal[0].sign()  # far from all corners
        if goal @ start < 0:
            start = -start
        yield 5.0 * _nearest(goal), _nearest(start)


def _walk(step: Callable, goal: Tensor, w: Tensor, steps: int) -> Tensor:
    """Where a reader's step leads with the loss half the squared distance to the goal."""
    state: dict = {}
    for _ in range(steps):
        w = _tensor(called(step, w.clone(), w - goal, state), w, "The new weight")
    return w


@exercise("05.1")
def resting_place(function) -> str:
    """A step on the unit sphere that ends at the nearest point to the goal, not at a corner."""
    worst = 0.0
    for goal, start in _goals():
        end = _walk(function, goal, start, STEPS)
        if abs(end.norm() - 1) > 1e-6:
            raise Wrong("This is not on the unit sphere.", "norm 1", f"norm {end.norm():.6g}")
        off = float((end - _nearest(goal)).norm())
        if off > NEAR:
            raise _why_not_there(function, goal, end, off)
        worst = max(worst, off)
    _still_adam(function)
    return (
        f"20 goals in 2 to 10 dimensions, off by {worst:.0e} at most. The library gives the vector "
        "one second moment, so that Adam's step points where the gradient does; showing Adam only "
        "what may move is the other way, and works for any surface whose tangents you know."
    )


def _still_adam(function: Callable) -> None:
    """Adam's steps are as long for large gradients as for small ones, and it remembers."""
    start, (one, other) = torch.tensor([1.0, 0.0]).double(), -torch.tensor([[3.0, 4.0], [1.0, 9.0]])
    first, larger = (
        _tensor(called(function, start.clone(), size * one.double(), {}), start, "The new weight")
        for size in (1, 10)
    )
    if (first - larger).norm() > 1e-3 * (first - start).norm():
        raise Wrong(
            "It arrives, but this is no longer Adam: plain gradient descent arrives as well, as "
            "the first picture shows. Keep the two memories.",
            "the same first step for a gradient ten times as large",
            "another one",
        )
    state: dict = {}
    called(function, start.clone(), one.double(), state)
    second, fresh = (
        _tensor(called(function, start.clone(), other.double(), past), start, "The new weight")
        for past in (state, {})
    )
    if (second - fresh).norm() < 1e-6:
        raise Wrong(
            "It arrives, but this is no longer Adam: it remembers nothing. Keep the two memories.",
            "a step that depends on the gradients before",
            "one that does not",
        )


def _why_not_there(function: Callable, goal: Tensor, end: Tensor, off: float) -> Exception:
    """What a step does that ends somewhere else."""
    simple, start = torch.tensor([3.0, 4.0]).double(), torch.tensor([1.0, 0.0]).double()
    rest = _walk(function, simple, start, PATIENCE)
    told = f"({', '.join(f'{x:.2f}' for x in rest.tolist())})"
    if (rest - _corner(simple)).norm() > NEAR:
        why = "It does not end at the nearest point."
        if (rest - _nearest(simple)).norm() < NEAR:
            why = "It ends at the nearest point in some cases, and not in this one."
        dimensions = f"in {len(goal)} dimensions, after {STEPS} steps"
        return Wrong(why, f"distance 0 {dimensions}", f"distance {off:.2g}")
    first, second = (_reach(function, simple, start) for start in _two_starts())
    if abs(first - 0.05) < 1e-6 and abs(second - 0.05) < 1e-6 and not _as_it_stands(function):
        return Wrong(
            "Same wrong place. Adam divides by the size of the gradient in any case, so a longer "
            "or a shorter gradient changes nothing for long: what Adam bends is its direction.",
            "goal (3, 4): (0.60, 0.80)",
            told,
        )
    if abs(first - 0.05) < 1e-6 and abs(second - 0.05) < 1e-6:
        return Unwritten(f"Adam with projection as it stands: it rests at {told}. Change it.")
    if abs(first - second) > 1e-3 * abs(first):
        return Wrong(
            "Too late: the scaling has already bent it. You rest where what Adam makes of the "
            "gradient points along w.",
            "goal (3, 4): (0.60, 0.80)",
            f"{told}; in {len(goal)} dimensions the error is {off:.2f}",
        )
    slower = "reached more slowly" if first < 0.05 else "reached another way"
    return Wrong(f"Same wrong place, {slower}: {told}.", "goal (3, 4): (0.60, 0.80)", told)


def _as_it_stands(function: Callable) -> bool:
    """Whether a step walks as Adam with projection does."""
    goal, start = torch.tensor([3.0, 4.0]).double(), torch.tensor([1.0, 0.0]).double()
    return bool((_walk(function, goal, start, 30) - _walk(_plain, goal, start, 30)).norm() < 1e-6)


def _plain(w: Tensor, grad: Tensor, state: dict) -> Tensor:
    """Adam with projection, as the notebook shows it."""
    t = state["t"] = state.get("t", 0) + 1
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * grad
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * grad**2
    m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.999**t)
    w = w - 0.05 * m / (v.sqrt() + 1e-8)
    return w / w.norm()


def _two_starts() -> tuple[Tensor, Tensor]:
    return torch.tensor([0.8, 0.6]).double(), torch.tensor([-0.6, 0.8]).double()


def _reach(function: Callable, goal: Tensor, start: Tensor) -> float:
    """How far along the signs the first step goes, told from its end on the circle."""
    end = _walk(function, goal, start, 1)
    along = torch.linalg.solve(torch.stack([start, (goal - start).sign()], 1), end)
    return float(along[1] / along[0])


# 05.2


class Frame(NamedTuple):
    """Columns at right angles, all of length 1, and any change of them."""

    Q: Tensor
    P: Tensor


def frame(seed: int = 0, rows: int = 5, columns: int = 3) -> Frame:
    """A matrix with `QᵀQ = I` and a matrix of the same shape, both drawn at random.

    Args:
        seed: Which draw.
        rows: Rows of both.
        columns: Columns of both, at most as many.

    Returns:
        Q and P, in double precision.

    Example:
        >>> Q, P = frame()
        >>> Q.shape, bool(torch.allclose(Q.T @ Q, torch.eye(3).double()))
        (torch.Size([5, 3]), True)
    """
    draw = generator(seed, "course/frame", 100 * rows + columns)
    Q, P = (torch.randn(rows, columns, generator=draw, dtype=torch.float64) for _ in range(2))
    return Frame(torch.linalg.qr(Q).Q, P)


SIZES = ((5, 3), (4, 4), (7, 2), (6, 6), (6, 1), (3, 3))


@exercise("05.2", example=frame)
def tangent(function) -> str:
    """The nearest change that keeps `QᵀQ = I` for a tiny step."""
    for k, (rows, columns) in enumerate(SIZES):
        Q, P = frame(k + 1, rows, columns)
        found = _tensor(called(function, Q.clone(), P.clone()), P, "What you return")
        right = P - Q @ (Q.T @ P + P.T @ Q) / 2
        if not torch.allclose(found, right, atol=1e-9):
            raise _why_not_tangent(function, Q, P, found)
    square, tall = (r * c - c * (c + 1) // 2 for r, c in ((4, 4), (7, 2)))
    return (
        f"Square and tall. What is left can turn: {square} directions for 4 × 4, {tall} for 7 × 2, "
        "since the symmetric part of QᵀP, which bends and stretches, is gone."
    )


def _why_not_tangent(function: Callable, Q: Tensor, P: Tensor, found: Tensor) -> Wrong:
    shape = f"{len(Q)} × {Q.shape[1]}"
    inner = Q.T @ found
    bent = float((inner + inner.T).abs().max())
    again = _tensor(called(function, Q.clone(), found.clone()), P, "What you return")
    twice, wanted = float((again - found).abs().max()), f"the nearest tangent of {shape}"
    square = frame(9, 4, 4)
    of_square = _tensor(called(function, *square), square.P, "What you return")
    if of_square.abs().max() < 1e-9:
        return Wrong("For square Q this is always 0: no rotation left.", wanted, "0 for 4 × 4")
    if torch.allclose(found, P):
        return Wrong("That is P itself. A tiny step along it leaves QᵀQ = I.", wanted,
                     f"QᵀT + TᵀQ up to {bent:.2g}")  # fmt: skip
    if torch.allclose(found, P - Q @ (Q.T @ P + P.T @ Q)):
        return Wrong(f"Did you forget the half? Applied twice it differs from once by {twice:.2g}.",
                     wanted, f"QᵀT + TᵀQ up to {bent:.2g}")  # fmt: skip
    if twice > 1e-9:
        return Wrong(f"Applied twice it differs from once by {twice:.2g}.", wanted,
                     f"QᵀT + TᵀQ up to {bent:.2g}")  # fmt: skip
    if bent > 1e-9:
        return Wrong("QᵀT is not skew: some bending is left.", "QᵀT + TᵀQ = 0", f"{bent:.2g}")
    left = float((found * (P - found)).sum())
    if abs(left) > 1e-9:
        return Wrong("The part you take off is not at right angles to what you keep, so there is "
                     "something nearer to P.", "inner product 0", f"{left:.2g}")  # fmt: skip
    return Wrong(
        f"A tangent, but you took off more than you must: for {shape}, some of P that may move "
        "is gone.",
        f"length {(P - Q @ (Q.T @ P + P.T @ Q) / 2).norm():.3g}",
        f"length {found.norm():.3g}",
    )


# 05.3

TURNS = 10_000


class Points(NamedTuple):
    """Points on circles about 0, and how far to turn each."""

    theta: Tensor
    xi: Tensor
    angle: Tensor


def points_on_circles(seed: int = 0, count: int = 4) -> Points:
    """Weights with their slacks, on circles of several radii, and an angle for each.

    Args:
        seed: Which draw.
        count: How many points.

    Returns:
        theta, xi and angle in radians, `(count,)` each.

    Example:
        >>> [part.shape for part in points_on_circles()]
        [torch.Size([4]), torch.Size([4]), torch.Size([4])]
    """
    draw = generator(seed, "course/circles", count)
    at = 6.3 * torch.rand(count, generator=draw)
    radius = 0.5 + torch.rand(count, generator=draw)
    angle = 0.05 + 0.4 * torch.rand(count, generator=draw)
    return Points(radius * at.sin(), radius * at.cos(), angle)


def _turned(function: Callable, theta: Tensor, xi: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    answer = called(function, theta.clone(), xi.clone(), angle.clone())
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("Return both new values.", "(theta, xi)", f"a {type(answer).__name__}")
    new_theta, new_xi = answer
    return _tensor(new_theta, theta, "The new theta"), _tensor(new_xi, xi, "The new xi")


@exercise("05.3", example=points_on_circles)
def rotate(function) -> str:
    """Both coordinates turned by an angle, from both old values."""
    for seed, count in ((1, 5), (2, 1), (3, 7)):
        theta, xi, angle = points_on_circles(seed, count)
        got = _turned(function, theta, xi, angle)
        right = theta * angle.cos() + xi * angle.sin(), xi * angle.cos() - theta * angle.sin()
        if not all(torch.allclose(g, r, atol=1e-5) for g, r in zip(got, right, strict=True)):
            raise _why_not_turned(function, theta, xi, angle, got, right)
        back = _turned(function, *got, -angle)
        if not torch.allclose(back[0], theta, atol=1e-5):
            raise Wrong("Turned back by the same angle it is not where it was.", "the old theta")
    drift = abs(_radius_after(function, 0.1, TURNS) - 1)
    renormalize = (
        "Rounding does that, not you: renormalize once in a while."
        if drift > 1e-6
        else "Rounding has hardly touched it."
    )
    return f"Exact for any angle. After {TURNS} turns the radius is off by {drift:.0e}. " + (
        renormalize + " The library keeps the angle itself, and there the radius can't drift."
    )


def _radius_after(function: Callable, angle: float, turns: int) -> float:
    """The radius after so many turns, from a circle of radius 1, in single precision."""
    theta, xi, step = torch.tensor([0.6]), torch.tensor([0.8]), torch.tensor([angle])
    for _ in range(turns):
        theta, xi = _turned(function, theta, xi, step)
    return float((theta.square() + xi.square()).sqrt())


def _why_not_turned(function, theta, xi, angle, got, right) -> Exception:
    wanted, told = (f"({t[0]:.3f}, {x[0]:.3f})" for t, x in (right, got))
    if torch.allclose(got[0], theta) and torch.allclose(got[1], xi):
        return Wrong("Nothing has moved.", wanted, told)
    sine, cosine = angle.sin(), angle.cos()
    if torch.allclose(got[0], theta * cosine - xi * sine, atol=1e-5):
        return Wrong(
            "You turn the other way: a small angle adds some of xi to theta.", wanted, told
        )
    if torch.allclose(got[0], right[0], atol=1e-5):
        lost = 1 - _radius_after(function, 0.1, 200)
        if lost > 0.01:
            return Wrong(f"Radius lost {lost:.0%} after 200 rotations of 0.1. Both need the old "
                         "values.", wanted, told)  # fmt: skip
    grown = _radius_after(function, 0.1, 200)
    if abs(grown - 1) > 1e-3:
        kind = "That is the tangent, not the circle: the radius" if grown > 1 else "The radius"
        return Wrong(f"{kind} is {grown:.3g} after 200 rotations of 0.1 from 1.", wanted, told)
    return Wrong("The radius is kept, but the angle is another one.", wanted, told)


# 05.4

PAIRS = 1000


def sets() -> dict[str, Constraint]:
    """Six constraints, by name.

    Example:
        >>> list(sets())
        ['connections', 'box', 'non-negative', 'silent band', 'sphere', 'orthogonal']
    """
    return {
        "connections": Connections([[1, 0, 1], [0, 1, 0]]),
        "box": Box(-1.0, 1.0),
        "non-negative": NonNegative(),
        "silent band": FilterShape.bandlimited(0.5),
        "sphere": Sphere(),
        "orthogonal": Orthogonal(),
    }


SHAPES = {"silent band": (1, 1, 15), "orthogonal": (3, 3), "sphere": (4,)}
# What somebody who says the opposite overlooks.
OBJECTIONS = {
    "connections": "Zeros average to zero.",
    "box": "Between two numbers from -1 to 1 there is no other kind.",
    "non-negative": "Half the sum of two numbers from 0 up is one.",
    "silent band": "It is a subspace: two silences add up to silence.",
    "sphere": "The middle between two points of a sphere lies inside of it.",
    "orthogonal": "The mean of a rotation by 0° and one by 180° is 0.",
}


@exercise("05.4", example=sets)
def averages(answer) -> str:
    """For each constraint, whether the mean of two allowed values is allowed."""
    if not isinstance(answer, dict):
        raise Wrong("Wanted yes or no for each name.", "a dict", f"a {type(answer).__name__}")
    known = sets()
    missing = [name for name in known if answer.get(name, ...) in (..., None)]
    if missing:
        strange = [n for n in answer if n not in known]
        close = get_close_matches(str(strange[0]), missing, n=1) if strange else []
        hint = f" You have {strange[0]!r}; is it {close[0]!r}?" if close else ""
        raise Unwritten(f"Still to answer: {', '.join(missing)}.{hint}")
    shares = {name: _share_of_means(name, c) for name, c in known.items()}
    for name, share in shares.items():
        if not isinstance(answer[name], bool):
            raise Wrong(f"{name}: wanted True or False.", "True or False", repr(answer[name]))
        if answer[name] != (share == 1.0):
            raise Wrong(f"{name}: {OBJECTIONS[name]}", share == 1.0, answer[name])
    return (
        f"Tried on {PAIRS} pairs each; of the means on the sphere and of the orthogonal matrices "
        f"{shares['sphere']:.0%} and {shares['orthogonal']:.0%} are allowed. It matters for moving "
        "averages of weights, which are popular: they leave curved sets, so project them before "
        "use."
    )


def _share_of_means(name: str, c: Constraint) -> float:
    """Of so many pairs drawn at random, the share whose mean is allowed."""
    draw = generator(4, "course/pairs")
    shape = (PAIRS, *SHAPES.get(name, (2, 3)))
    one, other = (c.sample(shape, draw) for _ in range(2))
    allowed = c.allows((one + other) / 2)
    return float(allowed.reshape(PAIRS, -1).all(1).double().mean())
