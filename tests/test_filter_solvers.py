"""Nearest points of polyhedra of filters: against cvxpy, the optimality conditions, and scipy."""

from functools import lru_cache

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from shapekeeper import ConstraintError
from shapekeeper.constraints.filters.interior_point import by_multipliers, nearest
from shapekeeper.constraints.filters.polyhedron import Polyhedron
from shapekeeper.constraints.filters.tracking import Tracker

# (first frequency, last one, middle there, middle at the end, radius there, radius at the end)
DRAWINGS = {
    "lowpass 5": (5, (0, 0.1, 1, 1, 0.35, 0.35), (0.8, 1, 0, 0, 0.3, 0.3)),
    "lowpass 15": (15, (0, 0.2, 1, 1, 0.11, 0.11), (0.5, 1, 0, 0, 0.03, 0.03)),
    "lowpass 16": (16, (0, 0.2, 1, 1, 0.11, 0.11), (0.5, 1, 0, 0, 0.03, 0.03)),
    "lowpass 31": (31, (0, 0.2, 1, 1, 0.11, 0.11), (0.35, 1, 0, 0, 0.01, 0.01)),
    "lowpass 32": (32, (0, 0.2, 1, 1, 0.11, 0.11), (0.35, 1, 0, 0, 0.01, 0.01)),
    "lowpass 65": (65, (0, 0.2, 1, 1, 0.06, 0.06), (0.3, 1, 0, 0, 0.001, 0.001)),
    "highpass 31": (31, (0, 0.3, 0, 0, 0.01, 0.01), (0.45, 1, 1, 1, 0.11, 0.11)),
    "bandpass 31": (
        31,
        (0, 0.2, 0, 0, 0.03, 0.03),
        (0.35, 0.5, 1, 1, 0.11, 0.11),
        (0.65, 1, 0, 0, 0.03, 0.03),
    ),
    "notch 41": (
        41,
        (0, 0.3, 1, 1, 0.11, 0.11),
        (0.4, 0.5, 0, 0, 0.03, 0.03),
        (0.6, 1, 1, 1, 0.11, 0.11),
    ),
    "target 21": (21, (0, 0.5, 1, 0.5, 0.05, 0.1), (0.5, 1, 0.5, 0.1, 0.1, 0.05)),
}
BOTH = [(name, gain) for name in DRAWINGS for gain in ("free", "unit")]
SOME = [
    ("lowpass 15", "free"),
    ("lowpass 31", "free"),
    ("lowpass 31", "unit"),
    ("notch 41", "free"),
]
DTYPES = (torch.float32, torch.float64)


@lru_cache
def rows_of(name: str, gain: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """P, q and gamma of a drawing on plain grids, in the cosine basis."""
    taps, *pieces = DRAWINGS[name]
    places = np.arange((taps + 1) // 2) + (0.5 if taps % 2 == 0 else 0)
    norms = np.where(places == 0, 1, np.sqrt(2))
    x, middle, radius = [], [], []
    for low, high, *ends in pieces:
        grid = np.linspace(low, high, max(9, round(4 * taps * (high - low))))
        x.append(np.cos(np.pi * np.outer(grid, places)) * norms)
        middle.append(np.interp(grid, (low, high), ends[:2]))
        radius.append(np.interp(grid, (low, high), ends[2:]))
    x, middle, radius = map(np.concatenate, (x, middle, radius))
    gamma = middle @ x / (middle @ middle)
    if gain == "free":
        over, under = (np.outer(middle + sign * radius, gamma) for sign in (1, -1))
        rows, limits = np.concatenate([x - over, under - x]), np.zeros(2 * len(x))
    else:
        rows, limits = np.concatenate([x, -x]), np.concatenate([middle + radius, radius - middle])
    length = np.linalg.norm(rows, axis=1)
    asks = length > 1e-12  # even kernels are 0 at the highest frequency anyway
    scale = length[asks]
    return rows[asks] / scale[:, None], limits[asks] / scale, gamma if gain == "free" else None


@lru_cache
def polyhedron_of(name: str, gain: str) -> Polyhedron:
    return Polyhedron.of(*rows_of(name, gain))


def kernels(name: str, gain: str, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random points far from a set, and allowed ones that are 10 % off."""
    p, draw = polyhedron_of(name, gain), torch.Generator().manual_seed(seed)
    m = p.rows.shape[1]
    noise = torch.randn(3, count, m, generator=draw, dtype=torch.float64)
    length = np.linalg.norm(p.center.numpy()) / m**0.5
    allowed = p.ray(noise[0] * 2 * length)
    size = torch.linalg.vector_norm(allowed, dim=-1, keepdim=True) / m**0.5
    return noise[1] * 2 * length, allowed + 0.1 * size * noise[2]


def beyond(p: Polyhedron, a: Tensor) -> Tensor:
    """How far points are outside, relative to their norm (cone) or absolute, rows of norm 1."""
    a, rows, limits = (
        t.double() for t in (a, *map(torch.tensor, (p.rows.numpy(), p.limits.numpy())))
    )
    if not p.is_cone:
        return (a @ rows.T - limits).amax(-1)
    sides = torch.stack([(s * a @ rows.T).amax(-1) for s in (1, -1)])
    return sides.amin(0) / torch.linalg.vector_norm(a, dim=-1)


def halfway_in(p: Polyhedron, a: Tensor) -> Tensor:
    """The middle between points and the center of their gain."""
    center, gamma = (torch.tensor(v.numpy(), dtype=a.dtype) for v in (p.center, p.gamma))
    gain = (a @ gamma)[:, None] if p.is_cone else 1
    return (a + gain * center) / 2


# -- the nearest point -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gain"), BOTH)
def test_nearest_is_that_of_cvxpy_on_either_side(name, gain):
    rows, limits, _ = rows_of(name, gain)
    at, to = cp.Variable(rows.shape[1]), cp.Parameter(rows.shape[1])
    problem = cp.Problem(cp.Minimize(cp.sum_squares(at - to)), [rows @ at <= limits])
    exactly = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    points = torch.cat(kernels(name, gain, 6))
    for point, found in zip(
        points.numpy(), nearest(points, polyhedron_of(name, gain)), strict=True
    ):
        sides = []
        for sign in (1, -1) if gain == "free" else (1,):
            to.value = sign * point
            problem.solve(solver=cp.CLARABEL, warm_start=False, **exactly)
            sides.append(sign * at.value)
        best = min(sides, key=lambda a: np.linalg.norm(a - point))
        assert np.abs(found.numpy() - best).max() <= 1e-5 * np.abs(best).max()


def optimality(p: Polyhedron, z: np.ndarray, a: np.ndarray) -> float:
    """How much of z - a no row at its limit accounts for, relative to z."""
    rows, limits = p.rows.numpy(), p.limits.numpy()
    if p.is_cone and (rows @ a).max() > (rows @ -a).max():
        z, a = -z, -a
    room = limits - rows @ a
    held = rows[room < 1e-9 * np.linalg.norm(z)]
    if not len(held):
        return np.linalg.norm(z - a) / np.linalg.norm(z)
    return nnls(held.T, z - a)[1] / np.linalg.norm(z)


@pytest.mark.parametrize(("name", "gain"), BOTH)
def test_the_last_resort_of_a_search_finds_the_same(name, gain):
    p = polyhedron_of(name, gain)
    rows, limits = p.rows.numpy(), p.limits.numpy()
    for z in kernels(name, gain, 5, seed=3)[0]:
        a, size = nearest(z, p), z.norm().item()
        if p.is_cone and (rows @ a.numpy()).max() > (rows @ -a.numpy()).max():
            z, a = -z, -a
        found, held = by_multipliers(z, torch.full_like(z, torch.nan), p)
        torch.testing.assert_close(found, a, rtol=0, atol=1e-9 * size)
        held = held[held >= 0].numpy()
        assert bool(len(held)) == bool((rows @ z.numpy() > limits).any())
        assert (limits - rows @ a.numpy())[held].max(initial=0.0) <= 1e-8 * size


@pytest.mark.parametrize(("name", "gain"), BOTH)
def test_what_remains_is_what_rows_at_their_limit_push(name, gain):
    p = polyhedron_of(name, gain)
    far, near = kernels(name, gain, 10, seed=1)
    # Degenerate: out along one row from where many meet, and the rows themselves.
    corner, rows = nearest(far, p), torch.tensor(p.rows.numpy())
    size = torch.linalg.vector_norm(corner, dim=-1, keepdim=True)
    along = corner + size * rows[:: len(rows) // 10][:10]
    points = torch.cat([far, near, along, rows, corner + 1e-6 * far])
    found = nearest(points, p)
    assert beyond(p, found).max() <= 0
    worst = max(optimality(p, z, a) for z, a in zip(points.numpy(), found.numpy(), strict=True))
    assert worst < 1e-9


@pytest.mark.parametrize(("name", "gain"), BOTH)
def test_nearest_is_nearest_to_itself(name, gain):
    p = polyhedron_of(name, gain)
    found = nearest(torch.cat(kernels(name, gain, 20)), p)
    size = torch.linalg.vector_norm(found, dim=-1)
    assert (torch.linalg.vector_norm(nearest(found, p) - found, dim=-1) <= 1e-12 * size).all()
    inside = halfway_in(p, found)
    assert torch.equal(nearest(inside, p), inside)


@pytest.mark.parametrize("factor", [-1.0, 3.7, -1e-3, 1e-250, -1e250])
@pytest.mark.parametrize("name", ["lowpass 16", "lowpass 31", "bandpass 31"])
def test_a_cone_scales_and_mirrors(name, factor):
    p = polyhedron_of(name, "free")
    points = torch.cat(kernels(name, "free", 20))
    once, scaled = nearest(points, p), nearest(factor * points, p) / factor
    error = torch.linalg.vector_norm(scaled - once, dim=-1)
    assert (error <= 1e-12 * torch.linalg.vector_norm(points, dim=-1)).all()
    assert torch.equal(nearest(0 * points, p), 0 * points)


def test_a_polytope_far_away_takes_the_vertex_of_that_direction():
    square = Polyhedron.of([[1, 0], [0, 1], [-1, 0], [0, -1]], [1, 1, 0, 0])
    points = torch.tensor([[1e9, 3e9], [-1e6, 0.25], [0.25, 1e3], [-2.0, -1e8]])
    corners = torch.tensor([[1, 1], [0, 0.25], [0.25, 1], [0, 0]])
    assert torch.allclose(nearest(points.double(), square), corners.double(), atol=1e-12)


def test_no_direction_tells_the_side_of_a_kernel():
    """Not the gain, nor the middle of the cone: that is why both sides are searched."""
    p, (rows, _, gamma) = polyhedron_of("lowpass 31", "free"), rows_of("lowpass 31", "free")
    draw = torch.Generator().manual_seed(3)
    points = torch.randn(3000, rows.shape[1], generator=draw, dtype=torch.float64)
    found = nearest(points, p)
    for direction in (gamma, p.center.numpy(), p.start.numpy()):
        side = torch.tensor(direction)
        wrong = ((points @ side) * (found @ side) < 0).nonzero()[:, 0]
        assert len(wrong) > 20
        for i in wrong[:10]:
            # The side it tells, by scipy: what is left of z after the rows have pushed.
            z = points[i] * torch.sign(points[i] @ side)
            told = nnls(rows.T, z.numpy())[1]
            assert told < torch.linalg.vector_norm(found[i])


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_start_of_a_search_is_on_the_side_of_all_that_is_allowed(name):
    p = polyhedron_of(name, "free")
    allowed = nearest(torch.cat(kernels(name, "free", 100)), p)
    gain, start = torch.tensor(p.gamma.numpy()), torch.tensor(p.start.numpy())
    assert ((allowed @ gain) * (allowed @ start) > 0).all()


def test_leading_axes_are_batch_and_precision_is_double_inside():
    p = polyhedron_of("lowpass 31", "free")
    points = torch.cat(kernels("lowpass 31", "free", 6)).view(2, 3, 2, -1)
    found = nearest(points, p)
    one_by_one = [nearest(point, p) for point in points.view(12, -1)]
    assert torch.allclose(found.view(12, -1), torch.stack(one_by_one), rtol=0, atol=1e-13)
    single = nearest(points.float(), p)
    assert single.dtype == torch.float32
    assert (single - found).abs().max() < 1e-6
    assert nearest(points[:0], p).shape == points[:0].shape


def test_more_points_than_one_batch_are_all_found():
    p = polyhedron_of("lowpass 5", "free")
    points = torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = nearest(points, p)
    parts = torch.cat([nearest(part, p) for part in points.split(190)])
    assert torch.allclose(found, parts, rtol=0, atol=1e-13)


@pytest.mark.parametrize("gain", ["free", "unit"])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_a_broken_kernel_stays_alone(gain, broken):
    p = polyhedron_of("lowpass 31", gain)
    points = torch.cat(kernels("lowpass 31", gain, 4))
    sick = points.clone()
    sick[2, 5], sick[6] = broken, broken
    found, whole = nearest(sick, p), [0, 1, 3, 4, 5, 7]
    assert found[[2, 6]].isnan().all()
    assert torch.allclose(found[whole], nearest(points, p)[whole], rtol=0, atol=1e-13)


# -- its derivative --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gain"), SOME)
def test_the_derivative_of_the_nearest_point(name, gain):
    p = polyhedron_of(name, gain)
    points = torch.cat(kernels(name, gain, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: nearest(a, p), points, atol=1e-6, fast_mode=True)
    for jacobian in torch.func.vmap(torch.func.jacrev(lambda a: nearest(a, p)))(points.detach()):
        assert torch.allclose(jacobian, jacobian.T, atol=1e-12)
        assert torch.allclose(jacobian @ jacobian, jacobian, atol=1e-10)  # a projector


@pytest.mark.parametrize("gain", ["free", "unit"])
def test_the_derivative_is_finite_everywhere(gain):
    p = polyhedron_of("lowpass 31", gain)
    far, _ = kernels("lowpass 31", gain, 4)
    corner = nearest(far, p)
    rows = torch.tensor(p.rows.numpy())
    points = torch.cat([far * 0, corner, corner + 0.1 * rows[:4], p.ray(far), far * 1e-200])
    for dtype in DTYPES:
        leaf = points.to(dtype).requires_grad_()
        nearest(leaf, p).square().sum().backward()
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(("name", "gain"), SOME)
def test_vmap_is_a_loop(name, gain):
    p = polyhedron_of(name, gain)
    points = torch.cat(kernels(name, gain, 6)).view(3, 4, -1)
    found = nearest(points, p)
    project = lambda a: nearest(a, p)  # noqa: E731
    assert torch.allclose(torch.vmap(project)(points), found, rtol=0, atol=1e-13)
    assert torch.allclose(torch.vmap(project, 1, 1)(points), found, rtol=0, atol=1e-13)
    assert torch.allclose(torch.vmap(torch.vmap(project))(points), found, rtol=0, atol=1e-13)
    length = torch.func.grad(lambda a: nearest(a, p).square().sum())
    leaf = points.clone().requires_grad_()
    found = nearest(leaf, p).square().sum()
    found.backward()
    assert torch.allclose(torch.vmap(torch.vmap(length))(points), leaf.grad, atol=1e-12)


# -- the way in ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gain"), BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_way_in_ends_where_the_first_row_bites(name, gain, dtype):
    p = polyhedron_of(name, gain)
    points = torch.cat(kernels(name, gain, 40)).to(dtype)
    end, outside = p.ray(points), beyond(p, points) > 0
    assert end.dtype == dtype
    assert outside.any()
    # On the inner side of the limit by some units in the last place.
    assert beyond(p, end).max() <= 0
    assert beyond(p, end)[outside].min() > -40 * torch.finfo(dtype).eps
    # It is a point of the way: the rest of it leads on to where it came from.
    center = 2 * halfway_in(p, points) - points
    whole, part = points - center, end - center
    share = (whole * part).sum(-1) / whole.square().sum(-1)
    assert ((share > 0) & (share <= 1 + 1e-5)).all()
    assert (part - share[:, None] * whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize(("name", "gain"), BOTH)
def test_the_way_in_from_the_set_is_none(name, gain):
    p = polyhedron_of(name, gain)
    for dtype in DTYPES:
        end = p.ray(torch.cat(kernels(name, gain, 40)).to(dtype))
        size = torch.linalg.vector_norm(end, dim=-1, keepdim=True)
        assert ((p.ray(end) - end).abs() <= 4 * torch.finfo(dtype).eps * size).all()
        inside = halfway_in(p, end)
        assert torch.equal(p.ray(inside), inside)


@pytest.mark.parametrize(("name", "gain"), SOME)
def test_storing_kernels_in_single_precision_costs_no_level(name, gain):
    p, gamma = polyhedron_of(name, gain), rows_of(name, gain)[2]
    taps, *pieces = DRAWINGS[name]
    stored = nearest(torch.cat(kernels(name, gain, 40)), p).float().double()
    over = beyond(p, stored).clamp(min=0)
    if gain == "free":  # in units of the gain, as a tolerance is
        over *= torch.linalg.vector_norm(stored, dim=-1) / (stored @ torch.tensor(gamma)).abs()
    longest = 2 * np.sqrt(taps)  # of the rows, before they were brought to norm 1
    smallest = min(radius for piece in pieces for radius in piece[-2:])
    assert over.max() > 0
    assert 20 * np.log10(1 + longest * float(over.max()) / smallest) < 0.001


@pytest.mark.parametrize("gain", ["free", "unit"])
def test_the_way_in_is_differentiable_everywhere(gain):
    p = polyhedron_of("lowpass 15", gain)
    points = torch.cat(kernels("lowpass 15", gain, 3)).requires_grad_()
    assert torch.autograd.gradcheck(p.ray, points)
    end = p.ray(points.detach())
    for dtype in DTYPES:
        for at in (end, end * 0, 1e-30 * end, points.detach() * 1e6):
            leaf = at.to(dtype).requires_grad_()
            p.ray(leaf).square().sum().backward()
            assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("gain", ["free", "unit"])
def test_the_way_in_under_vmap_and_compile(gain):
    p = polyhedron_of("lowpass 15", gain)
    points = torch.cat(kernels("lowpass 15", gain, 6)).view(3, 4, -1)
    end = p.ray(points)
    assert torch.allclose(torch.vmap(p.ray)(points), end, rtol=0, atol=1e-14)
    torch.compiler.reset()
    compiled = torch.compile(p.ray, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(points), end, rtol=0, atol=1e-14)


# -- followed from step to step --------------------------------------------------------------


@pytest.mark.parametrize(("name", "gain"), BOTH)
@pytest.mark.parametrize("dtype", DTYPES)
def test_whatever_is_followed_ends_inside(name, gain, dtype):
    p = polyhedron_of(name, gain)
    tracker, memory = Tracker.of(p), {}
    for seed in range(4):  # jumps, changes of side, and what is allowed already
        points = torch.cat(kernels(name, gain, 8, seed)).to(dtype)
        points = torch.cat([points, p.ray(points)])
        end = tracker.track(points, memory)
        assert end.dtype == dtype
        assert beyond(p, end).max() <= 0
        assert torch.equal(end[16:], p.ray(points[16:]))


@pytest.mark.parametrize(("name", "gain"), SOME)
def test_points_at_rest_are_followed_to_the_nearest_ones(name, gain):
    p = polyhedron_of(name, gain)
    tracker, (_, near) = Tracker.of(p), kernels(name, gain, 8)
    exact = nearest(near, p)
    way = torch.linalg.vector_norm(near - exact, dim=-1)
    for dtype, bound in ((torch.float64, 1e-6), (torch.float32, 2e-3)):
        memory = {}
        for _ in range(800):
            end = tracker.track(near.to(dtype), memory)
        error = torch.linalg.vector_norm(end - exact, dim=-1)
        assert (error <= bound * way).all()


def test_slow_points_are_followed_closely():
    p = polyhedron_of("lowpass 31", "free")
    tracker, memory = Tracker.of(p), {}
    far, near = kernels("lowpass 31", "free", 16)
    way, errors = (far - near) / 4000, []
    for step in range(200):
        points = near + step * way
        end = tracker.track(points, memory)
        if step % 20 == 0:
            exact = nearest(points, p)
            moved = torch.linalg.vector_norm(points - exact, dim=-1)
            errors.append((torch.linalg.vector_norm(end - exact, dim=-1) / moved).median())
    assert max(errors[-5:]) < 0.02 < errors[0]


def test_a_change_of_side_forgets():
    p = polyhedron_of("lowpass 31", "free")
    tracker, memory = Tracker.of(p), {}
    _, near = kernels("lowpass 31", "free", 4)
    for _ in range(5):
        tracker.track(near, memory)
    turned = near.clone()
    turned[1] *= -1
    kept = tracker.track(near, {name: value.clone() for name, value in memory.items()})
    after = tracker.track(turned, memory)
    assert torch.allclose(after[[0, 2, 3]], kept[[0, 2, 3]], rtol=0, atol=1e-14)
    assert torch.allclose(after[1], tracker.track(turned[1:2], {})[0], rtol=0, atol=1e-14)


def test_memory_has_the_leading_axes_of_the_points():
    p = polyhedron_of("lowpass 15", "free")
    tracker, memory = Tracker.of(p), {}
    far, _ = kernels("lowpass 15", "free", 12)
    points = far.view(2, 3, 2, -1)
    single = [{} for _ in range(2)]
    for _ in range(3):
        end = tracker.track(points, memory)
        apart = [tracker.track(*pair) for pair in zip(points, single, strict=True)]
    assert torch.allclose(end, torch.stack(apart), rtol=0, atol=1e-14)
    assert all(value.shape[:3] == (2, 3, 2) for value in memory.values())
    for name, value in memory.items():
        assert torch.allclose(value[1], single[1][name], rtol=0, atol=1e-14)


@pytest.mark.parametrize("gain", ["free", "unit"])
def test_following_never_waits_for_the_device(gain):
    """On the meta device there are no numbers to wait for."""
    p = polyhedron_of("lowpass 15", gain)
    points = torch.empty(2, 3, p.rows.shape[1], device="meta")
    assert Tracker.of(p).track(points, {}).shape == points.shape


@pytest.mark.parametrize("gain", ["free", "unit"])
def test_training_with_it_ends_at_the_constrained_optimum(gain):
    rows, limits, _ = rows_of("lowpass 15", gain)
    p, draw = polyhedron_of("lowpass 15", gain), np.random.default_rng(0)
    x, y = draw.normal(size=(60, rows.shape[1])), draw.normal(size=(60, 4))
    y += x @ p.center.numpy()[:, None] * 3
    best = []
    for target in y.T:
        at = cp.Variable(rows.shape[1])
        sides = [
            cp.Problem(
                cp.Minimize(cp.sum_squares(sign * x @ at - target) / 60), [rows @ at <= limits]
            )
            for sign in ((1, -1) if gain == "free" else (1,))
        ]
        best.append(min(side.solve(solver=cp.CLARABEL) for side in sides))
    tracker, memory = Tracker.of(p), {}
    inputs, targets = torch.tensor(x), torch.tensor(y)
    weights = p.ray(torch.tensor(p.center.numpy()).repeat(4, 1) * 1.5)
    for _ in range(400):
        slope = 2 * (weights @ inputs.T - targets.T) @ inputs / 60
        weights = tracker.track(weights - 0.1 * slope, memory)
    losses = (weights @ inputs.T - targets.T).square().mean(-1).numpy()
    assert np.allclose(losses, best, rtol=1e-4)


# -- what can't be a set ---------------------------------------------------------------------


def test_rows_without_room_are_refused():
    with pytest.raises(ConstraintError, match=r"leave some point room, got 2 rows that leave -0.5"):
        Polyhedron.of([[1.0, 0.0], [-1.0, 0.0]], [0.0, -1.0])


def test_rows_of_any_length_make_the_same_set():
    rows, limits, _ = rows_of("lowpass 15", "unit")
    scale = np.linspace(0.1, 9, len(rows))
    scaled = Polyhedron.of(rows * scale[:, None], limits * scale)
    far, _ = kernels("lowpass 15", "unit", 8)
    assert torch.allclose(nearest(far, scaled), nearest(far, polyhedron_of("lowpass 15", "unit")))


@pytest.mark.parametrize("apart", [0, 1e-13, 1e-9])
@pytest.mark.parametrize("gain", ["free", "unit"])
def test_rows_that_say_the_same_twice_change_nothing(gain, apart):
    rows, limits, gamma = rows_of("target 21", gain)
    draw = np.random.default_rng(0)
    again = rows + apart * draw.normal(size=rows.shape)
    twice = Polyhedron.of(np.concatenate([rows, again]), np.tile(limits, 2), gamma)
    points = torch.cat(kernels("target 21", gain, 100))
    found, once = nearest(points, twice), nearest(points, polyhedron_of("target 21", gain))
    size = torch.linalg.vector_norm(points, dim=-1)
    assert (torch.linalg.vector_norm(found - once, dim=-1) <= (1e-9 + 100 * apart) * size).all()
