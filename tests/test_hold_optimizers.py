"""`hold` on sets that are no product of intervals, and what optimizers do to them."""

from functools import partial
from math import sqrt

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.optimizers import equalize_second_moment

DOUBLE = torch.float64

# -- a badly scaled quadratic on a sphere, whose optimum follows from one scalar equation ---------

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
X = torch.linalg.qr(X)[0] * 8 * torch.tensor([5.0, 2.0, 1.0, 0.4, 0.2], dtype=DOUBLE)
Y = X @ torch.tensor([[0.5, -1.0, 1.5, 2.0, -2.5]], dtype=DOUBLE).T


def optimum(radius: float = 1.0) -> np.ndarray:
    """J. J. Moré and D. C. Sorensen 1983: (A + s I) w = b with |w| = radius and A + s I >= 0."""
    a, b = (X.T @ X).numpy(), (X.T @ Y).numpy()[:, 0]
    lengths = lambda s: np.linalg.norm(np.linalg.solve(a + s * np.eye(5), b)) - radius  # noqa: E731
    lowest = -np.linalg.eigvalsh(a)[0]
    return np.linalg.solve(a + brentq(lengths, lowest + 1e-9, 1e6) * np.eye(5), b)


def task(optimizer) -> sk.Task:
    def model(seed):
        layer = nn.Linear(5, 1, bias=False, dtype=DOUBLE)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[0.5, -0.5, 0.5, 0.3, -0.4]]))
        return nn.Sequential(layer)

    return sk.Task(
        "sphere",
        model=model,
        data=sk.Data((X, Y), (X, Y)),
        loss=F.mse_loss,
        metric=lambda prediction, y: -F.mse_loss(prediction, y).item(),
        constraints={"0.weight": sk.Sphere()},
        batch_size=64,
        optimizer=optimizer,
    )


def trained(optimizer, steps: int, project=None) -> np.ndarray:
    """A plain loop: `project` of one's own after each step, or `hold`."""
    model = task(optimizer).model(0)
    moving = optimizer(model.parameters())
    if project is None:
        sk.hold(model, {"0.weight": sk.Sphere()}, sk.Projection(), moving)
    for _ in range(steps):
        moving.zero_grad()
        F.mse_loss(model(X), Y).backward()
        moving.step()
        if project is not None:
            with torch.no_grad():
                model[0].weight.copy_(project(model[0].weight))
    return model[0].weight.detach().numpy()[0]


ADAPTIVE = {
    "Adam": partial(torch.optim.Adam, lr=1e-2),
    "AdamW": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.0),
    "NAdam": partial(torch.optim.NAdam, lr=1e-2),
    "RAdam": partial(torch.optim.RAdam, lr=1e-2),
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-2),
}


class TestSphere:
    def test_the_optimum_is_one(self):
        best = optimum()
        assert np.linalg.norm(best) == pytest.approx(1)
        gradient = (X.T @ (X @ torch.from_numpy(best[:, None]) - Y)).numpy()[:, 0]
        normal = best * (gradient @ best)
        np.testing.assert_allclose(gradient, normal, rtol=1e-6)
        draws = np.random.default_rng(0).normal(size=(100_000, 5))
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        losses = ((draws @ X.T.numpy() - Y.T.numpy()) ** 2).mean(1)
        assert losses.min() >= ((X.numpy() @ best - Y.numpy()[:, 0]) ** 2).mean()

    @pytest.mark.parametrize("optimizer", ADAPTIVE.values(), ids=ADAPTIVE.keys())
    def test_projection_ends_at_the_optimum(self, optimizer):
        found = trained(optimizer, steps=2000)
        np.testing.assert_allclose(found, optimum(), atol=1e-5)

    @pytest.mark.parametrize("optimizer", ADAPTIVE.values(), ids=ADAPTIVE.keys())
    def test_without_one_rate_for_each_event_it_would_not(self, optimizer):
        found = trained(optimizer, steps=2000, project=sk.Sphere().project)
        assert np.linalg.norm(found - optimum()) > 0.05

    @pytest.mark.parametrize("optimizer", ADAPTIVE.values(), ids=ADAPTIVE.keys())
    def test_compare_ends_there_too(self, optimizer):
        found = sk.compare(task(optimizer), [sk.Projection()], seeds=[0], steps=2000)
        for model in found.models("Projection"):
            np.testing.assert_allclose(model[0].weight.detach()[0], optimum(), atol=1e-5)

    def test_reparametrization_and_sgd_end_there(self):
        for strategy, build in [
            (sk.Projection(), partial(torch.optim.SGD, lr=1e-2, momentum=0.9)),
            (sk.Reparametrization(), partial(torch.optim.SGD, lr=1e-2, momentum=0.9)),
            (sk.Reparametrization(), partial(torch.optim.Adam, lr=1e-2)),
        ]:
            model = task(build).model(0)
            optimizer = build(model.parameters())
            sk.hold(model, {"0.weight": sk.Sphere()}, strategy, optimizer)
            for _ in range(1500):
                optimizer.zero_grad()
                F.mse_loss(model(X), Y).backward()
                optimizer.step()
            np.testing.assert_allclose(model[0].weight.detach()[0], optimum(), atol=1e-4)


REFUSED = {
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adamax": torch.optim.Adamax,
    "Rprop": torch.optim.Rprop,
    "Adafactor": torch.optim.Adafactor,
    "RMSprop": partial(torch.optim.RMSprop, centered=True),
}


class TestRefusals:
    @pytest.mark.parametrize("name", REFUSED)
    def test_that_rescale_for_good(self, name):
        words = f"Projection can't hold 'weight': {name} rescales each number by itself, and Sphere"
        layer = nn.Linear(3, 2)
        optimizer = REFUSED[name](layer.parameters())
        with pytest.raises(sk.HoldError, match=words):
            sk.hold(layer, {"weight": sk.Sphere()}, sk.Projection(), optimizer)
        sk.hold(layer, {"weight": sk.Sphere()}, sk.Projection())
        layer(torch.ones(1, 3)).sum().backward()
        before = layer.weight.clone()
        with pytest.raises(sk.HoldError, match=words):
            optimizer.step()
        assert torch.equal(layer.weight, before)

    def test_a_product_of_intervals_does_not_mind(self):
        for build in REFUSED.values():
            layer = nn.Linear(3, 2)
            sk.hold(layer, {"weight": sk.Box(0, 1)}, sk.Projection(), build(layer.parameters()))

    @pytest.mark.parametrize("c", [sk.Connections([[1, 0], [0, 1]]), sk.Sphere()])
    def test_muon_mixes(self, c):
        layer = nn.Linear(2, 2, bias=False)
        muon = torch.optim.Muon(layer.parameters())
        with pytest.raises(sk.HoldError, match="Muon lets gradients of forbidden directions move"):
            sk.hold(layer, {"weight": c}, sk.Projection(), muon)

    @pytest.mark.parametrize(
        "strategy",
        [sk.Projection(), sk.Freeze(), sk.Penalty(1.0, norm="absolute"), sk.Projection(every=2)],
        ids=lambda s: s.label,
    )
    def test_lbfgs_moves_many_times_inside_one_step(self, strategy):
        layer = nn.Linear(3, 2)
        optimizer = torch.optim.LBFGS(layer.parameters())
        words = "can't hold 'weight': LBFGS takes many steps inside one, and .* acts between steps"
        with pytest.raises(sk.HoldError, match=words):
            sk.hold(layer, {"weight": sk.Box(0, 1)}, strategy, optimizer)
        staged = sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, strategy))
        with pytest.raises(sk.HoldError, match=words):
            sk.hold(layer, {"weight": sk.Box(0, 1)}, staged, optimizer, steps=4)


MASK = torch.rand(6, 6, generator=torch.Generator().manual_seed(4)) < 0.5


def regression(build, strategy, steps: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Masked linear regression; also the optimum, by least squares on each row's open columns."""
    draw = torch.Generator().manual_seed(0)
    scales = torch.tensor([3, 1, 0.3, 2, 1, 0.5], dtype=DOUBLE)
    x = torch.randn(40, 6, generator=draw, dtype=DOUBLE) * scales
    y = x @ torch.randn(6, 6, generator=draw, dtype=DOUBLE)
    best = torch.zeros(6, 6, dtype=DOUBLE)
    for row, open_columns in zip(range(6), MASK, strict=True):
        solution = torch.linalg.lstsq(x[:, open_columns], y[:, row : row + 1]).solution
        best[row, open_columns] = solution[:, 0]
    torch.manual_seed(1)
    layer = nn.Linear(6, 6, bias=False, dtype=DOUBLE)
    optimizer = build(layer.parameters())
    held = sk.hold(layer, {"weight": sk.Connections(MASK)}, strategy, optimizer)
    slower = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / steps) ** 2)

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), y) + held.penalty()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        slower.step()
    assert held.violation() == {"weight": 0.0}
    return layer.weight.detach(), best


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (partial(torch.optim.LBFGS, line_search_fn="strong_wolfe"), 30),
        (partial(torch.optim.Muon, lr=0.05, weight_decay=0.0), 2000),
    ],
    ids=["LBFGS", "Muon"],
)
def test_reparametrization_ends_at_the_masked_optimum(build, steps):
    found, best = regression(build, sk.Reparametrization(), steps)
    torch.testing.assert_close(found, best, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "build",
    [
        partial(torch.optim.Adam, lr=0.05),
        partial(torch.optim.Rprop, lr=0.01),
    ],
    ids=["Adam", "Rprop"],
)
def test_projection_on_intervals_ends_at_the_optimum_under_any_elementwise_optimizer(build):
    found, best = regression(build, sk.Projection(), 2000)
    torch.testing.assert_close(found, best, atol=1e-3, rtol=0)


def test_muon_with_a_projection_of_ones_own_would_end_elsewhere():
    """Why it is refused, even on a product of intervals."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=draw, dtype=DOUBLE)
    x *= torch.tensor([3, 1, 0.3, 2, 1, 0.5], dtype=DOUBLE)
    y = x @ torch.randn(6, 6, generator=draw, dtype=DOUBLE)
    torch.manual_seed(1)
    weight = nn.Parameter(torch.randn(6, 6, dtype=DOUBLE) * MASK)
    muon = torch.optim.Muon([weight], lr=0.05, weight_decay=0.0)
    slower = torch.optim.lr_scheduler.LambdaLR(muon, lambda step: (1 - step / 2000) ** 2)
    for _ in range(2000):
        muon.zero_grad()
        F.mse_loss(x @ weight.T, y).backward()
        muon.step()
        slower.step()
        weight.data.mul_(MASK)
    _, best = regression(partial(torch.optim.SGD, lr=0.0), sk.Reparametrization(), 1)
    assert F.mse_loss(x @ weight.T, y) > 1.1 * F.mse_loss(x @ best.T, y)


# -- one second moment for each event, written out by hand ----------------------------------------


class OneMoment:
    """Optimizers of the Adam family whose second moment is one number for each row."""

    def __init__(self, w, lr=1e-2, decay=0.0, amsgrad=False, maximize=False, momentum=0.0):
        self.w, self.lr, self.decay, self.amsgrad = w, lr, decay, amsgrad
        self.sign, self.momentum = -1 if maximize else 1, momentum
        self.t, self.m, self.v, self.peak, self.mu = 0, 0.0, 0.0, torch.zeros(1), 1.0

    def moments(self, g, b1, b2):
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g.square().mean(-1, keepdim=True)
        self.peak = torch.maximum(self.peak.to(self.v), self.v)

    def gradient(self, g):
        return self.sign * g + self.decay * self.w

    def adam(self, g, decoupled=False):
        if decoupled:
            self.w = self.w * (1 - self.lr * self.decay)
        g = self.sign * g if decoupled else self.gradient(g)
        self.moments(g, 0.9, 0.999)
        second = self.peak if self.amsgrad else self.v
        way = self.m / (1 - 0.9**self.t)
        self.w = self.w - self.lr * way / ((second / (1 - 0.999**self.t)).sqrt() + 1e-8)

    def adamw(self, g):
        self.adam(g, decoupled=True)

    def nadam(self, g):
        g = self.gradient(g)
        self.moments(g, 0.9, 0.999)
        now, soon = (0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (self.t, self.t + 1))
        self.mu *= now
        way = g * (1 - now) / (1 - self.mu) + self.m * soon / (1 - self.mu * soon)
        self.w = self.w - self.lr * way / ((self.v / (1 - 0.999**self.t)).sqrt() + 1e-8)

    def radam(self, g):
        self.moments(self.gradient(g), 0.9, 0.999)
        way, last = self.m / (1 - 0.9**self.t), 2 / (1 - 0.999) - 1
        rho = last - 2 * self.t * 0.999**self.t / (1 - 0.999**self.t)
        if rho > 5:
            top, bottom = (rho - 4) * (rho - 2) * last, (last - 4) * (last - 2) * rho
            way = way * sqrt(top / bottom) * sqrt(1 - 0.999**self.t) / (self.v.sqrt() + 1e-8)
        self.w = self.w - self.lr * way

    def rmsprop(self, g):
        g = self.gradient(g)
        self.v = 0.99 * self.v + 0.01 * g.square().mean(-1, keepdim=True)
        self.m = self.momentum * self.m + g / (self.v.sqrt() + 1e-8)
        self.w = self.w - self.lr * self.m


FAMILY = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
}
VARIANTS = [(name, {}, {"decay": 0.01 * (name == "adamw")}) for name in FAMILY]
VARIANTS += [(name, {"weight_decay": 0.3}, {"decay": 0.3}) for name in FAMILY]
VARIANTS += [(name, {"foreach": True, "weight_decay": 0.3}, {"decay": 0.3}) for name in FAMILY]
VARIANTS += [
    (name, {"maximize": True, "weight_decay": 0.3}, {"maximize": True, "decay": 0.3})
    for name in FAMILY
]
VARIANTS += [
    (name, {"amsgrad": True, "weight_decay": 0.3}, {"amsgrad": True, "decay": 0.3})
    for name in ("adam", "adamw")
]
VARIANTS += [
    (name, {"fused": True, "weight_decay": 0.3}, {"decay": 0.3}) for name in ("adam", "adamw")
]
VARIANTS += [
    ("rmsprop", {"momentum": 0.9, "weight_decay": 0.3}, {"momentum": 0.9, "decay": 0.3}),
]


def gradients(steps: int = 40):
    draw = torch.Generator().manual_seed(5)
    scale = torch.tensor([10.0, 1.0, 0.1, 0.01], dtype=DOUBLE)
    return [scale * torch.randn(3, 4, generator=draw, dtype=DOUBLE) for _ in range(steps)]


@pytest.mark.parametrize(("name", "given", "wanted"), VARIANTS, ids=lambda v: str(v))
def test_equalized_optimizers_equal_those_written_with_one_second_moment(name, given, wanted):
    torch.manual_seed(0)
    layer = nn.Linear(4, 3, bias=False, dtype=DOUBLE)
    optimizer = FAMILY[name](layer.parameters(), lr=1e-2, **given)
    sk.hold(layer, {"weight": sk.Sphere()}, sk.Projection(), optimizer)
    by_hand = OneMoment(layer.weight.detach().clone(), **wanted)
    for g in gradients():
        layer.weight.grad = g.clone()
        optimizer.step()
        getattr(by_hand, name)(g)
        by_hand.w = by_hand.w / by_hand.w.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(layer.weight.detach(), by_hand.w, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "given"),
    [*((name, {}) for name in FAMILY), ("adam", {"amsgrad": True}), ("adamw", {"amsgrad": True})],
    ids=str,
)
def test_moments_from_before_are_evened_out_too(name, given):
    """A weight that was trained freely takes steps of one rate for each row from then on."""
    layer = nn.Linear(4, 3, bias=False, dtype=DOUBLE)
    settings = {"weight_decay": 0.0} if name == "adamw" else {}
    optimizer = FAMILY[name](layer.parameters(), lr=1e-2, **settings, **given)
    *before, g = gradients(20)
    for old in before:
        layer.weight.grad = old
        optimizer.step()
    slots = "square_avg" if name == "rmsprop" else "exp_avg_sq"
    mean = optimizer.state[layer.weight][slots].mean(-1).clone()
    sk.hold(layer, {"weight": sk.Sphere()}, sk.Projection(), optimizer)
    layer.weight.grad = g
    optimizer.step()
    decay = 0.99 if name == "rmsprop" else 0.999
    wanted = (decay * mean + (1 - decay) * g.square().mean(-1))[:, None].expand(3, 4)
    torch.testing.assert_close(optimizer.state[layer.weight][slots], wanted)
    if given:
        peak = optimizer.state[layer.weight]["max_exp_avg_sq"]
        torch.testing.assert_close(peak, peak[:, :1].expand(3, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_rounding_never_makes_a_second_moment_negative(dtype):
    """One gradient may dwarf all others of a long event."""
    w = torch.zeros(1, 2**20, dtype=dtype, requires_grad=True)
    adam = torch.optim.Adam([w], lr=1e-2)
    for size in (1.0, 1e3, 1.0):
        w.grad = torch.zeros_like(w)
        w.grad[0, 0] = size
        equalize_second_moment(adam, adam.param_groups[0], w, event_dims=1)
        adam.step()
        second = adam.state[w]["exp_avg_sq"]
        assert (second >= 0).all()
        assert second[0, 0] <= 1.3 * second[0, 1]
        assert w.isfinite().all()


def test_a_step_that_a_scaler_skips_changes_nothing():
    layer = nn.Linear(4, 3, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    sk.hold(layer, {"weight": sk.Sphere()}, sk.Projection(), optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for size in (1.0, float("inf"), 2.0):
        optimizer.zero_grad()
        before = layer.weight.detach().clone()
        scaler.scale((layer(torch.ones(1, 4)) * torch.ones(1, 3)).sum() * size).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped = torch.equal(layer.weight, before)
        assert skipped == (size == float("inf"))
        assert optimizer.state[layer.weight]["exp_avg_sq"].isfinite().all()
    second = optimizer.state[layer.weight]["exp_avg_sq"]
    torch.testing.assert_close(second, torch.full_like(second, 1e-3 * (0.999 * 1 + 4)))
