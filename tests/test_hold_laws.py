"""Every constraint of the table of laws, held on a model of its own shape."""

import copy
import io

import pytest
import torch
from test_laws import DISCRETE, LAWS, values
from torch import nn

import shapekeeper as sk

STRATEGIES = [sk.Projection(), sk.Reparametrization(), sk.Freeze()]


class OneTensor(nn.Module):
    """A parameter of any shape, and a loss that pulls it out of the set."""

    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(values(shape, torch.float32))

    def forward(self, goal):
        return (self.weight - goal).square().mean()


@pytest.fixture(params=STRATEGIES, ids=lambda s: s.label)
def strategy(request):
    return request.param


def held_model(c, shape, strategy):
    model = OneTensor(shape)
    # To leave a point, a projected step has to lead past half of the way to the next one at once;
    # steps of free numbers add up.
    far = 3.0 if strategy == sk.Projection() else 0.3
    optimizer = torch.optim.AdamW(model.parameters(), lr=far if isinstance(c, DISCRETE) else 0.05)
    return model, optimizer, sk.hold(model, {"weight": c}, strategy, optimizer)


def train(c, model, optimizer, held, goal, run=None):
    """Ten steps; returns how far from its start the weight has been."""
    start, farthest = model.weight.detach().clone(), 0.0
    for _ in range(10):
        optimizer.zero_grad()
        (model if run is None else run)(goal).backward()
        optimizer.step()
        assert held.violation()["weight"] <= c.tolerance(torch.float32)
        farthest = max(farthest, (model.weight.detach() - start).abs().max().item())
    return farthest


@pytest.mark.parametrize(("c", "shape"), LAWS)
class TestEveryConstraint:
    def test_is_held_and_learns(self, c, shape, strategy):
        model, optimizer, held = held_model(c, shape, strategy)
        moved = train(c, model, optimizer, held, values(shape, torch.float32, seed=1))
        assert (moved == 0) == (strategy == sk.Freeze())

    def test_compiles_whole_and_to_the_same_numbers(self, c, shape, strategy):
        torch._dynamo.reset()
        goal = values(shape, torch.float32, seed=1)
        plain, compiled = (held_model(c, shape, strategy) for _ in range(2))
        train(c, *plain, goal)
        run = torch.compile(compiled[0], backend="aot_eager", fullgraph=True)
        train(c, *compiled, goal, run=run)
        torch.testing.assert_close(compiled[0].weight, plain[0].weight, rtol=1e-5, atol=1e-6)

    def test_goes_on_after_a_resume_and_in_a_copy(self, c, shape, strategy):
        goal = values(shape, torch.float32, seed=1)
        model, optimizer, held = held_model(c, shape, strategy)
        train(c, model, optimizer, held, goal)
        file = io.BytesIO()
        torch.save([x.state_dict() for x in (model, optimizer, held)], file)
        twin = copy.deepcopy(model)
        moved = torch.optim.AdamW(twin.parameters(), lr=0.05)
        moved.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # else both share it
        train(c, model, optimizer, held, goal)
        train(c, twin, moved, sk.Held.of(twin), goal)
        again = held_model(c, shape, strategy)
        file.seek(0)
        for part, state in zip(again, torch.load(file, weights_only=True), strict=True):
            part.load_state_dict(state)
        train(c, *again, goal)
        assert torch.equal(twin.weight, model.weight)
        assert torch.equal(again[0].weight, model.weight)
