"""Constrained Langevin dynamics as a strategy: its steps, in `compare`, and in a loop of one's own.

What it samples is in `test_sampler.py`.
"""

import copy
import io
import json
import pickle
import subprocess
import sys
from functools import partial
from math import asin, exp, pi, sin
from pathlib import Path

import langevin_processes
import pytest
import torch
from comparisons import assert_same, assert_same_weights
from points import CLOSED, DOUBLE, Net, points, task
from test_one_program import assert_as_alone
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare import checkpoint
from shapekeeper.compare.run import Run
from shapekeeper.randomness import Noise

COLD = sk.ConstrainedLangevin(0.1)
COLD_BALL = sk.ConstrainedLangevin(0.2, friction=0.5)
WARM = sk.ConstrainedLangevin(0.05, temperature=1e-3)
WARM_BALL = sk.ConstrainedLangevin(0.2, temperature=1e-3, friction=0.5)
WALKS = [COLD, WARM, COLD_BALL, WARM_BALL]
BAND = sk.FilterShape.bandlimited(0.5, attenuation_db=20)
SETS = {
    "circle": sk.Circle(0.8),
    "connections": CLOSED,
    "connections on circles": sk.Circle(0.8) & CLOSED,
    "sphere": sk.Sphere(0.7),
    "sphere, cut": sk.Sphere(0.7) & sk.Connections(torch.ones(8, 6).tril(2)),
    "orthogonal": sk.Orthogonal(),
}

walks = pytest.mark.parametrize("walk", WALKS, ids=lambda s: s.label)
warm = pytest.mark.parametrize("walk", [WARM, WARM_BALL], ids=lambda s: s.label)
cold = pytest.mark.parametrize("walk", [COLD, COLD_BALL], ids=lambda s: s.label)
sets = pytest.mark.parametrize("c", SETS.values(), ids=SETS.keys())


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def steps(walk, c, start, slope, count, temperature=None):
    """Leaf and memory after each step; noise from fixed seeds."""
    leaf, memory = walk.begin(c, start)
    leaf = leaf.clone()
    for i in range(count):
        noise = draw(*leaf.shape, seed=i, dtype=leaf.dtype) if walk.noisy else None
        leaf = walk.advance(c, leaf, slope(leaf), memory, noise)
        yield leaf, memory


def last(generator):
    *_, end = generator
    return end[0]


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walk", "words"),
    [
        (COLD, "ConstrainedLangevin 0.1"),
        (WARM, "ConstrainedLangevin 0.05 τ=0.001"),
        (COLD_BALL, "ConstrainedLangevin 0.2 γ=0.5"),
        (WARM_BALL, "ConstrainedLangevin 0.2 τ=0.001 γ=0.5"),
        (sk.ConstrainedLangevin(1), "ConstrainedLangevin 1"),
    ],
)
def test_a_value(walk, words):
    assert walk.label == words
    assert sk.Strategy.from_json(json.loads(json.dumps(walk.to_json()))) == walk
    assert pickle.loads(pickle.dumps(walk)) == walk
    assert eval(repr(walk), vars(sk)) == walk
    assert walk.guarantee == "structural"
    assert walk.output_guarantee == "none"


def test_sweeps():
    walk = sk.ConstrainedLangevin([0.1, 0.2], temperature=[0.0, 1e-3], friction=0.5)
    assert [s.label for s in walk.variants()] == [
        "ConstrainedLangevin 0.1 γ=0.5",
        "ConstrainedLangevin 0.1 τ=0.001 γ=0.5",
        "ConstrainedLangevin 0.2 γ=0.5",
        "ConstrainedLangevin 0.2 τ=0.001 γ=0.5",
    ]
    assert sk.Strategy.from_json(json.loads(json.dumps(walk.to_json()))).variants() == (
        walk.variants()
    )


def test_a_sweep_over_whether_there_is_friction():
    walk = sk.ConstrainedLangevin(0.1, friction=[None, 0.5])
    assert walk.variants() == [sk.ConstrainedLangevin(0.1), sk.ConstrainedLangevin(0.1, 0.0, 0.5)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sk.ConstrainedLangevin(0.0), "a finite step_size above 0, got 0.0"),
        (lambda: sk.ConstrainedLangevin(-0.1), "a finite step_size above 0, got -0.1"),
        (lambda: sk.ConstrainedLangevin(float("inf")), "step_size above 0, got inf"),
        (lambda: sk.ConstrainedLangevin(float("nan")), "step_size above 0, got nan"),
        (lambda: sk.ConstrainedLangevin("big"), "step_size above 0, got 'big'"),
        (lambda: sk.ConstrainedLangevin([0.1, -1.0]), "step_size above 0, got -1.0"),
        (lambda: sk.ConstrainedLangevin(0.1, -1e-3), "temperature from 0 up, got -0.001"),
        (lambda: sk.ConstrainedLangevin(0.1, float("inf")), "temperature from 0 up, got inf"),
        (lambda: sk.ConstrainedLangevin(0.1, None), "temperature from 0 up, got None"),
        (
            lambda: sk.ConstrainedLangevin(0.1, friction=0.0),
            "a finite friction above 0, or None for no momenta, got 0.0",
        ),
        (lambda: sk.ConstrainedLangevin(0.1, friction=-1.0), "or None for no momenta, got -1.0"),
        (
            lambda: sk.ConstrainedLangevin(-1.0, -2.0, -3.0),
            "step_size.*got -1.0.*temperature.*got -2.0.*friction.*got -3.0",
        ),
        (
            lambda: sk.Stage(1.0, COLD, rate=0.5),
            "ConstrainedLangevin takes its own steps: wanted rate=1 and another step_size, got "
            "rate=0.5",
        ),
    ],
)
def test_bad_settings(make, words):
    with pytest.raises(sk.StrategyError, match=words):
        make()


PRESET = sk.Connections([[1, 1]], fixed=[[0, 0.5]])
EDGED = {
    "Box": sk.Box(-1.0, 1.0),
    "NonNegative": sk.NonNegative(),
    "Signs": sk.Signs([[1, -1]]),
    "SpectralNorm": sk.SpectralNorm(1.0),
    "FilterShape": sk.FilterShape.lowpass(0.2, 0.5, attenuation_db=15),
    "Intersection": sk.Connections([[1, 0]]) & sk.NonNegative(),
    "Intersection of two": sk.Circle(1.0) & PRESET,
}


@pytest.mark.parametrize("name", EDGED)
def test_sets_with_edges_are_refused_and_told_what_is_not(name):
    words = f"^{name.split()[0]} has edges, and ConstrainedLangevin moves along sets without: "
    rest = r"Circle .*Connections, FilterShape.bandlimited, Orthogonal and Sphere.*and RejectionE"
    c = EDGED[name]
    shape = (1, 1, 31) if name == "FilterShape" else (1, 1, 2)
    with pytest.raises(sk.StrategyError, match=words + rest):
        COLD.begin(c, c.project(torch.zeros(shape)))
    assert c.surface is None


def test_presets_stay():
    end = last(steps(WARM, PRESET, PRESET.project(torch.zeros(1, 1, 2)), torch.ones_like, 50))
    assert end[0, 0, 1] == 0.5
    assert end[0, 0, 0] < -1


# -- cold steps are gradient descent --------------------------------------------------------------

CURVE = draw(5, 4, seed=9).square() + 0.2  # a curvature for each number
REST = draw(5, 4, seed=8)


def bowl(x: torch.Tensor) -> torch.Tensor:
    return CURVE * (x - REST)


def by_optimizer(optimizer, start, mask=1.0, count=50):
    leaf = nn.Parameter(start.clone())
    taking = optimizer([leaf])
    for _ in range(count):
        leaf.grad = bowl(leaf.detach()) * mask
        taking.step()
    return leaf.detach()


def test_unbound_numbers_take_the_steps_of_sgd():
    wanted = by_optimizer(partial(torch.optim.SGD, lr=0.1), draw(5, 4))
    found = last(steps(COLD, None, draw(1, 5, 4), bowl, 50))
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("h", "friction"), [(0.2, 0.5), (0.3, 1.0), (0.1, 1e-3)])
def test_with_friction_they_take_those_of_a_heavy_ball_from_the_first_on(h, friction):
    """Momentum k at learning rate h^2 (1 + k) / 2: kick, then both halves of the drift.

    Of `b = k b + g`, `w = w - lr b` with `b = g` at first, as torch has it, b is `-p / h` after
    the kick, and `h (1 + k) / 2` is how long a ball rolls at the speed that it has then.
    """
    k = exp(-friction * h)
    ball = partial(torch.optim.SGD, lr=h**2 * (1 + k) / 2, momentum=k)
    walk = sk.ConstrainedLangevin(h, friction=friction)
    leaves = [leaf.clone() for leaf, _ in steps(walk, None, draw(1, 5, 4), bowl, 50)]
    for count in (1, 2, 50):
        wanted = by_optimizer(ball, draw(5, 4), count=count)
        torch.testing.assert_close(leaves[count - 1][0], wanted, rtol=0, atol=1e-12)


@cold
def test_closed_connections_are_projected_descent(walk):
    c = sk.Connections(torch.eye(5, 4) + torch.ones(5, 4).tril(-2))
    optimizer = partial(torch.optim.SGD, lr=0.1)
    if walk.friction:
        k = exp(-walk.friction * walk.step_size)
        optimizer = partial(torch.optim.SGD, lr=walk.step_size**2 * (1 + k) / 2, momentum=k)
    start = c.project(draw(5, 4))
    wanted = by_optimizer(optimizer, start, mask=c.mask)
    found = last(steps(walk, c, start[None], bowl, 50))
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-12)
    assert (found[:, ~c.mask] == 0).all()


@pytest.mark.parametrize("friction", [None, 1.0])
def test_on_a_circle_a_number_is_braked_near_the_ends(friction):
    """dw = -lr (1 - w^2 / r^2) grad: -0.64 lr at w = 0.6, r = 1, and gradient 1."""
    h = 1e-4
    walk = sk.ConstrainedLangevin(h, friction=friction)
    lr = h if friction is None else h**2 * (1 + exp(-friction * h)) / 2
    start = torch.tensor([[0.6]], dtype=DOUBLE)
    found = last(steps(walk, sk.Circle(1.0), start, torch.ones_like, 1))
    assert (found.item() - 0.6) / lr == pytest.approx(-0.64, abs=1e-4)
    # Exactly, an angle is turned by what the gradient is along the circle.
    assert found.item() == pytest.approx(sin(asin(0.6) - 0.8 * lr), abs=1e-15)


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_a_circle_of_any_radius_has_lengths_along_it(radius):
    start = torch.tensor([[0.6 * radius]], dtype=DOUBLE)
    found = last(steps(sk.ConstrainedLangevin(1e-5), sk.Circle(radius), start, torch.ones_like, 1))
    assert (found.item() - 0.6 * radius) / 1e-5 == pytest.approx(-0.64, abs=1e-4)


def test_on_a_sphere_a_step_has_the_length_of_the_gradient_along_it():
    sphere, start = sk.Sphere(2.0), draw(1, 7, seed=4)
    start = sphere.project(start)
    grad = draw(1, 7, seed=5)
    found = last(steps(COLD, sphere, start, lambda x: grad, 1))
    along = sphere.tangent(start, grad)
    angle = 0.1 * along.norm() / 2
    wanted = start * angle.cos() - along * (2 / along.norm()) * angle.sin()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7)])
def test_on_orthogonal_matrices_a_step_ends_at_the_nearest_one(shape):
    c, grad = sk.Orthogonal(), draw(1, *shape, seed=5)
    start = c.project(draw(1, *shape, seed=4))
    found = last(steps(COLD, c, start, lambda x: grad, 1))
    u, _, v = torch.linalg.svd(start - 0.1 * c.tangent(start, grad), full_matrices=False)
    torch.testing.assert_close(found, u @ v, rtol=0, atol=1e-13)


@cold
@pytest.mark.parametrize("name", ["circle", "sphere", "orthogonal"])
def test_cold_walks_come_to_rest_at_the_nearest_value(walk, name):
    """Of `|x - a|^2 / 2`, whose lowest point on a set is the projection of a."""
    c, a = SETS[name], 0.5 * draw(1, 8, 6, seed=3)
    if name == "orthogonal":
        a = c.project(a) + 0.1 * draw(1, 8, 6, seed=4)
    start = c.project(a + 0.2 * draw(1, 8, 6, seed=2))
    end = last(steps(walk, c, start, lambda x: x - a, 3000))
    inside = c.project(a)
    near = (inside.abs() < 0.79) if name == "circle" else torch.ones_like(a, dtype=torch.bool)
    torch.testing.assert_close(end[near], inside[near], rtol=0, atol=1e-8)
    # At the end of a circle there is no slope along it: what rests beyond is come to slowly.
    torch.testing.assert_close(end, inside, rtol=0, atol=2e-2)


# -- slips ----------------------------------------------------------------------------------------


def test_ten_thousand_turns_leave_the_radius():
    """Next to no friction: an angle grows by h v / r in each step, for ever."""
    walk, circle = sk.ConstrainedLangevin(0.1, friction=1e-18), sk.Circle(2.0)
    leaf, memory = walk.begin(circle, torch.tensor([[0.5]], dtype=DOUBLE))
    memory["momentum"][:] = 2.0
    for i in range(1, 10_001):
        leaf = walk.advance(circle, leaf, torch.zeros_like(leaf), memory, None)
        if i % 1000 == 0:
            assert leaf.item() == pytest.approx(2 * sin(asin(0.25) + 0.1 * i), abs=1e-9)


def test_ten_thousand_turns_of_a_sphere():
    walk, sphere = sk.ConstrainedLangevin(0.1, friction=1e-18), sk.Sphere(2.0)
    leaf, memory = walk.begin(sphere, torch.tensor([[2.0, 0.0, 0.0]], dtype=DOUBLE))
    memory["momentum"][:] = torch.tensor([0.0, 2.0, 0.0])
    for _ in range(10_000):
        leaf = walk.advance(sphere, leaf, torch.zeros_like(leaf), memory, None)
    wanted = 2 * torch.tensor([[1000.0], [1000.0 - pi / 2], [0.0]], dtype=DOUBLE).cos().T
    torch.testing.assert_close(leaf[:, :2], wanted[:, :2], rtol=0, atol=1e-9)
    assert leaf[0, 2] == 0


def test_one_gradient_a_step_taken_where_the_network_is():
    """Or momentum would read what a weight was before it moved."""
    torch.manual_seed(0)
    model = Net()
    held, x, seen = sk.hold(model, {"first.weight": sk.Circle(0.8)}, COLD_BALL), points().train, []
    q, memory = COLD_BALL.begin(sk.Circle(0.8), model.first.weight.detach()[None].clone())
    memory = {name: tensor.clone() for name, tensor in memory.items()}
    for _ in range(10):
        held.optimizer.zero_grad()
        F.cross_entropy(model(x[0]), x[1]).backward()
        seen.append(model.first.weight.detach().clone())
        # A second backward pass by hand, at the very weights that the step starts from.
        weight = q[0].clone().requires_grad_()
        hidden = torch.tanh(F.linear(x[0], weight, model.first.bias.detach()))
        outputs = F.linear(hidden, model.last.weight.detach(), model.last.bias.detach())
        (grad,) = torch.autograd.grad(F.cross_entropy(outputs, x[1]), weight)
        q = COLD_BALL.advance(sk.Circle(0.8), q.clone(), grad[None], memory, None)
        held.optimizer.step()
        torch.testing.assert_close(model.first.weight.detach(), q[0], rtol=0, atol=1e-14)
    assert not torch.equal(seen[0], seen[-1])


# -- the set is never left ------------------------------------------------------------------------

SIZES = [1e-2, 2.0, 50.0]  # of a step, in units of the set: from 1 on many searches diverge
TEMPERATURES = [0.0, 1.0]
FRICTIONS = [None, 1.0]


def wandering(c, start, size, temperature, friction, count):
    """Steps of about a size, whatever the gradient is for: it is drawn anew each time."""
    h = 0.1
    walk = sk.ConstrainedLangevin(h, temperature * size**2, friction)
    unit = size / (h if friction is None else h**2)

    def slope(x):
        slope.count += 1
        return unit * draw(*x.shape, seed=slope.count % 97, dtype=x.dtype) / x[0].numel() ** 0.5

    slope.count = 0
    return steps(walk, c, start, slope, count)


@pytest.mark.parametrize("friction", FRICTIONS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("size", SIZES)
class TestEveryStep:
    def test_on_circles(self, size, temperature, friction):
        circle = sk.Circle(0.3)
        start = circle.project(draw(1, 20, seed=100, dtype=torch.float32))
        worst = torch.zeros(())
        for leaf, memory in wandering(circle, start, size, temperature, friction, 1000):
            squares = (leaf.square() + circle.slack(memory["position"]).square()) / 0.3**2
            worst = torch.maximum(worst, (squares - 1).abs().max())
            assert leaf.abs().max() <= 0.3
        assert worst <= 1e-6

    def test_on_spheres(self, size, temperature, friction):
        sphere = sk.Sphere(5.0)
        start = sphere.project(draw(1, 4, 30, seed=100, dtype=torch.float32))
        worst = tilt = torch.zeros(())
        for leaf, memory in wandering(sphere, start, size, temperature, friction, 1000):
            worst = torch.maximum(worst, sphere.violation(leaf).max() / 5)
            if friction:
                p = memory["momentum"]
                angle = (p * leaf).sum(-1).abs() / (5 * p.norm(dim=-1))
                tilt = torch.maximum(tilt, angle.max())
        assert worst <= 1e-6
        assert tilt <= 1e-6

    def test_on_orthogonal_matrices(self, size, temperature, friction):
        c = sk.Orthogonal()
        start = c.project(draw(1, 100, 100, seed=100, dtype=torch.float32))
        worst = tilt = torch.zeros(())
        for leaf, memory in wandering(c, start, 10 * size, temperature, friction, 60):
            worst = torch.maximum(worst, c.violation(leaf).max())
            if friction:
                p = memory["momentum"]
                inner = leaf.mT @ p
                tilt = torch.maximum(tilt, (inner + inner.mT).abs().max() / p.abs().max())
        assert worst <= 3e-6
        assert tilt <= 1e-5


@pytest.mark.parametrize("c", [sk.Circle(0.3), sk.Sphere(5.0)], ids=repr)
def test_ten_thousand_hot_steps(c):
    start = c.project(draw(1, 20, seed=100, dtype=torch.float32))
    for leaf, memory in wandering(c, start, 2.0, 1.0, 1.0, 10_000):
        slack = c.slack(memory["position"]) if isinstance(c, sk.Circle) else 0
        size = (leaf.square() + slack**2) if isinstance(c, sk.Circle) else leaf.square().sum(-1)
        assert (size / c.radius**2 - 1).abs().max() <= 1e-6


def test_orthogonal_at_every_one_of_five_hundred_steps():
    c = sk.Orthogonal()
    start = c.project(draw(1, 100, 100, seed=100, dtype=torch.float32))
    for leaf, _ in wandering(c, start, 0.5, 1e-2, 1.0, 500):
        assert c.violation(leaf).max() <= 3e-6


# -- in compare -----------------------------------------------------------------------------------

SEEDS, STEPS = 3, 20
BOUND = {name: partial(task, constraints={"first.weight": c}) for name, c in SETS.items()}
BOUND["two weights"] = partial(
    task, constraints={"first.weight": sk.Circle(0.8), "last.weight": sk.Orthogonal()}
)
bindings = pytest.mark.parametrize("name", BOUND)


@bindings
def test_sweeps_and_company_change_nothing(name):
    """Rows of one tensor, in a pass shared with others, as each would be alone."""
    strategies = [
        sk.ConstrainedLangevin([0.05, 0.1], temperature=[0.0, 1e-3]),
        sk.ConstrainedLangevin(0.2, temperature=[0.0, 1e-4], friction=[0.5, 1.0]),
        sk.Projection(),
    ]
    company = sk.compare(BOUND[name](), strategies, seeds=SEEDS, steps=STEPS)
    alone = [
        sk.compare(BOUND[name](), [one], seeds=SEEDS, steps=STEPS)
        for strategy in strategies
        for one in strategy.variants()
    ]
    assert len(company.strategies) == 9
    assert_as_alone(company, alone, 1e-9)
    assert not company.frame["diverged"].any()
    assert company.frame["violation_peak"].max() < 1e-12


def test_noise_of_all_strategies_is_the_same_and_heats():
    """Common random numbers: a comparison of temperatures is not one of luck."""
    pair = sk.ConstrainedLangevin(0.1, temperature=[1e-6, 4e-6])
    cold = sk.compare(task(), [COLD], seeds=2, steps=1).tensors[COLD.label]["last.weight"]
    found = sk.compare(task(), [pair], seeds=2, steps=1).tensors
    one, two = (found[s.label]["last.weight"] - cold for s in pair.variants())
    assert one.std() == pytest.approx((2 * 1e-6 * 0.1) ** 0.5, rel=0.3)
    torch.testing.assert_close(two, 2 * one, rtol=1e-6, atol=1e-12)
    assert not torch.allclose(one[0], one[1]), "seeds differ"


@pytest.mark.parametrize("name", ["circle", "orthogonal", "two weights"])
def test_seeds_together_as_one_by_one(name):
    together = sk.compare(BOUND[name](), WALKS, seeds=SEEDS, steps=STEPS)
    for i in range(SEEDS):
        one = sk.compare(BOUND[name](), WALKS, seeds=[i], steps=STEPS)
        for label, tensors in one.tensors.items():
            for key, tensor in tensors.items():
                other = together.tensors[label][key][i]
                torch.testing.assert_close(other, tensor[0], rtol=1e-9, atol=1e-9)


def test_not_batched_as_batched():
    one, other = (
        sk.compare(BOUND["two weights"](), WALKS, seeds=2, steps=STEPS, batched=batched)
        for batched in (True, False)
    )
    assert_same_weights(other, one, bound=1e-9)


@pytest.fixture
def always(monkeypatch):
    """Save after each step."""
    monkeypatch.setattr(checkpoint, "AT_LEAST", 0)
    monkeypatch.setattr(checkpoint, "SPARED", 0)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["circle", "two weights"])
def test_a_new_run_for_each_step_as_one_run(tmp_path, name):
    """Noise is a function of seed, name and step: nothing is held open between steps."""
    pair = sk.ConstrainedLangevin([0.1, 0.2], temperature=1e-3, friction=0.5)
    staged = sk.Staged(sk.Stage(0.4, sk.Penalty(0.1)), sk.Stage(0.6, WARM))
    settings = {"seeds": 2, "steps": 8}
    wanted = sk.compare(BOUND[name](), [pair, WARM, staged], **settings)
    for at in range(9):
        run = Run(BOUND[name](), [pair, WARM, staged], **settings, checkpoint=tmp_path)
        for progress in run.train():
            if progress.step == at:
                break
        assert run.step == at
    assert run.finished
    assert_same(run.comparison(), wanted, bound=0.0)


def test_in_two_processes_as_in_one():
    one, two = (
        sk.compare(BOUND["two weights"](), WALKS, seeds=2, steps=STEPS, n_jobs=jobs)
        for jobs in (1, 2)
    )
    assert_same(two, one, bound=1e-9)
    assert two.notes == one.notes


def test_it_begins_late_at_an_allowed_value():
    """The penalty has left the circle; the walk begins at the nearest value, at rest."""
    staged = sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, WARM_BALL))
    tight = task(
        constraints={"first.weight": sk.Circle(0.41)},
        optimizer=partial(torch.optim.SGD, lr=1.0),
    )
    found = sk.compare(tight, [staged, sk.Unconstrained()], seeds=2, steps=40)
    late = found.frame[found.frame["strategy"] == staged.label]
    assert (late[late["step"] == 20]["violation"] > 0.01).all(), "or nothing was to be done"
    assert (late[late["step"] > 20]["violation"] == 0).all()
    assert not late["diverged"].any()
    assert any("takes its own steps, of all tensors" in note for note in found.notes)


def test_a_run_that_leaves_the_numbers_stays_at_its_last_finite_value():
    mild, wild = sk.ConstrainedLangevin([0.1, 1e200], friction=0.5).variants()
    alone = sk.compare(task(), [mild], seeds=2, steps=10)
    both = sk.compare(
        task(), [sk.ConstrainedLangevin([0.1, 1e200], friction=0.5)], seeds=2, steps=10
    )
    for name, tensor in alone.tensors[mild.label].items():
        torch.testing.assert_close(both.tensors[mild.label][name], tensor, rtol=0, atol=1e-12)
    for name, tensor in both.tensors[wild.label].items():
        assert tensor.isfinite().all(), name
    end = both.frame[both.frame["step"] == 10].set_index("strategy")["diverged"]
    assert end[wild.label].all()
    assert not end[mild.label].any()


@pytest.mark.parametrize("name", ["circle", "sphere", "orthogonal", "two weights"])
@walks
def test_a_gradient_that_is_no_number_spoils_its_own_run_alone(name, walk):
    """At step 3 the loss of one seed has none; its weights stay, in the set."""

    def loss(prediction, target):
        bad = target.float().mean() < -1e6
        return F.cross_entropy(prediction, target.clamp(min=0)) * torch.where(bad, torch.nan, 1.0)

    def data(poison):
        def of(seed):
            (x, y), test = points().train, points().test
            return sk.Data((x, torch.full_like(y, -(10**9)) if poison and seed == 1 else y), test)

        return of

    settings = {"seeds": [0, 1, 2], "steps": 6}
    sound, spoilt = (
        sk.compare(BOUND[name](loss=loss, data=data(poison)), [walk], **settings)
        for poison in (False, True)
    )
    for key, tensor in spoilt.tensors[walk.label].items():
        wanted = sound.tensors[walk.label][key]
        torch.testing.assert_close(tensor[[0, 2]], wanted[[0, 2]], rtol=0, atol=1e-12)
        assert tensor.isfinite().all()
        assert not torch.equal(tensor[1], wanted[1])
    for key, c in BOUND[name]().constraints.items():
        assert c.allows(spoilt.tensors[walk.label][key]).all()


@pytest.mark.parametrize("name", ["circle", "sphere", "orthogonal"])
@walks
def test_a_row_of_nan_leaves_the_other_rows(name, walk):
    c = SETS[name]
    start = c.project(draw(3, 8, 6))

    def slope(x):
        grad = draw(*x.shape, seed=77)
        return torch.where(torch.arange(3).view(3, 1, 1) == 1, torch.nan, grad)

    found = last(steps(walk, c, start, slope, 5))
    wanted = last(steps(walk, c, start, lambda x: draw(*x.shape, seed=77), 5))
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]], rtol=0, atol=1e-12)


def test_layers_have_no_steps():
    with pytest.raises(sk.StrategyError, match=r"moves weights, and \['hidden'\] are layers"):
        sk.compare(task(constraints={"hidden": sk.Box(-1, 1)}), [COLD], seeds=1, steps=2)


def test_the_optimizer_of_the_task_is_not_asked():
    def refuse(parameters):
        raise AssertionError("asked")

    found = sk.compare(BOUND["circle"](optimizer=refuse), [WARM], seeds=1, steps=3)
    assert any("the optimizer of the task is not used" in note for note in found.notes)


def test_any_optimizer_of_a_task_is_refused_to_a_bound_weight():
    words = COLD.unfit(sk.Circle(), torch.optim.Adam([torch.zeros(1)]))
    assert words.startswith("ConstrainedLangevin takes the steps itself, so Adam must not.")


# -- in a loop of one's own -----------------------------------------------------------------------

X, Y = points().train
HELD = {"first.weight": sk.Circle(0.8), "last.weight": sk.Orthogonal()}


def begin(walk, constraints=HELD, make=Net, seed=0, **options):
    torch.manual_seed(seed)
    model = make()
    return model, sk.hold(model, constraints, walk, **options)


def train(model, held, count=3, x=X, y=Y, run=None):
    run = model if run is None else run
    for _ in range(count):
        held.optimizer.zero_grad()
        F.cross_entropy(run(x), y).backward()
        held.optimizer.step()


def same(a: nn.Module, b: nn.Module, atol: float = 0.0) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(x, y, rtol=0, atol=atol) for x, y in pairs)


def assert_held(model, constraints=HELD):
    for name, c in constraints.items():
        assert c.allows(model.get_parameter(name).detach()).all(), name


@pytest.mark.parametrize("name", ["circle", "connections", "sphere", "orthogonal", "two weights"])
@cold
def test_the_steps_of_compare(name, walk):
    bound = BOUND[name]()
    wanted = sk.compare(bound, [walk], seeds=1, steps=12)
    run = Run(bound, [walk], seeds=1, steps=12)
    batches = []
    for _ in zip(run.train(), range(12), strict=False):
        part = run.parts[0]
        batches.append([t[0].clone() for t in part.batch()])
    model = bound.start_model(0)
    held = sk.hold(model, bound.constraints, walk)
    for x, y in batches:
        train(model, held, 1, x, y)
    for key, tensor in wanted.tensors[walk.label].items():
        torch.testing.assert_close(model.get_parameter(key).detach(), tensor[0], rtol=0, atol=1e-12)


@walks
def test_every_trainable_parameter_moves_and_the_set_holds(walk):
    model, held = begin(walk)
    before = copy.deepcopy(model.state_dict())
    train(model, held, 20)
    for name, tensor in model.state_dict().items():
        assert not torch.equal(tensor, before[name]), name
    assert_held(model)
    assert held.violation()["first.weight"] == 0
    assert held.violation()["last.weight"] < 1e-12


@warm
def test_the_seed_of_torch_makes_runs_repeat(walk):
    (one, a), (two, b) = begin(walk), begin(walk)
    train(one, a, 5)
    train(two, b, 5)
    assert same(one, two)
    torch.manual_seed(0)
    other = Net()
    torch.manual_seed(1)
    train(other, sk.hold(other, HELD, walk), 5)
    assert not same(one, other, atol=1e-6)


@warm
def test_what_is_drawn_elsewhere_changes_nothing(walk):
    (one, a), (two, b) = begin(walk), begin(walk)
    for _ in range(4):
        train(one, a, 1)
        torch.rand(13)
        train(two, b, 1)
    assert same(one, two)


def test_nothing_bound_is_plain_sgld():
    """w' = w - h grad + sqrt(2 t h) R, with the R that seed, name and step give."""
    model, held = begin(WARM, {})
    noise = Noise([held.state_dict()["seed"]])
    for step in range(4):
        model.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        wanted = {
            name: p.detach()
            - 0.05 * p.grad
            + (2e-3 * 0.05) ** 0.5 * noise.at(step, name, p[None])[0]
            for name, p in model.named_parameters()
        }
        held.optimizer.step()
        for name, p in model.named_parameters():
            torch.testing.assert_close(p.detach(), wanted[name], rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", [1, -1], ids=["model first", "held first"])
@walks
def test_a_rebuilt_training_goes_on_alike(walk, order):
    model, held = begin(walk)
    train(model, held, 4)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, held, held.optimizer)], file)
    states = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed, its = begin(walk, seed=9)
    parts = [(resumed, states[0]), (its, states[1]), (its.optimizer, states[2])]
    for part, state in parts[::order]:
        part.load_state_dict(state)
    assert same(model, resumed)
    train(model, held, 4)
    train(resumed, its, 4)
    assert same(model, resumed)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "pickle"],
)
@walks
def test_copies_go_on_alike_and_alone(walk, duplicate):
    model, held = begin(walk)
    train(model, held, 3)
    twin = duplicate(model)
    its, before = sk.Held.of(twin, "first.weight"), copy.deepcopy(model.state_dict())
    train(twin, its, 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), "untouched"
    train(model, held, 3)
    assert same(model, twin)


@walks
def test_loaded_weights_are_where_it_goes_on(walk):
    """A circle's angle is found anew; momentum goes on."""
    (model, held), (other, its) = begin(walk), begin(walk, seed=4)
    train(model, held, 3)
    train(other, its, 3)
    model.load_state_dict(other.state_dict())
    assert same(model, other, atol=1e-12)
    start = copy.deepcopy(model.state_dict())
    train(model, held, 1)
    for name, tensor in model.state_dict().items():
        moved = (tensor - start[name]).abs().max()
        assert 0 < moved < 0.3, name
    assert_held(model)


def test_weights_that_are_not_allowed_come_in_projected():
    model, held = begin(WARM_BALL)
    with torch.no_grad():
        model.first.weight.fill_(5.0)
        model.last.weight.mul_(3.0)
    model(X)
    assert_held(model)
    # An end has no slope, so that nothing ever moved away from there: it begins a little inside.
    torch.testing.assert_close(model.first.weight.detach(), torch.full((8, 6), 0.7984).double())
    train(model, held, 2)
    assert_held(model)


def test_a_scheduler_changes_the_step():
    def moved(lr):
        model, held = begin(COLD, {})
        scheduler = torch.optim.lr_scheduler.LambdaLR(held.optimizer, lambda step: lr)
        before = model.last.bias.detach().clone()
        train(model, held, 1)
        assert scheduler.get_last_lr() == [0.1 * lr]
        return model.last.bias.detach() - before

    torch.testing.assert_close(moved(0.5), moved(1.0) / 2, rtol=1e-12, atol=0)
    assert (moved(0.0) == 0).all()


def test_a_schedule_that_begins_and_ends_at_nothing():
    """Steps of size 0 are steps: the noise of those after them is that of their number."""
    model, held = begin(WARM_BALL)
    scheduler = torch.optim.lr_scheduler.LambdaLR(held.optimizer, lambda step: (step == 1) * 1.0)
    before = copy.deepcopy(model.state_dict())
    moves = []
    for _ in range(3):
        train(model, held, 1)
        scheduler.step()
        moves.append(not torch.equal(model.last.bias, before["last.bias"]))
        before = copy.deepcopy(model.state_dict())
    assert moves == [False, True, False]
    assert held.state_dict()["step"] == 3


@pytest.mark.parametrize("setting", ["temperature", "friction"])
def test_an_annealed_setting(setting):
    model, held = begin(WARM_BALL)
    other, its = begin(WARM_BALL)
    its.optimizer.param_groups[0][setting] = 0.3
    train(model, held, 2)
    train(other, its, 2)
    assert not same(model, other, atol=1e-4)
    assert_held(other)


@pytest.mark.parametrize("c", [sk.Circle(0.8), sk.Sphere(0.7), sk.Orthogonal()], ids=repr)
@walks
def test_autocast_and_a_gradient_scaler(walk, c):
    held_sets = {"first.weight": c}
    model, held = begin(walk, held_sets, make=partial(Net, torch.float32))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for size in (1.0, float("inf"), 1.0):
        before = model.first.weight.detach().clone()
        held.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(X.float()), Y) * size
        scaler.scale(loss).backward()
        scaler.step(held.optimizer)
        scaler.update()
        assert torch.equal(model.first.weight, before) == (size != 1.0)
        assert model.first.weight.dtype == torch.float32
        assert_held(model, held_sets)


@walks
def test_compiled_code_takes_the_same_steps(walk):
    torch._dynamo.reset()
    (plain, held), (model, its) = begin(walk), begin(walk)
    run = torch.compile(model, backend="aot_eager", fullgraph=True)
    train(plain, held, 4)
    train(model, its, 4, run=run)
    assert same(plain, model, atol=1e-12)
    assert_held(model)


def test_on_two_processes_as_on_one(tmp_path):
    script = Path(__file__).with_name("langevin_processes.py")
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    ends = [torch.load(tmp_path / f"end{rank}", weights_only=True) for rank in range(2)]
    for name, walk in langevin_processes.WALKS.items():
        wanted = langevin_processes.train(walk)
        for key, tensor in wanted.items():
            assert torch.equal(ends[0][name][key], ends[1][name][key])
            torch.testing.assert_close(ends[0][name][key], tensor, rtol=0, atol=1e-12)


@walks
def test_frozen_parameters_stay_and_idle_ones_too(walk):
    class Idle(Net):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(2, 2, dtype=DOUBLE)
            self.first.bias.requires_grad_(False)

    model, held = begin(walk, make=Idle)
    before = copy.deepcopy(model.state_dict())
    train(model, held, 3)
    for name in ("idle.weight", "idle.bias", "first.bias"):
        assert torch.equal(model.state_dict()[name], before[name]), name
    assert not torch.equal(model.first.weight, before["first.weight"])


@walks
def test_a_bound_weight_that_is_frozen_later_stays(walk):
    model, held = begin(walk)
    train(model, held, 2)
    model.first.weight.requires_grad_(False)
    model.first.weight.grad = None
    before = model.first.weight.detach().clone()
    train(model, held, 2)
    assert torch.equal(model.first.weight, before)


@walks
def test_tied_parameters_are_moved_once(walk):
    class Tied(nn.Module):
        def __init__(self, tied):
            super().__init__()
            self.first, self.last = (nn.Linear(6, 6, bias=False, dtype=DOUBLE) for _ in "ab")
            if tied:
                self.last.weight = self.first.weight

        def forward(self, x):
            return self.last(self.first(x))

    for c in (sk.Circle(0.8), None):
        sets = {"first.weight": c} if c else {}
        model, held = begin(walk, sets, make=partial(Tied, True))
        assert len(held.optimizer.param_groups[0]["params"]) == 1
        q, memory = walk.begin(c, model.first.weight.detach()[None].clone())
        q, memory = q.clone(), {k: v.clone() for k, v in memory.items()}
        noise = Noise([held.state_dict()["seed"]])
        for step in range(3):
            held.optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            drawn = noise.at(step, "first.weight", q) if walk.noisy else None
            q = walk.advance(c, q, model.first.weight.grad[None].clone(), memory, drawn)
            held.optimizer.step()
            torch.testing.assert_close(model.last.weight.detach(), q[0], rtol=0, atol=1e-14)


def test_a_closure():
    """As every optimizer takes one."""
    (model, held), (other, its) = begin(COLD_BALL), begin(COLD_BALL)
    train(model, held, 2)

    def closure():
        its.optimizer.zero_grad()
        loss = F.cross_entropy(other(X), Y)
        loss.backward()
        return loss

    losses = [its.optimizer.step(closure).item() for _ in range(2)]
    assert losses[1] < losses[0]
    assert same(model, other)


@walks
def test_after_remove_a_plain_model_is_left(walk):
    model, held = begin(walk)
    train(model, held, 2)
    held.remove()
    assert_held(model)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model(X)


def test_the_report_says_who_moves_it():
    model, held = begin(WARM_BALL)
    train(model, held, 1)
    text = repr(held.report())
    assert "ConstrainedLangevin 0.2 τ=0.001 γ=0.5" in text
    assert "structural" in text
    assert "Circle(radius=0.8)" in text
    assert repr(held) == (
        "Held('first.weight', 'last.weight' by ConstrainedLangevin 0.2 τ=0.001 γ=0.5, step 1)"
    )
    assert list(held.report().frame["weight decay"]) == ["none", "none"]


def replaced(model):
    for name in ("first", "last"):
        layer = getattr(model, name)
        layer.weight = nn.Parameter(layer.weight.detach().clone())


def assigned(model):
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)


@pytest.mark.parametrize("renew", [replaced, assigned])
@walks
def test_new_parameters_are_moved_as_the_old_ones(walk, renew):
    """Their gradients are cleared, and each step draws its own noise."""
    (model, held), (other, its) = begin(walk), begin(walk)
    optimizer = held.optimizer
    train(model, held, 2)
    train(other, its, 2)
    renew(model)
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
    train(other, its, 4)
    assert same(model, other, atol=1e-13)
    assert held.state_dict()["step"] == 6


@walks
def test_sparse_gradients_as_dense_ones(walk):
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(8, 6, sparse=sparse, dtype=DOUBLE)
        held = sk.hold(table, {"weight": sk.Sphere(2.0)}, walk)
        for _ in range(3):
            held.optimizer.zero_grad()
            table(torch.tensor([1, 4, 4])).square()[:, 0].sum().backward()
            held.optimizer.step()
        ends.append(table.weight.detach())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-14)


@walks
def test_what_it_moves_unbound_another_call_may_hold(walk):
    """Projection acts after whoever takes the step."""
    model, held = begin(walk, {"first.weight": sk.Circle(0.8)})
    box = sk.hold(model, {"last.weight": sk.Box(-0.1, 0.1)})
    train(model, held, 3)
    assert box.violation() == {"last.weight": 0.0}
    assert held.violation() == {"first.weight": 0.0}
    assert (model.last.weight.abs() < 0.1).any()


class TestRefused:
    def test_a_second_walk(self):
        model, held = begin(COLD)
        with pytest.raises(sk.HoldError, match="moves all tensors, and another call of hold does"):
            sk.hold(model, {}, WARM)
        held.remove()
        sk.hold(model, {}, WARM)

    def test_an_optimizer_given_to_hold(self):
        model = Net()
        with pytest.raises(sk.HoldError, match=r"give no optimizer to hold, and call held.optimi"):
            sk.hold(model, HELD, COLD, torch.optim.SGD(model.parameters(), lr=0.1))

    def test_a_foreign_optimizer_that_steps(self):
        model, held = begin(COLD)
        foreign = torch.optim.Adam(model.parameters(), lr=0.1)
        F.cross_entropy(model(X), Y).backward()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(sk.HoldError, match="takes the steps itself, so Adam must not"):
            foreign.step()
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        held.optimizer.step()

    def test_a_foreign_optimizer_of_what_nothing_binds(self):
        """Or it would be moved twice."""
        model, _ = begin(COLD)
        foreign = torch.optim.SGD([model.first.bias], lr=0.1)
        F.cross_entropy(model(X), Y).backward()
        with pytest.raises(
            sk.HoldError, match=r"'first.bias': ConstrainedLangevin takes the steps"
        ):
            foreign.step()

    def test_sets_with_edges(self):
        with pytest.raises(sk.HoldError, match=r"'first.weight': Box has edges"):
            sk.hold(Net(), {"first.weight": sk.Box(-1, 1)}, COLD)

    def test_layers(self):
        with pytest.raises(sk.HoldError, match=r"\['hidden'\] are layers, whose values nothing"):
            sk.hold(Net(), {"hidden": sk.Box(-1, 1)}, COLD)

    def test_stages(self):
        staged = sk.Staged(sk.Stage(0.5, sk.Projection()), sk.Stage(0.5, COLD))
        with pytest.raises(sk.HoldError, match="takes its own steps in one stage alone"):
            sk.hold(Net(), HELD, staged, steps=10)

    def test_a_sweep(self):
        with pytest.raises(sk.HoldError, match="Wanted one strategy, got a sweep"):
            sk.hold(Net(), HELD, sk.ConstrainedLangevin([0.1, 0.2]))

    def test_steps_of_a_strategy_that_takes_none(self):
        held = sk.hold(Net(), {"first.weight": CLOSED}, sk.Projection())
        with pytest.raises(sk.HoldError, match="Projection leaves the steps to an optimizer of yo"):
            held.optimizer  # noqa: B018

    def test_nothing_bound_by_a_strategy_that_moves_nothing(self):
        with pytest.raises(sk.HoldError):
            sk.hold(Net(), {}, sk.Projection())

    def test_another_group(self):
        _, held = begin(COLD)
        with pytest.raises(sk.HoldError, match="All tensors are moved already"):
            held.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})

    def test_a_setting_that_a_loop_spoils(self):
        model, held = begin(COLD)
        held.optimizer.param_groups[0]["lr"] = -0.1
        with pytest.raises(sk.StrategyError, match=r"step_size above 0, got -0\.1"):
            train(model, held, 1)

    def test_the_state_of_another_walk(self):
        _, held = begin(COLD)
        _, other = begin(WARM)
        with pytest.raises(sk.HoldError, match="The saved state has other strategy"):
            held.load_state_dict(other.state_dict())
