"""Nodes that must stay in a range."""

import pytest
import torch

import shapekeeper as sk
from shapekeeper.tasks import ranges


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_a_range_is_left_by_training_alone_and_kept_by_both_forms(shift):
    task = ranges(shift=shift)
    strategies = [sk.Unconstrained(), sk.Projection(), sk.Reparametrization()]
    found = sk.compare(task, strategies, seeds=2, steps=40)
    last = found.frame[found.frame["step"] == 40].groupby("strategy")["violation"].max()
    assert last["Unconstrained"] > 0.1
    assert last["Projection"] == last["Reparametrization"] == 0
    start = task.start_model(0).nodes(task.data_for(0).train[0])
    assert (start.mean() > 1.5) == (shift > 0)


def test_far_inputs_reach_four_times_as_far():
    data = ranges().data_for(0)
    assert 0.9 < data.train[0].abs().max() <= 1
    assert 3.6 < data.shifted["far"][0].abs().max() <= 4
    x, y = data.test
    torch.testing.assert_close(y[:, 0], (3 * x[:, 0]).sin() * (2 * x[:, 1]).cos())


def test_nodes_that_start_outside_are_dead_under_a_hard_clamp_and_those_inside_are_not():
    alive = []
    for shift in (0.0, 2.0):
        task = ranges(shift=shift)
        model, (x, y) = task.start_model(0), task.data_for(0).train
        nodes = model.nodes(x).detach().requires_grad_()
        task.loss(model.surface(nodes.clamp(0, 1)), y).backward()
        inside = (nodes > 0) & (nodes < 1)
        assert torch.equal(nodes.grad != 0, inside)
        alive.append(inside.double().mean().item())
    assert alive[0] > 0.3
    assert alive[1] == 0


def test_points_are_drawn_by_the_seed_and_parts_are_not_each_other():
    first, again, other = (ranges().data_for(seed).parts for seed in (0, 0, 1))
    for name, (x, y) in first.items():
        assert torch.equal(x, again[name][0])
        assert torch.equal(y, again[name][1])
        assert not torch.equal(x, other[name][0])
    assert not torch.equal(first["train"][0], first["test"][0])
    assert ranges(shift=2.0).code == "sk.tasks.ranges(shift=2.0)"
