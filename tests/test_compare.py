"""`compare` against a plain training loop, and what it promises when things go wrong."""

import itertools
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from points import CLOSED, DOUBLE, MASK, OPTIMIZERS, Net, points, task
from scipy import stats
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare.statistics import paired_interval, power, seeds_needed
from shapekeeper.randomness import seed_of
from shapekeeper.strategies import stage_ends
from shapekeeper.tasks import batch_indices

SEEDS = [0, 1, 2, 3, 4, 5]


# -- the plain loop: nn.Module, torch.optim and the constraint, nothing of the engine -------------


def fresh(seed: int, make=Net) -> nn.Module:
    torch.manual_seed(seed_of(seed, "model"))
    return make()


def batch_of(data: sk.Data, seed: int, step: int, size: int = 16):
    x, y = data.train
    epoch, k = divmod(step, len(x) // size)
    chosen = batch_indices(seed, epoch, len(x), size)[k]
    return x[chosen], y[chosen]


def set_weight(model: nn.Module, value: torch.Tensor) -> None:
    with torch.no_grad():
        model.first.weight.copy_(value)


def plain_steps(model, data, seed, steps, price=None, after=None, build=None, first=0):
    """Ordinary training of one network; hooks say what one strategy adds to it."""
    optimizer = (build or OPTIMIZERS["Adam with weight decay"])(
        [p for p in model.parameters() if p.requires_grad]
    )
    for step in range(first, first + steps):
        x, y = batch_of(data, seed, step)
        loss = F.cross_entropy(model(x), y)
        if price is not None:
            loss = loss + price(model)
        optimizer.zero_grad()
        loss.backward()
        before = model.first.weight.detach().clone()
        optimizer.step()
        if after is not None:
            set_weight(model, after(before, model.first.weight.detach()))
    return model


def closed_squares(model):
    return 0.7 * (model.first.weight * ~MASK).square().sum()


def plain_unconstrained(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    return plain_steps(model, data, seed, 100, build=build)


def plain_task_start(seed, data, build):
    return plain_steps(fresh(seed), data, seed, 100, build=build)


def plain_penalty(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    return plain_steps(model, data, seed, 100, price=closed_squares, build=build)


def plain_growing(seed, data, build):
    model, strength = plain_start(seed), [0.01]

    def price(net):
        return strength[0] * (net.first.weight * ~MASK).square().sum()

    def grow(before, w):
        if (w * ~MASK).abs().max() > 32 * torch.finfo(DOUBLE).eps:
            strength[0] = min(1.1 * strength[0], 100.0)
        return w

    return plain_steps(model, data, seed, 100, price=price, after=grow, build=build)


def plain_proximal(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))

    def soft_threshold(before, w):
        lr, strength = 1e-2, 0.3
        shrunk = w.sign() * (w.abs() - lr * strength).clamp(min=0)
        return torch.where(MASK, w, shrunk)

    return plain_steps(model, data, seed, 100, after=soft_threshold, build=build)


def plain_freeze(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    model.first.weight.requires_grad_(False)
    return plain_steps(model, data, seed, 100, build=build)


def plain_projection(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    return plain_steps(model, data, seed, 100, after=lambda b, w: CLOSED.project(w), build=build)


def plain_every_third(seed, data, build):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    count = iter(range(1, 101))

    def repair(before, w):
        return CLOSED.project(w) if next(count) % 3 == 0 else w

    return plain_steps(model, data, seed, 100, after=repair, build=build)


class Charted(nn.Module):
    """The free numbers are the parameter; `from_free` is called in the forward pass."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        start = CLOSED.start(net.first.weight.detach())
        self.first = nn.ParameterDict({"weight": nn.Parameter(CLOSED.to_free(start, at=start))})
        self.bias, self.last = net.first.bias, net.last

    def forward(self, x):
        weight = CLOSED.from_free(self.first["weight"])
        return self.last(torch.tanh(F.linear(x, weight, self.bias)))


def plain_reparametrization(seed, data, build):
    net = fresh(seed)
    charted = Charted(net)
    free = [charted.first["weight"], net.first.bias, net.last.weight, net.last.bias]
    optimizer = build(free)
    for step in range(100):
        x, y = batch_of(data, seed, step)
        optimizer.zero_grad()
        F.cross_entropy(charted(x), y).backward()
        optimizer.step()
    set_weight(net, CLOSED.from_free(charted.first["weight"].detach()))
    return net


def plain_dense_then_masked(seed, data, build):
    model = plain_steps(plain_start(seed), data, seed, 40, build=build)
    set_weight(model, CLOSED.project(model.first.weight.detach()))

    def slowly(before, w):
        return CLOSED.project(before + 0.1 * (w - before))

    return plain_steps(model, data, seed, 60, after=slowly, build=build, first=40)


def plain_start(seed):
    model = fresh(seed)
    set_weight(model, CLOSED.start(model.first.weight.detach()))
    return model


PLAIN = [
    pytest.param(sk.Unconstrained(), plain_unconstrained, id="Unconstrained"),
    pytest.param(sk.Unconstrained(start="task"), plain_task_start, id="Unconstrained task"),
    pytest.param(sk.Penalty(0.7), plain_penalty, id="Penalty"),
    pytest.param(sk.Penalty(0.01, growth=1.1), plain_growing, id="Penalty growing"),
    pytest.param(sk.Penalty(0.3, norm="absolute"), plain_proximal, id="Penalty absolute"),
    pytest.param(sk.Freeze(), plain_freeze, id="Freeze"),
    pytest.param(sk.Projection(), plain_projection, id="Projection"),
    pytest.param(sk.Projection(every=3), plain_every_third, id="Projection 3"),
    pytest.param(sk.Reparametrization(), plain_reparametrization, id="Reparametrization"),
    pytest.param(
        sk.Staged(sk.Stage(0.4, sk.Unconstrained()), sk.Stage(0.6, sk.Projection(), rate=0.1)),
        plain_dense_then_masked,
        id="Staged",
    ),
]


@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize(("strategy", "plain"), PLAIN)
def test_seeds_as_one_program_equal_a_plain_loop(strategy, plain, build):
    found = sk.compare(task(optimizer=build), [strategy], seeds=SEEDS, steps=100)
    for seed, model in zip(SEEDS, found.models(strategy.label), strict=True):
        wanted = plain(seed, points(), build)
        for name, value in model.named_parameters():
            worst = (value - wanted.get_parameter(name)).abs().max().item()
            assert worst < 1e-9, (seed, name, worst)


def test_the_metric_equals_that_of_the_plain_loop():
    found = sk.compare(task(), [sk.Penalty(0.7)], seeds=SEEDS, steps=100)
    x, y = points().test
    for seed in SEEDS:
        model = plain_penalty(seed, points(), OPTIMIZERS["Adam with weight decay"])
        row = found.final().loc[("Penalty 0.7", seed)]
        assert row["metric"] == (model(x).argmax(1) == y).double().mean()
        assert row["violation"] == pytest.approx((model.first.weight * ~MASK).abs().max().item())
        set_weight(model, model.first.weight.detach() * MASK)
        assert row["metric_held"] == (model(x).argmax(1) == y).double().mean()
        noisy, labels = points().shifted["noisy"]
        free = plain_penalty(seed, points(), OPTIMIZERS["Adam with weight decay"])
        assert row["metric:noisy"] == (free(noisy).argmax(1) == labels).double().mean()


# -- exactness -----------------------------------------------------------------------------------

HARD = [
    sk.Freeze(),
    sk.Projection(),
    sk.Reparametrization(),
    sk.Staged(sk.Stage(0.25, sk.Unconstrained(start="task")), sk.Stage(0.75, sk.Projection())),
    sk.Staged(sk.Stage(0.25, sk.Penalty(0.1)), sk.Stage(0.75, sk.Reparametrization())),
    sk.Staged(sk.Stage(0.25, sk.Unconstrained(start="task")), sk.Stage(0.75, sk.Freeze())),
]


@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("strategy", HARD, ids=lambda s: s.label)
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_a_closed_weight_is_exactly_zero_at_every_step(strategy, build, dtype):
    bound = task(optimizer=build, model=lambda seed: Net(dtype))
    found = sk.compare(bound, [strategy], seeds=3, steps=200)
    begins = stage_ends(strategy.stages(), 200)[-2] if isinstance(strategy, sk.Staged) else 0
    held = found.frame[found.frame["step"] > begins]
    assert (held["violation_peak"] == 0.0).all()
    assert (held["violation"] == 0.0).all()
    for model in found.models(strategy.label):
        assert (model.first.weight[~MASK] == 0.0).all()
        assert (model.first.weight[MASK] != 0.0).all()


def test_real_digits_on_a_brain_of_eight_regions():
    bound = sk.tasks.digits()
    plan = bound.start_model(0).plan
    assert len(plan.sizes) >= 8
    assert plan.open_weights / plan.readable_weights < 0.3
    dense_first = sk.Staged(
        sk.Stage(0.3, sk.Unconstrained(start="task")), sk.Stage(0.7, sk.Projection())
    )
    hard = [sk.Freeze(), sk.Projection(), sk.Reparametrization()]
    found = sk.compare(bound, [sk.Penalty(1.0), *hard, dense_first], seeds=5, steps=150)
    table = found.summary()
    assert (table.loc[[s.label for s in hard], "metric"] > 0.5).all(), "chance is 0.1"
    assert table.loc["Penalty 1", "violation"] > 0
    for strategy in (*hard, dense_first):
        rows = found.frame[found.frame["strategy"] == strategy.label]
        held = rows[rows["step"] > (45 if strategy is dense_first else -1)]
        assert (held["violation_peak"] == 0.0).all()
        assert table.loc[strategy.label, "metric"] == table.loc[strategy.label, "metric_held"]


def test_presets_are_held_exactly():
    fixed = torch.zeros(8, 6)
    row, column = MASK.nonzero()[0].tolist()
    fixed[row, column] = 0.625
    bound = task(constraints={"first.weight": sk.Connections(MASK, fixed=fixed)})
    found = sk.compare(bound, [sk.Projection(), sk.Reparametrization()], seeds=2, steps=50)
    assert (found.frame["violation_peak"] == 0.0).all()
    for label in found.strategies:
        assert all(m.first.weight[row, column] == 0.625 for m in found.models(label))


def test_the_absolute_penalty_reaches_zero_and_the_squared_one_does_not():
    strategies = [sk.Penalty(3.0), sk.Penalty(3.0, norm="absolute")]
    found = sk.compare(task(), strategies, seeds=2, steps=300)
    squared, absolute = (found.models(label) for label in found.strategies)
    assert all((m.first.weight[~MASK] != 0.0).all() for m in squared)
    assert all((m.first.weight[~MASK] == 0.0).float().mean() > 0.9 for m in absolute)


def test_the_pencil_problem_has_the_answers_worked_out_by_hand():
    pencil = replace(sk.tasks.pencil(), optimizer=partial(torch.optim.SGD, lr=0.02))
    strategies = [sk.Unconstrained(), sk.Penalty([0.1, 1.0, 10.0]), sk.Projection()]
    found = sk.compare(pencil, strategies, seeds=2, steps=2500)
    strengths = {"Unconstrained": 0.0, "Projection": float("inf")}
    for label, runs in found.final().groupby(level="strategy"):
        strength = strengths[label] if label in strengths else float(label.split()[1])
        b = 0.0 if strength == float("inf") else 1 / (strength + 0.5)
        wanted = [b, 2 * (1 - b / 2) ** 2, 2 + 4.5 * b**2]
        got = runs[["violation", "metric", "metric_held"]].to_numpy()
        np.testing.assert_allclose(got, [wanted] * 2, atol=2e-3, err_msg=label)


# -- company, devices, stages --------------------------------------------------------------------


def test_company_changes_nothing():
    alone = sk.compare(task(), [sk.Projection()], seeds=[4], steps=60)
    company = sk.compare(task(), [sk.Penalty(1.0), sk.Projection()], seeds=SEEDS, steps=60)
    (one,) = alone.models("Projection")
    other = company.models("Projection")[SEEDS.index(4)]
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_one_after_another_equals_all_at_once():
    strategies = [sk.Penalty(1.0), sk.Freeze(), sk.Projection(), sk.Reparametrization()]
    together = sk.compare(task(), strategies, seeds=3, steps=40)
    apart = sk.compare(task(), strategies, seeds=3, steps=40, batched=False)
    columns = ["strategy", "seed", "step", "loss", "metric", "metric_held", "violation"]
    order = ["strategy", "step", "seed"]
    frames = [f.frame[columns].sort_values(order, ignore_index=True) for f in (together, apart)]
    pd.testing.assert_frame_equal(*frames, rtol=1e-9)


def test_all_strategies_start_from_the_same_weights_and_batches():
    strategies = [sk.Unconstrained(), sk.Penalty(5.0), sk.Projection(), sk.Reparametrization()]
    first = sk.compare(task(), strategies, seeds=3, steps=5).frame.query("step == 0")
    for _, rows in first.groupby("seed"):
        assert rows["loss"].nunique() == 1
        assert (rows["violation"] == 0).all()


def test_the_task_start_is_what_the_model_brings():
    found = sk.compare(task(), [sk.Unconstrained(start="task")], seeds=1, steps=5)
    row = found.frame.query("step == 0").iloc[0]
    assert row["violation"] == pytest.approx(fresh(0).first.weight[~MASK].abs().max().item())


def test_batch_norm_is_batched_with_its_buffers():
    def make(seed=0):
        return nn.Sequential(
            nn.Linear(6, 8, dtype=DOUBLE), nn.BatchNorm1d(8, dtype=DOUBLE), nn.Tanh(),
            nn.Linear(8, 3, dtype=DOUBLE),
        )  # fmt: skip

    bound = task(model=make, constraints={"0.weight": CLOSED})
    found = sk.compare(bound, [sk.Unconstrained(start="task")], seeds=2, steps=30)
    assert not found.notes
    for seed, model in enumerate(found.models("Unconstrained task")):
        wanted = fresh(seed, make)
        optimizer = OPTIMIZERS["Adam with weight decay"](wanted.parameters())
        for step in range(30):
            x, y = batch_of(points(), seed, step)
            optimizer.zero_grad()
            F.cross_entropy(wanted(x), y).backward()
            optimizer.step()
        for key, value in wanted.state_dict().items():
            torch.testing.assert_close(model.state_dict()[key], value, rtol=0, atol=1e-9)


class Short(nn.Module):
    """A shorter network in which the shaped layer comes last."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, dtype=DOUBLE)

    def forward(self, x):
        return self.first(x)[:, :3]


def test_a_shorter_network_first_then_the_layers_that_follow():
    staged = sk.Staged(
        sk.Stage(0.5, sk.Projection(), model=lambda seed: Short()),
        sk.Stage(0.5, sk.Freeze()),
    )
    found = sk.compare(task(), [staged], seeds=2, steps=40)
    (label,) = found.strategies
    for seed, model in enumerate(found.models(label)):
        torch.manual_seed(seed_of(seed, "model"))
        wanted = Short()
        set_weight(wanted, CLOSED.start(wanted.first.weight.detach()))
        plain_steps(wanted, points(), seed, 20, after=lambda b, w: CLOSED.project(w))
        # frozen after its own stage, the shaped weight is what the short network learned
        torch.testing.assert_close(model.first.weight, wanted.first.weight, rtol=0, atol=1e-9)
        assert (model.last.weight != fresh(seed).last.weight).any()
    assert found.holds(label) == "always"


def test_momentum_never_crosses_a_stage():
    heavy = partial(torch.optim.SGD, lr=0.1, momentum=0.99)
    staged = sk.Staged(sk.Stage(0.5, sk.Unconstrained(start="task")), sk.Stage(0.5, sk.Freeze()))
    found = sk.compare(task(optimizer=heavy), [staged], seeds=1, steps=40)
    at_switch, at_end = (
        plain_steps(fresh(0), points(), 0, 20, build=heavy).first.weight.detach(),
        found.models(staged.label)[0].first.weight.detach(),
    )
    torch.testing.assert_close(at_end, CLOSED.project(at_switch), rtol=0, atol=1e-9)


def test_the_summary_says_where_the_promise_starts():
    strategies = {
        "never": sk.Penalty(1.0),
        "always": sk.Projection(),
        "late": sk.Staged(sk.Stage(0.3, sk.Penalty(1.0)), sk.Stage(0.7, sk.Projection())),
        "early": sk.Staged(sk.Stage(0.3, sk.Projection()), sk.Stage(0.7, sk.Unconstrained())),
    }
    holds = sk.compare(task(), strategies, seeds=1, steps=50).summary()["holds"].to_dict()
    wanted = {"never": "no promise", "always": "always", "late": "from step 15"}
    assert holds == {**wanted, "early": "no promise"}


def test_a_range_on_weights_and_the_start_that_a_chart_moves():
    bound = task(constraints={"first.weight": sk.Box(0.0, 1.0)})
    hard = [sk.Projection(), sk.Reparametrization()]
    found = sk.compare(bound, hard, seeds=2, steps=50)
    assert (found.frame["violation_peak"] == 0).all()
    # About half of the weights start below 0; projected they sit on the end, which a sigmoid
    # reaches only at infinity, so the chart begins a thousandth of the width inside.
    moved = "Reparametrization: the start of 'first.weight' was moved inside by up to 0.001."
    assert found.notes == [moved]


def test_a_named_sweep():
    swept = {"soft": sk.Penalty([1.0, 2.0]), "hard": sk.Projection()}
    found = sk.compare(task(), swept, seeds=1, steps=2)
    assert list(found.strategies) == ["soft 1", "soft 2", "hard"]


# -- the value of a layer ------------------------------------------------------------------------

RANGE = sk.Box(-0.25, 0.25)


def test_a_box_on_the_value_of_a_layer():
    strategies = [sk.Unconstrained(), sk.Penalty(1.0), sk.Projection(), sk.Reparametrization()]
    bound = task(constraints={"hidden": RANGE})
    found = sk.compare(bound, strategies, seeds=3, steps=60)
    final = found.summary()
    assert final.loc["Unconstrained", "violation"] > 0.1
    assert 0 < final.loc["Penalty 1", "violation"] < final.loc["Unconstrained", "violation"]
    for label in ("Projection", "Reparametrization"):
        rows = found.frame[found.frame["strategy"] == label]
        assert (rows["violation"] == 0).all()
        assert (rows["violation_peak"] == 0).all()
        assert (rows["allowed"] == 1).all()
        assert final.loc[label, "holds"] == "always"
    raw = found.frame.query("strategy == 'Projection'")["violation_raw:hidden"]
    assert (raw > 0).all(), "raw is measured before the strategy treats the value"


def test_the_price_of_an_output_is_summed_over_nodes_and_averaged_over_the_batch():
    found = sk.compare(task(constraints={"hidden": RANGE}), [sk.Penalty(2.0)], seeds=2, steps=50)
    for seed, model in enumerate(found.models("Penalty 2")):
        wanted = fresh(seed)

        count = itertools.count()

        def price(net, seed=seed, count=count):
            x, _ = batch_of(points(), seed, next(count))
            h = torch.tanh(net.first(x))
            outside = (h - 0.25).clamp(min=0) ** 2 + (-0.25 - h).clamp(min=0) ** 2
            return 2.0 * outside.sum() / 16

        plain_steps(wanted, points(), seed, 50, price=price)
        for name, value in model.named_parameters():
            torch.testing.assert_close(value, wanted.get_parameter(name), rtol=0, atol=1e-9)


def test_metric_held_enforces_outputs():
    found = sk.compare(task(constraints={"hidden": RANGE}), [sk.Unconstrained()], seeds=1, steps=60)
    (model,) = found.models("Unconstrained")
    x, y = points().test
    h = torch.tanh(model.first(x)).clamp(-0.25, 0.25)
    wanted = (model.last(h).argmax(1) == y).double().mean().item()
    assert found.final().iloc[0]["metric_held"] == wanted


def test_models_go_on_treating_the_layer():
    found = sk.compare(task(constraints={"hidden": RANGE}), [sk.Projection()], seeds=1, steps=20)
    (model,) = found.models("Projection")
    seen = []
    model.last.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(100 * points().test[0])
    assert seen[0].abs().max() == 0.25


def test_freezing_a_layer_freezes_its_buffers_too():
    class Normed(Net):
        def __init__(self):
            super().__init__()
            self.hidden = nn.BatchNorm1d(8, dtype=DOUBLE)

    bound = task(model=lambda seed: Normed(), constraints={"hidden": sk.Box(-9.0, 9.0)})
    found = sk.compare(bound, [sk.Freeze(), sk.Unconstrained()], seeds=1, steps=20)
    (frozen,), (free,) = found.models("Freeze"), found.models("Unconstrained")
    assert (frozen.hidden.running_mean == 0).all()
    assert (frozen.hidden.weight == 1).all()
    assert (free.hidden.running_mean != 0).all()
    assert found.holds("Freeze") == "no promise"


# -- when things go wrong ------------------------------------------------------------------------


def exploding(prediction, target):
    """Not a number as soon as a network is sure of itself."""
    loss = F.cross_entropy(prediction, target)
    return torch.where(prediction.abs().max() > 2.7, torch.nan, loss)


def test_a_diverged_seed_is_marked_and_the_others_go_on():
    found = sk.compare(task(loss=exploding), [sk.Projection()], seeds=SEEDS, steps=80)
    final = found.final().loc["Projection"]
    lost, kept = final[final["diverged"]], final[~final["diverged"]]
    assert len(lost)
    assert len(kept), "the test wants both kinds; pick another threshold in `exploding`"
    assert lost["metric"].isna().all()
    assert kept["metric"].notna().all()
    clean = sk.compare(task(), [sk.Projection()], seeds=SEEDS, steps=80)
    for seed in kept.index:
        mine, other = (f.models("Projection")[seed] for f in (found, clean))
        for a, b in zip(mine.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    for seed in lost.index:
        weights = found.models("Projection")[seed].first.weight
        assert torch.isfinite(weights).all()
        assert (weights[~MASK] == 0).all()
    assert found.summary().loc["Projection", "diverged"] == len(lost)
    assert any("Projection diverged in" in note for note in found.notes)
    before = found.frame[~found.frame["diverged"]]
    assert before.groupby("seed")["step"].min().eq(0).all(), "nothing that was done is lost"


def test_a_weight_that_leaves_the_finite_numbers_stays_at_the_last_one():
    wild = partial(torch.optim.SGD, lr=float("inf"))
    found = sk.compare(
        task(optimizer=wild), [sk.Projection(), sk.Unconstrained()], seeds=2, steps=9
    )
    assert found.final()["diverged"].all()
    for label in found.strategies:
        for seed, model in enumerate(found.models(label)):
            wanted = plain_start(seed)
            assert all(map(torch.equal, model.parameters(), wanted.parameters()))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True, dtype=DOUBLE)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(self.drop(self.rnn(x[:, None])[0][:, -1]))


def test_what_cannot_be_batched_trains_one_by_one_and_says_so():
    bound = task(
        model=lambda seed: Recurrent(),
        constraints={"last.weight": sk.Connections(torch.rand(3, 8) < 0.5)},
    )
    with pytest.warns(UserWarning, match="seeds were trained one after another, since its model"):
        found = sk.compare(bound, [sk.Projection()], seeds=3, steps=20)
    assert "one after another" in found.notes[0]
    assert (found.frame["violation_peak"] == 0).all()
    with pytest.warns(UserWarning, match="one after another"):
        alone = sk.compare(bound, [sk.Projection()], seeds=[2], steps=20)
    a, b = alone.models("Projection")[0], found.models("Projection")[2]
    for one, other in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(one, other), "dropout draws the same numbers in any company"


def test_an_optimizer_that_mixes_numbers_goes_to_the_loop():
    mixing = partial(torch.optim.Adafactor, lr=1e-2)
    with pytest.warns(UserWarning, match="Adafactor is not known to act on each number by itself"):
        found = sk.compare(task(optimizer=mixing), [sk.Projection()], seeds=2, steps=30)
    for seed, model in enumerate(found.models("Projection")):
        wanted = plain_projection_with(seed, mixing, 30)
        torch.testing.assert_close(model.last.bias, wanted.last.bias, rtol=0, atol=1e-12)


def plain_projection_with(seed, build, steps):
    model = plain_start(seed)
    return plain_steps(
        model, points(), seed, steps, after=lambda b, w: CLOSED.project(w), build=build
    )


@pytest.mark.parametrize(
    ("changes", "strategies", "words"),
    [
        ({"constraints": {"first.wieght": CLOSED}}, None, "did you mean 'first.weight'"),
        ({"constraints": {"first.weight": sk.Connections(MASK.T)}}, None, "That is the transpose"),
        ({"optimizer": torch.optim.LBFGS}, None, "LBFGS asks for the loss again within a step"),
        ({"loss": lambda p, t: p.frobnicate()}, None, "One training step fails: AttributeError"),
        ({"batch_size": 65}, None, "batch_size is 65, but there are 64 training examples"),
        ({}, [], "at least one strategy, got 0"),
        ({}, ["Projection"], r"Wanted strategies, e.g. Projection\(\), got 'Projection'"),
        (
            {},
            sk.Projection(),
            r"Wanted a list of strategies, e.g. \[Projection\(every=1\)\], got one",
        ),
        ({}, [sk.Projection(), sk.Projection()], "Two strategies are called 'Projection'"),
    ],
)
def test_bad_input(changes, strategies, words):
    chosen = [sk.Projection()] if strategies is None else strategies
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words):
            sk.compare(task(**changes), chosen, seeds=2, steps=5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": 0}, "at least one seed, got 0"),
        ({"steps": 0}, "at least one step, got 0"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"seeds": 0, "steps": 0}, "at least one seed, got 0. Wanted at least one step"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(sk.ComparisonError, match=words):
        sk.compare(task(), [sk.Projection()], **{"seeds": 2, "steps": 5, **settings})


class NoChart(sk.Constraint):
    """Only what a newcomer must write: check, residual, project, sample."""

    event_dims = 1

    def __repr__(self):
        return "NoChart()"

    def check(self, shape):
        if not shape:
            raise sk.ConstraintError("Wanted an axis, got a number.")

    def residual(self, x):
        return x.sum(-1, keepdim=True), x[..., :0]

    def project(self, x):
        return x - x.mean(-1, keepdim=True)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


def test_a_constraint_of_four_functions_works_with_every_strategy():
    bound = task(
        constraints={"first.weight": NoChart()},
        optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.9),
    )
    strategies = [sk.Unconstrained(), sk.Penalty(1.0), sk.Freeze(), sk.Projection()]
    found = sk.compare(bound, strategies, seeds=2, steps=50)
    final = found.summary()
    assert final.loc["Projection", "violation"] < 1e-14
    assert final.loc["Unconstrained", "violation"] > 1e-3
    with pytest.raises(ValueError, match="NoChart has no chart, so Reparametrization can't hold"):
        sk.compare(bound, [sk.Reparametrization()], seeds=2, steps=5)


def test_an_optimizer_that_rescales_for_good_and_a_set_that_mixes_numbers_are_refused():
    adagrad = partial(torch.optim.Adagrad, lr=1e-2)
    bound = task(constraints={"first.weight": NoChart()}, optimizer=adagrad)
    words = "Projection can't hold 'first.weight' here: Adagrad rescales each number by itself"
    with pytest.raises(sk.StrategyError, match=words):
        sk.compare(bound, [sk.Projection()], seeds=2, steps=5)
    assert len(sk.compare(bound, [sk.Penalty(1.0)], seeds=1, steps=2).frame) == 3


def test_soft_strategies_need_closed_weights_that_exist():
    graph = sk.regions.with_memory()
    bound = sk.Task(
        "blocked",
        model=lambda seed: sk.compile_network(graph, 8, 3, layout="blocked", steps=3, seed=seed),
        data=sk.Data(*[(torch.randn(20, 8), torch.arange(20) % 3)] * 2),
        loss=F.cross_entropy,
        metric=sk.tasks.accuracy,
        batch_size=10,
    )
    with pytest.raises(sk.StrategyError, match="compile with layout='dense'"):
        sk.compare(bound, [sk.Penalty(1.0)], seeds=1, steps=2)
    assert len(sk.compare(bound, [sk.Projection()], seeds=2, steps=2).frame) == 6


# -- what one does with the result ---------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> sk.Comparison:
    return sk.compare(task(), [sk.Penalty([0.1, 10.0]), sk.Projection()], seeds=SEEDS, steps=60)


def test_the_frame_is_tidy(found):
    wanted = {"strategy", "seed", "step", "loss", "metric", "metric_held", "allowed", "violation"}
    wanted |= {"violation:first.weight", "metric:noisy", "diverged", "evaluations", "seconds"}
    assert wanted <= set(found.frame.columns)
    assert not found.frame.duplicated(["strategy", "seed", "step"]).any()
    assert list(found.strategies) == ["Penalty 0.1", "Penalty 10", "Projection"]
    assert found.frame.groupby("strategy")["step"].max().eq(60).all()
    assert (found.frame["evaluations"] == found.frame["step"]).all()


def test_the_summary_pairs_seeds(found):
    held = found.final()["metric_held"].unstack("strategy")
    differences = held["Projection"] - held["Penalty 0.1"]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    row = found.summary().loc["Projection"]
    np.testing.assert_allclose([row["difference"], row["low"], row["high"]],
                               [differences.mean(), low, high])  # fmt: skip
    base = found.summary(reference="Projection").loc["Projection", ["difference", "low", "high"]]
    assert (base == 0).all()
    with pytest.raises(sk.ComparisonError, match="Wanted one of the strategies"):
        found.summary(reference="Projektion")


def test_save_and_load(found, tmp_path: Path):
    again = sk.Comparison.load(found.save(tmp_path / "found"), task=task())
    pd.testing.assert_frame_equal(again.frame, found.frame)
    pd.testing.assert_frame_equal(again.summary(), found.summary())
    assert again.strategies == found.strategies
    for label in found.strategies:
        for a, b in zip(again.models(label), found.models(label), strict=True):
            assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))  # noqa: B905


def test_loading_without_a_task_gives_tables_only(found, tmp_path: Path):
    again = sk.Comparison.load(found.save(tmp_path))
    pd.testing.assert_frame_equal(again.summary(), found.summary())
    with pytest.raises(sk.ComparisonError, match="Wanted a task to build the models from"):
        again.models("Projection")


def test_loading_what_is_no_comparison(tmp_path: Path):
    with pytest.raises(sk.ComparisonError, match=r"Wanted a folder that Comparison.save wrote"):
        sk.Comparison.load(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": 99}')
    with pytest.raises(sk.ComparisonError, match="Wanted a comparison of format 1, got 99"):
        sk.Comparison.load(tmp_path)


def test_models_of_another_task_are_refused(found, tmp_path: Path):
    other = task(model=lambda seed: Net(width=9), constraints={})
    again = sk.Comparison.load(found.save(tmp_path), task=other)
    with pytest.raises(sk.ComparisonError, match="other tensors than the trained one"):
        again.models("Projection")


def test_a_callback_watches_and_stops():
    seen = []

    def stop_in_the_middle(progress: sk.Progress) -> bool:
        seen.append((progress.step, progress.steps, len(progress.rows)))
        return progress.step >= 20

    strategies = [sk.Penalty(1.0), sk.Projection(), sk.Freeze()]
    found = sk.compare(task(), strategies, seeds=2, steps=50, callback=stop_in_the_middle)
    assert list(found.strategies) == ["Penalty 1", "Projection", "Freeze"]
    assert seen[0] == (0, 50, 6)
    assert seen[-1] == (20, 50, 6)
    assert set(found.final()["step"]) == {20}
    assert found.notes == ["Stopped at step 20 of 50."]
    assert len(found.models("Projection")) == 2


def test_a_stop_at_the_last_step_is_the_end():
    at_the_end = {"callback": lambda progress: progress.step == progress.steps}
    found = sk.compare(task(), [sk.Freeze(), sk.Projection()], seeds=2, steps=10, **at_the_end)
    assert list(found.strategies) == ["Freeze", "Projection"]
    assert found.notes == []


def test_a_strategy_that_cannot_work_is_refused_before_any_is_trained():
    bound = task(constraints={"first.weight": NoChart()})
    seen = []
    with pytest.raises(ValueError, match="NoChart has no chart"):
        sk.compare(
            bound, [sk.Freeze(), sk.Reparametrization()], seeds=2, steps=10, callback=seen.append
        )
    assert not seen


def test_data_may_depend_on_the_seed():
    def shifted(seed: int) -> sk.Data:
        (x, y), (tx, ty) = points().train, points().test
        return sk.Data((x + seed, y), (tx + seed, ty))

    found = sk.compare(task(data=shifted), [sk.Projection()], seeds=3, steps=20)
    for seed, model in enumerate(found.models("Projection")):
        wanted = plain_steps(
            plain_start(seed), shifted(seed), seed, 20, after=lambda b, w: CLOSED.project(w)
        )
        torch.testing.assert_close(model.last.weight, wanted.last.weight, rtol=0, atol=1e-9)


class TestBeside:
    """Rivals that are other tasks, in one table."""

    def outputs_bound(self) -> sk.Task:
        return task(constraints={"hidden": sk.Box(0.0, 0.5)})

    def test_rows_weights_and_promises_come_along(self, tmp_path):
        here = sk.compare(task(), [sk.Unconstrained(), sk.Projection()], seeds=2, steps=5)
        other = sk.compare(self.outputs_bound(), [sk.Projection()], seeds=2, steps=5)
        table = here.beside({"range": other})
        assert list(table.strategies) == ["Unconstrained", "Projection", "range"]
        pd.testing.assert_frame_equal(
            table.final().loc["range"].dropna(axis=1),
            other.final().loc["Projection"],
            check_like=True,
        )
        assert table.holds("range") == other.holds("Projection") == "always"
        assert table.holds("Unconstrained") == "no promise"
        for mine, theirs in zip(table.models("range"), other.models("Projection"), strict=True):
            x = points().test[0]
            assert torch.equal(mine(x), theirs(x))
        again = sk.Comparison.load(table.save(tmp_path / "table"), task())
        assert again.holds("range") == "always"
        assert list(here.strategies) == ["Unconstrained", "Projection"]  # as it was

    def test_several_strategies_keep_their_labels_below_the_name(self):
        here = sk.compare(task(), [sk.Projection()], seeds=2, steps=5)
        other = sk.compare(self.outputs_bound(), [sk.Freeze(), sk.Projection()], seeds=2, steps=5)
        labels = list(here.beside({"range": other}).strategies)
        assert labels == ["Projection", "range: Freeze", "range: Projection"]

    @pytest.mark.parametrize(
        ("changes", "name", "words"),
        [
            ({"seeds": 3}, "other", r"Wanted the same seeds as here, \[0, 1\], got \[0, 1, 2\]"),
            ({"steps": 6}, "other", "Wanted the same steps as here, 5, got 6 from 'other'"),
            ({}, "Projection", "Two strategies are called 'Projection'; wanted other names"),
        ],
    )
    def test_what_can_not_stand_beside(self, changes, name, words):
        usual = {"seeds": 2, "steps": 5}
        here = sk.compare(task(), [sk.Projection()], **usual)
        other = sk.compare(task(), [sk.Projection()], **{**usual, **changes})
        with pytest.raises(sk.ComparisonError, match=words):
            here.beside({name: other})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_equals_cpu():
    strategies = [sk.Penalty(1.0), sk.Projection(), sk.Reparametrization()]
    results = [sk.compare(task(), strategies, seeds=3, steps=40, device=d) for d in ("cpu", "cuda")]
    columns = ["loss", "metric", "metric_held", "violation"]
    a, b = (r.final()[columns] for r in results)
    pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-9)


class TestHowManySeeds:
    def test_published_sample_sizes(self):
        # Two-sided paired t test, level .05, power .8; G*Power 3.1 gives the same.
        wanted = {0.2: 199, 0.5: 34, 0.8: 15, 1.0: 10}
        assert {d: seeds_needed(d, 1.0) for d in wanted} == wanted
        assert seeds_needed(-5.0, 10.0) == 34
        assert seeds_needed(1.0, 0.0) == 2

    def test_simulated_comparisons_see_it_as_often_as_promised(self):
        draw = np.random.default_rng(0)
        n = seeds_needed(0.7, 1.0, 0.9)
        ends = [paired_interval(row) for row in draw.normal(0.7, 1.0, (4000, n))]
        seen = np.mean([low > 0 or high < 0 for low, high in ends])
        assert abs(seen - power(n, 0.7)) < 0.02  # 4 standard errors
        assert seen > 0.88
        none = [paired_interval(row) for row in draw.normal(0.0, 1.0, (4000, n))]
        assert abs(np.mean([low > 0 or high < 0 for low, high in none]) - 0.05) < 0.015

    def test_a_comparison_answers_from_its_own_spread(self, found):
        pairs = found.differences("Projection", "Penalty 0.1")
        assert len(pairs) == len(found.seeds)
        wanted = seeds_needed(0.3, float(pairs.std()))
        assert found.seeds_needed("Projection", 0.3, reference="Penalty 0.1") == wanted
        with pytest.raises(sk.ComparisonError, match="difference other than 0"):
            found.seeds_needed("Projection", 0.0)
        with pytest.raises(sk.ComparisonError, match="Wanted one of the strategies"):
            found.seeds_needed("Projektion", 1.0)
        with pytest.raises(sk.ComparisonError, match="Wanted one of the columns"):
            found.differences("Projection", column="accuracy")

    def test_one_seed_tells_no_spread(self):
        found = sk.compare(task(), [sk.Freeze(), sk.Projection()], seeds=1, steps=5)
        with pytest.raises(sk.ComparisonError, match=r"at least two seeds.*more seeds"):
            found.seeds_needed("Projection", 1.0)

    def test_what_takes_millions_is_refused(self):
        with pytest.raises(ValueError, match="more than 10000000 seeds"):
            seeds_needed(1e-6, 1.0)
