"""Notebook 04: its problems, and the checks with right answers and the tempting wrong ones."""

import numpy as np
import pytest
import torch
from judging import NONSENSE, judged, survives

import shapekeeper as sk
from shapekeeper import course
from shapekeeper.course import notebook_04

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["04.1", "04.2", "04.3", "04.4", "04.5"]
STAGED = sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, sk.Projection()))
THAW = sk.Staged(sk.Stage(0.5, sk.Freeze()), sk.Stage(0.5, sk.Projection()))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", ["04.2", "04.3", "04.4"])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    assert course.check(key, unwritten).state == "todo"


# The pencil problem, step by step


def test_the_walk_of_gradient_descent_with_a_penalty_ends_where_the_formula_says():
    for strength in (0.5, 2.0, 8.0):
        end = course.pencil_walk(sk.Penalty(strength), steps=600).iloc[-1]
        right = sk.tasks.pencil_answer(strength)
        assert end[["a", "b", "loss", "held"]].to_numpy(float) == pytest.approx(right, abs=2e-3)
        assert np.isnan(end["price"])


def test_the_learned_price_is_the_slope_at_the_wall():
    walk = course.pencil_walk(sk.AugmentedLagrangian(penalty=2.0, dual_step=0.1), steps=400)
    assert walk["price"].iloc[-1] == pytest.approx(2.0, abs=0.01)
    assert abs(walk["b"].iloc[-1]) < 0.005


def test_walks_begin_at_the_start_and_count_every_step():
    walk = course.pencil_walk(sk.Projection(), steps=7, start=(0.5, 0.0))
    assert len(walk) == 8
    assert walk.loc[0, ["a", "b"]].tolist() == [0.5, 0.0]
    assert (walk["b"] == 0).all()


def test_a_dual_step_too_large_walks_out_of_the_picture():
    walk = course.pencil_walk(sk.AugmentedLagrangian(penalty=0.0, dual_step=3.0), steps=200)
    thirds = np.array_split(walk["b"].abs().to_numpy(), 3)
    reach = [third.max() for third in thirds]
    assert reach[0] < reach[1] < reach[2]


def test_a_walk_takes_the_steps_of_a_plain_loop():
    weight = torch.nn.Parameter(torch.tensor([0.0, 0.0]))
    adam, points = torch.optim.Adam([weight], lr=0.1), []
    for _ in range(20):
        points.append(weight.detach().clone())
        adam.zero_grad()
        a, b = weight
        ((a + b - 1) ** 2 + (a + 2 * b - 3) ** 2 + 2 * b**2).backward()
        adam.step()
    walk = course.pencil_walk(sk.Penalty(2.0), steps=19)
    assert walk[["a", "b"]].to_numpy() == pytest.approx(torch.stack(points).numpy(), abs=1e-5)


# The convex problem


def test_the_best_imitation_has_no_slope_along_open_wires():
    task, best = course.imitation(), course.imitation_best()
    x, y = (part.double() for part in task.data_for(0).train)
    mask = task.constraints["weight"].mask
    assert (tuple(mask.shape), int((~mask).sum())) == ((24, 40), 710)
    weight = torch.zeros(24, 40, dtype=torch.float64)
    for i in range(24):
        # The normal equations, a second way to least squares.
        own = x[:, mask[i]]
        weight[i, mask[i]] = torch.linalg.solve(own.T @ own, own.T @ y[:, i])
    weight.requires_grad_()
    loss = (x @ weight.T - y).square().mean()
    loss.backward()
    assert loss.item() == pytest.approx(best, rel=1e-9)
    assert weight.grad[mask].abs().max() < 1e-12
    assert weight.grad[~mask].abs().max() > 1e-3  # the leak would be worth something


def test_projection_reaches_the_best_imitation_from_any_start():
    found = sk.compare(course.imitation(), [sk.Projection()], seeds=2, steps=800).final()
    assert found["metric"].to_numpy() == pytest.approx(course.imitation_best(), rel=1e-3)
    assert (found["violation"] == 0).all()


def test_the_held_layer_learns_what_its_strategy_lets_it():
    mask = course.imitation().constraints["weight"].mask
    moved = {}
    for strategy in (sk.Unconstrained(), sk.Projection(), sk.Freeze(), STAGED):
        layer, train = course.held_imitation(strategy)
        start = layer.weight.detach().clone()
        assert not start[~mask].any()
        train(60, size=3.0)
        moved[strategy.label] = (layer.weight.detach() - start).abs()
    free, held, frozen, staged = moved.values()
    assert free[~mask].max() > 0.1
    assert min(free[mask].min(), held[mask].min(), staged[mask].min()) > 0
    assert held[~mask].max() == staged[~mask].max() == frozen.max() == 0


# What it costs


def test_numbers_kept_are_counted_for_adam_and_what_a_strategy_adds():
    task = sk.tasks.digits()
    own = sum(w.numel() for w in task.start_model(0).parameters())
    bound = task.start_model(0).weight.numel()
    assert course.numbers_kept(task, sk.Penalty(1.0)) == pytest.approx(3, abs=0.01)
    charted = course.numbers_kept(task, sk.Reparametrization())
    assert charted == pytest.approx(3 + 2 * bound / own, abs=0.01)  # where it began, free numbers
    assert course.numbers_kept(task, sk.AugmentedLagrangian()) > 3 + bound / own


def test_a_step_that_waits_longer_is_found_to_cost_more(monkeypatch):
    now, waits = [0.0], {"quick": [1.0, 9.0, 1.0, 1.0], "slow": [5.0, 5.0, 50.0, 5.0]}

    class Fake:
        device = torch.device("cpu")

        def __init__(self, name):
            self.name = name

        def train(self):
            for wait in waits[self.name]:
                now[0] += wait
                yield

    monkeypatch.setattr("shapekeeper.course.costs.perf_counter", lambda: now[0])
    found = course.seconds_a_step({name: Fake(name) for name in waits}, rounds=4)
    assert found.to_dict() == {"quick": 1.0, "slow": 5.0}


# New names


def test_new_names_are_the_same_digits_called_otherwise():
    base = sk.tasks.digits().data_for(0)
    names = set()
    for seed in range(3):
        task = course.new_names([], count=50)
        x, y = task.data_for(seed).train
        at = [int((base.train[0] == image).all(1).nonzero()[0]) for image in x]
        assert min(at) >= 300
        assert len(set(at)) == 50
        renamed = {int(base.train[1][i]): int(name) for i, name in zip(at, y, strict=True)}
        old, new = base.test[1], task.data_for(seed).test[1]
        assert all(renamed.get(int(a), int(b)) == int(b) for a, b in zip(old, new, strict=True))
        names.add(tuple(new[:20].tolist()))
    assert len(names) == 3


def test_new_names_keep_all_but_the_last_layer():
    nets = [sk.tasks.digits().start_model(seed + 10) for seed in range(2)]
    task = course.new_names(nets, count=20)
    for seed in range(2):
        net, own = task.start_model(seed), dict(nets[seed].named_parameters())
        same = {name for name, p in net.named_parameters() if torch.equal(p, own[name])}
        assert set(own) - same == {"output_weight", "output_bias"}
    with pytest.raises(ValueError, match="from 1 to 700 examples, got 701"):
        course.new_names(nets, count=701)


# 04.1


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        ((1.28, 2.72), "right", r"leak of 0\.4 earned 0\.72 and costs 0\.72.*b²"),
        ([torch.tensor(1.28), 2.7201], "right", "earned"),
        ((1.28, 1.28), "wrong", r"You did not cut: set b to 0 and keep a\."),
        ((1.28, 2.0), "wrong", r"You retrained a after the cut\. .*\(Staged\)"),
        ((1.6, 2.72), "wrong", "You added the price"),
        ((0.0, 20.0), "wrong", "the pull of the price equals"),
        ((1.28, 3.0), "wrong", "leave a where it was trained"),
        ((1.28, ...), "todo", "in place of the dots"),
        (1.28, "wrong", "not two losses.*a float"),
        (("a", 2), "wrong", "no number"),
    ],
)
def test_bill(answer, state, words):
    judged("04.1", answer, state, words)


# 04.2


def in_place(weights, constraints):
    with torch.no_grad():
        for name, constraint in constraints.items():
            weights[name].copy_(constraint.project(weights[name]))


def by_library(weights, constraints):
    for name, constraint in constraints.items():
        constraint.project_(weights[name])


def through_data(weights, constraints):
    for name, constraint in constraints.items():
        weights[name].data[:] = constraint.project(weights[name].data)


def returned(weights, constraints):
    return {name: c.project(weights[name]) for name, c in constraints.items()}


def replaced(weights, constraints):
    for name, constraint in constraints.items():
        weights[name] = constraint.project(weights[name])


def all_names(weights, constraints):
    first = next(iter(constraints.values()))
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(first.project(weight))


def with_gradient(weights, constraints):
    for name, constraint in constraints.items():
        weights[name].copy_(constraint.project(weights[name]))


def first_seed(weights, constraints):
    with torch.no_grad():
        for name, constraint in constraints.items():
            weights[name][0].copy_(constraint.project(weights[name][0]))


def zeros(weights, constraints):
    with torch.no_grad():
        for name, constraint in constraints.items():
            weights[name].copy_(constraint.project(torch.zeros_like(weights[name])))


def by_name_of_all(weights, constraints):
    for name in weights:
        constraints[name].project_(weights[name])


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (in_place, "right", "Right for Connections, FilterShape, NonNegative, Sphere"),
        (by_library, "right", "don't know each other"),
        (through_data, "right", "don't know each other"),
        (returned, "wrong", r"The weights are unchanged after the step\..*new tensors"),
        (replaced, "wrong", r"unchanged after the step\..*other tensors under the old names"),
        (all_names, "wrong", "`readout.bias` has no constraint but moved."),
        (by_name_of_all, "wrong", "KeyError: 'readout.bias'"),
        (with_gradient, "wrong", "stopped with an exception.*in-place operation"),
        (first_seed, "wrong", "`hidden.weight` is not allowed in row 1. The first axis counts"),
        (zeros, "wrong", "allowed, but not the nearest"),
    ],
)
def test_repair(answer, state, words):
    judged("04.2", answer, state, words)


def test_no_axis_of_a_case_has_the_size_of_the_seeds():
    cases = list(notebook_04._cases())
    bound = {type(c) for case in cases for c in case.constraints.values()}
    assert len(bound) == 4
    for case in cases:
        assert set(case.constraints) < set(case.weights)
        (runs,) = {len(w) for w in case.weights.values()}
        assert not any(runs in w.shape[1:] for w in case.weights.values())
        for name, constraint in case.constraints.items():
            assert not constraint.allows(case.weights[name].detach()).all()


# 04.3


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda mu, rho, b: mu + rho * b, "right", r"1/\(1 \+ ρ\) a round: by 0\.67, 0\.33, 0\.11"),
        (lambda mu, rho, b: torch.tensor(mu + rho * b), "right", "used to learn"),
        (
            lambda mu, rho, b: mu - rho * b,
            "wrong",
            r"μ runs away from 2: −0\.7, −1\.6, −2\.7 … The sign must make leaking dearer",
        ),
        (
            lambda mu, rho, b: rho * b,
            "wrong",
            r"It forgets what it learned: b stays at \S+, as with a plain penalty",
        ),
        (lambda mu, rho, b: mu + 0.01 * b, "wrong", "too slowly: the step that fits"),
        (lambda mu, rho, b: mu, "wrong", r"does not settle|too slowly"),
        (lambda mu, rho, b: "dear", "wrong", "no number"),
        (lambda mu, rho, b: 2.0, "wrong", "It forgets"),
    ],
)
def test_learn_the_price(answer, state, words):
    judged("04.3", answer, state, words)


def test_a_round_rests_where_the_augmented_loss_is_lowest():
    """A second implementation: the lowest point on a fine grid."""
    b = np.linspace(-6, 6, 2_400_001)
    for slope in notebook_04._slopes():
        for mu, rho in ((0.0, 0.5), (1.3, 2.0), (-0.7, 8.0)):
            value = slope.curvature / 2 * b**2 + (mu - slope.price) * b + rho / 2 * b**2
            assert slope.rest(mu, rho) == pytest.approx(b[value.argmin()], abs=1e-5)
    grid = 2 * (1 - b / 2) ** 2  # the pencil problem with the best a for each b
    assert np.gradient(grid, b)[np.abs(b).argmin()] == pytest.approx(-notebook_04.PENCIL.price)


# 04.4


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda n, width: width**n, "right", "8e-31.*A line has no area"),
        (lambda n, width: float(np.prod([width] * n)), "right", "no area"),
        (lambda n, width: width / n, "wrong", r"5 % at n = 10\. Simulate .* about \d\d\d?\."),
        (lambda n, width: 1 / (2 * n), "wrong", r"5 % at n = 10"),
        (lambda n, width: width, "wrong", "All n must be inside at once"),
        (lambda n, width: 0.5, "wrong", "All n must be inside at once"),
        (lambda n, width: 0.5**n, "wrong", "A wall has no width"),
        (lambda n, width: 0.5**n if width else 0.0, "wrong", "Right for half the width"),
        (lambda n, width: 1 - width * n, "wrong", "independent: multiply"),
    ],
)
def test_share(answer, state, words):
    judged("04.4", answer, state, words)


# 04.5

RIGHT = {
    "pacemaker": sk.Projection(),
    "black box": sk.AugmentedLagrangian(),
    "hunch": sk.Penalty(0.1),
    "transplant": sk.Freeze(),
    "late shape": STAGED,
}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("pacemaker", sk.Reparametrization()),
        ("pacemaker", THAW),
        ("black box", sk.Penalty([1.0, 10.0])),
        ("black box", sk.Penalty(1.0, growth=1.1)),
        ("hunch", sk.Penalty(0.1, norm="absolute")),
        ("late shape", sk.Staged(sk.Stage(0.5, sk.Penalty(0.1)), sk.Stage(0.5, sk.Projection()))),
    ],
)
def test_other_choices_are_right_too(name, strategy):
    judged("04.5", RIGHT | {name: strategy}, "right", "Five needs, . kinds of strategy")


@pytest.mark.parametrize(
    ("name", "strategy", "words"),
    [
        ("pacemaker", sk.Penalty(10.0), "A penalty asks. This needs a structural guarantee."),
        ("pacemaker", sk.AugmentedLagrangian(), "A Lagrangian asks"),
        ("pacemaker", STAGED, "needs it at every step"),
        ("pacemaker", sk.Projection(every=10), "needs it at every step"),
        ("pacemaker", sk.Unconstrained(), "needs it at every step"),
        ("pacemaker", sk.Freeze(), "it never learns"),
        (
            "black box",
            sk.Projection(),
            "There is nothing to project with. A Lagrangian needs only the value.",
        ),
        ("black box", sk.Freeze(), "nothing to project with"),
        ("black box", sk.Penalty(1.0, norm="absolute"), "which nobody knows"),
        ("hunch", sk.Projection(), "can't be overruled"),
        ("hunch", sk.AugmentedLagrangian(), "whatever the data say"),
        ("hunch", sk.Unconstrained(), "nothing pulls"),
        ("transplant", sk.Projection(), "the year of training is gone"),
        ("transplant", THAW, "Frozen at first, then not"),
        ("late shape", sk.Projection(), "In the first half all may be used"),
        ("late shape", sk.Freeze(), "never learns"),
        ("late shape", sk.Penalty(10.0), "Nothing makes it exact at the end"),
        ("late shape", sk.Projection, "Make one, with brackets"),
        ("late shape", "staged", "no strategy"),
    ],
)
def test_wrong_choices(name, strategy, words):
    judged("04.5", RIGHT | {name: strategy}, "wrong", f"{name}: .*{words}")


def test_a_choice_of_some_is_not_yet():
    judged("04.5", RIGHT | {"hunch": ..., "transplant": None}, "todo", "choose: hunch, transplant")
    judged("04.5", {}, "todo", "pacemaker, black box")


def test_the_projects_that_are_told_are_the_ones_that_are_asked():
    assert list(course.example("04.5")) == list(RIGHT)
