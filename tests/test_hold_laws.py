"""Every constraint of the table of laws, held on a model of its own shape."""

import copy
import io

import pytest
import torch
from test_laws import LAWS, values
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
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    return model, optimizer, sk.hold(model, {"weight": c}, strategy, optimizer)


def train(c, model, optimizer, held, goal, run=None):
    for _ in range(10):
        optimizer.zero_grad()
        (model if run is None else run)(goal).backward()
        optimizer.step()
        assert held.violation()["weight"] <= c.tolerance(torch.float32)


@pytest.mark.parametrize(("c", "shape"), LAWS)
class TestEveryConstraint:
    def test_is_held_and_learns(self, c, shape, strategy):
        model, optimizer, held = held_model(c, shape, strategy)
        start, goal = model.weight.detach().clone(), values(shape, torch.float32, seed=1)
        train(c, model, optimizer, held, goal)
        moved = (model.weight.detach() - start).abs().max().item()
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
