"""Tasks of constrained Langevin training: drawn as said, split without leaks, bound by a rule."""

import math
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.randomness import generator
from shapekeeper.tasks import Circles, Spirals, noisy_digits, spirals


def rows(x):
    return {tuple(row) for row in x.flatten(1).tolist()}


# Rules


def test_circles_bind_every_matrix_the_first_with_a_radius_of_its_own():
    task = spirals(hidden=(100, 100), constraints=Circles(5, 2))
    radii = {name: circle.radius for name, circle in task.constraints.items()}
    assert radii == {"0.weight": 5, "2.weight": 2, "4.weight": 2}
    assert {c.radius for c in Circles(3)(task.start_model(0)).values()} == {3}


def test_circles_bind_kernels_and_tables_too():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Embedding(4, 2))
    assert list(Circles(9)(net)) == ["0.weight", "2.weight"]


def test_circles_that_the_start_does_not_fit_on_are_refused_all_at_once():
    with pytest.raises(sk.TaskError, match=r"first=0\.7072.*others=0\.1001") as error:
        spirals(constraints=Circles(0.5, 0.05))
    assert len(error.value.problems) == 2
    assert spirals(constraints=Circles(0.7072, 0.1001)).constraints
    with pytest.raises(sk.TaskError, match=r"'2\.weight' starts.*wanted others="):
        noisy_digits(constraints=Circles(0.2, 0.02))
    with pytest.raises(sk.TaskError, match=r"'0\.weight' starts with numbers up to 4"):
        Circles(4.0)(nn.Sequential(nn.Embedding.from_pretrained(torch.full((3, 2), 4.1))))
    with pytest.raises(sk.ConstraintError, match="radius above 0"):
        Circles(1.0, 0.0)


def test_constraints_may_be_named_one_by_one():
    box = sk.Box(-1, 1)
    assert spirals(constraints={"2.weight": box}).constraints == {"2.weight": box}
    assert spirals().constraints == {}


def test_the_code_of_a_task_says_its_rule():
    for task in (spirals(constraints=Circles(5, 2), hidden=(9,)), noisy_digits(redrawn=0.2)):
        again = eval(task.code, {"sk": sk})
        assert again.constraints == task.constraints
        assert again.code == task.code


# Spirals


def test_points_lie_on_the_curve_and_the_other_class_opposite():
    shape = Spirals(radius=2.0, turns=3.0, power=0.5, noise=0.0)
    x, y = shape.points(2000, generator(0, "x"))
    first, second = x[y == 0], x[y == 1]
    assert torch.equal(second, -first)
    # without noise, radius and angle say the same: angle = 2 pi turns radius / 2
    out = first.norm(dim=1) / 2
    assert out.max() <= 1
    turned = torch.stack([(6 * math.pi * out).cos(), (6 * math.pi * out).sin()], 1)
    assert_close(first, 2 * out[:, None] * turned, atol=1e-5, rtol=0)


def test_a_power_of_one_half_spreads_points_evenly_over_the_disk():
    x, _ = Spirals(noise=0.0).points(40_000, generator(0, "x"))
    for r in (0.3, 0.5, 0.9):
        inside = (x.norm(dim=1) < r).double().mean().item()
        assert inside == pytest.approx(r**2, abs=4 * r * math.sqrt((1 - r**2) / 20_000))


def test_noise_has_its_standard_deviation_and_is_each_points_own():
    noisy, y = Spirals(noise=0.05).points(20_000, generator(0, "x"))
    clean, _ = Spirals(noise=0.0).points(20_000, generator(0, "x"))
    off = noisy - clean
    assert off.std().item() == pytest.approx(0.05, rel=4 / math.sqrt(2 * 40_000))
    together = torch.corrcoef(torch.cat([off[y == 0], off[y == 1]], 1).T) - torch.eye(4)
    assert together.abs().max() < 4 / math.sqrt(10_000)


def test_each_seed_draws_its_own_points_and_always_the_same():
    task = spirals()
    first, again, other = (task.data_for(seed) for seed in (0, 0, 1))
    for part, (x, y) in first.parts.items():
        assert torch.equal(again.parts[part][0], x)
        assert not rows(other.parts[part][0]) & rows(x)
        assert y.bincount().tolist() == [len(y) // 2] * 2
    assert not rows(first.train[0]) & (rows(first.test[0]) | rows(first.validation[0]))
    assert not torch.equal(task.start_model(0)[0].weight, task.start_model(1)[0].weight)


def test_the_tight_spirals():
    task = spirals(radius=2, turns=4, noise=0.02, train=500, test=1000, batch_size=25)
    data = task.data_for(0)
    assert len(data.train[1]) == 500
    assert len(data.test[1]) == 1000
    assert data.test[0].norm(dim=1).max().item() == pytest.approx(2, abs=0.1)


def test_loss_and_accuracy_of_a_spiral_by_hand():
    task = spirals()
    logit, target = torch.tensor([[0.0], [2.0], [1.0]]), torch.tensor([0, 1, 0])
    wanted = (math.log(2) + math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 3
    assert task.loss(logit, target).item() == pytest.approx(wanted)
    assert task.metric(logit, target).item() == pytest.approx(2 / 3)


def test_spirals_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"train must be even.*got 7.*test.*got 0") as error:
        spirals(train=7, test=0)
    assert len(error.value.problems) == 2
    with pytest.raises(sk.TaskError, match=r"turns must be above 0, got 0.*noise.*got -1"):
        spirals(turns=0, noise=-1)
    with pytest.raises(sk.TaskError, match=r"needs a unit, got sizes=\(2, 0, 1\)"):
        spirals(hidden=(0,)).start_model(0)


# Noisy digits


def true_labels(x):
    bunch = load_digits()
    known = {tuple(row): int(y) for row, y in zip(bunch.data, bunch.target, strict=True)}
    return torch.tensor([known[tuple(row)] for row in (x * 16).tolist()])


def test_a_tenth_of_the_labels_is_redrawn_and_a_tenth_of_these_stays_right():
    wrong = []
    for seed in range(40):
        x, y = noisy_digits().data_for(seed).train
        off = y != true_labels(x)
        assert off[30:].sum() == 0
        wrong.append(off[:30])
    share = torch.cat(wrong).double().mean().item()
    assert share == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 1200))


def test_validation_and_test_keep_their_labels():
    data = noisy_digits(redrawn=1.0).data_for(3)
    for x, y in (data.validation, data.test):
        assert torch.equal(y, true_labels(x))


def test_no_image_of_the_test_is_ever_learned_from_or_chosen_by():
    task = noisy_digits()
    test = rows(task.data_for(0).test[0])
    for seed in range(5):
        data = task.data_for(seed)
        train, validation = rows(data.train[0]), rows(data.validation[0])
        assert rows(data.test[0]) == test
        assert (len(train), len(validation), len(test)) == (300, 900, 597)
        assert not train & validation
        assert not test & (train | validation)


def test_each_seed_learns_from_its_own_images():
    task = noisy_digits()
    first, again, other = (task.data_for(seed).train for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert 50 < len(rows(first[0]) & rows(other[0])) < 130  # 90 by chance


def test_noisy_digits_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"train must be from 1 to 999, got 1000.*redrawn.*-1"):
        noisy_digits(train=1000, redrawn=-1)


# In company


@pytest.mark.parametrize("make", [spirals, partial(noisy_digits, hidden=(20, 20))])
def test_runs_are_trained_as_one_program(make):
    task = make(constraints=Circles(5, 2))
    found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=3)
    assert found.notes == []
    assert found.final()["loss"].notna().all()


def test_a_circle_keeps_noisy_labels_from_being_learned_by_heart():
    task = noisy_digits(constraints=Circles(0.175, 0.225))
    found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=3, steps=1500)
    last = found.final().groupby(level="strategy").mean()
    assert last["loss"]["Unconstrained"] < 0.9 * last["loss"]["Projection"]
    assert last["loss:test"]["Projection"] < 0.95 * last["loss:test"]["Unconstrained"]
    assert last["metric"]["Projection"] > last["metric"]["Unconstrained"]
