"""Shares of a whole: the nearest ones by other ways, their derivative, and training under them."""

import re
from functools import partial
from typing import Any

import cvxpy as cp
import pytest
import torch
from points import DOUBLE, Net, task
from scipy import stats
from torch import Tensor, nn

import shapekeeper as sk

SIMPLEX = sk.Simplex()
STRATEGIES = [
    sk.Penalty(1.0),
    sk.Projection(),
    sk.Reparametrization(),
    sk.AugmentedLagrangian(),
    sk.Freeze(),
]
HARD = [sk.Projection(), sk.Reparametrization()]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.label)
hard = pytest.mark.parametrize("strategy", HARD, ids=lambda s: s.label)
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_bisection(x: Tensor, total: float) -> Tensor:
    """The level below which shares are cut, halved down to the last digit."""
    low, high = x.amin(-1, keepdim=True) - total, x.amax(-1, keepdim=True)
    for _ in range(200):
        level = (low + high) / 2
        over = (x - level).clamp(min=0).sum(-1, keepdim=True) > total
        low, high = torch.where(over, level, low), torch.where(over, high, level)
    return (x - high).clamp(min=0)


# Projection


@pytest.mark.parametrize("total", [1.0, 0.1, 7.0])
def test_the_nearest_shares_are_those_of_a_solver(total):
    for x in 2 * normal(6, 5):
        found = cp.Variable(5)
        nearest = cp.Minimize(cp.sum_squares(found - x.numpy()))
        cp.Problem(nearest, [found >= 0, cp.sum(found) == total]).solve(solver=cp.CLARABEL)
        wanted = torch.from_numpy(found.value)
        torch.testing.assert_close(sk.Simplex(total).project(x), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("total", [1.0, 0.1, 7.0])
@pytest.mark.parametrize("size", [1, 2, 10, 1000])
@pytest.mark.parametrize("scale", [1e-6, 0.1, 1.0, 100.0])
def test_the_nearest_shares_are_those_of_bisection(scale, size, total):
    x = scale * normal(20, size)
    wanted = by_bisection(x, total)
    torch.testing.assert_close(sk.Simplex(total).project(x), wanted, rtol=0, atol=1e-13)
    single = sk.Simplex(total).project(x.float())
    torch.testing.assert_close(single, wanted.float(), rtol=0, atol=1e-6 * max(scale, total))


def test_known_shares():
    x = torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.2, 0.3, 0.5], [1.0, 0.5, 0.0]])
    wanted = [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.2, 0.3, 0.5], [0.75, 0.25, 0.0]]
    torch.testing.assert_close(SIMPLEX.project(x), torch.tensor(wanted))


@every_dtype
@pytest.mark.parametrize("size", [1, 3, 300, 20_000])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_projections_are_allowed_whatever_the_numbers(scale, size, dtype):
    for shift in (0.0, 0.999 * scale):
        x = (scale * normal(30, size, seed=size) + shift).to(dtype)
        found = SIMPLEX.project(x)
        assert found.dtype == dtype
        assert (found >= 0).all()
        assert SIMPLEX.allows(found).all()
        assert SIMPLEX.allows(SIMPLEX.from_free(x)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_in_low_precision_only_the_answer_is_rounded(dtype):
    x = (0.1 * normal(20, 1000)).to(dtype)
    wanted = by_bisection(x.double(), 1.0).to(dtype)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(SIMPLEX.project(x), wanted, rtol=eps, atol=1e-6)


def test_many_shares_that_lie_near_the_cut_sum_to_the_total():
    """A level of -1/2 is rounded for ten thousand shares alike."""
    x = torch.full((10_001,), -0.4999, dtype=torch.float32)
    x[0] = 0.0
    x[1:] += 1e-5 * normal(10_000, dtype=torch.float32)
    found = SIMPLEX.project(x)
    assert (found > 0).sum() > 5000
    assert SIMPLEX.violation(found) <= 4e-7
    torch.testing.assert_close(
        found, by_bisection(x.double(), 1.0).float(), rtol=0, atol=torch.finfo(torch.float32).eps
    )


def test_an_entry_of_minus_infinity_gets_nothing():
    x = torch.tensor([0.3, -torch.inf, 0.1], requires_grad=True)
    found = SIMPLEX.project(x)
    torch.testing.assert_close(found.detach(), torch.tensor([0.6, 0.0, 0.4]))
    (grad,) = torch.autograd.grad(found[0], x)
    assert grad.tolist() == [0.5, 0.0, -0.5]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_numbers_that_are_lost_leave_other_events_alone(bad):
    x = normal(4, 5)
    x[1, 2] = bad
    sound = torch.tensor([True, False, True, True])
    assert torch.equal(SIMPLEX.allows(SIMPLEX.project(x)), sound)
    assert torch.equal(SIMPLEX.project(x)[sound], SIMPLEX.project(x[sound]))
    (grad,) = torch.autograd.grad(SIMPLEX.project(x.requires_grad_())[sound, 0].sum(), x)
    assert grad[sound].isfinite().all()


# Derivative


def test_the_derivative_is_that_of_the_projection():
    x = normal(8, 6).requires_grad_()
    assert torch.autograd.gradcheck(SIMPLEX.project, x)
    assert torch.autograd.gradcheck(sk.Simplex(0.3).project, x)
    assert torch.autograd.gradcheck(partial(SIMPLEX.from_free, at=None), x)


def test_the_derivative_takes_the_mean_off_what_is_kept():
    x = torch.tensor([0.9, 0.6, 0.5, -2.0], dtype=DOUBLE)
    jacobian = torch.func.jacrev(SIMPLEX.project)(x)
    kept = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=DOUBLE)
    torch.testing.assert_close(jacobian, torch.diag(kept) - torch.outer(kept, kept) / 3)
    forward = torch.func.jacfwd(SIMPLEX.project)(x)
    torch.testing.assert_close(forward, jacobian)


def test_where_one_entry_takes_all_nothing_passes_but_through_the_chart():
    x = torch.tensor([3.0, 0.0, -1.0], requires_grad=True)
    weight = torch.tensor([1.0, 2.0, 3.0])
    (grad,) = torch.autograd.grad((SIMPLEX.project(x) * weight).sum(), x)
    assert grad.tolist() == [0.0, 0.0, 0.0]
    (grad,) = torch.autograd.grad((SIMPLEX.from_free(x) * weight).sum(), x)
    assert (grad != 0).all()


# Chart and sample


def test_the_chart_moves_the_least_that_keeps_off_the_faces():
    corner = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=DOUBLE)
    inside = SIMPLEX.from_free(SIMPLEX.to_free(corner))
    wanted = torch.tensor([0.25e-3, 1 - 0.75e-3, 0.25e-3, 0.25e-3], dtype=DOUBLE)
    torch.testing.assert_close(inside, wanted)
    within = torch.tensor([0.2, 0.3, 0.4, 0.1], dtype=DOUBLE)
    torch.testing.assert_close(SIMPLEX.from_free(SIMPLEX.to_free(within)), within)


def test_samples_are_uniform():
    """Each share of five then has the law of the smallest of four uniform numbers."""
    draw = sk.Simplex(2.0).sample((20_000, 5), torch.Generator().manual_seed(3))
    for share in draw.T:
        assert stats.kstest(share.numpy() / 2, stats.beta(1, 4).cdf).pvalue > 1e-3
    pairs = (draw[:, 0] + draw[:, 1]).numpy() / 2
    assert stats.kstest(pairs, stats.beta(2, 3).cdf).pvalue > 1e-3


# One entry, words


def test_one_entry_takes_the_total():
    c, x = sk.Simplex(0.7), torch.tensor([[-3.0], [0.7], [5.0]], requires_grad=True)
    found = c.project(x)
    torch.testing.assert_close(found.detach(), torch.full((3, 1), 0.7))
    (grad,) = torch.autograd.grad(found.sum(), x)
    assert not grad.any()
    for other in (c.sample((4, 1)), c.from_free(x.detach()), c.from_free(c.to_free(x.detach()))):
        torch.testing.assert_close(other, torch.full_like(other, 0.7))


@pytest.mark.parametrize("total", [0.0, -1.0, float("inf"), float("nan")])
def test_a_total_that_cannot_be(total):
    with pytest.raises(sk.ConstraintError, match=rf"finite total above 0, got {total}\."):
        sk.Simplex(total)


@pytest.mark.parametrize("shape", [(), (3, 0)])
def test_a_shape_without_shares(shape):
    words = rf"last axis holds the shares, got shape {re.escape(str(shape))}.*reshape it to \(1,\)"
    with pytest.raises(sk.ConstraintError, match=words):
        SIMPLEX.check(shape)


# Training


def test_adam_with_projection_rests_at_the_optimum():
    """Scales of 1 and 1/100, where Adam's own rescaling would rest elsewhere."""
    curve = torch.tensor([1.0, 0.01, 0.3], dtype=DOUBLE)
    goal = torch.tensor([1.5, 0.9, -0.5], dtype=DOUBLE)
    best = cp.Variable(3)
    loss = cp.sum(cp.multiply(curve.numpy(), cp.square(best - goal.numpy())))
    whole: Any = cp.sum(best) == 1
    cp.Problem(cp.Minimize(loss), [best >= 0, whole]).solve(solver=cp.CLARABEL)
    layer = nn.Linear(3, 1, bias=False, dtype=DOUBLE)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    sk.hold(layer, {"weight": SIMPLEX}, sk.Projection(), optimizer)
    for at in range(1500):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - at / 1500)
        optimizer.zero_grad()
        (curve * (layer.weight[0] - goal).square()).sum().backward()
        optimizer.step()
    wanted = torch.from_numpy(best.value)
    torch.testing.assert_close(layer.weight[0].detach(), wanted, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["first.weight", "hidden"])
def test_compare_trains_under_every_strategy(name):
    strategies = [sk.Unconstrained(), *STRATEGIES]
    found = sk.compare(task(constraints={name: SIMPLEX}), strategies, seeds=2, steps=60).frame
    rows = {label: part for label, part in found.groupby("strategy")}
    assert set(rows) == {s.label for s in STRATEGIES} | {"Unconstrained"}
    for label, part in rows.items():
        first, last = (list(part[part["step"] == at]["loss"]) for at in (0, 60))
        assert all(after < before for before, after in zip(first, last, strict=True)), label
    for strategy in [*HARD, sk.Freeze()] if name == "first.weight" else HARD:
        part = rows[strategy.label]
        assert max(part["violation"]) <= SIMPLEX.tolerance(DOUBLE)
        assert set(part["allowed"]) == {1.0}
        assert list(part["metric_held"]) == pytest.approx(list(part["metric"]))
    worst = {label: max(part[part["step"] == 60]["violation"]) for label, part in rows.items()}
    for strategy in (sk.Penalty(1.0), sk.AugmentedLagrangian()):
        assert worst[strategy.label] < worst["Unconstrained"] / 2


@every_strategy
@pytest.mark.parametrize("name", ["first.weight", "hidden"])
def test_hold_trains_under_every_strategy(name, strategy):
    torch.manual_seed(0)
    model, (x, y) = Net(), task().data.train
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    held = sk.hold(model, {name: SIMPLEX}, strategy, optimizer)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss + held.penalty()).backward()
        optimizer.step()
        losses.append(loss.item())
        if strategy in HARD:
            assert held.violation()[name] <= SIMPLEX.tolerance(DOUBLE)
    assert losses[-1] < losses[0]


@hard
@every_dtype
def test_a_held_layer_gives_shares_for_any_input(strategy, dtype):
    torch.manual_seed(0)
    model = Net().to(dtype)
    sk.hold(model, {"first": SIMPLEX}, strategy)
    x = torch.cat([normal(5000, 6), 1e3 * normal(4000, 6, seed=1), torch.zeros(1000, 6)]).to(dtype)
    passed: list[Tensor] = []
    model.hidden.register_forward_pre_hook(lambda module, args: passed.append(args[0]))
    for precision in (None, torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is not None):
            model(x)
    for value in passed:
        assert value.shape == (10_000, 8)
        assert (value >= 0).all()
        assert SIMPLEX.allows(value).all()
    assert len(passed) == 2
