"""Vectors from a list: the nearest by brute force, surrogate derivatives, training under them."""

import json
import pickle

import numpy as np
import pytest
import torch
from points import DOUBLE, Net, task
from torch import Tensor, nn

import shapekeeper as sk
from shapekeeper.constraints.tensor_value import TensorValue

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


def book(count: int, size: int, seed: int = 9) -> sk.Codebook:
    return sk.Codebook(normal(count, size, seed=seed, dtype=torch.float32))


def exactly(x: Tensor, codes: Tensor) -> np.ndarray:
    """Which code is nearest, in extended precision, event by event."""
    wide, all_codes = x.double().numpy().astype(np.longdouble), codes.double().numpy()
    return np.array([((row - all_codes) ** 2).sum(-1).argmin() for row in wide])


def assert_nearest(c: sk.Codebook, x: Tensor) -> None:
    codes = c.codes.to(x.dtype)
    assert torch.equal(c.project(x), codes[torch.from_numpy(exactly(x, codes))])


# The nearest


@every_dtype
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("count", "size"), [(1, 3), (3, 1), (50, 6), (600, 17)])
def test_the_nearest_code_is_that_of_brute_force(count, size, scale, dtype):
    assert_nearest(book(count, size), (scale * normal(300, size)).to(dtype))


@pytest.mark.parametrize(
    ("offset", "dtype"), [(1e3, torch.float32), (-1e5, torch.float32), (1e3, DOUBLE), (1e8, DOUBLE)]
)
def test_codes_far_from_zero_are_told_apart(offset, dtype):
    codes = (normal(200, 8, seed=3) + offset).to(dtype)
    assert_nearest(sk.Codebook(codes), (normal(300, 8) + offset).to(dtype))


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-11])
def test_codes_next_to_each_other_are_told_apart(gap):
    """From squares as large as 10 a difference of gap^2 can't be read."""
    base = normal(20, 5, seed=3)
    codes = torch.cat([base, base + gap * normal(20, 5, seed=4)])
    x = base + 0.5 * gap * normal(20, 5, seed=5)
    assert_nearest(sk.Codebook(codes), x)


def test_vectors_far_away_go_where_the_direction_says():
    """At 1e15 the codes lie below the last digit of a difference."""
    codes = normal(100, 4, seed=3)
    for scale in (1e6, 1e12, 1e15, 1e18):
        x = scale * normal(200, 4)
        away = (x / scale) @ codes.T  # what |c|^2 adds is nothing beside
        assert torch.equal(sk.Codebook(codes).project(x), codes[away.argmax(-1)])


def test_a_large_codebook_and_many_events():
    c = book(8192, 64)
    x = normal(1500, 64, dtype=torch.float32)  # more than are looked at in one go
    found = c.project(x)
    codes = c.codes.float()
    some = torch.arange(0, 1500, 97)
    wanted = codes[torch.from_numpy(exactly(x[some], codes))]
    assert torch.equal(found[some], wanted)
    assert (c.violation(found) == 0).all()
    assert c.allows(codes).all()


def test_codes_come_back_as_stored():
    codes = torch.tensor([[0.1, -0.7], [1e-8, 3e7]], dtype=torch.float32)
    c = sk.Codebook(codes)
    assert torch.equal(c.project(codes + 1e-3), codes)
    assert torch.equal(c.from_free(codes + 1e-3), codes)
    x = torch.cat([1e4 * normal(50, 2, dtype=torch.float32), torch.zeros(1, 2)])
    for function in (c.project, c.from_free):
        assert (function(x).unsqueeze(1) == codes).all(-1).any(-1).all()


def test_violation_and_penalty_are_distance_and_its_square():
    c = sk.Codebook([[0.0, 0.0], [10.0, 0.0]])
    x = torch.tensor([[3.0, 4.0], [10.0, -2.0], [10.0, 0.0]])
    assert c.violation(x).tolist() == [5.0, 2.0, 0.0]
    assert c.penalty(x).tolist() == [25.0, 4.0, 0.0]
    x.requires_grad_()
    (grad,) = torch.autograd.grad(c.penalty(x).sum(), x)
    assert grad.tolist() == [[6.0, 8.0], [0.0, -4.0], [0.0, 0.0]]
    (grad,) = torch.autograd.grad(c.violation(x).sum(), x)
    torch.testing.assert_close(grad, torch.tensor([[0.6, 0.8], [0.0, -1.0], [0.0, 0.0]]))


def test_between_two_codes_far_from_zero_nothing_is_allowed():
    c = sk.Codebook([[1e6], [1e6 + 1]])
    x = torch.tensor([[1e6], [1e6 + 0.5], [1e6 + 1]])
    assert c.allows(x).tolist() == [True, False, True]
    assert c.allows(c.codes + 1e-10).all()


# Surrogates


def test_the_derivative_of_project_is_the_identity():
    x = normal(5, 3)
    jacobian = torch.func.vmap(torch.func.jacrev(book(9, 3).project))(x)
    assert torch.equal(jacobian, torch.eye(3, dtype=DOUBLE).expand(5, 3, 3))


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_derivative_of_the_chart_is_that_of_the_weighted_mean(offset):
    codes, x, along = normal(9, 3, seed=2) + offset, normal(5, 3) + offset, normal(5, 3, seed=8)
    c = sk.Codebook(codes)
    x.requires_grad_()
    (found,) = torch.autograd.grad((c.from_free(x) * along).sum(), x)
    weights = torch.softmax(-torch.cdist(x, codes).square(), -1)
    (wanted,) = torch.autograd.grad((weights @ codes * along).sum(), x)
    torch.testing.assert_close(found, wanted)
    assert (found - along).abs().max() > 0.1, "that of project, then"
    assert torch.equal(c.from_free(x), c.project(x))


def test_autocast_leaves_the_derivative_and_the_code_as_they_are():
    c, x = book(100, 8), normal(40, 8, dtype=torch.float32).requires_grad_()
    along = normal(40, 8, seed=1, dtype=torch.float32)

    plain = c.from_free(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = c.from_free(x)
        assert torch.equal(c.project(x), plain)
    assert torch.equal(mixed, plain)
    pulls = [torch.autograd.grad((value * along).sum(), x)[0] for value in (mixed, plain)]
    assert torch.equal(*pulls)


@pytest.mark.parametrize("name", ["project", "from_free", "penalty", "violation"])
def test_a_codebook_nobody_has_asked_yet_may_be_compiled(name):
    torch._dynamo.reset()
    asked, fresh = book(30, 3), book(30, 3)
    x = normal(7, 3, dtype=torch.float32).requires_grad_()
    wanted = getattr(asked, name)(x)
    compiled = torch.compile(getattr(fresh, name), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted)
    torch.testing.assert_close(getattr(fresh, name)(x), wanted)
    torch._dynamo.reset()


def test_numbers_that_are_lost_leave_other_events_alone():
    c, x = book(9, 3), normal(4, 3)
    x[1, 2], x[2, 0] = torch.nan, torch.inf
    sound = torch.tensor([True, False, False, True])
    for function in (c.project, c.from_free):
        assert torch.equal(c.allows(function(x)), sound)
        assert torch.equal(function(x)[sound], function(x[sound]))


def test_samples_take_every_code_alike():
    c = sk.Codebook([[0.0], [1.0], [5.0]])
    draw = c.sample((9000, 1), torch.Generator().manual_seed(1))
    shares = [(draw == code).float().mean().item() for code in (0.0, 1.0, 5.0)]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)


def test_one_code_is_all_there_is():
    c = sk.Codebook([[0.0, 0.0]])
    x = normal(4, 2)
    for found in (c.project(x), c.from_free(x), c.sample((4, 2))):
        assert not found.any()
    torch.testing.assert_close(c.violation(x), x.norm(dim=-1))
    assert c.scale == 1


# The value


def test_codes_come_as_whatever_people_have():
    rows = [[0, 1], [-1, 0.5]]
    forms = [rows, np.array(rows), torch.tensor(rows), torch.tensor(rows).to(torch.bfloat16)]
    assert len({sk.Codebook(form) for form in forms}) == 1
    assert sk.Codebook([[0.0, 1.0]]) == sk.Codebook([[-0.0, 1.0]])
    given = torch.tensor(rows)
    c = sk.Codebook(given)
    given[0, 0] = 7
    c.codes[0, 0] = 7
    assert c.codes.tolist() == rows
    assert repr(c) == "Codebook([[0.0, 1.0], [-1.0, 0.5]])"


def test_a_large_codebook_is_short_in_print_and_whole_in_json_and_pickle():
    c = book(600, 9)
    assert repr(c).startswith("Codebook(‹600×9, ")
    assert sk.Constraint.from_json(json.loads(json.dumps(c.to_json()))) == c
    c.project(normal(2, 9))
    assert pickle.loads(pickle.dumps(c)) == c
    assert isinstance(c.__getstate__()["_codes"], TensorValue)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([], r"at least one code.*\(count, size\), got shape \(0,\)"),
        (np.zeros((0, 3)), r"at least one code.*got shape \(0, 3\)"),
        (np.zeros((3, 0)), r"got shape \(3, 0\)"),
        ([1.0, 2.0], r"got shape \(2,\).*numpy\.reshape\(codes, \(-1, 1\)\)"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        ([["a"]], "numbers for codes, got entries of type"),
        ([[1j]], "numbers for codes, got entries of type complex128"),
        ([[1.0], [1.0, 2.0]], "codes of one size, got rows that differ"),
        ([[0.0], [float("nan")], [float("inf")]], r"finite codes, got others in rows 1, 2\."),
        ([[1, 2], [3, 4], [1, 2]], r"codes that differ, got equal rows 0 and 2; numpy\.unique"),
        ([[0.0], [-0.0]], "equal rows 0 and 1;"),
        ([[7]] * 9, r"0 and 1, 0 and 2, 0 and 3, 0 and 4, 0 and 5 and 3 more;"),
        ([[1], [1], [float("nan")]], r"finite codes, .* rows 2\. Wanted codes that differ.* 0 and"),
    ],
)  # fmt: skip
def test_codes_that_cannot_be(codes, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Codebook(codes)


def test_another_size_is_refused():
    c = book(9, 3)
    words = r"last axes are \(3,\), as each code has, got \(5, 4\)"
    for refuse in (c.check, lambda shape: c.project(torch.zeros(shape)), c.sample):
        with pytest.raises(sk.ConstraintError, match=words):
            refuse((5, 4))


# Training


def constrained(name: str) -> sk.Codebook:
    """Codes of the size that the weight's rows or the layer's value have."""
    return sk.Codebook(0.5 * normal(40, 6 if name == "first.weight" else 8, seed=6))


@pytest.mark.parametrize("name", ["first.weight", "hidden"])
def test_compare_trains_under_every_strategy(name):
    c, strategies = constrained(name), [sk.Unconstrained(), *STRATEGIES]
    found = sk.compare(task(constraints={name: c}), strategies, seeds=2, steps=80).frame
    rows = {label: part for label, part in found.groupby("strategy")}
    assert set(rows) == {s.label for s in strategies}
    for label, part in rows.items():
        first, last = (list(part[part["step"] == at]["loss"]) for at in (0, 80))
        assert all(after < before for before, after in zip(first, last, strict=True)), label
    for strategy in [*HARD, sk.Freeze()] if name == "first.weight" else HARD:
        part = rows[strategy.label]
        assert set(part["violation"]) == {0.0}
        assert set(part["allowed"]) == {1.0}
        assert list(part["metric_held"]) == list(part["metric"])
    worst = {label: max(part[part["step"] == 80]["violation"]) for label, part in rows.items()}
    for strategy in (sk.Penalty(1.0), sk.AugmentedLagrangian()):
        assert 0 < worst[strategy.label] < worst["Unconstrained"]


@every_strategy
@pytest.mark.parametrize("name", ["first.weight", "hidden"])
def test_hold_trains_under_every_strategy(name, strategy):
    torch.manual_seed(0)
    model, (x, y) = Net(), task().data.train
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    held = sk.hold(model, {name: constrained(name)}, strategy, optimizer)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss + held.penalty()).backward()
        optimizer.step()
        losses.append(loss.item())
        if strategy in HARD:
            assert held.violation() == {name: 0.0}
    assert losses[-1] < losses[0]


def test_free_numbers_carry_a_weight_to_the_best_code_where_short_steps_do_not():
    corners = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0]))
    goal, ends = torch.tensor([[1.5, -1.5]]), {}
    for strategy in HARD:
        layer = nn.Linear(2, 1, bias=False)
        nn.init.constant_(layer.weight, -0.9)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        sk.hold(layer, {"weight": sk.Codebook(corners)}, strategy, optimizer)
        for _ in range(200):
            optimizer.zero_grad()
            (layer(torch.eye(2)).T - goal).square().sum().backward()
            optimizer.step()
        ends[strategy.label] = layer.weight.detach().tolist()
    assert ends == {"Projection": [[-1.0, -1.0]], "Reparametrization": [[1.0, -1.0]]}


@hard
@every_dtype
def test_a_held_layer_gives_codes_for_any_input(strategy, dtype):
    torch.manual_seed(0)
    model, c = Net().to(dtype), constrained("first")
    sk.hold(model, {"first": c}, strategy)
    x = torch.cat([normal(5000, 6), 1e3 * normal(4000, 6, seed=1), torch.zeros(1000, 6)]).to(dtype)
    passed: list[Tensor] = []
    model.hidden.register_forward_pre_hook(lambda module, args: passed.append(args[0]))
    for mixed in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            model(x)
    assert len(passed) == 2
    for value in passed:
        assert value.shape == (10_000, 8)
        codes = {tuple(row) for row in c.codes.to(value.dtype).tolist()}
        said = {tuple(row) for row in value.tolist()}
        assert said <= codes
        assert len(said) > 5
