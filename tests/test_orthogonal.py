"""Orthogonal matrices and bounded singular values against other implementations and known laws."""

import copy
import pickle
import re
import warnings

import cvxpy as cp
import geoopt
import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Tensor, nn

import shapekeeper as sk
from shapekeeper.constraints import cayley, polar, rattle, spectral
from shapekeeper.constraints.matrices import haar_frame
from shapekeeper.constraints.spectral import Clip, Polar, Squash, apply

DOUBLE = torch.float64
EPS = torch.finfo(DOUBLE).eps
SHAPES = [(5, 5), (9, 4), (4, 9), (1, 1), (6, 1)]
DISTANCES = [0.0, 1e-12, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 1e3, 1e30]
ORTHOGONAL = sk.Orthogonal()


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def frame(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return ORTHOGONAL.project(ORTHOGONAL.sample(shape, draw).to(dtype))


def tangent(q: Tensor, length: float, seed: int = 1) -> Tensor:
    """A tangent whose largest singular value is given."""
    v = ORTHOGONAL.tangent(q, normal(*q.shape, seed=seed).to(q.dtype))
    return v * (length / torch.linalg.matrix_norm(v, 2).amax())


def rotated(n: int, sign: int, seed: int = 0) -> Tensor:
    q = frame(n, n, seed=seed)
    return torch.cat([q[:1] * (sign * torch.linalg.det(q).sign()), q[1:]])


# Projection


@pytest.mark.parametrize("find", [polar.nearest, polar.nearest_by_sweeps])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("shape", [(5, 5), (9, 4), (40, 40), (6, 1)])
def test_the_nearest_matrix_is_the_polar_factor(shape, distance, find):
    x = frame(3, *shape) + distance * normal(3, *shape)
    wanted = np.stack([linalg.polar(one)[0] for one in x.numpy()])
    narrow = torch.linalg.svdvals(x)
    rounding = 100 * EPS * float((narrow[:, 0] / narrow[:, -1]).max())
    np.testing.assert_allclose(find(x), wanted, rtol=0, atol=rounding)


@pytest.mark.parametrize("find", [polar.nearest, polar.nearest_by_sweeps])
@pytest.mark.parametrize("distance", DISTANCES)
def test_errors_are_at_float_level_after_a_step_of_any_size(distance, find):
    q = frame(100, 100, dtype=torch.float32)
    x = q + distance * normal(100, 100, dtype=torch.float32)
    found = find(x[None])[0]
    assert (found.T @ found - torch.eye(100)).abs().max() <= 3e-6


@pytest.mark.parametrize("distance", [1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("shape", [(2, 515, 515), (2, 600, 513)])
def test_half_of_a_large_symmetric_product_is_as_good_as_the_whole(shape, distance):
    x = frame(*shape, dtype=torch.float32) + distance * normal(*shape, dtype=torch.float32)
    x[1] += distance * x[0]
    found = polar.nearest(x)
    assert polar.excess(found).abs().max() <= 1e-6
    if distance == 1e-3:
        wanted = torch.stack([torch.from_numpy(linalg.polar(one)[0]) for one in x.numpy()])
        assert (found - wanted).abs().max() <= 1e-6


@pytest.mark.parametrize("find", [polar.nearest, polar.nearest_by_sweeps])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (300, 300)])
def test_where_directions_are_missing_one_is_taken(shape, find):
    nothing = torch.zeros(1, *shape)
    dead = frame(*shape, dtype=torch.float32)[None].clone()
    dead[:, 1], dead[:, :, 2] = 0, 0
    for x in (nothing, dead):
        assert polar.excess(find(x)).abs().max() <= 3e-6


@pytest.mark.parametrize("lr", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_held_weight_is_orthogonal_at_any_step_size(lr, optimizer):
    torch.manual_seed(0)
    layer = nn.Linear(100, 100, bias=False)
    moves = optimizer(layer.parameters(), lr=lr)
    held = sk.hold(layer, {"weight": ORTHOGONAL}, sk.Projection(), moves)
    for _ in range(5):
        moves.zero_grad()
        layer(torch.randn(32, 100)).square().sum().backward()
        moves.step()
        assert held.violation()["weight"] <= 3e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_what_projection_takes_off_is_normal_to_the_set(shape):
    x = normal(3, *shape)
    p = ORTHOGONAL.project(x)
    assert ORTHOGONAL.tangent(p, x - p).abs().max() <= 1e-13
    twice = ORTHOGONAL.project(p)
    torch.testing.assert_close(twice, p, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("shape", SHAPES)
def test_tangents_leave_inner_products_alone(shape):
    q, v = frame(3, *shape), normal(3, *shape)
    along = ORTHOGONAL.tangent(q, v)
    torch.testing.assert_close(ORTHOGONAL.tangent(q, along), along)
    moved = torch.func.jvp(lambda x: ORTHOGONAL.residual(x)[0], (q,), (along,))[1]
    assert moved.abs().max() <= 1e-14
    assert (along * (v - along)).sum().abs() <= 1e-13


@pytest.mark.parametrize("shape", [(5, 5), (9, 4)])
def test_tangents_and_projections_are_those_of_geoopt(shape):
    stiefel, q, v = geoopt.EuclideanStiefel(), frame(3, *shape), normal(3, *shape)
    torch.testing.assert_close(ORTHOGONAL.tangent(q, v), stiefel.proju(q, v))
    torch.testing.assert_close(ORTHOGONAL.project(v), stiefel.projx(v))


def test_not_a_number_in_one_event_leaves_the_others_alone():
    x = normal(4, 6, 6)
    x[1, 2, 3], x[2, 0, 0] = torch.nan, torch.inf
    sound = torch.tensor([True, False, False, True])
    q, v = frame(4, 6, 6), tangent(frame(4, 6, 6), 0.1)
    lame = torch.where(sound[:, None, None], v, torch.nan)
    for c in (ORTHOGONAL, sk.SpectralNorm(0.5)):
        for function in (c.project, c.start, c.from_free, c.violation, c.penalty):
            torch.testing.assert_close(function(x)[sound], function(x[sound]))
        assert torch.equal(c.allows(c.project(x)), sound)
        (grad,) = torch.autograd.grad(c.project(x.requires_grad_())[sound].sum(), x)
        assert torch.isfinite(grad[sound]).all()
        x = x.detach()
    for moved, alone in zip(
        ORTHOGONAL.glide(q, lame), ORTHOGONAL.glide(q[sound], v[sound]), strict=True
    ):
        torch.testing.assert_close(moved[sound], alone)
        assert torch.isnan(moved[~sound]).all()
    torch.testing.assert_close(ORTHOGONAL.step(q, lame)[sound], ORTHOGONAL.step(q, v)[sound])
    again = ORTHOGONAL.to_free(ORTHOGONAL.step(q, lame), at=q)
    assert torch.equal(torch.isfinite(again).flatten(1).all(1), sound)


@pytest.mark.parametrize("distance", [1e-7, 1e-3, 0.1, 1e3])
def test_company_changes_nothing(distance):
    q = frame(4, 6, 6)
    x = q + distance * normal(4, 6, 6)
    x[1], x[2] = q[1] + 1e-5 * normal(6, 6, seed=2), 1e3 * normal(6, 6, seed=3)
    together, v = ORTHOGONAL.project(x), ORTHOGONAL.tangent(q, x - q)
    moved, speed = ORTHOGONAL.glide(q, v)
    for i in range(4):
        near = {"rtol": 1e-9, "atol": 50 * EPS}
        torch.testing.assert_close(together[i], ORTHOGONAL.project(x[i]), **near)
        alone = ORTHOGONAL.glide(q[i], v[i])
        torch.testing.assert_close(moved[i], alone[0], **near)
        torch.testing.assert_close(speed[i], alone[1], **near)


# Derivatives


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("c", [ORTHOGONAL, sk.SpectralNorm(), sk.SpectralNorm(100.0)], ids=repr)
def test_the_derivative_of_projection_is_that_of_finite_differences(c, shape):
    for x in (normal(*shape), 1e-2 * normal(*shape), 10 * normal(*shape)):
        assert torch.autograd.gradcheck(c.project, x.requires_grad_(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_at_an_orthogonal_matrix_the_derivative_is_the_tangent_part(shape):
    q, v = frame(*shape), normal(*shape)
    assert torch.autograd.gradcheck(ORTHOGONAL.project, q.clone().requires_grad_())
    moved = torch.autograd.functional.vjp(ORTHOGONAL.project, q, v)[1]
    torch.testing.assert_close(moved, ORTHOGONAL.tangent(q, v))


@pytest.mark.parametrize("function", [Polar(), Clip(0.7), Squash(0.7), Squash(7.0, inverse=True)])
def test_derivatives_are_right_where_singular_values_meet(function):
    # 2 and 2, and 0.5 three times: what automatic differentiation of an SVD can't do.
    sizes = torch.tensor([2.0, 2.0, 0.5, 0.5, 0.5], dtype=DOUBLE)
    x = (frame(7, 5) * sizes) @ frame(5, 5, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: apply(function, x), x.requires_grad_(), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (4, 2, 3)])
@pytest.mark.parametrize("length", [0.0, 0.1, 3.0])
def test_the_derivative_of_the_chart_is_that_of_finite_differences(shape, length):
    c = sk.Orthogonal(event_dims=len(shape))
    at = c.sample(shape, torch.Generator().manual_seed(0)).double()
    at, u = c.project(at), length * normal(*shape, seed=1)
    assert torch.autograd.gradcheck(lambda u: c.from_free(u, at=at), u.requires_grad_())
    ball = sk.SpectralNorm(0.8, event_dims=len(shape))
    assert torch.autograd.gradcheck(ball.from_free, (u.detach() + 0.1).requires_grad_())
    inside = ball.from_free(u.detach() + 0.1)
    assert torch.autograd.gradcheck(ball.to_free, inside.requires_grad_(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("function", [Polar(), Clip(1.0), Squash(1.0)])
def test_gradients_are_finite_even_at_zero(function):
    for x in (torch.zeros(3, 3), torch.zeros(4, 2), torch.eye(3), 1e-30 * torch.eye(3)):
        (grad,) = torch.autograd.grad(apply(function, x.requires_grad_()).sum(), x)
        assert torch.isfinite(grad).all()


def test_derivatives_under_vmap_and_jacobians_are_those_of_a_loop():
    x = normal(3, 4, 2)
    for c in (ORTHOGONAL, sk.SpectralNorm()):
        slope = torch.func.jacrev(c.project)
        together = torch.vmap(slope)(x)
        torch.testing.assert_close(together, torch.stack([slope(one) for one in x]))
        last = torch.vmap(c.project, in_dims=2, out_dims=2)(x.movedim(0, 2)).movedim(2, 0)
        torch.testing.assert_close(last, c.project(x))


# Charts


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (30, 2)])
def test_the_chart_is_the_cayley_transform(shape):
    at, u = frame(*shape), normal(*shape, seed=1)
    # Wen and Yin's own form, with a matrix as large as the longer side.
    q, v = (at, u) if shape[0] >= shape[1] else (at.T, u.T)
    one = torch.eye(len(q), dtype=DOUBLE)
    p = one - q @ q.T / 2
    w = p @ v @ q.T - q @ v.T @ p
    wanted = torch.linalg.solve(one - w / 2, (one + w / 2) @ q)
    wanted = wanted if shape[0] >= shape[1] else wanted.T
    torch.testing.assert_close(ORTHOGONAL.from_free(u, at=at), wanted)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chart_leaves_its_center_along_the_tangent(shape):
    at, u = frame(*shape), normal(*shape, seed=1)
    slope = torch.autograd.functional.jvp(
        lambda u: ORTHOGONAL.from_free(u, at=at), torch.zeros_like(u), u
    )[1]
    torch.testing.assert_close(slope, ORTHOGONAL.tangent(at, u))
    across = u - ORTHOGONAL.tangent(at, u)
    torch.testing.assert_close(
        ORTHOGONAL.from_free(u, at=at), ORTHOGONAL.from_free(u - across, at=at)
    )


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (30, 2), (6, 1)])
def test_the_chart_reaches_every_matrix_of_its_half(shape):
    x, at = frame(8, *shape), frame(8, *shape, seed=1)
    if shape[0] == shape[1]:
        other = torch.linalg.det(x) * torch.linalg.det(at) < 0
        x[other, :1] *= -1
    u = ORTHOGONAL.to_free(x, at=at)
    torch.testing.assert_close(ORTHOGONAL.tangent(at, u), u, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ORTHOGONAL.from_free(u, at=at), x, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("size", [1e3, 1e6, 1e12, 1e30])
def test_huge_free_numbers_stand_for_orthogonal_matrices(size, dtype):
    at = frame(3, 50, 50, dtype=dtype)
    u = size * normal(3, 50, 50, dtype=dtype)
    assert ORTHOGONAL.allows(ORTHOGONAL.from_free(u, at=at)).all()
    assert ORTHOGONAL.allows(ORTHOGONAL.from_free(u)).all()


def test_determinants_stay_what_they_are():
    with pytest.raises(sk.ConstraintError) as caught:
        ORTHOGONAL.to_free(rotated(4, 1), at=rotated(4, -1, seed=1))
    assert str(caught.value) == (
        "Wanted values whose determinants have the sign of those at the chart's center, got 1 of 1 "
        "matrices with the other sign: no way along the set leads there. Begin the chart at the "
        "value itself (at=x), or negate one row of the value."
    )
    pair, other = torch.stack([rotated(4, 1)] * 3), torch.stack([rotated(4, 1, seed=1)] * 3)
    other[1, 0] *= -1
    with pytest.raises(sk.ConstraintError, match="got 1 of 3 matrices with the other sign"):
        ORTHOGONAL.to_free(pair, at=other)
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    with pytest.raises(sk.ConstraintError, match="1 of 1 matrices at half a turn"):
        ORTHOGONAL.to_free(half_turn, at=torch.eye(3))


def test_a_report_says_which_half_a_square_matrix_is_in():
    layer = nn.Linear(4, 4, bias=False)
    (plus,) = ORTHOGONAL.notes(rotated(4, 1), layer)
    (minus,) = ORTHOGONAL.notes(rotated(4, -1), layer)
    (some,) = ORTHOGONAL.notes(torch.stack([rotated(4, 1), rotated(4, -1)]), layer)
    assert plus.startswith("its determinant is 1, and Reparametrization, ConstrainedLangevin and")
    assert minus.startswith("it has the determinant -1, and Reparametrization, ConstrainedLangevin")
    assert some.startswith("1 of 2 matrices have the determinant -1, and")
    for note in (plus, minus, some):
        assert "negate one row of the weight before hold(...)" in note
        assert len(re.findall(r"\.(?:\s|$)", note)) == 1, "one sentence"
    assert ORTHOGONAL.notes(frame(4, 3), layer) == []
    assert sk.Orthogonal(event_dims=4).notes(frame(2, 3).view(2, 3, 1, 1), layer) == []


def trained(start: Tensor, goal: Tensor, strategy: sk.Strategy, steps: int = 400) -> Tensor:
    """A weight pulled toward another matrix, along the set or otherwise."""
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data.copy_(start)
    if isinstance(strategy, sk.ConstrainedLangevin):
        held = sk.hold(layer, {"weight": ORTHOGONAL}, strategy)
        moves = held.optimizer
    else:
        moves = torch.optim.SGD(layer.parameters(), lr=0.05)
        staged = {"steps": steps} if isinstance(strategy, sk.Staged) else {}
        held = sk.hold(layer, {"weight": ORTHOGONAL}, strategy, moves, **staged)
    for _ in range(steps):
        moves.zero_grad()
        loss = (layer(torch.eye(4)) - goal.T).square().sum() / 2 + held.penalty()
        loss.backward()
        moves.step()
    return layer.weight.detach()


@pytest.mark.parametrize(
    "strategy", [sk.Projection(), sk.Reparametrization(), sk.ConstrainedLangevin(step_size=0.05)]
)
def test_training_along_the_set_keeps_the_half_and_the_ways_out_work(strategy):
    start = rotated(4, -1, seed=1).float()
    flipped = torch.cat([-start[:1], start[1:]])
    goal = ORTHOGONAL.from_free(tangent(flipped, 1.5), at=flipped)
    assert torch.linalg.det(trained(start, goal, strategy)) < 0
    torch.testing.assert_close(trained(flipped, goal, strategy), goal, rtol=0, atol=1e-3)
    soft = sk.Staged(sk.Stage(0.3, sk.Penalty(0.1)), sk.Stage(0.7, sk.Projection()))
    torch.testing.assert_close(trained(start, goal, soft), goal, rtol=0, atol=1e-3)


# Motion


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [0.0, 1e-6, 0.01, 0.3, 0.7])
@pytest.mark.parametrize("time", [1.0, 0.01])
def test_gliding_can_be_run_backwards_and_keeps_the_speed(shape, length, time):
    q = frame(3, *shape)
    v = tangent(q, length) / time if min(shape) * max(shape) > 1 else torch.zeros_like(q)
    there, speed = ORTHOGONAL.glide(q, v, time)
    back, turned = ORTHOGONAL.glide(there, -speed, time)
    assert ORTHOGONAL.violation(there).max() <= 10 * EPS
    torch.testing.assert_close(back, q, rtol=0, atol=1e-9)
    torch.testing.assert_close(turned, -v, rtol=0, atol=1e-9 * max(1, length / time))
    sizes = [torch.linalg.vector_norm(part, dim=(-2, -1)) for part in (v, speed)]
    torch.testing.assert_close(*sizes, rtol=1e-12, atol=0)
    along = ORTHOGONAL.tangent(there, speed)
    torch.testing.assert_close(along, speed, rtol=0, atol=1e-13 * max(1, length / time))


def test_gliding_follows_the_geodesic_to_the_third_order():
    q = frame(5, 5)
    way = tangent(q, 1.0)

    def miss(time: float) -> float:
        turn = torch.linalg.matrix_exp(time * q.T @ way)
        there, speed = ORTHOGONAL.glide(q, way, time)
        torch.testing.assert_close(speed, way @ turn, rtol=0, atol=0.6 * time**2)
        return (there - q @ turn).norm().item()

    misses = [miss(2.0**-k) for k in range(3, 7)]
    orders = np.diff(-np.log2(misses))
    np.testing.assert_allclose(orders, 3, atol=0.1)


def test_gliding_over_vectors_goes_round_the_sphere():
    q = frame(6, 1)
    v = tangent(q, 0.3)
    there, speed = ORTHOGONAL.glide(q, v)
    # A chord of the sine of the angle: the angle is asin of the way.
    angle = np.arcsin(0.3)
    exact = sk.Sphere().glide(q[:, 0], v[:, 0] * (angle / 0.3))[0]
    torch.testing.assert_close(there[:, 0], exact)
    assert speed.norm().item() == pytest.approx(0.3)


@pytest.mark.parametrize("length", [2.0, 10.0, 1e3])
def test_a_way_too_long_ends_at_the_nearest_point(length):
    q = frame(3, 7, 4)
    v = torch.cat([tangent(q[:1], 0.1), tangent(q[1:], length)])
    there, speed = ORTHOGONAL.glide(q, v)
    torch.testing.assert_close(there[1:], ORTHOGONAL.project(q + v)[1:])
    torch.testing.assert_close(there[0], ORTHOGONAL.glide(q[0], v[0])[0])
    assert ORTHOGONAL.allows(there).all()
    torch.testing.assert_close(ORTHOGONAL.tangent(there, speed), speed, rtol=0, atol=1e-12)


def test_motion_adds_up_no_rounding():
    q = frame(32, 32, dtype=torch.float32)
    v = tangent(q, 0.05)
    length = v.norm()
    for _ in range(1000):
        q, v = ORTHOGONAL.glide(q, v)
    assert ORTHOGONAL.violation(q) <= 1e-6
    assert v.norm().item() == pytest.approx(
        length.item(), rel=5e-4
    )  # half a unit in the last place a step
    assert (v - ORTHOGONAL.tangent(q, v)).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, DOUBLE])
@pytest.mark.parametrize("shape", [(5, 5), (3, 7, 4), (2, 4, 7)])
@pytest.mark.parametrize("by", [0.1, torch.tensor(0.1)])
def test_motion_in_place_is_the_same_motion(shape, by, dtype):
    q, grad = frame(*shape, dtype=dtype), normal(*shape, seed=1).to(dtype)
    p, room = tangent(frame(*shape), 0.3).to(dtype), torch.empty_like(q)
    near = {"rtol": 0, "atol": 16 * torch.finfo(dtype).eps}
    wanted = ORTHOGONAL.step(q, ORTHOGONAL.tangent(q, grad), -by)
    moved = q.clone()
    ORTHOGONAL.descend_(moved, grad, by, room)
    torch.testing.assert_close(moved, wanted, **near)
    kicked = p.clone()
    ORTHOGONAL.kick_(kicked, q, grad, by, room)
    torch.testing.assert_close(kicked, p + by * ORTHOGONAL.tangent(q, grad), **near)
    there, speed = ORTHOGONAL.glide(q, p, by)
    moved, onward = q.clone(), p.clone()
    ORTHOGONAL.glide_(moved, onward, by)
    torch.testing.assert_close((moved, onward), (there, speed), **near)


# Where nothing may ask for numbers, and where products are rounded


@pytest.fixture
def elsewhere(monkeypatch):
    """As on a GPU or in a compiled program: the same products, whatever the numbers."""
    for module in (polar, rattle, cayley, spectral):
        monkeypatch.setattr(module, "asks_numbers", lambda x: False)


@pytest.mark.parametrize("shape", [(3, 6, 6), (3, 9, 4), (3, 4, 9)])
@pytest.mark.parametrize("length", [0.0, 1e-4, 0.05, 0.3, 10.0])
def test_the_same_comes_out_where_nothing_asks_for_numbers(shape, length, request):
    q, grad = frame(*shape), normal(*shape, seed=1)
    v = tangent(q, length)
    v[0] = v[0] / max(1.0, 10 * length)  # the others may need a rescue, this one needs none

    def motions() -> list[Tensor]:
        moved, speed, fallen = q.clone(), v.clone(), q.clone()
        ORTHOGONAL.glide_(moved, speed, 1.0)
        ORTHOGONAL.descend_(fallen, grad, length, torch.empty_like(q))
        charted = ORTHOGONAL.from_free(v, at=q)
        bounded = sk.SpectralNorm(0.7).project(q + grad)
        return [ORTHOGONAL.step(q, v), moved, speed, fallen, charted, bounded]

    wanted = motions()
    request.getfixturevalue("elsewhere")
    for found, same in zip(motions(), wanted, strict=True):
        torch.testing.assert_close(found, same, rtol=1e-7, atol=1e-9 * max(1.0, length))
    assert ORTHOGONAL.allows(motions()[0]).all()


@pytest.mark.parametrize("c", [ORTHOGONAL, sk.SpectralNorm(0.5)], ids=repr)
def test_autocast_rounds_no_projection(c):
    x = normal(3, 6, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found, free = c.project(x), c.from_free(x)
    torch.testing.assert_close(found, c.project(x), rtol=0, atol=0)
    assert c.allows(free).all()


# Samples


def test_samples_are_uniform_over_all_rotations():
    draw = torch.Generator().manual_seed(0)
    q = ORTHOGONAL.sample((20_000, 3, 3), draw).double()
    det = torch.linalg.det(q)
    assert 0.48 < (det > 0).double().mean() < 0.52
    # E[trace^k] of O(3) is 0, 1, 0, 3: without the sign correction the trace has a mean.
    trace = q.diagonal(dim1=-2, dim2=-1).sum(-1)
    for power, wanted in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert (trace**power).mean().item() == pytest.approx(wanted, abs=0.05 * 2**power)
    # In three dimensions each entry is uniform (Archimedes), also after a rotation from any side.
    turn = frame(3, 3, seed=5)
    for turned in (q, turn @ q, q @ turn):
        for entry in (turned[:, 0, 0], turned[:, 2, 1]):
            assert stats.kstest(entry.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(6, 2), (2, 6)])
def test_entries_of_a_uniform_frame_have_known_moments(shape):
    q = ORTHOGONAL.sample((20_000, *shape), torch.Generator().manual_seed(0)).double()
    # An entry is one coordinate of a uniform point on the sphere in 6 dimensions.
    assert q.mean().abs() < 0.01
    assert q.square().mean().item() == pytest.approx(1 / 6, rel=1e-6)
    assert q[:, 0, 0].pow(4).mean().item() == pytest.approx(3 / (6 * 8), rel=0.05)
    corner = q[:, 0, 0].square() * q[:, 1, 1].square()
    assert corner.mean().item() == pytest.approx(7 / (5 * 6 * 8), rel=0.05)


def test_frames_with_more_rows_than_two_are_no_reflections_of_a_few():
    q = haar_frame((500, 4, 4), torch.Generator().manual_seed(0))
    assert (q.mean(0).abs() < 0.15).all()


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 1), (2, 2), (4, 2), (2, 4)])
def test_samples_of_bounded_matrices_are_uniform(m, n):
    bound = 2.0
    c = sk.SpectralNorm(bound)
    x = c.sample((40_000, m, n), torch.Generator().manual_seed(0)).double() / bound
    # Blocks of frames of m + n + 1 rows: coordinates of points on the sphere in so many dimensions.
    size = m + n + 1
    assert x.mean().abs() < 0.01
    assert x.square().mean().item() == pytest.approx(1 / size, rel=0.02)
    assert x[:, 0, 0].pow(4).mean().item() == pytest.approx(3 / (size * (size + 2)), rel=0.05)
    if (m, n) == (1, 1):
        assert stats.kstest(x.flatten().numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3


def test_bounded_matrices_come_as_often_as_rejection_finds_them():
    draws = torch.rand((400_000, 2, 2), generator=torch.Generator().manual_seed(0)) * 2 - 1
    kept = draws[torch.linalg.matrix_norm(draws, 2) <= 1]
    drawn = sk.SpectralNorm().sample((len(kept), 2, 2), torch.Generator().manual_seed(1))
    for measure in (torch.linalg.det, lambda x: torch.linalg.matrix_norm(x, 2)):
        found = stats.ks_2samp(measure(kept).numpy(), measure(drawn).numpy())
        assert found.pvalue > 1e-3


# Bounded singular values


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("bound", [0.3, 2.0])
def test_projection_on_bounded_matrices_is_that_of_a_convex_solver(shape, bound):
    x = normal(*shape)
    y = cp.Variable(shape)
    problem = cp.Problem(cp.Minimize(cp.norm(y - x.numpy(), "fro")), [cp.sigma_max(y) <= bound])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem.solve(solver=cp.SCS, eps=1e-9, max_iters=100_000)
    found = sk.SpectralNorm(bound).project(x)
    np.testing.assert_allclose(found, y.value, atol=1e-5)
    u, s, v = np.linalg.svd(x.numpy(), full_matrices=False)
    np.testing.assert_allclose(found, (u * s.clip(max=bound)) @ v, atol=1e-14)


@pytest.mark.parametrize("bound", [1e-25, 1e-3, 1.0, 1e5])
def test_bounded_matrices_of_all_sizes(bound):
    sizes = bound * torch.tensor([0, 1e-9, 0.1, 1.1, 1.9, 2.5, 1e5, 1e30], dtype=DOUBLE)
    x = normal(8, 6, 5)
    x = (x * (sizes / torch.linalg.matrix_norm(x, 2)).view(8, 1, 1)).float()
    c = sk.SpectralNorm(bound)
    found = c.project(x)
    assert c.allows(found).all()
    if bound > 1e-15:  # squares of smaller ones are none
        assert torch.equal(found[:3], x[:3]), "what is allowed stays as it is"
    torch.testing.assert_close(found.double(), c.project(x.double()), rtol=0, atol=2e-6 * bound)


def test_the_chart_of_bounded_matrices_squashes_singular_values():
    x = normal(6, 5, 3)
    c = sk.SpectralNorm(0.7)
    s = torch.linalg.svdvals(x)
    torch.testing.assert_close(
        torch.linalg.svdvals(c.from_free(x)), s / (1 + (s / 0.7) ** 2).sqrt()
    )
    inside = c.from_free(0.5 * x)
    torch.testing.assert_close(c.to_free(inside), 0.5 * x)
    at_the_end = c.from_free(c.to_free(c.project(100 * x)))
    torch.testing.assert_close(
        torch.linalg.svdvals(at_the_end), torch.full((6, 3), 0.7 * 0.999).double()
    )


def test_bounded_matrices_have_edges():
    assert sk.SpectralNorm().surface is None
    assert ORTHOGONAL.surface is ORTHOGONAL


# Shapes and words


@pytest.mark.parametrize(
    "make", [sk.Orthogonal, lambda event_dims: sk.SpectralNorm(0.5, event_dims)]
)
@pytest.mark.parametrize("layer", [nn.Conv1d(3, 8, 5), nn.Conv2d(3, 4, 3), nn.Conv3d(2, 3, 2)])
def test_kernels_are_matrices_of_targets_by_what_they_see(layer, make):
    kernel = layer.weight.detach()
    c, flat = make(event_dims=kernel.dim()), make(event_dims=2)
    torch.testing.assert_close(c.project(kernel).flatten(1), flat.project(kernel.flatten(1)))
    torch.testing.assert_close(c.violation(kernel), flat.violation(kernel.flatten(1)))
    q = c.project(kernel)
    held = sk.hold(layer, {"weight": c}, sk.Projection())
    assert held.violation()["weight"] <= c.tolerance(torch.float32)
    held.remove()
    if isinstance(c, sk.Orthogonal):
        v = c.tangent(q, 0.1 * torch.randn_like(q))
        there, speed = c.glide(q, v)
        wanted = flat.glide(q.flatten(1), v.flatten(1))
        torch.testing.assert_close((there.flatten(1), speed.flatten(1)), wanted)


def test_a_kernel_held_as_many_small_matrices_is_refused():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(Exception, match=r"Use Orthogonal\(event_dims=4\)"):
        sk.hold(layer, {"0.weight": ORTHOGONAL}, sk.Projection())
    with pytest.raises(
        sk.ConstraintError, match=r"For this one it is SpectralNorm\(event_dims=2\)"
    ):
        sk.SpectralNorm(event_dims=4).check((3, 4))
    with pytest.raises(sk.ConstraintError, match=r"at least 2 axes.*got shape \(4,\)"):
        ORTHOGONAL.check((4,))
    with pytest.raises(sk.ConstraintError, match="none of them empty"):
        ORTHOGONAL.check((4, 0))


@pytest.mark.parametrize("event_dims", [0, 1, 6, 2.5, "4"])
def test_axes_that_make_no_matrix(event_dims):
    for make in (sk.Orthogonal, lambda axes: sk.SpectralNorm(1.0, axes)):
        with pytest.raises(
            sk.ConstraintError, match=r"Wanted .*event_dims=2.* for matrices, or 3, 4"
        ):
            make(event_dims)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_bounds(bound):
    with pytest.raises(sk.ConstraintError, match="Wanted a finite bound above 0"):
        sk.SpectralNorm(bound)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("strategy", [sk.Projection(), sk.Reparametrization()])
def test_training_finds_the_rotation_of_one_cloud_of_points_to_another(strategy, optimizer):
    x = normal(50, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])  # Adam's own scale would be a wrong one
    y = normal(50, 4, seed=1) + x @ frame(4, 4, seed=8)
    wanted = torch.from_numpy(linalg.orthogonal_procrustes(x.numpy(), y.numpy())[0]).T
    layer = nn.Linear(4, 4, bias=False, dtype=DOUBLE)
    layer.weight.data.copy_(ORTHOGONAL.from_free(tangent(wanted, 1.0), at=wanted))
    moves = optimizer(layer.parameters(), lr=0.02)
    held = sk.hold(layer, {"weight": ORTHOGONAL}, strategy, moves)
    schedule = torch.optim.lr_scheduler.ExponentialLR(moves, 0.99)
    for _ in range(600):
        moves.zero_grad()
        (layer(x) - y).square().sum(1).mean().backward()
        moves.step()
        schedule.step()
    torch.testing.assert_close(layer.weight.detach(), wanted, rtol=0, atol=1e-3)
    assert held.violation()["weight"] <= 1e-13


def test_copies_are_equal():
    for c in (ORTHOGONAL, sk.SpectralNorm(0.5, event_dims=4)):
        assert copy.deepcopy(c) == c == pickle.loads(pickle.dumps(c))
