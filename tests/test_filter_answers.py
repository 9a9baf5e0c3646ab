"""Training under a drawn filter where the answer is known: the best kernels, no step outside."""

from functools import partial

import cvxpy as cp
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper import FilterShape
from shapekeeper.constraints.filters import Subspace
from shapekeeper.constraints.filters.template import Template

DOUBLE = torch.float64
TAPS, FILTERS = 15, 3
SHAPES = {
    "template": FilterShape.lowpass(0.2, 0.6, attenuation_db=30),
    "gain 1": FilterShape.lowpass(0.2, 0.6, attenuation_db=30, gain="unit"),
    "band-limited": FilterShape.bandlimited(0.5, attenuation_db=30),
}
SGD = partial(torch.optim.SGD, lr=0.02, momentum=0.9)
OPTIMIZERS = {
    "SGD": SGD,
    "Adam": partial(torch.optim.Adam, lr=0.1),
    "AdamW": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.0),
    "NAdam": partial(torch.optim.NAdam, lr=0.1),
    "RAdam": partial(torch.optim.RAdam, lr=0.1),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.03),
}


def regression() -> tuple[torch.Tensor, torch.Tensor]:
    """Signals as long as the kernel, of very different size at each tap, and what is wanted."""
    rng = torch.Generator().manual_seed(0)
    size = torch.logspace(0.5, -0.5, TAPS, dtype=DOUBLE)[torch.randperm(TAPS, generator=rng)]
    x = torch.randn(60, TAPS, generator=rng, dtype=DOUBLE) * size
    window = torch.hann_window(TAPS, periodic=False, dtype=DOUBLE)
    gains = torch.tensor([[1.0], [-0.5], [2.0]], dtype=DOUBLE)
    wanted = 0.3 * torch.randn(FILTERS, TAPS, generator=rng, dtype=DOUBLE) + window * gains
    y = x @ wanted.T + 0.1 * torch.randn(60, FILTERS, generator=rng, dtype=DOUBLE)
    return x, y


X, Y = regression()


def loss(kernels: torch.Tensor) -> float:
    return F.mse_loss(X @ kernels.reshape(FILTERS, TAPS).T, Y).item()


def best(shape: FilterShape) -> float:
    """The smallest loss of allowed kernels, by another solver."""
    total = 0.0
    for wanted in Y.numpy().T:
        if shape.kind == "band-limited":
            seen = X.numpy() @ Subspace.of(shape.pieces, (TAPS,)).basis
            total += np.linalg.lstsq(seen, wanted, rcond=None)[1][0]
            continue
        template = Template.of(shape.pieces, TAPS, shape.gain)
        a = cp.Variable(template.basis.shape[1])
        miss = cp.sum_squares(X.numpy() @ template.basis @ a - wanted)
        found = []
        for sign in (1, -1) if shape.gain == "free" else (1,):  # a kernel may have either
            problem = cp.Problem(cp.Minimize(miss), [template.rows @ (sign * a) <= template.limits])
            found.append(problem.solve(solver="CLARABEL", tol_gap_rel=1e-10, tol_feas=1e-10))
        total += min(found)
    return total / Y.numel()


BEST = {name: best(shape) for name, shape in SHAPES.items()}


def layer(shape: FilterShape) -> nn.Conv1d:
    torch.manual_seed(3)
    made = nn.Conv1d(1, FILTERS, TAPS, bias=False, dtype=DOUBLE)
    made.weight.data = shape.start(made.weight.data)
    return made


def trained(shape, build, steps, strategy=None, after=None) -> torch.Tensor:
    """A plain loop with a rate that falls to nothing."""
    model = layer(shape)
    optimizer = build(model.parameters())
    if strategy is not None:
        sk.hold(model, {"weight": shape}, strategy, optimizer)
    fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / steps) ** 2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(X[:, None]), Y[..., None]).backward()
        optimizer.step()
        fall.step()
        if after is not None:
            with torch.no_grad():
                model.weight.copy_(after(model.weight))
    return model.weight.detach()


class TestKnownAnswer:
    """Convex regression: whoever claims the constrained optimum has to arrive at it."""

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("name", SHAPES)
    def test_projection_arrives(self, name, optimizer):
        shape = SHAPES[name]
        weight = trained(shape, OPTIMIZERS[optimizer], 1000, sk.Projection())
        assert shape.allows(weight).all()
        # The tracker ends inside by less than its last step, never below the optimum.
        assert -1e-6 < loss(weight) / BEST[name] - 1 < 1e-4

    @pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
    def test_free_numbers_of_the_subspace_arrive(self, optimizer):
        shape = SHAPES["band-limited"]
        weight = trained(shape, OPTIMIZERS[optimizer], 1000, sk.Reparametrization())
        assert abs(loss(weight) / BEST["band-limited"] - 1) < 1e-6

    @pytest.mark.parametrize("name", ["template", "gain 1"])
    def test_free_numbers_of_a_template_come_near(self, name):
        """Allowed, and a few percent above after as many steps: they arrive late."""
        shape = SHAPES[name]
        weight = trained(shape, OPTIMIZERS["Adam"], 1000, sk.Reparametrization())
        assert shape.allows(weight).all()
        assert loss(weight) / BEST[name] - 1 < 0.06

    @pytest.mark.parametrize("name", SHAPES)
    def test_adam_then_the_nearest_by_hand_does_not_arrive(self, name):
        shape = SHAPES[name]
        weight = trained(shape, OPTIMIZERS["Adam"], 1000, after=shape.project)
        assert shape.allows(weight).all()
        assert loss(weight) / BEST[name] - 1 > 0.02

    def test_compare_arrives_too(self):
        data = sk.Data((X[:, None], Y[..., None]), (X[:, None], Y[..., None]))
        for name, shape in SHAPES.items():
            for build in (SGD, OPTIMIZERS["Adam"]):
                task = sk.Task(
                    "regression", model=lambda seed, shape=shape: layer(shape), data=data,
                    loss=F.mse_loss, metric=F.mse_loss, better="lower", batch_size=len(X),
                    constraints={"weight": shape}, optimizer=build,
                )  # fmt: skip
                found = sk.compare(task, [sk.Projection()], seeds=2, steps=1500)
                assert (found.final()["metric"] / BEST[name] - 1).abs().max() < 1e-3
                assert found.final()["violation_peak"].max() <= 0.02

    def test_sgd_on_the_subspace_is_sgd_on_its_coordinates(self):
        shape = SHAPES["band-limited"]
        basis = torch.from_numpy(Subspace.of(shape.pieces, (TAPS,)).basis)

        def in_coordinates(build) -> torch.Tensor:
            theta = (layer(shape).weight.detach()[:, 0] @ basis).requires_grad_()
            optimizer = build([theta])
            for _ in range(200):
                optimizer.zero_grad()
                F.mse_loss(X @ basis @ theta.T, Y).backward()
                optimizer.step()
            return (theta @ basis.T).detach()

        def held(build) -> torch.Tensor:
            model = layer(shape)
            optimizer = build(model.parameters())
            sk.hold(model, {"weight": shape}, sk.Projection(), optimizer)
            for _ in range(200):
                optimizer.zero_grad()
                F.mse_loss(model(X[:, None]), Y[..., None]).backward()
                optimizer.step()
            return model.weight.detach()[:, 0]

        torch.testing.assert_close(held(SGD), in_coordinates(SGD), rtol=0, atol=1e-9)
        adam = partial(torch.optim.Adam, lr=1e-2)
        assert (held(adam) - in_coordinates(adam)).abs().max() > 1e-2


# -- not one step outside --------------------------------------------------------------------------

PLANES = {
    "band-limited": (FilterShape.bandlimited(0.5, attenuation_db=30), 15),
    "band-limited twice": (FilterShape.bandlimited([(0, 0.1), (0.6, 1)]), 31),
    "low-pass": (FilterShape.lowpass(0.2, 0.4), 31),
    "low-pass of gain 1": (FilterShape.lowpass(0.2, 0.45, gain="unit"), 24),
    "notch": (FilterShape.bandstop((0.25, 0.75), (0.4, 0.6), attenuation_db=30), 31),
}
HARD = {
    "Projection": sk.Projection(),
    "Reparametrization": sk.Reparametrization(),
    "Freeze": sk.Freeze(),
    "Staged": sk.Staged(sk.Stage(0.3, sk.Unconstrained()), sk.Stage(0.7, sk.Projection())),
}


class Noisy(nn.Module):
    """A normalization behind the shaped layer: only relative levels mean anything."""

    def __init__(self, taps: int) -> None:
        super().__init__()
        self.shaped = nn.Conv1d(2, 4, taps, padding="same", padding_mode="circular")
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.shaped(x)).relu().mean(-1))


def noisy_data() -> sk.Data:
    rng = torch.Generator().manual_seed(5)
    x, y = torch.randn(96, 2, 48, generator=rng), torch.randint(3, (96,), generator=rng)
    return sk.Data((x[:64], y[:64]), (x[64:], y[64:]))


@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["Adam", "AdamW that decays"])
@pytest.mark.parametrize("name", PLANES)
def test_no_hard_strategy_ever_leaves_the_drawing(name, decay):
    """Single precision, random labels, a large rate: every step of every run is watched."""
    shape, taps = PLANES[name]
    task = sk.Task(
        "noise", model=lambda seed: Noisy(taps), data=noisy_data(), loss=F.cross_entropy,
        metric=sk.tasks.accuracy, constraints={"shaped.weight": shape}, batch_size=16,
        optimizer=partial(torch.optim.AdamW, lr=3e-2, weight_decay=decay),
    )  # fmt: skip
    found = sk.compare(task, HARD, seeds=2, steps=150)
    assert found.final()["violation_peak"].max() <= 0.02
    free = sk.compare(task, [sk.Unconstrained()], seeds=1, steps=20)
    assert free.final()["violation"].min() > 1
    dense = np.linspace(0, 1, 4096)
    low, high = shape.limits(dense)
    for label in HARD:
        for kernel in found.models(label)[0].shaped.weight.detach().double().reshape(-1, taps):
            power = np.abs(np.polyval(kernel.numpy(), np.exp(-1j * np.pi * dense)))
            level = power / shape.reference(kernel).item()
            with np.errstate(divide="ignore"):
                assert (20 * np.log10(level / high)).max() <= 0.02
                assert (20 * np.log10(low / level)).max() <= 0.02


# -- a strength that grows -------------------------------------------------------------------------


def test_a_growing_price_ends_inside_where_a_fixed_one_does_not():
    strategies = {"fixed": sk.Penalty(1.0), "growing": sk.Penalty(1.0, growth=1.0135)}
    found = sk.compare(sk.tasks.shapes(), strategies, seeds=2, steps=600)
    allowed = found.final()["allowed"].groupby("strategy").mean()
    assert allowed["fixed"] < 0.8
    assert allowed["growing"] > 0.9


def test_a_growing_price_asks_for_a_margin():
    shape = PLANES["low-pass"][0]
    kernels = shape.project(torch.randn(1, 5, 31, generator=torch.Generator().manual_seed(0)))
    growing, memory = sk.Penalty(1.0, growth=1.1), {"strength": torch.ones(1)}
    assert sk.Penalty(1.0).price(shape, kernels, {}).item() < 1e-5
    assert growing.price(shape, kernels, memory).item() > 1e-4


# -- a shorter network first -----------------------------------------------------------------------


def test_a_small_rate_drifts_within_the_bound_of_adam():
    """D. P. Kingma and J. Ba 2015, section 2.1: a step of Adam is about its rate at most."""
    task = sk.tasks.shapes()
    shape, steps, rate, lr = task.constraints["shaped.weight"], 200, 0.01, 3e-3
    model = task.start_model(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    slow = sk.Staged(sk.Stage(1.0, sk.Unconstrained(), rate=rate))
    sk.hold(model, {"shaped.weight": shape}, slow, optimizer, steps=steps)
    before = model.shaped.weight.detach().clone()
    x, y = task.data_for(0).train
    for step in range(steps):
        batch = slice(32 * step % len(x), 32 * step % len(x) + 32)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    dense = np.linspace(0, 1, 500)
    response = sk.constraints.filters.response
    drift = (response(model.shaped.weight.detach(), dense) - response(before, dense)).abs().max()
    bound = 15 * lr * rate * steps
    assert bound / 20 < drift.item() < bound
