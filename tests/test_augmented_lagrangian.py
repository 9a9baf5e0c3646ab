"""The augmented Lagrangian against known optima, their multipliers, and another library."""

import copy
import io
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, nnls
from torch import nn

import shapekeeper as sk
from shapekeeper.strategies import STRETCH

DOUBLE = torch.float64
CLOSED = sk.Connections([[1, 0]])
SGD = partial(torch.optim.SGD, lr=0.02)


def drawn(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


class Problem(nn.Module):
    """A loss of one tensor, a constraint on it, and the answer with its multipliers."""

    def __init__(self, loss, c, start, best, equal=None, at_most=None):
        super().__init__()
        self.loss, self.c, self.best = loss, c, best
        self.multipliers = {"equal": equal, "at_most": at_most}
        self.weight = nn.Parameter(start.clone())

    def forward(self):
        return self.loss(self.weight)

    def train_by(self, strategy, steps, build=SGD, cool=False):
        """Train in a plain loop; the handle, and the weight after each step."""
        optimizer = build(self.parameters())
        held = sk.hold(self, {"weight": self.c}, strategy, optimizer, start="nearest")
        path = []
        for step in range(steps):
            if cool and step == 2 * steps // 3:
                optimizer.param_groups[0]["lr"] *= 0.03
            optimizer.zero_grad()
            (self() + held.penalty()).backward()
            optimizer.step()
            path.append(self.weight.detach().clone())
        return held, torch.stack(path)


def pencil():
    """L(a, b) = (a + b - 1)² + (a + 2b - 3)² with b = 0: a = 2, L = 2, multiplier 2."""

    def loss(w):
        a, b = w[0]
        return (a + b - 1) ** 2 + (a + 2 * b - 3) ** 2

    start = torch.tensor([[0.3, 0.0]], dtype=DOUBLE)
    best = torch.tensor([[2.0, 0.0]], dtype=DOUBLE)
    return Problem(loss, CLOSED, start, best, equal=torch.tensor([0.0, 2.0], dtype=DOUBLE))


def masked():
    """Least squares with 710 of 1024 weights closed: each row is a regression of its own."""
    closed = torch.randperm(1024, generator=torch.Generator().manual_seed(0))[:710]
    mask = torch.ones(1024, dtype=torch.bool).index_fill(0, closed, False).view(32, 32)
    x, start = drawn(256, 32, seed=1), drawn(32, 32, seed=2) / 6
    y = x @ drawn(32, 32, seed=3).T / 6 + 0.3 * drawn(256, 32, seed=4)

    def loss(w):
        return (x @ w.T - y).square().sum(1).mean()

    best = torch.zeros(32, 32, dtype=DOUBLE)
    for row, open_ in enumerate(mask):
        found = np.linalg.lstsq(x[:, open_].numpy(), y[:, row].numpy(), rcond=None)[0]
        best[row, open_] = torch.from_numpy(found)
    slope = torch.func.grad(loss)(best)
    assert (slope[mask].abs() < 1e-12).all()
    return Problem(loss, sk.Connections(mask), start, best, equal=-slope.flatten())


def nonnegative():
    """Least squares with weights from 0 up; about half of them end at 0."""
    x, start = drawn(100, 20, seed=5), drawn(20, seed=6)
    y = x @ drawn(20, seed=7) + 0.3 * drawn(100, seed=8)

    def loss(w):
        return (x @ w - y).square().mean()

    best = torch.from_numpy(nnls(x.numpy(), y.numpy())[0])
    slope = torch.func.grad(loss)(best)  # 0 where the weight is free, above 0 where it is stopped
    assert 5 <= (best == 0).sum() <= 15
    return Problem(loss, sk.NonNegative(), start, best, at_most=slope[:, None])


def on_a_sphere():
    """x·Ax/2 - b·x for |x| = r: x = (A + m/r)⁻¹ b with m from the length of x."""
    a, b, radius = drawn(8, 8, seed=9), drawn(8, seed=10), 1.5
    a = a @ a.T / 8
    values, vectors = (part.numpy() for part in torch.linalg.eigh(a))
    along = vectors.T @ b.numpy()

    def excess(m):
        return np.linalg.norm(along / (values + m / radius)) - radius

    m = brentq(excess, -radius * values[0] + 1e-9, 1e3)
    best = torch.from_numpy(vectors @ (along / (values + m / radius)))
    multiplier = torch.tensor([m], dtype=DOUBLE)
    start = drawn(8, seed=11)
    return Problem(lambda x: x @ a @ x / 2 - b @ x, sk.Sphere(radius), start, best, multiplier)


PROBLEMS = {"pencil": pencil, "masked": masked, "non-negative": nonnegative, "sphere": on_a_sphere}
TUNED = {
    "SGD": (sk.AugmentedLagrangian(2.0, 0.2), SGD, 1500),
    "plain Lagrangian": (sk.AugmentedLagrangian(0.0, 0.2), SGD, 3000),
    "growing": (sk.AugmentedLagrangian(0.5, 0.1, growth=1.5), SGD, 1500),
    "Adam": (
        sk.AugmentedLagrangian(2.0, 0.1),
        partial(torch.optim.Adam, lr=0.005),
        4500,
    ),
}


@pytest.mark.parametrize("how", TUNED)
@pytest.mark.parametrize("name", PROBLEMS)
def test_reaches_the_known_optimum_and_its_multipliers(name, how):
    problem, (strategy, build, steps) = PROBLEMS[name](), TUNED[how]
    held, _ = problem.train_by(strategy, steps, build, cool=how == "Adam")
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-3)
    close(problem.weight.detach(), problem.best)
    close(problem().detach(), problem.loss(problem.best))
    assert held.violation()["weight"] < 1e-3
    memory = held.state_dict()["memory"]["weight"]
    for kind, wanted in problem.multipliers.items():
        if wanted is not None:
            close(memory[kind][0], wanted)
    assert not any("run away" in note for note in held.report().notes)


def test_a_penalty_of_the_same_strength_does_not():
    problem = pencil()
    problem.train_by(sk.Penalty(1.0), 1000)  # strength 1 is a penalty of 2
    assert problem.weight[0, 1].item() == pytest.approx(2 / 3, abs=1e-6)


# -- another library -------------------------------------------------------------------------


def by_cooper(problem, penalty, dual_step, steps):
    """The same by cooper: weights after each step, and the multipliers at the end.

    `AlternatingPrimalDualOptimizer` moves the weights by the multipliers as they are, then the
    multipliers by the violation at the new weights, as we do. For `g <= 0` it steps along `g`, we
    along `max(g, -lambda / penalty)`; after the projection to 0 both are the same where
    `dual_step == penalty`.
    """
    cooper = pytest.importorskip("cooper")
    equal, at_most = problem.c.residual(problem.weight.detach())
    part, kind = (0, "EQUALITY") if equal.numel() else (1, "INEQUALITY")
    count = (equal if equal.numel() else at_most).numel()
    multiplier = cooper.multipliers.DenseMultiplier(num_constraints=count, dtype=DOUBLE)
    constraint = cooper.Constraint(
        constraint_type=cooper.ConstraintType[kind],
        formulation_type=cooper.formulations.AugmentedLagrangian,
        multiplier=multiplier,
        penalty_coefficient=cooper.penalty_coefficients.DensePenaltyCoefficient(
            torch.tensor(penalty, dtype=DOUBLE)
        ),
    )

    class Minimization(cooper.ConstrainedMinimizationProblem):
        def __init__(self):
            super().__init__()
            self.constraint = constraint

        def compute_cmp_state(self):
            violation = problem.c.residual(problem.weight)[part].flatten()
            state = cooper.ConstraintState(violation=violation)
            return cooper.CMPState(loss=problem(), observed_constraints={constraint: state})

    duals = torch.optim.SGD(multiplier.parameters(), lr=dual_step, maximize=True)
    both = cooper.optim.AlternatingPrimalDualOptimizer(
        primal_optimizers=SGD(problem.parameters()), dual_optimizers=duals, cmp=Minimization()
    )
    path = []
    with torch.no_grad():
        problem.weight.copy_(problem.c.project(problem.weight))
    for _ in range(steps):
        both.roll()
        path.append(problem.weight.detach().clone())
    return torch.stack(path), multiplier.weight.detach()


ALIKE = [(name, *numbers) for name in PROBLEMS for numbers in [(1.0, 1.0), (0.3, 0.3), (2.0, 0.2)]]
ALIKE.remove(("non-negative", 2.0, 0.2))


@pytest.mark.parametrize(("name", "penalty", "dual_step"), ALIKE)
def test_takes_the_steps_of_cooper(name, penalty, dual_step):
    theirs, multipliers = by_cooper(PROBLEMS[name](), penalty, dual_step, steps=400)
    problem = PROBLEMS[name]()
    held, ours = problem.train_by(sk.AugmentedLagrangian(penalty, dual_step), 400)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
    memory = held.state_dict()["memory"]["weight"]
    learned = torch.cat([memory[kind].flatten() for kind in ("equal", "at_most")])
    torch.testing.assert_close(learned, multipliers, rtol=0, atol=1e-8)


def test_ends_where_cooper_ends():
    """Where single steps may differ, too."""
    theirs, multipliers = by_cooper(nonnegative(), 2.0, 0.2, steps=1500)
    problem = nonnegative()
    held, ours = problem.train_by(sk.AugmentedLagrangian(2.0, 0.2), 1500)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=0, atol=1e-6)
    learned = held.state_dict()["memory"]["weight"]["at_most"].flatten()
    torch.testing.assert_close(learned, multipliers, rtol=0, atol=1e-6)


# -- one step by hand ------------------------------------------------------------------------


def test_price_and_update_of_inequalities_by_hand():
    """Powell, Hestenes and Rockafellar's form, with one multiplier above and one below its kink."""
    strategy, c = sk.AugmentedLagrangian(2.0, 0.5), sk.Box(-1.0, 1.0)
    x = torch.tensor([[0.9, 1.5, -4.0]], requires_grad=True)
    _, memory = strategy.begin(c, x.detach())
    memory["at_most"] = torch.tensor([[[0.0, 0.6], [0.0, 0.6], [0.2, 0.6]]])  # below, above
    g = torch.stack([-1 - x, x - 1], -1)
    wanted = ((memory["at_most"] + 2 * g).clamp(min=0).square() - memory["at_most"].square()) / 4
    price = strategy.price(c, x, memory)
    torch.testing.assert_close(price, wanted.sum((1, 2)))
    slopes = torch.autograd.grad(price.sum(), x, retain_graph=True)[0]
    torch.testing.assert_close(slopes, torch.autograd.grad(wanted.sum(), x)[0])
    strategy.repair(c, x.detach(), memory, lr=0.1)
    moved = [[[0.0, 0.55], [0.0, 0.85], [1.7, 0.45]]]  # by g/2, at least by -lambda/4
    torch.testing.assert_close(memory["at_most"], torch.tensor(moved))


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_multipliers_of_inequalities_stay_from_zero_up(penalty):
    strategy = sk.AugmentedLagrangian(penalty, dual_step=3.0)
    leaf, memory = strategy.begin(sk.NonNegative(), torch.tensor([[-1.0, 2.0]]))
    for x in (-1.0, -0.5, 9.0, 9.0, -0.1):
        leaf = torch.tensor([[x, -x]])
        strategy.repair(sk.NonNegative(), leaf, memory, lr=0.1)
        assert (memory["at_most"] >= 0).all()
        assert torch.isfinite(strategy.price(sk.NonNegative(), leaf, memory)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_steps_are_not_lost_in_half_precision(dtype):
    strategy, leaf = sk.AugmentedLagrangian(1.0, 1e-3), torch.tensor([[[1.0, 0.5]]], dtype=dtype)
    _, memory = strategy.begin(CLOSED, leaf)
    for _ in range(2000):
        strategy.repair(CLOSED, leaf, memory, lr=0.1)
    assert memory["equal"][0, 1].item() == pytest.approx(1.0, rel=1e-3)


class TestGrowth:
    GROWING = sk.AugmentedLagrangian(3.0, 1e-9, growth=2.0)

    def run(self, sizes):
        """The penalties of three runs whose residuals have these sizes, 50 steps each."""
        _, memory = self.GROWING.begin(CLOSED, torch.ones(3, 1, 2))
        penalties = []
        for size in sizes:
            leaf = torch.tensor([[[1.0, s]] for s in size])
            for _ in range(STRETCH):
                self.GROWING.repair(CLOSED, leaf, memory, lr=0.1)
            one = torch.tensor([[[1.0, 1.0]]] * 3)
            penalties.append((2 * self.GROWING.price(CLOSED, one, memory)).tolist())
        return torch.tensor(penalties)

    def test_where_the_residual_does_not_fall_to_three_quarters(self):
        found = self.run([(1.0, 1.0, 0.0), (0.76, 0.74, 0.0), (0.75, 0.55, 0.0), (0.75, 0.55, 0.1)])
        wanted = [[3.0, 3.0, 3.0], [6.0, 3.0, 3.0], [12.0, 3.0, 3.0], [24.0, 6.0, 6.0]]
        torch.testing.assert_close(found, torch.tensor(wanted))

    def test_up_to_ten_thousand_times(self):
        found = self.run([(1.0, 0.0, 1.0)] * 17)
        assert found[-1].tolist() == pytest.approx([3e4, 3.0, 3e4], rel=1e-6)

    def test_of_one_is_none(self):
        strategy = sk.AugmentedLagrangian(3.0)
        _, memory = strategy.begin(CLOSED, torch.ones(1, 1, 2))
        for _ in range(4 * STRETCH):
            strategy.repair(CLOSED, torch.ones(1, 1, 2), memory, lr=0.1)
        assert memory["grown"].item() == 1.0


# -- runs and company ------------------------------------------------------------------------


def task(**changes):
    """A small network in double precision, with minibatches."""
    x, w = drawn(64, 6, seed=20), drawn(3, 6, seed=21)
    pair = (x, x @ w.T)

    def model(seed):
        hidden = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        return nn.Sequential(hidden, nn.Linear(8, 3)).double()

    settings = {
        "model": model,
        "data": sk.Data(pair, pair),
        "loss": nn.functional.mse_loss,
        "metric": nn.functional.mse_loss,
        "better": "lower",
        "constraints": {"0.0.weight": sk.Connections(drawn(8, 6, seed=22) > 0)},
        "batch_size": 16,
        "optimizer": partial(torch.optim.Adam, lr=0.01),
    }
    return sk.Task("small", **settings | changes)


def loop_of(bound, strategy, seed, steps):
    """The steps that compare takes, in a loop of one's own."""
    model = bound.start_model(seed)
    optimizer = bound.optimizer(model.parameters())
    held = sk.hold(model, bound.constraints, strategy, optimizer, steps=steps)
    x, y = bound.data.train
    per_epoch = len(x) // bound.batch_size
    for step in range(steps):
        epoch, k = divmod(step, per_epoch)
        batch = sk.tasks.batch_indices(seed, epoch, len(x), bound.batch_size)[k]
        optimizer.zero_grad()
        (bound.loss(model(x[batch]), y[batch]) + held.penalty()).backward()
        optimizer.step()
    return model, held


ON_WEIGHTS = {
    "closed": {"0.0.weight": sk.Connections(drawn(8, 6, seed=22) > 0)},
    "box": {"0.0.weight": sk.Box(-0.2, 0.1), "1.bias": sk.NonNegative()},
    "sphere": {"0.0.weight": sk.Sphere(0.5)},
    "both": {"0.0.weight": sk.Sphere(0.5) & sk.NonNegative()},
}
ON_OUTPUTS = {
    "box": {"0": sk.Box(-0.3, 0.2)},
    "sphere": {"0": sk.Sphere(1.0)},
    "weight too": {"0": sk.Box(-0.3, 0.2), "1.weight": sk.Box(-0.2, 0.1)},
}
STRATEGIES = [
    sk.AugmentedLagrangian(0.7, 0.3),
    sk.AugmentedLagrangian(0.0, 0.1),
    sk.AugmentedLagrangian(0.1, 0.1, growth=3.0),
    sk.Staged(sk.Stage(0.6, sk.AugmentedLagrangian(1.0, 0.3)), sk.Stage(0.4, sk.Penalty(1.0))),
    sk.Staged(
        sk.Stage(0.4, sk.AugmentedLagrangian(0.5, 0.3)),
        sk.Stage(0.6, sk.AugmentedLagrangian(1.0, 0.1), rate=0.5),
    ),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.label)
@pytest.mark.parametrize("bound", [*ON_WEIGHTS.values(), *ON_OUTPUTS.values()])
def test_compare_and_hold_give_the_same_numbers(strategy, bound):
    bound = task(constraints=bound)
    found = sk.compare(bound, [strategy], seeds=[3, 4], steps=120)
    for seed, model in zip([3, 4], found.models(strategy.label), strict=True):
        own, _ = loop_of(bound, strategy, seed, steps=120)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(own.state_dict()[name], value, rtol=0, atol=1e-9)


SWEPT = sk.AugmentedLagrangian([0.0, 0.3], [0.03, 1.0])
GROWN = sk.AugmentedLagrangian(0.3, 0.03, growth=[1.0, 2.0])


@pytest.mark.parametrize(
    ("on", "sweep"), [*((on, SWEPT) for on in ON_WEIGHTS), ("closed", GROWN)], ids=str
)
def test_a_sweep_is_its_runs_apart(on, sweep):
    bound = task(constraints=ON_WEIGHTS[on])
    together = sk.compare(bound, [sweep], seeds=2, steps=120)
    for variant in sweep.variants():
        alone = sk.compare(bound, [variant], seeds=[1], steps=120)
        for name, value in alone.tensors[variant.label].items():
            torch.testing.assert_close(
                together.tensors[variant.label][name][1:], value, rtol=0, atol=1e-12
            )
    ends = [together.tensors[v.label]["0.0.weight"] for v in sweep.variants()]
    assert all((a - b).abs().max() > 1e-6 for i, a in enumerate(ends) for b in ends[:i])


# -- copies and resumes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "bound", [*ON_WEIGHTS.values(), *ON_OUTPUTS.values()], ids=lambda b: " and ".join(b)
)
def test_goes_on_after_a_resume_and_in_a_copy(bound):
    """Bit by bit, across the end of a stretch in which penalties grow."""
    strategy = sk.AugmentedLagrangian(0.1, 0.2, growth=2.0)

    def begun():
        torch.manual_seed(0)
        model = task().start_model(0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return model, optimizer, sk.hold(model, bound, strategy, optimizer)

    def train(model, optimizer, held):
        for step in range(130):
            optimizer.zero_grad()
            loss = (model(drawn(16, 6, seed=step)) - 1).square().mean()
            (loss + held.penalty()).backward()
            optimizer.step()

    one = begun()
    train(*one)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in one], file)
    twin = copy.deepcopy(one[0])
    moved = torch.optim.Adam(twin.parameters(), lr=0.01)
    moved.load_state_dict(copy.deepcopy(one[1].state_dict()))
    train(*one)
    train(twin, moved, sk.Held.of(twin))
    again = begun()
    train(*again)  # what was remembered is replaced
    file.seek(0)
    for part, state in zip(again, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(*again)
    for name, value in one[0].state_dict().items():
        assert torch.equal(twin.state_dict()[name], value), name
        assert torch.equal(again[0].state_dict()[name], value), name
    if bound is ON_WEIGHTS["closed"]:
        assert one[2].state_dict()["memory"]["0.0.weight"]["grown"] > 1


def test_a_resumed_comparison_goes_on_to_the_same_numbers(tmp_path):
    bound = task(constraints=ON_OUTPUTS["weight too"])
    sweep = [sk.AugmentedLagrangian([0.1, 1.0], 0.3, growth=2.0)]
    whole = sk.compare(bound, sweep, seeds=2, steps=160)
    stop = sk.compare(
        bound,
        sweep,
        seeds=2,
        steps=160,
        checkpoint=tmp_path / "run",
        callback=lambda progress: progress.step >= 70,
    )
    assert stop.frame["step"].max() < 160
    resumed = sk.compare(bound, sweep, seeds=2, steps=160, checkpoint=tmp_path / "run")
    for label, tensors in whole.tensors.items():
        for name, value in tensors.items():
            assert torch.equal(resumed.tensors[label][name], value), (label, name)


# -- values of layers ------------------------------------------------------------------------


class TestOutputs:
    def test_reach_the_optimum_for_the_mean(self):
        """Against the linear system of its optimum: loss and quadratic, where the mean is 0."""
        x, y, penalty = drawn(40, 3, seed=30), drawn(40, 2, seed=31), 0.8
        mix = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=DOUBLE)

        def total(flat):
            value = x @ flat[:6].view(2, 3).T + flat[6:]
            fit = (value @ mix.T - y).square().sum(1).mean()
            return fit + penalty / 2 * value[:, 1].square().mean()

        zero = torch.zeros(8, dtype=DOUBLE)
        curve, slope = torch.func.hessian(total)(zero), torch.func.grad(total)(zero)
        mean = torch.cat([zero[:3], x.mean(0), zero[:1], zero[:1] + 1])
        system = torch.zeros(9, 9, dtype=DOUBLE)
        system[:8, :8], system[8, :8], system[:8, 8] = curve, mean, mean
        best = torch.linalg.solve(system, -torch.cat([slope, zero[:1]]))

        layer = nn.Linear(3, 2).double()
        model = nn.Sequential(layer)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        held = sk.hold(
            model, {"0": sk.Connections([1, 0])}, sk.AugmentedLagrangian(penalty, 0.3), optimizer
        )
        for _ in range(1500):
            optimizer.zero_grad()
            fit = (model(x) @ mix.T - y).square().sum(1).mean()
            (fit + held.penalty()).backward()
            optimizer.step()
        found = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()])
        torch.testing.assert_close(found, best[:8], rtol=0, atol=1e-3)
        learned = held.state_dict()["memory"]["0"]["equal"]
        torch.testing.assert_close(
            learned, torch.stack([zero[0], best[8]])[None], atol=1e-3, rtol=0
        )

    def test_price_and_update_by_hand(self):
        strategy, c = sk.AugmentedLagrangian(2.0, 0.5), sk.Box(-torch.inf, 1.0)
        value, memory = torch.tensor([[[1.5, 0.0], [2.0, 3.0]]]), {}  # (runs, batch, units)
        wanted = (0.5**2 + 1.0**2 + 2.0**2) * 2 / 2
        assert strategy.output_price(c, value, memory).tolist() == [wanted]
        strategy.output_after(c, value, memory)
        # One for each unit; where nothing is charged yet, room counts for nothing.
        learned = torch.tensor([[[0.5 * 0.75], [0.5 * 1.0]]])
        torch.testing.assert_close(memory["at_most"], learned)
        lowest = -learned[0, :, 0] / 2
        g = torch.maximum(value[0] - 1, lowest)
        wanted = (learned[0, :, 0] * g + g.square()).sum()
        torch.testing.assert_close(strategy.output_price(c, value, memory), wanted[None])

    def test_parts_of_a_batch_and_calls_in_a_loop_share_the_multipliers(self):
        """Whatever their number and size."""

        class Loop(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = nn.Linear(2, 2)

            def forward(self, x, times):
                for _ in range(times):
                    x = self.cell(x)
                return x

        model = Loop()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        held = sk.hold(model, {"cell": sk.Connections([1, 0])}, sk.AugmentedLagrangian(1.0, 0.5))
        seen = []
        model.cell.register_forward_hook(lambda module, args, value: seen.append(value.detach()))
        learned = torch.zeros(2)
        for times, sizes in [(3, (4, 2)), (1, (5,)), (2, (1, 1, 1))]:
            for size in sizes:
                model(torch.randn(size, 2), times)
                held.penalty().backward()
            optimizer.step()
            learned[1] += 0.5 * torch.cat(seen)[:, 1].mean()
            seen.clear()
        memory = held.state_dict()["memory"]["cell"]
        torch.testing.assert_close(memory["equal"], learned[None])

    def test_learn_only_from_what_was_priced_before_this_step(self):
        model = nn.Sequential(nn.Identity(), nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        held = sk.hold(model, {"0": sk.Connections([1, 0])}, sk.AugmentedLagrangian(1.0, 1.0))
        model(torch.full((3, 2), 9.0, requires_grad=True))  # nobody asks for its price
        with torch.no_grad():
            model(torch.full((3, 2), 9.0))
        model[1].weight.grad = torch.zeros(1, 2)
        with pytest.warns(UserWarning, match="holds nothing unless its price is in the loss"):
            optimizer.step()
        for x in (2.0, -1.0):
            model(torch.full((3, 2), x, requires_grad=True))
            model[1].weight.grad = torch.zeros(1, 2)
            held.penalty().backward()
            optimizer.step()
        assert held.state_dict()["memory"]["0"]["equal"].tolist() == [[0.0, 1.0]]
        held.load_state_dict(held.state_dict())
        assert held.state_dict()["memory"]["0"]["equal"].tolist() == [[0.0, 1.0]]

    def test_empty_batches_and_values_without_a_batch(self):
        strategy, memory = sk.AugmentedLagrangian(1.0, 1.0), {}
        c = sk.Connections([1, 0])
        assert strategy.output_price(c, torch.zeros(1, 0, 2), memory).tolist() == [0.0]
        strategy.output_after(c, torch.zeros(1, 0, 2), memory)
        assert memory["equal"].tolist() == [[0.0, 0.0]]
        assert strategy.output_price(c, torch.full((1, 2), 3.0), memory).tolist() == [4.5]
        number, box = {}, sk.Box(0.0, 1.0)
        assert strategy.output_price(box, torch.tensor([3.0]), number).tolist() == [2.0]
        strategy.output_after(box, torch.tensor([3.0]), number)
        assert number["at_most"].tolist() == [[0.0, 2.0]]

    def test_values_of_another_shape_are_refused(self):
        strategy, memory = sk.AugmentedLagrangian(), {}
        strategy.output_price(sk.Box(0, 1), torch.ones(1, 4, 5), memory)
        with pytest.raises(sk.StrategyError, match=r"one multiplier for each residual.*got .*6, 2"):
            strategy.output_price(sk.Box(0, 1), torch.ones(1, 4, 6), memory)

    def test_begin_anew_in_each_stage(self):
        model = nn.Sequential(nn.Identity(), nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        half = partial(sk.Stage, 0.5)
        staged = sk.Staged(half(sk.AugmentedLagrangian()), half(sk.AugmentedLagrangian(2.0, 1.0)))
        held = sk.hold(model, {"0": sk.Connections([1, 0])}, staged, optimizer, steps=4)
        for _ in range(3):
            model(torch.ones(3, 2, requires_grad=True))
            model[1].weight.grad = torch.zeros(1, 2)
            held.penalty().backward()
            optimizer.step()
        assert held.state_dict()["memory"]["0"]["equal"].tolist() == [[0.0, 1.0]]


# -- running away ----------------------------------------------------------------------------


class TestRunaway:
    @pytest.mark.parametrize("penalty", [0.0, 1.0])
    @pytest.mark.parametrize("name", ["pencil", "masked"])
    def test_ten_times_too_fast_is_said(self, name, penalty):
        adam = partial(torch.optim.Adam, lr=0.01)
        good = {"pencil": 0.3, "masked": 0.1}[name]
        problem = PROBLEMS[name]()
        held, _ = problem.train_by(sk.AugmentedLagrangian(penalty, good), 1500, adam)
        assert not any("run away" in note for note in held.report().notes)
        # Without a penalty Adam leaves the pencil problem swinging, ever less.
        assert (problem.weight - problem.best).abs().max() < (0.2 if penalty == 0 else 0.05)
        problem = PROBLEMS[name]()
        held, path = problem.train_by(sk.AugmentedLagrangian(penalty, 10 * good), 1500, adam)
        (note,) = (note for note in held.report().notes if "run away" in note)
        assert note.startswith("weight: the multipliers run away")
        assert "Use a smaller dual_step, or a larger penalty." in note
        far = (path - problem.best).flatten(1).abs().amax(1)
        assert far[1000:].max() > 1.1 * far[500:1000].max() > 0.5, "and it did"

    def test_momentum_that_a_penalty_damps(self):
        momentum = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
        said = {}
        for penalty in (0.0, 10.0):
            held, _ = pencil().train_by(sk.AugmentedLagrangian(penalty, 0.5), 400, momentum)
            said[penalty] = any("run away" in note for note in held.report().notes)
        assert said == {0.0: True, 10.0: False}

    @pytest.mark.parametrize("steps", [30, 60, 120, 250, 500, 1000])
    def test_prices_that_have_not_caught_up_are_not(self, steps):
        """The residual rises from 0 for as long as the price is too low."""
        slow = partial(torch.optim.Adam, lr=0.001)
        for name in PROBLEMS:
            held, _ = PROBLEMS[name]().train_by(sk.AugmentedLagrangian(0.1, 1e-3), steps, slow)
            assert not any("run away" in note for note in held.report().notes)

    def test_noise_is_not(self):
        bound = task(batch_size=4, optimizer=partial(torch.optim.SGD, lr=0.05))
        swept = sk.AugmentedLagrangian([0.0, 1.0], [0.01, 0.1])
        found = sk.compare(bound, [swept], seeds=3, steps=1000)
        assert found.notes == []

    def test_compare_says_which(self):
        bound = sk.tasks.pencil()
        found = sk.compare(bound, [sk.AugmentedLagrangian(1.0, [0.1, 3.0])], seeds=3, steps=500)
        (note,) = found.notes
        assert note.startswith("AugmentedLagrangian 1, dual 3, 'weight', 3 of 3 seeds: the mult")

    def test_each_run_by_itself_and_until_it_settles(self):
        strategy, c = sk.AugmentedLagrangian(1.0, 0.1), sk.Connections([[0]])
        _, memory = strategy.begin(c, torch.zeros(3, 1, 1))
        assert strategy.runaway({}) is None

        def go(steps, *residuals):
            for t in range(steps):
                leaf = torch.tensor([r(t) for r in residuals]).view(3, 1, 1)
                strategy.repair(c, leaf, memory, lr=0.1)
            return strategy.runaway(memory).tolist()

        def swing(t):
            return np.cos(t / 3)

        growing, fading, still = (
            lambda t: 1.01**t * swing(t),
            lambda t: 0.99**t * swing(t),
            lambda t: 1.0,
        )
        assert go(400, growing, fading, still) == [True, False, False]
        assert go(2000, lambda t: 0.0, fading, still) == [False, False, False]


# -- what can't be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"penalty": -1.0}, "^Wanted a finite penalty from 0 up, got -1.0.$"),
        ({"penalty": float("inf")}, "finite penalty from 0 up, got inf"),
        ({"penalty": float("nan")}, "finite penalty from 0 up, got nan"),
        ({"dual_step": 0.0}, "^Wanted a finite dual_step above 0, got 0.0.$"),
        ({"dual_step": [0.1, float("inf")]}, "dual_step above 0, got inf"),
        ({"growth": 0.5}, "finite growth from 1 up, got 0.5"),
        ({"growth": "fast"}, "finite growth from 1 up, got 'fast'"),
        (
            {"penalty": None, "dual_step": -1, "growth": 0},
            "penalty from 0 up, got None.*dual_step above 0, got -1.*growth from 1 up, got 0",
        ),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(sk.StrategyError, match=words):
        sk.AugmentedLagrangian(**settings)


def test_says_what_it_is():
    one = sk.AugmentedLagrangian()
    assert (one.guarantee, one.output_guarantee) == ("none", "none")
    assert one.label == "AugmentedLagrangian"
    swept = sk.AugmentedLagrangian([0.0, 2.0], 0.1, growth=[1.0, 1.5])
    assert [v.label for v in swept.variants()] == [
        "AugmentedLagrangian 0, dual 0.1",
        "AugmentedLagrangian 0 growing 1.5, dual 0.1",
        "AugmentedLagrangian 2, dual 0.1",
        "AugmentedLagrangian 2 growing 1.5, dual 0.1",
    ]
    assert sk.Strategy.from_json(one.to_json()) == one


def test_lbfgs_minimizes_between_updates():
    """The method as it was first: each step ends at a minimum, and the multipliers follow."""
    problem = pencil()
    search = partial(torch.optim.LBFGS, max_iter=50, tolerance_grad=1e-12)
    optimizer = search(problem.parameters())
    held = sk.hold(problem, {"weight": CLOSED}, sk.AugmentedLagrangian(2.0, 2.0), optimizer)

    def closure():
        optimizer.zero_grad()
        total = problem() + held.penalty()
        total.backward()
        return total

    errors = []
    for _ in range(12):
        optimizer.step(closure)
        errors.append(abs(held.state_dict()["memory"]["weight"]["equal"][0, 1].item() - 2))
    # At the minimum b = (2 - mu) / (1 + penalty), so the error is a third of the last one.
    assert errors == pytest.approx([2 / 3**k for k in range(1, 13)], abs=1e-4)
