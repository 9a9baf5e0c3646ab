"""What the laws don't say: values, words, and the numbers of single constraints."""

import json
import pickle
import re
from dataclasses import dataclass

import cvxpy as cp
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize

import shapekeeper as sk
from shapekeeper.constraints.tensor_value import TensorValue

WIDE = [[1, 0, 1, 1], [0, 0, 1, 0]]


def test_a_mask_comes_as_whatever_people_have():
    forms = [
        WIDE,
        np.array(WIDE),
        np.array(WIDE, dtype=bool),
        np.array(WIDE, dtype=float),
        torch.tensor(WIDE),
        torch.tensor(WIDE) > 0,
        pd.DataFrame(WIDE, index=["hand", "mouth"], columns=list("abcd")),
    ]
    made = [sk.Connections(form) for form in forms]
    assert len(set(made)) == 1
    assert made[0].mask.tolist() == [[True, False, True, True], [False, False, True, False]]


def test_the_mask_that_is_handed_out_is_a_copy():
    c = sk.Connections(WIDE)
    c.mask[0, 1] = True
    assert c == sk.Connections(WIDE)
    given = torch.tensor(WIDE)
    c = sk.Connections(given)
    given[0, 1] = 1
    assert c == sk.Connections(WIDE)


def test_rows_are_targets():
    layer = torch.nn.Linear(4, 2)
    c = sk.Connections(WIDE)
    c.check(tuple(layer.weight.shape))
    with torch.no_grad():
        layer.weight.copy_(c.project(layer.weight))
    moved = torch.autograd.functional.jacobian(layer, torch.randn(4)) != 0
    assert torch.equal(moved, c.mask)


def test_equal_content_is_equal_whatever_the_history():
    a, b = sk.Connections(WIDE), sk.Connections(np.array(WIDE, float))
    a.project(torch.randn(2, 4))  # a device copy must not become part of the value
    assert a == b
    assert hash(a) == hash(b)
    assert pickle.dumps(a) == pickle.dumps(b)
    assert a != sk.Connections(WIDE, fixed=np.array(WIDE) * 0.5)
    assert a != sk.Connections(np.array(WIDE).T)
    assert a != sk.Connections(np.array(WIDE).reshape(-1))


def test_a_large_mask_prints_short_and_saves_small():
    mask = torch.rand(200, 300, generator=torch.Generator().manual_seed(0)) < 0.1
    c = sk.Connections(mask)
    assert re.fullmatch(r"Connections\(‹200×300, 10 % open, [0-9a-f]{4}…›\)", repr(c))
    text = json.dumps(c.to_json())
    assert len(text) < 15_000, "one bit per connection, compressed"
    assert sk.Constraint.from_json(json.loads(text)) == c
    assert len(pickle.dumps(c)) < 2 * 200 * 300 / 8 + 2_000


@pytest.mark.parametrize("entries", [4096, 4097])
def test_json_lists_up_to_4096_entries(entries):
    saved = TensorValue.of(np.arange(entries) % 2 == 0).to_json()
    assert isinstance(saved, list) == (entries == 4096)
    np.testing.assert_array_equal(TensorValue.array_from_json(saved), np.arange(entries) % 2 == 0)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array([True] * 9), [[1, 2]]])
def test_a_tensor_value_gives_back_what_it_took(array):
    value = TensorValue.of(array)
    np.testing.assert_array_equal(value.numpy(), np.asarray(array))
    assert torch.equal(value.on(torch.device("cpu")), torch.as_tensor(np.asarray(array)))
    assert value == pickle.loads(pickle.dumps(value))


def test_device_copies_made_in_inference_mode_can_be_trained_with():
    c = sk.Connections([[1, 0, 1]])
    with torch.inference_mode():
        c.project(torch.randn(1, 3))
    x = torch.randn(1, 3, requires_grad=True)
    c.penalty(c.project(x) + x).sum().backward()
    assert x.grad is not None


def test_start_keeps_the_variance_of_what_arrives():
    draw = torch.Generator().manual_seed(0)
    mask = torch.rand(400, 300, generator=draw) < 0.1
    dense = torch.randn(400, 300, generator=draw) / 300**0.5
    x = torch.randn(300, 1000, generator=draw)
    c = sk.Connections(mask)
    wanted = (dense @ x).var().item()
    assert (c.start(dense) @ x).var().item() == pytest.approx(wanted, rel=0.05)
    assert (c.project(dense) @ x).var() < 0.2 * wanted


def test_start_scales_each_row_by_fan_in_over_open():
    x = torch.tensor([[3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 2.0, 0.0]])
    start = sk.Connections(WIDE).start(x)
    torch.testing.assert_close(start[0], x[0] * torch.tensor([1, 0, 1, 1]) * (4 / 3) ** 0.5)
    # An entry that is zero feeds nothing, so it is no part of the fan-in.
    torch.testing.assert_close(start[1], x[1] * torch.tensor([0, 0, 1, 0]) * 3**0.5)


def test_start_leaves_presets_alone():
    fixed = torch.tensor([[0.25, 0, 0, 0], [0, 0, 0, 0]])
    start = sk.Connections(WIDE, fixed=fixed).start(torch.ones(2, 4))
    torch.testing.assert_close(start[0], torch.tensor([0.25, 0, 1, 1]) * torch.tensor(
        [1, 0, 1.5**0.5, 1.5**0.5]))  # fmt: skip


def test_a_row_without_connections_starts_at_zero():
    start = sk.Connections([[0, 0], [1, 0]]).start(torch.ones(2, 2))
    assert start[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("mask", "fixed", "words"),
    [
        ([[0.0, 0.3], [1.0, 2.0]], None, r"got 0.3 at \[0, 1\] and 1 more such entries"),
        ([[0.5]], None, r"Say from where on a connection is open, e.g. Connections\(matrix > 0.5"),
        ([["a", "b"]], None, "Wanted a mask of 0 and 1, got entries of type"),
        ([], None, "at least one entry and one axis"),
        (1, None, "at least one entry and one axis"),
        ([[1, 0]], [[0.0, 2.0]], r"got 2.0 at \[0, 1\], which is closed"),
        ([[1, 0]], [[0.0], [2.0]], r"presets of the mask's shape \(1, 2\), got \(2, 1\)"),
        ([[1, 0]], [[np.nan, 0.0]], "Wanted finite presets"),
        ([[0.5, 0]], [[0.0, 2.0]], r"got 0.5 at \[0, 0\].* got 2.0 at \[0, 1\], which is closed"),
    ],
)
def test_bad_masks(mask, fixed, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Connections(mask, fixed=fixed)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 2), r"last axes are \(2, 4\).*got \(4, 2\). That is the transpose"),
        ((2, 5), r"last axes are \(2, 4\).*got \(2, 5\).$"),
        ((4,), r"got \(4,\)"),
    ],
)
def test_a_mask_of_the_wrong_shape(shape, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Connections(WIDE).check(shape)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.0, 0.0, "Wanted low < high, got low=1.0, high=0.0"),
        (1.0, 1.0, "Wanted low < high"),
        (float("nan"), 1.0, "Wanted low < high"),
        (-float("inf"), float("inf"), "that allows all"),
    ],
)
def test_bad_ranges(low, high, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Box(low, high)


def test_the_one_sided_clamp_lets_back_in_and_nothing_out():
    x = torch.tensor([-2.0, -2.0, 0.5, 0.5, 3.0, 3.0], requires_grad=True)
    pull = torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    (grad,) = torch.autograd.grad((sk.Box(0.0, 1.0).project(x) * pull).sum(), x)
    # Descent moves against the gradient: from below only a negative one leads back in.
    assert grad.tolist() == [-1.0, 0.0, -1.0, 1.0, 0.0, 1.0]


def test_a_node_that_starts_outside_comes_back():
    x = torch.tensor([5.0], requires_grad=True)
    step = torch.optim.SGD([x], lr=0.1)
    for _ in range(100):
        step.zero_grad()
        (sk.Box(0.0, 1.0).project(x) - 0.3).square().backward()
        step.step()
    assert x.item() == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("ends", [(-0.1, 0.3), (0.1, 0.7), (-1e-3, 1e3)])
def test_the_chart_never_steps_past_an_end_by_rounding(ends, dtype):
    c = sk.Box(*ends)
    u = torch.linspace(-100, 100, 2001, dtype=dtype)
    assert (c.violation(c.from_free(u)) == 0).all()


def test_json_of_something_else():
    with pytest.raises(sk.ConstraintError, match="Wanted a constraint, got 'Conections'"):
        sk.Constraint.from_json({"constraint": "Conections", "mask": [[1]]})


# -- intervals and signs --------------------------------------------------------------------------


def test_starts_mirror_what_has_the_wrong_sign_and_keep_every_length():
    x = torch.tensor([[-3.0, 4.0, -1.0], [2.0, -2.0, 0.5]])
    assert sk.NonNegative().start(x).tolist() == [[3, 4, 1], [2, 2, 0.5]]
    assert sk.Signs([1, -1, 0]).start(x).tolist() == [[3, -4, -1], [2, -2, 0.5]]
    both = sk.Connections([[1, 1, 0], [1, 1, 1]]) & sk.Signs([1, -1, 0])
    torch.testing.assert_close(
        both.start(x), torch.tensor([[3 * 1.5**0.5, -4 * 1.5**0.5, 0], [2, -2, 0.5]])
    )


def test_a_sign_per_source_is_a_sign_per_column():
    dale = sk.Signs([1, -1])
    assert dale.project(torch.ones(3, 2)).tolist() == [[1, 0]] * 3
    assert dale.project(-torch.ones(3, 2)).tolist() == [[0, -1]] * 3
    assert dale.violation(torch.tensor([[-2.0, 3.0], [0.0, 1.0]])).tolist() == [3, 1]
    assert dale.matrix.tolist() == [1, -1]
    dale.matrix[0] = -1
    assert dale == sk.Signs(np.array([1.0, -1.0]))


def test_the_chart_of_an_entry_depends_on_its_ends():
    c = sk.Connections([[1, 1, 1, 0]]) & sk.Signs([1, -1, 0, 0]) & sk.Box(-2, 4)
    u = torch.tensor([[0.3, 0.3, 0.3, 0.3]])
    half = torch.sigmoid(torch.tensor(0.3)).item()
    wanted = [4 * half, -2 + 2 * half, -2 + 6 * half, 0]
    torch.testing.assert_close(c.from_free(u), torch.tensor([wanted]))
    open_above = sk.Connections([[1, 1, 0]]) & sk.Signs([1, -1, 0])
    soft = torch.nn.functional.softplus(torch.tensor(0.3)).item()
    wanted = torch.tensor([[soft, -soft, 0]])
    torch.testing.assert_close(open_above.from_free(u[:, :3]), wanted)
    for chart in (c, open_above):
        u = torch.zeros(chart.shape, requires_grad=True)
        (grad,) = torch.autograd.grad(chart.from_free(u).sum(), u)
        assert ((grad != 0) == chart.parts[0].mask).all(), "closed entries are not read"


def test_a_closed_entry_passes_no_gradient_whatever_its_value():
    c = sk.Connections([[1, 0]]) & sk.NonNegative()
    for value in (-1.0, 0.0, 1.0):
        x = torch.full((1, 2), value, requires_grad=True)
        for pull in (-1.0, 1.0):
            (grad,) = torch.autograd.grad(pull * c.project(x).sum(), x)
            assert grad[0, 1] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_end_counts_as_rounded_to_the_dtype(dtype):
    c = sk.Box(0, 0.3)
    x = torch.tensor([0.3, 5.0, -1.0, 0.29], dtype=dtype)
    assert c.project(x).tolist() == [x[0].item(), x[0].item(), 0, x[3].item()]
    assert c.allows(c.project(x)).all()
    assert not c.allows(torch.nextafter(x[:1].float(), torch.ones(1)).double() + 0.01)
    preset = sk.Connections([[1, 1]], fixed=[[0.3, 0]])
    assert (preset.violation(preset.project(torch.ones(1, 2, dtype=dtype))) == 0).all()


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[0.5, 1]], r"Wanted signs \+1, -1 and 0 \(either\), got 0.5 at \[0, 0\]. Signs of"),
        ([2, 3], r"got 2 at \[0\] and 1 more such entries"),
        ([True, False], "got entries of type bool"),
        (["+", "-"], "got entries of type"),
        ([0, 0], "Wanted at least one sign, got zeros alone; that allows all"),
        (1, r"got shape \(\). One sign for all is NonNegative\(\)"),
    ],
)
def test_bad_signs(matrix, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Signs(matrix)


def test_signs_of_the_wrong_shape():
    with pytest.raises(sk.ConstraintError, match=r"are \(2,\), as one sign per source has, got"):
        sk.Signs([1, -1]).check((2, 3))
    with pytest.raises(sk.ConstraintError, match="That is the transpose"):
        sk.Signs([[1, -1, 1], [0, 0, 1]]).check((3, 2))


def test_large_signs_print_short_and_nothing_that_use_makes_is_part_of_a_value():
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(-1, 2, (200, 300), generator=draw)
    c = sk.Connections(torch.rand(200, 300, generator=draw) < 0.1) & sk.Signs(signs)
    assert re.search(r" & Signs\(‹200×300, [0-9a-f]{4}…›\)$", repr(c))
    assert sk.Constraint.from_json(json.loads(json.dumps(c.to_json()))) == c
    before = pickle.dumps(c)
    c.start(c.project(c.sample((200, 300), draw)))
    assert pickle.dumps(c) == before
    assert len(before) < 100_000, "a byte per sign, bits per connection"


# -- the sphere -----------------------------------------------------------------------------------


def test_projecting_on_the_sphere_keeps_the_direction_whatever_the_size():
    way = torch.tensor([3.0, 0.0, -4.0])
    for size in (1e-38, 1.0, 1e30, 3e37):
        torch.testing.assert_close(sk.Sphere(2.0).project(size * way), 2 * way / 5)
    assert sk.Sphere(2.0).project(torch.zeros(2, 3)).tolist() == [[2, 0, 0]] * 2


def test_gradients_on_the_sphere_are_those_of_finite_differences():
    draw = torch.Generator().manual_seed(0)
    x, u = torch.randn(2, 3, 4, generator=draw, dtype=torch.float64).requires_grad_()
    sphere = sk.Sphere(1.7)
    at = sphere.project(x.detach())
    assert torch.autograd.gradcheck(sphere.project, x)
    assert torch.autograd.gradcheck(lambda u: sphere.from_free(u, at), u)
    zero = torch.zeros_like(u, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda u: sphere.from_free(u[0], at[0]), zero)
    normal = at[0] / 1.7
    wanted = torch.eye(4, dtype=torch.float64) - torch.outer(normal, normal)
    torch.testing.assert_close(slope[:, 0], wanted)  # at the start, the chart is the tangent plane


def test_zeros_have_finite_gradients():
    for c in (sk.Sphere(), sk.Sphere() & sk.NonNegative()):
        for function in (c.project, c.from_free, c.penalty):
            x = torch.zeros(2, 3, requires_grad=True)
            (grad,) = torch.autograd.grad(function(x).sum(), x)
            assert torch.isfinite(grad).all()


def test_the_chart_of_the_sphere_walks_great_circles():
    sphere, at = sk.Sphere(2.0), torch.tensor([2.0, 0.0, 0.0])
    quarter = torch.tensor([7.0, np.pi, 0.0])  # the part along `at` is not read
    torch.testing.assert_close(sphere.from_free(quarter, at), torch.tensor([0.0, 2.0, 0.0]))
    assert torch.equal(sphere.from_free(torch.zeros(3), at), at), "decay pulls to the start"
    there = sphere.sample((100, 3), torch.Generator().manual_seed(0))
    u = sphere.to_free(there, at)
    torch.testing.assert_close(sphere.from_free(u, at), there)
    torch.testing.assert_close(u[:, 0], torch.zeros(100))
    # Its length is the length of the arc.
    arc = 2 * torch.arccos((there @ at / 4).double())
    torch.testing.assert_close(torch.linalg.vector_norm(u, dim=-1).double(), arc, atol=1e-3, rtol=0)


def test_tangent_vectors_leave_the_length_alone():
    sphere = sk.Sphere(3.0)
    x = sphere.sample((50, 4), torch.Generator().manual_seed(0)).double()
    v = sphere.tangent(sphere.project(x), torch.randn(50, 4, dtype=torch.float64))
    torch.testing.assert_close((v * x).sum(-1), torch.zeros(50).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(sphere.tangent(x, v), v, atol=1e-5, rtol=0)
    assert (sphere.violation(x + 1e-4 * v) < 1e-6).all()


@pytest.mark.parametrize("radius", [0, -1.0, float("inf"), float("nan")])
def test_bad_radii(radius):
    with pytest.raises(sk.ConstraintError, match=f"Wanted a finite radius above 0, got {radius}"):
        sk.Sphere(radius)


def test_a_sphere_needs_an_axis():
    with pytest.raises(sk.ConstraintError, match=r"whose last axis holds the vectors, got .* \(\)"):
        sk.Sphere().check(())


def test_weights_on_a_sphere_reach_the_best_direction():
    """Rows of one length, least squares: the optimum is the normalized normal equations' circle."""
    draw = torch.Generator().manual_seed(0)
    pull = torch.randn(3, 4, generator=draw)
    for strategy in (sk.Projection(), sk.Reparametrization()):
        c, x = sk.Sphere(), sk.Sphere().start(torch.randn(1, 3, 4, generator=draw))
        leaf, memory = strategy.begin(c, x)
        for _ in range(300):
            leaf = leaf.detach().requires_grad_()
            loss = -(strategy.weights(c, leaf, memory) * pull).sum()
            (grad,) = torch.autograd.grad(loss, leaf)
            leaf = strategy.repair(c, (leaf - 0.1 * grad).detach(), memory, 0.1)
        found = strategy.weights(c, leaf, memory)[0]
        torch.testing.assert_close(found, torch.nn.functional.normalize(pull), atol=1e-4, rtol=0)


# -- what constraints allow together --------------------------------------------------------------

DALE = sk.Signs([1, 1, -1, -1])
PRESET = sk.Connections(WIDE, fixed=[[0, 0, -0.25, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("c", "conditions"),
    [
        (
            sk.Connections(WIDE) & DALE,
            lambda y, mask: [cp.multiply(y, mask == 0) == 0, y[:, :2] >= 0, y[:, 2:] <= 0],
        ),
        (
            sk.Connections(WIDE) & sk.NonNegative() & sk.Box(-1, 0.7),
            lambda y, mask: [cp.multiply(y, mask == 0) == 0, y >= 0, y <= 0.7],
        ),
        (
            PRESET & DALE & sk.Box(-0.5, 2),
            lambda y, mask: [
                cp.multiply(y, mask == 0) == 0, y[0, 2] == -0.25,
                y[:, :2] >= 0, y[:, 2:] <= 0, y >= -0.5, y <= 2,
            ],
        ),
        (sk.Signs([[1, -1, 0, 1], [0, 0, -1, -1]]), lambda y, mask: [
            y[0, 0] >= 0, y[0, 1] <= 0, y[0, 3] >= 0, y[1, 2:] <= 0]),
    ],
    ids=["signs", "box", "presets", "signs alone"],
)  # fmt: skip
def test_projections_are_those_of_a_convex_solver(c, conditions):
    x = 2 * np.random.default_rng(0).standard_normal((5, 2, 4))
    for event in x:
        y = cp.Variable((2, 4))
        conditions_of_y = conditions(y, np.array(WIDE))
        exact = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
        problem = cp.Problem(cp.Minimize(cp.sum_squares(y - event)), conditions_of_y)
        problem.solve(cp.CLARABEL, **exact)
        np.testing.assert_allclose(c.project(torch.tensor(event)).numpy(), y.value, atol=1e-6)


@pytest.mark.parametrize(
    "c",
    [
        sk.Sphere(1.5) & sk.NonNegative(),
        sk.Sphere() & sk.Signs([1, -1, 0]),
        sk.Connections([[1, 0, 1]]) & sk.Sphere(0.5),
        sk.Connections([[1, 1, 0]]) & sk.Signs([1, -1, -1]) & sk.Sphere(2.0),
        sk.Connections([[0, 0, 1]]) & sk.Signs([1, -1, -1]) & sk.Sphere(2.0),
    ],
    ids=repr,
)
def test_on_sphere_and_cone_no_direction_is_nearer(c):
    angle = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)  # every half degree
    height = torch.linspace(-1, 1, 201, dtype=torch.float64)
    ring = (1 - height[:, None] ** 2).sqrt()
    everywhere = torch.stack(
        [ring * angle.cos(), ring * angle.sin(), height[:, None].expand(-1, len(angle))], -1
    ).view(-1, 1, 3)
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double().view(-1, 1, 3)
    low, high = (torch.from_numpy(np.broadcast_to(end, (1, 3)).copy()) for end in c.ends())
    rays = torch.cat([everywhere.clamp(low, high), corners.clamp(low, high)])
    length = torch.linalg.vector_norm(rays, dim=-1, keepdim=True)
    dense = (c.sphere.radius * rays / length)[length.flatten() > 1e-9]
    assert c.allows(dense).all()
    x = 2 * torch.randn(200, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outward = torch.where(high > 0, -1.0, 1.0) * x.abs()[:40]  # nothing of these is in the cone
    x = torch.cat([x, outward, torch.zeros(1, 1, 3)])
    best = torch.cdist(x[:, 0], dense[:, 0]).amin(1)
    mine = torch.linalg.vector_norm(x - c.project(x), dim=-1).flatten()
    assert c.allows(c.project(x)).all()
    assert (mine <= best + 1e-12).all()
    assert (best - mine).max() < 2e-3, "the dense sample is dense"


def test_of_all_wrong_ways_the_least_wrong_axis():
    c = sk.Connections([[1, 0, 1, 1]]) & sk.NonNegative() & sk.Sphere(2.0)
    assert c.project(torch.tensor([[-3.0, -0.1, -1.0, -2.0]])).tolist() == [[0, 0, 2, 0]]
    signs = sk.Signs([-1, -1, 1]) & sk.Sphere()
    assert signs.project(torch.tensor([3.0, 0.5, -1.0])).tolist() == [0, -1, 0]


def test_a_great_circle_is_mirrored_where_a_sign_forbids_it():
    c, at = sk.Sphere() & sk.NonNegative(), torch.tensor([1.0, 0.0])
    for degrees, wanted in ((30, 30), (-30, 30), (120, 60), (200, 20)):
        u = torch.tensor([0.0, np.deg2rad(degrees)]).float()
        ends = torch.tensor([np.cos(np.deg2rad(wanted)), np.sin(np.deg2rad(wanted))])
        torch.testing.assert_close(c.from_free(u, at), ends.float())
    u = torch.zeros(2, requires_grad=True)
    (grad,) = torch.autograd.grad(c.from_free(u, at)[1], u)
    assert grad.tolist() == [0, 1], "an entry that starts at the wall can leave it"


def test_an_intersection_is_flat_and_speaks_for_its_parts():
    mask = sk.Connections(WIDE)
    c = mask & DALE & sk.Sphere(3.0)
    assert c == mask & (DALE & sk.Sphere(3.0))
    assert [type(part).__name__ for part in c.parts] == ["Connections", "Signs", "Sphere"]
    assert (c.event_dims, c.shape, c.unit, c.scale) == (2, (2, 4), "weight or length", 3.0)
    assert not c.separable
    assert (mask & DALE).separable
    assert repr(mask & DALE) == f"{mask!r} & {DALE!r}"
    assert (mask & DALE).unit == "weight"
    assert len({mask & DALE, mask & DALE, DALE & mask}) == 2


def test_violation_is_that_of_the_worst_part():
    c = sk.Connections([[1, 1], [1, 0]]) & sk.NonNegative() & sk.Sphere(1.0)
    rows = {"closed": [[1, 0], [0, 5]], "sign": [[0, 1], [-4, 0]], "length": [[3, 0], [1, 0]]}
    worst = {k: c.violation(torch.tensor(v).float()).item() for k, v in rows.items()}
    assert worst == {"closed": 5, "sign": 4, "length": 2}
    equal, at_most = c.residual(torch.zeros(7, 2, 2))
    assert (equal.shape, at_most.shape) == ((7, 4 + 2), (7, 4))
    # A closed weight counts as zero only if it is, however long the rows may be off by rounding.
    assert not c.allows(torch.tensor([[1.0, 0.0], [1.0, 1e-9]]))
    assert c.allows(torch.tensor([[1.0, 0.0], [1.0 + 1e-7, 0.0]]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: sk.Connections([[1, 1]], fixed=[[0, -0.5]]) & sk.NonNegative(),
            r"got none at \[0, 1\]: Connections allows -0.5 alone; NonNegative allows 0 or more",
        ),
        (
            lambda: sk.Connections([[1, 0], [0, 0]]) & sk.Box(0.1, 1),
            r"at \[0, 1\]: Connections allows 0 alone; Box allows 0.1 to 1, and none at 2 more",
        ),
        (lambda: sk.Box(0, 1) & sk.Box(2, 3), "got none: Box allows 0 to 1; Box allows 2 to 3"),
        (
            lambda: sk.Signs([1, -1]) & sk.Signs([1, 1]) & sk.Box(0.5, 2),
            r"at \[1\]: Signs allows 0 or less; Signs allows 0 or more; Box allows 0.5 to 2",
        ),
        (
            lambda: sk.Connections([[1, 0], [0, 0]]) & sk.Sphere(2),
            r"got none in row \[1\]: all zeros can't have length 2",
        ),
        (
            lambda: sk.Sphere() & sk.NonNegative() & sk.Box(-1, 1),
            r"of Sphere\(radius=1.0\) & NonNegative\(\) & Box\(low=-1, high=1\) is not known",
        ),
        (
            lambda: sk.Sphere() & sk.NonNegative() & sk.Box(-float("inf"), 0),
            "other than zero in every row, got none: all zeros can't have length 1",
        ),
        (lambda: sk.Sphere() & sk.Box(0, 1), "is not known how to find. Products of intervals"),
        (lambda: PRESET & sk.Sphere(), r"is not known how to find.* \(Connections without presets"),
        (lambda: sk.Sphere() & sk.Sphere(2), "at most one a Sphere, got .* Products of intervals"),
        (lambda: sk.Signs([1, 1]) & Loop(), "Loop can't be combined with &. Products of intervals"),
        (
            lambda: sk.Connections(WIDE) & sk.Signs([1, 1]),
            r"Wanted parts for one tensor, got shapes \(2, 4\) and \(2,\)",
        ),
    ],
)
def test_intersections_that_are_empty_or_unknown(make, words):
    with pytest.raises(sk.ConstraintError, match=words):
        make()


def test_an_intersection_with_something_else():
    with pytest.raises(TypeError, match="unsupported operand"):
        sk.NonNegative() & 3  # type: ignore[operator]


def test_check_reports_the_complaint_of_each_part():
    words = r"Connections: Wanted .* got \(3, 5\). Signs: Wanted .* one sign per source"
    with pytest.raises(sk.ConstraintError, match=words):
        (sk.Connections(WIDE) & DALE).check((3, 5))


@dataclass(frozen=True)
class Loop(sk.Constraint):
    """A set that is no product of intervals and has no chart: two numbers of one sum."""

    event_dims = 1

    def check(self, shape):
        """Any."""

    def residual(self, x):
        equal = x.sum(-1, keepdim=True)
        return equal, equal[..., :0]

    def project(self, x):
        return x - x.mean(-1, keepdim=True)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


def test_what_has_no_chart_says_what_works_instead():
    for chart in (Loop().to_free, Loop().from_free):
        words = "Loop has no chart, so Reparametrization can't hold it. .*RejectionEvolution work"
        with pytest.raises(NotImplementedError, match=words):
            chart(torch.zeros(2))


@dataclass(frozen=True)
class AtMost(sk.Constraint):
    """Somebody's own interval, written with nothing but what every constraint must have."""

    event_dims = 0
    separable = True

    def check(self, shape):
        """Any."""

    def residual(self, x):
        at_most = (x - 0.5).unsqueeze(-1)
        return at_most[..., :0], at_most

    def project(self, x):
        return x.clamp(max=0.5)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


def test_ends_of_somebody_elses_interval_follow_from_its_projection():
    assert [end.tolist() for end in AtMost().ends()] == [-np.inf, 0.5]
    c = AtMost() & sk.NonNegative()
    assert c.project(torch.tensor([-1.0, 0.2, 3.0])).tolist() == pytest.approx([0, 0.2, 0.5])
    assert 0 < c.from_free(torch.tensor(5.0)) < 0.5
    with pytest.raises(sk.ConstraintError, match=r"AtMost allows 0\.5 or less; Box allows 1 to 2"):
        AtMost() & sk.Box(1, 2)


# -- connections from edges -----------------------------------------------------------------------

GENES, REGULATORS = ["TP53", "MYC", "EGR1"], ["r1", "r2"]
EDGES = pd.DataFrame(
    [("TP53", "r1", 1, 0.0), ("EGR1", "r1", -1, -0.5), ("MYC", "r2", 0, np.nan)],
    columns=["source", "target", "sign", "weight"],
)


def from_edges(table, sources=GENES, targets=REGULATORS):
    return sk.Connections.from_edges(table, sources=sources, targets=targets)


def test_a_table_of_edges_in_any_order():
    plain = sk.Connections([[1, 0, 1], [0, 1, 0]])
    signs = sk.Signs([[1, 0, -1], [0, 0, 0]])
    held = sk.Connections([[1, 0, 1], [0, 1, 0]], fixed=[[0, 0, -0.5], [0, 0, 0]])
    assert from_edges(EDGES[["target", "source"]]) == plain
    assert from_edges(EDGES[["source", "target"]].sample(frac=1, random_state=1)) == plain
    assert from_edges(pd.concat([EDGES, EDGES]).drop(columns=["sign", "weight"])) == plain
    assert from_edges(EDGES.drop(columns="weight")) == plain & signs
    assert from_edges(EDGES.drop(columns="sign")) == held
    assert from_edges(EDGES) == held & signs
    assert from_edges(EDGES.assign(sign=0, weight=np.nan)) == plain
    assert from_edges([{"source": "MYC", "target": "r2"}]).mask.sum() == 1


def test_names_may_be_anything_that_can_be_a_name():
    table = pd.DataFrame({"source": [3, (1, 2)], "target": ["a", frozenset("b")]})
    c = from_edges(table, sources=[(1, 2), 3], targets=["a", frozenset("b")])
    assert c == sk.Connections([[0, 1], [1, 0]])


def test_everything_wrong_with_a_table_is_said_at_once():
    rows = [
        ("TP35", "r1", 1, 0), ("MYC", "r7x", 1, 0), ("r1", "MYC", 1, 0), ("TP53", "r2", 2, "x"),
        ("MYC", "r2", 1, 1), ("MYC", "r2", -1, 2), ("EGR1", "r2", 1, -2),
    ]  # fmt: skip
    with pytest.raises(sk.ConstraintError) as raised:
        from_edges(pd.DataFrame(rows, columns=EDGES.columns))
    wanted = [
        "Unknown sources: 'TP35' (did you mean 'TP53'?).",
        "Unknown targets: 'r7x'.",
        "These look reversed: 'r1' → 'MYC'. If all are, table.rename(",
        "Wanted every sign as +1, -1 or 0 (either), got 2.",
        "Wanted every weight as finite numbers (0 or missing: free), got 'x'.",
        "Wanted one sign for each edge, got several for 'MYC' → 'r2'.",
        "Wanted one weight for each edge, got several for 'MYC' → 'r2'.",
        "Wanted weights of the given sign, got the other for 'MYC' → 'r2', 'EGR1' → 'r2'.",
    ]
    assert [words for words in wanted if words not in str(raised.value)] == []


def test_a_table_the_wrong_way_round_is_called_that_and_nothing_else():
    turned = EDGES.rename(columns={"source": "target", "target": "source"})
    words = r"^These look reversed: 'r1' → 'TP53', 'r1' → 'EGR1', 'r2' → 'MYC'. If all"
    with pytest.raises(sk.ConstraintError, match=words):
        from_edges(turned)
    assert from_edges(turned.rename(columns={"source": "target", "target": "source"}))


@pytest.mark.parametrize(
    ("table", "sources", "words"),
    [
        (EDGES[["source"]], GENES, r"Wanted a column 'target', got \['source'\]"),
        (EDGES, [*GENES, "MYC"], "Wanted every source once, got 'MYC' more than once"),
        (EDGES, [], "Unknown sources: 'TP53', 'EGR1', 'MYC'."),
    ],
)
def test_bad_tables(table, sources, words):
    with pytest.raises(sk.ConstraintError, match=words):
        from_edges(table, sources)


def test_long_lists_of_wrong_names_are_counted():
    table = pd.DataFrame({"source": [f"gene {i}" for i in range(12)], "target": "r1"})
    with pytest.raises(sk.ConstraintError, match=r"'gene 4' and 7 more\."):
        from_edges(table)


@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph, nx.Graph, nx.MultiGraph])
def test_graphs_of_networkx_agree_with_its_own_matrix(kind):
    graph = kind(nx.gnp_random_graph(9, 0.4, seed=3, directed=True).edges)
    sources, targets = [3, 0, 7], [1, 2, 4, 8]
    order = list(graph)
    # networkx has rows for sources and columns for targets.
    matrix = pd.DataFrame(nx.to_numpy_array(graph) > 0, order, order).loc[sources, targets]
    c = sk.Connections.from_networkx(graph, sources=sources, targets=targets)
    assert np.array_equal(c.mask.numpy(), matrix.to_numpy().T)
    square = sk.Connections.from_networkx(graph, sources=order, targets=order)
    assert np.array_equal(square.mask.numpy(), nx.to_numpy_array(graph).T > 0)


def test_an_undirected_bipartite_graph_is_sorted_out_by_the_lists():
    graph = nx.Graph([("r1", (1, 2)), ("b", "r2"), ("r1", "b")])
    c = sk.Connections.from_networkx(graph, sources=[(1, 2), "b"], targets=["r1", "r2"])
    assert c == sk.Connections([[1, 1], [0, 1]])


@pytest.mark.parametrize(
    ("sources", "targets", "words"),
    [
        (["eye"], ["hnad"], r"Unknown targets: 'hnad' \(did you mean 'hand'\?\)"),
        (["hand"], ["eye"], "got none. 1 run the other way: use graph.reverse"),
        (["eye"], ["foot"], "Wanted edges from sources to targets, got none.$"),
        (["eye", "eye"], ["hand"], "Wanted every source once, got 'eye' more than once"),
    ],
)
def test_bad_graphs(sources, targets, words):
    graph = nx.DiGraph([("eye", "hand"), ("ear", "foot")])
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Connections.from_networkx(graph, sources=sources, targets=targets)


# -- connections for other tensors ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(torch.nn.Conv1d(4, 2, 3), (4, 3)), (torch.nn.Conv2d(4, 2, (2, 3)), (4, 2, 3))],
)
def test_connections_of_channels_repeat_over_taps(layer, shape):
    c = sk.Connections(WIDE).fit(tuple(layer.weight.shape))
    with torch.no_grad():
        layer.weight.copy_(c.project(layer.weight))
    slope = torch.autograd.functional.jacobian(layer, torch.randn(shape)).flatten(1)
    slope = slope.unflatten(1, (-1, 4, int(np.prod(shape[1:])))).abs().amax((1, 3))
    assert torch.equal(slope > 0, torch.tensor(WIDE) > 0)
    # Fan-in counts taps: the start keeps the variance of what arrives.
    x = torch.ones(layer.weight.shape)
    assert c.start(x)[0, 0].flatten()[0].item() == pytest.approx((4 / 3) ** 0.5)


@pytest.mark.parametrize(("cell", "gates"), [(torch.nn.GRUCell, 3), (torch.nn.LSTMCell, 4)])
def test_connections_of_a_cell_repeat_over_gates(cell, gates):
    layer = cell(4, 2)
    c = sk.Connections(WIDE, fixed=np.array(WIDE) * [[0, 0, 0.5, 0]] * 1.0)
    fitted = c.fit(tuple(layer.weight_ih.shape))
    assert torch.equal(fitted.mask, c.mask.repeat(gates, 1))
    assert torch.equal(fitted.fixed, c.fixed.repeat(gates, 1))
    with torch.no_grad():
        layer.weight_ih.copy_(fitted.project(layer.weight_ih))
    first = (lambda x: layer(x)[0]) if cell is torch.nn.LSTMCell else layer
    slope = torch.autograd.functional.jacobian(lambda x: first(x[None])[0], torch.randn(4))
    assert torch.equal(slope != 0, c.mask)
    assert sk.Connections([1, 0]).fit((gates * 2,)).mask.tolist() == [True, False] * gates


def test_queries_keys_and_values_are_three_gates():
    layer = torch.nn.MultiheadAttention(4, 2)
    eye = sk.Connections(np.eye(4))
    assert (
        eye.fit(tuple(layer.in_proj_weight.shape)).mask.nonzero()[:, 1].tolist() == [*range(4)] * 3
    )


def test_fit_is_never_silent_and_check_says_when_it_helps():
    c = sk.Connections(WIDE)
    assert c.fit((2, 4)) is c
    for shape, word in (((2, 4, 3), "taps"), ((6, 4), "gates"), ((8, 4), "gates")):
        words = rf"got {re.escape(str(shape))}. connections.fit\({re.escape(str(shape))}\) .*{word}"
        with pytest.raises(sk.ConstraintError, match=words):
            c.check(shape)
        c.fit(shape).check(shape)
    for shape in ((4, 4), (10, 4), (4, 2), (2, 3, 3), (12,)):
        words = r"one of the shapes \(2, 4\), \(2, 4, 'taps', '...'\), \(6, 4\), \(8, 4\), got"
        with pytest.raises(sk.ConstraintError, match=words):
            c.fit(shape)
        with pytest.raises(sk.ConstraintError, match=r"^((?!fit).)*$"):
            c.check(shape)


# -- Adam rests where it should -------------------------------------------------------------------

STEEP = torch.tensor([1, 3, 8, 1, 0.5, 2]).double()
GOAL = torch.tensor([1.5, 0.5, 1, 1, -1, 0.3]).double()
FREE = (None, None)


def quadratic(w):
    return (STEEP * (w - GOAL) ** 2).sum()


def trained(c, strategy):
    """Where Adam ends on the quadratic; without a strategy, with a bare projection."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 1, bias=False, dtype=torch.float64)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    held = sk.hold(layer, {"weight": c}, strategy, optimizer) if strategy else None
    for _ in range(400):
        optimizer.param_groups[0]["lr"] *= 0.985
        optimizer.zero_grad()
        quadratic(layer(torch.eye(6).double())[:, 0]).backward()
        optimizer.step()
        if held is None:
            c.project_(layer.weight)
    return quadratic(layer(torch.eye(6).double())[:, 0]).item()


@pytest.mark.parametrize(
    ("c", "bounds"),
    [
        (sk.Sphere(), [FREE] * 6),
        (sk.Connections([[1, 1, 1, 0, 1, 1]]) & sk.Sphere(), [*[FREE] * 3, (0, 0), FREE, FREE]),
        (sk.NonNegative() & sk.Sphere(), [(0, None)] * 6),
    ],
    ids=["sphere", "connections", "signs"],
)
def test_adam_on_a_sphere_ends_at_the_optimum(c, bounds):
    length = {"type": "eq", "fun": lambda w: w @ w - 1}
    starts = np.abs(np.random.default_rng(0).standard_normal((5, 6)))
    settings = {"bounds": bounds, "constraints": length, "options": {"ftol": 1e-12}}
    best = min(
        optimize.minimize(lambda w: quadratic(torch.from_numpy(w)).item(), x, **settings).fun
        for x in starts
    )
    assert trained(c, sk.Projection()) == pytest.approx(best, rel=1e-4)
    assert trained(c, sk.Reparametrization()) == pytest.approx(best, rel=0.02)
    assert trained(c, None) > 1.3 * best, "a bare projection after Adam rests elsewhere"


def test_a_class_of_yours_needs_a_name_of_its_own():
    words = "Wanted a name of its own for .*Sphere: saved constraints of that name are shapekeeper"
    with pytest.raises(sk.ConstraintError, match=words):
        type("Sphere", (sk.Constraint,), {})
    assert sk.Constraint.from_json(sk.Sphere(2.0).to_json()) == sk.Sphere(2.0)
    yours = [type("Mine", (sk.Constraint,), {}) for _ in range(2)]  # a cell that runs again
    assert sk.Constraint.kinds.pop("Mine") is yours[1]
