"""Tasks: randomness that follows from the seed, answers known by hand, data that can be learned."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import mse_loss

from shapekeeper import tasks
from shapekeeper.constraints import Box, Connections
from shapekeeper.regions import Region, RegionGraph, two_hemispheres
from shapekeeper.tasks import Data, Task, TaskError, accuracy, batch_indices

X, Y = torch.linspace(0, 1, 6).view(6, 1), torch.arange(6)


def line(**changes):
    """A small task; every part can be replaced."""
    parts = {
        "model": lambda seed: nn.Linear(2, 1),
        "data": Data((X, Y), (X, Y)),
        "loss": mse_loss,
        "metric": mse_loss,
    }
    return Task("line", **(parts | changes))


def train(task, seed, steps, hold=True):
    """A plain loop that projects every bound weight after each step; strategies are not needed."""
    model, (x, y) = task.start_model(seed), task.data_for(seed).train
    bound = [(model.get_parameter(name), c) for name, c in task.constraints.items()]
    if hold:
        for weight, c in bound:
            weight.data = c.start(weight.data)
    optimizer = task.optimizer(model.parameters())
    batches = []
    for step in range(steps):
        if not batches:
            epoch = step // (len(x) // task.batch_size)
            batches = list(batch_indices(seed, epoch, len(x), task.batch_size))
        batch = batches.pop(0)
        optimizer.zero_grad()
        task.loss(model(x[batch]), y[batch]).backward()
        optimizer.step()
        if hold:
            for weight, c in bound:
                weight.data = c.project(weight.data)
    return model


@torch.no_grad()
def score(task, model, seed=0, metric=None):
    x, y = task.data_for(seed).test
    return (metric or task.metric)(model(x), y).item()


# Data


def test_data_keeps_tensors_and_converts_arrays():
    data = Data((X, Y), (X.numpy(), Y.numpy()), noisy=(X.numpy().astype(np.float64), [0] * 6))
    assert data.train[0] is X
    assert data.validation is None
    assert torch.equal(data.test[0], X)
    assert data.test[1].dtype == torch.int64
    assert data.shifted["noisy"][0].dtype == torch.float64
    assert list(data.parts) == ["train", "test", "noisy"]


def test_arrays_are_copied_so_that_later_edits_do_not_reach_the_data():
    array = np.ones((2, 1))
    data = Data((array, array), (array, array))
    array[:] = 7
    assert data.train[0].tolist() == [[1.0], [1.0]]


def test_data_says_all_problems_at_once():
    with pytest.raises(
        TaskError, match=r"train needs as many.*test has examples.*wide has"
    ) as error:
        Data((X, Y[:5]), (X.expand(6, 2), Y), wide=(X[:, 0], Y))
    assert len(error.value.problems) == 3
    with pytest.raises(TaskError, match=r"train must be a pair.*ndarray.*far must be.*NoneType"):
        Data(np.ones((2, 2)), (X, Y), far=None)
    with pytest.raises(TaskError, match=r"test must be a pair.*got 3 of them"):
        Data((X, Y), (X, Y, Y))
    with pytest.raises(TaskError, match="at least one, got shapes"):
        Data((X[:0], Y[:0]), (X, Y))


def test_a_shifted_set_may_be_longer_than_what_was_trained_on():
    x = torch.zeros(4, 5, 2)
    data = Data((x, Y[:4]), (x, Y[:4]), longer=(torch.zeros(4, 9, 2), Y[:4]))
    assert data.shifted["longer"][0].shape == (4, 9, 2)
    with pytest.raises(TaskError, match="test has examples of shape"):
        Data((x, Y[:4]), (torch.zeros(4, 9, 2), Y[:4]))


def test_data_is_frozen_and_moves_by_making_new_data():
    data = Data((X, Y), (X, Y), (X, Y), noisy=(X, Y))
    with pytest.raises(AttributeError, match="cannot assign"):
        data.train = (X, Y)
    moved = data.to("meta", torch.float64)
    assert {x.dtype for x, _ in moved.parts.values()} == {torch.float64}
    assert {y.dtype for _, y in moved.parts.values()} == {torch.int64}
    assert {t.device.type for part in moved.parts.values() for t in part} == {"meta"}
    assert list(moved.parts) == ["train", "test", "validation", "noisy"]
    assert data.to().train[0] is X


# Task


def test_task_says_all_problems_at_once():
    with pytest.raises(TaskError, match=r"task 'line'.*model must.*data must.*batch_size.*better"):
        line(model=3, data=[1], batch_size=0, better="bigger")


def test_data_may_depend_on_the_seed_or_not():
    fixed = Data((X, Y), (X, Y))
    assert line(data=fixed).data_for(3) is fixed
    drawn = line(data=lambda seed: Data((X + seed, Y), (X, Y)))
    assert torch.equal(drawn.data_for(3).train[0], X + 3)


def test_start_model_follows_from_the_seed_and_leaves_the_callers_randomness_alone():
    task = line(model=lambda seed: nn.Linear(3, 3))
    before = torch.get_rng_state()
    first = task.start_model(5).weight
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    torch.randn(7)
    assert torch.equal(task.start_model(5).weight, first)
    assert not torch.equal(task.start_model(6).weight, first)


def test_start_model_builds_on_the_cpu_whatever_the_default_device():
    task = line()
    here = task.start_model(1).weight
    with torch.device("meta"):
        there = task.start_model(1).weight
    assert torch.equal(there, here)


def test_a_factory_that_returns_no_module_is_named():
    with pytest.raises(TaskError, match=r"must return an nn\.Module, got list"):
        line(model=lambda seed: []).start_model(0)


def test_check_tells_weights_from_outputs():
    model = lambda seed: nn.Sequential(nn.Linear(2, 3), nn.Tanh())  # noqa: E731
    mask, box = Connections(torch.ones(3, 2)), Box(-1, 1)
    task = line(model=model, constraints={"1": box, "0.weight": mask})
    assert task.check() == ({"0.weight": mask}, {"1": box})


def test_check_says_all_problems_at_once():
    constraints = {
        "wieght": Box(0, 1),
        "weight": Connections([[1], [0]]),
        "bias": 3,
    }
    with pytest.raises(TaskError, match="did you mean 'weight'") as error:
        line(constraints=constraints).check()
    unknown, transposed, no_constraint = error.value.problems
    assert "names are weight, bias" in unknown
    assert "transpose" in transposed
    assert transposed.startswith("'weight': ")
    assert "'bias' needs a constraint, got 3" in no_constraint
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems


def test_a_buffer_is_no_name():
    task = line(model=lambda seed: nn.BatchNorm1d(2), constraints={"running_mean": Box(0, 1)})
    with pytest.raises(TaskError, match=r"unknown name 'running_mean'. names are weight, bias"):
        task.check()


def test_a_task_cannot_be_changed_from_outside():
    constraints = {"weight": Box(0, 1)}
    task = line(constraints=constraints)
    constraints["bias"] = Box(0, 1)
    assert list(task.constraints) == ["weight"]
    with pytest.raises(AttributeError, match="cannot assign"):
        task.batch_size = 3


# Batches


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (6, 6), (7, 1), (64, 32)])
def test_an_epoch_uses_each_example_at_most_once(n, batch_size):
    batches = batch_indices(2, 4, n, batch_size)
    assert batches.shape == (n // batch_size, batch_size)
    assert batches.dtype == torch.int64
    used = batches.flatten().tolist()
    assert len(set(used)) == len(used)
    assert set(used) <= set(range(n))


def test_batches_depend_on_seed_and_epoch_alone():
    first = batch_indices(0, 0, 40, 8)
    torch.randn(3)
    assert torch.equal(batch_indices(0, 0, 40, 8), first)
    assert not torch.equal(batch_indices(0, 1, 40, 8), first)
    assert not torch.equal(batch_indices(1, 0, 40, 8), first)


def test_all_examples_get_their_turn():
    # 10 examples in batches of 3: one is left out per epoch, and not always the same one
    left_out = {
        (set(range(10)) - set(batch_indices(0, e, 10, 3).flatten().tolist())).pop()
        for e in range(200)
    }
    assert left_out == set(range(10))


@pytest.mark.parametrize("batch_size", [7, 0])
def test_a_batch_that_the_data_cannot_fill_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}, but there are 6 training"):
        batch_indices(0, 0, 6, batch_size)


# Metrics


def test_accuracy_counts_and_runs_under_vmap():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 50, 3)), rng.integers(0, 3, (4, 50))
    wanted = (logits.argmax(-1) == labels).mean(-1)
    got = torch.vmap(accuracy)(torch.tensor(logits), torch.tensor(labels))
    np.testing.assert_allclose(got, wanted)
    assert accuracy(torch.tensor(logits), torch.tensor(labels)).item() == pytest.approx(
        wanted.mean()
    )


# The pencil problem


def pencil_minimum(strength, held=False):
    """Weights where training with a price ends, by LBFGS in float64."""
    task = tasks.pencil()
    constraint = task.constraints["weight"]
    x, y = (t.double() for t in task.data_for(0).train)
    model = task.start_model(0).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=200,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        weight = constraint.project(model.weight) if held else model.weight
        loss = task.loss(x @ weight.T, y) + strength * constraint.penalty(weight)
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = model.weight.detach()
    seen = constraint.project(weight) if held else weight
    loss, cut = (task.loss(x @ w.T, y).item() for w in (seen, constraint.project(seen)))
    return (*seen[0].tolist(), loss, cut)


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0, 10.0, 100.0])
def test_pencil_answer_is_where_lbfgs_ends(strength):
    assert pencil_minimum(strength) == pytest.approx(tasks.pencil_answer(strength), abs=1e-6)


def test_pencil_answer_when_held():
    assert pencil_minimum(0.0, held=True) == pytest.approx((2, 0, 2, 2), abs=1e-6)
    assert tasks.pencil_answer(math.inf) == pytest.approx((2, 0, 2, 2))


def test_pencil_multiplier_is_two():
    # the best loss for a given b, as a function of b: its slope where it meets the wall
    def best(b):
        strength = 1 / b - 0.5
        return tasks.pencil_answer(strength).loss

    assert (best(2e-6) - best(1e-6)) / 1e-6 == pytest.approx(-2, abs=1e-4)


def test_pencil_learns_its_answer_with_its_own_optimizer():
    task = tasks.pencil()
    for seed in range(3):
        free, held = train(task, seed, 500, hold=False), train(task, seed, 500)
        torch.testing.assert_close(free.weight, torch.tensor([[-1.0, 2.0]]), atol=1e-2, rtol=0)
        torch.testing.assert_close(held.weight, torch.tensor([[2.0, 0.0]]), atol=1e-4, rtol=0)
        assert score(task, held) == pytest.approx(2, abs=1e-4)


def test_pencil_starts_where_it_is_told():
    assert tasks.pencil(start=(0.5, -3.0)).start_model(4).weight.tolist() == [[0.5, -3.0]]
    task = tasks.pencil()
    assert not torch.equal(task.start_model(0).weight, task.start_model(1).weight)
    assert task.check() == ({"weight": Connections([[1, 0]])}, {})


# Digits


def test_digit_images_are_those_of_scikit_learn_each_used_once():
    parts = tasks.digit_images()
    images = torch.cat([x for x, _ in parts.values()]).mul(16).to(torch.int64)
    labels = torch.cat([y for _, y in parts.values()])
    rows = sorted(map(tuple, torch.cat([images, labels[:, None]], 1).tolist()))
    bunch = load_digits()
    wanted = np.concatenate([bunch.data, bunch.target[:, None]], 1).astype(int)
    assert rows == sorted(map(tuple, wanted.tolist()))
    assert {part: len(y) for part, (_, y) in parts.items()} == {
        "train": 1000,
        "validation": 200,
        "test": 597,
    }
    for _, y in parts.values():
        assert y.bincount(minlength=10).min() >= 0.06 * len(y)


def readable_blocks(graph):
    """Pairs (target, source) of units a feed-forward network may read, by brute force."""
    depth = {r.name: 0 for r in graph.regions}
    for _ in graph.regions:  # longest path: as many rounds as regions are always enough
        for p in graph.pathways:
            depth[p.target] = max(depth[p.target], depth[p.source] + 1)
    units = [r.name for r in graph.regions for _ in range(r.size)]
    return torch.tensor([[t == s or depth[t] > depth[s] for s in units] for t in units])


def test_banded_brain_is_sparse_and_finished():
    graph = tasks.banded_brain()
    assert len(graph.regions) == 8
    assert graph.is_feedforward
    assert not graph.problems()
    assert sum(r.input for r in graph.regions) == 64
    assert all(40 <= r.position[0] <= 548 and 40 <= r.position[1] <= 440 for r in graph.regions)
    mask, readable = graph.mask(), readable_blocks(graph)
    assert not (mask & ~readable).any()
    assert 0.1 < (mask.sum() / readable.sum()).item() < 0.3


def test_digits_start_is_dense_and_its_mask_the_same_for_all_seeds():
    task = tasks.digits()
    mask = task.constraints["weight"].mask
    assert torch.equal(mask, tasks.banded_brain().mask(0))
    first, second = task.start_model(0), task.start_model(1)
    assert first.constraints == second.constraints == task.constraints
    closed = readable_blocks(tasks.banded_brain()) & ~mask
    assert (first.weight[closed] != 0).all()
    assert not torch.equal(first.weight, second.weight)
    assert torch.equal(first.weight, task.start_model(0).weight)
    assert task.check() == (task.constraints, {})


def test_another_drawing_opens_other_wires():
    first, second = (tasks.digits(drawing=d) for d in (0, 1))
    assert second.start_model(0).constraints == second.constraints
    one, other = (task.constraints["weight"].mask for task in (first, second))
    assert one.sum() == other.sum()
    assert not torch.equal(one, other)


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_can_be_learned_within_the_drawing(seed):
    task = tasks.digits()
    model = train(task, seed, 500)
    assert task.constraints["weight"].violation(model.weight.detach()) == 0
    assert score(task, model) > 0.92


def test_digits_of_a_graph_of_ones_own():
    eye, hand = Region("eye", 24, input=True), Region("hand", 12, output=True)
    with pytest.raises(ValueError, match="hand"):
        tasks.digits(RegionGraph((eye, hand)))


# Senses


def test_the_ideal_observer_is_as_good_as_the_closed_form_says():
    rng = torch.Generator().manual_seed(0)
    for noise in (0.3, 0.5, 1.0):
        x, y = tasks.senses_trials(100_000, rng, noise=noise, delay=1)
        guess = x[:, 0, :8].view(-1, 2, 4).mean(-1).sign().prod(-1) > 0
        got = (guess == y).double().mean().item()
        p = ndtr(1 / noise)
        assert tasks.senses_best(noise) == pytest.approx(p**2 + (1 - p) ** 2)
        assert got == pytest.approx(tasks.senses_best(noise), abs=4 * 0.5 / 100_000**0.5)


def test_nothing_but_the_first_glimpses_together_tells_the_answer():
    x, y = tasks.senses_trials(50_000, torch.Generator().manual_seed(1), delay=4)
    sign = (2 * y - 1)[:, None].float()
    alone = (x.flatten(1)[:, :] * sign).mean(0)
    assert alone[: 7 * 9].abs().max() < 4 / 50_000**0.5
    pairs = x[..., :4].mean(-1) * x[..., 4:8].mean(-1) * sign  # eye × ear in each moment
    assert pairs[:, 0].mean() == pytest.approx(0.25, abs=0.01)
    assert pairs[:, 1:].mean(0).abs().max() < 0.01


def test_senses_trials_follow_from_the_seed():
    task = tasks.senses(delay=2)
    (x, _), (other, _) = task.data_for(0).train, task.data_for(1).train
    assert torch.equal(task.data_for(0).train[0], x)
    assert not torch.equal(other, x)
    assert not torch.equal(task.data_for(0).test[0], x[:2000])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_senses_can_be_learned_nearly_as_well_as_can_be(seed):
    task = tasks.senses()
    model = train(task, seed, 1000)
    assert task.constraints["weight"].violation(model.weight.detach()) == 0
    assert tasks.senses_best() - 0.03 < score(task, model, seed) < tasks.senses_best() + 0.02


def test_senses_needs_both_senses_wired():
    deaf = tasks.senses(tasks.eye_and_ear().without_pathway("ear", "association"))
    assert score(deaf, train(deaf, 0, 1000)) == pytest.approx(0.5, abs=0.05)


def test_senses_remembers_without_a_loop_of_pathways():
    # each region's own connections are memory too; as a feed-forward network it would forget
    task = tasks.senses(tasks.eye_and_ear().without_pathway("motor", "association"))
    model, x = task.start_model(0), task.data_for(0).test[0][:5]
    changed = x.clone()
    changed[:, 0] += 1
    assert (model(x)[:, -1] != model(changed)[:, -1]).all()


def test_senses_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="got noise=0, delay=5"):
        tasks.senses(noise=0)
    with pytest.raises(ValueError, match=r"got noise=0\.5, delay=0"):
        tasks.senses(delay=0)


# Two digits


def test_two_digits_never_shows_a_training_image_in_the_test():
    data = tasks.two_digits().data_for(0)
    seen, tested = (
        {tuple(row) for row in x.view(-1, 64).tolist()} for x in (data.train[0], data.test[0])
    )
    assert not seen & tested
    assert {part: tuple(x.shape) for part, (x, _) in data.parts.items()} == {
        "train": (4000, 128),
        "validation": (400, 128),
        "test": (2000, 128),
    }
    pair = (t.tolist() for t in tasks.digit_images()["test"])
    images = {tuple(x): y for x, y in zip(*pair, strict=True)}
    x, y = data.test
    assert all(images[tuple(x[i, :64].tolist())] == y[i, 0] for i in range(50))
    assert all(images[tuple(x[i, 64:].tolist())] == y[i, 1] for i in range(50))


def wiggle(model, x):
    """Which of the 20 logits depend on which of the 128 pixels."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(row[None])[0]))(x)
    return (jacobian != 0).any(0)


def test_two_digits_constraints_keep_the_sides_apart_and_the_start_does_not():
    task = tasks.two_digits()
    model = task.start_model(0)
    x = task.data_for(0).test[0][:20]
    # pixels that are blank in all these images still have a gradient: it is the weights that count
    assert wiggle(model, x).all()
    for name, c in task.constraints.items():
        parameter = model.get_parameter(name)
        parameter.data = c.project(parameter.data)
    own = torch.zeros(20, 128, dtype=torch.bool)
    own[:10, :64] = own[10:, 64:] = True
    assert torch.equal(wiggle(model, x), own)


def test_a_region_of_both_sides_is_not_bound():
    brain = RegionGraph((Region("brain", 64, input=True, output=True),))
    assert list(tasks.two_digits(brain).constraints) == ["weight"]
    left = Region("left eye", 8, input=64, output=True)
    both = Region("both", 4, input=True, output=True)
    task = tasks.two_digits(RegionGraph((left, both)))
    assert list(task.constraints) == ["weight", "output_weight"]
    wanted = torch.ones(20, 12, dtype=torch.bool)
    wanted[10:, :8] = False
    assert torch.equal(task.constraints["output_weight"].mask, wanted)
    task.check()


def test_two_hemispheres_without_commissure_keep_the_sides_apart():
    task = tasks.two_digits(two_hemispheres(features=True, commissure=0))
    model = task.start_model(0)
    for name, c in task.constraints.items():
        parameter = model.get_parameter(name)
        parameter.data = c.start(parameter.data)
    depends = wiggle(model, task.data_for(0).test[0][:20])
    assert depends[:10, :64].any()
    assert depends[10:, 64:].any()
    assert not depends[:10, 64:].any()
    assert not depends[10:, :64].any()


def test_lesions_dissociate_in_two_halves():
    task = tasks.two_digits()
    model = train(task, 0, 800)
    skills = (tasks.left_accuracy, tasks.right_accuracy)
    intact = [score(task, model, metric=skill) for skill in skills]
    assert min(intact) > 0.9
    assert score(task, model) == pytest.approx(sum(intact) / 2)
    model.output_weight.data[:, :32] = 0  # silence the left half
    left, right = (score(task, model, metric=skill) for skill in skills)
    assert left < 0.2
    assert right == intact[1]


# All


@pytest.mark.parametrize(
    "make",
    [tasks.pencil, tasks.digits, tasks.senses, tasks.two_digits, partial(tasks.genes, penalty=0.1)],
    ids=["pencil", "digits", "senses", "two digits", "genes"],
)
def test_every_task_is_whole_and_can_be_sent_elsewhere(make):
    task = pickle.loads(pickle.dumps(make()))
    assert task.check() == (task.constraints, {})
    data = task.data_for(0)
    x, y = data.train
    model = task.start_model(0)
    prediction = model(x[: task.batch_size])
    loss = task.loss(prediction, y[: task.batch_size])
    assert loss.shape == task.metric(prediction, y[: task.batch_size]).shape == ()
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "make",
    [tasks.pencil, tasks.digits, partial(tasks.senses, delay=2), tasks.two_digits, tasks.genes],
    ids=["pencil", "digits", "senses", "two digits", "genes"],
)
def test_seeds_together_are_seeds_alone(make):
    task = make()
    seeds = range(3)
    models = [task.start_model(seed).double() for seed in seeds]
    pairs = [task.data_for(seed).to(dtype=torch.float64).test for seed in seeds]
    x, y = (torch.stack([pair[i][:16] for pair in pairs]) for i in (0, 1))
    weights, buffers = torch.func.stack_module_state(models)

    def one(weights, buffers, x, y):
        prediction = torch.func.functional_call(models[0], (weights, buffers), (x,))
        return task.loss(prediction, y), task.metric(prediction, y)

    together = torch.vmap(one)(weights, buffers, x, y)
    alone = [
        (task.loss(m(a), b), task.metric(m(a), b)) for m, a, b in zip(models, x, y, strict=True)
    ]
    for got, wanted in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(list(wanted)))
